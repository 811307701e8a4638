//! The I/O object of one connection: counts what is written, and writes interim responses between two others.
//!
//! Interim responses are for HTTP/1.1 only: it answers one request at a time, and until the response begins the
//! connection is free.

use crate::server::activity::Activity;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// An I/O object with the connection's state.
pub(super) struct ConnectionIo<I> {
    io: I,
    activity: Arc<Activity>,
    /// Whether hyper has written all that it had: it flushes when there is no more.
    is_between: bool,
    /// The requests whose final responses hyper may have begun to write.
    answered: u64,
    /// The interim responses that are being written.
    interims: Vec<u8>,
    interims_written: usize,
}

impl<I> ConnectionIo<I> {
    pub(super) fn new(io: I) -> (Arc<Activity>, Self) {
        let activity = Arc::new(Activity::default());
        let (interims, interims_written) = (Vec::new(), 0);
        (activity.clone(), Self { io, activity, is_between: true, answered: 0, interims, interims_written })
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.activity.count_written(bytes);
        }
        written
    }
}

impl<I: Write + Unpin> ConnectionIo<I> {
    /// Writes all waiting interim responses.
    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.interims.get(self.interims_written..).filter(|rest| !rest.is_empty()) {
                let written = Pin::new(&mut self.io).poll_write(cx, rest);
                match ready!(self.count(written))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    n => self.interims_written += n,
                }
            }
            let Some(next) = self.activity.take_interims(self.answered) else {
                if self.interims_written > 0 {
                    (self.interims, self.interims_written) = (Vec::new(), 0);
                }
                return Poll::Ready(Ok(()));
            };
            (self.interims, self.interims_written) = (next, 0);
        }
    }

    /// Prepares for a write of hyper's: interim responses come first. In the middle of a response its end is unknown,
    /// so they are dropped.
    fn poll_before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_between {
            ready!(self.poll_interims(cx))?;
            self.is_between = false;
        } else {
            self.activity.take_interims(u64::MAX);
        }
        self.answered = self.activity.answered();
        Poll::Ready(Ok(()))
    }
}

impl<I: Read + Unpin> Read for ConnectionIo<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: Write + Unpin> Write for ConnectionIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_before_write(cx))?;
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.count(written)
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
        ready!(self.poll_before_write(cx))?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.count(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{body::Body, interim::Interim};
    use http::{HeaderMap, StatusCode};
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        sync::mpsc,
    };

    const SIZE: usize = 5000;

    /// Returns a connection through a pipe of this many bytes. Each request comes out with where its interim responses
    /// go, and is answered when the sender that comes with it is used.
    fn connect(pipe: usize) -> (DuplexStream, mpsc::UnboundedReceiver<(Interim, tokio::sync::oneshot::Sender<()>)>) {
        let (client, server) = tokio::io::duplex(pipe);
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (activity, io) = ConnectionIo::new(TokioIo::new(server));
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (active, (go, gone)) = (activity.begin(request.version()), tokio::sync::oneshot::channel());
                sender.send((active.interim(), go)).unwrap();
                active.answer(async move {
                    let _ = gone.await;
                    Ok::<_, Infallible>(http::Response::new(Body::from(vec![b'x'; SIZE])))
                })
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
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
    async fn interim_responses_are_seen_before_the_final_one_in_their_order() {
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
            // The final response has begun: no interim response may follow.
            hint(&interim, 4);
        }
    }

    #[tokio::test]
    async fn interim_responses_never_stand_in_the_middle_of_another_response() {
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
}
