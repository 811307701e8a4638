//! A script of large answers with strong validators, at a rate of its own for each connection.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use crate::scripted_origin::Script;

const PIECE: &[u8] = &[b'x'; 64 * 1024];

/// `/paced/BYTES/RATE/ANY` has so many bytes, at so many a second; every other path 1 KiB at once. It answers ranges
/// `bytes=N-`.
pub(super) struct Paced;

impl Script for Paced {
    async fn answer(&self, stream: &mut TcpStream, path: &str, head: &str) -> io::Result<()> {
        let head = head.to_ascii_lowercase();
        let (length, rate) = match path.strip_prefix("/paced/").map(|rest| rest.split('/').collect::<Vec<_>>()) {
            Some(words) => (words[0].parse().unwrap(), words[1].parse().unwrap()),
            None => (1024, f64::INFINITY),
        };
        let from = head.split_once("\r\nrange: bytes=").and_then(|(_, rest)| rest.split('-').next()?.parse().ok());
        let status = match from {
            Some(from) => format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{length}", length - 1),
            None => "200 OK".to_owned(),
        };
        let mut left: u64 = length - from.unwrap_or(0);
        let start = format!(
            "HTTP/1.1 {status}\r\ncache-control: max-age=86400\r\netag: \"paced\"\r\naccept-ranges: bytes\r\ncontent-length: {left}\r\n\r\n"
        );
        stream.write_all(start.as_bytes()).await?;
        let (begun, mut sent) = (Instant::now(), 0.0);
        while left > 0 {
            let piece = left.min(PIECE.len() as u64);
            stream.write_all(&PIECE[..piece as usize]).await?;
            (left, sent) = (left - piece, sent + piece as f64);
            tokio::time::sleep_until(begun + Duration::from_secs_f64(sent / rate)).await;
        }
        Ok(())
    }
}
