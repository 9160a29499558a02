//! The published JSON Schemas are those of the types. `GLOAMING_UPDATE=1 cargo test -p gloaming-api` rewrites them.
#![expect(clippy::disallowed_methods, reason = "the test reads and, when asked to, writes docs/schemas")]

use gloaming_api::{BowOut, Evidence, Profile, Verdict, journal};

fn holds(name: &str, schema: schemars::Schema) {
    let path = format!("{}/../../docs/schemas/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).expect("a schema is JSON"));
    if std::env::var_os("GLOAMING_UPDATE").is_some() {
        std::fs::write(&path, &text).expect("docs/schemas can be written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "{path} is not the type's schema; GLOAMING_UPDATE=1 cargo test -p gloaming-api rewrites it"
    );
}

#[test]
fn published_schemas_are_those_of_the_types() {
    holds("bowout", schemars::schema_for!(BowOut));
    holds("evidence", schemars::schema_for!(Evidence));
    holds("verdict", schemars::schema_for!(Verdict));
    holds("profile", schemars::schema_for!(Profile));
    holds("journal-event", schemars::schema_for!(journal::Event));
}
