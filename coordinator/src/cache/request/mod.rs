//! Classifies requests: a lookup of a key in a group, a pass to the group's origin, or a refusal.

mod caller;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use caller::Caller;

use crate::{
    cache::groups::{GroupTable, ServedGroup},
    consistency::catch_up::Claim,
    http::{
        content::QUERY,
        head::{Fields, RequestHead},
    },
    origin::Origin,
    settings::{Identity, Port, Settings},
};
use http::{Method, StatusCode};
use meshcache_protocol::{
    Field, Key, Reason, Request, Slice,
    groups::{GroupMatch, Mode, NotPassed},
    paths,
    request::{Flags, RequestError},
    wire::{BadQuestion, Question, header},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The largest body for a proxy, bytes: Envoy buffers a response to a filter's question. A larger one passes there.
pub(crate) const LARGEST_FOR_PROXIES: u64 = 30 << 20;

/// A request that is looked up.
pub(crate) struct CacheRequest<'a> {
    pub(crate) served: &'a Arc<ServedGroup>,
    /// As the client sent it: what passes.
    pub(crate) head: &'a RequestHead,
    /// The request as the rules of HTTP caching see it, after `request` of the group.
    pub(crate) http: Request<'a>,
    pub(crate) key: Key,
    /// The question of a proxy or a coordinator; none: a plain client's request.
    pub(crate) question: Option<Question>,
    /// It came from a coordinator, which counts it, too.
    pub(crate) is_from_peer: bool,
    /// Its client may see reasons and keys.
    pub(crate) is_debugged: bool,
    /// In a group with slices: the one that it is for. The first one stands for its file.
    pub(crate) slice: Option<Slice>,
}

/// A request that is not looked up.
pub(crate) enum NotLookedUp<'a> {
    /// It passes to the group's origin.
    Pass { served: &'a Arc<ServedGroup>, reason: Reason, is_question: bool },
    /// A question that is declined: the proxy passes the request itself.
    Decline { served: Option<&'a Arc<ServedGroup>>, reason: Reason },
    /// It would pass, and the group lets no plain client make this call; the field that would allow it.
    Forbidden { served: &'a Arc<ServedGroup>, reason: Reason, field: NotPassed },
    /// It is refused.
    Refused { status: StatusCode, reason: Reason },
}

impl CacheRequest<'_> {
    /// Whether a proxy has verified the requester's token.
    pub(crate) fn verified(&self) -> bool {
        self.question.as_ref().is_some_and(|question| question.verified)
    }

    /// Returns the purges that the requester claims to know.
    pub(crate) fn claim(&self) -> Claim<'_> {
        let (purges, marks) = self.question.as_ref().map_or(("", ""), |question| (&question.purge, &question.marks));
        if self.is_from_peer { Claim::Peer(purges) } else { Claim::Unauthenticated { position: purges, marks } }
    }

    /// Whether another coordinator has forwarded it: it is not forwarded again.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.question.as_ref().is_some_and(|question| question.hop)
    }

    /// Returns how long a question's proxy waits.
    pub(crate) fn patience(&self, question: &Question) -> Duration {
        let own = self.served.group.config().patience.duration();
        // At most the group's patience: an unknown client must not occupy a waiter for an hour.
        if question.patience == 0 { own } else { own.min(Duration::from_millis(question.patience)) }
    }

    /// Returns when a question has to be answered that comes now. None: a plain client waits as long as it takes.
    pub(crate) fn reply_by(&self) -> Option<Instant> {
        self.question.as_ref().map(|question| Instant::now() + self.patience(question))
    }

    /// Returns how long the request has already waited elsewhere.
    pub(crate) fn waited(&self) -> Duration {
        // At most as long as two loads in a row may take: a larger number is made up.
        let most = 2 * self.served.origin.timeout() + 4 * self.served.group.config().patience.duration();
        self.question.as_ref().map_or(Duration::ZERO, |question| Duration::from_millis(question.waited).min(most))
    }

    /// Whether the requester takes a body that is still growing. A proxy says so, and a getter's value is always whole.
    pub(crate) fn takes_growing_body(&self) -> bool {
        !matches!(self.served.origin, Origin::Getter(_))
            && self.question.as_ref().is_none_or(|question| question.streams)
    }

    /// Returns the longest body that the requester takes as it streams. A proxy holds what its client does not take.
    pub(crate) fn longest_stream(&self) -> u64 {
        match &self.question {
            _ if !self.takes_growing_body() => 0,
            Some(_) if !self.is_from_peer => LARGEST_FOR_PROXIES,
            _ => u64::MAX,
        }
    }

    /// The first slice of a file, under whose key its file is found.
    pub(crate) fn first_slice(&self) -> Option<&Slice> {
        self.slice.as_ref().filter(|slice| slice.later.is_none())
    }

    /// Whether it is for a file that may have to be put together from slices here.
    pub(crate) fn is_for_file(&self) -> bool {
        self.first_slice().is_some() && !self.takes_slice()
    }

    /// Whether it is for one slice as it is: a coordinator puts the file together.
    pub(crate) fn takes_slice(&self) -> bool {
        self.question.as_ref().is_some_and(|question| question.slice.is_some())
    }

    /// Whether the requester has the same rules for the group.
    pub(crate) fn rules_agree(&self) -> bool {
        self.question.as_ref().is_none_or(|question| self.served.group.accepts_digest(&question.rules))
    }
}

/// Decides what becomes of a request. `fields`: the head's own. `edited`: the place for what its group leaves of them.
pub(crate) fn classify<'r, 'a: 'r>(
    port: Port,
    head: &'a RequestHead,
    fields: &'a [Field<'a>],
    edited: &'r mut Fields<'a>,
    table: &'a GroupTable,
    settings: &Settings,
) -> Result<CacheRequest<'r>, NotLookedUp<'r>> {
    let identity = settings.identity;
    let refused = |status, reason| NotLookedUp::Refused { status, reason };
    let mut question = match RequestHead::question(fields) {
        Ok(question) => question,
        Err(BadQuestion::Version(_)) => return Err(NotLookedUp::Decline { served: None, reason: Reason::WireVersion }),
        Err(_) => return Err(NotLookedUp::Decline { served: None, reason: Reason::BadQuestion }),
    };
    let asked = question.as_mut().and_then(|question| question.slice.take()).filter(|_| port == Port::Peer);
    let asked = asked.as_ref();
    let is_question = question.is_some();
    let refuse = |status, reason| {
        if is_question { NotLookedUp::Decline { served: None, reason } } else { refused(status, reason) }
    };
    if *head.method() == Method::CONNECT {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, Reason::Method));
    }
    if head.target().starts_with(paths::CONTROL) {
        return Err(refuse(StatusCode::NOT_FOUND, Reason::ControlPath));
    }
    let (request, unfit) = match head.request(fields) {
        Ok(request) => (request, None),
        Err(RequestError::Authority) => return Err(refuse(StatusCode::BAD_REQUEST, RequestError::Authority.reason())),
        Err(unfit) => match head.host_only(fields) {
            Ok(request) => (request, Some(unfit)),
            Err(_) => return Err(refuse(StatusCode::BAD_REQUEST, unfit.reason())),
        },
    };
    if request.normal_path().starts_with(paths::CONTROL) {
        return Err(refuse(StatusCode::NOT_FOUND, Reason::ControlPath));
    }
    let namespace =
        question.as_ref().map(|question| question.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let (group, names_path) = match table.groups.find(&request, namespace) {
        GroupMatch::Group(group) => (group, true),
        GroupMatch::HostOnly(group) => (group, false),
        GroupMatch::Nothing => {
            return Err(unfit.map_or_else(
                || refuse(StatusCode::MISDIRECTED_REQUEST, Reason::NoGroup),
                |unfit| refuse(StatusCode::BAD_REQUEST, unfit.reason()),
            ));
        }
    };
    let Some(served) = table.served(group) else {
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, Reason::NoGroup));
    };
    let caller = Caller::of(head, &request, identity);
    // A path that two servers may read differently may belong to any group of its host.
    let admits = || {
        if unfit.is_some() {
            table.groups.of_host(&request, namespace).all(|group| caller.is_admitted(group))
        } else {
            caller.is_admitted(group)
        }
    };
    // A peer has checked its caller. Passes are checked, too: at the origin they would be our own calls.
    if port == Port::Data && !admits() {
        return Err(if is_question {
            NotLookedUp::Decline { served: Some(served), reason: Reason::Caller }
        } else {
            refused(StatusCode::FORBIDDEN, Reason::Caller)
        });
    }
    let passes = || {
        let (method, identified) = (head.method().as_str(), identity != Identity::None);
        match unfit {
            None => group.passes_through(method, !names_path, identified),
            // The origin may read the path as one of another group.
            Some(_) => table
                .groups
                .of_host(&request, namespace)
                .try_for_each(|group| group.passes_through(method, !group.takes_every_path(), identified)),
        }
    };
    // A question needs no permission to pass: it is declined, and its proxy reaches the service itself.
    let pass = |reason| match if is_question { Ok(()) } else { passes() } {
        Ok(()) => NotLookedUp::Pass { served, reason, is_question },
        Err(field) => NotLookedUp::Forbidden { served, reason, field },
    };
    match loops(&request, &settings.installation) {
        0 => {}
        1 => return Err(pass(Reason::Loop)),
        _ => return Err(refuse(StatusCode::LOOP_DETECTED, Reason::Loop)),
    }
    if let Some(reason) = unfit.map(RequestError::reason).or((!names_path).then_some(Reason::NoPath)) {
        return Err(pass(reason));
    }
    if question.as_ref().is_some_and(|question| question.group != group.name()) {
        return Err(pass(Reason::Group));
    }
    if request.flags.any(Flags::UPGRADE)
        && !is_question
        && request.values("upgrade").any(|value| value.eq_ignore_ascii_case(b"websocket"))
    {
        return Err(refused(StatusCode::NOT_IMPLEMENTED, Reason::Upgrade));
    }
    let is_debugger = request.flags.any(Flags::CONTROL) && caller.is_any(|caller| table.groups.is_debugger(caller));
    let asks_to = || is_debugger && request.value(header::BYPASS) == Some(b"1");
    // What kind of request it is, its own fields say. Then the group decides by what it leaves of them.
    let method = head.method().as_str();
    let kind = match request.not_for_caches() {
        // Its content was too long to be read, or is not to be.
        Some(Reason::Method) if method == QUERY && group.answers(method.as_bytes()) => Some(Reason::Body),
        None if !group.answers(method.as_bytes()) => Some(Reason::Method),
        kind => kind,
    };
    let asks_to_pass = asks_to();
    let is_debugged = is_debugger && request.value(header::DEBUG) == Some(b"1");
    let request = if group.edits_requests() {
        edited.extend(head.edited_fields(group, fields));
        request.with_fields(edited)
    } else {
        request
    };
    if let Some(reason) = kind
        .or_else(|| asks_to_pass.then_some(Reason::Debugger))
        .or_else(|| group.bypass_reason(&request))
        .or_else(|| (group.config().mode == Mode::Off).then_some(Reason::Off))
    {
        return Err(pass(reason));
    }
    if group.has_ambiguous_cookie(&request) {
        return Err(pass(Reason::AmbiguousCookie));
    }
    let route = question.as_ref().and_then(|question| question.route.as_deref()).map(str::as_bytes);
    let key = Key::of(group, &request, route);
    let key = match head.content() {
        Some(content) => key.with_content(content.digest()),
        None => key,
    };
    let (slice, key) = match (slice_size(served, head), asked) {
        (size, None | Some(Slice { later: None, .. })) => (size.map(Slice::first), key),
        (Some(size), Some(asked)) if asked.size == size => (Some(asked.clone()), asked.key(&key)),
        // Its sender has other slices, or has them still.
        _ => return Err(pass(Reason::Group)),
    };
    let is_one = asked.is_some() && slice.as_ref() == asked;
    let question = question.map(|question| Question { slice: slice.clone().filter(|_| is_one), ..question });
    let is_from_peer = port == Port::Peer;
    Ok(CacheRequest { served, head, http: request, key, question, is_from_peer, is_debugged, slice })
}

/// Returns the size of the slices in which a request's response is stored, if it is large.
fn slice_size(served: &ServedGroup, head: &RequestHead) -> Option<u64> {
    let config = served.group.config();
    let is_sliced = matches!(served.origin, Origin::Http(_)) && config.mode == Mode::On && head.content().is_none();
    // A slice that the store has no room for cannot be put beside others.
    config.limits.slices.map(|size| size.0).filter(|size| is_sliced && *size <= served.quota.limit())
}

/// Returns how often a request has been through this installation.
fn loops(request: &Request<'_>, installation: &str) -> usize {
    if !request.has_looped(installation) {
        return 0;
    }
    let ids = request.values("cdn-loop").flat_map(|line| line.split(|b| *b == b','));
    ids.filter(|id| {
        id.split(|b| *b == b';')
            .next()
            .is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(installation.as_bytes()))
    })
    .count()
}
