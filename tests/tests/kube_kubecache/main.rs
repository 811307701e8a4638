//! A Deployment of kubecache on a real API server becomes one of ours by image and command alone, and goes back. Its
//! controllers make and end the Pods; each Pod is a network with a real process of ours in it, or with a stand-in of
//! kubecache.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kubelet;
mod load;
mod old_program;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use kubelet::{Kubelet, Program};
use load::Load;
use meshcache_tests::{
    Ask, Metrics, Origin, Reply, await_until, chart, client,
    kube::{self, Cluster},
    process::Signal,
    wait::LONG,
};
use serde_json::{Value, json};

/// What kubecache caches by default, and what it does not.
const CACHED: &str = "/config/develop";

/// The release's objects, its Pods' origin, and who runs them.
struct Release {
    cluster: Arc<Cluster>,
    origin: Origin,
    kubelet: Kubelet,
    /// The image of ours.
    image: String,
}

impl Release {
    /// `network`: the third part of the Pods' addresses; each test has its own. `program`: what runs in the Pods. `more`:
    /// more values.
    async fn install(network: u8, program: Program, more: &str) -> Release {
        let cluster = Arc::new(Cluster::namespace("kubecache", &[]));
        let here: std::net::IpAddr = std::env::var("KUBE_ADDRESS").unwrap().parse().unwrap();
        let origin = Origin::start_at(SocketAddr::new(here, 0)).await;
        origin.on("*", |asked| Reply::ok(format!("body of {}", asked.uri.path())));
        let values = json!({"replicaCount": 3, "autoscaling": {"enabled": false}, "configMapProperties": {"BACKEND_URL": origin.url(), "DEBUG_LOG": "true"}});
        let mut objects =
            chart::release("kubecache", &cluster.namespace, &["--set", more], &values.to_string()).unwrap();
        let deployment = objects.iter_mut().find(|object| object["kind"] == "Deployment").unwrap();
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        let image = container["image"].as_str().unwrap().to_owned();
        if program == Program::Old {
            container["image"] = kubelet::OLD_IMAGE.into();
            container.as_object_mut().unwrap().remove("args");
        }
        cluster.apply(&objects.iter().collect::<Vec<_>>(), &[]).unwrap();
        let kubelet = Kubelet::new(cluster.clone(), network);
        let mut release = Release { cluster, origin, kubelet, image };
        release.rolled(program, 3).await;
        release
    }

    /// Changes image and command, and nothing else.
    fn swap(&self, to: Program) {
        let (image, args) = match to {
            Program::Ours => (self.image.as_str(), json!(["kubecache"])),
            Program::Old => (kubelet::OLD_IMAGE, Value::Null),
        };
        let containers = json!([{"name": "kubecache", "image": image, "args": args}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        self.cluster.kubectl(&["patch", "deployment", "kubecache", "--patch", &patch.to_string()]);
    }

    /// Plays the kubelet until the Deployment has rolled: so many Pods, all of this program, all ready.
    async fn rolled(&mut self, to: Program, number: usize) {
        let end = std::time::Instant::now() + LONG * 2;
        loop {
            self.kubelet.tick().await;
            let set = self.cluster.object("deployment", "kubecache").unwrap();
            let status = &set["status"];
            let all = ["replicas", "updatedReplicas", "readyReplicas"].iter().all(|field| status[*field] == number)
                && status["observedGeneration"] == set["metadata"]["generation"];
            if all && self.kubelet.programs() == vec![to; number] {
                return;
            }
            assert!(std::time::Instant::now() < end, "it does not roll: {status:#}\n{}", self.kubelet.logs());
        }
    }

    async fn metrics(&self) -> Vec<Metrics> {
        let mut all = Vec::new();
        for at in self.kubelet.ours() {
            let page = client::get(SocketAddr::new(at, 3000), "/metrics").await.unwrap();
            all.push(Metrics::parse(&page.text()));
        }
        all
    }

    /// Waits until the rings of all of ours have so many members.
    async fn agree(&self, on: f64) {
        let agreed = async || self.metrics().await.iter().all(|metrics| metrics.get("kubegroup_peers", &[]) == on);
        if tokio::time::timeout(LONG, await_until(agreed, LONG * 2, "the rings agree")).await.is_err() {
            panic!("not all rings have {on} peers\n{}", self.kubelet.logs());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn three_replicas_roll_from_kubecache_to_ours_and_back_under_load_without_a_failed_request() {
    if !kube::can_run() {
        return;
    }
    let mut release = Release::install(70, Program::Old, "").await;
    let load = Load::start(release.kubelet.targets.clone(), CACHED);
    load.goes_on().await;

    release.swap(Program::Ours);
    release.rolled(Program::Ours, 3).await;
    assert_eq!(load.failures(), [""; 0], "{}", release.kubelet.logs());
    let (seen, peers) = (release.kubelet.seen, &release.kubelet.peers);
    assert!(
        peers.refusals.load(Ordering::Relaxed) > 0,
        "no Pod of kubecache asked one of ours: the test shows nothing"
    );
    assert!(seen.mixed_rings > 0, "there was no moment with Pods of both: the test shows nothing");
    assert_eq!(seen.strangers_in_a_ring, 0, "a Pod of the other program was in a ring");

    // All of ours are one cache: a key that nobody had is loaded once, whoever is asked.
    release.agree(3.0).await;
    for n in 0..40 {
        let path = format!("/afterwards/{n}/develop");
        for at in release.kubelet.ours() {
            let answer = Ask::get("config.test", &path).send(SocketAddr::new(at, 8080)).await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, format!("body of {path}")));
        }
        assert_eq!(release.origin.hits(&path), 1, "{path}");
    }
    assert_eq!(load.failures(), [""; 0]);

    release.swap(Program::Old);
    release.rolled(Program::Old, 3).await;
    load.goes_on().await;
    assert_eq!(load.failures(), [""; 0], "{}", release.kubelet.logs());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn a_pod_is_in_the_ring_while_it_is_ready_and_has_answered_since_its_last_restart() {
    if !kube::can_run() {
        return;
    }
    let release = Release::install(71, Program::Ours, "").await;
    release.agree(3.0).await;
    let named = release.kubelet.named();
    let (other, at) = named.last().unwrap();
    // What the first one says.
    let says = async |name: &str, labels: &[(&str, &str)]| {
        let page = client::get(SocketAddr::new(named[0].1, 3000), "/metrics").await.unwrap();
        Metrics::parse(&page.text()).get(name, labels)
    };
    let unanswered = async || says("meshcache_discovery_problems", &[("problem", "no-answer")]).await;

    release.cluster.ready(other, *at, false);
    await_until(async || says("kubegroup_peers", &[]).await == 2.0, LONG, "who is not ready leaves").await;
    release.cluster.ready(other, *at, true);
    release.agree(3.0).await;

    // Busy is not gone; but after a restart another program may have its place.
    release.kubelet.process(other).signal(Signal::STOP);
    for n in 0..30 {
        let ask = Ask::get("config.test", &format!("/busy/{n}/develop"));
        assert_eq!(ask.send(SocketAddr::new(named[0].1, 8080)).await.unwrap().status, 200);
    }
    assert_eq!((says("kubegroup_peers", &[]).await, unanswered().await), (3.0, 0.0));
    let restarted = json!({"status": {"containerStatuses": [{"name": "kubecache", "image": "i", "imageID": "", "ready": true, "restartCount": 1}]}});
    let patch = ["patch", "pod", other, "--subresource=status", "--type=merge", "--patch", &restarted.to_string()];
    release.cluster.kubectl(&patch);
    let left_out = async || (says("kubegroup_peers", &[]).await, unanswered().await) == (2.0, 1.0);
    await_until(left_out, LONG, "who has not answered since its restart is left out").await;
    let line = format!("Pod {other} does not answer as a coordinator at {at}:5000");
    assert!(release.kubelet.process(&named[0].0).log().contains(&line), "{}", release.kubelet.logs());
    release.kubelet.process(other).signal(Signal::CONT);
    release.agree(3.0).await;
    assert_eq!(unanswered().await, 0.0);

    // Rights that are gone are named, and the last ring stays.
    let binding = release.cluster.kubectl(&["get", "rolebinding", "kubecache", "--output=json"]);
    release.cluster.kubectl(&["delete", "rolebinding", "kubecache"]);
    let ready = async || client::get(SocketAddr::new(named[0].1, 8082), "/readyz").await.unwrap();
    let told = async || {
        let answer = ready().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().contains(": no right to list pods (a Role with the verbs list and watch gives it): ")
    };
    await_until(told, LONG, "readiness names verb and resource").await;
    assert!(release.kubelet.process(&named[0].0).log().contains("no right to list pods"), "{}", release.kubelet.logs());
    release.agree(3.0).await;
    let mut binding: Value = serde_json::from_str(&binding).unwrap();
    binding["metadata"] = json!({"name": "kubecache"});
    release.cluster.apply(&[&binding], &[]).unwrap();
    await_until(async || ready().await.text() == "ready\n", LONG, "it has its rights again").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn with_a_token_a_pod_that_ends_hands_its_entries_over() {
    if !kube::can_run() {
        return;
    }
    let mut release = Release::install(72, Program::Ours, "auth.existingSecret=tokens").await;
    release.agree(3.0).await;
    let load = Load::start(release.kubelet.targets.clone(), CACHED);
    let ask_all = async |release: &Release| {
        for n in 0..40 {
            let ask = Ask::get("config.test", &format!("/kept/{n}/develop"));
            assert_eq!(ask.send(SocketAddr::new(release.kubelet.ours()[n % 2], 8080)).await.unwrap().status, 200);
        }
    };
    ask_all(&release).await;
    release.cluster.kubectl(&["scale", "deployment", "kubecache", "--replicas=2"]);
    release.rolled(Program::Ours, 2).await;
    release.agree(2.0).await;
    ask_all(&release).await;
    let loads: Vec<usize> = (0..40).map(|n| release.origin.hits(&format!("/kept/{n}/develop"))).collect();
    assert_eq!(loads, [1; 40], "{}", release.kubelet.logs());
    assert_eq!(load.failures(), [""; 0]);
}
