//! Where jobs find the dependencies that a set-up job fetched, and how their tools come to look there.
//!
//! The places are the same in the job that fetches and in those behind it: a virtual environment's scripts name it.

use std::collections::BTreeMap;

use crate::Mount;
use crate::environment::ScratchFiles;

/// cargo's registry folder and nothing of its home beside it: its neighbours are credentials and installed programs.
pub const CARGO_REGISTRY_MOUNT: &str = "/opt/gloaming/cargo-registry";
/// cargo's clones of git dependencies.
pub const CARGO_GIT_MOUNT: &str = "/opt/gloaming/cargo-git";
/// Go's module cache.
pub const GO_MODULES_MOUNT: &str = "/opt/gloaming/go-modules";
/// A virtual environment of Python; its programs are found first where it is mounted.
pub const VENV_MOUNT: &str = "/opt/gloaming/venv";

/// What stands in cargo's home for a mounted folder. The home itself is the job's own: cargo locks files in it, also to
/// read.
const CARGO_LINKS: &[(&str, &str)] =
    &[("/scratch/cargo/registry", CARGO_REGISTRY_MOUNT), ("/scratch/cargo/git", CARGO_GIT_MOUNT)];

/// Puts a job's mounts beside those of its environment, in place of one at the same path, and lets the tools find what
/// is mounted where dependencies are looked for.
pub(crate) fn add(
    own: Vec<Mount>,
    mounts: &mut Vec<Mount>,
    env: &mut BTreeMap<String, String>,
    scratch: &mut ScratchFiles,
) {
    let is_mounted = |place: &str| own.iter().any(|mount| mount.container == place);
    for (link, place) in CARGO_LINKS.iter().filter(|(_, place)| is_mounted(place)) {
        scratch.links.insert((*link).to_owned(), (*place).to_owned());
    }
    if is_mounted(VENV_MOUNT)
        && let Some(path) = env.get_mut("PATH")
    {
        *path = format!("{VENV_MOUNT}/bin:{path}");
    }
    mounts.retain(|mount| own.iter().all(|own| own.container != mount.container));
    mounts.extend(own);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(host: &str, container: &str) -> Mount {
        Mount { host: host.into(), container: container.to_owned(), writable: false }
    }

    #[test]
    fn what_was_fetched_stands_in_for_the_hosts_own_and_is_found() {
        let mut mounts = vec![mount("/host/registry", CARGO_REGISTRY_MOUNT), mount("/usr", "/usr")];
        let mut env = BTreeMap::from([("PATH".to_owned(), "/usr/bin".to_owned())]);
        let mut scratch = ScratchFiles::default();
        add(Vec::new(), &mut mounts, &mut env, &mut scratch);
        assert_eq!((mounts.len(), env["PATH"].as_str()), (2, "/usr/bin"));
        let own = vec![mount("/cache/registry", CARGO_REGISTRY_MOUNT), mount("/cache/venv", VENV_MOUNT)];
        add(own, &mut mounts, &mut env, &mut scratch);
        let hosts: Vec<_> = mounts.iter().map(|mount| mount.host.to_str().unwrap()).collect();
        assert_eq!(hosts, ["/usr", "/cache/registry", "/cache/venv"]);
        assert_eq!(env["PATH"], "/opt/gloaming/venv/bin:/usr/bin");
        let links: Vec<_> = scratch.links.into_iter().collect();
        assert_eq!(links, [("/scratch/cargo/registry".to_owned(), CARGO_REGISTRY_MOUNT.to_owned())]);
    }
}
