//! STS.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_types::timeout::TimeoutConfig;
use manifold_aws::clients::{self, Clients};
use manifold_aws::credentials::Assumer;
use manifold_core::pace::Api;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Outcome, ReasonSource, Refusal};
use manifold_core::time::Span;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::samples::{HandClock, assumed, planned, planned_in, run, sts_error};
use crate::stub::Stub;

const NOW: &str = "2026-10-26T13:00:00Z";
const IN_AN_HOUR: &str = "2026-10-26T14:00:00Z";

async fn assumer(stub: &Stub) -> (Assumer<HandClock>, HandClock) {
    let clock = HandClock::new(NOW);
    (Assumer::with_clock(stub.clients().await.sts(), clock.clone()), clock)
}

#[tokio::test]
async fn a_role_is_assumed_for_an_hour_in_a_session_that_carries_the_run_and_is_narrowed_to_its_pipeline() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR));
    let (assumer, _) = assumer(&stub).await;
    let credentials = assumer.assume(&run(), &planned()).await.unwrap();
    assert_eq!(credentials.access_key_id(), "ASIATARGET");
    assert_eq!(credentials.session_token(), Some("t0k3n-ASIATARGET"));

    let sent = stub.only("AssumeRole");
    let field = |name| sent.form(name).unwrap_or_default();
    assert_eq!(field("RoleArn"), "arn:aws:iam::444455556666:role/ManifoldTarget");
    assert_eq!(field("RoleSessionName"), "mf-web-0f3a5b7c9d1e2f40");
    assert_eq!(field("ExternalId"), "rollouts-7f3a");
    assert_eq!(field("DurationSeconds"), "3600");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&field("Policy")).unwrap(),
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Action": ["codepipeline:StartPipelineExecution", "codepipeline:StopPipelineExecution",
                "codepipeline:ListPipelineExecutions", "codepipeline:ListActionExecutions"],
            "Resource": "arn:aws:codepipeline:*:444455556666:svc-deploy"},
            {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"}]})
    );
    assert!(sent.header("authorization").contains("Credential=AKIDHUB/"), "{}", sent.header("authorization"));
    assert!(sent.header("authorization").contains("/eu-west-1/sts/aws4_request"), "{}", sent.header("authorization"));
}

#[tokio::test]
async fn a_session_is_shared_by_regions_and_not_by_runs_accounts_or_pipelines() {
    let stub = Stub::start().await;
    for key in ["ASIA1", "ASIA2", "ASIA3", "ASIA4"] {
        stub.then("AssumeRole", assumed(key, IN_AN_HOUR));
    }
    let (assumer, _) = assumer(&stub).await;
    let assume = async |run: &str, planned: &PlannedTarget| {
        assumer.assume(&run.parse().unwrap(), planned).await.unwrap().access_key_id().to_owned()
    };
    let (run, other_run) = ("web-0f3a5b7c9d1e2f40", "web-1111111111111111");
    assert_eq!(assume(run, &planned_in("us-east-1")).await, "ASIA1");
    assert_eq!(assume(run, &planned_in("eu-west-1")).await, "ASIA1");
    assert_eq!(assume(other_run, &planned()).await, "ASIA2");
    let elsewhere =
        PlannedTarget { role: "arn:aws:iam::777788889999:role/ManifoldTarget".parse().unwrap(), ..planned() };
    assert_eq!(assume(run, &elsewhere).await, "ASIA3");
    let another = PlannedTarget { subject: "db-deploy".parse().unwrap(), external_id: None, ..planned() };
    assert_eq!(assume(run, &another).await, "ASIA4");
    assert!(stub.asked("AssumeRole")[3].form("ExternalId").is_none());
}

#[tokio::test]
async fn callers_at_the_same_time_wait_for_one_call() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIA1", IN_AN_HOUR).set_delay(Duration::from_millis(20)));
    let (assumer, _) = assumer(&stub).await;
    let (run, planned) = (run(), planned());
    let all = futures::future::join_all((0..50).map(|_| assumer.assume(&run, &planned))).await;
    assert!(all.into_iter().all(|credentials| credentials.unwrap().access_key_id() == "ASIA1"));
}

#[tokio::test]
async fn whoever_waited_for_a_call_that_failed_gets_its_answer_and_the_next_one_calls_again() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", sts_error(403, "AccessDenied").set_delay(Duration::from_millis(20)));
    stub.then("AssumeRole", assumed("ASIA1", IN_AN_HOUR));
    let (assumer, _) = assumer(&stub).await;
    let (run, planned) = (run(), planned());
    let all = futures::future::join_all((0..50).map(|_| assumer.assume(&run, &planned))).await;
    assert!(all.iter().all(Result::is_err));
    assumer.assume(&run, &planned).await.unwrap();
}

#[tokio::test]
async fn a_session_is_replaced_five_minutes_before_it_ends_and_when_it_is_forgotten() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIA1", IN_AN_HOUR));
    stub.then("AssumeRole", assumed("ASIA2", "2026-10-26T14:55:00Z"));
    stub.then("AssumeRole", assumed("ASIA3", "2026-10-26T14:55:00Z"));
    let (assumer, clock) = assumer(&stub).await;
    let assume = async || assumer.assume(&run(), &planned()).await.unwrap().access_key_id().to_owned();
    assert_eq!(assume().await, "ASIA1");
    clock.advance(Span::from_seconds(54 * 60 + 59));
    assert_eq!(assume().await, "ASIA1");
    clock.advance(Span::from_seconds(1));
    assert_eq!(assume().await, "ASIA2");
    assumer.forget(&run(), &planned());
    assert_eq!(assume().await, "ASIA3");
}

#[derive(Debug, PartialEq)]
enum Means {
    Unreachable,
    Failed,
    Later,
    Throttled,
}

#[tokio::test]
async fn every_failure_of_sts_means_something_for_the_target() {
    let table = [
        (403, "AccessDenied", 1, Means::Unreachable, "AccessDenied on role ManifoldTarget"),
        (403, "RegionDisabledException", 1, Means::Unreachable, "Region disabled for role ManifoldTarget"),
        (400, "MalformedPolicyDocument", 1, Means::Failed, "MalformedPolicyDocument for role ManifoldTarget"),
        (400, "PackedPolicyTooLarge", 1, Means::Failed, "PackedPolicyTooLarge for role ManifoldTarget"),
        (400, "ValidationError", 1, Means::Failed, "ValidationError for role ManifoldTarget"),
        (400, "Throttling", 1, Means::Throttled, "Throttled by STS"),
        (500, "InternalFailure", 3, Means::Later, "STS did not answer"),
        (503, "ServiceUnavailable", 3, Means::Later, "STS did not answer"),
        (403, "ExpiredToken", 1, Means::Later, "ExpiredToken on role ManifoldTarget"),
        (403, "SignatureDoesNotMatch", 1, Means::Later, "SignatureDoesNotMatch on role ManifoldTarget"),
    ];
    for (status, code, calls, expected, cause) in table {
        let stub = Stub::start().await;
        for _ in 0..calls {
            stub.then("AssumeRole", sts_error(status, code));
        }
        let (assumer, _) = assumer(&stub).await;
        let (means, reason) = match assumer.assume(&run(), &planned()).await.unwrap_err() {
            Refusal::Permanent { outcome: Outcome::Unreachable, reason } => (Means::Unreachable, reason),
            Refusal::Permanent { outcome: Outcome::Failed, reason } => (Means::Failed, reason),
            Refusal::Later { reason } => (Means::Later, reason),
            Refusal::Throttled { api: Api::AssumeRole, reason } => (Means::Throttled, reason),
            other @ (Refusal::Permanent { .. }
            | Refusal::Busy { .. }
            | Refusal::Throttled { .. }
            | Refusal::Preparing { .. }
            | Refusal::Wait { .. }) => panic!("{code}: {other:?}"),
        };
        assert_eq!((means, reason.cause.as_str()), (expected, cause), "{code}");
        assert_eq!(reason.detail, Some(format!("{code} in words")), "{code}");
        assert_eq!(reason.source, ReasonSource::Manifold);
    }
}

#[tokio::test]
async fn a_time_out_is_tried_again_later() {
    // It is connected to, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(5)).build();
    let config = clients::loader()
        .region(aws_config::Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKIDHUB", "hub-secret", None, None, "test"))
        .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
        .retry_config(clients::retries().with_initial_backoff(Duration::from_millis(1)))
        .timeout_config(timeouts)
        .load()
        .await;
    let assumer = Assumer::new(Clients::new(config).sts());
    let refusal = assumer.assume(&run(), &planned()).await.unwrap_err();
    assert!(matches!(&refusal, Refusal::Later { reason } if reason.cause == "STS did not answer"), "{refusal:?}");
}

#[tokio::test]
async fn nothing_that_is_printed_shows_a_secret() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", IN_AN_HOUR));
    stub.then("AssumeRole", ResponseTemplate::new(200).set_body_string("<AssumeRoleResponse>s3cr3t"));
    let (assumer, _) = assumer(&stub).await;
    let credentials = assumer.assume(&run(), &planned()).await.unwrap();
    let other_run = "web-1111111111111111".parse().unwrap();
    let refusal = assumer.assume(&other_run, &planned()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Later { .. }), "{refusal:?}");
    let printed = format!("{credentials:?} {assumer:?} {refusal:?}");
    assert!(!printed.contains("s3cr3t") && !printed.contains("t0k3n"), "{printed}");
}
