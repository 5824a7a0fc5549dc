//! A pipeline's executions, and how it stands.

use std::collections::BTreeMap;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{
    ActionExecutionStatus, ActionState, ExecutionType, PipelineExecutionFilter, PipelineExecutionSummary, StageState,
    SucceededInStageFilter,
};
use manifold_core::drift::sight::{DisabledTransition, ExecutionSeen, MOST_EXECUTIONS, PendingApproval, StateSeen};
use manifold_core::ids::{ExecutionId, PipelineName};

use super::time;
use crate::failure::Failure;

/// How many of the newest executions are read: one page.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "it is 20")]
pub(super) const NEWEST: i32 = MOST_EXECUTIONS as i32;

/// The newest executions, newest first; of those that succeeded in a stage, if one is given.
pub(super) async fn executions(
    client: Client,
    name: &PipelineName,
    succeeded_in: Option<&str>,
    most: i32,
) -> Result<Vec<ExecutionSeen>, Failure> {
    let filter = succeeded_in.map(|stage| {
        let stage = SucceededInStageFilter::builder().stage_name(stage).build();
        PipelineExecutionFilter::builder().succeeded_in_stage(stage).build()
    });
    let request = client.list_pipeline_executions().pipeline_name(name.as_str()).max_results(most).set_filter(filter);
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    Ok(output.pipeline_execution_summaries.unwrap_or_default().iter().filter_map(execution).collect())
}

/// An execution as it is listed; the list always has its id and its status.
fn execution(summary: &PipelineExecutionSummary) -> Option<ExecutionSeen> {
    let trigger = summary.trigger.as_ref();
    let revisions = summary.source_revisions().iter();
    Some(ExecutionSeen {
        id: summary.pipeline_execution_id.as_deref()?.parse().ok()?,
        status: summary.status.as_ref()?.as_str().to_owned(),
        revisions: revisions
            .filter_map(|revision| Some((revision.action_name.clone(), revision.revision_id.clone()?)))
            .collect(),
        variables: BTreeMap::new(),
        trigger: trigger.and_then(|trigger| Some(trigger.trigger_type.as_ref()?.as_str().to_owned())),
        started_by: trigger.and_then(|trigger| trigger.trigger_detail.clone()),
        is_rollback: summary.execution_type == Some(ExecutionType::Rollback),
        stopped: summary.stop_trigger.as_ref().map(|trigger| trigger.reason.clone().unwrap_or_default()),
        started_at: time(summary.start_time),
        updated_at: time(summary.last_update_time),
    })
}

/// The variables of an execution, as they were resolved.
pub(super) async fn variables(
    client: Client,
    name: &PipelineName,
    execution: &ExecutionId,
) -> Result<BTreeMap<String, String>, Failure> {
    let request =
        client.get_pipeline_execution().pipeline_name(name.as_str()).pipeline_execution_id(execution.as_str());
    let output = request.send().await.map_err(|error| Failure::of(&error))?;
    let found = output
        .pipeline_execution
        .ok_or_else(|| Failure::empty("GetPipelineExecution answered without an execution"))?;
    let variables = found.variables.unwrap_or_default().into_iter();
    Ok(variables.filter_map(|variable| Some((variable.name?, variable.resolved_value?))).collect())
}

/// Disabled transitions, and approvals that wait.
pub(super) async fn state(client: Client, name: &PipelineName) -> Result<StateSeen, Failure> {
    let output = client.get_pipeline_state().name(name.as_str()).send().await.map_err(|error| Failure::of(&error))?;
    let stages = output.stage_states();
    Ok(StateSeen {
        disabled: stages.iter().filter_map(disabled).collect(),
        approvals: stages.iter().flat_map(approvals).collect(),
        has_none: stages.is_empty(),
    })
}

fn disabled(stage: &StageState) -> Option<DisabledTransition> {
    let transition = stage.inbound_transition_state.as_ref().filter(|transition| !transition.enabled)?;
    Some(DisabledTransition {
        stage: stage.stage_name.clone()?,
        reason: transition.disabled_reason.clone(),
        by: transition.last_changed_by.clone(),
        at: time(transition.last_changed_at),
    })
}

fn approvals(stage: &StageState) -> impl Iterator<Item = PendingApproval> + '_ {
    stage.action_states().iter().filter_map(|action| approval(stage, action))
}

/// "The system-generated token used to identify a unique approval request" (`ActionExecution`, `token`): only an approval
/// has one.
fn approval(stage: &StageState, action: &ActionState) -> Option<PendingApproval> {
    let latest = action.latest_execution.as_ref()?;
    let waits = latest.token.is_some() && latest.status == Some(ActionExecutionStatus::InProgress);
    waits.then(|| PendingApproval {
        stage: stage.stage_name.clone().unwrap_or_default(),
        action: action.action_name.clone().unwrap_or_default(),
        since: time(latest.last_status_change),
    })
}
