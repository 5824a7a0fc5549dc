//! What a simulation found, for scripts: one document with a stable shape.

use std::collections::BTreeMap;

use manifold_core::run::{Outcome, Status, Verdict};
use manifold_core::summary::{Summary, TargetLine};
use serde::Serialize;

use crate::simulation::{Simulation, SimulationError};
use crate::world::SlackCall;

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The runs that the event opened, by id.
    pub runs: Vec<RunReport>,
    /// Every call of Slack's API, in order, exactly as posted.
    pub slack: Vec<SlackCall>,
    /// Events that belonged to no target.
    pub stray_events: u32,
    /// Messages that were received too often.
    pub dead_letters: usize,
    /// The apps that this release can't be deployed to, with the reason.
    pub refused: BTreeMap<String, String>,
    /// How often each port was called.
    pub calls: BTreeMap<&'static str, u64>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// Its id.
    pub run: String,
    /// Its app.
    pub app: String,
    /// How it ended; `null` if it did not.
    pub verdict: Option<Verdict>,
    /// The revision that every target was given.
    pub revision: Option<String>,
    /// When it was opened (RFC 3339, virtual time).
    pub opened_at: String,
    /// When its last target ended.
    pub ended_at: Option<String>,
    /// From opening to the end, in milliseconds of virtual time.
    pub took_ms: Option<i64>,
    /// How many results were asked for, as their events did not arrive.
    pub asked_for: u32,
    /// What it waits for, if it did not end.
    pub waits_for: Vec<String>,
    /// Every target, in the order of the plan.
    pub targets: Vec<TargetReport>,
}

/// One target.
#[derive(Debug, Serialize)]
pub struct TargetReport {
    /// Account id.
    pub account: String,
    /// The account's name in the fleet file.
    pub account_name: String,
    /// Region.
    pub region: String,
    /// The position of its wave, from 0.
    pub wave: u32,
    /// How it ended; `null` if it did not.
    pub outcome: Option<Outcome>,
    /// Which attempt this is about, from 1.
    pub attempt: u32,
    /// What was started: a pipeline's name, or `codebuild:`, `cloudformation:` or `codedeploy:` and a name.
    pub pipeline: String,
    /// The execution that was started.
    pub execution: Option<String>,
    /// When it was started.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How long it ran, in milliseconds.
    pub took_ms: Option<i64>,
    /// What a failure is grouped by.
    pub cause: Option<String>,
    /// The provider's own words.
    pub detail: Option<String>,
    /// The execution in the console.
    pub link: Option<String>,
}

impl Report {
    /// What a simulation found.
    ///
    /// # Errors
    /// A run can't be read.
    pub fn of(simulation: &Simulation) -> Result<Self, SimulationError> {
        let world = simulation.world();
        let runs = world
            .runs()
            .iter()
            .map(|run| simulation.summary(run).map(|summary| RunReport::of(&summary)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            runs,
            slack: world.slack_calls(),
            stray_events: simulation.stray_events(),
            dead_letters: world.dead_letters().len(),
            refused: simulation.refused().iter().map(|(app, why)| (app.to_string(), why.clone())).collect(),
            calls: world.calls(),
        })
    }
}

impl RunReport {
    fn of(summary: &Summary) -> Self {
        Self {
            run: summary.run.to_string(),
            app: summary.app.to_string(),
            verdict: summary.verdict,
            revision: summary.release.revision.as_ref().map(|revision| revision.id.clone()),
            opened_at: summary.opened_at.to_string(),
            ended_at: summary.ended_at.map(|at| at.to_string()),
            took_ms: summary.took().map(manifold_core::time::Span::as_millis),
            asked_for: summary.asked_for,
            waits_for: summary.waits_for.clone(),
            targets: summary.targets.iter().map(TargetReport::of).collect(),
        }
    }
}

impl TargetReport {
    fn of(line: &TargetLine) -> Self {
        Self {
            account: line.key.account.to_string(),
            account_name: line.account_name.clone(),
            region: line.key.region.to_string(),
            wave: line.wave,
            outcome: Status::outcome(line.status),
            attempt: line.attempt.0,
            pipeline: line.subject.to_string(),
            execution: line.execution.as_ref().map(ToString::to_string),
            started_at: line.started_at.map(|at| at.to_string()),
            ended_at: line.ended_at.map(|at| at.to_string()),
            took_ms: line.took.map(manifold_core::time::Span::as_millis),
            cause: line.cause.clone(),
            detail: line.detail.clone(),
            link: line.link.clone(),
        }
    }
}
