//! `manifold demo` and `manifold simulate`: the real handlers over simulated targets.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use console::Term;
use manifold_core::summary::{Summary, text};
use manifold_core::time::Span;
use manifold_fleet::Fleet;
use manifold_local::echo::Echo;
use manifold_local::faults::Faults;
use manifold_local::limits::Limits;
use manifold_local::report::Report;
use manifold_local::simulation::{Setup, Simulation, SimulationError};

use crate::args::{Demo, Output, Rehearsal, Simulate, exit_status, worst};
use crate::input::{self, advise};
use crate::progress::{Pace, Progress};
use crate::words::counted;
use crate::{paint, print, validate};

/// Long enough to follow the demo, which is watched once.
const DEMO_TIME: Duration = Duration::from_secs(9);
/// A rehearsal is repeated, so it is over sooner.
const SIMULATE_TIME: Duration = Duration::from_secs(4);

pub(crate) const DEMO_FLEET: &str = include_str!("../../examples/fleet.yaml");
pub(crate) const DEMO_EVENT: &str = include_str!("../../examples/release-event.json");

const EVENT: &str = "expected a release event as EventBridge delivers it, one JSON object, such as \
                     deploy/examples/release-event.json";

const RECORDED: &str = "expected events of CodePipeline, CodeBuild, CloudFormation or CodeDeploy as EventBridge delivers them, \
                        one JSON object or a list, such as deploy/examples/serverless/events/failure.json";

struct Given {
    fleet_name: String,
    fleet: String,
    event_name: String,
    event: String,
    /// What was recorded of engines, and where.
    recorded: Vec<(String, String)>,
    time: Duration,
}

pub(crate) fn demo(options: &Demo) -> Result<ExitCode> {
    let given = Given {
        fleet_name: "deploy/examples/fleet.yaml".to_owned(),
        fleet: DEMO_FLEET.to_owned(),
        event_name: "deploy/examples/release-event.json".to_owned(),
        event: DEMO_EVENT.to_owned(),
        recorded: Vec::new(),
        time: DEMO_TIME,
    };
    let hint = "See every payload with --output json, and a failure with\n\
                --fail dev/eu-west-1=JobFailed. \"manifold simulate\" takes your own fleet.";
    rehearse(given, &options.rehearsal, hint)
}

pub(crate) fn simulate(options: &Simulate) -> Result<ExitCode> {
    let given = Given {
        fleet_name: input::name(&options.fleet),
        fleet: input::read(&options.fleet, validate::FLEET)?,
        event_name: input::name(&options.event),
        event: input::read(&options.event, EVENT)?,
        recorded: options
            .recorded
            .iter()
            .map(|file| Ok((input::name(file), input::read(file, RECORDED)?)))
            .collect::<Result<_>>()?,
        time: SIMULATE_TIME,
    };
    rehearse(given, &options.rehearsal, "See every payload with --output json.")
}

fn rehearse(given: Given, options: &Rehearsal, hint: &str) -> Result<ExitCode> {
    let Given { fleet_name, fleet: text, event_name, event, recorded, time } = given;
    let fleet = match Fleet::parse(&fleet_name, &text) {
        Ok(fleet) => fleet,
        Err(problems) => {
            validate::tell(&mut io::stderr().lock(), &Term::stderr(), &text, &problems)?;
            return Err(anyhow!("{fleet_name} has {}; nothing was rehearsed", counted(problems.len(), "problem")));
        }
    };
    let setup = Setup {
        fleet,
        event,
        chosen: options.chosen.clone(),
        seed: options.seed,
        faults: Faults {
            duplicates: options.duplicates,
            lost: options.lose,
            disorder: Span::from_seconds(i64::from(options.disorder)),
            limits: Limits { everywhere: options.calls_per_second, ..Limits::default() },
            ..Faults::default()
        },
    };
    let mut simulation = Simulation::new(setup).map_err(|error| explain(error, &event_name))?;
    for (name, text) in &recorded {
        let echoes = Echo::read(text).map_err(|error| advise(format!("failed to read {name}: {error}"), RECORDED))?;
        simulation.play_back(echoes).map_err(|error| explain(error, name))?;
    }
    let mut progress = match (options.pace, options.output) {
        (Some(factor), _) => Progress::new(Pace::Factor(factor)),
        // A script that wants the document neither watches nor waits.
        (None, Output::Json) => Progress::off(),
        (None, Output::Text) if Term::stderr().is_term() && !console::is_dumb() => Progress::new(Pace::Within(time)),
        (None, Output::Text) => Progress::new(Pace::Rush),
    };
    while let Some(now) = simulation.step()? {
        progress.show(&simulation, now)?;
    }
    progress.finish(&simulation)?;
    let report = Report::of(&simulation)?;
    let summaries: Vec<Summary> =
        simulation.world().runs().iter().map(|run| simulation.summary(run)).collect::<Result<_, _>>()?;
    print(|out| match options.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
        Output::Text => {
            for summary in &summaries {
                writeln!(out, "{}", paint::summary(&text::render(summary)))?;
            }
            for (app, why) in &report.refused {
                writeln!(out, "{app}: this release can't be deployed: {why}\n")?;
            }
            writeln!(out, "{}", told(&report))?;
            // Whoever has let something fail knows how.
            if options.chosen.is_empty() { writeln!(out, "{hint}") } else { Ok(()) }
        }
    })?;
    Ok(ExitCode::from(exit_status(worst(report.runs.iter().map(|run| run.verdict)))))
}

/// What a simulation can't be set up for, and what to do.
fn explain(error: SimulationError, event: &str) -> anyhow::Error {
    match error {
        SimulationError::Event(error) => advise(format!("failed to read the event in {event}: {error}"), EVENT),
        SimulationError::NoRelease(why) => advise(
            format!("the event in {event} opens no run: {why}"),
            "take the event of a release pipeline that succeeded, or name its pipeline in an app's release.pipelines",
        ),
        error @ SimulationError::NoTarget { .. } => {
            advise(error, "name an account by its name or id, and a region by its code; '*' stands for all")
        }
        error @ SimulationError::Stranger { .. } => advise(
            format!("{event} does not fit the fleet file: {error}"),
            "take events of the fleet's own targets, or change their account, Region and names to those of a target",
        ),
        error @ (SimulationError::Unsettled(_) | SimulationError::Run(_)) => error.into(),
    }
}

/// What Slack was told, in one line.
fn told(report: &Report) -> String {
    let threaded = |call: &&manifold_local::world::SlackCall| call.body.get("thread_ts").is_some();
    let calls = |method: &'static str| report.slack.iter().filter(move |call| call.method == method);
    let messages: BTreeSet<&str> =
        calls("chat.postMessage").filter(|call| !threaded(call)).filter_map(|call| call.ts.as_deref()).collect();
    let edits = calls("chat.update").filter(|call| call.ts.as_deref().is_some_and(|ts| messages.contains(ts))).count();
    let replies = calls("chat.postMessage").filter(threaded).count();
    let hooked = calls("webhook").count();
    let mut parts = Vec::new();
    if !messages.is_empty() {
        let edited = match edits {
            0 => String::new(),
            edits => format!(", edited {}", counted(edits, "time")),
        };
        let replied = match replies {
            0 => String::new(),
            1 => ", with 1 reply in its thread".to_owned(),
            replies => {
                format!(", with {replies} replies in {}", if messages.len() == 1 { "its thread" } else { "threads" })
            }
        };
        parts.push(format!("{}{edited}{replied}", counted(messages.len(), "message")));
    }
    if hooked > 0 {
        parts.push(format!("{} through a webhook", counted(hooked, "message")));
    }
    if parts.is_empty() && report.runs.is_empty() {
        parts.push("nothing was posted, as no run was opened".to_owned());
    } else if parts.is_empty() {
        parts.push("nothing was posted, as no app of this release has a channel".to_owned());
    }
    if report.stray_events > 0 {
        parts.push(format!("{} changed nothing", counted(report.stray_events as usize, "stray event")));
    }
    if report.dead_letters > 0 {
        parts.push(counted(report.dead_letters, "dead letter"));
    }
    format!("Slack: {}", parts.join("; "))
}
