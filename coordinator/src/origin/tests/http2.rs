//! HTTP/2: connections that requests share, fall silent or go away.

use super::*;
use hyper::server::conn::http2;

/// Returns an authority, and TLS for `localhost` signed by it.
fn certified(protocol: &[u8]) -> (Tls, TlsAcceptor) {
    certified_for("localhost", protocol)
}

/// Returns an authority, and TLS for this name signed by it.
pub(super) fn certified_for(name: &str, protocol: &[u8]) -> (Tls, TlsAcceptor) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority of the tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&ca, authority.pem()).unwrap();
    let trust = Trust { ca: Some(ca.path().into()), http2: true, ..Trust::default() };
    let tls = Tls {
        config: trust.open(&WatchedFiles::default()).unwrap(),
        name: Tls::name(name).unwrap(),
        may_be_http2: true,
    };
    (tls, TlsAcceptor::from(Arc::new(config)))
}

/// Returns a pool for an https origin.
async fn https_pool<F: Future<Output = ()> + Send + 'static>(
    protocol: &[u8],
    lifetimes: Lifetimes,
    on: impl Fn(usize, TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> (Arc<Pool>, Arc<AtomicUsize>) {
    let (tls, acceptor) = certified(protocol);
    let (address, connections) = scripted(listener().await, move |n, stream| {
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
    (pool(&origin, Some(tls), lifetimes, resolver), connections)
}

pub(super) type ServiceResult = Result<Response<Full<Bytes>>, Infallible>;

/// Serves HTTP/2 with this many streams.
pub(super) async fn serve<F: Future<Output = ServiceResult> + Send + 'static>(
    stream: TlsStream<TcpStream>,
    streams: u32,
    answer: impl Fn(Request<Incoming>) -> F,
) {
    let mut http = http2::Builder::new(TokioExecutor::new());
    let _ = http.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

/// Serves HTTP/2. The first connection falls silent when the test says so.
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
    let lifetimes = Lifetimes { keep_alive: (200 * MS, 300 * MS), ..lifetimes() };
    let (pool, connections) =
        https_pool(b"h2", lifetimes, move |n, stream| serve_until(falls.clone(), n, stream)).await;
    assert_eq!(send(&pool, "GET").await.unwrap(), "0");
    silent.store(true, SeqCst);
    // The request has no time limit: the connection has.
    let error =
        timeout(Duration::from_secs(5), send(&pool, "POST")).await.expect("the silence goes unnoticed").unwrap_err();
    assert_eq!(error.failure, Failure::Timeout, "{}", error.cause);
    assert_eq!(send(&pool, "GET").await.unwrap(), "1");
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn an_http2_connection_on_which_a_request_timed_out_takes_no_further_one() {
    let silent = Arc::new(AtomicBool::new(false));
    let falls = silent.clone();
    let (pool, connections) =
        https_pool(b"h2", lifetimes(), move |n, stream| serve_until(falls.clone(), n, stream)).await;
    assert_eq!(send(&pool, "GET").await.unwrap(), "0");
    silent.store(true, SeqCst);
    assert_eq!(send_within(&pool, 200 * MS).await, Err(Failure::Timeout));
    assert_eq!(send_within(&pool, LONG).await.unwrap(), "1");
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_request_that_a_goaway_leaves_out_is_sent_again_whatever_its_method() {
    let (pool, connections) = https_pool(b"h2", lifetimes(), |n, mut stream| async move {
        if n > 0 {
            return serve(stream, 100, |_| async { Ok(Response::new(Full::from("ok"))) }).await;
        }
        // The preface, then frames until the request's HEADERS (type 1); our own SETTINGS before.
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
        // GOAWAY: no stream has been processed.
        stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(send(&pool, "POST").await.unwrap(), "ok");
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn requests_share_http2_connections_up_to_the_origins_limit() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let (pool, connections) = https_pool(b"h2", lifetimes(), move |_, stream| {
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
async fn a_herd_opens_one_http2_connection_and_fails_once_where_there_is_none() {
    let (pool, connections) = https_pool(b"h2", lifetimes(), |_, stream| {
        serve(stream, 100, |_| async { Ok(Response::new(Full::from("ok"))) })
    })
    .await;
    let herd = |pool: &Arc<Pool>| {
        (0..50)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { send(&pool, "GET").await.map_err(|error| error.failure) })
            })
            .collect::<Vec<_>>()
    };
    for one in herd(&pool) {
        assert_eq!(one.await.unwrap().unwrap(), "ok");
    }
    assert_eq!(connections.load(SeqCst), 1);
    let (_, acceptor) = certified(b"h2");
    let (address, connections) = scripted(listener().await, move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let _ = acceptor.accept(stream).await;
        }
    })
    .await;
    let (strangers, _) = certified(b"h2");
    let resolver = Resolver::new(|_| Box::pin(async { Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]) }));
    let untrusted =
        self::pool(&format!("localhost:{}", address.port()).parse().unwrap(), Some(strangers), lifetimes(), resolver);
    for one in herd(&untrusted) {
        assert_eq!(one.await.unwrap(), Err(Failure::Tls));
    }
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn an_https_origin_may_speak_http_1() {
    let (pool, connections) = https_pool(b"http/1.1", lifetimes(), |_, stream| async move {
        let answer = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    })
    .await;
    for _ in 0..3 {
        send(&pool, "GET").await.unwrap();
    }
    assert_eq!(connections.load(SeqCst), 1);
}
