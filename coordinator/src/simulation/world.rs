//! All that there is: nodes, proxies, keys, time, and what may befall them.

use crate::{
    clock::simulated,
    cluster::announcements::MembershipEvent,
    simulation::{
        check::{Figures, Thing},
        net::{Dice, Place},
        node::Node,
        proxy::Proxy,
        queue::Queue,
    },
};
use bytes::Bytes;
use meshcache_protocol::{Groups, Key, Peer, Request, Ring, groups::Config};
use meshcache_proxy::state::snapshot::FeedUpdate;
use std::{collections::BTreeMap, rc::Rc, sync::Arc};

/// What a run is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) peers: usize,
    pub(super) proxies: usize,
    pub(super) keys: usize,
    /// Milliseconds.
    pub(super) lasts: u64,
    /// Requests a second, of all clients together.
    pub(super) requests: u64,
    /// Of a thousand messages so many get lost.
    pub(super) loses: u64,
    /// Milliseconds from one purge to the next; 0: none.
    pub(super) purges: u64,
    /// Milliseconds from one blow to the next; 0: nothing befalls anybody.
    pub(super) blows: u64,
    /// Milliseconds from one join or leave to the next; 0: none.
    pub(super) changes: u64,
    /// Milliseconds from one invented position to the next; 0: none.
    pub(super) forgeries: u64,
    /// Nodes do not hear what others purge, and nobody misses them: to see that this is noticed.
    pub(super) deaf: bool,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) turn: u64,
    pub(super) dice: Dice,
    pub(super) queue: Queue,
    pub(super) loses: u64,
    pub(super) messages: u64,
    pub(super) lost: u64,
    /// Each so manieth node is cut off from the others, together.
    cut: Option<u64>,
    pub(super) deaf: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) keys: Vec<Key>,
    pub(super) things: Vec<Thing>,
    pub(super) groups: Arc<Groups>,
    pub(super) config: Config,
    /// All that ever are, one more than there are at first.
    pub(super) peers: Rc<[Peer]>,
    /// Of so many all know by discovery.
    pub(super) discovered: usize,
    pub(super) rings: BTreeMap<u64, Arc<Ring>>,
    /// What feeds have said, read once for all who were told the same.
    pub(super) said: BTreeMap<Bytes, FeedUpdate>,
    pub(super) figures: Figures,
}

fn address(node: usize) -> String {
    format!("10.0.{}.{}:8080", node / 250, node % 250 + 1)
}

/// The node of that address.
pub(super) fn index(address: &str) -> Option<usize> {
    let mut parts = address.strip_suffix(":8080")?.split('.').skip(2).map(str::parse::<usize>);
    Some(parts.next()?.ok()? * 250 + parts.next()?.ok()? - 1)
}

fn peer(node: usize) -> Peer {
    Peer { name: format!("p{node}"), data: address(node), peer: address(node) }
}

impl World {
    /// A mesh in which all know each other.
    fn new(plan: Plan) -> Self {
        let config = serde_json::json!({"version": 1, "groups": [
            {"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}, "patience": "250ms", "hot": {"ttl": "1h"}, "limits": {"object": "1KiB"}},
        ]});
        let config: Config = serde_json::from_value(config).unwrap();
        let groups = Arc::new(Groups::new(config.clone()).unwrap());
        let group = groups.named("g").unwrap().clone();
        let key = |n: usize| {
            Key::of(&group, &Request::read(b"GET", b"http", b"h", format!("/{n}").as_bytes(), &[]).unwrap(), None)
        };
        let mut world = Self {
            now: 1_000_000,
            turn: 0,
            dice: Dice(plan.seed),
            queue: Queue::default(),
            loses: plan.loses,
            messages: 0,
            lost: 0,
            cut: None,
            deaf: plan.deaf,
            nodes: Vec::new(),
            proxies: (0..plan.proxies).map(Proxy::new).collect(),
            keys: (0..plan.keys).map(key).collect(),
            things: (0..plan.keys).map(|_| Thing::default()).collect(),
            groups,
            config,
            peers: (0..=plan.peers).map(peer).collect(),
            discovered: plan.peers,
            rings: BTreeMap::new(),
            said: BTreeMap::new(),
            figures: Figures::default(),
        };
        simulated::set(world.now);
        // One more, who comes later.
        world.nodes = (0..=plan.peers).map(|at| Node::new(at, 0, &world)).collect();
        world.nodes[plan.peers].is_up = false;
        for at in 0..plan.peers {
            world.settle(at);
            let phase = world.dice.below(3000);
            world.after(phase, move |world| {
                world.arrive_at(at, move |world| world.go_on_saying(at, MembershipEvent::Join, 0))
            });
        }
        for at in 0..plan.proxies {
            let phase = world.dice.below(250);
            world.after(phase, move |world| world.tick(at));
        }
        world
    }

    /// A node's name.
    pub(super) fn name(&self, node: usize) -> &str {
        &self.peers[node].name
    }

    /// Whether nothing comes through between these.
    pub(super) fn is_cut(&self, a: Place, b: Place) -> bool {
        let Some(share) = self.cut else { return false };
        let side = |place: Place| match place {
            Place::Node(node) => (node as u64).is_multiple_of(share),
            Place::Proxy(proxy) => proxy % 4 == 0,
        };
        side(a) != side(b)
    }

    /// Runs a plan to its end.
    pub(super) fn run(plan: Plan) -> Figures {
        let mut world = Self::new(plan);
        // All proxies know the ring before anybody asks.
        let begin = 2_500;
        let end = world.now + begin + plan.lasts;
        world.after(begin, move |world| world.clients(plan));
        if plan.purges > 0 {
            world.after(begin + plan.purges, move |world| world.purges(plan));
        }
        if plan.blows > 0 {
            world.after(begin + plan.blows, move |world| world.blows(plan));
        }
        if plan.forgeries > 0 {
            world.after(plan.forgeries, move |world| world.forgeries(plan));
        }
        if plan.changes > 0 {
            world.after(begin + plan.changes, move |world| world.changes(plan));
        }
        while world.now <= end {
            while let Some(run) = world.queue.next() {
                run(&mut world);
            }
            world.queue.pass();
            world.now += 1;
            simulated::set(world.now);
        }
        let World { things, messages, lost, mut figures, .. } = world;
        (figures.messages, figures.lost) = (messages, lost);
        figures.keys = things.iter().filter(|thing| thing.loads > 0).count() as u64;
        figures.loads = things.iter().map(|thing| thing.loads).sum();
        figures.most_loads = things.iter().map(|thing| thing.loads.saturating_sub(thing.version)).max().unwrap_or(0);
        figures
    }

    fn clients(&mut self, plan: Plan) {
        let many = (plan.requests / 100).max(1);
        for _ in 0..many {
            // Half of all requests are for a tenth of the keys.
            let among = if self.dice.below(2) == 0 { plan.keys / 10 } else { plan.keys };
            let (at, key) = (self.dice.below(plan.proxies as u64) as usize, self.dice.below(among as u64) as usize);
            self.request(at, key);
        }
        self.after(10, move |world| world.clients(plan));
    }

    fn purges(&mut self, plan: Plan) {
        // Whoever purges knows some of the coordinators.
        let (at, key) =
            (self.dice.below(plan.peers.min(10) as u64) as usize, self.dice.below(plan.keys as u64) as usize);
        self.purge(at, key);
        self.after(plan.purges, move |world| world.purges(plan));
    }

    /// Somebody tells every node of purges that never were.
    fn forgeries(&mut self, plan: Plan) {
        for at in 0..plan.peers {
            self.forge(at);
        }
        self.after(plan.forgeries, move |world| world.forgeries(plan));
    }

    /// One node leaves and is back, or the last one comes and leaves.
    fn changes(&mut self, plan: Plan) {
        let last = plan.peers;
        let at = if self.dice.below(2) == 0 { last } else { self.dice.below(plan.peers as u64) as usize };
        if !self.nodes[at].is_up {
            self.starts(at);
        } else if !self.nodes[at].is_frozen {
            self.leave(at);
            if at != last {
                self.after(4000, move |world| world.back(at));
            }
        }
        self.after(plan.changes, move |world| world.changes(plan));
    }

    fn back(&mut self, at: usize) {
        if !self.nodes[at].is_up {
            self.starts(at);
        }
    }

    /// Something befalls somebody.
    fn blows(&mut self, plan: Plan) {
        let at = self.dice.below(plan.peers as u64) as usize;
        let lasts = 500 + self.dice.below(4000);
        let is_well = self.nodes[at].is_up && !self.nodes[at].is_frozen;
        match self.dice.below(3) {
            0 if is_well => {
                self.ends(at);
                self.after(lasts, move |world| world.back(at));
            }
            1 if is_well => self.freezes(at, lasts),
            _ if self.cut.is_none() => {
                self.cut = Some(2 + self.dice.below(8));
                self.after(lasts, |world| world.cut = None);
            }
            _ => {}
        }
        self.after(plan.blows, move |world| world.blows(plan));
    }
}
