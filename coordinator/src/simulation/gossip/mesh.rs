//! Coordinators that know one another by gossip alone: the real [`Gossip`], and messages in place of sockets.
//!
//! Long: the mesh and what it checks at each look.

use crate::{
    cluster::gossip::{Gossip, Identity, List, ListId, TICK, digest::Digest},
    consistency::lease::LEASE,
    simulation::{
        gossip::{checks::Checks, orders::Order},
        net::Dice,
    },
};
use meshcache_protocol::Peer;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

/// The time between two looks at whom to ask, milliseconds.
const STEP: u64 = 20;

/// A process at an address.
pub(super) struct Process {
    pub(super) gossip: Gossip,
    pub(super) is_frozen: bool,
    pub(super) started: u64,
    /// What arrived while it was frozen.
    delayed: Vec<Message>,
    /// The answers that may renew its lease: of whom, and when they were asked for.
    pub(super) counting: BTreeMap<String, u64>,
    /// The purges that it has carried out.
    pub(super) purges: BTreeSet<u64>,
    /// Those who asked, and when.
    pub(super) listeners: BTreeMap<usize, u64>,
}

/// The state of an address: a port that refuses, a process, or a host that is gone.
#[derive(Default)]
pub(super) enum Port {
    #[default]
    Refuses,
    Process(Box<Process>),
    Gone,
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) sent: u64,
    pub(super) body: Body,
}

#[derive(Clone)]
pub(super) enum Body {
    Question(Rc<Digest>),
    /// With the purges that its sender has carried out.
    Answer(Rc<Digest>, Rc<BTreeSet<u64>>),
    Refused,
    Purge(u64),
    /// A purge was carried out: with the sender's list, and those who asked it lately.
    Done(u64, Option<ListId>, Vec<usize>),
}

/// Whether messages from one address to another are lost.
type Cut = Box<dyn Fn(usize, usize) -> bool>;

/// All addresses, time, and the network.
pub(super) struct Mesh {
    pub(super) now: u64,
    pub(super) dice: Dice,
    pub(super) ports: Vec<Port>,
    pub(super) seeds: Vec<usize>,
    pub(super) cut: Option<Cut>,
    /// Of each thousand messages so many are lost, come up to 2 s late, and come twice.
    pub(super) trouble: u64,
    /// The time between two questions to one peer.
    pub(super) interval: u64,
    /// The time between two looks at all of them.
    look: u64,
    pub(super) messages: u64,
    pub(super) checks: Checks,
    pub(super) orders: Vec<Order>,
    queue: VecDeque<Vec<Message>>,
}

pub(super) fn address(at: usize) -> String {
    format!("10.{}.{}.{}:8083", at >> 16, (at >> 8) & 255, at & 255)
}

pub(super) fn index(address: &str) -> Option<usize> {
    let parts: Vec<usize> = address.strip_suffix(":8083")?.split('.').filter_map(|part| part.parse().ok()).collect();
    Some((parts.get(1)? << 16) + (parts.get(2)? << 8) + parts.get(3)?)
}

pub(super) fn name(at: usize) -> String {
    format!("p{at:04}")
}

impl Mesh {
    /// Addresses without processes. The first three are the seeds.
    pub(super) fn new(size: usize, seed: u64) -> Self {
        Self {
            now: 1_000_000,
            dice: Dice(seed),
            ports: (0..size).map(|_| Port::default()).collect(),
            seeds: (0..3.min(size)).collect(),
            cut: None,
            trouble: 0,
            interval: (size as u64 * 4).clamp(400, 1000) / STEP * STEP,
            look: if size > 100 { 1000 } else { 100 },
            messages: 0,
            checks: Checks::default(),
            orders: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    /// A mesh in which all are members.
    pub(super) fn settled(size: usize, seed: u64) -> Self {
        let mut mesh = Self::new(size, seed);
        (0..size).for_each(|at| mesh.start(at));
        let all: Vec<usize> = (0..size).collect();
        mesh.within(60_000, "the start", |mesh| mesh.is_agreed(&all));
        mesh
    }

    /// Starts a process at an address, with a clock that is off by up to an hour.
    pub(super) fn start(&mut self, at: usize) {
        self.start_as(at, &name(at));
    }

    pub(super) fn start_as(&mut self, at: usize, name: &str) {
        let start = 1_700_000_000_000 + self.now + self.dice.below(7_200_000);
        let peer = Peer { name: name.to_owned(), data: address(at), peer: address(at) };
        let mut gossip = Gossip::new(Identity { peer, start }, self.now);
        gossip.set_seeds(self.seeds.iter().map(|seed| address(*seed)));
        let (is_frozen, delayed, counting) = (false, Vec::new(), BTreeMap::new());
        let (purges, listeners) = (BTreeSet::new(), BTreeMap::new());
        self.ports[at] = Port::Process(Box::new(Process {
            gossip,
            is_frozen,
            started: self.now,
            delayed,
            counting,
            purges,
            listeners,
        }));
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.ports[at] = Port::Refuses;
    }

    /// A host without power: nobody refuses.
    pub(super) fn lose(&mut self, at: usize) {
        self.ports[at] = Port::Gone;
    }

    pub(super) fn freeze(&mut self, at: usize) {
        if let Port::Process(process) = &mut self.ports[at] {
            process.is_frozen = true;
        }
    }

    pub(super) fn thaw(&mut self, at: usize) {
        let Port::Process(process) = &mut self.ports[at] else { return };
        process.is_frozen = false;
        for message in std::mem::take(&mut process.delayed) {
            self.arrive(message);
        }
    }

    pub(super) fn process(&self, at: usize) -> Option<&Process> {
        match &self.ports[at] {
            Port::Process(process) => Some(process),
            _ => None,
        }
    }

    pub(super) fn process_mut(&mut self, at: usize) -> &mut Process {
        match &mut self.ports[at] {
            Port::Process(process) => process,
            _ => panic!("no process at {at}"),
        }
    }

    pub(super) fn gossip(&mut self, at: usize) -> &mut Gossip {
        &mut self.process_mut(at).gossip
    }

    /// The names of the ring of a process.
    pub(super) fn ring(&self, at: usize) -> Vec<String> {
        let ring = self.process(at).map_or_else(Vec::new, |process| process.gossip.members(self.now));
        ring.into_iter().map(|peer| peer.name).collect()
    }

    /// Whether the rings of these are made of them alone, and their leases hold.
    pub(super) fn is_agreed(&self, all: &[usize]) -> bool {
        let names: Vec<String> = all.iter().map(|at| name(*at)).collect();
        all.iter().all(|at| self.ring(*at) == names && self.has_lease(*at))
    }

    /// Whether a process has answers that count from most, not older than a lease.
    pub(super) fn has_lease(&self, at: usize) -> bool {
        let Some(process) = self.process(at) else { return false };
        let is_valid = |name: &str| process.counting.get(name).is_some_and(|sent| self.now < sent + LEASE);
        process.gossip.electorate(self.now).is_some_and(|electorate| {
            electorate.others.iter().filter(|name| is_valid(name)).count() >= electorate.answers
        })
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            if self.now.is_multiple_of(STEP) {
                (0..self.ports.len()).for_each(|at| self.ask(at));
            }
            for message in self.queue.pop_front().unwrap_or_default() {
                self.arrive(message);
            }
            self.follow_orders();
            if self.now.is_multiple_of(self.look) {
                let mut checks = std::mem::take(&mut self.checks);
                checks.look(self);
                self.checks = checks;
            }
            self.now += 1;
        }
    }

    /// Lets time pass until something holds. Returns the time.
    pub(super) fn within(&mut self, millis: u64, what: &str, holds: impl Fn(&Self) -> bool) -> u64 {
        let begun = self.now;
        while !holds(self) {
            assert!(self.now < begun + millis, "{what}: not within {millis} ms\n{}", self.describe());
            self.pass(self.look);
        }
        self.now - begun
    }

    pub(super) fn describe(&self) -> String {
        let of = |at: usize| {
            let process = self.process(at)?;
            let list =
                process.gossip.agreed().map(|list| (list.id().lineage % 1000, list.id().epoch, list.members().len()));
            let ring = self.ring(at).len();
            Some(format!(
                "{at}: {list:?}, ring of {ring}, member {}, lease {}",
                process.gossip.is_member(),
                self.has_lease(at)
            ))
        };
        (0..self.ports.len()).filter_map(of).take(12).collect::<Vec<_>>().join("\n")
    }

    fn ask(&mut self, at: usize) {
        let (now, turns, turn) = (self.now, (self.interval / STEP) as usize, (self.now / STEP) as usize);
        let Port::Process(process) = &mut self.ports[at] else { return };
        if process.is_frozen {
            return;
        }
        let gossip = &mut process.gossip;
        let mut questions = Vec::new();
        if (turn + at).is_multiple_of((TICK / STEP) as usize) {
            for ask in gossip.tick(now) {
                questions.push((index(&ask.at), Rc::new(gossip.question_for(None))));
            }
        }
        if let Some(list) = gossip.agreed() {
            // Each pair has its turn.
            let due =
                list.members().iter().enumerate().filter(|(rank, _)| (turn + at * 7 + rank).is_multiple_of(turns));
            for (_, member) in due.filter(|(_, member)| *member != gossip.me()) {
                questions.push((index(&member.peer.peer), Rc::new(gossip.question_for(Some(member.name())))));
            }
        }
        for (to, digest) in questions {
            let to = to.unwrap();
            self.send(Message { from: at, to, sent: now, body: Body::Question(digest) });
        }
    }

    pub(super) fn send(&mut self, message: Message) {
        self.messages += 1;
        let mut latency = 1 + self.dice.below(10);
        if self.cut.as_ref().is_some_and(|cut| cut(message.from, message.to)) {
            return;
        }
        match self.dice.below(1000) / self.trouble.max(1) {
            0 if self.trouble > 0 => return,
            1 if self.trouble > 0 => latency += self.dice.below(2000),
            2 if self.trouble > 0 => {
                let again = latency + self.dice.below(5000);
                self.push(again, message.clone());
            }
            _ => {}
        }
        self.push(latency, message);
    }

    fn push(&mut self, latency: u64, message: Message) {
        if self.queue.len() <= latency as usize {
            self.queue.resize_with(latency as usize + 1, Vec::new);
        }
        self.queue[latency as usize].push(message);
    }

    fn arrive(&mut self, message: Message) {
        let (now, from, to, sent) = (self.now, message.from, message.to, message.sent);
        let reply = |body| Message { from: to, to: from, sent, body };
        let process = match &mut self.ports[to] {
            Port::Process(process) => process,
            Port::Gone => return,
            Port::Refuses => {
                if matches!(message.body, Body::Question(_) | Body::Purge(_)) {
                    self.send(reply(Body::Refused));
                }
                return;
            }
        };
        if process.is_frozen {
            process.delayed.push(message);
            return;
        }
        match message.body {
            Body::Question(question) => {
                let answer = process.gossip.answer(&question, now);
                process.listeners.insert(from, now);
                let body = Body::Answer(Rc::new(answer), Rc::new(process.purges.clone()));
                self.send(reply(body));
            }
            // The caller has ended.
            _ if sent < process.started && !matches!(message.body, Body::Question(_) | Body::Purge(_)) => {}
            Body::Answer(answer, purges) => {
                process.purges.extend(purges.iter());
                if process.gossip.answered(&address(from), &answer, sent, now) {
                    let counted = process.counting.entry(answer.from.name().to_owned()).or_default();
                    *counted = (*counted).max(sent);
                }
            }
            Body::Refused => process.gossip.refused(&address(from), sent, now),
            Body::Purge(n) => {
                process.purges.insert(n);
                let listeners =
                    process.listeners.iter().filter(|(_, at)| now < **at + LEASE).map(|(at, _)| *at).collect();
                let done = Body::Done(n, process.gossip.agreed().map(List::id), listeners);
                self.send(reply(done));
            }
            Body::Done(n, list, listeners) => self.order_done(n, from, list, &listeners),
        }
    }
}
