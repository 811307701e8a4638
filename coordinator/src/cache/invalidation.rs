//! What a successful unsafe request makes invalid: here, and at the key's owner and next peer (RFC 9111 section 4.4).

use crate::{
    bounded_lru::bounded_lru,
    cache::{
        groups::ServedGroup,
        request::{CacheRequest, caller},
        state::Cache,
    },
    http::{body::Body, head::RequestHead, reply::empty},
    origin::with_headers,
    settings::Port,
    store::{Entry, IndexTerm, PurgeAction, PurgeMatch, PurgeScope},
};
use http::{Method, Request, Response, StatusCode, Uri, header::ALLOW, response, uri::PathAndQuery};
use hyper::body::Incoming;
use lru::LruCache;
use meshcache_protocol::{
    self as protocol, Hash, Key, Observer, freshness,
    groups::GroupMatch,
    invalidation_limit::{InvalidationLimit, Schedule},
    paths,
    request::Flags,
    wire::Question,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// The most keys whose limits are remembered.
const MAX_LIMITS: usize = 65_536;
/// How long a peer may take to hear of an invalidation, milliseconds.
const PATIENCE: u64 = 1000;
/// How many peers hear of it beside us: the owner and the next.
const PEERS: usize = 2;

/// The limits of keys' invalidations for others, by the store's clock.
pub(crate) struct Invalidations(Mutex<LruCache<Hash, InvalidationLimit>>);

impl Default for Invalidations {
    fn default() -> Self {
        Self(Mutex::new(bounded_lru(MAX_LIMITS)))
    }
}

impl Invalidations {
    fn schedule(&self, key: Hash, now: u64) -> Schedule {
        self.0.lock().get_or_insert_mut(key, InvalidationLimit::default).schedule(now)
    }

    /// Schedules an invalidation only if it may be carried out now. Returns whether it may.
    fn try_schedule_now(&self, key: Hash, now: u64) -> bool {
        self.0.lock().get_or_insert_mut(key, InvalidationLimit::default).try_schedule_now(now)
    }
}

impl Cache {
    /// An unsafe request went through us, and this is its answer.
    pub(crate) fn succeeded(self: &Arc<Self>, head: &RequestHead, answer: &response::Parts) {
        let fields = head.fields();
        let Ok(request) = head.request(&fields) else { return };
        if request.flags.any(Flags::GRPC) {
            return;
        }
        let targets = with_headers(&answer.headers, |fields| {
            freshness::invalidates(&request, &protocol::Response { status: answer.status.as_u16(), fields })
        });
        let (rules, views) = (self.group_table(), freshness::possible_key_fields(&request));
        for (target, fields) in targets.iter().flat_map(|target| views.iter().map(move |fields| (target, fields))) {
            let Ok(other) = protocol::Request::read(
                b"GET",
                request.scheme.as_bytes(),
                request.authority.as_bytes(),
                target.as_bytes(),
                fields,
            ) else {
                continue;
            };
            let GroupMatch::Group(group) = rules.groups.find(&other, None) else { continue };
            let Some(served) = rules.served(group) else { continue };
            let key = Key::of(group, &other, None);
            self.invalidate(served, &Changed::of(served, &key));
            self.tell(head, &key, target);
        }
    }

    /// Tells the key's owner and the next peer, while the client has its answer.
    fn tell(self: &Arc<Self>, head: &RequestHead, key: &Key, target: &str) {
        if !self.cluster.peers.has_token() {
            return;
        }
        let (ring, me) = (self.cluster.ring(), &self.settings.me);
        for peer in ring.order(key.hash()).into_iter().take(PEERS).filter(|peer| peer.name != *me) {
            let (cache, name, head, target) =
                (self.clone(), peer.name.clone(), head.clone(), format!("{}{target}", paths::INVALIDATE));
            tokio::spawn(async move {
                let patience = Duration::from_millis(PATIENCE);
                if let Err(failure) = cache.cluster.peers.invalidate(&name, &head, &target, patience).await {
                    tracing::debug!(peer = name, reason = failure.label(), "an invalidation was not heard");
                }
            });
        }
    }

    /// `POST /.meshcache/invalidate/TARGET` with the host and scheme of the target: somebody has seen an unsafe request
    /// for it succeed.
    pub async fn invalidated(self: &Arc<Self>, port: Port, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::POST {
            let mut refused = empty(StatusCode::METHOD_NOT_ALLOWED);
            refused.headers_mut().insert(ALLOW, http::HeaderValue::from_static("POST"));
            return refused;
        }
        let (mut parts, _) = request.into_parts();
        let Some(uri) = target(&parts.uri) else { return empty(StatusCode::BAD_REQUEST) };
        (parts.uri, parts.method) = (uri, Method::GET);
        parts.headers.remove(http::header::CONTENT_LENGTH);
        let Ok(head) = RequestHead::read(port, parts) else { return empty(StatusCode::BAD_REQUEST) };
        let (rules, fields) = (self.group_table(), head.fields());
        let Ok(request) = head.request(&fields) else { return empty(StatusCode::BAD_REQUEST) };
        let said = Question::read(&fields).unwrap_or_default();
        let namespace = Some(said.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let GroupMatch::Group(group) = rules.groups.find(&request, namespace) else {
            return empty(StatusCode::MISDIRECTED_REQUEST);
        };
        let Some(served) = rules.served(group) else { return empty(StatusCode::MISDIRECTED_REQUEST) };
        if port == Port::Data && !group.admits(caller(&request, self.settings.identity)) {
            return empty(StatusCode::FORBIDDEN);
        }
        for fields in freshness::possible_key_fields(&request) {
            self.invalidate_in_time(served, &Key::of(group, &protocol::Request { fields: &fields, ..request }, None));
        }
        empty(StatusCode::NO_CONTENT)
    }

    /// Forgets a key now, or at the end of the second in which it was forgotten last.
    fn invalidate_in_time(self: &Arc<Self>, served: &Arc<ServedGroup>, key: &Key) {
        let changed = Changed::of(served, key);
        match self.invalidations.schedule(key.hash(), self.clock.now()) {
            Schedule::Now => self.invalidate(served, &changed),
            Schedule::In(ms) => {
                let (cache, served) = (self.clone(), served.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    cache.invalidate(&served, &changed);
                });
            }
            Schedule::Merged => {}
        }
    }

    /// Whether the asker has seen the key change since this was stored. The call that tells of it may still be on its
    /// way.
    pub(crate) fn has_changed(&self, asked: &CacheRequest<'_>, entry: &Entry, now: u64) -> bool {
        let Some(changed) = asked.question.as_ref().and_then(|question| question.changed) else { return false };
        let is = entry.resident(now) > changed && self.invalidations.try_schedule_now(asked.key.hash(), now);
        if is {
            self.invalidate(asked.served, &Changed::of(asked.served, &asked.key));
        }
        is
    }

    /// Whether what arrived then has been found to be true no more here since: a copy that another coordinator has
    /// kept. Where both came in the same millisecond, it has.
    pub(crate) fn was_invalidated(&self, served: &ServedGroup, key: &Key, arrived: u64) -> bool {
        self.store.has_tombstone(key.hash(), arrived)
            || all_of_target(served, key).is_some_and(|all| self.store.has_tombstone(all, arrived))
    }

    /// Forgets a key with all its variants; what is being loaded for it is not stored, and nobody joins it any more.
    fn invalidate(&self, served: &ServedGroup, changed: &Changed) {
        let (group, now) = (&served.group, self.clock.now());
        if let Some((path, target)) = changed.target {
            self.store.add_tombstone(target, now);
            // Which other headers and cookies are in keys of this target, nobody knows: all of them.
            let is = |key: &Key| all_of_target(served, key) == Some(target);
            self.store.purge_loads(|key| if is(key) { PurgeMatch::Yes } else { PurgeMatch::No });
            self.store.purge(
                &[PurgeScope::Indexed(group.name().to_owned(), vec![path])],
                PurgeAction::Remove,
                |key, _| is(key),
            );
            self.observed.lock().clear();
            self.loads.detach(is);
            self.peer_loads.detach(is);
        }
        self.store.remove(&served.quota, changed.key, now);
        self.observed.lock().forget(changed.observed);
        self.loads.detach(|flying| changed.begins(flying));
        self.peer_loads.detach(|flying| changed.begins(flying));
        self.hit_for_pass.forget_all(changed.key);
        tracing::debug!(group = group.name(), key = ?changed.key, "invalidated");
    }
}

/// A key that is true no more, by hashes alone: what waits for its second takes as little for a target of 50 KB.
/// Whoever finds another key of the same hash frees that as well, which does no harm.
#[derive(Clone, Copy)]
struct Changed {
    key: Hash,
    /// How long the key is: keys of its flights begin with it.
    length: usize,
    observed: Hash,
    /// The mark of its path, and what stands for all keys of its target, where others have the same target.
    target: Option<(IndexTerm, Hash)>,
}

impl Changed {
    fn of(served: &ServedGroup, key: &Key) -> Self {
        let path = key.parts().map(|parts| IndexTerm::path(parts.path));
        Self {
            key: key.hash(),
            length: key.bytes().len(),
            observed: Observer::slot(&served.group, key),
            target: path.zip(all_of_target(served, key)),
        }
    }

    fn begins(&self, flying: &Key) -> bool {
        flying.hash() == self.key || flying.bytes().get(..self.length).is_some_and(|bytes| Hash::of(bytes) == self.key)
    }
}

/// By what the store remembers that a key's target was invalidated, where others have the same target.
fn all_of_target(served: &ServedGroup, key: &Key) -> Option<Hash> {
    let parts = key.parts().filter(|_| served.group.keys_more_than_target())?;
    Some(Hash::of(format!("target {} {}{}", parts.group, parts.path, parts.query).as_bytes()))
}

/// The target that the path of such a call names.
fn target(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query()?.as_str().strip_prefix(paths::INVALIDATE)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok().filter(|_| target.starts_with('/'))?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{transfer::Comes, transfer_report::Refused},
        clock::simulated,
        store::{Parts, Recency, fresh},
    };
    use meshcache_protocol::{Groups, Request, frame, purge::Scope};

    /// A coordinator whose group has a header in its keys, or not.
    fn cache(headers: &[&str]) -> Arc<Cache> {
        let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["*"]}, "key": {"headers": headers}, "origin": {"url": "http://o"}}]});
        let cache = Cache::sample("a", 1 << 20);
        cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
        cache
    }

    fn key(cache: &Cache, target: &str, language: &str) -> Key {
        let fields = [(&b"x-language"[..], language.as_bytes())];
        let request = Request::read(b"GET", b"http", b"h", target.as_bytes(), &fields).unwrap();
        Key::of(&cache.group_table().named("g").unwrap().group, &request, None)
    }

    fn invalidate(cache: &Arc<Cache>, key: &Key) {
        let rules = cache.group_table();
        let served = rules.named("g").unwrap();
        cache.invalidate(served, &Changed::of(served, key));
    }

    /// What another coordinator says of a key now that arrived there so many milliseconds ago; it is heard `late`.
    fn comes(cache: &Cache, key: &Key, ago: u64, late: u64) -> Result<(), Refused> {
        let stored = fresh(3_600_000);
        let (status, arrived) = (StatusCode::OK, cache.clock.now() - ago);
        let (rules, selecting) = (cache.group_table(), Default::default());
        let entry = Entry::new(Parts {
            status,
            fields: vec![],
            tags: "",
            body: "old".into(),
            selecting,
            stored,
            arrived,
            position: Arc::default(),
        });
        let (served, mut message) = (rules.named("g").unwrap(), frame::new_message(&Default::default()));
        cache.write_frames(
            key,
            &[Arc::new(entry)],
            Recency { warm: false, touched: arrived },
            served.group.digest(),
            &mut message,
        );
        let (there, frames) = frame::read(&message).unwrap();
        cache.take_in(
            served,
            &cache.store.begin(key.clone(), cache.consistency.position()),
            &frames[0],
            late,
            &Arc::new(there),
            Comes::Pushed,
        )
    }

    #[test]
    fn what_was_invalidated_does_not_come_back_from_elsewhere() {
        simulated::set(100_000);
        let cache = cache(&[]);
        let (changed, other) = (key(&cache, "/a?b=1", ""), key(&cache, "/a", ""));
        invalidate(&cache, &changed);
        assert_eq!(comes(&cache, &changed, 0, 0), Err(Refused::Invalidated), "in the same millisecond");
        simulated::set(105_000);
        assert_eq!(comes(&cache, &changed, 60_000, 0), Err(Refused::Invalidated));
        assert_eq!(comes(&cache, &changed, 4900, 100), Err(Refused::Invalidated), "it may have arrived before");
        assert_eq!(comes(&cache, &other, 60_000, 0), Ok(()), "another target");
        assert_eq!(comes(&cache, &changed, 4800, 100), Ok(()), "it arrived later");
    }

    #[test]
    fn nor_does_any_other_key_of_its_target() {
        simulated::set(100_000);
        let cache = cache(&["x-language"]);
        let of = |target, language| key(&cache, target, language);
        invalidate(&cache, &of("/a?b=1", "de"));
        simulated::set(105_000);
        for language in ["de", "en"] {
            assert_eq!(comes(&cache, &of("/a?b=1", language), 60_000, 0), Err(Refused::Invalidated), "{language}");
            assert_eq!(comes(&cache, &of("/a", language), 60_000, 0), Ok(()), "another target");
            assert_eq!(comes(&cache, &of("/a?b=1", language), 4000, 0), Ok(()), "it arrived later");
        }
    }

    #[test]
    fn what_was_freed_for_another_reason_may_come_back() {
        simulated::set(100_000);
        let cache = cache(&[]);
        let key = key(&cache, "/a", "");
        assert_eq!(comes(&cache, &key, 60_000, 0), Ok(()));
        cache.remove(&Scope { all: true, ..Scope::default() }, PurgeAction::Remove);
        assert_eq!(comes(&cache, &key, 60_000, 0), Ok(()));
        cache.store.remove(&cache.group_table().named("g").unwrap().quota, key.hash(), cache.clock.now());
        assert_eq!(comes(&cache, &key, 60_000, 0), Err(Refused::Invalidated));
    }

    #[test]
    fn a_key_is_invalidated_at_most_once_a_second_and_the_last_word_counts() {
        let (all, key) = (Invalidations::default(), Hash(7));
        assert_eq!(all.schedule(key, 5000), Schedule::Now);
        assert_eq!((all.schedule(key, 5300), all.schedule(key, 5400)), (Schedule::In(700), Schedule::Merged));
        assert_eq!(all.schedule(Hash(8), 5400), Schedule::Now, "another key");
        assert_eq!(all.schedule(key, 6100), Schedule::In(900), "the one of 6000 was carried out");
        assert!(
            !all.try_schedule_now(key, 6200) && all.try_schedule_now(key, 9000) && !all.try_schedule_now(key, 9999)
        );
        assert_eq!(all.schedule(key, 10_000), Schedule::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_second_takes_nothing_of_its_target_and_is_carried_out() {
        assert!(size_of::<Changed>() <= 128 && !std::mem::needs_drop::<Changed>());
        for headers in [&[][..], &["x-language"]] {
            simulated::set(100_000);
            let cache = cache(headers);
            let (rules, key) = (cache.group_table(), key(&cache, &format!("/{}", "x".repeat(50_000)), "de"));
            let served = rules.named("g").unwrap();
            let is_there = || cache.store.peek(&served.quota, &key, cache.clock.now()).is_some();
            cache.invalidate_in_time(served, &key);
            simulated::set(100_001);
            assert_eq!(comes(&cache, &key, 0, 0), Ok(()));
            cache.invalidate_in_time(served, &key);
            cache.invalidate_in_time(served, &key);
            assert!(is_there(), "it was invalidated a moment ago");
            simulated::set(101_000);
            tokio::time::sleep(Duration::from_millis(1001)).await;
            assert!(!is_there(), "{headers:?}");
        }
    }

    #[test]
    fn the_target_stands_behind_the_path_of_the_call() {
        let of = |uri: &str| target(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(of("/.meshcache/invalidate/a?b=1"), Some("/a?b=1".into()));
        assert_eq!(of("http://h/.meshcache/invalidate/"), Some("http://h/".into()));
        for bad in ["/.meshcache/invalidate", "/.meshcache/invalidated/a", "/a"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
