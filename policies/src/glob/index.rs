//! Many patterns against one path.
//!
//! Every pattern asks for something of a path that can be looked up by a hash: that it lies in `src/api`, that
//! one of its names is `secrets`, or ends in `.pem`, or begins with `.env`. A pattern is filed under the one of
//! its demands that the fewest patterns share; a path is looked up under all that it meets, and what is found
//! there is compared in full. So a decision costs about the same for ten rules and ten thousand. Before it was
//! one automaton (a `RegexSet`) for all, built as it ran: with some hundred patterns it outgrew its cache and
//! was built anew for every path.
//!
//! Patterns that demand none of it (`*foo*`, `*/*`, `??`) are compared one by one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::matcher::{Case, Glob, NameGlob};
use super::spelled::{Names, PATH_SEED, Spelled, extension, hash_of, path_hash_of};
use super::{Pattern, Polarity};

/// Patterns of denials, compiled together. Matches in any case and however a file system may fold a name.
#[derive(Debug)]
pub(crate) struct DenySet {
    folded: Index,
    /// The patterns with a negated class once more, minding case: `[!A-Z]` in any case matches less, and a
    /// denial must not.
    exact: Index,
}

impl DenySet {
    pub(crate) fn new(patterns: &[&Pattern]) -> Self {
        let all = patterns.iter().enumerate().map(|(at, pattern)| (at, *pattern));
        let negated = all.clone().filter(|(_, pattern)| pattern.has_negated_class());
        let glob = |case| move |(at, pattern)| (at, Glob::new(pattern, Polarity::Deny, case));
        Self {
            folded: Index::new(all.map(glob(Case::Folded)).collect()),
            exact: Index::new(negated.map(glob(Case::Exact)).collect()),
        }
    }

    /// The indexes of the patterns that match, each at least once.
    pub(crate) fn matches(&self, path: &Spelled<'_>) -> Vec<usize> {
        let mut out = Vec::new();
        self.folded.find(path.folded(), &mut out);
        self.exact.find(path.exact(), &mut out);
        if let Some(stripped) = path.stripped() {
            self.folded.find(stripped, &mut out);
        }
        out
    }
}

/// Patterns of allowances, compiled together. Case matters.
#[derive(Debug)]
pub(crate) struct AllowSet {
    paths: Index,
    beneath: Beneath,
}

impl AllowSet {
    pub(crate) fn new(patterns: &[&Pattern]) -> Self {
        let globs = patterns.iter().map(|pattern| Glob::new(pattern, Polarity::Allow, Case::Exact));
        Self { paths: Index::new(globs.enumerate().collect()), beneath: Beneath::new(patterns) }
    }

    /// The indexes of the patterns that match, each at least once.
    pub(crate) fn matches(&self, path: &Spelled<'_>) -> Vec<usize> {
        let mut out = Vec::new();
        self.paths.find(path.exact(), &mut out);
        out
    }

    /// The indexes of the patterns that something beneath the path may match, each at least once, without those
    /// of [`AllowSet::anywhere`].
    pub(crate) fn matches_beneath(&self, path: &Spelled<'_>) -> Vec<usize> {
        let mut out = Vec::new();
        self.beneath.find(path.exact(), &mut out);
        out
    }

    /// The indexes of the patterns that something beneath any path may match, like `*.rs`.
    pub(crate) fn anywhere(&self) -> &[usize] {
        &self.beneath.anywhere
    }
}

/// Whether a path is covered, for many patterns.
#[derive(Debug, Default)]
struct Index {
    globs: Vec<(usize, Glob)>,
    filed: Filed,
    kinds: Kinds,
    /// Those that match every path.
    always: Vec<usize>,
    /// Places in `globs` of those filed under nothing.
    others: Vec<u32>,
}

/// Which demands patterns are filed under: what no pattern is filed under no path is looked up under.
#[derive(Debug, Default, Clone)]
struct Kinds {
    folder: bool,
    name: bool,
    extension: bool,
    heads: Vec<usize>,
    tails: Vec<usize>,
}

/// How many bytes of a name's ends are looked up.
const LENGTHS: [usize; 3] = [8, 4, 2];

/// What a path is looked up under, by its hash.
#[derive(Debug, Clone, Copy)]
enum Demand {
    /// It lies in the folder, or is it.
    Folder(u64),
    /// One of its names is this.
    Name(u64),
    /// One of its names has this behind the last dot.
    Extension(u64),
    /// One of its names begins with this text of so many bytes.
    Head(usize, u64),
    /// One of its names ends with this text of so many bytes.
    Tail(usize, u64),
}

impl Demand {
    fn head(name: &[u8], length: usize) -> Option<Self> {
        Some(Self::Head(length, hash_of(name.get(..length)?)))
    }

    fn tail(name: &[u8], length: usize) -> Option<Self> {
        Some(Self::Tail(length, hash_of(&name[name.len().checked_sub(length)?..])))
    }

    fn key(self) -> u64 {
        match self {
            Self::Folder(hash) => hash,
            Self::Name(hash) => hash.rotate_left(1),
            Self::Extension(hash) => hash.rotate_left(2),
            Self::Head(_, hash) => hash.rotate_left(3),
            Self::Tail(_, hash) => hash.rotate_left(4),
        }
    }
}

impl Index {
    fn new(patterns: Vec<(usize, Glob)>) -> Self {
        let mut index = Self::default();
        for (at, glob) in patterns {
            // Names are never empty, so that `*` is as good as `**`.
            if glob.is_catch_all() {
                index.always.push(at);
            } else {
                index.globs.push((at, glob));
            }
        }
        let mut shared: HashMap<u64, u32, BuildHasherDefault<AsItIs>> = HashMap::default();
        for (_, glob) in &index.globs {
            for demand in demands(glob) {
                *shared.entry(demand.key()).or_default() += 1;
            }
        }
        let mut filed = Vec::new();
        for (at, (_, glob)) in (0..).zip(&index.globs) {
            let demands = demands(glob);
            match demands.iter().min_by_key(|demand| shared.get(&demand.key())) {
                None => index.others.push(at),
                Some(rarest) => {
                    index.kinds.add(rarest);
                    filed.push((rarest.key(), at));
                }
            }
        }
        index.filed = Filed::new(filed);
        index
    }

    fn find(&self, path: &Names<'_>, out: &mut Vec<usize>) {
        if path.len() == 0 {
            return;
        }
        out.extend(&self.always);
        let mut compare = |at: u32| {
            let (pattern, glob) = &self.globs[at as usize];
            if glob.covers(path) {
                out.push(*pattern);
            }
        };
        self.others.iter().for_each(|at| compare(*at));
        let mut look_up = |demand: Demand| {
            self.filed.under(demand.key()).iter().for_each(|at| compare(*at));
        };
        for at in 0..path.len() {
            if self.kinds.folder {
                look_up(Demand::Folder(path.path_hash(at)));
            }
            if self.kinds.name {
                look_up(Demand::Name(path.hash(at)));
            }
            if self.kinds.extension {
                path.extension_hash(at).map(Demand::Extension).into_iter().for_each(&mut look_up);
            }
            let name = path.get(at).as_bytes();
            self.kinds.heads.iter().filter_map(|length| Demand::head(name, *length)).for_each(&mut look_up);
            self.kinds.tails.iter().filter_map(|length| Demand::tail(name, *length)).for_each(&mut look_up);
        }
    }
}

impl Kinds {
    fn add(&mut self, demand: &Demand) {
        let with = |lengths: &mut Vec<usize>, length| {
            if !lengths.contains(&length) {
                lengths.push(length);
            }
        };
        match demand {
            Demand::Folder(_) => self.folder = true,
            Demand::Name(_) => self.name = true,
            Demand::Extension(_) => self.extension = true,
            Demand::Head(length, _) => with(&mut self.heads, *length),
            Demand::Tail(length, _) => with(&mut self.tails, *length),
        }
    }
}

/// What a path must meet for a pattern to match it, those first that say most.
fn demands(glob: &Glob) -> Vec<Demand> {
    let mut out: Vec<Demand> = folder_hashes(glob.lead()).last().map(Demand::Folder).into_iter().collect();
    for name in glob.names() {
        if let Some(text) = name.text() {
            out.push(Demand::Name(hash_of(text.as_bytes())));
            continue;
        }
        let (head, tail) = name.ends();
        let (head, tail) = (head.as_bytes(), tail.as_bytes());
        out.extend(extension(tail).map(hash_of).map(Demand::Extension));
        for length in LENGTHS {
            out.extend(Demand::head(head, length));
            out.extend(Demand::tail(tail, length));
        }
    }
    out
}

/// The hashes of the folders that names lead through, as far as they are no patterns.
fn folder_hashes(lead: &[NameGlob]) -> impl Iterator<Item = u64> {
    let texts = lead.iter().map_while(NameGlob::text);
    texts.scan(PATH_SEED, |hash, text| {
        *hash = path_hash_of(*hash, hash_of(text.as_bytes()));
        Some(*hash)
    })
}

/// Whether something beneath a path may be covered, for many patterns.
#[derive(Debug, Default)]
struct Beneath {
    leads: Vec<Lead>,
    /// By the folders on the way to the first name that is a pattern; a path is looked up as it is.
    on_the_way: Filed,
    /// By the last of these folders; a path is looked up with every folder above it.
    past_it: Filed,
    /// Of those whose first name is a pattern.
    others: Vec<u32>,
    anywhere: Vec<usize>,
}

/// The names a pattern has before its first `**`, or before its last name.
#[derive(Debug)]
struct Lead {
    pattern: usize,
    names: Box<[NameGlob]>,
    /// Whether a `**` follows.
    open: bool,
}

impl Lead {
    fn covers(&self, path: &Names<'_>) -> bool {
        let deep_enough = path.len() <= self.names.len() || self.open;
        deep_enough && self.names.iter().zip(0..path.len()).all(|(name, at)| name.matches(path.get(at)))
    }
}

impl Beneath {
    fn new(patterns: &[&Pattern]) -> Self {
        let mut out = Self::default();
        let (mut on_the_way, mut past_it) = (Vec::new(), Vec::new());
        for (index, pattern) in patterns.iter().enumerate() {
            let named = pattern.lead().count();
            let open = named < pattern.segments.len();
            let above = if open || pattern.folder_only { named } else { named - 1 };
            let names = pattern.lead().take(above).map(|name| NameGlob::new(name, Case::Exact));
            let names: Box<[NameGlob]> = names.collect();
            if names.is_empty() {
                // Without a `**` nothing but the root is above it.
                out.anywhere.extend(open.then_some(index));
                continue;
            }
            let at = u32::try_from(out.leads.len()).expect("fewer patterns than that");
            let hashes: Vec<u64> = folder_hashes(&names).collect();
            match hashes.last() {
                None => out.others.push(at),
                Some(last) if open || hashes.len() < names.len() => past_it.push((*last, at)),
                Some(_) => {}
            }
            on_the_way.extend(hashes.iter().map(|hash| (*hash, at)));
            out.leads.push(Lead { pattern: index, names, open });
        }
        out.on_the_way = Filed::new(on_the_way);
        out.past_it = Filed::new(past_it);
        out
    }

    fn find(&self, path: &Names<'_>, out: &mut Vec<usize>) {
        let Some(last) = path.len().checked_sub(1) else { return };
        let found = self.on_the_way.under(path.path_hash(last)).iter();
        let past = (0..last).flat_map(|at| self.past_it.under(path.path_hash(at)));
        for at in found.chain(past).chain(&self.others) {
            let lead = &self.leads[*at as usize];
            if lead.covers(path) {
                out.push(lead.pattern);
            }
        }
    }
}

/// Numbers by a hash.
#[derive(Debug, Default)]
struct Filed {
    /// Where in `list` those of a hash stand.
    places: HashMap<u64, (u32, u32), BuildHasherDefault<AsItIs>>,
    list: Vec<u32>,
}

impl Filed {
    fn new(mut filed: Vec<(u64, u32)>) -> Self {
        filed.sort_unstable();
        let mut out = Self::default();
        for same in filed.chunk_by(|one, other| one.0 == other.0) {
            let place = |at: usize| u32::try_from(at).expect("fewer patterns than that");
            let start = place(out.list.len());
            out.list.extend(same.iter().map(|(_, number)| *number));
            out.places.insert(same[0].0, (start, place(out.list.len())));
        }
        out
    }

    fn under(&self, key: u64) -> &[u32] {
        match self.places.get(&key) {
            Some((start, end)) => &self.list[*start as usize..*end as usize],
            None => &[],
        }
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_of(bytes);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
