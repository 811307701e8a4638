//! One listener's filter in one worker thread: its configuration, ticks, and the results of callouts.

use crate::{
    facts::EnvoyFacts,
    host::{self, Action, Map},
    worker_state::{EnvoyHost, WorkerState, moment, worker_state},
};
use meshcache_proxy::{
    config::{Config, FilterHost},
    driver::{CallResponse, Driver, TICK},
    host::Level,
    http::header_map::HeaderMap,
    request::{context::Context, fill::FillCall, fill_copy::FillCopy, repeats::Repeats},
    state::{hot_state::HotState, listener_config::ListenerConfig, other_hosts::OtherHosts},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// The most streams that get their results in one callback. Envoy replies to them one inside the other: with nothing
/// else in the filter chain, 450 fitted into its stack and 600 did not.
const BATCH: usize = 64;

/// The time between two looks for streams that are over, milliseconds.
const SWEEP: u64 = 10;

/// How long an owner may take for a copy, milliseconds.
const FILL_TIMEOUT: u64 = 30_000;

/// One configuration of the filter.
pub(crate) struct Root {
    id: u32,
    /// `None`: the configuration is wrong or has not come yet, and every request passes.
    configured: OnceCell<Configured>,
    /// The current period of ticks.
    period: Cell<u64>,
    /// When streams that are over were looked for.
    swept: Cell<u64>,
    /// The copies that Envoy is sending, each with the room that it takes.
    sent: RefCell<Vec<(u32, FillCopy)>>,
}

/// What a correct configuration brings.
pub(crate) struct Configured {
    cluster: String,
    pub(crate) listener: ListenerConfig,
    /// The proxy's own identity.
    identity: Option<String>,
    /// What a request reads that needs no worker.
    pub(crate) state: Arc<HotState>,
    pub(crate) worker: Rc<RefCell<WorkerState>>,
    pub(crate) other_hosts: RefCell<OtherHosts>,
    pub(crate) repeats: RefCell<Repeats>,
    has_metadata: Cell<bool>,
}

impl Configured {
    /// What Envoy knows of the request whose callback this is.
    pub(crate) fn facts(&self) -> EnvoyFacts<'_> {
        EnvoyFacts { identity: self.identity.as_deref(), has_metadata: &self.has_metadata }
    }

    fn new(config: Config) -> Self {
        let metadata = |name: &str| host::text_property(&format!("xds\0node\0metadata\0{name}"));
        let namespace = metadata("NAMESPACE");
        // Istio's mesh id is the trust domain.
        let domain = metadata("TRUST_DOMAIN").or_else(|| metadata("MESH_ID"));
        let identity = match (domain, &namespace, metadata("SERVICE_ACCOUNT")) {
            (Some(domain), Some(namespace), Some(account)) => {
                Some(format!("spiffe://{domain}/ns/{namespace}/sa/{account}"))
            }
            _ => None,
        };
        let (worker, state) = worker_state(&config.cluster, usize::try_from(config.hot_bytes.0).unwrap_or(0));
        Self {
            cluster: config.cluster,
            listener: ListenerConfig::new(config.groups, config.side, namespace).with_routes(config.routes),
            identity,
            state,
            worker,
            other_hosts: RefCell::default(),
            repeats: RefCell::default(),
            has_metadata: Cell::new(false),
        }
    }
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, configured: OnceCell::new(), period: Cell::new(TICK), swept: Cell::new(0), sent: RefCell::default() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Returns whether a request with this header map passes by its host alone.
    pub(crate) fn passes_by_host(&self, map: &[u8]) -> bool {
        self.configured().is_some_and(|configured| configured.other_hosts.borrow().pass(&configured.state, map))
    }

    /// Replies to a request without a body that comes again as it was, if it may. Returns what it waits for.
    pub(crate) fn repeats(&self, map: &[u8]) -> Option<Action> {
        let configured = self.configured()?;
        let context = Context { state: &configured.state, thread: 0, now: host::now() };
        let answer = configured.repeats.borrow().answer(context, map, &configured.facts())?;
        host::reply(&answer.reply()).then_some(Action::Pause)
    }

    pub(crate) fn configured(&self) -> Option<&Configured> {
        self.configured.get()
    }

    pub(crate) fn configure(&self) {
        match Config::read(&host::buffer(host::Buffer::Configuration), FilterHost::Wasm) {
            Ok(config) => {
                // Envoy configures a root once: another configuration is another root.
                let _ = self.configured.set(Configured::new(config));
                host::set_tick_period(Duration::from_millis(TICK));
            }
            Err(error) => host::log(
                Level::Critical,
                &format!("the filter's configuration is wrong, every request passes: {error}"),
            ),
        }
    }

    /// Whether streams that are over are looked for in this tick: not while ticks come each millisecond for a herd.
    pub(crate) fn is_sweep_due(&self) -> bool {
        let now = host::now();
        let is_due = now >= self.swept.get().saturating_add(SWEEP);
        if is_due {
            self.swept.set(now);
        }
        is_due
    }

    pub(crate) fn tick(&self) {
        self.drive(|driver, host| driver.tick(host, moment(), host::wall()));
        self.flush_in(true);
    }

    /// Takes the result of a callout. Without headers there is no response, or a larger one than Envoy buffers.
    pub(crate) fn call_returned(&self, token: u32, has_headers: bool) {
        let mut sent = self.sent.borrow_mut();
        if let Some(at) = sent.iter().position(|(of, _)| *of == token) {
            sent.swap_remove(at);
            return;
        }
        drop(sent);
        let map = if has_headers { host::header_map(Map::CallResponse) } else { None };
        let response = map.as_ref().map(|map| CallResponse {
            fields: HeaderMap::parse(map).into_iter().flatten().collect(),
            body: host::buffer(host::Buffer::CallBody).into_vec(),
        });
        self.drive(|driver, host| driver.call_returned(host, token, response, moment(), host::wall()));
        self.flush_in(false);
    }

    /// Hands out results and sends what is to be sent. The worker must not be borrowed.
    pub(crate) fn flush(&self) {
        self.flush_in(false);
    }

    /// Sends the owner the copy of the response of this stream, which stays selected. Without one the load is given back.
    pub(crate) fn fill(&self, stream: u32, call: &FillCall, mut copy: Option<FillCopy>) {
        let Some(Configured { cluster, .. }) = self.configured() else { return };
        let headers = call.fields.iter().map(|(name, value)| (*name, value.as_str().into())).collect();
        let body = copy.as_mut().map(FillCopy::end).unwrap_or_default();
        if host::act_for(self.id) {
            // Where it cannot be sent, the grant ends by time.
            let token = host::call(cluster, &headers, &body, FILL_TIMEOUT);
            self.sent.borrow_mut().extend(token.ok().zip(copy));
            host::act_for(stream);
        }
    }

    /// Runs the driver with this root as the owner of callouts. Those of a stream would be lost with the stream.
    fn drive<T>(&self, act: impl FnOnce(&mut Driver, &mut EnvoyHost<'_>) -> T) -> Option<T> {
        let Configured { cluster, worker, .. } = self.configured()?;
        let mut worker = worker.try_borrow_mut().ok()?;
        let WorkerState { driver, envoy } = &mut *worker;
        Some(act(driver, &mut EnvoyHost::new(self.id, cluster, envoy)))
    }

    fn flush_in(&self, is_tick: bool) {
        let Some(period) = self.drive(|driver, host| driver.flush(host, BATCH, host::now())) else { return };
        // Each change starts the period anew. If lookups and responses could lengthen it, no tick would ever come: only
        // a tick does.
        if period < self.period.get() || (is_tick && period > self.period.get()) {
            self.period.set(period);
            host::act_for(self.id);
            host::set_tick_period(Duration::from_millis(period));
        }
    }
}
