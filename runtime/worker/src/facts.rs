//! What the repository itself says of a task, before anybody is asked: nothing of it costs money.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::bowout::{BowOutEvidence, ReasonCode, Stage};
use gloaming_api::evidence::FileRole;
use gloaming_api::job::JobPurpose;
use gloaming_api::journal::EventKind;
use gloaming_api::triage::TaskFeatures;
use gloaming_policies::{Decision, Denial};
use gloaming_workspace::{PastChange, role};

use crate::blueprint::Run;
use crate::bow::Draft;
use crate::end::{End, WorkerError};
use crate::provision::{Ground, workspace};
use crate::triage;

/// How many changes back an area's history is looked at.
const HISTORY: usize = 300;
/// Fewer changes say nothing of how an area is worked on.
const FEW: usize = 5;
/// A file of more bytes is large, and the unit of what is beyond.
const LARGE: f64 = (128 << 10) as f64;

/// What is known before anybody was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) features: TaskFeatures,
    /// What the features were made of, a line each.
    pub(crate) because: Vec<String>,
}

/// Looks at the base, its history and the policy; a record's answer stands, since a replay has no history. Leaves the
/// workspace that it made behind, as the base has it.
///
/// # Errors
/// The repository cannot be read.
pub(crate) fn look(run: &mut Run<'_>, ground: &mut Option<Ground>) -> Result<Facts, End> {
    if let Some(EventKind::Looked { features, because }) =
        run.journal.recorded().map_err(WorkerError::from)?
    {
        let facts = Facts { features: features.clone(), because: because.clone() };
        run.journal.keep_next().map_err(WorkerError::from)?;
        return Ok(facts);
    }
    if run.journal.is_replay() {
        // Of a journal from before there were facts.
        return Ok(Facts::default());
    }
    let files = run.equipment.repository.list_files(&run.assignment.base)?;
    let sizes: BTreeMap<RelPath, u64> =
        files.into_iter().filter_map(|entry| Some((entry.path?, entry.size))).collect();
    let named = named(&run.assignment.text, &sizes);
    let history = if named.known.is_empty() {
        Vec::new()
    } else {
        // A history that cannot be read speaks neither for nor against a task; the profile's gaps tell of it.
        run.equipment.repository.history(&run.assignment.base, HISTORY).unwrap_or_default()
    };
    let mut facts = of(&named, &sizes, &history, |path| match run.equipment.grant.decide_change(path) {
        Decision::Allow(_) => None,
        Decision::Deny(denial) => Some(denial),
    });
    let ground = ground.insert(workspace(run)?);
    // Faults of the repository's own corrections are provisioning's to tell.
    let ready =
        (run.equipment.learn)(ground.checkout.dir()).ok().map(|known| gloaming_profile::readiness(&known));
    if let Some(ready) = ready.filter(|ready| ready.score < 100) {
        let missing = f64::from(100 - ready.score) / 100.0;
        facts.features.insert("unready".to_owned(), missing);
        let most = ready.most_help.map_or(String::new(), |help| format!("; most would help: {help}"));
        facts.because.push(format!("the repository's readiness is {} of 100{most}", ready.score));
    }
    run.record(EventKind::Looked { features: facts.features.clone(), because: facts.because.clone() })?;
    Ok(facts)
}

/// Ends a task that the policy forbids as a whole: no file may be changed, or no change could be tested.
pub(crate) fn foreseen(run: &Run<'_>) -> Result<(), End> {
    let grant = &run.equipment.grant;
    let forbidden = |denial: Denial, summary: &str| -> Result<(), End> {
        let rule = &denial.rule;
        let detail = format!("rule {} in {}:{}", rule.id, rule.file, rule.line);
        Err(Draft::new(Stage::Triage, ReasonCode::PolicyBlocked, summary)
            .evidence(BowOutEvidence::note("policy", denial.to_string()))
            .unblock("change the policy", detail)
            .into())
    };
    let writing = ["edit", "write", "patch"].map(|tool| grant.permit_tool(tool).err());
    if let [Some(denial), Some(_), Some(_)] = writing {
        return forbidden(denial, "The policy lets no tool change a file here, so nothing was begun.");
    }
    match grant.permit_job(JobPurpose::Test) {
        Err(denial) => forbidden(
            denial,
            "The policy lets no test jobs run here, and without them no change can be verified; nothing was begun.",
        ),
        Ok(_) => Ok(()),
    }
}

/// The files that a text names.
#[derive(Debug, Default, PartialEq)]
struct Named {
    known: BTreeSet<RelPath>,
    /// Paths below folders that do not exist.
    unknown: BTreeSet<String>,
}

/// Finds the files of the base that a text names, by their whole path or by a name that one file alone has.
fn named(text: &str, files: &BTreeMap<RelPath, u64>) -> Named {
    let mut by_name: BTreeMap<&str, Vec<&RelPath>> = BTreeMap::new();
    for path in files.keys() {
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        by_name.entry(name).or_default().push(path);
    }
    // Once, and not for each word: there may be thousands of words and a million files.
    let top = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let tops: BTreeSet<String> = files.keys().map(|path| top(path.as_str())).collect();
    let mut named = Named::default();
    for word in triage::words(text) {
        // `src/a.py:12` is a line of it.
        let word = word.trim_end_matches(['.', '!', '?']).trim_start_matches("./");
        let word = word.split_once(':').map_or(word, |(path, _)| path);
        let Ok(path) = RelPath::parse(word) else { continue };
        if files.contains_key(&path) {
            named.known.insert(path);
        } else if let Some([only]) = by_name.get(word).map(Vec::as_slice)
            && word.contains('.')
        {
            named.known.insert((*only).clone());
        } else if triage::is_file(word) && !tops.contains(&top(word)) {
            named.unknown.insert(word.to_owned());
        }
    }
    named
}

/// Returns what the files that a task names, their past and the policy say of it.
///
/// | name | is |
/// | --- | --- |
/// | `denied_files` | share of the named files that the policy lets nobody change |
/// | `unknown_places` | named files below top folders that the base does not have |
/// | `large_files` | what the largest named file of code has beyond 128 KiB, in units of that |
/// | `undone_area` | reverts among the last 300 changes that touched a named file |
/// | `untested_area` | share of the others, of at least five, that came without a test |
/// | `unready` | what is missing of the readiness of `gloaming onboard`, 0 to 1 |
fn of(
    named: &Named,
    sizes: &BTreeMap<RelPath, u64>,
    history: &[PastChange],
    denied: impl Fn(&RelPath) -> Option<Denial>,
) -> Facts {
    let mut facts = Facts::default();
    let mut add = |name: &str, value: f64, because: String| {
        if value > 0.0 {
            facts.features.insert(name.to_owned(), value);
            facts.because.push(because);
        }
    };
    let denials: Vec<(&RelPath, Denial)> =
        named.known.iter().filter_map(|path| Some((path, denied(path)?))).collect();
    if let Some((path, denial)) = denials.first() {
        let share = denials.len() as f64 / named.known.len() as f64;
        let of = format!("{} of {} named files may not be changed", denials.len(), named.known.len());
        add("denied_files", share, format!("{of}: {path}: {denial}"));
    }
    let unknown: Vec<&str> = named.unknown.iter().map(String::as_str).collect();
    add("unknown_places", unknown.len() as f64, format!("not in the repository: {}", unknown.join(", ")));
    let code = named.known.iter().filter(|path| role(path) == FileRole::Code);
    if let Some((path, size)) = code.filter_map(|path| Some((path, *sizes.get(path)?))).max_by_key(|f| f.1) {
        add("large_files", (size as f64 - LARGE) / LARGE, format!("{path} has {size} bytes"));
    }
    let here = |change: &&PastChange| change.paths.iter().any(|path| named.known.contains(path));
    let (undone, made): (Vec<&PastChange>, Vec<&PastChange>) =
        history.iter().filter(here).partition(|change| change.subject.starts_with("Revert \""));
    if let Some(last) = undone.first() {
        let told =
            format!("{} of the last changes of the named files undo others: {}", undone.len(), last.subject);
        add("undone_area", undone.len() as f64, told);
    }
    let without = made.iter().filter(|change| !change.tests).count();
    if made.len() >= FEW {
        let told =
            format!("{without} of the last {} changes of the named files came without a test", made.len());
        add("untested_area", without as f64 / made.len() as f64, told);
    }
    facts
}

#[cfg(test)]
mod tests {
    use gloaming_policies::RuleRef;

    use super::*;

    fn files(paths: &[(&str, u64)]) -> BTreeMap<RelPath, u64> {
        paths.iter().map(|(path, size)| (RelPath::parse(path).expect("a path"), *size)).collect()
    }

    #[test]
    fn a_text_names_files_by_path_or_by_a_name_of_their_own() {
        let files = files(&[("src/a.py", 1), ("src/b.py", 1), ("lib/b.py", 1), ("Makefile", 1)]);
        let told = |text: &str| {
            let Named { known, unknown } = named(text, &files);
            let known: Vec<&str> = known.iter().map(RelPath::as_str).collect();
            format!("{} | {}", known.join(" "), unknown.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(told("See `src/a.py:12`, and ./src/b.py."), "src/a.py src/b.py | ");
        assert_eq!(told("a.py is wrong, b.py is not"), "src/a.py | ", "two files are called b.py");
        assert_eq!(told("the Makefile's rule"), "Makefile | ");
        assert_eq!(told("Add src/new.py beside app/models/user.py"), " | app/models/user.py");
        assert_eq!(told("https://one.acme.example/x/y.html and ../../etc/x.conf"), " | ");
    }

    #[test]
    fn what_speaks_against_a_task_is_counted_with_its_reason() {
        let sizes = files(&[("src/a.py", 300 << 10), ("ci.yml", 1)]);
        let all = Named { known: sizes.keys().cloned().collect(), unknown: BTreeSet::new() };
        let change = |subject: &str, path: &str, tests| PastChange {
            subject: subject.to_owned(),
            files: 1,
            lines: 1,
            tests,
            paths: vec![RelPath::parse(path).expect("a path")],
        };
        let mut history = vec![change("Revert \"a: faster\"", "src/a.py", false)];
        history.extend((0..5).map(|n| change("a: more", "src/a.py", n == 0)));
        history.extend((0..9).map(|_| change("elsewhere", "src/z.py", false)));
        let facts = of(&all, &sizes, &history, |path| {
            let rule =
                RuleRef { id: "no-ci".into(), file: "p.toml".into(), line: 3, because: "It is CI.".into() };
            (path.as_str() == "ci.yml").then_some(Denial { rule, instead: None })
        });
        let told: Vec<String> =
            facts.features.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        assert_eq!(told, ["denied_files 0.50", "large_files 1.34", "undone_area 1.00", "untested_area 0.80"]);
        assert_eq!(facts.because.len(), 4);
        assert!(facts.because[0].contains("1 of 2 named files may not be changed: ci.yml: "), "{facts:?}");
        assert_eq!(of(&Named::default(), &sizes, &history, |_| None), Facts::default());
    }
}
