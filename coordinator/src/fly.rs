//! Waiting together: whoever finds nothing in the store joins the key's flight, and who is first flies it.

use crate::{
    answer,
    asked::Asked,
    body::Body,
    cache::Cache,
    chance::spread,
    flight::{Full, Newer, Takeoff, Waited},
    head::Head,
    hop::Hop,
    load::{Errand, Landed},
    metrics::Metrics,
    served::Served,
    store::{Entry, with_fields},
    through::Aside,
};
use http::Response;
use hyper::body::Incoming;
use meshcache_protocol::{
    Key,
    freshness::{self, Reuse, Selecting, Vary},
    wire::{Outcome, Verdict},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};
use tokio::sync::oneshot;

impl Cache {
    /// Waits for the key's flight, and starts it where there is none.
    pub(crate) async fn fly(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &Head,
        body: Incoming,
        hop: Option<Hop>,
        fwd: &'static str,
        mut since: Option<Newer>,
    ) -> Response<Body> {
        let deadline = match &asked.question {
            Some(question) => tokio::time::Instant::now() + asked.patience(question),
            None => self.deadline(asked.served),
        };
        let (began, mut key) = (Newer::ago(asked.waited()), self.flight_key(asked));
        let (aside, mut variant) = (|reason| Aside::new(reason, fwd), false);
        // More than once: a response may have variants, or may be for nobody who came after its load began. Nobody knew who joined it.
        for _ in 0..3 {
            let flights = if hop.is_some() { &self.asking } else { &self.loading };
            let left = || if since.is_none() { self.left(asked, &key) } else { None };
            let (seat, takeoff) = match flights.join(&key, since, left) {
                Ok(joined) => joined,
                Err(Full) => return self.full(asked, deadline).await,
            };
            let leads = takeoff.is_some();
            let own = takeoff.and_then(|takeoff| self.take_off(takeoff, asked, head, hop.clone(), fwd));
            match seat.wait(deadline).await {
                Waited::Landed(Landed::Given { entry, mut verdict, to_all }) => {
                    let fits = entry.selecting.matches(&asked.request);
                    // What has to be validated before it is used again is for those who asked before the load began (RFC 9111 section 4).
                    let in_time = since.is_some() || verdict.ttl > 0 || matches!(verdict.outcome, Outcome::Hit | Outcome::Stale);
                    if leads || (to_all && fits && in_time) {
                        verdict.collapsed |= !leads;
                        if verdict.reason.is_empty() && fwd != "uri-miss" && matches!(verdict.outcome, Outcome::Miss | Outcome::Revalidated) {
                            verdict.reason = fwd.to_owned();
                        }
                        asked.served.metrics.request(verdict.outcome.label(), "");
                        match answer::give(asked, &entry, verdict, &self.names) {
                            Some(response) => return response,
                            None => return self.let_go(asked, head, body, aside("precondition")).await,
                        }
                    }
                    if to_all && fits {
                        since = Some(began);
                    } else if to_all && !variant {
                        (variant, key) = (true, variant_key(&asked.key, &selecting(asked, &entry)));
                    } else {
                        break;
                    }
                }
                Waited::Landed(Landed::Apart { reason, remember }) => {
                    if let Some(response) = own.and_then(|mut own| own.try_recv().ok()) {
                        asked.served.metrics.request(Outcome::Miss.label(), reason);
                        return response;
                    }
                    if reason == "overload" {
                        spread(deadline).await;
                    }
                    return self.let_go(asked, head, body, Aside { remember, ..aside(reason) }).await;
                }
                Waited::Landed(Landed::Failed(failure)) => return self.failed(asked, failure),
                Waited::Crashed => return self.failed(asked, crate::origin::Failure::Internal),
                Waited::Late if asked.question.is_some() => {
                    asked.served.metrics.request(Outcome::Loading.label(), "");
                    return answer::bare(&Verdict::new(Outcome::Loading));
                }
                // The flight's head was there in time, or it would have failed: a long body need not be waited for.
                Waited::Late => return self.let_go(asked, head, body, aside("slow")).await,
            }
        }
        self.let_go(asked, head, body, aside("not-shared")).await
    }

    /// Flies in a task of its own, that no client's leaving ends. What may turn out to be a plain client's alone comes back to it this way.
    fn take_off(
        self: &Arc<Self>,
        mut takeoff: Takeoff<Landed>,
        asked: &Asked<'_>,
        head: &Head,
        hop: Option<Hop>,
        fwd: &'static str,
    ) -> Option<oneshot::Receiver<Response<Body>>> {
        let (leader, own) = if asked.question.is_none() { Some(oneshot::channel()).unzip() } else { (None, None) };
        let errand = Errand { served: asked.served.clone(), head: head.clone(), key: asked.key.clone(), verified: asked.verified(), fwd };
        let cache = self.clone();
        let under_way = UnderWay::new(&self.metrics);
        tokio::spawn(async move {
            let _under_way = under_way;
            takeoff.clear().await;
            let landed = match hop {
                Some(hop) => cache.ask(errand, hop, leader).await,
                None => {
                    cache.peek(&errand).await;
                    takeoff.loads();
                    cache.load(&errand, leader).await
                }
            };
            takeoff.land(landed);
        });
        own
    }

    /// One load in the background for a stale answer, whatever the number of those who were given it.
    pub(crate) fn refresh(self: &Arc<Self>, asked: &Asked<'_>, head: &Head) {
        if freshness::joins(&asked.served.group, &asked.request, asked.verified()).is_ok()
            && self.passes.get(asked.key.hash(), self.clock.now()).is_none()
            && let key = self.flight_key(asked)
            && let Ok((_, Some(takeoff))) = self.loading.join(&key, None, || self.left(asked, &key))
        {
            self.take_off(takeoff, asked, head, None, "stale");
        }
    }

    /// The key under which a request waits with others: its own, or, where what is stored under that is known to vary, one for all whom
    /// the same variant would fit.
    fn flight_key(&self, asked: &Asked<'_>) -> Key {
        let newest = self.store.peek(&asked.served.share, &asked.key, self.clock.now()).and_then(|(entries, _)| entries.into_iter().next());
        newest.map_or_else(|| asked.key.clone(), |newest| variant_key(&asked.key, &selecting(asked, &newest)))
    }

    /// What a flight has left that landed after the store was looked at for this request: it would be loaded twice. Either what answers it,
    /// or the first that is known of a key that varies.
    fn left(&self, asked: &Asked<'_>, key: &Key) -> Option<Landed> {
        if asked.question.as_ref().is_some_and(|question| question.changed.is_some()) {
            return None;
        }
        let (group, now) = (&asked.served.group, self.clock.now());
        let (entries, _) = self.store.peek(&asked.served.share, &asked.key, now)?;
        let entry = match entries.iter().find(|entry| entry.answers(&asked.request)) {
            Some(entry) => {
                (freshness::reuse(group, &asked.request, asked.verified(), Some(&entry.stored), entry.resident(now)) == Reuse::Fresh).then_some(entry)
            }
            None => entries.first().filter(|newest| variant_key(&asked.key, &selecting(asked, newest)) != *key),
        }?;
        let verdict = answer::aged(Verdict::new(Outcome::Hit), entry, now);
        (verdict.ttl > 0).then(|| Landed::Given { entry: entry.clone(), verdict, to_all: true })
    }

    /// When a plain client has waited long enough for a flight: longer than the load's head may take.
    pub(crate) fn deadline(&self, served: &Served) -> tokio::time::Instant {
        tokio::time::Instant::now() + served.origin.timeout() + 3 * served.group.config().patience.duration()
    }
}

/// What a request has in the fields by which a stored response varies.
fn selecting(asked: &Asked<'_>, stored: &Entry) -> Selecting {
    with_fields(stored, |stored| Selecting::of(&Vary::of(&stored), &asked.request))
}

/// The key of a flight for all whom the same variant would fit. Of what does not vary it is the key itself.
pub(crate) fn variant_key(key: &Key, selecting: &Selecting) -> Key {
    if *selecting == Selecting::default() {
        return key.clone();
    }
    let mut hasher = DefaultHasher::new();
    selecting.hash(&mut hasher);
    Key::from_bytes([key.bytes(), &hasher.finish().to_le_bytes()].concat())
}

/// Counts a flight for as long as it is there.
struct UnderWay(Arc<Metrics>);

impl UnderWay {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.flights.inc();
        Self(metrics.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.flights.dec();
    }
}
