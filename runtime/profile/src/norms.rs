//! What merged changes look like, from summaries of commits: the measure for a new one.

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_api::profile::{CommitForm, Spread, StyleNorms};

/// One merged change, as its commit (or, of a merge, the difference to the first parent) shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSummary {
    /// The first line of the message.
    pub subject: String,
    /// The changed files; a path that is not UTF-8 is left out.
    pub files: Vec<RelPath>,
    /// Lines added and removed together; 0 for binary files.
    pub lines: u32,
}

/// Share of the messages that make a form the repository's own.
const MOST_OF: f64 = 0.6;

/// Returns the norms of a list of changes; none of fewer than ten, which are no norm.
///
/// Changes that touch no file, and messages that git makes (`Merge branch …`, `Revert "…"`), say nothing of form; the
/// first say nothing of size either. Quantiles are nearest-rank.
pub fn norms(changes: &[ChangeSummary]) -> Option<StyleNorms> {
    let changes: Vec<&ChangeSummary> = changes.iter().filter(|change| !change.files.is_empty()).collect();
    if changes.len() < 10 {
        return None;
    }
    let spread = |counts: Vec<u32>| {
        let mut counts = counts;
        counts.sort_unstable();
        Spread { median: nearest_rank(&counts, 50), p90: nearest_rank(&counts, 90) }
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let files = spread(changes.iter().map(|change| count(change.files.len())).collect());
    let lines = spread(changes.iter().map(|change| change.lines).collect());
    let is_test = |file: &RelPath| gloaming_workspace::role(file) == FileRole::Test;
    let with_tests = changes.iter().filter(|change| change.files.iter().any(is_test)).count();
    let written: Vec<&str> =
        changes.iter().map(|change| change.subject.trim()).filter(|subject| !is_gits_own(subject)).collect();
    let share = |fits: fn(&str) -> bool| {
        let found = written.iter().filter(|subject| fits(subject)).count();
        found as f64 / written.len().max(1) as f64
    };
    let conventional = share(is_conventional);
    let commit_form = if conventional >= MOST_OF {
        CommitForm::Conventional
    } else if share(has_topic) >= MOST_OF {
        CommitForm::Topic
    } else if share(is_sentence) >= MOST_OF {
        CommitForm::Sentence
    } else {
        CommitForm::Mixed
    };
    let mut subjects: Vec<u32> = written.iter().map(|subject| count(subject.chars().count())).collect();
    subjects.sort_unstable();
    Some(StyleNorms {
        changes: count(changes.len()),
        files,
        lines,
        commit_form,
        conventional,
        with_tests: with_tests as f64 / changes.len() as f64,
        subject: nearest_rank(&subjects, 90),
    })
}

/// The smallest of sorted counts that at least `percent` of them do not exceed; 0 of none.
fn nearest_rank(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn is_gits_own(subject: &str) -> bool {
    ["Merge branch ", "Merge pull request ", "Merge remote-tracking ", "Merge tag ", "Revert \""]
        .iter()
        .any(|start| subject.starts_with(start))
}

/// Whether a subject has the form of Conventional Commits 1.0.0, `type(scope)!: description`, with one of the types
/// of its best-known configuration.
fn is_conventional(subject: &str) -> bool {
    const TYPES: &[&str] =
        &["build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style", "test"];
    let Some((before, description)) = subject.split_once(": ") else { return false };
    let before = before.strip_suffix('!').unwrap_or(before);
    let kind = match before.split_once('(') {
        Some((kind, scope)) if scope.len() > 1 && scope.ends_with(')') => kind,
        Some(_) => return false,
        None => before,
    };
    TYPES.contains(&kind.to_ascii_lowercase().as_str()) && !description.trim().is_empty()
}

/// Whether a subject begins with a topic of a word or a path: `parser: …`, `net/http: …`.
fn has_topic(subject: &str) -> bool {
    let Some((topic, rest)) = subject.split_once(": ") else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,*(){}".contains(c);
    !topic.is_empty() && topic.len() <= 50 && topic.chars().all(plain) && !rest.trim().is_empty()
}

fn is_sentence(subject: &str) -> bool {
    subject.starts_with(char::is_uppercase) && subject.contains(' ') && !has_topic(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(subject: &str, files: &[&str], lines: u32) -> ChangeSummary {
        let files = files.iter().map(|file| RelPath::parse(file).unwrap()).collect();
        ChangeSummary { subject: subject.to_owned(), files, lines }
    }

    #[test]
    fn sizes_form_and_tests_are_counted() {
        let mut changes: Vec<ChangeSummary> = (1..=18)
            .map(|i| {
                change(
                    &format!("fix(x): number {i}"),
                    if i % 3 == 0 { &["a.rs", "tests/a.rs"] } else { &["a.rs"] },
                    i,
                )
            })
            .collect();
        changes.push(change("Merge branch 'x'", &["a", "b", "c"], 900));
        changes.push(change("Add a thing", &["a"], 1_000));
        changes.push(change("chore: nothing", &[], 0));
        let norms = norms(&changes).unwrap();
        assert_eq!(norms.changes, 20);
        assert_eq!((norms.files.median, norms.files.p90), (1, 2));
        assert_eq!((norms.lines.median, norms.lines.p90), (10, 18));
        assert_eq!(norms.commit_form, CommitForm::Conventional);
        assert!((norms.conventional - 18.0 / 19.0).abs() < 1e-9);
        assert!((norms.with_tests - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_few_changes_are_no_norm() {
        assert_eq!(norms(&[]), None);
        assert_eq!(norms(&vec![change("x", &["a"], 1); 9]), None);
        assert_eq!(norms(&vec![change("x", &["a"], 1); 10]).unwrap().commit_form, CommitForm::Mixed);
    }

    #[test]
    fn forms_are_told_apart() {
        for subject in ["fix: x", "feat(parser)!: x", "Docs: x"] {
            assert!(is_conventional(subject), "{subject}");
        }
        for subject in ["fix : x", "fix:x", "fix(): x", "fixes: x", "fix: ", "fix(a: x", ""] {
            assert!(!is_conventional(subject), "{subject}");
        }
        assert!(has_topic("net/http: x") && !has_topic("see also: x y") && !has_topic(": x"));
        assert!(is_sentence("Add a thing") && !is_sentence("add a thing") && !is_sentence("Parser: add"));
    }
}
