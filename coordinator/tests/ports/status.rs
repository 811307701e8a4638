//! The status port.

use crate::support::{Origin, Running, file, get, send};

#[tokio::test]
async fn health_metrics_and_the_filter_are_plain() {
    let (_folder, module) = file("\0asm not really");
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url, "--filter", &module]).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(running.ports.status, path).await.status, 200, "{path}");
    }
    for path in ["/filter/", "/filter/x.wasm", "/purge", "/"] {
        assert_eq!(get(running.ports.status, path).await.status, 404, "{path}");
    }
    let digest: String = ring::digest::digest(&ring::digest::SHA256, b"\0asm not really")
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let module = get(running.ports.status, &format!("/filter/{digest}.wasm")).await;
    assert_eq!(
        (module.status, module.header("content-type"), module.body.as_str()),
        (200, "application/wasm", "\0asm not really")
    );
    assert_eq!(get(running.ports.status, &format!("/filter/{}.wasm", digest.to_uppercase())).await.status, 404);
    assert_eq!(send(running.ports.status, "POST", "/metrics", &[], "").await.status, 405);
}

/// The first bytes of a shared library, and something to tell it from others.
fn library(machine: u8, rest: &str) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    bytes.extend([machine, 0]);
    bytes.extend(rest.as_bytes());
    bytes
}

#[tokio::test]
async fn a_native_filter_is_served_for_each_architecture_and_the_list_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (wasm, amd64, arm64) = (b"\0asm".to_vec(), library(62, "x"), library(183, "y"));
    for (name, bytes) in [("wasm", &wasm), ("one", &arm64), ("two", &amd64)] {
        std::fs::write(path(name), bytes).unwrap();
    }
    let origin = Origin::start().await;
    let native = format!("{},{}", path("one"), path("two"));
    let running =
        Running::start(&["--origin", &origin.url, "--filter", &path("wasm"), "--native-filter", &native]).await;
    let at = running.ports.status;
    let digest = |bytes: &[u8]| -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    };
    let expected = format!(
        "wasm  /filter/{}.wasm\narm64 /filter/{}.so\namd64 /filter/{}.so\n",
        digest(&wasm),
        digest(&arm64),
        digest(&amd64)
    );
    let list = get(at, "/filter").await;
    assert_eq!((list.status, list.body), (200, expected));
    let file = format!("/filter/{}.so", digest(&amd64));
    let module = get(at, &file).await;
    assert_eq!(
        (module.status, module.header("content-type"), module.header("cache-control")),
        (200, "application/octet-stream", "public, max-age=31536000, immutable")
    );
    assert_eq!(module.body.as_bytes(), amd64);
    let head = send(at, "HEAD", &file, &[], "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, "21", ""));
    // Neither another's digest nor another's name.
    for wrong in
        [format!("/filter/{}.wasm", digest(&amd64)), format!("/filter/{}.so", digest(&wasm)), "/filter/x.so".into()]
    {
        assert_eq!(get(at, &wrong).await.status, 404, "{wrong}");
    }
}
