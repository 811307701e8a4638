//! A whole mesh in one thread, without sockets and without waiting: it shows what processes on one machine cannot.
//!
//! Everything that decides is the real code: the filter's exchange, feed, hot cache and peers; ring, breakers, frames
//! and purge log of the protocol; of the coordinator its store, lease, purge log, previous rings, announcements and
//! feed. In place of sockets and tasks there are messages that take a while, overtake one another and get lost, by a
//! seed. The same seed gives the same figures.
//!
//! `make simulation SEED=1 PEERS=1000 PROXIES=10000 SECONDS=20` runs a large one: six minutes and 5 GB on one core of a
//! busy machine, nearly all of it for the million pairs of coordinators that catch up with each other every second.

mod bodies;
mod check;
mod feed;
mod flights;
mod gossip;
mod leaves;
mod membership;
mod net;
mod node;
mod proxy;
mod purges;
mod questions;
mod queue;
mod streams;
mod tests;
mod world;
