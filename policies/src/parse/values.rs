//! The shapes of values: what has another is a fault at its place.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Reader, Value};
use crate::file::Setting;
use crate::suggest::did_you_mean;
use crate::units::{self, MOST_TOKENS};

impl Reader<'_> {
    pub(super) fn known(&mut self, table: &DeTable<'_>, what: &str, keys: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !keys.contains(&name) {
                let hint = did_you_mean(name, keys)
                    .unwrap_or_else(|| format!("the keys of {what} are {}", keys.join(", ")));
                self.fault(key.span().start, format!("{what} has no key `{name}`"), Some(hint));
            }
        }
    }

    pub(super) fn required<'t, 'i>(
        &mut self,
        table: &'t DeTable<'i>,
        key: &str,
        at: usize,
        what: &str,
        write: &str,
    ) -> Option<&'t Value<'i>> {
        let value = table.get(key);
        if value.is_none() {
            self.fault(at, format!("{what} needs the key `{key}`"), Some(format!("write `{write}`")));
        }
        value
    }

    pub(super) fn wrong_type(&mut self, value: &Value<'_>, key: &str, want: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.fault(value.span().start, format!("`{key}` is {found}"), Some(format!("write {want}")));
    }

    pub(super) fn table<'t, 'i>(&mut self, value: &'t Value<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong_type(value, key, "a table");
                None
            }
        }
    }

    pub(super) fn tables<'t, 'i>(&mut self, value: &'t Value<'i>, key: &str) -> Vec<&'t Value<'i>> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().collect(),
            _ => {
                self.wrong_type(value, key, &format!("`[[{key}]]`, once for each"));
                Vec::new()
            }
        }
    }

    pub(super) fn string(&mut self, value: &Value<'_>, key: &str) -> Option<(String, Range<usize>)> {
        match value.get_ref() {
            DeValue::String(text) => Some((text.to_string(), value.span())),
            _ => {
                self.wrong_type(value, key, "a string");
                None
            }
        }
    }

    /// A sentence for people: not empty, and nothing that could move a terminal's cursor.
    pub(super) fn said(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let (text, span) = self.string(value, key)?;
        if text.trim().is_empty() {
            self.fault(span.start, format!("`{key}` is empty"), Some("say it in one sentence".into()));
            return None;
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            self.fault(span.start, format!("`{key}` holds a control character"), Some("leave it out".into()));
            return None;
        }
        Some(text)
    }

    pub(super) fn strings(&mut self, value: &Value<'_>, key: &str) -> Vec<(String, Range<usize>)> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().filter_map(|item| self.string(item, key)).collect(),
            _ => {
                self.wrong_type(value, key, "an array of strings");
                Vec::new()
            }
        }
    }

    pub(super) fn count(&mut self, table: &DeTable<'_>, key: &str) -> Option<Setting<u32>> {
        let value = table.get(key)?;
        let at = value.span().start;
        let want = format!("a whole number from 1 to 4294967295, like `{key} = 100`");
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(value, key, &want);
            return None;
        };
        match integer(number).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(at, format!("`{key} = {number}` is out of range"), Some(format!("write {want}")));
                None
            }
        }
    }

    pub(super) fn tokens(&mut self, table: &DeTable<'_>) -> Option<Setting<u64>> {
        let value = table.get("tokens")?;
        let at = value.span().start;
        let want = "a whole number from 1 to 1000000000000000, like `tokens = 10_000_000`";
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(value, "tokens", want);
            return None;
        };
        match integer(number).and_then(|n| u64::try_from(n).ok()).filter(|n| (1..=MOST_TOKENS).contains(n)) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(at, format!("`tokens = {number}` is out of range"), Some(format!("write {want}")));
                None
            }
        }
    }

    pub(super) fn dollars(&mut self, table: &DeTable<'_>) -> Option<Setting<f64>> {
        self.amount(table, "cost_usd", "0 or more dollars, like `cost_usd = 5.0`", |v| v >= 0.0)
    }

    pub(super) fn amount(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        want: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Option<Setting<f64>> {
        let value = table.get(key)?;
        let at = value.span().start;
        let number = match value.get_ref() {
            DeValue::Float(f) => f.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(i) => integer(i).and_then(|n| u32::try_from(n).ok()).map(f64::from),
            _ => {
                self.wrong_type(value, key, want);
                return None;
            }
        };
        match number.filter(|n| n.is_finite() && fits(*n)) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(at, format!("`{key}` is out of range"), Some(format!("write {want}")));
                None
            }
        }
    }

    pub(super) fn duration(&mut self, table: &DeTable<'_>, key: &str, example: &str) -> Option<Setting<u64>> {
        let value = table.get(key)?;
        let want = format!("a duration from 1s to 168h, like `{key} = \"{example}\"`");
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(value, key, &want);
            return None;
        };
        let at = value.span().start;
        match units::seconds(text).filter(|s| (1..=168 * 3600).contains(s)) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(
                    at,
                    format!("{text:?} is not a duration `{key}` can have"),
                    Some(format!("write {want}")),
                );
                None
            }
        }
    }

    pub(super) fn size(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        least: u64,
        example: &str,
    ) -> Option<Setting<u64>> {
        let value = table.get(key)?;
        let want = format!("a size of at least {}, like `{key} = \"{example}\"`", units::show_bytes(least));
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(value, key, &want);
            return None;
        };
        let at = value.span().start;
        match units::bytes(text).filter(|bytes| (least..=1 << 50).contains(bytes)) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(
                    at,
                    format!("{text:?} is not a size `{key}` can have"),
                    Some(format!("write {want}")),
                );
                None
            }
        }
    }
}

pub(super) fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}
