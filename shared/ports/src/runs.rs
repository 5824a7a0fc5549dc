//! Load, step, commit: the one way in which a run changes.
//!
//! ```text
//! load head, queue, targets ──► Run::step, once or often ──► commit on the versions read ──► effects
//!        ▲                                                          │ another writer was first
//!        └──────────────────────────────────────────────────────────┘
//! ```
//!
//! Commit first, then send. A worker that dies in between loses nothing: the message that it worked on comes again,
//! changes nothing, and yields the same effects.

use std::collections::BTreeMap;

use manifold_core::ids::{RunId, TargetKey};
use manifold_core::known::Known;
use manifold_core::ledger::{Commit, Expect, Item, Key, Link, PlanChunk, Record, Versions, Write};
use manifold_core::message::Outgoing;
use manifold_core::plan::{PlannedTarget, chunk_of};
use manifold_core::run::posting::Posting;
use manifold_core::run::{AppQueue, Effect, Head, Run, Target};
use manifold_core::time::Timestamp;

use crate::batch;
use crate::clock::Clock;
use crate::ledger::{CommitError, Ledger, LedgerError};
use crate::queues::{Queues, SendError};

/// How often a step is tried again after another writer was first. Each try reads the winner's state, and each round
/// has a winner, so this many may write the head of one run at once: a role that is missing in every account refuses
/// every target in the same second. What does not go through comes back with its message, five times at most.
const TRIES: u32 = 100;

/// Why a run could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// Its plan has no such target.
    #[error("run {run} has no target with index {index}")]
    NoTarget {
        /// The run.
        run: RunId,
        /// The index asked for.
        index: u32,
    },
    /// Other writers were first, every time.
    #[error("run {run} is contended: gave up after {TRIES} tries")]
    Contended {
        /// The run.
        run: RunId,
    },
    /// The ledger did not do it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The change is committed, yet what follows from it could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// A run as it was read.
#[derive(Debug)]
pub struct Loaded {
    /// The run.
    pub run: Run,
    /// The items asked for besides, in that order.
    pub extra: Vec<Option<Record>>,
    /// What was read, in which version.
    pub versions: Versions,
}

fn unreadable(key: &Key) -> LedgerError {
    LedgerError::Unreadable {
        key: format!("{}/{}", key.partition(), key.sort()),
        reason: "it holds an item of another type".to_owned(),
    }
}

/// The head in a record.
///
/// # Errors
/// The record holds something else.
pub fn head_of(key: &Key, record: Record) -> Result<Head, LedgerError> {
    record.item.take().ok_or_else(|| unreadable(key))
}

/// The app's queue in a record, or an empty one.
///
/// # Errors
/// The record holds something else.
pub fn queue_of(key: &Key, record: Option<Record>) -> Result<AppQueue, LedgerError> {
    record.map_or_else(|| Ok(AppQueue::default()), |record| record.item.take().ok_or_else(|| unreadable(key)))
}

fn target_of(key: &Key, record: Record) -> Result<Target, LedgerError> {
    record.item.take().ok_or_else(|| unreadable(key))
}

fn known_of(key: &Key, record: Record) -> Result<Known, LedgerError> {
    record.item.take().ok_or_else(|| unreadable(key))
}

fn chunk_in(key: &Key, record: Record) -> Result<PlanChunk, LedgerError> {
    record.item.take().ok_or_else(|| unreadable(key))
}

/// Where a run's message stands, or that nobody has taken it up.
#[must_use]
pub fn posting_of(record: Option<Record>) -> Posting {
    // The key of a summary holds nothing else; were it so, the conditional write would replace it.
    record.and_then(|record| record.item.take()).unwrap_or_default()
}

/// The link in a record, or an empty one.
#[must_use]
pub fn link_of(record: Option<Record>) -> Link {
    // The key of a link holds nothing else; were it so, the conditional write would replace it.
    record.and_then(|record| record.item.take()).unwrap_or_default()
}

/// Reads a run's head, its app's queue, some of its targets, and other items besides, in one go.
///
/// # Errors
/// There is no such run, or the ledger did not answer.
pub async fn load(ledger: &impl Ledger, run: &RunId, targets: &[TargetKey], extra: &[Key]) -> Result<Loaded, RunError> {
    let mut keys = vec![Key::Head(run.clone()), Key::Queue(run.app())];
    keys.extend(targets.iter().map(|target| Key::Target(run.clone(), target.clone())));
    keys.extend(targets.iter().map(|target| Key::Known(run.app(), target.clone())));
    let own = keys.len();
    keys.extend(extra.iter().cloned());
    let mut records = ledger.get(&keys).await?;
    let mut versions = Versions::default();
    for (key, record) in keys.iter().zip(&records) {
        if let Some(record) = record {
            versions.note(key.clone(), record.version);
        }
    }
    let extra = records.split_off(own);
    let mut own = keys.into_iter().zip(records);
    let head = match own.next() {
        Some((key, Some(record))) => head_of(&key, record)?,
        Some((_, None)) | None => return Err(RunError::Unknown(run.clone())),
    };
    let queue = match own.next() {
        Some((key, record)) => queue_of(&key, record)?,
        None => AppQueue::default(),
    };
    let mut own = own.filter_map(|(key, record)| Some((key, record?)));
    let (mut targets, mut known) = (Vec::new(), Vec::new());
    own.try_for_each(|(key, record)| {
        match matches!(key, Key::Known(..)) {
            true => known.push(known_of(&key, record)?),
            false => targets.push(target_of(&key, record)?),
        }
        Ok::<(), LedgerError>(())
    })?;
    Ok(Loaded { run: Run::load(head, queue, targets).knowing(known), extra, versions })
}

/// What a step yields besides the run: an answer for the caller, and writes that belong to the same commit.
#[derive(Debug)]
pub struct Stepped<T> {
    /// The run after the step.
    pub run: Run,
    /// The caller's answer.
    pub answer: T,
    /// More writes for the same commit.
    pub writes: Vec<Write>,
}

/// What a committed change yields.
#[derive(Debug)]
#[must_use]
pub struct Advanced<T> {
    /// The caller's answer, from the try that went through.
    pub answer: T,
    /// What follows; hand it to [`perform`].
    pub effects: Vec<Effect>,
}

/// Changes a run: loads it, lets `step` take events in, and commits. When another writer was first, all of it is
/// done again on what that writer left.
///
/// # Errors
/// See [`RunError`]; nothing was changed then.
pub async fn advance<T>(
    ledger: &impl Ledger,
    clock: &impl Clock,
    run: &RunId,
    targets: &[TargetKey],
    extra: &[Key],
    mut step: impl FnMut(Loaded, Timestamp) -> Stepped<T> + Send,
) -> Result<Advanced<T>, RunError> {
    for _ in 0..TRIES {
        let loaded = load(ledger, run, targets, extra).await?;
        let versions = loaded.versions.clone();
        let opened_at = loaded.run.head().opened_at;
        let stepped = step(loaded, clock.now());
        let done = stepped.run.finish();
        let mut writes = versions.writes(run, opened_at, &done);
        writes.extend(stepped.writes);
        let advanced = Advanced { answer: stepped.answer, effects: done.effects };
        if writes.is_empty() {
            return Ok(advanced);
        }
        match ledger.commit(Commit { writes, nonce: clock.nonce() }).await {
            Ok(()) => {
                batch::figures(&run.app(), &done.figures);
                return Ok(advanced);
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Ledger(error)) => return Err(error.into()),
        }
    }
    Err(RunError::Contended { run: run.clone() })
}

/// Sends what follows from a committed change.
///
/// # Errors
/// A message was not accepted. The caller must not acknowledge what it works on: when that comes again, the same
/// effects are derived again.
pub async fn perform(queues: &impl Queues, effects: Vec<Effect>) -> Result<(), SendError> {
    if effects.is_empty() {
        return Ok(());
    }
    queues.send(effects.into_iter().map(Outgoing::from).collect()).await
}

/// One target of a run's plan.
///
/// # Errors
/// There is no such run or target, or the ledger did not answer.
pub async fn planned(ledger: &impl Ledger, run: &RunId, index: u32) -> Result<PlannedTarget, RunError> {
    let key = Key::Plan(run.clone(), chunk_of(index));
    let Some(Some(record)) = ledger.get(std::slice::from_ref(&key)).await?.pop() else {
        return Err(RunError::NoTarget { run: run.clone(), index });
    };
    chunk_in(&key, record)?
        .targets
        .into_iter()
        .find(|planned| planned.index == index)
        .ok_or_else(|| RunError::NoTarget { run: run.clone(), index })
}

/// A stretch of a run's plan, in order: from `first` to `end`, which is not in it.
///
/// # Errors
/// A part of it is missing, or the ledger did not answer.
pub async fn planned_between(
    ledger: &impl Ledger,
    run: &RunId,
    first: u32,
    end: u32,
) -> Result<Vec<PlannedTarget>, RunError> {
    let Some(last) = end.checked_sub(1).filter(|last| first <= *last) else { return Ok(Vec::new()) };
    let chunks = chunks(ledger, run, chunk_of(first)..=chunk_of(last)).await?;
    Ok(chunks.into_iter().filter(|planned| (first..end).contains(&planned.index)).collect())
}

/// What is stored of some targets of a run; those that were never claimed are left out.
///
/// # Errors
/// An item can't be read, or the ledger did not answer.
pub async fn targets(ledger: &impl Ledger, run: &RunId, keys: &[TargetKey]) -> Result<Vec<Target>, RunError> {
    let keys: Vec<Key> = keys.iter().map(|key| Key::Target(run.clone(), key.clone())).collect();
    let records = ledger.get(&keys).await?;
    let known = keys.iter().zip(records).filter_map(|(key, record)| Some(target_of(key, record?)));
    Ok(known.collect::<Result<_, LedgerError>>()?)
}

/// A run's whole plan, in order.
///
/// # Errors
/// A part of it is missing, or the ledger did not answer.
pub async fn plan(ledger: &impl Ledger, run: &RunId, size: u32) -> Result<Vec<PlannedTarget>, RunError> {
    planned_between(ledger, run, 0, size).await
}

async fn chunks(
    ledger: &impl Ledger,
    run: &RunId,
    chunks: std::ops::RangeInclusive<u32>,
) -> Result<Vec<PlannedTarget>, RunError> {
    let keys: Vec<Key> = chunks.map(|chunk| Key::Plan(run.clone(), chunk)).collect();
    let mut targets = Vec::new();
    for (key, record) in keys.iter().zip(ledger.get(&keys).await?) {
        let record = record.ok_or_else(|| LedgerError::Unreadable {
            key: format!("{}/{}", key.partition(), key.sort()),
            reason: "it is missing".to_owned(),
        })?;
        targets.extend(chunk_in(key, record)?.targets);
    }
    Ok(targets)
}

/// The writes that store a plan. Its content follows from the run, so writing it twice changes nothing.
#[must_use]
pub fn plan_writes(run: &RunId, plan: &[PlannedTarget], expires_at: Timestamp) -> Vec<Write> {
    let mut chunks: BTreeMap<u32, Vec<PlannedTarget>> = BTreeMap::new();
    for planned in plan {
        chunks.entry(chunk_of(planned.index)).or_default().push(planned.clone());
    }
    chunks
        .into_iter()
        .map(|(chunk, targets)| Write {
            key: Key::Plan(run.clone(), chunk),
            item: Item::Plan(PlanChunk { targets }),
            expect: Expect::Anything,
            expires_at: Some(expires_at),
        })
        .collect()
}
