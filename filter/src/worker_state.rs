//! The state of one worker thread, which the listeners with the same coordinators share. It outlives configurations.

use crate::{
    host::{self, EnvoySharedData, Kind},
    trap,
};
use meshcache_protocol::Hash;
use meshcache_proxy::{
    driver::Driver,
    feed::Moment,
    host::{CallError, Carrier, Host, Level},
    http::Headers,
    request::{fill::FillCall, fill_copy::CopyRoom, reply::Reply},
    state::{counters, hot_state::HotState, shared_data::SharedData},
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

/// One worker.
pub(crate) struct WorkerState {
    pub(crate) driver: Driver,
    pub(crate) envoy: EnvoyState,
}

/// The worker's streams and metrics in Envoy.
pub(crate) struct EnvoyState {
    /// The stream whose own callback is running. It is not resumed: its callback returns what happens.
    pub(crate) current: u32,
    selected: u32,
    /// The paused streams, each with its place for the trap handler.
    paused: BTreeMap<u32, u32>,
    /// Where the copies of responses grow that requests fill with.
    pub(crate) copies: CopyRoom,
    counters: Vec<Option<u32>>,
    gauges: [Option<u32>; counters::GAUGES.len()],
}

/// A cluster of coordinators, its worker, and what requests read without it.
type Known = (String, Rc<RefCell<WorkerState>>, Arc<HotState>);

thread_local! {
    static WORKERS: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

impl EnvoyState {
    /// Records that a stream is paused. Returns whether there is room: else it must not be paused.
    pub(crate) fn pause(&mut self, stream: u32) -> bool {
        let place = trap::take_place(stream);
        self.paused.extend(place.map(|place| (stream, place)));
        place.is_some()
    }

    /// Records that a stream is no longer paused.
    pub(crate) fn unpause(&mut self, stream: u32) {
        if let Some(place) = self.paused.remove(&stream) {
            trap::free_place(place);
        }
    }
}

/// Envoy, as the driver uses it in a callback.
pub(crate) struct EnvoyHost<'a> {
    root: u32,
    cluster: &'a str,
    state: &'a mut EnvoyState,
    shared: EnvoySharedData,
}

impl<'a> EnvoyHost<'a> {
    /// `root`: the context that owns callouts. `cluster`: the one of the coordinators.
    pub(crate) fn new(root: u32, cluster: &'a str, state: &'a mut EnvoyState) -> Self {
        Self { root, cluster, state, shared: EnvoySharedData }
    }
}

impl Host for EnvoyHost<'_> {
    fn call(&mut self, _: Carrier, headers: &Headers<'_>, body: Option<&[u8]>, timeout: u64) -> Result<u32, CallError> {
        host::act_for(self.root);
        host::call(self.cluster, headers, body.unwrap_or_default(), timeout)
    }

    fn select(&mut self, stream: u32) -> bool {
        self.state.unpause(stream);
        self.state.selected = stream;
        host::act_for(stream)
    }

    fn reply(&mut self, reply: &Reply<'_>) -> bool {
        host::reply(reply)
    }

    fn fills(&mut self, call: &FillCall) {
        host::add_header(host::Map::Request, "cdn-loop", call.installation.as_bytes());
    }

    fn resume(&mut self) {
        if self.state.selected != self.state.current {
            host::resume();
        }
    }

    fn shared_data(&mut self) -> &mut dyn SharedData {
        &mut self.shared
    }

    fn add_to_counter(&mut self, counter: usize, n: u64) {
        if let Some(Some(metric)) = self.state.counters.get(counter) {
            host::count(*metric, i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    fn set_gauge(&mut self, gauge: usize, value: u64) {
        if let Some(Some(metric)) = self.state.gauges.get(gauge) {
            host::set_gauge(*metric, value);
        }
    }

    fn log(&mut self, level: Level, line: &str) {
        host::log(level, line);
    }
}

/// Returns this thread's state for the coordinators in this cluster: the worker, and what requests read without it.
pub(crate) fn worker_state(cluster: &str, hot_bytes: usize) -> (Rc<RefCell<WorkerState>>, Arc<HotState>) {
    WORKERS.with_borrow_mut(|workers| {
        if let Some((_, worker, state)) = workers.iter().find(|(other, ..)| other == cluster) {
            state.hot.resize(hot_bytes);
            return (worker.clone(), state.clone());
        }
        let proxy = host::text_property("xds\0node\0id").unwrap_or_default();
        // No root has those any longer, and nothing would tick them.
        workers.retain(|(_, worker, _)| Rc::strong_count(worker) > 1);
        let driver = Driver::new(host::nanoseconds(), &proxy, cluster, hot_bytes).filling();
        let state = driver.worker.state.clone();
        let worker = Rc::new(RefCell::new(WorkerState {
            driver,
            envoy: EnvoyState {
                current: 0,
                selected: 0,
                paused: BTreeMap::new(),
                copies: CopyRoom::default(),
                counters: counters::metric_names().map(|name| host::metric(Kind::Counter, &name)).collect(),
                gauges: counters::GAUGES.map(|name| host::metric(Kind::Gauge, name)),
            },
        }));
        workers.push((cluster.to_owned(), worker.clone(), state.clone()));
        (worker, state)
    })
}

/// Returns the current time, and a random number.
pub(crate) fn moment() -> Moment {
    let time = host::nanoseconds();
    Moment { now: time / 1_000_000, random: Hash::of(&time.to_le_bytes()).low() }
}
