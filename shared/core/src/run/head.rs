//! The run as a whole: its release, waves, counts and verdict.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::status::{Outcome, Status};
use super::target::Unlocked;
use crate::control::{Command, Mark, Origin, Request, Which, Who};
use crate::ids::{AppName, RunId, TargetKey};
use crate::plan::{Channel, Lapse, MAX_TARGETS, Newer, OnFailure, Plan, PlannedWave, Policy};
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
    /// Since when it waits for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Who approved it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Mark>,
    /// When all of its targets had ended: its bake begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When its alarms were looked at, all of them after its bake, and none was in ALARM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_at: Option<Timestamp>,
    /// Why its alarms could not be looked at, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlooked: Option<String>,
}

/// Why the way back that the policy wants is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoWayBack {
    /// When the run closed that was to be taken back: that was the request.
    pub closed_at: Timestamp,
    /// Why there is none.
    pub because: String,
}

/// Why nothing is started just now, although the run goes on (law 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// An operator paused it.
    Paused {
        /// Who, and when.
        by: Mark,
        /// It ends by then.
        until: Timestamp,
    },
    /// A wave waits for approval.
    Approval {
        /// Its position.
        wave: usize,
        /// Since when.
        since: Timestamp,
        /// The request lapses then.
        until: Timestamp,
    },
    /// A wave bakes.
    Bake {
        /// Its position.
        wave: usize,
        /// Until then.
        until: Timestamp,
    },
    /// A wave has baked, and its alarms are still to be looked at.
    Alarms {
        /// Its position.
        wave: usize,
        /// Since when.
        since: Timestamp,
        /// If they can't be looked at until then, the run ends.
        until: Timestamp,
    },
}

impl Hold {
    /// When it ends, if nobody ends it before.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        match self {
            Self::Paused { until, .. }
            | Self::Approval { until, .. }
            | Self::Bake { until, .. }
            | Self::Alarms { until, .. } => *until,
        }
    }
}

/// The longest that a run may be paused: every run ends (law 2).
pub const LONGEST_PAUSE: Span = Span::from_minutes(60 * 24 * 7);

impl Wave {
    /// A wave of which nothing has been started.
    #[must_use]
    pub fn new(plan: PlannedWave) -> Self {
        Self {
            plan,
            released: 0,
            tally: Tally::default(),
            asked_at: None,
            approved: None,
            completed_at: None,
            passed_at: None,
            unlooked: None,
        }
    }

    /// How many of its targets may be in flight now.
    #[must_use]
    pub const fn room(&self) -> u32 {
        let most = self.plan.max_concurrent;
        if !self.plan.strict {
            return most;
        }
        let may_fail = self.plan.failure_tolerance.saturating_sub(self.tally.without_release()).saturating_add(1);
        if may_fail < most { may_fail } else { most }
    }

    /// When its bake ends, if it bakes.
    #[must_use]
    pub fn baked_at(&self) -> Option<Timestamp> {
        Some(self.completed_at?.plus(self.plan.bake.as_ref()?.time))
    }

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
    /// A newer release took over what had not started.
    Superseded {
        /// Its run.
        by: RunId,
    },
    /// Another run was under way, and the app refuses newer releases meanwhile.
    Refused {
        /// Which.
        behind: RunId,
    },
    /// An operator ended it.
    Aborted {
        /// Who, and when.
        by: Mark,
        /// Whether what ran was stopped as well.
        stop: bool,
    },
    /// An operator did not let a wave begin.
    Rejected {
        /// The wave's name.
        wave: String,
        /// Who, and when.
        by: Mark,
    },
    /// Nobody let a wave begin in time, or before a newer release came.
    Lapsed {
        /// The wave's name.
        wave: String,
        /// The newer release's run.
        newer: Option<RunId>,
    },
    /// An alarm of a target was in ALARM after its wave.
    Alarm {
        /// The wave's name.
        wave: String,
        /// Where.
        target: TargetKey,
        /// The alarm's name.
        alarm: String,
    },
    /// The alarms of a wave could not be looked at.
    Unlooked {
        /// The wave's name.
        wave: String,
        /// Why.
        reason: String,
    },
}

/// Why a run is to start nothing more, while what runs is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Since when.
    pub at: Timestamp,
    /// Why; what it is closed with.
    pub because: Closing,
}

impl Closing {
    /// In words, for the record of decisions.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Complete => "closed: every target ended".to_owned(),
            Self::Halted { wave } => format!("halted: wave {wave} is over its failure tolerance"),
            Self::DeadlinePassed => "closed: the deadline passed".to_owned(),
            Self::Overtaken { by } => format!("overtaken by {by}"),
            Self::Superseded { by } => format!("superseded by {by}"),
            Self::Refused { behind } => format!("refused: {behind} is under way"),
            Self::Aborted { by, stop: false } => format!("aborted by {}", by.who),
            Self::Aborted { by, stop: true } => format!("aborted and stopped by {}", by.who),
            Self::Rejected { wave, by } => format!("wave {wave} rejected by {}", by.who),
            Self::Lapsed { wave, newer: None } => format!("nobody approved wave {wave} in time"),
            Self::Lapsed { wave, newer: Some(by) } => format!("approval of wave {wave} expired: {by} is newer"),
            Self::Alarm { wave, target, alarm } => format!("halted: alarm {alarm} in {target} after wave {wave}"),
            Self::Unlooked { wave, reason } => format!("closed: the alarms of wave {wave} can't be seen: {reason}"),
        }
    }

    /// Whether it is a failure of the release, so that the app's policy may have it rolled back.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Halted { .. } | Self::Alarm { .. } => true,
            Self::Complete
            | Self::DeadlinePassed
            | Self::Overtaken { .. }
            | Self::Superseded { .. }
            | Self::Refused { .. }
            | Self::Aborted { .. }
            | Self::Rejected { .. }
            | Self::Lapsed { .. }
            | Self::Unlooked { .. } => false,
        }
    }
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
    /// An operator ended it.
    Aborted,
    /// A wave was rejected, or nobody approved it in time.
    NotApproved,
    /// Another run was under way, and the app refuses newer releases meanwhile.
    Refused,
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
            Self::Aborted => "aborted",
            Self::NotApproved => "not approved",
            Self::Refused => "refused",
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
    /// How it is controlled.
    #[serde(default)]
    pub policy: Policy,
    /// What it is for.
    #[serde(default)]
    pub origin: Origin,
    /// How many targets have the release already and were left alone. They belong to no wave.
    #[serde(default)]
    pub unchanged: u32,
    /// Who paused it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Mark>,
    /// Why it is to start nothing more, while what runs is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// How long it held, all holds together: no time of its deadline.
    #[serde(default)]
    pub held: Span,
    /// Since when it holds and nothing is in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holding_since: Option<Timestamp>,
    /// Why it is not rolled back, although it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_way_back: Option<NoWayBack>,
}

/// Stored waves are counted with, and their targets gone through: a damaged item must not make that without end.
fn sound_waves<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Wave>, D::Error> {
    let waves = Vec::<Wave>::deserialize(deserializer)?;
    let mut first = 0_u32;
    for Wave { plan, released, tally, .. } in &waves {
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
        origin: Origin,
        behind: Option<RunId>,
        now: Timestamp,
    ) -> Self {
        Self {
            run,
            app,
            release,
            waves: plan.waves.iter().cloned().map(Wave::new).collect(),
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
            policy: plan.policy.clone(),
            origin,
            unchanged: u32::try_from(plan.unchanged.len()).unwrap_or(u32::MAX),
            paused: None,
            ending: None,
            held: Span::from_millis(0),
            holding_since: None,
            no_way_back: None,
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

    /// When what is in flight must have ended. `None` before the run's turn, and while it holds: no hold is without end,
    /// and none takes time of the deadline.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        if self.holding_since.is_some() && !self.is_closed() {
            return None;
        }
        let due = |since: Timestamp| since.plus(self.deadline);
        self.active_since().map(|since| due(since).plus(self.held)).max(self.reopened_at.map(due))
    }

    /// What it holds for. Only an active run holds, and none that is ending.
    #[must_use]
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        let Phase::Active { .. } = self.phase else { return None };
        if self.ending.is_some() {
            return None;
        }
        for (position, wave) in self.waves.iter().enumerate() {
            if !wave.is_complete() {
                if let Some(by) = &self.paused {
                    return Some(Hold::Paused { by: by.clone(), until: by.at.plus(LONGEST_PAUSE) });
                }
                return match (&wave.plan.approval, &wave.approved, wave.asked_at) {
                    (Some(approval), None, Some(since)) => {
                        Some(Hold::Approval { wave: position, since, until: since.plus(approval.valid_for) })
                    }
                    (Some(_), None, None) | (Some(_), Some(_), _) | (None, _, _) => None,
                };
            }
            let Some(bake) = &wave.plan.bake else { continue };
            let Some(until) = wave.baked_at().filter(|_| wave.passed_at.is_none()) else { continue };
            return Some(match bake.alarms.is_empty() || now < until {
                true => Hold::Bake { wave: position, until },
                false => Hold::Alarms { wave: position, since: until, until: until.plus(self.deadline) },
            });
        }
        None
    }

    /// The wave whose alarms are to be looked at: it bakes, or has baked.
    #[must_use]
    pub fn baking(&self) -> Option<(u32, &Wave)> {
        let Phase::Active { .. } = self.phase else { return None };
        let in_order = (0_u32..).zip(&self.waves).take_while(|(_, wave)| wave.is_complete());
        in_order.into_iter().find(|(_, wave)| wave.plan.bake.is_some() && wave.passed_at.is_none())
    }

    /// Whether nothing more may be started, whatever else is so.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.is_closed() || self.ending.is_some() || self.halts()
    }

    /// Whether a wave is over its tolerance, and the app does not go on all the same.
    #[must_use]
    pub fn halts(&self) -> bool {
        self.policy.on_failure != OnFailure::Continue && self.wave_over_tolerance().is_some()
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
            Closing::Refused { .. } => Verdict::Refused,
            Closing::Alarm { .. } => Verdict::Failed,
            // Everything may be out, and still nobody knows whether it is well.
            Closing::Unlooked { .. } if tally.failures() == 0 => Verdict::Incomplete,
            Closing::Unlooked { .. } => Verdict::Failed,
            Closing::Halted { .. }
            | Closing::Complete
            | Closing::DeadlinePassed
            | Closing::Superseded { .. }
            | Closing::Aborted { .. }
            | Closing::Rejected { .. }
            | Closing::Lapsed { .. }
                if tally.succeeded == self.size() && self.is_proven() =>
            {
                Verdict::Succeeded
            }
            Closing::DeadlinePassed => Verdict::TimedOut,
            Closing::Aborted { .. } => Verdict::Aborted,
            Closing::Rejected { .. } | Closing::Lapsed { .. } => Verdict::NotApproved,
            Closing::Superseded { .. } if tally.failures() == 0 => Verdict::Incomplete,
            Closing::Superseded { .. } => Verdict::Failed,
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

    /// Whether every bake was passed. A run that is ended during one may be out everywhere, and is not proven.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.waves.iter().all(|wave| wave.plan.bake.is_none() || wave.passed_at.is_some())
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
    /// indexes whose turn came. Notes since when it holds, and for how long it held.
    pub(super) fn advance(&mut self, now: Timestamp) -> Option<Unlocked> {
        let Phase::Active { since } = self.phase else { return None };
        self.note_waves(now);
        let in_flight = self.in_flight() > 0;
        if let Some(because) = self.closes_because(now) {
            self.stop_holding(now);
            if !in_flight {
                self.phase = Phase::Closed { since: Some(since), at: now, because };
            }
            return None;
        }
        if self.hold(now).is_some() {
            if !in_flight {
                self.holding_since.get_or_insert(now);
            }
            return None;
        }
        self.stop_holding(now);
        let wave = self.waves.iter_mut().find(|wave| !wave.is_complete())?;
        let free = wave.room().saturating_sub(wave.in_flight());
        let count = free.min(wave.plan.size.saturating_sub(wave.released));
        let first = wave.plan.first + wave.released;
        wave.released += count;
        (count > 0).then_some(Unlocked { first, end: first + count })
    }

    /// Notes which waves are complete and have baked, and that the next one is to be asked for.
    fn note_waves(&mut self, now: Timestamp) {
        for wave in &mut self.waves {
            if !wave.is_complete() {
                // A target of it was retried in its own account: what it proved counts no more.
                (wave.completed_at, wave.passed_at) = (None, None);
                if wave.plan.approval.is_some() && wave.approved.is_none() && wave.released == 0 {
                    wave.asked_at.get_or_insert(now);
                }
                return;
            }
            wave.completed_at.get_or_insert(now);
            let Some(bake) = &wave.plan.bake else { continue };
            if bake.alarms.is_empty() && wave.baked_at().is_some_and(|at| at <= now) {
                wave.passed_at.get_or_insert(now);
            }
            if wave.passed_at.is_none() {
                return;
            }
        }
    }

    /// Why it is to be closed as soon as nothing is in flight, if it is.
    fn closes_because(&self, now: Timestamp) -> Option<Closing> {
        if let Some(Ending { because, .. }) = &self.ending {
            return Some(because.clone());
        }
        let past_due = self.due_at().is_some_and(|due| due <= now);
        match self.wave_over_tolerance().filter(|_| self.halts()) {
            // Only the targets that did not answer in time brought it over.
            Some(wave) if !wave.is_over_tolerance_before_the_deadline() => return Some(Closing::DeadlinePassed),
            Some(wave) => return Some(Closing::Halted { wave: wave.plan.name.clone() }),
            None => {}
        }
        let name = |wave: usize| self.waves.get(wave).map_or_else(String::new, |wave| wave.plan.name.clone());
        match self.hold(now) {
            Some(Hold::Paused { until, .. }) => (until <= now).then_some(Closing::DeadlinePassed),
            Some(Hold::Approval { wave, until, .. }) => {
                (until <= now).then(|| Closing::Lapsed { wave: name(wave), newer: None })
            }
            Some(Hold::Bake { .. }) => None,
            Some(Hold::Alarms { wave, until, .. }) => (until <= now).then(|| Closing::Unlooked {
                wave: name(wave),
                reason: (self.waves.get(wave).and_then(|wave| wave.unlooked.clone()))
                    .unwrap_or_else(|| "nobody could look".to_owned()),
            }),
            None if self.waves.iter().all(Wave::is_complete) => Some(Closing::Complete),
            None if past_due => Some(Closing::DeadlinePassed),
            None => None,
        }
    }

    /// What the policy wants once the run has ended: the way back, if there is one, unless a newer release goes on from here. The request
    /// follows from the run, so that wanting it twice is wanting it once.
    #[must_use]
    pub fn wants_rollback(&self) -> Option<Command<Request>> {
        let Phase::Closed { at, because, .. } = &self.phase else { return None };
        let which = match (self.policy.on_failure, &self.origin) {
            // The way back is the end of the way.
            (_, Origin::Rollback { .. } | Origin::Restore { .. }) => return None,
            (OnFailure::RollBackWave, _) => Which::Failed,
            (OnFailure::RollBackRun, _) => Which::All,
            (OnFailure::Halt | OnFailure::Continue, _) => return None,
        };
        if self.no_way_back.as_ref().is_some_and(|none| none.closed_at == *at) {
            return None;
        }
        if !because.is_failure() || self.handed_to.is_some() || self.verdict() != Some(Verdict::Failed) {
            return None;
        }
        let id = "rollback".parse().ok()?;
        let what = Request::Rollback { of: self.run.clone(), which };
        Some(Command { id, at: *at, who: Who::manifold(), why: Some(because.words()), what })
    }

    /// What a newer release makes of this run, if anything.
    pub(super) fn yields_to(&self, newer: &RunId, now: Timestamp) -> Option<Closing> {
        let Phase::Active { .. } = self.phase else { return None };
        if self.ending.is_some() {
            return None;
        }
        if self.policy.newer == Newer::Supersede {
            return Some(Closing::Superseded { by: newer.clone() });
        }
        let Some(Hold::Approval { wave, .. }) = self.hold(now) else { return None };
        let plan = &self.waves.get(wave)?.plan;
        match plan.approval.as_ref()?.newer {
            Lapse::Repoint => Some(Closing::Superseded { by: newer.clone() }),
            Lapse::Expire => Some(Closing::Lapsed { wave: plan.name.clone(), newer: Some(newer.clone()) }),
            Lapse::Keep => None,
        }
    }

    fn stop_holding(&mut self, now: Timestamp) {
        if let Some(since) = self.holding_since.take() {
            self.held = self.held.plus(now.since(since));
        }
    }

    /// The indexes that had their turn last, as many as may be in flight at once: whichever message of theirs was lost, it
    /// is among these.
    #[must_use]
    pub fn latest_unlocked(&self) -> Option<Unlocked> {
        self.active_since()?;
        let wave = self.waves.iter().rev().find(|wave| wave.released > 0)?;
        let end = wave.plan.first + wave.released;
        Some(Unlocked { first: end.saturating_sub(wave.plan.max_concurrent).max(wave.plan.first), end })
    }
}
