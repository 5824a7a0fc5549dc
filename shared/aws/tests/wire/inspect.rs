//! Looks with a role that can only read.

use manifold_aws::credentials::Assumer;
use manifold_aws::inspect::Inspector;
use manifold_core::checkup::{
    BusSeen, Decision, HubAsked, PipelineAsked, PipelineSeen, PipelineSpotSeen, RuleSeen, RuleTarget, SourceActionSeen,
    Spot, SpotSeen, Tried, VariableSeen,
};
use manifold_core::time::Span;
use manifold_ports::checkup::Inspect;
use manifold_ports::clock::Clock;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::samples::{HandClock, assumed, key, sts_error};
use crate::stub::{AT_ONCE, Stub};

const NOW: &str = "2026-10-26T13:00:00Z";
const IN_AN_HOUR: &str = "2026-10-26T14:00:00Z";
const RULE: &str = "manifold-forward-pipeline";
const ARN: &str = "arn:aws:codepipeline:eu-central-1:444455556666:svc-deploy";

fn spot() -> Spot {
    Spot {
        key: key("444455556666", "eu-central-1"),
        external_id: Some("rollouts-7f3a".to_owned()),
        role: "arn:aws:iam::444455556666:role/deploy/ManifoldTarget".parse().unwrap(),
        rules: vec![RULE.to_owned()],
        started: vec!["svc-deploy".parse().unwrap()],
    }
}

async fn inspector(stub: &Stub) -> (Inspector<HandClock>, HandClock) {
    let (clients, clock) = (stub.clients().await, HandClock::new(NOW));
    let assumer = Assumer::with_clock(clients.sts(), clock.clone());
    (Inspector::new(clients, assumer, "deploy/ManifoldInspect".to_owned()).with_patience(AT_ONCE), clock)
}

async fn inspect(stub: &Stub) -> SpotSeen {
    let (inspector, clock) = inspector(stub).await;
    inspector.inspect_spot(&spot(), clock.now().plus(Span::from_seconds(60))).await
}

fn refused<T>(code: &str) -> Tried<T> {
    Tried::Refused { code: code.to_owned(), message: format!("{code} in words") }
}

fn pipeline() -> Value {
    let action = |name: &str, category: &str, provider: &str, configuration: Value| {
        json!({"name": name, "configuration": configuration,
            "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"}})
    };
    json!({"pipeline": {
        "name": "svc-deploy", "roleArn": "arn:aws:iam::444455556666:role/p", "pipelineType": "V2",
        "executionMode": "QUEUED",
        "variables": [{"name": "COMMIT"}, {"name": "STAGE", "defaultValue": "dev"}],
        "stages": [
            {"name": "Source", "actions": [
                action("Source", "Source", "CodeStarSourceConnection", json!({"BranchName": "main"})),
                action("Objects", "Source", "S3", json!({"AllowOverrideForS3ObjectKey": "true"})),
            ]},
            {"name": "Deploy", "actions": [action("Deploy", "Deploy", "ECS", json!({}))]},
        ],
    }})
}

/// IAM's answer, in its query protocol.
fn simulated(decision: &str, missing: &[&str]) -> ResponseTemplate {
    let missing: String = missing.iter().map(|key| format!("<member>{key}</member>")).collect();
    ResponseTemplate::new(200).set_body_string(format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
         <SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults><member>\
         <EvalActionName>codepipeline:StartPipelineExecution</EvalActionName><EvalResourceName>{ARN}</EvalResourceName>\
         <EvalDecision>{decision}</EvalDecision><MatchedStatements/>\
         <MissingContextValues>{missing}</MissingContextValues>\
         <OrganizationsDecisionDetail><AllowedByOrganizations>true</AllowedByOrganizations></OrganizationsDecisionDetail>\
         </member></EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    ))
}

fn decision(decision: &str, missing: &[&str]) -> Decision {
    Decision {
        action: "codepipeline:StartPipelineExecution".to_owned(),
        decision: decision.to_owned(),
        missing: missing.iter().map(|key| (*key).to_owned()).collect(),
        by_organization: Some(true),
        by_boundary: None,
    }
}

fn rules(stub: &Stub) -> &Stub {
    stub.json("DescribeRule", json!({"Name": RULE, "State": "ENABLED", "EventPattern": "{}"})).json(
        "ListTargetsByRule",
        json!({"Targets": [{"Id": "hub", "Arn": "arn:aws:events:us-east-1:111122223333:event-bus/manifold",
            "RoleArn": "arn:aws:iam::444455556666:role/ManifoldForward"}]}),
    )
}

#[tokio::test]
async fn rules_pipeline_and_permissions_are_seen_with_the_read_only_role_in_the_targets_region() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIALOOK", IN_AN_HOUR));
    rules(&stub).json("GetPipeline", pipeline()).then("SimulatePrincipalPolicy", simulated("allowed", &[]));
    let seen = inspect(&stub).await;
    let rule = RuleSeen {
        state: "ENABLED".to_owned(),
        pattern: Some("{}".to_owned()),
        targets: vec![RuleTarget {
            arn: "arn:aws:events:us-east-1:111122223333:event-bus/manifold".to_owned(),
            role: Some("arn:aws:iam::444455556666:role/ManifoldForward".to_owned()),
        }],
    };
    assert_eq!((seen.assumed, seen.rules), (Tried::Done(()), vec![Tried::Done(rule)]));
    let source = |name: &str, provider: &str, allows_object_key| SourceActionSeen {
        name: name.to_owned(),
        provider: provider.to_owned(),
        allows_object_key,
    };
    let variable = |name: &str, has_default| VariableSeen { name: name.to_owned(), has_default };
    let structure = PipelineSeen {
        pipeline_type: Some("V2".to_owned()),
        execution_mode: Some("QUEUED".to_owned()),
        variables: vec![variable("COMMIT", false), variable("STAGE", true)],
        sources: vec![source("Source", "CodeStarSourceConnection", false), source("Objects", "S3", true)],
    };
    assert_eq!(seen.pipelines[0].pipeline, Tried::Done(structure));
    assert_eq!(seen.pipelines[0].decisions, Tried::Done(vec![decision("allowed", &[])]));

    let asked = stub.only("AssumeRole");
    assert_eq!(asked.form("RoleArn").unwrap(), "arn:aws:iam::444455556666:role/deploy/ManifoldInspect");
    assert_eq!(asked.form("RoleSessionName").unwrap(), "mf-inspect");
    assert_eq!(asked.form("ExternalId").unwrap(), "rollouts-7f3a");
    assert_eq!(asked.form("Policy"), None, "there is nothing to narrow");
    for (operation, place) in [("DescribeRule", "eu-central-1/events"), ("GetPipeline", "eu-central-1/codepipeline")] {
        let authorization = stub.only(operation).header("authorization").to_owned();
        assert!(authorization.contains("=ASIALOOK/") && authorization.contains(place), "{authorization}");
    }
    let asked = stub.only("SimulatePrincipalPolicy");
    assert_eq!(asked.form("PolicySourceArn").unwrap(), "arn:aws:iam::444455556666:role/deploy/ManifoldTarget");
    assert_eq!(asked.form("ResourceArns.member.1").unwrap(), ARN);
    assert_eq!(asked.form("ActionNames.member.1").unwrap(), "codepipeline:StartPipelineExecution");
    assert_eq!(asked.form("ActionNames.member.3").unwrap(), "codepipeline:ListActionExecutions");
    assert_eq!(asked.form("ContextEntries.member.1.ContextKeyName"), None);
}

#[tokio::test]
async fn a_condition_on_tags_is_simulated_with_the_pipelines_own_tags() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIALOOK", IN_AN_HOUR));
    rules(&stub).json("GetPipeline", pipeline());
    stub.then("SimulatePrincipalPolicy", simulated("implicitDeny", &["aws:resourceTag/manifold", "aws:SourceVpc"]));
    stub.json("ListTagsForResource", json!({"tags": [{"key": "manifold", "value": "yes"}]}));
    stub.then("SimulatePrincipalPolicy", simulated("implicitDeny", &["aws:ResourceTag/team", "aws:SourceVpc"]));
    let seen = inspect(&stub).await;
    // A tag that the pipeline does not have is not missing: it is known not to be there.
    assert_eq!(seen.pipelines[0].decisions, Tried::Done(vec![decision("implicitDeny", &["aws:SourceVpc"])]));
    assert_eq!(stub.only("ListTagsForResource").body(), json!({"resourceArn": ARN}));
    let again = &stub.asked("SimulatePrincipalPolicy")[1];
    assert_eq!(again.form("ContextEntries.member.1.ContextKeyName").unwrap(), "aws:ResourceTag/manifold");
    assert_eq!(again.form("ContextEntries.member.1.ContextKeyValues.member.1").unwrap(), "yes");
    assert_eq!(again.form("ContextEntries.member.1.ContextKeyType").unwrap(), "string");
}

#[tokio::test]
async fn tags_that_may_not_be_read_leave_open_what_depends_on_them() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIALOOK", IN_AN_HOUR));
    rules(&stub).json("GetPipeline", pipeline());
    stub.then("SimulatePrincipalPolicy", simulated("implicitDeny", &["aws:ResourceTag/manifold"]));
    stub.error("ListTagsForResource", 400, "AccessDeniedException");
    let decisions = inspect(&stub).await.pipelines.remove(0).decisions;
    assert_eq!(decisions, Tried::Done(vec![decision("implicitDeny", &["aws:ResourceTag/manifold"])]));
}

#[tokio::test]
async fn each_look_fails_alone() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIALOOK", IN_AN_HOUR));
    stub.error("DescribeRule", 400, "ResourceNotFoundException");
    stub.error("GetPipeline", 400, "PipelineNotFoundException");
    stub.then("SimulatePrincipalPolicy", sts_error(404, "NoSuchEntity"));
    let seen = inspect(&stub).await;
    assert_eq!(seen.rules, [refused("ResourceNotFoundException")]);
    assert_eq!(seen.pipelines[0].pipeline, refused("PipelineNotFoundException"));
    assert_eq!(seen.pipelines[0].decisions, refused("NoSuchEntity"));

    let stub = Stub::start().await;
    stub.then("AssumeRole", sts_error(403, "AccessDenied"));
    assert_eq!(inspect(&stub).await, SpotSeen::not_assumed(refused("AccessDenied"), 1, 1));
}

#[tokio::test]
async fn the_hub_account_is_seen_with_the_functions_own_credentials() {
    let stub = Stub::start().await;
    stub.json("DescribeEventBus", json!({"Name": "manifold", "Policy": "{\"Statement\":[]}"}));
    stub.json("GetPipeline", pipeline()).error("GetPipeline", 400, "PipelineNotFoundException");
    let (inspector, clock) = inspector(&stub).await;
    let release = |name: &str| PipelineAsked { region: "us-west-2".parse().unwrap(), name: name.parse().unwrap() };
    let asked = HubAsked { bus: "manifold".to_owned(), releases: vec![release("web-release"), release("gone")] };
    let seen = inspector.inspect_hub(&asked, clock.now().plus(Span::from_seconds(60))).await;
    assert_eq!(seen.bus, Tried::Done(BusSeen { policy: Some("{\"Statement\":[]}".to_owned()) }));
    assert_eq!(seen.releases, [Tried::Done(()), refused("PipelineNotFoundException")]);
    assert_eq!(inspector.role(), "ManifoldInspect");
    let authorization = stub.asked("GetPipeline")[0].header("authorization").to_owned();
    assert!(authorization.contains("=AKIDHUB/") && authorization.contains("/us-west-2/"), "{authorization}");
}

/// What was seen of something else than a pipeline.
async fn inspect_other(stub: &Stub, started: &str) -> PipelineSpotSeen {
    stub.then("AssumeRole", assumed("ASIALOOK", IN_AN_HOUR));
    stub.then("SimulatePrincipalPolicy", simulated("allowed", &[]));
    let (inspector, clock) = inspector(stub).await;
    let spot = Spot { rules: Vec::new(), started: vec![started.parse().unwrap()], ..spot() };
    let mut seen = inspector.inspect_spot(&spot, clock.now().plus(Span::from_seconds(60))).await;
    let authorization = stub.only("SimulatePrincipalPolicy").header("authorization").to_owned();
    assert!(authorization.contains("=ASIALOOK/"), "{authorization}");
    seen.pipelines.remove(0)
}

/// An answer or an error of a service that speaks in queries.
fn query(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(body.to_owned())
}

fn query_error(code: &str, message: &str) -> ResponseTemplate {
    query(
        400,
        &format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"),
    )
}

#[tokio::test]
async fn a_project_is_looked_for_by_its_name_and_its_rights_are_simulated_on_it() {
    let stub = Stub::start().await;
    stub.json("BatchGetProjects", json!({"projects": [{"name": "web-deploy"}]}));
    let seen = inspect_other(&stub, "codebuild:web-deploy").await;
    assert_eq!(seen.pipeline, Tried::Done(PipelineSeen::default()));
    assert_eq!(stub.only("BatchGetProjects").body(), json!({"names": ["web-deploy"]}));
    let asked = stub.only("SimulatePrincipalPolicy");
    let arn = "arn:aws:codebuild:eu-central-1:444455556666:project/web-deploy";
    assert_eq!(asked.form("ResourceArns.member.1").unwrap(), arn);
    assert_eq!(asked.form("ActionNames.member.1").unwrap(), "codebuild:StartBuild");
    let stub = Stub::start().await;
    stub.json("BatchGetProjects", json!({"projects": [], "projectsNotFound": ["web-deploy"]}));
    let Tried::Refused { code, message } = inspect_other(&stub, "codebuild:web-deploy").await.pipeline else {
        panic!("it is not there")
    };
    assert_eq!((code.as_str(), message.as_str()), ("ResourceNotFoundException", "there is no project web-deploy"));
}

#[tokio::test]
async fn a_stack_need_not_be_there_but_it_must_be_possible_to_look() {
    let there = query(
        200,
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks/></DescribeStacksResult></DescribeStacksResponse>",
    );
    for answer in [there, query_error("ValidationError", "Stack with id web does not exist")] {
        let stub = Stub::start().await;
        stub.then("DescribeStacks", answer);
        assert_eq!(inspect_other(&stub, "cloudformation:web").await.pipeline, Tried::Done(PipelineSeen::default()));
        assert_eq!(stub.only("DescribeStacks").form("StackName").unwrap(), "web");
        let asked = stub.only("SimulatePrincipalPolicy");
        assert!(asked.form("ResourceArns.member.1").unwrap().contains(":444455556666:stack/web/"));
    }
    let stub = Stub::start().await;
    stub.then("DescribeStacks", query_error("AccessDenied", "AccessDenied in words"));
    assert_eq!(inspect_other(&stub, "cloudformation:web").await.pipeline, refused("AccessDenied"));
}

#[tokio::test]
async fn a_deployment_group_is_looked_for_in_its_application() {
    let stub = Stub::start().await;
    stub.json("GetDeploymentGroup", json!({"deploymentGroupInfo": {"deploymentGroupName": "live"}}));
    let seen = inspect_other(&stub, "codedeploy:shop/live").await;
    assert_eq!(seen.pipeline, Tried::Done(PipelineSeen::default()));
    assert_eq!(
        stub.only("GetDeploymentGroup").body(),
        json!({"applicationName": "shop", "deploymentGroupName": "live"})
    );
    let asked = stub.only("SimulatePrincipalPolicy");
    let arn = "arn:aws:codedeploy:eu-central-1:444455556666:deploymentgroup:shop/live";
    assert_eq!(asked.form("ResourceArns.member.1").unwrap(), arn);
    let stub = Stub::start().await;
    stub.error("GetDeploymentGroup", 400, "DeploymentGroupDoesNotExistException");
    let seen = inspect_other(&stub, "codedeploy:shop/live").await;
    assert_eq!(seen.pipeline, refused("DeploymentGroupDoesNotExistException"));
    // Each look fails alone.
    assert!(seen.decisions.done().is_some());
}
