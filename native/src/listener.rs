//! One configuration of the filter, on the main thread: ticks, and the callouts that belong to no stream.

use crate::{
    abi, clock,
    envoy::{self, Config as EnvoyConfig, Fields},
    facts,
    metrics::Metrics,
    panics,
    process::{Process, event},
    recent::RecentDecisions,
    recorder::Tasks,
    wake::OutgoingCall,
};
use meshcache_protocol::Field;
use meshcache_proxy::{
    config::{Config, FilterHost},
    driver::CallResponse,
    host::Level,
    http::header_map::HeaderMap,
    state::listener_config::{ListenerConfig, Side},
};
use parking_lot::Mutex;
use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// One configuration. Envoy keeps it for as long as a stream has it.
pub(crate) struct Listener {
    number: u64,
    envoy: EnvoyConfig,
    /// `None`: the configuration is wrong, and every request passes.
    pub(crate) process: Option<&'static Process>,
    pub(crate) config: ListenerConfig,
    /// The proxy's own identity.
    pub(crate) identity: Option<String>,
    /// The configured side, where Envoy does not tell it.
    pub(crate) side: Option<Side>,
    /// What each thread decided lately.
    pub(crate) recent: RecentDecisions,
    metrics: Metrics,
    /// Counters and gauges that wait for a stream, in an Envoy that takes them only there.
    unrecorded: Mutex<Tasks>,
    has_unrecorded: AtomicBool,
    /// The callouts in flight: Envoy's number, and the token.
    calls: Mutex<Vec<(u64, u32)>>,
}

/// The number of a callout that is being sent.
const STARTING: u64 = u64::MAX;
/// The threads beside the workers that may have a number.
const OTHER_THREADS: usize = 2;

impl Listener {
    /// Reads a configuration.
    pub(crate) fn new(envoy: EnvoyConfig, json: &[u8]) -> Self {
        panics::forget();
        let mut listener = Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            envoy,
            process: None,
            config: ListenerConfig::new(None, None, None),
            identity: facts::identity(),
            side: None,
            recent: RecentDecisions::default(),
            metrics: Metrics::default(),
            unrecorded: Mutex::default(),
            has_unrecorded: AtomicBool::new(false),
            calls: Mutex::default(),
        };
        match Config::read(json, FilterHost::Native).and_then(check_side) {
            Ok(config) => listener.configure(config),
            // Refused, the whole listener would be, or Envoy would not start. This one passes everything instead.
            Err(error) => envoy::log(
                Level::Critical,
                &format!("the filter's configuration is wrong, every request passes: {error}"),
            ),
        }
        listener
    }

    fn configure(&mut self, config: Config) {
        self.metrics = Metrics::define(&self.envoy);
        self.recent = RecentDecisions::new(envoy::worker_threads().saturating_add(OTHER_THREADS));
        if !abi::is_since_1_40() {
            self.side = config.side;
        }
        self.config = ListenerConfig::new(config.groups, config.side, facts::namespace()).with_routes(config.routes);
        let process = Process::of(&config.cluster, usize::try_from(config.hot_bytes.0).unwrap_or(usize::MAX));
        if let Some(scheduler) = self.envoy.scheduler() {
            process.add_config(self.number, scheduler);
        }
        self.process = Some(process);
    }

    /// Does what was scheduled.
    pub(crate) fn scheduled(&self, event: u64) {
        let Some(process) = self.process else { return };
        if event == event::TICK {
            self.record(process.tick());
        }
        process.take_calls().into_iter().for_each(|call| self.send(process, &call));
    }

    fn send(&self, process: &Process, call: &OutgoingCall) {
        let mut fields = Fields::default();
        fields.extend(HeaderMap::parse(&call.map).into_iter().flatten());
        let id = Cell::new(STARTING);
        self.calls.lock().push((STARTING, call.token));
        let sent = self.envoy.call(&id, &process.cluster, &fields, &call.body, call.timeout);
        let is_over = {
            let mut calls = self.calls.lock();
            match calls.iter().position(|(_, token)| *token == call.token) {
                Some(at) if sent.is_err() => {
                    calls.swap_remove(at);
                    false
                }
                Some(at) => {
                    if let Some(entry) = calls.get_mut(at) {
                        entry.0 = id.get();
                    }
                    false
                }
                None => true,
            }
        };
        if let Err(error) = sent
            && !is_over
        {
            process.refuse_call(call.token, error, None);
        }
    }

    /// Takes the result of a callout. `None`: there is no response.
    pub(crate) fn call_returned(&self, id: u64, response: Option<(Vec<Field<'_>>, Vec<u8>)>) {
        let Some(process) = self.process else { return };
        let token = {
            let mut calls = self.calls.lock();
            let at = calls.iter().position(|(known, _)| *known == id);
            let at = at.or_else(|| calls.iter().position(|(known, _)| *known == STARTING));
            at.map(|at| calls.swap_remove(at).1)
        };
        let Some(token) = token else { return };
        let response = response.map(|(fields, body)| CallResponse { fields, body });
        let ((), tasks) = process.drive(None, |driver, host| {
            driver.call_returned(host, token, response, clock::moment(), clock::wall());
        });
        self.record(tasks);
    }

    fn record(&self, mut tasks: Tasks) {
        self.metrics.record(&self.envoy, &mut tasks);
        if !tasks.counts.is_empty() || !tasks.gauges.is_empty() || !tasks.groups.is_empty() {
            self.unrecorded.lock().take_metrics(&mut tasks);
            self.has_unrecorded.store(true, Relaxed);
        }
    }

    /// Records what waits for a stream.
    pub(crate) fn record_in(&self, filter: &envoy::Filter) {
        if self.has_unrecorded.load(Relaxed) && self.has_unrecorded.swap(false, Relaxed) {
            let mut tasks = std::mem::take(&mut *self.unrecorded.lock());
            self.metrics.record_in(filter, &mut tasks);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(process) = self.process else { return };
        process.remove_config(self.number);
        // Its callouts end with it, without a word.
        for (_, token) in std::mem::take(&mut *self.calls.lock()) {
            process.refuse_call(token, meshcache_proxy::host::CallError::Refused, None);
        }
    }
}

/// Refuses a configuration without a side where Envoy does not tell it.
fn check_side(config: Config) -> Result<Config, String> {
    if config.side.is_none() && !abi::is_since_1_40() {
        return Err("`side` is missing: Envoy before 1.40 does not tell it; write \"inbound\" or \"outbound\"".into());
    }
    Ok(config)
}
