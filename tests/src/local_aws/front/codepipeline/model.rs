//! What a request must look like: the shapes of the CodePipeline API reference, with their limits.
//!
//! The service itself passes over members that it does not know. They are refused here, because a test that sends one
//! does not do what it says.

use serde_json::{Map, Value};

use super::Refusal;

/// A shape of the API reference.
#[derive(Clone, Copy)]
enum Shape {
    Text {
        min: usize,
        max: usize,
        allowed: fn(char) -> bool,
    },
    /// A UUID in lower case.
    Execution,
    OneOf(&'static [&'static str]),
    Number {
        min: i64,
        max: i64,
    },
    Truth,
    List {
        min: usize,
        max: usize,
        of: &'static Self,
    },
    Members(&'static [Member]),
}

#[derive(Clone, Copy)]
struct Member {
    name: &'static str,
    is_required: bool,
    shape: Shape,
}

const fn must(name: &'static str, shape: Shape) -> Member {
    Member { name, is_required: true, shape }
}

const fn may(name: &'static str, shape: Shape) -> Member {
    Member { name, is_required: false, shape }
}

const fn text(min: usize, max: usize) -> Shape {
    Shape::Text { min, max, allowed: |_| true }
}

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
const GET_EXECUTION: &[Member] = &[must("pipelineName", NAME), must("pipelineExecutionId", Shape::Execution)];
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
            may("pipelineExecutionId", Shape::Execution),
            may(
                "latestInPipelineExecution",
                Shape::Members(&[
                    must("pipelineExecutionId", Shape::Execution),
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
    must("pipelineExecutionId", Shape::Execution),
    may("abandon", Shape::Truth),
    may("reason", text(0, 200)),
];
/// `JobId`: `[0-9a-f]{8}-[0-9a-f]{4}-…`, as an execution's.
const JOB_SUCCEEDED: &[Member] = &[
    must("jobId", Shape::Execution),
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
    must("jobId", Shape::Execution),
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
    must("pipelineExecutionId", Shape::Execution),
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
    let mut problems = Vec::new();
    Shape::Members(members).check(body, "", &mut problems);
    match (problems.as_slice(), body.as_object()) {
        ([], Some(body)) => Ok(body),
        (problems, _) => {
            let s = if problems.len() == 1 { "" } else { "s" };
            let message = format!("{} validation error{s} detected: {}", problems.len(), problems.join("; "));
            Err(Refusal::new("ValidationException", &message))
        }
    }
}

impl Shape {
    fn check(self, value: &Value, at: &str, problems: &mut Vec<String>) {
        let mut fails = |constraint: &str| {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            problems.push(format!("Value '{shown}' at '{at}' failed to satisfy constraint: {constraint}"));
        };
        match (self, value) {
            (Self::Text { min, max, allowed }, Value::String(text)) => {
                let length = text.chars().count();
                if length < min {
                    fails(&format!("Member must have length greater than or equal to {min}"));
                } else if length > max {
                    fails(&format!("Member must have length less than or equal to {max}"));
                } else if !text.chars().all(allowed) {
                    fails("Member must satisfy regular expression pattern");
                }
            }
            (Self::Execution, Value::String(text)) if is_uuid(text) => {}
            (Self::Execution, Value::String(_)) => fails("Member must satisfy regular expression pattern"),
            (Self::OneOf(values), Value::String(text)) if values.contains(&text.as_str()) => {}
            (Self::OneOf(values), Value::String(_)) => {
                fails(&format!("Member must satisfy enum value set: [{}]", values.join(", ")));
            }
            (Self::Number { min, max }, Value::Number(number)) => {
                if !number.as_i64().is_some_and(|number| (min..=max).contains(&number)) {
                    fails(&format!("Member must have value between {min} and {max}"));
                }
            }
            (Self::Truth, Value::Bool(_)) => {}
            (Self::List { min, max, of }, Value::Array(items)) => {
                if !(min..=max).contains(&items.len()) {
                    fails(&format!("Member must have length between {min} and {max}"));
                }
                for (index, item) in (1_usize..).zip(items) {
                    of.check(item, &format!("{at}.{index}.member"), problems);
                }
            }
            (Self::Members(members), Value::Object(fields)) => {
                let path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
                for member in members {
                    match fields.get(member.name) {
                        None | Some(Value::Null) if member.is_required => problems.push(format!(
                            "Value null at '{}' failed to satisfy constraint: Member must not be null",
                            path(member.name)
                        )),
                        None | Some(Value::Null) => {}
                        Some(value) => member.shape.check(value, &path(member.name), problems),
                    }
                }
                for name in fields.keys().filter(|name| !members.iter().any(|member| member.name == **name)) {
                    problems.push(format!("there is no member '{}'", path(name)));
                }
            }
            (
                Self::Text { .. }
                | Self::Execution
                | Self::OneOf(_)
                | Self::Number { .. }
                | Self::Truth
                | Self::List { .. }
                | Self::Members(_),
                _,
            ) => fails("Member must be of another type"),
        }
    }
}

/// `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`.
fn is_uuid(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let parts = text.split('-').collect::<Vec<_>>();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part))
}
