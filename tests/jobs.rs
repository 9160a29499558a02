//! `gloaming jobs` and `gloaming secrets`, from outside.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::Scene;

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
