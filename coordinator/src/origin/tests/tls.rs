//! Client certificates, names, and files that change under way.

use super::{http2::serve, *};
use crate::{config::watched_file::Watched, origin::trust::Certificates};
use rcgen::{Issuer, date_time_ymd};
use rustls::{ClientConfig, RootCertStore, server::WebPkiClientVerifier};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// An authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of the tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns a certificate and its key, PEM.
    fn certify(&self, name: &str, is_expired: bool) -> (String, String) {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec![name.to_owned()]).unwrap());
        if is_expired {
            (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        }
        let issuer: &Issuer<'_, _> = &self.0;
        (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

/// An origin that demands a certificate, and answers with the one that it got.
struct Demanding {
    authority: Authority,
    address: SocketAddr,
}

impl Demanding {
    async fn new(protocol: &'static [u8], name: &str, is_expired: bool) -> Self {
        let authority = Authority::new();
        let (cert, key) = authority.certify(name, is_expired);
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots().into(), provider.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![der(&cert)], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (address, _) =
            scripted(listener().await, move |_, stream| answer(acceptor.clone(), protocol, stream)).await;
        Self { authority, address }
    }

    /// Returns a pool that asks it as `localhost`, or by another name for its certificate.
    fn pool(&self, files: &Files, server_name: &str) -> Arc<Pool> {
        let tls = Tls { config: files.tls.clone(), name: Tls::name(server_name).unwrap(), may_be_http2: true };
        let resolver = Resolver::new(|_| Box::pin(async { Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]) }));
        pool(&format!("localhost:{}", self.address.port()).parse().unwrap(), Some(tls), lifetimes(), resolver)
    }
}

async fn answer(acceptor: TlsAcceptor, protocol: &[u8], stream: TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let seen = stream.get_ref().1.peer_certificates().and_then(|all| all.first()).map(|cert| digest(cert));
    let seen = seen.unwrap_or_default();
    if protocol == b"h2" {
        return serve(stream, 100, move |_| {
            let seen = seen.clone();
            async move { Ok(Response::new(Full::from(seen))) }
        })
        .await;
    }
    while stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{seen}", seen.len());
        let _ = stream.write_all(head.as_bytes()).await;
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn digest(cert: &CertificateDer<'_>) -> String {
    format!("{:x?}", meshcache_protocol::Hash::of(cert))
}

/// The files of a group's `origin.tls`.
struct Files {
    folder: TempDir,
    watched: WatchedFiles,
    tls: Arc<Watched<ClientConfig>>,
}

impl Files {
    fn new(ca: &str, (cert, key): &(String, String)) -> Self {
        let (folder, watched) = (tempfile::tempdir().unwrap(), WatchedFiles::default());
        let path = |name: &str| folder.path().join(name);
        for (name, content) in [("ca", ca), ("cert", cert), ("key", key)] {
            fs::write(path(name), content).unwrap();
        }
        let trust = Trust { ca: Some(path("ca")), client: Some((path("cert"), path("key"))), http2: true };
        let tls = trust.open(&watched).unwrap();
        Self { folder, watched, tls }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and looks for changes.
    fn write(&self, name: &str, content: &str) -> Certificates {
        fs::write(self.path(name), content).unwrap();
        self.watched.check();
        Some(self.tls.current())
    }
}

#[tokio::test]
async fn an_origin_that_demands_a_certificate_gets_it_and_refuses_another() {
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let origin = Demanding::new(protocol, "localhost", false).await;
        let ca = origin.authority.0.pem();
        let good = origin.authority.certify("client", false);
        assert_eq!(
            send(&origin.pool(&Files::new(&ca, &good), "localhost"), "GET").await.map_err(|error| error.cause),
            Ok(digest(&der(&good.0)))
        );
        for (what, bad) in [
            ("of another authority", Authority::new().certify("client", false)),
            ("expired", origin.authority.certify("client", true)),
        ] {
            let error = send(&origin.pool(&Files::new(&ca, &bad), "localhost"), "GET").await.unwrap_err();
            assert_eq!(error.failure, Failure::Tls, "{what}: {} ({protocol:?})", error.cause);
        }
    }
}

#[tokio::test]
async fn an_origins_certificate_is_for_the_name_that_the_group_says_and_not_expired() {
    for (name, is_expired, server_name, expected) in [
        ("origin.internal", false, "origin.internal", Ok(())),
        ("127.0.0.1", false, "127.0.0.1", Ok(())),
        ("origin.internal", false, "localhost", Err("not valid for")),
        ("localhost", true, "localhost", Err("expired")),
    ] {
        let origin = Demanding::new(b"http/1.1", name, is_expired).await;
        let files = Files::new(&origin.authority.0.pem(), &origin.authority.certify("client", false));
        match (send(&origin.pool(&files, server_name), "GET").await, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => {
                assert!(error.failure == Failure::Tls && error.cause.contains(part), "{}", error.cause);
            }
            (sent, _) => panic!("{name} as {server_name}: {sent:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_under_load_and_no_request_fails() {
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let origin = Demanding::new(protocol, "localhost", false).await;
        let (one, two) = (origin.authority.certify("one", false), origin.authority.certify("two", false));
        let (first, second) = (digest(&der(&one.0)), digest(&der(&two.0)));
        let files = Files::new(&origin.authority.0.pem(), &one);
        let pool = origin.pool(&files, "localhost");
        let (stop, all) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..8).map(|n| {
            let (pool, stop, all) = (pool.clone(), stop.clone(), all.clone());
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    send(&pool, if n % 2 == 0 { "GET" } else { "POST" }).await.map_err(|error| error.cause)?;
                    all.fetch_add(1, SeqCst);
                }
                Ok::<_, String>(())
            })
        });
        let clients: Vec<_> = clients.collect();
        let some_more = || async {
            let before = all.load(SeqCst);
            until("requests are answered", || all.load(SeqCst) >= before + 50).await;
        };
        some_more().await;
        let in_use = || files.tls.current();
        let old = in_use();
        for half in [&two.0[..two.0.len() / 2], "", &two.0] {
            files.write("cert", half);
            assert!(Arc::ptr_eq(&old, &in_use()), "a half of a pair is not used");
            assert_eq!(send(&pool, "GET").await.map_err(|error| error.cause).as_ref(), Ok(&first));
        }
        some_more().await;
        files.write("key", &two.1);
        for _ in 0..20 {
            assert_eq!(send(&pool, "GET").await.map_err(|error| error.cause).as_ref(), Ok(&second), "for each new one");
        }
        some_more().await;
        stop.store(true, SeqCst);
        for client in clients {
            assert_eq!(client.await.unwrap(), Ok(()));
        }
    }
}

#[test]
fn files_that_are_no_certificates_are_named_with_what_is_wrong() {
    let authority = Authority::new();
    let (ca, (cert, key)) = (authority.0.pem(), authority.certify("client", false));
    let other = authority.certify("client", false).1;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let trust = Trust { ca: Some(path("ca")), client: Some((path("cert"), path("key"))), http2: true };
    let in_one_line = key.replace('\n', " ");
    let no_pem = "not PEM: a line, an end or the base64 of a section is wrong";
    for ((ca, cert, key), what) in [
        ((&ca, &cert, &other), "cert and key do not belong together".to_owned()),
        ((&key, &cert, &key), "ca: contains no certificate".into()),
        ((&ca, &key, &key), "cert: contains no certificate".into()),
        ((&ca, &cert, &cert), "key: no private key in PEM".into()),
        ((&ca, &cert, &in_one_line), "key: no private key in PEM".into()),
        ((&ca, &in_one_line, &key), format!("cert: {no_pem}")),
        ((&in_one_line, &cert, &key), format!("ca: {no_pem}")),
        ((&ca, &cert.replace("-----END", "-----"), &key), format!("cert: {no_pem}")),
    ] {
        for (name, content) in [("ca", ca), ("cert", cert), ("key", key)] {
            fs::write(path(name), content).unwrap();
        }
        let error = trust.open(&WatchedFiles::default()).unwrap_err();
        let files = ["ca", "cert", "key"].map(|name| path(name).display().to_string()).join(", ");
        assert_eq!(error, format!("{files}: {what}"), "and nothing of their content");
    }
}
