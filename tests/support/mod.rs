//! What every end-to-end test needs: a repository from a table of files, and the program run on it.

mod each;
mod expand;
mod left;
mod served;
mod transcript;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use each::{WORKERS, for_each_case, tell};
pub(crate) use expand::expand;
pub(crate) use left::{bow_out, branches, check_branch, ended, journal, replay_fault};
pub(crate) use served::serve;
pub(crate) use transcript::{Answer, for_each_text};

/// A folder for one test: the repository in `repo`, Gloaming's state in `home`, results in `out`.
pub(crate) struct Scene {
    dir: TempDir,
}

/// What a run of the program printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Parses standard output, which must be one JSON object and nothing else.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: stdout {:?}\nstderr {}", self.stdout, self.stderr))
    }

    /// Asserts the exit code, showing everything when it is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Scene {
    /// Makes a git repository of `files` (path, content) with one commit.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self::bare_folder();
        scene.write(files);
        scene.git(&["init", "-q", "-b", "main"]);
        scene.commit("base");
        scene
    }

    /// Makes the folders and an empty `repo` that is not a repository yet.
    pub(crate) fn bare_folder() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        // The container's user must be able to pass through.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        for name in ["repo", "home", "home/cache"] {
            std::fs::create_dir(dir.path().join(name)).expect("mkdir");
        }
        copy_components(&dir.path().join("home/cache/components"));
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Writes files into the repository's folder.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = self.repo().join(path);
            std::fs::create_dir_all(path.parent().expect("inside the repository")).expect("mkdir");
            std::fs::write(path, content).expect("write");
        }
    }

    /// Runs git in the repository and returns its standard output.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        String::from_utf8_lossy(&self.git_bytes(args)).into_owned()
    }

    /// The same, where what is printed may be no text.
    #[track_caller]
    pub(crate) fn git_bytes(&self, args: &[&str]) -> Vec<u8> {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(self.repo())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Commits everything and returns the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Returns the diff that `change` makes of the committed files, and puts them back.
    pub(crate) fn diff_of(&self, change: impl FnOnce(&Path)) -> String {
        change(&self.repo());
        self.git(&["add", "-A"]);
        let diff = self.git(&["diff", "--cached", "--binary", "--no-renames"]);
        self.git(&["reset", "-q", "--hard"]);
        diff
    }

    /// Runs the program in the scene's folder.
    pub(crate) fn gloaming(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().expect("the program runs");
        ran(output)
    }

    /// The same with variables of the environment beside the usual ones.
    pub(crate) fn gloaming_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        command.envs(env.iter().copied());
        ran(command.output().expect("gloaming starts"))
    }

    /// Returns the program's command, for tests that need a handle on the process.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gloaming"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("GLOAMING_HOME", self.home())
            .env("RUST_BACKTRACE", "1");
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            if let Ok(value) = std::env::var(name) {
                command.env(name, value);
            }
        }
        if let Ok(python) = std::env::var("GLOAMING_TEST_PYTHON") {
            command.env("VIRTUAL_ENV", python);
        }
        command
    }

    /// Judges a patch and returns the program's answer.
    pub(crate) fn verify(&self, diff: &str, more: &[&str]) -> Ran {
        let patch = self.patch_file(diff.as_bytes());
        let mut args = vec!["verify", "--repo", "repo", "--patch", &patch, "--json"];
        args.extend(more);
        self.gloaming(&args)
    }

    /// The same for a diff that may be no text, with the state in another folder than the scene's own, under the text of
    /// a policy where one is given.
    pub(crate) fn verify_in(&self, home: &Path, diff: &[u8], policy: Option<&str>) -> Ran {
        let patch = self.patch_file(diff);
        let home = home.to_string_lossy();
        let mut args = vec!["verify", "--repo", "repo", "--patch", &patch, "--json"];
        if let Some(text) = policy {
            std::fs::write(self.dir.path().join("policy.toml"), text).expect("write");
            args.extend(["--policy", "policy.toml"]);
        }
        self.gloaming_with(&args, &[("GLOAMING_HOME", &home)])
    }

    fn patch_file(&self, diff: &[u8]) -> String {
        let patch = self.dir.path().join("change.diff");
        std::fs::write(&patch, diff).expect("write");
        patch.to_string_lossy().into_owned()
    }
}

/// Puts the compiled components there, which are made once for all tests: a debug build takes seconds for it.
fn copy_components(to: &Path) {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    let from = COMPILED.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
        let made = Command::new(env!("CARGO_BIN_EXE_gloaming"))
            .args(["tools", "list", "--json"])
            .env("GLOAMING_HOME", &home)
            .output()
            .expect("the program runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        home.join("cache/components")
    });
    std::fs::create_dir(to).expect("mkdir");
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    for entry in std::fs::read_dir(from).expect("readable").flatten() {
        // Copying keeps the mode, which must be the owner's alone.
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
    }
}

/// A server of the tests on loopback, a Python script; stopped when the value is dropped.
pub(crate) struct PythonServer {
    child: Child,
    port: u16,
}

impl PythonServer {
    /// Starts `script`, which takes what it serves, a file to write its port into, and `more`.
    pub(crate) fn start(scene: &Scene, script: &str, served: &Path, more: &[&str]) -> Self {
        let port_file = scene.path().join("port");
        // The port file is a pipe: reading it waits until the server listens.
        let made = Command::new("mkfifo").arg(&port_file).status().expect("mkfifo runs");
        assert!(made.success());
        let child = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .args([served, &port_file])
            .args(more)
            .stdin(Stdio::null())
            .spawn()
            .expect("python3 runs: the tests need it");
        let mut port = String::new();
        BufReader::new(std::fs::File::open(&port_file).expect("open")).read_line(&mut port).expect("a port");
        std::fs::remove_file(&port_file).expect("remove");
        Self { child, port: port.trim().parse().expect("a port is a number") }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Finds a program of this machine's.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|found| found.is_file())
}

/// Returns the folder that `make test` has something of others installed in, and names by a variable. Without it the test
/// does not run and says so; but in CI, where nothing is to be missing.
#[track_caller]
pub(crate) fn partner(variable: &str, test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable);
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: {test} must not be skipped in CI");
        skipped(test, &format!("{variable} is not set (make test sets it)"));
    }
    folder.map(PathBuf::from)
}

/// Says that a test did not run, and why: past the harness, which shows what a test prints only when it fails.
pub(crate) fn skipped(test: &str, why: &str) {
    tell(&format!("skipped {test}: {why}\n"));
}
