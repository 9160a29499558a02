//! `gloaming init`: writes a configuration, with secrets in files of their own.

use std::fs::OpenOptions;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use toml::Table;

use super::config::{self, LISTEN};
use crate::cli::InitArgs;
use crate::context::{self, Home};
use crate::failure::{Failure, exit};
use crate::told::print_json;

const HEAD: &str = "\
# Gloaming's configuration, written by `gloaming init`. docs/install/gloaming.toml is one with every key.
# What is relative lies beside this file; secrets are in files of their own that only their owner can read.
";

/// The largest secret that is copied, bytes.
const SECRET_CAP: u64 = 64 << 10;

/// A file to write beside the configuration.
struct Beside {
    name: &'static str,
    content: String,
}

pub(crate) fn init(mut args: InitArgs) -> anyhow::Result<ExitCode> {
    let path = match &args.config {
        Some(path) => std::path::absolute(path)?,
        None => Home::open()?.data.join("gloaming.toml"),
    };
    absent(&path)?;
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !args.yes && terminal {
        ask(&mut args)?;
    } else if !args.yes && !says_something(&args) {
        return Err(Failure::usage("nothing is said, and there is no terminal to ask on")
            .hint("give options (`gloaming init --help`), or --yes for what is so by default")
            .into());
    }
    let (table, secrets) = made(&args)?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    for secret in &secrets {
        absent(&folder.join(secret.name))?;
    }
    let text = format!("{HEAD}{}", toml::to_string(&table)?);
    // What cannot be read again is not written.
    config::parse(&text, &folder).map_err(Failure::usage)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| Failure::disk(&format!("make the folder {}", folder.display()), error))?;
    let mut written = Vec::new();
    // The configuration last: where it is, everything that it names is.
    for secret in &secrets {
        let file = folder.join(secret.name);
        write(&file, &secret.content)?;
        written.push(file);
    }
    write(&path, &text)?;
    written.push(path);
    if args.json {
        print_json(&json!({"written": written}));
    } else {
        written.iter().for_each(|file| println!("{}", file.display()));
        eprintln!("`gloaming doctor` says what works and what is missing; `gloaming serve` starts it");
    }
    Ok(ExitCode::from(exit::OK))
}

fn says_something(args: &InitArgs) -> bool {
    args.listen.is_some()
        || args.clone.is_some()
        || args.github_app.is_some()
        || args.github_token_file.is_some()
        || args.model.is_some()
        || args.engine.is_some()
        || args.jobs.is_some()
}

/// Makes the configuration and the files it names.
fn made(args: &InitArgs) -> anyhow::Result<(Table, Vec<Beside>)> {
    let mut secrets = Vec::new();
    let mut copy = |from: &Path, name: &'static str, what: &str| -> anyhow::Result<()> {
        let content = context::read_text(from, what, SECRET_CAP)?;
        if content.trim().is_empty() {
            return Err(Failure::usage(format!("{what} {} is empty", from.display())).into());
        }
        secrets.push(Beside { name, content });
        Ok(())
    };
    let mut table = Table::new();
    table.insert("schema".into(), 1.into());
    table.insert("listen".into(), args.listen.unwrap_or(LISTEN).to_string().into());
    if let Some(clone) = &args.clone {
        table.insert("clone".into(), clone.clone().into());
    }
    let mut github = Table::new();
    if let (Some(app), Some(key)) = (args.github_app, &args.github_key_file) {
        copy(key, "github-app.pem", "the App's key")?;
        let app = i64::try_from(app).map_err(|_| Failure::usage("--github-app is no App's id"))?;
        github.insert("app".into(), app.into());
        github.insert("key_file".into(), "github-app.pem".into());
    }
    if let Some(token) = &args.github_token_file {
        copy(token, "github.token", "the token for GitHub")?;
        github.insert("token_file".into(), "github.token".into());
    }
    if !github.is_empty() {
        github.insert("webhook_secret_file".into(), "github-webhook.secret".into());
        if let Some(api) = &args.github_api {
            github.insert("api".into(), api.clone().into());
        }
        table.insert("github".into(), github.into());
    } else if args.github_api.is_some() {
        return Err(Failure::usage("--github-api wants --github-app or --github-token-file beside it").into());
    }
    let mut worker = Table::new();
    worker.insert("jobs".into(), i64::from(args.jobs.unwrap_or(1)).into());
    if let Some(engine) = &args.engine {
        worker.insert("engine".into(), engine.to_string().into());
    }
    if let Some(model) = &args.model {
        worker.insert("model".into(), model.clone().into());
    }
    if let Some(key) = &args.model_key_file {
        copy(key, "model.key", "the model's key")?;
        worker.insert("model_key_file".into(), "model.key".into());
    }
    if table.contains_key("github") {
        // 244 random bits.
        let random = || uuid::Uuid::new_v4().simple().to_string();
        secrets
            .push(Beside { name: "github-webhook.secret", content: format!("{}{}\n", random(), random()) });
    }
    table.insert("worker".into(), worker.into());
    Ok((table, secrets))
}

/// Asks on the terminal for what no option says. An empty line leaves it as it is.
fn ask(args: &mut InitArgs) -> anyhow::Result<()> {
    fn put<T: std::str::FromStr>(slot: &mut Option<T>, question: &str) -> anyhow::Result<()>
    where
        T::Err: std::fmt::Display,
    {
        while slot.is_none() {
            eprint!("{question}: ");
            let _ = std::io::stderr().flush();
            let mut line = String::new();
            let read = std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(|error| Failure::usage(format!("cannot read an answer: {error}")))?;
            if read == 0 {
                return Err(Failure::cancelled("no answer; nothing was written").into());
            }
            match line.trim() {
                "" => return Ok(()),
                text => match text.parse() {
                    Ok(value) => *slot = Some(value),
                    Err(error) => eprintln!("  {error}"),
                },
            }
        }
        Ok(())
    }
    put(&mut args.listen, &format!("address to listen on [{LISTEN}]"))?;
    if args.github_token_file.is_none() {
        put(&mut args.github_app, "id of your GitHub App (docs/github.md) [none]")?;
        match args.github_app {
            Some(_) => {
                put(&mut args.github_key_file, "file with the App's private key")?;
                if args.github_key_file.is_none() {
                    return Err(Failure::usage("an App has a key: nothing was written").into());
                }
            }
            None => put::<PathBuf>(&mut args.github_token_file, "file with a token for GitHub [none]")?,
        }
    }
    put(&mut args.model, "model, like anthropic:claude-sonnet-4-5 [none: only playbooks]")?;
    if args.model.is_some() {
        put(&mut args.model_key_file, "file with its key [its provider's variable]")?;
    }
    put(&mut args.engine, "container engine: embedded, docker, podman or kubernetes [the first that works]")?;
    put(&mut args.jobs, "attempts at once [1]")
}

fn absent(path: &Path) -> anyhow::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::disk(&format!("look at {}", path.display()), error).into()),
        Ok(_) => Err(Failure::usage(format!("{} exists already", path.display()))
            .hint("change it by hand, move it away, or name another configuration with --config")
            .into()),
    }
}

/// Writes a new file that its owner alone can read.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = |error| Failure::disk(&format!("write {}", path.display()), error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(())
}
