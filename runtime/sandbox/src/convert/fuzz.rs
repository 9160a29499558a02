//! Any JSON for any type, against what is accepted by definition: what fits comes back as it was, and what does
//! not is told with its place.
//!
//! By proptest and not cargo-fuzz, whose build of wasmtime takes longer than the tests of everything else; more
//! cases with PROPTEST_CASES.

use gloaming_api::tool::ToolErrorCode;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tests::parameters;
use super::{arguments, to_json};

/// A type, as it is made for a test.
#[derive(Debug, Clone)]
enum Spec {
    Bool,
    Unsigned(u32),
    Signed(u32),
    Float32,
    Float64,
    Char,
    Text,
    Option(Box<Spec>),
    List(Box<Spec>),
    Tuple(Vec<Spec>),
    Record(Vec<Spec>),
    Enum(usize),
    Flags(usize),
    Variant(Vec<Option<Spec>>),
}

/// The name of the nth field, case or flag in WIT and in JSON.
fn name(n: usize) -> (String, String) {
    let letter = char::from(b'a' + n as u8);
    (format!("the-{letter}"), format!("the_{letter}"))
}

impl Spec {
    /// Writes the type in WAT; those that need a name are appended to `types`.
    fn wat(&self, types: &mut Vec<String>) -> String {
        let named = |body: String, types: &mut Vec<String>| {
            let n = types.len();
            types.push(format!("(type $t{n}' {body}) (export \"t{n}\" (type $t{n} (eq $t{n}')))"));
            format!("$t{n}")
        };
        let list = |kind: &str, items: Vec<String>| format!("({kind} {})", items.join(" "));
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Unsigned(bits) => format!("u{bits}"),
            Self::Signed(bits) => format!("s{bits}"),
            Self::Float32 => "f32".to_owned(),
            Self::Float64 => "f64".to_owned(),
            Self::Char => "char".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Option(inner) => format!("(option {})", inner.wat(types)),
            Self::List(inner) => format!("(list {})", inner.wat(types)),
            Self::Tuple(items) => list("tuple", items.iter().map(|item| item.wat(types)).collect()),
            Self::Record(fields) => {
                let field =
                    |(n, field): (usize, &Spec)| format!("(field \"{}\" {})", name(n).0, field.wat(types));
                let fields = fields.iter().enumerate().map(field).collect();
                named(list("record", fields), types)
            }
            Self::Enum(count) => {
                named(list("enum", (0..*count).map(|n| format!("{:?}", name(n).0)).collect()), types)
            }
            Self::Flags(count) => {
                named(list("flags", (0..*count).map(|n| format!("{:?}", name(n).0)).collect()), types)
            }
            Self::Variant(cases) => {
                let case = |(n, case): (usize, &Option<Spec>)| {
                    let payload = case.as_ref().map_or(String::new(), |payload| payload.wat(types));
                    format!("(case \"{}\" {payload})", name(n).0)
                };
                let cases = cases.iter().enumerate().map(case).collect();
                named(list("variant", cases), types)
            }
        }
    }

    /// What comes back of a value, or the place where it does not fit.
    fn accept(&self, value: &Value, at: &str) -> Result<Value, String> {
        let misfit = || at.to_owned();
        let is_nth = |given: &str, count: usize| (0..count).find(|n| name(*n).1 == given);
        match self {
            Self::Bool => value.is_boolean().then(|| value.clone()).ok_or_else(misfit),
            Self::Unsigned(bits) => whole(value, 0, i128::MAX >> (127 - bits)).ok_or_else(misfit),
            Self::Signed(bits) => {
                let most = i128::MAX >> (128 - bits);
                whole(value, -most - 1, most).ok_or_else(misfit)
            }
            Self::Float32 => {
                let nearest = value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
                nearest.map(|n| json!(f64::from(n))).ok_or_else(misfit)
            }
            Self::Float64 => value.as_f64().map(|n| json!(n)).ok_or_else(misfit),
            Self::Char => {
                let fits = value.as_str().is_some_and(|text| text.chars().count() == 1);
                fits.then(|| value.clone()).ok_or_else(misfit)
            }
            Self::Text => value.is_string().then(|| value.clone()).ok_or_else(misfit),
            Self::Option(_) if value.is_null() => Ok(Value::Null),
            Self::Option(inner) => inner.accept(value, at),
            Self::List(inner) => {
                let items = value.as_array().ok_or_else(misfit)?;
                items.iter().enumerate().map(|(n, item)| inner.accept(item, &format!("{at}[{n}]"))).collect()
            }
            Self::Tuple(types) => {
                let items = value.as_array().filter(|items| items.len() == types.len()).ok_or_else(misfit)?;
                let each = types.iter().zip(items).enumerate();
                each.map(|(n, (ty, item))| ty.accept(item, &format!("{at}[{n}]"))).collect()
            }
            Self::Record(types) => {
                let given = value.as_object().ok_or_else(misfit)?;
                let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
                let mut kept = Map::new();
                for (n, ty) in types.iter().enumerate() {
                    let key = name(n).1;
                    let is_option = matches!(ty, Self::Option(_));
                    match given.get(&key) {
                        None if is_option => {}
                        Some(Value::Null) if is_option => {}
                        None => return Err(below(&key)),
                        Some(value) => {
                            kept.insert(key.clone(), ty.accept(value, &below(&key))?);
                        }
                    }
                }
                match given.keys().find(|key| is_nth(key, types.len()).is_none()) {
                    Some(unknown) => Err(below(unknown)),
                    None => Ok(Value::Object(kept)),
                }
            }
            Self::Enum(count) => {
                let fits = value.as_str().is_some_and(|given| is_nth(given, *count).is_some());
                fits.then(|| value.clone()).ok_or_else(misfit)
            }
            Self::Flags(count) => {
                let is_flag = |flag: &Value| flag.as_str().is_some_and(|flag| is_nth(flag, *count).is_some());
                let fits = value.as_array().is_some_and(|flags| flags.iter().all(is_flag));
                fits.then(|| value.clone()).ok_or_else(misfit)
            }
            Self::Variant(cases) => match value {
                Value::String(given) => {
                    let case = is_nth(given, cases.len()).ok_or_else(misfit)?;
                    cases[case].is_none().then(|| value.clone()).ok_or_else(misfit)
                }
                Value::Object(map) if map.len() == 1 => {
                    let (given, payload) = map.iter().next().ok_or_else(misfit)?;
                    let case = is_nth(given, cases.len()).ok_or_else(misfit)?;
                    let ty = cases[case].as_ref().ok_or_else(misfit)?;
                    Ok(json!({given: ty.accept(payload, &format!("{at}.{given}"))?}))
                }
                _ => Err(misfit()),
            },
        }
    }
}

/// A whole number within bounds, whichever way JSON writes it, as far as a double tells it from its neighbours.
fn whole(value: &Value, least: i128, most: i128) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = value.as_u64().map(i128::from).or(value.as_i64().map(i128::from));
    let number =
        exact.or(value.as_f64().filter(|n| n.trunc() == *n && n.abs() <= EXACT).map(|n| n as i128))?;
    if number < least || number > most {
        return None;
    }
    Some(u64::try_from(number).map_or_else(|_| json!(number as i64), |number| json!(number)))
}

fn spec() -> impl Strategy<Value = Spec> {
    let bits = || prop::sample::select(vec![8, 16, 32, 64]);
    let leaf = prop_oneof![
        Just(Spec::Bool),
        bits().prop_map(Spec::Unsigned),
        bits().prop_map(Spec::Signed),
        Just(Spec::Float32),
        Just(Spec::Float64),
        Just(Spec::Char),
        Just(Spec::Text),
        (1..5usize).prop_map(Spec::Enum),
        (1..5usize).prop_map(Spec::Flags),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Spec::Option(Box::new(inner))),
            inner.clone().prop_map(|inner| Spec::List(Box::new(inner))),
            vec(inner.clone(), 1..4).prop_map(Spec::Tuple),
            vec(inner.clone(), 1..4).prop_map(Spec::Record),
            vec(prop::option::of(inner), 1..4).prop_map(Spec::Variant),
        ]
    })
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i8>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i16>().prop_map(|n| json!(f64::from(n))),
        any::<f64>().prop_map(|n| json!(n)),
        prop::sample::select(vec![-0.0, 0.5, 1e15, 9_007_199_254_740_993.0, 1e19, 1e39, -1e300, 5e-324])
            .prop_map(|n| json!(n)),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = || prop_oneof!["the_[a-e]", "\\PC{0,3}", Just("\0\n".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A value that mostly fits a type: here and there something else stands in it.
fn value_of(spec: &Spec) -> BoxedStrategy<Value> {
    let nth = |count: usize| (0..count).prop_map(|n| Value::from(name(n).1));
    let fitting = match spec {
        Spec::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Spec::Unsigned(bits) => {
            let most = u64::MAX >> (64 - bits);
            prop_oneof![2 => (0..=most).prop_map(Value::from), 1 => Just(json!(most)), 1 => number()].boxed()
        }
        Spec::Signed(bits) => {
            let most = i64::MAX >> (64 - bits);
            let edge = prop::sample::select(vec![most, -most - 1]).prop_map(Value::from);
            prop_oneof![2 => (-most - 1..=most).prop_map(Value::from), 1 => edge, 1 => number()].boxed()
        }
        Spec::Float32 | Spec::Float64 => number().boxed(),
        Spec::Char => any::<char>().prop_map(|c| Value::from(c.to_string())).boxed(),
        Spec::Text => any::<String>().prop_map(Value::from).boxed(),
        Spec::Option(inner) => prop_oneof![1 => Just(Value::Null), 3 => value_of(inner)].boxed(),
        Spec::List(inner) => vec(value_of(inner), 0..4).prop_map(Value::from).boxed(),
        Spec::Tuple(types) => types.iter().map(value_of).collect::<Vec<_>>().prop_map(Value::from).boxed(),
        Spec::Record(types) => {
            let fields: Vec<_> = types.iter().map(|ty| prop::option::weighted(0.95, value_of(ty))).collect();
            let made = |fields: Vec<Option<Value>>| {
                let present = |(n, field): (usize, Option<Value>)| field.map(|field| (name(n).1, field));
                Value::Object(fields.into_iter().enumerate().filter_map(present).collect())
            };
            fields.prop_map(made).boxed()
        }
        Spec::Enum(count) => nth(*count).boxed(),
        Spec::Flags(count) => vec(nth(*count), 0..4).prop_map(Value::from).boxed(),
        Spec::Variant(cases) => {
            let case = |(n, case): (usize, &Option<Spec>)| match case {
                None => Just(Value::from(name(n).1)).boxed(),
                Some(ty) => value_of(ty).prop_map(move |payload| json!({name(n).1: payload})).boxed(),
            };
            prop::strategy::Union::new(cases.iter().enumerate().map(case)).boxed()
        }
    };
    prop_oneof![30 => fitting, 1 => any_json()].boxed()
}

proptest! {
    #[test]
    fn any_json_for_any_type_fits_or_is_told_with_its_place(
        (spec, value) in spec().prop_flat_map(|spec| { let value = value_of(&spec); (Just(spec), value) }),
    ) {
        let mut types = Vec::new();
        let ty = spec.wat(&mut types);
        let parameters = parameters(&types.join(" "), &format!("(param \"v\" {ty})"));
        // The one record of a function is its arguments.
        let is_record = matches!(spec, Spec::Record(_));
        let (args, at) = if is_record { (value.clone(), "") } else { (json!({"v": value}), "v") };
        let missing = !is_record && matches!(spec, Spec::Option(_)) && value.is_null();
        match (arguments(&parameters, &args), spec.accept(&value, at)) {
            (Ok(converted), Ok(wanted)) => {
                prop_assert_eq!(converted.len(), 1);
                let back = to_json(converted[0].clone());
                prop_assert_eq!(&back, &wanted);
                prop_assert_eq!(missing, back.is_null());
                let again = if is_record { back } else { json!({"v": back}) };
                prop_assert_eq!(arguments(&parameters, &again).ok(), Some(converted));
            }
            (Err(error), Err(at)) => {
                prop_assert_eq!(error.code, ToolErrorCode::InvalidInput);
                let place: String = at.chars().take(80).collect();
                prop_assert!(error.message.contains(&place), "{} does not name {}", error.message, at);
                prop_assert!(error.message.len() < 2000, "{}", error.message);
            }
            (found, wanted) => prop_assert!(false, "{:?} for {:?}: {:?}, {:?}", args, spec, found, wanted),
        }
    }
}

#[test]
fn a_number_beyond_a_type_s_range_is_refused_and_not_made_infinite() {
    let parameters = parameters("", "(param \"v\" f32)");
    let error = arguments(&parameters, &json!({"v": 1e39})).unwrap_err();
    assert_eq!(error.message, "`v`: expected a number that fits 32 bits, got 1e+39");
    assert!(arguments(&parameters, &json!({"v": 3.4e38})).is_ok());
}
