//! Recordings of other agents, each call made again with our tools (README.md beside this says where they come from).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Scene, skipped};

#[derive(Deserialize)]
struct Cases {
    source: BTreeMap<String, Source>,
    repository: BTreeMap<String, Commit>,
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Source {
    url: String,
    commit: String,
    licence: String,
}

#[derive(Deserialize)]
struct Commit {
    url: String,
    commit: String,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    path: String,
    repository: String,
}

/// Cases as data; where recordings and repositories are is `GLOAMING_RECORDED_DIR`, as get.sh makes it.
fn cases() -> Cases {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/cases.toml");
    toml::from_str(&std::fs::read_to_string(path).expect("cases.toml is there"))
        .expect("cases.toml has this form")
}

/// Makes a repository of a commit's files; an empty one where the case has none.
fn repository(data: &Path, name: &str) -> Scene {
    let scene = Scene::new(&[]);
    let from = data.join("repositories").join(name);
    if from.is_dir() {
        let copied =
            Command::new("cp").arg("-a").arg(from.join(".")).arg(scene.repo()).status().expect("cp runs");
        assert!(copied.success(), "{name}");
        scene.commit("as it was");
    }
    scene
}

/// Replays a file in a scene and returns the report.
fn replayed(scene: &Scene, file: &Path) -> Value {
    scene.gloaming(&["import", "traj", &file.to_string_lossy(), "--repo", "repo", "--json"]).exits(0).json()
}

/// The report as a table of plain text.
fn table(report: &Value) -> String {
    let mut text = String::new();
    for row in report["rows"].as_array().expect("rows") {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        writeln!(text, "{} {}", row["step"], word("theirs")).expect("a string");
        for call in row["ours"].as_array().expect("calls") {
            writeln!(text, "    -> {}", call.as_str().expect("a text")).expect("a string");
        }
        let end = [word("fate"), word("reason"), word("detail")];
        let end: Vec<&str> = end.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        writeln!(text, "    {}", end.join(": ")).expect("a string");
    }
    text
}

#[test]
fn every_recording_is_the_same_here_or_its_difference_has_a_name() {
    let cases = cases();
    assert!(cases.case.len() >= 10);
    for source in cases.source.values() {
        assert!(source.url.starts_with("https://") && source.commit.len() == 40 && source.licence == "MIT");
    }
    for repository in cases.repository.values() {
        assert!(repository.url.starts_with("https://") && repository.commit.len() == 40);
    }
    let Some(data) = std::env::var_os("GLOAMING_RECORDED_DIR").map(PathBuf::from) else {
        return skipped(
            "recorded",
            "GLOAMING_RECORDED_DIR is not set; `make recorded` brings the recordings",
        );
    };
    let mut fates: BTreeMap<String, u64> = BTreeMap::new();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_case = String::new();
    for case in &cases.case {
        let known = case.repository == "nothing" || cases.repository.contains_key(&case.repository);
        assert!(
            known && cases.source.contains_key(&case.source) && case.path.ends_with(".traj"),
            "{}",
            case.name
        );
        let scene = repository(&data, &case.repository);
        let report = replayed(&scene, &data.join("trajectories").join(format!("{}.traj", case.name)));
        let add = |to: &mut BTreeMap<String, u64>, from: &Value| {
            for (name, count) in from.as_object().expect("counts") {
                *to.entry(name.clone()).or_default() += count.as_u64().expect("a number");
            }
        };
        add(&mut fates, &report["fates"]);
        add(&mut reasons, &report["reasons"]);
        let count = |fate: &str| report["fates"][fate].as_u64().expect("a count");
        writeln!(
            by_case,
            "| {} | {} | {} | {} | {} |",
            case.name,
            report["rows"].as_array().expect("rows").len(),
            count("equivalent"),
            count("differs"),
            count("out_of_reach")
        )
        .expect("a string");
        if std::env::var_os("GLOAMING_RECORDED_SHOW").is_some() {
            println!("== {}\n{}", case.name, table(&report));
        }
        // Whatever a difference is, it has a name.
        assert_eq!(report["reasons"]["unexplained"], Value::Null, "{}:\n{}", case.name, table(&report));
    }

    // What the page says is what was counted.
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/trajectories.md"))
        .expect("the page is there");
    let total: u64 = fates.values().sum();
    let sum = format!(
        "| **all {}** | {total} | {} | {} | {} |",
        cases.case.len(),
        fates["equivalent"],
        fates["differs"],
        fates["out_of_reach"]
    );
    assert!(
        page.contains(&format!("{by_case}{sum}")),
        "docs/trajectories.md has to hold\n{by_case}{sum}\n{reasons:#?}"
    );
    for (reason, count) in reasons {
        let row = format!("| `{reason}` | {count} |");
        assert!(page.contains(&row), "docs/trajectories.md has to hold a row {row}");
    }
}

/// Calls that none of the recordings makes, in the words of SWE-agent's own tools.
#[test]
fn what_the_recordings_do_not_hold_is_mapped_too() {
    let scene = Scene::new(&[
        ("src/a.py", "def f():\n    return 1\n\n\ndef g():\n    return 1\n"),
        ("src/b.py", "import a\n\nx = a.f()\n"),
        ("Makefile", "all:\n\tcc a.c\n"),
        (".env", "KEY=1\n"),
    ]);
    let steps = [
        (
            "search_dir \"return\" src",
            "Found 2 matches for \"return\" in /r/src:\n/r/src/a.py (2 matches)\nEnd of matches for \"return\" in /r/src",
        ),
        (
            "open src/a.py",
            "[File: /r/src/a.py (6 lines total)]\n1:def f():\n2:    return 1\n(4 more lines below)",
        ),
        (
            "scroll_down",
            "[File: /r/src/a.py (6 lines total)]\n(4 more lines above)\n5:def g():\n6:    return 1",
        ),
        (
            "search_file \"def\"",
            "Found 2 matches for \"def\" in /r/src/a.py:\nLine 1:def f():\nLine 5:def g():\nEnd of matches for \"def\" in /r/src/a.py",
        ),
        (
            "edit 'return 1' 'return 2'",
            "Text replaced.\n[File: /r/src/a.py (6 lines total)]\n5:def g():\n6:    return 2",
        ),
        (
            "edit 'return 9' 'return 2'",
            "Your edit was not applied (file not modified): Text 'return 9' not found in displayed lines (or anywhere in the file).",
        ),
        (
            "str_replace_editor view /r",
            "Here's the files and directories up to 2 levels deep in /r, excluding hidden items:\n/r\n/r/Makefile\n/r/src\n/r/src/a.py\n/r/src/b.py\n",
        ),
        (
            "str_replace_editor view /r/src/b.py --view_range 2 3",
            "Here's the result of running `cat -n` on /r/src/b.py:\n     2\t\n     3\tx = a.f()\n",
        ),
        (
            "str_replace_editor insert /r/src/b.py --insert_line 1 --new_str 'import c'",
            "The file /r/src/b.py has been edited. Here's the result of running `cat -n` on a snippet of the edited file:\n     1\timport a\n     2\timport c\n     3\t\nReview the changes.",
        ),
        (
            "str_replace_editor str_replace /r/Makefile --old_str '        cc a.c' --new_str '        cc b.c'",
            "The file /r/Makefile has been edited. Here's the result of running `cat -n` on a snippet of /r/Makefile:\n     1\tall:\n     2\t        cc b.c\nReview the changes.",
        ),
        (
            "cd /r && grep -rn \"import\" --include=\"*.py\" src | head -2",
            "src/b.py:1:import a\nsrc/b.py:2:import c",
        ),
        ("find . -name '*.py' | xargs grep -l import", "./src/b.py"),
        ("cat .env", "KEY=1\n"),
        ("cat src/none.py", "cat: src/none.py: No such file or directory"),
        ("cat /etc/hosts", "127.0.0.1 localhost"),
        ("cd src && python -m pytest -q ../tests", "1 passed"),
        ("ls", "a.py\nb.py\n"),
        ("cat b.py", "import a\n"),
    ];
    let steps: Vec<Value> = steps
        .iter()
        .map(|(action, observation)| json!({"action": action, "observation": observation, "state": {"working_dir": "/r"}}))
        .collect();
    let file = scene.path().join("written.traj");
    std::fs::write(&file, json!({"trajectory": steps}).to_string()).expect("write");
    let ran = scene.gloaming(&["import", "traj", "written.traj", "--repo", "repo", "--out", "out", "--json"]);
    // The last answer is another one than the file has, which nothing explains.
    let report = ran.exits(1).json();
    insta::assert_snapshot!(table(&report), @r#"
    1 search_dir "return" src
        -> search src {"hidden":true,"ignored":true,"limit":10000,"pattern":"return"}
        equivalent
    2 open src/a.py
        -> read src/a.py {"lines":2,"start":1}
        equivalent
    3 scroll_down
        -> read src/a.py {"lines":2,"start":5}
        equivalent
    4 search_file "def"
        -> search src/a.py {"hidden":true,"ignored":true,"limit":10000,"pattern":"def"}
        equivalent
    5 edit 'return 1' 'return 2'
        -> edit src/a.py {"new":"return 2","old":"return 1"}
        -> patch {"patch":"--- a/src/a.py\n+++ b/src/a.py\n@@ -3,4 +3,4 @@\n \n \n def g():\n-    return 1\n+    return 2\n"}
        differs: unique_in_file: made by `patch`, since the text occurs several times
    6 edit 'return 9' 'return 2'
        -> edit src/a.py {"new":"return 2","old":"return 9"}
        equivalent
    7 str_replace_editor view /r
        -> list {"depth":2,"ignored":true}
        equivalent
    8 str_replace_editor view /r/src/b.py --view_range 2 3
        -> read src/b.py {"lines":2,"start":2}
        equivalent
    9 str_replace_editor insert /r/src/b.py --insert_line 1 --new_str 'import c'
        -> patch {"patch":"--- a/src/b.py\n+++ b/src/b.py\n@@ -1,3 +1,4 @@\n import a\n+import c\n \n x = a.f()\n"}
        equivalent
    10 str_replace_editor str_replace /r/Makefile --old_str '        cc a.c' --new_str '        cc b.c'
        -> edit Makefile {"new":"        cc b.c","old":"        cc a.c"}
        equivalent
    11 cd /r && grep -rn "import" --include="*.py" src | head -2
        -> search src {"globs":["*.py"],"hidden":true,"ignored":true,"limit":10000,"pattern":"import"}
        equivalent
    12 find . -name '*.py' | xargs grep -l import
        -> search {"globs":["*.py"],"hidden":true,"ignored":true,"limit":10000,"pattern":"import"}
        equivalent
    13 cat .env
        -> read .env
        differs: policy: the policy does not let .env be read: Secrets never enter a model's context. (rule no-secrets) Name the variable or the file in the code; its value is given to the program where it runs.
    14 cat src/none.py
        -> read src/none.py
        equivalent
    15 cat /etc/hosts
        out_of_reach: outside: /etc/hosts
    16 cd src && python -m pytest -q ../tests
        -> check {"what":"test"}
        check
    17 ls
        -> list src {"depth":1,"ignored":true}
        equivalent
    18 cat b.py
        -> read src/b.py
        differs: unexplained: another content
    "#);
    let written = std::fs::read_to_string(scene.out().join("report.md")).expect("the report is there");
    assert!(written.contains("| unexplained | 1 |"), "{written}");
    let patch = std::fs::read_to_string(scene.out().join("patch.diff")).expect("the patch is there");
    assert!(patch.contains("+import c") && patch.contains("+    return 2"), "{patch}");
    assert!(scene.git(&["status", "--porcelain"]).is_empty());

    let again =
        scene.gloaming(&["import", "traj", "written.traj", "--repo", "repo", "--out", "out"]).exits(2);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
    std::fs::write(&file, "{}").expect("write");
    let none =
        scene.gloaming(&["import", "traj", "written.traj", "--repo", "repo", "--json"]).exits(2).json();
    assert_eq!(
        none["error"].as_str().expect("an error").rsplit_once("written.traj: ").expect("the file").1,
        "it is no SWE-agent trajectory: want an object with `trajectory` or `history`"
    );
}
