//! Requests that come again as they were, for which there is a hot response. They are answered without reading them: no
//! head is parsed, no group is sought, no key is made.
//!
//! What was decided for a request holds for the same bytes, except for what time, snapshot, hot cache and host say. All
//! these are asked anew, or limit how long it holds.

use crate::{
    http::header_map::HeaderMap,
    request::{arrival::Facts, context::Context, reply::Reply},
    state::{
        counters::Outcome,
        hot_cache::{Place, StampedHead, Variant},
        listener_config::Side,
    },
};
use meshcache_protocol::{Field, Group};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, Weak},
};

/// How many requests are kept.
const SLOTS: usize = 256;
/// The most bytes of the two heads of a hit that is kept, of the request and of the response. All are some 1 MiB at
/// most, beside the hot cache.
const MAX_HEADS: usize = 4 << 10;
/// The fields that differ in each request. They only name it, unless its group or its response asks for them.
pub(super) const NAMES_OF_REQUESTS: [&str; 5] =
    ["x-request-id", "traceparent", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid"];

/// A hot hit that holds for the same request for a while.
pub struct Repeatable {
    pub(super) group: Arc<Group>,
    pub(super) place: Place,
    /// Gone with the hot cache's own.
    pub(super) variant: Weak<Variant>,
    pub(super) head: Arc<StampedHead>,
    /// The number of the snapshot.
    pub(super) generation: u64,
    /// Until when it holds.
    pub(super) until: u64,
    /// The side that the host has to name for the request, where no side is configured.
    pub(super) side: Option<Side>,
    /// It is not for a request whose token the proxy verified. Such a token may be gone from the head.
    pub(super) not_if_verified: bool,
}

/// Hot hits by the header maps of their requests, in one thread.
pub struct Repeats {
    slots: Box<[Option<Box<Slot>>]>,
}

struct Slot {
    /// The header map of the request.
    map: Box<[u8]>,
    /// Where it has values of [`NAMES_OF_REQUESTS`].
    names: SmallVec<[Range<usize>; 2]>,
    hit: Repeatable,
}

/// The reply to a request that came again.
pub struct RepeatedReply {
    head: Arc<StampedHead>,
    variant: Arc<Variant>,
}

impl Repeatable {
    /// Returns it with a copy of its head: threads that repeat it do not count the users of one head together.
    #[must_use]
    pub fn unshared(self) -> Self {
        Self { head: Arc::new(StampedHead::clone(&self.head)), ..self }
    }
}

impl Default for Repeats {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| None).collect() }
    }
}

impl Repeats {
    /// Returns the reply to a request without a body that has this header map, and counts it. `None` decides nothing: the
    /// head has to be read.
    pub fn answer(&self, context: Context<'_>, map: &[u8], facts: &dyn Facts) -> Option<RepeatedReply> {
        self.answer_if(context, place(map)?, |slot| slot.is_for(map), facts)
    }

    /// Does what [`Repeats::answer`] does, for the fields of a head that is in no map.
    pub fn answer_fields<'f>(
        &self,
        context: Context<'_>,
        fields: impl Iterator<Item = Field<'f>> + Clone,
        facts: &dyn Facts,
    ) -> Option<RepeatedReply> {
        let at = place_among(fields.clone())?;
        self.answer_if(context, at, |slot| slot.is_for_fields(fields), facts)
    }

    fn answer_if(
        &self,
        context: Context<'_>,
        at: usize,
        is_for: impl FnOnce(&Slot) -> bool,
        facts: &dyn Facts,
    ) -> Option<RepeatedReply> {
        let Context { state, now, .. } = context;
        let slot = self.slots.get(at)?.as_ref()?;
        let hit = &slot.hit;
        let holds = now < hit.until && hit.generation == state.generation() && state.may_serve_hot(now);
        if !holds || !is_for(slot) {
            return None;
        }
        let variant = hit.variant.upgrade().filter(|variant| variant.is_latest())?;
        let is_other_side = hit.side.is_some_and(|side| facts.side() != side);
        if is_other_side || !facts.is_routed() || (hit.not_if_verified && facts.verified()) {
            return None;
        }
        state.hot.note_use(hit.place, &variant);
        context.counters().count_request(hit.group.name(), Outcome::Hot);
        Some(RepeatedReply { head: hit.head.clone(), variant })
    }

    /// Keeps a hot hit for when the request with this header map comes again.
    pub fn note(&mut self, map: &[u8], hit: Repeatable) {
        if map.len().saturating_add(hit.head.headers.size()) > MAX_HEADS {
            return;
        }
        match place(map).and_then(|at| self.slots.get_mut(at)) {
            // Only what time has changed.
            Some(Some(slot)) if slot.is_for(map) => slot.hit = hit,
            Some(slot) => *slot = Some(Box::new(Slot { map: map.into(), names: names(map), hit })),
            None => {}
        }
    }
}

impl Slot {
    /// Returns whether a map is that of the same request, whatever its name.
    fn is_for(&self, map: &[u8]) -> bool {
        let mut from = 0;
        let end = std::iter::once(self.map.len()..self.map.len());
        map.len() == self.map.len()
            && self.names.iter().cloned().chain(end).all(|name| {
                let range = std::mem::replace(&mut from, name.end)..name.start;
                map.get(range.clone()) == self.map.get(range)
            })
    }

    /// Returns whether fields are those of the same request, whatever its name.
    fn is_for_fields<'f>(&self, mut fields: impl Iterator<Item = Field<'f>>) -> bool {
        let mut own = HeaderMap::parse(&self.map).unwrap_or_default();
        let is_same = own.all(|(name, value)| {
            fields.next().is_some_and(|field| {
                field == (name, value) || (field.0 == name && is_name(name) && field.1.len() == value.len())
            })
        });
        is_same && fields.next().is_none()
    }
}

impl RepeatedReply {
    /// The reply, for the host.
    pub fn reply(&self) -> Reply<'_> {
        Reply {
            status: self.variant.stored.status,
            map: Cow::Borrowed(self.head.headers.as_bytes()),
            body: &self.variant.body,
            shared_body: None,
            restore: Vec::new(),
        }
    }
}

/// Returns the place of a map: its target decides.
fn place(map: &[u8]) -> Option<usize> {
    place_among(HeaderMap::parse(map)?)
}

fn place_among<'f>(mut fields: impl Iterator<Item = Field<'f>>) -> Option<usize> {
    let (_, target) = fields.find(|(name, _)| *name == b":path")?;
    let hash = target.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash as usize).checked_rem(SLOTS)
}

/// Returns where a map has values that only name the request.
fn names(map: &[u8]) -> SmallVec<[Range<usize>; 2]> {
    let range = |value: &[u8]| {
        let start = (value.as_ptr() as usize).checked_sub(map.as_ptr() as usize)?;
        Some(start..start.checked_add(value.len())?)
    };
    let fields = HeaderMap::parse(map).into_iter().flatten();
    fields.filter(|(name, _)| is_name(name)).filter_map(|(_, value)| range(value)).collect()
}

/// Returns whether a field only names its request.
fn is_name(field: &[u8]) -> bool {
    NAMES_OF_REQUESTS.iter().any(|known| known.as_bytes() == field)
}
