//! Resolves the names of origins.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
pub(super) struct UnresolvedName {
    name: String,
    source: io::Error,
}

type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves a name, anew for each connection, so that changes are followed.
#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn Fn(String) -> Addresses + Send + Sync>);

impl Resolver {
    /// Returns the system's resolver.
    pub(super) fn system() -> Self {
        Self::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
    }

    pub(super) fn new(addresses: impl Fn(String) -> Addresses + Send + Sync + 'static) -> Self {
        Self(Arc::new(addresses))
    }

    /// Returns the addresses of a name with this port, at least one.
    pub(super) async fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, UnresolvedName> {
        let unresolved = |source| UnresolvedName { name: name.to_owned(), source };
        let mut addresses = (self.0)(name.to_owned()).await.map_err(unresolved)?;
        addresses.iter_mut().for_each(|address| address.set_port(port));
        if addresses.is_empty() {
            return Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "no address")));
        }
        Ok(addresses)
    }
}
