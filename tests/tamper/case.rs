//! The form of a `case.toml`; README.md is the author's guide.

use std::path::Path;

use serde::Deserialize;

/// What an attack works by: the kinds that the suite has to cover, each at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Class {
    /// The change is simply wrong; no trick.
    PlainlyWrong,
    /// Patched code writes, forges or cuts off the results.
    ForgedResults,
    /// What configures the runner, the build or the toolchain.
    Configuration,
    /// What a runner loads or calls by itself.
    CollectionHook,
    /// A file that is found in the place of another.
    ShadowingModule,
    /// Tests are gone or no longer found.
    FewerTests,
    /// Tests are skipped or expected to fail.
    Skipped,
    /// Tests say less than they said.
    WeakerAssertion,
    /// Expected data changed along with the code.
    ChangedData,
    /// What the tests check with, in the code or in a library.
    WeakerHelper,
    /// Tests that cannot fail.
    VacuousTest,
    /// Code that behaves well where it notices tests.
    RecognisesTests,
    /// Results that come out differently from run to run.
    Flaky,
    /// What a reader does not see.
    HiddenText,
    /// Secrets, binaries, links, submodules.
    ForbiddenContent,
    /// Paths that policy keeps.
    ProtectedPath,
    /// Lockfiles and dependencies.
    Dependencies,
    /// The form of the patch itself.
    PatchForm,
    /// More than anybody reviews, or what hides in bulk.
    Bulk,
}

impl Class {
    pub(super) const ALL: &[Self] = &[
        Self::PlainlyWrong,
        Self::ForgedResults,
        Self::Configuration,
        Self::CollectionHook,
        Self::ShadowingModule,
        Self::FewerTests,
        Self::Skipped,
        Self::WeakerAssertion,
        Self::ChangedData,
        Self::WeakerHelper,
        Self::VacuousTest,
        Self::RecognisesTests,
        Self::Flaky,
        Self::HiddenText,
        Self::ForbiddenContent,
        Self::ProtectedPath,
        Self::Dependencies,
        Self::PatchForm,
        Self::Bulk,
    ];

    /// Returns the name a case knows it by.
    pub(super) fn name(self) -> String {
        let debug = format!("{self:?}");
        let mut name = String::new();
        for c in debug.chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.extend(c.to_lowercase());
        }
        name
    }
}

/// One attack and its benign twin.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What is tried, in a sentence.
    pub(super) title: String,
    pub(super) class: Class,
    /// A folder of `fixtures/`: the untouched repository.
    pub(super) fixture: String,
    /// What the policy says of dependencies, where it is not the standard one: `change`, `keep`.
    pub(super) dependencies: Option<String>,
    /// The verdict's codes of which the attack must get one.
    #[serde(default)]
    pub(super) expect: Vec<String>,
    /// Whether the attack is decided by reading the patch, before anything runs. Checked.
    #[serde(default)]
    pub(super) reads: bool,
    /// Whether both halves run in `make test`.
    #[serde(default)]
    pub(super) sample: bool,
    /// Why this attack passes, where it cannot be caught. There is no twin then.
    pub(super) uncaught: Option<String>,
    #[serde(default)]
    pub(super) attack: Vec<Edit>,
    /// The attack as a diff of its own, for what no edit can express.
    pub(super) attack_patch: Option<String>,
    #[serde(default)]
    pub(super) twin: Vec<Edit>,
    pub(super) twin_patch: Option<String>,
    /// Why the twin is blocked though it is right; it counts against the promise.
    pub(super) twin_blocked: Option<String>,
}

/// One change of the working tree. Exactly one of what it does is given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) file: String,
    /// Every occurrence of the text becomes `with`.
    pub(crate) replace: Option<String>,
    #[serde(default)]
    pub(crate) with: String,
    /// Added in front of the file's text.
    pub(crate) prepend: Option<String>,
    /// Added behind the file's text.
    pub(crate) append: Option<String>,
    /// The whole text of a new or replaced file.
    pub(crate) text: Option<String>,
    /// Its bytes, in hexadecimal.
    pub(crate) hex: Option<String>,
    #[serde(default)]
    pub(crate) remove: bool,
    /// Its new path.
    pub(crate) rename: Option<String>,
    /// It becomes a symbolic link to this.
    pub(crate) link: Option<String>,
    /// It becomes a submodule.
    #[serde(default)]
    pub(crate) submodule: bool,
    /// Its mode becomes 755.
    #[serde(default)]
    pub(crate) executable: bool,
    /// Its line ends become CRLF.
    #[serde(default)]
    pub(crate) crlf: bool,
}

impl Edit {
    fn ways(&self) -> usize {
        [
            self.replace.is_some(),
            self.prepend.is_some(),
            self.append.is_some(),
            self.text.is_some(),
            self.hex.is_some(),
            self.remove,
            self.rename.is_some(),
            self.link.is_some(),
            self.submodule,
            self.executable,
            self.crlf,
        ]
        .into_iter()
        .filter(|way| *way)
        .count()
    }
}

impl Case {
    /// Reads a case's file.
    pub(super) fn load(folder: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(folder.join("case.toml"))
            .map_err(|error| format!("case.toml: {error}"))?;
        Self::parse(&text)
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let case: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        case.check().map(|()| case)
    }

    /// Refuses what could not fail.
    fn check(&self) -> Result<(), String> {
        let fault = if self.title.is_empty() {
            "a case has a title"
        } else if self.attack.is_empty() == self.attack_patch.is_none() {
            "a case has an attack, as edits or as a patch"
        } else if self.uncaught.is_some()
            && (!self.expect.is_empty() || !self.twin.is_empty() || self.twin_patch.is_some())
        {
            "what is not caught passes, and has no twin"
        } else if self.uncaught.is_none() && self.twin.is_empty() == self.twin_patch.is_none() {
            "an attack has a benign twin, as edits or as a patch"
        } else if self.uncaught.is_none() && self.expect.is_empty() {
            "an attack expects a code"
        } else if self.expect.iter().any(|code| code == "ok") {
            "no attack may pass"
        } else if self.attack.iter().chain(&self.twin).any(|edit| edit.ways() != 1) {
            "an edit does one thing"
        } else {
            return Ok(());
        };
        Err(fault.to_owned())
    }
}
