//! One run over all four engines: the functions on the real adapters, against the strict stand-in.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use manifold_core::engine::Service;
use manifold_core::run::{Outcome, Verdict};
use manifold_tests::cloud::{Cloud, CloudStory};
use manifold_tests::mixed::{self, GROUP, OF_BUILDS, OF_DEPLOYMENTS, OF_STACKS, PROJECT, STACK, place};
use manifold_tests::wire::engines::cloudformation::Stack;
use manifold_tests::wire::engines::{Fate, Mishap};
use manifold_tests::{COMMIT, FLEET};

const DEV: &str = "444455556666";
const PROD: &str = "777788889999";

fn story() -> CloudStory {
    CloudStory::new().fleet(mixed::fleet(FLEET))
}

/// With everything that the targets start.
async fn begin(story: CloudStory) -> Cloud {
    let cloud = story.begin().await;
    for account in [DEV, PROD] {
        let (bucket, key, text) = mixed::parameters_file(account, COMMIT);
        cloud.standin().put_object(&bucket, &key, &text);
        cloud.standin().engines(|engines| mixed::set(engines, account));
    }
    cloud
}

async fn tell(story: CloudStory) -> Cloud {
    let mut cloud = begin(story).await;
    cloud.run().await;
    cloud.check_invariants().await;
    cloud
}

/// One execution in each of the ten targets, each of its own engine.
fn ten_executions(cloud: &Cloud) {
    let started = cloud.standin().started();
    let targets: BTreeSet<String> = started.iter().map(|each| each.target.to_string()).collect();
    assert_eq!((started.len(), targets.len()), (10, 10), "{started:#?}");
    let session = cloud.runs()[0].session_name();
    for each in &started {
        let service = match each.target.region.as_str() {
            OF_BUILDS => Service::CodeBuild,
            OF_STACKS => Service::CloudFormation,
            OF_DEPLOYMENTS => Service::CodeDeploy,
            _ => Service::CodePipeline,
        };
        assert_eq!(each.service, service, "{each:?}");
        let account = &each.target.account;
        assert_eq!(each.started_by, format!("arn:aws:sts::{account}:assumed-role/ManifoldTarget/{session}"));
    }
}

/// Without what keeps Slack from reading `:Lambda:` as an emoji.
fn plain(text: &str) -> String {
    text.replace('\u{2236}', ":")
}

/// One message, and nothing posted besides but its replies.
fn one_message(cloud: &Cloud) -> String {
    let calls = cloud.standin().slack_calls();
    let posted = calls.iter().filter(|call| call.method == "chat.postMessage" && call.thread().is_none()).count();
    assert_eq!(posted, 1, "{calls:#?}");
    plain(&calls.iter().rfind(|call| call.thread().is_none()).unwrap().body.to_string())
}

#[tokio::test]
async fn one_run_over_four_engines_is_one_message() {
    let cloud = tell(story()).await;
    ten_executions(&cloud);
    let summary = cloud.summary().await;
    assert_eq!((summary.verdict, summary.tally.succeeded), (Some(Verdict::Succeeded), 10));
    assert_eq!((summary.asked_for, cloud.stray_events()), (0, 0), "every result came by its event");
    let message = one_message(&cloud);
    assert!(message.contains("succeeded") && message.contains(&COMMIT[..8]), "{message}");
    let run = cloud.runs().remove(0);
    cloud.standin().engines(|engines| {
        for build in engines.codebuild.builds() {
            assert_eq!((build.project.as_str(), build.source_version.as_deref()), (PROJECT, Some(COMMIT)));
            assert_eq!(build.overrides["COMMIT"], COMMIT);
            assert_eq!(build.overrides["STAGE"], if build.place.account.as_str() == DEV { "dev" } else { "prod" });
            assert_eq!(build.overrides["MANIFOLD_RUN"], run.as_str());
        }
        for stack in engines.cloudformation.executions() {
            assert_eq!(stack.stack, STACK);
            assert!(stack.template.ends_with(&format!("{COMMIT}/template.yaml")), "{}", stack.template);
            assert_eq!((stack.parameters["COMMIT"].as_str(), stack.parameters["Table"].as_str()), (COMMIT, "web-7"));
        }
        for deployment in engines.codedeploy.deployments() {
            assert_eq!((deployment.application.as_str(), deployment.group.as_str()), GROUP);
            let stage = if deployment.place.account.as_str() == DEV { "dev" } else { "prod" };
            let content = deployment.revision["appSpecContent"]["content"].as_str();
            assert_eq!(content, Some(format!("# {COMMIT} for {stage}").as_str()));
        }
    });
    // Each account is entered once for each thing that is started there.
    let sessions = cloud.standin().assumed();
    assert!(sessions.len() == 2 && sessions.values().all(|times| *times == 4), "{sessions:?}");
}

/// What fails in prod, one of each engine: the Region, what comes of it, its cause, and words of its reason.
fn failures() -> [(&'static str, Fate, &'static str, &'static str); 4] {
    let fails = |place, code, why| Fate::fails(120, place, code, why);
    [
        (
            "us-east-1",
            fails("Deploy", "JobFailed", "The health checks of 3 of 4 instances failed"),
            "JobFailed in action Deploy",
            "Deployment d-ABC123DEF failed",
        ),
        (
            OF_BUILDS,
            fails("BUILD", "COMMAND_EXECUTION_ERROR", "ansible-playbook: exit status 2"),
            "FAILED in phase BUILD",
            "ansible-playbook: exit status 2",
        ),
        (
            OF_STACKS,
            fails("Function", "AccessDenied", "User is not authorized to perform lambda:UpdateFunctionCode"),
            "UPDATE_FAILED of Function (AWS::Lambda::Function)",
            "not authorized to perform lambda:UpdateFunctionCode",
        ),
        (
            OF_DEPLOYMENTS,
            fails("AfterAllowTestTraffic", "HOOK_EXECUTION_FAILURE", "The function smoke-test reported a failure"),
            "HOOK_EXECUTION_FAILURE in lifecycle event AfterAllowTestTraffic",
            "The function smoke-test reported a failure",
        ),
    ]
}

async fn with_failures(story: CloudStory) -> Cloud {
    let mut cloud = begin(story).await;
    for (region, fate, _, _) in failures() {
        cloud.standin().engines(|engines| engines.behave(&place(PROD, region), fate));
    }
    cloud.run().await;
    cloud.check_invariants().await;
    ten_executions(&cloud);
    let summary = cloud.summary().await;
    assert_eq!((summary.verdict, summary.tally.succeeded), (Some(Verdict::CompletedWithFailures), 6));
    let causes: BTreeSet<&str> = summary.causes.iter().map(|cause| cause.cause.as_str()).collect();
    let expected: BTreeSet<&str> = failures().map(|(_, _, cause, _)| cause).into();
    assert_eq!(causes, expected);
    for (region, _, _, _) in failures() {
        assert_eq!(cloud.outcome(&format!("prod/{region}")).await, Some(Outcome::Failed), "{region}");
    }
    let (message, replies) = (one_message(&cloud), replies(&cloud));
    for (_, _, cause, _) in failures() {
        assert!(message.contains(cause), "{cause} is missing: {message}");
        assert!(replies.contains(cause), "{cause} is missing: {replies}");
    }
    cloud
}

fn replies(cloud: &Cloud) -> String {
    let calls = cloud.standin().slack_calls();
    plain(&calls.iter().filter(|call| call.thread().is_some()).map(|call| call.body.to_string()).collect::<String>())
}

#[tokio::test]
async fn a_failure_of_each_engine_is_told_with_its_reason() {
    let cloud = with_failures(story()).await;
    let replies = replies(&cloud);
    for (_, _, cause, why) in failures() {
        assert!(replies.contains(why), "{cause}: {why} is missing: {replies}");
    }
    // Of what its events told, nobody asked; a deployment's tell nothing.
    let requests = cloud.standin().requests();
    assert!(!requests.contains_key("codebuild.BatchGetBuilds"), "{requests:?}");
    let looked = requests["cloudformation.DescribeStackEvents"];
    assert_eq!(looked, 2, "each stack's, when whoever has its change set made comes again");
    assert_eq!(requests["codedeploy.GetDeployment"], 1);
    assert_eq!(requests["codepipeline.ListActionExecutions"], 1, "the release's");
}

#[tokio::test]
async fn when_every_event_is_lost_all_of_it_is_asked_for() {
    let cloud = tell(story().setting(|setting| setting.no_events = true)).await;
    ten_executions(&cloud);
    let summary = cloud.summary().await;
    assert_eq!((summary.verdict, summary.tally.succeeded), (Some(Verdict::Succeeded), 10));
    assert_eq!(summary.asked_for, 10);
    one_message(&cloud);
}

#[tokio::test]
async fn when_every_event_is_lost_failures_are_asked_for_and_explained() {
    let cloud = with_failures(story().setting(|setting| setting.no_events = true)).await;
    assert_eq!(cloud.summary().await.asked_for, 10);
    let replies = replies(&cloud);
    // Who asks a pipeline hears more than its event tells.
    for (_, fate, cause, _) in failures() {
        let Fate::Fails { failure, .. } = fate else { panic!("{fate:?}") };
        assert!(replies.contains(&failure.reason), "{cause}: {} is missing: {replies}", failure.reason);
    }
}

#[tokio::test]
async fn every_nth_answer_that_is_lost_repeats_nothing() {
    for every in 2..=4 {
        let cloud = tell(story().setting(|setting| setting.lose_answers = Some(every))).await;
        ten_executions(&cloud);
        assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded), "every {every}. answer lost");
        one_message(&cloud);
    }
}

/// What changes something in a target, and what looks.
const CALLS: [&str; 13] = [
    "StartPipelineExecution",
    "ListPipelineExecutions",
    "StartBuild",
    "BatchGetBuilds",
    "DescribeChangeSet",
    "DescribeStacks",
    "GetObject",
    "CreateChangeSet",
    "ExecuteChangeSet",
    "DescribeStackEvents",
    "CreateDeployment",
    "ListDeployments",
    "GetDeployment",
];

#[tokio::test]
async fn the_answer_to_the_first_calls_of_every_operation_in_every_target_is_lost() {
    // Once, what is repeated by the SDK; and as often as it does that, so that another worker comes.
    for times in [1, 3] {
        let mut cloud = begin(story().setting(|setting| setting.no_events = true)).await;
        let regions = ["us-east-1", "ap-southeast-2", OF_BUILDS, OF_STACKS, OF_DEPLOYMENTS];
        let places = [DEV, PROD].into_iter().flat_map(|account| regions.map(|region| place(account, region)));
        cloud.standin().engines(|engines| {
            for place in places {
                for operation in CALLS {
                    for _ in 0..times {
                        engines.befall(&place, operation, Mishap::Unanswered);
                    }
                }
            }
        });
        cloud.run().await;
        cloud.check_invariants().await;
        ten_executions(&cloud);
        assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded), "{times} lost");
        let requests = cloud.standin().requests();
        let created = requests["codedeploy.CreateDeployment"];
        assert_eq!(created, 2, "what has no token is never called again");
        assert!(requests["codedeploy.ListDeployments"] >= 2, "but looked for: {requests:?}");
        one_message(&cloud);
    }
}

#[tokio::test]
async fn every_message_delivered_to_two_workers_at_once_starts_nothing_twice() {
    let cloud = tell(story().every_message_twice()).await;
    ten_executions(&cloud);
    assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded));
    one_message(&cloud);
}

#[tokio::test]
async fn throttled_and_expired_calls_cost_time_and_nothing_else() {
    let mut cloud = begin(story()).await;
    cloud.standin().engines(|engines| {
        for (region, operation, expired) in [
            ("us-east-1", "StartPipelineExecution", "ExpiredTokenException"),
            (OF_BUILDS, "StartBuild", "ExpiredTokenException"),
            (OF_STACKS, "CreateChangeSet", "ExpiredToken"),
            (OF_STACKS, "ExecuteChangeSet", "ExpiredToken"),
            (OF_DEPLOYMENTS, "CreateDeployment", "ExpiredTokenException"),
        ] {
            engines.befall(&place(PROD, region), operation, Mishap::Throttled);
            let mishap = Mishap::Refused { code: expired.to_owned(), message: "expired".to_owned() };
            engines.befall(&place(DEV, region), operation, mishap);
        }
    });
    cloud.run().await;
    ten_executions(&cloud);
    assert_eq!(cloud.verdict().await, Some(Verdict::Succeeded));
    one_message(&cloud);
}

#[tokio::test]
async fn a_stack_that_has_it_already_is_left_alone() {
    let mut cloud = begin(story()).await;
    cloud.run().await;
    let executed = cloud.standin().engines(|engines| engines.cloudformation.executions().to_vec());
    let before = executed.iter().find(|each| each.place.account.as_str() == PROD).unwrap();
    let deployed = (before.template.clone(), before.parameters.clone());
    let mut cloud = begin(story()).await;
    cloud.standin().engines(|engines| {
        let stack = Stack { deployed: Some(deployed), ..Stack::new(STACK) };
        engines.cloudformation.declare(&place(PROD, OF_STACKS), stack);
    });
    cloud.run().await;
    cloud.check_invariants().await;
    let summary = cloud.summary().await;
    assert_eq!((summary.verdict, summary.tally.succeeded), (Some(Verdict::Succeeded), 10));
    assert_eq!(cloud.standin().started().len(), 9);
    one_message(&cloud);
}
