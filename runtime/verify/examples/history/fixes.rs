//! The data: projects, their fixes, and what is known of the faults that their tests do not notice.

use std::path::Path;

use gloaming_api::profile::TestRunner;
use serde::Deserialize;

use crate::Fault;

/// `tests/history/fixes.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fixes {
    /// Chooses which mutants are taken where there are more than `mutants`, and the names of control tests.
    pub(crate) seed: u64,
    /// How many mutants of a fix are judged at most.
    pub(crate) mutants: usize,
    #[serde(rename = "project")]
    pub(crate) projects: Vec<Project>,
    #[serde(default, rename = "survivor")]
    pub(crate) survivors: Vec<Survivor>,
}

/// A public repository.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    /// `owner/name`.
    pub(crate) name: String,
    /// Where it is cloned from; the script reads it.
    #[serde(rename = "url")]
    pub(crate) _url: String,
    pub(crate) runner: TestRunner,
    /// The command that tests it.
    pub(crate) test: Vec<String>,
    #[serde(rename = "fix")]
    pub(crate) fixes: Vec<Fix>,
}

impl Project {
    /// The folder its clone is in.
    pub(crate) fn folder(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

/// A merged commit that changes code and adds tests; its base is its parent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fix {
    pub(crate) commit: String,
    /// What it does, in a few words.
    pub(crate) about: String,
}

/// A mutant that passes, and why nobody notices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Survivor {
    pub(crate) commit: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) mutation: String,
    /// `equivalent: …` or `untested: …`, by somebody who has read the code.
    pub(crate) why: String,
}

impl Fixes {
    #[expect(clippy::disallowed_methods, reason = "a program for people reads the file it is given")]
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let fixes: Self = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        for survivor in &fixes.survivors {
            if !survivor.why.starts_with("equivalent: ") && !survivor.why.starts_with("untested: ") {
                return Err(format!(
                    "{}: the `why` of {}:{} begins with neither `equivalent: ` nor `untested: `",
                    path.display(),
                    survivor.file,
                    survivor.line
                )
                .into());
            }
        }
        Ok(fixes)
    }

    /// Why a mutant is not noticed, where somebody has said so.
    pub(crate) fn why(&self, commit: &str, fault: &Fault) -> Option<&str> {
        self.survivors
            .iter()
            .find(|known| {
                commit.starts_with(&known.commit)
                    && known.file == fault.file
                    && known.line == fault.line
                    && known.mutation == fault.mutation
            })
            .map(|known| known.why.as_str())
    }
}
