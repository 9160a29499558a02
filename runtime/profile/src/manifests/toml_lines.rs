//! TOML with the lines of its keys.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mine::line_at;

/// A parsed file.
pub(crate) struct Toml<'a> {
    text: &'a str,
    root: DeTable<'a>,
}

impl<'a> Toml<'a> {
    /// Parses a file; none when it is not TOML.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Some(Self { text, root: DeTable::parse(text).ok()?.into_inner() })
    }

    /// Returns the line of a key, by the names of the tables down to it.
    pub(crate) fn line(&self, path: &[&str]) -> Option<u32> {
        self.find(path).map(|(offset, _)| line_at(self.text, offset))
    }

    /// Returns a value.
    pub(crate) fn value(&self, path: &[&str]) -> Option<&DeValue<'a>> {
        self.find(path).map(|(_, value)| value)
    }

    fn find(&self, path: &[&str]) -> Option<(usize, &DeValue<'a>)> {
        let (last, tables) = path.split_last()?;
        let mut table = &self.root;
        for name in tables {
            table = match entry(table, name)?.1.as_ref() {
                DeValue::Table(inner) => inner,
                _ => return None,
            };
        }
        let (key, value) = entry(table, last)?;
        Some((key.span().start, value.as_ref()))
    }
}

type Entry<'t, 'a> = (&'t Spanned<std::borrow::Cow<'a, str>>, &'t Spanned<DeValue<'a>>);

fn entry<'t, 'a>(table: &'t DeTable<'a>, name: &str) -> Option<Entry<'t, 'a>> {
    table.iter().find(|(key, _)| key.as_ref() == name)
}
