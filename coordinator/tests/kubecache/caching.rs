//! What is answered from the cache, for how long, and what goes to the backend.

use crate::{
    plane::{Origin, answer},
    pod::{Pod, echo, ttl},
    support::{port, send},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_for_everybody_for_cache_ttl_whatever_it_says() {
    let origin = Origin::new(|seen| async move {
        let fields =
            [("cache-control", "private, no-store, max-age=1"), ("vary", "*"), ("set-cookie", "s=1"), ("x-a", "1")];
        answer(200, &fields, echo(&seen))
    })
    .await;
    let pod = Pod::before(&origin, &[]).await;
    let ask = async |fields: &[(&str, &str)]| send(pod.port("data"), "GET", "/prod/a?b=1", fields, "").await;
    let first = ask(&[("host", "a.example"), ("cookie", "u=1"), ("authorization", "Bearer 1"), ("x-u", "1")]).await;
    assert!(first.status == 200 && first.body.starts_with("GET /prod/a?b=1 ["), "{first:?}");
    for name in ["cookie", "authorization", "x-u", "accept"] {
        assert!(!first.body.contains(name), "{name} went to the backend: {first:?}");
    }
    for fields in
        [&[("host", "b.example"), ("cookie", "u=2")][..], &[("cache-control", "no-cache")], &[("accept", "x/y")]]
    {
        let again = ask(fields).await;
        assert_eq!((again.status, &again.body, again.header("x-a")), (200, &first.body, "1"), "{fields:?}");
        assert!((290..=300).contains(&ttl(&again)) && !again.headers.contains_key("set-cookie"), "{again:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_status_is_for_cache_error_ttl_and_a_redirect_is_given_as_it_is() {
    let origin = Origin::new(|seen| async move {
        let status: u16 = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        answer(status, &[("location", "/elsewhere"), ("cache-control", "no-store")], "x")
    })
    .await;
    let pod = Pod::before(&origin, &[]).await;
    let statuses = [301, 302, 307, 308, 400, 401, 403, 404, 405, 410, 412, 416, 421, 429, 451, 500, 502, 503, 504, 511];
    for status in statuses {
        let path = format!("/prod/{status}");
        let (first, again) = (pod.get(&path).await, pod.get(&path).await);
        assert_eq!((first.status, again.status, again.header("location")), (status, status, "/elsewhere"));
        assert!((50..=60).contains(&ttl(&again)), "{status}: {again:?}");
    }
    assert_eq!(origin.count(), statuses.len());
    let other = Pod::before(&origin, &[("CACHE_TTL", "0s"), ("CACHE_ERROR_TTL", "2h")]).await;
    for _ in 0..2 {
        assert_eq!((other.get("/prod/204").await.status, other.get("/prod/404").await.status), (204, 404));
    }
    assert_eq!(origin.count(), statuses.len() + 3, "CACHE_TTL of 0s stores nothing");
    assert!(ttl(&other.get("/prod/404").await) > 7000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_restrict_does_not_name_goes_to_the_backend_each_time_and_whole() {
    let origin = Origin::new(|seen| async move { answer(200, &[("cache-control", "max-age=60")], echo(&seen)) }).await;
    let pod = Pod::before(&origin, &[("RESTRICT_ROUTE_REGEXP", r#"["\\?all=1$", "^/a/"]"#)]).await;
    for (path, loads) in [("/x?all=1", 1), ("/x?all=11", 2), ("/a/b", 1), ("/b/a/", 2)] {
        let before = origin.count();
        for _ in 0..2 {
            assert_eq!(pod.get(path).await.status, 200, "{path}");
        }
        assert_eq!(origin.count() - before, loads, "{path}");
    }
    for _ in 0..2 {
        let before = origin.count();
        let posted = send(pod.port("data"), "POST", "/a/b", &[("x-u", "1")], "body").await;
        assert!(
            posted.body.starts_with("POST /a/b [") && posted.body.contains("x-u") && posted.body.ends_with(" body"),
            "{posted:?}"
        );
        assert_eq!(origin.count() - before, 1);
    }
    let all = Pod::before(&origin, &[("RESTRICT_ROUTE_REGEXP", "[]"), ("RESTRICT_METHOD", r#"["get"]"#)]).await;
    let before = origin.count();
    for _ in 0..2 {
        all.get("/any").await;
        send(all.port("data"), "HEAD", "/any/head", &[], "").await;
    }
    assert_eq!(origin.count() - before, 3, "GET is cached, and HEAD is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_is_502_without_its_url() {
    let gone = port::Refused::new();
    let pod = Pod::start(&[("BACKEND_URL", &format!("http://{}", gone.addr))]).await;
    let reply = pod.get("/prod/a").await;
    assert!(reply.status == 502 && !reply.body.contains(&gone.addr.to_string()), "{reply:?}");
    let line = "requests_seconds_count{method=\"GET\",outcome=\"SERVER_ERROR\",status=\"502\",uri=\"/prod/a\"} 1";
    assert!(pod.metrics().await.contains(line));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_conditions_and_heads_are_answered_from_one_load() {
    let origin = Origin::new(|_| async { answer(200, &[("etag", "\"1\"")], "0123456789") }).await;
    let pod = Pod::before(&origin, &[]).await;
    let ask = async |method: &str, fields: &[(&str, &str)]| send(pod.port("data"), method, "/prod/a", fields, "").await;
    assert_eq!(ask("GET", &[]).await.body, "0123456789");
    for (method, fields, status, body) in [
        ("HEAD", &[][..], 200, ""),
        ("GET", &[("range", "bytes=2-3")], 206, "23"),
        ("GET", &[("if-none-match", "\"1\"")], 304, ""),
    ] {
        let reply = ask(method, fields).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{method} {fields:?}: {reply:?}");
        let names = ["age", "cache-status", "via"];
        assert!(names.iter().all(|name| reply.headers.contains_key(*name)), "{reply:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_kubecache_would_redirect_goes_to_the_backend_as_it_is() {
    let origin = Origin::new(|seen| async move { answer(200, &[], seen.target) }).await;
    let pod = Pod::before(&origin, &[]).await;
    for path in ["/prod//a", "/prod/../prod/a"] {
        let replies = [pod.get(path).await, pod.get(path).await];
        assert!(replies.iter().all(|reply| (reply.status, reply.body.as_str()) == (200, path)), "{replies:?}");
    }
    assert_eq!(origin.count(), 4, "and is not stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_for_those_who_accept_it_whatever_the_backend_says_of_it() {
    let origin = Origin::new(|seen| async move {
        let says = if seen.target.ends_with("/vary") { "accept-encoding" } else { "accept" };
        let accepts_gzip = seen.headers.get("accept-encoding").is_some_and(|value| value == "gzip");
        if accepts_gzip {
            answer(200, &[("vary", says), ("content-encoding", "gzip")], "zip")
        } else {
            answer(200, &[("vary", says)], "plain")
        }
    })
    .await;
    let pod = Pod::before(&origin, &[]).await;
    let ask = async |path: &str, accepts: &str| {
        let reply = send(pod.port("data"), "GET", path, &[("accept-encoding", accepts)], "").await;
        assert_eq!(reply.headers.contains_key("content-encoding"), reply.body == "zip", "{reply:?}");
        reply.body
    };
    for _ in 0..2 {
        for (accepts, body) in [
            ("gzip, deflate, br", "zip"),
            ("br;q=1.0, gzip;q=0.5", "zip"),
            ("identity", "plain"),
            ("gzip;q=0", "plain"),
        ] {
            assert_eq!(ask("/prod/vary", accepts).await, body, "{accepts}");
            let body = ask("/prod/silent", accepts).await;
            assert!(body == "plain" || accepts.contains("gzip, ") || accepts.contains("q=0.5"), "{accepts}: {body}");
        }
    }
    assert_eq!(origin.count(), 4, "two variants of each");
}
