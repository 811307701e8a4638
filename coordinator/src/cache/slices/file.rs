//! A file, as one request reads it: slices of one version, each from the store, its owner or the origin.

use crate::{
    cache::{
        groups::ServedGroup,
        invalidation,
        load_outcome::LoadedResponse,
        miss::{self, FlightAnswer},
        ownership, peer_load,
        peer_load::PeerRoute,
        request::{Answered, CacheRequest},
        slices::first::reuse,
        state::Cache,
    },
    http::{body::Body, growing::GrowingBody, head::RequestHead},
    origin::Failure,
    store::{Entry, with_fields},
};
use bytes::Bytes;
use meshcache_protocol::{
    Key, Reason, Slice,
    freshness::{ContentRange, LoadStart, Reuse, strong_tag},
    wire::Question,
};
use std::sync::Arc;
use tokio::time::Instant;

/// A version of a file, and the request that reads it.
pub(crate) struct File {
    cache: Arc<Cache>,
    served: Arc<ServedGroup>,
    head: RequestHead,
    key: Key,
    /// What its slices are asked for with.
    question: Question,
    size: u64,
    length: u64,
    version: String,
    /// When its first slice arrived here, by the store's clock.
    arrived: u64,
}

/// A slice that is there, or still growing.
pub(crate) struct Fetched {
    entry: Arc<Entry>,
    growing: Option<Arc<GrowingBody>>,
    extent: ContentRange,
}

impl Fetched {
    /// Returns a response that is a slice.
    pub(crate) fn of(entry: Arc<Entry>, growing: Option<Arc<GrowingBody>>) -> Option<Self> {
        let extent = entry.slice_extent()?;
        Some(Self { entry, growing, extent })
    }

    /// Reads it from an offset of the file on. None: it is no longer kept.
    pub(crate) fn read(&self, at: u64) -> Option<Body> {
        let skipped = at.checked_sub(self.extent.first)?;
        match &self.growing {
            Some(growing) => growing.read(skipped, Some(self.extent.bytes())).map(Body::stream),
            None => {
                let body = self.entry.body();
                let skipped = usize::try_from(skipped).ok().filter(|skipped| *skipped <= body.len())?;
                let rest: Bytes = body.slice(skipped..);
                (body.len() as u64 == self.extent.bytes()).then_some(Body::Full(rest))
            }
        }
    }
}

impl File {
    /// Returns the file of a first slice, for a request. None: it is no first slice.
    pub(crate) fn of(cache: &Arc<Cache>, request: &CacheRequest<'_>, first: &Fetched) -> Option<Arc<Self>> {
        let asked = request.first_slice().filter(|asked| asked.has(first.extent))?;
        let version = version(&first.entry)?;
        let group = &request.served.group;
        let theirs = request.question.as_ref();
        let question = Question {
            group: group.name().to_owned(),
            namespace: theirs.map_or_else(String::new, |question| question.namespace.clone()),
            verified: request.verified(),
            route: theirs.and_then(|question| question.route.clone()),
            streams: true,
            ..Question::new()
        };
        Some(Arc::new(Self {
            cache: cache.clone(),
            served: request.served.clone(),
            head: request.head.edited(group).for_slices(),
            key: request.key.clone(),
            question,
            size: asked.size,
            length: first.extent.length,
            version: String::from_utf8(version).ok()?,
            arrived: first.entry.arrived,
        }))
    }

    /// Its length.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns the offset behind the slice that a byte is in.
    pub(crate) fn slice_end(&self, at: u64) -> u64 {
        (at / self.size).saturating_add(1).saturating_mul(self.size).min(self.length)
    }

    /// Whether a slice begins with a byte.
    pub(crate) fn is_slice_start(&self, at: u64) -> bool {
        at.is_multiple_of(self.size)
    }

    /// Returns the slice that a byte is in: from the store, or as soon as its head is here.
    pub(crate) async fn fetch(&self, at: u64) -> Result<Fetched, Failure> {
        let fetched = self.find(at).await;
        if matches!(fetched, Err(Failure::NewVersion)) {
            self.forget().await;
        }
        fetched
    }

    async fn find(&self, at: u64) -> Result<Fetched, Failure> {
        let slice = Slice::numbered(self.size, at / self.size, &self.version);
        let fields = self.head.fields();
        let Ok(http) = self.head.request(&fields) else { return Err(Failure::Internal) };
        // The first one is found by its file's key, and may have another version by now.
        let key = if slice.later.is_some() { slice.key(&self.key) } else { self.key.clone() };
        let mut request = CacheRequest {
            served: &self.served,
            head: &self.head,
            http,
            key,
            question: Some(Question { slice: Some(slice.clone()), ..self.question.clone() }),
            is_from_peer: false,
            is_debugged: false,
            slice: Some(slice),
            answered: Answered::default(),
        };
        if self.served.group.config().min_uses > 1 {
            self.cache.uses.record(request.key.hash(), self.cache.clock.now());
        }
        let route = peer_load::route(&self.cache, &request);
        if let Some(fetched) = self.stored(&request, route.is_none()) {
            return Ok(fetched);
        }
        // Its owner may have other slices, or be of a version without any; and what broke off may not do so again.
        let is_anothers = route.is_some();
        let is_worth_another = |failure| match failure {
            Failure::NewVersion => false,
            Failure::IncompleteBody | Failure::Reset => true,
            _ => is_anothers,
        };
        match self.load(&mut request, route).await {
            Err(failure) if is_worth_another(failure) => self.load(&mut request, None).await,
            loaded => loaded,
        }
    }

    fn stored(&self, request: &CacheRequest<'_>, is_owned: bool) -> Option<Fetched> {
        let (cache, now) = (&self.cache, self.cache.clock.now());
        let entry = match request.first_slice() {
            Some(_) => super::first::first(cache, request, now),
            None => cache.store.get(&self.served.quota, &request.key, now, |entry| entry.answers(&request.http)),
        };
        let fetched = Fetched::of(entry?, None).and_then(|fetched| self.check(request, fetched).ok())?;
        if is_owned && reuse(&fetched.entry, now) == Reuse::Stale {
            miss::refresh(cache, request);
        }
        Some(fetched)
    }

    /// Loads a slice together with all who need it.
    async fn load(&self, request: &mut CacheRequest<'_>, route: Option<PeerRoute>) -> Result<Fetched, Failure> {
        let (end, mut ticket) = (self.served.flight_deadline(true), 0);
        loop {
            if let Some(question) = &mut request.question {
                question.flight = ticket;
            }
            match miss::wait(&self.cache, request, route.clone(), "uri-miss", LoadStart::Any).await {
                FlightAnswer::Loaded(LoadedResponse { entry, growing, .. }) => {
                    let fetched = Fetched::of(entry, growing).ok_or(Failure::BadResponse)?;
                    return self.check(request, fetched);
                }
                FlightAnswer::Loading { flight, .. } if Instant::now() < end => ticket = flight,
                FlightAnswer::Loading { .. } => return Err(Failure::Timeout),
                FlightAnswer::Failed(failure) => return Err(failure),
                FlightAnswer::NotShared(why, _) if why.reason == Reason::Overload => return Err(Failure::Overload),
                FlightAnswer::NotShared(..) | FlightAnswer::Own(..) => return Err(Failure::BadResponse),
                FlightAnswer::Full(_) => return Err(Failure::Overload),
                // Proxies fill no slices.
                FlightAnswer::Fill { .. } => return Err(Failure::Internal),
            }
        }
    }

    /// Whether it is the slice that was asked for, of this version.
    fn check(&self, request: &CacheRequest<'_>, fetched: Fetched) -> Result<Fetched, Failure> {
        if fetched.extent.length != self.length || !self.is_version_of(&fetched.entry) {
            return Err(Failure::NewVersion);
        }
        let is_it = request.slice.as_ref().is_some_and(|slice| slice.has(fetched.extent));
        if is_it { Ok(fetched) } else { Err(Failure::BadResponse) }
    }

    fn is_version_of(&self, entry: &Entry) -> bool {
        version(entry).as_deref() == Some(self.version.as_bytes())
    }

    /// Forgets the first slice, here and at its owner, where the origin has another version: the next request gets that.
    async fn forget(&self) {
        if !self.is_superseded() {
            invalidation::after_new_version(&self.cache, &self.served, &self.head, &self.key).await;
        }
    }

    /// Whether this coordinator owns the file, and has the first slice of a newer version.
    fn is_superseded(&self) -> bool {
        let Self { cache, served, head, .. } = self;
        let (first, fields) = (Slice::first(self.size).key(&self.key), head.fields());
        let Ok(http) = head.request(&fields) else { return false };
        let stored = cache.store.get(&served.quota, &first, cache.clock.now(), |entry| entry.answers(&http));
        let is_newer = |entry: Arc<Entry>| entry.arrived > self.arrived && !self.is_version_of(&entry);
        !ownership::is_of_another(cache, self.key.hash()) && stored.is_some_and(is_newer)
    }
}

/// Returns the version of the file that a slice is of.
fn version(slice: &Entry) -> Option<Vec<u8>> {
    with_fields(slice, |stored| strong_tag(&stored))
}
