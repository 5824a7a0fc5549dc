//! The service that does the work in a target account.
//!
//! # A fifth engine
//!
//! One adapter that implements [`Engine`], a variant of [`Service`](manifold_core::engine::Service) and
//! [`Subject`](manifold_core::engine::Subject) with what it needs ([`Work`](manifold_core::engine::Work)), and its events
//! in [`Observation::of`](manifold_core::run::Observation::of). The compiler names every other place. What an adapter must
//! hold, whatever the service offers for it; the conformance suite (`tests/tests/conformance/`) runs each of them
//! through the same stories:
//!
//! | promise | how the four keep it |
//! |---|---|
//! | [`start`](Engine::start) called twice with one order starts one execution, for as long as the service remembers | CodePipeline's and CodeBuild's tokens, a change set's name and CloudFormation's token; CodeDeploy has none, so no call of `CreateDeployment` is repeated by itself |
//! | [`find`](Engine::find) knows an execution that a worker started and did not record | the role session's name; an environment variable; the token in the stack's events; the description |
//! | an execution's id is in its events, in the account and Region of the target | id of the execution, the build, the token, the deployment |
//! | [`ask`](Engine::ask) tells the end although every event was lost | and nothing else than what the events would have told |
//! | [`explain`](Engine::explain) names what failed, why, and where to read on | action; phase; resource; error code and lifecycle event |
//! | [`stop`](Engine::stop) of what has ended, or is being stopped, is no error | |
//! | a refusal says whether trying again can help | [`Refusal`] |

use std::future::Future;

use manifold_core::ids::{Attempt, ExecutionId, RunId};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Reason, Refusal, Standing};
use manifold_core::time::{Span, Timestamp};

/// How far the clock of an engine and those of the functions may disagree: what an engine started so much before it was
/// asked to may still be ours.
pub const CLOCK_SKEW: Span = Span::from_minutes(5);

/// One attempt on one target, whole.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The target, as planned.
    pub planned: &'a PlannedTarget,
    /// The attempt.
    pub attempt: Attempt,
}

/// What came of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// This execution runs.
    Begun(ExecutionId),
    /// There was nothing to do: the target has it already. This would have been its execution.
    Current(ExecutionId),
}

/// Starts, finds, asks for and explains executions in target accounts, with a role that is assumed there.
pub trait Engine: Send + Sync {
    /// Whether the target's role is assumed for this order already, so that the next call costs none besides.
    fn is_entered(&self, order: Order<'_>) -> bool;

    /// Starts the attempt's execution. Called again with the same order, it starts nothing more as long as the service
    /// remembers the token, which is derived from run, target and attempt. Whoever comes after another worker, or after a
    /// call that seemed to fail, calls [`Engine::find`] before.
    fn start(&self, order: Order<'_>) -> impl Future<Output = Result<Start, Refusal>> + Send;

    /// Looks for the execution that an earlier worker may have started for this run, not before `since` (give or take
    /// [`CLOCK_SKEW`]), and that is none of `except`.
    fn find(
        &self,
        order: Order<'_>,
        since: Timestamp,
        except: &[ExecutionId],
    ) -> impl Future<Output = Result<Option<ExecutionId>, Refusal>> + Send;

    /// Asks why an execution failed.
    fn explain(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
    ) -> impl Future<Output = Result<Reason, Refusal>> + Send;

    /// Asks how an execution stands that was started at `started_at`; `None` if the engine does not list it among its
    /// newest.
    fn ask(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
        started_at: Timestamp,
    ) -> impl Future<Output = Result<Option<Standing>, Refusal>> + Send;

    /// Stops an execution: a pipeline after the actions that run just now, a stack by taking its update back. One that has
    /// ended, or is being stopped, is left as it is.
    fn stop(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
        reason: &str,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// How CloudWatch alarms of these names stand in the target's account and Region. Those that do not exist are left out.
    fn alarms(
        &self,
        order: Order<'_>,
        names: &[String],
    ) -> impl Future<Output = Result<Vec<AlarmState>, Refusal>> + Send;
}

/// A CloudWatch alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmState {
    /// Its name.
    pub name: String,
    /// Whether it is in ALARM. INSUFFICIENT_DATA is not: a metric that nobody writes at rest has no data ("Using Amazon
    /// CloudWatch alarms", "Metric alarm states").
    pub is_firing: bool,
}

impl<T: Engine> Engine for &T {
    fn is_entered(&self, order: Order<'_>) -> bool {
        (**self).is_entered(order)
    }
    fn start(&self, order: Order<'_>) -> impl Future<Output = Result<Start, Refusal>> + Send {
        (**self).start(order)
    }
    fn find(
        &self,
        order: Order<'_>,
        since: Timestamp,
        except: &[ExecutionId],
    ) -> impl Future<Output = Result<Option<ExecutionId>, Refusal>> + Send {
        (**self).find(order, since, except)
    }
    fn explain(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
    ) -> impl Future<Output = Result<Reason, Refusal>> + Send {
        (**self).explain(order, execution)
    }
    fn ask(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
        started_at: Timestamp,
    ) -> impl Future<Output = Result<Option<Standing>, Refusal>> + Send {
        (**self).ask(order, execution, started_at)
    }
    fn stop(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
        reason: &str,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        (**self).stop(order, execution, reason)
    }
    fn alarms(
        &self,
        order: Order<'_>,
        names: &[String],
    ) -> impl Future<Output = Result<Vec<AlarmState>, Refusal>> + Send {
        (**self).alarms(order, names)
    }
}
