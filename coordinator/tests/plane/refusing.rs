use std::net::SocketAddr;
use tokio::net::TcpSocket;

/// A port where connections are refused for as long as the socket lives: it is taken, and nobody listens.
pub fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}
