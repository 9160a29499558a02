//! Sealed evidence and keys by another program: OpenSSL, as docs/evidence.md tells people to.
#![expect(
    clippy::disallowed_methods,
    reason = "the test runs openssl, and writes what it reads into a folder of its own"
)]

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gloaming_gate::envelope::{key_id, parse_private, parse_public, private_pem, public_pem};
use serde_json::Value;

use crate::envelope::{key, rich, sealed};

/// Runs openssl in `dir`; none where there is no openssl.
fn openssl(dir: &Path, args: &[&str]) -> Option<(bool, String)> {
    match Command::new("openssl").args(args).current_dir(dir).output() {
        Ok(done) => {
            let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
            Some((done.status.success(), said))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: openssl is not installed");
            None
        }
        Err(error) => panic!("openssl: {error}"),
    }
}

#[test]
fn openssl_agrees_about_the_signature() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let envelope: Value = serde_json::from_slice(&sealed(&rich())).unwrap();
    let decoded = |field: &Value| STANDARD.decode(field.as_str().unwrap()).unwrap();
    let payload = decoded(&envelope["payload"]);
    let mut signed = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    signed.extend(&payload);
    put("signed", &signed);
    put("signature", &decoded(&envelope["signatures"][0]["sig"]));
    put("evidence.pub.pem", public_pem(&key(7).verifying_key()).unwrap().as_bytes());
    put("other.pub.pem", public_pem(&key(8).verifying_key()).unwrap().as_bytes());
    let verify = |key: &str| {
        let args = [
            "pkeyutl",
            "-verify",
            "-rawin",
            "-pubin",
            "-inkey",
            key,
            "-in",
            "signed",
            "-sigfile",
            "signature",
        ];
        openssl(dir.path(), &args)
    };
    let Some((good, said)) = verify("evidence.pub.pem") else { return };
    assert!(good, "{said}");
    assert!(!verify("other.pub.pem").unwrap().0);
    signed[40] ^= 1;
    put("signed", &signed);
    assert!(!verify("evidence.pub.pem").unwrap().0);
}

#[test]
fn openssl_reads_our_keys_and_we_read_openssl_s() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("evidence.pem"), private_pem(&key(7)).unwrap().as_bytes()).unwrap();
    let Some((good, public)) = openssl(dir.path(), &["pkey", "-in", "evidence.pem", "-pubout"]) else {
        return;
    };
    assert!(good, "{public}");
    assert_eq!(public, public_pem(&key(7).verifying_key()).unwrap());

    let (good, said) =
        openssl(dir.path(), &["genpkey", "-algorithm", "ed25519", "-out", "theirs.pem"]).unwrap();
    assert!(good, "{said}");
    let theirs = parse_private(&std::fs::read_to_string(dir.path().join("theirs.pem")).unwrap()).unwrap();
    let (_, public) = openssl(dir.path(), &["pkey", "-in", "theirs.pem", "-pubout"]).unwrap();
    assert_eq!(parse_public(&public).unwrap(), theirs.verifying_key());

    let (_, rsa) = openssl(dir.path(), &["genpkey", "-algorithm", "x25519"]).unwrap();
    assert!(parse_private(&rsa).is_err(), "a key of another algorithm is none");
}

/// The first block of commands below a heading of docs/evidence.md.
fn documented(heading: &str) -> &'static str {
    let page = include_str!("../../../../docs/evidence.md");
    let below = page.split_once(heading).expect("the page has the heading").1;
    below.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0
}

#[test]
fn the_documented_commands_work() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    put("evidence.json", &sealed(&rich()));
    put("evidence.pub.pem", public_pem(&key(7).verifying_key()).unwrap().as_bytes());
    let shell = |script: &str| {
        let done = Command::new("sh").args(["-ec", script]).current_dir(dir.path()).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    if !shell("command -v jq openssl base64 sha256sum").0 {
        eprintln!("skipped: jq, openssl, base64 or sha256sum is not installed");
        return;
    }
    let (good, said) = shell(documented("## By hand"));
    assert!(good && said.contains("Signature Verified Successfully"), "{said}");
    let (good, said) = shell(documented("The id of a key"));
    assert!(good && said.starts_with(&key_id(&key(7).verifying_key())), "{said}");
    put("evidence.pub.pem", public_pem(&key(8).verifying_key()).unwrap().as_bytes());
    assert!(!shell(documented("## By hand")).0);
    let (good, said) = shell(documented("so that a key of your own"));
    assert!(good, "{said}");
    let made = std::fs::read_to_string(dir.path().join("evidence.pem")).unwrap();
    let public = std::fs::read_to_string(dir.path().join("evidence.pub.pem")).unwrap();
    assert_eq!(parse_public(&public).unwrap(), parse_private(&made).unwrap().verifying_key());
}
