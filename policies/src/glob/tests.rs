//! The matcher against a slow and obvious one.

use proptest::prelude::*;

use super::*;

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
        prop_assert_eq!(allows(&pattern, &path), reference::allows(&pattern, &path));
    }

    #[test]
    fn denials_match_at_least_what_the_reference_does(pattern in pattern(), path in path()) {
        prop_assume!(Pattern::parse(&pattern).is_ok());
        if reference::denies(&pattern, &path) {
            prop_assert!(denies(&pattern, &path));
            prop_assert!(pattern.contains("[!") || denies(&pattern, &path.to_uppercase()));
        }
    }

    #[test]
    fn folders_are_on_the_way_where_the_reference_has_them_so(pattern in pattern(), path in path()) {
        prop_assume!(Pattern::parse(&pattern).is_ok());
        let parsed = Pattern::parse(&pattern).unwrap();
        let beneath = AllowSet::new(&[&parsed]).unwrap().matches_beneath(&Spelled::new(&path));
        let listed = allows(&pattern, &path) || !beneath.is_empty();
        prop_assert_eq!(listed, allows(&pattern, &path) || reference::lists(&pattern, &path));
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
