//! Runs one worker in a host: carries out the steps of requests, sends lookups, and hands out their results.

mod answers;
mod arrivals;

pub use arrivals::decide;

use crate::{
    feed::{Feed, FeedCallout, Moment},
    host::{CallError, Carrier, Host, Level},
    request::{
        callout,
        fan_out::FanOut,
        invalidation,
        pass::Pass,
        response::{LookupStep, Lookups},
        step::{Callout, Step},
    },
    state::{
        attention::CHECK_PERIOD, counters::Event, gauges, hot_state::HotState, invalidations::CALL_TIMEOUT,
        lookup::PeerLookup, pending::PendingLookups, sleep_check::SleepCheck, worker::Worker,
    },
    stream::StreamState,
};
use meshcache_protocol::Field;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The period in which a worker reads what the feed has brought to another, milliseconds.
pub const TICK: u64 = 250;
/// The period while requests wait for a result that is there.
const TICK_TO_FAN_OUT: u64 = 1;
/// The period while lookups may be hedged.
const TICK_TO_HEDGE: u64 = 5;

/// One worker in its host. It outlives configurations.
pub struct Driver {
    /// The worker's state.
    pub worker: Worker,
    feed: Feed,
    /// The token of the feed's request in flight.
    feed_token: Option<u32>,
    /// The Envoy cluster of the coordinators.
    cluster: String,
    /// The name of the shared data in which workers exchange invalidations.
    invalidations_name: String,
    /// This worker's number.
    number: u64,
    ticked: u64,
    sleep_check: SleepCheck,
    /// The lookups to be sent.
    outbox: Vec<Callout>,
    /// The lookups that are over, for the requests that still wait.
    fan_outs: VecDeque<FanOut>,
    /// The new states of streams that waited, until these take them.
    settled: BTreeMap<u32, StreamState>,
}

/// A callout's response.
pub struct CallResponse<'a> {
    /// Its header map.
    pub fields: Vec<Field<'a>>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Driver {
    /// A worker of the proxy of this name. `number` differs from those of the proxy's other workers. `cluster`: the
    /// Envoy cluster of the coordinators.
    pub fn new(number: u64, proxy: &str, cluster: &str, hot_bytes: usize) -> Self {
        Self::of(number, proxy, cluster, Arc::new(HotState::new(hot_bytes, 1)))
    }

    /// Such a worker behind a state that other threads use, too.
    pub fn of(number: u64, proxy: &str, cluster: &str, state: Arc<HotState>) -> Self {
        let mut worker = Worker::of(state);
        worker.observed = worker.observed.keyed(number);
        Self {
            worker,
            feed: Feed::new(number, proxy, cluster),
            feed_token: None,
            cluster: cluster.to_owned(),
            invalidations_name: format!("meshcache-invalidated-{cluster}"),
            number,
            ticked: 0,
            sleep_check: SleepCheck::default(),
            outbox: Vec::new(),
            fan_outs: VecDeque::new(),
            settled: BTreeMap::new(),
        }
    }

    /// Such a worker in a host that takes responses piece by piece.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.worker.streams = true;
        self
    }

    /// Such a worker in a host that can send a coordinator a copy of a response as it passes.
    #[must_use]
    pub fn filling(mut self) -> Self {
        self.worker.fills = true;
        self
    }

    /// Returns whether lookups are to be sent.
    pub fn has_callouts(&self) -> bool {
        !self.outbox.is_empty() || !self.worker.samples.is_idle()
    }

    /// Takes the state of a stream that waited, once it is settled.
    pub fn take_settled(&mut self, stream: u32) -> Option<StreamState> {
        self.settled.remove(&stream)
    }

    /// Removes a stream whose client left while it waited.
    pub fn leave(&mut self, stream: u32) {
        self.worker.lookups.leave(stream);
        self.settled.remove(&stream);
    }

    /// Hands out results, at most to `batch` streams, and sends what is to be sent. Returns the period in which
    /// [`Driver::tick`] is to be called.
    pub fn flush(&mut self, host: &mut dyn Host, batch: usize, now: u64) -> u64 {
        self.fan_out(host, batch, now);
        while let Some(callout) = self.outbox.pop() {
            let lookup = self.worker.lookups.get(callout.lookup);
            let send =
                |lookup: &PeerLookup| self.send(host, Carrier::Stream(lookup.request.leader), lookup, callout.timeout);
            match lookup.and_then(send) {
                Some(token) => self.worker.lookups.record_call(token, callout.lookup),
                None => self.fail_call(callout.lookup, now),
            }
        }
        self.send_invalidations(host, now);
        while let Some(lookup) = self.worker.samples.pop() {
            if let Some(token) = self.send(host, Carrier::Worker, &lookup, lookup.call_timeout()) {
                self.worker.samples.record_call(token, lookup);
            }
        }
        if !self.fan_outs.is_empty() {
            TICK_TO_FAN_OUT
        } else if self.worker.lookups.may_hedge() {
            TICK_TO_HEDGE
        } else if self.worker.lookups.awaits_calls() || self.worker.lookups.has_streaming() {
            CHECK_PERIOD
        } else {
            TICK
        }
    }

    /// Settles streams that waited, at most `batch` of them.
    fn fan_out(&mut self, host: &mut dyn Host, batch: usize, now: u64) {
        for _ in 0..batch {
            let Some(fan_out) = self.fan_outs.front_mut() else { return };
            let Some((stream, step)) = fan_out.next(&mut self.worker, now) else {
                self.fan_outs.pop_front();
                continue;
            };
            let (state, reply) = match step {
                Step::CallOut(callout) => {
                    self.outbox.push(callout);
                    continue;
                }
                Step::Wait => continue,
                Step::Pass(Pass { fill: Some(call), cache_status, .. }) => {
                    (StreamState::Fills { cache_status, call }, None)
                }
                Step::Pass(pass) => {
                    (StreamState::Passes { cache_status: pass.cache_status, fallback: pass.fallback }, None)
                }
                Step::Observe(observed) => (StreamState::Observed(observed), None),
                Step::Reply(mut reply) => (StreamState::Replied(std::mem::take(&mut reply.restore)), Some(reply)),
            };
            if !host.select(stream) {
                // A host that finds out later that the stream is over gives the load back then.
                if matches!(state, StreamState::Fills { .. }) && !self.worker.streams {
                    self.settled.insert(stream, state);
                }
                continue;
            }
            let was_refused = reply.as_ref().is_some_and(|reply| !host.reply(reply));
            if let StreamState::Fills { call, .. } = &state {
                host.fills(call);
            }
            self.settled.insert(stream, if was_refused { StreamState::refused() } else { state });
            if reply.is_none() || was_refused {
                host.resume();
            }
        }
    }

    /// Sends a lookup to its peer. Returns the token.
    fn send(&self, host: &mut dyn Host, carrier: Carrier, lookup: &PeerLookup, timeout: u64) -> Option<u32> {
        let since_change = self.worker.invalidations.since_change(lookup.request.key.hash(), lookup.sent);
        let headers = callout::compose(lookup, self.worker.snapshot()?, self.worker.purge_ack(), since_change)?;
        host.call(carrier, &headers, None, timeout).ok()
    }

    /// Sends the calls that are due after unsafe requests, and exchanges changes with the other workers. The results of
    /// the calls do not matter.
    fn send_invalidations(&mut self, host: &mut dyn Host, now: u64) {
        if self.worker.invalidations.is_idle() {
            return;
        }
        let due = invalidation::take_due(&mut self.worker, now);
        invalidation::exchange_with_workers(&mut self.worker, host.shared_data(), &self.invalidations_name, now);
        let Some(snapshot) = self.worker.snapshot() else { return };
        for headers in due.iter().flat_map(|target| invalidation::calls(target, snapshot)) {
            let _ = host.call(Carrier::Worker, &headers, None, CALL_TIMEOUT);
        }
    }

    fn carry_out(&mut self, step: LookupStep) {
        match step {
            LookupStep::CallOut(callout) => self.outbox.push(callout),
            LookupStep::Leave(passing, again) => {
                // Before all others: in this very callback its client is still there.
                self.fan_outs.push_front(*passing);
                self.outbox.extend(again);
            }
            LookupStep::Finish(fan_out) => self.fan_outs.push_back(*fan_out),
            LookupStep::Nothing => {}
        }
    }

    /// Begins anew after a panic in the middle of a call, and so of any change: no request waits any longer. A purge may
    /// have been noted and not carried out, so the hot cache is emptied.
    pub fn recover(&mut self) {
        self.worker.lookups = PendingLookups::default();
        self.outbox.clear();
        self.fan_outs.clear();
        self.settled.clear();
        self.worker.empty_hot_cache();
    }

    /// Notes the number of panics that the host has survived, for coordinators to know of.
    pub fn note_panics(&mut self, so_far: u64) {
        self.feed.panics.note(so_far);
    }

    /// Checks the peers that are waited for and, once in [`TICK`], the feed, the hot cache and the metrics. A call of
    /// [`Driver::flush`] has to follow. `wall`: Unix milliseconds.
    pub fn tick(&mut self, host: &mut dyn Host, at: Moment, wall: u64) {
        self.check_peers(at.now);
        if at.now < self.ticked.saturating_add(TICK * 3 / 4) {
            return;
        }
        self.ticked = at.now;
        if let Some(lead) = self.sleep_check.advance(at.now, wall) {
            host.log(
                Level::Warning,
                &format!("the wall's clock is {lead} ms ahead, so we slept or it was set: the hot cache is emptied"),
            );
            self.worker.empty_hot_cache();
        }
        for (address, what) in self.worker.peers.take_news() {
            host.log(Level::Warning, &format!("coordinator {address} {what}"));
        }
        for lookup in self.worker.lookups.take_overdue(at.now) {
            self.fail_call(lookup, at.now);
        }
        self.worker.state.hot.expire(at.now);
        invalidation::exchange_with_workers(&mut self.worker, host.shared_data(), &self.invalidations_name, at.now);
        self.report(host, at.now);
        let callout = self.feed.tick(&mut self.worker, host.shared_data(), at);
        self.send_feed(host, callout, at);
    }

    /// Gives up peers that are silent, and hedges.
    fn check_peers(&mut self, now: u64) {
        self.worker.attention.advance(now);
        let attention = self.worker.attention.time();
        for call in self.worker.lookups.give_up_silent(attention) {
            let step = Lookups { worker: &mut self.worker, now }.give_up(&call);
            self.carry_out(step);
        }
        self.fan_outs.extend(Lookups { worker: &mut self.worker, now }.leave_behind());
        for lookup in self.worker.lookups.to_hedge(attention) {
            let step = Lookups { worker: &mut self.worker, now }.hedge(lookup);
            self.carry_out(step);
        }
    }

    /// Hands counters and gauges to the host's metrics.
    fn report(&mut self, host: &mut dyn Host, now: u64) {
        let waits = self.worker.state.hot.take_waits();
        let counters = self.worker.all_counters();
        counters.count_events(Event::LockWait, waits);
        counters.take_metrics(|at, n| host.add_to_counter(at, n));
        // The feed takes these right after.
        host.add_to_groups(&counters.groups());
        let held =
            [self.worker.state.hot.bytes(), self.worker.state.hot.len()].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        let sums = gauges::publish(host.shared_data(), self.number, held, now);
        sums.into_iter().enumerate().for_each(|(at, sum)| host.set_gauge(at, sum));
    }

    fn send_feed(&mut self, host: &mut dyn Host, callout: Option<FeedCallout>, at: Moment) {
        let Some(callout) = callout else { return };
        self.feed_token = None;
        match host.call(Carrier::Worker, &callout.headers(), Some(&callout.body), callout.timeout) {
            Ok(token) => self.feed_token = Some(token),
            Err(error) => self.fail_feed(host, error, at),
        }
    }

    fn fail_feed(&mut self, host: &mut dyn Host, error: CallError, at: Moment) {
        let error = match error {
            // A mesh may keep a cluster from this proxy, for example by a Sidecar's egress.
            CallError::NoCluster => format!("this proxy has no cluster `{}`", self.cluster),
            CallError::Refused => "no coordinator answers".to_owned(),
        };
        if let Some(line) = self.feed.fail(&mut self.worker, at, error) {
            host.log(Level::Warning, &line);
        }
    }
}

#[cfg(test)]
mod tests;
