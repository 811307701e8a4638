//! A request and a response as both sides see them: borrowed, read once, nothing copied.

use std::borrow::Cow;

/// One header field: its name in lower case and its value as it came (any bytes).
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// Why a request is none of the cache's business. It goes its ordinary way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The authority is missing or has characters that a host name cannot have.
    Authority,
    /// The target is not in origin form or has bytes outside of visible ASCII.
    Target,
    /// The path has dot segments, `%2f`, `%2e`, `%5c`, `//` or a backslash: two servers may read it differently.
    Path,
}

impl Unfit {
    /// The log word and metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Authority => "bad-authority",
            Self::Target => "bad-target",
            Self::Path => "ambiguous-path",
        }
    }
}

/// What a single pass over the header fields found, so that the common request is not searched twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u32);

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Marks {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
    };
}

marks! {
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
}

impl Marks {
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
            b"if-match" | b"if-none-match" | b"if-modified-since" | b"if-unmodified-since" | b"if-range" => Self::CONDITIONAL,
            b"cache-control" => Self::CACHE_CONTROL,
            b"pragma" => Self::PRAGMA,
            b"upgrade" => Self::UPGRADE,
            b"expect" => Self::EXPECT,
            b"transfer-encoding" => Self::BODY,
            b"content-length" if value != b"0" => Self::BODY,
            b"accept" if contains_ignore_case(value, b"text/event-stream") => Self::EVENT_STREAM,
            b"content-type" if value.len() >= 16 && starts_with_ignore_case(value, b"application/grpc") => Self::GRPC,
            b"cdn-loop" => Self::CDN_LOOP,
            b"x-forwarded-host" | b"forwarded" | b"x-original-url" | b"x-rewrite-url" | b"x-http-method-override" => Self::REROUTING,
            _ if name.starts_with(b"meshcache-") => Self::CONTROL,
            _ => Self(0),
        }
    }
}

/// Header fields that some services let change host, path or method. Where present, they are in the key.
pub const REROUTING: [&[u8]; 5] = [b"forwarded", b"x-forwarded-host", b"x-http-method-override", b"x-original-url", b"x-rewrite-url"];

/// A request's head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method as sent; methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as sent.
    pub authority: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The query without its `?`; `None` where there is no `?`.
    pub query: Option<&'a str>,
    /// All header fields but pseudo-headers and Host, in order.
    pub fields: &'a [Field<'a>],
    /// What is among the fields.
    pub marks: Marks,
}

impl<'a> Request<'a> {
    /// Reads a request's head. `target` is path and query in origin form.
    pub fn read(method: &'a [u8], scheme: &'a [u8], authority: &'a [u8], target: &'a [u8], fields: &'a [Field<'a>]) -> Result<Self, Unfit> {
        let scheme = if scheme.eq_ignore_ascii_case(b"https") { "https" } else { "http" };
        let authority = text(authority).filter(|a| is_authority(a)).ok_or(Unfit::Authority)?;
        let target = text(target).filter(|t| t.starts_with('/')).ok_or(Unfit::Target)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if path.contains('#') || query.is_some_and(|q| q.contains('#')) {
            return Err(Unfit::Target);
        }
        if !is_plain(path) {
            return Err(Unfit::Path);
        }
        let marks = fields.iter().fold(Marks::default(), |marks, (name, value)| marks.with(Marks::of(name, value)));
        Ok(Self { method, scheme, authority, path, query, fields, marks })
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
        Self { marks: self.marks.without(Marks::CONDITIONAL.with(Marks::RANGE).with(Marks::EXPECT)), ..self }
    }

    /// Whether the method is GET.
    pub fn is_get(&self) -> bool {
        self.method == b"GET"
    }

    /// Whether the method is HEAD.
    pub fn is_head(&self) -> bool {
        self.method == b"HEAD"
    }

    /// Host and port apart: lower case, the port only where it is not the scheme's own.
    pub fn host_port(&self) -> (Cow<'a, str>, Option<u16>) {
        let (host, port) = split_port(self.authority);
        (lower(host), port.filter(|p| *p != default_port(self.scheme)))
    }

    /// The value of a cookie, the first of that name.
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        self.values("cookie").flat_map(|line| line.split(|b| *b == b';')).find_map(|pair| {
            let pair = pair.trim_ascii();
            pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        })
    }

    /// Whether `CDN-Loop` names this installation (RFC 8586): the request has already been through one of us.
    pub fn looped(&self, installation: &str) -> bool {
        self.marks.any(Marks::CDN_LOOP)
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

/// An authority's host and port; an IPv6 host keeps its brackets.
pub fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) if port.is_empty() => (host, None),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) }
}

fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.iter().all(|b| (0x21..=0x7e).contains(b)) { std::str::from_utf8(bytes).ok() } else { None }
}

fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.len() <= 300 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

/// Whether every server reads this path the same way.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        match b {
            b'\\' => return false,
            b'/' => match rest {
                [b'/', ..] | [b'.'] | [b'.', b'/' | b';', ..] | [b'.', b'.'] | [b'.', b'.', b'/' | b';', ..] => return false,
                _ => {}
            },
            b'%' => match rest {
                [b'2', b'f' | b'F' | b'e' | b'E', ..] | [b'5', b'c' | b'C', ..] => return false,
                _ => {}
            },
            _ => {}
        }
        at += 1;
    }
    true
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

    fn read(authority: &'static str, target: &'static str) -> Result<Request<'static>, Unfit> {
        Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), &[])
    }

    #[test]
    fn paths_that_two_servers_may_read_differently_are_unfit() {
        for target in ["/a/../b", "/a/./b", "/..", "/.", "/a//b", "//a", "/a%2fb", "/a%2Fb", "/%2e%2e/b", "/a\\b", "/a%5cb", "/a/..;/b"] {
            assert_eq!(read("h", target).unwrap_err(), Unfit::Path, "{target}");
        }
        for target in ["/", "/a/.b/c", "/a/...", "/a..b", "/a%20b", "/a/?x=//../%2f"] {
            assert!(read("h", target).is_ok(), "{target}");
        }
        for target in ["", "*", "http://h/a", "/a b", "/\u{e9}", "/a#b"] {
            assert_eq!(read("h", target).unwrap_err(), Unfit::Target, "{target}");
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
        for bad in ["", "user@host", "a b", "host/path", "a,b"] {
            assert_eq!(host_port(bad), Err(Unfit::Authority), "{bad}");
        }
    }

    #[test]
    fn one_pass_marks_what_matters() {
        let fields: [Field; 4] = [(b"accept", b"text/html, Text/Event-Stream"), (b"cookie", b"a=1; b=2"), (b"content-length", b"0"), (b"meshcache-x", b"")];
        let request = Request::read(b"GET", b"https", b"h", b"/a?b", &fields).unwrap();
        assert!(request.marks.any(Marks::EVENT_STREAM) && request.marks.any(Marks::COOKIE) && request.marks.any(Marks::CONTROL));
        assert!(!request.marks.any(Marks::BODY));
        assert_eq!(request.cookie("b"), Some(&b"2"[..]));
        assert_eq!(request.cookie("c"), None);
        assert_eq!((request.scheme, request.path, request.query), ("https", "/a", Some("b")));
    }

    #[test]
    fn a_loop_is_seen_by_our_own_name_only() {
        let fields: [Field; 1] = [(b"cdn-loop", b"other, MeshCache;v=1")];
        let request = Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap();
        assert!(request.looped("meshcache") && !request.looped("mesh"));
    }
}
