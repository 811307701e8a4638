//! A group of a library's node: get, set, remove.

use crate::{
    cache::{
        getter_lookup::{self, GetterGroup},
        getter_peek, getter_set,
    },
    embedded::node::Node,
    origin::{Error, Getter, Value},
    purge::{PurgeReport, PurgeRequest},
};
use bytes::Bytes;
use meshcache_protocol::{
    groups::{GroupConfig, Name, Status},
    purge::Scope,
    units::Span,
};
use std::{collections::BTreeMap, sync::Arc};

/// A getter's group: its requests have its name as their host. The error is one line for people.
pub fn group_config(name: &str) -> Result<GroupConfig, String> {
    name.parse::<Name>().map_err(|error| format!("group: {error}"))?;
    let origin = "http://getter.invalid";
    let config = serde_json::json!({"name": name, "match": {"hosts": [name]}, "origin": {"url": origin}});
    serde_json::from_value(config).map_err(|error| format!("group: {error}"))
}

/// How long it is remembered that there is no value, as groups have it.
pub fn not_found(ttl: Span) -> BTreeMap<Status, Span> {
    BTreeMap::from([(Status::Exactly(404), ttl)])
}

/// A group of a node.
pub struct Group {
    node: Arc<Node>,
    group: GetterGroup,
}

/// What a group has counted since its start, on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls of `get`.
    pub gets: u64,
    /// Calls that this node's store answered.
    pub hits: u64,
    /// Calls that the store could not answer.
    pub loads: u64,
    /// Loads that were begun: those who joined one do not count.
    pub loads_deduped: u64,
    /// Calls of the getter that gave a value, or said that there is none.
    pub local_loads: u64,
    /// Calls of the getter that failed.
    pub local_load_errors: u64,
    /// Values from other nodes.
    pub peer_loads: u64,
    /// Questions to other nodes that failed.
    pub peer_errors: u64,
    /// Questions of other nodes.
    pub server_requests: u64,
    /// Values in the store.
    pub items: u64,
    /// Their bytes, with all that they take in memory.
    pub bytes: u64,
    /// Values that gave way to others, or expired.
    pub evictions: u64,
}

impl Group {
    /// Adds a group to a node. `bytes`: what it may take of the store. The error is one line for people.
    pub fn add(node: &Arc<Node>, config: GroupConfig, bytes: u64, getter: impl Getter) -> Result<Self, String> {
        let group = node.add_group(config, bytes, getter)?;
        Ok(Self { node: node.clone(), group })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.group.name()
    }

    /// Its node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Gets a value: from this node's store, from its owner, or from the getter.
    #[inline]
    pub async fn get(&self, key: &str) -> Result<Bytes, Error> {
        match self.group.try_get(&self.node.cache, key) {
            Some(answer) => answer,
            None => Box::pin(getter_lookup::get(&self.node.cache, &self.group, key)).await,
        }
    }

    /// Returns the fresh value that this node or the owner has. The getter is not asked.
    pub async fn peek(&self, key: &str) -> Result<Option<Bytes>, Error> {
        getter_peek::peek(&self.node.cache, &self.group, self.group.key(key)?).await.transpose()
    }

    /// Stores a value at its owner, in place of all that there is on any node.
    pub async fn set(&self, key: &str, value: Value) -> Result<(), Error> {
        let bytes = self.group.key(key)?;
        self.remove(&[key]).await?;
        getter_set::set(&self.node.cache, &self.group, bytes, value).await
    }

    /// Removes these keys from all nodes.
    pub async fn remove(&self, keys: &[&str]) -> Result<PurgeReport, Error> {
        let paths: Result<Vec<_>, _> = keys.iter().map(|key| self.group.path(key)).collect();
        let paths = paths?;
        if paths.is_empty() {
            return Ok(PurgeReport::default());
        }
        Ok(self.purge(Scope { paths, ..Scope::default() }).await)
    }

    /// Removes all values with one of these tags from all nodes.
    pub async fn remove_tags(&self, tags: &[&str]) -> PurgeReport {
        if tags.is_empty() {
            return PurgeReport::default();
        }
        self.purge(Scope { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..Scope::default() }).await
    }

    /// Removes all values from all nodes.
    pub async fn clear(&self) -> PurgeReport {
        self.purge(Scope::default()).await
    }

    async fn purge(&self, scope: Scope) -> PurgeReport {
        let scope = Scope { group: Some(self.group.name().to_owned()), ..scope };
        self.node.purger.purge(PurgeRequest { scope, soft: false, dry_run: false }).await
    }

    /// What it has counted.
    pub fn stats(&self) -> Stats {
        let (metrics, cache) = (self.group.metrics(), &self.node.cache);
        let usage = cache.usage();
        cache.metrics.set_usage(&usage, cache.clock.now());
        let usage = usage.into_iter().find(|usage| usage.group == self.name()).unwrap_or_default();
        Stats {
            gets: metrics.gets.get(),
            hits: metrics.hits.get(),
            loads: metrics.loads.get(),
            loads_deduped: metrics.loads_deduped.get(),
            local_loads: metrics.local_load.get(),
            local_load_errors: metrics.local_load_errs.get(),
            peer_loads: metrics.peer_loads.get(),
            peer_errors: metrics.peer_errors.get(),
            server_requests: metrics.server_requests.get(),
            items: usage.items,
            bytes: usage.bytes,
            evictions: usage.evictions,
        }
    }
}
