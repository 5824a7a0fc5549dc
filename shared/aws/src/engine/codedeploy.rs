//! CodeDeploy: a deployment to a group.
//!
//! `CreateDeployment` has no token. So the call is made once, whatever becomes of it, and a deployment carries the attempt's
//! token in its description: whoever comes after a call that may have done something looks for that before the next one.

use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::types::{
    AppSpecContent, AutoRollbackConfiguration, AutoRollbackEvent, BundleType, DeploymentInfo, DeploymentTarget,
    GitHubLocation, LifecycleEvent, LifecycleEventStatus, RevisionLocation, RevisionLocationType, S3Location,
    TargetFilterName, TargetStatus, TimeRange,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::retry::RetryConfig;
use futures::FutureExt;
use futures::future::BoxFuture;
use manifold_core::console;
use manifold_core::engine::{DeploymentRevision, DeploymentWork, GroupName, OnStop, Subject, Work};
use manifold_core::event::DeploymentState;
use manifold_core::ids::ExecutionId;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Reason, ReasonSource, Refusal, Standing};
use manifold_core::time::Timestamp;
use manifold_ports::engine::{Order, Start};
use sha2::{Digest, Sha256};

use super::{Answer, Call, Dialect, MOST_PAGES, Spoken, Trouble, execution_id, timestamp};
use crate::failure::{Failure, Kind};

const CREATE: &str = "CreateDeployment";
const LIST: &str = "ListDeployments";
const GET_ALL: &str = "BatchGetDeployments";
const GET: &str = "GetDeployment";
const STOP: &str = "StopDeployment";
const LIST_TARGETS: &str = "ListDeploymentTargets";
const GET_TARGETS: &str = "BatchGetDeploymentTargets";
/// "The maximum number of deployment IDs you can specify is 25" (`BatchGetDeployments`); the same of targets
/// (`BatchGetDeploymentTargets`).
const BATCH: usize = 25;

pub(super) const SPOKEN: Spoken = Spoken {
    with: |clients, region, credentials| Box::new(Deployments(clients.codedeploy_as(region, credentials))),
    meaning,
};

fn meaning(call: &Call<'_>) -> Option<Refusal> {
    let name = call.planned.subject.name();
    match (call.failure.kind, call.failure.code.as_str()) {
        // Of the account, or of the group: of ECS and Lambda only one runs at a time.
        (Kind::Refused, "DeploymentLimitExceededException") => {
            Some(call.busy(format!("Deployment group {name} is at its limit of deployments")))
        }
        (Kind::Refused, "DeploymentGroupDoesNotExistException") => Some(call.not_found()),
        (Kind::Refused, "ApplicationDoesNotExistException") => {
            let application = name.split('/').next().unwrap_or(name);
            Some(call.failed(format!("Application {application} not found")))
        }
        // "InvalidRevisionException", "RevisionDoesNotExistException", "RevisionRequiredException" and so on: one for each
        // thing that can be wrong with a request.
        (Kind::Refused, code)
            if code.starts_with("Invalid") && code.ends_with("Exception") && code != "InvalidSignatureException"
                || code.ends_with("DoesNotExistException")
                || code.ends_with("RequiredException")
                || code == "DescriptionTooLongException" =>
        {
            Some(call.invalid())
        }
        (Kind::Throttled | Kind::Unreached | Kind::Refused, _) => None,
    }
}

struct Deployments(Client);

impl Deployments {
    async fn get(&self, execution: &ExecutionId) -> Result<Option<DeploymentInfo>, Trouble> {
        match self.0.get_deployment().deployment_id(execution.as_str()).send().await.map_err(Trouble::of(GET)) {
            Ok(output) => Ok(output.deployment_info),
            Err(trouble) if trouble.has_code(&["DeploymentDoesNotExistException"]) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The first lifecycle event that failed, of a target that did.
    async fn failed_event(&self, execution: &ExecutionId) -> Result<Option<LifecycleEvent>, Trouble> {
        let request = self
            .0
            .list_deployment_targets()
            .deployment_id(execution.as_str())
            .target_filters(TargetFilterName::TargetStatus, vec![TargetStatus::Failed.as_str().to_owned()]);
        let mut ids = request.send().await.map_err(Trouble::of(LIST_TARGETS))?.target_ids.unwrap_or_default();
        ids.truncate(BATCH);
        if ids.is_empty() {
            return Ok(None);
        }
        let request = self.0.batch_get_deployment_targets().deployment_id(execution.as_str()).set_target_ids(Some(ids));
        let targets = request.send().await.map_err(Trouble::of(GET_TARGETS))?.deployment_targets.unwrap_or_default();
        let events = targets.into_iter().flat_map(events);
        let failed = events.filter(|event| event.status == Some(LifecycleEventStatus::Failed));
        // What failed on the first target that did: the others may have failed of it. One that does not say when comes last.
        let ended = |event: &LifecycleEvent| event.end_time.and_then(timestamp).map_or(i64::MAX, Timestamp::as_millis);
        Ok(failed.min_by_key(ended))
    }
}

impl Dialect for Deployments {
    /// Never repeated by the SDK: after a time-out or an error of the service, it is not known whether there is a
    /// deployment, and a second one is not what anybody wanted.
    fn start<'a>(&'a self, order: Order<'a>) -> Answer<'a, Start> {
        async move {
            let Order { planned, .. } = order;
            let (group, work) = (group(&planned.subject), work(planned));
            let (Some(group), Some(work)) = (group, work) else { return Err(Trouble::incomplete(planned)) };
            let once = aws_sdk_codedeploy::config::Builder::new().retry_config(RetryConfig::disabled());
            let request = self
                .0
                .create_deployment()
                .application_name(group.application())
                .deployment_group_name(group.group())
                .revision(revision(&work.revision)?)
                .set_deployment_config_name(work.config.clone())
                .description(description(order))
                .set_auto_rollback_configuration(work.auto_rollback.map(auto_rollback))
                .customize()
                .config_override(once);
            let output = request.send().await.map_err(Trouble::of(CREATE))?;
            execution_id(CREATE, output.deployment_id.as_deref()).map(Start::Begun)
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
            let Some(group) = group(&order.planned.subject) else { return Err(Trouble::incomplete(order.planned)) };
            let description = description(order);
            let since = TimeRange::builder().start(DateTime::from_millis(not_before.as_millis())).build();
            let mut pages = self
                .0
                .list_deployments()
                .application_name(group.application())
                .deployment_group_name(group.group())
                .create_time_range(since)
                .into_paginator()
                .send();
            let mut earliest: Option<(Timestamp, ExecutionId)> = None;
            for _ in 0..MOST_PAGES {
                let Some(page) = pages.next().await else { break };
                let ids = page.map_err(Trouble::of(LIST))?.deployments.unwrap_or_default();
                for some in ids.chunks(BATCH) {
                    let request = self.0.batch_get_deployments().set_deployment_ids(Some(some.to_vec()));
                    let output = request.send().await.map_err(Trouble::of(GET_ALL))?;
                    for found in output.deployments_info.unwrap_or_default() {
                        let id = found.deployment_id.as_deref().and_then(|id| id.parse::<ExecutionId>().ok());
                        if let (Some(at), Some(id)) = (found.create_time.and_then(timestamp), id)
                            && found.description.as_deref() == Some(description.as_str())
                            && !except.contains(&id)
                            && at >= not_before
                            && earliest.as_ref().is_none_or(|(known, _)| at < *known)
                        {
                            earliest = Some((at, id));
                        }
                    }
                }
            }
            Ok(earliest.map(|(_, id)| id))
        }
        .boxed()
    }

    fn ask<'a>(
        &'a self,
        _order: Order<'a>,
        execution: &'a ExecutionId,
        _not_before: Timestamp,
    ) -> Answer<'a, Option<Standing>> {
        async move { Ok(self.get(execution).await?.as_ref().and_then(standing)) }.boxed()
    }

    /// A role that may not look at the targets of a deployment gets the reason without them.
    fn explain<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId) -> Answer<'a, Reason> {
        async move {
            let info = self.get(execution).await?;
            let event = match self.failed_event(execution).await {
                Ok(event) => event,
                Err(Trouble::Failed { operation, failure })
                    if failure.kind == Kind::Refused && !failure.is_expired() =>
                {
                    tracing::info!(operation, code = failure.code, "explained without the lifecycle event");
                    None
                }
                Err(trouble) => return Err(trouble),
            };
            Ok(reason(order.planned, execution, info.as_ref(), event.as_ref()))
        }
        .boxed()
    }

    fn stop<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId, reason: &'a str) -> Answer<'a, ()> {
        async move {
            let on_stop = work(order.planned).map_or(OnStop::Leave, |work| work.on_stop);
            tracing::info!(%execution, reason, ?on_stop, "stopping the deployment");
            let request = self
                .0
                .stop_deployment()
                .deployment_id(execution.as_str())
                .auto_rollback_enabled(on_stop == OnStop::RollBack);
            match request.send().await.map_err(Trouble::of(STOP)) {
                Ok(_) => Ok(()),
                Err(trouble) if trouble.has_code(&["DeploymentAlreadyCompletedException"]) => Ok(()),
                Err(trouble) => Err(trouble),
            }
        }
        .boxed()
    }

    fn look<'a>(&'a self, started: &'a Subject) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let (application, group) = group(started).map(|name| (name.application(), name.group())).unzip();
            let request = self
                .0
                .list_deployments()
                .set_application_name(application.map(str::to_owned))
                .set_deployment_group_name(group.map(str::to_owned));
            request.send().await.map(|_| ()).map_err(|error| Failure::of(&error))
        }
        .boxed()
    }
}

fn group(subject: &Subject) -> Option<&GroupName> {
    match subject {
        Subject::Group(name) => Some(name),
        Subject::Pipeline(_) | Subject::Project(_) | Subject::Stack(_) => None,
    }
}

fn work(planned: &PlannedTarget) -> Option<&DeploymentWork> {
    match &planned.work {
        Some(Work::Deployment(work)) => Some(work),
        Some(Work::Build { .. } | Work::Stack(_)) | None => None,
    }
}

/// What the deployment is found by.
fn description(order: Order<'_>) -> String {
    let Order { run, planned, attempt } = order;
    format!("Manifold run {run} · {}", run.attempt_token(&planned.key, attempt))
}

fn revision(revision: &DeploymentRevision) -> Result<RevisionLocation, Trouble> {
    let location = RevisionLocation::builder();
    Ok(match revision {
        DeploymentRevision::S3(object) => {
            let Some(bundle) = DeploymentRevision::bundle(object) else {
                return Err(Trouble::failed(
                    "The revision's name does not tell how it is packed".to_owned(),
                    Some(object.to_string()),
                    None,
                ));
            };
            let object = S3Location::builder()
                .bucket(object.bucket())
                .key(object.key())
                .bundle_type(BundleType::from(bundle))
                .build();
            location.revision_type(RevisionLocationType::S3).s3_location(object)
        }
        DeploymentRevision::AppSpec(text) => {
            let sha256: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            let content = AppSpecContent::builder().content(text).sha256(sha256).build();
            location.revision_type(RevisionLocationType::AppSpecContent).app_spec_content(content)
        }
        DeploymentRevision::GitHub { repository, commit } => {
            let commit = GitHubLocation::builder().repository(repository).commit_id(commit).build();
            location.revision_type(RevisionLocationType::GitHub).git_hub_location(commit)
        }
    }
    .build())
}

fn auto_rollback(enabled: bool) -> AutoRollbackConfiguration {
    let configuration = AutoRollbackConfiguration::builder().enabled(enabled);
    if enabled {
        configuration
            .events(AutoRollbackEvent::DeploymentFailure)
            .events(AutoRollbackEvent::DeploymentStopOnAlarm)
            .build()
    } else {
        configuration.build()
    }
}

fn standing(info: &DeploymentInfo) -> Option<Standing> {
    let at = info.complete_time.or(info.start_time).or(info.create_time).and_then(timestamp)?;
    let state = DeploymentState::from_api(info.status.as_ref()?.as_str()).execution();
    Some(Standing { state, at, comments: None })
}

fn events(target: DeploymentTarget) -> Vec<LifecycleEvent> {
    let of_instance = target.instance_target.and_then(|target| target.lifecycle_events);
    let of_tasks = target.ecs_target.and_then(|target| target.lifecycle_events);
    let of_function = target.lambda_target.and_then(|target| target.lifecycle_events);
    let of_stack = target.cloud_formation_target.and_then(|target| target.lifecycle_events);
    of_instance.or(of_tasks).or(of_function).or(of_stack).unwrap_or_default()
}

/// Why a deployment failed. Of a script it says which and what of it CodeDeploy says; its output is left in the log.
fn reason(
    planned: &PlannedTarget,
    execution: &ExecutionId,
    info: Option<&DeploymentInfo>,
    event: Option<&LifecycleEvent>,
) -> Reason {
    let error = info.and_then(|info| info.error_information.as_ref());
    let code = error.and_then(|error| error.code.as_ref()).map_or("FAILURE", |code| code.as_str());
    let name = event.and_then(|event| event.lifecycle_event_name.as_deref());
    let diagnostics = event.and_then(|event| event.diagnostics.as_ref());
    let said = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let script = said(diagnostics.and_then(|diagnostics| diagnostics.script_name.as_deref()));
    let words = said(diagnostics.and_then(|diagnostics| diagnostics.message.as_deref()));
    let of_event = [script, words].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let of_deployment = said(error.and_then(|error| error.message.as_deref()));
    let detail = [Some(of_event).filter(|text| !text.is_empty()), of_deployment];
    let detail = detail.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    Reason {
        cause: name.map_or_else(|| code.to_owned(), |name| format!("{code} in lifecycle event {name}")),
        detail: Some(detail).filter(|detail| !detail.is_empty()),
        link: console::of(&planned.key, &planned.subject, Some(execution)),
        source: ReasonSource::Engine,
        attempt: 0,
    }
}
