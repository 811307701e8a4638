//! What is told of two responses that were compared, and how a coordinator reads it.

use super::*;
use crate::observe::word::Word;

/// Compares the responses to two requests of a group.
fn compared(group: &str, routes: [Option<&'static str>; 2], asked: [(&str, Fields); 2]) -> Comparison {
    let mut passes = passes(group);
    let mut last = None;
    for (at, (route, (target, fields))) in routes.into_iter().zip(asked).enumerate() {
        passes.route = route;
        let passing = passes.begins(target, fields, 200, FRESH).unwrap().piece(at.to_string().as_bytes()).unwrap();
        last = passes.observed.finish(passing, 0);
    }
    last.unwrap()
}

#[test]
fn what_differs_in_two_requests_and_is_not_in_the_key_is_named_and_no_value_is() {
    let asked: [Fields; 2] = [
        &[
            (b"x-tenant", b"SECRET1"),
            (b"x-same", b"SECRET"),
            (b"x-keyed", b"SECRET"),
            (b"cookie", b"a=SECRET1; b=SECRET; keyed=SECRET; =SECRET; SECRET; SECRETz09==; SECRET= ; c=="),
            (b"x-only", b"SECRET"),
            (b"connection", b"SECRET1"),
            (b"x-envoy-internal", b"SECRET1"),
            (b"content-length", b"0"),
        ],
        &[
            (b"x-tenant", b"SECRET1"),
            (b"x-tenant", b"SECRET2"),
            (b"x-same", b"SECRET"),
            (b"x-keyed", b"SECRET"),
            (b"cookie", b"a=SECRET2; b=SECRET; keyed=SECRET; other=SECRET"),
            (b"connection", b"SECRET2"),
            (b"x-envoy-internal", b"SECRET2"),
        ],
    ];
    let group = r#"{"share": {"cookie": true}, "key": {"headers": ["x-keyed"], "cookies": ["keyed"], "query": {"exclude": ["u*"]}}}"#;
    let targets =
        ["/a?page=SECRET&user=SECRET1&SECRET&SECRET==&SECRET=", "/a?page=SECRET&user=SECRET2&SECRET&SECRET==&SECRET="];
    let one = compared(group, [Some("v1"), Some("v2")], [(targets[0], asked[0]), (targets[1], asked[1])]);
    let unlike = ["route", "header x-tenant", "cookie a", "query user", "header x-only", "cookie other"];
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(one.unlike.clone()), sorted(unlike.map(str::to_owned).to_vec()));
    assert_eq!((&*one.url, &*one.differs), ("http://h/a?page&user", &["body".to_owned()][..]));
    assert!(!format!("{one:?}").contains("SECRET"), "{one:?}");
}

#[test]
fn hosts_of_a_group_that_shares_them_and_what_a_coordinator_loaded_are_parts() {
    let hosts = Group::for_tests(r#"{"match": {"hosts": ["a", "b"]}, "key": {"host": "none"}}"#);
    let mut observer = Observer::new(LIMITS);
    let mut last = None;
    for (host, by_coordinator) in [("a", false), ("b", true)] {
        let request = Request::read(b"GET", b"http", host.as_bytes(), b"/", &[]).unwrap();
        let (key, response) = (Key::of(&hosts, &request, None), Response { status: 200, fields: FRESH });
        let (verified, times, route) = (false, AT_ONCE, None);
        let (group, request, response, key) = (&hosts, &request, &response, &key);
        let passed = PassedResponse { group, key, request, verified, response, times, route, by_coordinator };
        let passing = observer.begin(&passed, 0).unwrap();
        last = observer.finish(passing, 0);
    }
    let last = last.unwrap();
    assert_eq!((last.is_mismatch(), &*last.unlike), (false, &["host".to_owned(), "coordinator".to_owned()][..]));
}

#[test]
fn a_status_and_a_location_are_told_apart_from_a_body() {
    let mut passes = passes("{}");
    let to = |location: &'static [u8]| -> Fields {
        vec![(&b"cache-control"[..], &b"max-age=60"[..]), (b"location", location)].leak()
    };
    let mut finish = |status, fields, body: &str| {
        let passing = passes.begins("/a", &[], status, fields).unwrap().piece(body.as_bytes()).unwrap();
        passes.observed.finish(passing, 0)
    };
    assert_eq!(finish(302, to(b"/1"), ""), None);
    assert_eq!(finish(302, to(b"/2"), "").unwrap().differs, ["location"]);
    assert_eq!(finish(404, to(b"/1"), "gone").unwrap().differs, ["status 302, 404", "body"]);
}

#[test]
fn a_coordinator_reads_what_a_proxy_says_of_the_rules_of_now_and_nothing_else() {
    let group = Group::for_tests("{}");
    let told = compared("{}", [None, None], [("/a?q=1", &[(b"x-tenant", b"1")]), ("/a?q=1", &[])]);
    let words = word::words(&group, &told, true);
    let read: Vec<_> = words.iter().map(|text| word::read(&group, text).unwrap()).collect();
    let difference = Word::Difference { differs: vec!["body"], unlike: vec!["header x-tenant"], url: "http://h/a?q" };
    assert_eq!(read, [Word::Compared, Word::Mismatch, Word::InMismatch("header x-tenant"), difference]);
    assert!(words.iter().all(|text| word::is_observed(text)) && word::is_difference(&words[3]));
    let other = Group::for_tests(r#"{"key": {"headers": ["x-tenant"]}}"#);
    assert!(words.iter().all(|text| word::read(&other, text).is_none()), "other rules");
    let start = format!("observed {} ", group.digest());
    for odd in [
        "compared\tx",
        "compares",
        "in-match",
        "in-match\theader",
        "in-match\theader a b",
        "in-match\tsecret x",
        "in-match\theader <b>",
        "in-match\troute x",
        "in-match\theader \u{1b}[1m",
        "difference\t\t\thttp://h/",
        "difference\tweather\t\thttp://h/",
        "difference\tstatus 1, 2\t\thttp://h/",
        "difference\tbody\t\thttp://h/?q=secret",
        "difference\tbody\t\thttp://h/ x",
        "difference\tbody\t\thttp://h/\tx",
        "difference\tbody\t\thttp://h/\u{e9}",
    ] {
        assert_eq!(word::read(&group, &format!("{start}{odd}")), None, "{odd:?}");
    }
    assert_eq!(word::read(&group, &format!("{start}in-match\theader {}", "x".repeat(65))), None);
    assert_eq!(word::read(&group, &format!("{start}difference\tbody\t\thttp://h/{}", "x".repeat(2000))), None);
    assert_eq!(word::read(&group, "hot"), None);
}

#[cfg(not(target_family = "wasm"))]
proptest::proptest! {
    #[test]
    fn whatever_a_request_has_its_parts_are_few_their_names_are_plain_and_what_is_told_is_read(
        names in proptest::collection::vec("[ -~]{1,80}", 0..80),
        cookies in proptest::collection::vec("[ -~]{0,40}=VALUE", 0..80),
        pairs in proptest::collection::vec("[a-zA-Z0-9%<>\\[\\]'\"]{0,40}=VALUE", 0..80),
    ) {
        let group = Group::for_tests(r#"{"key": {"query": {"exclude": ["*"]}}}"#);
        let cookie = cookies.join("; ");
        let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let mut fields: Vec<Field<'_>> = names.iter().map(|name| (name.as_bytes(), &b"VALUE"[..])).collect();
        fields.push((b"cookie", cookie.as_bytes()));
        let target = format!("/<p>?{}", pairs.join("&"));
        let mut observer = Observer::new(LIMITS);
        let mut last = None;
        for (fields, target) in [(&[][..], "/<p>"), (&fields, &*target)] {
            let Ok(request) = Request::read(b"GET", b"http", b"h", target.as_bytes(), fields) else { return Ok(()) };
            let (key, response) = (Key::of(&group, &request, None), Response { status: 200, fields: FRESH });
            let passed = PassedResponse {
                group: &group, key: &key, request: &request, verified: false, response: &response, times: AT_ONCE,
                route: None, by_coordinator: false,
            };
            let Some(passing) = observer.begin(&passed, 0) else { return Ok(()) };
            let passing = passing.piece(target.as_bytes()).unwrap();
            proptest::prop_assert!(passing.parts.bytes() <= 3 * 2048 && passing.url.len() <= 256);
            last = observer.finish(passing, 0);
        }
        let Some(last) = last else { return Ok(()) };
        proptest::prop_assert!(last.unlike.len() <= 48 && !format!("{last:?}").contains("VALUE"), "{last:?}");
        for text in word::words(&group, &last, true) {
            proptest::prop_assert!(text.len() <= 1024 && word::read(&group, &text).is_some(), "{text:?}");
        }
    }
}
