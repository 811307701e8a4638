//! Names that move, and names without an address.

use super::*;

#[tokio::test]
async fn a_name_that_moves_is_followed_although_its_connection_is_busy() {
    let old = listener().await;
    let port = old.local_addr().unwrap().port();
    let new = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let answering = |name: &'static str| {
        move |_, mut stream: TcpStream| async move {
            while read_head(&mut stream).await {
                respond(&mut stream, name).await;
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
    let young = pool(&origin, None, Lifetimes { max_age: 500 * MS, ..lifetimes() }, resolver.clone());
    let ageless = pool(&origin, None, lifetimes(), resolver);
    for pool in [&young, &ageless] {
        assert_eq!(send(pool, "GET").await.unwrap(), "old");
    }
    has_moved.store(true, SeqCst);
    timeout(Duration::from_secs(20), async { while send(&young, "GET").await.unwrap() == "old" {} })
        .await
        .expect("it is never left");
    assert_eq!(send(&ageless, "GET").await.unwrap(), "old", "the connection is still good");
    assert_eq!(old.load(SeqCst), 2);
}

#[tokio::test]
async fn a_name_without_an_address_and_a_port_without_a_listener_are_different_failures() {
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
        let error = send(&pool(&origin, None, lifetimes(), resolver), "GET").await.unwrap_err();
        assert_eq!(error.failure, failure, "{}", error.cause);
        assert!(error.cause.contains(part), "{}", error.cause);
    }
}
