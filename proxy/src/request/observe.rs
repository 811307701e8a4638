//! `mode: observe` in the proxy: a request that passes and would have been looked up, and its response on the way back.

use crate::{
    http::head::RequestHead,
    request::{
        arrival::{Arrival, Facts},
        sample::Sample,
    },
    state::{
        listener_config::{Listener, Side},
        worker::Worker,
    },
};
use meshcache_protocol::{Group, Key, PassedResponse, PassingBody, Request, Response, Route, freshness::Times};
use std::sync::Arc;

/// The most responses that one worker observes at a time. Further ones are ignored.
const MAX_OBSERVING: usize = 256;

/// A request whose response is observed.
pub struct ObservedRequest {
    group: Arc<Group>,
    key: Key,
    route: Option<Route>,
    verified: bool,
    map: Vec<u8>,
    began: u64,
    seat: Arc<()>,
}

/// A response whose body is hashed on the way to the client.
pub struct ObservedResponse {
    group: Arc<Group>,
    passing: PassingBody,
    _seat: Arc<()>,
}

/// A request of a group that only observes.
pub(crate) struct Observable<'a> {
    pub(crate) listener: &'a Listener<'a>,
    pub(crate) side: Side,
    pub(crate) group: &'a Arc<Group>,
    pub(crate) request: &'a Request<'a>,
    pub(crate) route: Option<Route>,
}

impl Observable<'_> {
    /// Begins to observe the request, and may add a sample. Returns `None` if its response is not to be observed.
    pub(crate) fn begin(
        self,
        worker: &mut Worker,
        arrival: Arrival<'_, '_>,
        facts: &dyn Facts,
        now: u64,
    ) -> Option<ObservedRequest> {
        let Self { listener, side, group, request, route } = self;
        if !request.is_get() || Arc::strong_count(&worker.observing) > MAX_OBSERVING {
            return None;
        }
        let key = Key::of(group, request, route.as_ref().map(|route| route.as_str().as_bytes()));
        let verified = facts.verified();
        Sample { listener, side, group, request, key: &key, route: route.clone(), verified }.add(worker, arrival, now);
        // What is not in the key may explain a difference.
        let route = route.or_else(|| Some(Route::new(&facts.cluster()?, &facts.route().unwrap_or_default())));
        Some(ObservedRequest {
            group: group.clone(),
            key,
            route,
            verified,
            map: arrival.head.encode(),
            began: now,
            seat: worker.observing.clone(),
        })
    }
}

impl ObservedRequest {
    /// Begins to observe its response, whose head has arrived. `wall`: Unix milliseconds. Returns `None` if the body
    /// does not matter.
    pub fn response(self, worker: &Worker, response: &Response<'_>, now: u64, wall: u64) -> Option<ObservedResponse> {
        let head = RequestHead::read(&self.map)?;
        let request = head.request().ok()?;
        // A decision under other rules says nothing.
        let current = worker.snapshot()?.groups.named(self.group.name())?;
        if current.digest() != self.group.digest() {
            return None;
        }
        let times = Times { requested: wall.saturating_sub(now.saturating_sub(self.began)), responded: wall };
        let passed = PassedResponse {
            group: &self.group,
            key: &self.key,
            request: &request,
            verified: self.verified,
            response,
            times,
            route: self.route.as_ref().map(Route::as_str),
            by_coordinator: false,
        };
        let passing = worker.observed.begin(&passed, now)?;
        Some(ObservedResponse { group: self.group.clone(), passing, _seat: self.seat })
    }
}

impl ObservedResponse {
    /// Hashes a piece of the body. Returns `None` if the rest does not matter.
    pub fn piece(mut self, piece: &[u8]) -> Option<Self> {
        self.passing = self.passing.piece(piece)?;
        Some(self)
    }

    /// Compares the response, which is complete, with the one that the cache would have given.
    pub fn finish(self, worker: &mut Worker, now: u64) {
        if let Some(compared) = worker.observed.finish(self.passing, now) {
            worker.counters.count_comparison(&self.group, &compared);
        }
    }
}
