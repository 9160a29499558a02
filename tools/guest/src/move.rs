//! `move`: a new name for a file, or for a folder with every file in it.

use std::fmt::Write;

use crate::files::{Change, Expected, Kind, WalkOptions};
use crate::path::{normal, shown};
use crate::{Changes, Code, Failure, Walks};

/// The most files one call changes; the host's cap for a commit.
pub(crate) const MOST: usize = 2000;
/// How many files are named to a model.
pub(crate) const SHOWN: usize = 100;

/// What to move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file or folder.
    pub from: String,
    /// Its whole new path.
    pub to: String,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What to tell.
    pub text: String,
    /// The files' old and new paths.
    pub files: Vec<(String, String)>,
}

/// Moves a file, or every file of a folder. Nothing may be at the new path.
pub fn relocate(files: &(impl Changes + Walks), args: &Args) -> Result<Output, Failure> {
    let (from, to) = (normal(&args.from), normal(&args.to));
    let (name, new) = (shown(&from), shown(&to));
    let invalid = |message: String| Failure::new(Code::InvalidInput, message);
    for (field, path) in [("from", &from), ("to", &to)] {
        if path.is_empty() {
            return Err(invalid(format!("`{field}` is the workspace itself"))
                .instead("Name a file or folder in it, like src/lib.rs."));
        }
    }
    if from == to {
        return Err(invalid(format!("`from` and `to` are both {name}")).instead("Give the new path as `to`."));
    }
    if to.strip_prefix(&from).is_some_and(|rest| rest.starts_with('/')) {
        return Err(invalid(format!("{new} lies beneath {name} itself"))
            .instead("Choose a path outside of what is moved."));
    }
    let info = files.stat(&args.from)?;
    match files.stat(&args.to) {
        Err(failure) if failure.code == Code::NotFound => {}
        Err(failure) => return Err(failure),
        Ok(there) => {
            let last = from.rsplit('/').next().unwrap_or_default();
            let advice = match there.kind {
                Kind::Directory => format!("Give the whole new path, like {new}/{}.", shown(last)),
                _ => "Choose another path, or remove that file first.".to_owned(),
            };
            let what = if there.kind == Kind::Directory { " as a folder" } else { "" };
            return Err(Failure::new(Code::Conflict, format!("{new} exists already{what}")).instead(advice));
        }
    }
    let moves = match info.kind {
        Kind::File => vec![(from.clone(), to.clone())],
        Kind::Directory => {
            let below = |path: String| {
                let rest = path.strip_prefix(&from).unwrap_or_default().to_owned();
                (path, format!("{to}{rest}"))
            };
            files_below(files, &from, "moved")?.into_iter().map(below).collect()
        }
        kind => {
            return Err(invalid(format!("{name} is {}", kind.in_words()))
                .instead("Name a file or folder; `list` shows what there is."));
        }
    };
    let change = |(from, to): &(String, String)| Change::Rename {
        from: from.clone(),
        to: to.clone(),
        expected: Expected::Any,
    };
    files.commit(moves.iter().map(change).collect())?;
    let mut text = format!("Moved {name} to {new}");
    if info.kind == Kind::Directory {
        let lines = moves.iter().map(|(from, to)| format!("{} -> {}", shown(from), shown(to)));
        tell(&mut text, moves.len(), lines);
    } else {
        text.push_str(".\n");
    }
    Ok(Output { text, files: moves })
}

/// Returns every file below a folder; fails where there is none, or one that cannot be changed.
pub(crate) fn files_below(files: &impl Walks, folder: &str, done: &str) -> Result<Vec<String>, Failure> {
    let name = shown(folder);
    let options = WalkOptions {
        globs: Vec::new(),
        hidden: true,
        ignore_files: false,
        depth: None,
        directories: false,
        contents: false,
        max_file_size: 0,
    };
    let mut found = Vec::new();
    files.walk(folder, &options, &mut |batch| {
        for visited in batch.visited {
            let problem = if visited.escaped {
                "has a name that is not UTF-8"
            } else if visited.info.kind == Kind::Other {
                "is no regular file with one link"
            } else {
                found.push(visited.path);
                continue;
            };
            return Err(Failure::new(Code::InvalidInput, format!("{} {problem}", shown(&visited.path)))
                .instead(format!("{name} cannot be {done} as a whole; name the files in it.")));
        }
        Ok(found.len() <= MOST)
    })?;
    if found.is_empty() {
        return Err(Failure::new(Code::Conflict, format!("{name} holds no file that can be {done}"))
            .instead("Folders without files need no call: they are not part of a change."));
    }
    if found.len() > MOST {
        return Err(Failure::new(
            Code::TooLarge,
            format!("{name} holds more than {MOST} files, which is the most that can be {done} at once"),
        )
        .instead("Name the folders in it one by one."));
    }
    Ok(found)
}

/// Ends a sentence with how many files it was, and names them.
pub(crate) fn tell(text: &mut String, count: usize, lines: impl Iterator<Item = String>) {
    let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    // Writing to a String cannot fail.
    let _ = writeln!(text, " ({files}):");
    for line in lines.take(SHOWN) {
        let _ = writeln!(text, "{line}");
    }
    if count > SHOWN {
        let _ = writeln!(text, "[{} more files]", count - SHOWN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn run(files: &Memory, from: &str, to: &str) -> Result<Output, Failure> {
        relocate(files, &Args { from: from.to_owned(), to: to.to_owned() })
    }

    fn failing(from: &str, to: &str) -> String {
        let mut files = Memory::new(&[("a", "1"), ("dir/b", "2"), ("dir/.c", "3"), ("z", "")]);
        files.others.insert("link".to_owned(), Kind::Symlink);
        let before = files.show();
        let failure = run(&files, from, to).unwrap_err();
        assert_eq!(files.show(), before);
        failure.to_string()
    }

    #[test]
    fn a_file_gets_a_new_name_and_keeps_its_mode() {
        let files = Memory::new(&[("run.sh", "x\n")]).executable("run.sh");
        let output = run(&files, "./run.sh", "/workspace/bin//run.sh").unwrap();
        assert_eq!(output.text, "Moved run.sh to bin/run.sh.\n");
        assert_eq!(output.files, [("run.sh".to_owned(), "bin/run.sh".to_owned())]);
        assert_eq!(files.show(), ["bin/run.sh*: x\n"]);
    }

    #[test]
    fn a_folder_moves_with_every_file_in_one_commit() {
        let files = Memory::new(&[("src/old/a.rs", "a"), ("src/old/.hidden", "h"), ("src/older/b", "b")]);
        let output = run(&files, "src/old", "lib/new").unwrap();
        assert_eq!(
            output.text,
            "Moved src/old to lib/new (2 files):\nsrc/old/.hidden -> lib/new/.hidden\nsrc/old/a.rs -> lib/new/a.rs\n"
        );
        assert_eq!(files.show(), ["lib/new/.hidden: h", "lib/new/a.rs: a", "src/older/b: b"]);
        assert_eq!(files.log.borrow().len(), 1);
    }

    #[test]
    fn a_denied_file_in_a_folder_stops_all_of_it() {
        let mut files = Memory::new(&[("dir/a", "1"), ("dir/b", "2")]);
        files.denied.push("dir/b".to_owned());
        assert_eq!(run(&files, "dir", "new").unwrap_err().code, Code::Denied);
        assert_eq!(files.show(), ["dir/a: 1", "dir/b: 2"]);
    }

    #[test]
    fn nothing_is_overwritten_and_senseless_moves_are_told() {
        for (from, to, expected) in [
            ("a", "z", "Conflict: z exists already\n=> Choose another path, or remove that file first."),
            ("a", "dir", "Conflict: dir exists already as a folder\n=> Give the whole new path, like dir/a."),
            ("dir", "z", "Conflict: z exists already\n=> Choose another path, or remove that file first."),
            ("a", "./a", "InvalidInput: `from` and `to` are both a\n=> Give the new path as `to`."),
            (
                "dir",
                "dir/new",
                "InvalidInput: dir/new lies beneath dir itself\n=> Choose a path outside of what is moved.",
            ),
            (
                "",
                "x",
                "InvalidInput: `from` is the workspace itself\n=> Name a file or folder in it, like src/lib.rs.",
            ),
            (
                "a",
                "/workspace",
                "InvalidInput: `to` is the workspace itself\n=> Name a file or folder in it, like src/lib.rs.",
            ),
            (
                "link",
                "x",
                "InvalidInput: link is a symbolic link, which no tool follows\n=> Name a file or folder; `list` shows what there is.",
            ),
            ("gone", "x", "NotFound: gone does not exist"),
        ] {
            assert_eq!(failing(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn too_many_files_are_refused_before_any_is_moved() {
        let names: Vec<String> = (0..=MOST).map(|n| format!("dir/{n}")).collect();
        let files = Memory::new(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
        let failure = run(&files, "dir", "new").unwrap_err();
        assert_eq!(
            failure.message,
            "dir holds more than 2000 files, which is the most that can be moved at once"
        );
        assert!(files.log.borrow().is_empty());
    }
}
