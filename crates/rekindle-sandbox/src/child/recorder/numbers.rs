//! Tables by numbers that nobody chooses: of processes, and of paths in the order in which they were met.
//!
//! The standard library's tables are safe from keys that were chosen to fall together, which costs as much as the rest of a call.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type ByNumber<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// Spreads a number over all bits.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        // The golden ratio: neighbours come to lie far apart.
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_lie_apart() {
        let of = |number: u32| {
            let mut hasher = Spread::default();
            hasher.write_u32(number);
            hasher.finish()
        };
        // A table takes its place from the low bits, and tells those that share one by the highest seven.
        let low: std::collections::HashSet<u64> = (0..4096).map(|number| of(number) & 4095).collect();
        assert_eq!(low.len(), 4096);
        let high: std::collections::HashSet<u64> = (0..4096).map(|number| of(number) >> 57).collect();
        assert_eq!(high.len(), 128);
    }
}
