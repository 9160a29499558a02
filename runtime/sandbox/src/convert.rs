//! JSON to component values and back, by the component's own types.

use std::borrow::Cow;
use std::fmt::Write as _;

use gloaming_api::tool::{ToolError, ToolErrorCode};
use serde_json::{Map, Number, Value};
use wasmtime::component::{Type, Val};

use crate::interface::snake_case;

/// Where a JSON value does not fit a type: the field, what was expected, what was given.
type Fit<T> = Result<T, ToolError>;

/// Returns the arguments of a function: the fields of its one record, or its parameters by name.
pub(crate) fn arguments(parameters: &[(String, Type)], args: &Value) -> Fit<Vec<Val>> {
    let Value::Object(given) = args else {
        return Err(misfit("", "an object with the tool's arguments", args));
    };
    if let [(_, ty @ Type::Record(_))] = parameters {
        return Ok(vec![to_val(ty, args, "")?]);
    }
    fields(parameters.iter().map(|(name, ty)| (name.as_str(), ty.clone())), given, "")
        .map(|values| values.into_iter().map(|(_, value)| value).collect())
}

fn fields<'a>(
    expected: impl Iterator<Item = (&'a str, Type)>,
    given: &Map<String, Value>,
    at: &str,
) -> Fit<Vec<(String, Val)>> {
    let mut values = Vec::new();
    let mut known = Vec::new();
    for (name, ty) in expected {
        let key = snake_case(name);
        let value = match (given.get(key.as_ref()), &ty) {
            (None, Type::Option(_)) => Val::Option(None),
            (None, _) => {
                let message = format!("`{}` is missing: expected {}", joined(at, &key), described(&ty));
                return Err(ToolError::new(ToolErrorCode::InvalidInput, message));
            }
            (Some(value), _) => to_val(&ty, value, &joined(at, &key))?,
        };
        values.push((name.to_owned(), value));
        known.push(key);
    }
    if let Some(unknown) = given.keys().find(|key| !known.iter().any(|known| known == *key)) {
        let mut message = format!("there is no field `{}`", shortened(&joined(at, unknown)));
        match known.as_slice() {
            [] => message.push_str("; none is expected"),
            known => {
                let _ = write!(message, "; the fields are {}", known.join(", "));
            }
        }
        return Err(ToolError::new(ToolErrorCode::InvalidInput, message));
    }
    Ok(values)
}

fn to_val(ty: &Type, value: &Value, at: &str) -> Fit<Val> {
    let misfit = || misfit(at, &described(ty), value);
    let signed = |low: i64, high: i64| {
        integer(value).and_then(|n| i64::try_from(n).ok()).filter(|n| (low..=high).contains(n))
    };
    let unsigned = |high: u64| integer(value).and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= high);
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(misfit)?),
        Type::U8 => Val::U8(unsigned(u8::MAX.into()).ok_or_else(misfit)? as u8),
        Type::U16 => Val::U16(unsigned(u16::MAX.into()).ok_or_else(misfit)? as u16),
        Type::U32 => Val::U32(unsigned(u32::MAX.into()).ok_or_else(misfit)? as u32),
        Type::U64 => Val::U64(unsigned(u64::MAX).ok_or_else(misfit)?),
        Type::S8 => Val::S8(signed(i8::MIN.into(), i8::MAX.into()).ok_or_else(misfit)? as i8),
        Type::S16 => Val::S16(signed(i16::MIN.into(), i16::MAX.into()).ok_or_else(misfit)? as i16),
        Type::S32 => Val::S32(signed(i32::MIN.into(), i32::MAX.into()).ok_or_else(misfit)? as i32),
        Type::S64 => Val::S64(signed(i64::MIN, i64::MAX).ok_or_else(misfit)?),
        // What is too large would become infinite, which JSON cannot say.
        Type::Float32 => {
            let nearest = value.as_f64().map(|number| number as f32);
            Val::Float32(nearest.filter(|number| number.is_finite()).ok_or_else(misfit)?)
        }
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(misfit)?),
        Type::String => Val::String(value.as_str().ok_or_else(misfit)?.to_owned()),
        Type::Char => {
            let mut chars = value.as_str().ok_or_else(misfit)?.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Val::Char(c),
                _ => return Err(misfit()),
            }
        }
        Type::Option(_) if value.is_null() => Val::Option(None),
        Type::Option(inner) => Val::Option(Some(Box::new(to_val(&inner.ty(), value, at)?))),
        Type::List(list) => {
            let items = value.as_array().ok_or_else(misfit)?;
            Val::List(elements(items, std::iter::repeat_n(list.ty(), items.len()), at)?)
        }
        Type::Tuple(tuple) => {
            let items =
                value.as_array().filter(|items| items.len() == tuple.types().len()).ok_or_else(misfit)?;
            Val::Tuple(elements(items, tuple.types(), at)?)
        }
        Type::Record(record) => {
            let given = value.as_object().ok_or_else(misfit)?;
            Val::Record(fields(record.fields().map(|field| (field.name, field.ty)), given, at)?)
        }
        Type::Enum(of) => {
            let given = value.as_str().ok_or_else(misfit)?;
            let name = of.names().find(|name| snake_case(name) == given).ok_or_else(misfit)?;
            Val::Enum(name.to_owned())
        }
        Type::Flags(flags) => {
            let given = value.as_array().ok_or_else(misfit)?;
            let mut set = Vec::new();
            for flag in given {
                let flag = flag.as_str().ok_or_else(misfit)?;
                set.push(flags.names().find(|name| snake_case(name) == flag).ok_or_else(misfit)?.to_owned());
            }
            Val::Flags(set)
        }
        Type::Variant(variant) => {
            let (given, payload) = match value {
                Value::String(name) => (name.as_str(), None),
                Value::Object(map) if map.len() == 1 => {
                    let (name, payload) = map.iter().next().ok_or_else(misfit)?;
                    (name.as_str(), Some(payload))
                }
                _ => return Err(misfit()),
            };
            let case = variant.cases().find(|case| snake_case(case.name) == given).ok_or_else(misfit)?;
            let payload = match (case.ty, payload) {
                (None, None) => None,
                (Some(ty), Some(payload)) => Some(Box::new(to_val(&ty, payload, &joined(at, given))?)),
                _ => return Err(misfit()),
            };
            Val::Variant(case.name.to_owned(), payload)
        }
        // Refused when the component was registered.
        _ => return Err(misfit()),
    })
}

fn elements(items: &[Value], types: impl Iterator<Item = Type>, at: &str) -> Fit<Vec<Val>> {
    items
        .iter()
        .zip(types)
        .enumerate()
        .map(|(i, (item, ty))| to_val(&ty, item, &format!("{at}[{i}]")))
        .collect()
}

/// Returns a whole number; `3.0` is one, since some models write so.
fn integer(value: &Value) -> Option<i128> {
    let Value::Number(number) = value else { return None };
    if let Some(n) = number.as_u64() {
        return Some(n.into());
    }
    if let Some(n) = number.as_i64() {
        return Some(n.into());
    }
    // Up to 2^53 every whole number has its own double.
    number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0).map(|n| n as i128)
}

/// Returns a component value as JSON: names in snake_case, an absent option as a missing field.
pub(crate) fn to_json(value: Val) -> Value {
    let boxed = |value: Option<Box<Val>>| value.map_or(Value::Null, |value| to_json(*value));
    match value {
        Val::Bool(b) => Value::Bool(b),
        Val::U8(n) => n.into(),
        Val::U16(n) => n.into(),
        Val::U32(n) => n.into(),
        Val::U64(n) => n.into(),
        Val::S8(n) => n.into(),
        Val::S16(n) => n.into(),
        Val::S32(n) => n.into(),
        Val::S64(n) => n.into(),
        Val::Float32(n) => Number::from_f64(n.into()).map_or(Value::Null, Value::Number),
        Val::Float64(n) => Number::from_f64(n).map_or(Value::Null, Value::Number),
        Val::Char(c) => c.to_string().into(),
        Val::String(text) => text.into(),
        Val::List(items) | Val::Tuple(items) | Val::FixedLengthList(items) => {
            items.into_iter().map(to_json).collect()
        }
        Val::Record(fields) => {
            let shown = fields.into_iter().filter(|(_, value)| !matches!(value, Val::Option(None)));
            Value::Object(shown.map(|(name, value)| (spelled(name), to_json(value))).collect())
        }
        Val::Variant(name, None) | Val::Enum(name) => spelled(name).into(),
        Val::Variant(name, payload) => tagged(spelled(name), boxed(payload)),
        Val::Option(inner) => boxed(inner),
        Val::Result(Ok(inner)) => tagged("ok".to_owned(), boxed(inner)),
        Val::Result(Err(inner)) => tagged("error".to_owned(), boxed(inner)),
        Val::Flags(names) => names.into_iter().map(|name| Value::from(spelled(name))).collect(),
        Val::Map(pairs) => {
            pairs.into_iter().map(|(k, v)| Value::Array(vec![to_json(k), to_json(v)])).collect()
        }
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Value::Null,
    }
}

/// Returns a name as JSON spells it, the same memory where it is spelled so already.
fn spelled(name: String) -> String {
    match snake_case(&name) {
        Cow::Borrowed(same) if same.len() == name.len() => name,
        other => other.into_owned(),
    }
}

fn tagged(name: String, value: Value) -> Value {
    Value::Object(Map::from_iter([(name, value)]))
}

/// Returns the contract's failure record as an error.
pub(crate) fn failure(value: Option<&Val>) -> ToolError {
    let mut error = ToolError::new(ToolErrorCode::Internal, "the tool failed without saying why");
    let Some(Val::Record(fields)) = value else { return error };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("code", Val::Enum(code)) => error.code = code_named(code).unwrap_or(ToolErrorCode::Internal),
            ("message", Val::String(text)) => error.message.clone_from(text),
            ("rule", Val::Option(Some(rule))) => error.rule = string(rule),
            ("instead", Val::Option(Some(advice))) => error.instead = string(advice),
            _ => {}
        }
    }
    error
}

/// Returns an error that is not the contract's failure, as much of it as can be understood: text is its message,
/// a case's name or a field `code` its code where it is one of the contract's, a field `message` its message. A
/// rule is never taken from it: only the host knows those, and `denied` is the policy's word.
pub(crate) fn own_error(value: Option<&Val>) -> ToolError {
    let mut error = ToolError::new(ToolErrorCode::Failed, "the tool failed without saying why");
    let code = |name: &str| {
        code_named(name).filter(|code| *code != ToolErrorCode::Denied).unwrap_or(ToolErrorCode::Failed)
    };
    match value {
        None => {}
        Some(Val::String(text)) if text.trim().is_empty() => {}
        Some(Val::String(text)) => error.message.clone_from(text),
        Some(Val::Enum(name) | Val::Variant(name, None)) => {
            (error.code, error.message) = (code(name), snake_case(name).into_owned());
        }
        Some(Val::Variant(name, Some(payload))) => {
            let payload = match payload.as_ref() {
                Val::String(text) => text.clone(),
                other => to_json(other.clone()).to_string(),
            };
            (error.code, error.message) = (code(name), format!("{}: {payload}", snake_case(name)));
        }
        Some(value @ Val::Record(fields)) => {
            error.message = to_json(value.clone()).to_string();
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("code" | "kind", Val::Enum(name)) => error.code = code(name),
                    ("message", Val::String(text)) => error.message.clone_from(text),
                    ("instead", Val::Option(Some(advice))) => error.instead = string(advice),
                    _ => {}
                }
            }
        }
        Some(other) => error.message = to_json(other.clone()).to_string(),
    }
    error
}

fn string(value: &Val) -> Option<String> {
    if let Val::String(text) = value { Some(text.clone()) } else { None }
}

fn code_named(name: &str) -> Option<ToolErrorCode> {
    Some(match name {
        "denied" => ToolErrorCode::Denied,
        "not-found" => ToolErrorCode::NotFound,
        "invalid-input" => ToolErrorCode::InvalidInput,
        "conflict" => ToolErrorCode::Conflict,
        "too-large" => ToolErrorCode::TooLarge,
        "timeout" => ToolErrorCode::Timeout,
        "internal" => ToolErrorCode::Internal,
        _ => return None,
    })
}

fn misfit(at: &str, expected: &str, given: &Value) -> ToolError {
    let given = match given {
        Value::Null => "null".to_owned(),
        Value::Object(map) if map.is_empty() => "an empty object".to_owned(),
        Value::Object(map) => {
            let keys: Vec<&str> = map.keys().take(5).map(String::as_str).collect();
            format!("an object with {}", shortened(&keys.join(", ")))
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        scalar => shortened(&scalar.to_string()),
    };
    let message = if at.is_empty() {
        format!("expected {expected}, got {given}")
    } else {
        format!("`{}`: expected {expected}, got {given}", shortened(at))
    };
    ToolError::new(ToolErrorCode::InvalidInput, message)
}

fn described(ty: &Type) -> String {
    match ty {
        Type::Bool => "true or false".to_owned(),
        Type::U8 => format!("a whole number from 0 to {}", u8::MAX),
        Type::U16 => format!("a whole number from 0 to {}", u16::MAX),
        Type::U32 => format!("a whole number from 0 to {}", u32::MAX),
        Type::U64 => "a whole number, 0 or more".to_owned(),
        Type::S8 => format!("a whole number from {} to {}", i8::MIN, i8::MAX),
        Type::S16 => format!("a whole number from {} to {}", i16::MIN, i16::MAX),
        Type::S32 => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        Type::S64 => "a whole number".to_owned(),
        Type::Float32 => "a number that fits 32 bits".to_owned(),
        Type::Float64 => "a number".to_owned(),
        Type::String => "text".to_owned(),
        Type::Char => "one character".to_owned(),
        Type::Option(inner) => format!("{} or nothing", described(&inner.ty())),
        Type::List(list) => format!("a list, each {}", described(&list.ty())),
        Type::Tuple(tuple) => format!("a list of {}", tuple.types().len()),
        Type::Record(record) => {
            format!("an object with {}", names(record.fields().map(|field| field.name)))
        }
        Type::Enum(of) => format!("one of {}", names(of.names())),
        Type::Flags(flags) => format!("a list of some of {}", names(flags.names())),
        Type::Variant(variant) => {
            format!("one of {}", names(variant.cases().map(|case| case.name)))
        }
        _ => "something else".to_owned(),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(snake_case).collect::<Vec<_>>().join(", ")
}

fn joined<'a>(at: &str, name: &'a str) -> Cow<'a, str> {
    if at.is_empty() { name.into() } else { format!("{at}.{name}").into() }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;
    use wasmtime::component::Component;
    use wasmtime::component::types::ComponentItem;
    use wasmtime::{Config, Engine};

    use super::*;

    /// The parameters of a function type, written in WAT.
    pub(crate) fn parameters(types: &str, parameters: &str) -> Vec<(String, Type)> {
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let text = format!(
            "(component (import \"t\" (instance $t {types})) {aliases} (import \"f\" (func {parameters})))",
            aliases = types
                .match_indices("(export \"")
                .map(|(at, start)| {
                    let name = types[at + start.len()..].split('"').next().unwrap();
                    format!("(alias export $t \"{name}\" (type ${name}))")
                })
                .collect::<String>(),
        );
        let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let component = Component::from_binary(&engine, &bytes).unwrap();
        let ty = component.component_type();
        let found = ty.imports(&engine).find_map(|(name, item)| match item.ty {
            ComponentItem::ComponentFunc(function) if name == "f" => Some(function),
            _ => None,
        });
        found.unwrap().params().map(|(name, ty)| (name.to_owned(), ty)).collect()
    }

    #[test]
    fn every_kind_of_value_goes_in_and_comes_out_as_it_was() {
        let of = |ty: &str| parameters("", &format!("(param \"v\" {ty})"));
        for (ty, values) in [
            ("bool", vec![json!(true), json!(false)]),
            ("u8", vec![json!(0), json!(255)]),
            ("s8", vec![json!(-128), json!(127)]),
            ("u32", vec![json!(u32::MAX)]),
            ("s32", vec![json!(i32::MIN)]),
            ("u64", vec![json!(u64::MAX)]),
            ("s64", vec![json!(i64::MIN), json!(i64::MAX)]),
            ("f64", vec![json!(1.5), json!(-0.25)]),
            ("char", vec![json!("é")]),
            ("string", vec![json!(""), json!("a\nb\u{0}😀")]),
            ("(list u16)", vec![json!([]), json!([1, 65535])]),
            ("(option string)", vec![json!(null), json!("x")]),
            ("(list (option u8))", vec![json!([1, null])]),
            ("(tuple string bool)", vec![json!(["a", true])]),
        ] {
            let parameters = of(ty);
            for value in values {
                let args = json!({"v": value});
                let [converted] = arguments(&parameters, &args).unwrap().try_into().unwrap();
                assert_eq!(to_json(converted), value, "{ty}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let of = |ty: &str| parameters("", &format!("(param \"the-value\" {ty})"));
        for (ty, value, expected) in [
            ("bool", json!("true"), "`the_value`: expected true or false, got \"true\""),
            ("u8", json!(256), "`the_value`: expected a whole number from 0 to 255, got 256"),
            ("u8", json!(-1), "`the_value`: expected a whole number from 0 to 255, got -1"),
            ("u8", json!(1.5), "`the_value`: expected a whole number from 0 to 255, got 1.5"),
            ("u64", json!(1e300), "`the_value`: expected a whole number, 0 or more, got 1e+300"),
            ("s64", json!(u64::MAX), "`the_value`: expected a whole number, got 18446744073709551615"),
            ("char", json!("ab"), "`the_value`: expected one character, got \"ab\""),
            ("string", json!(["a"]), "`the_value`: expected text, got a list of 1"),
            ("string", json!({"a": 1}), "`the_value`: expected text, got an object with a"),
            ("string", json!(null), "`the_value`: expected text, got null"),
            (
                "(list u8)",
                json!([1, "x"]),
                "`the_value[1]`: expected a whole number from 0 to 255, got \"x\"",
            ),
            ("(tuple u8 u8)", json!([1]), "`the_value`: expected a list of 2, got a list of 1"),
        ] {
            let error = arguments(&of(ty), &json!({"the_value": value})).unwrap_err();
            assert_eq!(error.code, ToolErrorCode::InvalidInput);
            assert_eq!(error.message, expected);
        }
        let long = arguments(&of("u8"), &json!({"the_value": "x".repeat(10_000)})).unwrap_err();
        assert!(long.message.len() < 200);
    }

    #[test]
    fn records_enums_flags_and_variants_are_spelled_in_snake_case() {
        let types = r#"
            (type $c' (enum "dark-red" "blue"))
            (export "colour" (type $c (eq $c')))
            (type $f' (flags "can-read" "can-write"))
            (export "rights" (type $f (eq $f')))
            (type $v' (variant (case "not-there") (case "some-size" u32)))
            (export "state" (type $v (eq $v')))
            (type $r' (record
                (field "the-colour" $c) (field "rights" $f) (field "state" $v) (field "may-be" (option u8))))
            (export "args" (type $r (eq $r')))"#;
        let parameters = parameters(types, "(param \"args\" $args)");
        for args in [
            json!({"the_colour": "dark_red", "rights": ["can_write"], "state": "not_there"}),
            json!({"the_colour": "blue", "rights": [], "state": {"some_size": 7}, "may_be": 3}),
        ] {
            let [converted] = arguments(&parameters, &args).unwrap().try_into().unwrap();
            assert_eq!(to_json(converted), args);
        }
        let good = json!({"the_colour": "blue", "rights": [], "state": "not_there"});
        for (field, value, expected) in [
            (
                "the_colour",
                json!("dark-red"),
                "`the_colour`: expected one of dark_red, blue, got \"dark-red\"",
            ),
            (
                "rights",
                json!(["x"]),
                "`rights`: expected a list of some of can_read, can_write, got a list of 1",
            ),
            ("state", json!("some_size"), "`state`: expected one of not_there, some_size, got \"some_size\""),
            (
                "state",
                json!({"some_size": -1}),
                "`state.some_size`: expected a whole number from 0 to 4294967295, got -1",
            ),
            (
                "state",
                json!({"not_there": 1}),
                "`state`: expected one of not_there, some_size, got an object with not_there",
            ),
            (
                "extra",
                json!(1),
                "there is no field `extra`; the fields are the_colour, rights, state, may_be",
            ),
        ] {
            let mut args = good.clone();
            args[field] = value;
            assert_eq!(arguments(&parameters, &args).unwrap_err().message, expected);
        }
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove("state");
        let error = arguments(&parameters, &without).unwrap_err();
        assert_eq!(error.message, "`state` is missing: expected one of not_there, some_size");
    }

    #[test]
    fn a_failure_keeps_its_parts_and_an_unknown_code_is_internal() {
        let text = |text: &str| Val::String(text.to_owned());
        let record = |code: &str| {
            Val::Record(vec![
                ("code".to_owned(), Val::Enum(code.to_owned())),
                ("rule".to_owned(), Val::Option(Some(Box::new(text("r"))))),
                ("message".to_owned(), text("m")),
                ("instead".to_owned(), Val::Option(None)),
            ])
        };
        let error = failure(Some(&record("too-large")));
        assert_eq!(error.code, ToolErrorCode::TooLarge);
        assert_eq!((error.rule.as_deref(), error.message.as_str(), error.instead), (Some("r"), "m", None));
        assert_eq!(failure(Some(&record("new"))).code, ToolErrorCode::Internal);
        assert_eq!(failure(None).code, ToolErrorCode::Internal);
    }
    #[test]
    fn an_error_that_is_not_the_contract_s_is_told_in_its_own_words() {
        let text = |text: &str| Val::String(text.to_owned());
        let field = |name: &str, value: Val| (name.to_owned(), value);
        for (value, code, message) in [
            (None, ToolErrorCode::Failed, "the tool failed without saying why"),
            (Some(text(" ")), ToolErrorCode::Failed, "the tool failed without saying why"),
            (Some(text("no such key")), ToolErrorCode::Failed, "no such key"),
            (Some(Val::Enum("not-found".into())), ToolErrorCode::NotFound, "not_found"),
            (Some(Val::Enum("denied".into())), ToolErrorCode::Failed, "denied"),
            (
                Some(Val::Variant("parse-error".into(), Some(Box::new(Val::U32(7))))),
                ToolErrorCode::Failed,
                "parse_error: 7",
            ),
            (
                Some(Val::Variant("conflict".into(), Some(Box::new(text("it moved"))))),
                ToolErrorCode::Conflict,
                "conflict: it moved",
            ),
            (
                Some(Val::Record(vec![
                    field("code", Val::Enum("timeout".into())),
                    field("message", text("too slow")),
                    field("rule", Val::Option(Some(Box::new(text("forged"))))),
                ])),
                ToolErrorCode::Timeout,
                "too slow",
            ),
            (
                Some(Val::Record(vec![field("line-number", Val::U8(3))])),
                ToolErrorCode::Failed,
                r#"{"line_number":3}"#,
            ),
            (Some(Val::U8(3)), ToolErrorCode::Failed, "3"),
        ] {
            let error = own_error(value.as_ref());
            assert_eq!((error.code, error.message.as_str(), error.rule), (code, message, None), "{value:?}");
        }
    }
}
