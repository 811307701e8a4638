//! One request through the proxy: from the hot cache, else by a question to the key's owner, else its ordinary way to
//! the service.
//!
//! `start` decides what happens to a request; `answered`, in the file of that name, what an answer means for all who
//! wait for it. Whatever is in doubt passes.

use crate::{
    counts::{Event, Outcome, Reason, outcome},
    head::Head,
    hot::Spot,
    message,
    passes::Asked,
    questions::{Joined, Joins, Question},
    reply::Reply,
    site::{Side, Site},
    spare::Spare,
    watch::{Seen, Watch, watch},
    worker::Worker,
};
use meshcache_protocol::{
    Group, Key, Request, Route,
    cache_status::cache_status,
    freshness::{Part, Reuse, joins, part, reuse, reuse_on_error},
    groups::{GroupMatch, Mode},
    paths,
    reason::Word,
    request::Flags,
    wire::{self, Verdict},
};
use std::sync::Arc;

/// What happens next to a request.
pub enum Step<'a> {
    /// It goes its ordinary way to the service.
    Pass(Pass),
    /// The same, in a group that only observes: its response is looked at as it goes by.
    Watch(Box<Watch>),
    /// It is answered.
    Reply(Reply<'a>),
    /// It waits, and this question goes out.
    Ask(Ask),
    /// It waits for a question that is under way.
    Wait,
}

/// A request that goes its ordinary way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Why.
    pub reason: Reason,
    /// What Cache-Status says of it on the response. `None`: the request is none of ours, and its response is left
    /// alone.
    pub note: Option<String>,
    /// What is given if the service fails. Only while no coordinator answers: else it is theirs to decide.
    pub spare: Option<Box<Spare>>,
}

/// A question that goes out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The question.
    pub question: u32,
    /// Milliseconds after which Envoy gives up the call. The worker has given up the peer long before.
    pub timeout: u64,
}

/// A request as it comes in.
#[derive(Clone, Copy)]
pub struct Arrival<'a, 'm> {
    /// Its stream.
    pub stream: u32,
    /// Its header map.
    pub map: &'a [u8],
    /// Its head.
    pub head: &'a Head<'m>,
    /// It has no body.
    pub whole: bool,
}

/// What only the proxy knows of a request. Each costs a call, so each is asked for only when it matters.
pub trait Facts {
    /// The side that it came in on.
    fn side(&self) -> Side;
    /// The caller's identity: inbound the connection's peer, outbound the proxy itself.
    fn caller(&self, side: Side) -> Option<String>;
    /// Whether the proxy has verified a token of this request.
    fn verified(&self) -> bool;
    /// The cluster that the chosen route leads to. `None`: no route matches, or it is one without: a direct response, a
    /// redirect.
    fn cluster(&self) -> Option<Vec<u8>>;
    /// The name of that route; most have none.
    fn route(&self) -> Option<Vec<u8>>;
}

/// The story of requests, at one moment in one worker.
pub struct Exchange<'e> {
    /// The worker.
    pub worker: &'e mut Worker,
    /// Milliseconds of a clock that never jumps.
    pub now: u64,
}

/// A request of a group that answers, with its key.
struct Ours<'a> {
    site: &'a Site,
    side: Side,
    group: &'a Arc<Group>,
    request: &'a Request<'a>,
    key: Key,
    route: Option<Route>,
    facts: &'a dyn Facts,
    debug: bool,
}

impl<'e> Exchange<'e> {
    /// A request came in.
    pub fn start(self, site: &Site, arrival: Arrival<'_, '_>, facts: &dyn Facts) -> Step<'e> {
        let Self { worker, now } = self;
        let none_of_ours = |worker: &mut Worker, reason| {
            worker.counts.pass(reason);
            Step::Pass(Pass { reason, note: None, spare: None })
        };
        let Some(known) = site.known() else { return none_of_ours(worker, Reason::NoFeed) };
        let request = match arrival.head.request() {
            Ok(request) => request,
            Err(unfit) => {
                return match arrival.head.host_only() {
                    Ok(request) => outside(worker, site, &request, unfit.reason(), || site.side(now, || facts.side())),
                    Err(_) => none_of_ours(worker, unfit.reason()),
                };
            }
        };
        let group = match site.served().find(&request, site.namespace()) {
            GroupMatch::Group(group) => group,
            GroupMatch::HostOnly(_) => {
                return outside(worker, site, &request, Reason::NoPath, || site.side(now, || facts.side()));
            }
            GroupMatch::Nothing if site.names_groups() => {
                return outside(worker, site, &request, Reason::NoGroup, || site.side(now, || facts.side()));
            }
            GroupMatch::Nothing => return none_of_ours(worker, Reason::NoGroup),
        };
        let Some(side) = site.side(now, || facts.side()).filter(|side| site.serves(*side)) else {
            return none_of_ours(worker, Reason::NoGroup);
        };
        let mode = site.mode(group);
        let (bypass, debug) = match arrival.head.control {
            control if control.bypass || control.debug => {
                let believed = site.served().is_debugger(facts.caller(side).as_deref());
                (believed && control.bypass, believed && control.debug)
            }
            _ => (false, false),
        };
        let mut cluster = None;
        let passes = if mode == Mode::Off {
            Some(Reason::Off)
        } else if bypass {
            Some(Reason::Debugger)
        } else {
            unsuitable(&request, arrival.whole, &known.installation)
                .or_else(|| group.bypass_reason(&request))
                .or_else(|| group.has_ambiguous_cookie(&request).then_some(Reason::AmbiguousCookie))
                .or_else(|| {
                    (group.is_guarded() && !group.admits(facts.caller(side).as_deref())).then_some(Reason::Caller)
                })
                // Last, and not where it passes for want of anybody to ask: it costs a call.
                .or_else(|| {
                    if mode == Mode::On && !worker.trusts(now) && !worker.may_ask() {
                        return None;
                    }
                    cluster = facts.cluster();
                    cluster.is_none().then_some(Reason::Route)
                })
        };
        let route = cluster
            .filter(|_| group.keys_route())
            .map(|cluster| Route::new(&cluster, &facts.route().unwrap_or_default()));
        match (passes, mode) {
            // Off, or only watched: nothing changes for the client. And what another part of this cache asks for is its
            // own to judge, by all that the service says.
            (Some(reason), Mode::Off | Mode::Observe) | (Some(reason @ Reason::Loop), Mode::On) => {
                worker.counts.outcome(group.name(), outcome(reason));
                none_of_ours(worker, reason)
            }
            (None, Mode::Off | Mode::Observe) => {
                worker.counts.outcome(group.name(), Outcome::Observed);
                worker.counts.pass(Reason::Observe);
                watch(worker, Seen { site, side, group, request: &request, route }, arrival, facts, now)
            }
            (Some(reason), Mode::On) => {
                let key = debug.then(|| Key::of(group, &request, None));
                Step::Pass(pass(worker, group, &known.installation, reason, key.as_ref()))
            }
            // Nobody to ask, and nothing that may be given: no need to know the key.
            (None, Mode::On) if !worker.trusts(now) && !worker.may_ask() => {
                let key = debug.then(|| Key::of(group, &request, None));
                Step::Pass(pass(worker, group, &known.installation, Reason::NoPeer, key.as_ref()))
            }
            (None, Mode::On) => {
                let key = Key::of(group, &request, route.as_ref().map(|route| route.as_str().as_bytes()));
                let ours = Ours { site, side, group, request: &request, key, route, facts, debug };
                match ours.hot(worker, now) {
                    Hot::Give(spot, part) => {
                        worker.counts.outcome(group.name(), Outcome::Hot);
                        let debug = debug.then_some(&ours.key);
                        match worker
                            .hot
                            .at(spot)
                            .and_then(|variant| Reply::of_hot(variant, &part, &known.installation, debug, now))
                        {
                            Some(reply) => Step::Reply(reply),
                            None => Step::Pass(Pass { reason: Reason::Host, note: None, spare: None }),
                        }
                    }
                    Hot::Origin => Step::Pass(ours.pass(worker, Reason::Conditional)),
                    Hot::Ask => ours.ask(worker, arrival, now),
                }
            }
        }
    }
}

/// What the hot cache has for a request.
enum Hot {
    /// This part of that answer.
    Give(Spot, Part),
    /// Only the origin may judge the request's conditions.
    Origin,
    /// Nothing: ask the owner.
    Ask,
}

impl Ours<'_> {
    fn hot(&self, worker: &mut Worker, now: u64) -> Hot {
        if !worker.trusts(now) {
            return Hot::Ask;
        }
        let Some(spot) = worker.hot.find(self.side, &self.key, self.group.digest(), self.request, now) else {
            return Hot::Ask;
        };
        let Some(variant) = worker.hot.at(spot) else { return Hot::Ask };
        let resident = now.saturating_sub(variant.arrived);
        // What is for everybody is also for who has a token.
        let verified = !variant.stored.for_everybody && self.facts.verified();
        if reuse(self.group, self.request, verified, Some(&variant.stored), resident) != Reuse::Fresh {
            return Hot::Ask;
        }
        if !self.request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL)) {
            return Hot::Give(spot, Part::Whole);
        }
        let fields: Vec<_> = variant.block.fields().collect();
        let stored = meshcache_protocol::Response { status: variant.stored.status, fields: &fields };
        match part(self.request, &stored, variant.body.len() as u64) {
            // The owner puts several ranges together.
            Part::Ranges(_) => Hot::Ask,
            Part::Origin => Hot::Origin,
            part => Hot::Give(spot, part),
        }
    }

    /// Joins the question that is under way for this key, or asks one.
    fn ask<'e>(&self, worker: &mut Worker, arrival: Arrival<'_, '_>, now: u64) -> Step<'e> {
        let verified = self.facts.verified();
        // only-if-cached is an answer of its own: 504 for the one who said it.
        let only_if_cached = self.request.flags.any(Flags::CACHE_CONTROL)
            && reuse(self.group, self.request, verified, None, 0) == Reuse::OnlyIfCached;
        let alone = joins(self.group, self.request, verified);
        let asked = Asked::new(self.side, alone);
        let shared = alone.is_ok() && !only_if_cached;
        if let Some(owners) = worker.passes.get(&self.key, asked, self.request, now) {
            return Step::Pass(self.pass_saying(
                worker,
                Reason::Remembered,
                if owners.is_empty() { Reason::Owner.into() } else { owners },
            ));
        }
        if !message::is_text(self.request) {
            return Step::Pass(self.pass(worker, Reason::NotText));
        }
        if !message::fits(self.request, arrival.map, worker.told(), self.route.as_ref()) {
            return Step::Pass(self.pass(worker, Reason::RequestHeadTooLarge));
        }
        if shared {
            let purges = worker.purges();
            let joins = Joins { stream: arrival.stream, map: arrival.map, debug: self.debug, came: now };
            match worker.questions.join(self.side, &self.key, self.group, purges, joins) {
                Joined::Yes => {
                    worker.counts.event(Event::Joined);
                    return Step::Wait;
                }
                Joined::Full => return Step::Pass(self.pass(worker, Reason::Full)),
                Joined::NoSuch => {}
            }
        }
        let peer = match self.site.known() {
            Some(known) if worker.may_ask() => worker.peers.choose(&known.ring, self.key.hash(), now),
            _ => None,
        };
        worker.attends(now);
        let Some(peer) = peer else {
            let spare = spare(worker, self.side, self.group, &self.key, self.request, verified, now);
            return Step::Pass(Pass { spare, ..self.pass(worker, Reason::NoPeer) });
        };
        let question = Question {
            side: self.side,
            group: self.group.clone(),
            key: self.key.clone(),
            route: self.route.clone(),
            asked,
            shared,
            verified,
            to_head: self.request.is_head(),
            namespace: self.site.namespace().map(str::to_owned),
            map: arrival.map.to_vec(),
            leader: arrival.stream,
            peer,
            again: false,
            tries: 1,
            calls: 1,
            heard: false,
            flight: 0,
            purges: worker.purges(),
            collapsed: None,
            began: now,
            since: now,
            sent: now,
            asked_at: worker.attention.time(),
        };
        let timeout = question.call_time();
        match worker.questions.open(question, self.debug) {
            Some(question) => {
                worker.counts.event(Event::Question);
                Step::Ask(Ask { question, timeout })
            }
            None => Step::Pass(self.pass(worker, Reason::Full)),
        }
    }

    fn pass(&self, worker: &mut Worker, reason: Reason) -> Pass {
        self.pass_saying(worker, reason, reason.into())
    }

    /// The same; `said`: what Cache-Status says of it.
    fn pass_saying(&self, worker: &mut Worker, reason: Reason, said: Word) -> Pass {
        count_pass(worker, self.group, reason);
        let installation = self.site.known().map_or("meshcache", |known| &known.installation);
        Pass { reason, note: Some(note(installation, said, self.debug.then_some(&self.key))), spare: None }
    }
}

/// Why a request of a group is none of the cache's business, by what it is.
fn unsuitable(request: &Request<'_>, whole: bool, installation: &str) -> Option<Reason> {
    let kind = request.not_for_caches().or_else(|| (!whole).then_some(Reason::Body));
    if kind.is_some() {
        kind
    } else if request.normal_path().starts_with(paths::CONTROL) {
        Some(Reason::ControlPath)
    } else if request.has_looped(installation) {
        Some(Reason::Loop)
    } else {
        None
    }
}

/// Counts a pass and says why.
pub(crate) fn pass(
    worker: &mut Worker,
    group: &Group,
    installation: &str,
    reason: Reason,
    debug: Option<&Key>,
) -> Pass {
    count_pass(worker, group, reason);
    Pass { reason, note: Some(note(installation, reason.into(), debug)), spare: None }
}

/// What Cache-Status says of a pass.
fn note(installation: &str, said: Word, debug: Option<&Key>) -> String {
    let verdict = Verdict::new(wire::Outcome::Pass).because(said);
    cache_status(installation, &verdict, "", debug.map(Key::to_string).as_deref())
}

/// A request of no group. It is ours to say why where its host is a group's, or where all that comes in is for the
/// service whose groups this listener names, and where no other group of these only observes or is off. Then the
/// service's own meshcache-* headers are kept from clients, too.
fn outside<'a>(
    worker: &mut Worker,
    site: &Site,
    request: &Request<'_>,
    reason: Reason,
    side: impl FnOnce() -> Option<Side>,
) -> Step<'a> {
    worker.counts.pass(reason);
    let of_host: Vec<&Arc<Group>> = site.served().of_host(request, site.namespace()).collect();
    let mut groups =
        if of_host.is_empty() { site.served().iter().collect() } else { of_host.clone() }.into_iter().peekable();
    let all_on = groups.peek().is_some() && groups.all(|group| site.mode(group) == Mode::On);
    // Where hosts are looked up, a host of no group is another's: only what comes in is for the service beside this
    // proxy.
    let is_served =
        |side: Side| if of_host.is_empty() { site.names_groups() && side == Side::Inbound } else { site.serves(side) };
    let is_ours = all_on && side().is_some_and(is_served);
    let said = site.known().filter(|_| is_ours).map(|known| note(&known.installation, reason.into(), None));
    Step::Pass(Pass { reason, note: said, spare: None })
}

/// What a request takes along that no coordinator answers: the hot answer, if it may stand in for the service, should
/// that fail.
pub(crate) fn spare(
    worker: &Worker,
    side: Side,
    group: &Group,
    key: &Key,
    request: &Request<'_>,
    verified: bool,
    now: u64,
) -> Option<Box<Spare>> {
    if !worker.trusts(now) || request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL)) {
        return None;
    }
    let variant = worker.hot.spare(side, key, group.digest(), request, now)?;
    let allowed = reuse_on_error(group, request, verified, &variant.stored, now.saturating_sub(variant.arrived));
    allowed.then(|| Box::new(Spare::of(variant, worker.purges())))
}

/// Counts a pass.
pub(crate) fn count_pass(worker: &mut Worker, group: &Group, reason: Reason) {
    worker.counts.pass(reason);
    worker.counts.outcome(group.name(), outcome(reason));
}

#[cfg(test)]
mod tests;
