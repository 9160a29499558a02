//! HMAC-SHA-256 of what comes in and goes out.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

fn mac(secret: &SecretString, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("a key has any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// Returns the signature of parts, one behind the other: 64 hexadecimal digits.
pub(crate) fn sign(secret: &SecretString, parts: &[&[u8]]) -> String {
    mac(secret, parts).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a signature is that of parts. Compared in constant time.
pub(crate) fn is_of(secret: &SecretString, parts: &[&[u8]], signature: &str) -> bool {
    unhex(signature).is_some_and(|given| mac(secret, parts).verify_slice(&given).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
