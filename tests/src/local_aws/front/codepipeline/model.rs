//! What a request must look like: the shapes of the CodePipeline API reference, with their limits.

use serde_json::{Map, Value};

use super::Refusal;
use crate::wire::shape::{Member, Shape, may, must, problems, text};

/// `PipelineName`, `StageName` and `ActionName`: `[A-Za-z0-9.@\-_]+`.
const NAME: Shape = Shape::Text { min: 1, max: 100, allowed: |c| c.is_ascii_alphanumeric() || ".@-_".contains(c) };
/// `ClientRequestToken`: `^[a-zA-Z0-9-]+$`.
const TOKEN: Shape = Shape::Text { min: 1, max: 128, allowed: |c| c.is_ascii_alphanumeric() || c == '-' };
/// `PipelineVariableName`: `[A-Za-z0-9@\-_]+`.
const VARIABLE: Shape = Shape::Text { min: 1, max: 128, allowed: |c| c.is_ascii_alphanumeric() || "@-_".contains(c) };
/// `PipelineVariableValue`: `.*`.
const VALUE: Shape = Shape::Text { min: 1, max: 1000, allowed: |c| c != '\n' };
const NEXT: Shape = text(1, 2048);
const PAGE: Shape = Shape::Number { min: 1, max: 100 };

const GET_PIPELINE: &[Member] = &[must("name", NAME), may("version", Shape::Number { min: 1, max: i64::MAX })];
const GET_STATE: &[Member] = &[must("name", NAME)];
const LIST_PIPELINES: &[Member] = &[may("nextToken", NEXT), may("maxResults", Shape::Number { min: 1, max: 1000 })];
const LIST_TAGS: &[Member] = &[
    must("resourceArn", text(1, 2048)),
    may("nextToken", NEXT),
    may("maxResults", Shape::Number { min: 1, max: 100 }),
];
const START: &[Member] = &[
    must("name", NAME),
    may(
        "variables",
        Shape::List { min: 1, max: 50, of: &Shape::Members(&[must("name", VARIABLE), must("value", VALUE)]) },
    ),
    may("clientRequestToken", TOKEN),
    may(
        "sourceRevisions",
        Shape::List {
            min: 0,
            max: 50,
            of: &Shape::Members(&[
                must("actionName", NAME),
                must(
                    "revisionType",
                    Shape::OneOf(&["COMMIT_ID", "IMAGE_DIGEST", "S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"]),
                ),
                must("revisionValue", text(1, 1500)),
            ]),
        },
    ),
];
const GET_EXECUTION: &[Member] = &[must("pipelineName", NAME), must("pipelineExecutionId", Shape::Uuid)];
const LIST_EXECUTIONS: &[Member] = &[
    must("pipelineName", NAME),
    may("maxResults", PAGE),
    may("filter", Shape::Members(&[may("succeededInStage", Shape::Members(&[may("stageName", NAME)]))])),
    may("nextToken", NEXT),
];
const LIST_ACTIONS: &[Member] = &[
    must("pipelineName", NAME),
    may(
        "filter",
        Shape::Members(&[
            may("pipelineExecutionId", Shape::Uuid),
            may(
                "latestInPipelineExecution",
                Shape::Members(&[
                    must("pipelineExecutionId", Shape::Uuid),
                    must("startTimeRange", Shape::OneOf(&["Latest", "All"])),
                ]),
            ),
        ]),
    ),
    may("maxResults", PAGE),
    may("nextToken", NEXT),
];
const STOP: &[Member] = &[
    must("pipelineName", NAME),
    must("pipelineExecutionId", Shape::Uuid),
    may("abandon", Shape::Truth),
    may("reason", text(0, 200)),
];
/// `JobId`: `[0-9a-f]{8}-[0-9a-f]{4}-…`, as an execution's.
const JOB_SUCCEEDED: &[Member] = &[
    must("jobId", Shape::Uuid),
    may("continuationToken", text(1, 2048)),
    may(
        "executionDetails",
        Shape::Members(&[
            may("summary", text(0, 2048)),
            may("externalExecutionId", text(1, 1500)),
            may("percentComplete", Shape::Number { min: 0, max: 100 }),
        ]),
    ),
];
const JOB_FAILED: &[Member] = &[
    must("jobId", Shape::Uuid),
    must(
        "failureDetails",
        Shape::Members(&[
            must(
                "type",
                Shape::OneOf(&[
                    "JobFailed",
                    "ConfigurationError",
                    "PermissionError",
                    "RevisionOutOfSync",
                    "RevisionUnavailable",
                    "SystemUnavailable",
                ]),
            ),
            must("message", text(1, 5000)),
            may("externalExecutionId", text(1, 1500)),
        ]),
    ),
];
const RETRY: &[Member] = &[
    must("pipelineName", NAME),
    must("stageName", NAME),
    must("pipelineExecutionId", Shape::Uuid),
    must("retryMode", Shape::OneOf(&["FAILED_ACTIONS", "ALL_ACTIONS"])),
];

/// Into the stage; the way out of it is not served here.
const INBOUND: Shape = Shape::OneOf(&["Inbound"]);
const ENABLE: &[Member] = &[must("pipelineName", NAME), must("stageName", NAME), must("transitionType", INBOUND)];
/// `DisabledReason`: `[a-zA-Z0-9!@ \(\)\.\*\?\-]+`.
const REASON: Shape =
    Shape::Text { min: 1, max: 300, allowed: |c| c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c) };
const DISABLE: &[Member] =
    &[must("pipelineName", NAME), must("stageName", NAME), must("transitionType", INBOUND), must("reason", REASON)];

/// The body of a request, if it is one of the operation's.
pub(super) fn check<'a>(operation: &str, body: &'a Value) -> Result<&'a Map<String, Value>, Refusal> {
    let members = match operation {
        "GetPipeline" => GET_PIPELINE,
        "StartPipelineExecution" => START,
        "GetPipelineExecution" => GET_EXECUTION,
        "ListPipelineExecutions" => LIST_EXECUTIONS,
        "ListActionExecutions" => LIST_ACTIONS,
        "GetPipelineState" => GET_STATE,
        "StopPipelineExecution" => STOP,
        "RetryStageExecution" => RETRY,
        "DisableStageTransition" => DISABLE,
        "EnableStageTransition" => ENABLE,
        "PutJobSuccessResult" => JOB_SUCCEEDED,
        "PutJobFailureResult" => JOB_FAILED,
        "ListPipelines" => LIST_PIPELINES,
        "ListTagsForResource" => LIST_TAGS,
        _ => return Err(Refusal::new("UnknownOperationException", &format!("{operation} is not served here"))),
    };
    match (problems(members, body), body.as_object()) {
        (None, Some(body)) => Ok(body),
        (problems, _) => Err(Refusal::new("ValidationException", &problems.unwrap_or_default())),
    }
}
