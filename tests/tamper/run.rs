//! Laying out a fixture, making the patch, and asking the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::case::{Case, Edit};
use crate::support::{Scene, expand};

/// Which patch of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Attack,
    Twin,
}

/// What came of one half of a case.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) half: Half,
    /// The verdict's code, `ok` for a pass.
    pub(super) code: String,
    pub(super) summary: String,
    /// What does not hold, in words.
    pub(super) faults: Vec<String>,
    pub(super) took: Duration,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.code == "ok"
    }
}

/// Programs of a fixture that may be missing, by how its name begins.
const TOOLCHAINS: &[(&str, &str, &str)] = &[
    ("go", "go", "the distribution's package is golang-go"),
    ("node", "node", "the distribution's package is nodejs"),
    ("rust", "cargo", "see rustup.rs"),
];

/// Says what is missing to run a fixture.
pub(super) fn missing(fixture: &str) -> Option<String> {
    if fixture.starts_with("pytest") && std::env::var_os("GLOAMING_TEST_PYTHON").is_none() {
        return Some(
            "GLOAMING_TEST_PYTHON names no virtual environment with pytest (make test sets it)".into(),
        );
    }
    static FOUND: OnceLock<Vec<bool>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        TOOLCHAINS.iter().map(|(_, program, _)| crate::support::program(program).is_some()).collect()
    });
    let row = TOOLCHAINS.iter().position(|(head, ..)| fixture.starts_with(head))?;
    let (_, program, hint) = TOOLCHAINS[row];
    (!found[row]).then(|| format!("there is no {program}; {hint}"))
}

/// The fixtures as repositories of one commit each. All cases of a fixture share its base and one state folder, so that
/// what is known of the base is kept between them as it is between two patches of a user's.
pub(super) struct Bases {
    fixtures: PathBuf,
    made: Mutex<BTreeMap<String, Arc<Scene>>>,
}

impl Bases {
    pub(super) fn new(fixtures: PathBuf) -> Self {
        Self { fixtures, made: Mutex::default() }
    }

    fn of(&self, fixture: &str) -> Result<Arc<Scene>, String> {
        let mut made = self.made.lock().expect("no panic holds it");
        if let Some(scene) = made.get(fixture) {
            return Ok(scene.clone());
        }
        let scene = Scene::bare_folder();
        copy_folder(&self.fixtures.join(fixture), &scene.repo())?;
        scene.git(&["init", "-q", "-b", "main"]);
        scene.commit("base");
        let scene = Arc::new(scene);
        made.insert(fixture.to_owned(), scene.clone());
        Ok(scene)
    }
}

/// Judges one half of a case.
pub(super) fn judge(bases: &Bases, case: &Case, half: Half) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome {
        half,
        code: String::new(),
        summary: String::new(),
        faults: Vec::new(),
        took: Duration::default(),
    };
    match verdict_of(bases, case, half) {
        Ok(verdict) => hold(case, &verdict, &mut outcome),
        Err(fault) => outcome.faults.push(fault),
    }
    outcome.took = began.elapsed();
    outcome
}

/// Compares a verdict with what the case says of it.
fn hold(case: &Case, verdict: &Value, outcome: &mut Outcome) {
    let text = |name: &str| verdict[name].as_str().unwrap_or_default().to_owned();
    outcome.code = text("code");
    outcome.summary = text("summary");
    let (kind, code) = (text("verdict"), outcome.code.clone());
    if (kind == "pass") != (code == "ok") {
        outcome.faults.push(format!("the verdict {kind} has the code {code}"));
    }
    let passes = code == "ok";
    let mut fault = |text: String| outcome.faults.push(text);
    match outcome.half {
        Half::Attack if case.uncaught.is_some() => {
            if !passes {
                fault(format!("is caught now ({code}): it has a place among the others"));
            }
        }
        Half::Attack if passes => fault("the attack passes".into()),
        Half::Attack => {
            if !case.expect.contains(&code) {
                fault(format!("expected {}, was judged {code}", case.expect.join(" or ")));
            }
            let ran = verdict["steps"].as_array().is_some_and(|steps| {
                steps.iter().any(|step| step["step"] == "V7" && step["result"] != "skipped")
                    || steps.iter().any(|step| step["step"] == "V3" && step["result"] != "skipped")
            });
            if case.reads && ran {
                fault("was to be decided by reading, and something ran".into());
            }
        }
        Half::Twin => match (&case.twin_blocked, passes) {
            (None, false) => fault(format!("the benign twin is judged {code}: {}", text("summary"))),
            (Some(_), true) => fault("the twin passes now: `twin_blocked` is out of date".into()),
            _ => {}
        },
    }
}

fn verdict_of(bases: &Bases, case: &Case, half: Half) -> Result<Value, String> {
    let (edits, patch) = match half {
        Half::Attack => (&case.attack, &case.attack_patch),
        Half::Twin => (&case.twin, &case.twin_patch),
    };
    let base = bases.of(&case.fixture)?;
    let scene = Scene::bare_folder();
    // As it is: file modes and times, and the commit.
    let copied = Command::new("cp").arg("-a").arg(base.repo().join(".")).arg(scene.repo()).status();
    if !copied.map_err(|error| format!("cp: {error}"))?.success() {
        return Err("the base could not be copied".into());
    }
    let diff = match patch {
        Some(text) => expand(text)?.into_bytes(),
        None => {
            for edit in edits {
                apply(&scene.repo(), edit)?;
            }
            scene.git(&["add", "-A"]);
            for edit in edits.iter().filter(|edit| edit.submodule) {
                let entry = format!("160000,{},{}", "5".repeat(40), expand(&edit.file)?);
                scene.git(&["update-index", "--add", "--cacheinfo", &entry]);
            }
            let diff = scene.git_bytes(&["diff", "--cached", "--binary", "--no-renames"]);
            scene.git(&["reset", "-q", "--hard"]);
            diff
        }
    };
    if diff.is_empty() {
        return Err("the edits change nothing".into());
    }
    let policy = case.dependencies.as_deref().map(policy_on_dependencies);
    let ran = scene.verify_in(&base.home(), &diff, policy.as_deref());
    // What is no verdict (the engine broke, the disk is full) is told as it is.
    let no_verdict = || format!("exit {}, no verdict: {} {}", ran.code, ran.stdout.trim(), ran.stderr.trim());
    let verdict: Value = serde_json::from_str(&ran.stdout).map_err(|_| no_verdict())?;
    if verdict["code"].is_string() { Ok(verdict) } else { Err(no_verdict()) }
}

/// A policy that lets a patch write everything, and says this of dependencies.
fn policy_on_dependencies(may: &str) -> String {
    format!(
        "schema = 1\n\n[change]\ndependencies = \"{may}\"\n\n[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\"]\n"
    )
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for entry in entries.flatten() {
        // A fixture's own manifest would make the project's tools take it for theirs.
        let name = entry.file_name().to_string_lossy().into_owned();
        let to = to.join(name.strip_suffix(".in").unwrap_or(&name));
        let done = if entry.path().is_dir() {
            std::fs::create_dir(&to)
                .map_err(|error| error.to_string())
                .and_then(|()| copy_folder(&entry.path(), &to))
        } else {
            std::fs::copy(entry.path(), &to).map(drop).map_err(|error| error.to_string())
        };
        done.map_err(|error| format!("{}: {error}", entry.path().display()))?;
    }
    Ok(())
}

/// Makes one change of the working tree.
pub(crate) fn apply(root: &Path, edit: &Edit) -> Result<(), String> {
    let name = expand(&edit.file)?;
    let path = root.join(&name);
    let failed = |error: std::io::Error| format!("{name}: {error}");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let old = || std::fs::read_to_string(&path).map_err(failed);
    let write = |text: String| std::fs::write(&path, text).map_err(failed);
    if let Some(from) = &edit.replace {
        let (old, from) = (old()?, expand(from)?);
        if !old.contains(&from) {
            return Err(format!("{name} does not hold {from:?}"));
        }
        write(old.replace(&from, &expand(&edit.with)?))
    } else if let Some(text) = &edit.prepend {
        write(expand(text)? + &old()?)
    } else if let Some(text) = &edit.append {
        write(old()? + &expand(text)?)
    } else if let Some(text) = &edit.text {
        write(expand(text)?)
    } else if let Some(hex) = &edit.hex {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes: Option<Vec<u8>> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok())
            .collect();
        std::fs::write(&path, bytes.ok_or_else(|| format!("{name}: not hexadecimal"))?).map_err(failed)
    } else if edit.remove {
        std::fs::remove_file(&path).map_err(failed)
    } else if let Some(to) = &edit.rename {
        let to = root.join(expand(to)?);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::rename(&path, to).map_err(failed)
    } else if let Some(target) = &edit.link {
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(target, &path).map_err(failed)
    } else if edit.executable {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(failed)
    } else if edit.crlf {
        write(old()?.replace('\n', "\r\n"))
    } else {
        Ok(()) // a submodule is put into the index alone
    }
}
