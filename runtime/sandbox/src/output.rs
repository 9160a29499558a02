//! JSON Schema of what a tool answers, as `convert::to_json` writes it. Unlike the arguments', no model needs it
//! to make a call, so it comes from the compiled types alone and carries no descriptions.

use serde_json::{Map, Value, json};
use wasmtime::component::Type;

use crate::Sandbox;
use crate::interface::snake_case;

/// How deep types may nest; a deeper one has no schema.
const DEPTH: u32 = 16;

impl Sandbox {
    /// Returns the schema of what a tool answers where it goes well; none for a tool that does not answer a
    /// record, or one whose types have no form in JSON.
    pub fn output_schema(&self, tool: &str) -> Option<Value> {
        let answer = self.tools.get(tool)?.answer.as_ref()?;
        let answer = match answer {
            Type::Result(result) => result.ok()?,
            other => other.clone(),
        };
        matches!(answer, Type::Record(_)).then(|| schema(&answer, DEPTH)).flatten()
    }
}

fn schema(ty: &Type, depth: u32) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let integer = |low: i64, high: u64| json!({"type": "integer", "minimum": low, "maximum": high});
    Some(match ty {
        Type::Bool => json!({"type": "boolean"}),
        Type::U8 => integer(0, u8::MAX.into()),
        Type::U16 => integer(0, u16::MAX.into()),
        Type::U32 => integer(0, u32::MAX.into()),
        Type::U64 => json!({"type": "integer", "minimum": 0}),
        Type::S8 => integer(i8::MIN.into(), i8::MAX as u64),
        Type::S16 => integer(i16::MIN.into(), i16::MAX as u64),
        Type::S32 => integer(i32::MIN.into(), i32::MAX as u64),
        Type::S64 => json!({"type": "integer"}),
        // What is no finite number is written as null.
        Type::Float32 | Type::Float64 => json!({"type": ["number", "null"]}),
        Type::Char | Type::String => json!({"type": "string"}),
        Type::Record(record) => {
            let mut properties = Map::new();
            let mut required = Vec::new();
            for field in record.fields() {
                let name = snake_case(field.name).into_owned();
                let value = match &field.ty {
                    // A field without a value is left out.
                    Type::Option(option) => schema(&option.ty(), depth)?,
                    other => {
                        required.push(name.clone());
                        schema(other, depth)?
                    }
                };
                properties.insert(name, value);
            }
            json!({
                "type": "object", "properties": properties, "required": required,
                "additionalProperties": false,
            })
        }
        Type::Option(option) => json!({"anyOf": [schema(&option.ty(), depth)?, {"type": "null"}]}),
        Type::List(list) => json!({"type": "array", "items": schema(&list.ty(), depth)?}),
        Type::Enum(of) => json!({"type": "string", "enum": of.names().map(snake_case).collect::<Vec<_>>()}),
        Type::Flags(flags) => {
            let names: Vec<_> = flags.names().map(snake_case).collect();
            json!({"type": "array", "items": {"type": "string", "enum": names}, "uniqueItems": true})
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| {
                let name = snake_case(case.name).into_owned();
                Some(match &case.ty {
                    None => json!({"const": name}),
                    Some(ty) => json!({
                        "type": "object", "properties": {name.clone(): schema(ty, depth)?},
                        "required": [name], "additionalProperties": false,
                    }),
                })
            });
            json!({"oneOf": cases.collect::<Option<Vec<_>>>()?})
        }
        // Tuples are left out with what has no form: the drafts of JSON Schema write them in two ways.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::tests::parameters;

    fn of(types: &str, ty: &str) -> Option<Value> {
        let [(_, ty)] = parameters(types, &format!("(param \"v\" {ty})")).try_into().expect("one parameter");
        schema(&ty, DEPTH)
    }

    #[test]
    fn every_kind_of_value_has_the_schema_of_its_form_in_json() {
        let byte = json!({"type": "integer", "minimum": 0, "maximum": 255});
        for (ty, expected) in [
            ("bool", json!({"type": "boolean"})),
            ("u8", byte.clone()),
            ("s8", json!({"type": "integer", "minimum": -128, "maximum": 127})),
            ("u64", json!({"type": "integer", "minimum": 0})),
            ("s64", json!({"type": "integer"})),
            ("f32", json!({"type": ["number", "null"]})),
            ("char", json!({"type": "string"})),
            ("(list u8)", json!({"type": "array", "items": byte})),
            ("(list (option u8))", json!({"type": "array", "items": {"anyOf": [byte, {"type": "null"}]}})),
        ] {
            assert_eq!(of("", ty), Some(expected), "{ty}");
        }
        for without in ["(tuple u8 bool)", "(list (tuple u8 bool))", "(result u8 (error string))"] {
            assert_eq!(of("", without), None, "{without}");
        }
    }

    #[test]
    fn records_enums_flags_and_variants_are_spelled_as_they_are_answered() {
        let types = r#"
            (type $c' (enum "dark-red" "blue"))
            (export "colour" (type $c (eq $c')))
            (type $f' (flags "can-read" "can-write"))
            (export "rights" (type $f (eq $f')))
            (type $v' (variant (case "not-there") (case "some-size" bool)))
            (export "state" (type $v (eq $v')))
            (type $r' (record
                (field "the-colour" $c) (field "rights" $f) (field "state" $v) (field "may-be" (option bool))))
            (export "answer" (type $r (eq $r')))"#;
        let expected = json!({
            "type": "object",
            "properties": {
                "the_colour": {"type": "string", "enum": ["dark_red", "blue"]},
                "rights": {
                    "type": "array", "items": {"type": "string", "enum": ["can_read", "can_write"]},
                    "uniqueItems": true,
                },
                "state": {"oneOf": [
                    {"const": "not_there"},
                    {
                        "type": "object", "properties": {"some_size": {"type": "boolean"}},
                        "required": ["some_size"], "additionalProperties": false,
                    },
                ]},
                "may_be": {"type": "boolean"},
            },
            "required": ["the_colour", "rights", "state"],
            "additionalProperties": false,
        });
        assert_eq!(of(types, "$answer"), Some(expected));
    }
}
