//! HTTP/1.1: which connections are reused, and what is sent twice.

use super::*;

/// Sends this many requests at once, and waits for their responses.
async fn send_at_once(pool: &Arc<Pool>, n: usize) {
    let send_one = |_| {
        let pool = pool.clone();
        tokio::spawn(async move { send(&pool, "GET").await.unwrap() })
    };
    let sent: Vec<_> = (0..n).map(send_one).collect();
    for sent in sent {
        sent.await.unwrap();
    }
}

#[tokio::test]
async fn sixteen_connections_that_died_unseen_cost_no_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let (address, connections) = scripted(listener().await, move |_, mut stream| {
        let seen = counted.clone();
        async move {
            read_head(&mut stream).await;
            if seen.fetch_add(1, SeqCst) < 16 {
                // No connection is free before all have a request.
                until("sixteen at once", || seen.load(SeqCst) >= 16).await;
            }
            respond(&mut stream, "ok").await;
            // Its second request finds it dead.
            if read_head(&mut stream).await {
                seen.fetch_add(1, SeqCst);
            }
        }
    })
    .await;
    let pool = plain(address, lifetimes());
    send_at_once(&pool, 16).await;
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
    let (address, connections) = scripted(listener().await, |n, mut stream| async move {
        read_head(&mut stream).await;
        if n == 0 {
            respond(&mut stream, "ok").await;
            read_head(&mut stream).await;
        }
    })
    .await;
    let pool = plain(address, lifetimes());
    send(&pool, "GET").await.unwrap();
    assert_eq!(send(&pool, "GET").await.unwrap_err().failure, Failure::Reset);
    assert_eq!(connections.load(SeqCst), 2, "the kept one and a new one");
    assert_eq!(send(&pool, "GET").await.unwrap_err().failure, Failure::Reset);
    assert_eq!(connections.load(SeqCst), 3, "on a new connection once");
    let (address, connections) = scripted(listener().await, |_, mut stream| async move {
        read_head(&mut stream).await;
        respond(&mut stream, "ok").await;
        read_head(&mut stream).await;
    })
    .await;
    let pool = plain(address, lifetimes());
    send(&pool, "POST").await.unwrap();
    assert_eq!(send(&pool, "POST").await.unwrap_err().failure, Failure::Reset, "it may have been carried out");
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn what_comes_late_beyond_a_response_is_not_taken_for_the_next_one() {
    let (address, connections) = scripted(listener().await, |n, mut stream| async move {
        read_head(&mut stream).await;
        respond(&mut stream, &n.to_string()).await;
        if n == 0 && read_head(&mut stream).await {
            stream.write_all(b"and more\r\n\r\n").await.unwrap();
        }
        std::future::pending().await
    })
    .await;
    let pool = plain(address, lifetimes());
    assert_eq!((send(&pool, "GET").await.unwrap(), send(&pool, "GET").await.unwrap()), ("0".into(), "1".into()));
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn an_unsafe_request_takes_only_a_connection_that_was_used_just_now() {
    let (address, _) = numbering().await;
    let pool = plain(address, lifetimes());
    for method in ["GET", "POST", "POST", "PUT"] {
        assert_eq!(send(&pool, method).await.unwrap(), "0", "{method}");
    }
    sleep(600 * MS).await;
    assert_eq!(send(&pool, "POST").await.unwrap(), "1");
    sleep(600 * MS).await;
    assert_eq!(send(&pool, "GET").await.unwrap(), "1", "a safe one can be sent again");
}

/// On one thread: the pool sees what the connection's own task has not seen yet.
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
            // The client has read that by now.
            stream.set_read_timeout(Some(100 * MS)).unwrap();
            let _ = stream.read(&mut byte);
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let pool = plain(address, lifetimes());
    assert_eq!(send(&pool, "POST").await.unwrap(), "ok");
    is_closed.recv().unwrap();
    assert_eq!(send(&pool, "POST").await.unwrap(), "ok");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = open.clone();
    let (address, connections) = scripted(listener().await, move |_, mut stream| {
        let open = counted.clone();
        async move {
            open.fetch_add(1, SeqCst);
            while read_head(&mut stream).await {
                respond(&mut stream, "ok").await;
            }
            open.fetch_sub(1, SeqCst);
        }
    })
    .await;
    let pool = plain(address, Lifetimes { idle: 200 * MS, ..lifetimes() });
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
    let (address, _) = scripted(listener().await, move |n, mut stream| {
        let seen = counted.clone();
        async move {
            while read_head(&mut stream).await {
                if n < 8 && seen.fetch_add(1, SeqCst) >= 8 {
                    return std::future::pending().await;
                }
                until("eight at once", || seen.load(SeqCst) >= 8).await;
                respond(&mut stream, "ok").await;
            }
        }
    })
    .await;
    let pool = plain(address, lifetimes());
    send_at_once(&pool, 8).await;
    assert_eq!(send_within(&pool, 200 * MS).await, Err(Failure::Timeout));
    for _ in 0..8 {
        assert_eq!(send_within(&pool, LONG).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_body_goes_out_while_the_response_waits_to_be_read() {
    const UPLOAD: usize = 16 << 20;
    let arrived = Arc::new(AtomicUsize::new(0));
    let counted = arrived.clone();
    let (address, _) = scripted(listener().await, move |_, mut stream| {
        let arrived = counted.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            let mut buffer = vec![0; 1 << 16];
            while arrived.load(SeqCst) < UPLOAD {
                arrived.fetch_add(stream.read(&mut buffer).await.unwrap(), SeqCst);
            }
            stream.write_all(b"ok").await.unwrap();
        }
    })
    .await;
    let upload = Request::builder().method("POST").uri("https://localhost/").body(vec![b'x'; UPLOAD].into()).unwrap();
    let response = plain(address, lifetimes()).send(upload, &RequestConnection::default()).await.unwrap();
    until("all of it", || arrived.load(SeqCst) == UPLOAD).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}
