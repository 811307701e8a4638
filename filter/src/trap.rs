//! The trap handler: before the module traps, each paused request gets a 503 at once.
//!
//! A trap leaves paused streams waiting for as long as their clients do, whatever the failure policy. So a panic and a
//! failed allocation reply to them first, without allocating. (A resumed stream would get a 503, too, but only when the
//! service has answered: Envoy does not let a response through the context of a module that trapped.)

use crate::host;
use meshcache_proxy::{host::Level, state::pending::MAX_WAITERS};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

/// The paused streams, each in its place. 0: none.
static PLACES: [AtomicU32; MAX_WAITERS] = [const { AtomicU32::new(0) }; MAX_WAITERS];
/// The places below `USED` that are free again: the first `FREE` of these.
static FREED: [AtomicU32; MAX_WAITERS] = [const { AtomicU32::new(0) }; MAX_WAITERS];
static FREE: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);

/// Takes a place for a stream that is paused. Returns `None` if there is no room: it must not be paused.
pub(crate) fn take_place(stream: u32) -> Option<u32> {
    let free = FREE.load(Relaxed);
    let at = match free.checked_sub(1) {
        Some(last) => {
            FREE.store(last, Relaxed);
            FREED.get(last)?.load(Relaxed)
        }
        None => u32::try_from(USED.fetch_add(usize::from(USED.load(Relaxed) < MAX_WAITERS), Relaxed)).ok()?,
    };
    PLACES.get(at as usize)?.store(stream, Relaxed);
    Some(at)
}

/// Frees the place of a stream that is no longer paused.
pub(crate) fn free_place(at: u32) {
    let free = FREE.load(Relaxed);
    if let (Some(place), Some(freed)) = (PLACES.get(at as usize), FREED.get(free)) {
        place.store(0, Relaxed);
        freed.store(at, Relaxed);
        FREE.store(free.saturating_add(1), Relaxed);
    }
}

/// Replies to all paused streams.
fn refuse_all() {
    for place in PLACES.iter().take(USED.load(Relaxed)) {
        let stream = place.swap(0, Relaxed);
        if stream != 0 && host::act_for(stream) {
            host::refuse();
        }
    }
}

/// Sets the panic hook.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        refuse_all();
        host::log(Level::Critical, &info.to_string());
    }));
}

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn checked(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        refuse_all();
        host::log(Level::Critical, "out of memory");
    }
    memory
}

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        checked(unsafe { System.realloc(memory, layout, size) })
    }
}

/// Traps if the request asks for it.
#[cfg(feature = "trap")]
#[allow(clippy::panic)]
pub(crate) fn trap(head: &meshcache_proxy::http::head::RequestHead<'_>) {
    match head.fields().iter().find(|(name, _)| *name == b"x-trap").map(|(_, value)| *value) {
        Some(b"panic") => panic!("a test wished so"),
        Some(b"memory") => loop {
            std::mem::forget(std::hint::black_box(vec![1u8; 1 << 20]));
        },
        _ => {}
    }
}
