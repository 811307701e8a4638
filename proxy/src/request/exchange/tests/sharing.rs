//! Requests that share a lookup.

use super::*;

#[test]
fn requests_for_one_key_share_one_lookup() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    for _ in 0..100 {
        assert_eq!(proxy.get("/x"), Happened::Wait);
    }
    let replied = proxy.respond(lookup, SHARED, &[], "body");
    assert_eq!(replied.len(), 101);
    let collapsed = |happened: &Happened| match happened {
        Happened::Reply(200, body, said) => body == b"body" && said.ends_with("; collapsed"),
        _ => false,
    };
    assert!(replied.iter().all(|(stream, happened)| collapsed(happened) == (*stream != 1)));
    assert!(proxy.worker.lookups.is_empty());
}

#[test]
fn a_client_that_leaves_does_not_end_the_lookup_of_others() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    assert_eq!(proxy.get("/x"), Happened::Wait);
    proxy.worker.lookups.leave(1);
    assert_eq!(
        proxy.respond(lookup, "loading", &[], ""),
        [(1, Happened::CallOut(Callout { lookup, timeout: 10_000 }))]
    );
    assert!(matches!(proxy.respond(lookup, SHARED, &[], "body")[..], [(2, Happened::Reply(200, ..))]));
    assert_eq!(proxy.get("/x"), hot("body"));
}

#[test]
fn a_lookup_is_not_repeated_for_clients_that_all_left() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.worker.lookups.leave(1);
    assert_eq!(proxy.respond(lookup, "loading", &[], ""), []);
    assert!(proxy.worker.lookups.is_empty());
}

#[test]
fn a_response_that_is_not_shared_is_for_the_leader_alone_and_the_others_look_up_side_by_side() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.get("/x");
    proxy.get("/x");
    let replied = proxy.respond(lookup, "miss; ttl=60000; age=0", &[], "mine");
    let [(1, Happened::Reply(..)), (2, Happened::CallOut(one)), (3, Happened::CallOut(two))] = &replied[..] else {
        panic!("{replied:?}")
    };
    assert_ne!(one.lookup, two.lookup);
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)), "it is not stored either");
}

#[test]
fn a_response_is_given_only_to_requests_that_its_vary_selects() {
    let mut proxy = Proxy::new("{}");
    let german = [("accept-language", "de")];
    let Happened::CallOut(callout) = proxy.request("GET", "/x", &german) else { panic!() };
    assert_eq!(proxy.request("GET", "/x", &german), Happened::Wait);
    assert_eq!(proxy.request("GET", "/x", &[("accept-language", "fr")]), Happened::Wait);
    let vary = [("vary", "accept-language")];
    let replied = proxy.respond(callout.lookup, SHARED, &vary, "hallo");
    assert!(
        matches!(&replied[..], [(1, Happened::Reply(..)), (2, Happened::Reply(..)), (3, Happened::CallOut(_))]),
        "{replied:?}"
    );
    let Some((_, Happened::CallOut(french))) = replied.last().cloned() else { panic!() };
    assert_eq!(proxy.request("GET", "/x", &german), hot("hallo"));
    proxy.respond(french.lookup, SHARED, &vary, "salut");
    assert_eq!(proxy.request("GET", "/x", &german), hot("hallo"));
    assert_eq!(proxy.request("GET", "/x", &[("accept-language", "fr")]), hot("salut"));
    assert!(matches!(proxy.request("GET", "/x", &[("accept-language", "it")]), Happened::CallOut(_)));
}

#[test]
fn a_response_with_vary_star_is_not_shared() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.get("/x");
    let replied = proxy.respond(lookup, SHARED, &[("vary", "*")], "body");
    assert!(matches!(&replied[..], [(1, Happened::Reply(..)), (2, Happened::CallOut(_))]));
    assert_eq!(proxy.worker.state.hot.len(), 0);
}

#[test]
fn a_request_that_names_its_user_or_wants_a_part_is_looked_up_alone() {
    let mut proxy = Proxy::new("{}");
    proxy.look_up("/x");
    for field in [
        ("authorization", "a"),
        ("cookie", "a=b"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"a\""),
        ("cache-control", "only-if-cached"),
    ] {
        assert!(matches!(proxy.request("GET", "/x", &[field]), Happened::CallOut(_)), "{field:?}");
    }
    assert!(matches!(proxy.request("HEAD", "/x", &[]), Happened::CallOut(_)));
    proxy.verified = true;
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
}

#[test]
fn a_request_after_a_purge_does_not_join_a_lookup_from_before_it() {
    let mut proxy = Proxy::new("{}");
    let before = proxy.look_up("/x");
    assert_eq!(proxy.get("/x"), Happened::Wait);
    let purge =
        Purge { source: "a.1".into(), n: 1, scope: serde_json::from_str(r#"{"all": true}"#).unwrap(), soft: false };
    proxy.worker.apply_news(News {
        since: Position::parse("p.0:1").unwrap(),
        position: Position::parse("a.1:1,p.0:1").unwrap(),
        purges: vec![purge],
        ..News::default()
    });
    let after = proxy.look_up("/x");
    assert_eq!(proxy.get("/x"), Happened::Wait);
    let given = |all: Vec<(u32, Happened)>, body: &str| {
        all.len() == 2
            && all
                .iter()
                .all(|(_, happened)| matches!(happened, Happened::Reply(_, given, _) if given == body.as_bytes()))
    };
    assert!(given(proxy.respond(before, SHARED, &[], "before"), "before"));
    assert!(given(proxy.respond(after, SHARED, &[], "after"), "after"));
}

#[test]
fn more_than_a_worker_holds_passes() {
    let mut proxy = Proxy::new("{}");
    let long = "v".repeat(60_000);
    let mut passed = 0;
    for _ in 0..300 {
        passed += usize::from(proxy.request("GET", "/x", &[("x", &long)]) == Happened::Pass(Reason::Full));
    }
    assert!((150..200).contains(&passed), "{passed}");
    assert!(matches!(proxy.get("/y"), Happened::CallOut(_)), "what is small still has room");
}

#[test]
fn the_snapshot_is_shared_not_copied() {
    let mut proxy = Proxy::new("{}");
    proxy.get("/x");
    let listener = proxy.listener.current(&proxy.worker.state);
    assert!(Arc::ptr_eq(listener.snapshot().unwrap(), proxy.worker.snapshot().unwrap()));
}

#[test]
fn users_of_a_group_that_drops_all_share_one_lookup_that_carries_nothing_of_theirs() {
    let mut proxy = Proxy::new(r#"{"request": {"drop": ["*"], "acceptEncoding": ["gzip"]}}"#);
    proxy.verified = true;
    let ann = [("cookie", "user=ann"), ("accept-encoding", "br, gzip"), ("x-forwarded-host", "evil")];
    let Happened::CallOut(callout) = proxy.request("GET", "/x", &ann) else { panic!("no lookup") };
    let bob = [("authorization", "Bearer b"), ("accept-encoding", "gzip;q=0.5")];
    assert_eq!(proxy.request("GET", "/x", &bob), Happened::Wait);
    let of = &proxy.worker.lookups.get(callout.lookup).unwrap().request;
    let fields: Vec<_> = fields_of(&of.map).into_iter().filter(|(name, _)| !name.starts_with(':')).collect();
    assert_eq!(fields, [("accept-encoding".to_owned(), "gzip".to_owned())]);
    let replied = proxy.respond(callout.lookup, SHARED, &[("vary", "cookie, accept-encoding")], "body");
    assert_eq!(replied.len(), 2);
    assert_eq!(proxy.request("GET", "/x", &ann), hot("body"));
    let Happened::CallOut(_) = proxy.get("/x") else { panic!("another coding is another variant") };
    assert_eq!(proxy.request_with("GET", "/x", &ann, true), Happened::Pass(Reason::Body));
    assert_eq!(proxy.request("GET", "/x", &[("accept", "text/event-stream")]), Happened::Pass(Reason::EventStream));
}

#[test]
fn what_the_owner_does_not_store_yet_is_for_all_who_wait_and_kept_by_no_proxy() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    assert_eq!(proxy.get("/x"), Happened::Wait);
    let replied = proxy.respond(lookup, "miss; reason=min-uses; ttl=60000; age=0; waiters", &[], "body");
    let is_said = |happened: &Happened| match happened {
        Happened::Reply(200, body, said) => body == b"body" && said.contains("detail=min-uses"),
        _ => false,
    };
    assert!(replied.len() == 2 && replied.iter().all(|(_, happened)| is_said(happened)), "{replied:?}");
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
}

#[test]
fn where_vary_is_ignored_one_hot_copy_is_for_all() {
    let mut proxy = Proxy::new(r#"{"request": {"drop": ["*"]}, "freshness": {"ignore": ["vary"]}}"#);
    let lookup = proxy.look_up("/x");
    assert_eq!(proxy.request("GET", "/x", &[("accept-language", "fr")]), Happened::Wait);
    assert_eq!(proxy.respond(lookup, SHARED, &[("vary", "*")], "body").len(), 2);
    assert_eq!(proxy.request("GET", "/x", &[("accept-language", "de")]), hot("body"));
}
