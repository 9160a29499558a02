//! The OpenAPI 3.1 document, made from the table.

use std::sync::OnceLock;

use gloaming_api::endpoints::{Auth, Content, ENDPOINTS, Endpoint, Method, PATH_PARAMS, Param};
use gloaming_api::problem::{MEDIA_TYPE, Problem, ProblemCode};
use gloaming_api::task::TaskState;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::body;

/// Returns the document as it is served and published in `docs/schemas/openapi.json`.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{}\n", serde_json::to_string_pretty(&document()).expect("a value is JSON")))
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = SchemaGenerator::new(settings);
    // Named by parameters and answers beside the table's own.
    generator.subschema_for::<Problem>();
    generator.subschema_for::<TaskState>();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !endpoint.is_web()) {
        let operation = operation(endpoint, &mut generator);
        let path = paths.entry(endpoint.path.to_owned()).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gloaming",
            "summary": "The control plane of a background coding agent.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {"Problem": {
                "description": "What went wrong; docs/errors has a page for each code.",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token, glm_ID_SECRET."},
                "password": {
                    "type": "http", "scheme": "basic",
                    "description": "A token as the password, whatever the user's name: what git shows.",
                },
                "signature": {
                    "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
                    "description": "HMAC-SHA-256 of the raw body with the shared secret.",
                },
                "slack_signature": {
                    "type": "apiKey", "in": "header", "name": "X-Slack-Signature",
                    "description": "HMAC-SHA-256 of time and raw body with the shared secret.",
                },
            },
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let names = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = names
        .map(|name| {
            let known = PATH_PARAMS.iter().find(|(known, _)| *known == name);
            let schema = known.map_or(r#"{"type":"string"}"#, |(_, schema)| *schema);
            json!({"name": name, "in": "path", "required": true, "schema": parsed(schema)})
        })
        .collect();
    parameters.extend(endpoint.query.iter().map(|param| parameter(param, "query")));
    parameters.extend(endpoint.headers.iter().map(|param| parameter(param, "header")));
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "responses": responses(endpoint, generator),
    });
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    operation["security"] = match endpoint.auth {
        Auth::Public => json!([]),
        Auth::Token(_) | Auth::Session(_) => json!([{"token": []}]),
        Auth::Password(_) => json!([{"password": []}, {"token": []}]),
        Auth::Signature => {
            // Who signs says in which header.
            let slack = endpoint.headers.iter().any(|header| header.name == "X-Slack-Signature");
            json!([{if slack { "slack_signature" } else { "signature" }: []}])
        }
    };
    if let Auth::Token(scope) | Auth::Session(scope) | Auth::Password(scope) = endpoint.auth {
        operation["description"] = json!(format!("Needs a token of the scope `{}`.", scope.as_str()));
    }
    if let Some(content) = content(endpoint.body, generator) {
        let mut about = format!("At most {} bytes.", endpoint.body_cap);
        if body::is_taken_for_json(endpoint) {
            about += " Without a Content-Type, or with the one of `curl -d`, it is taken for JSON.";
        }
        operation["requestBody"] = json!({
            "required": true,
            "description": about,
            "content": content,
        });
    }
    operation
}

fn parameter(param: &Param, place: &str) -> Value {
    json!({
        "name": param.name,
        "in": place,
        "required": param.required,
        "description": param.about,
        "schema": parsed(param.schema),
    })
}

fn parsed(schema: &str) -> Value {
    serde_json::from_str(schema).expect("a test holds the table's schemas to be JSON")
}

fn content(content: Content, generator: &mut SchemaGenerator) -> Option<Value> {
    Some(match content {
        Content::None => return None,
        Content::Json(schema) => json!({"application/json": {"schema": schema(generator)}}),
        Content::Events(schema) => {
            // The schema is that of an event's data: OpenAPI 3.1 has no word for a stream of them.
            let schema = schema(generator);
            json!({"text/event-stream": {"schema": {"type": "string"}, "x-event-data": schema}})
        }
        Content::Lines => json!({"application/jsonl": {"schema": {"type": "string"}}}),
        Content::Bytes => json!({"application/octet-stream": {}}),
        Content::Git(kind) => json!({kind: {}}),
        Content::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
        Content::Page => json!({"text/html": {"schema": {"type": "string"}}}),
        Content::Form => json!({"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}),
    })
}

fn responses(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut success = json!({"description": "As asked."});
    if let Some(content) = content(endpoint.answer, generator) {
        success["content"] = content;
    }
    let header = |about: &str| json!({"description": about, "schema": {"type": "string"}});
    let mut responses = Map::new();
    match endpoint.name {
        "submit_task" | "onboard_repo" => {
            success["headers"] = json!({"Location": header("The task's path.")})
        }
        "repo_profile" => {
            success["headers"] = json!({"ETag": header("Changes with what the profile was made from.")});
            responses.insert("304".into(), json!({"description": "It is what If-None-Match names."}));
        }
        "lease" => {
            responses.insert("204".into(), json!({"description": "There was no task in time."}));
        }
        "watch_task" => {
            responses.insert(
                "204".into(),
                json!({"description": "The task has ended, and no event is left to tell."}),
            );
        }
        "readyz" => {
            responses.insert(
                "503".into(),
                json!({
                    "description": "It cannot do its work, and why.",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                }),
            );
        }
        _ => {}
    }
    responses.insert(endpoint.status.to_string(), success);
    for code in problems(endpoint) {
        let problem = json!({"$ref": "#/components/responses/Problem"});
        responses.entry(code.status().to_string()).or_insert(problem);
    }
    responses.insert("default".into(), json!({"$ref": "#/components/responses/Problem"}));
    Value::Object(responses)
}

/// What may go wrong with a request for an endpoint, beside what may with every one.
fn problems(endpoint: &Endpoint) -> Vec<ProblemCode> {
    use ProblemCode::*;
    let mut codes = vec![BadRequest];
    match endpoint.auth {
        Auth::Public => {}
        Auth::Token(_) | Auth::Session(_) | Auth::Password(_) => codes.extend([Unauthorized, Forbidden]),
        Auth::Signature => codes.push(BadSignature),
    }
    if endpoint.path.contains('{') {
        codes.push(NotFound);
    }
    if !matches!(endpoint.body, Content::None) {
        codes.extend([RequestTimeout, TooLarge, UnsupportedMediaType, InvalidBody]);
    }
    match endpoint.name {
        "submit_task" | "onboard_repo" => codes.extend([NotFound, IdempotencyConflict, PolicyBlocked]),
        "retry_task" => codes.push(Conflict),
        "lease" => codes.push(ProtocolVersion),
        _ if endpoint.path.contains("{attempt}") => codes.push(LeaseLost),
        _ => {}
    }
    if matches!(endpoint.answer, Content::Git(_)) {
        codes.push(HostFailed);
    }
    if endpoint.rate > 0 {
        codes.push(RateLimited);
    }
    if endpoint.method != Method::Get || endpoint.rate > 0 {
        codes.push(Overloaded);
    }
    codes
}
