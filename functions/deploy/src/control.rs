//! What operators and policies want of targets that were started: to be stopped, and to have their alarms looked at.

use futures::future::join_all;
use futures::{StreamExt, stream};
use manifold_core::engine::Verb;
use manifold_core::ids::{RunId, TargetKey};
use manifold_core::message::{MOST_ASKED, Outgoing, Payload};
use manifold_core::pace::{Api, Turn};
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{AlarmsSeen, Closing, Ending, Event, Head, Refusal, Status, Target};
use manifold_core::time::Timestamp;
use manifold_ports::clock::Clock;
use manifold_ports::engine::{Engine, Order};
use manifold_ports::ledger::Ledger;
use manifold_ports::pace::{Known, Paces};
use manifold_ports::queues::Queues;
use manifold_ports::runs::{self, RunError, Stepped};

use crate::{Deploy, Failure};

/// How many targets' alarms one invocation looks at: a minute's worth, if each call takes two seconds.
const ALARMS_AT_A_TIME: u32 = 200;
/// How many of them at once.
const AT_ONCE: usize = 16;

impl<L: Ledger, P: Paces, Q: Queues, E: Engine, C: Clock> Deploy<L, P, Q, E, C> {
    /// Stops what runs of some targets; without targets, has all of them stopped, a few at a time. A target that could not be
    /// stopped is left to the sweep, which comes back as long as it runs.
    pub(crate) async fn stop(
        &self,
        run: &RunId,
        keys: &[TargetKey],
        held: Option<Turn>,
    ) -> Result<&'static str, Failure> {
        let head = match runs::load(&self.ledger, run, &[], &[]).await {
            Ok(loaded) => loaded.run.head().clone(),
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        let Some(reason) = reason_to_stop(&head) else { return Ok("nothing to do") };
        if keys.is_empty() {
            let targets = self.ledger.targets(run).await.map_err(RunError::from)?;
            let running: Vec<TargetKey> =
                targets.iter().filter(|target| runs_now(target)).map(|t| t.key.clone()).collect();
            let messages = running
                .chunks(MOST_ASKED)
                .map(|part| Outgoing::from(Payload::Stop { run: run.clone(), targets: part.to_vec(), turn: None }));
            self.queues.send(messages.collect()).await.map_err(RunError::from)?;
            return Ok("told to stop");
        }
        let targets = runs::targets(&self.ledger, run, keys).await?;
        let running = targets.iter().filter(|target| runs_now(target));
        for done in join_all(running.map(|target| self.stop_one(run, target, &reason, held))).await {
            done?;
        }
        Ok("stopped")
    }

    async fn stop_one(&self, run: &RunId, target: &Target, reason: &str, held: Option<Turn>) -> Result<(), Failure> {
        let Some(execution) = &target.execution else { return Ok(()) };
        let planned = runs::planned(&self.ledger, run, target.index).await?;
        let order = Order { run, planned: &planned, attempt: target.attempt };
        let engine = planned.subject.service();
        let known = Known::read(&self.ledger, &target.key, engine).await.map_err(RunError::from)?;
        let stop = self.engine.stop(order, execution, reason);
        let entered = self.engine.is_entered(order);
        match self.paced(&target.key, &known, held).call(engine.api(Verb::Stop), entered, stop).await? {
            Ok(()) => tracing::info!(target = %target.key, %execution, "told to stop"),
            Err(Refusal::Wait { turn, .. }) if held.is_none() => {
                let targets = vec![target.key.clone()];
                self.later(turn, Payload::Stop { run: run.clone(), targets, turn: Some(turn) }).await?;
            }
            Err(refusal) => tracing::warn!(target = %target.key, %execution, ?refusal, "not stopped"),
        }
        Ok(())
    }

    /// Looks at the alarms that a wave's bake names, a part of its targets at a time.
    pub(crate) async fn alarms(
        &self,
        run: &RunId,
        wave: u32,
        began: Timestamp,
        from: u32,
    ) -> Result<&'static str, Failure> {
        let head = match runs::load(&self.ledger, run, &[], &[]).await {
            Ok(loaded) => loaded.run.head().clone(),
            Err(RunError::Unknown(_)) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        let Some((_, baking)) = head.baking().filter(|(baking, _)| *baking == wave) else { return Ok("nothing to do") };
        let names = baking.plan.bake.as_ref().map(|bake| bake.alarms.clone()).unwrap_or_default();
        let (first, end) = (from.max(baking.plan.first), baking.plan.first.saturating_add(baking.plan.size));
        let until = end.min(first.saturating_add(ALARMS_AT_A_TIME));
        let planned = runs::planned_between(&self.ledger, run, first, until).await?;
        let looks: Vec<_> = planned.iter().map(|planned| self.alarms_of(run, planned, &names)).collect();
        let looks: Vec<Result<AlarmsSeen, Failure>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        let mut seen = AlarmsSeen::Clear;
        for look in looks {
            // One that fires goes before one that nobody could see.
            match (look?, &seen) {
                (firing @ AlarmsSeen::Firing { .. }, _) => {
                    seen = firing;
                    break;
                }
                (unknown @ AlarmsSeen::Unknown { .. }, AlarmsSeen::Clear) => seen = unknown,
                (AlarmsSeen::Clear | AlarmsSeen::Unknown { .. }, _) => {}
            }
        }
        if seen == AlarmsSeen::Clear && until < end {
            let next = Payload::Alarms { run: run.clone(), wave, began, from: until };
            self.queues.send(vec![Outgoing::from(next)]).await.map_err(RunError::from)?;
            return Ok("looked");
        }
        tracing::info!(?seen, "alarms");
        let told = runs::advance(&self.ledger, &self.clock, run, &[], &[], |loaded, now| {
            let (run, told) = loaded.run.step(Event::Alarms { wave, began, seen: seen.clone() }, now);
            Stepped { run, answer: told, writes: Vec::new() }
        })
        .await?;
        runs::perform(&self.queues, told.effects).await.map_err(RunError::from)?;
        Ok("looked")
    }

    async fn alarms_of(&self, run: &RunId, planned: &PlannedTarget, names: &[String]) -> Result<AlarmsSeen, Failure> {
        let order = Order { run, planned, attempt: manifold_core::ids::Attempt::FIRST };
        let known = Known::read(&self.ledger, &planned.key, planned.subject.service()).await.map_err(RunError::from)?;
        let look = self.engine.alarms(order, names);
        let entered = self.engine.is_entered(order);
        let unknown = |why: String| AlarmsSeen::Unknown {
            reason: format!("{}/{}: {why}", planned.account_name, planned.key.region),
        };
        Ok(match self.paced(&planned.key, &known, None).call(Api::DescribeAlarms, entered, look).await? {
            Ok(states) => match states.iter().find(|state| state.is_firing) {
                Some(firing) => AlarmsSeen::Firing { target: planned.key.clone(), alarm: firing.name.clone() },
                None => match names.iter().find(|name| states.iter().all(|state| state.name != **name)) {
                    Some(missing) => unknown(format!("there is no alarm {missing}")),
                    None => AlarmsSeen::Clear,
                },
            },
            Err(Refusal::Wait { turn, .. }) => unknown(format!("CloudWatch limits calls; next at {}", turn.at)),
            Err(
                Refusal::Permanent { reason, .. }
                | Refusal::Busy { reason }
                | Refusal::Preparing { reason, .. }
                | Refusal::Later { reason }
                | Refusal::Throttled { reason, .. },
            ) => unknown(reason.cause),
        })
    }
}

/// What the people in the target account read, if the run's executions are to be stopped.
fn reason_to_stop(head: &Head) -> Option<String> {
    match &head.ending {
        Some(Ending { because: Closing::Aborted { by, stop: true }, .. }) if head.verdict().is_none() => {
            // "reason: up to 200 characters" (`StopPipelineExecution`).
            Some(format!("Manifold run {} was aborted by {}", head.run, by.who.short()).chars().take(200).collect())
        }
        Some(_) | None => None,
    }
}

fn runs_now(target: &Target) -> bool {
    match target.status() {
        Status::Running | Status::Starting | Status::Stopping => target.execution.is_some(),
        Status::Waiting | Status::Queued | Status::Ended(_) => false,
    }
}
