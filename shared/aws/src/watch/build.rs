//! A build project: how it is defined, and its builds.

use std::collections::BTreeMap;

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::types::{Build, EnvironmentVariableType, SortOrderType, StatusType};
use manifold_core::drift::definition::{Normal, is_secret};
use manifold_core::drift::sight::{ExecutionSeen, MOST_EXECUTIONS, PipelineSeen};
use manifold_core::ids::{ProjectName, TargetKey};
use serde_json::Value;

use super::raw::Body;
use super::time;
use crate::failure::{Failure, Kind};

/// What CodeBuild notes about a project, and nobody defines (`Project`).
const NOTED: [&str; 2] = ["created", "lastModified"];
/// What it makes up for a project's webhook (`Webhook`).
const MADE_UP: [&str; 4] = ["url", "payloadUrl", "secret", "lastModifiedSecret"];

/// The project, and its definition.
pub(super) async fn read(
    client: Client,
    name: &ProjectName,
    key: &TargetKey,
) -> Result<(PipelineSeen, Normal), Failure> {
    let body = Body::default();
    let request = client.batch_get_projects().names(name.as_str()).customize().interceptor(body.clone());
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    // "The names of build projects for which information could not be found" are no error.
    let Some(project) = output.projects.unwrap_or_default().into_iter().next() else {
        return Err(Failure {
            kind: Kind::Refused,
            code: "ResourceNotFoundException".to_owned(),
            message: format!("there is no project {name}"),
        });
    };
    let raw =
        body.object("/projects/0").ok_or_else(|| Failure::empty("BatchGetProjects answered without a project"))?;
    let normal = Normal::of(&defined(raw), key);
    let seen = PipelineSeen {
        digest: normal.digest.clone(),
        version: 0,
        updated_at: time(project.last_modified),
        is_parallel: false,
        deploy_stage: String::new(),
        is_released: false,
    };
    Ok((seen, normal))
}

/// The project without what is only noted about it.
fn defined(mut project: Value) -> Value {
    if let Some(fields) = project.as_object_mut() {
        fields.retain(|name, _| !NOTED.contains(&name.as_str()));
    }
    if let Some(webhook) = project.get_mut("webhook").and_then(Value::as_object_mut) {
        webhook.retain(|name, _| !MADE_UP.contains(&name.as_str()));
    }
    project
}

/// The newest builds, newest first, with their environment variables if they are asked for.
pub(super) async fn executions(
    client: Client,
    name: &ProjectName,
    key: &TargetKey,
    variables: bool,
) -> Result<Vec<ExecutionSeen>, Failure> {
    let request = client.list_builds_for_project().project_name(name.as_str()).sort_order(SortOrderType::Descending);
    let listed = request.send().await.map_err(|error| Failure::of(&error))?;
    let ids: Vec<String> = listed.ids.unwrap_or_default().into_iter().take(MOST_EXECUTIONS).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let request = client.batch_get_builds().set_ids(Some(ids));
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    let builds = output.builds.unwrap_or_default();
    let mut seen: Vec<ExecutionSeen> = builds.iter().filter_map(|build| execution(build, key, variables)).collect();
    seen.sort_by_key(|execution| std::cmp::Reverse(execution.started_at));
    Ok(seen)
}

fn execution(build: &Build, key: &TargetKey, variables: bool) -> Option<ExecutionSeen> {
    let status = match build.build_status.as_ref()? {
        StatusType::InProgress => "InProgress",
        StatusType::Succeeded => "Succeeded",
        StatusType::Failed | StatusType::Fault | StatusType::TimedOut => "Failed",
        StatusType::Stopped => "Stopped",
        other => other.as_str(),
    };
    let revision = build.resolved_source_version.clone();
    Some(ExecutionSeen {
        id: build.id.as_deref()?.parse().ok()?,
        status: status.to_owned(),
        revisions: revision.into_iter().map(|revision| ("source".to_owned(), revision)).collect(),
        variables: if variables { environment(build) } else { BTreeMap::new() },
        trigger: None,
        started_by: build.initiator.as_deref().map(|initiator| initiated(initiator, key)),
        is_rollback: false,
        stopped: None,
        started_at: time(build.start_time),
        updated_at: time(build.end_time.or(build.start_time)),
    })
}

/// The environment variables of a build in plain text, but for those that may be secrets all the same.
fn environment(build: &Build) -> BTreeMap<String, String> {
    let all = build.environment.iter().flat_map(|environment| environment.environment_variables());
    let plain = all.filter(|variable| {
        let kind = variable.r#type.as_ref().unwrap_or(&EnvironmentVariableType::Plaintext);
        *kind == EnvironmentVariableType::Plaintext && !is_secret(&variable.name)
    });
    plain.map(|variable| (variable.name.clone(), variable.value.clone())).collect()
}

/// Who started a build: a role session is told as `role/session` (`Build`, `initiator`), which its ARN ends in.
fn initiated(initiator: &str, key: &TargetKey) -> String {
    match initiator.contains('/') && !initiator.starts_with("codepipeline/") {
        true => format!("arn:{}:sts::{}:assumed-role/{initiator}", key.region.partition().as_str(), key.account),
        false => initiator.to_owned(),
    }
}
