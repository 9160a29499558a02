//! The schema that editors are given.

#[test]
#[expect(clippy::disallowed_methods, reason = "the test reads and, when asked to, writes docs/schemas")]
fn the_published_schema_is_this_one() {
    let path = format!("{}/../docs/schemas/policy.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = format!(
        "{}\n",
        serde_json::to_string_pretty(&gloaming_policies::schema()).expect("a schema is JSON")
    );
    if std::env::var_os("GLOAMING_UPDATE").is_some() {
        std::fs::write(&path, &text).expect("docs/schemas can be written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "{path} is not the schema; GLOAMING_UPDATE=1 cargo test -p gloaming-policies rewrites it"
    );
}
