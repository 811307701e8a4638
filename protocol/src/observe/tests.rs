//! Responses of one group, one after another.

use super::{word::Word, *};
use crate::request::Field;

type Fields = &'static [Field<'static>];

const LIMITS: Limits = Limits { responses: 100, bytes: 1 << 20 };
const FRESH: Fields = &[(b"cache-control", b"max-age=60")];
const AT_ONCE: Times = Times { requested: 0, responded: 0 };

/// Responses of one group, and what is observed of them.
struct Passes {
    group: Group,
    observed: Observer,
    now: u64,
    route: Option<&'static str>,
}

fn passes(group: &str) -> Passes {
    Passes { group: Group::for_tests(group), observed: Observer::new(LIMITS), now: 0, route: None }
}

impl Passes {
    fn begins(&self, target: &str, asked: Fields, status: u16, fields: Fields) -> Option<PassingBody> {
        self.method(b"GET", target, asked, status, fields)
    }

    fn method(&self, method: &[u8], target: &str, asked: Fields, status: u16, fields: Fields) -> Option<PassingBody> {
        let request = Request::read(method, b"http", b"h", target.as_bytes(), asked).unwrap();
        let (key, response) = (Key::of(&self.group, &request, None), Response { status, fields });
        let passed = PassedResponse {
            group: &self.group,
            key: &key,
            request: &request,
            verified: false,
            response: &response,
            times: AT_ONCE,
            route: self.route,
            by_coordinator: false,
        };
        self.observed.begin(&passed, self.now)
    }

    /// Whether a response would have been answered with another one. `None`: it is not looked at.
    fn pass(&mut self, asked: Fields, status: u16, fields: Fields, body: &str) -> Option<bool> {
        let passing = self.begins("/a", asked, status, fields)?.piece(body.as_bytes())?;
        Some(self.ends(passing))
    }

    fn ends(&mut self, passing: PassingBody) -> bool {
        self.observed.finish(passing, self.now).is_some_and(|compared| compared.is_mismatch())
    }
}

#[test]
fn what_stays_the_same_agrees_and_what_changes_within_its_freshness_does_not() {
    let mut passes = passes("{}");
    assert_eq!(
        [1, 1, 2, 1, 2].map(|n| passes.pass(&[], 200, FRESH, &n.to_string())),
        [false, false, true, false, true].map(Some)
    );
    passes.now = 60_000;
    assert_eq!(
        [2, 2, 1].map(|n| passes.pass(&[], 200, FRESH, &n.to_string())),
        [false, false, true].map(Some),
        "its time was over"
    );
}

#[test]
fn the_first_is_what_all_would_have_had_however_the_pieces_fall() {
    let mut passes = passes("{}");
    for pieces in [&["abc"][..], &["a", "", "bc"], &["ab", "c"]] {
        let passing =
            pieces.iter().fold(passes.begins("/a", &[], 200, FRESH), |passing, piece| passing?.piece(piece.as_bytes()));
        assert!(!passes.ends(passing.unwrap()), "{pieces:?}");
    }
    let two = [
        passes.begins("/b", &[], 200, FRESH).unwrap(),
        passes.begins("/b", &[], 200, FRESH).unwrap().piece(b"x").unwrap(),
    ];
    assert_eq!(two.map(|passing| passes.ends(passing)), [false, true], "under way at once");
}

#[test]
fn what_would_not_be_stored_is_not_remembered() {
    let private: Fields = &[(b"cache-control", b"private, max-age=60")];
    let (no_store, no_cache): (Fields, Fields) =
        (&[(b"cache-control", b"no-store")], &[(b"cache-control", b"no-cache")]);
    for fields in [private, no_store, no_cache, &[]] {
        assert_eq!(passes("{}").pass(&[], 200, fields, "1"), None, "{fields:?}");
    }
    let user: Fields = &[(b"authorization", b"x")];
    let mut passes = passes("{}");
    assert_eq!(passes.pass(user, 200, FRESH, "mine"), None);
    assert_eq!(
        (passes.pass(&[], 200, FRESH, "1"), passes.pass(user, 200, FRESH, "mine")),
        (Some(false), None),
        "nor would it have been answered"
    );
    for status in [206, 304, 500, 503, 429, 400, 412, 416] {
        assert_eq!(passes.pass(&[], status, FRESH, "2"), None, "{status}");
    }
    assert!(passes.method(b"HEAD", "/a", &[], 200, FRESH).is_none());
}

#[test]
fn what_the_group_ignores_is_observed_as_it_would_be_answered() {
    let ignoring = r#"{"request": {"drop": ["*"]}, "freshness": {"ignore": ["no-store", "private", "vary"], "status": {"2xx": "60s", "3xx": "5s"}}}"#;
    let said: Fields = &[(b"cache-control", b"private, no-store"), (b"vary", b"*")];
    let mut passes = passes(ignoring);
    let langs: [Fields; 2] = [&[(b"x-lang", b"de")], &[(b"x-lang", b"en")]];
    assert_eq!(langs.map(|asked| passes.pass(asked, 200, said, "1")), [Some(false); 2]);
    assert_eq!(passes.pass(langs[0], 200, said, "2"), Some(true), "it differs from one to the next");
    passes.now = 60_000;
    assert_eq!([302, 302].map(|status| passes.pass(&[], status, said, "")), [Some(false); 2]);
    passes.now = 65_000;
    assert_eq!(passes.pass(&[], 302, &[(b"location", b"/b")], ""), Some(false), "its time was over");
}

#[test]
fn what_came_in_place_of_what_is_remembered_counts_whatever_it_is() {
    let mut passes = passes("{}");
    passes.pass(&[], 200, FRESH, "1");
    assert_eq!(passes.pass(&[], 200, &[(b"cache-control", b"private")], "2"), Some(true), "somebody's own");
    assert_eq!(passes.pass(&[], 403, &[], "1"), Some(true), "a refusal");
    assert_eq!(
        passes.pass(&[], 200, &[(b"cache-control", b"private"), (b"location", b"/b")], "1"),
        Some(true),
        "elsewhere"
    );
}

#[test]
fn variants_and_codings_are_apart() {
    let mut passes = passes("{}");
    let vary: Fields = &[(b"cache-control", b"max-age=60"), (b"vary", b"x-tenant")];
    let of = |tenant| -> Fields { if tenant == 1 { &[(b"x-tenant", b"1")] } else { &[(b"x-tenant", b"2")] } };
    assert_eq!([1, 2, 1, 2].map(|tenant| passes.pass(of(tenant), 200, vary, &tenant.to_string())), [Some(false); 4]);
    assert_eq!(passes.pass(of(1), 200, vary, "2"), Some(true));
    let gzip: Fields = &[(b"cache-control", b"max-age=60"), (b"content-encoding", b"gzip")];
    let mut passes = self::passes("{}");
    assert_eq!(
        [FRESH, gzip, FRESH, gzip].map(|fields| passes.pass(&[], 200, fields, &fields.len().to_string())),
        [Some(false); 4]
    );
    assert_eq!(passes.pass(&[], 200, gzip, "3"), Some(true));
}

#[test]
fn what_the_group_does_not_store_is_let_go_while_it_passes() {
    let passes = passes(r#"{"limits": {"object": "4B"}}"#);
    let passing = passes.begins("/a", &[], 200, FRESH).unwrap().piece(b"1234").unwrap();
    assert!(passing.piece(b"5").is_none());
}

#[test]
fn a_full_memory_keeps_what_it_has_until_its_time_is_over() {
    let mut passes = passes("{}");
    let pass = |passes: &mut Passes, target: &str, body: &str| {
        let passing = passes.begins(target, &[], 200, FRESH).unwrap().piece(body.as_bytes()).unwrap();
        passes.ends(passing)
    };
    for n in 0..1000 {
        pass(&mut passes, &format!("/{n}"), "1");
    }
    assert_eq!((passes.observed.len, passes.observed.seen.len()), (100, 100));
    assert!(pass(&mut passes, "/99", "2") && !pass(&mut passes, "/100", "2"));
    passes.now = 60_000;
    pass(&mut passes, "/100", "1");
    assert_eq!((passes.observed.len, pass(&mut passes, "/100", "2")), (1, true));
    let request = Request::read(b"GET", b"http", b"h", b"/100", &[]).unwrap();
    passes.observed.forget(Observer::slot(&passes.group, &Key::of(&passes.group, &request, None)));
    assert_eq!((passes.observed.len, pass(&mut passes, "/100", "3")), (0, false));
}

#[test]
fn what_was_under_way_when_its_key_changed_tells_nothing_of_later() {
    let mut passes = passes("{}");
    let (old, other) = (passes.begins("/a", &[], 200, FRESH).unwrap(), passes.begins("/b", &[], 200, FRESH).unwrap());
    passes.observed.clear();
    assert!(!passes.ends(old));
    assert_eq!([2, 2, 3].map(|n| passes.pass(&[], 200, FRESH, &n.to_string())), [false, false, true].map(Some));
    assert!(!passes.ends(other));
}

#[test]
fn variants_of_one_key_are_bounded() {
    let mut passes = passes("{}");
    let vary: Fields = &[(b"cache-control", b"max-age=60"), (b"vary", b"x")];
    for n in 0..100 {
        let value: &'static [u8] = n.to_string().leak().as_bytes();
        passes.pass(vec![(&b"x"[..], value)].leak(), 200, vary, "1");
    }
    assert_eq!(passes.observed.len, MAX_VARIANTS);
}

#[test]
fn what_is_remembered_is_bounded_in_bytes_and_there_is_room_again_when_its_time_is_over() {
    let mut passes = passes("{}");
    let vary: Fields = &[(b"cache-control", b"max-age=60"), (b"vary", b"x")];
    let pass = |passes: &mut Passes, n: usize, body: &str| {
        let value = format!("{n}{}", "x".repeat(50_000));
        let passing =
            passes.begins(&format!("/{n}"), vec![(&b"x"[..], value.leak().as_bytes())].leak(), 200, vary).unwrap();
        let passing = passing.piece(body.as_bytes()).unwrap();
        passes.ends(passing)
    };
    for n in 0..90 {
        pass(&mut passes, n, "1");
    }
    assert_eq!(
        (passes.observed.len, passes.observed.take_left_out(), passes.observed.take_left_out()),
        (20, true, false)
    );
    assert!(passes.observed.bytes <= LIMITS.bytes);
    assert!(pass(&mut passes, 19, "2") && !pass(&mut passes, 20, "2"));
    passes.now = 60_000;
    pass(&mut passes, 20, "1");
    assert!(pass(&mut passes, 20, "2"));
    assert_eq!(passes.observed.len, 1);
    passes.observed.clear();
    assert_eq!(passes.observed.bytes, 0);
}

#[test]
fn what_is_good_for_days_is_watched_for_minutes() {
    let mut passes = passes("{}");
    let days: Fields = &[(b"cache-control", b"max-age=86400")];
    passes.pass(&[], 200, days, "1");
    passes.now = MAX_TIME;
    assert_eq!(passes.pass(&[], 200, days, "2"), Some(false));
}

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
            (b"cookie", b"a=SECRET1; b=SECRET; keyed=SECRET; =SECRET; SECRET"),
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
    let targets = ["/a?page=SECRET&user=SECRET1&SECRET", "/a?page=SECRET&user=SECRET2&SECRET"];
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
