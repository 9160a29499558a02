//! What attempts and single calls of tools work with: the sandbox, and folders of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gloaming_api::{Digest, TaskId};
use gloaming_policies::Grant;
use gloaming_sandbox::{Files, Options, Sandbox};
use gloaming_worker::{GitBase, WORKSPACE};

use super::{ATTEMPT, Home, Resolved, undo_dir_of};
use crate::failure::Failure;

impl Home {
    /// Returns where a run works on a task, or did when it was killed, and what its tools replaced or removed there.
    pub(crate) fn attempt_dirs(&self, task: &TaskId, first: &Digest) -> (PathBuf, PathBuf) {
        let work = self.cache.join("work").join(task.as_str());
        (work.join(ATTEMPT).join(WORKSPACE), undo_dir_of(&work, first))
    }
}

/// Opens a folder for tools, with the commit that its HEAD names as the tree it began from; a folder that is no
/// checkout has none, and the tool that asks is told so.
pub(crate) fn workspace_files(home: &Home, folder: &Path) -> anyhow::Result<Files> {
    let base = GitBase::head(&std::path::absolute(folder)?, &home.cache.join("git"));
    let files = Files::open(folder).map_err(|error| {
        Failure::usage(format!("cannot open the workspace {}: {error}", folder.display()))
    })?;
    Ok(files.with_base(Arc::new(base)))
}

/// Returns how the sandbox is set up: with the cache of compiled components.
pub(crate) fn sandbox_options(home: &Home) -> Options {
    Options { cache_dir: Some(home.cache.join("components")), ..Options::default() }
}

/// Opens the sandbox with the tools that are built in.
pub(crate) fn built_in_sandbox(home: &Home) -> anyhow::Result<Sandbox> {
    Ok(Sandbox::new(sandbox_options(home)).map_err(no_sandbox)?)
}

/// Opens the sandbox with one of the tools that are built in, for a process that makes a single call; none when
/// there is no such tool.
pub(crate) fn built_in_tool(home: &Home, tool: &str) -> anyhow::Result<Option<Sandbox>> {
    Ok(Sandbox::for_tool(sandbox_options(home), tool).map_err(no_sandbox)?)
}

fn no_sandbox(error: gloaming_sandbox::SandboxError) -> Failure {
    Failure::infrastructure("start the tool sandbox", error)
}

/// Opens the sandbox with the built-in tools and those registered ones that a grant offers. One that it offers
/// and that cannot be had is an error: an attempt must not quietly go without.
pub(crate) fn sandbox(home: &Home, grant: &Grant) -> anyhow::Result<Sandbox> {
    let (sandbox, missing) = crate::registered::sandbox(home, grant)?;
    match missing.into_iter().next() {
        None => Ok(sandbox),
        Some(missing) => Err(missing.failure().into()),
    }
}

/// Opens the sandbox as [`sandbox`] does, and makes the components that serve the tools part of the grant.
pub(crate) fn equip(home: &Home, resolved: &mut Resolved) -> anyhow::Result<Sandbox> {
    let sandbox = sandbox(home, &resolved.grant)?;
    resolved.grant = resolved.grant.clone().with_tools(components(&sandbox));
    Ok(sandbox)
}

/// Returns the components that serve the tools of a sandbox, by the tools' names.
pub(crate) fn components(sandbox: &Sandbox) -> BTreeMap<String, Digest> {
    sandbox.tools().into_iter().filter_map(|tool| Some((tool.name, tool.component?))).collect()
}
