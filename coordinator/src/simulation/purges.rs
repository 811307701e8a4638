//! Purges: nodes send them to each other, and each catches up with all others.

use crate::{
    consistency::{
        lease::{LEASE, Renewal},
        messages::CatchUpResponse,
    },
    purge,
    purge::execute::{self, CaughtUp},
    simulation::{
        net::{CallFailure, Endpoint, Responder},
        world::{World, index},
    },
    store::{purge_matcher::PurgeMatcher, usage::Purged},
};
use meshcache_protocol::{
    groups::Host,
    purge::{KeyMatch, Purge, Scope},
};
use std::{cell::Cell, rc::Rc, time::Duration};

/// The time that a peer has for a purge, milliseconds.
const PURGE: u64 = 2000;

/// The purge of one key, in each way in turn.
fn scope_of(key: usize, number: u64) -> Scope {
    let (group, path) = (Some("g".to_owned()), vec![format!("/{key}")]);
    match number % 4 {
        0 => Scope { group, paths: path, ..Scope::default() },
        1 => Scope { group, regex: path, ..Scope::default() },
        2 => Scope { hosts: vec![Host::any()], regex: path, ..Scope::default() },
        _ => Scope { group, hosts: vec![Host::any()], paths: path, ..Scope::default() },
    }
}

/// Called with whether a peer has carried out a purge.
type OnReached = Box<dyn FnOnce(&mut World, Result<(), CallFailure>)>;

impl World {
    /// Catches up with a peer again and again.
    pub(super) fn start_catching_up(&mut self, at: usize, other: usize, incarnation: u64) {
        let pause =
            purge::first_interval(self.nodes[at].cache.cluster.ring().peers().len(), self.name(at), self.name(other));
        self.keep_catching_up(at, other, incarnation, Some(pause));
    }

    fn keep_catching_up(&mut self, at: usize, other: usize, incarnation: u64, pause: Option<Duration>) {
        let node = &mut self.nodes[at];
        if node.incarnation != incarnation || !node.is_up || !node.ring[other] {
            node.asked_peers.remove(&other);
            return;
        }
        let pause = pause.unwrap_or_else(|| purge::interval(node.cache.cluster.ring().peers().len()));
        let next = self.now + pause.as_millis() as u64;
        self.catch_up_call(at, other, incarnation, move |world| {
            let wait = next.saturating_sub(world.now);
            world.after(wait, move |world| {
                world.arrive_at(at, move |world| world.keep_catching_up(at, other, incarnation, None))
            });
        });
    }

    fn catch_up_call(&mut self, at: usize, other: usize, incarnation: u64, then: impl FnOnce(&mut World) + 'static) {
        self.figures.catch_up_calls += 1;
        let (question, sent) = (self.nodes[at].cache.consistency.request(None), self.now);
        self.call(
            Endpoint::Node(at),
            other,
            LEASE,
            move |world, responder: Responder<CatchUpResponse>| {
                let answer = world.nodes[other].cache.consistency.respond(&question);
                responder.send(world, answer);
            },
            move |world, answer| {
                if world.nodes[at].incarnation == incarnation {
                    world.receive_purges(at, other, sent, answer);
                }
                then(world);
            },
        );
    }

    fn receive_purges(&mut self, at: usize, other: usize, sent: u64, answer: Result<CatchUpResponse, CallFailure>) {
        let (cache, name) = (self.nodes[at].cache.clone(), &self.peers.clone()[other].name);
        let renewal = match answer {
            Ok(answer) => {
                let mut carried = Vec::new();
                let caught = if self.ignores_purges {
                    CaughtUp::Current
                } else {
                    execute::catch_up(&cache, &answer, |_, _| {}, |purge, _| carried.push(purge.scope.clone()))
                };
                carried.iter().for_each(|scope| self.publish_purge(at, scope));
                if caught == CaughtUp::Behind {
                    return;
                }
                if let CaughtUp::Flushed(had) = caught {
                    self.record_flush(at, had);
                }
                cache.consistency.peer_answered(name, sent, &answer.source, answer.holds_lease)
            }
            Err(CallFailure::Refused) => cache.consistency.peer_refused(name, sent),
            Err(CallFailure::Unresponsive) => return,
        };
        if renewal == Renewal::Flush {
            self.record_flush(at, execute::start_over(&cache));
        }
    }

    fn record_flush(&mut self, at: usize, had: Purged) {
        self.figures.flushes += u64::from(had.entries > 0);
        self.nodes[at].streams.clear();
        self.publish(at);
    }

    /// Catches up with all peers now, unless that was just done.
    pub(super) fn request_catch_up(&mut self, at: usize) {
        let ring = self.nodes[at].cache.cluster.ring();
        let (node, now) = (&mut self.nodes[at], self.now);
        if now < node.asked_all_at + purge::shortest_interval(ring.peers().len()).as_millis() as u64 {
            return;
        }
        node.asked_all_at = now;
        let (incarnation, hopeless) = (node.incarnation, node.cache.consistency.unresolvable());
        if !hopeless.is_empty() {
            let had = execute::abandon(&node.cache, &hopeless);
            self.record_flush(at, had);
        }
        for other in ring.peers().iter().filter_map(|peer| index(&peer.data)).filter(|other| *other != at) {
            self.catch_up_call(at, other, incarnation, |_| {});
        }
    }

    /// Closes the flights of purged keys, and publishes the purge to proxies.
    fn publish_purge(&mut self, at: usize, scope: &Scope) {
        let named = PurgeMatcher::new(scope, &self.groups);
        let keys = &self.keys;
        let is_open = |key: &usize| named.match_key(&keys[*key]) == KeyMatch::No;
        self.nodes[at].flights.retain(|key, _| is_open(key));
        self.nodes[at].streams.retain(|key, _| is_open(key));
        self.publish(at);
    }

    /// Changes a key, and purges it at a node.
    pub(super) fn purge(&mut self, at: usize, key: usize) {
        if !self.nodes[at].is_up || self.nodes[at].is_frozen {
            return;
        }
        self.service_keys[key].version += 1;
        self.figures.purges += 1;
        let least = self.service_keys[key].version;
        let (purge, _) = execute::issue(&self.nodes[at].cache, scope_of(key, self.figures.purges), false);
        self.publish_purge(at, &purge.scope);
        let ring = self.nodes[at].cache.cluster.ring();
        let others: Vec<usize> =
            self.nodes[at].cache.consistency.audience().iter().filter_map(|peer| index(&peer.data)).collect();
        let open = Rc::new(Cell::new((others.len(), 0)));
        let until = self.now + PURGE;
        for other in others {
            let (open, is_in) = (open.clone(), ring.peer(&self.peers[other].name).is_some());
            self.send_purge(
                at,
                other,
                purge.clone(),
                until,
                Box::new(move |world, end| {
                    let reached = end == Ok(()) || (end == Err(CallFailure::Refused) && !is_in);
                    let (left, unreached) = open.get();
                    open.set((left - 1, unreached + usize::from(!reached)));
                    if open.get() == (0, 0) {
                        world.figures.purges_everywhere += 1;
                        let now = world.now;
                        world.service_keys[key].acknowledged_purges.push((now, least));
                    }
                }),
            );
        }
    }

    fn send_purge(&mut self, at: usize, other: usize, purge: Purge, until: u64, then: OnReached) {
        if self.ignores_purges {
            return self.after(1, move |world| then(world, Ok(())));
        }
        self.figures.purge_calls += 1;
        let heard = purge.clone();
        self.call(
            Endpoint::Node(at),
            other,
            300,
            move |world, responder: Responder<bool>| {
                let done = match execute::apply(&world.nodes[other].cache, &heard, |_, _| {}) {
                    Ok(Some(_)) => {
                        world.publish_purge(other, &heard.scope);
                        true
                    }
                    Ok(None) => true,
                    Err(_) => {
                        world.request_catch_up(other);
                        false
                    }
                };
                responder.send(world, done);
            },
            move |world, answer| match answer {
                Ok(true) if world.now <= until => then(world, Ok(())),
                Err(CallFailure::Refused) => then(world, Err(CallFailure::Refused)),
                _ if world.now + 50 > until => then(world, Err(CallFailure::Unresponsive)),
                _ => world.after(50, move |world| world.send_purge(at, other, purge, until, then)),
            },
        );
    }
}
