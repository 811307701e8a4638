//! TLS on the ports: what clients and peers see of it, and what is refused.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/certificates.rs"]
mod certificates;
mod support;

use bytes::Bytes;
use certificates::{Authority, Issued, replace};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{net::SocketAddr, path::PathBuf, process::Command, sync::Arc};
use support::{Origin, Reply, Running, get, until};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

const PROGRAM: &str = env!("CARGO_BIN_EXE_meshcache-coordinator");

/// Files of certificates.
struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        replace(&self.path(name), text);
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a certificate for these names, and returns its two files.
    fn issue(&self, name: &str, names: &[&str]) -> [String; 2] {
        let (certificate, key) = self.authority.issue(names).write(self.folder.path(), name);
        [certificate, key].map(|path| path.to_str().unwrap().to_owned())
    }
}

/// What a client offers.
#[derive(Clone, Copy)]
struct Offer<'a> {
    authority: &'a Authority,
    own: Option<&'a Issued>,
    version: &'static SupportedProtocolVersion,
    alpn: &'static [u8],
}

fn offer(authority: &Authority) -> Offer<'_> {
    Offer { authority, own: None, version: &TLS13, alpn: b"http/1.1" }
}

async fn connect(to: SocketAddr, offer: Offer<'_>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(offer.authority.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[offer.version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match offer.own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = vec![offer.alpn.to_vec()];
    let name = ServerName::try_from("cache.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
}

/// Asks by HTTP/1.1 on a connection of its own. The error: there is no answer.
async fn ask(
    to: SocketAddr,
    offer: Offer<'_>,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Reply, Box<dyn std::error::Error>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connect(to, offer).await?)).await?;
    tokio::spawn(connection);
    let mut request = http::Request::get(path).header("host", "cache.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = sender.send_request(request.body(Empty::<Bytes>::new())?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() })
}

#[tokio::test]
async fn data_and_admin_port_speak_tls_by_either_version_and_the_status_port_plain_text() {
    let (files, origin) = (Files::new(), Origin::start().await);
    let [cert, key] = files.issue("own", &["cache.test", "127.0.0.1"]);
    let token = files.write("token", "t");
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--admin-token-file", &token];
    let running = Running::start(&[&["--origin", &origin.url][..], &tls].concat()).await;
    let ports = running.ports;
    for version in [&TLS12, &TLS13] {
        let answer = ask(ports.data, Offer { version, ..offer(&files.authority) }, "/a", &[]).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    }
    // Whichever version of HTTP asks, the key is that of https.
    let stream = connect(ports.data, Offer { alpn: b"h2", ..offer(&files.authority) }).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let http2 = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = http2.await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://cache.test/a").body(Full::new(Bytes::new())).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert!(answer.headers()["cache-status"].to_str().unwrap().contains("hit"), "{answer:?}");
    let groups = ask(ports.admin, offer(&files.authority), "/groups", &[("authorization", "Bearer t")]).await.unwrap();
    assert_eq!(groups.json()["groups"][0]["name"], "default");
    assert_eq!(get(ports.status, "/readyz").await.status, 200);
    let probe = async |name: &str, authority: &Authority| {
        let ca = files.write("ca.pem", &authority.pem());
        let url = format!("https://{name}:{}/a", ports.data.port());
        let run = move || Command::new(PROGRAM).args(["probe", &url, "--ca", &ca]).output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap()
    };
    assert_eq!(probe("127.0.0.1", &files.authority).await, "hello\n");
    let said = probe("localhost", &files.authority).await;
    assert!(said.contains("certificate not valid for name \"localhost\""), "{said}");
    assert!(ask(ports.data, offer(&Authority::new()), "/a", &[]).await.is_err(), "no authority of this client's");
    until("it is counted", async || {
        running.metrics().await.contains("failed_total{port=\"data\",reason=\"refused\"} 2")
    })
    .await;
}

#[tokio::test]
async fn plain_text_at_a_tls_port_is_told_so() {
    let files = Files::new();
    let [cert, key] = files.issue("own", &["cache.test"]);
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--tls-cert", &cert, "--tls-key", &key]).await;
    for port in [running.ports.data, running.ports.admin] {
        let answer = get(port, "/").await;
        assert_eq!((answer.status, answer.body.as_str()), (400, "This port speaks TLS: use https://\n"));
    }
    let page = running.metrics().await;
    for port in ["data", "admin"] {
        let line = format!("meshcache_tls_handshakes_failed_total{{port=\"{port}\",reason=\"plain-text\"}} 1");
        assert!(page.contains(&line), "{page}");
    }
}

#[tokio::test]
async fn callers_are_told_apart_by_their_certificates_and_by_nothing_else() {
    let (files, origin, clients) = (Files::new(), Origin::start().await, Authority::new());
    let [cert, key] = files.issue("own", &["cache.test"]);
    let ca = files.write("clients.pem", &clients.pem());
    let groups = format!(
        "version: 1\ngroups:\n- {{name: g, match: {{hosts: [cache.test]}}, origin: {{url: \"{}\"}}, \
         callers: [\"spiffe://d/ns/shop/sa/*\", \"dns:web.test\"]}}\n",
        origin.url
    );
    let groups = files.write("groups.yaml", &groups);
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca, "--identity", "tls"];
    let running = Running::start(&[&["--config", &groups][..], &tls].concat()).await;
    let forged = ("x-forwarded-client-cert", "URI=spiffe://d/ns/shop/sa/web");
    for (names, status) in [
        (&["spiffe://d/ns/shop/sa/web"][..], 200),
        (&["web.test", "other.test"], 200),
        (&["spiffe://d/ns/ops/sa/web", "web.test"], 403),
        (&["other.test"], 403),
    ] {
        for version in [&TLS12, &TLS13] {
            let own = clients.issue(names);
            let offer = Offer { own: Some(&own), version, ..offer(&files.authority) };
            assert_eq!(ask(running.ports.data, offer, "/a", &[forged]).await.unwrap().status, status, "{names:?}");
        }
    }
    let without = ask(running.ports.data, offer(&files.authority), "/a", &[forged]).await.unwrap();
    assert_eq!(without.status, 403, "a client without a certificate has no identity");
    // By the ports' own authority, which certifies no clients, and out of date.
    let [of_ports, expired] = [files.authority.issue(&["web.test"]), clients.issue_expired(&["web.test"])];
    for own in [of_ports, expired] {
        let offer = Offer { own: Some(&own), ..offer(&files.authority) };
        assert!(ask(running.ports.data, offer, "/a", &[]).await.is_err());
    }
    let refused = "meshcache_tls_handshakes_failed_total{port=\"data\",reason=\"client-certificate\"} 2";
    until("both are counted", async || running.metrics().await.contains(refused)).await;
}

/// Returns the certificate that a port shows.
async fn shown(to: SocketAddr, authority: &Authority) -> CertificateDer<'static> {
    let stream = connect(to, offer(authority)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_changed_certificate_is_shown_when_it_and_its_key_fit_and_connections_before_it_end() {
    let (files, origin) = (Files::new(), Origin::start().await);
    let [cert, key] = files.issue("own", &["cache.test"]);
    let token = files.write("token", "0");
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--admin-token-file", &token];
    let running = Running::start(&[&["--origin", &origin.url][..], &tls].concat()).await;
    let to = running.ports.data;
    let first = shown(to, &files.authority).await;
    let stream = connect(to, offer(&files.authority)).await.unwrap();
    let (mut before, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut again = async || {
        let request = http::Request::get("/a").header("host", "cache.test").body(Empty::<Bytes>::new()).unwrap();
        let answer = before.send_request(request).await.unwrap();
        let closes = answer.headers().get("connection").is_some_and(|value| value == "close");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        closes
    };
    assert!(!again().await);

    // Half a certificate, a certificate without its key: the first pair stays.
    let next = files.authority.issue(&["cache.test"]);
    for half in [&next.certificate[..next.certificate.len() / 2], &next.certificate] {
        files.write("own.pem", half);
        until_looked_at(&files, &running).await;
        assert_eq!(shown(to, &files.authority).await, first);
    }
    assert!(!again().await);
    files.write("own.key", &next.key);
    until("the new certificate is shown", async || shown(to, &files.authority).await != first).await;
    assert!(again().await, "the connection from before is closed with its next response");
    let page = running.metrics().await;
    assert!(page.contains("meshcache_certificate_due{certificate=\"tls\"} 0"), "{page}");
}

/// Waits until all files have been looked at again, as tokens are at the same time: the round that finds the second token
/// comes after a whole one.
async fn until_looked_at(files: &Files, running: &Running) {
    let last = std::fs::read_to_string(files.path("token")).unwrap();
    for more in ["1", "2"] {
        let token = format!("{last}{more}");
        files.write("token", &token);
        let bearer = format!("Bearer {token}");
        until("the token is accepted", async || {
            let headers = [("authorization", bearer.as_str())];
            ask(running.ports.admin, offer(&files.authority), "/peers", &headers).await.unwrap().status == 200
        })
        .await;
    }
}

/// The arguments of a peer.
fn peer(files: &Files, name: &str, list: &str, origin: &Origin) -> Vec<String> {
    let [cert, key] = files.issue(name, &[name]);
    let (ca, token) = (files.write("peers.pem", &files.authority.pem()), files.write("peer-token", "peer-token"));
    let all = [
        ("--name", name),
        ("--peers", list),
        ("--origin", &origin.url),
        ("--peer-token-file", &token),
        ("--peer-cert", &cert),
        ("--peer-key", &key),
        ("--peer-ca", &ca),
    ];
    all.iter().flat_map(|(flag, value)| [flag.to_string(), value.to_string()]).collect()
}

#[tokio::test]
async fn a_peer_port_answers_certificates_of_its_authority_and_believes_announcements_of_their_own_names() {
    let (files, origin) = (Files::new(), Origin::start().await);
    let arguments = peer(&files, "cache.test", "cache.test=127.0.0.1:1/2,b=127.0.0.1:3/4", &origin);
    let running = Running::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let b = files.authority.issue(&["b"]);
    let say = async |own: Option<&Issued>, version: &'static SupportedProtocolVersion, name: &str, what: &str| {
        let stream = connect(running.ports.peer, Offer { own, version, ..offer(&files.authority) }).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let peer = serde_json::json!({"name": name, "data": "127.0.0.1:3", "peer": "127.0.0.1:4"});
        let body = serde_json::json!({"peer": peer, "does": "join", "by": peer});
        let request = http::Request::post(what)
            .header("host", "cache.test")
            .header("authorization", "Bearer peer-token")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let answer = sender.send_request(request).await.ok()?;
        Some((answer.status().as_u16(), answer.into_body().collect().await.ok()?.to_bytes()))
    };
    let (announcement, catch_up) = ("/.meshcache/word", "/.meshcache/purges");
    for (what, status) in [(announcement, 204), (catch_up, 200)] {
        assert_eq!(say(Some(&b), &TLS13, "b", what).await.unwrap().0, status, "{what}");
        let (status, why) = say(Some(&b), &TLS13, "c", what).await.unwrap();
        assert_eq!((status, &*why), (403, &b"the certificate of this connection has no name `c`\n"[..]), "{what}");
    }
    let stranger = Authority::new().issue(&["b"]);
    let expired = files.authority.issue_expired(&["b"]);
    for own in [None, Some(&stranger), Some(&expired)] {
        assert_eq!(
            say(own, &TLS13, "b", announcement).await,
            None,
            "without a certificate that is good there is no answer"
        );
    }
    assert_eq!(say(Some(&b), &TLS12, "b", announcement).await, None, "peers speak TLS 1.3 alone");
    let refused = "meshcache_tls_handshakes_failed_total{port=\"peer\",reason=\"client-certificate\"} 3";
    until("they are counted", async || running.metrics().await.contains(refused)).await;
    assert!(get(running.ports.peer, "/").await.body.contains("speaks TLS"));
}
