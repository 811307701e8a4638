//! Token sources against a scripted token server on loopback.

use super::{
    client::{Authentication, Client, Secret},
    failure::TokenFailure,
    source::TokenSource,
    token::AccessToken,
};
use crate::{
    origin::{
        connect::Connector,
        connection_limit::ConnectionLimit,
        pool::{Lifetimes, Pool},
        resolver::Resolver,
    },
    telemetry::metrics::Metrics,
};
use http::{Uri, uri::Authority};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, timeout},
};

const LONG: Duration = Duration::from_secs(20);

/// A token server that runs `on` for each connection whose request has come, with the number of requests before it.
struct Server {
    authority: Authority,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn new<F: Future<Output = ()> + Send + 'static>(on: impl Fn(usize, TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string().parse().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 64 * 1024];
                let _ = stream.read(&mut request).await;
                tokio::spawn(on(counted.fetch_add(1, SeqCst), stream));
            }
        });
        Self { authority, requests }
    }

    /// A server that sends this, and counts in it: `#` is the number of requests before.
    async fn saying(response: &'static str) -> Self {
        Self::new(move |n, mut stream| async move {
            let _ = stream.write_all(response.replace('#', &n.to_string()).as_bytes()).await;
        })
        .await
    }

    fn source(&self) -> Arc<TokenSource> {
        source(&self.authority, Duration::from_secs(5))
    }

    fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }
}

fn source(authority: &Authority, timeout: Duration) -> Arc<TokenSource> {
    let client = Client {
        url: Uri::builder().scheme("http").authority(authority.clone()).path_and_query("/token").build().unwrap(),
        id: "me".into(),
        authentication: Authentication::Basic(Secret("hunter2".into())),
        fields: Vec::new(),
        trust: None,
        server_name: None,
        lifetime: Duration::from_secs(300),
        timeout,
    };
    let lifetimes = Lifetimes { idle: Duration::ZERO, max_age: LONG, keep_alive: Lifetimes::ALIVE };
    let limit = ConnectionLimit::new(100, Metrics::new().unwrap());
    let connector = Connector::new(authority, None, Resolver::system(), limit);
    TokenSource::new(client, Pool::new(connector, lifetimes))
}

fn text(token: Arc<AccessToken>) -> String {
    token.authorization().to_str().unwrap().to_owned()
}

async fn fetched(source: &Arc<TokenSource>) -> Result<String, &'static str> {
    let token = timeout(LONG, source.token()).await.expect("it never ends");
    token.map(text).map_err(TokenFailure::label)
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n\
     {\"access_token\": \"t#\", \"token_type\": \"bearer\", \"expires_in\": 3600}";

#[tokio::test]
async fn a_herd_without_a_token_is_one_request_to_the_token_server() {
    let server = Server::saying(GOOD).await;
    let source = server.source();
    let all: Vec<_> = (0..1000)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(async move { fetched(&source).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok("Bearer t0".into()));
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn who_leaves_does_not_end_the_fetch_for_others() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let server = Server::new(move |_, mut stream| {
        let gate = opened.clone();
        async move {
            let _open = gate.acquire().await;
            let _ = stream.write_all(GOOD.as_bytes()).await;
        }
    })
    .await;
    let source = server.source();
    assert!(timeout(Duration::from_millis(5), source.token()).await.is_err());
    gate.add_permits(1);
    assert_eq!(fetched(&source).await, Ok("Bearer t#".into()));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn what_a_token_server_may_answer_has_a_word_and_is_remembered() {
    for (response, expected) in [
        ("HTTP/1.1 500 Oh\r\nconnection: close\r\n\r\n<html>", "status"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>", "no-token"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"access_token\": {}}", "no-token"),
        ("HTTP/1.1 302 Found\r\nlocation: /other\r\nconnection: close\r\n\r\n", "redirect"),
        ("HTTP/1.1 401 No\r\nconnection: close\r\n\r\n{\"error\": \"invalid_client\"}", "denied"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "incomplete-body"),
        ("HELLO\r\n\r\n", "bad-response"),
        ("", "reset"),
    ] {
        let server = Server::saying(response).await;
        let source = server.source();
        assert_eq!([fetched(&source).await, fetched(&source).await], [Err(expected), Err(expected)], "{response}");
        assert_eq!(server.requests(), 1, "no herd at a server that fails: {response}");
    }
}

#[tokio::test]
async fn a_token_server_that_is_away_or_silent_fails_a_load_in_time() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string().parse().unwrap();
    assert_eq!(fetched(&source(&gone, LONG)).await, Err("connect"));
    let silent = Server::new(|_, stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let began = Instant::now();
    assert_eq!(fetched(&source(&silent.authority, Duration::from_millis(100))).await, Err("timeout"));
    assert!(began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_body_of_64_mib_is_not_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let server = Server::new(move |_, mut stream| {
        let sent = counted.clone();
        async move {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n";
            let _ = stream.write_all(head).await;
            while sent.load(SeqCst) < 64 << 20 && stream.write_all(&[b' '; 65536]).await.is_ok() {
                sent.fetch_add(65536, SeqCst);
            }
        }
    })
    .await;
    assert_eq!(fetched(&server.source()).await, Err("too-large"));
    assert!(sent.load(SeqCst) < 32 << 20, "{}", sent.load(SeqCst));
}

#[tokio::test]
async fn a_rejected_token_is_fetched_anew_once_for_all() {
    let server = Server::saying(GOOD).await;
    let source = server.source();
    let first = source.token().await.unwrap();
    let (one, two) = tokio::join!(source.after_rejection(&first), source.after_rejection(&first));
    assert_eq!((one.map(text), two.map(text)), (Some("Bearer t1".into()), Some("Bearer t1".into())));
    assert_eq!(server.requests(), 2);
    let second = source.token().await.unwrap();
    assert!(source.after_rejection(&second).await.is_none(), "a second one at once is the origin's answer");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn where_no_other_token_is_had_the_rejected_one_goes_on() {
    let server = Server::new(|n, mut stream| async move {
        let _ = stream.write_all(if n == 0 { GOOD } else { "HTTP/1.1 500 Oh\r\n\r\n" }.as_bytes()).await;
    })
    .await;
    let source = server.source();
    let first = source.token().await.unwrap();
    assert!(source.after_rejection(&first).await.is_none());
    assert_eq!(fetched(&source).await, Ok("Bearer t#".into()));
}
