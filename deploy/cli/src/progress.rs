//! Live progress on standard error: rows that are redrawn on a terminal, a line for each change elsewhere.
//!
//! Progress is for onlookers. Whether it can be shown never decides what the command answers.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use console::{StyledObject, Term, measure_text_width, pad_str, style, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::run::{Head, Outcome, Status, Verdict, Wave};
use manifold_core::summary::{Summary, TargetLine, UNEXPLAINED, tally_words};
use manifold_core::time::{Span, Timestamp};
use manifold_local::simulation::Simulation;

use crate::words::{grouped, symbol};

/// More targets than this are shown by wave.
pub(crate) const MOST_ROWS: usize = 40;
/// A terminal that tells no height is taken to be as high as most are.
const USUAL_HEIGHT: usize = 24;
/// How often a run that is shown by wave is looked at, in simulated milliseconds.
const LARGE_EVERY: i64 = 5_000;
/// How often rows are redrawn.
const FRAME: Duration = Duration::from_millis(80);
/// Unless a pace was asked for, no wait is longer than this, however long nothing happens.
const LONGEST_WAIT: Duration = Duration::from_millis(700);
/// As wide as the longest state, `unreachable`.
const STATE: usize = 11;
/// A name is cut to no less: a letter of the account, and the longest Region.
const LEAST_NAME: usize = 18;
/// About what a simulated target takes, for the pace that shows a run in the time there is.
const TARGET_TAKES: Span = Span::from_seconds(165);
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// How fast simulated time passes for the onlooker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Not waited for.
    Rush,
    /// So that a run of usual targets takes about this long.
    Within(Duration),
    /// This many simulated seconds a second; none for 0.
    Factor(u32),
}

impl Pace {
    fn waits(self) -> bool {
        self != Self::Rush && self != Self::Factor(0)
    }
}

enum View {
    Off,
    Lines { told: BTreeMap<(RunId, TargetKey), String>, waves: BTreeMap<(RunId, usize), (u32, bool, bool)> },
    Rows { screen: MultiProgress, bars: Vec<ProgressBar>, frame: usize },
}

/// One run as it was last looked at.
struct Seen {
    head: Head,
    /// Only if each of its targets is shown.
    targets: Option<Vec<TargetLine>>,
}

pub(crate) struct Progress {
    view: View,
    pace: Pace,
    runs: BTreeMap<RunId, Seen>,
    began: Option<Timestamp>,
    last: Option<Timestamp>,
    looked: Option<Timestamp>,
    owed: Duration,
}

impl Progress {
    /// No progress at all.
    pub(crate) fn off() -> Self {
        Self::of(View::Off, Pace::Rush)
    }

    /// Rows if standard error is a terminal that can redraw them and there is time to see them, else lines.
    pub(crate) fn new(pace: Pace) -> Self {
        let redraws = std::io::stderr().is_terminal() && !console::is_dumb();
        let view = match redraws && pace.waits() {
            true => View::Rows { screen: MultiProgress::new(), bars: Vec::new(), frame: 0 },
            false => View::Lines { told: BTreeMap::new(), waves: BTreeMap::new() },
        };
        Self::of(view, pace)
    }

    fn of(view: View, pace: Pace) -> Self {
        let runs = BTreeMap::new();
        Self { view, pace, runs, began: None, last: None, looked: None, owed: Duration::ZERO }
    }

    /// Shows what changed until `now`, after the wait that the pace asks for.
    pub(crate) fn show(&mut self, simulation: &Simulation, now: Timestamp) -> Result<()> {
        if matches!(self.view, View::Off) && !self.pace.waits() {
            return Ok(());
        }
        self.began.get_or_insert(now);
        if let Some(last) = self.last.replace(now) {
            self.wait(last, now);
        }
        let large = self.runs.values().any(|seen| seen.targets.is_none());
        if large && self.looked.is_some_and(|looked| now.since(looked).as_millis() < LARGE_EVERY) {
            return Ok(());
        }
        self.looked = Some(now);
        self.look(simulation)?;
        self.draw(now, false);
        Ok(())
    }

    /// Tells the end; rows are taken away: the summary that follows says it all.
    pub(crate) fn finish(&mut self, simulation: &Simulation) -> Result<()> {
        if let Some(last) = self.last {
            self.look(simulation)?;
            self.draw(last, true);
        }
        if let View::Rows { screen, bars, .. } = &self.view {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            // A terminal that is gone can't be cleared.
            let _ = screen.clear();
        }
        Ok(())
    }

    fn look(&mut self, simulation: &Simulation) -> Result<()> {
        let world = simulation.world();
        let heads: Vec<Head> = world.runs().iter().filter_map(|run| world.head(run)).collect();
        let rows: usize = heads.iter().map(|head| head.size() as usize + 1).sum();
        let room = match self.view {
            View::Rows { .. } => height().saturating_sub(2).min(MOST_ROWS + heads.len()),
            View::Off | View::Lines { .. } => MOST_ROWS + heads.len(),
        };
        for head in heads {
            let targets = match rows <= room {
                true => Some(simulation.summary(&head.run).map(|summary: Summary| summary.targets)?),
                false => None,
            };
            self.runs.insert(head.run.clone(), Seen { head, targets });
        }
        Ok(())
    }

    /// Lets the onlooker's time pass while nothing happens in the simulation.
    #[expect(clippy::disallowed_methods, reason = "the one place that waits: for the eyes of whoever watches")]
    fn wait(&mut self, from: Timestamp, to: Timestamp) {
        let simulated = Duration::from_millis(u64::try_from(to.since(from).as_millis()).unwrap_or(0));
        let wait = match self.pace {
            Pace::Rush | Pace::Factor(0) => return,
            Pace::Factor(factor) => simulated / factor,
            Pace::Within(time) => self.share(simulated, time).min(LONGEST_WAIT),
        };
        self.owed += wait;
        if self.owed < FRAME / 2 {
            return;
        }
        let total = std::mem::take(&mut self.owed);
        let mut passed = Duration::ZERO;
        while passed < total {
            let nap = FRAME.min(total - passed);
            std::thread::sleep(nap);
            passed += nap;
            let part = simulated.mul_f64(passed.as_secs_f64() / total.as_secs_f64());
            if matches!(self.view, View::Rows { .. }) && passed < total {
                self.draw(from.plus(Span::from_millis(i64::try_from(part.as_millis()).unwrap_or(0))), false);
            }
        }
    }

    /// The share of the onlooker's `time` that a part of the run gets.
    fn share(&self, simulated: Duration, time: Duration) -> Duration {
        let turns = |wave: &Wave| wave.plan.size.div_ceil(wave.plan.max_concurrent.max(1));
        let turns = self.runs.values().map(|seen| seen.head.waves.iter().map(turns).sum::<u32>()).max();
        match turns {
            Some(turns) => {
                let whole = i64::from(turns.max(1)) * TARGET_TAKES.as_millis();
                time.mul_f64(simulated.as_secs_f64() * 1000.0 / whole as f64)
            }
            None => Duration::ZERO,
        }
    }

    fn draw(&mut self, now: Timestamp, last: bool) {
        let began = self.began.unwrap_or(now);
        match &mut self.view {
            View::Off => {}
            View::Lines { told, waves } => {
                let apps = self.runs.values().map(|seen| measure_text_width(seen.head.app.as_str()));
                let apps = apps.max().unwrap_or(0);
                let targets = self.runs.values().flat_map(|seen| seen.targets.iter().flatten());
                let places = targets.map(|line| measure_text_width(&place(line))).max().unwrap_or(0);
                let lines = self.runs.values().flat_map(|seen| {
                    let news = match &seen.targets {
                        Some(targets) => target_lines(&seen.head.run, targets, told, places, last),
                        None => wave_lines(&seen.head, waves),
                    };
                    let app = cell(seen.head.app.as_str(), apps);
                    news.into_iter().map(move |news| format!("{app}  {news}"))
                });
                let mut err = std::io::stderr().lock();
                for line in lines {
                    // Nobody may be listening any more; the run's answer stands all the same.
                    let _ = writeln!(err, "{:>12}  {line}", format!("+{}", now.since(began)));
                }
            }
            View::Rows { screen, bars, frame } => {
                *frame += 1;
                let spinner = SPINNER.get(*frame % SPINNER.len()).copied().unwrap_or("⠋");
                let width = width();
                let rows: Vec<String> =
                    self.runs.values().flat_map(|seen| rows(seen, now, began, spinner, width)).collect();
                redraw(screen, bars, &rows, width);
            }
        }
    }
}

fn width() -> usize {
    usize::from(Term::stderr().size().1).saturating_sub(1)
}

/// Draws rows over those that are there.
fn redraw(screen: &MultiProgress, bars: &mut Vec<ProgressBar>, rows: &[String], width: usize) {
    for (index, row) in rows.iter().enumerate() {
        if bars.len() <= index {
            let bar = screen.add(ProgressBar::new_spinner());
            // The template is a constant of ours; were it wrong, a plain spinner does.
            if let Ok(template) = ProgressStyle::with_template("{msg}") {
                bar.set_style(template);
            }
            bars.push(bar);
        }
        if let Some(bar) = bars.get(index) {
            bar.set_message(truncate_str(row, width, "…").into_owned());
        }
    }
}

/// One run that is followed: rows that are redrawn on standard error, or lines for whoever takes them.
pub(crate) struct Follow {
    view: View,
}

impl Follow {
    /// No progress at all.
    pub(crate) fn off() -> Self {
        Self { view: View::Off }
    }

    /// Rows, if standard error can redraw them; else lines.
    pub(crate) fn new(live: bool) -> Self {
        Self {
            view: match live {
                true => View::Rows { screen: MultiProgress::new(), bars: Vec::new(), frame: 0 },
                false => View::Lines { told: BTreeMap::new(), waves: BTreeMap::new() },
            },
        }
    }

    /// Shows how a run stands. Returns the lines that are news; `last` says that no reason is asked for any more.
    pub(crate) fn show(
        &mut self,
        head: Head,
        targets: Option<Vec<TargetLine>>,
        now: Timestamp,
        last: bool,
    ) -> Vec<String> {
        let began = head.opened_at;
        match &mut self.view {
            View::Off => Vec::new(),
            View::Lines { told, waves } => {
                let news = match &targets {
                    Some(targets) => {
                        let width = targets.iter().map(|line| measure_text_width(&place(line))).max().unwrap_or(0);
                        target_lines(&head.run, targets, told, width, last)
                    }
                    None => wave_lines(&head, waves),
                };
                news.into_iter().map(|line| format!("{:>12}  {line}\n", format!("+{}", now.since(began)))).collect()
            }
            View::Rows { screen, bars, frame } => {
                *frame += 1;
                let spinner = SPINNER.get(*frame % SPINNER.len()).copied().unwrap_or("⠋");
                let width = width();
                let room = height().saturating_sub(2);
                let targets = targets.filter(|targets| targets.len() < room);
                let rows = rows(&Seen { head, targets }, now, began, spinner, width);
                redraw(screen, bars, &rows, width);
                Vec::new()
            }
        }
    }

    /// Takes the rows away: the summary that follows says it all.
    pub(crate) fn finish(&self) {
        if let View::Rows { screen, bars, .. } = &self.view {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            // A terminal that is gone can't be cleared.
            let _ = screen.clear();
        }
    }
}

fn height() -> usize {
    Term::stderr().size_checked().map_or(USUAL_HEIGHT, |(height, _)| usize::from(height))
}

fn place(line: &TargetLine) -> String {
    format!("{}/{}", line.account_name, line.key.region)
}

/// What is new about each target, one line for each; that it waits or is being started is no news.
fn target_lines(
    run: &RunId,
    targets: &[TargetLine],
    told: &mut BTreeMap<(RunId, TargetKey), String>,
    width: usize,
    last: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    for line in targets {
        // A reason that is still asked for comes in a moment.
        let early = line.cause.as_deref() == Some(UNEXPLAINED) && !last;
        if early || matches!(line.status, Status::Waiting | Status::Queued | Status::Starting) {
            continue;
        }
        let state = match details(line, None) {
            details if details.is_empty() => state(line),
            details => format!("{}  {details}", cell(&state(line), STATE)),
        };
        let key = (run.clone(), line.key.clone());
        if told.get(&key) != Some(&state) {
            lines.push(format!("{}  {} {state}", cell(&place(line), width), symbol(line.status)));
            told.insert(key, state);
        }
    }
    lines
}

/// Each wave's progress whenever another tenth of it ended, when its first failure came, and at its end.
fn wave_lines(head: &Head, told: &mut BTreeMap<(RunId, usize), (u32, bool, bool)>) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, wave) in head.waves.iter().enumerate().filter(|(_, wave)| wave.released > 0) {
        let tenth = (u64::from(wave.tally.ended()) * 10 / u64::from(wave.plan.size.max(1))) as u32;
        let state = (tenth, wave.tally.failures() > 0, wave.is_complete());
        if told.insert((head.run.clone(), index), state) != Some(state) {
            lines.push(format!("wave {}  {}", wave.plan.name, wave_words(wave)));
        }
    }
    lines
}

fn wave_words(wave: &Wave) -> String {
    let mut words = format!("{} of {} ended", grouped(wave.tally.ended()), grouped(wave.plan.size));
    if wave.in_flight() > 0 {
        words.push_str(&format!(", {} in flight", grouped(wave.in_flight())));
    }
    match tally_words(wave.tally) {
        tally if tally.is_empty() => words,
        tally => format!("{words}: {tally}"),
    }
}

/// A run's rows, and the line that tells of it as a whole.
fn rows(seen: &Seen, now: Timestamp, began: Timestamp, spinner: &str, width: usize) -> Vec<String> {
    let head = &seen.head;
    // The state is more worth seeing than the end of a long name.
    let first = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or(0).min((width / 2).max(LEAST_NAME));
    let mut rows: Vec<String> = match &seen.targets {
        Some(targets) => {
            let names = first(&mut targets.iter().map(|line| measure_text_width(&place(line))));
            targets.iter().map(|line| target_row(line, names, now, spinner)).collect()
        }
        None => {
            let names = first(&mut head.waves.iter().map(|wave| measure_text_width(&wave.plan.name)));
            head.waves.iter().map(|wave| wave_row(wave, names, spinner)).collect()
        }
    };
    rows.push(overall(head, now.since(began), spinner));
    rows
}

/// What tells a target from its neighbours is mostly the Region, so a long name gives way first.
fn short_place(line: &TargetLine, width: usize) -> String {
    let place = place(line);
    let region = line.key.region.as_str();
    match width.checked_sub(region.len() + 1) {
        Some(room) if room > 0 && measure_text_width(&place) > width => {
            format!("{}/{region}", truncate_str(&line.account_name, room, "…"))
        }
        Some(_) | None => place,
    }
}

fn cell(text: &str, width: usize) -> String {
    pad_str(text, width, console::Alignment::Left, Some("…")).into_owned()
}

fn target_row(line: &TargetLine, names: usize, now: Timestamp, spinner: &str) -> String {
    let runs = matches!(line.status, Status::Queued | Status::Starting | Status::Running | Status::Stopping);
    let mark = if runs { spinner } else { symbol(line.status) };
    let name = cell(&short_place(line, names), names);
    let name = if line.status == Status::Waiting { style(name).for_stderr().dim() } else { style(name).for_stderr() };
    let state = cell(&state(line), STATE);
    let details = details(line, Some(now));
    let painted = |text: String| paint(text, line.status);
    format!("  {} {name}  {}  {details}", painted(mark.to_owned()), painted(state))
}

fn wave_row(wave: &Wave, names: usize, spinner: &str) -> String {
    let status = match wave {
        wave if wave.released == 0 => Status::Waiting,
        wave if !wave.is_complete() => Status::Running,
        wave if wave.tally.failures() > 0 => Status::Ended(Outcome::Failed),
        wave if wave.tally.without_release() > 0 => Status::Ended(Outcome::Skipped),
        _ => Status::Ended(Outcome::Succeeded),
    };
    let mark = if status == Status::Running { spinner } else { symbol(status) };
    format!("  {} {}  {}", paint(mark.to_owned(), status), cell(&wave.plan.name, names), wave_words(wave))
}

fn overall(head: &Head, elapsed: Span, spinner: &str) -> String {
    let verdict = head.verdict();
    let mark = match verdict {
        None => style(spinner).for_stderr().cyan(),
        Some(Verdict::Succeeded) => style("✔").for_stderr().green(),
        Some(_) => style("✖").for_stderr().red(),
    };
    let ended = format!("{} of {} ended", grouped(head.tally().ended()), grouped(head.size()));
    let state = match (verdict, head.waves.iter().enumerate().find(|(_, wave)| !wave.is_complete())) {
        (Some(verdict), _) => format!("{}, {ended}", verdict.words()),
        (None, Some((index, wave))) => {
            format!("{ended}, wave {} ({} of {})", wave.plan.name, index + 1, head.waves.len())
        }
        (None, None) => ended,
    };
    format!("{mark} {}  {state}, {elapsed}", style(&head.app).for_stderr().bold())
}

fn paint(text: String, status: Status) -> StyledObject<String> {
    let text = style(text).for_stderr();
    match status {
        Status::Waiting => text.dim(),
        Status::Queued | Status::Starting => text.cyan(),
        Status::Running | Status::Stopping => text.yellow(),
        Status::Ended(Outcome::Succeeded) => text.green(),
        Status::Ended(Outcome::Failed | Outcome::TimedOut | Outcome::Unreachable) => text.red(),
        Status::Ended(Outcome::Superseded | Outcome::Canceled | Outcome::Skipped) => text.magenta(),
    }
}

fn state(line: &TargetLine) -> String {
    let words = match line.status {
        Status::Waiting => "waiting",
        Status::Queued => "queued",
        Status::Starting => "starting",
        Status::Running => "running",
        Status::Stopping => "stopping",
        Status::Ended(outcome) => outcome.words(),
    };
    words.to_owned()
}

/// Why it failed, or how long it took; with `now`, how long it has been running.
fn details(line: &TargetLine, now: Option<Timestamp>) -> String {
    let attempt = (line.attempt.0 > 1).then(|| format!("attempt {}", line.attempt.0));
    let runs = matches!(line.status, Status::Running | Status::Stopping);
    let time = match now {
        Some(now) if runs => line.started_at.map(|started| now.since(started)),
        _ => line.took,
    };
    let why = line.cause.clone().or_else(|| time.map(|time| time.to_string()));
    [attempt, why].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use console::strip_ansi_codes;
    use manifold_fleet::Fleet;
    use manifold_local::faults::Faults;
    use manifold_local::simulation::Setup;

    use super::*;
    use crate::simulate::{DEMO_EVENT, DEMO_FLEET};

    /// The rows after every step of a demo, as they are drawn at a width.
    fn drawn(width: usize) -> Vec<Vec<String>> {
        let setup = Setup {
            fleet: Fleet::parse("fleet.yaml", DEMO_FLEET).unwrap(),
            event: DEMO_EVENT.to_owned(),
            chosen: vec!["prod/eu-west-1=AccessDenied".parse().unwrap()],
            seed: 1,
            faults: Faults::default(),
        };
        let mut simulation = Simulation::new(setup).unwrap();
        let mut progress = Progress::off();
        let mut drawn = Vec::new();
        let mut began = None;
        while let Some(now) = simulation.step().unwrap() {
            progress.look(&simulation).unwrap();
            let began = *began.get_or_insert(now);
            let rows = progress.runs.values().flat_map(|seen| rows(seen, now, began, "⠋", width));
            drawn.push(rows.map(|row| strip_ansi_codes(&truncate_str(&row, width, "…")).into_owned()).collect());
        }
        drawn
    }

    #[test]
    fn rows_keep_their_order_columns_and_width() {
        for width in [120, 80, 60, 30] {
            for rows in drawn(width).iter().filter(|rows| !rows.is_empty()) {
                assert_eq!(rows.len(), 11);
                assert!(rows.iter().all(|row| measure_text_width(row) <= width), "{width}: {rows:#?}");
            }
        }
        let all = drawn(60);
        let last = all.last().unwrap();
        assert_eq!(last[9], "  ⊘ prod/eu-west-1       unreachable  AccessDenied on role …");
        assert!(last[10].starts_with("✖ web  completed with failures, 10 of 10 ended, "), "{}", last[10]);
        let places = |rows: &[String]| rows.iter().take(10).map(|row| row.chars().skip(4).take(19).collect()).collect();
        let expected: Vec<String> = places(last);
        for rows in all.iter().filter(|rows| !rows.is_empty()) {
            assert_eq!(places(rows), expected);
        }
    }

    #[test]
    fn a_long_name_gives_way_before_its_region() {
        let all = drawn(30);
        assert!(all.last().unwrap()[7].contains("ap-southeast-2"), "{:#?}", all.last());
    }
}
