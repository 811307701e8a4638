//! What purges match.

use super::*;
use crate::{Key, Request, groups::GroupMatch};

fn groups() -> Groups {
    let config = serde_json::json!({"version": 1, "groups": [
        {"name": "g", "match": {"hosts": ["h"]}, "key": {"query": {"exclude": ["utm_*"]}}, "origin": {"url": "http://o"}},
        {"name": "s", "match": {"service": "a.b"}, "origin": {"url": "http://o"}},
        {"name": "n", "match": {"hosts": ["one.shared", "two.shared", "*.one.shared"]}, "key": {"host": "none"}, "origin": {"url": "http://o"}}]});
    Groups::new(serde_json::from_value(config).unwrap()).unwrap()
}

fn key(authority: &str, target: &str) -> Key {
    let groups = groups();
    let request = Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), &[]).unwrap();
    let GroupMatch::Group(group) = groups.find(&request, None) else { panic!("no group") };
    Key::of(group, &request, None)
}

fn is(scope: serde_json::Value, key: &Key) -> bool {
    Matcher::new(&serde_json::from_value(scope).unwrap(), &groups()).match_key(key) == KeyMatch::Yes
}

fn is_by_tag(scope: serde_json::Value, key: &Key) -> bool {
    let scope = serde_json::from_value(scope).unwrap();
    matches!(Matcher::new(&scope, &groups()).match_key(key), KeyMatch::ByTag(_))
}

#[test]
fn a_url_names_a_key_as_its_request_would() {
    let is = |url: &str, key: &Key| is(serde_json::json!({"urls": ["http://h/other", url, "http://h/0"]}), key);
    assert!(is("http://h/a?b=1", &key("h", "/a?b=1")));
    assert!(is("HTTP://H:80/a?b=1&utm_x=2", &key("h", "/a?b=1")));
    assert!(is("http://a.b.svc.cluster.local:9000/x", &key("a.b", "/x")));
    assert!(is("http://h?b", &key("h", "/?b")) && is("http://h", &key("h", "/")));
    assert!(
        is("http://h./%7Ea/%c3?%62=%c3", &key("h", "/~a/%C3?b=%C3"))
            && is("http://h/~a/%C3", &key("H.:80", "/%7ea/%c3"))
    );
    assert!(!is("http://h/a", &key("h", "/a?b=1")));
    assert!(!is("https://h/a?b=1", &key("h", "/a?b=1")));
}

#[test]
fn a_url_of_any_host_names_the_key_that_the_hosts_share() {
    let config = serde_json::json!({"version": 1, "groups": [
        {"name": "one", "match": {"hosts": ["a", "*.a"]}, "key": {"host": "none"}, "origin": {"url": "http://o"}},
        {"name": "two", "match": {"hosts": ["b"]}, "key": {"host": "none"}, "origin": {"url": "http://o"}}]});
    let groups = Groups::new(serde_json::from_value(config).unwrap()).unwrap();
    let key = |name: &str, host: &str| {
        let request = Request::read(b"GET", b"http", host.as_bytes(), b"/x", &[]).unwrap();
        Key::of(groups.named(name).unwrap(), &request, None)
    };
    let purge = |urls: &[&str], key: &Key| {
        let scope = serde_json::from_value(serde_json::json!({"urls": urls})).unwrap();
        Matcher::new(&scope, &groups).match_key(key) == KeyMatch::Yes
    };
    let (one, two) = (key("one", "a"), key("two", "b"));
    for url in ["http://a/x", "http://c.a/x", "http://A:8080/x"] {
        assert!(purge(&[url], &one) && !purge(&[url], &two), "{url}");
        assert!(purge(&["http://b/x", url, "http://b/y"], &one), "{url} among others");
    }
    assert!(purge(&["http://b/x"], &two) && !purge(&["http://b/x", "http://elsewhere/x"], &one));
}

#[test]
fn paths_and_prefixes_are_within_their_group() {
    let of =
        |paths: &[&str], prefixes: &[&str]| serde_json::json!({"group": "g", "paths": paths, "prefixes": prefixes});
    let k = key("h", "/a/b?c=1");
    assert!(is(of(&["/%61/b?c=%31"], &[]), &k) && is(of(&[], &["/%61/"]), &k), "in any spelling");
    assert!(is(of(&["/a/b?c=1", "/0", "/z"], &[]), &k) && !is(of(&["/a/b", "/0", "/z"], &[]), &k));
    let excluded = key("h", "/x?utm_y=1&z=2");
    assert!(is(of(&["/x?z=2&utm_w"], &[]), &excluded), "what the group leaves out of its keys is left out here, too");
    for prefix in ["/a/", "/a/b", "/a/b?", "/a/b?c", "/a/b?c=1", "/"] {
        assert!(is(of(&[], &[prefix]), &k), "{prefix}");
        assert!(is(of(&[], &["/0", "/a/a", prefix, "/a/b0", "/b"]), &k), "{prefix} among others");
    }
    for prefix in ["/b", "/a/b?d", "/a/b?c=1&", "/a/b/", "/a/b0", "/a/a"] {
        assert!(!is(of(&[], &[prefix]), &k), "{prefix}");
        assert!(!is(of(&[], &["/0", prefix, "/z"]), &k), "{prefix} among others");
    }
    assert!(is(of(&[], &["/a/b?d", "/a", "/a/b?b"]), &k), "the shortest is enough");
    assert!(is(of(&[], &[]), &k) && !is(of(&[], &[]), &key("a.b", "/a/b")));
    let by_tag = serde_json::json!({"group": "g", "tags": ["t"]});
    assert!(is_by_tag(by_tag.clone(), &k), "its responses decide");
    assert!(!is_by_tag(by_tag, &key("a.b", "/a/b")));
    assert!(is(serde_json::json!({}), &Key::from_bytes(vec![1])), "bytes that are no key");
    assert!(is(serde_json::json!({"all": true}), &key("a.b", "/a/b")) && !is(serde_json::json!({}), &k));
}

#[test]
fn a_regex_is_compared_with_the_whole_path_and_query_as_keys_have_them() {
    let of = |regex: &[&str]| serde_json::json!({"group": "g", "regex": regex});
    let k = key("h", "/%61/b?c=1&utm_x=2");
    for regex in ["/a/.*", "^/a/b\\?c=1$", "/[a-z]/b.*", ".*"] {
        assert!(is(of(&["/z", regex]), &k), "{regex}");
    }
    for regex in ["/a/b", "b", "/%61/.*", "/a/b\\?c=1&.*"] {
        assert!(!is(of(&[regex, "/z"]), &k), "{regex}");
    }
    assert!(!is(of(&[".*"]), &key("a.b", "/a/b")), "of another group");
    assert!(is(of(&["("]), &k) && !is(of(&["("]), &key("a.b", "/x")), "one that cannot be read here is the group");
}

#[test]
fn hosts_limit_what_goes_and_without_a_group_they_are_those_of_every_group() {
    let of = |hosts: &[&str]| serde_json::json!({"hosts": hosts});
    let (h, other) = (key("h", "/a"), key("h:81", "/a"));
    assert!(is(of(&["x", "H"]), &h) && is(of(&["h"]), &other) && is(of(&["*"]), &h));
    assert!(is(of(&["h:80"]), &h) && !is(of(&["h:80"]), &other) && is(of(&["h:81"]), &other));
    assert!(!is(of(&["*.h"]), &h) && !is(of(&["x"]), &h));
    let service = key("a.b.svc", "/x");
    for name in ["a.b", "a.b.svc.cluster.local:9000", "*.b.svc", "*"] {
        assert!(is(of(&[name]), &service), "{name}");
    }
    assert!(!is(of(&["a.c.svc"]), &service));
    let shared = key("one.shared", "/x");
    for name in ["one.shared", "two.shared", "*.shared", "*.one.shared", "*", "one.shared:80"] {
        assert!(is(of(&[name]), &shared), "one of the hosts that share the response: {name}");
    }
    assert!(!is(of(&["shared"]), &shared) && !is(of(&["h"]), &shared));
    let within = |group: &str| serde_json::json!({"hosts": ["h"], "group": group, "regex": ["/a"]});
    assert!(is(within("g"), &h) && !is(within("s"), &h) && !is(within("g"), &key("h", "/b")));
    let paths = serde_json::json!({"hosts": ["*"], "paths": ["/a?utm_x=1"]});
    assert!(is(paths, &h), "a query as keys of any group have it");
    assert!(is_by_tag(serde_json::json!({"hosts": ["*"], "tags": ["t"]}), &service), "a tag in every group");
    assert!(!is_by_tag(serde_json::json!({"tags": ["t"]}), &service), "without a limit there is nothing to select in");
}

#[test]
fn a_purge_is_looked_for_only_where_it_can_match() {
    let groups = groups();
    let at = |scope: serde_json::Value| {
        let scope = serde_json::from_value(scope).unwrap();
        let matcher = Matcher::new(&scope, &groups);
        let candidates = matcher.candidates(|path| format!("path {path}"), |tag| format!("tag {tag}"));
        let text = |at: Candidates<'_, String>| {
            format!("{}: {}", at.group.unwrap_or("any"), at.terms.map_or("all".into(), |terms| terms.join(", ")))
        };
        candidates.into_iter().map(text).collect::<Vec<_>>().join("; ")
    };
    for (scope, expected) in [
        (serde_json::json!({"all": true}), "any: all"),
        (serde_json::json!({"group": "g"}), "g: all"),
        (serde_json::json!({"group": "g", "prefixes": ["/a"]}), "g: all"),
        (serde_json::json!({"group": "g", "prefixes": ["/a"], "paths": ["/b"]}), "g: all"),
        (serde_json::json!({"group": "g", "regex": ["/a"], "hosts": ["h"]}), "g: all"),
        (serde_json::json!({"hosts": ["h"]}), "any: all"),
        (serde_json::json!({"hosts": ["*"], "tags": ["t"]}), "any: tag t"),
        (serde_json::json!({"group": "g", "paths": ["/%61?b"], "tags": ["t"]}), "g: path /a, tag t"),
        (serde_json::json!({"urls": ["http://h/a", "http://a.b/x", "http://elsewhere/y"]}), "g: path /a; s: path /x"),
        (serde_json::json!({"urls": ["http://h/a", "http://a.b/x"], "group": "g"}), "g: all; s: path /x"),
        (serde_json::json!({}), ""),
    ] {
        assert_eq!(at(scope.clone()), expected, "{scope}");
    }
}

#[test]
fn tags_are_words_and_not_parts_of_words() {
    let scope = serde_json::from_value(serde_json::json!({"group": "g", "tags": ["b", "a"]})).unwrap();
    let matcher = Matcher::new(&scope, &groups());
    assert!(matcher.has_tag(b"a") && matcher.has_tag(b"b") && !matcher.has_tag(b"ab") && !matcher.has_tag(b""));
    let k = key("h", "/a");
    assert!(matcher.matches(&k, || true) && !matcher.matches(&k, || false));
}
