//! A server on the machine's loopback that answers what a test says, in the place of a package registry.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

/// What is answered to a request for a path: the body, or none for what is not there.
type Answers = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// Serves until the tests end, and returns the port at `localhost`. The answers are made by whoever is told the port.
pub(crate) fn serve<A>(answers: impl FnOnce(u16) -> A) -> u16
where
    A: Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answers: Answers = Arc::new(answers(port));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            // Who keeps a connection open must not keep the others waiting.
            let answers = answers.clone();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("/");
                let (status, body) = match answers(path) {
                    Some(body) => ("200 OK", body),
                    None => ("404 Not Found", Vec::new()),
                };
                let kind =
                    if body.starts_with(b"{") { "application/json" } else { "application/octet-stream" };
                let kind = if body.starts_with(b"<") { "text/html" } else { kind };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(&body);
            });
        }
    });
    port
}
