//! What runs on every hit allocates nothing: there is a Wasm VM's memory to lose.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used)]

use meshcache_protocol::{Field, Group, Request, Response, freshness::*};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(act: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    act();
    COUNT.with(Cell::get) - before
}

#[test]
fn a_hit_allocates_nothing() {
    let group =
        Group::for_tests(r#"{"freshness": {"requestDirectives": "obey"}, "share": {"identity": ["x-user-id"]}}"#);
    let answered: [Field<'_>; 5] = [
        (b"cache-control", b"public, max-age=60"),
        (b"etag", b"\"a\""),
        (b"vary", b"accept-encoding, accept-language, accept, x-tenant"),
        (b"last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (b"date", b"Sun, 06 Nov 1994 09:49:37 GMT"),
    ];
    let response = Response { status: 200, fields: &answered };
    let asked: [Field<'_>; 9] = [
        (b"accept-encoding", b"gzip, deflate, br, zstd"),
        (b"accept-language", b"en-GB, en;q=0.9, de;q=0.8"),
        (b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8"),
        (b"x-tenant", b"7"),
        (b"cookie", b"a=b"),
        (b"cache-control", b"max-age=30, stale-if-error=\"60\""),
        (b"if-none-match", b"\"x\", W/\"y\""),
        (b"range", b"bytes=0-99"),
        (b"if-range", b"\"a\""),
    ];
    let request = Request::read(b"GET", b"http", b"example.com", b"/a?b", &asked).unwrap();
    let stored =
        store(&group, &request, false, &response, Times { requested: 784_115_377_000, responded: 784_115_377_000 }, 0)
            .unwrap();
    let selecting = Selecting::of(&Vary::of(&response), &request);
    let mut given = (false, Reuse::Refuse, Part::Origin, Err(NotCollapsed::Method));
    let count = allocations(|| {
        given = (
            selecting.matches(&request),
            reuse(&group, &request, false, Some(&stored), 10_000),
            part(&request, &response, 1000),
            joins(&group, &request, false),
        )
    });
    assert_eq!(given, (true, Reuse::Fresh, Part::Range(0, 99), Err(NotCollapsed::Identity)));
    assert_eq!(count, 0);
    let key = allocations(|| {
        let request = Request::read(b"GET", b"http", b"example.com", b"/a%20b/%C3%BC?b=%2F", &asked).unwrap();
        assert!(
            request.normal_path() == request.path
                && request.normal_query().as_deref() == request.query
                && !group.has_ambiguous_cookie(&request)
        );
        drop(std::hint::black_box(meshcache_protocol::Key::of(&group, &request, None)));
    });
    assert_eq!(key, 1, "where nothing is to be normalised a key is all that is made");
    assert!(allocations(|| drop(std::hint::black_box(vec![1]))) > 0);
}
