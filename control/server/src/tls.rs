//! TLS, with a certificate that is read again when its files change.
#![expect(clippy::disallowed_methods, reason = "the operator's certificate and key are files of the host")]

use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::Digest;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::settings::Tls;

/// A certificate or key could not be used.
#[derive(Debug, thiserror::Error)]
#[error("could not use the TLS {what} in {file}: {why}")]
pub struct TlsError {
    what: &'static str,
    file: String,
    why: String,
}

/// The certificate that connections are given now.
pub(crate) struct Certificates {
    files: Tls,
    now: Mutex<(Digest, Arc<ServerConfig>)>,
}

impl Certificates {
    pub(crate) fn open(files: Tls) -> Result<Self, TlsError> {
        let now = Mutex::new(load(&files)?);
        Ok(Self { files, now })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Reads the files again; where they changed and are good, new connections are given what is in them. Blocks.
    pub(crate) fn reload(&self) {
        match load(&self.files) {
            Ok(read) => {
                let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
                if now.0 != read.0 {
                    *now = read;
                    tracing::info!("the TLS certificate was read again");
                }
            }
            // Told at each look, as long as it lasts: what is served is older than what the operator put there.
            Err(error) => tracing::warn!(%error, "the TLS certificate that was read last stays"),
        }
    }
}

fn load(files: &Tls) -> Result<(Digest, Arc<ServerConfig>), TlsError> {
    let fault =
        |what, file: &std::path::Path, why: String| TlsError { what, file: file.display().to_string(), why };
    let read = |what, file: &std::path::Path| {
        std::fs::read(file).map_err(|error| fault(what, file, error.to_string()))
    };
    let certificate = read("certificate", &files.certificate)?;
    let key = read("key", &files.key)?;
    let digest = Digest::of([Digest::of(&certificate).as_str(), Digest::of(&key).as_str()].concat());
    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault("certificate", &files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(fault("certificate", &files.certificate, "there is no certificate in it".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_slice(&key).map_err(|error| fault("key", &files.key, error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("settings", &files.certificate, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| fault("certificate and key", &files.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((digest, Arc::new(config)))
}
