//! Questions of proxies and of other nodes, and requests of plain clients.

use crate::{
    cache::hot_copies,
    consistency::catch_up::{Claim, Standing},
    settings::Port,
    simulation::{
        flights::Waiter,
        leaves::Asker,
        net::{Endpoint, Responder},
        proxy::QuestionResponse,
        world::{World, index},
    },
    store::{Entry, Parts, PurgeGuard},
};
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{freshness::Selecting, wire};
use std::{cell::Cell, rc::Rc, sync::Arc};

/// The patience of the group, milliseconds.
pub(super) const PATIENCE: u64 = 250;
/// The time for which a question waits until its node has caught up, milliseconds.
const WAIT: u64 = 200;
/// The freshness lifetime of an answer, milliseconds.
pub(super) const HOUR: u64 = 3_600_000;
/// The patience of a plain client, milliseconds.
const CLIENT: u64 = 5000;

/// What is asked of a node.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "few are alive at once")]
pub(super) enum Asked {
    /// A plain client's request.
    Plain,
    /// A question.
    Question(wire::Question),
}

/// A copy that another node's response is to become, and the purges that are told with the question.
struct Copying {
    load: Option<PurgeGuard>,
    purge: String,
}

impl World {
    /// Starts a plain client's request to a node. The client is beside a proxy.
    pub(super) fn plain_request(&mut self, beside: usize, at: usize, key: usize) {
        let sent = self.now;
        self.call(
            Endpoint::Proxy(beside),
            at,
            CLIENT,
            move |world, responder: Responder<QuestionResponse>| {
                world.receive_question(at, key, Port::Data, &Asked::Plain, responder);
            },
            move |world, answer| {
                if let Some((_, version)) =
                    answer.as_ref().ok().and_then(|answer| std::str::from_utf8(&answer.body).ok()?.split_once(' '))
                {
                    world.check_question(key, sent, version.parse().unwrap());
                }
            },
        );
    }

    /// Answers what is asked about a key.
    pub(super) fn receive_question(
        &mut self,
        at: usize,
        key: usize,
        port: Port,
        asked: &Asked,
        responder: Responder<QuestionResponse>,
    ) {
        let told = match asked {
            Asked::Plain => wire::Question::default(),
            Asked::Question(said) => said.clone(),
        };
        let asked = asked.clone();
        self.once_current(at, port, told, move |world, is_current| {
            if is_current { world.look_up(at, key, &asked, responder) } else { world.pass_behind(responder) }
        });
    }

    /// Continues when a node knows the purges that it is told of, or when that takes too long.
    pub(super) fn once_current(
        &mut self,
        at: usize,
        port: Port,
        told: wire::Question,
        then: impl FnOnce(&mut World, bool) + 'static,
    ) {
        let knows = move |world: &World| {
            let claim = match port {
                Port::Peer => Claim::Peer(&told.purge),
                Port::Data => Claim::Unauthenticated { position: &told.purge, marks: &told.marks },
            };
            world.nodes[at].cache.consistency.record_claim(claim)
        };
        match knows(self) {
            Standing::Current => return then(self, true),
            Standing::Unproven => return then(self, false),
            Standing::Behind => {}
        }
        self.request_catch_up(at);
        let incarnation = self.nodes[at].incarnation;
        self.after(WAIT, move |world| {
            world.arrive_at(at, move |world| {
                if world.nodes[at].incarnation == incarnation {
                    let is_current = knows(world) == Standing::Current;
                    then(world, is_current);
                }
            })
        });
    }

    /// Sends a node questions that claim purges that never were. Their answers are not counted.
    pub(super) fn forge(&mut self, at: usize) {
        let node = &self.nodes[at];
        if !node.is_up || node.is_frozen {
            return;
        }
        let (other, n) = (self.nodes[(at + 1) % self.nodes.len()].cache.consistency.source(), self.now);
        for purges in [format!("made-up.1:{n}"), format!("{other}:{n}")] {
            for marks in ["", "0123456789abcdef"] {
                if self.nodes[at].cache.consistency.record_claim(Claim::Unauthenticated { position: &purges, marks })
                    == Standing::Behind
                {
                    self.request_catch_up(at);
                }
            }
        }
    }

    fn pass_behind(&mut self, responder: Responder<QuestionResponse>) {
        self.count("purge-lag");
        responder.send(self, QuestionResponse { verdict: "pass; reason=purge-lag".into(), body: Vec::new() });
    }

    fn look_up(&mut self, at: usize, key: usize, asked: &Asked, responder: Responder<QuestionResponse>) {
        let (hop, patience) = match asked {
            Asked::Plain => (false, CLIENT),
            Asked::Question(said) => (said.hop, said.patience),
        };
        if let Some((version, age)) = self.stored(at, key) {
            let verdict = format!("hit; ttl={}; age={age}; shared; stored", HOUR - age);
            return responder.send(self, QuestionResponse { verdict, body: format!("{key} {version}").into_bytes() });
        }
        let ring = self.nodes[at].cache.cluster.ring();
        let order: Vec<usize> =
            ring.order(self.keys[key].hash()).into_iter().filter_map(|peer| index(&peer.data)).collect();
        let is_here = hop || order.first() == Some(&at);
        if matches!(asked, Asked::Plain)
            && !is_here
            && let Some(body) = self.hot_copy(at, key)
        {
            self.count("copies");
            return responder.send(self, QuestionResponse { verdict: "hit".into(), body });
        }
        // An owner that is still loading when the patience ends answers so.
        let answered = Rc::new(Cell::new(false));
        let (late, is_late) = (responder.clone(), answered.clone());
        let asker = Asker { answered: answered.clone(), responder: responder.clone() };
        self.after(patience.max(1), move |world| {
            world.arrive_at(at, move |world| {
                if !is_late.replace(true) {
                    late.send(world, QuestionResponse { verdict: "loading".into(), body: Vec::new() });
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
            responder.send(world, QuestionResponse { verdict, body });
        });
        if is_here {
            self.join_flight(at, key, waiter);
            if matches!(asked, Asked::Question(said) if said.leave) {
                self.await_leave(at, key, asker);
            }
            return;
        }
        let now = self.now;
        let before: Vec<usize> = order.into_iter().take_while(|other| *other != at).take(8).collect();
        let peers: Vec<usize> =
            before.into_iter().filter(|other| self.nodes[at].try_acquire(*other, now)).take(2).collect();
        let cache = &self.nodes[at].cache;
        let load = hot_copies::begin(cache, cache.group_table().named("g").unwrap(), &self.keys[key]);
        let copying = Copying { load, purge: cache.consistency.position_text().to_string() };
        self.ask_peers(at, key, peers, copying, waiter);
    }

    /// A node's hot copy of a key.
    fn hot_copy(&self, at: usize, key: usize) -> Option<Vec<u8>> {
        let cache = &self.nodes[at].cache;
        let rules = cache.group_table();
        let copy = cache.store.get_hot(&rules.named("g")?.quota, &self.keys[key], cache.clock.now(), |_| true)?;
        Some(copy.body_bytes().to_vec())
    }

    /// Keeps another node's response as a hot copy.
    fn keep_copy(&self, at: usize, load: &PurgeGuard, verdict: &wire::Verdict, body: &[u8]) {
        let cache = &self.nodes[at].cache;
        let entry = Entry::new(Parts {
            status: StatusCode::OK,
            fields: Vec::new(),
            tags: "surrogate-key",
            body: Bytes::copy_from_slice(body),
            selecting: Selecting::default(),
            stored: verdict.to_stored(200),
            arrived: cache.clock.now(),
            position: Arc::default(),
        });
        hot_copies::keep(cache, cache.group_table().named("g").unwrap(), load, verdict, &entry);
    }

    fn ask_peers(&mut self, at: usize, key: usize, mut peers: Vec<usize>, copying: Copying, waiter: Waiter) {
        if peers.is_empty() {
            return self.join_flight(at, key, waiter);
        }
        let to = peers.remove(0);
        let question = Asked::Question(wire::Question {
            wire: wire::VERSION,
            hop: true,
            patience: PATIENCE / 4 * 3,
            purge: copying.purge.clone(),
            ..wire::Question::default()
        });
        let incarnation = self.nodes[at].incarnation;
        self.call(
            Endpoint::Node(at),
            to,
            PATIENCE,
            move |world, responder: Responder<QuestionResponse>| {
                world.receive_question(to, key, Port::Peer, &question, responder)
            },
            move |world, answer| {
                if world.nodes[at].incarnation != incarnation {
                    return;
                }
                let now = world.now;
                let Ok(answer) = answer else {
                    world.nodes[at].breakers.entry(to).or_default().record_failure(now);
                    return world.ask_peers(at, key, peers, copying, waiter);
                };
                world.nodes[at].breakers.remove(&to);
                let verdict = wire::Verdict::parse(answer.verdict.as_bytes()).unwrap();
                match verdict.outcome {
                    wire::Outcome::Loading => world.ask_peers(at, key, [&[to][..], &peers].concat(), copying, waiter),
                    wire::Outcome::Pass => waiter(world, None),
                    _ => {
                        if let Some(load) = &copying.load {
                            world.keep_copy(at, load, &verdict, &answer.body);
                        }
                        let version =
                            std::str::from_utf8(&answer.body).unwrap().split_once(' ').unwrap().1.parse().unwrap();
                        waiter(world, Some((version, false)));
                    }
                }
            },
        );
    }
}
