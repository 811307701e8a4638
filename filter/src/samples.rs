//! `mode: observe`: now and then the owner is asked, too, as it would be in a group that answers. What it loads is held
//! against what the proxy's route brings: a path or a host that is rewritten on the way shows.

use crate::{
    answer::{Answer, Failure},
    counts::Outcome,
    exchange::{Arrival, Exchange},
    head::Head,
    message,
    passes::Asked,
    questions::Question,
    site::{Side, Site},
    worker::Worker,
};
use meshcache_protocol::{
    Field, Group, Key, PassedResponse, Request, Response, Route,
    freshness::{Times, joins},
    request::Flags,
};
use std::{collections::BTreeMap, sync::Arc};

/// One request of so many.
const OF: u32 = 100;
/// Milliseconds between two of one group, in this worker.
const PAUSE: u64 = 1000;
/// The most that are under way.
const MOST: usize = 16;
/// The most groups that are counted.
const MOST_GROUPS: usize = 4096;

/// What is asked beside requests that pass.
#[derive(Default)]
pub struct Samples {
    /// Of each group: how many requests came since the last one, and when the next may be taken.
    groups: BTreeMap<String, (u32, u64)>,
    /// What is to go out.
    due: Vec<Question>,
    /// What went out, by Envoy's token.
    calls: BTreeMap<u32, Question>,
}

impl Samples {
    /// Counts a request. Whether it is one of those.
    fn takes(&mut self, group: &str, now: u64) -> bool {
        if !self.groups.contains_key(group) {
            if self.groups.len() >= MOST_GROUPS {
                return false;
            }
            self.groups.insert(group.to_owned(), (0, now));
        }
        let has_room = self.due.len().saturating_add(self.calls.len()) < MOST;
        let Some((count, next)) = self.groups.get_mut(group) else { return false };
        *count = count.saturating_add(1);
        let takes = has_room && *count >= OF && now >= *next;
        if takes {
            (*count, *next) = (0, now.saturating_add(PAUSE));
        }
        takes
    }

    /// Whether nothing is to go out.
    pub fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    /// What is to go out next.
    pub fn take(&mut self) -> Option<Question> {
        self.due.pop()
    }

    /// It went out under this token.
    pub fn sent(&mut self, token: u32, question: Question) {
        self.calls.insert(token, question);
    }

    /// It came back.
    pub fn by_token(&mut self, token: u32) -> Option<Question> {
        self.calls.remove(&token)
    }
}

/// A request of a group that observes, where its owner may be asked, too.
pub(crate) struct Candidate<'a> {
    pub(crate) site: &'a Site,
    pub(crate) side: Side,
    pub(crate) group: &'a Arc<Group>,
    pub(crate) request: &'a Request<'a>,
    pub(crate) key: &'a Key,
    pub(crate) route: Option<Route>,
    pub(crate) verified: bool,
}

impl Candidate<'_> {
    /// Has the owner asked, if it is time for one.
    pub(crate) fn sample(self, worker: &mut Worker, arrival: Arrival<'_, '_>, now: u64) {
        let Self { site, side, group, request, key, route, verified } = self;
        let alone = joins(group, request, verified);
        // Nobody's own answer, and nothing that is asked of the service in a way of its own.
        let is_plain =
            alone.is_ok() && !request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL).with(Flags::CACHE_CONTROL));
        let fits = || message::is_text(request) && message::fits(request, arrival.map, worker.told(), route.as_ref());
        let Some(known) = site.known().filter(|_| is_plain && worker.may_ask() && fits()) else { return };
        if !worker.samples.takes(group.name(), now) {
            return;
        }
        let Some(peer) = worker.peers.choose(&known.ring, key.hash(), now) else { return };
        let question = Question {
            side,
            group: group.clone(),
            key: key.clone(),
            route,
            asked: Asked::new(side, alone),
            shared: false,
            verified,
            to_head: false,
            namespace: site.namespace().map(str::to_owned),
            map: arrival.map.to_vec(),
            leader: arrival.stream,
            peer,
            again: false,
            tries: 1,
            calls: 1,
            // Nobody waits, so that it need not say soon that it is loading.
            heard: true,
            flight: 0,
            purges: worker.purges(),
            collapsed: None,
            began: now,
            since: now,
            sent: now,
            asked_at: worker.attention.time(),
        };
        worker.samples.due.push(question);
    }
}

impl Exchange<'_> {
    /// What the owner would have answered. `wall`: Unix milliseconds.
    pub fn sampled(&mut self, question: &Question, answer: Result<Answer, Failure>, wall: u64) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(Failure::Peer) => return self.worker.peers.failed(&question.peer.address, self.now),
            Err(Failure::Stream) => return,
        };
        self.worker.peers.answered(&question.peer.address);
        // What was purged since then, or decided under other rules, says nothing.
        let same = self
            .worker
            .known()
            .and_then(|known| known.groups.named(question.group.name()))
            .is_some_and(|now| now.digest() == question.group.digest());
        if !same
            || question.purges != self.worker.purges()
            || !answer.verdict.outcome.has_response()
            || !answer.verdict.shared
        {
            return;
        }
        let Some(head) = Head::read(&question.map) else { return };
        let Ok(request) = head.request() else { return };
        let age = (answer.verdict.age / 1000).to_string();
        let fields: Vec<Field<'_>> = answer.block.fields().chain([(&b"age"[..], age.as_bytes())]).collect();
        let response = Response { status: answer.status, fields: &fields };
        let times = Times { requested: wall.saturating_sub(self.now.saturating_sub(question.sent)), responded: wall };
        let passed = PassedResponse {
            group: &question.group,
            key: &question.key,
            request: &request,
            verified: question.verified,
            response: &response,
            times,
        };
        let passing = self.worker.observed.begin(&passed, self.now).and_then(|passing| passing.piece(&answer.body));
        if passing.is_some_and(|passing| self.worker.observed.finish(passing, self.now)) {
            self.worker.counts.outcome(question.group.name(), Outcome::Mismatch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_hundred_and_one_a_second_of_each_group() {
        let mut samples = Samples::default();
        let taken = |samples: &mut Samples, group, requests: u64, each: u64| {
            (1..=requests).filter(|n| samples.takes(group, n * each)).count()
        };
        assert_eq!(taken(&mut samples, "seldom", 99, 1000), 0);
        assert_eq!(taken(&mut samples, "slow", 1000, 1000), 10);
        assert_eq!(taken(&mut samples, "fast", 4000, 1), 4);
    }
}
