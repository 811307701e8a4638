//! Time and the network: events at their times, and calls that are answered, refused, or lost.

use crate::simulation::world::World;
use std::{cell::RefCell, rc::Rc};

/// The longest time that a message takes, milliseconds.
pub(super) const LATENCY: u64 = 10;

/// Pseudo-random numbers (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n.max(1)
    }
}

/// A sender or receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Node(usize),
    Proxy(usize),
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallFailure {
    /// The node is down.
    Refused,
    /// No answer in time, or a negative one.
    Unresponsive,
}

/// An event.
pub(super) type Event = Box<dyn FnOnce(&mut World)>;

type Continuation<R> = Rc<RefCell<Option<Box<dyn FnOnce(&mut World, Result<R, CallFailure>)>>>>;

/// The way back to a caller.
pub(super) struct Responder<R> {
    from: Endpoint,
    to: Endpoint,
    then: Continuation<R>,
}

impl<R> Clone for Responder<R> {
    fn clone(&self) -> Self {
        Self { then: self.then.clone(), ..*self }
    }
}

impl<R: 'static> Responder<R> {
    /// Whether the caller still waits.
    pub(super) fn waits(&self) -> bool {
        self.then.borrow().is_some()
    }

    pub(super) fn send(self, world: &mut World, answer: R) {
        let Self { from, to, then } = self;
        world.deliver(from, to, move |world| end(world, &then, Ok(answer)));
    }
}

fn end<R>(world: &mut World, then: &Continuation<R>, answer: Result<R, CallFailure>) {
    let Some(then) = then.borrow_mut().take() else { return };
    then(world, answer);
}

impl World {
    /// Schedules an event after a number of milliseconds.
    pub(super) fn after(&mut self, millis: u64, run: impl FnOnce(&mut World) + 'static) {
        self.queue.push(millis, Box::new(run));
    }

    /// Delivers a message, unless it gets lost. A frozen node receives it when it goes on.
    fn deliver(&mut self, from: Endpoint, to: Endpoint, run: impl FnOnce(&mut World) + 'static) -> bool {
        self.messages += 1;
        let lost = self.dice.below(1000) < self.loss || self.is_cut(from, to);
        if lost {
            self.lost += 1;
            return false;
        }
        let latency = 1 + self.dice.below(LATENCY);
        self.after(latency, move |world| world.arrive(to, run));
        true
    }

    pub(super) fn arrive(&mut self, to: Endpoint, run: impl FnOnce(&mut World) + 'static) {
        match to {
            Endpoint::Node(node) => self.arrive_at(node, run),
            Endpoint::Proxy(_) => run(self),
        }
    }

    /// Calls a node, and continues with the result.
    pub(super) fn call<R: 'static>(
        &mut self,
        from: Endpoint,
        to: usize,
        patience: u64,
        serve: impl FnOnce(&mut World, Responder<R>) + 'static,
        then: impl FnOnce(&mut World, Result<R, CallFailure>) + 'static,
    ) {
        let then: Continuation<R> = Rc::new(RefCell::new(Some(Box::new(then))));
        let (late, responder) = (then.clone(), Responder { from: Endpoint::Node(to), to: from, then: then.clone() });
        self.deliver(from, Endpoint::Node(to), move |world| {
            if world.nodes[to].is_up {
                serve(world, responder);
            } else {
                world.deliver(Endpoint::Node(to), from, move |world| end(world, &then, Err(CallFailure::Refused)));
            }
        });
        self.after(patience, move |world| {
            // A frozen caller notices its timeout when it goes on.
            world.arrive(from, move |world| end(world, &late, Err(CallFailure::Unresponsive)));
        });
    }
}
