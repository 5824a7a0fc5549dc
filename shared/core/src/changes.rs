//! What a change set would do to a stack, and whether it may.
//!
//! The adapter says what CloudFormation answered ([`Change`]); whether that is executed is judged here ([`objection`]), by
//! `deploy` when a target has its turn and by `manifold plan` before.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::Replacements;
use crate::ids::RunId;
use crate::plan::PlannedTarget;
use crate::run::{Reason, Refusal};

/// How many resources a reason names; the others are counted.
const MOST_NAMED: usize = 10;

/// What becomes of a resource (CloudFormation API reference, `ResourceChange`: `Action`, `Replacement`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It leaves the stack: it is deleted, unless its deletion policy says otherwise.
    Removes,
    /// It is made anew, and what was there is deleted.
    Replaces,
    /// "The exact action for the resource can't be determined" (`Dynamic`).
    MayReplaceOrRemove,
    /// It is made anew if a value that is known only then demands it (`Conditional`).
    MayReplace,
    /// It is changed in place.
    Changes,
    /// It is there already, and comes into the stack.
    Imports,
    /// It is made.
    Adds,
    /// CloudFormation names an action that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Effect {
    /// What it does to a resource, as a verb.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Removes => "removes",
            Self::Replaces => "replaces",
            Self::MayReplaceOrRemove => "may replace or remove",
            Self::MayReplace => "may replace",
            Self::Unknown => "does something unknown to",
            Self::Changes => "changes",
            Self::Imports => "imports",
            Self::Adds => "adds",
        }
    }

    /// Whether a resource that is there certainly stays. What is not known is not taken for harmless.
    #[must_use]
    pub const fn keeps(self) -> bool {
        match self {
            Self::Changes | Self::Imports | Self::Adds => true,
            Self::Removes | Self::Replaces | Self::MayReplaceOrRemove | Self::MayReplace | Self::Unknown => false,
        }
    }
}

/// What a change set does to one resource. As text: `replaces Table (AWS::DynamoDB::Table)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change {
    /// What.
    pub effect: Effect,
    /// Its logical id.
    pub resource: String,
    /// Its type, such as `AWS::DynamoDB::Table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.effect.verb(), self.resource)?;
        match &self.kind {
            Some(kind) => write!(f, " ({kind})"),
            None => Ok(()),
        }
    }
}

/// Why a change set is not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What failures are grouped by.
    pub cause: &'static str,
    /// What it would do, resource by resource.
    pub detail: String,
}

/// What keeps a change set from being executed, if anything does: that a resource may not be kept, where nobody said that
/// it need not be.
#[must_use]
pub fn objection(changes: &[Change], replacements: Replacements) -> Option<Objection> {
    match replacements {
        Replacements::Allow => return None,
        Replacements::Refuse => {}
    }
    let harmful: Vec<String> = changes.iter().filter(|change| !change.effect.keeps()).map(Change::to_string).collect();
    if harmful.is_empty() {
        return None;
    }
    let mut detail = harmful[..harmful.len().min(MOST_NAMED)].join(", ");
    if let more @ 1.. = harmful.len().saturating_sub(MOST_NAMED) {
        detail.push_str(&format!(" and {more} more"));
    }
    Some(Objection { cause: "Change set would replace or remove resources", detail })
}

/// What `deploy` is asked about: the stacks of these targets, if a release came to them. To find out what it would do to them
/// change sets are made, which are never executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToPreview {
    /// The run that the release has, or would have.
    pub run: RunId,
    /// The targets, as they would be planned.
    pub targets: Vec<PlannedTarget>,
}

/// What a release would do to one target's stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Previewed {
    /// Nobody knows yet, for this reason: its change set is being made, or a call was throttled or not answered. Ask again.
    Pending(String),
    /// There is no such stack yet: it would be made of resources of these types. No change set is made of it, as that would
    /// leave an empty stack.
    New(Vec<String>),
    /// Nothing: the target has it already.
    Current,
    /// This.
    Changes(Vec<Change>),
    /// The stack is being changed by somebody else. A rollout would wait.
    Busy(Reason),
    /// A rollout would fail.
    Fails(Reason),
}

impl From<Refusal> for Previewed {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Permanent { outcome: _, reason } => Self::Fails(reason),
            Refusal::Busy { reason } => Self::Busy(reason),
            Refusal::Throttled { .. } | Refusal::Preparing { .. } | Refusal::Later { .. } | Refusal::Wait { .. } => {
                Self::Pending(refusal.words())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(effect: Effect, resource: &str) -> Change {
        Change { effect, resource: resource.to_owned(), kind: Some("AWS::SQS::Queue".to_owned()) }
    }

    #[test]
    fn what_may_not_be_kept_is_refused_by_name_unless_it_may_be_lost() {
        for effect in
            [Effect::Removes, Effect::Replaces, Effect::MayReplaceOrRemove, Effect::MayReplace, Effect::Unknown]
        {
            let changes = [change(Effect::Changes, "A"), change(effect, "B"), change(Effect::Adds, "C")];
            let objection = objection(&changes, Replacements::Refuse).unwrap();
            assert_eq!(objection.detail, format!("{} B (AWS::SQS::Queue)", effect.verb()));
            assert_eq!(super::objection(&changes, Replacements::Allow), None);
        }
        let harmless = [Effect::Changes, Effect::Imports, Effect::Adds].map(|effect| change(effect, "A"));
        assert_eq!(objection(&harmless, Replacements::Refuse), None);
    }

    #[test]
    fn a_reason_names_ten_and_counts_the_rest() {
        let changes: Vec<Change> = (0..13).map(|index| change(Effect::Removes, &format!("Q{index}"))).collect();
        let objection = objection(&changes, Replacements::Refuse).unwrap();
        assert!(objection.detail.contains("Q9") && !objection.detail.contains("Q10"), "{}", objection.detail);
        assert!(objection.detail.ends_with(" and 3 more"), "{}", objection.detail);
    }

    #[test]
    fn an_effect_of_a_newer_version_is_not_taken_for_harmless() {
        let newer: Change = serde_json::from_str(r#"{"effect": "melts", "resource": "Table"}"#).unwrap();
        assert_eq!(newer.effect, Effect::Unknown);
        assert_eq!(objection(&[newer], Replacements::Refuse).unwrap().detail, "does something unknown to Table");
    }
}
