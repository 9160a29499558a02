//! `.gitignore` and `.ignore` files, read through the workspace's handle.
//!
//! The matcher is the crate `ignore`'s; its own walker and its reading of files were left out, since they
//! open ambient paths and follow links.

use gloaming_api::RelPath;
use gloaming_policies::Access;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::View;
use super::read::read_into;

/// The largest ignore file that is read, in bytes: 256 KiB. Compiling one is work that no deadline interrupts.
const LARGEST: u64 = 256 << 10;

/// The longest glob, in bytes, and how many braces it may open.
const LONGEST: usize = 4_096;
const BRACES: usize = 64;

/// The ignore files from the workspace's root down to one folder.
#[derive(Default)]
pub(super) struct Ignores {
    levels: Vec<Level>,
}

struct Level {
    /// How many bytes of a path lie above the folder, its slash included.
    above: usize,
    gitignore: Gitignore,
    ignore: Gitignore,
}

impl Ignores {
    /// Reads a folder's ignore files, of those that it `holds`; what cannot be read or understood ignores
    /// nothing.
    pub(super) fn enter(&mut self, view: &View, folder: &RelPath, holds: impl Fn(&str) -> bool) {
        let above = if folder.is_root() { 0 } else { folder.as_str().len() + 1 };
        let load = |name| if holds(name) { load(view, folder, name) } else { Gitignore::empty() };
        let (gitignore, ignore) = (load(".gitignore"), load(".ignore"));
        self.levels.push(Level { above, gitignore, ignore });
    }

    /// Forgets the folder entered last.
    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether a path is ignored: the deepest file with a matching line decides, `.ignore` before
    /// `.gitignore`. Its folders are taken to have been asked about before.
    pub(super) fn matches(&self, path: &str, is_folder: bool) -> bool {
        let decided = |pick: fn(&Level) -> &Gitignore| {
            self.levels.iter().rev().filter(|level| !pick(level).is_empty()).find_map(|level| {
                match pick(level).matched(path.get(level.above..)?, is_folder) {
                    Match::None => None,
                    Match::Ignore(_) => Some(true),
                    Match::Whitelist(_) => Some(false),
                }
            })
        };
        decided(|level| &level.ignore).or_else(|| decided(|level| &level.gitignore)).unwrap_or(false)
    }
}

/// Whether a glob could only be meant to break who compiles it: the matcher goes down into braces within braces by
/// recursion, and a repository's ignore file of ten thousand of them took all of the host's stack.
pub(super) fn costly(glob: &str) -> bool {
    glob.len() > LONGEST || glob.bytes().filter(|byte| *byte == b'{').count() > BRACES
}

fn load(view: &View, folder: &RelPath, name: &str) -> Gitignore {
    read(view, folder, name).map_or_else(Gitignore::empty, |text| {
        let mut builder = GitignoreBuilder::new("");
        for line in text.trim_start_matches('\u{feff}').lines().filter(|line| !costly(line)) {
            if let Err(error) = builder.add_line(None, line) {
                tracing::debug!(%error, "skipping a line of an ignore file");
            }
        }
        builder.build().unwrap_or_else(|_| Gitignore::empty())
    })
}

fn read(view: &View, folder: &RelPath, name: &str) -> Option<String> {
    let path = folder.join(name).ok()?;
    let (file, stat) = view.root.open_file(&path).ok()?;
    let size = u64::try_from(stat.st_size).ok().filter(|size| *size <= LARGEST)?;
    if !view.permit.allows(Access::Read, &path) {
        return None;
    }
    let mut data = Vec::new();
    read_into(view, &path, &file, 0, size, &mut data).ok()?;
    Some(String::from_utf8_lossy(&data).into_owned())
}
