//! A target with what an engine needs, and a worker that asks.

use manifold_aws::credentials::Assumer;
use manifold_aws::engine::Engines;
use manifold_core::changes::Previewed;
use manifold_core::checkup::Tried;
use manifold_core::engine::Verb;
use manifold_core::event::{PipelineState, decode_event};
use manifold_core::ids::{Attempt, ExecutionId, RunId, TargetKey};
use manifold_core::plan::{PlannedTarget, RevisionKind, SourceRevision};
use manifold_core::run::{Observation, Observed, Reason, Refusal, Standing};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::checkup::Preview;
use manifold_ports::clock::Clock;
use manifold_ports::engine::{Engine, Order, Start};
use manifold_tests::standin::{EXTERNAL_ID, Emitted, Setting, SkippingClock, StandIn, Started};
use manifold_tests::wire::engines::{Fate, Mishap};

use crate::table::Row;

/// Whatever is prepared is ready before so many calls.
const MOST_STARTS: usize = 20;

pub(crate) fn place() -> TargetKey {
    TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() }
}

/// An attempt on the target.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) run: RunId,
    pub(crate) attempt: Attempt,
    /// What is deployed.
    pub(crate) version: String,
}

/// The one that stories are about.
pub(crate) fn ours() -> Try {
    Try { run: "web-0f3a5b7c9d1e2f40".parse().unwrap(), attempt: Attempt(1), version: "1.2.3".to_owned() }
}

/// The next one of the same run.
pub(crate) fn ours_again() -> Try {
    Try { attempt: Attempt(2), ..ours() }
}

/// Another run's on the same target, with another release.
pub(crate) fn theirs() -> Try {
    Try { run: "web-9f8e7d6c5b4a3f2e".parse().unwrap(), attempt: Attempt(1), version: "1.3.0".to_owned() }
}

pub(crate) struct Stage {
    pub(crate) row: &'static Row,
    pub(crate) standin: StandIn,
    pub(crate) planned: PlannedTarget,
    engine: Engines<SkippingClock>,
    began: Timestamp,
    underway: Vec<Emitted>,
    /// What events have told, in the order of their arrival.
    pub(crate) told: Vec<Observation>,
}

impl Stage {
    pub(crate) async fn set(row: &'static Row) -> Self {
        Self::with(row, Setting::default()).await
    }

    pub(crate) async fn with(row: &'static Row, setting: Setting) -> Self {
        let standin = StandIn::start(setting).await;
        (row.set)(&standin);
        let work = (row.work)();
        let pinned = SourceRevision {
            action: "Source".to_owned(),
            kind: RevisionKind::CommitId,
            value: "8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f".to_owned(),
        };
        let planned = PlannedTarget {
            index: 0,
            wave: 0,
            key: place(),
            account_name: "prod".to_owned(),
            role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
            external_id: Some(EXTERNAL_ID.to_owned()),
            subject: row.subject.parse().unwrap(),
            variables: [("Stage".to_owned(), "prod".to_owned())].into(),
            source_revision: work.is_none().then_some(pinned),
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            work,
            looks: None,
        };
        let engine = worker(&standin).await;
        let began = standin.clock().now();
        Self { row, standin, planned, engine, began, underway: Vec::new(), told: Vec::new() }
    }

    /// Everything that comes of what is started here from now on.
    pub(crate) fn behave(&self, fate: Fate) {
        self.standin.engines(|engines| engines.behave(&place(), fate));
    }

    pub(crate) fn befall(&self, operation: &str, mishap: Mishap) {
        self.standin.engines(|engines| engines.befall(&place(), operation, mishap));
    }

    /// How often an operation was called.
    pub(crate) fn calls(&self, operation: &str) -> u64 {
        self.standin.engines(|engines| engines.calls(&place()).get(operation).copied().unwrap_or(0))
    }

    pub(crate) fn started(&self) -> Vec<Started> {
        self.standin.started()
    }

    /// Another worker takes over, which knows nothing of what this one did.
    pub(crate) async fn another_worker(&mut self) {
        self.engine = worker(&self.standin).await;
    }

    /// The target as it is planned for a release.
    fn planned_for(&self, attempt: &Try) -> PlannedTarget {
        let mut planned = self.planned.clone();
        planned.variables.insert("Version".to_owned(), attempt.version.clone());
        planned
    }

    pub(crate) fn is_entered(&self) -> bool {
        let (ours, planned) = (ours(), self.planned_for(&ours()));
        self.engine.is_entered(order(&ours, &planned))
    }

    /// One call.
    pub(crate) async fn start(&self, attempt: &Try) -> Result<Start, Refusal> {
        self.engine.start(order(attempt, &self.planned_for(attempt))).await
    }

    /// What a plan is told of an attempt.
    pub(crate) async fn preview(&self, attempt: &Try) -> Previewed {
        self.engine.preview(order(attempt, &self.planned_for(attempt)), self.in_a_minute()).await
    }

    /// The same once it is known.
    pub(crate) async fn foresee(&self, attempt: &Try) -> Previewed {
        for _ in 0..MOST_STARTS {
            match self.preview(attempt).await {
                Previewed::Pending(_) => self.pass(Span::from_seconds(2)),
                told @ (Previewed::New(_)
                | Previewed::Current
                | Previewed::Changes(_)
                | Previewed::Busy(_)
                | Previewed::Fails(_)) => return told,
            }
        }
        panic!("{} is looked at without end", self.row.service);
    }

    pub(crate) async fn discard(&self, attempt: &Try) -> Tried<()> {
        self.engine.discard(order(attempt, &self.planned_for(attempt)), self.in_a_minute()).await
    }

    fn in_a_minute(&self) -> Timestamp {
        self.now().plus(Span::from_minutes(1))
    }

    /// What a start comes to, with all that has to be prepared for it.
    pub(crate) async fn try_begin(&self, attempt: &Try) -> Result<ExecutionId, Refusal> {
        for _ in 0..MOST_STARTS {
            match self.start(attempt).await {
                Ok(Start::Begun(execution)) => return Ok(execution),
                Ok(Start::Current(execution)) => panic!("nothing to do: {execution}"),
                Err(Refusal::Preparing { again, .. }) => self.pass(again),
                Err(refusal) => return Err(refusal),
            }
        }
        panic!("{} prepares without end", self.row.service);
    }

    pub(crate) async fn begin(&self, attempt: &Try) -> ExecutionId {
        self.try_begin(attempt).await.unwrap()
    }

    pub(crate) async fn find(&self, attempt: &Try, except: &[ExecutionId]) -> Result<Option<ExecutionId>, Refusal> {
        self.engine.find(order(attempt, &self.planned_for(attempt)), self.began, except).await
    }

    pub(crate) async fn ask(&self, execution: &ExecutionId) -> Result<Option<Standing>, Refusal> {
        let (ours, planned) = (ours(), self.planned_for(&ours()));
        self.engine.ask(order(&ours, &planned), execution, self.began).await
    }

    /// The state that the engine tells when it is asked.
    pub(crate) async fn state(&self, execution: &ExecutionId) -> PipelineState {
        self.ask(execution).await.unwrap().unwrap().state
    }

    pub(crate) async fn explain(&self, execution: &ExecutionId) -> Result<Reason, Refusal> {
        let (ours, planned) = (ours(), self.planned_for(&ours()));
        self.engine.explain(order(&ours, &planned), execution).await
    }

    pub(crate) async fn stop(&self, execution: &ExecutionId) -> Result<(), Refusal> {
        let (ours, planned) = (ours(), self.planned_for(&ours()));
        self.engine.stop(order(&ours, &planned), execution, "alice: wrong release").await
    }

    /// One verb, of an execution that is as the verb needs it.
    pub(crate) async fn verb(&self, verb: Verb, execution: &ExecutionId) -> Result<(), Refusal> {
        match verb {
            Verb::Start => self.try_begin(&ours()).await.map(drop),
            Verb::Find => self.find(&ours(), &[]).await.map(|found| assert_eq!(found.as_ref(), Some(execution))),
            Verb::Ask => self.ask(execution).await.map(|standing| assert!(standing.is_some())),
            Verb::Explain => self.explain(execution).await.map(drop),
            Verb::Stop => self.stop(execution).await,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.standin.clock().now()
    }

    pub(crate) fn pass(&self, span: Span) {
        self.standin.clock().skip_to(self.now().plus(span));
    }

    /// Lets time pass until the next thing has happened, and all events of it have arrived. Says whether there was one.
    pub(crate) fn next(&mut self) -> bool {
        let next = self.standin.next_change();
        if let Some(next) = next {
            self.standin.clock().skip_to(next);
        }
        self.underway.extend(self.standin.take_events());
        let is_more = next.is_some() || !self.underway.is_empty();
        if let Some(last) = self.underway.iter().map(|event| event.due).max() {
            self.standin.clock().skip_to(last);
        }
        for event in self.underway.drain(..) {
            let envelope = decode_event(&event.body).unwrap_or_else(|error| panic!("{error}: {}", event.body));
            self.told.extend(Observation::of(&envelope));
        }
        is_more
    }

    /// Lets time pass until nothing happens by itself any more.
    pub(crate) fn settle(&mut self) {
        while self.next() {}
    }

    /// The newest state of an execution that an event told.
    pub(crate) fn told_state(&self, execution: &ExecutionId) -> Option<(PipelineState, Timestamp)> {
        let of_it = self.told.iter().filter(|told| told.execution == *execution);
        of_it.filter_map(|told| Some((told.state()?.clone(), told.at))).next_back()
    }

    /// Why an execution failed, as its events tell: an action's or a resource's words go before those of the whole.
    pub(crate) fn told_reason(&self, execution: &ExecutionId) -> Option<Reason> {
        let of_it = || self.told.iter().filter(|told| told.execution == *execution);
        let of_part = of_it().find_map(|told| match &told.what {
            Observed::ActionFailed { reason } => Some(reason.clone()),
            Observed::State { .. } => None,
        });
        let of_whole = || {
            of_it().find_map(|told| match &told.what {
                Observed::State { reason, .. } => reason.as_deref().cloned(),
                Observed::ActionFailed { .. } => None,
            })
        };
        of_part.or_else(of_whole)
    }
}

impl Drop for Stage {
    /// A story in which somebody asked for what nobody should ask for fails.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.standin.violations(), [""; 0], "{}", self.row.service);
        }
    }
}

fn order<'a>(attempt: &'a Try, planned: &'a PlannedTarget) -> Order<'a> {
    Order { run: &attempt.run, planned, attempt: attempt.attempt }
}

async fn worker(standin: &StandIn) -> Engines<SkippingClock> {
    let clients = standin.clients().await;
    let assumer = Assumer::with_clock(clients.sts(), standin.clock());
    Engines::new(clients, assumer)
}
