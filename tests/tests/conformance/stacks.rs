//! Change sets: made, reviewed, executed.

use std::collections::BTreeMap;

use manifold_core::console::is_console_link;
use manifold_core::engine::{Replacements, Service, StackWork, Work};
use manifold_core::event::PipelineState;
use manifold_core::run::{Outcome, Reason, Refusal};
use manifold_core::time::Span;
use manifold_ports::engine::Start;
use manifold_tests::wire::engines::Fate;
use manifold_tests::wire::engines::cloudformation::{Change, Stack};

use crate::stage::{Stage, ours, ours_again, place};
use crate::table::{BUCKET, PARAMETERS, TEMPLATE, row, stack};

pub(crate) async fn set() -> Stage {
    Stage::set(row(Service::CloudFormation)).await
}

/// With another stack than the table's.
pub(crate) async fn with(web: Stack) -> Stage {
    let stage = set().await;
    stage.standin.engines(|engines| {
        engines.cloudformation.declare(&place(), web);
        engines.cloudformation.template(BUCKET, TEMPLATE, anything());
    });
    stage
}

/// What the file and the plan give, and no more.
fn anything() -> BTreeMap<String, Option<String>> {
    ["Version", "Stage", "Loud"].map(|name| (name.to_owned(), None)).into()
}

pub(crate) fn change_sets(stage: &Stage) -> Vec<String> {
    stage.standin.engines(|engines| engines.cloudformation.change_sets(&place(), "web"))
}

fn permanent(refusal: Refusal) -> Reason {
    let Refusal::Permanent { outcome: Outcome::Failed, reason } = refusal else { panic!("{refusal:?}") };
    reason
}

async fn failed(stage: &Stage) -> Reason {
    permanent(stage.try_begin(&ours()).await.unwrap_err())
}

#[tokio::test]
async fn a_change_set_is_made_then_executed_with_the_attempts_token() {
    let stage = set().await;
    let preparing = async || match stage.start(&ours()).await {
        Err(Refusal::Preparing { again, .. }) => again,
        other => panic!("{other:?}"),
    };
    let again = preparing().await;
    assert!(again > Span::from_seconds(0) && again <= Span::from_minutes(1), "{again}");
    assert_eq!(change_sets(&stage).len(), 1);
    stage.pass(Span::from_seconds(1));
    preparing().await;
    assert_eq!(stage.calls("CreateChangeSet"), 1, "it is being made, and not made again");
    stage.pass(again);
    let token = ours().run.attempt_token(&place(), ours().attempt);
    assert_eq!(stage.start(&ours()).await, Ok(Start::Begun(token.parse().unwrap())));
    stage.standin.engines(|engines| {
        let [execution] = engines.cloudformation.executions() else { panic!("one") };
        assert_eq!(execution.token.as_ref(), Some(&token));
        assert!(execution.template.ends_with(&format!("/{BUCKET}/{TEMPLATE}")), "{}", execution.template);
        let given = [("Version", "1.2.3"), ("Stage", "prod"), ("Loud", "true"), ("Table", "web-7")];
        let given: BTreeMap<_, _> = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        // The plan's own go before the file's; what nobody gives keeps its value; what the template lost is not given.
        assert_eq!(execution.parameters, given);
    });
}

#[tokio::test]
async fn without_changes_the_target_is_current_however_often_it_is_asked_for() {
    let mut stage = set().await;
    let execution = stage.begin(&ours()).await;
    stage.settle();
    for _ in 0..2 {
        let mut answer = stage.start(&ours_again()).await;
        while let Err(Refusal::Preparing { again, .. }) = answer {
            stage.pass(again);
            answer = stage.start(&ours_again()).await;
        }
        let Ok(Start::Current(current)) = answer else { panic!("{answer:?}") };
        assert_ne!(current, execution);
        assert_eq!(change_sets(&stage).len(), 1, "the one that was executed");
    }
    assert_eq!(stage.started().len(), 1);
    // Nothing told of it: the target is current because its start says so.
    assert!(stage.told_state(&"none".parse().unwrap()).is_none());
    stage.settle();
    assert!(stage.told.iter().all(|told| told.execution == execution), "{:#?}", stage.told);
}

#[tokio::test]
async fn what_would_replace_or_remove_is_refused_with_its_names_unless_it_may() {
    let mut web = Stack::new("web");
    web.changes = vec![
        Change::modify("Function", "AWS::Lambda::Function"),
        Change::replace("Table", "AWS::DynamoDB::Table"),
        Change::remove("Topic", "AWS::SNS::Topic"),
    ];
    let mut stage = with(web).await;
    stage.standin.engines(|engines| engines.page_size(1));
    let reason = failed(&stage).await;
    assert_eq!(reason.cause, "Change set would replace or remove resources");
    assert_eq!(
        reason.detail.as_deref(),
        Some("replaces Table (AWS::DynamoDB::Table), removes Topic (AWS::SNS::Topic)")
    );
    let link = reason.link.unwrap();
    assert!(is_console_link(&link) && link.contains("changesets"), "{link}");
    assert_eq!((stage.started().len(), change_sets(&stage).len()), (0, 1), "it is left to be looked at");
    stage.planned.work = Some(Work::Stack(Box::new(StackWork { replacements: Replacements::Allow, ..stack() })));
    let execution = stage.begin(&ours()).await;
    stage.settle();
    assert_eq!(stage.state(&execution).await, PipelineState::Succeeded);
}

#[tokio::test]
async fn capabilities_are_those_that_the_fleet_file_grants() {
    let needs = |capability: &str| Stack { capabilities: vec![capability.to_owned()], ..Stack::new("web") };
    let stage = with(needs("CAPABILITY_AUTO_EXPAND")).await;
    let reason = failed(&stage).await;
    assert_eq!(reason.cause, "InsufficientCapabilitiesException for CreateChangeSet of stack web");
    assert!(reason.detail.unwrap().contains("CAPABILITY_AUTO_EXPAND"));
    assert!(stage.started().is_empty() && change_sets(&stage).is_empty());
    with(needs("CAPABILITY_NAMED_IAM")).await.begin(&ours()).await;
}

#[tokio::test]
async fn a_change_set_that_can_not_be_made_fails_in_its_own_words() {
    let why =
        "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification document.";
    let stage = with(Stack { change_set_fails: Some(why.to_owned()), ..Stack::new("web") }).await;
    let reason = failed(&stage).await;
    assert_eq!(reason.cause, "The change set of stack web could not be made");
    assert_eq!(reason.detail.as_deref(), Some(why));
    assert!(is_console_link(&reason.link.unwrap()));
}

#[tokio::test]
async fn a_stack_that_is_not_there_is_created_and_one_that_failed_to_be_is_not_touched() {
    let mut stage = with(Stack::absent("web")).await;
    stage.behave(Fate::fails(60, "Function", "AccessDenied", "not authorized"));
    let execution = stage.begin(&ours()).await;
    stage.settle();
    assert_eq!(stage.state(&execution).await, PipelineState::Failed);
    let reason = stage.explain(&execution).await.unwrap();
    assert_eq!(reason.cause, "CREATE_FAILED of Function (AWS::Lambda::Function)");
    assert_eq!(stage.told_reason(&execution).unwrap().cause, reason.cause);
    let reason = permanent(stage.try_begin(&ours_again()).await.unwrap_err());
    assert_eq!(reason.cause, "Stack web is in ROLLBACK_COMPLETE");
    let mut stage = with(Stack::absent("web")).await;
    let execution = stage.begin(&ours()).await;
    stage.settle();
    assert_eq!(stage.state(&execution).await, PipelineState::Succeeded);
    let status = stage.standin.engines(|engines| engines.cloudformation.status(&place(), "web"));
    assert_eq!(status, Some("CREATE_COMPLETE"));
}

#[tokio::test]
async fn a_parameters_file_that_can_not_be_used_fails_without_its_values() {
    let stage = set().await;
    for (file, detail) in [
        ("{\"Parameters\": hunter2}", "no JSON at line 1"),
        ("[]", "it is no object"),
        ("{\"Parameters\": {\"Stage\": [\"hunter2\"]}}", "Parameters.Stage is no text"),
        ("{\"StackPolicy\": {}}", "it has \"StackPolicy\""),
    ] {
        stage.standin.put_object(BUCKET, PARAMETERS, file);
        let reason = failed(&stage).await;
        assert_eq!(reason.cause, "The parameters file can't be used");
        let told = reason.detail.unwrap();
        assert!(told.contains(detail) && told.contains(PARAMETERS) && !told.contains("hunter2"), "{told}");
    }
    assert!(change_sets(&stage).is_empty());
}

#[tokio::test]
async fn a_parameters_file_that_is_not_there_is_named() {
    let mut stage = set().await;
    let missing = format!("s3://{BUCKET}/web/none.json").parse().unwrap();
    stage.planned.work = Some(Work::Stack(Box::new(StackWork { parameters: Some(missing), ..stack() })));
    let reason = failed(&stage).await;
    assert_eq!(reason.cause, "The parameters file was not found");
    assert!(reason.detail.unwrap().contains("web/none.json"));
}

#[tokio::test]
async fn a_parameter_that_is_missing_fails_in_the_services_words() {
    let stage = with(Stack::new("web")).await;
    let more: BTreeMap<_, _> = anything().into_iter().chain([("Secret".to_owned(), None)]).collect();
    stage.standin.engines(|engines| engines.cloudformation.template(BUCKET, TEMPLATE, more));
    let reason = failed(&stage).await;
    assert_eq!(reason.cause, "ValidationError for CreateChangeSet of stack web");
    assert_eq!(reason.detail.as_deref(), Some("Parameters: [Secret] must have values"));
}
