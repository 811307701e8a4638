//! The cache key of a request: length-prefixed parts, so that no two requests share a key by concatenation.

use crate::{
    groups::Group,
    hash::Hash,
    request::{Cookie, Flags, REROUTING, Request},
};
use smallvec::SmallVec;
use std::{borrow::Cow, fmt};

/// The cache key. Requests with equal keys are for the same resource; GET and HEAD share a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: Box<[u8]>,
    hash: Hash,
}

/// The parts of a key that purges match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The group's name.
    pub group: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The service's name in a group by `service`, else host and port; empty where the group's hosts share responses.
    pub authority: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query with its `?`; empty where there is none.
    pub query: &'a str,
}

/// A part of a key beyond the URL: a header, a cookie, the route, content, a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More<'a> {
    /// What it is: `h`, `c`, `r`, `x`, `b`, `s`.
    pub kind: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// The first of its values. It may be secret.
    pub first: Option<&'a [u8]>,
}

impl Key {
    /// Makes the key of a request in a group. `route`: the [`crate::Route`] that the proxy chose, for a group with
    /// `key.route`.
    pub fn of(group: &Group, request: &Request<'_>, route: Option<&[u8]>) -> Self {
        RequestKey::of(group, request, route).to_key()
    }

    /// Returns the key of a request with content, whose answer depends on it (QUERY, RFC 10008 section 2.7). `digest`: of
    /// the content and the fields that describe it. A hash of which nobody finds two equal: whoever did would be given
    /// the answer to another's query, and could choose what others get.
    #[must_use]
    pub fn with_content(self, digest: &[u8]) -> Self {
        let mut bytes = self.bytes.into_vec();
        many(&mut |part| frame(&mut bytes, &[part]), b"b", b"content", std::iter::once(digest));
        Self::from_bytes(bytes)
    }

    /// Makes a key of the bytes of [`Key::bytes`].
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let hash = Hash::of(&bytes);
        Self { bytes: bytes.into_boxed_slice(), hash }
    }

    /// The key's bytes: each part as its length (4 bytes, little-endian) and itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its hash.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The key by reference.
    pub fn by_ref(&self) -> KeyRef<'_> {
        KeyRef { bytes: &self.bytes, hash: self.hash }
    }

    /// Returns the parts that purges match. `None`: the bytes are no key.
    pub fn parts(&self) -> Option<Parts<'_>> {
        let mut frames = self.frames().map(|part| std::str::from_utf8(part).ok());
        let mut next = || frames.next().flatten();
        Some(Parts { group: next()?, scheme: next()?, authority: next()?, path: next()?, query: next()? })
    }

    /// Returns the parts beyond those of [`Key::parts`].
    pub fn more(&self) -> impl Iterator<Item = More<'_>> {
        let mut frames = self.frames().skip(5);
        std::iter::from_fn(move || {
            let (kind, name, count) = (frames.next()?, frames.next()?, frames.next()?);
            let count = u32::from_le_bytes(*count.first_chunk::<4>()?) as usize;
            let first = (count > 0).then(|| frames.next()).flatten();
            (1..count).try_for_each(|_| frames.next().map(drop))?;
            Some(More { kind, name, first })
        })
    }

    fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.bytes;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some(part)
        })
    }
}

/// A key by reference, as a look-up needs it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyRef<'a> {
    bytes: &'a [u8],
    hash: Hash,
}

impl KeyRef<'_> {
    /// Its hash.
    pub fn hash(self) -> Hash {
        self.hash
    }

    /// Returns whether it is this key.
    pub fn is(self, key: &Key) -> bool {
        self == key.by_ref()
    }
}

/// The key of a request, which nothing keeps yet: it allocates nothing, unless it is long.
#[derive(Clone)]
pub struct RequestKey {
    bytes: SmallVec<[u8; 256]>,
    hash: Hash,
}

impl RequestKey {
    /// Makes the key of a request, as [`Key::of`] does.
    pub fn of(group: &Group, request: &Request<'_>, route: Option<&[u8]>) -> Self {
        let (name, authority, path, query) =
            (group.name(), authority(group, request), request.normal_path(), request.normal_query());
        let query = group.query(query.as_deref());
        let mark = if query.is_some() { "?" } else { "" };
        let query = query.unwrap_or_default();
        let mut bytes = SmallVec::new();
        let mut put = |pieces: &[&[u8]]| frame_by(pieces, |piece| bytes.extend_from_slice(piece));
        for part in [name, request.scheme, &*authority, &*path] {
            put(&[part.as_bytes()]);
        }
        put(&[mark.as_bytes(), query.as_bytes()]);
        let mut part = |part: &[u8]| put(&[part]);
        for name in group.key_headers() {
            many(&mut part, b"h", name.as_bytes(), request.values(name));
        }
        for name in group.key_cookies() {
            let value = match request.cookie(name) {
                Cookie::Once(value) => Some(value),
                // Such a request passes (`Group::has_ambiguous_cookie`).
                Cookie::Absent | Cookie::Ambiguous => None,
            };
            many(&mut part, b"c", name.as_bytes(), value.into_iter());
        }
        if group.keys_route() {
            many(&mut part, b"r", b"route", route.into_iter());
        }
        if request.flags.any(Flags::REROUTING) {
            for name in REROUTING.into_iter().filter(|name| !group.drops(name)) {
                let values = request.fields.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v);
                if values.clone().next().is_some() {
                    many(&mut part, b"x", name, values);
                }
            }
        }
        let hash = Hash::of(&bytes);
        Self { bytes, hash }
    }

    /// The key by reference.
    pub fn by_ref(&self) -> KeyRef<'_> {
        KeyRef { bytes: &self.bytes, hash: self.hash }
    }

    /// Returns the key, to be kept.
    pub fn to_key(&self) -> Key {
        Key { bytes: (&*self.bytes).into(), hash: self.hash }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `group http://authority/path?query`, for logs and `meshcache-debug`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            Some(p) => write!(f, "{} {}://{}{}{}", p.group, p.scheme, p.authority, p.path, p.query),
            None => f.write_str("(no key)"),
        }
    }
}

/// Returns the authority in the key, which a load also sends where the origin gets the client's: the service's name, or
/// the host in lower case without its default port; empty where the group's hosts share responses.
pub fn authority<'a>(group: &'a Group, request: &Request<'a>) -> Cow<'a, str> {
    if group.shares_hosts() {
        return Cow::Borrowed("");
    }
    if let Some(service) = group.service() {
        return Cow::Borrowed(service);
    }
    match request.host_port() {
        (host, None) => host,
        (host, Some(port)) => Cow::Owned(format!("{host}:{port}")),
    }
}

/// Appends one part of a key's bytes, given in pieces.
pub fn frame(bytes: &mut Vec<u8>, pieces: &[&[u8]]) {
    frame_by(pieces, |piece| bytes.extend_from_slice(piece));
}

fn frame_by(pieces: &[&[u8]], mut put: impl FnMut(&[u8])) {
    // A part comes from one header block, far below 4 GiB; were it longer, the whole length still separates keys.
    let length = pieces.iter().map(|piece| piece.len()).sum::<usize>() as u32;
    put(&length.to_le_bytes());
    pieces.iter().for_each(|piece| put(piece));
}

/// Appends a named list of values: kind, name, number, each value. Absent and empty differ.
pub(crate) fn many<'a>(
    part: &mut impl FnMut(&[u8]),
    kind: &[u8],
    name: &[u8],
    values: impl Iterator<Item = &'a [u8]> + Clone,
) {
    part(kind);
    part(name);
    part(&(values.clone().count() as u32).to_le_bytes());
    values.for_each(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    fn group(json: &str) -> Group {
        Group::for_tests(json)
    }

    fn key(group: &Group, authority: &'static str, target: &'static str, fields: &'static [Field<'static>]) -> Key {
        Key::of(group, &Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), fields).unwrap(), None)
    }

    #[test]
    fn no_two_requests_share_a_key_by_concatenation() {
        let g = group(r#"{"key": {"headers": ["a", "b"]}}"#);
        let one = key(&g, "h", "/x", &[(b"a", b"1"), (b"b", b"1x")]);
        let two = key(&g, "h", "/x", &[(b"a", b"11"), (b"b", b"x")]);
        let absent = key(&g, "h", "/x", &[(b"a", b"11x")]);
        let empty = key(&g, "h", "/x", &[(b"a", b"11x"), (b"b", b"")]);
        let all = [one, two, absent, empty];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a == b, i == j, "{i} {j}");
            }
        }
        assert_ne!(key(&g, "h", "/x?", &[]), key(&g, "h", "/x", &[]));
    }

    #[test]
    fn every_name_of_a_service_is_one_key_and_every_host_its_own() {
        let service = group(r#"{"match": {"service": "config.platform"}}"#);
        assert_eq!(key(&service, "config.platform:9000", "/x", &[]), key(&service, "Config.platform.svc", "/x", &[]));
        let hosts = group(r#"{"match": {"hosts": ["*.example.com"]}}"#);
        assert_ne!(key(&hosts, "a.example.com", "/x", &[]), key(&hosts, "b.example.com", "/x", &[]));
        assert_eq!(key(&hosts, "A.example.com:80", "/x", &[]), key(&hosts, "a.example.com", "/x", &[]));
        assert_ne!(key(&hosts, "a.example.com:81", "/x", &[]), key(&hosts, "a.example.com", "/x", &[]));
    }

    #[test]
    fn hosts_of_a_group_share_a_key_where_it_says_so_and_schemes_and_gateways_do_not() {
        let g = group(r#"{"match": {"hosts": ["a", "*.b"]}, "key": {"host": "none"}}"#);
        let one = key(&g, "a", "/x?q", &[]);
        assert!(one == key(&g, "c.b", "/x?q", &[]) && one == key(&g, "A:8080", "/x?q", &[]));
        assert_eq!((one.parts().unwrap().authority, one.to_string().as_str()), ("", "g http:///x?q"));
        assert_ne!(one, key(&g, "a", "/x", &[]));
        assert_ne!(one, key(&g, "a", "/x?q", &[(b"x-forwarded-host", b"c.b")]));
        let secure = Request::read(b"GET", b"https", b"a", b"/x?q", &[]).unwrap();
        assert_ne!(one, Key::of(&g, &secure, None), "the origin is told the scheme");
        let other = group(r#"{"name": "h", "match": {"hosts": ["a"]}, "key": {"host": "none"}}"#);
        assert_ne!(one, key(&other, "a", "/x?q", &[]));
    }

    #[test]
    fn of_the_query_only_what_the_group_names_is_kept() {
        let g = group(r#"{"key": {"query": {"include": ["q", "page_*"], "exclude": ["page_x"]}}}"#);
        for (sent, kept) in [
            ("/x?q=1&utm_a=2&page_b=3&page_x=4", "?q=1&page_b=3"),
            ("/x?%71=1", "?q=1"),
            ("/x?q&Q=1&qq=2", "?q"),
            ("/x?q=1&q=2", "?q=1&q=2"),
            ("/x?a=1", ""),
            ("/x?", ""),
            ("/x?&&", ""),
            ("/x", ""),
        ] {
            assert_eq!(key(&g, "h", sent, &[]).parts().unwrap().query, kept, "{sent}");
        }
        let sorted = group(r#"{"key": {"query": {"include": ["*"], "sort": true}}}"#);
        assert_eq!(key(&sorted, "h", "/x?b=2&a=1", &[]).parts().unwrap().query, "?a=1&b=2");
    }

    #[test]
    fn what_can_change_the_resource_is_in_the_key() {
        let g = group("{}");
        assert_ne!(key(&g, "h", "/x", &[(b"x-forwarded-host", b"evil")]), key(&g, "h", "/x", &[]));
        assert_eq!(key(&g, "h", "/x", &[(b"x-other", b"1")]), key(&g, "h", "/x", &[]));
        let plain = key(&g, "h", "/x", &[]);
        for name in REROUTING {
            let (one, other): ([Field<'_>; 1], [Field<'_>; 1]) = ([(name, b"a")], [(name, b"b")]);
            let of =
                |fields: &[Field<'_>]| Key::of(&g, &Request::read(b"GET", b"http", b"h", b"/x", fields).unwrap(), None);
            assert!(of(&one) != plain && of(&one) != of(&other), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn equivalent_urls_are_one_key() {
        let g = group(r#"{"match": {"hosts": ["*"]}, "key": {"query": {"exclude": ["utm_*"]}}}"#);
        let one = key(&g, "x", "/~user/%C3%BC?q=%C3%BC", &[]);
        for (authority, target) in [
            ("x.", "/~user/%C3%BC?q=%C3%BC"),
            ("X.:80", "/%7Euser/%c3%bc?q=%c3%bc"),
            ("x:0080", "/%7euser/%C3%bc?%71=%C3%BC"),
            ("x:", "/~%75ser/%C3%BC?%75tm_x=1&q=%C3%BC"),
        ] {
            assert_eq!(key(&g, authority, target, &[]), one, "{authority}{target}");
        }
        assert_ne!(key(&g, "x", "/~user/%C3%BC?q=%c3%bd", &[]), one);
        assert_eq!(one.parts().unwrap().path, "/~user/%C3%BC");
    }

    #[test]
    fn content_is_a_part_of_a_key() {
        let plain = || key(&group("{}"), "h", "/x?b=1", &[]);
        let (one, other) = (plain().with_content(&[1; 32]), plain().with_content(&[2; 32]));
        assert!(one != other && one != plain() && one == plain().with_content(&[1; 32]));
        assert_eq!(one.parts(), plain().parts(), "a purge of the URL finds it");
    }

    #[test]
    fn a_key_has_its_parts() {
        let k = key(&group("{}"), "h", "/x?b=1", &[]);
        let parts = k.parts().unwrap();
        assert_eq!(
            (parts.group, parts.scheme, parts.authority, parts.path, parts.query),
            ("g", "http", "h", "/x", "?b=1")
        );
        assert_eq!(Key::from_bytes(k.bytes().to_vec()), k);
        let g = group(r#"{"key": {"headers": ["a", "b"], "cookies": ["c"]}}"#);
        let k = key(&g, "h", "/x", &[(b"a", b"1"), (b"a", b"2"), (b"cookie", b"c=3")]).with_content(&[4]);
        let more: Vec<_> = k.more().map(|more| (more.kind, more.name, more.first)).collect();
        let some = |value: &'static [u8]| Some(value);
        let all: [(&[u8], &[u8], _); 4] =
            [(b"h", b"a", some(b"1")), (b"h", b"b", None), (b"c", b"c", some(b"3")), (b"b", b"content", some(&[4]))];
        assert_eq!(more, all);
        assert_eq!(Key::from_bytes(vec![9, 0, 0, 0, 1]).parts(), None);
    }
}
