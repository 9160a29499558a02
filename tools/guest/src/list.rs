//! `list`: paths below a folder.

use std::fmt::Write;

use crate::files::{Kind, WalkOptions};
use crate::path::{normal, shown};
use crate::types::Types;
use crate::{Code, Failure, Walks};

/// Paths shown when the call does not say how many.
const DEFAULT_LIMIT: u32 = 500;
/// The most paths one call shows.
pub(crate) const MOST: u32 = 5000;
/// The most text one call shows, bytes.
pub(crate) const TEXT: usize = 256 << 10;

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The folder; the root when none.
    pub path: Option<String>,
    /// Gitignore-style globs.
    pub globs: Vec<String>,
    /// Names of file types.
    pub types: Vec<String>,
    /// How many folders deep; 1 is the folder itself.
    pub depth: Option<u32>,
    /// Whether to list names that begin with a dot.
    pub hidden: bool,
    /// Whether to list what gitignore leaves out.
    pub ignored: bool,
    /// How many paths.
    pub limit: Option<u32>,
    /// The last path of the answer before.
    pub cursor: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// One path a line, folders with a trailing slash, and remarks in brackets.
    pub text: String,
    /// The paths, in byte order, folders with a trailing slash.
    pub paths: Vec<String>,
    /// How many there are.
    pub total: u32,
    /// Whether some behind them were left out.
    pub truncated: bool,
    /// Where to go on.
    pub next: Option<String>,
}

/// Lists files below a folder and, with a depth, the folders at that border.
pub fn list(files: &impl Walks, args: &Args) -> Result<Output, Failure> {
    if args.depth == Some(0) {
        return Err(Failure::new(Code::InvalidInput, "`depth` is 0")
            .instead("Use 1 for the folder itself, or leave `depth` out for everything below it."));
    }
    let root = normal(args.path.as_deref().unwrap_or_default());
    let types = Types::new(&args.types)?;
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST) as usize;
    let options = WalkOptions {
        globs: types.narrow(&args.globs),
        hidden: args.hidden,
        ignore_files: !args.ignored,
        depth: args.depth,
        directories: args.depth.is_some(),
        contents: false,
        max_file_size: 0,
    };
    let border =
        args.depth.map(|depth| depth as usize + root.split('/').filter(|name| !name.is_empty()).count());
    let mut output = Output::default();
    let mut escaped = 0u32;
    let mut before = 0u32;
    files.walk(&root, &options, &mut |batch| {
        for visited in batch.visited {
            let mut path = visited.path;
            if visited.info.kind == Kind::Directory {
                // Above the border a folder's files speak for it.
                if border != Some(path.split('/').count()) {
                    continue;
                }
                path.push('/');
            } else if !types.fit(&path) {
                continue;
            }
            output.total = output.total.saturating_add(1);
            escaped += u32::from(visited.escaped);
            if args.cursor.as_ref().is_some_and(|cursor| order(&path) <= order(cursor)) {
                before += 1;
            } else if output.paths.len() < limit && output.text.len() < TEXT {
                output.text.push_str(&shown(&path));
                output.text.push('\n');
                output.paths.push(path);
            }
        }
        Ok(true)
    })?;
    let shown_now = u32::try_from(output.paths.len()).unwrap_or(u32::MAX);
    let behind = output.total.saturating_sub(before).saturating_sub(shown_now);
    output.truncated = behind > 0;
    output.next = output.paths.last().filter(|_| output.truncated).cloned();
    // Writing to a String cannot fail.
    let mut remark = |remark: String| {
        let _ = writeln!(output.text, "[{remark}]");
    };
    if output.paths.is_empty() {
        let left_out = match (args.hidden, args.ignored) {
            (true, true) => "",
            _ => "; hidden files and those that gitignore leaves out are listed with `hidden` and `ignored`",
        };
        let which = match (args.globs.is_empty(), args.types.is_empty()) {
            _ if before > 0 => "is nothing behind `cursor`",
            (true, true) => "is nothing",
            (false, _) => "is no file that matches `globs`",
            (true, false) => "is no file of these `types`",
        };
        remark(format!("below {} {which}{left_out}", shown(&root)));
    }
    if let Some(next) = &output.next {
        remark(format!(
            "{} of {} paths; go on with `cursor` = {next:?}, or list a folder, give `globs`, or a `depth` of 1",
            output.paths.len(),
            output.total
        ));
    }
    if escaped > 0 {
        remark(format!("{escaped} names are not UTF-8; they are shown escaped and cannot be opened"));
    }
    Ok(output)
}

/// The order in which a walk visits: that of whole paths, a folder before what lies in it.
fn order(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn files() -> Memory {
        Memory::new(&[
            ("README.md", ""),
            ("src/a.rs", ""),
            ("src/b/c.rs", ""),
            ("src/b/d/e.rs", ""),
            (".env", ""),
        ])
    }

    #[test]
    fn lists_everything_sorted() {
        let output = list(&files(), &Args::default()).unwrap();
        assert_eq!(
            output,
            Output {
                text: "README.md\nsrc/a.rs\nsrc/b/c.rs\nsrc/b/d/e.rs\n".to_owned(),
                paths: ["README.md", "src/a.rs", "src/b/c.rs", "src/b/d/e.rs"].map(String::from).to_vec(),
                total: 4,
                truncated: false,
                next: None,
            }
        );
    }

    #[test]
    fn a_depth_shows_the_folders_at_its_border_only() {
        let text = |path: &str, depth| {
            let args = Args { path: Some(path.to_owned()), depth: Some(depth), ..Args::default() };
            list(&files(), &args).unwrap().text
        };
        assert_eq!(text("", 1), "README.md\nsrc/\n");
        assert_eq!(text(".", 2), "README.md\nsrc/a.rs\nsrc/b/\n");
        assert_eq!(text("/workspace/src", 1), "src/a.rs\nsrc/b/\n");
        assert_eq!(text("src", 2), "src/a.rs\nsrc/b/c.rs\nsrc/b/d/\n");
    }

    #[test]
    fn a_limit_says_how_many_there_are() {
        let output = list(&files(), &Args { limit: Some(2), ..Args::default() }).unwrap();
        assert_eq!(
            output.text,
            "README.md\nsrc/a.rs\n[2 of 4 paths; go on with `cursor` = \"src/a.rs\", or list a folder, give `globs`, or a `depth` of 1]\n"
        );
        assert_eq!((output.total, output.truncated), (4, true));
    }

    #[test]
    fn pages_follow_each_other_whatever_comes_and_goes() {
        let names: Vec<String> = (0..50).map(|n| format!("d{}/f{n}", n % 7)).collect();
        let files = Memory::new(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
        let whole = list(&files, &Args::default()).unwrap().paths;
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = list(&files, &Args { limit: Some(7), cursor, ..Args::default() }).unwrap();
            assert_eq!(page.total, 50);
            seen.extend(page.paths);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, whole);
        // The cursor is a place, not a number: it may name a file that is gone.
        let args = Args { limit: Some(1), cursor: Some("d3/f0".to_owned()), ..Args::default() };
        assert_eq!(list(&files, &args).unwrap().paths, ["d3/f10"]);
        let end = list(&files, &Args { cursor: Some("z".to_owned()), ..Args::default() }).unwrap();
        assert!(end.text.starts_with("[below . is nothing behind `cursor`"), "{}", end.text);
    }

    #[test]
    fn types_choose_files_by_name() {
        let args = Args { types: vec!["rust".to_owned()], ..Args::default() };
        assert_eq!(list(&files(), &args).unwrap().text, "src/a.rs\nsrc/b/c.rs\nsrc/b/d/e.rs\n");
        let args = Args { types: vec!["go".to_owned()], ..Args::default() };
        assert!(list(&files(), &args).unwrap().text.starts_with("[below . is no file of these `types`;"));
    }

    #[test]
    fn nothing_is_said_in_words() {
        let files = Memory::new(&[(".env", "")]);
        assert_eq!(
            list(&files, &Args::default()).unwrap().text,
            "[below . is nothing; hidden files and those that gitignore leaves out are listed with `hidden` and `ignored`]\n"
        );
        assert_eq!(
            list(&files, &Args { path: Some("no".to_owned()), ..Args::default() }).unwrap_err().code,
            Code::NotFound
        );
    }

    #[test]
    fn a_name_with_a_newline_stays_one_line() {
        let files = Memory::new(&[("a\nb", "")]);
        let output = list(&files, &Args::default()).unwrap();
        assert_eq!((output.text.as_str(), output.paths[0].as_str()), ("a\\nb\n", "a\nb"));
    }
}
