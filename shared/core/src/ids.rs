//! Names that cannot be wrong: each is checked once, where it enters.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct InvalidId {
    /// The text that was refused, cut to 80 characters.
    pub value: String,
    /// What would have been accepted, as a noun phrase.
    pub expected: &'static str,
}

impl InvalidId {
    /// How much of a refused text is kept, in characters: whatever claims to be a name may be a megabyte.
    const KEPT: usize = 80;

    pub(crate) fn new(value: &str, expected: &'static str) -> Self {
        let value = match value.char_indices().nth(Self::KEPT) {
            None => value.to_owned(),
            Some((end, _)) => format!("{}…", &value[..end]),
        };
        Self { value, expected }
    }
}

/// Declares a string newtype that is parsed by a predicate and stored as plain text.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What a valid value looks like, as a noun phrase for error messages.
            pub const EXPECTED: &'static str = $expected;

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(value: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(value) {
                    Ok(Self(value.to_owned()))
                } else {
                    Err(InvalidId::new(value, Self::EXPECTED))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(value: String) -> Result<Self, InvalidId> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn all(value: &str, min: usize, max: usize, ok: fn(char) -> bool) -> bool {
    (min..=max).contains(&value.len()) && value.chars().all(ok)
}

fn is_region(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    value.len() <= 32
        && words.len() >= 2
        && words.iter().all(|word| all(word, 1, 16, |c| c.is_ascii_lowercase()))
        && all(number, 1, 2, |c| c.is_ascii_digit())
}

text_id!(
    /// An AWS account: twelve digits.
    AccountId, "a 12-digit AWS account id", |v| all(v, 12, 12, |c| c.is_ascii_digit())
);
text_id!(
    /// An AWS Region code such as `eu-west-1` or `us-gov-west-1`.
    Region, "an AWS Region code such as eu-west-1", is_region
);
text_id!(
    /// The name of an app in the fleet file: 1–32 of `a-z 0-9 -`, beginning with a letter.
    ///
    /// The bounds come from AWS: an app's name is part of a run id, and a run id is part of a role session
    /// name (at most 64 characters) and of a client request token (`[a-zA-Z0-9-]`, at most 128).
    AppName, "an app name: 1-32 characters of a-z, 0-9 and -, beginning with a letter",
    |v| all(v, 1, 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && v.starts_with(|c: char| c.is_ascii_lowercase())
);
text_id!(
    /// A run: `<app>-<16 hex digits>`, derived from the source execution (see [`RunId::derive`]).
    RunId, "a run id such as web-0f3a5b7c9d1e2f40",
    |v| v.rsplit_once('-').is_some_and(|(app, hash)| {
        app.parse::<AppName>().is_ok() && all(hash, 16, 16, |c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
    })
);
text_id!(
    /// A CodePipeline name: 1–100 of `A-Za-z0-9.@-_` (API reference, `PipelineName`).
    PipelineName, "a pipeline name: 1-100 characters of A-Z, a-z, 0-9, '.', '@', '-' and '_'",
    |v| all(v, 1, 100, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '@' | '-' | '_'))
);
text_id!(
    /// A CodeBuild project: 2–150 of `A-Za-z0-9-_`, beginning with a letter or a digit (API reference, `ProjectName`).
    ProjectName, "a build project's name: 2-150 characters of A-Z, a-z, 0-9, '-' and '_', not beginning with '-' or '_'",
    |v| all(v, 2, 150, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && v.starts_with(|c: char| c.is_ascii_alphanumeric())
);
text_id!(
    /// A CloudFormation stack: 1–128 of `A-Za-z0-9-`, beginning with a letter (API reference, `StackName`).
    StackName, "a stack's name: 1-128 characters of A-Z, a-z, 0-9 and '-', beginning with a letter",
    |v| all(v, 1, 128, |c| c.is_ascii_alphanumeric() || c == '-') && v.starts_with(|c: char| c.is_ascii_alphabetic())
);
text_id!(
    /// What an engine calls one execution, unique within an account and a Region. At most 256 printable characters.
    ///
    /// | engine | what |
    /// |---|---|
    /// | CodePipeline | the execution's id: a lower-case UUID |
    /// | CodeBuild | the build's id: `project:uuid` |
    /// | CloudFormation | the client request token that all events of an operation share ([`RunId::attempt_token`]) |
    /// | CodeDeploy | the deployment's id: `d-…` |
    ExecutionId, "an execution id", |v| all(v, 1, 256, |c| c.is_ascii_graphic())
);
text_id!(
    /// An IAM role's ARN.
    RoleArn, "a role ARN such as arn:aws:iam::444455556666:role/ManifoldTarget",
    |v| {
        let parts: Vec<&str> = v.splitn(6, ':').collect();
        matches!(parts.as_slice(), ["arn", partition, "iam", "", account, resource]
            if partition.starts_with("aws")
                && account.parse::<AccountId>().is_ok()
                && resource.strip_prefix("role/").is_some_and(|name| all(name, 1, 576, |c| c.is_ascii_graphic())))
    }
);
text_id!(
    /// A random value written with a claim, so that its writer can tell "mine" from "theirs".
    Nonce, "a nonce of 1-64 graphic characters", |v| all(v, 1, 64, |c| c.is_ascii_graphic())
);

impl RoleArn {
    /// The account that the role is in.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The role's name without its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

/// A group of Regions with its own consoles and credentials; nothing crosses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// The commercial Regions.
    Aws,
    /// Mainland China.
    AwsCn,
    /// US government.
    AwsUsGov,
    /// European sovereign cloud.
    AwsEusc,
    /// Any of the isolated partitions; they have no public console.
    AwsIso,
}

impl Partition {
    /// The ARN segment.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
            Self::AwsEusc => "aws-eusc",
            Self::AwsIso => "aws-iso",
        }
    }
}

impl Region {
    /// The partition that the Region belongs to, told by its prefix.
    #[must_use]
    pub fn partition(&self) -> Partition {
        match self.0.as_str() {
            r if r.starts_with("cn-") => Partition::AwsCn,
            r if r.starts_with("us-gov-") => Partition::AwsUsGov,
            r if r.starts_with("eusc-") => Partition::AwsEusc,
            r if r.contains("-iso") => Partition::AwsIso,
            _ => Partition::Aws,
        }
    }
}

/// One place an app is deployed to, within a run: an account and a Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// The target account.
    pub account: AccountId,
    /// The Region in it.
    pub region: Region,
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// One try at one target in one run, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first try.
    pub const FIRST: Self = Self(1);

    /// The try after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an execution runs: its engine's id is unique only within an account and a Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExecutionRef {
    /// Account and Region, always taken from the event's envelope or from the ledger.
    pub target: TargetKey,
    /// The engine's id.
    pub id: ExecutionId,
}

impl fmt::Display for ExecutionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.id)
    }
}

/// The prefix of every role session that Manifold opens; the run id follows.
const SESSION_PREFIX: &str = "mf-";

impl RunId {
    /// The run that `source` opens for `app`: the same input gives the same run, so a duplicate release
    /// event opens no second one.
    #[must_use]
    pub fn derive(app: &AppName, source: &ExecutionRef) -> Self {
        Self::hashed(app, &format!("{app}\n{source}"))
    }

    /// A run of an app that follows from a text.
    pub(crate) fn hashed(app: &AppName, text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{app}-{hash}"))
    }

    /// The run that a command wants which points to this one: a retry, or the way back.
    #[must_use]
    pub fn derive_from(&self, command: &Nonce, at: Timestamp) -> Self {
        Self::hashed(&self.app(), &format!("{self}\n{command}\n{}", at.as_millis()))
    }

    /// The app that the run deploys.
    #[must_use]
    pub fn app(&self) -> AppName {
        // A run id was checked to begin with an app's name.
        AppName(self.0.rsplit_once('-').map_or(self.0.as_str(), |(app, _)| app).to_owned())
    }

    /// The role session name (2–64 of `[\w+=,.@-]`, STS API reference). It carries the run, because
    /// CodePipeline repeats it in the STARTED event's `trigger-detail`.
    #[must_use]
    pub fn session_name(&self) -> String {
        format!("{SESSION_PREFIX}{}", self.0)
    }

    /// Reads a run back from a session ARN such as
    /// `arn:aws:sts::444455556666:assumed-role/ManifoldTarget/mf-web-0f3a5b7c9d1e2f40`.
    #[must_use]
    pub fn from_session_arn(arn: &str) -> Option<Self> {
        let (_, session) = arn.split_once(":assumed-role/")?.1.rsplit_once('/')?;
        session.strip_prefix(SESSION_PREFIX)?.parse().ok()
    }

    /// The engine's idempotency token of one attempt: the same on every retry and by every worker.
    ///
    /// CodePipeline allows 1–128 of `[a-zA-Z0-9-]` (API reference, `ClientRequestToken`).
    #[must_use]
    pub fn attempt_token(&self, target: &TargetKey, attempt: Attempt) -> String {
        format!("{}-{}-{}-{attempt}", self.0, target.account, target.region)
    }

    /// Reads a run and an attempt back from the token of an attempt on this target: CloudFormation repeats it in every
    /// event of the operation. A token of another target's names none here.
    #[must_use]
    pub fn from_attempt_token(token: &str, target: &TargetKey) -> Option<(Self, Attempt)> {
        let (front, attempt) = token.rsplit_once('-')?;
        let place = format!("-{}-{}", target.account, target.region);
        let run: Self = front.strip_suffix(&place)?.parse().ok()?;
        let attempt = Attempt(attempt.parse().ok()?);
        (run.attempt_token(target, attempt) == token).then_some((run, attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(execution: &str) -> ExecutionRef {
        ExecutionRef {
            target: TargetKey { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() },
            id: execution.parse().unwrap(),
        }
    }

    #[test]
    fn the_same_source_execution_always_names_the_same_run() {
        let app: AppName = "web".parse().unwrap();
        let run = RunId::derive(&app, &source("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01"));
        assert_eq!(run, RunId::derive(&app, &source("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01")));
        assert_ne!(run, RunId::derive(&app, &source("another")));
        assert_ne!(run, RunId::derive(&"api".parse().unwrap(), &source("3f8c1f0a-7d52-4d5e-9f0b-5a1f7c2b9e01")));
    }

    #[test]
    fn session_names_and_tokens_fit_what_aws_allows_for_the_longest_app_name() {
        let app: AppName = "a".repeat(32).parse().unwrap();
        let run = RunId::derive(&app, &source("x"));
        assert!(run.session_name().len() <= 64);
        let target = TargetKey { account: "444455556666".parse().unwrap(), region: "ap-southeast-2".parse().unwrap() };
        let token = run.attempt_token(&target, Attempt(u32::MAX));
        assert!(token.len() <= 128 && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{token}");
    }

    #[test]
    fn a_session_arn_gives_its_run_back_and_a_foreign_session_gives_none() {
        let run = RunId::derive(&"web".parse().unwrap(), &source("x"));
        let arn = format!("arn:aws:sts::444455556666:assumed-role/ManifoldTarget/{}", run.session_name());
        assert_eq!(RunId::from_session_arn(&arn), Some(run));
        assert_eq!(RunId::from_session_arn("arn:aws:sts::444455556666:assumed-role/Admin/jane"), None);
        assert_eq!(RunId::from_session_arn("arn:aws:iam::444455556666:user/jane"), None);
    }

    #[test]
    fn a_token_gives_its_run_and_attempt_back_at_its_own_target_only() {
        let run = RunId::derive(&"web".parse().unwrap(), &source("x"));
        let here = TargetKey { account: "444455556666".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let there = TargetKey { region: "eu-west-2".parse().unwrap(), ..here.clone() };
        let token = run.attempt_token(&here, Attempt(2));
        assert_eq!(RunId::from_attempt_token(&token, &here), Some((run, Attempt(2))));
        assert_eq!(RunId::from_attempt_token(&token, &there), None);
        for odd in ["Console-UpdateStack-0a1b", "", "-", &format!("{token}x"), &token.replace("-2", "-02")] {
            assert_eq!(RunId::from_attempt_token(odd, &here), None, "{odd}");
        }
    }

    #[test]
    fn names_outside_their_bounds_are_refused_with_what_was_expected() {
        assert!("44445555666".parse::<AccountId>().is_err());
        assert!("eu-west".parse::<Region>().is_err());
        assert!("us-gov-west-1".parse::<Region>().is_ok());
        assert!("Web".parse::<AppName>().is_err());
        let error = "over there".parse::<PipelineName>().unwrap_err();
        assert!(error.to_string().starts_with("\"over there\" is not a pipeline name"), "{error}");
    }

    #[test]
    fn partitions_are_told_by_the_region() {
        let partition = |region: &str| region.parse::<Region>().unwrap().partition();
        assert_eq!(partition("eu-west-1"), Partition::Aws);
        assert_eq!(partition("cn-north-1"), Partition::AwsCn);
        assert_eq!(partition("us-gov-east-1"), Partition::AwsUsGov);
        assert_eq!(partition("us-iso-east-1"), Partition::AwsIso);
    }
}
