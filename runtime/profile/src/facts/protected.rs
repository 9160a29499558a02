//! Paths that belong to somebody or are made by something: owners, CI, lockfiles, generated files.

use gloaming_api::RelPath;
use gloaming_api::bowout::shorten;
use gloaming_api::profile::{ProtectedKind, ProtectedPath};

use crate::manifests::beside;
use crate::mine::{Mined, source};
use crate::tree::Tree;

const MOST: usize = 200;
/// So many files are looked into for a mark at their head.
const MOST_HEADS: usize = 5_000;

/// CI's files, as prefixes of a path with what it is of.
const CI: &[(&str, &str)] = &[
    (".github/workflows/", "GitHub Actions"),
    (".github/actions/", "GitHub Actions"),
    (".gitlab-ci.yml", "GitLab CI"),
    (".circleci/", "CircleCI"),
    (".buildkite/", "Buildkite"),
    (".travis.yml", "Travis CI"),
    ("azure-pipelines.yml", "Azure Pipelines"),
    ("bitbucket-pipelines.yml", "Bitbucket Pipelines"),
    ("appveyor.yml", "AppVeyor"),
    (".appveyor.yml", "AppVeyor"),
    ("Jenkinsfile", "Jenkins"),
    (".woodpecker/", "Woodpecker CI"),
    (".woodpecker.yml", "Woodpecker CI"),
    (".cirrus.yml", "Cirrus CI"),
];

const LOCKFILES: &[&str] = &[
    "Cargo.lock",
    "go.sum",
    "go.work.sum",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "bun.lockb",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "pdm.lock",
    "gradle.lockfile",
    "composer.lock",
    "Gemfile.lock",
    "flake.lock",
];

/// Whether a file configures continuous integration.
pub(crate) fn ci(file: &RelPath) -> Option<&'static str> {
    let fits = |prefix: &str| match prefix.ends_with('/') {
        true => file.as_str().starts_with(prefix),
        false => file.as_str() == prefix,
    };
    CI.iter().find(|(prefix, _)| fits(prefix)).map(|(_, name)| *name)
}

/// Returns the protected paths, in the order of their kinds.
pub(super) fn mine(tree: &Tree, mined: &mut Mined) -> Vec<ProtectedPath> {
    let mut found = owners(tree);
    let path = |file: &RelPath, kind, because: String| ProtectedPath {
        pattern: file.as_str().to_owned(),
        kind,
        owners: Vec::new(),
        source: source(file, 1, because),
    };
    found.extend(
        tree.files().iter().filter_map(|file| {
            ci(file).map(|name| path(file, ProtectedKind::Ci, format!("configures {name}")))
        }),
    );
    let is_lockfile = |file: &&RelPath| file.name().is_some_and(|name| LOCKFILES.contains(&name));
    found.extend(
        tree.files()
            .iter()
            .filter(is_lockfile)
            .map(|file| path(file, ProtectedKind::Lockfile, "only its package manager writes it".to_owned())),
    );
    found.extend(attributes(tree));
    found.extend(heads(tree));
    if found.len() > MOST {
        found.truncate(MOST);
        mined.notes.push(format!("only the first {MOST} protected paths are listed"));
    }
    found
}

/// The rules of CODEOWNERS, read where GitHub looks first.
fn owners(tree: &Tree) -> Vec<ProtectedPath> {
    let places = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"];
    let Some(file) = places.iter().find_map(|name| beside(tree, &RelPath::root(), name)) else {
        return Vec::new();
    };
    let Some(text) = tree.read(&file) else { return Vec::new() };
    let mut rules = Vec::new();
    for (line, number) in text.lines().zip(1_u32..) {
        let line = line.trim();
        // `[Section]` and `^[Section]` are GitLab's.
        if line.is_empty() || line.starts_with(['#', '[', '^']) {
            continue;
        }
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let Some(pattern) = words.next() else { continue };
        let owners =
            words.take_while(|word| !word.starts_with('#')).take(20).map(|word| shorten(word, 100)).collect();
        rules.push(ProtectedPath {
            pattern: shorten(pattern, 200),
            kind: ProtectedKind::Owners,
            owners,
            source: source(&file, number, "a rule of CODEOWNERS"),
        });
        if rules.len() > MOST {
            break;
        }
    }
    rules
}

/// Patterns that `.gitattributes` calls generated.
fn attributes(tree: &Tree) -> Vec<ProtectedPath> {
    let Some(file) = beside(tree, &RelPath::root(), ".gitattributes") else { return Vec::new() };
    let Some(text) = tree.read(&file) else { return Vec::new() };
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1_u32..) {
        let mut words = line.split_whitespace();
        let Some(pattern) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        let generated = |word: &str| matches!(word, "linguist-generated" | "linguist-generated=true");
        if words.any(generated) && found.len() <= MOST {
            found.push(ProtectedPath {
                pattern: shorten(pattern, 200),
                kind: ProtectedKind::Generated,
                owners: Vec::new(),
                source: source(&file, number, "linguist-generated"),
            });
        }
    }
    found
}

/// Files that say at their head that a program made them.
fn heads(tree: &Tree) -> Vec<ProtectedPath> {
    const ENDS: &[&str] = &[
        "rs", "py", "js", "mjs", "cjs", "ts", "tsx", "jsx", "go", "java", "kt", "c", "h", "cc", "cpp", "hpp",
        "css", "proto",
    ];
    let source_file = |file: &&RelPath| {
        file.name().and_then(|name| name.rsplit_once('.')).is_some_and(|(_, end)| ENDS.contains(&end))
    };
    let mut found = Vec::new();
    for file in tree.files().iter().filter(source_file).take(MOST_HEADS) {
        let Some(head) = tree.head(file) else { continue };
        let mark =
            head.lines().take(20).zip(1_u32..).find_map(|(line, number)| Some((number, marked(line)?)));
        if let Some((line, because)) = mark {
            found.push(ProtectedPath {
                pattern: file.as_str().to_owned(),
                kind: ProtectedKind::Generated,
                owners: Vec::new(),
                source: source(file, line, because),
            });
            if found.len() > MOST {
                break;
            }
        }
    }
    found
}

/// Whether a line, a comment, says that a program made its file: Go's convention, and the mark `@generated`.
fn marked(line: &str) -> Option<&'static str> {
    let comment = line.trim_start();
    if !comment.starts_with(['/', '#', '*', ';', '-', '"', '\'']) {
        return None;
    }
    let text = comment.trim_start_matches(['/', '#', '*', ';', '-', '"', '\'', '!', ' ']);
    if text.starts_with("Code generated ") && text.trim_end().ends_with("DO NOT EDIT.") {
        return Some("its head says \"Code generated … DO NOT EDIT.\"");
    }
    // The word alone: prose about the mark is no mark.
    (text.starts_with("@generated")).then_some("its head says @generated")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mark_is_a_mark() {
        for line in ["// Code generated by protoc-gen-go. DO NOT EDIT.", "# @generated by x", " * @generated"]
        {
            assert!(marked(line).is_some(), "{line}");
        }
        for line in
            ["let s = \"@generated\";", "// We look for @generated here.", "// Code generated by x.", ""]
        {
            assert!(marked(line).is_none(), "{line}");
        }
    }
}
