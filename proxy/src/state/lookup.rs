//! A lookup at a coordinator: the client's request, the key, and the progress so far.

use crate::state::{hit_for_pass::PassScope, listener_config::Side, peers::ChosenPeer};
use meshcache_protocol::{Group, Key, Route};
use std::sync::Arc;

/// The time within which an owner first says `loading`, milliseconds. A proxy sees nothing of a response before all of
/// it is there, so this shows that the owner is alive.
const FIRST_LOADING: u64 = 100;
/// The least and the most of Envoy's own timeout for a callout, milliseconds. It only frees what the callout holds: the
/// worker itself finds out that a peer is silent.
const CALL_TIMEOUT: (u64, u64) = (5_000, 60_000);
/// The bytes of a lookup beside its request and key.
const OVERHEAD: usize = 256;

/// The request that is looked up.
pub struct LookupRequest {
    /// The side of the proxy that it came from.
    pub side: Side,
    /// The group, as it was when the lookup began.
    pub group: Arc<Group>,
    /// The key.
    pub key: Key,
    /// The route in the key, where the group has it there.
    pub route: Option<Route>,
    /// The requests that an owner's pass would hold for.
    pub scope: PassScope,
    /// Whether other requests may join.
    pub shared: bool,
    /// Whether the proxy verified a token of the request.
    pub verified: bool,
    /// Whether the method is HEAD.
    pub to_head: bool,
    /// Whether it goes to the service as a load would send it. What it brings otherwise is for its client alone.
    pub goes_as_load: bool,
    /// The proxy's namespace.
    pub namespace: Option<String>,
    /// The request's header map.
    pub map: Vec<u8>,
    /// The request's stream.
    pub leader: u32,
}

/// The moment at which a lookup begins.
#[derive(Clone, Copy, Debug)]
pub struct LookupStart {
    /// Milliseconds of a monotonic clock.
    pub now: u64,
    /// The worker's attention clock.
    pub attention: u64,
    /// The number of purges that the worker has carried out.
    pub purges: u64,
    /// Whether a response may come piece by piece.
    pub streams: bool,
    /// Whether the host can send a copy of a response that passes.
    pub fills: bool,
}

/// One lookup.
pub struct PeerLookup {
    /// The request that is looked up.
    pub request: LookupRequest,
    /// The peer that was asked last.
    pub peer: ChosenPeer,
    /// It repeats an earlier lookup, for requests that its response was not for.
    pub is_repeat: bool,
    /// The number of peers that have been asked.
    pub peers_asked: u8,
    /// The number of callouts in flight whose peers have not been given up.
    pub open_calls: u8,
    /// The peer has said that it is loading, so it is not silent.
    pub is_loading: bool,
    /// Whether the response may come piece by piece.
    pub streams: bool,
    /// Whether one of the requests that wait can pass by the peer's leave.
    pub leave: bool,
    /// Whether its own request can fill.
    pub fills: bool,
    /// Since when its leader has been getting the response as it comes. The others wait for the whole of it.
    pub streams_since: Option<u64>,
    /// The flight that the peer named then. It gets it back when it is asked again. 0: none.
    pub flight: u64,
    /// The number of purges that the worker had carried out when the lookup began.
    pub purges: u64,
    /// Whether it joined another's load at its first answer. Asked again, it would join its own.
    pub collapsed: Option<bool>,
    /// When the lookup began.
    pub began: u64,
    /// When the last of the requests arrived that it is for. A response loaded since then is theirs.
    pub last_arrival: u64,
    /// When the peer was asked last.
    pub sent: u64,
    /// The attention clock at that time.
    pub sent_attention: u64,
}

impl PeerLookup {
    /// A lookup that begins now.
    pub fn new(request: LookupRequest, peer: ChosenPeer, start: LookupStart) -> Self {
        Self {
            // Whoever takes a response piece by piece has the first byte anyway, and a HEAD has no other.
            leave: !start.streams && !request.to_head,
            fills: start.fills && !request.to_head && request.goes_as_load,
            request,
            peer,
            is_repeat: false,
            peers_asked: 1,
            open_calls: 1,
            is_loading: false,
            streams: start.streams,
            streams_since: None,
            flight: 0,
            purges: start.purges,
            collapsed: None,
            began: start.now,
            last_arrival: start.now,
            sent: start.now,
            sent_attention: start.attention,
        }
    }

    /// A lookup of the same key for another request, which waited for this one.
    pub fn repeat(&self, leader: u32, map: Vec<u8>, arrived: u64, start: LookupStart) -> Self {
        let of = &self.request;
        let request = LookupRequest {
            group: of.group.clone(),
            key: of.key.clone(),
            route: of.route.clone(),
            namespace: of.namespace.clone(),
            map,
            leader,
            // Its map has not all of its own fields.
            goes_as_load: false,
            ..*of
        };
        Self { is_repeat: true, last_arrival: arrived, ..Self::new(request, self.peer.clone(), start) }
    }

    /// How long the peer may be silent, milliseconds.
    pub fn patience(&self) -> u64 {
        self.request.group.config().patience.as_millis()
    }

    /// The patience that the peer gets to know. It says `loading` within that time: before its silence counts, and
    /// before the next peer is asked. The first time it is short, so that the answer is its sign of life.
    pub fn announced_patience(&self) -> u64 {
        let most = |patience: u64| (patience / 4).saturating_mul(3).max(1);
        if self.is_loading {
            most(self.patience())
        } else {
            most(self.patience().min(self.hedge().unwrap_or(u64::MAX))).min(FIRST_LOADING)
        }
    }

    /// Envoy's timeout for the callout: much longer than the peer may be silent while the worker is attentive.
    pub fn call_timeout(&self) -> u64 {
        let (least, most) = CALL_TIMEOUT;
        self.patience().saturating_mul(10).clamp(least, most).max(self.patience().saturating_mul(2))
    }

    /// The silence after which the next peer is asked as well. `None`: not before the patience ends.
    pub fn hedge(&self) -> Option<u64> {
        Some(self.request.group.config().hedge.as_millis()).filter(|hedge| *hedge > 0)
    }

    /// Returns whether the next peer may still be asked beside this one.
    pub fn may_hedge(&self) -> bool {
        self.peers_asked == 1 && !self.is_loading && self.hedge().is_some()
    }

    /// When waiting ends: after twice the origin's timeout, for the load in flight and for their own, and the owner's
    /// patience.
    pub fn deadline(&self) -> u64 {
        let origin = self.request.group.config().origin.timeout.as_millis();
        self.began.saturating_add(origin.saturating_mul(2)).saturating_add(self.patience())
    }

    /// Returns whether its leader gets the response as it comes, while others may wait for the whole of it.
    pub fn lingers(&self) -> bool {
        self.streams_since.is_some_and(|since| since < u64::MAX)
    }

    /// Returns the bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.request.map.len().saturating_add(self.request.key.bytes().len()).saturating_add(OVERHEAD)
    }
}
