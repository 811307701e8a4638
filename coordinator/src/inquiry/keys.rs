//! What is stored: `GET /keys`.

use crate::{
    cache::state::Cache,
    inquiry::{live::shown, no_answer::NoAnswer},
    store::{Entry, Held},
};
use meshcache_admin::{KeysAnswer, KeysRequest, StoredKey};
use meshcache_protocol::{Key, Peer};
use std::{collections::BinaryHeap, sync::Arc};
use tokio::sync::Semaphore;

/// The responses in an answer where no number is asked for, and at most.
const KEYS: usize = 100;
const MAX_KEYS: usize = 10_000;
/// The parts of a key that are its URL: group, scheme, authority, path, query.
const URL_PARTS: usize = 5;
/// The longest URL, bytes.
const MAX_URL: usize = 1024;
/// The most bytes of the URLs of one coordinator's answer: others are counted and not told.
const MAX_BYTES: usize = 4 << 20;

/// Walks at once: who asks again and again keeps one thread busy, and no more.
static WALKS: Semaphore = Semaphore::const_new(1);

/// Returns what this coordinator stores. Walks the whole store, on a thread for that: requests do not wait.
pub(crate) async fn answer(cache: &Arc<Cache>, request: &KeysRequest, me: &str) -> KeysAnswer {
    let (cache, request, me) = (cache.clone(), request.clone(), me.to_owned());
    let Ok(place) = WALKS.acquire().await else { return KeysAnswer::default() };
    let walk = tokio::task::spawn_blocking(move || {
        let _place = place;
        let now = cache.clock.now();
        let mut first = First { most: limit(&request), ..First::default() };
        cache.store.walk(request.group.as_deref(), |held| {
            let Some(url) = url(&held, request.prefix.as_deref()) else { return };
            let kept_as = held.cache_type.label();
            let group = held.key.parts().map(|parts| parts.group.to_owned()).unwrap_or_default();
            for entry in held.entries.iter().filter(|entry| entry.deadline() > now) {
                first.add(&url, || StoredKey {
                    at: me.clone(),
                    group: group.clone(),
                    url: url.clone(),
                    kept_as: kept_as.to_owned(),
                    ..stored(entry, now)
                });
            }
        });
        first.answer()
    });
    // A walk that panics, or is cut off by the end of the process, has found nothing.
    walk.await.unwrap_or_default()
}

/// Puts the answers of all coordinators together.
pub(crate) fn merged(request: &KeysRequest, answers: Vec<(Peer, Result<KeysAnswer, NoAnswer>)>) -> KeysAnswer {
    let mut all = KeysAnswer::default();
    for (peer, answer) in answers {
        match answer {
            Ok(KeysAnswer { keys, total, .. }) => {
                all.keys.extend(keys);
                all.total += total;
            }
            Err(_) => all.unreached.push(peer.name),
        }
    }
    all.keys.sort_by(|a, b| (&a.url, &a.at).cmp(&(&b.url, &b.at)));
    all.keys.truncate(limit(request));
    all
}

fn limit(request: &KeysRequest) -> usize {
    if request.limit == 0 { KEYS } else { request.limit.min(MAX_KEYS) }
}

/// The first responses by URL, of all that are added.
#[derive(Default)]
struct First {
    most: usize,
    total: u64,
    /// The last of them is on top.
    kept: BinaryHeap<ByUrl>,
}

struct ByUrl(StoredKey);

impl First {
    fn add(&mut self, url: &str, key: impl FnOnce() -> StoredKey) {
        self.total += 1;
        if self.kept.len() < self.most {
            self.kept.push(ByUrl(key()));
        } else if let Some(mut last) = self.kept.peek_mut().filter(|last| url < last.0.url.as_str()) {
            last.0 = key();
        }
    }

    fn answer(self) -> KeysAnswer {
        let mut bytes = 0;
        let fits = |key: &StoredKey| {
            bytes += key.url.len();
            bytes <= MAX_BYTES
        };
        let keys = self.kept.into_sorted_vec().into_iter().map(|ByUrl(key)| key).take_while(fits).collect();
        KeysAnswer { keys, total: self.total, unreached: Vec::new() }
    }
}

impl PartialEq for ByUrl {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByUrl {}

impl PartialOrd for ByUrl {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByUrl {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.url.cmp(&other.0.url)
    }
}

fn stored(entry: &Entry, now: u64) -> StoredKey {
    let age = entry.stored.age(entry.resident(now));
    let ttl = i64::try_from(entry.stored.lifetime).unwrap_or(i64::MAX).saturating_sub_unsigned(age);
    StoredKey {
        status: entry.status.as_u16(),
        age: age / 1000,
        ttl: ttl.div_euclid(1000),
        bytes: entry.bytes(),
        ..StoredKey::default()
    }
}

/// Returns the URL of what is stored, with the names of the query's parameters and of what else is in the key; none: its
/// path does not begin so.
fn url(held: &Held, prefix: Option<&str>) -> Option<String> {
    let parts = held.key.parts()?;
    if prefix.is_some_and(|prefix| !parts.path.starts_with(prefix)) {
        return None;
    }
    let mut url = format!("{}://{}{}", parts.scheme, parts.authority, parts.path);
    url.push_str(&query_names(parts.query));
    let more = more(&held.key);
    if !more.is_empty() {
        url.push_str(&format!(" ({})", more.join(", ")));
    }
    let mut url = shown(&url);
    if url.len() > MAX_URL {
        url.truncate(url.floor_char_boundary(MAX_URL - '…'.len_utf8()));
        url.push('…');
    }
    Some(url)
}

/// Returns a query, which has its `?` or is empty, without values.
pub(crate) fn query_names(query: &str) -> String {
    let Some(query) = query.strip_prefix('?') else { return String::new() };
    let name = |pair: &str| pair.split_once('=').map_or_else(|| pair.to_owned(), |(name, _)| format!("{name}=…"));
    format!("?{}", query.split('&').map(name).collect::<Vec<_>>().join("&"))
}

/// Returns the names of a key's parts beyond the URL, of those that the request had. Of a slice its number, which is no
/// secret.
fn more(key: &Key) -> Vec<String> {
    let (mut parts, mut names) = (parts(key.bytes()).skip(URL_PARTS), Vec::new());
    // Each is its kind, its name, the number of its values, and these.
    while let (Some(kind), Some(name), Some(count)) = (parts.next(), parts.next(), parts.next()) {
        let count = count.first_chunk::<4>().map_or(0, |count| u32::from_le_bytes(*count) as usize);
        let first = parts.by_ref().take(count).fold(None, |first: Option<&[u8]>, value| first.or(Some(value)));
        let Some(first) = first else { continue };
        let name = String::from_utf8_lossy(name);
        names.push(match kind {
            b"h" | b"x" => format!("header {name}"),
            b"c" => format!("cookie {name}"),
            b"s" => format!("slice {}", first.first_chunk::<8>().map_or(0, |number| u64::from_le_bytes(*number))),
            _ => name.into_owned(),
        });
    }
    names
}

/// Returns the parts of a key's bytes.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CacheType;
    use meshcache_protocol::{Group, Request};

    fn held(group: &str, target: &str, fields: &[(&[u8], &[u8])]) -> Held {
        let group = Group::for_tests(group);
        let request = Request::read(b"GET", b"http", b"h", target.as_bytes(), fields).unwrap();
        Held { cache_type: CacheType::Main, key: Key::of(&group, &request, None), entries: Vec::new() }
    }

    #[test]
    fn a_url_has_names_and_no_values() {
        let group = r#"{"key": {"headers": ["x-tenant"], "cookies": ["lang"]}}"#;
        let fields: [(&[u8], &[u8]); 2] = [(b"x-tenant", b"s3cret"), (b"cookie", b"lang=s3cret")];
        let held = held(group, "/a?token=s3cret&page=s3cret&flag", &fields);
        let url = url(&held, Some("/a")).unwrap();
        assert_eq!(url, "http://h/a?token=…&page=…&flag (header x-tenant, cookie lang)");
        assert!(super::url(&held, Some("/b")).is_none());
        let slice = meshcache_protocol::Slice::numbered(1 << 20, 7, "\"v\"").key(&held.key);
        assert_eq!(more(&slice), ["header x-tenant", "cookie lang", "slice 7"]);
        let fields: [(&[u8], &[u8]); 1] = [(b"x-tenant", b"a")];
        let one = self::held(group, "/a", &fields).key.with_content(&[4]);
        assert_eq!(more(&one), ["header x-tenant", "content"], "no cookie");
    }

    #[test]
    fn the_first_by_url_are_kept_and_all_are_counted() {
        let mut first = First { most: 3, ..First::default() };
        for n in [5, 1, 9, 3, 7, 0, 8] {
            let url = format!("/{n}");
            first.add(&url, || StoredKey { url: url.clone(), ..StoredKey::default() });
        }
        let KeysAnswer { keys, total, .. } = first.answer();
        assert_eq!((keys.iter().map(|key| key.url.as_str()).collect::<Vec<_>>(), total), (vec!["/0", "/1", "/3"], 7));
    }

    #[test]
    fn a_long_url_is_shortened() {
        let url = url(&held("{}", &format!("/{}", "x".repeat(5000)), &[]), None).unwrap();
        assert!(url.len() <= MAX_URL && url.ends_with("x…"), "{}", url.len());
    }
}
