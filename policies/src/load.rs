//! A policy file together with the files it extends.

use std::sync::Arc;

use crate::{Diagnostic, PolicyFile, parse};

/// How deep files may extend files.
const MAX_DEPTH: usize = 8;
/// How many times files may be extended in all: each is read and counted anew wherever it is.
const MAX_FILES: usize = 64;

/// Parses a policy file and every file that it and they extend by `file:`.
///
/// `read` is given a name, joined to that of the file that extends it and with `..` taken away, and returns the text
/// or a sentence on why there is none. Nothing is opened here.
///
/// # Errors
/// Every fault of the file; those of a file it extends are told at that file's own places.
pub fn load(
    name: &str,
    text: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<PolicyFile, Vec<Diagnostic>> {
    load_within(name, text, read, &mut vec![name.to_owned()], &mut 0)
}

fn load_within(
    name: &str,
    text: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
    within: &mut Vec<String>,
    files: &mut usize,
) -> Result<PolicyFile, Vec<Diagnostic>> {
    let mut file = parse(name, text)?;
    let mut faults = Vec::new();
    for extended in file.extends.iter_mut().filter(|extended| extended.file.is_none()) {
        let path = extended.text.strip_prefix("file:").unwrap_or(&extended.text);
        let joined = join(name, path);
        let mut fault = |message: String, hint: Option<String>| {
            let (line, column) = (extended.line, extended.column);
            faults.push(Diagnostic { file: name.to_owned(), line, column, message, hint });
        };
        if let Some(at) = within.iter().position(|known| *known == joined) {
            let ring = within[at..].join(" extends ");
            fault(
                format!("{joined} extends itself: {ring} extends {joined}"),
                Some("take one of them out".into()),
            );
            continue;
        }
        if within.len() > MAX_DEPTH {
            fault(format!("files extend files more than {MAX_DEPTH} deep"), Some("extend fewer".into()));
            continue;
        }
        *files += 1;
        if *files > MAX_FILES {
            fault(
                format!("files are extended more than {MAX_FILES} times in all"),
                Some("extend fewer".into()),
            );
            return Err(faults);
        }
        match read(&joined) {
            Err(reason) => fault(
                format!("cannot read {joined}, which this file extends: {reason}"),
                Some("write the path relative to this file".into()),
            ),
            Ok(text) => {
                within.push(joined.clone());
                match load_within(&joined, &text, read, within, files) {
                    Ok(base) => extended.file = Some(Arc::new(base)),
                    Err(found) => faults.extend(found),
                }
                within.pop();
            }
        }
    }
    if faults.is_empty() { Ok(file) } else { Err(faults) }
}

/// Joins a path to the folder of the file it is written in.
fn join(file: &str, path: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file_they_stand_in() {
        for (file, path, want) in [
            ("a.toml", "base.toml", "base.toml"),
            ("policies/acme/api.toml", "../base.toml", "policies/base.toml"),
            ("/etc/gloaming/api.toml", "./team/x.toml", "/etc/gloaming/team/x.toml"),
            ("a.toml", "../x.toml", "../x.toml"),
            ("/a.toml", "../x.toml", "/../x.toml"),
        ] {
            assert_eq!(join(file, path), want);
        }
    }
}
