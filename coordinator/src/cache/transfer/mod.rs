//! Entries that move between coordinators: written as frames, with their age and all that decides about them, and taken
//! into the receiver's store unless something here speaks against it.

#[cfg(test)]
mod tests;

use crate::{
    cache::{
        groups::ServedGroup,
        invalidation, removal,
        state::Cache,
        transfer_report::{Refusal, TransferReport},
    },
    consistency::catch_up::Claim,
    http::body::Body,
    store::{Entry, Parts, PurgeGuard, Recency},
};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use meshcache_protocol::{
    Frame, Key,
    frame::{self, BadFrame},
    purge::Position,
};
use std::{sync::Arc, time::Duration};

/// The length at which a message is sent: a receiver reads that much, or one entry that is larger.
pub(crate) const MESSAGE: usize = 1 << 20;
/// How long a message may take on its way.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Why an entry is sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferKind {
    /// A request needs it: this coordinator has asked for it.
    Peek,
    /// Its sender leaves: it keeps the rank that its use there gives it.
    HandOver,
    /// It was set: it is newer than all that is stored under its key.
    Set,
}

/// Appends a key's entries as frames. An entry that is too long for one is left out.
pub(crate) fn write(cache: &Cache, key: &Key, entries: &[Arc<Entry>], used: Recency, rules: &str, out: &mut Vec<u8>) {
    let now = cache.clock.now();
    // A part is not worth it, and a receiver that does not know parts would take it for the whole. The first slice of a
    // file is found at the owner of the file, where its own key does not lead.
    let moves = |entry: &&Arc<Entry>| !entry.is_part() && entry.slice_extent().is_none_or(|extent| extent.first > 0);
    for entry in entries.iter().filter(moves) {
        let fields = entry.all_lines().map(|(name, value)| (name.as_str().as_bytes(), value)).collect();
        let metadata = frame::Metadata {
            stored: entry.stored_on_arrival(),
            selecting: entry.selecting.clone(),
            resident: entry.in_store(now),
            idle: now.saturating_sub(used.touched),
            warm: used.warm,
            rules: rules.to_owned(),
            set: false,
        };
        let _ = Frame { key: key.bytes(), metadata, fields, body: entry.body_bytes() }.write(out);
    }
}

/// Reads a message to its end. `None`: it is too long, was cut or took too long.
pub(crate) async fn read_message(body: Body) -> Option<Vec<u8>> {
    let limited = http_body_util::Limited::new(body, frame::MAX_FRAME + MESSAGE);
    let collected = tokio::time::timeout(PATIENCE, limited.collect()).await.ok()?.ok()?;
    Some(collected.to_bytes().into())
}

/// Takes the entries that a leaving coordinator hands over. `began`: when their message began to arrive, by the cache's
/// clock.
pub(crate) async fn receive(cache: &Cache, message: &[u8], began: u64) -> Result<TransferReport, BadFrame> {
    let (position, frames) = frame::read(message)?;
    // The sender may know purges that are news here.
    let is_current = cache.consistency.catch_up(Claim::Peer(&position.to_string())).await;
    let position = Arc::new(position);
    let rules = cache.group_table();
    let late = cache.clock.now().saturating_sub(began);
    let mut report = TransferReport::default();
    for frame in &frames {
        let key = Key::from_bytes(frame.key.to_vec());
        report.count(match key.parts().map(|parts| rules.named(parts.group)) {
            Some(Some(_)) if !is_current => Err(Refusal::Purged),
            Some(Some(served)) => {
                let kind = if frame.metadata.set { TransferKind::Set } else { TransferKind::HandOver };
                if kind == TransferKind::Set {
                    replace(cache, served, &key);
                }
                let load = cache.store.begin(key.clone(), cache.consistency.position());
                take(cache, served, &load, frame, late, &position, kind)
            }
            Some(None) => Err(Refusal::Rules),
            None => Err(Refusal::Broken),
        });
    }
    cache.metrics.count_received(report.by_outcome());
    Ok(report)
}

/// Makes room for a value that was set: what is stored under its key goes, and what is being loaded is stored nowhere.
pub(crate) fn replace(cache: &Cache, served: &ServedGroup, key: &Key) {
    cache.store.remove(&served.quota, key.hash(), cache.clock.now());
    cache.loads.detach(|loading| loading == key);
    cache.peer_loads.detach(|loading| loading == key);
}

/// Takes one entry into the store. `load` began before its sender was asked or its message read. `late`: the
/// milliseconds since then, by which the entry may be older than its frame says. `position`: the purges that its sender
/// had carried out on it.
pub(crate) fn take(
    cache: &Cache,
    served: &ServedGroup,
    load: &PurgeGuard,
    frame: &Frame<'_>,
    late: u64,
    position: &Arc<Position>,
    kind: TransferKind,
) -> Result<(), Refusal> {
    let now = cache.clock.now();
    if frame.metadata.rules != served.group.digest() {
        return Err(Refusal::Rules);
    }
    let fields: Vec<_> = frame.fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let entry = Entry::new(Parts {
        status: StatusCode::from_u16(frame.metadata.stored.status).map_err(|_| Refusal::Broken)?,
        fields,
        tags: &served.group.config().tags.header.to_ascii_lowercase(),
        body: Bytes::from(frame.body.to_vec().into_boxed_slice()),
        selecting: frame.metadata.selecting.clone(),
        stored: frame.metadata.stored.clone(),
        arrived: now.saturating_sub(frame.metadata.resident).saturating_sub(late),
        position: position.clone(),
    });
    let entry = Arc::new(entry);
    if entry.deadline() <= now {
        return Err(Refusal::Expired);
    }
    let is_known = |held: &Arc<Entry>| held.replaces(&entry) && held.arrived >= entry.arrived;
    let is_set = kind == TransferKind::Set;
    if !is_set && cache.store.peek(&served.quota, load.key(), now).is_some_and(|(held, _)| held.iter().any(is_known)) {
        return Err(Refusal::Known);
    }
    if !is_set && invalidation::was_invalidated(cache, served, load.key(), entry.arrived) {
        return Err(Refusal::Invalidated);
    }
    // The load has begun: a purge that comes from here on keeps the entry out of the store.
    if !cache.consistency.position().covers(position) {
        // The sender knows purges that this coordinator does not.
        cache.consistency.request_catch_up();
        return Err(Refusal::Purged);
    }
    if removal::is_purged(cache, load.key(), &entry) {
        return Err(Refusal::Purged);
    }
    let stored = match kind {
        TransferKind::Peek => cache.store.put(&served.quota, load, entry.clone(), now),
        TransferKind::Set => cache.store.put_set(&served.quota, load, entry.clone(), now),
        TransferKind::HandOver => {
            let used = Recency { warm: frame.metadata.warm, touched: now.saturating_sub(frame.metadata.idle) };
            cache.store.put_transferred(&served.quota, load, entry.clone(), now, used)
        }
    };
    match stored {
        true => Ok(()),
        false if load.is_purged(&entry) => Err(Refusal::Purged),
        false => Err(Refusal::NoRoom),
    }
}
