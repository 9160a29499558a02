//! A server that does what its script says, byte by byte, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What one connection does after it has read its request; then it is closed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply(Vec<Act>);

#[derive(Debug, Clone)]
enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again until the client hangs up.
    Flood(Vec<u8>),
    /// Waits until the client hangs up.
    Hang,
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// When it was read.
    pub(crate) at: Instant,
    /// Method, path and version.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Reply {
    /// Sends nothing and waits until the client hangs up.
    pub(crate) fn silence() -> Self {
        Self(vec![Act::Hang])
    }

    /// Closes without a word.
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// Answers with a status, headers (each `name: value`) and a body of known length.
    pub(crate) fn status(status: u16, headers: &[&str], body: &str) -> Self {
        let mut head =
            format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        Self::raw(format!("{head}\r\n{body}"))
    }

    /// Answers 200 with JSON of known length.
    pub(crate) fn json(body: &str) -> Self {
        Self::status(200, &["content-type: application/json"], body)
    }

    /// Answers 200 with an event stream that ends where the connection does.
    pub(crate) fn stream(body: &str) -> Self {
        Self::open("text/event-stream").then(body)
    }

    /// Begins an answer of this type whose end is the connection's.
    pub(crate) fn open(content_type: &str) -> Self {
        Self::raw(format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {content_type}\r\n\r\n"))
    }

    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Act::Send(bytes.into())])
    }

    pub(crate) fn then(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push(Act::Send(bytes.into()));
        self
    }

    pub(crate) fn then_flood(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push(Act::Flood(bytes.into()));
        self
    }

    pub(crate) fn then_hang(mut self) -> Self {
        self.0.push(Act::Hang);
        self
    }
}

/// The server; it ends when the value is dropped.
pub(crate) struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers the first request with the first reply and so on. A request too many is answered with 418,
    /// which no client tries again.
    pub(crate) async fn script(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<Reply> = replies.into_iter().collect();
        Self::answering(move |number, _| {
            replies
                .get(number)
                .cloned()
                .unwrap_or_else(|| Reply::status(418, &[], "the script has no reply for this request"))
        })
        .await
    }

    /// Answers each request, numbered from 0, as the function says.
    pub(crate) async fn answering(reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = watch::channel(0);
        let (all, reply) = (Arc::clone(&seen), Arc::new(reply));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (all, reply, end) = (Arc::clone(&all), Arc::clone(&reply), end.clone());
                connections.spawn(async move {
                    // A client may hang up at any time; that is what some of the tests are about.
                    let _ = serve(stream, &all, &*reply).await;
                    end.send_modify(|count| *count += 1);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { url, seen, ended, task }
    }

    /// The address, without a path.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics while it holds this").clone()
    }

    /// Waits until so many connections have ended: for those that hang or flood, that the client hung up.
    pub(crate) async fn ended(&self, count: usize) {
        let mut ended = self.ended.clone();
        tokio::time::timeout(std::time::Duration::from_secs(20), ended.wait_for(|ended| *ended >= count))
            .await
            .expect("the client hangs up")
            .expect("the server lives");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    all: &Mutex<Vec<Seen>>,
    reply: &(dyn Fn(usize, &Seen) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let seen = read_request(&mut stream).await?;
    let number = {
        let mut all = all.lock().expect("no test panics while it holds this");
        all.push(seen.clone());
        all.len() - 1
    };
    for act in reply(number, &seen).0 {
        match act {
            Act::Send(bytes) => stream.write_all(&bytes).await?,
            Act::Flood(bytes) => loop {
                stream.write_all(&bytes).await?;
                // A slow trickle is a flood of small pieces; without this they would arrive as one.
                tokio::task::yield_now().await;
            },
            Act::Hang => while stream.read(&mut [0; 64]).await? > 0 {},
        }
    }
    stream.shutdown().await?;
    // Closing with bytes unread would reset the connection and could take the reply with it.
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

async fn read_request(stream: &mut TcpStream) -> std::io::Result<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let line = lines.next().unwrap_or("").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<usize>().ok())
        .unwrap_or(0);
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let body = serde_json::from_slice(&bytes[head + 4..]).unwrap_or(Value::Null);
    Ok(Seen { at: Instant::now(), line, headers, body })
}
