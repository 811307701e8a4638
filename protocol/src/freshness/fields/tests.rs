//! Which fields are stored, updated and sent.

use super::*;

const NOON: u64 = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
const DATE: &str = "Sun, 06 Nov 1994 08:49:00 GMT";

fn names(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    fields.iter().map(|(n, v)| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect()
}

fn fields<'a>(text: &[&'a str]) -> Vec<Field<'a>> {
    text.iter().map(|line| line.split_once(": ").map(|(n, v)| (n.as_bytes(), v.as_bytes())).unwrap()).collect()
}

fn kept(json: &str, text: &[&str]) -> Vec<String> {
    names(&storable(&Group::for_tests(json), &Response { status: 200, fields: &fields(text) }, NOON))
}

fn updated(stored: &[&str], new: &[&str]) -> Vec<String> {
    names(&freshened(&fields(stored), &fields(new)))
}

#[test]
fn fields_of_the_connection_are_not_stored() {
    let date = format!("date: {DATE}");
    let text = [
        "connection: X-One, keep-alive",
        "connection: x-two",
        "x-one: 1",
        "x-two: 2",
        "keep-alive: timeout=5",
        "transfer-encoding: chunked",
        "te: trailers",
        "trailer: x-sum",
        "upgrade: h2c",
        "proxy-authenticate: Basic",
        "proxy-authentication-info: x",
        "proxy-authorization: x",
        "proxy-connection: close",
        &date,
        "x-three: 3",
        "proxy-status: a",
    ];
    assert_eq!(kept("{}", &text), [&date, "x-three: 3", "proxy-status: a"]);
}

#[test]
fn what_is_meant_for_every_recipient_is_stored_though_connection_names_it() {
    let date = format!("date: {DATE}");
    let text = [
        "connection: cache-control, vary, date, etag, content-type",
        "cache-control: max-age=5",
        "vary: a",
        "etag: x",
        "content-type: t",
        &date,
    ];
    assert_eq!(kept("{}", &text), &text[1..]);
    assert_eq!(updated(&["vary: a"], &["connection: vary, x-one", "vary: b", "x-one: 1"]), ["vary: b"]);
}

#[test]
fn unknown_fields_and_bytes_that_are_no_text_are_stored_as_they_came() {
    let fields: [Field; 2] = [(b"date", DATE.as_bytes()), (b"x-any", b"\xff\xfe")];
    let kept = storable(&Group::for_tests("{}"), &Response { status: 200, fields: &fields }, NOON);
    assert_eq!(kept.last().unwrap(), &(b"x-any".to_vec(), b"\xff\xfe".to_vec()));
}

#[test]
fn fields_that_a_directive_names_are_not_stored() {
    let date = format!("date: {DATE}");
    let text = [
        "cache-control: private=\"X-User\", no-cache=\"set-cookie\", max-age=9",
        "x-user: 7",
        "set-cookie: a=b",
        "x-other: 1",
        &date,
    ];
    assert_eq!(
        kept("{}", &text),
        ["cache-control: private=\"X-User\", no-cache=\"set-cookie\", max-age=9", "x-other: 1", &date]
    );
}

#[test]
fn set_cookie_goes_where_the_group_shares_such_answers() {
    let date = format!("date: {DATE}");
    assert_eq!(kept(r#"{"share": {"setCookie": true}}"#, &["set-cookie: a=b", &date]), [&*date]);
    assert_eq!(kept("{}", &["set-cookie: a=b", &date]), ["set-cookie: a=b", &*date]);
}

#[test]
fn age_and_our_own_fields_are_not_stored_but_for_targets() {
    let date = format!("date: {DATE}");
    assert_eq!(
        kept("{}", &["age: 7", "meshcache-outcome: hit", "meshcache-control: max-age=5", &date]),
        ["meshcache-control: max-age=5", &*date]
    );
}

#[test]
fn a_date_that_is_missing_or_cannot_be_read_is_the_time_of_arrival() {
    assert_eq!(kept("{}", &["x: 1"]), ["x: 1", "date: Sun, 06 Nov 1994 08:49:37 GMT"]);
    assert_eq!(kept("{}", &["date: today", "x: 1"]), ["x: 1", "date: Sun, 06 Nov 1994 08:49:37 GMT"]);
}

#[test]
fn a_validation_replaces_each_field_that_it_brings() {
    let stored = [
        "etag: \"a\"",
        "x-a: 1",
        "x-a: 2",
        "x-b: 1",
        "content-type: text/plain",
        "content-encoding: gzip",
        "content-length: 5",
        "date: then",
    ];
    let new = [
        "etag: \"a\"",
        "x-a: 3",
        "x-c: 4",
        "content-type: text/html",
        "content-encoding: br",
        "content-length: 0",
        "content-range: bytes 0-1/2",
        "date: now",
        "age: 3",
        "connection: x-d",
        "x-d: 1",
        "transfer-encoding: chunked",
    ];
    assert_eq!(
        updated(&stored, &new),
        [
            "x-b: 1",
            "content-length: 5",
            "etag: \"a\"",
            "x-a: 3",
            "x-c: 4",
            "content-type: text/html",
            "content-encoding: br",
            "date: now",
            "age: 3"
        ]
    );
}

#[test]
fn a_validation_without_date_does_not_keep_the_old_one() {
    assert_eq!(updated(&["date: then", "x: 1"], &["x: 2"]), ["x: 2"]);
}

fn confirmed(stored: &[&str], new: &[&str]) -> bool {
    confirms(&Response { status: 200, fields: &fields(stored) }, &Response { status: 304, fields: &fields(new) })
}

#[test]
fn a_304_confirms_only_the_response_whose_validator_it_carries() {
    let modified = "last-modified: Sun, 06 Nov 1994 08:00:00 GMT";
    assert!(confirmed(&["etag: \"a\""], &["etag: \"a\""]) && !confirmed(&["etag: \"a\""], &["etag: \"b\""]));
    assert!(
        !confirmed(&["etag: W/\"a\""], &["etag: \"a\""])
            && confirmed(&["etag: W/\"a\""], &["etag: W/\"a\""])
            && confirmed(&["etag: \"a\""], &["etag: W/\"a\""])
    );
    assert!(
        confirmed(&[modified], &[modified])
            && !confirmed(&[modified], &["last-modified: Sun, 06 Nov 1994 08:00:01 GMT"])
    );
    assert!(!confirmed(&["x: 1"], &["etag: \"a\""]) && confirmed(&[modified], &["etag: \"a\"", modified]));
    assert!(confirmed(&["etag: \"a\""], &[]) && confirmed(&[modified], &["x: 1"]));
}

#[test]
fn a_head_is_of_the_stored_representation_where_validators_and_length_agree() {
    let stored = Response { status: 200, fields: &fields(&["etag: \"a\"", "last-modified: x"]) };
    let same = |text: &[&str]| same_representation(&stored, 5, &Response { status: 200, fields: &fields(text) });
    assert!(same(&[]) && same(&["etag: \"a\"", "content-length: 5"]) && same(&["last-modified: x"]));
    assert!(
        !same(&["etag: \"b\""])
            && !same(&["content-length: 6"])
            && !same(&["last-modified: y"])
            && !same(&["content-length: x"])
    );
}

#[test]
fn a_validation_sends_both_validators_as_they_came() {
    let ask = |text: &[&str]| conditions(&Response { status: 200, fields: &fields(text) });
    let date = "Sunday, 06-Nov-94 08:49:37 GMT";
    assert_eq!(
        ask(&["etag: W/\"a\"", &format!("last-modified: {date}")]),
        [("if-none-match", b"W/\"a\"".to_vec()), ("if-modified-since", date.as_bytes().to_vec())]
    );
    assert_eq!(ask(&["etag: a b", "last-modified: then"]), []);
}

#[test]
fn a_304_has_what_guides_caches_and_no_metadata_of_the_content() {
    for name in [
        "cache-control",
        "content-location",
        "date",
        "etag",
        "expires",
        "vary",
        "last-modified",
        "set-cookie",
        "access-control-allow-origin",
        "x-any",
    ] {
        assert!(not_modified(name.as_bytes()), "{name}");
    }
    for name in ["content-type", "content-encoding", "content-language", "content-length", "content-range"] {
        assert!(!not_modified(name.as_bytes()), "{name}");
    }
}

#[test]
fn variants_are_told_apart_by_strong_tags() {
    let tag = |text: &str| strong_tag(&Response { status: 304, fields: &[(b"etag", text.as_bytes())] });
    assert_eq!(tag("\"a\""), Some(b"\"a\"".to_vec()));
    for no in ["W/\"a\"", "a", "\"a", ""] {
        assert_eq!(tag(no), None, "{no}");
    }
    assert_eq!(strong_tag(&Response { status: 304, fields: &[] }), None);
}

#[test]
fn a_206_has_no_field_that_describes_the_whole_content() {
    assert!(partial(b"content-type") && partial(b"etag") && !partial(b"content-length") && !partial(b"content-digest"));
}
