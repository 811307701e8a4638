//! The connections to one origin: which takes a request, and for how long they are kept.

use crate::{
    http::body::Body,
    jitter::random,
    origin::{
        connect::Connector,
        connection::{Broke, Connection, One, Seen, Stream, Two, Watch},
        connection_limit::Seats,
        failure::{Failure, Missed},
    },
};
use http::{HeaderMap, Method, Request, Response, header::HeaderName};
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Connections that are kept although nobody uses them.
const MOST_IDLE: usize = 64;
/// A request that may not be sent twice takes a connection that was used so lately.
const JUST_NOW: Duration = Duration::from_millis(500);

/// For how long connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ages {
    /// An HTTP/1.1 connection that nobody uses: less than servers keep them.
    pub(super) idle: Duration,
    /// Any connection, up to a fifth less: then it takes no new request, and the name is resolved again for the next
    /// one.
    pub(super) most: Duration,
    /// After so long a silence an HTTP/2 connection is asked for a sign of life, and given up after so long again.
    pub(super) alive: (Duration, Duration),
}

impl Ages {
    /// A connection that says nothing is given up after 10 s.
    pub(super) const ALIVE: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(6));
}

/// The connections to one origin.
pub(super) struct Pool {
    connector: Connector,
    ages: Ages,
    seats: Arc<Seats>,
    kept: Mutex<Kept>,
    /// Held while a connection is opened that may become everybody's; when that failed last, and why.
    opening: tokio::sync::Mutex<Option<(Instant, Missed)>>,
    speaks_http1: AtomicBool,
}

#[derive(Default)]
struct Kept {
    /// The one that was used last is the last.
    idle: Vec<Idle>,
    shared: Vec<Two>,
    is_swept: bool,
}

struct Idle {
    one: One,
    since: Instant,
    until: Instant,
}

/// What a request is on now.
#[derive(Default)]
pub(super) struct On {
    place: Mutex<Where>,
    /// How long it waits for a descriptor.
    patience: Duration,
}

#[derive(Default)]
enum Where {
    /// A connection that is only its own, and ends with it.
    #[default]
    Own,
    /// An HTTP/1.1 connection that was kept.
    Kept(Weak<Pool>),
    /// An HTTP/2 connection.
    Shared(Watch),
}

impl On {
    pub(super) fn new(patience: Duration) -> Self {
        Self { place: Mutex::default(), patience }
    }

    /// The request was left without an answer for too long: an HTTP/2 connection takes no further one; and where a kept
    /// one is silent, those that were kept beside it may be, too.
    pub(super) fn retire(&self) {
        match std::mem::take(&mut *self.place.lock()) {
            Where::Own => {}
            Where::Kept(pool) => {
                if let Some(pool) = pool.upgrade() {
                    pool.kept.lock().idle.clear();
                }
            }
            Where::Shared(watch) => watch.retire(),
        }
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, ages: Ages, seats: Arc<Seats>) -> Arc<Self> {
        let (opening, speaks_http1) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        let pool = Arc::new(Self { connector, ages, seats, kept: Mutex::default(), opening, speaks_http1 });
        pool.seats.enter(Arc::downgrade(&pool));
        pool
    }

    /// Sends a request, at most twice: once more on a new connection where the first has broken and that does no harm.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<Body>,
        on: &On,
    ) -> Result<(Response<Incoming>, Option<Stream>), Missed> {
        let is_safe = is_safe(request.method());
        let again = copy(&request);
        let kept = self.take(is_safe);
        let was_kept = kept.is_some();
        let connection = match kept {
            Some(kept) => kept,
            None => self.open(on.patience).await?,
        };
        let Broke { missed, seen } = match self.once(connection, was_kept, request, on).await {
            Ok(answered) => return Ok(answered),
            Err(broke) => broke,
        };
        let again = match seen {
            Seen::Nothing(request) => request.map(|request| *request).or(again),
            // A server may close a connection just when we take it: that says nothing about the request.
            Seen::Perhaps => again.filter(|_| was_kept && is_safe && missed.failure == Failure::Reset),
        };
        match again {
            Some(again) => {
                self.once(self.open(on.patience).await?, false, again, on).await.map_err(|broke| broke.missed)
            }
            None => Err(missed),
        }
    }

    async fn once(
        self: &Arc<Self>,
        connection: Connection,
        was_kept: bool,
        request: Request<Body>,
        on: &On,
    ) -> Result<(Response<Incoming>, Option<Stream>), Broke> {
        *on.place.lock() = match connection.watch() {
            Some(watch) => Where::Shared(watch),
            None if was_kept => Where::Kept(Arc::downgrade(self)),
            None => Where::Own,
        };
        connection.send(request, |one, headers| self.give_back(one, headers)).await
    }

    /// A connection that is there.
    fn take(&self, is_safe: bool) -> Option<Connection> {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        if let Some(two) = kept.shared(now, None) {
            return Some(Connection::Two(two));
        }
        while let Some(idle) = kept.idle.pop() {
            if !is_safe && now >= idle.since + JUST_NOW {
                // Those below were used even earlier.
                kept.idle.push(idle);
                return None;
            }
            if idle.is_good(now) {
                return Some(Connection::One(idle.one));
            }
        }
        None
    }

    /// A new connection. Where it may become HTTP/2, one is opened for all who want one.
    async fn open(self: &Arc<Self>, patience: Duration) -> Result<Connection, Missed> {
        let since = Instant::now();
        if self.connector.may_be_http2() && !self.speaks_http1.load(Acquire) {
            let mut opening = self.opening.lock().await;
            if let Some(two) = self.kept.lock().shared(Instant::now(), Some(since)) {
                return Ok(Connection::Two(two));
            }
            if let Some((_, missed)) = opening.as_ref().filter(|(at, _)| *at >= since) {
                return Err(missed.clone());
            }
            if !self.speaks_http1.load(Acquire) {
                let opened = self.connect(patience).await;
                *opening = opened.as_ref().err().map(|missed| (Instant::now(), missed.clone()));
                return opened;
            }
        }
        self.connect(patience).await
    }

    async fn connect(self: &Arc<Self>, patience: Duration) -> Result<Connection, Missed> {
        let seat = self.seats.take(patience).await?;
        let opened = self.connector.open(seat).await?;
        // Not all at once: neither those of one coordinator nor those of many.
        let most = self.ages.most.mul_f64(1.0 - 0.2 * (random() as f64 / u64::MAX as f64));
        let connection = Connection::over(opened, Instant::now() + most, self.ages.alive).await?;
        if let Connection::Two(two) = &connection {
            let mut kept = self.kept.lock();
            kept.shared.push(two.clone());
            self.sweep(&mut kept);
        }
        self.speaks_http1.store(matches!(connection, Connection::One(_)), Release);
        Ok(connection)
    }

    /// An HTTP/1.1 connection whose answer has begun: kept when that is through.
    fn give_back(self: &Arc<Self>, mut one: One, headers: &HeaderMap) {
        let idle = said(headers).map_or(self.ages.idle, |said| said.min(self.ages.idle));
        if one.is_ready() {
            self.keep(one, idle);
            return;
        }
        let pool = self.clone();
        tokio::spawn(async move {
            if one.ready().await {
                pool.keep(one, idle);
            }
        });
    }

    /// Closes a connection that nobody uses, the one that was used longest ago. Whether there was one.
    pub(super) fn close_idle(&self) -> bool {
        let mut kept = self.kept.lock();
        let is_idle = !kept.idle.is_empty();
        if is_idle {
            kept.idle.remove(0);
        }
        is_idle
    }

    fn keep(self: &Arc<Self>, one: One, idle: Duration) {
        let since = Instant::now();
        let mut kept = self.kept.lock();
        if kept.idle.len() < MOST_IDLE && !idle.is_zero() && !self.seats.are_needed() {
            kept.idle.push(Idle { one, since, until: since + idle });
            self.sweep(&mut kept);
        }
    }

    /// Closes what has been kept for too long, as long as anything is kept.
    fn sweep(self: &Arc<Self>, kept: &mut Kept) {
        if std::mem::replace(&mut kept.is_swept, true) {
            return;
        }
        let pool = Arc::downgrade(self);
        let every = (self.ages.idle / 4).clamp(Duration::from_millis(50), Duration::from_secs(1));
        tokio::spawn(async move {
            loop {
                sleep(every).await;
                let Some(pool) = pool.upgrade() else { return };
                let (now, mut kept) = (Instant::now(), pool.kept.lock());
                kept.idle.retain(|idle| idle.is_good(now));
                kept.shared.retain(|two| two.is_good(now));
                kept.is_swept = !(kept.idle.is_empty() && kept.shared.is_empty());
                if !kept.is_swept {
                    return;
                }
            }
        });
    }
}

impl Kept {
    /// An HTTP/2 connection with room, opened at that time or later.
    fn shared(&mut self, now: Instant, since: Option<Instant>) -> Option<Two> {
        self.shared.retain(|two| two.is_good(now));
        self.shared.iter().find(|two| since.is_none_or(|since| two.born >= since) && two.has_room()).cloned()
    }
}

impl Idle {
    fn is_good(&self, now: Instant) -> bool {
        now < self.until && self.one.is_free(now)
    }
}

/// How long the server says that it keeps the connection (`Keep-Alive: timeout=5`), with what the way to it takes taken
/// off.
fn said(headers: &HeaderMap) -> Option<Duration> {
    let field = headers.get(HeaderName::from_static("keep-alive"))?.to_str().ok()?;
    let seconds =
        field.split(',').find_map(|word| word.trim().strip_prefix("timeout=")?.trim_matches('"').parse().ok())?;
    let said = Duration::from_secs(seconds);
    Some(said - (said / 2).min(Duration::from_secs(1)))
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The same request once more, where it can be sent twice: it has no body.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    if !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut again = Request::new(Body::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.version_mut() = request.version();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_keeps_connections_for_less_is_believed() {
        for (field, expected) in [
            ("timeout=5, max=100", Some(4000)),
            ("max=9,timeout=2", Some(1000)),
            ("timeout=1", Some(500)),
            ("timeout=0", Some(0)),
            ("max=9", None),
        ] {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("keep-alive"), http::HeaderValue::from_static(field))]);
            assert_eq!(said(&headers), expected.map(Duration::from_millis), "{field}");
        }
    }
}
