//! The harness itself, with nothing of meshcache in it: what it reports is what happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use meshcache_tests::{
    Ask, Envoy, EnvoyConfig, Gate, Origin, Reply, Stopwatch, await_until, client, herd,
    load::{Until, load},
    origin::bad::{BadOrigin, Manner},
    port::Refused,
    raw,
    wait::SOON,
};

async fn plain_envoy(origin: &Origin) -> Envoy {
    let config = EnvoyConfig::example("front.yaml").without_filter().cluster("service", &[origin.addr]);
    config.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_through_a_plain_envoy_reaches_the_origin_in_full() {
    let origin = Origin::start().await;
    let gate = Gate::shut();
    let held = gate.clone();
    origin.on("/cold", move |_| Reply::ok("the answer").behind(&held));
    let (one, two) = (plain_envoy(&origin).await, plain_envoy(&origin).await);
    let targets = [one.listener("front"), two.listener("front")];
    let herd = tokio::spawn(async move { herd(200, &targets, |_| Ask::get("shop.example.com", "/cold?x=1")).await });
    await_until(async || origin.hits("/cold") == 200, SOON, "all 200 are at the origin").await;
    assert_eq!(origin.under_way(), 200);
    gate.open();
    let herd = herd.await.unwrap();
    herd.expect_all_ok();
    assert!(herd.answers().all(|answer| answer.text() == "the answer"));
    assert_eq!(origin.latest("/cold").header("host"), "shop.example.com");
    let (first, second) = (one.stats().await, two.stats().await);
    let requests = |stats: &meshcache_tests::Metrics| {
        stats.sum("envoy_cluster_upstream_rq_total", &[("envoy_cluster_name", "service")])
    };
    assert_eq!((requests(&first), requests(&second)), (100.0, 100.0));
    one.stop().await;
}

#[tokio::test]
async fn the_sidecar_example_sends_each_host_its_way() {
    let (application, other) = (Origin::start().await, Origin::start().await);
    application.always("/", Reply::ok("mine"));
    other.always("/", Reply::ok("theirs"));
    let config = EnvoyConfig::example("sidecar.yaml").without_filter();
    let envoy = config.cluster("application", &[application.addr]).cluster("shop", &[other.addr]).start().await;
    let inbound = Ask::get("anything", "/").send(envoy.listener("inbound")).await.unwrap();
    let outbound = Ask::get("shop.example.com", "/").send(envoy.listener("outbound")).await.unwrap();
    assert_eq!((inbound.text(), outbound.text()), ("mine".to_owned(), "theirs".to_owned()));
}

#[tokio::test]
async fn load_counts_what_the_origin_counts() {
    let origin = Origin::start().await;
    origin.always("/a", Reply::ok(vec![b'x'; 200_000])).always("/b", Reply::ok("b"));
    let asks = [Ask::get("o", "/a"), Ask::get("o", "/b")];
    let load = load(&[origin.addr], &asks, 8, Until::Requests(1_000)).await;
    assert_eq!(load.errors, Vec::<String>::new());
    assert_eq!((load.requests, origin.total()), (1_000, 1_000));
    assert!(load.within(0.5) <= load.within(1.0) && load.within(1.0) <= load.elapsed);
}

#[tokio::test]
async fn load_tells_of_an_answer_that_is_no_200() {
    let origin = Origin::start().await;
    let load = load(&[origin.addr], &[Ask::get("o", "/nothing")], 1, Until::Requests(10)).await;
    assert_eq!((load.requests, load.errors.len()), (0, 1));
    assert!(load.errors[0].contains("404"), "{:?}", load.errors);
}

#[tokio::test]
async fn an_origin_can_be_cut_in_the_middle_of_a_body() {
    let origin = Origin::start().await;
    origin.always("/half", Reply::ok("0123456789").cut());
    let request = b"GET /half HTTP/1.1\r\nhost: o\r\n\r\n";
    let answer = String::from_utf8(raw::exchange(origin.addr, request).await.unwrap()).unwrap();
    assert!(answer.contains("content-length: 10") && answer.ends_with("\r\n\r\n012345678"), "{answer}");
    assert!(client::get(origin.addr, "/half").await.is_err());
    await_until(async || origin.under_way() == 0 && origin.connections() == 0, SOON, "the origin is idle").await;
}

#[tokio::test]
async fn bad_origins_are_bad() {
    assert!(client::get(Refused::new().addr, "/").await.is_err());
    let nonsense = BadOrigin::start(Manner::Says(b"HTTP/9.9 nonsense\r\n\r\n".to_vec())).await;
    let silent =
        BadOrigin::start(Manner::SaysThenSilence(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec())).await;
    for manner in [Manner::Reset, Manner::ResetAfterRequest, Manner::EndlessHeaders] {
        let origin = BadOrigin::start(manner).await;
        assert!(client::get(origin.addr, "/").await.is_err());
        assert_eq!(origin.accepted(), 1);
    }
    assert!(client::get(nonsense.addr, "/").await.is_err());
    let hangs = tokio::time::timeout(Duration::from_millis(200), client::get(silent.addr, "/")).await;
    assert!(hangs.is_err());
    await_until(async || silent.connections() == 0, SOON, "the client's end is seen").await;
}

#[tokio::test]
async fn an_origin_speaks_http2_and_large_bodies() {
    let origin = Origin::start().await;
    origin
        .always("/large", Reply::ok(vec![b'x'; 1 << 20]).repeated(8))
        .always("/open", Reply::ok("ab").repeated(3).unannounced());
    let stream = tokio::net::TcpStream::connect(origin.addr).await.unwrap();
    let (executor, io) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::get("http://shop.example.com/large").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!((body.len(), origin.latest("/large").version), (8 << 20, http::Version::HTTP_2));
    let open = client::get(origin.addr, "/open").await.unwrap();
    assert_eq!((open.text().as_str(), open.has("content-length")), ("ababab", false));
}

#[tokio::test]
async fn an_envoy_that_does_not_start_tells_why() {
    let mut config = EnvoyConfig::example("front.yaml").without_filter();
    config.bootstrap["static_resources"]["clusters"][0]["type"] = "NONSENSE".into();
    let failure = tokio::spawn(async move { config.start().await.admin }).await.unwrap_err();
    let message = failure.into_panic().downcast::<String>().unwrap();
    assert!(message.contains("NONSENSE"), "{message}");
}

#[tokio::test]
async fn the_kernel_tells_what_an_envoy_uses() {
    let origin = Origin::start().await;
    origin.always("/", Reply::ok("x"));
    let envoy = plain_envoy(&origin).await;
    let before = envoy.process.cpu();
    let load = load(&[envoy.listener("front")], &[Ask::get("o", "/")], 4, Until::Requests(3_000)).await;
    assert_eq!(load.requests, 3_000);
    let used = envoy.process.cpu() - before;
    assert!(used > Duration::from_millis(10) && used < load.elapsed * 2, "{used:?} of {:?}", load.elapsed);
    assert!(envoy.process.rss() > 10 << 20 && envoy.process.rss() <= envoy.process.peak_rss());
    assert!(envoy.process.open_files() > 10);
}

#[tokio::test]
async fn an_https_origin_is_trusted_by_those_who_know_its_authority() {
    let origin = Origin::start_https().await;
    origin.always("/", Reply::ok("private to the two of us"));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, origin.authority()).unwrap();
    let curl = async |arguments: &[&str]| {
        let arguments = [&["--silent", "--noproxy", "*", &origin.url()], arguments]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let run = move || std::process::Command::new("curl").args(arguments).output().unwrap();
        String::from_utf8(tokio::task::spawn_blocking(run).await.unwrap().stdout).unwrap()
    };
    assert_eq!(curl(&["--cacert", authority.to_str().unwrap()]).await, "private to the two of us");
    assert_eq!(curl(&[]).await, "");
    assert_eq!(origin.total(), 1);
}

#[test]
fn a_stopwatch_does_not_count_what_more_threads_than_cores_wait_for() {
    let threads = 4 * std::thread::available_parallelism().unwrap().get();
    let (plain, fair) = (Instant::now(), Stopwatch::start());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while plain.elapsed() < Duration::from_millis(200) {});
        }
        // Before they end, and take their waits along.
        while plain.elapsed() < Duration::from_millis(150) {}
        assert!(fair.elapsed() < plain.elapsed() / 2, "{:?} of {:?}", fair.elapsed(), plain.elapsed());
    });
}
