//! What proxies and coordinators have to compute identically: groups, keys, owners, the wire between them, and HTTP
//! caching (RFC 9111).
//!
//! # Model
//!
//! A request belongs to the first **group** of the configuration that matches its host and path ([`Groups`]). The group
//! and the request make the **key** ([`Key`]), and the **ring** gives each key one **owner** among the coordinators
//! ([`Ring`]). A proxy sends the owner a **question**: the client's request with the field
//! [`meshcache-wire`](wire::Question). The owner answers from its store or from the origin, with a
//! **[verdict](wire::Verdict)**. Whether a response may be stored, and which requests it may answer, is decided in
//! [`freshness`].
//!
//! Proxies poll the [`feed`] for groups, ring and **purges**. A purge is numbered by the coordinator that ordered it,
//! and a **position** ([`purge::Position`]) tells which purges a store has carried out. Coordinators exchange stored
//! responses as [`frame`]s. All calls between the parts are below the paths in [`paths`].
//!
//! The crate is pure: no I/O, no clock, no globals; time is an argument. It builds for native targets, `wasm32-wasip1`
//! and `wasm32-unknown-unknown`.
//!
//! # Example
//!
//! ```
//! use meshcache_protocol::{
//!     Groups, Key, Peer, Request, Response, Ring,
//!     freshness::{Reuse, Times, reuse, store},
//!     groups::GroupMatch,
//! };
//!
//! let config = r#"{"version": 1, "groups": [
//!     {"name": "shop", "match": {"hosts": ["shop.test"]}, "origin": {"url": "http://shop:8080"}}]}"#;
//! let groups = Groups::new(serde_json::from_str(config)?)?;
//! let peers = ["cache-0", "cache-1"].map(|name| Peer {
//!     name: name.into(),
//!     data: format!("{name}:8080"),
//!     peer: format!("{name}:8083"),
//! });
//! let ring = Ring::new(peers.into());
//!
//! // Both sides find the same group, key and owner.
//! let request = Request::read(b"GET", b"http", b"shop.test", b"/items?page=2", &[]).unwrap();
//! let GroupMatch::Group(group) = groups.find(&request, None) else { panic!("no group") };
//! let key = Key::of(group, &request, None);
//! assert_eq!(key.to_string(), "shop http://shop.test/items?page=2");
//! assert_eq!(ring.owner(key.hash()).unwrap().name, "cache-0");
//!
//! // The owner decides about the origin's response: it is fresh for a minute.
//! let response = Response { status: 200, fields: &[(b"cache-control", b"max-age=60")] };
//! let now = Times { requested: 0, responded: 0 };
//! let stored = store(group, &request, false, &response, now, 0).unwrap();
//! assert_eq!(reuse(group, &request, false, Some(&stored), 59_000), Reuse::Fresh);
//! assert_eq!(reuse(group, &request, false, Some(&stored), 60_000), Reuse::Validate("stale"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod breaker;
pub mod cache_status;
pub mod feed;
pub mod forwarding;
pub mod frame;
pub mod frequency_sketch;
pub mod freshness;
pub mod groups;
pub mod hash;
pub mod invalidation_limit;
pub mod key;
pub mod observe;
pub mod paths;
pub mod purge;
pub mod reason;
pub mod request;
pub mod ring;
pub mod route;
pub mod slice;
mod sort;
pub mod status;
pub mod wire;

pub use breaker::Breaker;
pub use frame::Frame;
pub use frequency_sketch::FrequencySketch;
pub use groups::{Group, Groups, units};
pub use hash::Hash;
pub use key::Key;
pub use observe::{Observer, PassedResponse, PassingBody};
pub use purge::mark;
pub use reason::Reason;
pub use request::{Field, Request, Response};
pub use ring::{Peer, Ring};
pub use route::Route;
pub use slice::Slice;
