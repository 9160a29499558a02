//! The clients over real sockets: against a scripted server of ours (`scripted`), which can do what no
//! friendly server does, and against servers written by others (`partners`), which know the APIs better than
//! our own reading of them.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start the partners' programs and read which folder they are in"
)]

mod partners;
mod scripted;
mod server;
mod wires;
