//! Header fields of stored responses: which are kept, which a validation updates, which go into a 304 or a 206.

use super::{age::Times, date, targeted, validator};
use crate::{
    forwarding::{is_hop_by_hop, is_named_in_response, strips_from_response},
    groups::Group,
    request::{Field, Response, values},
    wire::PREFIX,
};

/// The fields of a response that are stored: without hop-by-hop fields and those that Connection names, without what
/// `no-cache="..."` and `private="..."` name, without Set-Cookie where the group shares such answers, without
/// meshcache-* (but for the group's targets, which later decisions need) and Age, with a Date (RFC 9110 section 6.6.1)
/// where there was none that can be read (`responded`: Unix milliseconds).
pub fn storable(group: &Group, response: &Response<'_>, responded: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (control, _) = targeted::control(group, response);
    let arrived = Times { requested: responded, responded }.arrived();
    let dated = response.values("date").any(|value| date::parse(value, arrived).is_some());
    let target = |name: &[u8]| {
        group.config().freshness.targets.iter().any(|target| target.as_bytes().eq_ignore_ascii_case(name))
    };
    let cookie = |name: &[u8]| group.config().share.set_cookie && (name == b"set-cookie" || name == b"set-cookie2");
    let kept = |name: &[u8]| {
        !strips_from_response(group, response.values("connection"), name)
            && !control.excludes(name)
            && !cookie(name)
            && (!name.starts_with(PREFIX.as_bytes()) || target(name))
            && name != b"age"
            && (dated || name != b"date")
    };
    let mut fields: Vec<_> =
        response.fields.iter().filter(|(name, _)| kept(name)).map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    if !dated {
        fields.push((b"date".to_vec(), date::format(arrived).into_bytes()));
    }
    fields
}

/// The fields of a stored response after a 304 (or the HEAD of the same representation) brought `new` (RFC 9111 section
/// 3.2): each of the new fields in place of the stored ones of its name, but for Content-Length, Content-Range,
/// hop-by-hop fields.
///
/// `new` is as it came, Age included; the result is for [`super::store`] and then [`storable`], as if it had come so.
pub fn freshened(stored: &[Field<'_>], new: &[Field<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_of_connection = |name: &[u8]| is_hop_by_hop(name) || is_named_in_response(values(new, "connection"), name);
    let taken = |name: &[u8]| !is_of_connection(name) && name != b"content-length" && name != b"content-range";
    // A response without a Date is of the time at which it came: the stored one's would make it older.
    let replaced =
        |name: &[u8]| (taken(name) && new.iter().any(|(n, _)| *n == name)) || name == b"date" || name == b"age";
    let old = stored.iter().filter(|(name, _)| !replaced(name));
    let new = new.iter().filter(|(name, _)| taken(name));
    old.chain(new).map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

/// Whether a 304 confirms the stored response that its request was made from (RFC 9111 section 4.3.4): a validator that
/// it carries has to be the stored one's. Where it does not, nothing is updated, and the load is made again without
/// conditions.
pub fn confirms(stored: &Response<'_>, not_modified: &Response<'_>) -> bool {
    let now = validator::near(not_modified);
    let dates = (validator::modified(stored, validator::near(stored)), validator::modified(not_modified, now));
    let same_date = dates.1.is_some() && dates.0 == dates.1;
    match (validator::tag(stored), validator::tag(not_modified)) {
        (Some(had), Some(has)) if has.is_strong() => had.matches_strongly(has),
        (Some(had), Some(has)) => had.matches(has) || same_date,
        (None, Some(_)) => same_date,
        (_, None) => dates.1.is_none() || same_date,
    }
}

/// Whether a HEAD's 200 is of the stored representation with a body of `length` bytes, so that it updates it; else the
/// stored response counts as stale (RFC 9111 section 4.3.5).
pub fn same_representation(stored: &Response<'_>, length: u64, head: &Response<'_>) -> bool {
    let agrees = |name: &str| head.values(name).all(|value| stored.values(name).any(|had| had == value));
    let long =
        |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok()) == Some(length);
    agrees("etag") && agrees("last-modified") && head.values("content-length").all(long)
}

/// The conditions that ask the origin whether a stored response is still right: If-None-Match and If-Modified-Since,
/// whatever of it there is (RFC 9111 section 4.3.1).
pub fn conditions(stored: &Response<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let tag = validator::raw_tag(stored).map(|tag| ("if-none-match", tag.to_vec()));
    let date =
        validator::raw_modified(stored, validator::near(stored)).map(|date| ("if-modified-since", date.to_vec()));
    tag.into_iter().chain(date).collect()
}

/// The response's entity tag as it came, where it is a strong one with its quotes: what tells variants apart, in a
/// list, too.
pub fn strong_tag(response: &Response<'_>) -> Option<Vec<u8>> {
    let tag = validator::raw_tag(response)?.trim_ascii();
    tag.starts_with(b"\"").then(|| tag.to_vec())
}

/// Whether a field of a stored response goes into the 304 that is made of it: all but metadata of the representation,
/// which the client has (RFC 9110 section 15.4.5). Last-Modified goes along, for clients that have it as their
/// validator.
pub fn not_modified(name: &[u8]) -> bool {
    !matches!(
        name,
        b"content-encoding"
            | b"content-language"
            | b"content-length"
            | b"content-md5"
            | b"content-range"
            | b"content-type"
            | b"content-digest"
            | b"repr-digest"
            | b"digest"
    )
}

/// Whether a field of a stored response goes into the 206 that is made of it: all but what describes the whole content.
pub fn partial(name: &[u8]) -> bool {
    !matches!(name, b"content-length" | b"content-range" | b"content-md5" | b"content-digest")
}

#[cfg(test)]
mod tests {
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
        assert!(
            partial(b"content-type") && partial(b"etag") && !partial(b"content-length") && !partial(b"content-digest")
        );
    }
}
