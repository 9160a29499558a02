//! What workers ask for: leases, and what is done under them.

use super::{Auth, BASE, Content, Endpoint, Method, Param, SMALL, json};
use crate::access::Scope;
use crate::profile::Profile;
use crate::worker::{AttemptResult, Lease, LeaseRequest, Renewal, Renewed, Uploaded};

/// What git asks for when it reads: names of objects that it wants and has, 50 bytes each.
const GIT_ASKED: usize = 16 << 20;

/// What is known of a large monorepo.
const PROFILE: usize = 2 << 20;

/// Says which version of its protocol git speaks (`gitprotocol-http(5)`).
const GIT_PROTOCOL: Param = Param {
    name: "Git-Protocol",
    schema: r#"{"type":"string","pattern":"^[!-~]{1,200}$"}"#,
    required: false,
    about: "The version of its protocol that git wants to speak, handed on to the code host.",
};

/// The workers' part of the table.
pub(super) const WORKERS: &[Endpoint] = &[
    Endpoint {
        name: "lease",
        method: Method::Post,
        path: "/v1/leases",
        auth: Auth::Token(Scope::Worker),
        body_cap: SMALL,
        rate: 50,
        body: Content::Json(json::<LeaseRequest>),
        answer: Content::Json(json::<Lease>),
        summary: "Wait for a task that fits; 204 where there was none in time.",
        ..BASE
    },
    Endpoint {
        name: "renew_lease",
        method: Method::Put,
        path: "/v1/leases/{task}/{attempt}",
        auth: Auth::Token(Scope::Worker),
        body_cap: SMALL,
        rate: 50,
        body: Content::Json(json::<Renewal>),
        answer: Content::Json(json::<Renewed>),
        summary: "Keep a lease, say what is being done, and hear whether to stop.",
        ..BASE
    },
    Endpoint {
        name: "lease_events",
        method: Method::Post,
        path: "/v1/leases/{task}/{attempt}/events",
        auth: Auth::Token(Scope::Worker),
        body_cap: crate::worker::CHUNK_CAP,
        rate: 100,
        body: Content::Lines,
        answer: Content::Json(json::<Uploaded>),
        query: &[Param {
            name: "from",
            schema: r#"{"type":"integer","minimum":0}"#,
            required: true,
            about: "The number of the first line, from 0.",
        }],
        summary: "Hand over lines of the attempt's journal. Lines that are there are not taken twice.",
        ..BASE
    },
    Endpoint {
        name: "lease_artifact",
        method: Method::Put,
        path: "/v1/leases/{task}/{attempt}/artifacts/{digest}",
        auth: Auth::Token(Scope::Worker),
        body_cap: crate::worker::ARTIFACT_CAP,
        rate: 100,
        body: Content::Bytes,
        status: 204,
        summary: "Hand over an artifact, named by its digest.",
        ..BASE
    },
    Endpoint {
        name: "lease_profile",
        method: Method::Put,
        path: "/v1/leases/{task}/{attempt}/profile",
        auth: Auth::Token(Scope::Worker),
        body_cap: PROFILE,
        rate: 50,
        body: Content::Json(json::<Profile>),
        status: 204,
        summary: "Say what the attempt found to be known of its repository; kept where it began on the default branch.",
        ..BASE
    },
    Endpoint {
        name: "lease_result",
        method: Method::Post,
        path: "/v1/leases/{task}/{attempt}/result",
        auth: Auth::Token(Scope::Worker),
        body_cap: 8 << 20,
        rate: 50,
        body: Content::Json(json::<AttemptResult>),
        status: 204,
        summary: "End an attempt.",
        ..BASE
    },
    Endpoint {
        name: "release_lease",
        method: Method::Delete,
        path: "/v1/leases/{task}/{attempt}",
        auth: Auth::Token(Scope::Worker),
        rate: 50,
        status: 204,
        summary: "Give a lease back; another worker goes on, and the try is not counted.",
        ..BASE
    },
    Endpoint {
        name: "lease_git_refs",
        path: "/v1/leases/{task}/{attempt}/git/info/refs",
        auth: Auth::Password(Scope::Worker),
        rate: 50,
        query: &[Param {
            name: "service",
            schema: r#"{"const":"git-upload-pack"}"#,
            required: true,
            about: "What is asked for: a read. Nothing is written this way.",
        }],
        headers: &[GIT_PROTOCOL],
        answer: Content::Git("application/x-git-upload-pack-advertisement"),
        summary: "Begin to read the repository of a lease's task by git: its address is this path without `/info/refs`.",
        ..BASE
    },
    Endpoint {
        name: "lease_git_read",
        method: Method::Post,
        path: "/v1/leases/{task}/{attempt}/git/git-upload-pack",
        auth: Auth::Password(Scope::Worker),
        body_cap: GIT_ASKED,
        rate: 50,
        headers: &[
            GIT_PROTOCOL,
            Param {
                name: "Content-Encoding",
                schema: r#"{"const":"gzip"}"#,
                required: false,
                about: "Whether the body is compressed; git compresses long ones.",
            },
        ],
        body: Content::Git("application/x-git-upload-pack-request"),
        answer: Content::Git("application/x-git-upload-pack-result"),
        summary: "Read objects of the repository of a lease's task by git.",
        ..BASE
    },
];
