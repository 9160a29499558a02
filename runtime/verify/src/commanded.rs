//! Files that the profile's own commands run, or that decide what its install command fetches: what they become would
//! stand around every test of the patched tree, whatever they are called.

use std::collections::BTreeSet;

use gloaming_api::RelPath;
use gloaming_api::evidence::{FileRole, Finding};
use gloaming_api::profile::{Command, CommandKind, Profile};

use crate::change::{Change, FileDiff};
use crate::integrity::Lets;
use crate::named::RUNS;
use crate::runners::TreeView;
use crate::steps::{Found, some_of};
use crate::{depends, manifests};

/// Returns what is wrong with a patch that changes such a file; none where it changes none. `tree` is the patched tree.
/// Where the policy lets dependencies change, files that say nothing else may.
pub(crate) fn changed(change: &Change, profile: &Profile, tree: &TreeView<'_>, lets: Lets) -> Option<Found> {
    let own = if lets.dependencies { depends::own_names(tree) } else { BTreeSet::new() };
    let install = profile.command(CommandKind::Install);
    let deciding: BTreeSet<RelPath> = install
        .map(|command| gloaming_profile::deciding(tree.dir, command, &profile.ecosystems))
        .unwrap_or_default();
    let run: BTreeSet<RelPath> = profile
        .commands
        .iter()
        .filter(|command| command.kind != CommandKind::TestOne)
        .flat_map(scripts)
        .collect();
    let told = |diff: &&FileDiff| -> Option<String> {
        let path = &diff.file.path;
        if diff.same_content() || manifests::describes_only(diff) {
            None
        } else if deciding.contains(path) {
            let decides = format!("{path} decides what the set-up fetches");
            if lets.dependencies {
                Some(format!("{decides}: {}", depends::beyond(diff, &own)?))
            } else {
                Some(decides)
            }
        } else if run.contains(path) && diff.file.role != FileRole::Test {
            Some(format!("{path} is run by a command of the profile"))
        } else {
            None
        }
    };
    let told: Vec<String> = change.files.iter().filter_map(|diff| told(&diff)).collect();
    (!told.is_empty()).then(|| {
        let detail = format!("changes what runs the tests: {}", some_of(&told));
        Found::fail(Finding::RunnerConfigChanged, detail)
    })
}

/// The files that a command runs: its program, where that is a path, and what an interpreter is given to run.
fn scripts(command: &Command) -> Vec<RelPath> {
    let Some((program, arguments)) = command.argv.split_first() else { return Vec::new() };
    let mut words = Vec::new();
    if program.contains('/') {
        words.push(program.clone());
    }
    if RUNS.contains(&program.rsplit('/').next().unwrap_or(program)) {
        let module = arguments.iter().position(|word| word == "-m").and_then(|at| arguments.get(at + 1));
        match module {
            Some(module) => {
                let path = module.replace('.', "/");
                words.extend([format!("{path}.py"), format!("{path}/__main__.py")]);
            }
            // An option's value may stand between.
            None => words.extend(arguments.iter().filter(|word| !word.starts_with('-')).take(2).cloned()),
        }
    }
    words.iter().filter_map(|word| command.cwd.resolve(word)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gloaming_api::profile::{Ecosystem, Source};

    use super::*;
    use crate::change::diff;

    fn check(kind: CommandKind, line: &str, files: &[(&str, Option<&str>, &str)]) -> Option<String> {
        check_where(Lets::default(), kind, line, files)
    }

    fn check_where(
        lets: Lets,
        kind: CommandKind,
        line: &str,
        files: &[(&str, Option<&str>, &str)],
    ) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (path, _, after) in files {
            let path = RelPath::parse(path).unwrap();
            crate::host::write_in_tree(dir.path(), &path, after.as_bytes()).unwrap();
            paths.push(path);
        }
        paths.sort();
        let mut profile = Profile { ecosystems: vec![Ecosystem::Python], ..Profile::empty() };
        profile.commands.push(Command {
            kind,
            argv: line.split(' ').map(str::to_owned).collect(),
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            runner: None,
            source: Source { file: RelPath::parse("x").unwrap(), line: 1, because: String::new() },
            proof: None,
        });
        let changed_files = files.iter().filter(|(_, before, after)| *before != Some(*after));
        let change = Change {
            files: changed_files.map(|(path, before, after)| diff(path, *before, Some(after))).collect(),
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        let tree = TreeView { dir: dir.path(), files: &paths };
        changed(&change, &profile, &tree, lets).map(|found| found.detail)
    }

    #[test]
    fn what_a_command_runs_and_what_decides_a_set_up_may_not_change() {
        let install = |files: &[(&str, Option<&str>, &str)]| {
            check(CommandKind::Install, "python3 deps/install.py", files)
        };
        assert_eq!(
            install(&[("deps/install.py", Some("a\n"), "b\n")]).as_deref(),
            Some("changes what runs the tests: deps/install.py decides what the set-up fetches")
        );
        assert!(install(&[("deps/other.py", Some("a\n"), "b\n")]).is_none());
        let pip = |files: &[(&str, Option<&str>, &str)]| {
            check(CommandKind::Install, "pip install -r deps/all.txt", files)
        };
        let named = ("deps/all.txt", Some("-r more/list.txt\n"), "-r more/list.txt\n");
        assert!(pip(&[named, ("deps/more/list.txt", Some("a\n"), "a\nevil\n")]).is_some());
        // A new version only describes.
        let project = |version: &str| format!("[project]\nname = \"a\"\nversion = \"{version}\"\n");
        assert!(pip(&[named, ("pyproject.toml", Some(&project("1")), &project("2"))]).is_none());

        let test =
            |line: &str, path: &str| check(CommandKind::Test, line, &[(path, Some("a\n"), "b\n")]).is_some();
        assert!(test("./scripts/run", "scripts/run"));
        assert!(test("sh -e scripts/test.sh all", "scripts/test.sh"));
        assert!(test("python3 -m tools.check", "tools/check.py"));
        assert!(!test("python3 -m pytest calc", "calc/core.py"));
        // A file of tests is read as one.
        assert!(!test("python3 tests/test_core.py", "tests/test_core.py"));
        assert!(!test("ruff check src/app.py", "src/app.py"));
    }
    #[test]
    fn where_the_policy_lets_dependencies_change_what_fetches_them_may() {
        let lets = Lets { dependencies: true, ..Lets::default() };
        let install = |after: &str| {
            let file = [("requirements.txt", Some("click==8\n"), after)];
            check_where(lets, CommandKind::Install, "pip install -r requirements.txt", &file)
        };
        assert_eq!(install("click==9\n"), None);
        assert_eq!(
            install("--index-url https://a.example\nclick==9\n").as_deref(),
            Some(
                "changes what runs the tests: requirements.txt decides what the set-up fetches: more than \
                 dependencies"
            )
        );
    }
}
