//! The admin port: its token, and purges.

use crate::{
    ADMIN,
    support::{Origin, Running, file, get, send},
};
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn the_admin_port_needs_the_token() {
    let (_folder, token) = file("admin-token\nolder-token\n");
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--admin-token-file", &token]).await;
    let at = running.ports.admin;
    for (method, path) in
        [("GET", "/"), ("GET", "/peers"), ("GET", "/groups"), ("POST", "/purge"), ("PURGE", "/"), ("GET", "/nothing")]
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
        let ours = [("origin", origin.as_str()), ("meshcache-request", "1")];
        let order =
            async |headers| send(running.ports.admin, "POST", "/purge", headers, r#"{"all": true}"#).await.status;
        assert_eq!(order(&ours).await, status, "{origin}");
        assert_eq!(order(&ours[..1]).await, 403, "{origin}, without the header of our own page");
    }
    for (path, status) in [("/", 200), ("/page.js", 403), ("/mesh", 403), ("/groups", 403)] {
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")];
        let opened = send(running.ports.admin, "GET", path, &link, "").await;
        assert_eq!(opened.status, status, "another page may open ours, and read nothing: {path}");
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
        (r#"{"group": "default", "regex": ["/a", "[b"]}"#, 400, "regex: `[b` is not a regex"),
        (r#"{"hosts": ["a.example", "http://b"]}"#, 400, "hosts: `http://b` is not a host"),
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

/// Asks for these URLs, given as host and target, and returns how many of them the origin was asked for.
async fn loads(running: &Running, origin: &Origin, urls: &[(&str, &str)]) -> usize {
    let before = origin.asked.load(Ordering::SeqCst);
    for (host, target) in urls {
        assert_eq!(send(running.ports.data, "GET", target, &[("host", host)], "").await.status, 200);
    }
    origin.asked.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn purges_by_regex_and_by_host_remove_what_they_match_and_nothing_else() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    let urls = [("a.example", "/p/1?q"), ("a.example", "/p/2"), ("b.example", "/p/1?q"), ("c.test:81", "/p/1")];
    loads(&running, &origin, &urls).await;
    for (body, entries) in [
        (json!({"group": "default", "regex": ["/p/[0-9]\\?.*", "/none"]}), 2),
        (json!({"group": "default", "regex": ["/p/1"]}), 1),
        (json!({"group": "default", "regex": ["/p"]}), 0),
        (json!({"host": "A.example"}), 2),
        (json!({"hosts": ["*.example", "c.test:80"], "group": "default"}), 3),
        (json!({"hosts": ["*.test"], "regex": ["/p/.*"]}), 1),
    ] {
        for dry in [true, false] {
            let mut body = body.clone();
            body["dryRun"] = json!(dry);
            let report = send(running.ports.admin, "POST", "/purge", &[], &body.to_string()).await;
            assert_eq!((report.status, &report.json()["entries"]), (200, &json!(entries)), "{body}: {report:?}");
        }
        assert_eq!(loads(&running, &origin, &urls).await, entries, "{body}");
    }
}

#[tokio::test]
async fn purge_as_a_method_is_what_varnish_nginx_and_fastly_take() {
    let (_folder, token) = file("admin-token");
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url, "--admin-token-file", &token]).await;
    let purge = async |target: &str, headers: &[(&str, &str)]| {
        let reply = send(running.ports.admin, "PURGE", target, &[ADMIN, headers].concat(), "").await;
        (reply.status, reply.json())
    };
    let urls = [("a.example", "/purge"), ("a.example", "/purge?q"), ("a.example", "/x"), ("b.example", "/purge")];
    let host = ("host", "a.example");
    loads(&running, &origin, &urls).await;
    for (target, headers, entries) in [
        ("/purge", &[host][..], 1),
        ("http://b.example/purge", &[host], 1),
        ("/purge*", &[host], 2),
        ("/*", &[host, ("meshcache-soft-purge", "0")], 3),
        ("/other", &[host], 0),
    ] {
        let (status, report) = purge(target, headers).await;
        assert_eq!((status, &report["entries"], &report["unreached"]), (200, &json!(entries), &json!([])), "{report}");
        assert!(report["id"].is_string(), "{report}");
        assert_eq!(loads(&running, &origin, &urls).await, entries, "{target}");
    }
    let (status, report) = purge("/x", &[host, ("meshcache-dry-run", "1")]).await;
    assert_eq!((status, &report["entries"]), (200, &json!(1)));
    assert_eq!(loads(&running, &origin, &urls).await, 0, "only counted");
    let (status, report) = purge("/x", &[host, ("fastly-soft-purge", "please")]).await;
    assert_eq!(
        (status, report["error"].as_str()),
        (400, Some("fastly-soft-purge: `please` is not understood: write 1, or leave it out"))
    );
    assert_eq!(send(running.ports.admin, "PURGE", "/x", &[host], "").await.status, 401);
    assert_eq!(loads(&running, &origin, &urls).await, 0, "without the token");
}

#[tokio::test]
async fn without_a_token_a_purge_may_name_any_host_and_a_page_in_a_browser_may_not() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    let purge = async |headers: &[(&str, &str)]| send(running.ports.admin, "PURGE", "/x", headers, "").await;
    let host = ("host", "evil.example:8081");
    assert_eq!(purge(&[host]).await.status, 200);
    for origin in ["http://evil.example:8081", "null"] {
        assert_eq!(purge(&[host, ("origin", origin)]).await.status, 401, "a name that was made to resolve to here");
    }
    assert_eq!(purge(&[("origin", "http://evil.example")]).await.status, 403);
    let tags = [host, ("surrogate-key", "a")];
    assert_eq!(purge(&tags).await.json()["entries"], json!(0));
}
