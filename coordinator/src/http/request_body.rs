//! Bodies of control calls while they are read. What has not come to its end is bounded: of one, of one connection, of
//! all.

use crate::{
    http::{
        body::Body,
        byte_budget::{ByteBudget, ByteReservation},
        reply::{text, with},
    },
    telemetry::{limits::Limit, metrics::Metrics},
};
use bytes::Bytes as Piece;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// What a body may take by itself. A longer one waits for a place among [`LONG`].
const EACH: usize = 64 * 1024;
/// So many longer ones are read at once.
const LONG: usize = 8;
/// Of bodies that anybody may send, and again of those of whoever has a token: 16 MiB in all.
const ALL: u64 = 8 << 20;
/// How long a body may take.
const SLOW: Duration = Duration::from_secs(10);
/// Bodies that are read at once on one connection. Those above it wait for a moment: who sends in good faith has sent
/// them with their heads.
const STREAMS: usize = 16;
const MOMENT: Duration = Duration::from_secs(1);
/// What is taken first.
const FIRST: usize = 4096;

/// The bodies that are being read on one connection: rides on its requests.
#[derive(Clone)]
pub(crate) struct Reading(Arc<Semaphore>);

impl Reading {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

/// Those of one kind of ports.
pub(crate) struct Unread {
    room: Arc<ByteBudget>,
    long: Semaphore,
    metrics: Arc<Metrics>,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is longer than this.
    TooLong(usize),
    /// It broke off.
    Broken,
    /// It takes too long.
    Slow,
    /// There are too many others.
    Full(Limit),
}

impl Unreadable {
    /// What its sender is told.
    pub(crate) fn answer(&self) -> (StatusCode, String) {
        match self {
            Self::TooLong(longest) => {
                (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {} KiB\n", longest / 1024))
            }
            Self::Broken => (StatusCode::BAD_REQUEST, "the body broke off\n".into()),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {} s\n", SLOW.as_secs())),
            Self::Full(Limit::BodiesOfConnection) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("more than {STREAMS} bodies on this connection have not come to their end\n"),
            ),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many bodies have not come to their end\n".into()),
        }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let (status, why) = self.answer();
        let response = text(status, why);
        if matches!(self, Self::Full(_)) { with(response, header::RETRY_AFTER, "1") } else { response }
    }

    const fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooLong(_) => Some(Limit::BodyLength),
            Self::Broken => None,
            Self::Slow => Some(Limit::BodyTime),
            Self::Full(limit) => Some(*limit),
        }
    }
}

impl Unread {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { room: ByteBudget::new(ALL), long: Semaphore::new(LONG), metrics }
    }

    /// A call's whole body.
    pub(crate) async fn whole<B: http_body::Body<Data = Piece> + Unpin>(
        &self,
        request: Request<B>,
        longest: usize,
    ) -> Result<Vec<u8>, Unreadable> {
        let end = Instant::now() + SLOW;
        let (mut head, body) = request.into_parts();
        let read = async {
            let reading = head.extensions.remove::<Reading>();
            let _stream = match &reading {
                Some(Reading(streams)) => Some(
                    timeout_at(Instant::now() + MOMENT, streams.acquire())
                        .await
                        .ok()
                        .and_then(Result::ok)
                        .ok_or(Unreadable::Full(Limit::BodiesOfConnection))?,
                ),
                None => None,
            };
            self.read(body, longest).await
        };
        let read = timeout_at(end, read).await.unwrap_or(Err(Unreadable::Slow));
        if let Some(limit) = read.as_ref().err().and_then(Unreadable::limit) {
            self.metrics.met(limit);
        }
        read
    }

    async fn read<B: http_body::Body<Data = Piece> + Unpin>(
        &self,
        mut body: B,
        longest: usize,
    ) -> Result<Vec<u8>, Unreadable> {
        if body.size_hint().lower() > longest as u64 {
            return Err(Unreadable::TooLong(longest));
        }
        let (mut all, mut taken) = (Vec::new(), self.room.take());
        let mut _long = None;
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| Unreadable::Broken)?.into_data() else { continue };
            let length = all.len().saturating_add(piece.len());
            if length > longest {
                return Err(Unreadable::TooLong(longest));
            }
            if length > EACH && _long.is_none() {
                _long = Some(self.long.acquire().await.map_err(|_| Unreadable::Full(Limit::Bodies))?);
            }
            make_room(&mut all, &mut taken, length)?;
            // A piece may hold a network buffer many times its size: it is copied, and free again.
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.room.used()
    }
}

fn make_room(all: &mut Vec<u8>, taken: &mut ByteReservation, length: usize) -> Result<(), Unreadable> {
    if length <= all.capacity() {
        return Ok(());
    }
    let capacity = length.max(all.capacity().saturating_mul(2)).max(FIRST);
    if !taken.grow(capacity as u64) {
        return Err(Unreadable::Full(Limit::Bodies));
    }
    all.reserve_exact(capacity.saturating_sub(all.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;
    use tokio::sync::mpsc;

    fn unread() -> (Arc<Metrics>, Arc<Unread>) {
        let metrics = Metrics::new().unwrap();
        (metrics.clone(), Arc::new(Unread::new(metrics)))
    }

    fn unfinished(
        first: usize,
    ) -> (mpsc::Sender<()>, Request<impl http_body::Body<Data = Piece, Error = Infallible> + Unpin + Send>) {
        let (open, mut end) = mpsc::channel::<()>(1);
        let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Piece::from(vec![b'x'; first])))]);
        let never = futures_util::stream::poll_fn(move |cx| end.poll_recv(cx).map(|_| None));
        (open, Request::new(StreamBody::new(futures_util::StreamExt::chain(first, never))))
    }

    fn met(metrics: &Metrics, limit: &str) -> bool {
        let page = String::from_utf8(metrics.page().unwrap()).unwrap();
        !page.contains(&format!("meshcache_limits_met_total{{limit=\"{limit}\"}} 0\n"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_refused_after_ten_seconds_and_its_room_is_free() {
        let (metrics, unread) = unread();
        let begun = Instant::now();
        let (_open, request) = unfinished(100);
        assert_eq!(unread.whole(request, 512 * 1024).await, Err(Unreadable::Slow));
        assert_eq!((begun.elapsed(), unread.used()), (Duration::from_secs(10), 0));
        assert!(met(&metrics, "body-time") && !met(&metrics, "bodies"));
    }

    #[tokio::test(start_paused = true)]
    async fn unfinished_bodies_take_no_more_than_there_is_for_all() {
        let (metrics, unread) = unread();
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let unread = unread.clone();
                tokio::spawn(async move {
                    let (_open, request) = unfinished(EACH);
                    unread.whole(request, 512 * 1024).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(unread.used(), ALL);
        let mut full = 0;
        for task in tasks {
            full += usize::from(task.await.unwrap() == Err(Unreadable::Full(Limit::Bodies)));
        }
        assert_eq!((full, unread.used()), (1000 - ALL as usize / EACH, 0));
        assert!(met(&metrics, "bodies"));
        assert_eq!(unread.whole(Request::new(Full::from("a")), 10).await, Ok(b"a".to_vec()), "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_wait_for_each_other_and_short_ones_do_not_wait_for_them() {
        let (_, unread) = unread();
        let long: Vec<_> = (0..LONG)
            .map(|_| {
                let unread = unread.clone();
                tokio::spawn(async move {
                    let (_open, request) = unfinished(EACH + 1);
                    unread.whole(request, 512 * 1024).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        assert_eq!(
            unread.whole(Request::new(Full::from(vec![b'a'; EACH])), 512 * 1024).await.map(|all| all.len()),
            Ok(EACH)
        );
        assert!(begun.elapsed().is_zero());
        assert_eq!(
            unread.whole(Request::new(Full::from(vec![b'a'; EACH + 1])), 512 * 1024).await.map(|all| all.len()),
            Ok(EACH + 1)
        );
        assert_eq!(begun.elapsed(), SLOW - Duration::from_secs(1));
        for task in long {
            assert_eq!(task.await.unwrap(), Err(Unreadable::Slow));
        }
        assert_eq!(unread.whole(Request::new(Full::from("abc")), 2).await, Err(Unreadable::TooLong(2)));
    }
}
