//! The playbooks' hands: tools through the sandbox, what files hold through the parser.

use std::collections::BTreeMap;

use gloaming_agent::Playbook;
use gloaming_agent::playbook::rename::{Definition, FileIdentifiers, Found, FoundKind};
use gloaming_agent::playbook::{Action, Event, FileMatches, FileText, LanguageFault, Matches, Splice};
use gloaming_api::RelPath;
use gloaming_api::bowout::{BowOutEvidence, ReasonCode, Stage, Unblock};
use gloaming_api::path::escape_name;
use gloaming_api::tool::ToolErrorCode;
use gloaming_syntax::{Language, Occurrence, OccurrenceKind, Rule};

use crate::advisories;
use crate::blueprint::Run;
use crate::bow::Draft;
use crate::code::{call_tool, fix};
use crate::end::End;
use crate::lock;
use crate::provision::Bench;

/// Files larger than this are not looked into, bytes.
const FILE_CAP: usize = 4 << 20;

/// Works until the playbook says that it is done; returns its summary.
pub(crate) async fn perform(
    run: &mut Run<'_>,
    bench: &Bench,
    playbook: &mut Playbook,
) -> Result<String, End> {
    if playbook.needs_all_source()
        && let Some(name) = unnameable_source(run)?
    {
        return Err(Draft::new(
            Stage::Code,
            ReasonCode::OutOfScope,
            format!("The source file {name} has a name that is not UTF-8 and cannot be looked into, so the {} could not be whole.", playbook.name()),
        )
        .into());
    }
    let mut actions: std::collections::VecDeque<Action> = playbook.step(Event::Start).into();
    while let Some(action) = actions.pop_front() {
        if run.stop.is_cancelled() {
            return Err(End::Stopped);
        }
        match action {
            Action::CallTool { id, name, args } => {
                run.go_on()?;
                run.doing(format!("{name} {}", args["path"].as_str().unwrap_or("")));
                let outcome = call_tool(run, bench, &id, &name, args, None).await?;
                actions.extend(playbook.step(Event::ToolDone { id, outcome }));
            }
            Action::FindIdentifiers { from, to, paths } => {
                run.doing(format!("parsing {} files", paths.len()));
                let mut files = Vec::new();
                for path in &paths {
                    files.extend(look(run, bench, path, &from, &to));
                }
                actions.extend(playbook.step(Event::Identifiers { files }));
            }
            Action::Fix { id, kind } => {
                run.go_on()?;
                run.doing(format!("running the fixes of the {} command", kind.as_str()));
                let outcome = fix(run, bench, &id, kind).await?;
                actions.extend(playbook.step(Event::ToolDone { id, outcome }));
            }
            Action::Lock { id, argv, path } => {
                run.go_on()?;
                run.doing(format!("running {}", argv.join(" ")));
                let outcome = lock::make(run, bench, &id, argv, &path).await?;
                actions.extend(playbook.step(Event::ToolDone { id, outcome }));
            }
            Action::Place { id, path, content } => {
                run.go_on()?;
                run.doing(format!("putting {path} in place"));
                let outcome = lock::place(run, bench, &id, &path, content)?;
                actions.extend(playbook.step(Event::ToolDone { id, outcome }));
            }
            Action::LookUp { id, advisory } => {
                run.go_on()?;
                run.doing(format!("looking up {advisory}"));
                let outcome = advisories::look_up(run, &id, &advisory).await?;
                actions.extend(playbook.step(Event::ToolDone { id, outcome }));
            }
            Action::Match { pattern, replacement, paths } => {
                run.doing(format!("matching in {} files", paths.len()));
                let event = matches(run, bench, &pattern, &replacement, &paths);
                actions.extend(playbook.step(event));
            }
            Action::Read { paths } => {
                run.doing(format!("reading {} files", paths.len()));
                let files = paths.iter().filter_map(|path| read(run, bench, path)).collect();
                actions.extend(playbook.step(Event::Files { files }));
            }
            Action::Done { summary } => return Ok(summary),
            Action::BowOut { code, summary, questions, evidence, instead } => {
                let mut draft = Draft::new(Stage::Code, code, summary);
                draft.questions = questions;
                for line in evidence {
                    draft = draft.evidence(BowOutEvidence::note("file", line));
                }
                let tasks = instead.into_iter().map(|task| Unblock::by_task("ask for this instead", task));
                draft.unblock.extend(tasks);
                return Err(draft.into());
            }
        }
    }
    Err(Draft::new(Stage::Code, ReasonCode::Stuck, "The playbook stopped without a next step.").into())
}

/// Returns the escaped name of a source file of the base that no tool can name.
fn unnameable_source(run: &Run<'_>) -> Result<Option<String>, End> {
    let files = run.equipment.repository.list_files(&run.assignment.base)?;
    let names = files.into_iter().filter(|file| file.path.is_none()).map(|file| escape_name(&file.raw));
    Ok(names.into_iter().find(|name| Language::of(name).is_some()))
}

/// Returns where one file of the workspace holds the two names; none where the policy does not let it be read or
/// it is no regular file.
fn look(run: &Run<'_>, bench: &Bench, path: &str, from: &str, to: &str) -> Option<FileIdentifiers> {
    let at = RelPath::parse(path).ok()?;
    // What the search that named the file was let read, and its record tells of.
    let permit = run.equipment.grant.permit_tool("search").ok()?;
    // By name alone: source that cannot be parsed must still count as source, or the rename would pass it by.
    let language = Language::of(path);
    let mut file = FileIdentifiers {
        path: path.to_owned(),
        language: language.map(|language| format!("{language:?}").to_lowercase()),
        ..FileIdentifiers::default()
    };
    let bytes = match bench.files.read(&permit, &at) {
        Ok(bytes) => bytes?,
        Err(error) if error.code == ToolErrorCode::TooLarge => return Some(file),
        Err(_) => return None,
    };
    if bytes.len() > FILE_CAP {
        return Some(file);
    }
    file.text = String::from_utf8(bytes.clone()).ok();
    if let Some(language) = language.filter(|_| file.text.is_some()) {
        let found = |name| gloaming_syntax::identifiers(language, &bytes, name).iter().map(place).collect();
        file.from = found(from);
        file.to = found(to);
        file.definitions = definitions(language, &bytes, from);
    }
    Some(file)
}

/// Returns one file's text; none where the policy does not let it be read or it is no regular file.
fn read(run: &Run<'_>, bench: &Bench, path: &str) -> Option<FileText> {
    let at = RelPath::parse(path).ok()?;
    let permit = run.equipment.grant.permit_tool("read").ok()?;
    let text = match bench.files.read(&permit, &at) {
        Ok(bytes) => String::from_utf8(bytes?).ok().filter(|text| text.len() <= FILE_CAP),
        Err(error) if error.code == ToolErrorCode::TooLarge => None,
        Err(_) => return None,
    };
    Some(FileText { path: path.to_owned(), text })
}

/// Matches a pattern in files; each language has a rule of its own.
fn matches(run: &Run<'_>, bench: &Bench, pattern: &str, replacement: &str, paths: &[String]) -> Event {
    let mut rules: BTreeMap<Language, Option<Rule>> = BTreeMap::new();
    let (mut faults, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        let Some(language) = Language::of(path) else { continue };
        let rule = rules.entry(language).or_insert_with(|| match Rule::new(language, pattern, replacement) {
            Ok(rule) => Some(rule),
            Err(fault) => {
                faults.push(LanguageFault { language: format!("{language:?}"), why: fault.to_string() });
                None
            }
        });
        let (Some(rule), Some(file)) = (rule, read(run, bench, path)) else { continue };
        let found = match file.text {
            None => Matches::Unreadable,
            Some(text) => match rule.rewrites(&text) {
                Err(fault) => Matches::Refused { line: fault.line, why: fault.why },
                Ok(rewrites) => {
                    let place = |rewrite: gloaming_syntax::Rewrite| {
                        let gloaming_syntax::Rewrite { start, end, line, text } = rewrite;
                        (line, Splice { start, end, text })
                    };
                    Matches::Places { places: rewrites.into_iter().map(place).collect(), text }
                }
            },
        };
        files.push(FileMatches { path: path.clone(), found });
    }
    Event::Matched { faults, files }
}

fn place(occurrence: &Occurrence) -> Found {
    Found {
        start: occurrence.start,
        end: occurrence.end,
        line: occurrence.line,
        kind: match occurrence.kind {
            OccurrenceKind::Code => FoundKind::Code,
            OccurrenceKind::String => FoundKind::String,
            OccurrenceKind::Comment => FoundKind::Comment,
        },
    }
}

fn definitions(language: Language, source: &[u8], name: &str) -> Vec<Definition> {
    let units = gloaming_syntax::units(language, source);
    let named = units.iter().filter_map(|unit| match unit.name.rsplit_once("::") {
        Some((container, last)) if last == name => {
            Some(Definition { line: unit.line, container: Some(container.to_owned()) })
        }
        None if unit.name == name => Some(Definition { line: unit.line, container: None }),
        _ => None,
    });
    named.collect()
}
