//! Hot responses: when they are given, and for how long.

use super::*;

#[test]
fn a_miss_asks_the_owner_and_its_response_is_hot_afterwards() {
    let mut proxy = Proxy::new("{}");
    let Happened::CallOut(callout) = proxy.get("/x") else { panic!() };
    assert_eq!(callout.timeout, 10_000);
    let replied = proxy.respond(callout.lookup, SHARED, &[("cache-status", "near; hit")], "body");
    assert_eq!(
        replied,
        [(1, Happened::Reply(200, "body".into(), "near; hit, meshcache; fwd=uri-miss; fwd-status=200; stored".into()))]
    );
    assert_eq!(proxy.get("/x"), Happened::Reply(200, "body".into(), format!("near; hit, {HOT}")));
    assert!(matches!(proxy.get("/y"), Happened::CallOut(_)));
    assert!(proxy.worker.lookups.len() == 1);
}

#[test]
fn a_hot_response_is_for_requests_that_name_their_user_only_if_it_is_for_everybody() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    assert!(matches!(proxy.request("GET", "/x", &[("authorization", "a")]), Happened::CallOut(_)));
    let lookup = proxy.look_up("/y");
    proxy.respond(lookup, &format!("{SHARED}; everybody"), &[], "public");
    assert_eq!(proxy.request("GET", "/y", &[("authorization", "a")]), hot("public"));
    proxy.verified = true;
    assert_eq!(proxy.get("/y"), hot("public"));
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)), "a token that the proxy verified names its user, too");
}

#[test]
fn the_host_is_asked_for_a_token_only_where_one_would_name_the_user() {
    for (group, everybody, asks) in [
        ("{}", "", 1),
        ("{}", "; everybody", 0),
        (r#"{"share": {"authorization": true}}"#, "", 0),
        (r#"{"request": {"drop": ["*"]}}"#, "", 0),
    ] {
        let mut proxy = Proxy::new(group);
        let lookup = proxy.look_up("/x");
        proxy.respond(lookup, &format!("{SHARED}{everybody}"), &[], "body");
        proxy.asked_for_token.set(0);
        assert_eq!(proxy.get("/x"), hot("body"));
        assert_eq!(proxy.asked_for_token.get(), asks, "{group}{everybody}");
    }
}

#[test]
fn hot_responses_are_given_only_while_a_coordinator_answers_the_feed() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    proxy.now = 2_999;
    assert!(matches!(proxy.get("/x"), Happened::Reply(..)));
    proxy.now = 3_000;
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
    proxy.worker.note_contact(3_000);
    assert!(!matches!(proxy.get("/x"), Happened::Reply(..)), "a purge may have been missed meanwhile");
    proxy.heat("/y", &[], "body");
    assert!(matches!(proxy.get("/y"), Happened::Reply(..)));
}

#[test]
fn a_hot_response_lives_as_long_as_the_group_says_and_never_longer_than_it_is_fresh() {
    let mut proxy = Proxy::new(r#"{"hot": {"ttl": "2s"}}"#);
    for (target, ttl, last) in [("/long", 60_000, 1_999), ("/short", 500, 499)] {
        proxy.now = 0;
        let lookup = proxy.look_up(target);
        proxy.respond(lookup, &format!("hit; ttl={ttl}; age=0; shared"), &[], "body");
        proxy.now = last;
        assert!(matches!(proxy.get(target), Happened::Reply(..)), "{target}");
        proxy.now = last + 1;
        assert!(matches!(proxy.get(target), Happened::CallOut(_)), "{target}");
    }
    for (target, outcome) in
        [("/1", "stale; ttl=-1; age=9; shared"), ("/2", "hit; ttl=0; age=0; shared"), ("/3", "miss; ttl=9000; age=0")]
    {
        let lookup = proxy.look_up(target);
        proxy.respond(lookup, outcome, &[], "body");
        assert!(matches!(proxy.get(target), Happened::CallOut(_)), "{outcome}");
    }
}

#[test]
fn a_purge_during_a_lookup_rules_its_response_out() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/old", &[], "old");
    let lookup = proxy.look_up("/x");
    let purge =
        Purge { source: "a.1".into(), n: 1, scope: serde_json::from_str(r#"{"all": true}"#).unwrap(), soft: false };
    let news = |since: &str| News {
        since: Position::parse(since).unwrap(),
        position: Position::parse("a.1:1").unwrap(),
        purges: vec![purge.clone()],
        ..News::default()
    };
    proxy.worker.apply_news(news(""));
    assert!(matches!(proxy.respond(lookup, SHARED, &[], "before")[..], [(_, Happened::Reply(..))]));
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
    assert!(matches!(proxy.get("/old"), Happened::CallOut(_)));
    proxy.heat("/new", &[], "after");
    proxy.worker.apply_news(news("p.0:1"));
    assert_eq!(proxy.get("/new"), hot("after"), "a purge that is announced twice is carried out once");
}

#[test]
fn a_response_under_other_rules_is_not_given() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    let lookup = proxy.look_up("/y");
    proxy.worker.install(snapshot(r#"{"hot": {"ttl": "5s"}}"#));
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
    assert!(matches!(proxy.get("/y"), Happened::CallOut(_)), "it does not join a lookup under other rules");
    proxy.respond(lookup, SHARED, &[], "body");
    assert_eq!(proxy.worker.state.hot.len(), 1);
    let lookup = proxy.look_up("/z");
    proxy.worker.install(snapshot("{}"));
    proxy.respond(lookup, "pass; reason=private; for=10000", &[], "");
    assert!(matches!(proxy.get("/z"), Happened::CallOut(_)), "a pass under other rules is not remembered");
}

#[test]
fn a_response_of_another_installation_is_not_given() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    let lookup = proxy.look_up("/y");
    proxy.worker.install(Snapshot { installation: "another".into(), ..snapshot("{}") });
    proxy.respond(lookup, SHARED, &[], "body");
    for target in ["/x", "/y"] {
        assert!(matches!(proxy.get(target), Happened::CallOut(_)), "{target}");
    }
}

#[test]
fn conditions_ranges_and_head_are_answered_from_the_hot_response() {
    let mut proxy = Proxy::new("{}");
    let body = "0123456789".repeat(100);
    proxy.heat("/x", &[("etag", "\"e\""), ("content-type", "t"), ("content-length", "1000")], &body);
    let mut given = |method: &str, field: (&str, &str)| match proxy.request(method, "/x", &[field]) {
        Happened::Reply(status, body, said) => {
            assert_eq!(said, HOT);
            (status, String::from_utf8(body).unwrap())
        }
        other => panic!("{method} {field:?}: {other:?}"),
    };
    assert_eq!(given("HEAD", ("a", "b")), (200, body.clone()));
    assert_eq!(given("GET", ("if-none-match", "\"e\"")), (304, String::new()));
    assert_eq!(given("GET", ("if-none-match", "\"f\"")), (200, body.clone()));
    assert_eq!(given("GET", ("range", "bytes=2-4")), (206, "234".into()));
    assert_eq!(given("GET", ("range", "bytes=2000-")), (416, String::new()));
    assert!(matches!(proxy.request("GET", "/x", &[("range", "bytes=0-1,500-501")]), Happened::CallOut(_)));
}

#[test]
fn a_part_is_never_stored() {
    let mut proxy = Proxy::new("{}");
    let Happened::CallOut(callout) = proxy.request("GET", "/x", &[("range", "bytes=0-1")]) else { panic!() };
    proxy.respond(callout.lookup, SHARED, &[("content-range", "bytes 0-1/10")], "01");
    let Happened::CallOut(callout) = proxy.request("HEAD", "/x", &[]) else { panic!() };
    proxy.respond(callout.lookup, SHARED, &[], "");
    assert_eq!(proxy.worker.state.hot.len(), 0);
}

#[test]
fn without_coordinators_a_stale_hot_response_replaces_a_failure_of_the_service() {
    let mut proxy = Proxy::new(r#"{"hot": {"ttl": "1s"}}"#);
    for (target, verdict) in
        [("/lenient", "hit; ttl=1500; age=0; if-error=60000; shared"), ("/strict", "hit; ttl=1500; age=0; shared")]
    {
        let lookup = proxy.look_up(target);
        proxy.respond(lookup, verdict, &[], "body");
    }
    let fail = |proxy: &mut Proxy, target: &str| {
        let mut lookup = proxy.look_up(target);
        loop {
            let call = PendingCall::new(lookup, proxy.worker.lookups.get(lookup).unwrap());
            let mut lookups = Lookups { worker: &mut proxy.worker, now: proxy.now };
            match lookups.receive(&call, Err(PeerFailure::Peer)) {
                LookupStep::CallOut(callout) => lookup = callout.lookup,
                LookupStep::Finish(mut fan_out) => match fan_out.next(&mut proxy.worker, proxy.now) {
                    Some((_, Step::Pass(pass))) => return pass,
                    _ => panic!("it does not pass"),
                },
                LookupStep::Nothing | LookupStep::Leave(..) => panic!("it is over"),
            }
        }
    };
    let said = |proxy: &Proxy, pass: &Pass, service: u16| {
        let mut fallback = pass.fallback.clone().unwrap();
        fallback.reply(service, &proxy.worker, proxy.now).map(|reply| happened(Step::Reply(reply)))
    };
    let given = |ttl: i32| {
        Some(Happened::Reply(200, b"body".to_vec(), format!("meshcache; hit; ttl={ttl}; detail=origin-error")))
    };
    proxy.now = 1_000;
    assert_eq!(fail(&mut proxy, "/strict").fallback, None, "neither group nor response allows it");
    proxy.worker.peers.clear();
    let pass = fail(&mut proxy, "/lenient");
    assert_eq!([200, 404, 503].map(|service| said(&proxy, &pass, service)), [None, None, given(0)]);
    proxy.now = 2_900;
    assert_eq!(said(&proxy, &pass, 500), given(-2));
    ["a:1", "b:1", "c:1"].into_iter().for_each(|peer| proxy.worker.note_peer_failure(peer, 2_900));
    // All peers have failed. None is asked, and the fallback is there all the same.
    let Step::Pass(none) = proxy.step("GET", "/lenient", &[]) else { panic!("a peer is asked") };
    assert_eq!((none.reason, said(&proxy, &none, 502)), (Reason::NoPeer, given(-2)));
    let Step::Pass(part) = proxy.step("GET", "/lenient", &[("range", "bytes=0-1")]) else { panic!("a peer is asked") };
    assert_eq!(part.fallback, None);
    proxy.now = 3_000;
    assert_eq!(said(&proxy, &pass, 503), None, "no coordinator would announce a purge");
    proxy.now = 2_900;
    proxy.worker.empty_hot_cache();
    assert_eq!(said(&proxy, &pass, 503), None, "something was purged meanwhile");
}
