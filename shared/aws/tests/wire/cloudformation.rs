//! CloudFormation in target accounts.

use manifold_core::changes::{Change, Effect, Previewed};
use manifold_core::console::is_console_link;
use manifold_core::engine::{Capability, Replacements, StackWork, Work};
use manifold_core::event::PipelineState;
use manifold_core::ids::ExecutionId;
use manifold_core::pace::Api;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Reason, ReasonSource, Refusal, Standing};
use manifold_core::time::Span;
use manifold_ports::checkup::Preview;
use manifold_ports::engine::{Engine, Start};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::engine::{LONG_AFTER, Log, Means, engine, entered, means};
use crate::samples::{TOKEN, assumed, at, order, planned_of, run, sts_error};
use crate::stub::Stub;

const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:444455556666:stack/web/1f2e";
const CHANGE_SET: &str = "manifold-web-0f3a5b7c9d1e2f40-444455556666-us-east-1-2";
const CHANGE_SET_ID: &str = "arn:aws:cloudformation:us-east-1:444455556666:changeSet/manifold-web/2a3b";
const FILE: &str = "/artifacts-us-east-1/web/abc123/parameters.json";
const TEN_SECONDS: Means = Means::Preparing(Span::from_seconds(10));
const PAGE: &str =
    "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks?filteringText=web";

fn work() -> StackWork {
    StackWork {
        template: "s3://artifacts-us-east-1/web/abc123/template.yaml".parse().unwrap(),
        parameters: None,
        capabilities: Vec::new(),
        role: None,
        replacements: Replacements::Refuse,
    }
}

fn planned_with(work: StackWork) -> PlannedTarget {
    planned_of("cloudformation:web", Work::Stack(Box::new(work)))
}

fn with_file() -> StackWork {
    StackWork { parameters: Some("s3://artifacts-us-east-1/web/abc123/parameters.json".parse().unwrap()), ..work() }
}

fn token() -> ExecutionId {
    TOKEN.parse().unwrap()
}

async fn start_with(stub: &Stub, work: StackWork) -> Result<Start, Refusal> {
    entered(stub).await.start(order(&run(), &planned_with(work))).await
}

async fn start(stub: &Stub) -> Result<Start, Refusal> {
    start_with(stub, work()).await
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

/// An error with words of its own.
fn refuse<'a>(stub: &'a Stub, operation: &str, code: &str, message: &str) -> &'a Stub {
    stub.then(
        operation,
        ResponseTemplate::new(400).set_body_string(format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>r</RequestId></ErrorResponse>"
        )),
    )
}

fn no_change_set(stub: &Stub) -> &Stub {
    refuse(stub, "DescribeChangeSet", "ChangeSetNotFound", "ChangeSet [manifold] does not exist")
}

fn no_stack<'a>(stub: &'a Stub, operation: &str) -> &'a Stub {
    refuse(stub, operation, "ValidationError", "Stack with id web does not exist")
}

fn stack<'a>(stub: &'a Stub, status: &str, parameters: &[&str]) -> &'a Stub {
    let parameters: String = parameters
        .iter()
        .map(|key| format!("<member><ParameterKey>{key}</ParameterKey><ParameterValue>****</ParameterValue></member>"))
        .collect();
    answer(
        stub,
        "DescribeStacks",
        &format!(
            "<Stacks><member><StackId>{STACK_ID}</StackId><StackName>web</StackName>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{status}</StackStatus>\
             <Parameters>{parameters}</Parameters></member></Stacks>"
        ),
    )
}

fn created(stub: &Stub) -> &Stub {
    answer(stub, "CreateChangeSet", &format!("<Id>{CHANGE_SET_ID}</Id><StackId>{STACK_ID}</StackId>"))
}

fn change_set<'a>(stub: &'a Stub, status: &str, execution: &str, more: &str) -> &'a Stub {
    answer(
        stub,
        "DescribeChangeSet",
        &format!(
            "<ChangeSetName>{CHANGE_SET}</ChangeSetName><ChangeSetId>{CHANGE_SET_ID}</ChangeSetId>\
             <StackId>{STACK_ID}</StackId><Status>{status}</Status><ExecutionStatus>{execution}</ExecutionStatus>{more}"
        ),
    )
}

/// How a refusal counts, its cause and its detail.
fn told(refusal: Refusal) -> (Means, String, Option<String>) {
    let (means, reason) = means(refusal);
    (means, reason.cause, reason.detail)
}

#[tokio::test]
async fn a_stack_that_is_not_there_is_created_from_the_template_with_what_the_plan_says() {
    for known in [None, Some("REVIEW_IN_PROGRESS")] {
        let stub = Stub::start().await;
        no_change_set(&stub);
        match known {
            Some(status) => stack(&stub, status, &["Stage"]),
            None => no_stack(&stub, "DescribeStacks"),
        };
        created(&stub);
        let role = "arn:aws:iam::444455556666:role/web-stack";
        let work = StackWork {
            capabilities: vec![Capability::NamedIam, Capability::AutoExpand],
            role: Some(role.parse().unwrap()),
            ..work()
        };
        let (means, cause, _) = told(start_with(&stub, work).await.unwrap_err());
        assert_eq!((means, cause.as_str()), (TEN_SECONDS, "The change set of stack web is being made"));
        let asked = stub.only("CreateChangeSet");
        for (name, value) in [
            ("StackName", "web"),
            ("ChangeSetName", CHANGE_SET),
            ("ClientToken", CHANGE_SET),
            ("ChangeSetType", "CREATE"),
            ("TemplateURL", "https://s3.us-east-1.amazonaws.com/artifacts-us-east-1/web/abc123/template.yaml"),
            ("Parameters.member.1.ParameterKey", "VERSION"),
            ("Parameters.member.1.ParameterValue", "1.2.3"),
            ("Capabilities.member.1", "CAPABILITY_NAMED_IAM"),
            ("Capabilities.member.2", "CAPABILITY_AUTO_EXPAND"),
            ("RoleARN", role),
        ] {
            assert_eq!(asked.form(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(asked.form("Parameters.member.2.ParameterKey"), None, "nothing has a previous value");
        assert!(!asked.text.contains("Tags"), "{}", asked.text);
        let authorization = asked.header("authorization");
        assert!(authorization.contains("=ASIATARGET/") && authorization.contains("/us-east-1/cloudformation/"));
        assert_eq!(stub.only("DescribeChangeSet").form("ChangeSetName").as_deref(), Some(CHANGE_SET));
        let policy = stub.only("AssumeRole").form("Policy").unwrap();
        assert!(policy.contains(role) && policy.contains("stack/web/*") && !policy.contains("NotAction"), "{policy}");
    }
}

#[tokio::test]
async fn a_stack_that_is_there_keeps_the_values_that_nobody_gives_and_the_template_still_has() {
    let stub = Stub::start().await;
    no_change_set(&stub);
    stack(&stub, "UPDATE_ROLLBACK_COMPLETE", &["Password", "Gone", "VERSION"]);
    let declared = |key: &str| format!("<member><ParameterKey>{key}</ParameterKey></member>");
    let summary = declared("VERSION") + &declared("Password") + &declared("New");
    answer(&stub, "GetTemplateSummary", &format!("<Parameters>{summary}</Parameters>"));
    created(&stub);
    assert_eq!(told(start(&stub).await.unwrap_err()).0, TEN_SECONDS);
    let asked = stub.only("CreateChangeSet");
    for (name, value) in [
        ("ChangeSetType", Some("UPDATE")),
        ("Parameters.member.1.ParameterKey", Some("VERSION")),
        ("Parameters.member.1.ParameterValue", Some("1.2.3")),
        ("Parameters.member.1.UsePreviousValue", None),
        ("Parameters.member.2.ParameterKey", Some("Password")),
        ("Parameters.member.2.UsePreviousValue", Some("true")),
        ("Parameters.member.2.ParameterValue", None),
        ("Parameters.member.3.ParameterKey", None),
        ("RoleARN", None),
    ] {
        assert_eq!(asked.form(name).as_deref(), value, "{name}");
    }
    let template = "https://s3.us-east-1.amazonaws.com/artifacts-us-east-1/web/abc123/template.yaml";
    assert_eq!(stub.only("GetTemplateSummary").form("TemplateURL").as_deref(), Some(template));

    // Where all are given, the template is not asked for its own.
    let stub = Stub::start().await;
    no_change_set(&stub);
    created(stack(&stub, "CREATE_COMPLETE", &["VERSION"]));
    assert_eq!(told(start(&stub).await.unwrap_err()).0, TEN_SECONDS);
}

#[tokio::test]
async fn the_parameters_file_is_read_and_the_plans_own_values_go_before_it() {
    let stub = Stub::start().await;
    created(no_stack(no_change_set(&stub), "DescribeStacks"));
    let file = json!({"Parameters": {"VERSION": "0", "Count": 3, "Stage": "prod"}, "Tags": {"team": "web"}});
    stub.json(FILE, file);
    assert_eq!(told(start_with(&stub, with_file()).await.unwrap_err()).0, TEN_SECONDS);
    let asked = stub.only("CreateChangeSet");
    for (name, value) in [
        ("Parameters.member.1.ParameterKey", "Count"),
        ("Parameters.member.1.ParameterValue", "3"),
        ("Parameters.member.2.ParameterKey", "Stage"),
        ("Parameters.member.3.ParameterKey", "VERSION"),
        ("Parameters.member.3.ParameterValue", "1.2.3"),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "web"),
    ] {
        assert_eq!(asked.form(name).as_deref(), Some(value), "{name}");
    }
    let authorization = stub.only(FILE).header("authorization").to_owned();
    assert!(authorization.contains("=ASIATARGET/") && authorization.contains("/us-east-1/s3/"), "{authorization}");
}

#[tokio::test]
async fn a_parameters_file_that_can_not_be_used_fails_the_target_and_is_named() {
    let named = |why: &str| Some(format!("s3://artifacts-us-east-1/web/abc123/parameters.json: {why}"));
    let s3_error = |status: u16, code: &str| {
        ResponseTemplate::new(status)
            .set_body_string(format!("<Error><Code>{code}</Code><Message>{code} in words</Message></Error>"))
    };
    let large = ResponseTemplate::new(200).set_body_string(format!("{{}}{}", " ".repeat(1024 * 1024)));
    let table = [
        (
            ResponseTemplate::new(200).set_body_string("{\"Parameters\": hunter2}"),
            1,
            Means::Failed,
            "The parameters file can't be used",
            named("no JSON at line 1, column 16"),
        ),
        (large, 1, Means::Failed, "The parameters file can't be used", named("it has more than 1048576 bytes")),
        (
            s3_error(404, "NoSuchKey"),
            1,
            Means::Failed,
            "The parameters file was not found",
            named("NoSuchKey in words"),
        ),
        (
            s3_error(301, "PermanentRedirect"),
            1,
            Means::Failed,
            "The bucket of the parameters file is in another Region",
            named("PermanentRedirect in words"),
        ),
        (
            s3_error(403, "AccessDenied"),
            1,
            Means::Failed,
            "AccessDenied for GetObject in role ManifoldTarget",
            named("AccessDenied in words"),
        ),
        (
            s3_error(503, "SlowDown"),
            1,
            Means::Throttled(Api::CreateChangeSet),
            "Throttled by S3",
            named("SlowDown in words"),
        ),
        (s3_error(500, "InternalError"), 3, Means::Later, "S3 did not answer", named("InternalError in words")),
    ];
    for (reply, calls, expected, cause, detail) in table {
        let stub = Stub::start().await;
        no_stack(no_change_set(&stub), "DescribeStacks");
        for _ in 0..calls {
            stub.then(FILE, reply.clone());
        }
        let told = told(start_with(&stub, with_file()).await.unwrap_err());
        assert_eq!(told, (expected, cause.to_owned(), detail));
    }
}

#[tokio::test]
async fn a_stack_that_is_busy_or_broken_gets_no_change_set() {
    for status in ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "DELETE_IN_PROGRESS", "NEW_IN_PROGRESS"]
    {
        let stub = Stub::start().await;
        stack(no_change_set(&stub), status, &[]);
        let expected = (Means::Busy, "Stack web is busy".to_owned(), Some(status.to_owned()));
        assert_eq!(told(start(&stub).await.unwrap_err()), expected);
    }
    for (status, remedy) in [
        ("ROLLBACK_COMPLETE", "It was never made: delete the stack, then retry."),
        ("ROLLBACK_FAILED", "It was never made: delete the stack, then retry."),
        ("CREATE_FAILED", "It was never made: delete the stack, then retry."),
        ("DELETE_FAILED", "Finish deleting the stack, then retry."),
        ("UPDATE_ROLLBACK_FAILED", "Continue the rollback of the stack until it is complete, then retry."),
        ("UPDATE_FAILED", "Roll the stack back, then retry."),
    ] {
        let stub = Stub::start().await;
        stack(no_change_set(&stub), status, &[]);
        let (means, reason) = means(start(&stub).await.unwrap_err());
        let cause = format!("Stack web is in {status}");
        assert_eq!((means, reason.cause, reason.detail.as_deref()), (Means::Failed, cause, Some(remedy)));
        assert_eq!(reason.link.as_deref(), Some(PAGE));
    }
}

#[tokio::test]
async fn one_that_was_asked_for_already_is_waited_for() {
    let stub = Stub::start().await;
    no_stack(no_change_set(&stub), "DescribeStacks");
    stub.then("CreateChangeSet", sts_error(400, "AlreadyExistsException"));
    assert_eq!(told(start(&stub).await.unwrap_err()).0, TEN_SECONDS);
    for (status, execution) in [
        ("CREATE_PENDING", "UNAVAILABLE"),
        ("CREATE_IN_PROGRESS", "UNAVAILABLE"),
        ("CREATE_COMPLETE", "UNAVAILABLE"),
        ("DELETE_IN_PROGRESS", "UNAVAILABLE"),
    ] {
        let stub = Stub::start().await;
        change_set(&stub, status, execution, "");
        let expected = (TEN_SECONDS, "The change set of stack web is being made".to_owned(), Some(status.to_owned()));
        assert_eq!(told(start(&stub).await.unwrap_err()), expected);
    }
}

fn change(action: &str, replacement: &str, resource: &str) -> String {
    let replacement =
        if replacement.is_empty() { String::new() } else { format!("<Replacement>{replacement}</Replacement>") };
    format!(
        "<member><Type>Resource</Type><ResourceChange><Action>{action}</Action>\
         <LogicalResourceId>{resource}</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType>{replacement}\
         </ResourceChange></member>"
    )
}

fn reviewed<'a>(stub: &'a Stub, changes: &[String]) -> &'a Stub {
    change_set(stub, "CREATE_COMPLETE", "AVAILABLE", &format!("<Changes>{}</Changes>", changes.concat()))
}

fn harmless() -> Vec<String> {
    vec![change("Add", "", "New"), change("Modify", "False", "Kept"), change("Import", "", "Found")]
}

#[tokio::test]
async fn one_that_is_made_is_executed_with_the_token_and_that_is_the_execution() {
    let stub = Stub::start().await;
    answer(reviewed(&stub, &harmless()), "ExecuteChangeSet", "");
    assert_eq!(start(&stub).await, Ok(Start::Begun(token())));
    let asked = stub.only("ExecuteChangeSet");
    for (name, value) in [("StackName", "web"), ("ChangeSetName", CHANGE_SET), ("ClientRequestToken", TOKEN)] {
        assert_eq!(asked.form(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn one_that_is_executed_already_is_not_executed_again() {
    let stub = Stub::start().await;
    reviewed(&stub, &harmless()).then("ExecuteChangeSet", sts_error(400, "TokenAlreadyExistsException"));
    assert_eq!(start(&stub).await, Ok(Start::Begun(token())));
    for execution in ["EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "EXECUTE_FAILED"] {
        let stub = Stub::start().await;
        change_set(&stub, "CREATE_COMPLETE", execution, "");
        assert_eq!(start(&stub).await, Ok(Start::Begun(token())), "{execution}");
    }
}

#[tokio::test]
async fn one_that_the_stack_has_overtaken_is_made_anew() {
    let stub = Stub::start().await;
    change_set(&stub, "CREATE_COMPLETE", "OBSOLETE", "");
    answer(&stub, "DeleteChangeSet", "");
    assert_eq!(told(start(&stub).await.unwrap_err()).0, TEN_SECONDS);
    assert_eq!(stub.only("DeleteChangeSet").form("ChangeSetName").as_deref(), Some(CHANGE_SET));
}

#[tokio::test]
async fn one_without_changes_is_deleted_and_the_target_is_current() {
    for words in [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ] {
        let stub = Stub::start().await;
        change_set(&stub, "FAILED", "UNAVAILABLE", &format!("<StatusReason>{words}</StatusReason>"));
        answer(&stub, "DeleteChangeSet", "");
        assert_eq!(start(&stub).await, Ok(Start::Current(token())), "{words}");
        assert_eq!(stub.only("DeleteChangeSet").form("StackName").as_deref(), Some("web"));
    }
}

#[tokio::test]
async fn one_that_could_not_be_made_fails_the_target_with_its_reason_and_is_left_to_look_at() {
    let stub = Stub::start().await;
    let words = "Parameters: [Stage] must have values";
    change_set(&stub, "FAILED", "UNAVAILABLE", &format!("<StatusReason>{words}</StatusReason>"));
    let (means, reason) = means(start(&stub).await.unwrap_err());
    assert_eq!(
        (means, reason.cause.as_str(), reason.detail.as_deref()),
        (Means::Failed, "The change set of stack web could not be made", Some(words))
    );
    assert!(reason.link.is_some_and(|link| is_console_link(&link) && link.contains("changesets")));
}

#[tokio::test]
async fn one_that_replaces_or_removes_is_not_executed_unless_it_may_be() {
    let first =
        format!("<Changes>{}{}</Changes><NextToken>more</NextToken>", harmless().concat(), change("Remove", "", "Old"));
    let rest = [
        change("Modify", "True", "Database"),
        change("Modify", "Conditional", "Queue"),
        change("Dynamic", "", "Nested"),
    ];
    let pages = |stub: &Stub| {
        change_set(stub, "CREATE_COMPLETE", "AVAILABLE", &first);
        reviewed(stub, &rest);
    };
    let stub = Stub::start().await;
    pages(&stub);
    let (means, reason) = means(start(&stub).await.unwrap_err());
    assert_eq!((means, reason.cause.as_str()), (Means::Failed, "Change set would replace or remove resources"));
    assert_eq!(
        reason.detail.as_deref(),
        Some(
            "removes Old (AWS::SQS::Queue), replaces Database (AWS::SQS::Queue), may replace Queue (AWS::SQS::Queue), \
             may replace or remove Nested (AWS::SQS::Queue)"
        )
    );
    assert!(reason.link.is_some_and(|link| is_console_link(&link) && link.contains("2a3b")));
    assert_eq!(stub.asked("DescribeChangeSet")[1].form("NextToken").as_deref(), Some("more"));

    let stub = Stub::start().await;
    pages(&stub);
    answer(&stub, "ExecuteChangeSet", "");
    let allowed = StackWork { replacements: Replacements::Allow, ..work() };
    assert_eq!(start_with(&stub, allowed).await, Ok(Start::Begun(token())));
}

#[tokio::test]
async fn of_many_resources_some_are_named() {
    let stub = Stub::start().await;
    let many: Vec<String> = (0..13).map(|number| change("Remove", "", &format!("R{number}"))).collect();
    reviewed(&stub, &many);
    let (_, _, detail) = told(start(&stub).await.unwrap_err());
    let detail = detail.unwrap();
    assert!(detail.contains("R9 ") && !detail.contains("R10 ") && detail.ends_with(" and 3 more"), "{detail}");
}

#[tokio::test]
async fn every_failure_of_cloudformation_means_something_for_the_target() {
    let table = [
        ("ValidationError", 1, Means::Failed, "ValidationError for CreateChangeSet of stack web"),
        (
            "InsufficientCapabilitiesException",
            1,
            Means::Failed,
            "InsufficientCapabilitiesException for CreateChangeSet of stack web",
        ),
        ("AccessDenied", 1, Means::Failed, "AccessDenied for CreateChangeSet in role ManifoldTarget"),
        ("Throttling", 1, Means::Throttled(Api::CreateChangeSet), "Throttled by CloudFormation"),
        ("InternalFailure", 3, Means::Later, "CloudFormation did not answer"),
        ("OptInRequired", 1, Means::Unreachable, "OptInRequired in the target's Region"),
        // The SDK takes it for throttling.
        ("LimitExceededException", 3, Means::Failed, "LimitExceededException for CreateChangeSet of stack web"),
        ("SomethingNewException", 1, Means::Later, "SomethingNewException for CreateChangeSet"),
    ];
    for (code, calls, expected, cause) in table {
        let stub = Stub::start().await;
        no_stack(no_change_set(&stub), "DescribeStacks");
        for _ in 0..calls {
            let status = if code == "InternalFailure" { 500 } else { 400 };
            stub.then("CreateChangeSet", sts_error(status, code));
        }
        let expected = (expected, cause.to_owned(), Some(format!("{code} in words")));
        assert_eq!(told(start(&stub).await.unwrap_err()), expected);
        let asked = stub.asked("CreateChangeSet");
        assert!(asked.iter().all(|sent| sent.text == asked[0].text));
    }
    // Somebody else began in between.
    let words = "Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated.";
    let stub = Stub::start().await;
    refuse(reviewed(&stub, &harmless()), "ExecuteChangeSet", "ValidationError", words);
    let expected = (Means::Busy, "Stack web is busy".to_owned(), Some(words.to_owned()));
    assert_eq!(told(start(&stub).await.unwrap_err()), expected);
    // Whichever call it is of a start: it is named, and counted as the start.
    for (operation, code, expected, cause) in [
        ("DescribeStacks", "AccessDenied", Means::Failed, "AccessDenied for DescribeStacks in role ManifoldTarget"),
        ("DescribeStacks", "Throttling", Means::Throttled(Api::CreateChangeSet), "Throttled by CloudFormation"),
    ] {
        let stub = Stub::start().await;
        no_change_set(&stub).then(operation, sts_error(400, code));
        let (means, told, _) = told(start(&stub).await.unwrap_err());
        assert_eq!((means, told.as_str()), (expected, cause));
    }
    let stub = Stub::start().await;
    stub.then("DescribeChangeSet", sts_error(400, "AccessDenied"));
    let (_, cause, _) = told(start(&stub).await.unwrap_err());
    assert_eq!(cause, "AccessDenied for DescribeChangeSet in role ManifoldTarget");
    let stub = Stub::start().await;
    reviewed(&stub, &harmless()).then("ExecuteChangeSet", sts_error(400, "InvalidChangeSetStatus"));
    let (means, cause, _) = told(start(&stub).await.unwrap_err());
    assert_eq!((means, cause.as_str()), (Means::Later, "InvalidChangeSetStatus for ExecuteChangeSet"));
}

#[tokio::test]
async fn a_plan_that_does_not_say_what_to_start_starts_nothing() {
    let stub = Stub::start().await;
    let planned = PlannedTarget { work: None, ..planned_with(work()) };
    let refusal = entered(&stub).await.start(order(&run(), &planned)).await.unwrap_err();
    let (means, cause, _) = told(refusal);
    assert_eq!((means, cause.as_str()), (Means::Failed, "The plan does not say what to start in stack web"));
}

#[tokio::test]
async fn expired_credentials_are_replaced_once_at_any_step_and_nothing_that_is_logged_is_a_secret() {
    let expired_file = ResponseTemplate::new(400)
        .set_body_string("<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>");
    let stub = Stub::start().await;
    stub.then("AssumeRole", assumed("ASIAOLD", LONG_AFTER)).then("AssumeRole", assumed("ASIANEW", LONG_AFTER));
    no_stack(no_change_set(&stub), "DescribeStacks").then(FILE, expired_file);
    created(no_stack(no_change_set(&stub), "DescribeStacks"));
    stub.json(FILE, json!({"Parameters": {"Password": "hunter2"}}));
    let engine = engine(&stub).await;
    let planned = planned_with(with_file());
    let (started, log) = Log::of(engine.start(order(&run(), &planned))).await;
    assert_eq!(told(started.unwrap_err()).0, TEN_SECONDS);
    assert!(stub.asked(FILE)[1].header("authorization").contains("=ASIANEW/"));
    assert!(stub.only("CreateChangeSet").header("authorization").contains("=ASIANEW/"));
    assert!(log.contains("assumed credentials have expired") && log.contains("CreateChangeSet"), "{log}");
    for secret in ["s3cr3t", "t0k3n", "hunter2"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// An event of the stack.
fn of_stack(status: &str, at: &str, token: &str, reason: &str) -> String {
    event("web", "AWS::CloudFormation::Stack", STACK_ID, status, at, token, reason)
}

/// An event of a resource.
fn of_resource(resource: &str, status: &str, at: &str, token: &str, reason: &str) -> String {
    event(resource, "AWS::SQS::Queue", "https://sqs/queue", status, at, token, reason)
}

fn event(resource: &str, kind: &str, physical: &str, status: &str, at: &str, token: &str, reason: &str) -> String {
    let optional = |name: &str, value: &str| {
        if value.is_empty() { String::new() } else { format!("<{name}>{value}</{name}>") }
    };
    format!(
        "<member><StackId>{STACK_ID}</StackId><EventId>e</EventId><StackName>web</StackName>\
         <LogicalResourceId>{resource}</LogicalResourceId><PhysicalResourceId>{physical}</PhysicalResourceId>\
         <ResourceType>{kind}</ResourceType><Timestamp>2026-10-26T{at}Z</Timestamp>\
         <ResourceStatus>{status}</ResourceStatus>{}{}</member>",
        optional("ClientRequestToken", token),
        optional("ResourceStatusReason", reason)
    )
}

fn events<'a>(stub: &'a Stub, events: &[String], next: &str) -> &'a Stub {
    let next = if next.is_empty() { String::new() } else { format!("<NextToken>{next}</NextToken>") };
    answer(stub, "DescribeStackEvents", &format!("<StackEvents>{}</StackEvents>{next}", events.concat()))
}

async fn find(stub: &Stub, except: &[ExecutionId]) -> Option<ExecutionId> {
    let since = at("2026-10-26T13:00:00Z");
    entered(stub).await.find(order(&run(), &planned_with(work())), since, except).await.unwrap()
}

#[tokio::test]
async fn an_execution_is_found_by_the_token_of_its_events_on_few_pages_and_not_beyond_its_time() {
    let stub = Stub::start().await;
    events(&stub, &[of_stack("UPDATE_IN_PROGRESS", "13:20:00", "Console-UpdateStack", "")], "more");
    events(&stub, &[of_resource("Queue", "UPDATE_COMPLETE", "13:10:00", TOKEN, "")], "even-more");
    assert_eq!(find(&stub, &[]).await, Some(token()));
    let asked = stub.asked("DescribeStackEvents");
    assert_eq!(asked[0].form("StackName").as_deref(), Some("web"));
    assert_eq!(asked[1].form("NextToken").as_deref(), Some("more"));

    let stub = Stub::start().await;
    events(&stub, &[of_stack("UPDATE_IN_PROGRESS", "13:20:00", TOKEN, "")], "");
    assert_eq!(find(&stub, &[token()]).await, None, "known");
    let stub = Stub::start().await;
    events(&stub, &[of_stack("UPDATE_COMPLETE", "12:54:59", "Console-UpdateStack", "")], "more");
    assert_eq!(find(&stub, &[]).await, None, "older than it by more than clocks disagree");
    let stub = Stub::start().await;
    for next in ["a", "b", "c", "d", "e"] {
        events(&stub, &[of_resource("Queue", "UPDATE_COMPLETE", "13:20:00", "another", "")], next);
    }
    assert_eq!(find(&stub, &[]).await, None);
}

#[tokio::test]
async fn a_change_set_that_is_made_is_no_execution_and_a_stack_that_is_not_there_has_none() {
    let stub = Stub::start().await;
    events(&stub, &[of_stack("REVIEW_IN_PROGRESS", "13:20:00", TOKEN, "User Initiated")], "");
    assert_eq!(find(&stub, &[]).await, None);
    let stub = Stub::start().await;
    no_stack(&stub, "DescribeStackEvents");
    assert_eq!(find(&stub, &[]).await, None);
}

async fn ask(stub: &Stub) -> Option<Standing> {
    let started = at("2026-10-26T13:00:00Z");
    entered(stub).await.ask(order(&run(), &planned_with(work())), &token(), started).await.unwrap()
}

fn standing(state: PipelineState, time: &str) -> Option<Standing> {
    Some(Standing { state, at: at(&format!("2026-10-26T{time}Z")), comments: None })
}

#[tokio::test]
async fn an_execution_stands_as_the_newest_event_of_its_stack_says() {
    let table = [
        ("CREATE_COMPLETE", PipelineState::Succeeded),
        ("UPDATE_COMPLETE", PipelineState::Succeeded),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", PipelineState::Started),
        ("UPDATE_ROLLBACK_IN_PROGRESS", PipelineState::Started),
        ("UPDATE_ROLLBACK_COMPLETE", PipelineState::Failed),
        ("ROLLBACK_COMPLETE", PipelineState::Failed),
        ("UPDATE_ROLLBACK_FAILED", PipelineState::Failed),
        ("SOMETHING_NEW", PipelineState::Unknown("SOMETHING_NEW".to_owned())),
    ];
    for (status, state) in table {
        let stub = Stub::start().await;
        let told = [
            of_stack(status, "13:10:00", TOKEN, ""),
            of_resource("Queue", "UPDATE_COMPLETE", "13:05:00", TOKEN, ""),
            of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, "User Initiated"),
        ];
        events(&stub, &told, "");
        assert_eq!(ask(&stub).await, standing(state, "13:10:00"), "{status}");
    }
}

#[tokio::test]
async fn what_is_told_of_resources_says_that_it_runs_and_what_took_it_back_belongs_to_it() {
    let stub = Stub::start().await;
    let nested = event("Nested", "AWS::CloudFormation::Stack", "arn:nested", "UPDATE_COMPLETE", "13:05:00", TOKEN, "");
    events(&stub, &[nested, of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, "")], "");
    assert_eq!(ask(&stub).await, standing(PipelineState::Started, "13:05:00"), "a nested stack is a resource");

    let cancelled = [
        of_stack("UPDATE_ROLLBACK_COMPLETE", "13:10:00", "", ""),
        of_resource("Queue", "UPDATE_COMPLETE", "13:09:00", "Console-CancelUpdateStack", ""),
        of_stack("UPDATE_ROLLBACK_IN_PROGRESS", "13:08:00", "Console-CancelUpdateStack", "User Initiated"),
        of_resource("Queue", "UPDATE_IN_PROGRESS", "13:02:00", TOKEN, ""),
        of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, ""),
    ];
    let stub = Stub::start().await;
    events(&stub, &cancelled, "");
    assert_eq!(ask(&stub).await, standing(PipelineState::Failed, "13:10:00"));

    let overtaken = [
        of_stack("UPDATE_ROLLBACK_COMPLETE", "13:30:00", "another", ""),
        of_stack("UPDATE_IN_PROGRESS", "13:20:00", "another", ""),
        of_stack("UPDATE_COMPLETE", "13:10:00", TOKEN, ""),
    ];
    let stub = Stub::start().await;
    events(&stub, &overtaken, "");
    assert_eq!(ask(&stub).await, standing(PipelineState::Succeeded, "13:10:00"), "the next one's end is not its own");
    let stub = Stub::start().await;
    events(&stub, &[of_stack("UPDATE_COMPLETE", "13:10:00", "another", "")], "");
    assert_eq!(ask(&stub).await, None);
}

async fn explained(stub: &Stub) -> Reason {
    entered(stub).await.explain(order(&run(), &planned_with(work())), &token()).await.unwrap()
}

#[tokio::test]
async fn the_first_resource_that_failed_by_itself_explains_a_failure() {
    let stub = Stub::start().await;
    let newer = [
        of_stack("UPDATE_IN_PROGRESS", "13:30:00", "another", ""),
        of_stack("UPDATE_ROLLBACK_COMPLETE", "13:10:00", TOKEN, ""),
        of_resource("Late", "DELETE_FAILED", "13:09:00", TOKEN, "not empty"),
        of_stack("UPDATE_ROLLBACK_IN_PROGRESS", "13:08:00", TOKEN, "The following resource(s) failed to update"),
    ];
    let older = [
        of_resource("Other", "UPDATE_FAILED", "13:07:01", TOKEN, "Resource update cancelled"),
        of_resource("Queue", "UPDATE_FAILED", "13:07:00", TOKEN, "Access denied"),
        of_resource("Early", "CREATE_FAILED", "13:06:00", TOKEN, "Resource creation Cancelled"),
        of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, "User Initiated"),
        of_resource("Before", "UPDATE_FAILED", "12:00:00", "before", "of another update"),
    ];
    events(&stub, &newer, "more");
    events(&stub, &older, "even-more");
    assert_eq!(
        explained(&stub).await,
        Reason {
            cause: "UPDATE_FAILED of Queue (AWS::SQS::Queue)".to_owned(),
            detail: Some("Access denied".to_owned()),
            link: Some(PAGE.to_owned()),
            source: ReasonSource::Engine,
            attempt: 0,
        }
    );
}

#[tokio::test]
async fn a_stack_without_a_failed_resource_is_explained_in_its_own_words() {
    let stub = Stub::start().await;
    let told = [
        of_stack("UPDATE_ROLLBACK_COMPLETE", "13:10:00", TOKEN, ""),
        of_stack("UPDATE_ROLLBACK_IN_PROGRESS", "13:08:00", "", "User Initiated"),
        of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, ""),
    ];
    events(&stub, &told, "");
    let reason = explained(&stub).await;
    assert_eq!((reason.cause.as_str(), reason.detail.as_deref()), ("UPDATE_ROLLBACK_COMPLETE", Some("User Initiated")));
    let stub = Stub::start().await;
    no_stack(&stub, "DescribeStackEvents");
    assert_eq!(explained(&stub).await.cause, "Failed without a failed resource");
}

async fn stop(stub: &Stub) -> Result<(), Refusal> {
    entered(stub).await.stop(order(&run(), &planned_with(work())), &token(), "Aborted by alice").await
}

#[tokio::test]
async fn an_update_is_cancelled_and_nothing_else_of_the_stack_is() {
    let updating = [
        of_resource("Queue", "UPDATE_IN_PROGRESS", "13:02:00", TOKEN, ""),
        of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, ""),
    ];
    for told in [&updating[..], &updating[1..]] {
        let stub = Stub::start().await;
        answer(events(&stub, told, ""), "CancelUpdateStack", "");
        assert_eq!(stop(&stub).await, Ok(()));
        assert_eq!(stub.only("CancelUpdateStack").form("StackName").as_deref(), Some("web"));
    }
    for status in ["CREATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"] {
        let stub = Stub::start().await;
        let (stack, newer) =
            (of_stack(status, "13:10:00", TOKEN, ""), of_stack("UPDATE_IN_PROGRESS", "13:20:00", "x", ""));
        events(&stub, &[newer, stack], "");
        assert_eq!(stop(&stub).await, Ok(()), "{status}");
    }
    let stub = Stub::start().await;
    events(&stub, &[of_stack("UPDATE_IN_PROGRESS", "13:20:00", "another", "")], "");
    assert_eq!(told(stop(&stub).await.unwrap_err()).0, Means::Later, "it is not known to have begun");
}

#[tokio::test]
async fn what_can_not_be_cancelled_any_more_is_no_error_and_is_logged() {
    let stub = Stub::start().await;
    let words = "CancelUpdateStack cannot be called from current stack status";
    events(&stub, &[of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, "")], "");
    refuse(&stub, "CancelUpdateStack", "ValidationError", words);
    let engine = entered(&stub).await;
    let planned = planned_with(work());
    let (stopped, log) = Log::of(engine.stop(order(&run(), &planned), &token(), "Aborted by alice")).await;
    assert_eq!(stopped, Ok(()));
    assert!(log.contains(words), "{log}");
    let stub = Stub::start().await;
    events(&stub, &[of_stack("UPDATE_IN_PROGRESS", "13:01:00", TOKEN, "")], "");
    stub.then("CancelUpdateStack", sts_error(400, "AccessDenied"));
    let (means, cause, _) = told(stop(&stub).await.unwrap_err());
    assert_eq!((means, cause.as_str()), (Means::Failed, "AccessDenied for CancelUpdateStack in role ManifoldTarget"));
}

async fn preview(stub: &Stub) -> Previewed {
    entered(stub).await.preview(order(&run(), &planned_with(work())), at(LONG_AFTER)).await
}

#[tokio::test]
async fn what_a_change_set_would_do_is_told_by_action_and_replacement_in_a_session_that_can_not_execute_it() {
    let resource = |action: &str, replacement: Option<&str>| {
        let replacement = replacement.map_or_else(String::new, |text| format!("<Replacement>{text}</Replacement>"));
        format!(
            "<member><Type>Resource</Type><ResourceChange><Action>{action}</Action>{replacement}\
             <LogicalResourceId>R</LogicalResourceId><ResourceType>AWS::X::Y</ResourceType></ResourceChange></member>"
        )
    };
    let table = [
        ("Add", None, Effect::Adds),
        ("Import", None, Effect::Imports),
        ("Remove", None, Effect::Removes),
        ("Modify", Some("True"), Effect::Replaces),
        ("Modify", Some("Conditional"), Effect::MayReplace),
        ("Modify", Some("False"), Effect::Changes),
        ("Modify", None, Effect::Changes),
        ("Modify", Some("Perhaps"), Effect::Unknown),
        ("Dynamic", None, Effect::MayReplaceOrRemove),
        ("Melt", None, Effect::Unknown),
    ];
    let stub = Stub::start().await;
    let changes: String = table.iter().map(|(action, replacement, _)| resource(action, *replacement)).collect();
    change_set(&stub, "CREATE_COMPLETE", "AVAILABLE", &format!("<Changes>{changes}</Changes>"));
    answer(&stub, "DeleteChangeSet", "");
    let expected =
        table.map(|(_, _, effect)| Change { effect, resource: "R".to_owned(), kind: Some("AWS::X::Y".to_owned()) });
    assert_eq!(preview(&stub).await, Previewed::Changes(expected.to_vec()));
    let name = stub.only("DescribeChangeSet").form("ChangeSetName").unwrap();
    assert_eq!(name, format!("manifold-plan-{}", planned_with(work()).fingerprint()));
    assert_eq!(stub.only("DeleteChangeSet").form("ChangeSetName").unwrap(), name);
    let asked = stub.only("AssumeRole");
    assert!(!asked.form("Policy").unwrap().contains("ExecuteChangeSet"));
    assert_eq!(asked.form("RoleSessionName").unwrap(), run().session_name());
}

#[tokio::test]
async fn a_preview_that_the_stack_has_outlived_is_made_again() {
    let stub = Stub::start().await;
    change_set(&stub, "CREATE_COMPLETE", "OBSOLETE", "");
    answer(&stub, "DeleteChangeSet", "");
    assert!(matches!(preview(&stub).await, Previewed::Pending(_)));
    created(stack(no_change_set(&stub), "UPDATE_COMPLETE", &["VERSION"]));
    assert!(matches!(preview(&stub).await, Previewed::Pending(_)));
    let made = stub.only("CreateChangeSet");
    assert_eq!(made.form("ChangeSetType").unwrap(), "UPDATE");
    assert!(made.form("Description").unwrap().contains("not executed"));
}

#[tokio::test]
async fn a_preview_for_which_there_is_no_time_calls_nobody() {
    let stub = Stub::start().await;
    let engine = engine(&stub).await;
    let told = engine.preview(order(&run(), &planned_with(work())), at("2000-01-01T00:00:00Z")).await;
    assert_eq!(told, Previewed::Pending("the function's time was up".to_owned()));
    assert!(stub.sent().is_empty());
}

#[tokio::test]
async fn a_preview_of_a_role_that_lets_nobody_in_fails_as_the_rollout_would() {
    let stub = Stub::start().await;
    stub.then("AssumeRole", sts_error(403, "AccessDenied"));
    let told = engine(&stub).await.preview(order(&run(), &planned_with(work())), at(LONG_AFTER)).await;
    let Previewed::Fails(reason) = told else { panic!("{told:?}") };
    assert_eq!(reason.cause, "AccessDenied on role ManifoldTarget");
}
