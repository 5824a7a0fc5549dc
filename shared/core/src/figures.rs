//! Pipeline figures: how often, how fast and how safely releases go out.
//!
//! Two readers have the same definitions: [`Step::figures`](crate::run::Step::figures) says what one committed step is
//! worth measuring, for CloudWatch, and [`history`] says what many stored runs say together, for `manifold stats`.
//!
//! | figure | counts | leaves out |
//! |---|---|---|
//! | deployments | *changes* ([`is_change`]) that ended good or failed ([`Ended`]) | drift checks, retries, rollbacks, restores; what was overtaken, refused or ended short of all targets with no failure; runs without targets |
//! | change failure rate | of these, those that failed, or were rolled back later | the same |
//! | lead time | commit to last target, of changes that got everywhere | changes that did not |
//! | feedback time | push to the first target that failed for good, or else to the verdict | as deployments |
//! | time to restore | from a change's failure to the next verdict that is good, of that run or of a later one; retries and rollbacks restore too | restores of drift |
//! | target duration | started to succeeded, of one execution | what did not succeed, or was not seen to start |
//! | stage duration | the first action of a stage of the release pipeline to its last | stages that were not told |
//!
//! **Invariant:** what is not known is left out and counted as such; it is never zero (law 6). A lead time without the
//! commit's time is counted from the release pipeline, and is another figure ([`Since`]).

pub mod history;

use serde::{Deserialize, Serialize};

use crate::control::Origin;
use crate::ids::{RunId, TargetKey};
use crate::release::Release;
use crate::run::{Head, Phase, Target, Verdict};
use crate::time::{Span, Timestamp};

/// What CloudWatch knows a figure as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// A change ended, good or failed: 1.
    Deployments,
    /// The same change: 1 if it failed, else 0, so that the rate is a mean.
    FailedDeployments,
    /// A run of any kind got a verdict that tells of a failure: 1.
    FailedRuns,
    /// From the commit to the last target.
    LeadTime,
    /// From the release pipeline's start, or its end, to the last target: the commit's time is not known.
    LeadTimeFromRelease,
    /// From the push to the first answer.
    FeedbackTime,
    /// From a failure to the next verdict that is good.
    TimeToRestore,
    /// Of one execution in a target.
    TargetDuration,
    /// Of one stage of the release pipeline.
    StageDuration,
}

/// What a figure's value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Seconds, with a fraction.
    Seconds,
}

impl Unit {
    /// As CloudWatch spells it (`MetricDatum`, CloudWatch API reference).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
        }
    }
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Deployments,
        Self::FailedDeployments,
        Self::FailedRuns,
        Self::LeadTime,
        Self::LeadTimeFromRelease,
        Self::FeedbackTime,
        Self::TimeToRestore,
        Self::TargetDuration,
        Self::StageDuration,
    ];

    /// The metric's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployments => "Deployments",
            Self::FailedDeployments => "FailedDeployments",
            Self::FailedRuns => "FailedRuns",
            Self::LeadTime => "LeadTime",
            Self::LeadTimeFromRelease => "LeadTimeFromRelease",
            Self::FeedbackTime => "FeedbackTime",
            Self::TimeToRestore => "TimeToRestore",
            Self::TargetDuration => "TargetDuration",
            Self::StageDuration => "StageDuration",
        }
    }

    /// What its value counts.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Deployments | Self::FailedDeployments | Self::FailedRuns => Unit::Count,
            Self::LeadTime
            | Self::LeadTimeFromRelease
            | Self::FeedbackTime
            | Self::TimeToRestore
            | Self::TargetDuration
            | Self::StageDuration => Unit::Seconds,
        }
    }
}

/// One value of one measure, of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Of what.
    pub measure: Measure,
    /// How many, or milliseconds.
    value: i64,
    /// The stage that it is of.
    pub stage: Option<String>,
    /// The target that it is of. For the log only: a metric for each target would cost more than it tells.
    pub target: Option<TargetKey>,
}

impl Figure {
    fn count(measure: Measure, value: i64) -> Self {
        Self { measure, value, stage: None, target: None }
    }

    fn span(measure: Measure, span: Span) -> Self {
        Self::count(measure, span.as_millis())
    }

    /// The value in the measure's unit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a span of more than 2^53 ms is no span of a rollout")]
    pub fn value(&self) -> f64 {
        match self.measure.unit() {
            Unit::Count => self.value as f64,
            Unit::Seconds => self.value as f64 / 1000.0,
        }
    }
}

/// What a verdict says of what was rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every target has it.
    Good,
    /// Something failed, tolerated or not: some target does not have it, or an alarm went off.
    Failed,
    /// It did not get everywhere, and nothing failed: overtaken, superseded, refused, rejected, aborted.
    Short,
}

impl Ended {
    /// What a run's verdict says. `None` while it has none, and if it had no target.
    #[must_use]
    pub fn of(head: &Head) -> Option<Self> {
        let verdict = head.verdict()?;
        if head.size() == 0 {
            return None;
        }
        Some(match verdict {
            Verdict::Succeeded => Self::Good,
            Verdict::Failed | Verdict::TimedOut | Verdict::CompletedWithFailures => Self::Failed,
            Verdict::Incomplete | Verdict::Aborted | Verdict::NotApproved if head.tally().failures() > 0 => {
                Self::Failed
            }
            Verdict::Incomplete | Verdict::Aborted | Verdict::NotApproved | Verdict::Overtaken | Verdict::Refused => {
                Self::Short
            }
        })
    }
}

/// Whether a run brings a change: a release, or one that somebody started. Another try and the way back are none.
#[must_use]
pub const fn is_change(origin: &Origin) -> bool {
    match origin {
        Origin::Release | Origin::Start { .. } => true,
        Origin::Retry { .. } | Origin::Rollback { .. } | Origin::Restore { .. } => false,
    }
}

/// Whether a good verdict of such a run ends a failure. What brings drift back does not: its failure is another one.
const fn restores(origin: &Origin) -> bool {
    match origin {
        Origin::Release | Origin::Start { .. } | Origin::Retry { .. } | Origin::Rollback { .. } => true,
        Origin::Restore { .. } => false,
    }
}

/// What a time is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// The commit's author date.
    Commit,
    /// The start of the release pipeline.
    ReleaseStart,
    /// The end of the release pipeline; of a run that somebody started, the command.
    ReleaseEnd,
}

/// A span, or nothing if it would end before it begins: then one of the two times is wrong.
fn between(from: Timestamp, to: Timestamp) -> Option<Span> {
    (from <= to).then(|| to.since(from))
}

/// From the commit to `end`, or from as near to it as is known.
fn lead(release: &Release, end: Timestamp) -> Option<(Since, Span)> {
    let commit = release.revision.as_ref().and_then(|revision| revision.authored_at);
    // A clock that is ahead of the release's own tells nothing.
    let commit = commit.filter(|at| *at <= release.released_at);
    match commit.and_then(|at| between(at, end)) {
        Some(span) => Some((Since::Commit, span)),
        None => push(release, end),
    }
}

/// From the push to `end`: a push starts the release pipeline.
fn push(release: &Release, end: Timestamp) -> Option<(Since, Span)> {
    let start = release.started_at.filter(|at| *at <= release.released_at);
    match start.and_then(|at| between(at, end)) {
        Some(span) => Some((Since::ReleaseStart, span)),
        None => between(release.released_at, end).map(|span| (Since::ReleaseEnd, span)),
    }
}

/// How long a target's execution took, if it succeeded and was seen to start.
fn took(target: &Target) -> Option<Span> {
    between(target.started_at?, target.ended_at()?)
}

/// That an app's newest change failed, and nothing good came since. Stored with the app's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The run of the first change that failed.
    pub run: RunId,
    /// When that run was opened: only its own good end, or a later run's, ends this.
    pub opened_at: Timestamp,
    /// Since when.
    pub since: Timestamp,
}

impl Failing {
    fn is_ended_by(&self, head: &Head) -> bool {
        restores(&head.origin) && (head.run == self.run || head.opened_at >= self.opened_at)
    }
}

/// What is to be measured of a step, and whether the app is failing after it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) figures: Vec<Figure>,
    pub(crate) failing: Option<Failing>,
}

/// What a step at `now` is worth measuring once it is committed: the verdict if it gave one, the first failure if it
/// learnt of it, and the targets that succeeded in it.
///
/// A worker that repeats a step finds it done and measures nothing; one that dies between commit and log measured
/// nothing, too. So a figure may be missing, and is not counted twice; but a change that fails, is mended in its own
/// account before its verdict, and ends good has had two first answers. CloudWatch itself promises to take each line in
/// at least once ("Specification: Embedded metric format", CloudWatch User Guide).
pub(crate) fn told(
    before: Option<&Head>,
    head: &Head,
    failing: Option<Failing>,
    succeeded: &[&Target],
    now: Timestamp,
) -> Measured {
    let mut figures = Vec::new();
    for target in succeeded {
        figures.extend(
            took(target)
                .map(|span| Figure { target: Some(target.key.clone()), ..Figure::span(Measure::TargetDuration, span) }),
        );
    }
    let given = before.and_then(Head::verdict) != head.verdict();
    let Some(ended) = Ended::of(head).filter(|_| given) else {
        let failures = |head: &Head| head.tally().failures();
        let is_first = before.is_some_and(|before| failures(before) == 0) && failures(head) > 0;
        if is_first && is_change(&head.origin) && head.reopened == 0 {
            figures.extend(push(&head.release, now).map(|(_, span)| Figure::span(Measure::FeedbackTime, span)));
        }
        return Measured { figures, failing };
    };
    let mut failing = failing;
    if ended == Ended::Failed {
        figures.push(Figure::count(Measure::FailedRuns, 1));
    }
    if is_change(&head.origin) {
        figures.extend(change(before, head, ended, now));
        if ended == Ended::Failed && head.reopened == 0 {
            let new = || Failing { run: head.run.clone(), opened_at: head.opened_at, since: now };
            failing.get_or_insert_with(new);
        }
    }
    if ended == Ended::Good
        && let Some(ending) = failing.take_if(|failing| failing.is_ended_by(head))
    {
        figures.extend(between(ending.since, now).map(|span| Figure::span(Measure::TimeToRestore, span)));
    }
    Measured { figures, failing }
}

/// The figures of a change's verdict. What is given anew, after a retry in a target's own account, is no deployment of its
/// own.
fn change(before: Option<&Head>, head: &Head, ended: Ended, now: Timestamp) -> Vec<Figure> {
    let mut figures = Vec::new();
    let is_first = head.reopened == 0;
    match ended {
        Ended::Good | Ended::Failed if is_first => {
            figures.push(Figure::count(Measure::Deployments, 1));
            figures.push(Figure::count(Measure::FailedDeployments, i64::from(ended == Ended::Failed)));
            let was_answered = before.is_some_and(|before| before.tally().failures() > 0);
            let answer = push(&head.release, now).filter(|_| !was_answered);
            figures.extend(answer.map(|(_, span)| Figure::span(Measure::FeedbackTime, span)));
            figures.extend(head.release.stages.iter().filter_map(|stage| {
                let span = between(stage.began, stage.ended)?;
                Some(Figure { stage: Some(stage.name.clone()), ..Figure::span(Measure::StageDuration, span) })
            }));
        }
        Ended::Good | Ended::Failed | Ended::Short => {}
    }
    if ended == Ended::Good {
        let end = if is_first { last_target(head).unwrap_or(now) } else { now };
        figures.extend(lead(&head.release, end).map(|(since, span)| match since {
            Since::Commit => Figure::span(Measure::LeadTime, span),
            Since::ReleaseStart | Since::ReleaseEnd => Figure::span(Measure::LeadTimeFromRelease, span),
        }));
    }
    figures
}

/// When the last target ended, as Manifold learnt of it; a bake goes on after that.
fn last_target(head: &Head) -> Option<Timestamp> {
    head.waves.iter().filter_map(|wave| wave.completed_at).max()
}

/// When a run closed.
const fn closed_at(head: &Head) -> Option<Timestamp> {
    match &head.phase {
        Phase::Closed { at, .. } => Some(*at),
        Phase::Waiting { .. } | Phase::Active { .. } => None,
    }
}
