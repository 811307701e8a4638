//! What is wrong at addresses where members may be: said once, and once that it no longer is.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The most addresses whose trouble is remembered.
const MAX_TROUBLES: usize = 4096;
/// The trouble at an address that is no seed is over when it has not shown for so long, milliseconds.
const EXPIRY: u64 = 30_000;

/// Why whoever listens at an address is not asked to be a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeedTrouble {
    /// It refuses this coordinator's token.
    TokenRefused,
    /// It answers without a word of members: a coordinator that has another kind of discovery, or an older version.
    NoMember,
}

impl SeedTrouble {
    const fn line(self) -> &'static str {
        match self {
            Self::TokenRefused => "refuses this coordinator's token: --peer-token-file of both need one in common",
            Self::NoMember => "is no coordinator that gossips: it needs --discovery gossip, dns or gce as well",
        }
    }
}

/// The troubles, and when each last showed.
#[derive(Debug, Default)]
pub(crate) struct SeedTroubles(Mutex<BTreeMap<String, (SeedTrouble, u64)>>);

impl SeedTroubles {
    /// Hears what is wrong with an address, or that nothing is. Returns whether that is news.
    pub(crate) fn note(&self, at: &str, trouble: Option<SeedTrouble>, now: u64) -> bool {
        let mut troubles = self.0.lock();
        let Some(trouble) = trouble else {
            let is_over = troubles.remove(at).is_some();
            if is_over {
                tracing::info!("{at} is a member now, or nobody listens there");
            }
            return is_over;
        };
        if troubles.len() >= MAX_TROUBLES && !troubles.contains_key(at) {
            return false;
        }
        let before = troubles.insert(at.to_owned(), (trouble, now));
        let is_new = before.is_none_or(|(before, _)| before != trouble);
        if is_new {
            tracing::warn!("{at} {}", trouble.line());
        }
        is_new
    }

    /// Forgets the troubles at all but the seeds, unless they have shown lately: one that asks here is asked in turn.
    pub(crate) fn retain(&self, seeds: &[String], now: u64) {
        self.0.lock().retain(|at, (_, shown)| seeds.contains(at) || now < shown.saturating_add(EXPIRY));
    }

    /// Whether one of them refuses the token.
    pub(crate) fn is_refused(&self) -> bool {
        self.0.lock().values().any(|(trouble, _)| *trouble == SeedTrouble::TokenRefused)
    }

    /// The first of them, in words.
    pub(crate) fn first(&self) -> Option<String> {
        self.0.lock().first_key_value().map(|(at, (trouble, _))| format!("{at} {}", trouble.line()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_news_once_also_with_one_that_asks_and_is_no_seed() {
        let (troubles, seeds) = (SeedTroubles::default(), ["10.0.0.1:1".to_owned()]);
        for at in ["10.0.0.1:1", "10.0.0.9:1"] {
            assert!(troubles.note(at, Some(SeedTrouble::TokenRefused), 0));
            // The seeds are looked up again every 5 s.
            for now in (5000..60_000).step_by(5000) {
                troubles.retain(&seeds, now);
                assert!(!troubles.note(at, Some(SeedTrouble::TokenRefused), now), "{at} at {now}");
            }
        }
        assert!(troubles.note("10.0.0.1:1", Some(SeedTrouble::NoMember), 60_000), "another trouble");
        assert!(troubles.note("10.0.0.1:1", None, 60_000) && !troubles.note("10.0.0.1:1", None, 60_000));
        assert!(troubles.is_refused() && troubles.first().is_some_and(|first| first.starts_with("10.0.0.9:1 refuses")));
        troubles.retain(&seeds, 90_000);
        assert!(!troubles.is_refused() && troubles.first().is_none(), "it asks no more");
    }
}
