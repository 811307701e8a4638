//! A metadata server and an API on loopback, as Google's answer, and as they should not.

use super::*;
use crate::config::seeds::GceMatch;
use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

const TOKEN: &str = r#"{"access_token": "secret", "expires_in": 300, "token_type": "Bearer"}"#;

/// What the two servers say: the metadata server's header and token, and the API's pages by `SCOPE/PAGETOKEN`.
struct Said {
    flavor: Option<&'static str>,
    token: &'static str,
    pages: HashMap<&'static str, (u16, String)>,
}

impl Said {
    fn pages<const N: usize>(pages: [(&'static str, Value); N]) -> Self {
        let pages = pages.map(|(place, page)| (place, (200, page.to_string())));
        Self { flavor: Some("Google"), token: TOKEN, pages: pages.into() }
    }

    fn failing(status: u16, body: &str) -> Self {
        Self { pages: [("zones/z/", (status, body.to_owned()))].into(), ..Self::pages([]) }
    }
}

async fn metadata(State(said): State<Arc<Said>>, headers: HeaderMap, Path(path): Path<String>) -> Response {
    assert_eq!(headers["metadata-flavor"], "Google", "it refuses others");
    let text = match path.as_str() {
        "project/project-id" => "own-project",
        "instance/zone" => "projects/123/zones/z",
        "instance/service-accounts/default/token" => said.token,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let flavor = said.flavor.map(|flavor| [("metadata-flavor", flavor)]);
    (flavor.map(axum::response::AppendHeaders), text.to_owned()).into_response()
}

async fn api(
    State(said): State<Arc<Said>>,
    headers: HeaderMap,
    Path((project, scope)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    assert_eq!((headers["authorization"].to_str().unwrap(), project.as_str()), ("Bearer secret", "own-project"));
    let query: HashMap<&str, &str> =
        query.iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('=')).collect();
    assert_eq!(query["filter"], "status%3DRUNNING");
    assert!(query["fields"].starts_with("nextPageToken,items"), "{query:?}");
    let page = query.get("pageToken").copied().unwrap_or_default();
    let scope = scope.strip_suffix("/instances").unwrap();
    match said.pages.get(format!("{scope}/{page}").as_str()) {
        Some((status, body)) => (StatusCode::from_u16(*status).unwrap(), body.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Seeds that ask two servers which say this.
async fn seeds(said: Said, matching: GceMatch) -> GceSeeds {
    let routes = Router::new()
        .route("/computeMetadata/v1/{*path}", get(metadata))
        .route("/compute/v1/projects/{project}/{*scope}", get(api))
        .with_state(Arc::new(said));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(routes.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service),
            );
        }
    });
    let config = GceConfig { matching, endpoint: Some(format!("http://{at}/")), metadata: Some(at) };
    GceSeeds::new(config, 8083).unwrap()
}

/// Instances with this tag in these zones.
fn tagged(tag: &str, zones: Zones) -> GceMatch {
    GceMatch {
        project: None,
        zones,
        tags: vec![tag.parse().unwrap()],
        metadata: Vec::new(),
        interface: "nic0".parse().unwrap(),
    }
}

fn instance(ip: &str) -> Value {
    json!({
        "status": "RUNNING",
        "tags": {"items": ["other", "cache"]},
        "metadata": {"items": [{"key": "service", "value": "test"}, {"key": "ssh-keys"}]},
        "networkInterfaces": [{"name": "nic0", "networkIP": ip}],
    })
}

/// An instance that differs in one field.
fn with(ip: &str, field: &str, value: Value) -> Value {
    let mut instance = instance(ip);
    instance[field] = value;
    instance
}

async fn found(said: Said, matching: GceMatch) -> Result<Vec<String>, String> {
    let found = seeds(said, matching).await.addresses().await.map_err(|error| error.to_string())?;
    Ok(found.iter().map(ToString::to_string).collect())
}

/// What is said instead of addresses, without the server's own address.
async fn wrong(said: Said) -> String {
    let mut seeds = seeds(said, tagged("cache", Zones::Own)).await;
    let at = seeds.config.metadata.clone().unwrap();
    seeds.addresses().await.unwrap_err().to_string().replace(&at, "HOST")
}

#[tokio::test]
async fn running_instances_with_all_tags_are_found_on_all_pages_of_the_own_zone() {
    let first = json!({"nextPageToken": "a/b=", "items": [
        instance("10.0.0.2"),
        with("10.0.1.1", "status", json!("STOPPING")),
        with("10.0.1.2", "status", Value::Null),
        with("10.0.1.3", "tags", json!({"items": ["other"]})),
        with("10.0.1.4", "tags", json!({})),
        with("10.0.1.5", "tags", Value::Null),
        with("10.0.1.6", "networkInterfaces", Value::Null),
    ]});
    let second = json!({"items": [instance("10.0.0.1"), instance("10.0.0.2"), instance("fd00::1")]});
    let said = Said::pages([("zones/z/", first), ("zones/z/a%2Fb%3D", second)]);
    let all = ["10.0.0.1:8083", "10.0.0.2:8083", "[fd00::1]:8083"];
    assert_eq!(found(said, tagged("cache", Zones::Own)).await.unwrap(), all);
}

#[tokio::test]
async fn all_zones_are_listed_at_once_and_named_ones_each() {
    let aggregated = json!({"items": {
        "zones/y": {"instances": [instance("10.0.0.1")]},
        "zones/z": {"warning": {"code": "NO_RESULTS_ON_PAGE"}},
        "zones/x": {"instances": [instance("10.0.0.2")]},
    }});
    let all = Said::pages([("aggregated/", aggregated)]);
    assert_eq!(found(all, tagged("cache", Zones::All)).await.unwrap(), ["10.0.0.1:8083", "10.0.0.2:8083"]);
    let zone = |ip| json!({"items": [instance(ip)]});
    let each =
        Said::pages([("zones/y/", zone("10.0.0.1")), ("zones/x/", zone("10.0.0.2")), ("zones/z/", zone("10.0.0.3"))]);
    let named = Zones::Named(["x", "y"].map(|zone| zone.parse().unwrap()).into());
    assert_eq!(found(each, tagged("cache", named)).await.unwrap(), ["10.0.0.1:8083", "10.0.0.2:8083"]);
}

#[tokio::test]
async fn metadata_must_match_in_full_and_may_be_null() {
    let items = |items: Value| json!({"items": items});
    let list = json!({"items": [
        instance("10.0.0.1"),
        with("10.0.1.1", "metadata", items(json!([{"key": "service", "value": "other"}]))),
        with("10.0.1.2", "metadata", items(json!([{"key": "service"}]))),
        with("10.0.1.3", "metadata", items(json!([{"value": null}, {"key": null}]))),
        with("10.0.1.4", "metadata", items(Value::Null)),
        with("10.0.1.5", "metadata", Value::Null),
    ]});
    let metadata = ["service=test", "ssh-keys="].map(|pair| pair.parse().unwrap()).into();
    let matching = GceMatch { tags: Vec::new(), metadata, ..tagged("cache", Zones::Own) };
    assert_eq!(found(Said::pages([("zones/z/", list)]), matching).await.unwrap(), ["10.0.0.1:8083"]);
}

#[tokio::test]
async fn the_address_is_that_of_the_interface_or_of_the_only_one() {
    let interfaces = |all: &[(&str, &str)]| -> Vec<Value> {
        all.iter().map(|(name, ip)| json!({"name": name, "networkIP": ip})).collect()
    };
    let list = json!({"items": [
        with("", "networkInterfaces", json!(interfaces(&[("nic0", "10.0.1.1"), ("nic1", "10.0.0.1")]))),
        with("", "networkInterfaces", json!(interfaces(&[("nic0", "10.0.0.2")]))),
        with("", "networkInterfaces", json!(interfaces(&[("nic0", "10.0.1.3"), ("nic2", "10.0.1.4")]))),
        with("", "networkInterfaces", json!(interfaces(&[("nic1", "none")]))),
    ]});
    let matching = GceMatch { interface: "nic1".parse().unwrap(), ..tagged("cache", Zones::Own) };
    let both = ["10.0.0.1:8083", "10.0.0.2:8083"];
    assert_eq!(found(Said::pages([("zones/z/", list)]), matching).await.unwrap(), both);
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_told_in_one_line() {
    let api = "http://HOST/compute/v1/projects/own-project/zones/z/instances";
    let denied = r#"{"error": {"code": 403, "message": "Required 'compute.instances.list'\npermission"}}"#;
    let token = "metadata server: HOST, instance/service-accounts/default/token";
    for (said, line) in [
        (Said::failing(403, denied), format!("{api}: 403 Forbidden: Required 'compute.instances.list'permission")),
        (Said::failing(500, "<html>"), format!("{api}: 500 Internal Server Error")),
        (Said::failing(302, ""), format!("{api}: 302 Found")),
        (Said::pages([]), format!("{api}: 404 Not Found")),
        (
            Said::pages([("zones/z/", json!({"items": []}))]),
            "no running instance of the project own-project matches".to_owned(),
        ),
        (Said { token: "<html>", ..Said::pages([]) }, format!("{token}: not a token")),
        (Said { token: r#"{"access_token": 1}"#, ..Said::pages([]) }, format!("{token}: not a token")),
        (Said { token: r#"{"access_token": "a\nb"}"#, ..Said::pages([]) }, format!("{token}: not a token")),
        (
            Said { flavor: None, ..Said::pages([]) },
            "metadata server: HOST, project/project-id: an answer without `Metadata-Flavor: Google`".to_owned(),
        ),
    ] {
        assert_eq!(wrong(said).await, line);
    }
    let html = wrong(Said::failing(200, "<html>")).await;
    assert!(html.starts_with(&format!("{api}: not a list of instances: ")), "{html}");
    let types = wrong(Said::failing(200, r#"{"items": 7}"#)).await;
    assert!(types.starts_with(&format!("{api}: not a list of instances: ")), "{types}");
}

#[tokio::test(start_paused = true)]
async fn a_metadata_server_that_says_nothing_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let config = GceConfig { matching: tagged("a", Zones::Own), endpoint: None, metadata: Some(at.clone()) };
    let said = GceSeeds::new(config, 1).unwrap().addresses().await.unwrap_err();
    assert_eq!(
        (said.label(), said.to_string()),
        ("metadata", format!("metadata server: {at}, project/project-id: no answer in 3s"))
    );
}

#[test]
fn a_token_is_in_no_debug_output() {
    let seeds = GceSeeds::new(GceConfig { matching: tagged("a", Zones::Own), endpoint: None, metadata: None }, 1);
    assert!(format!("{:?}", seeds.unwrap()).contains("client: Client"));
}
