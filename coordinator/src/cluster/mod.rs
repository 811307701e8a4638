//! The other coordinators: the ring that names owners, the rings before it, the calls to peers, and discovery.

pub mod announcements;
pub(crate) mod announcer;
pub(crate) mod client;
pub mod membership;
pub mod peer_lists;
pub(crate) mod previous_rings;
pub(crate) mod ring;
pub mod static_peers;
