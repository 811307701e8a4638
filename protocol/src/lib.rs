//! What filter and coordinator must compute identically: key, ring, groups, wire and freshness.
//!
//! Pure: no I/O, no clock, no globals. Time is an argument. Builds for native, `wasm32-wasip1` and
//! `wasm32-unknown-unknown`.
#![forbid(unsafe_code)]

pub mod breaker;
pub mod connection;
pub mod feed;
pub mod frame;
pub mod freshness;
pub mod groups;
pub mod invalidation_limit;
pub mod key;
pub mod mark;
pub mod named;
pub mod normal;
pub mod observe;
pub mod purge;
pub mod reason;
pub mod request;
pub mod ring;
pub mod route;
pub mod units;
pub mod wire;

pub use breaker::Breaker;
pub use frame::Frame;
pub use groups::{Group, Groups};
pub use key::{Hash, Key};
pub use observe::{Observed, Passed, Passing};
pub use reason::Reason;
pub use request::{Field, Request, Response};
pub use ring::{Peer, Ring};
pub use route::Route;
