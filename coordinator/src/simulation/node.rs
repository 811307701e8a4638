//! Coordinators: all that they decide with as it is, and in place of their tasks and sockets what happens one after another.

use super::{
    net::{Back, Lost, Place, Run},
    proxy::Answered,
    world::{World, index, peer},
};
use crate::{
    cache::{Cache, Identity, Settings},
    carried::Comes,
    discovery::told::{Does, Told},
    feed::Feed,
    lease::{LAST, Renewal},
    metrics::Metrics,
    named::Named,
    purge::watch,
    store::{Entry, Load, Meant, Parts, Used},
    sure::Caught,
};
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{
    Breaker, Key, Peer, Ring,
    feed::{FeedQuestion, SIGN_OF_LIFE},
    frame,
    freshness::{Selecting, Stored, Why},
    purge::{Purge, What},
    wire,
};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

/// As the group has it, milliseconds.
pub(super) const PATIENCE: u64 = 250;
/// How long the service takes.
const SERVICE: u64 = 20;
/// How long a peer may take to purge.
const PURGE: u64 = 2000;
/// How long what is asked waits until its node has caught up.
const WAIT: u64 = 200;
const HOUR: u64 = 3_600_000;

/// A question of a feed that waits for news.
type Poll = (u64, FeedQuestion, Back<Option<Vec<u8>>>);
/// Told whether a peer has carried out a purge.
type Reached = Box<dyn FnOnce(&mut World, Result<(), Lost>)>;
type Waiter = Box<dyn FnOnce(&mut World, Option<(u64, bool)>)>;

pub(super) struct Node {
    pub(super) cache: Arc<Cache>,
    pub(super) feed: Arc<Feed>,
    told: Told,
    discovered: Rc<Vec<Peer>>,
    pub(super) is_up: bool,
    pub(super) is_frozen: bool,
    /// What came while it was frozen.
    pub(super) held: Vec<Run>,
    /// Which of its lives this is: what an earlier one had begun is over.
    pub(super) life: u64,
    listens: BTreeSet<usize>,
    woken: u64,
    flights: BTreeMap<usize, u64>,
    waiters: BTreeMap<u64, Vec<Waiter>>,
    breakers: BTreeMap<usize, Breaker>,
    polls: Vec<Poll>,
}

impl Node {
    pub(super) fn new(at: usize, life: u64, world: &World) -> Self {
        let settings = Settings { me: peer(at).name, installation: "meshcache".into(), store_bytes: 64 << 20, identity: Identity::None };
        let metrics = Metrics::new().unwrap();
        let cache = Cache::new(settings, metrics.clone());
        cache.set_groups(world.groups.clone()).unwrap();
        let feed = Feed::new(cache.clone(), metrics, "meshcache", &peer(at).name);
        feed.set_config(world.config.clone());
        Self {
            cache,
            feed,
            told: Told::default(),
            discovered: world.discovered.clone(),
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

    fn admits(&mut self, peer: usize, now: u64) -> bool {
        self.breakers.get_mut(&peer).is_none_or(|breaker| breaker.admits(now))
    }
}

/// Its ring, and what others say of themselves.
impl World {
    pub(super) fn settle(&mut self, at: usize) {
        let now = self.now;
        let node = &mut self.nodes[at];
        node.told.settle(&node.discovered, now);
        let ring = Ring::new(node.told.ring(&node.discovered));
        if ring == *node.cache.ring() {
            return;
        }
        let ring = self.rings.entry(ring.version()).or_insert_with(|| Arc::new(ring)).clone();
        self.figures.rings += 1;
        node.cache.note_ring(&ring);
        let others: Vec<usize> = ring.peers().iter().filter_map(|peer| index(&peer.data)).filter(|other| *other != at).collect();
        node.cache.lease.set_peers(ring.peers().iter().map(|peer| peer.name.as_str()).filter(|name| *name != peer(at).name), now);
        node.breakers.retain(|other, _| others.contains(other));
        let (life, new): (u64, Vec<usize>) = (node.life, others.into_iter().filter(|other| node.listens.insert(*other)).collect());
        self.publish(at);
        for other in new {
            let phase = self.dice.below(20);
            self.after(phase, move |world| world.listen(at, other, life));
        }
    }

    fn hears_word(&mut self, at: usize, of: usize, does: Does) {
        self.figures.words += 1;
        let now = self.now;
        let node = &mut self.nodes[at];
        node.told.hear(peer(of), does, now);
        if does == Does::End {
            node.cache.former.lock().forget(&peer(of).name);
        }
        if does == Does::Join
            && let Some(breaker) = node.breakers.get_mut(&of)
        {
            breaker.answers();
        }
        self.settle(at);
    }

    /// Says something of itself, to all it knows.
    pub(super) fn say(&mut self, at: usize, does: Does) {
        let now = self.now;
        if does != Does::End {
            self.nodes[at].told.hear(peer(at), does, now);
            self.settle(at);
        }
        let ring = self.nodes[at].cache.ring();
        for other in ring.peers().iter().filter_map(|peer| index(&peer.data)).filter(|other| *other != at) {
            self.call(
                Place::Node(at),
                other,
                1000,
                move |world, back| {
                    world.hears_word(other, at, does);
                    back.send(world, ());
                },
                |_, _| {},
            );
        }
    }

    /// Says it again for as long as it is true.
    pub(super) fn go_on_saying(&mut self, at: usize, does: Does, life: u64) {
        if self.nodes[at].life != life || !self.nodes[at].is_up {
            return;
        }
        self.say(at, does);
        self.after(3000, move |world| world.arrive_at(at, move |world| world.go_on_saying(at, does, life)));
    }

    /// Leaves: says so, hands over, ends.
    pub(super) fn leave(&mut self, at: usize) {
        let life = self.nodes[at].life;
        self.go_on_saying(at, Does::Leave, life);
        let cache = self.nodes[at].cache.clone();
        let (ring, rules, now) = (cache.ring(), cache.rules(), cache.now());
        let mut messages: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for place in cache.store.by_use() {
            let (Some(owner), Some((key, entries, used))) = (ring.owner(place.hash).and_then(|owner| index(&owner.data)), cache.store.at(&place, now)) else {
                continue;
            };
            let message = messages.entry(owner).or_insert_with(|| frame::message(&cache.history.position()));
            cache.write_frames(&key, &entries, used, rules.named("g").unwrap().group.digest(), message);
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
        if !cache.knows(&there.to_string()) {
            return self.wake(at);
        }
        let (there, rules) = (Arc::new(there), cache.rules());
        for frame in &frames {
            let load = cache.store.begin(Key::from_bytes(frame.key.to_vec()), cache.history.position());
            let _ = cache.take_in(rules.named("g").unwrap(), &load, frame, 10, &there, Comes::Pushed);
        }
    }
}

/// What was purged, and whether it knows.
impl World {
    fn arrive_at(&mut self, at: usize, run: impl FnOnce(&mut World) + 'static) {
        if self.nodes[at].is_frozen { self.nodes[at].held.push(Box::new(run)) } else { run(self) }
    }

    /// Asks a peer again and again what was purged.
    fn listen(&mut self, at: usize, other: usize, life: u64) {
        let node = &mut self.nodes[at];
        if node.life != life || !node.is_up || node.cache.ring().peer(&peer(other).name).is_none() {
            node.listens.remove(&other);
            return;
        }
        let next = self.now + watch::beat(node.cache.ring().peers().len()).as_millis() as u64;
        self.beat(at, other, life, move |world| {
            let wait = next.saturating_sub(world.now);
            world.after(wait, move |world| world.arrive_at(at, move |world| world.listen(at, other, life)));
        });
    }

    fn beat(&mut self, at: usize, other: usize, life: u64, then: impl FnOnce(&mut World) + 'static) {
        self.figures.beats += 1;
        let (question, sent) = (self.nodes[at].cache.question(), self.now);
        self.call(
            Place::Node(at),
            other,
            LAST,
            move |world, back: Back<watch::Answer>| {
                let answer = world.nodes[other].cache.tell_since(&question);
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

    fn hears_purges(&mut self, at: usize, other: usize, sent: u64, answer: Result<watch::Answer, Lost>) {
        let (cache, name, now) = (self.nodes[at].cache.clone(), peer(other).name, self.now);
        let renewal = match answer {
            Ok(answer) => {
                let mut carried = Vec::new();
                let caught = if self.deaf { Caught::Up } else { cache.catch_up(&answer, |purge, _| carried.push(purge.what.clone())) };
                carried.iter().for_each(|what| self.carried_out(at, what));
                if caught == Caught::Behind {
                    return;
                }
                if let Caught::Emptied(had) = caught {
                    self.figures.emptied += u64::from(had.entries > 0);
                    self.publish(at);
                }
                cache.lease.heard(&name, sent, &answer.source, answer.holds, now)
            }
            Err(Lost::Refused) => cache.lease.refused(&name, sent, now),
            Err(Lost::Silent) => return,
        };
        if renewal == Renewal::Empty {
            self.figures.emptied += u64::from(cache.start_over().entries > 0);
            self.publish(at);
        }
    }

    /// Asks all peers now, if it has not just done so.
    fn wake(&mut self, at: usize) {
        let ring = self.nodes[at].cache.ring();
        let (node, now) = (&mut self.nodes[at], self.now);
        if now < node.woken + watch::soon(ring.peers().len()).as_millis() as u64 {
            return;
        }
        node.woken = now;
        let life = node.life;
        for other in ring.peers().iter().filter_map(|peer| index(&peer.data)).filter(|other| *other != at) {
            self.beat(at, other, life, |_| {});
        }
    }

    /// What a purge means is not joined any more, and proxies are told.
    fn carried_out(&mut self, at: usize, what: &What) {
        let named = Named::new(what, &self.groups);
        let keys = &self.keys;
        self.nodes[at].flights.retain(|key, _| named.means(&keys[*key]) == Meant::No);
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
        let what = What { group: Some("g".into()), paths: vec![format!("/{key}")], ..What::default() };
        let (purge, _) = self.nodes[at].cache.order(what, false);
        self.carried_out(at, &purge.what);
        let ring = self.nodes[at].cache.ring();
        let others: Vec<usize> = self.nodes[at].cache.audience().iter().filter_map(|peer| index(&peer.data)).collect();
        let open = Rc::new(Cell::new((others.len(), 0)));
        let until = self.now + PURGE;
        for other in others {
            let (open, is_in) = (open.clone(), ring.peer(&peer(other).name).is_some());
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
                let done = match world.nodes[other].cache.hear(&heard) {
                    Ok(Some(_)) => {
                        world.carried_out(other, &heard.what);
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

/// Questions.
impl World {
    /// A proxy or another node asks for a key.
    pub(super) fn asked(&mut self, at: usize, key: usize, said: &wire::Question, back: Back<Answered>) {
        let (hop, patience, told) = (said.hop, said.patience, said.purge.clone());
        if self.nodes[at].cache.knows(&told) {
            return self.look_up(at, key, hop, patience, back);
        }
        self.wake(at);
        let life = self.nodes[at].life;
        self.after(WAIT, move |world| {
            world.arrive_at(at, move |world| {
                if world.nodes[at].life != life {
                } else if world.nodes[at].cache.knows(&told) {
                    world.look_up(at, key, hop, patience, back);
                } else {
                    world.count("behind");
                    back.send(world, Answered { verdict: "pass; reason=behind".into(), body: Vec::new() });
                }
            })
        });
    }

    fn look_up(&mut self, at: usize, key: usize, hop: bool, patience: u64, back: Back<Answered>) {
        if let Some((version, age)) = self.stored(at, key) {
            let verdict = format!("hit; ttl={}; age={age}; shared; stored", HOUR - age);
            return back.send(self, Answered { verdict, body: format!("{key} {version}").into_bytes() });
        }
        // An owner that is still loading when the asker's patience ends says so.
        let answered = Rc::new(Cell::new(false));
        let (late, is_late) = (back.clone(), answered.clone());
        self.after(patience.max(1), move |world| {
            world.arrive_at(at, move |world| {
                if !is_late.replace(true) {
                    late.send(world, Answered { verdict: "loading".into(), body: Vec::new() });
                }
            })
        });
        let waiter: Waiter = Box::new(move |world, landed| {
            if answered.replace(true) {
                return;
            }
            let (verdict, body) = match landed {
                Some((version, shared)) => {
                    let words = if shared { "; shared; stored" } else { "" };
                    (format!("miss; ttl={HOUR}; age=0; fwd-status=200{words}"), format!("{key} {version}").into_bytes())
                }
                None => ("pass; reason=not-shared".to_owned(), Vec::new()),
            };
            back.send(world, Answered { verdict, body });
        });
        let ring = self.nodes[at].cache.ring();
        let order: Vec<usize> = ring.order(self.keys[key].hash()).into_iter().filter_map(|peer| index(&peer.data)).collect();
        if hop || order.first() == Some(&at) {
            return self.fly(at, key, waiter);
        }
        let now = self.now;
        let before: Vec<usize> = order.into_iter().take_while(|other| *other != at).take(8).collect();
        let peers: Vec<usize> = before.into_iter().filter(|other| self.nodes[at].admits(*other, now)).take(2).collect();
        self.ask_peers(at, key, peers, waiter);
    }

    fn ask_peers(&mut self, at: usize, key: usize, mut peers: Vec<usize>, waiter: Waiter) {
        if peers.is_empty() {
            return self.fly(at, key, waiter);
        }
        let to = peers.remove(0);
        let purge = self.nodes[at].cache.history.told().to_string();
        let question = wire::Question { wire: wire::VERSION, hop: true, patience: PATIENCE / 4 * 3, purge, ..wire::Question::default() };
        let life = self.nodes[at].life;
        self.call(
            Place::Node(at),
            to,
            PATIENCE,
            move |world, back: Back<Answered>| world.asked(to, key, &question, back),
            move |world, answer| {
                if world.nodes[at].life != life {
                    return;
                }
                let now = world.now;
                let Ok(answer) = answer else {
                    world.nodes[at].breakers.entry(to).or_default().fails(now);
                    return world.ask_peers(at, key, peers, waiter);
                };
                world.nodes[at].breakers.remove(&to);
                let verdict = wire::Verdict::parse(answer.verdict.as_bytes()).unwrap();
                match verdict.outcome {
                    wire::Outcome::Loading => world.ask_peers(at, key, [&[to][..], &peers].concat(), waiter),
                    wire::Outcome::Pass => waiter(world, None),
                    _ => {
                        let version = std::str::from_utf8(&answer.body).unwrap().split_once(' ').unwrap().1.parse().unwrap();
                        waiter(world, Some((version, false)));
                    }
                }
            },
        );
    }

    /// What a node has of a key: its version and its age.
    fn stored(&self, at: usize, key: usize) -> Option<(u64, u64)> {
        let cache = &self.nodes[at].cache;
        let rules = cache.rules();
        let now = cache.now();
        let entry = cache.store.get(&rules.named("g")?.share, &self.keys[key], now, |_| true)?;
        Some((std::str::from_utf8(&entry.body).ok()?.split_once(' ')?.1.parse().ok()?, entry.stored.age(entry.resident(now))))
    }

    /// Waits for the key's flight, and starts it where there is none.
    fn fly(&mut self, at: usize, key: usize, waiter: Waiter) {
        let turn = self.turn;
        let node = &mut self.nodes[at];
        if let Some(flight) = node.flights.get(&key) {
            return node.waiters.entry(*flight).or_default().push(waiter);
        }
        node.flights.insert(key, turn);
        node.waiters.insert(turn, vec![waiter]);
        let (cache, life) = (node.cache.clone(), node.life);
        let load = cache.store.begin(self.keys[key].clone(), cache.history.position());
        let (me, now) = (peer(at).name, self.now);
        let is_owner = cache.ring().owner(self.keys[key].hash()).is_some_and(|owner| owner.name == me);
        let before = if is_owner { cache.former.lock().owners(self.keys[key].hash(), &me, None, cache.now()) } else { Vec::new() };
        let before = before.iter().filter_map(|name| name.strip_prefix('p')?.parse().ok()).find(|other| self.nodes[at].admits(*other, now));
        let Some(other): Option<usize> = before else { return self.load(at, key, turn, load) };
        self.call(
            Place::Node(at),
            other,
            PATIENCE / 2,
            move |world, back: Back<Vec<u8>>| world.peeked(other, key, back),
            move |world, answer| {
                if world.nodes[at].life != life {
                    return;
                }
                if answer == Err(Lost::Refused) {
                    let now = world.now;
                    world.nodes[at].breakers.entry(other).or_default().fails(now);
                }
                if let Some((there, frames)) = answer.as_ref().ok().and_then(|message| frame::read(message).ok())
                    && cache.knows(&there.to_string())
                {
                    let (there, rules) = (Arc::new(there), cache.rules());
                    for frame in &frames {
                        let _ = cache.take_in(rules.named("g").unwrap(), &load, frame, PATIENCE / 2, &there, Comes::Peeked);
                    }
                }
                match world.stored(at, key) {
                    Some((version, _)) => {
                        world.count("peeked");
                        world.land(at, key, turn, version, true);
                    }
                    None => world.load(at, key, turn, load),
                }
            },
        );
    }

    /// Another node asks what this one has of a key that was its own.
    fn peeked(&mut self, at: usize, key: usize, back: Back<Vec<u8>>) {
        let write = move |world: &mut World, back: Back<Vec<u8>>| {
            let cache = &world.nodes[at].cache;
            let mut message = frame::message(&cache.history.position());
            let rules = cache.rules();
            let served = rules.named("g").unwrap();
            if let Some((entries, used)) = cache.store.peek(&served.share, &world.keys[key], cache.now()) {
                let used = Used { ..used };
                cache.write_frames(&world.keys[key], &entries, used, served.group.digest(), &mut message);
            }
            back.send(world, message);
        };
        match self.nodes[at].flights.get(&key).copied() {
            Some(flight) => self.nodes[at].waiters.entry(flight).or_default().push(Box::new(move |world, _| write(world, back))),
            None => write(self, back),
        }
    }

    fn load(&mut self, at: usize, key: usize, flight: u64, load: Load) {
        self.things[key].loads += 1;
        let life = self.nodes[at].life;
        self.after(SERVICE / 2, move |world| {
            // What the service says it says half way.
            let version = world.things[key].version;
            world.after(SERVICE / 2, move |world| {
                world.arrive_at(at, move |world| {
                    if world.nodes[at].life != life {
                        return;
                    }
                    let cache = world.nodes[at].cache.clone();
                    let now = cache.now();
                    let entry = Arc::new(Entry::new(Parts {
                        status: StatusCode::OK,
                        fields: Vec::new(),
                        tags: "surrogate-key",
                        body: Bytes::from(format!("{key} {version}")),
                        selecting: Selecting::default(),
                        stored: stored(),
                        arrived: now,
                        position: load.position().clone(),
                    }));
                    let kept = cache.store.put(&cache.rules().named("g").unwrap().share, &load, entry, now);
                    world.land(at, key, flight, version, kept);
                })
            });
        });
    }

    fn land(&mut self, at: usize, key: usize, flight: u64, version: u64, kept: bool) {
        let node = &mut self.nodes[at];
        if node.flights.get(&key) == Some(&flight) {
            node.flights.remove(&key);
        }
        for (i, waiter) in node.waiters.remove(&flight).unwrap_or_default().into_iter().enumerate() {
            waiter(self, (i == 0 || kept).then_some((version, kept)));
        }
    }
}

fn stored() -> Stored {
    Stored {
        status: 200,
        lifetime: HOUR,
        initial_age: 0,
        while_revalidate: 0,
        if_error: 0,
        always_validate: false,
        must_revalidate: false,
        for_everybody: false,
        validator: false,
        immutable: false,
        disconnected: false,
        why: Why::MaxAge,
    }
}

/// The feed.
impl World {
    pub(super) fn publish(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.feed.publish();
        let feed = node.feed.clone();
        let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut node.polls).into_iter().partition(|(_, question, _)| feed.has_news(question));
        node.polls = rest;
        for (_, question, back) in due {
            self.feed_answers(at, &question, back);
        }
    }

    pub(super) fn feed_asked(&mut self, at: usize, question: FeedQuestion, back: Back<Option<Vec<u8>>>) {
        let node = &mut self.nodes[at];
        if question.at_once || node.feed.has_news(&question) {
            return self.feed_answers(at, &question, back);
        }
        self.turn += 1;
        let id = self.turn;
        node.polls.push((id, question, back));
        self.after(SIGN_OF_LIFE, move |world| {
            world.arrive_at(at, move |world| {
                let polls = &mut world.nodes[at].polls;
                if let Some(place) = polls.iter().position(|(other, ..)| *other == id) {
                    let (_, question, back) = polls.swap_remove(place);
                    world.feed_answers(at, &question, back);
                }
            })
        });
    }

    fn feed_answers(&mut self, at: usize, question: &FeedQuestion, back: Back<Option<Vec<u8>>>) {
        if !back.waits() {
            return;
        }
        let answer = self.nodes[at].feed.now(question).ok().map(|answer| answer.json.to_vec());
        match &answer {
            Some(json) => {
                self.figures.feed_answers += 1;
                self.figures.feed_states += u64::from(json.len() > 1000);
            }
            None => self.wake(at),
        }
        back.send(self, answer);
    }
}

/// What befalls nodes.
impl World {
    pub(super) fn ends(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        (node.is_up, node.is_frozen) = (false, false);
        node.life += 1;
        node.held.clear();
        node.polls.clear();
    }

    pub(super) fn starts(&mut self, at: usize) {
        let life = self.nodes[at].life + 1;
        self.nodes[at] = Node::new(at, life, self);
        self.settle(at);
        self.go_on_saying(at, Does::Join, life);
    }

    pub(super) fn freezes(&mut self, at: usize, millis: u64) {
        self.nodes[at].is_frozen = true;
        let life = self.nodes[at].life;
        self.after(millis, move |world| {
            if world.nodes[at].life != life {
                return;
            }
            world.nodes[at].is_frozen = false;
            world.nodes[at].cache.note_missed();
            for run in std::mem::take(&mut world.nodes[at].held) {
                run(world);
            }
        });
    }
}
