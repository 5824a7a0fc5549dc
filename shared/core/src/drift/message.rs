//! What functions tell each other about checks.

use serde::{Deserialize, Serialize};

use super::{Ask, Order, Sight};
use crate::control::Command;
use crate::ids::{Nonce, RunId, TargetKey};
use crate::message::Queue;
use crate::time::Timestamp;

/// A message about a check. As every message it is a hint: what it means is read from the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", content = "data", rename_all = "snake_case")]
pub enum Note {
    /// To `dispatch`: open the check that an operator asks for.
    Open {
        /// What for.
        request: Box<Command<Ask>>,
    },
    /// To `inspect`: look at targets of one account.
    Inspect {
        /// The check.
        check: RunId,
        /// Which look it is.
        look: Look,
        /// The targets; at most [`super::MOST_INSPECTED`].
        targets: Vec<ToInspect>,
    },
    /// To `collect`: what was seen.
    Looked {
        /// The check.
        check: RunId,
        /// Which look it was.
        look: Look,
        /// What was seen, each of another target.
        seen: Vec<SeenAt>,
    },
    /// To `collect`: judge the check, as far as it can be judged by now.
    Settle {
        /// The check.
        check: RunId,
    },
    /// To `collect`: an operator's decision.
    Order {
        /// About which check.
        check: RunId,
        /// What they decided.
        command: Box<Command<Order>>,
    },
    /// To `summarize`: bring the check's message up to date.
    Tell {
        /// The check.
        check: RunId,
    },
    /// To `deploy`: prepare a change set that takes a stack back to its template.
    Revert {
        /// The check.
        check: RunId,
        /// The target's position in the check's plan.
        index: u32,
        /// The stack's name.
        stack: String,
        /// The command that wants it; it names the change set.
        command: Nonce,
        /// When it was given.
        at: Timestamp,
    },
}

/// Which look at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The first one.
    First,
    /// The one that confirms what the first one found.
    Second,
}

/// A target to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToInspect {
    /// Its position in the check's plan.
    pub index: u32,
    /// The detections that have been started: then only these are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<Detection>,
}

/// A drift detection that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// The stack's name.
    pub stack: String,
    /// CloudFormation's id of the detection.
    pub id: String,
    /// When it was started.
    pub since: Timestamp,
}

/// What was seen of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenAt {
    /// Its position in the check's plan.
    pub index: u32,
    /// Account and Region.
    pub key: TargetKey,
    /// What was seen. After a question for detections, only the stacks count.
    pub sight: Box<Sight>,
}

impl Note {
    /// Who reads it.
    #[must_use]
    pub const fn queue(&self) -> Queue {
        match self {
            Self::Open { .. } => Queue::Dispatch,
            Self::Inspect { .. } => Queue::Inspect,
            Self::Looked { .. } | Self::Settle { .. } | Self::Order { .. } => Queue::Collect,
            Self::Tell { .. } => Queue::Summarize,
            Self::Revert { .. } => Queue::Deploy,
        }
    }

    /// The check that it is about.
    #[must_use]
    pub fn check(&self) -> RunId {
        match self {
            Self::Open { request } => request.check(),
            Self::Inspect { check, .. }
            | Self::Looked { check, .. }
            | Self::Settle { check }
            | Self::Order { check, .. }
            | Self::Tell { check }
            | Self::Revert { check, .. } => check.clone(),
        }
    }

    /// In a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "drift check",
            Self::Inspect { .. } => "inspect",
            Self::Looked { .. } => "looked",
            Self::Settle { .. } => "settle",
            Self::Order { .. } => "drift order",
            Self::Tell { .. } => "tell",
            Self::Revert { .. } => "revert",
        }
    }
}

impl Command<Ask> {
    /// The check that the request opens. Asked twice, it is the same.
    #[must_use]
    pub fn check(&self) -> RunId {
        RunId::of_asked_check(&self.what.app, &self.id, self.at)
    }
}
