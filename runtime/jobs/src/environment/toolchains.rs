//! Toolchains outside `/usr` and the dependencies that were fetched for them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::system::identity;
use super::{Draft, HostFacts, OPT};
use crate::{CARGO_REGISTRY_MOUNT, GO_MODULES_MOUNT};

/// Adds the Rust toolchain that is rustup's default, and cargo's registry.
///
/// The toolchain's own `bin` goes to the front of `PATH`: rustup's proxies would want `~/.rustup`, and would
/// try to download what a `rust-toolchain.toml` asks for.
pub(super) fn rust(draft: &mut Draft, host: &HostFacts) {
    let home = |name: &str| host.home.as_ref().map(|home| home.join(name));
    if let Some(rustup) = host.rustup_home.clone().or_else(|| home(".rustup"))
        && let Some((name, folder)) = default_toolchain(&rustup)
    {
        let container = format!("{OPT}/rust");
        draft.identity.push(format!("rust {name} {}", identity(&folder.join("bin/rustc"))));
        draft.bind(folder, &container);
        draft.add_path(format!("{container}/bin"));
        draft.describe.push(format!("Rust toolchain {name}, read-only"));
    }
    let Some(cargo) = host.cargo_home.clone().or_else(|| home(".cargo")) else { return };
    // Only this folder: its neighbours are credentials and installed programs.
    if let Ok(registry) = cargo.join("registry").canonicalize()
        && registry.is_dir()
    {
        draft.bind(registry, CARGO_REGISTRY_MOUNT);
        draft.scratch.links.insert("/scratch/cargo/registry".to_owned(), CARGO_REGISTRY_MOUNT.to_owned());
        draft.describe.push("crates that cargo has fetched, read-only".to_owned());
    }
    if let Some(config) = source_replacement(&cargo) {
        draft.scratch.files.insert("/scratch/cargo/config.toml".to_owned(), config);
    }
}

fn default_toolchain(rustup: &Path) -> Option<(String, PathBuf)> {
    let settings: toml::Table = fs::read_to_string(rustup.join("settings.toml")).ok()?.parse().ok()?;
    let name = settings.get("default_toolchain")?.as_str()?.to_owned();
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    let folder = rustup.join("toolchains").join(&name).canonicalize().ok()?;
    folder.join("bin/cargo").is_file().then_some((name, folder))
}

/// Returns the part of cargo's configuration that decides *which folder* of the registry a crate is looked up
/// in (mirrors), and nothing else of it: the same file may hold tokens.
fn source_replacement(cargo: &Path) -> Option<String> {
    let text = fs::read_to_string(cargo.join("config.toml"))
        .or_else(|_| fs::read_to_string(cargo.join("config")))
        .ok()?;
    let config: toml::Table = text.parse().ok()?;
    let mut kept = toml::Table::new();
    for (section, keys) in [("source", &["replace-with", "registry"][..]), ("registries", &["index"][..])] {
        let Some(entries) = config.get(section).and_then(toml::Value::as_table) else { continue };
        let mut kept_entries = toml::Table::new();
        for (name, entry) in entries {
            let Some(entry) = entry.as_table() else { continue };
            let fields: toml::Table = entry
                .iter()
                .filter(|(key, value)| {
                    // A URL with an `@` may carry a password.
                    keys.contains(&key.as_str()) && value.as_str().is_some_and(|value| !value.contains('@'))
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            if !fields.is_empty() {
                kept_entries.insert(name.clone(), toml::Value::Table(fields));
            }
        }
        if !kept_entries.is_empty() {
            kept.insert(section.to_owned(), toml::Value::Table(kept_entries));
        }
    }
    if kept.is_empty() { None } else { Some(kept.to_string()) }
}

/// Adds the active virtual environment at its own path (its scripts name it), with the interpreter behind it.
pub(super) fn python(draft: &mut Draft, host: &HostFacts) {
    let Some(environment) = host.virtual_env.as_ref().and_then(|path| path.canonicalize().ok()) else {
        return;
    };
    if !environment.join("pyvenv.cfg").is_file() {
        return;
    }
    let Some(container) = environment.to_str().map(str::to_owned) else { return };
    if !may_bind(&environment, host) {
        draft.describe.push(format!("left out: the virtual environment {container} is a home folder"));
        return;
    }
    draft.identity.push(format!(
        "venv {} {}",
        fs::read_to_string(environment.join("pyvenv.cfg")).unwrap_or_default(),
        identity(&environment.join("bin/python")),
    ));
    for library in fs::read_dir(environment.join("lib")).into_iter().flatten().flatten() {
        draft.identity.push(identity(&library.path().join("site-packages")));
    }
    if let Ok(interpreter) = environment.join("bin/python").canonicalize() {
        bind_prefix(draft, host, &interpreter);
    }
    draft.bind(&environment, &container);
    draft.add_path(format!("{container}/bin"));
    draft.set("VIRTUAL_ENV", &container);
    draft.describe.push(format!("Python virtual environment {container}, read-only"));
}

/// Adds the interpreters and compilers that `PATH` finds outside `/usr`, and Go's module cache.
pub(super) fn others(draft: &mut Draft, host: &HostFacts) {
    for program in ["python3", "node", "go", "cargo", "rustc", "java"] {
        let Some(found) = host.path.iter().map(|folder| folder.join(program)).find(|path| path.is_file())
        else {
            continue;
        };
        let Some(real) = behind_shim(&found) else { continue };
        // rustup's proxy answers for cargo and rustc; its toolchain is bound already.
        if real.file_name().is_some_and(|name| name == "rustup" || name == "rustup-init") {
            continue;
        }
        if is_system(&real) {
            // `/usr/local/go/bin` is mounted with `/usr` and still has to be found.
            if let Some(folder) = real.parent().and_then(Path::to_str) {
                match folder {
                    "/usr/bin" | "/usr/local/bin" | "/bin" => {}
                    _ if found.parent() == real.parent() => draft.add_path(folder),
                    _ => {}
                }
            }
            continue;
        }
        draft.identity.push(identity(&real));
        if let Some(prefix) = bind_prefix(draft, host, &real) {
            draft.add_path(format!("{prefix}/bin"));
            draft.describe.push(format!("{program} from {prefix}, read-only"));
        } else {
            draft.describe.push(format!(
                "left out: {program} at {}, whose folder cannot be shown without showing more than the program",
                real.display()
            ));
        }
    }
    if let Some(home) = &host.home
        && let Ok(modules) = home.join("go/pkg/mod").canonicalize()
        && modules.is_dir()
    {
        draft.bind(modules, GO_MODULES_MOUNT);
        draft.set("GOMODCACHE", GO_MODULES_MOUNT);
        draft.describe.push("modules that Go has fetched, read-only".to_owned());
    }
}

/// The folder of links to programs that are shown by themselves.
const BIN: &str = "/opt/gloaming/bin";

/// Adds the package managers of Python that `PATH` finds where nothing of the container's `PATH` is: in a folder of the
/// home, as their installers and pipx have it. uv is one file; the others have a virtual environment of their own, whose
/// Python must not be what `PATH` finds first.
pub(super) fn python_managers(draft: &mut Draft, host: &HostFacts) {
    for program in ["uv", "poetry", "pdm", "pipenv"] {
        let Some(found) = host.path.iter().map(|folder| folder.join(program)).find(|path| path.is_file())
        else {
            continue;
        };
        let Some(real) = behind_shim(&found) else { continue };
        let folder = real.parent().and_then(Path::to_str).unwrap_or_default();
        if is_system(&real) || draft.path.iter().any(|known| known == folder) {
            continue;
        }
        let of_environment = real
            .parent()
            .and_then(Path::parent)
            .filter(|prefix| prefix.join("pyvenv.cfg").is_file())
            .map(|prefix| prefix.join("bin/python"));
        let shown = match of_environment.and_then(|python| Some((python.canonicalize().ok()?, python))) {
            // The interpreter may lie in another place than the environment.
            Some((interpreter, python)) => {
                bind_prefix(draft, host, &interpreter);
                bind_prefix(draft, host, &python).and_then(|_| real.to_str().map(str::to_owned))
            }
            None if program == "uv" => {
                let place = format!("{OPT}/uv");
                draft.bind(&real, &place);
                Some(place)
            }
            None => None,
        };
        match shown {
            Some(place) => {
                draft.identity.push(identity(&real));
                draft.root.links.insert(format!("{BIN}/{program}"), place);
                draft.add_path(BIN);
                draft.describe.push(format!("{program} from {}, read-only", real.display()));
            }
            None => draft.describe.push(format!(
                "left out: {program} at {}, whose folder cannot be shown without showing more than the program",
                real.display()
            )),
        }
    }
}

/// Returns the program itself where a version manager has put a script before it (pyenv's shims).
fn behind_shim(found: &Path) -> Option<PathBuf> {
    let real = found.canonicalize().ok()?;
    let folder = real.parent()?;
    if folder.file_name()? != "shims" {
        return Some(real);
    }
    let manager = folder.parent()?;
    let version = fs::read_to_string(manager.join("version")).ok()?;
    let version = version.lines().next()?.trim();
    if version.contains('/') || version.starts_with('.') {
        return None;
    }
    manager.join("versions").join(version).join("bin").join(real.file_name()?).canonicalize().ok()
}

/// Binds the prefix of `<prefix>/bin/<program>` at its own path, unless that would show more than a toolchain;
/// returns the prefix. A program of the system needs nothing.
fn bind_prefix(draft: &mut Draft, host: &HostFacts, program: &Path) -> Option<String> {
    if is_system(program) {
        return None;
    }
    let bin = program.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "bin"))?;
    let prefix = bin.parent()?;
    if !may_bind(prefix, host) {
        return None;
    }
    let container = prefix.to_str()?.to_owned();
    draft.bind(prefix, &container);
    Some(container)
}

fn is_system(path: &Path) -> bool {
    ["/usr", "/bin", "/sbin", "/lib", "/nix/store", "/gnu/store"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// Whether a folder may be shown at its own path: never the root or a folder right below it, never a home or
/// what holds one, nor a first-level folder of a home (`~/.local` holds keyrings beside its `bin`), nor a place
/// the container has something of its own.
fn may_bind(folder: &Path, host: &HostFacts) -> bool {
    let depth = folder.components().filter(|part| matches!(part, Component::Normal(_))).count();
    if depth < 2 || folder.to_str().is_none() {
        return false;
    }
    if ["/proc", "/sys", "/dev", "/etc", "/run", "/var/run", "/workspace", "/scratch", OPT]
        .iter()
        .any(|own| folder.starts_with(own))
    {
        return false;
    }
    let homes = ["/root".into()]
        .into_iter()
        .chain(host.home.clone())
        .chain(host.home.as_ref().and_then(|home| home.canonicalize().ok()));
    for home in homes {
        if home.starts_with(folder) {
            return false;
        }
        if let Ok(inside) = folder.strip_prefix(&home) {
            // A virtual environment (`~/venv`) is a folder of its own; `~/.local` is not.
            return inside.components().count() >= 2 || folder.join("pyvenv.cfg").is_file();
        }
    }
    // Somebody else's home, `/home/<name>`.
    !(folder.starts_with("/home") && depth < 4 && !folder.join("pyvenv.cfg").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_and_what_holds_them_are_never_bound() {
        let host = HostFacts { home: Some("/home/ada".into()), ..HostFacts::default() };
        for refused in [
            "/",
            "/opt",
            "/home",
            "/home/ada",
            "/home/ada/.local",
            "/home/ada/.cargo",
            "/home/eve",
            "/home/eve/.local",
            "/root",
            "/root/.local",
            "/etc/x/y",
            "/proc/1/root",
            "/tmp",
            "/workspace/a/b",
            "/opt/gloaming/rust",
        ] {
            assert!(!may_bind(Path::new(refused), &host), "{refused}");
        }
        for allowed in [
            "/opt/node-22",
            "/home/ada/.nvm/versions/node/v22",
            "/home/ada/.local/share/uv/python/cpython-3.12",
            "/home/linuxbrew/.linuxbrew/Cellar/go",
            "/root/.pyenv/versions/3.11.7",
        ] {
            assert!(may_bind(Path::new(allowed), &host), "{allowed}");
        }
    }

    #[test]
    fn cargo_mirrors_are_kept_and_tokens_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("config.toml"),
            r#"
            [registry]
            token = "secret-1"
            [registries.work]
            index = "sparse+https://crates.example/"
            token = "secret-2"
            [source.crates-io]
            replace-with = "mirror"
            [source.mirror]
            registry = "sparse+https://mirror.example/"
            [source.private]
            registry = "https://user:secret-3@git.example/index"
            [build]
            rustc-wrapper = "/home/ada/bin/evil"
            "#,
        )
        .unwrap();
        assert_eq!(
            source_replacement(folder.path()).unwrap(),
            "[registries.work]\nindex = \"sparse+https://crates.example/\"\n\n\
             [source.crates-io]\nreplace-with = \"mirror\"\n\n\
             [source.mirror]\nregistry = \"sparse+https://mirror.example/\"\n"
        );
        assert_eq!(source_replacement(Path::new("/nonexistent")), None);
    }

    #[test]
    fn the_default_toolchain_is_found_without_rustup() {
        let rustup = tempfile::tempdir().unwrap();
        let folder = rustup.path().join("toolchains/stable-x");
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::write(folder.join("bin/cargo"), "").unwrap();
        let settings = rustup.path().join("settings.toml");
        fs::write(&settings, "version = \"12\"\ndefault_toolchain = \"stable-x\"\n").unwrap();
        assert_eq!(
            default_toolchain(rustup.path()).unwrap(),
            ("stable-x".to_owned(), folder.canonicalize().unwrap())
        );
        fs::write(&settings, "default_toolchain = \"../../../etc\"\n").unwrap();
        assert_eq!(default_toolchain(rustup.path()), None);
    }

    #[test]
    fn managers_of_a_home_are_found_and_their_python_is_not() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let (bin, pipx) = (home.join(".local/bin"), home.join(".local/share/pipx/venvs/poetry"));
        for folder in [&bin, &pipx.join("bin"), &home.join("tools")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(pipx.join("pyvenv.cfg"), "").unwrap();
        fs::write(pipx.join("bin/python"), "").unwrap();
        fs::write(pipx.join("bin/poetry"), "").unwrap();
        std::os::unix::fs::symlink(pipx.join("bin/poetry"), bin.join("poetry")).unwrap();
        fs::write(bin.join("uv"), "").unwrap();
        fs::write(home.join("tools/pdm"), "").unwrap();
        let mut draft = Draft::default();
        let path = vec![bin.clone(), home.join("tools")];
        python_managers(&mut draft, &HostFacts { path, home: Some(home.clone()), ..HostFacts::default() });
        let shown: Vec<_> =
            draft.mounts.iter().map(|mount| (&mount.host, mount.container.as_str())).collect();
        assert_eq!(shown, [(&bin.join("uv"), "/opt/gloaming/uv"), (&pipx, pipx.to_str().unwrap())]);
        assert_eq!(draft.path, ["/opt/gloaming/bin"]);
        let links: Vec<_> = draft.root.links.iter().map(|(link, to)| (link.as_str(), to.as_str())).collect();
        let poetry = pipx.join("bin/poetry");
        assert_eq!(
            links,
            [
                ("/opt/gloaming/bin/poetry", poetry.to_str().unwrap()),
                ("/opt/gloaming/bin/uv", "/opt/gloaming/uv")
            ]
        );
        assert!(draft.describe.last().unwrap().starts_with("left out: pdm"), "{:?}", draft.describe);
    }

    #[test]
    fn a_pyenv_shim_leads_to_the_chosen_version() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["shims", "versions/3.11.7/bin"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("python3"), "").unwrap();
        }
        fs::write(root.path().join("version"), "3.11.7\n3.10.1\n").unwrap();
        assert_eq!(
            behind_shim(&root.path().join("shims/python3")),
            root.path().join("versions/3.11.7/bin/python3").canonicalize().ok()
        );
        fs::write(root.path().join("version"), "../x\n").unwrap();
        assert_eq!(behind_shim(&root.path().join("shims/python3")), None);
    }
}
