//! Randomness, for marks and for jitter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// Sixteen bytes that nobody else gets.
pub(crate) fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes,
        Err(_) => without_the_system(),
    }
}

/// A number, evenly distributed.
pub(crate) fn number() -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Unique marks need no secrecy, so that a host without a random source gets one from what differs between any two
/// calls anywhere: the time, the process, the stack's address, which the system randomises, and a counter.
#[expect(clippy::disallowed_methods, reason = "a mark made of the time, not a time")]
fn without_the_system() -> [u8; 16] {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let seed = format!("{now} {} {:p} {call}", std::process::id(), &raw const call);
    let digest = Sha256::digest(seed.as_bytes());
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn marks_do_not_repeat_with_or_without_the_systems_random_source() {
        assert_eq!((0..1000).map(|_| bytes()).collect::<BTreeSet<_>>().len(), 1000);
        assert_eq!((0..1000).map(|_| without_the_system()).collect::<BTreeSet<_>>().len(), 1000);
    }
}
