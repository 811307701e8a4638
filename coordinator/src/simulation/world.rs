//! The world: nodes, proxies, keys, time, and faults.

use crate::{
    clock::simulated,
    cluster::announcements::MembershipEvent,
    simulation::{
        check::{Figures, ServiceKey},
        net::{Dice, Endpoint},
        node::Node,
        proxy::Proxy,
        queue::Queue,
    },
};
use bytes::Bytes;
use meshcache_protocol::{Groups, Key, Peer, Request, Ring, groups::Config};
use meshcache_proxy::state::snapshot::FeedUpdate;
use std::{collections::BTreeMap, rc::Rc, sync::Arc};

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) peers: usize,
    pub(super) proxies: usize,
    pub(super) keys: usize,
    /// Milliseconds.
    pub(super) duration: u64,
    /// Requests a second of all clients of proxies together. Plain clients make a quarter as many.
    pub(super) requests: u64,
    /// The body of every nth key takes its time; 0: of none.
    pub(super) long: u64,
    /// The number of keys, beside the others, whose answers come in parts.
    pub(super) streamed: usize,
    /// Lost messages of each thousand.
    pub(super) loss: u64,
    /// Milliseconds from one purge to the next; 0: none.
    pub(super) purges: u64,
    /// With each purge come two for a key that many ask for, so that one meets the questions after the other.
    pub(super) bursts: bool,
    /// Milliseconds from one fault to the next; 0: none.
    pub(super) faults: u64,
    /// Milliseconds from one join or leave to the next; 0: none.
    pub(super) changes: u64,
    /// Milliseconds from one made-up position to the next; 0: none.
    pub(super) forgeries: u64,
    /// Nodes ignore the purges of others, and are not missed: to see that the checks notice it.
    pub(super) ignores_purges: bool,
    pub(super) breaks: Breaks,
}

/// What readers of answers in parts do wrong: to see that the checks notice it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Breaks {
    /// They take any answer for the rest.
    pub(super) is_any_rest_taken: bool,
    /// They take a lost connection for the end.
    pub(super) is_cut_taken_for_end: bool,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) turn: u64,
    pub(super) dice: Dice,
    pub(super) queue: Queue,
    pub(super) long: u64,
    pub(super) loss: u64,
    pub(super) messages: u64,
    pub(super) lost: u64,
    /// Every nth node is cut off from the others; together they are not.
    cut: Option<u64>,
    pub(super) ignores_purges: bool,
    pub(super) breaks: Breaks,
    pub(super) nodes: Vec<Node>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) keys: Vec<Key>,
    pub(super) service_keys: Vec<ServiceKey>,
    pub(super) groups: Arc<Groups>,
    pub(super) config: Config,
    /// All nodes: one more than at the start.
    pub(super) peers: Rc<[Peer]>,
    /// The number of nodes that discovery knows.
    pub(super) discovered: usize,
    pub(super) rings: BTreeMap<u64, Arc<Ring>>,
    /// The feed responses, read once for all proxies.
    pub(super) feed_updates: BTreeMap<Bytes, FeedUpdate>,
    pub(super) figures: Figures,
}

fn address(node: usize) -> String {
    format!("10.0.{}.{}:8080", node / 250, node % 250 + 1)
}

/// The node of an address.
pub(super) fn index(address: &str) -> Option<usize> {
    let mut parts = address.strip_suffix(":8080")?.split('.').skip(2).map(str::parse::<usize>);
    Some(parts.next()?.ok()? * 250 + parts.next()?.ok()? - 1)
}

fn peer(node: usize) -> Peer {
    Peer { name: format!("p{node}"), data: address(node), peer: address(node) }
}

impl World {
    /// A mesh in which all nodes know each other.
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
            long: plan.long,
            loss: plan.loss,
            messages: 0,
            lost: 0,
            cut: None,
            ignores_purges: plan.ignores_purges,
            breaks: plan.breaks,
            nodes: Vec::new(),
            proxies: (0..plan.proxies).map(Proxy::new).collect(),
            keys: (0..plan.keys + plan.streamed).map(key).collect(),
            service_keys: (0..plan.keys + plan.streamed).map(|_| ServiceKey::default()).collect(),
            groups,
            config,
            peers: (0..=plan.peers).map(peer).collect(),
            discovered: plan.peers,
            rings: BTreeMap::new(),
            feed_updates: BTreeMap::new(),
            figures: Figures::default(),
        };
        simulated::set(world.now);
        // One more, which joins later.
        world.nodes = (0..=plan.peers).map(|at| Node::new(at, 0, &world)).collect();
        world.nodes[plan.peers].is_up = false;
        for at in 0..plan.peers {
            world.settle(at);
            let phase = world.dice.below(3000);
            world.after(phase, move |world| {
                world.arrive_at(at, move |world| world.keep_announcing(at, MembershipEvent::Join, 0))
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

    /// Whether two endpoints are cut off from each other.
    pub(super) fn is_cut(&self, a: Endpoint, b: Endpoint) -> bool {
        let Some(share) = self.cut else { return false };
        let side = |place: Endpoint| match place {
            Endpoint::Node(node) => (node as u64).is_multiple_of(share),
            Endpoint::Proxy(proxy) => proxy % 4 == 0,
        };
        side(a) != side(b)
    }

    /// Runs a plan to its end.
    pub(super) fn run(plan: Plan) -> Figures {
        let mut world = Self::new(plan);
        // All proxies know the ring before the first request.
        let begin = 2_500;
        let end = world.now + begin + plan.duration;
        world.after(begin, move |world| world.clients(plan));
        if plan.purges > 0 {
            world.after(begin + plan.purges, move |world| world.purges(plan));
        }
        if plan.faults > 0 {
            world.after(begin + plan.faults, move |world| world.faults(plan));
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
        let World { service_keys, messages, lost, mut figures, .. } = world;
        (figures.messages, figures.lost) = (messages, lost);
        figures.keys = service_keys.iter().filter(|thing| thing.loads > 0).count() as u64;
        figures.loads = service_keys.iter().map(|thing| thing.loads).sum();
        figures.leaves = service_keys.iter().map(|thing| thing.leaves).sum();
        figures.too_many_leaves = service_keys.iter().filter(|thing| thing.leaves > thing.loads).count() as u64;
        figures.most_loads =
            service_keys.iter().map(|thing| thing.loads.saturating_sub(thing.version)).max().unwrap_or(0);
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
        for _ in 0..many.div_ceil(4) {
            // Plain clients ask any node, mostly for few keys.
            let (beside, at) = (self.dice.below(plan.proxies as u64), self.dice.below(plan.peers as u64));
            let key = self.dice.below(plan.keys as u64 / 10);
            self.plain_request(beside as usize, at as usize, key as usize);
        }
        if plan.streamed > 0 {
            self.stream_requests(plan);
        }
        self.after(10, move |world| world.clients(plan));
    }

    fn purges(&mut self, plan: Plan) {
        // Purges are ordered at some of the coordinators.
        let at = self.dice.below(plan.peers.min(10) as u64) as usize;
        let key = self.dice.below((plan.keys + plan.streamed) as u64) as usize;
        self.purge(at, key);
        if plan.bursts {
            let (again, pause) = (self.dice.below(plan.peers.min(10) as u64) as usize, self.dice.below(50));
            let key = self.dice.below(plan.keys as u64 / 10) as usize;
            self.purge(at, key);
            self.after(pause, move |world| world.purge(again, key));
        }
        self.after(plan.purges, move |world| world.purges(plan));
    }

    /// Sends every node claims of purges that never were.
    fn forgeries(&mut self, plan: Plan) {
        for at in 0..plan.peers {
            self.forge(at);
        }
        self.after(plan.forgeries, move |world| world.forgeries(plan));
    }

    /// One node leaves and returns, or the last one joins and leaves.
    fn changes(&mut self, plan: Plan) {
        let last = plan.peers;
        let at = if self.dice.below(2) == 0 { last } else { self.dice.below(plan.peers as u64) as usize };
        if !self.nodes[at].is_up {
            self.start(at);
        } else if !self.nodes[at].is_frozen {
            self.leave(at);
            if at != last {
                self.after(4000, move |world| world.restart(at));
            }
        }
        self.after(plan.changes, move |world| world.changes(plan));
    }

    fn restart(&mut self, at: usize) {
        if !self.nodes[at].is_up {
            self.start(at);
        }
    }

    /// Kills or freezes a node, or cuts off some.
    fn faults(&mut self, plan: Plan) {
        let at = self.dice.below(plan.peers as u64) as usize;
        let duration = 500 + self.dice.below(4000);
        let is_well = self.nodes[at].is_up && !self.nodes[at].is_frozen;
        match self.dice.below(3) {
            0 if is_well => {
                self.stop(at);
                self.after(duration, move |world| world.restart(at));
            }
            1 if is_well => self.freeze(at, duration),
            _ if self.cut.is_none() => {
                self.cut = Some(2 + self.dice.below(8));
                self.after(duration, |world| world.cut = None);
            }
            _ => {}
        }
        self.after(plan.faults, move |world| world.faults(plan));
    }
}
