//! A sweep: every key of a range once, over keep-alive connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use meshcache_tests::load::answer;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Asks for `path(0)`, `path(1)` up to `path(count - 1)`, client `i` of `connections` at `targets[i % targets.len()]`.
/// Every answer must be a 200.
pub(crate) async fn sweep(
    targets: &[SocketAddr],
    connections: usize,
    count: u64,
    path: impl Fn(u64) -> String + Send + Sync + 'static,
) {
    let (taken, path) = (Arc::new(AtomicU64::new(0)), Arc::new(path));
    let clients: Vec<_> = (0..connections)
        .map(|i| {
            let (taken, path, target) = (taken.clone(), path.clone(), targets[i % targets.len()]);
            tokio::spawn(async move {
                client(target, || Some(taken.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < count).map(|n| path(n)))
                    .await
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client does not panic").unwrap();
    }
}

async fn client(target: SocketAddr, next: impl Fn() -> Option<String>) -> Result<()> {
    let mut stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 128 * 1024];
    while let Some(path) = next() {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", crate::mesh::HOST);
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut buffer).await?;
    }
    Ok(())
}
