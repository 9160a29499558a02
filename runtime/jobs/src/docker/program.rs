//! The program that is the first process of a daemon's container: this one, with what it is linked to.
//!
//! It is mounted with its own loader and libraries and started through them, so that it runs in any image,
//! whatever C library that has or has not. (`--init` of the daemons was looked at and left: it cannot check
//! that the container is confined, tell a missing program from one that exits with 127, or end with us.)

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::Mount;

/// Where what is ours appears in a container.
pub(crate) const OURS: &str = "/.gloaming";

/// How the first process is started, and what of the host it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The command, in the container.
    pub(crate) argv: Vec<String>,
    /// Read-only mounts.
    pub(crate) mounts: Vec<Mount>,
}

/// Returns how to start `program` (this process's own file) with `arguments`.
///
/// # Errors
/// When `/proc` does not tell what this process is linked to.
pub(crate) fn own(program: &Path, arguments: &[String]) -> io::Result<Program> {
    static LINKED: OnceLock<Linked> = OnceLock::new();
    let linked = match LINKED.get() {
        Some(linked) => linked,
        None => {
            let maps = std::fs::read_to_string("/proc/self/maps")?;
            let found = Linked::parse(&maps, names_of);
            LINKED.get_or_init(|| found)
        }
    };
    Ok(linked.program(program, arguments))
}

/// What a process is linked to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Linked {
    loader: Option<PathBuf>,
    /// File, and each name that the loader may look it up by.
    libraries: Vec<(PathBuf, Vec<String>)>,
}

impl Linked {
    /// Reads a process's own `/proc/self/maps`; `names` returns the names that a file has in its folder.
    fn parse(maps: &str, names: impl Fn(&Path) -> Vec<String>) -> Self {
        let mut linked = Self::default();
        for line in maps.lines() {
            // Only what is mapped executable; a name may hold spaces, and begins with the first slash.
            let (Some(flags), Some(start)) = (line.split(' ').nth(1), line.find('/')) else { continue };
            let path = PathBuf::from(&line[start..]);
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let shared = name.ends_with(".so") || name.contains(".so.");
            if !flags.contains('x') || !shared || linked.libraries.iter().any(|(known, _)| *known == path) {
                continue;
            }
            if name.starts_with("ld-") || name.starts_with("ld.") || name.starts_with("ld64.") {
                linked.loader = Some(path.clone());
            }
            let names = names(&path);
            linked.libraries.push((path, names));
        }
        // On systems with musl the loader is the C library.
        if linked.loader.is_none() {
            let is_musl =
                |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("musl"));
            linked.loader = linked.libraries.iter().map(|(path, _)| path).find(|path| is_musl(path)).cloned();
        }
        linked
    }

    fn program(&self, program: &Path, arguments: &[String]) -> Program {
        let read_only =
            |host: &Path, container: String| Mount { host: host.to_owned(), container, writable: false };
        let mut mounts = vec![read_only(program, format!("{OURS}/init"))];
        let mut argv = Vec::new();
        if let Some(loader) = &self.loader {
            mounts.push(read_only(loader, format!("{OURS}/loader")));
            argv.extend([format!("{OURS}/loader"), "--library-path".to_owned(), format!("{OURS}/lib")]);
            for (file, names) in &self.libraries {
                mounts.extend(names.iter().map(|name| read_only(file, format!("{OURS}/lib/{name}"))));
            }
        }
        argv.push(format!("{OURS}/init"));
        argv.extend_from_slice(arguments);
        Program { argv, mounts }
    }
}

/// Returns a file's own name and those of the links to it beside it (`libx.so.2` for `libx.so.2.5.4`).
fn names_of(file: &Path) -> Vec<String> {
    let (Some(own), Some(folder)) = (file.file_name().and_then(|name| name.to_str()), file.parent()) else {
        return Vec::new();
    };
    let stem = own.split(".so").next().unwrap_or(own);
    let mut names = vec![own.to_owned()];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A link is named like its file up to the version; `libc-2.31.so` is `libc.so.6`.
        let related = name.starts_with(stem) || stem.starts_with(name.split(".so").next().unwrap_or(&name));
        if name != own
            && related
            && name.contains(".so")
            && entry.file_type().is_ok_and(|kind| kind.is_symlink())
            && entry.path().canonicalize().is_ok_and(|target| target == file)
        {
            names.push(name);
        }
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_started_through_its_own_loader_with_its_own_libraries() {
        let maps = "\
55e0-55e1 r--p 00000000 08:01 11 /opt/gloaming
55e1-55e2 r-xp 00001000 08:01 11 /opt/gloaming
7f00-7f01 r-xp 00000000 08:01 12 /usr/lib/libc.so.6
7f01-7f02 r--p 00000000 08:01 12 /usr/lib/libc.so.6
7f02-7f03 r-xp 00000000 08:01 13 /usr/lib/my libs/libseccomp.so.2.5.4
7f03-7f04 r-xp 00000000 08:01 14 /usr/lib/ld-linux-x86-64.so.2
7f04-7f05 r--p 00000000 08:01 15 /usr/share/data.so
7fff-7fff r-xp 00000000 00:00 0 [vdso]
";
        let names = |file: &Path| {
            let own = file.file_name().unwrap().to_str().unwrap().to_owned();
            if own.contains("seccomp") { vec![own, "libseccomp.so.2".to_owned()] } else { vec![own] }
        };
        let program = Linked::parse(maps, names).program(Path::new("/opt/gloaming"), &["__job".to_owned()]);
        assert_eq!(
            program.argv.join(" "),
            "/.gloaming/loader --library-path /.gloaming/lib /.gloaming/init __job"
        );
        let mounts: Vec<String> = program
            .mounts
            .iter()
            .map(|mount| format!("{} {} {}", mount.host.display(), mount.container, mount.writable))
            .collect();
        assert_eq!(
            mounts,
            [
                "/opt/gloaming /.gloaming/init false",
                "/usr/lib/ld-linux-x86-64.so.2 /.gloaming/loader false",
                "/usr/lib/libc.so.6 /.gloaming/lib/libc.so.6 false",
                "/usr/lib/my libs/libseccomp.so.2.5.4 /.gloaming/lib/libseccomp.so.2.5.4 false",
                "/usr/lib/my libs/libseccomp.so.2.5.4 /.gloaming/lib/libseccomp.so.2 false",
                "/usr/lib/ld-linux-x86-64.so.2 /.gloaming/lib/ld-linux-x86-64.so.2 false",
            ]
        );
        let fixed = Linked::parse("55e1-55e2 r-xp 0 08:01 11 /opt/gloaming\n", names);
        assert_eq!(fixed.program(Path::new("/opt/gloaming"), &[]).argv, ["/.gloaming/init"]);
    }

    #[test]
    fn this_very_process_is_found_with_every_library_it_needs() {
        let program = own(Path::new("/proc/self/exe"), &[]).unwrap();
        // The C library is linked dynamically wherever these tests run with the toolchain's default target.
        if cfg!(target_env = "gnu") {
            assert_eq!(program.argv[0], "/.gloaming/loader");
            assert!(program.mounts.iter().any(|mount| mount.container == "/.gloaming/lib/libc.so.6"));
        }
        assert!(program.mounts.iter().skip(1).all(|mount| mount.host.is_file() && !mount.writable));
    }
}
