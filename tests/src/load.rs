//! A closed loop of keep-alive connections that ask one thing again and again, at the least cost to this machine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::client::Ask;

/// The end of a load.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this number of requests, all connections together.
    Requests(u64),
}

/// The result of a load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Requests that were answered with a 200.
    pub requests: u64,
    /// Why clients ended early: a lost connection, another status.
    pub errors: Vec<String>,
    /// Its duration.
    pub elapsed: Duration,
    latencies: Vec<u32>,
}

impl Load {
    /// Requests in a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// The time within which `share` (0.5, 0.99, 1.0) of the requests were answered.
    pub fn within(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1) as f64;
        Duration::from_micros(u64::from(*self.latencies.get((last * share).round() as usize).unwrap_or(&0)))
    }

    /// `used` CPU time for each request.
    pub fn cpu_per_request(&self, used: Duration) -> Duration {
        used.div_f64(self.requests.max(1) as f64)
    }
}

/// `connections` clients, client `i` to `targets[i % targets.len()]`; all together they ask `asks` in their order, over
/// and over. Every answer must be a 200.
pub async fn load(targets: &[SocketAddr], asks: &[Ask], connections: usize, until: Until) -> Load {
    let asks: Arc<Vec<Vec<u8>>> = Arc::new(asks.iter().map(Ask::wire).collect());
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let limit = if let Until::Requests(limit) = until { limit } else { u64::MAX };
    let begun = Instant::now();
    let clients: Vec<_> = (0..connections)
        .map(|i| {
            let (asks, stop, taken, target) = (asks.clone(), stop.clone(), taken.clone(), targets[i % targets.len()]);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let next = || {
                    let k = if stop.load(Ordering::Relaxed) { limit } else { taken.fetch_add(1, Ordering::Relaxed) };
                    (k < limit).then(|| asks[(k % asks.len() as u64) as usize].as_slice())
                };
                let error = client(target, next, &mut latencies).await.err();
                (latencies, error)
            })
        })
        .collect();
    if let Until::Elapsed(duration) = until {
        tokio::time::sleep(duration).await;
        stop.store(true, Ordering::Relaxed);
    }
    let (mut latencies, mut errors) = (Vec::new(), Vec::new());
    for client in clients {
        let (own, error) = client.await.expect("a client does not panic");
        latencies.extend(own);
        errors.extend(error.map(|error| format!("{error:#}")));
    }
    let elapsed = begun.elapsed();
    latencies.sort_unstable();
    Load { requests: latencies.len() as u64, errors, elapsed, latencies }
}

async fn client<'a>(target: SocketAddr, next: impl Fn() -> Option<&'a [u8]>, latencies: &mut Vec<u32>) -> Result<()> {
    let mut stream = TcpStream::connect(target).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 128 * 1024];
    while let Some(ask) = next() {
        let begun = Instant::now();
        stream.write_all(ask).await?;
        answer(&mut stream, &mut buffer).await?;
        latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Reads one answer and forgets it.
pub async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
    let mut have = 0;
    let (head, length) = loop {
        let read = stream.read(&mut buffer[have..]).await?;
        if read == 0 {
            bail!("the connection was closed before an answer came");
        }
        have += read;
        if let Some(end) = buffer[..have].windows(4).position(|four| four == b"\r\n\r\n") {
            break (end + 4, content_length(&buffer[..end])?);
        }
    };
    let mut left = (head + length).saturating_sub(have);
    while left > 0 {
        let room = left.min(buffer.len());
        let read = stream.read(&mut buffer[..room]).await?;
        if read == 0 {
            bail!("the connection was closed in the middle of a body");
        }
        left -= read;
    }
    Ok(())
}

fn content_length(head: &[u8]) -> Result<usize> {
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("not a 200: {}", String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()));
    }
    let lines = head.split(|byte| *byte == b'\n');
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:").then(|| std::str::from_utf8(value).ok()?.trim().parse().ok())?
    });
    lengths.next().context("an answer without Content-Length")
}
