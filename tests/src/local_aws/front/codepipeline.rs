//! CodePipeline, which the emulator lacks: the operations that Manifold and its tests call, on documented behaviour
//! only (CodePipeline API reference and User Guide).
//!
//! Nothing moves by itself: a test says when the executions of its accounts go on, and takes the events that this
//! yields. All state belongs to an account; two tests never share one.
//!
//! | module | holds |
//! |---|---|
//! | `definition` | pipelines, and what their executions do, as a test defines them |
//! | `line` | one pipeline with its executions: stages, locks, modes, retries |
//! | `model` | what a request must look like |
//! | `operations` | the operations |

mod definition;
mod line;
mod model;
mod operations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manifold_aws::clock::SystemClock;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use serde_json::{Value, json};

pub use definition::{
    Action, Behaviour, Cause, ExecutionMode, Failure, Pipeline, PipelineId, PipelineType, Push, Revision, Stage,
};
pub use line::{Execution, Status};
use line::{Line, Order, Told};

use crate::wire::engines::Need;

/// How many steps an execution of the longest pipeline takes at most; more are a loop.
const MOST_STEPS: usize = 10_000;

/// An error of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned() }
    }
}

/// A call that was authenticated.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    pub(super) operation: &'a str,
    /// The caller's ARN.
    pub(super) caller: &'a str,
    pub(super) body: &'a Value,
}

/// The pipelines of all accounts. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Pipelines(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    lines: BTreeMap<PipelineId, Line>,
    events: BTreeMap<String, Vec<Value>>,
    ahead: BTreeMap<String, Span>,
    forgetful: BTreeSet<String>,
    /// What was put as the result of a job, by account and id.
    jobs: BTreeMap<(String, String), Option<Value>>,
}

impl World {
    fn now(&self, account: &str) -> Timestamp {
        SystemClock.now().plus(self.ahead.get(account).copied().unwrap_or_default())
    }

    /// Changes a pipeline, and keeps what that tells.
    fn change<T>(&mut self, id: &PipelineId, change: impl FnOnce(&mut Line, &mut Told) -> T) -> Option<T> {
        let mut told = Told { now: self.now(&id.account), events: Vec::new() };
        let changed = change(self.lines.get_mut(id)?, &mut told);
        self.events.entry(id.account.clone()).or_default().append(&mut told.events);
        Some(changed)
    }
}

impl Pipelines {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on<T>(&self, id: &PipelineId, change: impl FnOnce(&mut Line, &mut Told) -> T) -> T {
        let changed = self.lock().change(id, change);
        changed.unwrap_or_else(|| panic!("nobody defined the pipeline {}", id.arn()))
    }

    fn on_execution<T>(
        &self,
        id: &PipelineId,
        execution: &str,
        change: impl FnOnce(&mut Line, usize, &mut Told) -> T,
    ) -> T {
        self.on(id, |line, told| {
            let index = line.find(execution).unwrap_or_else(|| panic!("{} has no execution {execution}", id.arn()));
            change(line, index, told)
        })
    }

    /// Creates a pipeline, whose executions succeed.
    pub fn define(&self, pipeline: Pipeline) {
        let mut world = self.lock();
        let now = world.now(&pipeline.id.account);
        world.lines.insert(pipeline.id.clone(), Line::new(pipeline, now));
    }

    /// Deletes a pipeline with all its executions.
    pub fn delete(&self, id: &PipelineId) {
        self.lock().lines.remove(id);
    }

    /// Changes a pipeline's structure: its version goes up, and its active executions are cancelled with the next
    /// steps, except in mode PARALLEL.
    pub fn edit(&self, id: &PipelineId, change: impl FnOnce(&mut Pipeline)) {
        self.on(id, |line, told| {
            let mut pipeline = line.pipeline().clone();
            change(&mut pipeline);
            line.edit(pipeline, told.now);
        });
    }

    /// What executions do that are started from here on.
    pub fn behave(&self, id: &PipelineId, behaviour: Behaviour) {
        self.on(id, |line, _| line.behave(behaviour));
    }

    /// What one of the next executions does. May be called repeatedly: the first call is for the first execution.
    pub fn behave_next(&self, id: &PipelineId, behaviour: Behaviour) {
        self.on(id, |line, _| line.behave_next(behaviour));
    }

    /// Starts an execution without a call, as a push or a rule does, and returns its id. Variables have their defaults.
    #[must_use]
    pub fn start(&self, id: &PipelineId, cause: Cause) -> String {
        let order =
            Order { cause, token: None, pinned: BTreeMap::new(), variables: BTreeMap::new(), request: Value::Null };
        self.on(id, |line, told| line.start(order, told))
    }

    /// Starts an execution as somebody does by hand: by the ARN that calls, with the revisions that they choose, by source
    /// action. Returns its id.
    #[must_use]
    pub fn start_by_hand(&self, id: &PipelineId, caller: &str, revisions: &[(&str, &str)]) -> String {
        let pinned = revisions.iter().map(|(action, revision)| ((*action).to_owned(), (*revision).to_owned()));
        let order = Order {
            cause: Cause::Caller(caller.to_owned()),
            token: None,
            pinned: pinned.collect(),
            variables: BTreeMap::new(),
            request: Value::Null,
        };
        self.on(id, |line, told| line.start(order, told))
    }

    /// Disables the transition into a stage, as somebody in the target account does on the console.
    ///
    /// # Panics
    /// There is no such stage.
    pub fn disable_transition(&self, id: &PipelineId, stage: &str, reason: &str) {
        self.must(
            id,
            "DisableStageTransition",
            &json!({
                "pipelineName": id.name, "stageName": stage, "transitionType": "Inbound", "reason": reason,
            }),
        );
    }

    /// Enables it again.
    ///
    /// # Panics
    /// There is no such stage.
    pub fn enable_transition(&self, id: &PipelineId, stage: &str) {
        let body = json!({ "pipelineName": id.name, "stageName": stage, "transitionType": "Inbound" });
        self.must(id, "EnableStageTransition", &body);
    }

    /// Lets an execution that hangs, or waits for an approval, go on.
    pub fn release(&self, id: &PipelineId, execution: &str) {
        self.on_execution(id, execution, |line, index, _| line.release(index));
    }

    /// Retries the failed actions of a stage, as somebody in the target account does on the console.
    ///
    /// # Panics
    /// The stage can't be retried.
    pub fn retry(&self, id: &PipelineId, execution: &str, stage: &str) {
        self.must(id, "RetryStageExecution", &json!({
            "pipelineName": id.name, "pipelineExecutionId": execution, "stageName": stage, "retryMode": "FAILED_ACTIONS",
        }));
    }

    /// Stops an execution, as somebody in the target account does on the console. With `abandon`, running actions are
    /// left to themselves.
    ///
    /// # Panics
    /// The execution can't be stopped.
    pub fn stop(&self, id: &PipelineId, execution: &str, abandon: bool, reason: &str) {
        self.must(
            id,
            "StopPipelineExecution",
            &json!({
                "pipelineName": id.name, "pipelineExecutionId": execution, "abandon": abandon, "reason": reason,
            }),
        );
    }

    fn must(&self, id: &PipelineId, operation: &str, body: &Value) {
        let caller = format!("arn:aws:iam::{}:root", id.account);
        let call = Call { account: &id.account, region: &id.region, operation, caller: &caller, body };
        if let Err(Refusal { code, message }) = self.call(&call) {
            panic!("{operation} of {}: {code}: {message}", id.arn());
        }
    }

    /// Moves every active execution of these accounts by one step: a stage begins, its actions begin, they end, the
    /// stage ends, the pipeline ends. Says how many moved.
    pub fn advance(&self, accounts: &[&str]) -> usize {
        let mut world = self.lock();
        let ids: Vec<PipelineId> =
            world.lines.keys().filter(|id| accounts.contains(&id.account.as_str())).cloned().collect();
        ids.iter().filter_map(|id| world.change(id, Line::advance)).sum()
    }

    /// Moves the executions of these accounts until none moves: all have ended, or hang.
    ///
    /// # Panics
    /// They never stop moving.
    pub fn settle(&self, accounts: &[&str]) {
        let steps = (0..MOST_STEPS).find(|_| self.advance(accounts) == 0);
        assert!(steps.is_some(), "the executions of {accounts:?} do not come to an end");
    }

    /// Takes the events that were emitted in an account since the last time, in order, as EventBridge gets them.
    #[must_use]
    pub fn take_events(&self, account: &str) -> Vec<Value> {
        self.lock().events.remove(account).unwrap_or_default()
    }

    /// Sets the clock of an account ahead of the host's: events and executions tell its time.
    pub fn set_ahead(&self, account: &str, ahead: Span) {
        self.lock().ahead.insert(account.to_owned(), ahead);
    }

    /// The time of an account.
    #[must_use]
    pub fn now(&self, account: &str) -> Timestamp {
        self.lock().now(account)
    }

    /// Whether an account forgets client request tokens at once. CodePipeline does not say for how long it remembers
    /// them.
    pub fn forget_tokens(&self, account: &str, forgets: bool) {
        let mut world = self.lock();
        if forgets {
            world.forgetful.insert(account.to_owned());
        } else {
            world.forgetful.remove(account);
        }
    }

    /// Every execution in an account, by Region and pipeline, and then in the order in which they were started.
    #[must_use]
    pub fn executions(&self, account: &str) -> Vec<Execution> {
        let world = self.lock();
        let lines = world.lines.iter().filter(|(id, _)| id.account == account);
        lines.flat_map(|(_, line)| line.executions.iter().cloned()).collect()
    }

    /// A job of an action that invokes a function, in an account: what the function is invoked with.
    #[must_use]
    pub fn job(&self, account: &str, id: &str, user_parameters: &str, token: Option<&str>) -> Value {
        self.lock().jobs.insert((account.to_owned(), id.to_owned()), None);
        json!({ "CodePipeline.job": {
            "id": id,
            "accountId": account,
            "data": {
                "actionConfiguration": {
                    "configuration": { "FunctionName": "dispatch", "UserParameters": user_parameters },
                },
                "inputArtifacts": [],
                "outputArtifacts": [],
                "artifactCredentials": {
                    "accessKeyId": "AKIDEXAMPLE",
                    "secretAccessKey": "not a secret",
                    "sessionToken": "not a secret",
                },
                "continuationToken": token,
            },
        } })
    }

    /// What was put as the result of a job.
    #[must_use]
    pub fn job_result(&self, account: &str, id: &str) -> Option<Value> {
        self.lock().jobs.get(&(account.to_owned(), id.to_owned())).cloned().flatten()
    }

    /// What a call needs permission for. `None` when the request is so wrong that nobody can tell.
    pub(super) fn need(call: &Call<'_>) -> Option<Need> {
        let Call { account, region, operation, body, .. } = *call;
        let name = body.get("name").or_else(|| body.get("pipelineName")).and_then(Value::as_str);
        let arn = |name: &str| crate::wire::events::pipeline_arn(account, region, name);
        let resource = match operation {
            "ListPipelines" => arn("*"),
            // "does not support resource-level permissions" (Service Authorization Reference).
            "PutJobSuccessResult" | "PutJobFailureResult" => "*".to_owned(),
            "ListTagsForResource" => body.get("resourceArn")?.as_str()?.to_owned(),
            "RetryStageExecution" | "DisableStageTransition" | "EnableStageTransition" => {
                format!("{}/{}", arn(name?), body.get("stageName")?.as_str()?)
            }
            _ => arn(name?),
        };
        Some(Need { action: format!("codepipeline:{operation}"), resource })
    }

    /// Checks and carries out a call that is authorized.
    pub(super) fn call(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        let body = model::check(call.operation, call.body)?;
        operations::carry_out(&mut self.lock(), call, body)
    }

    /// Whether a request is one of the operation's.
    pub(super) fn check(call: &Call<'_>) -> Result<(), Refusal> {
        model::check(call.operation, call.body).map(|_| ())
    }
}
