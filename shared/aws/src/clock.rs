//! The host's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use manifold_core::ids::Nonce;
use manifold_core::time::Timestamp;
use manifold_ports::clock::Clock;

use crate::random;

/// Tells the time by the host's clock, and makes nonces of 128 random bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        timestamp(SystemTime::now())
    }

    fn nonce(&self) -> Nonce {
        let text: String = random::bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        match text.parse() {
            Ok(nonce) => nonce,
            Err(_) => unreachable!("32 hexadecimal digits are a nonce"),
        }
    }
}

/// A host time in whole milliseconds; before 1970 it becomes the epoch.
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_new_every_time_and_now_is_after_this_was_written() {
        assert_ne!(SystemClock.nonce(), SystemClock.nonce());
        assert!(Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").is_some_and(|past| past < SystemClock.now()));
    }
}
