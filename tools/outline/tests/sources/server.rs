//! A small job queue.

#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::fmt;

/// How often a job is tried.
pub const MAX_TRIES: u32 = 3;
static NAMES: [&str; 2] = ["first", "second"];

const TABLE: &[(&str, u32)] = &[
    ("low", 1),
    ("high", 10),
];

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<'a, T: ?Sized> {
    pub id: u64,
    name: &'a str,
    payload: Box<T>,
}

pub struct Millis(pub u64);

struct Unit;

#[derive(Debug)]
pub enum Error {
    Empty,
    Full(usize),
    Refused { id: u64, why: String },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::Full(n) => write!(f, "full at {n}"),
            Self::Refused { id, why } => write!(f, "{id}: {why}"),
        }
    }
}

pub trait Queue: Send {
    type Item;
    const CAPACITY: usize;

    fn push(&mut self, item: Self::Item) -> Result<()>;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn len(&self) -> usize;
}

pub struct Fifo<T> {
    items: VecDeque<T>,
}

impl<T> Queue for Fifo<T>
where
    T: Send + 'static,
{
    type Item = T;
    const CAPACITY: usize = 128;

    fn push(&mut self, item: T) -> Result<()> {
        fn inner() {}
        inner();
        self.items.push_back(item);
        Ok(())
    }

    fn len(&self) -> usize {
        self.items.len()
    }
}

impl<T> Fifo<T> {
    /// Makes one.
    #[must_use]
    pub const fn new(
        items: VecDeque<T>, // what it begins with
        _limits: Option<HashMap<String, usize>>,
    ) -> Self {
        Self { items }
    }

    pub async unsafe fn drain(&mut self) {}
}

macro_rules! job {
    ($id:expr) => {
        Job { id: $id }
    };
}

extern "C" {
    fn getpid() -> i32;
}

mod remote;

pub(crate) mod nested {
    pub mod deeper {
        pub fn leaf() {}
    }
}

union Bits {
    int: u32,
    float: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_empty() {
        assert!(Fifo::<u8>::new(VecDeque::new(), None).is_empty());
    }
}
