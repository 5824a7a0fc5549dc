//! What is told of dead letters: for people by case, for scripts as one document.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use console::measure_text_width;
use manifold_core::deadletter::{Kind, Place, Redrive, SCHEMA};
use manifold_core::time::Timestamp;
use serde_json::{Value, json};

use super::shelf::Moved;
use super::{Entry, Outcome, Sight, Verb};
use crate::paint;
use crate::words::{counted, grouped};

/// How many different letters of one case are named for people.
const MOST_NAMED: usize = 8;

/// Letters of one queue whose case is the same.
struct Group<'a> {
    shelf: usize,
    first: &'a Entry,
    entries: Vec<&'a Entry>,
}

/// By queue, and in a queue what is to be done first.
fn groups<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for entry in entries {
        let case = |entry: &'a Entry| {
            let told = &entry.judgement;
            (told.kind, told.redrive, told.why.as_str(), told.cause.as_deref(), told.advice)
        };
        match groups.iter_mut().find(|group| group.shelf == entry.shelf && case(group.first) == case(entry)) {
            Some(group) => group.entries.push(entry),
            None => groups.push(Group { shelf: entry.shelf, first: entry, entries: vec![entry] }),
        }
    }
    groups.sort_by_key(|group| (group.shelf, group.first.judgement.redrive, group.first.judgement.kind));
    groups
}

const fn sign(redrive: Redrive) -> &'static str {
    match redrive {
        Redrive::Helps => "!",
        Redrive::Unknown => "?",
        Redrive::ComesBack => "✖",
        Redrive::ChangesNothing => "–",
    }
}

fn hub_in_words(sight: &Sight) -> String {
    format!("hub {} in {}", sight.hub_key.account, sight.hub_key.region)
}

/// Writes what there is.
pub(super) fn list(out: &mut dyn Write, sight: &Sight) -> io::Result<()> {
    let mut text = String::new();
    // Writing to a text can't fail.
    let _ = render(&mut text, sight);
    out.write_all(paint::summary(&text).as_bytes())
}

fn render(text: &mut String, sight: &Sight) -> std::fmt::Result {
    let more: usize = sight.counts.iter().map(|(more, hidden)| more + hidden).sum();
    let all = sight.entries.len() + more;
    match all {
        0 if sight.hub.troubles.is_empty() => writeln!(text, "✔ no dead letters: {}", hub_in_words(sight))?,
        0 => writeln!(text, "? no dead letters were found, yet not all queues could be read: {}", hub_in_words(sight))?,
        all => writeln!(text, "✖ {}: {}", counted(all, "dead letter"), hub_in_words(sight))?,
    }
    writeln!(text)?;
    let width = sight.hub.shelves.iter().map(|shelf| measure_text_width(&shelf.name)).max().unwrap_or(0);
    for (index, (shelf, (more, hidden))) in sight.hub.shelves.iter().zip(&sight.counts).enumerate() {
        let shown = sight.entries.iter().filter(|entry| entry.shelf == index).count();
        let count = shown + more + hidden;
        let number = if count == 0 { "–".to_owned() } else { grouped(count) };
        let mut notes = String::new();
        if *more > 0 {
            write!(notes, "  {} not shown (--most)", grouped(more))?;
        }
        if *hidden > 0 {
            write!(notes, "  {} hidden, as somebody else looks at them", grouped(hidden))?;
        }
        writeln!(text, "  {} {:width$}  {number:>6}{notes}", if count == 0 { "✔" } else { "✖" }, shelf.name)?;
    }
    for (queue, reason) in &sight.hub.troubles {
        writeln!(text, "  ? {queue:width$}  could not be read\n      {}", reason.replace('\n', "\n    "))?;
    }
    explain(text, sight, sight.entries.iter())
}

/// Each case with its letters.
fn explain<'a>(text: &mut String, sight: &Sight, entries: impl Iterator<Item = &'a Entry>) -> std::fmt::Result {
    for group in groups(entries) {
        let told = &group.first.judgement;
        let shelf = &sight.hub.shelves[group.shelf];
        let count = counted(group.entries.len(), "letter");
        writeln!(text, "\n{} {}, {count}: {}", sign(told.redrive), shelf.name, told.why)?;
        name(text, sight, &group.entries)?;
        if let Some(cause) = reason(sight, &group) {
            writeln!(text, "    Why it is here: {cause}")?;
        }
        writeln!(text, "    To do: {}", told.advice)?;
    }
    Ok(())
}

/// Names letters of one case, what is the same once.
fn name(text: &mut String, sight: &Sight, entries: &[&Entry]) -> std::fmt::Result {
    let mut alike: Vec<(&Entry, usize)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        let place = *places.entry(entry.judgement.what.as_str()).or_insert(alike.len());
        match alike.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => alike.push((entry, 1)),
        }
    }
    for (first, count) in alike.iter().take(MOST_NAMED) {
        let times = counted(usize::try_from(first.found.received).unwrap_or(usize::MAX), "time");
        let age = first.found.sent_at.map(|at| format!("{} old, ", sight.now.since(at))).unwrap_or_default();
        let more = if *count > 1 { format!(", and {} like it", grouped(count - 1)) } else { String::new() };
        writeln!(text, "    {}", first.judgement.what)?;
        writeln!(text, "      {}, {age}received {times}{more}", first.found.id)?;
    }
    let rest: usize = alike.iter().skip(MOST_NAMED).map(|(_, count)| count).sum();
    if rest > 0 {
        writeln!(text, "    and {} more", grouped(rest))?;
    }
    Ok(())
}

/// Why a letter was given up, or where that is told.
fn reason(sight: &Sight, group: &Group<'_>) -> Option<String> {
    let told = &group.first.judgement;
    let function = match (&told.cause, &sight.hub.shelves[group.shelf].place) {
        (Some(cause), _) => return Some(cause.clone()),
        (None, Place::Dead(inbox)) => inbox.name(),
        (None, Place::Undelivered | Place::Forward(_)) => return None,
    };
    match told.kind {
        // What it is tells why it was given up.
        Kind::Unreadable | Kind::TooNew | Kind::Misplaced | Kind::Unplannable | Kind::Undirected => None,
        Kind::Pending | Kind::Done | Kind::RunOver | Kind::Overtaken | Kind::NoRun | Kind::NotOurs | Kind::Unknown => {
            Some(format!(
                "{prefix}-{function} gave it up; its log /aws/lambda/{prefix}-{function} has the reason, under the letter's id",
                prefix = sight.prefix,
            ))
        }
    }
}

/// What is asked before anything is done.
pub(super) fn question(verb: Verb, count: usize) -> String {
    match verb {
        Verb::Redrive => format!("Redrive {}?", counted(count, "letter")),
        Verb::Drop => format!("Delete {} for good?", counted(count, "letter")),
    }
}

/// Writes what is about to be done.
pub(super) fn plan(
    out: &mut dyn Write,
    sight: &Sight,
    verb: Verb,
    todo: &[usize],
    outcome: &Outcome,
) -> io::Result<()> {
    let mut text = String::new();
    // Writing to a text can't fail.
    let _ = render_plan(&mut text, sight, verb, todo, outcome);
    out.write_all(paint::summary(&text).as_bytes())
}

fn render_plan(text: &mut String, sight: &Sight, verb: Verb, todo: &[usize], outcome: &Outcome) -> std::fmt::Result {
    let entries = |positions: &[usize]| -> Vec<&Entry> {
        positions.iter().filter_map(|position| sight.entries.get(*position)).collect()
    };
    let what = match verb {
        Verb::Redrive => "to redrive",
        Verb::Drop => "to drop",
    };
    writeln!(text, "{} {what}: {}", counted(todo.len(), "letter"), hub_in_words(sight))?;
    explain(text, sight, entries(todo).into_iter())?;
    if !outcome.skipped.is_empty() {
        writeln!(text, "\nLeft where they are, as a redrive would not help them:")?;
        explain(text, sight, entries(&outcome.skipped).into_iter())?;
    }
    for id in &outcome.missing {
        writeln!(text, "\n? {id} is in none of the queues, or somebody else is looking at it")?;
    }
    for (shelf, (more, _)) in sight.hub.shelves.iter().zip(&sight.counts).filter(|(_, (more, _))| *more > 0) {
        writeln!(text, "\n? {} more in {} were not looked at (--most)", grouped(more), shelf.name)?;
    }
    Ok(())
}

/// Writes what became of it.
pub(super) fn outcome(
    out: &mut dyn Write,
    sight: &Sight,
    verb: Verb,
    agreed: bool,
    outcome: &Outcome,
) -> io::Result<()> {
    let done = outcome.moved.iter().filter(|(_, moved)| *moved == Moved::Done).count();
    writeln!(out)?;
    for (position, moved) in &outcome.moved {
        let id = sight.entries.get(*position).map_or("", |entry| entry.found.id.as_str());
        match moved {
            Moved::Done => {}
            Moved::Gone => writeln!(out, "{id}: not there any more, or somebody else is looking at it")?,
            Moved::Failed(reason) => writeln!(out, "{id}: {reason}")?,
        }
    }
    let word = match verb {
        Verb::Redrive => "redriven",
        Verb::Drop => "dropped",
    };
    if !agreed {
        return writeln!(out, "Nothing was {word}. To do it without being asked: {} --yes", crate::confirm::repeat());
    }
    write!(out, "{} {word}", counted(done, "letter"))?;
    let failed = outcome.moved.len() - done;
    if failed > 0 {
        write!(out, ", {} not", grouped(failed))?;
    }
    if !outcome.skipped.is_empty() {
        write!(out, ", {} left in place (drop deletes them)", grouped(outcome.skipped.len()))?;
    }
    writeln!(out, ".")
}

fn head(sight: &Sight) -> Value {
    json!({
        "schema": SCHEMA,
        "fleet": sight.fleet,
        "hub": {"account": sight.hub_key.account, "region": sight.hub_key.region, "prefix": sight.prefix},
    })
}

fn letter(sight: &Sight, entry: &Entry) -> Value {
    let told = &entry.judgement;
    let age = |at: Timestamp| sight.now.since(at).as_millis() / 1000;
    json!({
        "id": entry.found.id,
        "queue": sight.hub.shelves[entry.shelf].name,
        "redriven_to": entry.inbox,
        "sent_at": entry.found.sent_at.map(|at| at.to_string()),
        "age_seconds": entry.found.sent_at.map(age),
        "received": entry.found.received,
        "what": told.what,
        "run": told.run,
        "kind": told.kind,
        "cause": told.cause,
        "why": told.why,
        "redrive": told.redrive,
        "advice": told.advice,
        "body": entry.found.body,
    })
}

fn write_json(out: &mut dyn Write, document: &Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}

/// Writes what there is as a document.
pub(super) fn list_json(out: &mut dyn Write, sight: &Sight) -> io::Result<()> {
    let queues = sight.hub.shelves.iter().zip(&sight.counts).enumerate().map(|(index, (shelf, (more, hidden)))| {
        let shown = sight.entries.iter().filter(|entry| entry.shelf == index).count();
        json!({"queue": shelf.name, "shown": shown, "not_shown": more, "hidden": hidden, "error": null})
    });
    let unread =
        sight.hub.troubles.iter().map(
            |(queue, reason)| json!({"queue": queue, "shown": 0, "not_shown": null, "hidden": null, "error": reason}),
        );
    let cases = groups(sight.entries.iter()).into_iter().map(|group| {
        let told = &group.first.judgement;
        json!({
            "queue": sight.hub.shelves[group.shelf].name,
            "kind": told.kind,
            "cause": told.cause,
            "why": told.why,
            "redrive": told.redrive,
            "advice": told.advice,
            "count": group.entries.len(),
            "ids": group.entries.iter().map(|entry| entry.found.id.as_str()).collect::<Vec<_>>(),
        })
    });
    let mut document = head(sight);
    document["queues"] = queues.chain(unread).collect();
    document["cases"] = cases.collect();
    document["letters"] = sight.entries.iter().map(|entry| letter(sight, entry)).collect();
    write_json(out, &document)
}

/// Writes what became of it as a document.
pub(super) fn outcome_json(
    out: &mut dyn Write,
    sight: &Sight,
    verb: Verb,
    agreed: bool,
    outcome: &Outcome,
) -> io::Result<()> {
    let moved = outcome.moved.iter().filter_map(|(position, moved)| {
        let mut told = letter(sight, sight.entries.get(*position)?);
        let (word, error) = match (moved, verb) {
            (Moved::Done, Verb::Redrive) => ("redriven", None),
            (Moved::Done, Verb::Drop) => ("dropped", None),
            (Moved::Gone, _) => ("gone", None),
            (Moved::Failed(reason), _) => ("failed", Some(reason)),
        };
        told["outcome"] = word.into();
        told["error"] = json!(error);
        Some(told)
    });
    let skipped = outcome.skipped.iter().filter_map(|position| {
        let mut told = letter(sight, sight.entries.get(*position)?);
        told["outcome"] = "skipped".into();
        told["error"] = Value::Null;
        Some(told)
    });
    let mut document = head(sight);
    document["agreed"] = agreed.into();
    document["letters"] = moved.chain(skipped).collect();
    document["missing"] = json!(outcome.missing);
    write_json(out, &document)
}
