//! How often simulated targets may be called: a token bucket for each API of each account and Region, as AWS has them.

use std::collections::BTreeMap;

use manifold_core::ids::TargetKey;
use manifold_core::time::Timestamp;

/// How many calls a second an API of an account and Region takes. Its bucket holds the calls of one second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Everywhere; `None` for no limit.
    pub everywhere: Option<u32>,
    /// In some accounts and Regions, whatever holds everywhere.
    pub at: BTreeMap<TargetKey, u32>,
}

impl Limits {
    /// The limit of a target's account and Region.
    #[must_use]
    pub fn of(&self, target: &TargetKey) -> Option<u32> {
        self.at.get(target).copied().or(self.everywhere)
    }
}

/// Calls that were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// All of them.
    pub calls: u64,
    /// Those that were throttled.
    pub throttled: u64,
}

/// A bucket, and what it let pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    /// When it was last looked at, and how many thousandths of a call it held then. Untouched, it is full.
    level: Option<(Timestamp, i64)>,
    pub(crate) counted: Counted,
}

impl Meter {
    /// Whether a call passes.
    pub(crate) fn pass(&mut self, limit: Option<u32>, now: Timestamp) -> bool {
        self.counted.calls += 1;
        let Some(limit) = limit.map(i64::from) else { return true };
        let full = limit * 1000;
        let level = self.level.map_or(full, |(at, level)| full.min(level + limit * now.since(at).as_millis()));
        let passes = level >= 1000;
        self.level = Some((now, if passes { level - 1000 } else { level }));
        self.counted.throttled += u64::from(!passes);
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifold_core::time::Span;

    #[test]
    fn a_second_has_its_calls_and_what_comes_too_early_is_throttled() {
        let mut meter = Meter::default();
        let mut passed = |millis: i64| {
            let now = Timestamp::from_millis(0).plus(Span::from_millis(millis));
            (0..9).filter(|_| meter.pass(Some(5), now)).count()
        };
        assert_eq!([passed(0), passed(100), passed(1000), passed(5000)], [5, 0, 5, 5]);
        assert_eq!(meter.counted, Counted { calls: 36, throttled: 21 });
    }
}
