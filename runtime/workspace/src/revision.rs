//! From the words a user writes for a revision to a commit.

use std::collections::HashMap;
use std::path::Path;

use crate::files::read_small;
use crate::locate::{Facts, Location, RefFormat};
use crate::store::{Store, Window};
use crate::{CommitId, RepoError, is_object_id};

/// Packed refs of the largest public repositories are tens of megabytes.
const PACKED_LIMIT: u64 = 256 << 20;

/// A repository's refs, read once.
pub(crate) struct Refs<'a> {
    location: &'a Location,
    /// Refs in one file: packed ones, or all of them where git had to read them.
    listed: HashMap<String, String>,
    /// Whether there are loose refs to look at.
    loose: bool,
    /// HEAD, where it is not a file.
    head: Option<String>,
}

/// What HEAD names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Head {
    /// An object.
    Object(String),
    /// A branch without commits, by its short name.
    Unborn(String),
}

impl<'a> Refs<'a> {
    pub(crate) fn read(store: &Store, location: &'a Location, facts: &Facts) -> Result<Self, RepoError> {
        match facts.refs {
            RefFormat::Files => {
                let file = location.common_dir.join("packed-refs");
                let packed = read_small(&file, PACKED_LIMIT)?.unwrap_or_default();
                Ok(Self { location, listed: parse_packed(&packed), loose: true, head: None })
            }
            RefFormat::Reftable => {
                let shared = Window::open(&store.scratch, location, facts, &location.common_dir)?;
                let own = Window::open(&store.scratch, location, facts, &location.git_dir)?;
                let symbolic = own.git("read HEAD", "symbolic-ref").args(["-q", "HEAD"]).run()?;
                let head = if symbolic.success {
                    format!("ref: {}", String::from_utf8_lossy(&symbolic.stdout).trim())
                } else {
                    let detached = own.git("read HEAD", "rev-parse").args(["--verify", "HEAD"]).output()?;
                    String::from_utf8_lossy(&detached).trim().to_owned()
                };
                Ok(Self { location, listed: shared.refs()?, loose: false, head: Some(head) })
            }
        }
    }

    /// Returns HEAD's value.
    pub(crate) fn head(&self) -> Result<Head, RepoError> {
        let malformed = || RepoError::Malformed {
            path: self.location.git_dir.join("HEAD"),
            why: "HEAD is not a ref".into(),
        };
        let mut text = match &self.head {
            Some(text) => text.clone(),
            None => self.file(&self.location.git_dir, "HEAD")?.ok_or_else(malformed)?,
        };
        // git gives up after five links as well.
        for _ in 0..5 {
            let Some(target) = text.strip_prefix("ref:").map(str::trim) else {
                return if is_object_id(&text) { Ok(Head::Object(text)) } else { Err(malformed()) };
            };
            if !is_ref_name(target) {
                return Err(malformed());
            }
            match self.raw(target)? {
                Some(next) => text = next,
                None => {
                    let branch = target.strip_prefix("refs/heads/").unwrap_or(target);
                    return Ok(Head::Unborn(branch.to_owned()));
                }
            }
        }
        Err(malformed())
    }

    /// Whether any branch or tag exists.
    pub(crate) fn any(&self) -> bool {
        fn holds_file(dir: &Path, depth: usize) -> bool {
            let Ok(entries) = std::fs::read_dir(dir) else { return false };
            entries.flatten().any(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => depth < 20 && holds_file(&entry.path(), depth + 1),
                Ok(kind) => kind.is_file() || kind.is_symlink(),
                Err(_) => false,
            })
        }
        !self.listed.is_empty() || (self.loose && holds_file(&self.location.common_dir.join("refs"), 0))
    }

    /// Returns the object a full ref name stands for.
    pub(crate) fn object(&self, name: &str) -> Result<Option<String>, RepoError> {
        let mut name = name.to_owned();
        for _ in 0..5 {
            let Some(text) = self.raw(&name)? else { return Ok(None) };
            match text.strip_prefix("ref:").map(str::trim) {
                Some(target) if is_ref_name(target) => name = target.to_owned(),
                Some(_) => return Ok(None),
                None => return Ok(is_object_id(&text).then_some(text)),
            }
        }
        Ok(None)
    }

    fn raw(&self, name: &str) -> Result<Option<String>, RepoError> {
        if self.loose
            && let Some(text) = self.file(&self.location.common_dir, name)?
        {
            return Ok(Some(text));
        }
        Ok(self.listed.get(name).cloned())
    }

    fn file(&self, dir: &Path, name: &str) -> Result<Option<String>, RepoError> {
        let bytes = read_small(&dir.join(name), 64 * 1024)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }
}

fn parse_packed(bytes: &[u8]) -> HashMap<String, String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter(|line| !line.starts_with(['#', '^']))
        .filter_map(|line| line.split_once(' '))
        .filter(|(oid, _)| is_object_id(oid))
        .map(|(oid, name)| (name.to_owned(), oid.to_owned()))
        .collect()
}

/// Whether a name can be a ref's file: what `git check-ref-format` asks, as far as our looking it up goes.
fn is_ref_name(name: &str) -> bool {
    name.starts_with("refs/") && is_ref_path(name)
}

fn is_ref_path(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 1024
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
        && !name.contains("..")
        && !name.contains("@{")
        && !name.bytes().any(|b| b <= b' ' || b == 0x7f || b"~^:?*[\\".contains(&b))
}

/// Resolves `rev` (HEAD for none) to a commit that is there.
pub(crate) fn resolve(
    store: &Store,
    location: &Location,
    facts: &Facts,
    rev: Option<&str>,
) -> Result<CommitId, RepoError> {
    let refs = Refs::read(store, location, facts)?;
    let asked = rev.unwrap_or("HEAD");
    let unknown = || RepoError::UnknownRevision { path: location.root.clone(), rev: asked.to_owned() };
    let (name, suffix) = asked.split_at(asked.find(['~', '^']).unwrap_or(asked.len()));
    if !is_suffix(suffix) {
        return Err(unknown());
    }
    let start = match name {
        "HEAD" | "@" => match refs.head()? {
            Head::Object(oid) => oid,
            Head::Unborn(branch) if refs.any() => {
                return Err(RepoError::UnbornHead { path: location.root.clone(), branch });
            }
            Head::Unborn(_) => return Err(RepoError::NoCommits(location.root.clone())),
        },
        name if is_object_id(name) => name.to_owned(),
        name => match named(&refs, name)? {
            Some(oid) => oid,
            None => abbreviated(store, name)?.ok_or_else(unknown)?,
        },
    };
    if !store.absent(&[&start])?.is_empty() {
        // An id somebody wrote may be a mistake; one that the repository's own refs hold is a loss.
        return Err(if is_object_id(name) { unknown() } else { store.missing(&start) });
    }
    let finished = store
        .git("find the revision", "rev-parse")
        .args(["--verify", "--end-of-options"])
        .arg(format!("{start}{suffix}^{{commit}}"))
        .run()?;
    let found = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    if finished.success
        && let Ok(commit) = CommitId::try_from(found)
    {
        return Ok(commit);
    }
    if suffix.is_empty() {
        return Err(RepoError::NotACommit { rev: asked.to_owned() });
    }
    // A parent that the history names and the repository does not have.
    match store.explain(crate::git::failure("find the revision", &finished.stderr)) {
        error @ RepoError::MissingObject { .. } => Err(error),
        _ if crate::locate::is_shallow(location) => Err(store.missing(asked)),
        _ => Err(unknown()),
    }
}

/// Looks a short name up in git's order.
fn named(refs: &Refs, name: &str) -> Result<Option<String>, RepoError> {
    if !is_ref_path(name) {
        return Ok(None);
    }
    let short = [
        format!("refs/{name}"),
        format!("refs/tags/{name}"),
        format!("refs/heads/{name}"),
        format!("refs/remotes/{name}"),
        format!("refs/remotes/{name}/HEAD"),
    ];
    let full = name.starts_with("refs/").then(|| name.to_owned());
    for candidate in full.into_iter().chain(short) {
        if let Some(oid) = refs.object(&candidate)? {
            return Ok(Some(oid));
        }
    }
    Ok(None)
}

fn abbreviated(store: &Store, name: &str) -> Result<Option<String>, RepoError> {
    if name.len() < 4 || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let finished = store
        .git("find the revision", "rev-parse")
        .args(["--verify", "--quiet", "--end-of-options"])
        .arg(format!("{}^{{commit}}", name.to_ascii_lowercase()))
        .run()?;
    let found = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    Ok((finished.success && is_object_id(&found)).then_some(found))
}

/// Whether a suffix only walks to ancestors: `~2`, `^`, `^2`, `^{commit}`, `^{}`.
fn is_suffix(mut suffix: &str) -> bool {
    while !suffix.is_empty() {
        let Some(rest) = suffix.strip_prefix(['~', '^']) else { return false };
        suffix = ["{commit}", "{}"]
            .iter()
            .find_map(|kind| rest.strip_prefix(kind))
            .unwrap_or_else(|| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_walk_to_ancestors_and_nothing_else() {
        for good in ["", "~", "~3", "^", "^2~1^", "^{commit}", "^{}"] {
            assert!(is_suffix(good), "{good}");
        }
        for bad in ["^{/fix}", "~a", "^@x", "^-", "^!", "^{tree}"] {
            assert!(!is_suffix(bad), "{bad}");
        }
    }

    #[test]
    fn names_cannot_leave_the_folder_of_refs() {
        for good in ["refs/heads/main", "refs/heads/a/b-c.d", "refs/remotes/origin/HEAD"] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in [
            "refs/../config",
            "refs/heads/../../config",
            "HEAD",
            "refs//x",
            "refs/heads/.x",
            "refs/x.lock",
            "refs/a b",
        ] {
            assert!(!is_ref_name(bad), "{bad}");
        }
    }
}
