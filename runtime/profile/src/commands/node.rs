//! Node: its own runner, jest, vitest, mocha, the checkers, and the package managers.

use gloaming_api::profile::{CommandKind::*, Ecosystem::Node, TestRunner};

use super::{Known, Tool};

pub(super) fn node(args: &[&str]) -> Known {
    if args.contains(&"--test") {
        if args.iter().any(|arg| matches!(*arg, "--watch" | "--experimental-test-coverage")) {
            return Known::Refused("it watches files or measures coverage".into());
        }
        // By itself Node finds these and more below its folders named so, without a shell.
        let found_anyway = |arg: &str| {
            arg.contains('*') && (arg.trim_start_matches("./").starts_with("test/") || arg.contains(".test."))
        };
        let kept = args.iter().copied().filter(|arg| !found_anyway(arg));
        let tool = Tool::new(Node, Test, &["node"]).args(kept);
        return Known::Tool(tool.runner(TestRunner::NodeTest));
    }
    match args {
        [file, ..] if file.contains("test") => {
            Known::Refused("a script of its own: its results cannot be told by test".into())
        }
        _ => Known::Unknown,
    }
}

pub(super) fn javascript_tests(program: &str, args: &[&str]) -> Known {
    let (runner, first): (_, &[&str]) = match program {
        "jest" => (TestRunner::Jest, &[]),
        "vitest" => (TestRunner::Vitest, &["run"]),
        _ => (TestRunner::Mocha, &[]),
    };
    if args.iter().any(|arg| matches!(*arg, "--watch" | "--watchAll" | "-w" | "watch" | "bench")) {
        return Known::Refused("it watches files and never ends".into());
    }
    let dropped = ["--coverage", "--verbose", "--silent", "--ci", "run", "--passWithNoTests"];
    let kept = args.iter().copied().filter(|arg| !dropped.contains(arg) && !arg.starts_with("--coverage"));
    let bin = format!("node_modules/.bin/{program}");
    Known::Tool(Tool::new(Node, Test, &[&bin]).args(first.iter().copied()).args(kept).runner(runner))
}

pub(super) fn javascript_checks(program: &str, args: &[&str]) -> Known {
    if args.iter().any(|arg| matches!(*arg, "--fix" | "--write" | "-w" | "--watch")) {
        return Known::Unknown;
    }
    let (kind, weight) = match program {
        "tsc" if args.contains(&"--noEmit") => (Typecheck, 0),
        "tsc" => (Build, 0),
        "prettier" if !args.iter().any(|arg| matches!(*arg, "--check" | "-c" | "-l")) => {
            return Known::Unknown;
        }
        "prettier" => (Format, 0),
        "biome" if !matches!(args.first(), Some(&("check" | "lint" | "ci"))) => return Known::Unknown,
        _ => (Lint, 0),
    };
    let bin = format!("node_modules/.bin/{program}");
    Known::Tool(Tool::new(Node, kind, &[&bin]).args(args.iter().copied()).weight(weight))
}

/// npm, pnpm, yarn and bun: what installs, the package's own scripts, and programs of its dependencies.
pub(super) fn script_runner(program: &'static str, args: &[&str]) -> Known {
    let flags = |rest: &[&str]| rest.iter().all(|arg| arg.starts_with('-'));
    let script = match args {
        ["ci" | "clean-install", ..] if program == "npm" => {
            return Known::Tool(Tool::new(Node, Install, &["npm", "ci"]));
        }
        ["install" | "i", rest @ ..] if flags(rest) && program != "bun" => {
            // Without what the tests need it would only take away what is there (a CI job that looks at licences).
            let less = |arg: &str| {
                matches!(arg, "--silent" | "--production" | "--prod" | "-P" | "--omit=dev")
                    || arg.starts_with("--only=prod")
            };
            let kept = rest.iter().copied().filter(|arg| !less(arg));
            return Known::Tool(Tool::new(Node, Install, &[program, "install"]).args(kept));
        }
        [] if program == "yarn" => return Known::Tool(Tool::new(Node, Install, &["yarn", "install"])),
        [tool, rest @ ..] if matches!(program, "yarn" | "pnpm") && is_own_program(tool) => {
            return super::recognise_words(&[&[*tool], rest].concat());
        }
        ["run" | "run-script", script, ..] | [script @ ("test" | "t"), ..] => *script,
        _ => return Known::Unknown,
    };
    let name = script.split(':').next().unwrap_or(script);
    if matches!(name, "t") || super::is_purpose(name) {
        Known::Refused(format!("it runs the script {script:?} of package.json, which is read there"))
    } else {
        Known::Unknown
    }
}

/// Programs that yarn and pnpm run without a word before them.
fn is_own_program(word: &str) -> bool {
    matches!(word, "jest" | "vitest" | "mocha" | "eslint" | "prettier" | "tsc" | "biome")
}
