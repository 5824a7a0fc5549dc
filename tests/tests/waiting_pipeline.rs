//! A release pipeline that waits: its action invokes `dispatch`, again and again, until the verdict.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use manifold_core::invoke::Told;
use manifold_core::run::Verdict;
use manifold_core::time::Span;
use manifold_local::behaviour::Behaviour;
use manifold_local::faults::Faults;
use manifold_local::simulation::Simulation;
use manifold_local::world::{Inbox, job_event};
use manifold_tests::simulation::scenario::{Control, Release, Scenario, Told as Channel};

fn scenario(behaviours: Vec<(usize, Behaviour)>) -> Scenario {
    Scenario {
        seed: 7,
        accounts: 2,
        regions: 3,
        wave_per_account: true,
        max_concurrent: 3,
        failure_tolerance: 0,
        max_attempts: 1,
        deadline: 40,
        control: Control::default(),
        presses: Vec::new(),
        told: Channel::Bot,
        behaviours,
        engines: None,
        releases: vec![Release { after: Span::from_minutes(60), age: 0 }],
        faults: Faults::default(),
    }
}

const PARAMETERS: &str = r#"{"app": "web", "execution": "00000000-7d52-4d5e-9f0b-5a1f7c2b9e01"}"#;

/// The job comes before the release's own event: the pipeline has not ended.
fn wait(scenario: &Scenario, jobs: &[(&str, &str)]) -> Simulation {
    let mut simulation = scenario.begin();
    for (id, parameters) in jobs {
        simulation.world().deliver(Inbox::Job, job_event(id, Some(parameters), None), Span::from_millis(0));
    }
    simulation.run().unwrap();
    simulation
}

/// What was told of the jobs: how often that it goes on, and the end.
fn told(simulation: &Simulation) -> (Vec<Told>, Vec<Told>) {
    simulation.world().jobs().into_values().partition(|told| matches!(told, Told::GoesOn { .. }))
}

#[test]
fn the_stage_holds_until_the_verdict_and_succeeds_with_it() {
    let simulation = wait(&scenario(Vec::new()), &[("job-1", PARAMETERS)]);
    let (goes_on, ended) = told(&simulation);
    assert!(goes_on.len() > 3, "it was asked every half minute: {goes_on:?}");
    let shown = goes_on.iter().any(|told| match told {
        Told::GoesOn { progress, .. } => progress.summary.contains("waits for") && (1..100).contains(&progress.percent),
        Told::Succeeded { .. } | Told::Failed { .. } => false,
    });
    assert!(shown, "{goes_on:?}");
    let [Told::Succeeded { progress }] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!((progress.percent, progress.summary.as_str()), (100, "✔ web: succeeded on all 6 targets"));
    assert_eq!(
        simulation.verdicts().into_values().collect::<Vec<_>>(),
        [Some(Verdict::Succeeded)],
        "and the event opened no other run"
    );
}

#[test]
fn the_stage_fails_with_the_causes() {
    let fails = vec![(0, Behaviour::Fails("JobFailed".to_owned()))];
    let (_, ended) = told(&wait(&scenario(fails), &[("job-1", PARAMETERS)]));
    let [Told::Failed { message, run: Some(_), is_misconfigured: false }] = ended.as_slice() else {
        panic!("{ended:?}")
    };
    assert!(
        message.contains("failed on 1 of 6 targets") && message.contains("JobFailed in action Deploy (1)"),
        "{message}"
    );
}

#[test]
fn two_jobs_of_the_same_release_wait_for_one_run() {
    let simulation =
        wait(&scenario(Vec::new()), &[("job-1", PARAMETERS), ("job-2", PARAMETERS), ("job-1", PARAMETERS)]);
    let (_, ended) = told(&simulation);
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert_eq!((simulation.verdicts().len(), simulation.world().executions().len()), (1, 6));
}

#[test]
fn an_action_that_is_not_configured_right_fails_at_once_and_says_how() {
    for (parameters, why) in [
        ("web", "it is not JSON"),
        (r#"{"app": "shop", "execution": "x"}"#, "the fleet file has no app shop"),
        (r#"{"app": "web", "execution": "x", "pipeline": "other"}"#, "no such release pipeline"),
        (r#"{"app": "web", "execution": "unknown"}"#, "cannot pin"),
    ] {
        let (goes_on, ended) = told(&wait(&scenario(Vec::new()), &[("job-1", parameters)]));
        let [Told::Failed { message, is_misconfigured: true, .. }] = ended.as_slice() else { panic!("{ended:?}") };
        assert!(goes_on.is_empty() && message.contains(why), "{message}");
    }
}

#[test]
fn an_action_that_waits_longer_than_it_may_gives_up_and_the_run_goes_on() {
    let control = Control { approval: Some("keep"), ..Control::default() };
    let mut scenario = Scenario { control, ..scenario(Vec::new()) };
    scenario.control.approval = Some("keep");
    let token = r#"{"run":"RUN","since":0}"#;
    let simulation = wait(&scenario, &[("job-1", PARAMETERS)]);
    let run = simulation.world().runs()[0].clone();
    let mut again = scenario.begin();
    again.world().deliver(Inbox::Job, job_event("job-1", Some(PARAMETERS), None), Span::from_millis(0));
    let late = job_event("job-2", None, Some(&token.replace("RUN", run.as_str())));
    again.world().deliver(Inbox::Job, late, Span::from_minutes(5));
    again.run().unwrap();
    let late = again.world().jobs().remove("job-2").unwrap();
    let Told::Failed { message, .. } = late else { panic!("{late:?}") };
    assert!(message.contains("may not wait any longer; the run goes on"), "{message}");
}

#[test]
fn an_action_that_only_tells_posts_one_message_and_opens_no_run() {
    let parameters = r#"{"app": "web", "execution": "00000000-7d52-4d5e-9f0b-5a1f7c2b9e01", "notify": "Going out"}"#;
    let scenario =
        Scenario { releases: vec![Release { after: Span::from_minutes(0), age: 0 }], ..scenario(Vec::new()) };
    let mut simulation = scenario.begin();
    for _ in 0..2 {
        simulation.world().deliver(Inbox::Job, job_event("job-1", Some(parameters), None), Span::from_minutes(90));
    }
    simulation.run().unwrap();
    let (goes_on, ended) = told(&simulation);
    assert!(goes_on.is_empty() && matches!(ended.as_slice(), [Told::Succeeded { .. }]), "{ended:?}");
    let calls = simulation.world().slack_calls();
    let notices: Vec<_> = calls.iter().filter(|call| call.body.to_string().contains("Going out")).collect();
    let [notice] = notices.as_slice() else { panic!("{notices:?}") };
    let told = notice.body.to_string();
    for part in ["111122223333", "us-east-1", "2026-10-26", "web-release", "00000000"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(simulation.verdicts().len(), 1, "the release's own event opened its run, and nothing else did");
}
