//! What `inspect` saw of one target. Facts only: what they mean is judged elsewhere.
//!
//! Every text in them comes from outside and is bounded by [`Sight::bounded`], so that ten targets fit into a message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkup::Tried;
use crate::ids::ExecutionId;
use crate::time::Timestamp;

/// The newest executions that are looked at.
pub const MOST_EXECUTIONS: usize = 20;
/// The most resources of a stack that are listed.
pub const MOST_RESOURCES: usize = 20;
/// The most properties of a resource that are listed.
pub const MOST_PROPERTIES: usize = 10;
/// The most of a text, in characters.
const MOST_TEXT: usize = 300;

/// One look at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// When it began.
    pub at: Timestamp,
    /// The role. If it could not be assumed, nothing else was tried.
    pub assumed: Tried<()>,
    /// The pipeline's definition and what follows from it. Asked for by every comparison but the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Tried<PipelineSeen>>,
    /// The newest executions, newest first; at most [`MOST_EXECUTIONS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executions: Option<Tried<Vec<ExecutionSeen>>>,
    /// The newest executions that succeeded in the deploy stage, by start, newest first: one, and a few in a PARALLEL
    /// pipeline, where a later start is no later deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Tried<Vec<ExecutionSeen>>>,
    /// Transitions and approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Tried<StateSeen>>,
    /// Its stacks, in the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<StackSight>,
    /// What CloudTrail knows of changes, newest first; only when it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<Tried<Vec<Trace>>>,
}

/// What is started in a target, as it is defined: a pipeline, a project, a stack's template or a deployment group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineSeen {
    /// Of its definition ([`super::definition::Normal`]).
    pub digest: String,
    /// CodePipeline's own version; 0 where the service has none.
    pub version: u32,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Whether executions run side by side.
    pub is_parallel: bool,
    /// The stage whose success counts as deployed; empty where nothing but the whole can succeed.
    pub deploy_stage: String,
    /// Whether a release brings the definition with it, as it does a stack's template: what one target has is then compared
    /// with what it had after its last rollout, and with no other target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_released: bool,
}

/// An execution: of a pipeline, a build, an operation on a stack, a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionSeen {
    /// Its id.
    pub id: ExecutionId,
    /// As CodePipeline's API spells it: `Succeeded`, `Failed`, `Stopped`, `InProgress` and so on.
    pub status: String,
    /// Its source revisions, by source action; of other services the one that they have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revisions: BTreeMap<String, String>,
    /// Its variables as they were resolved, if they were read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// What kind of trigger started it, as the API spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Who or what, such as a role session's ARN, or the token of the attempt where the service tells no session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// Whether it is a rollback: of a stage (`executionType` ROLLBACK), or of a deployment (`rollbackInfo`).
    #[serde(default)]
    pub is_rollback: bool,
    /// Why it was stopped, if somebody stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
}

/// How a pipeline stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateSeen {
    /// Transitions that are disabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<DisabledTransition>,
    /// Approvals that nobody has decided about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<PendingApproval>,
    /// A PARALLEL pipeline has no state ("View pipeline state" in the CodePipeline User Guide): nothing was seen.
    #[serde(default)]
    pub has_none: bool,
}

/// A transition into a stage that somebody disabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisabledTransition {
    /// Into which stage.
    pub stage: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// An approval that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingApproval {
    /// In which stage.
    pub stage: String,
    /// Which action.
    pub action: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// One stack of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSight {
    /// Its name.
    pub name: String,
    /// What was seen of it.
    pub seen: Tried<StackSeen>,
}

/// A stack's drift detection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stack", content = "data", rename_all = "snake_case")]
pub enum StackSeen {
    /// It was started, and is not waited for.
    Detecting {
        /// CloudFormation's id of it; at most 36 characters.
        id: String,
        /// When.
        since: Timestamp,
    },
    /// It has ended.
    Detected(StackDrift),
}

/// What a drift detection found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackDrift {
    /// `StackDriftStatus`: `IN_SYNC`, `DRIFTED`, `UNKNOWN`, `NOT_CHECKED`.
    pub status: String,
    /// Why the detection failed, if `DetectionStatus` is not `DETECTION_COMPLETE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// How many resources were compared. A stack in which none could be is in sync for CloudFormation, and for nobody else.
    pub compared: u32,
    /// The resources that differ; at most [`MOST_RESOURCES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifted: Vec<ResourceDrift>,
    /// How many more differ.
    #[serde(default)]
    pub more: u32,
    /// Nested stacks, which the detection leaves out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nested: Vec<String>,
    /// Resources whose type drift detection does not support: logical id and type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
    /// Resources that could not be compared although their type is supported, with CloudFormation's reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<String>,
    /// The stack's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
}

/// A resource that is not as its template says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDrift {
    /// Its logical id.
    pub logical: String,
    /// Its physical id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical: Option<String>,
    /// Its type.
    pub kind: String,
    /// Whether it is gone.
    pub is_deleted: bool,
    /// The properties that differ; at most [`MOST_PROPERTIES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<PropertyDrift>,
    /// How many more do.
    #[serde(default)]
    pub more: u32,
}

/// A property that is not as the template says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyDrift {
    /// Its path, such as `/VisibilityTimeout`.
    pub path: String,
    /// What the template says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

/// A change that CloudTrail recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The API's name, such as `UpdatePipeline`.
    pub event: String,
    /// Who called it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// On which resource.
    pub resource: String,
}

impl Sight {
    /// A look at a target whose role could not be assumed.
    #[must_use]
    pub const fn not_assumed(at: Timestamp, assumed: Tried<()>) -> Self {
        Self {
            at,
            assumed,
            pipeline: None,
            executions: None,
            deployed: None,
            state: None,
            stacks: Vec::new(),
            trail: None,
        }
    }

    /// The detections that are under way: the stack's name, and CloudFormation's id.
    pub fn detections(&self) -> impl Iterator<Item = (&str, &str, Timestamp)> {
        self.stacks.iter().filter_map(|stack| match &stack.seen {
            Tried::Done(StackSeen::Detecting { id, since }) => Some((stack.name.as_str(), id.as_str(), *since)),
            Tried::Done(StackSeen::Detected(_))
            | Tried::Refused { .. }
            | Tried::Unanswered { .. }
            | Tried::NotTried => None,
        })
    }

    /// Whether all that was begun has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.detections().next().is_none()
    }

    /// Takes in what became of detections that were under way. Says whether anything changed. What was not answered has not
    /// ended: it is asked for again until the check's time is up.
    pub fn finish(&mut self, stacks: &[StackSight]) -> bool {
        let mut changed = false;
        for told in stacks {
            let is_open = |stack: &&mut StackSight| {
                stack.name == told.name && matches!(stack.seen, Tried::Done(StackSeen::Detecting { .. }))
            };
            let ended = match &told.seen {
                Tried::Done(StackSeen::Detected(_)) | Tried::Refused { .. } => true,
                Tried::Done(StackSeen::Detecting { .. }) | Tried::Unanswered { .. } | Tried::NotTried => false,
            };
            if let Some(stack) = self.stacks.iter_mut().find(is_open).filter(|_| ended) {
                stack.seen = told.seen.clone();
                changed = true;
            }
        }
        changed
    }

    /// With every list and text cut to its bound.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        bound(&mut self.assumed, |()| ());
        let executions = |seen: &mut Vec<ExecutionSeen>| {
            seen.truncate(MOST_EXECUTIONS);
            seen.iter_mut().for_each(ExecutionSeen::bound);
        };
        if let Some(pipeline) = &mut self.pipeline {
            bound(pipeline, |pipeline| cut(&mut pipeline.deploy_stage));
        }
        for seen in self.executions.iter_mut().chain(&mut self.deployed) {
            bound(seen, executions);
        }
        if let Some(state) = &mut self.state {
            bound(state, StateSeen::bound);
        }
        for stack in &mut self.stacks {
            bound(&mut stack.seen, |seen| match seen {
                StackSeen::Detecting { .. } => {}
                StackSeen::Detected(drift) => drift.bound(),
            });
        }
        if let Some(trail) = &mut self.trail {
            bound(trail, |traces| {
                traces.truncate(MOST_EXECUTIONS);
                traces.iter_mut().for_each(|trace| {
                    [&mut trace.event, &mut trace.by, &mut trace.resource].into_iter().for_each(cut);
                });
            });
        }
        self
    }
}

impl ExecutionSeen {
    fn bound(&mut self) {
        cut(&mut self.status);
        for text in [&mut self.trigger, &mut self.started_by, &mut self.stopped].into_iter().flatten() {
            cut(text);
        }
        for values in [&mut self.revisions, &mut self.variables] {
            *values = std::mem::take(values).into_iter().take(MOST_EXECUTIONS).collect();
            values.values_mut().for_each(cut);
        }
    }
}

impl StateSeen {
    fn bound(&mut self) {
        self.disabled.truncate(MOST_RESOURCES);
        self.approvals.truncate(MOST_RESOURCES);
        for transition in &mut self.disabled {
            cut(&mut transition.stage);
            [&mut transition.reason, &mut transition.by].into_iter().flatten().for_each(cut);
        }
        for approval in &mut self.approvals {
            [&mut approval.stage, &mut approval.action].into_iter().for_each(cut);
        }
    }
}

impl StackDrift {
    fn bound(&mut self) {
        let over = self.drifted.len().saturating_sub(MOST_RESOURCES);
        self.more = self.more.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
        self.drifted.truncate(MOST_RESOURCES);
        for resource in &mut self.drifted {
            let over = resource.properties.len().saturating_sub(MOST_PROPERTIES);
            resource.more = resource.more.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
            resource.properties.truncate(MOST_PROPERTIES);
            for property in &mut resource.properties {
                cut(&mut property.path);
                [&mut property.expected, &mut property.actual].into_iter().flatten().for_each(cut);
            }
            [&mut resource.logical, &mut resource.kind].into_iter().for_each(cut);
            resource.physical.iter_mut().for_each(cut);
        }
        for list in [&mut self.nested, &mut self.unsupported, &mut self.unchecked] {
            list.truncate(MOST_RESOURCES);
            list.iter_mut().for_each(cut);
        }
        self.failed.iter_mut().chain(&mut self.arn).for_each(cut);
    }
}

fn bound<T>(tried: &mut Tried<T>, seen: impl FnOnce(&mut T)) {
    match tried {
        Tried::Done(done) => seen(done),
        Tried::Refused { code, message } => [code, message].into_iter().for_each(cut),
        Tried::Unanswered { reason } => cut(reason),
        Tried::NotTried => {}
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MOST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
}
