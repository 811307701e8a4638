//! The configuration: flags and their environment variables, checked once into [`Config`].

mod all_errors;
mod blanked;
mod cgroup_memory;
mod commands;
pub mod discovery;
pub mod extra_ports;
mod flags;
pub mod groups_file;
pub mod peers_flag;
pub mod regular_file;
pub mod secret;
pub mod seeds;
pub mod service_ref;
pub mod tls_files;
pub mod tokens;
pub mod watched_file;
mod yaml_positions;

pub use cgroup_memory::memory_limit;
pub use commands::{CheckFlags, Command, Hook, KubecacheFlags};
pub use flags::Flags;

use crate::{
    settings::{Identity, PeerTrust, Settings},
    telemetry::{access_log::AccessLog, log::LogFormat, request_metrics::Buckets, traces::TraceSettings},
};
use discovery::KubeSource;
use extra_ports::ExtraPorts;
use flags::RequestMetricsOf;
use groups_file::GroupSource;
use peers_flag::Member;
use seeds::SeedConfig;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tls_files::{PeerFiles, PortFiles};

/// The flags, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data port: requests of proxies, plain HTTP clients, the feed.
    pub listen: SocketAddr,
    /// The admin port, as it was given: see [`Config::admin_at`].
    pub admin: SocketAddr,
    /// The status port: health, metrics, the filter.
    pub status: SocketAddr,
    /// The peer port: other coordinators.
    pub peer_listen: SocketAddr,
    /// Where the groups come from.
    pub source: GroupSource,
    /// This peer's stable name.
    pub name: String,
    /// The ring's members; `None`: this peer alone.
    pub members: Option<Vec<Member>>,
    /// The objects of the Kubernetes API that are the ring instead.
    pub kube: Option<KubeSource>,
    /// Where gossip finds its first peers; `None`: no gossip.
    pub seeds: Option<SeedConfig>,
    /// Where the others reach this one; `None`: where it listens.
    pub advertise: Option<IpAddr>,
    /// The limit of the store.
    pub store_bytes: u64,
    /// Tokens between coordinators.
    pub peer_token_file: Option<PathBuf>,
    /// Tokens of administrators.
    pub admin_token_file: Option<PathBuf>,
    /// Where a caller's identity is read.
    pub identity: Identity,
    /// The certificate of data and admin port; `None`: they speak plain text.
    pub tls: Option<PortFiles>,
    /// The certificate between coordinators; `None`: they speak plain text.
    pub peer_tls: Option<PeerFiles>,
    /// The Wasm module that is served.
    pub filter: Option<PathBuf>,
    /// The native modules that are served.
    pub native_filters: Vec<PathBuf>,
    /// The installation's name in CDN-Loop and Cache-Status.
    pub installation: String,
    /// How long requests in progress may take after the signal to stop.
    pub drain_timeout: Duration,
    /// The file for the ports' addresses.
    pub ports_file: Option<PathBuf>,
    /// What proves a call of a peer.
    pub peer_trust: PeerTrust,
    /// The buckets of `requests_seconds`; `None`: it is not exported.
    pub request_buckets: Option<Buckets>,
    /// How traces are exported; `None`: they are not.
    pub traces: Option<TraceSettings>,
    /// Whether log lines name the trace of their request.
    pub ids_in_log: bool,
    /// The requests that have a line in the log.
    pub access_log: AccessLog,
    /// kubecache's own listeners.
    pub extra: ExtraPorts,
    /// How long the data port goes on as before after the signal to stop, while the news spreads.
    pub linger: Duration,
}

/// How long kubecache's mode serves on after the signal to stop: its chart has no hook that waits until Services know.
const KUBECACHE_LINGER: Duration = Duration::from_secs(5);
/// The limit of the store where the process has no memory limit.
const STORE_BYTES: u64 = 1 << 30;

impl TryFrom<Flags> for Config {
    type Error = String;

    fn try_from(flags: Flags) -> Result<Self, String> {
        let source = match (flags.config.clone(), flags.origin.clone()) {
            (Some(path), None) => GroupSource::Path(path),
            (None, Some(url)) => GroupSource::Origin {
                url,
                rules: flags.origin_rules.into(),
                timeout: flags.origin_timeout,
                pass_timeout: flags.origin_pass_timeout,
            },
            (None, None) => {
                return Err("--config FILE or --origin URL is needed".into());
            }
            (Some(_), Some(_)) => return Err("--config and --origin exclude each other".into()),
        };
        Self::of(flags, source, PeerTrust::Token, ExtraPorts::default())
    }
}

impl Config {
    /// The configuration of kubecache's mode. Without a token file its peer port is open.
    pub fn kubecache(flags: Flags, groups: String, extra: ExtraPorts) -> Result<Self, String> {
        let trust = if flags.peer_token_file.is_some() { PeerTrust::Token } else { PeerTrust::Open };
        let config = Self::of(flags, GroupSource::Text { name: "kubecache".into(), text: groups }, trust, extra)?;
        Ok(Self { linger: KUBECACHE_LINGER, ..config })
    }

    fn of(flags: Flags, source: GroupSource, peer_trust: PeerTrust, extra: ExtraPorts) -> Result<Self, String> {
        let kube = KubeSource::from_flags(
            flags.discovery,
            flags.discovery_service,
            flags.discovery_selector,
            flags.discovery_namespace,
        )?;
        let seeds = SeedConfig::from_flags(flags.discovery, flags.seeds, flags.peer_listen.port())?;
        if (kube.is_some() || seeds.is_some()) && flags.peers.is_some() {
            return Err("--peers is for --discovery static".into());
        }
        if seeds.is_some() && flags.peer_token_file.is_none() {
            return Err("--discovery gossip, dns and gce need --peer-token-file: members prove themselves by it".into());
        }
        if flags.advertise.is_some() && seeds.is_none() {
            return Err("--advertise is for --discovery gossip, dns and gce".into());
        }
        let name = match flags.name {
            Some(name) => name,
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        if name.is_empty()
            || name.len() > 253
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        {
            return Err(format!("--name: `{name}` is not a name (letters, digits, `-`, `.`, `_`)"));
        }
        if let (Some(members), false) = (&flags.peers, flags.peers.iter().flatten().any(|member| member.name == name)) {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            return Err(format!("--name: `{name}` is not among --peers ({})", names.join(", ")));
        }
        let tls = PortFiles::from_flags(flags.tls_cert, flags.tls_key, flags.tls_client_ca, flags.identity)?;
        let peer_tls = PeerFiles::from_flags(flags.peer_cert, flags.peer_key, flags.peer_ca)?;
        if seeds.is_some() && peer_tls.is_none() {
            tracing::warn!("no --peer-cert: the tokens of peers go in clear, for whoever is on their way");
        }
        let many = kube.is_some() || flags.peers.as_ref().is_some_and(|members| members.len() > 1);
        if many && flags.peer_token_file.is_none() && peer_trust == PeerTrust::Token {
            tracing::warn!("no --peer-token-file: peers refuse each other's calls, and each loads from the origin");
        }
        Ok(Self {
            listen: flags.listen,
            admin: flags.admin,
            status: flags.status,
            peer_listen: flags.peer_listen,
            source,
            name,
            members: flags.peers,
            kube,
            seeds,
            advertise: flags.advertise,
            store_bytes: flags
                .store_bytes
                .map_or_else(|| memory_limit(Path::new("/")).map_or(STORE_BYTES, |limit| limit / 2), |size| size.0),
            peer_token_file: flags.peer_token_file,
            admin_token_file: flags.admin_token_file,
            identity: flags.identity,
            tls,
            peer_tls,
            filter: flags.filter,
            native_filters: flags.native_filter,
            installation: flags.installation,
            drain_timeout: flags.drain_timeout.duration(),
            ports_file: flags.ports_file,
            peer_trust,
            request_buckets: match flags.request_metrics {
                RequestMetricsOf::None => None,
                RequestMetricsOf::Kubecache => Some(flags.request_buckets.unwrap_or_default()),
            },
            traces: None,
            access_log: flags.access_log,
            ids_in_log: flags.log_format == LogFormat::Json,
            extra,
            linger: Duration::ZERO,
        })
    }
}

impl Config {
    /// Returns the address of the admin port: without a token file, loopback.
    pub fn admin_at(&self) -> SocketAddr {
        if self.admin_token_file.is_some() { self.admin } else { on_loopback(self.admin) }
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            me: config.name.clone(),
            installation: config.installation.clone(),
            store_bytes: config.store_bytes,
            identity: config.identity,
            peer_trust: config.peer_trust,
        }
    }
}

/// Returns the same port on loopback.
fn on_loopback(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        own if own.is_loopback() => own,
        IpAddr::V6(ip) if !ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, at.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn what_gossip_needs_and_what_is_for_it_alone_is_said_in_one_line() {
        let said = |flags: &str| {
            let words = "test --origin http://127.0.0.1:9 ".to_owned() + flags;
            match <Line as clap::Parser>::try_parse_from(words.split_whitespace()) {
                Ok(line) => {
                    Config::try_from(line.flags).map_or_else(|error| error, |config| format!("{:?}", config.advertise))
                }
                Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
            }
        };
        let gossip = "--discovery gossip --seeds 10.0.0.1:8083";
        assert_eq!(said(&format!("{gossip} --peer-token-file t --advertise fd00::5")), "Some(fd00::5)");
        for (flags, words) in [
            (gossip, "need --peer-token-file: members prove themselves by it"),
            ("--advertise 10.0.0.5", "--advertise is for --discovery gossip, dns and gce"),
            ("--advertise host", "expected an IP address, for example 10.0.0.5 or fd00::5"),
            ("--advertise 10.0.0.5:8080", "expected an IP address, for example 10.0.0.5 or fd00::5"),
            ("--advertise ::", ":: is every address: write the one that others reach"),
        ] {
            let line = said(flags);
            assert!(line.ends_with(words), "{flags}: {line}");
        }
    }

    #[test]
    fn the_loopback_address_has_the_family_of_the_flag() {
        for (asked, own) in [
            ("[::]:1", "127.0.0.1:1"),
            ("10.0.0.1:1", "127.0.0.1:1"),
            ("[2001:db8::1]:1", "[::1]:1"),
            ("[::1]:1", "[::1]:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            assert_eq!(on_loopback(asked.parse().unwrap()), own.parse().unwrap(), "{asked}");
        }
    }
}
