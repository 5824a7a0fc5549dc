//! A run that took place, played again: its plan, what its targets' engines answered and told, and what operators decided,
//! through the real handlers in virtual time.
//!
//! Started executions have their recorded ids and times, and events arrive when they were heard. What was learnt by asking
//! is answered to whoever asks. What was refused is refused again. Then the same must come out.

use std::collections::BTreeMap;

use manifold_core::control::{Command, Decision, Mark, Order, Via};
use manifold_core::ids::{Attempt, InvalidId, RunId, TargetKey};
use manifold_core::ledger::RUN_RETENTION;
use manifold_core::message::{Message, Payload};
use manifold_core::plan::{Plan, PlannedTarget};
use manifold_core::run::{Closing, Event, Head, Phase, Status, Tally, Target, Verdict, Wanted};
use manifold_core::time::{Span, Timestamp};
use manifold_fleet::Fleet;
use serde::{Deserialize, Serialize};

use crate::behaviour::Behaviours;
use crate::faults::Faults;
use crate::simulation::{Simulation, SimulationError};
use crate::world::{Inbox, Script, World};

/// A run that has not come to its verdict by then never will: holds and deadlines are all shorter.
const LONGEST: Span = Span::from_minutes(60 * 24 * 30);
/// What is left to do after the last event.
const AFTERWARDS: Span = Span::from_minutes(2);
/// So often alarms are looked at: one that was seen then may have been in ALARM since the look before.
const LOOKS: Span = Span::from_seconds(60);
/// No message of a run is for `dispatch`, which alone reads the fleet file.
const NO_FLEET: &str = r#"{"version": 1, "hub": {"account": "111122223333", "region": "us-east-1"}, "defaults": {"role": "R",
"slack": "silent"}, "regions": {"us-east-1": {}}, "accounts": {"a": {"id": "444455556666"}}, "apps": {"a": {"release":
{"pipelines": "r"}, "engine": {"codepipeline": {"name": "p", "source_action": "S"}}, "waves": [{"name": "w", "select":
{"accounts": "a"}}]}}}"#;

/// All that is stored of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The run as a whole.
    pub head: Head,
    /// Its plan, in order, without what was left alone.
    pub plan: Vec<PlannedTarget>,
    /// The targets that were ever claimed.
    pub targets: Vec<Target>,
    /// The decisions about it.
    pub decisions: Vec<Decision>,
}

/// Why a run can't be played again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is not over.
    #[error("{0} has no verdict yet")]
    Open(RunId),
    /// It never began.
    #[error("{0} never began: nothing of it can be played")]
    NeverBegan(RunId),
    /// An older version did not record what was heard.
    #[error("what was heard of {target} is not recorded: {run} is from before Manifold kept it")]
    Unheard {
        /// The run.
        run: RunId,
        /// The target.
        target: TargetKey,
    },
    /// Its plan has other targets than its waves.
    #[error("the waves of {0} have other targets than its plan")]
    Plan(RunId),
    /// A decision has no id.
    #[error("a decision can't be given again")]
    Decision(#[from] InvalidId),
    /// A message can't be written.
    #[error(transparent)]
    Message(#[from] serde_json::Error),
    /// The simulation went wrong.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// The world could not be set up.
    #[error("the world could not be set up: {0}")]
    World(String),
}

/// What came out of a run, as far as it must be the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upshot {
    /// Its verdict.
    pub verdict: Option<Verdict>,
    /// How its targets ended, counted.
    pub tally: Tally,
    /// How each target ended, and in which attempt, in the order of the plan.
    pub targets: Vec<(TargetKey, Status, Attempt)>,
}

/// What came out when a run was played again.
#[derive(Debug)]
pub struct Played {
    /// The run as a whole.
    pub head: Head,
    /// Its targets.
    pub targets: Vec<Target>,
    /// How many of the recorded events were heard again.
    pub events: usize,
    /// How many commands were given.
    pub commands: usize,
}

impl Upshot {
    fn of(head: &Head, plan: &[PlannedTarget], targets: &[Target]) -> Self {
        let known: BTreeMap<&TargetKey, &Target> = targets.iter().map(|target| (&target.key, target)).collect();
        let targets = plan.iter().map(|planned| {
            let known = known.get(&planned.key);
            let status = known.map_or(Status::Waiting, |target| target.status());
            (planned.key.clone(), status, known.map_or(Attempt::FIRST, |target| target.attempt))
        });
        Self { verdict: head.verdict(), tally: head.tally(), targets: targets.collect() }
    }
}

impl Recording {
    /// What came out.
    #[must_use]
    pub fn outcome(&self) -> Upshot {
        Upshot::of(&self.head, &self.plan, &self.targets)
    }

    /// What came out when it was played again.
    #[must_use]
    pub fn outcome_of(&self, played: &Played) -> Upshot {
        Upshot::of(&played.head, &self.plan, &played.targets)
    }

    /// Plays it, to the end.
    ///
    /// # Errors
    /// It is not over, never began, or is from before what was heard was recorded.
    pub fn play(&self) -> Result<Played, ReplayError> {
        let run = &self.head.run;
        let (began, ended) = self.span()?;
        self.check()?;
        let fleet = Fleet::parse("no fleet", NO_FLEET).map_err(|error| ReplayError::World(error.to_string()))?;
        // One message at a time: what was heard first is taken in first.
        let faults = Faults { largest_batch: Some(1), ..Faults::default() };
        let world = World::new(began, 1, Behaviours::default(), faults);
        world.follow(self.scripts(began));
        let mut simulation = Simulation::of(fleet, world, Vec::new());
        let plan = self.planned();
        let Head { app, release, origin, .. } = &self.head;
        let (app, release, origin) = (app.clone(), release.clone(), origin.clone());
        let wanted = Wanted { run: run.clone(), app, release, origin, plan: &plan };
        simulation.world().open_planned(run, wanted, &plan)?;
        let commands = self.commands()?;
        for (at, command) in &commands {
            let payload = Payload::Command { run: run.clone(), command: Box::new(command.clone()) };
            simulation.world().deliver(Inbox::Collect, Message::new(payload).encode()?, at.since(began));
        }
        self.intervene(&mut simulation)?;
        let heard = self.targets.iter().flat_map(|target| &target.heard);
        let last = heard.map(|heard| heard.received).max().unwrap_or(ended).max(ended);
        // A damaged record may name any time.
        let last = last.min(began.plus(RUN_RETENTION));
        simulation.pass_until(last.plus(AFTERWARDS))?;
        let head = loop {
            let head = simulation.world().head(run).ok_or_else(|| ReplayError::NeverBegan(run.clone()))?;
            let now = simulation.world().time();
            if head.verdict().is_some() || now.since(began) > LONGEST {
                break head;
            }
            simulation.pass_until(now.plus(AFTERWARDS))?;
        };
        let targets = simulation.world().targets_of(run);
        let events = targets.iter().map(|target| target.heard.len()).sum();
        Ok(Played { head, targets, events, commands: commands.len() })
    }

    /// When it began and when it closed. A run that waited for another one is played from its turn.
    fn span(&self) -> Result<(Timestamp, Timestamp), ReplayError> {
        let run = || self.head.run.clone();
        match (&self.head.phase, self.head.verdict()) {
            (Phase::Closed { since: Some(since), at, .. }, Some(_)) => Ok((*since, *at)),
            (Phase::Closed { since: None, .. }, _) => Err(ReplayError::NeverBegan(run())),
            (Phase::Closed { .. } | Phase::Active { .. } | Phase::Waiting { .. }, _) => Err(ReplayError::Open(run())),
        }
    }

    fn check(&self) -> Result<(), ReplayError> {
        let run = || self.head.run.clone();
        let sound = self.plan.iter().zip(0..).all(|(planned, index)| planned.index == index);
        if !sound || self.plan.len() != self.head.size() as usize {
            return Err(ReplayError::Plan(run()));
        }
        // Where there was nothing to do nothing was heard.
        let unheard = |target: &&Target| target.seen.is_some() && target.heard.is_empty() && !target.already;
        match self.targets.iter().find(unheard) {
            Some(target) => Err(ReplayError::Unheard { run: run(), target: target.key.clone() }),
            None => Ok(()),
        }
    }

    fn planned(&self) -> Plan {
        let head = &self.head;
        Plan {
            waves: head.waves.iter().map(|wave| wave.plan.clone()).collect(),
            targets: self.plan.clone(),
            max_attempts: head.max_attempts,
            deadline: head.deadline,
            channel: head.channel.clone(),
            policy: head.policy.clone(),
            unchanged: Vec::new(),
        }
    }

    fn scripts(&self, began: Timestamp) -> BTreeMap<TargetKey, Script> {
        let mut scripts: BTreeMap<TargetKey, Script> =
            self.targets.iter().map(|target| (target.key.clone(), Script::of(target, began))).collect();
        if let Some((_, Closing::Unlooked { wave, .. })) = self.because() {
            let position = self.head.waves.iter().position(|known| known.plan.name == *wave);
            let of_wave = |planned: &&PlannedTarget| usize::try_from(planned.wave).ok() == position;
            for planned in self.plan.iter().filter(of_wave) {
                if let Some(script) = scripts.get_mut(&planned.key) {
                    script.unlooked = true;
                }
            }
        }
        scripts
    }

    /// Why nothing more was started, and since when.
    fn because(&self) -> Option<(Timestamp, &Closing)> {
        match (&self.head.ending, &self.head.phase) {
            (Some(ending), _) => Some((ending.at, &ending.because)),
            (None, Phase::Closed { at, because, .. }) => Some((*at, because)),
            (None, Phase::Active { .. } | Phase::Waiting { .. }) => None,
        }
    }

    /// What ended it from outside happens when it did: an alarm, or a newer release.
    fn intervene(&self, simulation: &mut Simulation) -> Result<(), ReplayError> {
        let Some((at, because)) = self.because() else { return Ok(()) };
        match because {
            Closing::Alarm { target, alarm, .. } => {
                simulation.pass_until(Timestamp::from_millis(at.as_millis().saturating_sub(LOOKS.as_millis())))?;
                simulation.world().set_alarm(target, alarm, true);
            }
            Closing::Superseded { by } | Closing::Lapsed { newer: Some(by), .. } => {
                simulation.pass_until(at)?;
                if let Some(head) = simulation.world().head(&self.head.run) {
                    simulation.world().happens(head, Event::Newer { run: by.clone() })?;
                }
            }
            Closing::Complete
            | Closing::Halted { .. }
            | Closing::DeadlinePassed
            | Closing::Overtaken { .. }
            | Closing::Refused { .. }
            | Closing::Aborted { .. }
            | Closing::Rejected { .. }
            | Closing::Lapsed { newer: None, .. }
            | Closing::Unlooked { .. } => {}
        }
        Ok(())
    }

    /// The operators' commands, each with the time at which it was carried out, or was given if that is not known.
    fn commands(&self) -> Result<Vec<(Timestamp, Command<Order>)>, ReplayError> {
        let mut commands = Vec::new();
        for decision in self.decisions.iter().filter(|decision| decision.who.via != Via::Manifold) {
            let Some(what) = Order::of_words(&decision.what) else { continue };
            let at = self.carried_out(decision, &what).unwrap_or(decision.at);
            let Decision { at: given, id, who, why, .. } = decision.clone();
            commands.push((at, Command { id: id.parse()?, at: given, who, why, what }));
        }
        Ok(commands)
    }

    fn carried_out(&self, decision: &Decision, order: &Order) -> Option<Timestamp> {
        let mark: &Mark = match order {
            Order::Approve { wave } => {
                self.head.waves.iter().find(|known| known.plan.name == *wave)?.approved.as_ref()?
            }
            Order::Reject { .. } | Order::Abort { .. } => match self.because()?.1 {
                Closing::Aborted { by, .. } | Closing::Rejected { by, .. } => by,
                Closing::Complete
                | Closing::Halted { .. }
                | Closing::DeadlinePassed
                | Closing::Overtaken { .. }
                | Closing::Superseded { .. }
                | Closing::Refused { .. }
                | Closing::Lapsed { .. }
                | Closing::Alarm { .. }
                | Closing::Unlooked { .. } => return None,
            },
            Order::Pause | Order::Resume => return None,
        };
        let is_it = decision.answer == manifold_core::control::Answer::Done && mark.who == decision.who;
        (is_it && mark.at >= decision.at).then_some(mark.at)
    }
}
