//! A coordinator's answer as it comes: head, pieces of the body, end or reset.

use crate::rest::{Rest, Version};
use meshcache_protocol::Field;
use meshcache_proxy::http::peer_response::{PeerFailure, PeerHead, PeerResponse, UnmarkedHead};
use std::cell::{Cell, RefCell};

/// A body up to this length is held until it is whole, since it mostly comes with its head: then it is one reply, and
/// another peer can be asked should it break off.
const MOST_HELD: usize = 64 << 10;
/// The most of a body that says why there is no answer.
const MOST_OF_FAILURE: usize = 4096;

/// The number of a callout that is being sent.
pub(crate) const STARTING: u64 = u64::MAX;

/// A callout in flight.
pub(crate) struct Call {
    pub(crate) token: u32,
    /// Envoy's number.
    pub(crate) id: Cell<u64>,
    pub(crate) answer: RefCell<Answer>,
    /// The client gets it as it comes.
    pub(crate) streams: Cell<bool>,
    /// Which version it is, if its rest may come from another coordinator.
    pub(crate) version: RefCell<Option<Version>>,
    /// It is for the rest of an answer that another coordinator began.
    pub(crate) rest: RefCell<Option<Box<RestOf>>>,
}

/// A question for the rest of an answer.
pub(crate) struct RestOf {
    pub(crate) rest: Rest,
    /// The header map, to ask once more.
    pub(crate) map: Vec<u8>,
}

impl Call {
    pub(crate) fn new(token: u32, answer: Answer, rest: Option<Box<RestOf>>) -> Self {
        Self {
            token,
            id: Cell::new(STARTING),
            answer: RefCell::new(answer),
            streams: Cell::new(false),
            version: RefCell::default(),
            rest: RefCell::new(rest),
        }
    }
}

/// What has come of an answer.
#[derive(Default)]
pub struct Answer {
    to_head: bool,
    /// The most of a body of which a copy is kept on its way to the client.
    most_copied: usize,
    /// The bytes of the body that have gone to the client already.
    passed: usize,
    state: State,
}

#[derive(Default)]
enum State {
    /// Nothing.
    #[default]
    Empty,
    /// A coordinator's head, and the body so far.
    Marked(Box<PeerHead>, Vec<u8>),
    /// A coordinator's head and body, of which no copy is kept.
    Passed(Option<usize>),
    /// A head of Envoy's own, or of another server, and the beginning of the body.
    Unmarked(UnmarkedHead, Vec<u8>),
}

impl Answer {
    /// An answer to a request that is a HEAD or not. `most_copied`: the most of a body of which a copy is kept on its way
    /// to the client, for the hot cache and for others that wait.
    pub fn new(to_head: bool, most_copied: usize) -> Self {
        Self { to_head, most_copied, ..Self::default() }
    }

    /// Takes the head.
    pub fn head<'a>(&mut self, fields: impl Iterator<Item = Field<'a>> + Clone) {
        self.state = match PeerHead::of(fields) {
            Ok(head) => {
                let body = Vec::with_capacity(head.length().filter(|_| !self.to_head).unwrap_or(0).min(1 << 20));
                State::Marked(Box::new(head), body)
            }
            Err(head) => State::Unmarked(head, Vec::new()),
        };
    }

    /// A coordinator's head, while the body is held or copied.
    pub fn peer_head(&self) -> Option<&PeerHead> {
        match &self.state {
            State::Marked(head, _) => Some(head),
            _ => None,
        }
    }

    /// Returns whether the client is to get it at once, piece by piece.
    pub fn streams_at_once(&self) -> bool {
        self.peer_head().is_some_and(|head| head.length().is_none_or(|length| length > MOST_HELD)) && !self.to_head
    }

    /// The body so far, if it is held or copied.
    pub fn body(&self) -> &[u8] {
        match &self.state {
            State::Marked(_, body) => body,
            _ => &[],
        }
    }

    /// Keeps no copy from now on.
    pub fn forget(&mut self) {
        if let Some(head) = self.peer_head() {
            self.state = State::Passed(head.length());
        }
    }

    /// Notes that so much of the body has gone to the client.
    pub fn passes(&mut self, bytes: usize) {
        self.passed = self.passed.saturating_add(bytes);
    }

    /// Returns how much of the body has gone to the client.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// Takes a piece of the body that goes to the client at once.
    pub fn passing_piece(&mut self, piece: &[u8]) {
        self.piece(piece);
        self.passes(piece.len());
    }

    /// Returns whether all of a body has gone to the client that was passed on as it came.
    pub fn is_whole(&self) -> bool {
        let length = match &self.state {
            State::Marked(head, _) => head.length(),
            State::Passed(length) => *length,
            State::Empty | State::Unmarked(..) => return false,
        };
        length.is_none_or(|length| length == self.passed)
    }

    /// Returns whether a coordinator's body has come, or comes, of which no copy is kept.
    pub fn is_forgotten(&self) -> bool {
        matches!(self.state, State::Passed(_))
    }

    /// Takes a piece of the body. A long one that nobody gets, since another coordinator was faster, is not kept either.
    pub fn piece(&mut self, piece: &[u8]) {
        if self.body().len().saturating_add(piece.len()) > self.most_copied.max(MOST_HELD) {
            self.forget();
        }
        match &mut self.state {
            State::Empty | State::Passed(_) => {}
            State::Marked(_, body) => body.extend_from_slice(piece),
            State::Unmarked(_, body) => {
                let room = MOST_OF_FAILURE.saturating_sub(body.len()).min(piece.len());
                body.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
        }
    }

    /// Returns the whole answer, if it was held or copied.
    pub fn end(self) -> Result<PeerResponse, PeerFailure> {
        match self.state {
            State::Empty => Err(PeerFailure::Peer),
            State::Passed(_) => Err(PeerFailure::Stream),
            State::Marked(head, body) => head.complete(body, self.to_head),
            State::Unmarked(head, body) => Err(head.failure(&body)),
        }
    }

    /// Returns why there is no whole answer, when it was cut off.
    pub fn reset(self) -> PeerFailure {
        match self.state {
            State::Empty => PeerFailure::Peer,
            State::Marked(..) | State::Passed(_) => PeerFailure::Stream,
            State::Unmarked(head, body) => head.failure(&body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [Field<'static>; 3] =
        [(b":status", b"200"), (b"meshcache-outcome", b"hit; ttl=5; age=1; shared"), (b"content-length", b"4")];

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let mut answer = Answer::new(false, 4 << 20);
        answer.head(HEAD.into_iter());
        answer.piece(b"bo");
        answer.piece(b"dy");
        assert_eq!(answer.end().map(|response| (response.status, response.body.to_vec())), Ok((200, b"body".to_vec())));
        let mut half = Answer::new(false, 4 << 20);
        half.head(HEAD.into_iter());
        half.piece(b"bo");
        assert_eq!(half.end().err(), Some(PeerFailure::Stream));
    }

    #[test]
    fn a_long_body_goes_to_the_client_as_it_comes_and_a_copy_is_kept_up_to_a_limit() {
        let long = 5 << 20;
        let with_length = |length: usize| {
            let mut answer = Answer::new(false, 4 << 20);
            let length = length.to_string();
            answer.head(HEAD.into_iter().take(2).chain([(&b"content-length"[..], length.as_bytes())]));
            answer
        };
        assert!(!with_length(MOST_HELD).streams_at_once() && with_length(MOST_HELD + 1).streams_at_once());
        let mut answer = with_length(long);
        for _ in 0..5 {
            assert!(!answer.is_whole());
            answer.passing_piece(&vec![b'x'; 1 << 20]);
        }
        assert!(answer.is_whole() && answer.body().is_empty() && answer.end().is_err());
        let mut answer = with_length(3 << 20);
        answer.passing_piece(&vec![b'x'; 3 << 20]);
        assert!(answer.is_whole() && answer.end().is_ok_and(|response| response.body.len() == 3 << 20));
    }

    #[test]
    fn a_body_that_nobody_waits_for_is_kept_up_to_a_limit() {
        let mut answer = Answer::new(false, 1 << 20);
        answer.head(HEAD.into_iter().take(2));
        answer.piece(&vec![b'x'; 1 << 20]);
        assert!(!answer.is_forgotten() && answer.body().len() == 1 << 20);
        answer.piece(b"x");
        assert!(answer.is_forgotten() && answer.body().is_empty());
        let mut without_hot_cache = Answer::new(false, 0);
        without_hot_cache.head(HEAD.into_iter());
        without_hot_cache.piece(b"body");
        assert!(without_hot_cache.end().is_ok());
    }

    #[test]
    fn the_reason_of_a_failure_is_in_envoys_own_body() {
        let mut answer = Answer::new(false, 4 << 20);
        answer.head([(&b":status"[..], &b"503"[..])].into_iter());
        answer.piece(b"upstream connect error or disconnect/reset before headers. reset ");
        answer.piece(b"reason: remote reset");
        assert_eq!(answer.end().err(), Some(PeerFailure::Stream));
        assert_eq!(Answer::new(false, 4 << 20).end().err(), Some(PeerFailure::Peer));
        assert_eq!(Answer::new(false, 4 << 20).reset(), PeerFailure::Peer);
    }
}
