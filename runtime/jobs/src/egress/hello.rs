//! Reads the beginning of what a client sends through a tunnel: a TLS ClientHello, and the name in it.
//!
//! Formats: RFC 8446 (records 5.1, ClientHello 4.1.2, extensions 4.2), RFC 6066 3 (server_name), RFC 9849
//! (encrypted_client_hello). Strict: what could be read in two ways is refused, since the server would choose its own.

use std::collections::BTreeSet;

/// The longest hello, in bytes. With the largest post-quantum key shares it is some kilobytes.
const MAX_HELLO: usize = 32 << 10;
/// The longest record's content (2^14 and nothing encrypted yet).
const MAX_RECORD: usize = 1 << 14;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
/// Extensions.
const SERVER_NAME: u16 = 0;
const EARLY_DATA: u16 = 42;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// What came before it, and may still be answered.
const ENCRYPTED_SERVER_NAME: u16 = 0xffce;

/// What to do with the bytes that a client has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for more.
    More,
    /// The first so many bytes may go on.
    Forward(usize),
    /// Nothing may.
    Refuse(String),
}

/// Follows a client's stream until nothing in it can be a ClientHello any more: a server may ask for a second one
/// (HelloRetryRequest), and that one must name the same host.
#[derive(Debug)]
pub(super) struct Inspector {
    host: String,
    hellos: u8,
    settled: bool,
}

impl Inspector {
    /// `host` is a name in lower case, or an IPv4 address, for which no name is needed.
    pub(super) fn new(host: &str) -> Self {
        Self { host: host.to_owned(), hellos: 0, settled: false }
    }

    /// Whether no more of the stream needs to be looked at.
    pub(super) fn settled(&self) -> bool {
        self.settled
    }

    /// Whether a hello was seen and is right.
    pub(super) fn greeted(&self) -> bool {
        self.hellos > 0
    }

    /// Looks at what was sent and is not forwarded yet.
    pub(super) fn look(&mut self, sent: &[u8]) -> Next {
        let Some((&kind, header)) = sent.split_first() else { return Next::More };
        match kind {
            HANDSHAKE => {}
            _ if self.hellos == 0 => return refuse("what was sent is not TLS"),
            // A few bytes in the clear; a second hello may come after them.
            CHANGE_CIPHER_SPEC | ALERT => {
                let length = if kind == ALERT { 2 } else { 1 };
                let Some(record) = sent.get(..5 + length) else { return Next::More };
                if record[1] != 3 || record[3..5] != [0, length as u8] {
                    return refuse("a TLS record makes no sense");
                }
                return Next::Forward(5 + length);
            }
            // Encrypted: no hello in the clear can follow, early data being refused.
            APPLICATION_DATA => {
                self.settled = true;
                return Next::Forward(sent.len());
            }
            _ => return refuse("a TLS record makes no sense"),
        }
        let Some(header) = header.get(..4) else { return Next::More };
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] != 3 || length == 0 || length > MAX_RECORD {
            return refuse("a TLS record makes no sense");
        }
        let Some(&message) = sent.get(5) else { return Next::More };
        if message != CLIENT_HELLO {
            if self.hellos == 0 {
                return refuse("the TLS connection does not begin with a ClientHello");
            }
            // TLS 1.2 goes on with the keys; what comes then is encrypted.
            self.settled = true;
            return Next::Forward(sent.len());
        }
        match collect(sent) {
            Ok(None) => Next::More,
            Ok(Some((hello, used))) => match self.check(&hello) {
                Ok(()) if self.hellos == 2 => refuse("a third ClientHello"),
                Ok(()) => {
                    self.hellos += 1;
                    Next::Forward(used)
                }
                Err(why) => Next::Refuse(why),
            },
            Err(why) => refuse(why),
        }
    }

    fn check(&self, hello: &[u8]) -> Result<(), String> {
        let named = server_name(hello)?;
        let address = self.host.parse::<std::net::Ipv4Addr>().is_ok();
        match named {
            Some(name) if name.eq_ignore_ascii_case(&self.host) => Ok(()),
            Some(name) => {
                Err(format!("the TLS connection is for {name:?}, and the tunnel for {}", self.host))
            }
            None if address => Ok(()),
            None => Err("the TLS connection does not say which host it is for (SNI)".to_owned()),
        }
    }
}

fn refuse(why: &str) -> Next {
    Next::Refuse(why.to_owned())
}

/// Puts the records of one ClientHello together; returns it without its header, and how many bytes it took.
fn collect(sent: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut message = Vec::new();
    let mut at = 0;
    loop {
        let Some(header) = sent.get(at..at + 5) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != HANDSHAKE || header[1] != 3 || length == 0 || length > MAX_RECORD {
            return Err("a ClientHello is broken off");
        }
        let Some(content) = sent.get(at + 5..at + 5 + length) else {
            return if sent.len() > MAX_HELLO { Err("the ClientHello is too long") } else { Ok(None) };
        };
        message.extend_from_slice(content);
        at += 5 + length;
        if let Some(header) = message.get(..4) {
            let whole = 4
                + usize::from(header[1]) * 0x1_0000
                + usize::from(u16::from_be_bytes([header[2], header[3]]));
            if whole > MAX_HELLO {
                return Err("the ClientHello is too long");
            }
            if message.len() > whole {
                return Err("something else stands in the record of the ClientHello");
            }
            if message.len() == whole {
                message.drain(..4);
                return Ok(Some((message, at)));
            }
        }
        if message.len() > MAX_HELLO || at > 2 * MAX_HELLO {
            return Err("the ClientHello is too long");
        }
    }
}

/// Returns the one name in a ClientHello's body.
fn server_name(hello: &[u8]) -> Result<Option<String>, String> {
    let broken = || "the ClientHello makes no sense".to_owned();
    let mut rest = Bytes(hello);
    // Version and random.
    rest.take(34).ok_or_else(broken)?;
    let session = rest.vector8().ok_or_else(broken)?;
    let ciphers = rest.vector16().ok_or_else(broken)?;
    let compression = rest.vector8().ok_or_else(broken)?;
    if session.len() > 32 || ciphers.is_empty() || ciphers.len() % 2 != 0 || compression.is_empty() {
        return Err(broken());
    }
    if rest.0.is_empty() {
        return Ok(None);
    }
    let mut extensions = Bytes(rest.vector16().ok_or_else(broken)?);
    if !rest.0.is_empty() {
        return Err(broken());
    }
    let mut seen = BTreeSet::new();
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number().ok_or_else(broken)?;
        let content = extensions.vector16().ok_or_else(broken)?;
        if !seen.insert(kind) {
            return Err("the ClientHello says something twice".to_owned());
        }
        match kind {
            SERVER_NAME => name = Some(single_name(content).ok_or_else(broken)?),
            ENCRYPTED_CLIENT_HELLO | ENCRYPTED_SERVER_NAME => {
                return Err("the TLS connection hides which host it is for (ECH)".to_owned());
            }
            // Behind it a second hello could stand where nothing is looked at any more.
            EARLY_DATA => {
                return Err("the TLS connection sends data before it is agreed on (0-RTT)".to_owned());
            }
            _ => {}
        }
    }
    Ok(name)
}

fn single_name(content: &[u8]) -> Option<String> {
    let mut outer = Bytes(content);
    let mut list = Bytes(outer.vector16()?);
    if !outer.0.is_empty() || list.take(1)? != [0] {
        return None;
    }
    let name = list.vector16()?;
    let plain = !name.is_empty() && name.len() <= 255 && name.iter().all(u8::is_ascii_graphic);
    (plain && list.0.is_empty()).then(|| name.iter().map(|byte| char::from(*byte)).collect())
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// What a real client sends first.
    fn hello(host: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = host.to_owned().try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        sent
    }

    /// A hello with these extensions, in one record.
    fn made(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut all = Vec::new();
        for (kind, content) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend((content.len() as u16).to_be_bytes());
            all.extend(content);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((all.len() as u16).to_be_bytes());
        body.extend(all);
        record(&message(&body))
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let mut message = vec![1];
        message.extend(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    fn record(content: &[u8]) -> Vec<u8> {
        let mut record = vec![22, 3, 1];
        record.extend((content.len() as u16).to_be_bytes());
        record.extend(content);
        record
    }

    fn name(host: &str) -> (u16, Vec<u8>) {
        let mut content = ((host.len() + 3) as u16).to_be_bytes().to_vec();
        content.push(0);
        content.extend((host.len() as u16).to_be_bytes());
        content.extend(host.bytes());
        (0, content)
    }

    fn look(host: &str, sent: &[u8]) -> Next {
        Inspector::new(host).look(sent)
    }

    #[track_caller]
    fn refused(next: &Next, why: &str) {
        assert!(matches!(next, Next::Refuse(reason) if reason.contains(why)), "{next:?}");
    }

    #[test]
    fn a_real_hello_names_its_host() {
        let sent = hello("a.example.org");
        assert_eq!(look("a.example.org", &sent), Next::Forward(sent.len()));
        refused(&look("b.example.org", &sent), "is for \"a.example.org\"");
        for length in 0..sent.len() {
            assert_eq!(look("a.example.org", &sent[..length]), Next::More, "{length}");
        }
    }

    #[test]
    fn an_address_needs_no_name() {
        let sent = hello("192.0.2.7");
        assert_eq!(look("192.0.2.7", &sent), Next::Forward(sent.len()));
        refused(&look("a.example.org", &sent), "SNI");
        refused(&look("192.0.2.7", &hello("a.example.org")), "is for");
    }

    #[test]
    fn a_hello_in_pieces_is_put_together() {
        let whole = made(&[name("A.Example.org")]);
        let mut sent = Vec::new();
        for piece in whole[5..].chunks(3) {
            sent.extend(record(piece));
        }
        assert_eq!(look("a.example.org", &sent), Next::Forward(sent.len()));
        refused(&look("b.example.org", &sent), "is for");
        sent[8] = 23;
        refused(&look("a.example.org", &sent), "broken off");
    }

    #[test]
    fn what_hides_or_says_two_things_is_refused() {
        let host = "a.example.org";
        refused(&look(host, b"GET / HTTP/1.1\r\n"), "not TLS");
        refused(&look(host, b"SSH-2.0-OpenSSH\r\n"), "not TLS");
        refused(&look(host, &[0x80, 0x2e, 1, 3, 1]), "not TLS");
        refused(&look(host, &[23, 3, 3, 0, 1, 0]), "not TLS");
        refused(&look(host, &made(&[])), "SNI");
        refused(&look(host, &made(&[name(host), name("b.example.org")])), "twice");
        refused(&look(host, &made(&[name(host), (0xfe0d, vec![0; 8])])), "ECH");
        refused(&look(host, &made(&[name(host), (0xffce, vec![0; 8])])), "ECH");
        refused(&look(host, &made(&[name(host), (42, Vec::new())])), "0-RTT");
        let mut two = name(host);
        two.1.extend([0, 0, 1, b'x']);
        two.1[1] += 4;
        refused(&look(host, &made(&[two])), "no sense");
        let mut nul = name(host);
        nul.1[6] = 0;
        refused(&look(host, &made(&[nul])), "no sense");
        let mut long = made(&[name(host)]);
        long[6] = 9;
        refused(&look(host, &long), "too long");
        let mut more = made(&[name(host)]);
        let extra = [more[5..].to_vec(), vec![1, 0, 0, 0]].concat();
        more = record(&extra);
        refused(&look(host, &more), "something else");
        // A hello of the longest kind, never finished.
        let endless: Vec<u8> =
            std::iter::repeat_n(record(&message(&[0; 100])[..1]), 9000).flatten().collect();
        assert!(matches!(look(host, &endless), Next::Refuse(_)));
    }

    #[test]
    fn a_second_hello_names_the_same_host() {
        let (host, other) = ("a.example.org", made(&[name("b.example.org")]));
        let first = made(&[name(host)]);
        let mut inspector = Inspector::new(host);
        assert_eq!(inspector.look(&first), Next::Forward(first.len()));
        assert!(inspector.greeted() && !inspector.settled());
        let change = [20, 3, 3, 0, 1, 1];
        assert_eq!(inspector.look(&[change.as_slice(), &other].concat()), Next::Forward(6));
        refused(&inspector.look(&other), "is for");
        assert_eq!(inspector.look(&first), Next::Forward(first.len()));
        refused(&inspector.look(&first), "third");
        let warning = [21, 3, 3, 0, 2, 1, 0];
        assert_eq!(inspector.look(&[warning.as_slice(), &other].concat()), Next::Forward(7));
        refused(&inspector.look(&[21, 3, 3, 0, 9, 1, 0]), "no sense");
        refused(&inspector.look(&[99, 3, 3, 0, 1, 0]), "no sense");
        assert!(!inspector.settled());
        // Keys or encrypted bytes end the looking.
        for rest in [vec![22, 3, 3, 0, 1, 16, 1, 2], vec![23, 3, 3, 0, 1, 0]] {
            let mut inspector = Inspector::new(host);
            assert_eq!(inspector.look(&first), Next::Forward(first.len()));
            assert_eq!(inspector.look(&rest), Next::Forward(rest.len()));
            assert!(inspector.settled());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it_and_only_the_host_passes(mut bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let host = "a.example.org";
            let _ = look(host, &bytes);
            bytes.splice(..0, [22, 3, 1]);
            let _ = look(host, &bytes);
            // One byte of a right hello changed: it still names the host, or it does not pass.
            let mut sent = made(&[(16, vec![0, 1, 0]), name(host)]);
            let at = at.index(sent.len());
            sent[at] = to;
            if let Next::Forward(used) = look(host, &sent) {
                let text = String::from_utf8_lossy(&sent[..used]).to_ascii_lowercase();
                prop_assert!(text.contains(host));
            }
        }
    }
}
