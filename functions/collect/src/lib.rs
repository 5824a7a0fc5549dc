//! `collect`: state-change events into the ledger, and from there the next targets, the next wave, or the verdict.
//!
//! Whose execution an event tells of is read from its link item, which the worker that started it wrote, or from the
//! role session in a STARTED event, which carries the run. An event of an execution that nobody knows (yet) is kept
//! for two days with its link: the worker that started it folds it in when it records the start.
//!
//! An event counts only if its envelope's account and Region are the target's. The keys are made from the envelope,
//! so an event from elsewhere can't even name a target.

mod drift;

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::control::{Answer, Command, Order};
use manifold_core::drift::Note;
use manifold_core::event::{BatchResponse, DecodeError, Event as Happened, decode_batch, decode_event};
use manifold_core::ids::{ExecutionRef, RunId, TargetKey};
use manifold_core::ledger::{Commit, Item, Key, Link, LinkOwner, ORPHAN_RETENTION, RUN_RETENTION, Versions};
use manifold_core::message::{Message, MessageError, Payload};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Event, Observation, Status, Told};
use manifold_core::time::Timestamp;
use manifold_ports::batch::{self, Chain, OutOfTime, Report};
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, Listings};
use manifold_ports::queues::Queues;
use manifold_ports::runs::{self, RunError, Stepped};
use serde_json::Value;
use tracing::Instrument;

/// How many targets one commit may give up at a deadline: below the 100 items of a transaction.
const SILENT_PER_COMMIT: usize = 85;

/// How many events one commit may fold in: each may write its target, its link and what is known of the target, and the
/// head, the app's queue, the mark of an open run and some decisions may be written besides.
const EVENTS_PER_COMMIT: usize = (Commit::MAX_WRITES - 10) / 3;

/// How often an early event is kept again after another writer was first.
const TRIES: u32 = 10;

/// The function's handler over its ports.
#[derive(Debug)]
pub struct Collect<L, Q, C> {
    /// Where the facts are.
    pub ledger: L,
    /// Where effects go.
    pub queues: Q,
    /// Time and nonces.
    pub clock: C,
}

/// Why a message is to come again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to read the event")]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a {0} message does not belong on this queue")]
    Misplaced(&'static str),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("failed to keep an early event")]
    Keep(#[from] CommitError),
    #[error(transparent)]
    OutOfTime(#[from] OutOfTime),
}

/// What a body says.
enum Body {
    Observed(Box<Observation>),
    Activate(RunId),
    Advance(RunId),
    Command(RunId, Box<Command<Order>>),
    Deadline(RunId),
    Drift(Note),
    Detected(TargetKey, String),
    Ignored,
}

/// An observation, with the position of the message that brought it.
#[derive(Clone)]
struct Arrived {
    message: usize,
    observation: Observation,
}

impl<L: Ledger + Listings, Q: Queues, C: Clock> Collect<L, Q, C> {
    /// Handles one SQS batch. `deadline` is when Lambda ends the invocation.
    ///
    /// # Errors
    /// The input is not an SQS batch, or the ledger could not be read at all.
    pub async fn handle(&self, input: &Value, deadline: Timestamp) -> Result<(BatchResponse, Report), DecodeError> {
        let batch = decode_batch(input)?;
        let mut report = Report::default();
        let mut failures: Vec<(usize, Failure)> = Vec::new();
        let mut observed = Vec::new();
        let mut looks: BTreeMap<RunId, drift::Seen> = BTreeMap::new();
        for (message, record) in batch.records.iter().enumerate() {
            match read(&record.body) {
                Ok(Body::Observed(observation)) => observed.push(Arrived { message, observation: *observation }),
                Ok(Body::Ignored) => report.count("ignored"),
                Ok(Body::Activate(run)) => {
                    match self.activate(&run).instrument(tracing::info_span!("activate", %run)).await {
                        Ok(what) => report.count(what),
                        Err(failure) => failures.push((message, failure)),
                    }
                }
                Ok(Body::Advance(run)) => {
                    match self.advance(&run).instrument(tracing::info_span!("advance", %run)).await {
                        Ok(what) => report.count(what),
                        Err(failure) => failures.push((message, failure)),
                    }
                }
                Ok(Body::Command(run, command)) => {
                    let span = tracing::info_span!("command", %run, who = %command.who, what = command.what.verb());
                    match self.command(&run, &command).instrument(span).await {
                        Ok(what) => report.count(what),
                        Err(failure) => failures.push((message, failure)),
                    }
                }
                Ok(Body::Deadline(run)) => {
                    match self.deadline_passed(&run).instrument(tracing::info_span!("deadline", %run)).await {
                        Ok(what) => report.count(what),
                        Err(failure) => failures.push((message, failure)),
                    }
                }
                Ok(Body::Drift(Note::Looked { check, look, seen })) => {
                    looks.entry(check).or_default().extend(seen.into_iter().map(|seen| (message, look, seen)));
                }
                Ok(Body::Drift(note)) => {
                    let span = tracing::info_span!("drift", check = %note.check(), note = note.name());
                    match Box::pin(self.drift(note)).instrument(span).await {
                        Ok(what) => report.count(what),
                        Err(failure) => failures.push((message, failure)),
                    }
                }
                Ok(Body::Detected(target, detection)) => match self.detected(&target, &detection).await {
                    Ok(what) => report.count(what),
                    Err(failure) => failures.push((message, failure)),
                },
                Err(failure) => failures.push((message, failure)),
            }
        }
        for (check, seen) in looks {
            let span = tracing::info_span!("looked", %check, targets = seen.len());
            let failed = match batch::has_time(&self.clock, deadline) {
                true => Box::pin(self.looked(&check, seen)).instrument(span).await,
                false => seen.into_iter().map(|(message, ..)| (message, OutOfTime.into())).collect(),
            };
            match failed.is_empty() {
                true => report.count("looked"),
                false => failures.extend(failed),
            }
        }
        self.fold(observed, deadline, &mut report, &mut failures).await;
        failures.sort_by_key(|(message, _)| *message);
        failures.dedup_by_key(|(message, _)| *message);
        for (message, failure) in failures {
            if let Some(record) = batch.records.get(message) {
                report.fail(&record.message_id, record.receive_count, &failure);
            }
        }
        let response = report.close("collect", batch.records.len());
        Ok((response, report))
    }

    async fn drift(&self, note: Note) -> Result<&'static str, Failure> {
        match note {
            Note::Settle { check } => self.settle(&check).await,
            Note::Order { check, command } => self.order(&check, &command).await,
            Note::Open { .. }
            | Note::Inspect { .. }
            | Note::Looked { .. }
            | Note::Tell { .. }
            | Note::Revert { .. } => Err(Failure::Misplaced(note.name())),
        }
    }

    /// Folds a batch's observations in, run by run.
    async fn fold(
        &self,
        observed: Vec<Arrived>,
        deadline: Timestamp,
        report: &mut Report,
        failures: &mut Vec<(usize, Failure)>,
    ) {
        let owners = match self.owners(&observed).await {
            Ok(owners) => owners,
            Err(error) => {
                let error = error.to_string();
                failures.extend(observed.iter().map(|told| {
                    let error = LedgerError::Unavailable(error.clone());
                    (told.message, Failure::Run(RunError::Ledger(error)))
                }));
                return;
            }
        };
        let mut by_run: BTreeMap<RunId, Vec<Arrived>> = BTreeMap::new();
        let mut orphans = Vec::new();
        for told in observed {
            match owners.get(&told.observation.execution_ref()) {
                Some(run) => by_run.entry(run.clone()).or_default().push(told),
                None => orphans.push(told),
            }
        }
        for (run, mut told) in by_run {
            // The event that names its run first: it tells whose execution the others are about.
            told.sort_by_key(|told| told.observation.session_run().is_none());
            for part in told.chunks(EVENTS_PER_COMMIT) {
                let span = tracing::info_span!("fold", %run);
                let folded = match batch::has_time(&self.clock, deadline) {
                    true => self.fold_run(&run, part, report).instrument(span).await,
                    false => Err(OutOfTime.into()),
                };
                if let Err(failure) = folded {
                    let text = Chain(&failure).to_string();
                    tracing::warn!(%run, error = text, "failed to fold events in");
                    failures.extend(part.iter().map(|told| (told.message, again(&failure, &run))));
                }
            }
        }
        for told in orphans {
            if let Err(failure) = self.keep(&told, report).await {
                failures.push((told.message, failure));
            }
        }
    }

    /// Which run each execution belongs to, as far as its link or a session in this batch tells.
    async fn owners(&self, observed: &[Arrived]) -> Result<BTreeMap<ExecutionRef, RunId>, LedgerError> {
        let mut keys: Vec<Key> = observed.iter().map(|told| Key::Link(told.observation.execution_ref())).collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let records = self.ledger.get(&keys).await?;
        let mut owners: BTreeMap<ExecutionRef, RunId> = observed
            .iter()
            .filter_map(|told| Some((told.observation.execution_ref(), told.observation.session_run()?)))
            .collect();
        for (key, record) in keys.into_iter().zip(records) {
            if let (Key::Link(execution), Some(owner)) = (key, runs::link_of(record).owner) {
                owners.insert(execution, owner.run);
            }
        }
        Ok(owners)
    }

    async fn fold_run(&self, run: &RunId, told: &[Arrived], report: &mut Report) -> Result<(), Failure> {
        let mut targets: Vec<TargetKey> = told.iter().map(|told| told.observation.target.clone()).collect();
        targets.sort();
        targets.dedup();
        let mut links: Vec<ExecutionRef> = told.iter().map(|told| told.observation.execution_ref()).collect();
        links.sort();
        links.dedup();
        let extra: Vec<Key> = links.iter().cloned().map(Key::Link).collect();
        let folded = runs::advance(&self.ledger, &self.clock, run, &targets, &extra, |loaded, now| {
            let known: BTreeMap<ExecutionRef, Link> =
                links.iter().cloned().zip(loaded.extra.into_iter().map(runs::link_of)).collect();
            let mut run = loaded.run;
            let mut answers = Vec::new();
            for told in told {
                let (next, answer) = run.step(Event::Observed(Box::new(told.observation.clone())), now);
                run = next;
                log(&told.observation, &answer);
                answers.push(answer);
            }
            let mut writes = Vec::new();
            for (execution, link) in known {
                // Only what this run recognised as its own gets a link to it.
                let own =
                    run.target(&execution.target).filter(|target| target.execution.as_ref() == Some(&execution.id));
                let Some(attempt) = own.map(|target| target.attempt).filter(|_| link.owner.is_none()) else { continue };
                for early in link.early {
                    (run, _) = run.step(Event::Observed(Box::new(early)), now);
                }
                let owner = Some(LinkOwner { run: run.head().run.clone(), attempt });
                let expires_at = run.head().opened_at.plus(RUN_RETENTION);
                let item = Item::Link(Link { owner, early: Vec::new() });
                writes.push(loaded.versions.write(Key::Link(execution), item, Some(expires_at)));
            }
            Stepped { run, answer: answers, writes }
        })
        .await;
        let folded = match folded {
            Ok(folded) => folded,
            Err(RunError::Unknown(_)) => {
                tracing::warn!(%run, events = told.len(), "events that name a run which does not exist");
                told.iter().for_each(|_| report.count("stray"));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        runs::perform(&self.queues, folded.effects).await.map_err(RunError::from)?;
        for answer in folded.answer {
            report.count(match answer {
                Told::Changed | Told::Claimed { .. } => "changed",
                Told::Duplicate
                | Told::Held { .. }
                | Told::Early { .. }
                | Told::Behind { .. }
                | Told::Decided(_)
                | Told::TooLate => "duplicate",
                Told::Stray(_) => "stray",
            });
        }
        Ok(())
    }

    /// Keeps an event of an execution that nobody knows: its worker may not have recorded it yet.
    async fn keep(&self, told: &Arrived, report: &mut Report) -> Result<(), Failure> {
        let observation = &told.observation;
        let key = Key::Link(observation.execution_ref());
        for _ in 0..TRIES {
            let record = self.ledger.get(std::slice::from_ref(&key)).await.map_err(RunError::from)?.pop().flatten();
            let mut versions = Versions::default();
            if let Some(record) = &record {
                versions.note(key.clone(), record.version);
            }
            let mut link = runs::link_of(record);
            if let Some(owner) = &link.owner {
                // Its worker was faster than this loop.
                return self.fold_run(&owner.run, std::slice::from_ref(told), report).await;
            }
            if link.early.contains(observation) || link.early.len() >= Link::MAX_EARLY {
                report.count("early");
                return Ok(());
            }
            link.early.push(observation.clone());
            let expires_at = Some(self.clock.now().plus(ORPHAN_RETENTION));
            let writes = vec![versions.write(key.clone(), Item::Link(link), expires_at)];
            match self.ledger.commit(Commit { writes, nonce: self.clock.nonce() }).await {
                Ok(()) => {
                    report.count("early");
                    return Ok(());
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error @ CommitError::Ledger(_)) => return Err(error.into()),
            }
        }
        Err(Failure::Keep(CommitError::Conflict { found: Vec::new() }))
    }

    async fn activate(&self, run: &RunId) -> Result<&'static str, Failure> {
        self.step(run, &[], Event::Activated).await
    }

    async fn advance(&self, run: &RunId) -> Result<&'static str, Failure> {
        self.step(run, &[], Event::Advanced).await
    }

    /// Carries an operator's command out, once: its record is written in the same commit.
    async fn command(&self, run: &RunId, command: &Command<Order>) -> Result<&'static str, Failure> {
        let record = [Key::Decision(run.clone(), command.at, command.id.to_string())];
        let commanded = runs::advance(&self.ledger, &self.clock, run, &[], &record, |loaded, now| {
            if loaded.extra.into_iter().flatten().next().is_some() {
                // Whoever carried it out may have died before it told what follows.
                return Stepped { run: loaded.run.commanded_again(), answer: Told::Duplicate, writes: Vec::new() };
            }
            let (run, told) = loaded.run.step(Event::Commanded(Box::new(command.clone())), now);
            Stepped { run, answer: told, writes: Vec::new() }
        })
        .await;
        let commanded = match commanded {
            Ok(commanded) => commanded,
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        tracing::info!(told = ?commanded.answer, "command");
        runs::perform(&self.queues, commanded.effects).await.map_err(RunError::from)?;
        Ok(match commanded.answer {
            Told::Decided(Answer::Done) => "commanded",
            Told::Decided(Answer::Refused { .. }) => "refused",
            Told::Changed
            | Told::Duplicate
            | Told::Claimed { .. }
            | Told::Held { .. }
            | Told::Early { .. }
            | Told::Behind { .. }
            | Told::TooLate
            | Told::Stray(_) => "duplicate",
        })
    }

    /// Gives up what has had its turn and did not answer.
    async fn deadline_passed(&self, run: &RunId) -> Result<&'static str, Failure> {
        let loaded = match runs::load(&self.ledger, run, &[], &[]).await {
            Ok(loaded) => loaded,
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        let head = loaded.run.head();
        if head.in_flight() == 0 || head.due_at().is_none_or(|due| self.clock.now() < due) {
            return self.step(run, &[], Event::DeadlinePassed { silent: Vec::new() }).await;
        }
        let known = self.ledger.targets(run).await.map_err(RunError::from)?;
        let ended: BTreeSet<u32> = known
            .iter()
            .filter(|target| match target.status() {
                Status::Ended(_) => true,
                Status::Waiting | Status::Queued | Status::Starting | Status::Running | Status::Stopping => false,
            })
            .map(|target| target.index)
            .collect();
        let plan = runs::plan(&self.ledger, run, head.size()).await?;
        let silent: Vec<PlannedTarget> = plan
            .into_iter()
            .filter(|planned| head.is_released(planned.index) && !ended.contains(&planned.index))
            .collect();
        let mut parts: Vec<Vec<PlannedTarget>> = silent.chunks(SILENT_PER_COMMIT).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let mut what = "duplicate";
        for part in parts {
            let keys: Vec<TargetKey> = part.iter().map(|planned| planned.key.clone()).collect();
            what = self.step(run, &keys, Event::DeadlinePassed { silent: part }).await?;
        }
        Ok(what)
    }

    async fn step(&self, run: &RunId, targets: &[TargetKey], event: Event) -> Result<&'static str, Failure> {
        let stepped = runs::advance(&self.ledger, &self.clock, run, targets, &[], |loaded, now| {
            let (run, told) = loaded.run.step(event.clone(), now);
            Stepped { run, answer: told, writes: Vec::new() }
        })
        .await;
        let stepped = match stepped {
            Ok(stepped) => stepped,
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        runs::perform(&self.queues, stepped.effects).await.map_err(RunError::from)?;
        Ok(match stepped.answer {
            Told::Changed | Told::Claimed { .. } => "changed",
            Told::Duplicate
            | Told::Held { .. }
            | Told::Early { .. }
            | Told::Behind { .. }
            | Told::Decided(_)
            | Told::TooLate => "duplicate",
            Told::Stray(_) => "stray",
        })
    }
}

/// An EventBridge envelope, or one of our own messages: they carry their schema.
fn read(body: &str) -> Result<Body, Failure> {
    if Message::is_ours(body) {
        return match Message::decode(body)?.payload {
            Payload::Activate { run } => Ok(Body::Activate(run)),
            Payload::Advance { run } => Ok(Body::Advance(run)),
            Payload::Command { run, command } => Ok(Body::Command(run, command)),
            Payload::Deadline { run } => Ok(Body::Deadline(run)),
            Payload::Start { .. } => Err(Failure::Misplaced("start")),
            Payload::Explain { .. } => Err(Failure::Misplaced("explain")),
            Payload::Ask { .. } => Err(Failure::Misplaced("ask")),
            Payload::Open { .. } => Err(Failure::Misplaced("open")),
            Payload::Notify { .. } => Err(Failure::Misplaced("notify")),
            Payload::Stop { .. } => Err(Failure::Misplaced("stop")),
            Payload::Alarms { .. } => Err(Failure::Misplaced("alarms")),
            Payload::Summarize { .. } => Err(Failure::Misplaced("summarize")),
            Payload::Drift(note) => Ok(Body::Drift(note)),
        };
    }
    let envelope = decode_event(body)?;
    if let Happened::Drift(told) = &envelope.event {
        let target = TargetKey { account: envelope.account, region: envelope.region };
        return Ok(match told.is_under_way {
            true => Body::Ignored,
            false => Body::Detected(target, told.detection.clone()),
        });
    }
    Ok(match Observation::of(&envelope) {
        Some(observation) => Body::Observed(Box::new(observation)),
        None => Body::Ignored,
    })
}

/// A run's failure, for each of its messages.
fn again(failure: &Failure, run: &RunId) -> Failure {
    match failure {
        Failure::OutOfTime(_) => Failure::OutOfTime(OutOfTime),
        Failure::Event(_) | Failure::Message(_) | Failure::Misplaced(_) | Failure::Run(_) | Failure::Keep(_) => {
            let reason = format!("run {run} was not changed: {}", Chain(failure));
            Failure::Run(RunError::Ledger(LedgerError::Unavailable(reason)))
        }
    }
}

fn log(observation: &Observation, told: &Told) {
    let Observation { target, execution, .. } = observation;
    let state = observation.state().map_or_else(|| "action failed".to_owned(), ToString::to_string);
    match told {
        Told::Stray(why) => tracing::warn!(%target, %execution, state, why, "stray event"),
        Told::Changed
        | Told::Duplicate
        | Told::Claimed { .. }
        | Told::Held { .. }
        | Told::Early { .. }
        | Told::Behind { .. }
        | Told::Decided(_)
        | Told::TooLate => {
            tracing::info!(%target, %execution, state, ?told, "event")
        }
    }
}
