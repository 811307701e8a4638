//! Calls of the admin port.

use super::{Lines, ServerFlags, address::Address, connection::Way, tls};
use crate::failed::{Failed, NoAnswer};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use serde::{Serialize, de::DeserializeOwned};
use std::{path::Path, time::Duration};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

/// The longest answer, bytes.
const MAX_ANSWER: usize = 64 << 20;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take: a probe waits for an origin, a purge for all coordinators.
const ANSWER: Duration = Duration::from_secs(90);
/// How long this machine may take to say whether a coordinator listens on it.
const LOCAL: Duration = Duration::from_millis(500);

/// An admin port, and the token for it.
pub struct Server {
    way: Way,
    token: Option<String>,
    /// A connection that the last call left.
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Server {
    /// Finds the server that the flags name.
    pub async fn find(flags: ServerFlags) -> Result<Self, Failed> {
        let token = flags.admin_token_file.as_deref().map(first_line).transpose()?;
        if flags.is_of_cluster() {
            if flags.has_own_admin(std::env::var("MESHCACHE_ADMIN").ok().as_deref()) {
                return Err(Failed::Flags(
                    "--admin names a server, and the other flags a cluster: leave one out".into(),
                ));
            }
            return Self::in_cluster(&flags, token).await;
        }
        if let Some(address) = flags.admin {
            return Self::at(address, flags.ca.as_deref(), token);
        }
        let local = Address::local();
        if let Ok(Ok(_)) = timeout(LOCAL, TcpStream::connect((local.host.as_str(), local.port))).await {
            return Self::at(local, None, token);
        }
        Self::in_cluster(&flags, token).await
    }

    fn at(address: Address, ca: Option<&Path>, token: Option<String>) -> Result<Self, Failed> {
        if ca.is_some() && !address.is_tls {
            return Err(Failed::Flags(format!("--ca is for TLS: write --admin https://{address}")));
        }
        let tls = address.is_tls.then(|| tls::trusting(ca)).transpose()?;
        Ok(Self::new(Way::Network(address, tls), token))
    }

    #[cfg(feature = "kube")]
    async fn in_cluster(flags: &ServerFlags, token: Option<String>) -> Result<Self, Failed> {
        let (forward, token) = super::cluster::find(flags, token).await?;
        Ok(Self::new(Way::Cluster(Box::new(forward)), token))
    }

    #[cfg(not(feature = "kube"))]
    async fn in_cluster(_: &ServerFlags, _: Option<String>) -> Result<Self, Failed> {
        Err(NoAnswer::new(format!("nobody listens at {}: --admin HOST:PORT names a server", Address::local())).into())
    }

    fn new(way: Way, token: Option<String>) -> Self {
        Self { way, token, idle: Mutex::default() }
    }

    /// Returns where it is, for people.
    pub fn name(&self) -> String {
        self.way.name()
    }

    /// Gets a path's answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NoAnswer> {
        self.read(self.sent(Method::GET, path, Bytes::new()).await?, path).await
    }

    /// Posts JSON, and returns the answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, NoAnswer> {
        let body = serde_json::to_vec(body).map_err(NoAnswer::new)?;
        self.read(self.sent(Method::POST, path, body.into()).await?, path).await
    }

    /// Gets a path whose answer is lines of JSON, for as long as they are read.
    pub async fn lines(&self, path: &str) -> Result<Lines, NoAnswer> {
        let (response, _) = self.sent(Method::GET, path, Bytes::new()).await?;
        Ok(Lines::new(response.into_body(), format!("{}{path}", self.name())))
    }

    async fn sent(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), NoAnswer> {
        let failed = |why: &dyn std::fmt::Display| NoAnswer::new(format!("{}: {why}", self.name()));
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.way.authority());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|error| failed(&error))?;
        let mut sender = match self.idle.lock().await.take().filter(SendRequest::is_ready) {
            Some(sender) => sender,
            None => self.connected().await?,
        };
        let unsent = match timeout(ANSWER, sender.try_send_request(request)).await {
            Err(_) => return Err(failed(&format!("no answer in {} s", ANSWER.as_secs()))),
            Ok(Ok(response)) => return self.refused(response, path).await.map(|response| (response, sender)),
            Ok(Err(mut error)) => error.take_message().ok_or_else(|| failed(error.error()))?,
        };
        // The connection was closed before it took the request.
        let mut sender = self.connected().await?;
        let response = timeout(ANSWER, sender.send_request(unsent)).await;
        let response = response.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        self.refused(response, path).await.map(|response| (response, sender))
    }

    async fn connected(&self) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
        let failed = |why: &dyn std::fmt::Display| NoAnswer::new(format!("{}: {why}", self.name()));
        match timeout(CONNECT, self.way.connect()).await {
            Ok(connected) => connected.map_err(|why| failed(&why)),
            Err(_) => Err(failed(&format!("no connection in {} s", CONNECT.as_secs()))),
        }
    }

    /// Makes an error of a response that is none of success.
    async fn refused(&self, response: Response<Incoming>, path: &str) -> Result<Response<Incoming>, NoAnswer> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let name = self.name();
        let line = match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => format!("{name}: wants a token: --admin-token-file FILE has one"),
            (StatusCode::UNAUTHORIZED, Some(_)) => {
                format!("{name}: does not take this token: --admin-token-file FILE has another one")
            }
            _ => {
                let body = timeout(CONNECT, Limited::new(response.into_body(), 64 << 10).collect()).await;
                let body = body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
                match told(&body) {
                    Some(why) => format!("{name}: {why}"),
                    None => format!("{name}{path}: {status}: is that an admin port of this version?"),
                }
            }
        };
        Err(NoAnswer::refused(status, line))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        (response, sender): (Response<Incoming>, SendRequest<Full<Bytes>>),
        path: &str,
    ) -> Result<T, NoAnswer> {
        let failed = |why: &dyn std::fmt::Display| NoAnswer::new(format!("{}{path}: {why}", self.name()));
        let body = timeout(ANSWER, Limited::new(response.into_body(), MAX_ANSWER).collect()).await;
        let body = body.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?.to_bytes();
        *self.idle.lock().await = Some(sender);
        serde_json::from_slice(&body)
            .map_err(|error| failed(&format!("is no answer of a coordinator of this version: {error}")))
    }
}

/// The error that a coordinator tells as JSON, in one line.
fn told(body: &[u8]) -> Option<String> {
    let told: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(told.get("error")?.as_str()?.trim().to_owned())
}

fn first_line(path: &Path) -> Result<String, Failed> {
    let wrong = |why: &dyn std::fmt::Display| Failed::Flags(format!("--admin-token-file: {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).ok_or_else(|| wrong(&"is empty"))?;
    if line.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(line.to_owned())
    } else {
        Err(wrong(&"its first line is no token: letters, digits and signs without spaces"))
    }
}
