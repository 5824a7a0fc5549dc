//! What an event tells about an execution, cut down to what moves a run.

use serde::{Deserialize, Serialize};

use super::seen::Seen;
use super::status::Status;
use super::target::{Reason, ReasonSource, Target};
use crate::event::{self, ActionState, Envelope, PipelineState};
use crate::ids::{ExecutionId, ExecutionRef, PipelineName, RunId, TargetKey};
use crate::time::Timestamp;

/// Something that happened at the engine, told by an event or by asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The account and Region of the event's *envelope*: the only part of an event that its sender can't choose.
    pub target: TargetKey,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The execution.
    pub execution: ExecutionId,
    /// The event's time stamp. Shown, never used for ordering.
    pub at: Timestamp,
    /// The ARN of whoever started the execution, if told.
    pub started_by: Option<String>,
    /// What was observed.
    pub what: Observed,
    /// How it came to be known.
    #[serde(default)]
    pub learnt: Learnt,
}

/// How an observation came to be known. What it says counts the same either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learnt {
    /// An event told it.
    #[default]
    ByEvent,
    /// The engine was asked, as no event had told it in time.
    ByAsking,
}

/// How an execution stands, as its engine answers when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state, in the words of events. The engine does not tell a retry apart: [`PipelineState::Started`] is any
    /// execution that runs.
    pub state: PipelineState,
    /// When the execution last changed.
    pub at: Timestamp,
    /// What the person who stopped it wrote. Untrusted.
    pub comments: Option<String>,
}

/// The kinds of observation that move a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Observed {
    /// The execution reached a state.
    State {
        /// Which.
        state: PipelineState,
        /// CodePipeline's attempt.
        attempt: Option<u32>,
        /// What the person who stopped it wrote. Untrusted.
        comments: Option<String>,
    },
    /// One of its actions failed, and this is why.
    ActionFailed {
        /// The reason.
        reason: Reason,
    },
}

impl Observation {
    /// What an event tells, or nothing when it moves no run: stages, actions that did not fail, schedules.
    ///
    /// Account and Region are the envelope's. An action's own `region` may be another one, and is not used.
    #[must_use]
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let target = TargetKey { account: envelope.account.clone(), region: envelope.region.clone() };
        match &envelope.event {
            event::Event::Pipeline(told) => Some(Self {
                learnt: Learnt::ByEvent,
                target,
                pipeline: told.pipeline.clone(),
                execution: told.execution.clone(),
                at: envelope.at,
                started_by: told.trigger.as_ref().and_then(|trigger| trigger.detail.clone()),
                what: Observed::State {
                    state: told.state.clone(),
                    attempt: told.attempt,
                    comments: told.stop_comments.clone(),
                },
            }),
            event::Event::Action(told) if told.state == ActionState::Failed => {
                let result = told.result.clone().unwrap_or_default();
                let error = result.error_code.unwrap_or_else(|| "Failed".to_owned());
                Some(Self {
                    learnt: Learnt::ByEvent,
                    target,
                    pipeline: told.pipeline.clone(),
                    execution: told.execution.clone(),
                    at: envelope.at,
                    started_by: None,
                    what: Observed::ActionFailed {
                        reason: Reason {
                            cause: format!("{error} in action {}", told.action),
                            detail: result.summary,
                            link: result.url,
                            source: ReasonSource::Event,
                            attempt: told.attempt_from_one(),
                        },
                    },
                })
            }
            event::Event::Action(_)
            | event::Event::Stage(_)
            | event::Event::Drift(_)
            | event::Event::Scheduled { .. }
            | event::Event::Other { .. } => None,
        }
    }

    /// What an engine's answer tells of a target, or nothing when it is no news: an execution that still runs.
    ///
    /// `target` is as it was read *before* the engine was asked. The answer names no attempt of the execution, so it
    /// counts for the one that was known then: the real one is that or a later one, and a RESUMED event that is folded
    /// in meanwhile keeps its place before an older end.
    #[must_use]
    pub fn asked(target: &Target, standing: Standing) -> Option<Self> {
        let news = match (target.status(), &standing.state) {
            (Status::Running | Status::Stopping, PipelineState::Started | PipelineState::Resumed) => false,
            (Status::Running, _) => true,
            (Status::Stopping, state) => *state != PipelineState::Stopping,
            (Status::Waiting | Status::Queued | Status::Starting | Status::Ended(_), _) => false,
        };
        Some(Self {
            target: target.key.clone(),
            pipeline: target.pipeline.clone(),
            execution: target.execution.clone().filter(|_| news)?,
            at: standing.at,
            started_by: None,
            what: Observed::State {
                state: standing.state,
                attempt: Some(target.seen.as_ref().map_or(1, Seen::attempt)),
                comments: standing.comments,
            },
            learnt: Learnt::ByAsking,
        })
    }

    /// What is known already of a target's execution that ended, told again; nothing if none has. It changes nothing, and
    /// yields the effects that may have been lost with a worker that asked, committed, and died.
    #[must_use]
    pub fn again(target: &Target) -> Option<Self> {
        let (execution, state, at) = match (target.status(), &target.seen, target.past.last()) {
            (Status::Ended(_), Some(seen), _) => (target.execution.clone()?, seen.state().clone(), seen.at()),
            // Its failure began the next attempt.
            (Status::Queued, None, Some(past)) => {
                (past.execution.clone()?, PipelineState::Failed, target.start_due_at?)
            }
            (
                Status::Waiting
                | Status::Queued
                | Status::Starting
                | Status::Running
                | Status::Stopping
                | Status::Ended(_),
                ..,
            ) => return None,
        };
        let attempt = target.seen.as_ref().map(Seen::attempt);
        Some(Self {
            target: target.key.clone(),
            pipeline: target.pipeline.clone(),
            execution,
            at,
            started_by: None,
            what: Observed::State { state, attempt, comments: None },
            learnt: Learnt::ByAsking,
        })
    }

    /// The execution, with its place.
    #[must_use]
    pub fn execution_ref(&self) -> ExecutionRef {
        ExecutionRef { target: self.target.clone(), id: self.execution.clone() }
    }

    /// The run that started the execution, if the event tells: the role session's name carries it.
    #[must_use]
    pub fn session_run(&self) -> Option<RunId> {
        self.started_by.as_deref().and_then(RunId::from_session_arn)
    }

    /// Whether it tells that the execution ended or runs; an action's failure alone does not.
    #[must_use]
    pub fn state(&self) -> Option<&PipelineState> {
        match &self.what {
            Observed::State { state, .. } => Some(state),
            Observed::ActionFailed { .. } => None,
        }
    }
}
