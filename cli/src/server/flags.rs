//! The flags that name a server.

use super::address::Address;
use clap::Args;
#[cfg(feature = "kube")]
use std::ffi::OsString;
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

    /// Returns whether `--admin` names another server than MESHCACHE_ADMIN does.
    pub(super) fn has_own_admin(&self, variable: Option<&str>) -> bool {
        self.admin.is_some() && self.admin != variable.and_then(|text| text.parse().ok())
    }

    /// Returns whether kubectl would read a kubeconfig, by KUBECONFIG and the home folder.
    #[cfg(feature = "kube")]
    pub(super) fn has_kubeconfig(&self, variable: Option<OsString>, home: Option<PathBuf>) -> bool {
        let is_default = || home.is_some_and(|home| home.join(".kube/config").is_file());
        self.context.is_some()
            || self.kubeconfig.is_some()
            || variable.is_some_and(|files| !files.is_empty())
            || is_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_named_beside_a_cluster_is_not_that_of_the_variable() {
        let flags = ServerFlags { admin: Some("h:1".parse().unwrap()), ..ServerFlags::default() };
        assert!(flags.has_own_admin(None) && flags.has_own_admin(Some("h:2")));
        assert!(!flags.has_own_admin(Some("http://h:1")) && !ServerFlags::default().has_own_admin(Some("h:1")));
    }

    #[cfg(feature = "kube")]
    #[test]
    fn in_a_pod_a_kubeconfig_goes_before_the_service_account() {
        let home = std::env::temp_dir().join(format!("meshcache-home-{}", std::process::id()));
        let none = ServerFlags::default();
        assert!(!none.has_kubeconfig(None, None) && !none.has_kubeconfig(Some("".into()), Some(home.clone())));
        assert!(none.has_kubeconfig(Some("/config".into()), None));
        let named = ServerFlags { kubeconfig: Some("/config".into()), ..ServerFlags::default() };
        assert!(named.has_kubeconfig(None, None));
        std::fs::create_dir_all(home.join(".kube")).unwrap();
        std::fs::write(home.join(".kube/config"), "").unwrap();
        let is_found = none.has_kubeconfig(None, Some(home.clone()));
        std::fs::remove_dir_all(&home).unwrap();
        assert!(is_found);
    }
}
