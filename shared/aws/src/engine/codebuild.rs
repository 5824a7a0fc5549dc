//! CodeBuild: a build of a project.
//!
//! The attempt's token is the `idempotencyToken`, which CodeBuild remembers for five minutes, and an environment variable,
//! by which a build is found later. Run and token are in the environment of every build, for the project to use.

use std::collections::BTreeMap;

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::types::{
    Build, BuildPhase, EnvironmentVariable, EnvironmentVariableType, PhaseContext, SortOrderType, StatusType,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use manifold_core::console;
use manifold_core::engine::{Subject, Work};
use manifold_core::event::BuildState;
use manifold_core::ids::ExecutionId;
use manifold_core::plan::PlannedTarget;
use manifold_core::run::{Reason, ReasonSource, Refusal, Standing, build_failed_in};
use manifold_core::time::Timestamp;
use manifold_ports::engine::{Order, Start};

use super::{Answer, Call, Dialect, MOST_PAGES, Spoken, Trouble, execution_id, timestamp};
use crate::failure::{Failure, Kind};

const START: &str = "StartBuild";
const LIST: &str = "ListBuildsForProject";
const GET: &str = "BatchGetBuilds";
const STOP: &str = "StopBuild";
/// The variable of every build that names the run.
const RUN: &str = "MANIFOLD_RUN";
/// The variable of every build that is the attempt's token.
const ATTEMPT: &str = "MANIFOLD_ATTEMPT";

pub(super) const SPOKEN: Spoken = Spoken {
    with: |clients, region, credentials| Box::new(Builds(clients.codebuild_as(region, credentials))),
    meaning,
};

fn meaning(call: &Call<'_>) -> Option<Refusal> {
    match (call.failure.kind, call.failure.code.as_str()) {
        // "Cannot have more than X builds in queue for the account".
        (Kind::Refused, "AccountLimitExceededException") => {
            Some(call.busy("The account is at its limit of builds".to_owned()))
        }
        (Kind::Refused, "ResourceNotFoundException") => Some(call.not_found()),
        // Among them a token that was sent before with other parameters: that build is not what the plan wants.
        (Kind::Refused, "InvalidInputException") => Some(call.invalid()),
        (Kind::Throttled | Kind::Unreached | Kind::Refused, _) => None,
    }
}

struct Builds(Client);

impl Builds {
    /// Builds by their ids; at most a hundred, which is what one page of a list has.
    async fn get(&self, ids: Vec<String>) -> Result<Vec<Build>, Trouble> {
        let output = self.0.batch_get_builds().set_ids(Some(ids)).send().await.map_err(Trouble::of(GET))?;
        Ok(output.builds.unwrap_or_default())
    }

    async fn one(&self, execution: &ExecutionId) -> Result<Option<Build>, Trouble> {
        Ok(self.get(vec![execution.to_string()]).await?.into_iter().next())
    }
}

impl Dialect for Builds {
    fn start<'a>(&'a self, order: Order<'a>) -> Answer<'a, Start> {
        async move {
            let Order { run, planned, attempt } = order;
            let token = run.attempt_token(&planned.key, attempt);
            let source_version = match &planned.work {
                Some(Work::Build { source_version }) => source_version.clone(),
                None => None,
                Some(Work::Stack(_) | Work::Deployment(_)) => return Err(Trouble::incomplete(planned)),
            };
            let request = self
                .0
                .start_build()
                .project_name(planned.subject.name())
                .set_source_version(source_version)
                .set_environment_variables_override(Some(variables(order, planned, &token)?))
                .idempotency_token(token);
            let output = request.send().await.map_err(Trouble::of(START))?;
            execution_id(START, output.build_value.and_then(|build| build.id).as_deref()).map(Start::Begun)
        }
        .boxed()
    }

    /// The newest builds first. A build that somebody repeats has our token, too; ours is the earliest.
    fn find<'a>(
        &'a self,
        order: Order<'a>,
        not_before: Timestamp,
        except: &'a [ExecutionId],
    ) -> Answer<'a, Option<ExecutionId>> {
        async move {
            let token = order.run.attempt_token(&order.planned.key, order.attempt);
            let mut pages = self
                .0
                .list_builds_for_project()
                .project_name(order.planned.subject.name())
                .sort_order(SortOrderType::Descending)
                .into_paginator()
                .send();
            let mut earliest: Option<(Timestamp, ExecutionId)> = None;
            for _ in 0..MOST_PAGES {
                let Some(page) = pages.next().await else { break };
                let ids = page.map_err(Trouble::of(LIST))?.ids.unwrap_or_default();
                if ids.is_empty() {
                    break;
                }
                let mut is_past = false;
                for build in self.get(ids).await? {
                    let Some(at) = build.start_time.and_then(timestamp) else { continue };
                    is_past = is_past || at < not_before;
                    let id = build.id.as_deref().and_then(|id| id.parse::<ExecutionId>().ok());
                    if let Some(id) = id.filter(|id| has_token(&build, &token) && !except.contains(id))
                        && at >= not_before
                        && earliest.as_ref().is_none_or(|(known, _)| at < *known)
                    {
                        earliest = Some((at, id));
                    }
                }
                if is_past {
                    break;
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
        async move { Ok(self.one(execution).await?.as_ref().and_then(standing)) }.boxed()
    }

    fn explain<'a>(&'a self, order: Order<'a>, execution: &'a ExecutionId) -> Answer<'a, Reason> {
        async move { Ok(reason(order.planned, execution, self.one(execution).await?.as_ref())) }.boxed()
    }

    /// Of a build that has ended, CodeBuild says no more than that the input is invalid.
    fn stop<'a>(&'a self, _order: Order<'a>, execution: &'a ExecutionId, reason: &'a str) -> Answer<'a, ()> {
        async move {
            tracing::info!(%execution, reason, "stopping the build");
            let stopped = self.0.stop_build().id(execution.as_str()).send().await.map_err(Trouble::of(STOP));
            match stopped {
                Ok(_) => Ok(()),
                Err(trouble) if trouble.has_code(&["InvalidInputException"]) => match self.one(execution).await? {
                    Some(build) if build.build_complete => Ok(()),
                    Some(_) | None => Err(trouble),
                },
                Err(trouble) => Err(trouble),
            }
        }
        .boxed()
    }

    fn look<'a>(&'a self, started: &'a Subject) -> BoxFuture<'a, Result<(), Failure>> {
        let request = self.0.list_builds_for_project().project_name(started.name());
        async move { request.send().await.map(|_| ()).map_err(|error| Failure::of(&error)) }.boxed()
    }
}

/// The plan's variables, and which run and attempt it is.
fn variables(order: Order<'_>, planned: &PlannedTarget, token: &str) -> Result<Vec<EnvironmentVariable>, Trouble> {
    let mut variables: BTreeMap<&str, &str> =
        planned.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.insert(RUN, order.run.as_str());
    variables.insert(ATTEMPT, token);
    let variable = |(name, value): (&str, &str)| {
        EnvironmentVariable::builder().name(name).value(value).r#type(EnvironmentVariableType::Plaintext).build()
    };
    variables.into_iter().map(variable).collect::<Result<_, _>>().map_err(Trouble::unsendable(START))
}

fn has_token(build: &Build, token: &str) -> bool {
    let variables = build.environment.as_ref().and_then(|environment| environment.environment_variables.as_deref());
    variables.unwrap_or_default().iter().any(|variable| variable.name == ATTEMPT && variable.value == token)
}

fn state(build: &Build) -> Option<BuildState> {
    build.build_status.as_ref().map(|status| BuildState::from(status.as_str()))
}

fn standing(build: &Build) -> Option<Standing> {
    let at = build.end_time.or(build.start_time).and_then(timestamp)?;
    Some(Standing { state: state(build)?.execution(), at, comments: None })
}

/// Why a build failed: its first phase that did, in the words that an event would have for it.
fn reason(planned: &PlannedTarget, execution: &ExecutionId, build: Option<&Build>) -> Reason {
    let page = console::of(&planned.key, &planned.subject, Some(execution));
    let engine = |cause, detail, link| Reason { cause, detail, link, source: ReasonSource::Engine, attempt: 0 };
    let Some(build) = build else { return engine("The build is not listed any more".to_owned(), None, page) };
    let log = build.logs.as_ref().and_then(|logs| logs.deep_link.clone()).filter(|link| console::is_console_link(link));
    let link = log.or(page);
    let failed = build.phases.as_deref().unwrap_or_default().iter().find_map(|phase| {
        let status = phase.phase_status.as_ref().filter(|status| **status != StatusType::Succeeded)?;
        Some((status.as_str(), phase.phase_type.as_ref()?.as_str(), context(phase)))
    });
    match failed {
        Some((status, phase, context)) => engine(build_failed_in(status, phase), context, link),
        None => {
            let status = state(build).map_or_else(|| BuildState::Failed.to_string(), |state| state.to_string());
            engine(status, None, link)
        }
    }
}

/// What a phase says of its failure, as events write it.
fn context(phase: &BuildPhase) -> Option<String> {
    let said = |context: &PhaseContext| {
        let part = |text: &Option<String>| text.as_deref().map(str::trim).unwrap_or_default().to_owned();
        match (part(&context.status_code), part(&context.message)) {
            (code, message) if code.is_empty() => message,
            (code, message) if message.is_empty() => code,
            (code, message) => format!("{code}: {message}"),
        }
    };
    phase.contexts.as_deref().unwrap_or_default().iter().map(said).find(|text| !text.is_empty())
}
