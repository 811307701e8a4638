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
