//! Answers as they are written: in pieces, each taken in its time, and not more of large ones at once than there is room for.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::answer::Body;
use crate::wire::InFlight;

/// How much of an answer is handed over at once, bytes: what a client has to take in the time it has for that.
const PIECE: usize = 16 << 10;

/// An answer's body, which holds on to its request's place and room until it is written or given up.
pub(crate) struct Guarded {
    body: Body,
    /// Of what the body told last: what is still to be handed over.
    rest: Bytes,
    in_flight: InFlight,
    _room: Option<Room>,
}

impl Guarded {
    pub(crate) fn new(body: Body, in_flight: InFlight, room: Option<Room>) -> Self {
        in_flight.offers();
        Self { body, rest: Bytes::new(), in_flight, _room: room }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = io::Error;

    /// It is asked for a frame when the client took the one before: until then the time runs.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let told = Pin::new(&mut this.body).poll_frame(cx);
            if told.is_pending() {
                this.in_flight.has_nothing();
            }
            match ready!(told).map(|told| told.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        this.in_flight.offers();
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Room for large answers: they stay in memory until the client has taken them.
#[derive(Debug)]
pub(crate) struct Rooms {
    most: usize,
    taken: Mutex<HashMap<String, usize>>,
}

impl Rooms {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for an answer; none where there is none, or where one client has a quarter of it already.
    pub(crate) fn take(self: &Arc<Self>, client: &str, bytes: usize) -> Option<Room> {
        let mut taken = self.taken();
        let of_all: usize = taken.values().sum();
        let of_one = taken.get(client).copied().unwrap_or(0);
        let fits = of_all + bytes <= self.most && (of_one == 0 || of_one + bytes <= self.most / 4);
        fits.then(|| {
            *taken.entry(client.to_owned()).or_default() += bytes;
            Room { _held: Arc::new(Held { rooms: Arc::clone(self), client: client.to_owned(), bytes }) }
        })
    }
}

/// Room that an answer takes until the last of this is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    _held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    rooms: Arc<Rooms>,
    client: String,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.rooms.taken();
        if let Some(of_one) = taken.get_mut(&self.client) {
            *of_one -= self.bytes;
            if *of_one == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_a_quarter_of_the_room_and_the_others_the_rest() {
        let rooms = Rooms::new(100);
        let first = rooms.take("a", 60).expect("there is room for one, however large");
        assert!(rooms.take("a", 1).is_none());
        assert!(rooms.take("b", 41).is_none());
        let small: Vec<Room> = (0..4).map(|_| rooms.take("b", 6).expect("a quarter")).collect();
        assert!(rooms.take("b", 6).is_none());
        drop((first, small));
        assert!(rooms.take("b", 100).is_some());
        assert!(rooms.taken().is_empty());
    }
}
