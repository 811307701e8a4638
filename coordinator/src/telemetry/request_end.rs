//! The record of a request: begun at the edge, filled on the way, and told when its response has ended.

use crate::{
    settings::Port,
    telemetry::{
        noted::{Noted, OpenRequest},
        trace::{Current, OpenSpan, Propagators, Trace, TraceContext, Tracer, Value},
    },
};
use http::{Method, Request, Response, StatusCode, header};
use meshcache_protocol::wire;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The longest method, host or path in a record: thousands may wait.
const MAX_TEXT: usize = 1024;

/// A request whose response has ended, or whose client has left.
#[derive(Clone, Debug)]
pub(crate) struct RequestEnd {
    /// What the cache did; empty where it did nothing.
    pub(crate) noted: Noted,
    /// What was asked; `None`: no listener wants to know.
    pub(crate) asked: Option<Arc<Asked>>,
    /// None: the client left before.
    pub(crate) status: Option<StatusCode>,
    /// The bytes of the body that were given to the connection.
    pub(crate) bytes: u64,
    /// Whether that is the whole body.
    pub(crate) is_complete: bool,
    /// From the request's head to the response's head.
    pub(crate) to_head: Option<Duration>,
    /// From the request's head to the end.
    pub(crate) took: Duration,
    /// The request's own span, or its client's where it is not recorded.
    pub(crate) trace: Option<TraceContext>,
}

/// What a request asked for, without its query, which may hold what is secret.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) host: Box<str>,
    pub(crate) path: Box<str>,
    pub(crate) by: Asker,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A plain client.
    Client,
    /// A proxy with the filter.
    Proxy,
    /// Another coordinator.
    Peer,
}

impl Asker {
    /// Returns the log word.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Peer => "peer",
        }
    }
}

impl Asked {
    fn of<B>(port: Port, request: &Request<B>) -> Self {
        let host = request.headers().get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
        let host = request.uri().authority().map(|authority| authority.as_str().into()).or(host);
        let by = match port {
            Port::Peer => Asker::Peer,
            Port::Data if request.headers().contains_key(wire::header::WIRE) => Asker::Proxy,
            Port::Data => Asker::Client,
        };
        Self {
            method: known_or_short(request.method()),
            host: shortened(without_user(&host.unwrap_or_default())),
            path: shortened(request.uri().path()),
            by,
        }
    }
}

/// Returns a method without what is beyond [`MAX_TEXT`]: clients may make one up, as long as a head.
fn known_or_short(method: &Method) -> Method {
    match method.as_str().as_bytes().split_at_checked(MAX_TEXT) {
        None => method.clone(),
        Some((short, _)) => Method::from_bytes(short).unwrap_or_default(),
    }
}

/// Returns an authority without user and password.
fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Returns a text without what is beyond [`MAX_TEXT`].
fn shortened(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text).into()
}

/// Is told of each request that has ended. Never waits.
pub(crate) trait RequestListener: Send + Sync {
    /// Takes the record of a request.
    fn ended(&self, request: &RequestEnd);
}

/// A listener that is told of requests only at times.
pub(crate) struct OnDemand {
    /// Whether it is now.
    pub(crate) is_on: Arc<AtomicBool>,
    /// The listener.
    pub(crate) listener: Arc<dyn RequestListener>,
}

/// What wants the records of requests. Where nothing does, there is none, and a request costs nothing.
pub(crate) struct RequestEnds {
    listeners: Vec<Arc<dyn RequestListener>>,
    on_demand: Option<OnDemand>,
    /// Whether something wants to know of each request.
    is_always_needed: bool,
    tracer: Option<Arc<Tracer>>,
    /// Reads the ids of traces that are not recorded, for the log.
    propagators: Propagators,
}

impl RequestEnds {
    /// Returns none where nothing wants records. `ids_in_log`: whether log lines name the trace.
    pub(crate) fn new(
        listeners: Vec<Arc<dyn RequestListener>>,
        tracer: Option<Arc<Tracer>>,
        ids_in_log: bool,
        on_demand: Option<OnDemand>,
    ) -> Option<Arc<Self>> {
        let propagators = tracer.as_ref().map_or_else(Propagators::default, |tracer| tracer.propagators.clone());
        let is_always_needed = ids_in_log || tracer.is_some() || !listeners.is_empty();
        (is_always_needed || on_demand.is_some())
            .then(|| Arc::new(Self { listeners, on_demand, is_always_needed, tracer, propagators }))
    }

    /// Returns whether something wants to know of a request that begins now. What a request costs where nothing does.
    pub(crate) fn is_needed(&self) -> bool {
        self.is_always_needed || self.is_on()
    }

    fn is_on(&self) -> bool {
        self.on_demand.as_ref().is_some_and(|on_demand| on_demand.is_on.load(Relaxed))
    }

    /// Returns what the task of a request works for; and its record, where it is recorded or somebody listens.
    pub(crate) fn begin<B>(self: &Arc<Self>, port: Port, request: &Request<B>) -> (Current, Option<UnfinishedRequest>) {
        let (trace, span) = match &self.tracer {
            Some(tracer) => tracer.begin(request),
            None if !self.is_always_needed => (Trace::None, None),
            None => (self.propagators.extract(request.headers()).context().map_or(Trace::None, Trace::Passed), None),
        };
        let is_told = !self.listeners.is_empty() || self.is_on();
        if span.is_none() && !is_told {
            return (Current { trace, request: None }, None);
        }
        let open = Arc::<OpenRequest>::default();
        let current = Current { trace: trace.clone(), request: Some(open.clone()) };
        let (began, ends) = (Instant::now(), self.clone());
        let asked = is_told.then(|| Arc::new(Asked::of(port, request)));
        let unfinished = UnfinishedRequest {
            ends,
            asked,
            began,
            trace,
            span,
            open,
            head: None,
            length: None,
            bytes: 0,
            is_complete: false,
        };
        (current, Some(unfinished))
    }
}

/// A request's record until its response has ended. It is told when it is dropped, however that comes.
pub(crate) struct UnfinishedRequest {
    ends: Arc<RequestEnds>,
    asked: Option<Arc<Asked>>,
    began: Instant,
    trace: Trace,
    span: Option<OpenSpan>,
    open: Arc<OpenRequest>,
    head: Option<(StatusCode, Duration)>,
    /// The bytes that the response's head promises.
    length: Option<u64>,
    bytes: u64,
    is_complete: bool,
}

impl UnfinishedRequest {
    /// Records the response's head.
    pub(crate) fn record_head<B>(&mut self, response: &Response<B>) {
        self.head = Some((response.status(), self.began.elapsed()));
        let length = response.headers().get(header::CONTENT_LENGTH);
        self.length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let Some(span) = &mut self.span else { return };
        span.set("http.response.status_code", response.status().as_u16().into());
        let statuses = response.headers().get_all("cache-status").iter();
        let statuses: Vec<String> =
            statuses.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect();
        if !statuses.is_empty() {
            span.set("http.response.header.cache-status", Value::List(statuses));
        }
        if response.status().is_server_error() {
            span.fail(response.status().as_str().to_owned());
        }
    }

    /// Counts bytes of the body on their way to the client.
    pub(crate) fn count_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Records that the body is complete.
    pub(crate) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for UnfinishedRequest {
    fn drop(&mut self) {
        let end = RequestEnd {
            noted: self.open.take(),
            asked: self.asked.take(),
            status: self.head.map(|(status, _)| status),
            bytes: self.bytes,
            // A server asks for no more than the length that it has sent, where the body's own end comes late.
            is_complete: self.is_complete || self.length == Some(self.bytes),
            to_head: self.head.map(|(_, after)| after),
            took: self.began.elapsed(),
            trace: self.trace.ids(),
        };
        self.ends.listeners.iter().for_each(|listener| listener.ended(&end));
        if let Some(OnDemand { listener, .. }) = self.ends.on_demand.as_ref().filter(|_| self.ends.is_on()) {
            listener.ended(&end);
        }
        if let Some(span) = &mut self.span {
            finish(span, end);
        }
    }
}

/// Adds to a span how its request ended.
fn finish(span: &mut OpenSpan, end: RequestEnd) {
    let Noted { group, outcome, reason, load, .. } = end.noted;
    if let Some(group) = group {
        span.set("meshcache.group", group.to_string().into());
    }
    if let Some(outcome) = outcome {
        span.set("meshcache.outcome", outcome.into());
    }
    if let Some(reason) = reason {
        span.set("meshcache.reason", reason.as_str().to_owned().into());
    }
    if let Some(load) = load {
        span.link(load);
    }
    if !end.is_complete {
        span.fail("incomplete");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::trace::{Root, Sampler, Span, SpanSink};

    struct Nowhere;

    impl SpanSink for Nowhere {
        fn take(&self, _: Span) {}
    }

    #[test]
    fn a_record_is_short_whatever_a_client_makes_up() {
        let long = "A".repeat(50_000);
        let request = Request::builder().method(&*long).uri(format!("/{long}")).header("host", &long).body(()).unwrap();
        let Asked { method, host, path, .. } = Asked::of(Port::Data, &request);
        assert_eq!([method.as_str().len(), host.len(), path.len()], [MAX_TEXT; 3]);
        let of = |method: Method| Asked::of(Port::Data, &Request::builder().method(method).body(()).unwrap()).method;
        assert_eq!((of(Method::GET), of(Method::PATCH)), (Method::GET, Method::PATCH));
    }

    #[test]
    fn no_query_and_no_password_is_in_a_record() {
        let of = |uri: &str, host: &str| {
            let request = Request::builder().uri(uri).header("host", host).body(()).unwrap();
            let Asked { host, path, .. } = Asked::of(Port::Data, &request);
            (host.to_string(), path.to_string())
        };
        assert_eq!(of("/a?token=s3cret", "me:s3cret@shop.test"), ("shop.test".into(), "/a".into()));
        assert_eq!(of("http://me:s3cret@shop.test:1/a?s3cret", "x"), ("shop.test:1".into(), "/a".into()));
    }

    /// This thread's, whatever else the machine does.
    fn cpu_time() -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
    }

    /// cargo test --release -p meshcache-coordinator --lib unsampled -- --ignored --nocapture
    #[tokio::test]
    #[ignore = "it measures: with --release"]
    async fn an_unsampled_request_costs_at_most_half_a_microsecond() {
        let sampler = Sampler { follows_parent: true, root: Root::On };
        let tracer = Tracer { propagators: Propagators::default(), sampler, sink: Arc::new(Nowhere) };
        let ends = RequestEnds::new(Vec::new(), Some(Arc::new(tracer)), false, None).unwrap();
        let took = async |flags: &str| {
            let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let request = Request::builder().uri("http://h/a").header("accept", "*/*").header("traceparent", parent);
            let request = request.body(()).unwrap();
            const TIMES: u32 = 1_000_000;
            let began = cpu_time();
            for _ in 0..TIMES {
                let (current, unfinished) = ends.begin(Port::Data, std::hint::black_box(&request));
                current
                    .scope(async {
                        std::hint::black_box(&unfinished);
                    })
                    .await;
            }
            (cpu_time() - began) / TIMES
        };
        let (unsampled, sampled) = (took("00").await, took("01").await);
        println!("unsampled {unsampled:?}, sampled {sampled:?}");
        assert!(unsampled < Duration::from_nanos(500), "{unsampled:?}");
    }
}
