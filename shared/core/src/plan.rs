//! The plan of a run: every target in order, with every choice already made. Written once, never changed.
//!
//! **Invariant:** whoever carries a plan out has nothing left to decide. Role, pipeline, variables and the
//! pinned revision are all here, rendered and checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use sha2::{Digest as _, Sha256};

use crate::control::{self, Operator, Who};
use crate::drift::Looks;
use crate::engine::{Subject, Work};
use crate::ids::{RoleArn, TargetKey};
use crate::release::Release;
use crate::time::Span;

/// The targets and waves of one run, in the order in which they may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Waves in order. Together they cover `targets` without a gap.
    pub waves: Vec<PlannedWave>,
    /// All targets, ordered by wave; a target's index is its position here.
    pub targets: Vec<PlannedTarget>,
    /// How many executions one target may get in this run before its failure counts. At least 1.
    pub max_attempts: u32,
    /// From opening (or, if it had to queue, from its turn) to the verdict, at the latest.
    pub deadline: Span,
    /// Where the summary goes.
    pub channel: Channel,
    /// How the run is controlled.
    pub policy: Policy,
    /// Targets that have the release already and are left alone. They belong to no wave; their indexes follow those of
    /// `targets`, and they are stored with the plan.
    pub unchanged: Vec<PlannedTarget>,
}

/// How a run is controlled, as its app says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// What a newer release does to this run.
    #[serde(default)]
    pub newer: Newer,
    /// What a failure beyond tolerance does.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Who may pause, resume, abort, retry and roll back; nobody in Slack if there is none. On the command line whoever
    /// may send to Manifold's queues may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<Operator>,
}

impl Policy {
    /// Whether somebody may pause, resume, abort, retry and roll back.
    ///
    /// # Errors
    /// They may not; why, in words.
    pub fn may_operate(&self, who: &Who) -> Result<(), String> {
        control::may_operate(&self.operators, who)
    }
}

/// What a newer release does to a run that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Newer {
    /// It waits until this run has ended.
    #[default]
    Queue,
    /// It takes over what has not started: this run starts nothing more, and what runs is waited for.
    Supersede,
    /// It is refused, and must be started again by hand.
    Refuse,
}

/// What a wave beyond its failure tolerance does to its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Nothing more is started.
    #[default]
    Halt,
    /// All of it is rolled out all the same; the verdict is still *failed*.
    Continue,
    /// Nothing more is started, and the targets of the wave that failed go back to what they had.
    RollBackWave,
    /// Nothing more is started, and every target that the run touched goes back to what it had.
    RollBackRun,
}

/// A pause after a wave, in which what was rolled out proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bake {
    /// How long; at most [`LONGEST_BAKE`].
    pub time: Span,
    /// Names of CloudWatch alarms, metric or composite, in each of the wave's target accounts and Regions. One in ALARM
    /// stops the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
}

/// The longest bake.
pub const LONGEST_BAKE: Span = Span::from_minutes(60 * 24 * 7);

/// A decision that a wave waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who may decide. Nobody else can, on the command line neither.
    pub approvers: Vec<Operator>,
    /// How long the request stands; at most [`LONGEST_APPROVAL`].
    pub valid_for: Span,
    /// What becomes of it when a newer release arrives.
    #[serde(default)]
    pub newer: Lapse,
}

/// The longest that an approval may be waited for.
pub const LONGEST_APPROVAL: Span = Span::from_minutes(60 * 24 * 7);

/// What becomes of a request for approval when a newer release arrives. None of these ever approves the newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lapse {
    /// The newer release takes the place of this one, and is asked about when it gets there.
    #[default]
    Repoint,
    /// The request expires and the run ends as *not approved*; the newer release's run begins.
    Expire,
    /// It stands, and the newer release waits.
    Keep,
}

/// One wave of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// Its name in the fleet file.
    pub name: String,
    /// Index of its first target.
    pub first: u32,
    /// How many targets it has. At least 1.
    pub size: u32,
    /// How many of them may be in flight at once. At least 1.
    pub max_concurrent: u32,
    /// How many of them may end without the release before nothing more is started.
    pub failure_tolerance: u32,
    /// Whether no more are in flight than could fail without breaking the tolerance by more than one: with none tolerated,
    /// one at a time (as CloudFormation's `STRICT_FAILURE_TOLERANCE`). Else what is in flight when the tolerance breaks may
    /// fail as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// What happens once all of them have ended, before anything else is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<Bake>,
    /// The decision that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

impl PlannedWave {
    /// A wave without bake and approval, and with a soft tolerance.
    #[must_use]
    pub const fn plain(name: String, first: u32, size: u32, max_concurrent: u32, failure_tolerance: u32) -> Self {
        Self { name, first, size, max_concurrent, failure_tolerance, strict: false, bake: None, approval: None }
    }
}

/// One target of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTarget {
    /// Position in the plan.
    pub index: u32,
    /// Position of its wave.
    pub wave: u32,
    /// Account and Region.
    pub key: TargetKey,
    /// The account's name in the fleet file.
    pub account_name: String,
    /// The role to assume there.
    pub role: RoleArn,
    /// The external id that the role's trust policy demands, if any. Not a secret.
    pub external_id: Option<String>,
    /// What to start.
    #[serde(rename = "pipeline")]
    pub subject: Subject,
    /// The values of the parameters, none of them empty: variables of a pipeline, environment variables of a build,
    /// parameters of a stack. In an AppSpec they are filled in already.
    pub variables: BTreeMap<String, String>,
    /// The pinned source revision, when the target pipeline has a source action to pin.
    pub source_revision: Option<SourceRevision>,
    /// The targets that must have ended before this one may start: so many run at once in its account, or its Region, as
    /// the wave allows. Each comes before it in the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TargetKey>,
    /// The indexes of those that wait for this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<u32>,
    /// What it gets, if that is not the run's release: on the way back each target has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Box<Release>>,
    /// What the engine needs besides; a pipeline needs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// In the plan of a drift check: what is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<Box<Looks>>,
}

impl PlannedTarget {
    /// The revision that it is pinned to by its engine, if it is: by the source action, or the source version.
    #[must_use]
    pub fn pinned(&self) -> Option<&str> {
        let own = self.source_revision.as_ref().map(|revision| revision.value.as_str());
        own.or_else(|| self.work.as_ref().and_then(Work::pinned))
    }

    /// A digest of what is deployed there: subject, variables, pinned revision and what else the engine needs. Two plans
    /// with the same one would do the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        };
        part(&self.subject.to_string());
        for (name, value) in &self.variables {
            part(name);
            part(value);
        }
        if let Some(SourceRevision { action, value, .. }) = &self.source_revision {
            part(action);
            part(value);
        }
        if let Some(work) = &self.work {
            // Plain data with text keys: it always can be written.
            part(&serde_json::to_string(work).unwrap_or_default());
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A source revision override of `StartPipelineExecution`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRevision {
    /// The source action in the *target* pipeline.
    pub action: String,
    /// How the value is to be read.
    pub kind: RevisionKind,
    /// The revision.
    pub value: String,
}

/// `SourceRevisionType` of the CodePipeline API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RevisionKind {
    /// A Git commit.
    CommitId,
    /// A container image digest.
    ImageDigest,
    /// A version of the configured S3 object.
    S3ObjectVersionId,
    /// Another S3 object; the source action must allow it (`AllowOverrideForS3ObjectKey`).
    S3ObjectKey,
}

/// Where a run's summary goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Channel {
    /// A bot token posts once and edits in place.
    Bot {
        /// Channel id such as `C0123456789`, or a name.
        channel: String,
        /// Where the token is kept.
        token: SecretRef,
    },
    /// An incoming webhook can't edit: one message, at the end.
    Webhook {
        /// Where the webhook's URL is kept.
        url: SecretRef,
    },
    /// Nobody is told; the ledger knows.
    Silent,
}

/// A secret by reference; its value is read when it is used, and never stored or logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "store", content = "name", rename_all = "snake_case")]
pub enum SecretRef {
    /// Secrets Manager: a name or an ARN.
    SecretsManager(String),
    /// Systems Manager Parameter Store, a `SecureString`: a name or an ARN.
    Ssm(String),
}

/// The most that one target's rendered variables may weigh, names and values together, in UTF-8 bytes.
pub const MAX_VARIABLES_BYTES: usize = 8 * 1024;

/// The most targets that all apps of a fleet file may have together, and so the most of a run: ten times what Manifold is
/// made for.
pub const MAX_TARGETS: u32 = 100_000;

/// How many planned targets one stored item holds: 25 × (8 KiB of variables + the rest) stays well below
/// DynamoDB's 400 KB an item.
pub const TARGETS_PER_CHUNK: u32 = 25;

/// The chunk that holds a target.
#[must_use]
pub const fn chunk_of(index: u32) -> u32 {
    index / TARGETS_PER_CHUNK
}
