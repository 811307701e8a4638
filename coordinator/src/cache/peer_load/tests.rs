//! The way to a key's owner.

use super::*;
use crate::{
    cache::{
        request::tests::{cache, classified},
        test_peers::{serve, set_ring, status},
    },
    telemetry::trace::{Propagators, Root, Sampler, Span, SpanSink, TraceContext, Tracer},
};
use meshcache_protocol::{Peer, Ring, purge::Scope};

/// The peers on the way of a request, and the patience of the question to them, milliseconds.
fn way(cache: &Cache, target: &str, fields: &[(&str, &str)]) -> Option<(Vec<String>, u64)> {
    classified(cache, "GET", target, fields, |request| {
        let Ok(request) = request else { panic!("it is not looked up") };
        route(cache, &request).map(|route| (route.peers, route.question.patience))
    })
}

#[tokio::test]
async fn a_request_goes_to_its_owner_once() {
    let cache = cache(serde_json::json!({"patience": "2s"}));
    let peer = |name: &str| Peer { name: name.into(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:2".into() };
    cache.cluster.set_ring(Arc::new(Ring::new(vec![peer("a"), peer("b")])));
    let targets: Vec<_> = (0..100).map(|n| format!("/{n}")).collect();
    assert!(targets.iter().all(|target| way(&cache, target, &[]).is_none()), "no token for peers");
    cache.set_peer_token(Some("token".into()));
    let (ours, theirs): (Vec<_>, Vec<_>) = targets.iter().partition(|target| way(&cache, target, &[]).is_none());
    assert!(ours.len() > 20 && theirs.len() > 20, "{} and {}", ours.len(), theirs.len());
    let forwarded = Question { group: "g".into(), hop: true, ..Question::new() }.to_string();
    for target in theirs {
        assert_eq!(way(&cache, target, &[]), Some((vec!["b".to_owned()], 1500)));
        assert_eq!(way(&cache, target, &[("meshcache-wire", &forwarded)]), None, "no second hop");
    }
}

/// The load of a key that another coordinator owns, and the way to it.
fn theirs(cache: &Cache) -> (LoadJob, PeerRoute) {
    let mut asked = (0..).map(|n| {
        classified(cache, "GET", &format!("/{n}"), &[], |request| {
            let Ok(request) = request else { panic!("it is not looked up") };
            let (served, head, key) = (request.served.clone(), request.head.clone(), request.key.clone());
            let job = LoadJob { served, head, key, verified: false, fwd: "uri-miss", is_refresh: false, slice: None };
            route(cache, &request).map(|route| (job, route))
        })
    });
    asked.find_map(|asked| asked).unwrap()
}

struct Nowhere;

impl SpanSink for Nowhere {
    fn take(&self, _: Span) {}
}

#[tokio::test]
async fn what_is_loaded_here_because_no_peer_answers_goes_on_in_its_trace() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let origin = serve(move |request| {
        told.send(request.headers().get("traceparent").cloned()).unwrap();
        async { status(200) }
    });
    let cache = cache(serde_json::json!({"origin": {"url": format!("http://{}", origin.await)}}));
    set_ring(&[&cache], &[("a", "127.0.0.1:1".parse().unwrap()), ("b", "127.0.0.1:1".parse().unwrap())]);
    cache.set_peer_token(Some("token".into()));
    let (job, route) = theirs(&cache);
    let sampler = Sampler { follows_parent: true, root: Root::On };
    let tracer = Tracer { propagators: Propagators::default(), sampler, sink: Arc::new(Nowhere) };
    let trace = Trace::Recorded(TraceContext { trace: 10, span: 11, is_sampled: true }, Arc::new(tracer));
    Current { trace, request: None }.scope(load(&cache, &Arc::new(job), route, None)).await;
    let sent = hears.recv().await.unwrap().expect("the origin gets the trace");
    let sent = TraceContext::of_traceparent(sent.as_bytes()).unwrap();
    assert!(sent.trace == 10 && sent.span != 11 && sent.is_sampled, "{sent}");
}

#[tokio::test]
async fn the_owner_is_told_what_was_purged_until_it_is_asked() {
    let cache = cache(serde_json::json!({}));
    let (told, hears) = tokio::sync::mpsc::unbounded_channel();
    let owner = serve(move |request| {
        let said = request.headers()["meshcache-wire"].to_str().unwrap().to_owned();
        told.send(said).unwrap();
        async { status(500) }
    });
    set_ring(&[&cache], &[("a", "127.0.0.1:1".parse().unwrap()), ("b", owner.await)]);
    cache.set_peer_token(Some("token".into()));
    let (job, route) = theirs(&cache);
    // The flight waits for another one meanwhile.
    let purge = cache.consistency.append_own(Scope { all: true, ..Scope::default() }, false, |_| {}).0;
    tokio::spawn(async move { load(&cache, &Arc::new(job), route, None).await });
    let (mut hears, purge) = (hears, format!("{}:{}", purge.source, purge.n));
    let said = hears.recv().await.unwrap();
    assert!(said.contains(&purge), "{purge}: {said}");
}
