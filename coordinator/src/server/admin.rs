//! The admin port: purges, what the coordinator knows, and the status page. For who has the admin token.

use crate::{
    cache::state::Cache,
    config::tokens::Tokens,
    http::request_body::Unread,
    purge::{Order, Purger, Refused},
    server::{Answer, TOO_MANY_LINES},
};
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{AppendHeaders, Html, IntoResponse, Response},
    routing::{get, post},
};
use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use meshcache_protocol::request::split_port;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};
use tower_service::Service;

/// The longest purge: some ten thousand URLs.
const PURGE: usize = 1024 * 1024;

/// What the admin port needs.
pub struct Admin {
    /// What is shown.
    pub cache: Arc<Cache>,
    /// Carries out purges.
    pub purger: Arc<Purger>,
    /// The tokens of administrators.
    pub tokens: Arc<Tokens>,
    /// Whether the port listens on a loopback address: only then it works without a token.
    pub loopback: bool,
    /// This peer's name.
    pub me: String,
    /// What the store may take.
    pub store_bytes: u64,
    /// Bodies of control calls with a token.
    pub(crate) bodies: Arc<Unread>,
}

/// The port's routes, behind the token.
#[derive(Clone)]
pub(crate) struct Routes {
    admin: Arc<Admin>,
    router: Router,
}

impl Admin {
    /// What answers on the port.
    pub(crate) fn routes(self) -> Routes {
        let admin = Arc::new(self);
        let router = Router::new()
            .route("/", get(async || (PAGE_HEADERS, Html(include_str!("page.html")))))
            .route("/peers", get(peers))
            .route("/groups", get(groups))
            .route("/purge", post(purge));
        Routes { router: router.with_state(admin.clone()), admin }
    }

    fn refuses(&self, request: &Request<Incoming>) -> Option<Response> {
        let headers = request.headers();
        let admitted = if self.tokens.is_configured() {
            self.tokens.admit_browser(headers)
        } else {
            self.loopback && is_local(host(request))
        };
        if !admitted {
            let what = if self.tokens.is_configured() { WITH_TOKEN } else { LOCAL_ONLY };
            return Some((StatusCode::UNAUTHORIZED, AppendHeaders(CHALLENGES), what).into_response());
        }
        // A browser sends a password that it knows, and reaches loopback, for any page that it shows: only our own page
        // may purge.
        let foreign = request.method() != Method::GET
            && headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origin.as_bytes(), host(request)));
        foreign.then(|| StatusCode::FORBIDDEN.into_response())
    }
}

/// A line each, and Basic first: Chromium reads no scheme behind the first one of a line, and shows the page only when
/// it knows one.
const CHALLENGES: [(header::HeaderName, &str); 2] = [
    (header::WWW_AUTHENTICATE, "Basic realm=\"meshcache\", charset=\"UTF-8\""),
    (header::WWW_AUTHENTICATE, "Bearer realm=\"meshcache\""),
];
const WITH_TOKEN: &str =
    "send `Authorization: Bearer TOKEN`, or any name and the token of --admin-token-file as password\n";
const LOCAL_ONLY: &str = "Without --admin-token-file only this machine is answered, as localhost or by a loopback address. To open the port to others, start the coordinator with --admin-token-file.\n";

/// The page works without anything from elsewhere, and nothing else may show it.
const PAGE_HEADERS: [(&str, &str); 2] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    ),
    ("cache-control", "no-store"),
];

impl Answer for Routes {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response {
        if let Some(refusal) = self.admin.refuses(&request) {
            return refusal;
        }
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn refuse(&self, _: &Request<Incoming>) -> Response {
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, format!("{}\n", TOO_MANY_LINES.label())).into_response()
    }
}

async fn peers(State(admin): State<Arc<Admin>>) -> Json<Value> {
    let ring = admin.cache.cluster.ring();
    let peers: Vec<Value> = ring
        .peers()
        .iter()
        .map(|peer| json!({"name": peer.name, "data": peer.data, "peer": peer.peer, "self": peer.name == admin.me}))
        .collect();
    Json(json!({"name": admin.me, "ring": format!("{:016x}", ring.version()), "peers": peers}))
}

async fn groups(State(admin): State<Arc<Admin>>) -> Json<Value> {
    let (groups, usage) = (admin.cache.groups(), admin.cache.usage());
    let group = |group: &Arc<meshcache_protocol::Group>| {
        let used = usage.iter().find(|usage| usage.group == group.name()).cloned().unwrap_or_default();
        let (config, (requests, saved)) = (group.config(), admin.cache.metrics.group(group.name()).saved());
        json!({"name": group.name(), "mode": config.mode, "match": config.r#match, "origin": config.origin.url, "digest": group.digest(),
            "requests": requests, "saved": saved, "entries": used.items, "bytes": used.bytes, "gets": used.gets, "hits": used.hits, "evictions": used.evictions})
    };
    let groups_: Vec<Value> = groups.iter().map(group).collect();
    Json(json!({"digest": groups.digest(), "storeBytes": admin.store_bytes, "groups": groups_}))
}

async fn purge(State(admin): State<Arc<Admin>>, request: Request<Body>) -> Response {
    let error = |status: StatusCode, why: &str| (status, Json(json!({"error": why}))).into_response();
    let body = match admin.bodies.whole(request, PURGE).await {
        Ok(body) => body,
        Err(unreadable) => {
            let (status, why) = unreadable.answer();
            return error(status, why.trim_end());
        }
    };
    match Order::read(&body, &admin.cache.groups()) {
        Ok(order) => {
            let report = admin.purger.everywhere(order).await;
            let status = if report.unreached.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
            (status, Json(report)).into_response()
        }
        Err(Refused(status, why)) => error(status, &why),
    }
}

/// The authority that a request names; empty where it names none.
fn host(request: &Request<Incoming>) -> &str {
    request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| request.headers().get(header::HOST)?.to_str().ok())
        .unwrap_or_default()
}

/// Whether a page of that origin came from this very port.
fn is_own(origin: &[u8], host: &str) -> bool {
    std::str::from_utf8(origin)
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(_, authority)| !host.is_empty() && authority.eq_ignore_ascii_case(host))
}

/// Whether a host is this machine by its very name: another name may have been made to lead here (DNS rebinding).
fn is_local(authority: &str) -> bool {
    let (host, _) = split_port(authority);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_by_its_own_names_is_local() {
        for local in
            ["localhost", "localhost:8081", "LOCALHOST:1", "127.0.0.1:8081", "127.8.8.8", "[::1]:8081", "[::1]"]
        {
            assert!(is_local(local), "{local}");
        }
        for other in ["", "evil.example:8081", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_not_our_own() {
        assert!(is_own(b"http://localhost:8081", "localhost:8081"));
        for (origin, host) in [
            ("null", "localhost:8081"),
            ("http://evil.example", "localhost:8081"),
            ("http://localhost:9999", "localhost:8081"),
            ("http://", ""),
        ] {
            assert!(!is_own(origin.as_bytes(), host), "{origin}");
        }
    }
}
