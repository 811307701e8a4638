//! Room for more of a large body: no more than a window of it is kept, so the slowest reader sets the pace. Who holds the
//! others up for too long is let go.

use crate::http::growing::{
    growing_body::{GrowingBody, wake},
    state::State,
    wait::{Counts, QUIET, Wait},
};
use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// How long a large body is kept without a reader.
const READERLESS: Duration = Duration::from_secs(1);
/// How long its beginning is kept for those who are on their way.
const ON_THEIR_WAY: Duration = Duration::from_millis(100);

/// How long a slow reader is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// It is let go when others, who have all that came, have waited for it for so long in all.
    InAll(Duration),
    /// It is let go when it takes nothing for so long.
    Idle(Duration),
}

impl State {
    /// The first reader ends the wait for one.
    pub(super) fn note_first_reader(&mut self) {
        if let Some(wait) = self.wait.as_mut().filter(|wait| wait.until == 0) {
            wait.finish();
        }
    }

    /// A reader has all that came, and waits: the filler looks again, where that makes a difference.
    pub(super) fn note_starving(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.starving = wait.starving.saturating_add(1);
            if Counts::of(wait.starving, wait.readers) > wait.counts {
                wait.finish();
            }
        }
    }

    /// Ends the wait, and lets go of those with whom the patience is at its end.
    fn settle(&mut self, patience: Patience) {
        let (Some(wait), now) = (self.wait.take(), Instant::now()) else { return };
        let waited = wait.waited(now);
        for seat in self.seats.values_mut().filter(|seat| !seat.is_let_go && seat.at < wait.until) {
            seat.held_up = seat.held_up.saturating_add(waited);
            seat.is_let_go = match patience {
                Patience::InAll(limit) => seat.held_up >= limit,
                Patience::Idle(limit) => now - wait.began >= limit,
            };
        }
        if wait.until > 0 && now - wait.began >= ON_THEIR_WAY {
            self.awaited = 0;
        }
    }

    /// Forgets what all have until there is room for so many bytes. Else begins a wait, until this time at most.
    fn try_room(&mut self, window: u64, more: u64, patience: Patience) -> Room {
        let now = Instant::now();
        let reading = || self.seats.values().filter(|seat| !seat.is_let_go);
        let Some(slowest) = reading().map(|seat| seat.at).min() else {
            self.wait = Some(Wait::new(0, 0, (0, 0), now));
            return Room::Unread(now + READERLESS);
        };
        let slowest = if self.awaited > 0 { 0 } else { slowest };
        while self.len - self.first() + more > window
            && self.pieces.front().is_some_and(|(from, piece)| from + piece.len() as u64 <= slowest)
        {
            self.pieces.pop_front();
            self.has_moved = true;
        }
        let excess = (self.len - self.first() + more).saturating_sub(window);
        if excess == 0 || self.pieces.is_empty() {
            return Room::There;
        }
        let enough = self.first() + excess;
        let until = self.pieces.iter().map(|(from, piece)| from + piece.len() as u64).find(|end| *end >= enough);
        let until = until.unwrap_or(self.len);
        let reading = || self.seats.values().filter(|seat| !seat.is_let_go);
        let behind = || reading().filter(|seat| seat.at < until);
        let starving = reading().filter(|seat| seat.waker.is_some() && seat.at >= self.len).count();
        let wait = Wait::new(until, behind().count() + self.awaited, (starving, reading().count()), now);
        let deadline = match (patience, wait.counts) {
            (Patience::Idle(limit), _) => Some(now + limit),
            (_, Counts::No) => None,
            (_, Counts::WhenQuiet) => Some(now + QUIET),
            (Patience::InAll(limit), Counts::Always) => {
                Some(now + limit.saturating_sub(behind().map(|seat| seat.held_up).max().unwrap_or_default()))
            }
        };
        let on_their_way = (self.awaited > 0).then(|| now + ON_THEIR_WAY);
        self.wait = Some(wait);
        Room::Wait(deadline.into_iter().chain(on_their_way).min())
    }
}

/// Whether there is room.
enum Room {
    There,
    /// Nobody reads it: until then somebody may come.
    Unread(Instant),
    /// Readers are behind: until then they are waited for.
    Wait(Option<Instant>),
}

impl GrowingBody {
    /// Waits until there is room for so many bytes more within the window. False: nobody reads it any more.
    pub(super) async fn make_room(&self, window: u64, more: u64, patience: Patience) -> bool {
        loop {
            let (room, closer) = {
                let mut state = self.state.lock();
                state.settle(patience);
                let room = state.try_room(window, more, patience);
                let closer = if state.has_moved { state.closer.take() } else { None };
                // Who was let go goes on by itself.
                let gone = state.seats.values_mut().filter(|seat| seat.is_let_go).filter_map(|seat| seat.waker.take());
                (room, closer.into_iter().chain(gone).collect::<Vec<Waker>>())
            };
            closer.into_iter().for_each(Waker::wake);
            let over = poll_fn(|cx| self.poll_wait(cx));
            match room {
                Room::There => return true,
                Room::Unread(until) => {
                    if timeout_at(until, over).await.is_err() {
                        return false;
                    }
                }
                Room::Wait(None) => over.await,
                // The next look settles what was waited for.
                Room::Wait(Some(until)) => drop(timeout_at(until, over).await),
            }
        }
    }

    fn poll_wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state.lock().wait {
            Some(wait) if !wait.is_over => {
                wait.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Appends what has come, for which there is room.
    pub(super) fn append(&self, data: &[u8]) {
        let mut state = self.state.lock();
        state.add(data);
        wake(state);
    }
}
