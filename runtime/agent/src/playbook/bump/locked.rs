//! Which versions of a dependency a lockfile locks.

use serde_json::Value;

use super::Manager;

/// Returns the locked versions of a dependency, each once and in the file's order: of npm that which the repository itself
/// takes. None where the file cannot be read.
pub(super) fn versions(manager: Manager, text: &str, name: &str) -> Option<Vec<String>> {
    match manager {
        Manager::Cargo => {
            let whole: toml::Table = text.parse().ok()?;
            let packages = whole.get("package").and_then(toml::Value::as_array).into_iter().flatten();
            let mut found: Vec<String> = Vec::new();
            for package in
                packages.filter(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))
            {
                let version = package.get("version").and_then(toml::Value::as_str)?.to_owned();
                // What has no source lies in the repository itself.
                if package.get("source").is_some() && !found.contains(&version) {
                    found.push(version);
                }
            }
            Some(found)
        }
        Manager::Npm => {
            let whole: Value = serde_json::from_str(text).ok()?;
            let place = format!("node_modules/{name}");
            let entry = match whole.get("packages") {
                Some(packages) => packages.get(&place),
                None => whole.get("dependencies").and_then(|all| all.get(name)),
            };
            let version = entry.and_then(|entry| entry.get("version")).and_then(Value::as_str);
            Some(version.map(str::to_owned).into_iter().collect())
        }
        Manager::Pip => None,
    }
}

/// Whether npm's lockfile says of the repository's own package what its manifest says.
pub(super) fn agrees(lock: &str, manifest: &str, name: &str) -> bool {
    let (Ok(lock), Ok(manifest)) =
        (serde_json::from_str::<Value>(lock), serde_json::from_str::<Value>(manifest))
    else {
        return false;
    };
    let Some(root) = lock.get("packages").and_then(|packages| packages.get("")) else { return true };
    let kinds = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
    kinds.iter().all(|kind| {
        root.get(kind).and_then(|all| all.get(name)) == manifest.get(kind).and_then(|all| all.get(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockfiles_say_which_versions_are_used() {
        let lock = "version = 4\n\n[[package]]\nname = \"log\"\nversion = \"0.4.1\"\nsource = \"registry+x\"\n\n[[package]]\nname = \"log\"\n\
                    version = \"0.3.9\"\nsource = \"registry+x\"\n\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\n";
        assert_eq!(versions(Manager::Cargo, lock, "log").unwrap(), ["0.4.1", "0.3.9"]);
        assert_eq!(versions(Manager::Cargo, lock, "own").unwrap(), [""; 0]);
        assert_eq!(versions(Manager::Cargo, "[", "log"), None);
        let lock = r#"{"packages": {"": {"dependencies": {"a": "^1.0.0"}}, "node_modules/a": {"version": "1.0.3"}, "node_modules/b/node_modules/a": {"version": "0.1.0"}}}"#;
        assert_eq!(versions(Manager::Npm, lock, "a").unwrap(), ["1.0.3"]);
        assert!(agrees(lock, r#"{"dependencies": {"a": "^1.0.0"}}"#, "a"));
        assert!(!agrees(lock, r#"{"dependencies": {"a": "^1.0.3"}}"#, "a"));
        assert_eq!(
            versions(Manager::Npm, r#"{"dependencies": {"a": {"version": "1.0.0"}}}"#, "a").unwrap(),
            ["1.0.0"]
        );
    }
}
