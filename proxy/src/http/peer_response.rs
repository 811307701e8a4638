//! What a peer answered: the stored response and how it came about.

use crate::http::header_map::{Block, Pairs};
use meshcache_protocol::wire::{HOP_BY_HOP, PREFIX, Verdict, header};
use std::rc::Rc;

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer cannot be reached, or is silent.
    Peer,
    /// This one stream was broken off, or what came on it is no coordinator's word. It may be this answer's fault:
    /// whether it is the peer's, the next question to it tells.
    Stream,
}

/// An answer.
pub struct Answer {
    /// How it came about.
    pub verdict: Verdict,
    /// The response's status code.
    pub status: u16,
    /// Its fields for a client, ready to be ended with age and cache-status.
    pub block: Block,
    /// Its content-length, which an answer to HEAD has without a body.
    pub length: Option<Vec<u8>>,
    /// Its body.
    pub body: Rc<Vec<u8>>,
}

/// Why Envoy says that one stream was reset, and not its connection lost or never there.
const STREAM_RESET: [&[u8]; 4] = [b"remote reset", b"remote refused stream reset", b"local reset", b"protocol error"];
/// What comes before it in the body of Envoy's own 503.
const RESET_REASON: &[u8] = b"reset reason: ";

impl Answer {
    /// Reads what came back of a call: a coordinator's answer, or Envoy's word that there is none.
    pub fn read(map: &[u8], body: Vec<u8>, to_head: bool) -> Result<Self, Failure> {
        let (mut verdict, mut status, mut length) = (None, None, None);
        let pairs = Pairs::of(map).ok_or(Failure::Peer)?;
        for (name, value) in pairs.clone() {
            match name {
                b":status" => status = number(value),
                b"content-length" => length = Some(value),
                _ if name == header::OUTCOME.as_bytes() => verdict = Some(Verdict::parse(value).ok_or(Failure::Peer)?),
                _ => {}
            }
        }
        let status: u16 = status.ok_or(Failure::Peer)?;
        let Some(verdict) = verdict else { return Err(failure(status, &body)) };
        // 304 tells the length of what it does not carry, as an answer to HEAD does.
        let whole = to_head || status == 304 || length.is_none_or(|length| number(length) == Some(body.len()));
        if !whole {
            return Err(Failure::Stream);
        }
        let block = Block::new(pairs.filter(|(name, _)| is_kept(name)));
        Ok(Self { verdict, status, block, length: length.map(<[u8]>::to_vec), body: Rc::new(body) })
    }

    /// Its header map for a client, with its age and what the cache did.
    pub fn head(&self, said: &str) -> Vec<u8> {
        let mut block = self.block.clone();
        block.end(self.verdict.age / 1000, said);
        block.into_bytes()
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What an answer without an outcome means: it is Envoy's own, or of something that is no coordinator.
fn failure(status: u16, body: &[u8]) -> Failure {
    // Refused as it was: too large a head, say. What refuses it is there.
    if (400..500).contains(&status) {
        return Failure::Stream;
    }
    let at = body.windows(RESET_REASON.len()).position(|some| some == RESET_REASON);
    let reason = at.and_then(|at| body.get(at.saturating_add(RESET_REASON.len())..)).unwrap_or_default();
    if STREAM_RESET.iter().any(|reset| reason.starts_with(reset)) { Failure::Stream } else { Failure::Peer }
}

/// Whether a field of an answer goes on to clients. Age is said anew; what belongs to the connection or to Envoy's
/// callout stays behind.
fn is_kept(name: &[u8]) -> bool {
    let dropped = name.starts_with(b":")
        || matches!(name, b"age" | b"content-length")
        || name.starts_with(PREFIX.as_bytes())
        || name.starts_with(b"x-envoy-")
        || HOP_BY_HOP.contains(&name);
    !dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::header_map;
    use meshcache_protocol::{Field, wire::Outcome};

    fn read(map: &[u8], body: &[u8]) -> Result<Answer, Failure> {
        Answer::read(map, body.to_vec(), false)
    }

    fn map<'f>(fields: &[Field<'f>]) -> Vec<u8> {
        header_map::write(fields.iter().copied())
    }

    #[test]
    fn an_answer_without_an_outcome_or_with_half_a_body_is_none() {
        let good = map(&[
            (b":status", b"404"),
            (b"meshcache-outcome", b"hit; ttl=5; age=1; shared"),
            (b"age", b"1"),
            (b"x", b"\xff"),
            (b"x-envoy-upstream-service-time", b"1"),
            (b"content-length", b"2"),
        ]);
        let answer = read(&good, b"ab").unwrap();
        assert_eq!((answer.verdict.outcome, answer.status, answer.verdict.shared), (Outcome::Hit, 404, true));
        assert_eq!(answer.block.fields().collect::<Vec<_>>(), [(&b"x"[..], &b"\xff"[..])]);
        assert!(read(&good, b"a").is_err());
        assert!(Answer::read(&good, Vec::new(), true).is_ok());
        assert!(read(&map(&[(b":status", b"503")]), b"").is_err());
        assert!(read(&map(&[(b":status", b"200"), (b"meshcache-outcome", b"what")]), b"").is_err());
        assert!(read(b"", b"").is_err());
    }

    #[test]
    fn a_stream_that_was_reset_is_told_from_a_peer_that_is_gone() {
        let failure = |status: &[u8], body: &str| read(&map(&[(b":status", status)]), body.as_bytes()).err();
        let reset = |reason: &str| {
            failure(
                b"503",
                &format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}"),
            )
        };
        for reason in ["remote reset", "protocol error", "local reset"] {
            assert_eq!(reset(reason), Some(Failure::Stream), "{reason}");
        }
        for reason in [
            "remote connection failure, transport failure reason: delayed connect error: Connection refused",
            "connection termination",
            "overflow",
            "",
        ] {
            assert_eq!(reset(reason), Some(Failure::Peer), "{reason}");
        }
        assert_eq!(
            [(&b"431"[..], ""), (b"504", "upstream request timeout"), (b"503", "no healthy upstream"), (b"200", "")]
                .map(|(status, body)| failure(status, body)),
            [Some(Failure::Stream), Some(Failure::Peer), Some(Failure::Peer), Some(Failure::Peer)]
        );
    }
}
