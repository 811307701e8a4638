//! One connection: served to its end, ended when its client is too slow, drained when the process stops.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioExecutor;
use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::watch, time::MissedTickBehavior};

/// A client that for so long neither completes a request's head nor takes anything of its answer is let go, after at
/// most twice that.
const SLOW: Duration = Duration::from_secs(30);
/// A connection that was taken while the process stops has so long for its one request.
const LATE: Duration = Duration::from_secs(1);

/// While the process stops, a connection on which nothing happens for so long is not waited for: its client may be
/// frozen, and say no farewell.
const QUIET: Duration = Duration::from_secs(5);

/// What a connection has done so far. Looked at now and then, so that a request costs no timer.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    written: AtomicU64,
    http2: AtomicBool,
}

impl Activity {
    /// A connection that notes what is written to it.
    pub(super) fn watch<I>(io: I) -> (Arc<Self>, Watched<I>) {
        let activity = Arc::new(Self::default());
        (activity.clone(), Watched { io, activity })
    }

    /// Notes that a request's head is complete; dropping what comes back, that its answer's head is there or nobody
    /// waits for it.
    pub(super) fn begin(self: &Arc<Self>, version: http::Version) -> Busy {
        self.begun.fetch_add(1, Relaxed);
        self.http2.fetch_or(version == http::Version::HTTP_2, Relaxed);
        Busy(self.clone())
    }

    /// A number that changes with everything that a client in good faith does; `None` while there is no need to do
    /// anything.
    fn progress(&self) -> Option<u64> {
        let (begun, ended) = (self.begun.load(Relaxed), self.ended.load(Relaxed));
        // HTTP/2 has its own pings, and proxies keep such connections open for hours.
        let waits = begun != ended || self.http2.load(Relaxed);
        (!waits).then(|| begun.wrapping_add(self.written.load(Relaxed)))
    }
}

impl Activity {
    /// A number that changes with everything that happens; `None` while an answer is being made.
    fn rest(&self) -> Option<u64> {
        let (begun, ended) = (self.begun.load(Relaxed), self.ended.load(Relaxed));
        (begun == ended).then(|| begun.wrapping_add(self.written.load(Relaxed)))
    }
}

/// A request whose answer is being made.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

type Connection<'a, I, S> = hyper_util::server::conn::auto::Connection<'a, I, S, TokioExecutor>;

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A head was so large that it was not read to its end, and was answered with 431 for that.
    HeadTooLarge,
    /// In any other way.
    Else,
}

impl Ended {
    fn of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let too_large = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large);
        if too_large { Self::HeadTooLarge } else { Self::Else }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<I, S, B>(
    connection: Connection<'_, I, S>,
    activity: &Activity,
    mut drain: watch::Receiver<bool>,
) -> Ended
where
    I: Read + Write + Unpin + 'static,
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S::Future: 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    TokioExecutor: hyper_util::server::conn::auto::HttpServerConnExec<S::Future, B>,
{
    let mut connection = pin!(connection);
    let late = *drain.borrow();
    let mut stop = pin!(async {
        let _ = drain.wait_for(|drain| *drain).await;
        if late {
            tokio::time::sleep(LATE).await;
        }
    });
    let (mut stopping, mut before) = (false, None);
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + SLOW, SLOW);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut quiet, mut rest) = (tokio::time::interval(QUIET), None);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // An error here is the client's doing (it went away, or spoke no HTTP and was told so): not worth a line each.
            ended = connection.as_mut() => return ended.map_or_else(|error| Ended::of(&*error), |()| Ended::Else),
            () = &mut stop, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
                quiet.reset();
            }
            _ = quiet.tick(), if stopping => {
                let now = activity.rest();
                if now.is_some() && now == rest {
                    return Ended::Else;
                }
                rest = now;
            }
            _ = look.tick() => {
                let now = activity.progress();
                if now.is_some() && now == before {
                    return Ended::Else;
                }
                before = now;
            }
        }
    }
}

/// An I/O object that counts what is written to it.
pub(super) struct Watched<I> {
    io: I,
    activity: Arc<Activity>,
}

impl<I> Watched<I> {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = written {
            self.activity.written.fetch_add(n as u64, Relaxed);
        }
        written
    }
}

impl<I: Read + Unpin> Read for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: Write + Unpin> Write for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.note(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::{rt::TokioIo, server::conn::auto::Builder};
    use std::convert::Infallible;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        task::JoinHandle,
        time::{Instant, sleep},
    };

    /// A connection whose requests are answered after `takes`, with 64 KiB, and what tells it that the process stops.
    fn connect(takes: Duration) -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
        let (client, server) = tokio::io::duplex(1024);
        let (running, drain) = watch::channel(false);
        let task = tokio::spawn(async move {
            let (activity, io) = Activity::watch(TokioIo::new(server));
            let answer = hyper::service::service_fn({
                let activity = activity.clone();
                move |request: http::Request<hyper::body::Incoming>| {
                    let busy = activity.begin(request.version());
                    async move {
                        sleep(takes).await;
                        drop(busy);
                        Ok::<_, Infallible>(http::Response::new(crate::http::body::Body::from(vec![b'x'; 64 * 1024])))
                    }
                }
            });
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().header_read_timeout(None);
            serve(builder.serve_connection(io, answer), &activity, drain).await;
        });
        (client, task, running)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_completes_a_head_is_let_go() {
        for begin in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: h\r\n"] {
            let begun = Instant::now();
            let (mut client, task, _running) = connect(Duration::ZERO);
            client.write_all(begin.as_bytes()).await.unwrap();
            task.await.unwrap();
            assert!((SLOW..=SLOW * 3).contains(&begun.elapsed()), "{begin:?} {:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
        let (mut client, task, _running) = connect(Duration::ZERO);
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        task.await.unwrap();
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_origin_and_a_slow_reader_are_waited_for() {
        let (mut client, _task, _running) = connect(SLOW * 10);
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 64 * 1024];
        for piece in answer.chunks_mut(8192) {
            client.read_exact(piece).await.unwrap();
            sleep(SLOW / 2).await;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_process_stops_a_silent_client_is_not_waited_for_and_an_answer_is() {
        let (mut client, task, running) = connect(Duration::ZERO);
        client.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        sleep(Duration::from_millis(1)).await;
        let begun = Instant::now();
        running.send_replace(true);
        task.await.unwrap();
        assert!(begun.elapsed() <= QUIET * 2, "{:?}", begun.elapsed());
        let (mut client, task, running) = connect(QUIET * 4);
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(1)).await;
        running.send_replace(true);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() > 64 * 1024);
        task.await.unwrap();
    }
}
