//! `[submit]` and `[model]`, and what `[change]` says of tests and dependencies.

use toml::de::DeTable;

use super::{Reader, keys};
use crate::file::{ModelSection, Setting, SubmitEntry, SubmitSection};
use crate::subject::{Host, Wild};

/// Where askers come from: the command line, an API token by its name, an account of a forge.
const ASKERS: &str = "`local`, `token:NAME`, `github:LOGIN`, with `*` for any characters, or `*` for anybody";

impl Reader<'_> {
    /// Whether a patch may change what a key of `[change]` speaks of.
    pub(super) fn may_change(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        to_what: &str,
        lets: &str,
    ) -> Option<Setting<bool>> {
        let (text, span) = table.get(key).and_then(|value| self.string(value, key))?;
        if text != "keep" && text != "change" {
            let hint = format!("write `{key} = \"keep\"`, or \"change\" to let {lets}");
            self.fault(span.start, format!("{text:?} is nothing a patch may do {to_what}"), Some(hint));
        }
        Some(Setting { value: text == "change", line: self.line(span.start) })
    }

    pub(super) fn submit(&mut self, table: &DeTable<'_>, at: usize) -> SubmitSection {
        let mut entries = Vec::new();
        for (key, value) in table.iter() {
            let (name, place) = (key.get_ref().as_ref(), key.span().start);
            let known = name == "*" || name == "local" || {
                let (source, who) = name.split_once(':').unwrap_or_default();
                let fits = |c: char| c.is_ascii_alphanumeric() || "-_.*[]/".contains(c);
                matches!(source, "token" | "github") && !who.is_empty() && who.chars().all(fits)
            };
            if !known {
                self.fault(place, format!("{name:?} names nobody who asks"), Some(format!("write {ASKERS}")));
            }
            let mut what = Vec::new();
            for (text, span) in self.strings(value, name) {
                let fits = |c: char| c.is_ascii_lowercase() || c == '-' || c == '*';
                if text.is_empty() || !text.chars().all(fits) {
                    let hint =
                        "write `model` for what a model does, a playbook like `rename`, or `*` for both";
                    self.fault(
                        span.start,
                        format!("{text:?} is nothing that can be asked for"),
                        Some(hint.into()),
                    );
                }
                what.push(Wild::new(&text));
            }
            entries.push(SubmitEntry { asker: Wild::new(name), what, line: self.line(place) });
        }
        SubmitSection { line: self.line(at), entries }
    }

    pub(super) fn model(&mut self, table: &DeTable<'_>, at: usize) -> ModelSection {
        self.known(table, "[model]", keys::MODEL);
        let mut model = ModelSection { line: self.line(at), allow: Vec::new(), hosts: Vec::new() };
        let allow = self.required(table, "allow", at, "[model]", "allow = [\"anthropic:*\"]` or `allow = []");
        for (text, span) in allow.map(|value| self.strings(value, "allow")).unwrap_or_default() {
            let fits = text == "*"
                || text.split_once(':').is_some_and(|(provider, model)| {
                    let known = |c: char| c.is_ascii_alphanumeric() || "-_.*/:@".contains(c);
                    !provider.is_empty() && !model.is_empty() && text.chars().all(known)
                });
            if !fits {
                let hint = "write `provider:model`, with `*` for any characters, like \"anthropic:claude-*\"";
                self.fault(span.start, format!("{text:?} does not name models"), Some(hint.into()));
            }
            model.allow.push((Wild::new(&text), self.line(span.start)));
        }
        if let Some(value) = table.get("hosts") {
            for (text, span) in self.strings(value, "hosts") {
                match Host::parse(&text, true) {
                    Ok(host) => model.hosts.push(host),
                    Err(bad) => self.fault(span.start, bad.message, Some(bad.hint)),
                }
            }
        }
        model
    }
}
