//! The events of an execution, as the hub's bus gets them (CodePipeline User Guide, "Monitoring CodePipeline events"):
//! numbers are floats, and only STARTED tells who started it.

use manifold_core::time::Timestamp;
use serde_json::{Value, json};

use super::codepipeline::Execution;

pub(super) struct Teller<'a> {
    pub(super) execution: &'a Execution,
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) attempt: u32,
}

impl Teller<'_> {
    fn wrap(self, detail_type: &str, mut detail: Value) -> Value {
        let Execution { target, pipeline, id, started_at, .. } = self.execution;
        detail["pipeline"] = json!(pipeline);
        detail["execution-id"] = json!(id);
        detail["start-time"] = json!(started_at.to_string());
        detail["version"] = json!(7.0);
        detail["pipeline-execution-attempt"] = json!(f64::from(self.attempt));
        // Events tell whole seconds.
        let time = Timestamp::from_millis(self.at.as_seconds() * 1000);
        json!({
            "version": "0",
            "id": self.id,
            "detail-type": detail_type,
            "source": "aws.codepipeline",
            "account": target.account,
            "time": time.to_string(),
            "region": target.region,
            "resources": [format!("arn:aws:codepipeline:{}:{}:{pipeline}", target.region, target.account)],
            "detail": detail,
        })
    }

    pub(super) fn state(self, state: &str) -> Value {
        let mut detail = json!({ "state": state });
        match state {
            "STARTED" => {
                detail["execution-trigger"] = json!({
                    "trigger-type": "StartPipelineExecution",
                    "trigger-detail": self.execution.started_by,
                });
            }
            "STOPPING" => detail["stop-execution-comments"] = json!("Stopped by hand"),
            _ => {}
        }
        self.wrap("CodePipeline Pipeline Execution State Change", detail)
    }

    pub(super) fn action_failed(self, code: &str) -> Value {
        let region = self.execution.target.region.clone();
        let detail = json!({
            "stage": "Deploy",
            "action": "Deploy",
            "action-execution-id": "47f821c5-a902-44b2-ae61-b878d31ecd21",
            "state": "FAILED",
            "region": region,
            "type": {"owner": "AWS", "provider": "CodeDeploy", "category": "Deploy", "version": "1"},
            "execution-result": {
                "external-execution-url": super::codepipeline::action_url(&self.execution.target),
                "external-execution-summary": "Deployment d-ABC123DEF failed",
                "external-execution-id": "d-ABC123DEF",
                "error-code": code,
            },
        });
        self.wrap("CodePipeline Action Execution State Change", detail)
    }
}
