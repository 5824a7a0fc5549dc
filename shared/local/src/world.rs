//! The world that the handlers are given: ledger, queues, engine, release pipeline, Slack, clock.
//!
//! Every call takes some virtual time, so handlers overlap as they do on Lambda: while one waits for its engine,
//! others run, events arrive, and a handler can be killed at any of its awaits.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use manifold_core::event::PipelineState;
use manifold_core::ids::{Attempt, ExecutionId, ExecutionRef, Nonce, PipelineName, RunId, TargetKey};
use manifold_core::ledger::{Commit, Expect, Item, Key, OPEN, Record};
use manifold_core::message::{Message, Outgoing, Queue};
use manifold_core::plan::{Channel, PlannedTarget};
use manifold_core::release::{Revision, Trigger};
use manifold_core::run::{Head, Outcome, Reason, ReasonSource, Refusal, Standing, Target};
use manifold_core::summary;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_ports::engine::{Engine, Order};
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, OpenRuns};
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::releases::{Details, ReleaseError, Releases};
use manifold_ports::slack::{MessageRef, Slack, SlackError};
use serde::Serialize;
use serde_json::Value;

use crate::behaviour::{Behaviour, Behaviours};
use crate::envelope::Subject;

/// How long a received message stays hidden from other workers; six times the functions' timeout of 60 s, as AWS
/// recommends (Lambda Developer Guide, "Using Lambda with Amazon SQS").
pub const VISIBILITY: Span = Span::from_seconds(360);
/// How often a message is received before it becomes a dead letter.
pub const MAX_RECEIVES: u32 = 5;
/// How often `sweep` ticks, as the hub's template has it.
pub const SWEEP_EVERY: Span = Span::from_seconds(60);

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Inbox {
    /// Release events, for `dispatch`.
    Dispatch,
    /// For `deploy`.
    Deploy,
    /// Events and control messages, for `collect`.
    Collect,
    /// For `summarize`.
    Summarize,
}

impl Inbox {
    /// The function that reads it.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Deploy => "deploy",
            Self::Collect => "collect",
            Self::Summarize => "summarize",
        }
    }
}

/// A message in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// What AWS may do to messages and functions, and this world does on request.
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
    /// The handler that passes this point is killed there, once. Points are counted from 0 over the whole simulation.
    pub kill_at: Option<u64>,
    /// How many messages a function receives at once, at most; 10 if it is not told.
    pub largest_batch: Option<usize>,
    /// The handlers that pass a point of this name for these times (counted from 0) are killed there.
    pub kill_at_named: Option<(&'static str, BTreeSet<u64>)>,
    /// The calls of the ledger, counted from 0 over the whole simulation, that it refuses for now, after all that an
    /// adapter tries by itself: a table that is throttled for longer.
    pub throttled: BTreeSet<u64>,
    /// The commits, counted among the calls of the ledger, that land and whose answer is lost: whoever commits does not
    /// know.
    pub unanswered: BTreeSet<u64>,
}

/// What a simulated release pipeline tells of its execution.
#[derive(Debug, Clone, Default)]
pub struct ReleaseFacts {
    /// Its revision.
    pub revision: Option<Revision>,
    /// Who or what started it.
    pub trigger: Trigger,
}

#[derive(Debug)]
enum Due {
    Letter(Letter),
    Tick,
    Wake(u64),
}

#[derive(Debug)]
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
    sessions: BTreeSet<(String, RunId)>,
    behaviours: Behaviours,
    faults: Faults,
    release: ReleaseFacts,
    slack: Vec<SlackCall>,
    slack_messages: BTreeSet<String>,
    ledger_calls: u64,
    dead_letters: Vec<Letter>,
    calls: BTreeMap<&'static str, u64>,
    points: u64,
    named_points: BTreeMap<&'static str, u64>,
    task: u64,
    killed: BTreeMap<u64, &'static str>,
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
    pub fn new(now: Timestamp, seed: u64, behaviours: Behaviours, faults: Faults, release: ReleaseFacts) -> Self {
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
            sessions: BTreeSet::new(),
            behaviours,
            faults,
            release,
            slack: Vec::new(),
            slack_messages: BTreeSet::new(),
            ledger_calls: 0,
            dead_letters: Vec::new(),
            calls: BTreeMap::new(),
            points: 0,
            named_points: BTreeMap::new(),
            task: 0,
            killed: BTreeMap::new(),
        })));
        world.lock().at(now.plus(SWEEP_EVERY), Due::Tick);
        world
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held ends the simulation anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a body into an inbox, as EventBridge or SQS would, subject to the world's faults.
    pub fn deliver(&self, inbox: Inbox, body: String, delay: Span) {
        self.lock().deliver(inbox, body, delay);
    }

    /// The runs that were opened, by id.
    #[must_use]
    pub fn runs(&self) -> Vec<RunId> {
        self.lock().heads.iter().cloned().collect()
    }

    /// A run's head.
    #[must_use]
    pub fn head(&self, run: &RunId) -> Option<Head> {
        match self.record(&Key::Head(run.clone()))?.item {
            Item::Head(head) => Some(*head),
            Item::Plan(_) | Item::Target(_) | Item::Summary(_) | Item::Link(_) | Item::Queue(_) | Item::Open(_) => None,
        }
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
        self.lock().points
    }

    /// How many calls of the ledger handlers have made.
    #[must_use]
    pub fn ledger_calls(&self) -> u64 {
        self.lock().ledger_calls
    }

    /// Counts a call of the ledger. Says whether its answer will be lost.
    fn ledger_call(&self) -> Result<bool, LedgerError> {
        let mut inner = self.lock();
        let call = inner.ledger_calls;
        inner.ledger_calls += 1;
        match inner.faults.throttled.contains(&call) {
            true => Err(LedgerError::Unavailable("throttled on request".to_owned())),
            false => Ok(inner.faults.unanswered.contains(&call)),
        }
    }

    /// The points at which handlers were killed.
    #[must_use]
    pub fn killed_at(&self) -> Vec<&'static str> {
        self.lock().killed.values().copied().collect()
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
        Next::Letters(letters)
    }

    /// Whether nothing is left to happen but ticks that find nothing to do.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.lock();
        let idle = inner.agenda.values().all(|due| matches!(due, Due::Tick));
        idle && inner.of_partition(OPEN).next().is_none()
    }

    /// A run's plan, for an onlooker: it takes no time.
    #[must_use]
    pub fn plan(&self, run: &RunId) -> Vec<PlannedTarget> {
        let partition = Key::Head(run.clone()).partition();
        let inner = self.lock();
        inner
            .of_partition(&partition)
            .filter_map(|record| match &record.item {
                Item::Plan(chunk) => Some(chunk.targets.clone()),
                Item::Head(_) | Item::Target(_) | Item::Summary(_) | Item::Link(_) | Item::Queue(_) | Item::Open(_) => {
                    None
                }
            })
            .flatten()
            .collect()
    }

    /// A run's targets, for an onlooker: it takes no time.
    #[must_use]
    pub fn targets_of(&self, run: &RunId) -> Vec<Target> {
        let partition = Key::Head(run.clone()).partition();
        let inner = self.lock();
        inner
            .of_partition(&partition)
            .filter_map(|record| match &record.item {
                Item::Target(target) => Some(Target::clone(target)),
                Item::Head(_) | Item::Plan(_) | Item::Summary(_) | Item::Link(_) | Item::Queue(_) | Item::Open(_) => {
                    None
                }
            })
            .collect()
    }

    /// Says which task is polled from now on.
    pub(crate) fn enter(&self, task: u64) {
        self.lock().task = task;
    }

    /// Whether a task was killed.
    pub(crate) fn is_killed(&self, task: u64) -> bool {
        self.lock().killed.contains_key(&task)
    }

    /// Takes a message back that was not done: it comes again, or becomes a dead letter.
    pub(crate) fn give_back(&self, letter: Letter) {
        let mut inner = self.lock();
        let receives = letter.receives + 1;
        let letter = Letter { receives, ..letter };
        if receives >= MAX_RECEIVES {
            inner.dead_letters.push(letter);
        } else {
            let at = inner.now.plus(VISIBILITY);
            inner.at(at, Due::Letter(letter));
        }
    }

    /// A place where a handler may be killed, and some virtual time.
    async fn point(&self, name: &'static str, least: i64, most: i64) {
        let (wake_at, killed) = {
            let mut inner = self.lock();
            let here = inner.points;
            inner.points += 1;
            let named = inner.named_points.entry(name).or_default();
            let nth = *named;
            *named += 1;
            let by_name =
                inner.faults.kill_at_named.as_ref().is_some_and(|(at, nths)| *at == name && nths.contains(&nth));
            let killed = inner.faults.kill_at == Some(here) || by_name;
            if killed {
                let task = inner.task;
                inner.killed.insert(task, name);
            }
            let millis = inner.random.i64(least..=most);
            (inner.now.plus(Span::from_millis(millis)), killed)
        };
        if killed {
            // The task is dropped by the loop: what follows never happens.
            return std::future::pending().await;
        }
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

    fn count(&self, what: &'static str) {
        *self.lock().calls.entry(what).or_default() += 1;
    }
}

impl Inner {
    fn of_partition<'a>(&'a self, partition: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records
            .range((partition.to_owned(), String::new())..)
            .take_while(move |((found, _), _)| found == partition)
            .map(|(_, record)| record)
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

    fn uuid(&mut self) -> String {
        format!("{}-{}-{}-{}-{}", self.hex(8), self.hex(4), self.hex(4), self.hex(4), self.hex(12))
    }

    fn deliver(&mut self, inbox: Inbox, body: String, delay: Span) {
        let letter = Letter { id: self.uuid(), inbox, body, receives: 0 };
        let copies = if self.random.f64() < self.faults.duplicates { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.random.i64(0..=self.faults.disorder.as_millis());
            let at = self.now.plus(delay).plus(Span::from_millis(late));
            self.at(at, Due::Letter(letter.clone()));
        }
    }

    /// Has an event arrive at the hub, some time after it happened, unless it is lost.
    fn emit(&mut self, happens_in: Span, event: &Value) {
        if self.faults.lost > 0.0 && self.random.f64() < self.faults.lost {
            return;
        }
        let forwarded = Span::from_millis(self.random.i64(300..=2500));
        self.deliver(
            Inbox::Collect,
            event.to_string(),
            Span::from_millis(happens_in.as_millis() + forwarded.as_millis()),
        );
    }

    /// Schedules what an execution will tell, by its target's behaviour, and notes what its engine will answer.
    fn play(&mut self, execution: &mut Execution, pipeline: &PipelineName, behaviour: &Behaviour, session: &str) {
        let subject = Subject {
            target: execution.target.clone(),
            pipeline: pipeline.clone(),
            execution: execution.id.clone(),
            started_at: self.now,
        };
        let took = Span::from_millis(self.random.i64(90_000..=240_000));
        let half = Span::from_millis(took.as_millis() / 2);
        let (began, states) = (self.now, &mut execution.states);
        let mut tell = |inner: &mut Self, after: Span, state: PipelineState, attempt: u32, by: Option<&str>| {
            match &state {
                PipelineState::Unknown(_) => {}
                PipelineState::Resumed => states.push((began.plus(after), PipelineState::Started)),
                PipelineState::Started
                | PipelineState::Stopping
                | PipelineState::Succeeded
                | PipelineState::Failed
                | PipelineState::Stopped
                | PipelineState::Canceled
                | PipelineState::Superseded => states.push((began.plus(after), state.clone())),
            }
            let id = inner.uuid();
            let event = subject.state(&id, &state, attempt, inner.now.plus(after), by);
            inner.emit(after, &event);
        };
        let second = Span::from_seconds(1);
        if !self.faults.started_untold {
            tell(self, second, PipelineState::Started, 1, Some(session));
        }
        let fail = |inner: &mut Self, code: &str| {
            let id = inner.uuid();
            let event = subject.action_failed(&id, code, 1, inner.now.plus(took));
            inner.emit(took, &event);
        };
        match behaviour {
            Behaviour::Succeeds | Behaviour::Throttled => tell(self, took, PipelineState::Succeeded, 1, None),
            Behaviour::Fails(code) => {
                fail(self, code);
                tell(self, took, PipelineState::Failed, 1, None);
            }
            Behaviour::FailsThenRetried => {
                fail(self, "JobFailed");
                tell(self, took, PipelineState::Failed, 1, None);
                let retried = Span::from_millis(took.as_millis() + 60_000);
                tell(self, retried, PipelineState::Resumed, 2, None);
                tell(self, Span::from_millis(retried.as_millis() + 60_000), PipelineState::Succeeded, 2, None);
            }
            Behaviour::Superseded => tell(self, half, PipelineState::Superseded, 1, None),
            Behaviour::Canceled => tell(self, half, PipelineState::Canceled, 1, None),
            Behaviour::Stopped => {
                tell(self, half, PipelineState::Stopping, 1, None);
                tell(self, took, PipelineState::Stopped, 1, None);
            }
            Behaviour::UnknownState => {
                tell(self, half, PipelineState::Unknown("HIBERNATING".to_owned()), 1, None);
                tell(self, took, PipelineState::Succeeded, 1, None);
            }
            Behaviour::Silent | Behaviour::AccessDenied | Behaviour::PipelineNotFound => {}
        }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.lock().now
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
        self.point("ledger.get", 4, 12).await;
        self.ledger_call()?;
        let inner = self.lock();
        Ok(keys.iter().map(|key| inner.records.get(&(key.partition(), key.sort())).cloned()).collect())
    }

    async fn targets(&self, run: &RunId) -> Result<Vec<Target>, LedgerError> {
        self.count("ledger.targets");
        self.point("ledger.targets", 5, 20).await;
        self.ledger_call()?;
        Ok(self.targets_of(run))
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.count("ledger.commit");
        self.point("ledger.commit/before", 4, 10).await;
        let unanswered = self.ledger_call()?;
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
            if blocking.is_empty() {
                for write in commit.writes {
                    inner.store(write.key, write.item, write.expect, commit.nonce.clone());
                }
            }
            blocking
        };
        self.point("ledger.commit/after", 1, 6).await;
        if unanswered {
            return Err(LedgerError::Unavailable("the answer is lost on request".to_owned()).into());
        }
        if found.is_empty() { Ok(()) } else { Err(CommitError::Conflict { found }) }
    }
}

impl OpenRuns for World {
    async fn open_runs(&self) -> Result<Vec<Result<Record, LedgerError>>, LedgerError> {
        self.count("ledger.open_runs");
        self.point("ledger.open_runs", 4, 12).await;
        self.ledger_call()?;
        Ok(self.lock().of_partition(OPEN).cloned().map(Ok).collect())
    }

    async fn forget(&self, run: &RunId, nonce: &Nonce) -> Result<bool, LedgerError> {
        self.count("ledger.forget");
        self.point("ledger.forget/before", 4, 10).await;
        self.ledger_call()?;
        let key = Key::Open(run.clone());
        let place = (key.partition(), key.sort());
        let forgotten = {
            let mut inner = self.lock();
            let is_own = inner.records.get(&place).is_some_and(|record| record.nonce == *nonce);
            if is_own {
                inner.records.remove(&place);
            }
            is_own
        };
        self.point("ledger.forget/after", 1, 6).await;
        Ok(forgotten)
    }
}

impl Inner {
    fn store(&mut self, key: Key, item: Item, expect: Expect, nonce: Nonce) {
        if let Key::Head(run) = &key {
            self.heads.insert(run.clone());
        }
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
        self.point("queues.send/before", 5, 15).await;
        {
            let mut inner = self.lock();
            let total = messages.len();
            for message in messages {
                let inbox = match message.queue {
                    Queue::Deploy => Inbox::Deploy,
                    Queue::Collect => Inbox::Collect,
                    Queue::Summarize => Inbox::Summarize,
                };
                let body = Message::new(message.payload).encode().map_err(|error| SendError {
                    unsent: 1,
                    total,
                    reason: error.to_string(),
                })?;
                if inner.faults.messages_lost > 0.0 && inner.random.f64() < inner.faults.messages_lost {
                    continue;
                }
                let underway = inner.random.i64(10..=80);
                inner.deliver(inbox, body, Span::from_millis(message.delay.as_millis() + underway));
            }
        }
        self.point("queues.send/after", 1, 5).await;
        Ok(())
    }
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
            self.point("sts.assume_role", 60, 140).await;
        }
        if self.lock().behaviours.of(&planned.key) == Behaviour::AccessDenied {
            return Err(Refusal::Permanent {
                outcome: Outcome::Unreachable,
                reason: reason(
                    format!("AccessDenied on role {}", planned.role.name()),
                    "Simulated: the hub's function may not assume the role",
                ),
            });
        }
        let partition = planned.key.region.partition().as_str();
        let (account, role) = (&planned.key.account, planned.role.name());
        Ok(format!("arn:{partition}:sts::{account}:assumed-role/{role}/{}", run.session_name()))
    }
}

impl Engine for World {
    async fn start(&self, order: Order<'_>) -> Result<ExecutionId, Refusal> {
        let session = self.assume(order).await?;
        let Order { run, planned, attempt } = order;
        self.count("engine.start");
        self.point("engine.start/before", 150, 600).await;
        let started = self.lock().start(run, planned, attempt, &session);
        self.point("engine.start/after", 20, 60).await;
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
        self.point("engine.find", 80, 200).await;
        let inner = self.lock();
        let found = inner
            .executions
            .iter()
            .filter(|e| e.run == *order.run && e.target == order.planned.key && e.started_at >= since)
            .filter(|e| !except.contains(&e.id))
            .min_by_key(|e| e.started_at);
        Ok(found.map(|e| e.id.clone()))
    }

    async fn explain(&self, order: Order<'_>, execution: &ExecutionId) -> Result<Reason, Refusal> {
        self.assume(order).await?;
        self.count("engine.explain");
        self.point("engine.explain", 80, 200).await;
        let inner = self.lock();
        let code = inner.executions.iter().find(|e| e.id == *execution).and_then(|e| e.error_code.clone());
        Ok(Reason {
            source: ReasonSource::Engine,
            ..match code {
                Some(code) => {
                    reason(format!("{code} in action Deploy"), &format!("Simulated: the deployment ended with {code}"))
                }
                None => reason("Failed without a failed action".to_owned(), "Simulated"),
            }
        })
    }

    async fn ask(&self, order: Order<'_>, execution: &ExecutionId, _: Timestamp) -> Result<Option<Standing>, Refusal> {
        self.assume(order).await?;
        self.count("engine.ask");
        self.point("engine.ask", 80, 200).await;
        Ok(self.standing(execution))
    }
}

impl World {
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
    fn start(
        &mut self,
        run: &RunId,
        planned: &PlannedTarget,
        attempt: Attempt,
        session: &str,
    ) -> Result<ExecutionId, Refusal> {
        let token = run.attempt_token(&planned.key, attempt);
        let known = self.executions.iter().find(|execution| execution.token == token);
        if let Some(known) = known.filter(|_| !self.faults.tokens_forgotten) {
            return Ok(known.id.clone());
        }
        let behaviour = self.behaviours.of(&planned.key);
        match &behaviour {
            Behaviour::PipelineNotFound => {
                return Err(Refusal::Permanent {
                    outcome: Outcome::Failed,
                    reason: reason(
                        format!("Pipeline {} not found", planned.pipeline),
                        "Simulated: PipelineNotFoundException",
                    ),
                });
            }
            Behaviour::Throttled => {
                let refused = self.refusals.entry(planned.key.clone()).or_default();
                *refused += 1;
                if *refused <= 2 {
                    return Err(Refusal::Later { reason: reason("Throttled".to_owned(), "Simulated: Rate exceeded") });
                }
            }
            Behaviour::Succeeds
            | Behaviour::Fails(_)
            | Behaviour::FailsThenRetried
            | Behaviour::Superseded
            | Behaviour::Canceled
            | Behaviour::Stopped
            | Behaviour::Silent
            | Behaviour::AccessDenied
            | Behaviour::UnknownState => {}
        }
        let id: ExecutionId = self.uuid().parse().map_err(|error| Refusal::Permanent {
            outcome: Outcome::Failed,
            reason: reason("The simulation made no execution id".to_owned(), &format!("{error}")),
        })?;
        let mut execution = Execution {
            target: planned.key.clone(),
            id: id.clone(),
            token,
            revision: planned.source_revision.as_ref().map(|revision| revision.value.clone()),
            variables: planned.variables.clone(),
            run: run.clone(),
            started_at: self.now,
            states: vec![(self.now, PipelineState::Started)],
            error_code: match &behaviour {
                Behaviour::Fails(code) => Some(code.clone()),
                Behaviour::FailsThenRetried => Some("JobFailed".to_owned()),
                Behaviour::Succeeds
                | Behaviour::Superseded
                | Behaviour::Canceled
                | Behaviour::Stopped
                | Behaviour::Silent
                | Behaviour::AccessDenied
                | Behaviour::PipelineNotFound
                | Behaviour::Throttled
                | Behaviour::UnknownState => None,
            },
        };
        self.play(&mut execution, &planned.pipeline, &behaviour, session);
        self.executions.push(execution);
        Ok(id)
    }
}

impl Releases for World {
    async fn describe(&self, _: &PipelineName, _: &ExecutionRef) -> Result<Details, ReleaseError> {
        self.count("releases.describe");
        self.point("releases.describe", 40, 120).await;
        let inner = self.lock();
        Ok(Details {
            revisions: inner.release.revision.clone().into_iter().collect(),
            trigger: inner.release.trigger.clone(),
        })
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
        self.point("slack.post/before", 80, 250).await;
        let place = {
            let mut inner = self.lock();
            payload.check_limits().map_err(|code| SlackError::Refused { code })?;
            let at = inner.now.to_string();
            match channel {
                Channel::Silent => MessageRef::default(),
                Channel::Webhook { .. } => {
                    inner.slack.push(SlackCall { at, method: "webhook", body: payload.webhook_body(), ts: None });
                    MessageRef::default()
                }
                Channel::Bot { channel, .. } => {
                    let ts = format!("{}.{:06}", inner.now.as_seconds(), inner.slack.len());
                    let thread_ts = thread.and_then(|thread| thread.ts.as_deref());
                    let body = payload.post_body(channel, thread_ts);
                    inner.slack_messages.insert(ts.clone());
                    inner.slack.push(SlackCall { at, method: "chat.postMessage", body, ts: Some(ts.clone()) });
                    MessageRef { channel: Some(channel.clone()), ts: Some(ts) }
                }
            }
        };
        self.point("slack.post/after", 5, 20).await;
        Ok(place)
    }

    async fn edit(&self, _: &Channel, message: &MessageRef, payload: &summary::Payload) -> Result<(), SlackError> {
        self.count("slack.edit");
        self.point("slack.edit/before", 80, 250).await;
        {
            let mut inner = self.lock();
            payload.check_limits().map_err(|code| SlackError::Refused { code })?;
            let (Some(channel), Some(ts)) = (&message.channel, &message.ts) else {
                return Err(SlackError::Refused { code: "message_not_found".to_owned() });
            };
            if !inner.slack_messages.contains(ts) {
                return Err(SlackError::Refused { code: "message_not_found".to_owned() });
            }
            let at = inner.now.to_string();
            let body = payload.update_body(channel, ts);
            inner.slack.push(SlackCall { at, method: "chat.update", body, ts: Some(ts.clone()) });
        }
        self.point("slack.edit/after", 5, 20).await;
        Ok(())
    }
}

/// A future of a handler.
pub(crate) type Handling<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
