//! The plan of a run: every target in order, with every choice already made. Written once, never changed.
//!
//! **Invariant:** whoever carries a plan out has nothing left to decide. Role, pipeline, variables and the
//! pinned revision are all here, rendered and checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{PipelineName, RoleArn, TargetKey};
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
    /// The pipeline to start.
    pub pipeline: PipelineName,
    /// Pipeline variables; every value is non-empty (API reference, `PipelineVariable`).
    pub variables: BTreeMap<String, String>,
    /// The pinned source revision, when the target pipeline has a source action to pin.
    pub source_revision: Option<SourceRevision>,
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
