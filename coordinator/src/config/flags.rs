//! The command line. What `--help` prints of these comments is the reference.

use crate::{
    cluster::static_peers::{Member, members},
    kube::ServiceRef,
    settings::Identity,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use meshcache_protocol::{
    groups::{Errors, OriginUrl},
    units::{Size, Span},
};
use std::{net::SocketAddr, path::PathBuf};

/// A shared HTTP cache: alone in front of one origin, or the owner of a share of a mesh's keys.
#[derive(Clone, Debug, Parser)]
#[command(name = "meshcache-coordinator", version, args_conflicts_with_subcommands = true, max_term_width = 120)]
pub struct Program {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub what: Option<What>,
    /// How to serve.
    #[command(flatten)]
    pub flags: Flags,
}

/// What the program does beside serving.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// Says what is wrong with a configuration, and ends: status 0 if nothing is, else 2
    Check(CheckFlags),
    /// Asks for a URL, and ends: status 0 if the answer is a 2xx, else 1
    Probe {
        /// http://HOST[:PORT]/PATH
        url: String,
    },
    /// For the chart's hooks: what they do to a cluster
    #[command(flatten)]
    Hook(Hook),
}

/// What the chart's hooks do.
#[derive(Clone, Debug, Subcommand)]
pub enum Hook {
    /// Makes a Secret with a token each for peers and administrators, unless it is there
    CreateTokens(SecretFlags),
    /// Removes the Secret that create-tokens made
    DeleteTokens(SecretFlags),
    /// Puts the filter on proxies, when every ready coordinator serves it
    Attach(AttachFlags),
    /// Takes the filter off proxies
    Detach(DetachFlags),
}

/// Which Secret.
#[derive(Clone, Debug, Args)]
pub struct SecretFlags {
    /// The Secret
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub secret: ServiceRef,
}

/// What `attach` needs to know.
#[derive(Clone, Debug, Args)]
pub struct AttachFlags {
    /// The WasmPlugins (a JSON list); SHA256 in their url and sha256 becomes the digest of the filter
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// The coordinators' Service
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub service: ServiceRef,
    /// The filter that all of them must serve
    #[arg(long, env = "MESHCACHE_FILTER", value_name = "FILE")]
    pub filter: PathBuf,
    /// How long to wait for them
    #[arg(long, default_value = "5m", value_name = "DURATION")]
    pub timeout: Span,
}

/// What `detach` needs to know.
#[derive(Clone, Debug, Args)]
pub struct DetachFlags {
    /// The WasmPlugins (a JSON list); no file: none
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// One that stays
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub keep: Vec<String>,
}

/// What `check` needs to know.
#[derive(Clone, Debug, Args)]
pub struct CheckFlags {
    /// The groups to check, as for serving
    #[arg(long, env = "MESHCACHE_CONFIG", value_name = "FILE|DIR")]
    pub config: PathBuf,
    /// As for serving: groups with `callers` are refused without it
    #[arg(long, env = "MESHCACHE_IDENTITY", default_value = "none", value_name = "none|xfcc")]
    pub identity: Identity,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Data port: questions from proxies, plain HTTP clients, the feed (HTTP/1.1 and h2c on one port). Whoever reaches
    /// it may ask. [::] is every IPv6 and IPv4 address; IPv4 only where there is no IPv6. :8080 is [::]:8080
    #[arg(long, env = "MESHCACHE_LISTEN", default_value = "[::]:8080", value_name = "IP:PORT", value_parser = address)]
    pub listen: SocketAddr,

    /// Admin port: /purge, /peers, /groups and the status page at / (admin token). Without --admin-token-file it
    /// listens on loopback only, and answers without a token there
    #[arg(long, env = "MESHCACHE_ADMIN", default_value = "[::]:8081", value_name = "IP:PORT", value_parser = address)]
    pub admin: SocketAddr,

    /// Status port: /healthz, /readyz, /metrics and /filter/SHA256.wasm. Plain, read-only, no token: for the kubelet,
    /// Prometheus and proxies that fetch the filter
    #[arg(long, env = "MESHCACHE_STATUS", default_value = "[::]:8082", value_name = "IP:PORT", value_parser = address)]
    pub status: SocketAddr,

    /// Peer port: calls between coordinators (peer token). Not for anybody else: keep it inside the cluster
    #[arg(long, env = "MESHCACHE_PEER_LISTEN", default_value = "[::]:8083", value_name = "IP:PORT", value_parser = address)]
    pub peer_listen: SocketAddr,

    /// The groups (YAML): a file, or a directory whose *.yaml files are taken together in the order of their names.
    /// Read again when it changes and on SIGHUP; a bad one is refused and the one before it stays
    #[arg(long, env = "MESHCACHE_CONFIG", value_name = "FILE|DIR")]
    pub config: Option<PathBuf>,

    /// Instead of --config: one group `default` for every host and path, loaded from this origin, that obeys RFC 9111.
    /// The origin is sent its own Host, as by nginx; for the client's write a group with `origin.host: client`
    #[arg(long, env = "MESHCACHE_ORIGIN", value_name = "URL")]
    pub origin: Option<OriginUrl>,

    /// With --origin: how long it may take to answer what is loaded for all, and between two pieces of that. 504 then
    #[arg(long, env = "MESHCACHE_ORIGIN_TIMEOUT", default_value = "60s", value_name = "DURATION")]
    pub origin_timeout: Span,

    /// With --origin: the same for what goes past the cache (uploads, other methods than GET, event streams), from the
    /// last byte of the request on. 0s: as long as the client waits
    #[arg(long, env = "MESHCACHE_ORIGIN_PASS_TIMEOUT", default_value = "0s", value_name = "DURATION")]
    pub origin_pass_timeout: Span,

    /// What --origin stores of what RFC 9111 lets be stored. safe: no answer that a request brought upon itself (400,
    /// 412, 416, 429 and their like), one with Set-Cookie only where it says public, and languages of equal weight
    /// count in their order. rfc9111: all of it, to the letter
    #[arg(
        long,
        env = "MESHCACHE_ORIGIN_RULES",
        default_value = "safe",
        requires = "origin",
        value_name = "safe|rfc9111"
    )]
    pub origin_rules: OriginRules,

    /// This peer's stable name, the same after a restart: it decides which keys are its own. Default: the host name,
    /// which in a StatefulSet is the pod's
    #[arg(long, env = "MESHCACHE_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// How the other coordinators are found. static: --peers. kube: the ready endpoints of --discovery-service
    #[arg(long, env = "MESHCACHE_DISCOVERY", default_value = "static", value_name = "static|kube")]
    pub discovery: Discovery,

    /// All coordinators, this one among them: NAME=HOST:PORT/PEERPORT with data and peer port, comma separated. Hosts
    /// are resolved at start and again every 5 s. Every peer needs the same list: meshcache_peer_list_problems says
    /// where one differs. Without it this one is alone
    #[arg(long, env = "MESHCACHE_PEERS", value_name = "NAME=HOST:PORT/PEERPORT,...", value_parser = members_list)]
    pub peers: Option<Members>,

    /// The Service whose ready endpoints are the coordinators, for --discovery kube; its ports `http2` (data) and
    /// `tcp-peer` count. Needs the rights to list and watch EndpointSlices in its namespace
    #[arg(long, env = "MESHCACHE_DISCOVERY_SERVICE", value_name = "[NAMESPACE/]NAME")]
    pub discovery_service: Option<ServiceRef>,

    /// What the store may take, bookkeeping included; the process needs about a quarter more, and its connections.
    /// Default: half of the cgroup's memory limit, 1GiB where there is none
    #[arg(long, env = "MESHCACHE_STORE_BYTES", value_name = "SIZE")]
    pub store_bytes: Option<Size>,

    /// Tokens of the calls between coordinators, one a line: the first is sent, all are accepted, so that they can be
    /// changed one after another. Read again on change; a file that is gone or empty for 10s revokes those before.
    /// Without it the peer port refuses all
    #[arg(long, env = "MESHCACHE_PEER_TOKEN_FILE", value_name = "FILE")]
    pub peer_token_file: Option<PathBuf>,

    /// Tokens of the admin port, one a line: `Authorization: Bearer TOKEN`, or as the password of Basic, for a
    /// browser. Read again on change; a file that is gone or empty for 10s revokes those before
    #[arg(long, env = "MESHCACHE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Where a caller's mTLS identity is read. xfcc: the last element of x-forwarded-client-cert; only behind a proxy
    /// that sets it, for else a caller says who it is
    #[arg(long, env = "MESHCACHE_IDENTITY", default_value = "none", value_name = "none|xfcc")]
    pub identity: Identity,

    /// The filter, served as /filter/SHA256.wasm under its own digest. Set in the image
    #[arg(long, env = "MESHCACHE_FILTER", value_name = "FILE")]
    pub filter: Option<PathBuf>,

    /// Our name in CDN-Loop and Cache-Status. Two installations that a request passes one after the other need
    /// different ones
    #[arg(long, env = "MESHCACHE_INSTALLATION", default_value = "meshcache", value_name = "NAME", value_parser = installation)]
    pub installation: String,

    /// How long handing entries over and requests under way may take after SIGTERM before they are cut. Less than what
    /// stops the process for good (terminationGracePeriodSeconds)
    #[arg(long, env = "MESHCACHE_DRAIN_TIMEOUT", default_value = "30s", value_name = "DURATION")]
    pub drain_timeout: Span,

    /// text for people, json for programs: one line for each event, on stderr
    #[arg(long, env = "MESHCACHE_LOG_FORMAT", default_value = "text", value_name = "text|json")]
    pub log_format: LogFormat,

    /// The least important events that are logged
    #[arg(long, env = "MESHCACHE_LOG_LEVEL", default_value = "info", value_name = "error|warn|info|debug|trace")]
    pub log_level: LogLevel,

    /// Where to write down, as JSON, which addresses the ports have: for port 0
    #[arg(long, env = "MESHCACHE_PORTS_FILE", value_name = "FILE", hide = true)]
    pub ports_file: Option<PathBuf>,
}

/// How the other coordinators are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Discovery {
    /// By `--peers`.
    Static,
    /// By the EndpointSlices of a Service.
    Kube,
}

/// What `--origin` stores of what RFC 9111 lets be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OriginRules {
    /// What no request can do to others.
    Safe,
    /// All of it.
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

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What happens seldom.
    Info,
    /// What happens often.
    Debug,
    /// Everything.
    Trace,
}

/// The list of `--peers`; a name of its own, so that clap takes it as one value.
type Members = Vec<Member>;

fn members_list(text: &str) -> Result<Members, String> {
    members(text)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map_err(|_| "expected an IP address and a port, for example [::]:8080, 127.0.0.1:8080 or :8080".into())
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
