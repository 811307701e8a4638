//! What of a request may explain its response and is not in its key: fields, cookies, parameters, the route.
//!
//! Of values there are only hashes, by a key that never leaves the process. Names are told to people, so one that is
//! long or not plain is left out.

use crate::{
    forwarding::{is_hop_by_hop, never_to_origin},
    observe::passed::{PassedResponse, digest_of},
    request::Request,
};

/// The most parts of one request that are kept.
const MAX_PARTS: usize = 48;
/// The most bytes that they take.
const MAX_BYTES: usize = 2048;
/// The most lines of fields, cookies of a line, and pairs of the query that are looked at, and the most pieces of all of
/// them: each is compared with each.
const MAX_LIST: usize = 64;
/// The longest name.
const MAX_NAME: usize = 64;
/// The longest URL that is told, bytes.
const MAX_URL: usize = 256;
/// Fields that are in the key, are looked at one by one, or say nothing about what is wanted.
const LEFT_OUT: [&[u8]; 4] = [b"host", b"content-length", b"expect", b"cdn-loop"];

/// The part of a request that says that a coordinator loaded its response, and not the proxy's route.
pub const COORDINATOR: &str = "coordinator";
/// The part that is Envoy's route.
pub const ROUTE: &str = "route";
/// The part that is the host, in a group whose hosts share responses.
pub const HOST: &str = "host";

/// The parts of one request: for each the length of its name, the name (`header x-tenant`), and 4 bytes of hash.
#[derive(Default)]
pub(super) struct Parts(Vec<u8>);

/// What a part is made of: its kind, its name, and one of its values.
type Piece<'a> = (&'static str, &'a [u8], &'a [u8]);

impl Parts {
    /// Returns the parts of a request.
    pub(super) fn of(passed: &PassedResponse<'_>, key: u64) -> Self {
        let pieces = pieces(passed);
        let is_same = |one: &Piece<'_>, other: &Piece<'_>| one.0 == other.0 && one.1 == other.1;
        let is_first = |(at, piece): &(usize, &Piece<'_>)| {
            (piece.1.is_empty() || is_name(piece.1)) && !pieces.iter().take(*at).any(|before| is_same(before, piece))
        };
        let mut parts = Self::default();
        for (_, piece) in pieces.iter().enumerate().filter(is_first).take(MAX_PARTS) {
            let mut values = pieces.iter().filter(|other| is_same(other, piece)).map(|other| other.2);
            parts.add(piece.0, piece.1, digest_of(key, &mut values).0 as u32);
        }
        parts.0.shrink_to_fit();
        parts
    }

    fn add(&mut self, kind: &str, name: &[u8], hash: u32) {
        let gap: &[u8] = if name.is_empty() { b"" } else { b" " };
        let length = kind.len().saturating_add(gap.len()).saturating_add(name.len());
        if self.0.len().saturating_add(length) < MAX_BYTES {
            self.0.push(length as u8);
            for piece in [kind.as_bytes(), gap, name, &hash.to_le_bytes()] {
                self.0.extend_from_slice(piece);
            }
        }
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Returns the names of the parts in which two requests differ, those included that one of them lacks.
    pub(super) fn unlike(&self, other: &Self) -> Vec<String> {
        let differs = |parts: &Self, (name, hash): (&[u8], [u8; 4])| {
            parts.each().find(|(own, _)| *own == name).is_none_or(|(_, own)| own != hash)
        };
        let lacks = |(name, _): &(&[u8], [u8; 4])| self.each().all(|(own, _)| own != *name);
        let own = self.each().filter(|part| differs(other, *part));
        let all = own.chain(other.each().filter(lacks));
        all.filter_map(|(name, _)| Some(std::str::from_utf8(name).ok()?.to_owned())).collect()
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], [u8; 4])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(usize::from(*length))?;
            let (hash, after) = after.split_first_chunk::<4>()?;
            rest = after;
            Some((name, *hash))
        })
    }
}

/// Returns what a request has besides its key: the first [`MAX_LIST`] of it.
fn pieces<'a>(passed: &PassedResponse<'a>) -> Vec<Piece<'a>> {
    let PassedResponse { group, request, route, by_coordinator, .. } = *passed;
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    if by_coordinator {
        pieces.push((COORDINATOR, b"", b""));
    }
    if let Some(route) = route.filter(|_| !group.keys_route()) {
        pieces.push((ROUTE, b"", route.as_bytes()));
    }
    if group.shares_hosts() {
        pieces.push((HOST, b"", request.authority.as_bytes()));
    }
    for (name, value) in request.fields.iter().take(MAX_LIST) {
        if *name == b"cookie" {
            for pair in value.split(|b| *b == b';').take(MAX_LIST) {
                if pieces.len() < MAX_LIST
                    && let Some((name, value)) = halves(pair)
                    && !group.key_cookies().any(|keyed| keyed.as_bytes() == name)
                {
                    pieces.push(("cookie", name, value));
                }
            }
        } else if pieces.len() < MAX_LIST
            && may_explain(name)
            && !group.key_headers().any(|keyed| keyed.as_bytes() == *name)
        {
            pieces.push(("header", name, value));
        }
    }
    for pair in request.query.unwrap_or_default().split('&').take(MAX_LIST) {
        if pieces.len() < MAX_LIST
            && let Some((name, value)) = halves(pair.as_bytes())
            && !group.keeps_parameter(pair)
        {
            pieces.push(("query", name, value));
        }
    }
    pieces
}

/// Returns name and value of a cookie or parameter. What has nothing but `=` after its first `=` has no name: it may be a
/// value, with the padding of Base64.
fn halves(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = pair.split_at_checked(pair.iter().position(|b| *b == b'=')?)?;
    let name = name.trim_ascii();
    let has_value = value.trim_ascii().iter().any(|b| *b != b'=');
    (!name.is_empty() && has_value).then_some((name, value))
}

fn may_explain(name: &[u8]) -> bool {
    !LEFT_OUT.contains(&name) && !is_hop_by_hop(name) && !never_to_origin(name)
}

/// Returns whether a name may be told: it is not longer than others, and nothing but a name.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~$!*+[]%".contains(b);
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(is_plain)
}

/// Returns a request's URL as it may be told: without what is no plain text, and of the query the names alone.
pub(super) fn url(request: &Request<'_>) -> String {
    let mut url = String::new();
    let path = request.normal_path();
    for piece in [request.scheme, "://", request.authority, &*path] {
        for c in piece.chars() {
            url.push(if c.is_ascii_graphic() { c } else { '_' });
        }
    }
    let mut mark = '?';
    for pair in request.query.unwrap_or_default().split('&').take(MAX_LIST) {
        if let Some(name) = halves(pair.as_bytes()).map(|(name, _)| name).filter(|name| is_name(name)) {
            url.push(std::mem::replace(&mut mark, '&'));
            url.extend(name.iter().map(|b| char::from(*b)));
        }
    }
    url.truncate(MAX_URL);
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        freshness::Times,
        groups::Group,
        key::Key,
        request::{Field, Response},
    };

    #[test]
    fn many_lines_of_many_cookies_make_no_more_pieces_than_one() {
        let group = Group::for_tests(r#"{"share": {"cookie": true}, "key": {"query": {"exclude": ["*"]}}}"#);
        let line = |of: usize| (0..64).map(|n| format!("c{of}-{n}=1")).collect::<Vec<_>>().join(";");
        let lines: Vec<String> = (0..60).map(line).collect();
        let cookies: Vec<Field<'_>> = lines.iter().map(|line| (&b"cookie"[..], line.as_bytes())).collect();
        let headers: Vec<Field<'_>> = lines.iter().map(|line| (&b"x-a"[..], line.as_bytes())).collect();
        for (fields, parts) in [(cookies, MAX_PARTS), (headers, 5)] {
            let request = Request::read(b"GET", b"http", b"h", b"/?a=1&b=1&c=1&d=1&e=1&f=1", &fields).unwrap();
            let passed = PassedResponse {
                group: &group,
                key: &Key::of(&group, &request, None),
                request: &request,
                verified: false,
                response: &Response { status: 200, fields: &[] },
                times: Times { requested: 0, responded: 0 },
                route: None,
                by_coordinator: false,
            };
            assert_eq!(pieces(&passed).len(), MAX_LIST);
            assert_eq!(Parts::of(&passed, 0).each().count(), parts);
        }
    }
}
