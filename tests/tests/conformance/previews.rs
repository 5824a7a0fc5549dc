//! What a plan is told of change sets before a release, and what is left of them: nothing.

use manifold_core::changes::{Change, Effect, Previewed};
use manifold_core::checkup::Tried;
use manifold_core::engine::Service;
use manifold_core::run::Reason;
use manifold_core::time::Span;
use manifold_ports::engine::Start;
use manifold_tests::wire::engines::cloudformation::{self, Stack};
use manifold_tests::wire::engines::{Fate, Mishap};

use crate::stacks::{change_sets, set, with};
use crate::stage::{Stage, ours, place, theirs};
use crate::table::{BUCKET, PARAMETERS, TEMPLATE, row};

fn change(effect: Effect, resource: &str, kind: &str) -> Change {
    Change { effect, resource: resource.to_owned(), kind: Some(kind.to_owned()) }
}

fn fails(previewed: Previewed) -> Reason {
    let Previewed::Fails(reason) = previewed else { panic!("{previewed:?}") };
    reason
}

#[tokio::test]
async fn every_change_is_told_and_nothing_is_executed_or_left() {
    let mut web = Stack::new("web");
    web.changes = vec![
        cloudformation::Change::add("Queue", "AWS::SQS::Queue"),
        cloudformation::Change::modify("Function", "AWS::Lambda::Function"),
        cloudformation::Change::replace("Table", "AWS::DynamoDB::Table"),
        cloudformation::Change::remove("Topic", "AWS::SNS::Topic"),
    ];
    let stage = with(web).await;
    stage.standin.engines(|engines| engines.page_size(3));
    assert!(matches!(stage.preview(&ours()).await, Previewed::Pending(_)));
    let [made] = change_sets(&stage).try_into().unwrap();
    assert!(made.starts_with("manifold-plan-"), "{made}");
    let changes = vec![
        change(Effect::Adds, "Queue", "AWS::SQS::Queue"),
        change(Effect::Changes, "Function", "AWS::Lambda::Function"),
        change(Effect::Replaces, "Table", "AWS::DynamoDB::Table"),
        change(Effect::Removes, "Topic", "AWS::SNS::Topic"),
    ];
    assert_eq!(stage.foresee(&ours()).await, Previewed::Changes(changes));
    assert_eq!((stage.calls("CreateChangeSet"), stage.calls("ExecuteChangeSet")), (1, 0));
    assert!(change_sets(&stage).is_empty() && stage.started().is_empty());
}

#[tokio::test]
async fn what_a_rollout_does_meanwhile_is_another_matter() {
    let mut stage = set().await;
    assert!(matches!(stage.preview(&ours()).await, Previewed::Pending(_)));
    let execution = stage.begin(&ours()).await;
    // It has the stack now; the one that was made to be looked at went with the stack's change.
    let Previewed::Busy(reason) = stage.foresee(&theirs()).await else { panic!("it is being changed") };
    assert_eq!(reason.cause, "Stack web is busy");
    stage.settle();
    assert!(stage.told_state(&execution).is_some());
    assert_eq!(stage.foresee(&ours()).await, Previewed::Current);
    assert!(matches!(stage.foresee(&theirs()).await, Previewed::Changes(_)));
    assert_eq!(stage.started().len(), 1);
    assert_eq!(change_sets(&stage).len(), 1, "the one that was executed");
}

#[tokio::test]
async fn other_parameters_have_a_change_set_of_their_own() {
    let stage = set().await;
    assert!(matches!(stage.preview(&ours()).await, Previewed::Pending(_)));
    assert!(matches!(stage.preview(&theirs()).await, Previewed::Pending(_)));
    assert_eq!(change_sets(&stage).len(), 2);
    assert!(matches!(stage.foresee(&ours()).await, Previewed::Changes(_)));
    assert!(matches!(stage.foresee(&theirs()).await, Previewed::Changes(_)));
    assert!(change_sets(&stage).is_empty());
}

#[tokio::test]
async fn of_a_stack_that_is_not_there_its_resources_are_told_and_no_empty_one_is_made() {
    let stage = with(Stack::absent("web")).await;
    let kinds = ["AWS::Lambda::Function", "AWS::IAM::Role", "AWS::Lambda::Function"];
    stage.standin.engines(|engines| engines.cloudformation.template_makes(BUCKET, TEMPLATE, &kinds));
    let told = stage.preview(&ours()).await;
    assert_eq!(told, Previewed::New(vec!["AWS::IAM::Role".to_owned(), "AWS::Lambda::Function".to_owned()]));
    assert_eq!(stage.calls("CreateChangeSet"), 0);
    assert_eq!(stage.standin.engines(|engines| engines.cloudformation.status(&place(), "web")), None);
    stage.standin.put_object(BUCKET, PARAMETERS, "[]");
    assert_eq!(fails(stage.preview(&ours()).await).cause, "The parameters file can't be used");
}

#[tokio::test]
async fn what_would_fail_is_told_in_the_words_that_it_would_fail_with() {
    let why = "Transform AWS::Serverless-2016-10-31 failed with: Invalid document.";
    let stage = with(Stack { change_set_fails: Some(why.to_owned()), ..Stack::new("web") }).await;
    let reason = fails(stage.foresee(&ours()).await);
    assert_eq!(reason.cause, "The change set of stack web could not be made");
    assert_eq!(reason.detail.as_deref(), Some(why));
    assert!(change_sets(&stage).is_empty());

    let stage = with(Stack { capabilities: vec!["CAPABILITY_AUTO_EXPAND".to_owned()], ..Stack::new("web") }).await;
    let reason = fails(stage.foresee(&ours()).await);
    assert_eq!(reason.cause, "InsufficientCapabilitiesException for CreateChangeSet of stack web");

    let mut stage = with(Stack::absent("web")).await;
    stage.behave(Fate::fails(60, "Function", "AccessDenied", "not authorized"));
    stage.begin(&ours()).await;
    stage.settle();
    let reason = fails(stage.foresee(&theirs()).await);
    assert_eq!(reason.cause, "Stack web is in ROLLBACK_COMPLETE");
}

#[tokio::test]
async fn what_nobody_waits_for_is_taken_away_as_soon_as_it_is_made_and_whether_it_is_there_or_not() {
    let left = |told| match told {
        Tried::Unanswered { reason } => reason,
        told @ (Tried::Done(()) | Tried::Refused { .. } | Tried::NotTried) => panic!("{told:?}"),
    };
    let stage = set().await;
    assert!(matches!(stage.preview(&ours()).await, Previewed::Pending(_)));
    let reason = left(stage.discard(&ours()).await);
    assert!(reason.starts_with("InvalidChangeSetStatus for DeleteChangeSet"), "{reason}");
    stage.pass(Span::from_seconds(5));
    assert_eq!(stage.discard(&ours()).await, Tried::Done(()));
    assert!(change_sets(&stage).is_empty());
    assert_eq!(stage.discard(&ours()).await, Tried::Done(()));
    stage.befall("DeleteChangeSet", Mishap::Throttled);
    let reason = left(stage.discard(&ours()).await);
    assert!(reason.starts_with("Throttled by CloudFormation"), "{reason}");
}

#[tokio::test]
async fn a_throttled_look_is_not_the_last_word() {
    let stage = set().await;
    stage.befall("DescribeChangeSet", Mishap::Throttled);
    let Previewed::Pending(why) = stage.preview(&ours()).await else { panic!("it was throttled") };
    assert!(why.starts_with("Throttled by CloudFormation"), "{why}");
    assert!(matches!(stage.foresee(&ours()).await, Previewed::Changes(_)));
}

#[tokio::test]
async fn a_preview_is_no_attempt() {
    let stage = set().await;
    assert!(matches!(stage.foresee(&ours()).await, Previewed::Changes(_)));
    assert_eq!(stage.find(&ours(), &[]).await, Ok(None));
    // The rollout makes a change set of its own, and executes that.
    assert!(stage.start(&ours()).await.is_err());
    stage.pass(Span::from_seconds(10));
    assert!(matches!(stage.start(&ours()).await, Ok(Start::Begun(_))));
}

#[tokio::test]
async fn of_other_engines_nothing_is_known_before_and_nothing_is_called() {
    for service in Service::ALL.into_iter().filter(|service| *service != Service::CloudFormation) {
        let stage = Stage::set(row(service)).await;
        let reason = fails(stage.preview(&ours()).await);
        assert!(reason.cause.starts_with("Nothing tells beforehand what "), "{service}: {}", reason.cause);
        assert!(stage.started().is_empty());
        assert!(stage.standin.engines(|engines| engines.calls(&place()).is_empty()), "{service}");
    }
}
