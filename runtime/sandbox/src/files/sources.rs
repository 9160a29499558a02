//! What a call made of source files, by their grammars: syntax errors that it brought in.
//!
//! A note in the answer, never a refusal: a grammar may not know a construct, and a change may take several
//! calls. It is a pure function of what the files held before the call and after it, so a replay tells the same;
//! how much is parsed is held by sizes alone and not by a clock.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;

use gloaming_api::RelPath;
use gloaming_policies::Access;
use gloaming_syntax::{Language, SyntaxError, new_errors_among};

use super::read::read_into;
use super::{Change, View, shown};

/// The largest source that is looked at, and the most of all that one call changed, before and after, bytes. A
/// parser that is led astray by a source takes time by its square: of this much, a second or two.
const LARGEST: u64 = 128 << 10;
const ALL: u64 = 256 << 10;
/// Errors that are told of one call.
const TOLD: usize = 5;
/// Characters of a line that are shown.
const SHOWN: usize = 160;

/// The source files that a call changed.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: BTreeMap<RelPath, Source>,
    bytes: u64,
}

/// One of them, before the call and now; none where there is no such file, or one that is not looked at.
#[derive(Debug)]
struct Source {
    language: Language,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    /// Whether there was more before than is looked at: what stands here now may have stood there.
    unknown: bool,
}

/// What a file held before a call.
#[derive(Debug)]
pub(super) enum Before {
    /// There was no such file, or its content must not be told of.
    Nothing,
    /// More than is looked at.
    TooMuch,
    Content(Vec<u8>),
}

impl Sources {
    /// Returns what changes will replace or remove of sources that the call has not changed before.
    pub(super) fn found(&self, view: &View, changes: &[Change]) -> Vec<(RelPath, Before)> {
        let paths = changes.iter().flat_map(Change::paths);
        let new =
            paths.filter(|path| !self.files.contains_key(path) && Language::of(path.as_str()).is_some());
        let mut room = ALL.saturating_sub(self.bytes);
        let mut found = Vec::new();
        for path in new {
            let content = content(view, path, room.min(LARGEST));
            room -= content.len();
            found.push((path.clone(), content));
        }
        found
    }

    /// Notes changes that were made, and what was found before them.
    pub(super) fn made(&mut self, found: Vec<(RelPath, Before)>, changes: Vec<Change>) {
        for (path, before) in found {
            let Some(language) = Language::of(path.as_str()) else { continue };
            self.bytes += before.len();
            let unknown = matches!(before, Before::TooMuch);
            let before = match before {
                Before::Content(content) => Some(content),
                Before::Nothing | Before::TooMuch => None,
            };
            if let Entry::Vacant(new) = self.files.entry(path) {
                new.insert(Source { language, after: before.clone(), before, unknown });
            }
        }
        for change in changes {
            match change {
                Change::Put { path, data, .. } => {
                    let fits = data.len() as u64 <= LARGEST.min(ALL.saturating_sub(self.bytes));
                    if let Some(source) = self.files.get_mut(&path) {
                        if fits {
                            self.bytes += data.len() as u64;
                        }
                        source.after = fits.then_some(data);
                    }
                }
                Change::Remove { path, .. } => {
                    if let Some(source) = self.files.get_mut(&path) {
                        source.after = None;
                    }
                }
                Change::Rename { from, to, .. } => {
                    let moved = self.files.get_mut(&from).map(|source| (source.after.take(), source.unknown));
                    let (moved, unknown) = moved.unwrap_or_default();
                    if let Some(source) = self.files.get_mut(&to) {
                        source.after = moved;
                        source.unknown |= unknown;
                    }
                }
            }
        }
    }

    /// Says which syntax errors the files have now that none of them had before; none where there are none.
    pub(super) fn note(&self) -> Option<String> {
        let changed =
            || self.files.iter().filter(|(_, source)| source.unknown || source.before != source.after);
        let mut errors: Vec<(&RelPath, &[u8], SyntaxError)> = Vec::new();
        for (path, source) in changed() {
            let Some(after) = &source.after else { continue };
            // What stands in a file that is gone now may have moved here.
            let gone: Vec<&Source> = changed()
                .map(|(_, other)| other)
                .filter(|other| other.after.is_none() && other.language == source.language)
                .collect();
            if source.unknown || gone.iter().any(|other| other.unknown) {
                continue;
            }
            let before = source.before.iter().chain(gone.iter().filter_map(|other| other.before.as_ref()));
            let before: Vec<&[u8]> = before.map(Vec::as_slice).collect();
            let new = new_errors_among(source.language, &before, after);
            errors.extend(new.into_iter().map(|error| (path, after.as_slice(), error)));
        }
        if errors.is_empty() {
            return None;
        }
        let mut note = String::from("[new syntax errors, which were not there before this call:\n");
        for (path, source, error) in errors.iter().take(TOLD) {
            let line = source.split(|byte| *byte == b'\n').nth(error.line.saturating_sub(1) as usize);
            let line = String::from_utf8_lossy(line.unwrap_or_default());
            let line: String = line.trim().chars().take(SHOWN).collect();
            let what = match error.text.strip_prefix("missing ") {
                Some(_) => error.text.clone(),
                None => format!("unexpected `{}`", error.text),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(note, "{}:{}:{}: {what}, in: {line}", shown(path), error.line, error.column);
        }
        if errors.len() > TOLD {
            let _ = writeln!(note, "and {} more", errors.len() - TOLD);
        }
        note.push_str("Look whether that is meant]\n");
        Some(note)
    }
}

impl Before {
    fn len(&self) -> u64 {
        match self {
            Self::Content(content) => content.len() as u64,
            Self::Nothing | Self::TooMuch => 0,
        }
    }
}

/// Returns what a file holds, up to `most` bytes. Nothing as well where the policy does not let it be read: which errors are
/// told must not tell of what it held.
fn content(view: &View, path: &RelPath, most: u64) -> Before {
    if !view.permit.allows(Access::Read, path) {
        return Before::Nothing;
    }
    let Ok((file, stat)) = view.root.open_file(path) else { return Before::Nothing };
    let Some(size) = u64::try_from(stat.st_size).ok().filter(|size| *size <= most) else {
        return Before::TooMuch;
    };
    let mut data = Vec::new();
    match read_into(view, path, &file, 0, size, &mut data) {
        Ok(_) => Before::Content(data),
        Err(_) => Before::Nothing,
    }
}
