//! One needle, by two of its bytes.

use crate::lanes::Lanes;
use crate::set::ByteSet;
use crate::{MOST_SHARE, Misses, begins, scan};

#[derive(Debug, Clone)]
pub(crate) struct Pair {
    needle: Vec<ByteSet>,
    /// Where its two rarest bytes are, the first first, and what they are.
    places: [usize; 2],
    bytes: [Masked; 2],
}

/// Bytes that are the same under a mask.
#[derive(Debug, Clone, Copy)]
struct Masked {
    mask: u8,
    byte: u8,
}

impl Masked {
    /// Returns what all bytes of a set, and no others, have in common; none where they have nothing.
    fn of(set: &ByteSet) -> Option<Self> {
        let mut bytes = set.bytes();
        let (first, second, more) = (bytes.next()?, bytes.next(), bytes.next());
        match (second, more) {
            (None, _) => Some(Self { mask: 0xff, byte: first }),
            (Some(second), None) if (first ^ second).is_power_of_two() => {
                let mask = !(first ^ second);
                Some(Self { mask, byte: first & mask })
            }
            _ => None,
        }
    }
}

impl Pair {
    /// Returns none where no two bytes are rare enough, or are not of one letter each.
    pub(crate) fn new(needle: &[ByteSet]) -> Option<Self> {
        let mut fit: Vec<(f64, usize, Masked)> = needle
            .iter()
            .enumerate()
            .filter_map(|(at, set)| Some((set.share(), at, Masked::of(set)?)))
            .collect();
        fit.sort_by(|a, b| a.0.total_cmp(&b.0));
        let [(one, first, a), (other, second, b), ..] = fit.as_slice() else { return None };
        if one * other > MOST_SHARE {
            return None;
        }
        Some(Self { needle: needle.to_vec(), places: [*first, *second], bytes: [*a, *b] })
    }

    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        let Some(count) = (text.len() + 1).checked_sub(self.needle.len()) else { return false };
        let rows = self.places.map(|place| &text[place..place + count]);
        let masks = self.bytes.map(|masked| Lanes::of([masked.mask; 16]));
        let bytes = self.bytes.map(|masked| Lanes::of([masked.byte; 16]));
        let mut misses = Misses(0);
        let found = |at, _| {
            let there = begins(&self.needle, &text[at..]);
            (there || misses.too_many(at)).then_some(true)
        };
        // Most needles are to be found as they are spelled: a fifth less to do.
        let found = if self.bytes.iter().all(|masked| masked.mask == 0xff) {
            scan(rows, |[a, b]| a.equal(bytes[0]).and(b.equal(bytes[1])), found)
        } else {
            let same = |lanes: Lanes, which: usize| lanes.and(masks[which]).equal(bytes[which]);
            scan(rows, |[a, b]| same(a, 0).and(same(b, 1)), found)
        };
        found.unwrap_or_else(|| (0..count).any(|at| begins(&self.needle, &text[at..])))
    }
}
