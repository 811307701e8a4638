//! What a proxy's workers share: Envoy's shared data, and what stands in for it where there is no Envoy.

use std::collections::BTreeMap;

/// Named values, each with a number that changes when it does.
pub trait Shared {
    /// The value and its number.
    fn get(&self, name: &str) -> Option<(Vec<u8>, u32)>;
    /// Writes a value if its number is still this one; 0: in any case, as where there is none yet. Whether it was
    /// written.
    fn set(&mut self, name: &str, value: &[u8], number: u32) -> bool;
}

/// The same within one thread, for tests and the simulation.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<String, (Vec<u8>, u32)>);

impl Shared for Memory {
    fn get(&self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.0.get(name).cloned()
    }

    fn set(&mut self, name: &str, value: &[u8], number: u32) -> bool {
        let known = self.0.get(name).map_or(0, |(_, number)| *number);
        let may = number == 0 || known == 0 || known == number;
        if may {
            self.0.insert(name.into(), (value.to_vec(), known.saturating_add(1)));
        }
        may
    }
}
