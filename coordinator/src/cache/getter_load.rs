//! One load from a group's getter: its value as a stored response, or its error for all who wait.

use crate::{
    cache::{
        getter_key,
        groups::ServedGroup,
        insertion,
        insertion::LoadTarget,
        load_outcome::{Audience, LoadOutcome, LoadedResponse, loaded, loaded_since},
        origin_response::{failed, may_serve_on_error},
        response,
        state::Cache,
    },
    jitter::random,
    origin::{Error, Failure, FailureScope, GetterOrigin, Value},
    store::{Entry, Parts},
};
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{
    Group,
    freshness::{LifetimeRule, Selecting, Stored},
    purge::Position,
    wire::{Outcome, Verdict},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The status of a value.
pub(crate) const VALUE: StatusCode = StatusCode::OK;
/// The status of a key without a value.
pub(crate) const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
/// The status of a getter's failure. Its text is the body.
pub(crate) const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// How long a value without a lifetime is fresh, milliseconds: longer than any clock counts.
const FOREVER: u64 = u64::MAX / 4;

/// Calls the getter for a key. `path`: the key's.
pub(crate) async fn load(
    cache: &Cache,
    target: &LoadTarget<'_>,
    origin: &GetterOrigin,
    path: &str,
    is_refresh: bool,
) -> LoadOutcome {
    let LoadTarget { served, load, stale, .. } = *target;
    let Some(key) = getter_key::read(path) else { return LoadOutcome::Failed(Failure::Internal) };
    let metrics = &served.metrics;
    if is_refresh { &metrics.service_refreshes } else { &metrics.service_loads }.inc();
    let (began, most) = (Instant::now(), served.group.config().limits.object.0.min(served.quota.limit()));
    let answer = origin.get(&key, most).await;
    metrics.origin_seconds.observe(began.elapsed().as_secs_f64());
    let (status, stored, value) = match answer {
        Ok(value) => (VALUE, freshness(&served.group, &value), value),
        Err(Error::NotFound { ttl }) => (NOT_FOUND, absence(&served.group, ttl), Value::default()),
        Err(Error::Timeout) => return failed(cache, target, Failure::Timeout),
        Err(error) => {
            metrics.local_load_errs.inc();
            let scope = FailureScope::Key { retry_after: 0 };
            served.backoff.record_failure(load.key().hash(), scope, cache.clock.now(), random());
            return match stale {
                Some(entry) if may_serve_on_error(cache, target, entry) => {
                    loaded(entry, Verdict::new(Outcome::Stale).because("origin-error"), cache.clock.now())
                }
                _ => {
                    let text = Value::from(error.to_string());
                    for_waiters(cache, served, FAILED, text, load.position().clone(), began)
                }
            };
        }
    };
    metrics.local_load.inc();
    served.backoff.record_success(load.key().hash());
    if stored.retention() == 0 {
        if stale.is_some() {
            // It is older than this answer.
            cache.store.remove(&served.quota, load.key().hash(), cache.clock.now());
        }
        return for_waiters(cache, served, status, value, load.position().clone(), began);
    }
    let entry = Arc::new(entry(cache, served, stored, value, load.position().clone()));
    let mut verdict = Verdict::new(Outcome::Miss);
    verdict.fwd_status = status.as_u16();
    verdict.stored = insertion::put(cache, served, load, &entry).is_ok();
    loaded_since(&entry, verdict, cache.clock.now(), began)
}

/// The outcome for all who wait, whenever they came. It is stored nowhere.
fn for_waiters(
    cache: &Cache,
    served: &ServedGroup,
    status: StatusCode,
    value: Value,
    position: Arc<Position>,
    began: Instant,
) -> LoadOutcome {
    let mut verdict = Verdict::new(Outcome::Miss);
    (verdict.fwd_status, verdict.shared, verdict.waiters) = (status.as_u16(), true, true);
    let entry = Arc::new(entry(cache, served, verdict.to_stored(status.as_u16()), value, position));
    let verdict = Verdict { why: None, ..response::with_age(verdict, &entry, cache.clock.now()) };
    LoadOutcome::Loaded(LoadedResponse {
        entry,
        verdict,
        audience: Audience::Waiters,
        began,
        growing: None,
        leave: None,
    })
}

/// A value as a stored response that arrives now.
pub(crate) fn entry(
    cache: &Cache,
    served: &ServedGroup,
    stored: Stored,
    value: Value,
    position: Arc<Position>,
) -> Entry {
    let name = served.group.config().tags.header.to_ascii_lowercase();
    let fields = if value.tags.is_empty() { Vec::new() } else { vec![tag_field(&name, &value.tags)] };
    // Slices of a larger buffer would hold all of it.
    let body = Bytes::from(value.bytes.to_vec().into_boxed_slice());
    Entry::new(Parts {
        status: StatusCode::from_u16(stored.status).unwrap_or(FAILED),
        fields,
        tags: &name,
        body,
        selecting: Selecting::default(),
        stored,
        arrived: cache.clock.now(),
        position,
    })
}

/// The field that has a value's tags. What is no tag is left out.
pub(crate) fn tag_field(name: &str, tags: &[String]) -> (Vec<u8>, Vec<u8>) {
    let is_tag = |tag: &&String| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    let words: Vec<&str> = tags.iter().filter(is_tag).map(String::as_str).collect();
    (name.as_bytes().to_vec(), words.join(" ").into_bytes())
}

/// The freshness of a value.
pub(crate) fn freshness(group: &Group, value: &Value) -> Stored {
    let rules = &group.config().freshness;
    let or = |own: Option<Duration>, groups: u64| own.map_or(groups, millis);
    let default = match rules.default.as_millis() {
        0 => FOREVER,
        ttl => ttl,
    };
    Stored {
        lifetime: or(value.ttl, default).min(FOREVER),
        while_revalidate: or(value.stale_while_revalidate, rules.stale_while_revalidate.as_millis()).min(FOREVER),
        if_error: or(value.stale_if_error, rules.stale_if_error.as_millis()).min(FOREVER),
        why: if value.ttl.is_some() { LifetimeRule::MaxAge } else { LifetimeRule::Default },
        ..Stored::fresh_for(VALUE.as_u16(), 0)
    }
}

/// The freshness of the answer that a key has no value.
fn absence(group: &Group, ttl: Option<Duration>) -> Stored {
    let listed = group.config().freshness.status.iter().next().map_or(0, |(_, ttl)| ttl.as_millis());
    Stored {
        why: LifetimeRule::Status,
        ..Stored::fresh_for(NOT_FOUND.as_u16(), ttl.map_or(listed, millis).min(FOREVER))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
