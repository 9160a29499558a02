//! `list`: paths below a folder.
use crate::files::WalkOptions;
use crate::{Failure, Walks};

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The folder; the root when none.
    pub path: Option<String>,
    /// Gitignore-style globs.
    pub globs: Vec<String>,
    /// How many folders deep.
    pub depth: Option<u32>,
    /// Whether to list names that begin with a dot.
    pub hidden: bool,
    /// Whether to list what gitignore leaves out.
    pub ignored: bool,
    /// How many paths.
    pub limit: Option<u32>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// One path a line.
    pub text: String,
    /// The paths.
    pub paths: Vec<String>,
    /// How many there are.
    pub total: u32,
    /// Whether some were left out.
    pub truncated: bool,
}

/// Lists.
pub fn list(files: &impl Walks, args: &Args) -> Result<Output, Failure> {
    let mut output = Output::default();
    let options = WalkOptions { globs: args.globs.clone(), hidden: args.hidden, ignore_files: !args.ignored, depth: args.depth, directories: false, contents: false, max_file_size: 0 };
    files.walk(args.path.as_deref().unwrap_or(""), &options, &mut |batch| {
        output.paths.extend(batch.visited.into_iter().map(|v| v.path));
        Ok(true)
    })?;
    output.total = output.paths.len() as u32;
    output.text = output.paths.join("\n");
    Ok(output)
}
