//! A tree of source-like files, the same on every machine.

use std::fmt::Write as _;
use std::path::Path;

/// Words that stand in some files, so that searches find something.
pub(super) const NEEDLES: [&str; 4] =
    ["needle_in_haystack", "ForgottenSentinel", "BEFORE_THE_DUSK", "zebra_crossing"];

/// How many files the tree has.
pub(super) fn files(quick: bool) -> usize {
    if quick { 2_000 } else { 32_000 }
}

/// Makes the tree: a file in sixty holds one of the words.
pub(super) fn make(root: &Path, quick: bool) -> std::io::Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let words: Vec<String> = (0..6_000).map(|_| word(&mut random)).collect();
    std::fs::create_dir_all(root)?;
    std::fs::write(root.join(".gitignore"), "/target\n*.log\n*.tmp\n")?;
    for number in 0..files(quick) {
        let (package, module) = (number / 400, number / 16 % 25);
        let dir =
            root.join(format!("packages/{}_{package}/src/{}_{module}", words[package], words[100 + module]));
        if number % 16 == 0 {
            std::fs::create_dir_all(&dir)?;
        }
        let kind = ["rs", "py", "ts", "go", "c", "md", "json", "rs"][random.below(8)];
        let mut text = text(&mut random, &words);
        match number % 240 {
            at @ (0 | 60 | 120 | 180) => {
                let _ =
                    writeln!(text, "let {} = \"{}\";", NEEDLES[at / 60], words[random.below(words.len())]);
            }
            30 => text.push_str("// see ticket GLOAM-40213\n"),
            _ => {}
        }
        std::fs::write(dir.join(format!("{}_{number}.{kind}", words[random.below(words.len())])), text)?;
    }
    Ok(())
}

/// Returns how many files a search or list looks at: hidden ones and what git ignores are left out by name only.
pub(super) fn count(root: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Some forty to a thousand lines, short files being the most.
fn text(random: &mut Random, words: &[String]) -> String {
    let lines = 40 + random.below(60) * random.below(16) + random.below(8) / 7 * 400;
    let mut text = String::new();
    // Writing to a String cannot fail.
    for _ in 0..lines {
        let mut pick = || {
            // Few words are common and many are rare.
            let at = random.below(words.len());
            words[at * random.below(words.len()) / words.len()].as_str()
        };
        let (a, b, c, d) = (pick(), pick(), pick(), pick());
        let _ = match random.below(10) {
            0 => writeln!(text, "/// Returns the {a} of a {b}, or none when {c} was not {d}."),
            1 => writeln!(text, "pub fn {a}_{b}({c}: &{d}, limit: usize) -> Option<{a}> {{"),
            2 => writeln!(text, "    let {a} = self.{b}.{c}(|{d}| {d} + 1)?;"),
            3 => writeln!(text, "    if {a}.len() > {} && !{b}.is_{c}() {{", random.below(4_096)),
            4 => writeln!(text, "        return Err(Error::new(\"{a} {b} is not a {c}\"));"),
            5 => writeln!(text, "    }}\n"),
            6 => writeln!(text, "        {a}.push({b}[{c}] as u32 * 0x{:x});", random.next()),
            7 => writeln!(text, "import {{ {a}, {b} }} from \"../{c}/{d}\";"),
            8 => writeln!(text, "    # {a} and {b}: see {c}, where {d} is kept for later use"),
            _ => writeln!(text, "}}\n"),
        };
    }
    text
}

fn word(random: &mut Random) -> String {
    const PARTS: [&str; 32] = [
        "ta", "re", "con", "in", "ma", "pro", "de", "st", "er", "al", "it", "un", "or", "is", "en", "qu",
        "ly", "ver", "com", "ex", "ab", "lo", "ge", "th", "ick", "ow", "sp", "ure", "id", "fa", "bo", "mut",
    ];
    (0..2 + random.below(3)).map(|_| PARTS[random.below(PARTS.len())]).collect()
}

/// Marsaglia's xorshift: any fixed sequence would do.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        // The rest is smaller than a usize.
        (self.next() % end as u64) as usize
    }
}
