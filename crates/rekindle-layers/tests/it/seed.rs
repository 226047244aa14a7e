//! Reproducible random choices, and how many random cases to try.

/// A small generator (SplitMix64): the same seed makes the same case on every machine.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Seeds to try: 40, or 1,000 with `REKINDLE_FULL=1`; only that one with `REKINDLE_SEED=N`.
#[expect(clippy::disallowed_methods, reason = "which tests run is for whoever runs them to say")]
pub(crate) fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("REKINDLE_SEED") {
        return vec![seed.parse().expect("REKINDLE_SEED must be a number")];
    }
    let full = std::env::var_os("REKINDLE_FULL").is_some_and(|value| value == "1");
    (0..if full { 1000 } else { 40 }).collect()
}
