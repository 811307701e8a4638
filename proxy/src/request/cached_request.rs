//! A request of a group whose mode is on: answered from the hot cache, or looked up at a peer.

use crate::{
    request::{
        arrival::{Arrival, Facts},
        callout,
        context::Context,
        hot_reply::HotReply,
        pass::{Pass, count_pass},
        repeats::NAMES_OF_REQUESTS,
        stale_fallback::StaleFallback,
        step::{Callout, Step},
    },
    state::{
        counters::{Event, Outcome, Reason},
        hit_for_pass::PassScope,
        hot_cache::{HotCache, Variant},
        listener_config::{Listener, Side},
        lookup::{LookupRequest, PeerLookup},
        pending::{Joinable, Joiner},
        snapshot::Snapshot,
        worker::Worker,
    },
};
use meshcache_protocol::{
    Group, Request, Response, Route,
    freshness::{Part, Reuse, joins, part, reuse, token_names_user},
    key::RequestKey,
    reason::Word,
    request::Flags,
};
use std::sync::Arc;

/// A request that the cache may answer, with its key.
pub(crate) struct CachedRequest<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) listener: &'a Listener<'a>,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) side: Side,
    pub(crate) group: &'a Arc<Group>,
    pub(crate) request: &'a Request<'a>,
    pub(crate) key: RequestKey,
    pub(crate) route: Option<Route>,
    pub(crate) facts: &'a dyn Facts,
    /// It gets reasons and key in Cache-Status.
    pub(crate) debug: bool,
}

/// The result of a lookup in the hot cache.
enum HotLookup {
    /// This part of this response.
    Hit(Arc<Variant>, Part),
    /// A response with which only the origin may judge the request's conditions.
    OriginOnly,
    /// Nothing.
    Miss,
}

impl CachedRequest<'_> {
    /// Answers the request from the hot cache, else looks it up at the key's owner.
    pub(crate) fn answer<'w>(
        &self,
        arrival: Arrival<'_, '_>,
        worker: impl FnOnce() -> &'w mut Worker,
    ) -> Step<HotReply> {
        match self.look_up_hot() {
            HotLookup::Hit(variant, part) => {
                self.context.counters().count_request(self.group.name(), Outcome::Hot);
                let debug = self.debug.then(|| self.key.to_key());
                let repeats_until = self.repeats_until(&variant);
                let not_if_verified = !variant.stored.for_everybody && token_names_user(self.group);
                match HotReply::new(variant, &part, &self.snapshot.installation, debug.as_ref(), self.context) {
                    Some(mut reply) => {
                        reply.repeatable = repeats_until.and_then(|until| {
                            let place = HotCache::place_of(self.side, self.key.by_ref());
                            let generation = self.listener.generation();
                            let side = self.listener.asks_side().then_some(self.side);
                            reply.repeatable(self.group, place, generation, until, side, not_if_verified)
                        });
                        Step::Reply(reply)
                    }
                    None => Step::Pass(Pass::unnoticed(Reason::Host)),
                }
            }
            HotLookup::OriginOnly => Step::Pass(self.pass(Reason::Conditional)),
            HotLookup::Miss => self.look_up_beyond(arrival, worker),
        }
    }

    /// Returns until when the same request gets this response whole, if nothing but time, snapshot, hot cache, route and
    /// a verified token can change that.
    fn repeats_until(&self, variant: &Variant) -> Option<u64> {
        let asks_for = |name: &str| {
            let bypass = &self.group.config().bypass.headers;
            self.group.key_headers().any(|header| header == name)
                || bypass.iter().any(|header| header == name)
                || variant.selecting.has(name)
        };
        let is_plain = self.request.flags == Flags::default()
            && !self.debug
            && !self.group.is_guarded()
            && !self.group.keys_route()
            && !NAMES_OF_REQUESTS.into_iter().any(asks_for);
        is_plain.then(|| self.listener.side_holds_until().min(variant.stamp_ends(self.context.now)))
    }

    fn look_up_hot(&self) -> HotLookup {
        let Context { state, now, .. } = self.context;
        if !state.may_serve_hot(now) {
            return HotLookup::Miss;
        }
        let Some(variant) = state.hot.look_up(self.side, self.key.by_ref(), self.group.digest(), self.request, now)
        else {
            return HotLookup::Miss;
        };
        let resident = now.saturating_sub(variant.arrived);
        // A response for everybody is also for requests with a token.
        let verified = !variant.stored.for_everybody && token_names_user(self.group) && self.facts.verified();
        if reuse(self.group, self.request, verified, Some(&variant.stored), resident) != Reuse::Fresh {
            return HotLookup::Miss;
        }
        if !self.request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL)) {
            return HotLookup::Hit(variant, Part::Whole);
        }
        let part = {
            let head = variant.head();
            let fields: Vec<_> = head.headers.fields().collect();
            let stored = Response { status: variant.stored.status, fields: &fields };
            part(self.request, &stored, variant.body.len() as u64)
        };
        match part {
            // The owner assembles several ranges.
            Part::Ranges(_) => HotLookup::Miss,
            Part::Origin => HotLookup::OriginOnly,
            part => HotLookup::Hit(variant, part),
        }
    }

    /// Passes where the owner passed lately, else looks up at a peer.
    fn look_up_beyond<'w>(&self, arrival: Arrival<'_, '_>, worker: impl FnOnce() -> &'w mut Worker) -> Step<HotReply> {
        let Context { state, now, .. } = self.context;
        let verified = self.facts.verified();
        let alone = joins(self.group, self.request, verified);
        let scope = PassScope::new(self.side, alone);
        if let Some(owners) = state.hit_for_pass.get(self.key.by_ref(), scope, self.request, now) {
            let detail = if owners.is_empty() { Reason::Owner.into() } else { owners };
            return Step::Pass(self.pass_with_detail(Reason::Remembered, detail));
        }
        if !callout::is_text(self.request) {
            return Step::Pass(self.pass(Reason::NotText));
        }
        // only-if-cached has a response of its own, 504, for that request alone.
        let only_if_cached = self.request.flags.any(Flags::CACHE_CONTROL)
            && reuse(self.group, self.request, verified, None, 0) == Reuse::OnlyIfCached;
        let shared = alone.is_ok() && !only_if_cached;
        self.look_up_at_peer(worker(), arrival, verified, scope, shared)
    }

    /// Joins the lookup in flight for this key, or begins one.
    fn look_up_at_peer(
        &self,
        worker: &mut Worker,
        arrival: Arrival<'_, '_>,
        verified: bool,
        scope: PassScope,
        shared: bool,
    ) -> Step<HotReply> {
        let (now, key) = (self.context.now, self.key.to_key());
        let map_len = arrival.head.encoded_len();
        if !callout::fits(self.request, map_len, worker.purge_ack(), self.route.as_ref()) {
            return Step::Pass(self.pass(Reason::RequestHeadTooLarge));
        }
        if shared {
            let purges = worker.purge_count();
            match worker.lookups.find_joinable(self.side, &key, self.group, purges, map_len) {
                Joinable::Yes(id) => {
                    let map = arrival.head.encode();
                    let joiner = Joiner { stream: arrival.stream, map, debug: self.debug, arrived: now };
                    worker.lookups.join(id, joiner);
                    worker.counters.count_event(Event::Joined);
                    return Step::Wait;
                }
                Joinable::Full => return Step::Pass(self.pass(Reason::Full)),
                Joinable::NotFound => {}
            }
        }
        let peer =
            if worker.may_ask_peers() { worker.peers.choose(&self.snapshot.ring, key.hash(), now) } else { None };
        worker.start_attention(now);
        let Some(peer) = peer else {
            let fallback =
                StaleFallback::find(&worker.state, self.side, self.group, key.by_ref(), self.request, verified, now);
            return Step::Pass(Pass { fallback, ..self.pass(Reason::NoPeer) });
        };
        let of = LookupRequest {
            side: self.side,
            group: self.group.clone(),
            key,
            route: self.route.clone(),
            scope,
            shared,
            verified,
            to_head: self.request.is_head(),
            goes_as_load: arrival.head.goes_as_load(),
            namespace: self.listener.namespace().map(str::to_owned),
            map: arrival.head.encode(),
            leader: arrival.stream,
        };
        let lookup = PeerLookup::new(of, peer, worker.lookup_start(now));
        let timeout = lookup.call_timeout();
        match worker.lookups.open(lookup, self.debug) {
            Some(lookup) => {
                worker.counters.count_event(Event::Lookup);
                Step::CallOut(Callout { lookup, timeout })
            }
            None => Step::Pass(self.pass(Reason::Full)),
        }
    }

    fn pass(&self, reason: Reason) -> Pass {
        self.pass_with_detail(reason, reason.into())
    }

    /// Passes with another detail in Cache-Status than the reason.
    fn pass_with_detail(&self, reason: Reason, detail: Word) -> Pass {
        count_pass(&mut self.context.counters(), self.group, reason);
        Pass::with_reason(&self.snapshot.installation, reason, detail, self.debug.then(|| self.key.to_key()).as_ref())
    }
}
