//! Loads whose bodies take their time, and the leave of each for one request.

use crate::{
    cache::leave::Leave,
    simulation::{net::Responder, proxy::QuestionResponse, world::World},
};
use std::{cell::Cell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

/// The time that the body of a long answer takes after its head, milliseconds.
pub(super) const BODY: u64 = 600;

/// A question that may have leave, and whether it has been answered.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) answered: Rc<Cell<bool>>,
    pub(super) responder: Responder<QuestionResponse>,
}

/// A node's loads whose heads are here, and the questions that wait for a head.
#[derive(Default)]
pub(super) struct Leaves {
    /// By flight, with the time from which on it may be given.
    growing: BTreeMap<u64, (Arc<Leave>, u64)>,
    askers: BTreeMap<u64, Vec<Asker>>,
}

impl Leaves {
    pub(super) fn end(&mut self, flight: u64) {
        self.growing.remove(&flight);
        self.askers.remove(&flight);
    }
}

impl World {
    /// A load's head has come.
    pub(super) fn note_head(&mut self, at: usize, flight: u64) {
        let rules = self.nodes[at].cache.group_table();
        let after = rules.named("g").unwrap().group.config().stream_after.as_millis();
        let leaves = &mut self.nodes[at].leaves;
        let leave = Leave::new(Duration::ZERO, Duration::ZERO).unwrap();
        leaves.growing.insert(flight, (leave, self.now + after));
        for asker in leaves.askers.remove(&flight).unwrap_or_default() {
            self.give_leave_in(after, at, flight, asker);
        }
    }

    /// Gives a question the leave of its key's load, as soon as it may have it.
    pub(super) fn await_leave(&mut self, at: usize, key: usize, asker: Asker) {
        let Some(flight) = self.nodes[at].flights.get(&key).copied() else { return };
        match self.nodes[at].leaves.growing.get(&flight) {
            Some((_, due)) => self.give_leave_in(due.saturating_sub(self.now).max(1), at, flight, asker),
            None => self.nodes[at].leaves.askers.entry(flight).or_default().push(asker),
        }
    }

    fn give_leave_in(&mut self, millis: u64, at: usize, flight: u64, asker: Asker) {
        let incarnation = self.nodes[at].incarnation;
        self.after(millis, move |world| {
            world.arrive_at(at, move |world| {
                let node = &world.nodes[at];
                let Some((leave, _)) = node.leaves.growing.get(&flight).filter(|_| node.incarnation == incarnation)
                else {
                    return;
                };
                if !asker.answered.get() && leave.take() {
                    asker.answered.set(true);
                    asker
                        .responder
                        .send(world, QuestionResponse { verdict: "loading; leave".into(), body: Vec::new() });
                }
            })
        });
    }
}
