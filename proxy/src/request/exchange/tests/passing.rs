//! Requests that pass, and the reasons.

use super::*;

#[test]
fn after_an_owners_pass_all_requests_pass_until_its_time_is_over() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.get("/x");
    let passed = proxy.respond(lookup, "pass; reason=private; for=10000", &[], "");
    assert_eq!(passed, [(1, Happened::Pass(Reason::Owner)), (2, Happened::Pass(Reason::Owner))]);
    proxy.now = 9_999;
    proxy.worker.note_contact(9_999);
    assert_eq!(proxy.get("/x"), Happened::Pass(Reason::Remembered));
    proxy.now = 10_000;
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
}

#[test]
fn the_second_request_has_the_owners_reason_too() {
    let mut proxy = Proxy::new("{}");
    for (path, owners, said) in [
        ("/a", "private", "meshcache; fwd=bypass; detail=private"),
        ("/b", "of-another-version", "meshcache; fwd=bypass; detail=of-another-version"),
        ("/c", "longer-than-any-word-of-any-version", "meshcache; fwd=bypass; detail=owner"),
    ] {
        let lookup = proxy.look_up(path);
        let verdict = format!("pass; reason={owners}; for=10000");
        assert_eq!(proxy.respond(lookup, &verdict, &[], ""), [(proxy.streams, Happened::Pass(Reason::Owner))]);
        let Step::Pass(second) = proxy.step("GET", path, &[]) else { panic!("it is looked up again") };
        assert_eq!((second.reason, second.cache_status.as_deref()), (Reason::Remembered, Some(said)));
    }
}

#[test]
fn a_pass_has_a_reason_where_the_cache_is_responsible() {
    let said = |proxy: &mut Proxy, target: &str, fields: &[(&str, &str)]| match proxy.step("GET", target, fields) {
        Step::Pass(pass) => pass.cache_status.map(|said| said.replace("meshcache; fwd=bypass; detail=", "")),
        _ => panic!("it does not pass"),
    };
    let bypass = r#"{"bypass": {"headers": ["x-a"], "cookies": ["b"], "query": ["c"]}}"#;
    let mut proxy = Proxy::new(bypass);
    proxy.listen(ListenerConfig::new(None, None, None));
    for (target, fields, why) in [
        ("//x", &[][..], "ambiguous-path"),
        ("/a/../b", &[], "ambiguous-path"),
        ("x", &[], "bad-target"),
        ("/none", &[], "no-path"),
        ("/x", &[("x-a", "1")], "bypass-header"),
        ("/x", &[("cookie", "b=1")], "bypass-cookie"),
        ("/x?c", &[], "bypass-query"),
    ] {
        assert_eq!(said(&mut proxy, target, fields).as_deref(), Some(why), "{target}");
    }
    // A side that is not served, and groups that change nothing for clients.
    proxy.side = Side::Inbound;
    assert_eq!(said(&mut proxy, "//x", &[]), None, "this side is not served");
    for mode in ["observe", "off"] {
        let mut proxy = Proxy::new(&format!(r#"{{"mode": "{mode}"}}"#));
        assert_eq!(["//x", "/none"].map(|target| said(&mut proxy, target, &[])), [None, None], "{mode}");
    }
}

#[test]
fn a_host_of_no_group_has_a_reason_only_at_the_listener_of_the_groups_service() {
    let said = |proxy: &mut Proxy| match proxy.step("GET", "/x", &[]) {
        Step::Pass(pass) => (pass.reason, pass.cache_status),
        _ => panic!("it does not pass"),
    };
    let other = r#"{"match": {"hosts": ["other"]}}"#;
    let named = Some(vec!["g".to_owned()]);
    for (group, groups, side, has_reason) in [
        (other, named.clone(), Side::Inbound, true),
        (other, named.clone(), Side::Outbound, false),
        (other, None, Side::Inbound, false),
        (other, None, Side::Outbound, false),
        (r#"{"match": {"hosts": ["other"]}, "mode": "observe"}"#, named, Side::Inbound, false),
    ] {
        let mut proxy = Proxy::new(group);
        (proxy.listener, proxy.side) = (ListenerConfig::new(groups.clone(), None, None), side);
        let expected = has_reason.then(|| "meshcache; fwd=bypass; detail=no-group".to_owned());
        assert_eq!(said(&mut proxy), (Reason::NoGroup, expected), "{groups:?} {side:?}");
    }
}

#[test]
fn requests_that_a_cache_does_not_answer_pass_at_once() {
    let mut proxy = Proxy::new(r#"{"bypass": {"headers": ["x-nocache"]}}"#);
    for (method, target, field, reason) in [
        ("POST", "/x", ("a", "b"), Reason::Method),
        ("CONNECT", "/x", ("a", "b"), Reason::Method),
        ("GET", "/none", ("a", "b"), Reason::NoPath),
        ("GET", "/a/../b", ("a", "b"), Reason::AmbiguousPath),
        ("GET", "/.meshcache/feed", ("a", "b"), Reason::ControlPath),
        ("GET", "/x", ("upgrade", "websocket"), Reason::Upgrade),
        ("GET", "/x", ("expect", "100-continue"), Reason::Expect),
        ("GET", "/x", ("content-length", "5"), Reason::Body),
        ("GET", "/x", ("accept", "text/event-stream"), Reason::EventStream),
        ("GET", "/x", ("content-type", "application/grpc"), Reason::Grpc),
        ("GET", "/x", ("cdn-loop", "meshcache"), Reason::Loop),
        ("GET", "/x", ("x-nocache", ""), Reason::BypassHeader),
    ] {
        assert_eq!(proxy.request(method, target, &[field]), Happened::Pass(reason), "{method} {target} {field:?}");
    }
    assert_eq!(proxy.request_with("GET", "/x", &[], true), Happened::Pass(Reason::Body));
    proxy.worker.remove_snapshot();
    assert_eq!(proxy.get("/x"), Happened::Pass(Reason::NoFeed));
}

#[test]
fn a_request_with_a_value_that_is_no_text_passes() {
    let mut proxy = Proxy::new("{}");
    let fields: [Field<'_>; 5] =
        [(b":method", b"GET"), (b":authority", b"h"), (b":path", b"/x"), (b":scheme", b"http"), (b"x", b"\xff")];
    assert_eq!(proxy.of_fields(&fields, false), Happened::Pass(Reason::NotText));
}

#[test]
fn a_request_whose_head_no_coordinator_takes_passes() {
    let mut proxy = Proxy::new("{}");
    let names: Vec<String> = (0..241).map(|n| format!("x-{n}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    assert!(matches!(proxy.request("GET", "/x", &fields[..240]), Happened::CallOut(_)));
    assert_eq!(proxy.request("GET", "/y", &fields), Happened::Pass(Reason::RequestHeadTooLarge));
    let long = "v".repeat(62 << 10);
    assert_eq!(proxy.request("GET", "/y", &[("x", &long)]), Happened::Pass(Reason::RequestHeadTooLarge));
}

#[test]
fn no_spelling_of_a_path_is_answered_for_callers_that_may_not_have_it() {
    const ADMIN: &str = "spiffe://d/ns/n/sa/admin";
    let equal = ["/prod/x", "/%70rod/x", "/p%72o%64/x", "/prod/%78"];
    let ambiguous = [
        "/develop/../prod/x",
        "/./prod/x",
        "//prod/x",
        "/prod%2fx",
        "/prod%2Fx",
        "/prod;/x",
        "/prod%3b/x",
        "/develop/%2e%2e/prod/x",
        "/develop/..%2fprod/x",
        "/prod%5cx",
        "/prod\\x",
        "/%2570rod/x",
        "/prod%00/x",
        "/%%37%30rod/x",
    ];
    // One group for everybody without a path, and one with that path for its callers.
    let left_out = r#"{"match": {"hosts": ["h"], "exclude": [{"prefix": "/prod"}]}}"#;
    let callers =
        r#"{"match": {"hosts": ["h"], "paths": [{"prefix": "/%70rod"}]}, "callers": ["spiffe://d/ns/n/sa/admin"]}"#;
    for group in [left_out, callers] {
        let mut proxy = Proxy::new(group);
        proxy.caller = Some(ADMIN);
        if group == callers {
            proxy.heat("/prod/x", &[], "for the admin");
        }
        for path in equal {
            assert_eq!(
                proxy.get(path),
                if group == callers { hot("for the admin") } else { Happened::Pass(Reason::NoPath) },
                "{path}"
            );
        }
        proxy.caller = Some("spiffe://d/ns/n/sa/web");
        for path in equal {
            assert_eq!(
                proxy.get(path),
                Happened::Pass(if group == callers { Reason::Caller } else { Reason::NoPath }),
                "{path}"
            );
        }
        for path in ambiguous {
            assert_eq!(proxy.get(path), Happened::Pass(Reason::AmbiguousPath), "{path}");
        }
    }
}

#[test]
fn a_control_path_in_any_spelling_is_the_services() {
    let mut proxy = Proxy::new("{}");
    for path in ["/.meshcache/feed", "/%2emeshcache/feed", "/.mesh%63ache/feed"] {
        assert_eq!(proxy.get(path), Happened::Pass(Reason::ControlPath), "{path}");
    }
}

#[test]
fn a_cookie_of_the_key_that_may_be_read_in_two_ways_passes() {
    let mut proxy = Proxy::new(r#"{"key": {"cookies": ["lang"]}, "share": {"cookie": true}}"#);
    assert_eq!(proxy.request("GET", "/x", &[("cookie", "lang=en; lang=fr")]), Happened::Pass(Reason::AmbiguousCookie));
    assert_eq!(
        proxy.request("GET", "/x", &[("cookie", "a=b"), ("cookie", "lang=fr")]),
        Happened::Pass(Reason::AmbiguousCookie)
    );
    assert!(matches!(proxy.request("GET", "/x", &[("cookie", "a=b; lang=fr")]), Happened::CallOut(_)));
}

#[test]
fn a_pass_is_for_its_variant_and_drops_nothing_hot_and_ends_with_a_shared_response() {
    let mut proxy = Proxy::new("{}");
    let get = |proxy: &mut Proxy, language: &str| proxy.request("GET", "/x", &[("accept-language", language)]);
    let vary = [("vary", "accept-language")];
    let Happened::CallOut(german) = get(&mut proxy, "de") else { panic!() };
    proxy.respond(german.lookup, SHARED, &vary, "hallo");
    let Happened::CallOut(french) = get(&mut proxy, "fr") else { panic!() };
    proxy.respond(french.lookup, "pass; reason=private; for=10000; vary=accept-language", &[], "");
    assert_eq!(get(&mut proxy, "de"), hot("hallo"));
    assert_eq!(get(&mut proxy, "fr"), Happened::Pass(Reason::Remembered));
    let Happened::CallOut(italian) = get(&mut proxy, "it") else { panic!("another variant is looked up") };
    proxy.respond(italian.lookup, "pass; reason=private; for=10000", &[], "");
    assert_eq!(get(&mut proxy, "en"), Happened::Pass(Reason::Remembered), "it does not vary any more");
    assert_eq!(get(&mut proxy, "de"), hot("hallo"), "a hot response is given all the same");
    // After a lookup with a shared response, requests no longer pass.
    proxy.now = 10_000;
    proxy.worker.note_contact(9_999);
    let Happened::CallOut(english) = get(&mut proxy, "en") else { panic!() };
    assert_eq!(get(&mut proxy, "en"), Happened::Wait);
    proxy.respond(english.lookup, "pass; reason=private; for=10000; vary=accept-language", &[], "");
    proxy.now = 10_500;
    let Happened::CallOut(of_user) = proxy.request("GET", "/x", &[("accept-language", "en"), ("authorization", "me")])
    else {
        panic!()
    };
    proxy.respond(of_user.lookup, "hit; ttl=60000; age=0; shared; everybody", &vary, "hello");
    assert_eq!(get(&mut proxy, "en"), hot("hello"));
    proxy.worker.state.hot.clear();
    assert!(matches!(get(&mut proxy, "en"), Happened::CallOut(_)), "the pass is forgotten");
}

#[test]
fn a_method_that_the_group_does_not_name_passes() {
    let mut proxy = Proxy::new(r#"{"methods": ["HEAD", "QUERY"]}"#);
    for method in ["GET", "QUERY", "POST"] {
        assert_eq!(proxy.request(method, "/x", &[]), Happened::Pass(Reason::Method), "{method}");
    }
    assert!(matches!(proxy.request("HEAD", "/x", &[]), Happened::CallOut(_)));
}
