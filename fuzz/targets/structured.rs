//! Targeted fields (RFC 9213): invalid ones count as absent. Cache-Status is always one line of text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_fuzz::{is_value, stored};
use meshcache_protocol::{
    cache_status::cache_status,
    wire::{Outcome, Verdict},
};

fuzz_target!(|data: &[u8]| {
    if let Some(verdict) = Verdict::parse(data) {
        assert_eq!(Verdict::parse(verdict.to_string().as_bytes()).map(|verdict| verdict.outcome), Some(verdict.outcome));
    }
    let text = String::from_utf8_lossy(data);
    let said = cache_status(&text, &Verdict::new(Outcome::Miss).because(&*text), &text, Some(&text));
    assert!(said.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{said:?}");
    if !is_value(data) {
        return;
    }
    let target = [(&b"cdn-cache-control"[..], data)];
    let both = [(&b"cdn-cache-control"[..], data), (b"cache-control", b"no-store")];
    // Where the target counts, Cache-Control does not; where it does not count, nothing is stored.
    if let Ok(with) = stored(&both) {
        assert_eq!(Ok(with), stored(&target));
    }
});
