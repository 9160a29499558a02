//! The DSSE envelope: a payload, its type and one signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::{EnvelopeError, MOST_BYTES, Part, key_id, same_bytes};

/// The type of the payload, signed along with it.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope of the right form; whether the signature holds is another question.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) payload: Vec<u8>,
    pub(super) key_id: String,
    signature: Signature,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    keyid: String,
    sig: String,
}

impl Envelope {
    pub(super) fn sign(payload: String, key: &SigningKey) -> Self {
        let signature = key.sign(&pae(PAYLOAD_TYPE, payload.as_bytes()));
        Self { payload: payload.into_bytes(), key_id: key_id(&key.verifying_key()), signature }
    }

    pub(super) fn canonical(&self) -> Vec<u8> {
        let sig = STANDARD.encode(self.signature.to_bytes());
        let written = Written {
            payload: STANDARD.encode(&self.payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![WrittenSignature { keyid: self.key_id.clone(), sig }],
        };
        gloaming_api::canonical_json(&written).into_bytes()
    }

    pub(super) fn parse(sealed: &[u8]) -> Result<Self, EnvelopeError> {
        if sealed.len() > MOST_BYTES {
            return Err(EnvelopeError::TooLarge { bytes: sealed.len() });
        }
        let written: Written = serde_json::from_slice(sealed)
            .map_err(|source| EnvelopeError::Form { part: Part::Envelope, source })?;
        same_bytes(sealed, &gloaming_api::canonical_json(&written), Part::Envelope)?;
        let Written { payload, payload_type, signatures } = written;
        if payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(payload_type));
        }
        let [signature] = <[WrittenSignature; 1]>::try_from(signatures)
            .map_err(|all| EnvelopeError::Signatures(all.len()))?;
        let decoded = decode("signature", &signature.sig)?;
        let signature_bytes: [u8; 64] =
            decoded.as_slice().try_into().map_err(|_| EnvelopeError::SignatureLength(decoded.len()))?;
        Ok(Self {
            payload: decode("payload", &payload)?,
            key_id: signature.keyid,
            signature: Signature::from_bytes(&signature_bytes),
        })
    }

    /// Checks that `key` made the signature. The id in the envelope is not signed, and must be the key's all the same:
    /// with another it would be another byte sequence that opens.
    pub(super) fn verify(&self, key: &VerifyingKey) -> Result<(), EnvelopeError> {
        let given = key_id(key);
        if self.key_id != given {
            return Err(EnvelopeError::OtherKey { named: self.key_id.clone(), given });
        }
        // Strict: a key of small order, for which signatures hold for many messages, is refused.
        key.verify_strict(&pae(PAYLOAD_TYPE, &self.payload), &self.signature)
            .map_err(|_| EnvelopeError::BadSignature)
    }
}

/// Standard alphabet, padded, no stray bits at the end: there is one such text for any bytes.
fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, EnvelopeError> {
    STANDARD.decode(text).map_err(|source| EnvelopeError::Base64 { field, source })
}

/// The bytes that are signed: DSSE's pre-authentication encoding, version 1.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_the_example_of_the_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(decode("payload", "+/8=").unwrap(), [0xfb, 0xff]);
        for other in ["-_8=", "+/8", "+/9=", "+/8= ", "+/8=\n", "+/8==", "+ /8="] {
            assert!(decode("payload", other).is_err(), "{other}");
        }
    }
}
