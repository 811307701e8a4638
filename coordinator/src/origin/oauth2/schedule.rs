//! When a token is used, when it is fetched, and when nobody asks: pure, with time (milliseconds) and randomness as
//! arguments.

use crate::origin::oauth2::{
    failure::TokenFailure,
    token::{AccessToken, Granted},
};
use std::{sync::Arc, time::Duration};

/// A token is used for at least this long, milliseconds: a server whose tokens expire at once is asked about once a
/// second, not for each request.
const LEAST_LIFE_MS: u64 = 1000;
/// The longest life that is believed, milliseconds: ten years.
const LONGEST_LIFE_MS: u64 = 10 * 366 * 86_400_000;
/// The backoff after a first failure, milliseconds. It doubles with each one, up to [`MAX_MS`].
const FIRST_MS: u64 = 1000;
const MAX_MS: u64 = 30_000;

/// What a request that needs a token does.
#[derive(Debug)]
pub(super) enum Demand {
    /// It uses this one. `refresh`: a fetch in the background is to begin.
    Use { token: Arc<AccessToken>, refresh: bool },
    /// It waits for the fetch under way. `begin`: that is to begin.
    Wait { begin: bool },
    /// It fails: the server is not asked again yet.
    Fail(TokenFailure),
}

/// What follows from a token that an origin rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// The request is repeated with the next token.
    Repeat,
    /// The origin's response counts: new tokens were rejected lately, too.
    Keep,
}

/// The state of one token.
#[derive(Default)]
pub(super) struct TokenState {
    held: Option<Held>,
    is_fetching: bool,
    failing: Option<Failing>,
    rejections: Rejections,
}

#[derive(Clone)]
struct Held {
    token: Arc<AccessToken>,
    refresh_at: u64,
    expires_at: u64,
    /// An origin rejected it, or the client's proof has changed. It is used while no other can be had.
    is_rejected: bool,
}

struct Failing {
    failure: TokenFailure,
    span: u64,
    until: u64,
}

/// How often rejections lead to a new token: an origin that rejects every token costs the server no fetch a request.
#[derive(Default)]
struct Rejections {
    span: u64,
    until: u64,
}

impl TokenState {
    /// Returns what a request does now. Where a fetch is to begin, it counts as begun.
    pub(super) fn demand(&mut self, now: u64) -> Demand {
        let backs_off = self.failing.as_ref().filter(|failing| now < failing.until).map(|failing| failing.failure);
        let held = self.held.as_ref().filter(|held| now < held.expires_at);
        match (held, backs_off) {
            (Some(held), _) if !held.is_rejected => {
                let refresh = now >= held.refresh_at && backs_off.is_none() && !self.is_fetching;
                self.is_fetching |= refresh;
                Demand::Use { token: held.token.clone(), refresh }
            }
            _ if self.is_fetching => Demand::Wait { begin: false },
            (Some(held), Some(_)) => Demand::Use { token: held.token.clone(), refresh: false },
            (None, Some(failure)) => Demand::Fail(failure),
            (_, None) => {
                self.is_fetching = true;
                Demand::Wait { begin: true }
            }
        }
    }

    /// Takes over the token of the same client with its proof before: it is used where its own cannot be had.
    pub(super) fn inherit(&mut self, before: &Self) {
        if self.held.is_none() {
            self.held = before.held.clone().map(|held| Held { is_rejected: true, ..held });
        }
    }

    /// Records a token. `asked`: when its request was sent. `otherwise`: its life, where the server does not say.
    /// Returns when it expires.
    pub(super) fn grant(&mut self, granted: Granted, otherwise: Duration, asked: u64, now: u64, random: u64) -> u64 {
        let life = granted.lifetime.unwrap_or(otherwise).as_millis();
        let life = u64::try_from(life).unwrap_or(u64::MAX).min(LONGEST_LIFE_MS);
        let left = asked.saturating_add(life).saturating_sub(now).max(LEAST_LIFE_MS);
        // From seven to nine tenths: coordinators do not all refresh at the same moment.
        let refresh = left / 10 * 7 + random % (left / 10 * 2 + 1);
        let expires_at = now.saturating_add(left);
        self.held = Some(Held {
            token: Arc::new(granted.token),
            refresh_at: now.saturating_add(refresh),
            expires_at,
            is_rejected: false,
        });
        (self.is_fetching, self.failing) = (false, None);
        expires_at
    }

    /// Records that a fetch failed.
    pub(super) fn fail(&mut self, failure: TokenFailure, now: u64, random: u64) {
        let span = self.failing.as_ref().map_or(FIRST_MS, |failing| failing.span.saturating_mul(2).min(MAX_MS));
        // From four to five fifths.
        let jittered = span / 5 * 4 + random % (span / 5 + 1);
        self.failing = Some(Failing { failure, span, until: now.saturating_add(jittered) });
        self.is_fetching = false;
    }

    /// Records that an origin rejected a token (401).
    pub(super) fn reject(&mut self, token: &Arc<AccessToken>, now: u64) -> Rejection {
        let Some(held) = self.held.as_mut().filter(|held| Arc::ptr_eq(&held.token, token)) else {
            return Rejection::Repeat;
        };
        if held.is_rejected {
            // It is the answer only where the fetch that followed has failed.
            let backs_off = self.failing.as_ref().is_some_and(|failing| now < failing.until);
            return if backs_off && !self.is_fetching { Rejection::Keep } else { Rejection::Repeat };
        }
        let Rejections { span, until } = self.rejections;
        if now < until {
            return Rejection::Keep;
        }
        held.is_rejected = true;
        let is_new = span == 0 || now >= until.saturating_add(span);
        let span = if is_new { FIRST_MS } else { span.saturating_mul(2).min(MAX_MS) };
        self.rejections = Rejections { span, until: now.saturating_add(span) };
        Rejection::Repeat
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::failure::Failure;

    const DOWN: TokenFailure = TokenFailure::NoResponse(Failure::Connect);
    const HOUR: u64 = 3_600_000;

    fn granted(name: &str, seconds: u64) -> Granted {
        Granted { token: AccessToken::new(name).unwrap(), lifetime: Some(Duration::from_secs(seconds)) }
    }

    /// Fetches the first token at time 0.
    fn with_token(name: &str, seconds: u64) -> TokenState {
        let mut state = TokenState::default();
        assert_eq!(seen(&mut state, 0), "begin");
        state.grant(granted(name, seconds), Duration::ZERO, 0, 0, 0);
        state
    }

    fn seen(state: &mut TokenState, now: u64) -> String {
        match state.demand(now) {
            Demand::Use { token, refresh } => {
                let name = token.authorization().to_str().unwrap().trim_start_matches("Bearer ").to_owned();
                if refresh { name + " and refresh" } else { name }
            }
            Demand::Wait { begin: true } => "begin".into(),
            Demand::Wait { begin: false } => "wait".into(),
            Demand::Fail(failure) => failure.label().into(),
        }
    }

    fn token(state: &mut TokenState, now: u64) -> Arc<AccessToken> {
        match state.demand(now) {
            Demand::Use { token, .. } => token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_herd_fetches_once_and_uses_one_token() {
        let mut state = TokenState::default();
        assert_eq!([seen(&mut state, 0), seen(&mut state, 1), seen(&mut state, 2)], ["begin", "wait", "wait"]);
        state.grant(granted("a", 3600), Duration::ZERO, 0, 5, 0);
        assert_eq!([seen(&mut state, 5), seen(&mut state, HOUR / 2)], ["a", "a"]);
    }

    #[test]
    fn a_token_is_refreshed_in_the_background_at_eight_tenths_of_its_life() {
        for (random, tenths) in [(0, 7), (u64::MAX, 9)] {
            let mut state = TokenState::default();
            state.demand(0);
            // u64::MAX falls somewhere in the range: search for the moment.
            state.grant(granted("a", 3600), Duration::ZERO, 0, 0, random);
            let at = (0..=3600).map(|second| second * 1000).find(|now| seen(&mut state, *now).ends_with("refresh"));
            let at = at.unwrap();
            assert!((HOUR / 10 * 7..=HOUR / 10 * 9).contains(&at), "{tenths}: {at}");
            assert_eq!(seen(&mut state, at + 1), "a", "one fetch, and nobody waits for it");
            state.grant(granted("b", 3600), Duration::ZERO, at, at + 50, 0);
            assert_eq!(seen(&mut state, at + 51), "b");
        }
    }

    #[test]
    fn a_life_counts_from_when_the_token_was_asked_for() {
        let mut state = TokenState::default();
        state.demand(0);
        state.grant(granted("a", 60), Duration::ZERO, 0, 9_000, 0);
        assert_eq!(seen(&mut state, 59_999), "a and refresh");
        state.fail(DOWN, 59_999, 0);
        assert_eq!(seen(&mut state, 60_000), "connect");
    }

    #[test]
    fn a_token_that_expires_at_once_is_fetched_once_a_second() {
        for seconds in [0, 1] {
            let (mut state, mut fetches, mut waits) = (TokenState::default(), 0, 0);
            for now in (0..10_000).step_by(10) {
                match state.demand(now) {
                    Demand::Use { refresh: false, .. } => continue,
                    Demand::Use { .. } => {}
                    Demand::Wait { .. } => waits += 1,
                    Demand::Fail(failure) => panic!("{failure:?}"),
                }
                fetches += 1;
                state.grant(granted("a", seconds), Duration::ZERO, now, now, 100);
            }
            assert!((10..=15).contains(&fetches), "{fetches} for 1000 requests in 10 s");
            assert_eq!(waits, 1, "the first");
        }
    }

    #[test]
    fn a_life_without_end_is_one_of_years() {
        let mut state = with_token("a", u64::MAX);
        assert_eq!(seen(&mut state, 5 * 366 * 24 * HOUR), "a");
    }

    #[test]
    fn without_expires_in_the_configured_life_counts() {
        let mut state = TokenState::default();
        state.demand(0);
        let token = AccessToken::new("a").unwrap();
        let expires = state.grant(Granted { token, lifetime: None }, Duration::from_secs(60), 0, 0, 0);
        assert_eq!(expires, 60_000);
    }

    #[test]
    fn a_token_is_kept_while_its_refresh_fails_and_tried_again_ever_more_seldom() {
        let mut state = with_token("a", 3600);
        let mut tries = Vec::new();
        for now in (HOUR / 10 * 7..HOUR).step_by(100) {
            let seen = seen(&mut state, now);
            assert!(seen.starts_with('a'), "{seen}");
            if seen.ends_with("refresh") {
                tries.push(now);
                state.fail(DOWN, now, 1_000_000);
            }
        }
        let spans: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(spans.is_sorted_by(|a, b| a <= b || *b >= 24_000), "{spans:?}");
        assert!(spans[0] <= 1000 && spans.iter().all(|span| *span <= 30_000) && tries.len() < 60, "{spans:?}");
        assert_eq!(seen(&mut state, HOUR).as_str(), "connect", "it has expired");
    }

    #[test]
    fn while_the_server_fails_requests_fail_at_once_and_one_asks_at_the_end_of_the_backoff() {
        let mut state = TokenState::default();
        assert_eq!(seen(&mut state, 0), "begin");
        state.fail(TokenFailure::Denied, 10, 0);
        assert_eq!([seen(&mut state, 10), seen(&mut state, 800)], ["denied", "denied"]);
        assert_eq!([seen(&mut state, 810), seen(&mut state, 811)], ["begin", "wait"]);
        state.fail(TokenFailure::Status, 820, 0);
        assert_eq!([seen(&mut state, 820 + 1599), seen(&mut state, 820 + 1600)], ["status", "begin"]);
        state.grant(granted("a", 10), Duration::ZERO, 3000, 3000, 0);
        state.fail(DOWN, 3000, 0);
        assert_eq!([seen(&mut state, 13_000), seen(&mut state, 14_000)], ["begin", "wait"], "the backoff began anew");
    }

    #[test]
    fn a_rejected_token_is_replaced_once_for_all_who_used_it() {
        let mut state = with_token("a", 3600);
        let (one, two) = (token(&mut state, 100), token(&mut state, 100));
        assert_eq!(state.reject(&one, 200), Rejection::Repeat);
        assert_eq!(seen(&mut state, 200), "begin");
        assert_eq!((state.reject(&two, 201), seen(&mut state, 201).as_str()), (Rejection::Repeat, "wait"));
        state.grant(granted("b", 3600), Duration::ZERO, 200, 210, 0);
        assert_eq!((state.reject(&two, 220), seen(&mut state, 220).as_str()), (Rejection::Repeat, "b"), "it came late");
    }

    #[test]
    fn a_rejection_that_repeats_nothing_does_not_end_the_repeats_of_others() {
        let mut state = with_token("a", 3600);
        let rejected = token(&mut state, 100);
        assert_eq!(state.reject(&rejected, 200), Rejection::Repeat);
        // The body of the first is gone, so that it asks for no token.
        assert_eq!((state.reject(&rejected, 201), seen(&mut state, 201).as_str()), (Rejection::Repeat, "begin"));
    }

    #[test]
    fn an_origin_that_rejects_every_token_costs_few_of_them() {
        let (mut state, mut fetches) = (with_token("a", 3600), 0);
        for now in (0..300_000).step_by(10) {
            let rejected = token(&mut state, now);
            if state.reject(&rejected, now) == Rejection::Repeat {
                assert_eq!(seen(&mut state, now), "begin");
                state.grant(granted("a", 3600), Duration::ZERO, now, now, 0);
                fetches += 1;
            }
        }
        assert!((10..=16).contains(&fetches), "{fetches} for 30,000 requests in 5 minutes");
        let later = token(&mut state, 600_000);
        assert_eq!(state.reject(&later, 600_000), Rejection::Repeat);
        state.demand(600_000);
        state.grant(granted("b", 3600), Duration::ZERO, 600_000, 600_000, 0);
        let later = token(&mut state, 601_100);
        assert_eq!(state.reject(&later, 601_100), Rejection::Repeat, "that was long ago");
    }

    #[test]
    fn where_a_changed_proof_brings_no_token_the_one_before_is_used_until_it_expires() {
        let before = with_token("a", 3600);
        let mut state = TokenState::default();
        state.inherit(&before);
        assert_eq!([seen(&mut state, 10), seen(&mut state, 11)], ["begin", "wait"], "its own comes first");
        state.fail(TokenFailure::Denied, 20, 0);
        assert_eq!([seen(&mut state, 30), seen(&mut state, HOUR)], ["a", "begin"]);
    }

    #[test]
    fn a_rejected_token_is_used_where_no_other_can_be_had() {
        let mut state = with_token("a", 3600);
        let rejected = token(&mut state, 100);
        assert_eq!((state.reject(&rejected, 100), seen(&mut state, 100).as_str()), (Rejection::Repeat, "begin"));
        state.fail(DOWN, 110, 0);
        assert_eq!(seen(&mut state, 120), "a", "other paths may be open to it");
        assert_eq!(state.reject(&rejected, 130), Rejection::Keep);
        assert_eq!(seen(&mut state, 110 + 800), "begin");
    }
}
