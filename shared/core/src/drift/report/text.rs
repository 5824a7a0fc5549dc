//! The report as plain text for a terminal: no colours, no escapes. All that stands is listed, news or not, as far as a
//! person reads it.

use super::layout::{self, Blame, Cluster, Group, Mark, Part, Place, Word};
use super::{Answer, Report};
use crate::console;
use crate::drift::judge::Finding;
use crate::summary::clean;
use crate::summary::layout::{number, targets};
use crate::summary::text::Page;

/// How many groups of a part are shown before the rest is counted.
const ROWS: usize = 12;
/// How many targets of a group.
const TARGETS: usize = 12;
/// How many kinds of findings of a group.
const KINDS: usize = 4;
/// How many findings of a group, over all kinds.
const FINDINGS: usize = 24;
/// How many expired rules, and gone targets.
const NAMED: usize = 12;
/// An account's name.
const NAME: usize = 32;
/// What somebody else said.
const WORDS: usize = 200;
/// What a group has in common.
const TITLE: usize = 360;
/// A path.
const PATH: usize = 160;
/// A value.
const VALUE: usize = 80;

/// Draws the report.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = Page::default();
    out.line(headline(report));
    out.paragraph(layout::warnings(report).iter().map(|line| format!("! {}", words(line))));
    out.paragraph(layout::facts(report).iter().map(|line| format!("  {}", words(line))));
    out.paragraph(status(report));
    for part in Part::ALL {
        draw(&mut out, report, part);
    }
    out.paragraph(layout::gone(report, NAMED).map(|gone| plain(&gone, 600)));
    out.paragraph(layout::rules(report, NAMED).iter().map(|line| words(line)));
    let steps = layout::next_steps(report);
    let steps = steps.iter().enumerate().map(|(index, step)| {
        let head = if index == 0 { "What to do: " } else { "            " };
        format!("{head}{}", words(step))
    });
    out.paragraph(steps);
    out.0
}

/// Its first line: `✖ web: drift in 3 of 10 targets, 1 unknown`.
#[must_use]
pub fn headline(report: &Report) -> String {
    format!("{} {}", symbol(Mark::of(report)), layout::headline(report))
}

fn status(report: &Report) -> Vec<String> {
    let counts = layout::counts(report);
    let counts: Vec<String> = counts.iter().map(|(mark, words)| format!("{} {words}", symbol(*mark))).collect();
    let mut lines: Vec<String> = (!counts.is_empty()).then(|| counts.join(", ")).into_iter().collect();
    lines.extend(report.waits_for.iter().map(|wait| format!("Waits for {}", plain(wait, WORDS))));
    lines.extend(layout::story(report).iter().map(|line| words(line)));
    lines
}

fn draw(out: &mut Page, report: &Report, part: Part) {
    let groups = layout::groups(report, part);
    let mut title = Some(part.title().to_owned());
    for group in groups.iter().take(ROWS) {
        out.paragraph(title.take().into_iter().chain(entry(group)));
    }
    let rest = groups.get(ROWS..).unwrap_or_default();
    if !rest.is_empty() {
        let hidden: usize = rest.iter().map(Group::size).sum();
        let noun = if rest.len() == 1 { "finding" } else { "findings" };
        out.paragraph([format!("  +{} more {noun}, in {}", number(rest.len()), targets(hidden))]);
    }
}

fn entry(group: &Group<'_>) -> Vec<String> {
    let title = plain(&group.title(), TITLE);
    let mut lines = vec![format!("  {} {title}: {}", symbol(group.value.into()), targets(group.size()))];
    let mut room = TARGETS;
    let mut shown = 0;
    for cluster in group.clusters.iter().take(KINDS) {
        let mut places = Vec::new();
        for place in cluster.places.iter().take(room.clamp(1, TARGETS / 2)) {
            places.push(format!("    {}", here(place, cluster.blames_places)));
            let link = place.line.link.as_deref().filter(|link| console::is_console_link(link));
            places.extend(link.filter(|_| group.value == Answer::Drifted).map(|link| format!("      {link}")));
            room = room.saturating_sub(1);
            shown += 1;
        }
        let findings = cluster.shown(group);
        let most = FINDINGS / group.clusters.len().min(KINDS);
        let mut rows: Vec<String> =
            findings.iter().take(most).map(|finding| format!("      {}", row(group, cluster, finding))).collect();
        if let more @ 1.. = findings.len().saturating_sub(most) {
            rows.push(format!("      +{} more", number(more)));
        }
        // What several targets have in common is said before them.
        match cluster.places.len() {
            0 | 1 => lines.extend(places.into_iter().chain(rows)),
            _ => lines.extend(rows.into_iter().chain(places)),
        }
    }
    if let more @ 1.. = group.size().saturating_sub(shown) {
        lines.push(format!("    +{} more", number(more)));
    }
    lines
}

fn here(place: &Place<'_>, blames: bool) -> String {
    let key = &place.target.key;
    let place_words = words(&place.words(blames));
    format!("{} {} {}{place_words}", plain(&place.target.account_name, NAME), key.account, key.region)
}

/// `/stages/Deploy/…: svc → svc-hotfix`.
fn row(group: &Group<'_>, cluster: &Cluster<'_>, finding: &Finding) -> String {
    let path = finding.path.as_deref().map(|path| plain(path, PATH));
    let value =
        |value: &Option<String>| value.as_deref().map(|value| plain(value, VALUE)).filter(|value| !value.is_empty());
    let values = Group::values(finding.path.as_deref(), value(&finding.expected), value(&finding.found));
    let own = cluster.words_of(group, finding).map(|own| plain(own, WORDS));
    let parts: Vec<String> = [path, values, own].into_iter().flatten().collect();
    let blame = Blame::of(finding).filter(|_| !cluster.blames_places).map(Blame::words).unwrap_or_default();
    format!("{}{}", parts.join(": "), words(&blame))
}

fn words(words: &[Word]) -> String {
    words.iter().fold(String::new(), |mut out, word| {
        match word {
            Word::Said(said) => out.push_str(&spaced(said)),
            Word::At(at) => out.push_str(&at.to_string()),
            Word::Code(code) => out.push_str(code),
        }
        out
    })
}

/// Words cut and cleaned, with the spaces at their ends kept: what follows is another part of the same line.
fn spaced(said: &str) -> String {
    let end = if said.ends_with(' ') { " " } else { "" };
    let start = if said.starts_with(' ') { " " } else { "" };
    format!("{start}{}{end}", plain(said, 2 * WORDS))
}

fn plain(text: &str, most: usize) -> String {
    clean::cut(&clean::flat(text), most)
}

/// One column wide in every terminal font; each has its word beside it.
const fn symbol(mark: Mark) -> char {
    match mark {
        Mark::Open => '…',
        Mark::Warning => '!',
        Mark::Drifted => '✖',
        Mark::Unknown => '?',
        Mark::InSync => '✔',
    }
}
