//! The run as a whole: its release, waves, counts and verdict.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::status::{Outcome, Status};
use super::target::Unlocked;
use crate::ids::{AppName, RunId};
use crate::plan::{Channel, MAX_TARGETS, Plan, PlannedWave};
use crate::release::Release;
use crate::time::{Span, Timestamp};

/// How many targets ended how. Only ended targets are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// [`Outcome::Succeeded`].
    pub succeeded: u32,
    /// [`Outcome::Failed`].
    pub failed: u32,
    /// [`Outcome::TimedOut`].
    pub timed_out: u32,
    /// [`Outcome::Superseded`].
    pub superseded: u32,
    /// [`Outcome::Canceled`].
    pub canceled: u32,
    /// [`Outcome::Unreachable`].
    pub unreachable: u32,
    /// [`Outcome::Skipped`].
    pub skipped: u32,
}

impl Tally {
    fn slot(&mut self, outcome: Outcome) -> &mut u32 {
        match outcome {
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Failed => &mut self.failed,
            Outcome::TimedOut => &mut self.timed_out,
            Outcome::Superseded => &mut self.superseded,
            Outcome::Canceled => &mut self.canceled,
            Outcome::Unreachable => &mut self.unreachable,
            Outcome::Skipped => &mut self.skipped,
        }
    }

    /// Counts one more (or, with `ended` false, one less) of `outcome`.
    pub fn count(&mut self, outcome: Outcome, ended: bool) {
        let slot = self.slot(outcome);
        *slot = if ended { slot.saturating_add(1) } else { slot.saturating_sub(1) };
    }

    /// How many ended.
    #[must_use]
    pub const fn ended(&self) -> u32 {
        self.succeeded.saturating_add(self.without_release())
    }

    /// How many ended without the release: what a wave's failure tolerance bounds.
    #[must_use]
    pub const fn without_release(&self) -> u32 {
        self.failures().saturating_add(self.superseded).saturating_add(self.canceled).saturating_add(self.skipped)
    }

    /// How many ended in failure.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failed.saturating_add(self.timed_out).saturating_add(self.unreachable)
    }

    /// The sum of two tallies.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_add(other.succeeded),
            failed: self.failed.saturating_add(other.failed),
            timed_out: self.timed_out.saturating_add(other.timed_out),
            superseded: self.superseded.saturating_add(other.superseded),
            canceled: self.canceled.saturating_add(other.canceled),
            unreachable: self.unreachable.saturating_add(other.unreachable),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }
}

/// One wave and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// As planned.
    pub plan: PlannedWave,
    /// How many of its targets, from its first, have had their turn.
    pub released: u32,
    /// How those that ended did.
    pub tally: Tally,
}

impl Wave {
    /// How many are neither waiting nor ended.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.released.saturating_sub(self.tally.ended())
    }

    /// Whether every target of it ended.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.tally.ended() >= self.plan.size
    }

    /// Whether more targets ended without the release than the wave tolerates.
    #[must_use]
    pub const fn is_over_tolerance(&self) -> bool {
        self.tally.without_release() > self.plan.failure_tolerance
    }

    /// Whether it would be over its tolerance without those that timed out.
    #[must_use]
    const fn is_over_tolerance_before_the_deadline(&self) -> bool {
        self.tally.without_release().saturating_sub(self.tally.timed_out) > self.plan.failure_tolerance
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Another run of the app goes first.
    Waiting {
        /// Which.
        behind: RunId,
    },
    /// Targets are started as their turn comes.
    Active {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing more is started.
    Closed {
        /// When the run became active; `None` if it never did.
        since: Option<Timestamp>,
        /// When it closed.
        at: Timestamp,
        /// Why.
        because: Closing,
    },
}

/// Why nothing more is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Closing {
    /// Every target ended.
    Complete,
    /// A wave was over its tolerance, and what was in flight has ended.
    Halted {
        /// The wave's name.
        wave: String,
    },
    /// The deadline passed.
    DeadlinePassed,
    /// A newer release took its place before its turn came.
    Overtaken {
        /// By which run.
        by: RunId,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every target has the release.
    Succeeded,
    /// Every target had its turn; some failed, within tolerance. Still not green.
    CompletedWithFailures,
    /// Nothing failed, yet some targets do not have the release: superseded, canceled or skipped.
    Incomplete,
    /// A wave failed beyond its tolerance; what had not started was skipped.
    Failed,
    /// The deadline passed before every target had answered.
    TimedOut,
    /// A newer release took its place before anything was started.
    Overtaken,
}

impl Verdict {
    /// The verdict in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::CompletedWithFailures => "completed with failures",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Overtaken => "overtaken by a newer release",
        }
    }
}

/// The facts about a run as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The run.
    pub run: RunId,
    /// The app it deploys.
    pub app: AppName,
    /// The release it deploys.
    pub release: Release,
    /// Its waves, in order.
    #[serde(deserialize_with = "sound_waves")]
    pub waves: Vec<Wave>,
    /// How many executions one target may get.
    pub max_attempts: u32,
    /// How long it may take once it is active.
    pub deadline: Span,
    /// Where its summary goes.
    pub channel: Channel,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// How many times a target was retried in its own account after the run had closed.
    pub reopened: u32,
    /// When that was last. The deadline counts from there: the retry is as long as a run may be.
    #[serde(default)]
    pub reopened_at: Option<Timestamp>,
    /// The run whose turn came when this one closed.
    pub handed_to: Option<RunId>,
    /// The run whose place in the queue this one took when it was opened.
    #[serde(default)]
    pub overtook: Option<RunId>,
    /// Whether the run was put among those that are looked after. A run that an older version opened is not, until
    /// the first step that this version takes.
    #[serde(default)]
    pub watched: bool,
}

/// Stored waves are counted with, and their targets gone through: a damaged item must not make that without end.
fn sound_waves<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Wave>, D::Error> {
    let waves = Vec::<Wave>::deserialize(deserializer)?;
    let mut first = 0_u32;
    for Wave { plan, released, tally } in &waves {
        if plan.first != first || plan.size > MAX_TARGETS - first || *released > plan.size || tally.ended() > plan.size
        {
            return Err(D::Error::custom("the counts of its waves contradict each other"));
        }
        first += plan.size;
    }
    Ok(waves)
}

impl Head {
    /// A run that waits behind `behind`, or is active at once.
    #[must_use]
    pub fn open(
        run: RunId,
        app: AppName,
        release: Release,
        plan: &Plan,
        behind: Option<RunId>,
        now: Timestamp,
    ) -> Self {
        let wave = |plan: &PlannedWave| Wave { plan: plan.clone(), released: 0, tally: Tally::default() };
        Self {
            run,
            app,
            release,
            waves: plan.waves.iter().map(wave).collect(),
            max_attempts: plan.max_attempts,
            deadline: plan.deadline,
            channel: plan.channel.clone(),
            opened_at: now,
            phase: match behind {
                Some(behind) => Phase::Waiting { behind },
                None => Phase::Active { since: now },
            },
            reopened: 0,
            reopened_at: None,
            handed_to: None,
            overtook: None,
            watched: true,
        }
    }

    /// How many targets the run has.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.waves.iter().map(|wave| wave.plan.size).sum()
    }

    /// How many targets have had their turn.
    #[must_use]
    pub fn released(&self) -> u32 {
        self.waves.iter().map(|wave| wave.released).sum()
    }

    /// How many targets are neither waiting nor ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.waves.iter().map(Wave::in_flight).sum()
    }

    /// The sum of all waves' tallies.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.waves.iter().fold(Tally::default(), |sum, wave| sum.plus(wave.tally))
    }

    /// Whether a target of the plan has had its turn.
    #[must_use]
    pub fn is_released(&self, index: u32) -> bool {
        self.waves.iter().any(|wave| {
            let first = wave.plan.first;
            (first..first.saturating_add(wave.released)).contains(&index)
        })
    }

    /// Whether anything more may be started.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        match self.phase {
            Phase::Closed { .. } => true,
            Phase::Waiting { .. } | Phase::Active { .. } => false,
        }
    }

    /// When the run became active.
    #[must_use]
    pub const fn active_since(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Waiting { .. } => None,
            Phase::Active { since } => Some(since),
            Phase::Closed { since, .. } => since,
        }
    }

    /// When the run must have its verdict.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        self.active_since().max(self.reopened_at).map(|since| since.plus(self.deadline))
    }

    /// The first wave that is over its tolerance.
    #[must_use]
    pub fn wave_over_tolerance(&self) -> Option<&Wave> {
        self.waves.iter().find(|wave| wave.is_over_tolerance())
    }

    /// The verdict: given once the run is closed and nothing is in flight. Derived, never stored; a target
    /// that is retried in its own account later takes it back until that target has ended again.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let Phase::Closed { because, .. } = &self.phase else { return None };
        if self.in_flight() > 0 {
            return None;
        }
        let tally = self.tally();
        Some(match because {
            Closing::Overtaken { .. } => Verdict::Overtaken,
            Closing::Halted { .. } | Closing::Complete | Closing::DeadlinePassed if tally.succeeded == self.size() => {
                Verdict::Succeeded
            }
            Closing::DeadlinePassed => Verdict::TimedOut,
            Closing::Halted { .. } | Closing::Complete if tally.failures() == 0 => Verdict::Incomplete,
            // A run whose every target had its turn is judged by how they ended, not by what came first: a failure
            // that was mended in its own account halted nothing.
            Closing::Halted { .. } | Closing::Complete
                if self.released() == self.size() && self.wave_over_tolerance().is_none() =>
            {
                Verdict::CompletedWithFailures
            }
            Closing::Halted { .. } | Closing::Complete => Verdict::Failed,
        })
    }

    /// Counts a target's change of status.
    pub(super) fn recount(&mut self, wave: u32, before: Status, after: Status) {
        if before == after {
            return;
        }
        let closed = self.is_closed();
        let Some(wave) = usize::try_from(wave).ok().and_then(|index| self.waves.get_mut(index)) else { return };
        if let Some(outcome) = before.outcome() {
            wave.tally.count(outcome, false);
        }
        match after.outcome() {
            Some(outcome) => wave.tally.count(outcome, true),
            None if closed && before.outcome().is_some() => self.reopened = self.reopened.saturating_add(1),
            None => {}
        }
    }

    /// Gives the next targets their turn, or closes the run when there is nothing left to do. Returns the
    /// indexes whose turn came.
    pub(super) fn advance(&mut self, now: Timestamp) -> Option<Unlocked> {
        let Phase::Active { since } = self.phase else { return None };
        let past_due = now >= since.plus(self.deadline);
        let because = match self.wave_over_tolerance() {
            // Only the targets that did not answer in time brought it over.
            Some(wave) if !wave.is_over_tolerance_before_the_deadline() => Some(Closing::DeadlinePassed),
            Some(wave) => Some(Closing::Halted { wave: wave.plan.name.clone() }),
            None if self.waves.iter().all(Wave::is_complete) => Some(Closing::Complete),
            None if past_due => Some(Closing::DeadlinePassed),
            None => None,
        };
        if let Some(because) = because {
            if self.in_flight() == 0 {
                self.phase = Phase::Closed { since: Some(since), at: now, because };
            }
            return None;
        }
        let wave = self.waves.iter_mut().find(|wave| !wave.is_complete())?;
        let free = wave.plan.max_concurrent.saturating_sub(wave.in_flight());
        let count = free.min(wave.plan.size.saturating_sub(wave.released));
        let first = wave.plan.first + wave.released;
        wave.released += count;
        (count > 0).then_some(Unlocked { first, end: first + count })
    }

    /// The indexes that had their turn when the run became active.
    #[must_use]
    pub fn first_unlocked(&self) -> Option<Unlocked> {
        self.active_since()?;
        let wave = self.waves.first()?;
        let count = wave.plan.max_concurrent.min(wave.plan.size);
        Some(Unlocked { first: wave.plan.first, end: wave.plan.first + count })
    }
}
