//! The matcher against a slow and obvious one.

use proptest::prelude::*;

use super::*;

/// Gitignore's dialect, as its manual tells it, by trying everything.
fn reference(pattern: &str, path: &str, polarity: Polarity) -> bool {
    let pattern: String = pattern.nfc().collect();
    let path: String = path.nfc().collect();
    let folder_only = pattern.ends_with('/');
    let body = pattern.trim_end_matches('/');
    let anchored = body.contains('/');
    let mut wanted: Vec<Vec<char>> =
        body.trim_start_matches('/').split('/').map(|name| name.chars().collect()).collect();
    if !anchored {
        wanted.insert(0, vec!['*', '*']);
    }
    let names: Vec<Vec<char>> = path.split('/').map(|name| name.chars().collect()).collect();
    // What matches a folder covers everything beneath it.
    (1..=names.len()).any(|count| {
        let is_folder_for_sure = count < names.len();
        (is_folder_for_sure || !folder_only || polarity == Polarity::Deny)
            && names_match(&wanted, &names[..count])
    })
}

fn names_match(wanted: &[Vec<char>], names: &[Vec<char>]) -> bool {
    let stars = |name: &Vec<char>| name.len() > 1 && name.iter().all(|c| *c == '*');
    match wanted.split_first() {
        None => names.is_empty(),
        Some((first, [])) if stars(first) => !names.is_empty(),
        Some((first, rest)) if stars(first) => {
            (0..=names.len()).any(|skip| names_match(rest, &names[skip..]))
        }
        Some((first, rest)) => names
            .split_first()
            .is_some_and(|(name, others)| name_matches(first, name) && names_match(rest, others)),
    }
}

fn name_matches(wanted: &[char], name: &[char]) -> bool {
    match wanted.first() {
        None => name.is_empty(),
        Some('*') => (0..=name.len()).any(|skip| name_matches(&wanted[1..], &name[skip..])),
        Some('?') => !name.is_empty() && name_matches(&wanted[1..], &name[1..]),
        Some('\\') => {
            name.first() == wanted.get(1) && !name.is_empty() && name_matches(&wanted[2..], &name[1..])
        }
        Some('[') => {
            let negated = matches!(wanted[1], '!' | '^');
            let from = if negated { 2 } else { 1 };
            let close = from + 1 + wanted[from + 1..].iter().position(|c| *c == ']').expect("closed");
            let set = &wanted[from..close];
            let Some(c) = name.first() else { return false };
            let mut hit = false;
            let mut at = 0;
            while at < set.len() {
                if at + 2 < set.len() && set[at + 1] == '-' {
                    hit |= set[at] <= *c && *c <= set[at + 2];
                    at += 3;
                } else {
                    hit |= set[at] == *c;
                    at += 1;
                }
            }
            hit != negated && name_matches(&wanted[close + 1..], &name[1..])
        }
        Some(c) => name.first() == Some(c) && name_matches(&wanted[1..], &name[1..]),
    }
}

fn allows(pattern: &str, path: &str) -> bool {
    let pattern = Pattern::parse(pattern).unwrap();
    !AllowSet::new(&[&pattern]).unwrap().matches(&Spelled::new(path)).is_empty()
}

fn denies(pattern: &str, path: &str) -> bool {
    let pattern = Pattern::parse(pattern).unwrap();
    let set = DenySet::new(&[&pattern]).unwrap();
    let path = Spelled::new(path);
    let matched = set.is_match(&path);
    assert_eq!(matched, !set.matches(&path).is_empty());
    matched
}

#[test]
fn the_dialect_by_example() {
    // (pattern, path, an allowance matches, a denial matches)
    for (pattern, path, allow, deny) in [
        ("*.pem", "a/b/x.pem", true, true),
        ("*.pem", "x.pem/inside", true, true),
        ("*.pem", "x.pem2", false, false),
        ("*.pem", ".pem", true, true),
        ("/README.md", "README.md", true, true),
        ("/README.md", "docs/README.md", false, false),
        ("README.md", "docs/README.md", true, true),
        ("docs/README.md", "x/docs/README.md", false, false),
        ("**/docs/README.md", "x/docs/README.md", true, true),
        ("**/docs/README.md", "docs/README.md", true, true),
        ("src/**", "src/a/b.rs", true, true),
        ("src/**", "src", false, false),
        ("src/**", "srcs/a", false, false),
        ("src", "src", true, true),
        ("src", "lib/src/x", true, true),
        ("src/*", "src/a/b", true, true),
        ("src/*.rs", "src/a/b.rs", false, false),
        ("a/**/z", "a/z", true, true),
        ("a/**/z", "a/b/c/z", true, true),
        ("a/**/z", "a/bz", false, false),
        ("a/*/z", "a/b/c/z", false, false),
        ("a/*/z", "a/b/z", true, true),
        ("a/b*/**/c?.rs", "a/bb/x/y/c1.rs", true, true),
        ("a**b", "axxb", true, true),
        ("a**b", "ax/xb", false, false),
        ("***", "x/y", true, true),
        ("build/", "build", false, true),
        ("build/", "x/build/y", true, true),
        ("/build/", "x/build/y", false, false),
        ("{a,b}.rs", "a.rs", false, false),
        ("{a,b}.rs", "{a,b}.rs", true, true),
        ("x[0-9].rs", "x7.rs", true, true),
        ("x[!0-9].rs", "x7.rs", false, false),
        ("x[^0-9].rs", "xa.rs", true, true),
        ("a[!b]c", "a/c", false, false),
        ("a[]-]c", "a]c", true, true),
        ("a[]-]c", "a-c", true, true),
        ("a[a-]c", "a-c", true, true),
        ("[[]x]", "[x]", true, true),
        (r"\[x\]", "[x]", true, true),
        (r"\!important", "!important", true, true),
        (r"a\*b", "a*b", true, true),
        (r"a\*b", "axb", false, false),
        ("caf?", "café", true, true),
        ("caf?", "cafe\u{301}", true, true),
        ("caf[é]", "café", true, true),
        ("cafe\u{301}", "café", true, true),
        ("café", "cafe\u{301}", true, true),
        ("*", "\n", true, true),
        ("a.b+c(d)|e$", "a.b+c(d)|e$", true, true),
        ("a.b", "axb", false, false),
        // A denial holds in any case, an allowance does not.
        (".env*", ".ENV.local", false, true),
        ("Secrets/", "SECRETS/x", false, true),
        ("É.txt", "é.txt", false, true),
        ("k", "\u{212a}", false, true),
        ("[A-Z]x", "bx", false, true),
        // ... and `[!A-Z]` still denies what it says.
        ("[!A-Z]x", "bx", true, true),
        ("[!A-Z]x", "Bx", false, false),
        // A denial holds for names a file system takes for the same.
        (".git", ".git./config", false, true),
        (".git", ".git /config", false, true),
        (".git", ".g\u{200c}it/config", false, true),
        (".git", "...", false, false),
    ] {
        assert_eq!((allows(pattern, path), denies(pattern, path)), (allow, deny), "{pattern:?} on {path:?}");
    }
}

#[test]
fn folders_on_the_way_are_known() {
    for (pattern, folder, want) in [
        ("src/**", "src", true),
        ("src/**", "docs", false),
        ("src/**", "src/a/b", true),
        ("a/b/c.rs", "a", true),
        ("a/b/c.rs", "a/b", true),
        ("a/b/c.rs", "a/c", false),
        ("a/b/c.rs", "a/b/c.rs", false),
        ("a/b/", "a/b", true),
        ("/README.md", "docs", false),
        ("*.rs", "anything/at/all", true),
        ("a/*/c", "a/x", true),
        ("a/*/c", "a/x/y", false),
        ("a/**/c", "a/x/y", true),
        ("a/**/c", "b", false),
    ] {
        let parsed = Pattern::parse(pattern).unwrap();
        let set = AllowSet::new(&[&parsed]).unwrap();
        assert_eq!(!set.matches_beneath(&Spelled::new(folder)).is_empty(), want, "{pattern:?} on {folder:?}");
    }
}

#[test]
fn catch_alls_are_known() {
    for pattern in ["**", "*", "/**", "/*", "**/*", "**/**", "***"] {
        assert!(Pattern::parse(pattern).unwrap().is_catch_all(), "{pattern}");
    }
    for pattern in ["**/", "*/", "?*", "*.*", "a/**", "**/a", "*/*"] {
        assert!(!Pattern::parse(pattern).unwrap().is_catch_all(), "{pattern}");
    }
}

#[test]
fn patterns_that_cannot_work_are_refused() {
    for (pattern, message) in [
        ("", "an empty pattern matches nothing"),
        ("!src", "a pattern cannot be negated"),
        ("../x", "has a `..` component"),
        ("a/../b", "has a `..` component"),
        ("./src", "has a `.` component"),
        ("a//b", "has an empty name"),
        ("//a", "has an empty name"),
        ("/", "`/` alone matches nothing"),
        ("~/x", "is an absolute path"),
        ("C:\\x", "is an absolute path"),
        ("/workspace/src", "is an absolute path"),
        ("a[b", "not closed"),
        ("a[b/c]", "not closed"),
        ("a[]", "not closed"),
        ("[[:alpha:]]", "POSIX class"),
        ("[z-a]", "is empty"),
        ("a\\", "backslash with nothing behind it"),
        ("a\\/b", "backslash with nothing behind it"),
        ("a ", "begins or ends with a space"),
        ("a\nb", "control character"),
    ] {
        let refused = Pattern::parse(pattern).expect_err(pattern);
        assert!(refused.message.contains(message), "{pattern:?}: {}", refused.message);
        assert!(!refused.hint.is_empty());
    }
    assert!(Pattern::parse(&"a".repeat(2000)).is_err());
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b", "B", "é", "e\u{301}", "*", "?", "[ab]", "[!a]", "[a-é]", "{", "}", ",", ".", "\\*", "+",
        "^", "-",
    ]);
    let name = prop_oneof![
        1 => Just("**".to_owned()),
        4 => prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat()),
    ];
    (any::<bool>(), prop::collection::vec(name, 1..4), any::<bool>()).prop_map(|(lead, names, trail)| {
        format!("{}{}{}", if lead { "/" } else { "" }, names.join("/"), if trail { "/" } else { "" })
    })
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b", "B", "A", "é", "e\u{301}", "{", "}", ",", ".x", "*", "+", "^", "-", "\n",
    ]);
    let name = prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat());
    prop::collection::vec(name, 1..5).prop_map(|names| names.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn allowances_match_as_the_reference_does(pattern in pattern(), path in path()) {
        prop_assume!(Pattern::parse(&pattern).is_ok());
        prop_assert_eq!(allows(&pattern, &path), reference(&pattern, &path, Polarity::Allow));
    }

    #[test]
    fn denials_match_at_least_what_the_reference_does(pattern in pattern(), path in path()) {
        prop_assume!(Pattern::parse(&pattern).is_ok());
        if reference(&pattern, &path, Polarity::Deny) {
            prop_assert!(denies(&pattern, &path));
            prop_assert!(pattern.contains("[!") || denies(&pattern, &path.to_uppercase()));
        }
    }

    #[test]
    fn every_folder_above_a_match_is_on_the_way(pattern in pattern(), path in path()) {
        prop_assume!(Pattern::parse(&pattern).is_ok());
        if allows(&pattern, &path) {
            let parsed = Pattern::parse(&pattern).unwrap();
            let set = AllowSet::new(&[&parsed]).unwrap();
            let mut folder = path.as_str();
            while let Some((parent, _)) = folder.rsplit_once('/') {
                folder = parent;
                let spelled = Spelled::new(folder);
                prop_assert!(!set.matches_beneath(&spelled).is_empty() || !set.matches(&spelled).is_empty());
            }
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,40}", path in path()) {
        if Pattern::parse(&text).is_ok() {
            let _ = denies(&text, &path);
            let _ = allows(&text, &path);
        }
    }
}
