//! What functions send each other through queues. A message is a hint: it may arrive twice, late or never, and
//! carries only keys, so what it means is read from the ledger.

use serde::{Deserialize, Serialize};

use crate::brief::brief;
use crate::control::{Command, Order, Request};
use crate::drift::Note;
use crate::ids::{Attempt, ExecutionId, RunId, TargetKey};
use crate::pace::Turn;
use crate::run::Effect;
use crate::summary::notice::Notice;
use crate::time::{Span, Timestamp};

/// The schema of messages that this version writes. Law 9: it reads every earlier one.
pub const SCHEMA: u32 = 1;

/// The queues between the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Read by `dispatch`; the hub's rules deliver releases to it, too.
    Dispatch,
    /// Read by `deploy`.
    Deploy,
    /// Read by `collect`; the hub's rules deliver state changes to it, too.
    Collect,
    /// Read by `summarize`.
    Summarize,
    /// Read by `inspect`.
    Inspect,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Dispatch, Self::Deploy, Self::Collect, Self::Summarize, Self::Inspect];
}

/// A message's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Payload {
    /// Start an attempt.
    Start {
        /// The run.
        run: RunId,
        /// The target's index in the plan.
        index: u32,
        /// The attempt.
        attempt: Attempt,
    },
    /// Ask the engine why an execution failed.
    Explain {
        /// The run.
        run: RunId,
        /// The target.
        target: TargetKey,
        /// The execution.
        execution: ExecutionId,
        /// The turn that this message waited for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn: Option<Turn>,
    },
    /// Ask the engine how executions stand whose events are overdue.
    Ask {
        /// The run.
        run: RunId,
        /// Targets of one account, at most [`MOST_ASKED`]: one role, and one call for each.
        targets: Vec<TargetKey>,
        /// The turn that this message waited for: then it names one target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn: Option<Turn>,
    },
    /// Bring a run's summary up to date.
    Summarize {
        /// The run.
        run: RunId,
    },
    /// Tell what an action of a release pipeline wants to be told.
    Notify {
        /// What.
        notice: Box<Notice>,
    },
    /// A run's turn has come.
    Activate {
        /// The run.
        run: RunId,
    },
    /// Look at a run again: what it held for may be over. Told too early, it changes nothing.
    Advance {
        /// The run.
        run: RunId,
    },
    /// An operator's decision about a run.
    Command {
        /// The run.
        run: RunId,
        /// What they decided.
        command: Box<Command<Order>>,
    },
    /// Plan and open a run that an operator, or an app's policy, wants.
    Open {
        /// What for.
        request: Box<Command<Request>>,
    },
    /// Stop what runs of a run that is aborted.
    Stop {
        /// The run.
        run: RunId,
        /// Targets of one account, at most [`MOST_ASKED`]; none means all, to be told one after the other.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        targets: Vec<TargetKey>,
        /// The turn that this message waited for: then it names one target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn: Option<Turn>,
    },
    /// Look at the alarms that a wave's bake names.
    Alarms {
        /// The run.
        run: RunId,
        /// The wave's position.
        wave: u32,
        /// When the look began: all of the wave is looked at as of then.
        began: Timestamp,
        /// The index of the target to go on with.
        from: u32,
    },
    /// About a drift check.
    Drift(Note),
    /// A run's deadline has passed: give up what has not answered. Told too early, it changes nothing.
    Deadline {
        /// The run.
        run: RunId,
    },
}

/// How many targets one [`Payload::Ask`] names at most: as many calls run at once.
pub const MOST_ASKED: usize = 10;

/// A message on one of Manifold's own queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// [`SCHEMA`] of the version that wrote it.
    pub schema: u32,
    /// What it says.
    pub payload: Payload,
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub queue: Queue,
    /// What.
    pub payload: Payload,
    /// Not before this much time has passed, or [`MOST_DELAY`]: what it says is read from the ledger, and what comes too
    /// early is sent again.
    pub delay: Span,
}

/// "Valid values: 0 to 900" seconds (`SendMessage`, `DelaySeconds`).
pub const MOST_DELAY: Span = Span::from_seconds(900);

impl Outgoing {
    /// A payload for whoever reads it, after a while.
    #[must_use]
    pub fn after(delay: Span, payload: Payload) -> Self {
        Self { delay, ..Self::from(payload) }
    }

    /// The delay as SQS takes it: whole seconds, rounded up, at most [`MOST_DELAY`].
    #[must_use]
    pub fn delay_seconds(&self) -> i64 {
        self.delay.min(MOST_DELAY).as_seconds_ceil()
    }
}

/// Why a body is not a message of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, or not of the right shape.
    #[error("not a message: {0}")]
    Malformed(String),
    /// Written by a newer version.
    #[error("message schema {found} is newer than {SCHEMA}, the newest that this version reads")]
    TooNew {
        /// The schema that was found.
        found: u32,
    },
}

impl Message {
    /// A message of the current schema.
    #[must_use]
    pub fn new(payload: Payload) -> Self {
        Self { schema: SCHEMA, payload }
    }

    /// As JSON.
    ///
    /// # Errors
    /// Never for the payloads of this version; serialisation is fallible by type.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Whether a body claims to be a message of ours, and not an event: it carries our schema.
    #[must_use]
    pub fn is_ours(body: &str) -> bool {
        #[derive(Deserialize)]
        struct Shape {
            schema: Option<serde::de::IgnoredAny>,
            #[serde(rename = "detail-type")]
            detail_type: Option<serde::de::IgnoredAny>,
        }
        serde_json::from_str::<Shape>(body).is_ok_and(|shape| shape.schema.is_some() && shape.detail_type.is_none())
    }

    /// Reads a message.
    ///
    /// # Errors
    /// The body is not JSON, not of a known type, or of a newer schema.
    pub fn decode(body: &str) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Versioned {
            schema: u32,
        }
        let malformed = |error: serde_json::Error| MessageError::Malformed(brief(&error.to_string()));
        let Versioned { schema } = serde_json::from_str(body).map_err(malformed)?;
        if schema > SCHEMA {
            return Err(MessageError::TooNew { found: schema });
        }
        serde_json::from_str(body).map_err(malformed)
    }
}

impl From<Payload> for Outgoing {
    /// To whoever reads it, without delay.
    fn from(payload: Payload) -> Self {
        let queue = match &payload {
            Payload::Open { .. } => Queue::Dispatch,
            Payload::Drift(note) => note.queue(),
            Payload::Start { .. }
            | Payload::Explain { .. }
            | Payload::Ask { .. }
            | Payload::Stop { .. }
            | Payload::Alarms { .. } => Queue::Deploy,
            Payload::Summarize { .. } | Payload::Notify { .. } => Queue::Summarize,
            Payload::Activate { .. } | Payload::Advance { .. } | Payload::Command { .. } | Payload::Deadline { .. } => {
                Queue::Collect
            }
        };
        Self { queue, payload, delay: Span::from_millis(0) }
    }
}

impl From<Note> for Payload {
    fn from(note: Note) -> Self {
        Self::Drift(note)
    }
}

impl From<Effect> for Outgoing {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Start { run, index, attempt, delay } => Self::after(delay, Payload::Start { run, index, attempt }),
            Effect::Explain { run, target, execution } => {
                Self::from(Payload::Explain { run, target, execution, turn: None })
            }
            Effect::Summarize { run } => Self::from(Payload::Summarize { run }),
            Effect::Activate { run } => Self::from(Payload::Activate { run }),
            Effect::Advance { run, delay } => Self::after(delay, Payload::Advance { run }),
            Effect::Alarms { run, wave, began, from } => Self::from(Payload::Alarms { run, wave, began, from }),
            Effect::Stop { run } => Self::from(Payload::Stop { run, targets: Vec::new(), turn: None }),
            Effect::Open { request } => Self::from(Payload::Open { request }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Message {
        let run = "web-0f3a5b7c9d1e2f40".parse().unwrap();
        Message::new(Payload::Start { run, index: 3, attempt: Attempt(2) })
    }

    #[test]
    fn messages_read_back_what_was_written() {
        let text = start().encode().unwrap();
        assert_eq!(
            text,
            r#"{"schema":1,"payload":{"type":"start","data":{"run":"web-0f3a5b7c9d1e2f40","index":3,"attempt":2}}}"#
        );
        assert_eq!(Message::decode(&text), Ok(start()));
    }

    #[test]
    fn a_message_of_a_newer_schema_is_refused_by_name_and_unknown_fields_are_not() {
        let text = start().encode().unwrap();
        let newer = text.replace("\"schema\":1", "\"schema\":2");
        assert_eq!(Message::decode(&newer), Err(MessageError::TooNew { found: 2 }));
        let extra = text.replace("\"schema\":1", "\"schema\":1,\"later\":true");
        assert_eq!(Message::decode(&extra), Ok(start()));
        assert!(matches!(Message::decode("this is not json"), Err(MessageError::Malformed(_))));
    }
}
