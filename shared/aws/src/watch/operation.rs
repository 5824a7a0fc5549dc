//! A stack that is deployed to: its template, and the operations on it.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{StackEvent, TemplateStage};
use manifold_core::drift::definition::Normal;
use manifold_core::drift::sight::{ExecutionSeen, MOST_EXECUTIONS, PipelineSeen};
use manifold_core::event::{PipelineState, StackStatus};
use manifold_core::ids::{ExecutionId, RunId, StackName, TargetKey};
use serde_json::Value;

use super::time;
use crate::failure::Failure;

/// Events of resources come between those of the stack, 500 resources at most ("CloudFormation quotas"): so many pages are
/// read to find its last operations.
const MOST_PAGES: usize = 10;

/// The stack, and its template as it was given. One whose template is YAML is compared as a whole.
pub(super) async fn read(client: Client, name: &StackName, key: &TargetKey) -> Result<(PipelineSeen, Normal), Failure> {
    let request = client.get_template().stack_name(name.as_str()).template_stage(TemplateStage::Original);
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    let text = output.template_body.ok_or_else(|| Failure::empty("GetTemplate answered without a template"))?;
    let template: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let normal = Normal::of(&template, key);
    let seen = PipelineSeen {
        digest: normal.digest.clone(),
        version: 0,
        updated_at: None,
        is_parallel: false,
        deploy_stage: String::new(),
        is_released: true,
    };
    Ok((seen, normal))
}

/// The newest operations on a stack, newest first.
pub(super) async fn executions(
    client: Client,
    name: &StackName,
    key: &TargetKey,
) -> Result<Vec<ExecutionSeen>, Failure> {
    let mut pages = client.describe_stack_events().stack_name(name.as_str()).into_paginator().send();
    let mut operations = Operations { key, found: Vec::new(), is_open: false };
    for _ in 0..MOST_PAGES {
        let Some(page) = pages.next().await else { break };
        let page = page.map_err(|error| Failure::of(&error))?;
        page.stack_events().iter().filter(|event| is_own(event)).for_each(|event| operations.take(event));
        if operations.found.len() > MOST_EXECUTIONS {
            break;
        }
    }
    operations.found.truncate(MOST_EXECUTIONS);
    Ok(operations.found)
}

/// Whether an event is the stack's and not one of its resources': it is its own resource.
fn is_own(event: &StackEvent) -> bool {
    event.physical_resource_id.is_some() && event.physical_resource_id == event.stack_id
}

/// The operations that a stack's own events tell of, which come newest first.
struct Operations<'a> {
    key: &'a TargetKey,
    found: Vec<ExecutionSeen>,
    /// Whether the beginning of the last one is still to come.
    is_open: bool,
}

impl Operations<'_> {
    fn take(&mut self, event: &StackEvent) {
        let Some(status) = event.resource_status.as_ref().map(|status| StackStatus::from(status.as_str())) else {
            return;
        };
        // A change set in review is no operation.
        let Some(state) = status.execution() else { return };
        // All events of an operation repeat its token. One that has none is known by its last event.
        let token = event.client_request_token.as_deref();
        let Some(id) = token.or(event.event_id.as_deref()).and_then(|id| id.parse::<ExecutionId>().ok()) else {
            return;
        };
        let is_same = self.is_open && (token.is_none() || self.found.last().is_some_and(|last| last.id == id));
        let at = time(event.timestamp);
        match self.found.last_mut().filter(|_| is_same) {
            Some(last) => last.started_at = at,
            None => {
                let ours = RunId::from_attempt_token(id.as_str(), self.key).is_some();
                self.found.push(ExecutionSeen {
                    status: spelled(&state),
                    revisions: BTreeMap::new(),
                    variables: BTreeMap::new(),
                    trigger: None,
                    started_by: ours.then(|| id.to_string()),
                    is_rollback: false,
                    stopped: None,
                    started_at: at,
                    updated_at: at,
                    id,
                });
            }
        }
        self.is_open = !is_beginning(&status);
    }
}

/// Whether an operation begins with a status: what is rolled back or cleaned up began before.
fn is_beginning(status: &StackStatus) -> bool {
    [
        StackStatus::CreateInProgress,
        StackStatus::UpdateInProgress,
        StackStatus::ImportInProgress,
        StackStatus::DeleteInProgress,
    ]
    .contains(status)
}

fn spelled(state: &PipelineState) -> String {
    match state {
        PipelineState::Started | PipelineState::Resumed => "InProgress",
        PipelineState::Stopping => "Stopping",
        PipelineState::Succeeded => "Succeeded",
        PipelineState::Failed => "Failed",
        PipelineState::Stopped => "Stopped",
        PipelineState::Canceled => "Cancelled",
        PipelineState::Superseded => "Superseded",
        PipelineState::Unknown(text) => text,
    }
    .to_owned()
}
