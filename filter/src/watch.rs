//! `mode: observe` in the proxy: a request that passes and would have been looked up, and its response as it goes by.

use crate::{
    counts::{Outcome, Reason},
    exchange::{Arrival, Exchange, Facts, Pass, Step},
    head::Head,
    samples::Candidate,
    site::{Side, Site},
    worker::Worker,
};
use meshcache_protocol::{Group, Key, PassedResponse, PassingBody, Request, Response, Route, freshness::Times};
use std::{rc::Rc, sync::Arc};

/// The most responses that one worker watches at a time. Beyond that they are not looked at.
const MOST: usize = 256;

/// A request whose response is looked at when it comes.
pub struct Watch {
    group: Arc<Group>,
    key: Key,
    verified: bool,
    map: Vec<u8>,
    began: u64,
    seat: Rc<()>,
}

/// A request of such a group.
pub(crate) struct Seen<'a> {
    pub(crate) site: &'a Site,
    pub(crate) side: Side,
    pub(crate) group: &'a Arc<Group>,
    pub(crate) request: &'a Request<'a>,
    pub(crate) route: Option<Route>,
}

/// A response whose body is hashed as it goes by.
pub struct Watched {
    group: Arc<Group>,
    passing: PassingBody,
    _seat: Rc<()>,
}

/// A request of a group that only observes: it goes its ordinary way.
pub(crate) fn watch<'w>(
    worker: &mut Worker,
    seen: Seen<'_>,
    arrival: Arrival<'_, '_>,
    facts: &dyn Facts,
    now: u64,
) -> Step<'w> {
    let Seen { site, side, group, request, route } = seen;
    if !request.is_get() || Rc::strong_count(&worker.watching) > MOST {
        return Step::Pass(Pass { reason: Reason::Observe, note: None, spare: None });
    }
    let key = Key::of(group, request, route.as_ref().map(|route| route.as_str().as_bytes()));
    let verified = facts.verified();
    Candidate { site, side, group, request, key: &key, route, verified }.sample(worker, arrival, now);
    Step::Watch(Box::new(Watch {
        group: group.clone(),
        key,
        verified,
        map: arrival.map.to_vec(),
        began: now,
        seat: worker.watching.clone(),
    }))
}

impl Exchange<'_> {
    /// The head of its response came. `wall`: Unix milliseconds. `None`: there is nothing to be learned of its body.
    pub fn watched(&self, watch: Watch, response: &Response<'_>, wall: u64) -> Option<Watched> {
        let head = Head::read(&watch.map)?;
        let request = head.request().ok()?;
        // What was decided under other rules says nothing.
        let known = self.worker.known()?.groups.named(watch.group.name())?;
        if known.digest() != watch.group.digest() {
            return None;
        }
        let times = Times { requested: wall.saturating_sub(self.now.saturating_sub(watch.began)), responded: wall };
        let passed = PassedResponse {
            group: &watch.group,
            key: &watch.key,
            request: &request,
            verified: watch.verified,
            response,
            times,
        };
        let passing = self.worker.observed.begin(&passed, self.now)?;
        Some(Watched { group: watch.group.clone(), passing, _seat: watch.seat })
    }

    /// All of it went by.
    pub fn passed(&mut self, watched: Watched) {
        if self.worker.observed.finish(watched.passing, self.now) {
            self.worker.counts.outcome(watched.group.name(), Outcome::Mismatch);
        }
    }
}

impl Watched {
    /// A piece of the body went by. `None`: nothing more is to be learned of it.
    pub fn piece(mut self, piece: &[u8]) -> Option<Self> {
        self.passing = self.passing.piece(piece)?;
        Some(self)
    }
}
