//! What a simulated target does when it is started.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use manifold_core::engine::Service;
use manifold_core::event::PipelineState;
use manifold_core::ids::{AccountId, Region, TargetKey};
use manifold_core::time::Span;

/// What a simulated target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Its pipeline succeeds.
    Succeeds,
    /// One of its actions fails with this error code, such as `JobFailed`.
    Fails(String),
    /// It fails, is retried in its own account, and succeeds.
    FailsThenRetried,
    /// It fails, is retried in its own account an hour later, and succeeds.
    RetriedLate,
    /// It fails, is retried in its own account, and fails again.
    RetriedInVain,
    /// Its first execution of a run fails; the next one succeeds.
    FailsOnce,
    /// A newer execution overtakes it.
    Superseded,
    /// Its pipeline is changed while it runs.
    Canceled,
    /// Somebody stops it.
    Stopped,
    /// It starts and is never heard of again.
    Silent,
    /// Its role can't be assumed.
    AccessDenied,
    /// Its pipeline does not exist.
    PipelineNotFound,
    /// Its engine throttles the first calls, then works.
    Throttled,
    /// It tells of a state that this version does not know, then succeeds.
    UnknownState,
    /// Its engine says that it has the release already: CloudFormation alone does.
    Current,
    /// Its change set would replace a resource. Other engines than CloudFormation succeed.
    Replaces,
}

/// The names that [`Behaviour`] is written by, each with what it does. Any other name is an action's error code.
pub const NAMES: &[(&str, &str)] = &[
    ("JobFailed", "an action fails; any other error code works as well"),
    ("Retried", "it fails, is retried in its own account, and succeeds"),
    ("RetriedLate", "the same an hour later, when the verdict may have been given"),
    ("RetriedInVain", "it fails, is retried in its own account, and fails again"),
    ("FailsOnce", "its first execution fails, the next attempt succeeds"),
    ("Superseded", "a newer execution overtakes it"),
    ("Canceled", "its pipeline is changed while it runs"),
    ("Stopped", "somebody stops it"),
    ("Silent", "it starts and is never heard of again, until the run's deadline"),
    ("AccessDenied", "its role can't be assumed"),
    ("PipelineNotFound", "its pipeline does not exist"),
    ("Throttled", "the first calls are throttled"),
    ("UnknownState", "it tells of a state that this version does not know"),
    ("Replaces", "its change set would replace a resource; another engine than CloudFormation succeeds"),
    ("NoChanges", "its change set has no changes; another engine than CloudFormation succeeds"),
];

/// Why a name is no behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an error code: expected 1-64 letters and digits, such as JobFailed")]
pub struct InvalidBehaviour(String);

impl FromStr for Behaviour {
    type Err = InvalidBehaviour;
    fn from_str(name: &str) -> Result<Self, InvalidBehaviour> {
        Ok(match name {
            "Succeeded" => Self::Succeeds,
            "Retried" => Self::FailsThenRetried,
            "RetriedLate" => Self::RetriedLate,
            "RetriedInVain" => Self::RetriedInVain,
            "FailsOnce" => Self::FailsOnce,
            "Superseded" => Self::Superseded,
            "Canceled" => Self::Canceled,
            "Stopped" => Self::Stopped,
            "Silent" => Self::Silent,
            "AccessDenied" => Self::AccessDenied,
            "PipelineNotFound" => Self::PipelineNotFound,
            "Throttled" => Self::Throttled,
            "UnknownState" => Self::UnknownState,
            "NoChanges" => Self::Current,
            "Replaces" => Self::Replaces,
            code if (1..=64).contains(&code.len()) && code.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Self::Fails(code.to_owned())
            }
            other => return Err(InvalidBehaviour(other.to_owned())),
        })
    }
}

/// Something that an execution tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beat {
    /// It reached a state, in this attempt of CodePipeline's.
    State(PipelineState, u32),
    /// One of its actions failed.
    ActionFailed {
        /// The error code.
        code: String,
        /// CodePipeline's attempt.
        attempt: u32,
    },
}

/// What an execution tells that is not CodePipeline's: it has one attempt, nobody overtakes it, and what is stopped has
/// no state between. A stack whose update is canceled is taken back, which is a failure.
pub(crate) fn as_told_by(service: Service, script: Vec<(Span, Beat)>) -> Vec<(Span, Beat)> {
    if service == Service::CodePipeline {
        return script;
    }
    let stopped = match service {
        Service::CloudFormation => PipelineState::Failed,
        Service::CodePipeline | Service::CodeBuild | Service::CodeDeploy => PipelineState::Stopped,
    };
    let told = |beat: Beat| match beat {
        Beat::State(PipelineState::Canceled | PipelineState::Superseded | PipelineState::Stopped, 1) => {
            Some(Beat::State(stopped.clone(), 1))
        }
        Beat::State(PipelineState::Stopping, _) => None,
        Beat::State(_, 1) | Beat::ActionFailed { attempt: 1, .. } => Some(beat),
        Beat::State(..) | Beat::ActionFailed { .. } => None,
    };
    script.into_iter().filter_map(|(after, beat)| Some((after, told(beat)?))).collect()
}

impl Behaviour {
    /// What an execution tells, and how long after its start, if its work takes so long.
    pub(crate) fn script(&self, took: Span, started_untold: bool) -> Vec<(Span, Beat)> {
        const MINUTE: Span = Span::from_minutes(1);
        let half = Span::from_millis(took.as_millis() / 2);
        let later = |span: Span, more: Span| Span::from_millis(span.as_millis() + more.as_millis());
        let state = |after, state, attempt| (after, Beat::State(state, attempt));
        let failed = |after, code: &str, attempt| {
            let action = (after, Beat::ActionFailed { code: code.to_owned(), attempt });
            [action, state(after, PipelineState::Failed, attempt)]
        };
        let retried = |after, end| [state(after, PipelineState::Resumed, 2), state(later(after, MINUTE), end, 2)];
        let mut script = Vec::new();
        if !started_untold {
            script.push(state(Span::from_seconds(1), PipelineState::Started, 1));
        }
        match self {
            Self::Succeeds | Self::Throttled | Self::Current | Self::Replaces => {
                script.push(state(took, PipelineState::Succeeded, 1))
            }
            Self::Fails(code) => script.extend(failed(took, code, 1)),
            Self::FailsOnce => script.extend(failed(took, "JobFailed", 1)),
            Self::FailsThenRetried => {
                script.extend(failed(took, "JobFailed", 1));
                script.extend(retried(later(took, MINUTE), PipelineState::Succeeded));
            }
            Self::RetriedLate => {
                script.extend(failed(took, "JobFailed", 1));
                script.extend(retried(later(took, Span::from_minutes(60)), PipelineState::Succeeded));
            }
            Self::RetriedInVain => {
                script.extend(failed(took, "JobFailed", 1));
                let again = later(took, MINUTE);
                script.push(state(again, PipelineState::Resumed, 2));
                script.extend(failed(later(again, MINUTE), "JobFailed", 2));
            }
            Self::Superseded => script.push(state(half, PipelineState::Superseded, 1)),
            Self::Canceled => script.push(state(half, PipelineState::Canceled, 1)),
            Self::Stopped => {
                script.push(state(half, PipelineState::Stopping, 1));
                script.push(state(took, PipelineState::Stopped, 1));
            }
            Self::UnknownState => {
                script.push(state(half, PipelineState::Unknown("HIBERNATING".to_owned()), 1));
                script.push(state(took, PipelineState::Succeeded, 1));
            }
            Self::Silent | Self::AccessDenied | Self::PipelineNotFound => {}
        }
        script
    }

    /// What its next execution does, as one of the same run may have gone before.
    #[must_use]
    pub fn after(self, is_first: bool) -> Self {
        match self {
            Self::FailsOnce if !is_first => Self::Succeeds,
            other @ (Self::Succeeds
            | Self::Fails(_)
            | Self::FailsThenRetried
            | Self::RetriedLate
            | Self::RetriedInVain
            | Self::FailsOnce
            | Self::Superseded
            | Self::Canceled
            | Self::Stopped
            | Self::Silent
            | Self::AccessDenied
            | Self::PipelineNotFound
            | Self::Throttled
            | Self::UnknownState
            | Self::Current
            | Self::Replaces) => other,
        }
    }

    /// The error code that the engine will tell when it is asked why an execution failed.
    #[must_use]
    pub fn error_code(&self) -> Option<String> {
        match self {
            Self::Fails(code) => Some(code.clone()),
            Self::FailsThenRetried | Self::RetriedLate | Self::RetriedInVain | Self::FailsOnce => {
                Some("JobFailed".to_owned())
            }
            Self::Succeeds
            | Self::Superseded
            | Self::Canceled
            | Self::Stopped
            | Self::Silent
            | Self::AccessDenied
            | Self::PipelineNotFound
            | Self::Throttled
            | Self::UnknownState
            | Self::Current
            | Self::Replaces => None,
        }
    }
}

/// One `--fail` of the command line: which target, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// An account's name or id; `*` for all.
    pub account: String,
    /// A Region; `*` for all.
    pub region: String,
    /// What it does.
    pub behaviour: Behaviour,
}

/// Why a `--fail` can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChoice {
    /// Not of the form.
    #[error("expected ACCOUNT/REGION=WHAT, such as dev/eu-west-1=JobFailed; '*' stands for all")]
    Form,
    /// The behaviour.
    #[error(transparent)]
    Behaviour(#[from] InvalidBehaviour),
}

impl FromStr for Chosen {
    type Err = InvalidChoice;
    fn from_str(text: &str) -> Result<Self, InvalidChoice> {
        let (target, what) = text.split_once('=').ok_or(InvalidChoice::Form)?;
        let (account, region) = target.split_once('/').ok_or(InvalidChoice::Form)?;
        if account.is_empty() || region.is_empty() || what.is_empty() {
            return Err(InvalidChoice::Form);
        }
        Ok(Self { account: account.to_owned(), region: region.to_owned(), behaviour: what.parse()? })
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

impl Chosen {
    /// Whether it means this target.
    #[must_use]
    pub fn means(&self, account: &AccountId, account_name: &str, region: &Region) -> bool {
        (self.account == "*" || self.account == account_name || self.account == account.as_str())
            && (self.region == "*" || self.region == region.as_str())
    }
}

/// What each target does; those that are not named succeed.
#[derive(Debug, Clone, Default)]
pub struct Behaviours(BTreeMap<TargetKey, Behaviour>);

impl Behaviours {
    /// Has a target do something.
    pub fn set(&mut self, target: TargetKey, behaviour: Behaviour) {
        self.0.insert(target, behaviour);
    }

    /// What a target does.
    #[must_use]
    pub fn of(&self, target: &TargetKey) -> Behaviour {
        self.0.get(target).cloned().unwrap_or(Behaviour::Succeeds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_failure_names_target_and_behaviour() {
        let chosen: Chosen = "dev/eu-west-1=JobFailed".parse().unwrap();
        assert_eq!(chosen.behaviour, Behaviour::Fails("JobFailed".to_owned()));
        assert!(chosen.means(&"444455556666".parse().unwrap(), "dev", &"eu-west-1".parse().unwrap()));
        assert!(!chosen.means(&"444455556666".parse().unwrap(), "dev", &"us-east-1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_choice_is_told_what_one_looks_like() {
        assert_eq!("dev=JobFailed".parse::<Chosen>(), Err(InvalidChoice::Form));
        assert!("dev/eu-west-1=<b>".parse::<Chosen>().unwrap_err().to_string().contains("error code"));
    }
}
