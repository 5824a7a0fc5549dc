//! The lenient decoder of what AWS sends: the events of the four engines, schedules, jobs and batches of SQS messages.
//!
//! It is the edge: behind it there is nothing left to check. What is decorative and unreadable is left out; what
//! decides (who, where, which execution, which state, which attempt) must be right, or the one message fails, with
//! its reason. Fields, states and kinds of events that are new to us never fail: AWS adds them without notice.
//!
//! **Invariant:** nothing here reads a credential, and no error or debug form shows one. No I/O and no clock.
//!
//! Every text that is kept is kept whole and is untrusted: whoever shows it escapes and cuts it.

mod build;
mod deployment;
mod drift;
mod error;
mod fields;
mod job;
mod pipeline;
mod schedule;
mod sqs;
mod stack;
mod state;

use serde_json::Value;

pub use self::build::{BuildEvent, FailedPhase, PhaseEvent};
pub use self::deployment::{DeploymentEvent, HookEvent, InstanceEvent};
pub use self::drift::DriftEvent;
pub use self::error::DecodeError;
use self::fields::Fields;
pub use self::job::Job;
pub use self::pipeline::{
    ActionEvent, ExecutionResult, ExecutionTrigger, FailedAction, GitTrigger, PipelineEvent, StageEvent,
};
pub use self::schedule::ScheduleTick;
pub use self::sqs::{BatchResponse, SqsBatch, SqsRecord, decode_batch};
pub use self::stack::{ResourceEvent, StackEvent, StackSetEvent, StackSetWhat};
pub use self::state::{
    ActionState, BuildState, DeploymentState, InstanceState, PipelineState, StackStatus, StageState,
};
use crate::ids::{AccountId, ExecutionId, ExecutionRef, Region, TargetKey};
use crate::time::Timestamp;

/// The largest body that is read: SQS delivers at most 1 MiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The largest input that is read: Lambda delivers at most 6 MB.
pub const MAX_INPUT_BYTES: usize = 8 * 1024 * 1024;

/// One event, and where it comes from (EventBridge User Guide, "Events").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The event's id, the same on every redelivery. Events from notification rules have none.
    pub id: Option<String>,
    /// The account that the event is from; forwarding to another bus does not change it.
    pub account: AccountId,
    /// The Region that the event is from: of a pipeline always the pipeline's, never one of its actions'.
    pub region: Region,
    /// When it happened by the sender's clock, in whole seconds: not fit for ordering.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pipeline execution changed its state.
    Pipeline(PipelineEvent),
    /// A stage of an execution changed its state.
    Stage(StageEvent),
    /// An action of a stage changed its state.
    Action(ActionEvent),
    /// A drift detection of a stack began or ended.
    Drift(DriftEvent),
    /// A build changed its state.
    Build(BuildEvent),
    /// A phase of a build ended.
    Phase(PhaseEvent),
    /// A stack changed its status.
    Stack(StackEvent),
    /// A resource of a stack changed its status.
    Resource(ResourceEvent),
    /// A stack set, one of its operations or one of its stack instances changed its status.
    StackSet(StackSetEvent),
    /// A deployment changed its state.
    Deployment(DeploymentEvent),
    /// A deployment to one instance changed its state.
    Instance(InstanceEvent),
    /// A rule on a schedule fired. (Schedules of EventBridge Scheduler have no envelope: [`ScheduleTick`].)
    Scheduled {
        /// The rule's name.
        rule: Option<String>,
    },
    /// Well-formed, but not ours; kept for the log.
    Other {
        /// Who sent it.
        source: String,
        /// What it is.
        detail_type: String,
    },
}

/// All that a function may be invoked with, told apart by its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one per invocation, and a box would only burden its readers")]
pub enum Input {
    /// Messages of a queue.
    Batch(SqsBatch),
    /// A CodePipeline action that waits for an answer.
    Job(Job),
    /// An event, straight from a bus.
    Event(Envelope),
    /// A tick of a schedule.
    Schedule(ScheduleTick),
    /// A lifecycle hook of a CodeDeploy deployment.
    Hook(HookEvent),
}

impl Envelope {
    /// The execution that the event is about, in the account and Region that it runs in.
    #[must_use]
    pub fn execution(&self) -> Option<ExecutionRef> {
        let id = self.event.execution()?.clone();
        Some(ExecutionRef { target: TargetKey { account: self.account.clone(), region: self.region.clone() }, id })
    }
}

impl Event {
    /// The id of the execution that the event is about.
    #[must_use]
    pub fn execution(&self) -> Option<&ExecutionId> {
        match self {
            Self::Pipeline(event) => Some(&event.execution),
            Self::Stage(event) => Some(&event.execution),
            Self::Action(event) => Some(&event.execution),
            Self::Build(event) => Some(&event.build),
            Self::Phase(event) => Some(&event.build),
            Self::Stack(event) => event.token.as_ref(),
            Self::Resource(event) => event.token.as_ref(),
            Self::Deployment(event) => Some(&event.deployment),
            Self::Instance(event) => Some(&event.deployment),
            Self::Drift(_) | Self::StackSet(_) | Self::Scheduled { .. } | Self::Other { .. } => None,
        }
    }

    /// Customers cannot send events whose source begins with `aws.`, so the source is what makes the rest credible.
    fn decode(envelope: &Fields<'_>) -> Result<Self, DecodeError> {
        let source = envelope.required_text("source", 256, "a sender such as aws.codepipeline")?;
        // Notification rules spell it differently from EventBridge.
        let spelled = ["detail-type", "detailType"].into_iter().find(|key| envelope.get(key).is_some());
        let detail_type =
            envelope.required_text(spelled.unwrap_or("detail-type"), 256, "a kind of event such as Scheduled Event")?;
        match (source.as_str(), detail_type.as_str()) {
            ("aws.codepipeline", "CodePipeline Pipeline Execution State Change") => {
                PipelineEvent::decode(envelope).map(Self::Pipeline)
            }
            ("aws.codepipeline", "CodePipeline Stage Execution State Change") => {
                StageEvent::decode(envelope).map(Self::Stage)
            }
            ("aws.codepipeline", "CodePipeline Action Execution State Change") => {
                ActionEvent::decode(envelope).map(Self::Action)
            }
            ("aws.cloudformation", "CloudFormation Drift Detection Status Change") => {
                DriftEvent::decode(envelope).map(Self::Drift)
            }
            ("aws.cloudformation", "CloudFormation Stack Status Change") => {
                StackEvent::decode(envelope).map(Self::Stack)
            }
            ("aws.cloudformation", "CloudFormation Resource Status Change") => {
                ResourceEvent::decode(envelope).map(Self::Resource)
            }
            (
                "aws.cloudformation",
                "CloudFormation StackSet Status Change"
                | "CloudFormation StackSet Operation Status Change"
                | "CloudFormation StackSet StackInstance Status Change",
            ) => StackSetEvent::decode(envelope).map(Self::StackSet),
            ("aws.codebuild", "CodeBuild Build State Change") => BuildEvent::decode(envelope).map(Self::Build),
            ("aws.codebuild", "CodeBuild Build Phase Change") => PhaseEvent::decode(envelope).map(Self::Phase),
            ("aws.codedeploy", "CodeDeploy Deployment State-change Notification") => {
                DeploymentEvent::decode(envelope).map(Self::Deployment)
            }
            ("aws.codedeploy", "CodeDeploy Instance State-change Notification") => {
                InstanceEvent::decode(envelope).map(Self::Instance)
            }
            ("aws.events", "Scheduled Event") => Ok(Self::Scheduled { rule: schedule::rule(envelope) }),
            _ => Ok(Self::Other { source, detail_type }),
        }
    }
}

/// Decodes one EventBridge event, such as the body of an SQS message; also the form that notification rules send.
///
/// Required are `source`, `detail-type`, `account`, `region` and `time`, and of CodePipeline's events the pipeline,
/// the execution, the state and, where there are any, the names of stage and action. An attempt may be absent.
///
/// # Errors
///
/// When the body is too large, is not JSON, or lacks one of these or holds something else in its place.
pub fn decode_event(body: &str) -> Result<Envelope, DecodeError> {
    if body.trim().is_empty() {
        return Err(DecodeError::Missing { field: "the body".to_owned(), expected: "a json object" });
    }
    decode_event_value(&parse(body, MAX_BODY_BYTES)?)
}

/// Decodes one EventBridge event that is already JSON.
///
/// # Errors
///
/// As [`decode_event`].
pub fn decode_event_value(value: &Value) -> Result<Envelope, DecodeError> {
    let envelope = Fields::of(value, String::new())?;
    let event = Event::decode(&envelope)?;
    Ok(Envelope {
        id: envelope.text("id"),
        account: envelope.id("account", AccountId::EXPECTED)?,
        region: envelope.id("region", Region::EXPECTED)?,
        at: envelope.required_time("time")?,
        event,
    })
}

/// Decodes whatever a function was invoked with.
///
/// # Errors
///
/// When it has none of the shapes of [`Input`], or is damaged in a way that its shape does not survive.
pub fn decode_input(value: &Value) -> Result<Input, DecodeError> {
    let input = Fields::of(value, String::new())?;
    let has = |key: &str| input.get(key).is_some();
    if has(sqs::RECORDS_KEY) {
        decode_batch(value).map(Input::Batch)
    } else if has(job::JOB_KEY) {
        Job::decode(&input).map(Input::Job)
    } else if has("detail-type") || has("detailType") || (has("source") && has("detail")) {
        decode_event_value(value).map(Input::Event)
    } else if has(deployment::HOOK_KEY) {
        HookEvent::decode(&input).map(Input::Hook)
    } else if ScheduleTick::is_shaped_like(&input) {
        ScheduleTick::decode(&input).map(Input::Schedule)
    } else {
        let keys: Vec<&str> = input.names().take(20).collect();
        Err(DecodeError::UnknownInput { keys: error::quote_text(&keys.join(", ")) })
    }
}

/// Decodes whatever a function was invoked with, from its text.
///
/// # Errors
///
/// As [`decode_input`], and when the text is too large or is not JSON.
pub fn decode_input_str(text: &str) -> Result<Input, DecodeError> {
    decode_input(&parse(text, MAX_INPUT_BYTES)?)
}

/// Parses JSON of a bounded size; its depth is bounded by the parser.
fn parse(text: &str, limit: usize) -> Result<Value, DecodeError> {
    if text.len() > limit {
        return Err(DecodeError::TooLarge { bytes: text.len(), limit });
    }
    serde_json::from_str(text).map_err(|error| DecodeError::not_json(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn started() -> Value {
        json!({
            "id": "e1", "source": "aws.codepipeline", "account": "444455556666", "region": "eu-west-1",
            "detail-type": "CodePipeline Pipeline Execution State Change", "time": "2026-10-26T13:49:40Z",
            "detail": { "pipeline": "web", "execution-id": "3f8c", "state": "STARTED" },
        })
    }

    fn refusal(value: &Value) -> String {
        decode_event(&value.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn what_decides_must_be_there() {
        for name in ["source", "detail-type", "account", "region", "time", "detail"] {
            let mut event = started();
            event.as_object_mut().unwrap().remove(name);
            assert!(refusal(&event).starts_with(&format!("{name} is missing, expected ")), "{}", refusal(&event));
        }
        for name in ["pipeline", "execution-id", "state"] {
            let mut event = started();
            event["detail"][name] = json!("");
            assert!(
                refusal(&event).starts_with(&format!("detail.{name} is missing, expected ")),
                "{}",
                refusal(&event)
            );
        }
    }

    #[test]
    fn what_decides_must_be_right() {
        let cases = [
            ("/account", json!("4444"), "account is \"4444\", expected a 12-digit AWS account id"),
            ("/region", json!("Ireland"), "region is \"Ireland\", expected an AWS Region code such as eu-west-1"),
            ("/time", json!("noon"), "time is \"noon\", expected a time such as 2026-10-26T13:49:40Z"),
            ("/detail", json!("{}"), "detail is \"{}\", expected a json object"),
            ("/detail/state", json!({}), "detail.state is an object, expected a state of at most 128 characters"),
        ];
        for (pointer, value, expected) in cases {
            let mut event = started();
            *event.pointer_mut(pointer).unwrap() = value;
            assert_eq!(refusal(&event), expected);
        }
        let mut event = started();
        event["detail"]["pipeline-execution-attempt"] = json!("second");
        assert_eq!(
            refusal(&event),
            "detail.pipeline-execution-attempt is \"second\", expected a whole number from 0 to 4294967295"
        );
    }

    #[test]
    fn what_is_decorative_never_costs_the_event() {
        let plain = decode_event_value(&started()).unwrap();
        for (name, value) in [
            ("version", json!("latest")),
            ("start-time", json!("noon")),
            ("execution-trigger", json!("a push")),
            ("execution-trigger", json!({})),
            ("execution-trigger", json!({ "trigger-type": "", "commit-id": [] })),
            ("stop-execution-comments", json!({ "why": "?" })),
        ] {
            let mut event = started();
            event["detail"][name] = value;
            assert_eq!(decode_event_value(&event).as_ref(), Ok(&plain), "{name}");
        }
    }

    #[test]
    fn a_missing_and_a_zero_attempt_are_the_first() {
        for (written, kept, counted) in [(Value::Null, None, 1), (json!(0.0), Some(0), 1), (json!(2.0), Some(2), 2)] {
            let mut event = started();
            event["detail"]["pipeline-execution-attempt"] = written;
            let Event::Pipeline(event) = decode_event_value(&event).unwrap().event else { panic!("another event") };
            assert_eq!((event.attempt, event.attempt_from_one()), (kept, counted));
        }
    }

    #[test]
    fn an_account_that_lost_its_quotes_is_still_an_account() {
        let mut event = started();
        event["account"] = json!(444_455_556_666_u64);
        assert_eq!(decode_event_value(&event), decode_event_value(&started()));
    }

    #[test]
    fn only_codepipeline_speaks_for_codepipeline() {
        let mut event = started();
        event["source"] = json!("com.example.codepipeline");
        let detail_type = "CodePipeline Pipeline Execution State Change".to_owned();
        let other = Event::Other { source: "com.example.codepipeline".to_owned(), detail_type };
        assert_eq!(decode_event_value(&event).unwrap().event, other);
    }

    #[test]
    fn oversized_and_bottomless_bodies_are_refused_before_they_cost_anything() {
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY_BYTES));
        assert_eq!(decode_event(&large), Err(DecodeError::TooLarge { bytes: large.len(), limit: MAX_BODY_BYTES }));
        let deep = decode_event(&"[".repeat(MAX_BODY_BYTES)).unwrap_err();
        assert!(deep.to_string().contains("recursion limit exceeded"), "{deep}");
    }

    #[test]
    fn an_object_of_no_known_shape_is_named_by_its_keys_alone() {
        let error = decode_input(&json!({ "password": "hunter2", "user": "x" })).unwrap_err();
        assert!(error.to_string().starts_with("an object with the keys \"password, user\" is no input"), "{error}");
        assert!(decode_input(&json!(["a"])).is_err());
        assert!(decode_input_str("").is_err());
    }

    #[test]
    fn a_rule_on_any_bus_gives_its_name() {
        for (arn, name) in [
            ("arn:aws:events:us-east-1:111122223333:rule/hourly", Some("hourly")),
            ("arn:aws:events:us-east-1:111122223333:rule/bus/hourly", Some("hourly")),
            ("arn:aws:events:us-east-1:111122223333:rule/", None),
            ("hourly", None),
        ] {
            let envelope = json!({ "resources": [7, arn] });
            assert_eq!(schedule::rule(&Fields::of(&envelope, String::new()).unwrap()).as_deref(), name);
        }
    }

    #[test]
    fn a_tick_whose_time_is_unreadable_is_refused_because_its_time_makes_it_happen_once() {
        let error = decode_input(&json!({ "kind": "drift-check", "scheduledTime": "<aws.scheduler.scheduled-time" }));
        assert!(error.unwrap_err().to_string().starts_with("scheduledTime is \"<aws.scheduler.scheduled-time\""));
    }
}
