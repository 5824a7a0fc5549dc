//! CodePipeline's events as EventBridge gets them (CodePipeline User Guide, "Monitoring CodePipeline events").
//!
//! Numbers are floats. Only the pipeline's STARTED tells who started it; the start of a Git-triggered execution of type
//! V2 is told again, in another shape, by SUCCEEDED and FAILED.

use manifold_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::with_millis;

/// Of which of the three kinds an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `CodePipeline Pipeline Execution State Change`.
    Pipeline,
    /// `CodePipeline Stage Execution State Change`.
    Stage,
    /// `CodePipeline Action Execution State Change`.
    Action,
}

impl Level {
    fn detail_type(self) -> &'static str {
        match self {
            Self::Pipeline => "CodePipeline Pipeline Execution State Change",
            Self::Stage => "CodePipeline Stage Execution State Change",
            Self::Action => "CodePipeline Action Execution State Change",
        }
    }
}

/// What all events of an execution have in common.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The pipeline's account.
    pub account: &'a str,
    /// The pipeline's Region.
    pub region: &'a str,
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The execution's id.
    pub execution: &'a str,
    /// When the execution began.
    pub started_at: Timestamp,
    /// The version of the pipeline's structure.
    pub version: u32,
    /// The execution's attempt, from 1.
    pub attempt: u32,
}

/// The ARN of a pipeline: `arn:aws:codepipeline:<region>:<account>:<name>`.
#[must_use]
pub fn pipeline_arn(account: &str, region: &str, pipeline: &str) -> String {
    format!("arn:aws:codepipeline:{region}:{account}:{pipeline}")
}

impl Subject<'_> {
    /// An event: `id` is its own, `at` when it happened, and `more` what only this kind of event tells. What is `null`
    /// in `more` is left out, also when all events tell it.
    #[must_use]
    pub fn event(self, level: Level, state: &str, id: &str, at: Timestamp, more: &Value) -> Value {
        let Self { account, region, pipeline, execution, started_at, version, attempt } = self;
        let mut detail = json!({
            "pipeline": pipeline,
            "execution-id": execution,
            "start-time": with_millis(started_at),
            "state": state,
            "version": f64::from(version),
            "pipeline-execution-attempt": f64::from(attempt),
        });
        if let (Some(detail), Some(more)) = (detail.as_object_mut(), more.as_object()) {
            detail.extend(more.clone());
            let told: Map<String, Value> =
                std::mem::take(detail).into_iter().filter(|(_, value)| !value.is_null()).collect();
            *detail = told;
        }
        json!({
            "version": "0",
            "id": id,
            "detail-type": level.detail_type(),
            "source": "aws.codepipeline",
            "account": account,
            // Whole seconds.
            "time": at.to_string(),
            "region": region,
            "resources": [pipeline_arn(account, region, pipeline)],
            "detail": detail,
        })
    }
}
