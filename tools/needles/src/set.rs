//! Sets of bytes, and how common they are.

/// A set of bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// Returns the set of one byte.
    pub fn of(byte: u8) -> Self {
        std::iter::once(byte).collect()
    }

    /// Whether a byte is in it.
    pub fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|byte| self.contains(*byte))
    }

    /// Returns the only byte in it, none when there are more or fewer.
    pub fn only(&self) -> Option<u8> {
        let mut bytes = self.bytes();
        bytes.next().filter(|_| bytes.next().is_none())
    }

    /// Returns the share of the bytes of source text that are in it.
    pub(crate) fn share(&self) -> f64 {
        self.bytes().map(|byte| f64::from(per_myriad(byte)) / 1e4).sum()
    }
}

impl FromIterator<u8> for ByteSet {
    fn from_iter<T: IntoIterator<Item = u8>>(bytes: T) -> Self {
        let mut set = [0; 4];
        for byte in bytes {
            set[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        Self(set)
    }
}

impl std::fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.only() {
            Some(byte) => write!(f, "{}", byte.escape_ascii()),
            None => write!(
                f,
                "[{}]",
                self.bytes().map(|byte| byte.escape_ascii().to_string()).collect::<String>()
            ),
        }
    }
}

/// How many of ten thousand bytes of source text are this one, roughly. Only the order of magnitude counts.
fn per_myriad(byte: u8) -> u16 {
    match byte {
        b' ' => 1_800,
        b'e' | b't' => 600,
        b'a' | b'i' | b'n' | b'o' | b'r' | b's' => 430,
        b'\n' | b'c' | b'd' | b'l' => 280,
        b'_' | b'f' | b'm' | b'p' | b'u' => 190,
        b'"' | b'(' | b')' | b',' | b'.' | b'/' | b':' | b';' | b'=' | b'b' | b'g' | b'h' => 120,
        b'*' | b'-' | b'0'..=b'2' | b'k' | b'v' | b'w' | b'x' | b'y' | b'{' | b'}' | b'<' | b'>' => 70,
        b'#' | b'&' | b'\'' | b'3'..=b'9' | b'A'..=b'I' | b'K'..=b'P' | b'R'..=b'W' | b'[' | b']' | b'\t' => {
            40
        }
        b'!'..=b'~' => 15,
        _ => 3,
    }
}
