//! A checkup: what the operator's command asks the hub's functions, what they saw, and what that means.
//!
//! A function answers with what it *saw*; what that means is judged here, by whoever asked. So the functions stay
//! small, and a newer command says more about an older hub's answers.
//!
//! ```text
//!  command ── Question ─► function ── looks, changes nothing ──► Answer ─► judge_… ─► Finding ─► Report
//! ```
//!
//! **Invariant:** nothing is well because nobody looked. What was not seen is [`State::Unknown`], with its reason.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::brief::brief;
use crate::changes::{Previewed, ToPreview};
use crate::engine::Service;
use crate::ids::{AccountId, AppName, Region, RoleArn, RunId, TargetKey};
use crate::plan::Channel;

mod finding;
mod hub;
mod pattern;
mod pipeline;
mod report;
mod rights;
mod rule;
mod seen;
mod slack;
mod target;

pub use finding::{Check, Finding, State};
pub use hub::{HubTrouble, judge_bus, judge_fleet_file, judge_function, judge_member, judge_release};
pub use pipeline::Sends;
pub use report::{Entry, Group, Report, Subject};
pub use rights::{arn, rights};
pub use seen::{
    AccessSeen, BusSeen, ChannelSeen, Decision, HubSeen, Inspected, PipelineAsked, PipelineSeen, PipelineSpotSeen,
    RuleSeen, RuleTarget, SlackSeen, SourceActionSeen, SpotSeen, TokenSeen, Tried, VariableSeen,
};
pub use slack::judge_channel;
pub use target::{Expected, ExpectedRule, judge_target};

/// The version of questions and answers. A function that does not know it says so.
pub const SCHEMA: u32 = 1;

/// The one key of a request and of its answer. A batch of SQS messages has `Records` instead.
const KEY: &str = "manifold";

/// The session in which the read-only role is assumed; member accounts trust `mf-*`.
pub const INSPECT_SESSION: &str = "mf-inspect";

/// What a service's events are forwarded by: the rules of `member-region.yaml`, after their prefix, each with the check that
/// looks at it. The first takes what is started from state to state; a second one tells why it failed, where that is not in
/// the same event.
#[must_use]
pub const fn forward_rules(service: Service) -> &'static [(Check, &'static str)] {
    match service {
        Service::CodePipeline => {
            &[(Check::ForwardPipeline, "forward-pipeline"), (Check::ForwardFailedAction, "forward-failed-action")]
        }
        Service::CodeBuild => &[(Check::ForwardPipeline, "forward-build")],
        Service::CloudFormation => {
            &[(Check::ForwardPipeline, "forward-stack"), (Check::ForwardFailedAction, "forward-failed-resource")]
        }
        Service::CodeDeploy => &[(Check::ForwardPipeline, "forward-deployment")],
    }
}

/// What a function is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// `dispatch`: which fleet file do you have?
    Fleet,
    /// `deploy`: may you work in these places?
    Access(Vec<Place>),
    /// `deploy`: what would a release do to these stacks? Until that is told, something is left behind: the change sets,
    /// which are made to be looked at.
    Preview(Box<ToPreview>),
    /// `deploy`: nobody waits for that any more. Take the change sets away.
    Discard(Box<ToPreview>),
    /// `inspect`: what is there?
    Inspect(Inspection),
    /// `summarize`: does Slack take your secrets, and know these channels?
    Slack(Vec<Channel>),
}

/// What a function answers, in the order of the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The fleet file's [`digest`].
    Fleet {
        /// Lower-case hexadecimal.
        digest: String,
    },
    /// One for each place.
    Access(Vec<AccessSeen>),
    /// One for each target.
    Preview(Vec<Previewed>),
    /// One for each target: whether nothing is left of its change set.
    Discarded(Vec<Tried<()>>),
    /// What is there.
    Inspect(Inspected),
    /// One for each channel.
    Slack(Vec<SlackSeen>),
}

/// Where `deploy` would work for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The app; the session's name carries it.
    pub app: AppName,
    /// Account and Region.
    pub key: TargetKey,
    /// The role to assume there.
    pub role: RoleArn,
    /// The external id that the role demands, if any.
    pub external_id: Option<String>,
    /// What is started there.
    #[serde(rename = "pipeline")]
    pub started: crate::engine::Subject,
}

/// What `inspect` is to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inspection {
    /// In the hub account; asked once.
    pub hub: Option<HubAsked>,
    /// In the member accounts.
    pub spots: Vec<Spot>,
}

/// What `inspect` is to look at in the hub account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubAsked {
    /// The hub bus's name.
    pub bus: String,
    /// The release pipelines.
    pub releases: Vec<PipelineAsked>,
}

/// A Region of a member account, with what should be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// Account and Region.
    pub key: TargetKey,
    /// The external id of the account's roles, if any.
    pub external_id: Option<String>,
    /// The role that rollouts assume there: its permissions are looked at, it is not assumed.
    pub role: RoleArn,
    /// The names of forwarding rules.
    pub rules: Vec<String>,
    /// What is started there. A function that knows pipelines only does not understand the others, and says so.
    #[serde(rename = "pipelines")]
    pub started: Vec<crate::engine::Subject>,
}

/// Why a function did not answer a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    /// Its schema is another one.
    #[error("questions of schema {asked} are not known here; this function knows schema {SCHEMA}")]
    Schema {
        /// The question's.
        asked: u64,
    },
    /// It can't be read.
    #[error("the question can't be read: {0}")]
    Unreadable(String),
    /// It is another function's.
    #[error("{function} does not answer this question")]
    Misplaced {
        /// The function that was asked.
        function: &'static str,
    },
}

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The function did not understand the question.
    #[error("{0}")]
    Misunderstood(String),
    /// It is none.
    #[error("its answer can't be read: {0}")]
    Unreadable(String),
}

impl Question {
    /// As a function takes it.
    #[must_use]
    pub fn to_request(&self) -> Value {
        json!({KEY: {"schema": SCHEMA, "checkup": self}})
    }
}

/// The question in an invocation's input; `None` when it is none, but a batch of messages.
///
/// # Errors
/// It is a checkup, and not one that this version knows.
pub fn asked(input: &Value) -> Option<Result<Question, Misunderstood>> {
    let request = input.get(KEY)?;
    let schema = request.get("schema").and_then(Value::as_u64).unwrap_or_default();
    if schema != u64::from(SCHEMA) {
        return Some(Err(Misunderstood::Schema { asked: schema }));
    }
    let question = request.get("checkup").cloned().unwrap_or_default();
    Some(serde_json::from_value(question).map_err(|error| Misunderstood::Unreadable(brief(&error.to_string()))))
}

/// What a function returns, whether it understood the question or not.
#[must_use]
pub fn to_response(done: Result<Answer, Misunderstood>) -> Value {
    match done {
        Ok(answer) => json!({KEY: {"schema": SCHEMA, "answer": answer}}),
        Err(why) => json!({KEY: {"schema": SCHEMA, "misunderstood": why.to_string()}}),
    }
}

/// The answer in what a function returned.
///
/// # Errors
/// The function did not understand, or what it returned is no answer.
pub fn answer(response: &Value) -> Result<Answer, NoAnswer> {
    let Some(response) = response.get(KEY) else {
        return Err(NoAnswer::Unreadable(format!("it has no \"{KEY}\"")));
    };
    if let Some(why) = response.get("misunderstood").and_then(Value::as_str) {
        return Err(NoAnswer::Misunderstood(brief(why)));
    }
    let answer = response.get("answer").cloned().unwrap_or_default();
    serde_json::from_value(answer).map_err(|error| NoAnswer::Unreadable(brief(&error.to_string())))
}

/// The digest of a fleet file's text: SHA-256 in lower-case hexadecimal. The same text has the same digest, whether or
/// not a comment matters.
#[must_use]
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ARN of the hub bus.
#[must_use]
pub fn bus_arn(account: &AccountId, region: &Region, name: &str) -> String {
    format!("arn:{}:events:{region}:{account}:event-bus/{name}", region.partition().as_str())
}

impl RunId {
    /// The run that a checkup of an app pretends to be, so that its sessions are opened exactly as a rollout's:
    /// `web-0000000000000000`. The chance that a real run has this id is one in 2⁶⁴.
    #[must_use]
    pub fn of_checkup(app: &AppName) -> Self {
        match format!("{app}-{:016x}", 0).parse() {
            Ok(run) => run,
            Err(_) => unreachable!("an app's name and sixteen digits are a run id"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.started.name(), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_from_a_batch_of_messages_and_comes_out_as_it_went_in() {
        let question = Question::Slack(vec![Channel::Silent]);
        assert_eq!(asked(&question.to_request()), Some(Ok(question)));
        assert_eq!(asked(&json!({"Records": []})), None);
        assert_eq!(asked(&json!("manifold")), None);
    }

    #[test]
    fn a_question_of_another_schema_is_answered_with_what_is_known_here() {
        let request = json!({"manifold": {"schema": 2, "checkup": "fleet"}});
        let why = asked(&request).unwrap().unwrap_err();
        assert_eq!(
            answer(&to_response(Err(why))),
            Err(NoAnswer::Misunderstood(
                "questions of schema 2 are not known here; this function knows schema 1".to_owned()
            ))
        );
        let request = json!({"manifold": {"schema": 1, "checkup": "horoscope"}});
        assert!(matches!(asked(&request), Some(Err(Misunderstood::Unreadable(_)))));
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        assert!(matches!(answer(&json!({"batchItemFailures": []})), Err(NoAnswer::Unreadable(_))));
        assert!(matches!(answer(&json!({"manifold": {"schema": 1}})), Err(NoAnswer::Unreadable(_))));
        let fleet = Answer::Fleet { digest: digest("version: 1\n") };
        assert_eq!(answer(&to_response(Ok(fleet.clone()))), Ok(fleet));
    }

    #[test]
    fn a_checkups_session_is_one_that_target_roles_let_in_and_no_pipeline_event_is_taken_for_a_run_of_inspect() {
        let run = RunId::of_checkup(&"a".repeat(32).parse().unwrap());
        assert!(run.session_name().starts_with("mf-") && run.session_name().len() <= 64);
        assert_eq!(RunId::from_session_arn("arn:aws:sts::444455556666:assumed-role/R/mf-inspect"), None);
    }
}
