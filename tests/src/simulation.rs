//! Deterministic simulation: the real handlers and the real core in a world that is driven by one seed.
//!
//! | module | holds |
//! |---|---|
//! | [`scenario`] | what makes a story what it is, drawn from a seed |
//! | [`invariants`] | what must hold after every step, and at the end |
//! | [`coverage`] | which fault met which state |
//! | [`small`] | small worlds, explored whole |
//! | [`drift`] | drift checks, and what must hold of each |
//!
//! A seed is a story: [`play`] tells it, and stops at the first law that does not hold. [`Failure::of`] leaves out whatever
//! is not needed for that, and [`Failure`] tells what is left so that a person can read it.

pub mod coverage;
pub mod drift;
pub mod invariants;
pub mod scenario;
pub mod small;

use std::fmt::{self, Display};

use manifold_core::time::Span;
use manifold_local::faults::Met;
use manifold_local::simulation::Simulation;
use manifold_local::world::Told;
use proptest::strategy::ValueTree;

use coverage::Coverage;
use invariants::{Broken, Law, Watch};
use scenario::Scenario;

/// How many smaller stories are tried.
const MOST_TRIES: u32 = 2_000;
/// A story that goes on for longer never ends: most take a few hundred steps, and the longest some thousand.
const MOST_STEPS: u64 = 100_000;
/// How often an operator redrives the dead letters of a story.
const REDRIVES: u32 = 3;
/// What each mishap can delay a verdict by: a message is hidden for six minutes, and the sweep comes by every minute.
const DELAY: i64 = 8;

/// A story that was told to its end.
#[derive(Debug)]
pub struct Played {
    /// What it met.
    pub met: Vec<Met>,
    /// How many points its handlers passed.
    pub points: u64,
    /// The first law that did not hold.
    pub broken: Option<Broken>,
    /// What happened, if it was asked for.
    pub tale: Vec<Told>,
}

/// Tells a story, and checks it after every step.
#[must_use]
pub fn play(scenario: &Scenario, with_tale: bool) -> Played {
    let simulation = scenario.begin();
    if with_tale {
        simulation.world().tell_tales();
    }
    play_on(simulation, scenario)
}

fn play_on(mut simulation: Simulation, scenario: &Scenario) -> Played {
    let faults = &scenario.faults;
    let mishaps = i64::try_from(faults.mishaps.len()).unwrap_or(0);
    let late = faults.disorder.as_millis() * 2;
    let patience = Span::from_millis(Span::from_minutes(20 + DELAY * mishaps).as_millis() + late);
    let mut watch = Watch::with_patience(patience);
    let broken = run(&mut simulation, &mut watch).err();
    let world = simulation.world();
    Played { met: world.met(), points: world.points(), broken, tale: world.tale() }
}

fn run(simulation: &mut Simulation, watch: &mut Watch) -> Result<(), Broken> {
    let unsettled = |simulation: &Simulation| Broken {
        law: Law::NeverLost,
        how: "it goes on for ever".to_owned(),
        at: simulation.world().time(),
    };
    let mut steps = 0;
    for _ in 0..=REDRIVES {
        loop {
            steps += 1;
            match simulation.step() {
                Ok(Some(_)) if steps > MOST_STEPS => return Err(unsettled(simulation)),
                Ok(Some(_)) => watch.after_step(simulation.world())?,
                Ok(None) => break,
                Err(_) => return Err(unsettled(simulation)),
            }
        }
        // Pressed twice, as operators do.
        if simulation.world().redrive(2) == 0 {
            break;
        }
    }
    watch.at_the_end(simulation.world())
}

/// A law that a seed breaks, and the smallest story that still does.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What it broke.
    pub first: Broken,
    /// The smallest story.
    pub scenario: Scenario,
    /// What that breaks: the same law.
    pub broken: Broken,
    /// What happens in it.
    pub tale: Vec<Told>,
}

/// Plays a seed.
///
/// # Errors
/// A law does not hold. The story is the smallest that was found.
pub fn play_seed(seed: u64, coverage: &mut Coverage) -> Result<u64, Box<Failure>> {
    let played = play(&Scenario::of(seed), false);
    coverage.add(&played.met);
    match played.broken {
        None => Ok(played.points),
        Some(first) => Err(Box::new(Failure::of(seed, first))),
    }
}

impl Failure {
    /// Leaves out of a seed's story what is not needed to break the same law.
    #[must_use]
    pub fn of(seed: u64, first: Broken) -> Self {
        let mut tree = scenario::tree(seed);
        let breaks = |scenario: &Scenario| play(scenario, false).broken.is_some_and(|broken| broken.law == first.law);
        let mut best = tree.current();
        let mut tries = 0;
        let mut goes_on = tree.simplify();
        while goes_on && tries < MOST_TRIES {
            tries += 1;
            let scenario = tree.current();
            goes_on = if breaks(&scenario) {
                best = scenario;
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        let Played { broken, tale, .. } = play(&best, true);
        Self { seed, broken: broken.unwrap_or_else(|| first.clone()), first, scenario: best, tale }
    }
}

/// What happened, a line each.
#[derive(Debug)]
pub struct Tale<'a>(pub &'a [Told]);

impl Display for Tale<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Told { at, who, what } in self.0 {
            let millis = at.as_millis().rem_euclid(1000);
            let at = at.to_string();
            let time = at.get(11..19).unwrap_or(&at);
            match who {
                Some((function, task)) => writeln!(f, "  {time}.{millis:03}  {function:>9} {task:<4} {what}")?,
                None => writeln!(f, "  {time}.{millis:03}  {:>9} {:<4} {what}", "", "")?,
            }
        }
        Ok(())
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}\n", self.seed, self.first)?;
        writeln!(f, "The smallest story that breaks the same law:\n\n{}", self.scenario)?;
        write!(f, "{}", Tale(&self.tale))?;
        writeln!(f, "\n  {}", self.broken)
    }
}

/// What many seeds came to.
#[derive(Debug, Default)]
pub struct Search {
    /// How many were played.
    pub seeds: u64,
    /// How many points their handlers passed.
    pub points: u64,
    /// Which fault met which state.
    pub coverage: Coverage,
    /// The first seed that broke a law.
    pub failure: Option<Box<Failure>>,
}

/// Plays seeds until one breaks a law.
#[must_use]
pub fn search(seeds: impl IntoIterator<Item = u64>) -> Search {
    let mut search = Search::default();
    for seed in seeds {
        search.seeds += 1;
        match play_seed(seed, &mut search.coverage) {
            Ok(points) => search.points += points,
            Err(failure) => {
                search.failure = Some(failure);
                return search;
            }
        }
    }
    search
}
