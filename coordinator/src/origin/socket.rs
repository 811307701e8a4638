//! A TCP connection that another task can look at while one reads it.

use crate::origin::connection_limit::ConnectionPermit;
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
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// The end that reads and writes. It holds the connection's descriptor.
pub(super) struct Socket {
    // Where less is read than fits, the socket is empty: this end knows, and does not ask the system once more.
    read: OwnedReadHalf,
    write: Arc<OwnedWriteHalf>,
    #[expect(dead_code, reason = "it is given back with the socket")]
    permit: ConnectionPermit,
}

/// A socket that another end reads and writes. It is closed with that end.
pub(super) type WatchedSocket = Weak<OwnedWriteHalf>;

impl Socket {
    pub(super) fn new(tcp: TcpStream, permit: ConnectionPermit) -> Self {
        let (read, write) = tcp.into_split();
        Self { read, write: Arc::new(write), permit }
    }

    /// Returns the socket to look at.
    pub(super) fn watched(&self) -> WatchedSocket {
        Arc::downgrade(&self.write)
    }

    fn tcp(&self) -> &TcpStream {
        self.read.as_ref()
    }

    fn write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp().poll_write_ready(cx))?;
            match write(self.tcp()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

/// Returns whether an idle connection is open with nothing to read: neither an end nor an unrequested response.
pub(super) fn is_quiet(socket: &WatchedSocket) -> bool {
    let look = |tcp: Arc<OwnedWriteHalf>| {
        recv((*tcp).as_ref(), &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT)
            .is_err_and(|error| error == Errno::WOULDBLOCK)
    };
    socket.upgrade().is_some_and(look)
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
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
        Poll::Ready(shutdown(self.tcp(), Shutdown::Write).map_err(io::Error::from))
    }
}
