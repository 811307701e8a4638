//! The feed: what proxies learn from a coordinator (groups, ring, purges), and what they tell it.

use crate::{cache::Cache, metrics::Metrics};
use bytes::Bytes;
use http::HeaderValue;
use meshcache_protocol::{
    Hash,
    feed::{FeedAnswer, FeedQuestion, Purge, SIGN_OF_LIFE, State},
    groups::Config,
    wire,
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How many purges a state carries at most, and how long each stays in it. A hot cache that has heard no feed for 3 s is not used.
const PURGES: usize = 1000;
const PURGE_STAYS: Duration = Duration::from_secs(60);
/// A proxy that has not asked for so long is gone.
const PROXY_STAYS: Duration = Duration::from_secs(5);
/// Bounds on what proxies may make grow.
const PROXIES: usize = 20_000;
const WORDS: usize = 32;

/// What all proxies are told.
pub struct Feed {
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    installation: String,
    me: String,
    told: Mutex<Told>,
    proxies: Mutex<HashMap<String, (Instant, String)>>,
    words: Mutex<BTreeSet<String>>,
    current: watch::Sender<Arc<Current>>,
}

/// What the state is made of beside the ring.
#[derive(Default)]
struct Told {
    config: Config,
    purges: VecDeque<(Instant, Purge)>,
    /// All purges ever heard, in any order: the exclusive or of their ids' hashes.
    position: u128,
}

/// The state as it goes over the wire: serialised once, however many proxies ask.
#[derive(Default)]
struct Current {
    version: String,
    whole: Bytes,
    sign_of_life: Bytes,
    own_address: Option<HeaderValue>,
}

/// An answer to a proxy: JSON, and this coordinator's own address in the ring.
pub struct Answer {
    /// The body.
    pub json: Bytes,
    /// The value of `meshcache-self`, if this coordinator is in its ring.
    pub own_address: Option<HeaderValue>,
}

impl Feed {
    /// A feed of what this cache has.
    pub fn new(cache: Arc<Cache>, metrics: Arc<Metrics>, installation: &str, me: &str) -> Arc<Self> {
        let (current, _) = watch::channel(Arc::default());
        let (installation, me) = (installation.to_owned(), me.to_owned());
        Arc::new(Self { cache, metrics, installation, me, told: Mutex::default(), proxies: Mutex::default(), words: Mutex::default(), current })
    }

    /// Tells proxies of these groups.
    pub fn set_config(&self, config: Config) {
        lock(&self.told).config = config;
        self.publish();
    }

    /// Tells proxies of a purge. Whether it is news: hearing of it twice is once.
    pub fn purge(&self, purge: Purge) -> bool {
        let now = Instant::now();
        {
            let mut told = lock(&self.told);
            if told.purges.iter().any(|(_, other)| other.id == purge.id) {
                return false;
            }
            while told.purges.len() >= PURGES || told.purges.front().is_some_and(|(at, _)| now.duration_since(*at) > PURGE_STAYS) {
                told.purges.pop_front();
            }
            told.position ^= Hash::of(purge.id.as_bytes()).0;
            told.purges.push_back((now, purge));
        }
        self.publish();
        true
    }

    /// Makes the state anew: after a change of groups, ring or purges.
    pub fn publish(&self) {
        // Held to the end, so that of two changes at once the later state stays.
        let told = lock(&self.told);
        let ring = self.cache.ring();
        let position = format!("{:032x}", told.position);
        let state = State {
            installation: self.installation.clone(),
            peers: ring.peers().to_vec(),
            config: told.config.clone(),
            purges: told.purges.iter().map(|(_, purge)| purge.clone()).collect(),
            position,
        };
        // Equal on all coordinators that have heard the same: a proxy that changes between them is not told again.
        let of = format!("{} {:016x} {} {}", state.installation, ring.version(), self.cache.groups().digest(), state.position);
        let version = format!("{:032x}", Hash::of(of.as_bytes()).0);
        let json = |state| {
            let answer = FeedAnswer { wire: wire::VERSION, peer: self.me.clone(), version: version.clone(), state };
            serde_json::to_vec(&answer).map(Bytes::from).unwrap_or_else(|error| {
                tracing::error!(%error, "the feed cannot be written");
                Bytes::new()
            })
        };
        let own_address = ring.peer(&self.me).and_then(|peer| HeaderValue::from_str(&peer.data).ok());
        let (sign_of_life, whole) = (json(None), json(Some(state)));
        self.current.send_replace(Arc::new(Current { version, whole, sign_of_life, own_address }));
    }

    /// Answers a proxy: at once where it has another state, else after a second.
    pub async fn answer(&self, question: FeedQuestion) -> Answer {
        self.count(&question);
        let mut current = self.current.subscribe();
        let wait = Duration::from_millis(SIGN_OF_LIFE);
        let news = tokio::time::timeout(wait, current.wait_for(|current| current.version != question.version)).await;
        let (whole, current) = match news {
            Ok(Ok(current)) => (true, current.clone()),
            _ => (false, self.current.borrow().clone()),
        };
        let json = if whole { current.whole.clone() } else { current.sign_of_life.clone() };
        Answer { json, own_address: current.own_address.clone() }
    }

    /// Counts the proxies heard lately into the metrics, just before somebody reads them.
    pub fn count_proxies(&self) {
        let mut versions: HashMap<String, usize> = HashMap::new();
        let mut proxies = lock(&self.proxies);
        proxies.retain(|_, (heard, _)| heard.elapsed() < PROXY_STAYS);
        for (_, version) in proxies.values() {
            let known = versions.contains_key(version) || versions.len() < WORDS;
            *versions.entry(if known { version.clone() } else { "other".into() }).or_default() += 1;
        }
        self.metrics.set_proxies(versions);
    }

    /// Takes what a proxy counted. Words that nobody knows make no series: whoever reaches the data port may ask.
    fn count(&self, question: &FeedQuestion) {
        {
            let mut proxies = lock(&self.proxies);
            if question.proxy.len() <= 256 && (proxies.len() < PROXIES || proxies.contains_key(&question.proxy)) {
                let version = if is_word(&question.filter_version) { &question.filter_version } else { "other" };
                proxies.insert(question.proxy.clone(), (Instant::now(), version.to_owned()));
            }
        }
        let groups = self.cache.groups();
        for (group, outcomes) in question.requests.iter().filter(|(group, _)| groups.named(group).is_some()) {
            for (outcome, count) in outcomes.iter().filter(|(outcome, _)| is_word(outcome)) {
                let mut words = lock(&self.words);
                if words.contains(outcome) || (words.len() < WORDS && words.insert(outcome.clone())) {
                    self.metrics.proxy_requests(group, outcome, *count);
                }
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
