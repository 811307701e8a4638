//! The limit on connections to all origins.

use super::*;

/// Returns a pool under this limit.
fn limited_pool(origin: SocketAddr, limit: &Arc<ConnectionLimit>) -> Arc<Pool> {
    let authority: Authority = origin.to_string().parse().unwrap();
    let connector = Connector::new(&authority, None, Resolver::system(), limit.clone());
    Pool::new(connector, lifetimes())
}

#[tokio::test]
async fn more_requests_than_descriptors_wait_for_each_other_and_all_are_answered() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (open.clone(), most.clone());
    let (address, _) = scripted(listener().await, move |_, mut stream| {
        let (open, most) = (counted.clone(), highest.clone());
        async move {
            most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
            while read_head(&mut stream).await {
                sleep(MS).await;
                respond(&mut stream, "ok").await;
            }
            open.fetch_sub(1, SeqCst);
        }
    })
    .await;
    let limit = ConnectionLimit::new(4, Metrics::new().unwrap());
    let pool = limited_pool(address, &limit);
    let sent = (0..100).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { send_on(&pool, "POST", &RequestConnection::new(LONG)).await })
    });
    for answered in sent.collect::<Vec<_>>() {
        assert_eq!(answered.await.unwrap().map_err(|error| error.failure), Ok("ok".into()));
    }
    // The other side sees a closed connection a little later.
    assert!(most.load(SeqCst) <= 8, "{}", most.load(SeqCst));
}

#[tokio::test]
async fn an_idle_connection_is_closed_for_another_origins() {
    let (one, _) = numbering().await;
    let (other, _) = numbering().await;
    let limit = ConnectionLimit::new(1, Metrics::new().unwrap());
    let (one, other) = (limited_pool(one, &limit), limited_pool(other, &limit));
    for pool in [&one, &other, &one] {
        let answered = timeout(Duration::from_secs(5), send_on(pool, "GET", &RequestConnection::new(LONG)))
            .await
            .expect("there is nothing to wait for");
        assert!(answered.is_ok());
    }
}

#[tokio::test]
async fn a_request_without_a_descriptor_in_time_fails_and_is_counted() {
    let (silent, _) = scripted(listener().await, |_, mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let metrics = Metrics::new().unwrap();
    let limit = ConnectionLimit::new(1, metrics.clone());
    let pool = limited_pool(silent, &limit);
    let held = tokio::spawn({
        let pool = pool.clone();
        async move { send(&pool, "GET").await }
    });
    until("it is taken", || limit.free() == 0).await;
    let refused = send_on(&pool, "POST", &RequestConnection::new(20 * MS)).await;
    assert_eq!(refused.map_err(|error| error.failure), Err(Failure::Overload));
    let page = String::from_utf8(metrics.page().unwrap()).unwrap();
    assert!(page.contains("meshcache_limits_met_total{limit=\"descriptors\"} 1\n"), "{page}");
    held.abort();
    until("it is given back with its connection", || limit.free() == 1).await;
}
