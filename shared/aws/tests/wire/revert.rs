//! Change sets that take a stack back to its template.

use manifold_aws::credentials::Assumer;
use manifold_aws::engine::Engines;
use manifold_core::checkup::Tried;
use manifold_ports::drift::{Prepared, Revert, ToRevert};
use wiremock::ResponseTemplate;

use crate::samples::{assumed, nonce, planned, run, sts_error};
use crate::stub::Stub;

const LONG_AFTER: &str = "2099-01-01T00:00:00Z";
const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:444455556666:stack/svc-infra/1f2e";
const CHANGE_SET_ID: &str = "arn:aws:cloudformation:us-east-1:444455556666:changeSet/manifold-press-1/2a3b";

async fn prepare(stub: &Stub) -> Tried<Prepared> {
    let clients = stub.clients().await;
    let engine = Engines::new(clients.clone(), Assumer::new(clients.sts()));
    let (run, planned, command) = (run(), planned(), nonce("press:1"));
    engine.prepare(ToRevert { check: &run, planned: &planned, stack: "svc-infra", command: &command }).await
}

fn answer<'a>(stub: &'a Stub, operation: &str, inner: &str) -> &'a Stub {
    stub.then(
        operation,
        ResponseTemplate::new(200).set_body_string(format!(
            "<{operation}Response xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
             <{operation}Result>{inner}</{operation}Result></{operation}Response>"
        )),
    )
}

fn described(stub: &Stub) -> &Stub {
    let parameter = |key: &str, value: &str| {
        format!("<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>")
    };
    let parameters = parameter("Stage", "prod") + &parameter("Password", "****");
    answer(
        stub,
        "DescribeStacks",
        &format!(
            "<Stacks><member><StackId>{STACK_ID}</StackId><StackName>svc-infra</StackName>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus>\
             <Parameters>{parameters}</Parameters>\
             <Capabilities><member>CAPABILITY_NAMED_IAM</member></Capabilities></member></Stacks>"
        ),
    )
}

fn prepared() -> Tried<Prepared> {
    let link = "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/changesets/changes\
                ?stackId=arn%3Aaws%3Acloudformation%3Aus-east-1%3A444455556666%3Astack%2Fsvc-infra%2F1f2e\
                &changeSetId=arn%3Aaws%3Acloudformation%3Aus-east-1%3A444455556666%3AchangeSet%2Fmanifold-press-1%2F2a3b";
    assert!(manifold_core::console::is_console_link(link));
    Tried::Done(Prepared { name: "manifold-press-1".to_owned(), link: Some(link.to_owned()) })
}

#[tokio::test]
async fn a_change_set_reverts_drift_with_the_template_and_the_parameters_as_they_are_and_is_not_executed() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER));
    answer(described(&stub), "CreateChangeSet", &format!("<Id>{CHANGE_SET_ID}</Id><StackId>{STACK_ID}</StackId>"));
    assert_eq!(prepare(&stub).await, prepared());
    let asked = stub.only("CreateChangeSet");
    for (name, value) in [
        ("StackName", "svc-infra"),
        ("ChangeSetName", "manifold-press-1"),
        ("DeploymentMode", "REVERT_DRIFT"),
        ("UsePreviousTemplate", "true"),
        ("Parameters.member.1.ParameterKey", "Stage"),
        ("Parameters.member.1.UsePreviousValue", "true"),
        ("Parameters.member.2.ParameterKey", "Password"),
        ("Parameters.member.2.UsePreviousValue", "true"),
        ("Capabilities.member.1", "CAPABILITY_NAMED_IAM"),
    ] {
        assert_eq!(asked.form(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(asked.form("Parameters.member.1.ParameterValue"), None);
    let authorization = asked.header("authorization");
    assert!(authorization.contains("=ASIATARGET/") && authorization.contains("/us-east-1/cloudformation/"));
    let role = stub.only("AssumeRole");
    assert_eq!(role.form("RoleArn").unwrap(), "arn:aws:iam::444455556666:role/ManifoldTarget");
    assert_eq!(role.form("RoleSessionName").unwrap(), run().session_name());
    let policy = role.form("Policy").unwrap();
    assert!(policy.contains("arn:aws:cloudformation:us-east-1:444455556666:stack/svc-infra/*"), "{policy}");
    assert!(!policy.contains("ExecuteChangeSet") && policy.len() <= 2048, "{policy}");
}

#[tokio::test]
async fn one_that_is_there_already_was_created_by_an_earlier_delivery() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER));
    described(&stub).then("CreateChangeSet", sts_error(400, "AlreadyExistsException"));
    let known = format!(
        "<ChangeSetName>manifold-press-1</ChangeSetName><ChangeSetId>{CHANGE_SET_ID}</ChangeSetId>\
         <StackId>{STACK_ID}</StackId>"
    );
    answer(&stub, "DescribeChangeSet", &known);
    assert_eq!(prepare(&stub).await, prepared());
    assert_eq!(stub.only("DescribeChangeSet").form("ChangeSetName").unwrap(), "manifold-press-1");
}

#[tokio::test]
async fn what_can_not_be_prepared_tells_why() {
    let refused = |code: &str| Tried::Refused { code: code.to_owned(), message: format!("{code} in words") };
    let stub = Stub::start().await;
    stub.then("AssumeRole", sts_error(403, "AccessDenied"));
    assert_eq!(prepare(&stub).await, refused("AccessDenied"));

    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER));
    described(&stub).then("CreateChangeSet", sts_error(400, "ValidationError"));
    assert_eq!(prepare(&stub).await, refused("ValidationError"));

    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER));
    for _ in 0..3 {
        stub.then("DescribeStacks", sts_error(400, "Throttling"));
    }
    let reason = "Throttling: Throttling in words".to_owned();
    assert_eq!(prepare(&stub).await, Tried::Unanswered { reason });
}

#[tokio::test]
async fn a_session_that_has_expired_is_replaced_once() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIATARGET", LONG_AFTER)).then("AssumeRole", assumed("ASIANEXT", LONG_AFTER));
    stub.then("DescribeStacks", sts_error(403, "ExpiredToken"));
    answer(described(&stub), "CreateChangeSet", &format!("<Id>{CHANGE_SET_ID}</Id><StackId>{STACK_ID}</StackId>"));
    assert_eq!(prepare(&stub).await, prepared());
    assert!(stub.only("CreateChangeSet").header("authorization").contains("=ASIANEXT/"));
}
