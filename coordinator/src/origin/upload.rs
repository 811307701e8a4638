//! A request's body on its way to an origin, with a signal at its end.

use crate::http::body::{Body, Cut};
use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{sync::oneshot, time::sleep};

/// The end of a request's body: the time limit of the response begins there.
pub(super) struct UploadEnd(Option<oneshot::Receiver<()>>);

impl UploadEnd {
    /// Returns the request, and the end of its body.
    pub(super) fn of(request: Request<Body>) -> (Request<Body>, Self) {
        if http_body::Body::is_end_stream(request.body()) {
            return (request, Self(None));
        }
        let (end, ended) = oneshot::channel();
        (request.map(|body| Body::stream(Upload { body, end: Some(end) })), Self(Some(ended)))
    }

    /// Waits for the last byte, and then for this long.
    pub(super) async fn then(self, limit: Duration) {
        if let Some(ended) = self.0 {
            // Dropping the body closes the channel: that is the signal.
            let _ = ended.await;
        }
        sleep(limit).await;
    }
}

struct Upload {
    body: Body,
    end: Option<oneshot::Sender<()>>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            this.end = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
