//! Events as EventBridge delivers them: the shapes of the CodePipeline User Guide, "Monitoring CodePipeline events",
//! with numbers as floats, as the service sends them.

use manifold_core::event::PipelineState;
use manifold_core::ids::{ExecutionId, PipelineName, TargetKey};
use manifold_core::time::Timestamp;
use serde_json::{Value, json};

/// One execution, as events name it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) target: TargetKey,
    pub(crate) pipeline: PipelineName,
    pub(crate) execution: ExecutionId,
    pub(crate) started_at: Timestamp,
}

impl Subject {
    fn wrap(&self, id: &str, detail_type: &str, at: Timestamp, detail: Value) -> Value {
        let TargetKey { account, region } = &self.target;
        json!({
            "version": "0",
            "id": id,
            "detail-type": detail_type,
            "source": "aws.codepipeline",
            "account": account,
            "time": at.to_string(),
            "region": region,
            "resources": [format!(
                "arn:{}:codepipeline:{region}:{account}:{}", region.partition().as_str(), self.pipeline
            )],
            "detail": detail,
        })
    }

    /// A pipeline execution's change of state. `started_by` is told with STARTED alone.
    pub(crate) fn state(
        &self,
        id: &str,
        state: &PipelineState,
        attempt: u32,
        at: Timestamp,
        started_by: Option<&str>,
    ) -> Value {
        let mut detail = json!({
            "pipeline": self.pipeline,
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
            detail["stop-execution-comments"] = json!("Stopped by hand in the simulation");
        }
        self.wrap(id, "CodePipeline Pipeline Execution State Change", at, detail)
    }

    /// An action's failure.
    pub(crate) fn action_failed(&self, id: &str, action: &str, error_code: &str, attempt: u32, at: Timestamp) -> Value {
        let region = &self.target.region;
        let detail = json!({
            "pipeline": self.pipeline,
            "execution-id": self.execution,
            "start-time": self.started_at.to_string(),
            "stage": "Deploy",
            "action": action,
            "state": "FAILED",
            "region": region,
            "type": {"owner": "AWS", "provider": "CodeDeploy", "category": "Deploy", "version": "1"},
            "execution-result": {
                "external-execution-summary": format!("Simulated: the deployment ended with {error_code}"),
                "external-execution-id": "d-SIMULATED",
                "external-execution-url":
                    format!("https://{region}.console.aws.amazon.com/codesuite/codedeploy/deployments/d-SIMULATED?region={region}"),
                "error-code": error_code,
            },
            "version": 1.0,
            "pipeline-execution-attempt": f64::from(attempt),
        });
        self.wrap(id, "CodePipeline Action Execution State Change", at, detail)
    }
}
