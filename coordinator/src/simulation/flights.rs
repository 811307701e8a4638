//! Flights: a node loads a key once for all requests. It peeks at the previous owner first, and then asks the service.

use crate::{
    cache::transfer::{self, TransferKind},
    consistency::catch_up::{Claim, Standing},
    simulation::{
        leaves::BODY,
        net::{CallFailure, Endpoint, Responder},
        questions::{HOUR, PATIENCE},
        world::World,
    },
    store::{Entry, Parts, PurgeGuard, Recency, fresh},
};
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{
    frame,
    freshness::{Selecting, Stored},
};
use std::sync::Arc;

/// The time that the service takes, milliseconds.
pub(super) const SERVICE: u64 = 20;

/// Called with the version that a flight brought, and whether it is shared.
pub(super) type Waiter = Box<dyn FnOnce(&mut World, Option<(u64, bool)>)>;

impl World {
    /// The version and age of a node's entry of a key.
    pub(super) fn stored(&self, at: usize, key: usize) -> Option<(u64, u64)> {
        let cache = &self.nodes[at].cache;
        let rules = cache.group_table();
        let now = cache.clock.now();
        let entry = cache.store.get(&rules.named("g")?.quota, &self.keys[key], now, |_| true)?;
        Some((
            std::str::from_utf8(entry.body_bytes()).ok()?.split_once(' ')?.1.parse().ok()?,
            entry.stored.age(entry.resident(now)),
        ))
    }

    /// Waits for the key's flight, and starts one where there is none.
    pub(super) fn join_flight(&mut self, at: usize, key: usize, waiter: Waiter) {
        self.turn += 1;
        let turn = self.turn;
        let node = &mut self.nodes[at];
        if let Some(flight) = node.flights.get(&key) {
            return node.waiters.entry(*flight).or_default().push(waiter);
        }
        node.flights.insert(key, turn);
        node.waiters.insert(turn, vec![waiter]);
        let (cache, incarnation) = (node.cache.clone(), node.incarnation);
        let load = cache.store.begin(self.keys[key].clone(), cache.consistency.position());
        let (me, now) = (&self.peers.clone()[at].name, self.now);
        let is_owner = cache.cluster.ring().owner(self.keys[key].hash()).is_some_and(|owner| owner.name == *me);
        let before = if is_owner { cache.cluster.previous_owners(self.keys[key].hash(), None) } else { Vec::new() };
        let before = before
            .iter()
            .filter_map(|name| name.strip_prefix('p')?.parse().ok())
            .find(|other| self.nodes[at].try_acquire(*other, now));
        let Some(other): Option<usize> = before else { return self.load(at, key, turn, load) };
        self.call(
            Endpoint::Node(at),
            other,
            PATIENCE / 2,
            move |world, responder: Responder<Vec<u8>>| world.peeked(other, key, responder),
            move |world, answer| {
                if world.nodes[at].incarnation != incarnation {
                    return;
                }
                if answer == Err(CallFailure::Refused) {
                    let now = world.now;
                    world.nodes[at].breakers.entry(other).or_default().record_failure(now);
                }
                if let Some((there, frames)) = answer.as_ref().ok().and_then(|message| frame::read(message).ok())
                    && cache.consistency.record_claim(Claim::Peer(&there.to_string())) == Standing::Current
                {
                    let (there, rules) = (Arc::new(there), cache.group_table());
                    for frame in &frames {
                        let _ = transfer::take(
                            &cache,
                            rules.named("g").unwrap(),
                            &load,
                            frame,
                            PATIENCE / 2,
                            &there,
                            TransferKind::Peek,
                        );
                    }
                }
                match world.stored(at, key) {
                    Some((version, _)) => {
                        world.count("peeked");
                        world.complete_flight(at, key, turn, version, true);
                    }
                    None => world.load(at, key, turn, load),
                }
            },
        );
    }

    /// Answers a peek of another node at a key that this one owned.
    fn peeked(&mut self, at: usize, key: usize, responder: Responder<Vec<u8>>) {
        let write = move |world: &mut World, responder: Responder<Vec<u8>>| {
            let cache = &world.nodes[at].cache;
            let mut message = frame::new_message(&cache.consistency.position());
            let rules = cache.group_table();
            let served = rules.named("g").unwrap();
            if let Some((entries, used)) = cache.store.peek(&served.quota, &world.keys[key], cache.clock.now()) {
                let used = Recency { ..used };
                transfer::write(cache, &world.keys[key], &entries, used, served.group.digest(), &mut message);
            }
            responder.send(world, message);
        };
        match self.nodes[at].flights.get(&key).copied() {
            Some(flight) => self.nodes[at]
                .waiters
                .entry(flight)
                .or_default()
                .push(Box::new(move |world, _| write(world, responder))),
            None => write(self, responder),
        }
    }

    fn load(&mut self, at: usize, key: usize, flight: u64, load: PurgeGuard) {
        self.service_keys[key].loads += 1;
        self.nodes[at].cache.cluster.record_load(&self.keys[key]);
        let incarnation = self.nodes[at].incarnation;
        let is_long = self.long > 0 && (key as u64).is_multiple_of(self.long);
        if is_long {
            self.after(SERVICE, move |world| {
                world.arrive_at(at, move |world| {
                    if world.nodes[at].incarnation == incarnation {
                        world.note_head(at, flight);
                    }
                })
            });
        }
        self.after(SERVICE / 2, move |world| {
            // The service's answer is of half that time.
            let version = world.service_keys[key].version;
            world.after(SERVICE / 2 + if is_long { BODY } else { 0 }, move |world| {
                world.arrive_at(at, move |world| {
                    if world.nodes[at].incarnation != incarnation {
                        return;
                    }
                    let kept = world.store(at, key, &load, version);
                    world.complete_flight(at, key, flight, version, kept);
                })
            });
        });
    }

    /// Stores what a load brought. Returns whether it is kept.
    pub(super) fn store(&self, at: usize, key: usize, load: &PurgeGuard, version: u64) -> bool {
        let cache = &self.nodes[at].cache;
        let now = cache.clock.now();
        let entry = Arc::new(Entry::new(Parts {
            status: StatusCode::OK,
            fields: Vec::new(),
            tags: "surrogate-key",
            body: Bytes::from(format!("{key} {version}")),
            selecting: Selecting::default(),
            stored: Stored { for_everybody: false, ..fresh(HOUR) },
            arrived: now,
            position: load.position().clone(),
        }));
        cache.store.put(&cache.group_table().named("g").unwrap().quota, load, entry, now)
    }

    fn complete_flight(&mut self, at: usize, key: usize, flight: u64, version: u64, kept: bool) {
        let node = &mut self.nodes[at];
        if node.flights.get(&key) == Some(&flight) {
            node.flights.remove(&key);
        }
        node.leaves.end(flight);
        for (i, waiter) in node.waiters.remove(&flight).unwrap_or_default().into_iter().enumerate() {
            waiter(self, (i == 0 || kept).then_some((version, kept)));
        }
    }
}
