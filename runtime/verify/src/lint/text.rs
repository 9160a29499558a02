//! What tools print for people, where there is no machine format: the last resort.

use std::sync::LazyLock;

use regex::Regex;

use super::{Raw, machine};

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

static ONE_LINE: LazyLock<Regex> = LazyLock::new(|| {
    // file:1:2: message, file:1: message, file(1,2): message
    pattern(
        r"^(?P<file>[^\s:()][^:()]*?\.\w+)(?::(?P<a>\d+)(?::\d+)?:?|\((?P<b>\d+)(?:,\d+)?\):)\s+(?P<message>\S.*)$",
    )
});
static HEADLINE: LazyLock<Regex> = LazyLock::new(|| {
    // rustc and clippy, and ruff's full form: the message first, then an arrow with the place.
    pattern(r"^(?:(?:warning|error)(?:\[[\w:]+\])?: .+|[A-Z]{1,4}\d{3,4} .+)$")
});
static ARROW: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*--> (?P<file>.+?):(?P<line>\d+):\d+"));
static FORMAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:Diff in (?P<a>.+?)(?::\d+:?| at line \d+:)|(?:would reformat|Would reformat:|reformatted) (?P<b>\S+)|(?:---\s+)(?P<c>\S+)\s.*)$",
    )
});
static ESLINT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s+(?P<line>\d+):\d+\s+(?P<message>(?:error|warning)\s+.+)$"));
/// What a message begins with: how bad it is, and the rule.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:(?P<level>error|warning|note|fatal|info)(?:\[(?P<code>[\w:]+)\])?(?::| )\s*)?(?:(?P<rule>[A-Z]{1,6}\d{2,5})\b:?\s*(?:\[\*\]\s*)?)?",
    )
});
/// What a message ends with: `[arg-type]`, `(errcheck)`, eslint's rule behind two spaces.
static TAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:\s\[(?P<a>[a-z][\w-]*)\]|\s\((?P<b>[a-z][\w-]*)\)|\s{2,}(?P<c>[@a-z][\w@/-]*))$")
});

/// Reads findings of the forms that are known.
pub(super) fn read(output: &str) -> Vec<Raw> {
    let mut found = Vec::new();
    let mut headline: Option<&str> = None;
    let mut file: Option<&str> = None;
    let number = |text: Option<regex::Match<'_>>| text.and_then(|m| m.as_str().parse().ok()).unwrap_or(0);
    for line in output.lines().map(str::trim_end) {
        if let Some(place) = ARROW.captures(line) {
            if let Some(message) = headline.take() {
                found.push(raw(&place["file"], number(place.name("line")), message));
            }
        } else if let Some(place) = FORMAT.captures(line) {
            let path = ["a", "b", "c"].iter().find_map(|name| place.name(name)).map_or("", |m| m.as_str());
            let mut finding = raw(path, 0, "not formatted");
            finding.rule = "format".to_owned();
            // A file is not formatted once, however many of its places are shown.
            if found.last() != Some(&finding) {
                found.push(finding);
            }
        } else if let (Some(place), Some(path)) = (ESLINT.captures(line), file) {
            found.push(raw(path, number(place.name("line")), &place["message"]));
        } else if HEADLINE.is_match(line) {
            headline = Some(line);
        } else if let Some(place) = ONE_LINE.captures(line) {
            let at = number(place.name("a").or_else(|| place.name("b")));
            found.push(raw(&place["file"], at, &place["message"]));
        } else if line.starts_with('/') && !line.contains(": ") {
            // eslint names the file on a line of its own.
            file = Some(line);
        }
    }
    found
}

fn raw(path: &str, line: u32, message: &str) -> Raw {
    let head = HEAD.captures(message);
    let of_head = |name: &str| head.as_ref().and_then(|head| head.name(name)).map(|m| m.as_str());
    let tail = TAIL.captures(message);
    let of_tail = tail
        .as_ref()
        .and_then(|tail| ["a", "b", "c"].iter().find_map(|name| tail.name(name)))
        .map(|m| m.as_str());
    let rule = of_head("code").or_else(|| of_head("rule")).or(of_tail);
    Raw {
        tool: String::new(),
        rule: rule.unwrap_or("").to_owned(),
        path: path.to_owned(),
        line,
        message: message.to_owned(),
        level: of_head("level").and_then(machine::level),
    }
}
