//! CodeDeploy.

use std::collections::BTreeSet;

use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::operation::create_deployment::builders::CreateDeploymentFluentBuilder;
use aws_sdk_codedeploy::primitives::DateTime;
use aws_sdk_codedeploy::types::{
    AppSpecContent, AutoRollbackConfiguration, AutoRollbackEvent, BundleType, DeploymentCreator, DeploymentInfo,
    DeploymentStatus, DeploymentTarget, ErrorCode, GitHubLocation, LifecycleEvent, LifecycleEventStatus,
    RevisionLocation, RevisionLocationType, S3Location, StopStatus, TargetFilterName, TargetStatus, TimeRange,
};
use manifold_tests::wire::engines::Fate;
use manifold_tests::wire::engines::codedeploy::{Group, Platform};

use crate::stage::{COMMIT, Stage, code, place, refused};

const GROUP: &str = "shop-blue-green";

async fn set(group: Group) -> (Stage, Client) {
    let stage = Stage::set().await;
    stage.engines(|engines| engines.codedeploy.define(&place(), group));
    let client = stage.codedeploy();
    (stage, client)
}

fn ecs() -> Group {
    Group::new("shop", GROUP, Platform::Ecs)
}

fn appspec() -> RevisionLocation {
    let content = AppSpecContent::builder().content("version: 0.0").build();
    RevisionLocation::builder().revision_type(RevisionLocationType::AppSpecContent).app_spec_content(content).build()
}

fn s3(bundle: BundleType) -> RevisionLocation {
    let place = S3Location::builder().bucket("artifacts").key("shop/8cf40f2b.zip").bundle_type(bundle).build();
    RevisionLocation::builder().revision_type(RevisionLocationType::S3).s3_location(place).build()
}

fn github() -> RevisionLocation {
    let place = GitHubLocation::builder().repository("example-org/shop").commit_id(COMMIT).build();
    RevisionLocation::builder().revision_type(RevisionLocationType::GitHub).git_hub_location(place).build()
}

fn create(client: &Client) -> CreateDeploymentFluentBuilder {
    client.create_deployment().application_name("shop").deployment_group_name(GROUP).revision(appspec())
}

async fn created(client: &Client) -> String {
    create(client).send().await.unwrap().deployment_id.unwrap()
}

async fn get(client: &Client, id: &str) -> DeploymentInfo {
    client.get_deployment().deployment_id(id).send().await.unwrap().deployment_info.unwrap()
}

/// The lifecycle events of a target.
fn lifecycle(target: &DeploymentTarget) -> &[LifecycleEvent] {
    let ecs = target.ecs_target().map(|target| target.lifecycle_events());
    let lambda = target.lambda_target().map(|target| target.lifecycle_events());
    let instance = target.instance_target().map(|target| target.lifecycle_events());
    ecs.or(lambda).or(instance).unwrap()
}

#[tokio::test]
async fn every_call_that_is_not_refused_is_another_deployment() {
    let (stage, client) = set(ecs()).await;
    let first = created(&client).await;
    assert!(first.len() == 11 && first.starts_with("d-"), "{first}");
    let (code, message) = refused(create(&client).send().await);
    assert_eq!(code, "DeploymentLimitExceededException");
    assert!(message.contains(&first), "{message}");
    stage.settle();
    let second = created(&client).await;
    assert_ne!(first, second);
    let ids = stage
        .engines(|engines| engines.codedeploy.deployments().iter().map(|each| each.id.clone()).collect::<Vec<_>>());
    assert_eq!(ids, [first, second]);
}

#[tokio::test]
async fn a_deployment_is_described_as_it_was_asked_for_and_goes_on() {
    let (stage, client) = set(ecs()).await;
    let config = "CodeDeployDefault.ECSCanary10Percent5Minutes";
    let rollback =
        AutoRollbackConfiguration::builder().enabled(true).events(AutoRollbackEvent::DeploymentFailure).build();
    let create = create(&client).description("web-0f3a5b7c9d1e2f40 0 1").deployment_config_name(config);
    let id = create.auto_rollback_configuration(rollback).send().await.unwrap().deployment_id.unwrap();
    let info = get(&client, &id).await;
    assert_eq!((info.status(), info.start_time()), (Some(&DeploymentStatus::Created), None));
    assert_eq!(info.description(), Some("web-0f3a5b7c9d1e2f40 0 1"));
    assert_eq!(info.deployment_config_name(), Some(config));
    assert_eq!((info.application_name(), info.deployment_group_name()), (Some("shop"), Some(GROUP)));
    assert_eq!(info.revision(), Some(&appspec()));
    assert_eq!(info.creator(), Some(&DeploymentCreator::User));
    assert!(info.auto_rollback_configuration().unwrap().enabled());
    assert_eq!(code(client.list_deployment_targets().deployment_id(&id).send().await), "DeploymentNotStartedException");
    stage.pass(15);
    let _ = stage.standin.take_events();
    assert_eq!(get(&client, &id).await.status(), Some(&DeploymentStatus::InProgress));
    let events = stage.settle();
    let info = get(&client, &id).await;
    assert_eq!((info.status(), info.error_information()), (Some(&DeploymentStatus::Succeeded), None));
    assert!(info.complete_time().unwrap().secs() >= info.create_time().unwrap().secs() + 119);
    assert_eq!(info.rollback_info(), None);
    assert_eq!(events.last().unwrap()["detail"]["state"], "SUCCESS");
    let many = client.batch_get_deployments().deployment_ids(&id).deployment_ids("d-ABC123DEF").send().await.unwrap();
    assert_eq!(many.deployments_info(), [info]);
}

#[tokio::test]
async fn deployments_are_found_by_time_and_status_in_pages() {
    let (stage, client) = set(ecs()).await;
    stage.engines(|engines| engines.page_size(2));
    let mut ids = Vec::new();
    let mut at = Vec::new();
    for fate in [Fate::succeeds(60), Fate::fails(60, "Install", "ECS_UPDATE_ERROR", "no"), Fate::succeeds(60)] {
        stage.engines(|engines| engines.behave_next(&place(), fate));
        at.push(stage.now().as_seconds());
        ids.push(created(&client).await);
        stage.settle();
        stage.pass(100);
    }
    stage.engines(|engines| engines.behave(&place(), Fate::NeverEnds));
    ids.push(created(&client).await);
    let list = async |statuses: &[DeploymentStatus], range: Option<TimeRange>| {
        let (mut found, mut next) = (BTreeSet::new(), None);
        loop {
            let list = client.list_deployments().application_name("shop").deployment_group_name(GROUP);
            let list = list.set_include_only_statuses(Some(statuses.to_vec())).set_create_time_range(range.clone());
            let page = list.set_next_token(next).send().await.unwrap();
            assert!(page.deployments().len() <= 2);
            found.extend(page.deployments.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                return found;
            }
        }
    };
    let of = |indexes: &[usize]| indexes.iter().map(|index| ids[*index].clone()).collect::<BTreeSet<_>>();
    assert_eq!(list(&[], None).await, of(&[0, 1, 2, 3]));
    assert_eq!(list(&[DeploymentStatus::Failed], None).await, of(&[1]));
    assert_eq!(list(&[DeploymentStatus::Created, DeploymentStatus::Succeeded], None).await, of(&[0, 2, 3]));
    let range = |start: Option<i64>, end: Option<i64>| {
        let range =
            TimeRange::builder().set_start(start.map(DateTime::from_secs)).set_end(end.map(DateTime::from_secs));
        Some(range.build())
    };
    assert_eq!(list(&[], range(Some(at[1]), None)).await, of(&[1, 2, 3]));
    assert_eq!(list(&[], range(Some(at[1]), Some(at[2]))).await, of(&[1]));
    let wrong = client.list_deployments().application_name("shop").deployment_group_name(GROUP);
    let wrong = wrong.create_time_range(range(Some(at[2]), Some(at[1])).unwrap()).send().await;
    assert_eq!(code(wrong), "InvalidTimeRangeException");
}

#[tokio::test]
async fn a_failure_tells_its_error_and_the_lifecycle_event_of_each_target() {
    for (platform, hook, targets) in [
        (Platform::Ecs, "AfterAllowTestTraffic", 1),
        (Platform::Lambda, "BeforeAllowTraffic", 1),
        (Platform::Server, "ValidateService", 2),
    ] {
        let (stage, client) = set(Group::new("shop", GROUP, platform)).await;
        let fate = Fate::fails(60, hook, "HEALTH_CONSTRAINTS", "The smoke test found 3 of 4 pages");
        stage.engines(|engines| engines.behave(&place(), fate));
        let revision = if platform == Platform::Server { s3(BundleType::Zip) } else { appspec() };
        let id = create(&client).revision(revision).send().await.unwrap().deployment_id.unwrap();
        let events = stage.settle();
        let info = get(&client, &id).await;
        assert_eq!(info.status(), Some(&DeploymentStatus::Failed));
        let error = info.error_information().unwrap();
        assert_eq!(error.code(), Some(&ErrorCode::HealthConstraints));
        assert_eq!(error.message(), Some("The smoke test found 3 of 4 pages"));
        assert_eq!(info.rollback_info(), None, "nobody asked for a rollback");
        assert_eq!(events.last().unwrap()["detail"]["state"], "FAILURE");
        let listed = client.list_deployment_targets().deployment_id(&id).send().await.unwrap();
        let ids = listed.target_ids.unwrap();
        assert_eq!(ids.len(), targets);
        let found = client.batch_get_deployment_targets().deployment_id(&id).set_target_ids(Some(ids)).send();
        let found = found.await.unwrap().deployment_targets.unwrap();
        assert_eq!(found.len(), targets);
        let failed = lifecycle(&found[0]).iter().find(|each| each.status() == Some(&LifecycleEventStatus::Failed));
        let failed = failed.unwrap();
        assert_eq!(failed.lifecycle_event_name(), Some(hook));
        let diagnostics = failed.diagnostics().unwrap();
        assert_eq!(diagnostics.message(), Some("The smoke test found 3 of 4 pages"));
        let at = lifecycle(&found[0]).iter().position(|each| each.lifecycle_event_name() == Some(hook)).unwrap();
        assert!(lifecycle(&found[0])[..at].iter().all(|each| each.status() == Some(&LifecycleEventStatus::Succeeded)));
        assert!(
            lifecycle(&found[0])[at + 1..].iter().all(|each| each.status() == Some(&LifecycleEventStatus::Skipped))
        );
        if let Some(target) = found[0].ecs_target() {
            assert_eq!((target.target_id(), target.status()), (Some("shop:web"), Some(&TargetStatus::Failed)));
        }
    }
}

#[tokio::test]
async fn what_fails_is_rolled_back_by_a_deployment_of_its_own() {
    let (stage, client) = set(ecs().rolls_back()).await;
    let good = created(&client).await;
    stage.settle();
    stage.engines(|engines| {
        engines.behave_next(&place(), Fate::fails(60, "Install", "ECS_UPDATE_ERROR", "The task stopped"));
    });
    let bad = create(&client).revision(s3(BundleType::Yaml)).send().await.unwrap().deployment_id.unwrap();
    let mut events = stage.settle();
    let info = get(&client, &bad).await;
    assert_eq!(info.status(), Some(&DeploymentStatus::Failed));
    let rollback = info.rollback_info().unwrap();
    let rollback = rollback.rollback_deployment_id().unwrap().to_owned();
    assert!(rollback != bad && rollback != good);
    let info = get(&client, &rollback).await;
    assert_eq!(info.rollback_info().unwrap().rollback_triggering_deployment_id(), Some(bad.as_str()));
    assert_eq!(info.creator(), Some(&DeploymentCreator::CodeDeployRollback));
    assert_eq!(info.status(), Some(&DeploymentStatus::Succeeded));
    assert_eq!(info.revision(), Some(&appspec()), "what succeeded last");
    events.retain(|event| event["detail-type"] == "CodeDeploy Deployment State-change Notification");
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["detail"]["deploymentId"].clone(), event["detail"]["state"].clone()))
        .collect();
    let told: Vec<(&str, &str)> =
        told.iter().map(|(id, state)| (id.as_str().unwrap(), state.as_str().unwrap())).collect();
    let expected = [(bad.as_str(), "START"), (&bad, "FAILURE"), (rollback.as_str(), "START"), (&rollback, "SUCCESS")];
    assert_eq!(told, expected);
    // The rollback is the group's last success, of another revision than was asked for.
    let group =
        client.get_deployment_group().application_name("shop").deployment_group_name(GROUP).send().await.unwrap();
    let group = group.deployment_group_info.unwrap();
    assert_eq!(group.last_successful_deployment().unwrap().deployment_id(), Some(rollback.as_str()));
    assert_eq!(group.target_revision(), Some(&appspec()));
}

#[tokio::test]
async fn without_a_revision_before_there_is_nothing_to_roll_back_to() {
    let group = Group { deployed: None, ..ecs().rolls_back() };
    let (stage, client) = set(group).await;
    stage.engines(|engines| engines.behave(&place(), Fate::fails(60, "Install", "ECS_UPDATE_ERROR", "no")));
    let id = created(&client).await;
    stage.settle();
    let info = get(&client, &id).await;
    let rollback = info.rollback_info().unwrap();
    assert_eq!(rollback.rollback_deployment_id(), None);
    assert!(rollback.rollback_message().unwrap().contains("No revision was deployed"));
    assert_eq!(stage.engines(|engines| engines.codedeploy.deployments().len()), 1);
    // A deployment may do without what its group does.
    let off = AutoRollbackConfiguration::builder().enabled(false).build();
    let id = create(&client).auto_rollback_configuration(off).send().await.unwrap().deployment_id.unwrap();
    stage.settle();
    assert_eq!(get(&client, &id).await.rollback_info(), None);
}

#[tokio::test]
async fn a_deployment_is_stopped_with_a_rollback_or_without() {
    for rolls_back in [false, true] {
        let (stage, client) = set(ecs()).await;
        stage.engines(|engines| engines.behave(&place(), Fate::NeverEnds));
        let id = created(&client).await;
        stage.settle();
        stage.pass(3_000);
        assert_eq!(get(&client, &id).await.status(), Some(&DeploymentStatus::InProgress));
        let stop = || client.stop_deployment().deployment_id(&id).auto_rollback_enabled(rolls_back).send();
        assert_eq!(stop().await.unwrap().status(), Some(&StopStatus::Pending));
        assert_eq!(get(&client, &id).await.status(), Some(&DeploymentStatus::InProgress), "it takes a while");
        let events = stage.settle();
        let info = get(&client, &id).await;
        assert_eq!(info.status(), Some(&DeploymentStatus::Stopped));
        assert_eq!(info.error_information().unwrap().code(), Some(&ErrorCode::ManualStop));
        assert_eq!(info.rollback_info().is_some(), rolls_back);
        assert_eq!(events.iter().filter(|event| event["detail"]["state"] == "STOP").count(), 1);
        assert_eq!(stage.engines(|engines| engines.codedeploy.deployments().len()), 1 + usize::from(rolls_back));
        assert_eq!(code(stop().await), "DeploymentAlreadyCompletedException");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let (stage, client) = set(ecs()).await;
    stage.engines(|engines| engines.codedeploy.define(&place(), Group::new("fleet", "web", Platform::Server)));
    let server = || client.create_deployment().application_name("fleet").deployment_group_name("web");
    let both = RevisionLocation::builder().revision_type(RevisionLocationType::S3);
    let both = both.set_s3_location(s3(BundleType::Zip).s3_location).set_app_spec_content(appspec().app_spec_content);
    let none = RevisionLocation::builder().revision_type(RevisionLocationType::GitHub).build();
    let empty = AutoRollbackConfiguration::builder().enabled(true).build();
    let table = [
        (create(&client).application_name("nobody"), "ApplicationDoesNotExistException"),
        (create(&client).deployment_group_name("nobody"), "DeploymentGroupDoesNotExistException"),
        (create(&client).set_revision(None), "RevisionRequiredException"),
        (create(&client).revision(both.build()), "InvalidRevisionException"),
        (create(&client).revision(none), "InvalidRevisionException"),
        (create(&client).revision(github()), "InvalidRevisionException"),
        (server().revision(appspec()), "InvalidRevisionException"),
        (server().revision(s3(BundleType::Json)), "InvalidRevisionException"),
        (create(&client).description("d".repeat(101)), "DescriptionTooLongException"),
        (create(&client).deployment_config_name("nobodys"), "DeploymentConfigDoesNotExistException"),
        (create(&client).auto_rollback_configuration(empty), "InvalidAutoRollbackConfigException"),
    ];
    for (create, expected) in table {
        assert_eq!(code(create.send().await), expected);
    }
    assert!(stage.engines(|engines| engines.codedeploy.deployments().is_empty()));
    server().revision(github()).send().await.unwrap();
    create(&client).description("d".repeat(100)).revision(s3(BundleType::Zip)).send().await.unwrap();
    assert_eq!(
        code(client.get_deployment().deployment_id("d-NOBODYS00").send().await),
        "DeploymentDoesNotExistException"
    );
    assert_eq!(code(client.get_deployment().deployment_id("nobodys").send().await), "InvalidDeploymentIdException");
    assert_eq!(
        code(client.stop_deployment().deployment_id("d-NOBODYS00").send().await),
        "DeploymentDoesNotExistException"
    );
    let many = (0..26).map(|number| format!("d-NOBODYS{number:02}")).collect();
    let many = client.batch_get_deployments().set_deployment_ids(Some(many)).send().await;
    assert_eq!(code(many), "BatchLimitExceededException");
}

#[tokio::test]
async fn targets_that_are_not_the_deployments_are_refused() {
    let (stage, client) = set(ecs()).await;
    let id = created(&client).await;
    stage.settle();
    let get =
        |ids: Vec<String>| client.batch_get_deployment_targets().deployment_id(&id).set_target_ids(Some(ids)).send();
    assert_eq!(code(get(vec!["shop:other".to_owned()]).await), "DeploymentTargetDoesNotExistException");
    let many = vec!["shop:web".to_owned(); 26];
    assert_eq!(code(get(many).await), "DeploymentTargetListSizeExceededException");
    assert_eq!(get(vec!["shop:web".to_owned()]).await.unwrap().deployment_targets().len(), 1);
}

#[tokio::test]
async fn a_group_tells_what_was_deployed_last() {
    let (stage, client) = set(ecs()).await;
    let get = async || {
        let group = client.get_deployment_group().application_name("shop").deployment_group_name(GROUP);
        group.send().await.unwrap().deployment_group_info.unwrap()
    };
    let before = get().await;
    assert_eq!((before.last_successful_deployment(), before.last_attempted_deployment()), (None, None));
    assert_eq!(before.target_revision().unwrap().revision_type(), Some(&RevisionLocationType::S3));
    let good = created(&client).await;
    stage.settle();
    stage.engines(|engines| engines.behave(&place(), Fate::fails(60, "Install", "ECS_UPDATE_ERROR", "no")));
    let bad = created(&client).await;
    stage.settle();
    let after = get().await;
    assert_eq!(after.last_successful_deployment().unwrap().deployment_id(), Some(good.as_str()));
    assert_eq!(after.last_attempted_deployment().unwrap().deployment_id(), Some(bad.as_str()));
    assert_eq!(after.last_attempted_deployment().unwrap().status(), Some(&DeploymentStatus::Failed));
    assert_eq!(after.target_revision(), Some(&appspec()));
    // What somebody deploys by hand is told as well.
    let body = serde_json::json!({
        "applicationName": "shop", "deploymentGroupName": GROUP,
        "revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": "by hand"}},
    });
    let now = stage.now();
    let made = stage.engines(|engines| engines.by_hand(&place(), ("codedeploy", "CreateDeployment"), &body, now));
    assert_eq!(get().await.last_attempted_deployment().unwrap().deployment_id(), made["deploymentId"].as_str());
}

#[tokio::test]
async fn targets_are_listed_by_their_status() {
    let (stage, client) = set(ecs()).await;
    stage.engines(|engines| engines.behave(&place(), Fate::fails(60, "Install", "ECS_UPDATE_ERROR", "no")));
    let id = created(&client).await;
    stage.settle();
    let list = async |status: TargetStatus| {
        let list = client.list_deployment_targets().deployment_id(&id);
        let list = list.target_filters(TargetFilterName::TargetStatus, vec![status.as_str().to_owned()]);
        list.send().await.unwrap().target_ids.unwrap()
    };
    assert_eq!(list(TargetStatus::Failed).await, ["shop:web"]);
    assert_eq!(list(TargetStatus::Succeeded).await, [""; 0]);
}
