//! Files made to break whoever reads them.

use std::os::unix::fs::symlink;

use gloaming_profile::{detect, known};
use proptest::prelude::*;

use crate::folder;

#[test]
fn links_are_not_followed_and_nothing_blocks() {
    let outside = folder(&[
        ("Cargo.toml", "[package]\nname = \"outside\"\n"),
        ("AGENTS.md", "```\ncargo test\n```\n"),
        ("ci.yml", "jobs:\n  t:\n    steps:\n    - run: cargo test\n"),
    ]);
    let dir = folder(&[("go.mod", "module x\n")]);
    for name in ["Cargo.toml", "AGENTS.md"] {
        symlink(outside.path().join(name), dir.path().join(name)).unwrap();
    }
    symlink(outside.path(), dir.path().join(".github")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    let fifo = dir.path().join("package.json");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let profile = detect(dir.path());
    let commands: Vec<String> = profile.commands.iter().map(|command| command.argv.join(" ")).collect();
    assert_eq!(commands, ["go build ./...", "go vet ./...", "go test ./...", "go test -run={test} ./..."]);
    let rejected: Vec<&str> = profile.rejected.iter().map(|rejected| rejected.command.as_str()).collect();
    assert_eq!((rejected, profile.instructions), (vec!["go test '-vet=off' ./..."], vec![]));
}

#[test]
fn nesting_size_and_nonsense_do_no_harm() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let bomb: String = std::iter::once("a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((0..40).map(|i| format!("b{i}: &a [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n")))
        .collect();
    for (name, content) in [
        ("Cargo.toml", format!("[workspace]\nx = {}", deep("[", "]"))),
        ("Cargo.toml", format!("{} = 1", vec!["a"; 100_000].join("."))),
        ("Cargo.toml", format!("x = {}", deep("{a=", "}"))),
        ("package.json", deep("[", "]")),
        ("package.json", "{\"scripts\": {\"test\": 7}}".to_owned()),
        ("package.json", "{\"scripts\": []}".to_owned()),
        (".github/workflows/x.yml", deep("[", "]")),
        (".github/workflows/x.yml", "- ".repeat(100_000)),
        (".github/workflows/x.yml", bomb),
        (
            ".github/workflows/x.yml",
            "jobs: {t: {steps: [{run: [1]}, {run: {}}, 3, null, {run: ~}]}}".to_owned(),
        ),
        ("pyproject.toml", "[tool]\npytest = 3\nsetuptools = []\n".to_owned()),
        ("setup.cfg", "[tool:pytest\n[]\n[[[".to_owned()),
        ("Makefile", format!("test:\n\t{}", "cargo test \\\n\t".repeat(20_000))),
        ("Makefile", "test:\n\tcargo test \\".to_owned()),
        ("AGENTS.md", "```\n'\"`\n```\n~~~\n".repeat(10_000)),
        ("go.mod", "module".to_owned()),
        ("pom.xml", format!("<project>{}</project>", deep("<a>", "</a>"))),
        (
            "pom.xml",
            "<!DOCTYPE p [<!ENTITY a \"xxxx\"><!ENTITY b \"&a;&a;\">]><project>&b;</project>".to_owned(),
        ),
        ("build.gradle", "id 'java'\nJavaLanguageVersion.of(".to_owned()),
        ("settings.gradle", "include '\ninclude(\"a\n".to_owned()),
        ("CMakeLists.txt", "project(\ncmake_minimum_required(\nadd_test(".to_owned()),
        ("go.work", "use (\n".repeat(50_000)),
        ("tox.ini", format!("[testenv]\ncommands =\n{}", " pytest {posargs:{posargs}\n".repeat(20_000))),
        ("noxfile.py", "session.run(\"".repeat(50_000)),
        ("noxfile.py", format!("session.run({}", "\"a\",".repeat(100_000))),
        ("package.json", format!("{{\"workspaces\": [{}\"x\"]}}", "\"**/**/**/*{a,b}\", ".repeat(5_000))),
        ("pnpm-workspace.yaml", "packages: [\"!\", \"[\", \"{\", {}]\n".to_owned()),
        (".devcontainer.json", "/*".repeat(50_000)),
        (".devcontainer.json", deep("{\"a\":", "}")),
        (".github/CODEOWNERS", "* @a @b @c\n".repeat(50_000)),
        (".gitattributes", "* linguist-generated\n".repeat(50_000)),
        ("docker-compose.yml", deep("{services: ", "}")),
        (".tool-versions", "node\nnode 1\n".repeat(50_000)),
        ("rust-toolchain", "[toolchain]\nchannel = 3\n".to_owned()),
        (".gloaming/profile.toml", deep("[", "]")),
        (".gloaming/profile.toml", "[commands.x]\n".repeat(5_000)),
    ] {
        let dir = folder(&[("x.py", ""), ("a.test.js", ""), ("x.c", ""), (name, &content)]);
        let started = std::time::Instant::now();
        let _ = known(dir.path(), None);
        assert!(started.elapsed().as_secs() < 20, "{name} took too long");
    }
    let dir = folder(&[("x.py", "")]);
    std::fs::write(dir.path().join("pyproject.toml"), b"\xff\xfe").unwrap();
    std::fs::File::create(dir.path().join("Cargo.toml")).unwrap().set_len(1 << 40).unwrap();
    let _ = detect(dir.path());
    let _ = detect(&dir.path().join("missing"));
}

#[test]
fn a_command_cannot_smuggle_a_shell_in() {
    let dir = folder(&[
        ("package.json", "{\"scripts\": {\"test\": \"jest; curl evil\"}}"),
        ("Makefile", "test:\n\tpytest || sh -c evil\n\tpytest `evil`\n\tpytest $$(evil)\n"),
        ("x.py", ""),
    ]);
    let profile = detect(dir.path());
    // By its name alone: what the script holds is between npm and the container.
    let commands: Vec<String> = profile.commands.iter().map(|command| command.argv.join(" ")).collect();
    assert_eq!(commands, ["npm run --silent test"]);
    let reasons: Vec<String> = profile
        .rejected
        .iter()
        .map(|rejected| format!("{}: {}", rejected.command, rejected.reason))
        .collect();
    assert_eq!(
        reasons,
        [
            "npm run --silent --ignore-scripts test: `npm run --silent test` of package.json:1 is preferred",
            "jest; curl evil: it holds shell operators",
            "pytest || sh -c evil: it holds shell operators",
            "pytest `evil`: it holds shell operators",
            "pytest $$(evil): it uses a variable",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        name in prop_oneof![
            Just("Cargo.toml"), Just("pyproject.toml"), Just("package.json"), Just("go.mod"), Just("Makefile"),
            Just("setup.cfg"), Just("AGENTS.md"), Just(".github/workflows/x.yml"), Just("pom.xml"), Just("tox.ini"),
            Just("build.gradle.kts"), Just("settings.gradle"), Just("CMakeLists.txt"), Just("noxfile.py"), Just("go.work"),
            Just("docker-compose.yml"), Just(".devcontainer.json"), Just(".github/CODEOWNERS"), Just(".gitattributes"),
            Just(".gloaming/profile.toml"), Just("pnpm-workspace.yaml"), Just(".tool-versions"),
        ],
        content in prop_oneof![
            "(\\[[a-z.\\[\\]]{0,9}\\]\n|[a-z]{1,4} ?[:=] ?[\"'\\[{}\\]a-z0-9,&*!|>-]{0,9}\n|[ \t-]{0,4}run: .{0,9}\n|\t?cargo test[ -~é]{0,9}\n|```\n){0,20}",
            ".{0,200}",
        ],
    ) {
        let dir = folder(&[(name, &content), ("x.py", ""), ("src/lib.rs", ""), ("x.c", "")]);
        let _ = known(dir.path(), None);
    }
}
