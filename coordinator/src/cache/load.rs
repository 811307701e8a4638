//! One load from the origin: its head decides whether what it brings may be kept and shared.

use crate::{
    cache::{
        groups::Served,
        load_outcome::{Apart, Audience, Given, Landed, given, given_since},
        response as answer,
        revalidation::Candidates,
        state::Cache,
    },
    clock,
    http::{
        body::Body,
        capture::{CaptureOutcome, capture},
        head::RequestHead,
    },
    jitter::random,
    origin::{Failure, FailureScope, IdleTimeoutBody, Purpose, outgoing, strip_response_headers, with_headers},
    store::{Entry, Parts, PurgeGuard, with_fields},
};
use http::{
    Response, StatusCode,
    header::{RETRY_AFTER, VARY, VIA},
    response,
};
use http_body::Body as _;
use meshcache_protocol::{
    self as protocol, Field, Key, Reason, Request,
    freshness::{self, NotStored, Reuse, Selecting, Times, Vary},
    groups::Overload,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

/// For how long a failure is remembered, so that the next load which brings it is the second, milliseconds.
const FAILURE: u64 = 1000;

/// What a load is made for.
pub(crate) struct Errand {
    pub(crate) served: Arc<Served>,
    pub(crate) head: RequestHead,
    pub(crate) key: Key,
    pub(crate) verified: bool,
    /// Why it is not answered from the store, as Cache-Status has it.
    pub(crate) fwd: &'static str,
    /// Nobody waits for it.
    pub(crate) is_refresh: bool,
}

/// A plain client who led: what may not be shared is still its own answer.
pub(crate) type Leader = Option<oneshot::Sender<Response<Body>>>;

/// An answer whose head is there.
struct Arrived<'a> {
    head: response::Parts,
    body: IdleTimeoutBody,
    times: Times,
    at: u64,
    began: Instant,
    request: &'a Request<'a>,
}

impl Cache {
    /// Loads what an errand is for: from the store where another load was quicker, else from the origin.
    pub(crate) async fn load(&self, errand: &Errand, leader: Leader) -> Landed {
        let Errand { served, head: client, key, verified, fwd, is_refresh } = errand;
        let fields = client.fields();
        let Ok(request) = client.request(&fields).map(|request| request.whole()) else {
            return Landed::Failed(Failure::Internal);
        };
        let load = self.store.begin(key.clone(), self.consistency.position());
        let stale = self
            .store
            .get(&served.quota, key, self.clock.now(), |entry| !entry.is_part() && entry.selecting.matches(&request));
        // Between the look into the store that brought us here and the begin of this flight, another may have landed.
        if let Some(entry) = &stale
            && freshness::reuse(
                &served.group,
                &request,
                *verified,
                Some(&entry.stored),
                entry.resident(self.clock.now()),
            ) == Reuse::Fresh
        {
            return given(entry, Verdict::new(Outcome::Hit), self.clock.now());
        }
        let may_stand_in = stale.as_ref().filter(|entry| self.may_serve_on_error(served, &request, *verified, entry));
        if let Some(entry) = may_stand_in
            && !served.backoff.try_load(key.hash(), self.clock.now())
        {
            return given(entry, Verdict::new(Outcome::Stale).because("origin-down"), self.clock.now());
        }
        // Held until all is here, or it turns out that this is nobody's but the leader's: what passes is not counted.
        let Some(_place) = served.room.place(served.group.config().patience.duration()).await else {
            return self.overloaded(served, stale.as_ref());
        };
        served.metrics.loads_deduped.inc();
        self.cluster.record_load(key);
        let mut candidates = Candidates::of(stale.as_ref(), || self.others(served, key));
        let arrived = loop {
            let conditions = candidates.conditions();
            let Some(outgoing) = outgoing(
                &served.origin,
                &served.group,
                client,
                &self.settings.installation,
                Purpose::Load(&conditions),
            ) else {
                return Landed::Failed(Failure::BadResponse);
            };
            let metrics = &served.metrics;
            if *is_refresh { &metrics.service_refreshes } else { &metrics.service_loads }.inc();
            let (began, requested) = (Instant::now(), clock::wall());
            let sent = served.origin.send(outgoing, Some(served.origin.timeout())).await;
            served.metrics.origin_seconds.observe(began.elapsed().as_secs_f64());
            let (mut head, body) = match sent {
                Ok(response) => response.into_parts(),
                Err(failure) => return self.missed(served, &load, &request, *verified, stale.as_ref(), failure),
            };
            strip_response_headers(&served.group, &mut head.headers);
            self.note_health(served, key, &head);
            let arrived = Arrived {
                head,
                body,
                times: Times { requested, responded: clock::wall() },
                at: self.clock.now(),
                began,
                request: &request,
            };
            if arrived.head.status != StatusCode::NOT_MODIFIED {
                break arrived;
            }
            if let Some(entry) = candidates.confirmed(&arrived.head) {
                return self.revalidated(served, &load, *verified, entry, &arrived);
            }
            if candidates.is_none() {
                // Nobody had asked on condition.
                return self.missed(served, &load, &request, *verified, stale.as_ref(), Failure::BadResponse);
            }
            // It is about another response than ours: once more, for all of it (RFC 9111 section 4.3.4).
            candidates = Candidates::None;
        };
        match stale {
            Some(entry)
                if is_error(arrived.head.status) && self.may_serve_on_error(served, &request, *verified, &entry) =>
            {
                served.metrics.local_load_errs.inc();
                let mut verdict = Verdict::new(Outcome::Stale).because("origin-error");
                verdict.fwd_status = arrived.head.status.as_u16();
                given(&entry, verdict, self.clock.now())
            }
            stale => {
                self.keep(served, &load, *verified, stale.as_ref(), arrived, leader.map(|to| Lead { to, fwd })).await
            }
        }
    }

    /// What is stored of a key for requests with other selecting fields, where the RFC holds to the letter: elsewhere,
    /// tags that are the same for two encodings, as careless origins send them, do no harm.
    fn others(&self, served: &Served, key: &Key) -> Vec<Arc<Entry>> {
        let letter = served.group.config().freshness.errors.by_rfc();
        let stored = letter.then(|| self.store.peek(&served.quota, key, self.clock.now())).flatten();
        stored.map_or_else(Vec::new, |(entries, _)| entries)
    }

    /// Keeps an answer that may be kept; else lets everybody go, the leader with this very answer. A failure is shared
    /// all the same.
    async fn keep(
        &self,
        served: &Arc<Served>,
        load: &PurgeGuard,
        verified: bool,
        stale: Option<&Arc<Entry>>,
        arrived: Arrived<'_>,
        lead: Option<Lead>,
    ) -> Landed {
        let Arrived { head, body, times, at, began, request } = arrived;
        served.metrics.local_load.inc();
        let limit = served.group.config().limits.object.0.min(served.quota.limit());
        // What turns out to be one client's goes on as that.
        let alone = served.origin.pass_timeout();
        let (vary, decided) = with_headers(&head.headers, |fields| {
            let response = protocol::Response { status: head.status.as_u16(), fields };
            let decided = match freshness::store(&served.group, request, verified, &response, times, random()) {
                // A load asks for the whole: a part is no answer to it.
                _ if head.status == StatusCode::PARTIAL_CONTENT => Err(NotStored::Incomplete),
                _ if body.size_hint().lower() > limit => Err(NotStored::TooLarge),
                decided => decided,
            };
            (Vary::of(&response), decided)
        });
        let apart = |why: Why| Parting { served, load, request, vary: vary.clone(), why, stale };
        let stored = match &decided {
            Ok(stored) => Some(stored.clone()),
            Err(not) if freshness::is_shared_failure(&served.group, head.status.as_u16(), *not) => None,
            Err(not) => {
                return self.apart(
                    apart((*not).into()),
                    Response::from_parts(head, Body::stream(body.with_idle_timeout(alone))),
                    lead,
                );
            }
        };
        let body = match capture(body, limit, &mut self.bytes.reserve()).await {
            CaptureOutcome::Whole(body) => body,
            CaptureOutcome::OverBudget(rest) => {
                return self.apart(
                    apart(CROWDED),
                    Response::from_parts(head, Body::stream(rest.map(|rest| rest.with_idle_timeout(alone)))),
                    lead,
                );
            }
            CaptureOutcome::TooLarge(rest) => {
                let rest = Body::stream(rest.map(|rest| rest.with_idle_timeout(alone)));
                return self.apart(apart(NotStored::TooLarge.into()), Response::from_parts(head, rest), lead);
            }
            CaptureOutcome::Cut(cut) => {
                let failure =
                    if cut.0 == Failure::Timeout.label() { Failure::Timeout } else { Failure::IncompleteBody };
                served.metrics.count_not_stored(Reason::Incomplete);
                return self.missed(served, load, request, verified, stale, failure);
            }
        };
        let mut verdict = Verdict::new(Outcome::Miss);
        verdict.fwd_status = head.status.as_u16();
        let tags = served.group.config().tags.header.to_ascii_lowercase();
        let fields = with_headers(&head.headers, |fields| {
            freshness::storable(
                &served.group,
                &protocol::Response { status: head.status.as_u16(), fields },
                times.responded,
            )
        });
        let parts = |stored| Parts {
            status: head.status,
            fields: self.with_via(fields, head.version),
            tags: &tags,
            body,
            selecting: Selecting::in_group(&served.group, &vary, request),
            stored,
            arrived: at,
            position: load.position().clone(),
        };
        let Some(stored) = stored else {
            if let Err(not) = decided {
                served.metrics.count_not_stored(not.reason());
            }
            self.supersede(served, load.key(), request, &head);
            let entry = Arc::new(Entry::new(parts(verdict.to_stored(head.status.as_u16()))));
            let is_second =
                self.failures.replace(load.key().hash(), head.status, self.clock.now(), FAILURE) == Some(head.status);
            (verdict.shared, verdict.waiters) = (true, is_second);
            let verdict = Verdict { why: None, ..answer::aged(verdict, &entry, self.clock.now()) };
            return Landed::Given(Given {
                entry,
                verdict,
                audience: if is_second { Audience::Waiters } else { Audience::First },
                began,
            });
        };
        let entry = Arc::new(Entry::new(parts(stored)));
        verdict.stored = self.put(served, load, &entry);
        given_since(&entry, verdict, self.clock.now(), began)
    }

    /// The origin has confirmed what was stored: it is fresh again, with the fields that the answer brought.
    fn revalidated(
        &self,
        served: &Arc<Served>,
        load: &PurgeGuard,
        verified: bool,
        old: &Arc<Entry>,
        arrived: &Arrived<'_>,
    ) -> Landed {
        served.metrics.local_load.inc();
        let Arrived { head, times, at, began, request, .. } = arrived;
        let mut verdict = Verdict::new(Outcome::Revalidated);
        verdict.fwd_status = head.status.as_u16();
        match self.freshened(served, request, verified, old, load, &Brought { head, times: *times, at: *at }) {
            Ok(entry) => {
                let entry = Arc::new(entry);
                verdict.stored = self.put(served, load, &entry);
                given_since(&entry, verdict, self.clock.now(), *began)
            }
            Err(not) => {
                // It is still right, but may not be kept any longer.
                served.metrics.count_not_stored(not.reason());
                self.store.remove_variants(&served.quota, load.key(), |entry| entry.selecting.matches(request));
                Landed::Given(Given { entry: old.clone(), verdict, audience: Audience::Leader, began: *began })
            }
        }
    }

    /// A stored response with the fields that a 304, or the answer to a HEAD, has brought: as if it had come so now
    /// (RFC 9111 section 3.2).
    pub(crate) fn freshened(
        &self,
        served: &Served,
        request: &Request<'_>,
        verified: bool,
        old: &Entry,
        load: &PurgeGuard,
        brought: &Brought<'_>,
    ) -> Result<Entry, NotStored> {
        let Brought { head: new, times, at } = *brought;
        let fields =
            with_headers(&new.headers, |new| with_fields(old, |stored| freshness::freshened(stored.fields, new)));
        let views: Vec<Field<'_>> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let response = protocol::Response { status: old.stored.status, fields: &views };
        let stored = freshness::store(&served.group, request, verified, &response, times, random())?;
        let selecting = Selecting::in_group(&served.group, &Vary::of(&response), request);
        let fields = freshness::storable(&served.group, &response, times.responded);
        // The stored Via ends with ours already.
        let fields = if new.headers.contains_key(VIA) { self.with_via(fields, new.version) } else { fields };
        let tags = served.group.config().tags.header.to_ascii_lowercase();
        Ok(Entry::new(Parts {
            status: old.status,
            fields,
            tags: &tags,
            body: old.body.clone(),
            selecting,
            stored,
            arrived: at,
            position: load.position().clone(),
        }))
    }

    pub(crate) fn put(&self, served: &Served, load: &PurgeGuard, entry: &Arc<Entry>) -> bool {
        let stored = self.store.put(&served.quota, load, entry.clone(), self.clock.now());
        if stored {
            tracing::debug!(group = served.group.name(), key = %load.key(), why = entry.stored.why.label(), ttl_ms = entry.stored.ttl(0), "stored");
            self.passes.forget(load.key().hash(), &entry.selecting);
        } else {
            served.metrics.count_not_stored(if load.is_purged(entry) { Reason::Purged } else { Reason::TooLarge });
        }
        stored
    }

    /// What came is for nobody but who asked: all go by themselves, and nobody waits for such a request again for a
    /// while.
    fn apart(&self, parting: Parting<'_>, response: Response<Body>, lead: Option<Lead>) -> Landed {
        let Parting { served, load, request, vary, why, stale } = parting;
        let (status, (head, body)) = (response.status().as_u16(), response.into_parts());
        served.metrics.count_not_stored(why.reason);
        if why != CROWDED {
            self.supersede(served, load.key(), request, &head);
        }
        // While there is something to validate, an error is nothing to remember.
        let remember = if stale.is_some() && status >= 500 { 0 } else { why.remember };
        let names = vary.names();
        let remember = self.passes.remember(load.key().hash(), vary, request, why.reason, self.clock.now(), remember);
        tracing::debug!(group = served.group.name(), key = %load.key(), status, reason = why.reason.label(), "not stored");
        if let Some(Lead { to, fwd }) = lead {
            let mut verdict = Verdict::new(Outcome::Miss).because(fwd);
            verdict.fwd_status = status;
            // A leader that has left takes the rest of the body with it.
            let _ = to.send(answer::through(head, body, &self.names, &verdict, why.reason.label(), None));
        }
        Landed::Apart(Apart { reason: why.reason.into(), remember, vary: names })
    }

    /// Frees what an answer that is not stored itself takes the place of: the variant that was stored for such a
    /// request, and all of them where there is nothing any more. What says that the origin refuses or fails says
    /// nothing of what is stored.
    pub(crate) fn supersede(&self, served: &Served, key: &Key, request: &Request<'_>, head: &response::Parts) {
        let status = head.status.as_u16();
        match status {
            300..=399 | 401 | 403 | 407 | 500 | 502..=504 => {}
            _ if freshness::is_provoked(status) => {}
            404 | 410 if !head.headers.contains_key(VARY) => {
                self.store.remove(&served.quota, key.hash(), self.clock.now());
            }
            _ => self.store.remove_variants(&served.quota, key, |entry| entry.selecting.matches(request)),
        }
    }

    /// Remembers whether the origin answers as it should.
    fn note_health(&self, served: &Served, key: &Key, head: &response::Parts) {
        if is_error(head.status) {
            let retry_after = head
                .headers
                .get(RETRY_AFTER)
                .map_or(0, |value| freshness::retry_after(value.as_bytes(), clock::wall()));
            served.backoff.record_failure(key.hash(), FailureScope::Key { retry_after }, self.clock.now(), random());
        } else {
            served.backoff.record_success(key.hash());
        }
    }

    /// No answer, or half of one: what is stale where it allows that.
    fn missed(
        &self,
        served: &Served,
        load: &PurgeGuard,
        request: &Request<'_>,
        verified: bool,
        stale: Option<&Arc<Entry>>,
        failure: Failure,
    ) -> Landed {
        served.metrics.local_load_errs.inc();
        if let Some(failing) = failure.scope() {
            served.backoff.record_failure(load.key().hash(), failing, self.clock.now(), random());
        }
        match stale {
            Some(entry) if self.may_serve_on_error(served, request, verified, entry) => {
                given(entry, Verdict::new(Outcome::Stale).because(failure.reason()), self.clock.now())
            }
            // A cache without a connection says 504 where it must not give what it has (RFC 9111 section 5.2.2.2).
            Some(entry)
                if failure != Failure::Timeout && (entry.stored.must_revalidate || entry.stored.always_validate) =>
            {
                Landed::Failed(Failure::Unvalidated)
            }
            _ => Landed::Failed(failure),
        }
    }

    fn may_serve_on_error(&self, served: &Served, request: &Request<'_>, verified: bool, entry: &Entry) -> bool {
        freshness::reuse_on_error(&served.group, request, verified, &entry.stored, entry.resident(self.clock.now()))
    }

    /// No place for a load in time: what is stale, where the group wants that and the answer allows it, else each by
    /// itself, or 503.
    fn overloaded(&self, served: &Served, stale: Option<&Arc<Entry>>) -> Landed {
        let overload = served.group.config().overload;
        served.room.complain(served.group.name(), overload, self.clock.now());
        if overload == Overload::Refuse {
            return Landed::Failed(Failure::Overload);
        }
        match stale.filter(|entry| {
            overload == Overload::Stale && !entry.stored.must_revalidate && !entry.stored.always_validate
        }) {
            Some(entry) => given(entry, Verdict::new(Outcome::Stale).because("overload"), self.clock.now()),
            None => Landed::Apart(Apart { reason: Reason::Overload.into(), remember: 0, vary: String::new() }),
        }
    }

    /// The fields with `Via`, as every answer from the store carries it.
    pub(crate) fn with_via(
        &self,
        mut fields: Vec<(Vec<u8>, Vec<u8>)>,
        version: http::Version,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        fields.push((b"via".to_vec(), self.names.via(version).as_bytes().to_vec()));
        fields
    }
}

/// A head that says something new of what is stored: when it was asked for and came, and that by the store's clock.
pub(crate) struct Brought<'a> {
    pub(crate) head: &'a response::Parts,
    pub(crate) times: Times,
    pub(crate) at: u64,
}

/// A plain client who led, and why it was not answered from the store, as Cache-Status has it.
struct Lead {
    to: oneshot::Sender<Response<Body>>,
    fwd: &'static str,
}

/// Why an answer is for nobody but who asked, and for how many milliseconds the key is remembered so.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Why {
    reason: Reason,
    remember: u64,
}

/// There was no room for the body on its way, which says nothing of the next time.
const CROWDED: Why = Why { reason: Reason::Overload, remember: 0 };

impl From<NotStored> for Why {
    fn from(not: NotStored) -> Self {
        Self { reason: not.reason(), remember: not.remember() }
    }
}

/// What parts those who wait from each other.
struct Parting<'a> {
    served: &'a Arc<Served>,
    load: &'a PurgeGuard,
    request: &'a Request<'a>,
    vary: Vary,
    why: Why,
    stale: Option<&'a Arc<Entry>>,
}

fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
