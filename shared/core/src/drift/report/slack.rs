//! The report as Slack takes it: Block Kit, within its limits for 10 targets and for 10,000.
//!
//! From top to bottom, as a person reads: the headline; warnings; which check it is; the counts; what is new, what is not
//! known, what is in sync again and what stands; what to do next; the small print. Only what was seen to be in sync is
//! green.

use super::layout::{self, Blame, Cluster, Group, Mark, Part, Place, Word, Words};
use super::{Answer, Report};
use crate::drift::judge::Finding;
use crate::summary::layout::{console_note, number, targets};
use crate::summary::payload::{MOST_HEADER_TEXT, MOST_TEXT};
use crate::summary::slack::blocks::{Blocks, List, cost};
use crate::summary::slack::mrkdwn::{code, console_link, date, label, prose, units};
use crate::summary::{Payload, clean};

/// An account's name.
const NAME: usize = 48;
/// What somebody else said.
const WORDS: usize = 200;
/// What a group has in common.
const TITLE: usize = 360;
/// A path.
const PATH: usize = 120;
/// A value.
const VALUE: usize = 80;
/// How many groups of a part are shown before the rest is counted.
const GROUPS: usize = 6;
/// How many targets of a group.
const TARGETS: usize = 6;
/// How many kinds of findings of a group.
const KINDS: usize = 3;
/// How many findings of a kind.
const FINDINGS: usize = 6;
/// The most of one group, in UTF-16 units: it stands in a section of its own.
const GROUP: usize = 2_400;
/// What each later part is sure to have, in UTF-16 units.
const SHARE: usize = 900;
/// How many expired rules, and gone targets.
const NAMED: usize = 5;

/// The one message of a check.
#[must_use]
pub fn message(report: &Report) -> Payload {
    let headline = format!("{} {}", symbol(Mark::of(report)), layout::headline(report));
    let warnings: Vec<String> =
        layout::warnings(report).iter().map(|line| format!("{} {}", symbol(Mark::Warning), words(line))).collect();
    let facts = vec![layout::facts(report).iter().map(words).collect::<Vec<_>>().join(" · ")];
    let status = status_lines(report);
    let next = next_lines(report);
    let context = context_lines(report);
    let lines = [&warnings, &facts, &status, &next, &context];
    let fixed = units(&headline) + lines.into_iter().map(|lines| cost(lines)).sum::<usize>();

    // Each part may take all that is left, but for the share of those that follow it.
    let drawn: Vec<(Part, Vec<Group<'_>>)> =
        Part::ALL.into_iter().map(|part| (part, layout::groups(report, part))).collect();
    let mut left = MOST_TEXT.saturating_sub(fixed);
    let mut parts = Vec::new();
    for (index, (part, groups)) in drawn.iter().enumerate() {
        let later = drawn.iter().skip(index + 1).filter(|(_, groups)| !groups.is_empty()).count();
        let entries = part_lines(report, *part, groups, left.saturating_sub(later * SHARE));
        left = left.saturating_sub(cost(&entries));
        parts.push(entries);
    }

    let mut blocks = Blocks::default();
    blocks.header(&clean::cut(&headline, MOST_HEADER_TEXT));
    blocks.lines(&warnings);
    blocks.context(&facts);
    blocks.lines(&status);
    // A section of its own sets each group apart.
    for entry in parts.into_iter().flatten() {
        blocks.lines(&[entry]);
    }
    blocks.lines(&next);
    blocks.context(&context);
    Payload { text: fallback(report, &headline), blocks: blocks.into_values() }
}

/// The findings of every target in full, for one reply in the message's thread: those that are new, or all of them in a
/// digest. `None` when there are none.
#[must_use]
pub fn thread(report: &Report) -> Option<Payload> {
    let mut entries: Vec<((usize, usize), String)> = Vec::new();
    let parts = Part::ALL.into_iter().filter(|part| match part {
        Part::Drift | Part::Unknown => true,
        Part::Resolved => false,
        Part::Standing => report.is_digest,
    });
    let groups: Vec<Group<'_>> = parts.flat_map(|part| layout::groups(report, part)).collect();
    for (order, group) in groups.iter().enumerate() {
        let places = group.clusters.iter().flat_map(|cluster| cluster.places.iter().map(move |place| (cluster, place)));
        for (rank, (cluster, place)) in places.enumerate() {
            entries.push(((rank, order), detail(group, cluster, place)));
        }
    }
    if entries.is_empty() {
        return None;
    }
    let count = entries.len();
    let noun = if count == 1 { "finding" } else { "findings" };
    let title = format!("{}: {} {noun} of check {}, in detail", report.app, number(count), report.check);
    let note = console_note(report.targets.first().map(|target| &target.key.region)).to_owned();
    let room = MOST_TEXT.saturating_sub(units(&title) + units(&note) + 4);
    if entries.iter().map(|(_, entry)| units(entry) + 1).sum::<usize>() > room {
        // Not everything fits: then one target of each group goes before the second of any.
        entries.sort_by_key(|(order, _)| *order);
    }
    let entries = entries.into_iter().map(|(_, entry)| entry).collect();
    let more = |shown| format!("+{} more; all are counted in the message above.", number(count - shown));
    let mut blocks = Blocks::default();
    blocks.lines(&[format!("*{title}*")]);
    blocks.lines(&List { separator: "\n", room, at_most: usize::MAX }.fit(entries, more));
    blocks.context(&[note]);
    Some(Payload { text: title, blocks: blocks.into_values() })
}

fn fallback(report: &Report, headline: &str) -> String {
    if Mark::of(report) == Mark::InSync || !report.is_closed() {
        return headline.to_owned();
    }
    List { separator: " – ", room: 300, at_most: 2 }.join(vec![headline.to_owned(), legend(report)], |_| "…".to_owned())
}

/// `:x: 3 drifted · :white_check_mark: 7 in sync`.
fn legend(report: &Report) -> String {
    let counts = layout::counts(report);
    counts.iter().map(|(mark, words)| format!("{} {words}", symbol(*mark))).collect::<Vec<_>>().join(" · ")
}

fn status_lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = Some(legend(report)).filter(|legend| !legend.is_empty()).into_iter().collect();
    match report.waits_for.as_slice() {
        [] => {}
        [only] => lines.push(format!("*Waits for* {}", prose(only, WORDS))),
        several => {
            lines.push("*Waits for*".to_owned());
            lines.extend(several.iter().map(|wait| format!("• {}", prose(wait, WORDS))));
        }
    }
    lines.extend(layout::story(report).iter().map(words));
    lines
}

fn next_lines(report: &Report) -> Vec<String> {
    let steps = layout::next_steps(report);
    match steps.as_slice() {
        [] => Vec::new(),
        [only] => vec![format!("*What to do:* {}", words(only))],
        several => {
            let steps = several.iter().map(|step| format!("• {}", words(step)));
            std::iter::once("*What to do*".to_owned()).chain(steps).collect()
        }
    }
}

fn context_lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = layout::gone(report, NAMED).map(|gone| prose(&gone, 500)).into_iter().collect();
    lines.extend(layout::rules(report, NAMED).iter().map(words));
    if report.counts.drifted + report.counts.unknown > 0 {
        lines.push(console_note(report.targets.first().map(|target| &target.key.region)).to_owned());
    }
    lines
}

fn part_lines(report: &Report, part: Part, groups: &[Group<'_>], room: usize) -> Vec<String> {
    if groups.is_empty() {
        return Vec::new();
    }
    let is_counted = part == Part::Standing && !report.is_digest;
    let title = format!("*{}*", part.title());
    // More than can be shown need not be drawn.
    let drawn = groups.iter().take(GROUPS + 1);
    let entries: Vec<String> = match is_counted {
        true => drawn.map(count_line).collect(),
        false => drawn.map(entry).collect(),
    };
    let list = List { separator: "\n", room: room.saturating_sub(units(&title) + 1), at_most: GROUPS };
    let mut lines = list.fit(entries, |shown| {
        let rest = &groups[shown..];
        let hidden: usize = rest.iter().map(Group::size).sum();
        let noun = if rest.len() == 1 { "finding" } else { "findings" };
        format!("+{} more {noun}, in {}", number(rest.len()), targets(hidden))
    });
    match is_counted {
        true => vec![format!("{title}\n{}", lines.join("\n"))],
        false => {
            if let Some(first) = lines.first_mut() {
                *first = format!("{title}\n{first}");
            }
            lines
        }
    }
}

fn head(group: &Group<'_>) -> String {
    format!("{} *{}*: {}", symbol(group.value.into()), prose(&group.title(), TITLE), targets(group.size()))
}

/// A group in one line, with since when.
fn count_line(group: &Group<'_>) -> String {
    let since = match group.since() {
        None => String::new(),
        Some((since, true)) => format!(", since {}", date(since)),
        Some((first, false)) => format!(", the first since {}", date(first)),
    };
    format!("{}{since}", head(group))
}

/// A group with its targets, linked, and what was found there.
fn entry(group: &Group<'_>) -> String {
    let mut lines = Vec::new();
    let mut shown = 0;
    for cluster in group.clusters.iter().take(KINDS) {
        let most = (TARGETS / group.clusters.len().min(KINDS)).max(1);
        let places = cluster.places.iter().take(most).map(|place| here(place, cluster.blames_places));
        let findings = finding_lines(group, cluster, FINDINGS);
        shown += cluster.places.len().min(most);
        // What several targets have in common is said before them.
        match cluster.places.len() {
            0 | 1 => lines.extend(places.chain(findings)),
            _ => lines.extend(findings.into_iter().chain(places)),
        }
    }
    if let more @ 1.. = group.size().saturating_sub(shown) {
        lines.push(format!("+{} more", number(more)));
    }
    let head = head(group);
    let total = lines.len();
    let list = List { separator: "\n", room: GROUP.saturating_sub(units(&head)), at_most: usize::MAX };
    let lines = list.fit(lines, |shown| format!("… {} more lines", number(total - shown)));
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

fn finding_lines(group: &Group<'_>, cluster: &Cluster<'_>, most: usize) -> Vec<String> {
    let findings = cluster.shown(group);
    let mut lines: Vec<String> =
        findings.iter().take(most).map(|finding| format!("• {}", row(group, cluster, finding))).collect();
    if let more @ 1.. = findings.len().saturating_sub(most) {
        lines.push(format!("• +{} more", number(more)));
    }
    lines
}

/// One target with all that was found there.
fn detail(group: &Group<'_>, cluster: &Cluster<'_>, place: &Place<'_>) -> String {
    let words = prose(&group.title(), TITLE);
    let head = format!("{} {}: *{words}*", symbol(group.value.into()), here(place, cluster.blames_places));
    std::iter::once(head).chain(finding_lines(group, cluster, usize::MAX)).take(22).collect::<Vec<_>>().join("\n")
}

/// A target with its link and its account, because a link does not choose one.
fn here(place: &Place<'_>, blames: bool) -> String {
    let key = &place.target.key;
    let name = clean::cut(&clean::flat(&place.target.account_name), NAME);
    let shown = label(&format!("{name} {}", key.region), NAME + 34);
    let link = place.line.link.as_deref().filter(|_| place.line.value != Answer::InSync);
    format!("{} `{}`{}", console_link(link, &shown), key.account, words(&place.words(blames)))
}

/// `/VisibilityTimeout` `30` → `60`.
fn row(group: &Group<'_>, cluster: &Cluster<'_>, finding: &Finding) -> String {
    let path = finding.path.as_deref().and_then(|path| code(path, PATH));
    let value = |value: &Option<String>| value.as_deref().and_then(|value| code(value, VALUE));
    let values = Group::values(finding.path.as_deref(), value(&finding.expected), value(&finding.found));
    let own = cluster.words_of(group, finding).map(|own| prose(own, WORDS));
    let parts: Vec<String> = [path, values, own].into_iter().flatten().collect();
    let blame = Blame::of(finding).filter(|_| !cluster.blames_places).map(Blame::words).unwrap_or_default();
    format!("{}{}", parts.join(" "), words(&blame))
}

fn words(words: &Words) -> String {
    words.iter().fold(String::new(), |mut out, word| {
        match word {
            Word::Said(said) => {
                let end = if said.ends_with(' ') { " " } else { "" };
                let start = if said.starts_with(' ') { " " } else { "" };
                out.push_str(&format!("{start}{}{end}", prose(said, 2 * WORDS)));
            }
            Word::At(at) => out.push_str(&date(*at)),
            Word::Code(text) => out.push_str(&code(text, WORDS).unwrap_or_default()),
        }
        out
    })
}

/// Told apart by shape as well as by colour; only what is in sync is green.
const fn symbol(mark: Mark) -> &'static str {
    match mark {
        Mark::Open => ":hourglass_flowing_sand:",
        Mark::Warning => ":warning:",
        Mark::Drifted => ":x:",
        Mark::Unknown => ":grey_question:",
        Mark::InSync => ":white_check_mark:",
    }
}
