//! CodeDeploy in target accounts.

use manifold_core::engine::{DeploymentRevision, DeploymentWork, OnStop, Work};
use manifold_core::event::PipelineState;
use manifold_core::ids::ExecutionId;
use manifold_core::pace::Api;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Reason, ReasonSource, Refusal, Standing};
use manifold_ports::engine::{Engine, Start};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::engine::{LONG_AFTER, Log, Means, engine, entered, means};
use crate::samples::{TOKEN, assumed, at, epoch, order, planned_of, run};
use crate::stub::Stub;

const DEPLOYMENT: &str = "d-ABC123DEF";
const DESCRIPTION: &str = "Manifold run web-0f3a5b7c9d1e2f40 · web-0f3a5b7c9d1e2f40-444455556666-us-east-1-2";

fn work() -> DeploymentWork {
    DeploymentWork {
        revision: DeploymentRevision::S3("s3://artifacts-us-east-1/shop/abc123.tar.gz".parse().unwrap()),
        config: None,
        auto_rollback: None,
        on_stop: OnStop::Leave,
    }
}

fn planned_with(work: DeploymentWork) -> PlannedTarget {
    planned_of("codedeploy:shop/blue-green", Work::Deployment(Box::new(work)))
}

fn planned() -> PlannedTarget {
    planned_with(work())
}

fn deployment() -> ExecutionId {
    DEPLOYMENT.parse().unwrap()
}

async fn start(stub: &Stub, planned: &PlannedTarget) -> Result<Start, Refusal> {
    entered(stub).await.start(order(&run(), planned)).await
}

async fn sent(work: DeploymentWork) -> Value {
    let stub = Stub::start().await;
    stub.json("CreateDeployment", json!({"deploymentId": DEPLOYMENT}));
    assert_eq!(start(&stub, &planned_with(work)).await.unwrap(), Start::Begun(deployment()));
    let sent = stub.only("CreateDeployment");
    assert_eq!(sent.header("x-amz-target"), "CodeDeploy_20141006.CreateDeployment");
    let authorization = sent.header("authorization");
    assert!(authorization.contains("Credential=ASIATARGET/"), "{authorization}");
    assert!(authorization.contains("/us-east-1/codedeploy/aws4_request"), "{authorization}");
    sent.body()
}

#[tokio::test]
async fn a_start_names_the_group_the_revision_and_in_its_description_the_token() {
    assert!(DESCRIPTION.ends_with(TOKEN));
    let s3 = |kind: &str, key: &str| {
        json!({"revisionType": "S3", "s3Location": {"bucket": "artifacts-us-east-1",
        "key": key, "bundleType": kind}})
    };
    assert_eq!(
        sent(work()).await,
        json!({"applicationName": "shop", "deploymentGroupName": "blue-green", "description": DESCRIPTION,
            "revision": s3("tgz", "shop/abc123.tar.gz")})
    );
    let appspec = DeploymentWork {
        revision: DeploymentRevision::S3("s3://artifacts-us-east-1/shop/appspec.yml".parse().unwrap()),
        config: Some("CodeDeployDefault.ECSCanary10Percent5Minutes".to_owned()),
        auto_rollback: Some(true),
        ..work()
    };
    let body = sent(appspec).await;
    assert_eq!(body["revision"], s3("YAML", "shop/appspec.yml"));
    assert_eq!(body["deploymentConfigName"], "CodeDeployDefault.ECSCanary10Percent5Minutes");
    assert_eq!(
        body["autoRollbackConfiguration"],
        json!({"enabled": true, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]})
    );
    let never = sent(DeploymentWork { auto_rollback: Some(false), ..work() }).await;
    assert_eq!(never["autoRollbackConfiguration"], json!({"enabled": false}));
}

#[tokio::test]
async fn an_appspec_goes_out_with_its_digest_and_a_commit_with_its_repository() {
    let content = sent(DeploymentWork { revision: DeploymentRevision::AppSpec("version: 0.0".to_owned()), ..work() });
    // `printf 'version: 0.0' | sha256sum`
    let sha256 = "61e3942b5adadc9bea4d6feffc38d6567dff72bd20136aca04f5f20755ede10a";
    assert_eq!(
        content.await["revision"],
        json!({"revisionType": "AppSpecContent", "appSpecContent": {"content": "version: 0.0", "sha256": sha256}})
    );
    let (repository, commit) = ("acme/shop".to_owned(), "abc123".to_owned());
    let body = sent(DeploymentWork { revision: DeploymentRevision::GitHub { repository, commit }, ..work() }).await;
    assert_eq!(
        body["revision"],
        json!({"revisionType": "GitHub", "gitHubLocation": {"repository": "acme/shop", "commitId": "abc123"}})
    );
}

#[tokio::test]
async fn a_revision_of_no_known_kind_is_not_sent() {
    let stub = Stub::start().await;
    let revision = DeploymentRevision::S3("s3://artifacts/shop/abc123.rar".parse().unwrap());
    let (means, reason) = means(start(&stub, &planned_with(DeploymentWork { revision, ..work() })).await.unwrap_err());
    assert_eq!(means, Means::Failed);
    assert_eq!(reason.detail.as_deref(), Some("s3://artifacts/shop/abc123.rar"));
}

#[tokio::test]
async fn every_failure_of_codedeploy_means_something_for_the_target_and_no_start_is_repeated() {
    let table = [
        (
            400,
            "DeploymentLimitExceededException",
            Means::Busy,
            "Deployment group shop/blue-green is at its limit of deployments",
        ),
        (400, "DeploymentGroupDoesNotExistException", Means::Failed, "Deployment group shop/blue-green not found"),
        (400, "ApplicationDoesNotExistException", Means::Failed, "Application shop not found"),
        (
            400,
            "InvalidRevisionException",
            Means::Failed,
            "InvalidRevisionException for CreateDeployment of deployment group shop/blue-green",
        ),
        (
            400,
            "RevisionDoesNotExistException",
            Means::Failed,
            "RevisionDoesNotExistException for CreateDeployment of deployment group shop/blue-green",
        ),
        (400, "AccessDeniedException", Means::Failed, "AccessDenied for CreateDeployment in role ManifoldTarget"),
        (400, "ThrottlingException", Means::Throttled(Api::CreateDeployment), "Throttled by CodeDeploy"),
        // It is not known whether there is a deployment now: who comes next looks first.
        (500, "InternalFailure", Means::Later, "CodeDeploy did not answer"),
        (503, "ServiceUnavailable", Means::Later, "CodeDeploy did not answer"),
        (403, "OptInRequired", Means::Unreachable, "OptInRequired in the target's Region"),
        (400, "SomethingNewException", Means::Later, "SomethingNewException for CreateDeployment"),
        // Of the credentials or the clock, and not of the request.
        (403, "InvalidSignatureException", Means::Later, "InvalidSignatureException for CreateDeployment"),
    ];
    for (status, code, expected, cause) in table {
        let stub = Stub::start().await;
        stub.error("CreateDeployment", status, code);
        let (means, reason) = means(start(&stub, &planned()).await.unwrap_err());
        assert_eq!((means, reason.cause.as_str()), (expected, cause), "{code}");
        stub.only("CreateDeployment");
    }
}

#[tokio::test]
async fn a_start_that_times_out_is_not_repeated() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER));
    let late = ResponseTemplate::new(200).set_body_json(json!({"deploymentId": DEPLOYMENT}));
    stub.then("CreateDeployment", late.set_delay(std::time::Duration::from_secs(60)));
    let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder()
        .operation_attempt_timeout(std::time::Duration::from_millis(200))
        .build();
    let clients = stub.clients_with(timeouts).await;
    let assumer = manifold_aws::credentials::Assumer::new(clients.sts());
    let engine = manifold_aws::engine::Engines::new(clients, assumer);
    let (means, reason) = means(engine.start(order(&run(), &planned())).await.unwrap_err());
    assert_eq!((means, reason.cause.as_str()), (Means::Later, "CodeDeploy did not answer"));
    stub.only("CreateDeployment");
}

#[tokio::test]
async fn expired_credentials_are_replaced_once_and_nothing_that_is_logged_is_a_secret() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIAOLD", LONG_AFTER)).then("AssumeRole", assumed("ASIANEW", LONG_AFTER));
    stub.error("CreateDeployment", 400, "ExpiredTokenException");
    stub.json("CreateDeployment", json!({"deploymentId": DEPLOYMENT}));
    let engine = engine(&stub).await;
    let planned =
        planned_with(DeploymentWork { revision: DeploymentRevision::AppSpec("hunter2".to_owned()), ..work() });
    let (started, log) = Log::of(engine.start(order(&run(), &planned))).await;
    started.unwrap();
    assert!(stub.asked("CreateDeployment")[1].header("authorization").contains("Credential=ASIANEW/"));
    assert!(log.contains("assumed credentials have expired") && log.contains("CreateDeployment"), "{log}");
    for secret in ["s3cr3t", "t0k3n", "hunter2"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_session_may_work_with_one_group_and_read_its_revision() {
    let stub = Stub::start().await;
    stub.json("CreateDeployment", json!({"deploymentId": DEPLOYMENT}));
    start(&stub, &planned()).await.unwrap();
    let policy = stub.only("AssumeRole").form("Policy").unwrap();
    for part in [
        "\"arn:aws:codedeploy:*:444455556666:deploymentgroup:shop/blue-green\"",
        "\"arn:aws:codedeploy:*:444455556666:application:shop\"",
        "\"arn:aws:codedeploy:*:444455556666:deploymentconfig:*\"",
        "\"arn:aws:s3:::artifacts-*/shop/*\"",
        "codedeploy:GetDeploymentConfig",
        "codedeploy:RegisterApplicationRevision",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
}

fn listed(id: &str, created: &str, description: &str) -> Value {
    json!({"deploymentId": id, "createTime": epoch(created), "description": description})
}

async fn find(stub: &Stub, except: &[ExecutionId]) -> Option<ExecutionId> {
    let since = at("2026-10-26T13:00:00Z");
    entered(stub).await.find(order(&run(), &planned()), since, except).await.unwrap()
}

#[tokio::test]
async fn the_earliest_deployment_with_the_attempts_description_is_found() {
    let stub = Stub::start().await;
    let ids: Vec<String> = (0..27).map(|number| format!("d-{number}")).collect();
    stub.json("ListDeployments", json!({"nextToken": "more", "deployments": ids}));
    stub.json(
        "BatchGetDeployments",
        json!({"deploymentsInfo": [
            listed("d-0", "2026-10-26T13:20:00Z", DESCRIPTION),
            listed("d-1", "2026-10-26T13:01:00Z", "Manifold run web-0f3a5b7c9d1e2f40 · another"),
            listed("d-2", "2026-10-26T12:54:59Z", DESCRIPTION),
            {"deploymentId": "d-3", "createTime": epoch("2026-10-26T13:02:00Z")},
        ]}),
    );
    stub.json("BatchGetDeployments", json!({"deploymentsInfo": [listed("d-26", "2026-10-26T12:56:00Z", DESCRIPTION)]}));
    stub.json("ListDeployments", json!({"deployments": ["d-known"]}));
    stub.json(
        "BatchGetDeployments",
        json!({"deploymentsInfo": [listed("d-known", "2026-10-26T12:55:30Z", DESCRIPTION)]}),
    );
    assert_eq!(find(&stub, &["d-known".parse().unwrap()]).await, Some("d-26".parse().unwrap()));
    let asked = stub.asked("ListDeployments");
    assert_eq!(
        asked[0].body(),
        json!({"applicationName": "shop", "deploymentGroupName": "blue-green",
            "createTimeRange": {"start": epoch("2026-10-26T12:55:00Z")}})
    );
    assert_eq!(asked[1].body()["nextToken"], "more");
    let of_page = stub.asked("BatchGetDeployments");
    assert_eq!(of_page[0].body()["deploymentIds"].as_array().unwrap().len(), 25);
    assert_eq!(of_page[1].body(), json!({"deploymentIds": ["d-25", "d-26"]}));
}

#[tokio::test]
async fn what_was_not_started_is_looked_for_on_few_pages() {
    let stub = Stub::start().await;
    stub.json("ListDeployments", json!({"deployments": []}));
    assert_eq!(find(&stub, &[]).await, None);
    let stub = Stub::start().await;
    for next in ["a", "b", "c", "d", "e"] {
        stub.json("ListDeployments", json!({"nextToken": next, "deployments": ["d-another"]}));
        stub.json("BatchGetDeployments", json!({"deploymentsInfo": [listed("d-another", "2026-10-26T13:20:00Z", "")]}));
    }
    assert_eq!(find(&stub, &[]).await, None);
}

async fn ask(stub: &Stub) -> Result<Option<Standing>, Refusal> {
    let started = at("2026-10-26T13:00:00Z");
    entered(stub).await.ask(order(&run(), &planned()), &deployment(), started).await
}

#[tokio::test]
async fn a_deployment_is_asked_for_and_its_state_is_told_in_the_words_of_events() {
    let table = [
        ("Created", PipelineState::Started),
        ("Queued", PipelineState::Started),
        ("InProgress", PipelineState::Started),
        ("Baking", PipelineState::Started),
        ("Ready", PipelineState::Started),
        ("Succeeded", PipelineState::Succeeded),
        ("Failed", PipelineState::Failed),
        ("Stopped", PipelineState::Stopped),
        ("Hibernating", PipelineState::Unknown("Hibernating".to_owned())),
    ];
    for (status, state) in table {
        let stub = Stub::start().await;
        let mut found = listed(DEPLOYMENT, "2026-10-26T13:00:00Z", DESCRIPTION);
        found["status"] = json!(status);
        found["completeTime"] = epoch("2026-10-26T13:04:05Z");
        stub.json("GetDeployment", json!({"deploymentInfo": found}));
        let standing = Standing { state, at: at("2026-10-26T13:04:05Z"), comments: None };
        assert_eq!(ask(&stub).await, Ok(Some(standing)));
        assert_eq!(stub.only("GetDeployment").body(), json!({"deploymentId": DEPLOYMENT}));
    }
    let stub = Stub::start().await;
    stub.error("GetDeployment", 400, "DeploymentDoesNotExistException");
    assert_eq!(ask(&stub).await, Ok(None));
}

fn failed(stub: &Stub) {
    let error = json!({"code": "HEALTH_CONSTRAINTS", "message": "Too few healthy instances"});
    stub.json("GetDeployment", json!({"deploymentInfo": {"deploymentId": DEPLOYMENT, "errorInformation": error}}));
}

async fn explain(stub: &Stub) -> Result<Reason, Refusal> {
    entered(stub).await.explain(order(&run(), &planned()), &deployment()).await
}

fn event(name: &str, status: &str, ended: &str, diagnostics: Value) -> Value {
    json!({"lifecycleEventName": name, "status": status, "endTime": epoch(ended), "diagnostics": diagnostics})
}

#[tokio::test]
async fn the_lifecycle_event_that_failed_first_explains_a_deployment_and_no_output_of_a_script_is_told() {
    let stub = Stub::start().await;
    failed(&stub);
    stub.json("ListDeploymentTargets", json!({"targetIds": ["i-1", "i-2"]}));
    let script = json!({"errorCode": "ScriptFailed", "scriptName": "scripts/check.sh", "message": "exit code 1",
        "logTail": "PASSWORD=hunter2"});
    stub.json(
        "BatchGetDeploymentTargets",
        json!({"deploymentTargets": [
            {"deploymentTargetType": "InstanceTarget", "instanceTarget": {"lifecycleEvents": [
                event("AfterInstall", "Failed", "2026-10-26T13:05:00Z", json!({"message": "later"}))]}},
            {"deploymentTargetType": "InstanceTarget", "instanceTarget": {"lifecycleEvents": [
                event("BeforeInstall", "Succeeded", "2026-10-26T13:01:00Z", json!({})),
                event("ValidateService", "Failed", "2026-10-26T13:04:00Z", script)]}},
        ]}),
    );
    assert_eq!(
        explain(&stub).await.unwrap(),
        Reason {
            cause: "HEALTH_CONSTRAINTS in lifecycle event ValidateService".to_owned(),
            detail: Some("scripts/check.sh: exit code 1 · Too few healthy instances".to_owned()),
            link: Some(
                "https://us-east-1.console.aws.amazon.com/codesuite/codedeploy/deployments/d-ABC123DEF?region=us-east-1"
                    .to_owned()
            ),
            source: ReasonSource::Engine,
            attempt: 0,
        }
    );
    assert_eq!(
        stub.only("ListDeploymentTargets").body(),
        json!({"deploymentId": DEPLOYMENT, "targetFilters": {"TargetStatus": ["Failed"]}})
    );
    assert_eq!(
        stub.only("BatchGetDeploymentTargets").body(),
        json!({"deploymentId": DEPLOYMENT, "targetIds": ["i-1", "i-2"]})
    );
}

#[tokio::test]
async fn tasks_and_functions_have_lifecycle_events_too() {
    for (kind, name) in [("ecsTarget", "AfterAllowTestTraffic"), ("lambdaTarget", "BeforeAllowTraffic")] {
        let stub = Stub::start().await;
        failed(&stub);
        stub.json("ListDeploymentTargets", json!({"targetIds": ["t"]}));
        let events = json!([event(name, "Failed", "2026-10-26T13:05:00Z", json!({}))]);
        stub.json("BatchGetDeploymentTargets", json!({"deploymentTargets": [{kind: {"lifecycleEvents": events}}]}));
        let reason = explain(&stub).await.unwrap();
        assert_eq!(reason.cause, format!("HEALTH_CONSTRAINTS in lifecycle event {name}"));
        assert_eq!(reason.detail.as_deref(), Some("Too few healthy instances"));
    }
}

#[tokio::test]
async fn a_deployment_is_explained_without_its_targets_where_they_may_not_be_looked_at() {
    let stub = Stub::start().await;
    failed(&stub);
    stub.error("ListDeploymentTargets", 400, "AccessDeniedException");
    let reason = explain(&stub).await.unwrap();
    assert_eq!(
        (reason.cause.as_str(), reason.detail.as_deref()),
        ("HEALTH_CONSTRAINTS", Some("Too few healthy instances"))
    );
    let stub = Stub::start().await;
    stub.json("GetDeployment", json!({"deploymentInfo": {"deploymentId": DEPLOYMENT}}));
    stub.json("ListDeploymentTargets", json!({"targetIds": []}));
    let reason = explain(&stub).await.unwrap();
    assert_eq!((reason.cause.as_str(), reason.detail), ("FAILURE", None));
    // What is throttled is asked again.
    let stub = Stub::start().await;
    failed(&stub);
    stub.error("ListDeploymentTargets", 400, "ThrottlingException");
    assert_eq!(means(explain(&stub).await.unwrap_err()).0, Means::Throttled(Api::GetDeployment));
}

async fn stop(stub: &Stub, on_stop: OnStop) -> Result<(), Refusal> {
    let planned = planned_with(DeploymentWork { on_stop, ..work() });
    entered(stub).await.stop(order(&run(), &planned), &deployment(), "Aborted by alice").await
}

#[tokio::test]
async fn a_deployment_is_stopped_with_or_without_a_rollback_and_one_that_has_ended_is_no_error() {
    for (on_stop, rolls_back) in [(OnStop::Leave, false), (OnStop::RollBack, true)] {
        let stub = Stub::start().await;
        stub.json("StopDeployment", json!({"status": "Pending"}));
        assert_eq!(stop(&stub, on_stop).await, Ok(()));
        assert_eq!(
            stub.only("StopDeployment").body(),
            json!({"deploymentId": DEPLOYMENT, "autoRollbackEnabled": rolls_back})
        );
    }
    let stub = Stub::start().await;
    stub.error("StopDeployment", 400, "DeploymentAlreadyCompletedException");
    assert_eq!(stop(&stub, OnStop::Leave).await, Ok(()));
    let stub = Stub::start().await;
    stub.error("StopDeployment", 400, "AccessDeniedException");
    let (means, reason) = means(stop(&stub, OnStop::Leave).await.unwrap_err());
    assert_eq!(
        (means, reason.cause.as_str()),
        (Means::Failed, "AccessDenied for StopDeployment in role ManifoldTarget")
    );
}
