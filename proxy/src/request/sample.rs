//! `mode: observe`: the owner is sometimes asked beside a request that passes. Its response is compared with the one
//! that the proxy's route brings, which shows when a path or a host is rewritten on the way.

use crate::{
    http::{
        head::RequestHead,
        peer_response::{PeerFailure, PeerResponse},
    },
    request::{arrival::Arrival, callout},
    state::{
        hit_for_pass::PassScope,
        listener_config::{Listener, Side},
        lookup::{LookupRequest, PeerLookup},
        worker::Worker,
    },
};
use meshcache_protocol::{
    Field, Group, Key, PassedResponse, Request, Response, Route,
    freshness::{Times, joins},
    request::Flags,
};
use std::sync::Arc;

/// A request of a group that observes, beside which the owner may be asked.
pub(crate) struct Sample<'a> {
    pub(crate) listener: &'a Listener<'a>,
    pub(crate) side: Side,
    pub(crate) group: &'a Arc<Group>,
    pub(crate) request: &'a Request<'a>,
    pub(crate) key: &'a Key,
    pub(crate) route: Option<Route>,
    pub(crate) verified: bool,
}

impl Sample<'_> {
    /// Adds a lookup to the worker's samples, if one is due.
    pub(crate) fn add(self, worker: &mut Worker, arrival: Arrival<'_, '_>, now: u64) {
        let Self { listener, side, group, request, key, route, verified } = self;
        let alone = joins(group, request, verified);
        // Neither a response of one user, nor one to a request with conditions of its own.
        let is_plain =
            alone.is_ok() && !request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL).with(Flags::CACHE_CONTROL));
        let fits = || {
            callout::is_text(request)
                && callout::fits(request, arrival.head.encoded_len(), worker.purge_ack(), route.as_ref())
        };
        let Some(snapshot) = listener.snapshot().filter(|_| is_plain && worker.may_ask_peers() && fits()) else {
            return;
        };
        if !worker.samples.count(group.name(), now) {
            return;
        }
        let Some(peer) = worker.peers.choose(&snapshot.ring, key.hash(), now) else { return };
        let of = LookupRequest {
            side,
            group: group.clone(),
            key: key.clone(),
            route,
            scope: PassScope::new(side, alone),
            shared: false,
            verified,
            to_head: false,
            goes_as_load: false,
            namespace: listener.namespace().map(str::to_owned),
            map: arrival.head.encode(),
            leader: arrival.stream,
        };
        let mut lookup = PeerLookup::new(of, peer, worker.lookup_start(now));
        // No request waits, so the peer need not say soon that it is loading, nor give leave to one.
        (lookup.is_loading, lookup.leave) = (true, false);
        worker.samples.push(lookup);
    }
}

/// Compares the owner's response to a sample. `wall`: Unix milliseconds.
pub fn compare(
    worker: &mut Worker,
    lookup: &PeerLookup,
    response: Result<PeerResponse, PeerFailure>,
    now: u64,
    wall: u64,
) {
    let response = match response {
        Ok(response) => response,
        Err(PeerFailure::Peer) => return worker.peers.note_failure(&lookup.peer.address, now),
        Err(PeerFailure::Stream) => return,
    };
    worker.peers.note_answer(&lookup.peer.address);
    let of = &lookup.request;
    // A response from before a purge, or under other rules, says nothing.
    let is_current = worker
        .snapshot()
        .and_then(|snapshot| snapshot.groups.named(of.group.name()))
        .is_some_and(|current| current.digest() == of.group.digest());
    if !is_current
        || lookup.purges != worker.purge_count()
        || !response.verdict.outcome.has_response()
        || !response.verdict.shared
    {
        return;
    }
    let Some(head) = RequestHead::read(&of.map) else { return };
    let Ok(request) = head.request() else { return };
    let age = (response.verdict.age / 1000).to_string();
    let fields: Vec<Field<'_>> = response.headers.fields().chain([(&b"age"[..], age.as_bytes())]).collect();
    let times = Times { requested: wall.saturating_sub(now.saturating_sub(lookup.sent)), responded: wall };
    let passed = PassedResponse {
        group: &of.group,
        key: &of.key,
        request: &request,
        verified: of.verified,
        response: &Response { status: response.status, fields: &fields },
        times,
        route: of.route.as_ref().map(Route::as_str),
        by_coordinator: true,
    };
    let passing = worker.observed.begin(&passed, now).and_then(|passing| passing.piece(&response.body));
    if let Some(compared) = passing.and_then(|passing| worker.observed.finish(passing, now)) {
        worker.counters.count_comparison(&of.group, &compared);
    }
}
