//! Origins that speak HTTP badly or not at all.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::AbortHandle,
};

/// How a bad origin treats each connection.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Closes it with a reset at once.
    Reset,
    /// Reads the request, then resets.
    ResetAfterRequest,
    /// Reads the request, sends these bytes, then closes.
    Says(Vec<u8>),
    /// Reads the request, sends these bytes, then neither writes nor closes.
    SaysThenSilence(Vec<u8>),
    /// Reads the request, then sends header lines without end.
    EndlessHeaders,
}

/// An origin that accepts connections and then misbehaves. Dropping it closes its port.
pub struct BadOrigin {
    /// Its address.
    pub addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl BadOrigin {
    /// Starts one.
    pub async fn start(manner: Manner) -> BadOrigin {
        let listener = super::listen(SocketAddr::from(([127, 0, 0, 1], 0)));
        let addr = listener.local_addr().unwrap();
        let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (accepted.clone(), open.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counters.0.fetch_add(1, Ordering::SeqCst);
                counters.1.fetch_add(1, Ordering::SeqCst);
                let (manner, open) = (manner.clone(), counters.1.clone());
                tokio::spawn(async move {
                    // An error is a client that had enough.
                    let _ = misbehave(stream, manner).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        BadOrigin { addr, accepted, open, accepting: accepting.abort_handle() }
    }

    /// `http://ADDRESS`, for configurations.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for BadOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn misbehave(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    if !matches!(manner, Manner::Reset) {
        read_head(&mut stream).await?;
    }
    match manner {
        // Linger of zero makes close a reset.
        Manner::Reset | Manner::ResetAfterRequest => {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?
        }
        Manner::Says(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
        }
        Manner::SaysThenSilence(bytes) => {
            stream.write_all(&bytes).await?;
            while stream.read(&mut [0; 1024]).await? > 0 {}
        }
        Manner::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            // Bounded all the same: a client that swallows 64 MiB of headers has failed the test.
            for i in 0..1 << 20 {
                stream.write_all(format!("x-{i}: {:048}\r\n", i).as_bytes()).await?;
            }
        }
    }
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
