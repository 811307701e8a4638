//! A span: begun, given attributes, and handed over when it is dropped.

use crate::telemetry::trace::TraceContext;
use http::StatusCode;
use std::{borrow::Cow, sync::Arc, time::SystemTime};

/// A span that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<u64>,
    /// Whether the parent is another process's.
    pub(crate) is_parent_remote: bool,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) links: Vec<TraceContext>,
    /// It failed: why.
    pub(crate) error: Option<Cow<'static, str>>,
}

/// The side that a span is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// It answers a request.
    Server,
    /// It sends one.
    Client,
    /// Neither.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(Cow<'static, str>),
    Number(i64),
    List(Vec<String>),
}

/// Takes spans that have ended. Never waits.
pub(crate) trait SpanSink: Send + Sync {
    fn take(&self, span: Span);
}

/// A span that goes on until it is dropped.
pub(crate) struct OpenSpan {
    span: Option<Box<Span>>,
    sink: Arc<dyn SpanSink>,
}

impl OpenSpan {
    pub(super) fn new(span: Span, sink: Arc<dyn SpanSink>) -> Self {
        Self { span: Some(Box::new(span)), sink }
    }

    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        if let Some(span) = &mut self.span {
            span.attributes.push((name, value));
        }
    }

    pub(crate) fn link(&mut self, to: TraceContext) {
        if let Some(span) = &mut self.span {
            span.links.push(to);
        }
    }

    /// Sets the status of the response that a client got.
    pub(crate) fn set_status(&mut self, status: StatusCode) {
        self.set("http.response.status_code", status.as_u16().into());
        if status.is_client_error() || status.is_server_error() {
            self.fail(status.as_str().to_owned());
        }
    }

    /// Marks it as failed, for the first reason that there is.
    pub(crate) fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(span) = self.span.as_mut().filter(|span| span.error.is_none()) {
            let why = why.into();
            span.attributes.push(("error.type", Value::Text(why.clone())));
            span.error = Some(why);
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.ended = SystemTime::now().max(span.began);
            self.sink.take(*span);
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}
