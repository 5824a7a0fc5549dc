//! One run and its stored facts: each event loads them, steps, and stores what changed, as a handler does.

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::event::PipelineState;
use manifold_core::ids::{AppName, Attempt, ExecutionId, ExecutionRef, RunId, TargetKey};
use manifold_core::pace::{Api, Turn};
use manifold_core::plan::{Channel, Plan, PlannedTarget, PlannedWave, Policy};
use manifold_core::release::{Release, Trigger};
use manifold_core::run::{
    AppQueue, Effect, Event, Head, Learnt, Observation, Observed, Outcome, Reason, ReasonSource, Refusal, Run, Status,
    Step, Tally, Target, Told, Verdict, Wanted,
};
use manifold_core::time::{Span, Timestamp};

pub(crate) const LEASE: Span = Span::from_seconds(120);
pub(crate) const DEADLINE: Span = Span::from_minutes(120);

/// Size, concurrency and tolerance of a wave.
pub(crate) type WaveOf = (u32, u32, u32);

pub(crate) struct Play {
    pub(crate) plan: Plan,
    pub(crate) head: Head,
    pub(crate) queue: AppQueue,
    pub(crate) targets: BTreeMap<TargetKey, Target>,
    pub(crate) now: Timestamp,
    /// What opening asked for.
    pub(crate) opening: Vec<String>,
    /// Everything that was ever asked for.
    derived: BTreeSet<String>,
    /// By wave: how often a target that had ended was begun again.
    reopenings: BTreeMap<u32, u32>,
}

/// What one event led to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) told: Told,
    pub(crate) step: Step,
    pub(crate) effects: Vec<String>,
}

pub(crate) fn app() -> AppName {
    "web".parse().unwrap()
}

pub(crate) fn run_id(source: &str) -> RunId {
    RunId::derive(&app(), &ExecutionRef { target: key(0), id: source.parse().unwrap() })
}

/// The place of a target: ten Regions an account.
pub(crate) fn key(index: u32) -> TargetKey {
    let account = format!("{:012}", 444_455_556_666_u64 + u64::from(index / 10));
    TargetKey { account: account.parse().unwrap(), region: format!("eu-west-{}", index % 10 + 1).parse().unwrap() }
}

/// The execution that an attempt starts.
pub(crate) fn execution(index: u32, attempt: u32) -> ExecutionId {
    format!("{index:08x}-0000-4000-8000-{attempt:012x}").parse().unwrap()
}

pub(crate) fn released_at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-10-26T13:49:12Z").unwrap()
}

pub(crate) fn release(source: &str, released_at: Timestamp) -> Release {
    Release {
        source: ExecutionRef { target: key(0), id: source.parse().unwrap() },
        pipeline: "web-release".parse().unwrap(),
        revision: None,
        trigger: Trigger::default(),
        released_at,
        started_at: None,
        stages: Vec::new(),
    }
}

pub(crate) fn plan(waves: &[WaveOf], max_attempts: u32) -> Plan {
    let mut first = 0;
    let mut plan = Plan {
        waves: Vec::new(),
        targets: Vec::new(),
        max_attempts,
        deadline: DEADLINE,
        channel: Channel::Silent,
        policy: Policy::default(),
        unchanged: Vec::new(),
    };
    for (wave, &(size, max_concurrent, failure_tolerance)) in (0..).zip(waves) {
        let name = format!("wave {wave}");
        plan.waves.push(PlannedWave::plain(name, first, size, max_concurrent, failure_tolerance));
        plan.targets.extend((first..first + size).map(|index| PlannedTarget {
            index,
            wave,
            key: key(index),
            account_name: "dev".to_owned(),
            role: format!("arn:aws:iam::{}:role/ManifoldTarget", key(index).account).parse().unwrap(),
            external_id: None,
            subject: "svc-deploy".parse().unwrap(),
            work: None,
            variables: BTreeMap::new(),
            source_revision: None,
            after: Vec::new(),
            before: Vec::new(),
            release: None,
            looks: None,
        }));
        first += size;
    }
    plan
}

pub(crate) fn words(effect: &Effect) -> String {
    match effect {
        Effect::Start { index, attempt: Attempt::FIRST, .. } => format!("start {index}"),
        Effect::Start { index, attempt, .. } => format!("start {index} attempt {attempt}"),
        Effect::Explain { target, .. } => {
            let index = (0..1000).find(|index| key(*index) == *target).unwrap();
            format!("explain {index}")
        }
        Effect::Summarize { .. } => "summarize".to_owned(),
        Effect::Activate { run } => format!("activate {run}"),
        Effect::Advance { delay, .. } => format!("advance in {delay}"),
        Effect::Alarms { wave, from, .. } => format!("alarms of wave {wave} from {from}"),
        Effect::Stop { .. } => "stop".to_owned(),
        Effect::Open { request } => format!("open {}", request.run()),
    }
}

pub(crate) fn reason(cause: &str) -> Reason {
    Reason { cause: cause.to_owned(), detail: None, link: None, source: ReasonSource::Manifold, attempt: 0 }
}

pub(crate) fn later() -> Refusal {
    Refusal::Later { reason: reason("It did not answer") }
}

/// Not called, or called and throttled: its next turn is so many seconds later.
pub(crate) fn wait(api: Api, now: Timestamp, seconds: i64, throttled: bool) -> Refusal {
    let turn = Turn { api, at: now.plus(Span::from_seconds(seconds)), cuts: 0 };
    Refusal::Wait { turn, throttled: throttled.then(|| reason("Throttled by CodePipeline")) }
}

pub(crate) fn busy() -> Refusal {
    Refusal::Busy { reason: reason("At its limit") }
}

pub(crate) fn permanent(outcome: Outcome) -> Refusal {
    Refusal::Permanent { outcome, reason: reason("AccessDenied on role ManifoldTarget") }
}

impl Play {
    /// A run of one app, active at once.
    pub(crate) fn of(waves: &[WaveOf]) -> Self {
        Self::with_attempts(waves, 1)
    }

    pub(crate) fn with_attempts(waves: &[WaveOf], max_attempts: u32) -> Self {
        Self::open("this", plan(waves, max_attempts), AppQueue::default(), released_at())
    }

    pub(crate) fn open(source: &str, plan: Plan, queue: AppQueue, released_at: Timestamp) -> Self {
        let now = released_at.plus(Span::from_seconds(30));
        let opened =
            Run::open(Wanted::release(run_id(source), app(), release(source, released_at), &plan), queue.clone(), now);
        let step = opened.run.finish();
        Self {
            plan,
            head: step.head.unwrap(),
            queue: step.queue.unwrap_or(queue),
            targets: BTreeMap::new(),
            now,
            opening: step.effects.iter().map(words).collect(),
            derived: step.effects.iter().map(words).collect(),
            reopenings: BTreeMap::new(),
        }
    }

    pub(crate) fn run(&self) -> Run {
        Run::load(self.head.clone(), self.queue.clone(), self.targets.values().cloned())
    }

    pub(crate) fn wait(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    /// Takes an event in, stores what changed, and checks what holds of every step.
    pub(crate) fn tell(&mut self, event: Event) -> Answer {
        let run = self.run();
        let (run, told) = self.step(run, event.clone());
        let answer = self.keep(run.finish(), told);
        // A refusal is told by the one worker that holds the claim; everything else may be told any number of times.
        if !matches!(event, Event::Refused { .. }) {
            let run = self.run();
            let (again, told) = self.step(run, event);
            let again = again.finish();
            let changed = again.head.is_some() || again.queue.is_some() || !again.targets.is_empty();
            assert!(!changed, "told again, it changed something: {told:?} {again:?}");
            self.assert_derived(&again);
        }
        answer
    }

    /// One event, and what must hold of the turns that it gave.
    fn step(&mut self, run: Run, event: Event) -> (Run, Told) {
        let before = run.head().clone();
        let ended = |run: &Run, at: &PlannedTarget| {
            run.target(&at.key).is_some_and(|target| target.status().outcome().is_some())
        };
        let had_ended: Vec<PlannedTarget> = self.plan.targets.iter().filter(|at| ended(&run, at)).cloned().collect();
        let (run, told) = run.step(event, self.now);
        for reopened in had_ended.iter().filter(|at| !ended(&run, at)) {
            *self.reopenings.entry(reopened.wave).or_default() += 1;
        }
        let head = run.head();
        for (before, after) in before.waves.iter().zip(&head.waves) {
            assert!(after.released >= before.released, "a turn was taken back");
        }
        if head.released() > before.released() {
            assert!(!before.is_closed(), "a closed run gives nobody a turn");
            assert!(!head.is_ending(), "a turn beyond the tolerance, or after the end was decided");
            assert!(head.due_at().is_some_and(|due| self.now < due), "a turn past the deadline");
            for (before, after) in before.waves.iter().zip(&head.waves).filter(|(b, a)| a.released > b.released) {
                assert!(after.in_flight() <= after.plan.max_concurrent, "a turn without a slot: {before:?} {after:?}");
            }
        }
        (run, told)
    }

    /// What is told again asks for nothing that was not asked for before.
    fn assert_derived(&self, step: &Step) {
        for effect in step.effects.iter().map(words) {
            assert!(self.derived.contains(&effect), "{effect} was never asked for before");
        }
    }

    /// Takes several events in with one commit.
    pub(crate) fn tell_all(&mut self, events: impl IntoIterator<Item = Event>) -> Answer {
        let run = self.run();
        let run = events.into_iter().fold(run, |run, event| self.step(run, event).0);
        let step = run.finish();
        let changed = !step.targets.is_empty() || step.head.is_some();
        self.keep(step, if changed { Told::Changed } else { Told::TooLate })
    }

    pub(crate) fn keep(&mut self, step: Step, told: Told) -> Answer {
        if let Some(head) = &step.head {
            assert_ne!(*head, self.head, "a step carries a head that did not change");
            self.head = head.clone();
        }
        if let Some(queue) = &step.queue {
            assert_ne!(*queue, self.queue, "a step carries a queue that did not change");
            self.queue = queue.clone();
        }
        for target in &step.targets {
            let before = self.targets.insert(target.key.clone(), target.clone());
            assert_ne!(before.as_ref(), Some(target), "a step carries a target that did not change");
        }
        let changed = step.head.is_some() || step.queue.is_some() || !step.targets.is_empty();
        match told {
            Told::Changed => assert!(changed, "nothing changed"),
            Told::Claimed { .. } => {}
            Told::TooLate => {}
            Told::Decided(_) => assert_eq!(step.decisions.iter().filter(|made| made.id == "command").count(), 1),
            Told::Duplicate | Told::Held { .. } | Told::Early { .. } | Told::Behind { .. } | Told::Stray(_) => {
                assert!(!changed, "{told:?} changed {step:?}")
            }
        }
        if let Told::Stray(_) | Told::Held { .. } = told {
            assert_eq!(step.effects, [], "{told:?} has effects");
        }
        if !changed {
            self.assert_derived(&step);
        }
        self.derived.extend(step.effects.iter().map(words));
        self.check(&step);
        Answer { told, effects: step.effects.iter().map(words).collect(), step }
    }

    /// The invariants that a single state shows.
    fn check(&self, step: &Step) {
        for (at, wave) in (0..).zip(&self.head.waves) {
            let mut counted = Tally::default();
            let outcomes = self.targets.values().filter(|target| target.wave == at).map(Target::status);
            outcomes.filter_map(Status::outcome).for_each(|outcome| counted.count(outcome, true));
            assert_eq!(wave.tally, counted, "the counts of wave {at} differ from its targets");
            assert!(wave.released <= wave.plan.size);
            let reopened = self.reopenings.get(&at).copied().unwrap_or(0);
            assert!(wave.in_flight() <= wave.plan.max_concurrent + reopened, "more in flight than there are slots");
        }
        assert!(self.targets.values().all(|target| self.head.is_released(target.index)), "touched before its turn");
        for effect in &step.effects {
            if let Effect::Start { index, .. } = effect {
                assert!(self.head.is_released(*index), "target {index} is started before its turn");
                assert!(!self.head.is_closed(), "a closed run starts target {index}");
            }
        }
        assert_eq!(self.head.verdict().is_some(), self.head.is_closed() && self.head.in_flight() == 0);
    }

    pub(crate) fn status(&self, index: u32) -> Status {
        self.targets
            .get(&key(index))
            .map_or(if self.head.is_released(index) { Status::Queued } else { Status::Waiting }, Target::status)
    }

    pub(crate) fn target(&self, index: u32) -> &Target {
        &self.targets[&key(index)]
    }

    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.head.verdict()
    }

    pub(crate) fn claim(&mut self, index: u32) -> Answer {
        self.claim_as(index, 1, "worker")
    }

    pub(crate) fn claim_as(&mut self, index: u32, attempt: u32, nonce: &str) -> Answer {
        let planned = Box::new(self.plan.targets[index as usize].clone());
        let nonce = nonce.parse().unwrap();
        self.tell(Event::Claim { planned, attempt: Attempt(attempt), nonce, lease: LEASE })
    }

    pub(crate) fn started(&mut self, index: u32, attempt: u32) -> Answer {
        let execution = execution(index, attempt);
        self.tell(Event::Started { target: key(index), attempt: Attempt(attempt), execution })
    }

    pub(crate) fn refused(&mut self, index: u32, attempt: u32, refusal: Refusal) -> Answer {
        self.tell(Event::Refused { target: key(index), attempt: Attempt(attempt), refusal })
    }

    /// Claimed and started.
    pub(crate) fn start(&mut self, index: u32) -> Answer {
        self.claim(index);
        self.started(index, 1)
    }

    /// An event of the first attempt's execution, in its first try.
    pub(crate) fn observe(&mut self, index: u32, state: PipelineState) -> Answer {
        self.observe_try(index, state, Some(1))
    }

    pub(crate) fn observe_try(&mut self, index: u32, state: PipelineState, attempt: Option<u32>) -> Answer {
        let observation = self.observation(index, 1, state, attempt);
        self.tell(Event::Observed(Box::new(observation)))
    }

    /// What an event of a target's n-th execution tells.
    pub(crate) fn observation(&self, index: u32, nth: u32, state: PipelineState, attempt: Option<u32>) -> Observation {
        Observation {
            target: key(index),
            subject: "svc-deploy".parse().unwrap(),
            execution: execution(index, nth),
            at: self.now,
            started_by: None,
            what: Observed::State { state, attempt, comments: None, reason: None },
            learnt: Learnt::ByEvent,
        }
    }

    /// The ARN of the role session that the run's workers start executions with.
    pub(crate) fn session(&self) -> String {
        format!("arn:aws:sts::444455556666:assumed-role/ManifoldTarget/{}", self.head.run.session_name())
    }

    /// The deadline's message, with what has not ended.
    pub(crate) fn deadline(&mut self) -> Answer {
        let silent = self.plan.targets.iter().filter(|planned| self.head.is_released(planned.index));
        let silent = silent.filter(|planned| self.status(planned.index).outcome().is_none()).cloned().collect();
        self.tell(Event::DeadlinePassed { silent })
    }
}
