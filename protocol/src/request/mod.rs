//! A request and a response as both sides see them: borrowed, read once, nothing copied.

pub(crate) mod list;
pub mod normal_form;

use crate::reason::Reason;
use std::borrow::Cow;

/// One header field: its name in lower case and its value as it came (any bytes).
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// Why a request is none of the cache's business. It goes its ordinary way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The authority is missing or has characters that a host name cannot have.
    Authority,
    /// The target is not in origin form or has bytes outside of visible ASCII.
    Target,
    /// The path has dot segments, `//`, `\\`, `;`, `%2f`, `%5c`, `%3b`, `%25`, `%00` or a `%` without digits: two
    /// servers may read it differently.
    Path,
}

impl RequestError {
    /// The reason that is said.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Authority => Reason::BadAuthority,
            Self::Target => Reason::BadTarget,
            Self::Path => Reason::AmbiguousPath,
        }
    }
}

/// What a single pass over the header fields found, so that the common request is not searched twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
    };
}

flags! {
    /// `authorization`
    AUTHORIZATION = 0;
    /// `cookie`
    COOKIE = 1;
    /// `range`
    RANGE = 2;
    /// One of `if-match`, `if-none-match`, `if-modified-since`, `if-unmodified-since`, `if-range`
    CONDITIONAL = 3;
    /// `cache-control`
    CACHE_CONTROL = 4;
    /// `pragma`
    PRAGMA = 5;
    /// `upgrade`
    UPGRADE = 6;
    /// `expect`
    EXPECT = 7;
    /// `transfer-encoding`, or a `content-length` that is not exactly `0`
    BODY = 8;
    /// `accept` names `text/event-stream`
    EVENT_STREAM = 9;
    /// `content-type` begins with `application/grpc`
    GRPC = 10;
    /// `cdn-loop`
    CDN_LOOP = 11;
    /// One of [`REROUTING`]: it can change which resource is meant
    REROUTING = 12;
    /// A `meshcache-*` header
    CONTROL = 13;
    /// Path or query are not in their normal form
    ESCAPED = 14;
}

impl Flags {
    /// Whether any of `other`'s marks is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without `other`'s.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn of(name: &[u8], value: &[u8]) -> Self {
        match name {
            b"authorization" => Self::AUTHORIZATION,
            b"cookie" => Self::COOKIE,
            b"range" => Self::RANGE,
            b"if-match" | b"if-none-match" | b"if-modified-since" | b"if-unmodified-since" | b"if-range" => {
                Self::CONDITIONAL
            }
            b"cache-control" => Self::CACHE_CONTROL,
            b"pragma" => Self::PRAGMA,
            b"upgrade" => Self::UPGRADE,
            b"expect" => Self::EXPECT,
            b"transfer-encoding" => Self::BODY,
            b"content-length" if value != b"0" => Self::BODY,
            b"accept" if contains_ignore_case(value, b"text/event-stream") => Self::EVENT_STREAM,
            b"content-type" if value.len() >= 16 && starts_with_ignore_case(value, b"application/grpc") => Self::GRPC,
            b"cdn-loop" => Self::CDN_LOOP,
            [b'm', ..] if name.starts_with(b"meshcache-") => Self::CONTROL,
            [b'f' | b'x', ..] if REROUTING.contains(&name) => Self::REROUTING,
            _ => Self(0),
        }
    }
}

/// Header fields that some services let change host, path, scheme or method. Where present, they are in the key:
/// docs/http.md says why. X-Forwarded-Proto is not among them, since it is the key's scheme.
pub const REROUTING: [&[u8]; 17] = [
    b"forwarded",
    b"front-end-https",
    b"x-forwarded-host",
    b"x-forwarded-path",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-host",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-host",
    b"x-original-uri",
    b"x-original-url",
    b"x-rewrite-url",
];

/// Those among them that give a request another method.
pub(crate) const METHODS: [&[u8]; 3] = [b"x-http-method", b"x-http-method-override", b"x-method-override"];

/// The scheme that a client used, as the proxy that took its connection says.
pub const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The scheme of a request, decided once for key and load: what X-Forwarded-Proto says, where it is one of the two,
/// else the connection's own.
pub fn scheme<'a>(forwarded: impl IntoIterator<Item = &'a [u8]>, own: &[u8]) -> &'static str {
    let known = |value: &[u8]| {
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"https") {
            Some("https")
        } else if value.eq_ignore_ascii_case(b"http") {
            Some("http")
        } else {
            None
        }
    };
    let mut forwarded = forwarded.into_iter();
    match (forwarded.next(), forwarded.next()) {
        (Some(one), None) => known(one),
        // None, or two that may differ.
        _ => None,
    }
    .or_else(|| known(own))
    .unwrap_or("http")
}

/// What a request has of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie<'a> {
    /// Nothing that anybody would take for it.
    Absent,
    /// This value, for every server.
    Once(&'a [u8]),
    /// It is there twice, or in a form that not every server reads: which of them counts is the server's own.
    Ambiguous,
}

/// A request's head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method as sent; methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as sent.
    pub authority: &'a str,
    /// The path as sent, without the query. What is decided, is decided by [`Request::normal_path`].
    pub path: &'a str,
    /// The query as sent without its `?`; `None` where there is no `?`.
    pub query: Option<&'a str>,
    /// All header fields but pseudo-headers and Host, in order.
    pub fields: &'a [Field<'a>],
    /// What is among the fields.
    pub flags: Flags,
}

impl<'a> Request<'a> {
    /// Why no cache answers such a request, whatever group it is of.
    pub fn not_for_caches(&self) -> Option<Reason> {
        const REASONS: [(Flags, Reason); 5] = [
            (Flags::UPGRADE, Reason::Upgrade),
            (Flags::BODY, Reason::Body),
            (Flags::EXPECT, Reason::Expect),
            (Flags::GRPC, Reason::Grpc),
            (Flags::EVENT_STREAM, Reason::EventStream),
        ];
        if !self.is_get() && !self.is_head() {
            return Some(Reason::Method);
        }
        let any = REASONS.iter().fold(Flags::default(), |any, (flag, _)| any.with(*flag));
        if !self.flags.any(any) {
            return None;
        }
        REASONS.iter().find(|(flag, _)| self.flags.any(*flag)).map(|(_, reason)| *reason)
    }

    /// Reads a request's head. `target` is path and query in origin form.
    pub fn read(
        method: &'a [u8],
        scheme: &'a [u8],
        authority: &'a [u8],
        target: &'a [u8],
        fields: &'a [Field<'a>],
    ) -> Result<Self, RequestError> {
        let scheme = if scheme.eq_ignore_ascii_case(b"https") { "https" } else { "http" };
        let authority = text(authority).filter(|a| is_authority(a)).ok_or(RequestError::Authority)?;
        let target = text(target).filter(|t| t.starts_with('/')).ok_or(RequestError::Target)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if path.contains('#') || query.is_some_and(|q| q.contains('#')) {
            return Err(RequestError::Target);
        }
        if !normal_form::is_unambiguous(path) {
            return Err(RequestError::Path);
        }
        let escaped = normal_form::differs(path) || query.is_some_and(normal_form::differs);
        let flags = if escaped { Flags::ESCAPED } else { Flags::default() };
        let flags = fields.iter().fold(flags, |flags, (name, value)| flags.with(Flags::of(name, value)));
        Ok(Self { method, scheme, authority, path, query, fields, flags })
    }

    /// Every value of a field, in order. `name` is in lower case.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        values(self.fields, name)
    }

    /// The first value of a field.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Its scheme, for as long as the program runs.
    pub fn scheme_name(&self) -> &'static str {
        if self.scheme == "https" { "https" } else { "http" }
    }

    /// The request as a load for all makes it of this one: for the whole, without its client's conditions.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { flags: self.flags.without(Flags::CONDITIONAL.with(Flags::RANGE).with(Flags::EXPECT)), ..self }
    }

    /// Whether the method is GET.
    pub fn is_get(&self) -> bool {
        self.method == b"GET"
    }

    /// Whether the method is HEAD.
    pub fn is_head(&self) -> bool {
        self.method == b"HEAD"
    }

    /// The path in its normal form: what rules match, what is keyed and what a load sends.
    pub fn normal_path(&self) -> Cow<'a, str> {
        if self.flags.any(Flags::ESCAPED) { normal_form::normalize(self.path) } else { Cow::Borrowed(self.path) }
    }

    /// The query in its normal form, without its `?`.
    pub fn normal_query(&self) -> Option<Cow<'a, str>> {
        self.query.map(|query| {
            if self.flags.any(Flags::ESCAPED) { normal_form::normalize(query) } else { Cow::Borrowed(query) }
        })
    }

    /// Host and port apart: lower case, without the dot at a host's end, the port only where it is not the scheme's
    /// own.
    pub fn host_port(&self) -> (Cow<'a, str>, Option<u16>) {
        let (host, port) = split_host(self.authority);
        (lower(host), port.filter(|p| *p != default_port(self.scheme)))
    }

    /// What it has of a cookie. Servers differ in which of two counts, in whether a second line does, in space before
    /// the `=`, in names without one, and in whether a comma parts cookies, too. Crumbs of HTTP/2 have to be joined
    /// before.
    pub fn cookie(&self, name: &str) -> Cookie<'a> {
        if !self.flags.any(Flags::COOKIE) {
            return Cookie::Absent;
        }
        let named =
            |pair: &[u8]| pair.split(|b| *b == b'=').next().is_some_and(|own| own.trim_ascii() == name.as_bytes());
        let (mut found, is_one) = (Cookie::Absent, self.values("cookie").nth(1).is_none());
        for pair in self.values("cookie").flat_map(|line| line.split(|b| *b == b';')) {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            match pair.split(|b| *b == b',').filter(|part| named(part)).count() {
                0 => {}
                1 if is_one && found == Cookie::Absent && value.is_some() => found = value.map_or(found, Cookie::Once),
                _ => return Cookie::Ambiguous,
            }
        }
        found
    }

    /// Whether `CDN-Loop` names this installation (RFC 8586): the request has already been through one of us.
    pub fn has_looped(&self, installation: &str) -> bool {
        self.flags.any(Flags::CDN_LOOP)
            && self.values("cdn-loop").flat_map(|line| line.split(|b| *b == b',')).any(|one| {
                let id = one.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                id.eq_ignore_ascii_case(installation.as_bytes())
            })
    }
}

/// A response's head.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// All header fields, in order.
    pub fields: &'a [Field<'a>],
}

impl<'a> Response<'a> {
    /// Every value of a field, in order. `name` is in lower case.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        values(self.fields, name)
    }

    /// The first value of a field.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

/// Every value of a field in a list of fields. `name` is in lower case.
pub fn values<'a, 'n>(fields: &'a [Field<'a>], name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
    fields.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
}

/// The port that a scheme means where none is written.
pub fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// The same with the host as it is compared: without the dot that may end a name (`x.` is `x`).
pub(crate) fn split_host(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = split_port(authority);
    (host.strip_suffix('.').unwrap_or(host), port)
}

/// An authority's host and port; an IPv6 host keeps its brackets.
pub fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => match port.parse()
        {
            Ok(port) => (host, Some(port)),
            Err(_) if port.is_empty() => (host, None),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.iter().all(|b| (0x21..=0x7e).contains(b)) { std::str::from_utf8(bytes).ok() } else { None }
}

fn is_authority(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let (host, _) = split_host(text);
    // A colon that parts no port from a host stands in an IPv6 address only.
    let is_host = !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    text.len() <= 300 && is_host && text.bytes().all(fits)
}

fn starts_with_ignore_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn contains_ignore_case(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authority: &'static str, target: &'static str) -> Result<Request<'static>, RequestError> {
        Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), &[])
    }

    #[test]
    fn paths_that_two_servers_may_read_differently_are_unfit() {
        for target in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/.",
            "/a//b",
            "//a",
            "/a%2fb",
            "/a%2Fb",
            "/%2e%2e/b",
            "/a\\b",
            "/a%5cb",
            "/a/..;/b",
        ] {
            assert_eq!(read("h", target).unwrap_err(), RequestError::Path, "{target}");
        }
        for target in [
            "/a;b",
            "/a;/b",
            "/a%3bb",
            "/a%252e",
            "/a%25",
            "/a%00",
            "/a/%2E",
            "/a/.%2e/b",
            "/%2e/",
            "/a%",
            "/a%4",
            "/a%zz",
            "/%%36%31",
        ] {
            assert_eq!(read("h", target).unwrap_err(), RequestError::Path, "{target}");
        }
        for target in
            ["/", "/a/.b/c", "/a/...", "/a..b", "/a%20b", "/a/?x=//../%2f", "/a%2ejson", "/%70rod", "/?a=1;b=%25%00%"]
        {
            assert!(read("h", target).is_ok(), "{target}");
        }
        for target in ["", "*", "http://h/a", "/a b", "/\u{e9}", "/a#b"] {
            assert_eq!(read("h", target).unwrap_err(), RequestError::Target, "{target}");
        }
    }

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        let host_port = |a| {
            read(a, "/").map(|r| {
                let (h, p) = r.host_port();
                (h.into_owned(), p)
            })
        };
        assert_eq!(host_port("Example.COM:80"), Ok(("example.com".into(), None)));
        assert_eq!(host_port("example.com:8080"), Ok(("example.com".into(), Some(8080))));
        assert_eq!(host_port("[::1]:9000"), Ok(("[::1]".into(), Some(9000))));
        assert_eq!(host_port("[::1]"), Ok(("[::1]".into(), None)));
        assert_eq!(host_port("Example.com.:0080"), Ok(("example.com".into(), None)));
        assert_eq!((host_port("x."), host_port("x:")), (Ok(("x".into(), None)), Ok(("x".into(), None))));
        for bad in ["", ".", ":80", "::1", "h:99999", "h:http", "user@host", "a b", "host/path", "a,b"] {
            assert_eq!(host_port(bad), Err(RequestError::Authority), "{bad}");
        }
    }

    #[test]
    fn one_pass_marks_what_matters() {
        let fields: [Field; 4] = [
            (b"accept", b"text/html, Text/Event-Stream"),
            (b"cookie", b"a=1; b=2"),
            (b"content-length", b"0"),
            (b"meshcache-x", b""),
        ];
        let request = Request::read(b"GET", b"https", b"h", b"/a?b", &fields).unwrap();
        assert!(
            request.flags.any(Flags::EVENT_STREAM)
                && request.flags.any(Flags::COOKIE)
                && request.flags.any(Flags::CONTROL)
        );
        assert!(!request.flags.any(Flags::BODY));
        assert_eq!((request.cookie("b"), request.cookie("c")), (Cookie::Once(b"2"), Cookie::Absent));
        assert_eq!((request.scheme, request.path, request.query), ("https", "/a", Some("b")));
    }

    #[test]
    fn a_cookie_that_servers_may_read_differently_is_ambiguous() {
        let of = |lines: &[&'static str]| {
            let fields: Vec<Field<'_>> = lines.iter().map(|line| (&b"cookie"[..], line.as_bytes())).collect();
            match Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap().cookie("lang") {
                Cookie::Once(value) => Some(String::from_utf8_lossy(value).into_owned()),
                Cookie::Absent => None,
                Cookie::Ambiguous => Some("?".into()),
            }
        };
        for (line, value) in [
            ("lang=en", Some("en")),
            ("a=b;lang=en ; c", Some("en")),
            ("lang=", Some("")),
            ("lang=a=b", Some("a=b")),
            ("a=1,2; lang=1,2", Some("1,2")),
        ] {
            assert_eq!(of(&[line]).as_deref(), value, "{line}");
        }
        for line in ["a=b", "Lang=en", "lang2=en", "a=lang", "xlang=en"] {
            assert_eq!(of(&[line]), None, "{line}");
        }
        for line in [
            "lang=en; lang=fr",
            "lang=en; lang=en",
            "lang =fr",
            "lang\t=fr; a",
            "lang",
            "a=1,lang=fr",
            "lang=en,lang=fr",
            "lang=en; lang =fr",
            "a=\"x; lang=fr\"; lang=en",
        ] {
            assert_eq!(of(&[line]).as_deref(), Some("?"), "{line}");
        }
        assert_eq!(of(&["lang=en", "lang=fr"]).as_deref(), Some("?"));
        assert_eq!(
            (of(&["a=b", "lang=fr"]).as_deref(), of(&["a=b", "c=d"])),
            (Some("?"), None),
            "some read the first line only"
        );
    }

    #[test]
    fn the_scheme_is_what_the_proxy_before_us_says_else_the_connections_own() {
        for (forwarded, own, expected) in [
            (&["HTTPS"][..], "http", "https"),
            (&["http"], "https", "http"),
            (&[], "https", "https"),
            (&["ftp"], "https", "https"),
            (&["https, http"], "http", "http"),
            (&["https", "http"], "http", "http"),
            (&[""], "", "http"),
        ] {
            assert_eq!(
                scheme(forwarded.iter().map(|value| value.as_bytes()), own.as_bytes()),
                expected,
                "{forwarded:?} {own}"
            );
        }
    }

    #[test]
    fn each_field_that_may_reroute_is_marked() {
        for name in REROUTING {
            assert!(Flags::of(name, b"x").any(Flags::REROUTING) && name.iter().all(|b| !b.is_ascii_uppercase()));
        }
        assert!(METHODS.iter().all(|name| REROUTING.contains(name)));
        assert!(!Flags::of(b"x-forwarded-for", b"x").any(Flags::REROUTING));
    }

    #[test]
    fn a_loop_is_seen_by_our_own_name_only() {
        let fields: [Field; 1] = [(b"cdn-loop", b"other, MeshCache;v=1")];
        let request = Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap();
        assert!(request.has_looped("meshcache") && !request.has_looped("mesh"));
    }
}
