//! The events of an execution, as the hub's bus gets them.

use manifold_core::time::Timestamp;
use serde_json::{Value, json};

use super::codepipeline::Execution;
use crate::wire::events::{Level, Subject};

pub(super) struct Teller<'a> {
    pub(super) execution: &'a Execution,
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) attempt: u32,
}

impl Teller<'_> {
    fn tell(&self, level: Level, state: &str, more: &Value) -> Value {
        let Execution { target, pipeline, id, started_at, .. } = self.execution;
        let subject = Subject {
            account: target.account.as_str(),
            region: target.region.as_str(),
            pipeline,
            execution: id,
            started_at: *started_at,
            version: 7,
            attempt: self.attempt,
        };
        subject.event(level, state, &self.id, self.at, more)
    }

    pub(super) fn state(&self, state: &str) -> Value {
        let more = match state {
            "STARTED" => json!({"execution-trigger": {
                "trigger-type": "StartPipelineExecution",
                "trigger-detail": self.execution.started_by,
            }}),
            "STOPPING" => {
                let comments = self.execution.stopped.as_ref().map_or("Stopped by hand", |(_, reason)| reason);
                json!({"stop-execution-comments": comments})
            }
            _ => Value::Null,
        };
        self.tell(Level::Pipeline, state, &more)
    }

    pub(super) fn action_failed(&self, code: &str) -> Value {
        let more = json!({
            "stage": "Deploy",
            "action": "Deploy",
            "action-execution-id": "47f821c5-a902-44b2-ae61-b878d31ecd21",
            "region": self.execution.target.region,
            "type": {"owner": "AWS", "provider": "CodeDeploy", "category": "Deploy", "version": "1"},
            "execution-result": {
                "external-execution-url": super::codepipeline::action_url(&self.execution.target),
                "external-execution-summary": "Deployment d-ABC123DEF failed",
                "external-execution-id": "d-ABC123DEF",
                "error-code": code,
            },
        });
        self.tell(Level::Action, "FAILED", &more)
    }
}
