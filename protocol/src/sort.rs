//! Sorting in little code. The standard library's takes ten times as much for each type, and the size of a filter is
//! limited.

use std::cmp::Ordering;

/// Sorts by heap. Equal items may change places.
pub(crate) fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let less = |items: &[T], one: usize, other: usize| match (items.get(one), items.get(other)) {
        (Some(one), Some(other)) => compare(one, other) == Ordering::Less,
        _ => false,
    };
    let sift = |items: &mut [T], mut root: usize, end: usize| loop {
        let mut child = root.saturating_mul(2).saturating_add(1);
        if child >= end {
            return;
        }
        let next = child.saturating_add(1);
        if next < end && less(items, child, next) {
            child = next;
        }
        if !less(items, root, child) {
            return;
        }
        items.swap(root, child);
        root = child;
    };
    let length = items.len();
    for at in (0..length.saturating_add(length / 2)).rev() {
        // The upper turns make a heap, the lower ones take the largest item from it.
        match at.checked_sub(length) {
            Some(root) => sift(items, root, length),
            None => {
                items.swap(0, at);
                sift(items, 0, at);
            }
        }
    }
}

/// Sorts by their own order.
pub(crate) fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts a few by insertion. Equal items keep their places.
pub(crate) fn sort_few_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        for at in (1..=end).rev() {
            match items.get(at.saturating_sub(1)..=at) {
                Some([before, item]) if compare(before, item) == Ordering::Greater => {
                    items.swap(at.saturating_sub(1), at)
                }
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        for length in 0..200 {
            let mut items: Vec<(u8, usize)> =
                (0..length).map(|at| (Hash::of(&[at as u8, length as u8]).low() as u8 % 16, at)).collect();
            let mut sorted = items.clone();
            sorted.sort();
            let mut few = items.clone();
            sort_few_by(&mut few, |one, other| one.0.cmp(&other.0));
            sort(&mut items);
            assert_eq!((&items, &few), (&sorted, &sorted), "{length}");
        }
    }
}
