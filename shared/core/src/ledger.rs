//! Keys and items as they are stored: one table, string keys, a schema version on each item.
//!
//! | item | partition key | sort key |
//! |---|---|---|
//! | run / head | `run#<run>` | `head` |
//! | run / plan | `run#<run>` | `plan#<chunk>` |
//! | run / target | `run#<run>` | `target#<account>#<region>` |
//! | run / summary | `run#<run>` | `summary` |
//! | notice | `notice#<job>` | `summary` |
//! | execution / link | `execution#<account>#<region>#<id>` | `link` |
//! | run / decision | `run#<run>` | `decision#<time>#<id>` |
//! | app / queue | `app#<app>` | `queue` |
//! | app / target | `app#<app>` | `target#<account>#<region>` |
//! | app / run | `app#<app>` | `run#<time>#<run>` |
//! | open runs | `open` | `run#<run>` |
//! | check | `run#<check>` | `check` |
//! | check / target | `run#<check>` | `looked#<account>#<region>` |
//! | detection | `detection#<account>#<region>#<id>` | `detection` |
//! | app / baseline | `app#<app>` | `baseline#<account>#<region>` |
//! | app / standing | `app#<app>` | `standing#<account>#<region>` |
//! | app / ignore | `app#<app>` | `ignore#<time>#<id>` |
//! | app / check | `app#<app>` | `check#<time>#<check>` |
//! | app / last check | `app#<app>` | `last-check` |
//! | definition | `definition#<app>` | its digest |
//! | open checks | `open` | `check#<check>` |
//! | pace | `pace#<account>#<region>`, or `pace#hub` | the API's name |
//!
//! No item lists all targets, and a target's item is written when it is first claimed: opening a run of 10,000
//! targets writes the plan, 25 targets an item, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control::Decision;
use crate::drift::message::{Detection, Look};
use crate::drift::{Baseline, Check, Definition, Ignore, Last, Looked, OpenCheck, Standing};
use crate::ids::{AppName, Attempt, ExecutionRef, Nonce, RunId, TargetKey};
use crate::known::Known;
use crate::pace::{Lane, Pace};
use crate::plan::PlannedTarget;
use crate::run::machine::AppQueue;
use crate::run::posting::Posting;
use crate::run::sweep::OpenRun;
use crate::run::{Head, Observation, Step, Target};
use crate::time::{Span, Timestamp};

/// The schema of items that this version writes. Law 9: it reads every earlier one.
pub const SCHEMA: u32 = 1;

/// How long a finished run stays in the table: CodePipeline keeps its history for 12 months.
pub const RUN_RETENTION: Span = Span::from_minutes(60 * 24 * 400);
/// How long a finished drift check stays in the table; what stands, and what is accepted, does longer.
pub const CHECK_RETENTION: Span = Span::from_minutes(60 * 24 * 90);
/// How long a pace is kept that nobody uses: what was learnt of an account is worth a release now and then.
pub const PACE_RETENTION: Span = Span::from_minutes(60 * 24 * 30);
/// How long an event of an execution that nobody has claimed is kept.
pub const ORPHAN_RETENTION: Span = Span::from_minutes(60 * 24 * 2);

/// Where an item is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The run as a whole.
    Head(RunId),
    /// A slice of its plan.
    Plan(RunId, u32),
    /// One target.
    Target(RunId, TargetKey),
    /// Its Slack message.
    Summary(RunId),
    /// A message that is no run's, by its id.
    Notice(String),
    /// Whose execution it is.
    Link(ExecutionRef),
    /// A decision about a run, by its time and its id.
    Decision(RunId, Timestamp, String),
    /// The runs of an app.
    Queue(AppName),
    /// What is known to be deployed in a target.
    Known(AppName, TargetKey),
    /// That a run of an app was opened, and when.
    Opening(AppName, Timestamp, RunId),
    /// A run that is looked after.
    Open(RunId),
    /// How fast an API may be called.
    Pace(Lane),
    /// A drift check as a whole. Its plan, its message and the decisions about it have the keys of a run's.
    Check(RunId),
    /// What was seen of one of its targets.
    Looked(RunId, TargetKey),
    /// Whose drift detection it is, by its place and CloudFormation's id.
    Detection(TargetKey, String),
    /// What is accepted of a target.
    Baseline(AppName, TargetKey),
    /// What stands of a target that is not in sync.
    Standing(AppName, TargetKey),
    /// A rule that an operator made, by the time and the id of the command.
    Ignore(AppName, Timestamp, String),
    /// That a check of an app was opened, and when.
    Checked(AppName, Timestamp, RunId),
    /// The last check of an app.
    LastCheck(AppName),
    /// A definition by its digest.
    Definition(AppName, String),
    /// A check that is looked after.
    OpenCheck(RunId),
}

impl Key {
    /// The partition key.
    #[must_use]
    pub fn partition(&self) -> String {
        match self {
            Self::Head(run)
            | Self::Plan(run, _)
            | Self::Target(run, _)
            | Self::Summary(run)
            | Self::Decision(run, _, _)
            | Self::Check(run)
            | Self::Looked(run, _) => format!("run#{run}"),
            Self::Notice(id) => format!("notice#{id}"),
            Self::Link(ExecutionRef { target, id }) => format!("execution#{}#{}#{id}", target.account, target.region),
            Self::Queue(app)
            | Self::Known(app, _)
            | Self::Opening(app, _, _)
            | Self::Baseline(app, _)
            | Self::Standing(app, _)
            | Self::Ignore(app, _, _)
            | Self::Checked(app, _, _)
            | Self::LastCheck(app) => format!("app#{app}"),
            Self::Definition(app, _) => format!("definition#{app}"),
            Self::Detection(TargetKey { account, region }, id) => format!("detection#{account}#{region}#{id}"),
            Self::Open(_) | Self::OpenCheck(_) => OPEN.to_owned(),
            Self::Pace(lane) => match lane.place() {
                Some(TargetKey { account, region }) => format!("pace#{account}#{region}"),
                None => "pace#hub".to_owned(),
            },
        }
    }

    /// The run that the item belongs to; `None` for what outlives runs, and for an execution's link.
    #[must_use]
    pub const fn run(&self) -> Option<&RunId> {
        match self {
            Self::Head(run)
            | Self::Plan(run, _)
            | Self::Target(run, _)
            | Self::Summary(run)
            | Self::Decision(run, _, _)
            | Self::Open(run)
            | Self::Check(run)
            | Self::Looked(run, _)
            | Self::OpenCheck(run) => Some(run),
            Self::Notice(_)
            | Self::Link(_)
            | Self::Queue(_)
            | Self::Known(_, _)
            | Self::Opening(_, _, _)
            | Self::Pace(_)
            | Self::Detection(_, _)
            | Self::Baseline(_, _)
            | Self::Standing(_, _)
            | Self::Ignore(_, _, _)
            | Self::Checked(_, _, _)
            | Self::LastCheck(_)
            | Self::Definition(_, _) => None,
        }
    }

    /// The sort key.
    #[must_use]
    pub fn sort(&self) -> String {
        match self {
            Self::Head(_) => "head".to_owned(),
            Self::Plan(_, chunk) => format!("plan#{chunk:05}"),
            Self::Target(_, key) | Self::Known(_, key) => format!("{TARGET_PREFIX}{}#{}", key.account, key.region),
            Self::Decision(_, at, id) => format!("{DECISION_PREFIX}{:014}#{id}", at.as_millis()),
            Self::Opening(_, at, run) => format!("{OPENING_PREFIX}{:014}#{run}", at.as_millis()),
            Self::Summary(_) | Self::Notice(_) => "summary".to_owned(),
            Self::Link(_) => "link".to_owned(),
            Self::Queue(_) => "queue".to_owned(),
            Self::Open(run) => format!("run#{run}"),
            Self::Check(_) => "check".to_owned(),
            Self::Looked(_, key) => format!("{LOOKED_PREFIX}{}#{}", key.account, key.region),
            Self::Detection(_, _) => "detection".to_owned(),
            Self::Baseline(_, key) => format!("{BASELINE_PREFIX}{}#{}", key.account, key.region),
            Self::Standing(_, key) => format!("{STANDING_PREFIX}{}#{}", key.account, key.region),
            Self::Ignore(_, at, id) => format!("{IGNORE_PREFIX}{:014}#{id}", at.as_millis()),
            Self::Checked(_, at, run) => format!("{CHECK_PREFIX}{:014}#{run}", at.as_millis()),
            Self::LastCheck(_) => "last-check".to_owned(),
            Self::Definition(_, digest) => digest.clone(),
            Self::OpenCheck(run) => format!("check#{run}"),
            Self::Pace(lane) => lane.api().name().to_owned(),
        }
    }
}

/// Begins the sort key of every target of a run, and of every target of an app.
pub const TARGET_PREFIX: &str = "target#";
/// Begins the sort key of every decision about a run; they sort by time.
pub const DECISION_PREFIX: &str = "decision#";
/// Begins the sort key of every run of an app; they sort by time.
pub const OPENING_PREFIX: &str = "run#";
/// Begins the sort key of every target of a check.
pub const LOOKED_PREFIX: &str = "looked#";
/// Begins the sort key of what is accepted of each target of an app.
pub const BASELINE_PREFIX: &str = "baseline#";
/// Begins the sort key of what stands of each target of an app.
pub const STANDING_PREFIX: &str = "standing#";
/// Begins the sort key of every rule of an app; they sort by time.
pub const IGNORE_PREFIX: &str = "ignore#";
/// Begins the sort key of every check of an app; they sort by time.
pub const CHECK_PREFIX: &str = "check#";
/// The partition of all runs that are looked after. Each is written once a minute at most, far below the 1,000 writes
/// a second that one partition takes (DynamoDB Developer Guide, "Partitions and data distribution").
pub const OPEN: &str = "open";

/// A slice of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanChunk {
    /// Consecutive targets.
    pub targets: Vec<PlannedTarget>,
}

/// Whose execution it is. Written by whichever comes first: the worker that started it, or an early event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Link {
    /// The attempt that it belongs to, once that is known.
    pub owner: Option<LinkOwner>,
    /// What was observed before that; folded in when the owner is known. At most [`Link::MAX_EARLY`].
    pub early: Vec<Observation>,
}

impl Link {
    /// More early events than an execution has states would be noise.
    pub const MAX_EARLY: usize = 32;
}

/// The attempt that an execution belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkOwner {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: Attempt,
}

/// That a run was opened: the history of an app. What became of it is in its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The run.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
}

/// The check that started a drift detection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionOf {
    /// The check.
    pub check: RunId,
    /// The target's position in its plan.
    pub index: u32,
    /// At which look.
    pub look: Look,
    /// The detection.
    pub detection: Detection,
}

/// Items that are read together: all of one kind in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// The decisions about a run, oldest first.
    Decisions(RunId),
    /// What is known to be deployed of an app, by account and Region.
    Known(AppName),
    /// The newest runs of an app, newest first, at most so many.
    Openings(AppName, u32),
    /// What was seen of the targets of a check, by account and Region.
    Looked(RunId),
    /// What is accepted of an app's targets.
    Baselines(AppName),
    /// What stands of an app's targets.
    Standing(AppName),
    /// The rules of an app that operators made, oldest first.
    Ignores(AppName),
    /// The newest checks of an app, newest first, at most so many.
    Checks(AppName, u32),
}

impl Listing {
    /// The partition key.
    #[must_use]
    pub fn partition(&self) -> String {
        match self {
            Self::Decisions(run) | Self::Looked(run) => format!("run#{run}"),
            Self::Known(app)
            | Self::Openings(app, _)
            | Self::Baselines(app)
            | Self::Standing(app)
            | Self::Ignores(app)
            | Self::Checks(app, _) => format!("app#{app}"),
        }
    }

    /// What the sort keys begin with.
    #[must_use]
    pub const fn prefix(&self) -> &'static str {
        match self {
            Self::Decisions(_) => DECISION_PREFIX,
            Self::Known(_) => TARGET_PREFIX,
            Self::Openings(_, _) => OPENING_PREFIX,
            Self::Looked(_) => LOOKED_PREFIX,
            Self::Baselines(_) => BASELINE_PREFIX,
            Self::Standing(_) => STANDING_PREFIX,
            Self::Ignores(_) => IGNORE_PREFIX,
            Self::Checks(_, _) => CHECK_PREFIX,
        }
    }

    /// How many are wanted at most, and then the last ones first.
    #[must_use]
    pub const fn newest(&self) -> Option<u32> {
        match self {
            Self::Decisions(_)
            | Self::Known(_)
            | Self::Looked(_)
            | Self::Baselines(_)
            | Self::Standing(_)
            | Self::Ignores(_) => None,
            Self::Openings(_, most) | Self::Checks(_, most) => Some(*most),
        }
    }
}

/// What is stored under a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Item {
    /// Under [`Key::Head`].
    Head(Box<Head>),
    /// Under [`Key::Plan`].
    Plan(PlanChunk),
    /// Under [`Key::Target`].
    Target(Box<Target>),
    /// Under [`Key::Summary`], and [`Key::Notice`].
    Summary(Posting),
    /// Under [`Key::Link`].
    Link(Link),
    /// Under [`Key::Decision`].
    Decision(Decision),
    /// Under [`Key::Queue`].
    Queue(AppQueue),
    /// Under [`Key::Known`].
    Known(Box<Known>),
    /// Under [`Key::Opening`], and [`Key::Checked`].
    Opening(Opening),
    /// Under [`Key::Open`].
    Open(OpenRun),
    /// Under [`Key::Pace`].
    Pace(Pace),
    /// Under [`Key::Check`].
    Check(Box<Check>),
    /// Under [`Key::Looked`].
    Looked(Box<Looked>),
    /// Under [`Key::Detection`].
    Detection(DetectionOf),
    /// Under [`Key::Baseline`].
    Baseline(Baseline),
    /// Under [`Key::Standing`].
    Standing(Standing),
    /// Under [`Key::Ignore`].
    Ignore(Ignore),
    /// Under [`Key::LastCheck`].
    LastCheck(Last),
    /// Under [`Key::Definition`].
    Definition(Definition),
    /// Under [`Key::OpenCheck`].
    OpenCheck(OpenCheck),
}

/// A type of item.
pub trait Content: Sized {
    /// The item's content, if it is of this type.
    fn in_item(item: &Item) -> Option<&Self>;
    /// The same, taken out.
    fn of_item(item: Item) -> Option<Self>;
}

impl Item {
    /// Its content, if it is of this type.
    #[must_use]
    pub fn get<T: Content>(&self) -> Option<&T> {
        T::in_item(self)
    }

    /// Its content, if it is of this type.
    #[must_use]
    pub fn take<T: Content>(self) -> Option<T> {
        T::of_item(self)
    }
}

/// `content!(Type, Variant)`; a boxed one is taken out of its box.
macro_rules! content {
    ($type:ty, $variant:ident $(, $boxed:tt)?) => {
        impl Content for $type {
            fn in_item(item: &Item) -> Option<&Self> {
                if let Item::$variant(content) = item { Some(content) } else { None }
            }
            fn of_item(item: Item) -> Option<Self> {
                if let Item::$variant(content) = item { Some($($boxed)? content) } else { None }
            }
        }
    };
}

content!(Head, Head, *);
content!(PlanChunk, Plan);
content!(Target, Target, *);
content!(Posting, Summary);
content!(Link, Link);
content!(Decision, Decision);
content!(AppQueue, Queue);
content!(Known, Known, *);
content!(Opening, Opening);
content!(OpenRun, Open);
content!(Pace, Pace);
content!(Check, Check, *);
content!(Looked, Looked, *);
content!(DetectionOf, Detection);
content!(Baseline, Baseline);
content!(Standing, Standing);
content!(Ignore, Ignore);
content!(Last, LastCheck);
content!(Definition, Definition);
content!(OpenCheck, OpenCheck);

/// An item as read, with what is needed to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Counts the writes of this item, from 1.
    pub version: u64,
    /// Who wrote it last.
    pub nonce: Nonce,
    /// The item.
    pub item: Item,
}

/// What must be true of a stored item for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is none.
    Absent,
    /// It is of this version.
    Version(u64),
    /// Nothing: the item's content follows from its key, so writing it twice changes nothing.
    Anything,
}

/// One conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// What.
    pub item: Item,
    /// On which condition.
    pub expect: Expect,
    /// When the table may forget it.
    pub expires_at: Option<Timestamp>,
}

/// Writes that happen together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Commit {
    /// The writes; at most [`Commit::MAX_WRITES`], each to another key.
    pub writes: Vec<Write>,
    /// The writer's mark, new for every commit: if a condition fails although the item carries this mark, an
    /// earlier try of the same commit had landed.
    pub nonce: Nonce,
}

impl Commit {
    /// DynamoDB: "up to 100 distinct items" in a `TransactWriteItems`.
    pub const MAX_WRITES: usize = 100;
}

/// The versions of a run's items as they were read: the conditions of the write that follows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions(BTreeMap<Key, u64>);

impl Versions {
    /// Remembers that an item was read in this version.
    pub fn note(&mut self, key: Key, version: u64) {
        self.0.insert(key, version);
    }

    /// The version in which an item was read.
    #[must_use]
    pub fn of(&self, key: &Key) -> Option<u64> {
        self.0.get(key).copied()
    }

    /// The condition under which an item may be replaced.
    #[must_use]
    pub fn expect(&self, key: &Key) -> Expect {
        self.0.get(key).map_or(Expect::Absent, |version| Expect::Version(*version))
    }

    /// A write of `item`, on the condition that nobody has written it since it was read.
    #[must_use]
    pub fn write(&self, key: Key, item: Item, expires_at: Option<Timestamp>) -> Write {
        Write { expect: self.expect(&key), key, item, expires_at }
    }

    /// The writes of a step of `run`.
    #[must_use]
    pub fn writes(&self, run: &RunId, opened_at: Timestamp, step: &Step) -> Vec<Write> {
        let expires_at = Some(opened_at.plus(RUN_RETENTION));
        let head = step
            .head
            .iter()
            .map(|head| self.write(Key::Head(run.clone()), Item::Head(Box::new(head.clone())), expires_at));
        let queue = step.queue.iter().map(|queue| self.write(Key::Queue(run.app()), Item::Queue(queue.clone()), None));
        let targets = step.targets.iter().map(|target| {
            self.write(Key::Target(run.clone(), target.key.clone()), Item::Target(Box::new(target.clone())), expires_at)
        });
        // They follow from the step, or from a command, and their keys with them.
        let decisions = step.decisions.iter().map(|decision| Write {
            key: Key::Decision(run.clone(), decision.at, decision.id.clone()),
            item: Item::Decision(decision.clone()),
            expect: Expect::Anything,
            expires_at,
        });
        let known = step.known.iter().map(|known| {
            let key = Key::Known(run.app(), known.target.clone());
            self.write(key, Item::Known(Box::new(known.clone())), None)
        });
        let opening = step.opening.iter().map(|opening| Write {
            key: Key::Opening(run.app(), opening.at, opening.run.clone()),
            item: Item::Opening(opening.clone()),
            expect: Expect::Anything,
            expires_at,
        });
        // Unconditional: a run that changes after its verdict is looked after anew, whatever was noted of it before.
        let open = step.watch.then(|| Write {
            key: Key::Open(run.clone()),
            item: Item::Open(OpenRun::new(run.clone())),
            expect: Expect::Anything,
            expires_at,
        });
        head.chain(queue).chain(targets).chain(known).chain(decisions).chain(opening).chain(open).collect()
    }
}
