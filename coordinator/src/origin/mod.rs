//! Loads from origins: the one place, beside peers, of the HTTP client. It follows no redirect, decodes no body and
//! knows no proxy.

mod connect;
mod connection;
mod connection_limit;
mod exchange;
mod failure;
mod headers;
mod health;
mod idle_timeout;
mod origins;
mod outage;
mod pool;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

pub(crate) use connection_limit::Seats;
pub(crate) use exchange::Origin;
pub(crate) use failure::{Failure, causes};
pub(crate) use headers::{Purpose, answered, goes_as_keyed, outgoing, via, with_headers};
pub(crate) use idle_timeout::Paced;
pub(crate) use origins::{BadCa, Clients};
pub(crate) use outage::{Failing, Outages};
