//! What a request asks of the cache: a key of a group, a pass to the group's origin, or nothing that it may have.

use crate::{
    cache::groups::{Rules, Served},
    consistency::catch_up::Claim,
    http::head::RequestHead,
    settings::{Door, Identity},
};
use http::{Method, StatusCode};
use meshcache_protocol::{
    Field, Key, Reason, Request,
    groups::{GroupMatch, Mode, NotPassed},
    paths,
    request::{Flags, RequestError},
    wire::{BadQuestion, Question, header},
};
use std::{sync::Arc, time::Duration};

/// A request that the cache may answer.
pub(crate) struct Asked<'a> {
    pub(crate) served: &'a Arc<Served>,
    pub(crate) request: Request<'a>,
    pub(crate) key: Key,
    /// From a proxy or a coordinator; none: from a plain client.
    pub(crate) question: Option<Question>,
    /// It came from a coordinator, which has counted it, too.
    pub(crate) is_from_peer: bool,
    /// Its asker may see reasons and keys.
    pub(crate) is_debugged: bool,
}

/// Where a request goes that the cache does not answer.
pub(crate) enum Elsewhere<'a> {
    /// Past the cache. The group whose origin it goes to, where that is known, and why.
    Pass { served: &'a Arc<Served>, reason: Reason, is_question: bool },
    /// A question that only its asker can go on with.
    HandBack { served: Option<&'a Arc<Served>>, reason: Reason },
    /// Nowhere: the group lets no plain client make this call through us.
    Held { served: &'a Arc<Served>, not: NotPassed },
    /// Nowhere.
    Refused { status: StatusCode, reason: Reason },
}

impl Asked<'_> {
    /// The requester's identity is in play: a proxy has verified a token.
    pub(crate) fn verified(&self) -> bool {
        self.question.as_ref().is_some_and(|question| question.verified)
    }

    /// Up to where its asker says that it has heard of purges.
    pub(crate) fn claim(&self) -> Claim<'_> {
        let (purges, marks) = self.question.as_ref().map_or(("", ""), |question| (&question.purge, &question.marks));
        if self.is_from_peer { Claim::Peer(purges) } else { Claim::Unauthenticated { position: purges, marks } }
    }

    /// It is to be answered from here: a second hop would be one too many.
    pub(crate) fn is_hop(&self) -> bool {
        self.question.as_ref().is_some_and(|question| question.hop)
    }

    /// How long the asker of a question waits.
    pub(crate) fn patience(&self, question: &Question) -> Duration {
        let own = self.served.group.config().patience.duration();
        // As long as the group has it, whatever is asked for: an asker that nobody knows does not hold a seat for an
        // hour.
        if question.patience == 0 { own } else { own.min(Duration::from_millis(question.patience)) }
    }

    /// How long all for whom it is asked have been waiting already.
    pub(crate) fn waited(&self) -> Duration {
        // No longer than two loads may take, one after the other: beyond that the number is made up.
        let most = 2 * self.served.origin.timeout() + 4 * self.served.group.config().patience.duration();
        self.question.as_ref().map_or(Duration::ZERO, |question| Duration::from_millis(question.waited).min(most))
    }

    /// Asker and answerer have the same rules for the group.
    pub(crate) fn rules_agree(&self) -> bool {
        self.question.as_ref().is_none_or(|question| self.served.group.accepts_digest(&question.rules))
    }
}

/// Decides where a request goes. `fields`: the head's own.
pub(crate) fn route<'a>(
    door: Door,
    head: &'a RequestHead,
    fields: &'a [Field<'a>],
    rules: &'a Rules,
    installation: &str,
    identity: Identity,
) -> Result<Asked<'a>, Elsewhere<'a>> {
    let refused = |status, reason| Elsewhere::Refused { status, reason };
    let question = match RequestHead::question(fields) {
        Ok(question) => question,
        Err(BadQuestion::Version(_)) => return Err(Elsewhere::HandBack { served: None, reason: Reason::WireVersion }),
        Err(_) => return Err(Elsewhere::HandBack { served: None, reason: Reason::BadQuestion }),
    };
    let is_question = question.is_some();
    let refuse = |status, reason| {
        if is_question { Elsewhere::HandBack { served: None, reason } } else { refused(status, reason) }
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
    let (group, names_path) = match rules.groups.find(&request, namespace) {
        GroupMatch::Group(group) => (group, true),
        GroupMatch::HostOnly(group) => (group, false),
        GroupMatch::Nothing => {
            return Err(unfit.map_or_else(
                || refuse(StatusCode::MISDIRECTED_REQUEST, Reason::NoGroup),
                |unfit| refuse(StatusCode::BAD_REQUEST, unfit.reason()),
            ));
        }
    };
    let Some(served) = rules.served(group) else {
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, Reason::NoGroup));
    };
    let caller = caller(&request, identity);
    // What two servers may read differently may be a path of any group of its host.
    let admits = || {
        if unfit.is_some() {
            rules.groups.of_host(&request, namespace).all(|group| group.admits(caller))
        } else {
            group.admits(caller)
        }
    };
    // A hop's sender has checked its caller. What passes to the origin through us is checked, too: it would be our own
    // call there.
    if door == Door::Data && !admits() {
        return Err(if is_question {
            Elsewhere::HandBack { served: Some(served), reason: Reason::Caller }
        } else {
            refused(StatusCode::FORBIDDEN, Reason::Caller)
        });
    }
    let passes = || {
        let (method, identified) = (head.method().as_str(), identity != Identity::None);
        match unfit {
            None => group.passes_through(method, !names_path, identified),
            // The origin may read the path as one that another group keeps.
            Some(_) => rules
                .groups
                .of_host(&request, namespace)
                .try_for_each(|group| group.passes_through(method, !group.takes_every_path(), identified)),
        }
    };
    // A question is handed back: what its asker passes goes its own way to the service.
    let pass = |reason| match if is_question { Ok(()) } else { passes() } {
        Ok(()) => Elsewhere::Pass { served, reason, is_question },
        Err(not) => Elsewhere::Held { served, not },
    };
    match loops(&request, installation) {
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
    let is_debugger = request.flags.any(Flags::CONTROL) && rules.groups.is_debugger(caller);
    let asks_to = || is_debugger && request.value(header::BYPASS) == Some(b"1");
    if let Some(reason) = (request.not_for_caches())
        .or_else(|| asks_to().then_some(Reason::Debugger))
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
    let is_debugged = is_debugger && request.value(header::DEBUG) == Some(b"1");
    Ok(Asked { served, request, key, question, is_from_peer: door == Door::Peer, is_debugged })
}

/// The caller's identity: the URI of the last element of x-forwarded-client-cert, the one that the nearest proxy has
/// added.
pub(crate) fn caller<'a>(request: &Request<'a>, identity: Identity) -> Option<&'a str> {
    if identity == Identity::None {
        return None;
    }
    let last = elements(request.values("x-forwarded-client-cert").last()?, b',').last()?;
    let uri = elements(last, b';').find_map(|pair| {
        let (name, value) = pair.split_at_checked(pair.iter().position(|b| *b == b'=')?)?;
        name.eq_ignore_ascii_case(b"uri").then_some(value.get(1..)?)
    })?;
    let uri = uri.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(uri);
    std::str::from_utf8(uri).ok().filter(|uri| !uri.is_empty())
}

/// The parts of a list, whose quoted strings may have the separator in them.
fn elements(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |b| {
        let splits = *b == separator && !quoted;
        if *b == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = *b == b'\\' && !escaped;
        splits
    })
    .map(|part| part.trim_ascii())
}

/// How often a request has been through this installation.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &'static [Field<'static>]) -> Request<'static> {
        Request::read(b"GET", b"http", b"h", b"/", fields).unwrap()
    }

    #[test]
    fn the_nearest_proxys_word_names_the_caller() {
        const TWO: &[Field<'static>] = &[(
            b"x-forwarded-client-cert",
            b"By=spiffe://x/a;URI=spiffe://forged/me,Hash=1;Subject=\"CN=a,URI=spiffe://forged/you;\";URI=spiffe://x/ns/shop/sa/web",
        )];
        assert_eq!(caller(&read(TWO), Identity::Xfcc), Some("spiffe://x/ns/shop/sa/web"));
        assert_eq!(caller(&read(TWO), Identity::None), None);
        const NONE: &[Field<'static>] = &[(b"x-forwarded-client-cert", b"URI=spiffe://forged/me,Hash=1;URI=")];
        assert_eq!(caller(&read(NONE), Identity::Xfcc), None);
        assert_eq!(caller(&read(&[]), Identity::Xfcc), None);
    }

    #[test]
    fn rounds_through_one_installation_are_counted() {
        assert_eq!(
            loops(&read(&[(b"cdn-loop", b"other"), (b"cdn-loop", b"meshcache, MeshCache; v=1")]), "meshcache"),
            2
        );
        assert_eq!(loops(&read(&[(b"cdn-loop", b"other")]), "meshcache"), 0);
    }
}
