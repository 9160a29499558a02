//! What an operator and a newcomer are handed beside the program: set-up scripts and units.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{Scene, program, ran, skipped};

/// A machine that has a shell and little else: what `make demo-github` needs beside it is asked of the distribution, once, and
/// nothing that the demo does not run.
#[test]
fn what_the_demo_on_github_needs_is_installed_where_it_is_missing() {
    let scene = Scene::bare_folder();
    let bin = scene.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["bash", "cat", "dirname", "env", "mkdir", "chmod", "sed"] {
        symlink(program(name).unwrap_or_else(|| panic!("{name} is missing")), bin.join(name)).unwrap();
    }
    let stub = |name: &str, text: &str| {
        let path = bin.join(name);
        std::fs::write(&path, format!("#!{}\n{text}\n", program("bash").unwrap().display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    stub("id", "echo 0");
    // It says what it is asked for, and what is asked for is there from then on.
    let log = scene.path().join("log");
    stub(
        "apt-get",
        &format!(
            "echo \"apt-get $*\" >>{log}\nfor name in \"$@\"; do case $name in nodejs) name=npm ;; openssl|curl|python3) ;; *) continue ;; esac\n\
             printf '#!/usr/bin/env bash\\necho \"%s $*\" >>{log}\\n' \"$name\" >{bin}/\"$name\"\nchmod 755 {bin}/\"$name\"\ndone",
            log = log.display(),
            bin = bin.display()
        ),
    );
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/setup.sh");
    let run = || {
        let mut command = Command::new(program("bash").unwrap());
        command.arg(&setup).arg("github").arg(scene.path().join("cache")).env_clear().env("PATH", &bin);
        ran(command.output().unwrap()).exits(0)
    };
    let told = run().stdout;
    assert!(told.contains("installing nodejs npm openssl curl python3"), "{told}");
    let asked = std::fs::read_to_string(&log).unwrap();
    let [update, install, npm] = asked.lines().collect::<Vec<_>>()[..] else { panic!("{asked}") };
    assert_eq!(update, "apt-get update -qq");
    assert!(install.ends_with("nodejs npm openssl curl python3"), "{install}");
    assert!(npm.starts_with("npm install ") && npm.contains(" emulate@"), "{npm}");
    // The demo speaks to no chat.
    assert!(!scene.path().join("cache/github/slack").exists());
    assert!(run().stdout.contains("is there"));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), asked, "nothing is done twice");
}

/// systemd finds nothing to complain of in the units, and the user they name is the one that is made.
#[test]
fn the_units_are_what_systemd_takes() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install");
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).unwrap();
    let user = read("gloaming.sysusers");
    assert!(user.lines().any(|line| line.starts_with("u gloaming - ")), "{user}");
    let scene = Scene::bare_folder();
    let analyze = program("systemd-analyze");
    if analyze.is_none() {
        skipped("what systemd says of the units", "systemd-analyze is not there");
    }
    for name in ["gloaming.service", "gloaming-control.service", "gloaming-worker.service"] {
        let unit = read(name);
        assert!(unit.contains("\nUser=gloaming\nGroup=gloaming\n"), "{name}");
        // A group that is not there keeps a unit from starting at all.
        assert!(!unit.lines().any(|line| line.starts_with("SupplementaryGroups=")), "{name}");
        let Some(analyze) = &analyze else { continue };
        let path = scene.path().join(name);
        std::fs::write(&path, unit.replace("/usr/local/bin/gloaming", env!("CARGO_BIN_EXE_gloaming")))
            .unwrap();
        let looked = ran(Command::new(analyze).args(["verify", "--man=no"]).arg(&path).output().unwrap());
        assert!(!looked.stderr.contains(name), "{}", looked.stderr);
        assert_eq!(looked.code, 0, "{}", looked.stderr);
    }
}
