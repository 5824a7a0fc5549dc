//! Live progress on standard error: a row for each stack on a terminal, a line for each event elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};
use std::time::Duration;

use console::{Term, measure_text_width, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::desired::Desired;
use super::stack::Outcome;

/// More stacks than this are shown as one bar.
const MOST_ROWS: usize = 40;
/// How often rows are redrawn.
const FRAME: Duration = Duration::from_millis(80);

/// Shows what happens to some stacks.
pub(crate) struct Watch {
    /// What each stack is called.
    names: Vec<String>,
    view: View,
    /// Never drawn: it tells how long this has taken.
    clock: ProgressBar,
}

enum View {
    Lines { told: RefCell<Vec<String>> },
    Rows { rows: Vec<ProgressBar>, screen: MultiProgress },
    Bar { bar: ProgressBar, ended: Cell<u64> },
}

/// A stack's name, then where it is.
pub(crate) fn label(stack: &Desired) -> String {
    format!("{} {}/{}", stack.name, stack.account_name, stack.region)
}

impl Watch {
    /// For these stacks, by their place in the list.
    pub(crate) fn new(stacks: &[&Desired], what: &str) -> Self {
        let labels: Vec<String> = stacks.iter().map(|stack| label(stack)).collect();
        let width = labels.iter().map(|label| measure_text_width(label)).max().unwrap_or(0);
        let names: Vec<String> = labels.iter().map(|label| format!("{label:<width$}")).collect();
        let redraws = std::io::stderr().is_terminal() && !console::is_dumb();
        let room = Term::stderr().size_checked().map_or(0, |(height, _)| usize::from(height).saturating_sub(2));
        let view = if !redraws {
            View::Lines { told: RefCell::new(vec![String::new(); names.len()]) }
        } else if names.len() <= MOST_ROWS.min(room) {
            let screen = MultiProgress::new();
            let rows: Vec<ProgressBar> = names.iter().map(|name| row(&screen, name)).collect();
            View::Rows { rows, screen }
        } else {
            let bar = ProgressBar::new(names.len() as u64);
            // The template is a constant of ours; were it wrong, a plain bar does.
            if let Ok(template) = ProgressStyle::with_template("{spinner:.cyan} {msg}  {pos} of {len}  {elapsed}") {
                bar.set_style(template);
            }
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(FRAME);
            View::Bar { bar, ended: Cell::new(0) }
        };
        Self { names, view, clock: ProgressBar::hidden() }
    }

    /// A stack's operation, as CloudFormation names its state, and how many resources are done.
    pub(crate) fn doing(&self, index: usize, status: &str, done: usize) {
        let verb = match status.split('_').next() {
            _ if status.contains("ROLLBACK") => "rolling back",
            Some("CREATE" | "REVIEW") => "creating",
            Some("UPDATE") => "updating",
            Some("DELETE") => "deleting",
            Some(_) | None => "working",
        };
        match &self.view {
            View::Lines { .. } => self.line(index, verb),
            View::Rows { rows, .. } => {
                if let Some(row) = rows.get(index) {
                    row.set_message(format!("{verb}, {} done", crate::words::counted(done, "resource")));
                }
            }
            View::Bar { .. } => {}
        }
    }

    /// A stack's operation is over.
    pub(crate) fn ended(&self, index: usize, outcome: &Outcome) {
        let words = outcome.words();
        match &self.view {
            View::Lines { .. } => self.line(index, words),
            View::Rows { rows, .. } => {
                if let Some(row) = rows.get(index) {
                    let mark = match outcome {
                        Outcome::Deployed { .. } => style("✔").for_stderr().green(),
                        Outcome::Failed { .. } => style("✖").for_stderr().red(),
                        Outcome::Skipped { .. } => style("–").for_stderr().dim(),
                    };
                    if let Ok(template) = ProgressStyle::with_template("  {prefix}  {msg}") {
                        row.set_style(template);
                    }
                    row.set_prefix(format!("{mark} {}", self.names.get(index).map_or("", String::as_str)));
                    row.finish_with_message(words);
                }
            }
            View::Bar { bar, ended } => {
                ended.set(ended.get() + 1);
                bar.set_position(ended.get());
            }
        }
    }

    /// Takes the rows away: what follows says it all.
    pub(crate) fn close(self) {
        match self.view {
            View::Lines { .. } => {}
            View::Rows { rows, screen } => {
                rows.iter().for_each(ProgressBar::finish_and_clear);
                // A terminal that is gone can't be cleared.
                let _ = screen.clear();
            }
            View::Bar { bar, .. } => bar.finish_and_clear(),
        }
    }

    fn line(&self, index: usize, news: &str) {
        let View::Lines { told } = &self.view else { return };
        let mut told = told.borrow_mut();
        let (Some(name), Some(told)) = (self.names.get(index), told.get_mut(index)) else { return };
        if told != news {
            news.clone_into(told);
            // Nobody may be listening any more; what is deployed is deployed all the same.
            let _ = writeln!(
                std::io::stderr().lock(),
                "{:>8}  {name}  {news}",
                format!("+{} s", self.clock.elapsed().as_secs())
            );
        }
    }
}

fn row(screen: &MultiProgress, name: &str) -> ProgressBar {
    let row = screen.add(ProgressBar::new_spinner());
    // The template is a constant of ours; were it wrong, a plain spinner does.
    if let Ok(template) = ProgressStyle::with_template("  {spinner:.cyan} {prefix}  {msg}") {
        row.set_style(template);
    }
    row.set_prefix(name.to_owned());
    row.set_message("waiting");
    row.enable_steady_tick(FRAME);
    row
}
