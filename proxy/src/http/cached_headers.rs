//! A response's header map that is written once and given many times.

use crate::http::{
    decimal::decimal,
    header_map::{HeaderMap, encode, patch},
};
use meshcache_protocol::Field;

/// A header map whose last two fields, Age and Cache-Status, are replaced as time passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedHeaders {
    bytes: Vec<u8>,
    /// The offset of the lengths of the two.
    sizes: usize,
    /// The offset of the two.
    tail: usize,
}

impl CachedHeaders {
    /// A map of these fields and the two.
    pub fn new<'a>(fields: impl Iterator<Item = Field<'a>> + Clone) -> Self {
        let last: [Field<'_>; 2] = [(b"age", b""), (b"cache-status", b"")];
        let bytes = encode(fields.chain(last));
        let tail = bytes.len().saturating_sub(last.iter().map(|(name, _)| name.len().saturating_add(2)).sum());
        let count = HeaderMap::parse(&bytes).map_or(0, |map| map.len());
        let sizes = count.saturating_sub(last.len()).saturating_mul(8).saturating_add(4);
        Self { bytes, sizes, tail }
    }

    /// Returns the map with these two: Age in seconds, and Cache-Status.
    #[must_use]
    pub fn stamped(&self, age: u64, cache_status: &str) -> Self {
        let mut digits = [0; 20];
        let age = decimal(age, &mut digits);
        let parts = [b"age", age, b"cache-status", cache_status.as_bytes()];
        let tail: usize = parts.iter().map(|part| part.len().saturating_add(1)).sum();
        let mut bytes = Vec::with_capacity(self.tail.saturating_add(tail));
        bytes.extend_from_slice(self.bytes.get(..self.tail).unwrap_or_default());
        for part in parts {
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
        let second = self.sizes.saturating_add(8);
        for (at, value) in [(self.sizes, age), (second, cache_status.as_bytes())] {
            patch(&mut bytes, at.saturating_add(4), value.len() as u32);
        }
        Self { bytes, ..*self }
    }

    /// The whole map.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the whole map.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// All fields except the two.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        let map = HeaderMap::parse(&self.bytes).unwrap_or_default();
        let count = map.len().saturating_sub(2);
        map.take(count)
    }

    /// Returns the bytes that it takes in memory.
    pub fn size(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_ends_with_the_last_stamp() {
        const FIELDS: [Field<'static>; 3] = [(b":status", b"200"), (b"x", b""), (b"y", b"\xff\x00")];
        let mut headers = CachedHeaders::new(FIELDS.into_iter());
        for (age, status) in [(0, "a"), (12345, "meshcache; hit"), (7, "")] {
            headers = headers.stamped(age, status);
            let all: Vec<_> = HeaderMap::parse(headers.as_bytes()).unwrap().collect();
            assert_eq!(all.len(), 5);
            assert_eq!(all[3], (&b"age"[..], age.to_string().as_bytes()));
            assert_eq!(all[4], (&b"cache-status"[..], status.as_bytes()));
            assert_eq!(headers.fields().collect::<Vec<_>>(), FIELDS);
        }
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), u64::MAX.to_string().as_bytes());
    }
}
