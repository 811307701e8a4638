//! A token and its fetches: one flight for all who wait, in a task of its own.

use crate::{
    clock::{awake, wall},
    http::body::Body,
    jitter::random,
    origin::{
        failure::{Failure, OriginError},
        oauth2::{
            answer, assertion,
            client::{Client, TokenRequest},
            failure::{TokenError, TokenFailure},
            outage::Outage,
            schedule::{Demand, Rejection, TokenState},
            token::{AccessToken, Granted},
        },
        pool::{Pool, RequestConnection},
    },
    telemetry::metrics::GroupMetrics,
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// The largest body of a token server's response, bytes.
const MAX_BODY: usize = 64 * 1024;

/// The token of one client. Groups that say the same share it.
pub(crate) struct TokenSource {
    client: Client,
    pool: Arc<Pool>,
    state: Mutex<TokenState>,
    outage: Mutex<Outage>,
    /// Changes when a fetch ends.
    ended: watch::Sender<()>,
    users: Mutex<Vec<Weak<Users>>>,
    /// When the token expires, Unix seconds; 0: there was none.
    expiry: AtomicI64,
}

/// Groups with one configuration, which the metrics of a source count for.
#[derive(Default)]
pub(super) struct Users(Mutex<Vec<Arc<GroupMetrics>>>);

impl Users {
    /// Sets the groups. `expiry`: when their token expires, Unix seconds.
    pub(super) fn set(&self, groups: Vec<Arc<GroupMetrics>>, expiry: Option<i64>) {
        groups.iter().for_each(|group| group.tokens.begin(expiry));
        *self.0.lock() = groups;
    }
}

impl TokenSource {
    pub(super) fn new(client: Client, pool: Arc<Pool>) -> Arc<Self> {
        let (state, outage, users, expiry) = Default::default();
        Arc::new(Self { client, pool, state, outage, ended: watch::Sender::new(()), users, expiry })
    }

    /// Adds groups that it counts for, as for those that it has.
    pub(super) fn add(&self, groups: &Arc<Users>) {
        self.remove(groups);
        self.users.lock().push(Arc::downgrade(groups));
    }

    #[cfg(test)]
    pub(super) fn users(&self) -> usize {
        self.users.lock().len()
    }

    /// Removes groups, which have another client now.
    pub(super) fn remove(&self, groups: &Arc<Users>) {
        let gone = Arc::downgrade(groups);
        self.users.lock().retain(|users| users.strong_count() > 0 && !users.ptr_eq(&gone));
    }

    /// Takes over the token of the same client with its proof before.
    pub(super) fn inherit(&self, before: &Self) {
        let before = before.state.lock();
        self.state.lock().inherit(&before);
    }

    /// Returns when the token expires, Unix seconds.
    pub(super) fn expiry(&self) -> Option<i64> {
        Some(self.expiry.load(Relaxed)).filter(|expiry| *expiry > 0)
    }

    /// Returns the token, after a fetch where there is none.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<Arc<AccessToken>, TokenFailure> {
        let mut ended = self.ended.subscribe();
        loop {
            let demand = self.state.lock().demand(awake());
            match demand {
                Demand::Use { token, refresh } => {
                    if refresh {
                        self.begin();
                    }
                    return Ok(token);
                }
                Demand::Wait { begin: true } => self.begin(),
                Demand::Wait { begin: false } => {}
                Demand::Fail(failure) => return Err(failure),
            }
            // The sender lives as long as this.
            let _ = ended.changed().await;
        }
    }

    /// Records that an origin rejected a token (401).
    pub(crate) fn reject(&self, rejected: &Arc<AccessToken>) {
        let _ = self.state.lock().reject(rejected, awake());
    }

    /// Records the same. Returns the token with which the request is repeated, if any.
    pub(crate) async fn after_rejection(self: &Arc<Self>, rejected: &Arc<AccessToken>) -> Option<Arc<AccessToken>> {
        let rejection = self.state.lock().reject(rejected, awake());
        if rejection == Rejection::Keep {
            return None;
        }
        self.token().await.ok().filter(|next| !Arc::ptr_eq(next, rejected))
    }

    /// Begins a fetch: a client that leaves does not end it.
    fn begin(self: &Arc<Self>) {
        let flight = Flight(Some(self.clone()));
        let source = self.clone();
        tokio::spawn(async move {
            let asked = awake();
            flight.land(source.fetch().await, asked);
        });
    }

    async fn fetch(&self) -> Result<Granted, TokenError> {
        let internal = |cause: &str| TokenError::new(TokenFailure::NoResponse(Failure::Internal), cause);
        let id = assertion::unique().ok_or_else(|| internal("no random numbers"))?;
        let TokenRequest { request, secrets } =
            self.client.request(wall() / 1000, &id).ok_or_else(|| internal("the request cannot be made"))?;
        let limit = self.client.timeout;
        let on = RequestConnection::new(limit);
        let (status, body) = match timeout(limit, self.exchange(request, &on)).await {
            Ok(exchanged) => exchanged?,
            Err(_) => {
                on.retire();
                return Err(no_response(OriginError::because(Failure::Timeout, format!("no token within {limit:?}"))));
            }
        };
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        answer::read(status, &body, &secrets)
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        on: &RequestConnection,
    ) -> Result<(StatusCode, bytes::Bytes), TokenError> {
        let response = self.pool.send(request, on).await.map_err(no_response)?;
        let status = response.status();
        match Limited::new(response.into_body(), MAX_BODY).collect().await {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) if !error.is::<LengthLimitError>() => {
                Err(no_response(OriginError::new(Failure::IncompleteBody, error.as_ref())))
            }
            Err(_) if status.is_success() => {
                Err(TokenError::new(TokenFailure::TooLarge, format!("{status}: more than {MAX_BODY} bytes")))
            }
            // The status says enough.
            Err(_) => Ok((status, bytes::Bytes::new())),
        }
    }

    fn end(&self, fetched: Result<Granted, TokenError>, asked: u64) {
        let now = awake();
        let (url, client) = (self.client.url.to_string(), &self.client.id);
        match fetched {
            Ok(granted) => {
                let expires = self.state.lock().grant(granted, self.client.lifetime, asked, now, random());
                let left = expires.saturating_sub(now);
                let expiry = wall().saturating_add(left) / 1000;
                self.expiry.store(i64::try_from(expiry).unwrap_or(i64::MAX), Relaxed);
                self.count("granted");
                let over = self.outage.lock().record_token(now);
                if let Some((lasted, failures)) = over {
                    let lasted = Duration::from_millis(lasted);
                    tracing::info!(url, client, ?lasted, failures, "token server grants tokens again");
                }
            }
            Err(TokenError { failure, cause }) => {
                self.state.lock().fail(failure, now, random());
                self.count(failure.label());
                if self.outage.lock().record_failure(failure, now) {
                    tracing::warn!(url, client, reason = failure.label(), cause, "no token for the origin");
                }
            }
        }
        self.ended.send_replace(());
    }

    fn count(&self, outcome: &'static str) {
        let users: Vec<_> = self.users.lock().iter().filter_map(Weak::upgrade).collect();
        for group in users.iter().flat_map(|users| users.0.lock().clone()) {
            group.tokens.count(outcome);
            if let Some(expiry) = self.expiry() {
                group.tokens.set_expiry(expiry);
            }
        }
    }
}

fn no_response(error: OriginError) -> TokenError {
    TokenError::new(TokenFailure::NoResponse(error.failure), error.cause)
}

/// A fetch under way. Where its task ends without a result, those who wait fail.
struct Flight(Option<Arc<TokenSource>>);

impl Flight {
    fn land(mut self, fetched: Result<Granted, TokenError>, asked: u64) {
        if let Some(source) = self.0.take() {
            source.end(fetched, asked);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(source) = self.0.take() {
            let error = TokenError::new(TokenFailure::NoResponse(Failure::Internal), "the fetch ended early");
            source.end(Err(error), awake());
        }
    }
}
