//! Keys as the files other programs read: PKCS#8 and SubjectPublicKeyInfo (RFC 8410), in PEM.

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use gloaming_api::Digest;
use zeroize::Zeroizing;

/// A file is no key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// It does not hold a private key of the kind.
    #[error("it is no Ed25519 private key in PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`)")]
    Private(#[source] ed25519_dalek::pkcs8::Error),
    /// It does not hold a public key of the kind.
    #[error("it is no Ed25519 public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
    Public(#[source] ed25519_dalek::pkcs8::spki::Error),
    /// It holds a key with which anybody can sign.
    #[error("it is a key of small order: signatures by it prove nothing")]
    Weak,
}

/// Returns the id by which envelopes name a key: the SHA-256 of its 32 raw bytes, 64 hexadecimal digits.
pub fn key_id(key: &VerifyingKey) -> String {
    Digest::of(key.as_bytes()).hex().to_owned()
}

/// Returns a private key as PKCS#8 PEM, which `parse_private` and OpenSSL read. It is wiped from memory when dropped.
///
/// # Errors
/// None for a key that was made from 32 bytes, as any is.
pub fn private_pem(key: &SigningKey) -> Result<Zeroizing<String>, KeyError> {
    // Version 1, without the public key: OpenSSL 3.0 does not read version 2.
    KeypairBytes { secret_key: key.to_bytes(), public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(KeyError::Private)
}

/// Returns a public key as PEM, which `parse_public` and OpenSSL read.
///
/// # Errors
/// None for a key that is one.
pub fn public_pem(key: &VerifyingKey) -> Result<String, KeyError> {
    key.to_public_key_pem(LineEnding::LF).map_err(KeyError::Public)
}

/// Reads a private key.
///
/// # Errors
/// Anything but an Ed25519 key in PKCS#8 PEM.
pub fn parse_private(pem: &str) -> Result<SigningKey, KeyError> {
    SigningKey::from_pkcs8_pem(pem.trim()).map_err(KeyError::Private)
}

/// Reads a public key.
///
/// # Errors
/// Anything but an Ed25519 key in PEM, and keys of small order.
pub fn parse_public(pem: &str) -> Result<VerifyingKey, KeyError> {
    let key = VerifyingKey::from_public_key_pem(pem.trim()).map_err(KeyError::Public)?;
    if key.is_weak() { Err(KeyError::Weak) } else { Ok(key) }
}
