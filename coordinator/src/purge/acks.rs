//! Whom a purge was told, who has said that it is done, and who need not be waited for.

use std::collections::BTreeSet;

/// A purge on its way to the other coordinators.
#[derive(Debug)]
pub(super) struct Told {
    others: usize,
    left: BTreeSet<String>,
    /// For each that has it: who had asked there within a lease.
    asked: Vec<Vec<String>>,
}

impl Told {
    pub(super) fn new(names: impl Iterator<Item = String>) -> Self {
        let left: BTreeSet<String> = names.collect();
        Self { others: left.len(), left, asked: Vec::new() }
    }

    /// This one has it, and says who has asked there within a lease. One of an older version does not say.
    pub(super) fn has_it(&mut self, name: &str, asked: Option<Vec<String>>) {
        self.left.remove(name);
        self.asked.extend(asked);
    }

    /// This one has not, or it is not known.
    pub(super) fn ends(&mut self, name: &str) {
        self.left.remove(name);
    }

    /// Those of whom nothing was heard yet.
    pub(super) fn left(&self) -> &BTreeSet<String> {
        &self.left
    }

    /// Whether those who are left have ceased to answer from their stores, so that waiting for the end of their leases
    /// is waiting for nothing: they are silent, and have asked nobody who has the purge (`here`: this one) within a
    /// lease. Too few are left to have a lease from.
    pub(super) fn have_ceased(&self, silent: &BTreeSet<String>, here: &BTreeSet<String>) -> bool {
        let has_asked = |name: &String| here.contains(name) || self.asked.iter().flatten().any(|asked| asked == name);
        // A lease rests on half of the others, rounded up. Each of those left sees as many others as are told, with
        // this one in its own place.
        let unknowing = self.others.saturating_sub(1 + self.asked.len());
        unknowing < self.others.div_ceil(2) && self.left.iter().all(|name| silent.contains(name) && !has_asked(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn told(others: &[&str], asked: &[(&str, Option<&[&str]>)]) -> Told {
        let mut told = Told::new(names(others).into_iter());
        for (name, by) in asked {
            told.has_it(name, by.map(|by| names(by).into_iter().collect()));
        }
        told
    }

    #[test]
    fn who_is_silent_and_has_asked_nobody_is_not_waited_for() {
        let (frozen, nobody) = (names(&["c"]), names(&[]));
        let both = told(&["b", "c"], &[("b", Some(&[]))]);
        assert!(both.have_ceased(&frozen, &nobody));
        assert!(!both.have_ceased(&nobody, &nobody), "it may just be slow");
        assert!(!both.have_ceased(&frozen, &frozen), "it has asked here, just before it froze");
        assert!(!told(&["b", "c"], &[("b", Some(&["c"]))]).have_ceased(&frozen, &nobody), "it has asked the other");
        assert!(
            !told(&["b", "c"], &[]).have_ceased(&frozen, &nobody),
            "the other has not answered yet, and is not silent"
        );
        assert!(told(&["c"], &[]).have_ceased(&frozen, &nobody), "of two, there is nobody else to ask");
    }

    #[test]
    fn who_may_have_a_lease_from_others_that_were_not_reached_is_waited_for() {
        let (cut_off, nobody) = (names(&["c", "d", "e"]), names(&[]));
        let some = |n: usize| told(&["a", "b", "c", "d", "e"], &[("a", Some(&[][..])), ("b", Some(&[]))][..n]);
        let mut two = some(1);
        two.ends("b");
        assert!(!two.have_ceased(&cut_off, &nobody), "three others of five may do");
        assert!(some(2).have_ceased(&cut_off, &nobody), "two others of five do not");
        let old = told(&["a", "b", "c", "d", "e"], &[("a", Some(&[])), ("b", None)]);
        assert!(!old.have_ceased(&cut_off, &nobody), "one of an older version does not say who has asked");
    }
}
