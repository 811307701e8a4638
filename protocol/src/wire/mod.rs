//! The wire between proxies and coordinators: header names, a question's header and a response's verdict.

mod question;
mod verdict;

pub use crate::forwarding::{HOP_BY_HOP, PREFIX, never_to_origin};
pub use question::{BadQuestion, Question};
pub use verdict::{Outcome, Verdict};

/// The wire version of this code, which also understands the version before it.
///
/// Filter N works with coordinators N-1 and N+1. A coordinator answers the feed of an older filter in that filter's
/// version, and of a later one in its own ([`crate::feed::VERSION`] is counted separately). A filter asks in the
/// version of the feed's response. A question of a later version is passed to the service.
pub const VERSION: u32 = 1;
/// The oldest wire version that this code understands.
pub const OLDEST: u32 = 1;

/// Names of header fields, lower case.
pub mod header {
    /// The value of [`super::Question`]. Its presence makes a request a question.
    pub const WIRE: &str = "meshcache-wire";
    /// The client's authority, on calls between coordinators (Host is the peer's name there).
    pub const AUTHORITY: &str = "meshcache-authority";
    /// The client's scheme, on calls between coordinators.
    pub const SCHEME: &str = "meshcache-scheme";
    /// The client's Authorization, on calls between coordinators (Authorization is the peer's token there).
    pub const AUTHORIZATION: &str = "meshcache-authorization";
    /// The [`crate::Route`] that the proxy chose for the request, for groups with `key.route`.
    pub const ROUTE: &str = "meshcache-route";
    /// Between coordinators: the [`crate::Slice`] that a question is for, and the bytes that its answer has.
    pub const SLICE: &str = "meshcache-slice";
    /// The peer that Envoy's `override_host` policy sends the request to, `ip:port`.
    pub const PEER: &str = "meshcache-peer";
    /// The coordinator's own data address in the ring, `ip:port`, on responses of the feed.
    pub const SELF: &str = "meshcache-self";
    /// The value of [`super::Verdict`], on every response to a question.
    pub const OUTCOME: &str = "meshcache-outcome";
    /// A client asks to bypass the cache. Honoured for `debuggers`.
    pub const BYPASS: &str = "meshcache-bypass";
    /// A client asks for reasons and key in Cache-Status. Honoured for `debuggers`.
    pub const DEBUG: &str = "meshcache-debug";
    /// An origin's targeted cache control for meshcache (RFC 9213): the only meshcache-* field of an origin that is
    /// read.
    pub const CONTROL: &str = "meshcache-control";
}
