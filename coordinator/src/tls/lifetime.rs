//! The time in which a certificate is good.

use rustls::{
    crypto::ring::default_provider,
    pki_types::{CertificateDer, UnixTime},
};
use std::time::Duration;
use webpki::{EndEntityCert, Error, KeyUsage};

/// A certificate that has less than this left is due, also where it lives for years.
const DUE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The time in which a certificate is good, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    begins: u64,
    ends: u64,
}

impl Lifetime {
    /// Reads it. `None`: the certificate has none.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        // webpki has no accessor; what it says of a certificate before and after all times has both ends.
        let at = |seconds| {
            let algorithms = default_provider().signature_verification_algorithms.all;
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            certificate.verify_for_usage(algorithms, &[], &[], time, KeyUsage::server_auth(), None, None).err()
        };
        let ends = match at(u64::MAX)? {
            Error::CertExpired { not_after, .. } => not_after.as_secs(),
            _ => return None,
        };
        let begins = match at(0)? {
            Error::CertNotValidYet { not_before, .. } => not_before.as_secs(),
            // It began before 1970.
            _ => 0,
        };
        Some(Self { begins, ends })
    }

    /// Returns when it ends, seconds since 1970.
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// Returns the time that is left; `None`: it is over.
    pub fn left(&self, now: UnixTime) -> Option<Duration> {
        self.ends.checked_sub(now.as_secs()).map(Duration::from_secs)
    }

    /// Whether another certificate is needed soon: less than a fifth of its life is left, and less than a week.
    pub fn is_due(&self, now: UnixTime) -> bool {
        let fifth = Duration::from_secs(self.ends.saturating_sub(self.begins) / 5);
        self.left(now).is_none_or(|left| left < DUE.min(fifth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::Authority;

    #[test]
    fn a_certificate_is_due_in_its_last_fifth_and_in_its_last_week_only() {
        const DAY: u64 = 24 * 3600;
        let authority = Authority::new();
        for (life, due) in [(1, 5 * 3600), (10, 2 * DAY), (90, 7 * DAY), (3650, 7 * DAY)] {
            let pair = authority.issue_for(&["a"], 1000 * DAY, (1000 + life) * DAY);
            let lifetime = Lifetime::of(&pair.der()).unwrap();
            let ends = (1000 + life) * DAY;
            assert_eq!(lifetime.ends(), ends);
            let is_due = |left: u64| lifetime.is_due(UnixTime::since_unix_epoch(Duration::from_secs(ends - left)));
            assert_eq!((is_due(due), is_due(due - 1800)), (false, true), "{life} days");
            assert!(lifetime.is_due(UnixTime::since_unix_epoch(Duration::from_secs(ends + 1))));
        }
    }
}
