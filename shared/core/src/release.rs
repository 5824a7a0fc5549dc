//! What is deployed: the source execution and its revision.

use serde::{Deserialize, Serialize};

use crate::event::{Envelope, PipelineEvent};
use crate::ids::{ExecutionRef, PipelineName, TargetKey};
use crate::time::Timestamp;

/// One successful execution of an app's release pipeline, with all that a reader wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The execution in the hub account that produced the release.
    pub source: ExecutionRef,
    /// The release pipeline.
    pub pipeline: PipelineName,
    /// The revision that every target gets, pinned. `None` when the source reported none; then no target
    /// may be started with a pinned revision, and the run says so.
    pub revision: Option<Revision>,
    /// Who or what started the release pipeline.
    pub trigger: Trigger,
    /// When the release pipeline succeeded, by the event's own clock (whole seconds).
    pub released_at: Timestamp,
    /// When its execution began, as far as its event told: a push is answered from there on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The stages that it went through, in their order, as far as they were told with its source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
}

/// A stage of a release pipeline that an execution went through. Its name is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// When the first of its actions began.
    pub began: Timestamp,
    /// When the last of its actions ended.
    pub ended: Timestamp,
}

impl Stage {
    /// So many are kept of a release: a pipeline has at most 50 (CodePipeline User Guide, "Quotas").
    pub const MAX: usize = 50;
}

/// The source revision of a release. Every text in it is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Commit id, image digest or object version.
    pub id: String,
    /// The source action that produced it, in the release pipeline.
    pub action: String,
    /// The commit message or revision summary, whole.
    pub message: Option<String>,
    /// A link to the revision at its provider.
    pub url: Option<String>,
    /// The commit's author, as the provider names them.
    pub author: Option<String>,
    /// `owner/name` at the provider.
    pub repository: Option<String>,
    /// The branch or tag.
    pub reference: Option<String>,
    /// When the commit was authored, by its author's clock: rebased or cherry-picked, it keeps that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authored_at: Option<Timestamp>,
}

/// Who or what started an execution (CodePipeline's `ExecutionTrigger`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trigger {
    /// `StartPipelineExecution`, `Webhook`, `ManualRollback` and so on; kept as AWS spells it.
    pub kind: Option<String>,
    /// A user or role ARN, a webhook or a connection ARN.
    pub detail: Option<String>,
}

impl Release {
    /// The release that a SUCCEEDED event of a release pipeline announces.
    ///
    /// `revisions` and `trigger` are the execution's own, as the engine tells them; the event adds what only it
    /// knows (author, branch). Of several source revisions the one that triggered the execution is the release,
    /// else the first.
    #[must_use]
    pub fn announced(envelope: &Envelope, told: &PipelineEvent, revisions: Vec<Revision>, trigger: Trigger) -> Self {
        let git = told.trigger.as_ref().and_then(|trigger| trigger.git.clone()).unwrap_or_default();
        let triggering = revisions.iter().position(|revision| Some(&revision.id) == git.commit_id.as_ref());
        let revision = revisions.into_iter().nth(triggering.unwrap_or(0));
        let from_event = || {
            git.commit_id.clone().map(|id| Revision {
                id,
                action: String::new(),
                message: None,
                url: None,
                author: None,
                repository: None,
                reference: None,
                authored_at: None,
            })
        };
        let is_git = |revision: &Revision| git.commit_id.is_none() || Some(&revision.id) == git.commit_id.as_ref();
        let revision = revision.or_else(from_event).map(|revision| match is_git(&revision) {
            true => Revision {
                message: revision.message.or(git.commit_message),
                author: revision.author.or(git.author),
                repository: revision.repository.or(git.repository),
                reference: revision.reference.or(git.branch).or(git.tag),
                authored_at: revision.authored_at.or(git.authored_at),
                ..revision
            },
            false => revision,
        });
        let in_event = told.trigger.clone().unwrap_or_default();
        Self {
            source: ExecutionRef {
                target: TargetKey { account: envelope.account.clone(), region: envelope.region.clone() },
                id: told.execution.clone(),
            },
            pipeline: told.pipeline.clone(),
            revision,
            trigger: Trigger { kind: trigger.kind.or(in_event.kind), detail: trigger.detail.or(in_event.detail) },
            released_at: envelope.at,
            started_at: told.started_at,
            stages: Vec::new(),
        }
    }
}

impl Release {
    /// An execution of a release pipeline that somebody rolls out, as the engine tells it.
    #[must_use]
    pub fn started(
        source: ExecutionRef,
        pipeline: PipelineName,
        revisions: Vec<Revision>,
        trigger: Trigger,
        at: Timestamp,
    ) -> Self {
        let revision = revisions.into_iter().next();
        Self { source, pipeline, revision, trigger, released_at: at, started_at: None, stages: Vec::new() }
    }

    /// With the stages that its execution went through; those of its own pipeline's quota at most.
    #[must_use]
    pub fn through(mut self, stages: Vec<Stage>) -> Self {
        self.started_at = self.started_at.or_else(|| stages.iter().map(|stage| stage.began).min());
        self.stages = stages;
        self.stages.truncate(Stage::MAX);
        self
    }
}

impl Revision {
    /// A commit id as people quote it: its first 8 characters when it is hexadecimal, else the whole id.
    #[must_use]
    pub fn short_id(&self) -> &str {
        let hex = self.id.len() >= 12 && self.id.chars().all(|c| c.is_ascii_hexdigit());
        if hex { &self.id[..8] } else { &self.id }
    }
}

impl Trigger {
    /// The human part: a session or user name cut from an ARN, else what started it.
    #[must_use]
    pub fn who(&self) -> Option<&str> {
        match self.detail.as_deref() {
            Some(arn) if arn.contains(":assumed-role/") || arn.contains(":user/") => arn.rsplit('/').next(),
            // `TriggerType` of the CodePipeline API reference, in words.
            _ => self.kind.as_deref().map(|kind| match kind {
                "PollForSourceChanges" | "Webhook" | "WebhookV2" => "a push",
                "CloudWatchEvent" => "an event",
                "CreatePipeline" => "the pipeline's creation",
                "PutActionRevision" => "a new revision",
                "ManualRollback" => "a rollback",
                "AutomatedRollback" => "an automatic rollback",
                other => other,
            }),
        }
    }
}
