//! Chance that can be repeated: what is drawn follows from a seed and from what it is drawn for.

use sha2::{Digest, Sha256};

/// Names a seed that takes the place of a story's own.
const SEED: &str = "MANIFOLD_TEST_SEED";

/// A number for something: the same whenever it is asked for with this seed, and unlike all others.
#[must_use]
pub fn draw(seed: u64, what: &str) -> u64 {
    let digest = Sha256::digest(format!("{seed} {what}"));
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A story's seeds, or the one that the environment names.
///
/// # Panics
/// What it names is no number.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "for tests only")]
pub fn seeds(own: &[u64]) -> Vec<u64> {
    match std::env::var(SEED) {
        Ok(seed) => vec![seed.parse().unwrap_or_else(|_| panic!("{SEED} is no number: {seed}"))],
        Err(_) => own.to_vec(),
    }
}
