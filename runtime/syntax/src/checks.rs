//! Words by which tests check and by which runners know what to run: no renaming reaches them, whatever the code declares.

use crate::Language;

/// Beginnings of the names of assertions, in small letters and without underscores.
const CHECKS_BEGIN: &[&str] = &[
    "assert",
    "debugassert",
    "refute",
    "failif",
    "failunless",
    "notequal",
    "notstrict",
    "notdeep",
    "raises",
    "doesnot",
    "unwrap",
    "tobe",
    "toequal",
    "tostrict",
    "tomatch",
    "tocontain",
    "tohave",
    "tothrow",
    "toreturn",
    "tosatisfy",
    "toinclude",
];

/// The same in scripts, where libraries make words of them without end: `expectTypeOf`, `shouldBe`. Elsewhere code has names
/// of its own that begin so.
const CHECKS_BEGIN_SCRIPTS: &[&str] = &["expect", "should"];

/// Names of assertions, written the same way.
const CHECKS: &[&str] = &[
    "expect",
    "expecterr",
    "expectthat",
    "expecteq",
    "expectne",
    "expecttrue",
    "expectfalse",
    "expectedfailure",
    "should",
    "shouldbe",
    "shouldequal",
    "shouldnot",
    "shouldpanic",
    "shouldthrow",
    "require",
    "errorf",
    "fatal",
    "fatalf",
    "fail",
    "failnow",
    "equal",
    "equals",
    "strictequal",
    "deepequal",
    "deepstrictequal",
    "partialdeepstrictequal",
    "iferror",
    "ok",
    "notok",
    "istrue",
    "isfalse",
    "match",
    "matches",
    "throws",
    "rejects",
    "resolves",
    "panic",
    "warns",
];

/// Words of frameworks, of the languages' libraries and of what is built into them, in pairs of which one is weaker than
/// the other: that both the old and the new name are such words is no accident.
#[rustfmt::skip]
const KNOWN: &[&str] = &[
    // frameworks
    "error", "log", "logf", "skip", "skipf", "skipnow", "run", "parallel", "cleanup", "helper", "setenv", "todo", "only",
    "test", "it", "describe", "before", "after", "each", "xit", "xtest", "it_fails", "mark", "xfail", "skipif",
    "parametrize", "fixture", "called", "called_once", "subtest", "sub_test", "plan", "diagnostic",
    // what is asked of values
    "all", "any", "every", "some", "none", "min", "max", "sum", "len", "length", "size", "count", "bool", "boolean",
    "not", "eq", "ne", "lt", "le", "gt", "ge", "is", "as", "contains", "containsany", "includes", "has", "index",
    "indexof", "find", "filter", "search", "startswith", "starts_with", "hasprefix", "endswith", "ends_with",
    "hassuffix", "equalfold", "compare", "cmp", "sorted", "set", "list", "tuple", "dict", "str", "repr", "int", "float",
    "abs", "round", "isinstance", "issubclass", "hasattr", "getattr", "callable", "is_some", "is_none", "is_ok",
    "is_err", "is_empty", "is_some_and", "is_ok_and", "is_none_or", "iter", "isnan", "isfinite", "isclose", "isdigit",
    "isalpha", "isalnum", "keys", "values", "items", "entries", "print", "println", "eprintln", "format", "isequal",
    "is_equal",
];

/// Members of the libraries' own objects: what becomes one of the other side makes of a question another one, or none.
#[rustfmt::skip]
const SIBLINGS: &[(&[&str], &[&str])] = &[
    (PATHS, PATHS),
    (PRINTED, PRINTED),
    (ENDED, ENDED),
    (RAISED, RAISED),
    // Whether something is there, and putting it there.
    (
        &["has", "contains", "includes", "get"],
        &["add", "append", "push", "insert", "set", "discard", "remove", "delete", "clear"],
    ),
];
#[rustfmt::skip]
const PATHS: &[&str] =
    &["exists", "is_file", "is_dir", "is_symlink", "is_absolute", "is_relative", "absolute", "resolve", "try_exists"];
const PRINTED: &[&str] = &["out", "err", "output", "stdout", "stderr"];
const ENDED: &[&str] = &["stdout", "stderr", "status", "signal", "returncode", "args", "pid"];
const RAISED: &[&str] = &["value", "type", "tb", "traceback", "typename"];

/// Whether a name is a word by which tests check.
pub(crate) fn is_check(language: Language, name: &str) -> bool {
    let squeezed: String = name.to_ascii_lowercase().chars().filter(|letter| *letter != '_').collect();
    let begins = |list: &[&str]| list.iter().any(|begin| squeezed.starts_with(begin));
    CHECKS.contains(&squeezed.as_str())
        || begins(CHECKS_BEGIN)
        || (language.is_script() && begins(CHECKS_BEGIN_SCRIPTS))
}

/// Whether a renaming would let a test check by something else than before or with something weaker, or would take a
/// name with a meaning to the runner away or give one.
pub fn leads_elsewhere(language: Language, old: &str, new: &str) -> bool {
    let (was, is) = (old.to_ascii_lowercase(), new.to_ascii_lowercase());
    let both = |list: &[&str]| list.contains(&was.as_str()) && list.contains(&is.as_str());
    is_check(language, old)
        || is_check(language, new)
        || both(KNOWN)
        || SIBLINGS.iter().any(|(left, right)| {
            let meet = |one: &str, other: &str| left.contains(&one) && right.contains(&other);
            meet(&was, &is) || meet(&is, &was)
        })
        || runs_around(old)
        || runs_around(new)
}

/// Fixtures that pytest and its common plugins bring along: a test that asks for another of these by the name of its
/// parameter gets another thing, whatever the code calls so.
const FIXTURES: &[&str] = &[
    "request",
    "recwarn",
    "capsys",
    "capfd",
    "capsysbinary",
    "capfdbinary",
    "caplog",
    "monkeypatch",
    "tmp_path",
    "tmpdir",
    "tmp_path_factory",
    "tmpdir_factory",
    "cache",
    "pytestconfig",
    "record_property",
    "record_xml_attribute",
    "record_testsuite_property",
    "doctest_namespace",
    "testdir",
    "pytester",
    "mocker",
    "benchmark",
];

/// Whether a test of Python gets something of pytest's by a parameter of this name.
pub(crate) fn is_fixture(language: Language, name: &str) -> bool {
    language == Language::Python && FIXTURES.contains(&name)
}

/// Whether runners call or read what has this name, around the tests or in place of them.
fn runs_around(name: &str) -> bool {
    let begins = |list: &[&str]| list.iter().any(|begin| name.starts_with(begin));
    let exactly = [
        "setUp",
        "tearDown",
        "asyncSetUp",
        "asyncTearDown",
        "setup_module",
        "setup_class",
        "setup_method",
        "setup_function",
        "teardown_module",
        "teardown_class",
        "teardown_method",
        "teardown_function",
        "setUpClass",
        "setUpModule",
        "tearDownClass",
        "tearDownModule",
        "load_tests",
        "runTest",
        "skipTest",
        "subTest",
        "addCleanup",
        "addClassCleanup",
        "addModuleCleanup",
        "enterContext",
        "enterClassContext",
        "failureException",
        "maxDiff",
        "longMessage",
        "collect_ignore",
        "collect_ignore_glob",
        "pytestmark",
        "event_loop",
        "event_loop_policy",
        "anyio_backend",
        "beforeEach",
        "afterEach",
        "beforeAll",
        "afterAll",
        "suiteSetup",
        "suiteTeardown",
        "TestMain",
        "SetupSuite",
        "SetupTest",
        "SetupSubTest",
        "BeforeTest",
        "TearDownSuite",
        "TearDownTest",
        "TearDownSubTest",
        "AfterTest",
    ];
    exactly.contains(&name) || begins(&["pytest_"]) || (name.starts_with("__") && name.ends_with("__"))
}

/// What a runner takes a name for that a file of tests declares. Elsewhere it is a name like others.
fn taken_for(language: Language, name: &str) -> Option<&'static str> {
    let begin = |list: &[&'static str]| list.iter().copied().find(|begin| name.starts_with(begin));
    match language {
        Language::Python => {
            begin(&["setup", "teardown", "test", "Test"]).or_else(|| name.ends_with("Test").then_some("Test"))
        }
        Language::Go if name == "init" => Some("setup"),
        Language::Go => begin(&["Test", "Benchmark", "Example", "Fuzz"])
            .filter(|begin| !name[begin.len()..].starts_with(|letter: char| letter.is_lowercase())),
        _ => None,
    }
}

/// Whether what tests declare under an old name is under the new one the same to a runner: a test stays one, and what is
/// called around the tests keeps its name.
pub(crate) fn runs_the_same(language: Language, old: &str, new: &str) -> bool {
    match (taken_for(language, old), taken_for(language, new)) {
        (Some("setup" | "teardown"), _) | (_, Some("setup" | "teardown")) => false,
        (old, new) => old == new,
    }
}

/// Whether what hangs at this name checks or belongs to a runner, in files of the language: `assert.x`, `t.x`.
pub(crate) fn is_checker(language: Language, root: &str) -> bool {
    let list: &[&str] = match language {
        // Of the fixtures those whose values are pytest's own: what `request` or `mocker` gives may be the code's.
        Language::Python => &[
            "pytest",
            "unittest",
            "hypothesis",
            "mark",
            "recwarn",
            "capsys",
            "capfd",
            "capsysbinary",
            "capfdbinary",
            "caplog",
            "monkeypatch",
            "tmp_path",
            "tmpdir",
            "tmp_path_factory",
            "tmpdir_factory",
            "pytestconfig",
            "pytester",
            "testdir",
            "record_property",
        ],
        Language::Go => &["t", "tb", "testing"],
        Language::Rust => &["std", "core", "alloc", "proptest", "insta"],
        Language::JavaScript | Language::TypeScript | Language::Tsx => &[
            "assert", "expect", "should", "chai", "t", "it", "test", "describe", "context", "suite",
            "specify", "before", "after", "jest", "vi", "sinon", "cy", "QUnit", "Deno", "JSON", "Object",
            "Math", "Array", "Promise", "Number", "String", "Reflect",
        ],
    };
    list.contains(&root)
}

/// Whether a call of it registers a test or says how tests run: what its options are called is the runner's affair.
pub(crate) fn is_runner(language: Language, root: &str) -> bool {
    let list: &[&str] = match language {
        Language::Python => &["pytest", "unittest", "mark"],
        Language::Go => &["t", "tb", "testing"],
        Language::Rust => &[],
        Language::JavaScript | Language::TypeScript | Language::Tsx => &[
            "t",
            "it",
            "test",
            "describe",
            "context",
            "suite",
            "specify",
            "before",
            "after",
            "beforeEach",
            "afterEach",
            "beforeAll",
            "afterAll",
            "jest",
            "vi",
            "QUnit",
            "Deno",
        ],
    };
    list.contains(&root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_checking_and_of_runners_are_not_renamed() {
        let kept: String = [
            ("Errorf", "Logf"),
            ("Fatalf", "Note"),
            ("equal", "ok"),
            ("deep_strict_equal", "same"),
            ("assertEqual", "check"),
            ("value", "toBeDefined"),
            ("all", "any"),
            ("Is", "As"),
            ("plan", "diagnostic"),
            ("unwrap", "take"),
            ("setUp", "prepare"),
            ("prepare", "tearDown"),
            ("TestMain", "Main"),
            ("pytest_configure", "configure"),
            ("beforeEach", "each"),
            ("exists", "is_absolute"),
            ("stdout", "stderr"),
            ("has", "add"),
            ("isEqual", "is"),
            ("expect", "take"),
            ("expect_err", "take"),
            ("should_panic", "calm"),
        ]
        .iter()
        .filter(|(old, new)| !leads_elsewhere(Language::Go, old, new))
        .map(|(old, new)| format!("{old} → {new}\n"))
        .collect();
        assert_eq!(kept, "");
        for (old, new) in [
            ("add", "sum_of"),
            ("total", "count"),
            ("log", "note"),
            ("matcher", "finder"),
            ("setup_logging", "configure_logging"),
            ("okay", "fine"),
            // Of two different things.
            ("text", "value"),
            ("remove", "delete"),
            ("contains", "has_it"),
            ("add", "sum"),
            ("should_retry", "wants_retry"),
            ("expect_token", "next_token"),
            ("expected", "target"),
        ] {
            assert!(!leads_elsewhere(Language::Python, old, new), "{old} → {new}");
        }
        // Scripts have libraries with more such words than can be listed.
        assert!(leads_elsewhere(Language::TypeScript, "expectTypeOf", "typeOf"));
    }

    #[test]
    fn a_test_stays_a_test() {
        for (language, old, new, expect) in [
            (Language::Python, "test_add", "test_sum", true),
            (Language::Python, "test_add", "check_add", false),
            (Language::Python, "contest", "match_up", true),
            (Language::Python, "setup", "setup_once", false),
            (Language::Python, "prepare", "setup", false),
            (Language::Go, "TestAdd", "TestSum", true),
            (Language::Go, "TestAdd", "ExampleAdd", false),
            (Language::Go, "Testify", "Verify", true),
            (Language::Go, "init", "begin", false),
            (Language::Rust, "test_add", "add", true),
        ] {
            assert_eq!(runs_the_same(language, old, new), expect, "{old} → {new}");
        }
    }
}
