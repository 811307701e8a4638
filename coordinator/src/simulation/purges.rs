//! What was purged, and whether a node knows: purges are told, and each asks all others what it has missed.

use crate::{
    consistency::{
        lease::{LEASE, Renewal},
        messages::CatchUpResponse,
    },
    purge,
    purge::execute::{self, CaughtUp},
    simulation::{
        net::{Back, Lost, Place},
        world::{World, index},
    },
    store::{PurgeMatch, purge_matcher::PurgeMatcher, usage::Purged},
};
use meshcache_protocol::purge::{Purge, Scope};
use std::{cell::Cell, rc::Rc, time::Duration};

/// How long a peer may take to purge.
const PURGE: u64 = 2000;

/// Told whether a peer has carried out a purge.
type Reached = Box<dyn FnOnce(&mut World, Result<(), Lost>)>;

impl World {
    /// Asks a peer again and again what was purged.
    pub(super) fn listen(&mut self, at: usize, other: usize, life: u64) {
        let pause =
            purge::first_interval(self.nodes[at].cache.cluster.ring().peers().len(), self.name(at), self.name(other));
        self.go_on_listening(at, other, life, Some(pause));
    }

    fn go_on_listening(&mut self, at: usize, other: usize, life: u64, pause: Option<Duration>) {
        let node = &mut self.nodes[at];
        if node.life != life || !node.is_up || !node.ring[other] {
            node.listens.remove(&other);
            return;
        }
        let pause = pause.unwrap_or_else(|| purge::interval(node.cache.cluster.ring().peers().len()));
        let next = self.now + pause.as_millis() as u64;
        self.beat(at, other, life, move |world| {
            let wait = next.saturating_sub(world.now);
            world.after(wait, move |world| {
                world.arrive_at(at, move |world| world.go_on_listening(at, other, life, None))
            });
        });
    }

    fn beat(&mut self, at: usize, other: usize, life: u64, then: impl FnOnce(&mut World) + 'static) {
        self.figures.beats += 1;
        let (question, sent) = (self.nodes[at].cache.consistency.request(), self.now);
        self.call(
            Place::Node(at),
            other,
            LEASE,
            move |world, back: Back<CatchUpResponse>| {
                let answer = world.nodes[other].cache.consistency.respond(&question);
                back.send(world, answer);
            },
            move |world, answer| {
                if world.nodes[at].life == life {
                    world.hears_purges(at, other, sent, answer);
                }
                then(world);
            },
        );
    }

    fn hears_purges(&mut self, at: usize, other: usize, sent: u64, answer: Result<CatchUpResponse, Lost>) {
        let (cache, name) = (self.nodes[at].cache.clone(), &self.peers.clone()[other].name);
        let renewal = match answer {
            Ok(answer) => {
                let mut carried = Vec::new();
                let caught = if self.deaf {
                    CaughtUp::Current
                } else {
                    execute::catch_up(&cache, &answer, |purge, _| carried.push(purge.scope.clone()))
                };
                carried.iter().for_each(|what| self.carried_out(at, what));
                if caught == CaughtUp::Behind {
                    return;
                }
                if let CaughtUp::Flushed(had) = caught {
                    self.emptied(at, had);
                }
                cache.consistency.peer_answered(name, sent, &answer.source, answer.holds_lease)
            }
            Err(Lost::Refused) => cache.consistency.peer_refused(name, sent),
            Err(Lost::Silent) => return,
        };
        if renewal == Renewal::Flush {
            self.emptied(at, execute::start_over(&cache));
        }
    }

    fn emptied(&mut self, at: usize, had: Purged) {
        self.figures.emptied += u64::from(had.entries > 0);
        self.publish(at);
    }

    /// Asks all peers now, if it has not just done so.
    pub(super) fn wake(&mut self, at: usize) {
        let ring = self.nodes[at].cache.cluster.ring();
        let (node, now) = (&mut self.nodes[at], self.now);
        if now < node.woken + purge::shortest_interval(ring.peers().len()).as_millis() as u64 {
            return;
        }
        node.woken = now;
        let (life, hopeless) = (node.life, node.cache.consistency.unresolvable());
        if !hopeless.is_empty() {
            let had = execute::abandon(&node.cache, &hopeless);
            self.emptied(at, had);
        }
        for other in ring.peers().iter().filter_map(|peer| index(&peer.data)).filter(|other| *other != at) {
            self.beat(at, other, life, |_| {});
        }
    }

    /// What a purge means is not joined any more, and proxies are told.
    fn carried_out(&mut self, at: usize, what: &Scope) {
        let named = PurgeMatcher::new(what, &self.groups);
        let keys = &self.keys;
        self.nodes[at].flights.retain(|key, _| named.match_key(&keys[*key]) == PurgeMatch::No);
        self.publish(at);
    }

    /// A key changes, and is purged at a node.
    pub(super) fn purge(&mut self, at: usize, key: usize) {
        if !self.nodes[at].is_up || self.nodes[at].is_frozen {
            return;
        }
        self.things[key].version += 1;
        self.figures.purges += 1;
        let least = self.things[key].version;
        let what = Scope { group: Some("g".into()), paths: vec![format!("/{key}")], ..Scope::default() };
        let (purge, _) = execute::issue(&self.nodes[at].cache, what, false);
        self.carried_out(at, &purge.scope);
        let ring = self.nodes[at].cache.cluster.ring();
        let others: Vec<usize> =
            self.nodes[at].cache.consistency.audience().iter().filter_map(|peer| index(&peer.data)).collect();
        let open = Rc::new(Cell::new((others.len(), 0)));
        let until = self.now + PURGE;
        for other in others {
            let (open, is_in) = (open.clone(), ring.peer(&self.peers[other].name).is_some());
            self.tell(
                at,
                other,
                purge.clone(),
                until,
                Box::new(move |world, end| {
                    let reached = end == Ok(()) || (end == Err(Lost::Refused) && !is_in);
                    let (left, unreached) = open.get();
                    open.set((left - 1, unreached + usize::from(!reached)));
                    if open.get() == (0, 0) {
                        world.figures.purges_everywhere += 1;
                        let now = world.now;
                        world.things[key].purged.push((now, least));
                    }
                }),
            );
        }
    }

    fn tell(&mut self, at: usize, other: usize, purge: Purge, until: u64, then: Reached) {
        if self.deaf {
            return self.after(1, move |world| then(world, Ok(())));
        }
        self.figures.purge_calls += 1;
        let heard = purge.clone();
        self.call(
            Place::Node(at),
            other,
            300,
            move |world, back: Back<bool>| {
                let done = match execute::apply(&world.nodes[other].cache, &heard) {
                    Ok(Some(_)) => {
                        world.carried_out(other, &heard.scope);
                        true
                    }
                    Ok(None) => true,
                    Err(_) => {
                        world.wake(other);
                        false
                    }
                };
                back.send(world, done);
            },
            move |world, answer| match answer {
                Ok(true) if world.now <= until => then(world, Ok(())),
                Err(Lost::Refused) => then(world, Err(Lost::Refused)),
                _ if world.now + 50 > until => then(world, Err(Lost::Silent)),
                _ => world.after(50, move |world| world.tell(at, other, purge, until, then)),
            },
        );
    }
}
