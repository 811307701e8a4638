//! A cache that the nodes of a program share, in the way of groupcache: each key has one owner among the nodes, a key
//! that no node has is loaded once for all of them, and what is removed is gone everywhere at once.
//!
//! Three steps: declare the peers, make a named group with a size and a getter, get.
//!
//! ```
//! use meshcache::{Error, Node, Options, Value};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // 1. The nodes. Here three of them in one process; each of yours makes one, with the same token.
//! let mut nodes = Vec::new();
//! for name in ["a", "b", "c"] {
//!     nodes.push(Node::builder(name).token("secret").store_bytes(64 << 20).listen("127.0.0.1:0").build()?);
//! }
//! let addresses: Vec<_> = nodes.iter().filter_map(|node| Some((node.name(), node.address()?))).collect();
//! for node in &nodes {
//!     node.set_peers(&addresses)?;
//! }
//!
//! // 2. A group, on each of them: its name, its size, and what makes a value.
//! let mut groups = Vec::new();
//! for node in &nodes {
//!     let getter = |key: String| async move { Ok::<_, Error>(Value::from(format!("a small {key}"))) };
//!     groups.push(node.group("thumbnails", Options::new().bytes(16 << 20), getter)?);
//! }
//!
//! // 3. Get. One of them calls its getter; the others ask that one.
//! for thumbnails in &groups {
//!     assert_eq!(thumbnails.get("cat.jpg").await?, "a small cat.jpg");
//! }
//! let calls: u64 = groups.iter().map(|thumbnails| thumbnails.stats().local_loads).sum();
//! assert_eq!(calls, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! - **One load a key.** [`Group::get`] joins the load that is under way, on whichever node. The getter runs in a task of
//!   its own: a caller who leaves does not stop it. All who wait get its value or its error. Errors are not stored.
//! - **Values may change.** [`Value`] has a time to live, stale windows and tags. [`Group::remove`], [`Group::remove_tags`]
//!   and [`Group::clear`] are done on all nodes when they return, but for those that they name as unreached. [`Group::set`]
//!   stores a value at its owner, and removes all others.
//! - **Nodes come and go.** [`Node::set_peers`] at any time; a new owner asks the one before it. [`Node::shutdown`] hands
//!   over what a node has. A node that fails costs a load, never an error. One that does not hear most of the others for
//!   1.5 s asks its getter, and stores nothing, until it has learnt what was removed meanwhile.
//! - **Bounded.** The store's bytes are counted with all that they take in memory. Loads at once, values, keys and texts of
//!   errors have limits.
//!
//! Nodes speak HTTP/2 without TLS, and prove themselves with a token. Between data centres or without a network of your
//! own, put a mesh or a tunnel around it. A single node needs no token, no port and no peers.
//!
//! # Features
//!
//! - `serde_json`: [`Json`], values as JSON.
//! - `prost`: [`Proto`], values as protocol buffers.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod codec;
mod group;
mod node;
mod options;

#[cfg(feature = "serde_json")]
pub use codec::Json;
#[cfg(feature = "prost")]
pub use codec::Proto;
pub use codec::{Codec, encode};
pub use group::{Group, Removed};
#[doc(inline)]
pub use meshcache_coordinator::embedded::{Error, Getter, Stats, Value};
pub use node::{BuildError, Node, NodeBuilder};
pub use options::Options;
