use super::*;
use crate::cache::state::Cache;
use meshcache_protocol::Groups;

/// A cache with a group `g` for the host `h`. `more`: its other fields.
pub(crate) fn cache(more: serde_json::Value) -> Arc<Cache> {
    let mut group =
        serde_json::json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://127.0.0.1:1"}});
    for (name, value) in more.as_object().unwrap() {
        group[name] = value.clone();
    }
    let config = serde_json::json!({"version": 1, "groups": [group]});
    let cache = Cache::sample("a", 1 << 20);
    cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
    cache
}

/// A request for the host `h`, and what becomes of it at the data port.
pub(crate) fn classified<R>(
    cache: &Cache,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    check: impl FnOnce(Result<CacheRequest<'_>, NotLookedUp<'_>>) -> R,
) -> R {
    let request = http::Request::builder().method(method).uri(target).header("host", "h");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let head = RequestHead::read(Port::Data, request.body(()).unwrap().into_parts().0).unwrap();
    let (fields, table) = (head.fields(), cache.group_table());
    let mut edited = Fields::new();
    check(classify(Port::Data, &head, &fields, &mut edited, &table, &cache.settings))
}

/// What becomes of a request, in words.
fn outcome(cache: &Cache, method: &str, target: &str, fields: &[(&str, &str)]) -> String {
    classified(cache, method, target, fields, |result| match result {
        Ok(request) => format!("lookup {}", request.served.group.name()),
        Err(NotLookedUp::Pass { reason, is_question, .. }) => format!("pass {} {is_question}", reason.label()),
        Err(NotLookedUp::Decline { reason, .. }) => format!("decline {}", reason.label()),
        Err(NotLookedUp::Forbidden { field, .. }) => format!("forbidden {}", field.field()),
        Err(NotLookedUp::Refused { status, reason }) => format!("{} {}", status.as_u16(), reason.label()),
    })
}

#[test]
fn a_request_is_looked_up_passed_declined_or_refused() {
    let cache = cache(serde_json::json!({}));
    let question = Question { group: "g".into(), ..Question::new() }.to_string();
    let other = Question { group: "other".into(), ..Question::new() }.to_string();
    let (question, other) = (("meshcache-wire", question.as_str()), ("meshcache-wire", other.as_str()));
    let looped = ("cdn-loop", "meshcache");
    for (method, target, fields, expected) in [
        ("GET", "/a", &[][..], "lookup g"),
        ("GET", "/a", &[question], "lookup g"),
        ("POST", "/a", &[], "pass method false"),
        ("POST", "/a", &[question], "pass method true"),
        ("GET", "/a", &[other], "pass group true"),
        ("GET", "/a", &[("meshcache-wire", "999")], "decline wire-version"),
        ("GET", "/a", &[("meshcache-wire", "?")], "decline bad-question"),
        ("GET", "/a", &[looped], "pass loop false"),
        ("GET", "/a", &[looped, looped], "508 loop"),
        ("GET", "/.meshcache/x", &[], "404 control-path"),
        ("GET", "/.meshcache/x", &[question], "decline control-path"),
        ("GET", "http://unknown/a", &[], "421 no-group"),
        ("GET", "/a", &[("upgrade", "websocket"), ("connection", "upgrade")], "501 upgrade"),
    ] {
        assert_eq!(outcome(&cache, method, target, fields), expected, "{method} {target} {fields:?}");
    }
}

#[test]
fn a_group_decides_what_passes_through_it() {
    let off = cache(serde_json::json!({"mode": "off"}));
    assert_eq!(outcome(&off, "GET", "/a", &[]), "pass off false");
    let narrow = cache(
        serde_json::json!({"passThrough": {"methods": ["GET"], "otherPaths": false}, "match": {"hosts": ["h"], "paths": [{"prefix": "/in"}]}}),
    );
    assert_eq!(outcome(&narrow, "GET", "/in/a", &[]), "lookup g");
    assert_eq!(outcome(&narrow, "POST", "/in/a", &[]), "forbidden passThrough.methods");
    assert_eq!(outcome(&narrow, "GET", "/out", &[]), "forbidden passThrough.otherPaths");
}

#[test]
fn a_request_waits_no_longer_than_its_group_allows() {
    let cache = cache(serde_json::json!({"patience": "2s", "origin": {"url": "http://127.0.0.1:1", "timeout": "5s"}}));
    let wait = |patience, waited| {
        let question = Question { group: "g".into(), patience, waited, ..Question::new() };
        classified(&cache, "GET", "/a", &[("meshcache-wire", &question.to_string())], |request| {
            let Ok(request) = request else { panic!("it is not looked up") };
            (request.patience(&question).as_millis(), request.waited().as_millis())
        })
    };
    assert_eq!(wait(0, 0), (2000, 0), "the group's own patience");
    assert_eq!(wait(500, 700), (500, 700));
    assert_eq!(wait(3_600_000, 3_600_000), (2000, 18_000), "two loads and four times the patience");
}

fn read(fields: &'static [Field<'static>]) -> Request<'static> {
    Request::read(b"GET", b"http", b"h", b"/", fields).unwrap()
}

#[test]
fn rounds_through_one_installation_are_counted() {
    assert_eq!(loops(&read(&[(b"cdn-loop", b"other"), (b"cdn-loop", b"meshcache, MeshCache; v=1")]), "meshcache"), 2);
    assert_eq!(loops(&read(&[(b"cdn-loop", b"other")]), "meshcache"), 0);
}

#[test]
fn a_request_is_looked_up_without_what_its_group_drops() {
    let cache = cache(serde_json::json!({
        "request": {"drop": ["*"], "acceptEncoding": ["br"]},
        "bypass": {"query": ["live"]},
        "methods": ["GET"],
    }));
    let personal = [("cookie", "a=1"), ("authorization", "x"), ("accept-encoding", "gzip, br"), ("range", "bytes=0-1")];
    classified(&cache, "GET", "/a", &personal, |request| {
        let Ok(request) = request else { panic!("it is not looked up") };
        let seen: Vec<_> = request.http.fields.iter().map(|(name, value)| [*name, *value]).collect();
        assert_eq!(seen, [[&b"accept-encoding"[..], b"br"], [b"range", b"bytes=0-1"]]);
        assert!(request.head.headers().contains_key("cookie"), "it passes as it came");
        let load = request.head.edited(&request.served.group);
        assert_eq!(load.headers().len(), 3, "{:?}", load.headers());
        assert!(!request.http.flags.any(Flags::COOKIE.with(Flags::AUTHORIZATION)) && load.authority() == b"h");
    });
    for (method, fields, expected) in [
        ("GET", &[("cookie", "a=1")][..], "lookup g"),
        ("HEAD", &[], "pass method false"),
        ("GET", &[("upgrade", "h2c")], "pass upgrade false"),
        ("GET", &[("content-type", "application/grpc")], "pass grpc false"),
        ("GET", &[("accept", "text/event-stream")], "pass event-stream false"),
        ("GET", &[("content-length", "3")], "pass body false"),
    ] {
        assert_eq!(outcome(&cache, method, "/a", fields), expected, "{method} {fields:?}");
    }
}
