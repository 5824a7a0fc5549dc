//! One release event in, and what becomes of it.

use manifold_core::run::{Outcome, Verdict};
use manifold_tests::local_aws::front::codepipeline::Behaviour;
use manifold_tests::local_aws::front::faults::{Fault, Which};
use manifold_tests::local_aws::organization::{COMMIT, Organization};
use manifold_tests::local_aws::{patience, processes};

use crate::story::{DUPLICATE, LIMIT, executions, one_message, outcome, release, target, ten_executions};

#[tokio::test]
async fn one_release_event_deploys_ten_targets_and_edits_one_message() {
    let story = Organization::installed().await;
    let (run, summary) = release(&story).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, &run);
    let message = one_message(&story);
    for words in ["succeeded", &COMMIT[..8], "Mary Major"] {
        assert!(message.contains(words), "{words} is missing: {message}");
    }
    // Posted while the run went on, and edited in place; how often depends on how fast it was.
    let versions = &story.slack().messages()[0].versions;
    assert!(versions.len() >= 2 && versions[0].to_string().contains("in progress"), "{versions:#?}");
    story.emptied(LIMIT).await;
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
    ten_executions(&story, &run);
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
    iam.delete_role_policy().role_name("ManifoldTarget").policy_name("targets").send().await.unwrap();
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
    ten_executions(&story, &run);
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
    ten_executions(&story, &run);
    one_message(&story);
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
    assert!(processes::kill(&story.name("deploy")) > 0, "no instance of deploy was running");
    held.let_go();
    let summary = story.settle(&run, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, &run);
    one_message(&story);
}

#[tokio::test]
async fn a_poison_message_ends_as_a_dead_letter_and_takes_nothing_with_it() {
    let story = Organization::installed().await;
    story.hide_for("collect", 1).await;
    // Nothing is received until the poison is among the events of a whole wave: fewer than a batch of collect holds.
    story.receive("collect", false).await;
    let poison = "{ this is not what it should be";
    let event = story.release();
    let run = story.run_of(&event);
    story.put(&event).await;
    patience::until("the first wave's events", LIMIT, async || {
        let moved = story.advance().await;
        let (told, executions) = (story.told().delivered.len(), executions(&story).len());
        if moved == 0 && executions == 5 && told == 10 { Ok(()) } else { Err(format!("{executions}, {told}")) }
    })
    .await;
    let queue = story.queue("collect").await;
    story.sqs().await.send_message().queue_url(queue).message_body(poison).send().await.unwrap();
    assert_eq!(story.queues().await["collect"], [11, 0, 0], "the poison, and two events of each target");
    story.receive("collect", true).await;
    let summary = story.settle(&run, LIMIT).await;
    assert_eq!(summary.verdict, Some(Verdict::Succeeded));
    ten_executions(&story, &run);
    patience::until("the dead letter", LIMIT, async || {
        let dead = story.messages("collect-dead").await;
        if dead == [poison] { Ok(()) } else { Err(format!("{dead:?}, queues {:?}", story.queues().await)) }
    })
    .await;
    one_message(&story);
}
