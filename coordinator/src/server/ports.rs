//! The addresses of the four ports, and the file that has them.

use serde::Serialize;
use std::{io, net::SocketAddr, path::Path};

/// The addresses on which a coordinator listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// Questions from proxies, plain clients, the feed.
    pub data: SocketAddr,
    /// Purges and the status page.
    pub admin: SocketAddr,
    /// Health, metrics, the filter.
    pub status: SocketAddr,
    /// Other coordinators.
    pub peer: SocketAddr,
    /// kubecache's health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<SocketAddr>,
    /// kubecache's metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
}

impl Ports {
    /// Writes the addresses to a file, as JSON. The file is replaced at once: its readers see all of it.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let mut new = file.as_os_str().to_owned();
        new.push(".new");
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(&new, file)
    }
}
