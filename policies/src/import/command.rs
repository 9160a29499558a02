//! Rules about shell commands, as patterns of the commands a job is started with.
//!
//! A pattern's `*` stays within one word, but for a last word `*`, which is any further words or none. Another
//! agent's `*` runs over words; it is spelled out for up to [`SPAN`] of them.

/// How many words a `*` in the middle is spelled out for.
const SPAN: usize = 6;
/// The longest rule, in bytes.
const LONGEST: usize = 1024;
const TOO_LONG: &str = "it is longer than 1,024 bytes";

/// Patterns that say what a rule said, or nearly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Commands {
    /// Every command.
    All,
    Same(Vec<String>),
    /// More than the rule said (for a denial), or less (for an allowance); a sentence says which.
    Near(Vec<String>, &'static str),
    /// It cannot be said; a sentence says why.
    None(&'static str),
}

const OPERATORS: &str =
    "it holds an operator of the shell, and a job's command is words without a shell around them";
const NO_COMMAND: &str = "it names no command";
const QUOTES: &str = "it holds quotes or backslashes, and what words they make differs between shells";

/// A pattern for commands that begin with these words.
pub(super) fn beginning<S: AsRef<str>>(words: &[S], deny: bool) -> Commands {
    if words.iter().map(|word| word.as_ref().len()).sum::<usize>() > LONGEST {
        return Commands::None(TOO_LONG);
    }
    let mut plain = Vec::new();
    for word in words {
        match quoted_word(word.as_ref()) {
            // A `*` here is itself; in a pattern it is anything, which a denial may be.
            Some(word) if deny || !word.contains('*') => plain.push(word),
            _ if deny && !plain.is_empty() => {
                plain.push("*".into());
                return Commands::Near(
                    vec![plain.join(" ")],
                    "what stands before the first unusual word decides",
                );
            }
            _ => return Commands::None(QUOTES),
        }
    }
    if plain.is_empty() {
        return Commands::None(NO_COMMAND);
    }
    plain.push("*".into());
    Commands::Same(vec![plain.join(" ")])
}

/// A word as a pattern holds it, in quotes where it must be; none where quoting is not simple.
fn quoted_word(word: &str) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || "_./:=@%+,-*~^".contains(c);
    if word.is_empty() || word.contains(|c: char| c.is_control() || matches!(c, '\'' | '\\')) {
        return None;
    }
    Some(if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") })
}

/// A pattern of a whole command in which `*` is anything, words and all.
pub(super) fn wildcard(text: &str, deny: bool) -> Commands {
    if text.len() > LONGEST {
        return Commands::None(TOO_LONG);
    }
    if text.contains(['|', '&', ';', '<', '>', '(', ')', '`', '\n']) {
        return Commands::None(OPERATORS);
    }
    let mut words: Vec<String> = text.split_whitespace().map(one_star).collect();
    if words.is_empty() {
        return Commands::None(NO_COMMAND);
    }
    if words.iter().all(|word| word == "*") && (deny || words.len() < 2) {
        return Commands::All;
    }
    let unplain = |word: &String| word.contains(|c: char| c.is_control() || "'\"\\#$[]{}?!".contains(c));
    if let Some(at) = words.iter().position(unplain) {
        let before = &words[..at];
        if !deny || before.is_empty() || before.iter().any(|word| word.contains('*')) {
            return Commands::None(QUOTES);
        }
        return Commands::Near(
            vec![format!("{} *", before.join(" "))],
            "what stands before the first unusual word decides",
        );
    }
    let open_end = words.last().is_some_and(|word| word.ends_with('*'));
    // ` *` at the end takes the command alone too, but not where there is another `*`.
    let needs_more = !deny && words.iter().filter(|word| word.contains('*')).count() > 1;
    let mut end = if open_end { " *" } else { "" };
    if words.last().is_some_and(|word| word == "*") {
        words.pop();
        end = if needs_more { " * *" } else { " *" };
    }
    // The last word's own `*` needs no spelling out: what follows is open anyway.
    let last_star = open_end && words.last().is_some_and(|word| word.ends_with('*'));
    let body = words.join(" ");
    let inner = body.matches('*').count() - usize::from(last_star && body.ends_with('*'));
    match inner {
        0 => Commands::Same(vec![format!("{body}{end}")]),
        1 | 2 => Commands::Near(
            spelled_out(&body, inner, end),
            "a `*` in the middle is spelled out for up to six words",
        ),
        _ if deny => {
            let before: Vec<&str> = body.split(' ').take_while(|word| !word.contains('*')).collect();
            if before.is_empty() {
                return Commands::None("it has more wildcards than can be spelled out");
            }
            Commands::Near(
                vec![format!("{} *", before.join(" "))],
                "what stands before the first `*` decides",
            )
        }
        _ => Commands::Near(vec![format!("{body}{end}")], "each `*` is one word"),
    }
}

fn one_star(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        if c != '*' || !out.ends_with('*') {
            out.push(c);
        }
    }
    out
}

/// The spellings of a text whose first `inner` stars each stand for one word to [`SPAN`] of them.
fn spelled_out(body: &str, inner: usize, end: &str) -> Vec<String> {
    let parts: Vec<&str> = body.splitn(inner + 1, '*').collect();
    let mut out = vec![String::new()];
    for (at, part) in parts.iter().enumerate() {
        let mut next = Vec::new();
        for text in &out {
            let spans = if at == 0 { 1 } else { SPAN };
            for span in 0..spans {
                let star = if at == 0 { String::new() } else { format!("*{}", " *".repeat(span)) };
                next.push(format!("{text}{star}{part}"));
            }
        }
        out = next;
    }
    out.into_iter().map(|text| format!("{text}{end}")).collect()
}

/// Whether no build, test or lint is ever started with a program: it looks, fetches or manages.
pub(super) fn starts_no_job(pattern: &str) -> bool {
    const NEVER: &[&str] = &[
        "apt",
        "apt-get",
        "awk",
        "brew",
        "cat",
        "cd",
        "chmod",
        "chown",
        "code",
        "cp",
        "curl",
        "cut",
        "date",
        "df",
        "diff",
        "dig",
        "docker",
        "du",
        "echo",
        "env",
        "export",
        "file",
        "find",
        "gh",
        "git",
        "glab",
        "grep",
        "head",
        "id",
        "jq",
        "kill",
        "kubectl",
        "less",
        "ln",
        "ls",
        "lsof",
        "mkdir",
        "more",
        "mv",
        "nc",
        "open",
        "ping",
        "printenv",
        "printf",
        "ps",
        "pwd",
        "rg",
        "rm",
        "rmdir",
        "rsync",
        "scp",
        "sed",
        "sleep",
        "sort",
        "source",
        "ssh",
        "stat",
        "sudo",
        "tail",
        "tee",
        "terraform",
        "test",
        "top",
        "touch",
        "tr",
        "tree",
        "type",
        "uname",
        "uniq",
        "wc",
        "wget",
        "which",
        "whoami",
        "xargs",
    ];
    let program = pattern.split(' ').next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().trim_end_matches('*');
    NEVER.contains(&program)
}
