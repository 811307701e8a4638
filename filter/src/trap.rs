//! When the module is about to trap: no paused request hangs, each gets its 503 at once.
//!
//! A trap leaves paused streams to their clients' patience, whatever the failure policy. So a panic and an allocation
//! that fails answer them first, without allocating. (Were they resumed, they would get a 503 too, but only when the
//! service has answered: Envoy does not let a response through the context of a module that trapped.)

use crate::host;
use meshcache_proxy::state::pending::MOST_WAITERS;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

/// The paused streams, each in its place; 0: nobody.
static PLACES: [AtomicU32; MOST_WAITERS] = [const { AtomicU32::new(0) }; MOST_WAITERS];
/// Places below `USED` that are free again: the first `FREE`.
static FREED: [AtomicU32; MOST_WAITERS] = [const { AtomicU32::new(0) }; MOST_WAITERS];
static FREE: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);

/// A stream is paused: its place. `None`: there is no room, it must not be paused.
pub(crate) fn paused(stream: u32) -> Option<u32> {
    let free = FREE.load(Relaxed);
    let at = match free.checked_sub(1) {
        Some(last) => {
            FREE.store(last, Relaxed);
            FREED.get(last)?.load(Relaxed)
        }
        None => u32::try_from(USED.fetch_add(usize::from(USED.load(Relaxed) < MOST_WAITERS), Relaxed)).ok()?,
    };
    PLACES.get(at as usize)?.store(stream, Relaxed);
    Some(at)
}

/// The stream in that place is no longer paused.
pub(crate) fn resumed(at: u32) {
    let free = FREE.load(Relaxed);
    if let (Some(place), Some(freed)) = (PLACES.get(at as usize), FREED.get(free)) {
        place.store(0, Relaxed);
        freed.store(at, Relaxed);
        FREE.store(free.saturating_add(1), Relaxed);
    }
}

/// Answers every paused stream.
fn rescue() {
    for place in PLACES.iter().take(USED.load(Relaxed)) {
        let stream = place.swap(0, Relaxed);
        if stream != 0 && host::act_for(stream) {
            host::refuse();
        }
    }
}

/// To be called after the SDK set its own hook.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        rescue();
        host::log(host::Level::Critical, &info.to_string());
    }));
}

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn rescued(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        rescue();
        host::log(host::Level::Critical, "out of memory");
    }
    memory
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        rescued(unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        rescued(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        rescued(unsafe { System.realloc(memory, layout, size) })
    }
}

/// Traps if the request wishes so.
#[cfg(feature = "trap")]
#[allow(clippy::panic)]
pub(crate) fn trap(head: &meshcache_proxy::http::head::Head<'_>) {
    match head.fields().iter().find(|(name, _)| *name == b"x-trap").map(|(_, value)| *value) {
        Some(b"panic") => panic!("a test wished so"),
        Some(b"memory") => loop {
            std::mem::forget(std::hint::black_box(vec![1u8; 1 << 20]));
        },
        _ => {}
    }
}
