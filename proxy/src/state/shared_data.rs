//! The data that a proxy's workers share: Envoy's shared data, or a map where there is no Envoy.

use std::collections::BTreeMap;

/// Named values, each with a number that changes when the value does.
pub trait SharedData {
    /// Returns a value and its number.
    fn get(&self, name: &str) -> Option<(Vec<u8>, u32)>;
    /// Writes a value if its number is still this one, or unconditionally for 0. Returns whether it was written.
    fn set(&mut self, name: &str, value: &[u8], number: u32) -> bool;
}

/// Shared data of one thread, for tests and the simulation.
#[derive(Debug, Default)]
pub struct InProcessData(BTreeMap<String, (Vec<u8>, u32)>);

impl SharedData for InProcessData {
    fn get(&self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.0.get(name).cloned()
    }

    fn set(&mut self, name: &str, value: &[u8], number: u32) -> bool {
        let current = self.0.get(name).map_or(0, |(_, number)| *number);
        let may = number == 0 || current == 0 || current == number;
        if may {
            self.0.insert(name.into(), (value.to_vec(), current.saturating_add(1)));
        }
        may
    }
}
