//! One event in, new facts and effects out.
//!
//! [`Run::step`] consumes the run and names every arm: an event is taken in, is a tolerated duplicate, or does not
//! belong here. Nothing is sent from here, and nothing is read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::head::{Closing, Head, Phase};
use super::observation::{Learnt, Observation, Observed};
use super::seen::Seen;
use super::status::{Outcome, Status};
use super::target::{Claim, GaveUp, PastAttempt, Reason, ReasonSource, Target, Throttled, Unlocked};
use crate::event::PipelineState;
use crate::ids::{AppName, Attempt, ExecutionId, Nonce, RunId, TargetKey};
use crate::pace::{Api, Turn};
use crate::plan::{Plan, PlannedTarget};
use crate::release::Release;
use crate::time::{Span, Timestamp};

/// How long an attempt is put back and tried again while its account does not answer, before the target is
/// declared unreachable. A *busy* engine is waited for until the run's deadline.
const UNREACHABLE_AFTER: Span = Span::from_minutes(30);
/// So many calls in a row must have been throttled as well: one that waits an hour for its turn among a thousand others
/// and meets the limit again was not refused for an hour.
const UNREACHABLE_CALLS: u32 = 10;
/// The first wait before an attempt that was put back is tried again; it doubles each time.
const FIRST_BACKOFF: Span = Span::from_seconds(5);
/// The longest such wait.
const LONGEST_BACKOFF: Span = Span::from_seconds(300);

/// The runs of one app: at most one is active, and at most one, the newest, waits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AppQueue {
    /// The active run.
    pub current: Option<RunId>,
    /// The run that is next.
    pub next: Option<RunId>,
    /// The newest release that was ever taken in: an older one that arrives late never follows it.
    pub newest: Option<Newest>,
}

/// The newest release of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// Its run.
    pub run: RunId,
    /// When its release pipeline succeeded.
    pub released_at: Timestamp,
}

/// Why an attempt was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Trying again would not help.
    Permanent {
        /// [`Outcome::Failed`] or [`Outcome::Unreachable`].
        outcome: Outcome,
        /// Why.
        reason: Reason,
    },
    /// The engine is at its limit of executions: wait for a free place, until the deadline.
    Busy {
        /// In the engine's words.
        reason: Reason,
    },
    /// A call was throttled, so that nothing was done.
    Throttled {
        /// Which.
        api: Api,
        /// In the engine's words.
        reason: Reason,
    },
    /// The attempt waits for its turn to make a call. What was called before did nothing.
    Wait {
        /// Its turn.
        turn: Turn,
        /// In the engine's words, if a call was throttled.
        throttled: Option<Reason>,
    },
    /// Timed out or not reached: try again, but not for ever.
    Later {
        /// In the engine's words.
        reason: Reason,
    },
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The run before it closed: its turn has come.
    Activated,
    /// A worker wants to start an attempt.
    Claim {
        /// The target, as planned.
        planned: Box<PlannedTarget>,
        /// The attempt that the worker was told to start.
        attempt: Attempt,
        /// The worker's own mark.
        nonce: Nonce,
        /// How long the worker may take.
        lease: Span,
    },
    /// The worker started an execution, or found the one that an earlier worker started.
    Started {
        /// Where.
        target: TargetKey,
        /// Which attempt.
        attempt: Attempt,
        /// What.
        execution: ExecutionId,
    },
    /// The attempt must not be started any more, and no earlier worker had started it.
    NotFound {
        /// Where.
        target: TargetKey,
        /// Which attempt.
        attempt: Attempt,
    },
    /// The attempt could not be started.
    Refused {
        /// Where.
        target: TargetKey,
        /// Which attempt.
        attempt: Attempt,
        /// Why.
        refusal: Refusal,
    },
    /// The engine told something.
    Observed(Box<Observation>),
    /// The engine was asked why an execution failed.
    Explained {
        /// Where.
        target: TargetKey,
        /// Of which execution.
        execution: ExecutionId,
        /// The answer.
        reason: Reason,
    },
    /// The deadline passed; these targets had their turn and have not ended.
    DeadlinePassed {
        /// They are, as planned.
        silent: Vec<PlannedTarget>,
    },
}

/// What became of an event. Handlers log it and count it; nothing branches on it but the start of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Facts changed.
    Changed,
    /// Nothing new. The effects of the first arrival are derived again.
    Duplicate,
    /// The attempt is the caller's.
    Claimed {
        /// Whether it may have been started before, by a worker that died or a call that seemed to fail: look
        /// for its execution first.
        look_first: bool,
        /// Whether it may be started if it was not. Else tell [`Event::NotFound`].
        may_start: bool,
    },
    /// Another worker is at it until then; come back later.
    Held {
        /// The end of its lease.
        until: Timestamp,
    },
    /// It waits for its turn until then; its message is sent again.
    Early {
        /// When its turn is.
        until: Timestamp,
    },
    /// There is nothing left to start: it was started, it ended, or the run is over.
    TooLate,
    /// It does not belong here, and changes nothing.
    Stray(&'static str),
}

/// What is to be done next. Every effect may be performed any number of times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Have a worker start an attempt.
    Start {
        /// The run.
        run: RunId,
        /// The target's index in the plan.
        index: u32,
        /// The attempt.
        attempt: Attempt,
        /// Not before this much time has passed.
        delay: Span,
    },
    /// Ask the engine why an execution failed.
    Explain {
        /// The run.
        run: RunId,
        /// The target.
        target: TargetKey,
        /// The execution.
        execution: ExecutionId,
    },
    /// Bring the summary up to date.
    Summarize {
        /// The run.
        run: RunId,
    },
    /// Tell a run that its turn has come.
    Activate {
        /// The run.
        run: RunId,
    },
}

/// What a step changed, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Step {
    /// The head, if it changed.
    pub head: Option<Head>,
    /// The app's queue, if it changed.
    pub queue: Option<AppQueue>,
    /// The targets that changed.
    pub targets: Vec<Target>,
    /// Whether the run is to be put, in the same commit, among those that are looked after (`sweep`): it was opened, or
    /// changed after its verdict, which may have been told and the run forgotten.
    pub watch: bool,
    /// What to do once the changes are committed.
    pub effects: Vec<Effect>,
}

/// A run in memory: its head, its app's queue and those of its targets that the events at hand concern.
#[derive(Debug, Clone)]
pub struct Run {
    head: Head,
    queue: AppQueue,
    targets: BTreeMap<TargetKey, Target>,
    before: (Option<Head>, AppQueue),
    changed: BTreeSet<TargetKey>,
    effects: BTreeSet<Effect>,
}

/// What opening a run yields.
#[derive(Debug)]
pub struct Opened {
    /// The run, with its first targets released if it is active.
    pub run: Run,
    /// The run that waited, and whose place it takes: close it with [`Run::overtake`] in the same commit.
    pub overtakes: Option<RunId>,
}

impl Run {
    /// From what is stored.
    #[must_use]
    pub fn load(head: Head, queue: AppQueue, targets: impl IntoIterator<Item = Target>) -> Self {
        Self {
            before: (Some(head.clone()), queue.clone()),
            head,
            queue,
            targets: targets.into_iter().map(|target| (target.key.clone(), target)).collect(),
            changed: BTreeSet::new(),
            effects: BTreeSet::new(),
        }
    }

    /// Opens a run. It is active at once if no other run of the app is; else it waits, and takes the place of
    /// one that waited already. A release that is older than the newest one taken in is closed at once.
    #[must_use]
    pub fn open(run: RunId, app: AppName, release: Release, plan: &Plan, queue: AppQueue, now: Timestamp) -> Opened {
        let before = queue.clone();
        let mut queue = queue;
        let released_at = release.released_at;
        let newer = queue.newest.clone().filter(|newest| newest.released_at > released_at && newest.run != run);
        let behind = queue.current.clone().filter(|current| *current != run);
        let mut head = Head::open(run.clone(), app, release, plan, behind.clone(), now);
        let mut overtakes = None;
        if let Some(newer) = newer {
            head.phase = Phase::Closed { since: None, at: now, because: Closing::Overtaken { by: newer.run } };
        } else {
            queue.newest = Some(Newest { run: run.clone(), released_at });
            if behind.is_some() {
                overtakes = queue.next.replace(run.clone()).filter(|next| *next != run);
                head.overtook = overtakes.clone();
            } else {
                queue.current = Some(run.clone());
            }
        }
        let mut opened = Self {
            before: (None, before),
            head,
            queue,
            targets: BTreeMap::new(),
            changed: BTreeSet::new(),
            effects: BTreeSet::new(),
        };
        let unlocked = opened.head.advance(now);
        opened.emit_starts(unlocked);
        opened.emit_overtook();
        opened.emit_summarize();
        Opened { run: opened, overtakes }
    }

    /// The effects of opening, derived again for a release event that arrives twice.
    #[must_use]
    pub fn opened_again(mut self) -> Self {
        self.emit_starts(self.head.first_unlocked());
        self.emit_closing();
        self.emit_overtook();
        self.emit_summarize();
        self
    }

    /// Closes a run that waited, because a newer release took its place.
    #[must_use]
    pub fn overtake(mut self, by: RunId, now: Timestamp) -> Self {
        match self.head.phase {
            Phase::Waiting { .. } => {
                self.head.phase = Phase::Closed { since: None, at: now, because: Closing::Overtaken { by } };
                self.emit_summarize();
            }
            Phase::Active { .. } | Phase::Closed { .. } => {}
        }
        self
    }

    /// The head as it is now.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// One of the loaded targets.
    #[must_use]
    pub fn target(&self, key: &TargetKey) -> Option<&Target> {
        self.targets.get(key)
    }

    /// Takes one event in.
    #[must_use]
    pub fn step(mut self, event: Event, now: Timestamp) -> (Self, Told) {
        let told = match event {
            Event::Activated => self.activate(now),
            Event::Claim { planned, attempt, nonce, lease } => self.claim(&planned, attempt, nonce, lease, now),
            Event::Started { target, attempt, execution } => self.started(&target, attempt, execution, now),
            Event::NotFound { target, attempt } => self.not_found(&target, attempt, now),
            Event::Refused { target, attempt, refusal } => self.refused(&target, attempt, refusal, now),
            Event::Observed(observation) => self.observed(*observation, now),
            Event::Explained { target, execution, reason } => self.explained(&target, &execution, reason),
            Event::DeadlinePassed { silent } => self.deadline_passed(&silent, now),
        };
        (self, told)
    }

    /// What changed since [`Run::load`], and what follows.
    pub fn finish(mut self) -> Step {
        let (head, queue) = self.before;
        let is_new = head.is_none();
        let is_open = self.head.verdict().is_none();
        let is_changed = head.as_ref() != Some(&self.head) || !self.changed.is_empty();
        let changed_late = is_changed && head.as_ref().is_some_and(|before| before.verdict().is_some());
        let adopted = is_open && !self.head.watched;
        self.head.watched |= adopted;
        let mut targets = self.targets;
        let mut effects = self.effects;
        if self.head.is_closed() {
            // Whatever asked for a start before the same step closed the run.
            effects.retain(|effect| !matches!(effect, Effect::Start { .. }));
        }
        Step {
            head: (head.as_ref() != Some(&self.head)).then_some(self.head),
            queue: (self.queue != queue).then_some(self.queue),
            targets: self.changed.iter().filter_map(|key| targets.remove(key)).collect(),
            watch: is_new || changed_late || adopted,
            effects: effects.into_iter().collect(),
        }
    }

    fn activate(&mut self, now: Timestamp) -> Told {
        match self.head.phase {
            Phase::Waiting { .. } => {
                self.head.phase = Phase::Active { since: now };
                let unlocked = self.head.advance(now);
                self.emit_starts(unlocked);
                self.emit_summarize();
                Told::Changed
            }
            Phase::Active { .. } => {
                self.emit_starts(self.head.first_unlocked());
                Told::Duplicate
            }
            Phase::Closed { .. } => Told::Duplicate,
        }
    }

    fn claim(&mut self, planned: &PlannedTarget, attempt: Attempt, nonce: Nonce, lease: Span, now: Timestamp) -> Told {
        if !self.head.is_released(planned.index) {
            return Told::Stray("its turn has not come");
        }
        let mut target = self.targets.get(&planned.key).cloned().unwrap_or_else(|| Target::queued(planned));
        if target.attempt != attempt {
            // The message that began the next attempt may have been lost with the worker that this one comes back from.
            self.derive_again(&target);
            return Told::TooLate;
        }
        let may_start = !self.must_not_start(now) && target.gave_up.is_none();
        match (target.status(), &target.claim) {
            (Status::Queued, _) => {}
            (Status::Starting, Some(claim)) if claim.nonce == nonce => {
                return Told::Claimed { look_first: target.may_have_been_started(), may_start };
            }
            (Status::Starting, Some(claim)) if claim.lease_until > now => {
                return Told::Held { until: claim.lease_until };
            }
            (Status::Starting, _) => target.taken_over = true,
            // Given up although it may have been started. What runs there must not stay unknown.
            (Status::Ended(_), Some(claim)) if target.is_unaccounted_for() && claim.lease_until > now => {
                return Told::Held { until: claim.lease_until };
            }
            (Status::Ended(_), _) if target.is_unaccounted_for() => {
                self.derive_again(&target);
                target.taken_over = true;
            }
            (Status::Waiting | Status::Running | Status::Stopping | Status::Ended(_), _) => {
                self.derive_again(&target);
                return Told::TooLate;
            }
        };
        let look_first = target.may_have_been_started();
        // What may have been started is to be found, not skipped.
        if !look_first && !may_start {
            self.skip(target, now);
            return Told::TooLate;
        }
        if let (Status::Queued, Some(turn)) = (target.status(), target.turn)
            && turn.at > now
            && may_start
        {
            self.start_at(&target, turn.at, now);
            return Told::Early { until: turn.at };
        }
        target.first_claimed_at.get_or_insert(now);
        target.claim = Some(Claim { nonce, at: now, lease_until: now.plus(lease) });
        self.put(target);
        Told::Claimed { look_first, may_start }
    }

    fn not_found(&mut self, key: &TargetKey, attempt: Attempt, now: Timestamp) -> Told {
        let Some(mut target) = self.targets.get(key).cloned() else { return Told::Stray("no such target") };
        if target.attempt == attempt && target.is_unaccounted_for() {
            target.was_not_started();
            self.put(target);
            return Told::Changed;
        }
        if target.attempt != attempt || target.status() != Status::Starting {
            self.derive_again(&target);
            return Told::TooLate;
        }
        self.skip(target, now);
        Told::Changed
    }

    /// Ends a target that was not started and must not be any more.
    fn skip(&mut self, mut target: Target, now: Timestamp) {
        let before = target.status();
        target.was_not_started();
        let halted = self.head.is_closed() || self.head.wave_over_tolerance().is_some();
        if let (true, Some(last)) = (halted, target.past.last()) {
            // It had its chance: what failed is not told as skipped because it can't be tried again.
            target.reason = last.reason.clone();
            target.gave_up = Some(GaveUp { outcome: Outcome::Failed, at: now });
        } else if halted {
            target.gave_up = Some(GaveUp { outcome: Outcome::Skipped, at: now });
        } else {
            self.time_out(&mut target, now);
        }
        self.settle(target, before, now);
    }

    /// Ends a target that the deadline found unfinished.
    fn time_out(&self, target: &mut Target, now: Timestamp) {
        target.gave_up = Some(GaveUp { outcome: Outcome::TimedOut, at: now });
        if target.reason.is_none() {
            let waited = target.turn.filter(|_| target.execution.is_none());
            let what = waited.map_or("answer".to_owned(), |turn| format!("turn at {}", turn.api.service()));
            target.reason = Some(Reason {
                cause: format!("No {what} before the deadline of {}", self.head.deadline),
                detail: None,
                link: None,
                source: ReasonSource::Manifold,
                attempt: 0,
            });
        }
    }

    /// Whether a target that is not started yet must stay so.
    fn must_not_start(&self, now: Timestamp) -> bool {
        self.head.is_closed()
            || self.head.wave_over_tolerance().is_some()
            || self.head.due_at().is_some_and(|due| due <= now)
    }

    fn started(&mut self, key: &TargetKey, attempt: Attempt, execution: ExecutionId, now: Timestamp) -> Told {
        let Some(mut target) = self.targets.get(key).cloned() else { return Told::Stray("no such target") };
        if target.attempt != attempt {
            self.derive_again(&target);
            return Told::TooLate;
        }
        match &target.execution {
            Some(known) if *known == execution => {
                self.derive_again(&target);
                Told::Duplicate
            }
            Some(_) => Told::Stray("another execution is recorded for this attempt"),
            None => {
                let before = target.status();
                target.execution = Some(execution);
                target.started_at.get_or_insert(now);
                target.turn = None;
                self.settle(target, before, now);
                Told::Changed
            }
        }
    }

    fn refused(&mut self, key: &TargetKey, attempt: Attempt, refusal: Refusal, now: Timestamp) -> Told {
        let Some(mut target) = self.targets.get(key).cloned() else { return Told::Stray("no such target") };
        if target.attempt != attempt || target.execution.is_some() || target.status().outcome().is_some() {
            return Told::TooLate;
        }
        let before = target.status();
        let is_throttled = match &refusal {
            Refusal::Later { .. } => {
                target.unanswered_since = target.unanswered_since.or(Some(now));
                false
            }
            // A busy engine does answer.
            Refusal::Busy { .. } | Refusal::Permanent { .. } => {
                target.unanswered_since = None;
                false
            }
            // Who waits has not asked.
            Refusal::Wait { throttled, .. } => throttled.is_some(),
            Refusal::Throttled { .. } => true,
        };
        let is_waiting = matches!(refusal, Refusal::Wait { throttled: None, .. });
        if is_throttled {
            let before = target.throttled.unwrap_or(Throttled { since: now, calls: 0 });
            target.throttled = Some(Throttled { calls: before.calls.saturating_add(1), ..before });
        } else if !is_waiting {
            target.throttled = None;
        }
        let long_ago = |since: Timestamp| now.since(since) >= UNREACHABLE_AFTER;
        let refused_for_long = |known: Throttled| known.calls >= UNREACHABLE_CALLS && long_ago(known.since);
        let unreachable = match is_throttled {
            true => target.throttled.is_some_and(refused_for_long),
            false => target.unanswered_since.is_some_and(long_ago),
        };
        let past_due = self.head.due_at().is_some_and(|due| due <= now);
        match refusal {
            Refusal::Permanent { outcome, reason } => {
                if !target.may_have_been_started() {
                    target.claim = None;
                }
                target.reason = Some(reason);
                target.gave_up = Some(GaveUp { outcome, at: now });
            }
            Refusal::Later { reason }
            | Refusal::Throttled { reason, .. }
            | Refusal::Wait { throttled: Some(reason), .. }
                if unreachable || past_due =>
            {
                target.reason = Some(reason);
                target.gave_up = Some(GaveUp { outcome: Outcome::Unreachable, at: now });
            }
            Refusal::Busy { reason } if past_due => {
                target.reason = Some(reason);
                target.gave_up = Some(GaveUp { outcome: Outcome::TimedOut, at: now });
            }
            Refusal::Wait { turn, throttled } => {
                target.reason = throttled.or(target.reason.take());
                target.claim = None;
                target.turn = Some(turn);
                target.start_due_at = Some(turn.at);
                if turn.api == Api::StartPipelineExecution {
                    // Whatever may have been started before was looked for, and nothing was found.
                    target.taken_over = false;
                    target.put_back = 0;
                }
                if past_due {
                    self.time_out(&mut target, now);
                } else {
                    self.start_at(&target, turn.at, now);
                }
            }
            Refusal::Busy { reason } | Refusal::Later { reason } | Refusal::Throttled { reason, .. } => {
                target.reason = Some(reason);
                target.claim = None;
                target.turn = None;
                let delay = backoff(&self.head.run, key, target.put_back);
                target.put_back = target.put_back.saturating_add(1);
                target.start_due_at = Some(now.plus(delay));
                self.effects.insert(Effect::Start { run: self.head.run.clone(), index: target.index, attempt, delay });
            }
        }
        self.settle(target, before, now);
        Told::Changed
    }

    /// Has the attempt's message come at a time.
    fn start_at(&mut self, target: &Target, at: Timestamp, now: Timestamp) {
        self.effects.insert(Effect::Start {
            run: self.head.run.clone(),
            index: target.index,
            attempt: target.attempt,
            delay: at.since(now),
        });
    }

    fn observed(&mut self, observation: Observation, now: Timestamp) -> Told {
        let Some(mut target) = self.targets.get(&observation.target).cloned() else {
            return Told::Stray("no such target in this run");
        };
        if target.pipeline != observation.pipeline {
            return Told::Stray("another pipeline of the account");
        }
        match &target.execution {
            Some(current) if *current == observation.execution => {}
            _ if target.past.iter().any(|past| past.execution.as_ref() == Some(&observation.execution)) => {
                self.derive_again(&target);
                return Told::Duplicate;
            }
            Some(_) => return Told::Stray("an execution that this run did not start"),
            None if observation.started_by.as_deref().and_then(RunId::from_session_arn).as_ref()
                == Some(&self.head.run)
                && target.first_claimed_at.is_some() =>
            {
                // The event was faster than the worker's own record, or the worker died before it.
                target.execution = Some(observation.execution.clone());
                target.started_at = Some(observation.at);
            }
            None => return Told::Stray("an execution that this run did not start"),
        }
        let before = self.targets.get(&observation.target).map_or(Status::Queued, Target::status);
        let unchanged = target.clone();
        match observation.what {
            Observed::State { state, attempt, comments } => {
                observe_state(&mut target, state, attempt, comments, observation.at)
            }
            Observed::ActionFailed { reason } => merge_reason(&mut target, reason),
        }
        let has_ended = |target: &Target| target.seen.as_ref().is_some_and(|seen| seen.status().outcome().is_some());
        if observation.learnt == Learnt::ByAsking && has_ended(&target) && !has_ended(&unchanged) {
            target.asked_for = target.asked_for.saturating_add(1);
        }
        if target == unchanged && self.targets.get(&target.key) == Some(&target) {
            self.derive_again(&target);
            return Told::Duplicate;
        }
        self.settle(target, before, now);
        Told::Changed
    }

    fn explained(&mut self, key: &TargetKey, execution: &ExecutionId, reason: Reason) -> Told {
        let Some(mut target) = self.targets.get(key).cloned() else { return Told::Stray("no such target") };
        if target.execution.as_ref() != Some(execution) {
            return Told::TooLate;
        }
        let before = target.reason.clone();
        merge_reason(&mut target, reason);
        self.emit_summarize();
        if target.reason == before {
            return Told::Duplicate;
        }
        self.put(target);
        Told::Changed
    }

    fn deadline_passed(&mut self, silent: &[PlannedTarget], now: Timestamp) -> Told {
        if self.head.due_at().is_none_or(|due| now < due) {
            return Told::Duplicate;
        }
        // A closed run has something in flight only if it was retried in its own account: that must end as well.
        let closed = self.head.is_closed();
        for planned in silent {
            if !self.head.is_released(planned.index) {
                continue;
            }
            let mut target = self.targets.get(&planned.key).cloned().unwrap_or_else(|| Target::queued(planned));
            let before = target.status();
            if before.outcome().is_some() {
                continue;
            }
            self.time_out(&mut target, now);
            self.settle(target, before, now);
        }
        self.settle_head(now);
        self.emit_summarize();
        if closed && self.changed.is_empty() { Told::Duplicate } else { Told::Changed }
    }

    /// Takes a changed target in: another attempt if it has one left, else its outcome is counted and the next
    /// targets get their turn.
    fn settle(&mut self, mut target: Target, before: Status, now: Timestamp) {
        let failed = target.seen.as_ref().is_some_and(|seen| *seen.state() == PipelineState::Failed);
        if failed && target.gave_up.is_none() && target.attempt.0 < self.head.max_attempts && !self.must_not_start(now)
        {
            target.past.push(PastAttempt {
                attempt: target.attempt,
                execution: target.execution.take(),
                reason: target.reason.take(),
            });
            target.attempt = target.attempt.next();
            target.put_back = 0;
            target.first_claimed_at = None;
            target.unanswered_since = None;
            target.claim = None;
            target.taken_over = false;
            target.start_due_at = Some(now);
            target.turn = None;
            target.throttled = None;
            target.started_at = None;
            target.seen = None;
        }
        let after = target.status();
        let closed = self.head.is_closed();
        self.head.recount(target.wave, before, after);
        if closed && before.outcome().is_some() && after.outcome().is_none() {
            target.reopened_after_close = true;
            self.head.reopened_at = Some(now);
        }
        if let Some(unlocked) = self.settle_head(now) {
            target.unlocked = Some(match target.unlocked {
                Some(known) => Unlocked { first: known.first.min(unlocked.first), end: known.end.max(unlocked.end) },
                None => unlocked,
            });
        }
        self.derive_again(&target);
        self.put(target);
    }

    /// Advances the head and, if that closed the run, hands over to the next one.
    fn settle_head(&mut self, now: Timestamp) -> Option<Unlocked> {
        let unlocked = self.head.advance(now);
        if self.head.is_closed() && self.queue.current.as_ref() == Some(&self.head.run) {
            self.queue.current = self.queue.next.take();
            self.head.handed_to = self.queue.current.clone();
        }
        self.emit_closing();
        unlocked
    }

    /// The effects that follow from a target's facts, whether they are new or told again.
    fn derive_again(&mut self, target: &Target) {
        self.emit_starts(target.unlocked);
        let is_waiting = target.put_back > 0 || target.turn.is_some();
        if target.attempt > Attempt::FIRST && target.status() == Status::Queued && !is_waiting {
            self.effects.insert(Effect::Start {
                run: self.head.run.clone(),
                index: target.index,
                attempt: target.attempt,
                delay: Span::from_millis(0),
            });
        }
        if let (true, Some(execution)) = (target.is_unexplained(), target.execution.clone()) {
            self.effects.insert(Effect::Explain { run: self.head.run.clone(), target: target.key.clone(), execution });
        }
        self.emit_closing();
        self.emit_summarize();
    }

    fn emit_starts(&mut self, unlocked: Option<Unlocked>) {
        let Some(Unlocked { first, end }) = unlocked else { return };
        for index in first..end {
            self.effects.insert(Effect::Start {
                run: self.head.run.clone(),
                index,
                attempt: Attempt::FIRST,
                delay: Span::from_millis(0),
            });
        }
    }

    fn emit_closing(&mut self) {
        if let Some(next) = self.head.handed_to.clone() {
            self.effects.insert(Effect::Activate { run: next });
        }
    }

    /// The run that was overtaken is closed in the commit that opens this one, so its last word is this one's to send.
    fn emit_overtook(&mut self) {
        if let Some(run) = self.head.overtook.clone() {
            self.effects.insert(Effect::Summarize { run });
        }
    }

    fn emit_summarize(&mut self) {
        self.effects.insert(Effect::Summarize { run: self.head.run.clone() });
    }

    fn put(&mut self, target: Target) {
        self.changed.insert(target.key.clone());
        self.targets.insert(target.key.clone(), target);
    }
}

fn observe_state(
    target: &mut Target,
    state: PipelineState,
    attempt: Option<u32>,
    comments: Option<String>,
    at: Timestamp,
) {
    if matches!(state, PipelineState::Stopping | PipelineState::Stopped) {
        let reason = Reason {
            cause: "Stopped in the target account".to_owned(),
            detail: comments,
            link: None,
            source: ReasonSource::Event,
            attempt: attempt.unwrap_or(1),
        };
        merge_reason(target, reason);
    }
    match Seen::new(state.clone(), attempt, at) {
        Some(seen) => {
            target.seen = Some(match target.seen.take() {
                Some(known) => known.merge(seen),
                None => seen,
            });
        }
        None => target.unrecognised = Some(state.to_string()),
    }
}

fn merge_reason(target: &mut Target, reason: Reason) {
    target.reason = Some(match target.reason.take() {
        // What delayed the start explains nothing once there is an execution.
        Some(known) if known.source != ReasonSource::Manifold => known.merge(reason),
        Some(_) | None => reason,
    });
}

/// Exponential, with a jitter that is a function of the target, so that a thousand of them don't come back at once.
fn backoff(run: &RunId, key: &TargetKey, put_back: u32) -> Span {
    let doubled = FIRST_BACKOFF.as_millis() << put_back.min(8);
    let longest = doubled.min(LONGEST_BACKOFF.as_millis());
    // FNV-1a: stable across versions and machines, unlike the standard library's hasher.
    let hash = format!("{run}/{key}/{put_back}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let jitter = i64::try_from(hash % 1000).unwrap_or(0);
    Span::from_millis(longest / 2 + longest / 2 * jitter / 1000)
}
