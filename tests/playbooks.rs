//! Playbooks from a task's words to a branch, without a model. What `rename` does is in `run`.

use serde_json::Value;

use crate::support::{Ran, Scene};

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    (
        "src/lib.rs",
        "//! Parses.\n\n/// Returns the number.\npub fn number(text: &str) -> Result<u32, std::num::ParseIntError> {\n    let n = text.trim().parse::<u32>().unwrap();\n    Ok(n)\n}\n",
    ),
    ("src/crlf.rs", "// Not of the crate.\r\nfn a() {}\r\n"),
    ("tests/all.rs", "use calc::number;\n\n#[test]\nfn one() {\n    assert_eq!(number(\"1 \"), Ok(1));\n}\n"),
];

fn run(scene: &Scene, task: &str) -> Ran {
    scene.gloaming(&["run", "--repo", "repo", "--task", task, "--out", "out", "--json"])
}

fn bow_out(scene: &Scene) -> Value {
    serde_json::from_slice(&std::fs::read(scene.out().join("bowout.json")).unwrap()).unwrap()
}

/// Returns the branch of a run that made one, whose journal replays.
fn branch(scene: &Scene, result: &Value, playbook: &str) -> String {
    assert_eq!(result["outcome"], "branch", "{result:#}");
    let journal = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    assert!(journal.contains(&format!(r#""origin":{{"kind":"playbook","name":"{playbook}"}}"#)), "{journal}");
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
    result["branch"].as_str().unwrap().to_owned()
}

#[test]
fn a_header_is_put_where_it_is_missing_and_once_only() {
    let scene = Scene::new(FILES);
    let task = "Add the header `SPDX-License-Identifier: MIT` to all Rust files";
    let result = run(&scene, task).exits(0).json();
    let branch = branch(&scene, &result, "header");
    for path in ["src/lib.rs", "src/crlf.rs", "tests/all.rs"] {
        let text = scene.git(&["show", &format!("{branch}:{path}")]);
        let line_end = if path.contains("crlf") { "\r\n" } else { "\n" };
        let head = format!("// SPDX-License-Identifier: MIT{line_end}{line_end}");
        let old = scene.git(&["show", &format!("main:{path}")]);
        assert_eq!(text, format!("{head}{old}"), "{path}");
    }
    scene.git(&["merge", "-q", &branch]);
    let again = scene.gloaming(&["run", "--repo", "repo", "--task", task, "--out", "again", "--json"]);
    assert_eq!(again.exits(3).json()["reason_code"], "no_change_needed");
}

#[test]
fn code_is_replaced_by_its_structure() {
    let scene = Scene::new(FILES);
    let result = run(&scene, "Replace `$A.unwrap()` with `$A?` in all Rust files").exits(0).json();
    let branch = branch(&scene, &result, "codemod");
    let diff = scene.git(&["diff", "-U0", "main", &branch]);
    let changed: Vec<&str> = diff.lines().filter(|line| line.starts_with(['+', '-'])).collect();
    assert_eq!(
        changed,
        [
            "--- a/src/lib.rs",
            "+++ b/src/lib.rs",
            "-    let n = text.trim().parse::<u32>().unwrap();",
            "+    let n = text.trim().parse::<u32>()?;",
        ]
    );
}

#[test]
fn a_replacement_that_does_not_fit_bows_out() {
    let scene = Scene::new(FILES);
    for (task, code, told) in [
        (
            "Replace `$A.unwrap(` with `$A?` in Rust files",
            "conflicting_requirements",
            "In Rust the pattern `$A.unwrap(` does not parse.",
        ),
        ("Replace `$A.trim()` with `$A + $A` in Rust files", "conflicting_requirements", "src/lib.rs:5"),
        (
            "Replace `$A.expect($B)` with `$A?` in Rust files",
            "no_change_needed",
            "matches nothing in 3 files",
        ),
    ] {
        let result = run(&scene, task).exits(3).json();
        assert_eq!(result["reason_code"], code, "{task}: {result:#}");
        let summary = bow_out(&scene)["summary"].as_str().unwrap().to_owned();
        assert!(summary.contains(told), "{task}: {summary}");
        std::fs::remove_dir_all(scene.out()).unwrap();
    }
}

#[test]
fn a_linters_own_fixes_are_taken_through_the_policy() {
    let scene = Scene::new(FILES);
    scene.write(&[
        ("clippy.toml", "msrv = \"1.85\"\n"),
        ("src/lib.rs", "//! Doubles.\n\n/// Returns twice the number.\npub fn twice(n: u32) -> u32 {\n    return n.clone() * 2;\n}\n"),
        ("tests/all.rs", "#[test]\nfn two() {\n    assert_eq!(calc::twice(2), 4);\n}\n"),
    ]);
    scene.commit("something to be fixed");
    let task = "Fix the findings of the linter";
    let result = run(&scene, task).exits(0).json();
    let branch = branch(&scene, &result, "lint-fix");
    let text = scene.git(&["show", &format!("{branch}:src/lib.rs")]);
    assert!(text.contains("    n * 2\n"), "{text}");
    assert_eq!(scene.git(&["diff", "--name-only", "main", &branch]), "src/lib.rs\n");
    // What the policy lets nobody write, no linter does either.
    std::fs::write(
        scene.path().join("keep.toml"),
        "schema = 1\nrepos = [\"*\"]\nextends = [\"preset:standard\"]\n\n[[deny]]\nid = \"keep-lib\"\ntools = [\"*\"]\naccess = \"write\"\npaths = [\"src/lib.rs\"]\nbecause = \"It is kept.\"\n",
    )
    .unwrap();
    let kept = scene.gloaming(&[
        "run",
        "--repo",
        "repo",
        "--policy",
        "keep.toml",
        "--task",
        task,
        "--out",
        "kept",
        "--json",
    ]);
    assert_eq!(kept.exits(3).json()["reason_code"], "policy_blocked");
    scene.git(&["merge", "-q", &branch]);
    let again = scene.gloaming(&["run", "--repo", "repo", "--task", task, "--out", "again", "--json"]);
    assert_eq!(again.exits(3).json()["reason_code"], "no_change_needed");
}
