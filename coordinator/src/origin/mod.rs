//! Requests to origins. The HTTP client follows no redirect, decodes no body and uses no proxy.

mod addresses;
mod backoff;
mod connect;
mod connection;
mod connection_limit;
mod credentials;
mod exchange;
mod failure;
mod getter;
mod headers;
mod health;
mod http1;
mod idle_timeout;
mod oauth2;
mod origins;
mod own_signal;
mod pool;
mod pooled;
mod record;
mod resolver;
mod response_body;
mod socket;
#[cfg(test)]
mod tests;
mod token_exchange;
mod trust;
mod upload;

pub(crate) use backoff::{FailureScope, OriginBackoff};
pub(crate) use connection_limit::ConnectionLimit;
pub(crate) use exchange::Origin;
pub(crate) use failure::{Failure, causes};
pub(crate) use getter::{DynGetter, GetterOrigin};
pub use getter::{Error, Getter, Value};
pub(crate) use headers::{
    Forwarder, Purpose, goes_as_keyed, outgoing, passes_as_keyed, strip_response_headers, with_headers,
};
pub(crate) use idle_timeout::IdleTimeoutBody;
pub(crate) use origins::{BadOrigin, Origins};
pub(crate) use record::BOUNDS;
