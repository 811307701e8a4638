//! Loads from origins: the one place, beside peers, of the HTTP client. It follows no redirect, decodes no body and
//! knows no proxy.

mod connect;
mod connection;
mod connection_limit;
mod failure;
mod headers;
mod health;
mod idle_timeout;
mod outage;
mod pool;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

pub(crate) use connection_limit::Seats;
pub(crate) use failure::{Failure, causes};
pub(crate) use headers::{PARTIAL, Purpose, answered, goes_as_keyed, outgoing, via, with_headers};
pub(crate) use idle_timeout::Paced;
pub(crate) use outage::{Failing, Outages};

use crate::{
    http::body::Body,
    telemetry::metrics::{GroupMetrics, Metrics},
};
use connect::{Connector, Resolver, Trust};
use connection::Stream;
use failure::Missed;
use health::Health;
use http::{Request, Response, StatusCode, uri::Authority};
use hyper::body::Incoming;
use meshcache_protocol::groups::{Group, Groups, OriginHost};
use parking_lot::Mutex;
use pool::{Ages, On, Pool};
use rustls::ClientConfig;
use std::{collections::HashMap, sync::Arc, time::Duration};
use upload::Sent;

/// An origin's `ca` that cannot be used: which group's, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group `{group}`: origin.ca: {what}")]
pub struct BadCa {
    /// The group's name.
    pub group: String,
    /// What is wrong.
    pub what: String,
}

/// Responses with more fields are no good: Envoy refuses above 100.
const MOST_FIELDS: usize = 256;

/// A group's origin.
#[derive(Clone)]
pub(crate) struct Origin {
    pool: Arc<Pool>,
    patience: Duration,
    timeout: Duration,
    pass_timeout: Option<Duration>,
    authority: Authority,
    scheme: http::uri::Scheme,
    host: OriginHost,
    health: Arc<Health>,
    metrics: Arc<GroupMetrics>,
}

/// What is known of all origins: a reload keeps their connections.
pub(crate) struct Clients {
    known: Mutex<Known>,
    seats: Arc<Seats>,
}

#[derive(Clone, Default)]
struct Known {
    tls: HashMap<Trust, Option<Arc<ClientConfig>>>,
    pools: HashMap<Place, Arc<Pool>>,
    /// By group and URL.
    health: HashMap<(String, String), Arc<Health>>,
}

/// What tells the connections of two origins apart.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    trust: Trust,
    authority: Authority,
    ages: Ages,
}

impl Clients {
    /// Of none so far.
    pub(crate) fn new(seats: Arc<Seats>) -> Self {
        Self { known: Mutex::default(), seats }
    }

    /// The origins of the groups, in their order.
    pub(crate) fn origins(&self, groups: &Groups, metrics: &Metrics) -> Result<Vec<Origin>, BadCa> {
        let before = self.known.lock().clone();
        let mut now = Known::default();
        let origins: Result<_, _> =
            groups.iter().map(|group| now.origin(group, &before, metrics, &self.seats)).collect();
        if origins.is_ok() {
            // What no group needs any more goes, with its connections.
            *self.known.lock() = now;
        }
        origins
    }
}

impl Known {
    fn origin(&mut self, group: &Group, before: &Self, metrics: &Metrics, seats: &Arc<Seats>) -> Result<Origin, BadCa> {
        let of = &group.config().origin;
        let bad = |what: String| BadCa { group: group.name().to_owned(), what };
        let trust = Trust::of(of).map_err(bad)?;
        let authority: Authority =
            of.url.authority().parse().map_err(|_| bad(format!("`{}` is no host", of.url.authority())))?;
        let tls = match self.tls.get(&trust).or_else(|| before.tls.get(&trust)) {
            Some(tls) => tls.clone(),
            None => trust.config().map_err(bad)?,
        };
        self.tls.insert(trust.clone(), tls.clone());
        let ages = Ages { idle: of.idle.duration(), most: of.max_connection_age.duration(), alive: Ages::ALIVE };
        let place = Place { trust, authority: authority.clone(), ages };
        let pool = match self.pools.get(&place).or_else(|| before.pools.get(&place)) {
            Some(pool) => pool.clone(),
            None => Pool::new(Connector::new(&authority, tls, Resolver::system()).map_err(bad)?, ages, seats.clone()),
        };
        self.pools.insert(place, pool.clone());
        let name = (group.name().to_owned(), of.url.to_string());
        let health = before.health.get(&name).cloned().unwrap_or_else(|| Arc::new(Health::new(&name.0, &name.1)));
        self.health.insert(name, health.clone());
        Ok(Origin {
            pool,
            patience: group.config().patience.duration(),
            timeout: of.timeout.duration(),
            pass_timeout: Some(of.pass_timeout.duration()).filter(|limit| !limit.is_zero()),
            authority,
            scheme: if of.url.scheme() == "https" { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP },
            host: of.host,
            health,
            metrics: metrics.group(group.name()),
        })
    }
}

impl Origin {
    /// How long a load may take until its head is there, and between two pieces of its body.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same for what one client alone waits for. None: as long as it does.
    pub(crate) fn pass_timeout(&self) -> Option<Duration> {
        self.pass_timeout
    }

    /// Sends a request. From its last byte on, it may take `limit` until the answer's head is there, and between two
    /// pieces of its body.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        limit: Option<Duration>,
    ) -> Result<Response<Paced>, Failure> {
        match self.exchange(request, limit).await {
            Ok((response, stream)) => {
                self.health.answered();
                Ok(response.map(|body| Paced::new(body, limit).on(stream)))
            }
            // That is no word of the origin's.
            Err(missed) if missed.failure == Failure::Overload => Err(missed.failure),
            Err(missed) => {
                self.health.failed(&missed);
                self.metrics.origin_failure(missed.failure.reason());
                Err(missed.failure)
            }
        }
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        limit: Option<Duration>,
    ) -> Result<(Response<Incoming>, Option<Stream>), Missed> {
        let (request, sent) = Sent::of(request);
        let on = On::new(self.patience);
        let exchanged = self.pool.send(request, &on);
        let (response, stream) = match limit {
            None => exchanged.await,
            Some(limit) => tokio::select! {
                biased;
                exchanged = exchanged => exchanged,
                () = sent.and(limit) => {
                    on.retire();
                    Err(Missed::because(Failure::Timeout, format!("no answer within {limit:?}")))
                }
            },
        }?;
        let fields = response.headers().len();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Missed::because(Failure::UnaskedUpgrade, "101, and nobody asked for another protocol"));
        }
        if fields > MOST_FIELDS {
            return Err(Missed::because(
                Failure::TooManyHeaders,
                format!("{fields} header fields, more than {MOST_FIELDS}"),
            ));
        }
        Ok((response, stream))
    }
}
