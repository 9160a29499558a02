//! What a rule about jobs is about: the command a job is started with, hosts, images, variables, secrets.
//!
//! As with paths, a denial takes more than an allowance. An allowed command is the words as they stand; a denied one
//! is found behind a program that starts others (`env`, `timeout`), within a script handed to a shell, and with
//! further words behind it. What the started program goes on to start by itself no rule sees: a container's limits
//! and its lack of a network bind that.

use std::collections::BTreeSet;

use gloaming_api::Digest;

use crate::call::JobAsk;
use crate::glob::BadPattern;
use crate::script::{self, Word};

/// The longest pattern about jobs, in bytes.
const MAX_PATTERN: usize = 1024;

/// Names of sets of hosts; what is in them an operator says, in [`crate::HostSets`].
pub const HOST_SETS: &[&str] = &["registry"];

/// The scheme of a tunnel in which anything may be said; see docs/network.md.
const TUNNEL: &str = "tcp";
/// The schemes that can be told apart where hosts are reached.
pub(crate) const SCHEMES: &[&str] = &["http", "https", TUNNEL];

/// The kinds of what a rule about jobs can be about, as its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Commands,
    Hosts,
    Images,
    Env,
    Secrets,
}

impl Kind {
    pub(crate) const ALL: &'static [Self] =
        &[Self::Commands, Self::Hosts, Self::Images, Self::Env, Self::Secrets];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Hosts => "hosts",
            Self::Images => "images",
            Self::Env => "env",
            Self::Secrets => "secrets",
        }
    }

    /// An example for hints.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Commands => "commands = [\"cargo test *\"]",
            Self::Hosts => "hosts = [\"*.example.org\"]",
            Self::Images => "images = [\"sha256:…\"]",
            Self::Env => "env = [\"RUSTFLAGS\"]",
            Self::Secrets => "secrets = [\"DEPLOY_TOKEN\"]",
        }
    }

    /// Whether a job has it where no rule speaks of it: the profile's commands run in the environment there is, with
    /// the variables the profile sets; hosts and secrets are never had unasked.
    pub(crate) fn open(self) -> bool {
        matches!(self, Self::Commands | Self::Images | Self::Env)
    }
}

/// What is asked about a job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    Command(&'a [String]),
    Host(&'a Host),
    Image(&'a Digest),
    Env(&'a str),
    Secret(&'a str),
}

impl Asked<'_> {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Command(_) => Kind::Commands,
            Self::Host(_) => Kind::Hosts,
            Self::Image(_) => Kind::Images,
            Self::Env(_) => Kind::Env,
            Self::Secret(_) => Kind::Secrets,
        }
    }
}

impl std::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command(argv) => write!(f, "the command `{}`", shell_words::join(*argv)),
            Self::Host(host) => write!(f, "the host {}", host.text),
            Self::Image(image) => write!(f, "the image {image}"),
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::Secret(name) => write!(f, "the secret {name}"),
        }
    }
}

/// One pattern of a rule about jobs.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Command(Command),
    Host(Host),
    /// None is any image.
    Image(Option<Digest>),
    Name(Wild),
}

impl Subject {
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Self, BadPattern> {
        if text.len() > MAX_PATTERN || text.chars().any(char::is_control) {
            return bad("it is longer than 1024 bytes or holds a control character", "write it plainly");
        }
        match kind {
            Kind::Commands => Command::parse(text).map(Self::Command),
            Kind::Hosts => Host::parse(text, true).map(Self::Host),
            Kind::Images if text == "*" => Ok(Self::Image(None)),
            Kind::Images => match text.parse() {
                Ok(digest) => Ok(Self::Image(Some(digest))),
                Err(_) => bad(
                    format!("{text:?} is not an image: names can be moved, digests cannot"),
                    "write `sha256:` and 64 hexadecimal digits, as a job's record has them as `environment`, or `*`",
                ),
            },
            Kind::Env | Kind::Secrets => {
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '*';
                if text.is_empty()
                    || !text.chars().all(fits)
                    || text.starts_with(|c: char| c.is_ascii_digit())
                {
                    return bad(
                        format!("{text:?} is not the name of a variable"),
                        "letters, digits and `_`, with `*` for any of them, like `AWS_*`",
                    );
                }
                Ok(Self::Name(Wild::new(text)))
            }
        }
    }

    /// The pattern as the author wrote it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Command(command) => command.text.clone(),
            Self::Host(host) => host.text.clone(),
            Self::Image(None) => "*".into(),
            Self::Image(Some(digest)) => digest.to_string(),
            Self::Name(name) => name.0.join("*"),
        }
    }

    /// Some things the pattern takes, as samples for comparing policies, in the form [`JobAsk`] has.
    pub(crate) fn samples(&self, kind: Kind) -> Vec<JobAsk> {
        let names = |wild: &Wild| {
            [wild.0.join(""), wild.0.join("SAMPLE")].into_iter().filter(|name| !name.is_empty())
        };
        match self {
            Self::Command(command) => {
                let words = |many: &str| -> Vec<String> {
                    command
                        .words
                        .iter()
                        .map(|word| word.0.join(many))
                        .filter(|word| !word.is_empty())
                        .collect()
                };
                let mut all = vec![words(""), words("sample")];
                let mut longer = words("");
                longer.push("sample".into());
                all.push(longer);
                all.into_iter().filter(|argv| !argv.is_empty()).map(JobAsk::Command).collect()
            }
            Self::Host(host) => vec![JobAsk::Host(host.as_asked())],
            Self::Image(image) => {
                vec![JobAsk::Image(image.clone().unwrap_or_else(|| Digest::of("sample")))]
            }
            Self::Name(name) if kind == Kind::Secrets => names(name).map(JobAsk::Secret).collect(),
            Self::Name(name) => names(name).map(JobAsk::Env).collect(),
        }
    }

    pub(crate) fn allows(&self, asked: &Asked<'_>) -> bool {
        match (self, asked) {
            (Self::Command(command), Asked::Command(argv)) => command.allows(argv),
            (Self::Host(host), Asked::Host(asked)) => host.covers(asked),
            (Self::Image(image), Asked::Image(asked)) => image.as_ref().is_none_or(|image| image == *asked),
            (Self::Name(name), Asked::Env(asked) | Asked::Secret(asked)) => name.matches(asked),
            _ => false,
        }
    }

    pub(crate) fn denies(&self, asked: &Asked<'_>) -> bool {
        match (self, asked) {
            (Self::Command(command), Asked::Command(argv)) => command.denies(argv),
            (Self::Host(host), Asked::Host(asked)) => host.touches(asked),
            // Some systems hold variables that differ by case for the same.
            (Self::Name(name), Asked::Env(asked) | Asked::Secret(asked)) => {
                name.folded().matches(&asked.to_ascii_uppercase())
            }
            _ => self.allows(asked),
        }
    }
}

fn bad<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, BadPattern> {
    Err(BadPattern { message: message.into(), hint: hint.into() })
}

/// Text with `*` for any characters: the pieces between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wild(Vec<String>);

impl Wild {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.split('*').map(str::to_owned).collect())
    }

    pub(crate) fn text(&self) -> String {
        self.0.join("*")
    }

    /// The text with a word in the place of each `*`.
    pub(crate) fn sample(&self) -> String {
        self.0.join("sample")
    }

    fn folded(&self) -> Self {
        Self(self.0.iter().map(|piece| piece.to_ascii_uppercase()).collect())
    }

    /// Each piece is looked for as early as it can be, the last at the end: linear in practice, and never
    /// exponential.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else { return self.0[0] == text };
        let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

/// A pattern over the words of a command.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    text: String,
    words: Vec<Wild>,
    /// Whether the last word was `*` alone: any further words, or none.
    open: bool,
}

impl Command {
    fn parse(text: &str) -> Result<Self, BadPattern> {
        if let Some(before) = text.strip_suffix(":*") {
            return bad(
                format!("{text:?} ends in `:*`, which this dialect does not know"),
                format!("write {:?}", format!("{before} *")),
            );
        }
        let Ok(mut words) = shell_words::split(text) else {
            return bad(format!("{text:?} has a quote that is not closed"), "close it");
        };
        if let Some(operator) =
            words.iter().find(|word| matches!(word.as_str(), "&&" | "||" | ";" | "|" | "&"))
        {
            return bad(
                format!("{text:?} holds the shell operator `{operator}`; no shell reads a job's command"),
                "write one pattern for each command",
            );
        }
        if words.is_empty() {
            return bad("an empty pattern matches no command", "write `*` for every command");
        }
        // A shell that is to run the program "" runs nothing, so no denial of it could be seen to hold.
        if words[0].is_empty() {
            return bad(
                format!("{text:?} begins with an empty word, and no program has an empty name"),
                "write the program first",
            );
        }
        let open = words.last().is_some_and(|word| word == "*");
        if open {
            words.pop();
        }
        Ok(Self { text: text.to_owned(), words: words.iter().map(|word| Wild::new(word)).collect(), open })
    }

    fn allows(&self, argv: &[String]) -> bool {
        let fits = self.words.len() == argv.len() || (self.open && self.words.len() < argv.len());
        fits && self.words.iter().zip(argv).all(|(pattern, word)| pattern.matches(word))
    }

    /// Whether the command, or one it plainly starts, begins with the pattern's words.
    fn denies(&self, argv: &[String]) -> bool {
        let plain: Vec<Word> = argv.iter().map(|word| Word::plain(word)).collect();
        self.found_in(&plain)
            || script::scripts(argv)
                .any(|script| script::commands(script).iter().any(|words| self.found_in(words)))
    }

    /// Looks for the words from any position, since `env`, `timeout 5`, `xargs` and their like come before what they
    /// start.
    fn found_in(&self, words: &[Word]) -> bool {
        (0..words.len()).any(|from| {
            let tail = &words[from..];
            // What a shell fills in may be the whole command where one begins. Elsewhere it may be a program where what
            // follows fits, or every script with a variable would be denied by `rm`.
            if tail[0].varies && from == 0 && tail.len() == 1 {
                return true;
            }
            if tail[0].varies && from > 0 && !tail.iter().take(self.words.len()).any(|word| !word.varies) {
                return false;
            }
            // Where the words so far may end, with options between them (`cargo -q publish`, `npm --prefix x publish`).
            let mut ends: BTreeSet<usize> = BTreeSet::from([0]);
            for (at, pattern) in self.words.iter().enumerate() {
                let mut next = BTreeSet::new();
                while let Some(end) = ends.pop_first() {
                    let Some(word) = tail.get(end) else { continue };
                    let base = if at == 0 { word.text.rsplit('/').next().unwrap_or_default() } else { "" };
                    if word.varies || pattern.matches(&word.text) || (at == 0 && pattern.matches(base)) {
                        next.insert(end + 1);
                    }
                    if at > 0 && word.text.starts_with(['-', '+']) {
                        ends.extend([end + 1, end + 2]);
                    }
                }
                ends = next;
                if ends.is_empty() {
                    return false;
                }
            }
            !self.words.is_empty() || self.open
        })
    }
}

/// A host, every host beneath one, or a host at a port by a scheme.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host {
    pub(crate) text: String,
    /// Lower case, without `*.`.
    name: String,
    beneath: bool,
    /// Scheme and port come together.
    at: Option<(String, u16)>,
    /// Whether the name is that of a set.
    set: bool,
    /// Of a host that is asked about: the sets that have all of it.
    within: Vec<String>,
    /// And the sets that have any of it.
    touching: Vec<String>,
}

impl Host {
    /// Parses a host; `pattern` says whether `*.host` and the names of sets are let in.
    pub(crate) fn parse(text: &str, pattern: bool) -> Result<Self, BadPattern> {
        let refused = |why: &str| {
            bad(
                format!("{text:?} is not a host: {why}"),
                format!(
                    "write `host`, `*.host` or `scheme://host:port`, or the name of a set ({})",
                    HOST_SETS.join(", ")
                ),
            )
        };
        let (rest, at) = match text.split_once("://") {
            None => (text, None),
            Some((scheme, rest)) => {
                let Some((host, port)) = rest.rsplit_once(':') else {
                    return refused("with a scheme it needs a port");
                };
                let Some(port) = port.parse::<u16>().ok().filter(|port| *port > 0) else {
                    return refused("the port is no number from 1 to 65535");
                };
                if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                {
                    return refused("the scheme is not lower-case letters");
                }
                (host, Some((scheme.to_owned(), port)))
            }
        };
        let (name, beneath) = match rest.strip_prefix("*.") {
            Some(_) if !pattern || at.is_some() => {
                return refused("`*.` stands in a pattern without a scheme");
            }
            Some(name) => (name, true),
            None => (rest, false),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            let why = if name.contains('*') {
                "`*` stands only as the whole first name"
            } else if name.contains(['/', ':', '@', '?', '#']) {
                "it has a path, a port without a scheme, or an account"
            } else if !name.is_ascii() {
                "write an international name in its ASCII form (xn--…)"
            } else {
                "its names are letters, digits and `-`"
            };
            return refused(why);
        }
        let name = name.to_ascii_lowercase();
        let set = HOST_SETS.contains(&name.as_str()) && at.is_none() && !beneath;
        if set && !pattern {
            return refused("it is the name of a set");
        }
        Ok(Self { text: text.to_owned(), name, beneath, at, set, within: Vec::new(), touching: Vec::new() })
    }

    /// The name of the set, where the pattern is one.
    pub(crate) fn set(&self) -> Option<&str> {
        self.set.then_some(self.name.as_str())
    }

    /// The scheme, where the pattern has one.
    pub(crate) fn scheme(&self) -> Option<&str> {
        self.at.as_ref().map(|(scheme, _)| scheme.as_str())
    }

    /// The host as a question, in the sets that an operator has it in.
    pub(crate) fn in_sets<'a>(mut self, sets: impl Iterator<Item = (&'a str, &'a [Self])>) -> Self {
        for (name, hosts) in sets {
            if hosts.iter().any(|host| host.covers(&self)) {
                self.within.push(name.to_owned());
            }
            if hosts.iter().any(|host| host.touches(&self)) {
                self.touching.push(name.to_owned());
            }
        }
        self
    }

    /// A host that the pattern takes.
    pub(crate) fn sample(&self) -> String {
        if self.beneath { format!("sample.{}", self.name) } else { self.text.clone() }
    }

    /// The sample as a question; a set is asked about by its name.
    pub(crate) fn as_asked(&self) -> Self {
        Self::parse(&self.sample(), true).unwrap_or_else(|_| self.clone())
    }

    /// Whether everything that is asked for is within the pattern.
    pub(crate) fn covers(&self, asked: &Self) -> bool {
        if self.set {
            return (asked.set && self.name == asked.name) || asked.within.contains(&self.name);
        }
        // A host without a scheme is one of the web: for bytes that nobody can look into its author names the port.
        let web = || asked.at.as_ref().is_none_or(|(scheme, _)| scheme != TUNNEL);
        self.named(asked) && (self.at == asked.at || (self.at.is_none() && web()))
    }

    /// Whether anything that is asked for is within it.
    pub(crate) fn touches(&self, asked: &Self) -> bool {
        if self.set {
            return (asked.set && self.name == asked.name) || asked.touching.contains(&self.name);
        }
        self.named(asked) && (self.at.is_none() || asked.at.is_none() || self.at == asked.at)
    }

    fn named(&self, asked: &Self) -> bool {
        if asked.set {
            return false;
        }
        if self.beneath {
            return asked.name.strip_suffix(&self.name).is_some_and(|front| front.ends_with('.'));
        }
        self.name == asked.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(text: &str) -> Vec<String> {
        shell_words::split(text).unwrap()
    }

    #[test]
    fn an_allowed_command_is_the_words_as_they_stand() {
        let allows = |pattern: &str, command: &str| {
            let Subject::Command(pattern) = Subject::parse(Kind::Commands, pattern).unwrap() else {
                panic!()
            };
            pattern.allows(&argv(command))
        };
        assert!(allows("cargo test *", "cargo test"));
        assert!(allows("cargo test *", "cargo test --locked -- --nocapture"));
        assert!(allows("cargo te*", "cargo test") && allows("*", "make test"));
        assert!(!allows("cargo test", "cargo test --locked"));
        assert!(!allows("cargo test *", "cargo testbed"));
        assert!(!allows("cargo test *", "./cargo test"));
        assert!(!allows("cargo test *", "sh -c 'cargo test'"));
        assert!(!allows("cargo test *", "env cargo test"));
    }

    #[test]
    fn a_denied_command_is_found_behind_others_and_in_scripts() {
        let denies = |pattern: &str, command: &str| {
            let Subject::Command(pattern) = Subject::parse(Kind::Commands, pattern).unwrap() else {
                panic!()
            };
            pattern.denies(&argv(command))
        };
        for command in [
            "cargo publish",
            "cargo publish --dry-run",
            "/usr/bin/cargo publish",
            "env A=1 cargo publish",
            "timeout 60 cargo publish",
            "sh -c 'cd x && cargo publish'",
            "bash -ec \"true; cargo publish\"",
            "sh -c 'echo $(cargo publish)'",
            "sh -c 'echo \"`cargo publish`\"'",
            "sh -c '$CARGO publish'",
            "sh -c 'cargo \"pub\"lish'",
            "sh -c 'cargo $WHAT'",
            "sh -c 'echo \"$(date)\"; cargo publish'",
            "sh -c 'echo \"(hi)\"; cargo publish'",
            "sh -c 'echo \"`date`\"; cargo publish'",
            "sh -c 'echo \")\" \"$(echo \")\"; cargo publish)\"'",
            "sh -c \"true # don't\ncargo publish\"",
            "sh -c \"cat <<'X'\nit's\nX\ncargo publish\"",
            "sh -c 'cargo \\\n publish'",
            "sh -c 'cargo >log publish'",
            "sh -c 'cargo 2>&1 publish'",
            "sh -c 'cargo > log publish'",
            "sh -c 'env $TOOL publish'",
            "sh -c 'A=1 $TOOL publish'",
            "sh -c 'if true; then $TOOL publish; fi'",
            "sh -c '${CARGO} publish'",
            "sh -c '$(echo cargo) publish'",
            "sh -c 'cargo${IFS}publish'",
            "sh -c '$CMD'",
            "sh -c \"eval 'cargo publish'\"",
            "sh -c \"sh -c 'cargo publish'\"",
            "csh -c 'cargo publish'",
            "su -c 'cargo publish' me",
            "pwsh -Command 'cargo publish'",
            "env -S 'cargo publish'",
            "bash -c '{cargo,publish} x'",
            "sh -c 'ls;cargo publish'",
            "sh -c 'cargo > \"my log\" publish'",
            "sh -c 'cargo >a\\ b publish'",
            "sh -c 'cargo >\tlog publish'",
            "sh -c 'cargo <<<\"a b\" publish'",
            "sh -c 'cargo >\\\nlog publish'",
            "sh -c 'cargo >>\"log;x\" publish'",
            "env -S'cargo publish'",
            "env --split-string='cargo publish'",
            "su -c'cargo publish' me",
            "watch 'cargo publish'",
            "cargo +nightly publish",
            "cargo -q --color always publish",
        ] {
            assert!(denies("cargo publish", command), "{command}");
        }
        for command in
            ["cargo test publish", "cargo test", "sh -c 'cargo test $FLAGS'", "sh -c \"echo 'a b'\""]
        {
            assert!(!denies("cargo publish", command), "{command}");
        }
        assert!(denies("rm", "sh -c 'ls; /bin/rm -rf x'"));
        // A script needs no space.
        assert!(denies("rm", "sh -c 'ls;rm'") && denies("rm", "sh -c '$RM'"));
        assert!(denies("*", "anything"));
    }

    #[test]
    fn hosts_are_hosts_and_nothing_else() {
        let parse = |text: &str| Host::parse(text, true);
        for text in
            ["example.org", "*.example.org", "https://example.org:443", "registry", "localhost", "10.0.0.1"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "*.",
            "a..b",
            "https://example.org",
            "example.org:443",
            "https://example.org:0",
            "a/b",
            "a@b",
            "https://*.example.org:443",
            "ex*mple.org",
            "*.*.org",
            "-a.org",
            "http://a:99999",
            "bücher.example",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let (exact, beneath) = (parse("Example.org").unwrap(), parse("*.example.org").unwrap());
        let port = parse("https://example.org:443").unwrap();
        let asked = |text: &str| Host::parse(text, false).unwrap();
        assert!(exact.covers(&asked("example.ORG")) && exact.covers(&asked("https://example.org:8443")));
        assert!(beneath.covers(&asked("a.b.example.org")) && !beneath.covers(&asked("example.org")));
        assert!(!beneath.covers(&asked("evilexample.org")) && !exact.covers(&asked("a.example.org")));
        assert!(
            port.covers(&asked("https://example.org:443")) && !port.covers(&asked("http://example.org:80"))
        );
        assert!(!port.covers(&asked("example.org")) && port.touches(&asked("example.org")));
        assert!(Host::parse("registry", false).is_err());
    }

    #[test]
    fn names_are_compared_whole() {
        let name = |text: &str| Subject::parse(Kind::Env, text).unwrap();
        assert!(
            name("AWS_*").allows(&Asked::Env("AWS_KEY")) && !name("AWS_*").allows(&Asked::Env("MY_AWS_KEY"))
        );
        assert!(
            !name("AWS_*").allows(&Asked::Env("aws_key")) && name("AWS_*").denies(&Asked::Env("aws_key"))
        );
        assert!(
            name("*_TOKEN").allows(&Asked::Secret("A_TOKEN")) && name("a*b*c").allows(&Asked::Env("aXbbXc"))
        );
        assert!(!name("a*ab").allows(&Asked::Env("ab")));
        assert!(Subject::parse(Kind::Env, "A-B").is_err() && Subject::parse(Kind::Secrets, "").is_err());
        assert!(Subject::parse(Kind::Images, "rust:1").is_err() && Subject::parse(Kind::Images, "*").is_ok());
        assert!(
            Subject::parse(Kind::Commands, "npm run test:*").unwrap_err().hint.contains("npm run test *")
        );
        assert!(Subject::parse(Kind::Commands, "\"\" publish").is_err());
        assert!(Subject::parse(Kind::Commands, "git commit -m \"\"").is_ok());
    }
}
