//! What a group's own rules make of responses and keys: lifetimes by status, what is ignored, the query's allow-list,
//! hosts that share responses, and responses that are stored at the n-th request only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use meshcache_coordinator::{
    config::groups_file::GroupSource, kubecache::Kubecache, purge::execute::issue, settings::Identity,
};
use meshcache_protocol::purge::Scope;
use plane::{Front, Gate, MIB, Origin, answer, ring, until};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// The seconds that a hit is fresh for, from its Cache-Status.
fn ttl(status: &str) -> u64 {
    let rest = status.split_once("ttl=").unwrap_or_else(|| panic!("no hit: {status}")).1;
    rest.split(';').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_answer_to_kubecaches_requests_is_stored_for_the_time_of_its_status_whatever_it_says() {
    let origin = Origin::new(|seen| async move {
        assert!(!seen.headers.contains_key("cookie") && !seen.headers.contains_key("authorization"));
        let status = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        let said = [
            ("cache-control", "no-store, private, no-cache, max-age=0"),
            ("vary", "*"),
            ("set-cookie", "a=b"),
            ("location", "/elsewhere"),
            ("age", "1000"),
        ];
        answer(status, &said, if matches!(status, 204) { String::new() } else { seen.n.to_string() })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("groups.yaml");
    let defaults = Kubecache::read(&BTreeMap::new()).unwrap();
    std::fs::write(&file, defaults.groups.replace("http://config-server:9000", &origin.url())).unwrap();
    let (front, source) = (Front::new(&origin, json!({})).await, GroupSource::Path(file));
    let loaded = source.load(&source.read(), Identity::None).unwrap_or_else(|wrong| panic!("{wrong}"));
    front.cache.set_groups(loaded.groups).unwrap();
    let statuses = [200, 201, 204, 226, 300, 301, 302, 307, 400, 401, 403, 404, 412, 416, 429, 431, 500, 503, 511];
    for (n, status) in statuses.into_iter().enumerate() {
        let get = |host: &'static str| {
            let front = &front;
            let fields = [("host", host), ("cookie", host), ("authorization", host)];
            async move { front.ask("GET", &format!("/develop/{status}"), &fields).await }
        };
        let (first, second) = (get("a").await, get("b:8080").await);
        for reply in [&first, &second] {
            let body = if status == 204 { String::new() } else { n.to_string() };
            assert_eq!((reply.status.as_u16(), reply.text()), (status, body.as_str()), "{reply:?}");
            assert_eq!((reply.header("location"), reply.header("set-cookie")), ("/elsewhere", ""), "{reply:?}");
            assert_eq!(reply.header("cache-control"), "no-store, private, no-cache, max-age=0", "as it came");
        }
        let most = if status < 300 { 300 } else { 60 };
        let left = ttl(second.header("cache-status"));
        assert!(left + 15 > most && left <= most, "{status}: {left}");
    }
    assert_eq!(origin.count(), statuses.len());
}

#[tokio::test]
async fn one_answer_is_for_all_where_vary_is_ignored() {
    let origin =
        Origin::new(|seen| async move { answer(200, &[FRESH, ("vary", "x-lang, *")], seen.n.to_string()) }).await;
    let ignoring = json!({"request": {"drop": ["*"]}, "freshness": {"ignore": ["vary"]}});
    let front = Front::new(&origin, ignoring).await;
    for lang in ["de", "en"] {
        let reply = front.ask("GET", "/", &[("x-lang", lang)]).await;
        assert_eq!((reply.text(), reply.header("vary")), ("0", "x-lang, *"));
    }
    front.reload(&origin, json!({"request": {"drop": ["*"]}}));
    assert_eq!((front.get("/a").await.text(), front.get("/a").await.text()), ("1", "2"), "a star is for one request");
}

#[tokio::test]
async fn what_the_allow_list_leaves_out_makes_no_key_and_is_sent_to_nobody() {
    let origin = Origin::new(|seen| async move {
        answer(200, &[if seen.target.starts_with("/p") { ("cache-control", "private") } else { FRESH }], seen.target)
    })
    .await;
    let rules = json!({"key": {"query": {"include": ["q", "page_*"], "exclude": ["page_x"]}}});
    let front = Front::new(&origin, rules).await;
    for target in ["/a?q=1&utm_x=2&page_b=3", "/a?page_x=9&q=1&page_b=3", "/a?%71=1&page_b=3&"] {
        assert_eq!(front.get(target).await.text(), "/a?q=1&page_b=3", "{target}");
    }
    assert_eq!(front.get("/a?utm_x=2").await.text(), "/a");
    assert_eq!(origin.count(), 2);
    for _ in 0..2 {
        assert_eq!(front.get("/p?session=1&q=2").await.text(), "/p?q=2", "what passes, too");
    }
}

#[tokio::test]
async fn hosts_that_share_answers_are_one_key_and_a_write_at_one_is_known_at_all() {
    let origin = Origin::new(|seen| async move {
        match seen.method.as_str() {
            "GET" => answer(200, &[FRESH], seen.n.to_string()),
            _ => answer(201, &[("location", "http://b.h/x"), ("content-location", "//a.h/y")], ""),
        }
    })
    .await;
    let front = Front::new(&origin, json!({"match": {"hosts": ["a.h", "*.h"]}, "key": {"host": "none"}})).await;
    let get = |host: &'static str, target: &'static str| {
        let front = &front;
        async move { front.ask("GET", target, &[("host", host)]).await }
    };
    for (target, n) in [("/x", "0"), ("/y", "1"), ("/z", "2")] {
        for host in ["a.h", "b.h:81", "C.h"] {
            assert_eq!(get(host, target).await.text(), n, "{host}{target}");
        }
    }
    assert_eq!(get("other", "/x").await.status.as_u16(), 421, "only hosts that the group names");
    let gateway = front.ask("GET", "/x", &[("host", "a.h"), ("x-forwarded-host", "b.h")]).await;
    assert_eq!(gateway.text(), "3", "what may reroute is in the key");
    assert_eq!(front.ask("POST", "/w", &[("host", "a.h")]).await.status.as_u16(), 201);
    for (target, n) in [("/x", "5"), ("/y", "6"), ("/z", "2")] {
        for host in ["d.h", "a.h"] {
            assert_eq!(get(host, target).await.text(), n, "{host}{target}");
        }
    }
    let scope = Scope { urls: vec!["http://e.h:8080/z".into(), "http://other/x".into()], ..Default::default() };
    assert_eq!(issue(&front.cache, scope, false).1.entries, 1);
    assert_eq!((get("a.h", "/z").await.text(), get("b.h", "/x").await.text()), ("7", "5"));
}

#[tokio::test]
async fn a_response_is_stored_at_the_request_that_the_group_names() {
    let origin = Origin::new(|seen| async move { answer(200, &[FRESH], seen.n.to_string()) }).await;
    let front = Front::new(&origin, json!({"minUses": 3})).await;
    for n in 0..2 {
        let reply = front.get("/").await;
        assert_eq!(reply.text(), n.to_string());
        let status = reply.header("cache-status");
        assert!(status.contains("fwd=uri-miss") && status.contains("detail=min-uses"), "{status}");
        assert!(!status.contains("stored"), "{status}");
        assert_eq!(front.cache.usage()[0].items, 0);
    }
    let third = front.get("/").await;
    assert!(third.header("cache-status").contains("stored") && third.text() == "2", "{third:?}");
    assert!(front.get("/").await.header("cache-status").contains("hit"));
    assert_eq!(front.get("/other").await.text(), "3", "each key for itself");
    assert_eq!(front.cache.usage()[0].items, 1);
    let text = String::from_utf8(front.metrics.page().unwrap()).unwrap();
    assert!(text.contains(r#"meshcache_not_stored_total{group="g",reason="min-uses"} 3"#), "{text}");
}

#[tokio::test]
async fn a_head_a_part_and_one_that_passes_count_and_are_not_stored_before() {
    let origin = Origin::new(|seen| async move {
        answer(200, &[("cache-control", "public, max-age=60"), ("etag", "\"v\"")], seen.n.to_string())
    })
    .await;
    let front = Front::new(&origin, json!({"minUses": 3})).await;
    let named = front.ask("GET", "/", &[("authorization", "me")]).await;
    assert!(!named.header("cache-status").contains("stored"), "{named:?}");
    front.ask("HEAD", "/", &[]).await;
    assert_eq!(front.cache.usage()[0].items, 0);
    assert!(front.get("/").await.header("cache-status").contains("stored"));
}

/// Opens the gate once all these requests wait for one load.
async fn open_for(front: &Front, gate: &Gate, waiting: usize) {
    until("all wait", || front.cache.in_flight().0 == waiting).await;
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_is_one_load_although_its_answer_is_stored_later() {
    // What needs validation is for those who came before its load began, and the next load for all others.
    for (fields, loads) in [(&[FRESH][..], 1), (&[("cache-control", "no-cache"), ("etag", "\"v\"")], 2)] {
        let fields = fields.to_vec();
        let (origin, gate) = Origin::gated(move |seen| answer(200, &fields, seen.n.to_string())).await;
        let front = Arc::new(Front::new(&origin, json!({"minUses": 1000})).await);
        let asked: Vec<_> = (0..50)
            .map(|n| {
                let front = front.clone();
                tokio::spawn(async move {
                    if n % 2 == 0 { front.get("/").await } else { front.question_with("patience=5000", "/", &[]).await }
                })
            })
            .collect();
        open_for(&front, &gate, 50).await;
        for reply in asked {
            let reply = reply.await.unwrap();
            let load: usize = reply.text().parse().unwrap();
            assert!(reply.status == 200 && load < loads, "{reply:?}");
            let outcome = reply.header("meshcache-outcome");
            assert!(outcome.is_empty() || (outcome.contains("min-uses") && outcome.contains("miss")), "{outcome}");
        }
        assert!(origin.count() <= loads && front.cache.usage()[0].items == 0, "{} loads", origin.count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_at_coordinators_that_ask_the_owner_is_one_load_although_its_answer_is_stored_later() {
    let (origin, gate) = Origin::gated(|seen| answer(200, &[FRESH], seen.n.to_string())).await;
    let group = json!({"match": {"hosts": ["*"]}, "minUses": 1000, "patience": "5s"});
    let mut fronts = Vec::new();
    for name in ["a", "b", "c"] {
        fronts.push(Arc::new(Front::with(&origin, group.clone(), 64 * MIB, name, Identity::None).await));
    }
    ring(&[("a", &fronts[0]), ("b", &fronts[1]), ("c", &fronts[2])]);
    let mut asked = Vec::new();
    for front in fronts.iter().flat_map(|front| std::iter::repeat_n(front, 10)) {
        let front = front.clone();
        asked.push(tokio::spawn(async move { front.ask("GET", "/", &[("host", "h")]).await }));
    }
    let waiting = || fronts.iter().map(|front| front.cache.in_flight().0).sum::<usize>();
    // The questions of the two others wait at the owner, too.
    until("all wait", || waiting() == 32).await;
    gate.open();
    for reply in asked {
        let reply = reply.await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "0"), "{reply:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn who_asks_again_for_the_load_that_it_waits_for_is_no_further_use() {
    let (origin, gate) = Origin::gated(|seen| answer(200, &[FRESH], seen.n.to_string())).await;
    let front = Front::new(&origin, json!({"minUses": 2, "patience": "5s"})).await;
    let mut words = "patience=1".to_owned();
    for _ in 0..3 {
        let loading = front.question_with(&words, "/", &[]).await;
        let outcome = loading.header("meshcache-outcome");
        let flight = outcome.split_once("flight=").unwrap_or_else(|| panic!("{outcome}")).1;
        words = format!("patience=1; flight={}", flight.split(';').next().unwrap());
    }
    gate.open();
    let reply = front.question_with(&words.replace("patience=1", "patience=5000"), "/", &[]).await;
    assert!(reply.header("meshcache-outcome").contains("min-uses"), "{reply:?}");
    assert_eq!((front.cache.usage()[0].items, origin.count()), (0, 1));
}
