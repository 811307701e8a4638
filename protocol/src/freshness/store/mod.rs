//! Whether a response may be stored, and with which freshness (RFC 9111 sections 3 and 4.2).

use super::{
    age,
    age::Times,
    directive::Delta,
    invalidate::answers_get,
    lifetime::{LifetimeRule, Subject, understood},
    range::ContentRange,
    request_directives::RequestDirectives,
    sharing,
    stored::Stored,
    targeted, validator,
    vary::Vary,
};
use crate::{
    groups::{Errors, Group},
    reason::Reason,
    request::{Flags, Request, Response},
};

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// The method is neither GET nor a POST whose response is that of a GET.
    Method,
    /// The request has no-store (with `requestDirectives: obey`).
    RequestNoStore,
    /// The response has no-store.
    NoStore,
    /// The response has private.
    Private,
    /// The request names its user, and the response does not permit to share it.
    Identity,
    /// The response sets a cookie.
    SetCookie,
    /// The status may not be stored, or is an error that the group does not list.
    Status,
    /// The response has `Vary: *`.
    VaryEverything,
    /// The response has no freshness and no validator, and could never be reused.
    NoFreshness,
    /// The body is larger than the group's limit.
    TooLarge,
    /// The response is incomplete, or of a kind that is never stored (event streams, a 206 that was not requested or
    /// has several parts).
    Incomplete,
}

impl NotStored {
    /// Returns the reason for Cache-Status, metrics and logs.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Method => Reason::Method,
            Self::RequestNoStore => Reason::RequestNoStore,
            Self::NoStore => Reason::NoStore,
            Self::Private => Reason::Private,
            Self::Identity => Reason::Identity,
            Self::SetCookie => Reason::SetCookie,
            Self::Status => Reason::Status,
            Self::VaryEverything => Reason::Vary,
            Self::NoFreshness => Reason::NoFreshness,
            Self::TooLarge => Reason::TooLarge,
            Self::Incomplete => Reason::Incomplete,
        }
    }

    /// Returns how long the key is remembered as hit-for-pass, milliseconds. Short for errors, which may soon be over.
    pub const fn remember(self) -> u64 {
        match self {
            Self::Status | Self::Incomplete => 1000,
            _ => 10_000,
        }
    }
}

/// Decides whether a response to a GET is stored, or one to a POST that is also that of a GET (RFC 9110 section 9.3.3).
/// `verified`: a proxy verified a token of the request. `random`: for `jitter`.
///
/// After a 304 (or the HEAD of the same representation) it is called again with the result of [`super::freshened`].
pub fn store(
    group: &Group,
    request: &Request<'_>,
    verified: bool,
    response: &Response<'_>,
    times: Times,
    random: u64,
) -> Result<Stored, NotStored> {
    let (control, targeted) = targeted::control(group, response);
    let named = sharing::names_user(group, request, verified);
    let age = age::initial(response, times);
    let subject = Subject { group, response, control: &control, targeted, times, age, named };
    admit(&subject, request)?;

    let fresh = &group.config().freshness;
    let lifetime = subject.lifetime(random).ok_or(NotStored::NoFreshness)?;
    let is_forced = lifetime.why == LifetimeRule::Force || subject.listed().millis().is_some();
    let always_validate = control.no_cache && !is_forced;
    // A part is given only while it is fresh: its validators may be those of the whole.
    let is_part = response.status == 206;
    let must_revalidate = control.forbids_stale() || is_part;
    let by_rfc = fresh.errors.by_rfc();
    let stale_ok = !must_revalidate && !always_validate;
    // A group's windows do not apply to failures.
    let own = |span: u64| if response.status < 500 { span } else { 0 };
    let window = |said: Delta, group: u64| if stale_ok { said.value().unwrap_or(own(group)) } else { 0 };
    let stored = Stored {
        status: response.status,
        lifetime: lifetime.millis,
        initial_age: age,
        while_revalidate: window(control.while_revalidate, fresh.stale_while_revalidate.as_millis()),
        if_error: window(control.if_error, fresh.stale_if_error.as_millis()),
        always_validate,
        must_revalidate,
        for_everybody: control.permits,
        validator: !is_part && validator::any(response, times.arrived()),
        immutable: control.immutable,
        disconnected: by_rfc && stale_ok && control.if_error == Delta::Absent && response.status < 500,
        why: lifetime.why,
    };
    let useful = (stored.is_fresh(0) && !stored.always_validate)
        || stored.validator
        || stored.while_revalidate > 0
        || stored.if_error > 0;
    if useful { Ok(stored) } else { Err(NotStored::NoFreshness) }
}

/// Checks all that forbids to store a response, whatever its freshness.
fn admit(subject: &Subject<'_>, request: &Request<'_>) -> Result<(), NotStored> {
    let Subject { group, response, control, .. } = *subject;
    let errors = group.config().freshness.errors;
    let no = |is: bool, why| if is { Err(why) } else { Ok(()) };
    // The content of a POST is the client's own: it is not anonymous.
    let may_be_post = || !group.is_anonymous() && subject.explicit().is_some();
    let answers_get = request.is_get() || (may_be_post() && answers_get(request, response));
    no(!answers_get, NotStored::Method)?;
    no(RequestDirectives::of(group, request).no_store, NotStored::RequestNoStore)?;
    no((response.status == 206 && !is_part(request, response)) || is_event_stream(response), NotStored::Incomplete)?;
    no(!(200..600).contains(&response.status) || response.status == 304, NotStored::Status)?;
    no(control.must_understand && !understood(response.status), NotStored::Status)?;
    no(control.no_store && !control.lifts_no_store, NotStored::NoStore)?;
    no(control.private, NotStored::Private)?;
    no(Vary::in_group(group, response) == Vary::Everything, NotStored::VaryEverything)?;
    no(subject.named && !control.permits, NotStored::Identity)?;
    no(sets_cookie(subject, errors), NotStored::SetCookie)?;
    no(answers_conditions(request, response), NotStored::Status)?;
    no(!subject.admits_status(), NotStored::Status)?;
    no(is_larger(response, group.config().limits.object.0), NotStored::TooLarge)
}

/// Whether a response may depend on the request's conditions, range or expectation, and not on its target alone: every
/// one except the whole (200) and a part that names its range (206).
fn answers_conditions(request: &Request<'_>, response: &Response<'_>) -> bool {
    request.flags.any(Flags::CONDITIONAL.with(Flags::RANGE).with(Flags::EXPECT))
        && !matches!(response.status, 200 | 206)
}

/// Whether Set-Cookie keeps a response out of the store: always, unless the group stores such responses without it, or
/// the origin does so (`private="set-cookie"`). RFC 9111 (section 7.3) permits to store it: to the letter where the
/// origin gives a freshness, else only where the response has public.
fn sets_cookie(subject: &Subject<'_>, errors: Errors) -> bool {
    let Subject { group, response, control, .. } = *subject;
    let sets = |name: &str| response.value(name).is_some() && !control.excludes(name.as_bytes());
    let said = control.public || (errors.to_the_letter() && subject.explicit().is_some());
    (sets("set-cookie") || sets("set-cookie2")) && !group.strips_set_cookie() && !(errors.by_rfc() && said)
}

/// Whether a 206 is the single range that its request is for (RFC 9111 section 3.3).
fn is_part(request: &Request<'_>, response: &Response<'_>) -> bool {
    request.is_get() && request.flags.any(Flags::RANGE) && ContentRange::of(response).is_some()
}

fn is_event_stream(response: &Response<'_>) -> bool {
    response.values("content-type").any(|value| {
        value
            .split(|b| *b == b';')
            .next()
            .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
    })
}

fn is_larger(response: &Response<'_>, limit: u64) -> bool {
    response
        .value("content-length")
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok())
        .is_some_and(|length| length > limit)
}

#[cfg(test)]
mod tests;
