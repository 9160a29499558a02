//! What is done to a code host, and what is made of what it says.
#![expect(clippy::disallowed_methods, reason = "tests drive the code host's programs from outside")]

mod asked;
mod ended;
mod half;
mod policy;
mod published;
mod refused;
mod scene;
mod simulated;
mod stages;
#[cfg(feature = "otlp")]
mod traced;
mod waits;
