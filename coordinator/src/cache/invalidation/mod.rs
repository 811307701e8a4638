//! Invalidation by successful unsafe requests: here, at the key's owner and at the next peer (RFC 9111 section 4.4).

#[cfg(test)]
mod tests;

use crate::{
    cache::{
        groups::ServedGroup,
        request::{CacheRequest, Caller},
        state::Cache,
    },
    http::{body::Body, head::RequestHead, reply::empty},
    origin::with_headers,
    settings::Port,
    store::{Entry, IndexTerm, PurgeAction},
};
use http::{Method, Request, Response, StatusCode, Uri, header::ALLOW, response, uri::PathAndQuery};
use meshcache_protocol::{
    self as protocol, Hash, Key, Observer, Peer, Slice, freshness,
    groups::GroupMatch,
    invalidation_limit::{PERIOD, Schedule},
    paths,
    purge::{Candidates, KeyMatch},
    request::Flags,
    wire::Question,
};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// How many peers an invalidation is sent to: the key's owner and the next one.
const PEERS: usize = 2;

/// Invalidates, here and at peers, what an unsafe request that went through this coordinator has changed.
pub(crate) fn after_unsafe(cache: &Arc<Cache>, head: &RequestHead, answer: &response::Parts) {
    let fields = head.fields();
    let Ok(request) = head.request(&fields) else { return };
    if request.flags.any(Flags::GRPC) {
        return;
    }
    let (rules, views) = (cache.group_table(), freshness::possible_key_fields(&request));
    let targets = with_headers(&answer.headers, |fields| {
        let response = protocol::Response { status: answer.status.as_u16(), fields };
        freshness::invalidates(&rules.groups, None, &request, &response)
    });
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
        invalidate(cache, served, &Invalidation::of(served, &key));
        notify_peers(cache, head, &key, target);
    }
}

/// Invalidates a key here and at peers, whose origin has another version now, and waits until they know.
pub(crate) async fn after_new_version(cache: &Arc<Cache>, served: &ServedGroup, head: &RequestHead, key: &Key) {
    invalidate(cache, served, &Invalidation::of(served, key));
    for told in notify_peers(cache, head, key, head.target()) {
        let _ = told.await;
    }
}

/// Sends an invalidation to the key's owner and the next peer. The client's answer need not wait for it.
fn notify_peers(cache: &Arc<Cache>, head: &RequestHead, key: &Key, target: &str) -> Vec<JoinHandle<()>> {
    if !cache.cluster.peers.may_ask() {
        return Vec::new();
    }
    let (ring, me) = (cache.cluster.ring(), &cache.settings.me);
    let peers = ring.order(key.hash()).into_iter().take(PEERS).filter(|peer| peer.name != *me);
    let tell = |peer: &Peer| {
        let (cache, name, head, target) =
            (cache.clone(), peer.name.clone(), head.clone(), format!("{}{target}", paths::INVALIDATE));
        tokio::spawn(async move {
            let patience = Duration::from_millis(PERIOD);
            if let Err(failure) = cache.cluster.peers.invalidate(&name, &head, &target, patience).await {
                tracing::debug!(peer = name, reason = failure.label(), "invalidation not delivered");
            }
        })
    };
    peers.map(tell).collect()
}

/// Answers `POST /.meshcache/invalidate/TARGET`, with the host and scheme of the target: its sender has seen an unsafe
/// request for the target succeed.
pub(crate) async fn answer(cache: &Arc<Cache>, port: Port, request: Request<Body>) -> Response<Body> {
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
    let (rules, fields) = (cache.group_table(), head.fields());
    let Ok(request) = head.request(&fields) else { return empty(StatusCode::BAD_REQUEST) };
    let question = Question::read(&fields).unwrap_or_default();
    let namespace = Some(question.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let GroupMatch::Group(group) = rules.groups.find(&request, namespace) else {
        return empty(StatusCode::MISDIRECTED_REQUEST);
    };
    let Some(served) = rules.served(group) else { return empty(StatusCode::MISDIRECTED_REQUEST) };
    if port == Port::Data && !Caller::of(&head, &request, cache.settings.identity).is_admitted(group) {
        return empty(StatusCode::FORBIDDEN);
    }
    for fields in freshness::possible_key_fields(&request) {
        invalidate_when_due(cache, served, &Key::of(group, &protocol::Request { fields: &fields, ..request }, None));
    }
    empty(StatusCode::NO_CONTENT)
}

/// Invalidates a key now, or as soon as its limit allows.
fn invalidate_when_due(cache: &Arc<Cache>, served: &Arc<ServedGroup>, key: &Key) {
    let invalidation = Invalidation::of(served, key);
    match cache.invalidation_limits.schedule(key.hash(), cache.clock.now()) {
        Schedule::Now => invalidate(cache, served, &invalidation),
        Schedule::In(ms) => {
            let (cache, served) = (cache.clone(), served.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                invalidate(&cache, &served, &invalidation);
            });
        }
        Schedule::Merged => {}
    }
}

/// Invalidates the key of a request whose sender has seen the key change since the entry was stored, unless its limit
/// forbids that; returns whether it did. The sender's own invalidation may still be on its way.
pub(crate) fn invalidate_if_changed(cache: &Cache, asked: &CacheRequest<'_>, entry: &Entry, now: u64) -> bool {
    let Some(changed) = asked.question.as_ref().and_then(|question| question.changed) else { return false };
    let is_old = entry.resident(now) > changed && cache.invalidation_limits.try_schedule_now(asked.key.hash(), now);
    if is_old {
        invalidate(cache, asked.served, &Invalidation::of(asked.served, &asked.key));
    }
    is_old
}

/// Whether a key was invalidated here since a response for it arrived at another coordinator, or in the same
/// millisecond.
pub(crate) fn was_invalidated(cache: &Cache, served: &ServedGroup, key: &Key, arrived: u64) -> bool {
    cache.store.has_tombstone(key.hash(), arrived)
        || target_hash(served, key).is_some_and(|target| cache.store.has_tombstone(target, arrived))
}

/// Removes a key with all its variants. Its loads in flight are not stored, and nothing joins them any more.
fn invalidate(cache: &Cache, served: &ServedGroup, invalidation: &Invalidation) {
    let (group, now) = (&served.group, cache.clock.now());
    if let Some((path, target)) = invalidation.target {
        cache.store.add_tombstone(target, now);
        // Keys of the target may have any values of the group's other headers and cookies: all of them are removed.
        let is = |key: &Key| target_hash(served, key) == Some(target);
        cache.store.purge_loads(|key| if is(key) { KeyMatch::Yes } else { KeyMatch::No });
        cache.store.purge(
            &[Candidates { group: Some(group.name()), terms: Some(vec![path]) }],
            PurgeAction::Remove,
            |key, _| is(key),
        );
        cache.observed.lock().clear();
        cache.loads.detach(is);
        cache.peer_loads.detach(is);
    }
    cache.store.remove(&served.quota, invalidation.key, now);
    if let Some(first) = invalidation.first_slice {
        cache.store.remove(&served.quota, first, now);
    }
    cache.observed.lock().forget(invalidation.observed);
    cache.loads.detach(|flight| invalidation.covers(flight));
    cache.peer_loads.detach(|flight| invalidation.covers(flight));
    cache.hit_for_pass.forget_all(invalidation.key);
    tracing::debug!(group = group.name(), key = ?invalidation.key, "invalidated");
}

/// The keys that one invalidation removes, by hashes alone: while it waits, a target of 50 KB takes no more than a
/// short one. A key that collides is removed as well, which does no harm.
#[derive(Clone, Copy)]
struct Invalidation {
    key: Hash,
    /// The length of the key's bytes: keys of its flights begin with them.
    length: usize,
    observed: Hash,
    /// The key of the first slice, which tells the version of all others.
    first_slice: Option<Hash>,
    /// The mark of its path, and the hash of its target; only where several keys may have the same target.
    target: Option<(IndexTerm, Hash)>,
}

impl Invalidation {
    fn of(served: &ServedGroup, key: &Key) -> Self {
        let path = key.parts().map(|parts| IndexTerm::path(parts.path));
        Self {
            key: key.hash(),
            length: key.bytes().len(),
            observed: Observer::slot(&served.group, key),
            first_slice: served.group.config().limits.slices.map(|size| Slice::first(size.0).key(key).hash()),
            target: path.zip(target_hash(served, key)),
        }
    }

    /// Whether a flight's key is this key, alone or with a variant.
    fn covers(&self, flight: &Key) -> bool {
        flight.hash() == self.key || flight.bytes().get(..self.length).is_some_and(|bytes| Hash::of(bytes) == self.key)
    }
}

/// The hash that stands for all keys of a target, where the group's keys have more than the target.
fn target_hash(served: &ServedGroup, key: &Key) -> Option<Hash> {
    let parts = key.parts().filter(|_| served.group.keys_more_than_target())?;
    Some(Hash::of(format!("target {} {}{}", parts.group, parts.path, parts.query).as_bytes()))
}

/// The target in the path of an invalidation call.
fn target(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query()?.as_str().strip_prefix(paths::INVALIDATE)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok().filter(|_| target.starts_with('/'))?);
    Uri::from_parts(parts).ok()
}
