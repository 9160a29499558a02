//! `gloaming jobs` and `gloaming secrets`, from outside.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Scene, serve};

const REPO: &[(&str, &str)] = &[("README.md", "A thing.\n"), ("secret.env", "not for jobs\n")];

const POLICY: &str = r#"
schema = 1
repos = ["*"]

[[allow]]
id = "files"
tools = ["*"]
paths = ["**"]

[[deny]]
id = "no-env"
tools = ["*"]
paths = ["*.env"]
because = "Secrets."

[[allow]]
id = "registry-token"
jobs = ["test"]
secrets = ["REGISTRY_TOKEN"]

[[deny]]
id = "no-curl"
jobs = ["*"]
commands = ["curl *"]
because = "Nothing is fetched."
"#;

fn run(scene: &Scene, purpose: &str, script: &str) -> crate::support::Ran {
    scene
        .gloaming(&["jobs", "run", purpose, "--repo", "repo", "--policy", "p.toml", "--", "sh", "-c", script])
}

fn scene() -> Scene {
    let scene = Scene::new(REPO);
    std::fs::write(scene.path().join("p.toml"), POLICY).expect("write");
    scene
}

#[test]
fn a_command_is_run_as_an_attempt_would_and_ends_as_it_did() {
    let scene = scene();
    let ran = run(&scene, "test", "pwd; ls; echo oops >&2").exits(0);
    assert_eq!(ran.stdout, "/workspace\nREADME.md\n");
    assert!(ran.stderr.starts_with("oops\n") || ran.stderr.contains("\noops\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("gloaming: exit 0 in "), "{}", ran.stderr);
    run(&scene, "test", "exit 3").exits(1);
    let denied = scene
        .gloaming(&["jobs", "run", "build", "--repo", "repo", "--policy", "p.toml", "--", "curl", "x"])
        .exits(5);
    assert!(
        denied.stderr.contains("no-curl") && denied.stderr.contains("Nothing is fetched."),
        "{}",
        denied.stderr
    );
    let none = scene.gloaming(&["jobs", "run", "test", "--repo", "repo"]).exits(2);
    assert!(none.stderr.contains("the profile has no test command"), "{}", none.stderr);
}

#[test]
fn a_secret_reaches_the_job_that_may_have_it_and_no_output() {
    let scene = scene();
    std::fs::write(scene.path().join("value"), "v4lue-of-it\n").expect("write");
    let set = scene.gloaming(&["secrets", "set", "REGISTRY_TOKEN", "--file", "value"]).exits(0);
    assert!(set.stderr.contains("secrets = [\"REGISTRY_TOKEN\"]"), "{}", set.stderr);
    assert_eq!(scene.gloaming(&["secrets", "list"]).exits(0).stdout, "REGISTRY_TOKEN\n");

    let script = "printf %s \"$REGISTRY_TOKEN\" | wc -c; cat /run/secrets/REGISTRY_TOKEN";
    assert_eq!(run(&scene, "test", script).exits(0).stdout, "11\n[secret REGISTRY_TOKEN]");
    let record = scene
        .gloaming(&["jobs", "run", "test", "--repo", "repo", "--policy", "p.toml", "--json", "--", "env"])
        .exits(0);
    assert_eq!(record.json()["secrets"], serde_json::json!(["REGISTRY_TOKEN"]));
    assert!(!record.stdout.contains("v4lue"), "{}", record.stdout);
    // Another purpose, and no policy that names it.
    assert_eq!(run(&scene, "build", "echo \"<$REGISTRY_TOKEN>\"").exits(0).stdout, "<>\n");
    let without = scene
        .gloaming(&["jobs", "run", "test", "--repo", "repo", "--", "sh", "-c", "echo \"<$REGISTRY_TOKEN>\""])
        .exits(0);
    assert_eq!(without.stdout, "<>\n");

    let path = scene.home().join("secrets/REGISTRY_TOKEN");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let open = run(&scene, "test", "true").exits(2);
    assert!(
        open.stderr.contains("can be read by others") && open.stderr.contains("chmod 600"),
        "{}",
        open.stderr
    );
    scene.gloaming(&["secrets", "remove", "REGISTRY_TOKEN"]).exits(0);
    scene.gloaming(&["secrets", "remove", "REGISTRY_TOKEN"]).exits(2);
    std::fs::write(scene.path().join("value"), "short").expect("write");
    let short = scene.gloaming(&["secrets", "set", "A", "--file", "value"]).exits(2);
    assert!(short.stderr.contains("could not be kept out"), "{}", short.stderr);
}

const NETWORK: &str = r#"
schema = 1
repos = ["*"]
extends = ["preset:standard"]

[jobs.setup]
network = ["registry"]
"#;

fn setup(scene: &Scene, script: &str) -> crate::support::Ran {
    scene.gloaming(&[
        "jobs", "run", "setup", "--repo", "repo", "--policy", "net.toml", "--json", "--", "sh", "-c", script,
    ])
}

#[test]
fn a_policy_that_names_a_set_needs_somebody_to_fill_it() {
    let scene = Scene::new(REPO);
    std::fs::write(scene.path().join("net.toml"), NETWORK).expect("write");
    scene.gloaming(&["policy", "check", "net.toml"]).exits(0);
    let home = scene.path().join("home");
    std::fs::create_dir_all(&home).expect("a folder");
    let file = home.join("network.toml");
    let env = [
        ("GLOAMING_HOME", home.to_str().expect("text")),
        ("HOME", "/nonexistent"),
        ("CARGO_HOME", "/nonexistent"),
    ];
    let run = ["jobs", "run", "setup", "--repo", "repo", "--policy", "net.toml", "--", "true"];
    let told = scene.gloaming_with(&run, &env).exits(2);
    assert!(
        told.stderr.contains("net.toml:7:12: the set of hosts `registry` is empty on this machine"),
        "{}",
        told.stderr
    );
    assert!(told.stderr.contains("network.toml which hosts it is"), "{}", told.stderr);
    for (text, said) in [
        ("[sets]\nregistries = []\n", "did you mean `registry`?"),
        ("[sets]\nregistry = [\"a b\"]\n", "the set registry: "),
        ("private = [\"mirror.example\"]\n", "write host:port"),
        ("[limits]\nup = \"9\"\n", "`up`: \"9\" is no size"),
        ("[limits]\nattempts = 0\n", "`attempts = 0` lets nothing through"),
        ("proxy = 1\n", "unknown field `proxy`"),
    ] {
        std::fs::write(&file, text).expect("write");
        let told = scene.gloaming_with(&run, &env).exits(2);
        assert!(
            told.stderr.contains("network.toml does not load: ") && told.stderr.contains(said),
            "{}",
            told.stderr
        );
    }
    let guide = include_str!("../docs/network.md");
    let example =
        guide.split_once("```toml network\n").and_then(|(_, rest)| rest.split_once("```")).expect("one").0;
    std::fs::write(&file, example).expect("write");
    scene.gloaming_with(&run, &env).exits(0);
    std::fs::write(&file, "[sets]\nregistry = [\"https://mirror.example:443\"]\n").expect("write");
    scene.gloaming_with(&run, &env).exits(0);
    let found = scene.gloaming_with(&["jobs", "doctor"], &env).exits(0).stdout;
    assert!(found.contains("reaches `registry`: https://mirror.example:443\n"), "{found}");
}

#[test]
fn a_job_reaches_what_the_policy_names_and_the_rest_is_in_its_record() {
    let scene = Scene::new(REPO);
    let port = serve(|_| |_: &str| Some(b"served\n".to_vec()));
    std::fs::write(scene.path().join("net.toml"), NETWORK).expect("write");
    let home = scene.home();
    let here = format!("[sets]\nregistry = [\"http://localhost:{port}\"]\n");
    std::fs::write(home.join("network.toml"), &here).expect("write");
    // What a name leads to in one's own network, the operator says.
    let fetch = format!(
        "from http.client import HTTPConnection\n\
         for port in ({port}, 1):\n\
         \x20   asked = HTTPConnection('127.0.0.1', 17128)\n\
         \x20   asked.request('GET', f'http://localhost:{{port}}/')\n\
         \x20   print(asked.getresponse().read())\n"
    );
    std::fs::write(scene.path().join("repo/fetch.py"), fetch).expect("write");
    scene.commit("what fetches");
    let refused = record(&setup(&scene, "python3 fetch.py").exits(0).stdout);
    assert!(!refused["stdout_tail"].as_str().expect("text").contains("served"), "{refused:#}");
    std::fs::write(home.join("network.toml"), format!("private = [\"localhost:{port}\"]\n{here}"))
        .expect("write");
    let reached = record(&setup(&scene, "python3 fetch.py").exits(0).stdout);
    assert!(reached["stdout_tail"].as_str().expect("text").contains("served"), "{reached:#}");
    let decisions: Vec<(u64, &str)> = reached["egress"]["attempts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|attempt| {
            (attempt["port"].as_u64().expect("a port"), attempt["decision"]["is"].as_str().expect("one"))
        })
        .collect();
    assert_eq!(decisions, [(u64::from(port), "allowed"), (1, "refused")]);
}

fn record(json: &str) -> serde_json::Value {
    serde_json::from_str(json).expect("a record")
}

#[test]
fn the_doctor_says_what_works_and_an_engine_is_chosen_by_name() {
    let scene = scene();
    let found = scene.gloaming(&["jobs", "doctor", "--json"]).exits(0).stdout;
    let found: serde_json::Value = serde_json::from_str(&found).expect("one object");
    assert_eq!(found["engine"], "embedded", "{found:#}");
    let embedded = &found["engines"][0];
    assert_eq!(
        (&embedded["works"], &embedded["capabilities"]["seccomp"]),
        (&true.into(), &"yes".into()),
        "{found:#}"
    );
    let run = ["jobs", "run", "test", "--repo", "repo", "--policy", "p.toml", "--engine"];
    let by_name = |engine: &str| scene.gloaming(&[&run[..], &[engine, "--", "true"]].concat());
    assert!(by_name("embedded").exits(0).stderr.contains("embedded)"), "the engine is told");
    assert!(
        by_name("lxc").exits(2).stderr.contains("want embedded, docker, podman or kubernetes"),
        "a wrong name is told"
    );
    // A cluster is never chosen by itself, and where it cannot be used it is said why.
    let told = by_name("kubernetes").exits(3).stderr;
    let why =
        if cfg!(feature = "kubernetes") { "no image is named for jobs" } else { "was built without it" };
    assert!(told.contains(why), "{told}");
    let cluster = &found["engines"][3];
    assert_eq!((&cluster["engine"], &cluster["works"]), (&"kubernetes".into(), &false.into()), "{found:#}");
    // The configured engine and no other: nothing falls back.
    let nowhere = scene.path().join("no.sock");
    let env = [("GLOAMING_ENGINE", "docker"), ("GLOAMING_ENGINE_SOCKET", nowhere.to_str().expect("text"))];
    let run = ["jobs", "run", "test", "--repo", "repo", "--policy", "p.toml", "--", "true"];
    let told = scene.gloaming_with(&run, &env).exits(3);
    assert!(told.stderr.contains("there is no socket"), "{}", told.stderr);
    let found = scene.gloaming_with(&["jobs", "doctor"], &env).exits(3).stdout;
    assert!(found.contains("no job can run here"), "{found}");
    let told = scene.gloaming_with(&run, &[("GLOAMING_ENGINE", "rkt")]).exits(2);
    assert!(told.stderr.contains("GLOAMING_ENGINE: \"rkt\" is no container engine"), "{}", told.stderr);
}

/// pytest does not even start here; what `unittest` finds does run.
const TWO_WAYS: &[(&str, &str)] = &[
    ("tox.ini", "[pytest]\naddopts = --no-such-option\n"),
    ("calc.py", "def add(a, b):\n    return a + b\n"),
    ("tests/__init__.py", ""),
    (
        "tests/test_calc.py",
        "import unittest\n\nimport calc\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        \
         self.assertEqual(calc.add(1, 2), 3)\n",
    ),
];

#[test]
fn what_was_proved_and_what_the_operator_corrects_is_what_is_run() {
    let scene = Scene::new(TWO_WAYS);
    let run = |code| {
        let ran = scene.gloaming(&["jobs", "run", "test", "--repo", "repo", "--json"]).exits(code);
        record(&ran.stdout)["argv"].clone()
    };
    let mined = run(1);
    assert_eq!(mined[2], "pytest", "{mined}");
    let proved = record(&scene.gloaming(&["onboard", "repo", "--json"]).exits(0).stdout);
    let kinds = proved["commands"].as_array().expect("commands");
    let test = kinds.iter().find(|command| command["kind"] == "test").expect("a test command");
    assert_eq!(test["argv"][2], "unittest", "{proved:#}");
    assert_eq!(run(0), test["argv"]);
    // And so for the gate: its tests run.
    let diff = scene.diff_of(|repo| {
        let more = "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return 2 * a\n";
        std::fs::write(repo.join("calc.py"), more).expect("write");
    });
    scene.verify(&diff, &[]).exits(0);

    let place = scene.home().join("corrections/local");
    std::fs::create_dir_all(&place).expect("mkdir");
    let corrections = place.join("repo.toml");
    std::fs::write(&corrections, "[commands.test]\nargv = [\"python3\", \"-c\", \"\"]\n").expect("write");
    assert_eq!(run(0), serde_json::json!(["python3", "-c", ""]));
    let other = scene.path().join("other.toml");
    std::fs::write(&other, "[commands.test]\nargv = [\"false\"]\n").expect("write");
    let ran = ["jobs", "run", "test", "--repo", "repo", "--json", "--corrections", "other.toml"];
    assert_eq!(record(&scene.gloaming(&ran).exits(1).stdout)["argv"], serde_json::json!(["false"]));
    std::fs::write(&corrections, "[commands.test]\nargs = 1\n").expect("write");
    let told = scene.gloaming(&["jobs", "run", "test", "--repo", "repo"]).exits(2);
    assert!(told.stderr.contains("repo.toml:2"), "{}", told.stderr);
}

#[test]
fn check_fetches_what_the_commit_wants_and_not_what_lies_in_the_folder() {
    let install = "import pathlib, sysconfig\n\
                   pathlib.Path(sysconfig.get_path('purelib'), 'small.py').write_text('VALUE = 1\\n')\n";
    let profile = "[commands.install]\nargv = [\"python3\", \"deps/install.py\"]\n[commands.test]\n\
                   argv = [\"python3\", \"-c\", \"import small; print('value', small.VALUE)\"]\nrunner = \"none\"\n\
                   [commands.build]\nargv = [\"python3\", \"-c\", \"import small; print('value', small.VALUE)\"]\n";
    let scene = Scene::new(&[
        ("app.py", "\n"),
        ("pyproject.toml", "[project]\nname = \"app\"\nversion = \"1\"\n"),
        ("deps/install.py", install),
        (".gloaming/profile.toml", profile),
    ]);
    scene.write(&[("deps/install.py", &install.replace("VALUE = 1", "VALUE = 2"))]);
    let call = ["tools", "call", "check", "--workspace", "repo", "--args", "{\"what\": \"build\"}", "--json"];
    let checked = scene.gloaming(&call).exits(0).stdout;
    assert!(checked.contains("value 1"), "{checked}");
    let run = scene.gloaming(&["jobs", "run", "test", "--repo", "repo"]).exits(0);
    assert_eq!(run.stdout, "value 1\n");
}
