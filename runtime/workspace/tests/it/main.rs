//! The crate against real repositories, made by git itself in folders of their own.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make their own repositories and read their own folders"
)]

mod apply;
mod checkout;
mod clone;
mod freeze;
mod history;
mod hostile;
mod opening;
mod publish;
mod support;
mod travel;
