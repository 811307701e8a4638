//! Coordinators: all that they decide with as it is, and in place of their tasks and sockets what happens one after
//! another.

use crate::{
    cache::state::Cache,
    cluster::announcements::{Announcements, MembershipEvent},
    feed::Feed,
    simulation::{feed::Poll, flights::Waiter, net::Run, world::World},
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
    /// What it announces of itself.
    pub(super) announces: MembershipEvent,
    /// Of each whether it is in the ring.
    pub(super) ring: Vec<bool>,
    pub(super) is_up: bool,
    pub(super) is_frozen: bool,
    /// What came while it was frozen.
    pub(super) held: Vec<Run>,
    /// Which of its lives this is: what an earlier one had begun is over.
    pub(super) life: u64,
    /// Whom it asks what was purged.
    pub(super) listens: BTreeSet<usize>,
    /// When it asked all of them out of turn.
    pub(super) woken: u64,
    /// What it loads, and who waits for that.
    pub(super) flights: BTreeMap<usize, u64>,
    pub(super) waiters: BTreeMap<u64, Vec<Waiter>>,
    pub(super) breakers: BTreeMap<usize, Breaker>,
    pub(super) polls: Vec<Poll>,
}

impl Node {
    pub(super) fn new(at: usize, life: u64, world: &World) -> Self {
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
            held: Vec::new(),
            life,
            listens: BTreeSet::new(),
            woken: 0,
            flights: BTreeMap::new(),
            waiters: BTreeMap::new(),
            breakers: BTreeMap::new(),
            polls: Vec::new(),
        }
    }

    /// Whether it asks that peer: it answers, or this is a trial.
    pub(super) fn admits(&mut self, peer: usize, now: u64) -> bool {
        self.breakers.get_mut(&peer).is_none_or(|breaker| breaker.try_acquire(now))
    }
}

/// What befalls nodes.
impl World {
    /// Something happens at a node; if it is frozen, when it goes on.
    pub(super) fn arrive_at(&mut self, at: usize, run: impl FnOnce(&mut World) + 'static) {
        if self.nodes[at].is_frozen { self.nodes[at].held.push(Box::new(run)) } else { run(self) }
    }

    pub(super) fn ends(&mut self, at: usize) {
        self.figures.changes += 1;
        let node = &mut self.nodes[at];
        (node.is_up, node.is_frozen) = (false, false);
        node.life += 1;
        node.held.clear();
        node.polls.clear();
    }

    pub(super) fn starts(&mut self, at: usize) {
        self.figures.changes += 1;
        let life = self.nodes[at].life + 1;
        self.nodes[at] = Node::new(at, life, self);
        self.settle(at);
        self.go_on_saying(at, MembershipEvent::Join, life);
    }

    pub(super) fn freezes(&mut self, at: usize, millis: u64) {
        self.nodes[at].is_frozen = true;
        let life = self.nodes[at].life;
        self.after(millis, move |world| {
            if world.nodes[at].life != life {
                return;
            }
            world.nodes[at].is_frozen = false;
            drop(world.nodes[at].cache.cluster.push_absence());
            for run in std::mem::take(&mut world.nodes[at].held) {
                run(world);
            }
        });
    }
}
