//! The last purges that began here.

use crate::purge::messages::PurgeReport;
use meshcache_protocol::purge::Scope;
use parking_lot::Mutex;
use std::{collections::VecDeque, time::Instant};

/// How many are kept.
const MOST: usize = 20;
/// The longest description, characters.
const MAX_TEXT: usize = 200;
/// The most coordinators that are named as unreached.
const MAX_UNREACHED: usize = 100;

/// The last purges that began here, the newest first.
#[derive(Default)]
pub(crate) struct RecentPurges(Mutex<VecDeque<RecentPurge>>);

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct RecentPurge {
    pub(crate) report: PurgeReport,
    /// What it named.
    pub(crate) what: String,
    pub(crate) soft: bool,
    pub(crate) at: Instant,
}

impl RecentPurges {
    pub(super) fn add(&self, what: String, soft: bool, report: &PurgeReport) {
        let mut report = report.clone();
        report.unreached.truncate(MAX_UNREACHED);
        let mut recent = self.0.lock();
        recent.truncate(MOST - 1);
        recent.push_front(RecentPurge { report, what, soft, at: Instant::now() });
    }

    pub(crate) fn all(&self) -> Vec<RecentPurge> {
        self.0.lock().iter().cloned().collect()
    }
}

/// Describes what a purge names in few words: `group g, prefixes /a/`.
pub(super) fn describe(scope: &Scope) -> String {
    let hosts: Vec<String> = scope.hosts.iter().map(ToString::to_string).collect();
    let lists = [
        ("urls", &scope.urls),
        ("hosts", &hosts),
        ("paths", &scope.paths),
        ("prefixes", &scope.prefixes),
        ("regex", &scope.regex),
        ("tags", &scope.tags),
    ];
    let group = scope.group.iter().map(|group| format!("group {group}"));
    let lists = lists.iter().filter(|(_, words)| !words.is_empty());
    // Of a thousand only so many are shown.
    let lists = lists
        .map(|(name, words)| format!("{name} {}", words.iter().take(MAX_TEXT).cloned().collect::<Vec<_>>().join(" ")));
    let text = scope.all.then(|| "all".to_owned()).into_iter().chain(group).chain(lists).collect::<Vec<_>>().join(", ");
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_described_in_few_words() {
        let of = |json| describe(&serde_json::from_value(json).unwrap());
        assert_eq!(of(serde_json::json!({"all": true})), "all");
        let scope = serde_json::json!({"group": "g", "prefixes": ["/a/", "/b/"], "tags": ["t"]});
        assert_eq!(of(scope), "group g, prefixes /a/ /b/, tags t");
        let long = of(serde_json::json!({"urls": vec!["http://h/é"; 1000]}));
        assert!(long.starts_with("urls http://h/é http://h/é") && long.ends_with('…'), "{long}");
        assert_eq!(long.chars().count(), MAX_TEXT + 1);
    }

    #[test]
    fn the_last_twenty_are_kept_the_newest_first() {
        let recent = RecentPurges::default();
        for n in 0..30 {
            recent.add(n.to_string(), false, &PurgeReport::default());
        }
        let kept: Vec<String> = recent.all().into_iter().map(|purge| purge.what).collect();
        assert_eq!(kept, (10..30).rev().map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
