//! What operators want twice, and what comes of it: the real handlers over the embedded run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use manifold_core::control::{Answer, Decision, Origin};
use manifold_core::ids::RunId;
use manifold_core::run::Verdict;
use manifold_core::time::Span;
use manifold_local::behaviour::Behaviour;
use manifold_local::faults::Faults;
use manifold_local::simulation::Simulation;
use manifold_tests::simulation::scenario::{Control, Press, Pressed, Release, Scenario, Told};

fn scenario(presses: &[(i64, usize, Pressed)]) -> Scenario {
    let press = |(minutes, release, what): &(i64, usize, Pressed)| Press {
        after: Span::from_minutes(*minutes),
        release: *release,
        what: *what,
    };
    Scenario {
        seed: 11,
        accounts: 2,
        regions: 2,
        wave_per_account: true,
        max_concurrent: 2,
        failure_tolerance: 1,
        max_attempts: 1,
        deadline: 40,
        control: Control::default(),
        presses: presses.iter().map(press).collect(),
        told: Told::Bot,
        behaviours: vec![(0, Behaviour::Fails("JobFailed".to_owned()))],
        engines: None,
        releases: vec![Release { after: Span::from_minutes(0), age: 0 }],
        faults: Faults::default(),
    }
}

fn retries(simulation: &Simulation) -> Vec<RunId> {
    let heads = simulation.world().runs().into_iter().filter_map(|run| simulation.world().head(&run));
    heads.filter(|head| matches!(head.origin, Origin::Retry { .. })).map(|head| head.run).collect()
}

fn refusals(simulation: &Simulation) -> Vec<String> {
    let decisions = simulation.world().decisions();
    let because = |decision: Decision| match decision.answer {
        Answer::Refused { because } => Some(because),
        Answer::Done => None,
    };
    decisions.into_iter().filter_map(because).collect()
}

#[test]
fn a_retry_that_is_wanted_twice_is_one_run() {
    let twice = scenario(&[(30, 0, Pressed::Retry), (30, 0, Pressed::Retry)]);
    let mut simulation = twice.begin();
    simulation.run().unwrap();
    assert_eq!(retries(&simulation).len(), 1, "{:?}", simulation.verdicts());
    assert!(
        refusals(&simulation).iter().any(|why| why.contains("is after that already")),
        "{:?}",
        refusals(&simulation)
    );
}

#[test]
fn what_a_retry_has_mended_is_not_retried_again() {
    let later = scenario(&[(30, 0, Pressed::Retry), (90, 0, Pressed::Retry)]);
    let mut simulation = later.begin();
    while simulation.verdicts().values().all(Option::is_none) {
        simulation.step().unwrap().unwrap();
    }
    // Its cause is mended before the retry.
    for target in simulation.world().plan(&simulation.world().runs()[0]) {
        simulation.world().set_behaviour(target.key, Behaviour::Succeeds);
    }
    simulation.run().unwrap();
    let [retry] = retries(&simulation).try_into().unwrap();
    assert_eq!(simulation.world().head(&retry).unwrap().verdict(), Some(Verdict::Succeeded));
    assert_eq!(simulation.world().plan(&retry).len(), 1, "only what failed");
    let why = refusals(&simulation);
    assert!(why.iter().any(|why| why.contains("no target of it is left to retry")), "{why:?}");
}
