//! Range, If-Range and lists of tags: parts lie within the body, and are not much larger in sum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_fuzz::{get, is_value};
use meshcache_protocol::{
    Response,
    freshness::{ContentRange, Part, covers, part},
};

fuzz_target!(|data: &[u8]| {
    let Some((length, data)) = data.split_first_chunk::<8>() else { return };
    if !is_value(data) {
        return;
    }
    let length = u64::from_le_bytes(*length) >> (length[0] % 64);
    let mut parts = data.splitn(3, |b| *b == b'\t');
    let mut next = || parts.next().unwrap_or_default();
    let (range, condition, tags) = (next(), next(), next());
    let stored = [(&b"etag"[..], &b"\"a\""[..]), (b"last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT"), (b"date", b"Sun, 06 Nov 1994 09:49:37 GMT")];
    let stored = Response { status: 200, fields: &stored };
    let all = [(&b"range"[..], range), (b"if-range", condition), (b"if-none-match", tags)];
    for count in 1..=3 {
        match part(&get(&all[..count]), &stored, length) {
            Part::Range(first, last) => assert!(first <= last && last < length),
            Part::Ranges(ranges) => {
                assert!(ranges.len() > 1 && ranges.len() <= 16);
                let sum = ranges.iter().fold(0_u128, |sum, (first, last)| {
                    assert!(first <= last && *last < length);
                    sum + u128::from(last - first) + 1
                });
                assert!(sum <= 3 * u128::from(length), "{ranges:?} of {length}");
            }
            _ => {}
        }
    }
    // A stored part: its Content-Range, and the range of the request within it.
    let said = [(&b"content-range"[..], condition), (b"etag", b"\"a\"")];
    let stored = Response { status: 206, fields: &said };
    let (asked, extent) = (get(&all[..1]), ContentRange::of(&stored));
    match part(&asked, &stored, 0) {
        Part::Range(first, last) => assert!(covers(&asked, &stored) && extent.is_some_and(|e| e.has(first, last) && e.last < e.length)),
        other => assert!(other == Part::Origin && !covers(&asked, &stored)),
    }
});
