//! The life of a request in a proxy, independent of the host. Pure: no host calls, no clock, no globals.
//!
//! A proxy runs one [`Worker`](state::worker::Worker) in each thread. A request is answered from the worker's hot
//! cache; else it waits for a lookup at the key's owner, together with other requests for this key; else it passes to
//! the service. In doubt it passes: the cache can make a request faster, and must never make one fail. Groups, ring and
//! purges come with the [`feed`], which one worker of a proxy reads for all.
//!
//! - [`request`] is the life of a request. Begin with [`request::exchange::start`], then [`request::response`].
//! - [`state`] is what a worker keeps between requests.
//! - [`http`] reads and writes messages.
//! - [`driver`] runs a worker in a [`host`]. The Wasm filter for Envoy is one.
//!
//! Imports go in this direction only: driver, stream, request, state, http.
//!
//! # Example
//!
//! A request is looked up at the owner, and the next one gets the response from the hot cache.
//!
//! ```
//! use meshcache_proxy::{
//!     http::{head::RequestHead, peer_response::PeerResponse},
//!     request::{
//!         arrival::{Arrival, Facts},
//!         context::Context,
//!         exchange::start,
//!         response::{LookupStep, Lookups},
//!         step::Step,
//!     },
//!     state::{
//!         listener_config::{ListenerConfig, Side},
//!         pending::PendingCall,
//!         snapshot::{self, FeedUpdate},
//!         worker::Worker,
//!     },
//! };
//!
//! struct Outbound;
//! impl Facts for Outbound {
//!     fn side(&self) -> Side { Side::Outbound }
//!     fn caller(&self, _: Side) -> Option<String> { None }
//!     fn verified(&self) -> bool { false }
//!     fn cluster(&self) -> Option<Vec<u8>> { Some(b"service".to_vec()) }
//!     fn route(&self) -> Option<Vec<u8>> { None }
//! }
//!
//! // The feed brings a snapshot: one coordinator, and one group.
//! let answer = br#"{"wire": 1, "peer": "a", "version": "v1", "state": {
//!     "installation": "meshcache",
//!     "peers": [{"name": "a", "data": "10.0.0.1:8080", "peer": "10.0.0.1:8083"}],
//!     "config": {"version": 1, "groups": [
//!         {"name": "shop", "match": {"hosts": ["shop.test"]}, "origin": {"url": "http://shop.test"}}]}}}"#;
//! let FeedUpdate::Snapshot { snapshot, .. } = snapshot::read(answer) else { panic!("no snapshot") };
//! let (mut worker, listener) = (Worker::new(1 << 20), ListenerConfig::new(None, None, None));
//! worker.install(snapshot);
//! worker.note_contact(0);
//!
//! // What requests read without a worker, and the listener with the snapshot.
//! let state = worker.state.clone();
//! let at = |now| Context { state: &state, thread: 0, now };
//! let listener = listener.current(&state);
//!
//! let fields: [(&[u8], &[u8]); 4] =
//!     [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"shop.test"), (b":path", b"/")];
//! let head = RequestHead::of(fields.into_iter());
//! let first = Arrival { stream: 1, head: &head, has_body: false };
//! let Step::CallOut(callout) = start(at(1), &listener, first, &Outbound, || &mut worker) else { panic!("no lookup") };
//!
//! // The owner responds.
//! let call = PendingCall::new(callout.lookup, worker.lookups.get(callout.lookup).unwrap());
//! let fields: [(&[u8], &[u8]); 2] =
//!     [(b":status", b"200"), (b"meshcache-outcome", b"miss; ttl=60000; age=0; shared; stored")];
//! let response = PeerResponse::of(fields.into_iter(), b"hello".to_vec(), false);
//! let step = Lookups { worker: &mut worker, now: 9 }.receive(&call, response);
//! let LookupStep::Finish(mut fan_out) = step else { panic!("not over") };
//! let Some((1, Step::Reply(reply))) = fan_out.next(&mut worker, 9) else { panic!("no reply") };
//! assert_eq!((reply.status, reply.body), (200, &b"hello"[..]));
//!
//! let second = Arrival { stream: 2, ..first };
//! let Step::Reply(hot) = start(at(10), &listener, second, &Outbound, || &mut worker) else { panic!("not hot") };
//! assert_eq!(hot.reply().body, b"hello");
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod config;
pub mod driver;
pub mod feed;
pub mod host;
pub mod http;
pub mod request;
pub mod state;
pub mod stream;

/// Both hosts share these: a native one calls them from all threads of its proxy.
const _: () = {
    const fn moves_between_threads<T: Send>() {}
    const fn is_shared_by_threads<T: Sync>() {}
    moves_between_threads::<driver::Driver>();
    moves_between_threads::<stream::Stream>();
    is_shared_by_threads::<state::listener_config::ListenerConfig>();
    is_shared_by_threads::<state::snapshot::Snapshot>();
};
