//! Several needles, by neighbouring bytes of each, in eight groups.

use crate::lanes::Lanes;
use crate::set::ByteSet;
use crate::{MOST_SHARE, Misses, begins, scan};

/// Bytes of a needle that are looked up at the most.
const MOST_BYTES: usize = 3;
/// Groups of needles: one bit of a byte for each.
const GROUPS: usize = 8;
/// With no more places that look like a needle than this, two bytes are enough: a third costs half as much again.
const FEW: f64 = 1.0 / 400.0;

#[derive(Debug, Clone)]
pub(crate) struct Groups {
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

impl Groups {
    pub(crate) fn new(needles: &[Vec<ByteSet>]) -> Option<Self> {
        let shortest = needles.iter().map(Vec::len).min()?;
        let share = |bytes: usize| needles.iter().map(|sets| rarest(sets, bytes).1).sum::<f64>();
        let bytes = match shortest {
            0 | 1 => return None,
            2 => 2,
            _ if share(2) <= FEW => 2,
            _ => MOST_BYTES,
        };
        if share(bytes) > MOST_SHARE {
            return None;
        }
        let (low, high) = Default::default();
        let mut new = Self { groups: Default::default(), low, high, bytes };
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

    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        if self.bytes == 2 { self.search::<2>(text) } else { self.search::<MOST_BYTES>(text) }
    }

    fn search<const BYTES: usize>(&self, text: &[u8]) -> bool {
        let Some(count) = (text.len() + 1).checked_sub(BYTES) else { return false };
        let rows: [&[u8]; BYTES] = std::array::from_fn(|byte| &text[byte..byte + count]);
        let tables: [(Lanes, Lanes); BYTES] =
            std::array::from_fn(|byte| (Lanes::of(self.low[byte]), Lanes::of(self.high[byte])));
        let mut misses = Misses(0);
        let look = |lanes: [Lanes; BYTES]| {
            let mut found = lanes[0].lookup(tables[0].0, tables[0].1);
            for (lanes, (low, high)) in lanes.iter().zip(&tables).skip(1) {
                found = found.and(lanes.lookup(*low, *high));
            }
            found
        };
        let found = scan(rows, look, |at, groups| {
            (self.is_at(text, at, groups) || misses.too_many(at)).then_some(true)
        });
        found.unwrap_or_else(|| (0..count).any(|at| self.is_at(text, at, u8::MAX)))
    }

    /// Whether a needle of some groups has the bytes that are looked up here, and the others around them.
    fn is_at(&self, text: &[u8], at: usize, groups: u8) -> bool {
        let chosen = self.groups.iter().enumerate().filter(|(group, _)| groups & (1 << group) != 0);
        chosen.flat_map(|(_, needles)| needles).any(|needle| {
            let rest = at.checked_sub(needle.offset).and_then(|start| text.get(start..));
            rest.is_some_and(|rest| begins(&needle.sets, rest))
        })
    }
}

/// Returns where in a needle the rarest neighbouring bytes begin, and the share of places that have them.
fn rarest(sets: &[ByteSet], bytes: usize) -> (usize, f64) {
    let shares = sets.windows(bytes).map(|window| window.iter().map(ByteSet::share).product::<f64>());
    shares.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or((0, 1.0))
}
