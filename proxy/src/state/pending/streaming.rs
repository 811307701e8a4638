//! Lookups whose leaders get the response as it comes.

use super::{PendingLookups, Waiter};
use crate::state::lookup::PeerLookup;

/// How long those that joined wait for the rest of a response whose leader has its head, milliseconds.
const LINGER: u64 = 10;

impl PendingLookups {
    /// Takes the leader of a call's lookup out: it gets the response as it comes. Returns the lookup's number. `None`: the
    /// leader does not wait for it any longer.
    pub fn detach_leader(&mut self, token: u32, now: u64) -> Option<(u32, Waiter)> {
        let call = self.calls.get_mut(&token)?;
        let id = call.lookup;
        let (lookup, _) = self.open.get_mut(&id).filter(|(lookup, _)| lookup.streams_since.is_none())?;
        let leader = lookup.request.leader;
        if self.waiters.get(&leader).is_none_or(|waiter| waiter.lookup != id || waiter.map.is_some()) {
            return None;
        }
        lookup.streams_since = Some(now);
        self.streaming = self.streaming.saturating_add(1);
        if !std::mem::replace(&mut call.is_answering, true) && !call.is_given_up {
            self.awaited_calls = self.awaited_calls.saturating_sub(1);
        }
        self.take_waiter(leader, Some(id)).map(|waiter| (id, waiter))
    }

    /// Takes those that joined lookups whose leaders have had the head for long enough. No more join.
    pub fn take_left_behind(&mut self, now: u64) -> Vec<(u32, Vec<(u32, Waiter)>)> {
        if self.streaming == 0 {
            return Vec::new();
        }
        let is_over = |lookup: &PeerLookup| {
            lookup.lingers() && lookup.streams_since.is_some_and(|since| since.saturating_add(LINGER) <= now)
        };
        let over: Vec<u32> = self.open.iter().filter(|(_, (lookup, _))| is_over(lookup)).map(|(id, _)| *id).collect();
        over.into_iter().map(|id| (id, self.leave_behind(id))).collect()
    }

    fn leave_behind(&mut self, id: u32) -> Vec<(u32, Waiter)> {
        let Some((mut lookup, streams)) = self.open.remove(&id) else { return Vec::new() };
        self.unshare(id, &lookup);
        lookup.streams_since = Some(u64::MAX);
        self.streaming = self.streaming.saturating_sub(1);
        self.open.insert(id, (lookup, Vec::new()));
        self.take_waiters(streams, id)
    }

    /// Returns whether requests may be left behind soon.
    pub fn has_streaming(&self) -> bool {
        self.streaming > 0
    }
}
