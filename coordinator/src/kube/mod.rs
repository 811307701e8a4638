//! Discovery by the Kubernetes API: the ready endpoints of one Service are the ring. The one place that knows the crate
//! `kube`.

mod discovery;
pub mod endpoint_slices;
pub mod hooks;
mod watch;

pub use discovery::Followed;
pub use watch::{Known, Trouble};

use crate::config::service_ref::ServiceRef;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, runtime::watcher};
use std::time::Duration;
use tokio::sync::watch::channel;

/// How long the API server may leave a watch without a word; then it is asked again. So this is also how long a server
/// that vanished without a farewell goes unnoticed.
const WATCH: u32 = 30;
/// How long connecting and the head of an answer may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A Service in a cluster, ready to be followed.
pub struct Cluster {
    slices: Api<EndpointSlice>,
    service: ServiceRef,
}

impl Cluster {
    /// Finds the cluster. Nothing is asked of it yet: an API server that is down is no reason not to start.
    pub async fn find(service: ServiceRef) -> Result<Self, String> {
        let (client, namespace) = client(service.namespace.as_deref()).await?;
        Ok(Self {
            slices: Api::namespaced(client, &namespace),
            service: ServiceRef { namespace: Some(namespace), ..service },
        })
    }

    /// Follows the Service in a task of its own, for as long as anybody wants to know.
    pub fn follow(self) -> Followed {
        let (told, known) = channel(Known::default());
        let service = self.service.to_string();
        tokio::spawn(async move {
            let config = watcher::Config::default().labels(&selector(&self.service)).timeout(WATCH);
            watch::follow(|| watcher(self.slices.clone(), config.clone()), &told).await;
        });
        Followed::new(service, known)
    }
}

/// What the EndpointSlices of a Service have in common.
fn selector(service: &ServiceRef) -> String {
    format!("kubernetes.io/service-name={}", service.name)
}

/// A client for the API, by the service account in a Pod, else by KUBECONFIG, and the namespace that is meant.
async fn client(namespace: Option<&str>) -> Result<(Client, String), String> {
    let mut config = match kube::Config::incluster_env() {
        Ok(config) => config,
        Err(inside) => kube::Config::infer()
            .await
            .map_err(|error| format!("no Kubernetes API: neither as a Pod ({inside}) nor by KUBECONFIG ({error})"))?,
    };
    config.connect_timeout = Some(CONNECT);
    // Longer than a watch may be silent.
    config.read_timeout = Some(Duration::from_secs(u64::from(WATCH) + 10));
    config.reset_reader_on_write = true;
    // A failure is told, and tried again, here and not inside the client.
    config.default_retry = false;
    let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
    let client = Client::try_from(config).map_err(|error| format!("no client for the Kubernetes API: {error}"))?;
    Ok((client, namespace))
}
