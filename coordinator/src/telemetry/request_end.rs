//! The record of a request: begun at the edge, filled on the way, and told when its response has ended.

use crate::{
    settings::Port,
    telemetry::{
        noted::{Noted, OpenRequest},
        trace::{Current, OpenSpan, Propagators, Trace, TraceContext, Tracer, Value},
    },
};
use http::{HeaderMap, Request, Response, StatusCode};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A request whose response has ended, or whose client has left.
// The access log reads what a trace does not.
#[allow(dead_code)]
#[derive(Clone, Debug)]
pub(crate) struct RequestEnd {
    pub(crate) port: Port,
    /// What the cache did; empty where it did nothing.
    pub(crate) noted: Noted,
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

/// Is told of each request that has ended. Never waits.
pub(crate) trait RequestListener: Send + Sync {
    /// Takes the record of a request.
    fn ended(&self, request: &RequestEnd);
}

/// What wants the records of requests. Where nothing does, there is none, and a request costs nothing.
pub(crate) struct RequestEnds {
    listeners: Vec<Arc<dyn RequestListener>>,
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
    ) -> Option<Arc<Self>> {
        let propagators = tracer.as_ref().map_or_else(Propagators::default, |tracer| tracer.propagators.clone());
        (ids_in_log || tracer.is_some() || !listeners.is_empty())
            .then(|| Arc::new(Self { listeners, tracer, propagators }))
    }

    /// Returns what the task of a request works for; and its record, where it is recorded or somebody listens.
    pub(crate) fn begin<B>(self: &Arc<Self>, port: Port, request: &Request<B>) -> (Current, Option<UnfinishedRequest>) {
        let (trace, span) = match &self.tracer {
            Some(tracer) => tracer.begin(request),
            None => (self.trace_of_client(request.headers()), None),
        };
        if span.is_none() && self.listeners.is_empty() {
            return (Current { trace, request: None }, None);
        }
        let open = Arc::<OpenRequest>::default();
        let current = Current { trace: trace.clone(), request: Some(open.clone()) };
        let (began, ends) = (Instant::now(), self.clone());
        let unfinished =
            UnfinishedRequest { ends, port, began, trace, span, open, head: None, bytes: 0, is_complete: false };
        (current, Some(unfinished))
    }

    fn trace_of_client(&self, headers: &HeaderMap) -> Trace {
        let incoming = self.propagators.extract(headers);
        let ids =
            incoming.ids.and_then(|(trace, span)| TraceContext::new(trace, span, incoming.is_sampled == Some(true)));
        ids.map_or(Trace::None, Trace::Passed)
    }
}

/// A request's record until its response has ended. It is told when it is dropped, however that comes.
pub(crate) struct UnfinishedRequest {
    ends: Arc<RequestEnds>,
    port: Port,
    began: Instant,
    trace: Trace,
    span: Option<OpenSpan>,
    open: Arc<OpenRequest>,
    head: Option<(StatusCode, Duration)>,
    bytes: u64,
    is_complete: bool,
}

impl UnfinishedRequest {
    /// Records the response's head.
    pub(crate) fn record_head<B>(&mut self, response: &Response<B>) {
        self.head = Some((response.status(), self.began.elapsed()));
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
            port: self.port,
            noted: self.open.take(),
            status: self.head.map(|(status, _)| status),
            bytes: self.bytes,
            is_complete: self.is_complete,
            to_head: self.head.map(|(_, after)| after),
            took: self.began.elapsed(),
            trace: self.trace.ids(),
        };
        self.ends.listeners.iter().for_each(|listener| listener.ended(&end));
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
