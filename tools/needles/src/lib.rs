//! Whether a text holds one of several needles, sixty-four places at a time.
//!
//! What the crates `memchr` and `aho-corasick` leave open in WebAssembly: the first searches for one text in one
//! case, and the vector search of the second (*Teddy*) has no form there. A needle is a sequence of sets of
//! bytes, so that one that ignores case is a needle like any other.
//!
//! Two ways, both by the bytes of a needle that are the rarest in source text. A single needle is looked for by
//! two of them, compared (where a letter may be in either case, without the bit that tells the cases apart).
//! Several needles are looked for by two or three neighbouring bytes of each: two table lookups, by the lower and
//! the upper half of a byte, tell to which of eight groups of needles it fits, and where all bytes agree on a
//! group, its needles are compared in full.
//!
//! Not here: where a needle is found. Invariants: no text that holds a needle is told to hold none; the time
//! for a text is in proportion to its length, whatever it holds: where the chosen bytes turn out to be common,
//! the search gives up and says that a needle may be there. `unsafe` is one load, in [`lanes`].
#![deny(unsafe_code)]

mod groups;
mod lanes;
mod pair;
mod set;

pub use set::ByteSet;

use groups::Groups;
use lanes::Lanes;
use pair::Pair;

/// The share of places that may look like a needle, beyond which searching for it does not pay.
const MOST_SHARE: f64 = 1.0 / 128.0;
/// Places looked at together.
const PLACES: usize = 64;

/// Needles to look for.
#[derive(Debug, Clone)]
pub struct Needles(How);

#[derive(Debug, Clone)]
enum How {
    Pair(Pair),
    Groups(Box<Groups>),
}

impl Needles {
    /// Returns a search for needles, none when one is too short or so common that looking for it is no use.
    pub fn new(needles: &[Vec<ByteSet>]) -> Option<Self> {
        if let [needle] = needles
            && let Some(pair) = Pair::new(needle)
        {
            return Some(Self(How::Pair(pair)));
        }
        Groups::new(needles).map(|groups| Self(How::Groups(Box::new(groups))))
    }

    /// Whether a text may hold one of the needles: true when it does, false only when it does not.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        match &self.0 {
            How::Pair(pair) => pair.may_be_in(text),
            How::Groups(groups) => groups.may_be_in(text),
        }
    }
}

/// Returns the share of places in source text that are expected to look like one of some needles.
pub fn share(needles: &[Vec<ByteSet>]) -> f64 {
    let rarest = |sets: &Vec<ByteSet>| {
        let mut shares: Vec<f64> = sets.iter().map(ByteSet::share).collect();
        shares.sort_by(f64::total_cmp);
        shares.iter().take(2).product::<f64>()
    };
    needles.iter().map(rarest).sum()
}

/// Whether a text begins with a needle.
fn begins(needle: &[ByteSet], text: &[u8]) -> bool {
    text.len() >= needle.len() && needle.iter().zip(text).all(|(set, byte)| set.contains(*byte))
}

/// Counts places that look like a needle and are none, and says when there are too many.
struct Misses(usize);

impl Misses {
    const MOST: usize = 64;
    const BYTES_EACH: usize = 32;

    fn too_many(&mut self, at: usize) -> bool {
        self.0 += 1;
        self.0 > Self::MOST + at / Self::BYTES_EACH
    }
}

/// Looks at every place, [`PLACES`] at a time: `rows` are the text as each of the chosen bytes sees it, equally
/// long, and `look` says what it finds at the places of one lane. Where it finds anything, `found` is asked,
/// with the place and what it was; its answer ends the search.
///
/// The last places overlap those before, and are looked at twice: simpler than looking at fewer. Returns none
/// when there are too few places for even one look.
#[inline(always)]
fn scan<const ROWS: usize>(
    rows: [&[u8]; ROWS],
    look: impl Fn([Lanes; ROWS]) -> Lanes,
    mut found: impl FnMut(usize, u8) -> Option<bool>,
) -> Option<bool> {
    let count = rows[0].len();
    let last = count.checked_sub(PLACES)?;
    let mut at = 0;
    loop {
        let mut lanes = [Lanes::of([0; 16]); PLACES / 16];
        let blocks: [&[u8; PLACES]; ROWS] = std::array::from_fn(|row| {
            rows[row][at..].first_chunk().expect("every row has as many places, and so many are left")
        });
        for (part, lanes) in lanes.iter_mut().enumerate() {
            *lanes = look(std::array::from_fn(|row| Lanes::load(&blocks[row].as_chunks::<16>().0[part])));
        }
        if lanes[0].or(lanes[1]).or(lanes[2].or(lanes[3])).any() {
            for (part, lanes) in lanes.iter().enumerate() {
                for (lane, what) in lanes.bytes().into_iter().enumerate().filter(|(_, what)| *what != 0) {
                    if let Some(answer) = found(at + part * 16 + lane, what) {
                        return Some(answer);
                    }
                }
            }
        }
        if at == last {
            return Some(false);
        }
        at = last.min(at + PLACES);
    }
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
        let several = Needles::new(&[exact("needle"), any_case("HayStack"), exact("xy")]).unwrap();
        let single = Needles::new(&[any_case("HayStack")]).unwrap();
        assert!(matches!((&several.0, &single.0), (How::Groups(_), How::Pair(_))));
        for length in [2, 6, 8, 15, 16, 17, 18, 63, 64, 65, 66, 71, 72, 129, 200] {
            for text in ["needle", "haystACK", "HAYSTACK", "xy"] {
                for at in 0..(length + 1_usize).saturating_sub(text.len()) {
                    let mut hay = vec![b'.'; length];
                    hay[at..at + text.len()].copy_from_slice(text.as_bytes());
                    assert!(several.may_be_in(&hay), "{text} at {at} of {length}");
                    assert_eq!(single.may_be_in(&hay), text.len() == 8, "{text} at {at} of {length}");
                }
            }
            for needles in [&several, &single] {
                assert!(!needles.may_be_in(&vec![b'.'; length]));
                assert!(!needles.may_be_in(&b"Needl".repeat(length.min(30))));
            }
        }
        assert!(!several.may_be_in(b"") && !single.may_be_in(b""));
    }

    #[test]
    fn a_needle_that_does_not_fit_is_not_there() {
        for others in [&[][..], &[exact("other_zq")]] {
            let mut all = vec![exact("a long needle with a rare qz in it")];
            all.extend_from_slice(others);
            let needles = Needles::new(&all).unwrap();
            let after =
                "and then some more text that is long enough for a whole look, and one more".repeat(2);
            assert!(!needles.may_be_in(format!("qz in it {after}").as_bytes()));
            assert!(!needles.may_be_in(format!("{after}, a long needle with a rare qz in").as_bytes()));
        }
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
        for all in [&[exact("zqj but never followed by this")][..], &[exact("zqj but"), exact("never_this")]]
        {
            let needles = Needles::new(all).unwrap();
            assert!(needles.may_be_in(&b"zqj ".repeat(1_000)));
            assert!(!needles.may_be_in(&b"zqj ".repeat(10)));
        }
    }

    proptest! {
        /// Against looking at every place: nothing that is there is missed, and while the search does not give
        /// up, nothing is found that is not.
        #[test]
        fn agrees_with_looking_everywhere(
            texts in prop::collection::vec("[abQ_]{2,5}", 1..20),
            ignores in any::<bool>(),
            hay in "[abqQ_\u{e9} ]{0,240}",
        ) {
            let sets: Vec<_> = texts.iter().map(|t| if ignores { any_case(t) } else { exact(t) }).collect();
            if let Some(needles) = Needles::new(&sets) {
                let lower = |text: &str| if ignores { text.to_ascii_lowercase() } else { text.to_owned() };
                let there = texts.iter().any(|text| lower(&hay).contains(&lower(text)));
                let told = needles.may_be_in(hay.as_bytes());
                prop_assert!(told || !there);
                prop_assert!(told == there || hay.len() > Misses::MOST);
            }
        }
    }
}
