//! `write`: a whole file.

use crate::files::{Expected, Kind};
use crate::path::{normal, shown};
use crate::{Changes, Code, Failure};

/// What to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file.
    pub path: String,
    /// The whole content.
    pub content: String,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What to tell.
    pub text: String,
    /// The path as the workspace spells it.
    pub path: String,
    /// Whether the file is new.
    pub created: bool,
    /// Bytes written.
    pub size: u64,
}

/// Writes a file; an existing one only when it may be replaced.
pub fn write(files: &impl Changes, args: &Args) -> Result<Output, Failure> {
    let path = normal(&args.path);
    let name = shown(&path);
    let existing = match files.stat(&args.path) {
        Ok(info) => Some(info),
        Err(failure) if failure.code == Code::NotFound => None,
        Err(failure) => return Err(failure),
    };
    let expected = match existing {
        None => Expected::Absent,
        Some(info) if info.kind != Kind::File => {
            let what = info.kind.in_words();
            return Err(Failure::new(Code::InvalidInput, format!("{name} is {what}"))
                .instead("Choose another path for the file."));
        }
        Some(info) if !args.overwrite => {
            return Err(Failure::new(Code::Conflict, format!("{name} exists already ({} bytes)", info.size))
                .instead("Use `edit` to change a part of it, or set `overwrite` to replace all of it."));
        }
        Some(_) => Expected::Any,
    };
    files.write(&args.path, args.content.as_bytes(), expected)?;
    let (lines, size) = (args.content.lines().count(), args.content.len() as u64);
    let did = if existing.is_none() { "Created" } else { "Replaced" };
    Ok(Output {
        text: format!("{did} {name} ({lines} lines, {size} bytes).\n"),
        created: existing.is_none(),
        size,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn run(files: &Memory, path: &str, overwrite: bool) -> Result<Output, Failure> {
        write(files, &Args { path: path.to_owned(), content: "new\n".to_owned(), overwrite })
    }

    #[test]
    fn creates_a_file() {
        let files = Memory::new(&[]);
        assert_eq!(
            run(&files, "./a/b.txt", false),
            Ok(Output {
                text: "Created a/b.txt (1 lines, 4 bytes).\n".to_owned(),
                path: "a/b.txt".to_owned(),
                created: true,
                size: 4,
            })
        );
        assert_eq!(files.show(), ["a/b.txt: new\n"]);
    }

    #[test]
    fn an_existing_file_is_kept_unless_told() {
        let files = Memory::new(&[("run.sh", "old\n")]).executable("run.sh");
        assert_eq!(
            run(&files, "run.sh", false).unwrap_err().to_string(),
            "Conflict: run.sh exists already (4 bytes)\n=> Use `edit` to change a part of it, or set `overwrite` to replace all of it."
        );
        assert_eq!(files.show(), ["run.sh*: old\n"]);
        assert_eq!(run(&files, "run.sh", true).unwrap().text, "Replaced run.sh (1 lines, 4 bytes).\n");
        assert_eq!(files.show(), ["run.sh*: new\n"]);
    }

    #[test]
    fn folders_and_links_are_no_files() {
        let mut files = Memory::new(&[("src/a", "")]);
        files.others.insert("link".to_owned(), Kind::Symlink);
        for path in ["src", "link", ""] {
            assert_eq!(run(&files, path, true).unwrap_err().code, Code::InvalidInput, "{path}");
        }
    }
}
