//! What goes through a tunnel, with real TLS on both sides.

use std::sync::Arc;

use gloaming_api::job::EgressDecision;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls;

use super::{all, origin, refusal, serve};

/// A server of TLS that answers one line and ends; its certificate is for the names given.
async fn secure(names: &[&str]) -> (u16, rustls::pki_types::CertificateDer<'static>) {
    secure_by(names, rustls::crypto::ring::default_provider(), rustls::DEFAULT_VERSIONS).await
}

/// The same with these key exchanges and versions.
async fn secure_by(
    names: &[&str],
    provider: rustls::crypto::CryptoProvider,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> (u16, rustls::pki_types::CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut word = [0; 4];
                    let _ = stream.read_exact(&mut word).await;
                    let _ = stream.write_all(b"pong").await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    (port, certificate)
}

async fn ping(
    stream: TcpStream,
    name: &str,
    root: &rustls::pki_types::CertificateDer<'static>,
) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name.to_owned().try_into().unwrap(), stream).await?;
    stream.write_all(b"ping").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_tunnel_carries_tls_to_the_host_it_is_for_and_nothing_else() {
    let (port, root) = secure(&["forge.example", "other.example"]).await;
    let served = serve(&[format!("https://forge.example:{port}")], |_| {}).await;
    let to = format!("forge.example:{port}");
    let (stream, head) = served.tunnel(&to).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(ping(stream, "forge.example", &root).await.unwrap(), "pong");
    // Another host behind the same address.
    let (stream, _) = served.tunnel(&to).await;
    let error = ping(stream, "other.example", &root).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    // Something else than TLS, and nothing at all.
    let (mut stream, _) = served.tunnel(&to).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 49]);
    let (mut stream, _) = served.tunnel(&to).await;
    stream.shutdown().await.unwrap();
    assert_eq!(all(&mut stream).await, "");
    let attempts = served.attempts(4).await;
    assert_eq!(attempts[0].decision, EgressDecision::Allowed { rule: "these".into() });
    assert!(attempts[0].up > 100 && attempts[0].down > 100);
    let other = "the TLS connection is for \"other.example\", and the tunnel for forge.example";
    assert_eq!(refusal(&attempts[1]), (None, other));
    assert_eq!(refusal(&attempts[2]), (None, "what was sent is not TLS"));
    assert_eq!((attempts[1].up, attempts[2].up, attempts[2].down), (0, 0, 0));
    // The policy names the scheme: a rule for http opens no tunnel.
    let served = serve(&[format!("http://forge.example:{port}")], |_| {}).await;
    let (_, head) = served.tunnel(&to).await;
    assert!(head.starts_with("HTTP/1.1 403 refused by rule default-deny"), "{head}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_second_hello_and_one_of_tls_1_2_are_reached() {
    let retries = rustls::crypto::CryptoProvider {
        // The client guesses another one at first.
        kx_groups: vec![rustls::crypto::ring::kx_group::SECP384R1],
        ..rustls::crypto::ring::default_provider()
    };
    let old = (rustls::crypto::ring::default_provider(), &[&rustls::version::TLS12][..]);
    for (provider, versions) in [(retries, rustls::DEFAULT_VERSIONS), old] {
        let (port, root) = secure_by(&["forge.example"], provider, versions).await;
        let served = serve(&[format!("https://forge.example:{port}")], |_| {}).await;
        let (stream, _) = served.tunnel(&format!("forge.example:{port}")).await;
        assert_eq!(ping(stream, "forge.example", &root).await.unwrap(), "pong");
    }
}

#[tokio::test]
async fn a_tunnel_that_is_named_tcp_carries_anything() {
    let (port, seen) = origin("hello\n", b"banner\n").await;
    let served = serve(&[format!("tcp://forge.example:{port}")], |_| {}).await;
    let (mut stream, head) = served.tunnel(&format!("forge.example:{port}")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream.write_all(b"hello\n").await.unwrap();
    assert_eq!(all(&mut stream).await, "banner\n");
    assert_eq!(*seen.lock().unwrap(), ["hello\n"]);
    assert_eq!(served.attempts(1).await[0].scheme, "tcp");
}
