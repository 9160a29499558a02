//! Cargo and its parts.

use gloaming_api::profile::{CommandKind::*, Ecosystem::Rust, TestRunner};

use super::{Known, Tool};

pub(super) fn cargo(args: &[&str]) -> Known {
    let (toolchain, args) = match args.split_first() {
        Some((first, rest)) if first.starts_with('+') => (Some(*first), rest),
        _ => (None, args),
    };
    let Some((command, args)) = args.split_first() else { return Known::Unknown };
    let (kind, weight) = match *command {
        "test" | "t" => (Test, 0),
        "build" | "b" => (Build, 0),
        "check" | "c" => (Typecheck, 0),
        "fetch" => (Install, 0),
        "clippy" => (Lint, 0),
        "fmt" if args.contains(&"--check") => {
            let tool = Tool::new(Rust, Format, &["cargo", "fmt"]).args(args.iter().copied());
            return Known::Tool(tool);
        }
        "nextest" => {
            return Known::Refused("results of cargo-nextest are not read; cargo test runs the same".into());
        }
        "tarpaulin" | "llvm-cov" => {
            return Known::Refused("it measures coverage; the tests are run without".into());
        }
        "miri" | "hack" => return Known::Refused(format!("cargo {command} is no part of a usual toolchain")),
        _ => return Known::Unknown,
    };
    if let Some(toolchain) = toolchain.filter(|toolchain| *toolchain != "+stable") {
        return Known::Refused(format!("it wants the toolchain {}", &toolchain[1..]));
    }
    if args.iter().any(|arg| matches!(*arg, "--doc" | "--no-run" | "--help" | "--bench" | "--benches")) {
        return Known::Refused("it is only a part of what is tested".into());
    }
    if args.windows(2).any(|pair| pair[0] == "--target")
        || args.iter().any(|arg| arg.starts_with("--target="))
    {
        return Known::Refused("it is for another target".into());
    }
    let long = match *command {
        "t" => "test",
        "b" => "build",
        "c" => "check",
        long => long,
    };
    let loud = ["-v", "-vv", "--verbose", "-q", "--quiet", "--locked", "--frozen", "--offline"];
    let kept = args.iter().copied().filter(|arg| !loud.contains(arg));
    if kind == Install {
        // Whether there is a network is for the job to say.
        return Known::Tool(Tool::new(Rust, kind, &["cargo", "fetch"]).args(kept));
    }
    let tool = Tool::new(Rust, kind, &["cargo", long, "--offline"]).args(kept).weight(weight);
    Known::Tool(if kind == Test { tool.runner(TestRunner::Cargo) } else { tool })
}
