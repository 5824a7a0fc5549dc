//! One pipeline with its executions, and how they move: one step at a time, and never by themselves (CodePipeline User
//! Guide, "How pipeline executions work").

use std::collections::{BTreeMap, VecDeque};

use manifold_aws::clock::SystemClock;
use manifold_core::time::Timestamp;
use manifold_ports::clock::Clock;
use serde_json::{Value, json};

use super::definition::{Behaviour, Cause, ExecutionMode, Failure, Pipeline, PipelineId, PipelineType, Push, Revision};
use crate::wire::events::{Level, Subject};
use crate::wire::{uuid, with_millis};

/// Where an execution stands, as the API spells it (`PipelineExecutionStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It runs, or waits for a stage.
    InProgress,
    /// It was asked to stop, and something still runs.
    Stopping,
    /// It was stopped.
    Stopped,
    /// All stages succeeded.
    Succeeded,
    /// A stage failed. A retry makes it run again.
    Failed,
    /// A newer execution took its place.
    Superseded,
    /// Its pipeline was changed.
    Cancelled,
}

impl Status {
    /// As the API spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
        }
    }

    /// As events spell it.
    fn state(self) -> &'static str {
        match self {
            Self::InProgress => "STARTED",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Superseded => "SUPERSEDED",
            Self::Cancelled => "CANCELED",
        }
    }

    pub(super) fn is_active(self) -> bool {
        match self {
            Self::InProgress | Self::Stopping => true,
            Self::Stopped | Self::Succeeded | Self::Failed | Self::Superseded | Self::Cancelled => false,
        }
    }
}

/// Where an action stands (`ActionExecutionStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActionStatus {
    InProgress,
    Succeeded,
    Failed,
    Abandoned,
}

impl ActionStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Abandoned => "Abandoned",
        }
    }
}

/// One run of an action.
#[derive(Debug, Clone)]
pub(super) struct ActionRun {
    pub(super) id: String,
    /// Its place in the stage.
    pub(super) action: usize,
    pub(super) status: ActionStatus,
    pub(super) started_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) failure: Option<Failure>,
    /// A retry has another run of it, or runs it again.
    pub(super) is_past: bool,
}

/// One run of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct StageRun {
    /// `None` until it is entered.
    pub(super) status: Option<Status>,
    pub(super) retried_at: Option<Timestamp>,
    pub(super) retries: u32,
    pub(super) runs: Vec<ActionRun>,
}

/// What the next step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Waits at the entry of a stage.
    Entering(usize),
    /// Is in a stage, and locks it.
    Inside(usize),
    /// Its last stage has ended; the pipeline has not.
    Ending(Status),
    /// Nothing.
    Ended,
}

#[derive(Debug, Clone)]
struct Stop {
    abandon: bool,
    reason: Option<String>,
}

/// An execution.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// Which attempt it is: a retry adds one.
    pub attempt: u32,
    /// Who or what started it. Its detail is the ARN of the session for those who called.
    pub cause: Cause,
    /// The client request token that it was started with.
    pub token: Option<String>,
    /// The revision of each source action.
    pub revisions: BTreeMap<String, Revision>,
    /// Those of the source actions whose revision was given with the start.
    pub pinned: BTreeMap<String, String>,
    /// The values of the pipeline's variables.
    pub variables: BTreeMap<String, String>,
    /// How often it was asked for with its token: more than once when an answer was lost.
    pub start_calls: u32,
    /// When it began, by the account's clock.
    pub started_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    pub(super) version: u32,
    pub(super) stages: Vec<StageRun>,
    /// The request that started it.
    pub(super) request: Value,
    behaviour: Behaviour,
    /// Somebody has approved what asked for it.
    is_approved: bool,
    at: Position,
    stop: Option<Stop>,
    /// Its pipeline was changed meanwhile.
    is_outdated: bool,
}

impl Execution {
    /// Why it was stopped, in the words of whoever did.
    pub(super) fn stop_reason(&self) -> Option<&str> {
        self.stop.as_ref().and_then(|stop| stop.reason.as_deref())
    }

    /// Whether it was asked to stop, and if so, whether to abandon what runs.
    pub(super) fn is_stopped_for_good(&self) -> Option<bool> {
        self.stop.as_ref().map(|stop| stop.abandon)
    }

    /// Whether it is in a stage.
    pub(super) fn is_inside(&self, stage: usize) -> bool {
        self.at == Position::Inside(stage)
    }

    /// Whether it waits for a stage.
    pub(super) fn waits_for(&self, stage: usize) -> bool {
        self.at == Position::Entering(stage)
    }

    /// Whether the source action has told its revision.
    pub(super) fn knows_its_source(&self, stage: usize, action: usize) -> bool {
        let runs = self.stages.get(stage).map(|stage| stage.runs.as_slice()).unwrap_or_default();
        runs.iter().any(|run| run.action == action && run.status == ActionStatus::Succeeded)
    }

    fn push(&self) -> Option<&Push> {
        match &self.cause {
            Cause::Push(push) => Some(push),
            Cause::Caller(_) | Cause::Rule(_) => None,
        }
    }
}

/// What a start asks for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) cause: Cause,
    pub(super) token: Option<String>,
    pub(super) pinned: BTreeMap<String, String>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) request: Value,
}

/// The transition into a stage, since somebody changed it.
#[derive(Debug, Clone)]
pub(super) struct Transition {
    pub(super) enabled: bool,
    pub(super) by: String,
    pub(super) at: Timestamp,
    pub(super) reason: Option<String>,
}

/// A pipeline with its executions, oldest first.
#[derive(Debug)]
pub(super) struct Line {
    /// Every version of its structure; the last one is valid.
    pub(super) versions: Vec<Pipeline>,
    pub(super) executions: Vec<Execution>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// By stage.
    pub(super) transitions: BTreeMap<String, Transition>,
    behaviour: Behaviour,
    next: VecDeque<Behaviour>,
}

/// What is told of a step: where to, and by which clock.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) now: Timestamp,
    pub(super) events: Vec<Value>,
}

impl Line {
    pub(super) fn new(pipeline: Pipeline, now: Timestamp) -> Self {
        Self {
            versions: vec![pipeline],
            executions: Vec::new(),
            created_at: now,
            updated_at: now,
            transitions: BTreeMap::new(),
            behaviour: Behaviour::Succeeds,
            next: VecDeque::new(),
        }
    }

    /// The valid structure.
    pub(super) fn pipeline(&self) -> &Pipeline {
        self.versions.last().expect("a pipeline has a version")
    }

    /// The structure that an execution runs by.
    pub(super) fn structure(&self, execution: &Execution) -> &Pipeline {
        &self.versions[execution.version as usize - 1]
    }

    pub(super) fn version(&self) -> u32 {
        u32::try_from(self.versions.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.executions.iter().position(|execution| execution.id == id)
    }

    pub(super) fn behave(&mut self, behaviour: Behaviour) {
        self.behaviour = behaviour;
    }

    pub(super) fn behave_next(&mut self, behaviour: Behaviour) {
        self.next.push_back(behaviour);
    }

    /// Starts an execution and returns its id.
    pub(super) fn start(&mut self, order: Order, told: &mut Told) -> String {
        let pipeline = self.pipeline();
        let mut variables: BTreeMap<String, String> = pipeline
            .variables
            .iter()
            .filter_map(|(name, default)| default.clone().map(|default| (name.clone(), default)))
            .collect();
        variables.extend(order.variables);
        let revisions = pipeline.source_actions().filter_map(|action| {
            let pinned = order.pinned.get(&action.name).map(|id| Revision::new(id));
            let revision =
                pinned.or_else(|| pushed(&order.cause)).or_else(|| pipeline.latest.get(&action.name).cloned());
            revision.map(|revision| (action.name.clone(), revision))
        });
        let execution = Execution {
            pipeline: pipeline.id.clone(),
            id: uuid(&SystemClock.nonce()),
            status: Status::InProgress,
            attempt: 1,
            revisions: revisions.collect(),
            pinned: order.pinned,
            variables,
            start_calls: u32::from(order.token.is_some()),
            token: order.token,
            started_at: told.now,
            updated_at: told.now,
            version: self.version(),
            stages: vec![StageRun::default(); pipeline.stages.len()],
            request: order.request,
            behaviour: self.next.pop_front().unwrap_or_else(|| self.behaviour.clone()),
            is_approved: false,
            at: Position::Entering(0),
            stop: None,
            is_outdated: false,
            cause: order.cause,
        };
        let id = execution.id.clone();
        let trigger = json!({"trigger-type": execution.cause.kind(), "trigger-detail": execution.cause.detail()});
        self.executions.push(execution);
        let index = self.executions.len() - 1;
        self.tell(index, Level::Pipeline, "STARTED", &json!({"execution-trigger": trigger}), told);
        self.arrive(index, 0, told);
        id
    }

    /// Moves every execution by one step, oldest first. Says how many moved.
    pub(super) fn advance(&mut self, told: &mut Told) -> usize {
        (0..self.executions.len()).filter(|&index| self.step(index, told)).count()
    }

    /// Lets what hangs go on, and approves what asks for it.
    pub(super) fn release(&mut self, index: usize) {
        self.executions[index].behaviour = Behaviour::Succeeds;
        self.executions[index].is_approved = true;
    }

    /// A new structure: what runs is cancelled, except in mode PARALLEL ("Considerations for each execution mode").
    pub(super) fn edit(&mut self, pipeline: Pipeline, now: Timestamp) {
        let cancels = self.pipeline().mode != ExecutionMode::Parallel;
        for execution in self.executions.iter_mut().filter(|execution| execution.status.is_active()) {
            execution.is_outdated |= cancels;
        }
        self.versions.push(pipeline);
        self.updated_at = now;
    }

    /// Asks an execution to stop.
    pub(super) fn stop(&mut self, index: usize, abandon: bool, reason: Option<&str>, told: &mut Told) {
        let execution = &mut self.executions[index];
        let was_asked_before = execution.stop.is_some();
        execution.stop = Some(Stop { abandon, reason: reason.map(str::to_owned) });
        execution.status = Status::Stopping;
        let at = execution.at;
        if was_asked_before {
            return;
        }
        self.tell(index, Level::Pipeline, "STOPPING", &json!({"stop-execution-comments": reason}), told);
        if let Position::Inside(stage) = at {
            self.executions[index].stages[stage].status = Some(Status::Stopping);
            self.tell_stage(index, stage, "STOPPING", told);
        }
    }

    /// The stage of an execution that a retry would take up again.
    pub(super) fn retryable(&self, index: usize, stage: usize) -> bool {
        let execution = &self.executions[index];
        let status = execution.stages.get(stage).and_then(|stage| stage.status);
        matches!(execution.status, Status::Failed | Status::Stopped)
            && matches!(status, Some(Status::Failed | Status::Stopped))
            && execution.version == self.version()
    }

    /// Takes a stage up again: the same execution, one attempt more.
    pub(super) fn retry(&mut self, index: usize, stage: usize, all_actions: bool, told: &mut Told) {
        let execution = &mut self.executions[index];
        execution.attempt += 1;
        execution.status = Status::InProgress;
        execution.stop = None;
        execution.at = Position::Inside(stage);
        let run = &mut execution.stages[stage];
        run.status = Some(Status::InProgress);
        run.retried_at = Some(told.now);
        run.retries += 1;
        for run in &mut run.runs {
            run.is_past |= all_actions || run.status != ActionStatus::Succeeded;
        }
        self.tell(index, Level::Pipeline, "RESUMED", &Value::Null, told);
        self.tell_stage(index, stage, "RESUMED", told);
    }

    fn step(&mut self, index: usize, told: &mut Told) -> bool {
        let execution = &self.executions[index];
        match execution.at {
            Position::Ended => false,
            Position::Ending(status) => {
                self.end(index, status, told);
                true
            }
            Position::Entering(_) if execution.stop.is_some() => {
                self.end(index, Status::Stopped, told);
                true
            }
            Position::Entering(_) if execution.is_outdated => {
                self.end(index, Status::Cancelled, told);
                true
            }
            Position::Entering(stage) if self.is_free(stage) => {
                let execution = &mut self.executions[index];
                execution.at = Position::Inside(stage);
                execution.stages[stage].status = Some(Status::InProgress);
                self.tell_stage(index, stage, "STARTED", told);
                true
            }
            Position::Entering(_) => false,
            Position::Inside(stage) => self.step_inside(index, stage, told),
        }
    }

    /// Whether nothing may enter a stage just now, whoever is in it.
    fn is_shut(&self, stage: usize) -> bool {
        let name = self.pipeline().stages.get(stage).map(|stage| stage.name.as_str());
        name.and_then(|name| self.transitions.get(name)).is_some_and(|transition| !transition.enabled)
    }

    /// Whether a stage may be entered. Those that wait for it take their turn in the order in which they were started,
    /// because that is the order of the steps.
    fn is_free(&self, stage: usize) -> bool {
        match self.pipeline().mode {
            _ if self.is_shut(stage) => false,
            ExecutionMode::Parallel => true,
            ExecutionMode::Superseded | ExecutionMode::Queued => !self.is_locked(stage),
        }
    }

    pub(super) fn is_locked(&self, stage: usize) -> bool {
        self.executions.iter().any(|execution| execution.is_inside(stage))
    }

    /// An execution arrives at a stage: of those that wait for it, only the newest stays.
    fn arrive(&mut self, arrived: usize, stage: usize, told: &mut Told) {
        self.executions[arrived].at = Position::Entering(stage);
        let is_free = !self.is_locked(stage) && !self.is_shut(stage);
        if self.pipeline().mode != ExecutionMode::Superseded || is_free {
            return;
        }
        let waiting: Vec<usize> =
            (0..self.executions.len()).filter(|&index| self.executions[index].waits_for(stage)).collect();
        if let Some((_, older)) = waiting.split_last() {
            for &index in older {
                self.end(index, Status::Superseded, told);
            }
        }
    }

    fn step_inside(&mut self, index: usize, stage: usize, told: &mut Told) -> bool {
        let execution = &self.executions[index];
        let runs = &execution.stages[stage].runs;
        let open: Vec<usize> = (0..runs.len()).filter(|&run| runs[run].status == ActionStatus::InProgress).collect();
        if !open.is_empty() {
            let abandon = execution.stop.as_ref().is_some_and(|stop| stop.abandon);
            let hangs = matches!(&execution.behaviour, Behaviour::Hangs { stage: hangs }
                if *hangs == self.structure(execution).stages[stage].name);
            let actions = &self.structure(execution).stages[stage].actions;
            let asks = open.iter().any(|&run| actions[runs[run].action].is_approval()) && !execution.is_approved;
            if (hangs || asks) && !abandon {
                return false;
            }
            for run in open {
                self.end_action(index, stage, run, abandon, told);
            }
            return true;
        }
        let has_failed = runs.iter().any(|run| !run.is_past && run.status == ActionStatus::Failed);
        let (is_stopped, is_outdated) = (execution.stop.is_some(), execution.is_outdated);
        let ended = match (is_stopped, has_failed, is_outdated) {
            (true, _, _) => Some(Status::Stopped),
            (false, true, _) => Some(Status::Failed),
            (false, false, true) => Some(Status::Cancelled),
            (false, false, false) => None,
        };
        if let Some(ended) = ended {
            self.end_stage(index, stage, ended, told);
            self.executions[index].at = Position::Ending(ended);
            return true;
        }
        if self.start_actions(index, stage, told) {
            return true;
        }
        self.end_stage(index, stage, Status::Succeeded, told);
        if stage + 1 < self.executions[index].stages.len() {
            self.arrive(index, stage + 1, told);
        } else {
            self.executions[index].at = Position::Ending(Status::Succeeded);
        }
        true
    }

    /// Starts those actions that are next by their run order. Says whether there were any.
    fn start_actions(&mut self, index: usize, stage: usize, told: &mut Told) -> bool {
        let execution = &self.executions[index];
        let actions = &self.structure(execution).stages[stage].actions;
        let is_done =
            |action: usize| execution.stages[stage].runs.iter().any(|run| run.action == action && !run.is_past);
        let left: Vec<usize> = (0..actions.len()).filter(|&action| !is_done(action)).collect();
        let Some(order) = left.iter().map(|&action| actions[action].run_order).min() else { return false };
        let next: Vec<usize> = left.into_iter().filter(|&action| actions[action].run_order == order).collect();
        for action in next {
            let runs = &mut self.executions[index].stages[stage].runs;
            runs.push(ActionRun {
                id: uuid(&SystemClock.nonce()),
                action,
                status: ActionStatus::InProgress,
                started_at: told.now,
                updated_at: told.now,
                failure: None,
                is_past: false,
            });
            let run = runs.len() - 1;
            self.tell_action(index, stage, run, "STARTED", &Value::Null, told);
        }
        true
    }

    fn end_action(&mut self, index: usize, stage: usize, run: usize, abandon: bool, told: &mut Told) {
        let execution = &self.executions[index];
        let structure = self.structure(execution);
        let action = &structure.stages[stage].actions[execution.stages[stage].runs[run].action];
        let failure = match &execution.behaviour {
            Behaviour::Fails { stage: fails, failure, attempts } => {
                let is_first = structure.stages[stage].actions.first().is_some_and(|first| first.name == action.name);
                let is_meant = *fails == structure.stages[stage].name && is_first && execution.attempt <= *attempts;
                is_meant.then(|| failure.clone())
            }
            Behaviour::Succeeds | Behaviour::Hangs { .. } => None,
        };
        let (status, state, more) = match (&failure, abandon) {
            // As documented, without the start's time.
            (_, true) => (ActionStatus::Abandoned, "ABANDONED", json!({"start-time": null})),
            (Some(failure), false) => {
                let result = json!({
                    "external-execution-url": external_url(&structure.id, &action.provider),
                    "external-execution-summary": failure.message,
                    "external-execution-id": EXTERNAL_ID,
                    "error-code": failure.code,
                });
                (ActionStatus::Failed, "FAILED", json!({"execution-result": result}))
            }
            (None, false) => {
                let revision = execution.revisions.get(&action.name).filter(|_| action.is_source());
                let result = revision.map(|revision| {
                    let mut result = json!({"external-execution-id": revision.id});
                    if let Some(message) = &revision.message {
                        result["external-execution-summary"] = json!(message);
                    }
                    if let Some(url) = &revision.url {
                        result["external-execution-url"] = json!(url);
                    }
                    result
                });
                let artifacts: Vec<Value> =
                    action.outputs.iter().map(|name| artifact(&structure.id, &execution.id, name)).collect();
                let artifacts = if artifacts.is_empty() { Value::Null } else { Value::Array(artifacts) };
                (
                    ActionStatus::Succeeded,
                    "SUCCEEDED",
                    json!({"execution-result": result, "output-artifacts": artifacts}),
                )
            }
        };
        let ended = &mut self.executions[index].stages[stage].runs[run];
        ended.status = status;
        ended.updated_at = told.now;
        ended.failure = failure.filter(|_| !abandon);
        self.tell_action(index, stage, run, state, &more, told);
    }

    fn end_stage(&mut self, index: usize, stage: usize, status: Status, told: &mut Told) {
        self.executions[index].stages[stage].status = Some(status);
        self.tell_stage(index, stage, status.state(), told);
    }

    fn end(&mut self, index: usize, status: Status, told: &mut Told) {
        let execution = &mut self.executions[index];
        execution.status = status;
        execution.at = Position::Ended;
        let execution = &self.executions[index];
        let structure = self.structure(execution);
        let push = execution.push().filter(|_| structure.kind == PipelineType::V2);
        let knows_its_source = execution.stages.first().is_some_and(|stage| stage.status == Some(Status::Succeeded));
        // A push is told again by the pipeline's SUCCEEDED and FAILED, unless it failed in its first stage.
        let tells = matches!(status, Status::Succeeded | Status::Failed) && knows_its_source;
        let trigger = push.filter(|_| tells).map(|push| {
            json!({
                "author-display-name": push.author,
                "full-repository-name": push.repository,
                "provider-type": "GitHub",
                "author-email": "author@example.com",
                "commit-message": push.message,
                "author-date": execution.started_at.to_string(),
                "branch-name": push.branch,
                "commit-id": push.commit,
                "connection-arn": push.connection_arn,
                "author-id": "author",
            })
        });
        self.tell(index, Level::Pipeline, status.state(), &json!({"execution-trigger": trigger}), told);
    }

    fn tell_stage(&mut self, index: usize, stage: usize, state: &str, told: &mut Told) {
        let execution = &self.executions[index];
        let name = &self.structure(execution).stages[stage].name;
        let mut more = json!({"stage": name});
        if let Some(retried_at) = execution.stages[stage].retried_at {
            more["stage-last-retry-attempt-time"] = json!(with_millis(retried_at));
        }
        match state {
            "RESUMED" => more["start-time"] = Value::Null,
            // The documented example of a stage that starts counts from 0.
            "STARTED" if execution.attempt == 1 => more["pipeline-execution-attempt"] = json!(0.0),
            _ => {}
        }
        self.tell(index, Level::Stage, state, &more, told);
    }

    fn tell_action(&mut self, index: usize, stage: usize, run: usize, state: &str, more: &Value, told: &mut Told) {
        let execution = &self.executions[index];
        let structure = self.structure(execution);
        let run = &execution.stages[stage].runs[run];
        let action = &structure.stages[stage].actions[run.action];
        let mut all = json!({
            "stage": structure.stages[stage].name,
            "action": action.name,
            "action-execution-id": run.id,
            "region": structure.id.region,
            "type": action.kind(),
        });
        if state == "STARTED" && !action.is_source() {
            let inputs = structure.source_actions().flat_map(|source| &source.outputs);
            all["input-artifacts"] = inputs.map(|name| artifact(&structure.id, &execution.id, name)).collect();
        }
        if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        self.tell(index, Level::Action, state, &all, told);
    }

    /// Everything that changes is told: so that this is also when the execution last changed.
    fn tell(&mut self, index: usize, level: Level, state: &str, more: &Value, told: &mut Told) {
        let execution = &mut self.executions[index];
        execution.updated_at = told.now;
        let subject = Subject {
            account: &execution.pipeline.account,
            region: &execution.pipeline.region,
            pipeline: &execution.pipeline.name,
            execution: &execution.id,
            started_at: execution.started_at,
            version: execution.version,
            attempt: execution.attempt,
        };
        told.events.push(subject.event(level, state, &uuid(&SystemClock.nonce()), told.now, more));
    }
}

/// What the provider calls its own execution.
pub(super) const EXTERNAL_ID: &str = "d-ABC123DEF";

/// The provider's page about an action.
pub(super) fn external_url(pipeline: &PipelineId, provider: &str) -> String {
    let (region, provider) = (&pipeline.region, provider.to_lowercase());
    format!("https://{region}.console.aws.amazon.com/{provider}/home?#/deployments/{EXTERNAL_ID}")
}

/// An artifact, as events and the API name it.
fn artifact(pipeline: &PipelineId, execution: &str, name: &str) -> Value {
    json!({"name": name, "s3location": location(pipeline, execution, name)})
}

/// Where an artifact is.
pub(super) fn location(pipeline: &PipelineId, execution: &str, name: &str) -> Value {
    let short = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    json!({
        "bucket": format!("codepipeline-{}-{}", pipeline.region, pipeline.account),
        "key": format!("{}/{}/{}", short(&pipeline.name, 20), short(name, 10), short(execution, 7)),
    })
}

/// The revision that a push tells.
fn pushed(cause: &Cause) -> Option<Revision> {
    let Cause::Push(push) = cause else { return None };
    let variables = [
        ("AuthorDisplayName", &push.author),
        ("BranchName", &push.branch),
        ("CommitId", &push.commit),
        ("CommitMessage", &push.message),
        ("FullRepositoryName", &push.repository),
    ];
    Some(Revision {
        id: push.commit.clone(),
        message: Some(push.message.clone()),
        url: Some(format!("https://github.com/{}/commit/{}", push.repository, push.commit)),
        variables: variables.map(|(name, value)| (name.to_owned(), value.clone())).into(),
    })
}
