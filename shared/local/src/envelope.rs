//! Events as EventBridge delivers them, in the shapes that the user guides of the four engines document: of CodePipeline
//! and CodeBuild with numbers as floats, as the services send them.

use manifold_core::engine::{GroupName, Service, Subject};
use manifold_core::event::PipelineState;
use manifold_core::ids::{ExecutionId, PipelineName, ProjectName, StackName, TargetKey};
use manifold_core::time::Timestamp;
use serde_json::{Value, json};

/// What tells in the simulation who stopped an execution.
const BY_HAND: &str = "Stopped by hand in the simulation";

/// One execution, as events name it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) target: TargetKey,
    pub(crate) subject: Subject,
    pub(crate) execution: ExecutionId,
    pub(crate) started_at: Timestamp,
    /// Why it will fail, if it will.
    pub(crate) error_code: Option<String>,
}

impl Source {
    fn wrap(
        &self,
        id: &str,
        source: &str,
        detail_type: &str,
        at: Timestamp,
        resources: &[String],
        detail: Value,
    ) -> Value {
        let TargetKey { account, region } = &self.target;
        json!({
            "version": "0",
            "id": id,
            "detail-type": detail_type,
            "source": source,
            "account": account,
            "time": at.to_string(),
            "region": region,
            "resources": resources,
            "detail": detail,
        })
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let TargetKey { account, region } = &self.target;
        format!("arn:{}:{service}:{region}:{account}:{resource}", region.partition().as_str())
    }

    /// An execution's change of state, if its engine tells it. Who started it is told with the first one alone, and by
    /// CodeBuild with each.
    pub(crate) fn state(
        &self,
        id: &str,
        state: &PipelineState,
        attempt: u32,
        at: Timestamp,
        session: &str,
    ) -> Option<Value> {
        match &self.subject {
            Subject::Pipeline(name) => {
                let by = (*state == PipelineState::Started).then_some(session);
                Some(self.pipeline(name, id, state, attempt, at, by))
            }
            Subject::Project(name) => self.build(name, id, state, at, session),
            Subject::Stack(name) => self.stack(name, id, state, at),
            Subject::Group(name) => self.deployment(name, id, state, at),
        }
    }

    /// What failed within an execution, if its engine tells it apart from the failure itself.
    pub(crate) fn failed(&self, id: &str, what: &str, code: &str, attempt: u32, at: Timestamp) -> Option<Value> {
        match &self.subject {
            Subject::Pipeline(name) => Some(self.action_failed(name, id, what, code, attempt, at)),
            Subject::Stack(name) => Some(self.resource_failed(name, id, code, at)),
            Subject::Project(_) | Subject::Group(_) => None,
        }
    }

    fn pipeline(
        &self,
        name: &PipelineName,
        id: &str,
        state: &PipelineState,
        attempt: u32,
        at: Timestamp,
        started_by: Option<&str>,
    ) -> Value {
        let mut detail = json!({
            "pipeline": name,
            "execution-id": self.execution,
            "start-time": self.started_at.to_string(),
            "state": state,
            "version": 1.0,
            "pipeline-execution-attempt": f64::from(attempt),
        });
        if let Some(arn) = started_by {
            detail["execution-trigger"] = json!({"trigger-type": "StartPipelineExecution", "trigger-detail": arn});
        }
        if matches!(state, PipelineState::Stopping) {
            detail["stop-execution-comments"] = json!(BY_HAND);
        }
        let resources = [self.arn("codepipeline", name.as_str())];
        self.wrap(id, "aws.codepipeline", "CodePipeline Pipeline Execution State Change", at, &resources, detail)
    }

    fn action_failed(
        &self,
        name: &PipelineName,
        id: &str,
        action: &str,
        code: &str,
        attempt: u32,
        at: Timestamp,
    ) -> Value {
        let region = &self.target.region;
        let detail = json!({
            "pipeline": name,
            "execution-id": self.execution,
            "start-time": self.started_at.to_string(),
            "stage": "Deploy",
            "action": action,
            "state": "FAILED",
            "region": region,
            "type": {"owner": "AWS", "provider": "CodeDeploy", "category": "Deploy", "version": "1"},
            "execution-result": {
                "external-execution-summary": words(code),
                "external-execution-id": "d-SIMULATED",
                "external-execution-url":
                    format!("https://{region}.console.aws.amazon.com/codesuite/codedeploy/deployments/d-SIMULATED?region={region}"),
                "error-code": code,
            },
            "version": 1.0,
            "pipeline-execution-attempt": f64::from(attempt),
        });
        let resources = [self.arn("codepipeline", name.as_str())];
        self.wrap(id, "aws.codepipeline", "CodePipeline Action Execution State Change", at, &resources, detail)
    }

    fn build(
        &self,
        name: &ProjectName,
        id: &str,
        state: &PipelineState,
        at: Timestamp,
        session: &str,
    ) -> Option<Value> {
        let status = match state {
            PipelineState::Started => "IN_PROGRESS",
            PipelineState::Succeeded => "SUCCEEDED",
            PipelineState::Failed => "FAILED",
            PipelineState::Stopped => "STOPPED",
            PipelineState::Unknown(text) => text,
            PipelineState::Resumed | PipelineState::Stopping | PipelineState::Canceled | PipelineState::Superseded => {
                return None;
            }
        };
        let build = self.arn("codebuild", &format!("build/{}", self.execution));
        let region = &self.target.region;
        let log = self.execution.as_str().rsplit(':').next().unwrap_or_default();
        let phases = match (state, &self.error_code) {
            (PipelineState::Failed, Some(code)) => json!([
                {"phase-type": "INSTALL", "phase-status": "SUCCEEDED", "phase-context": []},
                {"phase-type": "BUILD", "phase-status": "FAILED", "phase-context": [format!("{code}: {}", words(code))]},
                {"phase-type": "COMPLETED"},
            ]),
            _ => json!([]),
        };
        let initiator = session.rsplit_once(":assumed-role/").map_or(session, |(_, initiator)| initiator);
        let detail = json!({
            "build-status": status,
            "project-name": name,
            "build-id": build,
            "current-phase": if *state == PipelineState::Started { "SUBMITTED" } else { "COMPLETED" },
            "current-phase-context": "[]",
            "version": "1",
            "additional-information": {
                "build-number": 1.0,
                "build-complete": *state != PipelineState::Started,
                "initiator": initiator,
                "logs": {
                    "group-name": format!("/aws/codebuild/{name}"),
                    "stream-name": log,
                    "deep-link": format!(
                        "https://console.aws.amazon.com/cloudwatch/home?region={region}#logEvent:group=/aws/codebuild/{name};stream={log}"
                    ),
                },
                "phases": phases,
            },
        });
        Some(self.wrap(id, "aws.codebuild", "CodeBuild Build State Change", at, &[build], detail))
    }

    fn stack_arn(&self, name: &StackName) -> String {
        self.arn("cloudformation", &format!("stack/{name}/5ca1ab1e-0000-4000-8000-000000000000"))
    }

    fn stack(&self, name: &StackName, id: &str, state: &PipelineState, at: Timestamp) -> Option<Value> {
        let status = match state {
            PipelineState::Started => "UPDATE_IN_PROGRESS",
            PipelineState::Stopping => "UPDATE_ROLLBACK_IN_PROGRESS",
            PipelineState::Succeeded => "UPDATE_COMPLETE",
            PipelineState::Failed => "UPDATE_ROLLBACK_COMPLETE",
            PipelineState::Unknown(text) => text,
            PipelineState::Resumed | PipelineState::Stopped | PipelineState::Canceled | PipelineState::Superseded => {
                return None;
            }
        };
        let stack = self.stack_arn(name);
        let detail = json!({
            "stack-id": stack,
            "status-details": {"status": status, "status-reason": ""},
            "client-request-token": self.execution,
        });
        Some(self.wrap(id, "aws.cloudformation", "CloudFormation Stack Status Change", at, &[stack], detail))
    }

    fn resource_failed(&self, name: &StackName, id: &str, code: &str, at: Timestamp) -> Value {
        let stack = self.stack_arn(name);
        let detail = json!({
            "stack-id": stack,
            "logical-resource-id": "Service",
            "physical-resource-id": format!("{name}-Service"),
            "status-details": {"status": "UPDATE_FAILED", "status-reason": words(code)},
            "resource-type": "AWS::ECS::Service",
            "client-request-token": self.execution,
        });
        self.wrap(id, "aws.cloudformation", "CloudFormation Resource Status Change", at, &[stack], detail)
    }

    fn deployment(&self, name: &GroupName, id: &str, state: &PipelineState, at: Timestamp) -> Option<Value> {
        let state = match state {
            PipelineState::Started => "START",
            PipelineState::Succeeded => "SUCCESS",
            PipelineState::Failed => "FAILURE",
            PipelineState::Stopped => "STOP",
            PipelineState::Unknown(text) => text,
            PipelineState::Resumed | PipelineState::Stopping | PipelineState::Canceled | PipelineState::Superseded => {
                return None;
            }
        };
        let resources = [
            self.arn("codedeploy", &format!("application:{}", name.application())),
            self.arn("codedeploy", &format!("deploymentgroup:{}", name.as_str())),
        ];
        let detail = json!({
            "application": name.application(),
            "deploymentGroup": name.group(),
            "deploymentId": self.execution,
            "instanceGroupId": "9fd2fbef-2157-40d8-91e7-6845af69e2d2",
            "region": self.target.region,
            "state": state,
        });
        let detail_type = "CodeDeploy Deployment State-change Notification";
        Some(self.wrap(id, "aws.codedeploy", detail_type, at, &resources, detail))
    }
}

/// What a simulated engine says of a failure.
pub(crate) fn words(code: &str) -> String {
    format!("Simulated: the deployment ended with {code}")
}

/// What a simulated engine's failures are grouped by, as its events and its answers tell it.
pub(crate) fn cause(service: Service, code: &str) -> String {
    match service {
        Service::CodePipeline => format!("{code} in action Deploy"),
        Service::CodeBuild => "FAILED in phase BUILD".to_owned(),
        Service::CloudFormation => "UPDATE_FAILED of Service (AWS::ECS::Service)".to_owned(),
        Service::CodeDeploy => format!("{code} in lifecycle event AfterAllowTestTraffic"),
    }
}
