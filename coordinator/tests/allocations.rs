//! A hit allocates as much for a large body as for a small one, and no more than it did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod plane;

use http::Request;
use meshcache_coordinator::{cache::lookup, http::body::Body, settings::Port};
use plane::{Front, Origin};
use serde_json::json;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static ALLOCATED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, which counts allocations and their bytes.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (count, bytes) = ALLOCATED.get();
        ALLOCATED.set((count + 1, bytes + layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The most allocations of a hit, without those of its connection: one is the handle of a small body (`store/apart.rs`),
/// which a large one keeps.
const MOST: usize = 8;

#[tokio::test]
async fn a_hit_allocates_no_more_for_a_large_body_than_for_a_small_one() {
    let origin = Origin::new(|seen| async move {
        let length = seen.target.trim_start_matches('/').parse().unwrap();
        plane::answer(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], vec![b'x'; length])
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    let mut counts = Vec::new();
    for target in ["/1024", "/65536", "/4194304"] {
        front.ask("GET", target, &[("host", "h")]).await;
        let hit = || Request::get(target).header("host", "h").body(Body::empty()).unwrap();
        // The first hit of a thread prepares what later ones use, and now and then a table grows: the usual hit counts.
        let mut usual = (usize::MAX, usize::MAX);
        for _ in 0..8 {
            let request = hit();
            let before = ALLOCATED.get();
            let response = lookup::answer(&front.cache, Port::Data, request).await;
            let after = ALLOCATED.get();
            assert!(response.headers()["cache-status"].to_str().unwrap().contains("; hit"), "{:?}", response.headers());
            usual = usual.min((after.0 - before.0, after.1 - before.1));
        }
        counts.push(usual);
    }
    println!("allocations and bytes of a hit: {counts:?}");
    assert!(counts.iter().all(|(count, bytes)| *count <= MOST && *bytes < 4096), "{counts:?}");
}
