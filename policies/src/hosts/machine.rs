//! The set `registry`, out of the settings of the operator's own package managers.

use std::collections::{BTreeMap, BTreeSet};

use super::HostSets;
use crate::subject::Host;

/// Settings of the operator's package managers, read by whoever may read them. What is not set is left empty. They hold
/// passwords, and so are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// Texts of cargo's `config.toml`.
    pub cargo: Vec<String>,
    /// What cargo keeps of the indexes it has asked: each folder's name below `registry/index` and the text of the
    /// `config.json` in it, which says where the archives are.
    pub cargo_indexes: Vec<(String, String)>,
    /// Texts of pip's configuration files.
    pub pip: Vec<String>,
    /// Texts of npm's `.npmrc`.
    pub npm: Vec<String>,
    /// Addresses of package indexes for pip (`PIP_INDEX_URL`, `PIP_EXTRA_INDEX_URL`), the main one first.
    pub pip_indexes: Vec<String>,
    /// npm's registry (`npm_config_registry`).
    pub npm_registry: Option<String>,
    /// Go's module proxies, as `GOPROXY` or `go env GOPROXY` has them.
    pub go_proxy: Option<String>,
}

impl std::fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSettings").finish_non_exhaustive()
    }
}

impl ClientSettings {
    /// Returns the variables by which a job's package managers use what the operator's do. Addresses that carry a
    /// password are left out: a job is given no secret. (Cargo's mirrors are part of the jobs' environment.)
    pub fn job_env(&self) -> BTreeMap<String, String> {
        let plain = |url: &String| !url.contains('@') && !url.chars().any(char::is_control);
        let mut env = BTreeMap::new();
        let pip: Vec<String> = self.pip_urls().into_iter().filter(plain).collect();
        if let Some((index, extra)) = pip.split_first() {
            env.insert("PIP_INDEX_URL".to_owned(), index.clone());
            if !extra.is_empty() {
                env.insert("PIP_EXTRA_INDEX_URL".to_owned(), extra.join(" "));
            }
        }
        if let Some(registry) = self.npm_urls().into_iter().find(|(scope, url)| !scope && plain(url)) {
            env.insert("npm_config_registry".to_owned(), registry.1);
        }
        if let Some(proxy) = self.go_proxy.as_ref().filter(|proxy| plain(proxy) && !proxy.trim().is_empty()) {
            env.insert("GOPROXY".to_owned(), proxy.trim().to_owned());
        }
        env
    }

    fn urls(&self) -> Vec<String> {
        let mut urls: Vec<String> = self.cargo.iter().flat_map(|text| cargo_urls(text)).collect();
        urls.extend(self.cargo_indexes.iter().flat_map(|(folder, config)| index_urls(folder, config)));
        urls.extend(self.pip_urls());
        urls.extend(self.npm_urls().into_iter().map(|(_, url)| url));
        urls.extend(self.go_proxy.iter().flat_map(|text| text.split([',', '|'])).map(str::to_owned));
        urls
    }

    fn pip_urls(&self) -> Vec<String> {
        let mut urls = self.pip_indexes.clone();
        for text in &self.pip {
            // The values of `index-url` and `extra-index-url`; the latter may go on in indented lines.
            let mut extra = false;
            for line in text.lines() {
                let indented = line.starts_with([' ', '\t']);
                let line = line.trim();
                if line.is_empty() || line.starts_with(['#', ';', '[']) {
                    extra = extra && !line.starts_with('[');
                    continue;
                }
                let value = match line.split_once(['=', ':']) {
                    _ if indented && extra => line,
                    Some((key, value)) => {
                        let key = key.trim();
                        extra = key == "extra-index-url";
                        if key != "index-url" && !extra {
                            continue;
                        }
                        value
                    }
                    None => continue,
                };
                urls.extend(value.split_whitespace().map(str::to_owned));
            }
        }
        urls
    }

    /// Registries of npm, with whether each is for a scope only.
    fn npm_urls(&self) -> Vec<(bool, String)> {
        let mut urls: Vec<(bool, String)> =
            self.npm_registry.iter().map(|url| (false, url.clone())).collect();
        for line in self.npm.iter().flat_map(|text| text.lines()) {
            if let Some((key, value)) = line.trim().split_once('=') {
                let (key, value) = (key.trim(), value.trim().trim_matches('"'));
                if key == "registry" || key.ends_with(":registry") {
                    urls.push((key != "registry", value.to_owned()));
                }
            }
        }
        urls
    }
}

impl HostSets {
    /// Returns the set `registry` with the hosts that the operator's package managers are set up to ask; without it
    /// where none is set up. Of the settings nothing else is looked at, least of all passwords.
    ///
    /// What a client is redirected to from there (an index on one host that names archives on another) is written
    /// nowhere on the machine: the operator names it.
    pub fn of_machine(settings: &ClientSettings) -> Self {
        let hosts: BTreeSet<String> = settings.urls().iter().filter_map(|url| host_of(url)).collect();
        if hosts.is_empty() {
            return Self::default();
        }
        Self::new([("registry".to_owned(), hosts.into_iter().collect())]).unwrap_or_default()
    }
}

fn cargo_urls(text: &str) -> Vec<String> {
    let Ok(config) = text.parse::<toml::Table>() else { return Vec::new() };
    let mut urls = Vec::new();
    for (section, key) in [("source", "registry"), ("registries", "index")] {
        let entries = config.get(section).and_then(toml::Value::as_table);
        for entry in entries.into_iter().flat_map(toml::Table::values) {
            urls.extend(entry.get(key).and_then(toml::Value::as_str).map(str::to_owned));
        }
    }
    urls
}

/// Cargo names an index's folder by its host and a hash; see its book on the index's `config.json`.
fn index_urls(folder: &str, config: &str) -> Vec<String> {
    let Ok(config) = serde_json::from_str::<serde_json::Value>(config) else { return Vec::new() };
    let Some((host, _hash)) = folder.rsplit_once('-') else { return Vec::new() };
    let archives = config.get("dl").and_then(serde_json::Value::as_str).map(str::to_owned);
    archives.into_iter().chain([format!("https://{host}")]).collect()
}

/// Returns `scheme://host:port` of an address of the web.
fn host_of(url: &str) -> Option<String> {
    let url = url.trim();
    let url = url.strip_prefix("sparse+").or_else(|| url.strip_prefix("registry+")).unwrap_or(url);
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    // Whatever stands before the last `@` is an account.
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default),
    };
    let host = format!("{scheme}://{}:{port}", host.to_ascii_lowercase());
    Host::parse(&host, false).is_ok().then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ClientSettings {
        ClientSettings {
            cargo: vec![
                "[source.mirror]\nregistry = \"sparse+https://Crates.example/index/\"\n[source.old]\n\
                 local-registry = \"/var/crates\"\n[registries.work]\nindex = \"https://u:secret@git.example:8443/i\"\n\
                 token = \"secret\"\n"
                    .into(),
                "not = [toml".into(),
            ],
            cargo_indexes: vec![
                ("index.rusty.example-0123456789abcdef".into(), "{\"dl\": \"https://dl.crates.example/{crate}\"}".into()),
                ("github.example-0123456789abcdef".into(), String::new()),
            ],
            pip: vec![
                "[global]\nindex-url = https://user:secret@pip.example/simple\nextra-index-url =\n  \
                 https://one.example/simple\n  http://two.example:8080/simple\n# x = https://not.example\n[install]\n\
                 timeout = 10\n  https://not.example\n"
                    .into(),
            ],
            npm: vec![
                "registry=https://npm.example/\n@acme:registry = \"https://scoped.example/npm/\"\n\
                 //npm.example/:_authToken=secret\nproxy=http://proxy.example:80\n"
                    .into(),
            ],
            go_proxy: Some("https://go.example,direct".into()),
            ..ClientSettings::default()
        }
    }

    #[test]
    fn the_hosts_of_the_operators_own_clients_are_the_registry() {
        let sets = HostSets::of_machine(&settings());
        assert_eq!(
            sets.hosts("registry"),
            [
                "http://two.example:8080",
                "https://crates.example:443",
                "https://dl.crates.example:443",
                "https://git.example:8443",
                "https://go.example:443",
                "https://index.rusty.example:443",
                "https://npm.example:443",
                "https://one.example:443",
                "https://pip.example:443",
                "https://scoped.example:443",
            ]
        );
        assert_eq!(HostSets::of_machine(&ClientSettings::default()), HostSets::default());
    }

    #[test]
    fn jobs_are_given_addresses_and_no_passwords() {
        let env = settings().job_env();
        assert_eq!(env["PIP_INDEX_URL"], "https://one.example/simple");
        assert_eq!(env["PIP_EXTRA_INDEX_URL"], "http://two.example:8080/simple");
        assert_eq!(env["npm_config_registry"], "https://npm.example/");
        assert_eq!(env["GOPROXY"], "https://go.example,direct");
        assert!(!format!("{env:?}").contains("secret"));
        assert_eq!(format!("{:?}", settings()), "ClientSettings { .. }");
        assert!(ClientSettings::default().job_env().is_empty());
    }
}
