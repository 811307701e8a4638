//! Loads that proxies fill (`fill: proxy`), with raw calls to a coordinator that knows its callers by
//! x-forwarded-client-cert: who may, who gets what is filled, and what is left of fills that go wrong.
//!
//! Long: a test for each way in which a fill ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use meshcache_protocol::{
    Groups,
    wire::{FilledHead, Outcome, Verdict, piece_head},
};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    task::{Context, Poll},
};
use support::{Reply, Running, file, send, until};
use tokio::{
    net::TcpStream,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

const WEB: &str = "URI=spiffe://d/ns/shop/sa/web";
const OTHER: &str = "URI=spiffe://d/ns/shop/sa/other";

/// A coordinator that owns all keys of one group, which `web` may fill.
struct Owner {
    running: Running,
    digest: String,
    config: Value,
    path: String,
    _folder: tempfile::TempDir,
}

impl Owner {
    async fn new(group: Value) -> Self {
        let mut all =
            json!({"name": "g", "match": {"hosts": ["h"]}, "fill": "proxy", "fillers": ["spiffe://d/ns/shop/sa/web"]});
        all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
        let config = json!({"version": 1, "groups": [all]});
        let (folder, path) = file(&config.to_string());
        let groups = Groups::new(serde_json::from_value(config.clone()).unwrap()).unwrap();
        let running = Running::start(&["--config", &path, "--identity", "xfcc"]).await;
        Self { running, digest: groups.named("g").unwrap().digest().to_owned(), config, path, _folder: folder }
    }

    /// Reloads the group: `other` may fill, and nobody else.
    async fn lets_other_fill(&mut self) {
        self.config["groups"][0]["fillers"] = json!(["spiffe://d/ns/shop/sa/other"]);
        std::fs::write(&self.path, self.config.to_string()).unwrap();
        until("it may fill", async || self.asks(OTHER, "/probe", "fills", &[]).await.verdict().fill.is_some()).await;
    }

    fn data(&self) -> SocketAddr {
        self.running.ports.data
    }

    /// A question, as a filter of this workload asks; `words`: what it says beside group and rules.
    async fn asks(&self, who: &str, target: &str, words: &str, fields: &[(&str, &str)]) -> Answer {
        let said = format!("1; group=g; rules={}; streams; {words}", self.digest);
        let all = [&[("host", "h"), ("x-forwarded-client-cert", who), ("meshcache-wire", &said)], fields].concat();
        let request = request("GET", target, &all, Full::new(Bytes::new()).boxed());
        Answer::of(exchange(self.data(), request).await)
    }

    /// A question of a filter that may fill and can.
    async fn asks_to_fill(&self, target: &str) -> Answer {
        self.asks(WEB, target, "fills", &[]).await
    }

    /// Asks until the load is granted: another grant may have to end first.
    async fn is_granted(&self, target: &str) -> String {
        let mut grant = None;
        until("a grant", async || {
            grant = self.asks_to_fill(target).await.verdict().fill;
            grant.is_some()
        })
        .await;
        grant.unwrap().to_string()
    }

    async fn client(&self, target: &str) -> Answer {
        Answer::of(exchange(self.data(), request("GET", target, &[("host", "h")], empty())).await)
    }

    fn fill(&self, who: &str, grant: &str) -> Filler {
        let rules = format!("1; group=g; rules={}", self.digest);
        Filler::new(
            self.data(),
            &[("host", "h"), ("x-forwarded-client-cert", who), ("meshcache-wire", &rules), ("meshcache-fill", grant)],
        )
    }

    /// Fills at once.
    async fn fills(&self, grant: &str, fields: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut filler = self.fill(WEB, grant);
        filler.head(200, fields);
        filler.piece(body);
        filler.end().await
    }

    async fn has_counted(&self, line: &str) {
        until(line, async || self.running.metrics().await.lines().any(|counted| counted == line)).await;
    }
}

type Sent = BoxBody<Bytes, Infallible>;

fn empty() -> Sent {
    Full::new(Bytes::new()).boxed()
}

fn request(method: &str, target: &str, fields: &[(&str, &str)], body: Sent) -> Request<Sent> {
    let all = fields.iter().fold(Request::builder().method(method).uri(target), |all, (n, v)| all.header(*n, *v));
    all.body(body).unwrap()
}

async fn exchange(to: SocketAddr, request: Request<Sent>) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// An answer that is read bit by bit.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Incoming,
}

impl Answer {
    fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status.as_u16(), headers: head.headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn verdict(&self) -> Verdict {
        Verdict::parse(self.header("meshcache-outcome").as_bytes()).unwrap()
    }

    /// Reads this many bytes.
    async fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut got = Vec::new();
        while got.len() < bytes {
            got.extend_from_slice(&self.body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        got
    }

    /// Reads to the end. None: it was cut.
    async fn rest(self) -> Option<String> {
        self.body.collect().await.ok().map(|all| String::from_utf8(all.to_bytes().to_vec()).unwrap())
    }
}

/// A fill on its way.
struct Filler {
    say: Option<UnboundedSender<Bytes>>,
    reply: JoinHandle<Option<Reply>>,
}

impl Filler {
    fn new(to: SocketAddr, fields: &[(&str, &str)]) -> Self {
        let (say, mut said) = unbounded_channel::<Bytes>();
        let body = StreamBody::new(futures_util::stream::poll_fn(move |cx: &mut Context<'_>| -> Poll<_> {
            said.poll_recv(cx).map(|said| said.map(|said| Ok::<_, Infallible>(Frame::data(said))))
        }));
        let request = request("PUT", "/.meshcache/fill", fields, body.boxed());
        let reply = tokio::spawn(async move {
            let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            let answered = async {
                let (head, body) = sender.send_request(request).await.ok()?.into_parts();
                let body = body.collect().await.ok()?.to_bytes();
                let body = String::from_utf8_lossy(&body).into_owned();
                Some(Reply { status: head.status.as_u16(), headers: head.headers, body })
            };
            // With this task the connection ends, too: so a proxy dies.
            let connected = async {
                let _ = connection.await;
                std::future::pending::<()>().await
            };
            tokio::select! { answered = answered => answered, () = connected => None }
        });
        Self { say: Some(say), reply }
    }

    fn say(&mut self, bytes: &[u8]) {
        let _ = self.say.as_ref().unwrap().send(Bytes::copy_from_slice(bytes));
    }

    fn piece(&mut self, bytes: &[u8]) {
        self.say(&[&piece_head(bytes.len())[..], bytes].concat());
    }

    fn head(&mut self, status: u16, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        self.say(&FilledHead { status, fields }.write().unwrap());
    }

    /// Says that it is whole, and hangs up.
    async fn end(mut self) -> Reply {
        self.piece(b"");
        self.answer().await
    }

    /// Hangs up.
    async fn answer(mut self) -> Reply {
        self.say = None;
        self.reply.await.unwrap().unwrap()
    }

    async fn dies(self) {
        self.reply.abort();
        let _ = self.reply.await;
    }
}

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

#[tokio::test]
async fn one_proxy_fills_and_all_who_wait_read_it_as_it_comes() {
    let owner = Owner::new(json!({})).await;
    let grant = owner.is_granted("/a").await;
    let mut filler = owner.fill(WEB, &grant);
    filler.head(200, &[FRESH, ("content-length", "10"), ("x-a", "b")]);
    filler.piece(b"01234");
    let (mut asked, mut client) = tokio::join!(owner.asks_to_fill("/a"), owner.client("/a"));
    assert_eq!((asked.read(5).await, client.read(5).await), (b"01234".to_vec(), b"01234".to_vec()), "before the end");
    assert_eq!((asked.header("x-a"), asked.verdict().outcome), ("b", Outcome::Miss));
    let other = owner.asks(OTHER, "/a", "fills", &[]).await;
    filler.piece(b"56789");
    assert_eq!(filler.end().await.status, 204);
    assert_eq!(asked.rest().await.unwrap() + &client.rest().await.unwrap(), "5678956789");
    assert_eq!(other.rest().await.unwrap(), "0123456789", "from its beginning");
    let hit = owner.asks(OTHER, "/a", "", &[]).await;
    assert_eq!((hit.verdict().outcome, hit.rest().await.unwrap()), (Outcome::Hit, "0123456789".into()));
    owner.has_counted("meshcache_fills_total{group=\"g\",outcome=\"filled\"} 1").await;
}

#[tokio::test]
async fn only_a_named_proxy_with_a_request_for_the_whole_fills_and_all_others_pass() {
    let owner = Owner::new(json!({"request": {"drop": ["x-dropped"]}})).await;
    for (who, words, fields) in [
        (OTHER, "fills", &[][..]),
        ("", "fills", &[]),
        (WEB, "", &[]),
        (WEB, "fills", &[("range", "bytes=0-1")]),
        (WEB, "fills", &[("if-none-match", "\"1\"")]),
        (WEB, "fills", &[("x-dropped", "1")]),
    ] {
        let verdict = owner.asks(who, "/a", words, fields).await.verdict();
        assert_eq!((verdict.outcome, verdict.fill), (Outcome::Pass, None), "{who} {words} {fields:?}");
    }
    for spelled in ["/%61", "/a%7e"] {
        assert_eq!(owner.asks_to_fill(spelled).await.verdict().fill, None, "{spelled} is keyed in another spelling");
    }
    let client = owner.client("/a").await;
    assert_eq!(client.status, 503);
    assert!(client.header("cache-status").contains("detail=no-filler"), "{}", client.header("cache-status"));
    assert_eq!(send(owner.data(), "HEAD", "/a", &[("host", "h")], "").await.status, 503);
}

#[tokio::test]
async fn a_grant_is_for_the_proxy_that_has_it_once() {
    let owner = Owner::new(json!({})).await;
    let grant = owner.is_granted("/a").await;
    let guessed = "0123456789abcdef0123456789abcdef";
    for (who, id, status) in [(OTHER, &*grant, 403), ("", &grant, 403), (WEB, guessed, 410), (WEB, "1", 400)] {
        let mut filler = owner.fill(who, id);
        filler.head(200, &[FRESH]);
        let reply = filler.end().await;
        assert_eq!((reply.status, reply.body.lines().count()), (status, 1), "{who} {id}: {}", reply.body);
    }
    let other_rules = [
        ("host", "h"),
        ("x-forwarded-client-cert", WEB),
        ("meshcache-wire", "1; group=g; rules=x"),
        ("meshcache-fill", &*grant),
    ];
    assert_eq!(Filler::new(owner.data(), &other_rules).end().await.status, 403);
    assert_eq!(owner.fills(&grant, &[FRESH], b"good").await.status, 204, "it is still good");
    assert_eq!(owner.fills(&grant, &[FRESH], b"again").await.status, 410);
    assert_eq!(owner.client("/a").await.rest().await.unwrap(), "good");
}

#[tokio::test]
async fn a_proxy_that_dies_cuts_those_who_have_its_head_and_the_next_one_is_granted_the_load() {
    let owner = Owner::new(json!({})).await;
    let mut filler = owner.fill(WEB, &owner.is_granted("/a").await);
    filler.head(200, &[FRESH]);
    filler.piece(b"half");
    let mut client = owner.client("/a").await;
    assert_eq!(client.read(4).await, b"half");
    let whole = tokio::spawn({
        let said = format!("1; group=g; rules={}; patience=900", owner.digest);
        let to = owner.data();
        async move {
            let fields = [("host", "h"), ("x-forwarded-client-cert", OTHER), ("meshcache-wire", &*said)];
            Answer::of(exchange(to, request("GET", "/a", &fields, empty())).await).verdict()
        }
    });
    filler.dies().await;
    assert_eq!(client.rest().await, None, "it must not take half for the whole");
    owner.has_counted("meshcache_fills_total{group=\"g\",outcome=\"not-kept\"} 1").await;
    assert!(matches!(whole.await.unwrap().outcome, Outcome::Pass | Outcome::Loading), "it asks the service itself");
    let next = owner.is_granted("/a").await;
    assert_eq!(owner.fills(&next, &[FRESH], b"all of it").await.status, 204);
    assert_eq!(owner.client("/a").await.rest().await.unwrap(), "all of it");
}

#[tokio::test]
async fn a_proxy_that_says_nothing_loses_its_grant_to_one_that_waits() {
    let owner = Owner::new(json!({"origin": {"timeout": "300ms"}, "patience": "5s"})).await;
    let silent = owner.is_granted("/a").await;
    let waits = owner.asks_to_fill("/a").await.verdict().fill.expect("a grant").to_string();
    assert_ne!(waits, silent);
    assert_eq!(owner.fills(&silent, &[FRESH], b"late").await.status, 410);
    assert_eq!(owner.fills(&waits, &[FRESH], b"in time").await.status, 204);
    assert_eq!(owner.client("/a").await.rest().await.unwrap(), "in time");
    owner.has_counted("meshcache_fills_total{group=\"g\",outcome=\"silent\"} 1").await;
}

#[tokio::test]
async fn a_grant_whose_proxy_does_not_begin_is_the_next_ones_soon() {
    let owner = Owner::new(json!({"origin": {"timeout": "1h"}, "patience": "1h"})).await;
    let silent = owner.is_granted("/a").await;
    let next = owner.asks_to_fill("/a").await.verdict().fill.expect("a grant").to_string();
    assert_eq!(owner.fills(&silent, &[FRESH], b"late").await.status, 410);
    assert_eq!(owner.fills(&next, &[FRESH], b"in time").await.status, 204);
}

#[tokio::test]
async fn a_proxy_that_may_not_fill_any_more_has_no_grant() {
    let mut owner = Owner::new(json!({})).await;
    let grant = owner.is_granted("/a").await;
    owner.lets_other_fill().await;
    assert_eq!(owner.fills(&grant, &[FRESH], b"late").await.status, 403);
    assert_eq!(owner.asks_to_fill("/b").await.verdict().fill, None);
}

#[tokio::test]
async fn where_nobody_takes_the_load_any_more_all_who_wait_pass() {
    let owner = Owner::new(json!({"origin": {"timeout": "100ms"}, "patience": "5s"})).await;
    let silent = owner.fill(WEB, &owner.is_granted("/a").await);
    let (asked, client) = tokio::join!(owner.asks(OTHER, "/a", "fills", &[]), owner.client("/a"));
    assert_eq!((asked.verdict().outcome, asked.verdict().reason.as_str()), (Outcome::Pass, "no-filler"));
    assert_eq!(client.status, 503);
    assert_eq!(silent.end().await.status, 410);
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_its_head_says_is_cut_and_kept_nowhere() {
    for (length, body) in [("10", &b"short"[..]), ("3", b"longer")] {
        let owner = Owner::new(json!({})).await;
        let grant = owner.is_granted("/a").await;
        let reply = owner.fills(&grant, &[FRESH, ("content-length", length)], body).await;
        assert_eq!(reply.status, 409, "{length}");
        assert!(owner.asks_to_fill("/a").await.verdict().fill.is_some(), "nothing is stored");
        owner.has_counted("meshcache_fills_total{group=\"g\",outcome=\"not-kept\"} 1").await;
    }
}

#[tokio::test]
async fn a_response_that_has_no_body_is_kept_without_one() {
    for (body, status) in [(&b"body"[..], 409), (b"", 204)] {
        let owner = Owner::new(json!({})).await;
        let mut filler = owner.fill(WEB, &owner.is_granted("/a").await);
        filler.head(204, &[FRESH]);
        if !body.is_empty() {
            filler.piece(body);
        }
        assert_eq!(filler.end().await.status, status, "{body:?}");
    }
}

#[tokio::test]
async fn a_body_whose_end_is_not_said_is_no_whole_one() {
    let owner = Owner::new(json!({})).await;
    let mut filler = owner.fill(WEB, &owner.is_granted("/a").await);
    filler.head(200, &[FRESH]);
    filler.piece(b"half");
    assert_eq!(filler.answer().await.status, 409);
    assert!(owner.asks_to_fill("/a").await.verdict().fill.is_some(), "nothing is stored");
}

#[tokio::test]
async fn what_is_no_head_is_refused_and_the_grant_is_over() {
    let owner = Owner::new(json!({})).await;
    for (sent, status) in [
        (&b"\0\0\0\x03two"[..], 400),
        (b"\xff\xff\xff\xff", 413),
        (b"\0\0", 400),
        (b"", 400),
        (b"\0\0\0\x03101", 400),
        (b"\0\0\0\x15200\ncontent-length:+5", 400),
        (b"\0\0\0\x25200\ncontent-length:5\ncontent-length:6", 400),
    ] {
        let grant = owner.is_granted("/a").await;
        let mut filler = owner.fill(WEB, &grant);
        filler.say(sent);
        let reply = filler.answer().await;
        assert_eq!((reply.status, reply.body.lines().count()), (status, 1), "{sent:?}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_response_that_is_not_for_all_is_for_its_client_alone() {
    let owner = Owner::new(json!({"patience": "5s"})).await;
    let grant = owner.is_granted("/a").await;
    let waits = async { owner.asks_to_fill("/a").await.verdict() };
    let fills = async { owner.fills(&grant, &[("cache-control", "private")], b"mine").await };
    let (waited, filled) = tokio::join!(waits, fills);
    assert_eq!((filled.status, waited.outcome, waited.reason.as_str()), (409, Outcome::Pass, "private"));
    assert_eq!(owner.asks_to_fill("/a").await.verdict().reason.as_str(), "private", "it is remembered");
}

#[tokio::test]
async fn a_body_above_the_limit_streams_to_those_who_read_it_and_is_stored_nowhere() {
    let owner = Owner::new(json!({"limits": {"object": "1KiB"}})).await;
    let mut filler = owner.fill(WEB, &owner.is_granted("/a").await);
    filler.head(200, &[FRESH]);
    filler.piece(&[b'x'; 1000]);
    let mut client = owner.client("/a").await;
    client.read(1000).await;
    filler.piece(&[b'y'; 1000]);
    let (rest, _) = tokio::join!(client.rest(), filler.end());
    assert_eq!(rest.unwrap(), "y".repeat(1000));
    assert_eq!(owner.client("/a").await.status, 503, "nothing is stored");
}

#[tokio::test]
async fn what_is_purged_meanwhile_is_given_to_those_who_wait_and_stored_nowhere() {
    let owner = Owner::new(json!({})).await;
    let mut filler = owner.fill(WEB, &owner.is_granted("/a").await);
    filler.head(200, &[FRESH]);
    filler.piece(b"old ");
    let mut client = owner.client("/a").await;
    assert_eq!(client.read(4).await, b"old ");
    let purged = send(owner.running.ports.admin, "POST", "/purge", &[], r#"{"all": true}"#).await;
    assert_eq!(purged.status, 200);
    filler.piece(b"body");
    filler.end().await;
    assert_eq!(client.rest().await.unwrap(), "body");
    let next = owner.is_granted("/a").await;
    assert_eq!(owner.fills(&next, &[FRESH], b"new").await.status, 204);
    assert_eq!(owner.client("/a").await.rest().await.unwrap(), "new");
}

#[tokio::test]
async fn what_is_stale_is_given_to_all_but_the_one_that_fills_anew() {
    let owner = Owner::new(json!({"freshness": {"staleWhileRevalidate": "1h"}})).await;
    let first = owner.is_granted("/a").await;
    owner.fills(&first, &[("cache-control", "max-age=60"), ("age", "60")], b"old").await;
    let next = owner.is_granted("/a").await;
    for who in [WEB, OTHER] {
        let answer = owner.asks(who, "/a", "fills", &[]).await;
        assert_eq!((answer.verdict().outcome, answer.rest().await.unwrap()), (Outcome::Stale, "old".into()));
    }
    assert_eq!(owner.client("/a").await.rest().await.unwrap(), "old");
    assert_eq!(owner.fills(&next, &[FRESH], b"new").await.status, 204);
    assert_eq!(owner.client("/a").await.rest().await.unwrap(), "new");
}

#[tokio::test]
async fn what_is_stale_and_varies_is_given_to_all_but_the_one_that_fills_anew() {
    let owner = Owner::new(json!({"freshness": {"staleWhileRevalidate": "1h"}})).await;
    let ask = async || owner.asks(WEB, "/a", "fills", &[("accept-language", "en")]).await;
    let first = ask().await.verdict().fill.expect("a grant").to_string();
    let varies = ("vary", "accept-language");
    owner.fills(&first, &[("cache-control", "max-age=60"), ("age", "60"), varies], b"old").await;
    let next = ask().await.verdict().fill.expect("a grant").to_string();
    assert_eq!(ask().await.verdict().outcome, Outcome::Stale);
    assert_eq!(owner.fills(&next, &[FRESH, varies], b"new").await.status, 204);
    assert_eq!(ask().await.rest().await.unwrap(), "new");
}

#[tokio::test]
async fn each_response_is_for_the_requests_like_that_of_the_proxy_that_filled() {
    let owner = Owner::new(json!({"origin": {"timeout": "300ms"}, "patience": "5s"})).await;
    let ask = async |language: &'static str| owner.asks(WEB, "/a", "fills", &[("accept-language", language)]).await;
    ask("en").await.verdict().fill.expect("a grant that is never used");
    let german = ask("de").await.verdict().fill.expect("the next one").to_string();
    owner.fills(&german, &[FRESH, ("vary", "accept-language")], b"deutsch").await;
    assert_eq!(ask("de").await.rest().await.unwrap(), "deutsch");
    assert!(ask("en").await.verdict().fill.is_some());
}
