//! One listener's filter in one worker thread: its configuration, ticks, and the results of callouts.

use crate::{
    host::{self, Map},
    stream::StreamContext,
    trap,
    worker_state::{EnvoyHost, WorkerState, moment, worker_state},
};
use meshcache_proxy::{
    config::{Config, FilterHost},
    driver::{CallResponse, Driver, TICK},
    host::Level,
    http::header_map::HeaderMap,
    state::listener_config::ListenerConfig,
};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{ContextType, LogLevel},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// The most streams that get their results in one callback. Envoy replies to them one inside the other: with nothing
/// else in the filter chain, 450 fitted into its stack and 600 did not.
const BATCH: usize = 64;

/// One configuration of the filter.
pub(crate) struct Root {
    id: u32,
    cluster: String,
    /// `None`: the configuration is wrong, and every request passes.
    worker: Option<Rc<RefCell<WorkerState>>>,
    listener: Rc<RefCell<ListenerConfig>>,
    /// The proxy's own identity.
    identity: Option<Rc<str>>,
    /// The current period of ticks.
    period: u64,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            cluster: String::new(),
            worker: None,
            listener: Rc::new(RefCell::new(ListenerConfig::new(None, None, None))),
            identity: None,
            period: TICK,
        }
    }

    fn configure(&mut self, config: Config) {
        let metadata = |name: &str| host::text_property(&format!("xds\0node\0metadata\0{name}"));
        let namespace = metadata("NAMESPACE");
        // Istio's mesh id is the trust domain.
        let domain = metadata("TRUST_DOMAIN").or_else(|| metadata("MESH_ID"));
        self.identity = match (domain, &namespace, metadata("SERVICE_ACCOUNT")) {
            (Some(domain), Some(namespace), Some(account)) => {
                Some(format!("spiffe://{domain}/ns/{namespace}/sa/{account}").into())
            }
            _ => None,
        };
        *self.listener.borrow_mut() =
            ListenerConfig::new(config.groups, config.side, namespace).with_routes(config.routes);
        let hot_bytes = usize::try_from(config.hot_bytes.0).unwrap_or(0);
        self.worker = Some(worker_state(&config.cluster, hot_bytes));
        self.cluster = config.cluster;
    }

    /// Runs the driver with this root as the owner of callouts.
    fn drive<T>(&self, act: impl FnOnce(&mut Driver, &mut EnvoyHost<'_>) -> T) -> Option<T> {
        let mut state = self.worker.as_ref()?.try_borrow_mut().ok()?;
        let WorkerState { driver, envoy } = &mut *state;
        Some(act(driver, &mut EnvoyHost::new(self.id, &self.cluster, envoy)))
    }

    /// Hands out results and sends what is to be sent.
    fn flush(&mut self, in_tick: bool) {
        let Some(period) = self.drive(|driver, host| driver.flush(host, BATCH, host::now())) else { return };
        // Each change starts the period anew. If lookups and responses could lengthen it, no tick would ever come: only
        // a tick does.
        if period < self.period || (in_tick && period > self.period) {
            self.period = period;
            host::act_for(self.id);
            host::set_tick_period(Duration::from_millis(period));
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, _: usize, _: usize) {
        // Without headers there is no response, or a larger one than Envoy buffers.
        let map = if headers > 0 { host::header_map(Map::CallResponse) } else { None };
        let response = map.as_ref().map(|map| CallResponse {
            fields: HeaderMap::parse(map).into_iter().flatten().collect(),
            body: host::buffer(host::Buffer::CallBody),
        });
        self.drive(|driver, host| driver.call_returned(host, token, response, moment(), host::wall()));
        self.flush(false);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match Config::read(&host::buffer(host::Buffer::Configuration), FilterHost::Wasm) {
            Ok(config) => {
                self.configure(config);
                host::set_tick_period(Duration::from_millis(TICK));
            }
            // `false` would fail the whole module, other listeners' filters too. This one passes everything instead.
            Err(error) => host::log(
                Level::Critical,
                &format!("the filter's configuration is wrong, every request passes: {error}"),
            ),
        }
        true
    }

    fn on_tick(&mut self) {
        self.drive(|driver, host| driver.tick(host, moment(), host::wall()));
        self.flush(true);
    }

    fn on_queue_ready(&mut self, _: u32) {
        self.flush(false);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let (worker, listener, identity) = (self.worker.clone(), self.listener.clone(), self.identity.clone());
        Some(Box::new(StreamContext::new(id, self.id, worker, listener, identity)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    trap::on_panic();
    proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
}}
