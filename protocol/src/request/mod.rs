//! The heads of requests and responses: borrowed from the host's own, parsed once.

mod accept_encoding;
mod authority;
mod connection;
mod cookie;
mod flags;
pub(crate) mod list;
pub mod normal_form;
pub(crate) mod weight;

pub(crate) use accept_encoding::{Reduced, reduce};
pub(crate) use authority::split_host;
pub use authority::{FORWARDED_PROTO, default_port, scheme, split_port};
pub use connection::{HOP_BY_HOP, PREFIX, is_hop_by_hop};
pub use cookie::Cookie;
pub(crate) use flags::METHOD_OVERRIDES;
pub use flags::{Flags, REROUTING};

use crate::reason::Reason;
use authority::{is_authority, lower};
use std::borrow::Cow;

/// A header field: its name in lower case and its value as received (any bytes).
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// Why the cache cannot use a request. The request passes to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The authority is missing or not a host name with a port.
    Authority,
    /// The target is not in origin form or has bytes outside of visible ASCII.
    Target,
    /// The path has dot segments, `//`, `\\`, `;`, `%2f`, `%5c`, `%3b`, `%25`, `%00` or a `%` without digits: two
    /// servers may read it differently.
    Path,
}

impl RequestError {
    /// Returns the reason for Cache-Status, metrics and logs.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Authority => Reason::BadAuthority,
            Self::Target => Reason::BadTarget,
            Self::Path => Reason::AmbiguousPath,
        }
    }
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
    /// The path as sent, without the query. Decisions use [`Request::normal_path`].
    pub path: &'a str,
    /// The query as sent, without its `?`. `None`: there is no `?`.
    pub query: Option<&'a str>,
    /// All header fields except pseudo-headers and Host, in order.
    pub fields: &'a [Field<'a>],
    /// The kinds of fields that it has.
    pub flags: Flags,
}

impl<'a> Request<'a> {
    /// Returns why no cache answers the request, in whatever group.
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

    /// Parses a request's head. `target`: path and query in origin form (RFC 9112 section 3.2.1).
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
        Ok(Self { method, scheme, authority, path, query, fields: &[], flags }.with_fields(fields))
    }

    /// Returns the request with these fields instead of its own.
    #[must_use]
    pub fn with_fields(self, fields: &'a [Field<'a>]) -> Self {
        let of_target = if self.flags.any(Flags::ESCAPED) { Flags::ESCAPED } else { Flags::default() };
        let flags = fields.iter().fold(of_target, |flags, (name, value)| flags.with(Flags::of(name, value)));
        Self { fields, flags, ..self }
    }

    /// Returns all values of a field, in order. `name`: in lower case.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        values(self.fields, name)
    }

    /// Returns the first value of a field.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Returns the scheme as a static text.
    pub fn scheme_name(&self) -> &'static str {
        if self.scheme == "https" { "https" } else { "http" }
    }

    /// Returns the request as a shared load sends it: for the whole, without the client's conditions.
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

    /// Returns the path in its normal form, for rules, keys and loads.
    pub fn normal_path(&self) -> Cow<'a, str> {
        if self.flags.any(Flags::ESCAPED) { normal_form::normalize(self.path) } else { Cow::Borrowed(self.path) }
    }

    /// Returns the query in its normal form, without its `?`.
    pub fn normal_query(&self) -> Option<Cow<'a, str>> {
        self.query.map(|query| {
            if self.flags.any(Flags::ESCAPED) { normal_form::normalize(query) } else { Cow::Borrowed(query) }
        })
    }

    /// Returns path and query in their normal form.
    pub fn normal_target(&self) -> Cow<'a, str> {
        match self.normal_query() {
            Some(query) => Cow::Owned(format!("{}?{query}", self.normal_path())),
            None => self.normal_path(),
        }
    }

    /// Returns the host in lower case, without a dot at its end, and the port where it is not the scheme's default.
    pub fn host_port(&self) -> (Cow<'a, str>, Option<u16>) {
        let (host, port) = split_host(self.authority);
        (lower(host), port.filter(|p| *p != default_port(self.scheme)))
    }

    /// Looks a cookie up. Ambiguous where servers may read it differently. Cookie crumbs of HTTP/2 have to be joined
    /// before.
    pub fn cookie(&self, name: &str) -> Cookie<'a> {
        if self.flags.any(Flags::COOKIE) { Cookie::find(self.values("cookie"), name) } else { Cookie::Absent }
    }

    /// Whether `CDN-Loop` names this installation (RFC 8586): the request has already been through it.
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
    /// Returns all values of a field, in order. `name`: in lower case.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        values(self.fields, name)
    }

    /// Returns the first value of a field.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

/// Returns all values of a field in a list of fields, in order. `name`: in lower case.
pub fn values<'a, 'n>(fields: &'a [Field<'a>], name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
    fields.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
}

fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.iter().all(|b| (0x21..=0x7e).contains(b)) { std::str::from_utf8(bytes).ok() } else { None }
}

#[cfg(test)]
mod tests;
