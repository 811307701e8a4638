//! What the listeners of one worker thread share: the worker, its part in the feed, and who still waits for an answer.

use crate::{
    host::{self, Kind, Level, SharedData},
    stream::State,
    trap,
};
use meshcache_protocol::Hash;
use meshcache_proxy::{
    feed::{Feed, FeedAsk, Moment},
    http::peer_response::{Answer, Failure},
    request::{
        exchange::{Ask, Exchange, Step},
        fan_out::Delivery,
        response::Next,
    },
    state::{counters, gauges, pending::Call, worker::Worker},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

/// How often a worker looks what the feed has brought to another, milliseconds.
pub(crate) const TICK: u64 = 250;
/// By so much the wall's clock may run ahead of ours from one tick to the next, milliseconds.
const SLEPT: u64 = 1000;
/// To how many streams one callback gives an answer. Envoy replies to them one inside the other: with nothing else in
/// the filter chain, 450 fitted into its stack and 600 did not.
const BATCH: usize = 64;

/// What the listeners of one thread share, when their coordinators are the same. It outlives configurations.
pub(crate) struct Local {
    pub(crate) worker: Worker,
    feed: Feed,
    pub(crate) feed_token: Option<u32>,
    /// The name of the memory in which workers tell each other what is invalid.
    pub(crate) invalidated: String,
    ticked: u64,
    /// The wall's clock then.
    walled: u64,
    /// Questions that are to go out.
    pub(crate) outbox: Vec<Ask>,
    /// Questions that are over, for those who still wait.
    deliveries: VecDeque<Box<Delivery>>,
    /// What became of the streams that waited, until they ask.
    pub(crate) fates: BTreeMap<u32, State>,
    /// The places of those that wait.
    pub(crate) paused: BTreeMap<u32, u32>,
    /// The stream whose own callback is running: it is not resumed but told.
    pub(crate) current: u32,
    counters: Vec<Option<u32>>,
    gauges: [Option<u32>; gauges::COUNT],
    /// This worker among those that set the gauges.
    holder: u64,
}

thread_local! {
    static LOCALS: RefCell<Vec<(String, Rc<RefCell<Local>>)>> = const { RefCell::new(Vec::new()) };
}

impl Local {
    /// A call came back.
    pub(crate) fn answered(&mut self, call: &Call, answer: Result<Answer, Failure>) {
        let next = (Exchange { worker: &mut self.worker, now: host::now() }).answered(call, answer);
        self.go_on(next);
    }

    /// A question could not go out to its peer, or was never heard of again.
    pub(crate) fn unsent(&mut self, question: u32) {
        if let Some(call) = self.worker.questions.get(question).map(|asked| Call::new(question, asked)) {
            self.answered(&call, Err(Failure::Peer));
        }
    }

    fn go_on(&mut self, next: Next) {
        match next {
            Next::Ask(ask) => self.outbox.push(ask),
            Next::Deliver(delivery) => self.deliveries.push_back(delivery),
            Next::Nothing => {}
        }
    }

    /// Looks who is silent: the next peers are asked.
    pub(crate) fn look(&mut self) {
        let now = host::now();
        self.worker.attention.look(now);
        let attentive = self.worker.attention.time();
        for call in self.worker.questions.silent(attentive) {
            let next = (Exchange { worker: &mut self.worker, now }).gives_up(&call);
            self.go_on(next);
        }
        for question in self.worker.questions.to_hedge(attentive) {
            let next = (Exchange { worker: &mut self.worker, now }).hedges(question);
            self.go_on(next);
        }
    }

    /// Tells some of those who waited what became of them. Whether there are more.
    pub(crate) fn deliver(&mut self) -> bool {
        let now = host::now();
        for _ in 0..BATCH {
            let Some(delivery) = self.deliveries.front_mut() else { return false };
            let Some((stream, step)) = delivery.next(&mut self.worker, now) else {
                self.deliveries.pop_front();
                continue;
            };
            let (state, reply) = match step {
                Step::Ask(ask) => {
                    self.outbox.push(ask);
                    continue;
                }
                Step::Wait => continue,
                Step::Pass(pass) => (State::Passes(pass.note, pass.spare), None),
                Step::Watch(watch) => (State::Watches(watch), None),
                Step::Reply(mut reply) => (State::Replied(std::mem::take(&mut reply.restore)), Some(reply)),
            };
            if let Some(place) = self.paused.remove(&stream) {
                trap::resumed(place);
            }
            if !host::act_for(stream) {
                continue;
            }
            let replied = reply.is_some_and(|reply| host::reply(&reply));
            let state = if matches!(state, State::Replied(_)) && !replied { State::Passes(None, None) } else { state };
            self.fates.insert(stream, state);
            if !replied && stream != self.current {
                host::resume();
            }
        }
        !self.deliveries.is_empty()
    }

    /// Whether some still wait for an answer that is there.
    pub(crate) fn has_more(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// An answer to the feed's question came, or none. Returns the next question.
    pub(crate) fn feed_answered(&mut self, body: Option<&[u8]>) -> Option<FeedAsk> {
        let (line, next) = self.feed.answered(&mut self.worker, &mut SharedData, body, moment());
        if let Some(line) = line {
            host::log(Level::Warning, &line);
        }
        next
    }

    /// The feed's question could not go out.
    pub(crate) fn feed_unsent(&mut self, why: String) {
        if let Some(line) = self.feed.fails(&mut self.worker, moment(), why) {
            host::log(Level::Warning, &line);
        }
    }

    pub(crate) fn tick(&mut self) -> Option<FeedAsk> {
        let at = moment();
        if at.now < self.ticked.saturating_add(TICK * 3 / 4) {
            return None;
        }
        let wall = host::wall();
        // This worker's clock stood still while the machine slept: how old everything is, and what was purged, nobody
        // here knows.
        let slept = wall.saturating_sub(self.walled).saturating_sub(at.now.saturating_sub(self.ticked));
        if self.walled > 0 && slept > SLEPT {
            host::log(
                Level::Warning,
                &format!("the wall's clock is {slept} ms ahead, so we slept or it was set: the hot cache is emptied"),
            );
            self.worker.forget_all();
        }
        (self.ticked, self.walled) = (at.now, wall);
        for (address, what) in self.worker.peers.take_news() {
            host::log(Level::Warning, &format!("coordinator {address} {what}"));
        }
        for question in self.worker.questions.overdue(at.now) {
            self.unsent(question);
        }
        self.worker.hot.expire(at.now);
        let name = self.invalidated.clone();
        Exchange { worker: &mut self.worker, now: at.now }.share_invalidations(&mut SharedData, &name);
        self.report();
        self.feed.tick(&mut self.worker, &mut SharedData, at)
    }

    /// Hands counters to Envoy's metrics.
    fn report(&mut self) {
        let counters = &self.counters;
        self.worker.counts.take_metrics(|at, n| {
            if let Some(Some(metric)) = counters.get(at) {
                host::count(*metric, i64::try_from(n).unwrap_or(i64::MAX));
            }
        });
        // A gauge is one for all workers, and outlives them.
        let held = [self.worker.hot.bytes(), self.worker.hot.len()].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        let sum = gauges::sum(&mut SharedData, self.holder, held, host::now());
        for (metric, value) in self.gauges.iter().zip(sum) {
            if let Some(metric) = *metric {
                host::set(metric, value);
            }
        }
    }
}

/// The thread's state for coordinators in this cluster.
pub(crate) fn local(cluster: &str, hot_bytes: usize) -> Rc<RefCell<Local>> {
    LOCALS.with_borrow_mut(|locals| {
        if let Some((_, local)) = locals.iter().find(|(known, _)| known == cluster) {
            if let Ok(mut local) = local.try_borrow_mut() {
                local.worker.hot.resize(hot_bytes);
            }
            return local.clone();
        }
        let proxy = host::text_property("xds\0node\0id").unwrap_or_default();
        let holder = host::nanoseconds() ^ (Rc::as_ptr(&Rc::new(0)) as usize as u64);
        let counters = counters::metric_names().map(|name| host::metric(Kind::Counter, &name)).collect();
        let gauges = counters::GAUGES.map(|name| host::metric(Kind::Gauge, name));
        let local = Rc::new(RefCell::new(Local {
            worker: Worker::new(hot_bytes),
            feed: Feed::new(holder, &proxy, cluster),
            feed_token: None,
            invalidated: format!("meshcache-invalidated-{cluster}"),
            ticked: 0,
            walled: 0,
            outbox: Vec::new(),
            deliveries: VecDeque::new(),
            fates: BTreeMap::new(),
            paused: BTreeMap::new(),
            current: 0,
            counters,
            gauges,
            holder,
        }));
        locals.push((cluster.to_owned(), local.clone()));
        local
    })
}

fn moment() -> Moment {
    let time = host::nanoseconds();
    Moment { now: time / 1_000_000, random: Hash::of(&time.to_le_bytes()).low() }
}
