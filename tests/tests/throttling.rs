//! Accounts that take few calls a second: the fleet waits in line, and is finished all the same.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and the table is for its reader"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use manifold_core::ids::TargetKey;
use manifold_core::ledger::{Item, Key};
use manifold_core::pace::Api;
use manifold_core::run::{Outcome, Status, Verdict};
use manifold_core::time::{Span, Timestamp};
use manifold_local::faults::{At, Faults, Harm, Mishap};
use manifold_local::limits::{Counted, Limits};
use manifold_ports::clock::Clock;
use manifold_tests::{Story, Told};

/// So many apps, each in these accounts and Regions, and all of one release. Nobody is told in Slack.
fn fleet(apps: usize, targets: &str) -> String {
    let mut fleet = r#"version: 1
hub: { account: "111122223333", region: us-east-1 }
defaults: { role: ManifoldTarget, slack: silent }
regions: { us-east-1: {}, ca-central-1: {}, ap-southeast-2: {}, eu-central-1: {}, eu-west-1: {} }
accounts: { dev: { id: "444455556666" }, prod: { id: "777788889999" } }
apps:
"#
    .to_owned();
    for app in 0..apps {
        let engine = format!("{{ codepipeline: {{ name: deploy-{app:04}, source_action: Source }} }}");
        let release = "{ pipelines: web-release }";
        let _ = writeln!(
            fleet,
            "  app-{app:04}: {{ release: {release}, engine: {engine}, targets: {targets}, waves: [ {{ name: all }} ] }}"
        );
    }
    fleet
}

const ONE_PLACE: &str = "{ accounts: dev, regions: us-east-1 }";
const ALL_PLACES: &str = "{}";

fn limited(calls_per_second: u32) -> Faults {
    Faults { limits: Limits { everywhere: Some(calls_per_second), ..Limits::default() }, ..Faults::default() }
}

fn starts(told: &Told) -> BTreeMap<TargetKey, Counted> {
    let metered = told.simulation().world().metered().into_iter();
    metered
        .filter(|(lane, _)| lane.api() == Api::StartPipelineExecution)
        .map(|(lane, counted)| (lane.place().unwrap().clone(), counted))
        .collect()
}

/// From the release to the last start, by account and Region.
fn last_starts(told: &Told) -> BTreeMap<TargetKey, Span> {
    let world = told.simulation().world();
    let opened = world.runs().iter().map(|run| world.head(run).unwrap().opened_at).min().unwrap();
    let mut last: BTreeMap<TargetKey, Timestamp> = BTreeMap::new();
    for execution in world.executions() {
        let at = last.entry(execution.target).or_insert(opened);
        *at = execution.started_at.max(*at);
    }
    last.into_iter().map(|(target, at)| (target, at.since(opened))).collect()
}

/// What came of a story: every target of every run has the release, and nothing was started twice.
fn check(told: &Told, name: &str, targets: usize) -> Counted {
    let world = told.simulation().world();
    let mut succeeded = 0;
    for run in world.runs() {
        assert_eq!(world.head(&run).unwrap().verdict(), Some(Verdict::Succeeded), "{run}");
        for target in world.targets_of(&run) {
            assert_eq!(target.status(), Status::Ended(Outcome::Succeeded), "{target:?}");
            succeeded += 1;
        }
    }
    let executions = world.executions();
    let tokens: std::collections::BTreeSet<&str> = executions.iter().map(|each| each.token.as_str()).collect();
    assert_eq!((succeeded, executions.len(), tokens.len()), (targets, targets, targets), "{name}");
    assert!(world.dead_letters().is_empty(), "{name}: {:?}", world.dead_letters());
    let sum = starts(told).into_values().fold(Counted::default(), |sum, each| Counted {
        calls: sum.calls + each.calls,
        throttled: sum.throttled + each.throttled,
    });
    let calls = world.calls();
    let last = last_starts(told).into_values().max().unwrap();
    let took = world.now().since(world.head(&world.runs()[0]).unwrap().opened_at);
    let turns = calls.get("paces.change").copied().unwrap_or(0);
    let share = sum.throttled * 1000 / sum.calls;
    println!(
        "{name:<46} {:>5} calls, {:>3} throttled ({}.{} %), last start after {last}, ended after {took}, \
         {} messages, {turns} turns",
        sum.calls,
        sum.throttled,
        share / 10,
        share % 10,
        world.delivered(),
    );
    sum
}

fn at_most_a_tenth(counted: Counted) {
    assert!(counted.throttled * 10 <= counted.calls, "{counted:?}");
}

#[test]
fn a_thousand_targets_behind_one_limit_of_five_calls_a_second_all_get_the_release() {
    for seed in [1, 2, 3] {
        let told = Story::new().fleet(fleet(1000, ONE_PLACE)).faults(limited(5)).seed(seed).tell();
        let counted = check(&told, "1,000 targets in one place (ideal: 200 s)", 1000);
        at_most_a_tenth(counted);
        assert!(counted.throttled > 0, "the limit was never met");
        let last = last_starts(&told).into_values().max().unwrap();
        assert!(last < Span::from_seconds(400), "twice as long as it must: {last}");
    }
}

#[test]
fn a_thousand_targets_in_ten_places_meet_ten_limits_side_by_side() {
    let told = Story::new().fleet(fleet(100, ALL_PLACES)).faults(limited(5)).tell();
    at_most_a_tenth(check(&told, "1,000 targets in ten places (ideal: 20 s)", 1000));
    assert_eq!(starts(&told).len(), 10);
    let last = last_starts(&told).into_values().max().unwrap();
    assert!(last < Span::from_seconds(60), "{last}");
}

#[test]
fn where_nothing_is_limited_the_pace_rises_until_all_are_started() {
    let told = Story::new().fleet(fleet(1000, ONE_PLACE)).tell();
    let counted = check(&told, "1,000 targets in one place, no limit", 1000);
    assert_eq!(counted.throttled, 0);
    // The pace begins careful, and takes a minute for so many.
    let world = told.simulation().world();
    let opened = world.runs().iter().map(|run| world.head(run).unwrap().opened_at).max().unwrap();
    let last = world.executions().iter().map(|execution| execution.started_at).max().unwrap();
    assert!(last.since(opened) < Span::from_seconds(75), "{}", last.since(opened));
}

#[test]
fn a_handful_of_calls_never_waits() {
    let told = Story::new().fleet(fleet(5, ALL_PLACES)).faults(limited(5)).tell();
    let counted = check(&told, "50 targets in ten places", 50);
    assert_eq!((counted.calls, counted.throttled), (50, 0));
    let last = last_starts(&told).into_values().max().unwrap();
    assert!(last < Span::from_seconds(5), "{last}");
}

#[test]
fn an_account_that_takes_one_call_a_second_slows_nobody_but_itself() {
    let slow = TargetKey { account: "777788889999".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let mut faults = limited(50);
    let free = Story::new().fleet(fleet(60, ALL_PLACES)).faults(faults.clone()).tell();
    check(&free, "600 targets in ten places, 50 calls a second", 600);
    faults.limits.at = [(slow.clone(), 1)].into();
    let told = Story::new().fleet(fleet(60, ALL_PLACES)).faults(faults).tell();
    check(&told, "the same, one of them takes 1 call a second", 600);
    let (before, after, counted) = (last_starts(&free), last_starts(&told), starts(&told));
    for (target, last) in &after {
        if *target == slow {
            assert!(*last >= Span::from_seconds(59) && *last < Span::from_seconds(180), "{last}");
            assert!(counted[target].throttled > 0);
        } else {
            assert_eq!(counted[target].throttled, 0, "{target}");
            let slower = last.as_millis() - before[target].as_millis();
            assert!(slower < 2_000, "{target} ends {slower} ms later");
        }
    }
}

#[test]
fn workers_that_die_and_messages_that_come_twice_neither_start_twice_nor_lose_anybody() {
    for seed in 0..3 {
        let mut faults = limited(5);
        (faults.duplicates, faults.tokens_forgotten, faults.disorder) = (0.1, true, Span::from_seconds(3));
        let first = Story::new().fleet(fleet(200, ONE_PLACE)).faults(faults.clone()).seed(seed).tell();
        let counted = check(&first, "200 targets, every tenth message twice", 200);
        at_most_a_tenth(counted);
        // Every so often a worker dies at a call to the engine, before and after it, and at its turn.
        for point in ["engine.start/before", "engine.start/after", "paces.change/before", "paces.change/after"] {
            let kills = (0..400).filter(|nth| (nth + 5 * seed) % 17 == 0);
            faults.mishaps = kills.map(|nth| Mishap { at: At::Named(point, nth), harm: Harm::Killed }).collect();
            let told = Story::new().fleet(fleet(200, ONE_PLACE)).faults(faults.clone()).seed(seed).tell();
            assert!(told.simulation().killed("deploy") > 5, "{point}");
            check(&told, &format!("and workers die at {point}"), 200);
        }
    }
}

#[test]
fn the_pace_is_of_the_ledger_and_not_of_a_worker() {
    // Every message is an invocation of its own, which knows nothing but the ledger: no call is made out of turn.
    let faults = Faults { largest_batch: Some(1), ..limited(5) };
    let told = Story::new().fleet(fleet(300, ONE_PLACE)).faults(faults).tell();
    at_most_a_tenth(check(&told, "300 targets, one message an invocation", 300));
    let metered = told.simulation().world().metered();
    let (lane, _) = metered.iter().find(|(lane, _)| lane.api() == Api::StartPipelineExecution).unwrap();
    let stored = told.simulation().world().record(&Key::Pace(lane.clone())).unwrap();
    let Item::Pace(pace) = stored.item else { panic!("{stored:?}") };
    assert!(pace.cuts > 0 && pace.rate < 6_000, "{pace:?}");
}

#[test]
fn an_account_that_throttles_whoever_asks_is_asked_in_turn() {
    // All events are lost, so that every result is asked for; and lists are limited as starts are.
    let faults = Faults { lost: 1.0, ..limited(2) };
    let told = Story::new().fleet(fleet(120, ONE_PLACE)).faults(faults).tell();
    check(&told, "120 targets, all events lost, 2 calls a second", 120);
    let metered = told.simulation().world().metered();
    for (lane, counted) in metered {
        println!("{lane}: {counted:?}");
        assert!(counted.throttled * 4 <= counted.calls, "{lane}: {counted:?}");
    }
}
