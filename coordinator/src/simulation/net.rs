//! Time and the wire between all: what happens when, and calls that are answered, refused, or never heard of again.

use crate::simulation::world::World;
use std::{cell::RefCell, rc::Rc};

/// The longest that a message is under way.
pub(super) const LATENCY: u64 = 10;

/// Foreseeable numbers (SplitMix64).
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

/// Who sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Node(usize),
    Proxy(usize),
}

/// Why a call brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nobody listens there.
    Refused,
    /// No answer in time, or it answers that it will not.
    Silent,
}

/// What happens at its time.
pub(super) type Run = Box<dyn FnOnce(&mut World)>;

type Then<R> = Rc<RefCell<Option<Box<dyn FnOnce(&mut World, Result<R, Lost>)>>>>;

/// The way back to a caller.
pub(super) struct Back<R> {
    from: Place,
    to: Place,
    then: Then<R>,
}

impl<R> Clone for Back<R> {
    fn clone(&self) -> Self {
        Self { then: self.then.clone(), ..*self }
    }
}

impl<R: 'static> Back<R> {
    /// Whether the caller still waits.
    pub(super) fn waits(&self) -> bool {
        self.then.borrow().is_some()
    }

    pub(super) fn send(self, world: &mut World, answer: R) {
        let Self { from, to, then } = self;
        world.deliver(from, to, move |world| end(world, &then, Ok(answer)));
    }
}

fn end<R>(world: &mut World, then: &Then<R>, answer: Result<R, Lost>) {
    let Some(then) = then.borrow_mut().take() else { return };
    then(world, answer);
}

impl World {
    /// Does something after so many milliseconds.
    pub(super) fn after(&mut self, millis: u64, run: impl FnOnce(&mut World) + 'static) {
        self.queue.push(millis, Box::new(run));
    }

    /// Takes something to a place, unless it gets lost. Whoever is frozen has it when it goes on.
    fn deliver(&mut self, from: Place, to: Place, run: impl FnOnce(&mut World) + 'static) -> bool {
        self.messages += 1;
        let lost = self.dice.below(1000) < self.loses || self.is_cut(from, to);
        if lost {
            self.lost += 1;
            return false;
        }
        let latency = 1 + self.dice.below(LATENCY);
        self.after(latency, move |world| world.arrive(to, run));
        true
    }

    fn arrive(&mut self, to: Place, run: impl FnOnce(&mut World) + 'static) {
        match to {
            Place::Node(node) => self.arrive_at(node, run),
            Place::Proxy(_) => run(self),
        }
    }

    /// Asks a node, and goes on with what comes of it.
    pub(super) fn call<R: 'static>(
        &mut self,
        from: Place,
        to: usize,
        patience: u64,
        serve: impl FnOnce(&mut World, Back<R>) + 'static,
        then: impl FnOnce(&mut World, Result<R, Lost>) + 'static,
    ) {
        let then: Then<R> = Rc::new(RefCell::new(Some(Box::new(then))));
        let (late, back) = (then.clone(), Back { from: Place::Node(to), to: from, then: then.clone() });
        self.deliver(from, Place::Node(to), move |world| {
            if world.nodes[to].is_up {
                serve(world, back);
            } else {
                world.deliver(Place::Node(to), from, move |world| end(world, &then, Err(Lost::Refused)));
            }
        });
        self.after(patience, move |world| {
            // Who is frozen learns that it has waited too long when it goes on.
            world.arrive(from, move |world| end(world, &late, Err(Lost::Silent)));
        });
    }
}
