//! Bytes to and from a connection, for requests that no HTTP library would send.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The longest that a server may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends `bytes`, then reads until one answer is complete or the other side closes.
pub async fn exchange(to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    // A server that refuses a request may close before it has read it all: then its answer is still worth reading.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while !complete(&all) {
        match tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await {
            Err(_) => {
                bail!("neither an answer nor an end for {PATIENCE:?}; so far {:?}", String::from_utf8_lossy(&all))
            }
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => all.extend(&buffer[..read]),
        }
    }
    Ok(all)
}

/// The status code of the answer to `bytes`; 0 when the connection was closed without one.
pub async fn status(to: SocketAddr, bytes: &[u8]) -> u16 {
    let answer = exchange(to, bytes).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Whether `answer` is a whole answer to anything but a HEAD.
fn complete(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = &answer[end + 4..];
    if head.contains("\r\ntransfer-encoding: chunked") {
        return body.ends_with(b"0\r\n\r\n");
    }
    let length = head.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    length.map_or_else(|| ["204", "304"].iter().any(|code| head.contains(code)), |length: usize| body.len() >= length)
}
