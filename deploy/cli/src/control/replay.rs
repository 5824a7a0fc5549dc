//! `replay`: what is stored of a run, played again in an embedded world.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use manifold_core::ids::{Attempt, TargetKey};
use manifold_core::run::{Status, Tally, Verdict};
use manifold_core::summary::{Summary, text};
use manifold_local::recording::{Played, Recording, Upshot};
use serde_json::{Value, json};

use super::find::{self, Facts};
use super::look::status_words;
use super::options::Replay;
use super::site::Site;
use super::{Desk, EXIT_REFUSED};
use crate::args::Output;
use crate::input::{self, advise};
use crate::words::counted;
use crate::{paint, print};

/// What a file of a run says of itself.
const FORMAT: &str = "manifold-run";
/// The schema of files that this version writes. It reads every earlier one.
const SCHEMA: u32 = 1;
/// What is expected of a file.
const EXPECTED: &str = "expected a file that \"manifold replay RUN --save FILE\" wrote";

pub(super) async fn replay<S: Site>(options: &Replay, desk: &mut Desk<'_, S>) -> Result<u8> {
    let recording = match (&options.from, &options.run) {
        (Some(file), _) => read(file)?,
        (None, Some(named)) => {
            let run = find::run(desk.site, named).await?;
            let Facts { head, plan, targets } = find::facts(desk.site, &run).await?;
            Recording { head, plan, targets, decisions: find::decisions(desk.site, &run).await? }
        }
        (None, None) => return Err(anyhow!("no run is named")),
    };
    if let Some(file) = &options.save {
        save(file, &recording)?;
    }
    played(&recording, options.common.output, desk.tell)
}

/// Plays what is in a file, without a hub.
///
/// # Errors
/// It can't be read, or can't be played.
pub(crate) fn offline(file: &Path, output: Output) -> Result<ExitCode> {
    let recording = read(file)?;
    let mut tell = |text: &str| print(|out| out.write_all(text.as_bytes()));
    played(&recording, output, &mut tell).map(ExitCode::from)
}

fn read(file: &Path) -> Result<Recording> {
    let text = input::read(file, EXPECTED)?;
    let name = input::name(file);
    let mut value: Value =
        serde_json::from_str(&text).map_err(|error| advise(format!("{name} is not JSON: {error}"), EXPECTED))?;
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(advise(format!("{name} holds no recorded run"), EXPECTED));
    }
    match value.get("schema").and_then(Value::as_u64) {
        Some(schema) if schema > u64::from(SCHEMA) => Err(advise(
            format!("{name} is of schema {schema}, and this version reads {SCHEMA} and earlier ones"),
            "play it with the version of manifold that wrote it, or a newer one",
        )),
        Some(_) | None => serde_json::from_value(value["run"].take())
            .map_err(|error| advise(format!("{name} is a damaged record of a run: {error}"), EXPECTED)),
    }
}

fn save(file: &Path, recording: &Recording) -> Result<()> {
    let text = format!("{:#}\n", json!({ "format": FORMAT, "schema": SCHEMA, "run": recording }));
    std::fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}

/// Plays a recorded run, and tells what came out.
fn played(recording: &Recording, output: Output, tell: &mut dyn FnMut(&str) -> Result<()>) -> Result<u8> {
    let played = recording.play()?;
    let (recorded, again) = (recording.outcome(), recording.outcome_of(&played));
    let differences = differences(recording, &recorded, &again);
    let run = &recording.head.run;
    match output {
        Output::Json => {
            let differences: Vec<Value> = differences
                .iter()
                .map(|Difference { what, recorded, played }| json!({ "what": what, "recorded": recorded, "played": played }))
                .collect();
            let document = json!({
                "run": run,
                "same": differences.is_empty(),
                "differences": differences,
                "events": played.events,
                "commands": played.commands,
                "recorded": shown(&recorded),
                "played": shown(&again),
            });
            tell(&format!("{document:#}\n"))?;
        }
        Output::Text => tell(&paint::summary(&words(recording, &played, &differences)))?,
    }
    Ok(if differences.is_empty() { 0 } else { EXIT_REFUSED })
}

fn shown(upshot: &Upshot) -> Value {
    let Upshot { verdict, tally, .. } = upshot;
    json!({ "verdict": verdict, "tally": tally })
}

/// Something that came out another way.
struct Difference {
    what: String,
    recorded: String,
    played: String,
}

fn differences(recording: &Recording, recorded: &Upshot, again: &Upshot) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |what: String, recorded: String, played: String| {
        if recorded != played {
            found.push(Difference { what, recorded, played });
        }
    };
    let verdict = |verdict: Option<Verdict>| verdict.map_or("none", |verdict| verdict.words()).to_owned();
    compare("verdict".to_owned(), verdict(recorded.verdict), verdict(again.verdict));
    compare("counts".to_owned(), counts(recorded.tally), counts(again.tally));
    for ((one, other), planned) in recorded.targets.iter().zip(&again.targets).zip(&recording.plan) {
        compare(format!("{}/{}", planned.account_name, planned.key.region), ended(one), ended(other));
    }
    found
}

fn ended((_, status, attempt): &(TargetKey, Status, Attempt)) -> String {
    match *attempt > Attempt::FIRST {
        true => format!("{} in attempt {attempt}", status_words(*status)),
        false => status_words(*status).to_owned(),
    }
}

fn counts(tally: Tally) -> String {
    let Tally { succeeded, failed, timed_out, superseded, canceled, unreachable, skipped } = tally;
    let counts = [
        (succeeded, "succeeded"),
        (failed, "failed"),
        (timed_out, "timed out"),
        (superseded, "superseded"),
        (canceled, "canceled"),
        (unreachable, "unreachable"),
        (skipped, "skipped"),
    ];
    let told = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}"));
    let told: Vec<String> = told.collect();
    if told.is_empty() { "none ended".to_owned() } else { told.join(", ") }
}

fn words(recording: &Recording, played: &Played, differences: &[Difference]) -> String {
    let run = &recording.head.run;
    let events = counted(played.events, "recorded event");
    let commands = match played.commands {
        0 => String::new(),
        commands => format!(" and {}", counted(commands, "command")),
    };
    let summary = Summary::of(&played.head, &recording.plan, &played.targets);
    let headline = text::headline(&summary);
    if differences.is_empty() {
        return format!("✔ the same comes out of {run}, by {events}{commands}\n{headline}\n");
    }
    let mut lines = vec![format!("✖ something else comes out of {run}, by {events}{commands}"), headline];
    let width = differences.iter().map(|it| it.what.chars().count()).max().unwrap_or(0);
    lines.extend(differences.iter().map(|Difference { what, recorded, played }| {
        format!("  {}{}  recorded: {recorded}; played: {played}", what, " ".repeat(width - what.chars().count()))
    }));
    lines.push(String::new());
    lines.join("\n")
}
