//! The admin port: purges, the state of the coordinator, and the status page. Needs the admin token.

mod looks;
mod parameters;

use crate::{
    cache::state::Cache,
    cluster::{gossip::MemberView, gossiper::Gossiper},
    config::tokens::Tokens,
    http::request_body::ControlBodies,
    inquiry::{Inquiry, NOT_FOR_PROXIES},
    purge::{InvalidPurge, PurgeRequest, Purger, is_purge_method},
    server::{Handler, TOO_MANY_FIELDS},
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
use serde::Deserialize;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};
use tower_service::Service;

/// The longest purge: some ten thousand URLs.
const MAX_PURGE: usize = 1024 * 1024;

/// The longest list of members that are to be forgotten.
const MAX_FORGET: usize = 64 * 1024;

/// The state behind the admin port.
pub struct AdminPort {
    /// The cache that is shown.
    pub cache: Arc<Cache>,
    /// What is told of the whole mesh.
    pub inquiry: Arc<Inquiry>,
    /// Carries out purges.
    pub purger: Arc<Purger>,
    /// The tokens of administrators.
    pub tokens: Arc<Tokens>,
    /// Whether the port listens on a loopback address: only then it works without a token.
    pub loopback: bool,
    /// This peer's name.
    pub me: String,
    /// The store's limit.
    pub store_bytes: u64,
    /// Bodies of control calls with a token.
    pub(crate) bodies: Arc<ControlBodies>,
}

/// The port's routes, behind the token check.
#[derive(Clone)]
pub(crate) struct AdminRoutes {
    admin: Arc<AdminPort>,
    router: Router,
}

impl AdminPort {
    /// Returns the port's routes.
    pub(crate) fn routes(self) -> AdminRoutes {
        let admin = Arc::new(self);
        let router = Router::new()
            .route("/", get(async || (PAGE_HEADERS, Html(include_str!("page.html")))))
            .route("/peers", get(peers).post(forget))
            .route("/groups", get(groups))
            .route("/mesh", get(mesh))
            .route("/top", get(looks::top))
            .route("/tail", get(looks::tail))
            .route("/keys", get(looks::keys))
            .route("/purge", post(purge));
        AdminRoutes { router: router.with_state(admin.clone()), admin }
    }

    fn refusal(&self, request: &Request<Incoming>) -> Option<Response> {
        let headers = request.headers();
        let admitted = if self.tokens.is_configured() {
            self.tokens.accepts_browser(headers)
        } else {
            // The Host of a PURGE is that of what is purged. A page to which a name of its own leads here cannot hide:
            // browsers send Origin with every method but GET and HEAD.
            let names_what = is_purge_method(request.method()) && !headers.contains_key(header::ORIGIN);
            self.loopback && (names_what || is_local(host(request)))
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

/// One line each, with Basic first: Chromium reads only the first scheme of a line, and shows the page only when it
/// knows one.
const CHALLENGES: [(header::HeaderName, &str); 2] = [
    (header::WWW_AUTHENTICATE, "Basic realm=\"meshcache\", charset=\"UTF-8\""),
    (header::WWW_AUTHENTICATE, "Bearer realm=\"meshcache\""),
];
const WITH_TOKEN: &str =
    "send `Authorization: Bearer TOKEN`, or any name and the token of --admin-token-file as password\n";
const LOCAL_ONLY: &str = "Without --admin-token-file this port answers only this machine, as localhost or by a loopback address. To open it to others, start the coordinator with --admin-token-file.\n";

/// The page loads nothing from elsewhere, and no other page may frame it.
const PAGE_HEADERS: [(&str, &str); 2] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    ),
    ("cache-control", "no-store"),
];

impl Handler for AdminRoutes {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> Response {
        if let Some(refusal) = self.admin.refusal(&request) {
            return refusal;
        }
        if is_purge_method(request.method()) {
            return answer(&self.admin, PurgeRequest::by_method(&request)).await;
        }
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn reject(&self, _: &Request<Incoming>) -> Response {
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, format!("{}\n", TOO_MANY_FIELDS.label())).into_response()
    }
}

async fn mesh(State(admin): State<Arc<AdminPort>>) -> Json<meshcache_admin::Mesh> {
    Json(admin.inquiry.mesh().await)
}

async fn peers(State(admin): State<Arc<AdminPort>>) -> Json<Value> {
    let ring = admin.cache.cluster.ring();
    let peers: Vec<Value> = ring
        .peers()
        .iter()
        .map(|peer| json!({"name": peer.name, "data": peer.data, "peer": peer.peer, "self": peer.name == admin.me}))
        .collect();
    let mut shown = json!({"name": admin.me, "ring": format!("{:016x}", ring.version()), "peers": peers});
    if let Some(gossiper) = admin.cache.cluster.gossiper() {
        shown["members"] = members(gossiper);
        shown["missing"] = json!(gossiper.missing());
    }
    Json(shown)
}

fn members(gossiper: &Gossiper) -> Value {
    let member = |member: &MemberView| {
        let peer = &member.identity.peer;
        json!({"name": peer.name, "data": peer.data, "peer": peer.peer, "state": member.state.label(),
            "agreed": member.counts, "silentSeconds": member.silent / 1000})
    };
    gossiper.view().iter().map(member).collect()
}

/// The word of an operator that members are gone for good.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetRequest {
    forget: Vec<String>,
}

async fn forget(State(admin): State<Arc<AdminPort>>, request: Request<Body>) -> Response {
    let bad = |status: StatusCode, why: &str| (status, Json(json!({"error": why}))).into_response();
    let body = match admin.bodies.read(request, MAX_FORGET).await {
        Ok(body) => body,
        Err(error) => {
            let (status, why) = error.message();
            return bad(status, why.trim_end());
        }
    };
    let Some(gossiper) = admin.cache.cluster.gossiper() else {
        return bad(StatusCode::BAD_REQUEST, "POST /peers is for --discovery gossip, dns and gce");
    };
    let names = match serde_json::from_slice(&body) {
        Ok(ForgetRequest { forget }) if forget.is_empty() => {
            return bad(StatusCode::BAD_REQUEST, "forget: expected at least one name");
        }
        Ok(ForgetRequest { forget }) => forget,
        Err(error) => {
            return bad(StatusCode::BAD_REQUEST, &format!("{error}; write {{\"forget\": [\"NAME\"]}}"));
        }
    };
    match gossiper.forget(&names) {
        Ok(()) => Json(json!({"forgotten": names, "missing": gossiper.missing()})).into_response(),
        Err(why) => bad(StatusCode::BAD_REQUEST, &why),
    }
}

async fn groups(State(admin): State<Arc<AdminPort>>) -> Json<Value> {
    let (groups, usage) = (admin.cache.groups(), admin.cache.usage());
    let group = |group: &Arc<meshcache_protocol::Group>| {
        let used = usage.iter().find(|usage| usage.group == group.name()).cloned().unwrap_or_default();
        let (config, (requests, saved)) = (group.config(), admin.cache.metrics.group(group.name()).saved());
        let not_for_proxies = (!config.is_for_proxies()).then_some(NOT_FOR_PROXIES);
        json!({"name": group.name(), "mode": config.mode, "notForProxies": not_for_proxies, "match": config.r#match, "origin": config.origin.url, "digest": group.digest(),
            "requests": requests, "saved": saved, "entries": used.items, "bytes": used.bytes, "gets": used.gets, "hits": used.hits, "evictions": used.evictions})
    };
    let groups_: Vec<Value> = groups.iter().map(group).collect();
    Json(json!({"digest": groups.digest(), "storeBytes": admin.store_bytes, "groups": groups_}))
}

async fn purge(State(admin): State<Arc<AdminPort>>, request: Request<Body>) -> Response {
    let request = match admin.bodies.read(request, MAX_PURGE).await {
        Ok(body) => PurgeRequest::parse(&body, &admin.cache.groups()),
        Err(bad) => {
            let (status, why) = bad.message();
            Err(InvalidPurge(status, why.trim_end().to_owned()))
        }
    };
    answer(&admin, request).await
}

/// Carries out a purge, and reports it.
async fn answer(admin: &AdminPort, request: Result<PurgeRequest, InvalidPurge>) -> Response {
    match request {
        Ok(request) => {
            let report = admin.purger.purge(request).await;
            let status = if report.unreached.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
            (status, Json(report)).into_response()
        }
        Err(InvalidPurge(status, why)) => (status, Json(json!({"error": why}))).into_response(),
    }
}

/// Returns the authority of a request; empty where it has none.
fn host(request: &Request<Incoming>) -> &str {
    request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| request.headers().get(header::HOST)?.to_str().ok())
        .unwrap_or_default()
}

/// Returns whether a page of that origin came from this very port.
fn is_own(origin: &[u8], host: &str) -> bool {
    std::str::from_utf8(origin)
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(_, authority)| !host.is_empty() && authority.eq_ignore_ascii_case(host))
}

/// Returns whether an authority is this machine by a name of its own: another name may have been made to resolve to it
/// (DNS rebinding).
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
