//! Answers to proxies: shared, bounded, marked, and from a coordinator that has started anew.

use super::{answers::MAX_BYTES, proxies::MAX_PER_SECOND, *};
use meshcache_protocol::{Groups, Peer, Ring, groups::Mode, mark::MarkedPosition, purge::Scope};

/// A coordinator that has just started, alone in its ring.
fn started() -> (Arc<Cache>, Arc<Feed>) {
    let cache = Cache::sample("a", 1 << 20);
    let config: Config = serde_json::from_value(serde_json::json!({"version": 1})).unwrap();
    cache.set_groups(Arc::new(Groups::new(config.clone()).unwrap())).unwrap();
    let peer = Peer { name: "a".into(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:2".into() };
    drop(cache.cluster.swap_ring(&Arc::new(Ring::new(vec![peer]))));
    let feed = Feed::new(cache.clone(), cache.metrics.clone(), "meshcache", "a");
    feed.set_config(config);
    (cache, feed)
}

/// Issues a purge without carrying it out.
fn issue(cache: &Cache, scope: Scope) {
    cache.consistency.append_own(scope, false, |_| ());
}

fn answer(feed: &Feed, request: &FeedRequest) -> FeedResponse {
    serde_json::from_slice(&feed.answer_now(request).ok().unwrap().json).unwrap()
}

#[test]
fn a_proxy_counts_no_more_requests_than_it_can_have() {
    let (cache, feed) = started();
    let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}]});
    cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
    let report = |hot: u64| {
        let requests = [("g".to_owned(), [("hot".to_owned(), hot), ("pass".to_owned(), 5)].into())].into();
        let request = FeedRequest { proxy: "p".into(), requests, ..FeedRequest::default() };
        feed.proxies.record(&request, &cache.groups());
    };
    report(10);
    assert_eq!(cache.metrics.group("g").saved(), (15, 10), "five went on to the service");
    let herds = [("herd".to_owned(), 1), ("shared".to_owned(), 4), ("miss".to_owned(), 5)].into();
    let request =
        FeedRequest { proxy: "p".into(), requests: [("g".to_owned(), herds)].into(), ..FeedRequest::default() };
    feed.proxies.record(&request, &cache.groups());
    let group = cache.metrics.group("g");
    assert_eq!((group.herds.get(), group.herd_loads_saved.get(), group.saved()), (1, 4, (20, 15)), "no request twice");
    for _ in 0..10 {
        report(u64::MAX);
    }
    let (all, _) = cache.metrics.group("g").saved();
    assert!(all < 15 + MAX_PER_SECOND * 10, "{all}");
}

#[tokio::test(start_paused = true)]
async fn what_proxies_say_they_compared_counts_for_as_many_requests_as_they_can_have() {
    let (cache, feed) = started();
    let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "mode": "observe", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}]});
    cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
    let compared = meshcache_protocol::observe::word::compared(cache.groups().named("g").unwrap());
    let tell = async |proxy: &str, word: &str| {
        let requests = [("g".to_owned(), [(word.to_owned(), u64::MAX)].into())].into();
        let request = FeedRequest { proxy: proxy.to_owned(), at_once: true, requests, ..FeedRequest::default() };
        let _ = feed.answer(request).await;
        let evidence = cache.group_table().named("g").unwrap().evidence.lock().clone();
        (evidence.compared, evidence.told, evidence.mismatches)
    };
    assert_eq!(tell(&"x".repeat(1000), &compared).await, (0, 0, 0), "a name that is no proxy's");
    assert_eq!(tell("p", &compared.replace("compared", "mismatch")).await, (0, 0, 0), "nothing was compared");
    for _ in 0..10 {
        let (all, told, _) = tell("p", &compared).await;
        assert!(all == told && (1..MAX_PER_SECOND * 10).contains(&all), "{all}");
    }
}

/// Issues a thousand purges, of 4 KiB each.
fn issue_purges(cache: &Arc<Cache>, feed: &Arc<Feed>) {
    for n in 0..1000 {
        issue(
            cache,
            Scope { group: Some("g".into()), paths: vec![format!("/{n}{}", "x".repeat(4096))], ..Scope::default() },
        );
    }
    feed.publish();
}

/// A proxy that knows the state, and purges of an unknown coordinator.
fn request(feed: &Feed, n: u64) -> FeedRequest {
    FeedRequest {
        version: feed.current.borrow().version.clone(),
        position: Position::parse(&format!("x.1:{}", n + 1)).unwrap(),
        ..FeedRequest::default()
    }
}

#[test]
fn proxies_at_the_same_position_share_one_answer() {
    let (cache, feed) = started();
    issue_purges(&cache, &feed);
    let held: Vec<_> = (0..1000).map(|_| feed.answer_now(&request(&feed, 0)).unwrap().json).collect();
    assert!(held[0].len() > 4_000_000 && held.iter().all(|json| json.as_ptr() == held[0].as_ptr()));
    assert_eq!(feed.answers.used(), held[0].len() as u64);
}

#[test]
fn proxies_with_made_up_positions_take_no_more_than_the_memory_for_answers() {
    let (cache, feed) = started();
    issue_purges(&cache, &feed);
    let held: Vec<_> = (0..25).map(|n| feed.answer_now(&request(&feed, n)).unwrap().json).collect();
    let bytes: usize = held.iter().map(Bytes::len).sum();
    assert!(bytes < 17 << 20 && feed.answers.used() <= MAX_BYTES, "{bytes}");
    let last: FeedResponse = serde_json::from_slice(&held[24]).unwrap();
    let news = last.news.unwrap();
    assert!(news.purges.is_empty() && news.since == news.position, "it learns that purges were lost: {news:?}");
    let page = String::from_utf8(cache.metrics.page().unwrap()).unwrap();
    assert!(page.contains("meshcache_limits_met_total{limit=\"feed-answers\"} "), "{page}");
    drop(held);
    assert_eq!(
        answer(&feed, &request(&feed, 24)).news.unwrap().purges.len(),
        1000,
        "an answer that was sent makes room"
    );
}

#[test]
fn a_proxy_that_does_not_know_regexes_is_told_the_group() {
    let (cache, feed) = started();
    issue(&cache, Scope { group: Some("g".into()), regex: vec!["/a".into()], ..Scope::default() });
    feed.publish();
    for (exact, regex) in [(false, &[][..]), (true, &["/a".to_owned()])] {
        let news = answer(&feed, &FeedRequest { exact, ..FeedRequest::default() }).news.unwrap();
        let told = &news.purges[0].scope;
        assert_eq!((told.group.as_deref(), &*told.regex), (Some("g"), regex));
    }
}

#[test]
fn proxies_get_marks_and_peers_are_asked_for_what_a_right_one_proves() {
    let (before, feed) = started();
    before.set_peer_tokens(&["token".to_owned()]);
    issue(&before, Scope { all: true, ..Scope::default() });
    feed.publish();
    let news = answer(&feed, &FeedRequest::default()).news.unwrap();
    let proxy = |marks: &str| FeedRequest {
        announced: MarkedPosition { position: news.position.to_string(), marks: marks.into() },
        ..FeedRequest::default()
    };
    // Another coordinator, which may learn the purge from a peer.
    let (cache, feed) = started();
    cache.set_peer_tokens(&["newer".to_owned(), "token".to_owned()]);
    cache.consistency.set_peers(["b"].into_iter());
    let mut requests = cache.consistency.catch_up_requests();
    for (marks, is_asked) in [("", false), ("0123456789abcdef", false), (&news.marks, true)] {
        requests.mark_unchanged();
        answer(&feed, &proxy(marks));
        assert_eq!(requests.has_changed().unwrap(), is_asked, "`{marks}`");
    }
    cache.set_peer_tokens(&[]);
    issue(&cache, Scope { all: true, ..Scope::default() });
    feed.publish();
    assert_eq!(answer(&feed, &FeedRequest::default()).news.unwrap().marks, "", "without a token there are none");
}

#[test]
fn a_coordinator_that_starts_anew_sends_no_proxy_back_in_time() {
    let (cache, before) = started();
    issue(&cache, Scope { all: true, ..Scope::default() });
    before.publish();
    let first = answer(&before, &FeedRequest::default());
    let news = first.news.unwrap();
    assert!(first.state.is_some() && news.purges.len() == 1);
    let proxy = FeedRequest { version: first.version, position: news.position, ..FeedRequest::default() };
    let (cache, after) = started();
    assert!(!after.has_news(&proxy), "it knows less, and that is no news");
    let same = answer(&after, &proxy);
    assert_eq!((&same.version, same.state, same.news), (&proxy.version, None, None));
    // Its next purges are news, from the position of the proxy.
    issue(&cache, Scope { all: true, ..Scope::default() });
    after.publish();
    let news = answer(&after, &proxy).news.unwrap();
    assert_eq!((&news.since, news.purges.len()), (&proxy.position, 1));
}

#[test]
fn a_filter_that_learns_more_gets_the_groups_that_were_off_for_it() {
    let (_cache, feed) = started();
    let group = serde_json::json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}, "request": {"drop": ["*"]}});
    let plain = serde_json::json!({"name": "p", "match": {"hosts": ["p"]}, "origin": {"url": "http://o"}});
    let config = |groups: &[&serde_json::Value]| {
        serde_json::from_value::<Config>(serde_json::json!({"version": 1, "groups": groups})).unwrap()
    };
    let asked = |wire, version: &str| FeedRequest { wire, version: version.into(), ..FeedRequest::default() };
    feed.set_config(config(&[&plain, &group]));
    feed.publish_now(&mut feed.publication.lock());
    let before = answer(&feed, &asked(2, ""));
    let modes: Vec<_> = before.state.unwrap().config.groups.iter().map(|group| group.mode).collect();
    assert_eq!((before.wire, modes), (2, vec![Mode::On, Mode::Off]));
    assert_eq!(answer(&feed, &asked(2, &before.version)).state, None);
    let after = answer(&feed, &asked(3, &before.version));
    assert_eq!(after.state.unwrap().config.groups[1].mode, Mode::On);
    feed.set_config(config(&[&plain]));
    feed.publish_now(&mut feed.publication.lock());
    let version = answer(&feed, &asked(2, "")).version;
    assert_eq!(answer(&feed, &asked(3, &version)).state, None, "both are told the same");
}
