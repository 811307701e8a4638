//! Addresses of seeds: how many, and in which order.

use std::net::SocketAddr;

/// The most addresses that are asked: gossip needs one that answers.
pub(super) const MAX_SEEDS: usize = 1000;

/// Puts addresses in order, each once.
pub(super) fn distinct(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
