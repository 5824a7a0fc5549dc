//! What must hold after every step of every story, and at its end: each law by its number, and what follows from them.
//!
//! A law is checked against what the simulated world knows, never against Manifold's own word: an outcome against the
//! engine, a count against the targets, a message against the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use manifold_core::control::Origin;
use manifold_core::event::PipelineState;
use manifold_core::ids::{ExecutionId, RunId, TargetKey};
use manifold_core::ledger::{Item, Key};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Closing, Head, Outcome, Phase, Status, Tally, Target, Verdict};
use manifold_core::summary::{Summary, slack};
use manifold_core::time::{Span, Timestamp};
use manifold_local::world::{Execution, SlackCall, World};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A law, or what follows from several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// 1: an attempt starts at most one execution.
    NeverTwice,
    /// 2: every run reaches exactly one verdict by its deadline; no work remains ⇔ the verdict is given.
    NeverLost,
    /// 3: a run is one message, which shows how it is, and never goes from final to in progress unless reopened.
    OneSummary,
    /// 4: whatever order events came in, the outcome is what happened.
    OrderDoesNotMatter,
    /// 5: every target of a run gets the revision that triggered it.
    SameRelease,
    /// 6: nothing is green that is not.
    NoColourWithoutTruth,
    /// 7: nothing untrusted reaches Slack as it is; nothing is started but what was planned.
    LeastPower,
    /// 8: what does not move names what it waits for.
    WaitingIsData,
    /// 9: what is stored reads back as it was.
    StoredStateReads,
    /// Counts equal facts.
    CountsEqualFacts,
    /// Waves go in order, and no more is in flight than the policy says.
    PolicyIsKept,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverTwice => "law 1, never twice",
            Self::NeverLost => "law 2, never lost",
            Self::OneSummary => "law 3, one summary",
            Self::OrderDoesNotMatter => "law 4, order does not matter",
            Self::SameRelease => "law 5, same release everywhere",
            Self::NoColourWithoutTruth => "law 6, no colour without truth",
            Self::LeastPower => "law 7, least power",
            Self::WaitingIsData => "law 8, waiting is data",
            Self::StoredStateReads => "law 9, stored state outlives code",
            Self::CountsEqualFacts => "counts equal facts",
            Self::PolicyIsKept => "the policy is kept",
        })
    }
}

/// A law that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub law: Law,
    /// How.
    pub how: String,
    /// When, in virtual time.
    pub at: Timestamp,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken at {}: {}", self.law, self.at, self.how)
    }
}

/// How far the clocks of two functions may disagree in any story, and then some.
const CLOCKS: Span = Span::from_seconds(30);

type Check = Result<(), (Law, String)>;

fn hold(holds: bool, law: Law, how: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err((law, how())) }
}

/// Watches one story, step by step.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    executions: usize,
    calls: usize,
    /// By when a run must have its verdict.
    due: BTreeMap<RunId, Timestamp>,
    /// Runs whose verdict was given, with what their message said of it.
    finals: BTreeSet<String>,
    patience: Span,
}

impl Watch {
    /// Lets a run be late by so much: what the world's faults can delay a verdict by.
    #[must_use]
    pub fn with_patience(patience: Span) -> Self {
        Self { patience, ..Self::default() }
    }

    /// Checks what the last step changed.
    ///
    /// # Errors
    /// A law that does not hold.
    pub fn after_step(&mut self, world: &World) -> Result<(), Broken> {
        self.check_step(world).map_err(|(law, how)| Broken { law, how, at: world.time() })
    }

    fn check_step(&mut self, world: &World) -> Check {
        for run in world.take_touched() {
            let Some(head) = world.head(&run) else { continue };
            let targets = world.targets_of(&run);
            reads_back(&head)?;
            targets.iter().try_for_each(reads_back)?;
            check_counts(&head, &targets)?;
            check_work(&head, &targets)?;
            check_flight(&head, &world.plan(&run), &targets)?;
            check_waiting(world, &head, &targets)?;
            match (head.verdict(), head.due_at()) {
                (None, Some(due)) => self.due.insert(run.clone(), due),
                _ => self.due.remove(&run),
            };
        }
        let now = world.time();
        for (run, due) in &self.due {
            hold(now <= due.plus(self.patience), Law::NeverLost, || {
                format!("{run} was due at {due} and has no verdict")
            })?;
        }
        let (executions, calls) = world.deeds();
        if executions > self.executions {
            let all = world.executions();
            all[self.executions..].iter().try_for_each(|execution| check_execution(world, &all, execution))?;
            self.executions = executions;
        }
        if calls > self.calls {
            let all = world.slack_calls();
            all[self.calls..].iter().try_for_each(|call| self.check_call(world, call))?;
            self.calls = calls;
        }
        Ok(())
    }

    fn check_call(&mut self, world: &World, call: &SlackCall) -> Check {
        let body = call.body.to_string();
        for token in ["<!channel", "<@U123", "<https://evil", "<!here"] {
            hold(!body.contains(token), Law::LeastPower, || format!("{token} reached Slack: {body}"))?;
        }
        let Some(ts) = call.ts.as_ref().filter(|_| call.body.get("thread_ts").is_none()) else { return Ok(()) };
        let Some(run) = world.run_of_message(ts) else { return Ok(()) };
        let text = call.body["text"].as_str().unwrap_or_default();
        let is_final = [": in progress", ": waiting for its turn", ": waits for approval"]
            .iter()
            .all(|words| !text.contains(words));
        let reopened = world.head(&run).is_some_and(|head| head.reopened > 0);
        hold(is_final || reopened || !self.finals.contains(ts), Law::OneSummary, || {
            format!("the message of {run} went from final to {text:?}, and nothing was reopened")
        })?;
        if is_final {
            self.finals.insert(ts.clone());
        }
        if text.contains("succeeded on") && !text.contains("in progress") {
            check_green(world, &run)?;
        }
        Ok(())
    }

    /// Checks what must hold once nothing is left to happen.
    ///
    /// # Errors
    /// A law that does not hold.
    pub fn at_the_end(&self, world: &World) -> Result<(), Broken> {
        check_end(world).map_err(|(law, how)| Broken { law, how, at: world.time() })
    }
}

/// What is written reads back, field by field.
fn reads_back<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(item: &T) -> Check {
    let back = serde_json::to_string(item).and_then(|text| serde_json::from_str::<T>(&text));
    let is_same = back.as_ref().is_ok_and(|back| back == item);
    hold(is_same, Law::StoredStateReads, || format!("{item:?} reads back as {back:?}"))
}

fn check_counts(head: &Head, targets: &[Target]) -> Check {
    for (index, wave) in head.waves.iter().enumerate() {
        let mut counted = Tally::default();
        for target in targets.iter().filter(|target| target.wave as usize == index) {
            if let Some(outcome) = target.status().outcome() {
                counted.count(outcome, true);
            }
        }
        hold(wave.tally == counted, Law::CountsEqualFacts, || {
            format!("wave {} of {} counts {:?}, and its targets are {counted:?}", wave.plan.name, head.run, wave.tally)
        })?;
    }
    Ok(())
}

/// No work remains ⇔ the verdict is given.
fn check_work(head: &Head, targets: &[Target]) -> Check {
    let ended = targets.iter().filter(|target| target.status().outcome().is_some());
    let ended = ended.filter(|target| head.is_released(target.index)).count();
    let unfinished = head.released() as usize - ended;
    let work_remains = !head.is_closed() || unfinished > 0;
    hold(work_remains == head.verdict().is_none(), Law::NeverLost, || {
        format!("{}: {unfinished} targets have not ended, and its verdict is {:?}", head.run, head.verdict())
    })
}

/// Waves go in order, and no more is in flight than the policy says. A target that is retried in its own account asks
/// nobody for a place.
fn check_flight(head: &Head, plan: &[PlannedTarget], targets: &[Target]) -> Check {
    let reopened = |target: &Target| target.seen.as_ref().is_some_and(|seen| seen.attempt() > 1);
    if targets.iter().any(reopened) {
        return Ok(());
    }
    let mut complete = true;
    let ended: BTreeSet<&TargetKey> =
        targets.iter().filter(|target| target.status().outcome().is_some()).map(|target| &target.key).collect();
    for target in targets.iter().filter(|target| target.execution.is_some()) {
        let planned = plan.iter().find(|planned| planned.index == target.index);
        let first = planned.and_then(|planned| planned.after.iter().find(|key| !ended.contains(key)));
        hold(first.is_none(), Law::PolicyIsKept, || format!("{} was started before {first:?} had ended", target.key))?;
    }
    if let Some(ending) = &head.ending {
        let late = targets.iter().find(|target| target.first_claimed_at.is_some_and(|at| at > ending.at.plus(CLOCKS)));
        hold(late.is_none(), Law::PolicyIsKept, || {
            format!("{:?} of {} was taken up although it was to start nothing more", late.map(|l| &l.key), head.run)
        })?;
    }
    for wave in &head.waves {
        let early = wave.passed_at.zip(wave.baked_at()).filter(|(passed, baked)| passed.plus(CLOCKS) < *baked);
        hold(early.is_none(), Law::PolicyIsKept, || {
            format!("wave {} of {} has not baked as long as it should", wave.plan.name, head.run)
        })?;
        hold(wave.plan.approval.is_none() || wave.approved.is_some() || wave.released == 0, Law::PolicyIsKept, || {
            format!("wave {} of {} began, and nobody has approved it", wave.plan.name, head.run)
        })?;
        hold(complete || wave.released == 0, Law::PolicyIsKept, || {
            format!("wave {} of {} began before the one before it was complete", wave.plan.name, head.run)
        })?;
        complete = wave.is_complete() && (wave.plan.bake.is_none() || wave.passed_at.is_some());
        hold(wave.in_flight() <= wave.plan.max_concurrent, Law::PolicyIsKept, || {
            let (flying, most) = (wave.in_flight(), wave.plan.max_concurrent);
            format!("{flying} targets of wave {} are in flight, and {most} may be", wave.plan.name)
        })?;
    }
    Ok(())
}

fn check_waiting(world: &World, head: &Head, targets: &[Target]) -> Check {
    if head.verdict().is_some() {
        return Ok(());
    }
    let summary = Summary::of(head, &world.plan(&head.run), targets);
    hold(!summary.waits_for.is_empty(), Law::WaitingIsData, || {
        format!("{} goes on, and waits for nothing: {:?}", head.run, head.phase)
    })
}

fn check_execution(world: &World, all: &[Execution], execution: &Execution) -> Check {
    let Execution { target, run, token, revision, .. } = execution;
    let twins = all.iter().filter(|other| other.token == *token).count();
    hold(twins == 1, Law::NeverTwice, || format!("attempt {token} in {target} started {twins} executions"))?;
    let Some(head) = world.head(run) else {
        return Err((Law::LeastPower, format!("an execution in {target} of run {run}, which does not exist")));
    };
    let of_target = all.iter().filter(|other| other.run == *run && other.target == *target).count();
    hold(of_target <= head.max_attempts as usize, Law::NeverTwice, || {
        format!("{target} got {of_target} executions in {run}, and {} are allowed", head.max_attempts)
    })?;
    let planned = world.plan(run).into_iter().find(|planned| planned.key == *target);
    let Some(planned) = planned else {
        return Err((Law::LeastPower, format!("{target} is no target of {run}, and got an execution")));
    };
    hold(planned.variables == execution.variables, Law::LeastPower, || {
        format!("{target} was started with {:?}, planned were {:?}", execution.variables, planned.variables)
    })?;
    // On the way back each target has a release of its own, which it once had.
    let release = planned.release.as_deref().unwrap_or(&head.release);
    let goes_back = matches!(head.origin, Origin::Rollback { .. });
    hold(goes_back == planned.release.is_some(), Law::SameRelease, || format!("{target} of {run} gets {release:?}"))?;
    // What it had before the run was another release, or the run would not have changed anything there.
    hold(!goes_back || release.source != head.release.source, Law::SameRelease, || {
        format!("{target} is rolled back by {run} to what it is rolled back from")
    })?;
    let released = release.revision.as_ref().map(|released| released.id.clone());
    // What does not pin a commit by itself names it in what it deploys.
    let names = |id: &String| planned.work.as_ref().is_some_and(|work| format!("{work:?}").contains(id.as_str()));
    let is_pinned = *revision == released && revision.is_some();
    hold(is_pinned || revision.is_none() && released.as_ref().is_some_and(names), Law::SameRelease, || {
        format!("{target} got {revision:?}, and {run} releases {released:?}")
    })
}

/// What is told as succeeded has succeeded, everywhere.
fn check_green(world: &World, run: &RunId) -> Check {
    // A batch is what arrives within a second, and is handed over with its first message.
    let now = world.time().plus(Span::from_seconds(1));
    let succeeded: BTreeSet<TargetKey> = world
        .executions()
        .into_iter()
        .filter(|execution| execution.run == *run && state_at(execution, now) == Some(&PipelineState::Succeeded))
        .map(|execution| execution.target)
        .collect();
    let missing: Vec<String> = world
        .plan(run)
        .into_iter()
        .filter(|planned| !succeeded.contains(&planned.key))
        .map(|planned| planned.key.to_string())
        .collect();
    hold(missing.is_empty(), Law::NoColourWithoutTruth, || {
        format!("{run} is told as succeeded on all targets, and {} did not", missing.join(", "))
    })
}

/// What the engine knew at a time. Slack is called some time after the call was decided on: never earlier.
fn state_at(execution: &Execution, at: Timestamp) -> Option<&PipelineState> {
    execution.states.iter().rfind(|(since, _)| *since <= at).map(|(_, state)| state)
}

fn check_end(world: &World) -> Check {
    let all = world.executions();
    let lost = world.lost();
    for run in world.runs() {
        let Some(head) = world.head(&run) else { continue };
        let targets = world.targets_of(&run);
        hold(head.verdict().is_some(), Law::NeverLost, || format!("{run} has no verdict: {:?}", head.phase))?;
        let open = world.record(&Key::Open(run.clone()));
        hold(open.is_none(), Law::NeverLost, || format!("{run} has its verdict, and is still looked after"))?;
        for execution in all.iter().filter(|execution| execution.run == run) {
            // Somebody purged the message of an attempt whose call seemed to fail, and its events were lost as well: then
            // nobody is left who would look, once the deadline has passed.
            let untraceable = world.purged() > 0 && lost.contains(&execution.id);
            // Where nothing was to be done nothing ran: whoever was told so may have died with it.
            if !untraceable && !execution.is_current {
                check_known(&targets, execution)?;
            }
            let current = targets.iter().find(|target| target.execution.as_ref() == Some(&execution.id));
            current.map_or(Ok(()), |target| check_outcome(target, execution, &lost))?;
        }
        check_verdict(&head, &targets)?;
        check_alarms(world, &head)?;
        check_shown(world, &head, &targets)?;
    }
    check_messages(world)?;
    check_known_good(world, &all)?;
    let dead = world.dead_letters();
    hold(dead.is_empty(), Law::NeverLost, || format!("dead letters: {dead:?}"))
}

/// What is known to be good succeeded there, and the release is the one that was started.
fn check_known_good(world: &World, all: &[Execution]) -> Check {
    for known in world.known() {
        for good in std::iter::once(&known.current).chain(&known.previous) {
            let revision = good.release.revision.as_ref().map(|revision| revision.id.clone());
            let is_true = all.iter().any(|execution| {
                execution.run == good.run
                    && execution.target == known.target
                    && (execution.revision == revision || execution.revision.is_none())
                    && execution.states.iter().any(|(_, state)| *state == PipelineState::Succeeded)
            });
            hold(is_true, Law::NoColourWithoutTruth, || {
                format!("{} is known to have {revision:?} by {}, and it did not succeed", known.target, good.run)
            })?;
        }
    }
    Ok(())
}

fn check_known(targets: &[Target], execution: &Execution) -> Check {
    let owner = targets.iter().find(|target| target.key == execution.target);
    let is_known = owner.is_some_and(|owner| {
        owner.execution.as_ref() == Some(&execution.id)
            || owner.past.iter().any(|past| past.execution.as_ref() == Some(&execution.id))
    });
    hold(is_known, Law::NeverTwice, || format!("nobody knows of {} in {}", execution.id, execution.target))
}

/// The outcome is what happened, whatever was lost on the way.
fn check_outcome(target: &Target, execution: &Execution, lost: &BTreeSet<ExecutionId>) -> Check {
    let Status::Ended(outcome) = target.status() else {
        return Err((Law::NeverLost, format!("{} has not ended", target.key)));
    };
    let last = execution.states.last().map(|(_, state)| state);
    let truth = last.and_then(|state| match state {
        PipelineState::Succeeded => Some(Outcome::Succeeded),
        PipelineState::Failed | PipelineState::Stopped => Some(Outcome::Failed),
        PipelineState::Canceled => Some(Outcome::Canceled),
        PipelineState::Superseded => Some(Outcome::Superseded),
        PipelineState::Started | PipelineState::Resumed | PipelineState::Stopping | PipelineState::Unknown(_) => None,
    });
    let Some(truth) = truth else {
        return hold(outcome == Outcome::TimedOut, Law::NoColourWithoutTruth, || {
            format!("{} is told as {}, and nobody knows its end", target.key, outcome.words())
        });
    };
    if outcome == truth {
        return Ok(());
    }
    // Without its last events an end may be learnt too late for the deadline, and a retry not at all.
    let is_untold = lost.contains(&execution.id);
    let missed_retry = execution.states.len() > 2 && outcome == Outcome::Failed;
    hold(is_untold && (outcome == Outcome::TimedOut || missed_retry), Law::OrderDoesNotMatter, || {
        format!("{} is told as {}, and its execution {}", target.key, outcome.words(), truth.words())
    })
}

fn check_verdict(head: &Head, targets: &[Target]) -> Check {
    let succeeded = targets.iter().filter(|target| target.status() == Status::Ended(Outcome::Succeeded)).count();
    let everywhere = succeeded == head.size() as usize;
    let is_green = head.verdict() == Some(Verdict::Succeeded);
    let because = match &head.phase {
        Phase::Closed { because, .. } => Some(because),
        Phase::Waiting { .. } | Phase::Active { .. } => None,
    };
    // All of it may be out, and be found wanting.
    let is_doubted = matches!(because, Some(Closing::Alarm { .. } | Closing::Unlooked { .. })) || !head.is_proven();
    hold(is_green == (everywhere && !is_doubted), Law::NoColourWithoutTruth, || {
        format!("{} {:?}, with {succeeded} of {} targets", head.run, head.verdict(), head.size())
    })?;
    let never_began = matches!(head.phase, Phase::Closed { since: None, .. });
    let says_so = matches!(head.verdict(), Some(Verdict::Overtaken | Verdict::Refused));
    let was_aborted = head.verdict() == Some(Verdict::Aborted);
    let is_true = if was_aborted { true } else { never_began == says_so };
    hold(is_true, Law::NoColourWithoutTruth, || format!("{} {:?}", head.run, head.verdict()))
}

/// Nothing is green whose alarms were to be quiet and were not.
fn check_alarms(world: &World, head: &Head) -> Check {
    if head.verdict() != Some(Verdict::Succeeded) {
        return Ok(());
    }
    let plan = world.plan(&head.run);
    let firing = plan.iter().find(|planned| {
        let wave = usize::try_from(planned.wave).ok().and_then(|wave| head.waves.get(wave));
        let alarms =
            wave.and_then(|wave| wave.plan.bake.as_ref()).map(|bake| bake.alarms.as_slice()).unwrap_or_default();
        planned.index < head.size() && alarms.iter().any(|alarm| world.is_firing(&planned.key, alarm))
    });
    hold(firing.is_none(), Law::NoColourWithoutTruth, || {
        format!(
            "{} is told as succeeded, and an alarm of {:?} is in ALARM",
            head.run,
            firing.map(|planned| &planned.key)
        )
    })
}

/// What stands in Slack is how it is.
fn check_shown(world: &World, head: &Head, targets: &[Target]) -> Check {
    let run = &head.run;
    let Some(record) = world.record(&Key::Summary(run.clone())) else { return Ok(()) };
    let Item::Summary(posting) = record.item else {
        return Err((Law::StoredStateReads, format!("{run} has no summary where it should be")));
    };
    hold(posting.lease.is_none(), Law::OneSummary, || format!("{run}: a lease was left behind"))?;
    hold(posting.refused.is_none(), Law::OneSummary, || format!("{run}: Slack refused {:?}", posting.refused))?;
    let Some(ts) = posting.message.and_then(|message| message.ts) else { return Ok(()) };
    let summary = Summary::of(head, &world.plan(run), targets);
    let shown = world.slack_calls().into_iter().rfind(|call| call.ts.as_ref() == Some(&ts));
    let shown = shown.map(|call| call.body["blocks"].clone()).unwrap_or_default();
    let blocks = serde_json::Value::from(slack::message(&summary).blocks);
    hold(shown == blocks, Law::OneSummary, || format!("{run}: Slack shows {shown}, and it is {blocks}"))
}

/// One message a run, and one more for each worker that met a mishap between Slack's answer and its record: Slack's
/// API has no idempotency key.
fn check_messages(world: &World) -> Check {
    let calls = world.slack_calls();
    let posts =
        calls.iter().filter(|call| call.method != "chat.update" && call.body.get("thread_ts").is_none()).count();
    let silent = |run: &RunId| world.head(run).is_none_or(|head| head.channel == manifold_core::plan::Channel::Silent);
    let runs = world.runs().iter().filter(|run| !silent(run)).count();
    let most = runs + world.unrecorded_posts();
    hold((runs..=most).contains(&posts), Law::OneSummary, || {
        format!("{posts} messages for {runs} runs, and {} were posted and not recorded", world.unrecorded_posts())
    })
}
