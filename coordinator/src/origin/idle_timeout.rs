//! A response's body with an idle timeout.

use crate::{
    http::body::Cut,
    origin::{
        failure::{Failure, causes},
        response_body::ResponseBody,
    },
    telemetry::trace::OpenSpan,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// A body that ends with an error where it breaks off, or pauses for longer than its idle timeout.
pub(crate) struct IdleTimeoutBody {
    body: ResponseBody,
    timeout: Option<Duration>,
    // Made at the first wait: most bodies are there with their heads.
    alarm: Option<Pin<Box<Sleep>>>,
    // Whether the body is being waited for. A reader that is slow to poll makes a pause of its own, which does not
    // count.
    is_waiting: bool,
    // It broke off, and the other side did not say so.
    is_lost: bool,
    // The span of the request, which ends with its response's body.
    span: Option<OpenSpan>,
}

impl IdleTimeoutBody {
    pub(crate) fn new(body: impl Into<ResponseBody>, timeout: impl Into<Option<Duration>>) -> Self {
        Self { body: body.into(), timeout: timeout.into(), alarm: None, is_waiting: false, is_lost: false, span: None }
    }

    /// Ends a span with the body.
    pub(super) fn in_span(self, span: Option<OpenSpan>) -> Self {
        Self { span, ..self }
    }

    /// Sets another idle timeout, or none, for a body that goes on to one client.
    pub(crate) fn with_idle_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout, alarm: None, is_waiting: false, ..self }
    }

    /// Returns whether it broke off with its connection or fell silent: its sender did not reset this body alone.
    pub(crate) fn has_lost_connection(&self) -> bool {
        self.is_lost
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let end = || Instant::now() + timeout;
        if !std::mem::replace(&mut self.is_waiting, true)
            && let Some(alarm) = &mut self.alarm
        {
            alarm.as_mut().reset(end());
        }
        self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end()))).as_mut().poll(cx)
    }
}

/// Whether the other side ended one stream of HTTP/2.
fn is_reset(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<h2::Error>().is_some_and(|h2| h2.is_reset() && h2.is_remote())
}

impl Body for IdleTimeoutBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.is_waiting = false;
            if let Some(Err(error)) = &frame {
                this.is_lost = !causes(error).any(is_reset);
            }
            if let (Some(span), Some(Err(_))) = (&mut this.span, &frame) {
                span.fail(Failure::IncompleteBody.label());
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut(Failure::IncompleteBody.label()))));
        }
        ready!(this.poll_timeout(cx));
        this.is_lost = true;
        if let Some(span) = &mut this.span {
            span.fail(Failure::Timeout.label());
        }
        this.body.retire();
        Poll::Ready(Some(Err(Cut(Failure::Timeout.label()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
