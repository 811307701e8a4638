//! The admin port: its token, and purges.

use crate::{
    ADMIN,
    support::{Origin, Running, file, get, send},
};
use serde_json::json;

#[tokio::test]
async fn the_admin_port_needs_the_token() {
    let (_folder, token) = file("admin-token\nolder-token\n");
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--admin-token-file", &token]).await;
    let at = running.ports.admin;
    for (method, path) in [("GET", "/"), ("GET", "/peers"), ("GET", "/groups"), ("POST", "/purge"), ("GET", "/nothing")]
    {
        for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic YTpi")]] {
            let reply = send(at, method, path, headers, r#"{"all": true}"#).await;
            assert!(
                reply.status == 401 && reply.body.contains("--admin-token-file") && reply.body.contains("Bearer TOKEN"),
                "{method} {path}: {reply:?}"
            );
            let challenges: Vec<&str> =
                reply.headers.get_all("www-authenticate").iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(challenges, [r#"Basic realm="meshcache", charset="UTF-8""#, r#"Bearer realm="meshcache""#]);
        }
    }
    // me:older-token
    for headers in [ADMIN, &[("authorization", "Basic bWU6b2xkZXItdG9rZW4=")]] {
        assert!(send(at, "GET", "/", headers, "").await.body.contains("<title>meshcache</title>"));
        let peers = send(at, "GET", "/peers", headers, "").await.json();
        assert_eq!(
            (&peers["name"], &peers["peers"][0]["name"], &peers["peers"][0]["data"]),
            (&json!("me"), &json!("me"), &json!(running.ports.data.to_string()))
        );
        assert_eq!(send(at, "GET", "/groups", headers, "").await.json()["groups"][0]["name"], "default");
        assert_eq!(send(at, "GET", "/purge", headers, "").await.status, 405);
    }
}

#[tokio::test]
async fn without_a_token_only_loopback_administers() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    assert_eq!(send(running.ports.admin, "POST", "/purge", &[], r#"{"all": true}"#).await.status, 200);
    let rebound = [("host", "evil.example:8081")];
    let refused = send(running.ports.admin, "GET", "/peers", &rebound, "").await;
    assert!(
        refused.status == 401 && refused.body.contains("--admin-token-file"),
        "a name that was made to resolve to this machine: {refused:?}"
    );
    let own = running.ports.admin.to_string();
    for (origin, status) in
        [("http://evil.example".to_owned(), 403), ("null".to_owned(), 403), (format!("http://{own}"), 200)]
    {
        assert_eq!(
            send(running.ports.admin, "POST", "/purge", &[("origin", &origin)], r#"{"all": true}"#).await.status,
            status,
            "{origin}"
        );
    }

    let unspecified = Running::start(&["--origin", "http://127.0.0.1:9", "--admin", "[::]:0"]).await;
    assert!(unspecified.ports.admin.ip().is_loopback(), "only this machine reaches it: {}", unspecified.ports.admin);
    assert_eq!(get(unspecified.ports.admin, "/peers").await.status, 200);
    let (_folder, token) = file("admin-token");
    let open =
        Running::start(&["--origin", "http://127.0.0.1:9", "--admin", "[::]:0", "--admin-token-file", &token]).await;
    assert!(open.ports.admin.ip().is_unspecified());
}

#[tokio::test]
async fn a_purge_reports_what_it_did_or_why_it_was_refused() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    let purge = async |body: &str| send(running.ports.admin, "POST", "/purge", &[], body).await;
    let done = purge(r#"{"group": "default", "paths": ["/a"]}"#).await;
    assert_eq!((done.status, done.json()["entries"].as_u64(), &done.json()["unreached"]), (200, Some(0), &json!([])));
    assert!(done.json()["id"].as_str().is_some_and(|id| id.starts_with("me.") && id.ends_with(":1")));
    for (body, status, part) in [
        ("", 400, "EOF"),
        ("{}", 400, "one way"),
        (r#"{"al": true}"#, 400, "unknown field `al`"),
        (r#"{"all": true, "soft": "yes"}"#, 400, "expected a boolean"),
        (r#"{"group": "h"}"#, 404, "no group `h`"),
    ] {
        let refused = purge(body).await;
        assert!(
            refused.status == status && refused.json()["error"].as_str().is_some_and(|error| error.contains(part)),
            "{body}: {refused:?}"
        );
    }
    assert_eq!(purge(&format!(r#"{{"urls": ["http://h/{}"]}}"#, "x".repeat(2 << 20))).await.status, 413);
}
