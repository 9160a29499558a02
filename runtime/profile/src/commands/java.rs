//! Maven and Gradle, always without the network and never by a wrapper, which would fetch the program itself.

use gloaming_api::profile::{CommandKind::*, Ecosystem::Java, TestRunner};

use super::{Known, Tool};

/// Returns Maven's command for one of its phases.
pub(crate) fn maven_command(phase: &str) -> Tool {
    let argv = ["mvn", "-B", "-o", phase];
    match phase {
        "test" | "verify" => Tool::new(Java, Test, &argv).runner(TestRunner::Surefire),
        _ => Tool::new(Java, Build, &argv),
    }
}

/// Returns Gradle's command for one of its tasks.
pub(crate) fn gradle_command(task: &str) -> Tool {
    let argv = ["gradle", "--offline", task];
    match task {
        "test" | "check" | "build" => Tool::new(Java, Test, &argv).runner(TestRunner::Gradle),
        _ => Tool::new(Java, Build, &argv),
    }
}

pub(super) fn maven(args: &[&str]) -> Known {
    if args.iter().any(|arg| arg.starts_with("-DskipTests") || *arg == "-Dmaven.test.skip=true") {
        return match args.contains(&"deploy") {
            true => Known::Unknown,
            false => Known::Tool(maven_command("test-compile")),
        };
    }
    let phases: Vec<&&str> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let phases: Vec<&str> = phases.into_iter().copied().filter(|phase| *phase != "clean").collect();
    match phases.as_slice() {
        ["test" | "package"] => Known::Tool(maven_command("test")),
        // What is published or installed is no business of a job; up to the tests they are the same.
        ["verify" | "install"] => Known::Tool(maven_command("verify").weight(1)),
        ["compile" | "test-compile"] => Known::Tool(maven_command("test-compile")),
        ["dependency:go-offline" | "dependency:resolve"] => {
            Known::Tool(Tool::new(Java, Install, &["mvn", "-B", "dependency:go-offline"]))
        }
        ["checkstyle:check"] => Known::Tool(Tool::new(Java, Lint, &["mvn", "-B", "-o", "checkstyle:check"])),
        ["spotless:check"] => Known::Tool(Tool::new(Java, Format, &["mvn", "-B", "-o", "spotless:check"])),
        _ => Known::Unknown,
    }
}

pub(super) fn gradle(args: &[&str]) -> Known {
    let tasks: Vec<&str> =
        args.iter().copied().filter(|arg| !arg.starts_with('-') && *arg != "clean").collect();
    match tasks.as_slice() {
        ["test"] => Known::Tool(gradle_command("test")),
        ["check"] => Known::Tool(gradle_command("check").weight(1)),
        ["build"] => Known::Tool(gradle_command("build").weight(2)),
        ["assemble" | "classes" | "testClasses"] => Known::Tool(gradle_command("testClasses")),
        ["spotlessCheck"] => Known::Tool(Tool::new(Java, Format, &["gradle", "--offline", "spotlessCheck"])),
        _ => Known::Unknown,
    }
}
