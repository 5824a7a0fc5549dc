//! The message as Slack takes it: Block Kit, within its limits for 10 targets and for 10,000.
//!
//! From top to bottom, as a person reads: the verdict; the release; how the targets do, which is the symbols' legend
//! at the same time; the grid; the causes of failures; what to do next; what is asked, and the buttons; the small print.
//! Every symbol has its word in the legend, so that nothing is told by colour alone, and only what succeeded is green.
//!
//! The grid is one line of text a Region (or an account), not Slack's table block: a message shows that below
//! everything else, and a phone cuts it; a line wraps. Each cell names its account and links its execution, as long
//! as the links fit. When they do not, first the links of what succeeded go, then all of them; the causes keep theirs.
//!
//! Nothing here changes with time alone: a message is edited when its digest changes, so a run in progress shows when
//! it began and when it is due, never how long it has been.

pub(crate) mod blocks;
pub(crate) mod mrkdwn;

use super::layout::{self, Count, Grid, Mark, Marks, State, number};
use super::payload::{MOST_HEADER_TEXT, MOST_SECTION_TEXT, MOST_TEXT};
use super::{Action, CauseGroup, Payload, Summary, TargetLine, clean};
use crate::console;
use crate::ids::Attempt;
use crate::press;
use crate::run::Verdict;
use blocks::{Blocks, Button, Confirm, List, cost, cost_of_buttons};
use mrkdwn::{code, console_link, date, label, prose, revision_link, units};

/// An account's or a wave's name; they come from the fleet file.
const NAME: usize = 48;
/// A cause.
const CAUSE: usize = 200;
/// One thing that a run waits for.
const WAIT: usize = 200;
/// How many rows of counts are shown before the rest is counted.
const ROWS: usize = 12;
/// How many causes are shown before the rest is counted.
const CAUSES: usize = 6;
/// How many targets of one cause are linked before the rest is counted.
const TARGETS_OF_CAUSE: usize = 6;
/// What one operator did.
const DEED: usize = 200;
/// What the run is for.
const ORIGIN: usize = 300;

/// The one message of a run.
#[must_use]
pub fn message(summary: &Summary) -> Payload {
    let headline = format!("{} {}", state_symbol(summary), layout::headline(summary));
    let release = release_lines(summary);
    let status = status_lines(summary);
    let next = next_lines(summary);
    let asks = asks_lines(summary);
    let buttons = buttons(summary);
    let context = context_lines(summary);
    let lines = [&release, &status, &next, &asks, &context];
    let fixed =
        units(&headline) + cost_of_buttons(&buttons) + lines.into_iter().map(|lines| cost(lines)).sum::<usize>();
    let room = MOST_TEXT.saturating_sub(fixed);

    // The causes give way to the grid only for the half that they may not need.
    let grid = Grid::of(summary);
    let richest = grid_lines(&grid, Links::All, room);
    let causes = cause_lines(summary, (room / 2).max(room.saturating_sub(cost(&richest))));
    let left = room.saturating_sub(cost(&causes));
    let grid = [Links::All, Links::Unfinished, Links::None]
        .into_iter()
        .map(|links| grid_lines(&grid, links, left))
        .find(|lines| cost(lines) <= left)
        .unwrap_or_default();

    let mut blocks = Blocks::default();
    blocks.header(&clean::cut(&headline, MOST_HEADER_TEXT));
    for lines in [release, status, grid] {
        blocks.lines(&lines);
    }
    // A section of its own sets each cause apart.
    for cause in causes {
        blocks.lines(&[cause]);
    }
    blocks.lines(&next);
    blocks.lines(&asks);
    blocks.actions(buttons);
    blocks.context(&context);
    Payload { text: fallback(summary, &headline), blocks: blocks.into_values() }
}

/// The details of what does not have the release, for one reply in the message's thread; `None` when there are none.
#[must_use]
pub fn thread(summary: &Summary) -> Option<Payload> {
    let mut entries: Vec<((usize, usize), String)> = Vec::new();
    for (order, group) in summary.causes.iter().enumerate() {
        for (rank, line) in group.targets.iter().filter_map(|index| summary.targets.get(*index)).enumerate() {
            entries.push(((rank, order), detail_entry(group, line)));
        }
    }
    if entries.is_empty() {
        return None;
    }
    let count = entries.len();
    let title = format!("{}: {} without the release, in detail", summary.app, layout::targets(count));
    let note = layout::console_note(summary.regions.first()).to_owned();
    let room = MOST_TEXT.saturating_sub(units(&title) + units(&note) + 4);
    if entries.iter().map(|(_, entry)| units(entry) + 1).sum::<usize>() > room {
        // Not everything fits: then one target of each cause goes before the second of any.
        entries.sort_by_key(|(order, _)| *order);
    }
    let entries = entries.into_iter().map(|(_, entry)| entry).collect();
    let more = |shown| format!("+{} more; all causes are counted in the summary above.", number(count - shown));
    let mut blocks = Blocks::default();
    blocks.lines(&[format!("*{title}*")]);
    blocks.lines(&List { separator: "\n", room, at_most: usize::MAX }.fit(entries, more));
    blocks.context(&[note]);
    Some(Payload { text: title, blocks: blocks.into_values() })
}

/// What replaces a thread's details once [`thread`] has none left, because a retry mended them: a reply can't be
/// left to say what is no longer true.
#[must_use]
pub fn thread_cleared(summary: &Summary) -> Payload {
    let text = format!("{}: no target is left whose failure needs a detail.", summary.app);
    let mut blocks = Blocks::default();
    blocks.lines(std::slice::from_ref(&text));
    Payload { text, blocks: blocks.into_values() }
}

fn fallback(summary: &Summary, headline: &str) -> String {
    let counts = legend(&layout::marks(&summary.targets));
    match State::of(summary) {
        State::Waiting | State::Ended(Verdict::Succeeded | Verdict::Overtaken) => headline.to_owned(),
        State::InProgress | State::InProgressAgain | State::Ended(_) => {
            List { separator: " – ", room: 300, at_most: 2 }.join(vec![headline.to_owned(), counts], |_| "…".to_owned())
        }
    }
}

fn release_lines(summary: &Summary) -> Vec<String> {
    let release = &summary.release;
    let mut lines: Vec<String> = layout::origin(summary).map(|origin| prose(&origin, ORIGIN)).into_iter().collect();
    match &release.revision {
        Some(revision) => {
            let id = Some(label(revision.short_id(), 72)).filter(|id| !id.is_empty());
            let id = revision_link(revision.url.as_deref(), &id.unwrap_or_else(|| "revision".to_owned()));
            let message = revision.message.as_deref().map(clean::first_line).filter(|message| !message.is_empty());
            let message = message.map_or_else(|| "_no message_".to_owned(), |message| prose(&message, 300));
            lines.push(format!("*{id}* {message}"));
            let facts = [("by", &revision.author), ("on", &revision.reference), ("in", &revision.repository)];
            let facts: Vec<String> = facts
                .into_iter()
                .filter_map(|(word, text)| text.as_deref().map(|text| (word, prose(text, 100))))
                .filter(|(_, text)| !text.is_empty())
                .map(|(word, text)| format!("{word} {text}"))
                .collect();
            if !facts.is_empty() {
                lines.push(format!("Committed {}", facts.join(" ")));
            }
        }
        None => lines.push(
            "*Revision not known*: the release pipeline reported none, so no target is pinned to one.".to_owned(),
        ),
    }
    let source = &release.source.target;
    let pipeline = console_link(
        console::execution(&source.region, &release.pipeline, &release.source.id).as_deref(),
        &label(release.pipeline.as_str(), 100),
    );
    let who = release.trigger.who().map(|who| prose(who, 100)).filter(|who| !who.is_empty());
    let who = who.map_or_else(String::new, |who| format!(" by {who}"));
    lines.push(format!("Released{who} {} with {pipeline} in account `{}`", date(release.released_at), source.account));
    lines
}

/// The legend with its counts, then what is waited for or why the run ended.
fn status_lines(summary: &Summary) -> Vec<String> {
    let mut lines = match State::of(summary) {
        State::Waiting | State::Ended(Verdict::Overtaken) => Vec::new(),
        // A run that found nothing to do has no targets.
        _ if summary.targets.is_empty() => Vec::new(),
        State::InProgress | State::InProgressAgain | State::Ended(_) => vec![legend(&layout::marks(&summary.targets))],
    };
    lines.extend(layout::unchanged(summary));
    match summary.waits_for.as_slice() {
        [] => {}
        [only] => lines.push(format!("*Waits for* {}", prose(only, WAIT))),
        several => {
            lines.push("*Waits for*".to_owned());
            lines.extend(several.iter().map(|wait| format!("• {}", prose(wait, WAIT))));
        }
    }
    for (state, count) in layout::unrecognised(summary).into_iter().take(3) {
        let state = code(state, 48).unwrap_or_else(|| "no state".to_owned());
        lines.push(format!("{} in a state that this version does not know: {state}", layout::targets(count)));
    }
    if summary.verdict.is_some() {
        lines.extend(layout::why(summary).map(|why| prose(&why, 240)));
    }
    lines.extend(layout::reopened(summary));
    lines.extend(layout::asked_for(summary));
    let (earlier, deeds) = layout::deeds(summary);
    lines.extend(earlier);
    lines.extend(deeds.iter().map(|deed| prose(deed, DEED)));
    let total = lines.len();
    List { separator: "\n", room: 1_400, at_most: usize::MAX }.fit(lines, |shown| format!("+{} more", total - shown))
}

fn next_lines(summary: &Summary) -> Vec<String> {
    summary.next_step().map(|next| format!("*What to do:* {}", prose(&next, 300))).into_iter().collect()
}

/// The wave that waits for approval: what is asked, of whom, and until when.
fn asks_lines(summary: &Summary) -> Vec<String> {
    let Some(asks) = &summary.asks else { return Vec::new() };
    let revision = summary.release.revision.as_ref().map(|revision| label(revision.short_id(), 72));
    let revision = revision.filter(|id| !id.is_empty());
    let revision = revision.map_or_else(|| "this release".to_owned(), |id| format!("revision *{id}*"));
    let targets = layout::targets(asks.targets);
    let approvers: Vec<String> = asks.approvers.iter().map(|approver| prose(approver, NAME)).collect();
    let total = approvers.len();
    let list = List { separator: ", ", room: 400, at_most: 10 };
    let approvers = list.join(approvers, |shown| format!("+{} more", total - shown));
    vec![
        format!("*Let wave {} begin?* It brings {revision} to {targets}.", prose(&asks.wave, NAME)),
        format!("May decide: {approvers} · until {}", date(asks.until)),
    ]
}

/// What may be done with a press. Whatever ends something asks once more.
fn buttons(summary: &Summary) -> Vec<Button> {
    let button = |action: &Action| {
        let (label, style, confirm) = match action {
            Action::Approve { .. } => ("Approve", Some("primary"), None),
            Action::Reject { wave } => (
                "Reject",
                Some("danger"),
                Some(Confirm {
                    title: "Reject this wave?",
                    text: format!("Wave {} does not begin, and the run ends. What ran, ran.", layout::word(wave)),
                    yes: "Reject",
                }),
            ),
            Action::Abort => (
                "Abort",
                Some("danger"),
                Some(Confirm {
                    title: "Abort this run?",
                    text: "Nothing more is started. What runs already goes on to its end.".to_owned(),
                    yes: "Abort",
                }),
            ),
            Action::RetryFailed => ("Retry failed", None, None),
        };
        let value = press::value(&summary.run, action)?;
        Some(Button { id: press::action_id(action), label, style, value, confirm })
    };
    summary.actions.iter().filter_map(button).collect()
}

fn context_lines(summary: &Summary) -> Vec<String> {
    let mut first = format!("Run `{}` · opened {}", summary.run, date(summary.opened_at));
    // A run that was closed already has no deadline left to keep.
    match (summary.took(), summary.due_at.filter(|_| summary.closing.is_none())) {
        (Some(took), _) => first.push_str(&format!(" · took {took}")),
        (None, Some(due)) => first.push_str(&format!(" · must end by {}", date(due))),
        (None, None) => {}
    }
    let mut lines = vec![first];
    let grid = Grid::of(summary);
    if let Grid::Nothing = grid {
        lines.push(format!(
            "{} in {} {} and {} {}",
            layout::targets(summary.size),
            number(summary.accounts.len()),
            if summary.accounts.len() == 1 { "account" } else { "accounts" },
            number(summary.regions.len()),
            if summary.regions.len() == 1 { "Region" } else { "Regions" },
        ));
        return lines;
    }
    let is_counted = match &grid {
        Grid::Counts { .. } => true,
        Grid::Nothing | Grid::ByRegion(_) | Grid::ByAccount(_) => false,
    };
    if summary.waves.len() > 1 && !is_counted {
        let waves = summary.waves.iter();
        let waves =
            waves.map(|wave| format!("{} {}/{}", prose(&wave.name, NAME), wave.tally.ended(), wave.size)).collect();
        let list = List { separator: " · ", room: 500, at_most: 20 };
        lines.push(format!(
            "Ended by wave: {}",
            list.join(waves, |shown| format!("+{} more", summary.waves.len() - shown))
        ));
    }
    if let Grid::ByRegion(_) = grid
        && !summary.accounts.is_empty()
    {
        let accounts: Vec<String> =
            summary.accounts.iter().map(|account| format!("{} `{}`", prose(&account.name, NAME), account.id)).collect();
        lines.push(format!("Accounts: {}", accounts.join(" · ")));
    }
    lines.push(layout::console_note(summary.regions.first()).to_owned());
    lines
}

/// Which cells of the grid are links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    All,
    Unfinished,
    None,
}

impl Links {
    /// Says what was left out.
    fn note(self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Unfinished => Some("What succeeded is not linked here; the message would be too long.".to_owned()),
            Self::None => Some("Targets are not linked here; the message would be too long.".to_owned()),
        }
    }
}

fn grid_lines(grid: &Grid<'_>, links: Links, room: usize) -> Vec<String> {
    match grid {
        Grid::Nothing => Vec::new(),
        Grid::ByRegion(rows) => {
            let titles = aligned(rows.iter().map(|(region, _)| region.to_string()));
            let rows = rows.iter().zip(titles);
            let rows = rows.map(|((_, cells), title)| row(&title, cells, |line| &line.account_name, links));
            rows.chain(links.note()).collect()
        }
        Grid::ByAccount(rows) => {
            let titles = aligned(rows.iter().map(|(account, _)| name(&account.name)));
            let rows = rows.iter().zip(titles);
            let rows = rows.map(|((account, cells), title)| {
                row(&format!("{title} `{}`", account.id), cells, |line| line.key.region.as_str(), links)
            });
            rows.chain(links.note()).collect()
        }
        Grid::Counts { waves, regions, accounts } => {
            // Only counts: the accounts, of which there may be thousands, take what the others leave.
            let mut lines = count_lines("By wave", "wave", "waves", waves, room.min(1_000));
            lines.extend(count_lines("By Region", "Region", "Regions", regions, room.min(1_600)));
            let left = room.saturating_sub(cost(&lines)).min(1_600);
            lines.extend(count_lines("By account, failures first", "account", "accounts", accounts, left));
            lines
        }
    }
}

/// One line of the grid. Its links go when the line alone would not fit into a section.
fn row<'a>(
    title: &str,
    cells: &[Option<&'a TargetLine>],
    name: impl Fn(&'a TargetLine) -> &'a str,
    links: Links,
) -> String {
    let draw = |links: Links| {
        cells.iter().flatten().fold(title.to_owned(), |mut out, line| {
            let mark = Mark::of(line);
            let name = label(name(line), NAME);
            let cell = match links {
                Links::All => console_link(line.link.as_deref(), &name),
                Links::Unfinished if mark != Mark::Succeeded => console_link(line.link.as_deref(), &name),
                Links::Unfinished | Links::None => name,
            };
            out.push_str(&format!("  {} {cell}{}", symbol(mark), attempt_words(line)));
            out
        })
    };
    let rich = draw(links);
    if units(&rich) < MOST_SECTION_TEXT { rich } else { draw(Links::None) }
}

fn count_lines(title: &str, one: &str, many: &str, counts: &[Count], room: usize) -> Vec<String> {
    if counts.len() < 2 {
        return Vec::new();
    }
    let line = |(count, name): (&Count, String)| {
        let account = count.account.as_ref().map_or_else(String::new, |id| format!(" `{id}`"));
        let marks: Vec<String> =
            count.marks.iter().map(|(mark, count)| format!("{} {}", symbol(*mark), number(*count))).collect();
        format!("{name}{account}  {}", marks.join("  "))
    };
    // Rows that can't be shown need not be drawn, and must not widen those that can.
    let drawn = counts.get(..=ROWS).unwrap_or(counts);
    let names = aligned(drawn.iter().map(|count| name(&count.name)));
    let list = List { separator: "\n", room: room.saturating_sub(units(title) + 4), at_most: ROWS };
    let rows = list.fit(drawn.iter().zip(names).map(line).collect(), |shown| {
        let rest = &counts[shown..];
        let noun = if rest.len() == 1 { one } else { many };
        let green = if rest.iter().all(Count::is_green) { ", all succeeded" } else { "" };
        format!("+{} more {noun}{green}", number(rest.len()))
    });
    std::iter::once(format!("*{title}*")).chain(rows).collect()
}

fn cause_lines(summary: &Summary, room: usize) -> Vec<String> {
    let entries = summary.causes.iter().map(|group| cause_entry(summary, group)).collect();
    List { separator: "\n", room, at_most: CAUSES }.fit(entries, |shown| {
        let rest = &summary.causes[shown..];
        let hidden: usize = rest.iter().map(|group| group.targets.len()).sum();
        let noun = if rest.len() == 1 { "cause" } else { "causes" };
        format!("+{} more {noun}, {}", number(rest.len()), layout::targets(hidden))
    })
}

/// A cause with links to the executions, and one of its targets' own words.
fn cause_entry(summary: &Summary, group: &CauseGroup) -> String {
    let lines = || group.targets.iter().filter_map(|index| summary.targets.get(*index));
    // More than can be shown need not be drawn.
    let places = lines().take(TARGETS_OF_CAUSE + 1).map(place).collect();
    let list = List { separator: " · ", room: 1_200, at_most: TARGETS_OF_CAUSE };
    let places = list.join(places, |shown| format!("+{} more", number(group.targets.len() - shown)));
    let mut entry = format!(
        "{} *{}*: {}\n{places}",
        symbol(group.outcome.into()),
        prose(&group.cause, CAUSE),
        layout::targets(group.targets.len())
    );
    let mut details: Vec<&str> = lines().filter_map(|line| line.detail.as_deref()).collect();
    let example = details.first().and_then(|detail| code(detail, 240));
    details.sort_unstable();
    details.dedup();
    if let Some(detail) = example {
        entry.push_str(if details.len() > 1 { "\ne.g. " } else { "\n" });
        entry.push_str(&detail);
    }
    entry
}

/// A target with its link and its account, because a link does not choose one.
fn place(line: &TargetLine) -> String {
    let place = label(&format!("{} {}", name(&line.account_name), line.key.region), NAME + 34);
    format!("{} `{}`{}", console_link(line.link.as_deref(), &place), line.key.account, attempt_words(line))
}

fn detail_entry(group: &CauseGroup, line: &TargetLine) -> String {
    let mut entry = format!("{} {}: *{}*", symbol(group.outcome.into()), place(line), prose(&group.cause, CAUSE));
    if let Some(link) = line.reason_link.as_deref().filter(|link| console::is_console_link(link)) {
        entry.push_str(&format!(" · {}", console_link(Some(link), "failed action")));
    }
    if let Some(took) = line.took {
        entry.push_str(&format!(" · after {took}"));
    }
    if let Some(detail) = line.detail.as_deref().and_then(|detail| code(detail, 600)) {
        entry.push_str(&format!("\n{detail}"));
    }
    entry
}

fn attempt_words(line: &TargetLine) -> String {
    let again = if line.reopened_after_close { " (retried there)" } else { "" };
    if line.attempt > Attempt::FIRST { format!(" (attempt {}){again}", line.attempt) } else { again.to_owned() }
}

/// `:x: 3 failed · :white_check_mark: 7 succeeded`.
fn legend(marks: &Marks) -> String {
    let parts: Vec<String> =
        marks.iter().map(|(mark, count)| format!("{} {} {}", symbol(*mark), number(*count), mark.words())).collect();
    parts.join(" · ")
}

/// An account's or a wave's name, cut before it is measured.
fn name(text: &str) -> String {
    clean::cut(&clean::flat(text), NAME)
}

/// Code spans of one width. They are padded with no-break spaces, as ordinary ones are folded.
fn aligned(texts: impl Iterator<Item = String>) -> Vec<String> {
    let texts: Vec<String> = texts.collect();
    let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let pad = |text: &String| {
        let missing = width - text.chars().count();
        // Escaping may lengthen a character to five units.
        let span = code(text, 5 * NAME).unwrap_or_else(|| "`–`".to_owned());
        format!("{}{}`", span.strip_suffix('`').unwrap_or(&span), "\u{a0}".repeat(missing))
    };
    texts.iter().map(pad).collect()
}

/// Told apart by shape as well as by colour; only success is green.
const fn symbol(mark: Mark) -> &'static str {
    match mark {
        Mark::Failed => ":x:",
        Mark::Unreachable => ":no_entry:",
        Mark::TimedOut => ":alarm_clock:",
        Mark::Superseded => ":fast_forward:",
        Mark::Canceled => ":octagonal_sign:",
        Mark::Unknown => ":grey_question:",
        Mark::Stopping => ":raised_hand:",
        Mark::Running => ":arrow_forward:",
        Mark::Starting => ":hourglass_flowing_sand:",
        Mark::Waiting => ":white_circle:",
        Mark::Skipped => ":heavy_minus_sign:",
        Mark::Succeeded => ":white_check_mark:",
    }
}

fn state_symbol(summary: &Summary) -> &'static str {
    match State::of(summary) {
        // Nothing moves until somebody decides.
        _ if summary.asks.is_some() => symbol(Mark::Waiting),
        State::Waiting => symbol(Mark::Waiting),
        State::InProgress | State::InProgressAgain => symbol(Mark::Running),
        State::Ended(Verdict::Succeeded) => symbol(Mark::Succeeded),
        State::Ended(Verdict::CompletedWithFailures | Verdict::Incomplete) => ":warning:",
        State::Ended(Verdict::Failed) => symbol(Mark::Failed),
        State::Ended(Verdict::TimedOut) => symbol(Mark::TimedOut),
        State::Ended(Verdict::Overtaken) => symbol(Mark::Superseded),
        State::Ended(Verdict::Aborted | Verdict::NotApproved | Verdict::Refused) => symbol(Mark::Canceled),
    }
}
