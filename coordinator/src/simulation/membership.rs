//! Who is in the ring: what nodes say of themselves, and how they leave.

use crate::{
    cache::transfer::{self, TransferKind},
    cluster::announcements::MembershipEvent,
    consistency::{
        catch_up::{Claim, Standing},
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
        node.announcements.expire(&peers[..self.discovered], now);
        let ring = Ring::new(node.announcements.members(&peers[..self.discovered]));
        if ring == *node.cache.cluster.ring() {
            return;
        }
        // One for all who know the same: a thousand rings of a thousand peers are many.
        let ring = self.rings.entry(ring.version()).or_insert_with(|| Arc::new(ring)).clone();
        self.figures.rings += 1;
        drop(node.cache.cluster.swap_ring(&ring));
        let others: Vec<usize> =
            ring.peers().iter().filter_map(|peer| index(&peer.data)).filter(|other| *other != at).collect();
        let renewal = node
            .cache
            .consistency
            .set_peers(ring.peers().iter().map(|peer| peer.name.as_str()).filter(|name| *name != peers[at].name));
        if renewal == Renewal::Flush {
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

    fn hears_word(&mut self, at: usize, of: usize, event: MembershipEvent, covered: bool) {
        self.figures.words += 1;
        let is_news = self.hears(at, of, event);
        let node = &mut self.nodes[at];
        if event == MembershipEvent::End {
            drop(node.cache.cluster.remove_previous(&self.peers[of].name));
        }
        if event == MembershipEvent::Join
            && let Some(breaker) = node.breakers.get_mut(&of)
        {
            breaker.record_success();
        }
        if covered {
            drop(node.cache.cluster.push_absence());
        }
        if is_news {
            self.settle(at);
        }
    }

    fn hears(&mut self, at: usize, of: usize, event: MembershipEvent) -> bool {
        self.nodes[at].announcements.record(self.peers[of].clone(), event, &self.peers[..self.discovered], self.now)
    }

    /// Says something of itself: to all it knows, who comes to those who left, too; or, as one whom an API makes known,
    /// only to those for whom it has answered.
    fn say(&mut self, at: usize, event: MembershipEvent) {
        if event != MembershipEvent::End && self.hears(at, at, event) {
            self.settle(at);
        }
        let cache = self.nodes[at].cache.clone();
        let (ring, covered) = (cache.cluster.ring(), cache.cluster.covered_owners());
        let is_known = event == MembershipEvent::Join && self.nodes[at].life == 0;
        let told = if event == MembershipEvent::Join && !is_known { self.discovered } else { 0 };
        let left = self.peers.iter().take(told).filter(|peer| ring.peer(&peer.name).is_none());
        let all: Vec<usize> =
            ring.peers().iter().chain(left).filter_map(|peer| index(&peer.data)).filter(|other| *other != at).collect();
        for other in all {
            let covered = event == MembershipEvent::Join && covered.contains(self.name(other));
            if is_known && !covered {
                continue;
            }
            let cache = cache.clone();
            self.call(
                Place::Node(at),
                other,
                1000,
                move |world, back| {
                    world.hears_word(other, at, event, covered);
                    let leaves = world.nodes[other].announcements.departure(world.name(other)).map(|own| own.event);
                    back.send(world, leaves);
                },
                move |world, answer| {
                    let Ok(leaves) = answer else { return };
                    if covered {
                        cache.cluster.remove_covered_owner(world.name(other));
                    }
                    if let Some(event) = leaves {
                        world.hears_word(at, other, event, false);
                    }
                },
            );
        }
    }

    /// Says it again for as long as it is true.
    pub(super) fn go_on_saying(&mut self, at: usize, event: MembershipEvent, life: u64) {
        let node = &self.nodes[at];
        if node.life != life || !node.is_up || node.announces != event {
            return;
        }
        self.say(at, event);
        self.after(3000, move |world| world.arrive_at(at, move |world| world.go_on_saying(at, event, life)));
    }

    /// Leaves: says so, hands over, ends.
    pub(super) fn leave(&mut self, at: usize) {
        let life = self.nodes[at].life;
        self.nodes[at].announces = MembershipEvent::Leave;
        self.go_on_saying(at, MembershipEvent::Leave, life);
        let cache = self.nodes[at].cache.clone();
        let (ring, rules, now) = (cache.cluster.ring(), cache.group_table(), cache.clock.now());
        let mut messages: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for place in cache.store.keys_by_use() {
            let (Some(owner), Some((key, entries, used))) =
                (ring.owner(place.hash).and_then(|owner| index(&owner.data)), cache.store.entries_of(&place, now))
            else {
                continue;
            };
            let message = messages.entry(owner).or_insert_with(|| frame::new_message(&cache.consistency.position()));
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
                world.say(at, MembershipEvent::End);
                world.ends(at);
            }
        });
    }

    fn receives(&mut self, at: usize, message: &[u8]) {
        let cache = self.nodes[at].cache.clone();
        let (there, frames) = frame::read(message).unwrap();
        if cache.consistency.record_claim(Claim::Peer(&there.to_string())) != Standing::Current {
            return self.wake(at);
        }
        let (there, rules) = (Arc::new(there), cache.group_table());
        for frame in &frames {
            let load = cache.store.begin(Key::from_bytes(frame.key.to_vec()), cache.consistency.position());
            let _ = transfer::take(&cache, rules.named("g").unwrap(), &load, frame, 10, &there, TransferKind::HandOver);
        }
    }
}
