//! `sweep`: the reconciler. On every tick of its schedule it looks at the open runs and sends again what was lost.
//!
//! ```text
//!  open runs, the longest unseen first ──► look at each as a whole ──► pages of targets, a page of each run in turn
//!                                              │ nothing left to do        until all is seen, or the tick's limits
//!                                              └ forgotten                 └ the rest at the next tick
//! ```
//!
//! It calls no engine, writes no outcome and talks to nobody but through the queues: what it finds is done by the
//! function that does it when nothing is lost. Messages are sent before it notes that it looked, so a sweep that dies
//! says things twice rather than never; and two sweeps at once say them twice, which changes nothing.

mod drift;

use std::collections::VecDeque;

use manifold_core::checkup::{Answer, Misunderstood, Question};
use manifold_core::ids::{Nonce, TargetKey};
use manifold_core::ledger::{Commit, Item, Key, RUN_RETENTION, Record, Versions};
use manifold_core::message::Outgoing;
use manifold_core::run::Head;
use manifold_core::run::sweep::{Look, OpenRun, View};
use manifold_core::time::Timestamp;
use manifold_ports::batch::{self, Chain};
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, OpenRuns};
use manifold_ports::queues::Queues;
use manifold_ports::runs::{self, RunError};
use serde::Serialize;
use tracing::Instrument;

/// How many runs one tick looks at, at most. The others come first at the next one.
pub const MOST_RUNS: usize = 500;
/// After how many targets one tick begins no other page of them. What was not looked at comes first at the next one.
pub const MOST_TARGETS: usize = 10_000;
/// How many runs are read with one call: three items of each, and DynamoDB reads 100 (`BatchGetItem`).
const RUNS_PER_READ: usize = 33;

/// The function's handler over its ports.
#[derive(Debug)]
pub struct Sweep<L, O, Q, C> {
    /// Where the facts are.
    pub ledger: L,
    /// Which runs are open.
    pub open_runs: O,
    /// Where what is to be done goes.
    pub queues: Q,
    /// Time and nonces.
    pub clock: C,
}

/// What one tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tick {
    /// How many runs are open.
    pub open: usize,
    /// How many of them it looked at.
    pub looked_at: usize,
    /// How many targets it looked at.
    pub targets: usize,
    /// How many messages it sent.
    pub sent: usize,
    /// How many runs are done with.
    pub done: usize,
    /// How many runs could not be looked at. They come first at the next tick.
    pub failed: usize,
}

/// A run as it is listed: with the version of its open item, and the mark of whoever wrote that.
type Listed = (OpenRun, u64, Nonce);

/// A run that is being looked at.
struct Watched {
    head: Head,
    open: OpenRun,
    /// The version of the open item.
    version: u64,
}

impl<L, O, Q, C> Sweep<L, O, Q, C> {
    /// Answers a checkup: not at all, as what this function needs is looked at by others. But a question is no tick.
    ///
    /// # Errors
    /// The question is another function's.
    pub fn checkup(&self, question: &Question) -> Result<Answer, Misunderstood> {
        match question {
            Question::Fleet
            | Question::Access(_)
            | Question::Preview(_)
            | Question::Discard(_)
            | Question::Inspect(_)
            | Question::Slack(_) => Err(Misunderstood::Misplaced { function: "sweep" }),
        }
    }
}

impl<L: Ledger, O: OpenRuns, Q: Queues, C: Clock> Sweep<L, O, Q, C> {
    /// Looks at the open runs, as far as time and the limits of a tick go. `deadline` is when Lambda ends the
    /// invocation.
    ///
    /// # Errors
    /// The open runs can't be listed. What goes wrong with one run is logged and counted, and keeps none of the others.
    pub async fn tick(&self, deadline: Timestamp) -> Result<Tick, LedgerError> {
        let mut tick = Tick::default();
        let (mut open, mut checks) = (Vec::new(), Vec::new());
        let listed = self.open_runs.open_runs().await?;
        tick.open = listed.len();
        for record in listed {
            match record {
                Ok(Record { version, nonce, item: Item::Open(run) }) => open.push((run, version, nonce)),
                Ok(Record { version, nonce, item: Item::OpenCheck(check) }) => checks.push((check, version, nonce)),
                Ok(Record { item, .. }) => {
                    tick.failed += 1;
                    tracing::warn!(?item, "an item among the open runs is none");
                }
                Err(error) => {
                    tick.failed += 1;
                    tracing::warn!(error = %Chain(&error), "failed to read an open run");
                }
            }
        }
        drift::look_at_checks(self, checks, deadline, &mut tick).await;
        open.sort_by_key(|(run, ..)| run.looked_at);
        open.truncate(MOST_RUNS);
        let mut watched = self.look_at_runs(&open, deadline, &mut tick).await;
        // The pass that waits longest goes first: were it the order of the runs, the last of many would never be reached.
        watched.sort_by_key(|each| each.open.pass.map(|pass| pass.began));
        self.look_at_targets(watched.into(), deadline, &mut tick).await;
        let Tick { open, looked_at, targets, sent, done, failed } = tick;
        tracing::info!(function = "sweep", open, looked_at, targets, sent, done, failed, "tick done");
        Ok(tick)
    }

    /// Looks at runs as a whole. Returns those that go on.
    async fn look_at_runs(&self, open: &[Listed], deadline: Timestamp, tick: &mut Tick) -> Vec<Watched> {
        let mut watched = Vec::new();
        let mut parts: VecDeque<&[Listed]> = open.chunks(RUNS_PER_READ).collect();
        while let Some(runs) = parts.pop_front().filter(|_| batch::has_time(&self.clock, deadline)) {
            let mut records = match self.read(runs).await {
                Ok(records) => records.into_iter(),
                Err(LedgerError::Unreadable { .. }) if runs.len() > 1 => {
                    // An item of one of them. Each by itself, so that it keeps none of the others.
                    runs.chunks(1).rev().for_each(|run| parts.push_front(run));
                    continue;
                }
                Err(error) => {
                    let error = RunError::from(error);
                    runs.iter().for_each(|(open, ..)| failed(&open.run, &error, tick));
                    continue;
                }
            };
            for (open, version, nonce) in runs {
                let records = [(); 3].map(|()| records.next().flatten());
                let span = tracing::info_span!("look", run = %open.run);
                match self.look_at_run(open.clone(), *version, nonce, records, tick).instrument(span).await {
                    Ok(goes_on) => watched.extend(goes_on),
                    Err(error) => failed(&open.run, &error, tick),
                }
            }
        }
        watched
    }

    /// Head, queue and summary of each run, one after the other.
    async fn read(&self, runs: &[Listed]) -> Result<Vec<Option<Record>>, LedgerError> {
        let keys = |(open, ..): &Listed| {
            [Key::Head(open.run.clone()), Key::Queue(open.run.app()), Key::Summary(open.run.clone())]
        };
        self.ledger.get(&runs.iter().flat_map(keys).collect::<Vec<Key>>()).await
    }

    async fn look_at_run(
        &self,
        open: OpenRun,
        version: u64,
        nonce: &Nonce,
        [head, queue, posting]: [Option<Record>; 3],
        tick: &mut Tick,
    ) -> Result<Option<Watched>, RunError> {
        tick.looked_at += 1;
        let run = open.run.clone();
        let Some(head) = head else {
            // Item and head are written together, so that only a table that was tampered with is like this.
            tracing::warn!("an open run without a head is forgotten");
            tick.done += usize::from(self.open_runs.forget(&Key::Open(run), nonce).await?);
            return Ok(None);
        };
        let head_version = head.version;
        let head = runs::head_of(&Key::Head(run.clone()), head)?;
        let queue = runs::queue_of(&Key::Queue(run.app()), queue)?;
        let posting = posting.map(|record| runs::posting_of(Some(record)));
        let view = View { head: &head, version: head_version, queue: &queue, posting: posting.as_ref() };
        match open.look(view, self.clock.now()) {
            Look::Done { untold } => {
                if untold {
                    tracing::error!("the verdict stands, and its summary could not be posted for a day: given up");
                }
                tick.done += usize::from(self.open_runs.forget(&Key::Open(run), nonce).await?);
                Ok(None)
            }
            Look::Open { open, messages } => {
                self.send(messages, tick).await?;
                Ok(Some(Watched { head, open, version }))
            }
        }
    }

    /// Looks at targets, a page of each run in turn, and notes how far it came.
    async fn look_at_targets(&self, mut watched: VecDeque<Watched>, deadline: Timestamp, tick: &mut Tick) {
        while let Some(mut each) = watched.pop_front() {
            let run = each.open.run.clone();
            let page = each.open.next_page(&each.head);
            let looked = match page.filter(|_| tick.targets < MOST_TARGETS && batch::has_time(&self.clock, deadline)) {
                Some((first, end)) => {
                    let span = tracing::info_span!("targets", %run, first, end);
                    let looked = self.look_at_page(&mut each, first, end, tick).instrument(span).await;
                    looked.map(|()| watched.push_back(each))
                }
                None => self.note(each).await,
            };
            if let Err(error) = looked {
                failed(&run, &error, tick);
            }
        }
    }

    async fn look_at_page(&self, each: &mut Watched, first: u32, end: u32, tick: &mut Tick) -> Result<(), RunError> {
        let run = &each.head.run;
        let planned = runs::planned_between(&self.ledger, run, first, end).await?;
        let keys: Vec<TargetKey> = planned.iter().map(|planned| planned.key.clone()).collect();
        let targets = runs::targets(&self.ledger, run, &keys).await?;
        tick.targets += planned.len();
        let messages = each.open.look_at(&each.head, end, &planned, &targets);
        self.send(messages, tick).await
    }

    /// Stores how far the look at a run came.
    async fn note(&self, each: Watched) -> Result<(), RunError> {
        let Watched { head, open, version } = each;
        let key = Key::Open(head.run.clone());
        let mut versions = Versions::default();
        versions.note(key.clone(), version);
        let item = Item::Open(open.looked(&head));
        let write = versions.write(key, item, Some(head.opened_at.plus(RUN_RETENTION)));
        match self.ledger.commit(Commit { writes: vec![write], nonce: self.clock.nonce() }).await {
            // Another sweep was faster, or the run was opened again.
            Ok(()) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Ledger(error)) => Err(error.into()),
        }
    }

    async fn send(&self, messages: Vec<Outgoing>, tick: &mut Tick) -> Result<(), RunError> {
        if messages.is_empty() {
            return Ok(());
        }
        tick.sent += messages.len();
        for Outgoing { payload, .. } in &messages {
            tracing::info!(?payload, "overdue");
        }
        Ok(self.queues.send(messages).await?)
    }
}

fn failed(run: &manifold_core::ids::RunId, error: &RunError, tick: &mut Tick) {
    tick.failed += 1;
    tracing::warn!(%run, error = %Chain(error), "failed to look at an open run");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkups_question_is_refused_and_is_no_tick() {
        let sweep = Sweep { ledger: (), open_runs: (), queues: (), clock: () };
        assert_eq!(sweep.checkup(&Question::Fleet), Err(Misunderstood::Misplaced { function: "sweep" }));
    }
}
