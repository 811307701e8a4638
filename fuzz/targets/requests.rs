//! Heads of requests, keys, and references in Location: a key has its request's parts, and only its own origin is invalidated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_fuzz::LETTER;
use meshcache_protocol::{Groups, Key, Request, Response, freshness::invalidates, wire::Question};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|b| *b == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (authority, target, location, content) = (next(), next(), next(), next());
    let fields: Vec<_> = parts.filter_map(|line| line.split_at_checked(line.iter().position(|b| *b == b':')?)).take(20).collect();
    let _ = Question::read(&fields);
    let Ok(request) = Request::read(b"POST", b"http", authority, target, &fields) else { return };
    let key = Key::of(&LETTER, &request, None);
    assert_eq!(key.parts().map(|parts| (parts.path, parts.scheme)), Some((request.path, "http")));
    let fields = [(&b"location"[..], location), (b"content-location", content)];
    let targets = invalidates(&Groups::default(), None, &request, &Response { status: 201, fields: &fields });
    assert!(!targets.is_empty() && targets.len() <= 3);
    assert!(targets.iter().all(|target| target.starts_with('/') && target.bytes().all(|b| (0x21..=0x7e).contains(&b))), "{targets:?}");
});
