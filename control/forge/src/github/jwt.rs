//! The token by which an App says who it is: a JSON Web Token signed with its key by RS256 (RFC 7515, RFC 7518 section 3.3;
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>).
//!
//! Signed by the provider that TLS has here already: it takes the same time whatever the key is.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use secrecy::SecretString;
use serde_json::json;

/// How far behind GitHub's our clock may be, and how long a token is good for: GitHub takes none for longer than ten minutes.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
const GOOD: SignedDuration = SignedDuration::from_mins(9);

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// An App's private key.
pub(super) struct AppKey(Arc<dyn SigningKey>);

impl AppKey {
    /// Reads an RSA key of 2048 bits or more in PEM: as GitHub hands it out (PKCS#1), or as PKCS#8.
    pub(super) fn of_pem(pem: &str) -> Result<Self, Fault> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())?;
        let key = rustls::crypto::ring::sign::any_supported_type(&der)?;
        if key.algorithm() != SignatureAlgorithm::RSA {
            return Err("it is of another kind than RSA".into());
        }
        Ok(Self(key))
    }

    /// Returns a token that says that we are this App, good for nine minutes.
    pub(super) fn jwt(&self, app: u64, now: Timestamp) -> Result<SecretString, rustls::Error> {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({"typ": "JWT", "alg": "RS256"}));
        let (since, until) = ((now - SKEW).as_second(), (now + GOOD).as_second());
        let claims = part(json!({"iss": app, "iat": since, "exp": until}));
        let message = format!("{header}.{claims}");
        let signer = self.0.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signer = signer.ok_or_else(|| rustls::Error::General("the key signs by no RS256".to_owned()))?;
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes())?);
        Ok(format!("{message}.{signature}").into())
    }
}
