//! The journal on disk: each event is one line, written and flushed before the work goes on. And what it holds of an
//! attempt that is gone on with or replayed.
#![expect(
    clippy::disallowed_methods,
    reason = "the journal's file is the operator's, and its times are the clock's"
)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gloaming_api::journal::{Chain, ChainError, Event, EventKind, parse};
use gloaming_api::{Digest, Profile, Stage};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::machine::Provisioned;
use crate::tape::{Tape, essence, told};

/// How often a lock that is waited for is tried.
const TRY: Duration = Duration::from_millis(50);

/// The folder beside a journal that holds what stages hand on, each file named by its digest.
pub const ARTIFACTS: &str = "artifacts";

/// Why an event could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be written, or what lies beside it not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The record says something else.
    #[error("event {seq} of the record: {reason}")]
    Diverged {
        /// Its number.
        seq: u64,
        /// What was recorded and what came instead.
        reason: String,
    },
}

impl From<RecordError> for io::Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Io(error) => error,
            diverged @ RecordError::Diverged { .. } => Self::new(io::ErrorKind::InvalidData, diverged),
        }
    }
}

/// An attempt's journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    chain: Chain,
    tape: Tape,
    /// Whether what is on the tape is to be written too: that of a replay is, since it makes a file of its own.
    copies: bool,
    /// What is written when the tape has come to its end.
    resumed: Option<(Stage, u64)>,
    /// The hash of the first event.
    first: Option<Digest>,
    /// The time of the first event and of the last, and how long nobody worked in between.
    clock: Option<(Timestamp, Timestamp)>,
    idle: Duration,
    recorded_time: Duration,
    /// Where the artifacts are that the tape names; beside the journal, but for a replay.
    artifacts: PathBuf,
}

impl Journal {
    fn new(file: File, path: &Path) -> Self {
        Self {
            file,
            path: path.to_owned(),
            chain: Chain::default(),
            tape: Tape::default(),
            copies: false,
            resumed: None,
            first: None,
            clock: None,
            idle: Duration::ZERO,
            recorded_time: Duration::ZERO,
            artifacts: path.with_file_name(ARTIFACTS),
        }
    }

    /// Begins a journal; fails when the file exists, so that no story is overwritten.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        // Where the file system knows no locks, nobody is kept from going on with what is at work.
        let _ = file.lock();
        Ok(Self::new(file, path))
    }

    /// Goes on with a journal that is written now and then, or begins it. Whoever else wants to waits until the value
    /// is dropped.
    pub fn resume(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut journal = Self::new(file, path);
        match parse(&text) {
            Ok(events) => {
                journal.chain = Chain::after(events.last().expect("a parsed journal is not empty"));
            }
            Err(ChainError::Empty) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        Ok(journal)
    }

    /// Goes on with the journal of an attempt whose process died: what it holds comes out again before anything new is
    /// written. Also returns its events. Blocks for as long as `patience` where the journal is locked: a process that is killed
    /// while it starts another leaves its lock with that one, which lets go of it once it is the program it becomes.
    ///
    /// # Errors
    /// `WouldBlock` where a process still works on it, `InvalidData` where it is not whole: but for a last line that was
    /// cut off, which is dropped.
    pub fn reopen(path: &Path, patience: Duration) -> io::Result<(Self, Vec<Event>)> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let end = Instant::now() + patience;
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            if Instant::now() >= end {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            std::thread::park_timeout(TRY);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let events =
            parse(&text[..whole]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        let mut journal = Self::new(file, path);
        let (tape, stage, dead) = Tape::of_broken(events.clone());
        journal.tape = tape;
        journal.resumed = Some((stage, dead));
        let worked = |events: &[Event]| {
            let (first, last) = (events.first()?.at, events.last()?.at);
            let idle = events.iter().map(|event| match event.kind {
                EventKind::Resumed { idle_ms, .. } => Duration::from_millis(idle_ms),
                _ => Duration::ZERO,
            });
            Some(Duration::try_from(last.duration_since(first)).ok()?.saturating_sub(idle.sum()))
        };
        journal.recorded_time = worked(&events).unwrap_or_default();
        Ok((journal, events))
    }

    /// Begins the journal of a replay: the same events have to come out, and come with the record's times.
    pub fn replaying(path: &Path, events: Vec<Event>, artifacts: &Path) -> io::Result<Self> {
        let mut journal = Self::create(path)?;
        journal.tape = Tape::of(events);
        journal.copies = true;
        journal.artifacts = artifacts.to_owned();
        Ok(journal)
    }

    /// Appends one event and flushes it to the disk; one that the record holds is compared with it instead.
    pub fn append(&mut self, kind: EventKind) -> Result<(), RecordError> {
        self.pass_dead()?;
        let Some(expected) = self.tape.peek() else {
            self.go_on()?;
            return Ok(self.write_new(kind)?);
        };
        if essence(&expected.kind) != essence(&kind) {
            let reason = format!("recorded is {}; what came is {}", told(&expected.kind), told(&kind));
            return Err(RecordError::Diverged { seq: expected.seq, reason });
        }
        self.keep_next()
    }

    /// Returns the next event of the record; none where what happens is new.
    pub fn recorded(&mut self) -> Result<Option<&EventKind>, RecordError> {
        self.pass_dead()?;
        Ok(self.tape.peek().map(|event| &event.kind))
    }

    /// Whether nothing new may come: of a replay, all is recorded.
    pub fn is_replay(&self) -> bool {
        self.copies
    }

    /// Takes the next event of the record as it is.
    pub fn keep_next(&mut self) -> Result<(), RecordError> {
        self.pass_dead()?;
        match self.tape.take() {
            Some(event) => self.keep(&event),
            None => Ok(()),
        }
    }

    /// Returns how the stage that was just begun ended, where the record has that; its events up to there are taken as
    /// they are.
    pub fn ended(&mut self, stage: Stage) -> Result<Option<EventKind>, RecordError> {
        self.pass_dead()?;
        let Some(end) = self.tape.end_of(stage).cloned() else { return Ok(None) };
        while self.recorded()?.is_some_and(|next| *next != end) {
            self.keep_next()?;
        }
        Ok(Some(end))
    }

    /// Returns how long the attempt was worked on, up to its last event: the same in a replay.
    pub fn elapsed(&self) -> Duration {
        let Some((first, last)) = self.clock else { return Duration::ZERO };
        let between = Duration::try_from(last.duration_since(first)).unwrap_or_default();
        between.saturating_sub(self.idle)
    }

    /// Returns how long the attempt that is gone on with was worked on, as far as its record goes.
    pub fn recorded_time(&self) -> Duration {
        self.recorded_time
    }

    /// Returns the end of the chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Returns the time by the clock that events are recorded with.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Returns when the last event was recorded: the same for whoever goes on from there.
    pub fn last_time(&self) -> Option<Timestamp> {
        self.clock.map(|(_, last)| last)
    }

    /// Returns the hash of the first event, which names the attempt's own.
    pub fn first(&self) -> Option<&Digest> {
        self.first.as_ref()
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps what a stage hands on; it is on the disk when this returns.
    pub fn put(&self, value: &impl Serialize) -> io::Result<Digest> {
        let text = serde_json::to_vec(value)?;
        let digest = Digest::of(&text);
        let folder = self.path.with_file_name(ARTIFACTS);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(name(&digest));
        if !file.exists() {
            let mut whole = tempfile::NamedTempFile::new_in(&folder)?;
            whole.write_all(&text)?;
            whole.as_file().sync_data()?;
            whole.persist(file)?;
        }
        Ok(digest)
    }

    /// Returns what a stage of the record handed on.
    ///
    /// # Errors
    /// It is not there, or is another one than was recorded.
    pub fn get<T: DeserializeOwned>(&self, digest: &Digest) -> io::Result<T> {
        get(&self.artifacts, digest)
    }

    /// Takes events that mean nothing any more.
    fn pass_dead(&mut self) -> Result<(), RecordError> {
        for event in self.tape.dead() {
            self.keep(&event)?;
        }
        Ok(())
    }

    /// Says that a new process goes on, before its first event.
    fn go_on(&mut self) -> io::Result<()> {
        let Some((stage, dead)) = self.resumed.take() else { return Ok(()) };
        let last = self.clock.map_or_else(Timestamp::now, |(_, last)| last);
        let idle = Duration::try_from(Timestamp::now().duration_since(last)).unwrap_or_default();
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.write_new(EventKind::Resumed { stage, dead, idle_ms })
    }

    fn write_new(&mut self, kind: EventKind) -> io::Result<()> {
        let event = self.chain.append(Timestamp::now(), kind);
        self.see(&event);
        self.write(&event)
    }

    /// Takes an event of the record.
    fn keep(&mut self, event: &Event) -> Result<(), RecordError> {
        if event.prev != *self.chain.head() {
            let reason = "it does not follow the event before it".to_owned();
            return Err(RecordError::Diverged { seq: event.seq, reason });
        }
        self.chain = Chain::after(event);
        self.see(event);
        if self.copies {
            self.write(event)?;
        }
        Ok(())
    }

    fn see(&mut self, event: &Event) {
        self.first.get_or_insert_with(|| event.hash.clone());
        let first = self.clock.map_or(event.at, |(first, _)| first);
        if let EventKind::Resumed { idle_ms, .. } = event.kind {
            self.idle += Duration::from_millis(idle_ms);
        }
        self.clock = Some((first, event.at));
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_string(event).expect("events serialise: string keys, finite numbers");
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }
}

fn get<T: DeserializeOwned>(artifacts: &Path, digest: &Digest) -> io::Result<T> {
    let path = artifacts.join(name(digest));
    let wrong =
        |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let text = std::fs::read(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    if Digest::of(&text) != *digest {
        return Err(wrong("its content is not what was recorded".to_owned()));
    }
    serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
}

/// Returns what an attempt found to be known of its repository, from its journal at `path` and what lies beside that; none
/// where it did not come so far.
///
/// # Errors
/// The journal, or what it names, cannot be read.
pub fn profile_of(path: &Path) -> io::Result<Option<Profile>> {
    let text = std::fs::read_to_string(path)?;
    let events =
        parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    let provisioned = events.into_iter().find_map(|event| match event.kind {
        EventKind::StageFinished { stage: Stage::Provision, output, .. } => output,
        _ => None,
    });
    let handed: Option<Provisioned> =
        provisioned.map(|output| get(&path.with_file_name(ARTIFACTS), &output)).transpose()?;
    Ok(handed.map(|handed| handed.profile))
}

fn name(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(stage: Stage) -> EventKind {
        EventKind::StageStarted { stage }
    }

    fn finished(stage: Stage, detail: &str, wall_ms: u64) -> EventKind {
        EventKind::StageFinished { stage, detail: detail.into(), wall_ms, output: None }
    }

    fn told(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let events = parse(&text).unwrap();
        events
            .iter()
            .map(|event| match &event.kind {
                EventKind::StageStarted { stage } => format!("{} begins", stage.as_str()),
                EventKind::StageFinished { stage, .. } => format!("{} ends", stage.as_str()),
                EventKind::Resumed { stage, dead, .. } => {
                    format!("resumed in {}, {dead} dead", stage.as_str())
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn what_is_recorded_comes_out_again_before_anything_new_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        for kind in [
            stage(Stage::Intake),
            finished(Stage::Intake, "a", 5),
            stage(Stage::Baseline),
            EventKind::Failed { error: "of the stage that is begun again".into() },
        ] {
            journal.append(kind).unwrap();
        }
        // One at a time.
        assert_eq!(Journal::reopen(&path, Duration::ZERO).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(journal);
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"seq\": 4, \"at")
            .unwrap();

        let (mut journal, events) = Journal::reopen(&path, Duration::ZERO).unwrap();
        assert_eq!(events.len(), 4);
        journal.append(stage(Stage::Intake)).unwrap();
        // How long it took may differ; what it found may not.
        let other = journal.append(finished(Stage::Intake, "b", 5)).unwrap_err().to_string();
        assert!(other.starts_with("event 1 of the record: recorded is stage_finished"), "{other}");
        journal.append(finished(Stage::Intake, "a", 9)).unwrap();
        assert_eq!(journal.recorded().unwrap(), None);
        journal.append(stage(Stage::Baseline)).unwrap();
        drop(journal);
        let story = [
            "intake begins",
            "intake ends",
            "baseline begins",
            "Failed { error: \"of the stage that is begun again\" }",
            "resumed in baseline, 2 dead",
            "baseline begins",
        ];
        assert_eq!(told(&path), story);

        // A replay writes the same file, byte for byte, and wants the same events.
        let text = std::fs::read_to_string(&path).unwrap();
        let again = folder.path().join("again.jsonl");
        let mut replay =
            Journal::replaying(&again, parse(&text).unwrap(), &folder.path().join(ARTIFACTS)).unwrap();
        for kind in [stage(Stage::Intake), finished(Stage::Intake, "a", 0), stage(Stage::Baseline)] {
            replay.append(kind).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&again).unwrap(), text);
    }

    #[test]
    fn a_stage_in_which_each_event_counts_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let asked = || EventKind::ModelAsked {
            role: gloaming_api::journal::AgentRole::Coder,
            request: Digest::of("q"),
            reserved_usd: 0.5,
            summary: false,
        };
        let mut journal = Journal::create(&path).unwrap();
        for kind in [stage(Stage::Code), asked(), EventKind::Cancelled] {
            journal.append(kind).unwrap();
        }
        drop(journal);
        let (mut journal, _) = Journal::reopen(&path, Duration::ZERO).unwrap();
        journal.append(stage(Stage::Code)).unwrap();
        assert_eq!(journal.recorded().unwrap(), Some(&asked()));
        journal.append(asked()).unwrap();
        // That somebody stopped it counts no more.
        assert_eq!(journal.recorded().unwrap(), None);
    }

    #[test]
    fn what_a_stage_hands_on_is_what_was_kept_or_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(&folder.path().join("journal.jsonl")).unwrap();
        let digest = journal.put(&vec![1, 2, 3]).unwrap();
        assert_eq!(journal.put(&vec![1, 2, 3]).unwrap(), digest);
        assert_eq!(journal.get::<Vec<u32>>(&digest).unwrap(), [1, 2, 3]);
        let file = folder.path().join(ARTIFACTS).join(name(&digest));
        std::fs::write(&file, "[1,2,4]").unwrap();
        let changed = journal.get::<Vec<u32>>(&digest).unwrap_err().to_string();
        assert!(changed.ends_with("its content is not what was recorded"), "{changed}");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(journal.get::<Vec<u32>>(&digest).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
