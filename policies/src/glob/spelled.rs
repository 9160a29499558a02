//! A path as sets of patterns look at it: in the spellings that are compared, cut into names, with the hashes
//! by which an index finds the patterns that may match.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A path in the spellings it is compared in.
#[derive(Debug)]
pub(crate) struct Spelled<'a> {
    exact: Names<'a>,
    /// As [`fold`] has it; only where that differs.
    folded: Option<Names<'a>>,
    /// As file systems fold names, then as [`fold`] has it: without characters HFS+ ignores, without the dots
    /// and spaces that Windows drops from a name's end. Only where that differs.
    stripped: Option<Names<'a>>,
}

impl<'a> Spelled<'a> {
    /// `path` holds no empty name, as [`RelPath`](gloaming_api::RelPath) holds none.
    pub(crate) fn new(path: &'a str) -> Self {
        // Nearly every path ends here; this runs for every file of a walk.
        if path.is_ascii() && !ends_in_dropped(path.as_bytes()) {
            return Self { folded: folded(path), exact: Names::new(Cow::Borrowed(path)), stripped: None };
        }
        let nfc = match is_nfc_quick(path.chars()) {
            IsNormalized::Yes => Cow::Borrowed(path),
            _ => Cow::Owned(path.nfc().collect()),
        };
        let droppable = |name: &str| name.ends_with(['.', ' ']) || name.contains(ignorable);
        let stripped = nfc.split('/').any(droppable).then(|| {
            let names = nfc.split('/').map(|name| {
                let kept: String = name.chars().filter(|c| !ignorable(*c)).collect();
                match kept.trim_end_matches(['.', ' ']) {
                    "" => name.to_owned(),
                    kept => kept.to_owned(),
                }
            });
            let stripped = names.collect::<Vec<_>>().join("/");
            Names::new(Cow::Owned(fold(&stripped).into_owned()))
        });
        let folded = match fold(&nfc) {
            Cow::Borrowed(_) => None,
            Cow::Owned(folded) => Some(Names::new(Cow::Owned(folded))),
        };
        Self { folded, exact: Names::new(nfc), stripped }
    }

    /// The path in NFC.
    pub(crate) fn exact(&self) -> &Names<'a> {
        &self.exact
    }

    /// The path in NFC, folded by [`fold`].
    pub(crate) fn folded(&self) -> &Names<'a> {
        self.folded.as_ref().unwrap_or(&self.exact)
    }

    /// The folded path as a file system may hold it, where that is another.
    pub(crate) fn stripped(&self) -> Option<&Names<'a>> {
        self.stripped.as_ref()
    }
}

fn folded(path: &str) -> Option<Names<'_>> {
    match fold(path) {
        Cow::Borrowed(_) => None,
        Cow::Owned(folded) => Some(Names::new(Cow::Owned(folded))),
    }
}

/// Whether an ASCII path has a name that ends in a dot or a space.
fn ends_in_dropped(path: &[u8]) -> bool {
    let dropped = |byte: &u8| matches!(byte, b'.' | b' ');
    path.last().is_some_and(dropped) || path.windows(2).any(|pair| pair[1] == b'/' && dropped(&pair[0]))
}

/// The characters HFS+ leaves out of a comparison (git's `next_hfs_char`).
fn ignorable(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Lower case for ASCII and for the two characters whose simple case folding is an ASCII letter; all others as
/// they are. Two texts that differ by the case of these alone fold to the same; that of others the matcher
/// minds, by a class.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    if !text.is_ascii() && text.contains(['\u{17f}', '\u{212a}']) {
        Cow::Owned(text.chars().map(fold_char).collect())
    } else if upper {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

fn fold_char(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

/// A path cut into names.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    text: Cow<'a, str>,
    names: Vec<Name>,
}

/// One name: where it stands, and its hashes. Every set looks up the same, so they are made once.
#[derive(Debug, Clone, Copy)]
struct Name {
    start: u32,
    end: u32,
    hash: u64,
    path_hash: u64,
    extension_hash: Option<u64>,
}

impl<'a> Names<'a> {
    fn new(text: Cow<'a, str>) -> Self {
        let mut names = Vec::with_capacity(16);
        let mut path_hash = PATH_SEED;
        let place = |at: usize| u32::try_from(at).expect("a path is at most 4,096 bytes");
        // The root has no name: nothing matches it.
        let mut start = 0;
        for name in text.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let hash = hash_of(name);
            path_hash = path_hash_of(path_hash, hash);
            let end = start + name.len();
            let extension_hash = extension(name).map(hash_of);
            names.push(Name { start: place(start), end: place(end), hash, path_hash, extension_hash });
            start = end + 1;
        }
        Self { text, names }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn get(&self, at: usize) -> &str {
        let name = &self.names[at];
        &self.text[name.start as usize..name.end as usize]
    }

    /// The hash of one name.
    pub(super) fn hash(&self, at: usize) -> u64 {
        self.names[at].hash
    }

    /// The hash of what stands behind a name's last dot.
    pub(super) fn extension_hash(&self, at: usize) -> Option<u64> {
        self.names[at].extension_hash
    }

    /// The hash of the path from the root down to a name, that name included.
    pub(super) fn path_hash(&self, at: usize) -> u64 {
        self.names[at].path_hash
    }
}

/// What stands behind the last dot.
pub(super) fn extension(name: &[u8]) -> Option<&[u8]> {
    name.iter().rposition(|byte| *byte == b'.').map(|dot| &name[dot + 1..])
}

/// What [`path_hash_of`] begins with.
pub(super) const PATH_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of a path, from that of its parent and that of its last name.
pub(super) fn path_hash_of(parent: u64, name: u64) -> u64 {
    mix(parent.rotate_left(7) ^ name)
}

/// A hash that is quick for what is short. Who forges two texts of one hash has the matcher compare one more
/// pattern, and no more: nothing is decided by a hash.
pub(super) fn hash_of(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        hash = mix(hash ^ word);
    }
    if chunks.remainder().is_empty() {
        return hash;
    }
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(hash ^ u64::from_le_bytes(last))
}

fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0xa076_1d64_78bd_642f) * u128::from(0xe703_7ed1_a0b4_28db_u64);
    (product >> 64) as u64 ^ product as u64
}
