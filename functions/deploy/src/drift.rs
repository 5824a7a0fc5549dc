//! What an operator wants of a stack that drifted: a change set that takes it back to its template, for them to execute.

use manifold_core::checkup::Tried;
use manifold_core::control::{Answer, Decision};
use manifold_core::drift::change_set_of;
use manifold_core::ids::{Nonce, RunId};
use manifold_core::ledger::{CHECK_RETENTION, Commit, Expect, Item, Key, Write};
use manifold_core::plan::PlannedTarget;
use manifold_core::time::Timestamp;
use manifold_ports::clock::Clock;
use manifold_ports::drift::{Prepared, Revert, ToRevert};
use manifold_ports::ledger::{CommitError, Ledger};
use manifold_ports::runs::{self, RunError};

use crate::{Deploy, Failure};

impl<L: Ledger, P, Q, E: Revert, C: Clock> Deploy<L, P, Q, E, C> {
    /// Prepares a change set, and records what came of it as a decision about the check. `at` is when the command was
    /// given: with its id it names the decision, so that a command that comes twice is recorded once.
    pub(crate) async fn revert(
        &self,
        check: &RunId,
        index: u32,
        stack: &str,
        command: &Nonce,
        at: Timestamp,
    ) -> Result<&'static str, Failure> {
        let planned = match runs::planned(&self.ledger, check, index).await {
            Ok(planned) => planned,
            Err(RunError::NoTarget { .. }) => return Ok("stray"),
            Err(error) => return Err(error.into()),
        };
        let id = change_set_of(command);
        let key = Key::Decision(check.clone(), at, id.clone());
        if self.ledger.get(std::slice::from_ref(&key)).await?.iter().any(Option::is_some) {
            return Ok("nothing to do");
        }
        let revert = ToRevert { check, planned: &planned, stack, command };
        let (what, answer) = self.prepare(revert).await?;
        tracing::info!(what, ?answer, "asked for a change set");
        let decision = Decision { answer, ..Decision::own(id, what, at) };
        let write = Write {
            key,
            item: Item::Decision(decision),
            expect: Expect::Absent,
            expires_at: Some(at.plus(CHECK_RETENTION)),
        };
        match self.ledger.commit(Commit { writes: vec![write], nonce: self.clock.nonce() }).await {
            Ok(()) => Ok("prepared"),
            // The message came twice, and the other one was faster.
            Err(CommitError::Conflict { .. }) => Ok("nothing to do"),
            Err(error) => Err(error.into()),
        }
    }

    /// What is recorded of the try. A service that did not answer is no answer: the message comes again.
    async fn prepare(&self, revert: ToRevert<'_>) -> Result<(String, Answer), Failure> {
        let ToRevert { planned, stack, .. } = revert;
        let PlannedTarget { account_name, key, .. } = planned;
        let of = format!("change set {} of stack {stack} in {account_name}/{}", revert.name(), key.region);
        // A message is a hint: only what the plan names is touched.
        if !planned.looks.as_ref().is_some_and(|looks| looks.stacks.iter().any(|known| known == stack)) {
            let because = format!("{stack} is none of the stacks that are checked there");
            return Ok((of, Answer::Refused { because }));
        }
        match self.engine.prepare(revert).await {
            Tried::Done(Prepared { link, .. }) => {
                let link = link.map(|link| format!(": {link}")).unwrap_or_default();
                Ok((format!("{of}{link}"), Answer::Done))
            }
            Tried::Refused { code, message } => {
                let because = if code.is_empty() { message } else { format!("{code}: {message}") };
                Ok((of, Answer::Refused { because }))
            }
            Tried::Unanswered { reason } => Err(Failure::Asked(reason)),
            Tried::NotTried => Err(Failure::Asked("it was not tried".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use futures::executor::block_on;
    use manifold_core::drift::{Aspect, Looks};
    use manifold_core::ids::TargetKey;
    use manifold_core::ledger::{PlanChunk, Record};
    use manifold_core::run::Target;
    use manifold_core::time::Span;
    use manifold_ports::ledger::LedgerError;

    use super::*;

    const LINK: &str = "https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stacks";

    /// A table, and an account that answers one way.
    struct Hub {
        records: Mutex<BTreeMap<Key, Item>>,
        answer: Tried<Prepared>,
        prepared: Mutex<Vec<String>>,
        /// Whether another worker writes the decision meanwhile.
        is_slower: bool,
    }

    impl Ledger for &Hub {
        async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, LedgerError> {
            let records = self.records.lock().unwrap();
            let record = |item: &Item| Record { version: 1, nonce: "n".parse().unwrap(), item: item.clone() };
            Ok(keys.iter().map(|key| records.get(key).map(record)).collect())
        }
        async fn targets(&self, _: &RunId) -> Result<Vec<Target>, LedgerError> {
            unreachable!("nobody asks for targets")
        }
        async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
            if self.is_slower {
                return Err(CommitError::Conflict { found: Vec::new() });
            }
            for write in commit.writes {
                assert_eq!(write.expect, Expect::Absent);
                assert_eq!(write.expires_at, Some(at().plus(CHECK_RETENTION)));
                assert_eq!(self.records.lock().unwrap().insert(write.key, write.item), None);
            }
            Ok(())
        }
    }

    impl Revert for &Hub {
        async fn prepare(&self, revert: ToRevert<'_>) -> Tried<Prepared> {
            self.prepared.lock().unwrap().push(format!("{} {}", revert.stack, revert.name()));
            self.answer.clone()
        }
    }

    impl Clock for &Hub {
        fn now(&self) -> Timestamp {
            at()
        }
        fn nonce(&self) -> Nonce {
            "n".parse().unwrap()
        }
    }

    fn at() -> Timestamp {
        Timestamp::from_millis(1_793_000_000_000)
    }

    fn check() -> RunId {
        "web-0f3a5b7c9d1e2f40".parse().unwrap()
    }

    fn planned() -> PlannedTarget {
        let looks = Looks {
            aspects: [Aspect::Stack].into(),
            deploy_stage: None,
            stacks: vec!["svc-infra".to_owned()],
            stuck_after: Span::from_minutes(60),
            variables: false,
            who: false,
        };
        PlannedTarget {
            index: 0,
            wave: 0,
            key: TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() },
            account_name: "prod".to_owned(),
            role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
            external_id: None,
            subject: "svc-deploy".parse().unwrap(),
            work: None,
            variables: BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            looks: Some(Box::new(looks)),
        }
    }

    fn hub(answer: Tried<Prepared>) -> Hub {
        let plan = (Key::Plan(check(), 0), Item::Plan(PlanChunk { targets: vec![planned()] }));
        Hub { records: Mutex::new([plan].into()), answer, prepared: Mutex::default(), is_slower: false }
    }

    fn done() -> Tried<Prepared> {
        Tried::Done(Prepared { name: "manifold-press-1".to_owned(), link: Some(LINK.to_owned()) })
    }

    fn revert(hub: &Hub, index: u32, stack: &str) -> Result<&'static str, Failure> {
        let deploy = Deploy { ledger: hub, paces: (), queues: (), engine: hub, clock: hub };
        block_on(deploy.revert(&check(), index, stack, &"press:1".parse().unwrap(), at()))
    }

    fn recorded(hub: &Hub) -> Option<Decision> {
        let key = Key::Decision(check(), at(), "press:1-change-set".to_owned());
        hub.records.lock().unwrap().get(&key).and_then(Item::get).cloned()
    }

    #[test]
    fn a_change_set_is_prepared_and_recorded_with_its_link_once() {
        let hub = hub(done());
        assert_eq!(revert(&hub, 0, "svc-infra").unwrap(), "prepared");
        let what = format!("change set manifold-press-1 of stack svc-infra in prod/eu-west-1: {LINK}");
        assert_eq!(recorded(&hub), Some(Decision::own("press:1-change-set", what, at())));
        assert_eq!(revert(&hub, 0, "svc-infra").unwrap(), "nothing to do");
        assert_eq!(*hub.prepared.lock().unwrap(), ["svc-infra manifold-press-1"]);
    }

    #[test]
    fn a_refusal_is_recorded_with_its_reason() {
        let refused = Tried::Refused { code: "ValidationError".to_owned(), message: "it is updated".to_owned() };
        let hub = hub(refused);
        assert_eq!(revert(&hub, 0, "svc-infra").unwrap(), "prepared");
        let because = "ValidationError: it is updated".to_owned();
        assert_eq!(recorded(&hub).unwrap().answer, Answer::Refused { because });
    }

    #[test]
    fn a_stack_that_the_plan_does_not_name_is_not_touched() {
        let hub = hub(done());
        assert_eq!(revert(&hub, 0, "payroll").unwrap(), "prepared");
        let because = "payroll is none of the stacks that are checked there".to_owned();
        assert_eq!(recorded(&hub).unwrap().answer, Answer::Refused { because });
        assert_eq!(*hub.prepared.lock().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_was_not_answered_comes_again_and_what_nobody_planned_is_stray() {
        let hub = hub(Tried::Unanswered { reason: "ThrottlingException".to_owned() });
        let failure = revert(&hub, 0, "svc-infra").unwrap_err();
        assert_eq!(failure.to_string(), "the engine could not be asked: ThrottlingException");
        assert_eq!(recorded(&hub), None);
        assert_eq!(revert(&hub, 7, "svc-infra").unwrap(), "stray");
    }

    #[test]
    fn of_two_workers_one_records_it() {
        let hub = Hub { is_slower: true, ..hub(done()) };
        assert_eq!(revert(&hub, 0, "svc-infra").unwrap(), "nothing to do");
    }
}
