//! Revisions of deployments, and what takes them back.

use manifold_core::engine::{DeploymentRevision, DeploymentWork, OnStop, Service, Work};
use manifold_core::event::PipelineState;
use manifold_core::time::Span;
use manifold_tests::wire::engines::Fate;
use manifold_tests::wire::engines::codedeploy::{Deployment, Platform};
use serde_json::json;

use crate::stage::{Stage, ours, place};
use crate::table::{deployment, group, row};

async fn set(work: DeploymentWork, platform: Platform) -> Stage {
    let mut stage = Stage::set(row(Service::CodeDeploy)).await;
    stage.planned.work = Some(Work::Deployment(Box::new(work)));
    stage.standin.engines(|engines| engines.codedeploy.define(&place(), group(platform)));
    stage
}

fn deployments(stage: &Stage) -> Vec<Deployment> {
    stage.standin.engines(|engines| engines.codedeploy.deployments().to_vec())
}

#[tokio::test]
async fn each_platform_gets_the_revision_that_it_takes() {
    let object = |key: &str| DeploymentRevision::S3(format!("s3://artifacts/shop/{key}").parse().unwrap());
    let commit = "8cf40f2b1c6d4e5f8a9b0c1d2e3f4a5b6c7d8e9f";
    let github = DeploymentRevision::GitHub { repository: "example-org/shop".to_owned(), commit: commit.to_owned() };
    let spec = DeploymentRevision::AppSpec("version: 0.0".to_owned());
    let bundle =
        |key: &str, kind: &str| json!({"bucket": "artifacts", "key": format!("shop/{key}"), "bundleType": kind});
    for (platform, revision, member, expected) in [
        (Platform::Server, object("8cf.tar.gz"), "s3Location", bundle("8cf.tar.gz", "tgz")),
        (Platform::Server, github, "gitHubLocation", json!({"repository": "example-org/shop", "commitId": commit})),
        (Platform::Lambda, object("8cf.yml"), "s3Location", bundle("8cf.yml", "YAML")),
        (Platform::Lambda, spec.clone(), "appSpecContent", json!("version: 0.0")),
        (Platform::Ecs, spec, "appSpecContent", json!("version: 0.0")),
    ] {
        let mut stage = set(DeploymentWork { revision, config: None, ..deployment() }, platform).await;
        let execution = stage.begin(&ours()).await;
        stage.settle();
        assert_eq!(stage.state(&execution).await, PipelineState::Succeeded);
        let revision = deployments(&stage)[0].revision.clone();
        let given = if member == "appSpecContent" { &revision[member]["content"] } else { &revision[member] };
        assert_eq!(*given, expected, "{revision}");
    }
}

#[tokio::test]
async fn stopping_takes_back_what_it_changed_only_if_it_should() {
    for (on_stop, made) in [(OnStop::Leave, 1), (OnStop::RollBack, 2)] {
        let mut stage = set(DeploymentWork { on_stop, ..deployment() }, Platform::Ecs).await;
        stage.behave(Fate::succeeds(600));
        let execution = stage.begin(&ours()).await;
        stage.pass(Span::from_seconds(90));
        stage.stop(&execution).await.unwrap();
        stage.settle();
        assert_eq!(deployments(&stage).len(), made, "{on_stop:?}");
        assert_eq!(stage.state(&execution).await, PipelineState::Stopped, "{on_stop:?}");
        // The deployment that takes it back is nobody's.
        assert_eq!(stage.find(&ours(), std::slice::from_ref(&execution)).await, Ok(None), "{on_stop:?}");
        assert_eq!(stage.find(&ours(), &[]).await, Ok(Some(execution)), "{on_stop:?}");
    }
}

#[tokio::test]
async fn a_failure_that_was_taken_back_is_a_failure() {
    let revision = DeploymentRevision::S3("s3://artifacts/shop/8cf.zip".parse().unwrap());
    let work = DeploymentWork { revision, config: None, auto_rollback: Some(true), ..deployment() };
    let mut stage = set(work, Platform::Server).await;
    stage.behave(Fate::fails(60, "ValidateService", "HEALTH_CONSTRAINTS", "Too few instances are healthy"));
    let execution = stage.begin(&ours()).await;
    stage.settle();
    let made = deployments(&stage);
    assert_eq!((made.len(), made[1].status), (2, "Succeeded"), "{made:#?}");
    assert_eq!(stage.state(&execution).await, PipelineState::Failed);
    assert_eq!(stage.told_state(&execution).unwrap().0, PipelineState::Failed);
    let reason = stage.explain(&execution).await.unwrap();
    assert_eq!(reason.cause, "HEALTH_CONSTRAINTS in lifecycle event ValidateService");
    let others: Vec<_> = stage.told.iter().filter(|told| told.execution != execution).collect();
    assert!(!others.is_empty() && others.iter().all(|told| told.execution.as_str() == made[1].id), "{others:#?}");
    assert_eq!(stage.find(&ours(), &[execution]).await, Ok(None));
}
