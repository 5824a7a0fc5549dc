//! The five functions on the real adapters, fed as EventBridge, Scheduler, SQS and Lambda feed them.
//!
//! The functions are wired as their `main.rs` wires them, on clients of the SDK that talk HTTP to the [`StandIn`].
//! Nothing sleeps: a delayed message is delivered when nothing earlier is left, and the clock skips to its time. The
//! clock is the one thing that is not as on Lambda.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use manifold_aws::clients::CallCounter;
use manifold_aws::credentials::Assumer;
use manifold_aws::engine::Engines;
use manifold_aws::ledger::DynamoLedger;
use manifold_aws::open_runs::DynamoOpenRuns;
use manifold_aws::pace::DynamoPaces;
use manifold_aws::queues::SqsQueues;
use manifold_aws::releases::CodePipelineReleases;
use manifold_aws::secrets::Secrets;
use manifold_aws::slack::SlackClient;
use manifold_aws::watch::Watcher;
use manifold_collect::Collect;
use manifold_core::ids::RunId;
use manifold_core::ledger::{Item, Key};
use manifold_core::message::Queue;
use manifold_core::run::{Head, Outcome, Verdict};
use manifold_core::summary::Summary;
use manifold_core::time::{Span, Timestamp};
use manifold_deploy::Deploy;
use manifold_dispatch::Dispatch;
use manifold_fleet::Fleet;
use manifold_inspect::Drift;
use manifold_local::behaviour::{Behaviour, Chosen};
use manifold_local::world::{Inbox, MAX_RECEIVES, SWEEP_EVERY, VISIBILITY};
use manifold_ports::clock::Clock;
use manifold_ports::ledger::Ledger;
use manifold_ports::runs;
use manifold_summarize::Summarize;
use manifold_sweep::{Sweep, Tick};
use serde_json::{Value, json};

use crate::standin::sts::Session;
use crate::standin::{HUB_ACCOUNT, HUB_REGION, Setting, SkippingClock, StandIn, TABLE};
use crate::{EVENT, FLEET};

/// The functions' timeout.
const TIMEOUT: Span = Span::from_seconds(60);
/// SQS hands Lambda at most this many messages at once (the default of an event source mapping).
const BATCH: usize = 10;
/// Messages that come within this time are one batch (`MaximumBatchingWindowInSeconds`).
const WINDOW: Span = Span::from_seconds(1);
/// More invocations than this are a loop.
const MOST_INVOCATIONS: u32 = 5_000;

/// A handler at work. Erased, because it nests deeper than the compiler computes layouts.
type Invocation<'a> = Pin<Box<dyn Future<Output = Value> + 'a>>;
type Clocked = SkippingClock;

/// The functions, as on five warm Lambda instances.
struct Functions {
    dispatch: Dispatch<DynamoLedger, SqsQueues, CodePipelineReleases, Clocked>,
    deploy: Deploy<DynamoLedger, DynamoPaces, SqsQueues, Engines<Clocked>, Clocked>,
    collect: Collect<DynamoLedger, SqsQueues, Clocked>,
    summarize: Summarize<DynamoLedger, SqsQueues, SlackClient<Clocked>, Clocked>,
    inspect: Drift<DynamoLedger, SqsQueues, Watcher<Clocked>, Clocked>,
    sweep: Sweep<DynamoLedger, DynamoOpenRuns, SqsQueues, Clocked>,
}

/// A message that waits.
#[derive(Debug, Clone)]
struct Letter {
    inbox: Inbox,
    id: String,
    body: String,
    receives: u32,
}

/// A story over the real adapters, told before it happens.
#[derive(Debug, Clone)]
pub struct CloudStory {
    fleet: String,
    events: Vec<String>,
    fails: Vec<String>,
    setting: Setting,
    deliveries: usize,
    calls: CallCounter,
}

impl Default for CloudStory {
    fn default() -> Self {
        Self {
            fleet: FLEET.to_owned(),
            events: vec![EVENT.to_owned()],
            fails: Vec::new(),
            setting: Setting::default(),
            deliveries: 1,
            calls: CallCounter::new(),
        }
    }
}

impl CloudStory {
    /// The home fleet, the demo's release, and nothing that goes wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// On another fleet.
    #[must_use]
    pub fn fleet(mut self, yaml: impl Into<String>) -> Self {
        self.fleet = yaml.into();
        self
    }

    /// And one more event for `dispatch`, five seconds after the one before it.
    #[must_use]
    pub fn and_event(mut self, event: impl Into<String>) -> Self {
        self.events.push(event.into());
        self
    }

    /// A target does something else than succeed: `dev/eu-west-1=JobFailed`. A role is denied for its whole account:
    /// `prod/*=AccessDenied`.
    #[must_use]
    pub fn fail(mut self, choice: &str) -> Self {
        self.fails.push(choice.to_owned());
        self
    }

    /// What AWS and Slack are like.
    #[must_use]
    pub fn setting(mut self, change: impl FnOnce(&mut Setting)) -> Self {
        change(&mut self.setting);
        self
    }

    /// Every message is delivered twice, to two workers at the same time.
    #[must_use]
    pub fn every_message_twice(mut self) -> Self {
        self.deliveries = 2;
        self
    }

    /// Counts the SDK's calls.
    #[must_use]
    pub fn counting(mut self, calls: &CallCounter) -> Self {
        self.calls = calls.clone();
        self
    }

    /// Lets it happen, to the end.
    pub async fn tell(self) -> Cloud {
        let mut cloud = self.begin().await;
        cloud.run().await;
        cloud
    }

    /// Sets it up: the events are in their inbox, and nothing has happened yet.
    pub async fn begin(mut self) -> Cloud {
        let fleet = Fleet::parse("fleet.yaml", &self.fleet).expect("the story's fleet has no problem");
        for choice in &self.fails {
            let chosen: Chosen = choice.parse().expect("a choice");
            let targets = fleet.apps().flat_map(|app| app.targets());
            for target in targets
                .filter(|target| chosen.means(&target.key().account, target.account_name(), &target.key().region))
            {
                if chosen.behaviour == Behaviour::AccessDenied {
                    self.setting.denied.insert(target.key().account.to_string());
                }
                self.setting.behaviours.set(target.key().clone(), chosen.behaviour.clone());
            }
        }
        let standin = StandIn::start(self.setting.clone()).await;
        let functions = functions(&standin, fleet, &self.calls).await;
        let ledger = DynamoLedger::new(standin.clients().await.dynamodb(), TABLE);
        let standin_start = standin.clock().now();
        let mut cloud = Cloud {
            clock: standin.clock(),
            standin,
            functions,
            ledger,
            agenda: BTreeMap::new(),
            sequence: 0,
            deliveries: self.deliveries,
            invocations: 0,
            next_tick: standin_start.plus(SWEEP_EVERY),
            overdue: 0,
            dead_letters: Vec::new(),
            stray_events: 0,
        };
        for (index, event) in (0_i64..).zip(self.events) {
            let due = cloud.clock.now().plus(Span::from_seconds(5 * index));
            let id = format!("event-{index}");
            cloud.put(due, Letter { inbox: Inbox::Dispatch, id, body: event, receives: 0 });
        }
        cloud
    }
}

/// As the functions' `main.rs`.
async fn functions(standin: &StandIn, fleet: Fleet, calls: &CallCounter) -> Functions {
    let clock = standin.clock();
    let clients = standin.clients().await.counting(calls.clone());
    let ledger = || DynamoLedger::new(clients.dynamodb(), TABLE);
    let queues = |queues: &[Queue]| {
        let urls = queues.iter().map(|queue| (*queue, standin.queue_url(*queue))).collect();
        SqsQueues::new(clients.sqs(), urls)
    };
    let secrets = Secrets::with_clock(&clients, clock.clone());
    Functions {
        dispatch: Dispatch {
            fleet,
            ledger: ledger(),
            queues: queues(&Queue::ALL),
            releases: CodePipelineReleases::new(clients.clone()),
            clock: clock.clone(),
        },
        deploy: Deploy {
            ledger: ledger(),
            paces: DynamoPaces::new(clients.dynamodb(), TABLE),
            queues: queues(&Queue::ALL),
            engine: Engines::new(clients.clone(), Assumer::with_clock(clients.sts(), clock.clone())),
            clock: clock.clone(),
        },
        collect: Collect { ledger: ledger(), queues: queues(&Queue::ALL), clock: clock.clone() },
        summarize: Summarize {
            ledger: ledger(),
            queues: queues(&[Queue::Summarize]),
            slack: SlackClient::new(&standin.slack_url(), secrets).expect("a client for Slack"),
            clock: clock.clone(),
        },
        inspect: Drift {
            ledger: ledger(),
            queues: queues(&[Queue::Collect]),
            watch: Watcher::new(
                clients.clone(),
                Assumer::with_clock(clients.sts(), clock.clone()),
                "ManifoldInspect".to_owned(),
            ),
            clock: clock.clone(),
        },
        sweep: Sweep {
            ledger: ledger(),
            open_runs: DynamoOpenRuns::new(clients.dynamodb(), TABLE),
            queues: queues(&Queue::ALL),
            clock,
        },
    }
}

/// A story over the real adapters.
pub struct Cloud {
    standin: StandIn,
    clock: SkippingClock,
    functions: Functions,
    /// For a look at what happened: its calls are not counted.
    ledger: DynamoLedger,
    agenda: BTreeMap<(Timestamp, u64), Letter>,
    sequence: u64,
    deliveries: usize,
    invocations: u32,
    next_tick: Timestamp,
    overdue: usize,
    dead_letters: Vec<Letter>,
    stray_events: u32,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("invocations", &self.invocations).finish_non_exhaustive()
    }
}

impl Cloud {
    /// The stand-in.
    #[must_use]
    pub fn standin(&self) -> &StandIn {
        &self.standin
    }

    /// How many events did not belong to any target.
    #[must_use]
    pub fn stray_events(&self) -> u32 {
        self.stray_events
    }

    /// How often a function was invoked.
    #[must_use]
    pub fn invocations(&self) -> u32 {
        self.invocations
    }

    /// How many messages `sweep` sent.
    #[must_use]
    pub fn overdue(&self) -> usize {
        self.overdue
    }

    /// Delivers what is due, and lets `sweep` tick in between, until nothing is left and nobody is looked after.
    pub async fn run(&mut self) {
        while self.go_on().await {}
    }

    /// Lets the next thing happen, if anything is left.
    async fn go_on(&mut self) -> bool {
        let due = self.agenda.first_key_value().map(|((due, _), _)| *due);
        let change = self.standin.next_change();
        if due.is_none() && change.is_none() && self.standin.open_runs() == 0 {
            return false;
        }
        if let Some(change) = change
            && change <= self.next_tick
            && due.is_none_or(|due| change <= due)
        {
            self.clock.skip_to(change);
            self.take_in();
        } else if due.is_none_or(|due| self.next_tick < due) {
            self.clock.skip_to(self.next_tick);
            self.tick().await;
        } else {
            self.deliver().await;
        }
        true
    }

    /// Delivers what is due until so many executions have been started.
    pub async fn deliver_until_executions(&mut self, count: usize) {
        while self.standin.executions().len() < count {
            assert!(self.go_on().await, "the story ended before {count} executions were started");
        }
    }

    /// One tick of `sweep`'s schedule.
    pub async fn tick(&mut self) -> Tick {
        self.next_tick = self.clock.now().plus(SWEEP_EVERY);
        self.invocations += 1;
        assert!(self.invocations < MOST_INVOCATIONS, "the story does not end: {:?}", self.standin.requests());
        let deadline = self.clock.now().plus(TIMEOUT);
        let mut tick = Box::pin(self.functions.sweep.tick(deadline)).await.expect("a tick");
        if self.deliveries > 1 {
            let (one, two) = tokio::join!(self.functions.sweep.tick(deadline), self.functions.sweep.tick(deadline));
            tick.sent += one.expect("a tick").sent + two.expect("a tick").sent;
        }
        assert_eq!(tick.failed, 0, "{tick:?}");
        self.overdue += tick.sent;
        self.take_in();
        tick
    }

    fn put(&mut self, due: Timestamp, letter: Letter) {
        self.sequence += 1;
        self.agenda.insert((due, self.sequence), letter);
    }

    /// Delivers the next batch. Says whether there was one.
    async fn deliver(&mut self) -> bool {
        let Some((&(due, _), first)) = self.agenda.first_key_value() else { return false };
        let inbox = first.inbox;
        self.clock.skip_to(due);
        let until = self.clock.now().max(due).plus(WINDOW);
        let with_it = self.agenda.range(..=(until, u64::MAX)).filter(|(_, letter)| letter.inbox == inbox);
        let keys: Vec<_> = with_it.map(|(key, _)| *key).take(BATCH).collect();
        if let Some((last, _)) = keys.last() {
            self.clock.skip_to(*last);
        }
        let letters: Vec<Letter> = keys.into_iter().filter_map(|key| self.agenda.remove(&key)).collect();
        self.invoke(inbox, letters).await;
        true
    }

    /// Invokes a function as an event source mapping does: what it does not report as failed is deleted.
    async fn invoke(&mut self, inbox: Inbox, letters: Vec<Letter>) {
        self.invocations += 1;
        assert!(self.invocations < MOST_INVOCATIONS, "the story does not end: {:?}", self.standin.requests());
        let input = sqs_batch(inbox, &letters, self.clock.now());
        let deadline = self.clock.now().plus(TIMEOUT);
        let mut answers = Vec::new();
        if self.deliveries == 1 {
            answers.push(self.functions.invoke(inbox, &input, deadline).await);
        } else {
            let (one, two) = tokio::join!(
                self.functions.invoke(inbox, &input, deadline),
                self.functions.invoke(inbox, &input, deadline)
            );
            answers.extend([one, two]);
        }
        for answer in answers {
            self.stray_events += answer["stray"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
            let failed = failures(&answer["response"], &letters);
            for letter in letters.iter().filter(|letter| failed.contains(letter.id.as_str())) {
                let letter = Letter { receives: letter.receives + 1, ..letter.clone() };
                if letter.receives >= MAX_RECEIVES {
                    self.dead_letters.push(letter);
                } else {
                    self.put(self.clock.now().plus(VISIBILITY), letter);
                }
            }
        }
        self.take_in();
    }

    /// Takes what was sent and emitted since the last time.
    fn take_in(&mut self) {
        for mail in self.standin.take_mail() {
            let inbox = match mail.queue {
                Queue::Dispatch => Inbox::Dispatch,
                Queue::Deploy => Inbox::Deploy,
                Queue::Collect => Inbox::Collect,
                Queue::Summarize => Inbox::Summarize,
                Queue::Inspect => Inbox::Inspect,
            };
            self.put(mail.due, Letter { inbox, id: mail.id, body: mail.body, receives: 0 });
        }
        for (index, event) in self.standin.take_events().into_iter().enumerate() {
            let id = format!("event-{}-{index}", self.sequence);
            self.put(event.due, Letter { inbox: Inbox::Collect, id, body: event.body, receives: 0 });
        }
        let violations = self.standin.violations();
        assert!(violations.is_empty(), "somebody asked for what the stand-in does not know: {violations:#?}");
    }

    /// The runs in the table.
    #[must_use]
    pub fn runs(&self) -> Vec<RunId> {
        self.standin.runs().iter().map(|run| run.parse().expect("a run's id")).collect()
    }

    async fn head(&self, run: &RunId) -> Head {
        let records = self.ledger.get(&[Key::Head(run.clone())]).await.expect("the ledger answers");
        match records.into_iter().flatten().next().map(|record| record.item) {
            Some(Item::Head(head)) => *head,
            other => panic!("not a head: {other:?}"),
        }
    }

    /// The only run's summary, read back from the table.
    pub async fn summary(&self) -> Summary {
        let runs = self.runs();
        assert_eq!(runs.len(), 1, "expected one run: {runs:?}");
        let run = &runs[0];
        let head = self.head(run).await;
        let plan = runs::plan(&self.ledger, run, head.size()).await.expect("a plan");
        let targets = self.ledger.targets(run).await.expect("targets");
        Summary::of(&head, &plan, &targets)
    }

    /// The only run's verdict.
    pub async fn verdict(&self) -> Option<Verdict> {
        self.summary().await.verdict
    }

    /// How a target ended: `dev/eu-west-1`.
    pub async fn outcome(&self, target: &str) -> Option<Outcome> {
        let (account, region) = target.split_once('/').expect("account/region");
        let summary = self.summary().await;
        let line = summary.targets.iter().find(|t| t.account_name == account && t.key.region.as_str() == region);
        line.expect("a target of the fleet").status.outcome()
    }

    /// Nothing is left over anywhere, and nothing was asked that nobody should ask.
    fn check_leftovers(&self) {
        assert!(self.agenda.is_empty(), "still waiting: {:?}", self.agenda);
        assert!(self.standin.take_mail().is_empty() && self.standin.take_events().is_empty(), "nobody took the mail");
        assert_eq!(self.standin.open_runs(), 0, "somebody is still looked after");
        assert!(self.dead_letters.is_empty(), "dead letters: {:?}", self.dead_letters);
        assert_eq!(self.standin.violations(), [""; 0]);
    }

    /// What must hold at the end of every story.
    pub async fn check_invariants(&self) {
        self.check_leftovers();
        // DynamoDB was given the expressions of the ledger and no other.
        for expression in self.standin.expressions() {
            let known = crate::standin::dynamodb::EXPRESSIONS;
            assert!(known.contains(&expression.as_str()), "an expression that nobody knows: {expression}");
        }
        for run in self.runs() {
            let head = self.head(&run).await;
            assert!(head.verdict().is_some(), "{run} has no verdict: {head:#?}");
            assert_eq!(head.in_flight(), 0, "{run} has its verdict and something in flight");
            // Law 1: every execution is the recorded one of its attempt.
            let targets = self.ledger.targets(&run).await.expect("targets");
            for execution in self.standin.started().iter().filter(|e| e.started_by.ends_with(&run.session_name())) {
                let owner = targets.iter().find(|target| target.key == execution.target).expect("a claimed target");
                let mut known = owner.past.iter().map(|past| &past.execution).chain([&owner.execution]).flatten();
                assert!(known.any(|id| id.as_str() == execution.id), "nobody knows the execution {}", execution.id);
            }
            let key = Key::Summary(run.clone());
            let posting = self.ledger.get(std::slice::from_ref(&key)).await.expect("the ledger answers").remove(0);
            match posting.map(|record| record.item) {
                Some(Item::Summary(posting)) => assert!(posting.lease.is_none(), "a lease was left behind"),
                other => panic!("not a posting: {other:?}"),
            }
        }
        // Law 3: one message a run.
        let calls = self.standin.slack_calls();
        let messages = calls.iter().filter(|call| call.method != "chat.update" && call.thread().is_none()).count();
        assert_eq!(messages, self.runs().len(), "messages for {} runs: {calls:#?}", self.runs().len());
        // Law 7: one session for each account, run and thing that is started, and a new one only shortly before it ends.
        let opened = self.standin.sessions();
        for (index, first) in opened.iter().enumerate() {
            let is_same = |other: &&Session| {
                (&other.account, &other.name, &other.policy) == (&first.account, &first.name, &first.policy)
            };
            if let Some(next) = opened.iter().skip(index + 1).find(is_same) {
                let later = next.expires_at.since(first.expires_at);
                let Session { account, name, .. } = first;
                assert!(later >= Span::from_minutes(50), "two sessions {name} in {account}, {later} apart");
            }
        }
    }
}

/// A story that ends with something left over fails, also when it does not look.
impl Drop for Cloud {
    fn drop(&mut self) {
        if self.invocations > 0 && !std::thread::panicking() {
            self.check_leftovers();
        }
    }
}

impl Functions {
    /// The answer, with the count of stray events beside it.
    fn invoke<'a>(&'a self, inbox: Inbox, input: &'a Value, deadline: Timestamp) -> Invocation<'a> {
        let answer = |response: Value, stray: u32| json!({"response": response, "stray": stray});
        Box::pin(async move {
            match inbox {
                Inbox::Dispatch | Inbox::Job => {
                    answer(json!(self.dispatch.handle(input, deadline).await.expect("a batch")), 0)
                }
                Inbox::Deploy => answer(json!(self.deploy.handle(input, deadline).await.expect("a batch")), 0),
                Inbox::Inspect => answer(json!(self.inspect.handle(input, deadline).await.expect("a batch")), 0),
                Inbox::Summarize => answer(json!(self.summarize.handle(input, deadline).await.expect("a batch")), 0),
                Inbox::Collect => {
                    let (response, report) = self.collect.handle(input, deadline).await.expect("a batch");
                    answer(json!(response), report.counted("stray"))
                }
            }
        })
    }
}

/// A batch as Lambda hands it over (Lambda Developer Guide, "Using Lambda with Amazon SQS").
fn sqs_batch(inbox: Inbox, letters: &[Letter], now: Timestamp) -> Value {
    let record = |letter: &Letter| {
        json!({
            "messageId": letter.id,
            "receiptHandle": format!("receipt-{}-{}", letter.id, letter.receives),
            "body": letter.body,
            "attributes": {
                "ApproximateReceiveCount": (letter.receives + 1).to_string(),
                "SentTimestamp": now.as_millis().to_string(),
                "SenderId": "AROAEXAMPLE:manifold",
                "ApproximateFirstReceiveTimestamp": now.as_millis().to_string(),
            },
            "messageAttributes": {},
            "md5OfBody": "0".repeat(32),
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{HUB_REGION}:{HUB_ACCOUNT}:manifold-{}", inbox.function()),
            "awsRegion": HUB_REGION,
        })
    };
    json!({"Records": letters.iter().map(record).collect::<Vec<_>>()})
}

/// The messages that come again. An answer that Lambda does not understand fails the whole batch; no handler gives one.
fn failures(response: &Value, letters: &[Letter]) -> BTreeSet<String> {
    let failed = response["batchItemFailures"].as_array().expect("a batch response");
    let failed: BTreeSet<String> =
        failed.iter().map(|item| item["itemIdentifier"].as_str().expect("an identifier").to_owned()).collect();
    let known: BTreeSet<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert!(failed.iter().all(|id| known.contains(id.as_str())), "unknown ids in {response}");
    failed
}
