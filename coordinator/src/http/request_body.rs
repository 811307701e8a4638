//! Bodies of control calls while they are read. Unfinished bodies are bounded: each one, per connection, and in all.

use crate::{
    http::{
        body::Body,
        byte_budget::{ByteBudget, ByteReservation},
        reply::{text, with_field},
    },
    telemetry::{limits::ProcessLimit, metrics::Metrics},
};
use bytes::Bytes as Piece;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// The bytes of a body that needs no turn among [`MAX_LONG_BODIES`].
const SHORT_BODY: usize = 64 * 1024;
/// Longer bodies that are read at once.
const MAX_LONG_BODIES: usize = 8;
/// The bytes of unfinished bodies without a token, and again of bodies with one: 16 MiB in all.
const MAX_BYTES: u64 = 8 << 20;
/// The time limit for one body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bodies that are read at once on one connection. Others wait up to [`TURN_TIMEOUT`]: a well-behaved client sends them
/// right after their heads.
const MAX_BODIES_OF_CONNECTION: usize = 16;
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// The first allocation of a body.
const INITIAL_CAPACITY: usize = 4096;

/// The bodies that are being read on one connection: an extension of its requests.
#[derive(Clone)]
pub(crate) struct ConnectionBodies(Arc<Semaphore>);

impl ConnectionBodies {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BODIES_OF_CONNECTION)))
    }
}

/// The reader of bodies, with its limits, for one kind of port.
pub(crate) struct ControlBodies {
    budget: Arc<ByteBudget>,
    long: Semaphore,
    metrics: Arc<Metrics>,
}

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than this many bytes.
    TooLong(usize),
    /// It broke off.
    Broken,
    /// It took too long.
    Slow,
    /// A limit on all bodies is reached.
    Full(ProcessLimit),
}

impl BodyError {
    /// Returns the status and the text for the client.
    pub(crate) fn message(&self) -> (StatusCode, String) {
        match self {
            Self::TooLong(max_length) => {
                (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {} KiB\n", max_length / 1024))
            }
            Self::Broken => (StatusCode::BAD_REQUEST, "the body broke off\n".into()),
            Self::Slow => {
                (StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} s\n", BODY_TIMEOUT.as_secs()))
            }
            Self::Full(ProcessLimit::BodiesOfConnection) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("more than {MAX_BODIES_OF_CONNECTION} unfinished bodies on this connection\n"),
            ),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many unfinished bodies\n".into()),
        }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let (status, why) = self.message();
        let response = text(status, why);
        if matches!(self, Self::Full(_)) { with_field(response, header::RETRY_AFTER, "1") } else { response }
    }

    const fn limit(&self) -> Option<ProcessLimit> {
        match self {
            Self::TooLong(_) => Some(ProcessLimit::BodyLength),
            Self::Broken => None,
            Self::Slow => Some(ProcessLimit::BodyTime),
            Self::Full(limit) => Some(*limit),
        }
    }
}

impl ControlBodies {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { budget: ByteBudget::new(MAX_BYTES), long: Semaphore::new(MAX_LONG_BODIES), metrics }
    }

    /// Reads a whole body of at most `max_length` bytes.
    pub(crate) async fn read<B: http_body::Body<Data = Piece> + Unpin>(
        &self,
        request: Request<B>,
        max_length: usize,
    ) -> Result<Vec<u8>, BodyError> {
        let end = Instant::now() + BODY_TIMEOUT;
        let (mut head, body) = request.into_parts();
        let read = async {
            let reading = head.extensions.remove::<ConnectionBodies>();
            let _stream = match &reading {
                Some(ConnectionBodies(streams)) => Some(
                    timeout_at(Instant::now() + TURN_TIMEOUT, streams.acquire())
                        .await
                        .ok()
                        .and_then(Result::ok)
                        .ok_or(BodyError::Full(ProcessLimit::BodiesOfConnection))?,
                ),
                None => None,
            };
            self.read_body(body, max_length).await
        };
        let read = timeout_at(end, read).await.unwrap_or(Err(BodyError::Slow));
        if let Some(limit) = read.as_ref().err().and_then(BodyError::limit) {
            self.metrics.count_limit_reached(limit);
        }
        read
    }

    async fn read_body<B: http_body::Body<Data = Piece> + Unpin>(
        &self,
        mut body: B,
        max_length: usize,
    ) -> Result<Vec<u8>, BodyError> {
        if body.size_hint().lower() > max_length as u64 {
            return Err(BodyError::TooLong(max_length));
        }
        let (mut all, mut reservation) = (Vec::new(), self.budget.reserve());
        let mut _long = None;
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            let length = all.len().saturating_add(piece.len());
            if length > max_length {
                return Err(BodyError::TooLong(max_length));
            }
            if length > SHORT_BODY && _long.is_none() {
                _long = Some(self.long.acquire().await.map_err(|_| BodyError::Full(ProcessLimit::Bodies))?);
            }
            reserve(&mut all, &mut reservation, length)?;
            // A piece may hold a network buffer of many times its size: it is copied, and the buffer is free again.
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.budget.used()
    }
}

fn reserve(all: &mut Vec<u8>, reservation: &mut ByteReservation, length: usize) -> Result<(), BodyError> {
    if length <= all.capacity() {
        return Ok(());
    }
    let capacity = length.max(all.capacity().saturating_mul(2)).max(INITIAL_CAPACITY);
    if !reservation.grow(capacity as u64) {
        return Err(BodyError::Full(ProcessLimit::Bodies));
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

    fn bodies() -> (Arc<Metrics>, Arc<ControlBodies>) {
        let metrics = Metrics::new().unwrap();
        (metrics.clone(), Arc::new(ControlBodies::new(metrics)))
    }

    fn unfinished(
        first: usize,
    ) -> (mpsc::Sender<()>, Request<impl http_body::Body<Data = Piece, Error = Infallible> + Unpin + Send>) {
        let (open, mut end) = mpsc::channel::<()>(1);
        let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Piece::from(vec![b'x'; first])))]);
        let never = futures_util::stream::poll_fn(move |cx| end.poll_recv(cx).map(|_| None));
        (open, Request::new(StreamBody::new(futures_util::StreamExt::chain(first, never))))
    }

    fn is_reached(metrics: &Metrics, limit: &str) -> bool {
        let page = String::from_utf8(metrics.page().unwrap()).unwrap();
        !page.contains(&format!("meshcache_limits_met_total{{limit=\"{limit}\"}} 0\n"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_refused_after_ten_seconds_and_its_bytes_are_free() {
        let (metrics, bodies) = bodies();
        let begun = Instant::now();
        let (_open, request) = unfinished(100);
        assert_eq!(bodies.read(request, 512 * 1024).await, Err(BodyError::Slow));
        assert_eq!((begun.elapsed(), bodies.used()), (Duration::from_secs(10), 0));
        assert!(is_reached(&metrics, "body-time") && !is_reached(&metrics, "bodies"));
    }

    #[tokio::test(start_paused = true)]
    async fn unfinished_bodies_take_no_more_than_the_budget() {
        let (metrics, bodies) = bodies();
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let bodies = bodies.clone();
                tokio::spawn(async move {
                    let (_open, request) = unfinished(SHORT_BODY);
                    bodies.read(request, 512 * 1024).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(bodies.used(), MAX_BYTES);
        let mut full = 0;
        for task in tasks {
            full += usize::from(task.await.unwrap() == Err(BodyError::Full(ProcessLimit::Bodies)));
        }
        assert_eq!((full, bodies.used()), (1000 - MAX_BYTES as usize / SHORT_BODY, 0));
        assert!(is_reached(&metrics, "bodies"));
        assert_eq!(bodies.read(Request::new(Full::from("a")), 10).await, Ok(b"a".to_vec()), "there is budget again");
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_wait_for_each_other_and_short_ones_do_not_wait_for_them() {
        let (_, bodies) = bodies();
        let long: Vec<_> = (0..MAX_LONG_BODIES)
            .map(|_| {
                let bodies = bodies.clone();
                tokio::spawn(async move {
                    let (_open, request) = unfinished(SHORT_BODY + 1);
                    bodies.read(request, 512 * 1024).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        assert_eq!(
            bodies.read(Request::new(Full::from(vec![b'a'; SHORT_BODY])), 512 * 1024).await.map(|all| all.len()),
            Ok(SHORT_BODY)
        );
        assert!(begun.elapsed().is_zero());
        assert_eq!(
            bodies.read(Request::new(Full::from(vec![b'a'; SHORT_BODY + 1])), 512 * 1024).await.map(|all| all.len()),
            Ok(SHORT_BODY + 1)
        );
        assert_eq!(begun.elapsed(), BODY_TIMEOUT - Duration::from_secs(1));
        for task in long {
            assert_eq!(task.await.unwrap(), Err(BodyError::Slow));
        }
        assert_eq!(bodies.read(Request::new(Full::from("abc")), 2).await, Err(BodyError::TooLong(2)));
    }
}
