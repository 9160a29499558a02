//! Whether the system may put in place what a package manager made of a lockfile.
//!
//! No tool has this right, and no model: it is the `bump` playbook's, and is as narrow as it can be. A lockfile follows its
//! manifest: where the operator lets dependencies change, the manifest beside it may be changed, and no denial or protected
//! path binds whoever writes it, the lockfile may be replaced as a whole.

use gloaming_api::RelPath;
use gloaming_api::tool::Decided;

use super::judge::{Judged, Reason};
use super::{Grant, ToolPermit};
use crate::glob::Spelled;
use crate::preset::FLOOR_NAME;
use crate::{Access, Denial, Layer};

/// Who writes a lockfile, for permits and records; no tool can have this name.
pub const MANAGER: &str = "package manager";

/// Lockfiles whose manager is known, and the manifest that each follows.
const LOCKFILES: &[(&str, &str)] =
    &[("Cargo.lock", "Cargo.toml"), ("package-lock.json", "package.json"), ("uv.lock", "pyproject.toml")];

/// The key that decides, as rules are named.
const KEY: &str = "change.dependencies";

impl Grant {
    /// Returns the permit to replace lockfiles by what their package manager made of them, which [`ToolPermit::decide`]
    /// decides for each.
    ///
    /// # Errors
    /// The policy keeps dependencies as they are.
    pub fn permit_lockfiles(&self) -> Result<ToolPermit, Denial> {
        if !self.change().dependencies {
            return Err(self.kept().into_denial());
        }
        Ok(ToolPermit { tool: MANAGER.to_owned(), grant: self.clone(), narrower: None })
    }

    pub(super) fn judge_lockfile(&self, path: &RelPath) -> Judged<'_> {
        let manifest = LOCKFILES.iter().find(|(name, _)| path.name() == Some(name));
        let Some(manifest) = manifest.and_then(|(_, manifest)| beside(path, manifest)) else {
            return self.own(
                Decided::Deny,
                "A package manager writes its lockfile and nothing else.".to_owned(),
                None,
            );
        };
        if !self.change().dependencies {
            return self.kept();
        }
        if let Some(denied) = self.denied(MANAGER, Access::Write, &Spelled::new(path.as_str())) {
            return denied;
        }
        let manifest = self.judge_tools_change(&manifest);
        if !manifest.allow {
            return manifest;
        }
        self.own(Decided::Allow, "It follows its manifest.".to_owned(), None)
    }

    /// The denial where dependencies are kept.
    fn kept(&self) -> Judged<'_> {
        self.own(
            Decided::Deny,
            "Manifests and lockfiles keep what they say of dependencies.".to_owned(),
            Some(
                "The operator's policy lets them change with `[change] dependencies = \"change\"`."
                    .to_owned(),
            ),
        )
    }

    /// A decision by the key, told at the operator's file that has it, or at the last one.
    fn own(&self, decided: Decided, because: String, instead: Option<String>) -> Judged<'_> {
        let operators = || self.units().iter().filter(|unit| unit.layer == Layer::Operator && !unit.extended);
        let saying = operators().find_map(|unit| Some((unit, unit.file.change.dependencies?.line)));
        let (file, line) = match saying.or_else(|| operators().next_back().map(|unit| (unit, 1))) {
            Some((unit, line)) => (unit.file.name.as_str(), line),
            None => (FLOOR_NAME, 1),
        };
        Judged {
            allow: decided == Decided::Allow,
            layer: Layer::Operator,
            file,
            line,
            reason: Reason::Own { id: KEY.to_owned(), because, instead },
        }
    }
}

fn beside(path: &RelPath, name: &str) -> Option<RelPath> {
    match path.as_str().rsplit_once('/') {
        Some((folder, _)) => RelPath::parse(&format!("{folder}/{name}")).ok(),
        None => RelPath::parse(name).ok(),
    }
}
