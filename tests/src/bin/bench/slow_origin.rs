//! A script that sends the head and the first piece of its body at once, and the rest over 2.5 s.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::scripted_origin::Script;

/// The pieces of a body, and the time between them.
const PIECES: usize = 26;
const PAUSE: Duration = Duration::from_millis(100);
const PIECE: &[u8] = &[b'x'; 1024];

/// Paths under `/slow/` take their time; all others are answered at once.
pub(crate) struct Slow;

impl Script for Slow {
    async fn answer(&self, stream: &mut TcpStream, path: &str, _: &str) -> io::Result<()> {
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
        Ok(())
    }
}
