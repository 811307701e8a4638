//! How a request waits for a flight: for its end, or for a head, or for the leave of its load.

use crate::cache::{
    flight::{WaitOutcome, Waiter},
    large,
    load_outcome::{LoadOutcome, LoadedResponse},
    request::CacheRequest,
    response,
};
use meshcache_protocol::request::Flags;
use tokio::time::Instant;

/// Waits for a flight: for a response's head, where the request takes a body that is still growing. Returns whether it has
/// the load's leave as well, which ends its waiting.
pub(super) async fn wait_for(
    request: &CacheRequest<'_>,
    mut waiter: Waiter<LoadOutcome>,
    deadline: Instant,
) -> (WaitOutcome<LoadOutcome>, bool) {
    if let Some(outcome) = waiter.wait_for_head(deadline).await {
        match &outcome {
            LoadOutcome::Loaded(LoadedResponse { entry, growing: Some(growing), .. })
                if (!growing.is_large() || large::streams_to(request, growing))
                    && (!request.takes_growing_body() || response::needs_whole(request, entry, growing)) => {}
            _ => return (WaitOutcome::Completed(outcome), false),
        }
    }
    let leave = gets_leave(request, &mut waiter, deadline).await;
    (waiter.wait(if leave { Instant::now() } else { deadline }).await, leave)
}

/// Waits until the leave of the flight's load is this request's. False: until the flight has ended, or the deadline.
async fn gets_leave(request: &CacheRequest<'_>, waiter: &mut Waiter<LoadOutcome>, deadline: Instant) -> bool {
    if !request.question.as_ref().is_some_and(|question| question.leave && !question.streams) {
        return false;
    }
    match waiter.wait_for_head(deadline).await {
        Some(LoadOutcome::Loaded(LoadedResponse { entry, leave: Some(leave), .. }))
            if entry.selecting.matches(&request.http) && leave.due() < deadline =>
        {
            !waiter.ends_by(leave.due()).await && leave.take()
        }
        _ => false,
    }
}

/// Whether the response to a load of the whole is the response to a request.
pub(crate) fn wants_all(request: &CacheRequest<'_>) -> bool {
    request.http.is_get() && !request.http.flags.any(Flags::RANGE.with(Flags::CONDITIONAL))
}
