//! Dates in all fields that have one: no panic, and an age that never decreases.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_fuzz::{get, is_value, stored};
use meshcache_protocol::{Response, freshness::part};

fuzz_target!(|data: &[u8]| {
    if !is_value(data) {
        return;
    }
    let mut parts = data.splitn(3, |b| *b == b'\t');
    let mut next = || parts.next().unwrap_or_default();
    let (one, two, three) = (next(), next(), next());
    for names in [["expires", "date", "last-modified"], ["date", "last-modified", "expires"], ["last-modified", "expires", "date"]] {
        let fields = [(names[0].as_bytes(), one), (names[1].as_bytes(), two), (names[2].as_bytes(), three), (b"cache-control", b"public")];
        if let Ok(stored) = stored(&fields) {
            assert!(stored.age(0) <= stored.age(1000) && stored.ttl(1000) <= stored.ttl(0));
        }
        let asked = [(&b"if-modified-since"[..], one), (b"range", b"bytes=0-1"), (b"if-range", two)];
        let _ = part(&get(&asked), &Response { status: 200, fields: &fields }, 10);
    }
});
