//! A task's text as words and quoted pieces, and a reader of fixed phrases.

use super::languages::{self, Row};

/// A longer text asks for more than one playbook does.
const LONGEST: usize = 8000;

/// What may stand before what is asked for.
pub(super) const ASKING: &str =
    "please kindly could can would you we i want need should to let's lets hi hello task chore";
/// What may stand behind it.
pub(super) const THANKS: &str = "please thanks thank you";

#[derive(Debug, Clone, PartialEq)]
enum Said {
    /// A word without the stops around it.
    Word(String),
    /// What stood between backticks, in a fence of them, or between double quotes.
    Quoted(String),
}

/// Reads a text from its first word to its last: what is not taken keeps it from being over.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    said: Vec<Said>,
    at: usize,
}

impl Reader {
    /// Cuts a text into words; none where it is too long, or a quotation does not end.
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut said = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let ticks = rest.len() - rest.trim_start_matches('`').len();
            if ticks > 0 {
                let fence = &rest[..ticks];
                let behind = &rest[ticks..];
                let end = closing(behind, fence)?;
                said.push(Said::Quoted(inner(&behind[..end], ticks)));
                rest = &behind[end + ticks..];
            } else if first == '"' {
                let behind = &rest[1..];
                let end = behind.find('"')?;
                said.push(Said::Quoted(behind[..end].to_owned()));
                rest = &behind[end + 1..];
            } else {
                let end = rest.find(|c: char| c.is_whitespace() || c == '`').unwrap_or(rest.len());
                let stops = ['.', ',', ':', ';', '!', '?', '(', ')'];
                let word = rest[..end].trim_end_matches(stops).trim_start_matches(['(', ',', ':', ';']);
                if !word.is_empty() {
                    said.push(Said::Word(word.to_owned()));
                }
                rest = &rest[end..];
            }
            rest = rest.trim_start();
        }
        Some(Self { said, at: 0 })
    }

    /// Takes the next word where it is one of some, given with spaces between; returns it in lower case.
    pub(super) fn one(&mut self, words: &str) -> Option<String> {
        let Some(Said::Word(word)) = self.said.get(self.at) else { return None };
        let word = word.to_lowercase();
        words.split_ascii_whitespace().any(|known| known == word).then(|| {
            self.at += 1;
            word
        })
    }

    /// Takes as many words as are of some; returns whether there was any.
    pub(super) fn any(&mut self, words: &str) -> bool {
        let from = self.at;
        while self.one(words).is_some() {}
        self.at > from
    }

    /// Takes the next word, quoted or not, where it is such a one; returns it as it is written.
    pub(super) fn word(&mut self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let (Said::Word(word) | Said::Quoted(word)) = self.said.get(self.at)?;
        let word = word.clone();
        fits(&word).then(|| {
            self.at += 1;
            word
        })
    }

    /// Takes a quoted piece.
    pub(super) fn quoted(&mut self) -> Option<String> {
        let Some(Said::Quoted(text)) = self.said.get(self.at) else { return None };
        self.at += 1;
        Some(text.clone())
    }

    /// Whether a word is anywhere in the text; it is given in lower case.
    pub(super) fn says(&self, word: &str) -> bool {
        self.said.iter().any(|said| matches!(said, Said::Word(other) if other.to_lowercase() == word))
    }

    /// Whether every word was taken.
    pub(super) fn is_over(&self) -> bool {
        self.at == self.said.len()
    }

    /// Takes "all Rust and Python files in src/", or as much of it as there is; none where no files are named, or one of a
    /// language that is not known.
    pub(super) fn files(&mut self) -> Option<Which> {
        self.any("all every each the our any of");
        let mut languages: Vec<&'static Row> = Vec::new();
        while let Some(Said::Word(word)) = self.said.get(self.at) {
            match languages::named(word) {
                Some(language) if !languages.contains(&language) => languages.push(language),
                Some(_) => {}
                None if word.eq_ignore_ascii_case("and") && !languages.is_empty() => {}
                None => break,
            }
            self.at += 1;
        }
        let source = self.any("source code");
        if self.one("file files").is_none() && !source && languages.is_empty() {
            return None;
        }
        let scope = if self.one("in under below within inside of across throughout").is_some() {
            self.any("the this our whole entire folder directory file");
            if self.one("repository repo project codebase workspace tree").is_some() {
                None
            } else {
                Some(self.path()?)
            }
        } else {
            None
        };
        self.any("folder directory");
        Some(Which { languages, source, scope })
    }

    /// Takes a path, quoted or not, as the workspace spells it.
    pub(super) fn path(&mut self) -> Option<String> {
        let path = match self.said.get(self.at)? {
            Said::Word(path) | Said::Quoted(path) => path.trim_start_matches("./").trim_end_matches('/'),
        };
        let fit = !path.is_empty()
            && !path.starts_with('/')
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !path.contains(|c: char| c.is_whitespace() || "*?[]{}\\".contains(c));
        let path = path.to_owned();
        fit.then(|| {
            self.at += 1;
            path
        })
    }
}

/// Which files a text means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Which {
    pub(super) languages: Vec<&'static Row>,
    /// Whether it says that it means source.
    pub(super) source: bool,
    /// The file or folder they are in; none for everywhere.
    pub(super) scope: Option<String>,
}

impl Which {
    /// Returns the files in words: `Rust and Python files in src`.
    pub(super) fn shown(&self) -> String {
        let names: Vec<&str> = self.languages.iter().map(|language| language.name).collect();
        let what = if names.is_empty() { "source".to_owned() } else { names.join(" and ") };
        format!("{what} files{}", self.place())
    }

    /// Returns the files of the same kinds in one place.
    pub(super) fn within(&self, place: &str) -> String {
        Self { scope: Some(place.to_owned()), ..self.clone() }.shown()
    }

    /// Returns ` in src`, or nothing.
    pub(super) fn place(&self) -> String {
        self.scope.as_ref().map_or(String::new(), |scope| format!(" in {scope}"))
    }
}

/// Where a run of backticks ends by one as long.
fn closing(text: &str, fence: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let start = at + text[at..].find('`')?;
        let length = text[start..].len() - text[start..].trim_start_matches('`').len();
        if length == fence.len() {
            return Some(start);
        }
        at = start + length;
    }
}

/// Returns what a fence or a pair of backticks is around.
fn inner(text: &str, ticks: usize) -> String {
    if ticks >= 3
        && let Some((_, body)) = text.split_once('\n')
    {
        return body.trim_end_matches(['\n', ' ']).to_owned();
    }
    let padded = ticks >= 2 && text.starts_with(' ') && text.ends_with(' ') && text.len() > 2;
    if padded { text[1..text.len() - 1].to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match Reader::new(text) {
            None => "none".into(),
            Some(reader) => {
                let told = |said: &Said| match said {
                    Said::Word(word) => word.clone(),
                    Said::Quoted(text) => format!("<{text}>"),
                };
                reader.said.iter().map(told).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn a_text_is_words_and_what_is_quoted() {
        assert_eq!(said("Add (this): `a b`, to \"c d\"."), "Add this <a b> to <c d>");
        assert_eq!(said("``a `b` c`` x"), "<a `b` c> x");
        assert_eq!(said("x:\n```text\na\n\nb\n```\n"), "x <a\n\nb>");
        assert_eq!(said("a `b"), "none");
        assert_eq!(said("C++ and c#, src/a.rs!"), "C++ and c# src/a.rs");
    }

    #[test]
    fn files_are_named_by_language_and_place() {
        let files = |text: &str| {
            let mut reader = Reader::new(text).unwrap();
            reader.files().map(|which| (which.shown(), which.source, reader.is_over()))
        };
        assert_eq!(files("all Rust files"), Some(("Rust files".into(), false, true)));
        assert_eq!(
            files("every Python, Go and Go file in ./src/"),
            Some(("Python and Go files in src".into(), false, true))
        );
        assert_eq!(files("all source files in the repository"), Some(("source files".into(), true, true)));
        assert_eq!(files("the source code below the folder `a b`"), None);
        assert_eq!(files("files in ../x"), None);
        assert_eq!(files("all Cobol files"), None);
        assert_eq!(files("files in src and elsewhere"), Some(("source files in src".into(), false, false)));
    }
}
