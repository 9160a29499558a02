//! `cargo test`: compiled first, then run by cargo itself with our runner around each executable, so that
//! folder and variables are cargo's own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::TestStatus;
use gloaming_api::profile::Command;
use regex::Regex;
use serde::Deserialize;

use super::libtest::{self, Doubles};
use super::{Control, Invocation, REPORT_MOUNT, Report, SCRIPT_MOUNT, TreeView, Trees, forms, required};
use crate::names::Names;

const ARTIFACTS: &str = "artifacts.json";

/// Flags after `--` that would put text into the machine report.
const NOISY: &[&str] = &["--nocapture", "--no-capture", "--show-output", "--quiet", "-q", "--color"];

/// The targets whose runner we set: those of a build for the machine itself.
const TARGETS: &[(&str, &[&str])] = &[
    ("x86_64", &["X86_64_UNKNOWN_LINUX_GNU", "X86_64_UNKNOWN_LINUX_MUSL"]),
    ("aarch64", &["AARCH64_UNKNOWN_LINUX_GNU", "AARCH64_UNKNOWN_LINUX_MUSL"]),
    ("riscv64", &["RISCV64GC_UNKNOWN_LINUX_GNU", "RISCV64GC_UNKNOWN_LINUX_MUSL"]),
    ("powerpc64", &["POWERPC64LE_UNKNOWN_LINUX_GNU"]),
    ("s390x", &["S390X_UNKNOWN_LINUX_GNU"]),
];

pub(super) fn prepare(command: &Command) -> Result<Invocation, String> {
    let Words { head, flags, .. } = split(command)?;
    let mut argv: Vec<String> =
        ["/bin/sh", &format!("{SCRIPT_MOUNT}/to-file"), &format!("{REPORT_MOUNT}/{ARTIFACTS}")]
            .map(str::to_owned)
            .to_vec();
    argv.extend(head);
    argv.extend(["--no-run", "--message-format=json-render-diagnostics"].map(str::to_owned));
    argv.extend(flags);
    Ok(invocation(command, argv, String::new()))
}

pub(super) fn run(command: &Command, prepared: Option<&Path>) -> Result<Invocation, String> {
    let Words { head, flags, test_args } = split(command)?;
    let executables =
        artifacts(prepared)?.into_iter().map(|built| built.executable + "\n").collect::<String>();
    let mut argv = head;
    argv.push("--no-fail-fast".into());
    argv.extend(flags);
    if !test_args.is_empty() {
        argv.push("--".into());
        argv.extend(test_args);
    }
    Ok(invocation(command, argv, executables))
}

/// A command in its parts.
struct Words {
    /// `cargo test`, with a toolchain in between.
    head: Vec<String>,
    /// The flags that choose what is built.
    flags: Vec<String>,
    /// What goes to the tests.
    test_args: Vec<String>,
}

fn split(command: &Command) -> Result<Words, String> {
    let words = &command.argv;
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let at = words[..end]
        .iter()
        .position(|word| word == "test" || word == "t")
        .ok_or_else(|| format!("`{}` is not a cargo test command", words.join(" ")))?;
    let head = words[..=at].to_vec();
    let flags = words[at + 1..end]
        .iter()
        .filter(|word| {
            !["--no-fail-fast", "--no-run", "-q", "--quiet"].contains(&word.as_str())
                && !word.starts_with("--message-format")
        })
        .cloned()
        .collect();
    let mut test_args = Vec::new();
    let mut rest = words[end..].iter().skip(1);
    while let Some(word) = rest.next() {
        if word == "--format" || word == "--color" {
            rest.next();
        } else if !NOISY.contains(&word.as_str())
            && !word.starts_with("--format=")
            && !word.starts_with("--color=")
        {
            test_args.push(word.clone());
        }
    }
    Ok(Words { head, flags, test_args })
}

fn invocation(command: &Command, argv: Vec<String>, executables: String) -> Invocation {
    let mut env = command.env.clone();
    // Set by variable, which wins over every configuration file a repository can hold.
    let targets = TARGETS.iter().find(|row| row.0 == std::env::consts::ARCH).map_or(&[][..], |row| row.1);
    for target in targets {
        env.insert(format!("CARGO_TARGET_{target}_RUNNER"), format!("/bin/sh {SCRIPT_MOUNT}/cargo-runner"));
    }
    env.insert("RUSTDOC".into(), format!("{SCRIPT_MOUNT}/rustdoc"));
    env.insert("CARGO_TERM_COLOR".into(), "never".into());
    Invocation {
        argv,
        env,
        scripts: vec![
            ("cargo-runner", include_str!("../../scripts/cargo-runner.sh").into()),
            ("rustdoc", include_str!("../../scripts/rustdoc.sh").into()),
            ("to-file", include_str!("../../scripts/to-file.sh").into()),
            ("executables", executables),
        ],
    }
}

/// A test executable that cargo said it built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Built {
    /// `package` or `package::tests/name`: unique in the workspace.
    label: String,
    /// The target's root source file, as the container sees it.
    source: String,
    executable: String,
}

impl Built {
    fn report_name(&self) -> &str {
        self.executable.rsplit('/').next().unwrap_or(&self.executable)
    }
}

fn artifacts(prepared: Option<&Path>) -> Result<Vec<Built>, String> {
    let prepared = prepared.ok_or("the tests were not compiled")?;
    Ok(parse_artifacts(&String::from_utf8_lossy(&required(prepared, ARTIFACTS)?)))
}

fn parse_artifacts(text: &str) -> Vec<Built> {
    #[derive(Deserialize)]
    struct Message {
        package_id: String,
        target: Target,
        profile: Profile,
        executable: Option<String>,
    }
    #[derive(Deserialize)]
    struct Target {
        kind: Vec<String>,
        name: String,
        src_path: String,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let mut built: Vec<Built> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.profile.test)
        .filter_map(|message| {
            let package = package_name(&message.package_id);
            let name = message.target.name;
            let label = match message.target.kind.first().map_or("", String::as_str) {
                "test" => format!("{package}::tests/{name}"),
                kind @ ("bin" | "example" | "bench") => format!("{package}::{kind}/{name}"),
                // A package has one library.
                _ => format!("{package}::{name}"),
            };
            Some(Built { label, source: message.target.src_path, executable: message.executable? })
        })
        .collect();
    built.sort_by(|a, b| a.executable.cmp(&b.executable));
    built.dedup_by(|a, b| a.executable == b.executable);
    built
}

/// `path+file:///workspace#demo@0.1.0` or, for a folder of the package's name, `...crates/demo#0.1.0`.
fn package_name(id: &str) -> &str {
    let (location, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => location.rsplit('/').next().unwrap_or(location),
    }
}

pub(super) fn read(report: &Path, prepared: Option<&Path>) -> Result<Report, String> {
    let mut out = Report::default();
    for built in artifacts(prepared)? {
        let name = built.report_name();
        if crate::host::read_report(report, &format!("{name}.twice")).is_ok_and(|found| found.is_some()) {
            return Err(format!("the test executable of {} was run twice", built.label));
        }
        let code = exit_code(report, name)
            .map_err(|why| format!("the test executable of {} left no result: {why}", built.label))?;
        let text = crate::host::read_report(report, &format!("{name}.json"))
            .map_err(|error| format!("the report of {} cannot be read: {error}", built.label))?;
        match text {
            Some(bytes) => libtest_report(&mut out, &built, &String::from_utf8_lossy(&bytes), code)
                .map_err(|why| format!("the report of {} is not believable: {why}", built.label))?,
            None => {
                let status = if code == 0 { TestStatus::Passed } else { TestStatus::Failed };
                out.add(format!("{}::(own harness)", built.label), status, None);
            }
        }
    }
    doc_tests(&mut out, report)?;
    Ok(out)
}

fn exit_code(report: &Path, name: &str) -> Result<i32, String> {
    let bytes = required(report, &format!("{name}.exit"))?;
    String::from_utf8_lossy(&bytes).trim().parse().map_err(|_| "its exit code is not a number".to_owned())
}

/// Adds one executable's results.
fn libtest_report(out: &mut Report, built: &Built, text: &str, code: i32) -> Result<(), String> {
    let parsed = libtest::parse(text, Doubles::Refused)?;
    let failed = parsed.results.iter().filter(|result| result.1 == TestStatus::Failed).count();
    if parsed.complete {
        if (failed > 0) != (code != 0) {
            return Err(format!("exit code {code} with {failed} failed tests"));
        }
    } else if code == 0 {
        return Err("it ended with exit code 0 before its tests were done".into());
    } else {
        // It crashed: what had begun and not ended failed, and so did the executable itself.
        for name in &parsed.unfinished {
            out.add(format!("{}::{name}", built.label), TestStatus::Failed, Some("began and did not end"));
        }
        out.add(
            format!("{}::(crashed)", built.label),
            TestStatus::Failed,
            Some(&format!("the test executable ended with code {code} before its tests were done")),
        );
    }
    for (name, status, stdout) in parsed.results {
        out.count_place(&built.label, &built.source, status);
        out.add(format!("{}::{name}", built.label), status, stdout.as_deref());
    }
    Ok(())
}

fn doc_tests(out: &mut Report, report: &Path) -> Result<(), String> {
    let names = crate::host::list_report(report).map_err(|error| format!("the report folder: {error}"))?;
    for name in names.iter().filter_map(|name| name.strip_suffix(".exit")) {
        let Some((krate, _)) = name.strip_prefix("doc-").and_then(|rest| rest.rsplit_once('-')) else {
            continue;
        };
        let code = exit_code(report, name)?;
        let text = String::from_utf8_lossy(&required(report, &format!("{name}.json"))?).into_owned();
        let parsed = libtest::parse(&text, Doubles::Allowed)
            .map_err(|why| format!("the report of {krate}'s documentation tests is not believable: {why}"))?;
        let failed = parsed.results.iter().filter(|result| result.1 == TestStatus::Failed).count();
        let empty = parsed.results.is_empty() && code == 0;
        if !empty && (!parsed.complete || (failed > 0) != (code != 0)) {
            return Err(format!(
                "the documentation tests of {krate} ended with code {code} and a report of {failed} failures"
            ));
        }
        let mut results: Vec<(&str, u32, TestStatus, Option<&str>)> = parsed
            .results
            .iter()
            .map(|(name, status, stdout)| {
                let (place, line) = place_and_line(name);
                (place, line, *status, stdout.as_deref())
            })
            .collect();
        results.sort();
        // A line moves with every edit above it: the n-th example of an item is the same test.
        let mut number = 0;
        let mut previous = "";
        for (place, _, status, stdout) in results {
            number = if place == previous { number + 1 } else { 1 };
            previous = place;
            out.add(format!("{krate}::doc::{place} #{number}"), status, stdout);
        }
    }
    Ok(())
}

/// Splits `src/lib.rs - add (line 10)`, with or without ` - compile fail` and the like behind it.
fn place_and_line(name: &str) -> (&str, u32) {
    match name.rsplit_once(" (line ") {
        Some((place, rest)) => {
            let digits = rest.split(')').next().unwrap_or("");
            (place, digits.parse().unwrap_or(0))
        }
        None => (name, 0),
    }
}

/// The most files of modules that get control tests besides each target's own.
const MOST_MODULES: usize = 64;

/// An attribute by which nothing may be allowed that is not used.
static FORBIDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"forbid\s*\([^)]*\b(?:unused\w*|warnings)").expect("a constant pattern"));

/// Inside every target whose tests ran, and inside the modules with tests: a macro by an assertion's name is known only
/// behind and below where it is defined.
pub(super) fn controls(report: &Report, trees: &Trees<'_>, names: &mut Names) -> Vec<Control> {
    let tree = trees.patched;
    let mut controls: Vec<Control> = Vec::new();
    let mut modules: Vec<(String, RelPath, Vec<String>)> = Vec::new();
    for place in report.best_places() {
        let Ok(root) = RelPath::parse(&place.file) else { continue };
        let Some(text) = tree.read(&root) else { continue };
        if !controls.iter().any(|control| control.path == root) {
            controls.push(control(&place.name, &[], root.clone(), &text, trees, names));
        }
        for (path, module) in modules_with_tests(&place.name, &root, report, tree) {
            if !modules.iter().any(|(_, other, _)| *other == path) && modules.len() < MOST_MODULES {
                modules.push((place.name.clone(), path, module));
            }
        }
    }
    for (label, path, module) in modules {
        if controls.iter().any(|control| control.path == path) {
            continue;
        }
        if !tree.has(&path) {
            continue;
        }
        let root = report.places.iter().find(|place| place.name == label);
        let root = root.and_then(|place| tree.read(&RelPath::parse(&place.file).ok()?)).unwrap_or_default();
        controls.push(control(&label, &module, path, &root, trees, names));
    }
    controls
}

/// The files of a target's modules in which tests passed, each with the module's path.
fn modules_with_tests(
    label: &str,
    root: &RelPath,
    report: &Report,
    tree: &TreeView<'_>,
) -> Vec<(RelPath, Vec<String>)> {
    let prefix = format!("{label}::");
    let folder = root.parent().unwrap_or_else(RelPath::root);
    let mut seen: BTreeSet<Vec<&str>> = BTreeSet::new();
    let mut out: Vec<(RelPath, Vec<String>)> = Vec::new();
    let tests = report.tests.range(prefix.clone()..).take_while(|(id, _)| id.starts_with(&prefix));
    for (id, _) in tests.filter(|(_, status)| **status == TestStatus::Passed) {
        let mut module: Vec<&str> = id[prefix.len()..].split("::").collect();
        let Some(test) = module.pop() else { continue };
        if seen.len() > MOST_MODULES * 4 || !seen.insert(module.clone()) {
            continue;
        }
        // The inner ones may be written in the file of an outer one.
        let found = (1..=module.len()).rev().find_map(|length| {
            let stem = module[..length].join("/");
            let file = ["{}.rs", "{}/mod.rs"].iter().find_map(|form| {
                folder.join(&form.replace("{}", &stem)).ok().filter(|path| tree.has(path))
            })?;
            // A file that only has the name of a module is none.
            let has_it = tree.read(&file).is_some_and(|text| text.contains(&format!("fn {test}")));
            has_it.then(|| (file, module[..length].iter().map(|name| (*name).to_owned()).collect()))
        });
        out.extend(found.filter(|(path, _)| !out.iter().any(|(other, _)| other == path)));
    }
    out
}

/// Controls behind the code of a file, which is a target's own or that of a module.
fn control(
    label: &str,
    within: &[String],
    path: RelPath,
    root: &str,
    trees: &Trees<'_>,
    names: &mut Names,
) -> Control {
    let (module, passes) = (names.next_name(), names.next_name());
    // By its whole name: a file may know something else as `test`. The library is asked for under a name of the module's own,
    // since no path leads to it in every crate: in the edition of 2015 `::core` is there only without `std`, `::std` only
    // with it, and a plain `core` may be a module's.
    let core = format!("{module}_core");
    let test = format!("    #[self::{core}::prelude::v1::test]\n");
    let outer: Vec<&str> = [label].into_iter().chain(within.iter().map(String::as_str)).collect();
    let at = format!("{}::{module}", outer.join("::"));
    // What the file takes from elsewhere is what its tests see; not where a lint that is forbidden would have a say.
    let texts = trees.texts(&path);
    let forbids = texts.after.iter().map(String::as_str).chain([root]).any(|text| FORBIDS.is_match(text));
    let scope = if forbids { "" } else { "    #[allow(unused_imports)]\n    use super::*;\n" };
    let mut code = format!(
        "\n#[cfg(test)]\nmod {module} {{\n    extern crate core as {core};\n{scope}{test}    fn {passes}() {{}}\n"
    );
    let mut fails = Vec::new();
    for form in forms::rust(&texts) {
        let name = names.next_name();
        code += &format!("{test}    fn {name}() {{\n        {}\n    }}\n", forms::named(&form, &name));
        fails.push(format!("{at}::{name}"));
    }
    Control { path, text: code + "}\n", passes: format!("{at}::{passes}"), fails }
}

#[cfg(test)]
mod tests {
    use gloaming_api::profile::TestRunner;

    use super::super::{lines, test_command};
    use super::*;

    const ARTIFACT_LINES: &str = include_str!("../../tests/samples/cargo-artifacts.json");
    const LIBTEST: &str = include_str!("../../tests/samples/libtest.json");
    const DOCTEST: &str = include_str!("../../tests/samples/doctest.json");
    const CUSTOM: &str = "custom-bc2098addf2e0c2d";
    const LIB: &str = "demo-8348ca7a80742723";

    /// A folder as a run of the sample crate leaves it.
    fn recorded() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        put(&dir, "artifacts.json", ARTIFACT_LINES);
        let one = |name: &str| {
            format!(
                "{{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": 1 }}\n\
                 {{ \"type\": \"test\", \"event\": \"started\", \"name\": \"{name}\" }}\n\
                 {{ \"type\": \"test\", \"name\": \"{name}\", \"event\": \"ok\" }}\n\
                 {{ \"type\": \"suite\", \"event\": \"ok\", \"passed\": 1, \"failed\": 0, \"ignored\": 0, \
                 \"measured\": 0, \"filtered_out\": 0, \"exec_time\": 0.1 }}\n"
            )
        };
        put(&dir, &format!("{LIB}.json"), LIBTEST);
        put(&dir, &format!("{LIB}.exit"), "101\n");
        put(&dir, "demo-dbce29200f970038.json", &one("in_bin"));
        put(&dir, "demo-dbce29200f970038.exit", "0\n");
        put(&dir, "it-4a9c20718bed82b8.json", &one("integration"));
        put(&dir, "it-4a9c20718bed82b8.exit", "0\n");
        put(&dir, &format!("{CUSTOM}.txt"), "custom harness\n");
        put(&dir, &format!("{CUSTOM}.exit"), "0\n");
        put(&dir, "doc-demo-A4Cd5V.json", DOCTEST);
        put(&dir, "doc-demo-A4Cd5V.exit", "0\n");
        put(&dir, "doc-demo-A4Cd5V", "");
        dir
    }

    #[expect(clippy::disallowed_methods, reason = "a test lays out a report folder")]
    fn put(dir: &tempfile::TempDir, name: &str, content: &str) {
        std::fs::write(dir.path().join(name), content).unwrap();
    }

    fn read_it(dir: &tempfile::TempDir) -> Result<Report, String> {
        read(dir.path(), Some(dir.path()))
    }

    #[test]
    fn a_recorded_run_is_read_whole() {
        let report = read_it(&recorded()).unwrap();
        assert_eq!(
            lines(&report),
            "demo::bin/demo::in_bin = passed\n\
             demo::demo::tests::fails = failed\n\
             demo::demo::tests::ignored = skipped\n\
             demo::demo::tests::panics = passed\n\
             demo::demo::tests::prints_raw = passed\n\
             demo::demo::tests::works = passed\n\
             demo::doc::src/lib.rs - add #1 = passed\n\
             demo::doc::src/lib.rs - add #2 = passed\n\
             demo::doc::src/lib.rs - add #3 = passed\n\
             demo::doc::src/lib.rs - add #4 = skipped\n\
             demo::tests/custom::(own harness) = passed\n\
             demo::tests/it::integration = passed\n"
        );
        assert_eq!(
            report
                .best_places()
                .iter()
                .map(|place| format!("{} {} {}", place.name, place.file, place.passed))
                .collect::<Vec<_>>(),
            [
                "demo::demo /workspace/src/lib.rs 3",
                "demo::bin/demo /workspace/src/bin/demo.rs 1",
                "demo::tests/it /workspace/tests/it.rs 1"
            ]
        );
    }

    #[test]
    fn an_executable_without_a_report_is_not_a_pass() {
        let dir = recorded();
        std::fs::remove_file(dir.path().join(format!("{CUSTOM}.exit"))).unwrap();
        assert_eq!(
            read_it(&dir).unwrap_err(),
            "the test executable of demo::tests/custom left no result: the suite left no report \
             (custom-bc2098addf2e0c2d.exit is missing)"
        );
    }

    #[test]
    fn an_exit_code_that_contradicts_the_report_is_not_believed() {
        let dir = recorded();
        put(&dir, &format!("{LIB}.exit"), "0\n");
        assert_eq!(
            read_it(&dir).unwrap_err(),
            "the report of demo::demo is not believable: exit code 0 with 1 failed tests"
        );
        let dir = recorded();
        put(&dir, "it-4a9c20718bed82b8.exit", "101\n");
        assert_eq!(
            read_it(&dir).unwrap_err(),
            "the report of demo::tests/it is not believable: exit code 101 with 0 failed tests"
        );
        let dir = recorded();
        put(&dir, "doc-demo-A4Cd5V.exit", "101\n");
        assert!(
            read_it(&dir).unwrap_err().starts_with("the documentation tests of demo ended with code 101")
        );
    }

    #[test]
    fn an_executable_that_ran_twice_is_not_believed() {
        let dir = recorded();
        put(&dir, &format!("{LIB}.twice"), "");
        assert_eq!(read_it(&dir).unwrap_err(), "the test executable of demo::demo was run twice");
    }

    #[test]
    fn a_crash_is_failed_tests_and_an_early_exit_0_is_not_believed() {
        let dir = recorded();
        let cut = LIBTEST.find("raw without newline").unwrap();
        put(&dir, &format!("{LIB}.json"), &LIBTEST[..cut]);
        put(&dir, &format!("{LIB}.exit"), "139\n");
        let report = read_it(&dir).unwrap();
        assert_eq!(report.tests["demo::demo::tests::prints_raw"], TestStatus::Failed);
        assert_eq!(report.tests["demo::demo::(crashed)"], TestStatus::Failed);
        put(&dir, &format!("{LIB}.exit"), "0\n");
        assert_eq!(
            read_it(&dir).unwrap_err(),
            "the report of demo::demo is not believable: it ended with exit code 0 before its tests were done"
        );
    }

    #[test]
    fn commands_keep_the_repositorys_flags() {
        let command = test_command(
            TestRunner::Cargo,
            &["cargo", "+stable", "test", "--workspace", "-q", "--", "--nocapture", "--test-threads=1"],
        );
        assert_eq!(
            prepare(&command).unwrap().argv.join(" "),
            "/bin/sh /gloaming/to-file /report/artifacts.json cargo +stable test --no-run \
             --message-format=json-render-diagnostics --workspace"
        );
        let run = run(&command, Some(recorded().path())).unwrap();
        assert_eq!(run.argv.join(" "), "cargo +stable test --no-fail-fast --workspace -- --test-threads=1");
        let executables = &run.scripts.iter().find(|script| script.0 == "executables").unwrap().1;
        assert_eq!(executables.lines().count(), 4);
        assert!(executables.contains("/scratch/target/debug/deps/it-4a9c20718bed82b8\n"));
        assert!(super::run(&test_command(TestRunner::Cargo, &["make", "check"]), None).is_err());
    }

    #[test]
    fn package_names_are_read_from_both_forms_of_an_id() {
        assert_eq!(package_name("path+file:///workspace#demo@0.1.0"), "demo");
        assert_eq!(package_name("path+file:///workspace/crates/demo#0.1.0"), "demo");
    }

    #[test]
    fn controls_go_into_every_target_whose_tests_ran_and_nowhere_git_has_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<RelPath> =
            ["src/bin/demo.rs", "src/lib.rs"].map(|path| RelPath::parse(path).unwrap()).to_vec();
        for path in &files {
            crate::host::write_in_tree(dir.path(), path, b"fn main() {}\n").unwrap();
        }
        let tree = TreeView { dir: dir.path(), files: &files };
        let trees = Trees { base: &tree, patched: &tree };
        let controls = controls(&read_it(&recorded()).unwrap(), &trees, &mut Names::new(1));
        assert_eq!(
            controls.iter().map(|control| control.path.as_str()).collect::<Vec<_>>(),
            ["src/lib.rs", "src/bin/demo.rs"]
        );
        assert!(controls[0].passes.starts_with("demo::demo::"));
        assert_ne!(controls[0].passes, controls[0].fails[0]);
        for (text, forbids) in [
            ("#![forbid(unsafe_code, unused_imports)]", true),
            ("#![forbid(\n    unused\n)]", true),
            ("#![cfg_attr(test, forbid(warnings))]", true),
            ("#![forbid(unsafe_code)]\n// unused", false),
            ("#![deny(unused)]", false),
        ] {
            assert_eq!(FORBIDS.is_match(text), forbids, "{text}");
        }
    }
}
