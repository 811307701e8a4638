//! The certificates of this coordinator: opened, given to ports and peers, and replaced when their files change.

use crate::{
    cluster::Cluster,
    config::{
        Config,
        watched_file::{Watched, WatchedFiles},
    },
    server::{Listeners, PortHandshakes},
    telemetry::metrics::Metrics,
    tls::{File, Lifetime, PeerTls, PortTls},
};
use rustls::{ServerConfig, pki_types::UnixTime};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The pause before the time that is left is looked at again.
const INTERVAL: Duration = Duration::from_secs(60);

/// The configuration of one port, and who wants to know of another one.
type PortConfig = watch::Sender<Arc<ServerConfig>>;

/// The certificates in use.
pub(crate) struct Certificates {
    cluster: Arc<Cluster>,
    metrics: Arc<Metrics>,
    ports: Option<(Arc<Watched<PortTls>>, PortConfig, PortConfig)>,
    peers: Option<(Arc<Watched<PeerTls>>, PortConfig)>,
}

impl Certificates {
    /// Reads the files of the flags. The error is one line that names file and flag.
    pub(crate) fn open(
        config: &Config,
        files: &WatchedFiles,
        cluster: &Arc<Cluster>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let ports = config.tls.as_ref().map(|flags| {
            let all = [&flags.cert, &flags.key].into_iter().chain(&flags.client_ca).cloned().collect();
            files.open(all, read_ports)
        });
        let peers = config.peer_tls.as_ref().map(|flags| {
            let (all, me) =
                (Vec::<PathBuf>::from([&flags.cert, &flags.key, &flags.ca].map(Clone::clone)), &config.name);
            let me = me.clone();
            files.open(all, move |contents| read_peers(contents, &me))
        });
        let sender = |config: Arc<ServerConfig>| watch::Sender::new(config);
        let certificates = Self {
            cluster: cluster.clone(),
            metrics: metrics.clone(),
            ports: ports.transpose()?.map(|watched| {
                let now = watched.current();
                (watched, sender(now.data.clone()), sender(now.admin.clone()))
            }),
            peers: peers.transpose()?.map(|watched| {
                let server = watched.current().server.clone();
                (watched, sender(server))
            }),
        };
        if let Some((watched, _)) = &certificates.peers {
            cluster.set_tls(watched.current());
        }
        Ok(certificates)
    }

    /// Has those ports speak TLS that have a certificate.
    pub(crate) fn secure(&self, ports: Listeners) -> Listeners {
        let data = self.ports.as_ref().map(|(_, data, _)| self.handshakes("data", data));
        let admin = self.ports.as_ref().map(|(_, _, admin)| self.handshakes("admin", admin));
        let peer = self.peers.as_ref().map(|(_, peer)| self.handshakes("peer", peer));
        Listeners {
            data: ports.data.with_tls(data),
            admin: ports.admin.with_tls(admin),
            peer: ports.peer.with_tls(peer),
            ..ports
        }
    }

    fn handshakes(&self, port: &'static str, config: &PortConfig) -> PortHandshakes {
        PortHandshakes::new(port, config.subscribe(), self.metrics.clone())
    }

    /// Hands changed certificates on, and says when one should have been replaced. Never ends.
    pub(crate) async fn run(self) {
        let mut changes = (
            self.ports.as_ref().map(|(watched, ..)| watched.changes()),
            self.peers.as_ref().map(|(watched, _)| watched.changes()),
        );
        let mut said = [false; 2];
        loop {
            let now = UnixTime::now();
            let lives = [
                ("tls", self.ports.as_ref().map(|(watched, ..)| watched.current().lifetime)),
                ("peer", self.peers.as_ref().map(|(watched, _)| watched.current().lifetime)),
            ];
            for ((certificate, lifetime), said) in lives.into_iter().zip(&mut said) {
                if let Some(lifetime) = lifetime {
                    self.look_at(certificate, lifetime, now, said);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = changed(&mut changes.0) => {
                    if let Some((watched, data, admin)) = &self.ports {
                        let new = watched.current();
                        data.send_replace(new.data.clone());
                        admin.send_replace(new.admin.clone());
                    }
                }
                () = changed(&mut changes.1) => {
                    if let Some((watched, peer)) = &self.peers {
                        let new = watched.current();
                        peer.send_replace(new.server.clone());
                        self.cluster.set_tls(new);
                    }
                }
            }
        }
    }

    /// Says once that a certificate is due.
    fn look_at(&self, certificate: &str, lifetime: Lifetime, now: UnixTime, said: &mut bool) {
        let is_due = lifetime.is_due(now);
        self.metrics.tls.set_expiry(certificate, lifetime.ends(), is_due);
        if is_due && !std::mem::replace(said, is_due) {
            let hours = lifetime.left(now).map_or(0, |left| left.as_secs() / 3600);
            tracing::warn!("--{certificate}-cert expires in {hours} hours: write a new one into its file");
        }
        *said = is_due;
    }
}

fn read_ports(contents: &[Vec<u8>]) -> Result<PortTls, String> {
    let [cert, key, rest @ ..] = contents else { return Err("a certificate and its key are needed".into()) };
    let client_ca = rest.first().map(|content| File { flag: "--tls-client-ca", content });
    PortTls::read(
        File { flag: "--tls-cert", content: cert },
        File { flag: "--tls-key", content: key },
        client_ca,
        UnixTime::now(),
    )
}

fn read_peers(contents: &[Vec<u8>], me: &str) -> Result<PeerTls, String> {
    let [cert, key, ca] = contents else { return Err("a certificate, its key and authorities are needed".into()) };
    PeerTls::read(
        File { flag: "--peer-cert", content: cert },
        File { flag: "--peer-key", content: key },
        File { flag: "--peer-ca", content: ca },
        me,
        UnixTime::now(),
    )
}

/// Waits for a change; for ever where there is nothing to change.
async fn changed(changes: &mut Option<watch::Receiver<()>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
