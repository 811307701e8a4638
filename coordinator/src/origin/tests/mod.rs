//! The pool against real sockets, with short timeouts.

mod addresses;
mod descriptors;
mod http1;
mod http2;
mod resolving;
mod tls;
mod traced;

use crate::{
    config::watched_file::WatchedFiles,
    http::body::Body,
    origin::{
        connect::Connector,
        connection_limit::ConnectionLimit,
        failure::{Failure, OriginError},
        pool::{Lifetimes, Pool, RequestConnection},
        resolver::Resolver,
        trust::{Tls, Trust},
    },
    telemetry::metrics::Metrics,
};
use bytes::Bytes;
use http::{Request, Response, uri::Authority};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    convert::Infallible,
    future::Future,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

fn lifetimes() -> Lifetimes {
    Lifetimes { idle: LONG, max_age: LONG, keep_alive: Lifetimes::ALIVE }
}

fn pool(origin: &Authority, tls: Option<Tls>, lifetimes: Lifetimes, resolver: Resolver) -> Arc<Pool> {
    let limit = ConnectionLimit::new(1000, Metrics::new().unwrap());
    Pool::new(Connector::new(origin, tls, resolver, limit), lifetimes)
}

fn plain(origin: SocketAddr, lifetimes: Lifetimes) -> Arc<Pool> {
    pool(&origin.to_string().parse().unwrap(), None, lifetimes, Resolver::system())
}

async fn send(pool: &Arc<Pool>, method: &str) -> Result<String, OriginError> {
    send_on(pool, method, &RequestConnection::default()).await
}

async fn send_on(pool: &Arc<Pool>, method: &str, on: &RequestConnection) -> Result<String, OriginError> {
    let request = Request::builder().method(method).uri("https://localhost/").body(Body::empty()).unwrap();
    let response = pool.send(request, on).await?;
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// Sends as [`super::exchange::Origin`] does: a request without a response in time retires its connection.
async fn send_within(pool: &Arc<Pool>, limit: Duration) -> Result<String, Failure> {
    let on = RequestConnection::default();
    match timeout(limit, send_on(pool, "GET", &on)).await {
        Ok(answered) => answered.map_err(|error| error.failure),
        Err(_) => {
            on.retire();
            Err(Failure::Timeout)
        }
    }
}

/// Waits until a condition holds.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    timeout(Duration::from_secs(20), async {
        while !is() {
            sleep(2 * MS).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("never came: {what}"));
}

/// Starts an HTTP/1.1 origin that runs `on` for each connection, with the number of connections before it.
async fn scripted<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    on: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(on(counted.fetch_add(1, SeqCst), stream));
        }
    });
    (address, count)
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Reads a head. Returns whether one came.
async fn read_head(stream: &mut TcpStream) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return false;
        }
        head.push(byte[0]);
    }
    true
}

async fn respond(stream: &mut TcpStream, body: &str) {
    let _ =
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
}

/// Starts an origin whose responses have the number of the connection.
async fn numbering() -> (SocketAddr, Arc<AtomicUsize>) {
    scripted(listener().await, |n, mut stream| async move {
        while read_head(&mut stream).await {
            respond(&mut stream, &n.to_string()).await;
        }
    })
    .await
}
