//! A request's head, parsed once: its authority, scheme and target, and its fields in the protocol's form.
//!
//! Long: all that a head is asked for is asked here.

use crate::{
    http::{
        byte_budget::{ByteBudget, ByteReservation},
        connection_fields::{join_crumbs, strip},
        content::{Content, describes},
        interim::Interim,
        names,
    },
    settings::Port,
    tls::{Certificate, TlsSession},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, HOST, PRAGMA, TRANSFER_ENCODING},
    request::Parts,
    uri::PathAndQuery,
};
use meshcache_protocol::{
    Field, Group, Reason, Request,
    request::{RequestError, scheme},
    wire::{BadQuestion, Question, header},
};
use smallvec::SmallVec;
use std::sync::{Arc, OnceLock};

/// A request's head with a known authority.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    parts: Parts,
    authority: Authority,
    scheme: &'static str,
    interim: Option<Interim>,
    /// Of a QUERY that the cache may answer.
    content: Option<Content>,
    /// The reserved bytes of requests in progress. Clones share them.
    reservation: OnceLock<Arc<ByteReservation>>,
}

/// The part of the head that holds the authority. Most requests need no copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authority {
    Target,
    Field(&'static HeaderName),
}

/// Why a head has no authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// No Host, or more than one.
    Host,
    /// A peer's request without the fields that it needs.
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

/// The fields with conditions and ranges. They belong to one client and never to a shared load.
pub(crate) const CONDITIONAL_FIELDS: [&str; 6] =
    ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

/// The bytes that a waiting request takes beside its head.
const REQUEST_OVERHEAD: u64 = 2048;
/// The bytes that a field takes beside its name and its value.
const FIELD_OVERHEAD: usize = 64;

/// Fields in the protocol's form. Few requests have more than 24, so few need an allocation.
pub(crate) type Fields<'a> = SmallVec<[Field<'a>; 24]>;

impl RequestHead {
    pub(crate) fn read(port: Port, mut parts: Parts) -> Result<Self, BadHead> {
        if port == Port::Peer {
            // This is the peer's token, which must not be passed on.
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
            Port::Peer if parts.headers.contains_key(&names::AUTHORITY) && parts.headers.contains_key(&names::WIRE) => {
                Authority::Field(&names::AUTHORITY)
            }
            Port::Peer => return Err(BadHead::Call),
            Port::Data => {
                let mut hosts = parts.headers.get_all(HOST).iter();
                match (hosts.next(), hosts.next(), parts.uri.authority()) {
                    (_, Some(_), _) | (None, _, None) => return Err(BadHead::Host),
                    (_, _, Some(_)) => Authority::Target,
                    (Some(_), None, None) => Authority::Field(&names::HOST),
                }
            }
        };
        // The proxy that terminated TLS sets X-Forwarded-Proto. The key has the scheme that the origin is sent (see
        // `outgoing`): a client that lies about it gets the response to its lie, under a key of its own. A request on
        // behalf of a client has its scheme decided already.
        let decided = parts
            .headers
            .get(&names::SCHEME)
            .filter(|_| parts.headers.contains_key(&names::WIRE))
            .map(HeaderValue::as_bytes);
        let of_connection = if parts.extensions.get::<TlsSession>().is_some() { "https" } else { "http" };
        let own = parts.uri.scheme_str().unwrap_or(of_connection).as_bytes();
        let scheme = match decided {
            Some(decided) => scheme([decided], own),
            None => scheme(parts.headers.get_all(&names::FORWARDED_PROTO).iter().map(HeaderValue::as_bytes), own),
        };
        Ok(Self { parts, authority, scheme, interim: Interim::current(), content: None, reservation: OnceLock::new() })
    }

    /// Reserves its bytes, once. Returns whether the budget has them.
    pub(crate) fn reserve(&self, budget: &Arc<ByteBudget>) -> bool {
        if self.reservation.get().is_some() {
            return true;
        }
        let mut reservation = budget.reserve();
        let fits = reservation.grow(REQUEST_OVERHEAD.saturating_add(self.bytes()));
        if fits {
            let _ = self.reservation.set(Arc::new(reservation));
        }
        fits
    }

    /// Returns the reservation, for what outlives the head.
    pub(crate) fn reservation(&self) -> Option<Arc<ByteReservation>> {
        self.reservation.get().cloned()
    }

    /// Returns the bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let uri = &self.parts.uri;
        let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
            + uri.authority().map_or(0, |authority| authority.as_str().len());
        let line = |(name, value): (&HeaderName, &HeaderValue)| FIELD_OVERHEAD + name.as_str().len() + value.len();
        let fields: usize = self.parts.headers.iter().map(line).sum();
        (target + fields) as u64
    }

    /// Returns this request with its whole content. The rules of caching see a GET: the answer is that of a resource
    /// which the content names.
    pub(crate) fn with_content(mut self, content: Content) -> Self {
        // The length of the content is that of the body which is sent.
        self.parts.headers.remove(CONTENT_LENGTH);
        self.parts.headers.remove(TRANSFER_ENCODING);
        Self { content: Some(content), ..self }
    }

    /// Returns the content of a QUERY that the cache may answer.
    pub(crate) fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// Returns the fields without those that the group drops. `fields`: those of [`RequestHead::fields`].
    pub(crate) fn edited_fields<'a>(
        &'a self,
        group: &'a Group,
        fields: &'a [Field<'a>],
    ) -> impl Iterator<Item = Field<'a>> {
        let needed = |name: &[u8]| self.content.is_some() && describes(name) && group.drops(name);
        group.edited(fields).chain(fields.iter().filter(move |(name, _)| needed(name)).copied())
    }

    /// Returns this request as a group's loads send it: without the fields that the group drops.
    pub(crate) fn edited(&self, group: &Group) -> Self {
        let mut edited = self.clone();
        if group.edits_requests() {
            let own = self.fields();
            let fields = self.edited_fields(group, &own).filter_map(|(name, value)| {
                Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
            });
            let hosts = self.parts.headers.get_all(HOST).iter().map(|host| (HOST, host.clone()));
            edited.parts.headers = hosts.chain(fields).collect();
        }
        edited
    }

    /// Returns this request for the whole response: a GET, or a QUERY, without conditions or ranges.
    pub(crate) fn whole(&self) -> Self {
        let mut whole = self.clone();
        whole.parts.method = self.load_method();
        for name in CONDITIONAL_FIELDS {
            whole.parts.headers.remove(name);
        }
        whole
    }

    /// Returns this request with these fields. None: they are no fields.
    pub(crate) fn with(&self, fields: &[(&'static str, Vec<u8>)]) -> Option<Self> {
        let mut with = self.clone();
        for (name, value) in fields {
            with.parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?);
        }
        Some(with)
    }

    /// Returns this request as one for a slice: whole, and without what its client asks of freshness.
    pub(crate) fn for_slices(&self) -> Self {
        let mut head = self.whole();
        head.parts.headers.remove(CACHE_CONTROL);
        head.parts.headers.remove(PRAGMA);
        head
    }

    /// Returns the method of a load for this request.
    pub(crate) fn load_method(&self) -> Method {
        if self.content.is_some() { self.parts.method.clone() } else { Method::GET }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Returns the certificate that the client has shown.
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.parts.extensions.get::<TlsSession>()?.certificate()
    }

    /// Returns the version of HTTP that it was sent with.
    pub(crate) fn version(&self) -> http::Version {
        self.parts.version
    }

    /// Returns where interim responses go, if anywhere.
    pub(crate) fn interim(&self) -> Option<&Interim> {
        self.interim.as_ref()
    }

    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns host and port as sent.
    pub(crate) fn authority(&self) -> &[u8] {
        match self.authority {
            Authority::Target => self.parts.uri.authority().map_or(b"", |authority| authority.as_str().as_bytes()),
            Authority::Field(name) => self.parts.headers.get(name).map_or(b"", |value| value.as_bytes()),
        }
    }

    /// Returns path and query as sent.
    pub(crate) fn target(&self) -> &str {
        self.parts.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// Returns the same, read once.
    pub(crate) fn path_and_query(&self) -> Option<PathAndQuery> {
        self.parts.uri.path_and_query().cloned()
    }

    /// Returns all fields but Host.
    pub(crate) fn fields(&self) -> Fields<'_> {
        let is_other = |name: &HeaderName| *name != HOST;
        self.parts
            .headers
            .iter()
            .filter(|(name, _)| is_other(name))
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
            .collect()
    }

    /// Returns the protocol's view of the request. `fields`: those of [`RequestHead::fields`].
    pub(crate) fn request<'a>(&'a self, fields: &'a [Field<'a>]) -> Result<Request<'a>, RequestError> {
        let method = if self.content.is_some() { "GET" } else { self.parts.method.as_str() };
        Request::read(method.as_bytes(), self.scheme().as_bytes(), self.authority(), self.target().as_bytes(), fields)
    }

    /// Returns the same view with `/` as its path: a request with an ambiguous path is routed by its host alone.
    pub(crate) fn host_only<'a>(&'a self, fields: &'a [Field<'a>]) -> Result<Request<'a>, RequestError> {
        Request::read(self.parts.method.as_str().as_bytes(), self.scheme().as_bytes(), self.authority(), b"/", fields)
    }

    /// Returns what a proxy or a peer asks beside the request; `None` for a plain request.
    pub(crate) fn question(fields: &[Field<'_>]) -> Result<Option<Question>, BadQuestion> {
        match Question::read(fields) {
            Ok(question) => Ok(Some(question)),
            Err(BadQuestion::NotOne) => Ok(None),
            Err(bad) => Err(bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::COOKIE;

    fn head(port: Port, uri: &str, headers: &[(&'static str, &'static str)]) -> Result<RequestHead, BadHead> {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        RequestHead::read(port, request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_head_has_exactly_one_authority() {
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
        let fields = [("meshcache-wire", "1"), ("meshcache-authority", "h"), ("meshcache-scheme", "https")];
        let call = head(Port::Peer, "http://peer-1/x", &fields).unwrap();
        assert_eq!((call.authority(), call.scheme()), (&b"h"[..], "https"));
        let own = [("authorization", "Bearer token"), ("meshcache-authorization", "Basic me")];
        let authorized = head(Port::Peer, "http://peer-1/x", &[&fields[..], &own].concat()).unwrap();
        assert_eq!(authorized.headers().get(AUTHORIZATION).unwrap(), "Basic me");
        assert_eq!(head(Port::Peer, "http://peer-1/x", &[("meshcache-wire", "1")]).unwrap_err(), BadHead::Call);
        let crumbs = |version| {
            let request = http::Request::builder()
                .uri("http://h/")
                .version(version)
                .header("cookie", "a=b")
                .header("cookie", "c=d");
            let head =
                RequestHead::read(Port::Data, request.header("host", "h").body(()).unwrap().into_parts().0).unwrap();
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
