//! A coordinator's response to a lookup: the stored response, and the verdict that says how it came about.

use crate::http::{cached_headers::CachedHeaders, header_map::HeaderMap};
use meshcache_protocol::{
    Field,
    wire::{HOP_BY_HOP, PREFIX, Verdict, header},
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The reason why a callout brought no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFailure {
    /// The peer is unreachable or unresponsive.
    Peer,
    /// Only this stream failed: it was reset, or its response is not a coordinator's. The response may be at fault; the
    /// next lookup shows whether the peer is.
    Stream,
}

/// A coordinator's response.
pub struct PeerResponse {
    /// How it came about.
    pub verdict: Verdict,
    /// The status code.
    pub status: u16,
    /// The fields for a client. Age and Cache-Status are stamped later.
    pub headers: CachedHeaders,
    /// The content-length, which a response to HEAD has without a body.
    pub length: Option<Vec<u8>>,
    /// The body.
    pub body: Arc<Vec<u8>>,
}

/// The head of a coordinator's response, whose body is to follow.
pub struct PeerHead {
    /// How it came about.
    pub verdict: Verdict,
    /// The status code.
    pub status: u16,
    headers: CachedHeaders,
    length: Option<Vec<u8>>,
}

/// The head of a response that is not a coordinator's: Envoy's own, or one of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmarkedHead {
    /// 0: there is none.
    status: u16,
}

impl PeerHead {
    /// Reads the fields of a head.
    pub fn of<'a>(fields: impl Iterator<Item = Field<'a>>) -> Result<Self, UnmarkedHead> {
        let (mut verdict, mut status, mut length) = (None, None, None);
        let mut for_clients = SmallVec::<[Field<'a>; 32]>::new();
        for (name, value) in fields {
            match name {
                b":status" => status = number(value),
                b"content-length" => length = Some(value),
                _ if name == header::OUTCOME.as_bytes() => {
                    verdict = Some(Verdict::parse(value).ok_or(UnmarkedHead { status: 0 })?)
                }
                _ if is_for_clients(name) => for_clients.push((name, value)),
                _ => {}
            }
        }
        let (Some(verdict), Some(status)) = (verdict, status) else {
            return Err(UnmarkedHead { status: status.unwrap_or(0) });
        };
        let headers = CachedHeaders::new(for_clients.iter().copied());
        Ok(Self { verdict, status, headers, length: length.map(<[u8]>::to_vec) })
    }

    /// The content-length, where the coordinator said it.
    pub fn length(&self) -> Option<usize> {
        self.length.as_deref().and_then(number)
    }

    /// Returns the header map for a client, with Age and this Cache-Status.
    pub fn stamped(&self, cache_status: &str) -> Vec<u8> {
        stamped(&self.headers, &self.verdict, cache_status)
    }

    /// Returns the response with its whole body, or that a part of it is missing.
    pub fn complete(self, body: Vec<u8>, to_head: bool) -> Result<PeerResponse, PeerFailure> {
        // A 304 has the length of a body that it does not carry, like a response to HEAD.
        let is_complete = to_head
            || self.status == 304
            || self.length.as_deref().is_none_or(|length| number(length) == Some(body.len()));
        let Self { verdict, status, headers, length } = self;
        let response = || PeerResponse { verdict, status, headers, length, body: Arc::new(body) };
        is_complete.then(response).ok_or(PeerFailure::Stream)
    }
}

impl UnmarkedHead {
    /// Classifies the response, with the beginning of its body.
    pub fn failure(self, body: &[u8]) -> PeerFailure {
        failure(self.status, body)
    }
}

/// The texts by which Envoy says that a stream was reset, as opposed to a connection that failed.
const STREAM_RESET: [&[u8]; 4] = [b"remote reset", b"remote refused stream reset", b"local reset", b"protocol error"];
/// The text before them in the body of Envoy's own 503.
const RESET_REASON: &[u8] = b"reset reason: ";

impl PeerResponse {
    /// Reads the header map and body that a callout brought: a coordinator's response, or Envoy's own.
    pub fn read(map: &[u8], body: Vec<u8>, to_head: bool) -> Result<Self, PeerFailure> {
        Self::of(HeaderMap::parse(map).ok_or(PeerFailure::Peer)?, body, to_head)
    }

    /// Reads fields and body.
    pub fn of<'a>(fields: impl Iterator<Item = Field<'a>>, body: Vec<u8>, to_head: bool) -> Result<Self, PeerFailure> {
        match PeerHead::of(fields) {
            Ok(head) => head.complete(body, to_head),
            Err(unmarked) => Err(unmarked.failure(&body)),
        }
    }

    /// Returns the header map for a client, with Age and this Cache-Status.
    pub fn stamped(&self, cache_status: &str) -> Vec<u8> {
        stamped(&self.headers, &self.verdict, cache_status)
    }
}

fn stamped(headers: &CachedHeaders, verdict: &Verdict, cache_status: &str) -> Vec<u8> {
    headers.stamped(verdict.age / 1000, cache_status).into_bytes()
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Classifies a response without a verdict: Envoy's own, or one of another server.
fn failure(status: u16, body: &[u8]) -> PeerFailure {
    // A request that was refused, as with too large a head: the peer is there.
    if (400..500).contains(&status) {
        return PeerFailure::Stream;
    }
    let at = body.windows(RESET_REASON.len()).position(|some| some == RESET_REASON);
    let reason = at.and_then(|at| body.get(at.saturating_add(RESET_REASON.len())..)).unwrap_or_default();
    if STREAM_RESET.iter().any(|reset| reason.starts_with(reset)) { PeerFailure::Stream } else { PeerFailure::Peer }
}

/// Returns whether a field goes on to clients. Age is stamped anew; fields of the connection or of Envoy's callout are
/// dropped.
fn is_for_clients(name: &[u8]) -> bool {
    let is_dropped = name.starts_with(b":")
        || matches!(name, b"age" | b"content-length")
        || name.starts_with(PREFIX.as_bytes())
        || name.starts_with(b"x-envoy-")
        || HOP_BY_HOP.contains(&name);
    !is_dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::header_map;
    use meshcache_protocol::{Field, wire::Outcome};

    fn read(map: &[u8], body: &[u8]) -> Result<PeerResponse, PeerFailure> {
        PeerResponse::read(map, body.to_vec(), false)
    }

    fn map<'f>(fields: &[Field<'f>]) -> Vec<u8> {
        header_map::encode(fields.iter().copied())
    }

    #[test]
    fn a_response_without_an_outcome_or_with_half_a_body_is_none() {
        let good = map(&[
            (b":status", b"404"),
            (b"meshcache-outcome", b"hit; ttl=5; age=1; shared"),
            (b"age", b"1"),
            (b"x", b"\xff"),
            (b"x-envoy-upstream-service-time", b"1"),
            (b"content-length", b"2"),
        ]);
        let response = read(&good, b"ab").unwrap();
        assert_eq!((response.verdict.outcome, response.status, response.verdict.shared), (Outcome::Hit, 404, true));
        assert_eq!(response.headers.fields().collect::<Vec<_>>(), [(&b"x"[..], &b"\xff"[..])]);
        assert!(read(&good, b"a").is_err());
        assert!(PeerResponse::read(&good, Vec::new(), true).is_ok());
        assert!(read(&map(&[(b":status", b"503")]), b"").is_err());
        assert!(read(&map(&[(b":status", b"200"), (b"meshcache-outcome", b"what")]), b"").is_err());
        assert!(read(b"", b"").is_err());
    }

    #[test]
    fn a_reset_stream_is_distinguished_from_an_unreachable_peer() {
        let failure = |status: &[u8], body: &str| read(&map(&[(b":status", status)]), body.as_bytes()).err();
        let reset = |reason: &str| {
            failure(
                b"503",
                &format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}"),
            )
        };
        for reason in ["remote reset", "protocol error", "local reset"] {
            assert_eq!(reset(reason), Some(PeerFailure::Stream), "{reason}");
        }
        for reason in [
            "remote connection failure, transport failure reason: delayed connect error: Connection refused",
            "connection termination",
            "overflow",
            "",
        ] {
            assert_eq!(reset(reason), Some(PeerFailure::Peer), "{reason}");
        }
        assert_eq!(
            [(&b"431"[..], ""), (b"504", "upstream request timeout"), (b"503", "no healthy upstream"), (b"200", "")]
                .map(|(status, body)| failure(status, body)),
            [Some(PeerFailure::Stream), Some(PeerFailure::Peer), Some(PeerFailure::Peer), Some(PeerFailure::Peer)]
        );
    }
}
