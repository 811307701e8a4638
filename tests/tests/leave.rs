//! A body that takes its time, through Envoys whose filter takes whole answers alone (Wasm): one client in the mesh has the
//! first byte from the service at once, all others wait for the owner's load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use meshcache_tests::{Ask, Gate, Mesh, Reply, await_until, run, wait::SOON};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

const HOST: &str = "long.test";
const WHOLE: &str = "0123456789 0123456789 ";

async fn mesh() -> Mesh {
    let fields = json!({"patience": "400ms", "streamAfter": "50ms"});
    let mesh = Mesh::of(3, 2).envoy(|envoy| envoy.concurrency(2));
    mesh.groups(|groups| groups.plus("long", fields)).start().await
}

/// Clients, and which of them have begun to read a body.
struct Clients {
    all: Vec<JoinHandle<String>>,
    begun: UnboundedReceiver<usize>,
    begin: UnboundedSender<usize>,
}

impl Clients {
    fn new() -> Self {
        let (begin, begun) = unbounded_channel();
        Self { all: Vec::new(), begun, begin }
    }

    fn ask(&mut self, front: SocketAddr, path: &str) {
        let (nth, begin, ask) =
            (self.all.len(), self.begin.clone(), Ask::get(HOST, path).header("connection", "close"));
        self.all.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(front).await.unwrap();
            stream.write_all(&ask.wire()).await.unwrap();
            let mut got = Vec::new();
            while stream.read_buf(&mut got).await.unwrap() > 0 {
                if got.windows(5).any(|five| five.starts_with(b"\r\n\r\n")) {
                    let _ = begin.send(nth);
                }
            }
            String::from_utf8(got).unwrap()
        }));
    }

    /// Returns who is the first to read.
    async fn first(&mut self) -> usize {
        timeout(SOON, self.begun.recv()).await.expect("one has the first byte").unwrap()
    }
}

/// How often questions came back for their load so far.
async fn asked_again(mesh: &Mesh) -> f64 {
    let mut sum = 0.0;
    for coordinator in &mesh.coordinators.all {
        sum += coordinator.metrics().await.sum("meshcache_requests_total", &[("outcome", "loading")]);
    }
    sum
}

#[test]
fn one_client_has_the_first_byte_all_others_the_whole_and_the_service_sees_two_requests() {
    run(async {
        let (mesh, gate, mut clients) = (mesh().await, Gate::shut(), Clients::new());
        mesh.origin.always("/long", Reply::fresh(60, "0123456789 ").repeated(2).rest_behind(&gate));
        (0..20).for_each(|n| clients.ask(mesh.fronts()[n % 2], "/long"));
        let first = clients.first().await;
        let before = asked_again(&mesh).await;
        clients.ask(mesh.fronts()[0], "/long");
        await_until(async || asked_again(&mesh).await >= before + 8.0, SOON, "the others ask again").await;
        assert_eq!(mesh.origin.hits("/long"), 2, "{}", mesh.counts().await);
        while let Ok(begun) = clients.begun.try_recv() {
            assert_eq!(begun, first, "the others wait");
        }
        gate.open();
        for (nth, client) in clients.all.into_iter().enumerate() {
            let answer = client.await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(WHOLE), "{answer}");
            assert_eq!(answer.contains("fwd=bypass; detail=leave"), nth == first, "{answer}");
        }
        let later = Ask::get(HOST, "/long").send(mesh.fronts()[1]).await.unwrap();
        assert_eq!((later.text().as_str(), mesh.origin.hits("/long")), (WHOLE, 2), "{}", mesh.counts().await);
        let passed = async || {
            let mut sum = 0.0;
            for envoy in &mesh.envoys {
                sum += envoy.stats().await.sum("meshcache_filter_pass_leave", &[]);
            }
            sum
        };
        await_until(async || passed().await > 0.0, SOON, "it is counted").await;
        assert_eq!(passed().await, 1.0);
    });
}

#[test]
fn when_the_one_with_the_leave_hangs_up_the_others_still_have_the_whole() {
    run(async {
        let (mesh, gate, mut clients) = (mesh().await, Gate::shut(), Clients::new());
        mesh.origin.always("/left", Reply::fresh(60, "0123456789 ").repeated(2).rest_behind(&gate));
        (0..6).for_each(|n| clients.ask(mesh.fronts()[n % 2], "/left"));
        let first = clients.first().await;
        clients.all.remove(first).abort();
        let before = asked_again(&mesh).await;
        await_until(async || asked_again(&mesh).await >= before + 4.0, SOON, "the others ask again").await;
        gate.open();
        for client in clients.all {
            assert!(client.await.unwrap().ends_with(WHOLE));
        }
        assert_eq!(mesh.origin.hits("/left"), 2, "{}", mesh.counts().await);
    });
}

#[test]
fn a_body_that_is_whole_in_time_is_one_request() {
    run(async {
        let (mesh, gate, mut clients) = (mesh().await, Gate::shut(), Clients::new());
        let slow = Reply::fresh(60, "0123456789 ").repeated(2).behind(&gate);
        mesh.origin.always("/slow-head", slow);
        (0..6).for_each(|n| clients.ask(mesh.fronts()[n % 2], "/slow-head"));
        await_until(async || asked_again(&mesh).await >= 6.0, SOON, "all wait for the head").await;
        gate.open();
        for client in clients.all {
            assert!(client.await.unwrap().ends_with(WHOLE));
        }
        assert_eq!(mesh.origin.hits("/slow-head"), 1, "{}", mesh.counts().await);
    });
}
