//! A coordinator whose origin demands a client certificate, which is replaced while requests are under way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use meshcache_coordinator::{config::groups_file::GroupSource, coordinator, settings::Identity};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use support::{Running, file, get, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key, PEM.
type Pair = (String, String);

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certify(authority: &Authority, name: &str) -> Pair {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    (cert.pem(), key.serialize_pem())
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Starts an origin that says whether a client has the certificate `new`.
async fn origin(authority: &Authority, new: &str) -> SocketAddr {
    let (cert, key) = certify(authority, "origin.test");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![der(&cert)], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    let (acceptor, new) = (TlsAcceptor::from(Arc::new(config)), der(new));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, new) = (acceptor.clone(), new.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let is_new = stream.get_ref().1.peer_certificates().and_then(|all| all.first()) == Some(&new);
                let head = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 3\r\n\r\n";
                while stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {
                    let body = if is_new { "new" } else { "old" };
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origins_client_certificate_is_replaced_without_a_failed_request() {
    let authority = authority();
    let (old, new) = (certify(&authority, "a"), certify(&authority, "a"));
    let origin = origin(&authority, &new.0).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    for (name, content) in [("ca", authority.pem()), ("cert", old.0.clone()), ("key", old.1.clone())] {
        write(name, &content);
    }
    let at = folder.path().display();
    let (_groups, path) = file(&format!(
        "version: 1\ngroups:\n- name: g\n  match: {{hosts: [\"*\"]}}\n  callers: [\"*\"]\n  origin:\n    url: https://{origin}\n    tls: {{ca: {at}/ca, cert: {at}/cert, key: {at}/key, serverName: origin.test}}\n"
    ));
    let running = Running::start(&["--config", &path]).await;
    let data = running.ports.data;
    assert_eq!(get(data, "/").await.body, "old");

    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, count) = (stop.clone(), count.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let reply = get(data, "/").await;
                    assert!(reply.status == 200, "{reply:?}");
                    count.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    write("cert", &new.0);
    // The two do not belong together as long as this takes.
    let before = count.load(Ordering::SeqCst);
    until("many are answered meanwhile", async || count.load(Ordering::SeqCst) > before + 200).await;
    assert_eq!(get(data, "/").await.body, "old");
    write("key", &new.1);
    until("the new certificate is in use", async || get(data, "/").await.body == "new").await;
    for _ in 0..20 {
        assert_eq!(get(data, "/").await.body, "new", "for good");
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

#[test]
fn a_line_names_what_is_wrong_with_the_files_of_an_origin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("groups.yaml");
    std::fs::write(folder.path().join("text"), "no certificate").unwrap();
    let at = folder.path().display();
    let missing = "cannot be read: No such file or directory (os error 2)";
    for (origin, line) in [
        ("ca: $/none".to_owned(), format!("6: groups[0].origin.ca: {at}/none: {missing}")),
        ("ca: $/text".to_owned(), format!("6: groups[0].origin.ca: {at}/text: ca: contains no certificate")),
        ("tls: {ca: $/text}".to_owned(), format!("6: groups[0].origin.tls: {at}/text: ca: contains no certificate")),
        ("tls: {cert: $/none, key: $/none}".to_owned(), format!("6: groups[0].origin.tls: {at}/none: {missing}")),
        (
            "tls: {cert: $/text, key: $/text}".to_owned(),
            format!("6: groups[0].origin.tls: {at}/text, {at}/text: cert: contains no certificate"),
        ),
        (
            "tls: {serverName: a b}".to_owned(),
            "6: groups[0].origin.tls.serverName: `a b` is not a name for a certificate (a DNS name, or an IP address)"
                .into(),
        ),
    ] {
        let origin = origin.replace('$', &at.to_string());
        let group = format!(
            "- name: b\n  match: {{hosts: [i]}}\n  callers: [\"*\"]\n  origin: {{url: \"https://o\", {origin}}}\n"
        );
        std::fs::write(&path, format!("version: 1\ngroups:\n{group}")).unwrap();
        let source = GroupSource::Path(path.clone());
        let said = coordinator::check(&source, &source.read(), Identity::None).map(|_| ()).unwrap_err();
        assert_eq!(said.to_string().split_once(".yaml:").map(|(_, said)| said), Some(&*line));
    }
}
