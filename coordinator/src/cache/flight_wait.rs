//! What a request waits for at its flight: a response's head, or the whole.

use crate::cache::{
    flight::{WaitOutcome, Waiter},
    large,
    load_outcome::{LoadOutcome, LoadedResponse},
    request::CacheRequest,
    response,
};
use meshcache_protocol::request::Flags;
use tokio::time::Instant;

/// Waits for a flight: for a response's head, where the request takes a body that is still growing.
pub(crate) async fn wait_for(
    request: &CacheRequest<'_>,
    mut waiter: Waiter<LoadOutcome>,
    deadline: Instant,
) -> WaitOutcome<LoadOutcome> {
    if let Some(outcome) = waiter.wait_for_head(deadline).await {
        match &outcome {
            LoadOutcome::Loaded(LoadedResponse { growing: Some(growing), .. })
                if growing.is_large() && !large::streams_to(request, growing) => {}
            LoadOutcome::Loaded(LoadedResponse { entry, growing: Some(growing), .. })
                if !request.takes_growing_body() || response::needs_whole(request, entry, growing) =>
            {
                return waiter.wait(deadline).await;
            }
            _ => {}
        }
        return WaitOutcome::Completed(outcome);
    }
    waiter.wait(deadline).await
}

/// Whether the response to a load of the whole is the response to a request.
pub(crate) fn wants_all(request: &CacheRequest<'_>) -> bool {
    request.http.is_get() && !request.http.flags.any(Flags::RANGE.with(Flags::CONDITIONAL))
}
