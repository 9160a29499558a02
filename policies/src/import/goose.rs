//! goose's `permission.yaml`: whole tools under `user`, each always allowed, asked about or never allowed.
//!
//! goose looks at it in the modes `approve` and `smart_approve` alone, and its rules are about whole tools: what
//! stands behind a tool's name is part of a name that no tool has (goose #11017). `smart_approve` holds what a model
//! once decided, and is no one's rule. `never_allow` counts before the rest; the others in this order.

use serde_json::Value;

use super::draft::{Cited, Draft, Reach};
use super::origin::Origin;
use super::{NoteKind, Verdict};
use crate::Diagnostic;
use crate::suggest::did_you_mean;

const SHAPE: &str = "write `user:` with the lists `always_allow`, `ask_before` and `never_allow`";
const LISTS: &[(&str, Verdict)] =
    &[("never_allow", Verdict::Deny), ("always_allow", Verdict::Allow), ("ask_before", Verdict::Ask)];

/// Tools of goose's own extension, and what they come to here.
const TOOLS: &[(&str, Counterpart)] = &[
    ("shell", Counterpart::Jobs),
    ("text_editor", Counterpart::Files(Reach::Writing)),
    ("write", Counterpart::Files(Reach::WholeFiles)),
    ("edit", Counterpart::Files(Reach::Writing)),
    ("tree", Counterpart::Files(Reach::Listing)),
];
const WITHOUT: &[&str] =
    &["analyze", "image_processor", "list_windows", "read_image", "remember_memory", "screen_capture"];

#[derive(Debug, Clone, Copy)]
enum Counterpart {
    Jobs,
    Files(Reach),
}

pub(super) fn draft<'a>(origin: Origin<'a>, value: &Value) -> Result<Draft<'a>, Vec<Diagnostic>> {
    let Value::Object(map) = value else {
        return Err(vec![origin.fault(0, "these are not goose's permissions", SHAPE)]);
    };
    if !map.contains_key("user") && !map.contains_key("smart_approve") {
        return Err(vec![origin.fault(0, "there is no `user`, so there is nothing to import", SHAPE)]);
    }
    let mut draft = Draft::new(origin, "goose");
    let mut faults = Vec::new();
    for (name, value) in map {
        let at = find_key(&draft.origin, name, 0);
        let cited = draft.cite(at, name);
        match name.as_str() {
            "user" => user(&mut draft, &mut faults, at, value),
            "smart_approve" => {
                draft.left_out(&cited, "it holds what a model once decided, and is nobody's rule");
            }
            other => {
                let near = did_you_mean(other, &["user"]).map_or(String::new(), |near| format!("; {near}"));
                draft.inert(&cited, format!("goose looks at `user` and `smart_approve` alone{near}"));
            }
        }
    }
    if faults.is_empty() { Ok(draft) } else { Err(faults) }
}

fn user(draft: &mut Draft<'_>, faults: &mut Vec<Diagnostic>, at: usize, value: &Value) {
    let Value::Object(lists) = value else {
        return faults.push(draft.origin.fault(at, "`user` is not a map", SHAPE));
    };
    let cited = draft.cite(at, "user");
    let message =
        "goose looks at these in the modes `approve` and `smart_approve` alone; here they always hold";
    draft.note(&cited, NoteKind::Changed, message, None);
    for name in lists.keys() {
        if !LISTS.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = LISTS.iter().map(|(known, _)| *known).collect();
            let near = did_you_mean(name, &known).map_or(String::new(), |near| format!("; {near}"));
            let cited = draft.cite(find_key(&draft.origin, name, at), name);
            draft.inert(&cited, format!("goose knows no such list{near}"));
        }
    }
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (list, verdict) in LISTS {
        let Some(value) = lists.get(*list) else { continue };
        let list_at = find_key(&draft.origin, list, at);
        let items = match value {
            Value::Array(items) => items.as_slice(),
            Value::Null => &[],
            _ => {
                faults.push(draft.origin.fault(list_at, format!("`{list}` is not a list"), SHAPE));
                continue;
            }
        };
        if items.len() > super::draft::MOST_RULES {
            faults.push(draft.origin.fault(list_at, format!("`{list}` has too many tools"), SHAPE));
            continue;
        }
        for item in items {
            let Value::String(name) = item else {
                faults.push(draft.origin.fault(
                    list_at,
                    format!("`{list}` holds something else than names"),
                    SHAPE,
                ));
                continue;
            };
            let cited = draft.cite(find_item(&draft.origin, name, list_at), &format!("{list}: {name}"));
            if let Some((first, _)) = seen.iter().find(|(_, known)| known == name) {
                draft.inert(&cited, format!("`{first}` has it already, and is looked at first"));
                continue;
            }
            seen.push((list, name));
            tool(draft, &cited, name, *verdict);
        }
    }
}

fn tool(draft: &mut Draft<'_>, cited: &Cited, name: &str, verdict: Verdict) {
    let (extension, tool) = name.split_once("__").unwrap_or(("developer", name));
    let well_formed = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !well_formed || name.is_empty() {
        let message =
            "goose rules on whole tools by their names; what stands behind one keeps it from matching";
        return draft.inert(cited, message);
    }
    let known = TOOLS.iter().find(|(known, _)| *known == tool).filter(|_| extension == "developer");
    let Some((_, counterpart)) = known else {
        if extension == "developer" && !WITHOUT.contains(&tool) {
            let names: Vec<&str> = TOOLS.iter().map(|(name, _)| *name).collect();
            let near = did_you_mean(tool, &names).map_or(String::new(), |near| format!("; {near}"));
            return draft.inert(cited, format!("goose's own tools have no such name{near}"));
        }
        return draft.left_out(
            cited,
            "tools of extensions are not called here; a tool an operator registers is ruled on by its name",
        );
    };
    let asked = verdict == Verdict::Ask;
    let mut message =
        if asked { "nobody is there to be asked, so it is denied; ".to_owned() } else { String::new() };
    let id = match (verdict, counterpart) {
        (Verdict::Allow, _) => {
            let message = "the preset allows what comes of it here; what the preset denies stays denied";
            return draft.note(cited, NoteKind::Carried, message, None);
        }
        (_, Counterpart::Jobs) => {
            message
                .push_str("there is no shell here; no build, test or lint is started for the model either");
            draft.no_jobs(cited)
        }
        (_, Counterpart::Files(reach)) => {
            message.push_str(match reach {
                Reach::Listing => "it takes `list`; searching stays",
                Reach::WholeFiles => "it takes `write` and `patch`, and with them `move` and `remove`",
                _ => "no file may be changed; reading stays, as goose has other tools that read",
            });
            draft.deny(cited, *reach, vec!["**".into()], asked, None).unwrap_or_default()
        }
    };
    draft.note(cited, NoteKind::Changed, message, Some(id));
}

/// The place of a key behind another place, by its line; the values have no places of their own.
fn find_key(origin: &Origin<'_>, name: &str, from: usize) -> usize {
    find_line(origin, from, |line| {
        let key = line.split_once(':').map_or("", |(key, _)| key.trim());
        key.trim_matches(['"', '\'']) == name
    })
}

fn find_item(origin: &Origin<'_>, name: &str, from: usize) -> usize {
    find_line(origin, from, |line| {
        let item = line.trim_start_matches('-').trim().trim_end_matches(',');
        item.trim_matches(['"', '\'']) == name
    })
}

fn find_line(origin: &Origin<'_>, from: usize, wanted: impl Fn(&str) -> bool) -> usize {
    let mut at = from;
    for line in origin.text.get(from..).unwrap_or_default().split_inclusive('\n') {
        let trimmed = line.trim();
        if wanted(trimmed) {
            return at + (line.len() - line.trim_start().len());
        }
        at += line.len();
    }
    from
}
