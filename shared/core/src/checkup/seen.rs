//! What the functions saw. Facts only: what they mean is judged elsewhere.

use serde::{Deserialize, Serialize};

use crate::ids::{PipelineName, Region};

/// How one look went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tried<T> {
    /// It was seen.
    Done(T),
    /// The service refused, in its own words.
    Refused {
        /// Such as `AccessDeniedException`.
        code: String,
        /// What it said.
        message: String,
    },
    /// The service did not answer, throttled, or the time was up: nothing is known.
    Unanswered {
        /// Why.
        reason: String,
    },
    /// An earlier look, which this one needs, went wrong.
    NotTried,
}

impl<T> Tried<T> {
    /// What was seen, if anything.
    pub const fn done(&self) -> Option<&T> {
        match self {
            Self::Done(seen) => Some(seen),
            Self::Refused { .. } | Self::Unanswered { .. } | Self::NotTried => None,
        }
    }

    /// The same of something else that follows from what was seen.
    #[must_use]
    pub fn map<U>(self, done: impl FnOnce(T) -> U) -> Tried<U> {
        match self {
            Self::Done(seen) => Tried::Done(done(seen)),
            Self::Refused { code, message } => Tried::Refused { code, message },
            Self::Unanswered { reason } => Tried::Unanswered { reason },
            Self::NotTried => Tried::NotTried,
        }
    }

    /// Whether the service answered for itself: it knows the caller, whatever it thinks of the call.
    pub(super) const fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code.as_str()),
            Self::Done(_) | Self::Unanswered { .. } | Self::NotTried => None,
        }
    }
}

/// What `deploy` saw of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessSeen {
    /// `AssumeRole`, as a rollout would.
    pub assumed: Tried<()>,
    /// `ListPipelineExecutions` in the target Region; of another engine the one call that reads: `ListBuildsForProject`,
    /// `DescribeStacks`, `ListDeployments`. A stack that does not exist yet is no error: the first release makes it.
    pub list_executions: Tried<()>,
    /// `ListActionExecutions` in the target Region; of another engine [`Tried::NotTried`].
    pub list_actions: Tried<()>,
}

impl AccessSeen {
    /// The role was not assumed.
    #[must_use]
    pub fn not_assumed(why: Tried<()>) -> Self {
        Self { assumed: why, list_executions: Tried::NotTried, list_actions: Tried::NotTried }
    }
}

/// What `inspect` saw.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inspected {
    /// The role that it assumes in member accounts, by name.
    pub role: String,
    /// The hub account, if it was asked for.
    pub hub: Option<HubSeen>,
    /// One for each spot.
    pub spots: Vec<SpotSeen>,
}

/// What was seen in the hub account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubSeen {
    /// The bus.
    pub bus: Tried<BusSeen>,
    /// The release pipelines, in the order of the question.
    pub releases: Vec<Tried<()>>,
}

/// The hub bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusSeen {
    /// Its resource policy, as JSON text, if it has one.
    pub policy: Option<String>,
}

/// A pipeline in a Region of the hub account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineAsked {
    /// The Region.
    pub region: Region,
    /// Its name.
    pub name: PipelineName,
}

/// What was seen in a Region of a member account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotSeen {
    /// `AssumeRole` on the read-only role.
    pub assumed: Tried<()>,
    /// The rules, in the order of the question.
    pub rules: Vec<Tried<RuleSeen>>,
    /// What is started there, in the order of the question.
    pub pipelines: Vec<PipelineSpotSeen>,
}

impl SpotSeen {
    /// The read-only role was not assumed.
    #[must_use]
    pub fn not_assumed(why: Tried<()>, rules: usize, pipelines: usize) -> Self {
        let nothing = PipelineSpotSeen { pipeline: Tried::NotTried, decisions: Tried::NotTried };
        Self { assumed: why, rules: vec![Tried::NotTried; rules], pipelines: vec![nothing; pipelines] }
    }
}

/// What was seen of one target pipeline, or of what is started in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineSpotSeen {
    /// `GetPipeline`; of other services whether it is there (`BatchGetProjects`, `GetDeploymentGroup`, `DescribeStacks`), and
    /// nothing of its structure. A stack need not be there yet.
    pub pipeline: Tried<PipelineSeen>,
    /// `SimulatePrincipalPolicy` of the target role on it.
    pub decisions: Tried<Vec<Decision>>,
}

/// A pipeline's structure, as far as a start depends on it (API reference, `PipelineDeclaration`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PipelineSeen {
    /// `V1` or `V2`. Pipelines that do not say are V1.
    pub pipeline_type: Option<String>,
    /// Such as `QUEUED`.
    pub execution_mode: Option<String>,
    /// Its variables.
    pub variables: Vec<VariableSeen>,
    /// Its source actions.
    pub sources: Vec<SourceActionSeen>,
}

/// A declared pipeline variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableSeen {
    /// Its name.
    pub name: String,
    /// Whether it may be left out of a start.
    pub has_default: bool,
}

/// A source action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceActionSeen {
    /// Its name.
    pub name: String,
    /// Such as `S3` or `CodeStarSourceConnection`.
    pub provider: String,
    /// Whether a start may name another object (`AllowOverrideForS3ObjectKey`).
    pub allows_object_key: bool,
}

/// A rule on a default bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSeen {
    /// Such as `ENABLED`.
    pub state: String,
    /// Its event pattern, as JSON text.
    pub pattern: Option<String>,
    /// Its targets.
    pub targets: Vec<RuleTarget>,
}

/// Where a rule sends events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTarget {
    /// What takes them.
    pub arn: String,
    /// The role that they are sent with.
    pub role: Option<String>,
}

/// What IAM's simulator says of one action (API reference, `EvaluationResult`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Such as `codepipeline:StartPipelineExecution`.
    pub action: String,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub decision: String,
    /// Context keys that policies ask for and that could not be given.
    pub missing: Vec<String>,
    /// Whether the organisation's policies allow it, if there are any.
    pub by_organization: Option<bool>,
    /// Whether the role's permissions boundary allows it, if there is one.
    pub by_boundary: Option<bool>,
}

/// What `summarize` saw of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackSeen {
    /// The secret: whether it is there, and of the right shape.
    pub secret: Tried<()>,
    /// `auth.test`, for a bot.
    pub token: Tried<TokenSeen>,
    /// `conversations.info`, for a bot.
    pub channel: Tried<ChannelSeen>,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSeen {
    /// The workspace.
    pub team: Option<String>,
    /// The bot.
    pub user: Option<String>,
    /// What it may do, from the answer's `X-OAuth-Scopes`, if that was there.
    pub scopes: Option<Vec<String>>,
}

/// A channel (Slack API reference, "Conversation object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSeen {
    /// Its name.
    pub name: Option<String>,
    /// Nobody can post to an archived channel.
    pub is_archived: bool,
    /// Whether the bot is in it. Slack leaves it out where it has no meaning.
    pub is_member: Option<bool>,
    /// Whether it is private.
    pub is_private: bool,
}
