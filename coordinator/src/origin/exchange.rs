//! A request to a group's origin, and its response's head.

use crate::{
    http::body::Body,
    origin::{
        connection::MAX_FIELDS,
        credentials::{Credentials, gets_credentials},
        failure::{Failure, OriginError},
        getter::GetterOrigin,
        health::Health,
        idle_timeout::IdleTimeoutBody,
        oauth2::ClientFiles,
        pool::{Pool, RequestConnection},
        record::OriginRecord,
        response_body::ResponseBody,
        upload::UploadEnd,
    },
    telemetry::{
        metrics::GroupMetrics,
        trace::{OpenSpan, current_trace},
    },
};
use http::{Request, Response, StatusCode, uri::Authority};
use meshcache_protocol::groups::OriginHost;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Where a group's responses come from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// A service over HTTP.
    Http(HttpOrigin),
    /// A function of this process.
    Getter(GetterOrigin),
    /// The service as proxies reach it: one that asks is granted the load.
    Proxies {
        /// How long it may take until the head of its response is here, and between two pieces of the body.
        timeout: Duration,
    },
}

impl Origin {
    /// Returns how long a load may take until its response's head is there, and between two pieces of its body.
    pub(crate) fn timeout(&self) -> Duration {
        match self {
            Self::Http(origin) => origin.timeout(),
            Self::Getter(origin) => origin.timeout(),
            Self::Proxies { timeout } => *timeout,
        }
    }
}

/// A response, and the span of its request.
pub(super) struct Answered {
    pub(super) response: Response<ResponseBody>,
    pub(super) span: Option<OpenSpan>,
}

/// A group's origin over HTTP.
#[derive(Clone)]
pub(crate) struct HttpOrigin {
    pub(super) pool: Arc<Pool>,
    pub(super) patience: Duration,
    pub(super) timeout: Duration,
    pub(super) pass_timeout: Option<Duration>,
    pub(super) authority: Authority,
    pub(super) scheme: http::uri::Scheme,
    pub(super) host: OriginHost,
    pub(super) credentials: Arc<Credentials>,
    pub(super) oauth2: Option<Arc<ClientFiles>>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<GroupMetrics>,
}

impl HttpOrigin {
    /// Returns how long a load may take until its response's head is there, and between two pieces of its body.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns what became of its requests.
    pub(crate) fn record(&self) -> &OriginRecord {
        &self.health.record
    }

    /// Returns that limit for a request of one client. `None`: as long as the client waits.
    pub(crate) fn pass_timeout(&self) -> Option<Duration> {
        self.pass_timeout
    }

    /// Sends a request with the origin's credentials. `limit` bounds the time from its last byte to the response's head,
    /// and between two pieces of the body.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        limit: Option<Duration>,
    ) -> Result<Response<IdleTimeoutBody>, Failure> {
        let client = self.oauth2.as_ref().filter(|_| gets_credentials(&request));
        self.credentials.add_to(&mut request);
        let began = Instant::now();
        let exchanged = match client {
            // Boxed: what is rare must not make the futures of all requests large.
            Some(client) => Box::pin(self.exchange_with_token(&client.source(), request, limit)).await,
            None => pin!(self.exchange(request, limit)).await,
        };
        match exchanged {
            Ok(Answered { response, span }) => {
                self.health.record_response(began.elapsed());
                Ok(response.map(|body| IdleTimeoutBody::new(body, limit).in_span(span)))
            }
            // This says nothing about the origin.
            Err(error) if error.failure == Failure::Overload => Err(error.failure),
            // The log of the token server has it.
            Err(error) if error.failure == Failure::Token => {
                self.health.record.record_failure(error.failure.label());
                self.metrics.count_origin_failure(error.failure.reason());
                Err(error.failure)
            }
            Err(error) => {
                self.health.record_failure(&error);
                self.metrics.count_origin_failure(error.failure.reason());
                Err(error.failure)
            }
        }
    }

    /// Sends a request in a span of its own, whose ids it carries.
    pub(super) async fn exchange(
        &self,
        mut request: Request<Body>,
        limit: Option<Duration>,
    ) -> Result<Answered, OriginError> {
        let mut span = current_trace().client(&mut request);
        // Pinned and not moved, as below: such futures are large.
        let exchanged = pin!(self.exchange_once(request, limit)).await;
        if let Some(span) = &mut span {
            match &exchanged {
                Ok(response) => span.set_status(response.status()),
                Err(error) => span.fail(error.failure.label()),
            }
        }
        exchanged.map(|response| Answered { response, span })
    }

    async fn exchange_once(
        &self,
        request: Request<Body>,
        limit: Option<Duration>,
    ) -> Result<Response<ResponseBody>, OriginError> {
        let (request, sent) = UploadEnd::of(request);
        let on = RequestConnection::new(self.patience);
        let mut exchanged = pin!(self.pool.send(request, &on));
        let response = match limit {
            None => exchanged.await,
            Some(limit) => tokio::select! {
                biased;
                exchanged = &mut exchanged => exchanged,
                () = sent.then(limit) => {
                    on.retire();
                    Err(OriginError::because(Failure::Timeout, format!("no answer within {limit:?}")))
                }
            },
        }?;
        let fields = response.headers().len();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(OriginError::because(Failure::UnaskedUpgrade, "101 without a request for another protocol"));
        }
        if fields > MAX_FIELDS {
            return Err(OriginError::because(
                Failure::TooManyHeaders,
                format!("{fields} header fields, more than {MAX_FIELDS}"),
            ));
        }
        Ok(response)
    }
}
