//! The rest of a body whose coordinator was lost in the middle: the next one is asked for the whole of the same version,
//! and what the client has already is left out. Pure.

use meshcache_protocol::{Field, Response, freshness::strong_tag, wire::Outcome};
use meshcache_proxy::http::peer_response::PeerHead;

/// How often a coordinator that is still loading is asked again.
const TRIES: u8 = 100;

/// What tells a version of a response from others: its strong tag, and its length where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    tag: Vec<u8>,
    length: Option<usize>,
}

impl Version {
    /// The version of a whole response. `None`: it has no strong tag.
    pub fn of<'a>(head: &PeerHead, fields: impl Iterator<Item = Field<'a>>) -> Option<Self> {
        let tags: Vec<Field<'a>> = fields.filter(|(name, _)| *name == b"etag").collect();
        let tag = strong_tag(&Response { status: head.status, fields: &tags }).filter(|_| head.status == 200)?;
        Some(Self { tag, length: head.length() })
    }
}

/// The rest of a body.
pub struct Rest {
    version: Version,
    /// The bytes that the client had.
    had: usize,
    /// The bytes that have come from the coordinator that is asked.
    come: usize,
    state: State,
    tries: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Asked,
    /// The coordinator is still loading.
    Loading,
    /// It is the same version.
    Comes,
    /// It is not.
    Refused,
}

/// What becomes of the client's body when an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestEnd {
    /// It is whole.
    Whole,
    /// The coordinator is asked again.
    AskAgain,
    /// It is cut.
    Cut,
}

impl Rest {
    /// The rest of this version, of which the client had so much.
    pub fn new(version: Version, had: usize) -> Self {
        Self { version, had, come: 0, state: State::Asked, tries: TRIES }
    }

    /// Takes the head of an answer.
    pub fn head<'a>(&mut self, fields: impl Iterator<Item = Field<'a>> + Clone) {
        let head = PeerHead::of(fields.clone());
        self.state = match head {
            Ok(head) if head.verdict.outcome == Outcome::Loading => State::Loading,
            Ok(head)
                if head.verdict.outcome.has_response()
                    && Version::of(&head, fields).as_ref() == Some(&self.version) =>
            {
                State::Comes
            }
            _ => State::Refused,
        };
    }

    /// Takes a piece of the body. Returns what of it is new to the client.
    pub fn piece<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        if self.state != State::Comes {
            return &[];
        }
        let skipped = self.had.saturating_sub(self.come).min(piece.len());
        self.come = self.come.saturating_add(piece.len());
        piece.get(skipped..).unwrap_or_default()
    }

    /// Takes the end of an answer.
    pub fn end(&mut self, is_complete: bool) -> RestEnd {
        let is_whole = self.come >= self.had && self.version.length.is_none_or(|length| length == self.come);
        match self.state {
            State::Comes if is_complete && is_whole => RestEnd::Whole,
            State::Loading if is_complete && self.tries > 0 => {
                self.tries = self.tries.saturating_sub(1);
                self.state = State::Asked;
                RestEnd::AskAgain
            }
            _ => RestEnd::Cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Field<'static> = (b"meshcache-outcome", b"hit; ttl=5; age=1; shared");

    fn fields<'a>(outcome: Field<'a>, tag: &'a str, length: &'a str) -> Vec<Field<'a>> {
        let status: Field<'a> = (b":status", b"200");
        vec![status, outcome, (b"etag", tag.as_bytes()), (b"content-length", length.as_bytes())]
    }

    fn version(tag: &str) -> Option<Version> {
        let fields = fields(FOUND, tag, "10");
        Version::of(&PeerHead::of(fields.iter().copied()).ok()?, fields.iter().copied())
    }

    fn rest() -> Rest {
        Rest::new(version("\"1\"").unwrap(), 4)
    }

    #[test]
    fn the_client_gets_what_it_has_not_had_of_the_same_version() {
        let mut rest = rest();
        rest.head(fields(FOUND, "\"1\"", "10").into_iter());
        let given: Vec<u8> =
            [&b"01"[..], b"2345", b"6789"].iter().flat_map(|piece| rest.piece(piece).to_vec()).collect();
        assert_eq!((given.as_slice(), rest.end(true)), (&b"456789"[..], RestEnd::Whole));
    }

    #[test]
    fn nothing_of_another_version_and_no_part_of_it_passes_for_the_rest() {
        for (tag, length) in [("\"2\"", "10"), ("W/\"1\"", "10"), ("\"1\"", "11")] {
            let mut rest = rest();
            rest.head(fields(FOUND, tag, length).into_iter());
            assert_eq!((rest.piece(b"0123456789"), rest.end(true)), (&b""[..], RestEnd::Cut), "{tag} {length}");
        }
        for (body, is_complete) in [("0123456789", false), ("012345678", true), ("012", true)] {
            let mut rest = rest();
            rest.head(fields(FOUND, "\"1\"", "10").into_iter());
            rest.piece(body.as_bytes());
            assert_eq!(rest.end(is_complete), RestEnd::Cut, "{body}");
        }
        let mut pass = rest();
        pass.head(fields((b"meshcache-outcome", b"pass; reason=private"), "\"1\"", "0").into_iter());
        assert_eq!((pass.end(true), rest().end(false)), (RestEnd::Cut, RestEnd::Cut));
        assert!(version("W/\"1\"").is_none() && version("1").is_none());
    }

    #[test]
    fn a_coordinator_that_is_still_loading_is_asked_again_for_a_while() {
        let mut rest = rest();
        for _ in 0..TRIES {
            rest.head(fields((b"meshcache-outcome", b"loading"), "", "0").into_iter());
            assert_eq!(rest.end(true), RestEnd::AskAgain);
        }
        rest.head(fields((b"meshcache-outcome", b"loading"), "", "0").into_iter());
        assert_eq!(rest.end(true), RestEnd::Cut);
    }
}
