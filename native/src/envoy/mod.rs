//! Envoy's functions as safe ones: a thin wrapper around `abi`.

mod config;
mod filter;

pub(crate) use config::Config;
pub(crate) use filter::{Filter, MapFields};

use crate::abi::{self, Buffer, Functions, Header, OK, Object};
use meshcache_protocol::Field;
use meshcache_proxy::host::{CallError, Level};
use smallvec::SmallVec;
use std::{marker::PhantomData, sync::OnceLock};

/// The fields that a list has room for without an allocation.
const FIELDS: usize = 32;

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// Looks Envoy's functions up. The error is the name of one that it lacks.
pub(crate) fn load() -> Result<(), &'static str> {
    if FUNCTIONS.get().is_none() {
        let _ = FUNCTIONS.set(Functions::find()?);
    }
    Ok(())
}

/// Envoy's functions, once the module is loaded. In unit tests there are none.
fn functions() -> Option<&'static Functions> {
    FUNCTIONS.get()
}

/// Returns the number of worker threads. For the main thread.
pub(crate) fn worker_threads() -> usize {
    // SAFETY: the function takes nothing.
    functions().map_or(1, |envoy| unsafe { (envoy.concurrency)() } as usize).max(1)
}

/// Writes a line to Envoy's log. Any thread may.
pub(crate) fn log(level: Level, line: &str) {
    const WARN: u32 = 3;
    const CRITICAL: u32 = 5;
    let level = if level == Level::Warning { WARN } else { CRITICAL };
    if let Some(envoy) = functions() {
        // SAFETY: the line is valid during the call.
        unsafe { (envoy.log)(level, Buffer::new(line.as_bytes())) };
    }
}

/// A list of fields for Envoy.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    list: SmallVec<[Header; FIELDS]>,
    borrowed: PhantomData<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(crate) fn push(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.list.push(Header::new(name, value));
    }
}

impl<'a> Extend<Field<'a>> for Fields<'a> {
    fn extend<T: IntoIterator<Item = Field<'a>>>(&mut self, fields: T) {
        fields.into_iter().for_each(|(name, value)| self.push(name, value));
    }
}

fn outcome(result: u32) -> Result<(), CallError> {
    match result {
        OK => Ok(()),
        abi::NO_CLUSTER => Err(CallError::NoCluster),
        _ => Err(CallError::Refused),
    }
}

fn buffers(texts: &[&str]) -> SmallVec<[Buffer; 4]> {
    texts.iter().map(|text| Buffer::new(text.as_bytes())).collect()
}

/// Wakes a stream on its worker, or a configuration on the main thread. Any thread may use it.
pub(crate) struct Scheduler {
    object: Object,
    of_config: bool,
}

// SAFETY: Envoy's schedulers are made to be used by any thread.
unsafe impl Send for Scheduler {}

impl Scheduler {
    /// Has the hook called. It only adds to a queue: nothing is called before it returns.
    pub(crate) fn commit(&self, event: u64) {
        let Some(envoy) = functions() else { return };
        let commit = if self.of_config { envoy.config_scheduler_commit } else { envoy.scheduler_commit };
        // SAFETY: the scheduler is alive until it is dropped.
        unsafe { commit(self.object, event) };
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let Some(envoy) = functions() else { return };
        let delete = if self.of_config { envoy.config_scheduler_delete } else { envoy.scheduler_delete };
        // SAFETY: it is deleted once.
        unsafe { delete(self.object) };
    }
}

/// What Envoy keeps for longer than a stream has it: so no count of its users is needed, which all workers would change.
pub(crate) struct Kept<T>(*const T);

impl<T> Kept<T> {
    /// A reference to this.
    ///
    /// # Safety
    /// It must outlive the reference.
    pub(crate) unsafe fn new(kept: *const T) -> Self {
        Self(kept)
    }
}

impl<T> std::ops::Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the promise of `new`.
        unsafe { &*self.0 }
    }
}
