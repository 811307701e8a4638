//! An origin of large answers with strong validators, at a rate of its own for each connection.

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
    time::Instant,
};

const PIECE: &[u8] = &[b'x'; 64 * 1024];

/// `/paced/BYTES/RATE/ANY` has so many bytes, at so many a second; every other path 1 KiB at once. It answers ranges
/// `bytes=N-`.
pub(super) struct PacedOrigin {
    pub(super) addr: SocketAddr,
    loads: Arc<Mutex<HashMap<String, usize>>>,
    accepting: AbortHandle,
}

impl PacedOrigin {
    pub(super) async fn start() -> PacedOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, loads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(HashMap::new())));
        let counted = loads.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // An error is a client that went away.
                tokio::spawn(serve(stream, counted.clone()));
            }
        });
        PacedOrigin { addr, loads, accepting: accepting.abort_handle() }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Requests for a path so far.
    pub(super) fn loads(&self, path: &str) -> usize {
        self.loads.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

impl Drop for PacedOrigin {
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
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        head.clear();
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        *loads.lock().unwrap().entry(path.clone()).or_default() += 1;
        let (length, rate) = match path.strip_prefix("/paced/").map(|rest| rest.split('/').collect::<Vec<_>>()) {
            Some(words) => (words[0].parse().unwrap(), words[1].parse().unwrap()),
            None => (1024, f64::INFINITY),
        };
        let from = text.split_once("\r\nrange: bytes=").and_then(|(_, rest)| rest.split('-').next()?.parse().ok());
        let status = match from {
            Some(from) => format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{length}", length - 1),
            None => "200 OK".to_owned(),
        };
        let mut left: u64 = length - from.unwrap_or(0);
        let head = format!(
            "HTTP/1.1 {status}\r\ncache-control: max-age=86400\r\netag: \"paced\"\r\naccept-ranges: bytes\r\ncontent-length: {left}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let (begun, mut sent) = (Instant::now(), 0.0);
        while left > 0 {
            let piece = left.min(PIECE.len() as u64);
            stream.write_all(&PIECE[..piece as usize]).await?;
            (left, sent) = (left - piece, sent + piece as f64);
            tokio::time::sleep_until(begun + Duration::from_secs_f64(sent / rate)).await;
        }
    }
}
