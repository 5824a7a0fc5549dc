//! CodePipeline: a pipeline's execution.
//!
//! The attempt's token is `clientRequestToken`. CodePipeline does not say for how long it remembers one.

use std::ops::ControlFlow;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{
    ActionExecutionDetail, ActionExecutionFilter, ActionExecutionStatus, PipelineExecutionSummary, PipelineVariable,
    SourceRevisionOverride, SourceRevisionType,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use manifold_core::engine::Subject;
use manifold_core::event::PipelineState;
use manifold_core::ids::{ExecutionId, RunId};
use manifold_core::plan::{PlannedTarget, RevisionKind};
use manifold_core::run::{Reason, ReasonSource, Refusal, Standing};
use manifold_core::time::Timestamp;
use manifold_ports::engine::{Order, Start};

use super::{Answer, Call, Dialect, MOST_PAGES, Spoken, Trouble, execution_id, timestamp};
use crate::failure::{Failure, Kind};

const START: &str = "StartPipelineExecution";
const LIST: &str = "ListPipelineExecutions";
const ACTIONS: &str = "ListActionExecutions";
const STOP: &str = "StopPipelineExecution";
/// "The maximum number of results to return in a single call" is 100 (`ListPipelineExecutions`).
const PAGE: i32 = 100;

pub(super) const SPOKEN: Spoken = Spoken {
    with: |clients, region, credentials| Box::new(Pipelines(clients.codepipeline_as(region, credentials))),
    meaning,
};

fn meaning(call: &Call<'_>) -> Option<Refusal> {
    let pipeline = call.planned.subject.name();
    match (call.failure.kind, call.failure.code.as_str()) {
        // "Your request cannot be handled because the pipeline is busy handling ongoing activities. Try again later."
        (Kind::Refused, "ConflictException") => {
            Some(Refusal::Later { reason: call.reason(format!("Pipeline {pipeline} is busy")) })
        }
        (Kind::Refused, "ConcurrentPipelineExecutionsLimitExceededException") => {
            Some(call.busy(format!("Pipeline {pipeline} is at its limit of executions")))
        }
        (Kind::Refused, "PipelineNotFoundException") => Some(call.not_found()),
        (Kind::Throttled | Kind::Unreached | Kind::Refused, _) => None,
    }
}

struct Pipelines(Client);

impl Dialect for Pipelines {
    fn start<'a>(&'a self, order: Order<'a>) -> Answer<'a, Start> {
        async move {
            let Order { run, planned, attempt } = order;
            let request = self
                .0
                .start_pipeline_execution()
                .name(planned.subject.name())
                .client_request_token(run.attempt_token(&planned.key, attempt))
                .set_variables(variables(planned)?)
                .set_source_revisions(source_revisions(planned)?);
            let output = request.send().await.map_err(Trouble::of(START))?;
            execution_id(START, output.pipeline_execution_id.as_deref()).map(Start::Begun)
        }
        .boxed()
    }

    fn find<'a>(
        &'a self,
        order: Order<'a>,
        not_before: Timestamp,
        except: &'a [ExecutionId],
    ) -> Answer<'a, Option<ExecutionId>> {
        async move {
            let mut earliest: Option<(Timestamp, ExecutionId)> = None;
            let look = |execution: &PipelineExecutionSummary| {
                if let Some(candidate) = ours(execution, order.run, not_before)
                    && earliest.as_ref().is_none_or(|known| candidate < *known)
                    && !except.contains(&candidate.1)
                {
                    earliest = Some(candidate);
                }
                ControlFlow::<()>::Continue(())
            };
            executions(&self.0, order, not_before, usize::MAX, look).await?;
            Ok(earliest.map(|(_, execution)| execution))
        }
        .boxed()
    }

    /// One page, or a few where a pipeline has had more than a hundred executions since. `GetPipelineExecution` would find
    /// any, and the target role need not have it.
    fn ask<'a>(
        &'a self,
        order: Order<'a>,
        execution: &'a ExecutionId,
        not_before: Timestamp,
    ) -> Answer<'a, Option<Standing>> {
        async move {
            let look = |found: &PipelineExecutionSummary| match found.pipeline_execution_id.as_deref() {
                Some(id) if id == execution.as_str() => ControlFlow::Break(standing(found)),
                Some(_) | None => ControlFlow::Continue(()),
            };
            Ok(executions(&self.0, order, not_before, MOST_PAGES, look).await?.flatten())
        }
        .boxed()
    }

    /// CodePipeline does not say which attempt of the execution an action belongs to.
    fn explain<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId) -> Answer<'a, Reason> {
        async move {
            let filter = ActionExecutionFilter::builder().pipeline_execution_id(execution.as_str()).build();
            let mut pages = self
                .0
                .list_action_executions()
                .pipeline_name(order.planned.subject.name())
                .filter(filter)
                .max_results(PAGE)
                .into_paginator()
                .send();
            let mut newest: Option<ActionExecutionDetail> = None;
            while let Some(page) = pages.next().await {
                let actions = page.map_err(Trouble::of(ACTIONS))?.action_execution_details;
                let failed = actions
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|action| action.status == Some(ActionExecutionStatus::Failed));
                for action in failed {
                    if newest.as_ref().is_none_or(|known| ended_at(known) < ended_at(&action)) {
                        newest = Some(action);
                    }
                }
            }
            Ok(reason(newest.as_ref()))
        }
        .boxed()
    }

    /// "abandon: false": what runs is finished, nothing more begins. `PipelineExecutionNotStoppableException` says that it has
    /// ended, `DuplicatedStopRequestException` that it is being stopped.
    fn stop<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId, reason: &'a str) -> Answer<'a, ()> {
        async move {
            let request = self
                .0
                .stop_pipeline_execution()
                .pipeline_name(order.planned.subject.name())
                .pipeline_execution_id(execution.as_str())
                .abandon(false)
                .reason(reason);
            match request.send().await.map_err(Trouble::of(STOP)) {
                Ok(_) => Ok(()),
                Err(trouble)
                    if trouble
                        .has_code(&["PipelineExecutionNotStoppableException", "DuplicatedStopRequestException"]) =>
                {
                    Ok(())
                }
                Err(trouble) => Err(trouble),
            }
        }
        .boxed()
    }

    fn look<'a>(&'a self, started: &'a Subject) -> BoxFuture<'a, Result<(), Failure>> {
        let request = self.0.list_pipeline_executions().pipeline_name(started.name()).max_results(1);
        async move { request.send().await.map(|_| ()).map_err(|error| Failure::of(&error)) }.boxed()
    }

    fn look_at_actions<'a>(&'a self, started: &'a Subject) -> BoxFuture<'a, Result<Option<()>, Failure>> {
        let request = self.0.list_action_executions().pipeline_name(started.name()).max_results(1);
        async move { request.send().await.map(|_| Some(())).map_err(|error| Failure::of(&error)) }.boxed()
    }
}

/// Looks at the executions of a target's pipeline, the newest first, until `look` breaks off, those of a page had begun
/// before `not_before`, or so many pages are read.
async fn executions<T>(
    client: &Client,
    order: Order<'_>,
    not_before: Timestamp,
    most_pages: usize,
    look: impl FnMut(&PipelineExecutionSummary) -> ControlFlow<T>,
) -> Result<Option<T>, Trouble> {
    let mut look = look;
    let mut pages = client
        .list_pipeline_executions()
        .pipeline_name(order.planned.subject.name())
        .max_results(PAGE)
        .into_paginator()
        .send();
    for _ in 0..most_pages {
        let Some(page) = pages.next().await else { break };
        let executions = page.map_err(Trouble::of(LIST))?.pipeline_execution_summaries.unwrap_or_default();
        if let ControlFlow::Break(found) = executions.iter().try_for_each(&mut look) {
            return Ok(Some(found));
        }
        // The list begins with the newest.
        if executions.last().and_then(started_at).is_some_and(|at| at < not_before) {
            break;
        }
    }
    Ok(None)
}

/// How an execution stands. The list always has a status; were there none, nothing is known.
fn standing(execution: &PipelineExecutionSummary) -> Option<Standing> {
    let at = execution.last_update_time.or(execution.start_time).and_then(timestamp);
    Some(Standing {
        state: PipelineState::from_api(execution.status.as_ref()?.as_str()),
        at: at?,
        comments: execution.stop_trigger.as_ref().and_then(|trigger| trigger.reason.clone()),
    })
}

fn variables(planned: &PlannedTarget) -> Result<Option<Vec<PipelineVariable>>, Trouble> {
    if planned.variables.is_empty() {
        return Ok(None);
    }
    let variable = |(name, value): (&String, &String)| PipelineVariable::builder().name(name).value(value).build();
    planned.variables.iter().map(variable).collect::<Result<_, _>>().map(Some).map_err(Trouble::unsendable(START))
}

fn source_revisions(planned: &PlannedTarget) -> Result<Option<Vec<SourceRevisionOverride>>, Trouble> {
    let Some(revision) = &planned.source_revision else { return Ok(None) };
    let kind = match revision.kind {
        RevisionKind::CommitId => SourceRevisionType::CommitId,
        RevisionKind::ImageDigest => SourceRevisionType::ImageDigest,
        RevisionKind::S3ObjectVersionId => SourceRevisionType::S3ObjectVersionId,
        RevisionKind::S3ObjectKey => SourceRevisionType::S3ObjectKey,
    };
    SourceRevisionOverride::builder()
        .action_name(&revision.action)
        .revision_type(kind)
        .revision_value(&revision.value)
        .build()
        .map(|revision| Some(vec![revision]))
        .map_err(Trouble::unsendable(START))
}

fn started_at(execution: &PipelineExecutionSummary) -> Option<Timestamp> {
    execution.start_time.and_then(timestamp)
}

/// When and what, if the run started it.
fn ours(execution: &PipelineExecutionSummary, run: &RunId, not_before: Timestamp) -> Option<(Timestamp, ExecutionId)> {
    let at = started_at(execution)?;
    let starter = RunId::from_session_arn(execution.trigger.as_ref()?.trigger_detail.as_deref()?)?;
    let id = execution.pipeline_execution_id.as_deref()?.parse().ok()?;
    (starter == *run && at >= not_before).then_some((at, id))
}

fn ended_at(action: &ActionExecutionDetail) -> Option<Timestamp> {
    action.last_update_time.or(action.start_time).and_then(timestamp)
}

/// Why an execution failed, as told by the action that failed last.
fn reason(action: Option<&ActionExecutionDetail>) -> Reason {
    let engine = |cause, detail, link| Reason { cause, detail, link, source: ReasonSource::Engine, attempt: 0 };
    let Some(action) = action else { return engine("Failed without a failed action".to_owned(), None, None) };
    let result = action.output.as_ref().and_then(|output| output.execution_result.as_ref());
    let error = result.and_then(|result| result.error_details.as_ref());
    let code = error.and_then(|error| error.code.as_deref()).filter(|code| !code.is_empty()).unwrap_or("JobFailed");
    let message = error.and_then(|error| error.message.as_deref()).filter(|message| !message.is_empty());
    let summary = result.and_then(|result| result.external_execution_summary.as_deref());
    engine(
        format!("{code} in action {}", action.action_name.as_deref().unwrap_or("?")),
        message.or(summary).filter(|words| !words.is_empty()).map(str::to_owned),
        result.and_then(|result| result.external_execution_url.as_deref()).map(str::to_owned),
    )
}
