//! WIT as text: the contract's own, and what is given beside a component.
#![expect(
    clippy::disallowed_methods,
    reason = "the operator's own files, read when a component is registered"
)]

use std::path::Path;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use wit_parser::{Resolve, SourceMap, UnresolvedPackageGroup};

use crate::SandboxError;

/// The contract's own text. Components keep no doc comments of interfaces they import.
const CONTRACT: [(&str, &str); 3] = [
    ("tool.wit", include_str!("../../../wit/tool.wit")),
    ("tools.wit", include_str!("../../../wit/tools.wit")),
    ("outline.wit", include_str!("../../../wit/outline.wit")),
];

/// The most files and bytes that are read of a folder; the worlds of WASI together have a tenth of that.
const FILES: usize = 500;
const BYTES: u64 = 4 << 20;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Returns the contract's files that a component of somebody else's is built against: (name, text).
pub fn contract_files() -> impl Iterator<Item = (&'static str, &'static str)> {
    // Our own tools' worlds are nobody else's business.
    CONTRACT.into_iter().filter(|(name, _)| *name == "tool.wit")
}

/// The WIT that a component was made from. Many toolchains lose its doc comments, and a tool's description
/// and those of its arguments are made of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wit(Vec<WitFile>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitFile {
    /// Its path in the folder that was given, with `/`.
    path: String,
    text: String,
}

impl Wit {
    /// Takes one file's text. It may use the contract's interfaces.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![WitFile { path: "component.wit".to_owned(), text: text.into() }])
    }

    /// Reads a WIT file, or a folder as other tools take one: `*.wit`, and its dependencies in `deps/*.wit`
    /// and `deps/*/*.wit`. What it holds of `gloaming:tool` may be left out.
    pub fn read(path: &Path) -> Result<Self, SandboxError> {
        let failed = |error: std::io::Error| SandboxError::Wit(format!("{}: {error}", path.display()).into());
        if !path.metadata().map_err(failed)?.is_dir() {
            return Ok(Self::text(std::fs::read_to_string(path).map_err(failed)?));
        }
        let mut reader = Reader { files: Vec::new(), bytes: 0 };
        reader.folder(path, "").map_err(failed)?;
        let deps = path.join("deps");
        if deps.is_dir() {
            reader.folder(&deps, "deps/").map_err(failed)?;
            for entry in sorted(&deps).map_err(failed)? {
                if deps.join(&entry).is_dir() {
                    reader.folder(&deps.join(&entry), &format!("deps/{entry}/")).map_err(failed)?;
                }
            }
        }
        if reader.files.is_empty() {
            return Err(SandboxError::Wit(format!("{} holds no .wit file", path.display()).into()));
        }
        Ok(Self(reader.files))
    }

    pub(crate) fn parse(&self) -> Result<Resolve, SandboxError> {
        let mut main = SourceMap::new();
        let mut deps: Vec<(&str, SourceMap)> = Vec::new();
        for file in &self.0 {
            let Some(dependency) = file.path.strip_prefix("deps/") else {
                main.push_str(&file.path, file.text.as_str());
                continue;
            };
            // A folder is one package, and so is a file that lies there alone.
            let package = dependency.split('/').next().unwrap_or(dependency);
            if deps.last().is_none_or(|(last, _)| *last != package) {
                deps.push((package, SourceMap::new()));
            }
            if let Some((_, sources)) = deps.last_mut() {
                sources.push_str(&file.path, file.text.as_str());
            }
        }
        let contract = parsed(contract_sources()).map_err(SandboxError::Wit)?;
        let main = parsed(main).map_err(SandboxError::Wit)?;
        let mut groups = Vec::new();
        for (_, sources) in deps {
            let group = parsed(sources).map_err(SandboxError::Wit)?;
            // Theirs may be an older text of the same version.
            if group.main.name != contract.main.name {
                groups.push(group);
            }
        }
        groups.push(contract);
        let mut resolve = Resolve::new();
        match resolve.push_groups(main, groups) {
            Ok(_) => Ok(resolve),
            Err(error) => Err(SandboxError::Wit(error.render(&resolve.source_map).into())),
        }
    }
}

struct Reader {
    files: Vec<WitFile>,
    bytes: u64,
}

impl Reader {
    fn folder(&mut self, folder: &Path, prefix: &str) -> std::io::Result<()> {
        for name in sorted(folder)? {
            let path = folder.join(&name);
            if !name.ends_with(".wit") || !path.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            self.bytes += text.len() as u64;
            if self.files.len() == FILES || self.bytes > BYTES {
                let most = format!("more than {FILES} files or {} MiB of WIT", BYTES >> 20);
                return Err(std::io::Error::other(most));
            }
            self.files.push(WitFile { path: format!("{prefix}{name}"), text });
        }
        Ok(())
    }
}

/// The names in a folder; those that are not UTF-8 are no WIT's.
fn sorted(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// The contract, parsed.
pub(crate) fn contract() -> Option<&'static Resolve> {
    static PARSED: OnceLock<Option<Resolve>> = OnceLock::new();
    let parse = || {
        let mut resolve = Resolve::new();
        resolve.push_group(parsed(contract_sources()).ok()?).ok()?;
        Some(resolve)
    };
    PARSED.get_or_init(parse).as_ref()
}

fn contract_sources() -> SourceMap {
    let mut sources = SourceMap::new();
    for (name, text) in CONTRACT {
        sources.push_str(name, text);
    }
    sources
}

fn parsed(sources: SourceMap) -> Result<UnresolvedPackageGroup, Cause> {
    sources.parse().map_err(|(sources, error)| error.render(&sources).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_parses() {
        assert!(contract().is_some());
    }

    #[test]
    fn a_folder_is_read_with_its_dependencies_and_its_own_contract_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("b.wit", "interface shared { use other:one/i.{t}; use other:two/i.{u}; f: func(t: t, u: u); }");
        put("a.wit", "package acme:x; world w { import gloaming:tool/log@0.1.0; export shared; }");
        put("deps/one.wit", "package other:one; interface i { type t = u32; }");
        put("deps/two/i.wit", "package other:two; interface i { type u = u32; }");
        put("deps/gloaming-tool/tool.wit", "package gloaming:tool@0.1.0; interface log {}");
        put("deps/README.md", "");
        let wit = Wit::read(dir.path()).unwrap();
        let resolve = wit.parse().unwrap();
        let packages: Vec<String> = resolve.packages.iter().map(|(_, p)| p.name.to_string()).collect();
        assert_eq!(packages.len(), 4, "{packages:?}");
        let log = resolve.interfaces.iter().find(|(_, i)| i.name.as_deref() == Some("log")).unwrap().1;
        assert!(log.functions.contains_key("log"), "the contract is this host's");
        assert_eq!(serde_json::from_value::<Wit>(serde_json::to_value(&wit).unwrap()).unwrap(), wit);
    }

    #[test]
    fn what_cannot_be_read_or_parsed_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let told = |error: SandboxError| std::error::Error::source(&error).unwrap().to_string();
        assert!(told(Wit::read(dir.path()).unwrap_err()).ends_with("holds no .wit file"));
        assert!(told(Wit::read(&dir.path().join("none")).unwrap_err()).contains("No such file"));
        let text =
            told(Wit::text("package a:b;\nworld w { export f: func(x: nothing); }").parse().unwrap_err());
        assert!(text.contains("component.wit:2:"), "{text}");
    }
}
