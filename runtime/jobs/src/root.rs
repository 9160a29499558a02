//! The small root of a container, as data: one engine writes it into a folder, another packs it into an image.
#![expect(clippy::disallowed_methods, reason = "reads the system's own public files, never a workspace")]

use std::collections::BTreeMap;
use std::io;

use crate::environment::RootFiles;

/// User and group a job runs as. A number that systemd, Debian and Fedora give to nobody, so that on the host
/// too the job is nobody else's equal.
pub(crate) const JOB_USER: u32 = 60900;

/// The name of the machine, as a job sees it.
pub(crate) const HOST_NAME: &str = "job";

/// One entry of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A folder with this mode.
    Folder(u32),
    /// A symbolic link to this target.
    Link(String),
    /// A file with this content, readable by all.
    File(Vec<u8>),
}

/// Returns the whole root: paths without a leading slash, each folder before what is in it.
///
/// # Errors
/// When a file that is to be copied from the host cannot be read.
pub(crate) fn nodes(root: &RootFiles) -> io::Result<BTreeMap<String, Node>> {
    let mut nodes = BTreeMap::new();
    for name in ["dev", "etc", "opt", "proc", "root", "usr", "var", "workspace"] {
        nodes.insert(name.to_owned(), Node::Folder(0o755));
    }
    // A runtime that mounts a file system in memory over a folder may give it the folder's mode.
    for name in ["scratch", "tmp"] {
        nodes.insert(name.to_owned(), Node::Folder(0o1777));
    }
    for (path, target) in &root.links {
        add(&mut nodes, path, Node::Link(target.clone()));
    }
    for (path, host) in &root.copies {
        add(&mut nodes, path, Node::File(std::fs::read(host)?));
    }
    add(&mut nodes, "/var/tmp", Node::Link("../tmp".to_owned()));
    for (path, content) in identity(JOB_USER) {
        add(&mut nodes, path, Node::File(content.into_bytes()));
    }
    add(
        &mut nodes,
        "/etc/nsswitch.conf",
        Node::File(b"passwd: files\ngroup: files\nhosts: files dns\n".to_vec()),
    );
    Ok(nodes)
}

/// Returns the files that say who the job is and where: the same whatever else is in the root.
pub(crate) fn identity(user: u32) -> [(&'static str, String); 5] {
    let root = if user == 0 { "" } else { "root:x:0:0:root:/:/bin/sh\n" };
    let root_group = if user == 0 { "" } else { "root:x:0:\n" };
    [
        ("/etc/passwd", format!("{root}gloaming:x:{user}:{user}::/scratch/home:/bin/sh\n")),
        ("/etc/group", format!("{root_group}gloaming:x:{user}:\n")),
        ("/etc/hosts", format!("127.0.0.1 localhost {HOST_NAME}\n::1 localhost\n")),
        ("/etc/hostname", format!("{HOST_NAME}\n")),
        // No name server: looking a name up fails at once instead of waiting for one that cannot be reached.
        ("/etc/resolv.conf", String::new()),
    ]
}

fn add(nodes: &mut BTreeMap<String, Node>, path: &str, node: Node) {
    let path = path.trim_start_matches('/');
    for (end, _) in path.match_indices('/') {
        nodes.entry(path[..end].to_owned()).or_insert(Node::Folder(0o755));
    }
    nodes.insert(path.to_owned(), node);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them_and_files_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("cache");
        std::fs::write(&host, "x").unwrap();
        let root = RootFiles {
            links: BTreeMap::from([("/bin".to_owned(), "usr/bin".to_owned())]),
            copies: BTreeMap::from([("/etc/deep/er/ld.so.cache".to_owned(), host)]),
        };
        let nodes = nodes(&root).unwrap();
        let names: Vec<&str> = nodes.keys().map(String::as_str).collect();
        assert_eq!(
            names.join(" "),
            "bin dev etc etc/deep etc/deep/er etc/deep/er/ld.so.cache etc/group etc/hostname etc/hosts \
             etc/nsswitch.conf etc/passwd etc/resolv.conf opt proc root scratch tmp usr var var/tmp workspace"
        );
        assert_eq!(nodes["etc/deep/er/ld.so.cache"], Node::File(b"x".to_vec()));
        assert_eq!(nodes["etc/deep"], Node::Folder(0o755));
        assert_eq!(nodes["bin"], Node::Link("usr/bin".to_owned()));
    }
}
