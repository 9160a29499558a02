//! Whole profiles of small repositories, and their proofs in real containers.
#![expect(clippy::disallowed_methods, reason = "tests make their own folders and read their own environment")]

mod corrections;
mod detect;
mod fixtures;
mod hostile;
mod prove;
mod python_managers;
mod setup;
mod setup_failures;

use std::path::Path;

// Proofs run in containers whose helper is this very binary.
gloaming_jobs::reenter_as_helper!();

/// A folder with the given files; `bin/x` is written as it is told.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    write_all(dir.path(), files);
    dir
}

fn write_all(dir: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("the folder can be made");
        std::fs::write(path, content).expect("the file can be written");
    }
}
