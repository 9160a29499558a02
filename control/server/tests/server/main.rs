//! The server on a real listener, asked by clients that mean well and by such that do not.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests write policies and certificates, and read the documents"
)]

mod api;
mod auth;
mod browser;
mod chat;
mod documents;
mod drain;
mod git;
mod hostile;
mod http2;
mod leases;
mod published;
mod receiver;
mod scene;
mod schemathesis;
mod support;
mod upkeep;
mod web;
mod webhooks;
