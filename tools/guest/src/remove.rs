//! `remove`: a file, or a folder with every file in it.

use crate::files::{Change, Expected, Kind};
use crate::r#move::{files_below, tell};
use crate::path::{normal, shown};
use crate::{Changes, Code, Failure, Walks};

/// What to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file or folder.
    pub path: String,
    /// Whether a folder may be removed with every file in it.
    pub recursive: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What to tell.
    pub text: String,
    /// The files that were removed.
    pub paths: Vec<String>,
}

/// Removes a file, or every file of a folder.
pub fn remove(files: &(impl Changes + Walks), args: &Args) -> Result<Output, Failure> {
    let path = normal(&args.path);
    let name = shown(&path);
    if path.is_empty() {
        return Err(Failure::new(Code::InvalidInput, "`path` is the workspace itself")
            .instead("Name a file or folder in it, like src/lib.rs."));
    }
    let kind = files.stat(&args.path)?.kind;
    let paths = match kind {
        Kind::File => vec![path.clone()],
        Kind::Directory if args.recursive => files_below(files, &path, "removed")?,
        Kind::Directory => {
            return Err(Failure::new(Code::InvalidInput, format!("{name} is a folder"))
                .instead("Set `recursive` to remove it with every file in it."));
        }
        kind => {
            return Err(Failure::new(Code::InvalidInput, format!("{name} is {}", kind.in_words()))
                .instead("Name a file or folder; `list` shows what there is."));
        }
    };
    let change = |path: &String| Change::Remove { path: path.clone(), expected: Expected::Any };
    files.commit(paths.iter().map(change).collect())?;
    let mut text = format!("Removed {name}");
    if kind == Kind::Directory {
        tell(&mut text, paths.len(), paths.iter().map(|path| shown(path).into_owned()));
    } else {
        text.push_str(".\n");
    }
    Ok(Output { text, paths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn run(files: &Memory, path: &str, recursive: bool) -> Result<Output, Failure> {
        remove(files, &Args { path: path.to_owned(), recursive })
    }

    #[test]
    fn a_file_is_removed() {
        let files = Memory::new(&[("a", "1"), ("b", "2")]);
        let output = run(&files, "./a", false).unwrap();
        assert_eq!((output.text.as_str(), files.show()), ("Removed a.\n", vec!["b: 2".to_owned()]));
    }

    #[test]
    fn a_folder_only_when_told() {
        let files = Memory::new(&[("dir/a", "1"), ("dir/x/.b", "2"), ("dirt", "3")]);
        assert_eq!(
            run(&files, "dir", false).unwrap_err().to_string(),
            "InvalidInput: dir is a folder\n=> Set `recursive` to remove it with every file in it."
        );
        let output = run(&files, "dir/", true).unwrap();
        assert_eq!(output.text, "Removed dir (2 files):\ndir/a\ndir/x/.b\n");
        assert_eq!((files.show(), files.log.borrow().len()), (vec!["dirt: 3".to_owned()], 1));
    }

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = (0..150).map(|n| format!("dir/{n:03}")).collect();
        let files = Memory::new(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
        let output = run(&files, "dir", true).unwrap();
        assert!(output.text.ends_with("dir/099\n[50 more files]\n"), "{}", output.text);
        assert_eq!(output.paths.len(), 150);
    }

    #[test]
    fn what_cannot_be_removed_is_told() {
        let mut files = Memory::new(&[("a", "1")]);
        files.others.insert("link".to_owned(), Kind::Symlink);
        for (path, code) in [("", Code::InvalidInput), ("link", Code::InvalidInput), ("gone", Code::NotFound)]
        {
            assert_eq!(run(&files, path, true).unwrap_err().code, code, "{path}");
        }
        files.denied.push("a".to_owned());
        assert_eq!(run(&files, "a", false).unwrap_err().code, Code::Denied);
        assert_eq!(files.show(), ["a: 1"]);
    }
}
