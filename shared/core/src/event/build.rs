//! What CodeBuild says about builds (CodeBuild User Guide, "Build notifications input format reference").
//!
//! A build's environment variables are in its events, with their values: none of them is read, so none can be shown.

use super::error::DecodeError;
use super::fields::Fields;
use super::state::BuildState;
use crate::ids::{ExecutionId, ProjectName};

/// A build changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildEvent {
    /// The project.
    pub project: ProjectName,
    /// The build, `project:uuid`.
    pub build: ExecutionId,
    /// The state that it is in now.
    pub state: BuildState,
    /// Who started it, as `role/session`, `codepipeline/name` or a user's name.
    pub initiator: Option<String>,
    /// The first phase that did not succeed.
    pub failed: Option<FailedPhase>,
    /// A link to its log. Untrusted: check the host before linking.
    pub log: Option<String>,
}

/// A phase of a build that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedPhase {
    /// `BUILD`, `DOWNLOAD_SOURCE` and so on.
    pub phase: String,
    /// `FAILED`, `FAULT`, `TIMED_OUT`, `CLIENT_ERROR`, `STOPPED`.
    pub status: String,
    /// In CodeBuild's words, which may quote a command and its log. Untrusted.
    pub context: Option<String>,
}

/// A phase of a build ended. It moves nothing: the build's own state tells the same in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseEvent {
    /// The project.
    pub project: ProjectName,
    /// The build, `project:uuid`.
    pub build: ExecutionId,
    /// The phase that ended.
    pub phase: String,
    /// How.
    pub status: Option<String>,
    /// How long it took, in whole seconds.
    pub seconds: Option<u32>,
}

impl BuildEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        let more = detail.object_opt("additional-information");
        let more = more.as_ref();
        let logs = more.and_then(|more| more.object_opt("logs"));
        Ok(Self {
            project: project(&detail)?,
            build: build(&detail)?,
            state: detail.required_text("build-status", 64, "a state of at most 64 characters")?.into(),
            initiator: more.and_then(|more| more.text("initiator")),
            failed: more.and_then(FailedPhase::first),
            log: logs.and_then(|logs| logs.text("deep-link")),
        })
    }
}

impl FailedPhase {
    /// Later phases run although an earlier one failed, and may fail of it.
    fn first(more: &Fields<'_>) -> Option<Self> {
        let phases = more.elements("phases").iter().filter_map(|phase| Fields::of(phase, String::new()).ok());
        phases
            .filter_map(|phase| {
                let status = phase.text("phase-status").filter(|status| status != "SUCCEEDED")?;
                let context = phase.elements("phase-context").iter().find_map(super::fields::text);
                Some(Self {
                    phase: phase.text("phase-type")?,
                    status,
                    context: context.filter(|text| text.trim() != ":"),
                })
            })
            .next()
    }
}

impl PhaseEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        Ok(Self {
            project: project(&detail)?,
            build: build(&detail)?,
            phase: detail.required_text("completed-phase", 64, "a phase of at most 64 characters")?,
            status: detail.text("completed-phase-status"),
            seconds: detail.count("completed-phase-duration-seconds"),
        })
    }
}

fn project(detail: &Fields<'_>) -> Result<ProjectName, DecodeError> {
    detail.id("project-name", ProjectName::EXPECTED)
}

/// Events name a build by its ARN, `arn:…:build/project:uuid`; everything else does by what follows the slash.
fn build(detail: &Fields<'_>) -> Result<ExecutionId, DecodeError> {
    let arn: ExecutionId = detail.id("build-id", ExecutionId::EXPECTED)?;
    Ok(match arn.as_str().split_once(":build/").and_then(|(_, id)| id.parse().ok()) {
        Some(id) => id,
        None => arn,
    })
}
