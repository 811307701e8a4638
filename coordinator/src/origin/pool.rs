//! The connections to one origin: which takes a request, and how long idle ones are kept.

use crate::{
    http::{body::Body, names},
    jitter::random,
    origin::{
        connect::Connector,
        connection::{Connection, Processing, SendError, WeakHttp2Stream},
        connection_limit::{CloseIdle, ConnectionLimit},
        failure::{Failure, OriginError},
        http1::Http1Connection,
        pooled::{IdleConnection, PooledConnections},
        response_body::{Reclaim, ResponseBody},
    },
};
use http::{HeaderMap, Method, Request, Response};
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
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

/// The most idle connections.
const MAX_IDLE: usize = 64;
/// The longest idle time of a connection for a request that may not be sent twice.
const MAX_IDLE_UNSAFE: Duration = Duration::from_millis(500);

/// How long connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lifetimes {
    /// The idle timeout of an HTTP/1.1 connection: shorter than that of usual servers.
    pub(super) idle: Duration,
    /// The age of any connection, up to a fifth less, after which it takes no new request and the name is resolved
    /// again.
    pub(super) max_age: Duration,
    /// An HTTP/2 connection is pinged after the first time of silence, and closed after the second.
    pub(super) keep_alive: (Duration, Duration),
}

impl Lifetimes {
    /// A silent connection is closed after 10 s.
    pub(super) const ALIVE: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(6));
}

/// The connections to one origin.
pub(super) struct Pool {
    connector: Connector,
    lifetimes: Lifetimes,
    limit: Arc<ConnectionLimit>,
    connections: Mutex<PooledConnections>,
    /// Held while a connection is opened that others may share. When the last one failed, and why.
    opening: tokio::sync::Mutex<Option<(Instant, OriginError)>>,
    speaks_http1: AtomicBool,
}

/// The connection that a request is on, which may change when it is sent again.
#[derive(Default)]
pub(super) struct RequestConnection {
    current: Mutex<Current>,
    /// How long it waits for a descriptor.
    patience: Duration,
}

#[derive(Default)]
enum Current {
    /// A new connection, or none.
    #[default]
    New,
    /// An HTTP/1.1 connection that was idle.
    Reused(Weak<Pool>),
    /// An HTTP/2 connection.
    Shared(WeakHttp2Stream),
}

impl RequestConnection {
    pub(super) fn new(patience: Duration) -> Self {
        Self { current: Mutex::default(), patience }
    }

    /// Records that the request got no response in time. An HTTP/2 connection takes no further one. Where a reused
    /// connection is silent, other idle ones may be, too: they are closed.
    pub(super) fn retire(&self) {
        match std::mem::take(&mut *self.current.lock()) {
            Current::New => {}
            Current::Reused(pool) => {
                if let Some(pool) = pool.upgrade() {
                    pool.connections.lock().idle.clear();
                }
            }
            Current::Shared(stream) => stream.retire(),
        }
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, lifetimes: Lifetimes) -> Arc<Self> {
        let limit = connector.limit().clone();
        let (opening, speaks_http1) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        let pool = Arc::new(Self { connector, lifetimes, limit, connections: Mutex::default(), opening, speaks_http1 });
        let weak: Weak<Self> = Arc::downgrade(&pool);
        pool.limit.register(weak);
        pool
    }

    /// Sends a request, at most twice: once more on a new connection, where the first has broken and sending twice does
    /// no harm.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<Body>,
        on: &RequestConnection,
    ) -> Result<Response<ResponseBody>, OriginError> {
        let is_safe = is_safe(request.method());
        let copy = repeatable(&request);
        let open = self.take_open(is_safe);
        let is_reused = open.is_some();
        let connection = match open {
            Some(connection) => connection,
            // Boxed, as what follows: what is rare must not make the futures of all requests large.
            None => Box::pin(self.open(on.patience)).await?,
        };
        let SendError { error, processing } = match self.send_on(connection, is_reused, request, on).await {
            Ok(answered) => return Ok(answered),
            Err(failed) => failed,
        };
        let copy = match processing {
            Processing::NotBegun(request) => request.map(|request| *request).or(copy),
            // A server may close an idle connection just when it is reused, and what is no response may be the rest of
            // the one before: that says nothing about the request.
            Processing::Unknown => {
                copy.filter(|_| is_reused && is_safe && matches!(error.failure, Failure::Reset | Failure::BadResponse))
            }
        };
        match copy {
            Some(copy) => {
                let again = async {
                    self.send_on(self.open(on.patience).await?, false, copy, on).await.map_err(|failed| failed.error)
                };
                Box::pin(again).await
            }
            None => Err(error),
        }
    }

    async fn send_on(
        self: &Arc<Self>,
        connection: Connection,
        is_reused: bool,
        request: Request<Body>,
        on: &RequestConnection,
    ) -> Result<Response<ResponseBody>, SendError> {
        *on.current.lock() = match connection.downgrade() {
            Some(stream) => Current::Shared(stream),
            None if is_reused => Current::Reused(Arc::downgrade(self)),
            None => Current::New,
        };
        let (response, connection) = connection.send(request).await?;
        let idle = self.lifetimes.idle;
        let idle = server_idle_timeout(response.headers()).map_or(idle, |theirs| theirs.min(idle));
        Ok(response.map(|incoming| ResponseBody::new(incoming, connection, self.clone(), idle)))
    }

    /// Takes an open connection. Each is looked at: what an origin sent beyond its last response, if that looks like a
    /// response, would be taken for that of the next request.
    fn take_open(&self, is_safe: bool) -> Option<Connection> {
        let now = Instant::now();
        let mut connections = self.connections.lock();
        connections.follow(&self.connector);
        if let Some(connection) = connections.find_shared(now, None) {
            return Some(Connection::Http2(connection));
        }
        while let Some(idle) = connections.idle.pop() {
            if !is_safe && now >= idle.since + MAX_IDLE_UNSAFE {
                // Those before it were used even earlier.
                connections.idle.push(idle);
                return None;
            }
            if idle.is_good(now) && idle.connection.is_quiet() {
                return Some(Connection::Http1(idle.connection));
            }
        }
        None
    }

    /// Opens a connection. Where it may become HTTP/2, all waiting requests share it.
    async fn open(self: &Arc<Self>, patience: Duration) -> Result<Connection, OriginError> {
        let since = Instant::now();
        if self.connector.may_be_http2() && !self.speaks_http1.load(Acquire) {
            let mut opening = self.opening.lock().await;
            if let Some(connection) = self.connections.lock().find_shared(Instant::now(), Some(since)) {
                return Ok(Connection::Http2(connection));
            }
            if let Some((_, error)) = opening.as_ref().filter(|(at, _)| *at >= since) {
                return Err(error.clone());
            }
            if !self.speaks_http1.load(Acquire) {
                let opened = self.connect(patience).await;
                *opening = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
                return opened;
            }
        }
        self.connect(patience).await
    }

    async fn connect(self: &Arc<Self>, patience: Duration) -> Result<Connection, OriginError> {
        let opened = self.connector.open(patience).await?;
        let certificates = opened.certificates.clone();
        // Jitter, among the connections of one coordinator and of many.
        let age = self.lifetimes.max_age.mul_f64(1.0 - 0.2 * (random() as f64 / u64::MAX as f64));
        let connection = Connection::over(opened, Instant::now() + age, self.lifetimes.keep_alive).await?;
        if let Connection::Http2(connection) = &connection {
            let mut connections = self.connections.lock();
            connections.follow(&self.connector);
            if connections.may_keep(&certificates) {
                connections.shared.push(connection.clone());
                self.sweep(&mut connections);
            }
        }
        self.speaks_http1.store(matches!(connection, Connection::Http1(_)), Release);
        Ok(connection)
    }

    fn keep(self: &Arc<Self>, connection: Http1Connection, idle: Duration) {
        let since = Instant::now();
        let mut connections = self.connections.lock();
        connections.follow(&self.connector);
        let is_current = connections.may_keep(&connection.certificates);
        if is_current && connections.idle.len() < MAX_IDLE && !idle.is_zero() && !self.limit.has_waiting() {
            connections.idle.push(IdleConnection { connection, since, until: since + idle });
            self.sweep(&mut connections);
        }
    }

    /// Closes connections that have been idle for too long, as long as any is kept.
    fn sweep(self: &Arc<Self>, connections: &mut PooledConnections) {
        if std::mem::replace(&mut connections.is_swept, true) {
            return;
        }
        let pool = Arc::downgrade(self);
        let every = (self.lifetimes.idle / 4).clamp(Duration::from_millis(50), Duration::from_secs(1));
        tokio::spawn(async move {
            loop {
                sleep(every).await;
                let Some(pool) = pool.upgrade() else { return };
                let (now, mut connections) = (Instant::now(), pool.connections.lock());
                connections.follow(&pool.connector);
                connections.idle.retain(|idle| idle.is_good(now) && idle.connection.is_quiet());
                connections.shared.retain(|connection| connection.is_good(now));
                connections.is_swept = !(connections.idle.is_empty() && connections.shared.is_empty());
                if !connections.is_swept {
                    return;
                }
            }
        });
    }
}

impl Reclaim for Pool {
    fn reclaim(self: Arc<Self>, mut connection: Http1Connection, idle: Duration) {
        if connection.is_ready() {
            self.keep(connection, idle);
        } else if !connection.is_closed()
            && let Ok(runtime) = Handle::try_current()
        {
            connection.detach();
            runtime.spawn(async move {
                if connection.ready().await {
                    self.keep(connection, idle);
                }
            });
        }
    }
}

impl CloseIdle for Pool {
    fn close_idle(&self) -> bool {
        let mut connections = self.connections.lock();
        let is_idle = !connections.idle.is_empty();
        if is_idle {
            connections.idle.remove(0);
        }
        is_idle
    }
}

/// Returns the server's idle timeout (`Keep-Alive: timeout=5`), less the time that a request takes to arrive.
fn server_idle_timeout(headers: &HeaderMap) -> Option<Duration> {
    let field = headers.get(&names::KEEP_ALIVE)?.to_str().ok()?;
    let seconds =
        field.split(',').find_map(|word| word.trim().strip_prefix("timeout=")?.trim_matches('"').parse().ok())?;
    let timeout = Duration::from_secs(seconds);
    Some(timeout - (timeout / 2).min(Duration::from_secs(1)))
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Copies a request without a body, which can be sent twice.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.version_mut() = request.version();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_shorter_idle_timeout_counts() {
        for (field, expected) in [
            ("timeout=5, max=100", Some(4000)),
            ("max=9,timeout=2", Some(1000)),
            ("timeout=1", Some(500)),
            ("timeout=0", Some(0)),
            ("max=9", None),
        ] {
            let headers = HeaderMap::from_iter([(names::KEEP_ALIVE.clone(), http::HeaderValue::from_static(field))]);
            assert_eq!(server_idle_timeout(&headers), expected.map(Duration::from_millis), "{field}");
        }
    }
}
