//! Turns what rustc made into a component that carries its world's doc comments.
//!
//! `componentize INPUT OUTPUT WORLD WIT-FOLDER...`: `INPUT` is a core module with wit-bindgen's sections, or
//! already a component. Components keep no doc comments, and the host derives a tool's description and
//! the schema of its arguments from them: they are added as the section `package-docs`, where wit-parser
//! finds them when it decodes the component. The output is replaced only when its bytes change.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a build tool on its own files")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, world, wit @ ..] = args.as_slice() else {
        eprintln!("usage: componentize INPUT OUTPUT WORLD WIT-FOLDER...");
        return ExitCode::from(2);
    };
    match run(Path::new(input), Path::new(output), world, wit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("componentize: {input}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(input: &Path, output: &Path, world: &str, wit: &[String]) -> Result<(), Box<dyn Error>> {
    let bytes = std::fs::read(input)?;
    let component = componentize::with_docs(&componentize::component(bytes)?, world, wit)?;
    if std::fs::read(output).is_ok_and(|old| old == component) {
        return Ok(());
    }
    let part = output.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, &component)?;
    std::fs::rename(&part, output)?;
    println!("tools: {} ({} KiB)", output.display(), component.len().div_ceil(1024));
    Ok(())
}
