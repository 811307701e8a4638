//! Which requests are recorded (OTEL_TRACES_SAMPLER).

/// Decides for each request whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampler {
    /// What the client's trace says counts, where it says anything.
    pub(crate) follows_parent: bool,
    /// Decides otherwise.
    pub(crate) root: Root,
}

/// A decision that no parent made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Root {
    /// All are recorded.
    On,
    /// None is.
    Off,
    /// This share of the traces, 0 to 1: the same traces at all who are given the same share.
    Ratio(f64),
}

impl Sampler {
    /// Whether a request is recorded. `parent`: what its client decided, if it did.
    pub(crate) fn samples(self, parent: Option<bool>, trace: u128) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent,
            _ => self.root.samples(trace),
        }
    }
}

impl Root {
    fn samples(self, trace: u128) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Ratio(ratio) if ratio >= 1.0 => true,
            // 63 bits of the low half, as the SDKs of OpenTelemetry compare them.
            Self::Ratio(ratio) => ((trace as u64) >> 1) < (ratio.max(0.0) * (1u64 << 63) as f64) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_decides_unless_the_sampler_is_one_that_decides_itself() {
        let follows = |root| Sampler { follows_parent: true, root };
        let itself = |root| Sampler { follows_parent: false, root };
        assert!(follows(Root::Off).samples(Some(true), 1) && !follows(Root::On).samples(Some(false), 1));
        assert!(follows(Root::On).samples(None, 1) && !follows(Root::Off).samples(None, 1));
        assert!(!itself(Root::Off).samples(Some(true), 1) && itself(Root::On).samples(Some(false), 1));
    }

    #[test]
    fn a_ratio_records_its_share_of_traces_whoever_decides() {
        let share = |ratio| {
            let ids = (0..10_000u64).map(|n| u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            ids.filter(|id| Root::Ratio(ratio).samples(*id)).count()
        };
        assert_eq!((share(0.0), share(1.0), share(-1.0), share(7.0)), (0, 10_000, 0, 10_000));
        assert!((900..1100).contains(&share(0.1)), "{}", share(0.1));
    }
}
