//! What is still to be done for a run, from its state alone (law 2): whatever a lost event, a lost message or a dead
//! worker left undone is found here, and is done by whoever does it when nothing is lost.
//!
//! ```text
//!  open item ──► look: the run as a whole ──► page by page: its targets in flight ──► looked: the item for the next tick
//!                  │ verdict given and told:
//!                  └ nothing is left to do, the item goes
//! ```
//!
//! **Invariant:** nothing is decided here but whom to tell. An outcome is written by the step that folds an answer in,
//! never by the sweep, so that it may be late, early, doubled or wrong about what was lost without harm.
//!
//! **When something is overdue.** An attempt whose lease ran out is overdue at once. An execution, or a message, that
//! nothing was heard of for [`QUIET`] is asked for, or sent again: then, after [`QUIET`] more, and from then on every
//! [`BACKED_OFF`]. So a lost last event is learnt within five minutes if the execution takes less than that, and within
//! ten if it takes longer; an execution that runs for an hour costs seven calls. What still runs [`LAST_ASKED`] before
//! the deadline is asked for out of turn. These turns are derived from the time
//! of the last word and the time of the last look: nothing is written to a target that was only asked for.

use serde::{Deserialize, Serialize};

use super::head::{Closing, Ending, Head, Phase};
use super::machine::AppQueue;
use super::posting::Posting;
use super::seen::Seen;
use super::status::Status;
use super::target::Target;
use crate::ids::{Attempt, RunId, TargetKey};
use crate::message::{MOST_ASKED, Outgoing, Payload};
use crate::plan::{Channel, PlannedTarget, TARGETS_PER_CHUNK};
use crate::time::{Span, Timestamp};

/// How long nothing may be heard before somebody asks. Longer than any function, lease or edit of a message takes.
pub const QUIET: Span = Span::from_minutes(5);
/// The distance of the third turn and all that follow.
pub const BACKED_OFF: Span = Span::from_minutes(10);
/// So long before the deadline what still runs is asked for once more, whatever its turn: an end whose event was lost
/// since the last question is not to be given up as *timed out*. Two ticks, and time for the answer.
pub const LAST_ASKED: Span = Span::from_minutes(2);
/// How many targets are looked at in one go: whole slices of the plan.
pub const PAGE: u32 = 20 * TARGETS_PER_CHUNK;
/// How far the clocks of two functions may disagree.
const SKEW: Span = Span::from_seconds(15);
/// How long a summary that Slack does not take is tried again after the verdict, or after what changed since: whoever
/// reads Slack's errors in the log has had a day.
const TELL_FOR: Span = Span::from_minutes(60 * 24);

/// A run that is looked after: from its opening until its verdict is given and told, and again from whatever changes
/// after that. Stored, see
/// [`Key::Open`](crate::ledger::Key::Open).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRun {
    /// Which.
    pub run: RunId,
    /// When it was last looked at as a whole.
    #[serde(default)]
    pub looked_at: Option<Timestamp>,
    /// When the last complete pass over its targets began.
    #[serde(default)]
    pub passed_at: Option<Timestamp>,
    /// The pass that is under way.
    #[serde(default)]
    pub pass: Option<Pass>,
    /// So many targets had had their turn by then. One that is claimed by nobody long after has lost its message.
    #[serde(default)]
    pub turns: Option<Turns>,
    /// Since when its turn has come, and it does not begin.
    #[serde(default)]
    pub stuck_since: Option<Timestamp>,
    /// Since when its summary is behind.
    #[serde(default)]
    pub behind: Option<Behind>,
    /// Since when its verdict is given and told. It is forgotten once Slack's message was compared with the facts after
    /// that: what changed a target alone, such as the reason of a failure, changes no head, and its message may be lost.
    #[serde(default)]
    pub told_since: Option<Timestamp>,
}

/// A pass over a run's targets, perhaps in several ticks. All of it is looked at as of its beginning, so that the turns
/// of one pass end where those of the next begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// When it began.
    pub began: Timestamp,
    /// The index in the plan from which on it goes on.
    pub next: u32,
    /// Targets below this index had their turn long ago: unclaimed, they are started again.
    pub start_below: u32,
}

/// How many targets, from the first of the plan, had had their turn at a time. (Waves go in order, so those that had
/// theirs always are the first ones.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// The time.
    pub at: Timestamp,
    /// How many.
    pub count: u32,
}

/// A summary that is behind its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Since when what stands in Slack has not changed although it should.
    pub since: Timestamp,
    /// What stood there.
    pub shown: Option<u64>,
}

/// What is known of a run without its targets.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its head.
    pub head: &'a Head,
    /// The head's version.
    pub version: u64,
    /// Its app's queue.
    pub queue: &'a AppQueue,
    /// Where its message stands, if anybody has taken it up.
    pub posting: Option<&'a Posting>,
}

/// What a look at a run as a whole yields.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Look {
    /// Nothing is left to do: it need not be looked after any more.
    Done {
        /// Whether Slack has not been told how it ended, and nobody will try again.
        untold: bool,
    },
    /// It goes on.
    Open {
        /// To be stored once the messages are sent, after the pages that there is time for.
        open: OpenRun,
        /// To be sent.
        messages: Vec<Outgoing>,
    },
}

impl OpenRun {
    /// A run that nobody has looked at yet.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            looked_at: None,
            passed_at: None,
            pass: None,
            turns: None,
            stuck_since: None,
            behind: None,
            told_since: None,
        }
    }

    /// Looks at the run as a whole, and begins a pass over its targets unless one is under way.
    pub fn look(mut self, view: View<'_>, now: Timestamp) -> Look {
        let View { head, queue, .. } = view;
        let run = || head.run.clone();
        let telling = Telling::of(head, view.version, view.posting);
        if telling == Telling::Told {
            let since = *self.told_since.get_or_insert(now);
            let compared_at = view.posting.and_then(|posting| posting.compared_at);
            let shows_all = !is_edited(&view) || compared_at.is_some_and(|at| at >= since.plus(SKEW));
            if shows_all || now.since(since) >= TELL_FOR {
                return Look::Done { untold: !shows_all };
            }
            // Late enough that the clocks of two functions agree on what is later.
            let last_look = Outgoing { delay: SKEW, ..Outgoing::from(Payload::Summarize { run: run() }) };
            // Whoever closed it told already; once more, as it is forgotten after this.
            let rollback = head.wants_rollback().filter(|_| since == now);
            let rollback = rollback.map(|request| Outgoing::from(Payload::Open { request: Box::new(request) }));
            self.looked_at = Some(now);
            return Look::Open { open: self, messages: rollback.into_iter().chain([last_look]).collect() };
        }
        self.told_since = None;
        let shown = view.posting.and_then(|posting| posting.shown);
        self.behind = match (telling, self.behind) {
            (Telling::Behind, Some(behind)) if behind.shown == shown => Some(behind),
            (Telling::Behind, _) => Some(Behind { since: now, shown }),
            (Telling::Told | Telling::Current, _) => None,
        };
        // Not since it closed: what comes after the verdict, a retry's end or a late answer, has a day of its own.
        let untold_since = self.behind.map(|behind| behind.since).max(closed_at(head));
        if head.verdict().is_some() && untold_since.is_some_and(|since| now.since(since) >= TELL_FOR) {
            return Look::Done { untold: true };
        }
        let mut payloads = Vec::new();
        // The active run has handed over, in the commit that closed it; only the message can be lost.
        let is_stuck = matches!(head.phase, Phase::Waiting { .. }) && queue.current.as_ref() == Some(&head.run);
        self.stuck_since = self.stuck_since.or(Some(now)).filter(|_| is_stuck);
        if self.stuck_since.is_some_and(|since| is_due(since.plus(QUIET), self.looked_at, now)) {
            payloads.push(Payload::Activate { run: run() });
        }
        // Until it is done, at every look: whoever does it may have a slower clock.
        if head.verdict().is_none() && head.due_at().is_some_and(|due| due <= now) {
            payloads.push(Payload::Deadline { run: run() });
        }
        let due = |first: Timestamp| is_due(first, self.looked_at, now);
        payloads.extend(overdue_holds(head, due, now));
        if let (Some(request), Some(at)) = (head.wants_rollback(), closed_at(head))
            && due(at.plus(QUIET))
        {
            payloads.push(Payload::Open { request: Box::new(request) });
        }
        if self.behind.is_some_and(|behind| is_due(behind.since.plus(QUIET), self.looked_at, now)) {
            payloads.push(Payload::Summarize { run: run() });
        }
        self.looked_at = Some(now);
        if self.pass.is_none() && head.in_flight() > 0 {
            let overdue = self.turns.filter(|turns| now.since(turns.at) >= QUIET);
            self.pass = Some(Pass { began: now, next: 0, start_below: overdue.map_or(0, |turns| turns.count) });
            if overdue.is_some() || self.turns.is_none() {
                self.turns = Some(Turns { at: now, count: head.released() });
            }
        }
        Look::Open { open: self, messages: payloads.into_iter().map(Outgoing::from).collect() }
    }

    /// The next targets to look at, as the first index and one past the last; `None` once the pass is complete, or if
    /// there is none. Waves in which nothing is in flight are left out.
    #[must_use]
    pub fn next_page(&self, head: &Head) -> Option<(u32, u32)> {
        let pass = self.pass?;
        head.waves.iter().filter(|wave| wave.in_flight() > 0).find_map(|wave| {
            let (first, end) = (wave.plan.first, wave.plan.first.saturating_add(wave.released));
            let first = first.max(pass.next);
            (first < end).then(|| (first, end.min(first.saturating_add(PAGE))))
        })
    }

    /// Looks at a page: what to send for it. `planned` and `targets` are those from [`OpenRun::next_page`] to `end`;
    /// a target that was never claimed is only planned.
    #[must_use]
    pub fn look_at(&mut self, head: &Head, end: u32, planned: &[PlannedTarget], targets: &[Target]) -> Vec<Outgoing> {
        let Some(pass) = &mut self.pass else { return Vec::new() };
        pass.next = end;
        let pass = *pass;
        let overdue = |due: Timestamp| is_due(due, self.passed_at, pass.began);
        let is_last = |due: Timestamp| {
            let is_near = |at: Timestamp| due <= at.plus(LAST_ASKED);
            is_near(pass.began) && !self.passed_at.is_some_and(is_near)
        };
        let is_last = head.due_at().is_some_and(is_last);
        let known: std::collections::BTreeMap<u32, &Target> =
            targets.iter().map(|target| (target.index, target)).collect();
        let mut payloads = Vec::new();
        let mut asked: Vec<TargetKey> = Vec::new();
        for planned in planned {
            let (needs, attempt) = match known.get(&planned.index) {
                None => (unclaimed(planned.index, pass), Attempt::FIRST),
                Some(target) => (needs(target, pass, is_last, overdue), target.attempt),
            };
            match needs {
                Needs::Nothing => {}
                Needs::Start => {
                    payloads.push(Payload::Start { run: head.run.clone(), index: planned.index, attempt });
                }
                Needs::Answer => asked.push(planned.key.clone()),
            }
        }
        asked.sort();
        for account in asked.chunk_by(|one, other| one.account == other.account) {
            payloads.extend(account.chunks(MOST_ASKED).map(|targets| Payload::Ask {
                run: head.run.clone(),
                targets: targets.to_vec(),
                turn: None,
            }));
        }
        payloads.into_iter().map(Outgoing::from).collect()
    }

    /// The item for the next tick: a pass that is complete gives way to the next one.
    #[must_use]
    pub fn looked(mut self, head: &Head) -> Self {
        if self.next_page(head).is_none()
            && let Some(pass) = self.pass.take()
        {
            self.passed_at = Some(pass.began);
        }
        self
    }
}

/// What is to be done about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Its turn to be looked at again has not come.
    Nothing,
    /// Its message again: whoever takes it looks for what may have been started.
    Start,
    /// The engine's answer.
    Answer,
}

fn unclaimed(index: u32, pass: Pass) -> Needs {
    if index < pass.start_below { Needs::Start } else { Needs::Nothing }
}

fn needs(target: &Target, pass: Pass, is_last: bool, overdue: impl Fn(Timestamp) -> bool) -> Needs {
    let when = |due: bool, needs: Needs| if due { needs } else { Needs::Nothing };
    match target.status() {
        Status::Queued => match target.start_due_at {
            Some(at) => when(overdue(at.plus(QUIET)), Needs::Start),
            None => unclaimed(target.index, pass),
        },
        Status::Starting => {
            let lease = target.claim.as_ref().map(|claim| claim.lease_until);
            when(lease.is_some_and(overdue), Needs::Start)
        }
        Status::Running | Status::Stopping => {
            let heard = target.started_at.max(target.seen.as_ref().map(Seen::at));
            when(is_last || heard.is_some_and(|at| overdue(at.plus(QUIET))), Needs::Answer)
        }
        Status::Waiting | Status::Ended(_) => Needs::Nothing,
    }
}

/// What ends the holds of a run, once they are over, and what an operator wants of what runs.
fn overdue_holds(head: &Head, due: impl Fn(Timestamp) -> bool, now: Timestamp) -> Vec<Payload> {
    let run = || head.run.clone();
    let mut payloads = Vec::new();
    if let Some(Ending { at, because: Closing::Aborted { stop: true, .. } }) = &head.ending
        && head.in_flight() > 0
        && due(at.plus(QUIET))
    {
        payloads.push(Payload::Stop { run: run(), targets: Vec::new(), turn: None });
    }
    // At every look: a hold that is over is to end.
    if head.hold(now).is_some_and(|hold| hold.until() <= now) {
        payloads.push(Payload::Advance { run: run() });
    }
    let Some((wave, baking)) = head.baking() else { return payloads };
    let (Some(began), Some(bake)) = (baking.completed_at, &baking.plan.bake) else { return payloads };
    let is_baked = baking.baked_at().is_some_and(|at| at <= now);
    if !bake.alarms.is_empty() && (is_baked || due(began.plus(QUIET))) {
        payloads.push(Payload::Alarms { run: run(), wave, began: now, from: baking.plan.first });
    }
    payloads
}

/// How the one message stands to its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// The verdict is told, and nothing is expected any more.
    Told,
    /// What can be told by now is.
    Current,
    /// Slack does not show how it is.
    Behind,
}

impl Telling {
    pub(crate) fn of(head: &Head, version: u64, posting: Option<&Posting>) -> Self {
        let nobody = Posting::default();
        let posting = posting.unwrap_or(&nobody);
        let is_current = match head.channel {
            Channel::Silent => true,
            _ if posting.refused.is_some() => true,
            Channel::Webhook { .. } => head.verdict().is_none() || posting.message.is_some(),
            // Under a lease somebody is at it, or died: either way it is not done.
            Channel::Bot { .. } => posting.shown == Some(version) && posting.lease.is_none(),
        };
        match (is_current, head.verdict()) {
            (true, Some(_)) => Self::Told,
            (true, None) => Self::Current,
            (false, _) => Self::Behind,
        }
    }
}

/// Whether what stands in Slack can still be brought up to date.
fn is_edited(view: &View<'_>) -> bool {
    let refused = view.posting.is_some_and(|posting| posting.refused.is_some());
    matches!(view.head.channel, Channel::Bot { .. }) && !refused
}

fn closed_at(head: &Head) -> Option<Timestamp> {
    match head.phase {
        Phase::Closed { at, .. } => Some(at),
        Phase::Waiting { .. } | Phase::Active { .. } => None,
    }
}

/// Whether one of the turns of something that is due at `first` lies after the last look, and not after `now`.
fn is_due(first: Timestamp, last_look: Option<Timestamp>, now: Timestamp) -> bool {
    turns(first, now) > last_look.map_or(0, |at| turns(first, at))
}

/// How many turns have come: one at `first`, one [`QUIET`] later, then one every [`BACKED_OFF`].
fn turns(first: Timestamp, at: Timestamp) -> i64 {
    if at < first {
        return 0;
    }
    let (past, quiet) = (at.since(first).as_millis(), QUIET.as_millis());
    if past < quiet { 1 } else { 2 + (past - quiet) / BACKED_OFF.as_millis() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(0).plus(Span::from_minutes(minutes))
    }

    #[test]
    fn what_is_silent_has_its_turn_after_5_10_and_then_every_10_minutes_however_often_somebody_looks() {
        for every in [1, 2, 3] {
            let looks: Vec<i64> = (0..=61).step_by(every).collect();
            let due = |pair: &[i64]| is_due(at(0).plus(QUIET), Some(at(pair[0])), at(pair[1]));
            let turns: Vec<i64> = looks.windows(2).filter(|pair| due(pair)).map(|pair| pair[1]).collect();
            assert_eq!(turns.len(), 7, "{every}: {turns:?}");
            assert!(
                turns.iter().zip([5, 10, 20, 30, 40, 50, 60]).all(|(turn, at)| (at..at + 3).contains(turn)),
                "{turns:?}"
            );
        }
        assert!(is_due(at(0), None, at(90)), "nobody has looked yet");
        assert!(!is_due(at(10), None, at(9)));
    }
}
