//! What is shown to peers: tokens and certificates, set at the start, and again when they have changed.

use super::{
    PeerClient,
    credentials::{Credentials, Needs},
    link::Link,
    stream::PeerSecurity,
};
use crate::{origin::Failure, tls::PeerTls};
use http::HeaderValue;
use std::sync::Arc;

impl PeerClient {
    /// Sets what is sent with each call.
    pub(crate) fn set_credentials(&self, credentials: Credentials) {
        self.credentials.store(Arc::new(credentials));
    }

    /// Whether peers take announcements and entries.
    pub(crate) fn has_token(&self) -> bool {
        matches!(**self.credentials.load(), Credentials::Token(_))
    }

    /// Whether peers answer questions and peeks.
    pub(crate) fn may_ask(&self) -> bool {
        !matches!(**self.credentials.load(), Credentials::None)
    }

    pub(super) fn proof(&self, needs: Needs) -> Result<Option<HeaderValue>, Failure> {
        self.credentials.load().proof(needs)
    }

    /// Sets what is shown to peers and asked of them. Connections are made anew.
    pub(in crate::cluster) fn set_tls(&self, tls: Arc<PeerTls>) {
        let _replacing = self.replacing_links.lock();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        telemetry::metrics::Metrics,
        tls::{File, tests::Authority},
    };
    use meshcache_protocol::{Peer, Ring};
    use rustls::pki_types::UnixTime;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn no_peer_is_lost_where_the_ring_and_certificates_change_at_once() {
        let (authority, clients) = (Authority::new(), PeerClient::new(Clock::new(), Metrics::new().unwrap()));
        let (pair, ca) = (authority.issue(&["a"]), authority.pem());
        let file = |content: &'static str| File { flag: "", content: content.as_bytes() };
        let [certificate, key, ca] = [pair.certificate, pair.key, ca].map(|text| file(text.leak()));
        let tls = Arc::new(PeerTls::read(certificate, key, ca, "a", UnixTime::now()).unwrap());
        let peer = |name: &str| Peer { name: name.into(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:1".into() };
        let rings = [Ring::new(vec![peer("a"), peer("b")]), Ring::new(vec![peer("a")])];
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    clients.set_tls(tls.clone());
                }
            });
            let lost = (0..2000).find(|n| {
                let ring = &rings[n % 2];
                clients.set_peers(ring, Vec::new(), "a");
                std::thread::yield_now();
                clients.link("b").is_ok() != ring.peer("b").is_some()
            });
            over.store(true, Relaxed);
            assert_eq!(lost, None);
        });
    }
}
