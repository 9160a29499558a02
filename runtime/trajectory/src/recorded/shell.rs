//! The shell lines that are file and search calls in other words, and what the others are.

use super::Reason;
use super::command::{Act, Filter, Search, Shows};

/// Reads a shell line. Where a part of it cannot be done here, it cannot.
pub(super) fn acts(line: &str) -> Vec<Act> {
    let Some(words) = words(line) else { return vec![Act::OutOfReach(Reason::ShellLanguage)] };
    let mut acts = Vec::new();
    for command in words.split(|word| is(word, "&&") || is(word, ";")) {
        acts.extend(command_acts(command));
    }
    // One part alone would say nothing of the whole.
    let reach = acts.iter().find_map(|act| match act {
        Act::OutOfReach(reason) => Some(*reason),
        _ => None,
    });
    match reach {
        Some(reason) => vec![Act::OutOfReach(reason)],
        None if acts.iter().all(|act| matches!(act, Act::ChangeFolder { .. })) => {
            acts.push(Act::OutOfReach(Reason::WorkingFolder));
            acts
        }
        None => acts,
    }
}

/// Before a word that is one of the shell's operators: no other word begins so.
const OPERATOR: char = '\0';

/// Whether a word is an operator, and not the same in quotes.
fn is(word: &str, operator: &str) -> bool {
    word.strip_prefix(OPERATOR) == Some(operator)
}

/// Whether there is more in a list of words than one command.
pub(super) fn has_operator(words: &[String]) -> bool {
    words.iter().any(|word| word.starts_with(OPERATOR))
}

/// Splits a line into words as a shell does, its operators apart wherever they stand; none where it redirects, substitutes
/// or groups, or a quote stays open. A line feed ends a command.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    if line.contains(OPERATOR) {
        return None;
    }
    let mut apart = String::with_capacity(line.len());
    let mut rest = line;
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match (quote, c) {
            (Some('"') | None, '\\') => taken += rest[1..].chars().next().map_or(0, char::len_utf8),
            (Some('"') | None, '`') => return None,
            (Some('"') | None, '$') if rest[1..].starts_with('(') => return None,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | ')') => return None,
            (None, '#') if apart.ends_with([' ', '\t']) || apart.is_empty() => {
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                continue;
            }
            (None, '<' | '>') => {
                rest = silent(&mut apart, rest)?;
                continue;
            }
            (None, ';' | '&' | '|' | '\n') => {
                taken += usize::from(c != '\n' && rest[1..].starts_with(c));
                let operator = if c == '\n' { ";" } else { &rest[..taken] };
                apart.extend([' ', OPERATOR]);
                // In quotes, so that it is a word for who splits.
                apart.push_str(&format!("'{operator}' "));
                rest = &rest[taken..];
                continue;
            }
            (None, _) => {}
        }
        apart.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    shell_words::split(&apart).ok()
}

/// Takes a redirection that only keeps errors away, with the number before it, and returns what is behind it; none where it
/// is another.
fn silent<'a>(apart: &mut String, rest: &'a str) -> Option<&'a str> {
    let number = apart.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let known = SILENT.iter().find_map(|known| {
        let behind = rest.strip_prefix(known.strip_prefix(&apart[number..])?)?;
        let ends = behind.chars().next().is_none_or(|c| c.is_whitespace() || ";|&".contains(c));
        ends.then_some(behind)
    })?;
    apart.truncate(number);
    // A number that is the end of a word is not one's before a redirection.
    (apart.is_empty() || apart.ends_with(char::is_whitespace)).then_some(known)
}

fn command_acts(words: &[String]) -> Vec<Act> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut pipe = words.split(|word| is(word, "|"));
    let first = pipe.next().unwrap_or_default();
    let filters: Vec<&[&str]> = pipe.collect();
    let Some((program, args)) = first.split_first() else { return Vec::new() };
    let language = words.iter().any(|word| {
        matches!(*word, "for" | "while" | "if") || (word.starts_with(OPERATOR) && !is(word, "|"))
    });
    if language {
        return vec![Act::OutOfReach(Reason::ShellLanguage)];
    }
    let files: Vec<&str> = args.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let has = |flag: char| {
        args.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(flag))
    };
    let paths = || files.iter().map(|path| (*path).to_owned());
    match *program {
        "cd" => {
            files.first().map(|path| Act::ChangeFolder { path: (*path).to_owned() }).into_iter().collect()
        }
        "rm" if filters.is_empty()
            && !files.iter().any(|path| path.contains(['*', '?', '[', '{', '$', '~'])) =>
        {
            paths().map(|path| Act::Remove { path, recursive: has('r') || has('R') }).collect()
        }
        "cat" if filters.is_empty() && !files.is_empty() => paths().map(|path| Act::Print { path }).collect(),
        "ls" if filters.is_empty() && !has('R') && !has('l') && files.len() < 2 => {
            let path = files.first().unwrap_or(&".").to_string();
            vec![Act::ListFolder { path, hidden: has('a') || has('A') }]
        }
        "find" => vec![find(args, &filters).unwrap_or(Act::OutOfReach(Reason::ShellLanguage))],
        "grep" => vec![grep(args, &filters).unwrap_or(Act::OutOfReach(Reason::ShellLanguage))],
        program => vec![other(program, args)],
    }
}

/// Redirections that only keep errors away.
const SILENT: &[&str] = &["2>/dev/null", "2>&1"];

/// What a program is that no tool stands for.
fn other(program: &str, args: &[&str]) -> Act {
    let name = program.rsplit('/').next().unwrap_or(program);
    let python = name.starts_with("python");
    let module = if python && args.first() == Some(&"-m") { args.get(1).copied() } else { None };
    match module.unwrap_or(name) {
        "pytest" | "unittest" | "tox" | "nosetests" => Act::Check { what: "test" },
        "flake8" | "ruff" | "mypy" | "pylint" | "pre-commit" => Act::Check { what: "lint" },
        "cargo" | "go" | "npm" | "make" => match args.first().copied() {
            Some("test") => Act::Check { what: "test" },
            Some("build" | "check") => Act::Check { what: "build" },
            _ => Act::OutOfReach(Reason::Program),
        },
        "pip" | "pip3" | "conda" | "apt" | "apt-get" | "poetry" => Act::OutOfReach(Reason::Installs),
        "curl" | "wget" | "nc" | "ssh" | "connect_start" | "connect_sendline" => {
            Act::OutOfReach(Reason::Network)
        }
        "pwd" => Act::OutOfReach(Reason::WorkingFolder),
        _ => Act::OutOfReach(Reason::Program),
    }
}

/// `find DIR -type f -name PATTERN`, and what follows it in a pipe.
fn find(args: &[&str], filters: &[&[&str]]) -> Option<Act> {
    let mut args = args.iter().copied().peekable();
    let path = args.next_if(|word| !word.starts_with('-')).unwrap_or(".").to_owned();
    let mut names = Vec::new();
    while let Some(word) = args.next() {
        match (word, args.next()?) {
            ("-type", "f") => {}
            ("-name", pattern) => names.push(pattern.to_owned()),
            _ => return None,
        }
    }
    let (contents, rest) = match filters.split_first() {
        Some((["xargs", "grep", options @ ..], rest)) => (Some(options), rest),
        _ => (None, filters),
    };
    let filter = filter(rest)?;
    let Some(options) = contents else { return Some(Act::FindFiles { path, names, filter }) };
    let Act::Search(search) = grep(&[options, &[path.as_str()]].concat(), rest)? else { return None };
    Some(Act::Search(Search { names, ..search }))
}

fn grep(args: &[&str], filters: &[&[&str]]) -> Option<Act> {
    let mut search = Search {
        path: ".".into(),
        pattern: String::new(),
        literal: false,
        ignore_case: false,
        names: Vec::new(),
        shows: Shows::Lines,
        head: None,
    };
    let (mut extended, mut words) = (false, Vec::new());
    for word in args {
        if let Some(pattern) = word.strip_prefix("--include=") {
            search.names.push(pattern.to_owned());
            continue;
        }
        let Some(flags) = word.strip_prefix('-') else {
            words.push(*word);
            continue;
        };
        for flag in flags.chars() {
            match flag {
                'n' | 'r' | 'R' | 'H' => {}
                'i' => search.ignore_case = true,
                'l' => search.shows = Shows::Files,
                'F' => search.literal = true,
                'E' | 'P' => extended = true,
                _ => return None,
            }
        }
    }
    let [pattern, path @ ..] = words.as_slice() else { return None };
    match path {
        [] => {}
        [path] => search.path = (*path).to_owned(),
        _ => return None,
    }
    search.pattern = if search.literal { (*pattern).to_owned() } else { expression(pattern, extended) };
    let filter = filter(filters)?;
    search.head = filter.head;
    filter.lines.is_empty().then_some(Act::Search(search))
}

/// Filters of a pipe: `grep` of its lines, `sort`, `head`.
fn filter(commands: &[&[&str]]) -> Option<Filter> {
    let mut filter = Filter::default();
    for command in commands {
        match command {
            ["sort", ..] => {}
            ["head"] => filter.head = Some(10),
            ["head", count] | ["head", "-n", count] => {
                filter.head = Some(count.trim_start_matches('-').parse().ok()?)
            }
            ["grep", options @ .., pattern] => {
                let flags: String =
                    options.iter().map(|word| word.strip_prefix('-').unwrap_or("?")).collect();
                let insensitive = if flags.contains('i') { "(?i)" } else { "" };
                let expression = expression(pattern, flags.contains('E'));
                filter.lines.push((format!("{insensitive}{expression}"), flags.contains('v')));
                if flags.contains(|flag| !"ivE".contains(flag)) {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(filter)
}

/// Writes an expression of grep's in Rust's syntax: without `extended`, some characters mean themselves unless a
/// backslash stands before them.
fn expression(pattern: &str, extended: bool) -> String {
    if extended {
        return pattern.to_owned();
    }
    let mut written = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('|' | '+' | '?' | '(' | ')' | '{' | '}')) => written.push(c),
                Some(c) => written.extend(['\\', c]),
                None => written.push_str("\\\\"),
            },
            '|' | '+' | '?' | '(' | ')' | '{' | '}' => written.extend(['\\', c]),
            c => written.push(c),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(reason: Reason) -> Vec<Act> {
        vec![Act::OutOfReach(reason)]
    }

    #[test]
    fn operators_part_commands_wherever_they_stand() {
        let remove = |path: &str| Act::Remove { path: path.into(), recursive: false };
        let print = |path: &str| Act::Print { path: path.into() };
        for (line, expect) in [
            ("rm a; cat b", vec![remove("a"), print("b")]),
            ("rm a;cat b&&cat c", vec![remove("a"), print("b"), print("c")]),
            ("rm a\ncat b", vec![remove("a"), print("b")]),
            ("rm a \\\n b", vec![remove("a"), remove("b")]),
            ("rm 'a;b' \"c && d\"", vec![remove("a;b"), remove("c && d")]),
            ("rm ';' a", vec![remove(";"), remove("a")]),
            ("rm a # and cat b", vec![remove("a")]),
            ("rm a 2>/dev/null; cat b 2>&1", vec![remove("a"), print("b")]),
            ("rm a|cat", out(Reason::Program)),
            ("rm a||cat b", out(Reason::ShellLanguage)),
            ("rm a& cat b", out(Reason::ShellLanguage)),
            ("cat a>b", out(Reason::ShellLanguage)),
            ("cat a2>/dev/null", out(Reason::ShellLanguage)),
            ("cat a 2>/dev/null/b", out(Reason::ShellLanguage)),
            ("rm `cat b`", out(Reason::ShellLanguage)),
            ("rm \"$(cat b)\"", out(Reason::ShellLanguage)),
            ("(rm a)", out(Reason::ShellLanguage)),
            ("rm {a,b}", out(Reason::Program)),
            ("rm a\0; b", out(Reason::ShellLanguage)),
        ] {
            assert_eq!(acts(line), expect, "{line:?}");
        }
    }

    #[test]
    fn what_a_shell_line_is_here() {
        let find = |names: &[&str], lines: &[(&str, bool)], head| Act::FindFiles {
            path: "/r".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            filter: Filter {
                lines: lines.iter().map(|(line, not)| ((*line).to_owned(), *not)).collect(),
                head,
            },
        };
        let search = Search {
            path: "src".into(),
            pattern: r"def f\(".into(),
            literal: false,
            ignore_case: false,
            names: vec!["*.py".into()],
            shows: Shows::Lines,
            head: Some(20),
        };
        let cd = Act::ChangeFolder { path: "/r".into() };
        for (line, expect) in [
            ("ls -F", vec![Act::ListFolder { path: ".".into(), hidden: false }]),
            ("ls -a src", vec![Act::ListFolder { path: "src".into(), hidden: true }]),
            (
                "find /r -type f -name \"*.py\" | grep -v x | grep -iE 'a|b' | sort | head -3",
                vec![find(&["*.py"], &[("x", true), ("(?i)a|b", false)], Some(3))],
            ),
            (
                "cd /r && grep -r \"def f(\" --include=\"*.py\" src 2>/dev/null | head -20",
                vec![cd.clone(), Act::Search(search.clone())],
            ),
            (
                "find src -name '*.py' | xargs grep -l 'def f(' | head -20",
                vec![Act::Search(Search { shows: Shows::Files, ..search.clone() })],
            ),
            ("cat a b", vec![Act::Print { path: "a".into() }, Act::Print { path: "b".into() }]),
            ("rm -rf d", vec![Act::Remove { path: "d".into(), recursive: true }]),
            ("cd /r && python -m pytest -q tests", vec![cd.clone(), Act::Check { what: "test" }]),
            ("cd /r", vec![cd, Act::OutOfReach(Reason::WorkingFolder)]),
            ("cd /r && python a.py", out(Reason::Program)),
            ("rm -f *.log", out(Reason::Program)),
            ("pip install x", out(Reason::Installs)),
            ("curl -X POST http://a.example", out(Reason::Network)),
            ("echo x > a", out(Reason::ShellLanguage)),
            ("echo 'x", out(Reason::ShellLanguage)),
            ("find . -newer x -delete", out(Reason::ShellLanguage)),
            (
                "grep ';' a",
                vec![Act::Search(Search {
                    path: "a".into(),
                    pattern: ";".into(),
                    names: Vec::new(),
                    head: None,
                    ..search
                })],
            ),
        ] {
            assert_eq!(acts(line), expect, "{line}");
        }
    }
}
