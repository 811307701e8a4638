//! The one who fills a growing body.

use crate::http::{
    body::Cut,
    byte_budget::ByteReservation,
    growing::{growing_body::GrowingBody, memory::Memory, room::Patience, state::End},
};
use bytes::Bytes;
use http_body::Body;
use std::{future::poll_fn, pin::Pin, sync::Arc};

/// The end of a body that nobody reads.
pub(crate) const UNREAD: Cut = Cut("unread");

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
    /// Returns the body that it goes on with.
    pub(crate) fn body(&self) -> &Arc<GrowingBody> {
        self.filling.body()
    }

    /// Streams it on until its end, or until nobody reads it any more. No more than a window is kept; none: than is now.
    pub(crate) async fn stream(self, window: Option<u64>, patience: Patience) {
        let Self { filling, next } = self;
        let window = window.unwrap_or(filling.limit);
        filling.pass_on(next, window, patience).await;
    }
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin> Filling<B> {
    /// Streams a body of which no more than a window is kept from the beginning.
    pub(crate) async fn stream(self, window: u64, patience: Patience) {
        self.pass_on([], window, patience).await;
    }

    async fn pass_on<const N: usize>(mut self, next: [Bytes; N], window: u64, patience: Patience) {
        let mut next = next.into_iter();
        loop {
            let frame = match next.next() {
                Some(data) => Some(Ok(data)),
                None => self.frame().await,
            };
            let end = match frame {
                Some(Ok(data)) if self.body.make_room(window, data.len() as u64, patience).await => {
                    self.body.append(&data);
                    continue;
                }
                Some(Ok(_)) => End::Cut(UNREAD),
                Some(Err(cut)) => End::Cut(cut),
                None => End::Complete,
            };
            return self.body.end(end);
        }
    }
}
