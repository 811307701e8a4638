//! The addresses of one origin's name: which are tried first, and how long one that failed rests.

use crate::{
    bounded_lru::bounded_lru,
    jitter::random,
    origin::{backoff::Backoff, failure::OriginError, health::LoggedOutage},
    telemetry::metrics::Metrics,
};
use lru::LruCache;
use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Addresses that are remembered: a name may stand for others each time.
const MAX_KNOWN: usize = 256;
/// Addresses that are tried for one connection. Those that fail rest, so that the next one tries others.
const MAX_TRIED: usize = 8;

/// The addresses of one origin's name.
pub(super) struct Addresses {
    origin: String,
    known: Mutex<KnownAddresses>,
    metrics: Arc<Metrics>,
}

impl Addresses {
    /// `origin`: its host and port.
    pub(super) fn new(origin: &str, metrics: Arc<Metrics>) -> Self {
        Self { origin: origin.to_owned(), known: Mutex::new(KnownAddresses::new(Instant::now(), random())), metrics }
    }

    /// Returns the addresses to try for a connection, in this order.
    pub(super) fn order(&self, resolved: Vec<SocketAddr>) -> Vec<SocketAddr> {
        if resolved.len() < 2 {
            return resolved;
        }
        let (order, forgotten) = self.known.lock().order(&resolved, Instant::now());
        forgotten.iter().for_each(|address| self.metrics.forget_address(&self.origin, *address));
        order
    }

    /// Records a connection.
    pub(super) fn record_success(&self, address: SocketAddr) {
        let over = self.known.lock().record_success(address, Instant::now());
        if let Some((lasted, failures)) = over {
            tracing::info!(origin = self.origin, %address, ?lasted, failures, "address of an origin answers again");
        }
    }

    /// Records that there was no connection.
    pub(super) fn record_failure(&self, address: SocketAddr, error: &OriginError) {
        let Some(is_news) = self.known.lock().record_failure(address, Instant::now(), random()) else { return };
        self.metrics.count_address_failure(&self.origin, address);
        if is_news {
            tracing::warn!(
                origin = self.origin,
                %address,
                reason = error.failure.label(),
                cause = error.cause,
                "address of an origin does not answer: it rests while there are others"
            );
        }
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        for (address, _) in self.known.get_mut().all.iter() {
            self.metrics.forget_address(&self.origin, *address);
        }
    }
}

/// What is known of each address.
struct KnownAddresses {
    all: LruCache<SocketAddr, KnownAddress>,
    since: Instant,
    seed: u64,
    turn: u64,
}

#[derive(Default)]
struct KnownAddress {
    /// The turn at which it was tried last.
    turn: u64,
    /// The order of those that were never tried: another one at each coordinator.
    tie: u64,
    backoff: Backoff,
    outage: LoggedOutage,
}

impl KnownAddresses {
    fn new(since: Instant, seed: u64) -> Self {
        Self { all: bounded_lru(MAX_KNOWN), since, seed, turn: 0 }
    }

    /// Returns these addresses in the order in which a connection tries them: in turn those that are well, then those
    /// that rest, the end of whose rest is nearest first. Returns those that are forgotten for them, too.
    fn order(&mut self, resolved: &[SocketAddr], now: Instant) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let now = self.ms(now);
        let resolved = resolved.get(..MAX_KNOWN).unwrap_or(resolved);
        let new: Vec<_> = resolved.iter().filter(|address| self.all.get(*address).is_none()).copied().collect();
        let mut forgotten = Vec::new();
        for address in new {
            // A linear congruential generator (Knuth's MMIX).
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let known = KnownAddress { tie: self.seed, ..KnownAddress::default() };
            forgotten.extend(self.all.push(address, known).map(|(other, _)| other).filter(|other| *other != address));
        }
        let mut order: Vec<_> = resolved
            .iter()
            .filter_map(|address| {
                let known = self.all.peek(address)?;
                Some((known.backoff.rests_until(now), known.turn, known.tie, *address))
            })
            .collect();
        order.sort_unstable();
        order.dedup();
        order.truncate(MAX_TRIED);
        if let Some(known) = order.first().and_then(|(.., first)| self.all.peek_mut(first)) {
            // Others that open a connection meanwhile try the next one.
            self.turn += 1;
            known.turn = self.turn;
            known.backoff.try_load(now);
        }
        (order.into_iter().map(|(.., address)| address).collect(), forgotten)
    }

    /// Returns how long its outage lasted and how many connections failed, where that is to be logged.
    fn record_success(&mut self, address: SocketAddr, now: Instant) -> Option<(Duration, u64)> {
        let known = self.all.peek_mut(&address)?;
        self.turn += 1;
        (known.turn, known.backoff) = (self.turn, Backoff::default());
        known.outage.record_response(now)
    }

    /// Returns whether to log it. `None`: the address is not known, as where a name has one only.
    fn record_failure(&mut self, address: SocketAddr, now: Instant, random: u64) -> Option<bool> {
        let ms = self.ms(now);
        let known = self.all.peek_mut(&address)?;
        known.backoff.record_failure(0, ms, random);
        Some(known.outage.record_failure(now))
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, u8::try_from(n / 256).unwrap(), u8::try_from(n % 256).unwrap()], 80))
    }

    /// Addresses with a clock in milliseconds.
    struct Name {
        known: KnownAddresses,
        addresses: Vec<SocketAddr>,
    }

    impl Name {
        fn of(count: usize) -> Self {
            Self { known: KnownAddresses::new(Instant::now(), 7), addresses: (0..count).map(address).collect() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.known.since + Duration::from_millis(ms)
        }

        fn order(&mut self, ms: u64) -> Vec<SocketAddr> {
            self.known.order(&self.addresses, self.at(ms)).0
        }

        fn fails(&mut self, address: SocketAddr, ms: u64) -> Option<bool> {
            // With this jitter the first rests are 500 and 900 ms.
            self.known.record_failure(address, self.at(ms), 100)
        }
    }

    #[test]
    fn addresses_that_are_well_take_turns() {
        let mut name = Name::of(3);
        let mut first: Vec<_> = (0..9).map(|_| name.order(0).first().copied().unwrap()).collect();
        let turns = first.split_off(3);
        assert_eq!(turns, [&first[..], &first[..]].concat(), "the same again and again");
        first.sort_unstable();
        assert_eq!(first, name.addresses, "each of them");
    }

    #[test]
    fn coordinators_begin_with_different_addresses() {
        let first = |seed| {
            let mut known = KnownAddresses::new(Instant::now(), seed);
            known.order(&Name::of(4).addresses, known.since).0.first().copied().unwrap()
        };
        let mut seen: Vec<_> = (0..40).map(|n| first(n << 58)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn an_address_that_failed_rests_longer_each_time_and_one_connection_tries_it() {
        let mut name = Name::of(3);
        let bad = address(1);
        assert_eq!(name.order(0).len(), 3);
        assert_eq!(name.fails(bad, 0), Some(true));
        for ms in 0..499 {
            assert_eq!(name.order(ms).last(), Some(&bad), "it is still tried where no other answers");
        }
        let tries = |name: &mut Name, ms: u64| (0..6).filter(|_| name.order(ms).first() == Some(&bad)).count();
        assert_eq!(tries(&mut name, 500), 1, "one connection, whoever else comes");
        assert_eq!(name.fails(bad, 510), Some(false), "one line for an outage");
        assert_eq!((tries(&mut name, 1409), tries(&mut name, 1410)), (0, 1));
        assert!(name.known.record_success(bad, name.at(1420)).is_some());
        assert_eq!(tries(&mut name, 1421), 2, "as often as the others");
    }

    #[test]
    fn where_all_rest_the_one_that_ends_first_is_tried_first() {
        let mut name = Name::of(3);
        name.order(0);
        for (n, ms) in [(2, 0), (0, 10), (1, 20)] {
            name.fails(address(n), ms);
        }
        assert_eq!(name.order(100), [address(2), address(0), address(1)]);
    }

    #[test]
    fn a_name_with_thousands_of_addresses_takes_bounded_memory_and_tries() {
        let mut name = Name::of(2000);
        assert_eq!(name.order(0).len(), MAX_TRIED);
        assert_eq!(name.known.all.len(), MAX_KNOWN);
        name.addresses.rotate_left(1000);
        let (order, forgotten) = name.known.order(&name.addresses, name.at(1));
        assert_eq!((order.len(), forgotten.len(), name.known.all.len()), (MAX_TRIED, MAX_KNOWN, MAX_KNOWN));
        assert!(order.iter().all(|tried| !forgotten.contains(tried)));
    }

    #[test]
    fn an_address_that_comes_twice_is_tried_once() {
        let mut name = Name::of(2);
        name.addresses.push(address(0));
        assert_eq!(name.order(0).len(), 2);
    }
}
