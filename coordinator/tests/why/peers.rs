//! What several coordinators know.

use super::{
    Origin, about,
    support::{Running, file, port::unused, send, stopwatch::Stopwatch, until},
    why_of,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

/// Coordinators `a` and, if it runs, `b` before an origin.
async fn two(
    origin: &Origin,
    b: Option<()>,
    at_b: (SocketAddr, SocketAddr),
) -> (Running, Option<Running>, Vec<tempfile::TempDir>) {
    let (token_file, token) = file("token");
    let groups =
        json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": origin.url}}]});
    let (groups_file, groups) = file(&groups.to_string());
    let at_a = (unused(), unused());
    let peers =
        [("a", at_a), ("b", at_b)].map(|(name, (data, peer))| format!("{name}={data}/{}", peer.port())).join(",");
    let start = async |name: &str, (data, peer): (SocketAddr, SocketAddr)| {
        let (data, peer) = (data.to_string(), peer.to_string());
        let own = ["--name", name, "--listen", &data, "--peer-listen", &peer, "--peers", &peers];
        Running::start(&[&own[..], &["--peer-token-file", &token, "--config", &groups]].concat()).await
    };
    let b = match b {
        Some(()) => Some(start("b", at_b).await),
        None => None,
    };
    (start("a", at_a).await, b, vec![token_file, groups_file])
}

async fn get(from: &Running, path: &str) -> String {
    send(from.ports.data, "GET", path, &[("host", "h")], "").await.header("cache-status").to_owned()
}

fn question(path: &str) -> Value {
    json!({"url": format!("http://h{path}")})
}

/// Returns a path that begins so and that `b` owns, once both answer from their stores.
async fn of_b(a: &Running, b: &Running, start: &str) -> String {
    for one in [a, b] {
        until("it answers from its store", async || get(one, "/first").await.contains("; hit")).await;
    }
    for n in 0..64 {
        let path = format!("{start}{n}");
        if why_of(a.ports.admin, question(&path)).await.owner.as_deref() == Some("b") {
            return path;
        }
    }
    panic!("b owns no key");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_coordinator_owns_is_explained_by_any() {
    let origin = Origin::start().await;
    let (a, b, _files) = two(&origin, Some(()), (unused(), unused())).await;
    let b = b.unwrap();
    let path = of_b(&a, &b, "/").await;
    let mut probe = question(&path);
    probe["probe"] = json!(true);
    let asked = Instant::now();
    let why = why_of(a.ports.admin, probe).await;
    let whole = asked.elapsed().as_secs_f64() * 1000.0;
    let names: Vec<_> = why.at.iter().map(|at| at.name.as_str()).collect();
    assert_eq!((names, why.next.as_deref()), (vec!["b", "a"], Some("a")), "the owner is first");
    assert!(why.summary.starts_with("fresh at b for "), "{}", why.summary);
    let at: Vec<_> = why.hops.iter().map(|hop| hop.at.as_str()).collect();
    assert!(at.len() == 4 && at[..2] == ["a", "b"] && at[2].starts_with("origin ") && at[3] == "b", "{:?}", why.hops);
    assert_eq!(why.hops[0].what, "asked b, the owner");
    assert!(why.hops.iter().map(|hop| hop.took).sum::<f64>() <= whole, "{whole}: {:?}", why.hops);
    assert!(why.at[1].stored.is_empty() && why.at[0].hops.is_empty(), "{:#?}", why.at);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_since_ends_the_reason_of_each_coordinator_that_passed_a_request() {
    let origin = Origin::start().await;
    let (a, b, _files) = two(&origin, Some(()), (unused(), unused())).await;
    let b = b.unwrap();
    let path = of_b(&a, &b, "/changing?").await;
    for one in [&a, &b] {
        get(one, &path).await;
    }
    let why = async || why_of(a.ports.admin, question(&path)).await;
    let private = why().await;
    assert!(private.at.iter().all(|at| at.last.first().is_some_and(|last| last.reason == "private")), "{private:#?}");
    assert!(private.summary.starts_with("not stored: private ("), "{}", private.summary);
    origin.is_changed.store(true, Ordering::SeqCst);
    until("it is stored", async || get(&b, &path).await.contains("; hit")).await;
    until("it is over", async || why().await.at.iter().all(|at| at.stored.is_empty())).await;
    let over = why().await;
    assert_eq!(over.at[1].last.first().map(|last| last.reason.as_str()), Some("private"), "a passed it: {over:#?}");
    assert!(over.at[0].stored_ago.is_some_and(|ago| ago < 60_000), "{over:#?}");
    assert!(over.summary.starts_with("not stored: what was stored "), "{}", over.summary);
    assert!(about(&over, "").text.starts_with("What was stored has expired") && over.advice.len() == 1, "{over:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_silent_is_named_and_purge_lag_is_explained_without_it() {
    let origin = Origin::start().await;
    // It takes connections, and answers none.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (a, _, _files) = two(&origin, None, (unused(), silent.local_addr().unwrap())).await;
    send(a.ports.data, "GET", "/a", &[("host", "h")], "").await;
    let question = json!({"url": "http://h/a"});
    let is_cut_off = async || why_of(a.ports.admin, question.clone()).await.at.iter().all(|at| !at.has_lease);
    until("nobody tells it of purges", is_cut_off).await;
    let waited = Stopwatch::start();
    let why = why_of(a.ports.admin, question).await;
    assert!(waited.elapsed() < Duration::from_secs(3), "{:?}", waited.elapsed());
    let of = |name: &str| why.at.iter().find(|at| at.name == name).unwrap();
    assert_eq!((of("a").unreached.as_deref(), of("b").unreached.as_deref()), (None, Some("timeout")));
    assert!(why.summary.starts_with("stored at a for "), "{}", why.summary);
    assert!(why.summary.ends_with(" s more, and not given now: purge-lag (no answer: b)"), "{}", why.summary);
    assert!(!of("a").has_lease && about(&why, "purge-lag").yaml.is_none(), "{why:#?}");
}
