//! A purge whose client hangs up.

use crate::{
    cache::state::Cache,
    config::tokens::Tokens,
    feed::Feed,
    purge::{PurgeRequest, Purger},
};
use meshcache_protocol::purge::Scope;
use std::time::Duration;

#[test]
fn a_purge_is_announced_though_its_client_has_hung_up() {
    // One thread purges, and another task occupies it first: nothing is done before the client has left.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (go, busy) = std::sync::mpsc::channel();
    runtime.spawn_blocking(move || busy.recv());
    runtime.block_on(is_announced_without_its_client(go));
}

async fn is_announced_without_its_client(go: std::sync::mpsc::Sender<()>) {
    let cache = Cache::sample("a", 1 << 20);
    let metrics = cache.metrics.clone();
    let feed = Feed::new(cache.clone(), metrics.clone(), "meshcache", "a");
    let purger = Purger::new(cache, feed, metrics.clone(), Tokens::open(None).unwrap());
    let request = PurgeRequest { scope: Scope { all: true, ..Scope::default() }, soft: false, dry_run: false };
    tokio::select! {
        biased;
        _ = purger.purge(request) => panic!("purged at once"),
        () = std::future::ready(()) => go.send(()).unwrap(),
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while metrics.purges.get() == 0 {
        assert!(tokio::time::Instant::now() < end, "it was carried out and not announced");
        tokio::task::yield_now().await;
    }
}
