//! The JSON Schema of a policy file, for editors.
//!
//! It is Draft 7, and of that only what Draft 4 has too but for `enum`s of one: what reads TOML beside a schema
//! (Taplo, Even Better TOML, Tombi) knows no later draft. There is no `$ref`: where there is one, Taplo shows nothing
//! that stands beside it. A schema says less than the parser, which also knows the glob dialect and what the lanes can
//! enforce; it never refuses what loads.

use serde_json::{Value, json};

use crate::file::{HOST_NAMES, TOOLS};
use crate::parse::keys;
use crate::preset::PRESETS;
use crate::subject::{HOST_SETS, Kind};
use crate::units::MOST_TOKENS;

#[cfg(test)]
mod tests;

/// Returns the JSON Schema of a policy file; `docs/schemas/policy.schema.json` is the same.
pub fn schema() -> Value {
    let mut schema = table(
        "What Gloaming may do in a repository: which tools may touch which files, which jobs may run, what an attempt \
         may spend. What no [[allow]] covers is denied, a denial always wins, and order never matters.",
        &["schema"],
        json!({
            "schema": {"description": "The version of the format. Always 1.", "type": "integer", "enum": [1]},
            "repos": {
                "description": "The repositories an operator's file counts for. Left out, it counts for all. A \
                                repository's own file always counts: it can only narrow.",
                "type": "array",
                "items": {
                    "type": "string",
                    "pattern": r"^(\*|[A-Za-z0-9._*-]{1,100}/[A-Za-z0-9._*-]{1,100})$",
                    "examples": ["acme/api", "acme/*", "*"],
                },
            },
            "extends": extends(),
            "tool": list_of(tool()),
            "mcp": list_of(mcp()),
            "allow": list_of(allow()),
            "deny": list_of(deny()),
            "jobs": jobs(),
            "budget": budget(),
            "change": change(),
            "gate": gate(),
            "submit": submit(),
            "model": model(),
            "test": list_of(test()),
        }),
    );
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Gloaming policy");
    schema
}

/// A table with these keys and no others.
fn table(description: &str, required: &[&str], properties: Value) -> Value {
    let mut table = json!({
        "description": description, "type": "object", "additionalProperties": false, "properties": properties,
    });
    // An empty list of required keys is no valid one in Draft 4.
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn list_of(items: Value) -> Value {
    json!({"description": items["description"], "type": "array", "items": items})
}

/// Strings of a kind, at least one of them.
fn some(description: &str, items: Value) -> Value {
    json!({"description": description, "type": "array", "minItems": 1, "items": items})
}

fn extends() -> Value {
    let presets: Vec<String> = PRESETS.iter().map(|name| format!("preset:{name}")).collect();
    json!({
        "description": "What the file narrows: presets, and in an operator's file other files, named relative to this \
                        one. It can take away from what they allow and add nothing.",
        "type": "array",
        "items": {"anyOf": [
            {"description": "A preset; `gloaming policy show PRESET` prints it.", "type": "string", "enum": presets},
            {
                "description": "A file beside this one.",
                "type": "string",
                "pattern": r"^file:[^/\\][^\\]*$",
                "examples": ["file:base.toml", "file:../team.toml"],
            },
        ]},
    })
}

fn tool() -> Value {
    table(
        "A tool that the operator registered: makes it known to this file's rules. A file that does not name it cannot \
         grant it.",
        &["name"],
        json!({
            "name": {
                "description": "The tool's name, as `gloaming tools add` prints it.",
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]{0,63}$",
                "not": {"anyOf": [{"enum": TOOLS}, {"enum": HOST_NAMES}, {"pattern": "^mcp_"}]},
                "examples": ["word_count"],
            },
            "digest": {
                "description": "The only component that may serve the tool. Where another is registered, nothing runs.",
                "type": "string",
                "pattern": DIGEST,
            },
        }),
    )
}

const DIGEST: &str = "^sha256:[0-9a-f]{64}$";

fn mcp() -> Value {
    table(
        "A server of the Model Context Protocol over standard input and output, which is started as a job of the kind \
         test for each call. Only an operator's file may name one.",
        &["name", "command", "tools"],
        json!({
            "name": {
                "description": "Its tools go by mcp_NAME_TOOL.",
                "type": "string", "pattern": "^[a-z][a-z0-9]{0,19}$", "examples": ["docs"],
            },
            "command": some(
                "The program and its arguments, word by word.",
                json!({"type": "string", "minLength": 1, "examples": ["python3", "tools/server.py"]}),
            ),
            "tools": some(
                "The tools that may be used, by the server's own names.",
                json!({"type": "string", "minLength": 1, "maxLength": 59, "examples": ["lookup"]}),
            ),
            "workspace": {
                "description": "\"read\" shows it a copy of the workspace, without what nobody may read; \"none\", as \
                                where nothing is said, an empty folder.",
                "type": "string", "enum": ["none", "read"],
            },
        }),
    )
}

fn id() -> Value {
    json!({
        "description": "The rule's name, once in a file: letters, digits, - and _. Denials are told by it.",
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        "not": {"enum": crate::parse::RESERVED},
        "examples": ["edit-source", "no-secrets"],
    })
}

fn sentence(description: &str, example: &str) -> Value {
    json!({"description": description, "type": "string", "pattern": "[^ \\t\\n]", "examples": [example]})
}

fn because_allowed() -> Value {
    sentence("Why, for those who read the policy.", "The team's own code.")
}

fn tools() -> Value {
    let own: Vec<&str> = TOOLS.iter().copied().chain(["*"]).collect();
    some(
        "The tools the rule is about. read, list, search, outline and diff look; edit, write, patch, move and remove \
         change files; check runs build, test and lint; * is every tool. A registered one needs a [[tool]] table.",
        json!({"anyOf": [
            {"description": "One of Gloaming's own tools, or * for every tool.", "type": "string", "enum": own},
            {
                "description": "A registered tool that a [[tool]] table of this file names.",
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]{0,63}$",
            },
        ]}),
    )
}

fn pattern() -> Value {
    json!({"type": "string", "minLength": 1, "examples": ["**", "src/**", "/README.md", "*.pem"]})
}

fn paths() -> Value {
    some(
        "The files, in gitignore's patterns. Without a / a pattern counts at any depth; what matches a folder covers \
         everything beneath it; /README.md is only at the root. Braces mean nothing, and there is no !.",
        pattern(),
    )
}

fn allow() -> Value {
    let files = table(
        "Lets tools touch files. In a file that extends another, it narrows these tools to these files.",
        &["id", "tools", "paths"],
        json!({"id": id(), "tools": tools(), "paths": paths(), "because": because_allowed()}),
    );
    let jobs = about_jobs(
        "Narrows jobs to these commands, images or variables.",
        &["id", "jobs"],
        json!({"id": id(), "because": because_allowed()}),
    );
    json!({
        "description": "Allows: tools on files, or commands, images and variables of jobs. Every file that has rules \
                        for a tool must have one that fits.",
        "oneOf": [files, jobs],
    })
}

fn deny() -> Value {
    let because = sentence(
        "Why, in a sentence for those it stops: the model, and you.",
        "Documentation is written by the docs team.",
    );
    let instead = sentence(
        "What to do instead, in a sentence for those it stops.",
        "Describe the change in the summary.",
    );
    let enforce = json!({
        "description": "\"warn\" denies nothing yet: what the rule would stop is told by explain and in the journal.",
        "type": "string",
        "enum": ["deny", "warn"],
    });
    let own = json!({"id": id(), "because": because, "instead": instead, "enforce": enforce});
    let mut files = table(
        "Forbids tools to touch files, whatever any rule allows.",
        &["id", "tools", "paths", "because"],
        own.clone(),
    );
    files["properties"]["tools"] = tools();
    files["properties"]["paths"] = paths();
    files["properties"]["access"] = json!({
        "description": "\"write\" denies only writing: look, do not touch. Left out, reading is denied too.",
        "type": "string",
        "enum": ["write"],
    });
    let jobs = about_jobs("Forbids jobs what it names.", &["id", "jobs", "because"], own);
    json!({
        "description": "Denies: tools on files, or commands, images and variables of jobs. A denial always wins.",
        "oneOf": [files, jobs],
    })
}

/// A rule about jobs: its own keys, the kinds of job, and exactly one of the things a job can have.
fn about_jobs(description: &str, required: &[&str], own: Value) -> Value {
    let mut rule = table(description, required, own);
    let kinds: Vec<&str> = keys::JOBS.iter().copied().chain(["*"]).collect();
    rule["properties"]["jobs"] = some(
        "The kinds of job the rule is about; * is every kind.",
        json!({"type": "string", "enum": kinds}),
    );
    for kind in Kind::ALL {
        rule["properties"][kind.key()] = subjects(*kind);
    }
    let one: Vec<Value> = Kind::ALL.iter().map(|kind| json!({"required": [kind.key()]})).collect();
    rule["oneOf"] = json!(one);
    rule
}

fn subjects(kind: Kind) -> Value {
    match kind {
        Kind::Commands => some(
            "Commands, word by word: * stands for any characters of a word, and as the last word for any further \
             words. An allowance takes the words as they stand; a denial finds the command behind env, timeout and \
             their like and within a shell's script, and with further words behind it.",
            json!({
                "type": "string", "pattern": "[^ \\t]", "not": {"pattern": ":\\*$"}, "maxLength": 1024,
                "examples": ["cargo test *", "npm publish"],
            }),
        ),
        Kind::Hosts => hosts(
            "Hosts that jobs may or may not reach, through a proxy that lets nothing else through. Loads where an \
             engine can enforce it; without such a rule jobs have no network.",
            1,
        ),
        Kind::Images => some(
            "The environments jobs run in, by digest, as a job's record has it; * is any.",
            json!({"type": "string", "pattern": r"^(\*|sha256:[0-9a-f]{64})$"}),
        ),
        Kind::Env => some(
            "Names of variables that a profile sets for its commands; * stands for any characters.",
            json!({"type": "string", "pattern": NAME, "examples": ["RUSTFLAGS", "AWS_*"]}),
        ),
        Kind::Secrets => some(
            "Names of secrets. No engine hands one to a job yet, so such a rule does not load.",
            json!({"type": "string", "pattern": NAME, "examples": ["DEPLOY_TOKEN"]}),
        ),
    }
}

const NAME: &str = "^[A-Za-z_*][A-Za-z0-9_*]*$";

const HOST: &str = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*";

fn hosts(description: &str, least: u32) -> Value {
    let mut hosts = json!({
        "description": description,
        "type": "array",
        "items": {"anyOf": [
            {
                "description": "A host, every host beneath one, or a host at a port by a scheme.",
                "type": "string",
                "pattern": format!(r"^([a-z0-9]+://{HOST}:[0-9]{{1,5}}|(\*\.)?{HOST})$"),
                "examples": ["example.org", "*.example.org", "http://llm.internal:8080"],
            },
            {"description": "A set of hosts by its name.", "type": "string", "enum": HOST_SETS},
        ]},
    });
    if least > 0 {
        hosts["minItems"] = json!(least);
    }
    hosts
}

fn duration(description: &str) -> Value {
    json!({
        "description": description,
        "type": "string",
        "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
        "minLength": 2,
        "examples": ["90s", "20m", "1h30m"],
    })
}

fn count(description: &str) -> Value {
    json!({"description": description, "type": "integer", "minimum": 1, "maximum": u32::MAX})
}

fn tokens(description: &str) -> Value {
    json!({"description": description, "type": "integer", "minimum": 1, "maximum": MOST_TOKENS})
}

fn size(description: &str, examples: [&str; 2]) -> Value {
    json!({
        "description": description,
        "type": "string",
        "pattern": r"^[0-9]+(\.[0-9]{1,6})?\s*(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)$",
        "examples": examples,
    })
}

fn jobs() -> Value {
    let kind = |name: &str| {
        table(
            &format!(
                "What {name} jobs may have. What is left out is as in the file it extends, or in preset:standard."
            ),
            &[],
            json!({
                "network": hosts(
                    "The hosts such jobs may reach, through a proxy that lets nothing else through; [] is none, \
                     whatever else allows some. Loads where an engine can enforce it.",
                    0,
                ),
                "memory": size("Memory, at least 16MiB.", ["512MiB", "4GiB"]),
                "timeout": duration("How long one may run, from 1s to 168h."),
                "cpus": {
                    "description": "Processors, also parts of one.",
                    "type": "number", "minimum": 0.01, "maximum": 4096, "examples": [2, 0.5],
                },
                "processes": count("Processes at a time."),
                "enabled": {"description": "false switches this kind of job off.", "type": "boolean"},
            }),
        )
    };
    let kinds: serde_json::Map<String, Value> =
        keys::JOBS.iter().map(|name| ((*name).to_owned(), kind(name))).collect();
    table(
        "What jobs may have, by their kind. They run in containers, without network unless hosts are named.",
        &[],
        json!(kinds),
    )
}

fn budget() -> Value {
    table(
        "What an attempt may spend. Of several layers the least counts.",
        &[],
        json!({
            "cost_usd": {
                "description": "US dollars for the model.", "type": "number", "minimum": 0, "examples": [2.0],
            },
            "steps": count("Steps of the model's loop."),
            "wall": duration("Wall-clock time, from 1s to 168h."),
            "tokens": tokens("Tokens of all questions and answers."),
            "tool_bytes": size("Bytes of tools' answers that models are handed, at least 1KiB.", ["4MiB", "16MiB"]),
            "day": table(
                "What all attempts on the repository together may spend in a day, by UTC. Of several layers the least counts.",
                &[],
                json!({
                    "cost_usd": {
                        "description": "US dollars for models.", "type": "number", "minimum": 0, "examples": [20.0],
                    },
                    "tokens": tokens("Tokens of all questions and answers."),
                }),
            ),
        }),
    )
}

fn change() -> Value {
    table(
        "What a patch may be. Of several layers the least counts.",
        &[],
        json!({
            "files": count("The most files a patch may change."),
            "lines": count("The most lines a patch may add and take away together."),
            "existing_tests": {
                "description": "\"change\" lets a patch change what existing tests say; \"keep\", as where nothing is \
                                said, only by a consistent renaming. One layer's keep is enough.",
                "enum": ["keep", "change"],
            },
            "dependencies": {
                "description": "\"change\" lets a patch change what manifests and lockfiles say of dependencies; \
                                \"keep\", as where nothing is said, lets it change none. One layer's keep is enough.",
                "enum": ["keep", "change"],
            },
            "protected": {
                "description": "Files that no patch may touch, in the patterns of `paths`.",
                "type": "array",
                "items": pattern(),
            },
        }),
    )
}

fn gate() -> Value {
    table(
        "How sure the gate must be of a patch. Of several layers the highest counts.",
        &[],
        json!({
            "cost_ratio": {
                "description": "What a bad pull request costs by what a good one gains, c: a score of c / (1 + c) is \
                                needed; 1.5 unless said otherwise.",
                "type": "number", "minimum": 0, "maximum": 1e6, "examples": [1.5, 3.0],
            },
        }),
    )
}

fn submit() -> Value {
    let what = json!({
        "description": "What they may ask for: \"model\" for what a model does, a playbook by its name, \"*\" for both.",
        "type": "array",
        "items": {"type": "string", "pattern": "^[a-z*-]+$", "examples": ["model", "rename", "*"]},
    });
    let mut section = table(
        "Who may ask for work here: local (the command line), token:NAME, github:LOGIN, with * for any characters, or \
         * for anybody. Who is not named may not.",
        &[],
        // They fit the pattern too; an editor can only offer what is written out.
        json!({"local": what, "*": what}),
    );
    section["patternProperties"] = json!({r"^(\*|local|(token|github):[A-Za-z0-9_.*\[\]/-]+)$": what});
    section
}

fn model() -> Value {
    table(
        "Which models may see the repository's code, and where.",
        &["allow"],
        json!({
            "allow": {
                "description": "Models as provider:model, with * for any characters. [] is none: playbooks only.",
                "type": "array",
                "items": {
                    "type": "string",
                    "pattern": r"^(\*|[A-Za-z0-9_.*/@-]+:[A-Za-z0-9_.*/:@-]+)$",
                    "examples": ["anthropic:*", "openai-compatible:qwen3"],
                },
            },
            "hosts": hosts("Servers besides the provider's own that the code may be sent to.", 0),
        }),
    )
}

fn test() -> Value {
    table(
        "What must not change by accident. One that fails is a fault at its line: the file does not load.",
        &["call", "expect"],
        json!({
            "call": {
                "description": "A call of a tool, or another question, decided by this file and the layers beneath it.",
                "type": "string",
                "minLength": 1,
                "examples": [
                    "edit src/lib.rs", "list docs", "check test", "check test cargo test --locked", "env test RUSTFLAGS",
                    "submit local model", "model anthropic:claude-sonnet-4-5",
                ],
            },
            "expect": {"description": "How it must be decided.", "type": "string", "enum": ["allow", "deny"]},
        }),
    )
}
