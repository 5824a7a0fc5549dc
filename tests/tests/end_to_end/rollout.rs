//! One release event in, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use manifold_core::ids::RunId;
use manifold_core::run::{Outcome, Verdict};
use manifold_core::summary::Summary;
use manifold_tests::local_aws::front::codepipeline::{Behaviour, Execution, PipelineId};
use manifold_tests::local_aws::front::faults::{Fault, Which};
use manifold_tests::local_aws::organization::{COMMIT, Organization, PIPELINE, Weather};
use manifold_tests::local_aws::patience;
use manifold_tests::local_aws::server::Server;

/// More than enough for a run of ten targets, and longer than a worker in the way of another holds it up (two minutes).
const LIMIT: Duration = Duration::from_secs(300);
/// A message is hidden, and a claim held, for two minutes.
const LIMIT_OF_A_LEASE: Duration = Duration::from_secs(420);

/// A message that says what another worker is doing just now fails and comes again: here after seconds, and not minutes.
const DUPLICATE: u32 = 10;

/// One execution in each of the ten targets, with what every start must carry.
fn ten_executions(story: &Organization, run: &str) {
    let mut places = BTreeSet::new();
    for account in [&story.dev, &story.prod] {
        for execution in story.front().pipelines().executions(account) {
            assert_eq!(execution.pipeline.name, PIPELINE);
            assert_eq!(&execution.pipeline.account, account);
            // Started by the session of that account's own role, whose name tells the run.
            let session = format!("arn:aws:sts::{account}:assumed-role/ManifoldTarget/mf-{run}");
            assert_eq!(execution.cause.detail(), session);
            assert_eq!(execution.pinned, BTreeMap::from([("Source".to_owned(), COMMIT.to_owned())]));
            assert_eq!(execution.variables["COMMIT"], COMMIT);
            let stage = if *account == story.dev { "dev" } else { "prod" };
            assert_eq!(execution.variables["STAGE"], stage);
            places.insert((execution.pipeline.account.clone(), execution.pipeline.region.clone()));
        }
    }
    assert_eq!(places.len(), 10, "{places:#?}");
    assert_eq!(executions(story).len(), 10);
}

/// One release event, delivered once, and what comes of it.
async fn release(story: &Organization) -> (RunId, Summary) {
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    let summary = story.settle(&run, LIMIT).await;
    (run, summary)
}

fn executions(story: &Organization) -> Vec<Execution> {
    let pipelines = story.front().pipelines();
    [&story.dev, &story.prod].into_iter().flat_map(|account| pipelines.executions(account)).collect()
}

fn target(account: &str, region: &str) -> PipelineId {
    PipelineId::new(account, region, PIPELINE)
}

fn outcome(summary: &Summary, name: &str) -> Option<Outcome> {
    let (account, region) = name.split_once('/').unwrap();
    let line = summary.targets.iter().find(|line| line.account_name == account && line.key.region.as_str() == region);
    line.expect("a target of the fleet").status.outcome()
}

/// The one message of the run, as it stands in Slack at the end.
fn one_message(story: &Organization) -> String {
    let messages = story.slack().messages();
    let posted: Vec<_> = messages.iter().filter(|message| message.thread_ts.is_none()).collect();
    assert_eq!(posted.len(), 1, "{messages:#?}");
    posted[0].shown().to_string()
}

#[tokio::test]
async fn one_release_event_deploys_ten_targets_and_edits_one_message() {
    let story = Organization::installed().await;
    let (run, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, run.as_str());
    let message = one_message(&story);
    for words in ["succeeded", &COMMIT[..8], "Mary Major"] {
        assert!(message.contains(words), "{words} is missing: {message}");
    }
    // Posted while the run went on, and edited in place; how often depends on how fast it was.
    let versions = &story.slack().messages()[0].versions;
    assert!(versions.len() >= 2 && versions[0].to_string().contains("in progress"), "{versions:#?}");
    assert_eq!(story.queues().await, BTreeMap::new(), "nothing is left in any queue");
    assert_eq!(story.refused(), []);
    // Once for each account in each instance of deploy, and never more often than there are targets.
    let sessions = story.front().calls(&story.hub)["sts.AssumeRole"];
    assert!((2..=10).contains(&sessions), "{sessions} sessions");
    assert_eq!(story.front().troubles(), [""; 0]);
}

#[tokio::test]
async fn a_failed_target_is_told_with_its_reason_and_fails_no_other() {
    let story = Organization::installed().await;
    story.hide_for("deploy", DUPLICATE).await;
    let failure = Behaviour::fails("Deploy", "JobFailed", "The health checks of 3 of 4 instances failed");
    story.front().pipelines().behave(&target(&story.prod, "eu-west-1"), failure);
    let (run, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::CompletedWithFailures));
    assert_eq!(outcome(&summary, "prod/eu-west-1"), Some(Outcome::Failed));
    assert_eq!(summary.tally.succeeded, 9);
    ten_executions(&story, run.as_str());
    let messages = story.slack().messages();
    let thread: Vec<_> = messages.iter().filter(|message| message.thread_ts.is_some()).collect();
    assert_eq!(thread.len(), 1, "{messages:#?}");
    assert!(thread[0].shown().to_string().contains("JobFailed"), "{:#?}", thread[0]);
    assert!(one_message(&story).contains("Deploy"), "the failed action is named");
}

#[tokio::test]
async fn an_account_without_its_role_is_unreachable_and_one_cause() {
    let story = Organization::installed().await;
    let iam = story.iam(&story.prod).await;
    iam.delete_role_policy().role_name("ManifoldTarget").policy_name("pipelines").send().await.unwrap();
    iam.delete_role().role_name("ManifoldTarget").send().await.unwrap();
    let (_, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::Failed));
    assert_eq!((summary.tally.succeeded, summary.tally.unreachable + summary.tally.skipped), (5, 5));
    assert!(executions(&story).iter().all(|execution| execution.pipeline.account == story.dev));
    let denied: Vec<_> = summary.causes.iter().filter(|cause| cause.outcome == Outcome::Unreachable).collect();
    assert_eq!(denied.len(), 1, "{:?}", summary.causes);
    assert_eq!(denied[0].cause, "AccessDenied on role ManifoldTarget");
    assert!(one_message(&story).contains("AccessDenied on role ManifoldTarget"));
}

#[tokio::test]
async fn a_missing_pipeline_fails_its_target_and_no_other() {
    let story = Organization::installed().await;
    story.front().pipelines().delete(&target(&story.prod, "ca-central-1"));
    let (_, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::CompletedWithFailures));
    assert_eq!(summary.causes[0].cause, "Pipeline svc-deploy not found");
    assert_eq!(outcome(&summary, "prod/ca-central-1"), Some(Outcome::Failed));
    assert_eq!(executions(&story).len(), 9);
}

#[tokio::test]
async fn throttling_by_sts_costs_time_and_nothing_else() {
    let story = Organization::installed().await;
    story.front().faults().inject(&story.hub, "sts.AssumeRole", Fault::Throttled, Which::Next(7));
    let (run, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, run.as_str());
    one_message(&story);
}

#[tokio::test]
async fn a_release_event_that_comes_three_times_is_one_run() {
    let story = Organization::installed().await;
    story.hide_for("deploy", DUPLICATE).await;
    let event = story.release();
    let run = story.run_of(&event);
    for _ in 0..3 {
        story.put(&event).await;
    }
    let summary = story.settle(&run, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, run.as_str());
    one_message(&story);
}

#[tokio::test]
async fn events_that_come_twice_or_backwards_change_nothing() {
    for weather in [Weather::Doubled, Weather::Reversed] {
        let story = Organization::installed().await.weather(weather);
        story.hide_for("deploy", DUPLICATE).await;
        let (run, summary) = release(&story).await;
        assert_eq!(summary.verdict, Some(Verdict::Succeeded), "{weather:?}");
        ten_executions(&story, run.as_str());
        one_message(&story);
    }
}

/// Killed when CodePipeline has started the execution and has not answered yet: the worst moment. The message comes
/// again, when the dead worker's claim has run out, and whoever takes over finds the execution.
#[tokio::test]
async fn a_function_killed_in_its_call_starts_nothing_twice() {
    let story = Organization::installed().await;
    story.hide_for("deploy", 125).await;
    let event = story.release();
    let run = story.run_of(&event);
    let mut held = story.front().faults().hold(&story.dev, "codepipeline.StartPipelineExecution");
    story.put(&event).await;
    patience::within("deploy's first start", LIMIT, held.reached()).await;
    assert!(Server::kill(&story.name("deploy")) > 0, "no instance of deploy was running");
    held.let_go();
    let summary = story.settle(&run, LIMIT_OF_A_LEASE).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, run.as_str());
    one_message(&story);
}

#[tokio::test]
async fn a_poison_message_ends_as_a_dead_letter_and_takes_nothing_with_it() {
    let story = Organization::installed().await;
    story.hide_for("collect", 1).await;
    let sqs = story.sqs().await;
    let poison = "{ this is not what it should be";
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    sqs.send_message().queue_url(story.queue("collect").await).message_body(poison).send().await.unwrap();
    let summary = story.settle(&run, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, run.as_str());
    patience::until("the dead letter", LIMIT, async || {
        let dead = story.messages("collect-dead").await;
        if dead == [poison] { Ok(()) } else { Err(format!("{dead:?}, queues {:?}", story.queues().await)) }
    })
    .await;
}

/// The schedule ticks, the sweep finds ten targets that were silent for five minutes, and deploy asks CodePipeline.
#[tokio::test]
#[ignore = "takes seven minutes: the sweep asks after five minutes of silence, by the clock of the functions"]
async fn when_every_event_is_lost_the_sweep_finds_out_and_says_so() {
    let story = Organization::new().await.weather(Weather::Lost);
    let fleet = story.fleet();
    let (before, _) = fleet.split_once("    waves:").unwrap();
    story.write_fleet(&format!("{before}    waves: [ {{ name: all, max_concurrent: 10 }} ]\n    deadline: 2h\n"));
    story.install().await;
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    let summary = story.settle(&run, Duration::from_secs(900)).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, run.as_str());
    let message = one_message(&story);
    assert!(message.contains("10 results were asked for"), "{message}");
}
