//! The engine of a library's node: the coordinator's cache with getters as its origins, its peers, and no port but the
//! peers' own. The crate `meshcache` is its face.

mod group;
mod mount;
mod node;
mod peers;

pub use crate::{
    config::peers_flag::Member,
    origin::{Error, Getter, Value},
    purge::PurgeReport,
};
pub use group::{Group, Stats, group_config, not_found};
pub use mount::mount;
pub use node::{Node, NodeConfig};
pub use peers::member;
