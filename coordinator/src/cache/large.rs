//! Responses that are too large for the store: one load for all who come while its beginning is in its window.

use crate::{
    cache::{
        continuation, hit_for_pass::RememberedPass, load_job::LoadJob, pass_reason::PassReason, request::CacheRequest,
        state::Cache,
    },
    http::{
        body::Cut,
        growing::{Filling, GrowingBody, Patience, UNREAD},
    },
};
use bytes::Bytes;
use http::Method;
use http_body::Body;
use meshcache_protocol::{
    Reason, Response,
    freshness::{Continuation, accepts_ranges},
};
use std::{sync::Arc, time::Duration};

/// For how long readers may hold the others up in all, before they go on by themselves.
pub(crate) const PATIENCE: Patience = Patience::InAll(Duration::from_secs(1));

/// Returns how a reader goes on by itself with a response that is too large for the store. None: it is not shared, since
/// its origin does not promise that.
pub(crate) fn continuation(job: &LoadJob, response: &Response<'_>, length: Option<u64>) -> Option<Continuation> {
    // Range is for GET alone (RFC 9110 section 14.2).
    let is_get = job.head.load_method() == Method::GET;
    Continuation::of(response, length).filter(|_| is_get && accepts_ranges(response))
}

/// Returns the most bytes of a large body that are kept for its readers.
pub(crate) fn window(job: &LoadJob) -> u64 {
    job.served.group.config().limits.window.0
}

/// Makes a body that fills one of which no more than a window is kept. Before its readers have it.
pub(crate) fn begin(cache: &Arc<Cache>, job: &Arc<LoadJob>, body: &GrowingBody, continuation: Continuation) {
    body.keep_window(continuation::resume(cache, job, continuation));
}

/// Streams it to all who read it, in a task of its own.
pub(crate) fn stream<B>(job: &LoadJob, filling: Filling<B>) -> Arc<GrowingBody>
where
    B: Body<Data = Bytes, Error = Cut> + Send + Unpin + 'static,
{
    let body = filling.body().clone();
    tokio::spawn(filling.stream(window(job), PATIENCE));
    body
}

/// Waits until its beginning has left its window, or until it has ended: then later requests need another load. Returns
/// why it broke off by then.
pub(crate) async fn passed(body: &GrowingBody) -> Option<Cut> {
    body.beginning_passed().await.filter(|cut| *cut != UNREAD)
}

/// Whether a request gets a large body as it streams.
pub(crate) fn streams_to(request: &CacheRequest<'_>, body: &GrowingBody) -> bool {
    body.length().unwrap_or(u64::MAX) <= request.longest_stream()
}

/// Why a request that takes no such body passes, and for how long its proxy remembers that.
pub(crate) fn pass_reason(cache: &Cache, request: &CacheRequest<'_>, fwd: &'static str) -> PassReason {
    let (key, now) = (request.key.hash(), cache.clock.now());
    match cache.hit_for_pass.take_pass(key, &request.http, 0, false, now) {
        Some(RememberedPass { reason, remember, vary, .. }) => {
            PassReason { remember, vary, ..PassReason::new(reason, fwd) }
        }
        None => PassReason::new(Reason::TooLarge, fwd),
    }
}
