//! A request whose end somebody wants to know of: the access log, or its trace.

use crate::{
    http::body::{Body, Cut},
    settings::Port,
    telemetry::request_end::{RequestEnds, UnfinishedRequest},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Answers a request by `answer`, and tells those who want to know of its end, however it comes. None: nobody does.
pub(super) async fn watched<B, F: Future<Output = Response<Body>>>(
    ends: Option<&Arc<RequestEnds>>,
    port: Port,
    request: Request<B>,
    answer: impl FnOnce(Request<B>) -> F,
) -> Response<Body> {
    let begun = ends.filter(|ends| ends.is_needed()).map(|ends| ends.begin(port, &request));
    // Pinned and not moved: such futures are large.
    let answer = pin!(answer(request));
    let Some((current, unfinished)) = begun else { return answer.await };
    let response = current.scope(answer).await;
    let Some(mut unfinished) = unfinished else { return response };
    unfinished.record_head(&response);
    response.map(|body| Body::stream(WatchedBody { body, unfinished }))
}

/// A body that counts its bytes until it is dropped.
struct WatchedBody {
    body: Body,
    unfinished: UnfinishedRequest,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => this.unfinished.count_bytes(frame.data_ref().map_or(0, Bytes::len)),
            None => this.unfinished.complete(),
            Some(Err(_)) => {}
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

impl Drop for WatchedBody {
    fn drop(&mut self) {
        // A server that knows the length does not ask for the end.
        if self.body.is_end_stream() {
            self.unfinished.complete();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::request_end::{RequestEnd, RequestListener};
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<RequestEnd>>);

    impl RequestListener for Kept {
        fn ended(&self, request: &RequestEnd) {
            self.0.lock().push(request.clone());
        }
    }

    /// Returns the one record of a request that is answered and then read so.
    async fn record(answer: impl Future<Output = Response<Body>>, read: impl AsyncFnOnce(Body)) -> RequestEnd {
        let kept = Arc::new(Kept::default());
        let ends = RequestEnds::new(vec![kept.clone()], None, false, None);
        let request = Request::builder()
            .uri("http://h/a")
            .header("traceparent", "00-0000000000000000000000000000000a-000000000000000b-01");
        let response = watched(ends.as_ref(), Port::Data, request.body(()).unwrap(), |_| answer);
        if let Ok(response) = tokio::time::timeout(std::time::Duration::from_secs(1), response).await {
            assert!(kept.0.lock().is_empty(), "it goes on");
            read(response.into_body()).await;
        }
        let mut kept = kept.0.lock();
        assert_eq!(kept.len(), 1);
        kept.remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_ends_once_with_its_body_or_when_its_client_leaves() {
        let answered = || async { Response::new(Body::from("12345")) };
        let whole =
            record(answered(), async |body| assert_eq!(body.collect().await.unwrap().to_bytes(), "12345")).await;
        assert_eq!((whole.status.unwrap().as_u16(), whole.bytes, whole.is_complete), (200, 5, true));
        assert!(whole.to_head.unwrap() <= whole.took);
        assert_eq!(whole.trace.unwrap().trace, 10, "the client's, though nothing is recorded");
        let dropped = record(answered(), async |body| drop(body)).await;
        assert_eq!((dropped.status.unwrap().as_u16(), dropped.bytes, dropped.is_complete), (200, 0, false));
        let empty = record(async { Response::new(Body::empty()) }, async |body| drop(body)).await;
        assert!(empty.is_complete, "there is nothing to read");
        // As hyper does with HTTP/1.1: it asks for no more than the length that it has sent.
        for (read, is_complete) in [(2, true), (1, false)] {
            let late = async {
                let pieces = futures_util::stream::iter(["123", "45"]).map(|piece| Ok(Frame::data(piece.into())));
                let mut response = Response::new(Body::stream(StreamBody::new(pieces)));
                response.headers_mut().insert("content-length", 5.into());
                response
            };
            let told = record(late, async |mut body| {
                for _ in 0..read {
                    body.frame().await.unwrap().unwrap();
                }
                assert!(!body.is_end_stream(), "it does not know yet");
            });
            assert_eq!(told.await.is_complete, is_complete, "{read}");
        }
        let left = record(std::future::pending(), async |_| {}).await;
        assert_eq!((left.status, left.to_head, left.is_complete), (None, None, false));
    }

    #[tokio::test]
    async fn a_request_that_nobody_wants_to_know_of_is_left_as_it_is() {
        assert!(RequestEnds::new(Vec::new(), None, false, None).is_none());
        let response = watched(None, Port::Data, Request::new(()), |_| async { Response::new(Body::from("1")) }).await;
        assert!(matches!(response.into_body(), Body::Full(_)), "no wrapper");
    }
}
