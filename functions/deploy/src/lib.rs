//! `deploy`: one attempt on one target. Claim, assume the role, start, record.
//!
//! ```text
//!  claim committed ─► engine called ─► execution recorded
//!        │                 │                 │
//!        │ dies here:      │ dies here:      │ dies here: the message comes again, and there is nothing to do
//!        │ nothing was     │ the STARTED event's session name tells the run, or the next worker
//!        │ started         │ looks for the execution before it starts one
//! ```
//!
//! Every call takes its turn (`manifold_ports::pace`). A turn that lies ahead is waited for in the queue: the attempt is put
//! back, and was certainly not started meanwhile.
//!
//! It is the only function that may assume a role in a target account that does more than look, so it also asks why an
//! execution failed, and how one stands whose events are overdue, tries for a checkup whether a rollout could work at
//! all, has change sets made for a plan to see what a release would do, and prepares what an operator may take a drifted stack back with.

mod control;
mod drift;

use futures::future::join_all;
use futures::{StreamExt, stream};
use manifold_core::changes::{Previewed, ToPreview};
use manifold_core::checkup::{AccessSeen, Answer, Misunderstood, Place, Question, Tried};
use manifold_core::drift::Note;
use manifold_core::engine::Verb;
use manifold_core::event::{BatchResponse, DecodeError, SqsRecord, decode_batch};
use manifold_core::ids::{Attempt, ExecutionId, ExecutionRef, RunId, TargetKey};
use manifold_core::ledger::{Item, Key, Link, LinkOwner, RUN_RETENTION};
use manifold_core::message::{Message, MessageError, Outgoing, Payload};
use manifold_core::pace::Turn;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Event, Observation, Reason, ReasonSource, Refusal, Run, Seen, Standing, Target, Told};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::batch::{self, OutOfTime, Report};
use manifold_ports::checkup::{AT_ONCE, Access, OUT_OF_TIME, Preview, out_of_time};
use manifold_ports::clock::Clock;
use manifold_ports::drift::Revert;
use manifold_ports::engine::{Engine, Order, Start};
use manifold_ports::ledger::{CommitError, Ledger, LedgerError};
use manifold_ports::pace::{self, Known, Paced, Paces};
use manifold_ports::queues::Queues;
use manifold_ports::runs::{self, RunError, Stepped};
use serde_json::Value;
use tracing::Instrument;

/// How long a claim keeps other workers away. Longer than the function may run, so that a live worker is never
/// taken for a dead one; shorter than the queue's visibility timeout, so that a redelivery finds it run out.
pub const LEASE: Span = Span::from_seconds(120);

/// How long after a run was opened the question why an execution failed waits for its turn. After that its message is a
/// dead letter, as one is whose answer is an error.
const EXPLAIN_FOR: Span = Span::from_minutes(60 * 24);

/// The function's handler over its ports.
#[derive(Debug)]
pub struct Deploy<L, P, Q, E, C> {
    /// Where the facts are.
    pub ledger: L,
    /// How fast target accounts may be called.
    pub paces: P,
    /// Where effects go.
    pub queues: Q,
    /// What does the work in target accounts.
    pub engine: E,
    /// Time and nonces.
    pub clock: C,
}

/// Why a message is to come again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a {0} message does not belong on this queue")]
    Misplaced(&'static str),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Pace(#[from] LedgerError),
    #[error("another worker is starting this target until {until}")]
    Held { until: Timestamp },
    #[error("the engine could not be asked: {0}")]
    Asked(String),
    #[error("failed to record what came of it")]
    Record(#[from] CommitError),
    #[error(transparent)]
    OutOfTime(#[from] OutOfTime),
}

impl<L, P, Q, E: Access + Preview, C: Clock> Deploy<L, P, Q, E, C> {
    /// Answers a checkup: may this function work in these places, and what would change sets do there? Only this function
    /// can tell, as target roles trust no other. What `deadline` leaves no time for is unanswered.
    ///
    /// # Errors
    /// The question is another function's.
    pub async fn checkup(&self, question: Question, deadline: Timestamp) -> Result<Answer, Misunderstood> {
        match question {
            Question::Access(places) => Ok(Answer::Access(self.access(&places, deadline).await)),
            Question::Preview(asked) => Ok(Answer::Preview(self.preview(&asked, deadline).await)),
            Question::Discard(asked) => Ok(Answer::Discarded(self.discard(&asked, deadline).await)),
            Question::Fleet | Question::Inspect(_) | Question::Slack(_) => {
                Err(Misunderstood::Misplaced { function: "deploy" })
            }
        }
    }

    async fn access(&self, places: &[Place], deadline: Timestamp) -> Vec<AccessSeen> {
        self.engine.renew(places);
        let looks = places.iter().map(|place| async move {
            match batch::has_time(&self.clock, deadline) {
                true => self.engine.try_access(place, deadline).await,
                false => AccessSeen::not_assumed(out_of_time()),
            }
        });
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }

    async fn preview(&self, asked: &ToPreview, deadline: Timestamp) -> Vec<Previewed> {
        let looks = asked.targets.iter().map(|planned| async move {
            match batch::has_time(&self.clock, deadline) {
                true => self.engine.preview(first(asked, planned), deadline).await,
                false => Previewed::Pending(OUT_OF_TIME.to_owned()),
            }
        });
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }

    async fn discard(&self, asked: &ToPreview, deadline: Timestamp) -> Vec<Tried<()>> {
        let ends = asked.targets.iter().map(|planned| async move {
            match batch::has_time(&self.clock, deadline) {
                true => self.engine.discard(first(asked, planned), deadline).await,
                false => out_of_time(),
            }
        });
        stream::iter(ends).buffered(AT_ONCE).collect().await
    }
}

/// The order that a rollout would have carried out first.
fn first<'a>(asked: &'a ToPreview, planned: &'a PlannedTarget) -> Order<'a> {
    Order { run: &asked.run, planned, attempt: Attempt::FIRST }
}

impl<L: Ledger, P: Paces, Q: Queues, E: Engine + Revert, C: Clock> Deploy<L, P, Q, E, C> {
    /// Handles one SQS batch. `deadline` is when Lambda ends the invocation.
    ///
    /// # Errors
    /// The input is not an SQS batch.
    pub async fn handle(&self, input: &Value, deadline: Timestamp) -> Result<BatchResponse, DecodeError> {
        let batch = decode_batch(input)?;
        let done = join_all(batch.records.iter().map(|record| async move {
            match batch::has_time(&self.clock, deadline) {
                true => (record, self.message(record).await),
                false => (record, Err(OutOfTime.into())),
            }
        }))
        .await;
        let mut report = Report::default();
        for (record, done) in done {
            match done {
                Ok(what) => report.count(what),
                Err(failure) => report.fail(&record.message_id, record.receive_count, &failure),
            }
        }
        Ok(report.close("deploy", batch.records.len()))
    }

    async fn message(&self, record: &SqsRecord) -> Result<&'static str, Failure> {
        match Message::decode(&record.body)?.payload {
            Payload::Start { run, index, attempt } => {
                let planned = match runs::planned(&self.ledger, &run, index).await {
                    Ok(planned) => planned,
                    Err(RunError::NoTarget { .. }) => return Ok("stray"),
                    Err(error) => return Err(error.into()),
                };
                let span = tracing::info_span!("start", %run, target = %planned.key, %attempt);
                self.start(&run, &planned, attempt).instrument(span).await
            }
            Payload::Explain { run, target, execution, turn } => {
                let span = tracing::info_span!("explain", %run, %target, %execution);
                self.explain(&run, &target, &execution, turn).instrument(span).await
            }
            Payload::Ask { run, targets, turn } => {
                let span = tracing::info_span!("ask", %run, targets = targets.len());
                self.ask(&run, &targets, turn).instrument(span).await
            }
            Payload::Stop { run, targets, turn } => {
                let span = tracing::info_span!("stop", %run, targets = targets.len());
                self.stop(&run, &targets, turn).instrument(span).await
            }
            Payload::Alarms { run, wave, began, from } => {
                let span = tracing::info_span!("alarms", %run, wave, from);
                self.alarms(&run, wave, began, from).instrument(span).await
            }
            Payload::Drift(Note::Revert { check, index, stack, command, at }) => {
                let span = tracing::info_span!("revert", %check, index, stack);
                self.revert(&check, index, &stack, &command, at).instrument(span).await
            }
            Payload::Drift(note) => Err(Failure::Misplaced(note.name())),
            Payload::Summarize { .. } => Err(Failure::Misplaced("summarize")),
            Payload::Notify { .. } => Err(Failure::Misplaced("notify")),
            Payload::Activate { .. } => Err(Failure::Misplaced("activate")),
            Payload::Advance { .. } => Err(Failure::Misplaced("advance")),
            Payload::Command { .. } => Err(Failure::Misplaced("command")),
            Payload::Open { .. } => Err(Failure::Misplaced("open")),
            Payload::Deadline { .. } => Err(Failure::Misplaced("deadline")),
        }
    }
}

impl<L: Ledger, P: Paces, Q: Queues, E: Engine, C: Clock> Deploy<L, P, Q, E, C> {
    async fn start(&self, run: &RunId, planned: &PlannedTarget, attempt: Attempt) -> Result<&'static str, Failure> {
        let nonce = self.clock.nonce();
        let engine = planned.subject.service();
        let paces = pace::keys(&planned.key, engine);
        let mut keys = vec![planned.key.clone()];
        keys.extend(planned.after.iter().cloned());
        let claimed = runs::advance(&self.ledger, &self.clock, run, &keys, &paces, |loaded, now| {
            let claim =
                Event::Claim { planned: Box::new(planned.clone()), attempt, nonce: nonce.clone(), lease: LEASE };
            let (run, told) = loaded.run.step(claim, now);
            let target = run.target(&planned.key).cloned();
            Stepped { run, answer: (told, target, Known::of(engine, loaded.extra)), writes: Vec::new() }
        })
        .await;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        runs::perform(&self.queues, claimed.effects).await.map_err(RunError::from)?;
        let (told, target, known) = claimed.answer;
        let (look_first, may_start, target) = match (told, target) {
            (Told::Claimed { look_first, may_start }, Some(target)) => (look_first, may_start, target),
            (Told::Held { until }, _) => return Err(Failure::Held { until }),
            (Told::Early { until }, _) => {
                tracing::info!(%until, "its turn has not come");
                return Ok("early");
            }
            (Told::Behind { target: other }, _) => {
                tracing::info!(%other, "another target goes first");
                return Ok("behind");
            }
            (Told::Stray(why), _) => {
                tracing::warn!(why, "not started");
                return Ok("stray");
            }
            (Told::TooLate | Told::Changed | Told::Duplicate | Told::Decided(_) | Told::Claimed { .. }, _) => {
                return Ok("nothing to do");
            }
        };
        match self.execution(run, planned, &target, look_first, may_start, &known).await? {
            Ok(Some(Start::Begun(execution))) => {
                tracing::info!(%execution, look_first, "started");
                self.record(run, planned, attempt, &execution).await?;
                Ok("started")
            }
            Ok(Some(Start::Current(execution))) => {
                tracing::info!(%execution, "not started: the target has the release already");
                let target = planned.key.clone();
                self.tell(run, &planned.key, Event::Current { target, attempt, execution }).await?;
                Ok("already current")
            }
            Ok(None) => {
                tracing::info!("not started: nothing more of this run may be");
                self.tell(run, &planned.key, Event::NotFound { target: planned.key.clone(), attempt }).await?;
                Ok("nothing to do")
            }
            Err(Refusal::Wait { turn, throttled: None }) => {
                tracing::info!(at = %turn.at, api = %turn.api, "waits for its turn");
                let refusal = Refusal::Wait { turn, throttled: None };
                self.tell(run, &planned.key, Event::Refused { target: planned.key.clone(), attempt, refusal }).await?;
                Ok("waits")
            }
            Err(refusal) => {
                tracing::warn!(?refusal, "not started");
                self.tell(run, &planned.key, Event::Refused { target: planned.key.clone(), attempt, refusal }).await?;
                Ok("refused")
            }
        }
    }

    /// Takes an event of one target in.
    async fn tell(&self, run: &RunId, key: &TargetKey, event: Event) -> Result<(), Failure> {
        let told = runs::advance(&self.ledger, &self.clock, run, std::slice::from_ref(key), &[], |loaded, now| {
            let (run, told) = loaded.run.step(event.clone(), now);
            Stepped { run, answer: told, writes: Vec::new() }
        })
        .await?;
        runs::perform(&self.queues, told.effects).await.map_err(RunError::from)?;
        Ok(())
    }

    /// The attempt's one execution: found, if it may have been started before, else started, if it still may be.
    async fn execution(
        &self,
        run: &RunId,
        planned: &PlannedTarget,
        target: &Target,
        look_first: bool,
        may_start: bool,
        known: &Known,
    ) -> Result<Result<Option<Start>, Refusal>, Failure> {
        let order = Order { run, planned, attempt: target.attempt };
        let engine = planned.subject.service();
        let paced = self.paced(&planned.key, known, target.turn);
        if look_first {
            let since = target.first_claimed_at.unwrap_or_else(|| self.clock.now());
            let past: Vec<ExecutionId> = target.past.iter().filter_map(|past| past.execution.clone()).collect();
            let find = self.engine.find(order, since, &past);
            match paced.call(engine.api(Verb::Find), self.engine.is_entered(order), find).await? {
                Ok(None) => {}
                found => return Ok(found.map(|found| found.map(Start::Begun))),
            }
        }
        if !may_start {
            return Ok(Ok(None));
        }
        let start = self.engine.start(order);
        let started = paced.call(engine.api(Verb::Start), self.engine.is_entered(order), start).await?;
        Ok(started.map(Some))
    }

    fn paced<'a>(&'a self, target: &'a TargetKey, known: &'a Known, held: Option<Turn>) -> Paced<'a, P, C> {
        Paced { paces: &self.paces, clock: &self.clock, target, known, held }
    }

    /// Has a message come again at its turn.
    async fn later(&self, turn: Turn, payload: Payload) -> Result<(), Failure> {
        let delay = turn.at.since(self.clock.now());
        Ok(self.queues.send(vec![Outgoing::after(delay, payload)]).await.map_err(RunError::from)?)
    }

    /// Records the start, and folds in what was observed of the execution before anybody knew whose it is.
    async fn record(
        &self,
        run: &RunId,
        planned: &PlannedTarget,
        attempt: Attempt,
        execution: &ExecutionId,
    ) -> Result<(), Failure> {
        let link = Key::Link(ExecutionRef { target: planned.key.clone(), id: execution.clone() });
        let recorded = runs::advance(
            &self.ledger,
            &self.clock,
            run,
            std::slice::from_ref(&planned.key),
            std::slice::from_ref(&link),
            |loaded, now| {
                let known = runs::link_of(loaded.extra.into_iter().next().flatten());
                let event = Event::Started { target: planned.key.clone(), attempt, execution: execution.clone() };
                let (mut run, told) = loaded.run.step(event, now);
                for early in &known.early {
                    (run, _) = run.step(Event::Observed(Box::new(early.clone())), now);
                }
                let owner = Some(LinkOwner { run: run.head().run.clone(), attempt });
                let mut writes = Vec::new();
                if known.owner != owner || !known.early.is_empty() {
                    let expires_at = run.head().opened_at.plus(RUN_RETENTION);
                    let item = Item::Link(Link { owner, early: Vec::new() });
                    writes.push(loaded.versions.write(link.clone(), item, Some(expires_at)));
                }
                Stepped { run, answer: told, writes }
            },
        )
        .await?;
        if let Told::Stray(why) = recorded.answer {
            tracing::error!(why, %execution, "a second execution was started");
        }
        runs::perform(&self.queues, recorded.effects).await.map_err(RunError::from)?;
        Ok(())
    }

    async fn explain(
        &self,
        run: &RunId,
        key: &TargetKey,
        execution: &ExecutionId,
        held: Option<Turn>,
    ) -> Result<&'static str, Failure> {
        let loaded = match runs::load(&self.ledger, run, std::slice::from_ref(key), &[]).await {
            Ok(loaded) => loaded,
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        let Some(target) = loaded.run.target(key).filter(|target| target.execution.as_ref() == Some(execution)) else {
            return Ok("stray");
        };
        if !target.is_unexplained() {
            // Whoever explained it may have died before it told what follows.
            if let Some(reason) = target.reason.clone() {
                self.tell(run, key, Event::Explained { target: key.clone(), execution: execution.clone(), reason })
                    .await?;
            }
            return Ok("nothing to do");
        }
        let attempt = target.seen.as_ref().map_or(1, Seen::attempt);
        let planned = runs::planned(&self.ledger, run, target.index).await?;
        let order = Order { run, planned: &planned, attempt: target.attempt };
        let engine = planned.subject.service();
        let known = Known::read(&self.ledger, key, engine).await.map_err(RunError::from)?;
        let explain = self.engine.explain(order, execution);
        let entered = self.engine.is_entered(order);
        let reason = match self.paced(key, &known, held).call(engine.api(Verb::Explain), entered, explain).await? {
            Err(Refusal::Wait { throttled, .. })
                if self.clock.now().since(loaded.run.head().opened_at) > EXPLAIN_FOR =>
            {
                return Err(Failure::Asked(throttled.map_or("no turn for a day".to_owned(), |reason| reason.cause)));
            }
            Err(Refusal::Wait { turn, .. }) => {
                let (run, target, execution) = (run.clone(), key.clone(), execution.clone());
                self.later(turn, Payload::Explain { run, target, execution, turn: Some(turn) }).await?;
                return Ok("waits");
            }
            Ok(reason) => Reason { attempt, ..reason },
            Err(Refusal::Permanent { reason, .. }) => Reason {
                cause: format!("Failed, and its reason can't be read: {}", reason.cause),
                source: ReasonSource::Engine,
                attempt,
                ..reason
            },
            Err(
                Refusal::Busy { reason }
                | Refusal::Preparing { reason, .. }
                | Refusal::Later { reason }
                | Refusal::Throttled { reason, .. },
            ) => {
                return Err(Failure::Asked(reason.cause));
            }
        };
        self.tell(run, key, Event::Explained { target: key.clone(), execution: execution.clone(), reason }).await?;
        Ok("explained")
    }

    /// Asks how executions stand, and folds in what no event has told. An engine that does not answer is no failure of
    /// the message: whoever sent it comes back, later each time. One that asks to slow down is asked again in turn.
    async fn ask(&self, run: &RunId, keys: &[TargetKey], held: Option<Turn>) -> Result<&'static str, Failure> {
        let targets = runs::targets(&self.ledger, run, keys).await?;
        let answers = join_all(targets.iter().map(|target| self.standing(run, target, held))).await;
        let mut observations = Vec::new();
        for (target, answer) in targets.iter().zip(answers) {
            observations.extend(match answer? {
                Some(standing) => Observation::asked(target, standing),
                // Whoever learnt it may have died before it told what follows.
                None => Observation::again(target),
            });
        }
        if observations.is_empty() {
            return Ok("nothing new");
        }
        let keys: Vec<TargetKey> = observations.iter().map(|told| told.target.clone()).collect();
        let count =
            |run: &Run| keys.iter().filter_map(|key| run.target(key)).map(|target| target.asked_for).sum::<u32>();
        let learnt = runs::advance(&self.ledger, &self.clock, run, &keys, &[], |loaded, now| {
            let before = count(&loaded.run);
            let mut run = loaded.run;
            for observation in &observations {
                let told;
                (run, told) = run.step(Event::Observed(Box::new(observation.clone())), now);
                tracing::info!(target = %observation.target, execution = %observation.execution, ?told, "asked");
            }
            let recovered = count(&run).saturating_sub(before);
            Stepped { run, answer: recovered, writes: Vec::new() }
        })
        .await?;
        runs::perform(&self.queues, learnt.effects).await.map_err(RunError::from)?;
        if learnt.answer > 0 {
            batch::metric("deploy", "EventsRecovered", learnt.answer);
        }
        Ok("asked")
    }

    /// How a target's execution stands, if it has one that has not ended and its engine answers.
    async fn standing(&self, run: &RunId, target: &Target, held: Option<Turn>) -> Result<Option<Standing>, Failure> {
        let (Some(execution), None) = (&target.execution, target.status().outcome()) else { return Ok(None) };
        let planned = runs::planned(&self.ledger, run, target.index).await?;
        let order = Order { run, planned: &planned, attempt: target.attempt };
        let started_at = target.first_claimed_at.or(target.started_at).unwrap_or_else(|| self.clock.now());
        let engine = planned.subject.service();
        let known = Known::read(&self.ledger, &target.key, engine).await.map_err(RunError::from)?;
        let ask = self.engine.ask(order, execution, started_at);
        let entered = self.engine.is_entered(order);
        match self.paced(&target.key, &known, held).call(engine.api(Verb::Ask), entered, ask).await? {
            // Whoever waited once and finds the pace cut leaves it to the sweep's next turn: were it sent again each time,
            // what is delivered twice would grow without end.
            Err(Refusal::Wait { .. }) if held.is_some() => Ok(None),
            Err(Refusal::Wait { turn, .. }) => {
                let targets = vec![target.key.clone()];
                self.later(turn, Payload::Ask { run: run.clone(), targets, turn: Some(turn) }).await?;
                Ok(None)
            }
            Ok(Some(standing)) => Ok(Some(standing)),
            Ok(None) => {
                tracing::warn!(target = %target.key, %execution, "the engine does not list this execution");
                Ok(None)
            }
            Err(refusal) => {
                tracing::warn!(target = %target.key, %execution, ?refusal, "the engine could not be asked");
                Ok(None)
            }
        }
    }
}
