//! The server on a real listener, asked by clients that mean well and by such that do not.

mod api;
mod auth;
mod browser;
mod drain;
mod hostile;
mod http2;
mod leases;
mod published;
mod scene;
mod support;
mod web;
