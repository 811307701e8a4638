//! Who is in the ring: what nodes say of themselves, and how they leave.

use crate::{
    cache::transfer::{self, TransferKind},
    cluster::announcements::Does,
    consistency::{
        catch_up::{Claim, Knows},
        lease::Renewal,
    },
    simulation::{
        net::Place,
        world::{World, index},
    },
};
use meshcache_protocol::{Key, Ring, frame};
use std::{collections::BTreeMap, sync::Arc};

impl World {
    /// Makes the ring of all that a node knows.
    pub(super) fn settle(&mut self, at: usize) {
        let (now, peers) = (self.now, self.peers.clone());
        let node = &mut self.nodes[at];
        node.told.settle(&peers[..self.discovered], now);
        let ring = Ring::new(node.told.ring(&peers[..self.discovered]));
        if ring == *node.cache.cluster.ring() {
            return;
        }
        // One for all who know the same: a thousand rings of a thousand peers are many.
        let ring = self.rings.entry(ring.version()).or_insert_with(|| Arc::new(ring)).clone();
        self.figures.rings += 1;
        drop(node.cache.cluster.note_ring(&ring));
        let others: Vec<usize> =
            ring.peers().iter().filter_map(|peer| index(&peer.data)).filter(|other| *other != at).collect();
        let renewal = node
            .cache
            .consistency
            .lease
            .set_peers(ring.peers().iter().map(|peer| peer.name.as_str()).filter(|name| *name != peers[at].name), now);
        if renewal == Renewal::Empty {
            self.figures.emptied += u64::from(crate::purge::execute::start_over(&node.cache).entries > 0);
        }
        node.ring.fill(false);
        others.iter().for_each(|other| node.ring[*other] = true);
        node.breakers.retain(|other, _| node.ring[*other]);
        let (life, new): (u64, Vec<usize>) =
            (node.life, others.into_iter().filter(|other| node.listens.insert(*other)).collect());
        self.publish(at);
        for other in new {
            let phase = self.dice.below(20);
            self.after(phase, move |world| world.listen(at, other, life));
        }
    }

    fn hears_word(&mut self, at: usize, of: usize, does: Does, stood_in: bool) {
        self.figures.words += 1;
        let is_news = self.hears(at, of, does);
        let node = &mut self.nodes[at];
        if does == Does::End {
            node.cache.cluster.former.lock().forget(&self.peers[of].name);
        }
        if does == Does::Join
            && let Some(breaker) = node.breakers.get_mut(&of)
        {
            breaker.answers();
        }
        if stood_in {
            drop(node.cache.cluster.note_missed());
        }
        if is_news {
            self.settle(at);
        }
    }

    fn hears(&mut self, at: usize, of: usize, does: Does) -> bool {
        self.nodes[at].told.hear(self.peers[of].clone(), does, &self.peers[..self.discovered], self.now)
    }

    /// Says something of itself: to all it knows, who comes to those who left, too; or, as one whom an API makes known,
    /// only to those for whom it has answered.
    fn say(&mut self, at: usize, does: Does) {
        if does != Does::End && self.hears(at, at, does) {
            self.settle(at);
        }
        let cache = self.nodes[at].cache.clone();
        let (ring, stood_in) = (cache.cluster.ring(), cache.cluster.stood_in.lock().clone());
        let is_known = does == Does::Join && self.nodes[at].life == 0;
        let told = if does == Does::Join && !is_known { self.discovered } else { 0 };
        let left = self.peers.iter().take(told).filter(|peer| ring.peer(&peer.name).is_none());
        let all: Vec<usize> =
            ring.peers().iter().chain(left).filter_map(|peer| index(&peer.data)).filter(|other| *other != at).collect();
        for other in all {
            let stood_in = does == Does::Join && stood_in.contains(self.name(other));
            if is_known && !stood_in {
                continue;
            }
            let cache = cache.clone();
            self.call(
                Place::Node(at),
                other,
                1000,
                move |world, back| {
                    world.hears_word(other, at, does, stood_in);
                    let leaves = world.nodes[other].told.leave(world.name(other)).map(|word| word.does);
                    back.send(world, leaves);
                },
                move |world, answer| {
                    let Ok(leaves) = answer else { return };
                    if stood_in {
                        cache.cluster.stood_in.lock().remove(world.name(other));
                    }
                    if let Some(does) = leaves {
                        world.hears_word(at, other, does, false);
                    }
                },
            );
        }
    }

    /// Says it again for as long as it is true.
    pub(super) fn go_on_saying(&mut self, at: usize, does: Does, life: u64) {
        let node = &self.nodes[at];
        if node.life != life || !node.is_up || node.says != does {
            return;
        }
        self.say(at, does);
        self.after(3000, move |world| world.arrive_at(at, move |world| world.go_on_saying(at, does, life)));
    }

    /// Leaves: says so, hands over, ends.
    pub(super) fn leave(&mut self, at: usize) {
        let life = self.nodes[at].life;
        self.nodes[at].says = Does::Leave;
        self.go_on_saying(at, Does::Leave, life);
        let cache = self.nodes[at].cache.clone();
        let (ring, rules, now) = (cache.cluster.ring(), cache.rules(), cache.clock.now());
        let mut messages: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for place in cache.store.by_use() {
            let (Some(owner), Some((key, entries, used))) =
                (ring.owner(place.hash).and_then(|owner| index(&owner.data)), cache.store.at(&place, now))
            else {
                continue;
            };
            let message =
                messages.entry(owner).or_insert_with(|| frame::message(&cache.consistency.history.position()));
            transfer::write(&cache, &key, &entries, used, rules.named("g").unwrap().group.digest(), message);
        }
        for (owner, message) in messages {
            self.call(
                Place::Node(at),
                owner,
                2000,
                move |world, back| {
                    world.receives(owner, &message);
                    back.send(world, ());
                },
                |_, _| {},
            );
        }
        self.after(3000, move |world| {
            if world.nodes[at].life == life {
                world.say(at, Does::End);
                world.ends(at);
            }
        });
    }

    fn receives(&mut self, at: usize, message: &[u8]) {
        let cache = self.nodes[at].cache.clone();
        let (there, frames) = frame::read(message).unwrap();
        if cache.consistency.knows(Claim::Peer(&there.to_string())) != Knows::All {
            return self.wake(at);
        }
        let (there, rules) = (Arc::new(there), cache.rules());
        for frame in &frames {
            let load = cache.store.begin(Key::from_bytes(frame.key.to_vec()), cache.consistency.history.position());
            let _ = transfer::take(&cache, rules.named("g").unwrap(), &load, frame, 10, &there, TransferKind::HandOver);
        }
    }
}
