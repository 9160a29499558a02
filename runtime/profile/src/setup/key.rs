//! What decides what a set-up command fetches: the files of a tree that name it.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::profile::{Command, Ecosystem};
use gloaming_api::{Digest, RelPath};

use super::python;
use crate::requirements::{is_requirements, requirement_lines};
use crate::tree::Tree;

/// Files by name that decide for a language wherever they lie.
fn names(ecosystem: Ecosystem) -> &'static [&'static str] {
    match ecosystem {
        // Beside a lockfile its manifests say nothing: fetching runs none of the repository's code.
        Ecosystem::Rust => &["Cargo.lock", "rust-toolchain", "rust-toolchain.toml"],
        // Their scripts are run, so a lockfile does not say all.
        Ecosystem::Node => &[
            "package.json",
            "package-lock.json",
            "npm-shrinkwrap.json",
            "pnpm-lock.yaml",
            "pnpm-workspace.yaml",
            ".pnpmfile.cjs",
            "yarn.lock",
            ".npmrc",
            ".yarnrc",
            ".yarnrc.yml",
        ],
        Ecosystem::Python => &[
            "pyproject.toml",
            "setup.py",
            "setup.cfg",
            "MANIFEST.in",
            "uv.lock",
            "poetry.lock",
            "pdm.lock",
            "pylock.toml",
            "uv.toml",
            "poetry.toml",
            "pdm.toml",
            "Pipfile",
            "Pipfile.lock",
        ],
        Ecosystem::Go => &["go.mod", "go.sum", "go.work", "go.work.sum"],
        Ecosystem::Java | Ecosystem::C => &[],
    }
}

/// Returns the files that decide, each with the digest of its content; those that no job sees decide nothing.
pub(crate) fn deciding(
    tree: &Tree,
    command: &Command,
    ecosystems: &[Ecosystem],
    withheld: &dyn Fn(&RelPath) -> bool,
) -> BTreeMap<RelPath, Digest> {
    let (chosen, copied) = named_by(tree, command, ecosystems);
    let mut digests = BTreeMap::new();
    let mut add = |tree: &Tree, files: &mut dyn Iterator<Item = RelPath>| {
        for file in files.filter(|file| !withheld(file)) {
            if !digests.contains_key(&file)
                && let Some(digest) = tree.digest(&file)
            {
                digests.insert(file, digest);
            }
        }
    };
    add(tree, &mut chosen.into_iter());
    // Code that is installed as a copy decides with all its files; it may lie where no source of the repository is looked
    // for, as in `vendor`.
    let outermost = |folder: &RelPath| !copied.iter().any(|other| other != folder && folder.is_within(other));
    for folder in copied.iter().filter(|folder| outermost(folder)) {
        let below = tree.below(folder);
        add(&below, &mut below.files().iter().cloned());
    }
    digests
}

/// Returns the files that say what is fetched, and the folders whose code is installed as a copy.
pub(crate) fn named_by(
    tree: &Tree,
    command: &Command,
    ecosystems: &[Ecosystem],
) -> (BTreeSet<RelPath>, BTreeSet<RelPath>) {
    let locked = !tree.named("Cargo.lock").is_empty();
    let mut chosen: BTreeSet<RelPath> = BTreeSet::new();
    for file in tree.files() {
        let name = file.name().unwrap_or_default();
        let decides = ecosystems.iter().any(|ecosystem| {
            names(*ecosystem).contains(&name)
                || match ecosystem {
                    Ecosystem::Rust => {
                        (name == "Cargo.toml" && !locked)
                            || (matches!(name, "config.toml" | "config")
                                && file.parent().is_some_and(|folder| folder.name() == Some(".cargo")))
                    }
                    Ecosystem::Python => is_requirements(file),
                    _ => false,
                }
        });
        if decides {
            chosen.insert(file.clone());
        }
    }
    // What the command names, and what these name in turn: requirements, a script, a Makefile.
    let named =
        command.argv.iter().map(|word| word.split_once('=').map_or(word.as_str(), |(_, value)| value));
    let mut open: Vec<RelPath> = named.filter_map(|word| command.cwd.resolve(word)).collect();
    if command.argv.first().is_some_and(|program| program == "make") {
        let names = ["Makefile", "makefile", "GNUmakefile"];
        open.extend(names.iter().filter_map(|name| command.cwd.resolve(name)));
    }
    open.extend(chosen.iter().filter(|file| is_requirements(file)).cloned());
    let mut copied: BTreeSet<RelPath> = BTreeSet::new();
    if ecosystems.contains(&Ecosystem::Python) {
        let locks = chosen.iter().filter(|file| file.name().is_some_and(|name| name.ends_with(".lock")));
        for lock in locks {
            let (folder, name) =
                (lock.parent().unwrap_or_else(RelPath::root), lock.name().unwrap_or_default());
            match tree.peek_long(lock) {
                Some(text) => {
                    copied.extend(python::copied(name, &text).iter().filter_map(|path| folder.resolve(path)));
                }
                // Nobody has read what it says.
                None => drop(copied.insert(folder)),
            }
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(file) = open.pop() {
        if !tree.has(file.as_str()) || !seen.insert(file.clone()) {
            continue;
        }
        let folder = file.parent().unwrap_or_else(RelPath::root);
        if file.as_str().ends_with(".txt") || file.as_str().ends_with(".in") {
            let text = tree.peek(&file).unwrap_or_default();
            open.extend(included(&text).iter().filter_map(|path| folder.resolve(path)));
            let name = file.name().unwrap_or_default();
            copied.extend(python::copied(name, &text).iter().filter_map(|path| folder.resolve(path)));
        }
        chosen.insert(file);
    }
    (chosen, copied)
}

/// What may be a file that a file of requirements includes: whatever its options are given. An option may be cut short
/// or stand behind others, and what is no file is none.
fn included(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in requirement_lines(text).iter().filter(|line| line.starts_with('-')) {
        for word in line.split_whitespace() {
            let word = word.split_once('=').map_or(word, |(_, value)| value);
            let word = word.strip_prefix("-r").or_else(|| word.strip_prefix("-c")).unwrap_or(word);
            out.push(word.trim_matches(['"', '\'']).to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use gloaming_api::profile::{CommandKind, Source};

    use super::*;

    fn decides(files: &[(&str, &str)], line: &str, ecosystem: Ecosystem) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, content.as_bytes()))
                .unwrap();
        }
        let command = Command {
            kind: CommandKind::Install,
            argv: line.split(' ').map(str::to_owned).collect(),
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            runner: None,
            source: Source { file: RelPath::root(), line: 1, because: String::new() },
            proof: None,
        };
        let hidden = |path: &RelPath| path.name() == Some(".npmrc");
        let found = deciding(&Tree::walk(dir.path()), &command, &[ecosystem], &hidden);
        found.into_keys().map(|path| path.to_string()).collect()
    }

    #[test]
    fn a_lockfile_decides_and_a_manifest_where_there_is_none() {
        let manifests =
            [("Cargo.toml", ""), ("a/Cargo.toml", ""), (".cargo/config.toml", ""), ("src/lib.rs", "")];
        assert_eq!(
            decides(&manifests, "cargo fetch", Ecosystem::Rust),
            [".cargo/config.toml", "Cargo.toml", "a/Cargo.toml"]
        );
        let locked = [&manifests[..], &[("Cargo.lock", "")]].concat();
        assert_eq!(decides(&locked, "cargo fetch", Ecosystem::Rust), [".cargo/config.toml", "Cargo.lock"]);
    }

    #[test]
    fn what_a_file_of_requirements_includes_decides_too() {
        let files = [
            ("deps/all.txt", "-r more.txt\n--constraint=../pins.txt\nsix\n"),
            ("deps/more.txt", "-r all.txt\n"),
            ("pins.txt", "-r ../../etc/passwd\n"),
            ("other.txt", ""),
            ("dev-requirements.txt", ""),
            ("setup.py", ""),
        ];
        assert_eq!(
            decides(&files, "python3 -m pip install -r deps/all.txt", Ecosystem::Python),
            ["deps/all.txt", "deps/more.txt", "dev-requirements.txt", "pins.txt", "setup.py"]
        );
        for line in [
            "# pinned\u{c}-r notes.md",
            "six ; python_version > '3' \\\n# note\n-rnotes.md",
            "--pre --requirem 'notes.md'\t# more",
        ] {
            let files = [("requirements.txt", line), ("notes.md", ""), ("six", ""), ("more", "")];
            let decides = decides(&files, "pip install -r requirements.txt", Ecosystem::Python);
            assert_eq!(decides, ["notes.md", "requirements.txt"], "{line:?}");
        }
    }

    #[test]
    fn code_that_is_copied_among_the_packages_decides_wherever_it_lies() {
        let lock = "[[package]]\nname = \"b\"\nsource = { directory = \"vendor/b\" }\n\
            [[package]]\nname = \"x\"\nsource = { editable = \".\" }\n\
            [[package]]\nname = \"y\"\nsource = { directory = \"../out\" }\n";
        let files = [
            ("uv.lock", lock),
            ("src/x/__init__.py", ""),
            ("vendor/b/b.py", ""),
            ("vendor/b/.npmrc", ""),
            ("vendor/c/c.py", ""),
            ("requirements.txt", "./libs/d\n"),
            ("libs/d/d.py", ""),
        ];
        assert_eq!(
            decides(&files, "uv sync", Ecosystem::Python),
            ["libs/d/d.py", "requirements.txt", "uv.lock", "vendor/b/b.py"]
        );
    }

    #[test]
    fn what_no_job_sees_decides_nothing() {
        let files = [("package.json", "{}"), ("package-lock.json", "{}"), (".npmrc", "token"), ("x.js", "")];
        assert_eq!(decides(&files, "npm ci", Ecosystem::Node), ["package-lock.json", "package.json"]);
    }
}
