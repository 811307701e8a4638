//! A whole mesh in one thread, without sockets and without waiting: what processes on one machine cannot show.
//!
//! Everything that decides is the real code: the filter's exchange, feed, hot cache and peers; ring, breakers, frames
//! and purge log of the protocol; of the coordinator its store, lease, history, former owners, words and feed. What
//! stands here in place of sockets and tasks is who is told what when: messages take a while, overtake one another and
//! get lost, by a seed. The same seed gives the same figures.
//!
//! `make simulation SEED=1 PEERS=1000 PROXIES=10000 SECONDS=20` runs a large one: six minutes and 5 GB on one core of a
//! busy machine, nearly all of it for the million pairs of coordinators that ask each other every second what was
//! purged.

mod check;
mod feed;
mod flights;
mod membership;
mod net;
mod node;
mod proxy;
mod purges;
mod questions;
mod queue;
mod tests;
mod world;
