//! Stories over the embedded run: the real handlers and the real core over a simulated world and virtual time.

use std::collections::BTreeMap;

use manifold_core::ids::{RunId, TargetKey};
use manifold_core::ledger::{Item, Key};
use manifold_core::run::{Outcome, Status, Verdict};
use manifold_core::summary::{Summary, slack};
use manifold_core::time::Span;
use manifold_fleet::Fleet;
use manifold_local::faults::Faults;
use manifold_local::simulation::{Setup, Simulation};
use manifold_local::world::{Left, SlackCall};

use crate::{EVENT, FLEET};

/// A story about one release, told before it happens.
#[derive(Debug, Clone)]
pub struct Story {
    fleet: String,
    events: Vec<String>,
    fails: Vec<String>,
    seed: u64,
    faults: Faults,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            fleet: FLEET.to_owned(),
            events: vec![EVENT.to_owned()],
            fails: Vec::new(),
            seed: 1,
            faults: Faults::default(),
        }
    }
}

impl Story {
    /// The home fleet, the demo's release, and nothing that goes wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// On another fleet.
    #[must_use]
    pub fn fleet(mut self, yaml: impl Into<String>) -> Self {
        self.fleet = yaml.into();
        self
    }

    /// With another release event.
    #[must_use]
    pub fn event(mut self, event: impl Into<String>) -> Self {
        self.events = vec![event.into()];
        self
    }

    /// And one more release event, right after it.
    #[must_use]
    pub fn and_event(mut self, event: impl Into<String>) -> Self {
        self.events.push(event.into());
        self
    }

    /// A target does something else than succeed: `dev/eu-west-1=JobFailed`.
    #[must_use]
    pub fn fail(mut self, choice: &str) -> Self {
        self.fails.push(choice.to_owned());
        self
    }

    /// Everything random comes from here.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What goes wrong with messages and functions.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Sets the story up without letting it happen.
    #[must_use]
    pub fn begin(self) -> Simulation {
        let more = self.events.iter().skip(1).cloned().collect::<Vec<_>>();
        let simulation = Simulation::new(self.set_up()).expect("the story's event opens a run");
        for event in more {
            simulation.release(event, Span::from_seconds(5)).expect("a release event");
        }
        simulation
    }

    /// Sets the story up to go on from what another version left of it. Events that were not delivered are there already.
    #[must_use]
    pub fn resume(self, left: Left) -> Simulation {
        Simulation::resume(self.set_up(), left).expect("the story's event opens a run")
    }

    fn set_up(self) -> Setup {
        Setup {
            fleet: Fleet::parse("fleet.yaml", &self.fleet).expect("the story's fleet has no problem"),
            event: self.events.into_iter().next().expect("a story has an event"),
            chosen: self.fails.iter().map(|choice| choice.parse().expect("a choice")).collect(),
            seed: self.seed,
            faults: self.faults,
        }
    }

    /// Lets it happen.
    #[must_use]
    pub fn tell(self) -> Told {
        let mut simulation = self.begin();
        simulation.run().expect("the story ends");
        Told { simulation }
    }
}

/// A story that has happened.
#[derive(Debug)]
pub struct Told {
    simulation: Simulation,
}

impl Told {
    /// From a simulation that was run by hand.
    #[must_use]
    pub fn of(simulation: Simulation) -> Self {
        Self { simulation }
    }

    /// The simulation.
    #[must_use]
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// The only run.
    #[must_use]
    pub fn run(&self) -> RunId {
        let runs = self.simulation.world().runs();
        assert_eq!(runs.len(), 1, "expected one run: {runs:?}");
        runs.into_iter().next().expect("one run")
    }

    /// Its summary.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.simulation.summary(&self.run()).expect("a summary")
    }

    /// Its verdict.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.summary().verdict
    }

    /// How a target ended: `dev/eu-west-1`.
    #[must_use]
    pub fn outcome(&self, target: &str) -> Option<Outcome> {
        let (account, region) = target.split_once('/').expect("account/region");
        let summary = self.summary();
        let line = summary.targets.iter().find(|t| t.account_name == account && t.key.region.as_str() == region);
        line.expect("a target of the fleet").status.outcome()
    }

    /// How many executions each target got.
    #[must_use]
    pub fn executions(&self) -> BTreeMap<TargetKey, usize> {
        let mut counts = BTreeMap::new();
        for execution in self.simulation.world().executions() {
            *counts.entry(execution.target).or_default() += 1;
        }
        counts
    }

    /// The calls that posted a message of their own: not edits, not replies in a thread.
    #[must_use]
    pub fn messages(&self) -> Vec<SlackCall> {
        let calls = self.simulation.world().slack_calls().into_iter();
        calls.filter(|call| call.method != "chat.update" && call.body.get("thread_ts").is_none()).collect()
    }

    /// What must hold of every story, whatever went wrong in it. `slack_gap` allows one message more: a worker that
    /// is killed between Slack's answer and its record posts again.
    pub fn check_invariants(&self, slack_gap: bool) {
        let world = self.simulation.world();
        for run in world.runs() {
            let head = world.head(&run).expect("a head");
            let targets = world.targets_of(&run);
            // Law 2: exactly one verdict, and nothing left to do.
            assert!(head.verdict().is_some(), "{run} has no verdict: {head:#?}");
            assert_eq!(head.in_flight(), 0, "{run} has its verdict and something in flight");
            // Counts equal facts.
            for (index, wave) in head.waves.iter().enumerate() {
                let mut counted = manifold_core::run::Tally::default();
                for target in targets.iter().filter(|target| target.wave as usize == index) {
                    if let Status::Ended(outcome) = target.status() {
                        counted.count(outcome, true);
                    }
                }
                assert_eq!(wave.tally, counted, "the counts of wave {} differ from its targets", wave.plan.name);
            }
            // Law 1: no attempt has more than one execution, and every execution is recorded.
            for execution in world.executions().iter().filter(|execution| execution.run == run) {
                let owner = targets.iter().find(|target| target.key == execution.target).expect("a claimed target");
                let known = owner.execution.as_ref() == Some(&execution.id)
                    || owner.past.iter().any(|past| past.execution.as_ref() == Some(&execution.id));
                assert!(known, "{} is an execution that nobody knows", execution.id);
                let twins = world.executions().iter().filter(|other| other.token == execution.token).count();
                assert_eq!(twins, 1, "{} was started {twins} times", execution.token);
            }
            // Nobody need look after it any more.
            assert!(world.record(&Key::Open(run.clone())).is_none(), "{run} has its verdict and is still looked after");
            // A summary that was posted shows the state as it is.
            if let Some(Item::Summary(posting)) = world.record(&Key::Summary(run.clone())).map(|record| record.item) {
                assert!(posting.lease.is_none(), "a lease was left behind");
                if let Some(ts) = posting.message.and_then(|message| message.ts) {
                    let summary = Summary::of(&head, &world.plan(&run), &targets);
                    let shown = world.slack_calls().into_iter().rfind(|call| call.ts.as_ref() == Some(&ts));
                    let blocks = serde_json::Value::from(slack::message(&summary).blocks);
                    // What an older version posted, in its own words, stands as long as nothing changes.
                    if let Some(shown) = shown.expect("what was posted").body.get("blocks") {
                        assert_eq!(*shown, blocks, "{run}: what stands in Slack is not how it is");
                    }
                }
            }
        }
        // Law 3: one message a run.
        let (messages, runs) = (self.messages().len(), world.runs().len());
        let most = if slack_gap { runs + 1 } else { runs };
        assert!((runs..=most).contains(&messages), "{messages} messages for {runs} runs");
        assert!(world.dead_letters().is_empty(), "dead letters: {:?}", world.dead_letters());
    }
}
