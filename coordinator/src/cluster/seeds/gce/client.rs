//! Requests to the metadata server and to the API.

use crate::{cluster::seeds::error::SeedError, origin::causes};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{fmt, time::Duration};

/// The time limit of an answer of the metadata server, which is near.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);
/// The time limit of a page.
const API_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer of the metadata server.
const MAX_METADATA: usize = 64 << 10;
/// The longest page: 500 instances, and 512 KiB of metadata at most each. Usually it is a few KiB.
const MAX_PAGE: usize = 64 << 20;
/// The longest text of a server that is told to people.
const MAX_TOLD: usize = 200;
/// The header by which the metadata server knows its clients, and they it.
const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");

/// An HTTP client that follows no redirect and uses no proxy.
pub(super) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

/// The access token of the service account, as it is sent.
pub(super) struct Token(HeaderValue);

impl Token {
    /// Reads the metadata server's answer; `None`: it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
        }
        let Answer { access_token } = serde_json::from_str(text).ok()?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {access_token}")).ok()?;
        bearer.set_sensitive(true);
        Some(Self(bearer))
    }
}

impl Client {
    /// Fails if the system trusts no authority.
    pub(super) fn new() -> Result<Self, String> {
        let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(rustls::crypto::ring::default_provider());
        let connector = tls
            .map_err(|error| format!("no authorities of the system: {error}"))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(legacy::Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Asks the metadata server at a host. An answer without its header comes from something else.
    pub(super) async fn metadata(&self, host: &str, path: &str) -> Result<String, SeedError> {
        let wrong = |why: String| SeedError::Metadata(format!("{host}, {path}: {why}"));
        let request = Request::get(format!("http://{host}/computeMetadata/v1/{path}")).header(FLAVOR.0, FLAVOR.1);
        let request = request.body(Empty::new()).map_err(|error| wrong(error.to_string()))?;
        let answer = self.send(request, METADATA_TIMEOUT, MAX_METADATA).await.map_err(wrong)?;
        if answer.headers().get(FLAVOR.0).is_none_or(|flavor| flavor != FLAVOR.1) {
            return Err(wrong("an answer without `Metadata-Flavor: Google`".into()));
        }
        if answer.status() != StatusCode::OK {
            return Err(wrong(answer.status().to_string()));
        }
        String::from_utf8(answer.into_body().into()).map_err(|_| wrong("not UTF-8".into()))
    }

    /// Asks the API for JSON.
    pub(super) async fn api<T: DeserializeOwned>(&self, url: &str, token: &Token) -> Result<T, SeedError> {
        let place = url.split('?').next().unwrap_or_default();
        let wrong = |why: String| SeedError::Api(format!("{place}: {why}"));
        let request = Request::get(url).header(header::AUTHORIZATION, token.0.clone());
        let request = request.body(Empty::new()).map_err(|error| wrong(error.to_string()))?;
        let answer = self.send(request, API_TIMEOUT, MAX_PAGE).await.map_err(wrong)?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            return Err(wrong(format!("{}{}", head.status, told(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| wrong(format!("not a list of instances: {error}")))
    }

    async fn send(
        &self,
        request: Request<Empty<Bytes>>,
        timeout: Duration,
        most: usize,
    ) -> Result<Response<Bytes>, String> {
        let answer = async {
            let (head, body) = self.0.request(request).await.map_err(|error| line(&error))?.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| error.to_string())?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| Err(format!("no answer in {timeout:?}")))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// An error and its causes in one line.
fn line(error: &legacy::Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What Google's errors say, in one short line.
fn told(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let Ok(Answer { error }) = serde_json::from_slice(body) else { return String::new() };
    let line: String = error.message.chars().filter(|c| !c.is_control()).take(MAX_TOLD).collect();
    format!(": {line}")
}
