//! What administrators look at while it happens: `GET /top`, `GET /tail`; and what is stored: `GET /keys`.

use crate::{
    inquiry::{
        Inquiry, NoAnswer, keys,
        live::{self, BadFilter, MAX_TAILS},
        mesh_tail::MeshTail,
    },
    server::admin::parameters::{BadParameter, Parameters},
};
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use http::{Request, StatusCode, header};
use meshcache_admin::{Ask, Filter, KeysAnswer, KeysRequest, Top, TopBy, TopRequest};
use serde_json::json;
use std::{convert::Infallible, sync::Arc};

/// The parameters of a filter.
const FILTER: [&str; 5] = ["group", "outcome", "reason", "status", "path"];

/// Returns the routes.
pub(super) fn routes(inquiry: Arc<Inquiry>) -> Router {
    Router::new().route("/top", get(top)).route("/tail", get(tail)).route("/keys", get(keys)).with_state(inquiry)
}

/// Why there is no answer.
enum Refused {
    /// The question is wrong.
    Bad(String),
    /// Too much is asked for already.
    Busy(String),
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

impl From<NoAnswer> for Refused {
    fn from(why: NoAnswer) -> Self {
        Self::Busy(why.0)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, why),
            Self::Busy(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        };
        (status, Json(json!({"error": why}))).into_response()
    }
}

/// Returns what the requests of the last seconds were for.
async fn top(State(inquiry): State<Arc<Inquiry>>, request: Request<Body>) -> Result<Json<Top>, Refused> {
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
    live::check(&inquiry.cache, Some(by), &request.filter)?;
    let mut answers = inquiry.ask_all::<Top>(&Ask::Top(request.clone())).await;
    // The first is this coordinator's own: what it lacks is no peer.
    if let Some((_, own)) = answers.first_mut() {
        *own = Ok(std::mem::replace(own, Ok(Top::default()))?);
    }
    Ok(Json(live::merged(&request, answers)))
}

/// Writes requests as they end, until the client leaves or the process stops.
async fn tail(State(inquiry): State<Arc<Inquiry>>, request: Request<Body>) -> Result<Response, Refused> {
    let filter = filter(&Parameters::read(request.uri().query(), &FILTER)?);
    live::check(&inquiry.cache, None, &filter)?;
    let place = inquiry
        .live
        .try_tail()
        .ok_or_else(|| Refused::Busy(format!("{MAX_TAILS} tails are open here: end one of them")))?;
    let tail = MeshTail::begin(inquiry, filter).await?;
    let lines = stream::unfold((tail, place), async |(mut tail, place)| {
        let lines = tail.next().await?;
        Some((Ok::<_, Infallible>(lines), (tail, place)))
    });
    let head = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Body::from_stream(lines)).into_response())
}

/// Returns what is stored.
async fn keys(State(inquiry): State<Arc<Inquiry>>, request: Request<Body>) -> Result<Json<KeysAnswer>, Refused> {
    let parameters = Parameters::read(request.uri().query(), &["group", "prefix", "limit"])?;
    let (group, prefix) = (parameters.get("group"), parameters.get("prefix"));
    live::check(&inquiry.cache, None, &Filter { group: group.clone(), ..Filter::default() })?;
    if prefix.as_ref().is_some_and(|prefix| !prefix.starts_with('/')) {
        return Err(Refused::Bad("prefix: it does not begin with a slash".to_owned()));
    }
    let request = KeysRequest { group, prefix, limit: parameters.number("limit")? };
    let answers = inquiry.ask_all(&Ask::Keys(request.clone())).await;
    Ok(Json(keys::merged(&request, answers)))
}

fn filter(parameters: &Parameters) -> Filter {
    let [group, outcome, reason, status, path] = FILTER.map(|name| parameters.get(name));
    Filter { group, outcome, reason, status, path }
}
