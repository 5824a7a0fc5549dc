//! What CodeDeploy says about deployments (CodeDeploy User Guide, "Monitoring deployments with Amazon CloudWatch Events").
//! No event says why a deployment failed: that is asked for.

use serde_json::Value;

use super::error::DecodeError;
use super::fields::Fields;
use super::state::{DeploymentState, InstanceState};
use crate::engine::GroupName;
use crate::ids::{ExecutionId, InvalidId};

/// Begins what a lifecycle hook is invoked with.
pub(super) const HOOK_KEY: &str = "LifecycleEventHookExecutionId";

/// A deployment changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentEvent {
    /// Application and group.
    pub group: GroupName,
    /// The deployment, `d-…`.
    pub deployment: ExecutionId,
    /// The state that it is in now.
    pub state: DeploymentState,
}

/// A deployment to one instance changed its state. It moves nothing: the deployment's own state tells the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceEvent {
    /// Application and group.
    pub group: GroupName,
    /// The deployment, `d-…`.
    pub deployment: ExecutionId,
    /// The instance.
    pub instance: Option<String>,
    /// The state that it is in now.
    pub state: InstanceState,
}

/// What a Lambda function is invoked with as a lifecycle hook of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEvent {
    /// The deployment, `d-…`.
    pub deployment: ExecutionId,
    /// What the hook answers with (`PutLifecycleEventHookExecutionStatus`).
    pub hook: String,
}

impl DeploymentEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        Ok(Self {
            group: group(&detail)?,
            deployment: deployment(&detail, "deploymentId")?,
            state: state(&detail)?.into(),
        })
    }
}

impl InstanceEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        Ok(Self {
            group: group(&detail)?,
            deployment: deployment(&detail, "deploymentId")?,
            instance: detail.text("instanceId"),
            state: state(&detail)?.into(),
        })
    }
}

impl HookEvent {
    pub(super) fn decode(input: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            deployment: deployment(input, "DeploymentId")?,
            hook: input.required_text(HOOK_KEY, 4096, "an id of at most 4096 characters")?,
        })
    }
}

/// Application and group are two fields.
fn group(detail: &Fields<'_>) -> Result<GroupName, DecodeError> {
    let application = detail.required_text("application", 100, "an application's name of at most 100 characters")?;
    let group = detail.required_text("deploymentGroup", 100, "a deployment group's name of at most 100 characters")?;
    let wrong = |error: InvalidId| {
        DecodeError::invalid(detail.path("deploymentGroup"), &Value::String(error.value), GroupName::EXPECTED)
    };
    format!("{application}/{group}").parse().map_err(wrong)
}

fn deployment(detail: &Fields<'_>, name: &str) -> Result<ExecutionId, DecodeError> {
    detail.id(name, ExecutionId::EXPECTED)
}

fn state(detail: &Fields<'_>) -> Result<String, DecodeError> {
    detail.required_text("state", 64, "a state of at most 64 characters")
}
