//! Reads a job's output to its end, keeping a bounded part of it.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::redact::{Redactor, Stream};

/// Bytes of the end that go into the record.
const TAIL: usize = 4096;

/// What was read of one stream.
pub(crate) struct Captured {
    /// The beginning, up to the limit.
    pub(crate) kept: Vec<u8>,
    /// Bytes beyond the limit.
    pub(crate) dropped: u64,
    end: VecDeque<u8>,
    redacted: Stream,
}

impl Captured {
    /// Returns an empty one that keeps no secret.
    pub(crate) fn new(redactor: &Redactor) -> Self {
        Self { kept: Vec::new(), dropped: 0, end: VecDeque::new(), redacted: redactor.stream() }
    }

    /// Reads until the stream ends. Never stops reading at the limit: a job that is not read blocks.
    ///
    /// The state is the caller's, so that what was read survives when reading is given up.
    pub(crate) async fn fill(&mut self, mut stream: impl AsyncRead + Unpin, limit: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = stream.read(&mut buffer).await?;
            self.take(&buffer[..length], limit);
            if length == 0 {
                return Ok(());
            }
        }
    }

    /// Takes what was read by somebody else; nothing is the stream's end.
    pub(crate) fn take(&mut self, bytes: &[u8], limit: u64) {
        let clean = if bytes.is_empty() { self.redacted.finish() } else { self.redacted.push(bytes) };
        self.push(&clean, usize::try_from(limit).unwrap_or(usize::MAX));
    }

    fn push(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.dropped += (bytes.len() - room) as u64;
        let last = &bytes[bytes.len().saturating_sub(TAIL)..];
        self.end.extend(last);
        let surplus = self.end.len().saturating_sub(TAIL);
        self.end.drain(..surplus);
    }

    /// Returns the end of the whole stream, for people: whole lines where there are some.
    pub(crate) fn tail(&self) -> String {
        let bytes: Vec<u8> = self.end.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        if self.kept.len() as u64 + self.dropped <= TAIL as u64 {
            return text.into_owned();
        }
        match text.split_once('\n') {
            Some((_, whole)) if !whole.is_empty() => whole.to_owned(),
            _ => text.trim_start_matches('\u{fffd}').to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_beginning_and_the_end_are_kept_and_the_rest_is_counted() {
        let text: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
        let mut captured = Captured::new(&Redactor::default());
        captured.fill(text.as_bytes(), 13).await.unwrap();
        assert_eq!(captured.kept, b"line 0\nline 1");
        assert_eq!(captured.dropped, text.len() as u64 - 13);
        let tail = captured.tail();
        assert!(tail.starts_with("line 9") && tail.ends_with("line 9999\n") && tail.len() <= TAIL, "{tail}");

        let mut short = Captured::new(&Redactor::default());
        short.fill(&b"ab\ncd"[..], 100).await.unwrap();
        assert_eq!(
            (short.kept.as_slice(), short.dropped, short.tail().as_str()),
            (&b"ab\ncd"[..], 0, "ab\ncd")
        );
    }
}
