//! Real containers, attacked. Needs what the engine needs; where that is missing, each test says so on standard
//! error and counts as skipped, except for root, for whom it is a failure.

mod confinement;
mod environments;
mod limits;
mod outcomes;
mod support;
mod survival;

gloaming_jobs::reenter_as_helper!();
