//! Answers: what is stored, as a proxy or a plain client gets it; what streams through; and what went wrong.

use crate::{
    cache::{pass_reason::Aside, range, request::Asked},
    http::body::Body,
    origin::{Failure, via},
    store::{Entry, with_fields},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{AGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VIA},
    response,
};
use meshcache_protocol::{
    Reason, cache_status,
    freshness::{self, Part},
    request::Flags,
    wire::{Outcome, Verdict, header},
};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(crate) const OUTCOME: HeaderName = HeaderName::from_static(header::OUTCOME);
/// Envoy buffers an answer to a filter's question in whole: what is larger than this goes past the cache there.
const LARGEST_FOR_PROXIES: usize = 30 << 20;

/// What Envoy takes of an answer's head, unless it is told otherwise: lines, and bytes. It breaks off what has more, as
/// if nobody had answered.
const LARGEST_HEAD_FOR_PROXIES: (usize, usize) = (100, 60 << 10);
/// What is in an answer's head beside its fields: `:status`, and what is added on the way out, `date` and
/// `content-length`.
const BESIDE: [(&str, usize); 3] = [(":status", 3), ("date", 29), ("content-length", 8)];

/// What we are called, as headers have it.
pub(crate) struct Names {
    pub(crate) installation: String,
    via: [HeaderValue; 3],
}

impl Names {
    pub(crate) fn new(installation: &str) -> Self {
        let via = [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]
            .map(|version| via(version, installation).unwrap_or_else(|| HeaderValue::from_static("1.1 meshcache")));
        Self { installation: installation.to_owned(), via }
    }

    /// Our member of Via, for a message that came in this version of HTTP.
    pub(crate) fn via(&self, version: Version) -> &HeaderValue {
        let [old, one, two] = &self.via;
        match version {
            Version::HTTP_10 => old,
            Version::HTTP_2 => two,
            _ => one,
        }
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

/// A verdict with the entry's age and what is left of its freshness.
pub(crate) fn aged(mut verdict: Verdict, entry: &Entry, now: u64) -> Verdict {
    let resident = entry.resident(now);
    // What may not be given without validation is fresh for nobody else.
    verdict.ttl =
        if entry.stored.always_validate { entry.stored.ttl(resident).min(0) } else { entry.stored.ttl(resident) };
    verdict.why = Some(entry.stored.why);
    verdict.age = entry.stored.age(resident);
    verdict.if_error = entry.stored.if_error;
    verdict
}

/// A stored response as the answer to a request. None where only the origin may answer it (If-Match and its like).
pub(crate) fn give(asked: &Asked<'_>, entry: &Entry, mut verdict: Verdict, names: &Names) -> Option<Response<Body>> {
    let request = &asked.request;
    let part = if request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL)) {
        with_fields(entry, |stored| freshness::part(request, &stored, entry.body.len() as u64))
    } else {
        Part::Whole
    };
    let mut headers = HeaderMap::with_capacity(entry.fields.len() + entry.tags.len() + 4);
    // Another coordinator keeps them with the entry.
    let strips_tags = !asked.is_from_peer && asked.served.group.config().tags.strip;
    let tags: &[_] = if strips_tags { &[] } else { &entry.tags };
    for (name, value) in entry.fields.iter().chain(tags) {
        let belongs = match part {
            Part::Whole | Part::Origin => true,
            Part::NotModified => freshness::not_modified(name.as_str().as_bytes()),
            Part::Range(..) | Part::Ranges(_) | Part::Unsatisfiable => freshness::partial(name.as_str().as_bytes()),
        };
        if belongs {
            headers.append(name.clone(), value.clone());
        }
    }
    let (status, body) = range::cut(entry, &part, &mut headers)?;
    if asked.question.is_some() {
        if body.len() > LARGEST_FOR_PROXIES {
            return Some(too_large(Reason::TooLarge));
        }
        verdict.everybody = entry.stored.for_everybody;
        let for_others = entry.stored.for_everybody
            || freshness::shares(&asked.served.group, request, asked.verified(), false).is_ok();
        // What has to be validated each time is for those who wait for it now: its ttl is 0.
        verdict.shared = verdict.shared && for_others && part == Part::Whole && request.is_get() && asked.rules_agree();
        headers.insert(OUTCOME, HeaderValue::from_str(&verdict.to_string()).ok()?);
    } else {
        let is_ours =
            verdict.outcome == Outcome::Hit || (verdict.outcome == Outcome::Stale && verdict.reason.is_empty());
        let who = if is_ours { "owner" } else { "" };
        let status = if asked.is_debugged {
            debugged(asked, entry, &verdict, who, names)
        } else {
            names.status(&verdict, who, None)
        };
        headers.append(CACHE_STATUS, status?);
    }
    headers.insert(AGE, HeaderValue::from(verdict.age / 1000));
    // Another coordinator takes more, and asks itself what its proxy takes.
    if asked.question.is_some()
        && !asked.is_from_peer
        && let Some(reason) = too_much(&headers)
    {
        return Some(too_large(reason));
    }
    let body = if request.is_head() && status != StatusCode::NOT_MODIFIED {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        Body::empty()
    } else {
        Body::Full(body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Some(response)
}

/// An answer that no proxy can take.
fn too_large(reason: Reason) -> Response<Body> {
    hand_back(&Aside { remember: 10_000, ..Aside::new(reason, "") })
}

/// Why Envoy would refuse an answer with this head.
fn too_much(headers: &HeaderMap) -> Option<Reason> {
    let beside = BESIDE.iter().filter(|(name, _)| !headers.contains_key(*name)).map(|(name, value)| name.len() + value);
    let of_fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let (lines, bytes) = of_fields.chain(beside).fold((0, 0), |(lines, bytes), line| (lines + 1, bytes + line));
    let (most, largest) = LARGEST_HEAD_FOR_PROXIES;
    if lines > most { Some(Reason::TooManyHeaders) } else { (bytes > largest).then_some(Reason::HeadTooLarge) }
}

/// What a debugger sees of an answer: its key, the rule that gave its lifetime, its tags.
fn debugged(asked: &Asked<'_>, entry: &Entry, verdict: &Verdict, who: &str, names: &Names) -> Option<HeaderValue> {
    let who =
        if who.is_empty() && !cache_status::is_forwarded(&verdict.reason) { verdict.reason.as_str() } else { who };
    let tags: Vec<&[u8]> = entry
        .tags
        .iter()
        .flat_map(|(_, value)| value.as_bytes().split(|b| *b == b' '))
        .filter(|tag| !tag.is_empty())
        .collect();
    names.status(verdict, &cache_status::detail(who, verdict, &tags), Some(&asked.key.to_string()))
}

/// An origin's answer on its way to a plain client. `detail`: a reason of ours.
pub(crate) fn through(
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

/// An answer that streamed through, as the answer to a question: for the one who asked.
pub(crate) fn to_proxy(mut response: Response<Body>, fwd: &str) -> Response<Body> {
    let mut verdict = Verdict::new(Outcome::Miss).because(fwd);
    verdict.fwd_status = response.status().as_u16();
    let headers = response.headers_mut();
    // The last member is ours: the proxy says its own.
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

/// A question's answer without a response: its asker goes on by itself, for as long as is to be remembered.
pub(crate) fn hand_back(aside: &Aside) -> Response<Body> {
    let mut verdict = Verdict::new(Outcome::Pass).because(aside.reason);
    (verdict.remember, verdict.vary) = (aside.remember, aside.vary.clone());
    bare(&verdict)
}

/// A question's answer without a response.
pub(crate) fn bare(verdict: &Verdict) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(outcome) = HeaderValue::from_str(&verdict.to_string()) {
        response.headers_mut().insert(OUTCOME, outcome);
    }
    response
}

/// `only-if-cached`, and there is nothing: 504 (RFC 9111 section 5.2.1.7), for a proxy's client, too.
pub(crate) fn only_if_cached(asked: &Asked<'_>, names: &Names) -> Response<Body> {
    let mut response = refused(StatusCode::GATEWAY_TIMEOUT, Reason::OnlyIfCached, names);
    if asked.question.is_some() {
        let verdict = Verdict::new(Outcome::Miss).because(Reason::OnlyIfCached);
        if let Ok(outcome) = HeaderValue::from_str(&verdict.to_string()) {
            response.headers_mut().remove(CACHE_STATUS);
            response.headers_mut().insert(OUTCOME, outcome);
        }
    }
    response
}

/// A refusal as the answer to a question: for all who wait for it, and kept by nobody.
pub(crate) fn to_all(mut response: Response<Body>, reason: Reason) -> Response<Body> {
    let mut verdict = Verdict::new(Outcome::Miss).because(reason);
    (verdict.shared, verdict.waiters) = (true, true);
    if let Ok(outcome) = HeaderValue::from_str(&verdict.to_string()) {
        response.headers_mut().remove(CACHE_STATUS);
        response.headers_mut().insert(OUTCOME, outcome);
    }
    response
}

/// The origin gave no answer: what a plain client is told.
pub(crate) fn failed(failure: Failure, names: &Names) -> Response<Body> {
    let status = match failure {
        Failure::Timeout | Failure::Unvalidated => StatusCode::GATEWAY_TIMEOUT,
        Failure::IncompleteRequest => StatusCode::BAD_REQUEST,
        Failure::Overload => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
    };
    refused(status, failure.reason(), names)
}

/// A request that is not answered: a plain client is told in one word why.
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
