//! CloudFormation.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::operation::create_change_set::builders::CreateChangeSetFluentBuilder;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Capability, ChangeAction, ChangeSetStatus, ChangeSetType, ExecutionStatus, Parameter, Replacement, StackEvent,
    StackStatus,
};
use manifold_core::time::Span;
use manifold_tests::wire::engines::Fate;
use manifold_tests::wire::engines::cloudformation::{Change, Stack};

use crate::stage::{Stage, code, place, refused};

const TEMPLATE: &str = "https://artifacts.s3.eu-west-1.amazonaws.com/web/8cf40f2b/template.yaml";

async fn set(stack: Stack) -> (Stage, Client) {
    let stage = Stage::set().await;
    stage.engines(|engines| engines.cloudformation.declare(&place(), stack));
    let client = stage.cloudformation();
    (stage, client)
}

fn create(client: &Client, name: &str) -> CreateChangeSetFluentBuilder {
    client.create_change_set().stack_name("web").change_set_name(name).template_url(TEMPLATE)
}

fn parameter(key: &str, value: &str) -> Parameter {
    Parameter::builder().parameter_key(key).parameter_value(value).build()
}

async fn describe(client: &Client, name: &str) -> DescribeChangeSetOutput {
    client.describe_change_set().stack_name("web").change_set_name(name).send().await.unwrap()
}

/// A change set that is ready.
async fn ready(stage: &Stage, create: CreateChangeSetFluentBuilder) {
    create.send().await.unwrap();
    stage.pass(5);
}

async fn execute(client: &Client, name: &str, token: &str) {
    let execute = client.execute_change_set().stack_name("web").change_set_name(name);
    execute.client_request_token(token).send().await.unwrap();
}

async fn events(client: &Client) -> Vec<StackEvent> {
    let (mut events, mut next) = (Vec::new(), None);
    loop {
        let page = client.describe_stack_events().stack_name("web").set_next_token(next).send().await.unwrap();
        events.extend(page.stack_events.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            return events;
        }
    }
}

/// Each event as `Function UPDATE_FAILED`, oldest first.
fn told(events: &[StackEvent]) -> Vec<String> {
    let line = |event: &StackEvent| {
        format!("{} {}", event.logical_resource_id().unwrap(), event.resource_status().unwrap().as_str())
    };
    events.iter().rev().map(line).collect()
}

async fn status(client: &Client) -> StackStatus {
    let found = client.describe_stacks().stack_name("web").send().await.unwrap();
    found.stacks()[0].stack_status().unwrap().clone()
}

#[tokio::test]
async fn a_change_set_gets_ready_after_a_while_and_tells_what_it_changes() {
    let mut stack = Stack::new("web");
    stack.changes = vec![
        Change::add("Queue", "AWS::SQS::Queue"),
        Change::modify("Function", "AWS::Lambda::Function"),
        Change::replace("Table", "AWS::DynamoDB::Table"),
        Change::remove("Topic", "AWS::SNS::Topic"),
    ];
    let (stage, client) = set(stack).await;
    stage.engines(|engines| {
        engines.cloudformation.change_sets_take(Span::from_seconds(10));
        engines.page_size(3);
    });
    let create = create(&client, "mf-1").parameters(parameter("Color", "blue")).capabilities(Capability::CapabilityIam);
    let created = create.send().await.unwrap();
    let id = created.id().unwrap();
    assert!(id.starts_with("arn:aws:cloudformation:eu-west-1:444455556666:changeSet/mf-1/"), "{id}");
    let pending = describe(&client, "mf-1").await;
    assert_eq!(pending.status(), Some(&ChangeSetStatus::CreatePending));
    assert_eq!(pending.execution_status(), Some(&ExecutionStatus::Unavailable));
    assert!(pending.changes().is_empty());
    stage.pass(6);
    assert_eq!(describe(&client, "mf-1").await.status(), Some(&ChangeSetStatus::CreateInProgress));
    stage.pass(5);
    let ready = describe(&client, "mf-1").await;
    assert_eq!(ready.status(), Some(&ChangeSetStatus::CreateComplete));
    assert_eq!(ready.execution_status(), Some(&ExecutionStatus::Available));
    assert_eq!(ready.parameters()[0].parameter_value(), Some("blue"));
    assert_eq!(ready.capabilities(), [Capability::CapabilityIam]);
    let mut changes = ready.changes().to_vec();
    assert_eq!(changes.len(), 3, "a page");
    // By its ARN alone.
    let rest =
        client.describe_change_set().change_set_name(id).next_token(ready.next_token().unwrap()).send().await.unwrap();
    assert_eq!(rest.next_token(), None);
    changes.extend(rest.changes.unwrap());
    let found: Vec<_> = changes
        .iter()
        .map(|change| change.resource_change().unwrap())
        .map(|change| {
            (change.logical_resource_id().unwrap(), change.action().unwrap().clone(), change.replacement().cloned())
        })
        .collect();
    let expected = [
        ("Queue", ChangeAction::Add, None),
        ("Function", ChangeAction::Modify, Some(Replacement::False)),
        ("Table", ChangeAction::Modify, Some(Replacement::True)),
        ("Topic", ChangeAction::Remove, None),
    ];
    assert_eq!(found, expected);
    assert_eq!(status(&client).await, StackStatus::CreateComplete, "nothing was changed by it");
}

#[tokio::test]
async fn a_change_set_without_changes_fails_and_says_so() {
    let deployed = (TEMPLATE.to_owned(), BTreeMap::from([("Color".to_owned(), "blue".to_owned())]));
    let (stage, client) = set(Stack { deployed: Some(deployed), ..Stack::new("web") }).await;
    ready(&stage, create(&client, "mf-1").parameters(parameter("Color", "blue"))).await;
    let failed = describe(&client, "mf-1").await;
    assert_eq!(failed.status(), Some(&ChangeSetStatus::Failed));
    assert_eq!(failed.execution_status(), Some(&ExecutionStatus::Unavailable));
    let reason =
        "The submitted information didn't contain changes. Submit different information to create a change set.";
    assert_eq!(failed.status_reason(), Some(reason));
    ready(&stage, create(&client, "mf-2").parameters(parameter("Color", "green"))).await;
    assert_eq!(describe(&client, "mf-2").await.status(), Some(&ChangeSetStatus::CreateComplete));
    execute(&client, "mf-2", "t-1").await;
    stage.settle();
    ready(&stage, create(&client, "mf-3").parameters(parameter("Color", "green"))).await;
    assert_eq!(describe(&client, "mf-3").await.status_reason(), Some(reason), "the stack has it now");
}

#[tokio::test]
async fn a_change_set_fails_for_another_reason_too() {
    let why =
        "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification document.";
    let (stage, client) = set(Stack { change_set_fails: Some(why.to_owned()), ..Stack::new("web") }).await;
    ready(&stage, create(&client, "mf-1")).await;
    let failed = describe(&client, "mf-1").await;
    assert_eq!((failed.status(), failed.status_reason()), (Some(&ChangeSetStatus::Failed), Some(why)));
    let (code, message) = refused(client.execute_change_set().stack_name("web").change_set_name("mf-1").send().await);
    assert_eq!(code, "InvalidChangeSetStatus");
    assert!(message.contains("[FAILED]"), "{message}");
}

#[tokio::test]
async fn a_name_is_one_change_sets_and_a_token_asks_for_the_same_again() {
    let (stage, client) = set(Stack::new("web")).await;
    let first = create(&client, "mf-1").client_token("t-1").send().await.unwrap();
    let again = create(&client, "mf-1").client_token("t-1").send().await.unwrap();
    assert_eq!(first.id(), again.id());
    let refused = create(&client, "mf-1").send().await.unwrap_err().into_service_error();
    assert!(refused.is_already_exists_exception(), "{refused:?}");
    let other = create(&client, "mf-1").client_token("t-1").parameters(parameter("Color", "blue")).send().await;
    assert_eq!(code(other), "AlreadyExistsException");
    create(&client, "mf-2").send().await.unwrap();
    let delete = || client.delete_change_set().stack_name("web").change_set_name("mf-1").send();
    assert_eq!(code(delete().await), "InvalidChangeSetStatus", "it is being made");
    stage.pass(5);
    delete().await.unwrap();
    let gone = client.describe_change_set().stack_name("web").change_set_name("mf-1").send().await.unwrap_err();
    assert_eq!(gone.raw_response().unwrap().status().as_u16(), 404);
    assert!(gone.into_service_error().is_change_set_not_found_exception());
    create(&client, "mf-1").send().await.unwrap();
}

#[tokio::test]
async fn a_change_set_must_fit_the_stack() {
    let mut stack = Stack::new("web");
    stack.capabilities = vec!["CAPABILITY_IAM".to_owned()];
    stack.parameters = Some([("Color".to_owned(), None), ("Size".to_owned(), Some("s".to_owned()))].into());
    let (stage, client) = set(stack).await;
    let fitting = |name: &str| {
        create(&client, name).parameters(parameter("Color", "blue")).capabilities(Capability::CapabilityNamedIam)
    };
    let table = [
        (fitting("a").stack_name("nobody"), "ValidationError", "Stack [nobody] does not exist"),
        (
            fitting("a").change_set_type(ChangeSetType::Create),
            "ValidationError",
            "already exists and cannot be created",
        ),
        (
            fitting("a").set_capabilities(None),
            "InsufficientCapabilitiesException",
            "Requires capabilities : [CAPABILITY_IAM]",
        ),
        (
            fitting("a").set_capabilities(Some(vec![Capability::CapabilityAutoExpand])),
            "InsufficientCapabilitiesException",
            "Requires capabilities",
        ),
        (fitting("a").set_parameters(None), "ValidationError", "Parameters: [Color] must have values"),
        (fitting("a").parameters(parameter("Shape", "x")), "ValidationError", "Parameters: [Shape] do not exist"),
        (fitting("a").parameters(parameter("Color", "x")), "ValidationError", "given twice"),
        (
            fitting("a").set_parameters(Some(vec![
                Parameter::builder().parameter_key("Color").use_previous_value(true).build(),
            ])),
            "ValidationError",
            "not in the previous template",
        ),
        (fitting("a").template_url("s3://artifacts/t.yaml"), "ValidationError", "not the URL of an object"),
        (fitting("a").set_template_url(None), "ValidationError", "Template URL"),
    ];
    for (create, expected, words) in table {
        let (code, message) = refused(create.send().await);
        assert_eq!(code, expected, "{message}");
        assert!(message.contains(words), "{message}");
    }
    assert!(stage.engines(|engines| engines.cloudformation.change_sets(&place(), "web").is_empty()));
    ready(&stage, fitting("b")).await;
    assert_eq!(describe(&client, "b").await.parameters().len(), 2, "one by its default");
    execute(&client, "b", "t-1").await;
    let (code, message) = refused(fitting("c").send().await);
    assert_eq!(code, "ValidationError");
    assert!(message.contains("is in UPDATE_IN_PROGRESS state and can not be updated"), "{message}");
    stage.settle();
    let kept = Parameter::builder().parameter_key("Color").use_previous_value(true).build();
    ready(&stage, fitting("d").set_parameters(Some(vec![kept]))).await;
    let described = describe(&client, "d").await;
    assert_eq!(described.parameters()[0].parameter_value(), Some("blue"));
}

#[tokio::test]
async fn a_change_set_is_executed_once_and_takes_the_others_with_it() {
    let (stage, client) = set(Stack::new("web")).await;
    create(&client, "mf-1").send().await.unwrap();
    create(&client, "mf-2").send().await.unwrap();
    let early = client.execute_change_set().stack_name("web").change_set_name("mf-1").send().await.unwrap_err();
    assert!(early.into_service_error().is_invalid_change_set_status_exception());
    stage.pass(5);
    execute(&client, "mf-1", "mf-web-0-1").await;
    let execute_as = |name: &str, token: &str| {
        let execute = client.execute_change_set().stack_name("web").change_set_name(name);
        execute.client_request_token(token).send()
    };
    let again = execute_as("mf-1", "mf-web-0-1").await.unwrap_err().into_service_error();
    assert!(again.is_token_already_exists_exception(), "{again:?}");
    assert_eq!(code(execute_as("mf-1", "another").await), "InvalidChangeSetStatus");
    assert_eq!(code(execute_as("mf-2", "another").await), "ChangeSetNotFound");
    assert_eq!(describe(&client, "mf-1").await.execution_status(), Some(&ExecutionStatus::ExecuteInProgress));
    let running = client.delete_change_set().stack_name("web").change_set_name("mf-1").send().await;
    assert_eq!(code(running), "InvalidChangeSetStatus");
    stage.settle();
    let executed = describe(&client, "mf-1").await;
    assert_eq!(executed.execution_status(), Some(&ExecutionStatus::ExecuteComplete));
    assert_eq!(executed.status(), Some(&ChangeSetStatus::CreateComplete));
    assert_eq!(code(execute_as("mf-1", "mf-web-0-1").await), "TokenAlreadyExistsException", "also long after");
    assert_eq!(code(execute_as("mf-1", "another").await), "InvalidChangeSetStatus");
    assert_eq!(stage.engines(|engines| engines.cloudformation.executions().len()), 1);
}

#[tokio::test]
async fn a_stacks_events_tell_its_token_newest_first_in_pages() {
    let mut stack = Stack::new("web");
    stack.changes =
        vec![Change::modify("Function", "AWS::Lambda::Function"), Change::remove("Topic", "AWS::SNS::Topic")];
    let (stage, client) = set(stack).await;
    stage.engines(|engines| engines.page_size(2));
    ready(&stage, create(&client, "mf-1")).await;
    execute(&client, "mf-1", "mf-web-0-1").await;
    assert_eq!(status(&client).await, StackStatus::UpdateInProgress);
    stage.settle();
    assert_eq!(status(&client).await, StackStatus::UpdateComplete);
    let events = events(&client).await;
    let expected = [
        "web UPDATE_IN_PROGRESS",
        "Function UPDATE_IN_PROGRESS",
        "Function UPDATE_COMPLETE",
        "web UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "Topic DELETE_IN_PROGRESS",
        "Topic DELETE_COMPLETE",
        "web UPDATE_COMPLETE",
    ];
    assert_eq!(told(&events), expected);
    assert!(events.iter().all(|event| event.client_request_token() == Some("mf-web-0-1")));
    assert!(events.is_sorted_by(|one, two| one.timestamp().unwrap() >= two.timestamp().unwrap()));
    let stack = events.last().unwrap();
    assert_eq!(stack.resource_type(), Some("AWS::CloudFormation::Stack"));
    assert_eq!(stack.physical_resource_id(), stack.stack_id());
    assert_eq!(stack.resource_status_reason(), Some("User Initiated"));
}

#[tokio::test]
async fn a_failed_update_names_the_resource_and_is_rolled_back() {
    let (stage, client) = set(Stack::new("web")).await;
    let fate = Fate::fails(60, "Function", "AccessDenied", "User is not authorized");
    stage.engines(|engines| engines.behave(&place(), fate));
    ready(&stage, create(&client, "mf-1")).await;
    execute(&client, "mf-1", "mf-web-0-1").await;
    stage.settle();
    let events = events(&client).await;
    let expected = [
        "web UPDATE_IN_PROGRESS",
        "Function UPDATE_IN_PROGRESS",
        "Alias UPDATE_IN_PROGRESS",
        "Function UPDATE_FAILED",
        "Alias UPDATE_FAILED",
        "web UPDATE_ROLLBACK_IN_PROGRESS",
        "Function UPDATE_COMPLETE",
        "Alias UPDATE_COMPLETE",
        "web UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "web UPDATE_ROLLBACK_COMPLETE",
    ];
    assert_eq!(told(&events), expected);
    let reason = |line: &str| {
        let at = told(&events).iter().position(|told| told == line).unwrap();
        events[events.len() - 1 - at].resource_status_reason().unwrap_or_default().to_owned()
    };
    let failed = reason("Function UPDATE_FAILED");
    assert!(
        failed.starts_with("Resource handler returned message: \"User is not authorized\" (RequestToken: "),
        "{failed}"
    );
    assert!(failed.ends_with(", HandlerErrorCode: AccessDenied)"), "{failed}");
    assert_eq!(reason("Alias UPDATE_FAILED"), "Resource update cancelled");
    assert_eq!(reason("web UPDATE_ROLLBACK_IN_PROGRESS"), "The following resource(s) failed to update: [Function]. ");
    assert_eq!(describe(&client, "mf-1").await.execution_status(), Some(&ExecutionStatus::ExecuteFailed));
    // It can be updated again, and has not what failed.
    stage.engines(|engines| engines.behave(&place(), Fate::succeeds(10)));
    ready(&stage, create(&client, "mf-2")).await;
    execute(&client, "mf-2", "mf-web-0-2").await;
    stage.settle();
    assert_eq!(status(&client).await, StackStatus::UpdateComplete);
}

#[tokio::test]
async fn a_stack_is_created_by_a_change_set_and_its_failure_is_final() {
    for fails in [false, true] {
        let (stage, client) = set(Stack::absent("web")).await;
        let absent = client.describe_stacks().stack_name("web").send().await;
        assert_eq!(refused(absent), ("ValidationError".to_owned(), "Stack with id web does not exist".to_owned()));
        assert_eq!(code(create(&client, "mf-1").send().await), "ValidationError", "there is nothing to update");
        if fails {
            let fate = Fate::fails(60, "Alias", "NotFound", "There is no version 7");
            stage.engines(|engines| engines.behave(&place(), fate));
        }
        ready(&stage, create(&client, "mf-1").change_set_type(ChangeSetType::Create)).await;
        assert_eq!(status(&client).await, StackStatus::ReviewInProgress);
        assert_eq!(code(create(&client, "mf-2").send().await), "ValidationError", "still nothing to update");
        execute(&client, "mf-1", "mf-web-0-1").await;
        assert_eq!(status(&client).await, StackStatus::CreateInProgress);
        stage.settle();
        let told = told(&events(&client).await);
        if fails {
            let expected = [
                "web REVIEW_IN_PROGRESS",
                "web CREATE_IN_PROGRESS",
                "Function CREATE_IN_PROGRESS",
                "Function CREATE_COMPLETE",
                "Alias CREATE_IN_PROGRESS",
                "Alias CREATE_FAILED",
                "web ROLLBACK_IN_PROGRESS",
                "Function DELETE_COMPLETE",
                "Alias DELETE_COMPLETE",
                "web ROLLBACK_COMPLETE",
            ];
            assert_eq!(told, expected);
            let (code, message) = refused(create(&client, "mf-2").send().await);
            assert_eq!(code, "ValidationError");
            assert!(message.contains("is in ROLLBACK_COMPLETE state and can not be updated"), "{message}");
        } else {
            assert_eq!(told.last().unwrap(), "web CREATE_COMPLETE");
            ready(&stage, create(&client, "mf-2").parameters(parameter("Color", "blue"))).await;
            assert_eq!(describe(&client, "mf-2").await.status(), Some(&ChangeSetStatus::CreateComplete));
        }
    }
}

#[tokio::test]
async fn without_a_rollback_a_stack_stays_as_it_failed() {
    for (stack, kind, expected) in [
        (Stack::new("web"), ChangeSetType::Update, StackStatus::UpdateFailed),
        (Stack::absent("web"), ChangeSetType::Create, StackStatus::CreateFailed),
    ] {
        let (stage, client) = set(stack).await;
        stage.engines(|engines| engines.behave(&place(), Fate::fails(60, "Alias", "NotFound", "no")));
        ready(&stage, create(&client, "mf-1").change_set_type(kind)).await;
        let execute = client.execute_change_set().stack_name("web").change_set_name("mf-1").disable_rollback(true);
        execute.send().await.unwrap();
        stage.settle();
        assert_eq!(status(&client).await, expected);
        let found = client.describe_stacks().stack_name("web").send().await.unwrap();
        assert!(found.stacks()[0].stack_status_reason().unwrap().contains("[Alias]"));
    }
}

#[tokio::test]
async fn an_update_is_cancelled_and_rolled_back_under_the_token_of_the_cancellation() {
    for (token, expected) in [(None, "mf-web-0-1"), (Some("mf-web-0-1-stop"), "mf-web-0-1-stop")] {
        let (stage, client) = set(Stack::new("web")).await;
        let cancel = |token: Option<&str>| {
            let cancel = client.cancel_update_stack().stack_name("web");
            cancel.set_client_request_token(token.map(str::to_owned)).send()
        };
        assert_eq!(code(cancel(None).await), "ValidationError", "nothing goes on");
        stage.engines(|engines| engines.behave(&place(), Fate::NeverEnds));
        ready(&stage, create(&client, "mf-1")).await;
        execute(&client, "mf-1", "mf-web-0-1").await;
        stage.settle();
        stage.pass(3_000);
        assert_eq!(status(&client).await, StackStatus::UpdateInProgress);
        assert_eq!(code(cancel(Some("mf-web-0-1")).await), "TokenAlreadyExistsException");
        cancel(token).await.unwrap();
        let emitted = stage.settle();
        assert_eq!(status(&client).await, StackStatus::UpdateRollbackComplete);
        assert_eq!(emitted.last().unwrap()["detail"]["client-request-token"], expected);
        let events = events(&client).await;
        assert_eq!(events[0].client_request_token(), Some(expected));
        assert_eq!(events.last().unwrap().client_request_token(), Some("mf-web-0-1"));
        let began =
            events.iter().find(|event| event.resource_status().unwrap().as_str() == "UPDATE_ROLLBACK_IN_PROGRESS");
        assert_eq!(began.unwrap().resource_status_reason(), Some("User Initiated"));
    }
}

#[tokio::test]
async fn a_template_tells_its_parameters_and_a_change_set_goes_by_them() {
    let (stage, client) = set(Stack::new("web")).await;
    let parameters = BTreeMap::from([("Color".to_owned(), None), ("Size".to_owned(), Some("small".to_owned()))]);
    let (bucket, key) = ("artifacts", "web/8cf40f2b/template.yaml");
    stage.engines(|engines| engines.cloudformation.template(bucket, key, parameters));
    let url = format!("https://s3.eu-west-1.amazonaws.com/{bucket}/{key}");
    let summary = client.get_template_summary().template_url(&url).send().await.unwrap();
    let told: Vec<_> = summary.parameters().iter().map(|each| (each.parameter_key(), each.default_value())).collect();
    assert_eq!(told, [(Some("Color"), None), (Some("Size"), Some("small"))]);
    let other = "https://s3.eu-west-1.amazonaws.com/artifacts/other.yaml";
    let other = client.get_template_summary().template_url(other).send().await.unwrap();
    assert!(other.parameters().is_empty());
    let elsewhere = client.get_template_summary().template_url("https://example.com/t.yaml").send().await;
    assert_eq!(code(elsewhere), "ValidationError");
    let create = || client.create_change_set().stack_name("web").change_set_name("mf-1").template_url(&url);
    let (code, message) = refused(create().send().await);
    assert_eq!((code.as_str(), message.as_str()), ("ValidationError", "Parameters: [Color] must have values"));
    create().parameters(parameter("Color", "blue")).send().await.unwrap();
}
