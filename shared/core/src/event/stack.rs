//! What CloudFormation says about stacks, their resources and stack sets (CloudFormation User Guide, "Event details").

use serde_json::Value;

use super::error::DecodeError;
use super::fields::Fields;
use super::state::StackStatus;
use crate::ids::{ExecutionId, StackName};

/// A stack changed its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackEvent {
    /// The stack.
    pub stack: StackName,
    /// The status that it is in now.
    pub status: StackStatus,
    /// Why, in CloudFormation's words. Untrusted.
    pub reason: Option<String>,
    /// What whoever began the operation passed as its token; the console makes one up. All events of the operation have
    /// it.
    pub token: Option<ExecutionId>,
}

/// A resource of a stack changed its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceEvent {
    /// The stack.
    pub stack: StackName,
    /// The resource's logical id in the template.
    pub resource: String,
    /// Its type, such as `AWS::SQS::Queue`.
    pub kind: Option<String>,
    /// The status that it is in now.
    pub status: StackStatus,
    /// Why, in the words of the service behind it, which may quote anything. Untrusted.
    pub reason: Option<String>,
    /// The token of the operation.
    pub token: Option<ExecutionId>,
}

/// Something about a stack set. It moves nothing: a stack set's stacks belong to it, not to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackSetEvent {
    /// The stack set's ARN.
    pub stack_set: String,
    /// What changed.
    pub what: StackSetWhat,
    /// The status that it is in now.
    pub status: String,
}

/// What changed about a stack set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackSetWhat {
    /// The stack set itself.
    Set,
    /// An operation on it.
    Operation {
        /// Its id.
        id: String,
    },
    /// One of its stacks.
    Instance {
        /// The stack's ARN.
        stack: String,
    },
}

impl StackEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        let (status, reason) = status(&detail)?;
        Ok(Self { stack: stack(&detail)?, status, reason, token: detail.id_opt("client-request-token") })
    }
}

impl ResourceEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        let (status, reason) = status(&detail)?;
        Ok(Self {
            stack: stack(&detail)?,
            resource: detail.required_text("logical-resource-id", 255, "a logical id of at most 255 characters")?,
            kind: detail.text("resource-type"),
            status,
            reason,
            token: detail.id_opt("client-request-token"),
        })
    }

    /// Whether the resource failed by itself: others are told as failed because they were given up for it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let given_up = self.reason.as_deref().is_some_and(StackStatus::is_given_up);
        self.status.is_failure_of_a_resource() && !given_up
    }
}

impl StackSetEvent {
    pub(super) fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let detail = envelope.object("detail")?;
        let stack_set = detail.required_text("stack-set-arn", 2048, "a stack set's ARN")?;
        let what = match (detail.text("stack-set-operation-id"), detail.text("stack-id")) {
            (Some(id), _) => StackSetWhat::Operation { id },
            (None, Some(stack)) => StackSetWhat::Instance { stack },
            (None, None) => StackSetWhat::Set,
        };
        let status =
            detail.object("status-details")?.required_text("status", 64, "a status of at most 64 characters")?;
        Ok(Self { stack_set, what, status })
    }
}

/// An empty reason is none.
fn status(detail: &Fields<'_>) -> Result<(StackStatus, Option<String>), DecodeError> {
    let details = detail.object("status-details")?;
    let status = details.required_text("status", 64, "a status of at most 64 characters")?;
    Ok((status.into(), details.text("status-reason")))
}

/// The stack's name, from its ARN `arn:…:stack/name/uuid`; documented examples leave the last part out.
fn stack(detail: &Fields<'_>) -> Result<StackName, DecodeError> {
    const EXPECTED: &str = "a stack's ARN such as arn:aws:cloudformation:eu-west-1:444455556666:stack/web/0a1b";
    let arn = detail.required_text("stack-id", 2048, EXPECTED)?;
    let name = arn.split_once(":stack/").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    match name.and_then(|name| name.parse().ok()) {
        Some(name) => Ok(name),
        None => Err(DecodeError::invalid(detail.path("stack-id"), &Value::String(arn), EXPECTED)),
    }
}
