//! The one integration binary: every test that needs the whole program or looks at the whole workspace.
#![expect(
    clippy::disallowed_methods,
    reason = "tests drive the program from outside: files, programs and variables of the host"
)]

mod bad_input;
mod budgets;
mod bumps;
mod bumps_registry;
mod clone;
mod complaints;
mod contracts;
mod crash;
mod endings;
mod escape;
mod evil;
mod evil_model;
mod exercises;
mod exports;
mod hosted;
mod jobs;
mod layering;
mod local_model;
mod mcp;
mod models;
mod own_tools;
mod plane;
mod playbooks;
mod policy;
mod recorded;
mod resume;
mod rounds;
mod run;
mod shipped;
mod support;
mod tamper;
mod team;
mod their_tools;
mod triage;
mod undo;
