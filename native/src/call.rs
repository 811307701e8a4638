//! A coordinator's answer as it comes: head, pieces of the body, end or reset.

use meshcache_protocol::Field;
use meshcache_proxy::http::peer_response::{PeerFailure, PeerHead, PeerResponse, UnmarkedHead};

/// The most of a body that says why there is no answer.
const MOST_OF_FAILURE: usize = 4096;

/// What has come of an answer.
#[derive(Default)]
pub struct Answer {
    to_head: bool,
    state: State,
}

#[derive(Default)]
enum State {
    /// Nothing.
    #[default]
    Empty,
    /// A coordinator's head, and the body so far.
    Marked(Box<PeerHead>, Vec<u8>),
    /// A head of Envoy's own, or of another server, and the beginning of the body.
    Unmarked(UnmarkedHead, Vec<u8>),
}

impl Answer {
    /// An answer to a request that is a HEAD or not.
    pub fn new(to_head: bool) -> Self {
        Self { to_head, state: State::Empty }
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

    /// Takes a piece of the body.
    pub fn piece(&mut self, piece: &[u8]) {
        match &mut self.state {
            State::Empty => {}
            State::Marked(_, body) => body.extend_from_slice(piece),
            State::Unmarked(_, body) => {
                let room = MOST_OF_FAILURE.saturating_sub(body.len()).min(piece.len());
                body.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
        }
    }

    /// Returns the whole answer.
    pub fn end(self) -> Result<PeerResponse, PeerFailure> {
        match self.state {
            State::Empty => Err(PeerFailure::Peer),
            State::Marked(head, body) => head.complete(body, self.to_head),
            State::Unmarked(head, body) => Err(head.failure(&body)),
        }
    }

    /// Returns why there is no whole answer, when it was cut off.
    pub fn reset(self) -> PeerFailure {
        match self.state {
            State::Empty => PeerFailure::Peer,
            State::Marked(..) => PeerFailure::Stream,
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
        let mut answer = Answer::new(false);
        answer.head(HEAD.into_iter());
        answer.piece(b"bo");
        answer.piece(b"dy");
        assert_eq!(answer.end().map(|response| (response.status, response.body.to_vec())), Ok((200, b"body".to_vec())));
        let mut half = Answer::new(false);
        half.head(HEAD.into_iter());
        half.piece(b"bo");
        assert_eq!(half.end().err(), Some(PeerFailure::Stream));
    }

    #[test]
    fn the_reason_of_a_failure_is_in_envoys_own_body() {
        let mut answer = Answer::new(false);
        answer.head([(&b":status"[..], &b"503"[..])].into_iter());
        answer.piece(b"upstream connect error or disconnect/reset before headers. reset ");
        answer.piece(b"reason: remote reset");
        assert_eq!(answer.end().err(), Some(PeerFailure::Stream));
        assert_eq!(Answer::new(false).end().err(), Some(PeerFailure::Peer));
        assert_eq!(Answer::new(false).reset(), PeerFailure::Peer);
    }
}
