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
