//! `go test -json`.

use std::collections::BTreeMap;
use std::path::Path;

use gloaming_api::RelPath;
use gloaming_api::evidence::TestStatus;
use gloaming_api::profile::Command;
use serde::Deserialize;

use super::{Control, Invocation, Placing, REPORT_MOUNT, Report, SCRIPT_MOUNT, Trees, forms, required};
use crate::names::Names;

const FILE: &str = "go.jsonl";

pub(super) fn run(command: &Command) -> Result<Invocation, String> {
    let at = command
        .argv
        .windows(2)
        .position(|pair| pair[0].rsplit('/').next() == Some("go") && pair[1] == "test")
        .ok_or_else(|| format!("`{}` is not a go test command", command.argv.join(" ")))?;
    let mut argv: Vec<String> =
        ["/bin/sh", &format!("{SCRIPT_MOUNT}/to-file"), &format!("{REPORT_MOUNT}/{FILE}")]
            .map(str::to_owned)
            .to_vec();
    argv.extend_from_slice(&command.argv[..at + 2]);
    // Cached results would be of another run.
    argv.extend(["-json", "-count=1"].map(str::to_owned));
    argv.extend(
        command.argv[at + 2..]
            .iter()
            .filter(|word| !["-json", "-failfast", "-v"].contains(&word.as_str()))
            .cloned(),
    );
    Ok(Invocation {
        argv,
        env: command.env.clone(),
        scripts: vec![("to-file", include_str!("../../scripts/to-file.sh").into())],
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    #[serde(default)]
    test: Option<String>,
    #[serde(default)]
    output: Option<String>,
}

pub(super) fn read(report: &Path) -> Result<Report, String> {
    parse(&String::from_utf8_lossy(&required(report, FILE)?))
}

fn parse(text: &str) -> Result<Report, String> {
    let mut out = Report::default();
    let mut running: BTreeMap<String, u32> = BTreeMap::new();
    let mut output: BTreeMap<String, String> = BTreeMap::new();
    // Packages that ended, by how.
    let mut packages: BTreeMap<String, TestStatus> = BTreeMap::new();
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            // Packages that do not compile are told in plain text.
            if let Some(rest) = line.strip_prefix("FAIL\t")
                && let Some((package, _)) = rest.split_once(" [")
            {
                packages.insert(package.to_owned(), TestStatus::Failed);
            }
            continue;
        };
        let id = match &event.test {
            Some(test) => format!("{}::{test}", event.package),
            None => event.package.clone(),
        };
        let status = match event.action.as_str() {
            "run" => {
                *running.entry(id).or_default() += 1;
                continue;
            }
            "output" => {
                let text = output.entry(id).or_default();
                if text.len() < 4000 {
                    text.push_str(event.output.as_deref().unwrap_or(""));
                }
                continue;
            }
            "pass" => TestStatus::Passed,
            "fail" => TestStatus::Failed,
            "skip" => TestStatus::Skipped,
            _ => continue,
        };
        if event.test.is_none() {
            if packages.insert(event.package.clone(), status).is_some_and(|before| before != status) {
                return Err(format!("two results of the package {}", event.package));
            }
            continue;
        }
        match running.get_mut(&id) {
            Some(1) => drop(running.remove(&id)),
            Some(times) => *times -= 1,
            None => return Err(format!("a result of {id}, which did not begin or has one already")),
        }
        if out.tests.contains_key(&id) {
            return Err(format!("two results of {id}"));
        }
        out.count_place(&event.package, "", status);
        let message = output.remove(&id);
        out.add(id, status, message.as_deref());
    }
    for id in running.into_keys() {
        out.add(id, TestStatus::Failed, Some("began and did not end"));
    }
    for (package, status) in packages {
        let prefix = format!("{package}::");
        let mut its_tests = out.tests.range(prefix.clone()..).take_while(|(id, _)| id.starts_with(&prefix));
        let shows_failure = its_tests.any(|(_, status)| *status == TestStatus::Failed);
        match status {
            TestStatus::Failed if !shows_failure => {
                let message = output.remove(&package);
                out.add(package, TestStatus::Failed, message.as_deref());
            }
            TestStatus::Passed if shows_failure => {
                return Err(format!("the package {package} passed with failed tests"));
            }
            _ => {}
        }
    }
    Ok(out)
}

pub(super) fn controls(
    placing: Placing,
    report: &Report,
    trees: &Trees<'_>,
    names: &mut Names,
) -> Vec<Control> {
    let tree = trees.patched;
    let mut out: Vec<Control> = Vec::new();
    for place in report.best_places() {
        // Files whose folder is the longest end of the package's path.
        let candidates: Vec<(usize, &RelPath, RelPath)> = tree
            .files
            .iter()
            .filter(|path| path.as_str().ends_with("_test.go"))
            .filter_map(|path| {
                let folder = path.parent()?;
                let fits = folder.is_root() || format!("/{}", place.name).ends_with(&format!("/{folder}"));
                fits.then_some((folder.as_str().len(), path, folder))
            })
            .collect();
        let longest = candidates.iter().map(|found| found.0).max().unwrap_or_default();
        let nearest: Vec<_> = candidates.into_iter().filter(|found| found.0 == longest).collect();
        let ran = |path: &RelPath| {
            // Where files are named, only some of a folder's have tests that ran.
            let text = tree.read(path).unwrap_or_default();
            let prefix = format!("{}::", place.name);
            let tests = report.tests.range(prefix.clone()..).take_while(|(id, _)| id.starts_with(&prefix));
            let mut names = tests.map(|(id, _)| &id[prefix.len()..]).filter(|name| !name.contains('/'));
            names.any(|name| text.contains(&format!("func {name}(")))
        };
        let Some((_, path, folder)) =
            nearest.iter().find(|(_, path, _)| ran(path)).or(nearest.last()).cloned()
        else {
            continue;
        };
        if out.iter().any(|control| control.path.parent().as_ref() == Some(&folder)) {
            continue;
        }
        let Some(text) = tree.read(path) else { continue };
        let package =
            text.lines().find_map(|line| line.strip_prefix("package ").map(|name| name.trim().to_owned()));
        let Some(package) = package else { continue };
        let Ok(new) = folder.join(&format!("{}_test.go", names.next_name())) else { continue };
        // One process runs the whole package, so that what one file checks by is missing to all.
        let mut texts = forms::Texts::default();
        for (_, path, _) in nearest.iter().filter(|(_, path, _)| ran(path)) {
            texts.before.extend(trees.base.read(path));
            texts.after.extend(tree.read(path));
        }
        let mut found = forms::go(&texts);
        if placing == Placing::Inside {
            // A file has its own imports.
            let own = forms::go(&forms::Texts { before: Vec::new(), after: vec![text.clone()] });
            found.forms.retain(|form| form.starts_with("t.") || own.forms.contains(form));
        }
        let passes = names.next_name();
        let mut control = Control {
            path: if placing == Placing::Inside { path.clone() } else { new },
            text: match placing {
                Placing::Inside => String::new(),
                Placing::Beside => {
                    let imports: String = found.imports.iter().map(|line| format!("\t{line}\n")).collect();
                    format!("package {package}\n\nimport (\n\t\"testing\"\n{imports})\n")
                }
            },
            passes,
            fails: Vec::new(),
        };
        control.text += &format!("\nfunc Test_{}(t *testing.T) {{}}\n", control.passes);
        for form in found.forms {
            let fails = names.next_name();
            let form = forms::named(&form, &fails);
            control.text += &format!("\nfunc Test_{fails}(t *testing.T) {{ {form} }}\n");
            control.fails.push(fails);
        }
        out.push(control);
        if out.len() == 8 {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use gloaming_api::profile::TestRunner;

    use super::super::{TreeView, lines, test_command};
    use super::*;

    const REAL: &str = include_str!("../../tests/samples/go.jsonl");

    #[test]
    fn a_recorded_run_is_read_whole() {
        let report = parse(REAL).unwrap();
        assert_eq!(
            lines(&report),
            "example.com/x/p::TestAdd = passed\n\
             example.com/x/p::TestFail = failed\n\
             example.com/x/p::TestSkip = skipped\n\
             example.com/x/p::TestSub = failed\n\
             example.com/x/p::TestSub/a_b = passed\n\
             example.com/x/p::TestSub/c = failed\n\
             example.com/x/q = failed\n"
        );
        assert!(report.messages["example.com/x/p::TestFail"].contains("p_test.go:4: no"));
    }

    #[test]
    fn forged_and_truncated_reports_are_errors_or_failures() {
        // A test that prints "--- PASS: TestFail" makes older versions of go report it.
        let at = REAL.find(r#""Action":"fail","Package":"example.com/x/p","Test":"TestFail""#).unwrap();
        let at = REAL[..at].rfind('\n').unwrap() + 1;
        let forged = format!(
            "{}{{\"Action\":\"pass\",\"Package\":\"example.com/x/p\",\"Test\":\"TestFail\"}}\n{}",
            &REAL[..at],
            &REAL[at..]
        );
        assert_eq!(
            parse(&forged).unwrap_err(),
            "a result of example.com/x/p::TestFail, which did not begin or has one already"
        );
        assert_eq!(parse(&REAL[..at]).unwrap().tests["example.com/x/p::TestFail"], TestStatus::Failed);
        let passed = REAL.replace(
            r#""Action":"fail","Package":"example.com/x/p","Elapsed""#,
            r#""Action":"pass","Package":"example.com/x/p","Elapsed""#,
        );
        assert_eq!(parse(&passed).unwrap_err(), "the package example.com/x/p passed with failed tests");
    }

    #[test]
    fn commands() {
        let run = run(&test_command(TestRunner::GoTest, &["go", "test", "-v", "./..."])).unwrap();
        assert_eq!(
            run.argv.join(" "),
            "/bin/sh /gloaming/to-file /report/go.jsonl go test -json -count=1 ./..."
        );
    }

    #[test]
    fn controls_join_the_package_of_their_neighbour() {
        let dir = tempfile::tempdir().unwrap();
        let path = RelPath::parse("p/p_test.go").unwrap();
        crate::host::write_in_tree(dir.path(), &path, b"// note\npackage p_test\n").unwrap();
        let files = [path];
        let tree = TreeView { dir: dir.path(), files: &files };
        let report = parse(REAL).unwrap();
        let trees = Trees { base: &tree, patched: &tree };
        let inside = controls(Placing::Inside, &report, &trees, &mut Names::new(5));
        assert_eq!((inside.len(), inside[0].path.as_str()), (1, "p/p_test.go"));
        assert!(inside[0].text.starts_with("\nfunc Test_"));
        let controls = controls(Placing::Beside, &report, &trees, &mut Names::new(5));
        assert_eq!(controls.len(), 1);
        assert!(
            controls[0].path.as_str().starts_with("p/") && controls[0].path.as_str().ends_with("_test.go")
        );
        assert!(controls[0].text.starts_with("package p_test\n"));
    }
}
