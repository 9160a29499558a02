//! What is made of deliveries that were let in, verified and stored before anybody read them.

pub mod github;
pub mod slack;
