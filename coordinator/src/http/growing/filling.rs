//! The one who fills a growing body.

use crate::http::{
    body::Cut,
    byte_budget::ByteReservation,
    growing::{
        growing_body::{End, GrowingBody, wake},
        memory::Memory,
    },
};
use bytes::Bytes;
use http_body::Body;
use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The rest of a body on its way to those who read it, and into the store. Dropped before its end, it cuts the readers
/// off.
pub(crate) struct Filling<B> {
    rest: B,
    limit: u64,
    body: Arc<GrowingBody>,
}

/// How filling ended.
pub(crate) enum Filled<B> {
    /// The body is whole. Its readers have its end with [`GrowingBody::complete`].
    Whole(Filling<B>, Bytes),
    /// It broke off. Its readers were told.
    Cut(Cut),
    /// It is larger than the limit.
    TooLarge(Overflow<B>),
    /// The budget has no bytes left, and no more than it has is kept.
    OverBudget(Overflow<B>),
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin> Filling<B> {
    /// `received`: what has come so far. `limit`: the most bytes that are kept.
    pub(crate) fn new(
        received: impl IntoIterator<Item = Bytes>,
        rest: B,
        length: Option<u64>,
        limit: u64,
        reservation: ByteReservation,
    ) -> Self {
        let kept = length.filter(|length| *length <= limit).and_then(|length| usize::try_from(length).ok());
        Self { rest, limit, body: GrowingBody::new(received, length, kept.map(Memory::new), reservation) }
    }

    /// Returns the body that it fills.
    pub(crate) fn body(&self) -> &Arc<GrowingBody> {
        &self.body
    }

    /// Reads the rest, as fast as it comes. Trailers are left out (RFC 9111 section 3.1).
    pub(crate) async fn fill(mut self) -> Filled<B> {
        // What may be the last piece goes to readers when the body is known to be whole, and in the store.
        let mut last = Bytes::new();
        loop {
            match self.frame().await {
                None => {
                    let whole = self.body.concat(&last);
                    return Filled::Whole(self, whole);
                }
                Some(Err(cut)) => {
                    self.body.end(End::Cut(cut.clone()));
                    return Filled::Cut(cut);
                }
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    let len = self.body.state.lock().len.saturating_add((last.len() + data.len()) as u64);
                    if len > self.limit {
                        return Filled::TooLarge(Overflow { filling: self, next: [last, data] });
                    }
                    if self.body.length == Some(len) {
                        last = data;
                    } else if !self.body.push(&data) {
                        self.limit = self.body.state.lock().len;
                        return Filled::OverBudget(Overflow { filling: self, next: [last, data] });
                    }
                }
            }
        }
    }

    async fn frame(&mut self) -> Option<Result<Bytes, Cut>> {
        let frame = poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

impl<B> Drop for Filling<B> {
    fn drop(&mut self) {
        if matches!(self.body.state.lock().end, End::Open) {
            self.body.end(End::Cut(Cut("internal")));
        }
    }
}

/// A body that is not kept any more: it streams on to those who read it already.
pub(crate) struct Overflow<B> {
    filling: Filling<B>,
    next: [Bytes; 2],
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin> Overflow<B> {
    /// Streams it on until its end, or until nobody reads it any more. No more than the limit is kept: then the slowest
    /// reader sets the pace, and one that takes nothing for `patience` is let go.
    pub(crate) async fn stream(self, patience: Duration) {
        let Self { mut filling, next } = self;
        for data in next {
            if !filling.pass_on(&data, patience).await {
                return;
            }
        }
        loop {
            let end = match filling.frame().await {
                Some(Ok(data)) if filling.pass_on(&data, patience).await => continue,
                Some(Ok(_)) => return,
                Some(Err(cut)) => End::Cut(cut),
                None => End::Complete,
            };
            return filling.body.end(end);
        }
    }
}

impl<B> Filling<B> {
    /// False: nobody reads it any more.
    async fn pass_on(&mut self, data: &Bytes, patience: Duration) -> bool {
        let window = self.limit.saturating_sub(data.len() as u64);
        loop {
            match timeout(patience, poll_fn(|cx| self.body.poll_room(window, cx))).await {
                Ok(true) => {
                    let mut state = self.body.state.lock();
                    state.add(data);
                    wake(state);
                    return true;
                }
                Ok(false) => return false,
                Err(_) => self.body.let_go_of_the_slowest(),
            }
        }
    }
}
