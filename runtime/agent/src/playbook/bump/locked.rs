//! Which versions of a dependency a lockfile locks.

use serde_json::Value;

use super::Manager;

/// Returns the locked versions of a dependency, each once and in the file's order: of npm that which the repository itself
/// takes. None where the file cannot be read.
pub(super) fn versions(manager: Manager, text: &str, name: &str) -> Option<Vec<String>> {
    match manager {
        Manager::Cargo | Manager::Uv => {
            let same = |theirs: &str| manager.same(theirs, name);
            let whole: toml::Table = text.parse().ok()?;
            let packages = whole.get("package").and_then(toml::Value::as_array).into_iter().flatten();
            let mut found: Vec<String> = Vec::new();
            let word = |package: &toml::Value, key: &str| {
                package.get(key).and_then(toml::Value::as_str).map(str::to_owned)
            };
            for package in packages.filter(|package| word(package, "name").is_some_and(|name| same(&name))) {
                // What lies in the repository itself has no source for cargo, and none in a registry for uv.
                let from_elsewhere = match (manager, package.get("source")) {
                    (Manager::Uv, source) => source.is_some_and(|source| source.get("registry").is_some()),
                    (_, source) => source.is_some(),
                };
                let version = word(package, "version");
                if manager == Manager::Uv && version.is_none() {
                    continue;
                }
                let version = version?;
                if from_elsewhere && !found.contains(&version) {
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

/// Returns the locked versions of a dependency, wherever in the lockfile: of npm also what other packages have for
/// themselves.
pub(super) fn everywhere(manager: Manager, text: &str, name: &str) -> Vec<String> {
    let mut found = versions(manager, text, name).unwrap_or_default();
    if manager != Manager::Npm {
        return found;
    }
    let Ok(whole) = serde_json::from_str::<Value>(text) else { return found };
    let inner = format!("/node_modules/{name}");
    for (path, entry) in whole.get("packages").and_then(Value::as_object).into_iter().flatten() {
        if let Some(version) = entry.get("version").and_then(Value::as_str)
            && path.ends_with(&inner)
            && !found.iter().any(|known| known == version)
        {
            found.push(version.to_owned());
        }
    }
    found
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
        assert_eq!(everywhere(Manager::Npm, lock, "a"), ["1.0.3", "0.1.0"]);
        assert!(agrees(lock, r#"{"dependencies": {"a": "^1.0.0"}}"#, "a"));
        assert!(!agrees(lock, r#"{"dependencies": {"a": "^1.0.3"}}"#, "a"));
        let lock = "[[package]]\nname = \"calc\"\nsource = { virtual = \".\" }\n\n[[package]]\nname = \"typing-extensions\"\n\
                    version = \"4.1\"\nsource = { registry = \"x\" }\n";
        assert_eq!(versions(Manager::Uv, lock, "Typing_Extensions").unwrap(), ["4.1"]);
        assert_eq!(versions(Manager::Uv, lock, "calc").unwrap(), [""; 0]);
        assert_eq!(
            versions(Manager::Npm, r#"{"dependencies": {"a": {"version": "1.0.0"}}}"#, "a").unwrap(),
            ["1.0.0"]
        );
    }
}
