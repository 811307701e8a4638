//! A request's head as Envoy hands it over: pseudo-headers, fields, and our own headers, which no client may send,
//! apart.

use crate::pairs::Pairs;
use meshcache_protocol::{
    Field, Request,
    forwarding::strips_from_request,
    request::{FORWARDED_PROTO, RequestError, scheme, values},
    wire::{PREFIX, header},
};
use smallvec::SmallVec;

/// A request's head, read in place.
pub struct Head<'a> {
    method: &'a [u8],
    scheme: &'static str,
    authority: &'a [u8],
    target: &'a [u8],
    fields: SmallVec<[Field<'a>; 32]>,
    /// The meshcache-* headers that it came with.
    pub control: Control,
}

/// The meshcache-* headers of a request. They are not among its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// There is one.
    pub any: bool,
    /// A wish to go past the cache.
    pub bypass: bool,
    /// A wish for reasons and key in Cache-Status.
    pub debug: bool,
    /// A question to a coordinator.
    pub question: bool,
}

impl<'a> Head<'a> {
    /// Reads a header map. `None` for bytes that are no map.
    pub fn read(map: &'a [u8]) -> Option<Self> {
        let mut head = Self {
            method: b"",
            scheme: "http",
            authority: b"",
            target: b"",
            fields: SmallVec::new(),
            control: Control::default(),
        };
        let mut own: &[u8] = b"";
        for (name, value) in Pairs::of(map)? {
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
        head.strip();
        head.scheme = scheme(values(&head.fields, FORWARDED_PROTO), own);
        Some(head)
    }

    /// Takes out what belongs to the client's connection: what is keyed, and what Vary compares, is what an origin is
    /// sent.
    fn strip(&mut self) {
        let lines: SmallVec<[&[u8]; 2]> =
            self.fields.iter().filter(|(name, _)| *name == b"connection").map(|(_, value)| *value).collect();
        if !lines.is_empty() {
            self.fields.retain(|(name, _)| !strips_from_request(lines.iter().copied(), name));
        }
    }

    /// The method.
    pub fn method(&self) -> &'a [u8] {
        self.method
    }

    /// All fields but Host and our own.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The pseudo-headers, as a call needs them.
    pub fn pseudo(&self) -> [(&'static str, &'a [u8]); 4] {
        [
            (":method", self.method),
            (":scheme", self.scheme().as_bytes()),
            (":authority", self.authority),
            (":path", self.target),
        ]
    }

    /// `http` or `https`: what is keyed, and what a coordinator is told.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The request. Our own headers are not in it.
    pub fn request(&self) -> Result<Request<'_>, RequestError> {
        Request::read(self.method, self.scheme().as_bytes(), self.authority, self.target, &self.fields)
    }

    /// The request for the root of its host, whatever its target: for whose it is where its target cannot be read.
    pub fn host_only(&self) -> Result<Request<'_>, RequestError> {
        Request::read(self.method, self.scheme().as_bytes(), self.authority, b"/", &self.fields)
    }
}

impl Control {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        self.any = true;
        let is = |wanted: &str| name == wanted.as_bytes();
        self.bypass |= is(header::BYPASS) && value == b"1";
        self.debug |= is(header::DEBUG) && value == b"1";
        self.question |= is(header::WIRE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs;

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
            let map = pairs::write(fields.into_iter().chain(forwarded));
            let head = Head::read(&map).unwrap();
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
        let map = pairs::write(fields.into_iter());
        let head = Head::read(&map).unwrap();
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
        let map = pairs::write(fields.into_iter());
        let head = Head::read(&map).unwrap();
        let request = head.request().unwrap();
        assert_eq!(request.fields, [(&b"x"[..], &b"1"[..])]);
        assert_eq!(
            (request.method, request.scheme, request.authority, request.path, request.query),
            (&b"GET"[..], "https", "h", "/a", Some("b"))
        );
        assert_eq!(head.control, Control { any: true, debug: true, ..Control::default() });
    }
}
