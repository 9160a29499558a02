//! What a set-up command leaves for the jobs behind it, by its package manager: where it is kept, and what is run.

use std::collections::BTreeMap;

use super::python;
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
    env: Env,
    /// Further ones of the job that fetches.
    filling: Env,
    /// Further ones of the jobs behind it.
    filled: Env,
}

type Env = &'static [(&'static str, &'static str)];

const CARGO_REGISTRY: Part = Part::plain("cargo-registry", CARGO_REGISTRY_MOUNT);
const CARGO_GIT: Part = Part::plain("cargo-git", CARGO_GIT_MOUNT);
const GO_MODULES: Part = Part {
    env: &[("GOMODCACHE", GO_MODULES_MOUNT)],
    // Folders that nobody may write to nobody but root can remove.
    filling: &[("GOFLAGS", "-modcacherw")],
    ..Part::plain("go-modules", GO_MODULES_MOUNT)
};
const VENV: Part = Part {
    env: python::IN_VENV,
    filling: python::WHILE_FILLED,
    filled: python::ONCE_FILLED,
    ..Part::plain("venv", VENV_MOUNT)
};

impl Part {
    const fn plain(name: &'static str, mount: &'static str) -> Self {
        Self { name, mount, env: &[], filling: &[], filled: &[] }
    }

    fn ecosystem(&self) -> Ecosystem {
        match self.name {
            "go-modules" => Ecosystem::Go,
            "venv" => Ecosystem::Python,
            _ => Ecosystem::Rust,
        }
    }
}

/// Whose package manager a command is.
fn of_program(words: &[&str]) -> Option<Ecosystem> {
    Some(match words {
        ["cargo", ..] => Ecosystem::Rust,
        ["npm" | "pnpm" | "yarn", ..] => Ecosystem::Node,
        ["go", ..] => Ecosystem::Go,
        ["pip" | "pip3" | "python" | "python3" | "uv" | "poetry" | "pdm" | "pipenv", ..] => Ecosystem::Python,
        _ => return None,
    })
}

/// Returns the folders outside of a tree that a package manager of its own name fetches into.
pub(crate) fn parts_of(words: &[&str]) -> Vec<Part> {
    let of = of_program(words);
    PARTS.iter().copied().filter(|part| Some(part.ecosystem()) == of).collect()
}

const PARTS: &[Part] = &[CARGO_REGISTRY, CARGO_GIT, GO_MODULES, VENV];

/// What is run for a set-up command, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The commands, in order; one is the profile's, or made of it.
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
            [program @ ("mvn" | "./mvnw" | "gradle" | "./gradlew"), ..] => {
                return Err(format!(
                    "{program} fetches more while it builds than it can be told to fetch before, so what it fetches is \
                     not kept"
                ));
            }
            words => of_program(words).map_or_else(|| ecosystems.to_vec(), |one| vec![one]),
        };
        let parts: Vec<Part> = PARTS.iter().copied().filter(|part| of.contains(&part.ecosystem())).collect();
        let in_tree = of.contains(&Ecosystem::Node) || of.contains(&Ecosystem::Python);
        if parts.is_empty() && !in_tree {
            return Err(format!("nothing is known of where `{}` puts what it fetches", words.join(" ")));
        }
        let commands = match parts.contains(&VENV) {
            true => python::commands(&command.argv),
            false => vec![command.argv.clone()],
        };
        Ok(Self { commands, parts, in_tree, ecosystems: of })
    }

    /// Returns the variables of the job that fetches: the command's own, and those that say where what it fetches is kept,
    /// which no command's own takes the place of.
    pub(crate) fn env(&self, command: &Command) -> BTreeMap<String, String> {
        let mut env = owned(self.parts.iter().flat_map(|part| part.filling));
        env.extend(command.env.clone());
        env.extend(owned(self.parts.iter().flat_map(|part| part.env)));
        if self.parts.contains(&VENV) {
            env.retain(|name, _| !python::COPYING.contains(&name.as_str()));
        }
        env
    }
}

/// Returns the parts of these names; what is no part any more is left out.
pub(crate) fn parts_named(names: &[String]) -> Vec<Part> {
    PARTS.iter().copied().filter(|part| names.iter().any(|name| name == part.name)).collect()
}

/// Returns the variables that lead a job to some parts that have been filled.
pub(crate) fn env_of(parts: &[Part]) -> BTreeMap<String, String> {
    owned(parts.iter().flat_map(|part| part.env.iter().chain(part.filled)))
}

fn owned(env: impl Iterator<Item = &'static (&'static str, &'static str)>) -> BTreeMap<String, String> {
    env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
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
        for line in ["uv sync --frozen", "poetry install", "pdm sync", "pipenv sync --dev"] {
            assert_eq!(show(line, &[]), "venv + tree", "{line}");
        }
        assert!(show("mvn -B dependency:go-offline", &[]).contains("not kept"));
    }
    #[test]
    fn no_command_of_its_own_leads_elsewhere_what_is_to_be_kept() {
        let mut sync = command("uv sync");
        for (name, value) in
            [("UV_PROJECT_ENVIRONMENT", "/workspace/.venv"), ("UV_NO_EDITABLE", "1"), ("A", "b")]
        {
            sync.env.insert(name.to_owned(), value.to_owned());
        }
        let plan = Plan::of(&sync, &[]).unwrap();
        let env = plan.env(&sync);
        assert_eq!(env["UV_PROJECT_ENVIRONMENT"], VENV_MOUNT);
        assert_eq!((env["A"].as_str(), env["UV_LINK_MODE"].as_str()), ("b", "copy"));
        assert!(!env.contains_key("UV_NO_EDITABLE") && !env.contains_key("UV_OFFLINE"));
        assert_eq!(env_of(&plan.parts)["UV_OFFLINE"], "1");
        let mut download = command("go mod download");
        download.env.insert("GOFLAGS".to_owned(), "-mod=mod".to_owned());
        assert_eq!(Plan::of(&download, &[]).unwrap().env(&download)["GOFLAGS"], "-mod=mod");
    }
}
