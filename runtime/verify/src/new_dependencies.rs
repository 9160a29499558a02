//! Dependencies that a patch adds: others' code that is run and shipped from then on.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_profile::{is_requirements, requirement_lines};
use regex::Regex;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::change::{Change, FileDiff};
use crate::manifests::{self, go_mod, requirement_name};

/// A manifest beyond this was not written by hand, and is not read.
const LARGEST: usize = 1 << 20;

/// A configuration of Gradle's Java and Kotlin plugins with `group:name`, in either of its languages.
static GRADLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?m)^\s*(?:\w*[iI]mplementation|\w*[aA]pi|\w*[cC]ompile|\w*[cC]ompileOnly|\w*[rR]untimeOnly|\w*[aA]nnotationProcessor|kapt|ksp|classpath)\b[\s(]*(?:(?:enforcedP|p)latform\s*\(\s*)?["']([\w.-]+:[\w.-]+)"#,
    )
    .expect("a constant pattern")
});

/// Returns the manifests of a change that name dependencies which no changed manifest named before, each with the
/// line of the first and the names, sorted. What lies in the repository itself is none, nor is what only a lockfile
/// has, and manifests among the tests are their data.
pub(crate) fn added(change: &Change) -> Vec<(&FileDiff, u32, Vec<String>)> {
    let manifests: Vec<(&FileDiff, Kind)> = change
        .files
        .iter()
        .filter(|diff| !is_test_data(diff.file.path.as_str()))
        .filter_map(|diff| Some((diff, Kind::of(&diff.file.path)?)))
        .collect();
    // One that moves from one manifest to another of the repository is not new.
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (diff, kind) in &manifests {
        known.extend(diff.before.as_deref().and_then(|source| kind.names(source)).unwrap_or_default());
    }
    let mut out = Vec::new();
    for (diff, kind) in manifests {
        // Of a manifest that could not be read before, nothing is known to be new.
        if diff.before.as_deref().is_some_and(|source| kind.names(source).is_none()) {
            continue;
        }
        let now = diff.after.as_deref().and_then(|source| kind.names(source)).unwrap_or_default();
        let new: Vec<String> = now.into_iter().filter(|name| known.insert(name.clone())).collect();
        let Some(first) = new.first() else { continue };
        let word = spelled(first.rsplit(':').next().unwrap_or(first));
        let line = diff.added().find(|(_, text)| has_word(&spelled(text), &word));
        out.push((diff, line.map_or(0, |(line, _)| line), new));
    }
    out
}

/// Whether a path lies in a folder of tests or of their data. A manifest there has the role of one that configures.
pub(crate) fn is_test_data(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(folder, _)| folder.split('/').any(|name| TEST_DATA.contains(&name)))
}

/// Folders of tests or of their data.
pub(crate) const TEST_DATA: &[&str] = &["test", "tests", "testdata", "fixtures", "__fixtures__", "__tests__"];

/// A text in which a name is found however it is spelled.
fn spelled(text: &str) -> String {
    text.to_ascii_lowercase().replace('_', "-")
}

/// Whether a line has a name that is no part of a longer word.
fn has_word(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].chars().next();
        [before, after].iter().flatten().all(|c| !c.is_alphanumeric())
    })
}

/// A manifest's form.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Cargo,
    Pyproject,
    Requirements,
    Node,
    Go,
    Maven,
    Gradle,
}

impl Kind {
    fn of(path: &RelPath) -> Option<Self> {
        Some(match path.name()? {
            "Cargo.toml" => Self::Cargo,
            "pyproject.toml" => Self::Pyproject,
            "package.json" => Self::Node,
            "go.mod" => Self::Go,
            "pom.xml" => Self::Maven,
            "build.gradle" | "build.gradle.kts" => Self::Gradle,
            // What constrains names nothing that was not wanted before.
            name if is_requirements(path) && !name.contains("constraints") => Self::Requirements,
            _ => return None,
        })
    }

    /// Returns the names a manifest has; none where it cannot be read.
    fn names(self, source: &[u8]) -> Option<BTreeSet<String>> {
        let text = std::str::from_utf8(source).ok().filter(|text| text.len() <= LARGEST)?;
        Some(match self {
            Self::Cargo => cargo(&text.parse().ok()?),
            Self::Pyproject => pyproject(&text.parse().ok()?),
            Self::Requirements => {
                requirement_lines(text).iter().filter_map(|line| requirement(line)).collect()
            }
            Self::Node => node(&serde_json::from_str(text).ok()?),
            Self::Go => go(text),
            Self::Maven => maven(text)?,
            Self::Gradle => GRADLE.captures_iter(text).map(|found| found[1].to_owned()).collect(),
        })
    }
}

fn cargo(whole: &Table) -> BTreeSet<String> {
    const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = whole.get("target").and_then(Value::as_table).into_iter().flat_map(|table| table.values());
    let places = targets.chain(whole.get("workspace")).filter_map(Value::as_table).chain([whole]);
    let lists = places.flat_map(|place| KINDS.iter().filter_map(|kind| place.get(*kind)?.as_table()));
    lists
        .flatten()
        // A member that takes what its workspace declares adds nothing to the repository.
        .filter(|(_, value)| value.get("path").is_none() && value.get("workspace").is_none())
        .map(|(name, value)| value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned())
        .collect()
}

fn pyproject(whole: &Table) -> BTreeSet<String> {
    let at = |path: &[&str]| {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(whole.get(*first)?, |value, key| value.get(key))
    };
    let tables = |path: &[&str]| {
        let table = at(path).and_then(Value::as_table);
        table.map(|table| table.values().collect::<Vec<_>>()).unwrap_or_default()
    };
    let mut lists: Vec<&Value> = [&["project", "dependencies"][..], &["build-system", "requires"]]
        .iter()
        .filter_map(|path| at(path))
        .collect();
    lists.extend(tables(&["project", "optional-dependencies"]));
    lists.extend(tables(&["dependency-groups"]));
    let words = lists.into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let mut names: BTreeSet<String> = words.filter_map(requirement).collect();
    let mut poetry: Vec<&Value> = ["dependencies", "dev-dependencies"]
        .iter()
        .filter_map(|kind| at(&["tool", "poetry", kind]))
        .collect();
    poetry.extend(
        tables(&["tool", "poetry", "group"]).into_iter().filter_map(|group| group.get("dependencies")),
    );
    for (name, value) in poetry.into_iter().filter_map(Value::as_table).flatten() {
        if name != "python" && value.get("path").is_none() {
            names.extend(requirement(name));
        }
    }
    names
}

/// The name of one requirement as PEP 503 spells it; none of an option, a comment or a path.
fn requirement(line: &str) -> Option<String> {
    let (name, rest) = requirement_name(line)?;
    let rest = rest.trim_start();
    let ends =
        rest.is_empty() || rest.starts_with(['=', '<', '>', '!', '~', '[', ';', '@', '#', ',', '(', '\\']);
    let option = rest.starts_with("--");
    (ends || option).then(|| manifests::spelled(name))
}

fn node(whole: &Json) -> BTreeSet<String> {
    const KINDS: &[&str] = &["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
    const OWN: &[&str] = &["workspace:", "file:", "link:", "portal:"];
    let lists = KINDS.iter().filter_map(|kind| whole.get(kind)?.as_object()).flatten();
    lists
        .filter(|(_, version)| {
            !version.as_str().is_some_and(|version| OWN.iter().any(|start| version.starts_with(start)))
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// The modules that `go.mod` requires directly.
fn go(text: &str) -> BTreeSet<String> {
    let direct = |comment: &str| comment != "indirect" && !comment.starts_with("indirect;");
    go_mod(text)
        .into_iter()
        .filter(|(keyword, _, comment)| *keyword == "require" && direct(comment))
        .filter_map(|(_, said, _)| Some(said.split_whitespace().next()?.trim_matches(['"', '`']).to_owned()))
        .collect()
}

fn maven(text: &str) -> Option<BTreeSet<String>> {
    let document = roxmltree::Document::parse(text).ok()?;
    let dependencies = document.descendants().filter(|node| node.tag_name().name() == "dependency");
    let word = |node: roxmltree::Node, name: &str| {
        let child = node.children().find(|child| child.tag_name().name() == name)?;
        Some(child.text()?.trim().to_owned())
    };
    Some(
        dependencies
            .filter_map(|node| Some((word(node, "groupId")?, word(node, "artifactId")?)))
            // A module of the same project.
            .filter(|(group, _)| !matches!(group.as_str(), "${project.groupId}" | "${pom.groupId}"))
            .map(|(group, name)| format!("{group}:{name}"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::change::diff;

    fn check(files: &[(&str, Option<&str>, Option<&str>)]) -> Vec<String> {
        let files = files.iter().map(|(path, before, after)| diff(path, *before, *after)).collect();
        let change = Change { files, base: BTreeMap::new(), patched: BTreeMap::new() };
        let told = |(diff, line, names): (&FileDiff, u32, Vec<String>)| {
            format!("{}:{line} {}", diff.file.path, names.join(" "))
        };
        added(&change).into_iter().map(told).collect()
    }

    fn one(path: &str, before: &str, after: &str) -> Vec<String> {
        check(&[(path, Some(before), Some(after))])
    }

    #[test]
    fn what_a_manifest_names_for_the_first_time_is_told() {
        let cargo = "[package]\nname = \"a\"\n[dependencies]\nserde = \"1\"\n";
        let more = "log = \"0.4\"\nown = { path = \"own\" }\nshared.workspace = true\nx = { package = \"y\", version = \"1\" }\n\
                    [target.'cfg(unix)'.dev-dependencies]\nrustix = \"1\"\n";
        assert_eq!(one("Cargo.toml", cargo, &format!("{cargo}{more}")), ["Cargo.toml:5 log rustix y"]);
        assert_eq!(one("Cargo.toml", cargo, &cargo.replace("\"1\"", "\"2\"")), [""; 0]);

        let python = "[project]\ndependencies = [\"Typing_Extensions>=4\"]\n";
        let more = "[project]\ndependencies = [\n  \"typing-extensions>=5\",\n  \"rich[all] ; python_version > '3'\",\n]\n\
                    [dependency-groups]\ntest = [\"pytest\", {include-group = \"x\"}]\n\
                    [tool.poetry.group.dev.dependencies]\npython = \"3\"\nruff = \"*\"\n";
        assert_eq!(one("pyproject.toml", python, more), ["pyproject.toml:7 pytest rich ruff"]);

        let list = "-r base.txt\n# flask\nclick==8 --hash=sha256:00\n";
        let more = format!("{list}./own\n-e .\nnumpy\nx @ https://a.b/x.zip\nfound what\n");
        assert_eq!(one("requirements-dev.txt", list, &more), ["requirements-dev.txt:6 numpy x"]);
        assert_eq!(check(&[("requirements/a.in", None, Some("a\n"))]), ["requirements/a.in:1 a"]);
        assert_eq!(one("test-requirements.txt", "a\n", "a\nb\n"), ["test-requirements.txt:2 b"]);
        assert_eq!(one("constraints.txt", "a\n", "a\nb\n"), [""; 0]);

        let node = r#"{"dependencies": {"a": "1"}}"#;
        let more = r#"{"dependencies": {"a": "2", "@x/b": "1", "c": "workspace:*"}, "devDependencies": {"d": "^1"}}"#;
        assert_eq!(one("web/package.json", node, more), ["web/package.json:1 @x/b d"]);

        let go = "module m\n\ngo 1.22\n\nrequire a.b/c v1.0.0\n";
        let more = format!(
            "{go}\nrequire (\n\td.e/f v1.0.0\n\tg.h/i v1.0.0 // indirect\n)\nreplace a.b/c => ../c\n"
        );
        assert_eq!(one("go.mod", go, &more), ["go.mod:8 d.e/f"]);

        let maven = "<project><dependencies><dependency><groupId>a</groupId><artifactId>b</artifactId></dependency></dependencies></project>";
        let more = maven.replace(
            "</dependencies>",
            "\n<dependency><groupId>c.d</groupId><artifactId>e</artifactId></dependency>\
             <dependency><groupId>${project.groupId}</groupId><artifactId>own</artifactId></dependency></dependencies>",
        );
        assert_eq!(one("pom.xml", maven, &more), ["pom.xml:2 c.d:e"]);

        let gradle = "dependencies {\n    implementation 'a:b:1'\n}\n";
        let more = "dependencies {\n    implementation(\"a:b:2\")\n    testImplementation(platform(\"c.d:e:1\"))\n    api project(':own')\n    // api 'x:y:1'\n}\n";
        assert_eq!(one("build.gradle.kts", gradle, more), ["build.gradle.kts:3 c.d:e"]);
    }

    #[test]
    fn what_moves_is_not_new_and_what_cannot_be_read_says_nothing() {
        let (none, log) = ("[dependencies]\n", "[dependencies]\nlog = \"0.4\"\n");
        assert_eq!(
            check(&[("a/Cargo.toml", Some(none), Some(log)), ("b/Cargo.toml", Some(log), Some(none))]),
            [""; 0]
        );
        // Named in two manifests it is one.
        let both = [("a/Cargo.toml", Some(none), Some(log)), ("b/Cargo.toml", Some(none), Some(log))];
        assert_eq!(check(&both), ["a/Cargo.toml:2 log"]);
        assert_eq!(one("Cargo.toml", "[[", log), [""; 0]);
        assert_eq!(one("Cargo.toml", log, "[["), [""; 0]);
        assert_eq!(one("tests/data/Cargo.toml", none, log), [""; 0]);
        assert_eq!(check(&[("Cargo.toml", Some(log), None)]), [""; 0]);
        let huge = format!("{log}{}", "#".repeat(LARGEST));
        assert_eq!(check(&[("Cargo.toml", None, Some(&huge))]), [""; 0]);
    }
}
