//! A value that a program sets: it goes to its key's owner, as entries of a hand-over do.

use crate::{
    cache::{getter_load, getter_lookup::GetterGroup, groups::ServedGroup, handover, state::Cache, transfer},
    origin::{Error, Value},
    store::Entry,
};
use meshcache_protocol::{Frame, Key, frame};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Stores a value at its key's owner. What is being loaded gives way, on all nodes. What was stored has to be gone
/// already.
pub(crate) async fn set(cache: &Arc<Cache>, group: &GetterGroup, key: Vec<u8>, value: Value) -> Result<(), Error> {
    let table = cache.group_table();
    let served = table.named(group.name()).ok_or(Error::Internal("the group is gone"))?;
    let most = served.group.config().limits.object.0.min(served.quota.limit());
    if value.bytes.len() as u64 > most {
        return Err(Error::NotStored(format!(
            "the value is {} bytes, more than the {most} of the group",
            value.bytes.len()
        )));
    }
    let key = Key::from_bytes(key);
    let stored = getter_load::freshness(&served.group, &value);
    let entry = getter_load::entry(cache, served, stored, value, cache.consistency.position());
    let at = store(cache, served, &key, entry).await?;
    replace_elsewhere(cache, served, &key, &at).await;
    Ok(())
}

/// Stores a value at its owner, or at the first peer after it that answers. Returns which one has it.
async fn store(cache: &Arc<Cache>, served: &ServedGroup, key: &Key, entry: Entry) -> Result<String, Error> {
    let (ring, me) = (cache.cluster.ring(), &cache.settings.me);
    let order = ring.order(key.hash()).into_iter().map(|peer| peer.name.as_str());
    let before_me = order.take_while(|name| name != me).filter(|_| cache.cluster.peers.has_token());
    for peer in before_me {
        match handover::send(cache, peer, message(cache, key, &entry, served.group.digest())).await {
            Ok(report) if report.taken == 1 => return Ok(peer.to_owned()),
            Ok(report) => {
                let why = report.refused.into_keys().next().unwrap_or_default();
                return Err(Error::NotStored(format!("{peer} refuses it: {why}")));
            }
            Err(failure) => {
                tracing::debug!(peer, reason = failure.label(), "value not set at this peer: the next one gets it")
            }
        }
    }
    transfer::replace(cache, served, key);
    let load = cache.store.begin(key.clone(), cache.consistency.position());
    match cache.store.put_set(&served.quota, &load, Arc::new(entry), cache.clock.now()) {
        true => Ok(me.clone()),
        false => Err(Error::NotStored("the store has no room, or the key was removed meanwhile".into())),
    }
}

/// Has all other nodes forget the key once more: since its removal they may have asked for what was there before.
async fn replace_elsewhere(cache: &Arc<Cache>, served: &ServedGroup, key: &Key, at: &str) {
    let me = &cache.settings.me;
    if at != *me {
        transfer::replace(cache, served, key);
    }
    let nothing = getter_load::entry(
        cache,
        served,
        getter_load::freshness(&served.group, &Value::default()),
        Value::default(),
        cache.consistency.position(),
    );
    let mut calls = JoinSet::new();
    let ring = cache.cluster.ring();
    let others = ring.peers().iter().filter(|peer| peer.name != at && peer.name != *me);
    for peer in others.filter(|_| cache.cluster.peers.has_token()) {
        // Under the rules of no group it replaces what is there, and is stored nowhere.
        let (cache, name, message) = (cache.clone(), peer.name.clone(), message(cache, key, &nothing, ""));
        calls.spawn(async move {
            if let Err(failure) = handover::send(&cache, &name, message).await {
                tracing::debug!(peer = name, reason = failure.label(), "this peer may still load an earlier value");
            }
        });
    }
    while calls.join_next().await.is_some() {}
}

fn message(cache: &Cache, key: &Key, entry: &Entry, rules: &str) -> Vec<u8> {
    let mut message = frame::new_message(&cache.consistency.position());
    let fields = entry.all_lines().map(|(name, value)| (name.as_str().as_bytes(), value)).collect();
    let metadata = frame::Metadata {
        stored: entry.stored_on_arrival(),
        selecting: entry.selecting.clone(),
        resident: 0,
        idle: 0,
        warm: false,
        rules: rules.to_owned(),
        set: true,
    };
    // The group's limit of a value is below that of a frame.
    let _ = Frame { key: key.bytes(), metadata, fields, body: entry.body_bytes() }.write(&mut message);
    message
}
