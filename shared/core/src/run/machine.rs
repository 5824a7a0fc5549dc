//! One event in, new facts and effects out.
//!
//! [`Run::step`] consumes the run and names every arm: an event is taken in, is a tolerated duplicate, or does not
//! belong here. Nothing is sent from here, and nothing is read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::head::{Closing, Ending, Head, NoWayBack, Phase, Verdict, Wave};
use super::observation::{Learnt, Observation, Observed};
use super::seen::Seen;
use super::status::{Outcome, Status};
use super::target::{Claim, GaveUp, Heard, PastAttempt, Reason, ReasonSource, Target, Throttled, Unlocked};
use crate::control::{Answer, Command, Decision, Mark, Order, Origin, Request, Who};
use crate::engine::Subject;
use crate::event::PipelineState;
use crate::figures::{self, Failing, Figure};
use crate::ids::{AppName, Attempt, ExecutionId, Nonce, RunId, TargetKey};
use crate::known::{Good, Known};
use crate::ledger::Opening;
use crate::pace::{Api, Turn};
use crate::plan::{Newer, Plan, PlannedTarget};
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
    /// That the newest change failed, and nothing good came since: what the time to restore is counted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
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
    /// What is started has to be prepared first, and the engine is at it: come again, until the deadline.
    Preparing {
        /// In the engine's words.
        reason: Reason,
        /// After how long.
        again: Span,
    },
    /// Timed out or not reached: try again, but not for ever.
    Later {
        /// In the engine's words.
        reason: Reason,
    },
}

impl Refusal {
    /// Why, if that is told.
    #[must_use]
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Permanent { reason, outcome: _ }
            | Self::Busy { reason }
            | Self::Throttled { reason, api: _ }
            | Self::Preparing { reason, again: _ }
            | Self::Later { reason } => Some(reason),
            Self::Wait { throttled, turn: _ } => throttled.as_ref(),
        }
    }

    /// Why, in one line.
    #[must_use]
    pub fn words(&self) -> String {
        self.reason().map_or_else(|| "A call waits for its turn".to_owned(), Reason::words)
    }
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
    /// The engine says that the target has the release already: there was nothing to start.
    Current {
        /// Where.
        target: TargetKey,
        /// Which attempt.
        attempt: Attempt,
        /// What would have been its execution.
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
    /// Time went by: what the run holds for may be over.
    Advanced,
    /// A newer release was taken in.
    Newer {
        /// Its run.
        run: RunId,
    },
    /// An operator decided something.
    Commanded(Box<Command<Order>>),
    /// The way back that the policy wanted is not taken.
    NoWayBack(NoWayBack),
    /// Somebody looked at the alarms of a wave.
    Alarms {
        /// The wave's position.
        wave: u32,
        /// When the look began.
        began: Timestamp,
        /// What was seen.
        seen: AlarmsSeen,
    },
}

/// What a look at a wave's alarms came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmsSeen {
    /// All of them were seen, and none is in ALARM.
    Clear,
    /// One is.
    Firing {
        /// Where.
        target: TargetKey,
        /// Its name.
        alarm: String,
    },
    /// They could not all be seen.
    Unknown {
        /// Why.
        reason: String,
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
    /// Another target of its account or Region goes first; its message comes again when that one has ended.
    Behind {
        /// Which.
        target: TargetKey,
    },
    /// An operator's command was carried out, or refused.
    Decided(Answer),
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
    /// Look at a run again once a hold may be over.
    Advance {
        /// The run.
        run: RunId,
        /// Not before this much time has passed.
        delay: Span,
    },
    /// Look at the alarms of a wave.
    Alarms {
        /// The run.
        run: RunId,
        /// The wave's position.
        wave: u32,
        /// When the look began.
        began: Timestamp,
        /// The index of the target to begin with.
        from: u32,
    },
    /// Stop what runs.
    Stop {
        /// The run.
        run: RunId,
    },
    /// Open a run that the policy wants.
    Open {
        /// What for.
        request: Box<Command<Request>>,
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
    /// The decisions that were made.
    pub decisions: Vec<Decision>,
    /// What is known to be deployed in a target, where that changed.
    pub known: Vec<Known>,
    /// That the run was opened.
    pub opening: Option<Opening>,
    /// What to do once the changes are committed.
    pub effects: Vec<Effect>,
    /// What is measured once the changes are committed: by whoever committed them, and never again.
    pub figures: Vec<Figure>,
}

/// A run in memory: its head, its app's queue and those of its targets that the events at hand concern.
#[derive(Debug, Clone)]
pub struct Run {
    head: Head,
    queue: AppQueue,
    targets: BTreeMap<TargetKey, Target>,
    before: (Option<Head>, AppQueue),
    changed: BTreeSet<TargetKey>,
    known: BTreeMap<TargetKey, Known>,
    learnt: BTreeSet<TargetKey>,
    succeeded: BTreeSet<TargetKey>,
    at: Option<Timestamp>,
    decisions: Vec<Decision>,
    opening: Option<Opening>,
    effects: BTreeSet<Effect>,
}

/// A run that is to be opened.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Its id.
    pub run: RunId,
    /// The app.
    pub app: AppName,
    /// The release.
    pub release: Release,
    /// What it is for.
    pub origin: Origin,
    /// Its plan.
    pub plan: &'a Plan,
}

impl<'a> Wanted<'a> {
    /// A run of a release.
    #[must_use]
    pub const fn release(run: RunId, app: AppName, release: Release, plan: &'a Plan) -> Self {
        Self { run, app, release, origin: Origin::Release, plan }
    }
}

/// What opening a run yields.
#[derive(Debug)]
pub struct Opened {
    /// The run, with its first targets released if it is active.
    pub run: Run,
    /// The run that waited, and whose place it takes: close it with [`Run::overtake`] in the same commit.
    pub overtakes: Option<RunId>,
    /// The run that is under way: tell it of the newer one with [`Event::Newer`], best in the same commit.
    pub behind: Option<RunId>,
}

impl Run {
    /// From what is stored.
    #[must_use]
    pub fn load(head: Head, queue: AppQueue, targets: impl IntoIterator<Item = Target>) -> Self {
        Self { before: (Some(head.clone()), queue.clone()), ..Self::new(head, queue, targets) }
    }

    fn new(head: Head, queue: AppQueue, targets: impl IntoIterator<Item = Target>) -> Self {
        Self {
            before: (None, queue.clone()),
            head,
            queue,
            targets: targets.into_iter().map(|target| (target.key.clone(), target)).collect(),
            changed: BTreeSet::new(),
            known: BTreeMap::new(),
            learnt: BTreeSet::new(),
            succeeded: BTreeSet::new(),
            at: None,
            decisions: Vec::new(),
            opening: None,
            effects: BTreeSet::new(),
        }
    }

    /// With what is known to be deployed in its targets: a success is taken in there, too.
    #[must_use]
    pub fn knowing(mut self, known: impl IntoIterator<Item = Known>) -> Self {
        self.known.extend(known.into_iter().map(|known| (known.target.clone(), known)));
        self
    }

    /// Opens a run. It is active at once if no other run of the app is; else it waits, and takes the place of
    /// one that waited already, or is refused, as the app says. A release that is older than the newest one taken in is
    /// closed at once; going back is no release.
    #[must_use]
    pub fn open(wanted: Wanted<'_>, queue: AppQueue, now: Timestamp) -> Opened {
        let Wanted { run, app, release, origin, plan } = wanted;
        let before = queue.clone();
        let mut queue = queue;
        let released_at = release.released_at;
        let goes_back = origin.goes_back();
        let newer =
            (queue.newest.clone()).filter(|newest| newest.released_at > released_at && newest.run != run && !goes_back);
        let mut behind = queue.current.clone().filter(|current| *current != run);
        let mut head = Head::open(run.clone(), app, release, plan, origin, behind.clone(), now);
        let mut overtakes = None;
        if let Some(newer) = newer {
            head.phase = Phase::Closed { since: None, at: now, because: Closing::Overtaken { by: newer.run } };
            behind = None;
        } else if let (Some(current), Newer::Refuse) = (&behind, plan.policy.newer) {
            let because = Closing::Refused { behind: current.clone() };
            head.phase = Phase::Closed { since: None, at: now, because };
            behind = None;
        } else {
            if !goes_back {
                queue.newest = Some(Newest { run: run.clone(), released_at });
            }
            if behind.is_some() {
                overtakes = queue.next.replace(run.clone()).filter(|next| *next != run);
                head.overtook = overtakes.clone();
            } else {
                queue.current = Some(run.clone());
            }
        }
        let mut opened = Self { before: (None, before), ..Self::new(head, queue, []) };
        opened.opening = Some(Opening { run, at: now });
        opened.decide_opened(now);
        let unlocked = opened.settle_head(now);
        opened.emit_starts(unlocked);
        opened.emit_overtook();
        opened.emit_summarize();
        Opened { run: opened, overtakes, behind }
    }

    fn decide_opened(&mut self, now: Timestamp) {
        let what = match &self.head.origin {
            Origin::Release => "opened".to_owned(),
            Origin::Start { by } => format!("started by {by}"),
            Origin::Retry { of, by } => format!("retry of {of}, wanted by {by}"),
            Origin::Rollback { of, by } => format!("rollback of {of}, wanted by {by}"),
            Origin::Restore { of, by } => {
                format!("back to the last good release after drift check {of}, wanted by {by}")
            }
        };
        self.decisions.push(Decision::own("0-opened", what, now));
    }

    /// The effects of opening, derived again for a release event that arrives twice.
    #[must_use]
    pub fn opened_again(mut self) -> Self {
        self.emit_starts(self.head.latest_unlocked());
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
                let because = Closing::Overtaken { by };
                self.decisions.push(Decision::own("9-closed", because.words(), now));
                self.head.phase = Phase::Closed { since: None, at: now, because };
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
        self.at = Some(now);
        let told = match event {
            Event::Activated => self.activate(now),
            Event::Claim { planned, attempt, nonce, lease } => self.claim(&planned, attempt, nonce, lease, now),
            Event::Started { target, attempt, execution } => self.started(&target, attempt, execution, now),
            Event::Current { target, attempt, execution } => self.current(&target, attempt, execution, now),
            Event::NotFound { target, attempt } => self.not_found(&target, attempt, now),
            Event::Refused { target, attempt, refusal } => self.refused(&target, attempt, refusal, now),
            Event::Observed(observation) => self.observed(*observation, now),
            Event::Explained { target, execution, reason } => self.explained(&target, &execution, reason),
            Event::DeadlinePassed { silent } => self.deadline_passed(&silent, now),
            Event::Advanced => self.advanced(now),
            Event::Newer { run } => self.newer(&run, now),
            Event::Commanded(command) => self.commanded(&command, now),
            Event::NoWayBack(none) => self.no_way_back(none),
            Event::Alarms { wave, began, seen } => self.alarms(wave, began, seen, now),
        };
        (self, told)
    }

    /// What changed since [`Run::load`], and what follows.
    pub fn finish(mut self) -> Step {
        let (head, queue) = self.before;
        let succeeded: Vec<&Target> = self.succeeded.iter().filter_map(|key| self.targets.get(key)).collect();
        // Without an event nothing has happened.
        let figures = self.at.map_or_else(Vec::new, |at| {
            let failing = self.queue.failing.take();
            let measured = figures::told(head.as_ref(), &self.head, failing, &succeeded, at);
            self.queue.failing = measured.failing;
            measured.figures
        });
        let is_new = head.is_none();
        let is_open = self.head.verdict().is_none();
        let is_changed = head.as_ref() != Some(&self.head) || !self.changed.is_empty();
        let changed_late = is_changed && head.as_ref().is_some_and(|before| before.verdict().is_some());
        let adopted = is_open && !self.head.watched;
        self.head.watched |= adopted;
        let mut targets = self.targets;
        let mut effects = self.effects;
        if self.head.is_closed() || self.head.ending.is_some() {
            // Whatever asked for a start before the same step closed the run, or was to end it.
            effects.retain(|effect| !matches!(effect, Effect::Start { .. }));
        }
        let mut known = self.known;
        Step {
            head: (head.as_ref() != Some(&self.head)).then_some(self.head),
            queue: (self.queue != queue).then_some(self.queue),
            targets: self.changed.iter().filter_map(|key| targets.remove(key)).collect(),
            watch: is_new || changed_late || adopted,
            decisions: self.decisions,
            known: self.learnt.iter().filter_map(|key| known.remove(key)).collect(),
            opening: self.opening,
            effects: effects.into_iter().collect(),
            figures,
        }
    }

    /// The message tells of it: else the way back would be waited for.
    fn no_way_back(&mut self, none: NoWayBack) -> Told {
        let told = if self.head.no_way_back.as_ref() == Some(&none) {
            Told::Duplicate
        } else if self.head.wants_rollback().is_some_and(|wanted| wanted.at == none.closed_at) {
            self.head.no_way_back = Some(none);
            Told::Changed
        } else {
            // It has gone on since.
            return Told::TooLate;
        };
        self.emit_summarize();
        told
    }

    fn activate(&mut self, now: Timestamp) -> Told {
        match self.head.phase {
            Phase::Waiting { .. } => {
                self.head.phase = Phase::Active { since: now };
                let unlocked = self.settle_head(now);
                self.emit_starts(unlocked);
                self.emit_summarize();
                Told::Changed
            }
            Phase::Active { .. } => {
                self.emit_starts(self.head.latest_unlocked());
                Told::Duplicate
            }
            Phase::Closed { .. } => Told::Duplicate,
        }
    }

    /// Whether a hold is over.
    fn advanced(&mut self, now: Timestamp) -> Told {
        let before = self.head.clone();
        let unlocked = self.settle_head(now);
        self.emit_starts(unlocked);
        if self.head == before {
            // Whoever was here before may have died before it told what follows.
            self.emit_starts(self.head.latest_unlocked());
            return Told::Duplicate;
        }
        self.emit_summarize();
        Told::Changed
    }

    fn newer(&mut self, newer: &RunId, now: Timestamp) -> Told {
        match self.head.yields_to(newer, now) {
            Some(because) => {
                self.end(because, now);
                Told::Changed
            }
            None => {
                self.emit_closing();
                Told::Duplicate
            }
        }
    }

    /// Has the run start nothing more, and closes it as soon as nothing is in flight.
    fn end(&mut self, because: Closing, now: Timestamp) {
        let what = because.words();
        match self.head.phase {
            Phase::Active { .. } => {
                self.head.ending = Some(Ending { at: now, because });
                self.settle_head(now);
                // Its end is recorded when it comes, if it does not come at once.
                if !self.head.is_closed() {
                    self.decisions.push(Decision::own("8-ending", what, now));
                }
            }
            // It never begins, and its place is free.
            Phase::Waiting { .. } => {
                self.head.phase = Phase::Closed { since: None, at: now, because };
                self.decisions.push(Decision::own("9-closed", what, now));
                if self.queue.next.as_ref() == Some(&self.head.run) {
                    self.queue.next = None;
                }
            }
            Phase::Closed { .. } => {}
        }
        self.emit_summarize();
    }

    fn commanded(&mut self, command: &Command<Order>, now: Timestamp) -> Told {
        let answer = match self.order(command, now) {
            Ok(()) => Answer::Done,
            Err(because) => Answer::Refused { because },
        };
        let decision = Decision::of(command, command.what.words(), answer.clone());
        self.decisions.push(decision);
        self.emit_summarize();
        Told::Decided(answer)
    }

    /// An operator's command that was recorded already: what follows from it, again.
    #[must_use]
    pub fn commanded_again(mut self) -> Self {
        self.emit_starts(self.head.latest_unlocked());
        self.emit_closing();
        self.emit_stop();
        self.emit_summarize();
        self
    }

    fn order(&mut self, command: &Command<Order>, now: Timestamp) -> Result<(), String> {
        let mark = Mark { who: command.who.clone(), at: now };
        if let Some(verdict) = self.head.verdict() {
            return Err(format!("the run has ended: {}", verdict.words()));
        }
        match &command.what {
            Order::Approve { wave } => {
                self.may_approve(wave, &command.who)?;
                let position = self.awaited(wave, now)?;
                if let Some(wave) = self.head.waves.get_mut(position) {
                    wave.approved = Some(mark);
                }
                let unlocked = self.settle_head(now);
                self.emit_starts(unlocked);
            }
            Order::Reject { wave } => {
                self.may_approve(wave, &command.who)?;
                self.awaited(wave, now)?;
                self.end(Closing::Rejected { wave: wave.clone(), by: mark }, now);
            }
            Order::Pause => {
                self.head.policy.may_operate(&command.who)?;
                self.not_ending()?;
                if let Some(by) = &self.head.paused {
                    return Err(format!("{} has paused it at {}", by.who, by.at));
                }
                self.head.paused = Some(mark);
                self.settle_head(now);
            }
            Order::Resume => {
                self.head.policy.may_operate(&command.who)?;
                self.not_ending()?;
                if self.head.paused.take().is_none() {
                    return Err("it is not paused".to_owned());
                }
                let unlocked = self.settle_head(now);
                self.emit_starts(unlocked);
            }
            Order::Abort { stop } => {
                self.head.policy.may_operate(&command.who)?;
                match &mut self.head.ending {
                    Some(Ending { because: Closing::Aborted { stop: stopping, .. }, .. }) if *stop && !*stopping => {
                        *stopping = true;
                    }
                    Some(Ending { because: Closing::Aborted { by, .. }, .. }) => {
                        return Err(format!("{} has aborted it at {}", by.who, by.at));
                    }
                    Some(_) | None => self.end(Closing::Aborted { by: mark, stop: *stop }, now),
                }
                self.emit_stop();
            }
        }
        Ok(())
    }

    fn not_ending(&self) -> Result<(), String> {
        match (&self.head.ending, self.head.halts()) {
            (Some(ending), _) => Err(format!("it starts nothing more: {}", ending.because.words())),
            (None, true) => Err("it starts nothing more: a wave is over its failure tolerance".to_owned()),
            (None, false) => Ok(()),
        }
    }

    fn may_approve(&self, wave: &str, who: &Who) -> Result<(), String> {
        let planned = self.head.waves.iter().find(|known| known.plan.name == wave);
        let Some(planned) = planned else { return Err(format!("it has no wave {wave}")) };
        let Some(approval) = &planned.plan.approval else { return Err(format!("wave {wave} needs no approval")) };
        match who.among(&approval.approvers) {
            Some(_) => Ok(()),
            None => Err(who.is_none_of(&approval.approvers)),
        }
    }

    /// The position of a wave that waits for approval now.
    fn awaited(&self, name: &str, now: Timestamp) -> Result<usize, String> {
        let wave = self.head.waves.iter().position(|wave| wave.plan.name == name);
        let Some((position, wave)) = wave.and_then(|at| Some((at, self.head.waves.get(at)?))) else {
            return Err(format!("it has no wave {name}"));
        };
        if let Some(by) = &wave.approved {
            return Err(format!("{} has approved it at {}", by.who, by.at));
        }
        self.not_ending()?;
        match wave.asked_at {
            Some(asked) if wave.plan.approval.as_ref().is_some_and(|a| asked.plus(a.valid_for) <= now) => {
                Err("the request has expired".to_owned())
            }
            Some(_) => Ok(position),
            None => Err(format!("wave {name} has not come to it: what is before it has not ended")),
        }
    }

    fn alarms(&mut self, position: u32, began: Timestamp, seen: AlarmsSeen, now: Timestamp) -> Told {
        let baking = self.head.baking().map(|(position, wave)| (position, wave.baked_at(), wave.plan.name.clone()));
        let Some((_, Some(baked_at), name)) = baking.filter(|(baking, ..)| *baking == position) else {
            self.emit_closing();
            return Told::TooLate;
        };
        let Some(wave) = usize::try_from(position).ok().and_then(|at| self.head.waves.get_mut(at)) else {
            return Told::Stray("no such wave");
        };
        match seen {
            AlarmsSeen::Firing { target, alarm } => {
                if self.head.ending.is_some() {
                    return Told::TooLate;
                }
                self.end(Closing::Alarm { wave: name, target, alarm }, now);
            }
            AlarmsSeen::Clear if began >= baked_at => {
                wave.passed_at = Some(now);
                wave.unlooked = None;
                let what = format!("wave {name} has baked, and none of its alarms is in ALARM");
                self.decisions.push(Decision::own(format!("4-looked-{position}"), what, now));
                let unlocked = self.settle_head(now);
                self.emit_starts(unlocked);
                self.emit_summarize();
            }
            AlarmsSeen::Clear => {
                if wave.unlooked.take().is_none() {
                    return Told::Duplicate;
                }
                self.emit_summarize();
            }
            AlarmsSeen::Unknown { reason } => {
                if wave.unlooked.as_ref() == Some(&reason) {
                    return Told::Duplicate;
                }
                wave.unlooked = Some(reason);
                self.emit_summarize();
            }
        }
        Told::Changed
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
        let has_ended =
            |key: &TargetKey| self.targets.get(key).is_some_and(|target| target.status().outcome().is_some());
        let behind = planned.after.iter().find(|key| !has_ended(key)).cloned();
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
        if let (false, true, Some(target)) = (look_first, may_start, behind) {
            return Told::Behind { target };
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
        let halted = self.head.is_ending();
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
        self.head.is_ending() || self.head.due_at().is_some_and(|due| due <= now)
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

    fn current(&mut self, key: &TargetKey, attempt: Attempt, execution: ExecutionId, now: Timestamp) -> Told {
        let Some(mut target) = self.targets.get(key).cloned() else { return Told::Stray("no such target") };
        if target.attempt != attempt || target.execution.is_some() {
            self.derive_again(&target);
            return Told::TooLate;
        }
        let before = target.status();
        target.execution = Some(execution);
        target.started_at.get_or_insert(now);
        target.seen = Seen::new(PipelineState::Succeeded, None, now);
        target.already = true;
        target.reason = None;
        target.turn = None;
        self.settle(target, before, now);
        Told::Changed
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
            Refusal::Busy { .. } | Refusal::Preparing { .. } | Refusal::Permanent { .. } => {
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
            Refusal::Busy { reason } | Refusal::Preparing { reason, .. } if past_due => {
                target.reason = Some(reason);
                target.gave_up = Some(GaveUp { outcome: Outcome::TimedOut, at: now });
            }
            Refusal::Wait { turn, throttled } => {
                target.reason = throttled.or(target.reason.take());
                target.claim = None;
                target.turn = Some(turn);
                target.start_due_at = Some(turn.at);
                if turn.api.is_start() {
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
            Refusal::Preparing { reason, again } => {
                target.reason = Some(reason);
                target.claim = None;
                target.turn = None;
                target.put_back = target.put_back.saturating_add(1);
                target.start_due_at = Some(now.plus(again));
                self.start_at(&target, now.plus(again), now);
            }
            Refusal::Busy { reason } | Refusal::Later { reason } | Refusal::Throttled { reason, .. } => {
                target.reason = Some(reason);
                target.claim = None;
                target.turn = None;
                let delay = backoff(&self.head.run, key, target.put_back);
                target.put_back = target.put_back.saturating_add(1);
                target.start_due_at = Some(now.plus(delay));
                let (run, index) = (self.head.run.clone(), target.index);
                self.emit(Effect::Start { run, index, attempt, delay });
            }
        }
        self.settle(target, before, now);
        Told::Changed
    }

    /// Has the attempt's message come at a time.
    fn start_at(&mut self, target: &Target, at: Timestamp, now: Timestamp) {
        self.emit(Effect::Start {
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
        if target.subject != observation.subject {
            return Told::Stray("something else in the account");
        }
        match &target.execution {
            Some(current) if *current == observation.execution => {}
            _ if target.past.iter().any(|past| past.execution.as_ref() == Some(&observation.execution)) => {
                self.derive_again(&target);
                return Told::Duplicate;
            }
            Some(_) => return Told::Stray("an execution that this run did not start"),
            None if observation.session_run().as_ref() == Some(&self.head.run)
                && target.first_claimed_at.is_some()
                && may_be_of(&observation, &target) =>
            {
                // The event was faster than the worker's own record, or the worker died before it.
                target.execution = Some(observation.execution.clone());
                target.started_at = Some(observation.at);
            }
            None => return Told::Stray("an execution that this run did not start"),
        }
        let before = self.targets.get(&observation.target).map_or(Status::Queued, Target::status);
        let unchanged = target.clone();
        let heard = Heard::of(&observation, now);
        match observation.what {
            Observed::State { state, attempt, comments, reason } => {
                if let Some(reason) = reason {
                    merge_reason(&mut target, *reason);
                }
                let by = if self.is_stopping() {
                    "Stopped, as the run was aborted"
                } else {
                    "Stopped in the target account"
                };
                observe_state(&mut target, by, state, attempt, comments, observation.at);
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
        target.note(heard);
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
        if after == Status::Ended(Outcome::Succeeded) && before != after {
            self.learn(&target, now);
            self.succeeded.insert(target.key.clone());
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

    /// Notes what the target has now.
    fn learn(&mut self, target: &Target, now: Timestamp) {
        let Some(fingerprint) = target.fingerprint.clone() else { return };
        let release = target.release.as_deref().unwrap_or(&self.head.release).clone().through(Vec::new());
        let at = target.ended_at().unwrap_or(now);
        // Where there was nothing to do, nothing was started: what is there came with an execution before.
        let execution = target.execution.clone().filter(|_| !target.already);
        let pinned = target.pinned.clone();
        let good = Good { run: self.head.run.clone(), release, fingerprint, execution, pinned, at };
        if let Some(known) = Known::with(self.known.get(&target.key), target.key.clone(), good) {
            self.known.insert(target.key.clone(), known);
            self.learnt.insert(target.key.clone());
        }
    }

    /// Advances the head and, if that closed the run, hands over to the next one.
    fn settle_head(&mut self, now: Timestamp) -> Option<Unlocked> {
        let before: Vec<_> = self.head.waves.iter().map(Progress::of).collect();
        let was_closed = self.head.is_closed();
        let unlocked = self.head.advance(now);
        let mut bakes = false;
        for (position, (before, wave)) in before.iter().zip(&self.head.waves).enumerate() {
            for (id, what) in before.until(wave) {
                bakes |= id == BAKES;
                self.decisions.push(Decision::own(format!("{id}-{position}"), what, now));
            }
        }
        if let (false, Phase::Closed { because, .. }) = (was_closed, &self.head.phase) {
            let verdict = self.head.verdict().map_or("", Verdict::words);
            self.decisions.push(Decision::own("9-closed", format!("{}; {verdict}", because.words()), now));
        }
        if self.head.is_closed() && self.queue.current.as_ref() == Some(&self.head.run) {
            self.queue.current = self.queue.next.take();
            self.head.handed_to = self.queue.current.clone();
        }
        self.emit_closing();
        if bakes {
            self.emit_bake(now);
        }
        unlocked
    }

    /// The effects that follow from a target's facts, whether they are new or told again.
    fn derive_again(&mut self, target: &Target) {
        self.emit_starts(target.unlocked);
        if target.status().outcome().is_some() {
            for index in target.before.clone() {
                self.emit_starts(Some(Unlocked { first: index, end: index.saturating_add(1) }));
            }
        }
        let is_waiting = target.put_back > 0 || target.turn.is_some();
        if target.attempt > Attempt::FIRST && target.status() == Status::Queued && !is_waiting {
            self.emit(Effect::Start {
                run: self.head.run.clone(),
                index: target.index,
                attempt: target.attempt,
                delay: Span::from_millis(0),
            });
        }
        if let (true, Some(execution)) = (target.is_unexplained(), target.execution.clone()) {
            self.emit(Effect::Explain { run: self.head.run.clone(), target: target.key.clone(), execution });
        }
        self.emit_closing();
        self.emit_summarize();
    }

    fn emit(&mut self, effect: Effect) {
        self.effects.insert(effect);
    }

    fn emit_starts(&mut self, unlocked: Option<Unlocked>) {
        let Some(Unlocked { first, end }) = unlocked else { return };
        for index in first..end {
            self.emit(Effect::Start {
                run: self.head.run.clone(),
                index,
                attempt: Attempt::FIRST,
                delay: Span::from_millis(0),
            });
        }
    }

    fn emit_closing(&mut self) {
        if let Some(next) = self.head.handed_to.clone() {
            self.emit(Effect::Activate { run: next });
        }
        if let Some(request) = self.head.wants_rollback() {
            self.emit(Effect::Open { request: Box::new(request) });
        }
    }

    /// Somebody looks at the alarms of a bake that begins, and comes back when it is over. Once only: were each early look
    /// to send another one, they would never end. Whatever is lost of it, the sweep makes up for.
    fn emit_bake(&mut self, now: Timestamp) {
        let Some((position, wave)) = self.head.baking() else { return };
        let (Some(baked_at), Some(bake)) = (wave.baked_at(), wave.plan.bake.as_ref()) else { return };
        let (run, delay, has_alarms) = (self.head.run.clone(), baked_at.since(now), !bake.alarms.is_empty());
        let from = wave.plan.first;
        if has_alarms {
            self.emit(Effect::Alarms { run: run.clone(), wave: position, began: now, from });
        }
        self.emit(Effect::Advance { run, delay });
    }

    /// Whether what runs is to be stopped.
    fn is_stopping(&self) -> bool {
        matches!(&self.head.ending, Some(Ending { because: Closing::Aborted { stop: true, .. }, .. }))
    }

    fn emit_stop(&mut self) {
        if self.is_stopping() && self.head.in_flight() > 0 {
            self.emit(Effect::Stop { run: self.head.run.clone() });
        }
    }

    /// The run that was overtaken is closed in the commit that opens this one, so its last word is this one's to send.
    fn emit_overtook(&mut self) {
        if let Some(run) = self.head.overtook.clone() {
            self.emit(Effect::Summarize { run });
        }
    }

    fn emit_summarize(&mut self) {
        self.emit(Effect::Summarize { run: self.head.run.clone() });
    }

    fn put(&mut self, target: Target) {
        self.changed.insert(target.key.clone());
        self.targets.insert(target.key.clone(), target);
    }
}

fn observe_state(
    target: &mut Target,
    stopped: &str,
    state: PipelineState,
    attempt: Option<u32>,
    comments: Option<String>,
    at: Timestamp,
) {
    if matches!(state, PipelineState::Stopping | PipelineState::Stopped) {
        let reason = Reason {
            cause: stopped.to_owned(),
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

/// Whether an execution whose starter is told may be the target's current attempt: CloudFormation's token names the
/// attempt, too.
fn may_be_of(observation: &Observation, target: &Target) -> bool {
    match &observation.subject {
        Subject::Stack(_) => RunId::from_attempt_token(observation.execution.as_str(), &observation.target)
            .is_some_and(|(_, attempt)| attempt == target.attempt),
        Subject::Pipeline(_) | Subject::Project(_) | Subject::Group(_) => true,
    }
}

fn merge_reason(target: &mut Target, reason: Reason) {
    target.reason = Some(match target.reason.take() {
        // What delayed the start explains nothing once there is an execution.
        Some(known) if known.source != ReasonSource::Manifold => known.merge(reason),
        Some(_) | None => reason,
    });
}

/// That a wave's bake began.
const BAKES: &str = "3-bakes";

/// How far a wave is, for the record of decisions.
struct Progress {
    has_begun: bool,
    is_asked: bool,
    is_complete: bool,
    has_passed: bool,
}

impl Progress {
    fn of(wave: &Wave) -> Self {
        Self {
            has_begun: wave.released > 0,
            is_asked: wave.asked_at.is_some(),
            is_complete: wave.completed_at.is_some(),
            has_passed: wave.passed_at.is_some(),
        }
    }

    /// What happened to the wave since.
    fn until(&self, wave: &Wave) -> Vec<(&'static str, String)> {
        let (now, name) = (Self::of(wave), &wave.plan.name);
        let mut told = Vec::new();
        if now.is_asked && !self.is_asked {
            told.push(("1-asked", format!("wave {name} waits for approval")));
        }
        if now.has_begun && !self.has_begun {
            told.push(("2-began", format!("wave {name} began")));
        }
        if let (true, false, Some(bake)) = (now.is_complete, self.is_complete, &wave.plan.bake) {
            told.push((BAKES, format!("wave {name} bakes for {}", bake.time)));
        }
        if now.has_passed && !self.has_passed {
            told.push(("5-baked", format!("wave {name} has baked")));
        }
        told
    }
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
