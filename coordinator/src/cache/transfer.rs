//! Entries on their way between stores: as frames, with their age and all that decides about them; and what keeps one
//! out.

use crate::{
    cache::{groups::ServedGroup, state::Cache, transfer_report::Refused},
    store::{Entry, Parts, PurgeGuard, Recency},
};
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{Frame, Key, frame, purge::Position};
use std::sync::Arc;

/// How entries come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// Somebody asks for the key: this coordinator has asked for it in turn.
    Peeked,
    /// The sender leaves: it has its place by how it was used there.
    Pushed,
}

impl Cache {
    /// Appends a key's entries as frames. What is too long for one stays behind.
    pub(crate) fn write_frames(
        &self,
        key: &Key,
        entries: &[Arc<Entry>],
        used: Recency,
        rules: &str,
        out: &mut Vec<u8>,
    ) {
        let now = self.clock.now();
        // A part is not worth it, and who does not know parts would take it for the whole.
        for entry in entries.iter().filter(|entry| !entry.is_part()) {
            let fields = entry
                .fields
                .iter()
                .chain(&entry.tags)
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
                .collect();
            let metadata = frame::Metadata {
                stored: entry.stored.clone(),
                selecting: entry.selecting.clone(),
                resident: entry.resident(now),
                idle: now.saturating_sub(used.touched),
                warm: used.warm,
                rules: rules.to_owned(),
            };
            let _ = Frame { key: key.bytes(), metadata, fields, body: &entry.body }.write(out);
        }
    }

    /// Takes an entry of another coordinator into the store. `load` began before its sender was asked or heard, and
    /// `late` milliseconds have passed since: so much older it may be than it says. `there`: the purges that its
    /// sender had carried out on it.
    pub(crate) fn take_in(
        &self,
        served: &ServedGroup,
        load: &PurgeGuard,
        frame: &Frame<'_>,
        late: u64,
        there: &Arc<Position>,
        comes: Comes,
    ) -> Result<(), Refused> {
        let now = self.clock.now();
        if frame.metadata.rules != served.group.digest() {
            return Err(Refused::Rules);
        }
        let fields: Vec<_> = frame.fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let entry = Arc::new(Entry::new(Parts {
            status: StatusCode::from_u16(frame.metadata.stored.status).map_err(|_| Refused::Broken)?,
            fields,
            tags: &served.group.config().tags.header.to_ascii_lowercase(),
            body: Bytes::from(frame.body.to_vec().into_boxed_slice()),
            selecting: frame.metadata.selecting.clone(),
            stored: frame.metadata.stored.clone(),
            arrived: now.saturating_sub(frame.metadata.resident).saturating_sub(late),
            position: there.clone(),
        }));
        if entry.deadline() <= now {
            return Err(Refused::Expired);
        }
        let is_known = |held: &Arc<Entry>| held.replaces(&entry) && held.arrived >= entry.arrived;
        if self.store.peek(&served.quota, load.key(), now).is_some_and(|(held, _)| held.iter().any(is_known)) {
            return Err(Refused::Known);
        }
        if self.was_invalidated(served, load.key(), entry.arrived) {
            return Err(Refused::Invalidated);
        }
        if !self.admits(load, &entry) {
            return Err(Refused::Purged);
        }
        let stored = match comes {
            Comes::Peeked => self.store.put(&served.quota, load, entry.clone(), now),
            Comes::Pushed => {
                let used = Recency { warm: frame.metadata.warm, touched: now.saturating_sub(frame.metadata.idle) };
                self.store.put_transferred(&served.quota, load, entry.clone(), now, used)
            }
        };
        match stored {
            true => Ok(()),
            false if load.is_purged(&entry) => Err(Refused::Purged),
            false => Err(Refused::NoRoom),
        }
    }
}
