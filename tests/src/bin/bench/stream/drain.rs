//! Clients that read large answers and forget them.

use std::{io, net::SocketAddr};

use meshcache_tests::Ask;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::mesh::ask;

/// Asks on a kept connection; the bytes of the body that came of those that its head announced.
pub(super) async fn drain(stream: &mut TcpStream, ask: &Ask, buffer: &mut [u8]) -> io::Result<(u64, u64)> {
    stream.write_all(&ask.wire()).await?;
    let mut head = Vec::new();
    let mut received = loop {
        let read = stream.read(buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = (head.len() - end - 4) as u64;
            head.truncate(end);
            break body;
        }
    };
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{}: {head}", ask.path());
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
    let length: u64 = length.unwrap_or_else(|| panic!("no Content-Length: {head}"));
    while received < length {
        match stream.read(buffer).await? {
            0 => break,
            read => received += read as u64,
        }
    }
    Ok((received, length))
}

/// Connections that have had one small answer each: what a connection takes that rests.
pub(super) async fn rested(at: SocketAddr, count: u64) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    let mut buffer = vec![0; 4096];
    for _ in 0..count {
        let mut stream = TcpStream::connect(at).await.unwrap();
        drain(&mut stream, &ask("/small"), &mut buffer).await.unwrap();
        connections.push(stream);
    }
    connections
}

/// All ask for one path at once; the connections again, once each has the whole.
pub(super) async fn all_at_once(connections: Vec<TcpStream>, path: &str) -> Vec<TcpStream> {
    let mut clients = JoinSet::new();
    for mut stream in connections {
        let ask = ask(path);
        clients.spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            let (received, length) = drain(&mut stream, &ask, &mut buffer).await.unwrap();
            assert_eq!(received, length, "a body was cut");
            stream
        });
    }
    clients.join_all().await
}
