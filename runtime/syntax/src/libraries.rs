//! What the languages and the packages that tests check with bring along: names that are built in, modules, and the values
//! that these give.

use crate::Language;

/// What a test knows of the members of a value that it keeps under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// A library's through and through: what a program printed, a path.
    Own,
    /// A library's that holds what others put into it: only its own members are the library's.
    Holder,
}

#[rustfmt::skip]
const PYTHON: &[&str] = &[
    "abs", "aiter", "all", "anext", "any", "ascii", "bin", "bool", "breakpoint", "bytearray", "bytes", "callable", "chr",
    "classmethod", "compile", "complex", "copyright", "credits", "delattr", "dict", "dir", "divmod", "enumerate", "eval",
    "exec", "exit", "filter", "float", "format", "frozenset", "getattr", "globals", "hasattr", "hash", "help", "hex", "id",
    "input", "int", "isinstance", "issubclass", "iter", "len", "license", "list", "locals", "map", "max", "memoryview",
    "min", "next", "object", "oct", "open", "ord", "pow", "print", "property", "quit", "range", "repr", "reversed", "round",
    "set", "setattr", "slice", "sorted", "staticmethod", "str", "sum", "super", "tuple", "type", "vars", "zip",
    "Ellipsis", "NotImplemented",
    "ArithmeticError", "AssertionError", "AttributeError", "BaseException", "BaseExceptionGroup", "BlockingIOError",
    "BrokenPipeError", "BufferError", "BytesWarning", "ChildProcessError", "ConnectionAbortedError", "ConnectionError",
    "ConnectionRefusedError", "ConnectionResetError", "DeprecationWarning", "EOFError", "EncodingWarning",
    "EnvironmentError", "Exception", "ExceptionGroup", "FileExistsError", "FileNotFoundError", "FloatingPointError",
    "FutureWarning", "GeneratorExit", "IOError", "ImportError", "ImportWarning", "IndentationError", "IndexError",
    "InterruptedError", "IsADirectoryError", "KeyError", "KeyboardInterrupt", "LookupError", "MemoryError",
    "ModuleNotFoundError", "NameError", "NotADirectoryError", "NotImplementedError", "OSError", "OverflowError",
    "PendingDeprecationWarning", "PermissionError", "ProcessLookupError", "RecursionError", "ReferenceError",
    "ResourceWarning", "RuntimeError", "RuntimeWarning", "StopAsyncIteration", "StopIteration", "SyntaxError",
    "SyntaxWarning", "SystemError", "SystemExit", "TabError", "TimeoutError", "TypeError", "UnboundLocalError",
    "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeError", "UnicodeTranslateError", "UnicodeWarning", "UserWarning",
    "ValueError", "Warning", "ZeroDivisionError",
];

/// The prelude, and its macros that are called by the same word.
#[rustfmt::skip]
const RUST: &[&str] = &[
    "Some", "None", "Ok", "Err", "Option", "Result", "Box", "String", "Vec", "ToString", "ToOwned", "AsRef", "AsMut",
    "Into", "From", "TryFrom", "TryInto", "Default", "Iterator", "IntoIterator", "Extend", "FromIterator",
    "DoubleEndedIterator", "ExactSizeIterator", "Clone", "Copy", "Send", "Sync", "Sized", "Drop", "Unpin", "Fn", "FnMut",
    "FnOnce", "Future", "IntoFuture", "AsyncFn", "AsyncFnMut", "AsyncFnOnce", "Eq", "PartialEq", "Ord", "PartialOrd",
    "Debug", "Hash", "drop", "size_of", "size_of_val", "align_of", "align_of_val", "vec", "format", "matches", "print",
    "println", "eprint", "eprintln", "dbg", "write", "writeln", "concat", "stringify", "include_str", "include_bytes",
    "include", "env", "option_env", "cfg", "line", "column", "file", "module_path", "todo", "unimplemented", "unreachable",
    "compile_error", "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128",
    "isize", "f32", "f64", "std", "core", "alloc",
];

#[rustfmt::skip]
const GO: &[&str] = &[
    "any", "bool", "byte", "comparable", "complex64", "complex128", "error", "float32", "float64", "int", "int8", "int16",
    "int32", "int64", "rune", "string", "uint", "uint8", "uint16", "uint32", "uint64", "uintptr", "true", "false", "iota",
    "nil", "append", "cap", "clear", "close", "complex", "copy", "delete", "imag", "len", "make", "max", "min", "new",
    "panic", "print", "println", "real", "recover",
];

#[rustfmt::skip]
const SCRIPTS: &[&str] = &[
    "AggregateError", "Array", "ArrayBuffer", "Atomics", "BigInt", "Blob", "Boolean", "Buffer", "DataView", "Date", "Error",
    "EvalError", "Event", "EventTarget", "File", "FormData", "Function", "Headers", "Infinity", "Intl", "Iterator", "JSON",
    "Map", "Math", "NaN", "Number", "Object", "Promise", "Proxy", "RangeError", "ReferenceError", "Reflect", "RegExp",
    "Request", "Response", "Set", "String", "Symbol", "SyntaxError", "TextDecoder", "TextEncoder", "TypeError",
    "Uint8Array", "URIError", "URL", "URLSearchParams", "WeakMap", "WeakRef", "WeakSet", "atob", "btoa", "clearInterval",
    "clearTimeout", "console", "decodeURI", "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape", "eval",
    "exports", "fetch", "global", "globalThis", "isFinite", "isNaN", "module", "parseFloat", "parseInt", "performance",
    "process", "queueMicrotask", "require", "setImmediate", "setInterval", "setTimeout", "structuredClone", "undefined",
    "unescape", "window", "document",
];

/// Whether a name means something of the language's own where nothing else is called so.
pub(crate) fn is_builtin(language: Language, name: &str) -> bool {
    let list = match language {
        Language::Python => PYTHON,
        Language::Rust => RUST,
        Language::Go => GO,
        Language::JavaScript | Language::TypeScript | Language::Tsx => SCRIPTS,
    };
    list.contains(&name)
}

/// What comes of a call of something built in, where that is no value of the code's.
pub(crate) fn value_of_builtin(language: Language, name: &str) -> Option<Value> {
    let (own, holders): (&[&str], &[&str]) = match language {
        Language::Python => (
            &["bool", "bytearray", "bytes", "complex", "float", "format", "int", "open", "repr", "str"],
            &["dict", "frozenset", "list", "set", "sorted", "tuple"],
        ),
        Language::Rust => (&["String", "format"], &["Vec", "vec"]),
        Language::Go => (&[], &[]),
        Language::JavaScript | Language::TypeScript | Language::Tsx => (
            &["Buffer", "Date", "Number", "RegExp", "String", "URL", "URLSearchParams"],
            &["Map", "Set", "WeakMap", "WeakSet"],
        ),
    };
    match name {
        name if own.contains(&name) => Some(Value::Own),
        name if holders.contains(&name) => Some(Value::Holder),
        _ => None,
    }
}

/// What comes of a call of a library, where that is no value of the code's. Libraries whose calls may hand back what they
/// were given (`copy`, `functools`, `mock`, `sync`) are left out.
pub(crate) fn value_of_module(language: Language, module: &str) -> Option<Value> {
    let module = module.trim_matches(['"', '\'', '`', ' ']);
    let (own, holders): (&[&str], &[&str]) = match language {
        Language::Python => (
            &[
                "array",
                "base64",
                "csv",
                "datetime",
                "decimal",
                "difflib",
                "fractions",
                "hashlib",
                "io",
                "json",
                "logging",
                "math",
                "os",
                "pathlib",
                "re",
                "shutil",
                "socket",
                "statistics",
                "string",
                "subprocess",
                "tempfile",
                "textwrap",
                "time",
                "traceback",
                "uuid",
            ],
            &["collections", "pytest", "warnings"],
        ),
        Language::Go => (
            &[
                "bufio", "bytes", "crypto", "encoding", "fmt", "hash", "io", "log", "math", "net", "os",
                "path", "regexp", "runtime", "strconv", "strings", "text", "time", "unicode",
            ],
            &[],
        ),
        Language::Rust => (&["env", "ffi", "fs", "io", "net", "path", "process", "time"], &["collections"]),
        Language::JavaScript | Language::TypeScript | Language::Tsx => {
            (&["buffer", "child_process", "crypto", "fs", "os", "path", "url"], &[])
        }
    };
    let first = match language {
        Language::Python => module.split('.').next(),
        Language::Go => module.split('/').next(),
        Language::Rust => {
            let mut path = module.trim_start_matches("::").split("::").map(str::trim);
            path.next().filter(|root| matches!(*root, "std" | "core" | "alloc")).and_then(|_| path.next())
        }
        _ => module.trim_start_matches("node:").split('/').next(),
    }?;
    match first {
        first if own.contains(&first) => Some(Value::Own),
        first if holders.contains(&first) => Some(Value::Holder),
        _ => None,
    }
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
            "deepdiff",
            "dirty_equals",
            "approvaltests",
            "assertpy",
            "sure",
            "testtools",
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
                "github.com/matryer/is",
                "github.com/frankban/quicktest",
                "github.com/go-quicktest/qt",
                "gotest.tools",
            ];
            packages.iter().any(|begin| module.starts_with(begin))
                || [
                    "bufio", "bytes", "cmp", "context", "crypto", "encoding", "errors", "flag", "fmt",
                    "hash", "io", "iter", "log", "maps", "math", "net", "os", "path", "reflect", "regexp",
                    "runtime", "slices", "sort", "strconv", "strings", "sync", "syscall", "testing", "text",
                    "time", "unicode",
                ]
                .contains(&first('/'))
        }
        Language::Rust => {
            let path = module.trim_start_matches("::");
            [
                "std",
                "core",
                "alloc",
                "approx",
                "pretty_assertions",
                "similar_asserts",
                "googletest",
                "speculoos",
                "float_cmp",
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
                || module.starts_with("@vitest/")
                || module.starts_with("bun:")
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
                    "fast-deep-equal",
                    "jest",
                    "lodash",
                    "lodash-es",
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
                    "underscore",
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
            (Language::JavaScript, "lodash/isEqual"),
            (Language::TypeScript, "bun:test"),
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
                "lodash/isEqual true",
                "bun:test true",
                "../src/assert false",
            ]
        );
    }

    #[test]
    fn what_a_library_gives_is_told_from_what_it_hands_on() {
        for (language, module, value) in [
            (Language::Python, "subprocess", Some(Value::Own)),
            (Language::Python, "os.path", Some(Value::Own)),
            (Language::Python, "pytest", Some(Value::Holder)),
            (Language::Python, "unittest.mock", None),
            (Language::Python, "copy", None),
            (Language::Python, "calc.os", None),
            (Language::Rust, "std::path::PathBuf", Some(Value::Own)),
            (Language::Rust, "std::collections::HashMap", Some(Value::Holder)),
            (Language::Rust, "std::sync::Arc", None),
            (Language::Rust, "calc::path::Way", None),
            (Language::Go, "\"os/exec\"", Some(Value::Own)),
            (Language::Go, "\"errors\"", None),
            (Language::JavaScript, "'node:child_process'", Some(Value::Own)),
            (Language::JavaScript, "../src/fs", None),
        ] {
            assert_eq!(value_of_module(language, module), value, "{module}");
        }
    }
}
