//! Rules about jobs, about who asks, about models, rules that only warn, and files that extend files.

use gloaming_api::job::JobPurpose;
use gloaming_policies::{Grant, Lanes, Layer, load, parse};

use crate::{check, file, operator, resolve, show};

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn commands_images_and_variables_of_jobs_are_decided() {
    let image = format!("sha256:{}", "a".repeat(64));
    let grant = operator(&format!(
        r#"schema = 1
extends = ["preset:standard"]
[[allow]]
id = "cargo-tests"
jobs = ["test"]
commands = ["cargo test *", "cargo nextest run *"]
[[deny]]
id = "no-publishing"
jobs = ["*"]
commands = ["cargo publish", "npm publish"]
because = "Releases are made by CI."
instead = "Leave the version as it is."
[[deny]]
id = "no-credentials"
jobs = ["*"]
env = ["AWS_*"]
because = "No job needs them."
[[allow]]
id = "one-image"
jobs = ["lint"]
images = ["{image}"]
"#
    ));
    check(
        &grant,
        &format!(
            "
        check test cargo test --locked => allow cargo-tests policy.toml:3
        check test => allow jobs.test preset:standard:163
        check test make test => deny default-deny policy.toml:3
        check build make => allow jobs.build preset:standard:157
        check build cargo publish --dry-run => deny no-publishing policy.toml:7
        check build sh -c 'make && cargo publish' => deny no-publishing policy.toml:7
        env test RUSTFLAGS => allow jobs.test preset:standard:163
        env test aws_secret => deny no-credentials policy.toml:13
        image lint {image} => allow one-image policy.toml:18
        image lint sha256:{} => deny default-deny policy.toml:18
        image test {image} => allow jobs.test preset:standard:163
        connect test example.org => deny default-deny policy.toml:1
        secret test TOKEN => deny default-deny policy.toml:1
        submit local model => allow submit policy.toml:1
        model anthropic:claude-x => allow model policy.toml:1
        ",
            "b".repeat(64)
        ),
    );
    let nothing: [String; 0] = [];
    let permit = |argv: &str, env: &[String]| grant.permit_command(JobPurpose::Test, &words(argv), env);
    assert!(permit("cargo test", &nothing).is_ok());
    let denied = permit("cargo test", &["AWS_KEY".to_owned()]).unwrap_err();
    assert_eq!(denied.rule.id, "no-credentials");
    let denied = permit("make", &nothing).unwrap_err();
    assert_eq!(denied.rule.because, "No rule lets these jobs have the command `make`.");
    assert_eq!(denied.instead.as_deref(), Some("They may have cargo nextest run *, cargo test *."));
    // The engine decides again on what it starts, whoever made it of the profile's command.
    let permit = permit("cargo test", &nothing).unwrap();
    let other = gloaming_api::Digest::of("other");
    assert!(permit.admit(&words("python3 report.py cargo test"), &other).is_ok());
    assert_eq!(permit.admit(&words("env cargo publish"), &other).unwrap_err().rule.id, "no-publishing");
    let lint = grant.permit_job(JobPurpose::Lint).unwrap();
    assert_eq!(lint.admit(&words("cargo clippy"), &other).unwrap_err().rule.id, "default-deny");
}

#[test]
fn layers_narrow_jobs_too() {
    let narrow = |layer: Layer| {
        let operator = "schema = 1\nextends = [\"preset:standard\"]\n";
        let file = "schema = 1\n[[allow]]\nid = \"make\"\njobs = [\"*\"]\ncommands = [\"make *\"]\n\
                    [submit]\nlocal = [\"rename\"]\n[model]\nallow = [\"anthropic:*\"]\n";
        resolve(&[(Layer::Operator, "o.toml", operator), (layer, "n.toml", file)]).unwrap()
    };
    for layer in [Layer::Operator, Layer::Repository, Layer::Task] {
        check(
            &narrow(layer),
            "
            check build make all => allow make n.toml:2
            check build cargo build => deny default-deny n.toml:2
            submit local rename => allow submit n.toml:7
            submit local model => deny submit n.toml:6
            submit token:bot rename => deny submit n.toml:6
            model anthropic:claude-x => allow model n.toml:9
            model openai:gpt-5 => deny model n.toml:8
            model anthropic:claude-x https://proxy.example:443 => deny model n.toml:8
            ",
        );
    }
    // A repository's own file cannot give its jobs what the operator's does not.
    let lanes = Lanes { hosts: true, secrets: true };
    let repo = "acme/api".parse().unwrap();
    let hosts = "schema = 1\nextends = [\"preset:standard\"]\n[jobs.test]\nnetwork = [\"*.example.org\"]\n";
    let on =
        |layers| Grant::resolve_on(&repo, layers, lanes).unwrap_or_else(|faults| panic!("{}", show(&faults)));
    check(
        &on(vec![(Layer::Repository, file("r.toml", hosts))]),
        "connect test a.example.org => deny default-deny preset:standard:1",
    );
    let grant = on(vec![
        (Layer::Operator, file("o.toml", hosts)),
        (
            Layer::Repository,
            file(
                "r.toml",
                "schema = 1\n[[deny]]\nid = \"not-this\"\njobs = [\"*\"]\nhosts = [\"b.example.org\"]\nbecause = \"x\"\n",
            ),
        ),
    ]);
    check(
        &grant,
        "
        connect test a.example.org => allow jobs.test o.toml:3
        connect test https://b.example.org:443 => deny not-this r.toml:2
        connect build a.example.org => deny default-deny o.toml:1
        ",
    );
}

#[test]
fn models_are_named_with_where_they_are() {
    let grant = operator(
        "schema = 1\nextends = [\"preset:standard\"]\n[model]\nallow = [\"openai:local-*\"]\nhosts = [\"http://llm.internal:8080\"]\n",
    );
    check(
        &grant,
        "
        model openai:local-coder => allow model policy.toml:4
        model openai:local-coder http://llm.internal:8080 => allow model policy.toml:4
        model openai:local-coder http://llm.internal:9090 => deny model policy.toml:3
        model openai:local-coder http://elsewhere.example:8080 => deny model policy.toml:3
        model openai:gpt-5 http://llm.internal:8080 => deny model policy.toml:3
        ",
    );
    assert!(grant.decide_model("openai:local-coder", Some("http://[::1]:8080")).is_err());
    let open = operator("schema = 1\nextends = [\"preset:standard\"]\n");
    assert!(open.decide_model("openai:local-coder", Some("http://[::1]:8080")).unwrap().is_allow());
}

#[test]
fn what_no_lane_can_enforce_does_not_load() {
    let text = r#"schema = 1
[jobs.test]
network = ["registry", "https://crates.example:443"]
[[deny]]
id = "no-telemetry"
jobs = ["*"]
hosts = ["*.telemetry.example"]
because = "x"
[[allow]]
id = "token"
jobs = ["test"]
secrets = ["NPM_TOKEN"]
[[allow]]
id = "narrow"
tools = ["read", "check"]
paths = ["src/**"]
[[deny]]
id = "idle"
tools = ["read", "check"]
access = "write"
paths = ["gen/"]
because = "x"
"#;
    let faults = resolve(&[(Layer::Operator, "p.toml", text)]).unwrap_err();
    insta::assert_snapshot!(show(&faults), @r#"
    p.toml:3:12: "registry": no engine here can let some hosts through and hold the others back, and a rule that cannot be enforced does not load (write `network = []`; jobs run without network)
    p.toml:3:24: "https://crates.example:443": no engine here can let some hosts through and hold the others back, and a rule that cannot be enforced does not load (write `network = []`; jobs run without network)
    p.toml:7:10: "*.telemetry.example": no engine here can let some hosts through and hold the others back, and a rule that cannot be enforced does not load (leave the rule out: jobs run without network, so no host can be reached at all)
    p.toml:12:12: "NPM_TOKEN": no engine here hands secrets to jobs, and a rule that cannot be enforced does not load (leave the rule out: no job is given a secret, and none of our environment)
    p.toml:13:1: rule narrow allows `check` some paths, and that cannot be enforced: build, test and lint see every file that no rule denies (name the other tools, allow `check` with `paths = ["**"]`, and deny it what it must not see)
    p.toml:17:1: rule idle would decide nothing: read and check never write (name tools that write, or leave `access` out to deny reading)
    "#);
    // In every layer, and in what a file extends.
    for layer in [Layer::Repository, Layer::Task] {
        assert_eq!(resolve(&[(layer, "p.toml", text)]).unwrap_err().len(), 6);
    }
}

#[test]
fn faults_of_rules_about_jobs_are_told_at_their_place() {
    let text = r#"schema = 1
[[deny]]
id = "a"
jobs = ["tests"]
commands = ["a && b", "x 'y", "npm run test:*"]
because = "x"
enforce = "ask"
[[allow]]
id = "b"
jobs = ["test"]
[[allow]]
id = "c"
jobs = ["test"]
commands = ["a"]
env = ["B"]
[[allow]]
id = "d"
jobs = []
hosts = ["https://a.example/path", "*", "a.example:80", "bücher.example"]
[[allow]]
id = "e"
commands = []
instead = "x"
[submit]
bob = ["*"]
"github:alice" = ["Model"]
[model]
allow = ["claude", "*"]
hosts = ["/"]
"#;
    insta::assert_snapshot!(show(&parse("p.toml", text).unwrap_err()), @r#"
    p.toml:4:9: there is no kind of job "tests" (did you mean `test`?)
    p.toml:5:13: "a && b" holds the shell operator `&&`; no shell reads a job's command (write one pattern for each command)
    p.toml:5:23: "x 'y" has a quote that is not closed (close it)
    p.toml:5:31: "npm run test:*" ends in `:*`, which this dialect does not know (write "npm run test *")
    p.toml:7:11: "ask" is no way to enforce a rule (write `enforce = "deny"`, or "warn" to be told what the rule would stop)
    p.toml:8:1: [[allow]] about jobs needs one of commands, hosts, images, env, secrets (write what of them it is about, like `commands = ["cargo test *"]`)
    p.toml:15:7: a rule is about one thing: this one has `commands` and `env` (write a rule for each)
    p.toml:18:8: `jobs` is empty, so the rule could never decide anything (write `jobs = ["*"]` for every kind of job)
    p.toml:19:10: "https://a.example/path" is not a host: with a scheme it needs a port (write `host`, `*.host` or `scheme://host:port`, or the name of a set (registry))
    p.toml:19:36: "*" is not a host: `*` stands only as the whole first name (write `host`, `*.host` or `scheme://host:port`, or the name of a set (registry))
    p.toml:19:41: "a.example:80" is not a host: it has a path, a port without a scheme, or an account (write `host`, `*.host` or `scheme://host:port`, or the name of a set (registry))
    p.toml:19:57: "bücher.example" is not a host: write an international name in its ASCII form (xn--…) (write `host`, `*.host` or `scheme://host:port`, or the name of a set (registry))
    p.toml:20:1: [[allow]] needs the key `jobs` (write `jobs = ["test"]` or `jobs = ["*"]`)
    p.toml:22:12: `commands` is empty, so the rule could never decide anything (write `commands = ["cargo test *"]`)
    p.toml:23:1: [[allow]] about jobs has no key `instead` (the keys of [[allow]] about jobs are id, jobs, because, commands, hosts, images, env, secrets)
    p.toml:25:1: "bob" names nobody who asks (write `local`, `token:NAME`, `github:LOGIN`, with `*` for any characters, or `*` for anybody)
    p.toml:26:19: "Model" is nothing that can be asked for (write `model` for what a model does, a playbook like `rename`, or `*` for both)
    p.toml:28:10: "claude" does not name models (write `provider:model`, with `*` for any characters, like "anthropic:claude-*")
    p.toml:29:10: "/" is not a host: it has a path, a port without a scheme, or an account (write `host`, `*.host` or `scheme://host:port`, or the name of a set (registry))
    "#);
}

#[test]
fn a_rule_can_warn_before_it_denies() {
    let text = |enforce: &str| {
        format!(
            "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"new\"\ntools = [\"*\"]\npaths = [\"docs/\"]\n\
             because = \"Soon.\"\nenforce = \"{enforce}\"\n[[deny]]\nid = \"slow\"\njobs = [\"test\"]\n\
             commands = [\"make bench\"]\nbecause = \"Soon.\"\nenforce = \"{enforce}\"\n"
        )
    };
    let warns = operator(&text("warn"));
    let without = operator("schema = 1\nextends = [\"preset:standard\"]\n");
    for call in ["read docs/a.md", "edit docs/a.md", "list docs", "check test make bench", "read src/a"] {
        let (told, plain) = (warns.explain(call).unwrap(), without.explain(call).unwrap());
        assert_eq!((told.decision, &told.rule), (plain.decision, &plain.rule), "{call}");
        let warned: Vec<&str> = told.warnings.iter().map(|rule| rule.id.as_str()).collect();
        let want: &[&str] = match call {
            "read src/a" => &[],
            "check test make bench" => &["slow"],
            _ => &["new"],
        };
        assert_eq!(warned, want, "{call}");
    }
    assert_ne!(warns.digest(), without.digest());
    let nothing: [String; 0] = [];
    let permit = warns.permit_command(JobPurpose::Test, &words("make bench"), &nothing).unwrap();
    assert_eq!(permit.warnings(), ["slow"]);
    let denies = operator(&text("deny"));
    check(
        &denies,
        "
        read docs/a.md => deny new policy.toml:3
        check test make bench => deny slow policy.toml:9
        ",
    );
}

#[test]
fn files_extend_files_beside_them() {
    let files = [
        (
            "policies/base.toml",
            "schema = 1\nextends = [\"preset:standard\", \"file:sub/more.toml\"]\n[budget]\nsteps = 7\n",
        ),
        (
            "policies/sub/more.toml",
            "schema = 1\n[[deny]]\nid = \"no-docs\"\ntools = [\"*\"]\npaths = [\"docs/\"]\nbecause = \"x\"\n",
        ),
        ("policies/ring.toml", "schema = 1\nextends = [\"file:./ring2.toml\"]\n"),
        ("policies/ring2.toml", "schema = 1\nextends = [\"file:../policies/ring.toml\"]\n"),
        ("policies/bad.toml", "schema = 1\nnonsense = 1\n"),
    ];
    let read = |name: &str| {
        let found = files.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "there is none".to_owned())
    };
    let text = "schema = 1\nextends = [\"file:base.toml\"]\n";
    let loaded = load("policies/api.toml", text, &read).unwrap_or_else(|faults| panic!("{}", show(&faults)));
    let repo = "acme/api".parse().unwrap();
    let grant = Grant::resolve(&repo, vec![(Layer::Operator, loaded.clone())]).unwrap();
    assert_eq!(grant.budget().steps, 7);
    check(
        &grant,
        "
        read docs/a.md => deny no-docs policies/sub/more.toml:2
        read src/lib.rs => allow look-at-every-file preset:standard:4
        ",
    );
    let extends = |name: &str| {
        let text = format!("schema = 1\nextends = [\"{name}\"]\n");
        show(&load("policies/api.toml", &text, &read).unwrap_err())
    };
    insta::assert_snapshot!(["file:none.toml", "file:ring.toml", "file:bad.toml", "file:/etc/passwd"].map(extends).concat(), @r#"
    policies/api.toml:2:12: cannot read policies/none.toml, which this file extends: there is none (write the path relative to this file)
    policies/ring2.toml:2:12: policies/ring.toml extends itself: policies/ring.toml extends policies/ring2.toml extends policies/ring.toml (take one of them out)
    policies/bad.toml:2:1: a policy has no key `nonsense` (the keys of a policy are schema, repos, extends, tool, mcp, allow, deny, jobs, budget, change, gate, submit, model, test)
    policies/api.toml:2:12: "file:/etc/passwd" does not name a file (write it relative to this file, like `file:base.toml` or `file:../team.toml`)
    "#);
    // Names of what is compiled in, and more files than anybody has.
    insta::assert_snapshot!(extends("file:preset:standard"), @r#"
    policies/api.toml:2:12: "file:preset:standard" does not name a file (write it relative to this file, like `file:base.toml` or `file:../team.toml`)
    "#);
    let many = |name: &str| {
        let n: usize = name.trim_start_matches("policies/m").trim_end_matches(".toml").parse().unwrap();
        Ok(format!("schema = 1\nextends = [{}]\n", format!("\"file:m{}.toml\", ", n + 1).repeat(8)))
    };
    let faults = load("policies/api.toml", "schema = 1\nextends = [\"file:m1.toml\"]\n", &many).unwrap_err();
    assert!(show(&faults).contains("files are extended more than 64 times in all"), "{}", show(&faults));
    // A repository's own file and a task's are not beside any others.
    let faults = Grant::resolve(&repo, vec![(Layer::Repository, loaded)]).unwrap_err();
    insta::assert_snapshot!(show(&faults), @r#"
    policies/api.toml:2:12: "file:base.toml" cannot be extended here: only an operator's file can extend files (extend presets, and write the rules out)
    "#);
    let unread = file("o.toml", text);
    assert_eq!(Grant::resolve(&repo, vec![(Layer::Operator, unread)]).unwrap_err().len(), 1);
}

#[test]
fn the_grant_is_an_object_named_by_its_content() {
    let grant = operator("schema = 1\nextends = [\"preset:read-only\"]\n");
    let canonical = gloaming_api::canonical_json(&grant.to_json());
    assert_eq!(gloaming_api::Digest::of(&canonical), *grant.digest());
    let tools =
        [("read", "r"), ("write", "w")].map(|(name, text)| (name.to_owned(), gloaming_api::Digest::of(text)));
    let before = grant.digest().clone();
    let grant = grant.with_tools(tools.into_iter().collect());
    assert_ne!(*grant.digest(), before);
    assert_eq!(grant.tools().keys().collect::<Vec<_>>(), ["read"], "what is not offered is no part of it");
    assert_eq!(grant.to_json()["tools"]["read"], gloaming_api::Digest::of("r").as_str());
    let canonical = gloaming_api::canonical_json(&grant.to_json());
    assert_eq!(gloaming_api::Digest::of(&canonical), *grant.digest());
}

#[test]
fn a_permit_without_secrets_gives_none() {
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\
                  [[allow]]\nid = \"token\"\njobs = [\"setup\"]\nsecrets = [\"TOKEN\"]\n";
    let layers = vec![(Layer::Operator, parse("operator.toml", policy).unwrap())];
    let grant = Grant::resolve_on(&"acme/api".parse().unwrap(), layers, Lanes::ALL).unwrap();
    let permit = grant.permit_job(JobPurpose::Setup).unwrap();
    assert!(permit.gives_secret("TOKEN") && !permit.without_secrets().gives_secret("TOKEN"));
}
