//! Which fault met which state: a table, whose empty cells are what no story has shown yet.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use manifold_local::faults::{DELIVERIES, Met, POINTS, Stage};

/// What messages on their way can be about, by place.
const KINDS: [(&str, &[&str]); 3] = [
    (
        "event",
        &[
            "STARTED",
            "action FAILED",
            "FAILED",
            "RESUMED",
            "STOPPING",
            "STOPPED",
            "SUPERSEDED",
            "CANCELED",
            "unknown",
            "SUCCEEDED",
        ],
    ),
    ("message", &["start", "explain", "ask", "stop", "alarms", "activate", "advance", "deadline", "open", "summarize"]),
    ("release", &["release"]),
];

/// Cells that can't be: what is asked for there does not happen in that state.
const IMPOSSIBLE: &[(&str, &[Stage])] = &[
    (
        "releases.describe",
        &[
            Stage::Waiting,
            Stage::Beginning,
            Stage::Running,
            Stage::Halting,
            Stage::Untold,
            Stage::Told,
            Stage::Reopened,
        ],
    ),
    ("ledger.targets", &[Stage::Unopened]),
    (
        "ledger.open_runs",
        &[
            Stage::Waiting,
            Stage::Beginning,
            Stage::Running,
            Stage::Halting,
            Stage::Untold,
            Stage::Told,
            Stage::Reopened,
        ],
    ),
    (
        "ledger.forget/before",
        &[
            Stage::Unopened,
            Stage::Waiting,
            Stage::Beginning,
            Stage::Running,
            Stage::Halting,
            Stage::Told,
            Stage::Reopened,
        ],
    ),
    (
        "ledger.forget/after",
        &[
            Stage::Unopened,
            Stage::Waiting,
            Stage::Beginning,
            Stage::Running,
            Stage::Halting,
            Stage::Untold,
            Stage::Reopened,
        ],
    ),
    ("sts.assume_role", &[Stage::Unopened, Stage::Waiting]),
    ("engine.start/before", &[Stage::Unopened, Stage::Waiting]),
    ("engine.start/after", &[Stage::Unopened, Stage::Waiting]),
    ("engine.find", &[Stage::Unopened, Stage::Waiting]),
    ("engine.explain", &[Stage::Unopened, Stage::Waiting, Stage::Beginning]),
    ("engine.ask", &[Stage::Unopened, Stage::Waiting, Stage::Beginning]),
    ("slack.post/before", &[Stage::Unopened]),
    ("slack.post/after", &[Stage::Unopened]),
    ("slack.edit/before", &[Stage::Unopened]),
    ("slack.edit/after", &[Stage::Unopened]),
];

type Row = (&'static str, &'static str);

/// How often which fault met which state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage(BTreeMap<(Row, &'static str), u64>);

impl Coverage {
    /// Takes in what one story met.
    pub fn add(&mut self, met: &[Met]) {
        for met in met {
            *self.0.entry(((met.at, met.harm.name()), met.state)).or_default() += 1;
        }
    }

    /// Takes in what others counted.
    pub fn merge(&mut self, other: Self) {
        for (cell, count) in other.0 {
            *self.0.entry(cell).or_default() += count;
        }
    }

    fn count(&self, row: Row, state: &'static str) -> u64 {
        self.0.get(&(row, state)).copied().unwrap_or(0)
    }

    /// The cells that could be met and were not.
    #[must_use]
    pub fn empty(&self) -> Vec<String> {
        let mut empty = Vec::new();
        for (row, states) in rows() {
            for state in states.iter().filter(|state| !is_impossible(row.0, state)) {
                if self.count(row, state) == 0 {
                    empty.push(format!("{} at {}, {state}", row.1, row.0));
                }
            }
        }
        empty
    }

    /// How many cells could be met.
    #[must_use]
    pub fn cells() -> usize {
        rows().iter().map(|(row, states)| states.iter().filter(|state| !is_impossible(row.0, state)).count()).sum()
    }
}

fn is_impossible(place: &str, state: &str) -> bool {
    IMPOSSIBLE.iter().any(|(name, stages)| *name == place && stages.iter().any(|stage| stage.name() == state))
}

/// Every row with its columns.
fn rows() -> Vec<(Row, Vec<&'static str>)> {
    let stages: Vec<&'static str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    let harms = |(name, harms): &(&'static str, &'static [manifold_local::faults::Harm])| {
        let name = *name;
        harms.iter().map(move |harm| (name, harm.name())).collect::<Vec<Row>>()
    };
    let points = POINTS.iter().flat_map(harms).map(|row| (row, stages.clone()));
    let deliveries = DELIVERIES.iter().flat_map(harms).map(|row| {
        let kinds = KINDS.iter().find(|(name, _)| *name == row.0).map_or(&[][..], |(_, kinds)| kinds);
        (row, kinds.to_vec())
    });
    points.chain(deliveries).collect()
}

impl Display for Coverage {
    /// One table for each set of columns. An empty cell that could be met is `0`, one that can't be is blank.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns: Vec<&'static str> = Vec::new();
        for (row, states) in rows() {
            if states != columns {
                if !columns.is_empty() {
                    writeln!(f)?;
                }
                write!(f, "{:<31}", "")?;
                for state in &states {
                    write!(f, "{state:>14}")?;
                }
                writeln!(f)?;
                columns = states;
            }
            write!(f, "{:<22}{:<9}", row.0, row.1)?;
            for state in &columns {
                match self.count(row, state) {
                    0 if is_impossible(row.0, state) => write!(f, "{:>14}", "")?,
                    count => write!(f, "{count:>14}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
