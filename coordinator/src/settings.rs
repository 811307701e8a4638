//! What the cache is told from outside, and what it tells.

/// What a cache is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This peer's stable name: the ring's.
    pub me: String,
    /// The installation's name, for CDN-Loop, Via and Cache-Status.
    pub installation: String,
    /// What the store may take, bookkeeping included.
    pub store_bytes: u64,
    /// Where a caller's identity is read.
    pub identity: Identity,
}

/// Where a caller's mTLS identity is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Nowhere: callers have none.
    #[default]
    None,
    /// The URI of the last element of x-forwarded-client-cert.
    Xfcc,
}

/// Through which port a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Questions of proxies, and plain clients.
    Data,
    /// A peer whose token has been checked: it has checked its caller itself.
    Peer,
}
