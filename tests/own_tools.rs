//! Tools of an operator's own, from the template to a call: made, built, registered, pinned, called, removed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Ran, Scene};

const FILES: &[(&str, &str)] = &[
    ("notes.md", "one two\nthree\n"),
    ("package.json", "{\"name\": \"demo\", \"scripts\": {\"a/b\": \"run\"}}"),
    (".env", "SECRET=1\n"),
];

/// A policy that extends the preset and allows one tool everywhere.
fn policy(tool: &str, digest: &str) -> String {
    format!(
        "schema = 1\nextends = [\"preset:standard\"]\n\n[[tool]]\nname = \"{tool}\"\ndigest = \"{digest}\"\n\n\
         [[allow]]\nid = \"own\"\ntools = [\"{tool}\"]\npaths = [\"**\"]\n"
    )
}

fn call(scene: &Scene, tool: &str, args: &Value) -> Ran {
    let args = args.to_string();
    scene.gloaming(&[
        "tools",
        "call",
        tool,
        "--workspace",
        "repo",
        "--policy",
        "p.toml",
        "--json",
        "--args",
        &args,
    ])
}

fn add(scene: &Scene, file: &Path, more: &[&str]) -> Ran {
    let file = file.display().to_string();
    let mut args = vec!["tools", "add", file.as_str(), "--json"];
    args.extend(more);
    scene.gloaming(&args)
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list[key].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// A component of one function `seven` that answers a number, and the WIT of it beside.
pub(crate) fn seven(scene: &Scene, number: u32) -> PathBuf {
    component(scene, "seven", number)
}

fn component(scene: &Scene, name: &str, number: u32) -> PathBuf {
    let text = format!(
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const {number}))
            (core instance $i (instantiate $m))
            (func (export "{name}") (result u32) (canon lift (core func $i "f"))))"#
    );
    let path = scene.path().join(format!("{name}.wasm"));
    std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    let wit = format!("package a:b; world w {{ /// Answers a number.\n export {name}: func() -> u32; }}");
    std::fs::write(scene.path().join(format!("{name}.wit")), wit).unwrap();
    path
}

#[test]
fn a_registered_tool_is_offered_where_the_policy_names_it_and_as_it_pins_it() {
    let scene = Scene::new(FILES);
    let file = seven(&scene, 7);
    let refused = add(&scene, &file, &[]).exits(2);
    assert!(
        refused.stderr.contains("it has no doc comment") && refused.stderr.contains("--wit"),
        "{}",
        refused.stderr
    );
    let added = add(&scene, &file, &["--wit", "seven.wit"]).exits(0).json();
    let digest = added["digest"].as_str().unwrap();
    assert_eq!(added["tools"][0]["description"], "Answers a number.");
    assert!(scene.home().join("tools").join(format!("{}.wasm", &digest["sha256:".len()..])).is_file());

    // Not offered by a policy that does not know it, whatever else that allows.
    let list = scene.gloaming(&["tools", "list", "--json"]).exits(0).json();
    assert!(!names(&list, "tools").contains(&"seven".to_owned()));
    assert_eq!(names(&list, "not_allowed"), ["seven"]);
    for text in [
        "schema = 1\n[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\"]\n",
        "schema = 1\nextends = [\"preset:standard\"]\n",
    ] {
        std::fs::write(scene.path().join("p.toml"), text).unwrap();
        let denied = call(&scene, "seven", &json!({})).exits(5).json();
        assert_eq!(denied["error"]["code"], "denied");
        assert!(denied["error"]["instead"].as_str().unwrap().contains(digest), "{denied:#}");
    }

    std::fs::write(scene.path().join("p.toml"), policy("seven", digest)).unwrap();
    assert_eq!(call(&scene, "seven", &json!({})).exits(0).json(), json!({"ok": true, "output": 7}));
    let list = scene.gloaming(&["tools", "list", "--json", "--policy", "p.toml"]).exits(0).json();
    let tool = list["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "seven").unwrap();
    assert_eq!(tool["component"], digest);
    assert_eq!(tool["source"]["kind"], "registered");
    assert_eq!(names(&list, "not_allowed"), Vec::<String>::new());
    let said = scene.gloaming(&["tools", "list", "--policy", "p.toml"]).exits(0).stdout;
    assert!(said.contains("seven (registered from ") && said.contains("read (built in)"), "{said}");

    // Another component by the same name is not the pinned one: an error where it is loaded.
    let newer = seven(&scene, 8);
    let taken = add(&scene, &newer, &["--wit", "seven.wit"]).exits(2);
    assert!(
        taken.stderr.contains("registered already") && taken.stderr.contains("--replace"),
        "{}",
        taken.stderr
    );
    add(&scene, &newer, &["--wit", "seven.wit", "--replace"]).exits(0);
    let unpinned = call(&scene, "seven", &json!({})).exits(2);
    assert!(unpinned.stderr.contains("p.toml:4 pins sha256:"), "{}", unpinned.stderr);
    let list = scene.gloaming(&["tools", "list", "--json", "--policy", "p.toml"]).exits(0).json();
    assert_eq!(names(&list, "not_available"), ["seven"]);
    let run =
        scene.gloaming(&["run", "--repo", "repo", "--task", "rename a to b", "--policy", "p.toml"]).exits(2);
    assert!(run.stderr.contains("the tool seven is not available"), "{}", run.stderr);

    scene.gloaming(&["tools", "remove", "seven"]).exits(0);
    assert_eq!(std::fs::read_dir(scene.home().join("tools")).unwrap().count(), 0);
    let compiled = |digest: &str| {
        let cache = std::fs::read_dir(scene.home().join("cache/components")).unwrap().flatten();
        cache
            .filter(|file| file.file_name().to_string_lossy().starts_with(&digest["sha256:".len()..]))
            .count()
    };
    assert_eq!(compiled(digest), 0, "what was compiled of the replaced one is gone too");
    let gone = call(&scene, "seven", &json!({})).exits(2);
    assert!(gone.stderr.contains("no such tool is registered (p.toml:4 names it)"), "{}", gone.stderr);
    scene.gloaming(&["tools", "remove", "seven"]).exits(2);
    scene.gloaming(&["tools", "remove", "read"]).exits(2);
}

#[test]
fn a_registered_component_that_was_changed_is_told_and_not_run() {
    let scene = Scene::new(FILES);
    let added = add(&scene, &seven(&scene, 7), &["--wit", "seven.wit"]).exits(0).json();
    let digest = added["digest"].as_str().unwrap();
    std::fs::write(scene.path().join("p.toml"), policy("seven", digest)).unwrap();
    let kept = scene.home().join("tools").join(format!("{}.wasm", &digest["sha256:".len()..]));
    std::fs::copy(seven(&scene, 8), kept).unwrap();
    let changed = call(&scene, "seven", &json!({})).exits(2);
    assert!(changed.stderr.contains("is not the component that was registered"), "{}", changed.stderr);
    // What does not need it goes on.
    call(&scene, "read", &json!({"path": "notes.md"})).exits(0);
}

#[test]
fn what_cannot_be_a_tool_is_refused_with_what_to_do() {
    let scene = Scene::new(FILES);
    let file = scene.path().join("bad.wasm");
    for (text, told) in [
        (
            r#"(component (import "wasi:http/types@0.2.10" (instance (export "f" (func))))
                (import "acme:db/query" (instance (export "f" (func)))))"#,
            &["acme:db/query, wasi:http/types@0.2.10", "try: a tool has no network"][..],
        ),
        (
            r#"(component (import "gloaming:tool/log@0.9.0" (instance (export "f" (func)))))"#,
            &["speaks gloaming:tool@0.9.0, this host gloaming:tool@0.1.0", "gloaming tools new"],
        ),
        ("(module)", &["it is a core module; build it for wasm32-wasip2"]),
        ("(component)", &["it exports no function"]),
    ] {
        std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
        let refused = add(&scene, &file, &[]).exits(2).stderr;
        for told in told {
            assert!(refused.contains(told), "{refused}");
        }
        assert!(scene.gloaming(&["tools", "describe", "bad.wasm"]).exits(2).stderr.contains(told[0]));
    }
    assert!(!scene.home().join("tools").exists(), "nothing was registered");
    add(&scene, &scene.path().join("none.wasm"), &[]).exits(2);
}

#[test]
fn built_in_tools_are_described_too() {
    let scene = Scene::new(FILES);
    let said = scene.gloaming(&["tools", "describe", "search"]).exits(0).stdout;
    assert!(said.starts_with("search (built in)\n") && said.contains("pattern (string): "), "{said}");
    let object = scene.gloaming(&["tools", "describe", "check", "--json"]).exits(0).json();
    assert_eq!(object["source"]["kind"], "host");
    assert_eq!(object["tools"][0]["name"], "check");
    scene.gloaming(&["tools", "describe", "nonsense"]).exits(2);
    scene.gloaming(&["tools", "new", "read"]).exits(2);
    scene.gloaming(&["tools", "new", "../x"]).exits(2);
}

/// Runs a program in a folder of the scene.
#[track_caller]
fn run(scene: &Scene, folder: &str, program: &str, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .current_dir(scene.path().join(folder))
        // The template is built as whoever uses it builds it, into its own folder.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The example in Rust is the template: made, built for `wasm32-wasip2`, registered and called.
#[test]
fn a_new_tool_in_rust_builds_is_accepted_and_obeys_the_policy() {
    if std::env::var_os("GLOAMING_TEST_EXAMPLES").is_none() {
        eprintln!("skipped a_new_tool_in_rust: GLOAMING_TEST_EXAMPLES is not set (make examples sets it)");
        return;
    }
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
    let sysroot = PathBuf::from(String::from_utf8(sysroot).expect("a path").trim());
    if !sysroot.join("lib/rustlib/wasm32-wasip2/lib").is_dir() {
        eprintln!(
            "skipped a_new_tool_in_rust: the active toolchain has no wasm32-wasip2 (rustup target add wasm32-wasip2)"
        );
        return;
    }
    let scene = Scene::new(FILES);
    scene.gloaming(&["tools", "new", "word-count"]).exits(0);
    scene.gloaming(&["tools", "new", "word-count"]).exits(2);
    run(&scene, "word-count", "cargo", &["test", "--quiet"]);
    run(&scene, "word-count", "cargo", &["build", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    let file = scene.path().join("word-count/target/wasm32-wasip2/release/word_count.wasm");
    let added = add(&scene, &file, &["--wit", "word-count/wit"]).exits(0).json();
    let tool = &added["tools"][0];
    assert_eq!((&tool["name"], &tool["writes"]), (&json!("word_count"), &json!(false)), "{added:#}");
    assert!(tool["input_schema"]["properties"]["path"]["description"].is_string(), "{added:#}");
    std::fs::write(scene.path().join("p.toml"), policy("word_count", added["digest"].as_str().unwrap()))
        .unwrap();
    let answer = call(&scene, "word_count", &json!({"path": "notes.md"})).exits(0).json();
    assert_eq!(
        answer["output"],
        json!({"text": "notes.md: 2 lines, 3 words, 14 bytes", "lines": 2, "words": 3, "bytes": 14})
    );
    let denied = call(&scene, "word_count", &json!({"path": ".env"})).exits(5).json();
    assert_eq!(
        (&denied["error"]["code"], &denied["error"]["rule"]),
        (&json!("denied"), &json!("no-secrets"))
    );
    assert_eq!(
        call(&scene, "word_count", &json!({"path": "none"})).exits(5).json()["error"]["code"],
        "not_found"
    );
}

/// The example in JavaScript, built by componentize-js; and what that makes when nothing is switched off.
#[test]
fn a_new_tool_in_javascript_builds_is_accepted_and_obeys_the_policy() {
    let Some(packages) = std::env::var_os("GLOAMING_TEST_JS") else {
        eprintln!(
            "skipped a_new_tool_in_javascript: GLOAMING_TEST_JS names no folder with componentize-js (make examples sets it)"
        );
        return;
    };
    let scene = Scene::new(FILES);
    scene.gloaming(&["tools", "new", "json-get", "--lang", "javascript"]).exits(0);
    std::os::unix::fs::symlink(
        Path::new(&packages).join("node_modules"),
        scene.path().join("json-get/node_modules"),
    )
    .unwrap();
    run(&scene, "json-get", "node", &["build.mjs"]);
    let file = scene.path().join("json-get/json-get.wasm");
    let added = add(&scene, &file, &["--wit", "json-get/wit"]).exits(0).json();
    assert_eq!(added["imports"], json!(["gloaming:tool/types@0.1.0", "gloaming:tool/workspace@0.1.0"]));
    assert_eq!(added["tools"][0]["writes"], false);
    std::fs::write(scene.path().join("p.toml"), policy("json_get", added["digest"].as_str().unwrap()))
        .unwrap();
    let get =
        |path: &str, pointer: &str| call(&scene, "json_get", &json!({"path": path, "pointer": pointer}));
    assert_eq!(
        get("package.json", "/scripts/a~1b").exits(0).json(),
        json!({"ok": true, "output": "\"run\""})
    );
    let failed = get("package.json", "/none").exits(5).json();
    assert_eq!(failed["error"], json!({"code": "failed", "message": "package.json has nothing at /none"}));
    let denied = get(".env", "").exits(5).json();
    assert_eq!(
        (&denied["error"]["code"], &denied["error"]["rule"]),
        (&json!("denied"), &json!("no-secrets"))
    );

    // As componentize-js makes it by default it wants a network; without that, it runs over WASI.
    let script = scene.path().join("json-get/build.mjs");
    let text = std::fs::read_to_string(&script).unwrap();
    let all = "['stdio', 'random', 'clocks', 'http', 'fetch-event']";
    for (left, imports) in [("[]", "wasi:http/outgoing-handler@0.2"), ("['http', 'fetch-event']", "")] {
        std::fs::write(&script, text.replace(all, left)).unwrap();
        run(&scene, "json-get", "node", &["build.mjs"]);
        let described = scene.gloaming(&[
            "tools",
            "describe",
            "json-get/json-get.wasm",
            "--wit",
            "json-get/wit",
            "--json",
        ]);
        if imports.is_empty() {
            assert_eq!(described.exits(0).json()["tools"][0]["name"], "json_get");
        } else {
            let told = described.exits(2).stderr;
            assert!(told.contains(imports) && told.contains("disableFeatures"), "{told}");
        }
    }
}

#[test]
fn a_name_that_the_host_keeps_for_itself_is_refused() {
    let scene = Scene::new(FILES);
    for name in ["finish", "recall", "fix"] {
        let file = component(&scene, name, 7);
        let said = add(&scene, &file, &["--wit", &format!("{name}.wit")]).exits(2).stderr;
        assert!(
            said.contains(&format!("would be the tool {name}, which is a name that Gloaming keeps")),
            "{said}"
        );
        let text = policy(name, &format!("sha256:{}", "0".repeat(64)));
        std::fs::write(scene.path().join("p.toml"), text).unwrap();
        let said = call(&scene, name, &json!({})).exits(2).stderr;
        assert!(
            said.contains(&format!("`{name}` is a name that Gloaming keeps for a call of its own")),
            "{said}"
        );
    }
}
