//! What merged changes look like, from summaries of commits: the measure for a new one.

use gloaming_api::Profile;
use gloaming_api::profile::{CommitForm, Spread, StyleNorms};
use gloaming_workspace::{CommitId, PastChange, Repository};

/// How many commits back norms look: what a project did long ago is not its form now.
const MOST_COMMITS: usize = 300;

/// Returns the profile with the norms of the changes that led to `base`. Of a history that cannot be read there are
/// none, and the profile's gaps say why.
pub fn with_norms(mut profile: Profile, repository: &Repository, base: &CommitId) -> Profile {
    match repository.history(base, MOST_COMMITS) {
        Ok(changes) => profile.norms = norms(&changes),
        Err(error) => profile.gaps.push(format!("what merged changes look like is not known: {error}")),
    }
    profile
}

/// Share of the messages that make a form the repository's own.
const MOST_OF: f64 = 0.6;

/// Returns the norms of a list of changes; none of fewer than ten, which are no norm.
///
/// Changes that touch no file, and messages that git makes (`Merge branch …`, `Revert "…"`), say nothing of form; the
/// first say nothing of size either. Quantiles are nearest-rank.
pub fn norms(changes: &[PastChange]) -> Option<StyleNorms> {
    let changes: Vec<&PastChange> = changes.iter().filter(|change| change.files > 0).collect();
    if changes.len() < 10 {
        return None;
    }
    let spread = |counts: Vec<u32>| {
        let mut counts = counts;
        counts.sort_unstable();
        let [median, p90, p95] = [50, 90, 95].map(|percent| nearest_rank(&counts, percent));
        Spread { median, p90, p95 }
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let files = spread(changes.iter().map(|change| change.files).collect());
    let lines = spread(changes.iter().map(|change| change.lines).collect());
    let with_tests = changes.iter().filter(|change| change.tests).count();
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

    fn change(subject: &str, files: u32, lines: u32, tests: bool) -> PastChange {
        PastChange { subject: subject.to_owned(), files, lines, tests, paths: Vec::new() }
    }

    #[test]
    fn sizes_form_and_tests_are_counted() {
        let mut changes: Vec<PastChange> = (1..=18)
            .map(|i| change(&format!("fix(x): number {i}"), 1 + u32::from(i % 3 == 0), i, i % 3 == 0))
            .collect();
        changes.push(change("Merge branch 'x'", 3, 900, false));
        changes.push(change("Add a thing", 1, 1_000, false));
        changes.push(change("chore: nothing", 0, 0, false));
        let norms = norms(&changes).unwrap();
        assert_eq!(norms.changes, 20);
        assert_eq!(norms.files, Spread { median: 1, p90: 2, p95: 2 });
        assert_eq!(norms.lines, Spread { median: 10, p90: 18, p95: 900 });
        assert_eq!(norms.commit_form, CommitForm::Conventional);
        assert!((norms.conventional - 18.0 / 19.0).abs() < 1e-9);
        assert!((norms.with_tests - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_few_changes_are_no_norm() {
        assert_eq!(norms(&[]), None);
        assert_eq!(norms(&vec![change("x", 1, 1, false); 9]), None);
        assert_eq!(norms(&vec![change("x", 1, 1, false); 10]).unwrap().commit_form, CommitForm::Mixed);
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
