//! What a group that observes says of responses that pass through it.

use super::*;
use crate::{
    cache::{
        removal,
        test_peers::{self, ask, configure, data_port, get, group, open, serve, stop_time},
    },
    store::PurgeAction,
};
use futures_util::{StreamExt, stream};
use http::Response;
use http_body_util::{BodyExt, Empty, StreamBody};
use meshcache_protocol::purge::Scope;
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::sync::Notify;

/// A coordinator that observes an origin.
struct Observing {
    cache: Arc<Cache>,
    data: SocketAddr,
}

impl Observing {
    /// `answer`: what the origin's nth response is.
    async fn new(answer: impl Fn(usize) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let origin = serve(move |_| std::future::ready(answer(count.fetch_add(1, SeqCst)))).await;
        let cache = test_peers::cache("me", 1 << 20, "http://127.0.0.1:1");
        configure(&cache, serde_json::json!({"mode": "observe", "origin": {"url": format!("http://{origin}")}}));
        Self { data: data_port(&cache).await, cache }
    }

    async fn get(&self, target: &str) -> String {
        String::from_utf8(get(self.data, target).await.body.to_vec()).unwrap()
    }

    fn mismatches(&self) -> u64 {
        group(&self.cache).metrics.observe_mismatches.get()
    }
}

/// A response that every client may have for an hour.
fn fresh(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("cache-control", http::HeaderValue::from_static("public, max-age=3600"));
    response
}

/// A body of two pieces whose length is not known before its end.
fn pieces(first: &'static str, second: String) -> Body {
    let frames = [first.to_owned(), second].map(|piece| Ok(Frame::data(Bytes::from(piece))));
    Body::stream(StreamBody::new(stream::iter(frames)))
}

#[tokio::test]
async fn another_response_than_the_cache_would_have_given_is_a_mismatch_and_is_given() {
    let _stopped = stop_time();
    let observing = Observing::new(|n| fresh(format!("user {n}").into())).await;
    assert_eq!((observing.get("/a").await.as_str(), observing.mismatches()), ("user 0", 0));
    assert_eq!((observing.get("/a").await.as_str(), observing.mismatches()), ("user 1", 1));
    assert_eq!((observing.get("/b").await.as_str(), observing.mismatches()), ("user 2", 1), "another key");
}

#[tokio::test]
async fn the_response_that_the_cache_would_have_given_is_none() {
    let _stopped = stop_time();
    for body in [
        || Body::from("same"),
        || pieces("sa", "me".into()),
        || Body::stream(Empty::new().map_err(|never| match never {})),
    ] {
        let observing = Observing::new(move |_| fresh(body())).await;
        for _ in 0..3 {
            observing.get("/a").await;
        }
        assert_eq!(observing.mismatches(), 0);
    }
}

#[tokio::test]
async fn bodies_of_unknown_length_are_compared_to_their_end() {
    let _stopped = stop_time();
    let observing = Observing::new(|n| fresh(pieces("the same, then ", n.to_string()))).await;
    assert_eq!(observing.get("/a").await, "the same, then 0");
    assert_eq!((observing.get("/a").await.as_str(), observing.mismatches()), ("the same, then 1", 1));
}

#[tokio::test]
async fn a_body_that_is_cut_counts_for_nothing() {
    let _stopped = stop_time();
    let cut = Arc::new(Notify::new());
    let observing = Observing::new({
        let cut = cut.clone();
        move |n| {
            let cut = cut.clone();
            let rest = stream::once(async move {
                if n == 0 {
                    cut.notified().await;
                    return Err(Cut("test"));
                }
                Ok(Frame::data(Bytes::from(" whole")))
            });
            let first = stream::iter([Ok(Frame::data(Bytes::from("half")))]);
            fresh(Body::stream(Box::pin(StreamBody::new(first.chain(rest)))))
        }
    })
    .await;
    let mut body = open("GET", observing.data, "/a", None).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    cut.notify_one();
    assert!(body.frame().await.unwrap().is_err());
    for _ in 0..2 {
        assert_eq!((observing.get("/a").await.as_str(), observing.mismatches()), ("half whole", 0));
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_for_the_cache_counts_for_nothing() {
    let _stopped = stop_time();
    let observing = Observing::new(|n| fresh(Body::from(vec![b'0' + n as u8; 2000]))).await;
    let url = group(&observing.cache).group.config().origin.url.to_string();
    let limits = serde_json::json!({"object": "1KB"});
    configure(&observing.cache, serde_json::json!({"mode": "observe", "origin": {"url": url}, "limits": limits}));
    assert_eq!((observing.get("/a").await.len(), observing.get("/a").await.len()), (2000, 2000));
    assert_eq!(observing.mismatches(), 0);
}

#[tokio::test]
async fn what_changes_after_a_purge_or_an_unsafe_request_is_no_mismatch() {
    let _stopped = stop_time();
    let observing = Observing::new(|n| fresh(format!("version {n}").into())).await;
    observing.get("/a").await;
    removal::remove(&observing.cache, &Scope { all: true, ..Scope::default() }, PurgeAction::Remove);
    assert_eq!((observing.get("/a").await.as_str(), observing.mismatches()), ("version 1", 0));
    assert_eq!(ask("POST", observing.data, "/a").await.status, 200);
    assert_eq!((observing.get("/a").await.as_str(), observing.mismatches()), ("version 3", 0));
    assert_eq!((observing.get("/a").await.as_str(), observing.mismatches()), ("version 4", 1), "nothing was said");
}

#[tokio::test]
async fn what_no_cache_may_store_is_not_compared() {
    let _stopped = stop_time();
    for control in ["private", "no-store"] {
        let private = Observing::new(move |n| {
            let mut response = fresh(format!("{n}").into());
            response.headers_mut().insert("cache-control", http::HeaderValue::from_static(control));
            response
        })
        .await;
        assert_eq!((private.get("/a").await, private.get("/a").await), ("0".into(), "1".into()));
        assert_eq!(private.mismatches(), 0, "{control}");
    }
}

#[tokio::test]
async fn what_proxies_tell_counts_for_groups_that_observe_by_the_rules_of_now_alone() {
    let _stopped = stop_time();
    let observing = Observing::new(|_| fresh("same".into())).await;
    let compared =
        Comparison { differs: vec!["body".into()], unlike: vec!["header x".into()], url: "http://h/".into() };
    let words = |group: &protocol::Group| {
        let words = word::words(group, &compared, true);
        words.into_iter().map(|word| (word, u64::MAX)).collect::<std::collections::BTreeMap<_, _>>()
    };
    let tell = |served: &ServedGroup, name: &str| {
        let requests = [(name.to_owned(), words(&served.group))].into();
        let comparisons = [(name.to_owned(), 84_000)].into();
        record_told(&observing.cache, &FeedRequest { requests, ..FeedRequest::default() }, &comparisons);
    };
    let evidence = || group(&observing.cache).evidence.lock().clone();
    let before = group(&observing.cache);
    tell(&before, "another");
    assert_eq!(evidence().compared, 0);
    tell(&before, before.group.name());
    let told = evidence();
    assert_eq!((told.compared, told.told, told.mismatches), (84_000, 84_000, 84_000), "as many as are taken");
    assert_eq!((told.parts["header x"].in_mismatches, told.last[0].told), (84_000, true));
    observing.get("/a").await;
    observing.get("/a").await;
    assert_eq!((evidence().compared, evidence().told), (84_001, 84_000), "one was seen here");
    let url = before.group.config().origin.url.to_string();
    let origin = serde_json::json!({"url": url});
    configure(&observing.cache, serde_json::json!({"mode": "observe", "origin": origin, "key": {"headers": ["x"]}}));
    tell(&before, before.group.name());
    assert_eq!((evidence().compared, evidence().last.len()), (0, 0), "it is of the rules before");
    configure(&observing.cache, serde_json::json!({"origin": origin}));
    let on = group(&observing.cache);
    tell(&on, on.group.name());
    assert_eq!(evidence().compared, 0);
}
