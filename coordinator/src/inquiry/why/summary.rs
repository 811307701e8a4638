//! An explanation in one line.

use crate::inquiry::why::recent;
use meshcache_admin::{AtCoordinator, StoredResponse, Why};

/// Returns the line.
pub(super) fn of(why: &Why) -> String {
    let first = match (&why.group, &why.request_reason) {
        (None, reason) => format!("{}: no group takes it", reason.as_deref().unwrap_or("no-group")),
        (Some(_), Some(reason)) => format!("never answered from the cache: {reason}"),
        (Some(_), None) => of_key(why),
    };
    let silent: Vec<_> = why.at.iter().filter(|at| at.unreached.is_some()).map(|at| at.name.as_str()).collect();
    if silent.is_empty() { first } else { format!("{first} (no answer: {})", silent.join(", ")) }
}

fn of_key(why: &Why) -> String {
    let stored = |fits: fn(&StoredResponse) -> bool| {
        why.at.iter().find_map(|at| at.stored.iter().find(|entry| fits(entry)).map(|entry| (at, entry)))
    };
    if let Some((at, entry)) = stored(|entry| entry.answers) {
        return answers(at, entry);
    }
    if let Some((at, waiting)) = why.at.iter().find_map(|at| at.loading.map(|waiting| (at, waiting))) {
        return format!("being loaded at {}: {waiting} wait", at.name);
    }
    let stored = stored(|_| true);
    if let Some((at, entry)) = stored.filter(|(_, entry)| entry.why_not.as_deref() == Some("purge-lag")) {
        return format!("stored at {} for {} s more, and not given now: purge-lag", at.name, entry.ttl.max(0));
    }
    match (stored, recent::reasons(why).first()) {
        (Some((at, entry)), _) => {
            format!("stored at {}, but not for this request: {}", at.name, entry.why_not.as_deref().unwrap_or_default())
        }
        (None, Some(last)) => {
            let when = ago(last.ago);
            match last.status {
                Some(status) => format!("not stored: {} (the response of {when} ago, {status})", last.reason),
                None => format!("not answered from the cache: {} ({when} ago)", last.reason),
            }
        }
        (None, None) => match recent::stored_ago(why) {
            Some(stored) => format!("not stored: what was stored {} ago is over", ago(stored)),
            None => "not stored, and no coordinator was asked for it lately".into(),
        },
    }
}

fn answers(at: &AtCoordinator, entry: &StoredResponse) -> String {
    let kept = if entry.kept_as == "hot" { "a hot copy, " } else { "" };
    if entry.ttl > 0 {
        format!("{kept}fresh at {} for {} s more, by {}", at.name, entry.ttl, entry.lifetime_by)
    } else {
        format!("{kept}stale at {} since {} s, and given while it is refreshed", at.name, entry.ttl.saturating_abs())
    }
}

fn ago(millis: u64) -> String {
    match millis / 1000 {
        0 => format!("{millis} ms"),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_admin::LastReason;

    fn line(at: &[AtCoordinator]) -> String {
        of(&Why { group: Some("g".into()), at: at.to_vec(), ..Why::default() })
    }

    #[test]
    fn the_line_says_first_what_a_request_would_get_now() {
        let at = AtCoordinator { name: "a".into(), ..AtCoordinator::default() };
        let last = LastReason { reason: "private".into(), ago: 3000, status: Some(200), ..LastReason::default() };
        let stored = |answers, ttl, why_not: Option<&str>| StoredResponse {
            answers,
            ttl,
            why_not: why_not.map(Into::into),
            lifetime_by: "max-age".into(),
            ..StoredResponse::default()
        };
        let with =
            |stored: StoredResponse| AtCoordinator { stored: vec![stored], last: vec![last.clone()], ..at.clone() };
        let passed = LastReason { status: None, reason: "overload".into(), ago: 5, ..LastReason::default() };
        for (at, expected) in [
            (with(stored(true, 12, None)), "fresh at a for 12 s more, by max-age"),
            (with(stored(true, -3, None)), "stale at a since 3 s, and given while it is refreshed"),
            (with(stored(false, 3, Some("purge-lag"))), "stored at a for 3 s more, and not given now: purge-lag"),
            (with(stored(false, 3, Some("vary: x"))), "stored at a, but not for this request: vary: x"),
            (AtCoordinator { loading: Some(7), ..at.clone() }, "being loaded at a: 7 wait"),
            (
                AtCoordinator { last: vec![last.clone()], ..at.clone() },
                "not stored: private (the response of 3 s ago, 200)",
            ),
            (AtCoordinator { last: vec![passed], ..at.clone() }, "not answered from the cache: overload (5 ms ago)"),
            (at.clone(), "not stored, and no coordinator was asked for it lately"),
            (
                AtCoordinator { last: vec![last.clone()], stored_ago: Some(2000), ..at.clone() },
                "not stored: what was stored 2 s ago is over",
            ),
            (
                AtCoordinator { unreached: Some("timeout".into()), ..at.clone() },
                "not stored, and no coordinator was asked for it lately (no answer: a)",
            ),
        ] {
            assert_eq!(line(&[at]), expected);
        }
        let method = Why { group: Some("g".into()), request_reason: Some("method".into()), ..Why::default() };
        assert_eq!(of(&method), "never answered from the cache: method");
        assert_eq!(of(&Why::default()), "no-group: no group takes it");
    }
}
