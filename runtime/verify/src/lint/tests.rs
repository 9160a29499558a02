use super::*;
use crate::change::diff;

fn shown(raws: &[Raw]) -> String {
    let one = |raw: &Raw| {
        let level = raw.level.map_or("-".to_owned(), |level| format!("{level:?}").to_lowercase());
        format!("{}:{} [{} {}] {level}: {}\n", raw.path, raw.line, raw.tool, raw.rule, raw.message)
    };
    raws.iter().map(one).collect()
}

fn read_by(argv: &[&str], stdout: &str, stderr: &str) -> String {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let asked = ask(&argv);
    let by = asked.tool.map_or("?", |tool| tool.name);
    shown(&read(&asked, by, stdout, stderr))
}

#[test]
fn each_tool_is_asked_for_its_machine_format() {
    let check = |argv: &str| {
        let words: Vec<String> = argv.split(' ').map(str::to_owned).collect();
        let asked = ask(&words);
        format!("{}: {}", asked.tool.map_or("-", |tool| tool.name), asked.argv.join(" "))
    };
    let commands = [
        "cargo clippy --all-targets -- -D warnings",
        "cargo +nightly clippy",
        "cargo check --message-format=json",
        "cargo fmt --check",
        "ruff check .",
        "python3 -m ruff check src --output-format json",
        "ruff format --check .",
        "uv run ruff check",
        "flake8 src",
        ".venv/bin/mypy src",
        "pyright",
        "npx eslint . --max-warnings 0",
        "npm run lint",
        "tsc --noEmit",
        "go vet ./...",
        "golangci-lint run ./...",
        "make lint",
    ];
    insta::assert_snapshot!(commands.map(check).join("\n"), @r"
    clippy: cargo clippy --message-format=json --all-targets -- -D warnings
    clippy: cargo +nightly clippy --message-format=json
    rustc: cargo check --message-format=json
    -: cargo fmt --check
    ruff: ruff check . --output-format=json
    ruff: python3 -m ruff check src --output-format json
    -: ruff format --check .
    ruff: uv run ruff check --output-format=json
    flake8: flake8 src --format=default
    mypy: .venv/bin/mypy src --output=json
    pyright: pyright --outputjson
    eslint: npx eslint . --max-warnings 0 --format=json
    -: npm run lint
    tsc: tsc --noEmit --pretty false
    go vet: go vet -json ./...
    golangci-lint: golangci-lint run ./... --out-format=json
    -: make lint
    ");
}

#[test]
fn machine_formats() {
    let rustc = [
        r#"{"reason":"compiler-artifact","package_id":"x"}"#,
        r#"{"reason":"compiler-message","package_id":"x","message":{"message":"unused variable: `x`","level":"warning","code":{"code":"unused_variables"},"spans":[{"file_name":"src/lib.rs","line_start":3,"is_primary":true}]}}"#,
        r#"{"reason":"compiler-message","package_id":"x","message":{"message":"this is a note","level":"note","code":null,"spans":[]}}"#,
        r#"{"reason":"compiler-message","package_id":"x","message":{"message":"needless","level":"error","code":{"code":"clippy::needless_return"},"spans":[{"file_name":"src/a.rs","line_start":1,"is_primary":false},{"file_name":"src/b.rs","line_start":2,"is_primary":true}]}}"#,
        r#"{"reason":"build-finished","success":false}"#,
    ];
    let forms = [
        read_by(&["cargo", "clippy"], &rustc.join("\n"), "    Checking demo\n"),
        read_by(
            &["ruff", "check"],
            r#"[{"cell":null,"code":"F401","filename":"/workspace/a.py","location":{"column":8,"row":1},"message":"`os` imported but unused"},{"code":"invalid-syntax","filename":"/workspace/b.py","location":{"column":1,"row":2},"message":"Expected an expression"}]"#,
            "",
        ),
        read_by(
            &["eslint", "."],
            r#"[{"filePath":"/workspace/a.js","messages":[{"ruleId":"no-unused-vars","severity":2,"message":"'x' is never used.","line":1,"column":5},{"ruleId":null,"severity":1,"message":"File ignored."}]}]"#,
            "",
        ),
        read_by(
            &["pyright"],
            r#"{"version":"1","generalDiagnostics":[{"file":"/workspace/a.py","severity":"error","message":"bad","rule":"reportX","range":{"start":{"line":4,"character":0},"end":{"line":4,"character":1}}}],"summary":{}}"#,
            "",
        ),
        read_by(
            &["golangci-lint", "run"],
            r#"{"Issues":[{"FromLinter":"errcheck","Text":"not checked","Severity":"","Pos":{"Filename":"p/a.go","Offset":1,"Line":7,"Column":2}}],"Report":{"Linters":[]}}"#,
            "",
        ),
        read_by(
            &["go", "vet", "./..."],
            "",
            "# example.com/p\n{\n\t\"example.com/p\": {\n\t\t\"printf\": [\n\t\t\t{\n\t\t\t\t\"posn\": \"/workspace/p/a.go:6:2\",\n\t\t\t\t\"message\": \"bad verb\"\n\t\t\t}\n\t\t]\n\t}\n}\n# example.com/q\n{}\n",
        ),
        read_by(
            &["mypy", "."],
            "{\"file\": \"a.py\", \"line\": 3, \"column\": 1, \"message\": \"Incompatible\", \"hint\": null, \"code\": \"assignment\", \"severity\": \"error\"}\n",
            "",
        ),
        // Whatever prints SARIF, behind whatever script.
        read_by(
            &["npm", "run", "lint"],
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Scan","rules":[{"id":"r1","defaultConfiguration":{"level":"error"}}]}},"results":[{"ruleId":"r1","message":{"text":"one"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"file:///workspace/a%20b.js"},"region":{"startLine":2}}}]},{"ruleIndex":0,"level":"note","message":{"text":"two"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"c.js"}}}]},{"ruleId":"r1","suppressions":[{"kind":"inSource"}],"message":{"text":"off"},"locations":[]}]}]}"#,
            "",
        ),
        // JSON that a script asked for by itself, behind its own words.
        read_by(
            &["npm", "run", "lint"],
            "\n> demo@1.0.0 lint\n> eslint -f json .\n\n[{\"filePath\":\"/workspace/a.js\",\"messages\":[{\"ruleId\":\"semi\",\"severity\":1,\"message\":\"m\",\"line\":9}]}]\n",
            "",
        ),
    ];
    insta::assert_snapshot!(forms.concat(), @r"
    src/lib.rs:3 [rustc unused_variables] warning: unused variable: `x`
    src/b.rs:2 [clippy clippy::needless_return] error: needless
    /workspace/a.py:1 [ruff F401] warning: `os` imported but unused
    /workspace/b.py:2 [ruff invalid-syntax] error: Expected an expression
    /workspace/a.js:1 [eslint no-unused-vars] error: 'x' is never used.
    /workspace/a.js:0 [eslint ] warning: File ignored.
    /workspace/a.py:5 [pyright reportX] error: bad
    p/a.go:7 [golangci-lint errcheck] error: not checked
    /workspace/p/a.go:6 [go vet printf] warning: bad verb
    a.py:3 [mypy assignment] error: Incompatible
    file:///workspace/a b.js:2 [Scan r1] error: one
    c.js:0 [Scan r1] note: two
    /workspace/a.js:9 [eslint semi] warning: m
    ");
}

#[test]
fn the_forms_tools_print_for_people() {
    let forms = [
        "warning: unused variable: `x`\n --> src/lib.rs:3:9\n  |\n3 |     let x = 1;\n\nerror[E0308]: mismatched types\n   --> src/a.rs:1:1\nwarning: `demo` (lib) generated 1 warning\n",
        "src/a.py:1:1: F401 'os' imported but unused\nsrc/a.py:9:1: F401 'os' imported but unused\nFound 2 errors.\n",
        "F401 [*] `os` imported but unused\n --> src/a.py:1:8\n  |\n",
        "a.ts(3,4): error TS2304: Cannot find name 'x'.\n",
        "/workspace/src/a.js\n  1:5  error  'x' is never used  no-unused-vars\n\n✖ 1 problem\n",
        "Diff in /workspace/src/lib.rs:1:\n fn a() {\nDiff in /workspace/src/lib.rs:9:\n",
        "would reformat a.py\nOh no!\n1 file would be reformatted.\n",
        "a.py:3: error: Incompatible types in assignment  [assignment]\na.py:3: note: See the docs\n",
        "p/a.go:7:2: Error return value is not checked (errcheck)\n",
        "All checks passed!\n",
    ];
    let all: String = forms.iter().map(|form| shown(&text::read(form))).collect();
    insta::assert_snapshot!(all, @r"
    src/lib.rs:3 [ ] warning: warning: unused variable: `x`
    src/a.rs:1 [ E0308] error: error[E0308]: mismatched types
    src/a.py:1 [ F401] -: F401 'os' imported but unused
    src/a.py:9 [ F401] -: F401 'os' imported but unused
    src/a.py:1 [ F401] -: F401 [*] `os` imported but unused
    a.ts:3 [ TS2304] error: error TS2304: Cannot find name 'x'.
    /workspace/src/a.js:1 [ no-unused-vars] error: error  'x' is never used  no-unused-vars
    /workspace/src/lib.rs:0 [ format] -: not formatted
    a.py:0 [ format] -: not formatted
    a.py:3 [ assignment] error: error: Incompatible types in assignment  [assignment]
    a.py:3 [ ] note: note: See the docs
    p/a.go:7 [ errcheck] -: Error return value is not checked (errcheck)
    ");
}

#[test]
fn output_that_is_not_of_the_form_is_read_as_text_and_nothing_panics() {
    assert_eq!(
        read_by(&["ruff", "check"], "error: unexpected argument\na.py:1:1: F401 x\n", ""),
        "a.py:1 [ruff F401] -: F401 x\n"
    );
    for broken in [
        "[",
        "{",
        "[{}]",
        "{\"reason\":\"compiler-message\"}",
        "{\"version\":\"2.1.0\",\"runs\":[{}]}",
        "\u{feff}{}",
    ] {
        for argv in [&["ruff", "check"][..], &["cargo", "clippy"], &["pyright"], &["go", "vet"], &["x"]] {
            assert_eq!(read_by(argv, broken, broken), "", "{broken}");
        }
    }
}

/// Findings of one rule on lines with these contents, in one file.
fn seen(lines: &[(u32, &str)]) -> Vec<Seen> {
    lines
        .iter()
        .map(|(line, text)| Seen {
            finding: LintFinding {
                tool: "ruff".into(),
                rule: "F401".into(),
                path: RelPath::parse("a.py").unwrap(),
                line: *line,
                message: "m".into(),
                level: LintLevel::Warning,
            },
            text: (*text).to_owned(),
        })
        .collect()
}

#[test]
fn new_is_what_no_line_had_before() {
    let check = |before: &str, after: &str, found_before: &[(u32, &str)], found_after: &[(u32, &str)]| {
        let change = Change {
            files: vec![diff("a.py", Some(before), Some(after))],
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        let new = new_findings(&seen(found_before), &seen(found_after), &change);
        new.iter().map(|finding| finding.line).collect::<Vec<_>>()
    };
    // It moved.
    assert_eq!(check("import os\n", "x\nimport os\n", &[(1, "import os")], &[(2, "import os")]), [0; 0]);
    // A second one of the same content: the one the patch added.
    assert_eq!(
        check(
            "import os\n",
            "import os\nx\nimport os\n",
            &[(1, "import os")],
            &[(1, "import os"), (3, "import os")]
        ),
        [3]
    );
    // The line was edited and had it before.
    assert_eq!(check("import os\n", "import os, a\n", &[(1, "import os")], &[(1, "import os, a")]), [0; 0]);
    // Two where one was.
    assert_eq!(
        check(
            "import os\n",
            "import os, a\nimport b\n",
            &[(1, "import os")],
            &[(1, "import os, a"), (2, "import b")]
        ),
        [2]
    );
    // One was fixed elsewhere: that pays for nothing.
    assert_eq!(check("import os\nx\ny\n", "x\nimport b\ny\n", &[(1, "import os")], &[(2, "import b")]), [2]);
    // A line far from the patch begins to be found fault with.
    assert_eq!(check("a\nb\n", "a\nc\n", &[], &[(1, "a")]), [1]);
}

#[test]
fn a_moved_file_takes_its_findings_along() {
    let (old, new) = (diff("a.py", Some("import os\n"), None), diff("b.py", None, Some("import os\n")));
    let entry = |path: &str| {
        let path = RelPath::parse(path).unwrap();
        let entry = gloaming_workspace::TreeEntry {
            path: Some(path.clone()),
            raw: path.as_str().as_bytes().to_vec(),
            kind: gloaming_workspace::EntryKind::File,
            oid: "1".repeat(40),
            size: 10,
        };
        (path, entry)
    };
    let change =
        Change { files: vec![old, new], base: [entry("a.py")].into(), patched: [entry("b.py")].into() };
    let mut after = seen(&[(1, "import os")]);
    after[0].finding.path = RelPath::parse("b.py").unwrap();
    assert_eq!(new_findings(&seen(&[(1, "import os")]), &after, &change), []);
}
