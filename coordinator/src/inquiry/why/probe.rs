//! A probe: one request of a plain client for real, and what was done for it, with times.

use crate::{
    cache::{last_reasons::shown_field, lookup, state::Cache},
    http::body::Body,
    settings::Port,
    telemetry::trace::{
        Current, Propagators, Root, Sampler, Span, SpanKind, SpanSink, Trace, TraceContext, Tracer, Value,
    },
};
use http::{Request, header, response};
use http_body_util::BodyExt;
use meshcache_admin::Hop;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{sync::mpsc, time::timeout};

/// The longest probe.
pub(super) const LONGEST: Duration = Duration::from_secs(20);
/// For how long what is done beside the response is waited for.
const REST: Duration = Duration::from_secs(1);
/// The most requests to origins and coordinators that are told.
const MOST_SPANS: usize = 64;

/// Takes the spans of a probe; more than [`MOST_SPANS`] are left out.
struct Spans(mpsc::Sender<Span>);

impl SpanSink for Spans {
    fn take(&self, span: Span) {
        let _ = self.0.try_send(span);
    }
}

/// Answers a request by this coordinator's own data path, and tells what was done. Its trace is seen here alone.
pub(super) async fn run(cache: &Arc<Cache>, request: Request<()>) -> Vec<Hop> {
    let (sink, mut spans) = mpsc::channel(MOST_SPANS);
    let (began, at) = (Instant::now(), SystemTime::now());
    let asked = async {
        let response = lookup::answer(cache, Port::Data, request.map(|()| Body::empty())).await;
        let (head, mut body) = response.into_parts();
        let is_whole = loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        (head, is_whole)
    };
    let current = Current { trace: trace(sink), request: None };
    let answered = timeout(LONGEST, current.scope(asked)).await.ok();
    let took = began.elapsed();
    let mut told = Vec::new();
    // It ends with the last of them.
    let all = async {
        while let Some(span) = spans.recv().await {
            told.extend((span.kind == SpanKind::Client).then_some(span));
        }
    };
    let _ = timeout(REST, all).await;
    hops(&cache.settings.me, at, told, answered, took)
}

/// A trace whose spans go to `sink`, and whose ids go nowhere.
fn trace(sink: mpsc::Sender<Span>) -> Trace {
    let sampler = Sampler { follows_parent: false, root: Root::Off };
    let tracer = Tracer { propagators: Propagators(Vec::new()), sampler, sink: Arc::new(Spans(sink)) };
    TraceContext::new(1, 1, true).map_or(Trace::None, |context| Trace::Recorded(context, Arc::new(tracer)))
}

/// The hops: the lookup up to the first request that is sent, these requests, and the answer. Their times add up to the
/// whole.
fn hops(
    me: &str,
    began: SystemTime,
    mut spans: Vec<Span>,
    answered: Option<(response::Parts, bool)>,
    took: Duration,
) -> Vec<Hop> {
    spans.sort_by_key(|span| span.began);
    let before = spans.first().map_or(took, |span| span.began.duration_since(began).unwrap_or_default());
    let found = answered.as_ref().and_then(|(head, _)| status_words(head)).unwrap_or_else(|| "no response".to_owned());
    let looked_up = Hop { at: me.to_owned(), what: format!("looked up: {found}"), took: millis(before) };
    let what = match &answered {
        None => format!("no answer within {} s", LONGEST.as_secs()),
        Some((head, is_whole)) => {
            let names = [header::CACHE_CONTROL, header::EXPIRES, header::VARY, header::AGE, header::SET_COOKIE];
            let fields = names.iter().flat_map(|name| {
                head.headers.get_all(name).iter().map(|value| shown_field(name.as_str(), value.as_bytes()))
            });
            let status = format!("answered: {}", head.status.as_u16());
            let cut = (!is_whole).then(|| "the body broke off".into());
            std::iter::once(status.into()).chain(fields.take(8)).chain(cut).collect::<Vec<Box<str>>>().join(", ")
        }
    };
    let elsewhere: Duration = spans.iter().map(duration).sum();
    let answer = Hop { at: me.to_owned(), what, took: millis(took.saturating_sub(before).saturating_sub(elsewhere)) };
    std::iter::once(looked_up).chain(spans.iter().map(sent)).chain([answer]).collect()
}

fn duration(span: &Span) -> Duration {
    span.ended.duration_since(span.began).unwrap_or_default()
}

/// A request that was sent to the origin or another coordinator.
fn sent(span: &Span) -> Hop {
    let value = |name: &str| span.attributes.iter().find(|(own, _)| *own == name).map(|(_, value)| text(value));
    let outcome = value("meshcache.outcome");
    let address = value("server.address").unwrap_or_default();
    let at = match (&outcome, value("server.port")) {
        (Some(_), _) => address,
        (None, Some(port)) => format!("origin {address}:{port}"),
        (None, None) => format!("origin {address}"),
    };
    let status = value("http.response.status_code");
    let what = match (outcome, status, &span.error) {
        (Some(outcome), ..) => format!("answered: {outcome}"),
        (None, Some(status), _) => format!("loaded: {status}"),
        (None, None, why) => format!("failed: {}", why.as_deref().unwrap_or("no response")),
    };
    Hop { at, what, took: millis(duration(span)) }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
        Value::List(all) => all.join(", "),
    }
}

/// What this coordinator says of a response in Cache-Status, without its name.
fn status_words(head: &response::Parts) -> Option<String> {
    let own = head.headers.get_all("cache-status").iter().next_back()?.to_str().ok()?;
    let own = own.rsplit(", ").next().unwrap_or(own);
    Some(own.split_once("; ").map_or(own, |(_, words)| words).to_owned())
}

/// Milliseconds, as hops tell them.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_the_hops_add_up_to_the_whole() {
        let (began, ms) = (SystemTime::UNIX_EPOCH, Duration::from_millis);
        let span = |from, to| Span {
            name: "GET".into(),
            kind: SpanKind::Client,
            context: TraceContext::new(1, 1, true).unwrap(),
            parent: None,
            is_parent_remote: false,
            began: began + ms(from),
            ended: began + ms(to),
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        };
        let took = |spans, all| hops("me", began, spans, None, ms(all)).iter().map(|hop| hop.took).collect::<Vec<_>>();
        assert_eq!(took(vec![span(10, 300)], 330), [10.0, 290.0, 30.0]);
        assert_eq!(took(vec![], 7), [7.0, 0.0], "found here");
        assert_eq!(took(vec![span(10, 300)], 20), [10.0, 290.0, 0.0], "it goes on behind the answer");
    }
}
