//! CodePipeline: one pipeline in every target account and Region, and the release pipeline in the hub.
//!
//! Whose pipeline is meant is not in a request: the account follows from the credentials that signed it, the Region
//! from the scope that it was signed for.

use std::collections::BTreeMap;

use manifold_core::ids::TargetKey;
use manifold_core::time::{Span, Timestamp};
use manifold_local::behaviour::Behaviour;
use manifold_ports::clock::Clock;
use serde_json::{Map, Value, json};
use wiremock::ResponseTemplate;

use super::events::Teller;
use super::{Answered, Caller, Emitted, HUB_ACCOUNT, HUB_REGION, State, error, fields, list, ok, text, uuid};
use crate::COMMIT;
use crate::wire::engines::{Fate, Mishap, told};
use crate::wire::epoch;
use crate::wire::events::pipeline_arn;

/// The pipeline in every target.
pub const PIPELINE: &str = "svc-deploy";
/// The pipeline that releases.
const RELEASE_PIPELINE: &str = "web-release";
/// How many requests a throttling engine refuses.
const THROTTLED_REQUESTS: u32 = 2;
/// How long an event takes from the target's Region to the hub.
pub(super) const FORWARDING: Span = Span::from_seconds(1);
/// How long the actions that run go on after a request to stop.
const STOPPING: Span = Span::from_seconds(20);

/// An execution in a target.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Account and Region.
    pub target: TargetKey,
    /// The pipeline.
    pub pipeline: String,
    /// Its id.
    pub id: String,
    /// The client request token that it was started with.
    pub token: String,
    /// The request's source revisions.
    pub revisions: Value,
    /// The request's variables.
    pub variables: BTreeMap<String, String>,
    /// The ARN of the session that started it.
    pub started_by: String,
    /// How often it was asked for: more than once when an answer was lost.
    pub requests: u32,
    /// When it was started.
    pub started_at: Timestamp,
    ends_at: Timestamp,
    behaviour: Behaviour,
    /// Why it fails, if it does.
    why: String,
    /// When somebody asked to stop it, and in which words.
    pub(super) stopped: Option<(Timestamp, String)>,
    request: Value,
}

/// An event that is told when it happens.
#[derive(Debug)]
struct Untold {
    execution: String,
    at: Timestamp,
    body: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    pub(crate) executions: Vec<Execution>,
    pub(crate) emitted: Vec<Emitted>,
    untold: Vec<Untold>,
    told: u64,
    refused: BTreeMap<TargetKey, u32>,
}

/// The failed action's page.
pub(super) fn action_url(target: &TargetKey) -> String {
    let region = &target.region;
    format!("https://{region}.console.aws.amazon.com/codesuite/codedeploy/deployments/d-ABC123DEF?region={region}")
}

impl State {
    pub(super) fn codepipeline(&mut self, operation: &str, caller: &Caller, body: &Value) -> Answered {
        let Some(session) = &caller.session else { return hub(operation, caller, body) };
        let target = TargetKey {
            account: caller.account.parse().map_err(|_| "no account".to_owned())?,
            region: caller.region.parse().map_err(|_| format!("no Region: {}", caller.region))?,
        };
        let name = body.get("name").or_else(|| body.get("pipelineName")).and_then(Value::as_str).unwrap_or_default();
        let resource = pipeline_arn(target.account.as_str(), target.region.as_str(), name);
        if !session.allows(&format!("codepipeline:{operation}"), &resource) {
            return Err(format!("the session policy does not allow it on {resource}: {}", session.policy));
        }
        if name != PIPELINE || self.setting.behaviours.of(&target) == Behaviour::PipelineNotFound {
            let message = format!("Account '{}' does not have a pipeline with name '{name}'", target.account);
            return Ok(error(400, "PipelineNotFoundException", &message, &Value::Null));
        }
        match self.engines.called(&target, operation) {
            Some(Mishap::Refused { code, message }) => Ok(error(400, &code, &message, &Value::Null)),
            Some(Mishap::Throttled) => Ok(error(400, "ThrottlingException", "Rate exceeded", &Value::Null)),
            Some(Mishap::Unanswered) => {
                self.carry_out(operation, target, session.arn(), body)?;
                *self.lost.entry(format!("codepipeline.{operation}")).or_default() += 1;
                Ok(ResponseTemplate::new(500))
            }
            None => self.carry_out(operation, target, session.arn(), body),
        }
    }

    fn carry_out(&mut self, operation: &str, target: TargetKey, caller: String, body: &Value) -> Answered {
        match operation {
            "StartPipelineExecution" => self.start(target, caller, body),
            "StopPipelineExecution" => self.stop(&target, body),
            "ListPipelineExecutions" => self.list_executions(&target, body),
            "ListActionExecutions" => self.list_actions(&target, body),
            other => Err(format!("the engine does not call {other}")),
        }
    }

    fn start(&mut self, target: TargetKey, started_by: String, request: &Value) -> Answered {
        let body = fields(request, &["name", "variables", "clientRequestToken", "sourceRevisions"])?;
        let token = text(body, "clientRequestToken")?;
        if token.len() > 128 || !token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(format!("{token} is no token"));
        }
        let variables = variables(body)?;
        for revision in list(body, "sourceRevisions")? {
            let revision = fields(revision, &["actionName", "revisionType", "revisionValue"])?;
            text(revision, "actionName")?;
            text(revision, "revisionType")?;
            text(revision, "revisionValue")?;
        }
        let known = self.pipelines.executions.iter_mut().find(|e| e.token == token && e.target == target);
        if let Some(known) = known {
            if known.request != *request {
                return Err(format!("the token {token} was used for another request"));
            }
            known.requests += 1;
            return Ok(ok(&json!({"pipelineExecutionId": known.id})));
        }
        let is_first = self.pipelines.executions.iter().all(|execution| execution.target != target);
        let (behaviour, why, takes) = match self.engines.fate(&target) {
            Some(Fate::Succeeds { after }) => (Behaviour::Succeeds, None, Some(after)),
            Some(Fate::Fails { after, failure }) => (Behaviour::Fails(failure.code), Some(failure.reason), Some(after)),
            Some(Fate::NeverEnds) => (Behaviour::Silent, None, None),
            None => (self.setting.behaviours.of(&target).after(is_first), None, None),
        };
        if behaviour == Behaviour::Throttled {
            let refused = self.pipelines.refused.entry(target.clone()).or_default();
            *refused += 1;
            if *refused <= THROTTLED_REQUESTS {
                return Ok(error(400, "ThrottlingException", "Rate exceeded", &Value::Null));
            }
        }
        let number = self.pipelines.executions.len() as u64 + 1;
        let started_at = self.clock.now();
        // Some take longer than others, and those that started later may end earlier.
        let usually = Span::from_seconds(90 + i64::try_from(number * 37 % 90).unwrap_or(0));
        let execution = Execution {
            pipeline: PIPELINE.to_owned(),
            id: uuid(0xe4ec, number),
            token: token.to_owned(),
            revisions: body.get("sourceRevisions").cloned().unwrap_or_default(),
            variables,
            started_by,
            requests: 1,
            started_at,
            ends_at: started_at.plus(takes.unwrap_or(usually)),
            behaviour,
            why: why.unwrap_or_else(|| "The health checks of 3 of 4 instances failed".to_owned()),
            stopped: None,
            request: request.clone(),
            target,
        };
        self.tell(&execution);
        let answer = ok(&json!({"pipelineExecutionId": execution.id}));
        self.pipelines.executions.push(execution);
        Ok(answer)
    }

    /// "abandon: false": what runs is finished, and nothing more begins.
    fn stop(&mut self, target: &TargetKey, body: &Value) -> Answered {
        let body = fields(body, &["pipelineName", "pipelineExecutionId", "abandon", "reason"])?;
        let (id, reason) = (text(body, "pipelineExecutionId")?, text(body, "reason")?.to_owned());
        if body.get("abandon") != Some(&Value::Bool(false)) || reason.chars().count() > 200 {
            return Err("nothing is abandoned, and a reason has at most 200 characters".to_owned());
        }
        let now = self.clock.now();
        let found = self.pipelines.executions.iter_mut().find(|each| each.id == id && each.target == *target);
        let refused = |code: &str| Ok(error(400, code, &format!("The execution {id} can't be stopped"), &Value::Null));
        let Some(found) = found else { return refused("PipelineExecutionNotStoppableException") };
        match found.status(now) {
            "InProgress" => {}
            "Stopping" => return refused("DuplicatedStopRequestException"),
            _ => return refused("PipelineExecutionNotStoppableException"),
        }
        found.stopped = Some((now, reason));
        let stopped = found.clone();
        self.pipelines.untold.retain(|event| event.execution != id);
        self.tell_states(&stopped, vec![("STOPPING", now, 1), ("STOPPED", now.plus(STOPPING), 1)]);
        Ok(ok(&json!({"pipelineExecutionId": id})))
    }

    /// Says what an execution will tell, if nobody stops it.
    fn tell(&mut self, execution: &Execution) {
        let (start, end) = (execution.started_at, execution.ends_at);
        let half = start.plus(Span::from_millis(end.since(start).as_millis() / 2));
        let later = |minutes: i64| end.plus(Span::from_minutes(minutes));
        let mut states = vec![("STARTED", start.plus(Span::from_seconds(1)), 1)];
        let mut failure = None;
        match &execution.behaviour {
            Behaviour::Succeeds | Behaviour::Throttled | Behaviour::Current | Behaviour::Replaces => {
                states.push(("SUCCEEDED", end, 1));
            }
            Behaviour::Fails(code) => {
                failure = Some(code.clone());
                states.push(("FAILED", end, 1));
            }
            Behaviour::FailsThenRetried => {
                failure = Some("JobFailed".to_owned());
                states.extend([("FAILED", end, 1), ("RESUMED", later(1), 2), ("SUCCEEDED", later(2), 2)]);
            }
            Behaviour::RetriedLate => {
                failure = Some("JobFailed".to_owned());
                states.extend([("FAILED", end, 1), ("RESUMED", later(60), 2), ("SUCCEEDED", later(61), 2)]);
            }
            Behaviour::RetriedInVain => {
                failure = Some("JobFailed".to_owned());
                states.extend([("FAILED", end, 1), ("RESUMED", later(1), 2), ("FAILED", later(2), 2)]);
            }
            Behaviour::FailsOnce => {
                failure = Some("JobFailed".to_owned());
                states.push(("FAILED", end, 1));
            }
            Behaviour::Superseded => states.push(("SUPERSEDED", half, 1)),
            Behaviour::Canceled => states.push(("CANCELED", half, 1)),
            Behaviour::Stopped => states.extend([("STOPPING", half, 1), ("STOPPED", end, 1)]),
            Behaviour::UnknownState => states.extend([("HIBERNATING", half, 1), ("SUCCEEDED", end, 1)]),
            Behaviour::Silent | Behaviour::AccessDenied | Behaviour::PipelineNotFound => {}
        }
        if let Some(code) = failure.filter(|_| !self.setting.no_action_events) {
            let teller = Teller { execution, id: self.pipelines.event_id(), at: end, attempt: 1 };
            let body = teller.action_failed(&code);
            self.will_tell(execution, end, body);
        }
        self.tell_states(execution, states);
    }

    fn tell_states(&mut self, execution: &Execution, states: Vec<(&str, Timestamp, u32)>) {
        for (state, at, attempt) in states {
            let teller = Teller { execution, id: self.pipelines.event_id(), at, attempt };
            let body = teller.state(state);
            self.will_tell(execution, at, body);
        }
    }

    fn will_tell(&mut self, execution: &Execution, at: Timestamp, body: Value) {
        if !self.setting.no_events && !self.engines.are_events_lost(&execution.target) {
            self.pipelines.untold.push(Untold { execution: execution.id.clone(), at, body });
        }
    }

    fn list_executions(&self, target: &TargetKey, body: &Value) -> Answered {
        let body = fields(body, &["pipelineName", "maxResults", "nextToken"])?;
        page_size(body)?;
        let now = self.clock.now();
        // "The executions are listed with the newest first."
        let found: Vec<Value> = self
            .pipelines
            .executions
            .iter()
            .rev()
            .filter(|execution| execution.target == *target)
            .map(|execution| {
                let stopped = execution.stopped.as_ref().map(|(_, reason)| json!({"reason": reason}));
                told(json!({
                    "pipelineExecutionId": execution.id,
                    "status": execution.status(now),
                    "stopTrigger": stopped,
                    "startTime": epoch(execution.started_at),
                    "lastUpdateTime": epoch(now.min(execution.will_end_at())),
                    "trigger": {"triggerType": "StartPipelineExecution", "triggerDetail": execution.started_by},
                    "executionMode": "QUEUED",
                    "executionType": "STANDARD",
                }))
            })
            .collect();
        Ok(ok(&json!({ "pipelineExecutionSummaries": found })))
    }

    fn list_actions(&self, target: &TargetKey, body: &Value) -> Answered {
        let body = fields(body, &["pipelineName", "maxResults", "nextToken", "filter"])?;
        page_size(body)?;
        let filter = fields(body.get("filter").unwrap_or(&Value::Null), &["pipelineExecutionId"])?;
        let id = text(filter, "pipelineExecutionId")?;
        let execution = self.pipelines.executions.iter().find(|e| e.id == id && e.target == *target);
        let execution = execution.ok_or_else(|| format!("there is no execution {id} in {target}"))?;
        let kind = |category: &str, provider: &str| json!({"category": category, "owner": "AWS", "provider": provider, "version": "1"});
        let source = json!({
            "pipelineExecutionId": id, "actionExecutionId": uuid(0xac, 1), "stageName": "Source", "actionName": "Source",
            "startTime": epoch(execution.started_at), "lastUpdateTime": epoch(execution.started_at),
            "status": "Succeeded", "input": {"actionTypeId": kind("Source", "CodeStarSourceConnection")},
        });
        let code = execution.behaviour.error_code();
        let ended = execution.ends_at <= self.clock.now() && execution.stopped.is_none();
        let mut deploy = json!({
            "pipelineExecutionId": id, "actionExecutionId": uuid(0xac, 2), "stageName": "Deploy", "actionName": "Deploy",
            "startTime": epoch(execution.started_at), "lastUpdateTime": epoch(execution.ends_at),
            "status": if ended { "Succeeded" } else { "InProgress" },
            "input": {"actionTypeId": kind("Deploy", "CodeDeploy")},
        });
        if let Some(code) = code.filter(|_| ended) {
            deploy["status"] = json!("Failed");
            deploy["output"] = json!({"executionResult": {
                "externalExecutionId": "d-ABC123DEF",
                "externalExecutionSummary": "Deployment d-ABC123DEF failed",
                "externalExecutionUrl": action_url(target),
                "errorDetails": {"code": code, "message": execution.why},
            }});
        }
        Ok(ok(&json!({"actionExecutionDetails": [deploy, source]})))
    }
}

impl Pipelines {
    /// Takes the events of what happened until now, in order.
    pub(crate) fn told_until(&mut self, now: Timestamp) -> Vec<Emitted> {
        let (mut told, untold): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.untold).into_iter().partition(|event| event.at <= now);
        self.untold = untold;
        told.sort_by_key(|event| event.at);
        let told =
            told.into_iter().map(|event| Emitted { body: event.body.to_string(), due: event.at.plus(FORWARDING) });
        std::mem::take(&mut self.emitted).into_iter().chain(told).collect()
    }

    /// When the next event is told, or an execution ends.
    pub(crate) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.executions.iter().map(Execution::will_end_at).filter(|at| *at > now);
        self.untold.iter().map(|event| event.at).chain(ends).min()
    }

    fn event_id(&mut self) -> String {
        self.told += 1;
        uuid(0xebe7, self.told)
    }
}

impl Execution {
    /// When it ends, or would if it ever did.
    fn will_end_at(&self) -> Timestamp {
        self.stopped.as_ref().map_or(self.ends_at, |(at, _)| at.plus(STOPPING))
    }

    /// As the API spells it, which is not as events do.
    fn status(&self, now: Timestamp) -> &'static str {
        match (&self.stopped, self.ends_at) {
            (Some((at, _)), _) if now < at.plus(STOPPING) => return "Stopping",
            (Some(_), _) => return "Stopped",
            (None, ends_at) if now < ends_at => return "InProgress",
            (None, _) => {}
        }
        match self.behaviour {
            Behaviour::Fails(_) | Behaviour::FailsOnce | Behaviour::RetriedInVain => "Failed",
            Behaviour::Superseded => "Superseded",
            Behaviour::Canceled => "Cancelled",
            Behaviour::Stopped => "Stopped",
            Behaviour::Silent => "InProgress",
            Behaviour::Succeeds
            | Behaviour::FailsThenRetried
            | Behaviour::RetriedLate
            | Behaviour::AccessDenied
            | Behaviour::PipelineNotFound
            | Behaviour::Throttled
            | Behaviour::UnknownState
            | Behaviour::Current
            | Behaviour::Replaces => "Succeeded",
        }
    }
}

fn page_size(body: &Map<String, Value>) -> Result<(), String> {
    match body.get("maxResults").and_then(Value::as_i64) {
        Some(1..=100) if body.get("nextToken").is_none() => Ok(()),
        _ => Err("a page is of 1 to 100, and there is only one".to_owned()),
    }
}

/// "1 to 50 items", each with a value (`PipelineVariable`).
fn variables(body: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let Some(variables) = body.get("variables") else { return Ok(BTreeMap::new()) };
    let variables = variables.as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=50).contains(&variables.len()) {
        return Err(format!("{} variables", variables.len()));
    }
    let variable = |variable: &Value| {
        let variable = fields(variable, &["name", "value"])?;
        Ok((text(variable, "name")?.to_owned(), text(variable, "value")?.to_owned()))
    };
    variables.iter().map(variable).collect()
}

/// The release pipeline, with the hub's own credentials.
fn hub(operation: &str, caller: &Caller, body: &Value) -> Answered {
    if caller.account != HUB_ACCOUNT || caller.region != HUB_REGION {
        return Err(format!("the release pipeline is not in {}", caller.region));
    }
    let name = body.get("pipelineName").and_then(Value::as_str).unwrap_or_default();
    if name != RELEASE_PIPELINE {
        return Err(format!("the hub has no pipeline {name}"));
    }
    match operation {
        "GetPipelineExecution" => {
            let body = fields(body, &["pipelineName", "pipelineExecutionId"])?;
            let message = "Fix <b>&</b> “smart” quotes in the basket 🚀

They came out as entities.";
            let summary = json!({"ProviderType": "GitHub", "CommitMessage": message});
            Ok(ok(&json!({"pipelineExecution": {
                "pipelineName": RELEASE_PIPELINE,
                "pipelineVersion": 7,
                "pipelineExecutionId": text(body, "pipelineExecutionId")?,
                "status": "Succeeded",
                "artifactRevisions": [
                    {"name": "SourceArtifact", "revisionId": COMMIT, "revisionChangeIdentifier": "v1",
                     "revisionSummary": summary.to_string(),
                     "revisionUrl": format!("https://github.com/example-org/web/commit/{COMMIT}")},
                    {"name": "BuildArtifact"},
                ],
                "trigger": {"triggerType": "WebhookV2", "triggerDetail":
                    "arn:aws:codestar-connections:us-east-1:111122223333:connection/0f5b706a-1a1d-46c5-86b6-f177321bcfb2"},
                "executionMode": "QUEUED",
                "executionType": "STANDARD",
            }})))
        }
        "ListActionExecutions" => {
            let body = fields(body, &["pipelineName", "maxResults", "filter"])?;
            page_size(body)?;
            Ok(ok(&json!({"actionExecutionDetails": [{
                "actionName": "Source", "stageName": "Source", "status": "Succeeded",
                "input": {"actionTypeId": {"category": "Source", "owner": "AWS", "provider": "CodeStarSourceConnection", "version": "1"},
                    "configuration": {"FullRepositoryId": "example-org/web", "BranchName": "main"}},
                "output": {"outputArtifacts": [{"name": "SourceArtifact"}],
                    "outputVariables": {"AuthorDisplayName": "Mary Major", "BranchName": "main", "CommitId": COMMIT}},
            }]})))
        }
        other => Err(format!("releases are not read by {other}")),
    }
}
