//! Where a target stands, and how it ended, in the field's words.

use serde::{Deserialize, Serialize};

/// How one target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The execution succeeded: the release is there.
    Succeeded,
    /// The execution failed or was stopped, or it could not be started.
    Failed,
    /// The run's deadline passed without an answer.
    TimedOut,
    /// A newer execution overtook this one in the target's own pipeline. Not a failure of the release.
    Superseded,
    /// The target's pipeline was changed while it ran. Not a failure of the release.
    Canceled,
    /// The target account could not be entered or did not answer.
    Unreachable,
    /// Never started: the run was halted or overtaken before its turn.
    Skipped,
}

impl Outcome {
    /// Whether it counts as a failure of the run (superseded, canceled and skipped do not).
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::TimedOut | Self::Unreachable => true,
            Self::Succeeded | Self::Superseded | Self::Canceled | Self::Skipped => false,
        }
    }

    /// The outcome in words: `timed out`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Superseded => "superseded",
            Self::Canceled => "canceled",
            Self::Unreachable => "unreachable",
            Self::Skipped => "skipped",
        }
    }
}

/// Where a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "outcome")]
pub enum Status {
    /// Its turn has not come: an earlier wave or a free slot is waited for.
    Waiting,
    /// Its turn has come; no worker has taken it yet, or it waits to be tried again.
    Queued,
    /// A worker is about to start it, or has and could not record it yet.
    Starting,
    /// The execution runs.
    Running,
    /// Somebody asked the execution to stop; it has not yet.
    Stopping,
    /// It is over.
    Ended(Outcome),
}

impl Status {
    /// The outcome, once there is one.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Waiting | Self::Queued | Self::Starting | Self::Running | Self::Stopping => None,
        }
    }
}
