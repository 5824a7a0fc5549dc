//! The summary as plain text for a terminal: no colours, no escapes, nothing that depends on its width but the words.

use super::layout::{self, Count, Grid, Mark, State, number};
use super::{Summary, TargetLine, clean};
use crate::console;
use crate::ids::Attempt;
use crate::run::Verdict;

/// How many rows of a list are shown before the rest is counted.
const ROWS: usize = 12;
/// How many targets of one cause.
const TARGETS_OF_CAUSE: usize = 4;
/// An account's or a wave's name.
const NAME: usize = 32;

/// Draws the summary.
#[must_use]
pub fn render(summary: &Summary) -> String {
    let mut out = Page::default();
    out.line(headline(summary));
    out.paragraph(facts(summary));
    out.paragraph(status(summary));
    out.paragraph(grid(summary));
    for group in causes(summary) {
        out.paragraph(group);
    }
    out.paragraph(summary.next_step().map(|next| format!("What to do: {}", clean::flat(&next))));
    out.0
}

/// Its first line: `✔ web: succeeded on all 10 targets`.
#[must_use]
pub fn headline(summary: &Summary) -> String {
    format!("{} {}", state_symbol(summary), layout::headline(summary))
}

/// Somebody else's words, on one line, without what a terminal would take for a command, and cut to so many characters.
#[must_use]
pub fn plain(words: &str, most: usize) -> String {
    clean::cut(&clean::flat(words), most)
}

/// Lines, none of which ends in a space.
#[derive(Default)]
pub(crate) struct Page(pub(crate) String);

impl Page {
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref().trim_end());
        self.0.push('\n');
    }

    pub(crate) fn paragraph(&mut self, lines: impl IntoIterator<Item = String>) {
        for (index, line) in lines.into_iter().enumerate() {
            if index == 0 {
                self.0.push('\n');
            }
            self.line(line);
        }
    }
}

fn facts(summary: &Summary) -> Vec<String> {
    let release = &summary.release;
    let mut facts: Vec<(&str, String)> = Vec::new();
    match &release.revision {
        Some(revision) => {
            let message = revision.message.as_deref().map(clean::first_line).unwrap_or_default();
            let id = clean::flat(revision.short_id());
            facts.push(("Commit", format!("{}  {}", clean::cut(&id, 72), clean::cut(&message, 100))));
            let known = [&revision.author, &revision.reference, &revision.repository];
            let known: Vec<String> = known
                .into_iter()
                .filter_map(|text| text.as_deref().map(|text| clean::cut(&clean::flat(text), 60)))
                .filter(|text| !text.is_empty())
                .collect();
            if !known.is_empty() {
                facts.push(("", known.join(", ")));
            }
            let url = revision.url.as_deref().filter(|url| clean::is_safe_url(url, 600));
            facts.extend(url.map(|url| ("", url.to_owned())));
        }
        None => {
            facts.push(("Commit", "not known: the release pipeline reported none, so no target is pinned".to_owned()))
        }
    }
    let who = release.trigger.who().map(|who| clean::cut(&clean::flat(who), 60)).filter(|who| !who.is_empty());
    let who = who.map_or_else(String::new, |who| format!("by {who}, "));
    let source = &release.source.target;
    facts.push(("Released", format!("{who}{}, {} in {}", release.released_at, release.pipeline, source.account)));
    facts.push(("Run", summary.run.to_string()));
    facts.extend(layout::origin(summary).map(|origin| ("For", clean::cut(&clean::flat(&origin), 240))));
    let time = match (summary.took(), summary.due_at.filter(|_| summary.closing.is_none())) {
        (Some(took), _) => format!("{}, took {took}", summary.opened_at),
        (None, Some(due)) => format!("{}, must end by {due}", summary.opened_at),
        (None, None) => summary.opened_at.to_string(),
    };
    facts.push(("Opened", time));
    facts.into_iter().map(|(name, value)| format!("  {name:<9} {value}")).collect()
}

fn status(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    let counts = layout::marks(&summary.targets);
    let counts: Vec<String> =
        counts.iter().map(|(mark, count)| format!("{} {} {}", symbol(*mark), number(*count), mark.words())).collect();
    match State::of(summary) {
        State::Waiting | State::Ended(Verdict::Overtaken) => {}
        _ if counts.is_empty() => {}
        State::InProgress | State::InProgressAgain | State::Ended(_) => lines.push(counts.join(", ")),
    }
    lines.extend(layout::unchanged(summary));
    lines.extend(asks(summary));
    lines.extend(summary.waits_for.iter().take(ROWS).map(|wait| format!("Waits for {}", clean::flat(wait))));
    lines.extend(layout::unrecognised(summary).into_iter().map(|(state, count)| {
        let state = clean::cut(&clean::flat(state), 48);
        format!("{} in a state that this version does not know: {state:?}", layout::targets(count))
    }));
    if summary.verdict.is_some() {
        lines.extend(layout::why(summary).map(|why| clean::flat(&why)));
    }
    lines.extend(layout::reopened(summary));
    lines.extend(layout::asked_for(summary));
    let (earlier, deeds) = layout::deeds(summary);
    lines.extend(earlier);
    lines.extend(deeds.iter().map(|deed| clean::cut(&clean::flat(deed), 160)));
    lines
}

/// The wave that waits for approval: what is asked, of whom, and until when.
fn asks(summary: &Summary) -> Vec<String> {
    let Some(asks) = &summary.asks else { return Vec::new() };
    let revision = summary.release.revision.as_ref().map(|revision| clean::cut(&clean::flat(revision.short_id()), 72));
    let revision = revision.filter(|id| !id.is_empty());
    let revision = revision.map_or_else(|| "this release".to_owned(), |id| format!("revision {id}"));
    let targets = layout::targets(asks.targets);
    let mut approvers: Vec<String> = asks.approvers.iter().take(ROWS).map(|approver| name(approver)).collect();
    if let more @ 1.. = asks.approvers.len().saturating_sub(ROWS) {
        approvers.push(format!("+{more} more"));
    }
    vec![
        format!("Let wave {} begin? It brings {revision} to {targets}.", name(&asks.wave)),
        format!("May decide: {}; until {}", approvers.join(", "), asks.until),
    ]
}

fn grid(summary: &Summary) -> Vec<String> {
    match Grid::of(summary) {
        Grid::Nothing => Vec::new(),
        Grid::ByRegion(rows) => {
            let names = summary.accounts.iter().map(|account| name(&account.name));
            let head = std::iter::once(String::new()).chain(names).collect();
            let ids = std::iter::once(String::new()).chain(summary.accounts.iter().map(|a| a.id.to_string())).collect();
            let rows = rows.into_iter().map(|(region, cells)| row(region.to_string(), &cells));
            table([head, ids].into_iter().chain(rows).collect())
        }
        Grid::ByAccount(rows) => {
            let head = std::iter::once(String::new()).chain(summary.regions.iter().map(ToString::to_string)).collect();
            let rows = rows.into_iter();
            let rows = rows.map(|(account, cells)| row(format!("{} {}", name(&account.name), account.id), &cells));
            table(std::iter::once(head).chain(rows).collect())
        }
        Grid::Counts { waves, regions, accounts } => {
            [("By wave", "waves", waves), ("By Region", "Regions", regions), ("By account", "accounts", accounts)]
                .into_iter()
                .flat_map(|(title, noun, counts)| count_lines(title, noun, &counts))
                .collect()
        }
    }
}

fn row(title: String, cells: &[Option<&TargetLine>]) -> Vec<String> {
    std::iter::once(title).chain(cells.iter().map(|cell| cell.map_or_else(|| "–".to_owned(), cell_words))).collect()
}

fn cell_words(line: &TargetLine) -> String {
    let mark = Mark::of(line);
    let words = if mark == Mark::Unknown { "unknown" } else { mark.words() };
    format!("{} {words}{}", symbol(mark), attempt_words(line))
}

fn count_lines(title: &str, noun: &str, counts: &[Count]) -> Vec<String> {
    if counts.len() < 2 {
        return Vec::new();
    }
    let rows = counts.iter().take(ROWS).map(|count| {
        let marks: Vec<String> = count
            .marks
            .iter()
            .map(|(mark, count)| format!("{} {} {}", symbol(*mark), number(*count), mark.words()))
            .collect();
        vec![name(&count.name), count.account.clone().unwrap_or_default(), marks.join(", ")]
    });
    let mut lines = vec![title.to_owned()];
    lines.extend(table(rows.collect()));
    let rest = counts.get(ROWS..).unwrap_or_default();
    if !rest.is_empty() {
        let green = if rest.iter().all(Count::is_green) { ", all succeeded" } else { "" };
        lines.push(format!("  +{} more {noun}{green}", number(rest.len())));
    }
    lines
}

fn causes(summary: &Summary) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    for group in summary.causes.iter().take(ROWS) {
        let cause = clean::cut(&clean::flat(&group.cause), 120);
        let count = layout::targets(group.targets.len());
        let mut lines = vec![format!("{} {cause}: {count}", symbol(group.outcome.into()))];
        for line in group.targets.iter().filter_map(|index| summary.targets.get(*index)).take(TARGETS_OF_CAUSE) {
            let place = format!("{} {} {}", name(&line.account_name), line.key.account, line.key.region);
            lines.push(format!("  {place}{}", attempt_words(line)));
            let link = line.link.as_deref().filter(|link| console::is_console_link(link));
            lines.extend(link.map(|link| format!("    {link}")));
        }
        let rest = group.targets.len().saturating_sub(TARGETS_OF_CAUSE);
        if rest > 0 {
            lines.push(format!("  +{} more", number(rest)));
        }
        // One of the providers' words for all of them: they mostly say the same.
        let detail = group.targets.iter().filter_map(|index| summary.targets.get(*index)?.detail.as_deref());
        let detail = detail.map(|detail| clean::cut(&clean::flat(detail), 240)).find(|detail| !detail.is_empty());
        lines.extend(detail.map(|detail| format!("  {detail}")));
        groups.push(lines);
    }
    let rest = summary.causes.get(ROWS..).unwrap_or_default();
    if !rest.is_empty() {
        let hidden: usize = rest.iter().map(|group| group.targets.len()).sum();
        groups.push(vec![format!("+{} more causes, {}", number(rest.len()), layout::targets(hidden))]);
    }
    groups
}

/// Columns as wide as their widest cell, two spaces apart.
pub(crate) fn table(rows: Vec<Vec<String>>) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    // A column that is empty in every row takes no room.
    let kept = |(cell, width): (&String, &usize)| (*width > 0).then(|| format!("{cell:<width$}"));
    rows.iter()
        .map(|row| format!("  {}", row.iter().zip(&widths).filter_map(kept).collect::<Vec<_>>().join("  ")))
        .collect()
}

fn name(text: &str) -> String {
    clean::cut(&clean::flat(text), NAME)
}

fn attempt_words(line: &TargetLine) -> String {
    let again = if line.reopened_after_close { " (retried there)" } else { "" };
    if line.attempt > Attempt::FIRST { format!(" (attempt {}){again}", line.attempt) } else { again.to_owned() }
}

/// One column wide in every terminal font; each has its word beside it.
const fn symbol(mark: Mark) -> char {
    match mark {
        Mark::Failed => '✖',
        Mark::Unreachable => '⊘',
        Mark::TimedOut => '⧖',
        Mark::Superseded => '»',
        Mark::Canceled => '■',
        Mark::Unknown => '?',
        Mark::Stopping => '◼',
        Mark::Running => '▶',
        Mark::Starting => '…',
        Mark::Waiting => '○',
        Mark::Skipped => '–',
        Mark::Succeeded => '✔',
    }
}

fn state_symbol(summary: &Summary) -> char {
    match State::of(summary) {
        // Nothing moves until somebody decides.
        _ if summary.asks.is_some() => symbol(Mark::Waiting),
        State::Waiting => symbol(Mark::Waiting),
        State::InProgress | State::InProgressAgain => symbol(Mark::Running),
        State::Ended(Verdict::Succeeded) => symbol(Mark::Succeeded),
        State::Ended(Verdict::CompletedWithFailures | Verdict::Incomplete) => '!',
        State::Ended(Verdict::Failed) => symbol(Mark::Failed),
        State::Ended(Verdict::TimedOut) => symbol(Mark::TimedOut),
        State::Ended(Verdict::Overtaken) => symbol(Mark::Superseded),
        State::Ended(Verdict::Aborted | Verdict::NotApproved | Verdict::Refused) => symbol(Mark::Canceled),
    }
}
