//! CodeBuild in target accounts.

use manifold_core::engine::Work;
use manifold_core::event::PipelineState;
use manifold_core::ids::ExecutionId;
use manifold_core::pace::Api;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Reason, ReasonSource, Refusal, Standing};
use manifold_ports::engine::{Engine, Start};
use serde_json::{Value, json};

use crate::engine::{LONG_AFTER, Log, Means, engine, entered, means};
use crate::samples::{TOKEN, assumed, at, epoch, order, planned_of, run};
use crate::stub::Stub;

const BUILD: &str = "svc-deploy:8745a7a9-c340-456a-9166-edf953571b0e";

fn planned() -> PlannedTarget {
    planned_of("codebuild:svc-deploy", Work::Build { source_version: Some("abc123".to_owned()) })
}

fn build_id() -> ExecutionId {
    BUILD.parse().unwrap()
}

fn answered() -> Value {
    json!({"build": {"id": BUILD, "arn": format!("arn:aws:codebuild:us-east-1:444455556666:build/{BUILD}")}})
}

async fn start(stub: &Stub, planned: &PlannedTarget) -> Result<Start, Refusal> {
    entered(stub).await.start(order(&run(), planned)).await
}

#[tokio::test]
async fn a_start_carries_project_revision_variables_and_the_token_and_is_signed_for_the_target() {
    let stub = Stub::start().await;
    stub.json("StartBuild", answered());
    assert_eq!(start(&stub, &planned()).await.unwrap(), Start::Begun(build_id()));
    let sent = stub.only("StartBuild");
    assert_eq!(sent.header("x-amz-target"), "CodeBuild_20161006.StartBuild");
    let variable = |name: &str, value: &str| json!({"name": name, "type": "PLAINTEXT", "value": value});
    assert_eq!(
        sent.body(),
        json!({"projectName": "svc-deploy", "sourceVersion": "abc123", "idempotencyToken": TOKEN,
            "environmentVariablesOverride": [variable("MANIFOLD_ATTEMPT", TOKEN),
                variable("MANIFOLD_RUN", "web-0f3a5b7c9d1e2f40"), variable("VERSION", "1.2.3")]})
    );
    let authorization = sent.header("authorization");
    assert!(authorization.contains("Credential=ASIATARGET/"), "{authorization}");
    assert!(authorization.contains("/us-east-1/codebuild/aws4_request"), "{authorization}");
    let policy: Value = serde_json::from_str(&stub.only("AssumeRole").form("Policy").unwrap()).unwrap();
    assert_eq!(
        policy["Statement"][0],
        json!({"Effect": "Allow", "Action": ["codebuild:StartBuild", "codebuild:StopBuild",
            "codebuild:ListBuildsForProject", "codebuild:BatchGetBuilds"],
            "Resource": "arn:aws:codebuild:*:444455556666:project/svc-deploy"})
    );
}

#[tokio::test]
async fn a_start_without_a_revision_sends_none_and_nobody_takes_the_names_of_ours() {
    let stub = Stub::start().await;
    stub.json("StartBuild", answered());
    let variables = [("MANIFOLD_RUN".to_owned(), "theirs".to_owned())].into();
    let bare = PlannedTarget { variables, work: None, ..planned() };
    start(&stub, &bare).await.unwrap();
    let body = stub.only("StartBuild").body();
    assert_eq!(body.get("sourceVersion"), None);
    let values: Vec<&Value> =
        body["environmentVariablesOverride"].as_array().unwrap().iter().map(|variable| &variable["value"]).collect();
    assert_eq!(values, [&json!(TOKEN), &json!("web-0f3a5b7c9d1e2f40")]);
}

#[tokio::test]
async fn every_failure_of_codebuild_means_something_for_the_target() {
    let table = [
        (400, "AccountLimitExceededException", 1, Means::Busy, "The account is at its limit of builds"),
        (400, "ResourceNotFoundException", 1, Means::Failed, "Project svc-deploy not found"),
        // A token that was sent before with other parameters: that build is another one.
        (400, "InvalidInputException", 1, Means::Failed, "InvalidInputException for StartBuild of project svc-deploy"),
        (400, "AccessDeniedException", 1, Means::Failed, "AccessDenied for StartBuild in role ManifoldTarget"),
        (400, "ThrottlingException", 1, Means::Throttled(Api::StartBuild), "Throttled by CodeBuild"),
        (500, "InternalFailure", 3, Means::Later, "CodeBuild did not answer"),
        (403, "OptInRequired", 1, Means::Unreachable, "OptInRequired in the target's Region"),
        (400, "SomethingNewException", 1, Means::Later, "SomethingNewException for StartBuild"),
    ];
    for (status, code, calls, expected, cause) in table {
        let stub = Stub::start().await;
        for _ in 0..calls {
            stub.error("StartBuild", status, code);
        }
        let (means, reason) = means(start(&stub, &planned()).await.unwrap_err());
        assert_eq!((means, reason.cause.as_str()), (expected, cause), "{code}");
        assert_eq!(reason.detail, Some(format!("{code} in words")));
        let asked = stub.asked("StartBuild");
        assert!(asked.iter().all(|sent| sent.body() == asked[0].body()), "the token goes out with every repetition");
    }
}

#[tokio::test]
async fn expired_credentials_are_replaced_once_and_nothing_that_is_logged_is_a_secret() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIAOLD", LONG_AFTER)).then("AssumeRole", assumed("ASIANEW", LONG_AFTER));
    stub.error("StartBuild", 400, "ExpiredTokenException").json("StartBuild", answered());
    let engine = engine(&stub).await;
    let variables = [("PASSWORD".to_owned(), "hunter2".to_owned())].into();
    let planned = PlannedTarget { variables, ..planned() };
    let (started, log) = Log::of(engine.start(order(&run(), &planned))).await;
    started.unwrap();
    let asked = stub.asked("StartBuild");
    assert!(asked[1].header("authorization").contains("Credential=ASIANEW/"));
    assert_eq!(asked[0].body(), asked[1].body());
    assert!(log.contains("assumed credentials have expired") && log.contains("StartBuild"), "{log}");
    for secret in ["s3cr3t", "t0k3n", "hunter2"] {
        assert!(!log.contains(secret), "{log}");
    }
}

fn build(id: &str, started: &str, token: &str) -> Value {
    let variables = json!([{"name": "MANIFOLD_ATTEMPT", "value": token, "type": "PLAINTEXT"}]);
    json!({"id": id, "startTime": epoch(started), "environment": {"type": "LINUX_CONTAINER", "image": "i",
        "computeType": "BUILD_GENERAL1_SMALL", "environmentVariables": variables}})
}

async fn find(stub: &Stub, except: &[ExecutionId]) -> Option<ExecutionId> {
    let since = at("2026-10-26T13:00:00Z");
    entered(stub).await.find(order(&run(), &planned()), since, except).await.unwrap()
}

#[tokio::test]
async fn the_earliest_build_with_the_attempts_token_is_found_and_older_pages_are_not_asked_for() {
    let stub = Stub::start().await;
    stub.json("ListBuildsForProject", json!({"nextToken": "more", "ids": ["p:repeated", "p:theirs", "p:plain"]}));
    stub.json(
        "BatchGetBuilds",
        json!({"builds": [
            build("p:repeated", "2026-10-26T13:20:00Z", TOKEN),
            build("p:theirs", "2026-10-26T13:15:00Z", "web-0f3a5b7c9d1e2f40-444455556666-us-east-1-1"),
            {"id": "p:plain", "startTime": epoch("2026-10-26T13:14:00Z")},
        ]}),
    );
    stub.json("ListBuildsForProject", json!({"nextToken": "even-more", "ids": ["p:wanted", "p:known", "p:old"]}));
    stub.json(
        "BatchGetBuilds",
        json!({"builds": [
            build("p:wanted", "2026-10-26T12:56:00Z", TOKEN),
            build("p:known", "2026-10-26T12:55:30Z", TOKEN),
            build("p:old", "2026-10-26T12:54:59Z", TOKEN),
        ]}),
    );
    assert_eq!(find(&stub, &["p:known".parse().unwrap()]).await, Some("p:wanted".parse().unwrap()));
    let asked = stub.asked("ListBuildsForProject");
    assert_eq!(asked[0].body(), json!({"projectName": "svc-deploy", "sortOrder": "DESCENDING"}));
    assert_eq!(asked[1].body()["nextToken"], "more");
    assert_eq!(stub.asked("BatchGetBuilds")[0].body(), json!({"ids": ["p:repeated", "p:theirs", "p:plain"]}));
}

#[tokio::test]
async fn what_was_not_started_is_looked_for_on_few_pages() {
    let stub = Stub::start().await;
    stub.json("ListBuildsForProject", json!({}));
    assert_eq!(find(&stub, &[]).await, None, "and no build is asked for");
    let stub = Stub::start().await;
    for next in ["a", "b", "c", "d", "e"] {
        stub.json("ListBuildsForProject", json!({"nextToken": next, "ids": ["p:another"]}));
        stub.json("BatchGetBuilds", json!({"builds": [build("p:another", "2026-10-26T13:20:00Z", "x")]}));
    }
    assert_eq!(find(&stub, &[]).await, None);
}

#[tokio::test]
async fn a_build_is_asked_for_and_its_state_is_told_in_the_words_of_events() {
    let table = [
        ("IN_PROGRESS", PipelineState::Started),
        ("SUCCEEDED", PipelineState::Succeeded),
        ("FAILED", PipelineState::Failed),
        ("FAULT", PipelineState::Failed),
        ("TIMED_OUT", PipelineState::Failed),
        ("STOPPED", PipelineState::Stopped),
        ("HIBERNATING", PipelineState::Unknown("HIBERNATING".to_owned())),
    ];
    let started = at("2026-10-26T13:00:00Z");
    for (status, state) in table {
        let stub = Stub::start().await;
        let mut found = build(BUILD, "2026-10-26T13:00:00Z", TOKEN);
        found["buildStatus"] = json!(status);
        found["endTime"] = epoch("2026-10-26T13:04:05Z");
        stub.json("BatchGetBuilds", json!({"builds": [found]}));
        let standing = entered(&stub).await.ask(order(&run(), &planned()), &build_id(), started).await.unwrap();
        assert_eq!(standing, Some(Standing { state, at: at("2026-10-26T13:04:05Z"), comments: None }));
        assert_eq!(stub.only("BatchGetBuilds").body(), json!({"ids": [BUILD]}));
    }
    let stub = Stub::start().await;
    stub.json("BatchGetBuilds", json!({"builds": [], "buildsNotFound": [BUILD]}));
    assert_eq!(entered(&stub).await.ask(order(&run(), &planned()), &build_id(), started).await, Ok(None));
}

async fn explained(build: Value) -> Reason {
    let stub = Stub::start().await;
    stub.json("BatchGetBuilds", json!({"builds": [build]}));
    entered(&stub).await.explain(order(&run(), &planned()), &build_id()).await.unwrap()
}

fn phase(phase: &str, status: &str, contexts: Value) -> Value {
    json!({"phaseType": phase, "phaseStatus": status, "contexts": contexts})
}

const LOG: &str = "https://console.aws.amazon.com/cloudwatch/home?region=us-east-1#logsV2:log-groups";
const PAGE: &str = "https://us-east-1.console.aws.amazon.com/codesuite/codebuild/444455556666/projects/svc-deploy/build/\
                    svc-deploy%3A8745a7a9-c340-456a-9166-edf953571b0e/?region=us-east-1";

#[tokio::test]
async fn the_first_phase_that_failed_explains_a_build_and_its_log_is_linked() {
    let context = json!([{"statusCode": " ", "message": ""},
        {"statusCode": "COMMAND_EXECUTION_ERROR", "message": "Error while executing command: make"}]);
    let failed = json!({"id": BUILD, "buildStatus": "FAILED", "logs": {"deepLink": LOG}, "phases": [
        phase("INSTALL", "SUCCEEDED", json!([])), phase("BUILD", "FAILED", context),
        phase("POST_BUILD", "FAULT", json!([{"message": "later"}])), {"phaseType": "COMPLETED"}]});
    assert_eq!(
        explained(failed).await,
        Reason {
            cause: "FAILED in phase BUILD".to_owned(),
            detail: Some("COMMAND_EXECUTION_ERROR: Error while executing command: make".to_owned()),
            link: Some(LOG.to_owned()),
            source: ReasonSource::Engine,
            attempt: 0,
        }
    );
}

#[tokio::test]
async fn a_failure_without_details_is_told_as_far_as_it_is_known_and_a_link_elsewhere_is_not_followed() {
    let reason = explained(json!({"id": BUILD, "buildStatus": "FAULT",
        "logs": {"deepLink": "https://console.aws.amazon.com.evil.example/"}}))
    .await;
    assert_eq!((reason.cause.as_str(), reason.detail, reason.link.as_deref()), ("FAULT", None, Some(PAGE)));
    let timed_out = json!({"id": BUILD, "buildStatus": "TIMED_OUT", "phases": [
        phase("BUILD", "TIMED_OUT", json!([{"statusCode": "BUILD_TIMED_OUT"}]))]});
    let reason = explained(timed_out).await;
    assert_eq!(
        (reason.cause.as_str(), reason.detail.as_deref()),
        ("TIMED_OUT in phase BUILD", Some("BUILD_TIMED_OUT"))
    );
    let stub = Stub::start().await;
    stub.json("BatchGetBuilds", json!({"builds": []}));
    let reason = entered(&stub).await.explain(order(&run(), &planned()), &build_id()).await.unwrap();
    assert_eq!(reason.cause, "The build is not listed any more");
}

#[tokio::test]
async fn a_question_that_may_not_be_asked_is_refused_by_the_name_of_the_question() {
    let stub = Stub::start().await;
    stub.error("BatchGetBuilds", 400, "AccessDeniedException");
    let refusal = entered(&stub).await.explain(order(&run(), &planned()), &build_id()).await.unwrap_err();
    let (means, reason) = means(refusal);
    assert_eq!(
        (means, reason.cause.as_str()),
        (Means::Failed, "AccessDenied for BatchGetBuilds in role ManifoldTarget")
    );
}

async fn stop(stub: &Stub) -> Result<(), Refusal> {
    entered(stub).await.stop(order(&run(), &planned()), &build_id(), "Aborted by alice").await
}

#[tokio::test]
async fn a_build_is_stopped_and_one_that_has_ended_is_no_error() {
    let stub = Stub::start().await;
    stub.json("StopBuild", answered());
    assert_eq!(stop(&stub).await, Ok(()));
    assert_eq!(stub.only("StopBuild").body(), json!({"id": BUILD}));

    for (complete, is_stopped) in [(true, true), (false, false)] {
        let stub = Stub::start().await;
        stub.error("StopBuild", 400, "InvalidInputException");
        stub.json("BatchGetBuilds", json!({"builds": [{"id": BUILD, "buildComplete": complete}]}));
        assert_eq!(stop(&stub).await.is_ok(), is_stopped);
    }
    let stub = Stub::start().await;
    stub.error("StopBuild", 400, "ThrottlingException");
    assert_eq!(means(stop(&stub).await.unwrap_err()).0, Means::Throttled(Api::StopBuild));
}
