//! Drift checks: is what runs there what should run there?
//!
//! A check is a run that deploys nothing. It is opened by a schedule, once a slot of time, or by an operator; `inspect`
//! looks at each target with a role that can only read; `collect` folds in what was seen; what it means is judged here.
//!
//! ```text
//!  tick, command ─► dispatch ─► Check, plan ─► Inspect ─► inspect ─► Looked ─► collect ──► all looked at: settle
//!                                                ▲  ▲                                         │        │
//!                        a detection has ended ──┘  └────── a second look at what differs ────┘        ▼
//!                        (event, or the sweep)                                            values, news, one message
//! ```
//!
//! **Invariant:** in sync is only what was seen to be. What was not looked at, could not be, or was looked at in part is
//! [`Value::Unknown`], with its reason (law 6). Facts are stored ([`Sight`]); values are derived from them
//! ([`judge`]) until the check ends, and then concluded once.

pub mod check;
pub mod definition;
pub mod judge;
pub mod message;
pub mod orders;
pub mod report;
pub mod settle;
pub mod sight;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::control::{Operator, Who};
use crate::ids::{AppName, Nonce, RunId, TargetKey};
use crate::plan::PlannedTarget;
use crate::time::{Span, Timestamp};
use crate::wildcard;

pub use check::{Check, Closed, Counts, Looked, Phase, Told};
pub use judge::{Finding, Value};
pub use message::{Note, ToInspect};
pub use report::Report;
pub use settle::{Settled, settle};
pub use sight::Sight;
pub use watch::{OpenCheck, Watch};

/// What of a target is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// What was deployed last against the last good release of the ledger, and of the rest of the fleet.
    Revision,
    /// The pipeline's own structure against the recorded baseline, and against its siblings.
    Definition,
    /// Disabled transitions, stuck approvals, a failed last execution, executions that somebody else started.
    Health,
    /// CloudFormation's own drift detection.
    Stack,
}

impl Aspect {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Revision, Self::Definition, Self::Health, Self::Stack];

    /// Its name, as the fleet file spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revision => "revision",
            Self::Definition => "definition",
            Self::Health => "health",
            Self::Stack => "stack",
        }
    }

    /// The aspect of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aspect| aspect.name() == name)
    }
}

/// What is looked at in one target. Part of its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    /// Which comparisons; at least one.
    pub aspects: BTreeSet<Aspect>,
    /// The stage whose success counts as deployed; `None` for the pipeline's last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_stage: Option<String>,
    /// Names of CloudFormation stacks in the target's account and Region; at most [`MOST_STACKS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<String>,
    /// How long an approval may wait before it is stuck.
    pub stuck_after: Span,
    /// Whether the variables of the last execution are read, because no source action is pinned to the release.
    #[serde(default)]
    pub variables: bool,
    /// Whether CloudTrail is asked who did it, at the second look.
    #[serde(default)]
    pub who: bool,
}

/// How many stacks one target may name.
pub const MOST_STACKS: usize = 10;
/// How many targets one message names at most, all of one account: one role, and a few calls for each.
pub const MOST_INSPECTED: usize = 10;

/// How an app's checks are judged and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long after the first look what differs is looked at again; `None` if one look is enough. At most
    /// [`LONGEST_CONFIRM`].
    pub confirm: Option<Span>,
    /// What is told when there is nothing new.
    #[serde(default)]
    pub quiet: Quiet,
    /// How often all that stands is told, news or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Span>,
    /// What follows from a revision that drifted.
    #[serde(default)]
    pub response: Response,
    /// What is known and meant, for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Ignore>,
    /// Who may accept, ignore and revert; see [`crate::plan::Policy::operators`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<Operator>,
}

/// The longest that a second look may wait: SQS delays a message for 900 s at most.
pub const LONGEST_CONFIRM: Span = Span::from_seconds(900);

/// What is told when a check finds nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// Nothing.
    #[default]
    Silent,
    /// The last message says when it was checked again.
    Edit,
}

/// What follows from a revision that drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is told.
    #[default]
    Report,
    /// And a rollout brings these targets their last good release again, in the app's waves and with its approvals.
    Redeploy,
}

/// A difference that is known and meant, for a while.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ignore {
    /// Which targets: a pattern of `account/region`, with the account's name or id; `*` stands for any text.
    pub target: String,
    /// Which comparison; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect: Option<Aspect>,
    /// Which paths in it, as a pattern; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Who answers for it.
    pub owner: String,
    /// Why. Untrusted.
    pub reason: String,
    /// Until when it holds; then what it hid counts again, and the rule is reported.
    pub until: Timestamp,
}

impl Ignore {
    /// Whether the rule is about a target.
    #[must_use]
    pub fn covers(&self, account_name: &str, key: &TargetKey) -> bool {
        wildcard::fits(&self.target, &format!("{account_name}/{}", key.region))
            || wildcard::fits(&self.target, &key.to_string())
    }

    /// Whether the rule hides a finding at a path, now. Why something is not known it hides only if it names a path
    /// ([`judge::judge`]): a rule about a whole target does not make in sync what nobody looked at.
    #[must_use]
    pub fn hides(&self, aspect: Aspect, path: Option<&str>, now: Timestamp) -> bool {
        now < self.until
            && self.aspect.is_none_or(|own| own == aspect)
            && self.path.as_deref().is_none_or(|pattern| path.is_some_and(|path| wildcard::fits(pattern, path)))
    }
}

/// Why a check was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// Its turn came.
    Scheduled {
        /// The beginning of its slot: a tick's time, rounded down to a multiple of `every` since the epoch.
        slot: Timestamp,
        /// The distance of the app's checks.
        every: Span,
    },
    /// Somebody asked for it.
    Asked {
        /// Who.
        by: Who,
        /// Why, in their words. Untrusted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

/// The slot of an app's checks that a time lies in.
#[must_use]
pub const fn slot(at: Timestamp, every: Span) -> Timestamp {
    let every = if every.as_millis() < 1 { 1 } else { every.as_millis() };
    Timestamp::from_millis(at.as_millis() - at.as_millis().rem_euclid(every))
}

impl RunId {
    /// The check of an app in a slot: the same for every delivery of every tick in it.
    #[must_use]
    pub fn of_check(app: &AppName, slot: Timestamp) -> Self {
        Self::hashed(app, &format!("drift\n{app}\n{}", slot.as_millis()))
    }

    /// The check that an operator asked for.
    #[must_use]
    pub fn of_asked_check(app: &AppName, command: &Nonce, at: Timestamp) -> Self {
        Self::hashed(app, &format!("drift\n{app}\n{command}\n{}", at.as_millis()))
    }
}

/// What an operator wants looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ask {
    /// The app.
    pub app: AppName,
    /// Only these targets; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetKey>,
}

/// What an operator decides about what a check found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// What was found there is what should be there, from now on.
    Accept {
        /// Of these targets; none means every one that drifted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        targets: Vec<TargetKey>,
        /// Of these comparisons; none means all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        aspects: Vec<Aspect>,
    },
    /// What a rule names is known and meant, for a while.
    Ignore {
        /// The rule.
        rule: Ignore,
    },
    /// Prepare a change set that takes a stack back to its template. Nothing is changed: it is for a person to execute.
    Revert {
        /// Where.
        target: TargetKey,
        /// The stack's name.
        stack: String,
    },
}

impl Order {
    /// The order in the words in which a decision records it.
    #[must_use]
    pub fn words(&self) -> String {
        let list = |targets: &[TargetKey]| targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Accept { targets, aspects } => {
                let what: Vec<&str> = aspects.iter().map(|aspect| aspect.name()).collect();
                let what = if what.is_empty() { "all".to_owned() } else { what.join(", ") };
                let of = if targets.is_empty() { "what drifted".to_owned() } else { list(targets) };
                format!("accept {what} of {of}")
            }
            Self::Ignore { rule } => format!("ignore {} until {}", rule.target, rule.until),
            Self::Revert { target, stack } => format!("prepare to revert stack {stack} in {target}"),
        }
    }
}

/// Names the decision that records what came of an [`Order::Revert`]; the order's own says that it may be carried out.
#[must_use]
pub fn change_set_of(command: &Nonce) -> String {
    format!("{command}-change-set")
}

/// A state that counts as in sync although it differs from what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Of what was found ([`judge::fingerprint`]).
    pub fingerprint: String,
    /// Who said so; Manifold itself for the definition that its first look recorded.
    pub by: Who,
    /// When.
    pub at: Timestamp,
    /// Why, in their words. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is accepted of one target of an app, over all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The target.
    pub target: TargetKey,
    /// By comparison.
    pub accepted: BTreeMap<Aspect, Accepted>,
}

/// How a comparison of a target stands since an earlier check: what is not in sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Whether it drifted; else it is unknown.
    pub drifted: bool,
    /// Of what was found; the same for every reason why nothing was.
    pub fingerprint: String,
    /// The check that found it first.
    pub check: RunId,
    /// Since when.
    pub since: Timestamp,
    /// Since when a drift could not be looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_since: Option<Timestamp>,
    /// In words.
    pub words: String,
}

/// What stands of one target of an app: an item exists only while something is not in sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The target.
    pub target: TargetKey,
    /// The account's name then.
    pub account_name: String,
    /// When the check was opened that wrote it last: an older one that ends later does not go before it.
    pub as_of: Timestamp,
    /// By comparison.
    pub stands: BTreeMap<Aspect, Stand>,
}

/// The last check of an app, and what Slack was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// The check that was opened last among those that have ended.
    pub check: RunId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The one that a schedule opened last: whose successor may be overdue, whatever operators asked for since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// The check whose message stands last in Slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<RunId>,
    /// When all that stands was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_at: Option<Timestamp>,
}

impl Last {
    /// Whether a check is the one that a schedule opened last.
    #[must_use]
    pub fn is_turn_of(&self, check: &RunId) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.check == *check)
    }
}

/// A check that a schedule opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Which.
    pub check: RunId,
    /// The beginning of its slot.
    pub slot: Timestamp,
}

/// The text of a definition, under its digest: written once, and shared by all targets that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Canonical JSON; see [`definition`].
    pub text: String,
}

/// The targets of a plan as messages name them: each message's are of one account.
#[must_use]
pub fn by_account<'a>(planned: impl IntoIterator<Item = &'a PlannedTarget>) -> Vec<Vec<&'a PlannedTarget>> {
    let mut accounts: BTreeMap<_, Vec<&PlannedTarget>> = BTreeMap::new();
    for planned in planned {
        accounts.entry(&planned.key.account).or_default().push(planned);
    }
    accounts
        .into_values()
        .flat_map(|targets| targets.chunks(MOST_INSPECTED).map(<[_]>::to_vec).collect::<Vec<_>>())
        .collect()
}
