//! The model of a check's message: what a person must know about it, derived from what is stored.
//!
//! [`Report::of`] derives; the renderers only lay out. [`slack`] is the message as Slack takes it, [`text`] the same for a
//! terminal; serialised it is what a program reads.
//!
//! **Invariant:** a value stands in it only once the check has ended, and in sync is only what was concluded to be:
//! whatever is missing is unknown (law 6). While the check is open it says how far it is and what it waits for (law 8).

mod layout;
pub mod slack;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::check::{Again, Change, Check, Counts, Looked, News, Phase};
use super::judge::{Finding, Value};
use super::sight::StackSeen;
use super::{Aspect, Cause, Ignore};
use crate::checkup::Tried;
use crate::console;
use crate::engine::Subject;
use crate::ids::{AppName, ExecutionId, RunId, TargetKey};
use crate::plan::PlannedTarget;
use crate::time::{Span, Timestamp};

/// What a person must know about a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The check.
    pub check: RunId,
    /// The app.
    pub app: AppName,
    /// Why it was opened.
    pub cause: Cause,
    /// When.
    pub opened_at: Timestamp,
    /// When it ends at the latest.
    pub due_at: Timestamp,
    /// How it stands.
    pub state: State,
    /// What it waits for, in words, while it is open. Names in them are the fleet file's.
    pub waits_for: Vec<String>,
    /// How many targets it has.
    pub size: u32,
    /// Whether these are all of the app's.
    pub is_whole: bool,
    /// How many targets were looked at twice.
    pub looked_twice: u32,
    /// How many targets were found how; nothing while it is open.
    pub counts: Counts,
    /// How many comparisons changed since the check before; nothing while it is open.
    pub news: News,
    /// The app's check before; `None` if it is the first one, or open.
    pub before: Option<RunId>,
    /// Whether all that stands is told, as its turn came.
    pub is_digest: bool,
    /// Every target, in the order of the plan.
    pub targets: Vec<TargetLine>,
    /// Targets that the app does not have any more, of which something stood.
    pub gone: Vec<String>,
    /// The targets that get their last good release again.
    pub redeploys: Vec<TargetKey>,
    /// The rules that hide what is known and meant.
    pub rules: Rules,
    /// The later checks that found nothing new.
    pub again: Option<Again>,
    /// That no other check followed this one when it should have.
    pub overdue: Option<Overdue>,
}

/// How a check stands, in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Its targets are looked at.
    Looking {
        /// How many were.
        looked: u32,
    },
    /// What is not in sync is looked at again.
    Confirming {
        /// How many targets were.
        looked: u32,
        /// How many are to be.
        awaited: u32,
    },
    /// It has ended.
    Closed {
        /// When.
        at: Timestamp,
        /// Whether it ended because its time was up.
        out_of_time: bool,
    },
}

/// One target in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetLine {
    /// Account and Region.
    #[serde(flatten)]
    pub key: TargetKey,
    /// The account's name.
    pub account_name: String,
    /// What is started there.
    #[serde(rename = "pipeline")]
    pub subject: Subject,
    /// By its worst comparison; `None` while the check is open.
    pub value: Option<Answer>,
    /// Its comparisons; none while the check is open.
    pub aspects: BTreeMap<Aspect, AspectLine>,
}

/// How something came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is not as it should be.
    Drifted,
    /// That is not known.
    Unknown,
    /// It was seen to be as it should.
    InSync,
}

/// One comparison of a target in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AspectLine {
    /// How it came out.
    pub value: Answer,
    /// What was found, or why nothing could be. Untrusted.
    pub findings: Vec<Finding>,
    /// Against the check before; `None` if it is in sync, as it was.
    pub change: Option<Change>,
    /// Where to look at it in the console.
    pub link: Option<String>,
}

/// Ignore rules in a report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Rules {
    /// How many were in force when the check was opened.
    pub in_force: u32,
    /// When the next of them ends.
    pub next_ends: Option<Timestamp>,
    /// Those that were not any more.
    pub expired: Vec<Ignore>,
}

/// That no check followed a scheduled one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Overdue {
    /// When the next one should have been opened.
    pub due: Timestamp,
    /// When it was noticed that nobody had.
    pub noticed_at: Timestamp,
}

impl Report {
    /// Derives the report of a check. `plan` is its whole plan in order; `looked` what is stored of its targets.
    #[must_use]
    pub fn of(check: &Check, plan: &[PlannedTarget], looked: &[Looked]) -> Self {
        let by_key: BTreeMap<&TargetKey, &Looked> = looked.iter().map(|looked| (&looked.key, looked)).collect();
        let is_closed = check.closed().is_some();
        let targets: Vec<TargetLine> = plan
            .iter()
            .map(|planned| {
                let aspects = match is_closed {
                    true => aspects(planned, by_key.get(&planned.key).copied()),
                    false => BTreeMap::new(),
                };
                let worst = aspects.values().map(|line| line.value).min().unwrap_or(Answer::Unknown);
                TargetLine {
                    key: planned.key.clone(),
                    account_name: planned.account_name.clone(),
                    subject: planned.subject.clone(),
                    value: is_closed.then_some(worst),
                    aspects,
                }
            })
            .collect();
        let closed = check.closed();
        Self {
            check: check.run.clone(),
            app: check.app.clone(),
            cause: check.cause.clone(),
            opened_at: check.opened_at,
            due_at: check.due_at,
            state: match &check.phase {
                Phase::Looking => State::Looking { looked: check.looked },
                Phase::Confirming { awaited, looked, .. } => State::Confirming { looked: *looked, awaited: *awaited },
                Phase::Closed(closed) => State::Closed { at: closed.at, out_of_time: closed.out_of_time },
            },
            waits_for: waits_for(check, plan, &by_key),
            size: check.size,
            is_whole: check.is_whole,
            looked_twice: count(looked.iter().filter(|looked| looked.second.is_some()).count()),
            counts: counts(&targets),
            news: news(&targets),
            before: closed.and_then(|closed| closed.before.clone()),
            is_digest: closed.is_some_and(|closed| closed.is_digest),
            targets,
            gone: closed.map(|closed| closed.gone.clone()).unwrap_or_default(),
            redeploys: closed.map(|closed| closed.redeploys.clone()).unwrap_or_default(),
            rules: rules(check),
            again: check.again.clone(),
            overdue: overdue(check),
        }
    }

    /// Whether the check has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Looking { .. } | State::Confirming { .. } => false,
        }
    }

    /// Whether every target was found in sync. An open check has found nothing yet.
    #[must_use]
    pub const fn is_in_sync(&self) -> bool {
        self.is_closed() && self.counts.in_sync > 0 && !self.has_drift() && !self.has_unknown()
    }

    /// Whether any target drifted.
    #[must_use]
    pub const fn has_drift(&self) -> bool {
        self.counts.drifted > 0
    }

    /// Whether any target is unknown: nothing of it drifted, as far as it could be looked at, and not all of it could.
    #[must_use]
    pub const fn has_unknown(&self) -> bool {
        self.counts.unknown > 0
    }

    /// Whether the check itself could look nowhere: it says nothing of any target.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        self.is_closed() && self.counts.in_sync == 0 && self.counts.drifted == 0
    }

    /// From opening to the end; `None` while it is open.
    #[must_use]
    pub const fn took(&self) -> Option<Span> {
        match self.state {
            State::Closed { at, .. } => Some(at.since(self.opened_at)),
            State::Looking { .. } | State::Confirming { .. } => None,
        }
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// How the comparisons of a target came out.
fn aspects(planned: &PlannedTarget, looked: Option<&Looked>) -> BTreeMap<Aspect, AspectLine> {
    let planned_aspects = planned.looks.iter().flat_map(|looks| &looks.aspects);
    let concluded = looked.map(|looked| &looked.concluded);
    let all: BTreeSet<Aspect> =
        planned_aspects.chain(concluded.into_iter().flat_map(BTreeMap::keys)).copied().collect();
    let line = |aspect: Aspect| {
        let (value, findings, change) = match (looked, concluded.and_then(|concluded| concluded.get(&aspect))) {
            (_, Some(concluded)) => {
                let value = match &concluded.value {
                    Value::InSync => Answer::InSync,
                    Value::Drifted(_) => Answer::Drifted,
                    Value::Unknown(_) => Answer::Unknown,
                };
                (value, concluded.value.findings().to_vec(), Some(concluded.change.clone()))
            }
            (Some(_), None) => (Answer::InSync, Vec::new(), None),
            (None, None) => (Answer::Unknown, vec![Finding::of("nothing is stored of it")], None),
        };
        let link = link(planned, looked, aspect, &findings);
        (aspect, AspectLine { value, findings, change, link })
    };
    all.into_iter().map(line).collect()
}

/// Where to look at a comparison in the console.
fn link(planned: &PlannedTarget, looked: Option<&Looked>, aspect: Aspect, findings: &[Finding]) -> Option<String> {
    let page = |execution: Option<&ExecutionId>| console::of(&planned.key, &planned.subject, execution);
    match aspect {
        Aspect::Revision | Aspect::Definition => page(None),
        Aspect::Health => {
            let execution = findings.iter().find_map(|finding| {
                let is_execution = finding.path.as_deref().is_some_and(|path| path.starts_with("/executions/"));
                finding.found.as_deref().filter(|_| is_execution)?.parse().ok()
            });
            page(execution.as_ref())
        }
        Aspect::Stack => {
            let looked = looked?;
            let arn = |name: &str| {
                let sights = looked.second.iter().chain([&looked.first]);
                let mut stacks = sights.flat_map(|sight| &sight.stacks).filter(|stack| stack.name == name);
                stacks.find_map(|stack| match &stack.seen {
                    Tried::Done(StackSeen::Detected(drift)) => drift.arn.as_deref(),
                    Tried::Done(StackSeen::Detecting { .. })
                    | Tried::Refused { .. }
                    | Tried::Unanswered { .. }
                    | Tried::NotTried => None,
                })
            };
            let stack = |finding: &Finding| finding.path.as_deref()?.split('/').nth(1).and_then(arn);
            console::stack_drift(&planned.key, findings.iter().find_map(stack)?)
        }
    }
}

fn counts(targets: &[TargetLine]) -> Counts {
    targets.iter().filter_map(|target| target.value).fold(Counts::default(), |mut counts, value| {
        match value {
            Answer::InSync => counts.in_sync += 1,
            Answer::Drifted => counts.drifted += 1,
            Answer::Unknown => counts.unknown += 1,
        }
        counts
    })
}

fn news(targets: &[TargetLine]) -> News {
    let changes = targets.iter().flat_map(|target| target.aspects.values()).filter_map(|line| line.change.as_ref());
    changes.fold(News::default(), |mut news, change| {
        match change {
            Change::New | Change::Other { .. } => news.new += 1,
            Change::Persisting { .. } => news.persisting += 1,
            Change::Resolved { .. } => news.resolved += 1,
        }
        news
    })
}

fn rules(check: &Check) -> Rules {
    let (in_force, expired): (Vec<&Ignore>, Vec<&Ignore>) =
        check.policy.ignore.iter().partition(|rule| check.opened_at < rule.until);
    Rules {
        in_force: count(in_force.len()),
        next_ends: in_force.iter().map(|rule| rule.until).min(),
        expired: expired.into_iter().cloned().collect(),
    }
}

fn overdue(check: &Check) -> Option<Overdue> {
    let noticed_at = check.overdue_at?;
    match &check.cause {
        Cause::Scheduled { slot, every } => Some(Overdue { due: slot.plus(*every), noticed_at }),
        // Nothing follows it.
        Cause::Asked { .. } => None,
    }
}

/// How many places a line names.
const MOST_NAMED: usize = 3;

fn waits_for(check: &Check, plan: &[PlannedTarget], by_key: &BTreeMap<&TargetKey, &Looked>) -> Vec<String> {
    if check.closed().is_some() {
        return Vec::new();
    }
    let named = |places: &[&PlannedTarget]| {
        let names = places.iter().take(MOST_NAMED).map(|each| format!("{}/{}", each.account_name, each.key.region));
        let mut names = names.collect::<Vec<_>>().join(", ");
        if let more @ 1.. = places.len().saturating_sub(MOST_NAMED) {
            names.push_str(&format!(" and {} more", crate::summary::layout::number(more)));
        }
        names
    };
    let targets = |places: &[&PlannedTarget]| crate::summary::layout::targets(places.len());
    let mut waits = Vec::new();
    let unseen: Vec<&PlannedTarget> = plan.iter().filter(|planned| !by_key.contains_key(&planned.key)).collect();
    if !unseen.is_empty() {
        waits.push(format!("{} to be looked at: {}", targets(&unseen), named(&unseen)));
    }
    let is_detecting =
        |planned: &&PlannedTarget| by_key.get(&planned.key).is_some_and(|each| each.detecting().is_some());
    let detecting: Vec<&PlannedTarget> = plan.iter().filter(is_detecting).collect();
    if !detecting.is_empty() {
        let words = "CloudFormation to end its drift detection in";
        waits.push(format!("{words} {}: {}", targets(&detecting), named(&detecting)));
    }
    if let Phase::Confirming { awaited, looked, since } = &check.phase {
        let twice = |planned: &&PlannedTarget| {
            is_detecting(planned) && by_key.get(&planned.key).is_some_and(|each| each.second.is_some())
        };
        let again = awaited.saturating_sub(*looked).saturating_sub(count(plan.iter().filter(twice).count()));
        if again > 0 {
            let from = check.policy.confirm.map(|delay| format!(", from {} on", since.plus(delay)));
            let again = crate::summary::layout::targets(again);
            waits.push(format!("{again} to be looked at again{}", from.unwrap_or_default()));
        }
    }
    if waits.is_empty() {
        waits.push("what was seen to be judged".to_owned());
    }
    waits
}
