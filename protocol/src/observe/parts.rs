//! What of a request may explain its response and is not in its key: fields, cookies, parameters, the route.
//!
//! Of values there are only hashes, by a key that never leaves the process. Names are told to people, so one that is
//! long or not plain is left out.

use crate::{
    forwarding::{is_hop_by_hop, never_to_origin},
    observe::{PassedResponse, digest_of},
    request::Request,
};

/// The most parts of one request that are kept.
const MAX_PARTS: usize = 48;
/// The most bytes that they take.
const MAX_BYTES: usize = 2048;
/// The most lines of fields that are looked at.
const MAX_FIELDS: usize = 128;
/// The most pairs of cookies, or of the query, that are looked at.
const MAX_PAIRS: usize = 64;
/// The longest name.
const MAX_NAME: usize = 64;
/// The longest URL that is told, bytes.
const MAX_URL: usize = 256;
/// Fields that are in the key, are looked at one by one, or say nothing about what is wanted.
const LEFT_OUT: [&[u8]; 5] = [b"host", b"cookie", b"content-length", b"expect", b"cdn-loop"];

/// The part of a request that says that a coordinator loaded its response, and not the proxy's route.
pub const COORDINATOR: &str = "coordinator";
/// The part that is Envoy's route.
pub const ROUTE: &str = "route";
/// The part that is the host, in a group whose hosts share responses.
pub const HOST: &str = "host";

/// The parts of one request: for each the length of its name, the name (`header x-tenant`), and 4 bytes of hash.
#[derive(Default)]
pub(super) struct Parts(Vec<u8>);

impl Parts {
    /// Returns the parts of a request.
    pub(super) fn of(passed: &PassedResponse<'_>, key: u64) -> Self {
        let PassedResponse { group, request, route, by_coordinator, .. } = *passed;
        let mut parts = Self::default();
        let mut add = |kind: &str, name: &str, hash: u32| parts.add(kind, name, hash);
        if by_coordinator {
            add(COORDINATOR, "", 1);
        }
        if let Some(route) = route.filter(|_| !group.keys_route()) {
            add(ROUTE, "", hash(key, [route.as_bytes()].into_iter()));
        }
        if group.shares_hosts() {
            add(HOST, "", hash(key, [request.authority.as_bytes()].into_iter()));
        }
        let is_keyed = |name: &str| group.key_headers().any(|keyed| keyed == name);
        for (at, (name, _)) in request.fields.iter().take(MAX_FIELDS).enumerate() {
            let is_first = request.fields.iter().take(at).all(|(before, _)| before != name);
            if let Some(text) = plain(name).filter(|text| is_first && may_explain(name) && !is_keyed(text)) {
                add("header", text, hash(key, request.values(text)));
            }
        }
        let is_keyed = |name: &str| group.key_cookies().any(|keyed| keyed == name);
        each_pair(request.values("cookie").flat_map(|line| line.split(|b| *b == b';')), |name, values| {
            if !is_keyed(name) {
                add("cookie", name, hash(key, values));
            }
        });
        let query = request.normal_query().unwrap_or_default();
        let left_out = query.split('&').filter(|pair| !group.keeps_parameter(pair)).map(str::as_bytes);
        each_pair(left_out, |name, values| add("query", name, hash(key, values)));
        parts
    }

    fn add(&mut self, kind: &str, name: &str, hash: u32) {
        let gap = if name.is_empty() { "" } else { " " };
        let length = kind.len().saturating_add(gap.len()).saturating_add(name.len());
        if let Ok(length) = u8::try_from(length)
            && self.0.len().saturating_add(usize::from(length)) < MAX_BYTES
            && self.each().count() < MAX_PARTS
        {
            self.0.push(length);
            [kind, gap, name].iter().for_each(|piece| self.0.extend_from_slice(piece.as_bytes()));
            self.0.extend_from_slice(&hash.to_le_bytes());
        }
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Returns them without memory to spare.
    pub(super) fn shrunk(mut self) -> Self {
        self.0.shrink_to_fit();
        self
    }

    /// Returns the names of the parts in which two requests differ, those included that one of them lacks.
    pub(super) fn unlike(&self, other: &Self) -> Vec<String> {
        let differs = |parts: &Self, (name, hash): (&[u8], [u8; 4])| {
            parts.each().find(|(own, _)| *own == name).is_none_or(|(_, own)| own != hash)
        };
        let lacks = |(name, _): &(&[u8], [u8; 4])| self.each().all(|(own, _)| own != *name);
        let own = self.each().filter(|part| differs(other, *part));
        let all = own.chain(other.each().filter(lacks));
        all.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
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

fn hash<'a>(key: u64, values: impl Iterator<Item = &'a [u8]>) -> u32 {
    digest_of(key, values).0 as u32
}

fn may_explain(name: &[u8]) -> bool {
    !LEFT_OUT.contains(&name) && !is_hop_by_hop(name) && !never_to_origin(name)
}

/// Returns whether a name may be told: it is not longer than others, and nothing but a name.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~$!*+[]%".contains(b);
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(is_plain)
}

fn plain(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok().filter(|_| is_name(name))
}

/// Calls back with each name once, and all its values. A pair without `=` has no name: it may be a value.
fn each_pair<'a>(
    pairs: impl Iterator<Item = &'a [u8]> + Clone,
    mut each: impl FnMut(&str, &mut dyn Iterator<Item = &'a [u8]>),
) {
    let halves = pairs.take(MAX_PAIRS).filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        Some((name.trim_ascii(), value))
    });
    for (at, (name, _)) in halves.clone().enumerate() {
        let is_first = halves.clone().take(at).all(|(before, _)| before != name);
        if let Some(text) = plain(name).filter(|_| is_first) {
            each(text, &mut halves.clone().filter(|(own, _)| *own == name).map(|(_, value)| value));
        }
    }
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
    let query = request.normal_query().unwrap_or_default();
    let mut mark = '?';
    each_pair(query.split('&').map(str::as_bytes), |name, _| {
        url.push(std::mem::replace(&mut mark, '&'));
        url.push_str(name);
    });
    url.truncate(MAX_URL);
    url
}
