//! Coordinators that find each other by what other systems know: Google's API, and a real name server (dnsmasq, which
//! `scripts/setup vm` brings; where there is none, that is said and nothing is asked).
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};
use support::{Running, file, get as ask, port, until};

/// The metadata server and the API: the addresses of instances, or a status.
type Instances = Arc<Mutex<Result<Vec<&'static str>, StatusCode>>>;

async fn google(State(instances): State<Instances>, uri: Uri) -> Response {
    let google = [("metadata-flavor", "Google")];
    match uri.path() {
        "/computeMetadata/v1/project/project-id" => (google, "p").into_response(),
        "/computeMetadata/v1/instance/zone" => (google, "projects/1/zones/z").into_response(),
        "/computeMetadata/v1/instance/service-accounts/default/token" => {
            (google, r#"{"access_token": "t", "expires_in": 60}"#).into_response()
        }
        "/compute/v1/projects/p/zones/z/instances" => match &*instances.lock().unwrap() {
            Ok(all) => {
                let instance = |ip: &&str| json!({"status": "RUNNING", "tags": {"items": ["cache"]}, "networkInterfaces": [{"networkIP": ip}]});
                json!({"items": all.iter().map(instance).collect::<Vec<_>>()}).to_string().into_response()
            }
            Err(status) => status.into_response(),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn serve(listener: tokio::net::TcpListener, routes: Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(routes.clone());
        let connection = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(connection, service));
    }
}

/// A coordinator at this address, whose peer port has the number that all have.
async fn at(ip: &str, peer_port: u16, name: &str, flags: &[&str]) -> Running {
    let (peer, free) = (format!("{ip}:{peer_port}"), format!("{ip}:0"));
    let own = ["--origin", "http://127.0.0.1:9", "--name", name, "--peer-listen", &peer, "--listen", &free];
    Running::start(&[&own[..], flags].concat()).await
}

/// Waits until all have a ring of these names, and it is the same.
async fn await_ring(all: &[&Running], names: &[&str]) {
    until(&format!("all have the ring {names:?}"), async || {
        let mut versions = Vec::new();
        for one in all {
            let shown = ask(one.ports.admin, "/peers").await.json();
            let ring: Vec<_> = shown["peers"].as_array().unwrap().iter().map(|peer| peer["name"].clone()).collect();
            versions.push(shown["ring"].clone());
            if ring != names {
                return false;
            }
        }
        versions.windows(2).all(|pair| pair[0] == pair[1])
    })
    .await;
}

#[tokio::test]
async fn instances_find_each_other_by_the_ini_file_of_gce_cache_cluster_and_stay_while_the_api_fails() {
    let instances: Instances = Arc::new(Mutex::new(Ok(vec!["127.0.0.2", "127.0.0.3", "127.0.0.9"])));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let routes = Router::new().fallback(get(google)).with_state(instances.clone());
    tokio::spawn(serve(listener, routes));
    let (_token, token) = file("token");
    let peer_port = port::unused().port();
    let (_ini, ini) =
        file(&format!("[cache]\nport = {peer_port}\n[cluster]\nheartbeat = 250\n[match]\ntags = cache\n"));
    let endpoint = format!("http://{server}");
    let flags = [
        ["--discovery", "gce"],
        ["--ini", &ini],
        ["--peer-token-file", &token],
        ["--discovery-endpoint", &endpoint],
        ["--discovery-metadata-host", &server],
    ]
    .concat();
    let a = at("127.0.0.2", peer_port, "a", &flags).await;
    let b = at("127.0.0.3", peer_port, "b", &flags).await;
    await_ring(&[&a, &b], &["a", "b"]).await;
    // One that comes later finds them; they need not list it again.
    let c = at("127.0.0.4", peer_port, "c", &flags).await;
    await_ring(&[&a, &b, &c], &["a", "b", "c"]).await;
    *instances.lock().unwrap() = Err(StatusCode::INTERNAL_SERVER_ERROR);
    let d = at("127.0.0.5", peer_port, "d", &flags).await;
    until("one that starts while the API fails says so", async || {
        ask(d.ports.status, "/readyz").await.body.contains("500 Internal Server Error")
    })
    .await;
    await_ring(&[&a, &b, &c], &["a", "b", "c"]).await;
}

/// A real name server, which ends with the test.
struct NameServer(Child);

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl NameServer {
    /// `None`: there is none on this machine.
    fn start(port: u16, records: &[String]) -> Option<Self> {
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap()));
        dnsmasq.args(["--keep-in-foreground", "--no-hosts", "--no-resolv", "--conf-file=/dev/null", "--pid-file="]);
        dnsmasq.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--local=/example.com/"]);
        dnsmasq.arg(format!("--port={port}")).args(records).stderr(Stdio::null());
        match dnsmasq.spawn() {
            Ok(child) => Some(Self(child)),
            Err(_) => {
                eprintln!("there is no dnsmasq here: scripts/setup vm");
                None
            }
        }
    }
}

#[tokio::test]
async fn records_of_hosts_and_of_services_in_a_real_name_server_lead_to_one_ring() {
    let (peer_port, other_port, name_port) = (port::unused().port(), port::unused().port(), port::unused().port());
    let records = [
        "--host-record=cache.example.com,127.0.0.2".to_owned(),
        "--host-record=cache.example.com,127.0.0.3".to_owned(),
        "--host-record=c.example.com,127.0.0.4".to_owned(),
        format!("--srv-host=_peer._tcp.cache.example.com,c.example.com,{other_port}"),
    ];
    let Some(server) = NameServer::start(name_port, &records) else { return };
    let (_token, token) = file("token");
    let resolver = format!("127.0.0.1:{name_port}");
    let flags = [
        ["--discovery", "dns"],
        ["--discovery-name", "cache.example.com"],
        ["--discovery-resolver", &resolver],
        ["--peer-token-file", &token],
    ]
    .concat();
    // Only the service is known of it, and only by it do the others hear of each other at first.
    let c = at("127.0.0.4", other_port, "c", &flags).await;
    let a = at("127.0.0.2", peer_port, "a", &flags).await;
    await_ring(&[&a, &c], &["a", "c"]).await;
    let b = at("127.0.0.3", peer_port, "b", &flags).await;
    await_ring(&[&a, &b, &c], &["a", "b", "c"]).await;
    drop(server);
    let d = at("127.0.0.5", peer_port, "d", &flags).await;
    until("one that starts without a name server says so", async || {
        ask(d.ports.status, "/readyz").await.body.contains("cache.example.com: ")
    })
    .await;
    await_ring(&[&a, &b, &c], &["a", "b", "c"]).await;
}
