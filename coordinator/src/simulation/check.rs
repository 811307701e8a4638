//! What is held against each answer, and what is counted.

use crate::simulation::{net::LATENCY, world::World};
use std::collections::BTreeMap;

/// One key as the service has it.
#[derive(Default)]
pub(super) struct Thing {
    /// How often it has changed.
    pub(super) version: u64,
    /// Loads of coordinators.
    pub(super) loads: u64,
    /// Purges that were acknowledged with nobody named: when, and the version before which nothing may be given.
    pub(super) purged: Vec<(u64, u64)>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) answers: BTreeMap<&'static str, u64>,
    pub(super) keys: u64,
    pub(super) loads: u64,
    pub(super) most_loads: u64,
    /// Answers of coordinators older than a purge that was acknowledged before they were asked, or a second before
    /// their request began: it may have joined a question.
    pub(super) stale_from_coordinators: u64,
    /// Answers of hot caches older than a purge acknowledged a second before, in proxies that have heard a coordinator
    /// since.
    pub(super) stale_from_proxies: u64,
    /// Answers of hot caches older than a purge acknowledged 3 s before, whatever befell the proxy.
    pub(super) stale_from_deaf_proxies: u64,
    pub(super) purges: u64,
    pub(super) purges_everywhere: u64,
    pub(super) messages: u64,
    pub(super) lost: u64,
    /// Calls between coordinators to ask what was purged.
    pub(super) beats: u64,
    /// Calls that a purge or a word took.
    pub(super) purge_calls: u64,
    pub(super) words: u64,
    /// Coordinators that came or left, with a word or without.
    pub(super) changes: u64,
    pub(super) rings: u64,
    pub(super) feed_answers: u64,
    pub(super) feed_states: u64,
    pub(super) emptied: u64,
}

/// Where an answer came from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum From {
    Coordinator,
    Hot,
}

impl World {
    /// Judges an answer to a request that began then.
    pub(super) fn check(&mut self, proxy: usize, key: usize, begun: u64, version: u64, from: From) {
        let second = begun - 1000;
        let before = |time: u64| {
            self.things[key].purged.iter().filter(|(at, _)| *at < time).map(|(_, least)| *least).max().unwrap_or(0)
        };
        let heard = self.proxies[proxy].heard.saturating_sub(LATENCY);
        let figures = &mut self.figures;
        match from {
            From::Coordinator if version < before(second) => figures.stale_from_coordinators += 1,
            From::Hot if version < before(begun - 3000) => figures.stale_from_deaf_proxies += 1,
            From::Hot if version < before(heard.min(second)) => figures.stale_from_proxies += 1,
            _ => {}
        }
    }

    /// Judges what a coordinator has answered to a question that was asked then.
    pub(super) fn check_question(&mut self, key: usize, asked: u64, version: u64) {
        let is_old = self.things[key].purged.iter().any(|(at, least)| *at < asked && version < *least);
        self.figures.stale_from_coordinators += u64::from(is_old);
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.figures.answers.entry(what).or_default() += 1;
    }
}
