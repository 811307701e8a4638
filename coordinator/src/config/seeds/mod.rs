//! Where gossip finds its first peers: a list, a name in DNS, or the instances of Google Compute Engine.

mod gce;
mod ini;
mod names;

pub use gce::{GceMatch, GceName, Pair, Zones};
pub use names::{DnsName, Seed};

use crate::config::discovery::Discovery;
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

/// The flags that say where the first peers are found.
#[derive(Clone, Debug, Default, Args)]
pub struct SeedFlags {
    /// With --discovery gossip: some of the coordinators, by which one that starts finds all: host and peer port, comma
    /// separated
    ///
    /// One that answers is enough; this one itself may be among them. Hosts are resolved again every 5 s
    #[arg(
        long,
        help_heading = "The ring",
        env = "MESHCACHE_SEEDS",
        value_name = "HOST:PEERPORT,...",
        value_delimiter = ','
    )]
    pub seeds: Vec<Seed>,

    /// With --discovery dns: the name whose A and AAAA records are coordinators (with the port of this one's
    /// --peer-listen), and whose SRV records _peer._tcp.NAME are (with their own ports)
    ///
    /// Asked again every 5 s. A name with fewer dots than `ndots` is searched for, as /etc/resolv.conf says
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_DISCOVERY_NAME", value_name = "NAME")]
    pub discovery_name: Option<DnsName>,

    /// With --discovery dns: the name server
    ///
    /// Default: those of /etc/resolv.conf, which is read again each time
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_DISCOVERY_RESOLVER", value_name = "IP:PORT")]
    pub discovery_resolver: Option<SocketAddr>,

    /// With --discovery gce: the project whose running instances are coordinators, with the port of this one's
    /// --peer-listen
    ///
    /// They are listed again every 30 s, as the instance's service account (scope compute-ro). Default: this instance's
    /// project
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_DISCOVERY_PROJECT", value_name = "PROJECT")]
    pub discovery_project: Option<GceName>,

    /// With --discovery gce: their zones
    ///
    /// Default: all of the project
    #[arg(
        long,
        help_heading = "The ring",
        env = "MESHCACHE_DISCOVERY_ZONES",
        value_name = "ZONE,...",
        value_delimiter = ','
    )]
    pub discovery_zones: Vec<GceName>,

    /// With --discovery gce: network tags, all of which they have
    #[arg(
        long,
        help_heading = "The ring",
        env = "MESHCACHE_DISCOVERY_TAGS",
        value_name = "TAG,...",
        value_delimiter = ','
    )]
    pub discovery_tags: Vec<GceName>,

    /// With --discovery gce: metadata, all of which they have
    #[arg(
        long,
        help_heading = "The ring",
        env = "MESHCACHE_DISCOVERY_METADATA",
        value_name = "KEY=VALUE,...",
        value_delimiter = ','
    )]
    pub discovery_metadata: Vec<Pair>,

    /// With --discovery gce: gce-cache-cluster's cachecluster.ini instead of these four
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_INI", value_name = "FILE")]
    pub ini: Option<PathBuf>,

    /// The Compute Engine API, for tests
    #[arg(long, help_heading = "The ring", env = "MESHCACHE_DISCOVERY_ENDPOINT", value_name = "URL", hide = true)]
    pub discovery_endpoint: Option<String>,

    /// The metadata server, as Google's own clients read it
    #[arg(long, help_heading = "The ring", env = "GCE_METADATA_HOST", value_name = "HOST[:PORT]", hide = true)]
    pub discovery_metadata_host: Option<String>,
}

/// Where the first peers are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedConfig {
    /// They are listed.
    List(Vec<Seed>),
    /// By the addresses of a name.
    Dns {
        /// The name.
        name: DnsName,
        /// The name server; `None`: the system's.
        resolver: Option<SocketAddr>,
    },
    /// By the instances of a project.
    Gce(GceConfig),
}

/// Instances of Google Compute Engine, and where they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GceConfig {
    /// Which instances.
    pub matching: GceMatch,
    /// The API's URL; `None`: Google's.
    pub endpoint: Option<String>,
    /// The metadata server's host; `None`: the usual one.
    pub metadata: Option<String>,
}

/// What is said of EC2. The crate that signs its API's requests (SigV4) brings 21 others.
const EC2: &str = "--discovery ec2 is not there: write --discovery dns with a name in Route 53 or Cloud Map";

impl SeedConfig {
    /// The flags' source; `None`: peers are found in another way. `peer_port`: that of --peer-listen. The error says
    /// what to write.
    pub(super) fn from_flags(discovery: Discovery, flags: SeedFlags, peer_port: u16) -> Result<Option<Self>, String> {
        if discovery == Discovery::Ec2 {
            return Err(EC2.into());
        }
        let gce = flags.gce();
        let of_kind = [
            ("seeds", !flags.seeds.is_empty(), Discovery::Gossip, "gossip"),
            ("discovery-name", flags.discovery_name.is_some(), Discovery::Dns, "dns"),
            ("discovery-resolver", flags.discovery_resolver.is_some(), Discovery::Dns, "dns"),
            ("ini", flags.ini.is_some(), Discovery::Gce, "gce"),
            ("discovery-endpoint", flags.discovery_endpoint.is_some(), Discovery::Gce, "gce"),
        ];
        let of_gce = gce.map(|(flag, is_set)| (flag, is_set, Discovery::Gce, "gce"));
        for (flag, is_set, kind, word) in of_kind.into_iter().chain(of_gce) {
            if is_set && kind != discovery {
                return Err(format!("--{flag} is for --discovery {word}"));
            }
        }
        Ok(Some(match discovery {
            Discovery::Static | Discovery::Kube | Discovery::Pods | Discovery::Ec2 => return Ok(None),
            Discovery::Gossip if flags.seeds.is_empty() => {
                return Err("--discovery gossip needs --seeds HOST:PEERPORT,...".into());
            }
            Discovery::Gossip => Self::List(flags.seeds),
            Discovery::Dns => Self::Dns {
                name: flags.discovery_name.ok_or("--discovery dns needs --discovery-name NAME")?,
                resolver: flags.discovery_resolver,
            },
            Discovery::Gce => {
                let matching = match &flags.ini {
                    Some(file) => match gce.iter().find(|(_, is_set)| *is_set) {
                        Some((flag, _)) => return Err(format!("--ini and --{flag} exclude each other")),
                        None => ini::read(file, peer_port)?,
                    },
                    None => GceMatch::from_flags(
                        flags.discovery_project,
                        flags.discovery_zones,
                        flags.discovery_tags,
                        flags.discovery_metadata,
                    )?,
                };
                Self::Gce(GceConfig {
                    matching,
                    endpoint: flags.discovery_endpoint,
                    metadata: flags.discovery_metadata_host,
                })
            }
        }))
    }
}

impl SeedFlags {
    /// The flags that say which instances are coordinators, and whether they are set.
    fn gce(&self) -> [(&'static str, bool); 4] {
        [
            ("discovery-project", self.discovery_project.is_some()),
            ("discovery-zones", !self.discovery_zones.is_empty()),
            ("discovery-tags", !self.discovery_tags.is_empty()),
            ("discovery-metadata", !self.discovery_metadata.is_empty()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    /// What is said of these flags; `good`: nothing is wrong with them.
    fn said(flags: &str) -> String {
        let words = ["x", "--origin", "http://o", "--peer-token-file", "t"]
            .into_iter()
            .chain(flags.split(' ').filter(|word| !word.is_empty()));
        match Line::try_parse_from(words) {
            Ok(line) => Config::try_from(line.flags).map_or_else(|error| error, |_| "good".into()),
            Err(error) => error.to_string().lines().next().unwrap().to_owned(),
        }
    }

    #[test]
    fn each_flag_belongs_to_its_kind_of_discovery_and_a_mistake_is_named() {
        for (flags, words) in [
            ("--discovery gossip --seeds a:8083,10.0.0.1:1,[::1]:2", "good"),
            ("--discovery dns --discovery-name cache.example --discovery-resolver 127.0.0.1:8600", "good"),
            ("--discovery gce --discovery-tags cache", "good"),
            ("--discovery gce --discovery-metadata a=b,c= --discovery-project p --discovery-zones z-1,z-2", "good"),
            ("--discovery gossip", "--discovery gossip needs --seeds HOST:PEERPORT,..."),
            ("--discovery dns", "--discovery dns needs --discovery-name NAME"),
            ("--seeds a:1", "--seeds is for --discovery gossip"),
            ("--discovery dns --discovery-name a --seeds a:1", "--seeds is for --discovery gossip"),
            ("--discovery gossip --seeds a:1 --discovery-name a", "--discovery-name is for --discovery dns"),
            ("--discovery-resolver 127.0.0.1:53", "--discovery-resolver is for --discovery dns"),
            ("--discovery-tags a", "--discovery-tags is for --discovery gce"),
            ("--discovery gossip --seeds a:1 --ini x", "--ini is for --discovery gce"),
            ("--discovery gce --ini x --discovery-zones a", "--ini and --discovery-zones exclude each other"),
            ("--discovery gce --ini /missing.ini", "/missing.ini: No such file or directory (os error 2)"),
            (
                "--discovery gce",
                "--discovery gce needs --discovery-tags TAG,... or --discovery-metadata KEY=VALUE,...: which instances are coordinators",
            ),
            ("--discovery ec2", EC2),
            ("--discovery gossip --seeds a:1 --peers x=a:1/2", "--peers is for --discovery static"),
            (
                "--discovery gossip --seeds a",
                "error: invalid value 'a' for '--seeds <HOST:PEERPORT,...>': `a` is not HOST:PEERPORT (example: cache-0.example:8083)",
            ),
            (
                "--discovery dns --discovery-name 10.0.0.1",
                "error: invalid value '10.0.0.1' for '--discovery-name <NAME>': `10.0.0.1` is an address: write --discovery gossip --seeds 10.0.0.1:PEERPORT",
            ),
            (
                "--discovery gce --discovery-tags a/b",
                "error: invalid value 'a/b' for '--discovery-tags <TAG,...>': `a/b` is not a name (lower case letters, digits, `-`, `.`, `:`)",
            ),
            (
                "--discovery gce --discovery-metadata a",
                "error: invalid value 'a' for '--discovery-metadata <KEY=VALUE,...>': `a` is not KEY=VALUE",
            ),
        ] {
            assert_eq!(said(flags), words, "{flags}");
        }
    }
}
