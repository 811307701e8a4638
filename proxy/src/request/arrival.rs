//! A request as it arrives, and what only the host knows of it.

use crate::{http::head::RequestHead, state::listener_config::Side};

/// A request whose head has arrived.
#[derive(Clone, Copy)]
pub struct Arrival<'a, 'm> {
    /// Its stream.
    pub stream: u32,
    /// Its head.
    pub head: &'a RequestHead<'m>,
    /// A body follows.
    pub has_body: bool,
}

/// The host's knowledge of a request. Each answer costs a call, so it is asked for only when it matters.
pub trait Facts {
    /// The side that the request came in on.
    fn side(&self) -> Side;
    /// The caller's identity: inbound the connection's peer, outbound the proxy itself.
    fn caller(&self, side: Side) -> Option<String>;
    /// Whether the proxy has verified a token of this request.
    fn verified(&self) -> bool;
    /// Whether there is a [`Facts::cluster`].
    fn is_routed(&self) -> bool {
        self.cluster().is_some()
    }
    /// The cluster of the chosen route. `None`: no route matches, or it has none, as a direct response or a redirect.
    fn cluster(&self) -> Option<Vec<u8>>;
    /// The name of that route. Most have none.
    fn route(&self) -> Option<Vec<u8>>;
}
