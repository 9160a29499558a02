//! Whole verifications in real containers. Needs what the embedded engine needs; where that is missing each test says
//! so on standard error and counts as skipped, except for root, for whom it is a failure.
#![expect(
    clippy::disallowed_methods,
    reason = "tests read their environment and make the repositories they verify"
)]

mod experiment;
mod flakes;
mod lint;
mod measured;
mod new_files;
mod reasons;
mod rewritten;
mod secrets;
mod setup;
mod support;

gloaming_jobs::reenter_as_helper!();
