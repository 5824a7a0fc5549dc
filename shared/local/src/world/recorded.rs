//! A world in which targets do what was recorded of them: how a run is played again.

use std::collections::BTreeMap;

use manifold_core::engine::Verb;
use manifold_core::event::PipelineState;
use manifold_core::ids::{Attempt, ExecutionId, RunId, TargetKey};
use manifold_core::ledger::{Key, Versions, Write};
use manifold_core::message::{Message, Outgoing};
use manifold_core::pace::Turn;
use manifold_core::plan::{Plan, PlannedTarget};
use manifold_core::run::{
    AppQueue, Event, Head, Heard, HeardOf, Learnt, Outcome, Reason, Refusal, Run, Step, Target, Wanted,
};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_ports::engine::{Order, Start};
use manifold_ports::runs;

use super::{Due, Execution, Inbox, Inner, Letter, World, reason};
use crate::envelope::Source;

/// So long a worker waits for its engine's answer; for a later one its attempt waits in the queue.
const LONGEST_ANSWER: Span = Span::from_seconds(10);

/// What an engine answered to one attempt.
#[derive(Debug, Clone)]
struct Answer {
    at: Timestamp,
    what: Result<Start, Refusal>,
}

/// What was recorded of one target.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    answers: BTreeMap<Attempt, Answer>,
    heard: Vec<Heard>,
    reasons: BTreeMap<ExecutionId, Reason>,
    /// Its alarms could not be looked at.
    pub(crate) unlooked: bool,
}

impl Script {
    /// What a target's record tells; `began` is when its run did.
    pub(crate) fn of(target: &Target, began: Timestamp) -> Self {
        let (mut answers, mut reasons) = (BTreeMap::new(), BTreeMap::new());
        for past in &target.past {
            let Some(id) = past.execution.clone() else { continue };
            reasons.extend(past.reason.clone().map(|reason| (id.clone(), reason)));
            let first = target.heard.iter().filter(|heard| heard.execution == id).map(|heard| heard.at).min();
            answers.insert(past.attempt, Answer { at: first.unwrap_or(began), what: Ok(Start::Begun(id)) });
        }
        let unknown = || reason("Not started".to_owned(), "Nothing is recorded of why");
        let why = || target.reason.clone().unwrap_or_else(unknown);
        let answer = match (&target.execution, target.gave_up) {
            (Some(id), _) => {
                reasons.extend(target.reason.clone().map(|reason| (id.clone(), reason)));
                let start = if target.already { Start::Current(id.clone()) } else { Start::Begun(id.clone()) };
                Some(Answer { at: target.started_at.unwrap_or(began), what: Ok(start) })
            }
            (None, Some(gave_up)) if gave_up.outcome == Outcome::TimedOut => {
                Some(Answer { at: began, what: Err(Refusal::Busy { reason: why() }) })
            }
            (None, Some(gave_up)) => {
                let refusal = Refusal::Permanent { outcome: gave_up.outcome, reason: why() };
                Some(Answer { at: gave_up.at, what: Err(refusal) })
            }
            (None, None) => None,
        };
        answers.extend(answer.map(|answer| (target.attempt, answer)));
        Self { answers, heard: target.heard.clone(), reasons, unlooked: false }
    }

    /// What is answered to an attempt of which nothing is recorded: that alone is a difference.
    fn unheard_of() -> Answer {
        let reason = reason("Not started in the record".to_owned(), "Nothing is recorded of this attempt");
        Answer {
            at: Timestamp::from_millis(0),
            what: Err(Refusal::Permanent { outcome: Outcome::Unreachable, reason }),
        }
    }
}

impl World {
    /// From now on targets do what was recorded of them, and calls take no time that is worth mentioning.
    pub(crate) fn follow(&self, scripts: BTreeMap<TargetKey, Script>) {
        self.lock().recorded = Some(scripts);
    }

    /// Whether targets do what was recorded of them.
    pub(super) fn is_recorded(&self) -> bool {
        self.lock().recorded.is_some()
    }

    /// What the engine answered to an attempt, not before it did; nothing if nothing is recorded in this world.
    pub(super) async fn recorded_start(&self, order: Order<'_>) -> Option<Result<Start, Refusal>> {
        let (answer, now) = {
            let inner = self.lock();
            let script = inner.recorded.as_ref()?.get(&order.planned.key);
            let known = script.and_then(|script| script.answers.get(&order.attempt)).cloned();
            (known.unwrap_or_else(Script::unheard_of), inner.now)
        };
        if answer.at.since(now) > LONGEST_ANSWER {
            let at = Timestamp::from_millis(answer.at.as_millis().saturating_sub(LONGEST_ANSWER.as_millis()));
            let turn = Turn { api: order.planned.subject.service().api(Verb::Start), at, cuts: 0 };
            return Some(Err(Refusal::Wait { turn, throttled: None }));
        }
        self.wait_until(answer.at).await;
        if let Ok(Start::Begun(id)) = &answer.what {
            self.lock().begin_recorded(order, id);
        }
        Some(answer.what)
    }

    /// Why an execution failed, as it was recorded.
    pub(super) fn recorded_reason(&self, target: &TargetKey, execution: &ExecutionId) -> Option<Reason> {
        self.lock().recorded.as_ref()?.get(target)?.reasons.get(execution).cloned()
    }

    /// Whether a target's alarms could not be looked at.
    pub(super) fn is_unlooked(&self, target: &TargetKey) -> bool {
        self.lock().recorded.as_ref().and_then(|scripts| scripts.get(target)).is_some_and(|script| script.unlooked)
    }

    /// Opens a run with a plan that was made before.
    pub(crate) fn open_planned(&self, run: &RunId, wanted: Wanted<'_>, plan: &Plan) -> Result<(), serde_json::Error> {
        let now = self.time();
        let step = Run::open(wanted, AppQueue::default(), now).run.finish();
        let writes = runs::plan_writes(run, &plan.targets, now);
        self.keep(run, now, writes, &Versions::default(), step)
    }

    /// Has something happen to a run that concerns no target of it. There must be such a run.
    pub(crate) fn happens(&self, head: Head, event: Event) -> Result<(), serde_json::Error> {
        let (run, now) = (head.run.clone(), self.time());
        let opened_at = head.opened_at;
        let mut versions = Versions::default();
        for key in [Key::Head(run.clone()), Key::Queue(run.app())] {
            if let Some(record) = self.record(&key) {
                versions.note(key, record.version);
            }
        }
        let queue = self.record(&Key::Queue(run.app())).and_then(|record| record.item.take()).unwrap_or_default();
        let (stepped, _) = Run::load(head, queue, []).step(event, now);
        self.keep(&run, opened_at, Vec::new(), &versions, stepped.finish())
    }

    fn keep(
        &self,
        run: &RunId,
        opened_at: Timestamp,
        mut writes: Vec<Write>,
        versions: &Versions,
        step: Step,
    ) -> Result<(), serde_json::Error> {
        let nonce = self.nonce();
        writes.extend(versions.writes(run, opened_at, &step));
        let mut inner = self.lock();
        for Write { key, item, expect, .. } in writes {
            inner.store(key, item, expect, nonce.clone());
        }
        for message in step.effects.into_iter().map(Outgoing::from) {
            let body = Message::new(message.payload).encode()?;
            inner.deliver(Inbox::of(message.queue), body, message.delay, None);
        }
        Ok(())
    }
}

impl Inner {
    /// Notes an execution that was recorded, and has its events arrive when they did.
    fn begin_recorded(&mut self, order: Order<'_>, id: &ExecutionId) {
        let Order { run, planned, attempt } = order;
        if self.executions.iter().any(|known| known.id == *id) {
            return;
        }
        let heard = self.recorded.as_ref().and_then(|scripts| scripts.get(&planned.key)).map(|it| it.heard.clone());
        let heard: Vec<Heard> = heard.into_iter().flatten().filter(|heard| heard.execution == *id).collect();
        let now = self.now;
        let mut states = vec![(now, PipelineState::Started)];
        for (number, heard) in heard.iter().enumerate() {
            match &heard.what {
                HeardOf::State { state: PipelineState::Unknown(_), .. } | HeardOf::ActionFailed { .. } => {}
                HeardOf::State { state: PipelineState::Resumed, .. } => {
                    states.push((heard.at, PipelineState::Started));
                }
                HeardOf::State {
                    state:
                        state @ (PipelineState::Started
                        | PipelineState::Stopping
                        | PipelineState::Succeeded
                        | PipelineState::Failed
                        | PipelineState::Stopped
                        | PipelineState::Canceled
                        | PipelineState::Superseded),
                    ..
                } => states.push((heard.at, state.clone())),
            }
            match heard.learnt {
                Learnt::ByEvent => {
                    let Some(body) = told(run, planned, id, number, heard) else { continue };
                    let letter = Letter { id: self.uuid(), inbox: Inbox::Collect, body, receives: 0 };
                    self.at(heard.received.max(now), Due::Letter(letter));
                }
                // Whoever asks learns it.
                Learnt::ByAsking => {}
            }
        }
        states.sort_by_key(|(at, _)| *at);
        self.executions.push(Execution {
            target: planned.key.clone(),
            id: id.clone(),
            token: run.attempt_token(&planned.key, attempt),
            revision: planned.pinned().map(str::to_owned),
            variables: planned.variables.clone(),
            run: run.clone(),
            started_at: now,
            error_code: None,
            states,
            is_current: false,
        });
    }
}

/// An event as it was delivered, as far as it was recorded, and if its engine tells such a thing.
fn told(run: &RunId, planned: &PlannedTarget, id: &ExecutionId, number: usize, heard: &Heard) -> Option<String> {
    let source = Source {
        target: planned.key.clone(),
        subject: planned.subject.clone(),
        execution: id.clone(),
        started_at: heard.at,
        error_code: None,
    };
    let event_id = format!("{id}-{number}");
    let event = match &heard.what {
        HeardOf::State { state, attempt } => {
            // What is assumed of an event that names no attempt: see `Seen::new`.
            let assumed = if *state == PipelineState::Resumed { 2 } else { 1 };
            let partition = planned.key.region.partition().as_str();
            let (account, role) = (&planned.key.account, planned.role.name());
            let session = format!("arn:{partition}:sts::{account}:assumed-role/{role}/{}", run.session_name());
            source.state(&event_id, state, attempt.unwrap_or(assumed), heard.at, &session)
        }
        HeardOf::ActionFailed { cause, attempt } => {
            let (code, action) = cause.rsplit_once(" in action ").unwrap_or((cause, "Deploy"));
            source.failed(&event_id, action, code, *attempt, heard.at)
        }
    };
    event.map(|event| event.to_string())
}
