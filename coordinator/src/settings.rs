//! What a cache is configured with, and through which port a request comes.

/// A cache's configuration, fixed at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This peer's stable name in the ring.
    pub me: String,
    /// The installation's name, for CDN-Loop, Via and Cache-Status.
    pub installation: String,
    /// The store's size in bytes, bookkeeping included.
    pub store_bytes: u64,
    /// Where a caller's identity is read.
    pub identity: Identity,
    /// What proves a call between coordinators.
    pub peer_trust: PeerTrust,
}

/// What proves a call between coordinators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerTrust {
    /// The peer token. Without one there are no calls.
    #[default]
    Token,
    /// Nothing: whoever reaches the peer port may ask and peek. What changes anything for others (purges, entries,
    /// announcements) is refused, and is not sent.
    Open,
}

/// Where a caller's mTLS identity is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Nowhere: callers have none.
    #[default]
    None,
    /// The URI of the last element of x-forwarded-client-cert.
    Xfcc,
    /// The client's certificate: its SPIFFE id, else its DNS names.
    Tls,
}

/// The port through which a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The data port: questions from proxies, and requests from plain clients.
    Data,
    /// The peer port: the peer's token is checked, and the peer has checked its caller.
    Peer,
}
