//! What the lanes can hold a rule to; a rule that none of them can does not load.

use gloaming_api::job::JobPurpose;

use super::Unit;
use crate::file::{JobSection, McpTable, TOOLS, Tools, WRITING_TOOLS};
use crate::glob::Pattern;
use crate::subject::{Kind, SCHEMES, Subject};
use crate::{Diagnostic, Layer};

/// What the job lane's engine can enforce beyond what every engine must.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lanes {
    /// Whether it lets a job reach some hosts and holds the others back.
    pub hosts: bool,
    /// Whether it hands a job secrets by name.
    pub secrets: bool,
}

impl Lanes {
    /// All that some engine can enforce: what an author's policy is looked at by, wherever it will be used.
    pub const ALL: Self = Self { hosts: true, secrets: true };
}

/// Returns a fault for each rule that some lane it reaches cannot enforce.
pub(super) fn unenforceable(units: &[Unit], lanes: Lanes) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for unit in units {
        let file = &unit.file;
        let mut fault = |line: u32, column: u32, message: String, hint: &str| {
            let (file, hint) = (file.name.clone(), Some(hint.to_owned()));
            faults.push(Diagnostic { file, line, column, message, hint });
        };
        if lanes.hosts {
            let rules = file.job_allow.iter().chain(&file.job_deny).flat_map(|rule| &rule.subjects);
            let hosts = rules.filter_map(|(subject, line, column)| match subject {
                Subject::Host(host) => Some((host, *line, *column)),
                _ => None,
            });
            let network = file.jobs.values().flat_map(JobSection::hosts);
            let hosts = hosts.chain(network.map(|(host, line, column)| (host, *line, *column)));
            for (host, line, column) in hosts {
                if host.scheme().is_some_and(|scheme| !SCHEMES.contains(&scheme)) {
                    let message = format!(
                        "{:?}: what is said in a connection is told apart as {}, and by no other scheme",
                        host.text,
                        SCHEMES.join(", ")
                    );
                    fault(
                        line,
                        column,
                        message,
                        "write `tcp://host:port` for whatever is neither http nor https",
                    );
                }
            }
        } else {
            let hint = "write `network = []`; jobs run without network";
            for (host, line, column) in file.jobs.values().flat_map(JobSection::hosts) {
                fault(*line, *column, format!("{:?}: {NO_HOSTS}", host.text), hint);
            }
        }
        for rule in file.job_allow.iter().chain(&file.job_deny) {
            let (message, hint) = match rule.kind {
                Kind::Hosts if !lanes.hosts => (
                    NO_HOSTS,
                    "leave the rule out: jobs run without network, so no host can be reached at all",
                ),
                Kind::Secrets if !lanes.secrets => {
                    (NO_SECRETS, "leave the rule out: no job is given a secret, and none of our environment")
                }
                _ => continue,
            };
            for (subject, line, column) in &rule.subjects {
                fault(*line, *column, format!("{:?}: {message}", subject.text()), hint);
            }
        }
        // A job's copy of the workspace can leave files out that are denied; what it may see cannot be given as a
        // list of what is allowed without taking away what its build needs.
        let check = |tools: &Tools| tools.include("check");
        let mut narrow = file.allow.iter().filter(|rule| check(&rule.tools)).peekable();
        let whole =
            file.allow.iter().any(|rule| check(&rule.tools) && rule.paths.iter().any(Pattern::is_catch_all));
        if let Some(rule) = narrow.peek().filter(|_| !whole) {
            fault(
                rule.line,
                rule.column,
                format!(
                    "rule {} allows `check` some paths, and that cannot be enforced: build, test and lint see every \
                     file that no rule denies",
                    rule.id
                ),
                "name the other tools, allow `check` with `paths = [\"**\"]`, and deny it what it must not see",
            );
        }
        for server in &file.mcp {
            let switched_off = units.iter().find_map(|unit| {
                let section = unit.file.jobs.get(&JobPurpose::Test)?;
                section.enabled.filter(|enabled| !enabled.value).map(|_| unit.file.name.as_str())
            });
            let same = |other: &&McpTable| other.name == server.name && *other != server;
            let other = units.iter().flat_map(|unit| &unit.file.mcp).find(same);
            let (message, hint) = if unit.layer != Layer::Operator {
                let message = format!(
                    "only an operator's file may name MCP servers, and this one names {}",
                    server.name
                );
                (message, "leave the table out; a [[deny]] takes tools of the operator's servers away")
            } else if let Some(by) = switched_off {
                let message = format!(
                    "the MCP server {} can never run: {by} switches jobs of the kind test off",
                    server.name
                );
                (message, "leave the table out, or `enabled = false` in [jobs.test]")
            } else if other.is_some() {
                let message =
                    format!("two tables name the MCP server {}, and say different things of it", server.name);
                (message, "give one of them another name")
            } else {
                continue;
            };
            fault(server.line, server.column, message, hint);
        }
        // The floor's own rule is what keeps these tools from writing.
        for rule in file.deny.iter().filter(|rule| rule.only_writes && unit.layer != Layer::Floor) {
            let Tools::Named(names) = &rule.tools else { continue };
            let looks =
                |name: &String| TOOLS.contains(&name.as_str()) && !WRITING_TOOLS.contains(&name.as_str());
            if names.iter().all(looks) {
                fault(
                    rule.line,
                    rule.column,
                    format!("rule {} would decide nothing: {} never write", rule.id, names.join(" and ")),
                    "name tools that write, or leave `access` out to deny reading",
                );
            }
        }
    }
    faults.sort();
    faults
}

const NO_HOSTS: &str = "no engine here can let some hosts through and hold the others back, and a rule that cannot be \
                        enforced does not load";
const NO_SECRETS: &str =
    "no engine here hands secrets to jobs, and a rule that cannot be enforced does not load";
