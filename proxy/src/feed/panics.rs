//! The panics of the host, of which coordinators are told once.

/// Numbers that only grow.
#[derive(Default)]
pub(crate) struct Panics {
    noted: u64,
    /// Those in the request in flight, and all before.
    sent: u64,
    /// Those that a coordinator knows of.
    told: u64,
}

impl Panics {
    /// Notes how many there were so far.
    pub(crate) fn note(&mut self, so_far: u64) {
        self.noted = so_far;
    }

    /// Returns those that no coordinator knows of yet, for a request that is sent now.
    pub(super) fn send(&mut self) -> u64 {
        self.sent = self.noted;
        self.sent.saturating_sub(self.told)
    }

    /// The request was answered.
    pub(super) fn confirm(&mut self) {
        self.told = self.sent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_until_a_coordinator_has_answered_and_once() {
        let mut panics = Panics::default();
        panics.note(2);
        assert_eq!(panics.send(), 2);
        panics.note(3);
        assert_eq!(panics.send(), 3, "no answer came");
        panics.note(4);
        panics.confirm();
        assert_eq!(panics.send(), 1);
        panics.confirm();
        assert_eq!(panics.send(), 0);
    }
}
