//! A check as a whole, what is stored of each of its targets, and how a look is folded in.
//!
//! ```text
//!  Looking ── all looked at ──► settle ──┬── something differs ──► Confirming ── all looked at again ──► settle ──► Closed
//!                                        └── all in sync, or one look is enough ─────────────────────────────────────┘
//! ```
//!
//! The check's item counts what was looked at, and how often each revision and each definition was met, so that each
//! target can be judged against its siblings without reading them. A look counts once, in the commit that stores it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::{Detection, Look, Note, SeenAt, ToInspect};
use super::{Accepted, Aspect, Baseline, Cause, Policy, Sight, by_account};
use crate::checkup::Tried;
use crate::control::Who;
use crate::ids::{AppName, RunId, TargetKey};
use crate::known::Known;
use crate::message::Outgoing;
use crate::plan::{Channel, PlannedTarget};
use crate::time::{Span, Timestamp};

/// How many different revisions, and definitions, a check counts. More than that, and there is no common one.
const MOST_KINDS: usize = 64;
/// All that is not counted by itself. (A name in a DynamoDB item must not be empty.)
const OTHERS: &str = "(others)";
/// So many targets must have the same for another one to be the odd one out.
pub const FEWEST_SIBLINGS: u32 = 3;

/// A drift check of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub run: RunId,
    /// Of which app.
    pub app: AppName,
    /// Why.
    pub cause: Cause,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends at the latest, with what it knows.
    pub due_at: Timestamp,
    /// How many targets it has. At least 1.
    pub size: u32,
    /// Whether these are all of the app's.
    pub is_whole: bool,
    /// How it is judged and told.
    pub policy: Policy,
    /// Where it is told.
    pub channel: Channel,
    /// How many targets were looked at.
    pub looked: u32,
    /// How often the last good release was met, by its revision; by its source execution if it has none.
    #[serde(default)]
    pub releases: Tally,
    /// How often a deployed revision was met.
    #[serde(default)]
    pub deployed: Tally,
    /// How often a definition was met, by its digest.
    #[serde(default)]
    pub definitions: Tally,
    /// How it stands.
    pub phase: Phase,
    /// That later checks found nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    /// Since when the next check is overdue, if nobody opened one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_at: Option<Timestamp>,
}

/// How often something was met.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally(pub BTreeMap<String, u32>);

impl Tally {
    fn count(&mut self, what: &str) {
        if self.0.len() < MOST_KINDS || self.0.contains_key(what) {
            *self.0.entry(what.to_owned()).or_default() += 1;
        } else {
            *self.0.entry(OTHERS.to_owned()).or_default() += 1;
        }
    }

    /// What more than half of the others have, if they are enough to tell; with how many have it.
    #[must_use]
    pub fn common(&self) -> Option<(&str, u32)> {
        let total: u32 = self.0.values().sum();
        let (what, count) = self.0.iter().max_by_key(|(_, count)| **count)?;
        (what != OTHERS && *count >= FEWEST_SIBLINGS && *count > total / 2).then_some((what.as_str(), *count))
    }
}

/// How a check stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", content = "data", rename_all = "snake_case")]
pub enum Phase {
    /// Its targets are looked at.
    Looking,
    /// What is not in sync is looked at again.
    Confirming {
        /// Since when.
        since: Timestamp,
        /// How many targets.
        awaited: u32,
        /// How many of them were.
        looked: u32,
    },
    /// It has ended.
    Closed(Box<Closed>),
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// Whether it ended because its time was up.
    pub out_of_time: bool,
    /// How many targets were found how.
    pub counts: Counts,
    /// What is new.
    pub news: News,
    /// What Slack is told.
    pub telling: Telling,
    /// Whether all that stands is told, as its turn came.
    pub is_digest: bool,
    /// What stood of targets that the app does not have any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// The targets that are to get their last good release again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redeploys: Vec<TargetKey>,
    /// The app's check before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<RunId>,
}

/// How many targets were found how, each by its worst comparison: drifted, unknown, in sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All comparisons in sync.
    pub in_sync: u32,
    /// At least one drifted.
    pub drifted: u32,
    /// None drifted, at least one unknown.
    pub unknown: u32,
}

/// How many comparisons changed since the last check, and how many did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct News {
    /// Not in sync, and it was, or differed in another way.
    pub new: u32,
    /// Not in sync, as before.
    pub persisting: u32,
    /// In sync again.
    pub resolved: u32,
}

impl News {
    /// Whether anything changed.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.new > 0 || self.resolved > 0
    }
}

/// What Slack is told of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "telling", rename_all = "snake_case")]
pub enum Telling {
    /// A message of its own.
    Post,
    /// Nothing new: the message of an earlier check says when it was looked again.
    Again {
        /// Which check's.
        of: RunId,
    },
    /// Nothing.
    Silent,
}

/// Later checks that found nothing new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// How many.
    pub times: u32,
    /// The last one.
    pub check: RunId,
    /// When that was opened.
    pub at: Timestamp,
}

/// What is stored of one target of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Account and Region.
    pub key: TargetKey,
    /// Its position in the plan.
    pub index: u32,
    /// The first look.
    pub first: Sight,
    /// The second one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Sight>,
    /// What it is compared with, as it was known at the first look; the last good release, and the rollout that is under
    /// way, as they were at the last one.
    pub expected: Expected,
    /// What came of it, if it is not in sync, or was not before. Written once, as the check ends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub concluded: BTreeMap<Aspect, Concluded>,
}

/// What a target is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Expected {
    /// What is known to be deployed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Box<Known>>,
    /// What counts as in sync.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<Aspect, Accepted>,
    /// The rollout that was under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RunId>,
}

/// What came of one comparison of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concluded {
    /// How it was found.
    pub value: super::Value,
    /// Against the last check.
    pub change: Change,
}

/// A finding against the last check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// It was in sync.
    New,
    /// It was not in sync, and in another way.
    Other {
        /// Since when it has not been.
        since: Timestamp,
        /// How it was.
        was: String,
    },
    /// It is as it was.
    Persisting {
        /// Since when.
        since: Timestamp,
    },
    /// It was not in sync, and is.
    Resolved {
        /// Since when it had not been.
        since: Timestamp,
        /// How it was.
        was: String,
    },
}

impl Change {
    /// Whether it is to be told.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        match self {
            Self::New | Self::Other { .. } | Self::Resolved { .. } => true,
            Self::Persisting { .. } => false,
        }
    }
}

/// What became of a look that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was taken in.
    Changed,
    /// It was known.
    Duplicate,
    /// It is no look of this check, or comes too late.
    Stray,
}

/// What folding a look in yields.
#[derive(Debug)]
#[must_use]
pub struct Folded {
    /// What became of it.
    pub told: Told,
    /// To be stored.
    pub looked: Option<Looked>,
    /// To be stored: the definition that the first look of all recorded.
    pub baseline: Option<Baseline>,
    /// Detections that were started, to be found by their events.
    pub detections: Vec<Detection>,
}

impl Folded {
    const fn nothing(told: Told) -> Self {
        Self { told, looked: None, baseline: None, detections: Vec::new() }
    }
}

/// What is read with a target's look.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// What is stored of it.
    pub looked: Option<Looked>,
    /// What is known to be deployed there.
    pub known: Option<Known>,
    /// What is accepted of it.
    pub baseline: Option<Baseline>,
    /// The app's active rollout.
    pub rollout: Option<RunId>,
}

impl Check {
    /// The message that has the target looked at: all of it, or the detections that are under way.
    #[must_use]
    pub fn inspect(&self, look: Look, targets: Vec<ToInspect>, delay: Span) -> Outgoing {
        Outgoing::after(delay, Note::Inspect { check: self.run.clone(), look, targets }.into())
    }

    /// The messages that have all targets looked at for the first time.
    #[must_use]
    pub fn opening(&self, plan: &[PlannedTarget]) -> Vec<Outgoing> {
        let whole = |planned: &&PlannedTarget| ToInspect { index: planned.index, detections: Vec::new() };
        let messages = by_account(plan).into_iter();
        messages
            .map(|targets| self.inspect(Look::First, targets.iter().map(whole).collect(), Span::from_millis(0)))
            .collect()
    }

    /// Whether every look that is waited for is in.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.phase {
            Phase::Looking => self.looked >= self.size,
            Phase::Confirming { awaited, looked, .. } => looked >= awaited,
            Phase::Closed(_) => false,
        }
    }

    /// Whether it has a message of its own in Slack.
    #[must_use]
    pub fn is_told(&self) -> bool {
        let is_post = self.closed().is_some_and(|closed| closed.telling == Telling::Post);
        self.channel != Channel::Silent && (is_post || self.overdue_at.is_some())
    }

    /// How it ended, if it has.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        match &self.phase {
            Phase::Closed(closed) => Some(closed),
            Phase::Looking | Phase::Confirming { .. } => None,
        }
    }

    /// Folds a look in: the first one, or the second one once it was asked for; or the end of a detection.
    pub fn fold(&mut self, look: Look, seen: &SeenAt, read: Read, now: Timestamp) -> Folded {
        let is_awaited = match (&self.phase, look) {
            (Phase::Looking | Phase::Confirming { .. }, Look::First) | (Phase::Confirming { .. }, Look::Second) => true,
            (Phase::Looking, Look::Second) | (Phase::Closed(_), _) => false,
        };
        if !is_awaited || seen.index >= self.size {
            return Folded::nothing(Told::Stray);
        }
        match (read.looked.clone(), look) {
            (None, Look::First) => self.first(seen, read, now),
            (None, Look::Second) => Folded::nothing(Told::Stray),
            (Some(mut looked), Look::First) => {
                if !looked.first.finish(&seen.sight.stacks) {
                    return Folded::nothing(Told::Duplicate);
                }
                if looked.first.is_complete() {
                    self.looked = self.looked.saturating_add(1);
                }
                Folded { looked: Some(looked), ..Folded::nothing(Told::Changed) }
            }
            (Some(mut looked), Look::Second) => {
                let detections = match &mut looked.second {
                    Some(second) => match second.finish(&seen.sight.stacks) {
                        true => Vec::new(),
                        false => return Folded::nothing(Told::Duplicate),
                    },
                    unseen @ None => {
                        *unseen = Some((*seen.sight).clone());
                        // A rollout may have come or gone between the looks.
                        looked.expected.known = read.known.map(Box::new);
                        looked.expected.rollout = read.rollout;
                        detections(&seen.sight)
                    }
                };
                if looked.second.as_ref().is_some_and(Sight::is_complete)
                    && let Phase::Confirming { looked, .. } = &mut self.phase
                {
                    *looked = looked.saturating_add(1);
                }
                Folded { looked: Some(looked), detections, ..Folded::nothing(Told::Changed) }
            }
        }
    }

    fn first(&mut self, seen: &SeenAt, read: Read, now: Timestamp) -> Folded {
        let sight = (*seen.sight).clone();
        if let Some(known) = &read.known {
            self.releases.count(&super::judge::carried(&known.current.release));
        }
        let mut accepted = read.baseline.map(|baseline| baseline.accepted).unwrap_or_default();
        if let Some(deployed) = super::judge::deployed_revision(&sight) {
            self.deployed.count(deployed);
        }
        let mut baseline = None;
        if let Some(pipeline) = sight.pipeline.as_ref().and_then(Tried::done) {
            self.definitions.count(&pipeline.digest);
            // A rollout brought another template with it.
            let is_outdated =
                |at: Timestamp| pipeline.is_released && read.known.as_ref().is_some_and(|known| at < known.current.at);
            if accepted.get(&Aspect::Definition).is_some_and(|accepted| is_outdated(accepted.at)) {
                accepted.remove(&Aspect::Definition);
            }
            if !accepted.contains_key(&Aspect::Definition) {
                // From now on it is compared with this. By this check it can be compared with its siblings only.
                let first = Accepted {
                    fingerprint: pipeline.digest.clone(),
                    by: Who::manifold(),
                    at: now,
                    why: Some(format!("recorded at the first look, by {}", self.run)),
                };
                let mut all = accepted.clone();
                all.insert(Aspect::Definition, first);
                baseline = Some(Baseline { target: seen.key.clone(), accepted: all });
            }
        }
        if sight.is_complete() {
            self.looked = self.looked.saturating_add(1);
        }
        let expected = Expected { known: read.known.map(Box::new), accepted, rollout: read.rollout };
        let detections = detections(&sight);
        let looked = Looked {
            key: seen.key.clone(),
            index: seen.index,
            first: sight,
            second: None,
            expected,
            concluded: BTreeMap::new(),
        };
        Folded { told: Told::Changed, looked: Some(looked), baseline, detections }
    }
}

fn detections(sight: &Sight) -> Vec<Detection> {
    let owned =
        |(stack, id, since): (&str, &str, Timestamp)| Detection { stack: stack.to_owned(), id: id.to_owned(), since };
    sight.detections().map(owned).collect()
}

impl Looked {
    /// The detections that are under way, and at which look they were started.
    #[must_use]
    pub fn detecting(&self) -> Option<(Look, Vec<Detection>)> {
        let (look, sight) = match &self.second {
            Some(second) => (Look::Second, second),
            None => (Look::First, &self.first),
        };
        Some((look, detections(sight))).filter(|(_, detections)| !detections.is_empty())
    }
}
