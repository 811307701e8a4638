//! Coordinators: the real code for all decisions, and events in place of their tasks and sockets.

use crate::{
    cache::state::Cache,
    cluster::announcements::{Announcements, MembershipEvent},
    feed::Feed,
    simulation::{bodies::Body, feed::Poll, flights::Waiter, leaves::Leaves, net::Event, world::World},
};
use meshcache_protocol::Breaker;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(super) struct Node {
    pub(super) cache: Arc<Cache>,
    pub(super) feed: Arc<Feed>,
    pub(super) announcements: Announcements,
    /// The event that it announces.
    pub(super) announces: MembershipEvent,
    /// Whether each node is in the ring.
    pub(super) ring: Vec<bool>,
    pub(super) is_up: bool,
    pub(super) is_frozen: bool,
    /// The events while it was frozen.
    pub(super) delayed: Vec<Event>,
    /// The number of this start: what an earlier one had begun is over.
    pub(super) incarnation: u64,
    /// The nodes that it catches up with.
    pub(super) asked_peers: BTreeSet<usize>,
    /// The time at which it last asked all of them at once.
    pub(super) asked_all_at: u64,
    /// The flights of keys, and the requests that wait for them.
    pub(super) flights: BTreeMap<usize, u64>,
    pub(super) waiters: BTreeMap<u64, Vec<Waiter>>,
    pub(super) leaves: Leaves,
    /// The bodies that it reads, part after part.
    pub(super) streams: BTreeMap<usize, Body>,
    pub(super) breakers: BTreeMap<usize, Breaker>,
    pub(super) polls: Vec<Poll>,
}

impl Node {
    pub(super) fn new(at: usize, incarnation: u64, world: &World) -> Self {
        let cache = Cache::sample(world.name(at), 64 << 20);
        cache.set_groups(world.groups.clone()).unwrap();
        cache.consistency.set_tokens(&["token".to_owned()]);
        let feed = Feed::new(cache.clone(), cache.metrics.clone(), "meshcache", world.name(at));
        feed.set_config(world.config.clone());
        Self {
            cache,
            feed,
            announcements: Announcements::default(),
            announces: MembershipEvent::Join,
            ring: vec![false; world.peers.len()],
            is_up: true,
            is_frozen: false,
            delayed: Vec::new(),
            incarnation,
            asked_peers: BTreeSet::new(),
            asked_all_at: 0,
            flights: BTreeMap::new(),
            waiters: BTreeMap::new(),
            leaves: Leaves::default(),
            streams: BTreeMap::new(),
            breakers: BTreeMap::new(),
            polls: Vec::new(),
        }
    }

    /// Takes leave to call a peer: it answers, or this call is a trial.
    pub(super) fn try_acquire(&mut self, peer: usize, now: u64) -> bool {
        self.breakers.get_mut(&peer).is_none_or(|breaker| breaker.try_acquire(now))
    }
}

/// Starts, ends and freezes.
impl World {
    /// Runs an event at a node; if it is frozen, when it goes on.
    pub(super) fn arrive_at(&mut self, at: usize, run: impl FnOnce(&mut World) + 'static) {
        if self.nodes[at].is_frozen { self.nodes[at].delayed.push(Box::new(run)) } else { run(self) }
    }

    pub(super) fn stop(&mut self, at: usize) {
        self.figures.changes += 1;
        let node = &mut self.nodes[at];
        (node.is_up, node.is_frozen) = (false, false);
        node.incarnation += 1;
        node.delayed.clear();
        node.polls.clear();
    }

    pub(super) fn start(&mut self, at: usize) {
        self.figures.changes += 1;
        let incarnation = self.nodes[at].incarnation + 1;
        self.nodes[at] = Node::new(at, incarnation, self);
        self.settle(at);
        self.keep_announcing(at, MembershipEvent::Join, incarnation);
    }

    pub(super) fn freeze(&mut self, at: usize, millis: u64) {
        self.nodes[at].is_frozen = true;
        let incarnation = self.nodes[at].incarnation;
        self.after(millis, move |world| {
            if world.nodes[at].incarnation != incarnation {
                return;
            }
            world.nodes[at].is_frozen = false;
            drop(world.nodes[at].cache.cluster.push_absence());
            for run in std::mem::take(&mut world.nodes[at].delayed) {
                run(world);
            }
        });
    }
}
