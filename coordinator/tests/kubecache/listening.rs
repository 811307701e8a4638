//! Where the program listens, and how it ends.

use crate::{
    plane::{Origin, answer},
    pod::{Pod, echo},
    support::{get, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_ok_and_metrics_have_their_namespaces() {
    let origin = Origin::new(|seen| async move { answer(200, &[], echo(&seen)) }).await;
    let pod = Pod::before(
        &origin,
        &[("HEALTH_PATH", "/live"), ("METRICS_NAMESPACE", "shop"), ("KUBEGROUP_METRICS_NAMESPACE", "kube")],
    )
    .await;
    let health = get(pod.port("health"), "/live").await;
    assert_eq!((health.status, health.body.as_str()), (200, "health ok\n"));
    assert_eq!(get(pod.port("health"), "/health").await.status, 404);
    for path in ["/prod/a?n=1", "/prod/a?n=2", "/prod/a?n=2"] {
        assert_eq!(pod.get(path).await.status, 200);
    }
    let page = pod.metrics().await;
    for line in [
        "shop_groupcache_gets_total{group=\"path\"} 3",
        "shop_groupcache_hits_total{group=\"path\"} 1",
        "kube_kubegroup_peers 1",
        "shop_requests_seconds_count{method=\"GET\",outcome=\"SUCCESS\",status=\"200\",uri=\"/prod/a\"} 3",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let own = get(pod.port("status"), "/metrics").await.body;
    assert!(own.contains("\ngroupcache_gets_total{") && own.contains("\nrequests_seconds_count{"), "{own}");
    assert!(page.contains("meshcache_connections{port=\"health\"}"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_can_be_switched_off() {
    let origin = Origin::new(|_| async { answer(200, &[], "") }).await;
    let pod = Pod::before(&origin, &[("PROMETHEUS_ENABLE", "false")]).await;
    assert!(pod.ports["metrics"].is_null(), "{}", pod.ports);
    assert!(!get(pod.port("status"), "/metrics").await.body.contains("requests_seconds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_told_to_end_answers_for_a_while_and_its_health_is_ok() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let mut pod = Pod::before(&origin, &[("MESHCACHE_DRAIN_TIMEOUT", "2s")]).await;
    pod.get("/prod/a").await;
    let id = rustix::process::Pid::from_child(&pod.process);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    until("it stops", async || pod.log().contains("stopping")).await;
    assert_eq!(pod.get("/prod/a").await.status, 200, "Services still send requests");
    assert_eq!(get(pod.port("health"), "/health").await.body, "health ok\n");
    until("it has ended", async || pod.process.try_wait().unwrap().is_some()).await;
    assert!(pod.process.wait().unwrap().success(), "{}", pod.log());
}
