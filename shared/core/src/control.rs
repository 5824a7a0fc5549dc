//! What operators decide: commands for a run, requests for a new one, and the record of every decision.
//!
//! ```text
//!  manifold, Slack ──► Command ──► collect ──► Run::step ──► facts of the run, and one Decision
//!                 └──► Request ──► dispatch ─► a new run that points to the old one
//! ```
//!
//! A command carries its own id and time, so that a press of a button that arrives twice is one decision: its record
//! is written in the commit that carries it out, and is found by whoever meets the command again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AppName, ExecutionRef, Nonce, PipelineName, RunId, TargetKey};
use crate::time::Timestamp;
use crate::wildcard;

/// The most text that an operator's reason may have, in characters. The rest is cut.
pub const LONGEST_WHY: usize = 500;

/// Somebody who may decide, as the fleet file names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Their name in the fleet file.
    pub name: String,
    /// Their Slack user ids, such as `U0123456789`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slack: Vec<String>,
    /// Patterns of their AWS identities, as `GetCallerIdentity` tells them; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iam: Vec<String>,
}

/// Whether somebody may do what only operators may; whoever may send to the queues may, on the command line, if there are
/// none.
///
/// # Errors
/// They may not; why, in words.
pub fn may_operate(operators: &[Operator], who: &Who) -> Result<(), String> {
    match who.via {
        Via::Manifold => Ok(()),
        Via::Cli if operators.is_empty() => Ok(()),
        Via::Cli | Via::Slack | Via::Pipeline => match who.among(operators) {
            Some(_) => Ok(()),
            None => Err(who.is_none_of(operators)),
        },
    }
}

/// Where a decision comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The operator's command.
    Cli,
    /// A button in Slack, whose signature was verified.
    Slack,
    /// The release pipeline.
    Pipeline,
    /// Manifold itself, by the app's policy.
    Manifold,
}

impl Via {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Cli => "command line",
            Self::Slack => "Slack",
            Self::Pipeline => "release pipeline",
            Self::Manifold => "policy",
        }
    }
}

/// Who decides, and from where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Who {
    /// From where.
    pub via: Via,
    /// A Slack user id, an AWS identity's ARN, or a name. Untrusted but for what `via` says of it: Slack's is signed; an
    /// ARN is what the command says of itself, and whoever may send to the queue may say so.
    pub id: String,
    /// What Slack, or the system, calls them. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Who {
    /// Manifold itself.
    #[must_use]
    pub fn manifold() -> Self {
        Self { via: Via::Manifold, id: "manifold".to_owned(), name: None }
    }

    /// The first of some operators that this is.
    #[must_use]
    pub fn among<'a>(&self, operators: &'a [Operator]) -> Option<&'a Operator> {
        operators.iter().find(|operator| match self.via {
            Via::Slack => operator.slack.contains(&self.id),
            Via::Cli => operator.iam.iter().any(|pattern| wildcard::fits(pattern, &self.id)),
            Via::Pipeline | Via::Manifold => false,
        })
    }

    /// That this is none of those who may, in words.
    #[must_use]
    pub fn is_none_of(&self, operators: &[Operator]) -> String {
        let names: Vec<&str> = operators.iter().map(|operator| operator.name.as_str()).collect();
        match names.is_empty() {
            true => format!("{} may not: the fleet file names nobody who may", self.short()),
            false => format!("{} may not: only {} may", self.short(), names.join(", ")),
        }
    }

    /// What to call them: their name if there is one, else the last part of their id.
    #[must_use]
    pub fn short(&self) -> &str {
        match &self.name {
            Some(name) => name,
            None => self.id.rsplit('/').next().unwrap_or(&self.id),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.via {
            Via::Manifold => f.write_str("manifold"),
            Via::Cli | Via::Slack | Via::Pipeline => write!(f, "{} ({})", self.short(), self.via.words()),
        }
    }
}

/// That somebody decided something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Who.
    pub who: Who,
    /// When.
    pub at: Timestamp,
}

/// What an operator wants of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Let a wave begin. The run stands for its release and its plan, neither of which ever changes.
    Approve {
        /// The wave's name.
        wave: String,
    },
    /// Do not let a wave begin, and end the run.
    Reject {
        /// The wave's name.
        wave: String,
    },
    /// Give no more targets their turn.
    Pause,
    /// Go on.
    Resume,
    /// End the run: start nothing more.
    Abort {
        /// Whether what runs is stopped as well.
        stop: bool,
    },
}

impl Order {
    /// The order as a verb.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort { stop: false } => "abort",
            Self::Abort { stop: true } => "abort and stop",
        }
    }

    /// The order in the words in which a decision records it: `approve prod`, `abort and stop`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.wave() {
            Some(wave) => format!("{} {wave}", self.verb()),
            None => self.verb().to_owned(),
        }
    }

    /// The order that a decision records; nothing if it records something else.
    #[must_use]
    pub fn of_words(words: &str) -> Option<Self> {
        let wave = |verb: &str| words.strip_prefix(verb)?.strip_prefix(' ').map(str::to_owned);
        match words {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "abort" => Some(Self::Abort { stop: false }),
            "abort and stop" => Some(Self::Abort { stop: true }),
            _ => match (wave("approve"), wave("reject")) {
                (Some(wave), _) => Some(Self::Approve { wave }),
                (None, wave) => Some(Self::Reject { wave: wave? }),
            },
        }
    }

    /// The wave that it is about.
    #[must_use]
    pub fn wave(&self) -> Option<&str> {
        match self {
            Self::Approve { wave } | Self::Reject { wave } => Some(wave),
            Self::Pause | Self::Resume | Self::Abort { .. } => None,
        }
    }
}

/// What was commanded, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Command<T> {
    /// Names the command: the same press of a button has the same.
    pub id: Nonce,
    /// When it was given.
    pub at: Timestamp,
    /// By whom.
    pub who: Who,
    /// Why, in their words. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What.
    pub what: T,
}

/// Some of the targets of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "which", rename_all = "snake_case")]
pub enum Which {
    /// Those that ended without the release.
    Failed,
    /// All of them.
    All,
    /// These.
    Named {
        /// They are.
        targets: Vec<TargetKey>,
    },
}

/// What an operator, or an app's policy, wants a new run for. `dispatch` plans and opens it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Roll out an execution of a release pipeline that succeeded.
    Start {
        /// The app.
        app: AppName,
        /// Its release pipeline.
        pipeline: PipelineName,
        /// The execution.
        source: ExecutionRef,
        /// Values for parameters, for every target.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        set: Vec<(String, String)>,
        /// Also where the release is already: a run of its own, each time.
        #[serde(default)]
        force: bool,
    },
    /// The same release again, freshly planned.
    Retry {
        /// Of which run.
        of: RunId,
        /// Where.
        which: Which,
    },
    /// Each target's own last good release, where it was before a run.
    Rollback {
        /// Before which run.
        of: RunId,
        /// Where; only targets that the run touched. `Failed` names the wave's that failed.
        which: Which,
    },
    /// Each target's own last good release again, where a drift check found another one.
    Restore {
        /// The check.
        of: RunId,
        /// Where.
        targets: Vec<TargetKey>,
    },
}

impl Command<Request> {
    /// The run that the request opens. Asked twice, it is the same; a release's is the one that its event opens, too.
    #[must_use]
    pub fn run(&self) -> RunId {
        match &self.what {
            Request::Start { app, source, force: false, .. } => RunId::derive(app, source),
            Request::Start { app, source, force: true, .. } => {
                RunId::derive(app, source).derive_from(&self.id, self.at)
            }
            Request::Retry { of, .. } | Request::Rollback { of, .. } | Request::Restore { of, .. } => {
                of.derive_from(&self.id, self.at)
            }
        }
    }

    /// What a run is for that the request opens.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let by = self.who.clone();
        match &self.what {
            Request::Start { .. } => Origin::Start { by },
            Request::Retry { of, .. } => Origin::Retry { of: of.clone(), by },
            Request::Rollback { of, .. } => Origin::Rollback { of: of.clone(), by },
            Request::Restore { of, .. } => Origin::Restore { of: of.clone(), by },
        }
    }
}

/// What a run is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Origin {
    /// A release.
    #[default]
    Release,
    /// A release that somebody started.
    Start {
        /// Who.
        by: Who,
    },
    /// Another try.
    Retry {
        /// Of which run.
        of: RunId,
        /// Who wanted it.
        by: Who,
    },
    /// The way back.
    Rollback {
        /// Of which run.
        of: RunId,
        /// Who wanted it.
        by: Who,
    },
    /// What drifted is brought back to its last good release.
    Restore {
        /// The drift check that found it.
        of: RunId,
        /// Who wanted it.
        by: Who,
    },
}

impl Origin {
    /// Whether each target gets its own last good release, and not a new one.
    #[must_use]
    pub const fn goes_back(&self) -> bool {
        match self {
            Self::Rollback { .. } | Self::Restore { .. } => true,
            Self::Release | Self::Start { .. } | Self::Retry { .. } => false,
        }
    }

    /// The run that this one points to.
    #[must_use]
    pub const fn of(&self) -> Option<&RunId> {
        match self {
            Self::Release | Self::Start { .. } => None,
            Self::Retry { of, .. } | Self::Rollback { of, .. } | Self::Restore { of, .. } => Some(of),
        }
    }
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It was carried out.
    Done,
    /// It was so already, or is not to be.
    Refused {
        /// Why.
        because: String,
    },
}

/// One decision about a run: who, what, when, why, from where. Stored, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was made. For an operator's, when the command was given.
    pub at: Timestamp,
    /// Names it within the run, together with its time.
    pub id: String,
    /// Who, and from where.
    pub who: Who,
    /// What, in words: `approve prod`, `halted: wave prod is over its failure tolerance`.
    pub what: String,
    /// Why, in the operator's words. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What became of it.
    pub answer: Answer,
}

impl Decision {
    /// An operator's.
    #[must_use]
    pub fn of<T>(command: &Command<T>, what: String, answer: Answer) -> Self {
        Self {
            at: command.at,
            id: command.id.to_string(),
            who: command.who.clone(),
            what,
            why: command.why.clone(),
            answer,
        }
    }

    /// Manifold's own, by the app's policy.
    #[must_use]
    pub fn own(id: impl Into<String>, what: impl Into<String>, at: Timestamp) -> Self {
        Self { at, id: id.into(), who: Who::manifold(), what: what.into(), why: None, answer: Answer::Done }
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn an_order_is_read_from_the_words_that_record_it() {
        let wave = || "prod and more".to_owned();
        let orders = [
            Order::Approve { wave: wave() },
            Order::Reject { wave: wave() },
            Order::Pause,
            Order::Resume,
            Order::Abort { stop: false },
            Order::Abort { stop: true },
        ];
        for order in orders {
            assert_eq!(Order::of_words(&order.words()), Some(order));
        }
        for other in ["", "opened", "approve", "approved prod", "wave prod began", "rollback of web-1"] {
            assert_eq!(Order::of_words(other), None, "{other}");
        }
    }
}
