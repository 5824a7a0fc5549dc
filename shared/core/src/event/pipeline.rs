//! What CodePipeline says about executions, their stages and their actions (CodePipeline User Guide, "Monitoring
//! CodePipeline events").

use super::error::DecodeError;
use super::fields::Fields;
use super::state::{ActionState, PipelineState, StageState};
use crate::ids::{ExecutionId, PipelineName, Region};
use crate::time::Timestamp;

/// How long a state or the name of a stage or an action may be. AWS stays at or below 100 characters.
const NAME_CHARS: usize = 128;

/// A pipeline execution changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineEvent {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The execution, unique within the envelope's account and Region.
    pub execution: ExecutionId,
    /// The state that it is in now.
    pub state: PipelineState,
    /// Which try of the execution this is, as written; see [`PipelineEvent::attempt_from_one`].
    pub attempt: Option<u32>,
    /// When the execution began.
    pub started_at: Option<Timestamp>,
    /// Who or what started it. Terminal events of executions started through the API have none.
    pub trigger: Option<ExecutionTrigger>,
    /// Why a stop was requested.
    pub stop_comments: Option<String>,
    /// The version of the pipeline's structure.
    pub version: Option<u32>,
    /// The stage that failed; only notification rules say it.
    pub failed_stage: Option<String>,
    /// The actions that failed; only notification rules list them.
    pub failed_actions: Vec<FailedAction>,
}

/// An action that a notification rule lists as the reason of a failed execution. Every text in it is untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAction {
    /// The action's name.
    pub action: Option<String>,
    /// What went wrong.
    pub information: Option<String>,
}

/// Who or what started an execution. AWS puts two incompatible shapes under one name: `kind` and `detail` when an
/// execution starts, `git` when one that a Git push started ends. Every text in it is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutionTrigger {
    /// `StartPipelineExecution`, `Webhook`, `ManualRollback` and so on, as AWS spells it.
    pub kind: Option<String>,
    /// A user's or role session's ARN, a rule's, a webhook's or a connection's.
    pub detail: Option<String>,
    /// The commit that started it.
    pub git: Option<GitTrigger>,
}

/// The commit that started an execution. Every text in it is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitTrigger {
    /// The commit's hash.
    pub commit_id: Option<String>,
    /// The commit message, whole.
    pub commit_message: Option<String>,
    /// The author's display name.
    pub author: Option<String>,
    /// The author's login at the provider.
    pub author_id: Option<String>,
    /// The author's mail address.
    pub author_email: Option<String>,
    /// When the commit was made.
    pub authored_at: Option<Timestamp>,
    /// `owner/name` at the provider.
    pub repository: Option<String>,
    /// The branch that was pushed; a push of a tag has none.
    pub branch: Option<String>,
    /// The tag that was pushed; a push to a branch has none.
    pub tag: Option<String>,
    /// `GitHub`, `GitLab`, `Bitbucket` and so on.
    pub provider: Option<String>,
    /// The ARN of the connection to the provider.
    pub connection_arn: Option<String>,
}

/// A stage of an execution changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageEvent {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The execution, unique within the envelope's account and Region.
    pub execution: ExecutionId,
    /// The stage.
    pub stage: String,
    /// The state that the stage is in now.
    pub state: StageState,
    /// Which try of the execution this is, as written; see [`StageEvent::attempt_from_one`].
    pub attempt: Option<u32>,
    /// When the execution began, so far as AWS says; documented events of resumed stages do not.
    pub started_at: Option<Timestamp>,
    /// When the stage was last retried.
    pub last_retried_at: Option<Timestamp>,
    /// The version of the pipeline's structure.
    pub version: Option<u32>,
}

/// An action of a stage changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionEvent {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The execution, unique within the envelope's account and Region.
    pub execution: ExecutionId,
    /// The stage.
    pub stage: String,
    /// The action.
    pub action: String,
    /// The id of this run of the action.
    pub action_execution: Option<String>,
    /// The state that the action is in now.
    pub state: ActionState,
    /// `Source`, `Build`, `Deploy`, `Approval`, `Compute` and so on.
    pub category: Option<String>,
    /// `CodeDeploy`, `S3`, `Manual` and so on.
    pub provider: Option<String>,
    /// Where the action works. The pipeline's own Region is the envelope's, and the two may differ.
    pub action_region: Option<Region>,
    /// Which try of the execution this is, as written; see [`ActionEvent::attempt_from_one`].
    pub attempt: Option<u32>,
    /// When the action began, so far as AWS says.
    pub started_at: Option<Timestamp>,
    /// What came of it.
    pub result: Option<ExecutionResult>,
    /// The version of the pipeline's structure.
    pub version: Option<u32>,
}

/// What came of an action, in the words of the service behind it. Every text in it is untrusted and may quote a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutionResult {
    /// What the service calls it: a deployment, a commit, a log stream.
    pub external_id: Option<String>,
    /// What happened: a reason, or of a source action its revision's summary.
    pub summary: Option<String>,
    /// A link to it.
    pub url: Option<String>,
    /// `JobFailed` and so on.
    pub error_code: Option<String>,
}

/// The one place that says what a missing or a zero attempt means.
///
/// A retry counts from 2, so both can only be the first try: events from before 2023 carry no attempt, and the
/// documented STARTED event of a stage carries `0.0`.
fn attempt_from_one(attempt: Option<u32>) -> u32 {
    attempt.unwrap_or(1).max(1)
}

impl PipelineEvent {
    /// Which try of the execution this is, counted from 1; a missing or zero attempt is the first.
    #[must_use]
    pub fn attempt_from_one(&self) -> u32 {
        attempt_from_one(self.attempt)
    }

    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        let notified = envelope.object_opt("additionalAttributes");
        Ok(Self {
            pipeline: pipeline(&detail)?,
            execution: execution(&detail)?,
            state: state(&detail)?.into(),
            attempt: attempt(&detail)?,
            started_at: detail.time("start-time"),
            trigger: detail.object_opt("execution-trigger").and_then(|trigger| ExecutionTrigger::decode(&trigger)),
            stop_comments: detail.text("stop-execution-comments"),
            version: detail.count("version"),
            failed_stage: notified.as_ref().and_then(|notified| notified.text("failedStage")),
            failed_actions: notified.as_ref().map(FailedAction::decode_all).unwrap_or_default(),
        })
    }
}

impl FailedAction {
    fn decode_all(notified: &Fields<'_>) -> Vec<Self> {
        let failed = notified.elements("failedActions").iter();
        let failed = failed.filter_map(|action| Fields::of(action, String::new()).ok());
        failed
            .map(|action| Self { action: action.text("action"), information: action.text("additionalInformation") })
            .filter(|action| action.action.is_some() || action.information.is_some())
            .collect()
    }
}

impl ExecutionTrigger {
    fn decode(trigger: &Fields<'_>) -> Option<Self> {
        let git = GitTrigger {
            commit_id: trigger.text("commit-id"),
            commit_message: trigger.text("commit-message"),
            author: trigger.text("author-display-name"),
            author_id: trigger.text("author-id"),
            author_email: trigger.text("author-email"),
            authored_at: trigger.time("author-date"),
            repository: trigger.text("full-repository-name"),
            branch: trigger.text("branch-name"),
            tag: trigger.text("tag-name"),
            provider: trigger.text("provider-type"),
            connection_arn: trigger.text("connection-arn"),
        };
        let decoded = Self {
            kind: trigger.text("trigger-type"),
            detail: trigger.text("trigger-detail"),
            git: (git != GitTrigger::default()).then_some(git),
        };
        (decoded != Self::default()).then_some(decoded)
    }
}

impl StageEvent {
    /// Which try of the execution this is, counted from 1; a missing or zero attempt is the first.
    #[must_use]
    pub fn attempt_from_one(&self) -> u32 {
        attempt_from_one(self.attempt)
    }

    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        Ok(Self {
            pipeline: pipeline(&detail)?,
            execution: execution(&detail)?,
            stage: stage(&detail)?,
            state: state(&detail)?.into(),
            attempt: attempt(&detail)?,
            started_at: detail.time("start-time"),
            last_retried_at: detail.time("stage-last-retry-attempt-time"),
            version: detail.count("version"),
        })
    }
}

impl ActionEvent {
    /// Which try of the execution this is, counted from 1; a missing or zero attempt is the first.
    #[must_use]
    pub fn attempt_from_one(&self) -> u32 {
        attempt_from_one(self.attempt)
    }

    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        let kind = detail.object_opt("type");
        Ok(Self {
            pipeline: pipeline(&detail)?,
            execution: execution(&detail)?,
            stage: stage(&detail)?,
            action: detail.required_text("action", NAME_CHARS, "an action's name of at most 128 characters")?,
            action_execution: detail.text("action-execution-id"),
            state: state(&detail)?.into(),
            category: kind.as_ref().and_then(|kind| kind.text("category")),
            provider: kind.as_ref().and_then(|kind| kind.text("provider")),
            action_region: detail.id_opt("region"),
            attempt: attempt(&detail)?,
            started_at: detail.time("start-time"),
            result: detail.object_opt("execution-result").and_then(|result| ExecutionResult::decode(&result)),
            version: detail.count("version"),
        })
    }
}

impl ExecutionResult {
    fn decode(result: &Fields<'_>) -> Option<Self> {
        let decoded = Self {
            external_id: result.text("external-execution-id"),
            summary: result.text("external-execution-summary"),
            url: result.text("external-execution-url"),
            error_code: result.text("error-code"),
        };
        (decoded != Self::default()).then_some(decoded)
    }
}

fn pipeline(detail: &Fields<'_>) -> Result<PipelineName, DecodeError> {
    detail.id("pipeline", PipelineName::EXPECTED)
}

fn execution(detail: &Fields<'_>) -> Result<ExecutionId, DecodeError> {
    detail.id("execution-id", ExecutionId::EXPECTED)
}

fn stage(detail: &Fields<'_>) -> Result<String, DecodeError> {
    detail.required_text("stage", NAME_CHARS, "a stage's name of at most 128 characters")
}

/// The state decides everything, so it must be there; which states there are is not ours to say.
fn state(detail: &Fields<'_>) -> Result<String, DecodeError> {
    detail.required_text("state", NAME_CHARS, "a state of at most 128 characters")
}

/// Events are merged by attempt. One that is there but unreadable is refused: read as the first, it could undo a retry.
fn attempt(detail: &Fields<'_>) -> Result<Option<u32>, DecodeError> {
    detail.strict_count("pipeline-execution-attempt")
}
