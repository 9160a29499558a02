//! The lines of an event stream, bounded.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::time::timeout;

use crate::http::broken;
use crate::{ModelError, Settings};

/// Passes a stream on line by line, each ended by one LF, until the stream, one of its lines, or a silence
/// is too long.
///
/// The event parser behind it is given whole lines, one at a time, because it looks again at all it holds
/// with every piece: in pieces as a network cuts them, a long line, or many short ones, would take it time
/// by the square of their size. It also panics at a byte order mark, and does not see an event that ends in
/// a CR until more comes.
pub(crate) fn lines(
    chunks: impl Stream<Item = reqwest::Result<Bytes>>,
    settings: &Settings,
) -> impl Stream<Item = Result<Vec<u8>, ModelError>> {
    let (idle, max_total) = (settings.idle_timeout, settings.max_response);
    let state = (Box::pin(chunks), Splitter::new(settings.max_line), 0usize, false);
    futures::stream::unfold(state, move |(mut chunks, mut splitter, mut total, over)| async move {
        if over {
            return None;
        }
        let item = loop {
            match splitter.next() {
                Ok(Some(line)) => break Ok(line),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            match timeout(idle, chunks.next()).await {
                Err(_) => break Err(ModelError::Timeout { what: "the next part of an answer", after: idle }),
                // A line without its end is none.
                Ok(None) => return None,
                Ok(Some(Err(error))) => break Err(broken(error, format!("after {total} bytes"))),
                Ok(Some(Ok(chunk))) => {
                    total += chunk.len();
                    if total > max_total {
                        break Err(ModelError::TooLarge { what: "its stream", limit: max_total });
                    }
                    splitter.rest = chunk;
                }
            }
        };
        let over = item.is_err();
        Some((item, (chunks, splitter, total, over)))
    })
}

struct Splitter {
    /// What of the last chunk is not looked at yet.
    rest: Bytes,
    /// The line that has begun.
    open: Vec<u8>,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    first: bool,
    max_line: usize,
}

impl Splitter {
    fn new(max_line: usize) -> Self {
        Self { rest: Bytes::new(), open: Vec::new(), after_cr: false, first: true, max_line }
    }

    /// Returns the next whole line, none when another chunk is needed. No byte is looked at twice.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ModelError> {
        if self.after_cr && !self.rest.is_empty() {
            self.after_cr = false;
            if self.rest[0] == b'\n' {
                let _ = self.rest.split_to(1);
            }
        }
        let end = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let more = self.rest.split_to(end.unwrap_or(self.rest.len()));
        if self.open.len() + more.len() > self.max_line {
            return Err(ModelError::TooLarge { what: "one line of its stream", limit: self.max_line });
        }
        self.open.extend_from_slice(&more);
        if end.is_none() {
            return Ok(None);
        }
        self.after_cr = self.rest.split_to(1)[0] == b'\r';
        let mut line = std::mem::take(&mut self.open);
        if std::mem::take(&mut self.first) && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(.."\u{feff}".len());
        }
        if std::str::from_utf8(&line).is_err() {
            return Err(ModelError::Malformed {
                place: "a line of the stream".into(),
                reason: "it is not UTF-8".into(),
            });
        }
        line.push(b'\n');
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]], max_line: usize) -> Result<Vec<String>, String> {
        let mut splitter = Splitter::new(max_line);
        let mut all = Vec::new();
        for chunk in chunks {
            splitter.rest = Bytes::copy_from_slice(chunk);
            while let Some(line) = splitter.next().map_err(|error| error.to_string())? {
                all.push(String::from_utf8(line).expect("it was looked at"));
            }
        }
        Ok(all)
    }

    #[test]
    fn a_line_ends_in_any_of_the_three_ways_wherever_the_chunks_are_cut() {
        let text = "\u{feff}a: ü\r\n\r\nb\n\nc\r\rd\n\rlost".as_bytes();
        let expected = ["a: ü\n", "\n", "b\n", "\n", "c\n", "\n", "d\n", "\n"].map(str::to_owned).to_vec();
        for size in 1..=text.len() {
            assert_eq!(split(&text.chunks(size).collect::<Vec<_>>(), 10), Ok(expected.clone()), "by {size}");
        }
    }

    #[test]
    fn a_line_is_measured_across_chunks() {
        assert!(split(&[b"ab", b"cd\n"], 4).is_ok());
        let error = "the model's answer has more than 4 bytes in one line of its stream";
        assert_eq!(split(&[b"ab", b"cde"], 4), Err(error.into()));
        assert_eq!(split(&[b"abcde\n"], 4), Err(error.into()));
    }

    #[test]
    fn a_line_that_is_not_utf8_is_malformed() {
        assert_eq!(
            split(&[b"a\n\xff\n"], 4),
            Err("the model's answer is malformed at a line of the stream: it is not UTF-8".into())
        );
    }
}
