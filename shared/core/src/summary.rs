//! The model of the one message: what a person must know about a run, derived from its facts.
//!
//! [`Summary::of`] derives; the renderers only lay out. [`slack`] is the message as Slack takes it, [`text`] the same
//! for a terminal.

pub(crate) mod clean;
pub(crate) mod layout;
pub mod notice;
pub mod payload;
pub mod slack;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::console;
use crate::control::Origin;
use crate::engine::Subject;
use crate::ids::{AccountId, AppName, Attempt, ExecutionId, Region, RunId, TargetKey};
use crate::plan::{Channel, PlannedTarget};
use crate::release::Release;
use crate::run::{Closing, Head, Hold, Outcome, Phase, Status, Tally, Target, Verdict};
use crate::time::{Span, Timestamp};

/// What a person must know about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// The app.
    pub app: AppName,
    /// The release.
    pub release: Release,
    /// The verdict; `None` while the run is in progress.
    pub verdict: Option<Verdict>,
    /// Why the run closed, once it did.
    pub closing: Option<Closing>,
    /// What nothing moves for, in words, while the run is in progress (law 8).
    pub waits_for: Vec<String>,
    /// How many targets were retried in their own account after the run had closed.
    pub reopened: u32,
    /// How many results were learnt by asking the engine, as their events had not arrived.
    pub asked_for: u32,
    /// What the run is for.
    pub origin: Origin,
    /// How many targets' engines said that they have the release already, so that nothing was started. They are among
    /// `targets`, and succeeded.
    #[serde(skip_serializing_if = "is_none")]
    pub already: u32,
    /// How many targets have the release already and were left alone. They are not among `size` and `targets`.
    pub unchanged: u32,
    /// The wave that waits for approval.
    pub asks: Option<Asks>,
    /// What may be done about it now, with a button.
    pub actions: Vec<Action>,
    /// What operators have done to it, oldest first.
    pub deeds: Vec<String>,
    /// When the run was opened.
    pub opened_at: Timestamp,
    /// When the last target ended, once the verdict is given.
    pub ended_at: Option<Timestamp>,
    /// When the run must have its verdict.
    pub due_at: Option<Timestamp>,
    /// How the ended targets did.
    pub tally: Tally,
    /// How many targets the run has.
    pub size: u32,
    /// Its waves, in order.
    pub waves: Vec<WaveLine>,
    /// The accounts, in the order of the plan.
    pub accounts: Vec<AccountColumn>,
    /// The Regions, in the order of the plan.
    pub regions: Vec<Region>,
    /// Every target, in the order of the plan.
    pub targets: Vec<TargetLine>,
    /// The failures, grouped by cause, largest group first.
    pub causes: Vec<CauseGroup>,
}

/// A wave that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asks {
    /// Its name.
    pub wave: String,
    /// How many targets it has.
    pub targets: u32,
    /// Who may approve it, by their names in the fleet file.
    pub approvers: Vec<String>,
    /// Whether one of them may in Slack.
    pub in_slack: bool,
    /// When the request lapses.
    pub until: Timestamp,
}

/// What an operator may do about a run now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Let the wave begin.
    Approve {
        /// Its name.
        wave: String,
    },
    /// Do not let the wave begin.
    Reject {
        /// Its name.
        wave: String,
    },
    /// Start nothing more.
    Abort,
    /// Roll the same release out again where it is missing.
    RetryFailed,
}

impl Action {
    /// What may be done about a run by those that its fleet file names: buttons that nobody may press are not shown.
    fn of(head: &Head, asks: Option<&Asks>) -> Vec<Self> {
        let mut actions = Vec::new();
        match &head.channel {
            Channel::Bot { .. } => {}
            // What a webhook posted can't be edited, so that its buttons would stay; and nobody sees the silence.
            Channel::Webhook { .. } | Channel::Silent => return actions,
        }
        if let Some(asks) = asks.filter(|asks| asks.in_slack) {
            actions.push(Self::Approve { wave: asks.wave.clone() });
            actions.push(Self::Reject { wave: asks.wave.clone() });
        }
        if !head.policy.operators.iter().any(|operator| !operator.slack.is_empty()) {
            return actions;
        }
        match head.verdict() {
            None if !head.is_ending() => actions.push(Self::Abort),
            None => {}
            Some(Verdict::Overtaken | Verdict::Refused | Verdict::Succeeded) => {}
            Some(
                Verdict::CompletedWithFailures
                | Verdict::Incomplete
                | Verdict::Failed
                | Verdict::TimedOut
                | Verdict::Aborted
                | Verdict::NotApproved,
            ) => actions.extend((head.tally().succeeded < head.size()).then_some(Self::RetryFailed)),
        }
        actions
    }
}

/// One wave in a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaveLine {
    /// Its name.
    pub name: String,
    /// How many targets it has.
    pub size: u32,
    /// How many are neither waiting nor ended.
    pub in_flight: u32,
    /// How many still wait for their turn.
    pub waiting: u32,
    /// How the ended ones did.
    pub tally: Tally,
}

/// One account in a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountColumn {
    /// Its id.
    pub id: AccountId,
    /// Its name in the fleet file.
    pub name: String,
}

/// One target in a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetLine {
    /// Account and Region.
    pub key: TargetKey,
    /// The account's name.
    pub account_name: String,
    /// The position of its wave.
    pub wave: u32,
    /// Where it stands.
    pub status: Status,
    /// The attempt that this is about.
    pub attempt: Attempt,
    /// What is started there.
    #[serde(rename = "pipeline")]
    pub subject: Subject,
    /// What was started.
    pub execution: Option<ExecutionId>,
    /// The execution's page in the right console.
    pub link: Option<String>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it ran.
    pub took: Option<Span>,
    /// What its failure is grouped by.
    pub cause: Option<String>,
    /// The provider's own words. Untrusted.
    pub detail: Option<String>,
    /// The failed action's page, as the provider gave it. Untrusted: check the host before linking.
    pub reason_link: Option<String>,
    /// A state that this version does not know.
    pub unrecognised: Option<String>,
    /// Whether it was retried in its own account after the run had closed.
    pub reopened_after_close: bool,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// Targets that did not get the release for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CauseGroup {
    /// The reason.
    pub cause: String,
    /// How they ended.
    pub outcome: Outcome,
    /// Positions in [`Summary::targets`].
    pub targets: Vec<usize>,
}

impl Summary {
    /// Derives the summary of a run. `plan` is the whole plan in order; `targets` are those that were ever
    /// claimed. Targets without an item are waiting, queued or, in a closed run, skipped.
    #[must_use]
    pub fn of(head: &Head, plan: &[PlannedTarget], targets: &[Target]) -> Self {
        let known: BTreeMap<&TargetKey, &Target> = targets.iter().map(|target| (&target.key, target)).collect();
        let lines: Vec<TargetLine> =
            plan.iter().map(|planned| line(head, planned, known.get(&planned.key).copied())).collect();
        let verdict = head.verdict();
        let asks = asks(head);
        let mut accounts: Vec<AccountColumn> = Vec::new();
        let mut regions: Vec<Region> = Vec::new();
        let (mut seen_accounts, mut seen_regions) = (BTreeSet::new(), BTreeSet::new());
        for planned in plan {
            if seen_accounts.insert(&planned.key.account) {
                accounts.push(AccountColumn { id: planned.key.account.clone(), name: planned.account_name.clone() });
            }
            if seen_regions.insert(&planned.key.region) {
                regions.push(planned.key.region.clone());
            }
        }
        let ended_at = verdict.and(match &head.phase {
            Phase::Closed { at, .. } => {
                Some(lines.iter().filter_map(|line| line.ended_at).fold(*at, Timestamp::max).max(*at))
            }
            Phase::Waiting { .. } | Phase::Active { .. } => None,
        });
        Self {
            run: head.run.clone(),
            app: head.app.clone(),
            release: head.release.clone(),
            verdict,
            closing: match &head.phase {
                Phase::Closed { because, .. } => Some(because.clone()),
                Phase::Waiting { .. } | Phase::Active { .. } => None,
            },
            waits_for: waits_for(head, &lines, targets),
            reopened: head.reopened,
            already: u32::try_from(targets.iter().filter(|target| target.already).count()).unwrap_or(u32::MAX),
            asked_for: targets.iter().fold(0, |sum, target| sum.saturating_add(target.asked_for)),
            origin: head.origin.clone(),
            unchanged: head.unchanged,
            actions: Action::of(head, asks.as_ref()),
            asks,
            deeds: deeds(head),
            opened_at: head.opened_at,
            ended_at,
            due_at: head.due_at(),
            tally: lines.iter().filter_map(|line| line.status.outcome()).fold(
                Tally::default(),
                |mut tally, outcome| {
                    tally.count(outcome, true);
                    tally
                },
            ),
            size: head.size(),
            waves: head
                .waves
                .iter()
                .map(|wave| WaveLine {
                    name: wave.plan.name.clone(),
                    size: wave.plan.size,
                    in_flight: wave.in_flight(),
                    waiting: wave.plan.size.saturating_sub(wave.released),
                    tally: wave.tally,
                })
                .collect(),
            accounts,
            regions,
            causes: causes(&lines),
            targets: lines,
        }
    }

    /// From opening to the end; `None` while the run is in progress, so that a message changes only when
    /// something else does.
    #[must_use]
    pub fn took(&self) -> Option<Span> {
        self.ended_at.map(|ended| ended.since(self.opened_at))
    }

    /// Whether some failure's reason is still being asked for.
    #[must_use]
    pub fn has_unexplained(&self) -> bool {
        self.causes.iter().any(|group| group.cause == UNEXPLAINED)
    }

    /// What a reader should do next, in one sentence; `None` when there is nothing to do.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        match self.verdict? {
            Verdict::Succeeded => return None,
            Verdict::Overtaken => return Some("Nothing; the newer release carries this one's changes.".to_owned()),
            Verdict::Refused => {
                return Some("Start this release again once the run that is under way has ended.".to_owned());
            }
            Verdict::Aborted | Verdict::NotApproved => {
                return Some("Retry the run, or release again, to go on with what was not started.".to_owned());
            }
            Verdict::Incomplete | Verdict::TimedOut | Verdict::Failed | Verdict::CompletedWithFailures => {}
        }
        let any = |wanted: &dyn Fn(&TargetLine) -> bool| self.targets.iter().any(wanted);
        let failed = |line: &TargetLine| line.status == Status::Ended(Outcome::Failed) && line.execution.is_some();
        let words = if any(&|line| failed(line) && line.subject.pipeline().is_none()) {
            "Open the failed executions and mend the cause, then retry the run or release again."
        } else if any(&failed) {
            "Open the failed executions, mend the cause, then retry the failed stage there (the result is added here) \
             or release again."
        } else if any(&|line| line.status == Status::Ended(Outcome::TimedOut) && line.execution.is_some()) {
            "Open the targets without an answer: if they still run, their result is added here when it comes."
        } else if any(&|line| line.status.outcome().is_some_and(Outcome::is_failure)) {
            "Mend the cause; no execution was started where it failed, so release again afterwards."
        } else if any(&|line| matches!(line.status, Status::Ended(Outcome::Superseded | Outcome::Canceled))) {
            "Check what overtook or changed the pipelines named above; release again if they should have this revision."
        } else {
            "Release again to reach the targets that were skipped."
        };
        Some(words.to_owned())
    }
}

/// The cause of a failure whose reason is not known yet.
pub const UNEXPLAINED: &str = "Reason not known yet";

fn line(head: &Head, planned: &PlannedTarget, target: Option<&Target>) -> TargetLine {
    let released = head.is_released(planned.index);
    let status = match target {
        Some(target) => target.status(),
        None if head.is_closed() => Status::Ended(Outcome::Skipped),
        None if released => Status::Queued,
        None => Status::Waiting,
    };
    let execution = target.and_then(|target| target.execution.clone());
    let started_at = target.and_then(|target| target.started_at);
    let ended_at = target.and_then(Target::ended_at);
    let without_release = status.outcome().is_some_and(|outcome| match outcome {
        Outcome::Failed | Outcome::TimedOut | Outcome::Unreachable => true,
        Outcome::Succeeded | Outcome::Superseded | Outcome::Canceled | Outcome::Skipped => false,
    });
    let reason = target.and_then(|target| target.reason.as_ref()).filter(|_| without_release);
    let unexplained = without_release && target.is_some_and(Target::is_unexplained);
    TargetLine {
        key: planned.key.clone(),
        account_name: planned.account_name.clone(),
        wave: planned.wave,
        status,
        attempt: target.map_or(Attempt::FIRST, |target| target.attempt),
        subject: planned.subject.clone(),
        link: console::of(&planned.key, &planned.subject, execution.as_ref()),
        execution,
        started_at,
        ended_at,
        took: started_at.zip(ended_at).map(|(started, ended)| ended.since(started)),
        cause: match reason {
            _ if unexplained => Some(UNEXPLAINED.to_owned()),
            Some(reason) => Some(reason.cause.clone()),
            None => match status {
                Status::Ended(Outcome::Superseded) => Some("Superseded by a newer execution in the target".to_owned()),
                Status::Ended(Outcome::Canceled) => Some("Canceled: the target's pipeline was changed".to_owned()),
                Status::Ended(Outcome::Failed | Outcome::TimedOut | Outcome::Unreachable) => {
                    Some(UNEXPLAINED.to_owned())
                }
                Status::Ended(Outcome::Succeeded | Outcome::Skipped)
                | Status::Waiting
                | Status::Queued
                | Status::Starting
                | Status::Running
                | Status::Stopping => None,
            },
        },
        detail: reason.and_then(|reason| reason.detail.clone()),
        reason_link: reason.and_then(|reason| reason.link.clone()),
        unrecognised: target.and_then(|target| target.unrecognised.clone()),
        reopened_after_close: target.is_some_and(|target| target.reopened_after_close),
    }
}

fn causes(lines: &[TargetLine]) -> Vec<CauseGroup> {
    let mut groups: BTreeMap<(Outcome, &str), Vec<usize>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        if let (Some(cause), Some(outcome)) = (&line.cause, line.status.outcome()) {
            groups.entry((outcome, cause)).or_default().push(index);
        }
    }
    let mut groups: Vec<CauseGroup> = groups
        .into_iter()
        .map(|((outcome, cause), targets)| CauseGroup { cause: cause.to_owned(), outcome, targets })
        .collect();
    groups.sort_by_key(|group| (!group.outcome.is_failure(), std::cmp::Reverse(group.targets.len())));
    groups
}

/// How many places a line names.
const MOST_NAMED: usize = 3;

fn waits_for(head: &Head, lines: &[TargetLine], targets: &[Target]) -> Vec<String> {
    if head.verdict().is_some() {
        return Vec::new();
    }
    if let Phase::Waiting { behind } = &head.phase {
        return vec![format!("run {behind} of the same app to finish")];
    }
    let mut put_back: BTreeMap<&str, usize> = BTreeMap::new();
    let mut in_line: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for target in targets.iter().filter(|target| target.status() == Status::Queued) {
        if let Some(turn) = target.turn {
            in_line.entry(turn.api.service()).or_default().push(target);
            continue;
        }
        if target.put_back == 0 {
            continue;
        }
        let cause = target.reason.as_ref().map_or("the engine did not take it", |reason| reason.cause.as_str());
        *put_back.entry(cause).or_default() += 1;
    }
    let count = |wanted: fn(Status) -> bool| lines.iter().filter(|line| wanted(line.status)).count();
    let to_start = count(|s| matches!(s, Status::Queued | Status::Starting));
    let mut waits = Vec::new();
    let mut wait = |count: usize, one: &str, many: &str| match count {
        0 => {}
        1 => waits.push(format!("1 {one}")),
        count => waits.push(format!("{count} {many}")),
    };
    wait(count(|s| matches!(s, Status::Running)), "execution to finish", "executions to finish");
    wait(count(|s| matches!(s, Status::Stopping)), "execution to stop", "executions to stop");
    let told_below = put_back.values().sum::<usize>() + in_line.values().map(Vec::len).sum::<usize>();
    wait(to_start.saturating_sub(told_below), "target to be started", "targets to be started");
    for (service, targets) in in_line {
        let noun = if targets.len() == 1 { "target" } else { "targets" };
        let named = targets.iter().take(MOST_NAMED).map(|each| format!("{}/{}", each.account_name, each.key.region));
        let mut places = named.collect::<Vec<_>>().join(", ");
        if let more @ 1.. = targets.len().saturating_sub(MOST_NAMED) {
            places.push_str(&format!(" and {more} more"));
        }
        waits.push(format!("{} {noun} to have a turn at {service}, which limits calls: {places}", targets.len()));
    }
    for (cause, count) in put_back {
        let noun = if count == 1 { "target" } else { "targets" };
        waits.push(format!("{count} {noun} to be tried again: {cause}"));
    }
    // What a closed run has not started, it never will; it can only wait for what was retried elsewhere.
    if !head.is_closed() {
        waits.extend(next_wait(head));
    }
    waits
}

/// The wave that waits for approval. What a hold is does not depend on the time here, so that a message changes only
/// when something else does.
fn asks(head: &Head) -> Option<Asks> {
    let Hold::Approval { wave, until, .. } = head.hold(head.opened_at)? else { return None };
    let wave = head.waves.get(wave)?;
    let approvers = || wave.plan.approval.iter().flat_map(|approval| &approval.approvers);
    Some(Asks {
        wave: wave.plan.name.clone(),
        targets: wave.plan.size,
        approvers: approvers().map(|operator| operator.name.clone()).collect(),
        in_slack: approvers().any(|operator| !operator.slack.is_empty()),
        until,
    })
}

/// What operators have done to a run, and Manifold for want of another way, in words. Names in it are untrusted.
fn deeds(head: &Head) -> Vec<String> {
    let mut deeds: Vec<(Timestamp, String)> = Vec::new();
    for wave in &head.waves {
        if let Some(mark) = &wave.approved {
            deeds.push((mark.at, format!("Wave \"{}\" was approved by {}", wave.plan.name, mark.who)));
        }
    }
    if let Some(mark) = &head.paused {
        deeds.push((mark.at, format!("Paused by {}", mark.who)));
    }
    let ending = head.ending.as_ref().map(|ending| &ending.because);
    let because = match &head.phase {
        Phase::Closed { because, .. } => Some(because),
        Phase::Waiting { .. } | Phase::Active { .. } => ending,
    };
    match because {
        Some(Closing::Aborted { by, stop: false }) => deeds.push((by.at, format!("Aborted by {}", by.who))),
        Some(Closing::Aborted { by, stop: true }) => {
            deeds.push((by.at, format!("Aborted by {}; what ran was stopped", by.who)));
        }
        Some(Closing::Rejected { wave, by }) => {
            deeds.push((by.at, format!("Wave \"{wave}\" was rejected by {}", by.who)));
        }
        Some(
            Closing::Complete
            | Closing::Halted { .. }
            | Closing::DeadlinePassed
            | Closing::Overtaken { .. }
            | Closing::Superseded { .. }
            | Closing::Refused { .. }
            | Closing::Lapsed { .. }
            | Closing::Alarm { .. }
            | Closing::Unlooked { .. },
        )
        | None => {}
    }
    let mut undone = None;
    if let (Some(none), Phase::Closed { at, .. }) = (&head.no_way_back, &head.phase)
        && none.closed_at == *at
    {
        undone = Some(format!("Not rolled back: {}", none.because));
    }
    deeds.sort_by_key(|(at, _)| *at);
    deeds.into_iter().map(|(at, deed)| format!("{deed} at {at}")).chain(undone).collect()
}

/// What a run holds for, in words.
fn held_for(head: &Head) -> Option<String> {
    let name = |wave: usize| head.waves.get(wave).map_or("", |wave| wave.plan.name.as_str());
    Some(match head.hold(head.opened_at)? {
        Hold::Paused { by, until } => format!("{} to resume it; it is aborted at {until}", by.who),
        Hold::Approval { wave, until, .. } => {
            let asks = asks(head).map(|asks| asks.approvers.join(", ")).unwrap_or_default();
            format!("approval of wave \"{}\" by {asks}, until {until}", name(wave))
        }
        Hold::Bake { wave, until } | Hold::Alarms { wave, since: until, .. } => {
            let known = head.waves.get(wave);
            let alarms = known.and_then(|wave| wave.plan.bake.as_ref()).map_or(0, |bake| bake.alarms.len());
            match (known.and_then(|wave| wave.unlooked.as_deref()), alarms) {
                (Some(why), _) => format!("a look at the alarms of wave \"{}\": {why}", name(wave)),
                (None, 0) => format!("wave \"{}\" to bake until {until}", name(wave)),
                (None, _) => format!("wave \"{}\" to bake until {until}, and its alarms to be quiet then", name(wave)),
            }
        }
    })
}

/// What the targets wait for whose turn has not come.
fn next_wait(head: &Head) -> Option<String> {
    if let Some(ending) = &head.ending {
        return Some(format!("what runs to end: {}", ending.because.words()));
    }
    if let Some(hold) = held_for(head) {
        return Some(hold);
    }
    if let Some(over) = head.wave_over_tolerance().filter(|_| head.halts()) {
        let name = &over.plan.name;
        return Some(format!("wave \"{name}\" to end: it is over its failure tolerance, nothing more is started"));
    }
    let wave = head.waves.iter().find(|wave| !wave.is_complete())?;
    let name = &wave.plan.name;
    let here = wave.plan.size.saturating_sub(wave.released);
    let behind = head.size().saturating_sub(head.released()).saturating_sub(here);
    match (here, behind) {
        (0, 0) => None,
        (0, 1) => Some(format!("wave \"{name}\" to end: 1 target is behind it")),
        (0, behind) => Some(format!("wave \"{name}\" to end: {behind} targets are behind it")),
        (here, _) => {
            let most = wave.room();
            Some(format!("a free slot for {here} more in wave \"{name}\" (at most {most} at once)"))
        }
    }
}

/// A tally in words, in the order in which a reader looks: `8 succeeded, 1 failed, 1 skipped`.
#[must_use]
pub fn tally_words(tally: Tally) -> String {
    [
        (tally.failed, Outcome::Failed),
        (tally.unreachable, Outcome::Unreachable),
        (tally.timed_out, Outcome::TimedOut),
        (tally.superseded, Outcome::Superseded),
        (tally.canceled, Outcome::Canceled),
        (tally.skipped, Outcome::Skipped),
        (tally.succeeded, Outcome::Succeeded),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, outcome)| format!("{count} {}", outcome.words()))
    .collect::<Vec<_>>()
    .join(", ")
}

/// A message as Slack's Web API takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The fallback that notifications show, at most 4,000 characters (`chat.postMessage`, `text`).
    pub text: String,
    /// Block Kit blocks, as JSON.
    pub blocks: Vec<serde_json::Value>,
}
