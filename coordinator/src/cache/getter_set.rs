//! A value that a program sets: it goes to its key's owner, as entries of a hand-over do.

use crate::{
    cache::{
        getter_key::KeyBytes, getter_load, getter_lookup::GetterGroup, groups::ServedGroup, handover, state::Cache,
        transfer,
    },
    origin::{Error, Value},
    store::Entry,
};
use meshcache_protocol::{Frame, Key, frame};
use std::sync::Arc;

/// Stores a value at its key's owner, or at the first peer after it that answers. What was stored there, and what is
/// being loaded, gives way. All other copies have to be gone already.
pub(crate) async fn set(cache: &Arc<Cache>, group: &GetterGroup, key: KeyBytes, value: Value) -> Result<(), Error> {
    let table = cache.group_table();
    let served = table.named(group.name()).ok_or(Error::Internal("the group is gone"))?;
    let most = served.group.config().limits.object.0.min(served.quota.limit());
    if value.bytes.len() as u64 > most {
        return Err(Error::NotStored(format!(
            "the value is {} bytes, more than the {most} of the group",
            value.bytes.len()
        )));
    }
    let key = Key::from_bytes(key.to_vec());
    let stored = getter_load::freshness(&served.group, &value);
    let entry = getter_load::entry(cache, &served.group, stored, value, cache.consistency.position());
    let (ring, me) = (cache.cluster.ring(), &cache.settings.me);
    let order = ring.order(key.hash()).into_iter().map(|peer| peer.name.as_str());
    let before_me = order.take_while(|name| name != me).filter(|_| cache.cluster.peers.has_token());
    for peer in before_me {
        match handover::send(cache, peer, message(cache, served, &key, &entry)).await {
            Ok(report) if report.taken == 1 => return Ok(()),
            Ok(report) => {
                let why = report.refused.into_keys().next().unwrap_or_default();
                return Err(Error::NotStored(format!("{peer} refuses it: {why}")));
            }
            Err(failure) => {
                tracing::debug!(peer, reason = failure.label(), "value not set at this peer: the next one gets it")
            }
        }
    }
    transfer::replace(cache, served, &key);
    let load = cache.store.begin(key, cache.consistency.position());
    match cache.store.put(&served.quota, &load, Arc::new(entry), cache.clock.now()) {
        true => Ok(()),
        false => Err(Error::NotStored("the store has no room, or the key was removed meanwhile".into())),
    }
}

fn message(cache: &Cache, served: &ServedGroup, key: &Key, entry: &Entry) -> Vec<u8> {
    let mut message = frame::new_message(&cache.consistency.position());
    let fields = entry.tags.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
    let metadata = frame::Metadata {
        stored: entry.stored.clone(),
        selecting: entry.selecting.clone(),
        resident: 0,
        idle: 0,
        warm: false,
        rules: served.group.digest().to_owned(),
        set: true,
    };
    // The group's limit of a value is below that of a frame.
    let _ = Frame { key: key.bytes(), metadata, fields, body: &entry.body }.write(&mut message);
    message
}
