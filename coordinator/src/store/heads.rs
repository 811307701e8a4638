//! Packs entries of one group for the store: what their heads have in common is kept once.

use crate::store::{
    alloc_size::size_class,
    apart::Apart,
    block::{self, BlockHead, Buffer, KeyTail},
    entry::Entry,
    exact_bytes::{exact, exact_size},
    head::{ARC, Charge, Head, Lines},
};
use meshcache_protocol::{Key, freshness::Stored};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::{Arc, atomic::AtomicI64};

/// The heads, and the lists of names, that a group's next entries are compared with.
const MAX_HELD: usize = 48;
/// The bytes of these lists: they are in no entry that could be evicted.
const MAX_HELD_BYTES: u64 = 65_536;
/// The entries after which values that have changed since are shared anew: so many carry what is kept once.
const ENOUGH: u32 = 64;
/// The first entries, which show what values are seldom the same.
const TRIAL: u32 = 16;
/// The longest body that may stand in its entry's block.
const MAX_JOINED: usize = 8192;

/// The heads of a group's last entries.
#[derive(Debug, Default)]
pub(super) struct Heads {
    lines: Vec<HeldLines>,
    heads: Vec<Arc<Head>>,
}

#[derive(Debug)]
struct HeldLines {
    lines: Arc<Lines>,
    uses: u32,
    /// The first 64 lines that had other values during the trial.
    unsteady: u64,
}

/// Returns an entry in as little memory as it can be, for a store that counts `used` bytes.
pub(super) fn pack(heads: &Mutex<Heads>, entry: &Entry, key: &Key, used: &Arc<AtomicI64>) -> Entry {
    let (first, tail) = KeyTail::split(key.bytes());
    let (head, mask, values) = heads.lock().share(entry, first, used);
    let age = entry.stored.initial_age.saturating_add(entry.age_beside());
    let mut block = BlockHead { age, tail, mask: &mask, values: &values }.write();
    let body = entry.body_bytes();
    let apart = exact_size(block.len()) + Apart::packed_size(body.len());
    let is_joined = body.len() <= MAX_JOINED && exact_size(block.len().saturating_add(body.len())) <= apart;
    if is_joined {
        block.extend_from_slice(body);
    }
    let apart = (!is_joined).then(|| entry.packed_body());
    Entry::packed(head, exact(&block), apart, entry.arrived, entry.position.clone())
}

impl Heads {
    /// Returns the head that an entry shares, which of its lines have other values, and these.
    fn share(&mut self, entry: &Entry, key: &[u8], used: &Arc<AtomicI64>) -> (Arc<Head>, SmallVec<[u8; 8]>, Buffer) {
        let (lines, mask, values) = self.lines(entry, used);
        (self.head(entry, lines, key, used), mask, values)
    }

    /// Returns the lines that an entry shares, and what values it has for itself.
    fn lines(&mut self, entry: &Entry, used: &Arc<AtomicI64>) -> (Arc<Lines>, SmallVec<[u8; 8]>, Buffer) {
        let own = &entry.lines;
        if let Some(held) = find(&mut self.lines, |held| held.lines.has_names_of(own)) {
            let (mut mask, mut values, mut other) =
                (SmallVec::from_elem(0_u8, own.all.len().div_ceil(8)), Buffer::new(), 0_u64);
            for (at, ((_, value), (_, shared))) in entry.all_lines().zip(&held.lines.all).enumerate() {
                if value != shared.as_bytes() {
                    block::write_value(&mut values, value);
                    other |= 1_u64.checked_shl(at as u32).unwrap_or(0);
                    if let Some(bits) = mask.get_mut(at / 8) {
                        *bits |= 1 << (at % 8);
                    }
                }
            }
            held.uses = held.uses.saturating_add(1);
            if held.uses <= TRIAL {
                held.unsteady |= other;
            }
            if held.uses <= ENOUGH || other & !held.unsteady == 0 {
                return (held.lines.clone(), mask, values);
            }
        }
        let all = entry.all_lines().map(|(name, value)| (name.clone(), value)).collect();
        let mut lines = Lines::new(all, own.fields);
        lines.charge = Some(Charge::new(used, lines.bytes()));
        let lines = Arc::new(lines);
        self.lines.retain(|held| !held.lines.has_names_of(own));
        hold(&mut self.lines, HeldLines { lines: lines.clone(), uses: 0, unsteady: 0 });
        let mut bytes = 0;
        self.lines.retain(|held| {
            bytes += held.lines.charge.as_ref().map_or(0, Charge::bytes);
            bytes <= MAX_HELD_BYTES
        });
        // No entry will be like a head whose lines are gone.
        self.heads.retain(|head| self.lines.iter().any(|held| Arc::ptr_eq(&held.lines, &head.lines)));
        let mask = SmallVec::from_elem(0, own.all.len().div_ceil(8));
        (lines, mask, Buffer::new())
    }

    fn head(&mut self, entry: &Entry, lines: Arc<Lines>, key: &[u8], used: &Arc<AtomicI64>) -> Arc<Head> {
        let stored = Stored { initial_age: 0, ..entry.stored.clone() };
        if let Some(head) = find(&mut self.heads, |head| head.is(entry, &stored, &lines, key)) {
            return head.clone();
        }
        let same = self.heads.first().filter(|head| *head.key == *key).map(|head| head.key.clone());
        let selecting = entry.selecting.clone();
        let own_key = if same.is_some() { 0 } else { size_class(key.len() + ARC) };
        let key = same.unwrap_or_else(|| key.into());
        let mut head = Head { status: entry.status, lines, selecting, stored, key, charge: None };
        head.charge = Some(Charge::new(used, head.own_bytes() + own_key));
        let head = Arc::new(head);
        if self.lines.first().is_some_and(|held| Arc::ptr_eq(&held.lines, &head.lines)) {
            hold(&mut self.heads, head.clone());
        }
        head
    }
}

/// Returns what is looked for, and puts it first.
fn find<T>(all: &mut [T], is: impl FnMut(&T) -> bool) -> Option<&mut T> {
    let at = all.iter().position(is)?;
    if let Some(until) = all.get_mut(..=at) {
        until.rotate_right(1);
    }
    all.first_mut()
}

/// Puts what is new first, in place of what was not used for longest.
fn hold<T>(all: &mut Vec<T>, new: T) {
    all.truncate(MAX_HELD - 1);
    all.insert(0, new);
}
