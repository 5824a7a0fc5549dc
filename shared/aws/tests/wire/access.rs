//! What a rollout may do in a place, found out by harmless calls.

use manifold_aws::Backoff;
use manifold_aws::credentials::Assumer;
use manifold_aws::engine::Engines;
use manifold_core::checkup::{AccessSeen, Place, Tried};
use manifold_core::time::{Span, Timestamp};
use manifold_ports::checkup::Access;
use manifold_ports::clock::Clock;
use serde_json::json;

use crate::samples::{HandClock, assumed, key, sts_error};
use crate::stub::{AT_ONCE, Stub};

const NOW: &str = "2026-10-26T13:00:00Z";
const IN_AN_HOUR: &str = "2026-10-26T14:00:00Z";

pub(crate) fn place() -> Place {
    Place {
        app: "web".parse().unwrap(),
        key: key("444455556666", "eu-central-1"),
        role: "arn:aws:iam::444455556666:role/ManifoldTarget".parse().unwrap(),
        external_id: Some("rollouts-7f3a".to_owned()),
        started: "svc-deploy".parse().unwrap(),
    }
}

async fn engine(stub: &Stub, clock: &HandClock, patience: Backoff) -> Engines<HandClock> {
    let clients = stub.clients().await;
    let assumer = Assumer::with_clock(clients.sts(), clock.clone());
    Engines::new(clients, assumer).with_patience(patience)
}

fn in_a_minute(clock: &HandClock) -> Timestamp {
    clock.now().plus(Span::from_seconds(60))
}

async fn try_access(stub: &Stub) -> AccessSeen {
    try_access_to(stub, "svc-deploy").await
}

async fn try_access_to(stub: &Stub, started: &str) -> AccessSeen {
    let clock = HandClock::new(NOW);
    let place = Place { started: started.parse().unwrap(), ..place() };
    engine(stub, &clock, AT_ONCE).await.try_access(&place, in_a_minute(&clock)).await
}

fn refused<T>(code: &str) -> Tried<T> {
    Tried::Refused { code: code.to_owned(), message: format!("{code} in words") }
}

#[tokio::test]
async fn the_role_is_assumed_as_a_rollout_would_and_both_lists_are_asked_for_one_item_in_the_targets_region() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR));
    stub.json("ListPipelineExecutions", json!({"pipelineExecutionSummaries": []}));
    stub.json("ListActionExecutions", json!({"actionExecutionDetails": []}));
    let seen = try_access(&stub).await;
    let done = Tried::Done(());
    assert_eq!(seen, AccessSeen { assumed: done.clone(), list_executions: done.clone(), list_actions: done });

    let asked = stub.only("AssumeRole");
    assert_eq!(asked.form("RoleSessionName").unwrap(), "mf-web-0000000000000000");
    assert_eq!(asked.form("ExternalId").unwrap(), "rollouts-7f3a");
    assert!(asked.form("Policy").unwrap().contains("codepipeline:StartPipelineExecution"), "narrowed as a rollout's");
    for operation in ["ListPipelineExecutions", "ListActionExecutions"] {
        let asked = stub.only(operation);
        assert_eq!(asked.body(), json!({"pipelineName": "svc-deploy", "maxResults": 1}));
        let authorization = asked.header("authorization");
        assert!(authorization.contains("Credential=ASIATARGET/") && authorization.contains("/eu-central-1/"));
    }
}

#[tokio::test]
async fn what_is_refused_is_told_in_the_services_words() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", sts_error(403, "AccessDenied"));
    assert_eq!(try_access(&stub).await, AccessSeen::not_assumed(refused("AccessDenied")));

    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR));
    stub.error("ListPipelineExecutions", 400, "PipelineNotFoundException");
    stub.error("ListActionExecutions", 400, "AccessDeniedException");
    let seen = try_access(&stub).await;
    assert_eq!(seen.list_executions, refused("PipelineNotFoundException"));
    assert_eq!(seen.list_actions, refused("AccessDeniedException"));
}

#[tokio::test]
async fn a_throttled_look_is_tried_again_and_then_nothing_is_known() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR));
    // The SDK repeats none of them: the look's own patience has five tries.
    for _ in 0..4 {
        stub.error("ListPipelineExecutions", 400, "ThrottlingException");
    }
    stub.json("ListPipelineExecutions", json!({"pipelineExecutionSummaries": []}));
    for _ in 0..5 {
        stub.error("ListActionExecutions", 400, "ThrottlingException");
    }
    let seen = try_access(&stub).await;
    assert_eq!(seen.list_executions, Tried::Done(()));
    let reason = "ThrottlingException: ThrottlingException in words".to_owned();
    assert_eq!(seen.list_actions, Tried::Unanswered { reason });
}

#[tokio::test]
async fn nothing_is_asked_when_no_time_is_left() {
    let stub = Stub::start().await;
    let clock = HandClock::new(NOW);
    let soon = clock.now().plus(Span::from_seconds(5));
    let seen = engine(&stub, &clock, AT_ONCE).await.try_access(&place(), soon).await;
    let reason = "the function's time was up".to_owned();
    assert_eq!(seen, AccessSeen::not_assumed(Tried::Unanswered { reason }));
    assert!(stub.sent().is_empty());
}

#[tokio::test]
async fn what_hangs_is_ended_before_the_function_is() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR).set_delay(std::time::Duration::from_secs(60)));
    let clock = HandClock::new(NOW);
    let soon = clock.now().plus(Span::from_millis(5_050));
    let seen = engine(&stub, &clock, AT_ONCE).await.try_access(&place(), soon).await;
    assert!(matches!(seen.assumed, Tried::Unanswered { .. }), "{seen:?}");
}

#[tokio::test]
async fn a_session_that_is_kept_proves_nothing_so_that_a_checkup_assumes_anew() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR));
    stub.json("ListPipelineExecutions", json!({})).json("ListActionExecutions", json!({}));
    stub.then("AssumeRole", sts_error(403, "AccessDenied"));
    let clock = HandClock::new(NOW);
    let engine = engine(&stub, &clock, AT_ONCE).await;
    assert_eq!(engine.try_access(&place(), in_a_minute(&clock)).await.assumed, Tried::Done(()));
    engine.renew(&[place()]);
    assert_eq!(engine.try_access(&place(), in_a_minute(&clock)).await.assumed, refused("AccessDenied"));
}

/// What was seen of a target of another engine, by the one call that reads.
fn seen_once(seen: Tried<()>) -> AccessSeen {
    AccessSeen { assumed: Tried::Done(()), list_executions: seen, list_actions: Tried::NotTried }
}

#[tokio::test]
async fn other_engines_are_asked_with_one_call_that_reads_in_a_session_that_is_narrowed_to_what_is_started() {
    let table = [
        (
            "codebuild:svc-deploy",
            "ListBuildsForProject",
            json!({"projectName": "svc-deploy"}),
            "codebuild:*:444455556666:project/svc-deploy",
        ),
        (
            "codedeploy:shop/blue",
            "ListDeployments",
            json!({"applicationName": "shop", "deploymentGroupName": "blue"}),
            "codedeploy:*:444455556666:deploymentgroup:shop/blue",
        ),
    ];
    for (started, operation, body, resource) in table {
        let stub = Stub::start().await;
        stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR)).json(operation, json!({}));
        assert_eq!(try_access_to(&stub, started).await, seen_once(Tried::Done(())));
        let asked = stub.only(operation);
        assert_eq!(asked.body(), body);
        assert!(asked.header("authorization").contains("/eu-central-1/"));
        assert!(stub.only("AssumeRole").form("Policy").unwrap().contains(resource));
        let stub = Stub::start().await;
        stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR)).error(operation, 400, "AccessDeniedException");
        assert_eq!(try_access_to(&stub, started).await, seen_once(refused("AccessDeniedException")));
    }
}

#[tokio::test]
async fn a_stack_is_described_and_one_that_is_not_there_yet_is_no_error() {
    let reply = |status: u16, body: &str| wiremock::ResponseTemplate::new(status).set_body_string(body);
    let absent = "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id web does not exist</Message>\
                  </Error></ErrorResponse>";
    let there =
        "<DescribeStacksResponse><DescribeStacksResult><Stacks/></DescribeStacksResult></DescribeStacksResponse>";
    for answer in [reply(200, there), reply(400, absent)] {
        let stub = Stub::start().await;
        stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR)).then("DescribeStacks", answer);
        assert_eq!(try_access_to(&stub, "cloudformation:web").await, seen_once(Tried::Done(())));
        assert_eq!(stub.only("DescribeStacks").form("StackName").as_deref(), Some("web"));
    }
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR));
    stub.then("DescribeStacks", sts_error(403, "AccessDenied"));
    assert_eq!(try_access_to(&stub, "cloudformation:web").await, seen_once(refused("AccessDenied")));
}
