//! Seeds by `--seeds`: hosts that the system resolves again each time.

use crate::{
    cluster::seeds::{addresses::distinct, error::SeedError},
    config::seeds::Seed,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    time::Duration,
};

/// The timeout of resolving a name.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Listed hosts, the last addresses of each, and those that do not resolve.
#[derive(Debug)]
pub struct SeedList {
    seeds: Vec<Seed>,
    last: BTreeMap<String, Vec<SocketAddr>>,
    unresolved: BTreeSet<String>,
}

impl SeedList {
    /// Hosts without addresses.
    pub(super) fn new(seeds: Vec<Seed>) -> Self {
        Self { seeds, last: BTreeMap::new(), unresolved: BTreeSet::new() }
    }

    /// Resolves all hosts. One that does not resolve keeps its last addresses; it is an error only if there are none
    /// at all.
    pub(super) async fn addresses(&mut self) -> Result<Vec<SocketAddr>, SeedError> {
        let lookups: Vec<_> = self.seeds.iter().map(|seed| tokio::spawn(lookup(seed.clone()))).collect();
        let mut errors = BTreeMap::new();
        for (seed, answer) in self.seeds.iter().zip(lookups) {
            let place = format!("{}:{}", seed.host, seed.port);
            match answer.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(found) => {
                    self.last.insert(place, found);
                }
                Err(error) => {
                    errors.insert(place, error.to_string());
                }
            }
        }
        let found = distinct(self.last.values().flatten().copied().collect());
        if found.is_empty() {
            let errors: Vec<_> = errors.into_iter().map(|(place, error)| format!("{place}: {error}")).collect();
            return Err(SeedError::Name(errors.join(", ")));
        }
        for (seed, error) in errors.iter().filter(|(place, _)| !self.unresolved.contains(*place)) {
            tracing::warn!(seed, error, "a seed does not resolve, others do");
        }
        self.unresolved = errors.into_keys().collect();
        Ok(found)
    }
}

async fn lookup(seed: Seed) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((seed.host.as_str(), seed.port))).await??;
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_does_not_resolve_any_more_keeps_its_addresses() {
        let list = |text: &str| SeedList::new(text.split(',').map(|seed| seed.parse().unwrap()).collect());
        let mut seeds = list("127.0.0.2:2,[::1]:1,name.invalid:3,127.0.0.2:2");
        let found = ["127.0.0.2:2", "[::1]:1"].map(|at| at.parse().unwrap());
        assert_eq!(seeds.addresses().await.unwrap(), found, "in order, each once");
        seeds.last.insert("name.invalid:3".into(), vec!["10.0.0.1:3".parse().unwrap()]);
        assert_eq!(seeds.addresses().await.unwrap().len(), 3);
        let none = list("name.invalid:1").addresses().await.unwrap_err();
        assert!(none.to_string().starts_with("name.invalid:1: "), "{none}");
    }
}
