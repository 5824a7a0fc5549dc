//! The looks of a drift check: one message, up to ten targets of one account.
//!
//! What was seen goes to `collect` as a message, and is not judged here. Only a definition is stored, under its digest: it
//! may be too long for a message, and its content follows from its key.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use manifold_core::checkup::Tried;
use manifold_core::drift::definition::{MOST_KEPT, Normal};
use manifold_core::drift::message::{Look, SeenAt, ToInspect};
use manifold_core::drift::{Check, Definition, Note, Sight};
use manifold_core::event::{BatchResponse, DecodeError, decode_batch};
use manifold_core::ids::{AppName, RunId};
use manifold_core::ledger::{Commit, Expect, Item, Key, Write};
use manifold_core::message::{Message, MessageError, Outgoing, Payload};
use manifold_core::plan::PlannedTarget;
use manifold_core::time::Timestamp;
use manifold_ports::batch::{self, OutOfTime, Report};
use manifold_ports::clock::Clock;
use manifold_ports::drift::{Asked, Seen, Watch};
use manifold_ports::ledger::{CommitError, Ledger, LedgerError};
use manifold_ports::queues::{Queues, SendError};
use manifold_ports::runs::{self, RunError};
use serde_json::Value;
use tracing::Instrument;

/// How many targets of a message are looked at at once: each makes a few calls of one account and its own Region.
const AT_ONCE: usize = 5;

/// The handler of the function's queue.
#[derive(Debug)]
pub struct Drift<L, Q, W, C> {
    /// Where the plan is read, and definitions are kept.
    pub ledger: L,
    /// Where what was seen goes.
    pub queues: Q,
    /// What sees.
    pub watch: W,
    /// Time and nonces.
    pub clock: C,
}

/// Why a message is to come again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a message of another function's does not belong on this queue")]
    Misplaced,
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("failed to keep a definition")]
    Keep(#[from] CommitError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    OutOfTime(#[from] OutOfTime),
}

impl<L: Ledger, Q: Queues, W: Watch, C: Clock> Drift<L, Q, W, C> {
    /// Handles one SQS batch. `deadline` is when Lambda ends the invocation; what it leaves no time for is unanswered.
    ///
    /// # Errors
    /// The input is not an SQS batch.
    pub async fn handle(&self, input: &Value, deadline: Timestamp) -> Result<BatchResponse, DecodeError> {
        let batch = decode_batch(input)?;
        let mut report = Report::default();
        for record in &batch.records {
            let done = match batch::has_time(&self.clock, deadline) {
                true => self.message(&record.body, deadline).await,
                false => Err(OutOfTime.into()),
            };
            match done {
                Ok(what) => report.count(what),
                Err(failure) => report.fail(&record.message_id, record.receive_count, &failure),
            }
        }
        Ok(report.close("inspect", batch.records.len()))
    }

    async fn message(&self, body: &str, deadline: Timestamp) -> Result<&'static str, Failure> {
        let Payload::Drift(Note::Inspect { check, look, targets }) = Message::decode(body)?.payload else {
            return Err(Failure::Misplaced);
        };
        let span = tracing::info_span!("inspect", %check, targets = targets.len());
        self.inspect(&check, look, &targets, deadline).instrument(span).await
    }

    async fn inspect(
        &self,
        run: &RunId,
        look: Look,
        targets: &[ToInspect],
        deadline: Timestamp,
    ) -> Result<&'static str, Failure> {
        let key = Key::Check(run.clone());
        let Some(record) = self.ledger.get(std::slice::from_ref(&key)).await?.pop().flatten() else {
            return Ok("stray");
        };
        match record.item.take::<Check>() {
            Some(check) if check.closed().is_none() => {}
            Some(_) => return Ok("over"),
            None => return Ok("stray"),
        }
        let planned = self.planned(run, targets).await?;
        let mut looks = Vec::with_capacity(targets.len());
        for target in targets {
            if let Some(planned) = planned.get(&target.index) {
                looks.push(self.look(run, look, target, planned, deadline));
            }
        }
        let seen: Vec<Option<(SeenAt, Option<Normal>)>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        let (seen, definitions): (Vec<SeenAt>, Vec<Option<Normal>>) = seen.into_iter().flatten().unzip();
        self.keep(&run.app(), definitions.into_iter().flatten()).await?;
        if seen.is_empty() {
            return Ok("nothing new");
        }
        let note = Note::Looked { check: run.clone(), look, seen };
        self.queues.send(vec![Outgoing::from(Payload::from(note))]).await?;
        Ok("looked")
    }

    async fn planned(&self, run: &RunId, targets: &[ToInspect]) -> Result<BTreeMap<u32, PlannedTarget>, Failure> {
        let indexes = targets.iter().map(|target| target.index);
        let (Some(first), Some(last)) = (indexes.clone().min(), indexes.max()) else { return Ok(BTreeMap::new()) };
        // One account's targets need not lie together; each chunk is read once.
        let mut planned = BTreeMap::new();
        let wanted = |index: u32| targets.iter().any(|target| target.index == index);
        let mut index = first;
        while index <= last {
            let end = (manifold_core::plan::chunk_of(index) + 1) * manifold_core::plan::TARGETS_PER_CHUNK;
            if (index..end).any(wanted) {
                let found = runs::planned_between(&self.ledger, run, index, end).await?;
                planned.extend(found.into_iter().filter(|found| wanted(found.index)).map(|found| (found.index, found)));
            }
            index = end;
        }
        Ok(planned)
    }

    async fn look(
        &self,
        check: &RunId,
        look: Look,
        target: &ToInspect,
        planned: &PlannedTarget,
        deadline: Timestamp,
    ) -> Option<(SeenAt, Option<Normal>)> {
        let looks = planned.looks.as_deref()?;
        let asked = Asked { check, planned, looks, look };
        let seen = match target.detections.is_empty() {
            true => self.watch.look(asked, deadline).await,
            false => {
                let stacks = self.watch.detected(asked, &target.detections, deadline).await;
                let mut sight = Sight::not_assumed(self.clock.now(), Tried::Done(()));
                sight.stacks = stacks;
                if !sight.stacks.is_empty() && sight.detections().count() == sight.stacks.len() {
                    // Nothing has ended. The event, or the sweep, asks again.
                    return None;
                }
                Seen { sight, definition: None }
            }
        };
        let Seen { sight, definition } = seen;
        let sight = Box::new(sight.bounded());
        tracing::info!(target = %planned.key, assumed = ?sight.assumed, "looked");
        Some((SeenAt { index: planned.index, key: planned.key.clone(), sight }, definition))
    }

    /// Keeps definitions, each once: those that are kept already are known by their digest.
    async fn keep(&self, app: &AppName, definitions: impl Iterator<Item = Normal>) -> Result<(), Failure> {
        let by_digest: BTreeMap<String, String> = definitions
            .filter(|definition| definition.text.len() <= MOST_KEPT)
            .map(|Normal { text, digest }| (digest, text))
            .collect();
        let keys: Vec<Key> = by_digest.keys().map(|digest| Key::Definition(app.clone(), digest.clone())).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let kept = self.ledger.get(&keys).await?;
        let new = keys.into_iter().zip(kept).zip(by_digest.into_values()).filter(|((_, kept), _)| kept.is_none());
        for ((key, _), text) in new {
            let item = Item::Definition(Definition { text });
            let writes = vec![Write { key, item, expect: Expect::Anything, expires_at: None }];
            self.ledger.commit(Commit { writes, nonce: self.clock.nonce() }).await?;
        }
        Ok(())
    }
}
