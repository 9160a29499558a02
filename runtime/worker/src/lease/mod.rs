//! What a worker says to its control plane while an attempt runs: the lease is kept, the journal handed over, the result
//! told. Over HTTP that is the crate `client`, in one process the server itself.
//!
//! What it is not: it starts nothing and stops nothing; whoever runs the attempt is told when to stop it.

mod keep;
mod upload;

pub use keep::{Stop, keep};
pub use upload::{Followed, Follower, persist};
