//! A checkup's report: for people by check and by cause, for scripts as one document.

use std::fmt::Write as _;
use std::io::{self, Write};

use console::measure_text_width;
use manifold_core::checkup::{Check, Entry, Group, Report, SCHEMA, State, Subject};
use manifold_fleet::Hub;
use serde_json::{Value, json};

use crate::paint;
use crate::words::{counted, grouped};

/// How many places of one cause are named for people.
const MOST_PLACES: usize = 8;

/// What was looked at, as a whole.
pub(crate) struct Head<'a> {
    pub(crate) fleet: &'a str,
    pub(crate) hub: &'a Hub,
    pub(crate) prefix: &'a str,
}

/// Writes the report for people.
pub(crate) fn text(out: &mut dyn Write, head: &Head<'_>, report: &Report) -> io::Result<()> {
    let mut text = String::new();
    // Writing to a text can't fail.
    let _ = render(&mut text, head, report);
    out.write_all(paint::summary(&text).as_bytes())
}

fn render(text: &mut String, head: &Head<'_>, report: &Report) -> std::fmt::Result {
    let verdict = match report.state() {
        State::Ok | State::Untriable => "✔ all is well",
        State::Unknown => "? nothing is known to fail, yet not everything could be looked at",
        State::Fails => "✖ a rollout would fail",
    };
    writeln!(text, "{verdict}: {}, hub {} in {}\n", head.fleet, head.hub.account(), head.hub.region())?;
    table(text, report)?;
    for group in report.groups() {
        cause(text, &group)?;
    }
    let is_target = |subject: &Subject| matches!(subject, Subject::Target { .. });
    let states = [State::Ok, State::Fails, State::Unknown].map(|state| report.entries_in(state, is_target));
    let [well, fails, unknown] = states;
    let all = well + fails + unknown;
    write!(text, "\n{}: {} well", counted(all, "target"), grouped(well))?;
    if fails > 0 {
        write!(text, ", {} would fail", grouped(fails))?;
    }
    if unknown > 0 {
        write!(text, ", {} unknown", grouped(unknown))?;
    }
    writeln!(text)
}

/// How often each check was well, fails, or is not known.
fn table(text: &mut String, report: &Report) -> std::fmt::Result {
    let counts =
        |check| [State::Ok, State::Fails, State::Unknown, State::Untriable].map(|state| report.count(check, state));
    let rows: Vec<(Check, [usize; 4])> = Check::ALL.iter().map(|check| (*check, counts(*check))).collect();
    let rows: Vec<_> = rows.into_iter().filter(|(_, counts)| counts.iter().any(|count| *count > 0)).collect();
    let width = rows.iter().map(|(check, _)| measure_text_width(check.title())).max().unwrap_or(0);
    writeln!(text, "    {:width$}   well  fails  unknown", "")?;
    for (check, [well, fails, unknown, untriable]) in rows {
        let sign = if fails > 0 {
            "✖"
        } else if unknown > 0 {
            "?"
        } else if well > 0 {
            "✔"
        } else {
            "–"
        };
        let cell = |count: usize| if count == 0 { "–".to_owned() } else { grouped(count) };
        let (well, fails, unknown) = (cell(well), cell(fails), cell(unknown));
        let note = if untriable > 0 { "  can't be tried" } else { "" };
        writeln!(text, "  {sign} {:width$}  {well:>5}  {fails:>5}  {unknown:>7}{note}", check.title())?;
    }
    Ok(())
}

fn cause(text: &mut String, group: &Group<'_>) -> std::fmt::Result {
    let finding = group.finding;
    let sign = match finding.state {
        State::Fails => "✖",
        State::Unknown => "?",
        State::Untriable | State::Ok => "–",
    };
    let targets = group.subjects.iter().filter(|subject| matches!(subject, Subject::Target { .. })).count();
    let count = if targets > 0 { format!(": {}", counted(targets, "target")) } else { String::new() };
    writeln!(text, "\n{sign} {}{count}", finding.cause.as_deref().unwrap_or_else(|| finding.check.title()))?;
    let named: Vec<String> = group.subjects.iter().take(MOST_PLACES).map(ToString::to_string).collect();
    let more = group.subjects.len() - named.len();
    let more = if more > 0 { format!(" and {} more", grouped(more)) } else { String::new() };
    writeln!(text, "    {}{more}", named.join(", "))?;
    // The same cause, such as a service that did not answer, may keep several checks from being made.
    if finding.state == State::Unknown && finding.cause.is_some() {
        writeln!(text, "    not known whether {}", finding.check.title())?;
    }
    if let Some(detail) = &finding.detail {
        writeln!(text, "    {detail}")?;
    }
    if let Some(remedy) = &finding.remedy {
        writeln!(text, "    Fix: {remedy}")?;
    }
    Ok(())
}

/// Writes the document.
pub(crate) fn json(out: &mut dyn Write, head: &Head<'_>, report: &Report) -> io::Result<()> {
    let entry = |entry: &Entry| json!({"subject": entry.subject, "state": entry.state(), "findings": entry.findings});
    let group = |group: &Group<'_>| {
        let finding = group.finding;
        json!({
            "check": finding.check,
            "state": finding.state,
            "cause": finding.cause,
            "detail": finding.detail,
            "remedy": finding.remedy,
            "subjects": group.subjects.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let document = json!({
        "schema": SCHEMA,
        "fleet": head.fleet,
        "hub": {"account": head.hub.account(), "region": head.hub.region(), "prefix": head.prefix},
        "state": report.state(),
        "entries": report.entries.iter().map(entry).collect::<Vec<Value>>(),
        "causes": report.groups().iter().map(group).collect::<Vec<Value>>(),
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}
