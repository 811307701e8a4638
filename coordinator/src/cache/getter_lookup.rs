//! The way of a call of `get` through the cache, from top to bottom. It is the way of a plain client's request
//! ([`lookup`](crate::cache::lookup)) without HTTP: no socket, no header.
//!
//! 1. `try_get` looks into the store. A fresh value is given at once, whichever node owns the key.
//! 2. `get` waits for missing purges (`consistency`). Without a lease the getter is asked, and nothing is stored.
//! 3. A stale value is given if the group allows that, and refreshed in the background (`miss::refresh`).
//! 4. Else the call joins the key's flight (`miss`), which asks the key's owner (`peer_load`) or the getter
//!    (`getter_load`).

use crate::{
    cache::{
        getter_key,
        getter_load::{FAILED, NOT_FOUND, VALUE},
        groups::ServedGroup,
        miss::{self, FlightAnswer},
        ownership::is_of_another,
        peer_load,
        request::{Answered, CacheRequest},
        state::Cache,
    },
    clock,
    http::head::RequestHead,
    origin::{Error, Failure, Origin},
    settings::Port,
    store::{CacheType, Entry, Quota},
    telemetry::metrics::GroupMetrics,
};
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{
    Hash, Key, Reason,
    freshness::{self, LoadStart, Reuse},
    wire::Outcome,
};
use std::{cell::RefCell, sync::Arc};

/// The answer that a caller gets.
pub(crate) type Answer = Result<Bytes, Error>;

/// A getter's group, with what a call of `get` needs of it.
pub(crate) struct GetterGroup {
    name: String,
    quota: Arc<Quota>,
    metrics: Arc<GroupMetrics>,
    /// The first parts of all its keys.
    prefix: Box<[u8]>,
    /// It keeps hot copies of what other nodes own.
    has_copies: bool,
}

impl GetterGroup {
    /// The group of a name and its own host, which is that name, too. `None`: there is no such group.
    pub(crate) fn of(cache: &Cache, name: &str) -> Option<Self> {
        let table = cache.group_table();
        let served = table.named(name)?;
        Some(Self {
            name: name.to_owned(),
            quota: served.quota.clone(),
            metrics: served.metrics.clone(),
            has_copies: !served.group.config().hot.ttl.is_zero(),
            prefix: getter_key::prefix(name).into_boxed_slice(),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its metrics.
    pub(crate) fn metrics(&self) -> &GroupMetrics {
        &self.metrics
    }

    /// The path of a key, as purges name it.
    pub(crate) fn path(&self, key: &str) -> Result<String, Error> {
        let bytes = self.key(key)?;
        let path = bytes.get(self.prefix.len().saturating_add(4)..bytes.len().saturating_sub(4)).unwrap_or_default();
        Ok(String::from_utf8_lossy(path).into_owned())
    }

    /// The bytes of a key, as [`Key::of`] makes them of its request.
    pub(crate) fn key(&self, key: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(self.prefix.len().saturating_add(key.len()).saturating_add(9));
        self.write_key(key, &mut bytes).map(|()| bytes)
    }

    fn write_key(&self, key: &str, bytes: &mut Vec<u8>) -> Result<(), Error> {
        if key.len() > getter_key::MAX_KEY {
            return Err(Error::Key(getter_key::MAX_KEY));
        }
        bytes.clear();
        bytes.extend_from_slice(&self.prefix);
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        getter_key::write(key, bytes);
        let length = u32::try_from(bytes.len().saturating_sub(at.saturating_add(4))).unwrap_or(u32::MAX);
        if let Some(before) = bytes.get_mut(at..at.saturating_add(4)) {
            before.copy_from_slice(&length.to_le_bytes());
        }
        // No query.
        bytes.extend_from_slice(&[0; 4]);
        Ok(())
    }

    /// What a caller gets at once. The key is made in a buffer of the thread: a hit allocates nothing.
    pub(crate) fn try_get(&self, cache: &Cache, key: &str) -> Option<Answer> {
        thread_local! {
            static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        KEY.with_borrow_mut(|bytes| match self.write_key(key, bytes) {
            Ok(()) => self.hit(cache, bytes),
            Err(error) => Some(Err(error)),
        })
    }

    /// The fresh value of a key in this node's store, or its hot copy while another node owns the key.
    pub(crate) fn hit(&self, cache: &Cache, key: &[u8]) -> Option<Answer> {
        let awake = clock::awake();
        if !cache.consistency.holds_lease_at(awake) {
            return None;
        }
        let (now, hash) = (cache.clock.at(awake), Hash::of(key));
        let read = |cache_type| cache.store.read_fresh(cache_type, &self.quota, (hash, key), now, answer);
        let found = match read(CacheType::Main) {
            None if self.has_copies && is_of_another(cache, hash) => read(CacheType::Hot),
            found => found,
        }?;
        Some(found)
    }
}

/// Gets the value of a key that is not fresh in this node's store.
pub(crate) async fn get(cache: &Arc<Cache>, group: &GetterGroup, key: &str) -> Answer {
    let key = group.key(key)?;
    let table = cache.group_table();
    let served = table.named(&group.name).ok_or(Error::Internal("the group is gone"))?;
    let key = Key::from_bytes(key);
    let head = head(&key)?;
    let fields = head.fields();
    let http = head.request(&fields).map_err(|_| Error::Internal("no request"))?;
    let request = CacheRequest {
        served,
        head: &head,
        http,
        key,
        question: None,
        is_from_peer: false,
        is_debugged: false,
        slice: None,
        answered: Answered::default(),
    };
    let metrics = &served.metrics;
    metrics.gets.inc();
    if !cache.consistency.catch_up(request.claim()).await {
        metrics.count_request(Outcome::Pass.label(), Reason::PurgeLag);
        return alone(served, head.target()).await;
    }
    let now = cache.clock.now();
    let stored = cache.store.get(&served.quota, &request.key, now, |entry| entry.answers(&http));
    let resident = stored.as_ref().map_or(0, |entry| entry.resident(now));
    let reuse = freshness::reuse(&served.group, &http, false, stored.as_ref().map(|entry| &entry.stored), resident);
    let route = peer_load::route(cache, &request);
    match (reuse, &stored) {
        (Reuse::Fresh, Some(entry)) => {
            metrics.hits.inc();
            return answer(entry);
        }
        // The owner refreshes a stale value: other nodes ask it.
        (Reuse::Stale, Some(entry)) if route.is_none() => {
            miss::refresh(cache, &request);
            metrics.hits.inc();
            metrics.count_response(Outcome::Stale.label());
            return answer(entry);
        }
        _ => {}
    }
    metrics.loads.inc();
    let fwd = if stored.is_some() { "stale" } else { "uri-miss" };
    match miss::wait(cache, &request, route, fwd, LoadStart::Any).await {
        FlightAnswer::Loaded(loaded) => {
            metrics.count_response(loaded.verdict.outcome.label());
            answer(&loaded.entry)
        }
        FlightAnswer::Failed(failure) => {
            metrics.count_request(Outcome::Error.label(), failure.reason());
            Err(failed(failure))
        }
        FlightAnswer::Full(_) => {
            metrics.count_request(Outcome::Error.label(), Reason::Full);
            Err(Error::Overload)
        }
        FlightAnswer::NotShared(why, _) if why.reason == Reason::Overload => {
            metrics.count_request(Outcome::Error.label(), why.reason);
            Err(Error::Overload)
        }
        FlightAnswer::NotShared(why, _) if why.reason == Reason::Slow => {
            metrics.count_request(Outcome::Error.label(), why.reason);
            Err(Error::Timeout)
        }
        // The owner cannot say what it has: it lacks purges, or its rules for the group are others.
        FlightAnswer::NotShared(why, _) => {
            metrics.count_request(Outcome::Pass.label(), why.reason);
            alone(served, head.target()).await
        }
        FlightAnswer::Own(_, reason) => {
            metrics.count_request(Outcome::Error.label(), reason);
            Err(Error::Internal("a response of another kind"))
        }
        FlightAnswer::Loading { .. } | FlightAnswer::Fill { .. } => Err(Error::Internal("a response of another kind")),
    }
}

/// The request that other nodes get for a key.
pub(crate) fn head(key: &Key) -> Result<RequestHead, Error> {
    let parts = key.parts().ok_or(Error::Internal("no key"))?;
    let request = http::Request::get(format!("http://{}{}", parts.authority, parts.path))
        .body(())
        .map_err(|_| Error::Internal("no request"))?;
    RequestHead::read(Port::Data, request.into_parts().0).map_err(|_| Error::Internal("no request"))
}

/// Asks the getter for one caller. Nothing is stored.
async fn alone(served: &Arc<ServedGroup>, path: &str) -> Answer {
    let key = getter_key::read(path).ok_or(Error::Internal("no key"))?;
    let served = served.clone();
    // In a task of its own: a caller who leaves does not stop a getter half way.
    let asked = tokio::spawn(async move {
        let Origin::Getter(origin) = &served.origin else { return Err(Error::Internal("no getter")) };
        let config = served.group.config();
        let _permit = served.load_limit.acquire(config.patience.duration()).await.ok_or(Error::Overload)?;
        served.metrics.service_passes.inc();
        origin.get(&key, config.limits.object.0).await.map(|value| value.bytes)
    });
    asked.await.unwrap_or(Err(Error::Internal("the node ends")))
}

/// What a stored response says to a caller.
pub(crate) fn answer(entry: &Entry) -> Answer {
    match entry.status {
        VALUE => Ok(entry.body()),
        NOT_FOUND => Err(Error::NotFound { ttl: None }),
        FAILED => Err(Error::Getter(String::from_utf8_lossy(entry.body_bytes()).into_owned())),
        StatusCode::GATEWAY_TIMEOUT => Err(Error::Timeout),
        StatusCode::SERVICE_UNAVAILABLE => Err(Error::Overload),
        _ => Err(Error::Internal("a status of another kind")),
    }
}

fn failed(failure: Failure) -> Error {
    match failure {
        Failure::Timeout | Failure::Unvalidated => Error::Timeout,
        Failure::Overload => Error::Overload,
        other => Error::Internal(other.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Value;
    use meshcache_protocol::Groups;

    fn group(cache: &Cache, name: &str) -> GetterGroup {
        let config = serde_json::json!({"version": 1, "groups": [{
            "name": name, "match": {"hosts": [name]}, "origin": {"url": "http://getter.invalid"},
        }]});
        cache.set_getter(name, Arc::new(|_: String| async { Ok(Value::default()) }), u64::MAX);
        cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
        GetterGroup::of(cache, name).unwrap()
    }

    #[test]
    fn a_key_is_that_of_the_request_that_other_nodes_get() {
        let cache = Cache::sample("a", 1 << 20);
        let group = group(&cache, "things");
        let table = cache.group_table();
        let rules = &table.named("things").unwrap().group;
        for key in ["", "cat.jpg", ".", "..", "a/../b", "%2f?q=1#f", "~2F", "a\\b;c", "ü \0\n", "A-z_9"] {
            let own = Key::from_bytes(group.key(key).unwrap());
            let head = head(&own).unwrap();
            let fields = head.fields();
            let request = head.request(&fields).unwrap();
            assert_eq!(Key::of(rules, &request, None), own, "{key}");
            assert_eq!(getter_key::read(head.target()).as_deref(), Some(key));
            assert_eq!(group.path(key).unwrap(), head.target());
            assert_eq!(getter_key::of_path("things", head.target()), own);
        }
    }
}
