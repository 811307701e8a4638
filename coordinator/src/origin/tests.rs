//! The pool against real sockets, with ages and silences that a test has the time for.

use crate::{
    http::body::Body,
    origin::{
        connect::{Connector, Resolver, Trust},
        connection_limit::Seats,
        failure::{Failure, Missed},
        pool::{Ages, On, Pool},
    },
    telemetry::metrics::Metrics,
};
use bytes::Bytes;
use http::{Request, Response, uri::Authority};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivateKeyDer};
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

fn ages() -> Ages {
    Ages { idle: LONG, most: LONG, alive: Ages::ALIVE }
}

fn pool(origin: &Authority, trust: &Trust, ages: Ages, resolver: Resolver) -> Arc<Pool> {
    Pool::new(
        Connector::new(origin, trust.config().unwrap(), resolver).unwrap(),
        ages,
        Seats::new(1000, Metrics::new().unwrap()),
    )
}

fn plain(origin: SocketAddr, ages: Ages) -> Arc<Pool> {
    pool(&origin.to_string().parse().unwrap(), &Trust::Plain, ages, Resolver::system())
}

async fn send(pool: &Arc<Pool>, method: &str) -> Result<String, Missed> {
    send_on(pool, method, &On::default()).await
}

async fn send_on(pool: &Arc<Pool>, method: &str, on: &On) -> Result<String, Missed> {
    let request = Request::builder().method(method).uri("https://localhost/").body(Body::empty()).unwrap();
    let (response, stream) = pool.send(request, on).await?;
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    drop(stream);
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// As [`super::Origin`] does it: who has no answer in time takes the connection with it.
async fn send_within(pool: &Arc<Pool>, limit: Duration) -> Result<String, Failure> {
    let on = On::default();
    match timeout(limit, send_on(pool, "GET", &on)).await {
        Ok(answered) => answered.map_err(|missed| missed.failure),
        Err(_) => {
            on.retire();
            Err(Failure::Timeout)
        }
    }
}

/// Lets what others have to do be done.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    timeout(Duration::from_secs(20), async {
        while !is() {
            sleep(2 * MS).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("never came: {what}"));
}

/// An HTTP/1.1 origin that does with each connection what the test says, and is told how many came before.
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

async fn anywhere() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Reads a head. Whether one came.
async fn heard(stream: &mut TcpStream) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return false;
        }
        head.push(byte[0]);
    }
    true
}

async fn says(stream: &mut TcpStream, body: &str) {
    let _ =
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
}

#[tokio::test]
async fn sixteen_connections_that_died_unseen_cost_no_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let (address, connections) = scripted(anywhere().await, move |_, mut stream| {
        let seen = counted.clone();
        async move {
            heard(&mut stream).await;
            if seen.fetch_add(1, SeqCst) < 16 {
                // None is free before all are asked.
                until("sixteen at once", || seen.load(SeqCst) >= 16).await;
            }
            says(&mut stream, "ok").await;
            // Its second request finds out that it is dead.
            if heard(&mut stream).await {
                seen.fetch_add(1, SeqCst);
            }
        }
    })
    .await;
    let pool = plain(address, ages());
    let first: Vec<_> = (0..16)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { send(&pool, "GET").await.unwrap() })
        })
        .collect();
    for first in first {
        first.await.unwrap();
    }
    assert_eq!((seen.load(SeqCst), connections.load(SeqCst)), (16, 16));
    for n in 1..=16 {
        assert_eq!(send(&pool, "GET").await.unwrap(), "ok");
        assert_eq!(
            (seen.load(SeqCst), connections.load(SeqCst)),
            (16 + 2 * n, 16 + n),
            "sent twice, the second time on a new connection"
        );
    }
}

#[tokio::test]
async fn a_request_that_breaks_twice_or_may_not_be_repeated_is_not_sent_again() {
    let (address, connections) = scripted(anywhere().await, |n, mut stream| async move {
        heard(&mut stream).await;
        if n == 0 {
            says(&mut stream, "ok").await;
            heard(&mut stream).await;
        }
    })
    .await;
    let pool = plain(address, ages());
    send(&pool, "GET").await.unwrap();
    assert_eq!(send(&pool, "GET").await.unwrap_err().failure, Failure::Reset);
    assert_eq!(connections.load(SeqCst), 2, "the kept one and a new one");
    assert_eq!(send(&pool, "GET").await.unwrap_err().failure, Failure::Reset);
    assert_eq!(connections.load(SeqCst), 3, "on a new connection once");
    let (address, connections) = scripted(anywhere().await, |_, mut stream| async move {
        heard(&mut stream).await;
        says(&mut stream, "ok").await;
        heard(&mut stream).await;
    })
    .await;
    let pool = plain(address, ages());
    send(&pool, "POST").await.unwrap();
    assert_eq!(
        send(&pool, "POST").await.unwrap_err().failure,
        Failure::Reset,
        "nobody knows whether it was carried out"
    );
    assert_eq!(connections.load(SeqCst), 1);
}

/// An origin that answers everything, with the number of the connection.
async fn numbering() -> (SocketAddr, Arc<AtomicUsize>) {
    scripted(anywhere().await, |n, mut stream| async move {
        while heard(&mut stream).await {
            says(&mut stream, &n.to_string()).await;
        }
    })
    .await
}

#[tokio::test]
async fn what_may_not_be_sent_twice_takes_only_a_connection_that_was_used_just_now() {
    let (address, _) = numbering().await;
    let pool = plain(address, ages());
    for method in ["GET", "POST", "POST", "PUT"] {
        assert_eq!(send(&pool, method).await.unwrap(), "0", "{method}");
    }
    sleep(600 * MS).await;
    assert_eq!(send(&pool, "POST").await.unwrap(), "1");
    sleep(600 * MS).await;
    assert_eq!(send(&pool, "GET").await.unwrap(), "1", "a safe one can be sent again");
}

/// In one thread: what the connection's own task has not seen yet is seen all the same.
#[tokio::test]
async fn a_connection_that_has_just_been_closed_takes_no_request() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, is_closed) = mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            // When the client has read that.
            stream.set_read_timeout(Some(100 * MS)).unwrap();
            let _ = stream.read(&mut byte);
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let pool = plain(address, ages());
    assert_eq!(send(&pool, "POST").await.unwrap(), "ok");
    is_closed.recv().unwrap();
    assert_eq!(send(&pool, "POST").await.unwrap(), "ok");
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = open.clone();
    let (address, connections) = scripted(anywhere().await, move |_, mut stream| {
        let open = counted.clone();
        async move {
            open.fetch_add(1, SeqCst);
            while heard(&mut stream).await {
                says(&mut stream, "ok").await;
            }
            open.fetch_sub(1, SeqCst);
        }
    })
    .await;
    let pool = plain(address, Ages { idle: 200 * MS, ..ages() });
    send(&pool, "GET").await.unwrap();
    send(&pool, "GET").await.unwrap();
    assert_eq!((connections.load(SeqCst), open.load(SeqCst)), (1, 1));
    until("it is closed without another request", || open.load(SeqCst) == 0).await;
    send(&pool, "GET").await.unwrap();
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn silent_connections_cost_one_timeout_and_not_one_each() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let (address, _) = scripted(anywhere().await, move |n, mut stream| {
        let seen = counted.clone();
        async move {
            while heard(&mut stream).await {
                if n < 8 && seen.fetch_add(1, SeqCst) >= 8 {
                    return std::future::pending().await;
                }
                until("eight at once", || seen.load(SeqCst) >= 8).await;
                says(&mut stream, "ok").await;
            }
        }
    })
    .await;
    let pool = plain(address, ages());
    let first: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { send(&pool, "GET").await.unwrap() })
        })
        .collect();
    for first in first {
        first.await.unwrap();
    }
    assert_eq!(send_within(&pool, 200 * MS).await, Err(Failure::Timeout));
    for _ in 0..8 {
        assert_eq!(send_within(&pool, LONG).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_name_that_moves_is_followed_although_its_connection_is_busy() {
    let old = anywhere().await;
    let port = old.local_addr().unwrap().port();
    let new = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let answering = |name: &'static str| {
        move |_, mut stream: TcpStream| async move {
            while heard(&mut stream).await {
                says(&mut stream, name).await;
            }
        }
    };
    let (_, old) = scripted(old, answering("old")).await;
    scripted(new, answering("new")).await;
    let has_moved = Arc::new(AtomicBool::new(false));
    let moved = has_moved.clone();
    let resolver = Resolver::new(move |name| {
        assert_eq!(name, "service.test");
        let last = if moved.load(SeqCst) { 2 } else { 1 };
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, last], 0))]) })
    });
    let origin = format!("service.test:{port}").parse().unwrap();
    let young = pool(&origin, &Trust::Plain, Ages { most: 500 * MS, ..ages() }, resolver.clone());
    let ageless = pool(&origin, &Trust::Plain, ages(), resolver);
    for pool in [&young, &ageless] {
        assert_eq!(send(pool, "GET").await.unwrap(), "old");
    }
    has_moved.store(true, SeqCst);
    timeout(Duration::from_secs(20), async { while send(&young, "GET").await.unwrap() == "old" {} })
        .await
        .expect("it is never left");
    assert_eq!(send(&ageless, "GET").await.unwrap(), "old", "the connection is as good as ever");
    assert_eq!(old.load(SeqCst), 2);
}

#[tokio::test]
async fn a_name_without_an_address_is_told_from_a_port_where_nobody_listens() {
    for (result, failure, part) in [
        (Err(io::ErrorKind::NotFound), Failure::Dns, "service.test: "),
        (Ok(vec![]), Failure::Dns, "no address"),
        (Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]), Failure::Connect, "refused"),
    ] {
        let refused = tokio::net::TcpSocket::new_v4().unwrap();
        refused.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let origin = format!("service.test:{}", refused.local_addr().unwrap().port()).parse().unwrap();
        let resolver = Resolver::new(move |_| {
            let result = result.clone();
            Box::pin(async move { result.map_err(io::Error::from) })
        });
        let missed = send(&pool(&origin, &Trust::Plain, ages(), resolver), "GET").await.unwrap_err();
        assert_eq!(missed.failure, failure, "{}", missed.cause);
        assert!(missed.cause.contains(part), "{}", missed.cause);
    }
}

/// An authority, and TLS for `localhost` by it.
fn certified(protocol: &[u8]) -> (Trust, TlsAcceptor) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority of the tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    (Trust::Tls { ca: Some(authority.pem().into_bytes()), http2: true }, TlsAcceptor::from(Arc::new(config)))
}

/// An https origin.
async fn secured<F: Future<Output = ()> + Send + 'static>(
    protocol: &[u8],
    ages: Ages,
    on: impl Fn(usize, TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> (Arc<Pool>, Arc<AtomicUsize>) {
    let (trust, acceptor) = certified(protocol);
    let (address, connections) = scripted(anywhere().await, move |n, stream| {
        let (acceptor, on) = (acceptor.clone(), on.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                on(n, stream).await;
            }
        }
    })
    .await;
    let origin = format!("localhost:{}", address.port()).parse().unwrap();
    let resolver = Resolver::new(|_| Box::pin(async { Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]) }));
    (pool(&origin, &trust, ages, resolver), connections)
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// Speaks HTTP/2, with so many streams at once.
async fn serve<F: Future<Output = Answer> + Send + 'static>(
    stream: TlsStream<TcpStream>,
    streams: u32,
    answer: impl Fn(Request<Incoming>) -> F,
) {
    let mut http = http2::Builder::new(TokioExecutor::new());
    let _ = http.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

/// Speaks it until the test says so; from then on it says nothing more on this connection.
async fn serve_until(silent: Arc<AtomicBool>, n: usize, stream: TlsStream<TcpStream>) {
    let answering = serve(stream, 100, move |_| async move { Ok(Response::new(Full::from(n.to_string()))) });
    if n > 0 {
        return answering.await;
    }
    let mut answering = std::pin::pin!(answering);
    std::future::poll_fn(|cx| if silent.load(SeqCst) { std::task::Poll::Pending } else { answering.as_mut().poll(cx) })
        .await;
}

#[tokio::test]
async fn an_http2_connection_that_falls_silent_is_given_up_and_replaced() {
    let silent = Arc::new(AtomicBool::new(false));
    let falls = silent.clone();
    let ages = Ages { alive: (200 * MS, 300 * MS), ..ages() };
    let (pool, connections) = secured(b"h2", ages, move |n, stream| serve_until(falls.clone(), n, stream)).await;
    assert_eq!(send(&pool, "GET").await.unwrap(), "0");
    silent.store(true, SeqCst);
    // It has no limit of its own: the connection has.
    let missed = timeout(Duration::from_secs(5), send(&pool, "POST")).await.expect("nobody notices").unwrap_err();
    assert_eq!(missed.failure, Failure::Timeout, "{}", missed.cause);
    assert_eq!(send(&pool, "GET").await.unwrap(), "1");
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn an_http2_connection_on_which_a_request_timed_out_takes_no_further_one() {
    let silent = Arc::new(AtomicBool::new(false));
    let falls = silent.clone();
    let (pool, connections) = secured(b"h2", ages(), move |n, stream| serve_until(falls.clone(), n, stream)).await;
    assert_eq!(send(&pool, "GET").await.unwrap(), "0");
    silent.store(true, SeqCst);
    assert_eq!(send_within(&pool, 200 * MS).await, Err(Failure::Timeout));
    assert_eq!(send_within(&pool, LONG).await.unwrap(), "1");
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn what_a_goaway_leaves_out_is_sent_again_whatever_its_method() {
    let (pool, connections) = secured(b"h2", ages(), |n, mut stream| async move {
        if n > 0 {
            return serve(stream, 100, |_| async { Ok(Response::new(Full::from("ok"))) }).await;
        }
        // The preface, then frames until the request's HEADERS (type 1); SETTINGS of our own before.
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == 1 {
                break;
            }
        }
        // GOAWAY: of no stream has anything been done.
        stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(send(&pool, "POST").await.unwrap(), "ok");
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn requests_share_http2_connections_as_far_as_the_origin_lets_them() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let (pool, connections) = secured(b"h2", ages(), move |_, stream| {
        let seen = counted.clone();
        serve(stream, 2, move |_| {
            let seen = seen.clone();
            async move {
                seen.fetch_add(1, SeqCst);
                until("five at once", || matches!(seen.load(SeqCst), 1 | 6..)).await;
                Ok(Response::new(Full::from("ok")))
            }
        })
    })
    .await;
    assert_eq!(send(&pool, "GET").await.unwrap(), "ok");
    let five: Vec<_> = (0..5)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { send(&pool, "GET").await.unwrap() })
        })
        .collect();
    for one in five {
        assert_eq!(one.await.unwrap(), "ok");
    }
    assert_eq!(connections.load(SeqCst), 3, "two and two and one");
}

#[tokio::test]
async fn a_herd_opens_one_http2_connection_and_hears_once_that_there_is_none() {
    let (pool, connections) =
        secured(b"h2", ages(), |_, stream| serve(stream, 100, |_| async { Ok(Response::new(Full::from("ok"))) })).await;
    let herd = |pool: &Arc<Pool>| {
        (0..50)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { send(&pool, "GET").await.map_err(|missed| missed.failure) })
            })
            .collect::<Vec<_>>()
    };
    for one in herd(&pool) {
        assert_eq!(one.await.unwrap().unwrap(), "ok");
    }
    assert_eq!(connections.load(SeqCst), 1);
    let (_, acceptor) = certified(b"h2");
    let (address, connections) = scripted(anywhere().await, move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let _ = acceptor.accept(stream).await;
        }
    })
    .await;
    let (strangers, _) = certified(b"h2");
    let resolver = Resolver::new(|_| Box::pin(async { Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]) }));
    let untrusted = self::pool(&format!("localhost:{}", address.port()).parse().unwrap(), &strangers, ages(), resolver);
    for one in herd(&untrusted) {
        assert_eq!(one.await.unwrap(), Err(Failure::Tls));
    }
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn an_https_origin_that_speaks_http_1_is_asked_that_way() {
    let (pool, connections) = secured(b"http/1.1", ages(), |_, stream| async move {
        let answer = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    })
    .await;
    for _ in 0..3 {
        send(&pool, "GET").await.unwrap();
    }
    assert_eq!(connections.load(SeqCst), 1);
}

/// A pool that has its descriptors from these.
fn seated(origin: SocketAddr, seats: &Arc<Seats>) -> Arc<Pool> {
    let authority: Authority = origin.to_string().parse().unwrap();
    Pool::new(
        Connector::new(&authority, Trust::Plain.config().unwrap(), Resolver::system()).unwrap(),
        ages(),
        seats.clone(),
    )
}

#[tokio::test]
async fn more_requests_than_descriptors_wait_for_each_other_and_all_are_answered() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (open.clone(), most.clone());
    let (address, _) = scripted(anywhere().await, move |_, mut stream| {
        let (open, most) = (counted.clone(), highest.clone());
        async move {
            most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
            while heard(&mut stream).await {
                sleep(MS).await;
                says(&mut stream, "ok").await;
            }
            open.fetch_sub(1, SeqCst);
        }
    })
    .await;
    let seats = Seats::new(4, Metrics::new().unwrap());
    let pool = seated(address, &seats);
    let sent = (0..100).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { send_on(&pool, "POST", &On::new(LONG)).await })
    });
    for answered in sent.collect::<Vec<_>>() {
        assert_eq!(answered.await.unwrap().map_err(|missed| missed.failure), Ok("ok".into()));
    }
    // The other side hears a little later that one is closed.
    assert!(most.load(SeqCst) <= 8, "{}", most.load(SeqCst));
}

#[tokio::test]
async fn an_idle_connection_is_closed_for_one_to_another_origin() {
    let (one, _) = numbering().await;
    let (other, _) = numbering().await;
    let seats = Seats::new(1, Metrics::new().unwrap());
    let (one, other) = (seated(one, &seats), seated(other, &seats));
    for pool in [&one, &other, &one] {
        let answered =
            timeout(Duration::from_secs(5), send_on(pool, "GET", &On::new(LONG))).await.expect("it waits for nobody");
        assert!(answered.is_ok());
    }
}

#[tokio::test]
async fn whoever_finds_no_descriptor_in_time_is_told_and_counted() {
    let (silent, _) = scripted(anywhere().await, |_, mut stream| async move {
        heard(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let metrics = Metrics::new().unwrap();
    let seats = Seats::new(1, metrics.clone());
    let pool = seated(silent, &seats);
    let held = tokio::spawn({
        let pool = pool.clone();
        async move { send(&pool, "GET").await }
    });
    until("it is taken", || seats.free() == 0).await;
    let refused = send_on(&pool, "POST", &On::new(20 * MS)).await;
    assert_eq!(refused.map_err(|missed| missed.failure), Err(Failure::Overload));
    let page = String::from_utf8(metrics.page().unwrap()).unwrap();
    assert!(page.contains("meshcache_limits_met_total{limit=\"descriptors\"} 1\n"), "{page}");
    held.abort();
    until("it is given back with its connection", || seats.free() == 1).await;
}
