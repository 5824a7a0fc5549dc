//! Law 9: what earlier versions left in the middle of a run is read, and the run goes on to its end.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::ids::{RunId, TargetKey};
use manifold_core::ledger::Item;
use manifold_core::message::{Message, SCHEMA};
use manifold_core::run::Verdict;
use manifold_core::time::Span;
use manifold_local::faults::Faults;
use manifold_local::simulation::Simulation;
use manifold_local::world::{Inbox, Left, Underway};
use manifold_tests::Told;
use manifold_tests::stored::{Fixture, Shape, record, recorded, story};

/// The engine does not remember its tokens: only what an older version stored keeps its attempts from starting twice.
fn faults() -> Faults {
    Faults { tokens_forgotten: true, ..Faults::default() }
}

fn name(fixture: &Fixture) -> String {
    format!("{}/{}", fixture.version, fixture.step)
}

fn left(fixture: &Fixture) -> Left {
    fixture.read().unwrap_or_else(|error| panic!("{} can't be read: {error}", name(fixture)))
}

/// How often each target was started, by run.
fn started(simulation: &Simulation) -> BTreeMap<(RunId, TargetKey), usize> {
    let mut counts = BTreeMap::new();
    for execution in simulation.world().executions() {
        *counts.entry((execution.run, execution.target)).or_default() += 1;
    }
    counts
}

fn verdicts(simulation: &Simulation) -> Vec<(RunId, Option<Verdict>)> {
    simulation.verdicts().into_iter().collect()
}

/// Whether a worker of the older version died between Slack's answer and its record (the known gap in law 3).
fn has_gap(left: &Left) -> bool {
    let known: BTreeSet<&str> = left
        .records
        .iter()
        .filter_map(|record| {
            let Item::Summary(posting) = &record.item else { return None };
            posting.message.as_ref()?.ts.as_deref()
        })
        .collect();
    let mut posted =
        left.posted.iter().filter(|posted| posted.thread.is_none()).filter_map(|posted| posted.ts.as_deref());
    posted.any(|ts| !known.contains(ts))
}

/// The messages that need not be edited any more: of runs whose verdict was given, and their replies.
fn told(left: &Left) -> BTreeSet<String> {
    let has_verdict = |item: &Item| matches!(item, Item::Head(head) if head.verdict().is_some());
    let ended = left.records.iter().filter(|record| has_verdict(&record.item)).map(|record| &record.pk);
    let ended: BTreeSet<&String> = ended.collect();
    let messages = left.records.iter().filter(|record| ended.contains(&record.pk)).filter_map(|record| {
        let Item::Summary(posting) = &record.item else { return None };
        Some([&posting.message, &posting.thread])
    });
    messages.flatten().flatten().filter_map(|posted| posted.ts.clone()).collect()
}

#[test]
fn what_any_version_stored_or_sent_reads_as_what_it_is_and_is_still_readable_once_it_was_rewritten() {
    for fixture in recorded() {
        for record in left(&fixture).records {
            let rewritten = serde_json::to_string(&record.item).unwrap();
            let again: Item = serde_json::from_str(&rewritten).unwrap();
            assert_eq!(again, record.item, "{}: {} {}", name(&fixture), record.pk, record.sk);
        }
        for underway in left(&fixture).letters.into_iter().filter(|underway| Message::is_ours(&underway.letter.body)) {
            let message = Message::decode(&underway.letter.body).unwrap();
            assert_eq!(Message::decode(&message.encode().unwrap()).unwrap(), message, "{}", name(&fixture));
        }
    }
}

#[test]
fn a_run_that_any_version_left_at_any_step_goes_on_to_the_end_it_would_have_had() {
    let mut undisturbed: BTreeMap<String, Simulation> = BTreeMap::new();
    let fixtures = recorded();
    assert!(fixtures.len() > 40, "{} fixtures", fixtures.len());
    for fixture in fixtures {
        let expected = undisturbed.entry(fixture.story.clone()).or_insert_with(|| {
            let mut simulation = story(&fixture.story).begin();
            simulation.run().unwrap();
            simulation
        });
        let left = left(&fixture);
        let (gap, told) = (has_gap(&left), told(&left));
        // Another seed than any version told its story with: executions of both must not share an id.
        let mut simulation = story(&fixture.story).faults(faults()).seed(77).resume(left);
        simulation.run().unwrap();
        assert_eq!(verdicts(&simulation), verdicts(expected), "{}", name(&fixture));
        assert_eq!(started(&simulation), started(expected), "{}", name(&fixture));
        let calls = simulation.world().slack_calls();
        for ts in calls.iter().filter_map(|call| call.ts.as_deref()).filter(|ts| !told.contains(*ts)) {
            let last = calls.iter().rfind(|call| call.ts.as_deref() == Some(ts)).unwrap();
            assert!(last.body.get("blocks").is_some(), "{}: the message {ts} is not kept up to date", name(&fixture));
        }
        Told::of(simulation).check_invariants(gap);
    }
}

#[test]
fn a_run_that_an_older_version_left_goes_on_although_every_event_that_was_to_come_is_lost() {
    for fixture in recorded() {
        let mut left = left(&fixture);
        // What a function had received comes again, and releases are repeated by nobody; what targets do is asked for.
        left.letters.retain(|Underway { letter, .. }| {
            letter.receives > 0 || letter.inbox == Inbox::Dispatch || Message::is_ours(&letter.body)
        });
        let gap = has_gap(&left);
        let faults = Faults { lost: 1.0, ..faults() };
        let mut simulation = story(&fixture.story).faults(faults).seed(77).resume(left);
        simulation.run().unwrap();
        for (run, verdict) in verdicts(&simulation) {
            assert!(verdict.is_some(), "{}: {run}", name(&fixture));
        }
        Told::of(simulation).check_invariants(gap);
    }
}

#[test]
fn a_message_of_a_newer_version_is_kept_for_it_and_keeps_nobody_from_going_on() {
    let newer = |body: &str| body.replace(&format!("\"schema\":{SCHEMA}"), &format!("\"schema\":{}", SCHEMA + 1));
    for fixture in recorded().into_iter().filter(|fixture| fixture.step == "running") {
        let mut left = left(&fixture);
        left.letters.retain(|underway| !Message::is_ours(&underway.letter.body));
        let mut simulation = story(&fixture.story).faults(faults()).seed(77).resume(left);
        let run = simulation.world().runs().remove(0);
        let mut bodies = BTreeSet::new();
        for (inbox, payload) in
            [(Inbox::Deploy, "start"), (Inbox::Collect, "deadline"), (Inbox::Summarize, "summarize")]
        {
            let data = match inbox {
                Inbox::Deploy => format!(r#"{{"run":"{run}","index":0,"attempt":1}}"#),
                Inbox::Dispatch | Inbox::Collect | Inbox::Summarize | Inbox::Inspect | Inbox::Job => {
                    format!(r#"{{"run":"{run}"}}"#)
                }
            };
            let body = newer(&format!(r#"{{"schema":{SCHEMA},"payload":{{"type":"{payload}","data":{data}}}}}"#));
            simulation.world().deliver(inbox, body.clone(), Span::from_seconds(1));
            bodies.insert(body);
        }
        simulation.run().unwrap();
        let dead: BTreeSet<String> = simulation.world().dead_letters().into_iter().map(|letter| letter.body).collect();
        assert_eq!(dead, bodies, "{}", name(&fixture));
        assert!(simulation.verdicts().values().all(Option::is_some), "{}", name(&fixture));
    }
}

#[test]
fn the_shape_of_what_is_stored_and_sent_is_the_shape_of_some_recorded_version() {
    let (_, now) = record("this");
    let mut versions: BTreeMap<String, Vec<Fixture>> = BTreeMap::new();
    for fixture in recorded() {
        versions.entry(fixture.version.clone()).or_default().push(fixture);
    }
    let differences: BTreeMap<&str, Vec<String>> =
        versions.iter().map(|(version, fixtures)| (version.as_str(), now.differences(&Shape::of(fixtures)))).collect();
    let (closest, fewest) = differences.iter().min_by_key(|(_, differences)| differences.len()).unwrap();
    assert!(
        fewest.is_empty(),
        "what this version stores or sends has a shape that no recorded version has. If that is meant (and every new field \
         has its `#[serde(default)]`), record it, so that the versions to come are tested with it:\n\
         cargo run -p manifold-tests --no-default-features --example record_stored -- tests/stored/schema-1-what-is-new\n\
         compared with {closest}:\n{}",
        fewest.join("\n")
    );
}
