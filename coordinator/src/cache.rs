//! One lookup at the owner: store, owner, flight, load, store, answer.

use crate::{
    answer::{self, Names},
    aside::Aside,
    asked::{Asked, route},
    body::Body,
    clock::{self, Clock},
    flight::{Bounds, Flights, Numbers},
    former::Former,
    head::Head,
    history::History,
    hop::Hop,
    http::Unread,
    invalidate::Invalidations,
    landed::Landed,
    lease::Lease,
    limit::Limit,
    marker::Marker,
    metrics::Metrics,
    origin::{BadCa, Clients, Seats},
    passes::{Passes, Passing},
    peers::Peers,
    recent::Lately,
    room::Bytes,
    served::{Rules, Served},
    settings::{Door, Settings, Usage},
    store::Store,
};
use arc_swap::ArcSwap;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use meshcache_protocol::{
    Groups, Observer, Reason, Ring,
    freshness::{self, LoadStart, Reuse},
    groups::Mode,
    observe,
    wire::{Outcome, Verdict},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};
use tokio::sync::watch;

/// Loads under way at once, and requests that wait for them. Over it a question passes and a client is told to come
/// back.
const MOST: Bounds = Bounds { flights: 10_000, waiters: 100_000 };
/// Of bodies that are on their way into the store, as many bytes as a quarter of it, but at least these: what is more
/// goes past it.
const LEAST: u64 = 64 << 20;
/// What requests under way may take that the store does not answer, with their heads and their connections to origins.
/// Resident it is half as much again.
const UNDER_WAY: u64 = 80 << 20;
/// Of so many keys it is remembered for a moment that they failed, or were asked for in part.
const LATELY: usize = 16_384;
/// The most that is remembered of groups that observe.
const OBSERVED: observe::Limits = observe::Limits { responses: 16_384, bytes: 16 << 20 };

/// The cache of one coordinator.
pub struct Cache {
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// Loads from origins.
    pub(crate) loading: Flights<Landed>,
    /// Questions to other coordinators. Apart from loads, so that what a peer asks of us never waits for what we ask
    /// of it.
    pub(crate) asking: Flights<Landed>,
    pub(crate) passes: Passes,
    /// The statuses of failures that a load has just brought.
    pub(crate) failures: Lately<StatusCode>,
    /// Keys of which a head or a part was just asked for.
    pub(crate) asked_for_less: Lately<()>,
    /// Bodies on their way into the store.
    pub(crate) bytes: Arc<Bytes>,
    /// Heads of requests under way, and what goes past the cache with them.
    pub(crate) heads: Arc<Bytes>,
    /// Bodies of control calls that anybody may send, and of those of who has a token.
    pub(crate) unread: Unread,
    pub(crate) unread_of_peers: Unread,
    pub(crate) invalidations: Invalidations,
    /// What passed in groups that only observe.
    pub(crate) observed: Mutex<Observer>,
    pub(crate) peers: Peers,
    pub(crate) history: History,
    pub(crate) lease: Lease,
    /// Makes the marks of purges, and tells right ones.
    pub(crate) marker: ArcSwap<Marker>,
    /// Lets peers be asked now what they have purged.
    pub(crate) wake: watch::Sender<()>,
    /// Told when a peer has answered that, and all was carried out.
    pub(crate) caught_up: watch::Sender<()>,
    /// When a request last waited for that in vain.
    pub(crate) waited: AtomicU64,
    /// The rings before this one. Its lock is held while the ring or the links to peers change.
    pub(crate) former: Mutex<Former>,
    /// Owners whose keys were loaded here, because they did not answer whoever asked: they have to hear of it.
    pub(crate) stood_in: Mutex<BTreeSet<String>>,
    rules: ArcSwap<Rules>,
    reloading: Mutex<()>,
    ring: ArcSwap<Ring>,
    clients: Clients,
    pub(crate) metrics: Arc<Metrics>,
}

impl Cache {
    /// An empty cache with no groups and an empty ring.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        let (clock, numbers) = (Clock::new(), Numbers::from(clock::wall()));
        Arc::new(Self {
            names: Names::new(&settings.installation),
            clock,
            store: Store::new(settings.store_bytes),
            loading: Flights::new(MOST, numbers.clone()),
            asking: Flights::new(MOST, numbers),
            passes: Passes::default(),
            failures: Lately::new(LATELY),
            asked_for_less: Lately::new(LATELY),
            heads: Bytes::new(UNDER_WAY),
            unread: Unread::new(metrics.clone()),
            unread_of_peers: Unread::new(metrics.clone()),
            invalidations: Invalidations::default(),
            observed: Mutex::new(Observer::new(OBSERVED)),
            peers: Peers::new(clock, metrics.clone()),
            bytes: Bytes::new((settings.store_bytes / 4).max(LEAST)),
            history: History::new(&settings.me),
            lease: Lease::default(),
            marker: ArcSwap::default(),
            wake: watch::channel(()).0,
            caught_up: watch::channel(()).0,
            waited: AtomicU64::new(0),
            former: Mutex::default(),
            stood_in: Mutex::default(),
            rules: ArcSwap::default(),
            reloading: Mutex::default(),
            ring: ArcSwap::default(),
            clients: Clients::new(Seats::of_process(metrics.clone())),
            settings,
            metrics,
        })
    }

    /// Answers a request. Never fails: what goes wrong is an answer.
    pub async fn answer(self: &Arc<Self>, door: Door, request: Request<Incoming>) -> Response<Body> {
        let (began, now) = (Instant::now(), self.clock.now());
        let (parts, body) = request.into_parts();
        let head = match Head::read(door, parts) {
            Ok(head) => head,
            Err(bad) => return answer::refused(StatusCode::BAD_REQUEST, bad.reason(), &self.names),
        };
        let rules = self.rules.load_full();
        let fields = head.fields();
        let (served, response) =
            match route(door, &head, &fields, &rules, &self.settings.installation, self.settings.identity) {
                Ok(asked) if !self.is_sure(asked.claim()).await => {
                    (Some(asked.served), self.let_go(&asked, &head, body, Aside::new(Reason::PurgeLag, "bypass")).await)
                }
                Ok(asked) => (Some(asked.served), self.look_up(&asked, &head, body, now).await),
                Err(elsewhere) => self.elsewhere(elsewhere, &head, body).await,
            };
        if let Some(served) = served {
            served.metrics.request_seconds.observe(began.elapsed().as_secs_f64());
        }
        response
    }

    /// The store first. What it has is given at once, whoever owns the key.
    async fn look_up(self: &Arc<Self>, asked: &Asked<'_>, head: &Head, body: Incoming, now: u64) -> Response<Body> {
        let Served { group, metrics, share, .. } = &**asked.served;
        metrics.gets.inc();
        if asked.question.is_none() {
            metrics.from_clients.inc();
        }
        if asked.is_from_peer {
            metrics.server_requests.inc();
        }
        let stored = self.store.get(share, &asked.key, now, |entry| entry.answers(&asked.request));
        let stored = stored.filter(|entry| !self.has_changed(asked, entry, now));
        let resident = stored.as_ref().map_or(0, |entry| entry.resident(now));
        let reuse = freshness::reuse(
            group,
            &asked.request,
            asked.verified(),
            stored.as_ref().map(|entry| &entry.stored),
            resident,
        );
        let found = match (reuse, &stored) {
            (Reuse::Fresh, Some(entry)) => Some((entry, Outcome::Hit)),
            (Reuse::Stale, Some(entry)) => Some((entry, Outcome::Stale)),
            _ => None,
        };
        if group.config().mode == Mode::Observe && asked.question.is_none() {
            metrics.request(found.map_or(Outcome::Miss, |(_, outcome)| outcome).label(), Reason::Observe);
            return Box::pin(self.through(
                asked.served,
                head,
                body.into(),
                Aside::new(Reason::Observe, "bypass"),
                Some(asked),
            ))
            .await;
        }
        // A stale answer is refreshed by the key's owner: who is not asks it.
        let found = found.filter(|(_, outcome)| *outcome == Outcome::Hit || self.hop(asked).is_none());
        if let Some((entry, outcome)) = found {
            if outcome == Outcome::Stale {
                self.refresh(asked, head);
            }
            let mut verdict = answer::aged(Verdict::new(outcome), entry, now);
            verdict.shared = true;
            if let Some(response) = answer::give(asked, entry, verdict, &self.names) {
                metrics.hits.inc();
                metrics.answered(outcome.label());
                return response;
            }
        }
        metrics.loads.inc();
        let fwd = match reuse {
            Reuse::Validate("uri-miss") => self.missed_by(asked, now),
            Reuse::Validate(word) => word,
            Reuse::Stale => "stale",
            Reuse::OnlyIfCached => "uri-miss",
            // There is something, but not for this request.
            Reuse::Fresh | Reuse::Refuse => "request",
        };
        let validates = stored.is_some_and(|entry| entry.stored.validator);
        Box::pin(self.fetch(asked, head, body, reuse, fwd, validates)).await
    }

    /// What keeps the store from answering a request that it has no response for, as Cache-Status has it.
    fn missed_by(&self, asked: &Asked<'_>, now: u64) -> &'static str {
        match self.store.peek(&asked.served.share, &asked.key, now) {
            None => "uri-miss",
            Some((entries, _))
                if entries.iter().any(|entry| entry.is_part() && entry.selecting.matches(&asked.request)) =>
            {
                "partial"
            }
            Some(_) => "vary-miss",
        }
    }

    /// What the store cannot answer: alone, or together with all who ask for the same.
    async fn fetch(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &Head,
        body: Incoming,
        reuse: Reuse,
        fwd: &'static str,
        validates: bool,
    ) -> Response<Body> {
        let Served { group, .. } = &**asked.served;
        if !head.count(&self.heads) {
            self.metrics.met(Limit::Heads);
            return self.full(asked, tokio::time::Instant::now()).await;
        }
        let hop = self.hop(asked);
        let shares = match freshness::shares(group, &asked.request, asked.verified(), validates) {
            Err(alone) => Err(alone.reason()),
            Ok(_) if reuse == Reuse::Refuse => Err(Reason::Identity),
            Ok(_) if reuse == Reuse::OnlyIfCached => Err(Reason::OnlyIfCached),
            Ok(since) => Ok(since),
        };
        let since = match shares {
            Ok(since) => since,
            Err(_) if matches!(reuse, Reuse::Validate(_) | Reuse::Stale) && self.loads_the_whole(asked) => {
                LoadStart::Any
            }
            Err(reason) => return self.fetch_alone(asked, head, body, reuse, Aside::new(reason, fwd), hop).await,
        };
        // A plain client's own answer is stored as it passes, if it may be: a proxy's is not seen here.
        if let Some(Passing { reason, remember, vary, tries }) = self.passes.get(
            asked.key.hash(),
            &asked.request,
            asked.question.is_some() && hop.is_none(),
            self.clock.now(),
        ) {
            if tries {
                self.load_beside(asked, head, fwd);
            }
            return self.let_go(asked, head, body, Aside { remember, vary, ..Aside::new(reason, fwd) }).await;
        }
        self.fly(asked, head, body, hop, fwd, since).await
    }

    /// For a request that shares with nobody.
    async fn fetch_alone(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &Head,
        body: Incoming,
        reuse: Reuse,
        aside: Aside,
        hop: Option<Hop>,
    ) -> Response<Body> {
        let metrics = &asked.served.metrics;
        if let Some(hop) = &hop
            && let Some(response) = self.relay(asked, head, hop).await
        {
            metrics.request(Outcome::Hit.label(), Reason::Peer);
            return response;
        }
        if reuse == Reuse::OnlyIfCached {
            metrics.request(Outcome::Error.label(), Reason::OnlyIfCached);
            return answer::only_if_cached(asked, &self.names);
        }
        self.let_go(asked, head, body, aside).await
    }
}

impl Cache {
    /// Takes these groups from now on. Fails where an origin's `ca` cannot be read: then the old groups stay.
    pub fn set_groups(&self, groups: Arc<Groups>) -> Result<(), BadCa> {
        let _one_at_a_time = self.reloading.lock();
        let rules = Rules::new(groups, &self.rules.load(), &self.store, &self.clients, &self.metrics)?;
        self.rules.store(Arc::new(rules));
        Ok(())
    }

    /// The groups, ready to be served.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// The groups.
    pub fn groups(&self) -> Arc<Groups> {
        self.rules.load().groups.clone()
    }

    /// Puts a ring in the place of the one before.
    pub(crate) fn swap_ring(&self, ring: Arc<Ring>) -> Arc<Ring> {
        self.ring.swap(ring)
    }

    /// The ring.
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.load_full()
    }

    /// What it shows to peers. `None`: it asks none, and loads for itself.
    pub fn set_peer_token(&self, token: Option<String>) {
        self.set_peer_tokens(token.as_slice());
    }

    /// The tokens of peers: the first is shown to them and marks purges, and the marks of all are right.
    pub fn set_peer_tokens(&self, tokens: &[String]) {
        self.peers.set_token(tokens.first().cloned());
        self.marker.store(Arc::new(Marker::new(tokens)));
    }

    /// How many requests wait, how many bytes of bodies are on their way into the store, and how many those take that
    /// are under way.
    pub fn under_way(&self) -> (usize, u64, u64) {
        (self.loading.waiters() + self.asking.waiters(), self.bytes.used(), self.heads.used())
    }

    /// What each group has, for gauges.
    pub fn usage(&self) -> Vec<Usage> {
        self.store.usage()
    }
}

#[cfg(test)]
impl Cache {
    /// An empty one, with no groups and an empty ring.
    pub(crate) fn sample(me: &str, store_bytes: u64) -> Arc<Self> {
        let identity = crate::settings::Identity::None;
        Self::new(
            Settings { me: me.to_owned(), installation: "meshcache".into(), store_bytes, identity },
            Metrics::new().unwrap(),
        )
    }
}
