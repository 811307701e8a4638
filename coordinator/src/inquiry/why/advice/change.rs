//! Changes to a group's configuration that mend a reason, the least dangerous first.

use crate::http::head::RequestHead;
use http::HeaderName;
use meshcache_admin::LastReason;
use meshcache_protocol::{
    Reason,
    groups::{Directives, DroppedFields, GroupConfig, Ignored, Mode, PathRule},
    units::{Size, Span},
};

/// What changes depend on.
pub(super) struct Facts<'a> {
    pub(super) head: &'a RequestHead,
    /// Who asks, where a header says so.
    pub(super) caller: Option<&'a str>,
    pub(super) last: &'a LastReason,
    /// The largest response that the store has room for, bytes.
    pub(super) room: u64,
}

/// One change.
pub(super) struct Change {
    pub(super) make: Box<dyn Fn(&mut GroupConfig)>,
    /// What to think of before, beside what is said of the reason.
    pub(super) what: &'static str,
    /// Whether the last response has to be stored with it.
    pub(super) is_for_response: bool,
}

const ANONYMOUS: &str = "The change makes the group's requests anonymous, so that no cookie and no token reaches the service, and ignores what the response says: only if the response is the same for all.";
const EXPECTED: &str = "The change is right only if the service bears so much.";

/// Returns the changes that may mend a reason; none: no configuration does.
pub(super) fn of(reason: Reason, facts: &Facts<'_>) -> Vec<Change> {
    let stores = |make: Box<dyn Fn(&mut GroupConfig)>| Change { make, what: "", is_for_response: true };
    let decides = |make: Box<dyn Fn(&mut GroupConfig)>| Change { make, what: "", is_for_response: false };
    let ignores = |what| Change { what: ANONYMOUS, ..stores(Box::new(move |group| ignore(group, what))) };
    match reason {
        Reason::NoFreshness => vec![stores(Box::new(|_| {}))],
        Reason::Private => vec![ignores(Ignored::Private)],
        Reason::NoStore => vec![ignores(Ignored::NoStore)],
        Reason::Vary => vec![ignores(Ignored::Vary)],
        Reason::SetCookie => vec![stores(Box::new(|group| group.share.set_cookie = true))],
        Reason::Identity => shared(facts).map(stores).into_iter().collect(),
        Reason::Status => listed(facts).map(stores).into_iter().collect(),
        Reason::TooLarge => larger(facts).map(decides).into_iter().collect(),
        Reason::Method => match facts.head.method().as_str() {
            "GET" => vec![decides(Box::new(|group| group.methods.get = true))],
            "HEAD" => vec![decides(Box::new(|group| group.methods.head = true))],
            "QUERY" => vec![decides(Box::new(|group| group.methods.query = true))],
            _ => Vec::new(),
        },
        Reason::Caller => {
            let pattern = facts.caller.and_then(|caller| caller.parse().ok());
            let add = |pattern: meshcache_protocol::groups::CallerPattern| -> Box<dyn Fn(&mut GroupConfig)> {
                Box::new(move |group| group.callers.push(pattern.clone()))
            };
            pattern.map(add).map(decides).into_iter().collect()
        }
        Reason::Overload => {
            let more = |group: &mut GroupConfig| {
                group.origin.max_loads = group.origin.max_loads.saturating_mul(2);
                if group.freshness.stale_while_revalidate.is_zero() {
                    group.freshness.stale_while_revalidate = Span::secs(30);
                }
            };
            vec![Change { what: EXPECTED, ..decides(Box::new(more)) }]
        }
        Reason::MinUses => vec![decides(Box::new(|group| group.min_uses = 1))],
        Reason::RequestNoStore => {
            vec![decides(Box::new(|group| group.freshness.request_directives = Directives::Ignore))]
        }
        Reason::BypassHeader => {
            let has = names(facts.head);
            vec![decides(Box::new(move |group| group.bypass.headers.retain(|name| !has.contains(name))))]
        }
        Reason::BypassCookie => vec![decides(Box::new(|group| group.bypass.cookies.clear()))],
        Reason::BypassQuery => vec![decides(Box::new(|group| group.bypass.query.clear()))],
        Reason::Off | Reason::Observe => vec![decides(Box::new(|group| group.mode = Mode::On))],
        Reason::NoPath => {
            let path = facts.head.target().split('?').next().unwrap_or_default().to_owned();
            vec![decides(Box::new(move |group| {
                // An excluded path is excluded for a reason that is not known here.
                if !group.r#match.paths.is_empty() {
                    group.r#match.paths.push(PathRule::Exact(path.clone()));
                }
            }))]
        }
        _ => Vec::new(),
    }
}

fn names(head: &RequestHead) -> Vec<String> {
    head.headers().keys().map(HeaderName::to_string).collect()
}

/// Ignores what a response says. Only anonymous requests are nobody's own.
fn ignore(group: &mut GroupConfig, what: Ignored) {
    if let Ok(all) = DroppedFields::try_from(vec!["*".to_owned()]) {
        group.request.drop = all;
    }
    group.freshness.ignore.insert(what);
}

type Make = Box<dyn Fn(&mut GroupConfig)>;

/// Shares what is for those who name themselves so: by the request, or by the request whose response was not stored.
fn shared(facts: &Facts<'_>) -> Option<Make> {
    let mut names = names(facts.head);
    names.extend(facts.last.decided.iter().filter_map(|line| Some(line.split_once(':')?.0.to_owned())));
    let has = |name: &str| names.iter().any(|own| own == name);
    let (authorization, cookie) = (has("authorization"), has("cookie"));
    (authorization || cookie).then_some(Box::new(move |group| {
        group.share.authorization |= authorization;
        group.share.cookie |= cookie;
    }))
}

/// Lists the last response's status.
fn listed(facts: &Facts<'_>) -> Option<Make> {
    let status = facts.last.status?.to_string().parse().ok()?;
    Some(Box::new(move |group| {
        let _ = group.freshness.status.insert(status, Span::secs(10));
    }))
}

/// Raises the limit to what the last response needs, if the store has room for it.
fn larger(facts: &Facts<'_>) -> Option<Make> {
    let length = facts.last.decided.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse::<u64>().ok());
    let room = facts.room;
    if length.is_some_and(|length| length > room) {
        return None;
    }
    Some(Box::new(move |group| {
        let least = length.unwrap_or_else(|| group.limits.object.0.saturating_mul(4));
        let size = least.checked_next_power_of_two().unwrap_or(least).min(room.max(least));
        group.limits.object = group.limits.object.max(Size(size));
    }))
}
