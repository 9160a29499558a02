//! `gloaming backup` and `gloaming restore`.

use std::process::ExitCode;

use gloaming_store::SqliteStore;
use serde_json::json;

use super::database;
use crate::cli::BackupArgs;
use crate::context::Home;
use crate::failure::{Failure, exit};
use crate::told::print_json;

/// Copies the database, and looks at the copy.
pub(crate) fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let from = database(&Home::open()?);
    if !from.exists() {
        return Err(Failure::usage(format!("there is no {}", from.display()))
            .hint("`gloaming serve` makes one; GLOAMING_HOME says where")
            .into());
    }
    let to = std::path::absolute(&args.file)?;
    let failed = |error| Failure::infrastructure("back up", error);
    SqliteStore::backup_file(&from, &to).map_err(failed)?;
    let health = SqliteStore::check_file(&to).map_err(failed)?;
    if !health.is_sound() {
        return Err(Failure::blocked(format!("the copy {} is not sound", to.display()))
            .hint("`gloaming doctor` says what is wrong with the database")
            .into());
    }
    if args.json {
        print_json(&json!({"file": to, "tasks": health.tasks, "audited": health.audited}));
    } else {
        println!("{}: {} tasks, {} entries of the audit log", to.display(), health.tasks, health.audited);
        eprintln!(
            "the keys and the configuration are apart from it: docs/operations.md lists what else to keep"
        );
    }
    Ok(ExitCode::from(exit::OK))
}

/// Makes the database of a copy.
pub(crate) fn restore(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let to = database(&Home::open()?);
    if to.exists() {
        return Err(Failure::usage(format!("there is a {} already", to.display()))
            .hint("stop the control plane and move it away, with what begins with its name")
            .into());
    }
    let from = std::path::absolute(&args.file)?;
    let health =
        SqliteStore::restore(&from, &to).map_err(|error| Failure::infrastructure("restore", error))?;
    if args.json {
        print_json(&json!({"file": to, "tasks": health.tasks, "audited": health.audited}));
    } else {
        println!("{}: {} tasks, {} entries of the audit log", to.display(), health.tasks, health.audited);
    }
    Ok(ExitCode::from(exit::OK))
}
