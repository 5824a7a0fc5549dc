//! A run that took place is played again from what is stored of it, and the same comes out: whatever was lost, late or
//! told twice when it took place.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use manifold_core::ledger::Listing;
use manifold_core::run::{Learnt, Verdict};
use manifold_core::time::Span;
use manifold_local::faults::Faults;
use manifold_local::recording::{Recording, ReplayError};
use manifold_local::simulation::Simulation;
use manifold_tests::Story;

/// What is stored of every run, as a file would hold it.
fn recordings(simulation: &Simulation) -> Vec<Recording> {
    let world = simulation.world();
    let of = |run| {
        let head = world.head(&run).unwrap();
        let mut plan = world.plan(&run);
        plan.retain(|planned| planned.index < head.size());
        let decisions = world.listed(&Listing::Decisions(run.clone()));
        let decisions = decisions.into_iter().filter_map(|record| record.item.take()).collect();
        let recording = Recording { head, plan, targets: world.targets_of(&run), decisions };
        serde_json::from_value(serde_json::to_value(recording).unwrap()).unwrap()
    };
    world.runs().into_iter().map(of).collect()
}

/// Tells a story and plays each of its runs again. Returns the recordings.
fn told_twice(story: Story, name: &str) -> Vec<Recording> {
    let mut simulation = story.begin();
    simulation.run().unwrap();
    let recordings = recordings(&simulation);
    assert!(!recordings.is_empty(), "{name}");
    for recording in &recordings {
        let played = recording.play().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(recording.outcome_of(&played), recording.outcome(), "{name}: {:#?}", recording.head);
    }
    recordings
}

const BEHAVIOURS: [&str; 13] = [
    "JobFailed",
    "Retried",
    "RetriedLate",
    "RetriedInVain",
    "FailsOnce",
    "Superseded",
    "Canceled",
    "Stopped",
    "Silent",
    "AccessDenied",
    "PipelineNotFound",
    "Throttled",
    "UnknownState",
];

#[test]
fn whatever_a_target_does_the_same_comes_out_again() {
    for behaviour in BEHAVIOURS {
        for place in ["dev/eu-west-1", "prod/us-east-1", "prod/*", "*/*"] {
            told_twice(Story::new().fail(&format!("{place}={behaviour}")), &format!("{place} {behaviour}"));
        }
    }
}

#[test]
fn whatever_is_late_lost_or_told_twice_the_same_comes_out_again() {
    let mut asked = 0;
    for seed in 0..24 {
        let behaviour = BEHAVIOURS[usize::try_from(seed).unwrap() % BEHAVIOURS.len()];
        for (name, faults) in [
            ("late", Faults { disorder: Span::from_seconds(300), duplicates: 0.3, ..Faults::default() }),
            ("lost", Faults { lost: 0.5, ..Faults::default() }),
            ("unheard", Faults { lost: 1.0, ..Faults::default() }),
        ] {
            let story = Story::new().seed(seed).fail(&format!("prod/us-east-1={behaviour}")).faults(faults);
            let recordings = told_twice(story, &format!("{name} {behaviour} {seed}"));
            let heard = recordings.iter().flat_map(|it| &it.targets).flat_map(|target| &target.heard);
            asked += heard.filter(|heard| heard.learnt == Learnt::ByAsking).count();
        }
    }
    assert!(asked > 100, "{asked} ends were asked for");
}

#[test]
fn a_run_that_goes_on_is_not_played() {
    let mut simulation = Story::new().begin();
    while recordings(&simulation).is_empty() {
        simulation.step().unwrap();
    }
    let recording = recordings(&simulation).remove(0);
    assert!(matches!(recording.play(), Err(ReplayError::Open(_))));
    simulation.run().unwrap();
    let recording = recordings(&simulation).remove(0);
    assert_eq!(recording.play().unwrap().head.verdict(), Some(Verdict::Succeeded));
}
