//! Which files and symbols matter for a text: BM25 over the identifiers of files, then the symbols of the best ones.
//!
//! BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the usual
//! `k1` 1.2 and `b` 0.75. A word of a file's path counts as if it stood in the file [`PATH`] times more. Symbols are
//! ordered by their file's score, the text's words in their names, and how many files mention them.

use std::collections::{HashMap, HashSet};

use guest::files::{Kind as PathKind, WalkOptions};
use guest::types::Types;
use guest::{Failure, Files, Walks};

use crate::symbols::{Parsers, Symbols};
use crate::{LARGEST, PARSED, languages};

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// What a word in a path counts.
const PATH: f64 = 5.0;
/// The most words of a text that are looked for, the first ones.
const WORDS: usize = 256;
/// A word of fewer letters says nothing.
const SHORT: usize = 3;
/// The most files that are parsed.
const FILES: usize = 60;
/// Bytes that are looked through for words; files behind them are not weighed.
const LOOKED_THROUGH: u64 = 24 << 20;
/// Names whose mentions are counted.
const NAMES: usize = 300_000;

/// A file with its symbols, and how much each matters.
pub(crate) struct Ranked {
    pub(crate) path: String,
    pub(crate) found: Symbols,
    /// One for each symbol of `found`.
    pub(crate) scores: Vec<f64>,
}

/// The files that matter most, the first first.
#[derive(Default)]
pub(crate) struct Ranking {
    pub(crate) files: Vec<Ranked>,
    /// How many files were weighed.
    pub(crate) weighed: usize,
    /// Whether there were more than could be looked through.
    pub(crate) more: bool,
}

/// What one file says of the words.
struct Weighed {
    path: String,
    size: u64,
    /// How often each word stands in it, by the word's number.
    counts: HashMap<usize, f64>,
    /// How many words it has.
    length: f64,
}

/// Weighs the files below `root`, and parses the best.
pub(crate) fn rank(
    files: &(impl Files + Walks),
    root: &str,
    options: WalkOptions,
    types: &Types,
    about: &str,
) -> Result<Ranking, Failure> {
    let mut words: HashMap<Vec<u8>, usize> = HashMap::new();
    each_word(about.as_bytes(), &mut |word| {
        let number = words.len();
        if number < WORDS {
            words.entry(word.to_vec()).or_insert(number);
        }
    });
    let options = WalkOptions { contents: true, max_file_size: LARGEST, ..options };
    let mut weighed: Vec<Weighed> = Vec::new();
    let mut mentions: HashMap<u64, u32> = HashMap::new();
    let (mut looked, mut more) = (0, false);
    files.walk(root, &options, &mut |batch| {
        for visited in batch.visited {
            let known = languages::of(&visited.path).next().is_some() && types.fit(&visited.path);
            let Some(at) = visited.at.filter(|_| known && visited.info.kind == PathKind::File) else {
                continue;
            };
            if looked + at.length > LOOKED_THROUGH {
                more = true;
                return Ok(false);
            }
            looked += at.length;
            let range = at.offset as usize..(at.offset + at.length) as usize;
            let Some(source) = batch.bytes.get(range).filter(|source| memchr::memchr(0, source).is_none())
            else {
                continue;
            };
            weighed.push(weigh(visited.path, source, &words, &mut mentions));
        }
        Ok(true)
    })?;
    let importance = scores(&weighed, words.len());
    let mut order: Vec<usize> = (0..weighed.len()).collect();
    // Paths are in order already: of equal files the first stays first.
    order.sort_by(|a, b| importance.files[*b].total_cmp(&importance.files[*a]));
    let best = order.first().map_or(0.0, |first| importance.files[*first]);
    let mut ranking = Ranking { weighed: weighed.len(), more, ..Ranking::default() };
    let (mut parsers, mut parsed) = (Parsers::default(), 0);
    for index in order.into_iter().take(FILES) {
        let file = &weighed[index];
        if parsed + file.size > PARSED {
            continue;
        }
        // Between the two a file can only vanish by somebody else's hand.
        let Ok(content) = files.read(&file.path, None) else { continue };
        parsed += content.data.len() as u64;
        let Some(found) = parsers.best(&file.path, &content.data) else { continue };
        let own = if best > 0.0 { importance.files[index] / best } else { 0.0 };
        let scores = found.list.iter().map(|symbol| {
            let mut named = HashSet::new();
            each_word(symbol.name.as_bytes(), &mut |word| named.extend(words.get(word).copied()));
            let said: f64 = named.iter().map(|word| importance.words[*word]).sum();
            let known = mentions.get(&hash(symbol.name.as_bytes())).copied().unwrap_or(0);
            let spread = f64::from(known).ln_1p() / (weighed.len() as f64).ln_1p().max(1.0);
            own + said + 0.3 * spread
        });
        let scores = scores.collect();
        ranking.files.push(Ranked { path: file.path.clone(), found, scores });
    }
    Ok(ranking)
}

fn weigh(
    path: String,
    source: &[u8],
    words: &HashMap<Vec<u8>, usize>,
    mentions: &mut HashMap<u64, u32>,
) -> Weighed {
    let mut counts: HashMap<usize, f64> = HashMap::new();
    let mut length = 0.0;
    each_word(source, &mut |word| {
        length += 1.0;
        if let Some(number) = words.get(word) {
            *counts.entry(*number).or_default() += 1.0;
        }
    });
    each_word(path.as_bytes(), &mut |word| {
        if let Some(number) = words.get(word) {
            *counts.entry(*number).or_default() += PATH;
        }
    });
    let seen: HashSet<u64> = identifiers(source).map(hash).collect();
    for name in seen {
        if mentions.len() < NAMES || mentions.contains_key(&name) {
            *mentions.entry(name).or_default() += 1;
        }
    }
    Weighed { path, size: source.len() as u64, counts, length }
}

struct Importance {
    files: Vec<f64>,
    /// By a word's number: 1 for the rarest there is, less for the others.
    words: Vec<f64>,
}

fn scores(files: &[Weighed], words: usize) -> Importance {
    let count = files.len() as f64;
    let mean = (files.iter().map(|file| file.length).sum::<f64>() / count.max(1.0)).max(1.0);
    let rarity: Vec<f64> = (0..words)
        .map(|word| match files.iter().filter(|file| file.counts.contains_key(&word)).count() {
            0 => 0.0,
            with => ((count - with as f64 + 0.5) / (with as f64 + 0.5)).ln_1p(),
        })
        .collect();
    let score = |file: &Weighed| -> f64 {
        // In the order of words: a sum in another order could be rounded otherwise.
        let mut counts: Vec<(usize, f64)> = file.counts.iter().map(|(word, count)| (*word, *count)).collect();
        counts.sort_by_key(|(word, _)| *word);
        let parts = counts.into_iter().map(|(word, times)| {
            let size = 1.0 - B + B * file.length / mean;
            rarity[word] * times * (K1 + 1.0) / (times + K1 * size)
        });
        parts.sum()
    };
    let rarest = rarity.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    Importance {
        files: files.iter().map(score).collect(),
        words: rarity.iter().map(|rare| rare / rarest).collect(),
    }
}

/// The runs of bytes that identifiers and words are made of.
fn identifiers(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    text.split(move |byte| !part(byte)).filter(|run| run.len() >= SHORT)
}

/// Calls `each` with every identifier in lower case, and with the words it is joined of where those are several.
fn each_word(text: &[u8], each: &mut impl FnMut(&[u8])) {
    let mut word: Vec<u8> = Vec::new();
    for run in identifiers(text) {
        word.clear();
        word.extend(run.iter().map(u8::to_ascii_lowercase));
        each(&word);
        let mut from = 0;
        for at in 1..=run.len() {
            let border = at == run.len()
                || run[at] == b'_'
                || run[at - 1] == b'_'
                || (run[at].is_ascii_uppercase() && !run[at - 1].is_ascii_uppercase());
            if border {
                let part = &word[from..at];
                if part.len() >= SHORT && part.len() < word.len() {
                    each(part);
                }
                from = at;
            }
        }
    }
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same on every machine.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_words_and_what_they_are_joined_of() {
        let words = |text: &str| {
            let mut words = Vec::new();
            each_word(text.as_bytes(), &mut |word| words.push(String::from_utf8_lossy(word).into_owned()));
            words.join(" ")
        };
        assert_eq!(words("parse_lineBuffer2(x)"), "parse_linebuffer2 parse line buffer2");
        assert_eq!(words("HTTPServer a _b __init__"), "httpserver __init__ init");
        assert_eq!(words("größe"), "größe");
    }
}
