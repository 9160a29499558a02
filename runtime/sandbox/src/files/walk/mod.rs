//! Visiting a tree in byte order of its paths, contents in batches.
//!
//! Three parts: [`Planner`] goes through the folders and says what is visited, always in the same order; a
//! [`Stretch`] is a piece of that plan, decided on, opened and read by whichever thread gets to it first; the [`Crew`] are
//! the threads, the caller's own among them, and hands the batches out in the plan's order. So a walk reports
//! and records the same whether it is helped or not; only the time it takes differs.

mod crew;
mod plan;
mod stretch;

use std::sync::Arc;

use gloaming_api::RelPath;
use gloaming_policies::Access;
use ignore::overrides::{Override, OverrideBuilder};

use super::ignores::costly;
use super::open::{Info, Kind, invalid};
use super::read::Range;
use super::{Answer, Session};
use crew::Crew;
use plan::Planner;
use stretch::Stretch;

/// Bytes of contents a batch aims at: 256 KiB.
const BATCH: usize = 256 << 10;
/// Paths of a stretch, and of its batch, where no contents are wanted.
const PATHS: usize = 1_024;
/// The largest content handed over, whatever was asked for: 32 MiB.
const LARGEST: u64 = 32 << 20;
/// How many globs one walk may have.
const GLOBS: usize = 256;

/// How to walk; see the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalkOptions {
    pub(crate) globs: Vec<String>,
    pub(crate) hidden: bool,
    pub(crate) ignore_files: bool,
    pub(crate) depth: Option<u32>,
    pub(crate) directories: bool,
    pub(crate) contents: bool,
    pub(crate) max_file_size: u64,
}

impl WalkOptions {
    /// The largest content that is handed over.
    fn largest(&self) -> u64 {
        self.max_file_size.min(LARGEST)
    }
}

/// One visited path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visited {
    pub(crate) path: RelPath,
    pub(crate) info: Info,
    /// Where its content lies in the batch's bytes.
    pub(crate) at: Option<Range>,
    pub(crate) escaped: bool,
}

/// Some visited paths and their contents, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) visited: Vec<Visited>,
    pub(crate) bytes: Vec<u8>,
}

/// A walk under way.
#[expect(unreachable_pub, reason = "the generated bindings re-export it, which takes a public item")]
pub struct Walk {
    crew: Crew,
    /// The memory of the batch handed out last, to be used again.
    lent: Option<Arc<Vec<u8>>>,
}

impl Walk {
    /// Begins a walk below a folder, or of one file.
    pub(crate) fn start(session: &mut Session, root: &RelPath, options: WalkOptions) -> Answer<Self> {
        let globs = globs(&options.globs)?;
        let info = session.stat(root)?;
        session.decide_named(root)?;
        if info.kind != Kind::Directory {
            // Refused here, in words, and not left out as a file met on the way would be.
            session.root.open_file(root)?;
            let wanted = !globs.matched(root.as_str(), false).is_ignore();
            let stretch = if wanted { Stretch::of_root(root) } else { Stretch::new(Vec::new()) };
            return Ok(Self { crew: Crew::of_one(session.view.clone(), options, stretch), lent: None });
        }
        session.decide(Access::List, root)?;
        let planner = Planner::new(session, root, &options, globs)?;
        Ok(Self { crew: Crew::new(session.view.clone(), options, planner), lent: None })
    }

    /// Returns the next batch, none at the end.
    pub(crate) fn next(&mut self, session: &mut Session) -> Answer<Option<Batch>> {
        if let Some(bytes) = self.lent.take().and_then(Arc::into_inner) {
            self.crew.spare().put(bytes);
        }
        let Some(batch) = self.crew.next()? else { return Ok(None) };
        for visited in &batch.visited {
            if let Some(at) = visited.at {
                session.access.read(&visited.path, at.length);
            }
        }
        Ok(Some(batch))
    }

    /// Shares a batch's bytes; once nobody else holds them, the next batches are read into the same memory.
    pub(crate) fn lend(&mut self, bytes: Vec<u8>) -> Arc<Vec<u8>> {
        let bytes = Arc::new(bytes);
        self.lent = Some(bytes.clone());
        bytes
    }
}

/// Compiles globs as `rg -g` reads them, anchored at the workspace's root.
fn globs(globs: &[String]) -> Answer<Override> {
    if globs.len() > GLOBS || globs.iter().any(|glob| costly(glob)) {
        let message = format!("too many or too long globs: at most {GLOBS} of 4096 bytes and 64 braces each");
        return Err(invalid(message));
    }
    let mut builder = OverrideBuilder::new("");
    for glob in globs {
        builder.add(glob).map_err(|error| invalid(format!("{glob:?} is not a glob: {error}")))?;
    }
    builder.build().map_err(|error| invalid(format!("the globs cannot be used together: {error}")))
}
