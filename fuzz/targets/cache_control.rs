//! Cache-Control of responses and requests: nothing hides a restriction, and the order of lines changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_fuzz::{LETTER, get, is_value, stored};
use meshcache_protocol::freshness::{NotStored, reuse, shares};

fuzz_target!(|data: &[u8]| {
    if !is_value(data) {
        return;
    }
    let name: &[u8] = b"cache-control";
    let mut lines = data.splitn(2, |b| *b == b'\t');
    let (one, two) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let own = stored(&[(name, one), (name, two)]);
    assert_eq!(own, stored(&[(name, two), (name, one)]));
    let lifts = data.to_ascii_lowercase().windows(15).any(|window| window == b"must-understand");
    let forbidden = stored(&[(name, one), (name, b"no-store"), (name, two)]);
    assert!(lifts || forbidden.is_err());
    assert!(stored(&[(name, one), (name, b"private")]).is_err());
    // However a number is written, one second less never makes it fresher.
    if let (Ok(own), Ok(less)) = (&own, &stored(&[(name, one), (name, two), (name, b"s-maxage=1")])) {
        assert!(less.lifetime <= 1000 || less.lifetime <= own.lifetime);
    }
    let fields = [(name, one), (name, two)];
    let request = get(&fields);
    let _ = shares(&LETTER, &request, false, true);
    let kept = stored(&[(name, b"max-age=60"), (b"etag", b"\"a\"")]).unwrap();
    for resident in [0, 59_000, 61_000, u64::MAX] {
        let _ = reuse(&LETTER, &request, false, Some(&kept), resident);
    }
    assert_ne!(own, Err(NotStored::Method));
});
