//! An answer's body as it comes: cut where it breaks off or pauses for too long.

use crate::{
    http::body::Cut,
    origin::{Failure, connection::Stream},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// A body that may pause only for so long, if there is a limit.
pub(crate) struct Paced {
    body: Incoming,
    pause: Option<Duration>,
    // Made when the body first keeps us waiting: most bodies are there with their heads.
    alarm: Option<Pin<Box<Sleep>>>,
    // Whoever takes a piece and is slow to ask for the next makes that pause itself: only while this is set does the
    // alarm count.
    waits: bool,
    // On an HTTP/2 connection: what counts there until the body is through.
    stream: Option<Stream>,
}

impl Paced {
    pub(crate) fn new(body: Incoming, pause: impl Into<Option<Duration>>) -> Self {
        Self { body, pause: pause.into(), alarm: None, waits: false, stream: None }
    }

    /// The same body, on this stream of a connection to an origin.
    pub(super) fn on(self, stream: Option<Stream>) -> Self {
        Self { stream, ..self }
    }

    /// The same body, as it goes on to one client: with another limit, or none.
    pub(crate) fn pausing(self, pause: Option<Duration>) -> Self {
        Self { pause, alarm: None, waits: false, ..self }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = self.pause else { return Poll::Pending };
        let end = || Instant::now() + pause;
        if !std::mem::replace(&mut self.waits, true)
            && let Some(alarm) = &mut self.alarm
        {
            alarm.as_mut().reset(end());
        }
        self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end()))).as_mut().poll(cx)
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waits = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut(Failure::IncompleteBody.label()))));
        }
        ready!(this.is_late(cx));
        if let Some(stream) = this.stream.take() {
            stream.retire();
        }
        Poll::Ready(Some(Err(Cut(Failure::Timeout.label()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
