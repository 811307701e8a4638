//! One listener's filter in one worker thread: configuration, ticks, and the calls that go out and come back.

use crate::{
    answer::{Answer, Failure},
    attention::LOOK,
    config::Config,
    exchange::{Ask, Exchange},
    feed::FeedAsk,
    host::{self, Level, Map, SharedData},
    invalidate,
    local::{Local, TICK, local},
    message,
    questions::Question,
    rescue,
    site::Site,
    stream::Stream,
};
use meshcache_protocol::{paths, wire};
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{ContextType, LogLevel, Status},
};
use std::{borrow::Cow, cell::RefCell, rc::Rc, time::Duration};

/// How soon a worker goes on with those who still wait.
const SOON: u64 = 1;
/// How often it looks for peers that are silent, in groups that hedge.
const HEDGE: u64 = 5;
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
    /// The SDK's own entry. It makes this root the owner of calls that go out in it: those of a stream would be lost
    /// with the stream.
    fn proxy_on_queue_ready(context: u32, queue: u32);
}

/// Lets the root send what is in the outbox.
pub(crate) fn send(root: u32) {
    unsafe { proxy_on_queue_ready(root, 0) };
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            cluster: String::new(),
            local: None,
            site: Rc::new(RefCell::new(Site::new(None, None, None))),
            identity: None,
            ticks: TICK,
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
        *self.site.borrow_mut() = Site::new(config.groups, config.side, namespace).routed(config.routes);
        self.local = Some(local(&config.cluster, usize::try_from(config.hot_bytes_per_worker.0).unwrap_or(0)));
        self.cluster = config.cluster;
    }

    /// Gives out what is there to give, and sends what is in the outbox. A question that cannot go out is answered by
    /// nobody.
    fn flush(&mut self, ticked: bool) {
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
        self.sample(&mut local);
        let ticks = match () {
            () if more || local.has_more() => SOON,
            () if local.worker.questions.may_hedge() => HEDGE,
            () if local.worker.questions.is_waiting() => LOOK,
            () => TICK,
        };
        // Each change begins a tick anew: if each question and each answer made one, none would ever come. So only a
        // tick slows them down.
        if ticks < self.ticks || (ticked && ticks > self.ticks) {
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
            let _ = self.call(&headers, None, invalidate::TIMEOUT);
        }
    }

    /// Asks owners what they would answer, in groups that only observe.
    fn sample(&self, local: &mut Local) {
        while let Some(question) = local.worker.samples.take() {
            let token = self.question(local, &question, question.call_time());
            if let Some(token) = token {
                local.worker.samples.sent(token, question);
            }
        }
    }

    fn dispatch(&self, local: &Local, ask: &Ask) -> Option<u32> {
        self.question(local, local.worker.questions.get(ask.question)?, ask.timeout)
    }

    fn question(&self, local: &Local, question: &Question, timeout: u64) -> Option<u32> {
        let changed = local.worker.invalidations.changed(question.key.hash(), question.sent);
        let headers = message::compose(question, local.worker.known()?, local.worker.told(), changed)?;
        self.call(&headers, None, timeout).ok()
    }

    fn dispatch_feed(&self, local: &mut Local, ask: &FeedAsk) {
        let mut headers: message::Headers<'_> = vec![
            (":method", Cow::Borrowed("POST")),
            (":scheme", Cow::Borrowed("http")),
            (":authority", Cow::Borrowed("meshcache")),
            (":path", Cow::Borrowed(paths::FEED)),
            ("content-type", Cow::Borrowed("application/json")),
            (wire::header::WIRE, Cow::Owned(wire::VERSION.to_string())),
        ];
        headers.extend(ask.peer.as_deref().map(|peer| (wire::header::PEER, Cow::Borrowed(peer))));
        local.feed_token = match self.call(&headers, Some(&ask.body), ask.timeout) {
            Ok(token) => Some(token),
            Err(status) => {
                local.feed_unsent(match status {
                    // What a mesh does not tell this proxy of, by a Sidecar's egress for one.
                    Status::BadArgument => format!("this proxy has no cluster `{}`", self.cluster),
                    _ => "no coordinator answers".to_owned(),
                });
                None
            }
        };
    }

    fn call(&self, headers: &message::Headers<'_>, body: Option<&[u8]>, timeout: u64) -> Result<u32, Status> {
        let headers = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        host::act_for(self.id);
        hostcalls::dispatch_http_call(&self.cluster, headers, body, Vec::new(), Duration::from_millis(timeout))
    }
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
            if let Some(question) = local.worker.samples.by_token(token) {
                let map = if headers > 0 { host::header_map(Map::CallResponse) } else { None };
                let answer = map.map_or(Err(Failure::Stream), |map| {
                    Answer::read(&map, host::buffer(host::Buffer::CallBody), false)
                });
                Exchange { worker: &mut local.worker, now: host::now() }.sampled(&question, answer, host::wall());
                return;
            }
            let Some(call) = local.worker.questions.by_token(token) else { return };
            let to_head = local.worker.questions.get(call.question).is_some_and(|question| question.to_head);
            let map = if headers > 0 { host::header_map(Map::CallResponse) } else { None };
            let answer = match map {
                Some(map) => Answer::read(&map, host::buffer(host::Buffer::CallBody), to_head),
                // More than Envoy buffers.
                None => Err(Failure::Stream),
            };
            local.answered(&call, answer);
        }
        self.flush(false);
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
            Err(error) => host::log(
                Level::Critical,
                &format!("the filter's configuration is wrong, every request passes: {error}"),
            ),
        }
        true
    }

    fn on_tick(&mut self) {
        let Some(shared) = self.local.clone() else { return };
        if let Ok(mut local) = shared.try_borrow_mut() {
            local.look();
            if let Some(ask) = local.tick() {
                self.dispatch_feed(&mut local, &ask);
            }
        }
        self.flush(true);
    }

    fn on_queue_ready(&mut self, _: u32) {
        self.flush(false);
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
