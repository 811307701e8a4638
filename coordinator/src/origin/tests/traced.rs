//! The spans of requests to an origin that wants a token.

use super::*;
use crate::{
    origin::{exchange::Origin, origins::Origins},
    telemetry::trace::{Current, Propagators, Root, Sampler, Span, SpanSink, Trace, TraceContext, Tracer, Value},
};
use meshcache_protocol::groups::Groups;
use parking_lot::Mutex;
use serde_json::json;

#[derive(Default)]
struct Kept(Mutex<Vec<Span>>);

impl SpanSink for Kept {
    fn take(&self, span: Span) {
        self.0.lock().push(span);
    }
}

/// Starts a server that gives each request the next answer, the last one again and again, and keeps `traceparent`.
async fn answering(answers: &'static [&'static str]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let (address, _) = scripted(listener().await, move |n, mut stream| {
        let kept = kept.clone();
        async move {
            let mut request = vec![0; 65536];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            kept.lock().extend(text.lines().filter_map(|line| line.strip_prefix("traceparent: ").map(str::to_owned)));
            let answer = answers[n.min(answers.len() - 1)];
            let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
        }
    })
    .await;
    (address, seen)
}

/// Sends a request to an origin that wants a token. Returns its status or failure, and its spans.
async fn sent(origin: SocketAddr, tokens: SocketAddr) -> (Result<u16, Failure>, Vec<Span>) {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&secret, "hunter2").unwrap();
    let oauth2 = json!({"tokenUrl": format!("http://{tokens}/"), "clientId": "me", "clientSecretFile": secret.path()});
    let group = json!({
        "name": "g", "match": {"hosts": ["h"]}, "callers": ["*"],
        "origin": {"url": format!("http://{origin}"), "auth": {"oauth2": oauth2}},
    });
    let groups = Groups::new(serde_json::from_value(json!({"version": 1, "groups": [group]})).unwrap()).unwrap();
    let metrics = Metrics::new().unwrap();
    let origins = Origins::new(ConnectionLimit::new(100, metrics.clone()));
    let Some(Origin::Http(http)) = origins.of_groups(&groups, &metrics).unwrap().pop() else { panic!("it is HTTP") };
    let sink = Arc::new(Kept::default());
    let sampler = Sampler { follows_parent: true, root: Root::On };
    let tracer = Arc::new(Tracer { propagators: Propagators::default(), sampler, sink: sink.clone() });
    let trace = Trace::Recorded(TraceContext::new(1, 2, true).unwrap(), tracer);
    let request = Request::builder().uri(format!("http://{origin}/a")).body(Body::empty()).unwrap();
    let answered = Current { trace, request: None }.scope(http.send(request, Some(LONG))).await;
    let answered = answered.map(|response| response.status().as_u16());
    let spans = sink.0.lock().clone();
    (answered, spans)
}

fn attribute(span: &Span, name: &str) -> Option<Value> {
    span.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
}

const TOKEN: &str = "200 OK\r\nconnection: close\r\n\r\n{\"access_token\": \"t\"}";

#[tokio::test]
async fn a_request_that_is_repeated_with_another_token_is_a_span_each_time() {
    const ANSWERS: &[&str] = &["401 No\r\ncontent-length: 0\r\n\r\n", "200 OK\r\ncontent-length: 0\r\n\r\n"];
    let (origin, seen) = answering(ANSWERS).await;
    let (tokens, at_tokens) = answering(&[TOKEN]).await;
    let (answered, spans) = sent(origin, tokens).await;
    assert_eq!((answered, spans.len()), (Ok(200), 2));
    let ids: Vec<_> = spans.iter().map(|span| format!("00-{:032x}-{:016x}-01", 1, span.context.span)).collect();
    assert_eq!(*seen.lock(), ids, "each request carries the id of its own");
    assert!(spans.iter().all(|span| span.parent == Some(2)));
    let status = |n: usize| attribute(&spans[n], "http.response.status_code");
    assert_eq!((status(0), status(1)), (Some(Value::Number(401)), Some(Value::Number(200))));
    let resent = |n: usize| attribute(&spans[n], "http.request.resend_count");
    assert_eq!((resent(0), resent(1)), (None, Some(Value::Number(1))));
    assert!(at_tokens.lock().is_empty(), "a token is for many");
}

#[tokio::test]
async fn without_a_token_there_is_no_span_of_a_request_that_was_never_sent() {
    let (origin, seen) = answering(&["200 OK\r\n\r\n"]).await;
    let (tokens, _) = answering(&["500 Oh\r\nconnection: close\r\n\r\n"]).await;
    let (answered, spans) = sent(origin, tokens).await;
    assert_eq!((answered, spans.len(), seen.lock().len()), (Err(Failure::Token), 0, 0));
}
