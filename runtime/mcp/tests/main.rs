//! The server with the SDK's own client, over streams in memory and real sockets. `tests/mcp.rs` of the workspace
//! drives the program itself with the TypeScript SDK.
#![expect(clippy::disallowed_methods, reason = "tests look at files of the host")]

mod attacks;
mod calls;
mod support;
