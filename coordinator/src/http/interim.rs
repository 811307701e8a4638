//! Interim answers (1xx) of an origin on their way to a client: hyper's server knows none, so they are written between
//! two of its answers.
//!
//! HTTP/1.1 only: one request at a time is answered there, and until its answer begins the connection is free.

use http::{HeaderMap, StatusCode};
use hyper::rt::{Read, ReadBufCursor, Write};
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::sync::Notify;

/// What waits to be written on one connection is no longer than this: more is left out.
const MOST: usize = 16 * 1024;

tokio::task_local! {
    /// Where those go to the request that is being answered. Known without a place in the request: most need none, and each has its price.
    static ANSWERED: Interim;
}

/// The interim answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Interims {
    state: Mutex<State>,
    waits: AtomicBool,
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The request that is being answered, counted from 1; 0: none.
    answering: u64,
    last: u64,
    text: Vec<u8>,
}

/// Where the interim answers to one request go. After its answer has begun, nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Interim {
    to: Arc<Interims>,
    request: u64,
}

impl Interims {
    /// A connection that writes them.
    pub(crate) fn watch<I>(io: I) -> (Arc<Self>, Between<I>) {
        let interims = Arc::new(Self::default());
        (interims.clone(), Between { io, interims, is_between: true, text: Vec::new(), written: 0 })
    }

    /// A request whose answer is made from now on.
    pub(crate) fn begin(self: &Arc<Self>) -> Answering {
        let mut state = self.state.lock();
        state.last += 1;
        state.answering = state.last;
        Answering(Interim { to: self.clone(), request: state.last })
    }

    fn take(&self) -> Vec<u8> {
        self.waits.store(false, Relaxed);
        std::mem::take(&mut self.state.lock().text)
    }
}

impl Interim {
    /// Where those go to the request that is being answered, if anywhere.
    pub(crate) fn current() -> Option<Self> {
        ANSWERED.try_with(Self::clone).ok()
    }

    /// Sends one, for the client to see before its answer.
    pub(crate) fn send(&self, status: StatusCode, headers: &HeaderMap) {
        let mut text =
            format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default()).into_bytes();
        for (name, value) in headers {
            text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        text.extend(b"\r\n");
        let mut state = self.to.state.lock();
        if state.answering == self.request && state.text.len() + text.len() <= MOST {
            state.text.extend(text);
            self.to.waits.store(true, Relaxed);
            self.to.came.notify_one();
        }
    }
}

/// A request that is being answered: dropped when its answer begins.
pub(crate) struct Answering(Interim);

impl Answering {
    /// The answer; meanwhile whoever waits for it is woken for each interim one, and so writes it. It stays where it
    /// is: such futures are large.
    pub(crate) async fn until<T>(self, mut answer: Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            tokio::select! {
                biased;
                answer = poll_fn(|cx| ANSWERED.sync_scope(self.0.clone(), || answer.as_mut().poll(cx))) => return answer,
                () = self.0.to.came.notified() => {}
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.to.state.lock().answering = 0;
    }
}

/// An I/O object that writes interim answers where no other is half written.
pub(crate) struct Between<I> {
    io: I,
    interims: Arc<Interims>,
    /// Whether hyper has written all that it had: it flushes when there is no more of it.
    is_between: bool,
    text: Vec<u8>,
    written: usize,
}

impl<I: Write + Unpin> Between<I> {
    /// Writes what waits, whole.
    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.text.get(self.written..) {
                None | Some([]) if !self.interims.waits.load(Relaxed) => return Poll::Ready(Ok(())),
                None | Some([]) => (self.text, self.written) = (self.interims.take(), 0),
                Some(rest) => match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    n => self.written += n,
                },
            }
        }
    }

    /// Before a write of hyper's: what waits comes first. In the middle of an answer nobody can tell where that ends:
    /// then it is left out.
    fn poll_before(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_between {
            ready!(self.poll_interims(cx))?;
            self.is_between = false;
        } else if self.interims.waits.load(Relaxed) {
            self.interims.take();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: Read + Unpin> Read for Between<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: Write + Unpin> Write for Between<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_before(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_between = true;
        ready!(self.poll_interims(cx))?;
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
        ready!(self.poll_before(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::Body;
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        sync::mpsc,
    };

    const SIZE: usize = 5000;

    /// A connection with a pipe of so many bytes; each request comes out with where its interim answers go, and is
    /// answered when that is sent back.
    fn connect(pipe: usize) -> (DuplexStream, mpsc::UnboundedReceiver<(Interim, tokio::sync::oneshot::Sender<()>)>) {
        let (client, server) = tokio::io::duplex(pipe);
        let (asked, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (interims, io) = Interims::watch(TokioIo::new(server));
            let answer = hyper::service::service_fn(move |_: http::Request<hyper::body::Incoming>| {
                let (answering, (go, gone)) = (interims.begin(), tokio::sync::oneshot::channel());
                asked.send((answering.0.clone(), go)).unwrap();
                async move {
                    let answer = std::pin::pin!(async move {
                        let _ = gone.await;
                        Ok::<_, Infallible>(http::Response::new(Body::from(vec![b'x'; SIZE])))
                    });
                    answering.until(answer).await
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await;
        });
        (client, requests)
    }

    fn hint(interim: &Interim, n: usize) {
        interim.send(
            StatusCode::EARLY_HINTS,
            &HeaderMap::from_iter([(http::header::LINK, n.to_string().parse().unwrap())]),
        );
    }

    async fn read_until(client: &mut DuplexStream, end: &str) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            all.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn they_are_seen_before_the_answer_in_their_order() {
        let (mut client, mut requests) = connect(1 << 16);
        for _ in 0..2 {
            client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
            let (interim, go) = requests.recv().await.unwrap();
            for n in 0..3 {
                hint(&interim, n);
                assert_eq!(
                    read_until(&mut client, "\r\n\r\n").await,
                    format!("HTTP/1.1 103 Early Hints\r\nlink: {n}\r\n\r\n")
                );
            }
            hint(&interim, 3);
            go.send(()).unwrap();
            assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 103 Early Hints\r\nlink: 3\r\n\r\n");
            assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
            client.read_exact(&mut [0; SIZE]).await.unwrap();
            // Its answer has begun: nothing of it may come any more.
            hint(&interim, 4);
        }
    }

    #[tokio::test]
    async fn they_never_stand_in_the_middle_of_an_answer() {
        for pipe in [1, 7, 64, 1000, 4000, 6000, 20_000] {
            let (mut client, mut requests) = connect(pipe);
            let asks = tokio::spawn(async move {
                while let Some((interim, go)) = requests.recv().await {
                    hint(&interim, 1);
                    tokio::task::yield_now().await;
                    hint(&interim, 2);
                    go.send(()).unwrap();
                    hint(&interim, 3);
                }
            });
            let pipelined = "GET / HTTP/1.1\r\nhost: h\r\n\r\n".repeat(3);
            let (mut read, mut write) = tokio::io::split(&mut client);
            let all = async {
                let (mut all, mut answers) = (Vec::new(), 0);
                while answers < 3 || !all.ends_with(&[b'x'; SIZE]) {
                    all.push(read.read_u8().await.unwrap());
                    answers += usize::from(all.ends_with(b"HTTP/1.1 200 OK"));
                }
                String::from_utf8(all).unwrap()
            };
            let (_, all) = tokio::join!(write.write_all(pipelined.as_bytes()), all);
            let mut rest = all.as_str();
            let mut answers = 0;
            while !rest.is_empty() {
                let (head, after) = rest.split_once("\r\n\r\n").unwrap();
                assert!(
                    head.starts_with("HTTP/1.1 103 Early Hints\r\nlink: ") || head.starts_with("HTTP/1.1 200 OK\r\n"),
                    "{pipe}: {head}"
                );
                let is_answer = head.starts_with("HTTP/1.1 200");
                answers += usize::from(is_answer);
                rest = if is_answer { after.strip_prefix(&*"x".repeat(SIZE)).unwrap() } else { after };
            }
            assert_eq!(answers, 3, "{pipe}");
            drop(client);
            asks.abort();
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let interims = Arc::new(Interims::default());
        let answering = interims.begin();
        for n in 0..10_000 {
            hint(&answering.0, n);
        }
        assert!(interims.take().len() <= MOST);
    }
}
