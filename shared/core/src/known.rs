//! What is known to be deployed in a target, over all runs: its last good release, and the one before.
//!
//! Written in the commit that folds a target's success in, so that it is never ahead of the run that it tells of.

use serde::{Deserialize, Serialize};

use crate::ids::{ExecutionId, RunId, TargetKey};
use crate::release::Release;
use crate::time::Timestamp;

/// A release that was rolled out to a target with success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// By which run.
    pub run: RunId,
    /// What.
    pub release: Release,
    /// The digest of pipeline, variables and pinned revision
    /// ([`PlannedTarget::fingerprint`](crate::plan::PlannedTarget::fingerprint)).
    pub fingerprint: String,
    /// The execution that brought it, in the target; where the engine said that it was there already, the one before, if
    /// that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// The revision that its source action was pinned to, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// When its execution succeeded.
    pub at: Timestamp,
}

/// The last good releases of one target of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The target.
    pub target: TargetKey,
    /// The last one.
    pub current: Good,
    /// The one before, if it was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Good>,
}

impl Known {
    /// Takes a success in, if it is news: each run's counts once, and an older one never goes before a newer one.
    #[must_use]
    pub fn with(known: Option<&Self>, target: TargetKey, good: Good) -> Option<Self> {
        let Some(known) = known else { return Some(Self { target, current: good, previous: None }) };
        if known.current.run == good.run || known.current.at >= good.at {
            return None;
        }
        let good = Good { execution: good.execution.or_else(|| known.current.execution.clone()), ..good };
        // The same once more leaves the way back as it is.
        let previous = match known.current.fingerprint == good.fingerprint {
            true => known.previous.clone(),
            false => Some(known.current.clone()),
        };
        Some(Self { target, current: good, previous })
    }

    /// What the target had before a run that was opened then: what it has, if the run did not get there. `None` if nothing is
    /// known, or if another run has been there since: to go back from that is not to go back from this one.
    #[must_use]
    pub fn before(&self, run: &RunId, opened_at: Timestamp) -> Option<&Good> {
        if self.current.run == *run {
            return self.previous.as_ref();
        }
        (self.current.at < opened_at).then_some(&self.current)
    }
}
