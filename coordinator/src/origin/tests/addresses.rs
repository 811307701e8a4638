//! Origins with several addresses, of which some are out of order.

use super::*;
use tokio::{net::TcpSocket, time::Instant};

/// A host `service.test` at 127.0.0.1, 127.0.0.2 and so on. No listener: the address refuses.
struct Host {
    port: u16,
    count: u8,
    metrics: Arc<Metrics>,
    limit: Arc<ConnectionLimit>,
    began: Instant,
}

impl Host {
    /// Each address but the first is served by the caller.
    async fn new(count: u8) -> (Self, TcpListener) {
        let (first, metrics) = (listener().await, Metrics::new().unwrap());
        let limit = ConnectionLimit::new(1000, metrics.clone());
        let port = first.local_addr().unwrap().port();
        (Self { port, count, metrics, limit, began: Instant::now() }, first)
    }

    fn address(&self, n: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, n], self.port))
    }

    /// Serves one address with its number.
    async fn serve(&self, n: u8) {
        let listener = TcpListener::bind(self.address(n)).await.unwrap();
        scripted(listener, move |_, stream| answering(n, stream)).await;
    }

    /// Makes an address silent: a listener with a full queue, for which the system drops what comes.
    async fn silent(&self, n: u8) -> impl Sized {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address(n)).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(300 * MS, TcpStream::connect(self.address(n))).await {
            queued.push(stream);
        }
        (listener, queued)
    }

    /// A pool that opens a connection for each request.
    fn pool(&self, tls: Option<Tls>) -> Arc<Pool> {
        let count = self.count;
        let resolver = Resolver::new(move |_| {
            Box::pin(async move { Ok((1..=count).map(|n| SocketAddr::from(([127, 0, 0, n], 0))).collect()) })
        });
        let origin = format!("service.test:{}", self.port).parse().unwrap();
        let connector = Connector::new(&origin, tls, resolver, self.limit.clone());
        Pool::new(connector, Lifetimes { idle: Duration::ZERO, ..lifetimes() })
    }

    /// Returns the failed connections to an address.
    fn failed(&self, n: u8) -> u64 {
        let page = String::from_utf8(self.metrics.page().unwrap()).unwrap();
        let series = format!(
            "meshcache_origin_address_failures_total{{address=\"{}\",origin=\"service.test:{}\"}} ",
            self.address(n),
            self.port
        );
        page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
    }

    /// An address has failed this often at most. On a busy machine rests end while others are tried.
    fn rests(&self, n: u8, most: u64) {
        let (failed, most) = (self.failed(n), most + self.began.elapsed().as_secs());
        assert!((1..=most).contains(&failed), "{n} rests: {failed}, not {most}");
    }
}

async fn answering(n: u8, mut stream: TcpStream) {
    while read_head(&mut stream).await {
        respond(&mut stream, &n.to_string()).await;
    }
}

/// Sends this many requests one after the other. All are answered; returns by which addresses, in their order.
async fn answers(pool: &Arc<Pool>, requests: usize) -> Vec<String> {
    let mut by = Vec::new();
    for n in 0..requests {
        let method = if n % 2 == 0 { "GET" } else { "POST" };
        by.push(timeout(Duration::from_secs(5), send(pool, method)).await.expect("in time").expect("an answer"));
    }
    by.sort();
    by
}

#[tokio::test]
async fn an_address_that_refuses_costs_no_request_and_the_others_take_turns() {
    let (host, first) = Host::new(3).await;
    drop(first);
    host.serve(2).await;
    host.serve(3).await;
    let pool = host.pool(None);
    assert_eq!(answers(&pool, 20).await.concat(), "2".repeat(10) + &"3".repeat(10));
    host.rests(1, 3);
    assert_eq!((host.failed(2), host.failed(3)), (0, 0));
    drop(pool);
    assert_eq!(host.failed(1), 0, "an origin that is gone leaves no series behind");
}

#[tokio::test]
async fn an_address_that_is_silent_is_not_waited_for() {
    let (host, first) = Host::new(2).await;
    drop(first);
    let _silent = host.silent(1).await;
    host.serve(2).await;
    let pool = host.pool(None);
    assert_eq!(answers(&pool, 20).await.concat(), "2".repeat(20));
    host.rests(1, 2);
}

#[tokio::test]
async fn an_address_for_which_there_was_no_descriptor_has_not_failed() {
    let (mut host, first) = Host::new(2).await;
    drop(first);
    host.limit = ConnectionLimit::new(1, host.metrics.clone());
    let _silent = host.silent(1).await;
    host.serve(2).await;
    let pool = host.pool(None);
    // They take turns: one of the two begins with the address that is silent, and holds the only descriptor.
    for _ in 0..2 {
        let _ = timeout(800 * MS, send_on(&pool, "GET", &RequestConnection::new(LONG))).await;
    }
    assert_eq!((host.failed(1), host.failed(2)), (1, 0));
}

#[tokio::test]
async fn an_address_whose_tls_is_wrong_or_silent_is_passed_over() {
    let (tls, acceptor) = http2::certified_for("service.test", b"http/1.1");
    let (_, strangers) = http2::certified_for("service.test", b"http/1.1");
    let (host, first) = Host::new(4).await;
    // No TLS, TLS that hangs, and a certificate of another authority.
    scripted(first, |_, mut stream| async move { respond(&mut stream, "what?").await }).await;
    let hangs = TcpListener::bind(host.address(2)).await.unwrap();
    scripted(hangs, |_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    for (n, acceptor) in [(3, strangers), (4, acceptor)] {
        scripted(TcpListener::bind(host.address(n)).await.unwrap(), move |_, stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.read(&mut [0; 1024]).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n4").await;
                }
            }
        })
        .await;
    }
    let pool = host.pool(Some(tls));
    assert_eq!(answers(&pool, 20).await.concat(), "4".repeat(20));
    for n in 1..=3 {
        host.rests(n, 3);
    }
    assert_eq!(host.failed(4), 0);
}

#[tokio::test]
async fn where_no_address_answers_the_first_failure_is_told_with_its_address() {
    let (host, first) = Host::new(3).await;
    drop(first);
    let pool = host.pool(None);
    let error = send(&pool, "GET").await.unwrap_err();
    assert_eq!(error.failure, Failure::Connect);
    assert!(error.cause.starts_with("127.0.0.") && error.cause.contains("refused"), "{}", error.cause);
    assert_eq!((1..=3).map(|n| host.failed(n)).sum::<u64>(), 3, "each was tried");
    host.serve(2).await;
    assert_eq!(answers(&pool, 3).await.concat(), "222", "those that rest are tried where there are no others");
}
