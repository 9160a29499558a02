//! Sealed evidence opens only as the bytes that were sealed, with the key that sealed them, and only when what is in it
//! is what the gate decides.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::Signer as _;
use gloaming_api::canonical_json;
use gloaming_api::evidence::{Evidence, JobEvidence, TestStatus};
use gloaming_gate::envelope::{
    EnvelopeError, SigningKey, VerifyingKey, key_id, open, open_unverified, parse_private, parse_public,
    private_pem, public_pem, seal,
};
use gloaming_gate::weights::{CostRatio, built_in};
use gloaming_gate::{judge, judge_with};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{good, signal};

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Evidence with something in every corner: floats, options, non-ASCII text.
pub(crate) fn rich() -> Evidence {
    let mut evidence = good();
    let job: JobEvidence = serde_json::from_value(json!({
        "tree": "patched", "step": "V7", "purpose": "test", "argv": ["cargo", "test", "--", "é\u{7f}\n"],
        "cwd": ".", "env": {"B": "2", "A": "1"}, "engine": "embedded", "environment": evidence.environment,
        "grant": evidence.grant, "exit": {"how": "code", "value": 101}, "duration_ms": 1200,
        "limits": {"memory": 1u64 << 40, "cpus": 1.7, "processes": 9, "wall_s": 60, "output": 1, "scratch": 1},
        "stdout_tail": "\u{1}\u{2028}\u{10ffff}", "stderr_tail": ""
    }))
    .unwrap();
    evidence.jobs.push(job);
    evidence.signals.push(signal("todo"));
    evidence.patched_tests.insert("crate::módulo::test \"x\"".into(), TestStatus::ExpectedFailure);
    evidence
}

pub(crate) fn sealed(evidence: &Evidence) -> Vec<u8> {
    seal(evidence, &judge(evidence), built_in(), CostRatio::default(), &key(7)).unwrap()
}

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(&rich()));

fn opened(bytes: &[u8]) -> Result<(), EnvelopeError> {
    open(bytes, &key(7).verifying_key()).map(|_| ())
}

fn refused(bytes: &[u8]) -> String {
    opened(bytes).unwrap_err().to_string()
}

/// The envelope as a value.
fn envelope() -> Value {
    serde_json::from_slice(&SEALED).unwrap()
}

fn payload() -> Value {
    let envelope = envelope();
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

/// Signs any payload, as whoever has the key could.
fn signed(payload: &str, payload_type: &str) -> Vec<u8> {
    let signed = format!("DSSEv1 {} {payload_type} {} {payload}", payload_type.len(), payload.len());
    let sig = STANDARD.encode(key(7).sign(signed.as_bytes()).to_bytes());
    let envelope = json!({
        "payload": STANDARD.encode(payload), "payloadType": payload_type,
        "signatures": [{"keyid": key_id(&key(7).verifying_key()), "sig": sig}]
    });
    canonical_json(&envelope).into_bytes()
}

fn resigned(payload: &Value) -> Vec<u8> {
    signed(&canonical_json(payload), "application/vnd.in-toto+json")
}

#[test]
fn what_was_sealed_is_what_opens() {
    let evidence = rich();
    let opened = open(&SEALED, &key(7).verifying_key()).unwrap();
    assert_eq!(opened.evidence, evidence);
    assert_eq!(opened.verdict, judge(&evidence));
    assert_eq!((&opened.weights, opened.costs), (built_in(), CostRatio::default()));
    assert!(opened.authentic);
    // Nothing but the input is in it: no time, no chance.
    assert_eq!(*SEALED, sealed(&evidence));
    let shown = open_unverified(&SEALED).unwrap();
    assert!(!shown.authentic);
    assert_eq!(shown.evidence, evidence);
    // Made by hand from its description, it is the same.
    assert_eq!(resigned(&payload()), *SEALED);
}

#[test]
fn the_statement_is_in_toto_s() {
    let mut payload = payload();
    payload["predicate"] = json!(payload["predicate"].as_object().unwrap().keys().collect::<Vec<_>>());
    insta::assert_json_snapshot!(payload, @r#"
    {
      "_type": "https://in-toto.io/Statement/v1",
      "predicate": [
        "evidence",
        "gate",
        "verdict"
      ],
      "predicateType": "https://gloaming.dev/evidence/v1",
      "subject": [
        {
          "digest": {
            "gitTree": "1111111111111111111111111111111111111111"
          },
          "name": "tree"
        },
        {
          "digest": {
            "sha256": "a4895eb44afc336fecbba6e520cd67e178dace0276655d102fceffa8e5f70570"
          },
          "name": "patch"
        }
      ]
    }
    "#);
    let mut evidence = good();
    evidence.tree = None;
    let envelope: Value = serde_json::from_slice(&sealed(&evidence)).unwrap();
    let payload: Value =
        serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(payload["subject"].as_array().unwrap().len(), 1);
}

#[test]
fn another_key_is_refused() {
    let other = key(8).verifying_key();
    let error = open(&SEALED, &other).unwrap_err();
    assert!(matches!(error, EnvelopeError::OtherKey { .. }), "{error}");
    // Also when the envelope says that it is that key's.
    let mut envelope = envelope();
    envelope["signatures"][0]["keyid"] = json!(key_id(&other));
    let error = open(canonical_json(&envelope).as_bytes(), &other).unwrap_err();
    assert!(matches!(error, EnvelopeError::BadSignature), "{error}");
    // A key of small order, for which some signatures hold whatever is signed.
    let weak = VerifyingKey::from_bytes(&{
        let mut identity = [0; 32];
        identity[0] = 1;
        identity
    })
    .unwrap();
    let mut sig = [0; 64];
    sig[0] = 1;
    let mut envelope = self::envelope();
    envelope["signatures"][0] = json!({"keyid": key_id(&weak), "sig": STANDARD.encode(sig)});
    let error = open(canonical_json(&envelope).as_bytes(), &weak).unwrap_err();
    assert!(matches!(error, EnvelopeError::BadSignature), "{error}");
}

#[test]
fn another_spelling_of_the_envelope_is_refused() {
    let text = std::str::from_utf8(&SEALED).unwrap();
    let envelope = envelope();
    let not_canonical = |bytes: &[u8]| {
        let error = opened(bytes).unwrap_err();
        assert!(
            matches!(
                error,
                EnvelopeError::NotCanonical { part: gloaming_gate::envelope::Part::Envelope, .. }
            ),
            "{error}"
        );
    };
    not_canonical(format!("{text}\n").as_bytes());
    not_canonical(format!(" {text}").as_bytes());
    not_canonical(serde_json::to_string_pretty(&envelope).unwrap().as_bytes());
    not_canonical(text.replace("application/", r"application\/").as_bytes());
    not_canonical(text.replace("payloadType", r"payloadTyp\u0065").as_bytes());
    let (payload, rest) = text[1..].split_once(',').unwrap();
    not_canonical(format!("{{{},{payload}}}", rest.strip_suffix('}').unwrap()).as_bytes());

    // Keys that are there twice or are none of ours.
    assert!(refused(format!("{{{payload},{payload},{rest}").as_bytes()).contains("not of the form"));
    assert!(refused(format!("{{\"extra\":1,{payload},{rest}").as_bytes()).contains("not of the form"));
    assert!(refused(b"").contains("not of the form"));
    assert!(refused(&[0xff; 9]).contains("not of the form"));
    assert!(refused("[".repeat(100_000).as_bytes()).contains("not of the form"));

    let with = |change: &dyn Fn(&mut Value)| {
        let mut envelope = envelope.clone();
        change(&mut envelope);
        refused(canonical_json(&envelope).as_bytes())
    };
    let payload_bytes = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let url_safe = URL_SAFE.encode(&payload_bytes);
    assert_ne!(envelope["payload"], json!(url_safe), "the alphabets differ in this payload");
    insta::assert_snapshot!(with(&|e| e["payload"] = json!(url_safe)), @"its payload is not standard Base64 with padding");
    insta::assert_snapshot!(with(&|e| e["payloadType"] = json!("text/plain")), @r#"its payload is of type "text/plain", not "application/vnd.in-toto+json""#);
    insta::assert_snapshot!(
        with(&|e| { let first = e["signatures"][0].clone(); e["signatures"].as_array_mut().unwrap().push(first) }),
        @"it has 2 signatures; sealed evidence has exactly one"
    );
    insta::assert_snapshot!(with(&|e| e["signatures"] = json!([])), @"it has 0 signatures; sealed evidence has exactly one");
    insta::assert_snapshot!(with(&|e| e["signatures"][0]["sig"] = json!("AAAA")), @"its signature is 3 bytes long, and one of Ed25519 is 64");
    insta::assert_snapshot!(with(&|e| e["payload"] = json!("")), @"its signature does not hold: it was changed, or signed by somebody else");
}

#[test]
fn base64_without_padding_is_refused() {
    let mut padded = 0;
    for detail in ["", "x", "xx"] {
        let mut evidence = good();
        evidence.steps[0].detail = detail.into();
        let text = String::from_utf8(sealed(&evidence)).unwrap();
        if text.contains("=\",\"payloadType") {
            padded += 1;
            let error = refused(text.replace("==\"", "\"").replace("=\"", "\"").as_bytes());
            assert_eq!(error, "its signature is not standard Base64 with padding");
            let error = refused(text.replace("=\",\"payloadType", "\",\"payloadType").as_bytes());
            assert_eq!(error, "its payload is not standard Base64 with padding");
        }
    }
    assert_eq!(padded, 2, "of three lengths in a row two need padding");
}

#[test]
fn a_signature_with_its_order_added_is_refused() {
    // The other root: S + L signs the same in a lax implementation (RFC 8032, 5.1.7, wants S < L).
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut envelope = envelope();
    let mut sig = STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    let mut carry = 0;
    for (byte, add) in sig[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = (sum & 255) as u8;
        carry = sum >> 8;
    }
    envelope["signatures"][0]["sig"] = json!(STANDARD.encode(sig));
    assert!(refused(canonical_json(&envelope).as_bytes()).contains("does not hold"));
}

/// Whoever has the key can sign anything; what does not fit together is refused all the same.
#[test]
fn a_signed_payload_that_is_not_ours_is_refused() {
    let text = canonical_json(&payload());
    let of_type = |payload: &str| refused(&signed(payload, "application/vnd.in-toto+json"));
    insta::assert_snapshot!(
        of_type(&format!("{text}\n")).split(": ").next().unwrap(),
        @"the payload is not canonical"
    );
    assert!(
        of_type(&text.replacen(r#""cpus":1.7"#, r#""cpus":1.70"#, 1)).contains("not canonical: from byte")
    );
    // Said twice: in a structure, and in a map, where the last one would win.
    let twice = text.replacen('{', r#"{"_type":"https://in-toto.io/Statement/v1","#, 1);
    assert!(of_type(&twice).contains("not of the form"));
    let twice = text.replacen(r#""baseline_tests":{"#, r#""baseline_tests":{"a":"failed","#, 1);
    assert!(of_type(&twice).contains("not canonical"));
    // Written out though it is the default, and a path spelt another way.
    assert!(
        of_type(&text.replacen(r#""schema_version":1"#, r#""schema_version":1,"sent_back":0"#, 1))
            .contains("not canonical")
    );
    assert!(
        of_type(&text.replacen(r#""path":"src/lib.rs""#, r#""path":"./src//lib.rs""#, 1))
            .contains("not canonical")
    );
    assert!(of_type("{}").contains("not of the form"));

    let with = |change: &dyn Fn(&mut Value)| {
        let mut payload = payload();
        change(&mut payload);
        refused(&resigned(&payload))
    };
    assert!(with(&|p| p["predicate"]["extra"] = json!(1)).contains("not of the form"));
    assert!(with(&|p| p["predicate"]["evidence"]["extra"] = json!(1)).contains("not canonical"));
    assert!(
        with(&|p| p["predicate"]["gate"]["weights"]["features"]["todo"]["weight"] = json!(-1.0))
            .contains("not of the form")
    );
    assert!(with(&|p| p["predicate"]["gate"]["cost_ratio"] = json!(-1.0)).contains("not of the form"));
    insta::assert_snapshot!(with(&|p| p["_type"] = json!("https://in-toto.io/Statement/v0.1")), @r#"it is a statement of type "https://in-toto.io/Statement/v0.1", not "https://in-toto.io/Statement/v1""#);
    insta::assert_snapshot!(with(&|p| p["predicateType"] = json!("https://slsa.dev/provenance/v1")), @r#"it is about "https://slsa.dev/provenance/v1", not "https://gloaming.dev/evidence/v1""#);
    insta::assert_snapshot!(with(&|p| p["subject"] = json!([])), @"it is a statement about nothing, and its evidence is about tree gitTree:1111111111111111111111111111111111111111 and patch sha256:a4895eb44afc336fecbba6e520cd67e178dace0276655d102fceffa8e5f70570");
    assert!(
        with(&|p| p["subject"][0]["digest"]["gitTree"] = json!("2".repeat(40))).contains("tree gitTree:2222")
    );
    assert!(with(&|p| p["subject"][1]["digest"]["sha1"] = json!("2")).contains("its evidence is about"));
    assert!(
        with(&|p| p["predicate"]["evidence"]["tree"] = json!("3".repeat(40)))
            .contains("its evidence is about")
    );
    insta::assert_snapshot!(with(&|p| p["predicate"]["evidence"]["base"] = json!("main")), @r#"its evidence names the base "main", which is no object of git"#);
}

#[test]
fn a_verdict_that_the_gate_would_not_give_is_refused() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut payload = payload();
        change(&mut payload);
        refused(&resigned(&payload))
    };
    insta::assert_snapshot!(
        with(&|p| p["predicate"]["verdict"]["confidence"] = json!(0.99)),
        @"its verdict is not what this gate decides on its evidence: confidence differ (sealed by version 0.1.0, this is 0.1.0)"
    );
    // Evidence of a regression under a verdict that passes; from another version, which may have had other rules.
    insta::assert_snapshot!(
        with(&|p| {
            p["predicate"]["evidence"]["patched_tests"]["a"] = json!("failed");
            p["predicate"]["gate"]["version"] = json!("0.0.9");
        }),
        @"its verdict is not what this gate decides on its evidence: code, reason_code, summary, verdict differ (sealed by version 0.0.9, this is 0.1.0)"
    );
    // Other weights than the verdict names.
    assert!(with(&|p| p["predicate"]["gate"]["weights"]["bias"] = json!(9.0)).contains("confidence"));
    assert!(with(&|p| p["predicate"]["gate"]["cost_ratio"] = json!(0.5)).contains("threshold"));

    let evidence = good();
    let mut verdict = judge(&evidence);
    verdict.confidence = 1.0;
    let error = seal(&evidence, &verdict, built_in(), CostRatio::default(), &key(7)).unwrap_err();
    assert!(matches!(error, EnvelopeError::Verdict { .. }), "{error}");
    // What cannot be written is not sealed: JSON has no infinity.
    let mut evidence = rich();
    evidence.jobs[0].record.limits.cpus = f64::INFINITY;
    let error = seal(&evidence, &judge(&evidence), built_in(), CostRatio::default(), &key(7)).unwrap_err();
    assert!(matches!(error, EnvelopeError::Form { .. }), "{error}");
}

#[test]
fn the_ratio_of_costs_travels_along() {
    let costs = CostRatio::try_from(30.0).unwrap();
    let verdict = judge_with(&good(), built_in(), costs);
    let sealed = seal(&good(), &verdict, built_in(), costs, &key(7)).unwrap();
    let opened = open(&sealed, &key(7).verifying_key()).unwrap();
    assert_eq!((opened.costs, opened.verdict.code.as_str()), (costs, "quality_gate"));
}

#[test]
fn too_large_is_refused_before_it_is_parsed() {
    let mut large = SEALED.clone();
    large.resize(gloaming_gate::envelope::MOST_BYTES + 1, b' ');
    insta::assert_snapshot!(refused(&large), @"it is 67108865 bytes long; sealed evidence has at most 67108864");
}

#[test]
fn keys_are_files_that_others_read() {
    let pem = private_pem(&key(7)).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n"));
    assert_eq!(parse_private(&pem).unwrap(), key(7));
    let public = public_pem(&key(7).verifying_key()).unwrap();
    assert_eq!(parse_public(&public).unwrap(), key(7).verifying_key());
    // The example of RFC 8410, section 10.
    let theirs = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let example = parse_private(theirs).unwrap();
    assert_eq!(*private_pem(&example).unwrap(), theirs);
    insta::assert_snapshot!(public_pem(&example.verifying_key()).unwrap(), @r"
    -----BEGIN PUBLIC KEY-----
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
    -----END PUBLIC KEY-----
    ");
    // One for the other, something else, and nothing.
    assert!(parse_private(&public).is_err() && parse_public(&pem).is_err());
    for text in
        ["", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
    {
        assert!(parse_public(text).is_err() && parse_private(text).is_err(), "{text:?}");
    }
    let weak = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
    insta::assert_snapshot!(parse_public(weak).unwrap_err(), @"it is a key of small order: signatures by it prove nothing");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut bytes = SEALED.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(opened(&bytes).is_err(), "byte {} xor {}", at, flip);
    }

    #[test]
    fn any_cut_or_added_byte_is_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let at = at.index(SEALED.len());
        prop_assert!(opened(&SEALED[..at]).is_err());
        let mut bytes = SEALED.clone();
        bytes.insert(at, byte);
        prop_assert!(opened(&bytes).is_err());
        bytes = SEALED.clone();
        bytes.remove(at);
        prop_assert!(opened(&bytes).is_err());
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[{\"payloadTypes:,}\\]]{0,40}") {
        prop_assert!(opened(&bytes).is_err());
        prop_assert!(opened(text.as_bytes()).is_err());
        prop_assert!(opened(&signed(&text, "application/vnd.in-toto+json")).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_evidence_comes_back(evidence in crate::judge::any_evidence(), seed in any::<u8>()) {
        let key = key(seed);
        let verdict = judge(&evidence);
        let sealed = seal(&evidence, &verdict, built_in(), CostRatio::default(), &key).unwrap();
        let opened = open(&sealed, &key.verifying_key()).unwrap();
        prop_assert_eq!(opened.evidence, evidence);
        prop_assert_eq!(opened.verdict, verdict);
    }
}

/// Every single byte of what is outside the payload, changed in every bit.
#[test]
fn no_bit_outside_the_payload_is_free() {
    let text = std::str::from_utf8(&SEALED).unwrap();
    let payload_ends = text.find("\",\"payloadType\"").unwrap();
    for at in (0..12).chain(payload_ends - 4..SEALED.len()) {
        for bit in 0..8 {
            let mut bytes = SEALED.clone();
            bytes[at] ^= 1 << bit;
            assert!(opened(&bytes).is_err(), "byte {at} bit {bit}");
        }
    }
}
