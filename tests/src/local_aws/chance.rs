//! Chance that can be repeated: what is drawn follows from a seed and from what it is drawn for.

use sha2::{Digest, Sha256};

/// Names seeds that take the place of a story's own: `7`, or `7,8,9`. The story is told with each, side by side.
const SEEDS: &str = "MANIFOLD_TEST_SEEDS";

/// A number for something: the same whenever it is asked for with this seed, and unlike all others.
#[must_use]
pub fn draw(seed: u64, what: &str) -> u64 {
    let digest = Sha256::digest(format!("{seed} {what}"));
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A story's seeds, or those that the environment names.
///
/// # Panics
/// What it names are no numbers.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "for tests only")]
pub fn seeds(own: &[u64]) -> Vec<u64> {
    match std::env::var(SEEDS) {
        Ok(given) => {
            let seed =
                |seed: &str| seed.trim().parse().unwrap_or_else(|_| panic!("{SEEDS} is no list of numbers: {given}"));
            given.split(',').map(seed).collect()
        }
        Err(_) => own.to_vec(),
    }
}
