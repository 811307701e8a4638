//! The effect of the listener, of its facts and of a group's mode on a request.

use super::*;

impl Proxy {
    /// Has another configuration. Hosts keep hits for each.
    pub(super) fn listen(&mut self, listener: ListenerConfig) {
        (self.listener, self.repeats) = (listener, Repeats::default());
    }
}

#[test]
fn a_group_that_is_off_or_only_observes_changes_nothing() {
    for (mode, reason) in [("off", Reason::Off), ("observe", Reason::Observe)] {
        let mut proxy = Proxy::new(&format!(r#"{{"mode": "{mode}"}}"#));
        assert_eq!(proxy.get("/x"), Happened::Pass(reason));
    }
    let mut proxy = Proxy::new(r#"{"mode": "observe"}"#);
    proxy.get("/x");
    proxy.request("POST", "/x", &[]);
    assert_eq!(
        serde_json::to_string(&proxy.worker.all_counters().groups()).unwrap(),
        r#"{"g":{"observed":1,"uncached":1}}"#
    );
}

#[test]
fn inbound_only_named_groups_are_served_and_nothing_hot_comes_from_the_other_side() {
    let mut proxy = Proxy::new("{}");
    proxy.listen(ListenerConfig::new(None, None, None));
    proxy.heat("/x", &[], "body");
    proxy.side = Side::Inbound;
    assert_eq!(proxy.get("/x"), Happened::Pass(Reason::NoGroup));
    proxy.listen(ListenerConfig::new(Some(vec!["g".into()]), None, None));
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
    proxy.side = Side::Outbound;
    assert_eq!(proxy.get("/x"), hot("body"));
    proxy.listen(ListenerConfig::new(Some(vec!["other".into()]), None, None));
    assert_eq!(proxy.get("/x"), Happened::Pass(Reason::NoGroup));
}

#[test]
fn a_configured_side_is_used_while_envoy_agrees() {
    let mut proxy = Proxy::new("{}");
    proxy.listen(ListenerConfig::new(None, Some(Side::Outbound), None));
    proxy.heat("/x", &[], "body");
    assert_eq!(proxy.get("/x"), hot("body"));
    // The same configuration on a listener of the other side: found out within a second, and nothing is served from
    // then on.
    proxy.side = Side::Inbound;
    proxy.now += 1000;
    assert_eq!(proxy.get("/y"), Happened::Pass(Reason::NoGroup));
    for side in [Side::Inbound, Side::Outbound] {
        proxy.side = side;
        assert_eq!(proxy.get("/x"), Happened::Pass(Reason::NoGroup));
    }
    assert!(proxy.listener.has_wrong_side());
    // Wrong from the start: the first request shows it.
    proxy.listen(ListenerConfig::new(Some(vec!["g".into()]), Some(Side::Inbound), None));
    assert_eq!(proxy.get("/x"), Happened::Pass(Reason::NoGroup));
}

#[test]
fn a_guarded_group_answers_only_its_callers() {
    let mut proxy = Proxy::new(r#"{"callers": ["spiffe://d/ns/shop/sa/*"]}"#);
    for (caller, may) in
        [(None, false), (Some("spiffe://d/ns/bank/sa/web"), false), (Some("spiffe://d/ns/shop/sa/web"), true)]
    {
        proxy.caller = caller;
        assert_eq!(proxy.get("/x") != Happened::Pass(Reason::Caller), may, "{caller:?}");
    }
}

#[test]
fn only_a_debuggers_control_headers_take_effect() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    let send = |proxy: &mut Proxy, name| proxy.request("GET", "/x", &[(name, "1")]);
    assert_eq!(send(&mut proxy, "meshcache-bypass"), hot("body"));
    assert_eq!(send(&mut proxy, "meshcache-debug"), hot("body"));
    proxy.caller = Some("spiffe://d/ns/n/sa/dev");
    assert_eq!(send(&mut proxy, "meshcache-bypass"), Happened::Pass(Reason::Debugger));
    assert_eq!(
        send(&mut proxy, "meshcache-debug"),
        Happened::Reply(
            200,
            "body".into(),
            "meshcache; hit; ttl=60; detail=\"proxy why=max-age\"; key=\"g http://h/x\"".into()
        )
    );
}

#[test]
fn a_route_without_a_cluster_passes_whatever_is_hot() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.respond(lookup, "hit; ttl=60000; shared; stored", &[("cache-control", "max-age=60")], "hot");
    for _ in 0..8 {
        if let Happened::CallOut(callout) = proxy.get("/x") {
            proxy.respond(callout.lookup, "hit; ttl=60000; shared; stored", &[("cache-control", "max-age=60")], "hot");
        }
    }
    assert!(matches!(proxy.get("/x"), Happened::Reply(200, ..)));
    proxy.cluster = None;
    assert_eq!(proxy.get("/x"), Happened::Pass(Reason::Route));
    assert_eq!(proxy.get("/y"), Happened::Pass(Reason::Route));
    assert_eq!(
        proxy.request("POST", "/x", &[]),
        Happened::Pass(Reason::Method),
        "what passes anyway has its own reason"
    );
    let mut observing = Proxy::new(r#"{"mode": "observe"}"#);
    observing.cluster = None;
    assert_eq!(observing.get("/x"), Happened::Pass(Reason::Route), "it would not have been looked up");
}

#[test]
fn the_owners_response_to_a_sample_is_compared_with_what_passes() {
    const FRESH: &[(&str, &str)] = &[(":status", "200"), ("cache-control", "max-age=60")];
    let map = |fields: &[(&str, &str)]| {
        header_map::encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    };
    // The mismatches that the owner's response counts after "as it is" has passed.
    let mismatches = |outcome: &str, body: &str, purged: bool| {
        let mut proxy = Proxy::new(r#"{"mode": "observe"}"#);
        for n in 1..=100 {
            let Step::Observe(observed) = proxy.step("GET", "/x", &[]) else { panic!("{n}") };
            assert_eq!(proxy.worker.samples.is_idle(), n < 100, "one of a hundred: {n}");
            let map = map(FRESH);
            let fields: Vec<_> = header_map::HeaderMap::parse(&map).unwrap().collect();
            let response = meshcache_protocol::Response { status: 200, fields: &fields };
            let observed = observed.response(&proxy.worker, &response, 0, 0).unwrap();
            observed.piece(b"as it is").unwrap().finish(&mut proxy.worker, 0);
        }
        let lookup = proxy.worker.samples.pop().unwrap();
        assert!(proxy.worker.lookups.get(1).is_none(), "no request waits for it");
        if purged {
            proxy.worker.observed.clear();
            proxy.worker.apply_news(News { position: Position::parse("p.0:2").unwrap(), ..News::default() });
        }
        let response = PeerResponse::read(
            &map(&[FRESH, &[("meshcache-outcome", outcome)]].concat()),
            body.as_bytes().to_vec(),
            false,
        );
        sample::compare(&mut proxy.worker, &lookup, response, 0, 0);
        let mut counted = 0;
        proxy
            .worker
            .all_counters()
            .take_metrics(|at, n| counted += if at == Outcome::Mismatch as usize { n } else { 0 });
        counted
    };
    assert_eq!(mismatches("miss; ttl=60000; shared; stored", "as it is", false), 0);
    assert_eq!(mismatches("miss; ttl=60000; shared; stored", "by another path", false), 1);
    assert_eq!(mismatches("hit; ttl=60000; shared", "by another path", false), 1);
    for nothing in ["pass; reason=private", "loading", "error; reason=connect"] {
        assert_eq!(mismatches(nothing, "", false), 0, "{nothing}");
    }
    assert_eq!(
        mismatches("hit; ttl=60000; shared", "by another path", true),
        0,
        "a response from before a purge says nothing"
    );
}
