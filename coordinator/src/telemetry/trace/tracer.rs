//! Decides whether a request is recorded, and begins spans for it.

use crate::{
    jitter::random,
    telemetry::trace::{
        TraceContext,
        propagation::{Incoming, Propagators},
        sampler::Sampler,
        span::{OpenSpan, Span, SpanKind, SpanSink},
    },
};
use http::{Method, Request, Version, header::HOST, uri::Authority};
use std::{borrow::Cow, sync::Arc, time::SystemTime};

/// What begins traces and goes on with those of clients.
pub(crate) struct Tracer {
    pub(crate) propagators: Propagators,
    pub(crate) sampler: Sampler,
    pub(crate) sink: Arc<dyn SpanSink>,
}

/// The trace of what is done now.
#[derive(Clone, Default)]
pub(crate) enum Trace {
    /// There is none.
    #[default]
    None,
    /// It is the client's, and is not recorded here. It goes on as it came.
    Passed(TraceContext),
    /// The client recorded it, and this process decided not to: those behind it learn that.
    Dropped(TraceContext, Arc<Tracer>),
    /// It is recorded. The ids are those of the current span.
    Recorded(TraceContext, Arc<Tracer>),
}

impl Tracer {
    /// Begins the trace of a request, and its span if it is recorded.
    pub(crate) fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> (Trace, Option<OpenSpan>) {
        let Incoming { ids, is_sampled } = self.propagators.extract(request.headers());
        let parent = ids.and_then(|(trace, span)| TraceContext::new(trace, span, is_sampled == Some(true)));
        let trace = parent.map_or_else(|| u128::from(random()) << 64 | u128::from(random()), |parent| parent.trace);
        if !self.sampler.samples(is_sampled, trace) {
            let trace = match parent {
                Some(parent) if parent.is_sampled => {
                    Trace::Dropped(TraceContext { is_sampled: false, ..parent }, self.clone())
                }
                Some(parent) => Trace::Passed(parent),
                None => Trace::None,
            };
            return (trace, None);
        }
        let context = TraceContext { trace: trace.max(1), span: random().max(1), is_sampled: true };
        let name = span_name(request.method());
        let span = self.open(SpanKind::Server, name, context, parent.map(|parent| parent.span), true);
        (Trace::Recorded(context, self.clone()), Some(described(span, request)))
    }

    fn open(
        &self,
        kind: SpanKind,
        name: Cow<'static, str>,
        context: TraceContext,
        parent: Option<u64>,
        is_parent_remote: bool,
    ) -> OpenSpan {
        let began = SystemTime::now();
        let (attributes, links) = (Vec::with_capacity(12), Vec::new());
        let span =
            Span { name, kind, context, parent, is_parent_remote, began, ended: began, attributes, links, error: None };
        OpenSpan::new(span, self.sink.clone())
    }
}

impl Trace {
    /// The ids of the current span, or the client's.
    pub(crate) fn ids(&self) -> Option<TraceContext> {
        match self {
            Self::None => None,
            Self::Passed(context) | Self::Dropped(context, _) | Self::Recorded(context, _) => Some(*context),
        }
    }

    /// Begins a span below the current one; none: nothing is recorded, and the trace below is this one.
    pub(crate) fn child(&self, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> (Self, Option<OpenSpan>) {
        let Self::Recorded(parent, tracer) = self else { return (self.clone(), None) };
        let context = TraceContext { span: random().max(1), ..*parent };
        let span = tracer.open(kind, name.into(), context, Some(parent.span), false);
        (Self::Recorded(context, tracer.clone()), Some(span))
    }

    /// Begins the span of a request that is sent, and writes its ids into the request.
    pub(crate) fn client<B>(&self, request: &mut Request<B>) -> Option<OpenSpan> {
        let (below, span) = match self {
            Self::None | Self::Passed(_) => return None,
            Self::Dropped(..) => (self.clone(), None),
            Self::Recorded(..) => self.child(SpanKind::Client, span_name(request.method())),
        };
        if let Self::Dropped(context, tracer) | Self::Recorded(context, tracer) = below {
            tracer.propagators.inject(context, request.headers_mut());
        }
        span.map(|span| described(span, request))
    }
}

/// A span's name has few values: methods that clients make up do not count.
fn span_name(method: &Method) -> Cow<'static, str> {
    const KNOWN: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("HTTP").into()
}

/// Adds to a span what a request is, by the semantic conventions for HTTP. Not its query: it may hold what is secret.
fn described<B>(mut span: OpenSpan, request: &Request<B>) -> OpenSpan {
    let uri = request.uri();
    span.set("http.request.method", request.method().as_str().to_owned().into());
    span.set("url.path", uri.path().to_owned().into());
    span.set("url.scheme", uri.scheme_str().unwrap_or("http").to_owned().into());
    let of_field = || request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Some(host) = uri.authority().cloned().or_else(of_field) {
        span.set("server.address", host.host().to_owned().into());
        if let Some(port) = host.port_u16() {
            span.set("server.port", port.into());
        }
    }
    let version = if request.version() == Version::HTTP_2 { "2" } else { "1.1" };
    span.set("network.protocol.version", version.into());
    span
}
