//! Drift checks that are looked after: each is settled now and then until it has ended and is told, and its next one is
//! waited for.

use manifold_core::drift::{Check, Last, OpenCheck, Watch};
use manifold_core::ids::Nonce;
use manifold_core::ledger::{CHECK_RETENTION, Commit, Item, Key, Record, Versions};
use manifold_core::time::Timestamp;
use manifold_ports::batch;
use manifold_ports::clock::Clock;
use manifold_ports::ledger::{CommitError, Ledger, LedgerError, OpenRuns};
use manifold_ports::queues::Queues;
use manifold_ports::runs::{self, RunError};
use tracing::Instrument;

use crate::{RUNS_PER_READ, Sweep, Tick, failed};

/// A check as it is listed: with the version of its open item, and the mark of whoever wrote that.
type Listed = (OpenCheck, u64, Nonce);

/// Looks at the checks whose time has come, the longest unseen first.
pub(crate) async fn look_at_checks<L: Ledger, O: OpenRuns, Q: Queues, C: Clock>(
    sweep: &Sweep<L, O, Q, C>,
    mut checks: Vec<Listed>,
    deadline: Timestamp,
    tick: &mut Tick,
) {
    let now = sweep.clock.now();
    checks.retain(|(check, ..)| check.asleep_until <= now);
    checks.sort_by_key(|(check, ..)| check.asleep_until);
    for part in checks.chunks(RUNS_PER_READ) {
        if !batch::has_time(&sweep.clock, deadline) {
            return;
        }
        let keys = |(open, ..): &Listed| {
            let run = &open.check;
            [Key::Check(run.clone()), Key::Summary(run.clone()), Key::LastCheck(run.app())]
        };
        let records = match sweep.ledger.get(&part.iter().flat_map(keys).collect::<Vec<Key>>()).await {
            Ok(records) => records,
            Err(error) => {
                let error = RunError::from(error);
                part.iter().for_each(|(open, ..)| failed(&open.check, &error, tick));
                continue;
            }
        };
        let mut records = records.into_iter();
        for (open, version, nonce) in part {
            let records = [(); 3].map(|()| records.next().flatten());
            let span = tracing::info_span!("look", check = %open.check);
            if let Err(error) = look(sweep, open.clone(), *version, nonce, records, tick).instrument(span).await {
                failed(&open.check, &error, tick);
            }
        }
    }
}

async fn look<L: Ledger, O: OpenRuns, Q: Queues, C: Clock>(
    sweep: &Sweep<L, O, Q, C>,
    open: OpenCheck,
    version: u64,
    nonce: &Nonce,
    [check, posting, last]: [Option<Record>; 3],
    tick: &mut Tick,
) -> Result<(), RunError> {
    tick.looked_at += 1;
    let key = Key::OpenCheck(open.check.clone());
    let Some((check_version, check)) = check.map(|record| (record.version, record.item.take::<Check>())) else {
        tracing::warn!("an open check that does not exist is forgotten");
        tick.done += usize::from(sweep.open_runs.forget(&key, nonce).await?);
        return Ok(());
    };
    let Some(check) = check else {
        let reason = "its check is an item of another type".to_owned();
        return Err(LedgerError::Unreadable { key: key.sort(), reason }.into());
    };
    let posting = posting.map(|record| runs::posting_of(Some(record)));
    let last = last.and_then(|record| record.item.take::<Last>());
    match open.look(&check, check_version, posting.as_ref(), last.as_ref(), sweep.clock.now()) {
        Watch::Done { untold } => {
            if untold {
                tracing::error!("the check has ended, and its message could not be posted for a day: given up");
            }
            tick.done += usize::from(sweep.open_runs.forget(&key, nonce).await?);
            Ok(())
        }
        Watch::Open { open, messages } => {
            sweep.send(messages, tick).await?;
            let mut versions = Versions::default();
            versions.note(key.clone(), version);
            let write = versions.write(key, Item::OpenCheck(open), Some(check.opened_at.plus(CHECK_RETENTION)));
            match sweep.ledger.commit(Commit { writes: vec![write], nonce: sweep.clock.nonce() }).await {
                // Another sweep was faster.
                Ok(()) | Err(CommitError::Conflict { .. }) => Ok(()),
                Err(CommitError::Ledger(error)) => Err(error.into()),
            }
        }
    }
}
