//! Whether a text holds one of several needles, sixteen places at a time.
//!
//! What the crates `memchr` and `aho-corasick` leave open in WebAssembly: the first searches for one text, and
//! the vector search of the second (*Teddy*, which this is a small form of) has no form there. A needle is a
//! sequence of sets of bytes, so that one that ignores case is a needle like any other.
//!
//! How it works: of each needle the three neighbouring bytes are chosen that are the rarest in source text. A
//! byte belongs to the sets of eight groups of needles as two table lookups, by its lower and its upper half,
//! tell; where the three lookups agree on a group, its needles are compared in full.
//!
//! Not here: where a needle is found. Invariants: no text that holds a needle is told to hold none; the time
//! for a text is in proportion to its length, whatever it holds: where the three bytes turn out to be common,
//! the search gives up and says that a needle may be there. `unsafe` is one load, in [`lanes`].
#![deny(unsafe_code)]

mod lanes;
mod set;

pub use set::ByteSet;

use lanes::Lanes;

/// Bytes of a needle that are looked up.
const MOST_BYTES: usize = 3;
/// Groups of needles: one bit of a byte for each.
const GROUPS: usize = 8;
/// How often a place may look like a needle and be none: so many times, and once for so many bytes.
const MISSES: usize = 64;
const BYTES_PER_MISS: usize = 32;

/// Needles to look for.
#[derive(Debug, Clone)]
pub struct Needles {
    groups: [Vec<Needle>; GROUPS],
    /// For each byte that is looked up, the groups by its lower and by its upper half.
    low: [[u8; 16]; MOST_BYTES],
    high: [[u8; 16]; MOST_BYTES],
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Needle {
    sets: Vec<ByteSet>,
    /// Where in it the bytes that are looked up begin.
    offset: usize,
}

impl Needles {
    /// Returns a search for needles, none when one is too short or so common that looking for it is no use.
    pub fn new(needles: &[Vec<ByteSet>]) -> Option<Self> {
        let bytes = needles.iter().map(Vec::len).min()?.min(MOST_BYTES);
        if bytes < 2 || share(needles) > MOST_SHARE {
            return None;
        }
        let mut new =
            Self { groups: Default::default(), low: Default::default(), high: Default::default(), bytes };
        let mut found: Vec<(usize, &Vec<ByteSet>)> =
            needles.iter().map(|sets| (rarest(sets, bytes).0, sets)).collect();
        // Needles that are looked up by the same bytes share a group where there are more needles than groups.
        found.sort_by_key(|(offset, sets)| sets[*offset..*offset + bytes].to_vec());
        let each = found.len().div_ceil(GROUPS);
        for (at, (offset, sets)) in found.into_iter().enumerate() {
            let group = at / each;
            for (position, set) in sets[offset..offset + bytes].iter().enumerate() {
                for byte in set.bytes() {
                    new.low[position][usize::from(byte & 15)] |= 1 << group;
                    new.high[position][usize::from(byte >> 4)] |= 1 << group;
                }
            }
            new.groups[group].push(Needle { sets: sets.clone(), offset });
        }
        Some(new)
    }

    /// Whether a text may hold one of the needles: true when it does, false only when it does not.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        if self.bytes == 3 { self.search::<3, 18>(text) } else { self.search::<2, 17>(text) }
    }

    /// `SPAN` is what sixteen places take: `BYTES` at the last of them.
    fn search<const BYTES: usize, const SPAN: usize>(&self, text: &[u8]) -> bool {
        const { assert!(SPAN == 15 + BYTES) }
        if text.len() < SPAN {
            return self.groups.iter().flatten().any(|needle| needle.is_in(text));
        }
        let tables: [(Lanes, Lanes); BYTES] =
            std::array::from_fn(|at| (Lanes::of(self.low[at]), Lanes::of(self.high[at])));
        let mut misses = 0;
        let last = text.len() - SPAN;
        let mut at = 0;
        loop {
            let Some(span) = text[at..].first_chunk::<SPAN>() else { return false };
            let places = |by: usize| span[by..].first_chunk().map_or(Lanes::of([0; 16]), Lanes::load);
            let mut found = places(0).lookup(tables[0].0, tables[0].1);
            for (by, (low, high)) in tables.iter().enumerate().skip(1) {
                found = found.and(places(by).lookup(*low, *high));
            }
            if found.any() {
                for (lane, groups) in found.bytes().into_iter().enumerate().filter(|(_, groups)| *groups != 0)
                {
                    if self.is_at(text, at + lane, groups) {
                        return true;
                    }
                    misses += 1;
                }
                if misses > MISSES + at / BYTES_PER_MISS {
                    return true;
                }
            }
            if at == last {
                return false;
            }
            // The last places overlap those before: looking at some twice is simpler than at fewer.
            at = last.min(at + 16);
        }
    }

    /// Whether a needle of some groups has the bytes that are looked up here, and the others around them.
    fn is_at(&self, text: &[u8], at: usize, groups: u8) -> bool {
        let mut of_groups =
            (0..GROUPS).filter(|group| groups & (1 << group) != 0).flat_map(|group| &self.groups[group]);
        of_groups.any(|needle| {
            let rest = at.checked_sub(needle.offset).and_then(|start| text.get(start..));
            rest.is_some_and(|rest| needle.begins(rest))
        })
    }
}

impl Needle {
    fn begins(&self, text: &[u8]) -> bool {
        text.len() >= self.sets.len() && self.sets.iter().zip(text).all(|(set, byte)| set.contains(*byte))
    }

    fn is_in(&self, text: &[u8]) -> bool {
        text.windows(self.sets.len()).any(|window| self.begins(window))
    }
}

/// The share of places that may look like a needle, beyond which searching for it does not pay.
const MOST_SHARE: f64 = 1.0 / 256.0;

/// Returns the share of places in source text that are expected to look like one of some needles.
pub fn share(needles: &[Vec<ByteSet>]) -> f64 {
    let bytes = needles.iter().map(Vec::len).min().unwrap_or(0).min(MOST_BYTES);
    if bytes == 0 { 1.0 } else { needles.iter().map(|sets| rarest(sets, bytes).1).sum() }
}

/// Returns where in a needle the rarest neighbouring bytes begin, and the share of places that have them.
fn rarest(sets: &[ByteSet], bytes: usize) -> (usize, f64) {
    let shares = sets.windows(bytes).map(|window| window.iter().map(ByteSet::share).product::<f64>());
    shares.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or((0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(text: &str) -> Vec<ByteSet> {
        text.bytes().map(ByteSet::of).collect()
    }

    fn any_case(text: &str) -> Vec<ByteSet> {
        let both = |byte: u8| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()].into_iter().collect();
        text.bytes().map(both).collect()
    }

    #[test]
    fn needles_are_found_wherever_they_lie() {
        let needles = Needles::new(&[exact("needle"), any_case("HayStack"), exact("xy")]).unwrap();
        for length in [2, 6, 8, 15, 16, 17, 18, 19, 33, 34, 100] {
            for text in ["needle", "haystACK", "HAYSTACK", "xy"] {
                for at in 0..(length + 1_usize).saturating_sub(text.len()) {
                    let mut hay = vec![b'.'; length];
                    hay[at..at + text.len()].copy_from_slice(text.as_bytes());
                    assert!(needles.may_be_in(&hay), "{text} at {at} of {length}");
                }
            }
            assert!(!needles.may_be_in(&vec![b'.'; length]));
            assert!(!needles.may_be_in(&b"Needl".repeat(length.min(30))));
        }
        assert!(!needles.may_be_in(b""));
    }

    #[test]
    fn a_needle_that_does_not_fit_is_not_there() {
        let needles = Needles::new(&[exact("a long needle with a rare qz in it")]).unwrap();
        assert!(!needles.may_be_in(b"qz in it and then some more text that is long enough"));
        assert!(!needles.may_be_in(b"some text that is long enough, a long needle with a rare qz in"));
    }

    #[test]
    fn what_is_too_common_or_too_short_is_not_looked_for() {
        assert!(Needles::new(&[]).is_none());
        assert!(Needles::new(&[exact("x")]).is_none());
        assert!(Needles::new(&[exact("needle"), exact("  ")]).is_none());
        let letters: ByteSet = (b'a'..=b'z').collect();
        assert!(Needles::new(&[vec![letters; 8]]).is_none());
    }

    #[test]
    fn a_text_full_of_near_misses_is_given_up_on() {
        let needles = Needles::new(&[exact("zqj but never followed by this")]).unwrap();
        assert!(needles.may_be_in(&b"zqj ".repeat(1_000)));
        assert!(!needles.may_be_in(&b"zqj ".repeat(10)));
    }

    proptest! {
        /// Against looking at every place: nothing that is there is missed, and while the search does not give
        /// up, nothing is found that is not.
        #[test]
        fn agrees_with_looking_everywhere(
            texts in prop::collection::vec("[abQ_]{2,5}", 1..20),
            ignores in any::<bool>(),
            hay in "[abqQ_\u{e9} ]{0,120}",
        ) {
            let sets: Vec<_> = texts.iter().map(|t| if ignores { any_case(t) } else { exact(t) }).collect();
            if let Some(needles) = Needles::new(&sets) {
                let lower = |text: &str| if ignores { text.to_ascii_lowercase() } else { text.to_owned() };
                let there = texts.iter().any(|text| lower(&hay).contains(&lower(text)));
                let told = needles.may_be_in(hay.as_bytes());
                prop_assert!(told || !there);
                prop_assert!(told == there || hay.len() > MISSES);
            }
        }
    }
}
