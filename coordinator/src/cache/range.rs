//! The part of a stored response that a request gets: 304, 206 with one range or several, 416.

use crate::{
    http::{body::Body, growing::GrowingBody},
    jitter::random,
    store::Entry,
};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_RANGE, CONTENT_TYPE},
};
use meshcache_protocol::freshness::Part;
use std::sync::Arc;

/// The boundary between the ranges of a multipart response. It is random, so that no body can contain it on purpose.
struct Boundary(String);

impl Boundary {
    fn random() -> Self {
        Self(format!("meshcache-{:016x}{:016x}", random(), random()))
    }
}

/// Where the body of a response is.
pub(crate) enum Content<'a> {
    /// In the entry.
    Stored,
    /// Here, and still growing.
    Growing(&'a Arc<GrowingBody>),
    /// In the slices of a file of this length, of which the entry is one: here is what the request gets.
    Sliced(Body, u64),
}

/// Returns the status and the body of a part, and adapts the header fields. None if only the origin may answer, or if
/// the body has to be whole.
pub(crate) fn extract(
    entry: &Entry,
    content: Content<'_>,
    part: &Part,
    headers: &mut HeaderMap,
) -> Option<(StatusCode, Body)> {
    let status = entry.status;
    match content {
        Content::Stored => extract_stored(entry, part, headers).map(|(status, body)| (status, Body::Full(body))),
        Content::Growing(body) => extract_streaming(status, body.length(), part, headers, |from, to| {
            // Of a large body the origin gives what is not there.
            let is_there = to.is_none() || body.has(from);
            if is_there { body.read(from, to).map(Body::stream) } else { None }
        }),
        Content::Sliced(body, length) => extract_streaming(status, Some(length), part, headers, |_, _| Some(body)),
    }
}

fn extract_stored(entry: &Entry, part: &Part, headers: &mut HeaderMap) -> Option<(StatusCode, Bytes)> {
    // The ranges of a stored part count from the beginning of the whole.
    let (skipped, length) =
        entry.extent().map_or((0, entry.body_bytes().len() as u64), |extent| (extent.first, extent.length));
    let content_range = |range: &str| HeaderValue::from_str(&format!("bytes {range}/{length}")).ok();
    match part {
        Part::Whole => Some((entry.status, entry.body())),
        Part::NotModified => Some((StatusCode::NOT_MODIFIED, Bytes::new())),
        Part::Range(first, last) => {
            let bytes = slice(&entry.body(), first.checked_sub(skipped)?, last.checked_sub(skipped)?)?;
            headers.insert(CONTENT_RANGE, content_range(&format!("{first}-{last}"))?);
            Some((StatusCode::PARTIAL_CONTENT, bytes))
        }
        Part::Ranges(ranges) => {
            let (kind, boundary) = (headers.remove(CONTENT_TYPE), Boundary::random());
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_str(&format!("multipart/byteranges; boundary={}", boundary.0)).ok()?,
            );
            Some((StatusCode::PARTIAL_CONTENT, multipart(&entry.body(), ranges, kind.as_ref(), &boundary)?))
        }
        Part::Unsatisfiable => {
            headers.insert(CONTENT_RANGE, content_range("*")?);
            headers.remove(CONTENT_TYPE);
            Some((StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new()))
        }
        Part::Origin => None,
    }
}

/// Returns the status and the body of a part of a body that is read bit by bit: from an offset on to the end, or up to
/// another one.
fn extract_streaming(
    status: StatusCode,
    length: Option<u64>,
    part: &Part,
    headers: &mut HeaderMap,
    read: impl FnOnce(u64, Option<u64>) -> Option<Body>,
) -> Option<(StatusCode, Body)> {
    match part {
        Part::Whole => Some((status, read(0, None)?)),
        Part::NotModified => Some((StatusCode::NOT_MODIFIED, Body::empty())),
        Part::Range(first, last) => {
            let range = format!("bytes {first}-{last}/{}", length?);
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).ok()?);
            Some((StatusCode::PARTIAL_CONTENT, read(*first, last.checked_add(1))?))
        }
        Part::Unsatisfiable => {
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(&format!("bytes */{}", length?)).ok()?);
            headers.remove(CONTENT_TYPE);
            Some((StatusCode::RANGE_NOT_SATISFIABLE, Body::empty()))
        }
        Part::Ranges(_) | Part::Origin => None,
    }
}

fn slice(body: &Bytes, first: u64, last: u64) -> Option<Bytes> {
    let (first, end) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?.checked_add(1)?);
    (first < end && end <= body.len()).then(|| body.slice(first..end))
}

fn multipart(
    body: &Bytes,
    ranges: &[(u64, u64)],
    kind: Option<&HeaderValue>,
    Boundary(boundary): &Boundary,
) -> Option<Bytes> {
    let mut all = BytesMut::new();
    for (first, last) in ranges {
        all.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        if let Some(kind) = kind {
            all.extend_from_slice(b"content-type: ");
            all.extend_from_slice(kind.as_bytes());
            all.extend_from_slice(b"\r\n");
        }
        all.extend_from_slice(format!("content-range: bytes {first}-{last}/{}\r\n\r\n", body.len()).as_bytes());
        all.extend_from_slice(&slice(body, *first, *last)?);
    }
    all.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Some(all.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_multipart_response_has_a_boundary_of_its_own_between_its_ranges() {
        let (one, other) = (Boundary::random(), Boundary::random());
        assert_ne!(one.0, other.0);
        // RFC 2046 section 5.1.1.
        assert!(one.0.len() <= 70 && one.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{}", one.0);
        let body = Bytes::from_static(b"abcdefghij");
        let text = multipart(&body, &[(0, 1), (8, 9)], None, &one).unwrap();
        let b = &one.0;
        assert_eq!(
            text,
            format!(
                "\r\n--{b}\r\ncontent-range: bytes 0-1/10\r\n\r\nab\r\n--{b}\r\ncontent-range: bytes 8-9/10\r\n\r\nij\r\n--{b}--\r\n"
            )
        );
    }
}
