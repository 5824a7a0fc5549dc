//! `manifold demo` and `manifold simulate`: the real handlers over simulated targets.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use manifold_core::summary::{Summary, text};
use manifold_core::time::Span;
use manifold_fleet::Fleet;
use manifold_local::report::Report;
use manifold_local::simulation::{Setup, Simulation};
use manifold_local::world::Faults;

use crate::args::{Demo, Output, Rehearsal, Simulate, exit_status};
use crate::progress::Progress;
use crate::validate;

/// A terminal shows the demo's two waves in about ten seconds.
const DEMO_PACE: u32 = 45;

const DEMO_FLEET: &str = include_str!("../../examples/fleet.yaml");
const DEMO_EVENT: &str = include_str!("../../examples/release-event.json");

pub(crate) fn demo(options: &Demo) -> Result<ExitCode> {
    let pace = match std::io::stderr().is_terminal() {
        true => DEMO_PACE,
        false => 0,
    };
    rehearse("deploy/examples/fleet.yaml", DEMO_FLEET, DEMO_EVENT.to_owned(), &options.rehearsal, pace)
}

pub(crate) fn simulate(options: &Simulate) -> Result<ExitCode> {
    let fleet = validate::read(&options.fleet)?;
    let event = validate::read(&options.event)?;
    let name = options.fleet.display().to_string();
    rehearse(&name, &fleet, event, &options.rehearsal, 0)
        .with_context(|| format!("failed to rehearse {} on {name}", options.event.display()))
}

fn rehearse(name: &str, fleet: &str, event: String, options: &Rehearsal, pace: u32) -> Result<ExitCode> {
    let fleet = Fleet::parse(name, fleet).map_err(|problems| anyhow!("the fleet file has problems:\n{problems}"))?;
    let setup = Setup {
        fleet,
        event,
        chosen: options.chosen.clone(),
        seed: options.seed,
        faults: Faults {
            duplicates: options.duplicates,
            disorder: Span::from_seconds(i64::from(options.disorder)),
            ..Faults::default()
        },
    };
    let mut simulation = Simulation::new(setup)?;
    let mut progress = Progress::new(options.pace.unwrap_or(pace));
    while let Some(now) = simulation.step()? {
        progress.show(&simulation, now)?;
    }
    progress.finish();
    let report = Report::of(&simulation)?;
    let mut out = std::io::stdout().lock();
    match options.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        }
        Output::Text => {
            for run in simulation.world().runs() {
                let summary: Summary = simulation.summary(&run)?;
                writeln!(out, "{}", text::render(&summary))?;
            }
            writeln!(out, "{}", told(&report))?;
        }
    }
    // The worst verdict speaks for all runs.
    let status = report.runs.iter().map(|run| exit_status(run.verdict)).max().unwrap_or(exit_status(None));
    Ok(ExitCode::from(status))
}

/// What Slack was told, in one line.
fn told(report: &Report) -> String {
    let count = |method: &str, threaded: bool| {
        report
            .slack
            .iter()
            .filter(|call| call.method == method && call.body.get("thread_ts").is_some() == threaded)
            .count()
    };
    let (posted, edited) = (count("chat.postMessage", false), count("chat.update", false));
    let (threaded, hooked) = (count("chat.postMessage", true), count("webhook", false));
    let mut line = match (posted, hooked) {
        (0, 0) => "Slack: nothing was posted (the app names no channel)".to_owned(),
        (0, hooked) => format!("Slack: {hooked} message, through a webhook"),
        (posted, _) => format!("Slack: {posted} message, edited {edited} times, {threaded} reply in its thread"),
    };
    if report.stray_events > 0 {
        line.push_str(&format!("; {} stray events changed nothing", report.stray_events));
    }
    if report.dead_letters > 0 {
        line.push_str(&format!("; {} dead letters", report.dead_letters));
    }
    line.push_str("\nSee every payload with --output json.");
    line
}
