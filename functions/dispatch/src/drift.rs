//! Opens drift checks: those whose turn came with a tick of the schedule, and those that an operator asks for.
//!
//! The schedule ticks more often than any app is checked. Which slot of an app a tick lies in follows from the time at which
//! it was due, and the check's id from the slot: so late, doubled and missing ticks open each check once, or a little
//! later.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use manifold_core::control::Command;
use manifold_core::drift::check::Tally;
use manifold_core::drift::{Ask, Cause, Check, Ignore, OpenCheck, Phase, slot};
use manifold_core::event::ScheduleTick;
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::ledger::{CHECK_RETENTION, Commit, Expect, Item, Key, Listing, Opening, Write};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::App;
use manifold_ports::clock::Clock;
use manifold_ports::jobs::Jobs;
use manifold_ports::ledger::{CommitError, Ledger, Listings};
use manifold_ports::queues::Queues;
use manifold_ports::releases::Releases;
use manifold_ports::runs;
use tracing::Instrument;

use crate::{APPS_AT_ONCE, Dispatch, Failure};

/// What a tick for drift checks is called in the schedule's input.
pub(crate) const KIND: &str = "drift-check";
/// So long after its end a rule is still reported as expired.
const EXPIRED_FOR: Span = Span::from_minutes(60 * 24 * 7);
/// The most rules of a check: its item has 400 KB at most.
const MOST_RULES: usize = 200;

impl<L: Ledger + Listings, Q: Queues, R: Releases + Jobs, C: Clock> Dispatch<L, Q, R, C> {
    /// Opens the checks whose turn has come. One read, if there are none.
    pub(crate) async fn tick(&self, tick: &ScheduleTick) -> Result<&'static str, Failure> {
        let at = tick.scheduled_time.unwrap_or_else(|| self.clock.now());
        let due: Vec<(&App, RunId, Cause)> = (self.fleet.apps())
            .filter_map(|app| {
                let every = app.drift().every?;
                let slot = slot(at, every);
                Some((app, RunId::of_check(app.name(), slot), Cause::Scheduled { slot, every }))
            })
            .collect();
        let keys: Vec<Key> = due.iter().map(|(_, run, _)| Key::Check(run.clone())).collect();
        if keys.is_empty() {
            return Ok("nothing to check");
        }
        let known = self.ledger.get(&keys).await?;
        let new = due.into_iter().zip(known).filter(|(_, known)| known.is_none());
        let openings: Vec<_> = new
            .map(|((app, run, cause), _)| {
                let span = tracing::info_span!("check", %run);
                async move { self.open_check(app, &run, cause, None).await }.instrument(span)
            })
            .collect();
        let opened: Vec<Result<bool, Failure>> = stream::iter(openings).buffered(APPS_AT_ONCE).collect().await;
        let mut what = Ok("nothing due");
        for opened in opened {
            match opened {
                Ok(opened) => what = what.map(|what| if opened { "checks" } else { what }),
                Err(failure) => what = what.and(Err(failure)),
            }
        }
        what
    }

    /// Opens the check that an operator asks for.
    pub(crate) async fn asked(&self, command: &Command<Ask>) -> Result<&'static str, Failure> {
        let app = self.app(&command.what.app)?;
        let only: BTreeSet<TargetKey> = command.what.targets.iter().cloned().collect();
        let cause = Cause::Asked { by: command.who.clone(), why: command.why.clone() };
        let opened = self.open_check(app, &command.check(), cause, Some(only).filter(|only| !only.is_empty())).await?;
        Ok(if opened { "checks" } else { "duplicate" })
    }

    /// Opens a check, unless it is open already, and has its targets looked at. Says whether it did.
    async fn open_check(
        &self,
        app: &App,
        run: &RunId,
        cause: Cause,
        only: Option<BTreeSet<TargetKey>>,
    ) -> Result<bool, Failure> {
        let plan = app.plan_check(only.as_ref());
        let Some(size) = u32::try_from(plan.len()).ok().filter(|size| *size > 0) else {
            return Err(Failure::Refused("it names no target of this app".to_owned()));
        };
        let now = self.clock.now();
        let drift = app.drift();
        let mut policy = drift.policy.clone();
        policy.ignore.extend(self.rules(app, now).await?);
        // The newest ones count: they are the last.
        policy.ignore.drain(..policy.ignore.len().saturating_sub(MOST_RULES));
        let check = Check {
            run: run.clone(),
            app: app.name().clone(),
            cause,
            opened_at: now,
            due_at: now.plus(drift.deadline),
            size,
            is_whole: only.is_none(),
            policy,
            channel: drift.channel.clone(),
            looked: 0,
            releases: Tally::default(),
            deployed: Tally::default(),
            definitions: Tally::default(),
            phase: Phase::Looking,
            again: None,
            overdue_at: None,
        };
        let expires_at = now.plus(CHECK_RETENTION);
        self.store_parts(runs::plan_writes(run, &plan, expires_at)).await?;
        let write = |key: Key, item: Item, expect: Expect| Write { key, item, expect, expires_at: Some(expires_at) };
        let open = OpenCheck::new(&check);
        let opening = Opening { run: run.clone(), at: now };
        let writes = vec![
            write(Key::Check(run.clone()), Item::Check(Box::new(check.clone())), Expect::Absent),
            write(Key::OpenCheck(run.clone()), Item::OpenCheck(open), Expect::Anything),
            write(Key::Checked(app.name().clone(), now, run.clone()), Item::Opening(opening), Expect::Anything),
        ];
        match self.ledger.commit(Commit { writes, nonce: self.clock.nonce() }).await {
            Ok(()) => {
                tracing::info!(targets = size, "drift check opened");
                self.queues.send(check.opening(&plan)).await?;
                Ok(true)
            }
            // Whoever opened it may have died before it sent: then the sweep has its targets looked at.
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error @ CommitError::Ledger(_)) => Err(error.into()),
        }
    }

    /// The rules that operators made, those that expired not long ago among them.
    async fn rules(&self, app: &App, now: Timestamp) -> Result<Vec<Ignore>, Failure> {
        let records = self.ledger.list(&Listing::Ignores(app.name().clone())).await?;
        let rules = records.into_iter().filter_map(|record| record.item.take::<Ignore>());
        Ok(rules.filter(|rule| now < rule.until.plus(EXPIRED_FOR)).collect())
    }
}
