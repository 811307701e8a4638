//! Connections to a Pod's port through the API, without a port on this machine.

use super::refusal::refused;
use crate::failed::NoAnswer;
use crate::failed::chain;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};

/// A WebSocket is opened by GET; since 1.35 the API wants `create` as well.
const VERBS: &str = "get, create";
const HELP: &str = "--admin HOST:PORT names a server without it";

/// The coordinators of a release: each answers for all.
pub(in crate::server) struct Forward {
    pods: Api<Pod>,
    namespace: String,
    /// The names of those that were ready.
    ready: Vec<String>,
    port: u16,
}

impl Forward {
    pub(super) fn new(pods: Api<Pod>, namespace: String, ready: Vec<String>, port: u16) -> Self {
        Self { pods, namespace, ready, port }
    }

    /// Connects to the first one that can be reached.
    pub(in crate::server) async fn connect(
        &self,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, NoAnswer> {
        let mut failed = NoAnswer::new("no coordinator is ready");
        for pod in &self.ready {
            match self.pods.portforward(pod, &[self.port]).await {
                Ok(mut forwarder) => match forwarder.take_stream(self.port) {
                    Some(stream) => return Ok(stream),
                    None => failed = NoAnswer::new(format!("{pod}: has no port {}", self.port)),
                },
                // The others would be refused as well.
                Err(error) if is_forbidden(&error) => {
                    return Err(refused(&error, VERBS, "pods/portforward", &self.namespace, HELP));
                }
                Err(error) => failed = NoAnswer::new(format!("{pod}: port-forward: {}", chain(&error))),
            }
        }
        Err(failed)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.ready.first().map_or("no coordinator", String::as_str), self.namespace)
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}
