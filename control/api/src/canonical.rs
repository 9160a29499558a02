//! One byte form for a JSON value, so that it can be hashed and signed.

use serde::Serialize;
use serde_json::Value;

/// Returns the canonical JSON of `value`: no white space, object keys in byte order, strings escaped as
/// serde_json escapes them.
///
/// This is RFC 8785 but for numbers: floats print in Rust's shortest form, which differs from
/// ECMAScript's only in exponents; nothing we hash holds such a number.
pub fn canonical_json(value: &impl Serialize) -> String {
    canonical_value(
        &serde_json::to_value(value).expect("our wire types always serialise: string keys, finite numbers"),
    )
}

/// Like [`canonical_json`], of a value that is JSON already.
pub(crate) fn canonical_value(value: &Value) -> String {
    let mut out = Vec::with_capacity(128);
    write(value, &mut out);
    String::from_utf8(out).expect("serde_json writes UTF-8")
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            // serde_json's own map is sorted only while no crate in the build asks for `preserve_order`.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                scalar(key, out);
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        other => scalar(other, out),
    }
}

fn scalar(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("text, numbers and the like go into memory without an error");
}

#[cfg(test)]
mod tests {
    #[test]
    fn key_order_and_white_space_do_not_matter() {
        let a: serde_json::Value =
            serde_json::from_str(r#"{"b": [1, {"z": null, "a": "é\n"}], "a": 1.5}"#).unwrap();
        assert_eq!(super::canonical_json(&a), r#"{"a":1.5,"b":[1,{"a":"é\n","z":null}]}"#);
    }
}
