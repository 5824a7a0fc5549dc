//! What many runs of an app say together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::{Ended, Failing, Since, between, closed_at, is_change, last_target, lead, push, took};
use crate::control::Origin;
use crate::event::PipelineState;
use crate::ids::{AppName, RunId, TargetKey};
use crate::run::{Head, HeardOf, Outcome, Status, Target};
use crate::time::{Span, Timestamp};

/// A run as it is stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The run as a whole.
    pub head: Head,
    /// Its targets that were ever claimed.
    pub targets: Vec<Target>,
}

/// How several spans are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many they are.
    pub count: usize,
    /// Half of them are not longer (nearest rank: it is one of them).
    #[serde(rename = "median_ms")]
    pub median: Span,
    /// Nine of ten are not longer, likewise.
    #[serde(rename = "p90_ms")]
    pub p90: Span,
    /// The longest.
    #[serde(rename = "longest_ms")]
    pub longest: Span,
}

impl Spread {
    /// Of some spans; `None` of none.
    #[must_use]
    pub fn of(mut spans: Vec<Span>) -> Option<Self> {
        spans.sort_unstable();
        let rank = |percent: usize| spans.get((spans.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { count: spans.len(), median: rank(50)?, p90: rank(90)?, longest: spans.last().copied()? })
    }
}

/// A share of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// So many.
    pub part: u32,
    /// Of so many.
    pub of: u32,
}

impl Share {
    /// As a number from 0 to 1; `None` of nothing.
    #[must_use]
    pub fn rate(self) -> Option<f64> {
        (self.of > 0).then(|| f64::from(self.part) / f64::from(self.of))
    }
}

impl Serialize for Share {
    /// The rate, or null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rate().serialize(serializer)
    }
}

/// Runs that no deployment is counted for, by why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LeftOut {
    /// They have no verdict yet.
    pub under_way: u32,
    /// Nothing failed, and they did not get everywhere: overtaken, superseded, refused, rejected, aborted.
    pub stopped_short: u32,
    /// Every target had the release already.
    pub without_targets: u32,
    /// Another try at what failed.
    pub retries: u32,
    /// The way back.
    pub rollbacks: u32,
    /// What drifted was brought back.
    pub restores: u32,
}

impl LeftOut {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.under_way + self.stopped_short + self.without_targets + self.retries + self.rollbacks + self.restores
    }
}

/// How long one target takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetFigures {
    /// The account's name in the fleet file, as of the newest run.
    pub account_name: String,
    /// The target.
    pub target: TargetKey,
    /// Its executions that succeeded.
    pub duration: Spread,
}

/// How long a stage of the release pipeline takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageFigures {
    /// Its name. Untrusted.
    pub stage: String,
    /// Of the changes that told it.
    pub duration: Spread,
}

/// A change that failed, and after which nothing good has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unrestored {
    /// The change's run.
    pub run: RunId,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: Timestamp,
}

fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// What an app's runs of a period say together. See [the definitions](super).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The app.
    pub app: AppName,
    /// Runs count that were opened from then on.
    #[serde(serialize_with = "rfc3339")]
    pub since: Timestamp,
    /// And until then.
    #[serde(serialize_with = "rfc3339")]
    pub until: Timestamp,
    /// How many changes ended, good or failed.
    pub deployments: u32,
    /// How many that is a day.
    pub deployments_per_day: Option<f64>,
    /// How many failed: by their first verdict, or because they were rolled back later.
    pub failed: u32,
    /// Those of them that had ended well, and were rolled back later.
    pub rolled_back: u32,
    /// The share of the deployments that failed.
    pub change_failure_rate: Share,
    /// From the commit to the last target.
    pub lead_time: Option<Spread>,
    /// From the start, or else the end, of the release pipeline to the last target: the commit's time is not known.
    pub lead_time_from_release: Option<Spread>,
    /// From the push to the first answer.
    pub feedback_time: Option<Spread>,
    /// From a failure to the next good verdict.
    pub time_to_restore: Option<Spread>,
    /// The failure that lasts.
    pub not_restored: Option<Unrestored>,
    /// The stages of the release pipeline, in the order of the newest change that told them.
    pub stages: Vec<StageFigures>,
    /// The targets, the slowest first.
    pub targets: Vec<TargetFigures>,
    /// What no deployment is counted for.
    pub left_out: LeftOut,
}

/// What happened to an app at a time, of what begins and ends its failures.
enum Turn<'a> {
    Failed { head: &'a Head },
    Good { head: &'a Head },
}

impl History {
    /// What the runs of an app say that were opened in a period. Runs outside of it are left aside.
    #[must_use]
    pub fn of(app: AppName, since: Timestamp, until: Timestamp, runs: &[Stored]) -> Self {
        let mut runs: Vec<&Stored> =
            runs.iter().filter(|run| (since..=until).contains(&run.head.opened_at) && run.head.app == app).collect();
        runs.sort_by(|one, other| (one.head.opened_at, &one.head.run).cmp(&(other.head.opened_at, &other.head.run)));
        let rolled_back = rolled_back(&runs);
        let mut history = Self::empty(app, since, until);
        let (mut from_commit, mut from_release, mut feedback) = (Vec::new(), Vec::new(), Vec::new());
        for Stored { head, targets } in &runs {
            let Some(ended) = history.left_out.sift(head) else { continue };
            history.deployments += 1;
            let failed_first = failed_first(head, ended);
            let went_back = rolled_back.contains_key(&head.run);
            history.failed += u32::from(failed_first || went_back);
            history.rolled_back += u32::from(went_back && !failed_first);
            if let Some((since, span)) = got_everywhere(head, targets, ended).and_then(|end| lead(&head.release, end)) {
                match since {
                    Since::Commit => from_commit.push(span),
                    Since::ReleaseStart | Since::ReleaseEnd => from_release.push(span),
                }
            }
            let answered = targets.iter().filter_map(first_failure).chain(closed_at(head)).min();
            feedback.extend(answered.and_then(|at| push(&head.release, at)).map(|(_, span)| span));
        }
        history.change_failure_rate = Share { part: history.failed, of: history.deployments };
        history.deployments_per_day = per_day(history.deployments, until.since(since));
        history.lead_time = Spread::of(from_commit);
        history.lead_time_from_release = Spread::of(from_release);
        history.feedback_time = Spread::of(feedback);
        let (restored, failing) = restored(&runs, &rolled_back);
        history.time_to_restore = Spread::of(restored);
        history.not_restored = failing.map(|Failing { run, since, .. }| Unrestored { run, since });
        history.stages = stages(&runs);
        history.targets = by_target(&runs);
        history
    }

    fn empty(app: AppName, since: Timestamp, until: Timestamp) -> Self {
        Self {
            app,
            since,
            until,
            deployments: 0,
            deployments_per_day: None,
            failed: 0,
            rolled_back: 0,
            change_failure_rate: Share { part: 0, of: 0 },
            lead_time: None,
            lead_time_from_release: None,
            feedback_time: None,
            time_to_restore: None,
            not_restored: None,
            stages: Vec::new(),
            targets: Vec::new(),
            left_out: LeftOut::default(),
        }
    }
}

impl LeftOut {
    /// What a change's verdict says; counts the run here if no deployment is counted for it.
    fn sift(&mut self, head: &Head) -> Option<Ended> {
        let slot = match (&head.origin, Ended::of(head)) {
            (Origin::Retry { .. }, _) => &mut self.retries,
            (Origin::Rollback { .. }, _) => &mut self.rollbacks,
            (Origin::Restore { .. }, _) => &mut self.restores,
            (Origin::Release | Origin::Start { .. }, Some(ended @ (Ended::Good | Ended::Failed))) => {
                return Some(ended);
            }
            (Origin::Release | Origin::Start { .. }, Some(Ended::Short)) => &mut self.stopped_short,
            (Origin::Release | Origin::Start { .. }, None) if head.verdict().is_none() => &mut self.under_way,
            (Origin::Release | Origin::Start { .. }, None) => &mut self.without_targets,
        };
        *slot += 1;
        None
    }
}

/// Whether a run's first verdict told of a failure. One that is good now, and was reopened, was mended in a target's own
/// account.
fn failed_first(head: &Head, ended: Ended) -> bool {
    match ended {
        Ended::Failed => true,
        Ended::Good | Ended::Short => head.reopened > 0,
    }
}

/// When the last target got it, if all have.
fn got_everywhere(head: &Head, targets: &[Target], ended: Ended) -> Option<Timestamp> {
    match ended {
        Ended::Good if head.reopened > 0 => targets.iter().filter_map(Target::ended_at).max(),
        Ended::Good => last_target(head).or_else(|| closed_at(head)),
        Ended::Failed | Ended::Short => None,
    }
}

/// When the failure of a target's last attempt was told.
fn first_failure(target: &Target) -> Option<Timestamp> {
    let of_last = target.heard.iter().filter(|heard| Some(&heard.execution) == target.execution.as_ref());
    let failed = of_last.filter(|heard| match &heard.what {
        HeardOf::State { state, .. } => matches!(state, PipelineState::Failed | PipelineState::Stopped),
        HeardOf::ActionFailed { .. } => false,
    });
    let is_failure = match target.status() {
        Status::Ended(Outcome::Failed | Outcome::TimedOut | Outcome::Unreachable) => true,
        Status::Ended(Outcome::Succeeded | Outcome::Superseded | Outcome::Canceled | Outcome::Skipped)
        | Status::Waiting
        | Status::Queued
        | Status::Starting
        | Status::Running
        | Status::Stopping => false,
    };
    failed.map(|heard| heard.received).min().or_else(|| target.ended_at().filter(|_| is_failure))
}

/// The changes that were rolled back, each with when that was asked for first. A rollback of a retry is one of the change.
fn rolled_back(runs: &[&Stored]) -> BTreeMap<RunId, Timestamp> {
    let retried: BTreeMap<&RunId, &RunId> = (runs.iter())
        .filter_map(|Stored { head, .. }| match &head.origin {
            Origin::Retry { of, .. } => Some((&head.run, of)),
            Origin::Release | Origin::Start { .. } | Origin::Rollback { .. } | Origin::Restore { .. } => None,
        })
        .collect();
    let mut found = BTreeMap::new();
    for Stored { head, .. } in runs {
        let Origin::Rollback { of, .. } = &head.origin else { continue };
        let (mut of, mut met) = (of, BTreeSet::new());
        while let Some(before) = retried.get(of).filter(|_| met.insert(of)) {
            of = before;
        }
        found.entry(of.clone()).or_insert(head.opened_at);
    }
    found
}

/// How long each failure lasted that ended, and the one that lasts.
fn restored(runs: &[&Stored], rolled_back: &BTreeMap<RunId, Timestamp>) -> (Vec<Span>, Option<Failing>) {
    let mut turns: Vec<(Timestamp, Turn<'_>)> = Vec::new();
    for Stored { head, targets } in runs {
        let (Some(ended), Some(closed)) = (Ended::of(head), closed_at(head)) else { continue };
        if is_change(&head.origin) {
            if failed_first(head, ended) {
                turns.push((closed, Turn::Failed { head }));
            } else if let Some(at) = rolled_back.get(&head.run) {
                turns.push((*at, Turn::Failed { head }));
            }
        }
        if ended == Ended::Good {
            let mended = targets.iter().filter_map(Target::ended_at).max().filter(|_| head.reopened > 0);
            turns.push((mended.map_or(closed, |at| at.max(closed)), Turn::Good { head }));
        }
    }
    // What happens at the same time fails first: a run that was mended is not failing after it.
    turns.sort_by_key(|(at, turn)| (*at, matches!(turn, Turn::Good { .. })));
    let (mut spans, mut failing): (_, Option<Failing>) = (Vec::new(), None);
    for (at, turn) in turns {
        match turn {
            Turn::Failed { head } => {
                let new = || Failing { run: head.run.clone(), opened_at: head.opened_at, since: at };
                failing.get_or_insert_with(new);
            }
            Turn::Good { head } => {
                if let Some(ended) = failing.take_if(|failing| failing.is_ended_by(head)) {
                    spans.extend(between(ended.since, at));
                }
            }
        }
    }
    (spans, failing)
}

fn stages(runs: &[&Stored]) -> Vec<StageFigures> {
    let mut spans: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    // A retry tells the stages of the same execution once more.
    for Stored { head, .. } in runs.iter().rev().filter(|run| is_change(&run.head.origin)) {
        for stage in &head.release.stages {
            if !order.contains(&stage.name.as_str()) {
                order.push(&stage.name);
            }
            spans.entry(&stage.name).or_default().extend(between(stage.began, stage.ended));
        }
    }
    let spread = |stage: &str| spans.get(stage).cloned().and_then(Spread::of);
    order
        .into_iter()
        .filter_map(|stage| Some(StageFigures { stage: stage.to_owned(), duration: spread(stage)? }))
        .collect()
}

fn by_target(runs: &[&Stored]) -> Vec<TargetFigures> {
    let mut found: BTreeMap<&TargetKey, (&str, Vec<Span>)> = BTreeMap::new();
    for target in runs.iter().flat_map(|run| &run.targets) {
        if target.status() != Status::Ended(Outcome::Succeeded) {
            continue;
        }
        let (name, spans) = found.entry(&target.key).or_default();
        *name = &target.account_name;
        spans.extend(took(target));
    }
    let mut figures: Vec<TargetFigures> = (found.into_iter())
        .filter_map(|(target, (name, spans))| {
            let duration = Spread::of(spans)?;
            Some(TargetFigures { account_name: name.to_owned(), target: target.clone(), duration })
        })
        .collect();
    figures.sort_by(|one, other| {
        let slowest = other.duration.median.cmp(&one.duration.median);
        slowest.then_with(|| (&one.account_name, &one.target).cmp(&(&other.account_name, &other.target)))
    });
    figures
}

#[expect(clippy::cast_precision_loss, reason = "a period of more than 2^53 ms is none")]
fn per_day(count: u32, period: Span) -> Option<f64> {
    const DAY: f64 = 24.0 * 60.0 * 60.0 * 1000.0;
    let days = period.as_millis() as f64 / DAY;
    (days > 0.0).then(|| f64::from(count) / days)
}
