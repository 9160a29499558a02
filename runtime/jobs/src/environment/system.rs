//! The system itself: `/usr`, what links to it, and the few public files of `/etc` that programs need.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Draft;

/// Adds the system to a draft.
pub(super) fn add(draft: &mut Draft) {
    draft.bind("/usr", "/usr");
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let path = format!("/{name}");
        // Merged systems link these into /usr; on older ones they are folders of their own.
        match fs::read_link(&path) {
            Ok(target) => {
                if let Some(target) = target.to_str() {
                    draft.root.links.insert(path, target.to_owned());
                }
            }
            Err(_) if Path::new(&path).is_dir() => draft.bind(&path, &path),
            Err(_) => {}
        }
    }
    // Where the system's programs live on NixOS and Guix; public and world-readable by design.
    for store in ["/nix/store", "/gnu/store"] {
        if Path::new(store).is_dir() {
            draft.bind(store, store);
        }
    }
    for folder in ["/etc/alternatives", "/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ca-certificates"] {
        if Path::new(folder).is_dir() {
            draft.bind(folder, folder);
        }
    }
    for file in ["/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/mime.types", "/etc/services", "/etc/protocols"]
    {
        if Path::new(file).is_file() {
            draft.root.copies.insert(file.to_owned(), file.into());
        }
    }
    for link in ["/etc/localtime", "/etc/os-release"] {
        if let Ok(target) = fs::read_link(link)
            && let Some(target) = target.to_str()
        {
            draft.root.links.insert(link.to_owned(), target.to_owned());
        }
    }
    draft.describe.push("the system's /usr, read-only".to_owned());
    for file in
        ["/usr/lib/os-release", "/etc/ld.so.cache", "/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite"]
    {
        draft.identity.push(identity(Path::new(file)));
    }
    for program in ["bash", "cc", "gcc", "git", "go", "make", "node", "python3", "rustc"] {
        draft.identity.push(identity(&Path::new("/usr/bin").join(program)));
    }
}

/// Returns what tells two versions of a file apart without reading it.
pub(super) fn identity(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(meta) => format!("{} {} {}.{:09}", path.display(), meta.len(), meta.mtime(), meta.mtime_nsec()),
        Err(_) => format!("{} absent", path.display()),
    }
}
