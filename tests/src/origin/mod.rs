//! A scripted HTTP origin (HTTP/1.1 and h2c on one port) that counts and remembers what it was asked.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

pub use reply::{Gate, Reply};

pub mod bad;
mod reply;
mod tls;

/// A request as the origin received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its target; the authority is in it for HTTP/2.
    pub uri: Uri,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// All its header lines.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: bytes::Bytes,
    /// The number of requests for this path so far, this one included.
    pub nth: usize,
    /// When its head was complete.
    pub at: Instant,
}

impl Received {
    /// A header as text; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        let lines = self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        lines.collect::<Vec<_>>().join(", ")
    }
}

type Script = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    scripts: Mutex<HashMap<String, Script>>,
    received: Mutex<Vec<Received>>,
    by_path: Mutex<HashMap<String, usize>>,
    under_way: AtomicUsize,
    connections: AtomicUsize,
    keeps_heads: std::sync::atomic::AtomicBool,
    dates: std::sync::atomic::AtomicBool,
}

/// The origin. Dropping it closes its port and all its connections.
pub struct Origin {
    /// Its address.
    pub addr: SocketAddr,
    authority: Option<String>,
    state: Arc<State>,
    accepting: AbortHandle,
    open: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Origin {
    /// Starts one that answers 404 to everything.
    pub async fn start() -> Origin {
        Origin::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts one at an address that is known before, such as that of an origin that went away.
    pub async fn start_at(addr: SocketAddr) -> Origin {
        Origin::listening(listen(addr), None)
    }

    /// Starts one that speaks https, as `localhost`, with a certificate of an authority of its own.
    pub async fn start_https() -> Origin {
        Origin::listening(listen(SocketAddr::from(([127, 0, 0, 1], 0))), Some(tls::Certified::localhost()))
    }

    /// Starts one on a port that was taken before.
    pub async fn takes(listener: TcpListener) -> Origin {
        Origin::listening(listener, None)
    }

    fn listening(listener: TcpListener, certified: Option<tls::Certified>) -> Origin {
        let addr = listener.local_addr().unwrap();
        let (authority, acceptor) = certified.map(|certified| (certified.authority, certified.acceptor)).unzip();
        let state = Arc::new(State { keeps_heads: true.into(), dates: true.into(), ..State::default() });
        let open = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn(accept(listener, acceptor, state.clone(), open.clone())).abort_handle();
        Origin { addr, authority, state, accepting, open }
    }

    /// Scripts the answers to `path` (without query) from now on; `*` is every path without a script of its own.
    pub fn on(&self, path: &str, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> &Origin {
        self.state.scripts.lock().unwrap().insert(path.to_owned(), Arc::new(script));
        self
    }

    /// Gives one answer to every request for `path`.
    pub fn always(&self, path: &str, reply: Reply) -> &Origin {
        self.on(path, move |_| reply.clone())
    }

    /// `http://ADDRESS` or `https://localhost:PORT`, for configurations.
    pub fn url(&self) -> String {
        match self.authority {
            Some(_) => format!("https://localhost:{}", self.addr.port()),
            None => format!("http://{}", self.addr),
        }
    }

    /// The certificate (PEM) of the authority behind its https; panics for plain http.
    pub fn authority(&self) -> &str {
        self.authority.as_deref().expect("an https origin")
    }

    /// Requests for `path` (without query) so far.
    pub fn hits(&self, path: &str) -> usize {
        self.state.by_path.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    /// All requests so far.
    pub fn total(&self) -> usize {
        self.state.by_path.lock().unwrap().values().sum()
    }

    /// All requests so far as they came, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// The latest request for `path`; panics when there is none.
    pub fn latest(&self, path: &str) -> Received {
        let received = self.received();
        let latest = received.into_iter().rev().find(|request| request.uri.path() == path);
        latest.unwrap_or_else(|| panic!("the origin was never asked for {path}"))
    }

    /// From now on only counts: for floods whose heads would fill the memory.
    pub fn forget_heads(&self) -> &Origin {
        self.state.keeps_heads.store(false, Ordering::Relaxed);
        self
    }

    /// From now on says Date only where a script does, on connections that are opened after this.
    pub fn without_dates(&self) -> &Origin {
        self.state.dates.store(false, Ordering::Relaxed);
        self
    }

    /// Requests whose answer has not been sent in full yet.
    pub fn under_way(&self) -> usize {
        self.state.under_way.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Closes the port and cuts all connections, as a crash does.
    pub fn crash(self) {}
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
        self.open.lock().unwrap().drain(..).for_each(|connection| connection.abort());
    }
}

/// The usual backlog of 128 loses connections of a herd, and a client tries again only after a second.
fn listen(addr: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    // An origin that comes back after a crash finds its port with old connections still in TIME_WAIT.
    socket.set_reuseaddr(true).unwrap();
    socket.bind(addr).unwrap();
    socket.listen(4096).unwrap()
}

/// Counts up while it lives.
struct Count(Arc<State>, fn(&State) -> &AtomicUsize);

impl Count {
    fn up(state: &Arc<State>, which: fn(&State) -> &AtomicUsize) -> Count {
        which(state).fetch_add(1, Ordering::SeqCst);
        Count(state.clone(), which)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    state: Arc<State>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (acceptor, state) = (acceptor.clone(), state.clone());
        let connection = tokio::spawn(async move {
            let _open = Count::up(&state, |state| &state.connections);
            match acceptor {
                None => serve(stream, state.clone()).await,
                // An error is a client that does not trust the certificate.
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, state.clone()).await;
                    }
                }
            }
        });
        let connection = connection.abort_handle();
        let mut open = open.lock().unwrap();
        open.retain(|connection| !connection.is_finished());
        open.push(connection);
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, state: Arc<State>) {
    // An error here is a client that went away, or a reply that is scripted to be cut.
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let dates = state.dates.load(Ordering::Relaxed);
    builder.http1().auto_date_header(dates).http2().auto_date_header(dates);
    let service = service_fn(|request| answer(request, state.clone()));
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<reply::Body>> {
    let at = Instant::now();
    let under_way = Count::up(&state, |state| &state.under_way);
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let nth = {
        let mut by_path = state.by_path.lock().unwrap();
        let count = by_path.entry(path.clone()).or_default();
        *count += 1;
        *count
    };
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let received =
        Received { method: head.method, uri: head.uri, version: head.version, headers: head.headers, body, nth, at };
    if state.keeps_heads.load(Ordering::Relaxed) {
        state.received.lock().unwrap().push(received.clone());
    }
    let script = {
        let scripts = state.scripts.lock().unwrap();
        scripts.get(&path).or_else(|| scripts.get("*")).cloned()
    };
    let reply = script.map_or_else(|| Reply::status(404), |script| script(&received));
    reply.send(under_way).await
}
