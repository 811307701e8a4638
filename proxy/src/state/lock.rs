//! Locks of what threads share.

use std::sync::{
    PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A value with cache lines of its own: threads that use its neighbours do not slow it down.
#[derive(Default)]
#[cfg_attr(not(target_family = "wasm"), repr(align(128)))]
pub(super) struct Padded<T>(pub(super) T);

/// Locks for reading, and counts if that has to wait. After a panic of another thread the value is as that one left
/// it.
pub(super) fn read<'a, T>(lock: &'a RwLock<T>, waits: &AtomicU64) -> RwLockReadGuard<'a, T> {
    match lock.try_read() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            waits.fetch_add(1, Relaxed);
            lock.read().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

/// Locks for writing.
pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
