use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::net::TcpSocket;

/// A port that no test beside this one has, for coordinators that must know each other's. It is not in the range that connections
/// and listeners without a port of their own are given (from 32768 on).
pub fn unused() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 10_000) as u16;
    let mut addrs = (0..10_000).map(|_| SocketAddr::from(([127, 0, 0, 1], 12_000 + start + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000)));
    addrs.find(|addr| std::net::TcpListener::bind(addr).is_ok()).unwrap()
}

/// A port where connections are refused for as long as the socket lives: it is taken, and nobody listens.
pub fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}
