//! Which group a request has, and what it says.

use super::*;
use crate::reason::Reason;

fn groups(json: serde_json::Value) -> Groups {
    Groups::new(serde_json::from_value(json).unwrap()).unwrap()
}

fn found(groups: &Groups, authority: &'static str, path: &'static str, namespace: Option<&str>) -> String {
    match groups.find(&Request::read(b"GET", b"http", authority.as_bytes(), path.as_bytes(), &[]).unwrap(), namespace) {
        GroupMatch::Group(g) => g.name().to_owned(),
        GroupMatch::HostOnly(g) => format!("({})", g.name()),
        GroupMatch::Nothing => String::new(),
    }
}

#[test]
fn the_first_group_that_matches_wins() {
    let groups = groups(serde_json::json!({"version": 1, "groups": [
        {"name": "config", "match": {"service": "config.platform", "paths": [{"prefix": "/develop"}, {"exact": "/status"}, {"regex": "/prod/?"}], "exclude": [{"prefix": "/develop/private"}]}, "origin": {"url": "http://o"}},
        {"name": "wild", "match": {"hosts": ["*.example.com", "api.test:8080"]}, "origin": {"url": "http://o"}}]}));
    for (authority, path, expected) in [
        ("config.platform", "/develop", "config"),
        ("config.platform.svc.cluster.local:9000", "/develop/a", "config"),
        ("CONFIG.platform.svc", "/status", "config"),
        ("config.platform", "/prod/", "config"),
        ("config.platform", "/prod/x", "(config)"),
        ("config.platform", "/developer", "(config)"),
        ("config.platform", "/develop/private/x", "(config)"),
        ("a.example.com", "/", "wild"),
        ("example.com", "/", ""),
        ("api.test:8080", "/", "wild"),
        ("api.test", "/", ""),
        ("config.platform.svc.evil.com", "/develop", ""),
    ] {
        assert_eq!(found(&groups, authority, path, None), expected, "{authority}{path}");
    }
    assert_eq!(found(&groups, "config", "/develop", Some("platform")), "config");
    assert_eq!(found(&groups, "config", "/develop", Some("other")), "");
    assert_eq!(found(&groups.only(&["wild".into()]), "config.platform", "/develop", None), "");
}

#[test]
fn a_query_is_as_sent_unless_the_group_normalises_it() {
    let as_sent = Group::for_tests("{}");
    assert_eq!(as_sent.query(Some("b=1&utm_x=2&a=3")).unwrap(), "b=1&utm_x=2&a=3");
    let group = Group::for_tests(r#"{"key": {"query": {"exclude": ["utm_*"], "sort": true}}}"#);
    assert_eq!(group.query(Some("b=2&utm_x=2&a=3&b=1")).unwrap(), "a=3&b=2&b=1");
    assert_eq!(group.query(Some("utm_x=2")), None);
}

#[test]
fn bypass_and_callers_are_what_the_group_says() {
    let group = Group::for_tests(
        r#"{"bypass": {"query": ["nocache"], "cookies": ["session"]}, "callers": ["spiffe://*/ns/shop/sa/*"]}"#,
    );
    let request = |target: &'static str| Request::read(b"GET", b"http", b"h", target.as_bytes(), &[]).unwrap();
    assert_eq!(
        (group.bypass_reason(&request("/?nocache")), group.bypass_reason(&request("/?nocache2"))),
        (Some(Reason::BypassQuery), None)
    );
    assert!(group.admits(Some("spiffe://cluster.local/ns/shop/sa/web")));
    assert!(!group.admits(Some("spiffe://cluster.local/ns/bank/sa/web")) && !group.admits(None));
    assert!(Group::for_tests(r#"{"callers": ["*"]}"#).admits(None));
}

#[test]
fn a_target_rule_matches_path_and_query_in_their_normal_form() {
    let groups =
        groups(serde_json::json!({"version": 1, "groups": [{"name": "g", "origin": {"url": "http://o"}, "match": {
        "hosts": ["h"],
        "paths": [{"target": {"regex": "^/dev", "search": true}}, {"target": {"regex": "/a\\?b=(c|%C3%BC)"}}],
        "exclude": [{"target": {"regex": "[?&]live$", "search": true}}]}}]}));
    for (target, expected) in [
        ("/develop?x", "g"),
        ("/%64evelop", "g"),
        ("/a?b=c", "g"),
        ("/a?%62=%c3%bc", "g"),
        ("/a?b=c&d", "(g)"),
        ("/a", "(g)"),
        ("/develop?live", "(g)"),
        ("/develop?liv%65", "(g)"),
        ("/x/develop", "(g)"),
    ] {
        assert_eq!(found(&groups, "h", target, None), expected, "{target}");
    }
}

#[test]
fn a_request_is_seen_without_what_its_group_drops() {
    let fields: [crate::request::Field<'_>; 6] = [
        (b"cookie", b"a=1"),
        (b"accept-encoding", b"deflate, gzip"),
        (b"range", b"bytes=0-1"),
        (b"accept-encoding", b"br"),
        (b"x-forwarded-host", b"evil"),
        (b"x-user", b"7"),
    ];
    let seen = |rules: serde_json::Value| {
        let group = Group::for_tests(&serde_json::json!({"request": rules}).to_string());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let seen: Vec<_> =
            group.edited(&fields).map(|(name, value)| format!("{} {}", text(name), text(value))).collect();
        assert!(group.edits(&fields), "{rules}");
        seen
    };
    assert_eq!(seen(serde_json::json!({"drop": ["*"]})), ["range bytes=0-1"]);
    assert_eq!(
        seen(serde_json::json!({"drop": ["*"], "acceptEncoding": ["gzip", "br"]})),
        ["accept-encoding gzip", "range bytes=0-1"]
    );
    assert_eq!(
        seen(serde_json::json!({"drop": ["X-User", "cookie", "x-forwarded-host"], "acceptEncoding": ["zstd"]})),
        ["range bytes=0-1"]
    );
    let group = Group::for_tests(r#"{"request": {"drop": ["cookie"], "acceptEncoding": ["br"]}}"#);
    assert!(!group.edits(&[(b"accept-encoding", b"br"), (b"x", b"1")]) && !Group::for_tests("{}").edits(&fields));
    let request = Request::read(b"GET", b"http", b"h", b"/%7e", &fields).unwrap();
    let anonymous = Group::for_tests(r#"{"request": {"drop": ["*"]}}"#);
    let plain = Request::read(b"GET", b"http", b"h", b"/~", &[]).unwrap();
    let of = |request| crate::Key::of(&anonymous, request, None);
    assert!(of(&request) == of(&plain), "a field that is dropped is in no key");
    assert!(crate::Key::of(&Group::for_tests("{}"), &request, None) != of(&plain));
}
