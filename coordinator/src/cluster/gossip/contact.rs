//! What this coordinator knows of one member of its list, by its own calls and by what the member says.

use crate::cluster::gossip::{event::MemberState, list::ListId, marks::Marks, vote::Votes};

/// A member that has not answered for so long is suspected, and its lease is renewed no more, milliseconds.
pub(super) const SUSPECT: u64 = 3000;
/// A member that has not answered for so long is silent, milliseconds.
pub(super) const SILENT: u64 = 5000;
/// A port that refuses for so long is that of a process that has ended, milliseconds.
const REFUSED: u64 = 1000;
/// A member that leaves and has not answered for so long is gone, milliseconds.
const LEFT: u64 = 2000;
/// A side without a majority leaves a member out of its ring whose port refuses for so long, milliseconds. A majority
/// has removed it before.
const REFUSED_LONG: u64 = 8000;

/// One member.
#[derive(Clone, Debug, Default)]
pub(super) struct Contact {
    /// When it was listed.
    pub(super) since: u64,
    /// When the last question was sent that it has answered.
    pub(super) answered: Option<u64>,
    /// As of when it is heard: the last answer or its listing, later by the time in which this coordinator slept.
    pub(super) heard: u64,
    /// Since when its port refuses.
    pub(super) refused: Option<u64>,
    /// When it was last told that it counts.
    pub(super) counted: Option<u64>,
    /// Another process answers at its address.
    pub(super) replaced: bool,
    /// It has announced that it leaves.
    pub(super) left: bool,
    /// It has announced its end.
    pub(super) ended: bool,
    /// An operator says that it is gone for good.
    pub(super) forgotten: bool,
    /// It has given up this list for another.
    pub(super) defected: bool,
    /// It is suspected, and the log says so.
    pub(super) suspected: bool,
    /// Its list.
    pub(super) list: Option<ListId>,
    /// The members that it does not hear, and when it said so.
    pub(super) gone: (Marks, u64),
    /// Its votes on the successor of the list.
    pub(super) votes: Votes,
}

impl Contact {
    pub(super) fn new(now: u64) -> Self {
        Self { since: now, heard: now, ..Self::default() }
    }

    /// The same member of the next list.
    pub(super) fn carried_over(&self) -> Self {
        Self { gone: Default::default(), votes: Votes::default(), ..self.clone() }
    }

    pub(super) fn answers(&mut self, sent: u64) {
        self.answered = self.answered.max(Some(sent));
        self.heard = self.heard.max(sent);
        self.refused = self.refused.filter(|since| *since > sent);
        self.replaced = false;
        self.forgotten = false;
    }

    pub(super) fn refuses(&mut self, sent: u64, now: u64) {
        if self.answered.is_none_or(|answered| answered < sent) {
            self.refused.get_or_insert(now);
        }
    }

    /// The time in which this coordinator slept is not the silence of others.
    pub(super) fn sleep(&mut self, gap: u64) {
        self.heard = self.heard.saturating_add(gap);
        self.refused = None;
        self.gone = Default::default();
    }

    fn silence(&self, now: u64) -> u64 {
        now.saturating_sub(self.heard)
    }

    fn refuses_for(&self, millis: u64, now: u64) -> bool {
        self.refused.is_some_and(|since| now >= since.saturating_add(millis))
    }

    /// Whether it answers.
    pub(super) fn is_heard(&self, now: u64) -> bool {
        self.silence(now) < SUSPECT && !self.refuses_for(REFUSED, now) && !self.replaced && !self.ended
    }

    /// Whether this coordinator is for its removal.
    pub(super) fn is_gone(&self, now: u64) -> bool {
        self.silence(now) >= SILENT
            || (self.left && self.silence(now) >= LEFT)
            || self.refuses_for(REFUSED, now)
            || self.replaced
            || self.ended
            || self.forgotten
    }

    /// Whether its process is known to have ended, so that it does not count for a majority. A port that refuses is a
    /// proof only where it answered shortly before: it has not voted for a list without this coordinator then.
    pub(super) fn is_dead(&self, now: u64) -> bool {
        let was_heard = |refused: u64| self.answered.is_some_and(|at| refused < at.saturating_add(SUSPECT));
        self.ended || self.replaced || (self.refuses_for(REFUSED, now) && self.refused.is_some_and(was_heard))
    }

    /// Its state.
    pub(super) fn state(&self, now: u64) -> MemberState {
        match self {
            _ if self.is_gone(now) => MemberState::Gone,
            _ if self.left => MemberState::Left,
            _ if self.is_heard(now) => MemberState::Alive,
            _ => MemberState::Suspect,
        }
    }

    /// Whether it is in the ring.
    pub(super) fn is_in_ring(&self, now: u64) -> bool {
        !self.left && !self.ended && !self.refuses_for(REFUSED_LONG, now)
    }
}
