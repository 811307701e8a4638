//! A request whose head has arrived.

use super::Driver;
use crate::{
    host::{Host, Level},
    request::{
        arrival::{Arrival, Facts},
        context::Context,
        exchange, invalidation,
        repeats::Repeatable,
        step::Step,
    },
    state::{counters::Reason, listener_config::ListenerConfig},
    stream::{Stream, StreamState},
};

impl Driver {
    /// Takes a request whose head has arrived, and decides what becomes of it. A hot response is given at once. If
    /// lookups are to be sent, a call of [`Driver::flush`] has to follow.
    pub fn request(
        &mut self,
        host: &mut dyn Host,
        stream: &mut Stream,
        listener: &ListenerConfig,
        arrival: Arrival<'_, '_>,
        facts: &dyn Facts,
        now: u64,
    ) {
        let state = self.worker.state.clone();
        decide(Context { state: &state, thread: 0, now }, host, stream, listener, arrival, facts, || self);
    }
}

/// Does what [`Driver::request`] does where threads share a driver. `driver`: takes its lock, for a request that neither
/// passes nor gets a hot response. Returns a hot hit that holds for the same request for a while, if it has no `meshcache-*`
/// header.
pub fn decide<'d>(
    context: Context<'_>,
    host: &mut dyn Host,
    stream: &mut Stream,
    listener: &ListenerConfig,
    arrival: Arrival<'_, '_>,
    facts: &dyn Facts,
    driver: impl FnOnce() -> &'d mut Driver,
) -> Option<Repeatable> {
    let mut taken = None;
    let had_wrong_side = listener.has_wrong_side();
    let current = listener.current(context.state);
    let step = exchange::start(context, &current, arrival, facts, || &mut taken.insert(driver()).worker);
    if !had_wrong_side && listener.has_wrong_side() {
        host.log(
            Level::Critical,
            "the filter's configuration names a `side` that is not this listener's traffic_direction: every request passes",
        );
    }
    let mut repeatable = None;
    stream.state = match step {
        Step::Pass(pass) => {
            // Without a Cache-Status: a request of a group that only observes.
            let is_noticed = pass.cache_status.is_some() || pass.reason == Reason::Method;
            if is_noticed && invalidation::may_invalidate(arrival.head) {
                stream.unsafe_request = Some(arrival.head.encode());
            }
            match pass.cache_status {
                None => StreamState::Unnoticed,
                cache_status => StreamState::Passes { cache_status, fallback: pass.fallback },
            }
        }
        Step::Observe(observed) => StreamState::Observed(observed),
        Step::Reply(mut hot) => {
            let was_given = host.reply(&hot.reply());
            repeatable = hot.repeatable.take().filter(|_| was_given && !arrival.head.control.any);
            if was_given { StreamState::Replied(hot.into_restore()) } else { StreamState::refused() }
        }
        Step::CallOut(callout) => {
            if let Some(driver) = taken {
                driver.outbox.push(callout);
            }
            StreamState::Waits
        }
        Step::Wait => StreamState::Waits,
    };
    repeatable
}
