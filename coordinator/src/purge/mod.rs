//! Purges: read strictly, carried out here and on every other coordinator, and announced to proxies by the feed.

mod acks;
mod connection;
pub mod execute;
mod local;
mod messages;
mod method;
mod peer_sync;
mod purger;
mod recent;
mod request;
mod results;
#[cfg(test)]
mod tests;
mod unresponsive;

pub use messages::{PurgeCall, PurgeReport};
pub use method::is_purge_method;
pub use peer_sync::PeerSync;
#[cfg(test)]
pub(crate) use peer_sync::{first_interval, interval, shortest_interval};
pub use purger::{Behind, Purger};
pub(crate) use recent::RecentPurge;
pub use request::{InvalidPurge, PurgeRequest};
