//! A TCP connection that can be looked at while another task reads it.

use crate::origin::connection_limit::Seat;
use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, recv, shutdown},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The one end that reads and writes. It has its descriptor for as long as it is there.
pub(super) struct Wire(Arc<TcpStream>, #[expect(dead_code, reason = "it is given back with the socket")] Seat);

impl Wire {
    pub(super) fn new(tcp: TcpStream, seat: Seat) -> Self {
        Self(Arc::new(tcp), seat)
    }

    /// The same socket, to look at. It is closed with its wire.
    pub(super) fn socket(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.0)
    }

    fn write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

/// Whether an idle connection is open with nothing to read: no end, no answer that nobody asked for.
pub(super) fn is_quiet(socket: &Weak<TcpStream>) -> bool {
    let look = |tcp: Arc<TcpStream>| {
        recv(&*tcp, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_err_and(|error| error == Errno::WOULDBLOCK)
    };
    socket.upgrade().is_some_and(look)
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |tcp| tcp.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |tcp| tcp.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&*self.0, Shutdown::Write).map_err(io::Error::from))
    }
}
