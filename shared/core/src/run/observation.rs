//! What an event tells about an execution, cut down to what moves a run.

use serde::{Deserialize, Serialize};

use super::seen::Seen;
use super::status::Status;
use super::target::{Reason, ReasonSource, Target};
use crate::engine::Subject;
use crate::event::{self, ActionState, BuildEvent, BuildState, Envelope, PipelineState, ResourceEvent, StackEvent};
use crate::ids::{ExecutionId, ExecutionRef, RunId, TargetKey};
use crate::time::Timestamp;

/// Something that happened at the engine, told by an event or by asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The account and Region of the event's *envelope*: the only part of an event that its sender can't choose.
    pub target: TargetKey,
    /// What was started there.
    #[serde(rename = "pipeline")]
    pub subject: Subject,
    /// The execution.
    pub execution: ExecutionId,
    /// The event's time stamp. Shown, never used for ordering.
    pub at: Timestamp,
    /// The ARN of whoever started the execution, if told: CodePipeline and CodeBuild do.
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
        /// Why it failed, if the same event says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Box<Reason>>,
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
        let told = |subject: Subject, execution: &ExecutionId, started_by: Option<String>, what: Observed| Self {
            target: TargetKey { account: envelope.account.clone(), region: envelope.region.clone() },
            subject,
            execution: execution.clone(),
            at: envelope.at,
            started_by,
            what,
            learnt: Learnt::ByEvent,
        };
        match &envelope.event {
            event::Event::Pipeline(event) => {
                let by = event.trigger.as_ref().and_then(|trigger| trigger.detail.clone());
                let (state, comments) = (event.state.clone(), event.stop_comments.clone());
                let what = Observed::State { state, attempt: event.attempt, comments, reason: None };
                Some(told(event.pipeline.clone().into(), &event.execution, by, what))
            }
            event::Event::Action(event) if event.state == ActionState::Failed => {
                let result = event.result.clone().unwrap_or_default();
                let error = result.error_code.unwrap_or_else(|| "Failed".to_owned());
                let reason = Reason {
                    cause: format!("{error} in action {}", event.action),
                    detail: result.summary,
                    link: result.url,
                    source: ReasonSource::Event,
                    attempt: event.attempt_from_one(),
                };
                let what = Observed::ActionFailed { reason };
                Some(told(event.pipeline.clone().into(), &event.execution, None, what))
            }
            event::Event::Build(event) => {
                let what = Observed::ended(event.state.execution(), why_build_failed(event));
                Some(told(Subject::Project(event.project.clone()), &event.build, started_build(envelope, event), what))
            }
            event::Event::Stack(event) => {
                let what = Observed::ended(event.status.execution()?, why_stack_failed(event));
                Some(told(Subject::Stack(event.stack.clone()), event.token.as_ref()?, None, what))
            }
            event::Event::Resource(event) if event.is_failure() => {
                let what = Observed::ActionFailed { reason: why_resource_failed(event) };
                Some(told(Subject::Stack(event.stack.clone()), event.token.as_ref()?, None, what))
            }
            event::Event::Deployment(event) => {
                let what = Observed::ended(event.state.execution(), None);
                Some(told(Subject::Group(event.group.clone()), &event.deployment, None, what))
            }
            event::Event::Action(_)
            | event::Event::Stage(_)
            | event::Event::Drift(_)
            | event::Event::Phase(_)
            | event::Event::Resource(_)
            | event::Event::StackSet(_)
            | event::Event::Instance(_)
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
            subject: target.subject.clone(),
            execution: target.execution.clone().filter(|_| news)?,
            at: standing.at,
            started_by: None,
            what: Observed::State {
                state: standing.state,
                attempt: Some(target.seen.as_ref().map_or(1, Seen::attempt)),
                comments: standing.comments,
                reason: None,
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
            subject: target.subject.clone(),
            execution,
            at,
            started_by: None,
            what: Observed::State { state, attempt, comments: None, reason: None },
            learnt: Learnt::ByAsking,
        })
    }

    /// The execution, with its place.
    #[must_use]
    pub fn execution_ref(&self) -> ExecutionRef {
        ExecutionRef { target: self.target.clone(), id: self.execution.clone() }
    }

    /// The run that started the execution, if the event tells: the name of the role session carries it, or
    /// CloudFormation's token.
    #[must_use]
    pub fn session_run(&self) -> Option<RunId> {
        match &self.subject {
            Subject::Stack(_) => RunId::from_attempt_token(self.execution.as_str(), &self.target).map(|(run, _)| run),
            Subject::Pipeline(_) | Subject::Project(_) | Subject::Group(_) => {
                self.started_by.as_deref().and_then(RunId::from_session_arn)
            }
        }
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

impl Observed {
    /// A state of an execution that has one attempt and says no more of its end.
    fn ended(state: PipelineState, reason: Option<Reason>) -> Self {
        Self::State { state, attempt: None, comments: None, reason: reason.map(Box::new) }
    }
}

/// The session that started a build, as an ARN: CodeBuild tells it as `role/session`. What a pipeline started is told as
/// `codepipeline/name`, and names no session.
fn started_build(envelope: &Envelope, event: &BuildEvent) -> Option<String> {
    let initiator = event.initiator.as_deref().filter(|by| by.contains('/') && !by.starts_with("codepipeline/"))?;
    let partition = envelope.region.partition().as_str();
    Some(format!("arn:{partition}:sts::{}:assumed-role/{initiator}", envelope.account))
}

/// Why a build failed, as the event that says so tells.
fn why_build_failed(event: &BuildEvent) -> Option<Reason> {
    let what = match event.state {
        BuildState::Failed => "FAILED",
        BuildState::Fault => "FAULT",
        BuildState::TimedOut => "TIMED_OUT",
        BuildState::InProgress | BuildState::Succeeded | BuildState::Stopped | BuildState::Unknown(_) => return None,
    };
    let (cause, detail) = match &event.failed {
        Some(failed) => (build_failed_in(&failed.status, &failed.phase), failed.context.clone()),
        None => (what.to_owned(), None),
    };
    Some(Reason { cause, detail, link: event.log.clone(), source: ReasonSource::Event, attempt: 1 })
}

/// What builds are grouped by that failed.
#[must_use]
pub fn build_failed_in(status: &str, phase: &str) -> String {
    format!("{status} in phase {phase}")
}

/// What a stack says of its failure: less than its resources do, which go before it.
fn why_stack_failed(event: &StackEvent) -> Option<Reason> {
    if event.status.execution() != Some(PipelineState::Failed) {
        return None;
    }
    let cause = event.status.to_string();
    Some(Reason { cause, detail: event.reason.clone(), link: None, source: ReasonSource::Event, attempt: 0 })
}

fn why_resource_failed(event: &ResourceEvent) -> Reason {
    Reason {
        cause: resource_failed(event.status.as_str(), &event.resource, event.kind.as_deref()),
        detail: event.reason.clone(),
        link: None,
        source: ReasonSource::Event,
        attempt: 1,
    }
}

/// What stacks are grouped by in which a resource failed.
#[must_use]
pub fn resource_failed(status: &str, resource: &str, kind: Option<&str>) -> String {
    match kind {
        Some(kind) => format!("{status} of {resource} ({kind})"),
        None => format!("{status} of {resource}"),
    }
}
