//! Handing over an attempt's journal while another process writes it, and knowing from it where the attempt stands.

use std::fs::File;
use std::future::Future;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gloaming_api::bowout::Cost;
use gloaming_api::journal::{Event, EventKind};
use gloaming_api::worker::{CHUNK_CAP, Control, ControlError, LeaseKey, Renewal};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

/// How long after an upload that nobody answered it is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What was read of a journal since the last time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Followed {
    /// The number of the first line.
    pub from: u64,
    /// Whole lines, each with its end.
    pub lines: String,
}

/// Reads a journal that grows, whole lines alone, and knows where the attempt stands.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// Bytes that were handed out.
    at: u64,
    /// Lines that were handed out.
    line: u64,
    started: Option<Timestamp>,
    standing: Renewal,
    /// What was read and is not known to be handed over.
    pending: Option<Followed>,
}

impl Follower {
    /// Follows the journal of a path, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        let standing = Renewal { stage: None, doing: String::new(), cost: Cost::default(), grant: None };
        Self { path: path.to_owned(), at: 0, line: 0, started: None, standing, pending: None }
    }

    /// Returns where the attempt stands, as far as it was read.
    pub fn standing(&self) -> &Renewal {
        &self.standing
    }

    /// Returns the next lines, at most [`CHUNK_CAP`] bytes of them unless one line is longer; none where there is no more.
    ///
    /// # Errors
    /// The file cannot be read, or a line is larger than what is taken at once.
    pub fn read_on(&mut self) -> std::io::Result<Option<Followed>> {
        #[expect(clippy::disallowed_methods, reason = "the worker owns the folder its attempt writes to")]
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        file.take(CHUNK_CAP as u64).read_to_end(&mut bytes)?;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            if bytes.len() < CHUNK_CAP {
                return Ok(None);
            }
            return Err(std::io::Error::other(format!(
                "line {} is larger than {CHUNK_CAP} bytes",
                self.line
            )));
        };
        bytes.truncate(end + 1);
        let length = bytes.len() as u64;
        let lines = String::from_utf8(bytes).map_err(std::io::Error::other)?;
        let followed = Followed { from: self.line, lines };
        for line in followed.lines.lines() {
            self.read(line);
            self.line += 1;
        }
        self.at += length;
        Ok(Some(followed))
    }

    /// Takes note of one event. What does not parse says nothing; the control plane checks the chain.
    fn read(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Event>(line) else { return };
        let since = *self.started.get_or_insert(event.at);
        self.standing.cost.wall_s = event.at.duration_since(since).as_secs_f64().max(0.0);
        match event.kind {
            EventKind::AttemptStarted(started) => self.standing.grant = Some(started.grant),
            EventKind::StageStarted { stage } => {
                self.standing.stage = Some(stage);
                self.standing.doing.clear();
            }
            EventKind::StageFinished { detail, .. } => self.standing.doing = line_of(&detail),
            EventKind::ModelCall { cost_usd, .. } => {
                self.standing.cost.usd += cost_usd;
                self.standing.cost.calls += 1;
            }
            EventKind::ToolCall { record, .. } => {
                self.standing.doing = line_of(&format!("calls {}", record.tool))
            }
            EventKind::Job { label, .. } => self.standing.doing = line_of(&format!("ran {label}")),
            EventKind::Published { cost, .. } => self.standing.cost = cost,
            EventKind::BowedOut { bow_out } => self.standing.cost = bow_out.cost,
            _ => {}
        }
    }
}

/// The first line of a text, cut at 200 characters.
fn line_of(text: &str) -> String {
    gloaming_api::bowout::shorten(text.lines().next().unwrap_or_default(), 200)
}

/// Does something with the control plane again and again as long as that is away. What must not go on for ever is dropped
/// by its caller, who keeps the lease.
///
/// # Errors
/// It is refused, or the lease is lost.
pub async fn persist<T, F: Future<Output = Result<T, ControlError>>>(
    mut doing: impl FnMut() -> F,
) -> Result<T, ControlError> {
    loop {
        match doing().await {
            Err(ControlError::Away(why)) => {
                tracing::debug!(why, "the control plane is away");
                sleep_until(Instant::now() + AGAIN).await;
            }
            answer => return answer,
        }
    }
}

impl Follower {
    /// Hands over what there is of the journal. May be dropped at any point and called again.
    ///
    /// # Errors
    /// The lease is lost, or what is handed over is refused.
    pub async fn hand_over<C: Control>(&mut self, control: &C, lease: &LeaseKey) -> Result<(), ControlError> {
        loop {
            if self.pending.is_none() {
                self.pending = self.read_on().map_err(|error| {
                    ControlError::Refused(format!(
                        "the journal {} cannot be read: {error}",
                        self.path.display()
                    ))
                })?;
            }
            let Some(chunk) = &self.pending else { return Ok(()) };
            persist(|| control.events(lease, chunk.from, &chunk.lines)).await?;
            self.pending = None;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a journal is written into the test's own folder")]
mod tests {
    use gloaming_api::bowout::Stage;
    use gloaming_api::journal::Chain;

    use super::*;

    #[test]
    fn whole_lines_are_handed_out_once_and_tell_where_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut follower = Follower::new(&path);
        assert_eq!(follower.read_on().unwrap(), None);

        let mut chain = Chain::default();
        let mut text = String::new();
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        for (second, kind) in [
            (0, EventKind::StageStarted { stage: Stage::Baseline }),
            (
                7,
                EventKind::StageFinished {
                    stage: Stage::Baseline,
                    detail: "12 tests\nhold".into(),
                    wall_ms: 1,
                    output: None,
                },
            ),
        ] {
            let event = chain.append(at(second), kind);
            text.push_str(&serde_json::to_string(&event).unwrap());
            text.push('\n');
        }
        let (first, rest) = text.split_at(text.find('\n').unwrap() + 5);
        std::fs::write(&path, first).unwrap();
        let read = follower.read_on().unwrap().unwrap();
        assert_eq!((read.from, read.lines.lines().count()), (0, 1));
        assert_eq!(follower.standing().stage, Some(Stage::Baseline));
        assert_eq!(follower.read_on().unwrap(), None);
        std::fs::write(&path, [first, rest].concat()).unwrap();
        let read = follower.read_on().unwrap().unwrap();
        assert_eq!((read.from, read.lines.lines().count()), (1, 1));
        assert_eq!(follower.standing().doing, "12 tests");
        assert!((follower.standing().cost.wall_s - 7.0).abs() < f64::EPSILON);
        assert_eq!(follower.read_on().unwrap(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        std::fs::write(&path, vec![b'x'; CHUNK_CAP + 1]).unwrap();
        let error = Follower::new(&path).read_on().unwrap_err();
        assert_eq!(error.to_string(), format!("line 0 is larger than {CHUNK_CAP} bytes"));
    }
}
