//! Proofs: real commands in real containers; and what is made of engines' answers, with answers made up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gloaming_api::job::{JobExit, JobRecord};
use gloaming_api::profile::Command;
use gloaming_api::{Digest, Profile, RepoId};
use gloaming_jobs::{
    BoxFuture, Cancel, Capabilities, Embedded, Engine, Environment, Facts, HostFacts, Job, JobError,
    JobOutput, NoEngine, Redactor,
};
use gloaming_policies::{Grant, JobPermit};
use gloaming_profile::{Corrections, ProfileError, Proving, known, prove};
use jiff::Timestamp;

use crate::{folder, write_all};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

pub(crate) fn grant() -> Grant {
    Grant::resolve(&RepoId::local("test"), Vec::new()).unwrap()
}

/// Proves the profile of the given files; returns it, the records, and what was said meanwhile.
async fn proved(
    files: &[(&str, &str)],
    engine: &dyn Engine,
    environment: &Digest,
    grant: &Grant,
    cancel: &Cancel,
) -> Result<(Profile, Vec<JobRecord>, Vec<String>), ProfileError> {
    proved_as(files, engine, environment, grant, cancel, None, None).await
}

/// The same with an operator's corrections and a count of tests.
async fn proved_as(
    files: &[(&str, &str)],
    engine: &dyn Engine,
    environment: &Digest,
    grant: &Grant,
    cancel: &Cancel,
    operator: Option<&Corrections>,
    tests: Option<u32>,
) -> Result<(Profile, Vec<JobRecord>, Vec<String>), ProfileError> {
    let base = folder(files);
    let work = tempfile::tempdir().unwrap();
    let mut profile = known(base.path(), operator).unwrap();
    let said = Mutex::new(Vec::new());
    let checkout = |dir: &Path| {
        std::fs::create_dir(dir)?;
        write_all(dir, files);
        Ok(())
    };
    let progress = |text: &str| said.lock().unwrap().push(text.to_owned());
    let count = |command: &Command, _: &JobOutput| tests.filter(|_| command.argv[0] != "make");
    let proving = Proving {
        engine,
        environment,
        grant,
        checkout: &checkout,
        work_dir: work.path(),
        now: NOW,
        progress: &progress,
        cancel,
        provision: None,
        count_tests: Some(&count),
    };
    let records = prove(&mut profile, &proving).await?;
    Ok((profile, records, said.into_inner().unwrap()))
}

/// Answers by the words of a command.
struct Scripted(fn(&str) -> (JobExit, &'static str));

impl Engine for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn run<'a>(
        &'a self,
        permit: &'a JobPermit,
        job: &'a Job,
        _: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        assert!(job.workspace.is_dir() && job.scratch.as_ref().is_some_and(|scratch| scratch.is_dir()));
        let (exit, stderr) = (self.0)(&job.argv.join(" "));
        let record = JobRecord {
            purpose: permit.purpose(),
            argv: job.argv.clone(),
            command: None,
            cwd: job.cwd.to_string(),
            env: job.env.clone(),
            secrets: Vec::new(),
            engine: self.name().to_owned(),
            environment: Digest::of("environment"),
            grant: permit.grant_digest().clone(),
            warnings: permit.warnings().to_vec(),
            egress: None,
            exit,
            duration_ms: 7,
            peak_memory: None,
            limits: permit.limits(),
            stdout_tail: String::new(),
            stderr_tail: stderr.to_owned(),
            cached: None,
        };
        let output = JobOutput {
            record,
            stdout: Vec::new(),
            stderr: stderr.into(),
            dropped: 0,
            redactor: Redactor::default(),
        };
        Box::pin(async move { Ok(output) })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        Box::pin(async { Err(NoEngine { reason: "it is a script".to_owned(), hint: String::new() }) })
    }
}

const PYTHON: &[(&str, &str)] = &[
    ("pyproject.toml", "[tool.pytest.ini_options]\n\n[tool.ruff]\n"),
    ("setup.cfg", "[flake8]\n"),
    ("x.py", ""),
    ("test_x.py", "import unittest\n"),
];

fn commands(profile: &Profile) -> Vec<String> {
    let show = |command: &Command| {
        let exit = command.proof.as_ref().map(|proof| proof.exit.to_string());
        format!("{}: {}", command.argv.join(" "), exit.unwrap_or_else(|| "unproved".into()))
    };
    profile.commands.iter().map(show).collect()
}

fn rejected(profile: &Profile) -> Vec<String> {
    profile.rejected.iter().map(|rejected| format!("{}: {}", rejected.command, rejected.reason)).collect()
}

#[tokio::test]
async fn a_missing_program_makes_way_for_the_next_candidate() {
    let engine = Scripted(|argv| match argv {
        _ if argv.contains("pytest") => (JobExit::Code(1), "/usr/bin/python3: No module named pytest\n"),
        _ if argv.contains("ruff") => (JobExit::Code(127), "not found"),
        _ => (JobExit::Code(0), ""),
    });
    let environment = Digest::of("environment");
    let (profile, records, said) =
        proved(PYTHON, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    assert_eq!(
        commands(&profile),
        [
            "python3 -m flake8: exit 0",
            "python3 -m unittest discover: exit 0",
            "python3 -m unittest discover -k={test}: unproved"
        ]
    );
    assert_eq!(
        rejected(&profile),
        [
            "python3 -m pytest: pytest is missing in the jobs' environment",
            "python3 -m ruff check .: python3 is missing in the jobs' environment",
        ]
    );
    assert!(profile.rejected.iter().all(|rejected| rejected.proof.is_some()));
    assert_eq!(profile.gaps, Vec::<String>::new());
    assert_eq!(records.len(), 4);
    assert_eq!(said[0], "lint: python3 -m ruff check .");
    let proof = profile.commands[0].proof.as_ref().unwrap();
    assert_eq!(
        (proof.at, proof.duration_ms, &proof.environment, proof.excerpt.as_str()),
        (NOW, 7, &environment, "")
    );
}

#[tokio::test]
async fn what_fails_or_is_missing_for_good_stays_and_is_a_gap() {
    let engine = Scripted(|argv| match argv {
        _ if argv.starts_with("cargo build") => {
            (JobExit::Code(101), "error: no matching package named `x` found")
        }
        _ if argv.starts_with("cargo test") => (JobExit::TimedOut, "still going"),
        _ if argv.starts_with("cargo fetch") => (JobExit::Code(0), ""),
        _ => (JobExit::Code(101), "error: no such command: `clippy`\n"),
    });
    let files = &[
        ("Cargo.toml", "[package]\nname = \"x\"\n"),
        ("src/lib.rs", ""),
        ("Makefile", "lint:\n\tcargo clippy\n"),
    ];
    let (profile, ..) = proved(files, &engine, &Digest::of("e"), &grant(), &Cancel::new()).await.unwrap();
    assert_eq!(
        commands(&profile),
        [
            "cargo fetch: exit 0",
            "cargo build --offline --lib --bins --tests --examples: exit 101",
            "cargo clippy --offline: exit 101",
            "cargo test --offline: timed out",
            "cargo test --offline -- {test}: unproved",
        ]
    );
    assert_eq!(
        profile.gaps,
        [
            "the build command `cargo build --offline --lib --bins --tests --examples` fails on the untouched tree: exit 101; \
             jobs have no network: `cargo fetch` on the host fetches what the lockfile names",
            "the lint command `cargo clippy --offline` cannot be run: cargo-clippy is missing; install it where the jobs' \
             environment is taken from: `rustup component add clippy`",
            "the test command `cargo test --offline` fails on the untouched tree: timed out",
        ]
    );
    assert_eq!(profile.commands[3].proof.as_ref().unwrap().excerpt, "still going");
}

#[tokio::test]
async fn the_program_of_a_better_command_is_named_where_none_works() {
    let files = &[
        ("pyproject.toml", "[project]\nname = \"x\"\n"),
        ("uv.lock", ""),
        ("x.py", ""),
        ("test_x.py", "import unittest\nimport pytest\n"),
    ];
    let engine = Scripted(|argv| match argv {
        _ if argv.starts_with("uv ") => (JobExit::Code(127), "gloaming: uv: program not found"),
        _ if argv.contains("pytest") => (JobExit::Code(1), "python3: No module named pytest"),
        _ => (JobExit::Code(1), "No matching distribution found for hatchling"),
    });
    let (profile, ..) = proved(files, &engine, &Digest::of("e"), &grant(), &Cancel::new()).await.unwrap();
    let about: Vec<&str> = profile.gaps.iter().filter_map(|gap| gap.split(';').next()).collect();
    assert_eq!(
        about,
        [
            "no lint command was found: no linter is configured",
            "the install command `PIP_BREAK_SYSTEM_PACKAGES=1 uv sync --frozen` cannot be run: uv is missing",
            "the install command `PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install -e .` did not work: jobs have no network",
            "the test command `python3 -m pytest` cannot be run: pytest is missing",
            "the test command `python3 -m unittest discover` fails on the untouched tree: exit 1",
        ]
    );
}

#[tokio::test]
async fn a_module_the_tests_lack_is_not_a_missing_runner() {
    let engine = Scripted(|_| (JobExit::Code(1), "E   ModuleNotFoundError: No module named 'pytest_mock'\n"));
    let (profile, ..) = proved(PYTHON, &engine, &Digest::of("e"), &grant(), &Cancel::new()).await.unwrap();
    assert_eq!(
        commands(&profile),
        [
            "python3 -m ruff check .: exit 1",
            "python3 -m pytest: exit 1",
            "python3 -m pytest -k={test}: unproved",
        ]
    );
    assert_eq!(
        rejected(&profile),
        [
            "python3 -m unittest discover: it fails on the untouched tree: exit 1",
            "python3 -m flake8: it fails on the untouched tree: exit 1",
        ]
    );
}

#[tokio::test]
async fn cancelling_ends_it() {
    let engine = Scripted(|_| (JobExit::Cancelled, ""));
    let result = proved(PYTHON, &engine, &Digest::of("e"), &grant(), &Cancel::new()).await;
    assert!(matches!(result, Err(ProfileError::Cancelled)), "{result:?}");
    let cancel = Cancel::new();
    cancel.cancel();
    let engine = Scripted(|_| panic!("no job is run"));
    let result = proved(PYTHON, &engine, &Digest::of("e"), &grant(), &cancel).await;
    assert!(matches!(result, Err(ProfileError::Cancelled)), "{result:?}");
}

/// The embedded engine; none, with a word why, where containers cannot be made.
pub(crate) async fn embedded(state: &Path) -> Option<(Embedded, Digest)> {
    embedded_of(state, &host()).await
}

/// What the test process itself runs with.
pub(crate) fn host() -> HostFacts {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    HostFacts {
        path: std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
        home: var("HOME"),
        cargo_home: var("CARGO_HOME"),
        rustup_home: var("RUSTUP_HOME"),
        virtual_env: var("VIRTUAL_ENV"),
    }
}

/// The engine of a machine like this one, but for these facts.
pub(crate) async fn embedded_of(state: &Path, host: &HostFacts) -> Option<(Embedded, Digest)> {
    let environment = Environment::detect(host);
    let digest = environment.digest().clone();
    let helper = vec![std::env::current_exe().unwrap().into(), "__job".into()];
    let engine = Embedded::new(helper, environment, state.to_owned());
    match engine.probe().await {
        Ok(_) => Some((engine, digest)),
        Err(NoEngine { reason, hint }) if !rustix::process::geteuid().is_root() => {
            eprintln!("SKIPPED: no container can be made here: {reason}; {hint}");
            None
        }
        Err(error) => panic!("root must be able to make a container: {error}; {}", error.hint),
    }
}

#[tokio::test]
async fn a_rust_package_is_built_and_tested_in_a_container() {
    let state = tempfile::tempdir().unwrap();
    let Some((engine, environment)) = embedded(state.path()).await else { return };
    let files = &[
        ("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
        ("src/lib.rs", "#[test]\nfn works() { assert!(std::path::Path::new(\"Cargo.toml\").exists()); }\n"),
    ];
    let (profile, records, _) = proved(files, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    assert_eq!(
        commands(&profile),
        [
            "cargo fetch: exit 0",
            "cargo build --offline --lib --bins --tests --examples: exit 0",
            "cargo test --offline: exit 0",
            "cargo test --offline -- {test}: unproved",
        ],
        "{profile:#?}"
    );
    assert!(records[2].stdout_tail.contains("test works ... ok"), "{records:#?}");
    assert_eq!(records[0].env, BTreeMap::new());
    assert_eq!(
        profile.gaps,
        [
            "no lint command was found: neither the Makefile nor CI uses cargo clippy, and no file configures it"
        ]
    );
}

#[tokio::test]
async fn a_python_project_in_src_layout_is_tested_in_a_container() {
    let state = tempfile::tempdir().unwrap();
    let Some((engine, environment)) = embedded(state.path()).await else { return };
    let files = &[
        ("pyproject.toml", "[project]\nname = \"x\"\n"),
        ("src/x/__init__.py", "def one():\n    return 1\n"),
        (
            "tests/test_x.py",
            "import unittest\nimport x\n\n\nclass Tests(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(x.one(), 1)\n",
        ),
    ];
    let (profile, records, _) = proved(files, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    let commands = commands(&profile);
    assert!(commands.contains(&"python3 -m unittest discover -s tests: exit 0".to_owned()), "{records:#?}");
    // What builds the package is not in the jobs' environment, and there is no network.
    assert!(commands[0].starts_with("python3 -m pip install -e .: exit "), "{commands:?}");
    assert!(profile.gaps.iter().any(|gap| gap.contains("jobs have no network")), "{:?}", profile.gaps);
    let ran = records.last().unwrap();
    assert!(ran.stderr_tail.contains("Ran 1 test"), "{records:#?}");
}

/// Says of every tree what the tests' files hold, and leaves a file when it installs.
struct Installing;

impl Engine for Installing {
    fn name(&self) -> &str {
        "installing"
    }

    fn run<'a>(
        &'a self,
        permit: &'a JobPermit,
        job: &'a Job,
        cancel: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        let installed = job.workspace.join("node_modules/.bin/vitest");
        if job.argv[0] == "npm" && job.argv[1] == "ci" {
            write_all(&job.workspace, &[("node_modules/.bin/vitest", "")]);
        } else {
            assert!(installed.is_file(), "{job:?}");
        }
        Box::pin(async move { Scripted(|_| (JobExit::Code(0), "")).run(permit, job, cancel).await })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        Box::pin(async { Err(NoEngine { reason: "it is a script".to_owned(), hint: String::new() }) })
    }
}

#[tokio::test]
async fn what_installing_left_is_in_the_trees_of_the_commands_after_it() {
    let files = &[
        (
            "package.json",
            "{\"scripts\": {\"test\": \"vitest\", \"lint\": \"eslint .\"}, \"devDependencies\": {\"vitest\": \"1\"}}",
        ),
        ("package-lock.json", "{}"),
        ("a.js", ""),
    ];
    let (profile, records, _) =
        proved(files, &Installing, &Digest::of("e"), &grant(), &Cancel::new()).await.unwrap();
    assert_eq!(
        commands(&profile),
        [
            "npm ci: exit 0",
            "npm run --silent lint: exit 0",
            "node_modules/.bin/vitest run: exit 0",
            "node_modules/.bin/vitest run --testNamePattern={test}: unproved",
        ]
    );
    assert_eq!(records.len(), 3);
    let readiness = profile.readiness.unwrap();
    assert_eq!(readiness.score, 80, "{readiness:#?}");
    assert!(readiness.most_help.unwrap().contains("AGENTS.md"));
}

#[tokio::test]
async fn a_command_that_fails_makes_way_and_is_listed_with_its_proof() {
    let files = &[
        ("Cargo.toml", "[package]\nname = \"x\"\n"),
        ("src/lib.rs", ""),
        ("Makefile", "test:\n\tcargo test --lib\n"),
    ];
    let engine = Scripted(|argv| match argv {
        "cargo test --offline" => (JobExit::Code(101), "a doc test fails"),
        _ => (JobExit::Code(0), ""),
    });
    let (profile, ..) = proved(files, &engine, &Digest::of("e"), &grant(), &Cancel::new()).await.unwrap();
    assert!(commands(&profile).contains(&"cargo test --offline --lib: exit 0".to_owned()));
    assert_eq!(rejected(&profile), ["cargo test --offline: it fails on the untouched tree: exit 101"]);
    let proof = profile.rejected[0].proof.as_ref().unwrap();
    assert_eq!((proof.exit, proof.excerpt.as_str()), (JobExit::Code(101), "a doc test fails"));
    assert!(
        profile.gaps.contains(
            &"the test command `cargo test --offline --lib` stands in for `cargo test --offline`, which fails on the \
              untouched tree: exit 101, and may run fewer tests"
                .to_owned()
        ),
        "{:?}",
        profile.gaps
    );
    // The one that runs one test is made of the one that works.
    assert!(commands(&profile).contains(&"cargo test --offline --lib -- {test}: unproved".to_owned()));
}

#[tokio::test]
async fn a_command_that_policy_denies_makes_way_for_one_that_it_permits() {
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\n[[deny]]\nid = \"no-pytest\"\njobs = [\"test\"]\n\
                  commands = [\"python3 -m pytest *\", \"python3 -m pytest\"]\nbecause = \"x\"\n";
    let file = gloaming_policies::parse("p.toml", policy).unwrap();
    let grant =
        Grant::resolve(&RepoId::local("test"), vec![(gloaming_policies::Layer::Operator, file)]).unwrap();
    let engine = Scripted(|argv| {
        assert!(!argv.contains("pytest"));
        (JobExit::Code(0), "")
    });
    let (profile, ..) = proved(PYTHON, &engine, &Digest::of("e"), &grant, &Cancel::new()).await.unwrap();
    assert!(commands(&profile).contains(&"python3 -m unittest discover: exit 0".to_owned()));
    assert_eq!(
        rejected(&profile)[0],
        "python3 -m pytest: policy permits no such test job (rule no-pytest of p.toml:4)"
    );
    assert_eq!(profile.gaps, Vec::<String>::new());
}

#[tokio::test]
async fn a_run_without_a_test_proves_nothing() {
    let nothing = Scripted(|argv| match argv {
        _ if argv.contains("unittest") => (JobExit::Code(0), "Ran 0 tests in 0.000s\n\nOK\n"),
        _ if argv.contains("pytest") => (JobExit::Code(5), "no tests ran"),
        _ => (JobExit::Code(0), ""),
    });
    let (profile, ..) = proved(PYTHON, &nothing, &Digest::of("e"), &grant(), &Cancel::new()).await.unwrap();
    assert_eq!(rejected(&profile)[0], "python3 -m unittest discover: it ran no test");
    assert_eq!(profile.gaps, ["the test command `python3 -m pytest` fails on the untouched tree: exit 5"]);
    // Counted, it is the same.
    let fine = Scripted(|_| (JobExit::Code(0), ""));
    let environment = Digest::of("e");
    let counted = |tests| proved_as(PYTHON, &fine, &environment, &GRANT, &CANCEL, None, Some(tests));
    let (profile, ..) = counted(0).await.unwrap();
    assert!(profile.gaps.contains(&"the test command `python3 -m pytest` ran no test".to_owned()));
    let (profile, ..) = counted(3).await.unwrap();
    let test = profile.command(gloaming_api::profile::CommandKind::Test).unwrap();
    assert_eq!(test.proof.as_ref().unwrap().tests, Some(3));
}

static GRANT: std::sync::LazyLock<Grant> = std::sync::LazyLock::new(grant);
static CANCEL: std::sync::LazyLock<Cancel> = std::sync::LazyLock::new(Cancel::new);

#[tokio::test]
async fn what_was_corrected_has_no_second() {
    let operator =
        Corrections::of_operator("x.toml", "[commands.test]\nargv = [\"make\", \"test\"]\n").unwrap();
    let engine = Scripted(|argv| match argv {
        "make test" => (JobExit::Code(2), "no rule"),
        _ => (JobExit::Code(0), ""),
    });
    let environment = Digest::of("e");
    let (profile, ..) =
        proved_as(PYTHON, &engine, &environment, &GRANT, &CANCEL, Some(&operator), None).await.unwrap();
    assert!(commands(&profile).contains(&"make test: exit 2".to_owned()), "{profile:#?}");
    assert!(
        rejected(&profile).contains(&"python3 -m pytest: the operator's correction of x.toml:1".to_owned())
    );
}

#[tokio::test]
async fn a_cmake_project_is_configured_built_and_tested_by_one_command() {
    let state = tempfile::tempdir().unwrap();
    let Some((engine, environment)) = embedded(state.path()).await else { return };
    if !Path::new("/usr/bin/ctest").is_file() {
        eprintln!("SKIPPED: no cmake here");
        return;
    }
    let files = &[
        (
            "CMakeLists.txt",
            "cmake_minimum_required(VERSION 3.16)\nproject(x C)\nenable_testing()\nadd_executable(t t.c)\nadd_test(NAME t COMMAND t)\n",
        ),
        ("t.c", "int main(void) { return 0; }\n"),
    ];
    let (profile, records, _) = proved(files, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    let ran = records.last().unwrap();
    assert!(ran.exit.success() && ran.stdout_tail.contains("100% tests passed"), "{records:#?}");
    assert_eq!(profile.readiness.unwrap().checks[0].state, gloaming_api::profile::CheckState::Holds);
}

const JAVA: &[(&str, &str)] = &[
    ("src/main/java/x/A.java", "package x;\npublic class A { public static int one() { return 1; } }\n"),
    (
        "src/test/java/x/ATest.java",
        "package x;\nimport static org.junit.Assert.assertEquals;\nimport org.junit.Test;\n\
         public class ATest { @Test public void one() { assertEquals(1, A.one()); } }\n",
    ),
];

/// Where Debian's packages put what Maven would fetch.
const MAVEN_REPO: &str = "/usr/share/maven-repo";

#[tokio::test]
async fn a_maven_project_is_tested_in_a_container() {
    let state = tempfile::tempdir().unwrap();
    let Some((engine, environment)) = embedded(state.path()).await else { return };
    let versions = [
        ("org/apache/maven/plugins", "maven-resources-plugin", "3.3.0"),
        ("org/apache/maven/plugins", "maven-compiler-plugin", "3.10.1"),
        ("org/apache/maven/plugins", "maven-surefire-plugin", "2.22.3"),
        ("org/apache/maven/surefire", "surefire-junit4", "2.22.3"),
        ("junit", "junit", "4.13.2"),
    ];
    let missing = |(folder, name, version): &(&str, &str, &str)| {
        !Path::new(MAVEN_REPO).join(folder).join(name).join(version).exists()
    };
    if let Some((_, name, version)) = versions.iter().find(|at| missing(at)) {
        eprintln!(
            "SKIPPED: {name} {version} is not in {MAVEN_REPO} (maven-debian-helper, libsurefire-java, junit4)"
        );
        return;
    }
    let plugins: String = versions[..3]
        .iter()
        .map(|(_, name, version)| {
            format!("<plugin><artifactId>{name}</artifactId><version>{version}</version></plugin>")
        })
        .collect();
    let pom = format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version>\
         <properties><maven.compiler.source>11</maven.compiler.source><maven.compiler.target>11</maven.compiler.target>\
         </properties><dependencies><dependency><groupId>junit</groupId><artifactId>junit</artifactId>\
         <version>4.13.2</version><scope>test</scope></dependency></dependencies>\
         <build><plugins>{plugins}</plugins></build></project>"
    );
    let config = format!("-Dmaven.repo.local={MAVEN_REPO}\n");
    let files = [JAVA, &[("pom.xml", pom.as_str()), (".mvn/maven.config", config.as_str())]].concat();
    let (profile, records, _) =
        proved(&files, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    assert!(commands(&profile).contains(&"mvn -B -o test: exit 0".to_owned()), "{records:#?}");
    assert!(records.last().unwrap().stdout_tail.contains("Tests run: 1, Failures: 0"), "{records:#?}");
}

#[tokio::test]
async fn a_gradle_project_is_tested_in_a_container() {
    let state = tempfile::tempdir().unwrap();
    let Some((engine, environment)) = embedded(state.path()).await else { return };
    if !Path::new("/usr/bin/gradle").exists() || !Path::new(MAVEN_REPO).join("junit/junit/4.x").exists() {
        eprintln!("SKIPPED: no gradle in /usr here, or no junit in {MAVEN_REPO} (gradle, junit4)");
        return;
    }
    let build = format!(
        "apply plugin: 'java'\nrepositories {{ maven {{ url \"file://{MAVEN_REPO}\" }} }}\n\
         dependencies {{ testCompile 'junit:junit:4.x' }}\n"
    );
    let files = [JAVA, &[("build.gradle", build.as_str())]].concat();
    let (profile, records, _) =
        proved(&files, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    assert!(commands(&profile).contains(&"gradle --offline test: exit 0".to_owned()), "{records:#?}");
}

#[tokio::test]
async fn a_makefile_beside_c_is_tested_in_a_container() {
    let state = tempfile::tempdir().unwrap();
    let Some((engine, environment)) = embedded(state.path()).await else { return };
    let files = &[
        ("Makefile", "all: add\n\nadd: add.c\n\tcc -o add add.c\n\ncheck: add\n\t./add\n"),
        ("add.c", "int main(void) { return 1 + 1 == 2 ? 0 : 1; }\n"),
    ];
    let (profile, records, _) = proved(files, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    assert!(commands(&profile).contains(&"make: exit 0".to_owned()), "{records:#?}");
    assert!(commands(&profile).contains(&"make check: exit 0".to_owned()), "{records:#?}");
}

#[tokio::test]
async fn a_node_package_is_tested_in_a_container() {
    let state = tempfile::tempdir().unwrap();
    let Some((engine, environment)) = embedded(state.path()).await else { return };
    if !Path::new("/usr/bin/node").is_file() {
        eprintln!("SKIPPED: no node in /usr here");
        return;
    }
    let files = &[
        ("package.json", "{\"name\": \"x\", \"scripts\": {\"test\": \"node --test\"}}"),
        ("test/a.test.js", "const test = require('node:test');\ntest('one', () => {});\n"),
    ];
    let (profile, records, _) = proved(files, &engine, &environment, &grant(), &Cancel::new()).await.unwrap();
    assert!(commands(&profile).contains(&"node --test: exit 0".to_owned()), "{records:#?}");
}
