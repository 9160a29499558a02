//! Where a request to the proxy wants to go, and whether it says so in one voice.

use std::net::Ipv4Addr;

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Method, Uri, Version};

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// A tunnel, or one request in the clear.
    pub(super) tunnel: bool,
    /// A name in lower case, or an IPv4 address.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Returns where a request goes.
///
/// # Errors
/// Why it is refused, whoever would be reached: it says two things, or hides one.
pub(super) fn read(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<Target, &'static str> {
    if headers.contains_key(PROXY_AUTHORIZATION) {
        return Err("it carries a password for the proxy, which has none");
    }
    if !matches!(version, Version::HTTP_10 | Version::HTTP_11) {
        return Err("it is neither HTTP/1.0 nor HTTP/1.1");
    }
    // The parser has let one of two framings win already; what it left must still be one, and plain.
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err("it says its length in two ways");
    }
    let codings = headers.get_all(TRANSFER_ENCODING).iter();
    if codings.enumerate().any(|(at, coding)| at > 0 || !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err("its body is coded in a way that is not passed on");
    }
    let tunnel = method == Method::CONNECT;
    let authority = uri.authority().ok_or("it does not say which host it is for; this is a proxy")?;
    let default = match uri.scheme() {
        None if tunnel => None,
        Some(scheme) if *scheme == Scheme::HTTP && !tunnel => Some(80),
        Some(scheme) if *scheme == Scheme::HTTPS && !tunnel => {
            return Err("https goes through a tunnel (CONNECT)");
        }
        _ => return Err("only CONNECT and http:// addresses are taken"),
    };
    let (host, port) = host_and_port(authority)?;
    let port = port.or(default).ok_or("it names no port")?;
    if port == 0 {
        return Err("port 0 is none");
    }
    if !tunnel && port == 443 {
        return Err("port 443 is for https, which goes through a tunnel (CONNECT)");
    }
    if tunnel {
        let body = headers.contains_key(TRANSFER_ENCODING)
            || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
        if body {
            return Err("CONNECT has no body");
        }
    }
    let mut hosts = headers.get_all(HOST).iter();
    if let Some(said) = hosts.next() {
        if hosts.next().is_some() {
            return Err("it names two hosts");
        }
        let said: Authority =
            said.to_str().ok().and_then(|text| text.parse().ok()).ok_or("its Host header is no host")?;
        let (name, said_port) = host_and_port(&said)?;
        // Clients leave the port out where it is the scheme's own; of a tunnel none knows which that is.
        let same_port = match said_port {
            Some(said) => said == port,
            None => tunnel || port == 80,
        };
        if name != host || !same_port {
            return Err("its Host header names another host than its address");
        }
    }
    Ok(Target { tunnel, host, port })
}

pub(super) fn host_and_port(authority: &Authority) -> Result<(String, Option<u16>), &'static str> {
    let text = authority.as_str();
    if text.contains('@') {
        return Err("its address holds an account");
    }
    if text.starts_with('[') {
        return Err("an IPv6 address cannot be named by a policy");
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => {
            // A sign, a zero in front or nothing at all is read differently by others.
            let plain =
                !port.is_empty() && !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|_| plain).ok_or("its port is no number")?;
            (host, Some(port))
        }
        None => (text, None),
    };
    let host = host.to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(fits) || host.split('.').any(str::is_empty) {
        return Err("its host is neither a name nor an IPv4 address");
    }
    // `127.1`, `0x7f000001`, `2130706433`: addresses to some, names to others.
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if number && host.parse::<Ipv4Addr>().is_err() {
        return Err("its host is an address in a form that not all read alike");
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Method, address, headers, and what is told.
    type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

    fn read(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<String, &'static str> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let Ok(request) = request.body(()) else { return Err("no address") };
        let (parts, ()) = request.into_parts();
        let target = super::read(&parts.method, &parts.uri, parts.version, &parts.headers)?;
        Ok(format!("{}{}:{}", if target.tunnel { "tunnel " } else { "" }, target.host, target.port))
    }

    #[test]
    fn targets_are_read_in_one_way() {
        let cases: &[Case] = &[
            ("CONNECT", "A.Example.org:443", &[], "tunnel a.example.org:443"),
            ("CONNECT", "a.example.org:443", &[("host", "A.example.org")], "tunnel a.example.org:443"),
            ("CONNECT", "a.example.org:443", &[("host", "a.example.org:443")], "tunnel a.example.org:443"),
            ("CONNECT", "10.0.0.1:22", &[("content-length", "0")], "tunnel 10.0.0.1:22"),
            ("GET", "http://a.example.org/x?y", &[("host", "a.example.org")], "a.example.org:80"),
            ("GET", "http://a.example.org:8080/", &[("host", "a.example.org:8080")], "a.example.org:8080"),
            ("GET", "HTTP://a.example.org", &[("host", "a.example.org:80")], "a.example.org:80"),
        ];
        for (method, uri, headers, want) in cases {
            assert_eq!(read(method, uri, headers).as_deref(), Ok(*want), "{uri}");
        }
    }

    #[test]
    fn whatever_says_two_things_or_hides_one_is_refused() {
        let refused: &[Case] = &[
            ("GET", "/x", &[("host", "a.example.org")], "this is a proxy"),
            ("OPTIONS", "*", &[], "this is a proxy"),
            ("GET", "https://a.example.org/", &[], "tunnel"),
            ("GET", "ftp://a.example.org/", &[], "only CONNECT"),
            ("GET", "http://a.example.org:443/", &[], "443"),
            ("GET", "http://u:p@a.example.org/", &[], "account"),
            ("GET", "http://a.example.org:0/", &[], "port"),
            ("GET", "http://a.example.org:080/", &[], "port"),
            ("GET", "http://a.example.org:/", &[], "port"),
            ("GET", "http://a.example.org./", &[], "neither"),
            ("GET", "http://a..org/", &[], "neither"),
            ("GET", "http://a%2eexample.org/", &[], "neither"),
            ("GET", "http://[::1]/", &[], "IPv6"),
            ("GET", "http://127.1/", &[], "form"),
            ("GET", "http://2130706433/", &[], "form"),
            ("GET", "http://0x7f.0.0.0x1/", &[], "form"),
            ("GET", "http://0177.0.0.1/", &[], "form"),
            ("CONNECT", "a.example.org", &[], "no port"),
            ("CONNECT", "u@a.example.org:443", &[], "account"),
            ("CONNECT", "[::ffff:127.0.0.1]:443", &[], "IPv6"),
            ("CONNECT", "http://a.example.org:443/", &[], "only CONNECT"),
            ("CONNECT", "a.example.org:443", &[("content-length", "5")], "no body"),
            ("CONNECT", "a.example.org:443", &[("host", "b.example.org:443")], "another host"),
            ("GET", "http://a.example.org/", &[("host", "b.example.org")], "another host"),
            ("GET", "http://a.example.org/", &[("host", "a.example.org:8080")], "another host"),
            ("GET", "http://a.example.org:8080/", &[("host", "a.example.org")], "another host"),
            (
                "GET",
                "http://a.example.org/",
                &[("host", "a.example.org"), ("host", "a.example.org")],
                "two hosts",
            ),
            ("GET", "http://a.example.org/", &[("host", "a.example.org/x")], "Host header"),
            ("GET", "http://a.example.org/", &[("host", "x@a.example.org")], "account"),
            ("GET", "http://a.example.org/", &[("proxy-authorization", "Basic eDp5")], "password"),
            (
                "POST",
                "http://a.example.org/",
                &[("content-length", "1"), ("transfer-encoding", "chunked")],
                "two ways",
            ),
            ("POST", "http://a.example.org/", &[("transfer-encoding", "gzip, chunked")], "coded"),
            (
                "POST",
                "http://a.example.org/",
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                "coded",
            ),
        ];
        for (method, uri, headers, why) in refused {
            let told = read(method, uri, headers).unwrap_err();
            assert!(told.contains(why) || told == "no address", "{method} {uri} {headers:?}: {told}");
        }
    }

    proptest! {
        /// Whatever is taken, the whole of it is one plain host and one port.
        #[test]
        fn what_is_taken_is_a_plain_host(text in "[a-zA-Z0-9.:@%_\\[\\]/#?-]{1,40}", said in "[a-z0-9.:@-]{0,20}", tunnel in any::<bool>()) {
            let uri = if tunnel { text } else { format!("http://{text}") };
            let (Ok(uri), Ok(said)) = (uri.parse::<Uri>(), http::HeaderValue::from_str(&said)) else { return Ok(()) };
            let method = if tunnel { Method::CONNECT } else { Method::GET };
            let mut headers = HeaderMap::new();
            let with = super::read(&method, &uri, Version::HTTP_11, &headers);
            if let Ok(target) = &with {
                prop_assert!(!target.host.contains(['@', ':', '/', '%', '[', '#', '?']) && target.port > 0);
                prop_assert!(uri.authority().unwrap().as_str().to_ascii_lowercase().starts_with(&target.host));
            }
            headers.insert(HOST, said.clone());
            if let Ok(target) = super::read(&method, &uri, Version::HTTP_11, &headers) {
                prop_assert!(said.as_bytes().starts_with(target.host.as_bytes()));
                prop_assert_eq!(Ok(target), with);
            }
        }
    }
}
