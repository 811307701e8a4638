//! What filter and coordinator must compute identically: key, ring, groups, wire and freshness.
//!
//! Pure: no I/O, no clock, no globals. Time is an argument. Builds for native, `wasm32-wasip1` and
//! `wasm32-unknown-unknown`.
#![forbid(unsafe_code)]

pub mod breaker;
pub mod cache_status;
pub mod feed;
pub mod forwarding;
pub mod frame;
pub mod freshness;
pub mod groups;
pub mod hash;
pub mod key;
pub mod observe;
pub mod paths;
pub mod purge;
pub mod reason;
pub mod request;
pub mod ring;
pub mod route;
pub mod status;
pub mod wire;

pub use breaker::Breaker;
pub use frame::Frame;
pub use groups::{Group, Groups, units};
pub use hash::Hash;
pub use key::Key;
pub use observe::{Observer, PassedResponse, PassingBody};
pub use purge::mark;
pub use reason::Reason;
pub use request::{Field, Request, Response};
pub use ring::{Peer, Ring};
pub use route::Route;
