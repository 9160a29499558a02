//! What is known of a repository: its profile as `gloaming onboard` proved it, else as it is mined, and what the operator
//! has to correct in it.
#![expect(
    clippy::disallowed_methods,
    reason = "the edge: proved profiles are kept in the operator's own data folder"
)]

use std::path::{Path, PathBuf};

use gloaming_api::profile::{CommandKind, Profile};
use gloaming_api::{Digest, RepoId};
use gloaming_policies::{Diagnostic, Grant};
use gloaming_profile::Corrections;

use crate::context::{self, Home};
use crate::failure::Failure;

/// The largest file of corrections that is read, bytes, and a fourth of the largest stored profile.
const FILE_CAP: u64 = 1 << 20;
/// Proved profiles kept of one repository: of its branches, policies and environments.
const KEPT: usize = 20;

/// Where a repository's proved profiles are, and the operator's corrections of it.
pub(crate) struct Known {
    folder: PathBuf,
    operator: Option<Corrections>,
}

impl Known {
    /// Opens what is known; `corrections` is a file that stands before the repository's own place under the data folder,
    /// `corrections/OWNER/NAME.toml`.
    pub(crate) fn open(home: &Home, repo: &RepoId, corrections: Option<&Path>) -> anyhow::Result<Self> {
        let place = home.data.join("corrections").join(format!("{repo}.toml"));
        let file = corrections.map(Path::to_owned).or_else(|| place.exists().then_some(place));
        let operator = file.as_deref().map(read_corrections).transpose()?;
        Ok(Self { folder: home.profiles_dir(repo), operator })
    }

    /// Returns the profile that the files of a checkout alone tell.
    ///
    /// # Errors
    /// The faults of the repository's own corrections.
    pub(crate) fn mined(&self, checkout: &Path) -> Result<Profile, Vec<Diagnostic>> {
        gloaming_profile::known(checkout, self.operator.as_ref())
    }

    /// Returns the profile that was proved for these very files, this policy and this environment, where one was that can
    /// be worked with; else what the files tell.
    ///
    /// # Errors
    /// The faults of the repository's own corrections.
    pub(crate) fn profile(
        &self,
        checkout: &Path,
        grant: &Grant,
        environment: &Digest,
    ) -> Result<Profile, Vec<Diagnostic>> {
        let mined = self.mined(checkout)?;
        let proved = self.proved(&mined, grant, environment);
        // That no command was proved may have been the machine's fault, and mended by now.
        Ok(proved.filter(|proved| proved.command(CommandKind::Test).is_some()).unwrap_or(mined))
    }

    /// Returns the profile that was proved for the files that another was mined from.
    pub(crate) fn proved(&self, mined: &Profile, grant: &Grant, environment: &Digest) -> Option<Profile> {
        let stored = self.file(mined, grant, environment);
        if !stored.exists() {
            return None;
        }
        let text = context::read_text(&stored, "the proved profile", FILE_CAP * 4).ok()?;
        let proved: Profile = serde_json::from_str(&text).ok()?;
        (proved.mined_from == mined.mined_from).then_some(proved)
    }

    /// Keeps a proved profile. Where it cannot be kept, it is proved again the next time.
    pub(crate) fn keep(&self, proved: &Profile, grant: &Grant, environment: &Digest) {
        let stored = self.file(proved, grant, environment);
        if let Err(error) = store(&stored, proved) {
            tracing::warn!(file = %stored.display(), %error, "cannot keep the proved profile; it will be proved again");
        }
    }

    fn file(&self, profile: &Profile, grant: &Grant, environment: &Digest) -> PathBuf {
        // What a proof holds for: the files it was mined from, what policy lets run, and where it was run.
        let key = Digest::of_json(&(&profile.mined_from, grant.digest_for_jobs(), environment));
        self.folder.join(format!("{}.json", key.hex()))
    }
}

/// Reads the operator's corrections.
fn read_corrections(path: &Path) -> anyhow::Result<Corrections> {
    let text = context::read_text(path, "the corrections", FILE_CAP)?;
    Corrections::of_operator(&path.display().to_string(), &text)
        .map_err(|faults| bad_file("the corrections do not load", &faults))
}

/// Turns the faults of the repository's own corrections into an error of use.
pub(crate) fn bad_corrections(faults: Vec<Diagnostic>) -> anyhow::Error {
    bad_file("the repository's corrections of its profile do not load", &faults)
}

/// Turns a file's faults into an error of use.
pub(crate) fn bad_file(summary: &str, faults: &[Diagnostic]) -> anyhow::Error {
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| match &fault.hint {
            Some(hint) => format!("{fault}; {hint}"),
            None => fault.to_string(),
        })
        .collect();
    Failure::usage(format!("{summary}\n{}", lines.join("\n"))).into()
}

/// Writes a proved profile, whole or not at all, and removes the oldest of too many.
fn store(stored: &Path, profile: &Profile) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let Some(folder) = stored.parent() else { return Ok(()) };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let partial = stored.with_extension(format!("{}.partial", std::process::id()));
    let text = serde_json::to_vec_pretty(profile)?;
    std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, stored)).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })?;
    let mut kept: Vec<(std::time::SystemTime, PathBuf)> = std::fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    kept.sort_unstable_by(|a, b| b.cmp(a));
    for (_, old) in kept.into_iter().skip(KEPT) {
        let _ = std::fs::remove_file(old);
    }
    Ok(())
}
