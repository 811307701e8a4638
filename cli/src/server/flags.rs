//! The flags that name a server.

use super::address::Address;
use clap::Args;
use std::path::PathBuf;

/// Whom a command asks.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "The server")]
pub struct ServerFlags {
    /// The admin port of any coordinator: HOST:PORT, or a URL with https
    ///
    /// Default: localhost:8081 where a coordinator listens there, else a coordinator in the cluster of the current
    /// kubeconfig, through its API. [::]:8081 is localhost:8081, so that the variable may be that of a coordinator
    #[arg(long, env = "MESHCACHE_ADMIN", value_name = "HOST:PORT|URL")]
    pub(super) admin: Option<Address>,

    /// A file whose first line is a token of the admin port
    ///
    /// In a cluster by default that of the chart's Secret
    #[arg(long, env = "MESHCACHE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(super) admin_token_file: Option<PathBuf>,

    /// The authorities of the port's certificate (PEM), with an https URL
    ///
    /// Default: the system's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// In a cluster: the release's namespace
    ///
    /// Default: that of the kubeconfig's context
    #[cfg(feature = "kube")]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,

    /// In a cluster: the kubeconfig's context
    ///
    /// Default: the current one
    #[cfg(feature = "kube")]
    #[arg(long, value_name = "CONTEXT")]
    pub(super) context: Option<String>,

    /// In a cluster: the kubeconfig
    ///
    /// Default: KUBECONFIG, else ~/.kube/config
    #[cfg(feature = "kube")]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// In a cluster: the release of the chart
    ///
    /// Default: the only one of the namespace
    #[cfg(feature = "kube")]
    #[arg(long, value_name = "RELEASE")]
    pub(super) release: Option<String>,
}

impl ServerFlags {
    /// Returns whether they name a cluster.
    pub(super) fn is_of_cluster(&self) -> bool {
        #[cfg(feature = "kube")]
        return self.namespace.is_some()
            || self.context.is_some()
            || self.kubeconfig.is_some()
            || self.release.is_some();
        #[cfg(not(feature = "kube"))]
        false
    }
}
