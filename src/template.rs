//! `gloaming tools new`: a folder with a tool of one's own, ready to build.
#![expect(clippy::disallowed_methods, reason = "the operator's own folder is written here")]

use std::path::Path;
use std::process::ExitCode;

use gloaming_sandbox::contract_files;

use crate::cli::Language;
use crate::failure::{Failure, exit};

/// The name that the templates go by, and are tools by as they stand.
const NAME: &str = "my-tool";

/// A file of a template: its path in the new folder, and its text.
type File = (&'static str, &'static str);

const RUST: [File; 5] = [
    ("Cargo.toml", include_str!("../tools/template/rust/Cargo.toml")),
    ("src/lib.rs", include_str!("../tools/template/rust/src/lib.rs")),
    ("wit/world.wit", include_str!("../tools/template/rust/wit/world.wit")),
    ("README.md", include_str!("../tools/template/rust/README.md")),
    (".gitignore", include_str!("../tools/template/rust/gitignore")),
];

const JAVASCRIPT: [File; 6] = [
    ("package.json", include_str!("../tools/template/javascript/package.json")),
    ("build.mjs", include_str!("../tools/template/javascript/build.mjs")),
    ("my-tool.js", include_str!("../tools/template/javascript/my-tool.js")),
    ("wit/world.wit", include_str!("../tools/template/javascript/wit/world.wit")),
    ("README.md", include_str!("../tools/template/javascript/README.md")),
    (".gitignore", include_str!("../tools/template/javascript/gitignore")),
];

/// Words that one of the languages, cargo or WIT keeps for itself.
const RESERVED: &[&str] = &[
    "as",
    "async",
    "await",
    "bool",
    "borrow",
    "box",
    "break",
    "build",
    "char",
    "class",
    "const",
    "constructor",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "export",
    "extern",
    "f32",
    "f64",
    "false",
    "flags",
    "fn",
    "for",
    "from",
    "func",
    "function",
    "if",
    "impl",
    "import",
    "in",
    "include",
    "incremental",
    "interface",
    "let",
    "list",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "option",
    "own",
    "package",
    "pub",
    "record",
    "ref",
    "resource",
    "result",
    "return",
    "s16",
    "s32",
    "s64",
    "s8",
    "self",
    "static",
    "std",
    "string",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "tuple",
    "type",
    "u8",
    "unsafe",
    "use",
    "var",
    "where",
    "while",
    "world",
];

pub(crate) fn main(name: &str, language: Language) -> anyhow::Result<ExitCode> {
    if let Err(why) = checked(name) {
        return Err(Failure::usage(format!("{name:?} cannot be a tool's name: {why}"))
            .hint("words of lower-case letters and digits with `-` between them, like word-count")
            .into());
    }
    let folder = Path::new(name);
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{name} is there already")).hint("choose another name").into());
    }
    let files: &[File] = match language {
        Language::Rust => &RUST,
        Language::Javascript => &JAVASCRIPT,
    };
    let written =
        files.iter().try_for_each(|(path, text)| put(folder, &renamed(path, name), &renamed(text, name)));
    written
        .and_then(|()| {
            contract_files()
                .try_for_each(|(file, text)| put(folder, &format!("wit/deps/gloaming-tool/{file}"), text))
        })
        .map_err(|error| Failure::infrastructure(&format!("write the folder {name}"), error))?;
    println!("made {name}; {name}/README.md says how to build and register it");
    Ok(ExitCode::from(exit::OK))
}

fn put(folder: &Path, path: &str, text: &str) -> std::io::Result<()> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, text)
}

/// Returns a template's text with the tool's name in each spelling.
fn renamed(text: &str, name: &str) -> String {
    let camel: String =
        name.split('-')
            .enumerate()
            .map(|(at, word)| {
                if at == 0 { word.to_owned() } else { format!("{}{}", word[..1].to_uppercase(), &word[1..]) }
            })
            .collect();
    text.replace(NAME, name)
        .replace(&NAME.replace('-', "_"), &name.replace('-', "_"))
        .replace("myTool", &camel)
}

fn checked(name: &str) -> Result<(), &'static str> {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if name.len() > 64 || !name.split('-').all(word) {
        return Err("it is not spelled like one");
    }
    if RESERVED.contains(&name) {
        return Err("a language keeps the word for itself");
    }
    if crate::registered::own(&name.replace('-', "_")).is_some() {
        return Err("Gloaming has a tool or a call of that name itself");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_not_build_are_refused() {
        for bad in
            ["", "Word", "word_count", "-a", "a-", "a--b", "1a", "a-1", "match", "read", "../a", "a/b", "é"]
        {
            assert!(checked(bad).is_err(), "{bad}");
        }
        for good in ["word-count", "w2", "json-get"] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn every_spelling_of_the_name_is_replaced() {
        assert_eq!(
            renamed("my-tool my_tool myTool", "word-count-2x"),
            "word-count-2x word_count_2x wordCount2x"
        );
        for (path, text) in RUST.iter().chain(&JAVASCRIPT) {
            let text = renamed(text, "word-count").to_lowercase();
            assert!(
                !text.contains("my-tool") && !text.contains("my_tool") && !text.contains("mytool"),
                "{path}"
            );
        }
    }
}
