//! The main job over the real adapters: the five functions, the SDK and HTTP, against a strict stand-in for AWS and
//! Slack.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use manifold_core::run::{Outcome, Verdict};
use manifold_tests::cloud::{Cloud, CloudStory};
use manifold_tests::{COMMIT, EVENT, FLEET, Story};
use serde_json::json;

/// One execution in each of the ten targets, each started by the one session of its own account.
fn ten_executions(cloud: &Cloud) {
    let executions = cloud.standin().executions();
    let targets: BTreeSet<String> = executions.iter().map(|execution| execution.target.to_string()).collect();
    assert_eq!((executions.len(), targets.len()), (10, 10), "{targets:?}");
    let run = &cloud.runs()[0];
    for execution in executions {
        let account = &execution.target.account;
        let session = format!("arn:aws:sts::{account}:assumed-role/ManifoldTarget/{}", run.session_name());
        assert_eq!(execution.started_by, session);
    }
}

/// The calls of Slack by method.
fn slack_methods(cloud: &Cloud) -> BTreeMap<&'static str, usize> {
    let mut methods = BTreeMap::new();
    for call in cloud.standin().slack_calls() {
        *methods.entry(call.method).or_default() += 1;
    }
    methods
}

#[tokio::test]
async fn one_release_event_deploys_ten_targets_and_edits_one_message() {
    let cloud = CloudStory::new().tell().await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded));
    for execution in cloud.standin().executions() {
        let pinned = json!([{"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": COMMIT}]);
        assert_eq!(execution.revisions, pinned, "{}", execution.target);
        assert_eq!(execution.variables["COMMIT"], COMMIT);
        let (account, region) = (&execution.target.account, &execution.target.region);
        assert_eq!(execution.variables["ARTIFACTS"], format!("web-artifacts-{account}-{region}"));
        assert_eq!(execution.requests, 1);
    }
    let sessions = cloud.standin().assumed();
    let accounts: Vec<&str> = sessions.keys().map(|(account, _)| account.as_str()).collect();
    assert_eq!(accounts, ["444455556666", "777788889999"]);
    assert!(sessions.values().all(|times| *times == 1), "one AssumeRole for each account: {sessions:?}");
    let methods = slack_methods(&cloud);
    assert_eq!(methods["chat.postMessage"], 1);
    assert!(methods["chat.update"] >= 2, "{methods:?}");
    let calls = cloud.standin().slack_calls();
    assert!(calls.iter().all(|call| call.ts == calls[0].ts), "an edit of another message");
    let last = calls.last().unwrap().body.to_string();
    assert!(last.contains("succeeded") && last.contains(&COMMIT[..8]) && last.contains("Mary Major"), "{last}");
    assert_eq!(cloud.stray_events(), 0);
    assert_eq!(cloud.standin().expressions().len(), 6, "the ledger's own, and that by which a first turn is taken");
}

#[tokio::test]
async fn a_failure_without_an_action_event_is_explained_by_asking_and_told_in_the_thread() {
    let cloud = CloudStory::new()
        .fail("prod/eu-west-1=HealthConstraints")
        .setting(|setting| setting.no_action_events = true)
        .tell()
        .await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    let summary = cloud.summary().await;
    assert_eq!(summary.verdict, Some(Verdict::CompletedWithFailures));
    assert_eq!(cloud.outcome("prod/eu-west-1").await, Some(Outcome::Failed));
    assert_eq!(summary.causes.len(), 1);
    assert_eq!(summary.causes[0].cause, "HealthConstraints in action Deploy");
    assert_eq!(cloud.standin().requests()["codepipeline.ListActionExecutions"], 2, "the release's, and the failure's");
    let calls = cloud.standin().slack_calls();
    let replies: Vec<_> = calls.iter().filter(|call| call.thread().is_some()).collect();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].thread(), calls[0].ts.as_deref());
    assert!(replies[0].body.to_string().contains("The health checks of 3 of 4 instances failed"), "{:?}", replies[0]);
}

#[tokio::test]
async fn a_failure_with_its_action_event_is_told_in_the_thread_without_asking() {
    let cloud = CloudStory::new().fail("prod/eu-west-1=JobFailed").tell().await;
    cloud.check_invariants().await;
    assert_eq!(cloud.verdict().await, Some(Verdict::CompletedWithFailures));
    assert_eq!(cloud.standin().requests()["codepipeline.ListActionExecutions"], 1, "the release's");
    assert_eq!(slack_methods(&cloud)["chat.postMessage"], 2, "the message, and its reply");
}

#[tokio::test]
async fn a_denied_role_makes_its_account_unreachable_and_is_one_cause() {
    let cloud = CloudStory::new().fail("prod/*=AccessDenied").tell().await;
    cloud.check_invariants().await;
    let summary = cloud.summary().await;
    assert_eq!(summary.verdict, Some(Verdict::Failed));
    let executions = cloud.standin().executions();
    assert_eq!(executions.len(), 5, "dev only");
    assert!(executions.iter().all(|execution| execution.target.account.as_str() == "444455556666"));
    let denied: Vec<_> = summary.causes.iter().filter(|cause| cause.outcome == Outcome::Unreachable).collect();
    assert_eq!(denied.len(), 1, "{:?}", summary.causes);
    assert_eq!(denied[0].cause, "AccessDenied on role ManifoldTarget");
    assert_eq!(summary.tally.unreachable + summary.tally.skipped, 5);
}

#[tokio::test]
async fn a_missing_pipeline_fails_its_target_and_no_other() {
    let cloud = CloudStory::new().fail("prod/ca-central-1=PipelineNotFound").tell().await;
    cloud.check_invariants().await;
    let summary = cloud.summary().await;
    assert_eq!(summary.verdict, Some(Verdict::CompletedWithFailures));
    assert_eq!(summary.causes[0].cause, "Pipeline svc-deploy not found");
    assert_eq!(cloud.outcome("prod/ca-central-1").await, Some(Outcome::Failed));
    assert_eq!(cloud.standin().executions().len(), 9);
}

#[tokio::test]
async fn a_release_event_that_arrives_three_times_opens_one_run() {
    let cloud = CloudStory::new().and_event(EVENT).and_event(EVENT).tell().await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    assert_eq!(cloud.runs().len(), 1);
    assert_eq!(cloud.standin().requests()["codepipeline.GetPipelineExecution"], 1, "a duplicate asks for nothing");
}

#[tokio::test]
async fn every_message_delivered_to_two_workers_at_once_changes_nothing() {
    let cloud = CloudStory::new().every_message_twice().fail("prod/eu-west-1=JobFailed").tell().await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    assert_eq!(cloud.verdict().await, Some(Verdict::CompletedWithFailures));
    assert!(cloud.standin().executions().iter().all(|execution| execution.requests == 1), "only one worker starts");
    assert!(cloud.standin().assumed().values().all(|times| *times == 1), "{:?}", cloud.standin().assumed());
}

#[tokio::test]
async fn answers_that_are_lost_after_the_call_was_carried_out_repeat_nothing() {
    for every in 2..=4 {
        let cloud = CloudStory::new().setting(|setting| setting.lose_answers = Some(every)).tell().await;
        cloud.check_invariants().await;
        ten_executions(&cloud);
        assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded), "every {every}. answer lost");
        let lost = cloud.standin().lost();
        assert!(lost.contains_key("dynamodb.PutItem") && lost.contains_key("sqs.SendMessageBatch"), "{lost:?}");
    }
}

#[tokio::test]
async fn a_throttling_engine_is_asked_again_later_and_started_once() {
    let cloud = CloudStory::new().fail("dev/us-east-1=Throttled").tell().await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded));
    let requests = cloud.standin().requests();
    assert_eq!(requests["codepipeline.StartPipelineExecution"], 12, "two were throttled, and the SDK repeated neither");
    assert!(
        !requests.contains_key("codepipeline.ListPipelineExecutions"),
        "what was throttled was certainly not started"
    );
}

#[tokio::test]
async fn slack_is_given_the_time_that_it_asks_for() {
    let cloud = CloudStory::new().setting(|setting| setting.slack_throttles = 3).tell().await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded));
    assert_eq!(slack_methods(&cloud)["chat.postMessage"], 1);
}

#[tokio::test]
async fn when_no_event_arrives_every_result_is_asked_for_and_a_failure_is_explained() {
    let cloud = CloudStory::new()
        .fail("prod/eu-west-1=HealthConstraints")
        .fail("prod/us-east-1=Canceled")
        .setting(|setting| setting.no_events = true)
        .tell()
        .await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    let summary = cloud.summary().await;
    assert_eq!((summary.verdict, summary.asked_for), (Some(Verdict::Failed), 10));
    assert_eq!(cloud.outcome("prod/eu-west-1").await, Some(Outcome::Failed));
    assert_eq!(cloud.outcome("prod/us-east-1").await, Some(Outcome::Canceled));
    let cause = summary.causes.iter().find(|cause| cause.outcome == Outcome::Failed).unwrap();
    assert_eq!(cause.cause, "HealthConstraints in action Deploy");
    let requests = cloud.standin().requests();
    assert_eq!(requests["codepipeline.ListPipelineExecutions"], 10, "one call for each");
    assert_eq!(requests["codepipeline.ListActionExecutions"], 2, "the release's, and the failure's");
    let last = cloud.standin().slack_calls().pop().unwrap().body.to_string();
    assert!(
        last.contains("results were asked for, as their events did not arrive") || last.contains("in detail"),
        "{last}"
    );
}

#[tokio::test]
async fn when_no_event_arrives_and_everything_happens_twice_nothing_is_started_twice() {
    let cloud = CloudStory::new().every_message_twice().setting(|setting| setting.no_events = true).tell().await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    let summary = cloud.summary().await;
    assert_eq!((summary.verdict, summary.asked_for), (Some(Verdict::Succeeded), 10));
}

#[tokio::test]
async fn a_webhook_gets_one_message_at_the_end() {
    let webhook = FLEET.replace(
        "    channel: C0123456789\n    token: { secrets_manager: manifold/slack }\n",
        "    webhook: { ssm: /manifold/webhook }\n",
    );
    assert_ne!(webhook, FLEET);
    let cloud = CloudStory::new()
        .fleet(webhook)
        .fail("prod/eu-west-1=HealthConstraints")
        .setting(|setting| setting.no_action_events = true)
        .tell()
        .await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    let calls = cloud.standin().slack_calls();
    assert_eq!(calls.iter().map(|call| call.method).collect::<Vec<_>>(), ["webhook"]);
    let text = calls[0].body.to_string();
    assert!(text.contains("HealthConstraints in action Deploy"), "it waited for the reason: {text}");
}

#[tokio::test]
async fn a_run_is_read_page_by_page() {
    let cloud = CloudStory::new().setting(|setting| setting.page = Some(3)).tell().await;
    cloud.check_invariants().await;
    assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded));
    assert_eq!(cloud.summary().await.tally.succeeded, 10);
}

#[tokio::test]
async fn the_same_event_and_the_same_failures_end_as_in_the_embedded_run() {
    let stories: [&[&str]; 11] = [
        &[],
        &["prod/eu-west-1=JobFailed"],
        &["dev/eu-west-1=JobFailed"],
        &["prod/ca-central-1=PipelineNotFound"],
        &["prod/eu-central-1=Superseded"],
        &["prod/us-east-1=Canceled"],
        &["prod/us-east-1=Stopped"],
        &["prod/us-east-1=Retried"],
        &["dev/us-east-1=Throttled"],
        &["prod/us-east-1=UnknownState"],
        &["dev/us-east-1=Silent"],
    ];
    for fails in stories {
        let (mut embedded, mut real) = (Story::new(), CloudStory::new());
        for fail in fails {
            embedded = embedded.fail(fail);
            real = real.fail(fail);
        }
        let embedded = embedded.tell().summary();
        let real = real.tell().await;
        real.check_invariants().await;
        let real = real.summary().await;
        assert_eq!(real.run, embedded.run, "{fails:?}");
        assert_eq!(real.verdict, embedded.verdict, "{fails:?}");
        assert_eq!(real.release.revision, embedded.release.revision, "{fails:?}");
        let outcomes = |summary: &manifold_core::summary::Summary| -> Vec<_> {
            let line = |line: &manifold_core::summary::TargetLine| {
                (line.key.clone(), line.status, line.attempt, line.cause.clone(), line.unrecognised.clone())
            };
            summary.targets.iter().map(line).collect()
        };
        assert_eq!(outcomes(&real), outcomes(&embedded), "{fails:?}");
        assert_eq!(real.causes, embedded.causes, "{fails:?}");
    }
}

#[tokio::test]
async fn the_stand_in_refuses_loudly_what_the_adapters_do_not_use() {
    let cloud = CloudStory::new().begin().await;
    let clients = cloud.standin().clients().await;
    clients.dynamodb().scan().table_name("manifold-ledger").send().await.unwrap_err();
    clients.dynamodb().get_item().table_name("manifold-ledger").send().await.unwrap_err();
    let url = cloud.standin().queue_url(manifold_core::message::Queue::Deploy);
    clients.sqs().send_message().queue_url(url).message_body("hello").send().await.unwrap_err();
    clients.sts().get_caller_identity().send().await.unwrap_err();
    let region = "eu-west-1".parse().unwrap();
    clients.codepipeline(&region).get_pipeline_state().name("web-release").send().await.unwrap_err();
    let violations = cloud.standin().violations();
    assert_eq!(violations.len(), 5, "{violations:#?}");
    assert!(violations[0].starts_with("dynamodb.Scan: "), "{violations:#?}");
}
