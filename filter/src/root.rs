//! One listener's filter in one worker thread: configuration, ticks, and the calls that go out and come back.

use crate::{
    answer::Answer,
    answered::Next,
    config::Config,
    counts,
    delivery::Delivery,
    exchange::{Ask, Exchange, Step},
    feed::{self, Feed, FeedAsk, Moment},
    host::{self, Kind, Level, Map, SharedData},
    invalidate, message,
    peers::Choice,
    rescue,
    site::Site,
    stream::{State, Stream},
    worker::Worker,
};
use meshcache_protocol::{Hash, wire};
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{ContextType, LogLevel},
};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

/// How often a worker looks what the feed has brought to another.
const TICK: u64 = 250;
/// How soon a worker goes on with those who still wait.
const SOON: u64 = 1;
/// How often it looks for peers that are silent, in groups that hedge.
const LOOK: u64 = 5;
/// To how many streams one callback gives an answer. Envoy replies to them one inside the other: with nothing else in the
/// filter chain, 450 fitted into its stack and 600 did not.
const BATCH: usize = 64;

/// What the listeners of one thread share, when their coordinators are the same. It outlives configurations.
pub(crate) struct Local {
    pub(crate) worker: Worker,
    feed: Feed,
    feed_token: Option<u32>,
    /// The name of the memory in which workers tell each other what is invalid.
    invalidated: String,
    ticked: u64,
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
    gauges: [(Option<u32>, i64); 2],
}

thread_local! {
    static LOCALS: RefCell<Vec<(String, Rc<RefCell<Local>>)>> = const { RefCell::new(Vec::new()) };
}

/// One configuration of the filter.
pub(crate) struct Root {
    id: u32,
    cluster: String,
    /// `None`: the configuration is wrong, and everything passes.
    local: Option<Rc<RefCell<Local>>>,
    site: Rc<RefCell<Site>>,
    /// The proxy's own identity.
    identity: Option<Rc<str>>,
    /// How often it ticks: as fast as it can, while some still wait for an answer that is there.
    ticks: u64,
}

unsafe extern "C" {
    /// The SDK's own entry. It makes this root the owner of calls that go out in it: those of a stream would be lost with the stream.
    fn proxy_on_queue_ready(context: u32, queue: u32);
}

/// Lets the root send what is in the outbox.
pub(crate) fn send(root: u32) {
    unsafe { proxy_on_queue_ready(root, 0) };
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, cluster: String::new(), local: None, site: Rc::new(RefCell::new(Site::new(None, None, None))), identity: None, ticks: TICK }
    }

    fn configure(&mut self, config: Config) {
        let metadata = |name: &str| host::text_property(&format!("xds\0node\0metadata\0{name}"));
        let namespace = metadata("NAMESPACE");
        // Istio's mesh id is the trust domain.
        let domain = metadata("TRUST_DOMAIN").or_else(|| metadata("MESH_ID"));
        self.identity = match (domain, &namespace, metadata("SERVICE_ACCOUNT")) {
            (Some(domain), Some(namespace), Some(account)) => Some(format!("spiffe://{domain}/ns/{namespace}/sa/{account}").into()),
            _ => None,
        };
        *self.site.borrow_mut() = Site::new(config.groups, config.side, namespace);
        self.local = Some(local(&config.cluster, usize::try_from(config.hot_bytes_per_worker.0).unwrap_or(0)));
        self.cluster = config.cluster;
    }

    /// Gives out what is there to give, and sends what is in the outbox. A question that cannot go out is answered by nobody.
    fn flush(&mut self) {
        let Some(shared) = self.local.clone() else { return };
        let Ok(mut local) = shared.try_borrow_mut() else { return };
        let more = local.deliver();
        while let Some(ask) = local.outbox.pop() {
            match self.dispatch(&local, &ask) {
                Some(token) => local.worker.questions.sent(token, ask.question),
                None => local.unsent(ask.question),
            }
        }
        self.tell(&mut local);
        let ticks = match () {
            () if more || local.has_more() => SOON,
            () if local.worker.questions.may_fall_silent() => LOOK,
            () => TICK,
        };
        if ticks != self.ticks {
            self.ticks = ticks;
            host::act_for(self.id);
            host::set_tick_period(Duration::from_millis(ticks));
        }
    }

    /// Tells peers and other workers what unsafe requests have made invalid. Nobody waits for an answer.
    fn tell(&self, local: &mut Local) {
        if local.worker.invalidations.is_idle() {
            return;
        }
        let name = local.invalidated.clone();
        let mut exchange = Exchange { worker: &mut local.worker, now: host::now() };
        let due = exchange.due_invalidations();
        exchange.share_invalidations(&mut SharedData, &name);
        let Some(known) = local.worker.known() else { return };
        for headers in due.iter().flat_map(|told| told.calls(known)) {
            self.call(&headers, None, invalidate::TIMEOUT);
        }
    }

    fn dispatch(&self, local: &Local, ask: &Ask) -> Option<u32> {
        let question = local.worker.questions.get(ask.question)?;
        let changed = local.worker.invalidations.changed(question.key.hash(), question.sent);
        let headers = message::compose(question, local.worker.known()?, local.worker.told(), changed)?;
        self.call(&headers, None, ask.timeout)
    }

    fn dispatch_feed(&self, local: &mut Local, ask: &FeedAsk) {
        let mut headers: message::Headers<'_> = vec![
            (":method", Cow::Borrowed("POST")),
            (":scheme", Cow::Borrowed("http")),
            (":authority", Cow::Borrowed("meshcache")),
            (":path", Cow::Borrowed(wire::FEED_PATH)),
            ("content-type", Cow::Borrowed("application/json")),
            (wire::header::WIRE, Cow::Owned(wire::VERSION.to_string())),
        ];
        headers.extend(ask.peer.as_deref().map(|peer| (wire::header::PEER, Cow::Borrowed(peer))));
        local.feed_token = self.call(&headers, Some(&ask.body), feed::TIMEOUT);
        if local.feed_token.is_none() {
            local.feed_answered(None);
        }
    }

    fn call(&self, headers: &message::Headers<'_>, body: Option<&[u8]>, timeout: u64) -> Option<u32> {
        let headers = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        host::act_for(self.id);
        hostcalls::dispatch_http_call(&self.cluster, headers, body, Vec::new(), Duration::from_millis(timeout)).ok()
    }
}

impl Local {
    /// A peer answered a question, or not, where there is no answer.
    fn answered(&mut self, question: u32, peer: &Choice, answer: Option<Answer>) {
        let next = (Exchange { worker: &mut self.worker, now: host::now() }).answered(question, peer, answer);
        self.go_on(next);
    }

    /// A question could not go out to its peer, or was never heard of again.
    fn unsent(&mut self, question: u32) {
        if let Some(peer) = self.worker.questions.get(question).map(|question| question.peer.clone()) {
            self.answered(question, &peer, None);
        }
    }

    fn go_on(&mut self, next: Next) {
        match next {
            Next::Ask(ask) => self.outbox.push(ask),
            Next::Deliver(delivery) => self.deliveries.push_back(delivery),
            Next::Nothing => {}
        }
    }

    /// Asks the next peers of those that are silent.
    fn hedge(&mut self) {
        let now = host::now();
        for question in self.worker.questions.silent(now) {
            let next = (Exchange { worker: &mut self.worker, now }).silent(question);
            self.go_on(next);
        }
    }

    /// Tells some of those who waited what became of them. Whether there are more.
    fn deliver(&mut self) -> bool {
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
                rescue::resumed(place);
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

    fn has_more(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// An answer to the feed's question came, or none. Returns the next question.
    fn feed_answered(&mut self, body: Option<&[u8]>) -> Option<FeedAsk> {
        let (line, next) = self.feed.answered(&mut self.worker, &mut SharedData, body, moment());
        if let Some(line) = line {
            host::log(Level::Warning, &line);
        }
        next
    }

    fn tick(&mut self) -> Option<FeedAsk> {
        let at = moment();
        if at.now < self.ticked.saturating_add(TICK * 3 / 4) {
            return None;
        }
        self.ticked = at.now;
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
        // A gauge is one for all workers: each tells what changed.
        let now = [self.worker.hot.bytes(), self.worker.hot.len()].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        for ((metric, told), now) in self.gauges.iter_mut().zip(now) {
            if let (Some(metric), true) = (*metric, now != *told) {
                host::count(metric, now.saturating_sub(*told));
                *told = now;
            }
        }
    }
}

/// The thread's state for coordinators in this cluster.
fn local(cluster: &str, hot_bytes: usize) -> Rc<RefCell<Local>> {
    LOCALS.with_borrow_mut(|locals| {
        if let Some((_, local)) = locals.iter().find(|(known, _)| known == cluster) {
            if let Ok(mut local) = local.try_borrow_mut() {
                local.worker.hot.resize(hot_bytes);
            }
            return local.clone();
        }
        let proxy = host::text_property("xds\0node\0id").unwrap_or_default();
        let holder = host::nanoseconds() ^ (Rc::as_ptr(&Rc::new(0)) as usize as u64);
        let counters = counts::metric_names().map(|name| host::metric(Kind::Counter, &name)).collect();
        let gauges = ["meshcache_filter_hot_bytes", "meshcache_filter_hot_items"].map(|name| (host::metric(Kind::Gauge, name), 0));
        let local = Rc::new(RefCell::new(Local {
            worker: Worker::new(hot_bytes),
            feed: Feed::new(holder, &proxy, cluster),
            feed_token: None,
            invalidated: format!("meshcache-invalidated-{cluster}"),
            ticked: 0,
            outbox: Vec::new(),
            deliveries: VecDeque::new(),
            fates: BTreeMap::new(),
            paused: BTreeMap::new(),
            current: 0,
            counters,
            gauges,
        }));
        locals.push((cluster.to_owned(), local.clone()));
        local
    })
}

fn moment() -> Moment {
    let time = host::nanoseconds();
    Moment { now: time / 1_000_000, random: Hash::of(&time.to_le_bytes()).low() }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, _: usize, _: usize) {
        let Some(shared) = self.local.clone() else { return };
        {
            let Ok(mut local) = shared.try_borrow_mut() else { return };
            if local.feed_token == Some(token) {
                local.feed_token = None;
                let is_answer = headers > 0 && host::header_map(Map::CallResponse).is_some_and(|map| is_ok(&map));
                let body = is_answer.then(|| host::buffer(host::Buffer::CallBody));
                if let Some(ask) = local.feed_answered(body.as_deref()) {
                    self.dispatch_feed(&mut local, &ask);
                }
                return;
            }
            let Some((question, peer)) = local.worker.questions.by_token(token) else { return };
            let to_head = local.worker.questions.get(question).is_some_and(|question| question.to_head);
            let map = if headers > 0 { host::header_map(Map::CallResponse) } else { None };
            let answer = map.as_deref().and_then(|map| Answer::read(map, host::buffer(host::Buffer::CallBody), to_head));
            local.answered(question, &peer, answer);
        }
        self.flush();
    }
}

fn is_ok(map: &[u8]) -> bool {
    crate::pairs::Pairs::of(map).is_some_and(|mut pairs| pairs.any(|pair| pair == (b":status", b"200")))
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match Config::read(&host::buffer(host::Buffer::Configuration)) {
            Ok(config) => {
                self.configure(config);
                host::set_tick_period(Duration::from_millis(TICK));
            }
            // `false` would fail the whole module, other listeners' filters too. This one passes everything instead.
            Err(error) => host::log(Level::Critical, &format!("the filter's configuration is wrong, every request passes: {error}")),
        }
        true
    }

    fn on_tick(&mut self) {
        let Some(shared) = self.local.clone() else { return };
        if let Ok(mut local) = shared.try_borrow_mut() {
            local.hedge();
            if let Some(ask) = local.tick() {
                self.dispatch_feed(&mut local, &ask);
            }
        }
        self.flush();
    }

    fn on_queue_ready(&mut self, _: u32) {
        self.flush();
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.id, self.local.clone(), self.site.clone(), self.identity.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    rescue::on_panic();
    proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
}}
