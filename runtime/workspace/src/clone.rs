//! Cloning a URL into a bare repository of ours.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::make_empty;
use crate::git::{Git, Interrupt, failure, network_environment, operators_certificates};
use crate::locate::{facts, locate};
use crate::store::{Store, Window};
use crate::{RepoError, Repository};

/// A large repository over a slow line; a server that stalls is given up much sooner.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Clones `url` into `into` and opens it; of a clone that fails nothing is left.
pub(crate) fn clone(
    url: &str,
    into: &Path,
    state_dir: &Path,
    interrupt: &Interrupt,
) -> Result<Repository, RepoError> {
    let remote = Remote::parse(url)?;
    make_empty(into)?;
    let cloned = clone_into(&remote, into, state_dir, interrupt);
    if cloned.is_err() {
        // What cannot be removed is found, and named, by the next clone into it.
        let _ = std::fs::remove_dir_all(into);
    }
    cloned
}

fn clone_into(
    remote: &Remote,
    into: &Path,
    state_dir: &Path,
    interrupt: &Interrupt,
) -> Result<Repository, RepoError> {
    let into = std::fs::canonicalize(into).map_err(|source| crate::files::io_error("open", into, source))?;
    let mut window = None;
    let (address, protocol) = match &remote.path {
        // A repository on this machine is hostile as any: git is shown its objects and refs only.
        Some(path) => {
            let location = locate(path)?;
            let facts = facts(&location)?;
            let store = Store::open(state_dir, &location, &facts)?;
            let opened = Window::open(&store.scratch, &location, &facts, &location.common_dir)?;
            opened.show_head(&location)?;
            let address = format!("file://{}", opened.dir().display());
            window = Some(opened);
            (address, "file")
        }
        None => (remote.address.clone(), remote.protocol),
    };
    // git wants to make the folder's content itself and names the folder, not GIT_DIR.
    let mut git = Git::new("clone the repository", &into, "clone")
        .args(["--bare", "--quiet", "--template=", "--no-local", "--no-recurse-submodules", "--"])
        .arg(&address)
        .arg(&into)
        .with_env("GIT_ALLOW_PROTOCOL", protocol)
        .with_env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30 -oStrictHostKeyChecking=yes")
        .with_env("GIT_SSH_VARIANT", "ssh")
        .setting("protocol.allow", "user")
        .setting("http.lowSpeedLimit", "1000")
        .setting("http.lowSpeedTime", "60")
        .setting("http.followRedirects", "initial")
        .setting("clone.defaultRemoteName", "origin")
        .stopped_by(interrupt)
        .timeout(TIMEOUT);
    if remote.on_this_machine() {
        // A proxy's loopback is another one.
        git = git.setting(format!("http.{}.proxy", remote.server), "");
    }
    if remote.protocol == "https"
        && let Some(certificates) = operators_certificates(&remote.address)
    {
        git = git.setting("http.sslCAInfo", certificates);
    }
    for (name, value) in network_environment() {
        git = git.with_env(name, value);
    }
    if let Some(header) = &remote.authorization {
        // Through the environment, since everybody on the machine can read a command line; and for this
        // server only, since a redirect may lead to another.
        git = git.setting(format!("http.{}.extraHeader", remote.server), format!("Authorization: {header}"));
    }
    let finished = git.run()?;
    drop(window);
    if !finished.success {
        let error = failure("clone the repository", &remote.redact(&finished.stderr, &address));
        return Err(match error {
            // Every TLS library that git is built with uses the word, for these faults alone.
            RepoError::Git { stderr, .. } if remote.protocol == "https" && stderr.contains("certificate") => {
                RepoError::Untrusted { server: remote.server.clone(), said: stderr }
            }
            error => error,
        });
    }
    Repository::open(&into, state_dir)
}

/// A checked URL, its credentials apart.
#[derive(Debug)]
struct Remote {
    /// The URL without user name and password.
    address: String,
    protocol: &'static str,
    /// Scheme and host, for which credentials are good.
    server: String,
    authorization: Option<String>,
    /// The folder, for a file URL.
    path: Option<PathBuf>,
    secrets: Vec<String>,
}

impl Remote {
    fn parse(url: &str) -> Result<Self, RepoError> {
        let bad = |why| RepoError::BadUrl { url: redacted(url), why };
        if url.is_empty() || url.len() > 4096 {
            return Err(bad("it is empty or too long"));
        }
        if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("it holds a space or a control character"));
        }
        if url.starts_with('-') {
            return Err(bad("it begins with a dash"));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Self::parse_scp(url, &bad);
        };
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "https" => "https",
            "http" => "http",
            "ssh" | "git+ssh" | "ssh+git" => "ssh",
            "git" => "git",
            "file" => "file",
            _ => return Err(bad("only https, http, ssh, git and file URLs are cloned")),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if protocol == "file" {
            if !authority.is_empty() && authority != "localhost" {
                return Err(bad("a file URL names no other machine"));
            }
            if !path.starts_with('/') {
                return Err(bad("a file URL names an absolute path"));
            }
            let path = Some(PathBuf::from(decode(path)));
            let address = url.to_owned();
            return Ok(Self {
                address,
                protocol,
                server: String::new(),
                authorization: None,
                path,
                secrets: vec![],
            });
        }
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with('-') {
            return Err(bad("it names no host"));
        }
        if path.len() < 2 {
            return Err(bad("it names no repository"));
        }
        let (user, password) = match userinfo.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, password)) => (decode(user), decode(password)),
            None => (String::new(), String::new()),
        };
        if user.starts_with('-') {
            return Err(bad("the user name begins with a dash"));
        }
        let secrets: Vec<String> = match protocol {
            "ssh" => vec![password.clone()],
            _ => vec![userinfo.unwrap_or("").to_owned(), password.clone(), user.clone()],
        };
        let server = format!("{protocol}://{host}/");
        let (address, authorization) = match protocol {
            "ssh" if !user.is_empty() => (format!("ssh://{user}@{host}{path}"), None),
            "http" | "https" if userinfo.is_some() => (
                format!("{protocol}://{host}{path}"),
                Some(format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))),
            ),
            _ => (format!("{protocol}://{host}{path}"), None),
        };
        let secrets = secrets.into_iter().filter(|secret| secret.len() > 2).collect();
        Ok(Self { address, protocol, server, authorization, path: None, secrets })
    }

    /// Whether it is a web server on loopback: of others no proxy is asked.
    fn on_this_machine(&self) -> bool {
        if !self.protocol.starts_with("http") {
            return false;
        }
        let host = self.server.split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'));
        let port = host.parse::<SocketAddr>().map(|address| address.ip());
        let address = port.or_else(|_| host.trim_matches(['[', ']']).parse());
        host.split(':').next() == Some("localhost")
            || address.is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// `user@host:path`, ssh's short form.
    fn parse_scp(url: &str, bad: &dyn Fn(&'static str) -> RepoError) -> Result<Self, RepoError> {
        let Some((host, path)) = url.split_once(':').filter(|(host, _)| !host.contains('/')) else {
            return Err(bad("it is no URL"));
        };
        if path.starts_with(':') {
            return Err(bad("helpers like ext:: run commands"));
        }
        let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
        if name.is_empty() || path.is_empty() || name.starts_with('-') || path.starts_with('-') {
            return Err(bad("it names no host or repository"));
        }
        Ok(Self {
            address: url.to_owned(),
            protocol: "ssh",
            server: String::new(),
            authorization: None,
            path: None,
            secrets: vec![],
        })
    }

    /// Returns what git said with the user's own words for the address and without credentials.
    fn redact(&self, said: &str, address: &str) -> String {
        let mut said = said.replace(address, &redacted(&self.address));
        for secret in &self.secrets {
            said = said.replace(secret.as_str(), "***");
        }
        said
    }
}

/// Returns a URL for people: no user name, password, query or fragment.
pub(crate) fn redacted(url: &str) -> String {
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    };
    let end = shown.find(['?', '#']).unwrap_or(shown.len());
    gloaming_api::path::escape_name(gloaming_api::bowout::shorten(&shown[..end], 300).as_bytes())
}

/// Decodes `%40` and its like.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let escaped = (*byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(decoded) => {
                out.push(decoded);
                rest = &tail[2..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_the_address() {
        let remote = Remote::parse("https://me:p%40ss@example.com:8443/a/b.git").unwrap();
        assert_eq!(remote.address, "https://example.com:8443/a/b.git");
        assert_eq!(remote.server, "https://example.com:8443/");
        assert_eq!(remote.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        let remote = Remote::parse("https://token-123@example.com/a").unwrap();
        assert_eq!(remote.authorization.as_deref(), Some("Basic dG9rZW4tMTIzOg=="));
        let said = "fatal: unable to access 'https://token-123@example.com/a/': token-123 is wrong";
        assert!(!remote.redact(said, "x").contains("token-123"));
        let remote = Remote::parse("ssh://git@example.com/a/b").unwrap();
        assert_eq!((remote.address.as_str(), remote.protocol), ("ssh://git@example.com/a/b", "ssh"));
        assert_eq!(Remote::parse("git@example.com:a/b.git").unwrap().protocol, "ssh");
        assert_eq!(Remote::parse("file:///srv/a%20b").unwrap().path, Some("/srv/a b".into()));
    }

    #[test]
    fn what_could_run_a_command_is_refused() {
        for bad in [
            "",
            "ext::sh -c id",
            "ext::sh",
            "fd::3",
            "-oProxyCommand=id",
            "ssh://-oProxyCommand=id/x",
            "ftp://host/x",
            "ssh://-u@host/x",
            "https:///x",
            "https://host",
            "file://host/x",
            "file://x",
            "host",
            "/srv/x",
            "./x:y",
            "-h:x",
            "host:-x",
            "https://host/a\nb",
            "persistent-https://host/x",
            "https+ext::x://y/z",
        ] {
            assert!(matches!(Remote::parse(bad), Err(RepoError::BadUrl { .. })), "{bad:?}");
        }
        let error = Remote::parse("ftp://me:secret@host/x?token=abc").unwrap_err().to_string();
        assert_eq!(error, "cannot clone ftp://host/x: only https, http, ssh, git and file URLs are cloned");
    }

    #[test]
    fn a_server_on_loopback_is_asked_without_a_proxy() {
        let here = |url: &str| Remote::parse(url).unwrap().on_this_machine();
        for url in
            ["http://a:b@127.0.0.1:8787/v1", "http://[::1]:1/x", "http://[::1]/x", "https://localhost/x"]
        {
            assert!(here(url), "{url}");
        }
        for url in
            ["http://10.0.0.1:80/x", "https://localhost.acme.example/x", "ssh://127.0.0.1/x", "file:///x"]
        {
            assert!(!here(url), "{url}");
        }
    }

    #[test]
    fn base64_pads() {
        assert_eq!([base64(b""), base64(b"a"), base64(b"ab"), base64(b"abc")], ["", "YQ==", "YWI=", "YWJj"]);
    }
}
