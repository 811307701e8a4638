//! Spans as OTLP's messages have them.

use crate::telemetry::trace::{Span, SpanKind, TraceContext, Value};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status, span::Link, status::StatusCode},
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The flags of a span's parent: whether it is another process's is known, and it is.
const IS_REMOTE: (u32, u32) = (0x100, 0x200);

/// The attributes of this process.
pub(super) fn resource(attributes: &[(String, String)], instance: &str) -> Resource {
    let own = [
        ("service.name", "meshcache-coordinator"),
        ("service.instance.id", instance),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let given = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let own = own.into_iter().filter(|(key, _)| !attributes.iter().any(|(given, _)| given == key));
    let attributes = own.chain(given).map(|(key, value)| attribute(key, any_value::Value::StringValue(value.into())));
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

/// One message.
pub(super) fn message(resource: &Resource, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "meshcache".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let spans = spans.into_iter().map(span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn span(span: Span) -> otlp::Span {
    let TraceContext { trace, span: id, is_sampled } = span.context;
    let kind = match span.kind {
        SpanKind::Internal => otlp::span::SpanKind::Internal,
        SpanKind::Server => otlp::span::SpanKind::Server,
        SpanKind::Client => otlp::span::SpanKind::Client,
    };
    let (known, remote) = IS_REMOTE;
    otlp::Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
        flags: u32::from(is_sampled) | known | if span.is_parent_remote { remote } else { 0 },
        name: span.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(span.ended),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, any(value))).collect(),
        links: span.links.into_iter().map(link).collect(),
        status: span.error.map(|why| Status { message: why.into_owned(), code: StatusCode::Error.into() }),
        ..otlp::Span::default()
    }
}

fn link(to: TraceContext) -> Link {
    let TraceContext { trace, span, is_sampled } = to;
    Link {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        flags: u32::from(is_sampled),
        ..Link::default()
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn any(value: Value) -> any_value::Value {
    match value {
        Value::Text(text) => any_value::Value::StringValue(text.into_owned()),
        Value::Number(number) => any_value::Value::IntValue(number),
        Value::List(texts) => {
            let text = |text| AnyValue { value: Some(any_value::Value::StringValue(text)) };
            any_value::Value::ArrayValue(ArrayValue { values: texts.into_iter().map(text).collect() })
        }
    }
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
