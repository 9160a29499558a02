//! The languages there are grammars for, and parsing.

use tree_sitter::{Parser, Tree};

/// The largest source that is parsed, in bytes; a tree takes some twenty times as much.
pub const MAX_SOURCE: usize = 4 << 20;

/// A language with a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// JavaScript, with JSX.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// Go.
    Go,
}

impl Language {
    /// Every language.
    pub const ALL: &[Self] =
        &[Self::Rust, Self::Python, Self::JavaScript, Self::TypeScript, Self::Tsx, Self::Go];

    /// Returns the language of a path by its extension.
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        match name.rsplit_once('.')?.1 {
            "rs" => Some(Self::Rust),
            "py" | "pyi" => Some(Self::Python),
            "js" | "mjs" | "cjs" | "jsx" => Some(Self::JavaScript),
            "ts" | "mts" | "cts" => Some(Self::TypeScript),
            "tsx" => Some(Self::Tsx),
            "go" => Some(Self::Go),
            _ => None,
        }
    }

    /// Parses a source. None when it is larger than [`MAX_SOURCE`]; a source that does not fit the grammar
    /// has a tree with errors in it.
    pub(crate) fn parse(self, source: &[u8]) -> Option<Tree> {
        if source.len() > MAX_SOURCE {
            return None;
        }
        self.parser().parse(source, None)
    }

    /// Returns the language's grammar.
    pub(crate) fn grammar(self) -> tree_sitter::Language {
        let grammar = match self {
            Self::Rust => tree_sitter_rust::LANGUAGE,
            Self::Python => tree_sitter_python::LANGUAGE,
            Self::JavaScript => tree_sitter_javascript::LANGUAGE,
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
            Self::Go => tree_sitter_go::LANGUAGE,
        };
        grammar.into()
    }

    /// Returns a parser of the language.
    pub(crate) fn parser(self) -> Parser {
        let mut parser = Parser::new();
        parser.set_language(&self.grammar()).expect("a test parses every language");
        parser
    }

    /// Whether it is JavaScript or one of its supersets.
    pub(crate) fn is_script(self) -> bool {
        matches!(self, Self::JavaScript | Self::TypeScript | Self::Tsx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_language() {
        for (path, want) in [
            ("src/lib.rs", Some(Language::Rust)),
            ("a.b/c.py", Some(Language::Python)),
            ("types.pyi", Some(Language::Python)),
            ("x.mjs", Some(Language::JavaScript)),
            ("x.d.ts", Some(Language::TypeScript)),
            ("App.tsx", Some(Language::Tsx)),
            ("main.go", Some(Language::Go)),
            ("Makefile", None),
            ("a.rs/README", None),
            ("", None),
        ] {
            assert_eq!(Language::of(path), want, "{path}");
        }
    }

    #[test]
    fn every_grammar_loads() {
        for language in Language::ALL {
            assert!(!language.parse(b"").expect("small").root_node().has_error());
            assert!(language.parse(&vec![b' '; MAX_SOURCE + 1]).is_none());
        }
    }
}
