//! What may go wrong in a simulated world: what AWS may do to messages, calls and functions.
//!
//! A [`Mishap`] is one thing that goes wrong once, at a place that can be named, so that a story can be told again, with
//! or without it. [`Faults`] are its sum, and the conditions that last.

use std::collections::BTreeMap;
use std::fmt;

use manifold_core::ids::RunId;
use manifold_core::time::Span;

use crate::limits::Limits;

/// The lasting conditions of a world, and what goes wrong in it once.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The chance, 0 to 1, that a message is delivered twice.
    pub duplicates: f64,
    /// Every message is late by up to this much, so their order is lost.
    pub disorder: Span,
    /// The engine does not remember its tokens: AWS does not document for how long CodePipeline does. Then the
    /// claim alone must keep an attempt from starting twice.
    pub tokens_forgotten: bool,
    /// The share, 0 to 1, of the targets' events that never arrive: they are best effort.
    pub lost: f64,
    /// How many times each tick of `sweep` is delivered; once if it is not told.
    pub sweeps: Option<usize>,
    /// The share, 0 to 1, of the messages between functions that are lost. SQS does not do so; what an operator purges is
    /// lost all the same.
    pub messages_lost: f64,
    /// No STARTED event arrives (they are best effort): then no event names the run that an execution belongs to.
    pub started_untold: bool,
    /// How often the engine may be called.
    pub limits: Limits,
    /// How many messages a function receives at once, at most; 10 if it is not told.
    pub largest_batch: Option<usize>,
    /// How far the clock of an invocation may be off, in either direction.
    pub skew: Span,
    /// What goes wrong once, each at its place. Of two at one place the later one counts.
    pub mishaps: Vec<Mishap>,
}

/// Something that goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mishap {
    /// Where and when.
    pub at: At,
    /// What.
    pub harm: Harm,
}

/// Where and when something goes wrong. Everything is counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// At the point of a handler that is the so-many-th of the whole simulation.
    Any(u64),
    /// The so-many-th time that this point is passed, or that such a message is on its way.
    Named(&'static str, u64),
    /// The so-many-th time that this point is passed while the run is so far.
    InStage(&'static str, Stage, u64),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// The function is killed there: what follows never happens.
    Killed,
    /// The service does not do it, and says so: throttled, unavailable, Slack's 429. After the deed
    /// (`…/after`) the service did it, and its answer is lost.
    Refused,
    /// A commit landed, and its answer says that another writer was first: the item was overwritten before the
    /// repetition whose answer it is.
    Mistaken,
    /// The call takes this much longer. A function is killed when its time is up.
    Slow(Span),
    /// A message never arrives.
    Lost,
    /// A message arrives twice.
    Twice,
    /// A message arrives this much later.
    Late(Span),
}

impl Harm {
    /// The harm without its measure, as rows of a table are named.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Refused => "refused",
            Self::Mistaken => "mistaken",
            Self::Slow(_) => "slow",
            Self::Lost => "lost",
            Self::Twice => "twice",
            Self::Late(_) => "late",
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(by) => write!(f, "slow by {by}"),
            Self::Late(by) => write!(f, "late by {by}"),
            Self::Killed | Self::Refused | Self::Mistaken | Self::Lost | Self::Twice => f.write_str(self.name()),
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            At::Any(nth) => write!(f, "{} at point {nth}", self.harm),
            At::Named(name, nth) => write!(f, "{} at {name}, time {}", self.harm, nth + 1),
            At::InStage(name, stage, nth) => {
                write!(f, "{} at {name} while it is {}, time {}", self.harm, stage.name(), nth + 1)
            }
        }
    }
}

/// A place where a call passes, with the harms that can meet it there.
pub type Place = (&'static str, &'static [Harm]);

/// Every point of the handlers. A deed has two: before it is done, and after, when only the answer is left.
pub const POINTS: &[Place] = &[
    ("ledger.get", &[Harm::Killed, Harm::Refused, SLOW]),
    ("ledger.targets", &[Harm::Killed, Harm::Refused, SLOW]),
    ("ledger.list", &[Harm::Killed, Harm::Refused, SLOW]),
    ("ledger.open_runs", &[Harm::Killed, Harm::Refused, SLOW]),
    ("ledger.commit/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("ledger.commit/after", &[Harm::Killed, Harm::Refused, Harm::Mistaken, SLOW]),
    ("ledger.forget/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("ledger.forget/after", &[Harm::Killed, Harm::Refused, SLOW]),
    ("paces.change/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("paces.change/after", &[Harm::Killed, Harm::Refused, SLOW]),
    ("queues.send/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("queues.send/after", &[Harm::Killed, Harm::Refused, SLOW]),
    ("releases.describe", &[Harm::Killed, Harm::Refused, SLOW]),
    ("sts.assume_role", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.start/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.start/after", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.find", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.explain", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.ask", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.stop/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.stop/after", &[Harm::Killed, Harm::Refused, SLOW]),
    ("engine.alarms", &[Harm::Killed, Harm::Refused, SLOW]),
    ("slack.post/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("slack.post/after", &[Harm::Killed, Harm::Refused, SLOW]),
    ("slack.edit/before", &[Harm::Killed, Harm::Refused, SLOW]),
    ("slack.edit/after", &[Harm::Killed, Harm::Refused, SLOW]),
];

/// What is on its way, with what may become of it. SQS loses nothing; EventBridge's service events are best effort.
pub const DELIVERIES: &[Place] = &[
    ("event", &[Harm::Lost, Harm::Twice, LATE]),
    ("message", &[Harm::Twice, LATE]),
    ("release", &[Harm::Twice, LATE]),
];

/// Longer than a function may take: Lambda kills it.
const SLOW: Harm = Harm::Slow(Span::from_seconds(90));
/// Later than everything else that is on its way.
const LATE: Harm = Harm::Late(Span::from_minutes(7));

/// How far the run was that a mishap met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is no head yet.
    Unopened,
    /// Another run of the app goes first.
    Waiting,
    /// Active, and nothing was started yet.
    Beginning,
    /// Executions were started.
    Running,
    /// A wave is over its tolerance, and what runs is waited for.
    Halting,
    /// The verdict is given, and the run is still looked after: Slack may not show it.
    Untold,
    /// The verdict is given and told.
    Told,
    /// A retry in a target account took the verdict back.
    Reopened,
}

impl Stage {
    /// All of them, in the order of a run's life.
    pub const ALL: [Self; 8] = [
        Self::Unopened,
        Self::Waiting,
        Self::Beginning,
        Self::Running,
        Self::Halting,
        Self::Untold,
        Self::Told,
        Self::Reopened,
    ];

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unopened => "unopened",
            Self::Waiting => "waiting",
            Self::Beginning => "beginning",
            Self::Running => "running",
            Self::Halting => "halting",
            Self::Untold => "untold",
            Self::Told => "told",
            Self::Reopened => "reopened",
        }
    }
}

/// A mishap that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The point, or what was on its way.
    pub at: &'static str,
    /// What went wrong.
    pub harm: Harm,
    /// The function that it met; none for what is on its way.
    pub function: Option<&'static str>,
    /// The run, as far as it is known.
    pub run: Option<RunId>,
    /// What it met: the stage of the run, or the kind of message.
    pub state: &'static str,
}

/// The mishaps of a world by their place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agenda {
    any: BTreeMap<u64, Harm>,
    named: BTreeMap<(&'static str, u64), Harm>,
    in_stage: BTreeMap<(&'static str, Stage, u64), Harm>,
    passed: u64,
    passed_by_name: BTreeMap<&'static str, u64>,
    passed_in_stage: BTreeMap<(&'static str, Stage), u64>,
}

impl Agenda {
    pub(crate) fn of(mishaps: &[Mishap]) -> Self {
        let mut agenda = Self::default();
        for mishap in mishaps {
            match mishap.at {
                At::Any(nth) => agenda.any.insert(nth, mishap.harm),
                At::Named(name, nth) => agenda.named.insert((name, nth), mishap.harm),
                At::InStage(name, stage, nth) => agenda.in_stage.insert((name, stage, nth), mishap.harm),
            };
        }
        agenda
    }

    /// How many points were passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether a mishap waits for a stage of the run at this point.
    pub(crate) fn asks_for_stage(&self, name: &'static str) -> bool {
        self.in_stage.keys().any(|(at, ..)| *at == name)
    }

    /// A handler passes a point, and the run is so far, if that was asked for.
    pub(crate) fn pass(&mut self, name: &'static str, stage: Option<Stage>) -> Option<Harm> {
        let here = self.passed;
        self.passed += 1;
        let named = self.meet(name);
        let in_stage = stage.and_then(|stage| {
            let nth = self.passed_in_stage.entry((name, stage)).or_default();
            let here = *nth;
            *nth += 1;
            self.in_stage.get(&(name, stage, here)).copied()
        });
        named.or(in_stage).or_else(|| self.any.get(&here).copied())
    }

    /// Something of this name is there once more.
    pub(crate) fn meet(&mut self, name: &'static str) -> Option<Harm> {
        let nth = self.passed_by_name.entry(name).or_default();
        let here = *nth;
        *nth += 1;
        self.named.get(&(name, here)).copied()
    }
}
