//! The keys of a policy file, by the table they stand in; the JSON Schema has the same ones, by a test.

pub(crate) const FILE: &[&str] = &[
    "schema", "repos", "extends", "tool", "mcp", "allow", "deny", "jobs", "budget", "change", "gate",
    "submit", "model", "test",
];
/// Of `[[allow]]` and `[[deny]]` about files.
pub(crate) const ALLOW: &[&str] = &["id", "tools", "paths", "because"];
pub(crate) const DENY: &[&str] = &["id", "tools", "paths", "access", "because", "instead", "enforce"];
/// Of those about jobs, with one of [`crate::subject::Kind`]'s.
pub(crate) const ALLOW_JOBS: &[&str] =
    &["id", "jobs", "because", "commands", "hosts", "images", "env", "secrets"];
pub(crate) const DENY_JOBS: &[&str] =
    &["id", "jobs", "because", "instead", "enforce", "commands", "hosts", "images", "env", "secrets"];
pub(crate) const TOOL: &[&str] = &["name", "digest"];
pub(crate) const MCP: &[&str] = &["name", "command", "tools", "workspace"];
pub(crate) const JOBS: &[&str] = &["setup", "build", "test", "lint"];
pub(crate) const JOB: &[&str] = &["network", "memory", "timeout", "cpus", "processes", "enabled"];
pub(crate) const BUDGET: &[&str] = &["cost_usd", "steps", "wall", "tokens", "tool_bytes", "day"];
pub(crate) const BUDGET_DAY: &[&str] = &["cost_usd", "tokens"];
pub(crate) const CHANGE: &[&str] = &["files", "lines", "existing_tests", "dependencies", "protected"];
pub(crate) const GATE: &[&str] = &["cost_ratio"];
pub(crate) const MODEL: &[&str] = &["allow", "hosts"];
pub(crate) const TEST: &[&str] = &["call", "expect"];
