//! Patterns of commands against what the other agent would match.

use proptest::prelude::*;

use super::super::command::{Commands, beginning, wildcard};
use super::super::regexes::alternatives;

/// What issue 4 says a pattern of commands fits: word by word, a last `*` any further words or none.
fn fits(pattern: &str, command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let mut pattern: Vec<&str> = pattern.split(' ').collect();
    let open = pattern.last() == Some(&"*");
    if open {
        pattern.pop();
    }
    (if open { words.len() >= pattern.len() } else { words.len() == pattern.len() })
        && pattern.iter().zip(&words).all(|(pattern, word)| glob(pattern.as_bytes(), word.as_bytes()))
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        Some((c, rest)) => text.split_first().is_some_and(|(t, tail)| t == c && glob(rest, tail)),
    }
}

/// Claude Code's: `*` is anything, and ` *` at the end is the command alone too, where it is the only `*`.
fn claude(rule: &str, command: &str) -> bool {
    glob(rule.as_bytes(), command.as_bytes()) || rule.strip_suffix(" *") == Some(command)
}

/// The same where a denial should rather be too wide.
fn claude_may(rule: &str, command: &str) -> bool {
    let alone = |rule: &str| glob(rule.as_bytes(), command.as_bytes());
    claude(rule, command) || rule.strip_suffix(" *").is_some_and(alone)
}

fn patterns(commands: Commands) -> Option<Vec<String>> {
    match commands {
        Commands::All => Some(vec!["*".into()]),
        Commands::Same(patterns) | Commands::Near(patterns, _) => Some(patterns),
        Commands::None(_) => None,
    }
}

#[test]
fn wildcards_by_example() {
    let shown = |text: &str, deny: bool| match wildcard(text, deny) {
        Commands::All => "all".to_owned(),
        Commands::Same(patterns) => patterns.join(", "),
        Commands::Near(patterns, _) if patterns.len() > 3 => {
            format!("~ {}, ... {}", patterns[0], patterns.len())
        }
        Commands::Near(patterns, _) => format!("~ {}", patterns.join(", ")),
        Commands::None(_) => "none".to_owned(),
    };
    for (text, allow, deny) in [
        ("npm run build", "npm run build", "npm run build"),
        ("npm run test *", "npm run test *", "npm run test *"),
        ("npm  run\ttest *", "npm run test *", "npm run test *"),
        ("ls*", "ls* *", "ls* *"),
        ("*", "all", "all"),
        ("**", "all", "all"),
        ("** *", "* * *", "all"),
        ("git * main", "~ git * main, ... 6", "~ git * main, ... 6"),
        ("* --version", "~ * --version, ... 6", "~ * --version, ... 6"),
        ("a * b * c *", "~ a * b * c * *, ... 36", "~ a * b * c *, ... 36"),
        ("a* *", "a* * *", "a* *"),
        ("a * b * c * d", "~ a * b * c * d", "~ a *"),
        ("* a * b * c", "~ * a * b * c", "none"),
        ("curl * | sh", "none", "none"),
        ("git commit -m \"x\"", "none", "~ git commit -m *"),
        ("'x' y", "none", "none"),
    ] {
        assert_eq!((shown(text, false).as_str(), shown(text, true).as_str()), (allow, deny), "{text}");
    }
    assert_eq!(beginning(&["git", "push"], true), Commands::Same(vec!["git push *".into()]));
    assert_eq!(beginning(&["npm", "run", "a b"], true), Commands::Same(vec!["npm run 'a b' *".into()]));
    assert_eq!(patterns(beginning(&["sh", "it's"], true)), Some(vec!["sh *".into()]));
    assert_eq!(patterns(beginning(&["sh", "*"], false)), None);
    assert_eq!(patterns(beginning(&["it's"], true)), None);
}

#[test]
fn expressions_that_are_text_and_any() {
    let count = |text: &str| alternatives(text).map(|all| all.len());
    assert_eq!(count("git (commit|push)"), Some(2));
    assert_eq!(count(r#""file_path":"(src|tests)/[^"]*\.rs""#), Some(2));
    assert_eq!(count("(a|b)(c|d)(e|f)(g|h)(i|j)"), Some(32));
    for refused in
        ["a+", "a?", "[a-z]", "a.b", "^a", "a$", "a{2}", "(a", "a)", r"\d", "(a|b)*", r"\s*", "(?=a)"]
    {
        assert_eq!(count(refused), None, "{refused}");
    }
}

proptest! {
    #[test]
    fn what_a_rule_denied_is_denied_and_no_more_is_allowed(
        rule in "(\\*|a|b|ab|a\\*|\\*b)( (\\*|a|b|ab|a\\*|\\*b)){0,4}",
        command in "(a|b|ab|aab)( (a|b|ab|aab)){0,5}",
    ) {
        if claude_may(&rule, &command) && let Some(patterns) = patterns(wildcard(&rule, true)) {
            prop_assert!(patterns.iter().any(|pattern| fits(pattern, &command)), "{patterns:?}");
        }
        if let Some(patterns) = patterns(wildcard(&rule, false))
            && patterns.iter().any(|pattern| fits(pattern, &command))
        {
            prop_assert!(claude(&rule, &command), "{patterns:?}");
        }
    }

    #[test]
    fn any_rule_is_answered(text in any::<String>(), deny in any::<bool>()) {
        let _ = (wildcard(&text, deny), beginning(&[&text], deny), alternatives(&text));
    }
}
