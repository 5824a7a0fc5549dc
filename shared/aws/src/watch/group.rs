//! A deployment group: how it is defined, and its deployments.

use std::collections::BTreeMap;

use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::types::{DeploymentInfo, DeploymentStatus, RevisionLocation};
use manifold_core::drift::definition::Normal;
use manifold_core::drift::sight::{ExecutionSeen, MOST_EXECUTIONS, PipelineSeen};
use manifold_core::engine::GroupName;
use manifold_core::ids::{RunId, TargetKey};
use serde_json::Value;

use super::raw::Body;
use super::time;
use crate::failure::Failure;

/// What CodeDeploy notes about a group, and nobody defines (`DeploymentGroupInfo`).
const NOTED: [&str; 4] = ["deploymentGroupId", "targetRevision", "lastSuccessfulDeployment", "lastAttemptedDeployment"];

/// A deployment group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// As it is defined.
    pub(super) seen: PipelineSeen,
    /// The same, in full.
    pub(super) normal: Normal,
    /// The deployment that succeeded last.
    pub(super) deployed: Option<String>,
}

/// The group, and its definition.
pub(super) async fn read(client: Client, name: &GroupName, key: &TargetKey) -> Result<Group, Failure> {
    let body = Body::default();
    let request =
        client.get_deployment_group().application_name(name.application()).deployment_group_name(name.group());
    let output = request.customize().interceptor(body.clone()).send().await.map_err(|error| Failure::of(&error))?;
    let group = output.deployment_group_info;
    let group = group.ok_or_else(|| Failure::empty("GetDeploymentGroup answered without a deployment group"))?;
    let raw = body.object("/deploymentGroupInfo");
    let raw = raw.ok_or_else(|| Failure::empty("GetDeploymentGroup answered without a definition"))?;
    let normal = Normal::of(&defined(raw), key);
    let seen = PipelineSeen {
        digest: normal.digest.clone(),
        version: 0,
        updated_at: None,
        is_parallel: false,
        deploy_stage: String::new(),
        is_released: false,
    };
    Ok(Group { seen, normal, deployed: group.last_successful_deployment.and_then(|last| last.deployment_id) })
}

/// The group without what is only noted about it. Where each deployment copies the Auto Scaling group, which one it is now is
/// nobody's definition ("Integrating CodeDeploy with Amazon EC2 Auto Scaling").
fn defined(mut group: Value) -> Value {
    let provisioning = group.pointer("/blueGreenDeploymentConfiguration/greenFleetProvisioningOption/action");
    let copies = provisioning.is_some_and(|action| action == "COPY_AUTO_SCALING_GROUP");
    if let Some(fields) = group.as_object_mut() {
        let is_noted = |name: &str| NOTED.contains(&name) || (copies && name == "autoScalingGroups");
        fields.retain(|name, _| !is_noted(name));
    }
    group
}

/// The newest deployments, newest first, and the one that succeeded last wherever it stands.
pub(super) async fn executions(
    client: Client,
    name: &GroupName,
    key: &TargetKey,
    deployed: Option<&str>,
) -> Result<Vec<ExecutionSeen>, Failure> {
    let request = client.list_deployments().application_name(name.application()).deployment_group_name(name.group());
    let listed = request.send().await.map_err(|error| Failure::of(&error))?;
    let mut ids: Vec<String> = listed.deployments.unwrap_or_default().into_iter().take(MOST_EXECUTIONS).collect();
    ids.extend(deployed.filter(|deployed| !ids.iter().any(|id| id == deployed)).map(str::to_owned));
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let request = client.batch_get_deployments().set_deployment_ids(Some(ids));
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    let deployments = output.deployments_info.unwrap_or_default();
    let mut seen: Vec<ExecutionSeen> = deployments.iter().filter_map(|info| execution(info, key)).collect();
    seen.sort_by_key(|execution| std::cmp::Reverse(execution.started_at));
    Ok(seen)
}

fn execution(info: &DeploymentInfo, key: &TargetKey) -> Option<ExecutionSeen> {
    let status = match info.status.as_ref()? {
        DeploymentStatus::Created
        | DeploymentStatus::Queued
        | DeploymentStatus::InProgress
        | DeploymentStatus::Baking
        | DeploymentStatus::Ready => "InProgress",
        DeploymentStatus::Succeeded => "Succeeded",
        DeploymentStatus::Failed => "Failed",
        DeploymentStatus::Stopped => "Stopped",
        other => other.as_str(),
    };
    // CodeDeploy tells no session: a rollout writes its attempt's token into the description.
    let words =
        info.description.as_deref().unwrap_or_default().split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let ours = words.into_iter().find(|word| RunId::from_attempt_token(word, key).is_some());
    let triggered_by =
        info.rollback_info.as_ref().and_then(|rollback| rollback.rollback_triggering_deployment_id.as_ref());
    Some(ExecutionSeen {
        id: info.deployment_id.as_deref()?.parse().ok()?,
        status: status.to_owned(),
        revisions: info
            .revision
            .as_ref()
            .and_then(revision)
            .into_iter()
            .map(|id| ("revision".to_owned(), id))
            .collect(),
        variables: BTreeMap::new(),
        trigger: info.creator.as_ref().map(|creator| creator.as_str().to_owned()),
        started_by: ours.map(str::to_owned),
        is_rollback: triggered_by.is_some(),
        stopped: None,
        started_at: time(info.create_time),
        updated_at: time(info.complete_time.or(info.start_time).or(info.create_time)),
    })
}

/// What was deployed, in a word: a commit, an object, or the digest of an AppSpec.
fn revision(revision: &RevisionLocation) -> Option<String> {
    let object = revision.s3_location.as_ref().and_then(|object| {
        let version = object.version.as_deref().map(|version| format!("?versionId={version}")).unwrap_or_default();
        Some(format!("s3://{}/{}{version}", object.bucket.as_deref()?, object.key.as_deref()?))
    });
    let commit = revision.git_hub_location.as_ref().and_then(|commit| commit.commit_id.clone());
    #[expect(deprecated, reason = "groups of Lambda functions are deployed with it still")]
    let text = revision.string.as_ref().and_then(|text| text.sha256.clone());
    let content = revision.app_spec_content.as_ref().and_then(|content| content.sha256.clone());
    object.or(commit).or(content).or(text)
}
