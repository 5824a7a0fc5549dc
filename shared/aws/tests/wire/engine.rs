//! CodePipeline in target accounts.

use std::sync::{Arc, Mutex};

use manifold_aws::credentials::Assumer;
use manifold_aws::engine::Engines;
use manifold_core::event::PipelineState;
use manifold_core::pace::Api;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Outcome, Reason, ReasonSource, Refusal, Standing};
use manifold_core::time::Span;
use manifold_ports::engine::{AlarmState, Engine, Start};
use serde_json::{Value, json};
use tracing::instrument::WithSubscriber;

use crate::cbor;
use crate::samples::{EXECUTION, assumed, at, epoch, order, planned, run};
use crate::stub::Stub;

pub(crate) const LONG_AFTER: &str = "2099-01-01T00:00:00Z";

pub(crate) async fn engine(stub: &Stub) -> Engines {
    let clients = stub.clients().await;
    Engines::new(clients.clone(), Assumer::new(clients.sts()))
}

/// An engine whose role is assumed.
pub(crate) async fn entered(stub: &Stub) -> Engines {
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER));
    engine(stub).await
}

#[tokio::test]
async fn a_start_carries_name_token_variables_and_the_pinned_revision_and_is_signed_for_the_target() {
    let stub = Stub::start().await;
    stub.json("StartPipelineExecution", json!({"pipelineExecutionId": EXECUTION}));
    let started = entered(&stub).await.start(order(&run(), &planned())).await.unwrap();
    assert_eq!(started, Start::Begun(EXECUTION.parse().unwrap()));
    let sent = stub.only("StartPipelineExecution");
    assert_eq!(sent.header("x-amz-target"), "CodePipeline_20150709.StartPipelineExecution");
    assert_eq!(
        sent.body(),
        json!({"name": "svc-deploy",
            "clientRequestToken": "web-0f3a5b7c9d1e2f40-444455556666-us-east-1-2",
            "variables": [{"name": "VERSION", "value": "1.2.3"}],
            "sourceRevisions": [{"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": "abc123"}]})
    );
    let authorization = sent.header("authorization");
    assert!(authorization.contains("Credential=ASIATARGET/"), "{authorization}");
    assert!(authorization.contains("/us-east-1/codepipeline/aws4_request"), "{authorization}");
    assert_eq!(sent.header("x-amz-security-token"), "t0k3n-ASIATARGET");
}

#[tokio::test]
async fn a_start_without_variables_or_revision_sends_neither_and_a_role_is_assumed_once() {
    let stub = Stub::start().await;
    let engine = entered(&stub).await;
    let bare = PlannedTarget { variables: [].into(), source_revision: None, ..planned() };
    for _ in 0..2 {
        stub.json("StartPipelineExecution", json!({"pipelineExecutionId": EXECUTION}));
        engine.start(order(&run(), &bare)).await.unwrap();
    }
    let asked = stub.asked("StartPipelineExecution");
    assert_eq!(asked[0].body().as_object().unwrap().len(), 2, "{}", asked[0].text);
    assert_eq!(asked[0].body(), asked[1].body(), "a repeated start is the same request");
}

/// What a refusal means for the target.
#[derive(Debug, PartialEq)]
pub(crate) enum Means {
    Failed,
    Unreachable,
    Busy,
    Later,
    Throttled(Api),
    Preparing(Span),
}

pub(crate) fn means(refusal: Refusal) -> (Means, Reason) {
    match refusal {
        Refusal::Permanent { outcome: Outcome::Failed, reason } => (Means::Failed, reason),
        Refusal::Permanent { outcome: Outcome::Unreachable, reason } => (Means::Unreachable, reason),
        Refusal::Busy { reason } => (Means::Busy, reason),
        Refusal::Later { reason } => (Means::Later, reason),
        Refusal::Throttled { api, reason } => (Means::Throttled(api), reason),
        Refusal::Preparing { reason, again } => (Means::Preparing(again), reason),
        other @ (Refusal::Permanent { .. } | Refusal::Wait { .. }) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_failure_of_codepipeline_means_something_for_the_target() {
    let table = [
        (400, "ConflictException", 1, Means::Later, "Pipeline svc-deploy is busy"),
        (
            400,
            "ConcurrentPipelineExecutionsLimitExceededException",
            1,
            Means::Busy,
            "Pipeline svc-deploy is at its limit of executions",
        ),
        (400, "PipelineNotFoundException", 1, Means::Failed, "Pipeline svc-deploy not found"),
        (
            400,
            "ValidationException",
            1,
            Means::Failed,
            "ValidationException for StartPipelineExecution of pipeline svc-deploy",
        ),
        (
            400,
            "AccessDeniedException",
            1,
            Means::Failed,
            "AccessDenied for StartPipelineExecution in role ManifoldTarget",
        ),
        (400, "ThrottlingException", 1, Means::Throttled(Api::StartPipelineExecution), "Throttled by CodePipeline"),
        (500, "InternalFailure", 3, Means::Later, "CodePipeline did not answer"),
        (503, "ServiceUnavailable", 3, Means::Later, "CodePipeline did not answer"),
        (
            403,
            "UnrecognizedClientException",
            1,
            Means::Unreachable,
            "UnrecognizedClientException in the target's Region",
        ),
        (403, "InvalidClientTokenId", 1, Means::Unreachable, "InvalidClientTokenId in the target's Region"),
        (403, "OptInRequired", 1, Means::Unreachable, "OptInRequired in the target's Region"),
        (400, "SomethingNewException", 1, Means::Later, "SomethingNewException for StartPipelineExecution"),
    ];
    for (status, code, calls, expected, cause) in table {
        let stub = Stub::start().await;
        for _ in 0..calls {
            stub.error("StartPipelineExecution", status, code);
        }
        let (means, reason) = means(entered(&stub).await.start(order(&run(), &planned())).await.unwrap_err());
        assert_eq!((means, reason.cause.as_str()), (expected, cause), "{code}");
        assert_eq!(reason.detail, Some(format!("{code} in words")));
        assert_eq!(reason.source, ReasonSource::Manifold);
    }
}

#[tokio::test]
async fn a_target_that_is_not_reached_at_all_is_tried_later() {
    let stub = Stub::start().await;
    let clients = stub.clients().await;
    let nobody = aws_config::ConfigLoader::default()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("eu-west-1"))
        .http_client(manifold_aws::clients::http_client())
        .endpoint_url("http://127.0.0.1:9")
        .credentials_provider(aws_credential_types::Credentials::new("A", "s", None, None, "test"))
        .retry_config(manifold_aws::clients::retries().with_max_attempts(1))
        .load()
        .await;
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER));
    let engine = Engines::new(manifold_aws::clients::Clients::new(nobody), Assumer::new(clients.sts()));
    let refusal = engine.start(order(&run(), &planned())).await.unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Later { reason } if reason.cause == "CodePipeline did not answer"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn expired_credentials_are_replaced_once_and_the_token_stays_the_same() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIAOLD", LONG_AFTER)).then("AssumeRole", assumed("ASIANEW", LONG_AFTER));
    stub.error("StartPipelineExecution", 400, "ExpiredTokenException");
    stub.json("StartPipelineExecution", json!({"pipelineExecutionId": EXECUTION}));
    engine(&stub).await.start(order(&run(), &planned())).await.unwrap();
    let asked = stub.asked("StartPipelineExecution");
    assert!(asked[1].header("authorization").contains("Credential=ASIANEW/"));
    assert_eq!(asked[0].body(), asked[1].body());

    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIAOLD", LONG_AFTER)).then("AssumeRole", assumed("ASIANEW", LONG_AFTER));
    stub.error("StartPipelineExecution", 400, "ExpiredTokenException");
    stub.error("StartPipelineExecution", 400, "ExpiredTokenException");
    let refusal = engine(&stub).await.start(order(&run(), &planned())).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Later { .. }), "{refusal:?}");
}

#[tokio::test]
async fn whatever_is_logged_during_a_call_carries_run_target_and_attempt_and_no_secret() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIAOLD", LONG_AFTER)).then("AssumeRole", assumed("ASIANEW", LONG_AFTER));
    stub.error("StartPipelineExecution", 400, "ExpiredTokenException");
    stub.json("StartPipelineExecution", json!({"pipelineExecutionId": EXECUTION}));
    let engine = engine(&stub).await;
    let (run, planned) = (run(), planned());
    let (started, text) = Log::of(engine.start(order(&run, &planned))).await;
    started.unwrap();
    assert!(text.contains("assumed credentials have expired"), "{text}");
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["run"], &line["target"], &line["attempt"], &line["operation"]),
            (
                &json!("web-0f3a5b7c9d1e2f40"),
                &json!("444455556666/us-east-1"),
                &json!(2),
                &json!("StartPipelineExecution")
            )
        );
    }
    assert!(!text.contains("s3cr3t") && !text.contains("t0k3n"), "{text}");
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Everything that is logged while a call goes on.
    pub(crate) async fn of<T>(call: impl Future<Output = T>) -> (T, String) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            manifold_aws::telemetry::subscriber(tracing::level_filters::LevelFilter::TRACE, String::new(), move || {
                writer.clone()
            });
        let answer = call.with_subscriber(subscriber).await;
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (answer, text)
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_role_that_is_not_assumed_starts_nothing() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", crate::samples::sts_error(403, "AccessDenied"));
    let refusal = engine(&stub).await.start(order(&run(), &planned())).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Permanent { outcome: Outcome::Unreachable, .. }), "{refusal:?}");
}

fn execution(id: &str, started: &str, session: &str) -> Value {
    let arn = format!("arn:aws:sts::444455556666:assumed-role/ManifoldTarget/{session}");
    json!({"pipelineExecutionId": id, "status": "InProgress", "startTime": epoch(started),
        "trigger": {"triggerType": "StartPipelineExecution", "triggerDetail": arn}})
}

#[tokio::test]
async fn the_earliest_execution_of_the_run_since_then_is_found_and_older_pages_are_not_asked_for() {
    let stub = Stub::start().await;
    let mine = "mf-web-0f3a5b7c9d1e2f40";
    stub.json(
        "ListPipelineExecutions",
        json!({"nextToken": "more", "pipelineExecutionSummaries": [
            execution("newest", "2026-10-26T13:20:00Z", mine),
            execution("theirs", "2026-10-26T13:15:00Z", "mf-web-1111111111111111"),
            execution("jane", "2026-10-26T13:14:00Z", "jane"),
            {"pipelineExecutionId": "poll", "startTime": epoch("2026-10-26T13:13:00Z"),
                "trigger": {"triggerType": "PollForSourceChanges"}},
        ]}),
    );
    stub.json(
        "ListPipelineExecutions",
        json!({"nextToken": "even-more", "pipelineExecutionSummaries": [
            execution("wanted", "2026-10-26T12:56:00Z", mine),
            execution("known", "2026-10-26T12:55:30Z", mine),
            execution("too-old", "2026-10-26T12:54:59Z", mine),
        ]}),
    );
    let except = ["known".parse().unwrap()];
    let found =
        entered(&stub).await.find(order(&run(), &planned()), at("2026-10-26T13:00:00Z"), &except).await.unwrap();
    assert_eq!(found, Some("wanted".parse().unwrap()));
    let asked = stub.asked("ListPipelineExecutions");
    assert_eq!(asked[0].body(), json!({"pipelineName": "svc-deploy", "maxResults": 100}));
    assert_eq!(asked[1].body()["nextToken"], "more");
}

#[tokio::test]
async fn nothing_is_found_where_the_run_started_nothing() {
    let stub = Stub::start().await;
    stub.json("ListPipelineExecutions", json!({}));
    let found = entered(&stub).await.find(order(&run(), &planned()), at("2026-10-26T13:00:00Z"), &[]).await.unwrap();
    assert_eq!(found, None);
}

/// An execution as the list has it, last changed when it is told.
fn listed(id: &str, status: &str, started: &str, updated: &str) -> Value {
    json!({"pipelineExecutionId": id, "status": status, "startTime": epoch(started), "lastUpdateTime": epoch(updated)})
}

async fn ask(stub: &Stub) -> Option<Standing> {
    let started = at("2026-10-26T13:00:00Z");
    entered(stub).await.ask(order(&run(), &planned()), &EXECUTION.parse().unwrap(), started).await.unwrap()
}

#[tokio::test]
async fn an_execution_is_asked_for_with_one_call_and_its_state_is_told_in_the_words_of_events() {
    let table = [
        ("InProgress", PipelineState::Started),
        ("Stopping", PipelineState::Stopping),
        ("Stopped", PipelineState::Stopped),
        ("Succeeded", PipelineState::Succeeded),
        ("Failed", PipelineState::Failed),
        ("Superseded", PipelineState::Superseded),
        ("Cancelled", PipelineState::Canceled),
        ("Hibernating", PipelineState::Unknown("Hibernating".to_owned())),
    ];
    for (status, state) in table {
        let stub = Stub::start().await;
        let mut found = listed(EXECUTION, status, "2026-10-26T13:00:00Z", "2026-10-26T13:04:05Z");
        found["stopTrigger"] = json!({"reason": "Wrong release"});
        let newer = listed("newer", "InProgress", "2026-10-26T13:01:00Z", "2026-10-26T13:01:00Z");
        stub.json("ListPipelineExecutions", json!({"nextToken": "more", "pipelineExecutionSummaries": [newer, found]}));
        let standing = Standing { state, at: at("2026-10-26T13:04:05Z"), comments: Some("Wrong release".to_owned()) };
        assert_eq!(ask(&stub).await, Some(standing));
        assert_eq!(
            stub.only("ListPipelineExecutions").body(),
            json!({"pipelineName": "svc-deploy", "maxResults": 100})
        );
    }
}

#[tokio::test]
async fn an_execution_that_is_not_listed_is_looked_for_on_few_pages_and_not_beyond_its_start() {
    let page = |at: &str, next: &str| json!({"nextToken": next, "pipelineExecutionSummaries": [listed("another", "Succeeded", at, at)]});
    let stub = Stub::start().await;
    stub.json("ListPipelineExecutions", page("2026-10-26T13:30:00Z", "more"))
        .json("ListPipelineExecutions", page("2026-10-26T12:54:59Z", "even-more"));
    assert_eq!(ask(&stub).await, None, "older than it by more than clocks disagree");
    let stub = Stub::start().await;
    for next in ["a", "b", "c", "d", "e"] {
        stub.json("ListPipelineExecutions", page("2026-10-26T13:30:00Z", next));
    }
    assert_eq!(ask(&stub).await, None);
}

fn action(name: &str, status: &str, updated: &str, result: Value) -> Value {
    json!({"actionName": name, "status": status, "lastUpdateTime": epoch(updated),
        "output": {"executionResult": result}})
}

async fn explained(actions: Value) -> Reason {
    let stub = Stub::start().await;
    stub.json("ListActionExecutions", json!({"actionExecutionDetails": actions}));
    let execution = EXECUTION.parse().unwrap();
    let reason = entered(&stub).await.explain(order(&run(), &planned()), &execution).await.unwrap();
    assert_eq!(
        stub.only("ListActionExecutions").body(),
        json!({"pipelineName": "svc-deploy", "maxResults": 100, "filter": {"pipelineExecutionId": EXECUTION}})
    );
    reason
}

#[tokio::test]
async fn the_action_that_failed_last_explains_a_failure() {
    let reason = explained(json!([
        action("Notify", "Succeeded", "2026-10-26T13:30:00Z", json!({})),
        action("Test", "Failed", "2026-10-26T13:10:00Z", json!({"errorDetails": {"code": "Old"}})),
        action(
            "Deploy",
            "Failed",
            "2026-10-26T13:20:00Z",
            json!({"externalExecutionSummary": "s", "externalExecutionUrl": "https://console.aws.amazon.com/x",
                "errorDetails": {"code": "ConfigurationError", "message": "stack is gone"}})
        ),
    ]))
    .await;
    assert_eq!(
        reason,
        Reason {
            cause: "ConfigurationError in action Deploy".to_owned(),
            detail: Some("stack is gone".to_owned()),
            link: Some("https://console.aws.amazon.com/x".to_owned()),
            source: ReasonSource::Engine,
            attempt: 0,
        }
    );
}

#[tokio::test]
async fn a_failure_without_details_is_told_as_far_as_it_is_known() {
    let summarised = json!({"externalExecutionSummary": "Rejected by jane"});
    let reason = explained(json!([action("Approve", "Failed", "2026-10-26T13:20:00Z", summarised)])).await;
    assert_eq!(
        (reason.cause.as_str(), reason.detail.as_deref()),
        ("JobFailed in action Approve", Some("Rejected by jane"))
    );
    let reason = explained(json!([{"actionName": "Deploy", "status": "Failed"}])).await;
    assert_eq!((reason.cause.as_str(), reason.detail), ("JobFailed in action Deploy", None));
    let reason = explained(json!([{"actionName": "Deploy", "status": "Abandoned"}])).await;
    assert_eq!(reason.cause, "Failed without a failed action");
}

#[tokio::test]
async fn a_question_that_may_not_be_asked_is_refused_by_the_name_of_the_question() {
    let stub = Stub::start().await;
    stub.error("ListActionExecutions", 400, "AccessDeniedException");
    let execution = EXECUTION.parse().unwrap();
    let refusal = entered(&stub).await.explain(order(&run(), &planned()), &execution).await.unwrap_err();
    let Refusal::Permanent { outcome: Outcome::Failed, reason } = refusal else { panic!("{refusal:?}") };
    assert_eq!(reason.cause, "AccessDenied for ListActionExecutions in role ManifoldTarget");
}

async fn stopped(stub: &Stub) -> Result<(), Refusal> {
    entered(stub).await.stop(order(&run(), &planned()), &EXECUTION.parse().unwrap(), "Aborted by alice").await
}

#[tokio::test]
async fn an_execution_is_stopped_without_abandoning_what_runs_and_with_the_reason() {
    let stub = Stub::start().await;
    stub.json("StopPipelineExecution", json!({"pipelineExecutionId": EXECUTION}));
    stopped(&stub).await.unwrap();
    let sent = stub.only("StopPipelineExecution");
    assert_eq!(
        sent.body(),
        json!({"pipelineName": "svc-deploy", "pipelineExecutionId": EXECUTION, "abandon": false,
            "reason": "Aborted by alice"})
    );
    assert!(sent.header("authorization").contains("Credential=ASIATARGET/"));
}

#[tokio::test]
async fn what_has_ended_or_is_being_stopped_is_stopped() {
    for code in ["PipelineExecutionNotStoppableException", "DuplicatedStopRequestException"] {
        let stub = Stub::start().await;
        stub.error("StopPipelineExecution", 400, code);
        assert_eq!(stopped(&stub).await, Ok(()), "{code}");
    }
    let stub = Stub::start().await;
    stub.error("StopPipelineExecution", 400, "AccessDeniedException");
    let Refusal::Permanent { reason, .. } = stopped(&stub).await.unwrap_err() else { panic!("for good") };
    assert_eq!(reason.cause, "AccessDenied for StopPipelineExecution in role ManifoldTarget");
    let stub = Stub::start().await;
    stub.error("StopPipelineExecution", 400, "ThrottlingException");
    let refusal = stopped(&stub).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Throttled { api: Api::StopPipelineExecution, .. }), "{refusal:?}");
}

/// Where CloudWatch takes the question, in Smithy's protocol RPC v2 CBOR.
const DESCRIBE_ALARMS: &str = "/service/GraniteServiceVersion20100801/operation/DescribeAlarms";

async fn alarms(stub: &Stub, names: &[&str]) -> Result<Vec<AlarmState>, Refusal> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    entered(stub).await.alarms(order(&run(), &planned()), &names).await
}

#[tokio::test]
async fn alarms_of_both_kinds_are_seen_in_the_targets_region_and_what_is_missing_is_not_told() {
    let stub = Stub::start().await;
    stub.then(
        DESCRIBE_ALARMS,
        cbor::answer(&json!({
            "MetricAlarms": [
                {"AlarmName": "web-errors", "StateValue": "ALARM"},
                {"AlarmName": "web-latency", "StateValue": "INSUFFICIENT_DATA"},
            ],
            "CompositeAlarms": [{"AlarmName": "web", "StateValue": "ALARM"}, {"AlarmName": "web-all", "StateValue": "OK"}],
        })),
    );
    let seen = alarms(&stub, &["web-errors", "web-latency", "web", "web-all", "web-gone"]).await.unwrap();
    let state = |name: &str, is_firing| AlarmState { name: name.to_owned(), is_firing };
    assert_eq!(
        seen,
        [state("web-errors", true), state("web-latency", false), state("web", true), state("web-all", false)]
    );
    let sent = stub.only(DESCRIBE_ALARMS);
    assert_eq!(
        cbor::read(&sent.bytes),
        json!({"AlarmNames": ["web-errors", "web-latency", "web", "web-all", "web-gone"],
            "AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": 100})
    );
    let authorization = sent.header("authorization");
    assert!(authorization.contains("Credential=ASIATARGET/"), "{authorization}");
    assert!(authorization.contains("/us-east-1/monitoring/aws4_request"), "{authorization}");
}

#[tokio::test]
async fn alarms_that_may_not_be_seen_are_refused_and_a_limit_of_cloudwatch_is_its_own() {
    let refused = |code: &str| cbor::error(400, code);
    let stub = Stub::start().await;
    stub.then(DESCRIBE_ALARMS, refused("AccessDeniedException"));
    let Refusal::Permanent { reason, .. } = alarms(&stub, &["web-errors"]).await.unwrap_err() else {
        panic!("for good")
    };
    assert_eq!(reason.cause, "AccessDenied for DescribeAlarms in role ManifoldTarget");
    let stub = Stub::start().await;
    stub.then(DESCRIBE_ALARMS, refused("ThrottlingException"));
    let refusal = alarms(&stub, &["web-errors"]).await.unwrap_err();
    let Refusal::Throttled { api: Api::DescribeAlarms, reason } = refusal else { panic!("{refusal:?}") };
    assert_eq!(reason.cause, "Throttled by CloudWatch");
}
