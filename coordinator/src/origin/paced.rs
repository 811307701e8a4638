//! An answer's body as it comes: cut where it breaks off or pauses for too long.

use super::Failure;
use crate::body::Cut;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// A body that may pause only for so long.
pub(crate) struct Paced {
    body: Incoming,
    pause: Duration,
    // Made when the body first keeps us waiting: most bodies are there with their heads.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    pub(crate) fn new(body: Incoming, pause: Duration) -> Self {
        Self { body, pause, alarm: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(alarm) = &mut this.alarm {
                alarm.as_mut().reset(Instant::now() + this.pause);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut(Failure::IncompleteBody.label()))));
        }
        let pause = this.pause;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep(pause)));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Some(Err(Cut(Failure::Timeout.label()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
