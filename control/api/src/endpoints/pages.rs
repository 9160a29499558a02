//! What people look at: the pages under `/web`, their forms and files.

use super::{Auth, BASE, Content, Endpoint, Method, Param, SMALL, TASK, json};
use crate::access::Scope;
use crate::task::TaskEvent;

/// Makes the address of a file another one when the file is.
const VERSION: Param = Param {
    name: "v",
    schema: r#"{"type":"string"}"#,
    required: false,
    about: "Which version the page means.",
};

/// The pages' part of the table.
pub(super) const PAGES: &[Endpoint] = &[
    Endpoint {
        name: "web_root",
        path: "/",
        auth: Auth::Public,
        status: 303,
        summary: "Leads to the pages.",
        ..BASE
    },
    Endpoint {
        name: "web_login_page",
        path: "/web/login",
        auth: Auth::Public,
        query: &[Param {
            name: "next",
            schema: r#"{"type":"string","maxLength":500}"#,
            required: false,
            about: "The page that was asked for.",
        }],
        answer: Content::Page,
        summary: "Where a person logs in.",
        ..BASE
    },
    Endpoint {
        name: "web_login",
        method: Method::Post,
        path: "/web/login",
        auth: Auth::Public,
        body_cap: SMALL,
        rate: 2,
        body: Content::Form,
        answer: Content::Page,
        status: 303,
        summary: "Log in with a token.",
        ..BASE
    },
    Endpoint {
        name: "web_logout",
        method: Method::Post,
        path: "/web/logout",
        auth: Auth::Session(Scope::Read),
        body_cap: SMALL,
        body: Content::Form,
        answer: Content::Page,
        status: 303,
        summary: "End a session.",
        ..BASE
    },
    Endpoint {
        name: "web_style",
        path: "/web/style.css",
        auth: Auth::Public,
        query: &[VERSION],
        answer: Content::Text,
        summary: "How pages look.",
        ..BASE
    },
    Endpoint {
        name: "web_script",
        path: "/web/live.js",
        auth: Auth::Public,
        query: &[VERSION],
        answer: Content::Text,
        summary: "What keeps a task's page up to date.",
        ..BASE
    },
    Endpoint {
        name: "web_tasks",
        path: "/web",
        auth: Auth::Session(Scope::Read),
        query: &[
            Param {
                name: "repo",
                schema: r#"{"type":"string"}"#,
                required: false,
                about: "Of this repository alone; empty for all.",
            },
            Param {
                name: "state",
                schema: r#"{"type":"string"}"#,
                required: false,
                about: "In this state; empty for any.",
            },
            Param {
                name: "before",
                schema: r#"{"type":"string"}"#,
                required: false,
                about: "Older than this one.",
            },
        ],
        answer: Content::Page,
        summary: "The page of tasks.",
        ..BASE
    },
    Endpoint {
        name: "web_task",
        path: "/web/tasks/{id}",
        auth: Auth::Session(Scope::Read),
        answer: Content::Page,
        summary: "The page of one task.",
        ..BASE
    },
    Endpoint {
        name: "web_watch",
        path: "/web/tasks/{id}/events",
        auth: Auth::Session(Scope::Read),
        query: &[Param {
            name: "after",
            schema: r#"{"type":"integer","minimum":0}"#,
            required: false,
            about: "The event that the page knows; what Last-Event-ID says counts before it.",
        }],
        headers: &[Param {
            name: "Last-Event-ID",
            schema: r#"{"type":"integer","minimum":0}"#,
            required: false,
            about: "The `seq` of the last event that was seen.",
        }],
        answer: Content::Events(json::<TaskEvent>),
        summary: "Tells a task's page when to look again.",
        ..BASE
    },
    Endpoint {
        name: "web_submit_page",
        path: "/web/new",
        auth: Auth::Session(Scope::Submit),
        query: &[Param {
            name: "repo",
            schema: r#"{"type":"string"}"#,
            required: false,
            about: "The repository to begin with.",
        }],
        answer: Content::Page,
        summary: "Where a person asks for a task.",
        ..BASE
    },
    Endpoint {
        name: "web_submit",
        method: Method::Post,
        path: "/web/new",
        auth: Auth::Session(Scope::Submit),
        body_cap: TASK,
        body: Content::Form,
        answer: Content::Page,
        status: 303,
        summary: "Ask for a task.",
        ..BASE
    },
    Endpoint {
        name: "web_cancel",
        method: Method::Post,
        path: "/web/tasks/{id}/cancel",
        auth: Auth::Session(Scope::Submit),
        body_cap: SMALL,
        body: Content::Form,
        answer: Content::Page,
        status: 303,
        summary: "Stop a task.",
        ..BASE
    },
    Endpoint {
        name: "web_retry",
        method: Method::Post,
        path: "/web/tasks/{id}/retry",
        auth: Auth::Session(Scope::Submit),
        body_cap: SMALL,
        body: Content::Form,
        answer: Content::Page,
        status: 303,
        summary: "Put a task back into the queue.",
        ..BASE
    },
    Endpoint {
        name: "web_onboard",
        method: Method::Post,
        path: "/web/repos/{owner}/{name}/onboard",
        auth: Auth::Session(Scope::Submit),
        body_cap: SMALL,
        body: Content::Form,
        answer: Content::Page,
        status: 303,
        summary: "Have a repository's commands found and proved.",
        ..BASE
    },
    Endpoint {
        name: "web_repos",
        path: "/web/repos",
        auth: Auth::Session(Scope::Read),
        answer: Content::Page,
        summary: "The page of repositories.",
        ..BASE
    },
    Endpoint {
        name: "web_repo",
        path: "/web/repos/{owner}/{name}",
        auth: Auth::Session(Scope::Read),
        query: &[Param {
            name: "call",
            schema: r#"{"type":"string","maxLength":4096}"#,
            required: false,
            about: "A call to be explained.",
        }],
        answer: Content::Page,
        summary: "The page of one repository: its policy, why a call is allowed or denied, and what is known of it.",
        ..BASE
    },
];
