//! Connects to one address, whatever name a request has: a mesh routes by the peer's name, and its address is known
//! here.

use super::stream::{PeerSecurity, PeerStream};
use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tower_service::Service;

/// The timeout of connecting, after which the next peer is asked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connector to one address.
#[derive(Clone)]
pub(super) struct AddressConnector {
    tcp: HttpConnector,
    address: Option<Uri>,
    security: PeerSecurity,
}

type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl AddressConnector {
    pub(super) fn new(address: &str, security: PeerSecurity) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, address: format!("http://{address}/").parse().ok(), security }
    }
}

impl Service<Uri> for AddressConnector {
    type Response = TokioIo<PeerStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Some(address) = self.address.clone() else { return Box::pin(async { Err("not an address".into()) }) };
        let (connecting, security) = (self.tcp.call(address), self.security.clone());
        Box::pin(async move { Ok(TokioIo::new(security.secure(connecting.await?.into_inner()).await?)) })
    }
}
