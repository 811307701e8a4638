//! Mutual TLS of the calls: set at the start, and again when certificates have changed.

use super::{PeerClient, link::Link, stream::PeerSecurity};
use crate::tls::PeerTls;
use std::sync::Arc;

impl PeerClient {
    /// Sets what is shown to peers and asked of them. Connections are made anew.
    pub(in crate::cluster) fn set_tls(&self, tls: Arc<PeerTls>) {
        self.tls.store(Some(tls));
        let renewed =
            |(name, link): (&String, &Arc<Link>)| (name.clone(), Arc::new(link.renewed(self.security(Some(name)))));
        self.links.store(Arc::new(self.links.load().iter().map(renewed).collect()));
    }

    /// Returns how a connection to a peer is secured. `name`: what it has to prove; `None`: its name is not known yet,
    /// and the caller checks it ([`crate::tls::TlsSession`] comes with each response).
    pub(crate) fn security(&self, name: Option<&str>) -> PeerSecurity {
        PeerSecurity::of(self.tls.load().as_deref(), name)
    }
}
