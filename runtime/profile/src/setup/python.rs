//! Python's package managers: the one environment that all of them are led to, and what they may put into it.

use crate::requirements::requirement_lines;

/// Makes the virtual environment. What the jobs' own Python has is seen in it, as before, also where that is a virtual
/// environment itself; pip comes from there, so that no `ensurepip` is needed. With `alone` none of it is seen until
/// [`OPEN_VENV`].
const MAKE_VENV: &str = "\
import os, site, sys, sysconfig, venv
folder, alone = sys.argv[1], sys.argv[2:] == ['alone']
venv.EnvBuilder(system_site_packages=not alone, symlinks=True, with_pip=False).create(folder)
if sys.prefix != sys.base_prefix:
    packages = sysconfig.get_path('purelib', 'venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix', {'base': folder})
    with open(os.path.join(packages, 'gloaming-outer.pth' + '.off' * alone), 'w') as file:
        file.write('\\n'.join(site.getsitepackages()) + '\\n')
";

/// Lets the packages of the jobs' own Python be seen in the environment.
const OPEN_VENV: &str = "\
import glob, os, sys
config = os.path.join(sys.argv[1], 'pyvenv.cfg')
with open(config) as file:
    lines = [line for line in file if not line.startswith('include-system-site-packages')]
with open(config, 'w') as file:
    file.writelines(lines + ['include-system-site-packages = true\\n'])
for off in glob.glob(os.path.join(sys.argv[1], 'lib', 'python*', 'site-packages', 'gloaming-outer.pth.off')):
    os.rename(off, off[:-len('.off')])
";

/// Returns what is run for an install command that puts packages into the environment.
///
/// A manager with a lockfile would take a package for installed that only the jobs' own Python has, and the programs of
/// that one are run by another Python than the environment's: it sees what it installs itself and nothing else.
pub(super) fn commands(argv: &[String]) -> Vec<Vec<String>> {
    let run = |script: &str, more: &[&str]| {
        let words = ["python3", "-c", script, gloaming_jobs::VENV_MOUNT];
        words.iter().chain(more).map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    match argv.first().map(String::as_str) {
        Some("uv" | "poetry" | "pdm" | "pipenv") => {
            vec![run(MAKE_VENV, &["alone"]), arguments(argv), run(OPEN_VENV, &[])]
        }
        _ => vec![run(MAKE_VENV, &[]), arguments(argv)],
    }
}

/// Whether a command is one of ours around the install command.
pub(super) fn is_ours(argv: &[String]) -> bool {
    matches!(argv, [_, option, script, ..] if option == "-c" && [MAKE_VENV, OPEN_VENV].contains(&script.as_str()))
}

/// Variables by which uv, Poetry, PDM and Pipenv take the environment at [`gloaming_jobs::VENV_MOUNT`] for theirs, in the
/// job that fetches and in those behind it. Poetry and Pipenv go by `VIRTUAL_ENV`; PDM does where no file of an earlier
/// run says otherwise; uv asks for it by its own name, and would fetch another Python where `.python-version` asks for one.
pub(super) const IN_VENV: &[(&str, &str)] = &[
    ("PDM_CHECK_UPDATE", "0"),
    ("PDM_IGNORE_SAVED_PYTHON", "1"),
    ("PIPENV_VERBOSITY", "-1"),
    ("UV_PROJECT_ENVIRONMENT", gloaming_jobs::VENV_MOUNT),
    ("UV_PYTHON", "/opt/gloaming/venv/bin/python3"),
    ("UV_PYTHON_DOWNLOADS", "never"),
    ("VIRTUAL_ENV", gloaming_jobs::VENV_MOUNT),
];

/// Of the job that fetches alone: what uv links to its own cache is gone with that.
pub(super) const WHILE_FILLED: &[(&str, &str)] = &[("UV_LINK_MODE", "copy")];

/// Of the jobs behind it alone: `uv run` brings the environment up to date first, and there is nothing to be had and
/// nothing to be written. `UV_FROZEN` would say no more, and uv warns of it beside `--locked`.
pub(super) const ONCE_FILLED: &[(&str, &str)] = &[("UV_NO_SYNC", "1"), ("UV_OFFLINE", "1")];

/// Variables of a command's own that would have the project's code copied.
pub(super) const COPYING: &[&str] = &["UV_NO_EDITABLE"];

/// Returns an install command that installs the project itself as editable, into the environment and nowhere else. A copy
/// of the base's code among the packages would be what the tests of a patch import, and no fault of the patch would ever
/// be seen.
fn arguments(argv: &[String]) -> Vec<String> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let without = |refused: &[&str]| {
        argv.iter().filter(|word| !refused.contains(&word.as_str())).cloned().collect::<Vec<_>>()
    };
    match words.as_slice() {
        ["uv", "pip", ..] => editable(&without(&["--system"])),
        ["pip" | "pip3", "install", ..] | [_, "-m", "pip", "install", ..] => editable(argv),
        // Both make the project editable unless they are told otherwise. Of Poetry there is no other way.
        ["uv" | "pdm", ..] => without(&["--no-editable"]),
        ["pipenv", ..] => without(&["--system"]),
        _ => argv.to_vec(),
    }
}

/// Puts `-e` before each of pip's arguments that is a folder of the tree.
fn editable(argv: &[String]) -> Vec<String> {
    // The options of pip's whose value is a path or an address and no package.
    const VALUED: &[&str] = &[
        "-e",
        "--editable",
        "-r",
        "--requirement",
        "--requirements",
        "-c",
        "--constraint",
        "-f",
        "--find-links",
        "-i",
        "--index-url",
        "--extra-index-url",
        "--cache-dir",
        "--src",
        "--log",
        "--cert",
        "--group",
    ];
    let mut made = Vec::new();
    let mut before = "";
    for word in argv {
        if is_folder(word) && !VALUED.contains(&before) {
            made.push("-e".to_owned());
        }
        made.push(word.clone());
        before = word;
    }
    made
}

/// Whether an argument or a line of requirements is a folder of the tree, whose code pip would copy.
fn is_folder(word: &str) -> bool {
    let path = word.split('[').next().unwrap_or(word).trim_end_matches('/');
    let archive = [".whl", ".gz", ".zip", ".bz2", ".xz", ".tar"].iter().any(|end| path.ends_with(end));
    (path == "." || path.starts_with("./") || path.starts_with("../")) && !archive
}

/// Returns the folders whose code an install copies into the environment by what a lockfile or a file of requirements says,
/// as they are written there: a change of that code is none that a test would see. `name` is the file's.
pub(super) fn copied(name: &str, text: &str) -> Vec<String> {
    match name {
        "uv.lock" | "poetry.lock" | "pdm.lock" => copied_by_lock(name, text),
        _ if name.ends_with(".txt") || name.ends_with(".in") => requirement_lines(text)
            .iter()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| is_folder(word))
            .map(|word| word.split('[').next().unwrap_or(word).to_owned())
            .collect(),
        _ => Vec::new(),
    }
}

fn copied_by_lock(name: &str, text: &str) -> Vec<String> {
    let Ok(lock) = text.parse::<toml::Table>() else { return Vec::new() };
    let packages = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |package: &toml::Value| {
        let text = |table: &toml::Value, key: &str| Some(table.get(key)?.as_str()?.to_owned());
        let holds = |key: &str| package.get(key).and_then(toml::Value::as_bool) == Some(true);
        match name {
            // Beside `editable` and `virtual`, which are not copied.
            "uv.lock" => text(package.get("source")?, "directory"),
            "poetry.lock" if !holds("develop") => {
                let source = package.get("source")?;
                (text(source, "type")? == "directory").then(|| text(source, "url"))?
            }
            "pdm.lock" if !holds("editable") => text(package, "path"),
            _ => None,
        }
    };
    packages.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_copy_of_the_projects_own_code_is_installed() {
        let made = |line: &str| {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            arguments(&argv).join(" ")
        };
        for (given, expect) in [
            ("python3 -m pip install .", "python3 -m pip install -e ."),
            ("python3 -m pip install .[dev,test]", "python3 -m pip install -e .[dev,test]"),
            ("pip install ./sub -r r.txt", "pip install -e ./sub -r r.txt"),
            ("python3 -m pip install -e . -e ./b", "python3 -m pip install -e . -e ./b"),
            ("python3 -m pip install -r ./r.txt -c ./c.txt", "python3 -m pip install -r ./r.txt -c ./c.txt"),
            ("python3 -m pip install ./vendor/a.whl", "python3 -m pip install ./vendor/a.whl"),
            ("npm install .", "npm install ."),
            ("uv pip install --system .[dev]", "uv pip install -e .[dev]"),
            ("uv pip install -r ./r.txt", "uv pip install -r ./r.txt"),
            ("uv sync --frozen --no-editable --all-extras", "uv sync --frozen --all-extras"),
            ("pdm install --no-editable -G test", "pdm install -G test"),
            ("pipenv install --system --deploy --dev", "pipenv install --deploy --dev"),
            ("poetry install --no-interaction", "poetry install --no-interaction"),
        ] {
            assert_eq!(made(given), expect);
        }
    }

    #[test]
    fn folders_that_are_copied_are_told_from_those_that_are_linked() {
        let uv = "version = 1\n\
            [[package]]\nname = \"a\"\nversion = \"1\"\nsource = { registry = \"https://one.acme.example/simple\" }\n\
            [[package]]\nname = \"x\"\nversion = \"1\"\nsource = { editable = \".\" }\n\
            [[package]]\nname = \"b\"\nversion = \"1\"\nsource = { directory = \"libs/b\" }\n\
            [[package]]\nname = \"c\"\nsource = { virtual = \"libs/c\" }\n";
        assert_eq!(copied("uv.lock", uv), ["libs/b"]);
        let poetry = "[[package]]\nname = \"a\"\nversion = \"1\"\nfiles = []\ndevelop = false\n\
            [package.source]\ntype = \"directory\"\nurl = \"libs/a\"\n\
            [[package]]\nname = \"b\"\nversion = \"1\"\nfiles = []\ndevelop = true\n\
            [package.source]\ntype = \"directory\"\nurl = \"libs/b\"\n\
            [[package]]\nname = \"c\"\nversion = \"1\"\n\
            [package.source]\ntype = \"git\"\nurl = \"https://forge.example/c\"\n";
        assert_eq!(copied("poetry.lock", poetry), ["libs/a"]);
        let pdm = "[[package]]\nname = \"a\"\nversion = \"1\"\npath = \"./libs/a\"\n\
            [[package]]\nname = \"b\"\nversion = \"1\"\neditable = true\npath = \"./libs/b\"\n";
        assert_eq!(copied("pdm.lock", pdm), ["./libs/a"]);
        let requirements = "six==1.0\n./libs/a[extra]  # ours\n-e ./libs/b\n../c\n./d.whl\n# ./e\n";
        assert_eq!(copied("requirements.txt", requirements), ["./libs/a", "../c"]);
        assert_eq!(copied("uv.lock", "[[package]"), Vec::<String>::new());
        assert_eq!(copied("uv.lock", "package = 3\n"), Vec::<String>::new());
    }
}
