//! A reply with a hot response, whole or in part. It holds what it gives by reference count: nothing is locked meanwhile.

use crate::{
    http::header_map,
    request::{
        context::Context,
        repeats::Repeatable,
        reply::{Reply, fields_to_restore},
    },
    state::{
        hot_cache::{Place, StampedHead, Variant},
        listener_config::Side,
    },
};
use arc_swap::Guard;
use meshcache_protocol::{
    Field, Group, Key,
    cache_status::{cache_status, detail},
    freshness::{Part, not_modified, partial},
};
use std::{borrow::Cow, ops::Range, sync::Arc};

/// A reply with a hot response.
pub struct HotReply {
    status: u16,
    head: Head,
    variant: Arc<Variant>,
    /// The part of the variant's body that is given.
    body: Range<usize>,
    restore: Vec<(&'static str, Vec<u8>)>,
    /// The hit, where it holds for the same request for a while.
    pub(crate) repeatable: Option<Repeatable>,
}

/// The reply's header map.
enum Head {
    /// The variant's own.
    Stamped(Guard<Arc<StampedHead>>),
    /// One for this reply.
    Own(Vec<u8>),
}

impl HotReply {
    /// A reply with a part of a hot response. Returns `None` for several ranges, or if only the origin may answer.
    pub(crate) fn new(
        variant: Arc<Variant>,
        part: &Part,
        installation: &str,
        debug: Option<&Key>,
        context: Context<'_>,
    ) -> Option<Self> {
        let (status, now, length) = (variant.stored.status, context.now, variant.body.len());
        if *part == Part::Whole && debug.is_none() {
            let head = variant.stamped(installation, now);
            let restore = fields_to_restore(&head.headers, &variant.body, status);
            return Some(Self {
                status,
                head: Head::Stamped(head),
                variant,
                body: 0..length,
                restore,
                repeatable: None,
            });
        }
        let verdict = variant.verdict(now);
        let said = match debug {
            Some(key) => cache_status(installation, &verdict, &detail("proxy", &verdict, &[]), Some(&key.to_string())),
            None => cache_status(installation, &verdict, "proxy", None),
        };
        let age = (verdict.age / 1000).to_string();
        let end: [Field<'_>; 2] = [(b"age", age.as_bytes()), (b"cache-status", said.as_bytes())];
        let stored = variant.head();
        let with = |range: Option<&str>, keep: fn(&[u8]) -> bool| {
            let range = range.map(|range| (&b"content-range"[..], range.as_bytes()));
            let fields = stored.headers.fields().filter(|(name, _)| keep(name));
            Head::Own(header_map::encode(fields.chain(range).chain(end)))
        };
        let (status, head, body) = match part {
            Part::Whole => (status, with(None, |_| true), 0..length),
            Part::NotModified => (304, with(None, not_modified), 0..0),
            Part::Range(first, last) => {
                let range = usize::try_from(*first).ok()?..usize::try_from(*last).ok()?.checked_add(1)?;
                (206, with(Some(&format!("bytes {first}-{last}/{length}")), partial), range)
            }
            Part::Unsatisfiable => (416, with(Some(&format!("bytes */{length}")), |_| false), 0..0),
            Part::Ranges(_) | Part::Origin => return None,
        };
        let is_whole = *part == Part::Whole;
        let restore = if is_whole { fields_to_restore(&stored.headers, &variant.body, status) } else { Vec::new() };
        Some(Self { status, head, variant, body, restore, repeatable: None })
    }

    /// Returns it as it can be repeated: `until`, in this snapshot. `None`: there is more to do than to reply.
    pub(crate) fn repeatable(
        &self,
        group: &Arc<Group>,
        place: Place,
        generation: u64,
        until: u64,
        side: Option<Side>,
        not_if_verified: bool,
    ) -> Option<Repeatable> {
        let Head::Stamped(head) = &self.head else { return None };
        let (group, variant, head) = (group.clone(), Arc::downgrade(&self.variant), Arc::clone(head));
        self.restore.is_empty().then_some(Repeatable {
            group,
            place,
            variant,
            head,
            generation,
            until,
            side,
            not_if_verified,
        })
    }

    /// The reply, for the host.
    pub fn reply(&self) -> Reply<'_> {
        let map: &[u8] = match &self.head {
            Head::Stamped(head) => head.headers.as_bytes(),
            Head::Own(map) => map,
        };
        Reply {
            status: self.status,
            map: Cow::Borrowed(map),
            body: self.variant.body.get(self.body.clone()).unwrap_or_default(),
            shared_body: None,
            restore: Vec::new(),
        }
    }

    /// The fields that Envoy removes from a reply without a body.
    pub fn into_restore(self) -> Vec<(&'static str, Vec<u8>)> {
        self.restore
    }
}
