//! CodePipeline in the hub account.

use manifold_aws::releases::CodePipelineReleases;
use manifold_core::release::{Revision, Stage, Trigger};
use manifold_core::time::Timestamp;
use manifold_ports::releases::{Details, ReleaseError, Releases};
use serde_json::{Value, json};

use crate::samples::{EXECUTION, release};
use crate::stub::Stub;

async fn describe(stub: &Stub) -> Result<Details, ReleaseError> {
    let releases = CodePipelineReleases::new(stub.clients().await);
    let release = release();
    releases.describe(&release.pipeline, &release.source).await
}

fn execution(artifacts: &Value) -> Value {
    json!({"pipelineExecution": {"pipelineName": "web-release", "pipelineExecutionId": EXECUTION,
        "status": "Succeeded", "artifactRevisions": artifacts,
        "trigger": {"triggerType": "WebhookV2", "triggerDetail": "arn:aws:codeconnections:eu-west-1:111122223333:c/1"}}})
}

fn artifacts() -> Value {
    json!([
        {"name": "SourceArtifact", "revisionId": "4f3c2b1a", "revisionUrl": "https://github.com/acme/web/commit/4f3c2b1a",
            "revisionSummary": "{\"ProviderType\":\"GitHub\",\"CommitMessage\":\"Fix login (#12)\"}"},
        {"name": "Config", "revisionId": "v7", "revisionSummary": "Amazon S3 version id: v7"},
        {"name": "Built"},
    ])
}

fn trigger() -> Trigger {
    Trigger {
        kind: Some("WebhookV2".to_owned()),
        detail: Some("arn:aws:codeconnections:eu-west-1:111122223333:c/1".to_owned()),
    }
}

fn config(action: &str) -> Revision {
    Revision {
        id: "v7".to_owned(),
        action: action.to_owned(),
        message: Some("Amazon S3 version id: v7".to_owned()),
        url: None,
        author: None,
        repository: None,
        reference: None,
        authored_at: None,
    }
}

#[tokio::test]
async fn a_release_is_told_with_its_source_actions_author_repository_and_branch() {
    let stub = Stub::start().await;
    stub.json("GetPipelineExecution", execution(&artifacts()));
    let kind = |category: &str| json!({"category": category, "owner": "AWS", "provider": "p", "version": "1"});
    stub.json(
        "ListActionExecutions",
        json!({"actionExecutionDetails": [
            {"actionName": "Everywhere", "stageName": "Rollout", "status": "InProgress", "startTime": 1_761_486_800.0,
                "lastUpdateTime": 1_761_486_810.0, "input": {"actionTypeId": kind("Invoke")}},
            {"actionName": "Test", "stageName": "Build", "status": "Succeeded", "startTime": 1_761_486_650.25,
                "lastUpdateTime": 1_761_486_790.0, "input": {"actionTypeId": kind("Test")}},
            {"actionName": "Build", "stageName": "Build", "status": "Failed", "startTime": 1_761_486_640.0,
                "lastUpdateTime": 1_761_486_700.0, "input": {"actionTypeId": kind("Build")},
                "output": {"outputArtifacts": [{"name": "SourceArtifact"}]}},
            {"actionName": "GitHub", "stageName": "Source", "status": "Succeeded", "startTime": 1_761_486_600.0,
                "lastUpdateTime": 1_761_486_620.5, "input": {"actionTypeId": kind("Source"),
                    "configuration": {"FullRepositoryId": "acme/web", "BranchName": "main"}},
                "output": {"outputArtifacts": [{"name": "SourceArtifact"}],
                    "outputVariables": {"AuthorDisplayName": "Jane Doe", "AuthorDate": "2025-10-26T13:40:08Z", "AuthorEmail": "jane@example.com"}}},
            {"actionName": "Settings", "stageName": "Source", "status": "Succeeded", "startTime": 1_761_486_601.0,
                "lastUpdateTime": 1_761_486_602.0, "input": {"actionTypeId": kind("Source")},
                "output": {"outputArtifacts": [{"name": "Config"}]}},
        ]}),
    );
    let web = Revision {
        id: "4f3c2b1a".to_owned(),
        action: "GitHub".to_owned(),
        message: Some("Fix login (#12)".to_owned()),
        url: Some("https://github.com/acme/web/commit/4f3c2b1a".to_owned()),
        author: Some("Jane Doe".to_owned()),
        repository: Some("acme/web".to_owned()),
        reference: Some("main".to_owned()),
        authored_at: Timestamp::parse_rfc3339("2025-10-26T13:40:08Z"),
    };
    let stage = |name: &str, began, ended| Stage {
        name: name.to_owned(),
        began: Timestamp::from_millis(began),
        ended: Timestamp::from_millis(ended),
    };
    // One that goes on is none yet.
    let source = stage("Source", 1_761_486_600_000, 1_761_486_620_500);
    let stages = vec![source, stage("Build", 1_761_486_640_000, 1_761_486_790_000)];
    let details = describe(&stub).await.unwrap();
    assert_eq!(details, Details { revisions: vec![web, config("Settings")], trigger: trigger(), stages });

    let sent = stub.only("GetPipelineExecution");
    assert_eq!(sent.body(), json!({"pipelineName": "web-release", "pipelineExecutionId": EXECUTION}));
    assert!(sent.header("authorization").contains("Credential=AKIDHUB/"));
    assert!(sent.header("authorization").contains("/eu-west-1/codepipeline/aws4_request"));
    assert_eq!(
        stub.only("ListActionExecutions").body(),
        json!({"pipelineName": "web-release", "maxResults": 100, "filter": {"pipelineExecutionId": EXECUTION}})
    );
}

#[tokio::test]
async fn an_artifacts_name_stands_for_its_action_where_actions_may_not_be_read() {
    let stub = Stub::start().await;
    stub.json("GetPipelineExecution", execution(&artifacts()));
    stub.error("ListActionExecutions", 400, "AccessDeniedException");
    let details = describe(&stub).await.unwrap();
    assert_eq!(details.revisions[0].action, "SourceArtifact");
    assert_eq!(details.revisions[0].message.as_deref(), Some("Fix login (#12)"));
    assert_eq!(details.revisions[1], config("Config"));
}

#[tokio::test]
async fn a_release_without_revisions_says_so() {
    let stub = Stub::start().await;
    stub.json("GetPipelineExecution", execution(&json!([])));
    assert_eq!(describe(&stub).await.unwrap(), Details { trigger: trigger(), ..Details::default() });
}

#[tokio::test]
async fn details_that_can_not_be_had_are_unavailable_or_refused() {
    let table = [
        (400, "PipelineExecutionNotFoundException", 1, false),
        (400, "AccessDeniedException", 1, false),
        (400, "ExpiredTokenException", 1, true),
        (400, "ThrottlingException", 3, true),
        (500, "InternalFailure", 3, true),
    ];
    for (status, code, calls, passing) in table {
        let stub = Stub::start().await;
        for _ in 0..calls {
            stub.error("GetPipelineExecution", status, code);
        }
        let error = describe(&stub).await.unwrap_err();
        assert_eq!(matches!(error, ReleaseError::Unavailable(_)), passing, "{error}");
        assert!(error.to_string().ends_with(&format!("{code}: {code} in words")), "{error}");
    }
    let stub = Stub::start().await;
    stub.json("GetPipelineExecution", execution(&artifacts()));
    for _ in 0..3 {
        stub.error("ListActionExecutions", 500, "InternalFailure");
    }
    assert!(matches!(describe(&stub).await, Err(ReleaseError::Unavailable(_))));
}
