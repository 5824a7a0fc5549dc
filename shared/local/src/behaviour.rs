//! What a simulated target does when it is started.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use manifold_core::ids::{AccountId, Region, TargetKey};

/// What a simulated target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Its pipeline succeeds.
    Succeeds,
    /// One of its actions fails with this error code, such as `JobFailed`.
    Fails(String),
    /// It fails, is retried in its own account, and succeeds.
    FailsThenRetried,
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
}

/// The names that [`Behaviour`] is written by, each with what it does. Any other name is an action's error code.
pub const NAMES: &[(&str, &str)] = &[
    ("JobFailed", "an action fails; any other error code works as well"),
    ("Retried", "it fails, is retried in its own account, and succeeds"),
    ("Superseded", "a newer execution overtakes it"),
    ("Canceled", "its pipeline is changed while it runs"),
    ("Stopped", "somebody stops it"),
    ("Silent", "it starts and is never heard of again, until the run's deadline"),
    ("AccessDenied", "its role can't be assumed"),
    ("PipelineNotFound", "its pipeline does not exist"),
    ("Throttled", "the first calls are throttled"),
    ("UnknownState", "it tells of a state that this version does not know"),
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
            "Superseded" => Self::Superseded,
            "Canceled" => Self::Canceled,
            "Stopped" => Self::Stopped,
            "Silent" => Self::Silent,
            "AccessDenied" => Self::AccessDenied,
            "PipelineNotFound" => Self::PipelineNotFound,
            "Throttled" => Self::Throttled,
            "UnknownState" => Self::UnknownState,
            code if (1..=64).contains(&code.len()) && code.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Self::Fails(code.to_owned())
            }
            other => return Err(InvalidBehaviour(other.to_owned())),
        })
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
