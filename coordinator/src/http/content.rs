//! The content of a QUERY. Its digest is a part of the request's key (RFC 10008 section 2.7).

use crate::http::byte_budget::ByteReservation;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use ring::digest::{Context, Digest, SHA256};
use std::sync::Arc;

/// The method whose content is a part of the key. Every other method's is not.
pub(crate) const QUERY: &str = "QUERY";
/// The most bytes of content that a cached QUERY has. One with more passes.
pub(crate) const MAX_CONTENT: u64 = 64 << 10;
/// The fields without which content means nothing. They are in its digest, and always sent with it.
const DESCRIBED_BY: [HeaderName; 2] = [CONTENT_TYPE, CONTENT_ENCODING];

/// The whole content of a request. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    bytes: Bytes,
    digest: Digest,
    _reservation: Arc<ByteReservation>,
}

impl Content {
    /// `headers`: those of its request. `reservation`: its memory.
    pub(crate) fn new(headers: &HeaderMap, bytes: Bytes, reservation: ByteReservation) -> Self {
        let mut hasher = Context::new(&SHA256);
        for name in DESCRIBED_BY {
            let lines = headers.get_all(name);
            hasher.update(&(lines.iter().count() as u64).to_le_bytes());
            for line in lines {
                hasher.update(&(line.len() as u64).to_le_bytes());
                hasher.update(line.as_bytes());
            }
        }
        hasher.update(&bytes);
        Self { bytes, digest: hasher.finish(), _reservation: Arc::new(reservation) }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn digest(&self) -> &[u8] {
        self.digest.as_ref()
    }
}

/// Whether a field describes content.
pub(crate) fn describes(name: &[u8]) -> bool {
    DESCRIBED_BY.iter().any(|own| own.as_str().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::byte_budget::ByteBudget;

    #[test]
    fn content_is_what_it_says_and_how_it_is_to_be_read() {
        let digest = |fields: &[(HeaderName, &'static str)], bytes: &'static str| {
            let headers =
                fields.iter().map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value))).collect();
            Content::new(&headers, bytes.into(), ByteBudget::new(0).reserve()).digest().to_vec()
        };
        let all = [
            digest(&[], "a"),
            digest(&[], "b"),
            digest(&[(CONTENT_TYPE, "a")], ""),
            digest(&[(CONTENT_ENCODING, "a")], ""),
            digest(&[(CONTENT_TYPE, "a"), (CONTENT_TYPE, "b")], ""),
            digest(&[(CONTENT_TYPE, "ab")], ""),
            digest(&[(CONTENT_TYPE, "")], ""),
            digest(&[], ""),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all.iter().enumerate().all(|(j, other)| (one == other) == (i == j)), "{i}");
        }
        assert_eq!(
            digest(&[(CONTENT_TYPE, "a"), (http::header::ACCEPT, "x")], "c"),
            digest(&[(CONTENT_TYPE, "a")], "c")
        );
    }
}
