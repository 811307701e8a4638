//! Which requests somebody wants to see. Pure.

use crate::telemetry::request_end::{Asker, RequestEnd};
use meshcache_admin::Filter;
use meshcache_protocol::{Groups, Reason, reason::AnyReason};

/// The outcomes that a request may have, in the words of `meshcache_requests_total`.
const OUTCOMES: [&str; 7] = ["hit", "stale", "miss", "revalidated", "pass", "error", LOADING];
/// What proxies tell beside them.
pub(super) const TOLD: [&str; 3] = ["hot", "uncached", "failed"];
/// A question that will be asked again, or whose proxy loads itself.
const LOADING: &str = "loading";

/// What is wrong with a filter: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadFilter(pub(crate) String);

/// A filter, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    filter: Filter,
    status: Option<Statuses>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statuses {
    One(u16),
    Class(u16),
}

impl Wanted {
    /// Reads a filter. What can match nothing is refused: who looks would wait in vain.
    pub(super) fn read(filter: &Filter, groups: &Groups) -> Result<Self, BadFilter> {
        let Filter { group, outcome, reason, status, path } = filter;
        if let Some(group) = group.as_ref().filter(|group| groups.named(group).is_none()) {
            let names: Vec<&str> = groups.iter().map(|group| group.name()).collect();
            return Err(BadFilter(format!("group: no group `{}`; there are: {}", shown(group), names.join(", "))));
        }
        if let Some(outcome) = outcome.as_ref().filter(|word| !OUTCOMES.iter().chain(&TOLD).any(|known| word == known))
        {
            let (outcome, known) = (shown(outcome), [&OUTCOMES[..], &TOLD].concat().join(", "));
            return Err(BadFilter(format!("outcome: `{outcome}` is none of {known}")));
        }
        if let Some(reason) = reason.as_ref().filter(|word| Reason::of(word).is_none()) {
            return Err(BadFilter(format!("reason: no reason `{}`; docs/reasons.md has all", shown(reason))));
        }
        if let Some(path) = path.as_ref().filter(|path| !path.starts_with('/')) {
            return Err(BadFilter(format!("path: `{}` does not begin with a slash", shown(path))));
        }
        let status = status.as_ref().map(|text| {
            Statuses::read(text)
                .ok_or_else(|| BadFilter(format!("status: `{}` is no status: write 404, or 5xx", shown(text))))
        });
        Ok(Self { filter: filter.clone(), status: status.transpose()? })
    }

    /// Returns whether a request is wanted. A hop between coordinators is not: the request is told where it came in.
    pub(super) fn has(&self, end: &RequestEnd) -> bool {
        let (Some(asked), noted) = (&end.asked, &end.noted) else { return false };
        let Filter { group, outcome, reason, path, .. } = &self.filter;
        let is = |wanted: &Option<String>, word: Option<&str>| wanted.as_deref().is_none_or(|it| word == Some(it));
        // It comes back, and is told then; unless its proxy loads in the cache's place.
        let comes_back = noted.outcome == Some(LOADING) && noted.reason.is_none() && outcome.is_none();
        asked.by != Asker::Peer
            && !comes_back
            && is(group, noted.group.as_deref())
            && is(outcome, noted.outcome)
            && is(reason, noted.reason.as_ref().map(AnyReason::as_str))
            && path.as_deref().is_none_or(|path| asked.path.starts_with(path))
            && self.status.is_none_or(|status| end.status.is_some_and(|it| status.has(it.as_u16())))
    }

    /// Returns whether what proxies tell of a group and an outcome is wanted: they tell no more.
    pub(super) fn has_told(&self, told_group: &str, told_outcome: &str) -> bool {
        let Filter { group, outcome, reason, status, path } = &self.filter;
        group.as_deref().is_none_or(|group| group == told_group)
            && outcome.as_deref().is_none_or(|outcome| outcome == told_outcome)
            && (reason, status, path) == (&None, &None, &None)
    }

    /// Returns whether all requests of this group are wanted: for numbers that are not told apart further.
    pub(super) fn has_group(&self, name: &str) -> bool {
        self.filter.group.as_deref().is_none_or(|group| group == name)
    }
}

impl Statuses {
    fn read(text: &str) -> Option<Self> {
        if let Some(class) = text.strip_suffix("xx") {
            return class.parse().ok().filter(|class| (1..=5).contains(class)).map(Self::Class);
        }
        text.parse().ok().filter(|status| (100..=599).contains(status)).map(Self::One)
    }

    const fn has(self, status: u16) -> bool {
        match self {
            Self::One(one) => status == one,
            Self::Class(class) => status / 100 == class,
        }
    }
}

/// Returns a text that a client wrote so that a terminal or a page may show it: what is not printed is escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' | '"' | '\'' => shown.push(char),
            _ => shown.extend(char.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::telemetry::{noted::Noted, request_end::Asked};
    use http::{Method, StatusCode};
    use std::{sync::Arc, time::Duration};

    pub(crate) fn end(path: &str, outcome: &'static str, status: u16) -> RequestEnd {
        RequestEnd {
            noted: Noted { group: Some("g".into()), outcome: Some(outcome), ..Noted::default() },
            asked: Some(Arc::new(Asked {
                method: Method::GET,
                host: "h".into(),
                path: path.into(),
                by: Asker::Client,
            })),
            status: StatusCode::from_u16(status).ok(),
            bytes: 1,
            is_complete: true,
            to_head: None,
            took: Duration::from_millis(1),
            trace: None,
        }
    }

    pub(crate) fn read(filter: serde_json::Value) -> Result<Wanted, String> {
        let group = serde_json::json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}});
        let groups = serde_json::from_value(serde_json::json!({"version": 1, "groups": [group]})).unwrap();
        let groups = Groups::new(groups).unwrap();
        Wanted::read(&serde_json::from_value(filter).unwrap(), &groups).map_err(|bad| bad.to_string())
    }

    #[test]
    fn all_that_a_filter_says_has_to_fit() {
        let request = end("/a/b", "pass", 503);
        let reason = Noted { reason: Some(AnyReason::Own(Reason::Private)), ..request.noted.clone() };
        let request = RequestEnd { noted: reason, ..request };
        for (filter, fits) in [
            (serde_json::json!({}), true),
            (
                serde_json::json!({"group": "g", "outcome": "pass", "reason": "private", "status": "5xx", "path": "/a/"}),
                true,
            ),
            (serde_json::json!({"status": "503"}), true),
            (serde_json::json!({"status": "4xx"}), false),
            (serde_json::json!({"status": "500"}), false),
            (serde_json::json!({"outcome": "hit"}), false),
            (serde_json::json!({"reason": "no-store"}), false),
            (serde_json::json!({"path": "/b"}), false),
        ] {
            assert_eq!(read(filter.clone()).unwrap().has(&request), fits, "{filter}");
        }
    }

    #[test]
    fn a_hop_and_a_question_that_comes_back_are_not_told_a_second_time() {
        let wanted = read(serde_json::json!({})).unwrap();
        assert!(!wanted.has(&end("/a", "loading", 202)));
        let hop = end("/a", "hit", 200);
        let asked = Asked { method: Method::GET, host: "h".into(), path: "/a".into(), by: Asker::Peer };
        assert!(wanted.has(&hop) && !wanted.has(&RequestEnd { asked: Some(Arc::new(asked)), ..hop }));
    }

    #[test]
    fn what_can_match_nothing_is_refused_with_what_to_write() {
        for (filter, part) in [
            (serde_json::json!({"group": "x"}), "group: no group `x`; there are: g"),
            (serde_json::json!({"outcome": "hits"}), "outcome: `hits` is none of hit, stale, miss"),
            (serde_json::json!({"reason": "privat"}), "reason: no reason `privat`"),
            (serde_json::json!({"status": "6xx"}), "status: `6xx` is no status: write 404, or 5xx"),
            (serde_json::json!({"status": "4x"}), "status: `4x`"),
            (serde_json::json!({"path": "a"}), "path: `a` does not begin with a slash"),
        ] {
            assert!(read(filter.clone()).is_err_and(|bad| bad.starts_with(part)), "{filter}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_what_people_write_is_not() {
        assert_eq!(shown("/a\u{1b}[31m\u{202e}b\u{7f}\n"), "/a\\u{1b}[31m\\u{202e}b\\u{7f}\\n");
        assert_eq!(shown("/grüße/'a'\"\\"), "/grüße/'a'\"\\");
    }
}
