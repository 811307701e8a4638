//! The command line. `--help` prints these comments: they are the reference.
//!
//! Long: a field and its help for each flag.

use crate::{
    config::{
        discovery::{Discovery, LabelSelector, Namespace},
        peers_flag::{Member, members},
        seeds::SeedFlags,
        service_ref::ServiceRef,
    },
    settings::Identity,
    telemetry::{
        access_log::AccessLog,
        log::{LogFormat, LogLevel},
        request_metrics::Buckets,
    },
};
use clap::{Args, ValueEnum, builder::PossibleValue};
use meshcache_protocol::{
    groups::{Errors, OriginUrl},
    units::{Size, Span},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// The flags of serving.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Data port: requests of proxies, plain HTTP clients, the feed (HTTP/1.1 and h2c)
    ///
    /// It needs no token. [::] is every IPv6 and IPv4 address, or IPv4 alone where there is no IPv6. :8080 is [::]:8080
    #[arg(long, help_heading = "Ports", env = "MESHCACHE_LISTEN", default_value = "[::]:8080", value_name = "IP:PORT", value_parser = address)]
    pub listen: SocketAddr,

    /// Admin port: the page of the mesh at /, and what `meshcache why`, `top` and the like ask (admin token)
    ///
    /// Without --admin-token-file it listens on loopback only and needs no token
    #[arg(long, help_heading = "Ports", env = "MESHCACHE_ADMIN", default_value = "[::]:8081", value_name = "IP:PORT", value_parser = address)]
    pub admin: SocketAddr,

    /// Status port: /healthz, /readyz, /metrics, /filter/SHA256.wasm, /filter/SHA256.so, and their list /filter
    ///
    /// Plain, read-only, no token: for the kubelet, Prometheus and proxies that fetch the filter
    #[arg(long, help_heading = "Ports", env = "MESHCACHE_STATUS", default_value = "[::]:8082", value_name = "IP:PORT", value_parser = address)]
    pub status: SocketAddr,

    /// Peer port: calls between coordinators (peer token)
    ///
    /// Keep it inside the cluster
    #[arg(long, help_heading = "Ports", env = "MESHCACHE_PEER_LISTEN", default_value = "[::]:8083", value_name = "IP:PORT", value_parser = address)]
    pub peer_listen: SocketAddr,

    /// The groups (YAML): a file, or a directory whose *.yaml files are combined in the order of their names
    ///
    /// Reloaded on change and on SIGHUP; an invalid one is refused and the previous one stays
    #[arg(long, help_heading = "What is cached", env = "MESHCACHE_CONFIG", value_name = "FILE|DIR")]
    pub config: Option<PathBuf>,

    /// Instead of --config: one group `default` for every host and path, loaded from this origin by RFC 9111
    ///
    /// The origin is sent its own Host, as by nginx; for the client's write a group with `origin.host: client`
    #[arg(long, help_heading = "What is cached", env = "MESHCACHE_ORIGIN", value_name = "URL")]
    pub origin: Option<OriginUrl>,

    /// With --origin: the time limit of a shared load, until the response's head and between two pieces of its body.
    /// 504 after that
    #[arg(
        long,
        help_heading = "What is cached",
        env = "MESHCACHE_ORIGIN_TIMEOUT",
        default_value = "60s",
        value_name = "DURATION"
    )]
    pub origin_timeout: Span,

    /// With --origin: the time limit of requests that pass the cache (uploads, methods other than GET, event streams),
    /// from the last byte of the request. 0s: as long as the client waits
    #[arg(
        long,
        help_heading = "What is cached",
        env = "MESHCACHE_ORIGIN_PASS_TIMEOUT",
        default_value = "0s",
        value_name = "DURATION"
    )]
    pub origin_pass_timeout: Span,

    /// With --origin: which storable responses (RFC 9111) are stored
    ///
    /// safe: no error that the request itself caused (400, 412, 416, 429 and their like), a response with Set-Cookie
    /// only with `public`, and the order of languages of equal weight counts. rfc9111: all of them
    #[arg(
        long,
        help_heading = "What is cached",
        env = "MESHCACHE_ORIGIN_RULES",
        default_value = "safe",
        requires = "origin",
        value_name = "safe|rfc9111",
        hide_possible_values = true
    )]
    pub origin_rules: OriginRules,

    /// This peer's stable name, the same after a restart: it decides which keys it owns
    ///
    /// Default: the host name, which in a StatefulSet is the pod's
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// How the other coordinators are found: docs/discovery.md says which way fits
    ///
    /// static: --peers. kube: the ready endpoints of --discovery-service. pods: the ready Pods with the labels of
    /// --discovery-selector that answer as coordinators. gossip, dns, gce: they tell each other; the first ones are
    /// those of --seeds, of the name --discovery-name, or instances of Google Compute Engine
    #[arg(
        long,
        help_heading = "The ring",
        env = "MESHCACHE_DISCOVERY",
        default_value = "static",
        value_name = "static|kube|pods|gossip|dns|gce",
        hide_possible_values = true
    )]
    pub discovery: Discovery,

    /// All coordinators, this one included: NAME=HOST:PORT/PEERPORT with data and peer port, comma separated
    ///
    /// Hosts are resolved at start and every 5 s. Every peer needs the same list: meshcache_peer_list_problems shows
    /// where lists differ. Default: this one alone
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_PEERS", value_name = "NAME=HOST:PORT/PEERPORT,...", value_parser = members_list)]
    pub peers: Option<Members>,

    /// With --discovery kube: the Service whose ready endpoints are the coordinators, by its ports `http2` (data) and
    /// `tcp-peer`
    ///
    /// Needs the rights to list and watch EndpointSlices in its namespace
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_DISCOVERY_SERVICE", value_name = "[NAMESPACE/]NAME")]
    pub discovery_service: Option<ServiceRef>,

    /// With --discovery pods: the labels of the coordinators' Pods, as for kubectl: app=kubecache
    ///
    /// Their names are the Pods' names, their ports the numbers of this one's --listen and --peer-listen. Needs the
    /// rights to list and watch Pods in their namespace
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_DISCOVERY_SELECTOR", value_name = "LABELS")]
    pub discovery_selector: Option<LabelSelector>,

    /// With --discovery pods: their namespace
    ///
    /// Default: this Pod's own
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_DISCOVERY_NAMESPACE", value_name = "NAMESPACE")]
    pub discovery_namespace: Option<Namespace>,

    /// With --discovery gossip, dns and gce: the address at which the others reach this coordinator, with the port
    /// numbers of --listen and --peer-listen
    ///
    /// Default: where it listens; of [::], the address of its way out
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_ADVERTISE", value_name = "IP", value_parser = advertised)]
    pub advertise: Option<IpAddr>,

    /// Where gossip finds its first peers.
    #[command(flatten)]
    pub seeds: SeedFlags,

    /// The limit of the store, bookkeeping included
    ///
    /// The process needs about a quarter more, and memory for its connections. Default: half of the cgroup's memory
    /// limit, 1GiB without one
    #[arg(long, help_heading = "What is cached", env = "MESHCACHE_STORE_BYTES", value_name = "SIZE")]
    pub store_bytes: Option<Size>,

    /// Tokens of calls between coordinators, one per line
    ///
    /// The first is sent, all are accepted, so that they can be rotated. Reloaded on change; a file that is missing or
    /// empty for 10s revokes its tokens. Without it the peer port refuses all calls
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_PEER_TOKEN_FILE", value_name = "FILE")]
    pub peer_token_file: Option<PathBuf>,

    /// Tokens of the admin port, one per line: `Authorization: Bearer TOKEN`, or the password of Basic for a browser
    ///
    /// Reloaded on change; a file that is missing or empty for 10s revokes its tokens
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Where a caller's mTLS identity is read
    ///
    /// xfcc: the last element of x-forwarded-client-cert. Use it only behind a proxy that sets that field: otherwise
    /// callers choose their identity themselves. tls: the client's certificate, by an authority of --tls-client-ca: its
    /// SPIFFE id, else its DNS names (`dns:NAME` in `callers`)
    #[arg(
        long,
        help_heading = "Tokens, identity and TLS",
        env = "MESHCACHE_IDENTITY",
        default_value = "none",
        value_name = "none|xfcc|tls",
        hide_possible_values = true
    )]
    pub identity: Identity,

    /// Speak TLS, and nothing else, on the data port and the admin port, with this certificate (PEM, with its chain)
    ///
    /// Needs --tls-key. Like all files of certificates it is read again when it changes
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The key of --tls-cert (PEM, unencrypted)
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// With --identity tls: the authorities of clients' certificates (PEM)
    ///
    /// A client without one has no identity
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Mutual TLS 1.3 between coordinators: this one's certificate (PEM, with its chain), for clients and servers, with
    /// its --name as DNS name
    ///
    /// All coordinators of a ring have it, or none. Needs --peer-key and --peer-ca
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_PEER_CERT", value_name = "FILE")]
    pub peer_cert: Option<PathBuf>,

    /// The key of --peer-cert (PEM, unencrypted)
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_PEER_KEY", value_name = "FILE")]
    pub peer_key: Option<PathBuf>,

    /// The authorities of coordinators' certificates (PEM)
    ///
    /// Use one that certifies nobody else
    #[arg(long, help_heading = "Tokens, identity and TLS", env = "MESHCACHE_PEER_CA", value_name = "FILE")]
    pub peer_ca: Option<PathBuf>,

    /// The filter, served as /filter/SHA256.wasm under its digest
    ///
    /// Set in the image
    #[arg(long, help_heading = "The filter for proxies", env = "MESHCACHE_FILTER", value_name = "FILE")]
    pub filter: Option<PathBuf>,

    /// The native filter, served as /filter/SHA256.so under its digest: one for each architecture, repeated or with
    /// commas between them
    ///
    /// Set in the image
    #[arg(
        long,
        help_heading = "The filter for proxies",
        env = "MESHCACHE_NATIVE_FILTER",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub native_filter: Vec<PathBuf>,

    /// The name of this installation in CDN-Loop and Cache-Status
    ///
    /// Two installations on the way of one request need different names
    #[arg(long, help_heading = "What is cached", env = "MESHCACHE_INSTALLATION", default_value = "meshcache", value_name = "NAME", value_parser = installation)]
    pub installation: String,

    /// How long the handover of entries and requests in progress may take after SIGTERM. Keep it below the time after
    /// which the process is killed (terminationGracePeriodSeconds)
    #[arg(
        long,
        help_heading = "Start, stop and log",
        env = "MESHCACHE_DRAIN_TIMEOUT",
        default_value = "30s",
        value_name = "DURATION"
    )]
    pub drain_timeout: Span,

    /// kubecache: export `requests_seconds`, kubecache's histogram of plain clients' requests by method, status, path
    /// (1,000 of them, then `other`) and outcome
    #[arg(
        long,
        help_heading = "Start, stop and log",
        env = "MESHCACHE_REQUEST_METRICS",
        default_value = "none",
        value_name = "none|kubecache",
        hide_possible_values = true
    )]
    pub request_metrics: RequestMetricsOf,

    /// With --request-metrics: the upper bounds of its buckets, in seconds
    ///
    /// Default: the 22 of kubecache
    #[arg(long, help_heading = "Start, stop and log", env = "MESHCACHE_REQUEST_BUCKETS", value_name = "SECONDS,...")]
    pub request_buckets: Option<Buckets>,

    /// text for people, json for programs: one line per event, on stderr
    #[arg(
        long,
        help_heading = "Start, stop and log",
        env = "MESHCACHE_LOG_FORMAT",
        default_value = "text",
        value_name = "text|json",
        hide_possible_values = true
    )]
    pub log_format: LogFormat,

    /// The least important level that is logged
    #[arg(
        long,
        help_heading = "Start, stop and log",
        env = "MESHCACHE_LOG_LEVEL",
        default_value = "info",
        value_name = "error|warn|info|debug|trace",
        hide_possible_values = true
    )]
    pub log_level: LogLevel,

    /// One line for each request that has ended at the data or the peer port, with its outcome, reason and durations.
    /// errors: for those that failed, were refused or cut, or passed because something failed
    #[arg(
        long,
        help_heading = "Start, stop and log",
        env = "MESHCACHE_ACCESS_LOG",
        default_value = "off",
        value_name = "off|errors|all",
        hide_possible_values = true
    )]
    pub access_log: AccessLog,

    /// Write the addresses of the ports to this file, as JSON: for port 0
    #[arg(long, help_heading = "Ports", env = "MESHCACHE_PORTS_FILE", value_name = "FILE", hide = true)]
    pub ports_file: Option<PathBuf>,
}

/// The histogram of requests that is exported beside the other metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RequestMetricsOf {
    /// None.
    None,
    /// That of kubecache.
    Kubecache,
}

impl ValueEnum for Identity {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::None, Self::Xfcc, Self::Tls]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::None => PossibleValue::new("none").help("Nowhere"),
            Self::Xfcc => PossibleValue::new("xfcc").help("x-forwarded-client-cert"),
            Self::Tls => PossibleValue::new("tls").help("The client's certificate"),
        })
    }
}

/// Which storable responses `--origin` stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OriginRules {
    /// Those that one client's request cannot make bad for others.
    Safe,
    /// All of them.
    Rfc9111,
}

impl From<OriginRules> for Errors {
    fn from(rules: OriginRules) -> Self {
        match rules {
            OriginRules::Safe => Self::Safe,
            OriginRules::Rfc9111 => Self::Rfc9111,
        }
    }
}

/// The list of `--peers`. The alias makes clap take it as one value.
type Members = Vec<Member>;

fn members_list(text: &str) -> Result<Members, String> {
    members(text)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map_err(|_| "expected an IP address and a port, for example [::]:8080, 127.0.0.1:8080 or :8080".into())
}

fn advertised(text: &str) -> Result<IpAddr, String> {
    let ip = text.parse().map_err(|_| "expected an IP address, for example 10.0.0.5 or fd00::5")?;
    if IpAddr::is_unspecified(&ip) {
        Err(format!("{ip} is every address: write the one that others reach"))
    } else {
        Ok(ip)
    }
}

fn installation(text: &str) -> Result<String, String> {
    // A token of RFC 9110 that is also one of RFC 8941, as CDN-Loop and Cache-Status need it.
    let fits = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected a letter and then at most 62 letters, digits, `-`, `_` or `.`".into())
    }
}
