//! One request through the proxy: from the hot cache, else by a lookup at the key's owner, else to the service.
//!
//! [`start`] decides what happens to a request; [`super::response`] what a peer's response means for all requests that
//! wait for it. In doubt, a request passes.

use crate::{
    request::{
        arrival::{Arrival, Facts},
        cached_request::CachedRequest,
        context::Context,
        hot_reply::HotReply,
        observe::Observable,
        pass::Pass,
        step::Step,
    },
    state::{
        counters::{Outcome, Reason, outcome_of_pass},
        listener_config::{Listener, Side},
        snapshot::Snapshot,
        worker::Worker,
    },
};
use meshcache_protocol::{
    Group, Key, Request, Route,
    groups::{GroupMatch, Mode},
    paths,
};
use std::sync::Arc;

/// Decides what happens to a request whose head has arrived. A request that passes and one that gets a hot response
/// need no worker. `worker` is called for the others, once at most: where threads share a worker, it takes the lock.
pub fn start<'w>(
    context: Context<'_>,
    listener: &Listener<'_>,
    arrival: Arrival<'_, '_>,
    facts: &dyn Facts,
    worker: impl FnOnce() -> &'w mut Worker,
) -> Step<HotReply> {
    let Some(snapshot) = listener.snapshot() else { return pass_unnoticed(context, Reason::NoFeed) };
    let check_side = || listener.check_side(context.now, || facts.side());
    let request = match arrival.head.request() {
        Ok(request) => request,
        Err(unfit) => {
            return match arrival.head.host_only() {
                Ok(request) => pass_outside_groups(context, listener, &request, unfit.reason(), check_side),
                Err(_) => pass_unnoticed(context, unfit.reason()),
            };
        }
    };
    let group = match listener.groups().find(&request, listener.namespace()) {
        GroupMatch::Group(group) => group,
        GroupMatch::HostOnly(_) => {
            return pass_outside_groups(context, listener, &request, Reason::NoPath, check_side);
        }
        GroupMatch::Nothing if listener.names_groups() => {
            return pass_outside_groups(context, listener, &request, Reason::NoGroup, check_side);
        }
        GroupMatch::Nothing => return pass_unnoticed(context, Reason::NoGroup),
    };
    let Some(side) = check_side().filter(|side| listener.serves(*side)) else {
        return pass_unnoticed(context, Reason::NoGroup);
    };
    let mode = listener.mode(group);
    let (bypass, debug) = match arrival.head.control {
        control if control.bypass || control.debug => {
            let is_debugger = listener.groups().is_debugger(facts.caller(side).as_deref());
            (is_debugger && control.bypass, is_debugger && control.debug)
        }
        _ => (false, false),
    };
    // What kind of request it is, its own fields say. Then the group decides by what it leaves of them.
    let kind = uncacheable(&request, arrival.has_body, &snapshot.installation)
        .or_else(|| (!group.answers(request.method)).then_some(Reason::Method));
    let grouped = Grouped { context, listener, snapshot, side, group, mode, bypass, debug, kind, facts };
    if group.edits_requests() {
        let edited = arrival.head.edited(group);
        let request = request.with_fields(edited.fields());
        grouped.decide(Arrival { head: &edited, ..arrival }, &request, worker)
    } else {
        grouped.decide(arrival, &request, worker)
    }
}

/// What is known of a request of a group, besides its fields.
struct Grouped<'a> {
    context: Context<'a>,
    listener: &'a Listener<'a>,
    snapshot: &'a Snapshot,
    side: Side,
    group: &'a Arc<Group>,
    mode: Mode,
    /// A debugger asks to bypass the cache.
    bypass: bool,
    /// A debugger asks for reasons and key.
    debug: bool,
    /// Why no cache answers a request of this kind.
    kind: Option<Reason>,
    facts: &'a dyn Facts,
}

impl Grouped<'_> {
    /// Decides what happens to the request. `arrival` and `request`: as the group sees them.
    fn decide<'w>(
        self,
        arrival: Arrival<'_, '_>,
        request: &Request<'_>,
        worker: impl FnOnce() -> &'w mut Worker,
    ) -> Step<HotReply> {
        let Self { context, listener, snapshot, side, group, mode, bypass, debug, kind, facts } = self;
        let mut cluster = None;
        let reason = if mode == Mode::Off {
            Some(Reason::Off)
        } else if bypass {
            Some(Reason::Debugger)
        } else {
            kind.or_else(|| group.bypass_reason(request))
                .or_else(|| group.has_ambiguous_cookie(request).then_some(Reason::AmbiguousCookie))
                .or_else(|| {
                    (group.is_guarded() && !group.admits(facts.caller(side).as_deref())).then_some(Reason::Caller)
                })
                // Last, and not where the request passes because no peer may be asked: it costs a call.
                .or_else(|| {
                    if mode == Mode::On && context.state.has_no_source(context.now) {
                        return None;
                    }
                    cluster = facts.cluster();
                    cluster.is_none().then_some(Reason::Route)
                })
        };
        let route = cluster
            .filter(|_| group.keys_route())
            .map(|cluster| Route::new(&cluster, &facts.route().unwrap_or_default()));
        match (reason, mode) {
            // Off, or only observed: nothing changes for the client. A request of another part of this cache is judged
            // there, by all that the service says.
            (Some(reason), Mode::Off | Mode::Observe) | (Some(reason @ Reason::Loop), Mode::On) => {
                context.counters().count_request(group.name(), outcome_of_pass(reason));
                pass_unnoticed(context, reason)
            }
            (None, Mode::Off | Mode::Observe) => {
                let worker = worker();
                worker.counters.count_request(group.name(), Outcome::Observed);
                worker.counters.count_pass(Reason::Observe);
                let observable = Observable { listener, side, group, request, route };
                match observable.begin(worker, arrival, facts, context.now) {
                    Some(observed) => Step::Observe(Box::new(observed)),
                    None => Step::Pass(Pass::unnoticed(Reason::Observe)),
                }
            }
            (Some(reason), Mode::On) => {
                let key = debug.then(|| Key::of(group, request, None));
                Step::Pass(Pass::of_group(&mut context.counters(), group, &snapshot.installation, reason, key.as_ref()))
            }
            // The key is not needed.
            (None, Mode::On) if context.state.has_no_source(context.now) => {
                let key = debug.then(|| Key::of(group, request, None));
                Step::Pass(Pass::of_group(
                    &mut context.counters(),
                    group,
                    &snapshot.installation,
                    Reason::NoPeer,
                    key.as_ref(),
                ))
            }
            (None, Mode::On) => {
                let key = Key::of(group, request, route.as_ref().map(|route| route.as_str().as_bytes()));
                CachedRequest { context, listener, snapshot, side, group, request, key, route, facts, debug }
                    .answer(arrival, worker)
            }
        }
    }
}

/// Returns the reason why a cache does not answer a request of this kind.
fn uncacheable(request: &Request<'_>, has_body: bool, installation: &str) -> Option<Reason> {
    let kind = request.not_for_caches().or_else(|| has_body.then_some(Reason::Body));
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

/// Passes a request that is not one of the cache.
fn pass_unnoticed(context: Context<'_>, reason: Reason) -> Step<HotReply> {
    context.counters().count_pass(reason);
    Step::Pass(Pass::unnoticed(reason))
}

/// Passes a request of no group. Cache-Status gives the reason where its host is a group's, or where all that comes in
/// is for the service whose groups this listener names, and where all these groups are on. There, the service's own
/// meshcache-* headers are also kept from clients.
fn pass_outside_groups(
    context: Context<'_>,
    listener: &Listener<'_>,
    request: &Request<'_>,
    reason: Reason,
    side: impl FnOnce() -> Option<Side>,
) -> Step<HotReply> {
    context.counters().count_pass(reason);
    let of_host: Vec<&Arc<Group>> = listener.groups().of_host(request, listener.namespace()).collect();
    let mut groups =
        if of_host.is_empty() { listener.groups().iter().collect() } else { of_host.clone() }.into_iter().peekable();
    let are_all_on = groups.peek().is_some() && groups.all(|group| listener.mode(group) == Mode::On);
    // A host of no group is another's where hosts are looked up. Only what comes in is for the service beside this
    // proxy.
    let is_served = |side: Side| {
        if of_host.is_empty() { listener.names_groups() && side == Side::Inbound } else { listener.serves(side) }
    };
    let is_noticed = are_all_on && side().is_some_and(is_served);
    Step::Pass(match listener.snapshot().filter(|_| is_noticed) {
        Some(snapshot) => Pass::with_reason(&snapshot.installation, reason, reason.into(), None),
        None => Pass::unnoticed(reason),
    })
}

#[cfg(test)]
mod tests;
