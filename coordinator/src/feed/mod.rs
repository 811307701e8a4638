//! The feed: what proxies learn from a coordinator (groups, ring, purges), and what they report to it.

mod answers;
mod proxies;
mod snapshot;
#[cfg(test)]
mod tests;

use crate::{
    cache::{observe, state::Cache},
    consistency::catch_up::{Claim, Standing},
    feed::{
        answers::{Answers, MAX_SMALL},
        proxies::Proxies,
        snapshot::Snapshot,
    },
    telemetry::{limits::ProcessLimit, metrics::Metrics},
};
use bytes::Bytes;
use http::HeaderValue;
use meshcache_protocol::{
    Hash,
    feed::{self, FeedRequest, FeedResponse, HEARTBEAT, News, State},
    groups::Config,
    purge::{Position, Truncated},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The most purges in one answer: a proxy that lacks more empties its hot cache.
const MAX_PURGES: usize = 1000;
/// Changes that follow each other sooner than this are published together: a proxy gets five answers a second at most,
/// however much changes.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Answers proxies.
pub struct Feed {
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    installation: String,
    me: String,
    publication: Mutex<Publication>,
    proxies: Proxies,
    answers: Answers,
    current: watch::Sender<Arc<Snapshot>>,
}

/// The last publication.
#[derive(Default)]
struct Publication {
    config: Arc<Config>,
    at: Option<Instant>,
    /// The next one is scheduled.
    is_due: bool,
}

/// A response to a proxy.
pub struct Reply {
    /// The body.
    pub json: Bytes,
    /// The value of `meshcache-self`, if this coordinator is in its ring.
    pub own_address: Option<HeaderValue>,
}

/// Why a proxy gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The purge lease is not held, or there is no ring: an answer would let proxies trust what they have.
    NoLease,
    /// There is no memory for the answer.
    NoMemory,
}

impl Feed {
    /// A feed of this cache's groups, ring and purges.
    pub fn new(cache: Arc<Cache>, metrics: Arc<Metrics>, installation: &str, me: &str) -> Arc<Self> {
        let (current, _) = watch::channel(Arc::default());
        Arc::new(Self {
            cache,
            proxies: Proxies::new(metrics.clone()),
            metrics,
            installation: installation.to_owned(),
            me: me.to_owned(),
            publication: Mutex::default(),
            answers: Answers::default(),
            current,
        })
    }

    /// Publishes these groups.
    pub fn set_config(self: &Arc<Self>, config: Config) {
        self.publication.lock().config = Arc::new(config);
        self.publish();
    }

    /// Publishes a change of groups, ring or purges: at once, or together with those that follow soon after the last
    /// publication.
    pub fn publish(self: &Arc<Self>) {
        let mut publication = self.publication.lock();
        // Until there are peers no proxy gets an answer.
        let has_peers = !self.current.borrow().ring.peers().is_empty();
        let last = publication.at.filter(|_| has_peers);
        let wait = last.map_or(Duration::ZERO, |at| MIN_INTERVAL.saturating_sub(at.elapsed()));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !wait.is_zero() => {
                if !std::mem::replace(&mut publication.is_due, true) {
                    let feed = self.clone();
                    runtime.spawn(async move {
                        tokio::time::sleep(wait).await;
                        feed.publish_now(&mut feed.publication.lock());
                    });
                }
            }
            _ => self.publish_now(&mut publication),
        }
    }

    /// Makes a snapshot. The lock is held to the end, so that of two changes at once the later snapshot stays.
    fn publish_now(&self, publication: &mut Publication) {
        (publication.at, publication.is_due) = (Some(Instant::now()), false);
        // The position is read first: a purge that comes now is published the next time.
        let position = self.cache.consistency.position();
        let ring = self.cache.cluster.ring();
        // Equal on all coordinators with the same state: a proxy that changes between them gets no new one.
        let version = format!("{} {:016x} {}", self.installation, ring.version(), self.cache.groups().digest());
        let version = format!("{:032x}", Hash::of(version.as_bytes()).0);
        let own_address = ring.peer(&self.me).and_then(|peer| HeaderValue::from_str(&peer.data).ok());
        let config = publication.config.clone();
        let first_whole = State::first_whole(&config);
        let mut snapshot =
            Snapshot { version, ring, config, position, own_address, first_whole, ..Snapshot::default() };
        snapshot.heartbeats = (1..=feed::VERSION).map(|wire| self.json(wire, &snapshot, false, None).into()).collect();
        self.current.send_replace(Arc::new(snapshot));
    }

    /// Answers a proxy: at once if there is news for it, else after a second.
    pub async fn answer(&self, mut request: FeedRequest) -> Result<Reply, Unavailable> {
        let comparisons = self.proxies.record(&request, &self.cache.groups());
        observe::record_told(&self.cache, &request, &comparisons);
        // It may wait for a second, and there may be many.
        request.requests.clear();
        let wait = if request.at_once { Duration::ZERO } else { Duration::from_millis(HEARTBEAT) };
        let mut current = self.current.subscribe();
        let _ = tokio::time::timeout(wait, current.wait_for(|snapshot| snapshot.is_news_to(&request))).await;
        self.answer_now(&request)
    }

    /// Answers a proxy from the present snapshot.
    pub(crate) fn answer_now(&self, request: &FeedRequest) -> Result<Reply, Unavailable> {
        let snapshot = self.current.borrow().clone();
        let consistency = &self.cache.consistency;
        // Checked at the end of the wait: if this process slept, its answer would be taken for a present one.
        if !consistency.holds_lease() || snapshot.ring.peers().is_empty() {
            consistency.request_catch_up();
            return Err(Unavailable::NoLease);
        }
        let claim = Claim::Unauthenticated { position: &request.announced.position, marks: &request.announced.marks };
        if consistency.record_claim(claim) == Standing::Behind {
            consistency.request_catch_up();
        }
        let json = if snapshot.is_news_to(request) {
            self.news(&snapshot, request).ok_or(Unavailable::NoMemory)?
        } else {
            snapshot.heartbeat(request.wire)
        };
        Ok(Reply { json, own_address: snapshot.own_address.clone() })
    }

    /// Whether there is news for a proxy.
    #[cfg(test)]
    pub(crate) fn has_news(&self, request: &FeedRequest) -> bool {
        self.current.borrow().is_news_to(request)
    }

    /// The state and the purges that a proxy lacks. `None`: there is no memory for them.
    fn news(&self, snapshot: &Snapshot, request: &FeedRequest) -> Option<Bytes> {
        let with_state = snapshot.version(request.wire) != request.version;
        // A later version is answered in this one: in the middle of an upgrade, or back from it, the filter understands
        // that.
        let wire = request.wire.min(feed::VERSION);
        let key = (wire, with_state, request.exact, request.position.clone());
        // Locked while the answer is made: for proxies at the same position it is made once.
        let mut kept = snapshot.answers.lock();
        if let Some(answer) = kept.get(&key) {
            return Some(answer.clone().into_bytes());
        }
        let consistency = &self.cache.consistency;
        let marks = || snapshot.marks.get_or_init(|| consistency.marks(&snapshot.position)).clone();
        let lost =
            |position: Position, marks: String| News { since: position.clone(), position, marks, purges: Vec::new() };
        let news = (!request.position.covers(&snapshot.position)).then(|| {
            let (position, marks) = ((*snapshot.position).clone(), marks());
            match consistency.since(&request.position, MAX_PURGES) {
                Ok(purges) => {
                    let purges = purges.into_iter().map(|purge| purge.told(request.exact)).collect();
                    News { since: request.position.clone(), position, marks, purges }
                }
                Err(Truncated) => lost(position, marks),
            }
        });
        let has_purges = news.as_ref().is_some_and(|news| !news.purges.is_empty());
        let json = self.json(wire, snapshot, with_state, news);
        if json.len() <= MAX_SMALL {
            return Some(json.into());
        }
        let answer = self.answers.reserve(json, &mut kept).or_else(|| {
            self.metrics.count_limit_reached(ProcessLimit::FeedAnswers);
            // A proxy that cannot get the purges learns that: it empties its hot cache.
            let news = has_purges.then(|| lost((*snapshot.position).clone(), marks()))?;
            self.answers.reserve(self.json(wire, snapshot, with_state, Some(news)), &mut kept)
        })?;
        self.answers.keep(key, &answer, &mut kept);
        Some(answer.into_bytes())
    }

    fn json(&self, wire: u32, snapshot: &Snapshot, with_state: bool, news: Option<News>) -> Vec<u8> {
        let state = with_state.then(|| State::new(wire, &self.installation, snapshot.ring.peers(), &snapshot.config));
        let version = snapshot.version(wire).into_owned();
        let response = FeedResponse { wire, peer: self.me.clone(), version, state, news };
        let mut json = serde_json::to_vec(&response).unwrap_or_else(|error| {
            tracing::error!(%error, "the feed cannot be written");
            Vec::new()
        });
        json.shrink_to_fit();
        json
    }

    /// Returns how many proxies asked lately, and some of them.
    #[cfg(feature = "program")]
    pub(crate) fn known_proxies(&self) -> (u64, Vec<meshcache_admin::ProxyState>) {
        self.proxies.known()
    }

    /// Updates the metric of the proxies that asked lately.
    pub fn count_proxies(&self) {
        self.proxies.update_metric();
    }
}
