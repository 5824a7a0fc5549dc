//! What goes wrong around a run, and what comes of it all the same: the right verdict, ten executions, one message, and
//! nothing in any queue. Every story looks whether its fault has really happened, so that none ends well because nothing
//! went wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use manifold_core::ids::RunId;
use manifold_core::run::Verdict;
use manifold_core::summary::Summary;
use manifold_tests::local_aws::chance::seeds;
use manifold_tests::local_aws::front::codepipeline::Behaviour;
use manifold_tests::local_aws::front::hazards::{Course, Hazard, Plan, Struck};
use manifold_tests::local_aws::organization::{Organization, StateChange, Told, Weather};

use crate::story::{DUPLICATE, one_message, target, ten_executions};

/// More than enough for five minutes of silence, or for a few dead workers, each of whom holds its target for two minutes,
/// also where many stories are told at once.
const LONG: Duration = Duration::from_secs(1_200);
/// A message of a dead worker comes again when its claim has run out.
const AFTER_THE_LEASE: u32 = 125;

/// Says at the end what befell a story's functions; a test's output is shown if it fails. With its seed it can be told
/// again.
struct Witness<'a>(&'a Organization, u64);

impl Drop for Witness<'_> {
    #[expect(clippy::print_stdout, reason = "a test's output is shown if it fails")]
    fn drop(&mut self) {
        let struck: Vec<String> = self.0.struck().iter().map(Struck::to_string).collect();
        println!("MANIFOLD_TEST_SEEDS={}\n{}", self.1, struck.join("\n"));
    }
}

/// What must hold in the end, whatever went wrong. Returns the message as it stands in Slack.
async fn ended_well(story: &Organization, run: &RunId, summary: &Summary) -> String {
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    assert_eq!(summary.tally.succeeded, 10);
    ten_executions(story, run);
    story.emptied(LONG).await;
    assert_eq!(story.refused(), []);
    assert_eq!(story.front().troubles(), [""; 0]);
    let message = one_message(story);
    assert!(message.contains("succeeded"), "{message}");
    message
}

/// All targets at once, so that what takes its time takes it once.
async fn in_one_wave(story: Organization) -> Organization {
    let fleet = story.fleet();
    let (before, _) = fleet.split_once("    waves:").unwrap();
    story.write_fleet(&format!("{before}    waves: [ {{ name: all, max_concurrent: 10 }} ]\n    deadline: 2h\n"));
    story.install().await;
    story
}

fn are(what: &str, changes: &[StateChange]) -> usize {
    changes.iter().filter(|change| change.what.starts_with(what)).count()
}

#[tokio::test]
async fn when_every_event_comes_twice_nothing_happens_twice() {
    let story = Organization::installed().await.weather(Weather::Doubled);
    story.hide_for("deploy", DUPLICATE).await;
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    story.put(&event).await;
    let summary = story.settle(&run, LONG).await;
    ended_well(&story, &run, &summary).await;
    let Told { happened, delivered } = story.told();
    assert_eq!((are("STARTED", &happened), are("SUCCEEDED", &happened)), (10, 10), "{happened:#?}");
    let twice: Vec<StateChange> = happened.iter().flat_map(|change| [change.clone(), change.clone()]).collect();
    assert_eq!(delivered, twice);
}

/// Two executions fail, and are retried by somebody before EventBridge has told of it: one in a wave that would end with
/// the failure, so that whoever took FAILED for the last word would stop the run.
#[tokio::test]
async fn when_every_event_comes_in_reverse_order_it_ends_the_same() {
    let story = Organization::installed().await.weather(Weather::Reversed).retrying();
    story.hide_for("deploy", DUPLICATE).await;
    for account in [&story.dev, &story.prod] {
        let once = Behaviour::fails_at_first("Deploy", "JobFailed", "The health checks failed", 1);
        story.front().pipelines().behave(&target(account, "eu-west-1"), once);
    }
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    let summary = story.settle(&run, LONG).await;
    ended_well(&story, &run, &summary).await;
    let told = story.told();
    let (happened, delivered) = (Told::by_target(&told.happened), Told::by_target(&told.delivered));
    assert_eq!(happened.len(), 10);
    for (target, mut changes) in happened {
        let expected: &[&str] = match target.ends_with("eu-west-1") {
            true => &["STARTED 1", "action FAILED 1", "FAILED 1", "RESUMED 2", "SUCCEEDED 2"],
            false => &["STARTED 1", "SUCCEEDED 1"],
        };
        assert_eq!(changes, expected, "{target}");
        changes.reverse();
        assert_eq!(delivered[target], changes, "{target}");
    }
}

/// The schedule ticks, the sweep finds ten targets that were silent for five minutes, and deploy asks CodePipeline.
#[tokio::test]
#[ignore = "takes seven minutes: the sweep asks after five minutes of silence, by the clock of the functions"]
async fn when_every_event_is_lost_the_sweep_finds_out_and_says_so() {
    let story = in_one_wave(Organization::new().await).await.weather(Weather::Lost);
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    let summary = story.settle(&run, LONG).await;
    let message = ended_well(&story, &run, &summary).await;
    assert!(message.contains("10 results were asked for"), "{message}");
    let Told { happened, delivered } = story.told();
    assert_eq!((are("SUCCEEDED", &happened), delivered), (10, vec![]));
}

/// Those whose SUCCEEDED is lost are asked for, and nobody else.
#[tokio::test]
#[ignore = "takes seven minutes: the sweep asks after five minutes of silence, by the clock of the functions"]
async fn when_a_third_of_the_events_is_lost_the_sweep_asks_for_what_is_missing() {
    join_all(seeds(&[10]).into_iter().map(async |seed| {
        let weather = Weather::LostInPart { seed, of_hundred: 30 };
        let story = in_one_wave(Organization::new().await).await.weather(weather);
        let _witness = Witness(&story, seed);
        let event = story.release();
        let run = story.run_of(&event);
        story.put(&event).await;
        let summary = story.settle(&run, LONG).await;
        let message = ended_well(&story, &run, &summary).await;
        let Told { happened, delivered } = story.told();
        let (delivered, happened): (BTreeSet<_>, BTreeSet<_>) =
            (delivered.into_iter().collect(), happened.into_iter().collect());
        let lost: Vec<StateChange> = happened.difference(&delivered).cloned().collect();
        println!("seed {seed}: {} of {} events are lost", lost.len(), happened.len());
        let unheard = are("SUCCEEDED", &lost);
        assert!(unheard > 0 && !delivered.is_empty(), "with seed {seed} this says nothing: {lost:#?}");
        assert_eq!(usize::try_from(summary.asked_for), Ok(unheard), "{lost:#?}");
        assert!(message.contains("asked for"), "{message}");
    }))
    .await;
}

/// Twelve deaths, at most: the seed says in which call of which function, and whether before the call or after it, when nobody
/// hears the answer. `summarize` is spared in one place, the known gap of law 3: see [`Plan::Kills`].
#[tokio::test]
#[ignore = "takes some minutes: a dead worker's claim holds for two, by the clock of the functions"]
async fn when_functions_are_killed_all_along_the_run_ends_well() {
    const COURSES: [Course; 5] = [
        Course { function: "dispatch", most: 2, within: 4 },
        Course { function: "deploy", most: 3, within: 30 },
        Course { function: "collect", most: 3, within: 6 },
        Course { function: "summarize", most: 2, within: 6 },
        Course { function: "sweep", most: 2, within: 4 },
    ];
    join_all(seeds(&[1, 2]).into_iter().map(async |seed| {
        let story = in_one_wave(Organization::new().await).await;
        let _witness = Witness(&story, seed);
        story.over_the_front(&["DYNAMODB", "SQS"]).await;
        for (queue, seconds) in [("dispatch", 5), ("deploy", AFTER_THE_LEASE), ("collect", 5), ("summarize", 5)] {
            story.hide_for(queue, seconds).await;
        }
        let event = story.release();
        let run = story.run_of(&event);
        let workspace = format!("T{}", story.hub);
        story.endanger(seed, Plan::Kills { workspace }, &COURSES);
        story.put(&event).await;
        let summary = story.settle(&run, LONG).await;
        ended_well(&story, &run, &summary).await;
        let struck = story.struck();
        let dead: BTreeSet<&str> = struck.iter().map(|struck| struck.function.as_str()).collect();
        assert_eq!(dead.len(), COURSES.len(), "not all functions died: {struck:#?}");
        for hazard in [Hazard::KilledBefore, Hazard::KilledAfter] {
            assert!(struck.iter().any(|struck| struck.hazard == hazard), "no process was {hazard:?}: {struck:#?}");
        }
        let most: u64 = COURSES.iter().map(|course| course.most).sum();
        assert!(u64::try_from(struck.len()).unwrap() <= most, "{struck:#?}");
    }))
    .await;
}

/// A third of all calls to the table, and nine so often that whoever makes them gives up.
#[tokio::test]
async fn when_the_table_is_throttled_and_loses_answers_the_run_takes_longer_and_ends_the_same() {
    const COURSES: [Course; 5] = [
        Course { function: "dispatch", most: 1, within: 4 },
        Course { function: "deploy", most: 2, within: 25 },
        Course { function: "collect", most: 3, within: 6 },
        Course { function: "summarize", most: 2, within: 6 },
        Course { function: "sweep", most: 1, within: 4 },
    ];
    const OPERATIONS: [&str; 5] = ["BatchGetItem", "GetItem", "PutItem", "Query", "TransactWriteItems"];
    join_all(seeds(&[1]).into_iter().map(async |seed| {
        let story = in_one_wave(Organization::new().await).await;
        let _witness = Witness(&story, seed);
        story.over_the_front(&["DYNAMODB"]).await;
        for (queue, seconds) in [("dispatch", 5), ("deploy", AFTER_THE_LEASE), ("collect", 5), ("summarize", 5)] {
            story.hide_for(queue, seconds).await;
        }
        story.endanger(seed, Plan::Throttling, &COURSES);
        let event = story.release();
        let run = story.run_of(&event);
        story.put(&event).await;
        let summary = story.settle(&run, LONG).await;
        ended_well(&story, &run, &summary).await;
        let struck = story.struck();
        let fatal: Vec<&Struck> = struck.iter().filter(|struck| struck.is_fatal).collect();
        let carried_out: u64 = {
            let calls = story.front().calls(&story.hub).into_iter();
            calls.filter(|(name, _)| name.starts_with("dynamodb.")).map(|(_, count)| count).sum()
        };
        // Those that get no answer are carried out, too.
        let count = u64::try_from(struck.len()).unwrap();
        assert!(4 * count > carried_out, "{count} calls are struck, and {carried_out} carried out");
        let failed: BTreeSet<&str> = fatal.iter().map(|struck| struck.function.as_str()).collect();
        assert_eq!(failed.len(), COURSES.len(), "not all functions were refused for good: {fatal:#?}");
        for operation in OPERATIONS {
            let operation = format!("dynamodb.{operation}");
            assert!(
                struck.iter().any(|struck| struck.operation == operation),
                "no {operation} was struck: {struck:#?}"
            );
        }
        for hazard in [Hazard::Throttled, Hazard::HalfThrottled, Hazard::Unanswered] {
            assert!(struck.iter().any(|struck| struck.hazard == hazard), "no call was {hazard:?}: {struck:#?}");
        }
    }))
    .await;
}
