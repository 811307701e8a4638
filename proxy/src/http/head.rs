//! The head of a client's request: pseudo-headers, fields and, apart, our own headers, which no client may send.

use crate::http::header_map::{self, HeaderMap};
use meshcache_protocol::{
    Field, Group, Request,
    forwarding::strips_from_request,
    request::{FORWARDED_PROTO, RequestError, scheme, values},
    wire::{PREFIX, header},
};
use smallvec::SmallVec;

/// A request's head. It borrows from where it was read.
pub struct RequestHead<'a> {
    method: &'a [u8],
    scheme: &'static str,
    authority: &'a [u8],
    target: &'a [u8],
    fields: SmallVec<[Field<'a>; 32]>,
    /// The fields are all that the request has.
    is_whole: bool,
    /// The meshcache-* headers of the request.
    pub control: ControlHeaders,
}

/// What Envoys themselves add to requests, after `x-envoy-`. It changes no response of a service.
const OF_ENVOY: [&[u8]; 7] = [
    b"attempt-count",
    b"decorator-operation",
    b"expected-rq-timeout-ms",
    b"external-address",
    b"internal",
    b"peer-metadata",
    b"peer-metadata-id",
];

/// The meshcache-* headers of a request. They are not among its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlHeaders {
    /// The request has at least one of them.
    pub any: bool,
    /// It asks to bypass the cache.
    pub bypass: bool,
    /// It asks for reasons and key in Cache-Status.
    pub debug: bool,
}

impl<'a> RequestHead<'a> {
    /// Reads a header map. Returns `None` for bytes that are no map.
    pub fn read(map: &'a [u8]) -> Option<Self> {
        HeaderMap::parse(map).map(Self::of)
    }

    /// Reads pseudo-headers and fields in any order.
    pub fn of(fields: impl Iterator<Item = Field<'a>>) -> Self {
        let mut head = Self {
            method: b"",
            scheme: "http",
            authority: b"",
            target: b"",
            fields: SmallVec::new(),
            is_whole: true,
            control: ControlHeaders::default(),
        };
        let mut own: &[u8] = b"";
        for (name, value) in fields {
            match name {
                [b':', ..] => match name {
                    b":method" => head.method = value,
                    b":scheme" => own = value,
                    b":authority" => head.authority = value,
                    b":path" => head.target = value,
                    _ => {}
                },
                [b'm', ..] if name.starts_with(PREFIX.as_bytes()) => head.control.note(name, value),
                b"host" => {}
                _ => head.fields.push((name, value)),
            }
        }
        head.strip_connection();
        head.scheme = scheme(values(&head.fields, FORWARDED_PROTO), own);
        head
    }

    /// Removes the fields of the client's connection: key and Vary see what an origin is sent.
    fn strip_connection(&mut self) {
        let lines: SmallVec<[&[u8]; 2]> =
            self.fields.iter().filter(|(name, _)| *name == b"connection").map(|(_, value)| *value).collect();
        if !lines.is_empty() {
            let all = self.fields.len();
            self.fields.retain(|(name, _)| !strips_from_request(lines.iter().copied(), name));
            self.is_whole = self.fields.len() == all;
        }
    }

    /// The method.
    pub fn method(&self) -> &'a [u8] {
        self.method
    }

    /// Host and port, as sent.
    pub fn authority(&self) -> &'a [u8] {
        self.authority
    }

    /// All fields except Host and our own.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The pseudo-headers, as a callout needs them.
    pub fn pseudo(&self) -> [(&'static str, &'a [u8]); 4] {
        [
            (":method", self.method),
            (":scheme", self.scheme().as_bytes()),
            (":authority", self.authority),
            (":path", self.target),
        ]
    }

    /// `http` or `https`, as it is in the key and as a coordinator gets it.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The request, without our own headers.
    pub fn request(&self) -> Result<Request<'_>, RequestError> {
        Request::read(self.method, self.scheme().as_bytes(), self.authority, self.target, &self.fields)
    }

    /// The request for the root of its host. It finds the group of a host where the target cannot be read.
    pub fn host_only(&self) -> Result<Request<'_>, RequestError> {
        Request::read(self.method, self.scheme().as_bytes(), self.authority, b"/", &self.fields)
    }

    /// The same under another scheme.
    pub fn host_only_as<'s>(&'s self, scheme: &'s str) -> Result<Request<'s>, RequestError> {
        Request::read(self.method, scheme.as_bytes(), self.authority, b"/", &self.fields)
    }

    /// Returns the head as a group looks it up: without the fields that the group drops.
    pub fn edited<'g>(&'g self, group: &'g Group) -> RequestHead<'g> {
        let fields: SmallVec<[Field<'g>; 32]> = group.edited(&self.fields).collect();
        RequestHead {
            is_whole: self.is_whole && fields.iter().copied().eq(self.fields.iter().copied()),
            fields,
            ..*self
        }
    }

    /// Whether it goes to the service as a load would send it: nothing was left out that a proxy sends all the same, and
    /// nothing steers the proxy's answer that a coordinator is not told.
    pub fn goes_as_load(&self) -> bool {
        let steers = |name: &[u8]| name.strip_prefix(b"x-envoy-").is_some_and(|rest| !OF_ENVOY.contains(&rest));
        self.is_whole && !self.fields.iter().any(|(name, _)| steers(name))
    }

    /// Copies the head into a header map, for a request that waits. [`RequestHead::read`] reads the same request from
    /// it.
    pub fn encode(&self) -> Vec<u8> {
        header_map::encode(self.all())
    }

    /// The length of [`RequestHead::encode`].
    pub fn encoded_len(&self) -> usize {
        header_map::encoded_len(self.all())
    }

    fn all(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.pseudo().into_iter().map(|(name, value)| (name.as_bytes(), value)).chain(self.fields.iter().copied())
    }
}

impl ControlHeaders {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        self.any = true;
        let is = |wanted: &str| name == wanted.as_bytes();
        self.bypass |= is(header::BYPASS) && value == b"1";
        self.debug |= is(header::DEBUG) && value == b"1";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::header_map;

    #[test]
    fn the_scheme_is_the_one_that_a_coordinator_would_key() {
        for (own, forwarded, expected) in [
            ("http", Some("https"), "https"),
            ("https", Some("http"), "http"),
            ("https", None, "https"),
            ("https", Some("ftp"), "https"),
        ] {
            let forwarded = forwarded.map(|value: &str| (&b"x-forwarded-proto"[..], value.as_bytes()));
            let fields = [(&b":scheme"[..], own.as_bytes()), (b":path", b"/"), (b":authority", b"h")];
            let map = header_map::encode(fields.into_iter().chain(forwarded));
            let head = RequestHead::read(&map).unwrap();
            assert_eq!((head.scheme(), head.request().unwrap().scheme), (expected, expected), "{own} {forwarded:?}");
        }
    }

    #[test]
    fn what_connection_names_is_no_field_of_a_request() {
        let fields: [Field; 6] = [
            (b":method", b"GET"),
            (b"x-tenant", b"acme"),
            (b"connection", b"close, X-Tenant"),
            (b"cookie", b"a=b"),
            (b"connection", b"cookie"),
            (b"x", b"1"),
        ];
        let map = header_map::encode(fields.into_iter());
        let head = RequestHead::read(&map).unwrap();
        let names: Vec<_> = head.fields().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [&b"connection"[..], b"cookie", b"connection", b"x"]);
    }

    #[test]
    fn our_own_headers_are_no_fields_of_a_request() {
        let fields: [Field; 7] = [
            (b":method", b"GET"),
            (b":path", b"/a?b"),
            (b":authority", b"h"),
            (b":scheme", b"https"),
            (b"meshcache-debug", b"1"),
            (b"meshcache-hop", b"1"),
            (b"x", b"1"),
        ];
        let map = header_map::encode(fields.into_iter());
        let head = RequestHead::read(&map).unwrap();
        let request = head.request().unwrap();
        assert_eq!(request.fields, [(&b"x"[..], &b"1"[..])]);
        assert_eq!(
            (request.method, request.scheme, request.authority, request.path, request.query),
            (&b"GET"[..], "https", "h", "/a", Some("b"))
        );
        assert_eq!(head.control, ControlHeaders { any: true, debug: true, ..ControlHeaders::default() });
    }

    #[test]
    fn a_request_is_the_same_after_its_head_was_copied_for_later() {
        let fields: [Field; 9] = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"h"),
            (b":path", b"/a?b"),
            (b"host", b"other"),
            (b"x-forwarded-proto", b"https"),
            (b"connection", b"x-tenant"),
            (b"x-tenant", b"acme"),
            (b"meshcache-debug", b"1"),
        ];
        let map = header_map::encode(fields.into_iter());
        let head = RequestHead::read(&map).unwrap();
        let copy = head.encode();
        let copied = RequestHead::read(&copy).unwrap();
        assert_eq!((copied.pseudo(), copied.fields()), (head.pseudo(), head.fields()));
        assert!(head.control.debug && !copied.control.any, "our own headers are left out");
        assert_eq!(copy.len(), head.encoded_len());
    }
}
