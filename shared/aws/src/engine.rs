//! CodePipeline in the target accounts.
//!
//! An attempt's token goes out as `clientRequestToken`, so that a repeated start starts nothing more (law 1).
//! CodePipeline does not say for how long it remembers a token; the claim in the ledger and [`Engine::find`] cover
//! what lies beyond.

#[cfg(feature = "revert")]
mod revert;

use std::future::Future;
use std::ops::ControlFlow;

use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{
    ActionExecutionDetail, ActionExecutionFilter, ActionExecutionStatus, PipelineExecutionSummary, PipelineVariable,
    SourceRevisionOverride, SourceRevisionType,
};
use manifold_core::checkup::{AccessSeen, Place, Tried};
use manifold_core::event::PipelineState;
use manifold_core::ids::{ExecutionId, RunId};
use manifold_core::pace::Api;
use manifold_core::plan::{PlannedTarget, RevisionKind};
use manifold_core::run::{Outcome, Reason, ReasonSource, Refusal, Standing};
use manifold_core::time::Timestamp;
use manifold_ports::checkup::Access;
use manifold_ports::clock::Clock;
use manifold_ports::engine::{AlarmState, CLOCK_SKEW, Engine, Order, Start};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::clients::Clients;
use crate::clock::SystemClock;
use crate::credentials::{Assumer, Purpose};
use crate::failure::{Failure, Kind};
use crate::look::Patience;

/// "The maximum number of results to return in a single call" is 100 (`ListPipelineExecutions`).
const PAGE: i32 = 100;
/// How many pages are read to find one execution.
const MOST_PAGES: usize = 5;
/// How many alarms one call takes and tells at most (CloudWatch API reference, `DescribeAlarms`: `AlarmNames`, `MaxRecords`).
const MOST_ALARMS: i32 = 100;

/// Starts, finds, asks for and explains executions of target pipelines.
#[derive(Debug, Clone)]
pub struct CodePipelineEngine<C = SystemClock> {
    clients: Clients,
    assumer: Assumer<C>,
    patience: Backoff,
}

impl<C: Clock> CodePipelineEngine<C> {
    /// With clients for any Region, and the roles of the target accounts.
    #[must_use]
    pub fn new(clients: Clients, assumer: Assumer<C>) -> Self {
        Self { clients, assumer, patience: Backoff::PATIENT }
    }

    /// With another patience for looks that are throttled.
    #[must_use]
    pub fn with_patience(self, patience: Backoff) -> Self {
        Self { patience, ..self }
    }

    /// Calls CodePipeline with the target's credentials; once more with new ones if it calls them expired.
    async fn call<T, F, Answer>(&self, order: Order<'_>, api: Api, call: F) -> Result<T, Refusal>
    where
        F: Fn(Client) -> Answer,
        Answer: Future<Output = Result<T, Failure>>,
    {
        let client = |credentials: Credentials| self.clients.codepipeline_as(&order.planned.key.region, credentials);
        self.call_as(order, api, client, call).await
    }

    /// The same of any service.
    async fn call_as<S, T, F, Answer>(
        &self,
        order: Order<'_>,
        api: Api,
        client: impl Fn(Credentials) -> S,
        call: F,
    ) -> Result<T, Refusal>
    where
        F: Fn(S) -> Answer,
        Answer: Future<Output = Result<T, Failure>>,
    {
        let credentials = self.assumer.assume(order.run, order.planned).await?;
        let mut result = Box::pin(call(client(credentials))).await;
        if result.as_ref().is_err_and(Failure::is_expired) {
            tracing::warn!(operation = %api, "assumed credentials have expired; assuming the role again");
            self.assumer.forget(order.run, order.planned);
            let credentials = self.assumer.assume(order.run, order.planned).await?;
            result = Box::pin(call(client(credentials))).await;
        }
        result.map_err(|failure| refusal(&failure, api, order.planned))
    }
}

/// The span of one order: its fields are on every line that is logged within.
fn span(order: Order<'_>, api: Api) -> tracing::Span {
    tracing::info_span!(
        "engine",
        operation = %api,
        run = %order.run,
        target = %order.planned.key,
        attempt = order.attempt.0,
    )
}

impl<C: Clock> Engine for CodePipelineEngine<C> {
    fn is_entered(&self, order: Order<'_>) -> bool {
        self.assumer.has(order.run, order.planned)
    }

    async fn start(&self, order: Order<'_>) -> Result<Start, Refusal> {
        const API: Api = Api::StartPipelineExecution;
        let Order { run, planned, attempt } = order;
        let started = async {
            let variables = variables(planned).map_err(|failure| refusal(&failure, API, planned))?;
            let revisions = source_revisions(planned).map_err(|failure| refusal(&failure, API, planned))?;
            self.call(order, API, |client| {
                let request = client
                    .start_pipeline_execution()
                    .name(planned.subject.name())
                    .client_request_token(run.attempt_token(&planned.key, attempt))
                    .set_variables(variables.clone())
                    .set_source_revisions(revisions.clone());
                async move {
                    let output = request.send().await.map_err(|error| Failure::of(&error))?;
                    execution_id(output.pipeline_execution_id.as_deref())
                }
            })
            .await
        };
        started.instrument(span(order, API)).await.map(Start::Begun)
    }

    async fn find(
        &self,
        order: Order<'_>,
        since: Timestamp,
        except: &[ExecutionId],
    ) -> Result<Option<ExecutionId>, Refusal> {
        const API: Api = Api::ListPipelineExecutions;
        let not_before = Timestamp::from_millis(since.as_millis().saturating_sub(CLOCK_SKEW.as_millis()));
        let found = self.call(order, API, |client| async move {
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
            executions(&client, order, not_before, usize::MAX, look).await?;
            Ok(earliest.map(|(_, execution)| execution))
        });
        found.instrument(span(order, API)).await
    }

    /// The reason's `attempt` is 0: CodePipeline does not say which attempt of the execution an action belongs to.
    /// The caller, who knows how far the target has been seen, sets it.
    async fn explain(&self, order: Order<'_>, execution: &ExecutionId) -> Result<Reason, Refusal> {
        const API: Api = Api::ListActionExecutions;
        let explained = self.call(order, API, |client| async move {
            let filter = ActionExecutionFilter::builder().pipeline_execution_id(execution.as_str()).build();
            let mut pages = client
                .list_action_executions()
                .pipeline_name(order.planned.subject.name())
                .filter(filter)
                .max_results(PAGE)
                .into_paginator()
                .send();
            let mut newest: Option<ActionExecutionDetail> = None;
            while let Some(page) = pages.next().await {
                let actions = page.map_err(|error| Failure::of(&error))?.action_execution_details;
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
        });
        explained.instrument(span(order, API)).await
    }

    /// One page, or a few where a pipeline has had more than a hundred executions since. `GetPipelineExecution` would find
    /// any, and the target role need not have it.
    async fn ask(
        &self,
        order: Order<'_>,
        execution: &ExecutionId,
        started_at: Timestamp,
    ) -> Result<Option<Standing>, Refusal> {
        const API: Api = Api::ListPipelineExecutions;
        let not_before = Timestamp::from_millis(started_at.as_millis().saturating_sub(CLOCK_SKEW.as_millis()));
        let asked = self.call(order, API, |client| async move {
            let look = |found: &PipelineExecutionSummary| match found.pipeline_execution_id.as_deref() {
                Some(id) if id == execution.as_str() => ControlFlow::Break(standing(found)),
                Some(_) | None => ControlFlow::Continue(()),
            };
            Ok(executions(&client, order, not_before, MOST_PAGES, look).await?.flatten())
        });
        asked.instrument(span(order, API)).await
    }

    /// "abandon: false": what runs is finished, nothing more begins. `PipelineExecutionNotStoppableException` says that it has
    /// ended, `DuplicatedStopRequestException` that it is being stopped.
    async fn stop(&self, order: Order<'_>, execution: &ExecutionId, reason: &str) -> Result<(), Refusal> {
        const API: Api = Api::StopPipelineExecution;
        let stopped = self.call(order, API, |client| {
            let request = client
                .stop_pipeline_execution()
                .pipeline_name(order.planned.subject.name())
                .pipeline_execution_id(execution.as_str())
                .abandon(false)
                .reason(reason);
            async move {
                match request.send().await.map_err(|error| Failure::of(&error)) {
                    Ok(_) => Ok(()),
                    Err(failure)
                        if ["PipelineExecutionNotStoppableException", "DuplicatedStopRequestException"]
                            .contains(&failure.code.as_str()) =>
                    {
                        Ok(())
                    }
                    Err(failure) => Err(failure),
                }
            }
        });
        stopped.instrument(span(order, API)).await
    }

    /// A bake names at most as many alarms as one call takes and tells.
    async fn alarms(&self, order: Order<'_>, names: &[String]) -> Result<Vec<AlarmState>, Refusal> {
        const API: Api = Api::DescribeAlarms;
        let client = |credentials: Credentials| self.clients.cloudwatch_as(&order.planned.key.region, credentials);
        let seen = self.call_as(order, API, client, |client| {
            let request = client
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .max_records(MOST_ALARMS);
            async move {
                let output = request.send().await.map_err(|error| Failure::of(&error))?;
                let metric = output.metric_alarms.unwrap_or_default().into_iter();
                let metric = metric.map(|alarm| (alarm.alarm_name, alarm.state_value));
                let composite = output.composite_alarms.unwrap_or_default().into_iter();
                let composite = composite.map(|alarm| (alarm.alarm_name, alarm.state_value));
                let states = metric.chain(composite).filter_map(|(name, state)| {
                    Some(AlarmState { name: name?, is_firing: state == Some(StateValue::Alarm) })
                });
                Ok(states.collect())
            }
        });
        seen.instrument(span(order, API)).await
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
) -> Result<Option<T>, Failure> {
    let mut look = look;
    let mut pages = client
        .list_pipeline_executions()
        .pipeline_name(order.planned.subject.name())
        .max_results(PAGE)
        .into_paginator()
        .send();
    for _ in 0..most_pages {
        let Some(page) = pages.next().await else { break };
        let executions = page.map_err(|error| Failure::of(&error))?.pipeline_execution_summaries.unwrap_or_default();
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
    let at = execution.last_update_time.or(execution.start_time).and_then(|at| at.to_millis().ok());
    Some(Standing {
        state: PipelineState::from_api(execution.status.as_ref()?.as_str()),
        at: Timestamp::from_millis(at?),
        comments: execution.stop_trigger.as_ref().and_then(|trigger| trigger.reason.clone()),
    })
}

fn purpose(place: &Place) -> Purpose {
    Purpose::rollout(&RunId::of_checkup(&place.app), &place.role, place.external_id.as_deref(), &place.started)
}

impl<C: Clock> Access for CodePipelineEngine<C> {
    fn renew(&self, places: &[Place]) {
        for place in places {
            self.assumer.forget_session(&purpose(place));
        }
    }

    async fn try_access(&self, place: &Place, deadline: Timestamp) -> AccessSeen {
        let purpose = purpose(place);
        let patience = Patience { clock: self.assumer.clock(), deadline, backoff: self.patience };
        let credentials = match patience.look(|| self.assumer.session(&purpose)).await {
            Tried::Done(credentials) => credentials,
            Tried::Refused { code, message } => return AccessSeen::not_assumed(Tried::Refused { code, message }),
            Tried::Unanswered { reason } => return AccessSeen::not_assumed(Tried::Unanswered { reason }),
            Tried::NotTried => return AccessSeen::not_assumed(Tried::NotTried),
        };
        // What else the role may do IAM's simulator is asked.
        if place.started.pipeline().is_none() {
            return AccessSeen {
                assumed: Tried::Done(()),
                list_executions: Tried::NotTried,
                list_actions: Tried::NotTried,
            };
        }
        let client = self.clients.codepipeline_as(&place.key.region, credentials);
        let executions = patience.look(|| async {
            let request = client.list_pipeline_executions().pipeline_name(place.started.name()).max_results(1);
            request.send().await.map(|_| ()).map_err(|error| Failure::of(&error))
        });
        let actions = patience.look(|| async {
            let request = client.list_action_executions().pipeline_name(place.started.name()).max_results(1);
            request.send().await.map(|_| ()).map_err(|error| Failure::of(&error))
        });
        let (list_executions, list_actions) = futures::join!(executions, actions);
        AccessSeen { assumed: Tried::Done(()), list_executions, list_actions }
    }
}

fn variables(planned: &PlannedTarget) -> Result<Option<Vec<PipelineVariable>>, Failure> {
    if planned.variables.is_empty() {
        return Ok(None);
    }
    let variable = |(name, value): (&String, &String)| PipelineVariable::builder().name(name).value(value).build();
    planned.variables.iter().map(variable).collect::<Result<_, _>>().map(Some).map_err(unsendable)
}

fn source_revisions(planned: &PlannedTarget) -> Result<Option<Vec<SourceRevisionOverride>>, Failure> {
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
        .map_err(unsendable)
}

fn unsendable(error: aws_smithy_types::error::operation::BuildError) -> Failure {
    Failure { kind: Kind::Refused, code: "ValidationException".to_owned(), message: error.to_string() }
}

fn execution_id(id: Option<&str>) -> Result<ExecutionId, Failure> {
    id.and_then(|id| id.parse().ok()).ok_or_else(|| Failure {
        kind: Kind::Unreached,
        code: String::new(),
        message: "CodePipeline answered without an execution id".to_owned(),
    })
}

fn started_at(execution: &PipelineExecutionSummary) -> Option<Timestamp> {
    execution.start_time.and_then(|at| at.to_millis().ok()).map(Timestamp::from_millis)
}

/// When and what, if the run started it.
fn ours(execution: &PipelineExecutionSummary, run: &RunId, not_before: Timestamp) -> Option<(Timestamp, ExecutionId)> {
    let at = started_at(execution)?;
    let starter = RunId::from_session_arn(execution.trigger.as_ref()?.trigger_detail.as_deref()?)?;
    let id = execution.pipeline_execution_id.as_deref()?.parse().ok()?;
    (starter == *run && at >= not_before).then_some((at, id))
}

fn ended_at(action: &ActionExecutionDetail) -> Option<i64> {
    action.last_update_time.or(action.start_time).and_then(|at| at.to_millis().ok())
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

/// What a failed call means for the target (CodePipeline API reference: errors of the operations, "Common Errors").
///
/// A cause names nothing of the target but the role's and the pipeline's name, so that the same failure in a hundred
/// accounts is one line of the summary; the engine's own words are in the detail.
fn refusal(failure: &Failure, api: Api, planned: &PlannedTarget) -> Refusal {
    let operation = api.name();
    let pipeline = planned.subject.name();
    let role = planned.role.name();
    let reason = |cause: String| failure.reason(cause);
    let permanent = |outcome, cause| Refusal::Permanent { outcome, reason: reason(cause) };
    match (failure.kind, failure.code.as_str()) {
        (Kind::Throttled, _) => Refusal::Throttled { api, reason: reason(format!("Throttled by {}", api.service())) },
        (Kind::Unreached, _) => Refusal::Later { reason: reason(format!("{} did not answer", api.service())) },
        // "Your request cannot be handled because the pipeline is busy handling ongoing activities. Try again later."
        (Kind::Refused, "ConflictException") => {
            Refusal::Later { reason: reason(format!("Pipeline {pipeline} is busy")) }
        }
        (Kind::Refused, "ConcurrentPipelineExecutionsLimitExceededException") => {
            Refusal::Busy { reason: reason(format!("Pipeline {pipeline} is at its limit of executions")) }
        }
        (Kind::Refused, "PipelineNotFoundException") => {
            permanent(Outcome::Failed, format!("Pipeline {pipeline} not found"))
        }
        (Kind::Refused, "AccessDenied" | "AccessDeniedException") => {
            permanent(Outcome::Failed, format!("AccessDenied for {operation} in role {role}"))
        }
        // A Region that the account has not enabled does not know the account's credentials.
        (
            Kind::Refused,
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "RegionDisabledException"
            | "OptInRequired"
            | "SubscriptionRequiredException",
        ) => permanent(Outcome::Unreachable, format!("{} in the target's Region", failure.code)),
        (
            Kind::Refused,
            "ValidationException" | "ValidationError" | "InvalidArnException" | "InvalidParameterException",
        ) => permanent(Outcome::Failed, format!("{} for {operation} of pipeline {pipeline}", failure.code)),
        (Kind::Refused, "") => Refusal::Later { reason: reason(format!("{operation} was not sent")) },
        (Kind::Refused, code) => Refusal::Later { reason: reason(format!("{code} for {operation}")) },
    }
}
