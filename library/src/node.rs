//! A node: this process's part of the cache.

use crate::{group::Group, options::Options};
use axum::Router;
use meshcache_coordinator::embedded::{self, Getter, NodeConfig};
use std::{fmt::Display, net::SocketAddr, sync::Arc, time::Duration};

/// Why a node or a group cannot be made: one line that names what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(String);

impl From<String> for BuildError {
    fn from(line: String) -> Self {
        Self(line)
    }
}

/// This process's part of the cache: its store, its groups, and its peers.
///
/// Clones are the same node. It ends with the last of them and of its groups; [`Node::shutdown`] hands over before.
#[derive(Clone)]
pub struct Node(Arc<embedded::Node>);

/// Makes a [`Node`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    name: String,
    peers: Vec<(String, String)>,
    token: Option<String>,
    store_bytes: u64,
    listen: Option<String>,
}

impl NodeBuilder {
    /// Sets the nodes that share the keys: name and address (`HOST:PORT`) of each, this one included unless it listens
    /// itself. Names of hosts are resolved in the background, again and again.
    #[must_use]
    pub fn peers<N: Display, A: Display>(mut self, peers: impl IntoIterator<Item = (N, A)>) -> Self {
        self.peers = peers.into_iter().map(|(name, at)| (name.to_string(), at.to_string())).collect();
        self
    }

    /// Sets what nodes prove themselves with to each other: the same visible ASCII on each. Without one there are no
    /// peers.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets the most bytes that this node stores, with all that values take in memory. Default: 256 MiB.
    #[must_use]
    pub fn store_bytes(mut self, bytes: u64) -> Self {
        self.store_bytes = bytes;
        self
    }

    /// Listens for other nodes on this address, such as `0.0.0.0:8083` or `127.0.0.1:0`. Else mount the node in a
    /// server of your own: [`Node::mount`].
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Starts the node, in a tokio runtime.
    ///
    /// # Errors
    /// One line that names what is wrong.
    pub fn build(self) -> Result<Node, BuildError> {
        let Self { name, peers, token, store_bytes, listen } = self;
        if !is_name(&name) {
            return Err(format!("name: `{name}` is not a name (letters, digits, `-`, `.`, `_`)").into());
        }
        if let Some(token) = &token
            && (token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err("token: it is visible ASCII without spaces, and not empty".to_owned().into());
        }
        if store_bytes == 0 {
            return Err("store_bytes: 0: nothing would be stored".to_owned().into());
        }
        let listen = listen
            .map(|at| {
                at.parse::<SocketAddr>().map_err(|_| format!("listen: `{at}` is not IP:PORT (example: 0.0.0.0:8083)"))
            })
            .transpose()?;
        let members = members(&peers)?;
        let node = embedded::Node::start(NodeConfig { name, store_bytes, token, listen })?;
        if !members.is_empty() {
            node.set_peers(members)?;
        }
        Ok(Node(node))
    }
}

impl Node {
    /// A node of this name, which no other has and which stays the same: it decides which keys the node owns.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        NodeBuilder { name: name.into(), peers: Vec::new(), token: None, store_bytes: 256 << 20, listen: None }
    }

    /// Makes a group: at most 63 of a-z, 0-9 and `-`, of which no other group of this node has the name. All nodes make
    /// the same groups.
    ///
    /// # Errors
    /// One line that names what is wrong.
    pub fn group(&self, name: &str, options: Options, getter: impl Getter) -> Result<Group, BuildError> {
        let (config, bytes) = options.group(name)?;
        Ok(Group(Arc::new(embedded::Group::add(&self.0, config, bytes, getter)?)))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Where it listens for other nodes, if it does: what they name as its address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address()
    }

    /// The names of the nodes that share the keys now, sorted.
    pub fn ring(&self) -> Vec<String> {
        self.0.ring()
    }

    /// Replaces the peers, at any time: see [`NodeBuilder::peers`]. A new owner of a key asks the one before it.
    ///
    /// # Errors
    /// One line that names what is wrong. The peers stay as they were.
    pub fn set_peers<N: Display, A: Display>(&self, peers: &[(N, A)]) -> Result<(), BuildError> {
        let peers: Vec<_> = peers.iter().map(|(name, at)| (name.to_string(), at.to_string())).collect();
        Ok(self.0.set_peers(members(&peers)?)?)
    }

    /// A router that answers other nodes and nothing else, for a port of its own. The server has to speak HTTP/2 without
    /// TLS (axum: feature `http2`).
    pub fn router(&self) -> Router {
        self.mount(Router::new())
    }

    /// Adds the calls of other nodes to a router of one's own: they carry the token and a field that no client sends.
    pub fn mount(&self, app: Router) -> Router {
        embedded::mount(self.0.port(), app)
    }

    /// The metrics, as Prometheus reads them, under groupcache's names.
    pub fn metrics(&self) -> String {
        self.0.metrics()
    }

    /// Leaves the ring, hands its values over to their next owners, and answers what is under way, within 30 s. Serve the
    /// router until it returns.
    pub async fn shutdown(&self) {
        self.shutdown_within(Duration::from_secs(30)).await;
    }

    /// Shuts down within another time.
    pub async fn shutdown_within(&self, limit: Duration) {
        self.0.shutdown(limit).await;
    }
}

fn members(peers: &[(String, String)]) -> Result<Vec<embedded::Member>, String> {
    peers.iter().map(|(name, at)| embedded::member(name, at).map_err(|wrong| format!("peers: {wrong}"))).collect()
}

fn is_name(name: &str) -> bool {
    embedded::member(name, "0.0.0.0:1").is_ok()
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.name()).field("address", &self.address()).finish_non_exhaustive()
    }
}
