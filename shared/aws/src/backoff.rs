//! Waiting before a call is tried again, where the SDK does not do so by itself.

use std::time::Duration;

use crate::random;

/// How often a call is tried, and how long is waited in between: doubling, at most `longest`, with a random half so
/// that workers that met once do not meet again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// How many tries, the first one included. At least one is made.
    pub tries: u32,
    /// The wait before the second try.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Five tries within about a second and a half: a message that fails is redelivered, so that patience beyond
    /// that costs Lambda time and gains nothing.
    fn default() -> Self {
        Self { tries: 5, first: Duration::from_millis(50), longest: Duration::from_secs(1) }
    }
}

impl Backoff {
    /// For looks, which no message repeats: patient with throttling, within the time that the function has.
    pub const PATIENT: Self = Self { tries: 5, first: Duration::from_millis(500), longest: Duration::from_secs(4) };

    /// Waits after the given number of failed tries, and tells whether there is another one.
    #[expect(clippy::disallowed_methods, reason = "the one place that waits between tries of one call")]
    pub(crate) async fn again(&self, failed: u32) -> bool {
        if failed >= self.tries {
            return false;
        }
        tokio::time::sleep(self.delay(failed, random::number())).await;
        true
    }

    fn delay(&self, failed: u32, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << failed.saturating_sub(1).min(16));
        let longest = doubled.min(self.longest);
        let per_mille = u32::try_from(random % 501).unwrap_or(0).saturating_add(500);
        longest.saturating_mul(per_mille) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_less_than_half() {
        let backoff = Backoff::default();
        let millis = |failed, random| backoff.delay(failed, random).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 6].map(|failed| millis(failed, 500)), [50, 100, 200, 400, 800, 1000]);
        assert_eq!([1, 2, 3, 4, 5, 60].map(|failed| millis(failed, 0)), [25, 50, 100, 200, 400, 500]);
    }

    #[tokio::test]
    async fn tries_end() {
        let backoff = Backoff { tries: 2, first: Duration::ZERO, longest: Duration::ZERO };
        assert!(backoff.again(1).await);
        assert!(!backoff.again(2).await);
    }
}
