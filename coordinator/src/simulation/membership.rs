//! Membership: nodes announce themselves, and leave.

use crate::{
    cache::transfer::{self, TransferKind},
    cluster::announcements::MembershipEvent,
    consistency::{
        catch_up::{Claim, Standing},
        lease::Renewal,
    },
    simulation::{
        net::Endpoint,
        world::{World, index},
    },
};
use meshcache_protocol::{Key, Ring, frame};
use std::{collections::BTreeMap, sync::Arc};

impl World {
    /// Makes a node's ring of all that it knows.
    pub(super) fn settle(&mut self, at: usize) {
        let (now, peers) = (self.now, self.peers.clone());
        let node = &mut self.nodes[at];
        node.announcements.expire(&peers[..self.discovered], now);
        let ring = Ring::new(node.announcements.members(&peers[..self.discovered]));
        if ring == *node.cache.cluster.ring() {
            return;
        }
        // One for all nodes with the same ring: a thousand rings of a thousand peers take much memory.
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
            self.figures.flushes += u64::from(crate::purge::execute::start_over(&node.cache).entries > 0);
        }
        node.ring.fill(false);
        others.iter().for_each(|other| node.ring[*other] = true);
        node.breakers.retain(|other, _| node.ring[*other]);
        let (incarnation, new): (u64, Vec<usize>) =
            (node.incarnation, others.into_iter().filter(|other| node.asked_peers.insert(*other)).collect());
        self.publish(at);
        for other in new {
            let phase = self.dice.below(20);
            self.after(phase, move |world| world.start_catching_up(at, other, incarnation));
        }
    }

    fn receive_announcement(&mut self, at: usize, of: usize, event: MembershipEvent, covered: bool) {
        self.figures.announcements += 1;
        let is_news = self.record_event(at, of, event);
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

    fn record_event(&mut self, at: usize, of: usize, event: MembershipEvent) -> bool {
        self.nodes[at].announcements.record(self.peers[of].clone(), event, &self.peers[..self.discovered], self.now)
    }

    /// Announces an event: to all known nodes, and a join also to those that left. A node that is known by an API
    /// announces its join only to the owners that it has covered for.
    fn announce(&mut self, at: usize, event: MembershipEvent) {
        if event != MembershipEvent::End && self.record_event(at, at, event) {
            self.settle(at);
        }
        let cache = self.nodes[at].cache.clone();
        let (ring, covered) = (cache.cluster.ring(), cache.cluster.covered_owners());
        let is_known = event == MembershipEvent::Join && self.nodes[at].incarnation == 0;
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
                Endpoint::Node(at),
                other,
                1000,
                move |world, responder| {
                    world.receive_announcement(other, at, event, covered);
                    let leaves = world.nodes[other].announcements.departure(world.name(other)).map(|own| own.event);
                    responder.send(world, leaves);
                },
                move |world, answer| {
                    let Ok(leaves) = answer else { return };
                    if covered {
                        cache.cluster.remove_covered_owner(world.name(other));
                    }
                    if let Some(event) = leaves {
                        world.receive_announcement(at, other, event, false);
                    }
                },
            );
        }
    }

    /// Announces an event again and again, for as long as it is true.
    pub(super) fn keep_announcing(&mut self, at: usize, event: MembershipEvent, incarnation: u64) {
        let node = &self.nodes[at];
        if node.incarnation != incarnation || !node.is_up || node.announces != event {
            return;
        }
        self.announce(at, event);
        self.after(3000, move |world| world.arrive_at(at, move |world| world.keep_announcing(at, event, incarnation)));
    }

    /// Leaves: announces it, hands over, ends.
    pub(super) fn leave(&mut self, at: usize) {
        let incarnation = self.nodes[at].incarnation;
        self.nodes[at].announces = MembershipEvent::Leave;
        self.keep_announcing(at, MembershipEvent::Leave, incarnation);
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
                Endpoint::Node(at),
                owner,
                2000,
                move |world, responder| {
                    world.receive_push(owner, &message);
                    responder.send(world, ());
                },
                |_, _| {},
            );
        }
        self.after(3000, move |world| {
            if world.nodes[at].incarnation == incarnation {
                world.announce(at, MembershipEvent::End);
                world.stop(at);
            }
        });
    }

    fn receive_push(&mut self, at: usize, message: &[u8]) {
        let cache = self.nodes[at].cache.clone();
        let (there, frames) = frame::read(message).unwrap();
        if cache.consistency.record_claim(Claim::Peer(&there.to_string())) != Standing::Current {
            return self.request_catch_up(at);
        }
        let (there, rules) = (Arc::new(there), cache.group_table());
        for frame in &frames {
            let load = cache.store.begin(Key::from_bytes(frame.key.to_vec()), cache.consistency.position());
            let _ = transfer::take(&cache, rules.named("g").unwrap(), &load, frame, 10, &there, TransferKind::HandOver);
        }
    }
}
