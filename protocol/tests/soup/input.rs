//! What is sent: fields, directives and groups.

use meshcache_protocol::{Field, Group};
use proptest::{collection::vec, prelude::*, sample::select};
use std::sync::LazyLock;

pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// What is read from a group's rules.
pub(crate) const GROUPS: [&str; 6] = [
    "{}",
    r#"{"freshness": {"heuristic": true, "requestDirectives": "obey", "errors": "rfc9111", "targets": ["MeshCache-Control", "CDN-Cache-Control"]}}"#,
    r#"{"freshness": {"heuristic": true, "requestDirectives": "obey", "errors": "safe", "targets": ["MeshCache-Control", "CDN-Cache-Control"]}}"#,
    r#"{"freshness": {"default": "5s", "min": "2s", "max": "1h", "staleWhileRevalidate": "3s", "staleIfError": "1m", "status": {"404": "5s", "5xx": "1s"}}}"#,
    r#"{"freshness": {"force": "10s", "jitter": "10%", "targets": []}, "share": {"identity": ["x-user-id"]}}"#,
    r#"{"freshness": {"heuristic": true, "requestDirectives": "obey"}, "share": {"authorization": true, "cookie": true, "setCookie": true}}"#,
];

pub(crate) const NAMES: [&str; 25] = [
    "cache-control",
    "expires",
    "date",
    "age",
    "vary",
    "etag",
    "last-modified",
    "set-cookie",
    "pragma",
    "content-length",
    "content-range",
    "content-type",
    "connection",
    "meshcache-control",
    "cdn-cache-control",
    "authorization",
    "cookie",
    "range",
    "if-range",
    "if-none-match",
    "if-modified-since",
    "if-match",
    "accept-encoding",
    "x-user-id",
    "x-any",
];

pub(crate) const VALUES: [&str; 41] = [
    "no-store",
    "private",
    "public",
    "max-age=60",
    "s-maxage=10",
    "no-cache",
    "must-revalidate",
    "private=\"x-any\"",
    "max-age=x",
    "stale-while-revalidate=9",
    "must-understand, no-store",
    "immutable, max-age=99",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "0",
    "-1",
    "99999999999999999999",
    "*",
    "accept-encoding, x-any",
    "\"a\"",
    "W/\"a\", \"b\"",
    "text/event-stream",
    "bytes=0-1",
    "bytes=-5",
    "bytes 0-3/10",
    "bytes=0-0,2-3,5-",
    "bytes=9-1",
    "gzip, br;q=0.5, *;q=0",
    "max-age=0",
    "only-if-cached",
    "max-stale=5",
    "min-fresh=5",
    "x=\"",
    "a=\"b\\",
    ",,,",
    ";=;",
    "close, x-any",
    "a=b",
    "",
    "\"",
];

pub(crate) fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        5 => select(&VALUES[..]).prop_map(|text| text.as_bytes().to_vec()),
        2 => vec(select(&VALUES[..]), 2..5).prop_map(|all| all.join(", ").into_bytes()),
        1 => vec(select(&b"abAB019=,;\"\\-*/ \t.WGMT"[..]), 0..40),
        1 => vec(any::<u8>(), 0..20),
    ]
}

pub(crate) fn fields() -> impl Strategy<Value = Fields> {
    vec((select(&NAMES[..]).prop_map(str::to_owned), value()), 0..10)
}

/// The groups, read once.
pub(crate) fn rules(json: &str) -> &'static Group {
    static ALL: LazyLock<Vec<Group>> = LazyLock::new(|| GROUPS.iter().map(|json| Group::for_tests(json)).collect());
    ALL.iter().zip(GROUPS).find(|(_, text)| *text == json).map(|(group, _)| group).unwrap()
}

pub(crate) fn views(fields: &Fields) -> Vec<Field<'_>> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect()
}

pub(crate) fn status() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(200), 2 => select(&[206_u16, 301, 302, 304, 404, 429, 500, 503][..]), 1 => 0_u16..1000]
}

pub(crate) fn group() -> impl Strategy<Value = &'static str> {
    select(&GROUPS[..])
}

/// Every directive of a response by its own, and whether it is written as the RFCs have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AnyReason {
    Right(&'static str),
    Wrong(&'static str),
}

impl AnyReason {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Right(text) | Self::Wrong(text) => text,
        }
    }
}

pub(crate) const RIGHT: [&str; 18] = [
    "no-store",
    "private",
    "no-cache",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "max-age=0",
    "max-age=60",
    "max-age=\"30\"",
    "s-maxage=10",
    "stale-while-revalidate=5",
    "stale-if-error=7",
    "private=\"x-any\"",
    "no-cache=\"x-any, x-other\"",
    "x-new",
    "x-new=\"a, public, max-age=60\"",
];

pub(crate) const WRONG: [&str; 22] = [
    "max-age",
    "max-age=",
    "max-age=x",
    "max-age=-1",
    "max-age = 60",
    "max-age=1.5",
    "s-maxage",
    "s-maxage=\"x\"",
    "public=1",
    "public;",
    "must-revalidate=x",
    "must-understand=1",
    "immutable=yes",
    "stale-while-revalidate=x",
    "stale-if-error",
    "private=",
    "no-cache=\"\"",
    "x=\"",
    "x=\"\\",
    "x=\"a\"b",
    "=60",
    "\"",
];

pub(crate) fn lines(said: &[AnyReason], upper: bool, space: &str) -> Fields {
    let text = said.iter().map(|said| said.text()).collect::<Vec<_>>().join(&format!("{space},{space}"));
    let text = if upper {
        text.split_inclusive('"')
            .enumerate()
            .map(|(n, part)| if n % 2 == 0 { part.to_ascii_uppercase() } else { part.to_owned() })
            .collect()
    } else {
        text
    };
    vec![("cache-control".to_owned(), text.into_bytes())]
}

pub(crate) fn right() -> impl Strategy<Value = Vec<AnyReason>> {
    vec(select(&RIGHT[..]).prop_map(AnyReason::Right), 0..6)
}

/// Fields beside Cache-Control that give a response some other reason to be stored.
pub(crate) fn others() -> impl Strategy<Value = Fields> {
    let one = prop_oneof![
        Just(("expires", "Sun, 06 Nov 1994 09:49:37 GMT")),
        Just(("last-modified", "Sun, 06 Nov 1994 00:49:37 GMT")),
        Just(("etag", "\"a\"")),
        Just(("age", "3")),
    ];
    vec(one.prop_map(|(n, v): (&str, &str)| (n.to_owned(), v.as_bytes().to_vec())), 0..3)
}
