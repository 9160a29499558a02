//! The matcher of commands against what docs/policy.md says of them, tried the slow way.
//!
//! The input is a pattern and, behind a newline, a command line. It is asked about as words, and once more as the
//! script of `sh -c`.

use gloaming_policies::fuzzing::commanded;

/// The reference tries everything: what is longer takes too long.
const BYTES: usize = 256;
const WORDS: usize = 16;
const SHELLS: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "mksh",
    "ash",
    "csh",
    "tcsh",
    "busybox",
    "fish",
    "cmd",
    "powershell",
    "pwsh",
    "eval",
];

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((pattern, line)) = text.split_once('\n') else { return };
    if text.len() > BYTES || commanded(pattern, &[]).is_none() {
        return;
    }
    let wanted = shell_words::split(pattern).expect("a pattern that loads splits");
    if wanted.len() > WORDS {
        return;
    }
    if let Ok(argv) = shell_words::split(line)
        && (1..=WORDS).contains(&argv.len())
    {
        words(pattern, &wanted, &argv);
    }
    script(pattern, &wanted, line);
}

/// The command as words.
fn words(pattern: &str, wanted: &[String], argv: &[String]) {
    let asked = |argv: &[String]| commanded(pattern, argv).expect("it loads");
    let found = asked(argv);
    assert_eq!(found.allow, allows(wanted, argv), "{pattern:?} allows {argv:?}");
    assert!(found.deny || !found.allow, "what an allowance takes a denial does: {pattern:?} on {argv:?}");
    let denied = denies(wanted, argv);
    // A shell's words, and what looks like a script, are read as one; options may stand between a command's words.
    let more = |word: &String| {
        SHELLS.contains(&base(word))
            || word.starts_with(['-', '+'])
            || word.contains(|c: char| c.is_whitespace() || ";&|`(".contains(c))
    };
    if argv.iter().any(more) {
        assert!(found.deny || !denied, "{pattern:?} denies {argv:?}");
    } else {
        assert_eq!(found.deny, denied, "{pattern:?} denies {argv:?}");
    }
    // Nothing that is written around a command lets it out.
    for (before, behind) in
        [(&[][..], &["--dry-run"][..]), (&["env", "A=1"], &[]), (&["timeout", "60"], &["x"])]
    {
        let longer = [before, &argv.iter().map(String::as_str).collect::<Vec<_>>(), behind].concat();
        let longer: Vec<String> = longer.into_iter().map(str::to_owned).collect();
        assert!(asked(&longer).deny || !found.deny, "{pattern:?} denies {argv:?}, and not {longer:?}");
    }
    if !argv[0].contains('/') {
        let mut placed = argv.to_vec();
        placed[0] = format!("/usr/bin/{}", argv[0]);
        assert!(asked(&placed).deny || !found.deny, "{pattern:?} denies {argv:?}, and not {placed:?}");
    }
}

/// The line as the script of a shell.
fn script(pattern: &str, wanted: &[String], line: &str) {
    for shell in [&["sh", "-c"][..], &["/bin/bash", "-ec"], &["env", "A=1", "sh", "-c"]] {
        let argv: Vec<String> = shell.iter().copied().chain([line]).map(str::to_owned).collect();
        let found = commanded(pattern, &argv).expect("it loads");
        assert_eq!(found.allow, allows(wanted, &argv), "{pattern:?} allows {argv:?}");
        for command in plain_commands(line) {
            let denied = begins(wanted, &command, 0);
            assert!(found.deny || !denied, "{pattern:?} denies {command:?} of {argv:?}");
        }
    }
}

/// The commands of a script that nothing is filled into: cut at `;`, `&&`, `||`, `|` and the newline, with words
/// between blanks, where these are not quoted. None where it holds anything that could mean something else.
fn plain_commands(script: &str) -> Vec<Vec<String>> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,^ \t\n;|&'\"".contains(c);
    if !script.chars().all(plain) {
        return Vec::new();
    }
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in script.chars().chain(['\n']) {
        let last = commands.last_mut().expect("there is one");
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => last.extend(word.take()),
            (None, ';' | '|' | '&' | '\n') => {
                last.extend(word.take());
                commands.push(Vec::new());
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() { Vec::new() } else { commands }
}

/// The words as they stand; a last `*` is any further ones, or none.
fn allows(wanted: &[String], argv: &[String]) -> bool {
    let (words, open) = opened(wanted);
    let long_enough = if open { argv.len() >= words.len() } else { argv.len() == words.len() };
    long_enough && words.iter().zip(argv).all(|(pattern, word)| fits(pattern, word))
}

/// The pattern's words behind any others, whatever comes behind.
fn denies(wanted: &[String], argv: &[String]) -> bool {
    (0..argv.len()).any(|from| begins(wanted, argv, from))
}

/// Whether the words from a place on begin with the pattern's, the program in whichever folder.
fn begins(wanted: &[String], argv: &[String], from: usize) -> bool {
    let (words, _) = opened(wanted);
    let argv = &argv[from..];
    let first = |pattern: &str, word: &str| fits(pattern, word) || fits(pattern, base(word));
    !argv.is_empty()
        && argv.len() >= words.len()
        && words
            .iter()
            .zip(argv)
            .enumerate()
            .all(|(at, (pattern, word))| if at == 0 { first(pattern, word) } else { fits(pattern, word) })
}

fn opened(wanted: &[String]) -> (&[String], bool) {
    match wanted {
        [words @ .., last] if last == "*" => (words, true),
        words => (words, false),
    }
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

/// One word: `*` is any characters.
fn fits(pattern: &str, word: &str) -> bool {
    // By the length of what is left of the pattern: which ends of the word it fits.
    let word: Vec<char> = word.chars().collect();
    let mut ends = vec![false; word.len() + 1];
    ends[0] = true;
    for c in pattern.chars() {
        let mut next = vec![false; word.len() + 1];
        for at in 0..=word.len() {
            next[at] = match c {
                '*' => ends[at] || (at > 0 && next[at - 1]),
                c => at > 0 && word[at - 1] == c && ends[at - 1],
            };
        }
        ends = next;
    }
    ends[word.len()]
}
