//! A request's head, read once: whom it is for, and its fields as the protocol wants to see them.

use crate::{
    http::{
        byte_budget::{ByteBudget, ByteReservation},
        interim::Interim,
    },
    origin::PARTIAL,
    settings::Port,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{AUTHORIZATION, CONNECTION, COOKIE, HOST},
    request::Parts,
};
use meshcache_protocol::{
    Field, Reason, Request,
    connection::strips_from_request,
    request::{FORWARDED_PROTO, Unfit, scheme},
    wire::{BadQuestion, Question, header},
};
use smallvec::SmallVec;
use std::sync::{Arc, OnceLock};

/// A request's head that says whom it is for.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    parts: Parts,
    authority: Authority,
    scheme: &'static str,
    interim: Option<Interim>,
    /// Its place among all that are under way, which lasts as long as any copy of it.
    counted: OnceLock<Arc<ByteReservation>>,
}

/// Where the authority is written. It stays there: most requests are answered without a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authority {
    Target,
    Field(&'static str),
}

/// Why a head says not whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// No Host, or more than one.
    Host,
    /// A call from a peer that lacks what such a call carries.
    Call,
}

impl BadHead {
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Host => Reason::BadHost,
            Self::Call => Reason::BadCall,
        }
    }
}

/// What a request takes that waits, beside its head.
const WAITS: u64 = 2048;
/// What a line of a head takes beside its name and its value.
const LINE: usize = 64;

/// Fields as the protocol has them. Few requests have more, so that few need an allocation.
pub(crate) type Fields<'a> = SmallVec<[Field<'a>; 24]>;

impl Head {
    pub(crate) fn read(port: Port, mut parts: Parts) -> Result<Self, BadHead> {
        if port == Port::Peer {
            // What stands there is the peer's token, which must get no further.
            parts.headers.remove(AUTHORIZATION);
            if let Some(clients) = parts.headers.remove(header::AUTHORIZATION) {
                parts.headers.insert(AUTHORIZATION, clients);
            }
        }
        strip(&mut parts.headers);
        if parts.version == Version::HTTP_2 {
            join_crumbs(&mut parts.headers);
        }
        let authority = match port {
            Port::Peer if parts.headers.contains_key(header::AUTHORITY) && parts.headers.contains_key(header::WIRE) => {
                Authority::Field(header::AUTHORITY)
            }
            Port::Peer => return Err(BadHead::Call),
            Port::Data => {
                let mut hosts = parts.headers.get_all(HOST).iter();
                match (hosts.next(), hosts.next(), parts.uri.authority()) {
                    (_, Some(_), _) | (None, _, None) => return Err(BadHead::Host),
                    (_, _, Some(_)) => Authority::Target,
                    (Some(_), None, None) => Authority::Field("host"),
                }
            }
        };
        // Whoever terminated TLS before us says so. What is in the key is what the origin is told (see `outgoing`): a
        // client that lies about it gets what its lie is answered with, under a key of its own. Who asks on
        // behalf of a client has decided it already.
        let decided = parts
            .headers
            .get(header::SCHEME)
            .filter(|_| parts.headers.contains_key(header::WIRE))
            .map(HeaderValue::as_bytes);
        let own = parts.uri.scheme_str().unwrap_or("http").as_bytes();
        let scheme = match decided {
            Some(decided) => scheme([decided], own),
            None => scheme(parts.headers.get_all(FORWARDED_PROTO).iter().map(HeaderValue::as_bytes), own),
        };
        Ok(Self { parts, authority, scheme, interim: Interim::current(), counted: OnceLock::new() })
    }

    /// Counts it, once, among all heads that are under way. Whether there is room for it.
    pub(crate) fn count(&self, room: &Arc<ByteBudget>) -> bool {
        if self.counted.get().is_some() {
            return true;
        }
        let mut taken = room.take();
        let fits = taken.grow(WAITS.saturating_add(self.bytes()));
        if fits {
            let _ = self.counted.set(Arc::new(taken));
        }
        fits
    }

    /// Its place, for what outlives it.
    pub(crate) fn counted(&self) -> Option<Arc<ByteReservation>> {
        self.counted.get().cloned()
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let uri = &self.parts.uri;
        let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
            + uri.authority().map_or(0, |authority| authority.as_str().len());
        let line = |(name, value): (&HeaderName, &HeaderValue)| LINE + name.as_str().len() + value.len();
        let fields: usize = self.parts.headers.iter().map(line).sum();
        (target + fields) as u64
    }

    /// The same request for the whole response: a GET without conditions or ranges.
    pub(crate) fn whole(&self) -> Self {
        let mut whole = self.clone();
        whole.parts.method = Method::GET;
        for name in PARTIAL {
            whole.parts.headers.remove(name);
        }
        whole
    }

    pub(crate) fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The version of HTTP that it came in.
    pub(crate) fn version(&self) -> http::Version {
        self.parts.version
    }

    /// Where interim answers to it go, if anywhere.
    pub(crate) fn interim(&self) -> Option<&Interim> {
        self.interim.as_ref()
    }

    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Host and port as sent.
    pub(crate) fn authority(&self) -> &[u8] {
        match self.authority {
            Authority::Target => self.parts.uri.authority().map_or(b"", |authority| authority.as_str().as_bytes()),
            Authority::Field(name) => self.parts.headers.get(name).map_or(b"", |value| value.as_bytes()),
        }
    }

    /// Path and query as sent.
    pub(crate) fn target(&self) -> &str {
        self.parts.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// All fields but Host.
    pub(crate) fn fields(&self) -> Fields<'_> {
        let is_other = |name: &HeaderName| *name != HOST;
        self.parts
            .headers
            .iter()
            .filter(|(name, _)| is_other(name))
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
            .collect()
    }

    /// The protocol's view of it. `fields`: its own.
    pub(crate) fn request<'a>(&'a self, fields: &'a [Field<'a>]) -> Result<Request<'a>, Unfit> {
        Request::read(
            self.parts.method.as_str().as_bytes(),
            self.scheme().as_bytes(),
            self.authority(),
            self.target().as_bytes(),
            fields,
        )
    }

    /// The same for the host alone: what a request whose path is ambiguous is routed by.
    pub(crate) fn host_only<'a>(&'a self, fields: &'a [Field<'a>]) -> Result<Request<'a>, Unfit> {
        Request::read(self.parts.method.as_str().as_bytes(), self.scheme().as_bytes(), self.authority(), b"/", fields)
    }

    /// What it asks beside the request itself, where it is a question.
    pub(crate) fn question(fields: &[Field<'_>]) -> Result<Option<Question>, BadQuestion> {
        match Question::read(fields) {
            Ok(question) => Ok(Some(question)),
            Err(BadQuestion::NotOne) => Ok(None),
            Err(bad) => Err(bad),
        }
    }
}

/// Takes out what belongs to the client's connection: what is keyed, and what Vary compares, is what an origin is sent.
fn strip(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let lines = || headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| strips_from_request(lines(), name.as_str().as_bytes())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Makes one line of the crumbs in which HTTP/2 sends cookies (RFC 9113 section 8.2.3).
fn join_crumbs(headers: &mut HeaderMap) {
    let crumbs: SmallVec<[&[u8]; 8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = if crumbs.len() > 1 { HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok() } else { None };
    drop(crumbs);
    if let Some(joined) = joined {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(port: Port, uri: &str, headers: &[(&'static str, &'static str)]) -> Result<Head, BadHead> {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Head::read(port, request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_says_once_whom_it_is_for() {
        assert_eq!(head(Port::Data, "/x", &[("host", "h:1")]).unwrap().authority(), b"h:1");
        assert_eq!(
            head(Port::Data, "http://a/x?y", &[("host", "h")]).unwrap().authority(),
            b"a",
            "the target has the last word (RFC 9112 section 3.2.2)"
        );
        assert_eq!(head(Port::Data, "http://a/x?y", &[]).unwrap().target(), "/x?y");
        assert_eq!(head(Port::Data, "/x", &[]).unwrap_err(), BadHead::Host);
        assert_eq!(head(Port::Data, "/x", &[("host", "h"), ("host", "h")]).unwrap_err(), BadHead::Host);
    }

    #[test]
    fn a_call_from_a_peer_carries_the_clients_authority_and_scheme() {
        let call = head(
            Port::Peer,
            "http://peer-1/x",
            &[("meshcache-wire", "1"), ("meshcache-authority", "h"), ("meshcache-scheme", "https")],
        )
        .unwrap();
        assert_eq!((call.authority(), call.scheme()), (&b"h"[..], "https"));
        let authorized = head(
            Port::Peer,
            "http://peer-1/x",
            &[
                ("meshcache-wire", "1"),
                ("meshcache-authority", "h"),
                ("authorization", "Bearer token"),
                ("meshcache-authorization", "Basic me"),
            ],
        )
        .unwrap();
        assert_eq!(authorized.headers().get(AUTHORIZATION).unwrap(), "Basic me");
        assert_eq!(head(Port::Peer, "http://peer-1/x", &[("meshcache-wire", "1")]).unwrap_err(), BadHead::Call);
        let crumbs = |version| {
            let request = http::Request::builder()
                .uri("http://h/")
                .version(version)
                .header("cookie", "a=b")
                .header("cookie", "c=d");
            let head = Head::read(Port::Data, request.header("host", "h").body(()).unwrap().into_parts().0).unwrap();
            head.headers().get_all(COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (crumbs(Version::HTTP_2), crumbs(Version::HTTP_11)),
            (vec!["a=b; c=d".to_owned()], vec!["a=b".to_owned(), "c=d".to_owned()])
        );
        let spoofed = head(Port::Data, "/x", &[("host", "h"), ("meshcache-authority", "evil")]).unwrap();
        assert_eq!(spoofed.authority(), b"h");
        for (scheme, fields) in [
            ("https", &[("x-forwarded-proto", "HTTPS")][..]),
            ("http", &[("x-forwarded-proto", "https,http")]),
            ("http", &[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]),
            ("http", &[("meshcache-scheme", "https")]),
            ("http", &[("meshcache-scheme", "http"), ("meshcache-wire", "1"), ("x-forwarded-proto", "https")]),
            ("https", &[("meshcache-scheme", "https"), ("meshcache-wire", "1")]),
        ] {
            let fields = [&[("host", "h")], fields].concat();
            assert_eq!(head(Port::Data, "/x", &fields).unwrap().scheme(), scheme, "{fields:?}");
        }
    }
}
