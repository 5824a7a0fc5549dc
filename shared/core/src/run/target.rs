//! One target of one run: the facts, and the status derived from them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::observation::{Learnt, Observation, Observed};
use super::seen::Seen;
use super::status::{Outcome, Status};
use crate::engine::Subject;
use crate::event::PipelineState;
use crate::ids::{Attempt, ExecutionId, ExecutionRef, Nonce, TargetKey};
use crate::pace::Turn;
use crate::plan::{MAX_TARGETS, PlannedTarget};
use crate::release::Release;
use crate::time::Timestamp;

/// Why a target did not get the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What failures are grouped by, without anything specific to the target:
    /// `JobFailed in action Deploy`, `AccessDenied on role ManifoldTarget`.
    pub cause: String,
    /// The provider's own words. Untrusted.
    pub detail: Option<String>,
    /// A link to the failed action, if the provider gave one. Untrusted: check the host before linking.
    pub link: Option<String>,
    /// Who said so.
    pub source: ReasonSource,
    /// CodePipeline's attempt that it explains.
    pub attempt: u32,
}

/// Who explained a failure. A later variant is preferred over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonSource {
    /// A failed action's event.
    Event,
    /// The engine, when asked.
    Engine,
    /// Manifold itself: the execution was not started, or did not answer.
    Manifold,
}

impl Reason {
    /// Cause and detail, in one line.
    #[must_use]
    pub fn words(&self) -> String {
        self.detail.as_ref().map_or_else(|| self.cause.clone(), |detail| format!("{}: {detail}", self.cause))
    }

    /// The better of two reasons: the later attempt, then the better source, then the one that says more, then a
    /// fixed order, so that the order of arrival does not matter.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let rank = |r: &Self| {
            let says = (r.detail.is_some(), r.link.is_some());
            (r.attempt, r.source, says, std::cmp::Reverse((r.cause.clone(), r.detail.clone(), r.link.clone())))
        };
        if rank(&self) >= rank(&other) { self } else { other }
    }
}

/// A claim on an attempt, written before the engine is called (law 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who holds it.
    pub nonce: Nonce,
    /// When it was taken.
    pub at: Timestamp,
    /// From then on another worker may take it over, after looking for what the first one may have started.
    pub lease_until: Timestamp,
}

/// An earlier try at the same target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// Which.
    pub attempt: Attempt,
    /// What it started, if anything.
    pub execution: Option<ExecutionId>,
    /// Why it was not enough.
    pub reason: Option<Reason>,
}

/// The end that Manifold itself declared, because the engine could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GaveUp {
    /// As what.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// Indexes of the targets whose turn came when this one ended: `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlocked {
    /// The first index.
    pub first: u32,
    /// One past the last.
    pub end: u32,
}

/// The calls of an attempt that were throttled, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// Since when.
    pub since: Timestamp,
    /// How many.
    pub calls: u32,
}

/// Something that was heard of a target, and that changed what was known of it. A record for people, and for playing a
/// run again: nothing is derived from it, and two orders of arrival may differ in it (law 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// When it happened, by the event's own clock.
    pub at: Timestamp,
    /// When it was taken in, by Manifold's.
    pub received: Timestamp,
    /// Of which execution.
    pub execution: ExecutionId,
    /// What.
    pub what: HeardOf,
    /// How it came to be known.
    #[serde(default)]
    pub learnt: Learnt,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HeardOf {
    /// The execution reached a state.
    State {
        /// Which.
        state: PipelineState,
        /// CodePipeline's attempt, if it was told.
        attempt: Option<u32>,
    },
    /// One of its actions failed.
    ActionFailed {
        /// What failures are grouped by, without the provider's words: see [`Reason::cause`].
        cause: String,
        /// CodePipeline's attempt.
        attempt: u32,
    },
}

impl Heard {
    /// So many are kept of one target: more than its attempts have states, unless something goes round in circles.
    pub const MAX: usize = 24;

    /// What an observation told, when it was taken in.
    #[must_use]
    pub fn of(observation: &Observation, received: Timestamp) -> Self {
        let what = match &observation.what {
            Observed::State { state, attempt, .. } => HeardOf::State { state: state.clone(), attempt: *attempt },
            Observed::ActionFailed { reason } => {
                HeardOf::ActionFailed { cause: reason.cause.clone(), attempt: reason.attempt }
            }
        };
        let Observation { at, execution, learnt, .. } = observation;
        Self { at: *at, received, execution: execution.clone(), what, learnt: *learnt }
    }
}

/// The facts about one target of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Account and Region.
    pub key: TargetKey,
    /// Its position in the plan.
    pub index: u32,
    /// The position of its wave.
    pub wave: u32,
    /// The account's name in the fleet file.
    pub account_name: String,
    /// What is started there.
    #[serde(rename = "pipeline")]
    pub subject: Subject,
    /// The current attempt.
    pub attempt: Attempt,
    /// How often the current attempt was put back because the engine was busy or did not answer.
    pub put_back: u32,
    /// When the current attempt was first claimed: its execution is not older.
    pub first_claimed_at: Option<Timestamp>,
    /// Since when the account has not answered the current attempt; bounds how long it is put back.
    #[serde(default)]
    pub unanswered_since: Option<Timestamp>,
    /// Who is starting the current attempt.
    pub claim: Option<Claim>,
    /// Whether a worker took the current attempt over from another one, which may have started it.
    #[serde(default)]
    pub taken_over: bool,
    /// What the current attempt started.
    pub execution: Option<ExecutionId>,
    /// When it was started, by Manifold's clock, or by the STARTED event's if that came first.
    pub started_at: Option<Timestamp>,
    /// The furthest state observed of the execution.
    pub seen: Option<Seen>,
    /// The end that Manifold declared. An end that the engine reports goes before it.
    pub gave_up: Option<GaveUp>,
    /// Why it failed, as far as it is known.
    pub reason: Option<Reason>,
    /// A state that this version does not know, kept to be shown.
    pub unrecognised: Option<String>,
    /// Earlier attempts, oldest first.
    pub past: Vec<PastAttempt>,
    /// What its ending made possible.
    #[serde(default, deserialize_with = "sound_unlocked")]
    pub unlocked: Option<Unlocked>,
    /// Whether it was retried in its own account after the run had closed.
    pub reopened_after_close: bool,
    /// When the current attempt is to be tried again, or begun after a failure. Its message may be lost: overdue, it is
    /// sent again.
    #[serde(default)]
    pub start_due_at: Option<Timestamp>,
    /// The turn that the current attempt waits for, to make its next call. It was not started meanwhile.
    #[serde(default)]
    pub turn: Option<Turn>,
    /// What came of the calls of the current attempt, if they were throttled.
    #[serde(default)]
    pub throttled: Option<Throttled>,
    /// How many of its ends were learnt by asking the engine, as their events had not arrived.
    #[serde(default)]
    pub asked_for: u32,
    /// The indexes of the targets that wait for this one to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "sound_followers")]
    pub before: Vec<u32>,
    /// A digest of what it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The revision that it is pinned to by its engine, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// What it gets, if that is not the run's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Box<Release>>,
    /// Whether its engine said that it has the release already, so that there was nothing to do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
    /// What was heard of it, in the order in which it was taken in; at most [`Heard::MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<Heard>,
}

/// Each of these targets is told to start, too.
fn sound_followers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let before = Vec::<u32>::deserialize(deserializer)?;
    match before.iter().all(|index| *index < MAX_TARGETS) {
        true => Ok(before),
        false => Err(D::Error::custom("the targets that wait for it are not targets of a plan")),
    }
}

/// Each of these targets is told to start: a damaged item must not name more than there can be.
fn sound_unlocked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Unlocked>, D::Error> {
    let unlocked = Option::<Unlocked>::deserialize(deserializer)?;
    match unlocked {
        Some(Unlocked { first, end }) if first > end || end > MAX_TARGETS => {
            Err(D::Error::custom("the targets that it unlocked are not targets of a plan"))
        }
        sound => Ok(sound),
    }
}

impl Target {
    /// A target whose turn has come and that nobody has touched.
    #[must_use]
    pub fn queued(planned: &PlannedTarget) -> Self {
        Self {
            key: planned.key.clone(),
            index: planned.index,
            wave: planned.wave,
            account_name: planned.account_name.clone(),
            subject: planned.subject.clone(),
            attempt: Attempt::FIRST,
            put_back: 0,
            first_claimed_at: None,
            unanswered_since: None,
            claim: None,
            taken_over: false,
            execution: None,
            started_at: None,
            seen: None,
            gave_up: None,
            reason: None,
            unrecognised: None,
            past: Vec::new(),
            unlocked: None,
            reopened_after_close: false,
            start_due_at: None,
            turn: None,
            throttled: None,
            asked_for: 0,
            before: planned.before.clone(),
            fingerprint: Some(planned.fingerprint()),
            pinned: planned.pinned().map(str::to_owned),
            release: planned.release.clone(),
            already: false,
            heard: Vec::new(),
        }
    }

    /// Notes what was heard. The first and the last always stay; of those between the oldest goes.
    pub(super) fn note(&mut self, heard: Heard) {
        if self.heard.len() >= Heard::MAX {
            self.heard.remove(1);
        }
        self.heard.push(heard);
    }

    /// The facts alone: what counts when two orders of arrival are compared.
    #[must_use]
    pub fn without_heard(self) -> Self {
        Self { heard: Vec::new(), ..self }
    }

    /// Where it stands. What the engine reported goes before what Manifold assumed.
    #[must_use]
    pub fn status(&self) -> Status {
        let reported = self.seen.as_ref().map(Seen::status);
        match (reported, self.gave_up) {
            (Some(Status::Ended(outcome)), _) => Status::Ended(outcome),
            (_, Some(gave_up)) => Status::Ended(gave_up.outcome),
            (Some(status), None) => status,
            (None, None) if self.execution.is_some() => Status::Running,
            (None, None) if self.claim.is_some() => Status::Starting,
            (None, None) => Status::Queued,
        }
    }

    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match (self.seen.as_ref().map(|seen| (seen.status(), seen.at())), self.gave_up) {
            (Some((Status::Ended(_), at)), _) => Some(at),
            (_, Some(gave_up)) => Some(gave_up.at),
            (_, None) => None,
        }
    }

    /// The execution of the current attempt, with its place.
    #[must_use]
    pub fn execution_ref(&self) -> Option<ExecutionRef> {
        self.execution.as_ref().map(|id| ExecutionRef { target: self.key.clone(), id: id.clone() })
    }

    /// Whether the current attempt may have been started without a record: by a worker that died, or by a call
    /// that seemed to fail.
    #[must_use]
    pub fn may_have_been_started(&self) -> bool {
        self.taken_over || self.put_back > 0
    }

    /// Whether it was given up, and nobody knows whether a worker that died, or a call that seemed to fail, had started
    /// it.
    #[must_use]
    pub fn is_unaccounted_for(&self) -> bool {
        let not_asked = matches!(self.gave_up, Some(GaveUp { outcome: Outcome::TimedOut | Outcome::Unreachable, .. }));
        not_asked && self.execution.is_none() && (self.claim.is_some() || self.may_have_been_started())
    }

    /// Notes that nobody has started the current attempt: it was looked for.
    pub(super) fn was_not_started(&mut self) {
        self.claim = None;
        self.taken_over = false;
        self.put_back = 0;
    }

    /// Whether it failed for a reason that nobody has told yet.
    #[must_use]
    pub fn is_unexplained(&self) -> bool {
        self.status() == Status::Ended(Outcome::Failed)
            && self.execution.is_some()
            && self.reason.as_ref().is_none_or(|reason| reason.attempt < self.seen.as_ref().map_or(1, Seen::attempt))
    }
}
