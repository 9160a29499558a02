//! The go command.

use gloaming_api::profile::{CommandKind::*, Ecosystem::Go, TestRunner};

use super::{Known, Tool};

pub(super) fn go(args: &[&str]) -> Known {
    let loud = ["-v", "-race", "-cover"];
    let plain = |args: &[&str]| -> Vec<String> {
        let kept = args.iter().filter(|arg| !loud.contains(arg) && !arg.starts_with("-cover"));
        kept.map(|arg| (*arg).to_owned()).collect()
    };
    match args {
        ["test", rest @ ..] => {
            if rest.iter().any(|arg| arg.starts_with("-bench") || arg.starts_with("-fuzz")) {
                return Known::Refused("it is only a part of what is tested".into());
            }
            let mut tool = Tool::new(Go, Test, &["go", "test"]).runner(TestRunner::GoTest);
            tool.argv.extend(plain(rest));
            Known::Tool(tool)
        }
        ["build", rest @ ..] => {
            let mut tool = Tool::new(Go, Build, &["go", "build"]);
            tool.argv.extend(plain(rest));
            Known::Tool(tool)
        }
        ["mod", "download", ..] => Known::Tool(Tool::new(Go, Install, &["go", "mod", "download"])),
        ["vet", rest @ ..] => Known::Tool(Tool::new(Go, Lint, &["go", "vet"]).args(rest.iter().copied())),
        _ => Known::Unknown,
    }
}
