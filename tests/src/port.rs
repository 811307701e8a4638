//! Loopback ports that are known before a process listens on them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
};

use tokio::net::{TcpListener, TcpSocket};

/// A port that no process in this run of the tests has had, for processes that must know each other's before they
/// start, and that die and come back.
///
/// It is not in the range from which the system picks by itself (from 32768 on): a connection of a test
/// beside this one would take it in the meantime.
pub fn unused() -> SocketAddr {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes side by side begin at different places; those that `scripts/tests` runs have ranges of their own.
    let slot = std::env::var("TESTS_SLOT").ok().and_then(|slot| slot.parse::<u32>().ok());
    let spread = std::process::id().wrapping_mul(257);
    let start = slot.map_or(spread, |slot| slot * 2_000 + spread % 1_000);
    let mut addrs = (0..COUNT).map(|_| {
        let n = (start + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + n as u16))
    });
    addrs.find(|addr| std::net::TcpListener::bind(addr).is_ok()).expect("20,000 ports are in use")
}

/// A port where connections are refused, for as long as this lives: it is bound, and not listened on.
pub struct Refused {
    /// The address.
    pub addr: SocketAddr,
    socket: TcpSocket,
}

impl Refused {
    /// Takes a port.
    pub fn new() -> Refused {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        Refused { addr: socket.local_addr().unwrap(), socket }
    }

    /// Listens from now on.
    pub fn listen(self) -> TcpListener {
        self.socket.listen(4096).unwrap()
    }
}

impl Default for Refused {
    fn default() -> Refused {
        Refused::new()
    }
}
