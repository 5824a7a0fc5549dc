//! Any interleaving of everything that may happen to a run: workers that die between any two steps, messages that
//! come again or late, events in any order, retries in the target accounts.
//!
//! What every single step must keep is checked by [`super::play`]. Here: an attempt starts at most one execution,
//! nothing is started that must not be, and whatever was lost on the way, what is left in the queues brings the
//! run to its verdict without the deadline's help.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::event::PipelineState;
use manifold_core::ids::Attempt;
use manifold_core::pace::Api;
use manifold_core::run::{Effect, Event, Observation, Outcome, Reason, ReasonSource, Refusal, Told};
use manifold_core::time::Span;
use proptest::prelude::*;

use super::merging::states;
use super::play::{Answer, LEASE, Play, WaveOf, busy, execution, key, later, permanent, wait};

/// What waits in a queue.
#[derive(Debug, Clone)]
enum Message {
    Start(u32, u32),
    Explain(u32, u32),
    Event { index: u32, attempt: u32, observation: Box<Observation> },
}

/// Where a worker dies; its message comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    Never,
    AfterClaim,
    AfterStart,
    BeforeSend,
}

/// What the engine answers to a start.
#[derive(Debug, Clone, Copy)]
enum Engine {
    Starts,
    IsBusy,
    SeemsToFail,
    Refuses,
    /// The turn to look, or to start, lies ahead.
    WaitsToLook,
    WaitsToStart,
    Throttles,
}

#[derive(Debug, Clone)]
enum Op {
    /// A message is received, and stays in the queue as well if it is to be received twice.
    Deliver {
        which: prop::sample::Index,
        twice: bool,
        dies: Dies,
        engine: Engine,
    },
    /// The engine tells something of one of its executions.
    Tell {
        which: prop::sample::Index,
        state: PipelineState,
        attempt: Option<u32>,
        named: bool,
    },
    Wait(i64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let dies = prop_oneof![
        4 => Just(Dies::Never),
        1 => Just(Dies::AfterClaim),
        1 => Just(Dies::AfterStart),
        2 => Just(Dies::BeforeSend),
    ];
    let engine = prop_oneof![
        6 => Just(Engine::Starts),
        1 => Just(Engine::IsBusy),
        1 => Just(Engine::SeemsToFail),
        1 => Just(Engine::Refuses),
        1 => Just(Engine::WaitsToLook),
        1 => Just(Engine::WaitsToStart),
        1 => Just(Engine::Throttles),
    ];
    let deliver = (any::<prop::sample::Index>(), prop::bool::weighted(0.2), dies, engine)
        .prop_map(|(which, twice, dies, engine)| Op::Deliver { which, twice, dies, engine });
    let tell = (any::<prop::sample::Index>(), states(), prop::option::of(1_u32..4), any::<bool>())
        .prop_map(|(which, state, attempt, named)| Op::Tell { which, state, attempt, named });
    prop::collection::vec(prop_oneof![6 => deliver, 4 => tell, 1 => (0_i64..90).prop_map(Op::Wait)], 0..60)
}

fn waves() -> impl Strategy<Value = Vec<WaveOf>> {
    prop::collection::vec((1_u32..5, 1_u32..4, 0_u32..3), 1..4)
}

struct Model {
    play: Play,
    queue: Vec<Message>,
    /// What the engine started: target and attempt.
    executions: BTreeSet<(u32, u32)>,
    /// Whose execution it is, as far as that is recorded.
    links: BTreeSet<(u32, u32)>,
    /// What was told of executions before that.
    early: BTreeMap<(u32, u32), Vec<Observation>>,
    workers: u32,
}

impl Model {
    fn new(waves: &[WaveOf], max_attempts: u32) -> Self {
        let play = Play::with_attempts(waves, max_attempts);
        let (first, concurrent) = (waves[0].0, waves[0].1);
        let queue = (0..first.min(concurrent)).map(|index| Message::Start(index, 1)).collect();
        let (executions, links, early) = Default::default();
        Self { play, queue, executions, links, early, workers: 0 }
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Wait(seconds) => self.play.wait(Span::from_seconds(*seconds)),
            Op::Deliver { which, twice, dies, engine } => {
                if !self.queue.is_empty() {
                    let message = self.queue.swap_remove(which.index(self.queue.len()));
                    if *twice {
                        self.queue.push(message.clone());
                    }
                    self.deliver(message, *dies, *engine);
                }
            }
            Op::Tell { which, state, attempt, named } => {
                if let Some(&(index, nth)) = self.executions.iter().nth(which.index(self.executions.len().max(1))) {
                    self.engine_tells(index, nth, state.clone(), *attempt, *named);
                }
            }
        }
    }

    fn engine_tells(&mut self, index: u32, nth: u32, state: PipelineState, attempt: Option<u32>, named: bool) {
        let mut observation = self.play.observation(index, nth, state, attempt);
        observation.started_by = named.then(|| self.play.session());
        self.queue.push(Message::Event { index, attempt: nth, observation: Box::new(observation) });
    }

    /// Receives a message as its function does. What was not done comes again.
    fn deliver(&mut self, message: Message, dies: Dies, engine: Engine) {
        let done = match message.clone() {
            Message::Start(index, attempt) => self.start(index, attempt, dies, engine),
            Message::Event { index, attempt, observation } => self.fold(index, attempt, *observation, dies),
            Message::Explain(index, attempt) => {
                let reason = Reason {
                    cause: "JobFailed in action Deploy".to_owned(),
                    detail: None,
                    link: None,
                    source: ReasonSource::Engine,
                    attempt: 9,
                };
                let execution = execution(index, attempt);
                let answer = self.play.tell(Event::Explained { target: key(index), execution, reason });
                self.send(&answer, dies)
            }
        };
        if !done {
            self.queue.push(message);
        }
    }

    fn send(&mut self, answer: &Answer, dies: Dies) -> bool {
        if dies == Dies::BeforeSend {
            return false;
        }
        for effect in &answer.step.effects {
            match effect {
                Effect::Start { index, attempt, .. } => self.queue.push(Message::Start(*index, attempt.0)),
                Effect::Explain { target, .. } => {
                    let target = &self.play.targets[target];
                    self.queue.push(Message::Explain(target.index, target.attempt.0));
                }
                Effect::Summarize { .. }
                | Effect::Activate { .. }
                | Effect::Advance { .. }
                | Effect::Alarms { .. }
                | Effect::Stop { .. }
                | Effect::Open { .. } => {}
            }
        }
        true
    }

    fn start(&mut self, index: u32, attempt: u32, dies: Dies, engine: Engine) -> bool {
        self.workers += 1;
        let claimed = self.play.claim_as(index, attempt, &format!("worker-{}", self.workers));
        let (look_first, may_start) = match claimed.told {
            Told::Claimed { look_first, may_start } => (look_first, may_start),
            Told::Held { .. } => return false,
            Told::TooLate | Told::Early { .. } => return self.send(&claimed, dies),
            Told::Changed | Told::Duplicate | Told::Behind { .. } | Told::Decided(_) | Told::Stray(_) => {
                panic!("{claimed:?}")
            }
        };
        if dies == Dies::AfterClaim {
            return false;
        }
        let target = key(index);
        let refused = |refusal: Refusal| Event::Refused { target: key(index), attempt: Attempt(attempt), refusal };
        let waits = |api: Api, throttled: bool| wait(api, self.play.now, 50, throttled);
        if let (true, Engine::WaitsToLook) = (look_first, engine) {
            let answer = self.play.tell(refused(waits(Api::ListPipelineExecutions, false)));
            return self.send(&answer, dies);
        }
        let found = look_first && self.executions.contains(&(index, attempt));
        if !found && !may_start {
            let answer = self.play.tell(Event::NotFound { target, attempt: Attempt(attempt) });
            return self.send(&answer, dies);
        }
        if !found {
            let refusal = match engine {
                Engine::Starts | Engine::WaitsToLook => None,
                Engine::IsBusy => Some(busy()),
                Engine::SeemsToFail => Some(later()),
                Engine::Refuses => Some(permanent(Outcome::Failed)),
                Engine::WaitsToStart => Some(waits(Api::StartPipelineExecution, false)),
                Engine::Throttles => Some(waits(Api::StartPipelineExecution, true)),
            };
            if let Engine::Starts | Engine::WaitsToLook | Engine::SeemsToFail = engine {
                let head = &self.play.head;
                assert!(!head.is_closed() && head.wave_over_tolerance().is_none(), "started in a halted run");
                assert!(head.due_at().is_some_and(|due| self.play.now < due), "started past the deadline");
                assert!(self.executions.insert((index, attempt)), "target {index} attempt {attempt} started twice");
            }
            if let Some(refusal) = refusal {
                let answer = self.play.tell(refused(refusal));
                return self.send(&answer, dies);
            }
        }
        if dies == Dies::AfterStart {
            return false;
        }
        let started = Event::Started { target, attempt: Attempt(attempt), execution: execution(index, attempt) };
        let early = self.early.remove(&(index, attempt)).unwrap_or_default();
        let early = early.into_iter().map(|early| Event::Observed(Box::new(early)));
        let answer = self.play.tell_all(std::iter::once(started).chain(early));
        self.links.insert((index, attempt));
        self.send(&answer, dies)
    }

    fn fold(&mut self, index: u32, attempt: u32, observation: Observation, dies: Dies) -> bool {
        let known = self.links.contains(&(index, attempt));
        if !known && observation.session_run().is_none() {
            self.early.entry((index, attempt)).or_default().push(observation);
            return true;
        }
        let early = if known { None } else { self.early.remove(&(index, attempt)) };
        let all = std::iter::once(observation).chain(early.into_iter().flatten());
        let answer = self.play.tell_all(all.map(|told| Event::Observed(Box::new(told))));
        let target = self.play.target(index);
        let past = target.past.iter().any(|past| past.execution == Some(execution(index, attempt)));
        assert!(past || target.execution == Some(execution(index, attempt)), "a worker of ours started it");
        self.links.insert((index, attempt));
        self.send(&answer, dies)
    }

    /// Everything that is under way comes to its end, and nobody dies any more.
    fn drain(&mut self) {
        for _ in 0..60 {
            self.play.wait(LEASE);
            for message in std::mem::take(&mut self.queue) {
                self.deliver(message, Dies::Never, Engine::Starts);
            }
            let running: Vec<(u32, u32)> = self.executions.iter().copied().filter(|at| self.runs(*at)).collect();
            if self.queue.is_empty() && running.is_empty() {
                return;
            }
            for (index, attempt) in running {
                self.engine_tells(index, attempt, PipelineState::Succeeded, Some(9), false);
            }
        }
        panic!("it goes on for ever: {:?}", self.queue);
    }

    /// Whether an execution is its target's current one and has not been told to have ended.
    fn runs(&self, (index, attempt): (u32, u32)) -> bool {
        let target = self.play.target(index);
        target.attempt.0 == attempt && target.status().outcome().is_none()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_on_the_way_the_run_comes_to_its_verdict(
        waves in waves(),
        max_attempts in 1_u32..4,
        ops in ops(),
    ) {
        let mut model = Model::new(&waves, max_attempts);
        for op in &ops {
            model.op(op);
        }
        model.drain();
        let head = &model.play.head;
        prop_assert!(head.verdict().is_some(), "no verdict: {:#?}", model.play.targets);
        prop_assert!(model.executions.iter().all(|(index, attempt)| {
            let target = model.play.target(*index);
            let known = Some(execution(*index, *attempt));
            target.execution == known || target.past.iter().any(|past| past.execution == known)
        }), "an execution that nobody knows");
    }

    #[test]
    fn whatever_is_lost_on_the_way_the_deadline_brings_the_verdict(
        waves in waves(),
        max_attempts in 1_u32..4,
        ops in ops(),
        more in ops(),
    ) {
        let mut model = Model::new(&waves, max_attempts);
        ops.iter().for_each(|op| model.op(op));
        model.play.wait(super::play::DEADLINE);
        model.play.deadline();
        prop_assert!(model.play.verdict().is_some());
        let released = model.play.head.released();
        let started = model.executions.len();
        more.iter().for_each(|op| model.op(op));
        prop_assert_eq!((model.play.head.released(), model.executions.len()), (released, started));
    }
}
