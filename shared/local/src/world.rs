//! The world that the handlers are given: ledger, queues, engine, release pipeline, Slack, clock.
//!
//! Every call takes some virtual time, so handlers overlap as they do on Lambda: while one waits for its engine,
//! others run, events arrive, and a handler can be killed at any of its awaits.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use manifold_core::changes::{Change, Effect, Objection, Previewed, objection};
use manifold_core::control::Decision;
use manifold_core::drift::check::Telling;
use manifold_core::drift::{Check, Looked, OpenCheck};
use manifold_core::engine::{Service, Subject, Verb, Work};
use manifold_core::event::{PipelineState, decode_event};
use manifold_core::ids::{Attempt, ExecutionId, ExecutionRef, Nonce, PipelineName, RunId, TargetKey};
use manifold_core::known::Known;
use manifold_core::ledger::{Commit, Expect, Item, Key, Listing, OPEN, PlanChunk, Record};
use manifold_core::message::{Message, Outgoing, Payload, Queue};
use manifold_core::pace::{Api, Lane};
use manifold_core::plan::{Channel, PlannedTarget};
use manifold_core::release::{Release, Revision, Trigger};
use manifold_core::run::posting::Posting;
use manifold_core::run::sweep::OpenRun;
use manifold_core::run::{Head, Observation, Outcome, Phase, Reason, ReasonSource, Refusal, Standing, Target};
use manifold_core::summary;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_ports::engine::{AlarmState, CLOCK_SKEW, Engine, Order, Start};
use manifold_ports::jobs::Jobs;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, Listings, OpenRuns};
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::releases::{Details, ReleaseError, Releases};
use manifold_ports::slack::{MessageRef, Slack, SlackError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::behaviour::{Beat, Behaviour, Behaviours, as_told_by};
use crate::echo::{Echo, Played};
use crate::envelope::{Source, cause, words};
use crate::faults::{Agenda, Faults, Harm, Met, Stage};
use crate::limits::{Counted, Meter};
use crate::steps::Moment;
use crate::tale;

mod left;
mod recorded;
mod watched;

pub use left::{InSlack, Left, Stored, Underway};
pub(crate) use recorded::Script;
pub use watched::Tampering;

/// How long a received message stays hidden from other workers; six times the functions' timeout of 60 s, as AWS
/// recommends (Lambda Developer Guide, "Using Lambda with Amazon SQS").
pub const VISIBILITY: Span = Span::from_seconds(360);
/// How often a message is received before it becomes a dead letter.
pub const MAX_RECEIVES: u32 = 5;
/// How often `sweep` ticks, as the hub's template has it.
pub const SWEEP_EVERY: Span = Span::from_seconds(60);

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inbox {
    /// Release events, for `dispatch`.
    Dispatch,
    /// For `deploy`.
    Deploy,
    /// Events and control messages, for `collect`.
    Collect,
    /// For `summarize`.
    Summarize,
    /// For `inspect`.
    Inspect,
    /// Jobs of a release pipeline that waits, for `dispatch`. CodePipeline invokes it, without a queue.
    Job,
}

impl Inbox {
    /// Where the messages of a queue wait.
    const fn of(queue: Queue) -> Self {
        match queue {
            Queue::Dispatch => Self::Dispatch,
            Queue::Deploy => Self::Deploy,
            Queue::Collect => Self::Collect,
            Queue::Summarize => Self::Summarize,
            Queue::Inspect => Self::Inspect,
        }
    }

    /// The function that reads it.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Deploy => "deploy",
            Self::Collect => "collect",
            Self::Summarize => "summarize",
            Self::Inspect => "inspect",
            Self::Job => "dispatch",
        }
    }
}

/// A message in an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its id; a redelivery has the same one.
    pub id: String,
    /// Where it waits.
    pub inbox: Inbox,
    /// What it says.
    pub body: String,
    /// How often it was received.
    pub receives: u32,
}

impl Letter {
    /// What makes it another message than another one: not its id.
    fn sense(&self) -> (Inbox, &str, u32) {
        (self.inbox, &self.body, self.receives)
    }
}

/// One call of Slack's API, exactly as posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlackCall {
    /// Virtual time.
    pub at: String,
    /// `chat.postMessage`, `chat.update` or `webhook`.
    pub method: &'static str,
    /// The request's body.
    pub body: Value,
    /// The `ts` that the message has.
    pub ts: Option<String>,
}

/// An execution in a simulated target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Account and Region.
    pub target: TargetKey,
    /// Its id.
    pub id: ExecutionId,
    /// The client request token that it was started with.
    pub token: String,
    /// The revision that it was started with.
    pub revision: Option<String>,
    /// The variables that it was started with.
    pub variables: BTreeMap<String, String>,
    /// The run that started it.
    pub run: RunId,
    /// When.
    pub started_at: Timestamp,
    /// The error code of the action that will fail it.
    pub error_code: Option<String>,
    /// The states that its engine tells when it is asked, each from when on it does. A retry is no state of its own.
    pub states: Vec<(Timestamp, PipelineState)>,
    /// There was nothing to do: nothing ran, so that nothing tells of it but the answer of its start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_current: bool,
}

/// What a simulated release pipeline tells of its execution.
#[derive(Debug, Clone, Default)]
pub struct ReleaseFacts {
    /// Its revision.
    pub revision: Option<Revision>,
    /// Who or what started it.
    pub trigger: Trigger,
    /// The stages that it went through.
    pub stages: Vec<manifold_core::release::Stage>,
}

#[derive(Debug, Clone)]
enum Due {
    Letter(Letter),
    Tick,
    Wake(u64),
}

#[derive(Debug, Clone)]
struct Inner {
    now: Timestamp,
    sequence: u64,
    agenda: BTreeMap<(Timestamp, u64), Due>,
    timers: BTreeMap<u64, (u64, Waker)>,
    random: fastrand::Rng,
    records: BTreeMap<(String, String), Record>,
    heads: BTreeSet<RunId>,
    executions: Vec<Execution>,
    refusals: BTreeMap<TargetKey, u32>,
    /// What was told of each job.
    jobs: BTreeMap<String, manifold_core::invoke::Told>,
    /// The alarms that are in ALARM.
    alarms: BTreeSet<(TargetKey, String)>,
    /// What targets tell, once, of what they start.
    echoes: Vec<Echo>,
    /// When the change set of an attempt is ready, by its token.
    change_sets: BTreeMap<String, Timestamp>,
    sessions: BTreeSet<(String, RunId)>,
    by_hand: watched::ByHand,
    behaviours: Behaviours,
    faults: Faults,
    mishaps: Agenda,
    met: Vec<Met>,
    releases: BTreeMap<ExecutionId, ReleaseFacts>,
    slack: Vec<SlackCall>,
    slack_messages: BTreeMap<String, Option<RunId>>,
    dead_letters: Vec<Letter>,
    calls: BTreeMap<&'static str, u64>,
    task: u64,
    killed: BTreeMap<u64, &'static str>,
    invocations: BTreeMap<u64, Invocation>,
    unrecorded_posts: usize,
    /// It moves only as it is told to: see [`crate::steps`].
    stepped: bool,
    /// What targets do, if it was recorded.
    recorded: Option<BTreeMap<TargetKey, Script>>,
    /// How many messages between functions were lost.
    purged: usize,
    touched: BTreeSet<RunId>,
    lost: BTreeSet<ExecutionId>,
    tale: Option<Vec<Told>>,
    meters: BTreeMap<Lane, Meter>,
    delivered: u64,
    /// Whether items are weighed.
    weighs: bool,
}

/// An invocation of a function, as the world sees it.
#[derive(Debug, Clone, Default)]
struct Invocation {
    function: &'static str,
    /// When it began.
    began: Option<Timestamp>,
    /// How far its clock is off, in milliseconds.
    skew: i64,
    /// The run that it read last.
    run: Option<RunId>,
    /// Whether it has posted a run's message to Slack, and not recorded that yet.
    has_posted: bool,
}

/// A line of the tale of what happened, told for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When, in virtual time.
    pub at: Timestamp,
    /// Who did it: a function with the number of its invocation; none for what happens outside.
    pub who: Option<(&'static str, u64)>,
    /// What.
    pub what: String,
}

/// The number of no task: what happens outside of any function.
const NOBODY: u64 = u64::MAX;

/// A service's refusal, or its lost answer, on request.
pub(crate) struct Unwilling;

const UNWILLING: &str = "simulated: the service did not answer";

impl From<Unwilling> for LedgerError {
    fn from(_: Unwilling) -> Self {
        Self::Unavailable(UNWILLING.to_owned())
    }
}

impl From<Unwilling> for CommitError {
    fn from(unwilling: Unwilling) -> Self {
        Self::Ledger(unwilling.into())
    }
}

impl From<Unwilling> for Refusal {
    fn from(_: Unwilling) -> Self {
        Self::Later { reason: reason("The service did not answer".to_owned(), UNWILLING) }
    }
}

impl From<Unwilling> for SlackError {
    fn from(_: Unwilling) -> Self {
        Self::Unavailable { reason: UNWILLING.to_owned() }
    }
}

/// A handle to the world; clones share it.
#[derive(Debug, Clone)]
pub struct World(Arc<Mutex<Inner>>);

/// What is due next.
#[derive(Debug)]
pub(crate) enum Next {
    Letters(Vec<Letter>),
    /// `sweep` is invoked, so many times.
    Ticks(usize),
    Task(u64),
    Nothing,
}

impl World {
    /// A world at a point in time.
    #[must_use]
    pub fn new(now: Timestamp, seed: u64, behaviours: Behaviours, faults: Faults) -> Self {
        let world = Self(Arc::new(Mutex::new(Inner {
            now,
            sequence: 0,
            agenda: BTreeMap::new(),
            timers: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
            records: BTreeMap::new(),
            heads: BTreeSet::new(),
            executions: Vec::new(),
            refusals: BTreeMap::new(),
            jobs: BTreeMap::new(),
            alarms: BTreeSet::new(),
            echoes: Vec::new(),
            change_sets: BTreeMap::new(),
            sessions: BTreeSet::new(),
            by_hand: watched::ByHand::default(),
            behaviours,
            mishaps: Agenda::of(&faults.mishaps),
            faults,
            met: Vec::new(),
            releases: BTreeMap::new(),
            slack: Vec::new(),
            slack_messages: BTreeMap::new(),
            dead_letters: Vec::new(),
            calls: BTreeMap::new(),
            task: NOBODY,
            killed: BTreeMap::new(),
            invocations: BTreeMap::new(),
            unrecorded_posts: 0,
            stepped: false,
            recorded: None,
            purged: 0,
            touched: BTreeSet::new(),
            lost: BTreeSet::new(),
            tale: None,
            meters: BTreeMap::new(),
            delivered: 0,
            weighs: false,
        })));
        world.lock().at(now.plus(SWEEP_EVERY), Due::Tick);
        world
    }

    /// What a release pipeline was told of each of its jobs.
    #[must_use]
    pub fn jobs(&self) -> BTreeMap<String, manifold_core::invoke::Told> {
        self.lock().jobs.clone()
    }

    /// Has an alarm of a target go into ALARM, or out of it.
    pub fn set_alarm(&self, target: &TargetKey, name: &str, is_firing: bool) {
        let mut inner = self.lock();
        let alarm = (target.clone(), name.to_owned());
        match is_firing {
            true => inner.alarms.insert(alarm),
            false => inner.alarms.remove(&alarm),
        };
    }

    /// Whether an alarm of a target is in ALARM.
    #[must_use]
    pub fn is_firing(&self, target: &TargetKey, name: &str) -> bool {
        self.lock().alarms.contains(&(target.clone(), name.to_owned()))
    }

    /// Has a target do something else when it is started next.
    pub fn set_behaviour(&self, target: TargetKey, behaviour: Behaviour) {
        self.lock().behaviours.set(target, behaviour);
    }

    /// Has targets tell what was recorded, once each, instead of what they would do by themselves.
    pub(crate) fn play_back(&self, echoes: Vec<Echo>) {
        self.lock().echoes.extend(echoes);
    }

    /// Has other things go wrong from now on. The points at which they do are counted anew.
    pub fn set_faults(&self, faults: Faults) {
        let mut inner = self.lock();
        inner.mishaps = Agenda::of(&faults.mishaps);
        inner.faults = faults;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held ends the simulation anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a body into an inbox, as EventBridge or SQS would, subject to the world's faults.
    pub fn deliver(&self, inbox: Inbox, body: String, delay: Span) {
        let mut inner = self.lock();
        let harm = match inbox {
            Inbox::Dispatch => inner.meet_on_its_way("release", "release", None),
            Inbox::Deploy | Inbox::Collect | Inbox::Summarize | Inbox::Inspect | Inbox::Job => None,
        };
        inner.deliver(inbox, body, delay, harm);
    }

    /// What the release pipeline tells of an execution of its own.
    pub(crate) fn know_release(&self, execution: ExecutionId, facts: ReleaseFacts) {
        self.lock().releases.insert(execution, facts);
    }

    /// A release, as the release pipeline tells of its own execution.
    #[must_use]
    pub fn released(&self, pipeline: &PipelineName, source: &ExecutionRef) -> Option<Release> {
        let inner = self.lock();
        let ReleaseFacts { revision, trigger, stages } = inner.releases.get(&source.id)?.clone();
        let (source, pipeline) = (source.clone(), pipeline.clone());
        Some(Release { source, pipeline, revision, trigger, released_at: inner.now, started_at: None, stages })
    }

    /// Has the world tell what happens from now on, for [`World::tale`].
    pub fn tell_tales(&self) {
        self.lock().tale.get_or_insert_default();
    }

    /// What happened since [`World::tell_tales`].
    #[must_use]
    pub fn tale(&self) -> Vec<Told> {
        self.lock().tale.clone().unwrap_or_default()
    }

    /// The mishaps that happened.
    #[must_use]
    pub fn met(&self) -> Vec<Met> {
        self.lock().met.clone()
    }

    /// The executions of which an event was lost.
    #[must_use]
    pub fn lost(&self) -> BTreeSet<ExecutionId> {
        self.lock().lost.clone()
    }

    /// The runs whose head or targets were written since this was asked last.
    pub fn take_touched(&self) -> BTreeSet<RunId> {
        std::mem::take(&mut self.lock().touched)
    }

    /// How many executions were started, and how often Slack was called: what a look at them is worth.
    #[must_use]
    pub fn deeds(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.executions.len(), inner.slack.len())
    }

    /// The run that a message in Slack is about, by the message's `ts`.
    #[must_use]
    pub fn run_of_message(&self, ts: &str) -> Option<RunId> {
        self.lock().slack_messages.get(ts).cloned().flatten()
    }

    /// How often a message was posted to Slack by a worker that met a mishap before it had recorded that.
    #[must_use]
    pub fn unrecorded_posts(&self) -> usize {
        self.lock().unrecorded_posts
    }

    /// How many messages between functions were lost, which SQS does not do.
    #[must_use]
    pub fn purged(&self) -> usize {
        self.lock().purged
    }

    /// The time, by the world's own clock.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.lock().now
    }

    /// An operator puts all dead letters back where they came from, and does so this many times. Says how many they
    /// were.
    pub fn redrive(&self, times: usize) -> usize {
        let mut inner = self.lock();
        let letters = std::mem::take(&mut inner.dead_letters);
        let now = inner.now;
        for letter in &letters {
            inner.tell(|| format!("an operator redrives {}", letter.body));
            for _ in 0..times {
                inner.at(now, Due::Letter(Letter { receives: 0, ..letter.clone() }));
            }
        }
        letters.len()
    }

    /// The runs that were opened, by id.
    #[must_use]
    pub fn runs(&self) -> Vec<RunId> {
        self.lock().heads.iter().cloned().collect()
    }

    /// A run's head.
    #[must_use]
    pub fn head(&self, run: &RunId) -> Option<Head> {
        self.record(&Key::Head(run.clone()))?.item.take()
    }

    /// What is stored under a key.
    #[must_use]
    pub fn record(&self, key: &Key) -> Option<Record> {
        self.lock().records.get(&(key.partition(), key.sort())).cloned()
    }

    /// Every execution that was started, in order.
    #[must_use]
    pub fn executions(&self) -> Vec<Execution> {
        self.lock().executions.clone()
    }

    /// Every call of Slack's API, in order.
    #[must_use]
    pub fn slack_calls(&self) -> Vec<SlackCall> {
        self.lock().slack.clone()
    }

    /// The messages that were received too often.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Letter> {
        self.lock().dead_letters.clone()
    }

    /// How often each port was called.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.lock().calls.clone()
    }

    /// How many points at which a handler could have been killed were passed.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.lock().mishaps.passed()
    }

    /// The points at which handlers were killed.
    #[must_use]
    pub fn killed_at(&self) -> Vec<&'static str> {
        self.lock().killed.values().copied().collect()
    }

    /// The calls of each API of each account and Region.
    #[must_use]
    pub fn metered(&self) -> BTreeMap<Lane, Counted> {
        self.lock().meters.iter().map(|(lane, meter)| (lane.clone(), meter.counted)).collect()
    }

    /// How many messages were received, by whichever function.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.lock().delivered
    }

    /// Lets a call to the engine pass, or throttles it.
    fn in_limit(&self, api: Api, target: &TargetKey) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let (limit, now) = (inner.faults.limits.of(target), inner.now);
        let meter = inner.meters.entry(api.lane(target)).or_default();
        if meter.pass(limit, now) { Ok(()) } else { Err(throttled(api)) }
    }

    /// Replaces what is stored under a key, at once, by what `edit` makes of it; `None` leaves it. Returns what is
    /// stored then, and whether it was replaced.
    pub(crate) fn edit(
        &self,
        key: &Key,
        nonce: &Nonce,
        edit: impl FnOnce(Option<&Item>) -> Option<Item>,
    ) -> (Option<Item>, bool) {
        let mut inner = self.lock();
        let place = (key.partition(), key.sort());
        let stored = inner.records.get(&place);
        let Some(item) = edit(stored.map(|record| &record.item)) else {
            return (stored.map(|record| record.item.clone()), false);
        };
        let version = stored.map_or(0, |record| record.version) + 1;
        inner.records.insert(place, Record { version, nonce: nonce.clone(), item: item.clone() });
        (Some(item), true)
    }

    /// Takes what is due next, and moves the clock there. A batch is what waits in one inbox within a second.
    pub(crate) fn next(&self) -> Next {
        let mut inner = self.lock();
        let Some(((at, _), due)) = inner.agenda.pop_first() else { return Next::Nothing };
        inner.now = inner.now.max(at);
        let letter = match due {
            Due::Letter(letter) => letter,
            Due::Tick => {
                let next = inner.now.plus(SWEEP_EVERY);
                inner.at(next, Due::Tick);
                return Next::Ticks(inner.faults.sweeps.unwrap_or(1));
            }
            Due::Wake(timer) => {
                let Some((task, waker)) = inner.timers.remove(&timer) else { return Next::Task(u64::MAX) };
                drop(inner);
                waker.wake();
                return Next::Task(task);
            }
        };
        let inbox = letter.inbox;
        let until = inner.now.plus(Span::from_seconds(1));
        let with_it: Vec<(Timestamp, u64)> = inner
            .agenda
            .range(..=(until, u64::MAX))
            .filter(|(_, due)| matches!(due, Due::Letter(other) if other.inbox == inbox))
            .map(|(key, _)| *key)
            .take(inner.faults.largest_batch.unwrap_or(10).saturating_sub(1))
            .collect();
        let mut letters = vec![letter];
        for key in with_it {
            if let Some(Due::Letter(letter)) = inner.agenda.remove(&key) {
                letters.push(letter);
            }
        }
        inner.delivered += u64::try_from(letters.len()).unwrap_or(0);
        Next::Letters(letters)
    }

    /// Whether nothing is looked after, and nothing is due: however much time passes, nothing happens.
    pub(crate) fn is_asleep(&self) -> bool {
        self.is_settled() && self.lock().of_partition(OPEN).next().is_none()
    }

    /// Whether nothing is left to happen but ticks that find nothing to do by now.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.lock();
        let idle = inner.agenda.values().all(|due| matches!(due, Due::Tick));
        // A check that has ended and is told is kept until its next one, which nobody opens here by itself.
        let stored = |key: &Key| inner.records.get(&(key.partition(), key.sort())).map(|record| &record.item);
        let is_over = |run: &RunId| {
            let check = stored(&Key::Check(run.clone())).and_then(Item::get::<Check>);
            let posting = stored(&Key::Summary(run.clone())).and_then(Item::get::<Posting>);
            let is_told = posting.is_some_and(|posting| posting.shown.is_some() && posting.lease.is_none());
            check.is_none_or(|check| match check.closed().map(|closed| &closed.telling) {
                None => false,
                Some(Telling::Post) => is_told,
                Some(Telling::Again { .. } | Telling::Silent) => true,
            })
        };
        let mut open = inner.of_partition(OPEN);
        idle && open.all(|record| record.item.get::<OpenCheck>().is_some_and(|open| is_over(&open.check)))
    }

    /// Every decision that was recorded, of all runs.
    #[must_use]
    pub fn decisions(&self) -> Vec<Decision> {
        let inner = self.lock();
        inner.records.values().filter_map(|record| record.item.get::<Decision>().cloned()).collect()
    }

    /// What is known to be deployed, in all targets of all apps.
    #[must_use]
    pub fn known(&self) -> Vec<Known> {
        let inner = self.lock();
        inner.records.values().filter_map(|record| record.item.get::<Known>().cloned()).collect()
    }

    /// The drift checks that were opened, oldest first.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        let inner = self.lock();
        let mut checks: Vec<Check> =
            inner.records.values().filter_map(|record| record.item.get::<Check>().cloned()).collect();
        checks.sort_by_key(|check| check.opened_at);
        checks
    }

    /// What was seen of a check's targets.
    #[must_use]
    pub fn looked(&self, check: &RunId) -> Vec<Looked> {
        let records = self.listed(&Listing::Looked(check.clone()));
        records.into_iter().filter_map(|record| record.item.take()).collect()
    }

    /// A run's plan, for an onlooker: it takes no time.
    #[must_use]
    pub fn plan(&self, run: &RunId) -> Vec<PlannedTarget> {
        let partition = Key::Head(run.clone()).partition();
        let inner = self.lock();
        inner
            .of_partition(&partition)
            .filter_map(|record| record.item.get::<PlanChunk>())
            .flat_map(|chunk| chunk.targets.clone())
            .collect()
    }

    /// A run's targets, for an onlooker: it takes no time.
    #[must_use]
    pub fn targets_of(&self, run: &RunId) -> Vec<Target> {
        let partition = Key::Head(run.clone()).partition();
        let inner = self.lock();
        inner.of_partition(&partition).filter_map(|record| record.item.get().cloned()).collect()
    }

    /// A listing, for an onlooker: it takes no time.
    #[must_use]
    pub fn listed(&self, listing: &Listing) -> Vec<Record> {
        let inner = self.lock();
        let partition = listing.partition();
        let listed = inner.records.iter().filter(|((pk, sk), _)| *pk == partition && sk.starts_with(listing.prefix()));
        let records = listed.map(|(_, record)| record.clone());
        match listing.newest() {
            None => records.collect(),
            Some(most) => records.rev().take(usize::try_from(most).unwrap_or(usize::MAX)).collect(),
        }
    }

    /// The runs that are looked after, for an onlooker: it takes no time.
    #[must_use]
    pub fn open(&self) -> Vec<RunId> {
        let inner = self.lock();
        inner
            .of_partition(OPEN)
            .filter_map(|record| record.item.get::<OpenRun>())
            .map(|open| open.run.clone())
            .collect()
    }

    /// An operator sends a message, outside of any function: nothing happens to it on its way.
    ///
    /// # Errors
    /// It can't be encoded.
    pub fn send_now(&self, message: Outgoing) -> Result<(), SendError> {
        let inbox = Inbox::of(message.queue);
        let body = Message::new(message.payload).encode();
        let body = body.map_err(|error| SendError { unsent: 1, total: 1, reason: error.to_string() })?;
        let mut inner = self.lock();
        inner.tell(|| format!("an operator sends {}", tale::said(&body)));
        inner.deliver(inbox, body, message.delay, None);
        Ok(())
    }

    /// When something is due next; nothing is, but ticks of the schedule that find nothing to do, if there is none.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        if self.is_asleep() {
            return None;
        }
        self.lock().agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// Has time pass until then. What was due before must have been done.
    pub(crate) fn pass_until(&self, until: Timestamp) {
        let mut inner = self.lock();
        inner.now = inner.now.max(until);
    }

    /// A function is invoked.
    pub(crate) fn begin(&self, task: u64, function: &'static str) {
        let mut inner = self.lock();
        let most = inner.faults.skew.as_millis();
        let skew = if most > 0 { inner.random.i64(-most..=most) } else { 0 };
        let began = Some(inner.now);
        inner.invocations.insert(task, Invocation { function, began, skew, ..Invocation::default() });
    }

    /// Says which task is polled from now on.
    pub(crate) fn enter(&self, task: u64) {
        self.lock().task = task;
    }

    /// The task that was polled is left: it waits, or it has ended.
    pub(crate) fn leave(&self) {
        self.lock().task = NOBODY;
    }

    /// A task has ended.
    pub(crate) fn end(&self, task: u64) {
        let mut inner = self.lock();
        let Some(Invocation { began: Some(began), .. }) = inner.invocations.remove(&task) else { return };
        if inner.weighs {
            let took = u64::try_from(inner.now.since(began).as_millis()).unwrap_or(0);
            *inner.calls.entry("lambda.invocations").or_default() += 1;
            *inner.calls.entry("lambda.millis").or_default() += took;
        }
    }

    /// Adds a line about a task to the tale.
    pub(crate) fn note(&self, task: u64, what: impl FnOnce() -> String) {
        let mut inner = self.lock();
        inner.task = task;
        inner.tell(what);
        inner.task = NOBODY;
    }

    /// Lambda ends a task, as its time is up.
    pub(crate) fn time_out(&self, task: u64) {
        let mut inner = self.lock();
        inner.task = task;
        inner.meet("time out", Harm::Killed);
        inner.task = NOBODY;
    }

    /// Whether a task was killed.
    pub(crate) fn is_killed(&self, task: u64) -> bool {
        self.lock().killed.contains_key(&task)
    }

    /// A copy of the world that goes its own way.
    pub(crate) fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// From now on it moves only as it is told to.
    pub(crate) fn be_stepped(&self) {
        self.lock().stepped = true;
    }

    /// The messages that are due, each once.
    pub(crate) fn due(&self) -> Vec<Letter> {
        let inner = self.lock();
        let mut due: Vec<Letter> =
            inner.letters().filter(|(at, _)| *at <= inner.now).map(|(_, it)| it.clone()).collect();
        due.sort_by(|one, other| one.sense().cmp(&other.sense()));
        due.dedup_by(|one, other| one.sense() == other.sense());
        due
    }

    /// Takes a message out of its queue.
    pub(crate) fn take(&self, letter: &Letter) {
        let mut inner = self.lock();
        let is_it = |due: &Due| matches!(due, Due::Letter(other) if other.sense() == letter.sense());
        if let Some(key) = inner.agenda.iter().find(|(_, due)| is_it(due)).map(|(key, _)| *key) {
            inner.agenda.remove(&key);
        }
    }

    /// Loses an event on its way: its execution is known to be one of which something was lost.
    pub(crate) fn lose(&self, letter: &Letter) {
        self.take(letter);
        let mut inner = self.lock();
        let subject = inner.executions.iter().find(|known| letter.body.contains(known.id.as_str()));
        let subject = subject.map(|execution| execution.id.clone());
        inner.lost.extend(subject);
    }

    /// Puts a message into its queue.
    pub(crate) fn put(&self, letter: Letter) {
        let mut inner = self.lock();
        let now = inner.now;
        inner.at(now, Due::Letter(letter));
    }

    /// Has time pass until something is due.
    pub(crate) fn pass_time(&self) -> Moment {
        if self.is_settled() {
            return Moment::Nothing;
        }
        let mut inner = self.lock();
        let Some((&(at, sequence), due)) = inner.agenda.first_key_value() else { return Moment::Nothing };
        let is_tick = matches!(due, Due::Tick);
        inner.now = inner.now.max(at);
        if is_tick {
            inner.agenda.remove(&(at, sequence));
            inner.at(at.plus(SWEEP_EVERY), Due::Tick);
        }
        inner.tell(|| "time passes".to_owned());
        if is_tick { Moment::Tick } else { Moment::Letters }
    }

    /// The task that is not polled any more is killed where it is.
    pub(crate) fn killed_here(&self, task: u64) {
        let mut inner = self.lock();
        inner.task = task;
        inner.meet("where it is", Harm::Killed);
        inner.task = NOBODY;
    }

    /// All that can make a difference to what happens from here on. The marks of workers do not, once they have ended.
    pub(crate) fn essence(&self) -> String {
        use std::fmt::Write;

        let inner = self.lock();
        let mut essence = format!("{}", inner.now.as_millis());
        let mut add = |part: std::fmt::Arguments<'_>| essence.write_fmt(part).unwrap_or_default();
        for ((partition, sort), record) in &inner.records {
            add(format_args!("\n{partition} {sort} {} {:?}", record.version, unmarked(record.item.clone())));
        }
        let mut letters: Vec<_> = inner.letters().map(|(at, letter)| (at, letter.sense())).collect();
        letters.sort();
        add(format_args!("\n{letters:?} {:?}", inner.sessions));
        let mut executions: Vec<_> = inner.executions.iter().map(|known| (&known.token, &known.id)).collect();
        executions.sort();
        add(format_args!("\n{executions:?} {:?}", inner.refusals));
        let shown: BTreeMap<_, _> = inner.slack.iter().map(|call| (&call.ts, &call.body)).collect();
        add(format_args!("\n{shown:?} {} {}", inner.dead_letters.len(), inner.unrecorded_posts));
        essence
    }

    /// Takes a message back that was not done: it comes again, or becomes a dead letter.
    pub(crate) fn give_back(&self, letter: Letter) {
        let mut inner = self.lock();
        let receives = letter.receives + 1;
        let letter = Letter { receives, ..letter };
        inner.tell(|| format!("{} failed {receives} times", tale::said(&letter.body)));
        if receives >= MAX_RECEIVES {
            inner.dead_letters.push(letter);
        } else {
            let at = inner.now.plus(VISIBILITY);
            inner.at(at, Due::Letter(letter));
        }
    }

    /// A place where a handler may be killed, or something else may go wrong, and some virtual time. Says what the
    /// caller has to answer for: [`Harm::Refused`] or [`Harm::Mistaken`].
    pub(crate) async fn point(&self, name: &'static str, least: i64, most: i64) -> Option<Harm> {
        let (wake_at, harm) = {
            let mut inner = self.lock();
            let stage = inner.mishaps.asks_for_stage(name).then(|| inner.stage_here());
            let harm = inner.mishaps.pass(name, stage);
            if let Some(harm) = harm {
                inner.meet(name, harm);
            }
            let slower = match harm {
                Some(Harm::Slow(by)) => by,
                Some(Harm::Killed | Harm::Refused | Harm::Mistaken | Harm::Lost | Harm::Twice | Harm::Late(_))
                | None => Span::from_millis(0),
            };
            let millis = match (inner.stepped, &inner.recorded) {
                (true, _) => 0,
                // What took its time is recorded with its times.
                (false, Some(_)) => 1,
                (false, None) => inner.random.i64(least..=most),
            };
            (inner.now.plus(Span::from_millis(millis)).plus(slower), harm)
        };
        if self.lock().stepped {
            let mut waited = false;
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            return harm;
        }
        if harm == Some(Harm::Killed) {
            // The task is dropped by the loop: what follows never happens.
            return std::future::pending().await;
        }
        self.wait_until(wake_at).await;
        harm
    }

    /// Waits, while others go on.
    async fn wait_until(&self, wake_at: Timestamp) {
        let mut timer = None;
        poll_fn(|context| {
            let mut inner = self.lock();
            if inner.now >= wake_at {
                return Poll::Ready(());
            }
            let task = inner.task;
            let id = *timer.get_or_insert_with(|| {
                let id = inner.sequence;
                inner.at(wake_at, Due::Wake(id))
            });
            inner.timers.insert(id, (task, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// A point where the service may refuse.
    pub(crate) async fn ask(&self, name: &'static str, least: i64, most: i64) -> Result<(), Unwilling> {
        match self.point(name, least, most).await {
            Some(Harm::Refused) => Err(Unwilling),
            Some(Harm::Killed | Harm::Mistaken | Harm::Slow(_) | Harm::Lost | Harm::Twice | Harm::Late(_)) | None => {
                Ok(())
            }
        }
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.lock().calls.entry(what).or_default() += 1;
    }

    /// Has what costs money counted from now on, among [`World::calls`]: DynamoDB's units, for which every item is weighed
    /// that is read or written, as `units.read` and `units.write`; messages and requests of SQS as `sqs.messages` and
    /// `sqs.requests`; `lambda.invocations`, and their virtual time as `lambda.millis`.
    pub fn weigh(&self) {
        self.lock().weighs = true;
    }
}

impl Inner {
    fn of_partition<'a>(&'a self, partition: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records
            .range((partition.to_owned(), String::new())..)
            .take_while(move |((found, _), _)| found == partition)
            .map(|(_, record)| record)
    }

    fn letters(&self) -> impl Iterator<Item = (Timestamp, &Letter)> {
        self.agenda.iter().filter_map(|((at, _), due)| match due {
            Due::Letter(letter) => Some((*at, letter)),
            Due::Tick | Due::Wake(_) => None,
        })
    }

    fn at(&mut self, at: Timestamp, due: Due) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        self.agenda.insert((at, sequence), due);
        sequence
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from_digit(self.random.u32(0..16), 16).unwrap_or('0')).collect()
    }

    /// The so-many-th execution of a token. Its name says so where nothing may depend on the way to a state.
    fn execution_id(&mut self, subject: &Subject, token: &str) -> String {
        match subject {
            Subject::Pipeline(_) => self.execution_uuid(token),
            Subject::Project(name) => format!("{name}:{}", self.execution_uuid(token)),
            Subject::Stack(_) => token.to_owned(),
            Subject::Group(_) => {
                let id: String = self.execution_uuid(token).chars().filter(|c| *c != '-').collect();
                format!("d-{}", id[id.len() - 9..].to_ascii_uppercase())
            }
        }
    }

    fn execution_uuid(&mut self, token: &str) -> String {
        if !self.stepped {
            return self.uuid();
        }
        let twins = self.executions.iter().filter(|known| known.token == token).count();
        let hash = token
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{:08x}-0000-4000-8000-{:012x}", hash >> 32, (hash & 0xffff_ffff) * 100 + twins as u64)
    }

    fn uuid(&mut self) -> String {
        format!("{}-{}-{}-{}-{}", self.hex(8), self.hex(4), self.hex(4), self.hex(4), self.hex(12))
    }

    fn deliver(&mut self, inbox: Inbox, body: String, delay: Span, harm: Option<Harm>) {
        let letter = Letter { id: self.uuid(), inbox, body, receives: 0 };
        let twice = self.random.f64() < self.faults.duplicates || harm == Some(Harm::Twice);
        let later = match harm {
            Some(Harm::Late(by)) => by,
            Some(Harm::Killed | Harm::Refused | Harm::Mistaken | Harm::Slow(_) | Harm::Lost | Harm::Twice) | None => {
                Span::from_millis(0)
            }
        };
        for _ in 0..if twice { 2 } else { 1 } {
            let late = self.random.i64(0..=self.faults.disorder.as_millis());
            let at = self.now.plus(delay).plus(later).plus(Span::from_millis(late));
            self.at(at, Due::Letter(letter.clone()));
        }
    }

    /// Has an event arrive at the hub, some time after it happened, unless it is lost.
    fn emit(&mut self, happens_in: Span, event: &Value, execution: &Execution, kind: &'static str) {
        if self.stepped {
            // Whoever holds the world decides when it arrives, or whether.
            self.deliver(Inbox::Collect, event.to_string(), Span::from_millis(0), None);
            return;
        }
        let forwarded = Span::from_millis(self.random.i64(300..=2500));
        let harm = self.meet_on_its_way("event", kind, Some(execution.run.clone()));
        if harm == Some(Harm::Lost) || (self.faults.lost > 0.0 && self.random.f64() < self.faults.lost) {
            self.lost.insert(execution.id.clone());
            let target = &execution.target;
            self.tell(|| format!("the event {kind} of {target} is lost"));
            return;
        }
        let delay = Span::from_millis(happens_in.as_millis() + forwarded.as_millis());
        self.deliver(Inbox::Collect, event.to_string(), delay, harm);
    }

    /// What a mishap does to something that is on its way.
    fn meet_on_its_way(&mut self, at: &'static str, state: &'static str, run: Option<RunId>) -> Option<Harm> {
        let harm = self.mishaps.meet(at)?;
        self.tell(|| format!("the next {at}, {state}: {harm}"));
        self.met.push(Met { at, harm, function: None, run, state });
        Some(harm)
    }

    /// A mishap meets the task that is polled.
    fn meet(&mut self, at: &'static str, harm: Harm) {
        let task = self.task;
        let (mut function, mut run) = (None, None);
        if let Some(here) = self.invocations.get_mut(&task) {
            self.unrecorded_posts += usize::from(std::mem::take(&mut here.has_posted));
            (function, run) = (Some(here.function), here.run.clone());
        }
        if harm == Harm::Killed {
            self.killed.insert(task, at);
        }
        let state = self.stage(run.as_ref()).name();
        self.tell(|| format!("{harm} at {at}"));
        self.met.push(Met { at, harm, function, run, state });
    }

    /// How far the run is that the polled task works on.
    fn stage_here(&self) -> Stage {
        self.stage(self.invocations.get(&self.task).and_then(|here| here.run.as_ref()))
    }

    fn stage(&self, run: Option<&RunId>) -> Stage {
        let stored = |key: &Key| self.records.get(&(key.partition(), key.sort())).map(|record| &record.item);
        let Some(run) = run else { return Stage::Unopened };
        let Some(Item::Head(head)) = stored(&Key::Head(run.clone())) else { return Stage::Unopened };
        let is_open = stored(&Key::Open(run.clone())).is_some();
        match (&head.phase, head.verdict()) {
            (Phase::Waiting { .. }, _) => Stage::Waiting,
            (_, Some(_)) if is_open => Stage::Untold,
            (_, Some(_)) => Stage::Told,
            (Phase::Closed { .. }, None) => Stage::Reopened,
            (Phase::Active { .. }, None) if head.wave_over_tolerance().is_some() => Stage::Halting,
            (Phase::Active { .. }, None) if self.executions.iter().any(|execution| execution.run == *run) => {
                Stage::Running
            }
            (Phase::Active { .. }, None) => Stage::Beginning,
        }
    }

    /// Adds a line to the tale, if anybody listens.
    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.tale.is_none() {
            return;
        }
        let task = self.task;
        let who = self.invocations.get(&task).map(|here| (here.function, task));
        let line = Told { at: self.now, who, what: what() };
        self.tale.get_or_insert_default().push(line);
    }

    /// The task that is polled has posted a run's message, or recorded where it stands.
    fn has_posted(&mut self, has_posted: bool) {
        if let Some(here) = self.invocations.get_mut(&self.task) {
            here.has_posted = has_posted;
        }
    }

    /// The task that is polled works on a run.
    fn works_on(&mut self, run: &RunId) {
        if let Some(here) = self.invocations.get_mut(&self.task)
            && here.run.as_ref() != Some(run)
        {
            here.run = Some(run.clone());
        }
    }

    /// Schedules what an execution will tell, by its target's behaviour, and notes what its engine will answer.
    fn play(&mut self, execution: &mut Execution, subject: &Subject, script: Vec<(Span, Beat)>, session: &str) {
        let source = Source {
            target: execution.target.clone(),
            subject: subject.clone(),
            execution: execution.id.clone(),
            started_at: self.now,
            error_code: execution.error_code.clone(),
        };
        let script = as_told_by(subject.service(), script);
        let (began, known) = (self.now, execution.states.len());
        for (number, (after, beat)) in script.into_iter().enumerate() {
            // Where no time passes, an execution takes none.
            let at = if self.stepped { began } else { began.plus(after) };
            let id = if self.stepped { format!("{}-{}", execution.id, known + number) } else { self.uuid() };
            match beat {
                Beat::State(state, attempt) => {
                    if let Some(event) = source.state(&id, &state, attempt, at, session) {
                        self.emit(after, &event, execution, state_name(&state));
                    }
                    match state {
                        PipelineState::Unknown(_) => {}
                        PipelineState::Resumed => execution.states.push((at, PipelineState::Started)),
                        PipelineState::Started
                        | PipelineState::Stopping
                        | PipelineState::Succeeded
                        | PipelineState::Failed
                        | PipelineState::Stopped
                        | PipelineState::Canceled
                        | PipelineState::Superseded => execution.states.push((at, state)),
                    }
                }
                Beat::ActionFailed { code, attempt } => {
                    if let Some(event) = source.failed(&id, "Deploy", &code, attempt, at) {
                        self.emit(after, &event, execution, "action FAILED");
                    }
                }
            }
        }
    }
}

/// Whether an event tells of something that has happened by now. Its own time has whole seconds only: what it tells counts.
fn has_happened(body: &str, execution: &Execution, now: Timestamp) -> bool {
    let Ok(envelope) = decode_event(body) else { return true };
    match Observation::of(&envelope).and_then(|observation| observation.state().cloned()) {
        Some(PipelineState::Started | PipelineState::Resumed) => true,
        Some(state) => execution.states.iter().any(|(_, known)| *known == state),
        None => envelope.at.as_seconds() < now.as_seconds(),
    }
}

/// An item without the marks of the workers that wrote it, and without its record of what was heard in which order.
fn unmarked(item: Item) -> Item {
    let Ok(nobody) = "nobody".parse::<Nonce>() else { return item };
    match item {
        Item::Target(mut target) => {
            if let Some(claim) = &mut target.claim {
                claim.nonce = nobody;
            }
            target.heard.clear();
            Item::Target(target)
        }
        Item::Summary(mut posting) => {
            if let Some(lease) = &mut posting.lease {
                lease.nonce = nobody;
            }
            Item::Summary(posting)
        }
        other @ (Item::Head(_)
        | Item::Plan(_)
        | Item::Link(_)
        | Item::Decision(_)
        | Item::Queue(_)
        | Item::Known(_)
        | Item::Opening(_)
        | Item::Open(_)
        | Item::Pace(_)
        | Item::Check(_)
        | Item::Looked(_)
        | Item::Detection(_)
        | Item::Baseline(_)
        | Item::Standing(_)
        | Item::Ignore(_)
        | Item::LastCheck(_)
        | Item::Definition(_)
        | Item::OpenCheck(_)) => other,
    }
}

/// A state as a column of a table is named.
const fn state_name(state: &PipelineState) -> &'static str {
    match state {
        PipelineState::Started => "STARTED",
        PipelineState::Resumed => "RESUMED",
        PipelineState::Stopping => "STOPPING",
        PipelineState::Succeeded => "SUCCEEDED",
        PipelineState::Failed => "FAILED",
        PipelineState::Stopped => "STOPPED",
        PipelineState::Canceled => "CANCELED",
        PipelineState::Superseded => "SUPERSEDED",
        PipelineState::Unknown(_) => "unknown",
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        let inner = self.lock();
        let skew = inner.invocations.get(&inner.task).map_or(0, |here| here.skew);
        Timestamp::from_millis(inner.now.as_millis() + skew)
    }

    fn nonce(&self) -> Nonce {
        let mut inner = self.lock();
        loop {
            // Hexadecimal digits always are a nonce.
            if let Ok(nonce) = inner.hex(24).parse() {
                return nonce;
            }
        }
    }
}

impl Ledger for World {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, LedgerError> {
        self.count("ledger.get");
        self.ask("ledger.get", 4, 12).await?;
        let mut inner = self.lock();
        if let Some(run) = keys.iter().find_map(Key::run) {
            inner.works_on(run);
        }
        let found: Vec<Option<Record>> =
            keys.iter().map(|key| inner.records.get(&(key.partition(), key.sort())).cloned()).collect();
        inner.weigh_read(found.iter().map(Option::as_ref), true);
        Ok(found)
    }

    async fn targets(&self, run: &RunId) -> Result<Vec<Target>, LedgerError> {
        self.count("ledger.targets");
        self.ask("ledger.targets", 5, 20).await?;
        Ok(self.targets_of(run))
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.count("ledger.commit");
        self.ask("ledger.commit/before", 4, 10).await?;
        if commit.writes.len() > Commit::MAX_WRITES {
            let reason = format!("{} writes in one transaction", commit.writes.len());
            return Err(LedgerError::Refused(reason).into());
        }
        let found: Vec<(Key, Option<Record>)> = {
            let mut inner = self.lock();
            let blocking: Vec<(Key, Option<Record>)> = commit
                .writes
                .iter()
                .filter_map(|write| {
                    let stored = inner.records.get(&(write.key.partition(), write.key.sort()));
                    let holds = match write.expect {
                        Expect::Absent => stored.is_none(),
                        Expect::Version(version) => stored.is_some_and(|record| record.version == version),
                        Expect::Anything => true,
                    };
                    (!holds).then(|| (write.key.clone(), stored.cloned()))
                })
                .collect();
            inner.weigh_written(&commit.writes);
            if blocking.is_empty() {
                for write in commit.writes {
                    inner.store(write.key, write.item, write.expect, commit.nonce.clone());
                }
            }
            blocking
        };
        match self.point("ledger.commit/after", 1, 6).await {
            Some(Harm::Refused) => Err(Unwilling.into()),
            Some(Harm::Mistaken) if found.is_empty() => Err(CommitError::Conflict { found }),
            Some(Harm::Killed | Harm::Mistaken | Harm::Slow(_) | Harm::Lost | Harm::Twice | Harm::Late(_)) | None => {
                if found.is_empty() {
                    Ok(())
                } else {
                    Err(CommitError::Conflict { found })
                }
            }
        }
    }
}

impl Listings for World {
    async fn list(&self, listing: &Listing) -> Result<Vec<Record>, LedgerError> {
        self.count("ledger.list");
        self.ask("ledger.list", 5, 20).await?;
        let found = self.listed(listing);
        self.lock().weigh_read(found.iter().map(Some), false);
        Ok(found)
    }
}

impl OpenRuns for World {
    async fn open_runs(&self) -> Result<Vec<Result<Record, LedgerError>>, LedgerError> {
        self.count("ledger.open_runs");
        self.ask("ledger.open_runs", 4, 12).await?;
        Ok(self.lock().of_partition(OPEN).cloned().map(Ok).collect())
    }

    async fn forget(&self, key: &Key, nonce: &Nonce) -> Result<bool, LedgerError> {
        self.count("ledger.forget");
        self.ask("ledger.forget/before", 4, 10).await?;
        let place = (key.partition(), key.sort());
        let forgotten = {
            let mut inner = self.lock();
            let is_own = inner.records.get(&place).is_some_and(|record| record.nonce == *nonce);
            if is_own {
                inner.tell(|| {
                    format!("forgets {}: it is told", key.run().map_or_else(String::new, ToString::to_string))
                });
                inner.records.remove(&place);
            }
            is_own
        };
        self.ask("ledger.forget/after", 1, 6).await?;
        Ok(forgotten)
    }
}

/// DynamoDB's units, all reads consistent ("Amazon DynamoDB read/write capacity", on-demand): one for each 4 KB read, and one
/// for each KB written, twice that in a transaction. A query counts its items together, a batch each of them.
impl Inner {
    fn weigh_read<'a>(&mut self, records: impl Iterator<Item = Option<&'a Record>>, each: bool) {
        if !self.weighs {
            return;
        }
        let weights: Vec<u64> = records.map(|record| record.map_or(0, |record| weight(&record.item))).collect();
        let units: u64 = match each {
            true => weights.into_iter().map(|weight| weight.div_ceil(4096).max(1)).sum(),
            false => weights.into_iter().sum::<u64>().div_ceil(4096).max(1),
        };
        *self.calls.entry("units.read").or_default() += units;
    }

    fn weigh_written(&mut self, writes: &[manifold_core::ledger::Write]) {
        if !self.weighs {
            return;
        }
        let units: u64 = writes.iter().map(|write| weight(&write.item).div_ceil(1024).max(1)).sum();
        let times = if writes.len() > 1 { 2 } else { 1 };
        *self.calls.entry("units.write").or_default() += units * times;
    }
}

/// An item's size, as its JSON has: DynamoDB's own form, without quotes and braces, is a little smaller.
fn weight(item: &Item) -> u64 {
    serde_json::to_string(item).map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX))
}

impl Inner {
    fn store(&mut self, key: Key, item: Item, expect: Expect, nonce: Nonce) {
        if let Key::Head(run) = &key {
            self.heads.insert(run.clone());
        }
        if let Key::Head(run) | Key::Target(run, _) = &key {
            self.touched.insert(run.clone());
        }
        if matches!(item, Item::Summary(_)) {
            self.has_posted(false);
        }
        self.tell(|| tale::written(&item));
        let version = match expect {
            Expect::Version(version) => version + 1,
            Expect::Absent | Expect::Anything => 1,
        };
        self.records.insert((key.partition(), key.sort()), Record { version, nonce, item });
    }
}

impl Queues for World {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), SendError> {
        self.count("queues.send");
        let total = messages.len();
        let unsent = |unsent| SendError { unsent, total, reason: UNWILLING.to_owned() };
        // A batch may be accepted in part.
        let accepted = match self.ask("queues.send/before", 5, 15).await {
            Ok(()) => total,
            Err(Unwilling) => total / 2,
        };
        {
            let mut inner = self.lock();
            if inner.weighs {
                *inner.calls.entry("sqs.messages").or_default() += u64::try_from(accepted).unwrap_or(0);
                *inner.calls.entry("sqs.requests").or_default() += u64::try_from(accepted.div_ceil(10)).unwrap_or(0);
            }
            for message in messages.into_iter().take(accepted) {
                let inbox = Inbox::of(message.queue);
                // A run that is played again opens no other one.
                if inner.recorded.is_some() && inbox == Inbox::Dispatch {
                    continue;
                }
                let kind = kind_of(&message.payload);
                let delay = Span::from_seconds(message.delay_seconds());
                let body = Message::new(message.payload).encode().map_err(|error| SendError {
                    unsent: 1,
                    total,
                    reason: error.to_string(),
                })?;
                inner.tell(|| format!("sends {}", tale::said(&body)));
                if inner.faults.messages_lost > 0.0 && inner.random.f64() < inner.faults.messages_lost {
                    inner.purged += 1;
                    inner.tell(|| "which is lost".to_owned());
                    continue;
                }
                let harm = inner.meet_on_its_way("message", kind, None);
                let underway = if inner.stepped { 0 } else { inner.random.i64(10..=80) };
                let delay = Span::from_millis(delay.as_millis() + underway);
                inner.deliver(inbox, body, delay, harm);
            }
        }
        if accepted < total {
            return Err(unsent(total - accepted));
        }
        self.ask("queues.send/after", 1, 5).await.map_err(|Unwilling| unsent(total))
    }
}

/// A message as a column of a table is named.
const fn kind_of(payload: &Payload) -> &'static str {
    match payload {
        Payload::Start { .. } => "start",
        Payload::Explain { .. } => "explain",
        Payload::Ask { .. } => "ask",
        Payload::Summarize { .. } => "summarize",
        Payload::Activate { .. } => "activate",
        Payload::Notify { .. } => "notify",
        Payload::Advance { .. } => "advance",
        Payload::Command { .. } => "command",
        Payload::Open { .. } => "open",
        Payload::Stop { .. } => "stop",
        Payload::Alarms { .. } => "alarms",
        Payload::Drift(note) => note.name(),
        Payload::Deadline { .. } => "deadline",
    }
}

pub(crate) fn throttled(api: Api) -> Refusal {
    Refusal::Throttled { api, reason: reason(format!("Throttled by {}", api.service()), "Simulated: Rate exceeded") }
}

fn denied(planned: &PlannedTarget) -> Refusal {
    let cause = format!("AccessDenied on role {}", planned.role.name());
    let reason = reason(cause, "Simulated: the hub's function may not assume the role");
    Refusal::Permanent { outcome: Outcome::Unreachable, reason }
}

fn reason(cause: String, detail: &str) -> Reason {
    Reason { cause, detail: Some(detail.to_owned()), link: None, source: ReasonSource::Manifold, attempt: 0 }
}

impl World {
    /// Assumes the role, once for an account and a run.
    async fn assume(&self, order: Order<'_>) -> Result<String, Refusal> {
        let Order { run, planned, .. } = order;
        if self.lock().sessions.insert((planned.key.account.to_string(), run.clone())) {
            self.count("sts.assume_role");
            if let Err(unwilling) = self.ask("sts.assume_role", 60, 140).await {
                self.lock().sessions.remove(&(planned.key.account.to_string(), run.clone()));
                return Err(unwilling.into());
            }
        }
        if self.lock().behaviours.of(&planned.key) == Behaviour::AccessDenied {
            return Err(denied(planned));
        }
        let partition = planned.key.region.partition().as_str();
        let (account, role) = (&planned.key.account, planned.role.name());
        Ok(format!("arn:{partition}:sts::{account}:assumed-role/{role}/{}", run.session_name()))
    }
}

impl Engine for World {
    fn is_entered(&self, order: Order<'_>) -> bool {
        // In a record nobody waits for the role: what was waited for is in its times.
        self.is_recorded() || self.lock().sessions.contains(&(order.planned.key.account.to_string(), order.run.clone()))
    }

    async fn start(&self, order: Order<'_>) -> Result<Start, Refusal> {
        if let Some(answer) = self.recorded_start(order).await {
            return answer;
        }
        let session = self.assume(order).await?;
        let Order { run, planned, attempt } = order;
        self.count("engine.start");
        let api = planned.subject.service().api(Verb::Start);
        self.ask("engine.start/before", 150, 600).await.map_err(|Unwilling| throttled(api))?;
        self.in_limit(api, &planned.key)?;
        let started = self.lock().start(run, planned, attempt, &session);
        self.ask("engine.start/after", 20, 60).await?;
        started
    }

    async fn find(
        &self,
        order: Order<'_>,
        since: Timestamp,
        except: &[ExecutionId],
    ) -> Result<Option<ExecutionId>, Refusal> {
        self.assume(order).await?;
        self.count("engine.find");
        let api = order.planned.subject.service().api(Verb::Find);
        World::ask(self, "engine.find", 80, 200).await.map_err(|Unwilling| throttled(api))?;
        self.in_limit(api, &order.planned.key)?;
        let inner = self.lock();
        let found = inner
            .executions
            .iter()
            .filter(|e| e.run == *order.run && e.target == order.planned.key && e.started_at.plus(CLOCK_SKEW) >= since)
            .filter(|e| !except.contains(&e.id) && !e.is_current)
            .min_by_key(|e| e.started_at);
        Ok(found.map(|e| e.id.clone()))
    }

    async fn explain(&self, order: Order<'_>, execution: &ExecutionId) -> Result<Reason, Refusal> {
        self.assume(order).await?;
        self.count("engine.explain");
        let service = order.planned.subject.service();
        let api = service.api(Verb::Explain);
        World::ask(self, "engine.explain", 80, 200).await.map_err(|Unwilling| throttled(api))?;
        self.in_limit(api, &order.planned.key)?;
        if let Some(reason) = self.recorded_reason(&order.planned.key, execution) {
            return Ok(reason);
        }
        let inner = self.lock();
        let code = inner.executions.iter().find(|e| e.id == *execution).and_then(|e| e.error_code.clone());
        Ok(Reason {
            source: ReasonSource::Engine,
            ..match code {
                Some(code) => reason(cause(service, &code), &words(&code)),
                None => reason("Failed without a failed action".to_owned(), "Simulated"),
            }
        })
    }

    async fn ask(&self, order: Order<'_>, execution: &ExecutionId, _: Timestamp) -> Result<Option<Standing>, Refusal> {
        self.assume(order).await?;
        self.count("engine.ask");
        let api = order.planned.subject.service().api(Verb::Ask);
        World::ask(self, "engine.ask", 80, 200).await.map_err(|Unwilling| throttled(api))?;
        self.in_limit(api, &order.planned.key)?;
        Ok(self.standing(execution))
    }

    async fn stop(&self, order: Order<'_>, execution: &ExecutionId, _: &str) -> Result<(), Refusal> {
        let session = self.assume(order).await?;
        self.count("engine.stop");
        let api = order.planned.subject.service().api(Verb::Stop);
        World::ask(self, "engine.stop/before", 80, 200).await.map_err(|Unwilling| throttled(api))?;
        self.in_limit(api, &order.planned.key)?;
        // In a record it stopped when its events say so.
        if !self.is_recorded() {
            self.lock().stop(order.planned, execution, &session);
        }
        World::ask(self, "engine.stop/after", 5, 20).await?;
        Ok(())
    }

    async fn alarms(&self, order: Order<'_>, names: &[String]) -> Result<Vec<AlarmState>, Refusal> {
        self.assume(order).await?;
        self.count("engine.alarms");
        World::ask(self, "engine.alarms", 80, 200).await.map_err(|Unwilling| throttled(Api::DescribeAlarms))?;
        self.in_limit(Api::DescribeAlarms, &order.planned.key)?;
        if self.is_unlooked(&order.planned.key) {
            let reason = reason("The alarms could not be looked at".to_owned(), "As it was recorded");
            return Err(Refusal::Permanent { outcome: Outcome::Unreachable, reason });
        }
        let inner = self.lock();
        let state = |name: &String| {
            let is_firing = inner.alarms.contains(&(order.planned.key.clone(), name.clone()));
            AlarmState { name: name.clone(), is_firing }
        };
        Ok(names.iter().map(state).collect())
    }
}

/// What the change set of a simulated stack does.
fn change_set(behaviour: &Behaviour) -> Vec<Change> {
    let change = |effect, resource: &str, kind: &str| Change {
        effect,
        resource: resource.to_owned(),
        kind: Some(kind.to_owned()),
    };
    let mut changes = vec![change(Effect::Changes, "Service", "AWS::ECS::Service")];
    if *behaviour == Behaviour::Replaces {
        changes.push(change(Effect::Replaces, "Table", "AWS::DynamoDB::Table"));
    }
    changes
}

/// Whether it is executed, as the plan has it.
fn may_be_executed(planned: &PlannedTarget, behaviour: &Behaviour) -> Result<(), Refusal> {
    let Some(Work::Stack(work)) = &planned.work else { return Ok(()) };
    match objection(&change_set(behaviour), work.replacements) {
        None => Ok(()),
        Some(Objection { cause, detail }) => Err(Refusal::Permanent {
            outcome: Outcome::Failed,
            reason: Reason { detail: Some(detail), ..reason(cause.to_owned(), "") },
        }),
    }
}

impl World {
    /// What a release would do to a target's stack.
    #[must_use]
    pub fn preview(&self, planned: &PlannedTarget) -> Previewed {
        let behaviour = self.lock().behaviours.of(&planned.key);
        if behaviour == Behaviour::Current {
            Previewed::Current
        } else if behaviour == Behaviour::AccessDenied {
            Previewed::from(denied(planned))
        } else {
            Previewed::Changes(change_set(&behaviour))
        }
    }

    fn standing(&self, execution: &ExecutionId) -> Option<Standing> {
        let inner = self.lock();
        let known = inner.executions.iter().find(|known| known.id == *execution)?;
        let (at, state) = known.states.iter().rfind(|(at, _)| *at <= inner.now)?;
        let comments = matches!(state, PipelineState::Stopping | PipelineState::Stopped)
            .then(|| "Stopped by hand in the simulation".to_owned());
        Some(Standing { state: state.clone(), at: *at, comments })
    }
}

impl Inner {
    /// Stops an execution: what it would have done from now on, it does not.
    fn stop(&mut self, planned: &PlannedTarget, id: &ExecutionId, session: &str) {
        let now = self.now;
        let Some(at) = self.executions.iter().position(|known| known.id == *id) else { return };
        let Some(mut execution) = self.executions.get(at).cloned() else { return };
        let state = execution.states.iter().rfind(|(at, _)| *at <= now).map(|(_, state)| state.clone());
        if state != Some(PipelineState::Started) {
            return;
        }
        execution.states.retain(|(at, _)| *at <= now);
        self.agenda.retain(|_, due| match due {
            Due::Letter(letter) if letter.inbox == Inbox::Collect && letter.body.contains(id.as_str()) => {
                has_happened(&letter.body, &execution, now)
            }
            Due::Letter(_) | Due::Wake(_) | Due::Tick => true,
        });
        self.tell(|| format!("stops {id} in {}, as {session}", planned.key));
        let second = Span::from_seconds(1);
        let script = vec![
            (Span::from_millis(0), Beat::State(PipelineState::Stopping, 1)),
            (second, Beat::State(PipelineState::Stopped, 1)),
        ];
        self.play(&mut execution, &planned.subject, script, session);
        if let Some(place) = self.executions.get_mut(at) {
            *place = execution;
        }
    }

    fn start(
        &mut self,
        run: &RunId,
        planned: &PlannedTarget,
        attempt: Attempt,
        session: &str,
    ) -> Result<Start, Refusal> {
        let token = run.attempt_token(&planned.key, attempt);
        let service = planned.subject.service();
        let known = self.executions.iter().find(|execution| execution.token == token);
        // CodeDeploy has no token, and CloudFormation's is the execution's id.
        let is_remembered = match service {
            Service::CodePipeline | Service::CodeBuild => !self.faults.tokens_forgotten,
            Service::CloudFormation => true,
            Service::CodeDeploy => false,
        };
        if let Some(known) = known.filter(|_| is_remembered) {
            return Ok(match known.is_current {
                true => Start::Current(known.id.clone()),
                false => Start::Begun(known.id.clone()),
            });
        }
        let is_first = !self.executions.iter().any(|known| known.run == *run && known.target == planned.key);
        let behaviour = self.behaviours.of(&planned.key).after(is_first);
        match &behaviour {
            Behaviour::PipelineNotFound => {
                return Err(Refusal::Permanent {
                    outcome: Outcome::Failed,
                    reason: reason(
                        format!("{} not found", planned.subject.sentence()),
                        "Simulated: there is nothing of this name",
                    ),
                });
            }
            Behaviour::Throttled => {
                let refused = self.refusals.entry(planned.key.clone()).or_default();
                *refused += 1;
                if *refused <= 2 {
                    return Err(throttled(service.api(Verb::Start)));
                }
            }
            Behaviour::Succeeds
            | Behaviour::Fails(_)
            | Behaviour::FailsThenRetried
            | Behaviour::RetriedLate
            | Behaviour::RetriedInVain
            | Behaviour::FailsOnce
            | Behaviour::Superseded
            | Behaviour::Canceled
            | Behaviour::Stopped
            | Behaviour::Silent
            | Behaviour::AccessDenied
            | Behaviour::UnknownState
            | Behaviour::Replaces
            | Behaviour::Current => {}
        }
        if service == Service::CloudFormation {
            self.prepared(&token, planned)?;
            may_be_executed(planned, &behaviour)?;
        }
        let id: ExecutionId =
            self.execution_id(&planned.subject, &token).parse().map_err(|error| Refusal::Permanent {
                outcome: Outcome::Failed,
                reason: reason("The simulation made no execution id".to_owned(), &format!("{error}")),
            })?;
        let mut execution = Execution {
            target: planned.key.clone(),
            id: id.clone(),
            token,
            revision: planned.pinned().map(str::to_owned),
            variables: planned.variables.clone(),
            run: run.clone(),
            started_at: self.now,
            states: vec![(self.now, PipelineState::Started)],
            error_code: behaviour.error_code(),
            is_current: service == Service::CloudFormation && behaviour == Behaviour::Current,
        };
        if execution.is_current {
            self.tell(|| format!("finds no changes in {}, as {session}", planned.key));
            execution.states = vec![(self.now, PipelineState::Succeeded)];
            self.executions.push(execution);
            return Ok(Start::Current(id));
        }
        self.tell(|| format!("starts {id} in {}, as {session}", planned.key));
        let took = Span::from_millis(if self.stepped { 0 } else { self.random.i64(90_000..=240_000) });
        match self.echoes.iter().position(|known| known.target == planned.key && known.subject == planned.subject) {
            Some(at) => {
                let echo = self.echoes.remove(at);
                self.play_back(&mut execution, &echo);
            }
            None => {
                let script = behaviour.script(took, self.faults.started_untold);
                self.play(&mut execution, &planned.subject, script, session);
            }
        }
        self.executions.push(execution);
        Ok(Start::Begun(id))
    }

    /// Schedules what was recorded, and notes what its engine will answer.
    fn play_back(&mut self, execution: &mut Execution, echo: &Echo) {
        let now = self.now;
        for Played { after, event, state } in echo.play(&execution.id, &execution.run, now) {
            let kind = state.as_ref().map_or("recorded", state_name);
            self.emit(after, &event, execution, kind);
            match state {
                Some(PipelineState::Unknown(_)) | None => {}
                Some(PipelineState::Failed) => {
                    execution.error_code.get_or_insert_with(|| "Failed".to_owned());
                    execution.states.push((now.plus(after), PipelineState::Failed));
                }
                Some(PipelineState::Resumed) => execution.states.push((now.plus(after), PipelineState::Started)),
                Some(
                    state @ (PipelineState::Started
                    | PipelineState::Stopping
                    | PipelineState::Succeeded
                    | PipelineState::Stopped
                    | PipelineState::Canceled
                    | PipelineState::Superseded),
                ) => execution.states.push((now.plus(after), state)),
            }
        }
    }

    /// Whether the change set of an attempt is ready: the first who asks has it made, and comes again.
    fn prepared(&mut self, token: &str, planned: &PlannedTarget) -> Result<(), Refusal> {
        let ready = if self.stepped { self.now } else { self.now.plus(CHANGE_SET_TAKES) };
        let (is_new, at) = match self.change_sets.get(token) {
            Some(at) => (false, *at),
            None => (true, ready),
        };
        self.change_sets.entry(token.to_owned()).or_insert(at);
        if !is_new && at <= self.now {
            return Ok(());
        }
        let cause = format!("The change set of stack {} is being made", planned.subject.name());
        Err(Refusal::Preparing { reason: reason(cause, "Simulated"), again: CHANGE_SET_TAKES })
    }
}

/// How long CloudFormation takes to make a change set.
const CHANGE_SET_TAKES: Span = Span::from_seconds(15);

impl Releases for World {
    async fn describe(&self, _: &PipelineName, source: &ExecutionRef) -> Result<Details, ReleaseError> {
        self.count("releases.describe");
        let unavailable = |Unwilling| ReleaseError::Unavailable(UNWILLING.to_owned());
        self.ask("releases.describe", 40, 120).await.map_err(unavailable)?;
        let ReleaseFacts { revision, trigger, stages } =
            self.lock().releases.get(&source.id).cloned().unwrap_or_default();
        Ok(Details { revisions: revision.into_iter().collect(), trigger, stages })
    }
}

/// How long CodePipeline waits before it invokes the function of an action again that goes on.
const CONTINUES_AFTER: Span = Span::from_seconds(30);

impl Jobs for World {
    async fn tell(&self, job: &str, told: &manifold_core::invoke::Told) -> Result<(), ReleaseError> {
        self.count("jobs.tell");
        let unavailable = |Unwilling| ReleaseError::Unavailable(UNWILLING.to_owned());
        self.ask("jobs.tell", 40, 120).await.map_err(unavailable)?;
        let mut inner = self.lock();
        // A job is told of once.
        if inner.jobs.contains_key(job) {
            return Ok(());
        }
        inner.tell(|| format!("tells the release pipeline: {told:?}"));
        inner.jobs.insert(job.to_owned(), told.clone());
        if let manifold_core::invoke::Told::GoesOn { token, .. } = told {
            let next = inner.uuid();
            let body = job_event(&next, None, Some(token));
            inner.deliver(Inbox::Job, body, CONTINUES_AFTER, None);
        }
        Ok(())
    }
}

/// What CodePipeline invokes a function with.
#[must_use]
pub fn job_event(id: &str, user_parameters: Option<&str>, token: Option<&str>) -> String {
    serde_json::json!({ "CodePipeline.job": {
        "id": id,
        "accountId": "111122223333",
        "data": {
            "actionConfiguration": { "configuration": { "FunctionName": "manifold-dispatch", "UserParameters": user_parameters } },
            "continuationToken": token,
        },
    } })
    .to_string()
}

impl World {
    /// Slack asks to wait instead of refusing for good.
    async fn willing_slack(&self, name: &'static str) -> Result<(), SlackError> {
        let patience = Span::from_seconds(30);
        self.ask(name, 80, 250).await.map_err(|Unwilling| SlackError::RateLimited { retry_after: patience })
    }
}

impl Slack for World {
    async fn post(
        &self,
        channel: &Channel,
        thread: Option<&MessageRef>,
        payload: &summary::Payload,
    ) -> Result<MessageRef, SlackError> {
        self.count("slack.post");
        self.willing_slack("slack.post/before").await?;
        let place = {
            let mut inner = self.lock();
            payload.check_limits().map_err(|code| SlackError::Refused { code })?;
            let at = inner.now.to_string();
            match channel {
                Channel::Silent => MessageRef::default(),
                Channel::Webhook { .. } => {
                    inner.has_posted(true);
                    inner.tell(|| format!("posts {:?}", payload.text));
                    inner.slack.push(SlackCall { at, method: "webhook", body: payload.webhook_body(), ts: None });
                    MessageRef::default()
                }
                Channel::Bot { channel, .. } => {
                    let ts = format!("{}.{:06}", inner.now.as_seconds(), inner.slack.len());
                    let thread_ts = thread.and_then(|thread| thread.ts.as_deref());
                    let body = payload.post_body(channel, thread_ts);
                    let run = inner.invocations.get(&inner.task).and_then(|here| here.run.clone());
                    inner.slack_messages.insert(ts.clone(), run);
                    if thread.is_none() {
                        inner.has_posted(true);
                    }
                    inner.tell(|| format!("posts {:?}", payload.text));
                    inner.slack.push(SlackCall { at, method: "chat.postMessage", body, ts: Some(ts.clone()) });
                    MessageRef { channel: Some(channel.clone()), ts: Some(ts) }
                }
            }
        };
        self.ask("slack.post/after", 5, 20).await?;
        Ok(place)
    }

    async fn edit(&self, _: &Channel, message: &MessageRef, payload: &summary::Payload) -> Result<(), SlackError> {
        self.count("slack.edit");
        self.willing_slack("slack.edit/before").await?;
        {
            let mut inner = self.lock();
            payload.check_limits().map_err(|code| SlackError::Refused { code })?;
            let (Some(channel), Some(ts)) = (&message.channel, &message.ts) else {
                return Err(SlackError::Refused { code: "message_not_found".to_owned() });
            };
            if !inner.slack_messages.contains_key(ts) {
                return Err(SlackError::Refused { code: "message_not_found".to_owned() });
            }
            let at = inner.now.to_string();
            let body = payload.update_body(channel, ts);
            inner.tell(|| format!("edits {ts} to {:?}", payload.text));
            inner.slack.push(SlackCall { at, method: "chat.update", body, ts: Some(ts.clone()) });
        }
        self.ask("slack.edit/after", 5, 20).await?;
        Ok(())
    }
}
