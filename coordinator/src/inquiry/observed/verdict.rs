//! What the evidence of a group says: pure.
//!
//! A part of requests explains the differences if two requests differed in it whenever their responses differed, while
//! requests that had it alike (at least [`MIN_ALIKE`] times) got the same. What always differs, as a request's id, is
//! never alike, and so explains nothing; what differs at random would have to be lucky each time ([`MAX_CHANCE`]).

use super::amend;
use meshcache_admin::{DifferingPart, Grouped, Observed, Verdict};
use meshcache_protocol::{
    groups::GroupConfig,
    observe::{COORDINATOR, HOST, ROUTE},
};

/// Comparisons that are enough where none differs: with 95 % confidence less than 3 of 1,000 do (the rule of three).
const ENOUGH: u64 = 1000;
/// The time over which they have to come, seconds: what changes by the minute, or by a rollout, has then been met.
const ENOUGH_SECONDS: u64 = 3600;
/// Differences without which no reason is looked for.
const MIN_MISMATCHES: u64 = 5;
/// How often a part has to have been alike while the responses were the same.
const MIN_ALIKE: u64 = 10;
/// The chance of a part that has nothing to do with it, as a natural logarithm: 1 in 10,000, since there are up to 64.
const MAX_CHANCE: f64 = -9.2;
/// The most parts that are said to explain the differences together.
const MAX_TOGETHER: usize = 3;
/// Fields that clients send as they are, and that services seldom answer by: of equal explanations they come last.
const SELDOM: [&str; 12] = [
    "user-agent",
    "referer",
    "origin",
    "x-forwarded-for",
    "x-real-ip",
    "x-request-id",
    "traceparent",
    "tracestate",
    "if-none-match",
    "if-modified-since",
    "priority",
    "accept-encoding",
];

/// Returns what the evidence says.
pub(super) fn of(observed: &Observed, config: &GroupConfig) -> Verdict {
    let Observed { compared, told, mismatches, for_seconds, .. } = *observed;
    let mut all = Grouped(compared).to_string();
    if told > 0 {
        all.push_str(&format!(", of which {} told by proxies,", Grouped(told)));
    }
    let numbers = format!("{} of {all} in {}", Grouped(mismatches), time(for_seconds));
    let plain = |text: String| Verdict { safe: false, text, yaml: None };
    if compared == 0 {
        return plain("not yet: no two responses for one key have come".to_owned());
    }
    if mismatches == 0 {
        if compared >= ENOUGH && for_seconds >= ENOUGH_SECONDS {
            let yaml = Some("mode: \"on\"\n".to_owned());
            return Verdict { safe: true, text: format!("safe to switch on: {numbers}"), yaml };
        }
        let enough = format!("{} in {}", Grouped(ENOUGH), time(ENOUGH_SECONDS));
        return plain(format!("not yet: {all} compared in {}, none differs; {enough} are enough", time(for_seconds)));
    }
    if mismatches < MIN_MISMATCHES {
        return plain(format!("not: {numbers} differ, too few to say why"));
    }
    let parts = Rank::new(observed).explanation();
    if parts.is_empty() {
        return plain(format!(
            "not: {numbers} differ, and nothing of their requests explains it: the responses change by themselves"
        ));
    }
    if parts.contains(&COORDINATOR) {
        return plain(format!(
            "not: {numbers} differ, since coordinators load other responses than Envoy's route brings: it rewrites host or path"
        ));
    }
    let what: Vec<String> = parts.iter().map(|part| amend::words(part, config)).collect();
    Verdict {
        safe: false,
        text: format!("not: {} ({numbers} differ)", what.join(" and ")),
        yaml: amend::yaml(&parts, config),
    }
}

/// How well parts explain the differences.
pub(super) struct Rank<'a>(&'a Observed);

impl<'a> Rank<'a> {
    pub(super) fn new(observed: &'a Observed) -> Self {
        Self(observed)
    }

    fn part(&self, name: &str) -> Option<&'a DifferingPart> {
        self.0.parts.iter().find(|part| part.name == name)
    }

    /// Responses that were the same.
    fn matches(&self) -> u64 {
        self.0.compared.saturating_sub(self.0.mismatches)
    }

    /// The share of equal responses whose requests differed in this part, never quite 0 or 1.
    fn share_in_matches(&self, part: &DifferingPart) -> f64 {
        (part.in_matches.min(self.matches()) as f64 + 1.0) / (self.matches() as f64 + 2.0)
    }

    fn was_alike(&self, part: &DifferingPart) -> bool {
        self.matches().saturating_sub(part.in_matches) >= MIN_ALIKE
    }

    /// Whether the part differed in all mismatches, and not by chance. One of 100 may be of another cause: a rollout.
    fn explains_all(&self, part: &DifferingPart) -> bool {
        let missing = self.0.mismatches.saturating_sub(part.in_mismatches);
        self.was_alike(part)
            && missing.saturating_mul(100) <= self.0.mismatches
            && self.share_in_matches(part).ln() * (part.in_mismatches as f64) < MAX_CHANCE
    }

    /// Whether the part differed more often in mismatches than else, by more than chance.
    fn explains_some(&self, part: &DifferingPart) -> bool {
        let (in_mismatches, mismatches) = (part.in_mismatches as f64, self.0.mismatches as f64);
        let (share, matches) = (self.share_in_matches(part), self.matches() as f64);
        let deviation = (share * (1.0 - share) * (1.0 / mismatches.max(1.0) + 1.0 / matches.max(1.0))).sqrt();
        self.was_alike(part) && in_mismatches / mismatches.max(1.0) - share > 4.0 * deviation
    }

    /// Whether this part explains all differences.
    pub(super) fn explains(&self, name: &str) -> bool {
        self.part(name).is_some_and(|part| self.explains_all(part))
    }

    /// Whether this part may explain a difference: it does not always differ.
    pub(super) fn may_explain(&self, name: &str) -> bool {
        self.matches() < MIN_ALIKE || self.part(name).is_some_and(|part| self.was_alike(part))
    }

    /// Returns the order of parts, the likeliest first.
    pub(super) fn of(&self, name: &str) -> (u64, bool, usize, String) {
        let share = self.part(name).map_or(1.0, |part| self.share_in_matches(part));
        let (kind, bare) = name.split_once(' ').unwrap_or((name, ""));
        let kinds = [COORDINATOR, "header", "query", "cookie", HOST, ROUTE];
        let kind = kinds.iter().position(|known| *known == kind).unwrap_or(kinds.len());
        ((share * 100.0) as u64, SELDOM.contains(&bare), kind, name.to_owned())
    }

    /// Returns the parts that explain the differences: one that explains all, or few that do so together, each for some
    /// of the last ones. None: nothing does.
    fn explanation(&self) -> Vec<&'a str> {
        let best = |parts: Vec<&'a DifferingPart>| parts.into_iter().min_by_key(|part| self.of(&part.name));
        let all = self.0.parts.iter().filter(|part| self.explains_all(part)).collect();
        if let Some(one) = best(all) {
            return vec![&one.name];
        }
        let some: Vec<&'a DifferingPart> = self.0.parts.iter().filter(|part| self.explains_some(part)).collect();
        let mut open: Vec<&[String]> = self.0.last.iter().map(|difference| &*difference.candidates).collect();
        let mut chosen = Vec::new();
        while !open.is_empty() {
            let covers = |part: &DifferingPart| open.iter().filter(|names| names.contains(&part.name)).count();
            let most = some.iter().map(|part| covers(part)).max().unwrap_or_default();
            let best = best(some.iter().copied().filter(|part| covers(part) == most).collect());
            match best {
                Some(part) if most > 0 && chosen.len() < MAX_TOGETHER => {
                    open.retain(|names| !names.contains(&part.name));
                    chosen.push(&*part.name);
                }
                _ => return Vec::new(),
            }
        }
        chosen
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
