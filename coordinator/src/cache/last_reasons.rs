//! The last reasons of each key: why requests were not answered from the store, and why responses were not stored; and
//! when a response was stored last. An administrator asks for them. Nothing here is touched by a hit.

use crate::bounded_lru::bounded_lru;
use http::{HeaderMap, StatusCode, header, response};
use lru::LruCache;
use meshcache_protocol::{Group, Hash, Reason, Request, reason::AnyReason};
use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};
use std::{collections::VecDeque, iter};

/// The most keys, and the most bytes that their reasons take.
const MOST: (usize, usize) = (4096, 2 << 20);
/// The most reasons of a key.
const MOST_OF_KEY: usize = 4;
/// The most fields of a reason, and the longest one, bytes: they come from outside.
const MOST_FIELDS: usize = 8;
const LONGEST_FIELD: usize = 200;
/// The bytes of a key, of a reason and of a field beside their texts.
const KEY_BYTES: usize = 128;
const REASON_BYTES: usize = size_of::<LastReason>();
const FIELD_BYTES: usize = size_of::<Box<str>>() + 16;

/// What stands for the value of a request's field.
pub(crate) const OF_REQUEST: &str = "(of the request)";

/// Why a request was not answered from the store, or a response not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastReason {
    pub(crate) reason: AnyReason,
    /// When, by the store's clock.
    pub(crate) at: u64,
    /// The status of the response, where there was one.
    pub(crate) status: Option<StatusCode>,
    /// The header fields that decided, `name: value` each, without secrets.
    pub(crate) decided: Box<[Box<str>]>,
}

/// The register.
pub(crate) struct LastReasons(Mutex<Kept>);

struct Kept {
    keys: LruCache<Hash, VecDeque<LastReason>>,
    bytes: usize,
    /// When a response was stored last. By itself: what is stored pushes no reasons out.
    stored: LruCache<Hash, u64>,
}

impl Default for LastReasons {
    fn default() -> Self {
        Self(Mutex::new(Kept { keys: bounded_lru(MOST.0), bytes: 0, stored: bounded_lru(MOST.0) }))
    }
}

impl LastReasons {
    /// Records why a request passed or failed, without a response.
    pub(crate) fn record(&self, key: Hash, reason: impl Into<AnyReason>, now: u64) {
        self.push(key, LastReason { reason: reason.into(), at: now, status: None, decided: Box::default() });
    }

    /// Records why a response to a request was not stored.
    pub(crate) fn record_response(
        &self,
        (key, request): (Hash, &Request<'_>),
        group: &Group,
        reason: Reason,
        head: &response::Parts,
        now: u64,
    ) {
        let mut decided = deciding_fields(group, reason, &head.headers);
        if reason == Reason::Identity {
            decided.extend(identity_fields(group, request).map(|name| format!("{name}: {OF_REQUEST}").into()));
        }
        decided.truncate(MOST_FIELDS);
        let last = LastReason { reason: reason.into(), at: now, status: Some(head.status), decided: decided.into() };
        self.push(key, last);
    }

    /// Forgets the reasons of a key: a response is stored. When is kept, for the reasons that others have.
    pub(crate) fn stored(&self, key: Hash, now: u64) {
        let mut kept = self.0.lock();
        drop(kept.pop(key));
        kept.stored.put(key, now);
    }

    /// Returns when a response of a key was stored last.
    pub(crate) fn stored_at(&self, key: Hash) -> Option<u64> {
        self.0.lock().stored.peek(&key).copied()
    }

    /// Returns a key's reasons, the newest first.
    pub(crate) fn of(&self, key: Hash) -> Vec<LastReason> {
        self.0.lock().keys.peek(&key).map(|all| all.iter().cloned().collect()).unwrap_or_default()
    }

    fn push(&self, key: Hash, mut new: LastReason) {
        let mut kept = self.0.lock();
        // Most requests that pass do so for the reason of the one before.
        if new.status.is_none()
            && let Some(newest) = kept.keys.get_mut(&key).and_then(VecDeque::front_mut)
            && newest.reason == new.reason
        {
            newest.at = new.at;
            return;
        }
        let mut all = kept.pop(key);
        // The passes that follow a response have its reason, and nothing to tell beside it: what they repeat is newer.
        if let Some(at) = all.iter().position(|old| old.reason == new.reason)
            && let Some(old) = all.remove(at)
            && new.status.is_none()
        {
            (new.status, new.decided) = (old.status, old.decided);
        }
        all.push_front(new);
        all.truncate(MOST_OF_KEY);
        kept.put(key, all);
    }
}

impl Kept {
    fn pop(&mut self, key: Hash) -> VecDeque<LastReason> {
        let all = self.keys.pop(&key).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(bytes(&all));
        all
    }

    fn put(&mut self, key: Hash, all: VecDeque<LastReason>) {
        self.bytes = self.bytes.saturating_add(bytes(&all));
        if let Some((_, old)) = self.keys.push(key, all) {
            self.bytes = self.bytes.saturating_sub(bytes(&old));
        }
        while self.bytes > MOST.1
            && let Some((_, old)) = self.keys.pop_lru()
        {
            self.bytes = self.bytes.saturating_sub(bytes(&old));
        }
    }
}

/// Returns the bytes that a key with these reasons takes.
fn bytes(all: &VecDeque<LastReason>) -> usize {
    if all.is_empty() {
        return 0;
    }
    let lengths = all.iter().flat_map(|last| last.decided.iter().map(|field| field.len().saturating_add(FIELD_BYTES)));
    let fields: usize = lengths.sum();
    all.capacity().saturating_mul(REASON_BYTES).saturating_add(fields).saturating_add(KEY_BYTES)
}

/// Returns the fields of a response that decide in a group for a reason, as text that any log may have.
pub(crate) fn deciding_fields(group: &Group, reason: Reason, headers: &HeaderMap) -> Vec<Box<str>> {
    let targets = group.config().freshness.targets.iter().map(String::as_str);
    let control = || targets.chain([header::CACHE_CONTROL.as_str(), header::EXPIRES.as_str()]);
    let names: SmallVec<[&str; 4]> = match reason {
        Reason::Vary => iter::once(header::VARY.as_str()).chain(control()).collect(),
        Reason::SetCookie => iter::once(header::SET_COOKIE.as_str()).chain(control()).collect(),
        Reason::TooLarge => smallvec![header::CONTENT_LENGTH.as_str()],
        Reason::Incomplete => {
            smallvec![header::CONTENT_TYPE.as_str(), header::CONTENT_RANGE.as_str(), header::CONTENT_LENGTH.as_str()]
        }
        Reason::OriginError => smallvec![header::RETRY_AFTER.as_str()],
        _ => control().chain([header::PRAGMA.as_str()]).collect(),
    };
    let lines = names.iter().flat_map(|name| headers.get_all(*name).iter().map(move |value| (name, value)));
    lines.take(MOST_FIELDS).map(|(name, value)| shown_field(&name.to_ascii_lowercase(), value.as_bytes())).collect()
}

/// Returns a field as text, cut and escaped. Of a cookie its name alone.
pub(crate) fn shown_field(name: &str, value: &[u8]) -> Box<str> {
    let value = if name == header::SET_COOKIE { cookie_name(value) } else { value };
    let value = value.get(..LONGEST_FIELD).unwrap_or(value);
    let text = match std::str::from_utf8(value) {
        Ok(text) if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) => text.to_owned(),
        _ => value.escape_ascii().to_string(),
    };
    let mut line = format!("{name}: {text}");
    line.truncate(line.floor_char_boundary(LONGEST_FIELD));
    line.into()
}

/// Returns the name of a cookie that is set. What has no `=` is a value without a name.
fn cookie_name(value: &[u8]) -> &[u8] {
    let pair = value.split(|b| *b == b';').next().unwrap_or_default();
    pair.iter().position(|b| *b == b'=').and_then(|at| pair.get(..at)).unwrap_or_default().trim_ascii()
}

/// Returns the names of the fields by which a request names its user in a group.
pub(crate) fn identity_fields<'g>(group: &'g Group, request: &Request<'_>) -> impl Iterator<Item = &'g str> {
    let share = &group.config().share;
    let own = [("authorization", !share.authorization), ("cookie", !share.cookie)];
    let own = own.into_iter().filter_map(|(name, counts)| counts.then_some(name));
    let all = own.chain(share.identity.iter().map(String::as_str));
    all.filter(|name| request.value(name).is_some()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&'static str, &str)]) -> response::Parts {
        let head = fields.iter().fold(http::Response::builder().status(status), |head, (n, v)| head.header(*n, *v));
        head.body(()).unwrap().into_parts().0
    }

    fn get<'a>(fields: &'a [(&'a [u8], &'a [u8])]) -> Request<'a> {
        Request::read(b"GET", b"http", b"h", b"/", fields).unwrap()
    }

    fn note(all: &LastReasons, key: u128, reason: Reason, fields: &[(&'static str, &str)]) {
        let group = Group::for_tests("{}");
        all.record_response((Hash(key), &get(&[])), &group, reason, &head(200, fields), 5);
    }

    fn decided(all: &LastReasons, key: u128) -> Vec<String> {
        all.of(Hash(key)).first().map(|last| last.decided.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn a_reason_has_the_headers_that_decided_and_passes_that_repeat_it_keep_them() {
        let all = LastReasons::default();
        let sent = [("cache-control", "private"), ("etag", "\"x\""), ("meshcache-control", "no-store")];
        note(&all, 1, Reason::Private, &sent);
        all.record(Hash(1), Reason::Private, 9);
        let last = all.of(Hash(1));
        assert_eq!((last.len(), last[0].at, last[0].status), (1, 9, Some(StatusCode::OK)));
        assert_eq!(decided(&all, 1), ["meshcache-control: no-store", "cache-control: private"]);
        assert!(all.of(Hash(2)).is_empty());
    }

    #[test]
    fn the_newest_of_a_keys_four_reasons_comes_first() {
        let all = LastReasons::default();
        let reasons = [Reason::Private, Reason::NoStore, Reason::Timeout, Reason::Overload, Reason::PurgeLag];
        reasons.into_iter().enumerate().for_each(|(n, reason)| all.record(Hash(1), reason, n as u64));
        let kept: Vec<_> = all.of(Hash(1)).into_iter().map(|last| last.reason).collect();
        assert_eq!(kept, [Reason::PurgeLag, Reason::Overload, Reason::Timeout, Reason::NoStore].map(AnyReason::Own));
    }

    #[test]
    fn what_is_stored_ends_its_reasons_leaves_its_time_and_pushes_no_others_out() {
        let all = LastReasons::default();
        all.record(Hash(1), Reason::Private, 1);
        all.record(Hash(2), Reason::Private, 1);
        (1..10_000).filter(|key| *key != 2).for_each(|key| all.stored(Hash(key), 7));
        assert!(all.of(Hash(1)).is_empty() && all.of(Hash(2)).len() == 1);
        assert_eq!([9999, 2].map(|key| all.stored_at(Hash(key))), [Some(7), None]);
        assert_eq!(all.0.lock().stored.len(), MOST.0);
    }

    #[test]
    fn no_secret_is_kept() {
        let all = LastReasons::default();
        note(&all, 1, Reason::SetCookie, &[("set-cookie", "session=secret; Path=/"), ("set-cookie", "secret; Path=/")]);
        assert_eq!(decided(&all, 1), ["set-cookie: session", "set-cookie: "], "what has no `=` is a value");
        let request = [(&b"authorization"[..], &b"Bearer secret"[..]), (b"cookie", b"a=secret")];
        let group = Group::for_tests(r#"{"share": {"cookie": true}}"#);
        all.record_response((Hash(2), &get(&request)), &group, Reason::Identity, &head(200, &[]), 0);
        assert_eq!(decided(&all, 2), ["authorization: (of the request)"]);
    }

    #[test]
    fn what_comes_from_outside_is_cut_escaped_and_bounded() {
        let all = LastReasons::default();
        let long = "x".repeat(100_000);
        let raw = http::HeaderValue::from_bytes(b"a\xff\tb").unwrap();
        let mut odd = head(200, &[("cache-control", &long)]);
        odd.headers.append("cache-control", raw);
        for _ in 0..100 {
            odd.headers.append("cache-control", http::HeaderValue::from_static("y"));
        }
        for key in 0..10_000 {
            all.record_response((Hash(key), &get(&[])), &Group::for_tests("{}"), Reason::NoStore, &odd, 0);
        }
        let last = all.of(Hash(9999));
        assert_eq!((last[0].decided.len(), last[0].decided[0].len()), (MOST_FIELDS, LONGEST_FIELD));
        assert_eq!(&*last[0].decided[1], "cache-control: a\\xff\\tb");
        let kept = all.0.lock();
        let counted: usize = kept.keys.iter().map(|(_, all)| bytes(all)).sum();
        assert!(kept.keys.len() <= MOST.0 && kept.bytes <= MOST.1 && kept.bytes == counted, "{}", kept.bytes);
    }
}
