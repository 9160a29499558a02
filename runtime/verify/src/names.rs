//! Names nobody can guess before the patch is frozen.

/// Makes random names from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    random: Random,
}

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed) }
    }

    /// Returns 12 lower-case letters; nothing in them tells a control from any other test.
    pub(crate) fn next_name(&mut self) -> String {
        let mut bits = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let mut name = String::with_capacity(12);
        for _ in 0..12 {
            name.push(char::from(b'a' + (bits % 26) as u8));
            bits /= 26;
        }
        name
    }
}

/// Numbers that look random: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns a number below 1.
    #[cfg(test)]
    pub(crate) fn chance(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let (mut a, mut b) = (Names::new(7), Names::new(7));
        let first = a.next_name();
        assert_eq!(first, b.next_name());
        assert_ne!(first, a.next_name());
        assert_ne!(first, Names::new(8).next_name());
        assert!(first.len() == 12 && first.bytes().all(|b| b.is_ascii_lowercase()));
    }
}
