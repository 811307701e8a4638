//! The client of the Kubernetes API, and what it asks for.

use crate::config::service_ref::ServiceRef;
use kube::{Client, Config, Error};
use std::time::Duration;

/// The time after which a watch without events is renewed, seconds. A server that vanished without closing its
/// connections goes unnoticed for as long.
pub(super) const WATCH_TIMEOUT: u32 = 30;
/// The timeout of connecting and of the head of an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no configuration for one.
    #[error("no Kubernetes API: neither as a Pod ({pod}) nor by KUBECONFIG ({kubeconfig})")]
    NotConfigured {
        /// Why not as a Pod.
        pod: String,
        /// Why not by KUBECONFIG.
        kubeconfig: String,
    },
    /// The configuration cannot be used.
    #[error("no client for the Kubernetes API: {0}")]
    Unusable(#[source] Error),
}

/// Makes a client, by the service account in a Pod, else by KUBECONFIG. Returns the namespace, too: the given one, or
/// that of the configuration. Sends nothing yet.
pub(super) async fn client(namespace: Option<&str>) -> Result<(Client, String), ApiError> {
    let mut config = match Config::incluster_env() {
        Ok(config) => config,
        Err(pod) => Config::infer().await.map_err(|kubeconfig| ApiError::NotConfigured {
            pod: pod.to_string(),
            kubeconfig: kubeconfig.to_string(),
        })?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Longer than a watch may be without an event.
    config.read_timeout = Some(Duration::from_secs(u64::from(WATCH_TIMEOUT) + 10));
    config.reset_reader_on_write = true;
    // Failures are logged, and retried, here and not inside the client.
    config.default_retry = false;
    let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
    let client = Client::try_from(config).map_err(ApiError::Unusable)?;
    Ok((client, namespace))
}

/// The label selector of a Service's EndpointSlices.
pub(super) fn selector(service: &ServiceRef) -> String {
    format!("kubernetes.io/service-name={}", service.name)
}
