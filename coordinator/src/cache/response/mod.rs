//! Responses: stored ones as a proxy or a plain client gets them, streamed ones, and errors.

#[cfg(test)]
pub(crate) mod tests;

use crate::{
    cache::{
        pass_reason::PassReason,
        range::{self, Content},
        request::{CacheRequest, LARGEST_FOR_PROXIES},
    },
    http::{body::Body, growing::GrowingBody},
    origin::{Failure, Forwarder},
    store::{Entry, with_fields},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{AGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VIA},
    response,
};
use http_body::Body as _;
use meshcache_protocol::{
    Reason, cache_status,
    freshness::{self, Part},
    request::Flags,
    wire::{Outcome, Verdict, header},
};
use std::sync::Arc;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(crate) const OUTCOME: HeaderName = HeaderName::from_static(header::OUTCOME);
/// The largest head for a proxy, lines and bytes: Envoy's default limits. It cuts off a larger response as if there
/// were none.
const LARGEST_HEAD_FOR_PROXIES: (usize, usize) = (100, 60 << 10);
/// Lines of a head that are added on the way out.
const ADDED_LINES: [(&str, usize); 3] = [(":status", 3), ("date", 29), ("content-length", 8)];

/// This installation's name in header fields.
pub(crate) struct Names {
    installation: String,
    pub(crate) forwarder: Arc<Forwarder>,
}

impl Names {
    pub(crate) fn new(installation: &str) -> Self {
        Self { installation: installation.to_owned(), forwarder: Arc::new(Forwarder::new(installation)) }
    }

    /// Returns our member of Via for a message of this HTTP version.
    pub(crate) fn via(&self, version: Version) -> &HeaderValue {
        self.forwarder.via(version)
    }

    /// Appends our member of Via to the fields of a response that is stored.
    pub(crate) fn with_via(&self, mut fields: Vec<(Vec<u8>, Vec<u8>)>, version: Version) -> Vec<(Vec<u8>, Vec<u8>)> {
        fields.push((b"via".to_vec(), self.via(version).as_bytes().to_vec()));
        fields
    }

    /// Appends our member of Cache-Status.
    pub(crate) fn append_status(&self, headers: &mut HeaderMap, verdict: &Verdict, detail: &str) {
        if let Some(status) = self.status(verdict, detail, None) {
            headers.append(CACHE_STATUS, status);
        }
    }

    fn status(&self, verdict: &Verdict, detail: &str, key: Option<&str>) -> Option<HeaderValue> {
        HeaderValue::from_str(&cache_status::cache_status(&self.installation, verdict, detail, key)).ok()
    }
}

/// Returns a verdict with the entry's age and the rest of its freshness.
pub(crate) fn with_age(mut verdict: Verdict, entry: &Entry, now: u64) -> Verdict {
    let resident = entry.resident(now);
    // A response that always needs validation is fresh for no other cache.
    verdict.ttl =
        if entry.stored.always_validate { entry.stored.ttl(resident).min(0) } else { entry.stored.ttl(resident) };
    verdict.why = Some(entry.stored.why);
    verdict.age = entry.stored.age(resident);
    verdict.if_error = entry.stored.if_error;
    verdict
}

/// Returns a stored response as the response to a request. None if only the origin may answer it (If-Match and its
/// like).
pub(crate) fn from_entry(
    request: &CacheRequest<'_>,
    entry: &Entry,
    verdict: Verdict,
    names: &Names,
) -> Option<Response<Body>> {
    from_load(request, entry, None, verdict, names)
}

/// Whether a request waits for the whole body: a range of a length that is not known, or several; or if a new reader
/// can no longer have all of it.
pub(crate) fn needs_whole(request: &CacheRequest<'_>, entry: &Entry, growing: &GrowingBody) -> bool {
    !growing.is_readable()
        || request.http.flags.any(Flags::RANGE)
            && growing.length().is_none_or(|length| matches!(part_of(request, entry, length), Part::Ranges(_)))
}

/// Returns the part of a response that a request gets.
pub(crate) fn part_of(request: &CacheRequest<'_>, entry: &Entry, length: u64) -> Part {
    let http = &request.http;
    if http.flags.any(Flags::RANGE.with(Flags::CONDITIONAL)) {
        with_fields(entry, |stored| freshness::part(http, &stored, length))
    } else {
        Part::Whole
    }
}

/// Returns a response of a load as the response to a request. `growing`: its body, if the entry does not have it yet.
/// None if only the origin may answer it, or if its part of the body is no longer kept.
pub(crate) fn from_load(
    request: &CacheRequest<'_>,
    entry: &Entry,
    growing: Option<&Arc<GrowingBody>>,
    verdict: Verdict,
    names: &Names,
) -> Option<Response<Body>> {
    let length = growing.map_or(Some(entry.body_bytes().len() as u64), |body| body.length());
    let part = part_of(request, entry, length.unwrap_or(0));
    let content = growing.map_or(Content::Stored, Content::Growing);
    from_content(request, (entry, content), &part, verdict, names)
}

/// Returns a part of a response as the response to a request. None if only the origin may answer it, or if the part is
/// no longer kept.
pub(crate) fn from_content(
    request: &CacheRequest<'_>,
    (entry, content): (&Entry, Content<'_>),
    part: &Part,
    mut verdict: Verdict,
    names: &Names,
) -> Option<Response<Body>> {
    let http = &request.http;
    let is_sliced = matches!(content, Content::Sliced(..));
    let mut headers = HeaderMap::with_capacity(entry.line_count() + 4);
    // Another coordinator keeps the tags with its entry.
    let strips_tags = !request.is_from_peer && request.served.group.config().tags.strip;
    let tags = (!strips_tags).then(|| entry.tags());
    for (name, value) in entry.fields().chain(tags.into_iter().flatten()) {
        let belongs = match part {
            Part::Whole | Part::Origin => true,
            Part::NotModified => freshness::not_modified(name.as_str().as_bytes()),
            Part::Range(..) | Part::Ranges(_) | Part::Unsatisfiable => freshness::partial(name.as_str().as_bytes()),
        };
        if belongs && !(is_sliced && *name == header::SLICE) {
            headers.append(name.clone(), value);
        }
    }
    let (status, body) = range::extract(entry, content, part, &mut headers)?;
    if let Some(question) = &request.question {
        if !question.streams && body.size_hint().lower() > LARGEST_FOR_PROXIES {
            return Some(too_large(Reason::TooLarge));
        }
        verdict.everybody = entry.stored.for_everybody;
        let for_others = entry.stored.for_everybody
            || freshness::shares(&request.served.group, http, request.verified(), false).is_ok();
        // A response that always needs validation has a ttl of 0: it is for those that wait now.
        verdict.shared = verdict.shared && for_others && *part == Part::Whole && http.is_get() && request.rules_agree();
        headers.insert(OUTCOME, HeaderValue::from_str(&verdict.to_string()).ok()?);
    } else {
        let is_stored = matches!(verdict.outcome, Outcome::Hit | Outcome::Stale) && verdict.reason.is_empty();
        let detail = if is_stored { "owner" } else { "" };
        let status = if request.is_debugged {
            debug_status(request, entry, &verdict, detail, names)
        } else {
            names.status(&verdict, detail, None)
        };
        headers.append(CACHE_STATUS, status?);
    }
    headers.insert(AGE, HeaderValue::from(verdict.age / 1000));
    // Another coordinator takes larger heads, and checks for its own proxy.
    if request.question.is_some()
        && !request.is_from_peer
        && let Some(reason) = too_much(&headers)
    {
        return Some(too_large(reason));
    }
    let body = if http.is_head() && status != StatusCode::NOT_MODIFIED {
        if let Some(length) = body.size_hint().exact() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Body::empty()
    } else {
        body
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Some(response)
}

/// Declines a question whose response no proxy can take.
fn too_large(reason: Reason) -> Response<Body> {
    decline(&PassReason { remember: 10_000, ..PassReason::new(reason, "") })
}

/// Returns why Envoy would refuse a response with this head.
fn too_much(headers: &HeaderMap) -> Option<Reason> {
    let beside =
        ADDED_LINES.iter().filter(|(name, _)| !headers.contains_key(*name)).map(|(name, value)| name.len() + value);
    let of_fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let (lines, bytes) = of_fields.chain(beside).fold((0, 0), |(lines, bytes), line| (lines + 1, bytes + line));
    let (most, largest) = LARGEST_HEAD_FOR_PROXIES;
    if lines > most { Some(Reason::TooManyHeaders) } else { (bytes > largest).then_some(Reason::HeadTooLarge) }
}

/// Returns the Cache-Status for a debugger: with the key, the rule that gave the lifetime, and the tags.
fn debug_status(
    request: &CacheRequest<'_>,
    entry: &Entry,
    verdict: &Verdict,
    detail: &str,
    names: &Names,
) -> Option<HeaderValue> {
    let detail = if detail.is_empty() && !cache_status::is_forwarded(&verdict.reason) {
        verdict.reason.as_str()
    } else {
        detail
    };
    let tags: Vec<&[u8]> = entry.tag_words().collect();
    names.status(verdict, &cache_status::detail(detail, verdict, &tags), Some(&request.key.to_string()))
}

/// Returns an origin's response as it streams to a plain client. `detail`: the reason for the pass.
pub(crate) fn streamed(
    mut head: response::Parts,
    body: Body,
    names: &Names,
    verdict: &Verdict,
    detail: &str,
    key: Option<&str>,
) -> Response<Body> {
    head.headers.append(VIA, names.via(head.version).clone());
    let detail = if detail == verdict.reason.as_str() { "" } else { detail };
    if let Some(status) = names.status(verdict, detail, key) {
        head.headers.append(CACHE_STATUS, status);
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    Response::from_parts(head, body)
}

/// Turns a streamed response into the response to a question, for its requester alone.
pub(crate) fn streamed_to_proxy(mut response: Response<Body>, fwd: &str) -> Response<Body> {
    let mut verdict = Verdict::new(Outcome::Miss).because(fwd);
    verdict.fwd_status = response.status().as_u16();
    let headers = response.headers_mut();
    // The last member is ours; the proxy adds its own.
    let mut others: Vec<HeaderValue> = headers.get_all(CACHE_STATUS).iter().cloned().collect();
    others.pop();
    headers.remove(CACHE_STATUS);
    others.into_iter().for_each(|other| {
        headers.append(CACHE_STATUS, other);
    });
    if let Ok(outcome) = HeaderValue::from_str(&verdict.to_string()) {
        headers.insert(OUTCOME, outcome);
    }
    match too_much(headers) {
        Some(reason) => too_large(reason),
        None => response,
    }
}

/// Declines a question: the proxy passes the request, and remembers that for the reason's time.
pub(crate) fn decline(reason: &PassReason) -> Response<Body> {
    let mut verdict = Verdict::new(Outcome::Pass).because(reason.reason);
    (verdict.remember, verdict.vary) = (reason.remember, reason.vary.clone());
    verdict_only(&verdict)
}

/// Answers a question with a verdict and no response.
pub(crate) fn verdict_only(verdict: &Verdict) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(outcome) = HeaderValue::from_str(&verdict.to_string()) {
        response.headers_mut().insert(OUTCOME, outcome);
    }
    response
}

/// Answers an `only-if-cached` request that the store has no response for: 504 (RFC 9111 section 5.2.1.7), for a
/// proxy's client, too.
pub(crate) fn only_if_cached(request: &CacheRequest<'_>, names: &Names) -> Response<Body> {
    let mut response = refused(StatusCode::GATEWAY_TIMEOUT, Reason::OnlyIfCached, names);
    if request.question.is_some() {
        let verdict = Verdict::new(Outcome::Miss).because(Reason::OnlyIfCached);
        if let Ok(outcome) = HeaderValue::from_str(&verdict.to_string()) {
            response.headers_mut().remove(CACHE_STATUS);
            response.headers_mut().insert(OUTCOME, outcome);
        }
    }
    response
}

/// Turns a refusal into the response to a question: for all waiters, and stored by no cache.
pub(crate) fn for_all_waiters(mut response: Response<Body>, reason: Reason) -> Response<Body> {
    let mut verdict = Verdict::new(Outcome::Miss).because(reason);
    (verdict.shared, verdict.waiters) = (true, true);
    if let Ok(outcome) = HeaderValue::from_str(&verdict.to_string()) {
        response.headers_mut().remove(CACHE_STATUS);
        response.headers_mut().insert(OUTCOME, outcome);
    }
    response
}

/// Answers a plain client whose request got no response from the origin.
pub(crate) fn load_failed(failure: Failure, names: &Names) -> Response<Body> {
    let status = match failure {
        Failure::Timeout | Failure::Unvalidated => StatusCode::GATEWAY_TIMEOUT,
        Failure::IncompleteRequest => StatusCode::BAD_REQUEST,
        Failure::Overload => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
    };
    refused(status, failure.reason(), names)
}

/// Refuses a plain client's request. The body is the reason's label.
pub(crate) fn refused(status: StatusCode, reason: Reason, names: &Names) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", reason.label())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    names.append_status(headers, &Verdict::new(Outcome::Error).because(reason), reason.label());
    response
}
