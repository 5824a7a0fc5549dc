//! The looks at what is started where that is no pipeline.

use manifold_core::ids::Attempt;

use super::*;

const STACK: &str = "arn:aws:cloudformation:eu-central-1:444455556666:stack/web/1f2e3d4c";

/// What is looked at but for stacks' own drift.
fn all() -> Looks {
    Looks { variables: true, ..looks(&[Aspect::Revision, Aspect::Definition, Aspect::Health]) }
}

async fn look(stub: &Stub, started: &str) -> Seen {
    let watching = Watching::entered(stub).await;
    let planned = PlannedTarget { subject: started.parse().unwrap(), ..watching.planned.clone() };
    watching.look_at(&planned, &all(), Look::First).await
}

fn normal(definition: &Value) -> Normal {
    Normal::of(definition, &key("444455556666", REGION))
}

/// What was seen of something without stages.
fn whole(definition: &Value) -> PipelineSeen {
    PipelineSeen {
        digest: normal(definition).digest,
        version: 0,
        updated_at: None,
        is_parallel: false,
        deploy_stage: String::new(),
        is_released: false,
    }
}

fn done<T: std::fmt::Debug>(seen: Option<Tried<T>>) -> T {
    match seen {
        Some(Tried::Done(seen)) => seen,
        other => panic!("nothing was seen: {other:?}"),
    }
}

fn project(last_modified: &str) -> Value {
    json!({"projects": [{
        "name": "web-deploy", "arn": "arn:aws:codebuild:eu-central-1:444455556666:project/web-deploy",
        "environment": {"type": "LINUX_CONTAINER", "image": "deploy:7", "computeType": "BUILD_GENERAL1_SMALL", "environmentVariables": [{"name": "API_TOKEN", "value": "hush"}]},
        "created": epoch("2026-01-01T00:00:00Z"), "lastModified": epoch(last_modified),
        "onTuesdays": "rest",
    }]})
}

fn build(number: u32, status: &str, started_at: &str) -> Value {
    json!({"id": format!("web-deploy:{number}"), "buildStatus": status, "startTime": epoch(started_at),
        "resolvedSourceVersion": "abc123", "initiator": "ManifoldTarget/mf-web-0123456789abcdef",
        "environment": {"type": "LINUX_CONTAINER", "image": "deploy:7", "computeType": "BUILD_GENERAL1_SMALL", "environmentVariables": [
            {"name": "COMMIT", "value": "abc123", "type": "PLAINTEXT"},
            {"name": "DB_PASSWORD", "value": "hush", "type": "PLAINTEXT"},
            {"name": "KEY", "value": "/ssm/key", "type": "PARAMETER_STORE"}]}})
}

#[tokio::test]
async fn a_project_and_its_builds_are_seen() {
    let stub = Stub::start().await;
    stub.json("BatchGetProjects", project("2026-10-01T09:30:00Z"));
    stub.json("ListBuildsForProject", json!({"ids": ["web-deploy:3", "web-deploy:2", "web-deploy:1"]}));
    stub.json(
        "BatchGetBuilds",
        json!({"builds": [
            build(1, "SUCCEEDED", "2026-10-26T10:00:00Z"),
            build(3, "TIMED_OUT", "2026-10-26T12:00:00Z"),
            build(2, "SUCCEEDED", "2026-10-26T11:00:00Z"),
        ]}),
    );
    let Seen { sight, definition } = look(&stub, "codebuild:web-deploy").await;
    let text = definition.unwrap().text;
    assert!(text.contains("onTuesdays") && text.contains("{account}"), "{text}");
    assert!(!text.contains("hush") && !text.contains("lastModified"), "{text}");
    assert_eq!(done(sight.pipeline).updated_at, Some(at("2026-10-01T09:30:00Z")));
    let executions = done(sight.executions);
    let told: Vec<(&str, &str)> = executions.iter().map(|seen| (seen.id.as_str(), seen.status.as_str())).collect();
    assert_eq!(told, [("web-deploy:3", "Failed"), ("web-deploy:2", "Succeeded"), ("web-deploy:1", "Succeeded")]);
    let deployed = done(sight.deployed);
    assert_eq!(deployed, executions[1..2]);
    assert_eq!(deployed[0].revisions["source"], "abc123");
    assert_eq!(deployed[0].variables, [("COMMIT".to_owned(), "abc123".to_owned())].into());
    let by = deployed[0].started_by.as_deref().unwrap();
    assert_eq!(RunId::from_session_arn(by), Some("web-0123456789abcdef".parse().unwrap()));
    assert_eq!(done(sight.state), StateSeen::default());
}

#[tokio::test]
async fn a_project_is_the_same_whenever_it_was_touched_and_one_that_is_not_there_is_told() {
    let mut digests = Vec::new();
    for touched in ["2026-10-01T09:30:00Z", "2026-10-02T09:30:00Z"] {
        let stub = Stub::start().await;
        stub.json("BatchGetProjects", project(touched)).json("ListBuildsForProject", json!({"ids": []}));
        let sight = look(&stub, "codebuild:web-deploy").await.sight;
        digests.push(done(sight.pipeline).digest);
        assert_eq!(done(sight.deployed), []);
    }
    assert_eq!(digests[0], digests[1]);
    let stub = Stub::start().await;
    stub.json("BatchGetProjects", json!({"projects": [], "projectsNotFound": ["web-deploy"]}));
    stub.json("ListBuildsForProject", json!({"ids": []}));
    let seen = look(&stub, "codebuild:web-deploy").await.sight.pipeline;
    assert!(matches!(seen, Some(Tried::Refused { code, .. }) if code == "ResourceNotFoundException"));
}

fn event(logical: &str, status: &str, at: &str, token: Option<&str>) -> String {
    let physical = if logical == "web" { STACK } else { "queue" };
    let token = token.map(|token| format!("<ClientRequestToken>{token}</ClientRequestToken>")).unwrap_or_default();
    format!(
        "<member><StackId>{STACK}</StackId><EventId>event-{}</EventId><StackName>web</StackName>\
         <LogicalResourceId>{logical}</LogicalResourceId><PhysicalResourceId>{physical}</PhysicalResourceId>\
         <Timestamp>{at}</Timestamp><ResourceStatus>{status}</ResourceStatus>{token}</member>",
        at.replace([':', 'T'], "-")
    )
}

#[tokio::test]
async fn a_stacks_template_and_the_operations_on_it_are_seen() {
    let stub = Stub::start().await;
    let ours = run().attempt_token(&key("444455556666", REGION), Attempt::FIRST);
    let console = "Console-UpdateStack-1";
    let events = [
        event("web", "UPDATE_ROLLBACK_COMPLETE", "2026-10-26T12:09:00Z", Some(console)),
        event("web", "UPDATE_ROLLBACK_IN_PROGRESS", "2026-10-26T12:08:00Z", Some(console)),
        event("Queue", "UPDATE_FAILED", "2026-10-26T12:07:00Z", Some(console)),
        event("web", "UPDATE_IN_PROGRESS", "2026-10-26T12:06:00Z", Some(console)),
        event("web", "UPDATE_COMPLETE", "2026-10-26T11:09:00Z", Some(&ours)),
        event("web", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "2026-10-26T11:08:00Z", Some(&ours)),
        event("web", "UPDATE_IN_PROGRESS", "2026-10-26T11:06:00Z", Some(&ours)),
        event("web", "CREATE_COMPLETE", "2026-10-26T10:09:00Z", None),
        event("web", "CREATE_IN_PROGRESS", "2026-10-26T10:06:00Z", None),
        event("web", "REVIEW_IN_PROGRESS", "2026-10-26T10:05:00Z", None),
    ];
    let template = json!({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}});
    cloudformation(&stub, "GetTemplate", &format!("<TemplateBody>{template}</TemplateBody>"));
    cloudformation(&stub, "DescribeStackEvents", &format!("<StackEvents>{}</StackEvents>", events.concat()));
    let Seen { sight, definition } = look(&stub, "cloudformation:web").await;
    assert_eq!(definition, Some(normal(&template)));
    assert_eq!(done(sight.pipeline), PipelineSeen { is_released: true, ..whole(&template) });
    let executions = done(sight.executions);
    let told = executions.iter().map(|seen| (seen.id.as_str(), seen.status.as_str(), seen.started_at));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (console, "Failed", Some(at("2026-10-26T12:06:00Z"))),
            (ours.as_str(), "Succeeded", Some(at("2026-10-26T11:06:00Z"))),
            ("event-2026-10-26-10-09-00Z", "Succeeded", Some(at("2026-10-26T10:06:00Z"))),
        ]
    );
    assert_eq!(executions[1].started_by.as_deref(), Some(ours.as_str()));
    assert_eq!((&executions[0].started_by, &executions[2].started_by), (&None, &None));
    assert_eq!(done(sight.deployed), executions[1..2]);
}

fn group() -> Value {
    json!({"applicationName": "shop", "deploymentGroupName": "live", "deploymentConfigName": "CodeDeployDefault.AllAtOnce"})
}

fn deployment(id: &str, status: &str, created: &str, more: &Value) -> Value {
    let mut info = json!({"deploymentId": id, "status": status, "createTime": epoch(created), "creator": "user",
        "revision": {"revisionType": "S3", "s3Location": {"bucket": "artifacts", "key": "shop/abc123.zip"}}});
    info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    info
}

#[tokio::test]
async fn a_deployment_group_and_its_deployments_are_seen() {
    let stub = Stub::start().await;
    let mut noted = group();
    noted["deploymentGroupId"] = json!("11111111-2222-3333-4444-555555555555");
    noted["lastSuccessfulDeployment"] = json!({"deploymentId": "d-BACK00001", "status": "Succeeded"});
    noted["lastAttemptedDeployment"] = json!({"deploymentId": "d-BACK00001"});
    stub.json("GetDeploymentGroup", json!({"deploymentGroupInfo": noted}));
    stub.json("ListDeployments", json!({"deployments": ["d-FAILED001", "d-GOOD00001"]}));
    let token = run().attempt_token(&key("444455556666", REGION), Attempt::FIRST);
    let back =
        json!({"creator": "codeDeployRollback", "rollbackInfo": {"rollbackTriggeringDeploymentId": "d-FAILED001"}});
    stub.json(
        "BatchGetDeployments",
        json!({"deploymentsInfo": [
            deployment("d-GOOD00001", "Succeeded", "2026-10-26T10:00:00Z", &json!({"description": format!("Manifold: {token}")})),
            deployment("d-FAILED001", "Failed", "2026-10-26T11:00:00Z", &json!({"description": "by hand",
                "revision": {"revisionType": "GitHub", "gitHubLocation": {"repository": "a/b", "commitId": "def456"}}})),
            deployment("d-BACK00001", "Succeeded", "2026-10-26T11:05:00Z", &back),
        ]}),
    );
    let Seen { sight, definition } = look(&stub, "codedeploy:shop/live").await;
    assert_eq!(definition, Some(normal(&group())));
    assert_eq!(done(sight.pipeline), whole(&group()));
    let executions = done(sight.executions);
    let told = executions.iter().map(|seen| (seen.id.as_str(), seen.status.as_str(), seen.is_rollback));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [("d-BACK00001", "Succeeded", true), ("d-FAILED001", "Failed", false), ("d-GOOD00001", "Succeeded", false),]
    );
    assert_eq!(done(sight.deployed), executions[..1]);
    assert_eq!(executions[0].revisions, executions[2].revisions);
    assert_eq!(executions[1].revisions["revision"], "def456");
    assert_eq!(executions[2].started_by, Some(token));
    let asked = stub.only("BatchGetDeployments").body();
    assert_eq!(asked["deploymentIds"], json!(["d-FAILED001", "d-GOOD00001", "d-BACK00001"]));
}

#[tokio::test]
async fn what_may_not_be_read_is_told_and_hides_nothing_else() {
    let stub = Stub::start().await;
    stub.error("GetDeploymentGroup", 400, "AccessDeniedException");
    stub.json("ListDeployments", json!({"deployments": []}));
    let sight = look(&stub, "codedeploy:shop/live").await.sight;
    assert!(matches!(sight.pipeline, Some(Tried::Refused { .. })), "{:?}", sight.pipeline);
    assert_eq!(sight.deployed, Some(Tried::NotTried), "which one succeeded last only the group tells");
    assert_eq!(done(sight.executions), []);
}
