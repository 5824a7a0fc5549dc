//! What a run costs: API calls of the main job on the real adapters, counted at the SDK.
//!
//! `cargo test -p manifold-tests --test api_calls -- --nocapture` prints the table.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use manifold_aws::clients::CallCounter;
use manifold_core::run::Verdict;
use manifold_tests::cloud::{Cloud, CloudStory};

type Calls = BTreeMap<String, u64>;

/// Tells a story and counts: the SDK's calls by operation, and Slack's, which are none of the SDK's.
async fn count(story: CloudStory) -> (Cloud, Calls) {
    let counter = CallCounter::new();
    let cloud = story.counting(&counter).tell().await;
    let mut calls = counter.operations();
    assert_eq!(calls, counter.requests(), "nothing failed, so that nothing was sent twice");
    cloud.check_invariants().await;
    assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded));
    assert_eq!(cloud.standin().executions().len(), 10);
    for call in cloud.standin().slack_calls() {
        *calls.entry(format!("Slack.{}", call.method)).or_default() += 1;
    }
    (cloud, calls)
}

/// One row an operation, one pair of columns a story.
fn table(columns: &[(&str, &Cloud, &Calls)]) -> String {
    let mut text = format!("{:<40}", "10 targets, 2 accounts × 5 Regions");
    for (name, _, _) in columns {
        write!(text, "{name:>12} {:>11}", "per target").unwrap();
    }
    let row = |text: &mut String, name: &str, counts: &[u64]| {
        write!(text, "\n{name:<40}").unwrap();
        for count in counts {
            write!(text, "{count:>12} {:>9}.{}", count / 10, count % 10).unwrap();
        }
    };
    let operations: BTreeSet<&String> = columns.iter().flat_map(|(_, _, calls)| calls.keys()).collect();
    for operation in operations {
        let counts: Vec<u64> = columns.iter().map(|(_, _, calls)| calls.get(operation).copied().unwrap_or(0)).collect();
        row(&mut text, operation, &counts);
    }
    let all: Vec<u64> = columns.iter().map(|(_, _, calls)| calls.values().sum()).collect();
    row(&mut text, "all", &all);
    let invocations: Vec<u64> = columns.iter().map(|(_, cloud, _)| u64::from(cloud.invocations())).collect();
    row(&mut text, "invocations of functions", &invocations);
    text
}

#[tokio::test]
async fn ten_targets_cost_one_start_each_and_one_role_for_each_account() {
    let (once, calls) = count(CloudStory::new()).await;
    let (twice, calls_twice) = count(CloudStory::new().every_message_twice()).await;
    println!("\n{}\n", table(&[("once", &once, &calls), ("every ×2", &twice, &calls_twice)]));
    for calls in [&calls, &calls_twice] {
        assert_eq!(calls["STS.AssumeRole"], 2);
        assert_eq!(calls["CodePipeline.StartPipelineExecution"], 10);
        // A secret is kept for five minutes, and the run takes less than ten.
        assert!((1..=2).contains(&calls["Secrets Manager.GetSecretValue"]));
        assert_eq!(calls["Slack.chat.postMessage"], 1);
        assert!(!calls.contains_key("CodePipeline.ListPipelineExecutions"), "nobody was put back");
    }
    assert_eq!(calls["CodePipeline.GetPipelineExecution"], 1, "the release is described once");
    // A claim and a record for each target at least, and not a write for each of a batch's events.
    let writes = calls["DynamoDB.TransactWriteItems"] + calls["DynamoDB.PutItem"];
    assert!((20..100).contains(&writes), "{writes} writes");
    assert!(once.overdue() <= 1, "nothing was lost, and the sweep sent nothing but a last look at what Slack shows");
}

#[tokio::test]
async fn a_tick_of_the_sweep_costs_one_read_at_rest_and_a_handful_in_a_run() {
    let counter = CallCounter::new();
    let mut cloud = CloudStory::new().counting(&counter).begin().await;
    let tick = async |cloud: &mut Cloud| {
        let before = counter.operations();
        let tick = cloud.tick().await;
        let mut calls = counter.operations();
        calls.retain(|operation, count| {
            *count -= before.get(operation).copied().unwrap_or(0);
            *count > 0
        });
        (tick, calls)
    };
    let (at_rest, calls) = tick(&mut cloud).await;
    println!("\na tick at rest: {calls:?}");
    assert_eq!((at_rest.open, calls), (0, Calls::from([("DynamoDB.Query".to_owned(), 1)])));
    cloud.deliver_until_executions(5).await;
    let (in_a_run, calls) = tick(&mut cloud).await;
    println!("a tick in a run of ten targets: {calls:?}\n");
    assert_eq!((in_a_run.open, in_a_run.targets, in_a_run.sent), (1, 5, 0));
    assert_eq!(calls.values().sum::<u64>(), 5, "the open runs, the run, its plan, its targets, and a note: {calls:?}");
    cloud.run().await;
    cloud.check_invariants().await;
    let (at_rest, calls) = tick(&mut cloud).await;
    assert_eq!((at_rest.open, calls.values().sum::<u64>()), (0, 1), "{calls:?}");
}
