//! A request to an origin that wants a token: with the one that is there, and once more where it is rejected.

use crate::{
    http::body::Body,
    origin::{
        exchange::{Answered, HttpOrigin},
        failure::{Failure, OriginError},
        oauth2::{AccessToken, TokenSource},
    },
};
use http::{Request, StatusCode, header::AUTHORIZATION};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

impl HttpOrigin {
    /// Sends a request with a token. Waiting for it is part of `limit`. A response of 401 drops the token; the request is
    /// sent a second time with the next one, if it can be.
    pub(super) async fn exchange_with_token(
        &self,
        source: &Arc<TokenSource>,
        request: Request<Body>,
        limit: Option<Duration>,
    ) -> Result<Answered, OriginError> {
        let end = limit.map(|limit| Instant::now() + limit);
        let left = || end.map(|end| end.saturating_duration_since(Instant::now()));
        let no_token = |cause| OriginError::because(Failure::Token, cause);
        let token = within(end, source.token()).await.ok_or_else(|| no_token("no token in time"))?;
        let token = token.map_err(|failure| no_token(failure.label()))?;
        let copy = copy(&request);
        let answered = self.exchange(with(request, &token), left()).await?;
        if answered.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answered);
        }
        let Some(copy) = copy else {
            source.reject(&token);
            return Ok(answered);
        };
        let Some(next) = within(end, source.after_rejection(&token)).await.flatten() else { return Ok(answered) };
        // Its span ends here: the second request has its own.
        drop(answered);
        let mut repeated = self.exchange(with(copy, &next), left()).await?;
        if let Some(span) = &mut repeated.span {
            span.set("http.request.resend_count", 1u16.into());
        }
        Ok(repeated)
    }
}

async fn within<T>(end: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match end {
        Some(end) => timeout_at(end, future).await.ok(),
        None => Some(future.await),
    }
}

fn with(mut request: Request<Body>, token: &AccessToken) -> Request<Body> {
    request.headers_mut().insert(AUTHORIZATION, token.authorization().clone());
    request
}

/// Copies a request whose body is here as a whole.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let Body::Full(body) = request.body() else { return None };
    let mut copy = Request::new(Body::Full(body.clone()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.version_mut() = request.version();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}
