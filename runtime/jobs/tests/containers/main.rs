//! Real containers, attacked. Needs what the engine needs; where that is missing, each test says so on standard
//! error and counts as skipped, except for root, for whom it is a failure.
#![expect(
    clippy::disallowed_methods,
    reason = "tests read their environment and make the files they attack with"
)]

mod choosing;
mod clients;
#[cfg(feature = "kubernetes")]
mod cluster;
mod confinement;
mod daemons;
mod disobedience;
#[cfg(feature = "kubernetes")]
mod disobedient_cluster;
mod egress;
mod environments;
mod images;
mod limits;
mod machine;
mod outcomes;
mod overhead;
mod rootless;
mod roots;
mod secrets;
mod support;
mod survival;
mod waiting;

gloaming_jobs::reenter_as_helper!();
