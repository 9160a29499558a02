//! Words by which tests check and by which runners know what to run: no renaming reaches them, whatever the code declares.

use crate::Language;

/// Beginnings of the names of assertions, in small letters and without underscores.
const CHECKS_BEGIN: &[&str] = &[
    "assert",
    "debugassert",
    "expect",
    "should",
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

/// Names of assertions, written the same way.
const CHECKS: &[&str] = &[
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
    "isalpha", "isalnum", "keys", "values", "items", "entries", "print", "println", "eprintln", "format",
];

/// Whether a name is a word by which tests check.
fn is_check(name: &str) -> bool {
    let squeezed: String = name.to_ascii_lowercase().chars().filter(|letter| *letter != '_').collect();
    CHECKS.contains(&squeezed.as_str()) || CHECKS_BEGIN.iter().any(|begin| squeezed.starts_with(begin))
}

/// Whether a renaming would let a test check by something else than before or with something weaker, or would take a
/// name with a meaning to the runner away or give one.
pub fn leads_elsewhere(old: &str, new: &str) -> bool {
    let known = |name: &str| KNOWN.contains(&name.to_ascii_lowercase().as_str());
    is_check(old) || is_check(new) || (known(old) && known(new)) || runs_around(old) || runs_around(new)
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
        Language::Python => &["pytest", "unittest", "hypothesis", "mark"],
        Language::Go => &["t", "tb", "testing"],
        Language::Rust => &["std", "proptest", "insta"],
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

/// Packages that check, and modules of the languages' own libraries whose members tests check by. What is imported from
/// these is never something that the code renames.
pub(crate) fn is_foreign(language: Language, module: &str) -> bool {
    let module = module.trim_matches(['"', '\'', '`', ' ']);
    let first = |separator: char| module.split(separator).next().unwrap_or_default();
    match language {
        Language::Python => [
            "__future__",
            "abc",
            "argparse",
            "array",
            "ast",
            "asyncio",
            "base64",
            "bisect",
            "builtins",
            "collections",
            "contextlib",
            "copy",
            "csv",
            "dataclasses",
            "datetime",
            "decimal",
            "difflib",
            "enum",
            "filecmp",
            "fractions",
            "functools",
            "hamcrest",
            "hashlib",
            "heapq",
            "hypothesis",
            "inspect",
            "io",
            "itertools",
            "json",
            "logging",
            "math",
            "mock",
            "numbers",
            "numpy",
            "operator",
            "os",
            "pathlib",
            "pickle",
            "pprint",
            "pytest",
            "random",
            "re",
            "shutil",
            "signal",
            "socket",
            "statistics",
            "string",
            "subprocess",
            "sys",
            "tempfile",
            "textwrap",
            "threading",
            "time",
            "traceback",
            "types",
            "typing",
            "unittest",
            "uuid",
            "warnings",
        ]
        .contains(&first('.')),
        Language::Go => {
            let packages = [
                "github.com/stretchr/testify",
                "github.com/google/go-cmp",
                "github.com/onsi/",
                "gotest.tools",
            ];
            packages.iter().any(|begin| module.starts_with(begin))
                || [
                    "bufio", "bytes", "cmp", "context", "encoding", "errors", "flag", "fmt", "io", "iter",
                    "log", "maps", "math", "net", "os", "path", "reflect", "regexp", "runtime", "slices",
                    "sort", "strconv", "strings", "sync", "syscall", "testing", "text", "time", "unicode",
                ]
                .contains(&first('/'))
        }
        Language::Rust => {
            let path = module.trim_start_matches("::");
            [
                "std",
                "core",
                "alloc",
                "pretty_assertions",
                "proptest",
                "insta",
                "rstest",
                "assert_matches",
                "claims",
            ]
            .contains(&path.split("::").next().unwrap_or_default())
        }
        Language::JavaScript | Language::TypeScript | Language::Tsx => {
            module.starts_with("node:")
                || module.starts_with("@jest/")
                || module.starts_with("@testing-library/")
                || [
                    "assert",
                    "ava",
                    "buffer",
                    "chai",
                    "child_process",
                    "crypto",
                    "events",
                    "expect",
                    "fs",
                    "http",
                    "jest",
                    "mocha",
                    "os",
                    "path",
                    "power-assert",
                    "should",
                    "sinon",
                    "stream",
                    "tap",
                    "tape",
                    "test",
                    "url",
                    "util",
                    "uvu",
                    "vitest",
                ]
                .contains(&first('/'))
        }
    }
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
        ]
        .iter()
        .filter(|(old, new)| !leads_elsewhere(old, new))
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
        ] {
            assert!(!leads_elsewhere(old, new), "{old} → {new}");
        }
    }

    #[test]
    fn what_is_checked_with_is_known_by_its_package() {
        let told: Vec<String> = [
            (Language::Python, "unittest.mock"),
            (Language::Python, "calc.core"),
            (Language::Go, "\"errors\""),
            (Language::Go, "\"example.com/errors\""),
            (Language::Go, "\"github.com/stretchr/testify/assert\""),
            (Language::Rust, "std::collections::HashMap"),
            (Language::Rust, "calc::std"),
            (Language::JavaScript, "node:assert"),
            (Language::JavaScript, "chai/register"),
            (Language::TypeScript, "../src/assert"),
        ]
        .iter()
        .map(|(language, module)| format!("{module} {}", is_foreign(*language, module)))
        .collect();
        assert_eq!(
            told,
            [
                "unittest.mock true",
                "calc.core false",
                "\"errors\" true",
                "\"example.com/errors\" false",
                "\"github.com/stretchr/testify/assert\" true",
                "std::collections::HashMap true",
                "calc::std false",
                "node:assert true",
                "chai/register true",
                "../src/assert false",
            ]
        );
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
