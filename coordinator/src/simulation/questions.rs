//! Questions of proxies and of other nodes.

use crate::{
    consistency::catch_up::{Claim, Standing},
    settings::Port,
    simulation::{
        flights::Waiter,
        net::{Back, Place},
        proxy::Answered,
        world::{World, index},
    },
};
use meshcache_protocol::wire;
use std::{cell::Cell, rc::Rc};

/// As the group has it, milliseconds.
pub(super) const PATIENCE: u64 = 250;
/// How long what is asked waits until its node has caught up.
const WAIT: u64 = 200;
/// For how long an answer is fresh.
pub(super) const HOUR: u64 = 3_600_000;

impl World {
    /// A proxy or another node asks for a key.
    pub(super) fn asked(&mut self, at: usize, key: usize, port: Port, said: &wire::Question, back: Back<Answered>) {
        let (hop, patience, told) = (said.hop, said.patience, said.clone());
        let knows = move |world: &World| {
            let claim = match port {
                Port::Peer => Claim::Peer(&told.purge),
                Port::Data => Claim::Unauthenticated { position: &told.purge, marks: &told.marks },
            };
            world.nodes[at].cache.consistency.record_claim(claim)
        };
        match knows(self) {
            Standing::Current => return self.look_up(at, key, hop, patience, back),
            Standing::Unproven => return self.is_behind(back),
            Standing::Behind => {}
        }
        self.wake(at);
        let life = self.nodes[at].life;
        self.after(WAIT, move |world| {
            world.arrive_at(at, move |world| {
                if world.nodes[at].life != life {
                } else if knows(world) == Standing::Current {
                    world.look_up(at, key, hop, patience, back);
                } else {
                    world.is_behind(back);
                }
            })
        });
    }

    /// Somebody asks a node who says that he has heard of a purge that never was. What becomes of his own question
    /// nobody counts.
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
                    self.wake(at);
                }
            }
        }
    }

    fn is_behind(&mut self, back: Back<Answered>) {
        self.count("purge-lag");
        back.send(self, Answered { verdict: "pass; reason=purge-lag".into(), body: Vec::new() });
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
        let ring = self.nodes[at].cache.cluster.ring();
        let order: Vec<usize> =
            ring.order(self.keys[key].hash()).into_iter().filter_map(|peer| index(&peer.data)).collect();
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
        let purge = self.nodes[at].cache.consistency.position_text().to_string();
        let question = wire::Question {
            wire: wire::VERSION,
            hop: true,
            patience: PATIENCE / 4 * 3,
            purge,
            ..wire::Question::default()
        };
        let life = self.nodes[at].life;
        self.call(
            Place::Node(at),
            to,
            PATIENCE,
            move |world, back: Back<Answered>| world.asked(to, key, Port::Peer, &question, back),
            move |world, answer| {
                if world.nodes[at].life != life {
                    return;
                }
                let now = world.now;
                let Ok(answer) = answer else {
                    world.nodes[at].breakers.entry(to).or_default().record_failure(now);
                    return world.ask_peers(at, key, peers, waiter);
                };
                world.nodes[at].breakers.remove(&to);
                let verdict = wire::Verdict::parse(answer.verdict.as_bytes()).unwrap();
                match verdict.outcome {
                    wire::Outcome::Loading => world.ask_peers(at, key, [&[to][..], &peers].concat(), waiter),
                    wire::Outcome::Pass => waiter(world, None),
                    _ => {
                        let version =
                            std::str::from_utf8(&answer.body).unwrap().split_once(' ').unwrap().1.parse().unwrap();
                        waiter(world, Some((version, false)));
                    }
                }
            },
        );
    }
}
