//! What a look means: a state, the cause, and the remedy.

use serde::{Deserialize, Serialize};

use super::Tried;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A function of the hub exists and answers.
    HubFunction,
    /// The hub runs this fleet file.
    FleetFile,
    /// The hub bus exists.
    HubBus,
    /// The release pipeline exists in the hub account.
    ReleasePipeline,
    /// The target role can be assumed.
    AssumeRole,
    /// The Region is enabled in the account.
    Region,
    /// The role may list executions.
    ListPipelineExecutions,
    /// The role may list actions.
    ListActionExecutions,
    /// The role may start what is started there, and follow it, as IAM's simulator says.
    StartPermission,
    /// The read-only role can be assumed.
    InspectRole,
    /// The pipeline, project or deployment group exists, and the stack may be looked at.
    Pipeline,
    /// It is of a type that takes what is sent.
    PipelineType,
    /// It declares the variables that are sent, and is sent those that it needs.
    Variables,
    /// It has the source action that is pinned.
    SourceAction,
    /// Its executions' events are forwarded.
    ForwardPipeline,
    /// The events of its failed actions, or resources, are forwarded.
    ForwardFailedAction,
    /// The hub bus lets the account in.
    BusPolicy,
    /// The Slack secret can be read.
    SlackSecret,
    /// Slack takes the token.
    SlackToken,
    /// Slack knows the channel, and the bot may post there.
    SlackChannel,
}

impl Check {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 20] = [
        Self::HubFunction,
        Self::FleetFile,
        Self::HubBus,
        Self::ReleasePipeline,
        Self::AssumeRole,
        Self::Region,
        Self::ListPipelineExecutions,
        Self::ListActionExecutions,
        Self::StartPermission,
        Self::InspectRole,
        Self::Pipeline,
        Self::PipelineType,
        Self::Variables,
        Self::SourceAction,
        Self::ForwardPipeline,
        Self::ForwardFailedAction,
        Self::BusPolicy,
        Self::SlackSecret,
        Self::SlackToken,
        Self::SlackChannel,
    ];

    /// What is true when it is well, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::HubFunction => "the hub's functions answer",
            Self::FleetFile => "the hub runs this fleet file",
            Self::HubBus => "the hub bus exists",
            Self::ReleasePipeline => "release pipelines exist",
            Self::AssumeRole => "the target role can be assumed",
            Self::Region => "the Region is enabled",
            Self::ListPipelineExecutions => "executions can be listed",
            Self::ListActionExecutions => "actions can be listed",
            Self::StartPermission => "the role may start it",
            Self::InspectRole => "the read-only role can be assumed",
            Self::Pipeline => "what is started exists",
            Self::PipelineType => "its type takes what is sent",
            Self::Variables => "its variables fit",
            Self::SourceAction => "its source action can be pinned",
            Self::ForwardPipeline => "executions' events are forwarded",
            Self::ForwardFailedAction => "events that say why are forwarded",
            Self::BusPolicy => "the hub bus lets the account in",
            Self::SlackSecret => "the Slack secret can be read",
            Self::SlackToken => "Slack takes the token",
            Self::SlackChannel => "the bot may post to the channel",
        }
    }
}

/// How it stands. The worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was seen to be well.
    Ok,
    /// It can't be tried without doing it, such as a webhook without posting. Says nothing about the result.
    Untriable,
    /// It could not be looked at.
    Unknown,
    /// A rollout would fail.
    Fails,
}

/// One thing that was looked at, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it stands.
    pub state: State,
    /// What is wrong, in words that are the same wherever the cause is the same. `None` when all is well.
    pub cause: Option<String>,
    /// In the service's own words.
    pub detail: Option<String>,
    /// The statement or command that mends it.
    pub remedy: Option<String>,
    /// It could not be looked at because of another check, which has the cause.
    pub follows_from: Option<Check>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn ok(check: Check) -> Self {
        Self { check, state: State::Ok, cause: None, detail: None, remedy: None, follows_from: None }
    }

    pub(super) fn fails(check: Check, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Fails, cause: Some(cause.into()), remedy: Some(remedy.into()), ..Self::ok(check) }
    }

    pub(super) fn unknown(check: Check, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Unknown, ..Self::fails(check, cause, remedy) }
    }

    pub(super) fn untriable(check: Check, cause: impl Into<String>) -> Self {
        Self { state: State::Untriable, cause: Some(cause.into()), ..Self::ok(check) }
    }

    /// Nobody could look, because of what another check tells.
    pub(super) fn follows(check: Check, from: Check, why: impl Into<String>) -> Self {
        Self { state: State::Unknown, cause: Some(why.into()), follows_from: Some(from), ..Self::ok(check) }
    }

    /// Nobody answered.
    pub(super) fn unanswered(check: Check, who: &str, reason: &str) -> Self {
        Self::unknown(check, format!("{who} did not answer"), "run the checkup again").with_detail(reason)
    }

    pub(super) fn with_detail(self, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { detail: (!detail.is_empty()).then_some(detail), ..self }
    }
}

/// Whether AWS refused for want of a permission.
pub(super) fn is_denied(code: &str) -> bool {
    matches!(code, "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation")
}

/// Whether the Region does not know the account's credentials, fresh as they are: it is not enabled there (IAM User
/// Guide, "Manage AWS STS in an AWS Region").
pub(super) fn is_region_disabled(code: &str) -> bool {
    matches!(
        code,
        "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "RegionDisabledException"
            | "OptInRequired"
            | "SubscriptionRequiredException"
    )
}

/// Code and message, as AWS's command line writes them.
pub(super) fn words(code: &str, message: &str) -> String {
    if code.is_empty() { message.to_owned() } else { format!("{code}: {message}") }
}

/// Whether the Region knows its caller: `None` when nobody got as far as to ask it.
pub(super) fn knows_caller<T>(tried: &Tried<T>) -> Option<bool> {
    match tried {
        Tried::Done(_) => Some(true),
        Tried::Refused { code, .. } => Some(!is_region_disabled(code)),
        Tried::Unanswered { .. } | Tried::NotTried => None,
    }
}
