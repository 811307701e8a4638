//! The way to a key's owner.

use super::*;
use crate::cache::request::tests::{cache, classified};
use meshcache_protocol::{Peer, Ring};

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
