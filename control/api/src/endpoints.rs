//! Every way the control plane can be asked: one table, from which requests are routed, limited and authorised, and the
//! OpenAPI document is made. What is not in it is not served.

mod pages;
mod workers;

use schemars::{Schema, SchemaGenerator};

use crate::access::{NewToken, Scope, TokenMade, TokenView};
use crate::evidence::Verdict;
use crate::profile::Profile;
use crate::stats::Stats;
use crate::task::{DeadEffect, NewTask, TaskAccepted, TaskEvent, TaskPage, TaskView};

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "RFC 9110 tells them")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// Returns the method as it is written in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Anybody: what is answered tells nothing of any repository or person.
    Public,
    /// A bearer token of this scope, for the repository in the path or of the task in it.
    Token(Scope),
    /// The same as the password of HTTP Basic, whatever the user's name, which is how git shows one; or as a bearer token.
    Password(Scope),
    /// Whoever signed the raw body with the secret shared with this kind of sender.
    Signature,
    /// A person who is logged in to the web page, or a bearer token, of this scope.
    Session(Scope),
}

/// What an answer or a body is.
#[derive(Clone, Copy)]
pub enum Content {
    /// Nothing.
    None,
    /// JSON of this type.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// A stream of events of this type (`text/event-stream`).
    Events(fn(&mut SchemaGenerator) -> Schema),
    /// Lines of JSON (`application/jsonl`).
    Lines,
    /// Bytes (`application/octet-stream`).
    Bytes,
    /// A message of git's smart HTTP protocol, of this media type. It is handed on as it comes and never held as a whole;
    /// as a body it may be compressed with gzip.
    Git(&'static str),
    /// Text (`text/plain`).
    Text,
    /// A page (`text/html`).
    Page,
    /// A form of a page (`application/x-www-form-urlencoded`).
    Form,
}

/// A parameter of a query or a header of a request, beside those that all have.
#[derive(Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its JSON Schema, as text.
    pub schema: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// One line on what it is.
    pub about: &'static str,
}

/// One way the control plane can be asked.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// What it is called: the OpenAPI operation's id, and the label in metrics.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// Who is let in.
    pub auth: Auth,
    /// The largest body taken, bytes.
    pub body_cap: usize,
    /// Requests of one client a second, on average; a burst may be ten times as many. 0 is no limit.
    pub rate: u32,
    /// What its query may hold; anything else there is refused.
    pub query: &'static [Param],
    /// Headers of its own that it reads.
    pub headers: &'static [Param],
    /// The body.
    pub body: Content,
    /// The answer.
    pub answer: Content,
    /// Its status where all went well.
    pub status: u16,
    /// One line on what it does.
    pub summary: &'static str,
}

fn json<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A small body.
const SMALL: usize = 64 << 10;
/// A body with a task's text, JSON-escaped.
const TASK: usize = 2 << 20;
/// What a code host sends at most (GitHub's own cap).
const DELIVERY: usize = 25 << 20;

/// An event of Slack: a message has at most 40,000 characters, told twice (as text and as blocks).
const SLACK_EVENT: usize = 1 << 20;

/// How Slack signs.
const SLACK: &[Param] = &[
    Param {
        name: "X-Slack-Signature",
        schema: r#"{"type":"string","pattern":"^v0=[0-9a-f]{64}$"}"#,
        required: true,
        about: "HMAC-SHA-256 of `v0:`, the time, `:` and the raw body, keyed with the shared secret.",
    },
    Param {
        name: "X-Slack-Request-Timestamp",
        schema: r#"{"type":"string","pattern":"^[0-9]{1,12}$"}"#,
        required: true,
        about: "When it was signed, seconds since 1970; not taken when more than five minutes from now.",
    },
];

const IDEMPOTENCY_KEY: Param = Param {
    name: "Idempotency-Key",
    schema: r#"{"type":"string","pattern":"^[!-~]{1,200}$"}"#,
    required: false,
    about: "Chosen by the client: the same key with the same request is the same task.",
};

const BASE: Endpoint = Endpoint {
    name: "",
    method: Method::Get,
    path: "",
    auth: Auth::Token(Scope::Read),
    body_cap: 0,
    rate: 20,
    query: &[],
    headers: &[],
    body: Content::None,
    answer: Content::None,
    status: 200,
    summary: "",
};

/// What parameters in paths hold, as JSON Schema.
pub const PATH_PARAMS: &[(&str, &str)] = &[
    ("id", r#"{"type":"string","minLength":1,"maxLength":40}"#),
    ("task", r#"{"type":"string","pattern":"^t-[0-9a-f]{20}$"}"#),
    ("attempt", r#"{"type":"integer","minimum":1,"maximum":4294967295}"#),
    ("digest", r#"{"type":"string","pattern":"^sha256:[0-9a-f]{64}$"}"#),
    ("owner", r#"{"type":"string","pattern":"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$"}"#),
    ("name", r#"{"type":"string","pattern":"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$"}"#),
];

/// The most tasks of one page.
pub const PAGE: u32 = 100;

/// The table.
pub const ENDPOINTS: &[Endpoint] = &ALL;

const ALL: [Endpoint; PROGRAMS.len() + workers::WORKERS.len() + pages::PAGES.len()] = {
    let mut all = [BASE; PROGRAMS.len() + workers::WORKERS.len() + pages::PAGES.len()];
    let (programs, others) = all.split_at_mut(PROGRAMS.len());
    let (workers, pages) = others.split_at_mut(workers::WORKERS.len());
    programs.copy_from_slice(PROGRAMS);
    workers.copy_from_slice(workers::WORKERS);
    pages.copy_from_slice(pages::PAGES);
    all
};

/// What programs other than workers ask for.
const PROGRAMS: &[Endpoint] = &[
    Endpoint {
        name: "submit_task",
        method: Method::Post,
        path: "/v1/tasks",
        auth: Auth::Token(Scope::Submit),
        body_cap: TASK,
        headers: &[IDEMPOTENCY_KEY],
        body: Content::Json(json::<NewTask>),
        answer: Content::Json(json::<TaskAccepted>),
        status: 202,
        summary: "Ask for a task. With the header Idempotency-Key, the same request a second time gets the first one's answer.",
        ..BASE
    },
    Endpoint {
        name: "list_tasks",
        path: "/v1/tasks",
        query: &[
            Param {
                name: "repo",
                schema: r#"{"type":"string","pattern":"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$"}"#,
                required: false,
                about: "Of this repository alone.",
            },
            Param {
                name: "state",
                schema: r##"{"$ref":"#/components/schemas/TaskState"}"##,
                required: false,
                about: "In this state.",
            },
            Param {
                name: "before",
                schema: r#"{"type":"string","pattern":"^t-[0-9a-f]{20}$"}"#,
                required: false,
                about: "Older than this one; the `next` of the page before.",
            },
            Param {
                name: "limit",
                schema: r#"{"type":"integer","minimum":1,"maximum":100}"#,
                required: false,
                about: "At most so many; 50 where it is left out.",
            },
        ],
        answer: Content::Json(json::<TaskPage>),
        summary: "List tasks, the newest first. Of a text longer than 1 KiB the beginning is told.",
        ..BASE
    },
    Endpoint {
        name: "show_task",
        path: "/v1/tasks/{id}",
        answer: Content::Json(json::<TaskView>),
        summary: "Show a task.",
        ..BASE
    },
    Endpoint {
        name: "watch_task",
        path: "/v1/tasks/{id}/events",
        headers: &[Param {
            name: "Last-Event-ID",
            schema: r#"{"type":"integer","minimum":0}"#,
            required: false,
            about: "The `seq` of the last event that was seen.",
        }],
        answer: Content::Events(json::<TaskEvent>),
        summary: "Stream what happens to a task, from the beginning or after the header Last-Event-ID, until it ends.",
        ..BASE
    },
    Endpoint {
        name: "task_patch",
        path: "/v1/tasks/{id}/patch",
        answer: Content::Text,
        summary: "The patch of a task's latest attempt that made one.",
        ..BASE
    },
    Endpoint {
        name: "task_evidence",
        path: "/v1/tasks/{id}/evidence",
        answer: Content::Bytes,
        summary: "The signed evidence of the latest change that passed (an in-toto statement in a DSSE envelope).",
        ..BASE
    },
    Endpoint {
        name: "task_trajectory",
        path: "/v1/tasks/{id}/trajectory",
        answer: Content::Lines,
        summary: "The journal of a task's latest attempt, a line for each event.",
        ..BASE
    },
    Endpoint {
        name: "task_artifact",
        path: "/v1/tasks/{id}/artifacts/{digest}",
        answer: Content::Bytes,
        summary: "Something that an attempt at a task handed over, by its digest: what the journal, the evidence or a bow-out names.",
        ..BASE
    },
    Endpoint {
        name: "task_verdict",
        path: "/v1/tasks/{id}/verdict",
        answer: Content::Json(json::<Verdict>),
        summary: "What the gate decided on the evidence, as this control plane computed it.",
        ..BASE
    },
    Endpoint {
        name: "cancel_task",
        method: Method::Post,
        path: "/v1/tasks/{id}/cancel",
        auth: Auth::Token(Scope::Submit),
        body_cap: SMALL,
        answer: Content::Json(json::<TaskView>),
        summary: "Stop a task. One that runs ends when its worker renews next.",
        ..BASE
    },
    Endpoint {
        name: "retry_task",
        method: Method::Post,
        path: "/v1/tasks/{id}/retry",
        auth: Auth::Token(Scope::Submit),
        body_cap: SMALL,
        answer: Content::Json(json::<TaskView>),
        summary: "Put a task that has ended without a pull request back into the queue.",
        ..BASE
    },
    Endpoint {
        name: "repo_policy",
        path: "/v1/repos/{owner}/{name}/policy",
        answer: Content::Json(json::<serde_json::Value>),
        summary: "The operator's policy for a repository: its layers, and what they let an attempt do.",
        ..BASE
    },
    Endpoint {
        name: "repo_explain",
        path: "/v1/repos/{owner}/{name}/explain",
        answer: Content::Json(json::<serde_json::Value>),
        query: &[Param {
            name: "call",
            schema: r#"{"type":"string","minLength":1,"maxLength":4096}"#,
            required: true,
            about: "Such as `edit src/lib.rs`.",
        }],
        summary: "Why the operator's policy allows or denies a call.",
        ..BASE
    },
    Endpoint {
        name: "repo_profile",
        path: "/v1/repos/{owner}/{name}/profile",
        headers: &[Param {
            name: "If-None-Match",
            schema: r#"{"type":"string"}"#,
            required: false,
            about: "The ETag of what the client has; 304 where that is still it.",
        }],
        answer: Content::Json(json::<Profile>),
        summary: "What is known of a repository, with its proofs. Carries an ETag.",
        ..BASE
    },
    Endpoint {
        name: "onboard_repo",
        method: Method::Post,
        path: "/v1/repos/{owner}/{name}/onboard",
        auth: Auth::Token(Scope::Submit),
        body_cap: SMALL,
        headers: &[IDEMPOTENCY_KEY],
        answer: Content::Json(json::<TaskAccepted>),
        status: 202,
        summary: "Have a worker find a repository's commands and prove them by running them. The task takes the place of one before that has not ended.",
        ..BASE
    },
    Endpoint {
        name: "create_token",
        method: Method::Post,
        path: "/v1/tokens",
        auth: Auth::Token(Scope::Admin),
        body_cap: SMALL,
        body: Content::Json(json::<NewToken>),
        answer: Content::Json(json::<TokenMade>),
        status: 201,
        summary: "Make a token. Its secret is told in this answer and never again.",
        ..BASE
    },
    Endpoint {
        name: "list_tokens",
        path: "/v1/tokens",
        auth: Auth::Token(Scope::Admin),
        answer: Content::Json(json::<Vec<TokenView>>),
        summary: "List tokens, without their secrets.",
        ..BASE
    },
    Endpoint {
        name: "revoke_token",
        method: Method::Delete,
        path: "/v1/tokens/{id}",
        auth: Auth::Token(Scope::Admin),
        status: 204,
        summary: "Revoke a token.",
        ..BASE
    },
    Endpoint {
        name: "stats",
        path: "/v1/stats",
        answer: Content::Json(json::<Stats>),
        summary: "What came of tasks, by repository and week: opened, merged, closed, abstained and why, and what it cost.",
        ..BASE
    },
    Endpoint {
        name: "dead_effects",
        path: "/v1/dead",
        auth: Auth::Token(Scope::Admin),
        answer: Content::Json(json::<Vec<DeadEffect>>),
        summary: "List what was to be done outside and was given up, the newest first, at most 100.",
        ..BASE
    },
    Endpoint {
        name: "revive_effect",
        method: Method::Post,
        path: "/v1/dead/{id}/revive",
        auth: Auth::Token(Scope::Admin),
        body_cap: SMALL,
        status: 204,
        summary: "Try again what was given up.",
        ..BASE
    },
    Endpoint {
        name: "livez",
        path: "/livez",
        auth: Auth::Public,
        rate: 0,
        answer: Content::Text,
        summary: "Whether the process answers.",
        ..BASE
    },
    Endpoint {
        name: "readyz",
        path: "/readyz",
        auth: Auth::Public,
        rate: 0,
        answer: Content::Text,
        summary: "Whether it can do its work: 503 while it drains or its database cannot be written.",
        ..BASE
    },
    Endpoint {
        name: "metrics",
        path: "/metrics",
        auth: Auth::Token(Scope::Admin),
        rate: 0,
        answer: Content::Text,
        summary: "Counters and durations, in the text format of Prometheus.",
        ..BASE
    },
    Endpoint {
        name: "openapi",
        path: "/openapi.json",
        auth: Auth::Public,
        answer: Content::Json(json::<serde_json::Value>),
        summary: "This description.",
        ..BASE
    },
    Endpoint {
        name: "hook_github",
        method: Method::Post,
        path: "/hooks/github",
        auth: Auth::Signature,
        body_cap: DELIVERY,
        rate: 0,
        headers: &[
            Param {
                name: "X-Hub-Signature-256",
                schema: r#"{"type":"string","pattern":"^sha256=[0-9a-f]{64}$"}"#,
                required: true,
                about: "HMAC-SHA-256 of the raw body, keyed with the shared secret.",
            },
            Param {
                name: "X-GitHub-Delivery",
                schema: r#"{"type":"string","pattern":"^[!-~]{1,200}$"}"#,
                required: true,
                about: "The delivery's id; one that is known is not taken twice.",
            },
            Param {
                name: "X-GitHub-Event",
                schema: r#"{"type":"string","pattern":"^[a-z_]{1,100}$"}"#,
                required: true,
                about: "What it tells of.",
            },
        ],
        body: Content::Json(json::<serde_json::Value>),
        answer: Content::None,
        status: 202,
        summary: "Deliveries of the code host, signed (X-Hub-Signature-256).",
        ..BASE
    },
    Endpoint {
        name: "hook_slack_commands",
        method: Method::Post,
        path: "/hooks/slack/commands",
        auth: Auth::Signature,
        body_cap: SMALL,
        rate: 0,
        headers: SLACK,
        body: Content::Form,
        answer: Content::Json(json::<serde_json::Value>),
        summary: "The slash command in Slack, signed (X-Slack-Signature).",
        ..BASE
    },
    Endpoint {
        name: "hook_slack_events",
        method: Method::Post,
        path: "/hooks/slack/events",
        auth: Auth::Signature,
        body_cap: SLACK_EVENT,
        rate: 0,
        headers: SLACK,
        body: Content::Json(json::<serde_json::Value>),
        answer: Content::Json(json::<serde_json::Value>),
        summary: "Events of Slack, signed (X-Slack-Signature).",
        ..BASE
    },
];

impl Endpoint {
    /// Whether it is of the pages that people look at: the root and everything under `/web`. Those are no interface for
    /// programs, and are not in the OpenAPI document.
    pub fn is_web(&self) -> bool {
        is_web(self.path)
    }
}

/// Whether a path is one of the pages, or would be.
pub fn is_web(path: &str) -> bool {
    path == "/" || path == "/web" || path.starts_with("/web/")
}

/// Returns the endpoint of a name.
pub fn named(name: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_routes_are_unique_and_bodies_are_bounded() {
        let names: BTreeSet<&str> = ENDPOINTS.iter().map(|one| one.name).collect();
        let routes: BTreeSet<_> = ENDPOINTS.iter().map(|one| (one.method, one.path)).collect();
        assert_eq!((names.len(), routes.len()), (ENDPOINTS.len(), ENDPOINTS.len()));
        for one in ENDPOINTS {
            assert!(
                one.path.starts_with('/') && !one.name.is_empty() && one.summary.ends_with('.'),
                "{}",
                one.name
            );
            assert!(matches!(one.body, Content::None) || one.body_cap > 0, "{}", one.name);
            assert!(one.method != Method::Get || one.body_cap == 0, "{}", one.name);
            let parts = one.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            for part in parts {
                assert!(PATH_PARAMS.iter().any(|(name, _)| *name == part), "{}: {part}", one.name);
            }
            let schemas = one.query.iter().chain(one.headers).map(|param| param.schema);
            for schema in schemas.chain(PATH_PARAMS.iter().map(|(_, schema)| *schema)) {
                assert!(serde_json::from_str::<serde_json::Value>(schema).is_ok(), "{schema}");
            }
        }
    }

    #[test]
    fn only_what_tells_nothing_is_public() {
        let public: Vec<&str> =
            ENDPOINTS.iter().filter(|one| one.auth == Auth::Public).map(|one| one.name).collect();
        let pages = ["web_root", "web_login_page", "web_login", "web_style", "web_script"];
        assert_eq!(public, [&["livez", "readyz", "openapi"][..], &pages[..]].concat());
    }
}
