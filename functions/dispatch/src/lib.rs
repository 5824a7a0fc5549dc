//! `dispatch`: a release event opens one run for each app that the release pipeline releases, and a request the run that
//! an operator, or an app's policy, wants.
//!
//! The run's id is derived from the source execution, so a duplicate event finds the run there and only derives its
//! first effects again. The plan is written before the head: a run exists once its head does.

mod drift;
mod job;
mod request;

use futures::{StreamExt, TryStreamExt, stream};
use manifold_core::checkup::{Answer, Misunderstood, Question};
use manifold_core::event::{
    self, BatchResponse, DecodeError, Input, PipelineState, decode_batch, decode_event, decode_input, decode_input_str,
};
use manifold_core::figures::Figure;
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::ledger::{Commit, Key, RUN_RETENTION, Versions, Write};
use manifold_core::message::{Message, MessageError, Outgoing};
use manifold_core::plan::{Plan, PlannedTarget};
use manifold_core::run::{AppQueue, Effect, Event, Head, Run, Told, Wanted};
use manifold_core::time::Timestamp;
use manifold_fleet::{Fleet, PlanError};
use manifold_ports::batch::{self, OutOfTime, Report};
use manifold_ports::clock::Clock;
use manifold_ports::jobs::Jobs;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, Listings};
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::releases::{ReleaseError, Releases};
use manifold_ports::runs::{self, RunError};
use serde_json::Value;
use tracing::Instrument;

use crate::request::Source;

/// How many apps of one release are opened at once. Their runs have nothing in common but the release.
const APPS_AT_ONCE: usize = 16;
/// How often opening is tried again after another writer was first.
const TRIES: u32 = 10;

/// The function's handler over its ports.
#[derive(Debug)]
pub struct Dispatch<L, Q, R, C> {
    /// What may be deployed, and where.
    pub fleet: Fleet,
    /// Where the facts are.
    pub ledger: L,
    /// Where effects go.
    pub queues: Q,
    /// Where releases come from.
    pub releases: R,
    /// Time and nonces.
    pub clock: C,
}

/// Why a message is to come again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to read the event")]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error("the release can't be deployed")]
    Plan(#[source] Box<PlanError>),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("failed to open the run")]
    Commit(#[from] CommitError),
    #[error("the app's queue is contended: gave up after {TRIES} tries")]
    Contended,
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a {0} message does not belong on this queue")]
    Misplaced(&'static str),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    OutOfTime(#[from] OutOfTime),
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::Plan(Box::new(error))
    }
}

/// Why an invocation failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The input is neither a batch nor a job.
    #[error(transparent)]
    Input(#[from] DecodeError),
    /// The job could not be taken up just now.
    #[error("the release pipeline's job could not be taken up")]
    Job(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl<L, Q, R, C> Dispatch<L, Q, R, C> {
    /// Answers a checkup: which fleet file is this?
    ///
    /// # Errors
    /// The question is another function's.
    pub fn checkup(&self, question: &Question) -> Result<Answer, Misunderstood> {
        match question {
            Question::Fleet => Ok(Answer::Fleet { digest: self.fleet.digest().to_owned() }),
            Question::Access(_)
            | Question::Preview(_)
            | Question::Discard(_)
            | Question::Inspect(_)
            | Question::Slack(_) => Err(Misunderstood::Misplaced { function: "dispatch" }),
        }
    }
}

impl<L: Ledger + Listings, Q: Queues, R: Releases + Jobs, C: Clock> Dispatch<L, Q, R, C> {
    /// Handles one SQS batch, or one job of a release pipeline that waits. `deadline` is when Lambda ends the invocation.
    ///
    /// # Errors
    /// The input is neither, or the job is to come again.
    pub async fn handle(&self, input: &Value, deadline: Timestamp) -> Result<BatchResponse, HandleError> {
        if let Ok(Input::Job(job)) = decode_input(input) {
            let mut report = Report::default();
            report.count(Box::pin(self.job(&job)).await.map_err(|failure| HandleError::Job(Box::new(failure)))?);
            return Ok(report.close("dispatch", 1));
        }
        let batch = decode_batch(input)?;
        let mut report = Report::default();
        for record in &batch.records {
            let done = match batch::has_time(&self.clock, deadline) {
                // Boxed: what opens a run nests deeper than the compiler computes by default.
                true => Box::pin(self.message(&record.body)).await,
                false => Err(OutOfTime.into()),
            };
            match done {
                Ok(what) => report.count(what),
                Err(failure) => report.fail(&record.message_id, record.receive_count, &failure),
            }
        }
        Ok(report.close("dispatch", batch.records.len()))
    }

    async fn message(&self, body: &str) -> Result<&'static str, Failure> {
        if Message::is_ours(body) {
            return self.request(body).await;
        }
        if let Ok(Input::Schedule(tick)) = decode_input_str(body)
            && tick.kind.as_deref() == Some(drift::KIND)
        {
            return self.tick(&tick).await;
        }
        let envelope = decode_event(body)?;
        let told = match &envelope.event {
            event::Event::Pipeline(told) if told.state == PipelineState::Succeeded => told,
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
            | event::Event::Other { .. } => return Ok("ignored"),
        };
        let apps = self.fleet.released_by(&envelope.account, &envelope.region, &told.pipeline);
        if apps.is_empty() {
            tracing::info!(
                account = %envelope.account, region = %envelope.region, pipeline = %told.pipeline,
                "not a release pipeline of this fleet"
            );
            return Ok("ignored");
        }
        let source = ExecutionRef {
            target: TargetKey { account: envelope.account.clone(), region: envelope.region.clone() },
            id: told.execution.clone(),
        };
        // One after the other, a release of many hundred apps would not be taken in within one invocation.
        let openings: Vec<_> = apps
            .into_iter()
            .map(|app| {
                let run = RunId::derive(app.name(), &source);
                let span = tracing::info_span!("open", %run);
                let released = Source::Released { app, envelope: &envelope, told, source: &source };
                async move { self.open(&run, &released).await }.instrument(span)
            })
            .collect();
        let opened: Vec<Result<bool, Failure>> = stream::iter(openings).buffered(APPS_AT_ONCE).collect().await;
        let mut what = Ok("duplicate");
        for opened in opened {
            // An app that can't be deployed keeps none of the others from it.
            match opened {
                Ok(opened) => what = what.map(|what| if opened { "opened" } else { what }),
                Err(failure) => what = what.and(Err(failure)),
            }
        }
        what
    }

    /// Opens a run, unless it is open already. Says whether it did.
    async fn open(&self, run: &RunId, source: &Source<'_>) -> Result<bool, Failure> {
        let mut prepared = None;
        for _ in 0..TRIES {
            let keys = [Key::Head(run.clone()), Key::Queue(run.app())];
            let mut records = self.ledger.get(&keys).await?.into_iter();
            let mut versions = Versions::default();
            let (head, queue) = (records.next().flatten(), records.next().flatten());
            if let Some(record) = &queue {
                versions.note(keys[1].clone(), record.version);
            }
            let queue = runs::queue_of(&keys[1], queue)?;
            if let Some(head) = head {
                let head = runs::head_of(&keys[0], head)?;
                tracing::info!("this release has its run already");
                self.perform(Run::load(head, queue, []).opened_again().finish().effects).await?;
                return Ok(false);
            }
            self.is_wanted_once(&queue, source).await?;
            // Asked only once the run is known to be new: a duplicate event costs one read.
            let (release, plan) = match prepared.take() {
                Some(known) => known,
                None => {
                    let (release, plan) = Box::pin(self.prepare(run, source)).await?;
                    self.store_plan(run, &plan).await?;
                    (release, plan)
                }
            };
            let (app, origin) = (run.app(), source.origin());
            let wanted = Wanted { run: run.clone(), app, release: release.clone(), origin, plan: &plan };
            let (writes, effects, figures) = self.writes(wanted, &versions, queue, source).await?;
            match self.ledger.commit(Commit { writes, nonce: self.clock.nonce() }).await {
                Ok(()) => {
                    batch::figures(&run.app(), &figures);
                    tracing::info!(targets = plan.targets.len(), waves = plan.waves.len(), "run opened");
                    self.perform(effects).await?;
                    return Ok(true);
                }
                Err(CommitError::Conflict { .. }) => prepared = Some((release, plan)),
                Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
            }
        }
        Err(Failure::Contended)
    }

    /// What opens a run, and what follows. The run that waited gives its place up, and the one that is under way may end for
    /// the newer one, in the same commit.
    async fn writes(
        &self,
        wanted: Wanted<'_>,
        versions: &Versions,
        queue: AppQueue,
        source: &Source<'_>,
    ) -> Result<(Vec<Write>, Vec<Effect>, Vec<Figure>), Failure> {
        let now = self.clock.now();
        let (run, before) = (wanted.run.clone(), queue.clone());
        let opened = Run::open(wanted, queue, now);
        let mut step = opened.run.finish();
        let mut writes = Vec::new();
        if let Some((overtaken, head, versions)) = self.head(opened.overtakes.as_ref()).await? {
            let opened_at = head.opened_at;
            let step = Run::load(head, before, []).overtake(run.clone(), now).finish();
            writes.extend(versions.writes(&overtaken, opened_at, &step));
        }
        // What makes no difference to the run that is under way is not written: it may be written often just now.
        if let Some((behind, head, versions)) = self.head(opened.behind.as_ref()).await? {
            let (opened_at, queue) = (head.opened_at, step.queue.clone().unwrap_or_default());
            let (yields, told) = Run::load(head, queue, []).step(Event::Newer { run: run.clone() }, now);
            if told == Told::Changed {
                let mut yields = yields.finish();
                // One queue, one write.
                step.queue = yields.queue.take().or(step.queue);
                step.effects.append(&mut yields.effects);
                step.figures.append(&mut yields.figures);
                writes.extend(versions.writes(&behind, opened_at, &yields));
            }
        }
        writes.extend(versions.writes(&run, now, &step));
        writes.extend(source.record(&run, now));
        Ok((writes, step.effects, step.figures))
    }

    async fn head(&self, run: Option<&RunId>) -> Result<Option<(RunId, Head, Versions)>, Failure> {
        let Some(run) = run else { return Ok(None) };
        let key = Key::Head(run.clone());
        let Some(record) = self.ledger.get(std::slice::from_ref(&key)).await?.pop().flatten() else { return Ok(None) };
        let mut versions = Versions::default();
        versions.note(key.clone(), record.version);
        Ok(Some((run.clone(), runs::head_of(&key, record)?, versions)))
    }

    async fn store_plan(&self, run: &RunId, plan: &Plan) -> Result<(), Failure> {
        let expires_at = self.clock.now().plus(RUN_RETENTION);
        let planned: Vec<PlannedTarget> = plan.targets.iter().chain(&plan.unchanged).cloned().collect();
        self.store_parts(runs::plan_writes(run, &planned, expires_at)).await
    }

    async fn store_parts(&self, parts: Vec<Write>) -> Result<(), Failure> {
        let chunks = (parts.into_iter())
            .map(|write| self.ledger.commit(Commit { writes: vec![write], nonce: self.clock.nonce() }));
        // A plan of 10,000 targets has 400 parts; eight writes at a time keep one connection pool busy.
        Ok(stream::iter(chunks).buffer_unordered(8).try_collect::<()>().await?)
    }

    async fn perform(&self, effects: Vec<Effect>) -> Result<(), Failure> {
        self.queues.send(effects.into_iter().map(Outgoing::from).collect()).await?;
        Ok(())
    }
}
