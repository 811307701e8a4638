//! Checks each answer against acknowledged purges, and counts what happens.

use crate::simulation::{net::LATENCY, world::World};
use std::collections::BTreeMap;

/// One key of the service.
#[derive(Default)]
pub(super) struct ServiceKey {
    /// The number of its changes.
    pub(super) version: u64,
    /// The loads by coordinators.
    pub(super) loads: u64,
    /// The requests that passed by a load's leave.
    pub(super) leaves: u64,
    /// The purges that were acknowledged by all: when, and the oldest version that may be answered since.
    pub(super) acknowledged_purges: Vec<(u64, u64)>,
}

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) answers: BTreeMap<&'static str, u64>,
    pub(super) keys: u64,
    pub(super) loads: u64,
    pub(super) most_loads: u64,
    /// Answers in parts that were whole for their readers, but of two versions, or shorter than they should be.
    pub(super) mixed: u64,
    pub(super) short: u64,
    /// Readers that went on elsewhere.
    pub(super) continued: u64,
    /// Requests that passed by a load's leave, and the keys for which more did so than there were loads.
    pub(super) leaves: u64,
    pub(super) too_many_leaves: u64,
    /// Answers of coordinators older than a purge that was acknowledged before their question, or a second before
    /// their request began: it may have joined a question.
    pub(super) stale_from_coordinators: u64,
    /// Answers of hot caches older than a purge acknowledged a second before, in proxies with an answer of the feed
    /// since.
    pub(super) stale_from_proxies: u64,
    /// Answers of hot caches older than a purge acknowledged 3 s before, in any proxy.
    pub(super) stale_from_cut_off_proxies: u64,
    pub(super) purges: u64,
    pub(super) purges_everywhere: u64,
    pub(super) messages: u64,
    pub(super) lost: u64,
    /// Calls by which coordinators catch up.
    pub(super) catch_up_calls: u64,
    /// Calls that carry purges and announcements.
    pub(super) purge_calls: u64,
    pub(super) announcements: u64,
    /// Starts and ends of coordinators, announced or not.
    pub(super) changes: u64,
    pub(super) rings: u64,
    pub(super) feed_answers: u64,
    pub(super) feed_states: u64,
    pub(super) flushes: u64,
}

/// The source of an answer.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum AnswerSource {
    Coordinator,
    Hot,
}

impl World {
    /// Checks an answer to a request that began at `begun`.
    pub(super) fn check(&mut self, proxy: usize, key: usize, begun: u64, version: u64, source: AnswerSource) {
        let second = begun - 1000;
        let before = |time: u64| {
            self.service_keys[key]
                .acknowledged_purges
                .iter()
                .filter(|(at, _)| *at < time)
                .map(|(_, least)| *least)
                .max()
                .unwrap_or(0)
        };
        let heard = self.proxies[proxy].heard.saturating_sub(LATENCY);
        let figures = &mut self.figures;
        match source {
            AnswerSource::Coordinator if version < before(second) => figures.stale_from_coordinators += 1,
            AnswerSource::Hot if version < before(begun - 3000) => figures.stale_from_cut_off_proxies += 1,
            AnswerSource::Hot if version < before(heard.min(second)) => figures.stale_from_proxies += 1,
            _ => {}
        }
    }

    /// Checks the answer of a coordinator to a question that was sent at `asked`.
    pub(super) fn check_question(&mut self, key: usize, asked: u64, version: u64) {
        let is_old =
            self.service_keys[key].acknowledged_purges.iter().any(|(at, least)| *at < asked && version < *least);
        self.figures.stale_from_coordinators += u64::from(is_old);
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.figures.answers.entry(what).or_default() += 1;
    }
}
