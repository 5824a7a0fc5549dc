//! How the targets of a run are laid out: in which order, in how many waves, and which of them wait for which.
//!
//! The same for a whole app and for some of its targets: what a rule says by per cent is counted from those that are left.

use std::collections::HashMap;

use manifold_core::plan::{Approval, Bake, PlannedWave};

/// How many of some targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// So many.
    Count(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl Amount {
    /// Reads `25%`.
    pub(crate) fn percent(text: &str, least: u32) -> Option<Self> {
        let digits = text.strip_suffix('%')?;
        let percent: u32 = digits.parse().ok().filter(|percent| (least..=100).contains(percent))?;
        (percent.to_string() == digits).then_some(Self::Percent(percent))
    }

    /// Of `all`, rounded down.
    pub(crate) fn of(self, all: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                u32::try_from(u64::from(all).saturating_mul(u64::from(percent)) / 100).unwrap_or(all)
            }
        }
    }

    /// Of `all`, rounded down, but at least one.
    pub(crate) fn some_of(self, all: u32) -> u32 {
        self.of(all).max(1)
    }
}

/// What the file says of a wave: of one planned wave, or of one for each step of its ramp.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) max_concurrent: Amount,
    pub(crate) failure_tolerance: Amount,
    pub(crate) strict: bool,
    pub(crate) max_per_account: Option<u32>,
    pub(crate) max_per_region: Option<u32>,
    pub(crate) bake: Option<Bake>,
    pub(crate) approval: Option<Approval>,
    /// How many targets each step has. What they leave is a last step, so that none is a single one.
    pub(crate) ramp: Vec<Amount>,
}

impl Rule {
    /// A wave of which the file says nothing.
    pub(crate) fn plain(name: &str, max_concurrent: u32) -> Self {
        Self {
            name: name.to_owned(),
            max_concurrent: Amount::Count(max_concurrent),
            failure_tolerance: Amount::Count(0),
            strict: false,
            max_per_account: None,
            max_per_region: None,
            bake: None,
            approval: None,
            ramp: Vec::new(),
        }
    }

    /// How many targets each of its planned waves has; none is empty.
    fn steps(&self, all: u32) -> Vec<u32> {
        let (mut steps, mut left) = (Vec::new(), all);
        for step in &self.ramp {
            let size = step.some_of(all).min(left);
            steps.push(size);
            left -= size;
        }
        steps.push(left);
        steps.retain(|size| *size > 0);
        steps
    }

    /// The planned wave that is its `nth` of `steps`, counted from 0.
    fn step(&self, nth: usize, steps: usize, first: u32, size: u32) -> PlannedWave {
        PlannedWave {
            name: if steps > 1 { format!("{} {}/{steps}", self.name, nth + 1) } else { self.name.clone() },
            first,
            size,
            max_concurrent: self.max_concurrent.some_of(size),
            failure_tolerance: self.failure_tolerance.of(size),
            strict: self.strict,
            bake: self.bake.clone(),
            // Whoever lets the first step begin lets the ramp begin.
            approval: self.approval.clone().filter(|_| nth == 0),
        }
    }
}

/// A target as far as its place in a plan depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The position of its rule.
    pub(crate) rule: usize,
    /// Its account.
    pub(crate) account: usize,
    /// Its Region.
    pub(crate) region: usize,
}

/// A target's place in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The position of its spot.
    pub(crate) spot: usize,
    /// The position of its planned wave.
    pub(crate) wave: u32,
    /// Positions in the plan of those that it waits for.
    pub(crate) after: Vec<usize>,
    /// Positions in the plan of those that wait for it.
    pub(crate) before: Vec<u32>,
}

/// Planned waves, and the places in them, in order.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) waves: Vec<PlannedWave>,
    pub(crate) seats: Vec<Seat>,
}

impl Layout {
    /// Lays out some spots, which are in the order of their rules and, within a rule, of the file. A rule without spots has
    /// no wave.
    pub(crate) fn of(rules: &[Rule], spots: &[Spot]) -> Self {
        let (mut layout, mut from) = (Self::default(), 0);
        for (at, rule) in rules.iter().enumerate() {
            let size = spots[from..].iter().take_while(|spot| spot.rule == at).count();
            let steps = rule.steps(number(size));
            for (nth, size) in steps.iter().enumerate() {
                layout.waves.push(rule.step(nth, steps.len(), number(from), *size));
                let to = from + usize::try_from(*size).unwrap_or(usize::MAX);
                layout.seat(rule, spots, from, to);
                from = to;
            }
        }
        layout
    }

    /// Gives the spots of one planned wave their places.
    ///
    /// With so many at once in an account, its targets form as many chains, in which each waits for the one before; in a
    /// Region likewise. What waits for nothing comes first, then what waits for that, and so on: a place that is free is
    /// rarely held by a target that waits, and nothing comes before what it waits for.
    fn seat(&mut self, rule: &Rule, spots: &[Spot], from: usize, to: usize) {
        let (mut accounts, mut regions) = (HashMap::<usize, Vec<usize>>::new(), HashMap::<usize, Vec<usize>>::new());
        let mut waits: Vec<Vec<usize>> = Vec::with_capacity(to - from);
        let mut depths: Vec<usize> = Vec::with_capacity(to - from);
        for (at, spot) in spots[from..to].iter().enumerate() {
            let mut wait = Vec::new();
            let mut join = |limit: Option<u32>, chain: &mut Vec<usize>| {
                let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return };
                wait.extend(chain.len().checked_sub(limit).map(|last| chain[last]));
                chain.push(at);
            };
            join(rule.max_per_account, accounts.entry(spot.account).or_default());
            join(rule.max_per_region, regions.entry(spot.region).or_default());
            depths.push(wait.iter().map(|other| depths[*other] + 1).max().unwrap_or(0));
            waits.push(wait);
        }
        let mut order: Vec<usize> = (0..waits.len()).collect();
        order.sort_by_key(|at| depths[*at]);
        let mut place = vec![0; order.len()];
        for (nth, at) in order.iter().enumerate() {
            place[*at] = from + nth;
        }
        let wave = number(self.waves.len().saturating_sub(1));
        for at in order {
            let after: Vec<usize> = waits[at].iter().map(|other| place[*other]).collect();
            for other in &after {
                self.seats[*other].before.push(number(place[at]));
            }
            self.seats.push(Seat { spot: from + at, wave, after, before: Vec::new() });
        }
    }
}

/// A count as the plan counts.
pub(crate) fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(ramp: &[Amount]) -> Rule {
        Rule { ramp: ramp.to_vec(), ..Rule::plain("prod", 10) }
    }

    #[test]
    fn per_cent_are_rounded_down_and_some_are_at_least_one() {
        let quarter = Amount::Percent(25);
        assert_eq!([0, 3, 4, 7, 8, 100].map(|all| quarter.of(all)), [0, 0, 1, 1, 2, 25]);
        assert_eq!([0, 3, 4, 7, 8, 100].map(|all| quarter.some_of(all)), [1, 1, 1, 1, 2, 25]);
        assert_eq!(Amount::Percent(100).of(u32::MAX), u32::MAX);
        assert_eq!(Amount::Count(7).of(3), 7);
        let read = |text| Amount::percent(text, 1);
        assert_eq!(read("25%"), Some(Amount::Percent(25)));
        assert_eq!(["0%", "101%", "25", "+25%", "025%", "2.5%", "%", "25 %"].map(read), [None; 8]);
        assert_eq!(Amount::percent("0%", 0), Some(Amount::Percent(0)));
    }

    #[test]
    fn a_ramp_drops_what_would_be_empty() {
        use Amount::{Count, Percent};
        let steps = |ramp: &[Amount], all| rule(ramp).steps(all);
        assert_eq!(steps(&[Count(1), Count(5), Percent(25)], 100), [1, 5, 25, 69]);
        assert_eq!(steps(&[Count(1), Count(5), Percent(25)], 31), [1, 5, 7, 18]);
        assert_eq!(steps(&[Count(1), Count(5), Percent(25)], 6), [1, 5]);
        assert_eq!(steps(&[Count(1), Count(5), Percent(25)], 3), [1, 2]);
        assert_eq!(steps(&[Percent(1), Percent(50)], 3), [1, 1, 1]);
        assert_eq!(steps(&[], 3), [3]);
        assert_eq!(steps(&[Count(1)], 0), [0; 0]);
    }
}
