//! The server on a real listener, asked by clients that mean well and by such that do not.

mod api;
mod auth;
mod chat;
mod drain;
mod hostile;
mod http2;
mod leases;
mod published;
mod receiver;
mod support;
mod webhooks;
