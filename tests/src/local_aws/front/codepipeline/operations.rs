//! The operations (CodePipeline API reference: each by its name).

use std::collections::BTreeMap;

use manifold_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::definition::{Action, Cause, ExecutionMode, Pipeline, PipelineId, PipelineType, Revision};
use super::line::{
    ActionRun, ActionStatus, EXTERNAL_ID, Execution, Line, Order, Status, Transition, external_url, location,
};
use super::{Call, Refusal, World};
use crate::wire::epoch;

/// "Maximum number of concurrent pipeline executions" in the modes QUEUED and PARALLEL (User Guide, "Quotas").
const MOST_EXECUTIONS: usize = 50;

type Body = Map<String, Value>;
type Answered = Result<Value, Refusal>;

/// Carries out a call whose body is of the operation's shape.
pub(super) fn carry_out(world: &mut World, call: &Call<'_>, body: &Body) -> Answered {
    match call.operation {
        "ListPipelines" => return Ok(list_pipelines(world, call)),
        "ListTagsForResource" => return list_tags(world, call, body),
        "PutJobSuccessResult" | "PutJobFailureResult" => return put_job_result(world, call, body),
        _ => {}
    }
    let name = word(body, "name").or_else(|| word(body, "pipelineName")).unwrap_or_default();
    let id = PipelineId::new(call.account, call.region, name);
    let forgets = world.forgetful.contains(call.account);
    let answered = world.change(&id, |line, told| match call.operation {
        "GetPipeline" => get_pipeline(line, body),
        "GetPipelineState" => Ok(get_state(line)),
        "StartPipelineExecution" => {
            let (order, known) = order(line, call, body, forgets)?;
            let id = known.unwrap_or_else(|| line.start(order, told));
            Ok(json!({ "pipelineExecutionId": id }))
        }
        "GetPipelineExecution" => get_execution(line, body),
        "ListPipelineExecutions" => list_executions(line, body),
        "ListActionExecutions" => list_actions(line, body),
        "StopPipelineExecution" => {
            let (index, abandon) = stoppable(line, body)?;
            line.stop(index, abandon, word(body, "reason"), told);
            Ok(json!({ "pipelineExecutionId": line.executions[index].id }))
        }
        "RetryStageExecution" => {
            let (index, stage) = retryable(line, body)?;
            line.retry(index, stage, word(body, "retryMode") == Some("ALL_ACTIONS"), told);
            Ok(json!({ "pipelineExecutionId": line.executions[index].id }))
        }
        "DisableStageTransition" => change_transition(line, call, body, false, told.now),
        "EnableStageTransition" => change_transition(line, call, body, true, told.now),
        other => Err(Refusal::new("UnknownOperationException", &format!("{other} is not served here"))),
    });
    answered.unwrap_or_else(|| {
        let message = format!("Account '{}' does not have a pipeline with name '{name}'", call.account);
        Err(Refusal::new("PipelineNotFoundException", &message))
    })
}

/// A job has one result. With a continuation token another job of the same action follows, which a test asks for.
fn put_job_result(world: &mut World, call: &Call<'_>, body: &Body) -> Answered {
    let id = word(body, "jobId").unwrap_or_default();
    let Some(job) = world.jobs.get_mut(&(call.account.to_owned(), id.to_owned())) else {
        return Err(Refusal::new("JobNotFoundException", "The job could not be found."));
    };
    if job.is_some() {
        return Err(Refusal::new("InvalidJobStateException", "The job state was specified in an invalid format."));
    }
    *job = Some(Value::Object(body.clone()));
    Ok(json!({}))
}

fn word<'a>(body: &'a Body, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn list<'a>(body: &'a Body, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("ValidationException", message)
}

/// What a start asks for, and the execution that its token has started already.
fn order(line: &mut Line, call: &Call<'_>, body: &Body, forgets: bool) -> Result<(Order, Option<String>), Refusal> {
    let token = word(body, "clientRequestToken").map(str::to_owned);
    let pair = |item: &Value, name: &str, value: &str| {
        (item[name].as_str().unwrap_or_default().to_owned(), item[value].as_str().unwrap_or_default().to_owned())
    };
    let variables: BTreeMap<String, String> =
        list(body, "variables").iter().map(|item| pair(item, "name", "value")).collect();
    let pinned: BTreeMap<String, String> =
        list(body, "sourceRevisions").iter().map(|item| pair(item, "actionName", "revisionValue")).collect();
    let order = Order {
        cause: Cause::Caller(call.caller.to_owned()),
        token,
        pinned,
        variables,
        request: Value::Object(body.clone()),
    };
    let known =
        line.executions.iter_mut().find(|known| !forgets && known.token.is_some() && known.token == order.token);
    if let Some(known) = known {
        if known.request != order.request {
            return Err(invalid("The client request token was used before for a request with other parameters"));
        }
        known.start_calls += 1;
        let id = known.id.clone();
        return Ok((order, Some(id)));
    }
    startable(line, &order, body)?;
    Ok((order, None))
}

fn startable(line: &Line, order: &Order, body: &Body) -> Result<(), Refusal> {
    let pipeline = line.pipeline();
    let name = &pipeline.id.name;
    if pipeline.kind == PipelineType::V1 {
        for feature in ["variables", "sourceRevisions"] {
            if !list(body, feature).is_empty() {
                return Err(invalid(&format!("Pipeline {name} is of type V1: {feature} need a pipeline of type V2")));
            }
        }
    }
    if let Some(unknown) = order.variables.keys().find(|name| !pipeline.variables.contains_key(*name)) {
        return Err(invalid(&format!("Variable {unknown} is not declared in pipeline {name}")));
    }
    let mut required = pipeline.variables.iter().filter(|(_, default)| default.is_none());
    if let Some((missing, _)) = required.find(|(name, _)| !order.variables.contains_key(*name)) {
        return Err(invalid(&format!("Variable {missing} of pipeline {name} has no default and was given no value")));
    }
    for revision in list(body, "sourceRevisions") {
        let (action, kind) = (&revision["actionName"], revision["revisionType"].as_str().unwrap_or_default());
        let Some(found) = pipeline.source_actions().find(|found| *action == json!(found.name)) else {
            return Err(invalid(&format!("Pipeline {name} has no source action {action}")));
        };
        if !found.revision_types().contains(&kind) {
            return Err(invalid(&format!("Revision type {kind} is not one of source action {action}")));
        }
    }
    let active = line.executions.iter().filter(|execution| execution.status.is_active()).count();
    match pipeline.mode {
        ExecutionMode::Queued | ExecutionMode::Parallel if active >= MOST_EXECUTIONS => Err(Refusal::new(
            "ConcurrentPipelineExecutionsLimitExceededException",
            "The pipeline has reached the limit for concurrent pipeline executions.",
        )),
        ExecutionMode::Queued | ExecutionMode::Parallel | ExecutionMode::Superseded => Ok(()),
    }
}

fn stoppable(line: &Line, body: &Body) -> Result<(usize, bool), Refusal> {
    let id = word(body, "pipelineExecutionId").unwrap_or_default();
    let abandon = body.get("abandon").and_then(Value::as_bool).unwrap_or(false);
    let index = line.find(id).filter(|&index| line.executions[index].status.is_active());
    let Some(index) = index else {
        let message = "Unable to stop the pipeline execution. The execution might already be in a Stopped state, or \
                       it might no longer be in progress.";
        return Err(Refusal::new("PipelineExecutionNotStoppableException", message));
    };
    // One that waits for its actions may still be told to abandon them.
    match line.executions[index].is_stopped_for_good() {
        None => Ok((index, abandon)),
        Some(false) if abandon => Ok((index, abandon)),
        Some(_) => Err(Refusal::new(
            "DuplicatedStopRequestException",
            "The pipeline execution is already in a Stopping state. If you already chose to stop and wait, you cannot \
             make that request again.",
        )),
    }
}

fn stage_not_found(pipeline: &str, stage: &str) -> Refusal {
    let message = format!("Pipeline '{pipeline}' does not have a stage with name '{stage}'");
    Refusal::new("StageNotFoundException", &message)
}

fn change_transition(line: &mut Line, call: &Call<'_>, body: &Body, enabled: bool, at: Timestamp) -> Answered {
    let stage = word(body, "stageName").unwrap_or_default();
    if !line.pipeline().stages.iter().any(|found| found.name == stage) {
        return Err(stage_not_found(&line.pipeline().id.name, stage));
    }
    let reason = word(body, "reason").map(str::to_owned);
    line.transitions.insert(stage.to_owned(), Transition { enabled, by: call.caller.to_owned(), at, reason });
    Ok(json!({}))
}

fn retryable(line: &Line, body: &Body) -> Result<(usize, usize), Refusal> {
    let (stage, id) =
        (word(body, "stageName").unwrap_or_default(), word(body, "pipelineExecutionId").unwrap_or_default());
    let pipeline = line.pipeline();
    let name = &pipeline.id.name;
    let found = pipeline.stages.iter().position(|found| found.name == stage);
    let Some(found) = found else { return Err(stage_not_found(name, stage)) };
    let Some(index) = line.find(id) else {
        return Err(invalid(&format!("Pipeline '{name}' does not have an execution with id '{id}'")));
    };
    let newer = &line.executions[index + 1..];
    if pipeline.mode != ExecutionMode::Parallel {
        if newer.iter().any(|newer| newer.stages.get(found).is_some_and(|stage| stage.status.is_some())) {
            let message = "The stage has been run by a later execution of the pipeline.";
            return Err(Refusal::new("NotLatestPipelineExecutionException", message));
        }
        if line.is_locked(found) {
            let message = "Your request cannot be handled because the pipeline is busy handling ongoing activities.";
            return Err(Refusal::new("ConflictException", message));
        }
    }
    if !line.retryable(index, found) {
        let message = format!(
            "Stage '{stage}' of execution '{id}' can't be retried: the pipeline was changed, or nothing failed in it."
        );
        return Err(Refusal::new("StageNotRetryableException", &message));
    }
    Ok((index, found))
}

fn get_pipeline(line: &Line, body: &Body) -> Answered {
    let wanted = body.get("version").and_then(Value::as_u64).unwrap_or_else(|| u64::from(line.version()));
    let found = usize::try_from(wanted).ok().and_then(|wanted| line.versions.get(wanted.checked_sub(1)?));
    let Some(pipeline) = found else {
        let message = format!("Pipeline '{}' does not have a version {wanted}", line.pipeline().id.name);
        return Err(Refusal::new("PipelineVersionNotFoundException", &message));
    };
    let PipelineId { account, region, name } = &pipeline.id;
    let artifacts = |names: &[String]| -> Value { names.iter().map(|name| json!({ "name": name })).collect() };
    let inputs: Vec<String> = pipeline.source_actions().flat_map(|source| source.outputs.clone()).collect();
    let action = |action: &Action| {
        json!({
            "name": action.name,
            "actionTypeId": action.kind(),
            "runOrder": action.run_order,
            "configuration": action.configuration,
            "outputArtifacts": artifacts(&action.outputs),
            "inputArtifacts": artifacts(if action.is_source() { &[] } else { &inputs }),
        })
    };
    let stages: Vec<Value> = pipeline
        .stages
        .iter()
        .map(|stage| json!({"name": stage.name, "actions": stage.actions.iter().map(action).collect::<Vec<_>>()}))
        .collect();
    let mut structure = json!({
        "name": name,
        "roleArn": format!("arn:aws:iam::{account}:role/service-role/{name}"),
        "artifactStore": {"type": "S3", "location": format!("codepipeline-{region}-{account}")},
        "stages": stages,
        "version": wanted,
        "executionMode": pipeline.mode.name(),
        "pipelineType": kind(pipeline),
    });
    if !pipeline.variables.is_empty() {
        let variable = |(name, default): (&String, &Option<String>)| match default {
            Some(default) => json!({"name": name, "defaultValue": default}),
            None => json!({ "name": name }),
        };
        structure["variables"] = pipeline.variables.iter().map(variable).collect();
    }
    let metadata = json!({
        "pipelineArn": pipeline.id.arn(),
        "created": epoch(line.created_at),
        "updated": epoch(line.updated_at),
    });
    Ok(json!({"pipeline": structure, "metadata": metadata}))
}

fn kind(pipeline: &Pipeline) -> &'static str {
    match pipeline.kind {
        PipelineType::V1 => "V1",
        PipelineType::V2 => "V2",
    }
}

/// "Parallel mode does not have a pipeline state" (User Guide, "View pipelines").
fn get_state(line: &Line) -> Value {
    let pipeline = line.pipeline();
    let brief = |execution: &Execution, status: Status| json!({"pipelineExecutionId": execution.id, "status": status.name(), "type": "STANDARD"});
    let stage_state = |(index, stage): (usize, &super::Stage)| {
        let been_here = |execution: &&Execution| execution.stages.get(index).is_some_and(|run| run.status.is_some());
        let latest = line.executions.iter().rev().find(been_here);
        let actions = stage.actions.iter().enumerate().map(|(number, action)| {
            let runs = latest.and_then(|latest| latest.stages.get(index)).map(|stage| stage.runs.as_slice());
            let run = runs.unwrap_or_default().iter().rev().find(|run| run.action == number);
            let mut state = json!({"actionName": action.name});
            if let Some(run) = run {
                state["latestExecution"] = json!({
                    "actionExecutionId": run.id,
                    "status": run.status.name(),
                    "lastStatusChange": epoch(run.updated_at),
                });
                // Names an open request ("`ActionExecution`, `token`").
                if action.is_approval() && run.status == ActionStatus::InProgress {
                    state["latestExecution"]["token"] = json!(run.id);
                }
                if let Some(failure) = &run.failure {
                    state["latestExecution"]["errorDetails"] =
                        json!({"code": failure.code, "message": failure.message});
                }
            }
            state
        });
        let mut state = json!({
            "stageName": stage.name,
            "inboundTransitionState": transition(line.transitions.get(&stage.name)),
            "actionStates": actions.collect::<Vec<_>>(),
        });
        let inbound: Vec<Value> = line
            .executions
            .iter()
            .filter(|execution| execution.waits_for(index))
            .map(|execution| brief(execution, execution.status))
            .collect();
        if let Some(first) = inbound.first() {
            state["inboundExecution"] = first.clone();
            state["inboundExecutions"] = json!(inbound);
        }
        let status = latest.and_then(|latest| latest.stages.get(index)).and_then(|stage| stage.status);
        if let (Some(latest), Some(status)) = (latest, status) {
            state["latestExecution"] = brief(latest, status);
            let retries = latest.stages.get(index).map_or(0, |stage| stage.retries);
            if retries > 0 {
                state["retryStageMetadata"] =
                    json!({"manualStageRetryAttempt": retries, "latestRetryTrigger": "ManualStageRetry"});
            }
        }
        state
    };
    let states: Vec<Value> = match pipeline.mode {
        ExecutionMode::Parallel => Vec::new(),
        ExecutionMode::Superseded | ExecutionMode::Queued => {
            pipeline.stages.iter().enumerate().map(stage_state).collect()
        }
    };
    json!({
        "pipelineName": pipeline.id.name,
        "pipelineVersion": line.version(),
        "stageStates": states,
        "created": epoch(line.created_at),
        "updated": epoch(line.updated_at),
    })
}

/// Who changed a transition is told once somebody has.
fn transition(changed: Option<&Transition>) -> Value {
    let Some(Transition { enabled, by, at, reason }) = changed else { return json!({"enabled": true}) };
    let mut told = json!({"enabled": enabled, "lastChangedBy": by, "lastChangedAt": epoch(*at)});
    if let Some(reason) = reason {
        told["disabledReason"] = json!(reason);
    }
    told
}

fn not_found(line: &Line, id: &str) -> Refusal {
    let message = format!("Pipeline '{}' does not have an execution with id '{id}'", line.pipeline().id.name);
    Refusal::new("PipelineExecutionNotFoundException", &message)
}

/// The revisions that the source actions have told so far.
fn sources<'a>(line: &'a Line, execution: &'a Execution) -> impl Iterator<Item = (&'a Action, &'a Revision)> {
    let stages = line.structure(execution).stages.iter().enumerate();
    let actions = stages.flat_map(|(stage, found)| found.actions.iter().enumerate().map(move |(n, a)| (stage, n, a)));
    let told =
        actions.filter(|(stage, number, action)| action.is_source() && execution.knows_its_source(*stage, *number));
    told.filter_map(|(_, _, action)| execution.revisions.get(&action.name).map(|revision| (action, revision)))
}

/// A connection wraps the commit's message into JSON; every other source tells it as it is.
fn summary(action: &Action, revision: &Revision) -> Option<String> {
    let message = revision.message.as_ref()?;
    Some(match action.provider.as_str() {
        "CodeStarSourceConnection" => json!({"ProviderType": "GitHub", "CommitMessage": message}).to_string(),
        _ => message.clone(),
    })
}

fn trigger(execution: &Execution) -> Value {
    json!({"triggerType": execution.cause.kind(), "triggerDetail": execution.cause.detail()})
}

fn get_execution(line: &Line, body: &Body) -> Answered {
    let id = word(body, "pipelineExecutionId").unwrap_or_default();
    let execution = line.find(id).map(|index| &line.executions[index]).ok_or_else(|| not_found(line, id))?;
    let structure = line.structure(execution);
    let revisions = sources(line, execution).flat_map(|(action, revision)| {
        action.outputs.iter().map(move |name| {
            let mut told = json!({
                "name": name,
                "revisionId": revision.id,
                "revisionChangeIdentifier": "v1",
                "created": epoch(execution.started_at),
            });
            if let Some(summary) = summary(action, revision) {
                told["revisionSummary"] = json!(summary);
            }
            if let Some(url) = &revision.url {
                told["revisionUrl"] = json!(url);
            }
            told
        })
    });
    let variable = |(name, value): (&String, &String)| json!({"name": name, "resolvedValue": value});
    Ok(json!({"pipelineExecution": {
        "pipelineName": structure.id.name,
        "pipelineVersion": execution.version,
        "pipelineExecutionId": execution.id,
        "status": execution.status.name(),
        "artifactRevisions": revisions.collect::<Vec<_>>(),
        "variables": execution.variables.iter().map(variable).collect::<Vec<_>>(),
        "trigger": trigger(execution),
        "executionMode": structure.mode.name(),
        "executionType": "STANDARD",
    }}))
}

/// A page of what is newest first, and where the next one begins. `number` of an item never changes, so that what is
/// new meanwhile moves no page.
fn page<T>(items: Vec<(usize, T)>, body: &Body, name: &str, show: impl Fn(&T) -> Value) -> Answered {
    let size =
        body.get("maxResults").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok()).unwrap_or(100);
    let before = match word(body, "nextToken").map(|token| token.strip_prefix("before-").map(str::parse::<usize>)) {
        None => usize::MAX,
        Some(Some(Ok(before))) => before,
        Some(None | Some(Err(_))) => {
            return Err(Refusal::new(
                "InvalidNextTokenException",
                "The next token was specified in an invalid format.",
            ));
        }
    };
    let left: Vec<(usize, T)> = items.into_iter().filter(|(number, _)| *number < before).collect();
    let shown: Vec<Value> = left.iter().take(size).map(|(_, item)| show(item)).collect();
    let mut answer = json!({ name: shown });
    if left.len() > size {
        answer["nextToken"] = json!(format!("before-{}", left[size - 1].0));
    }
    Ok(answer)
}

fn list_executions(line: &Line, body: &Body) -> Answered {
    let stage = body.get("filter").and_then(|filter| filter["succeededInStage"]["stageName"].as_str());
    let succeeded_there = |execution: &Execution| {
        let stages = line.structure(execution).stages.iter().zip(&execution.stages);
        stage.is_none_or(|wanted| {
            stages.into_iter().any(|(found, run)| found.name == wanted && run.status == Some(Status::Succeeded))
        })
    };
    let newest_first = line.executions.iter().enumerate().rev();
    let items = newest_first.filter(|(_, execution)| succeeded_there(execution)).collect();
    page(items, body, "pipelineExecutionSummaries", |execution| {
        let revisions = sources(line, execution).map(|(action, revision)| {
            let mut told = json!({"actionName": action.name, "revisionId": revision.id});
            if let Some(summary) = summary(action, revision) {
                told["revisionSummary"] = json!(summary);
            }
            if let Some(url) = &revision.url {
                told["revisionUrl"] = json!(url);
            }
            told
        });
        let mut told = json!({
            "pipelineExecutionId": execution.id,
            "status": execution.status.name(),
            "startTime": epoch(execution.started_at),
            "lastUpdateTime": epoch(execution.updated_at),
            "sourceRevisions": revisions.collect::<Vec<_>>(),
            "trigger": trigger(execution),
            "executionMode": line.structure(execution).mode.name(),
            "executionType": "STANDARD",
        });
        if let Some(reason) = execution.stop_reason() {
            told["stopTrigger"] = json!({ "reason": reason });
        }
        told
    })
}

fn list_actions(line: &Line, body: &Body) -> Answered {
    let filter = body.get("filter").unwrap_or(&Value::Null);
    let latest = &filter["latestInPipelineExecution"];
    let wanted = filter["pipelineExecutionId"].as_str().or_else(|| latest["pipelineExecutionId"].as_str());
    if let Some(wanted) = wanted.filter(|wanted| line.find(wanted).is_none()) {
        return Err(not_found(line, wanted));
    }
    let only_latest = latest["startTimeRange"] == "Latest";
    let mut runs: Vec<(&Execution, usize, &ActionRun)> = line
        .executions
        .iter()
        .filter(|execution| wanted.is_none_or(|wanted| execution.id == wanted))
        .flat_map(|execution| {
            let stages = execution.stages.iter().enumerate();
            stages.flat_map(move |(stage, found)| found.runs.iter().map(move |run| (execution, stage, run)))
        })
        .filter(|(_, _, run)| !only_latest || !run.is_past)
        .collect();
    runs.sort_by_key(|(_, _, run)| run.started_at);
    let newest_first = runs.into_iter().enumerate().rev().collect();
    page(newest_first, body, "actionExecutionDetails", |(execution, stage, run)| {
        action_execution(line.structure(execution), execution, *stage, run)
    })
}

fn action_execution(structure: &Pipeline, execution: &Execution, stage: usize, run: &ActionRun) -> Value {
    let action = &structure.stages[stage].actions[run.action];
    let artifact = |name: &String| json!({"name": name, "s3location": location(&structure.id, &execution.id, name)});
    let inputs: Vec<Value> = if action.is_source() {
        Vec::new()
    } else {
        structure.source_actions().flat_map(|source| &source.outputs).map(artifact).collect()
    };
    let mut told = json!({
        "pipelineExecutionId": execution.id,
        "actionExecutionId": run.id,
        "pipelineVersion": execution.version,
        "stageName": structure.stages[stage].name,
        "actionName": action.name,
        "startTime": epoch(run.started_at),
        "lastUpdateTime": epoch(run.updated_at),
        "status": run.status.name(),
        "input": {
            "actionTypeId": action.kind(),
            "configuration": action.configuration,
            "resolvedConfiguration": action.configuration,
            "region": structure.id.region,
            "inputArtifacts": inputs,
        },
    });
    let revision = execution.revisions.get(&action.name).filter(|_| action.is_source());
    match (run.status, revision, &run.failure) {
        (ActionStatus::Succeeded, Some(revision), _) => {
            let mut result = json!({"externalExecutionId": revision.id});
            if let Some(summary) = summary(action, revision) {
                result["externalExecutionSummary"] = json!(summary);
            }
            if let Some(url) = &revision.url {
                result["externalExecutionUrl"] = json!(url);
            }
            told["output"] = json!({
                "outputArtifacts": action.outputs.iter().map(artifact).collect::<Vec<_>>(),
                "executionResult": result,
                "outputVariables": revision.variables,
            });
        }
        (_, _, Some(failure)) => {
            told["output"] = json!({"executionResult": {
                "externalExecutionId": EXTERNAL_ID,
                "externalExecutionSummary": failure.message,
                "externalExecutionUrl": external_url(&structure.id, &action.provider),
                "errorDetails": {"code": failure.code, "message": failure.message},
            }});
        }
        (_, _, None) => {}
    }
    told
}

fn list_pipelines(world: &World, call: &Call<'_>) -> Value {
    let here = world.lines.iter().filter(|(id, _)| id.account == call.account && id.region == call.region);
    let pipelines: Vec<Value> = here
        .map(|(id, line)| {
            json!({
                "name": id.name,
                "version": line.version(),
                "pipelineType": kind(line.pipeline()),
                "executionMode": line.pipeline().mode.name(),
                "created": epoch(line.created_at),
                "updated": epoch(line.updated_at),
            })
        })
        .collect();
    json!({ "pipelines": pipelines })
}

fn list_tags(world: &World, call: &Call<'_>, body: &Body) -> Answered {
    let arn = word(body, "resourceArn").unwrap_or_default();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "codepipeline", region, account, name] = parts.as_slice() else {
        return Err(Refusal::new("InvalidArnException", "The specified resource ARN is invalid."));
    };
    let line = world.lines.get(&PipelineId::new(account, region, name));
    match line.filter(|_| *account == call.account && *region == call.region) {
        Some(line) => {
            let tag = |(key, value): (&String, &String)| json!({"key": key, "value": value});
            Ok(json!({"tags": line.pipeline().tags.iter().map(tag).collect::<Vec<_>>()}))
        }
        None => Err(Refusal::new("ResourceNotFoundException", "The resource was specified in an invalid format.")),
    }
}
