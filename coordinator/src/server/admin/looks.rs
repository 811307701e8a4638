//! What administrators look at while it happens: `GET /top`, `GET /tail`; and what is stored: `GET /keys`.

use crate::{
    inquiry::{
        keys,
        live::{self, BadFilter, MAX_TAILS, MeshTail},
    },
    server::admin::{
        AdminPort,
        parameters::{BadParameter, Parameters},
    },
};
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{Request, StatusCode, header};
use meshcache_admin::{Ask, Filter, KeysAnswer, KeysRequest, Top, TopBy, TopRequest};
use serde_json::json;
use std::{convert::Infallible, sync::Arc};

/// The parameters of a filter.
const FILTER: [&str; 5] = ["group", "outcome", "reason", "status", "path"];

/// Why there is no answer.
pub(super) enum Refused {
    /// The question is wrong.
    Bad(String),
    /// Too many ask already.
    TooMany,
}

impl From<BadParameter> for Refused {
    fn from(bad: BadParameter) -> Self {
        Self::Bad(bad.to_string())
    }
}

impl From<BadFilter> for Refused {
    fn from(bad: BadFilter) -> Self {
        Self::Bad(bad.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, why),
            Self::TooMany => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("{MAX_TAILS} tails are open here: end one of them"))
            }
        };
        (status, Json(json!({"error": why}))).into_response()
    }
}

/// Returns what the requests of the last seconds were for.
pub(super) async fn top(State(admin): State<Arc<AdminPort>>, request: Request<Body>) -> Result<Json<Top>, Refused> {
    let known = [&["by", "limit"][..], &FILTER].concat();
    let parameters = Parameters::read(request.uri().query(), &known)?;
    let by = match parameters.get("by").as_deref() {
        None | Some("keys") => TopBy::Keys,
        Some("groups") => TopBy::Groups,
        Some("reasons") => TopBy::Reasons,
        Some("origins") => TopBy::Origins,
        Some(other) => {
            let other = other.escape_debug();
            return Err(Refused::Bad(format!("by: `{other}` is none of keys, groups, reasons, origins")));
        }
    };
    let request = TopRequest { by, filter: filter(&parameters), limit: parameters.number("limit")? };
    live::check(&admin.cache, Some(by), &request.filter)?;
    let answers = admin.inquiry.ask_all(&Ask::Top(request.clone())).await;
    Ok(Json(live::merged(&request, answers)))
}

/// Writes requests as they end, until the client leaves or the process stops.
pub(super) async fn tail(State(admin): State<Arc<AdminPort>>, request: Request<Body>) -> Result<Response, Refused> {
    let filter = filter(&Parameters::read(request.uri().query(), &FILTER)?);
    live::check(&admin.cache, None, &filter)?;
    let place = admin.inquiry.live.try_tail().ok_or(Refused::TooMany)?;
    let tail = MeshTail::begin(admin.inquiry.clone(), filter).await;
    let lines = stream::unfold((tail, place), async |(mut tail, place)| {
        let lines = tail.next().await?;
        Some((Ok::<_, Infallible>(lines), (tail, place)))
    });
    let head = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Body::from_stream(lines)).into_response())
}

/// Returns what is stored.
pub(super) async fn keys(
    State(admin): State<Arc<AdminPort>>,
    request: Request<Body>,
) -> Result<Json<KeysAnswer>, Refused> {
    let parameters = Parameters::read(request.uri().query(), &["group", "prefix", "limit"])?;
    let (group, prefix) = (parameters.get("group"), parameters.get("prefix"));
    live::check(&admin.cache, None, &Filter { group: group.clone(), ..Filter::default() })?;
    if prefix.as_ref().is_some_and(|prefix| !prefix.starts_with('/')) {
        return Err(Refused::Bad("prefix: it does not begin with a slash".to_owned()));
    }
    let request = KeysRequest { group, prefix, limit: parameters.number("limit")? };
    let answers = admin.inquiry.ask_all(&Ask::Keys(request.clone())).await;
    Ok(Json(keys::merged(&request, answers)))
}

fn filter(parameters: &Parameters) -> Filter {
    let [group, outcome, reason, status, path] = FILTER.map(|name| parameters.get(name));
    Filter { group, outcome, reason, status, path }
}
