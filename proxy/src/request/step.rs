//! The next step of a request.

use crate::request::{observe::ObservedRequest, pass::Pass};

/// The next step of a request. `R`: a hot response for one that arrives, a peer's for one that has waited.
pub enum Step<R> {
    /// It passes to the service.
    Pass(Pass),
    /// It passes to the service, and its response is observed.
    Observe(Box<ObservedRequest>),
    /// It gets this reply.
    Reply(R),
    /// It waits for a lookup, which is sent now.
    CallOut(Callout),
    /// It waits for a lookup in flight.
    Wait,
}

/// A lookup to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// The lookup's number.
    pub lookup: u32,
    /// Envoy's timeout for the callout, milliseconds. The worker gives up the peer long before.
    pub timeout: u64,
}
