//! What no friendly server does, and what each client makes of it.

mod answers;
mod broken;
mod chain;
mod limits;
mod refused;
mod secrets;
