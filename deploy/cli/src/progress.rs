//! Live progress on standard error: a row a target on a terminal, a line a change elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::run::{Outcome, Status};
use manifold_core::summary::{Summary, TargetLine, tally_words};
use manifold_core::time::Timestamp;
use manifold_local::simulation::Simulation;

/// More rows than this do not fit a terminal: then one row a wave.
const MOST_ROWS: u32 = 40;
/// Looking at a run of more targets than this at every step would cost more than the simulation.
const LARGE: u32 = 200;
/// How often a large run is looked at, in simulated milliseconds.
const LARGE_EVERY: i64 = 30_000;
/// No wait is longer than this, however long nothing happens.
const LONGEST_WAIT: Duration = Duration::from_millis(700);

pub(crate) struct Progress {
    rows: Option<MultiProgress>,
    bars: BTreeMap<String, ProgressBar>,
    shown: BTreeMap<(RunId, TargetKey), Status>,
    waves: BTreeMap<(RunId, usize), String>,
    pace: u32,
    began: Option<Timestamp>,
    last: Option<Timestamp>,
    looked: Option<Timestamp>,
}

impl Progress {
    pub(crate) fn new(pace: u32) -> Self {
        Self {
            // Rows that nobody has time to see are noise.
            rows: (pace > 0 && std::io::stderr().is_terminal()).then(MultiProgress::new),
            bars: BTreeMap::new(),
            shown: BTreeMap::new(),
            waves: BTreeMap::new(),
            pace,
            began: None,
            last: None,
            looked: None,
        }
    }

    /// Shows what changed until `now`, after the wait that the pace asks for.
    pub(crate) fn show(&mut self, simulation: &Simulation, now: Timestamp) -> Result<()> {
        let began = *self.began.get_or_insert(now);
        if let Some(last) = self.last.replace(now) {
            let millis = u64::try_from(now.since(last).as_millis()).unwrap_or(0);
            if let Some(wait) = millis.checked_div(u64::from(self.pace)) {
                std::thread::sleep(Duration::from_millis(wait).min(LONGEST_WAIT));
            }
        }
        for run in simulation.world().runs() {
            let Some(head) = simulation.world().head(&run) else { continue };
            let large = head.size() > LARGE;
            if large && head.verdict().is_none() {
                if self.looked.is_some_and(|looked| now.since(looked).as_millis() < LARGE_EVERY) {
                    continue;
                }
                self.looked = Some(now);
            }
            let summary = simulation.summary(&run)?;
            if head.size() > MOST_ROWS {
                self.show_waves(&summary, now, began)?;
            } else {
                self.show_targets(&summary, now, began)?;
            }
        }
        Ok(())
    }

    /// Takes the rows away: the summary that follows says it all.
    pub(crate) fn finish(&mut self) {
        if let Some(rows) = &self.rows {
            for bar in self.bars.values() {
                bar.finish_and_clear();
            }
            // A terminal that is gone can't be cleared.
            let _ = rows.clear();
        }
    }

    fn show_targets(&mut self, summary: &Summary, now: Timestamp, began: Timestamp) -> Result<()> {
        for line in &summary.targets {
            let key = (summary.run.clone(), line.key.clone());
            let before = self.shown.insert(key, line.status);
            let place = format!("{}/{}", line.account_name, line.key.region);
            match &self.rows {
                Some(rows) => {
                    let bar = row(&mut self.bars, rows, &format!("{}/{place}", summary.app), &place);
                    bar.set_message(words(line, now));
                    bar.tick();
                }
                None if before != Some(line.status) && line.status != Status::Waiting => {
                    let state = plain(line);
                    let mut err = std::io::stderr().lock();
                    writeln!(err, "{:>12}  {}  {place:<24}  {state}", format!("+{}", now.since(began)), summary.app)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn show_waves(&mut self, summary: &Summary, now: Timestamp, began: Timestamp) -> Result<()> {
        for (index, wave) in summary.waves.iter().enumerate() {
            let ended = wave.tally.ended();
            let words = tally_words(wave.tally);
            let state = format!(
                "{ended} of {} ended, {} in flight{}{words}",
                wave.size,
                wave.in_flight,
                match words.is_empty() {
                    true => "",
                    false => ": ",
                }
            );
            if self.waves.insert((summary.run.clone(), index), state.clone()).as_ref() == Some(&state) {
                continue;
            }
            match &self.rows {
                Some(rows) => {
                    let bar = row(&mut self.bars, rows, &format!("{}/{}", summary.app, wave.name), &wave.name);
                    bar.set_message(state);
                    bar.tick();
                }
                None => {
                    let mut err = std::io::stderr().lock();
                    writeln!(
                        err,
                        "{:>12}  {}  wave {:<12}  {state}",
                        format!("+{}", now.since(began)),
                        summary.app,
                        wave.name
                    )?;
                }
            }
        }
        Ok(())
    }
}

fn row<'a>(
    bars: &'a mut BTreeMap<String, ProgressBar>,
    rows: &MultiProgress,
    key: &str,
    prefix: &str,
) -> &'a ProgressBar {
    bars.entry(key.to_owned()).or_insert_with(|| {
        let bar = rows.add(ProgressBar::new_spinner());
        // The template is a constant of ours; were it wrong, a plain spinner does.
        if let Ok(style) = ProgressStyle::with_template("  {prefix:<24} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(prefix.to_owned());
        bar
    })
}

fn words(line: &TargetLine, now: Timestamp) -> String {
    let state = plain(line);
    match line.status {
        Status::Waiting => style(state).dim().to_string(),
        Status::Queued | Status::Starting => style(state).cyan().to_string(),
        Status::Running | Status::Stopping => {
            let since = line.started_at.map(|at| format!(", {}", now.since(at))).unwrap_or_default();
            style(format!("{state}{since}")).yellow().to_string()
        }
        Status::Ended(Outcome::Succeeded) => style(state).green().to_string(),
        Status::Ended(Outcome::Failed | Outcome::TimedOut | Outcome::Unreachable) => style(state).red().to_string(),
        Status::Ended(Outcome::Superseded | Outcome::Canceled | Outcome::Skipped) => style(state).magenta().to_string(),
    }
}

fn plain(line: &TargetLine) -> String {
    let state = match line.status {
        Status::Waiting => "· waits for its turn".to_owned(),
        Status::Queued => "· to be started".to_owned(),
        Status::Starting => "› starting".to_owned(),
        Status::Running => "▶ running".to_owned(),
        Status::Stopping => "■ stopping".to_owned(),
        Status::Ended(Outcome::Succeeded) => "✔ succeeded".to_owned(),
        Status::Ended(outcome) => format!("✖ {}", outcome.words()),
    };
    let state = match line.attempt.0 {
        1 => state,
        attempt => format!("{state} (attempt {attempt})"),
    };
    match (&line.cause, line.took) {
        (Some(cause), _) => format!("{state}: {cause}"),
        (None, Some(took)) => format!("{state} after {took}"),
        (None, None) => state,
    }
}
