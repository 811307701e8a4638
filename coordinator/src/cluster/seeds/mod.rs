//! Seeds: the addresses at which gossip finds its first peers, asked for again and again.

mod addresses;
mod dns;
mod error;
mod gce;
mod list;

pub use dns::DnsSeeds;
pub use error::SeedError;
pub use gce::GceSeeds;
pub use list::SeedList;

use crate::{config::seeds::SeedConfig, jitter::random};
use addresses::MAX_SEEDS;
use std::{net::SocketAddr, time::Duration};

/// The pause before a source is asked again, if it has never answered.
const FIRST: Duration = Duration::from_secs(2);

/// What knows the seeds.
#[derive(Debug)]
pub enum SeedSource {
    /// A list.
    List(SeedList),
    /// A name in DNS.
    Dns(DnsSeeds),
    /// Instances of Google Compute Engine.
    Gce(Box<GceSeeds>),
}

impl SeedSource {
    /// The source of a configuration. `peer_port`: the port of those for whom the source knows none, which is this
    /// coordinator's own.
    pub fn new(config: SeedConfig, peer_port: u16) -> Result<Self, String> {
        match config {
            SeedConfig::List(seeds) => Ok(Self::List(SeedList::new(seeds))),
            SeedConfig::Dns { name, resolver } => Ok(Self::Dns(DnsSeeds::new(name, resolver, peer_port))),
            SeedConfig::Gce(config) => Ok(Self::Gce(Box::new(GceSeeds::new(config, peer_port)?))),
        }
    }

    /// Asks for the addresses of peer ports, this coordinator's own among them or not. They are in order, each once,
    /// and at least one.
    async fn addresses(&mut self) -> Result<Vec<SocketAddr>, SeedError> {
        match self {
            Self::List(list) => list.addresses().await,
            Self::Dns(dns) => dns.addresses().await,
            Self::Gce(gce) => gce.addresses().await,
        }
    }

    /// The pause before it is asked again.
    fn interval(&self) -> Duration {
        match self {
            Self::List(_) | Self::Dns(_) => Duration::from_secs(5),
            Self::Gce(_) => Duration::from_secs(30),
        }
    }
}

/// A source with its last good answer.
#[derive(Debug)]
pub struct Seeds {
    source: SeedSource,
    last: Vec<SocketAddr>,
    trouble: Option<SeedError>,
    has_too_many: bool,
}

impl Seeds {
    /// A source that has not been asked.
    pub fn new(source: SeedSource) -> Self {
        Self { source, last: Vec::new(), trouble: None, has_too_many: false }
    }

    /// Asks the source for addresses of peer ports, this coordinator's own among them or not. If that fails, the last
    /// good answer stays, and one line says so, not each time.
    pub async fn refresh(&mut self) -> &[SocketAddr] {
        match self.source.addresses().await {
            Ok(mut found) => {
                if found.len() > MAX_SEEDS && !self.has_too_many {
                    tracing::warn!(
                        found = found.len(),
                        asked = MAX_SEEDS,
                        "more seeds than are asked: the first in order"
                    );
                }
                self.has_too_many = found.len() > MAX_SEEDS;
                found.truncate(MAX_SEEDS);
                if self.trouble.take().is_some() {
                    tracing::info!(seeds = found.len(), "seeds are found again");
                }
                self.last = found;
            }
            Err(error) => {
                if self.trouble.as_ref().map(SeedError::label) != Some(error.label()) {
                    tracing::warn!(problem = error.label(), %error, last = self.last.len(), "seeds are not found");
                }
                self.trouble = Some(error);
            }
        }
        &self.last
    }

    /// Why the last try failed; `None`: it did not.
    pub fn trouble(&self) -> Option<&SeedError> {
        self.trouble.as_ref()
    }

    /// The pause before the next try. Many coordinators that start together do not ask together.
    pub fn pause(&self) -> Duration {
        let pause = if self.last.is_empty() { FIRST } else { self.source.interval() };
        pause.mul_f64(0.8 + 0.4 * (random() as f64 / u64::MAX as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_good_answer_stays_while_the_source_fails() {
        let mut seeds = Seeds::new(SeedSource::List(SeedList::new(vec!["name.invalid:1".parse().unwrap()])));
        assert_eq!(seeds.refresh().await, [], "nothing is found");
        assert!(seeds.trouble().is_some() && seeds.pause() < Duration::from_secs(3));
        let good = "127.0.0.1:1".parse().unwrap();
        seeds.last = vec![good];
        assert_eq!(seeds.refresh().await, [good]);
        assert!(seeds.trouble().is_some());
        seeds.source = SeedSource::List(SeedList::new(vec!["127.0.0.1:2".parse().unwrap()]));
        assert_eq!(seeds.refresh().await, ["127.0.0.1:2".parse().unwrap()]);
        assert!(seeds.trouble().is_none());
        assert!((Duration::from_secs(4)..=Duration::from_secs(6)).contains(&seeds.pause()));
    }
}
