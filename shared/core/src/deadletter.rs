//! Dead letters: messages that a function gave up on, and events that EventBridge could not deliver. What each is, why
//! it is probably there, and whether putting it back would help.
//!
//! ```text
//! body, attributes ──► Letter::read ──► wants: which items of the ledger tell? ──► judge ──► Judgement
//!                                          ▲                     │ read by the caller
//!                                          └──────── Known ◄─────┘
//! ```
//!
//! **Invariant:** what a redrive would do is not described here a second time. The letter's event is stepped into the run
//! as it stands, by the same machine that the functions use, and the outcome is thrown away.

mod judge;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use self::judge::{Judgement, Kind, Redrive};
use crate::drift::Check;
use crate::event::{self, Envelope, PipelineEvent, PipelineState, decode_event};
use crate::ids::{AppName, ExecutionRef, RunId, TargetKey};
use crate::ledger::{Key, Link, PlanChunk, Record};
use crate::message::{Message, MessageError, Outgoing, Payload, Queue};
use crate::plan::{PlannedTarget, chunk_of};
use crate::run::posting::Posting;
use crate::run::{AppQueue, Head, Observation, Target};
use crate::summary::clean::{cut, flat};

/// The schema of the documents that tell of dead letters.
pub const SCHEMA: u32 = 1;

/// The longest text from outside that is repeated, in characters.
const MOST_WORDS: usize = 400;

/// The queue of a function: where letters come from, and go when they are redriven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Inbox {
    /// Read by `dispatch`: release events.
    Dispatch,
    /// Read by `deploy`.
    Deploy,
    /// Read by `collect`: state changes, and messages of ours.
    Collect,
    /// Read by `summarize`.
    Summarize,
    /// For `inspect`.
    Inspect,
}

impl Inbox {
    /// All of them, in the order of a run.
    pub const ALL: [Self; 5] = [Self::Dispatch, Self::Deploy, Self::Collect, Self::Summarize, Self::Inspect];

    /// The function that reads it, and the name of the queue after the hub's prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Deploy => "deploy",
            Self::Collect => "collect",
            Self::Summarize => "summarize",
            Self::Inspect => "inspect",
        }
    }

    /// The queue that the target of a rule of the hub is, if it is one of the hub's: nothing else is sent to, whatever
    /// an attribute says.
    #[must_use]
    pub fn of_target(arn: &str, hub: &TargetKey, prefix: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "sqs", region, account, name] = parts.as_slice() else { return None };
        let is_here = *partition == hub.region.partition().as_str()
            && *region == hub.region.as_str()
            && *account == hub.account.as_str();
        let name = name.strip_prefix(prefix)?.strip_prefix('-')?;
        // The rules put events into these two alone (`deploy/hub.yaml`).
        [Self::Dispatch, Self::Collect].into_iter().find(|inbox| is_here && inbox.name() == name)
    }
}

impl From<Queue> for Inbox {
    fn from(queue: Queue) -> Self {
        match queue {
            Queue::Dispatch => Self::Dispatch,
            Queue::Deploy => Self::Deploy,
            Queue::Collect => Self::Collect,
            Queue::Summarize => Self::Summarize,
            Queue::Inspect => Self::Inspect,
        }
    }
}

impl fmt::Display for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a letter lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The dead-letter queue of a function's queue.
    Dead(Inbox),
    /// What the hub's rules could not put into a function's queue.
    Undelivered,
    /// What an account's rules could not forward to the hub, from this Region of it.
    Forward(TargetKey),
}

/// What EventBridge notes with an event that it could not deliver (EventBridge User Guide, "Using dead-letter queues to
/// process undelivered events"): the message's attributes by name. Every text in it is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undelivered {
    /// `RULE_ARN`: the rule that matched.
    pub rule: Option<String>,
    /// `TARGET_ARN`: where the event was to go.
    pub target: Option<String>,
    /// `ERROR_CODE`, such as `NO_PERMISSIONS`.
    pub code: Option<String>,
    /// `ERROR_MESSAGE`.
    pub message: Option<String>,
    /// `EXHAUSTED_RETRY_CONDITION`: `MaximumRetryAttempts` or `MaximumEventAgeInSeconds`, if it was tried again at all.
    pub exhausted: Option<String>,
}

/// The hub whose letters are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Hub<'a> {
    /// Its account and Region.
    pub key: &'a TargetKey,
    /// What the names of its resources begin with.
    pub prefix: &'a str,
}

/// What a body says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Message(Payload),
    Event(Box<Envelope>),
    TooNew(u32),
    /// Why, in words that quote little.
    Unreadable(String),
}

/// A letter, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    inbox: Option<Inbox>,
    undelivered: Option<Undelivered>,
    content: Content,
}

/// An app that a release pipeline releases, and whether its run could be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// The app.
    pub app: AppName,
    /// The forecast.
    pub plan: Planning,
}

/// Whether a release can be planned, as far as its event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planning {
    /// It can.
    Fits,
    /// Not with what the event tells; the release pipeline, which is asked, may tell more. Why not.
    Unsure(String),
    /// It can't. Why not.
    Fails(String),
}

/// What is known of one item of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// There is none.
    Absent,
    /// There is this.
    Stored(Box<Record>),
    /// It could not be read. Why not.
    Unread(String),
}

/// What was read of the ledger.
pub type Known = BTreeMap<Key, Fact>;

impl Letter {
    /// Reads a letter. Never fails: what can't be read is a letter, too.
    #[must_use]
    pub fn read(place: &Place, hub: Hub<'_>, body: &str, undelivered: Option<Undelivered>) -> Self {
        match place {
            Place::Dead(inbox) => Self { inbox: Some(*inbox), undelivered: None, content: Content::read(*inbox, body) },
            Place::Undelivered => {
                let target = undelivered.as_ref().and_then(|told| told.target.as_deref()).unwrap_or_default();
                let inbox = Inbox::of_target(target, hub.key, hub.prefix);
                Self { inbox, undelivered, content: Content::event(body) }
            }
            Place::Forward(from) => {
                let content = match Content::event(body) {
                    // Whoever may write to that queue could name any account, and the hub believes what it is sent.
                    Content::Event(envelope) if envelope.account != from.account || envelope.region != from.region => {
                        Content::Unreadable(format!(
                            "it says that it is from {}/{}, and lies in {from}",
                            envelope.account, envelope.region
                        ))
                    }
                    other @ (Content::Event(_) | Content::Message(_) | Content::TooNew(_) | Content::Unreadable(_)) => {
                        other
                    }
                };
                let inbox = if from.account == hub.key.account { Inbox::Dispatch } else { Inbox::Collect };
                Self { inbox: Some(inbox), undelivered, content }
            }
        }
    }

    /// The queue that it goes to when it is redriven; `None` where it does not say.
    #[must_use]
    pub fn inbox(&self) -> Option<Inbox> {
        self.inbox
    }

    /// The release that it announces, if it does: the caller knows the fleet file, and which apps the pipeline releases.
    #[must_use]
    pub fn release(&self) -> Option<(&Envelope, &PipelineEvent)> {
        match (&self.content, self.inbox) {
            (Content::Event(envelope), Some(Inbox::Dispatch)) => match &envelope.event {
                event::Event::Pipeline(told) if told.state == PipelineState::Succeeded => Some((envelope, told)),
                event::Event::Pipeline(_)
                | event::Event::Stage(_)
                | event::Event::Action(_)
                | event::Event::Drift(_)
                | event::Event::Build(_)
                | event::Event::Phase(_)
                | event::Event::Stack(_)
                | event::Event::Resource(_)
                | event::Event::StackSet(_)
                | event::Event::Deployment(_)
                | event::Event::Instance(_)
                | event::Event::Scheduled { .. }
                | event::Event::Other { .. } => None,
            },
            (Content::Event(_) | Content::Message(_) | Content::TooNew(_) | Content::Unreadable(_), _) => None,
        }
    }

    /// The items of the ledger that are to be read before the letter can be judged, without those that are known. Asked
    /// again with what was read, until there are none.
    #[must_use]
    pub fn wants(&self, releases: &[Releases], known: &Known) -> Vec<Key> {
        let mut keys = self.keys(releases, known);
        keys.retain(|key| !known.contains_key(key));
        keys
    }

    fn keys(&self, releases: &[Releases], known: &Known) -> Vec<Key> {
        match &self.content {
            Content::Message(payload) => keys_of_message(payload, known),
            Content::Event(envelope) => match (self.release(), self.inbox) {
                (Some((envelope, told)), _) => releases
                    .iter()
                    .flat_map(|app| [Key::Head(run_of(&app.app, envelope, told)), Key::Queue(app.app.clone())])
                    .collect(),
                (None, Some(Inbox::Collect)) => keys_of_event(envelope, known),
                (None, Some(Inbox::Dispatch | Inbox::Deploy | Inbox::Summarize | Inbox::Inspect) | None) => Vec::new(),
            },
            Content::TooNew(_) | Content::Unreadable(_) => Vec::new(),
        }
    }
}

impl Content {
    /// As the queue's function reads it.
    fn read(inbox: Inbox, body: &str) -> Self {
        match inbox {
            Inbox::Dispatch | Inbox::Collect if !Message::is_ours(body) => Self::event(body),
            Inbox::Dispatch | Inbox::Deploy | Inbox::Collect | Inbox::Summarize | Inbox::Inspect => {
                match Message::decode(body) {
                    Ok(message) => Self::Message(message.payload),
                    Err(MessageError::TooNew { found }) => Self::TooNew(found),
                    Err(MessageError::Malformed(reason)) => {
                        Self::Unreadable(format!("not a message of ours: {}", words(&reason)))
                    }
                }
            }
        }
    }

    fn event(body: &str) -> Self {
        match decode_event(body) {
            Ok(envelope) => Self::Event(Box::new(envelope)),
            Err(error) => Self::Unreadable(format!("not an event: {}", words(&error.to_string()))),
        }
    }
}

/// A text from outside as one harmless line.
fn words(text: &str) -> String {
    cut(&flat(text), MOST_WORDS)
}

/// The run that a release opens for an app.
fn run_of(app: &AppName, envelope: &Envelope, told: &PipelineEvent) -> RunId {
    let target = TargetKey { account: envelope.account.clone(), region: envelope.region.clone() };
    RunId::derive(app, &ExecutionRef { target, id: told.execution.clone() })
}

fn keys_of_message(payload: &Payload, known: &Known) -> Vec<Key> {
    let run = run_named(payload);
    if let Payload::Drift(_) = payload {
        return vec![Key::Check(run)];
    }
    let mut keys = vec![Key::Head(run.clone()), Key::Queue(run.app())];
    match payload {
        Payload::Start { run, index, .. } => {
            keys.push(Key::Plan(run.clone(), chunk_of(*index)));
            keys.extend(known.planned(run, *index).map(|planned| Key::Target(run.clone(), planned.key.clone())));
        }
        Payload::Explain { run, target, .. } => keys.push(Key::Target(run.clone(), target.clone())),
        Payload::Ask { run, targets, .. } | Payload::Stop { run, targets, .. } => {
            keys.extend(targets.iter().map(|target| Key::Target(run.clone(), target.clone())));
        }
        Payload::Summarize { run } => keys.push(Key::Summary(run.clone())),
        Payload::Command { run, command } => {
            keys.push(Key::Decision(run.clone(), command.at, command.id.to_string()));
        }
        Payload::Activate { .. }
        | Payload::Advance { .. }
        | Payload::Notify { .. }
        | Payload::Open { .. }
        | Payload::Alarms { .. }
        | Payload::Drift(_)
        | Payload::Deadline { .. } => {}
    }
    keys
}

fn keys_of_event(envelope: &Envelope, known: &Known) -> Vec<Key> {
    let Some(observation) = Observation::of(envelope) else { return Vec::new() };
    let mut keys = vec![Key::Link(observation.execution_ref())];
    if let Some(run) = known.owner(&observation) {
        keys.extend([Key::Head(run.clone()), Key::Queue(run.app()), Key::Target(run, observation.target.clone())]);
    }
    keys
}

/// The run that a message is about.
fn run_named(payload: &Payload) -> RunId {
    match payload {
        Payload::Open { request } => request.run(),
        Payload::Drift(note) => note.check(),
        Payload::Notify { notice } => RunId::derive(&notice.app, &notice.source),
        Payload::Start { run, .. }
        | Payload::Explain { run, .. }
        | Payload::Ask { run, .. }
        | Payload::Summarize { run }
        | Payload::Activate { run }
        | Payload::Advance { run }
        | Payload::Command { run, .. }
        | Payload::Stop { run, .. }
        | Payload::Alarms { run, .. }
        | Payload::Deadline { run } => run.clone(),
    }
}

/// Whether a message belongs on a queue.
fn belongs(payload: &Payload, inbox: Option<Inbox>) -> bool {
    inbox == Some(Inbox::from(Outgoing::from(payload.clone()).queue))
}

/// The typed items among the facts. What is absent and what holds another type are the same: nothing is known.
trait Facts {
    fn record(&self, key: &Key) -> Option<&Record>;

    fn head(&self, run: &RunId) -> Option<(&Head, u64)> {
        let record = self.record(&Key::Head(run.clone()))?;
        Some((record.item.get()?, record.version))
    }

    fn check(&self, run: &RunId) -> Option<&Check> {
        self.record(&Key::Check(run.clone()))?.item.get()
    }

    fn queue(&self, app: &AppName) -> Option<&AppQueue> {
        self.record(&Key::Queue(app.clone()))?.item.get()
    }

    fn target(&self, run: &RunId, key: &TargetKey) -> Option<&Target> {
        self.record(&Key::Target(run.clone(), key.clone()))?.item.get()
    }

    fn planned(&self, run: &RunId, index: u32) -> Option<&PlannedTarget> {
        let chunk: &PlanChunk = self.record(&Key::Plan(run.clone(), chunk_of(index)))?.item.get()?;
        chunk.targets.iter().find(|planned| planned.index == index)
    }

    fn posting(&self, run: &RunId) -> Option<&Posting> {
        self.record(&Key::Summary(run.clone()))?.item.get()
    }

    fn link(&self, execution: &ExecutionRef) -> Option<&Link> {
        self.record(&Key::Link(execution.clone()))?.item.get()
    }

    /// Whose execution an event is about, as `collect` finds out.
    fn owner(&self, observation: &Observation) -> Option<RunId> {
        let owner = self.link(&observation.execution_ref()).and_then(|link| link.owner.as_ref());
        owner.map(|owner| owner.run.clone()).or_else(|| observation.session_run())
    }
}

impl Facts for Known {
    fn record(&self, key: &Key) -> Option<&Record> {
        match self.get(key)? {
            Fact::Stored(record) => Some(record),
            Fact::Absent | Fact::Unread(_) => None,
        }
    }
}
