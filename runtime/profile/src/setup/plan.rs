//! What a set-up command leaves for the jobs behind it, by its package manager: where it is kept, and what is run.

use std::collections::BTreeMap;

use gloaming_api::profile::{Command, Ecosystem};
use gloaming_jobs::{CARGO_GIT_MOUNT, CARGO_REGISTRY_MOUNT, GO_MODULES_MOUNT, VENV_MOUNT};

/// A folder of a cache that jobs see at a place of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name in the cache.
    pub(crate) name: &'static str,
    /// Where jobs see it.
    pub(crate) mount: &'static str,
    /// Variables that lead to it, in the job that fetches and in those behind it.
    env: &'static [(&'static str, &'static str)],
}

const CARGO_REGISTRY: Part = Part { name: "cargo-registry", mount: CARGO_REGISTRY_MOUNT, env: &[] };
const CARGO_GIT: Part = Part { name: "cargo-git", mount: CARGO_GIT_MOUNT, env: &[] };
const GO_MODULES: Part =
    Part { name: "go-modules", mount: GO_MODULES_MOUNT, env: &[("GOMODCACHE", GO_MODULES_MOUNT)] };
const VENV: Part = Part { name: "venv", mount: VENV_MOUNT, env: &[("VIRTUAL_ENV", VENV_MOUNT)] };

const PARTS: &[Part] = &[CARGO_REGISTRY, CARGO_GIT, GO_MODULES, VENV];

/// Makes the virtual environment. What the jobs' own Python has is seen in it, as before, also where that is a virtual
/// environment itself; pip comes from there, so that no `ensurepip` is needed.
const MAKE_VENV: &str = "\
import os, site, sys, sysconfig, venv
folder = sys.argv[1]
venv.EnvBuilder(system_site_packages=True, symlinks=True, with_pip=False).create(folder)
if sys.prefix != sys.base_prefix:
    packages = sysconfig.get_path('purelib', 'venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix', {'base': folder})
    with open(os.path.join(packages, 'gloaming-outer.pth'), 'w') as file:
        file.write('\\n'.join(site.getsitepackages()) + '\\n')
";

/// What is run for a set-up command, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The commands, in order; the last is the profile's, or made of it.
    pub(crate) commands: Vec<Vec<String>>,
    /// The folders outside of the tree.
    pub(crate) parts: Vec<Part>,
    /// Whether the folders that the manager makes in the tree are kept.
    pub(crate) in_tree: bool,
    /// Whose files say what is fetched.
    pub(crate) ecosystems: Vec<Ecosystem>,
}

impl Plan {
    /// Returns what is done for a command; one whose program is not known may fetch for any of the languages.
    ///
    /// # Errors
    /// Why what the command fetches cannot be kept, in words for people.
    pub(crate) fn of(command: &Command, ecosystems: &[Ecosystem]) -> Result<Self, String> {
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let of = match words.as_slice() {
            ["cargo", ..] => vec![Ecosystem::Rust],
            ["npm" | "pnpm" | "yarn", ..] => vec![Ecosystem::Node],
            ["go", ..] => vec![Ecosystem::Go],
            ["pip" | "pip3" | "python" | "python3", ..] => vec![Ecosystem::Python],
            [program @ ("uv" | "poetry" | "pdm" | "pipenv"), ..] => {
                return Err(format!(
                    "{program} keeps an environment of its own, which is not carried from one job to the next"
                ));
            }
            [program @ ("mvn" | "./mvnw" | "gradle" | "./gradlew"), ..] => {
                return Err(format!(
                    "{program} fetches more while it builds than it can be told to fetch before, so what it fetches is \
                     not kept"
                ));
            }
            _ => ecosystems.to_vec(),
        };
        let parts = PARTS.iter().copied().filter(|part| {
            of.contains(&match part.name {
                "go-modules" => Ecosystem::Go,
                "venv" => Ecosystem::Python,
                _ => Ecosystem::Rust,
            })
        });
        let parts: Vec<Part> = parts.collect();
        let in_tree = of.contains(&Ecosystem::Node) || of.contains(&Ecosystem::Python);
        if parts.is_empty() && !in_tree {
            return Err(format!("nothing is known of where `{}` puts what it fetches", words.join(" ")));
        }
        let mut commands = Vec::new();
        if parts.contains(&VENV) {
            commands.push(["python3", "-c", MAKE_VENV, VENV_MOUNT].map(str::to_owned).to_vec());
        }
        commands.push(editable(&command.argv));
        Ok(Self { commands, parts, in_tree, ecosystems: of })
    }

    /// Returns the variables of the job that fetches beyond the command's own.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        let mut env = env_of(&self.parts);
        if self.parts.contains(&GO_MODULES) {
            // Folders that nobody may write to nobody but root can remove.
            env.insert("GOFLAGS".to_owned(), "-modcacherw".to_owned());
        }
        env
    }
}

/// Returns the parts of these names; what is no part any more is left out.
pub(crate) fn parts_named(names: &[String]) -> Vec<Part> {
    PARTS.iter().copied().filter(|part| names.iter().any(|name| name == part.name)).collect()
}

/// Returns the variables that lead to some parts.
pub(crate) fn env_of(parts: &[Part]) -> BTreeMap<String, String> {
    let env = parts.iter().flat_map(|part| part.env);
    env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Returns a pip command that installs the project itself as editable. A copy of the base's code among the packages would
/// be what the tests of a patch import, and no fault of the patch would ever be seen.
fn editable(argv: &[String]) -> Vec<String> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    if !matches!(words.as_slice(), ["pip" | "pip3", "install", ..] | [_, "-m", "pip", "install", ..]) {
        return argv.to_vec();
    }
    // The options of pip's whose value is a path or an address and no package.
    const VALUED: &[&str] = &[
        "-e",
        "--editable",
        "-r",
        "--requirement",
        "-c",
        "--constraint",
        "-f",
        "--find-links",
        "-i",
        "--index-url",
        "--extra-index-url",
        "--cache-dir",
        "--src",
        "--log",
        "--cert",
        "--group",
    ];
    let mut made = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let path = word.split('[').next().unwrap_or(word).trim_end_matches('/');
        let archive = [".whl", ".gz", ".zip", ".bz2", ".xz", ".tar"].iter().any(|end| path.ends_with(end));
        let project = (path == "." || path.starts_with("./") || path.starts_with("../")) && !archive;
        if project && !VALUED.contains(&words[at.saturating_sub(1)]) {
            made.push("-e".to_owned());
        }
        made.push((*word).to_owned());
    }
    made
}

#[cfg(test)]
mod tests {
    use gloaming_api::RelPath;
    use gloaming_api::profile::{CommandKind, Source};

    use super::*;

    fn command(line: &str) -> Command {
        Command {
            kind: CommandKind::Install,
            argv: line.split(' ').map(str::to_owned).collect(),
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            runner: None,
            source: Source { file: RelPath::root(), line: 1, because: String::new() },
            proof: None,
        }
    }

    #[test]
    fn each_manager_has_its_own_folders_and_a_reason_where_it_has_none() {
        let show = |line: &str, ecosystems: &[Ecosystem]| match Plan::of(&command(line), ecosystems) {
            Ok(plan) => {
                let names: Vec<&str> = plan.parts.iter().map(|part| part.name).collect();
                format!("{}{}", names.join(" "), if plan.in_tree { " + tree" } else { "" })
            }
            Err(why) => why,
        };
        assert_eq!(show("cargo fetch", &[]), "cargo-registry cargo-git");
        assert_eq!(show("npm ci", &[Ecosystem::Rust]), " + tree");
        assert_eq!(show("go mod download", &[]), "go-modules");
        assert_eq!(show("python3 -m pip install -r r.txt", &[]), "venv + tree");
        assert_eq!(show("make deps", &[Ecosystem::Node, Ecosystem::Rust]), "cargo-registry cargo-git + tree");
        assert_eq!(
            show("make deps", &[Ecosystem::C]),
            "nothing is known of where `make deps` puts what it fetches"
        );
        assert_eq!(
            show("poetry install", &[Ecosystem::Python]),
            "poetry keeps an environment of its own, which is not carried from one job to the next"
        );
        assert!(show("mvn -B dependency:go-offline", &[]).contains("not kept"));
    }

    #[test]
    fn no_copy_of_the_projects_own_code_is_installed() {
        let made = |line: &str| editable(&command(line).argv).join(" ");
        for (given, expect) in [
            ("python3 -m pip install .", "python3 -m pip install -e ."),
            ("python3 -m pip install .[dev,test]", "python3 -m pip install -e .[dev,test]"),
            ("pip install ./sub -r r.txt", "pip install -e ./sub -r r.txt"),
            ("python3 -m pip install -e . -e ./b", "python3 -m pip install -e . -e ./b"),
            ("python3 -m pip install -r ./r.txt -c ./c.txt", "python3 -m pip install -r ./r.txt -c ./c.txt"),
            ("python3 -m pip install ./vendor/a.whl", "python3 -m pip install ./vendor/a.whl"),
            ("npm install .", "npm install ."),
        ] {
            assert_eq!(made(given), expect);
        }
    }
}
