use super::{
    Flags,
    view::{self, is_answered},
};
use crate::terminal::paint;
use meshcache_admin::{Advice, AtCoordinator, Hop, KeyPart, LastReason, StoredResponse, Why};

fn text(why: &Why) -> String {
    paint::text(&view::lines(why, "GET"), false)
}

fn part(name: &str, value: &str) -> KeyPart {
    KeyPart { name: name.to_owned(), value: value.to_owned() }
}

fn stored() -> StoredResponse {
    StoredResponse {
        status: 200,
        answers: true,
        kept_as: "main".to_owned(),
        age: 48,
        ttl: 12,
        lifetime_by: "max-age".to_owned(),
        bytes: 1234,
        vary: vec!["accept-encoding".to_owned()],
        tags: vec!["a".to_owned(), "b".to_owned()],
        ..StoredResponse::default()
    }
}

fn fresh() -> Why {
    Why {
        summary: "fresh at meshcache-1, for 12 s more".to_owned(),
        url: "http://config.test/develop".to_owned(),
        group: Some("config".to_owned()),
        rule: Some("hosts: config.test".to_owned()),
        key: vec![part("host", "config.test"), part("path", "/develop")],
        key_hash: Some("8f3a".to_owned()),
        owner: Some("meshcache-1".to_owned()),
        next: Some("meshcache-0".to_owned()),
        at: vec![
            AtCoordinator {
                name: "meshcache-1".to_owned(),
                has_lease: true,
                stored: vec![stored()],
                ..AtCoordinator::default()
            },
            AtCoordinator { name: "meshcache-0".to_owned(), has_lease: true, ..AtCoordinator::default() },
        ],
        ..Why::default()
    }
}

fn private() -> Why {
    let last = LastReason {
        reason: "private".to_owned(),
        ago: 4100,
        status: Some(200),
        decided: vec!["cache-control: private".to_owned()],
    };
    let at = AtCoordinator {
        name: "meshcache-1".to_owned(),
        has_lease: true,
        last: vec![last],
        loading: Some(3),
        stored_ago: Some(61_000),
        passes_for: Some(19_200),
        ..AtCoordinator::default()
    };
    let gone = AtCoordinator {
        name: "meshcache-0".to_owned(),
        unreached: Some("timeout".to_owned()),
        ..AtCoordinator::default()
    };
    let advice = Advice {
        reason: "private".to_owned(),
        text: "Cache it all the same.".to_owned(),
        yaml: Some("groups: []".to_owned()),
        diff: Some("--- now\n+++ then\n@@ -1 +1,2 @@\n name: config\n-a: 1\n+freshness: {override: 60s}\n".to_owned()),
    };
    Why { summary: "not stored: private".to_owned(), at: vec![at, gone], advice: vec![advice], ..fresh() }
}

#[test]
fn what_is_stored_is_answered_in_the_first_line_and_then_explained() {
    assert_eq!(
        text(&fresh()),
        "\
fresh at meshcache-1, for 12 s more
GET http://config.test/develop

group     config  by hosts: config.test
key       host             config.test
          path             /develop
          hash 8f3a
owner     meshcache-1, then meshcache-0

meshcache-1  owner
  stored  200, fresh for 12s more by max-age, age 48s, 1.2 KiB
          varies by accept-encoding; tags a, b

meshcache-0  next
  stored  nothing
"
    );
}

#[test]
fn what_is_not_stored_has_its_reason_what_the_origin_said_and_what_to_write() {
    let all = text(&private());
    let (_, told) = all.split_once("meshcache-1  owner\n").unwrap();
    assert_eq!(
        told,
        "  stored  nothing, the last one was stored 1m1s ago
  last    private, 4s ago: the origin said 200, cache-control: private
  loading now, 3 requests wait for it
  passes  at once, for 20s more

meshcache-0  next
          no answer: timeout

to change it  private
  Cache it all the same.
  --- now
  +++ then
  @@ -1 +1,2 @@
   name: config
  -a: 1
  +freshness: {override: 60s}
"
    );
}

#[test]
fn a_diff_is_green_and_red_in_a_terminal() {
    let all = paint::text(&view::lines(&private(), "GET"), true);
    assert!(all.starts_with("\u{1b}[1;31mnot stored: private\u{1b}[0m\n"), "{all}");
    for line in
        ["\u{1b}[31m  -a: 1\u{1b}[0m\n", "\u{1b}[32m  +freshness: {override: 60s}\u{1b}[0m\n", "\n   name: config\n"]
    {
        assert!(all.contains(line), "{all}");
    }
    assert!(paint::text(&view::lines(&fresh(), "GET"), true).starts_with("\u{1b}[1;32mfresh at"));
}

#[test]
fn a_request_that_no_group_takes_and_one_that_itself_decides_say_so() {
    let none = Why { group: None, rule: None, key: Vec::new(), key_hash: None, ..private() };
    assert!(text(&none).contains("group     none takes it\nowner"), "{}", text(&none));
    let post = Why { request_reason: Some("method".to_owned()), ..private() };
    assert!(text(&post).contains("request   method keeps it from the cache\n"), "{}", text(&post));
}

#[test]
fn a_stored_response_that_does_not_answer_says_why_not() {
    let other =
        StoredResponse { answers: false, why_not: Some("vary: accept-language".to_owned()), ttl: -90, ..stored() };
    let mut why = fresh();
    why.at[0].stored = vec![StoredResponse { kept_as: "hot".to_owned(), ..other }];
    assert!(text(&why).contains(
        "  stored  200, stale for 1m30s by max-age, age 48s, 1.2 KiB, a hot copy; does not answer: vary: accept-language\n"
    ), "{}", text(&why));
    assert!(!is_answered(&why));
}

#[test]
fn the_cache_answers_where_a_coordinator_has_it_and_may_give_it() {
    assert!(is_answered(&fresh()) && !is_answered(&private()));
    let mut no_lease = fresh();
    no_lease.at[0].has_lease = false;
    assert!(!is_answered(&no_lease) && text(&no_lease).contains("may not answer from its store now"));
    assert!(!is_answered(&Why { request_reason: Some("method".to_owned()), ..fresh() }));
}

#[test]
fn advice_about_no_reason_names_none() {
    let advice = Advice { text: "Ask again.".to_owned(), ..Advice::default() };
    let all = text(&Why { advice: vec![advice], ..fresh() });
    assert!(all.ends_with("\nwhat to do\n  Ask again.\n"), "{all}");
}

#[test]
fn hops_of_a_probe_lie_one_after_the_other() {
    let hop = |at: &str, what: &str, took| Hop { at: at.to_owned(), what: what.to_owned(), took };
    let hops = vec![hop("meshcache-1", "looked up: miss", 0.1), hop("origin", "loaded: 200, max-age=60", 11.9)];
    let all = text(&Why { hops, ..fresh() });
    assert!(all.ends_with(&format!(
        "\nprobe  12.0 ms\n  meshcache-1   0.10 ms ▏                        looked up: miss\n  origin        11.9 ms {} loaded: 200, max-age=60\n",
        "█".repeat(24)
    )), "{all}");
    let nothing = text(&Why { hops: vec![hop("a", "b", f64::NAN), hop("a", "b", -1.0)], ..fresh() });
    assert!(nothing.contains("probe  0.00 ms\n"), "{nothing}");
}

#[test]
fn whatever_a_server_says_is_bounded_and_moves_no_cursor() {
    let wild = "\u{1b}[2J\n".repeat(1000);
    let mut why =
        Why { summary: wild.clone(), hops: vec![Hop { what: wild.clone(), ..Hop::default() }; 150], ..private() };
    why.at = vec![AtCoordinator { name: wild.clone(), ..why.at[0].clone() }; 150];
    why.advice = vec![Advice { diff: Some(wild.clone()), ..Advice::default() }; 150];
    why.key = vec![part(&wild, &wild); 150];
    let all = text(&why);
    assert!(!all.contains('\u{1b}') && all.len() < 4 << 20, "{}", all.len());
    assert!(all.starts_with("\\u{1b}[2J\\u{a}"), "one line stays one line");
}

#[test]
fn a_wrong_flag_is_told_before_anybody_is_asked_and_without_the_value_of_a_header() {
    let flags = |url: &str, header: &str, method: &str| {
        let (url, method) = (url.to_owned(), method.to_owned());
        Flags { url, headers: vec![header.to_owned()], method, probe: false }.checked().map_err(|why| why.to_string())
    };
    assert!(flags("http://config.test/a?b", "cookie: a=b", "GET").is_ok());
    for url in ["config.test/a", "/a", "ftp://config.test/a", "http://", "http:///a", ""] {
        assert!(flags(url, "a: b", "GET").unwrap_err().starts_with("URL: write http[s]://"), "{url}");
    }
    assert!(flags("http://a/", "a: b", "G T").unwrap_err().starts_with("-X: "));
    let secret = flags("http://a/", "author ization: Bearer secret", "GET").unwrap_err();
    assert!(secret.starts_with("-H: ") && !secret.contains("secret"), "{secret}");
    assert!(flags("http://a/", "a", "GET").is_err());
}
