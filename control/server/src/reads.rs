//! How repositories are read for workers: by git's smart HTTP protocol, with the code host's credential, which stays here.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gloaming_api::RepoId;
use gloaming_forge::CodeHost;
use gloaming_forge::host::ReadAccess;
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::ExposeSecret as _;

/// How long the code host may take to be reached.
const REACHED: Duration = Duration::from_secs(10);

/// Servers of git tell by the beginning who asks.
const AGENT: &str = concat!("git/gloaming-", env!("CARGO_PKG_VERSION"));

/// A code host, as it is read from for workers.
pub struct Reads {
    pub(crate) host: Arc<dyn CodeHost>,
    /// With TLS; made when it is first needed.
    secure: OnceLock<Result<Client, String>>,
    /// Without, for a code host on this machine: it needs none of the system's certificates.
    plain: OnceLock<Result<Client, String>>,
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").finish_non_exhaustive()
    }
}

impl Reads {
    /// Reads from a code host.
    pub fn new(host: Arc<dyn CodeHost>) -> Self {
        Self { host, secure: OnceLock::new(), plain: OnceLock::new() }
    }

    /// Begins a request for something of a repository, none of whose parts names the credential where it is printed. The error
    /// is why there cannot be one.
    pub(crate) fn request(
        &self,
        method: http::Method,
        access: &ReadAccess,
        tail: &str,
        kind: &str,
    ) -> Result<RequestBuilder, String> {
        let address = format!("{}/{tail}", access.url);
        let url = Url::parse(&address).map_err(|error| format!("its address is none: {error}"))?;
        let client = match url.scheme() {
            "https" => self.secure.get_or_init(|| client(true)),
            _ => self.plain.get_or_init(|| client(false)),
        };
        let mut secret = HeaderValue::from_str(access.authorization.expose_secret())
            .map_err(|_| "its credential has characters that no header can hold".to_owned())?;
        secret.set_sensitive(true);
        let request = client.as_ref().map_err(Clone::clone)?.request(method, url);
        Ok(request.header(AUTHORIZATION, secret).header(ACCEPT, kind))
    }

    pub(crate) async fn access(
        &self,
        repo: &RepoId,
        refused: Option<&ReadAccess>,
    ) -> Result<ReadAccess, gloaming_forge::HostError> {
        self.host.read_access(repo, refused).await
    }
}

fn client(secure: bool) -> Result<Client, String> {
    // Fails only where a provider was chosen before; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        // Wherever one leads, the credential is not for that.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(REACHED)
        .user_agent(AGENT);
    if !secure {
        builder = builder.no_proxy().tls_certs_only([]);
    }
    builder.build().map_err(|error| format!("the HTTP client does not start: {error}"))
}
