use super::*;
use crate::{
    cache::request::tests::{cache, classified},
    store::{Parts, fresh},
};
use meshcache_protocol::wire::Question;
use std::sync::Arc;

/// A stored response that arrived at 0 and is fresh for a minute.
pub(crate) fn entry(fields: &[(&str, &str)], body: &'static [u8]) -> Entry {
    Entry::new(Parts {
        status: StatusCode::OK,
        fields: fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect(),
        tags: "cache-tag",
        body: body.into(),
        selecting: Default::default(),
        stored: fresh(60_000),
        arrived: 0,
        position: Arc::default(),
    })
}

/// What a request gets of a stored response after 5 s.
fn response_to(method: &str, fields: &[(&str, &str)], entry: &Entry) -> Response<Body> {
    let cache = cache(serde_json::json!({}));
    classified(&cache, method, "/a", fields, |request| {
        let Ok(request) = request else { panic!("it is not looked up") };
        let verdict = Verdict { shared: true, ..with_age(Verdict::new(Outcome::Hit), entry, 5000) };
        from_entry(&request, entry, verdict, &cache.names).unwrap()
    })
}

fn field<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn verdict(response: &Response<Body>) -> Verdict {
    Verdict::parse(response.headers()[&OUTCOME].as_bytes()).unwrap()
}

/// A question from a proxy with the same rules.
fn question() -> String {
    let rules = cache(serde_json::json!({})).groups().iter().next().unwrap().digest().to_owned();
    Question { group: "g".into(), rules, ..Question::new() }.to_string()
}

#[test]
fn a_plain_client_gets_the_age_and_cache_status() {
    let response = response_to("GET", &[], &entry(&[("content-type", "text/plain")], b"abc"));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!((field(&response, "age"), field(&response, "content-type")), ("5", "text/plain"));
    assert_eq!(field(&response, "cache-status"), "meshcache; hit; ttl=55; detail=owner");
    let response = response_to("HEAD", &[], &entry(&[], b"abc"));
    assert_eq!((field(&response, "content-length"), field(&response, "age")), ("3", "5"));
}

#[test]
fn a_proxy_gets_a_verdict_in_place_of_cache_status() {
    let response = response_to("GET", &[("meshcache-wire", &question())], &entry(&[], b"abc"));
    assert_eq!((field(&response, "cache-status"), field(&response, "age")), ("", "5"));
    let verdict = verdict(&response);
    assert_eq!((verdict.outcome, verdict.ttl, verdict.age, verdict.shared), (Outcome::Hit, 55_000, 5000, true));
}

#[test]
fn a_conditional_or_range_request_gets_its_part() {
    let entry = entry(&[("etag", "\"1\""), ("content-type", "text/plain")], b"abcdef");
    let response = response_to("GET", &[("if-none-match", "\"1\"")], &entry);
    assert_eq!((response.status(), field(&response, "content-type")), (StatusCode::NOT_MODIFIED, ""));
    let response = response_to("GET", &[("range", "bytes=1-2")], &entry);
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(field(&response, "content-range"), "bytes 1-2/6");
    let response = response_to("GET", &[("range", "bytes=9-")], &entry);
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(field(&response, "content-range"), "bytes */6");
}

#[test]
fn a_proxy_is_declined_what_envoy_cannot_take() {
    let many: Vec<_> = (0..100).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "v")).collect();
    let long = "v".repeat(61 << 10);
    for (fields, reason) in [(many, "too-many-headers"), (vec![("x-long", long.as_str())], "head-too-large")] {
        let entry = entry(&fields, b"abc");
        let response = response_to("GET", &[("meshcache-wire", &question())], &entry);
        let verdict = verdict(&response);
        assert_eq!((response.status(), verdict.outcome), (StatusCode::NO_CONTENT, Outcome::Pass));
        assert_eq!((verdict.reason.as_str(), verdict.remember), (reason, 10_000));
        assert_eq!(response_to("GET", &[], &entry).status(), StatusCode::OK, "a plain client takes it");
    }
}

#[test]
fn a_failure_has_a_status_of_its_own() {
    let names = Names::new("meshcache");
    for (failure, status) in [
        (Failure::Timeout, 504),
        (Failure::Unvalidated, 504),
        (Failure::IncompleteRequest, 400),
        (Failure::Overload, 503),
        (Failure::Internal, 500),
        (Failure::BadResponse, 502),
    ] {
        let response = load_failed(failure, &names);
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(field(&response, "retry-after"), if status == 503 { "1" } else { "" });
        let shared = for_all_waiters(response, failure.reason());
        let verdict = verdict(&shared);
        assert_eq!((verdict.shared, verdict.waiters, field(&shared, "cache-status")), (true, true, ""));
    }
}
