//! What a probe tells.

use super::One;
use meshcache_admin::Why;
use serde_json::json;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_once_and_tells_each_hop() {
    let one = One::start(json!({})).await;
    let probe = json!({"url": "http://h/probed", "probe": true});
    let hops = |why: &Why| why.hops.iter().map(|hop| (hop.at.clone(), hop.what.clone())).collect::<Vec<_>>();
    let asked = Instant::now();
    let first = one.why_of(probe.clone()).await;
    let whole = asked.elapsed().as_secs_f64() * 1000.0;
    let told = hops(&first);
    let origin = format!("origin {}", one.origin.url.trim_start_matches("http://"));
    assert!(told[0].0 == "me" && told[0].1.starts_with("looked up: fwd=uri-miss"), "{told:?}");
    assert_eq!(told[1], (origin, "loaded: 200".to_owned()), "{told:?}");
    assert!(told[2].1.starts_with("answered: 200, cache-control: s-maxage=60"), "{told:?}");
    assert!(
        told.len() == 3 && first.hops.iter().map(|hop| hop.took).sum::<f64>() <= whole,
        "{whole}: {:?}",
        first.hops
    );
    assert!(first.summary.starts_with("fresh at me"), "{}", first.summary);
    let second = hops(&one.why_of(probe).await);
    assert!(second.len() == 2 && second[0].1.starts_with("looked up: hit"), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_of_what_passes_says_that_it_does_not_ask() {
    let one = One::start(json!({"bypass": {"query": ["draft"]}})).await;
    for (url, what) in [
        ("http://h/a?draft=1", "not asked: it passes, bypass-query"),
        ("http://elsewhere/a", "not asked: it passes, no-group"),
    ] {
        let why = one.why_of(json!({"url": url, "probe": true})).await;
        let hops: Vec<_> = why.hops.iter().map(|hop| (hop.at.as_str(), hop.what.as_str(), hop.took)).collect();
        assert_eq!(hops, [("me", what, 0.0)], "{why:#?}");
        assert!(one.why_of(json!({"url": url})).await.hops.is_empty(), "it was not wanted");
    }
}
