//! What stands between the processes: every call passes here, is told by a name that is the same in every run, and goes wrong
//! where a test says so.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::plant::{Plant, now};

/// The longest that anything is waited for.
pub(crate) const LONGEST: Duration = Duration::from_secs(150);

/// Between whom a call passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// From the code host to the server.
    Hook,
    /// From the worker to the server.
    Worker,
    /// From the server to the code host.
    Host,
}

/// Whom a call takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kill {
    Server,
    Worker,
    Both,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// Before it is handed on.
    KillBefore(Kill),
    /// When it was done, and before that is told.
    KillAfter(Kill),
    /// Not handed on, and answered 500.
    Refused,
    /// Done, and answered 502.
    BadGateway,
    /// Done, and never answered.
    Cut,
    /// Not handed on, and answered 429, to be asked again in a second.
    TooMany,
    /// Not handed on, and answered 403 as GitHub's secondary limit is, to be asked again in a second.
    Secondary,
}

impl How {
    fn is_before(self) -> bool {
        matches!(self, Self::KillBefore(_) | Self::Refused | Self::TooMany | Self::Secondary)
    }

    fn answer(self) -> Option<String> {
        let (status, header, body) = match self {
            Self::Refused => (500, "", "oh"),
            Self::BadGateway => (502, "", "<html>"),
            Self::TooMany => (429, "retry-after: 1\r\n", "{}"),
            Self::Secondary => (
                403,
                "retry-after: 1\r\n",
                "{\"message\": \"You have exceeded a secondary rate limit. Wait\"}",
            ),
            Self::Cut | Self::KillBefore(_) | Self::KillAfter(_) => return None,
        };
        let length = body.len();
        Some(format!(
            "HTTP/1.1 {status} Oh\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }
}

/// Which call: its shape, and which of that shape it is, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) lane: Lane,
    pub(crate) shape: String,
    pub(crate) number: usize,
}

/// A call that passed.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) key: Key,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// The answer's status; none where there was none.
    pub(crate) status: Option<u16>,
    /// When it was answered, seconds.
    pub(crate) at: f64,
}

/// A delivery of the code host's, for it to tell of.
#[derive(Debug, Clone)]
struct Delivery {
    guid: String,
    request: Vec<u8>,
    status: u16,
    at: String,
}

#[derive(Default)]
struct State {
    counts: BTreeMap<(Lane, String), usize>,
    passed: Vec<Passed>,
    armed: Option<(Key, How)>,
    /// When the armed call went wrong, seconds.
    struck: Option<f64>,
    deliveries: Vec<Delivery>,
    changes: u64,
}

/// What all lanes have in common.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run in which a call goes wrong.
    pub(crate) fn begin(&self, armed: Option<(Key, How)>) {
        let deliveries = std::mem::take(&mut self.state().deliveries);
        *self.state() = State { armed, deliveries, ..State::default() };
    }

    /// Lets everything pass from now on.
    pub(crate) fn disarm(&self) {
        self.state().armed = None;
    }

    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.state().passed.clone()
    }

    pub(crate) fn struck(&self) -> Option<f64> {
        self.state().struck
    }

    /// Waits until something holds; it is looked at whenever a call has passed, and a few times a second.
    ///
    /// # Panics
    /// It does not hold within [`LONGEST`].
    pub(crate) fn until<T>(&self, what: &str, holds: impl Fn() -> Option<T>) -> T {
        self.until_good(what, || holds().ok_or_else(|| "it does not hold".to_owned()))
    }

    /// The same, of something that says what is wrong as long as it does not hold.
    pub(crate) fn until_good<T>(&self, what: &str, holds: impl Fn() -> Result<T, String>) -> T {
        let since = now();
        loop {
            let seen = self.state().changes;
            let wrong = match holds() {
                Ok(value) => return value,
                Err(wrong) => wrong,
            };
            assert!(now() - since < LONGEST.as_secs_f64(), "not in {LONGEST:?}: {what}: {wrong}");
            let state = self.state();
            let waited = self
                .changed
                .wait_timeout_while(state, Duration::from_millis(300), |state| state.changes == seen);
            drop(waited);
        }
    }

    fn enter(&self, lane: Lane, method: &str, path: &str) -> (Key, Option<How>) {
        let mut state = self.state();
        let shape = format!("{method} {}", shape(path));
        let number = state.counts.entry((lane, shape.clone())).or_default();
        *number += 1;
        let key = Key { lane, shape, number: *number };
        let how = state.armed.take_if(|(armed, _)| *armed == key).map(|(_, how)| how);
        (key, how)
    }

    fn strike(&self) {
        self.state().struck = Some(now());
    }

    fn leave(&self, passed: Passed) {
        let mut state = self.state();
        state.passed.push(passed);
        state.changes += 1;
        drop(state);
        self.changed.notify_all();
    }
}

/// A path without what differs from run to run.
fn shape(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let part = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let hash = part.len() == 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        match part {
            _ if part.starts_with("t-") => "{task}".to_owned(),
            _ if part.starts_with("sha256") => "{digest}".to_owned(),
            _ if digits => "{n}".to_owned(),
            _ if hash => "{commit}".to_owned(),
            _ => part.to_owned(),
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// A request or an answer, as it was sent: head and body.
struct Message {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Message {
    /// Reads one: a request's body by its length, an answer's to its end.
    fn read(stream: &TcpStream, to_its_end: bool) -> std::io::Result<Self> {
        let mut from = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let mut message = Self { head, body: Vec::new() };
        if to_its_end {
            from.read_to_end(&mut message.body)?;
        } else {
            let length = message.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            message.body.resize(length, 0);
            from.read_exact(&mut message.body)?;
        }
        Ok(message)
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        let named = |line: &'_ String| {
            line.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        };
        self.head
            .iter()
            .skip(1)
            .find(|line| named(line))
            .map(|line| line.split_once(':').expect("it has").1.trim())
    }

    /// Its bytes, for a connection that ends with it.
    fn bytes(&self) -> Vec<u8> {
        let keeps = |line: &&String| !line.to_ascii_lowercase().starts_with("connection:");
        let mut text: String = self.head.iter().filter(keeps).flat_map(|line| [line, "\r\n"]).collect();
        text.push_str("connection: close\r\n\r\n");
        [text.as_bytes(), &self.body].concat()
    }

    fn status(&self) -> Option<u16> {
        self.head.first()?.split(' ').nth(1)?.parse().ok()
    }
}

/// Sends a request to a port of this machine's, and reads the whole answer.
fn exchanged(port: u16, request: &[u8]) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.write_all(request)?;
    let answer = Message::read(&stream, true)?;
    let whole = answer.header("content-length").and_then(|text| text.parse::<usize>().ok());
    match whole {
        Some(length) if answer.body.len() < length => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

/// Asks somebody on this machine; returns status and body, none where nobody answers.
pub(crate) fn ask(
    port: u16,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> Option<(u16, String)> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = exchanged(port, request.as_bytes()).ok()?;
    let mut text = answer.body.clone();
    if answer.header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
        text = joined(&answer.body)?;
    }
    Some((answer.status()?, String::from_utf8_lossy(&text).into_owned()))
}

/// Puts a chunked body together; none where its end is missing.
fn joined(mut from: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = from.windows(2).position(|pair| pair == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&from[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend(from.get(end + 2..end + 2 + size)?);
        from = from.get(end + 4 + size..)?;
    }
}

/// Stands on a lane until the tests end. Returns its port.
pub(crate) fn stand(plant: &Arc<Plant>, lane: Lane, listener: TcpListener) {
    let plant = Arc::downgrade(plant);
    std::thread::spawn(move || {
        while let (Ok((stream, _)), Some(plant)) = (listener.accept(), plant.upgrade()) {
            std::thread::spawn(move || pass(&plant, lane, stream));
        }
    });
}

/// Hands one call on.
fn pass(plant: &Plant, lane: Lane, mut stream: TcpStream) {
    let Ok(request) = Message::read(&stream, false) else { return };
    let line: Vec<&str> = request.head[0].split(' ').collect();
    let (method, path) = (line[0], line[1]);
    let gate = &plant.gate;
    let (key, how) = gate.enter(lane, method, path);
    let mut done = Passed { key, path: path.to_owned(), body: request.body.clone(), status: None, at: 0.0 };
    let answer = match how {
        Some(how) if how.is_before() => Err(how),
        _ if lane == Lane::Host && path.starts_with("/app/hook/deliveries") => {
            Ok(gate.missed(plant, method, path))
        }
        _ => {
            let answer = plant.port(lane).and_then(|port| exchanged(port, &request.bytes()).ok());
            done.status = answer.as_ref().and_then(Message::status);
            match how {
                Some(how) => Err(how),
                None => Ok(answer.map(|answer| answer.bytes())),
            }
        }
    };
    if lane == Lane::Hook {
        let status = if answer.is_ok() { done.status.unwrap_or(502) } else { 502 };
        let guid = request.header("x-github-delivery").unwrap_or_default().to_owned();
        let at = jiff::Timestamp::now().to_string();
        gate.state().deliveries.push(Delivery { guid, request: request.bytes(), status, at });
    }
    done.at = now();
    match answer {
        Ok(answer) => {
            let _ = stream.write_all(&answer.unwrap_or_default());
        }
        Err(how) => {
            gate.strike();
            match (how, how.answer()) {
                (_, Some(text)) => {
                    let _ = stream.write_all(text.as_bytes());
                }
                (How::KillBefore(kill) | How::KillAfter(kill), None) => {
                    plant.kill(kill);
                    drop(stream);
                    plant.start_again(kill);
                }
                (_, None) => drop(stream),
            }
        }
    }
    gate.leave(done);
}

impl Gate {
    /// Answers for the code host what it was not told had arrived, and sends one again: the one in memory has neither call.
    fn missed(&self, plant: &Plant, method: &str, path: &str) -> Option<Vec<u8>> {
        let said = |status: &str, body: &str| {
            let length = body.len();
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
                .into_bytes()
        };
        if method == "GET" {
            let told: Vec<Value> = (1..)
                .zip(&self.state().deliveries)
                .map(|(id, one)| json!({"id": id, "guid": one.guid, "delivered_at": one.at, "status_code": one.status}))
                .collect();
            return Some(said("200 OK", &Value::Array(told).to_string()));
        }
        let number: usize = path.split('/').nth(4)?.parse().ok()?;
        let again = self.state().deliveries.get(number.checked_sub(1)?)?.clone();
        let answer = plant.port(Lane::Hook).and_then(|port| exchanged(port, &again.request).ok());
        let status = answer.and_then(|answer| answer.status()).unwrap_or(502);
        self.state().deliveries.push(Delivery { status, ..again });
        Some(said("202 Accepted", "{}"))
    }
}
