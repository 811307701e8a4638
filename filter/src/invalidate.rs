//! Unsafe requests that succeeded: what goes from the hot cache, here and in the proxy's other workers, and what the
//! key's owner and next peer are told (RFC 9111 section 4.4).

use crate::{exchange::Exchange, head::Head, known::Known, message, shared::Shared, site::Site};
use lru::LruCache;
use meshcache_protocol::{
    Hash, Key, Observer, Request, Response,
    freshness::{invalidates, is_unsafe, possible_key_fields},
    groups::{GroupMatch, Mode},
    paths,
    purge::Scope,
    request::{Flags, REROUTING},
    wire::{self, header},
};
use std::{borrow::Cow, collections::VecDeque, num::NonZeroUsize};

/// Peers are told of a key at most once in so many milliseconds; the last word counts, at the end of them.
const PAUSE: u64 = 1000;
/// The most keys that are remembered for that, and the most calls that wait.
const MOST: usize = 1024;
/// The most bytes of the targets of calls that wait: some are as long as a head may be.
const MOST_BYTES: usize = 1 << 20;
/// How many peers are told: the owner and the next.
const PEERS: usize = 2;
/// The most keys that other workers can still read of.
const SHARED: usize = 256;
/// How long a peer may take to hear of it, milliseconds.
pub const TIMEOUT: u64 = 1000;
/// Among the hashes that other workers read: everything goes, since the target is in more keys than one.
const ALL: u128 = u128::MAX;

/// What one worker has to tell of.
pub struct Invalidations {
    /// When a key's next call may go out, and when the key was seen to change.
    next: LruCache<Hash, (u64, u64)>,
    /// Calls that go out at that time, in its order as far as it matters.
    waiting: VecDeque<(u64, Told)>,
    /// What their targets take.
    bytes: usize,
    /// What other workers are still to hear of.
    unshared: Vec<u128>,
    /// How many of all workers' this one has heard of. `None`: it has not listened yet.
    heard: Option<u64>,
}

/// A target that is no longer what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    hash: Hash,
    group: String,
    namespace: Option<String>,
    scheme: &'static str,
    authority: String,
    target: String,
    /// What of the request's fields is in the key: those that may reroute.
    fields: Vec<(String, String)>,
    /// The target is in more keys than one.
    more: bool,
    /// It goes out later than it happened: what was kept since then came of what the owner had before.
    late: bool,
}

impl Default for Invalidations {
    fn default() -> Self {
        let next = LruCache::new(NonZeroUsize::new(MOST).unwrap_or(NonZeroUsize::MIN));
        Self { next, waiting: VecDeque::new(), bytes: 0, unshared: Vec::new(), heard: None }
    }
}

impl Invalidations {
    /// A call is to go out: now, at the end of the key's second, or together with one that waits for that.
    fn add(&mut self, mut told: Told, now: u64) {
        let next = self.next.get(&told.hash).map_or(0, |(next, _)| *next).max(now);
        let bytes = self.bytes.saturating_add(told.bytes());
        if next.saturating_sub(now) > PAUSE || self.waiting.len() >= MOST || bytes > MOST_BYTES {
            self.next.put(told.hash, (next, now));
            return;
        }
        self.next.put(told.hash, (next.saturating_add(PAUSE), now));
        told.late = next > now;
        self.bytes = bytes;
        self.waiting.push_back((next, told));
    }

    /// Another worker has seen a key change.
    fn note(&mut self, key: Hash, now: u64) {
        let next = self.next.get(&key).map_or(0, |(next, _)| *next).max(now.saturating_add(PAUSE));
        self.next.put(key, (next, now));
    }

    /// How long ago a key was seen to change, as long as its owner may not have heard of it: so long nothing of it is
    /// hot.
    pub fn changed(&self, key: Hash, now: u64) -> Option<u64> {
        let (next, at) = self.next.peek(&key)?;
        (now < next.saturating_add(TIMEOUT)).then(|| now.saturating_sub(*at))
    }

    /// The calls that go out now.
    fn due(&mut self, now: u64) -> Vec<Told> {
        let (due, waiting): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = waiting;
        self.bytes = self.waiting.iter().map(|(_, told)| told.bytes()).sum();
        due.into_iter().map(|(_, told)| told).collect()
    }

    /// Whether there is nothing to send or to share.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unshared.is_empty()
    }
}

impl Told {
    fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
        fields.saturating_add(self.target.len()).saturating_add(self.authority.len())
    }

    /// The headers of the calls: one for each peer that is told.
    pub fn calls<'t>(&'t self, known: &'t Known) -> Vec<message::Headers<'t>> {
        let said = wire::Question {
            group: self.group.clone(),
            namespace: self.namespace.clone().unwrap_or_default(),
            ..wire::Question::new()
        };
        let call = |peer: &'t str| -> message::Headers<'t> {
            let own = [
                (":method", Cow::Borrowed("POST")),
                (":scheme", Cow::Borrowed("http")),
                (":authority", Cow::Borrowed(&self.authority)),
                (":path", Cow::Owned(format!("{}{}", paths::INVALIDATE, self.target))),
                (header::WIRE, Cow::Owned(said.to_string())),
                (header::SCHEME, Cow::Borrowed(self.scheme)),
                (header::PEER, Cow::Borrowed(peer)),
            ];
            own.into_iter()
                .chain(self.fields.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))))
                .collect()
        };
        known.ring.order(self.hash).into_iter().take(PEERS).map(|peer| call(&peer.data)).collect()
    }
}

/// The fields of a request that may reroute, as text: Envoy's SDK takes no other, and a request with such a one is
/// never asked for.
fn rerouting(request: &Request<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
    request
        .fields
        .iter()
        .filter(|(name, _)| REROUTING.contains(name))
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

/// Whether a request's response has to be looked at when it comes.
pub fn matters(head: &Head<'_>) -> bool {
    is_unsafe(head.method())
}

impl Exchange<'_> {
    /// A request that went its ordinary way was answered. `map`: its header map.
    pub fn answered_by_service(&mut self, site: &Site, map: &[u8], response: &Response<'_>) {
        let Some(head) = Head::read(map) else { return };
        let Ok(request) = head.request() else { return };
        if request.flags.any(Flags::GRPC) {
            return;
        }
        let targets = invalidates(&request, response);
        if targets.is_empty() {
            return;
        }
        let views = possible_key_fields(&request);
        for (target, fields) in targets.iter().flat_map(|target| views.iter().map(move |fields| (target, fields))) {
            let read = Request::read(
                b"GET",
                request.scheme.as_bytes(),
                request.authority.as_bytes(),
                target.as_bytes(),
                fields,
            );
            if let Ok(other) = read {
                self.invalidate(site, &other, target);
            }
        }
    }

    fn invalidate(&mut self, site: &Site, request: &Request<'_>, target: &str) {
        let GroupMatch::Group(group) = site.served().find(request, site.namespace()) else { return };
        match site.mode(group) {
            Mode::On => {}
            Mode::Observe if group.keys_more_than_target() => return self.worker.observed.clear(),
            Mode::Observe => {
                return self.worker.observed.forget(Observer::slot(group, &Key::of(group, request, None)));
            }
            Mode::Off => return,
        }
        let told = Told {
            hash: Key::of(group, request, None).hash(),
            group: group.name().to_owned(),
            namespace: site.namespace().map(str::to_owned),
            scheme: request.scheme_name(),
            authority: request.authority.to_owned(),
            target: target.to_owned(),
            fields: rerouting(request),
            more: group.keys_more_than_target(),
            late: false,
        };
        self.forget(&told);
        self.worker.invalidations.add(told, self.now);
    }

    fn forget(&mut self, told: &Told) {
        if told.more {
            // Which other headers and cookies are in keys of this target, nobody knows: all of them.
            let what = Scope { group: Some(told.group.clone()), paths: vec![told.target.clone()], ..Scope::default() };
            self.worker.forget_named(&what);
        } else {
            self.worker.forget_hash(told.hash);
        }
        self.worker.invalidations.unshared.push(if told.more { ALL } else { told.hash.0 });
    }

    /// What peers are told now.
    pub fn due_invalidations(&mut self) -> Vec<Told> {
        let due = self.worker.invalidations.due(self.now);
        due.iter().filter(|told| told.late).for_each(|told| self.forget(told));
        due
    }

    /// Tells the proxy's other workers what went, and hears what went from theirs. `name`: of the memory that they
    /// share.
    pub fn share_invalidations(&mut self, shared: &mut dyn Shared, name: &str) {
        let all = &mut self.worker.invalidations;
        let (value, number) = shared.get(name).unwrap_or_default();
        let (mut count, mut hashes) = read(&value);
        let before = all.heard.replace(count).unwrap_or(count);
        let news = usize::try_from(count.saturating_sub(before)).unwrap_or(usize::MAX);
        let missed = news > hashes.len();
        let news: Vec<u128> = hashes.iter().rev().take(news).copied().collect();
        if !all.unshared.is_empty() {
            count = count.saturating_add(u64::try_from(all.unshared.len()).unwrap_or(0));
            hashes.extend(&all.unshared);
            let kept = hashes.len().saturating_sub(SHARED);
            hashes.drain(..kept);
            // Another worker was quicker: next time.
            if shared.set(name, &write(count, &hashes), number) {
                all.unshared.clear();
                all.heard = Some(count);
            }
        }
        if missed || news.contains(&ALL) {
            self.worker.forget_all();
        } else {
            for hash in news.into_iter().map(Hash) {
                self.worker.forget_hash(hash);
                self.worker.invalidations.note(hash, self.now);
            }
        }
    }
}

fn read(value: &[u8]) -> (u64, Vec<u128>) {
    let Some((count, rest)) = value.split_first_chunk::<8>() else { return (0, Vec::new()) };
    (u64::from_le_bytes(*count), rest.as_chunks::<16>().0.iter().map(|hash| u128::from_le_bytes(*hash)).collect())
}

fn write(count: u64, hashes: &[u128]) -> Vec<u8> {
    let mut value = count.to_le_bytes().to_vec();
    hashes.iter().for_each(|hash| value.extend_from_slice(&hash.to_le_bytes()));
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pairs, shared::Memory, worker::Worker};
    use meshcache_protocol::{Groups, Peer, Ring};

    fn worker() -> (Worker, Site) {
        let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}}]});
        let peers = ["a", "b", "c"].map(|name| Peer {
            name: name.into(),
            data: format!("{name}:1"),
            peer: format!("{name}:2"),
        });
        let known = Known {
            version: "v".into(),
            installation: "meshcache".into(),
            groups: Groups::new(serde_json::from_value(config).unwrap()).unwrap(),
            ring: Ring::new(peers.to_vec()),
        };
        let mut worker = Worker::new(1 << 20);
        worker.learn(known);
        let mut site = Site::new(None, None, Some("ns".into()));
        site.learn(worker.known());
        (worker, site)
    }

    fn answered(worker: &mut Worker, site: &Site, request: &[(&str, &str)], status: u16, now: u64) -> Vec<Told> {
        let pseudo = [(":scheme", "http"), (":authority", "h"), (":path", "/a?b")];
        let fields: Vec<_> =
            pseudo.iter().chain(request).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let map = pairs::write(fields.iter().copied());
        let mut exchange = Exchange { worker, now };
        exchange.answered_by_service(site, &map, &Response { status, fields: &[(b"location", b"/new")] });
        exchange.due_invalidations()
    }

    #[test]
    fn the_owner_and_the_next_peer_are_told_of_each_target() {
        let (mut worker, site) = worker();
        let told = answered(&mut worker, &site, &[(":method", "POST")], 201, 0);
        let targets: Vec<_> = told.iter().map(|told| told.target.as_str()).collect();
        assert_eq!(targets, ["/a?b", "/new"]);
        let known = worker.known().unwrap();
        let calls = told[0].calls(known);
        let of = |call: &message::Headers<'_>, name: &str| {
            call.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string()).unwrap_or_default()
        };
        let order: Vec<_> = known.ring.order(told[0].hash).into_iter().take(2).map(|peer| peer.data.clone()).collect();
        assert_eq!(calls.iter().map(|call| of(call, header::PEER)).collect::<Vec<_>>(), order);
        let call = &calls[0];
        assert_eq!(
            [":method", ":path", ":authority", header::SCHEME, header::WIRE].map(|name| of(call, name)),
            ["POST", "/.meshcache/invalidate/a?b", "h", "http", "1; group=g; namespace=ns"]
        );
    }

    #[test]
    fn they_are_told_of_it_with_and_without_what_a_gateway_adds() {
        let (mut worker, site) = worker();
        let told = answered(
            &mut worker,
            &site,
            &[(":method", "POST"), ("x-forwarded-port", "443"), ("x-http-method", "PUT"), ("x", "1")],
            200,
            0,
        );
        let fields: Vec<_> = told
            .iter()
            .take(2)
            .map(|told| {
                told.calls(worker.known().unwrap())[0].iter().skip(7).map(|(name, _)| *name).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(fields, [vec!["x-forwarded-port"], vec![]]);
        assert_ne!(told[0].hash, told[1].hash);
    }

    #[test]
    fn calls_that_wait_are_bounded_in_bytes_however_long_their_targets_are() {
        let told = |n: usize| Told {
            hash: Hash(n as u128),
            group: "g".into(),
            namespace: None,
            scheme: "http",
            authority: "h".into(),
            target: "x".repeat(50_000),
            fields: Vec::new(),
            more: false,
            late: false,
        };
        let mut all = Invalidations::default();
        (0..MOST).for_each(|n| all.add(told(n), 0));
        assert!(all.bytes <= MOST_BYTES && all.waiting.len() == MOST_BYTES / 50_001, "{}", all.waiting.len());
        assert!(all.changed(Hash(MOST as u128 - 1), 1).is_some(), "it is known here all the same");
        assert_eq!((all.due(0).len(), all.bytes), (MOST_BYTES / 50_001, 0));
    }

    #[test]
    fn what_fails_or_is_safe_or_grpc_tells_nobody() {
        let (mut worker, site) = worker();
        for (request, status) in [
            (&[(":method", "POST")][..], 500),
            (&[(":method", "POST")], 404),
            (&[(":method", "OPTIONS")], 200),
            (&[(":method", "POST"), ("content-type", "application/grpc")], 200),
        ] {
            assert_eq!(answered(&mut worker, &site, request, status, 0), [], "{request:?}");
        }
        assert!(worker.invalidations.is_idle());
    }

    #[test]
    fn peers_are_told_of_a_key_once_a_second_and_the_last_word_counts() {
        let (mut worker, site) = worker();
        let mut times = |now| answered(&mut worker, &site, &[(":method", "PUT")], 200, now).len();
        assert_eq!((times(0), times(300), times(400)), (2, 0, 0));
        let hash = Exchange { worker: &mut worker, now: 0 }.worker.invalidations.waiting[0].1.hash;
        assert_eq!([450, 2999, 3000].map(|now| worker.invalidations.changed(hash, now)), [Some(50), Some(2599), None]);
        let late = Exchange { worker: &mut worker, now: 1000 }.due_invalidations();
        assert!(late.len() == 2 && late.iter().all(|told| told.late), "one for each target");
        assert!(Exchange { worker: &mut worker, now: 5000 }.due_invalidations().is_empty());
    }

    #[test]
    fn workers_tell_each_other_what_went() {
        let mut memory = Memory::default();
        let ((mut one, site), (mut two, _)) = (worker(), worker());
        let mut listen = |worker: &mut Worker| {
            let before = worker.purges();
            Exchange { worker, now: 0 }.share_invalidations(&mut memory, "x");
            worker.purges() - before
        };
        assert_eq!((listen(&mut one), listen(&mut two)), (0, 0));
        answered(&mut one, &site, &[(":method", "PUT")], 204, 0);
        assert_eq!(
            (listen(&mut one), listen(&mut two), listen(&mut two)),
            (0, 2, 0),
            "the target and its Location, once"
        );
        for _ in 0..2 * SHARED {
            answered(&mut one, &site, &[(":method", "PUT")], 204, 0);
        }
        assert_eq!((listen(&mut one), listen(&mut two)), (0, 1), "more than there is room for: all goes");
    }
}
