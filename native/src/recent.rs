//! What each thread decided lately for one configuration: such a request is not decided anew.

use crate::{envoy::MapFields, facts::EnvoyFacts, process};
use meshcache_proxy::{
    request::{
        context::Context,
        repeats::{Repeatable, RepeatedReply, Repeats},
    },
    state::other_hosts::OtherHosts,
};
use parking_lot::{Mutex, MutexGuard};

/// What the threads decided lately, each for itself.
#[derive(Default)]
pub(crate) struct RecentDecisions {
    threads: Box<[Thread]>,
}

/// One thread's, in cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Thread(Mutex<Recent>);

/// What one thread decided lately.
#[derive(Default)]
pub(crate) struct Recent {
    pub(crate) other_hosts: OtherHosts,
    repeats: Repeats,
}

impl RecentDecisions {
    /// Nothing yet, for so many threads. Others decide each request.
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads: (0..threads).map(|_| Thread::default()).collect() }
    }

    /// What this thread decided. Nobody else takes its lock.
    pub(crate) fn of_thread(&self) -> Option<MutexGuard<'_, Recent>> {
        self.threads.get(process::thread())?.0.try_lock()
    }
}

impl Recent {
    /// Returns the reply to a GET that comes again as it was, if there is one.
    pub(crate) fn answer(
        &self,
        context: Context<'_>,
        fields: &MapFields<'_>,
        facts: &EnvoyFacts<'_>,
    ) -> Option<RepeatedReply> {
        let is_get = fields.iter().any(|field| field == (b":method", b"GET"));
        is_get.then(|| self.repeats.answer_fields(context, fields.iter(), facts)).flatten()
    }

    /// Keeps a hot hit for when the request with these fields comes again.
    pub(crate) fn note(&mut self, map: &[u8], hit: Repeatable) {
        self.repeats.note(map, hit);
    }
}
