//! The matcher against a slow and obvious one.

use proptest::prelude::*;

use super::*;

fn allows(pattern: &str, path: &str) -> bool {
    let pattern = Pattern::parse(pattern).unwrap();
    !AllowSet::new(&[&pattern]).matches(&Spelled::new(path)).is_empty()
}

/// Whether something beneath the folder may match.
fn leads_to(pattern: &str, folder: &str) -> bool {
    let pattern = Pattern::parse(pattern).unwrap();
    let set = AllowSet::new(&[&pattern]);
    !set.anywhere().is_empty() || !set.matches_beneath(&Spelled::new(folder)).is_empty()
}

fn denies(pattern: &str, path: &str) -> bool {
    let pattern = Pattern::parse(pattern).unwrap();
    !DenySet::new(&[&pattern]).matches(&Spelled::new(path)).is_empty()
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
        assert_eq!(leads_to(pattern, folder), want, "{pattern:?} on {folder:?}");
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
        let listed = allows(&pattern, &path) || leads_to(&pattern, &path);
        prop_assert_eq!(listed, allows(&pattern, &path) || reference::lists(&pattern, &path));
    }

    #[test]
    fn every_folder_above_a_match_is_on_the_way(pattern in pattern(), path in path()) {
        prop_assume!(Pattern::parse(&pattern).is_ok());
        if allows(&pattern, &path) {
            let mut folder = path.as_str();
            while let Some((parent, _)) = folder.rsplit_once('/') {
                folder = parent;
                prop_assert!(leads_to(&pattern, folder) || allows(&pattern, folder));
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

/// Patterns as people write them, over few enough names that they meet: each shape that the index knows, and
/// those it does not.
fn written_pattern() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec![
        "src",
        "SRC",
        "lib",
        "a",
        "K",
        "s",
        ".env",
        "secrets",
        "Makefile",
        "gen",
        "é",
        "É",
        "ſ",
        "ß",
        "ς",
        "日本",
        "x.pem",
        "id_rsa",
        "azure-pipelines",
    ]);
    let wild = prop::sample::select(vec![
        "*",
        "*.pem",
        "*.tar.gz",
        "*.PEM",
        ".env*",
        "id_rsa*",
        "azure-pipelines*.yml",
        "*_test.rs",
        "*é",
        "É*",
        "*.",
        "?",
        "a?",
        "[a-k]",
        "[!a]",
        "[K-S]*",
        "*[ſ-Σ]",
        "*a*",
        "**",
        "*s.*",
        "**",
        "[!É]*",
    ]);
    let name = prop_oneof![3 => text, 2 => wild];
    let names = prop::collection::vec(name, 1..5);
    (prop::sample::select(vec!["", "", "/"]), names, prop::sample::select(vec!["", "", "/", "/**"]))
        .prop_map(|(lead, names, trail)| format!("{lead}{}{trail}", names.join("/")))
        .prop_filter("a pattern that is refused", |text| Pattern::parse(text).is_ok())
}

fn written_path() -> impl Strategy<Value = String> {
    let stem = prop::sample::select(vec![
        "src",
        "Src",
        "lib",
        "LIB",
        "a",
        "A",
        "b",
        "k",
        "K",
        "\u{212a}",
        "s",
        "S",
        "ſ",
        ".env",
        ".ENV",
        "secrets",
        "ſecrets",
        "Makefile",
        "gen",
        "é",
        "É",
        "e\u{301}",
        "ss",
        "ß",
        "ẞ",
        "ς",
        "Σ",
        "σ",
        "日本",
        "x.pem",
        "X.Pem",
        "y.tar.gz",
        "id_rsa",
        "ID_RSA_1",
        "azure-pipelines.yml",
        "azure-pipelines-2.YML",
        "x_test.rs",
        "\n",
        "s\u{200c}rc",
        "x.p\u{feff}em",
    ]);
    let end = prop::sample::select(vec!["", "", "", "", ".", " ", ". .", ".pem", "x"]);
    let name = (stem, end).prop_map(|(stem, end)| format!("{stem}{end}"));
    prop::collection::vec(name, 1..7).prop_map(|names| names.join("/"))
}

/// What an index finds, as the automaton tells it.
fn in_order(mut found: Vec<usize>) -> Vec<usize> {
    found.sort_unstable();
    found.dedup();
    found
}

fn agrees(patterns: &[String], paths: &[String]) -> Result<(), TestCaseError> {
    let parsed: Vec<Pattern> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let parsed: Vec<&Pattern> = parsed.iter().collect();
    let (allow, deny) = (AllowSet::new(&parsed), DenySet::new(&parsed));
    let plain = plain::Sets::new(&parsed);
    for path in paths {
        let spelled = Spelled::new(path);
        prop_assert_eq!(in_order(allow.matches(&spelled)), plain.allowances(path), "{:?}", path);
        prop_assert_eq!(in_order(deny.matches(&spelled)), plain.denials(path), "{:?}", path);
        let mut beneath = allow.matches_beneath(&spelled);
        beneath.extend(allow.anywhere());
        prop_assert_eq!(in_order(beneath), plain.beneath(path), "{:?}", path);
    }
    Ok(())
}

#[test]
fn what_folds_to_ascii_is_known() {
    // Hashes of a folded text stand for every spelling of it, so no character may be missing here.
    let set = plain::compile(('a'..='z').map(|c| format!("^{c}$")), true);
    for c in '\u{80}'..=char::MAX {
        let text = c.to_string();
        if let Some(letter) = set.matches(&text).iter().next() {
            let letter = char::from(b'a' + u8::try_from(letter).unwrap());
            assert_eq!(spelled::fold(&text), letter.to_string());
        } else {
            assert_eq!(spelled::fold(&text), text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn an_index_finds_what_an_automaton_finds(
        patterns in prop::collection::vec(written_pattern(), 1..24),
        paths in prop::collection::vec(written_path(), 1..24),
    ) {
        agrees(&patterns, &paths)?;
    }

    #[test]
    fn an_index_finds_what_an_automaton_finds_of_any_pattern(
        patterns in prop::collection::vec(pattern(), 1..8),
        paths in prop::collection::vec(path(), 1..24),
    ) {
        let patterns: Vec<String> = patterns.into_iter().filter(|text| Pattern::parse(text).is_ok()).collect();
        agrees(&patterns, &paths)?;
    }
}
