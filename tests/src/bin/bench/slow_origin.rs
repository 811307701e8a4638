//! An origin that sends the head and the first piece of its body at once, and the rest over 2.5 s.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// The pieces of a body, and the time between them.
const PIECES: usize = 26;
const PAUSE: Duration = Duration::from_millis(100);
const PIECE: &[u8] = &[b'x'; 1024];

/// Paths under `/slow/` take their time; all others are answered at once.
pub(crate) struct SlowOrigin {
    /// Its address.
    pub(crate) addr: SocketAddr,
    loads: Arc<Mutex<HashMap<String, usize>>>,
    accepting: AbortHandle,
}

impl SlowOrigin {
    /// Starts it.
    pub(crate) async fn start() -> SlowOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, loads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(HashMap::new())));
        let counted = loads.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // An error is a client that went away.
                tokio::spawn(serve(stream, counted.clone()));
            }
        });
        SlowOrigin { addr, loads, accepting: accepting.abort_handle() }
    }

    /// `http://ADDRESS`, for configurations.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Requests for a path so far.
    pub(crate) fn loads(&self, path: &str) -> usize {
        self.loads.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

impl Drop for SlowOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, loads: Arc<Mutex<HashMap<String, usize>>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    loop {
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        head.clear();
        *loads.lock().unwrap().entry(path.clone()).or_default() += 1;
        let is_slow = path.starts_with("/slow/");
        let pieces = if is_slow { PIECES } else { 1 };
        let length = pieces * PIECE.len();
        let start = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=86400\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(&[start.as_bytes(), PIECE].concat()).await?;
        for _ in 1..pieces {
            tokio::time::sleep(PAUSE).await;
            stream.write_all(PIECE).await?;
        }
    }
}
