//! Release pipelines in the hub account.
//!
//! `GetPipelineExecution` tells the revisions of *that* execution, but by the name of the artifact, and no author.
//! `ListActionExecutions` of the same execution tells which source action made which artifact and, in the action's
//! configuration and output variables, the repository, the branch, the author and the author's date; and of every action
//! when it ran. Where the second call is not allowed, an artifact's name stands for its action's, and no stage is told.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{
    ActionCategory, ActionExecutionDetail, ActionExecutionFilter, ActionExecutionStatus, ArtifactRevision,
};
use manifold_core::ids::{ExecutionRef, PipelineName};
use manifold_core::release::{Revision, Stage, Trigger};
use manifold_core::time::Timestamp;
use manifold_ports::releases::{Details, ReleaseError, Releases};
use serde::Deserialize;

use crate::clients::Clients;
use crate::failure::Failure;

/// Reads release pipelines with the hub's own credentials.
#[derive(Debug, Clone)]
pub struct CodePipelineReleases {
    pub(crate) clients: Clients,
}

impl CodePipelineReleases {
    /// With clients for any Region.
    #[must_use]
    pub fn new(clients: Clients) -> Self {
        Self { clients }
    }
}

impl Releases for CodePipelineReleases {
    async fn describe(&self, pipeline: &PipelineName, source: &ExecutionRef) -> Result<Details, ReleaseError> {
        let client = self.clients.codepipeline(&source.target.region);
        let request =
            client.get_pipeline_execution().pipeline_name(pipeline.as_str()).pipeline_execution_id(source.id.as_str());
        let output = Box::pin(request.send()).await.map_err(|error| failed(&Failure::of(&error)))?;
        let execution = output
            .pipeline_execution
            .ok_or_else(|| ReleaseError::Unavailable("CodePipeline answered without an execution".to_owned()))?;
        let trigger = execution.trigger.map_or_else(Trigger::default, |trigger| Trigger {
            kind: trigger.trigger_type.map(|kind| kind.as_str().to_owned()),
            detail: trigger.trigger_detail,
        });
        let artifacts = execution.artifact_revisions.unwrap_or_default();
        if artifacts.is_empty() {
            return Ok(Details { trigger, ..Details::default() });
        }
        let actions = match Box::pin(all_actions(&client, pipeline, source)).await {
            Ok(actions) => actions,
            Err(failure) if failure.is_passing() => return Err(failed(&failure)),
            Err(failure) => {
                tracing::warn!(pipeline = %pipeline, error = %failure.words(), "actions can't be read");
                Vec::new()
            }
        };
        let stages = stages(&actions);
        let sources: Vec<ActionExecutionDetail> = actions.into_iter().filter(is_source).collect();
        let revisions = artifacts.into_iter().filter_map(|artifact| revision(artifact, &sources)).collect();
        Ok(Details { revisions, trigger, stages })
    }
}

async fn all_actions(
    client: &Client,
    pipeline: &PipelineName,
    source: &ExecutionRef,
) -> Result<Vec<ActionExecutionDetail>, Failure> {
    let mut pages = client
        .list_action_executions()
        .pipeline_name(pipeline.as_str())
        .filter(ActionExecutionFilter::builder().pipeline_execution_id(source.id.as_str()).build())
        .max_results(100)
        .into_paginator()
        .send();
    let mut actions = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Failure::of(&error))?.action_execution_details.unwrap_or_default();
        actions.extend(page);
    }
    Ok(actions)
}

/// The stages whose actions have all ended, by when they began. An action that was tried again counts from its first try.
fn stages(actions: &[ActionExecutionDetail]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut unfinished: BTreeSet<&str> = BTreeSet::new();
    for action in actions {
        let Some(name) = action.stage_name.as_deref() else { continue };
        let has_ended = action.status.as_ref().is_some_and(|status| *status != ActionExecutionStatus::InProgress);
        let times = time(action.start_time).zip(time(action.last_update_time)).filter(|_| has_ended);
        let Some((began, ended)) = times else {
            unfinished.insert(name);
            continue;
        };
        match stages.iter_mut().find(|stage| stage.name == name) {
            Some(stage) => (stage.began, stage.ended) = (stage.began.min(began), stage.ended.max(ended)),
            None => stages.push(Stage { name: name.to_owned(), began, ended }),
        }
    }
    stages.retain(|stage| !unfinished.contains(stage.name.as_str()));
    stages.sort_by_key(|stage| stage.began);
    stages
}

fn time(at: Option<DateTime>) -> Option<Timestamp> {
    at.and_then(|at| at.to_millis().ok()).map(Timestamp::from_millis)
}

fn is_source(action: &ActionExecutionDetail) -> bool {
    let kind = action.input.as_ref().and_then(|input| input.action_type_id.as_ref());
    kind.is_some_and(|kind| kind.category == ActionCategory::Source)
}

/// An artifact without a revision, such as one that a build made, is none of a source.
fn revision(artifact: ArtifactRevision, actions: &[ActionExecutionDetail]) -> Option<Revision> {
    let id = artifact.revision_id.filter(|id| !id.is_empty())?;
    let name = artifact.name.unwrap_or_default();
    let action = actions.iter().find(|action| makes(action, &name));
    let told = action.map(Told::by).unwrap_or_default();
    Some(Revision {
        action: action.and_then(|action| action.action_name.clone()).unwrap_or(name),
        message: artifact.revision_summary.and_then(message).or_else(|| told.first(&["CommitMessage"])),
        url: artifact.revision_url,
        author: told.first(&["AuthorDisplayName", "AuthorId", "AuthorEmail"]),
        repository: told.first(&["FullRepositoryName", "FullRepositoryId", "RepositoryName"]),
        reference: told.first(&["BranchName", "TagName"]),
        authored_at: told.first(&["AuthorDate"]).and_then(|at| Timestamp::parse_rfc3339(&at)),
        id,
    })
}

fn makes(action: &ActionExecutionDetail, artifact: &str) -> bool {
    action.output.as_ref().is_some_and(|output| {
        output.output_artifacts().iter().any(|made| made.name.as_deref().is_some_and(|name| name == artifact))
    })
}

/// What a source action tells by name: its output variables ("Variables", action reference of each source), then its
/// configuration.
#[derive(Default)]
struct Told<'a> {
    variables: Option<&'a HashMap<String, String>>,
    configuration: Option<&'a HashMap<String, String>>,
}

impl<'a> Told<'a> {
    fn by(action: &'a ActionExecutionDetail) -> Self {
        let input = action.input.as_ref();
        Self {
            variables: action.output.as_ref().and_then(|output| output.output_variables.as_ref()),
            configuration: input.and_then(|input| input.resolved_configuration().or_else(|| input.configuration())),
        }
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        names
            .iter()
            .flat_map(|name| {
                [self.variables, self.configuration].into_iter().flatten().filter_map(|map| map.get(*name))
            })
            .find(|value| !value.is_empty())
            .cloned()
    }
}

/// The commit's message. Connections to Git providers put it into JSON:
/// `{"ProviderType":"GitHub","CommitMessage":"…"}`.
fn message(summary: String) -> Option<String> {
    #[derive(Deserialize)]
    struct Connection {
        #[serde(rename = "CommitMessage")]
        message: String,
    }
    let message = match serde_json::from_str::<Connection>(&summary) {
        Ok(connection) => connection.message,
        Err(_) => summary,
    };
    (!message.is_empty()).then_some(message)
}

pub(crate) fn failed(failure: &Failure) -> ReleaseError {
    if failure.is_passing() {
        ReleaseError::Unavailable(failure.words())
    } else {
        ReleaseError::Refused(failure.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_summary_is_unwrapped_and_any_other_is_kept() {
        let table = [
            (r#"{"ProviderType":"GitHub","CommitMessage":"Fix the \"thing\""}"#, Some("Fix the \"thing\"")),
            ("Amazon S3 version id: abc", Some("Amazon S3 version id: abc")),
            (r#"{"other":"json"}"#, Some(r#"{"other":"json"}"#)),
            ("{not json", Some("{not json")),
            (r#"{"CommitMessage":""}"#, None),
            ("", None),
        ];
        for (summary, expected) in table {
            assert_eq!(message(summary.to_owned()).as_deref(), expected, "{summary}");
        }
    }
}
