//! Java: where a distribution keeps a runtime's own settings outside `/usr`, and what Maven has fetched.

use std::fs;
use std::path::Path;

use super::system::identity;
use super::{Draft, HostFacts, OPT};

/// Adds what the system's Java and Maven read under `/etc`, and Maven's local repository.
pub(super) fn add(draft: &mut Draft, host: &HostFacts) {
    settings(draft, Path::new("/usr/lib/jvm"), Path::new("/etc"));
    // Never their neighbour settings.xml: it holds the passwords of servers.
    for file in ["/etc/maven/m2.conf", "/etc/maven/logging/simplelogger.properties"] {
        if Path::new(file).is_file() {
            draft.root.copies.insert(file.to_owned(), file.into());
        }
    }
    if let Some(home) = &host.home
        && let Ok(repository) = home.join(".m2/repository").canonicalize()
        && repository.is_dir()
    {
        let container = format!("{OPT}/maven-repository");
        draft.bind(repository, &container);
        draft.scratch.folders.push("/scratch/home/.m2".to_owned());
        draft.scratch.links.insert("/scratch/home/.m2/repository".to_owned(), container);
        draft.describe.push("artifacts that Maven has fetched, read-only".to_owned());
    }
}

/// Binds the folders that the runtimes below `runtimes` link their settings into: Debian's lie in
/// `/etc/java-17-openjdk`, and without them no digest can be made and no certificate checked. The one secret kept
/// there, the password of remote management, is its owner's alone to read.
fn settings(draft: &mut Draft, runtimes: &Path, etc: &Path) {
    for runtime in fs::read_dir(runtimes).into_iter().flatten().flatten() {
        for link in ["conf/security/java.security", "lib/security/java.security"] {
            let link = runtime.path().join(link);
            let Ok(target) = link.canonicalize() else { continue };
            let Some(folder) = target.strip_prefix(etc).ok().and_then(|inside| inside.iter().next()) else {
                continue;
            };
            let folder = etc.join(folder);
            // `/etc/java/security` of other distributions is as good; `/etc/ssl` is not theirs.
            let own = folder
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("java"));
            if let Some(container) = folder.to_str().filter(|_| own).map(str::to_owned) {
                draft.identity.push(identity(&runtime.path().join("release")));
                draft.bind(folder, container);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn settings_are_found_through_the_runtime_that_links_to_them() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (runtimes, etc) = (root.join("jvm"), root.join("etc"));
        for (runtime, settings) in [("17", "java-17/security"), ("21", "ssl/java"), ("whole", "")] {
            let conf = runtimes.join(runtime).join("conf/security");
            fs::create_dir_all(&conf).unwrap();
            if settings.is_empty() {
                fs::write(conf.join("java.security"), "").unwrap();
                continue;
            }
            let folder = etc.join(settings);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("java.security"), "").unwrap();
            symlink(folder.join("java.security"), conf.join("java.security")).unwrap();
        }
        let mut draft = Draft::default();
        settings(&mut draft, &runtimes, &etc);
        let bound: Vec<_> = draft.mounts.iter().map(|mount| mount.host.clone()).collect();
        assert_eq!(bound, [etc.join("java-17")]);
    }

    #[test]
    fn of_mavens_folder_only_the_repository_is_shown() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".m2/repository")).unwrap();
        fs::write(home.path().join(".m2/settings.xml"), "<password>x</password>").unwrap();
        let mut draft = Draft::default();
        add(&mut draft, &HostFacts { home: Some(home.path().to_owned()), ..HostFacts::default() });
        let shown: Vec<_> = draft
            .mounts
            .iter()
            .filter(|mount| mount.container.starts_with(OPT))
            .map(|mount| &mount.host)
            .collect();
        assert_eq!(shown, [&home.path().canonicalize().unwrap().join(".m2/repository")]);
        assert!(!draft.root.copies.keys().any(|file| file.ends_with("settings.xml")));
    }
}
