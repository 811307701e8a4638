//! Scripted watches: what the API server sends, when, and the states that follow.

use super::*;
use crate::kube::endpoint_slices::Slices;
use futures_util::stream;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::Status;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

type Sent = Result<Event<EndpointSlice>, Error>;

fn slice(name: &str, pods: &[(&str, &str)]) -> EndpointSlice {
    let endpoints: Vec<_> =
        pods.iter().map(|(pod, address)| json!({"addresses": [address], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": pod}})).collect();
    let ports = json!([{"name": "http2", "port": 8080}, {"name": "tcp-peer", "port": 8083}]);
    serde_json::from_value(
        json!({"metadata": {"name": name}, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}),
    )
    .unwrap()
}

fn refused(code: u16, message: &str) -> kube::Error {
    kube::Error::Api(Box::new(Status::failure(message, "Refused").with_code(code)))
}

/// Follows watches that the test holds: each yields what is sent into it, and ends when its sender is dropped.
struct Server {
    watches: mpsc::UnboundedReceiver<mpsc::UnboundedSender<Sent>>,
    state: watch::Receiver<WatchState>,
}

fn server() -> Server {
    let (opened, watches) = mpsc::unbounded_channel();
    let (sender, state) = watch::channel(WatchState::default());
    tokio::spawn(async move {
        let open = || {
            let (sender, receiver) = mpsc::unbounded_channel();
            let _ = opened.send(sender);
            stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|sent| (sent, receiver)) })
        };
        follow(&Slices, open, &sender).await;
    });
    Server { watches, state }
}

impl Server {
    async fn watch(&mut self) -> mpsc::UnboundedSender<Sent> {
        self.watches.recv().await.unwrap()
    }

    async fn next(&mut self) -> WatchState {
        self.state.changed().await.unwrap();
        self.state.borrow_and_update().clone()
    }
}

fn list(to: &mpsc::UnboundedSender<Sent>, slices: &[EndpointSlice]) {
    to.send(Ok(Event::Init)).unwrap();
    slices.iter().for_each(|slice| to.send(Ok(Event::InitApply(slice.clone()))).unwrap());
    to.send(Ok(Event::InitDone)).unwrap();
}

fn names(state: &WatchState) -> Vec<String> {
    state.view.iter().flat_map(|view| &view.ready).map(|peer| format!("{}={}", peer.name, peer.data)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_is_a_view_only_when_it_is_complete() {
    let mut server = server();
    let watch = server.watch().await;
    watch.send(Ok(Event::Init)).unwrap();
    watch.send(Ok(Event::InitApply(slice("a", &[("c-0", "10.0.0.1")])))).unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(5), server.state.changed()).await.is_err());
    // A list that begins again forgets the one before.
    list(&watch, &[slice("b", &[("c-1", "10.0.0.2")])]);
    let state = server.next().await;
    assert_eq!((names(&state), state.events), (vec!["c-1=10.0.0.2:8080".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_change() {
    let mut server = server();
    let watch = server.watch().await;
    list(&watch, &[]);
    assert_eq!(names(&server.next().await), [""; 0]);
    let began = Instant::now();
    for n in 0..3 {
        watch.send(Ok(Event::Apply(slice(&format!("s-{n}"), &[(&format!("c-{n}"), "10.0.0.1")])))).unwrap();
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    assert_eq!(names(&server.next().await).len(), 3);
    assert!(began.elapsed() <= Duration::from_millis(250), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_does_not_end_is_published_all_the_same() {
    let mut server = server();
    let watch = server.watch().await;
    list(&watch, &[]);
    server.next().await;
    let began = Instant::now();
    let endless = tokio::spawn(async move {
        for n in 0.. {
            if watch.send(Ok(Event::Apply(slice("s", &[("c-0", &format!("10.0.0.{}", n % 200))])))).is_err() {
                break;
            }
            sleep(QUIET_PERIOD / 2).await;
        }
    });
    server.next().await;
    assert!(began.elapsed() <= MAX_DELAY + QUIET_PERIOD, "{:?}", began.elapsed());
    endless.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_vanishes_takes_its_peers_along_and_one_that_comes_back_wakes_no_receiver() {
    let mut server = server();
    let watch = server.watch().await;
    list(&watch, &[slice("a", &[("c-0", "10.0.0.1")]), slice("b", &[("c-1", "10.0.0.2")])]);
    assert_eq!(names(&server.next().await).len(), 2);
    // Moved to another slice within one burst: nothing has changed.
    watch.send(Ok(Event::Delete(slice("b", &[])))).unwrap();
    watch.send(Ok(Event::Apply(slice("c", &[("c-1", "10.0.0.2")])))).unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(5), server.state.changed()).await.is_err());
    watch.send(Ok(Event::Delete(slice("a", &[])))).unwrap();
    assert_eq!(names(&server.next().await), ["c-1=10.0.0.2:8080"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_view_stays_while_the_api_server_is_away_and_a_new_list_ends_the_trouble() {
    let mut server = server();
    let watch = server.watch().await;
    list(&watch, &[slice("a", &[("c-0", "10.0.0.1")])]);
    server.next().await;
    // A change just before the watch broke is not lost.
    watch.send(Ok(Event::Apply(slice("a", &[("c-0", "10.0.0.7")])))).unwrap();
    watch.send(Err(Error::WatchFailed(refused(500, "gone")))).unwrap();
    let first = server.next().await;
    assert_eq!(names(&first), ["c-0=10.0.0.7:8080"]);
    let since = first.trouble.unwrap().since;
    for _ in 0..5 {
        server.watch().await.send(Err(Error::InitialListFailed(refused(503, "starting")))).unwrap();
        let state = server.next().await;
        let trouble = state.trouble.as_ref().unwrap();
        assert_eq!((names(&state), trouble.since), (vec!["c-0=10.0.0.7:8080".to_owned()], since));
        assert_eq!(trouble.line, "cannot list endpointslices.discovery.k8s.io: starting (503)");
    }
    let watch = server.watch().await;
    list(&watch, &[slice("a", &[("c-0", "10.0.0.7")])]);
    let state = server.next().await;
    assert!(state.trouble.is_none() && names(&state).len() == 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_at_the_start_is_trouble_without_a_view() {
    let mut server = server();
    server.watch().await.send(Err(Error::InitialListFailed(refused(500, "etcd")))).unwrap();
    let state = server.next().await;
    assert!(state.view.is_none() && state.trouble.is_some());
    list(&server.watch().await, &[]);
    assert!(server.next().await.view.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_resource_version_that_is_too_old_is_one_more_list() {
    let mut server = server();
    let watch = server.watch().await;
    list(&watch, &[slice("a", &[("c-0", "10.0.0.1")])]);
    server.next().await;
    watch
        .send(Err(Error::WatchError(Box::new(Status::failure("too old resource version", "Expired").with_code(410)))))
        .unwrap();
    assert_eq!(
        server.next().await.trouble.unwrap().line,
        "cannot watch endpointslices.discovery.k8s.io: too old resource version"
    );
    let again = Instant::now();
    list(&server.watch().await, &[slice("a", &[("c-1", "10.0.0.2")])]);
    assert_eq!(names(&server.next().await), ["c-1=10.0.0.2:8080"]);
    assert!(again.elapsed() <= Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn lists_without_a_watch_are_taken_ever_more_seldom_and_the_trouble_stays() {
    let mut server = server();
    let began = Instant::now();
    for n in 0..40 {
        let watch = server.watch().await;
        list(&watch, &[slice("a", &[(&format!("c-{n}"), "10.0.0.1")])]);
        // Its list counts.
        let state = server.next().await;
        assert_eq!(names(&state), [format!("c-{n}=10.0.0.1:8080")]);
        assert_eq!(state.trouble.is_some(), n >= MAX_SHORT_WATCHES, "{n}");
        watch.send(Err(Error::WatchStartFailed(refused(403, "cannot watch")))).unwrap();
        assert!(server.next().await.trouble.unwrap().line.starts_with("no right to watch"));
    }
    assert!(began.elapsed() > Duration::from_secs(60), "{:?}", began.elapsed());
    let watch = server.watch().await;
    list(&watch, &[slice("a", &[("c-39", "10.0.0.1")])]);
    assert!(server.next().await.trouble.is_none(), "the watch lives");
    watch.send(Err(Error::WatchFailed(refused(500, "gone")))).unwrap();
    server.next().await;
    let again = Instant::now();
    server.watch().await;
    assert!(again.elapsed() <= Duration::from_millis(200), "and the next trouble is a new one");
}

#[test]
fn a_refusal_names_verb_and_resource() {
    let message = r#"endpointslices.discovery.k8s.io is forbidden: User "u" cannot list resource "endpointslices""#;
    let line = explain(&Error::InitialListFailed(refused(403, message)), Slices::RESOURCE);
    assert_eq!(
        line,
        format!(
            "no right to list endpointslices.discovery.k8s.io (a Role with the verbs list and watch gives it): {message}"
        )
    );
    assert!(
        explain(&Error::WatchStartFailed(refused(403, message)), Slices::RESOURCE)
            .starts_with("no right to watch endpointslices.discovery.k8s.io ")
    );
}

#[test]
fn pauses_grow_are_bounded_and_never_nothing() {
    for random in [0, 511, 1023, u64::MAX] {
        assert!(pause(1, random) >= Duration::from_millis(100) && pause(1, random) <= Duration::from_millis(200));
        assert!(
            (4..20)
                .all(|n| pause(n, random) <= Duration::from_millis(1500)
                    && pause(n, random) >= Duration::from_millis(750))
        );
        assert!(
            [20, 31, 32, 33, u32::MAX]
                .iter()
                .all(|n| pause(*n, random) <= Duration::from_secs(10) && pause(*n, random) >= Duration::from_secs(5))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_without_a_receiver() {
    let opened = Arc::new(Mutex::new(0));
    let (sender, state) = watch::channel(WatchState::default());
    drop(state);
    let open = || {
        *opened.lock().unwrap() += 1;
        stream::pending()
    };
    follow(&Slices, open, &sender).await;
    assert_eq!(*opened.lock().unwrap(), 0);
}
