//! What the commands that talk to AWS share: who is asking, as whom in which account, and what a refusal means.
//!
//! Profile, `AWS_PROFILE` and `AWS_ENDPOINT_URL` mean what they mean to the AWS CLI: a profile that is named on the
//! command line goes before credentials in the environment, `AWS_PROFILE` does not.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{ConfigLoader, SdkConfig};
use aws_sdk_sts::config::SharedCredentialsProvider;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use manifold_aws::clients;
use manifold_core::ids::{AccountId, Region};

use crate::input::advise;

/// A person waits, and nothing else bounds the time: throttled calls are tried more often than in a function.
const TRIES: u32 = 8;
/// How long one call may take, retries included: a package goes up over slow lines too.
const LONGEST_CALL: Duration = Duration::from_secs(300);
/// How the operator's sessions in member accounts are called in their CloudTrail.
const SESSION_NAME: &str = "manifold-operator";

/// Credentials that were found to work, and whose they are.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// For the SDK's clients, in the Region that it was loaded for.
    pub(crate) config: SdkConfig,
    /// The account that the credentials are of.
    pub(crate) account: AccountId,
    /// Who they are, as an ARN.
    pub(crate) arn: String,
}

/// A runtime for the commands that talk to AWS. They wait for the network nearly all the time: one thread does.
///
/// # Errors
/// The system refuses one.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start the async runtime")
}

impl Session {
    /// The operator's own credentials: of the profile, else of the environment, `AWS_PROFILE`, SSO, a container or an
    /// instance, as the AWS CLI finds them.
    ///
    /// # Errors
    /// There are none, they have run out, or STS does not answer for them.
    pub(crate) async fn load(profile: Option<&str>, region: &Region) -> Result<Self> {
        let config = loader(profile, region).load().await;
        Self::of(config).await.map_err(|refusal| no_credentials(&refusal, profile))
    }

    /// A role in another account, assumed with these credentials and renewed when its hour is over. `name` is the
    /// role's name, with its path if it has one.
    ///
    /// # Errors
    /// The role can't be assumed: the message names role, account and the fix.
    pub(crate) async fn assume(&self, account: &AccountId, name: &str, region: &Region) -> Result<Self> {
        let role = format!("arn:{}:iam::{account}:role/{name}", region.partition().as_str());
        // Asked for by hand first: a provider's error would hide the service's words.
        let asked = aws_sdk_sts::Client::new(&self.config).assume_role();
        if let Err(error) = asked.role_arn(&role).role_session_name(SESSION_NAME).send().await {
            return Err(self.not_assumed(&Refusal::of(&error), &role, account));
        }
        let provider = AssumeRoleProvider::builder(&role).session_name(SESSION_NAME).configure(&self.config);
        let credentials = SharedCredentialsProvider::new(provider.build().await);
        let config = self.config.to_builder().credentials_provider(credentials).build();
        Self::of(in_region(&config, region)).await.map_err(|refusal| self.not_assumed(&refusal, &role, account))
    }

    /// The credentials for a member account of this hub: those of its profile, by the account's name or id, if one was
    /// given for it; else the role's, assumed with these.
    ///
    /// # Errors
    /// There are none.
    pub(crate) async fn of_member(
        &self,
        account: &AccountId,
        name: &str,
        role: &str,
        profiles: &[(String, String)],
        region: &Region,
    ) -> Result<Self> {
        if *account == self.account {
            return Ok(self.clone());
        }
        // The last one that was given for it counts.
        match profiles.iter().rev().find(|(of, _)| of == name || of == account.as_str()) {
            Some((_, profile)) => {
                let session = Self::load(Some(profile), region).await?;
                session.expect_account(account, name)?;
                Ok(session)
            }
            None => self.assume(account, role, region).await,
        }
    }

    /// The same credentials in another Region.
    pub(crate) fn in_region(&self, region: &Region) -> Self {
        Self { config: in_region(&self.config, region), account: self.account.clone(), arn: self.arn.clone() }
    }

    /// Whether an endpoint was set: then it is a local AWS, which has no host name for each bucket.
    pub(crate) fn is_local(&self) -> bool {
        self.config.endpoint_url().is_some()
    }

    /// Checks that the credentials are of the account that they are meant for.
    ///
    /// # Errors
    /// They are of another one.
    pub(crate) fn expect_account(&self, account: &AccountId, whose: &str) -> Result<()> {
        if self.account == *account {
            return Ok(());
        }
        Err(advise(
            format!("the credentials are of account {} ({}), and {whose} is {account}", self.account, self.arn),
            format!("choose credentials of {account} with --profile or AWS_PROFILE"),
        ))
    }

    async fn of(config: SdkConfig) -> Result<Self, Refusal> {
        let identity = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
        let identity = identity.map_err(|error| Refusal::of(&error))?;
        let account = identity.account.as_deref().unwrap_or_default();
        let account = account.parse().map_err(|_| Refusal {
            code: String::new(),
            message: format!("STS names no account of twelve digits, but \"{account}\""),
        })?;
        Ok(Self { config, account, arn: identity.arn.unwrap_or_default() })
    }

    fn not_assumed(&self, refusal: &Refusal, role: &str, account: &AccountId) -> anyhow::Error {
        let problem = format!("{} can't assume {role} in account {account}: {refusal}", self.arn);
        if !refusal.is_denied() {
            return anyhow!(problem);
        }
        advise(
            problem,
            format!(
                "the role must be there and trust account {}, and your own permissions must allow sts:AssumeRole on it; \
                 name another role with --member-role, or credentials of that account with --member-profile \
                 {account}=PROFILE",
                self.account
            ),
        )
    }
}

/// The Region that the AWS CLI would take: of the environment, the profile, or the instance.
///
/// # Errors
/// None is set.
pub(crate) async fn usual_region(profile: Option<&str>) -> Result<Region> {
    let chain = aws_config::default_provider::region::Builder::default();
    let chain = match profile {
        Some(profile) => chain.profile_name(profile),
        None => chain,
    };
    let region = chain.build().region().await;
    let region = region.ok_or_else(|| {
        advise(
            "the hub's Region is not known",
            "name it with --region, or the fleet file with --fleet, or set AWS_REGION",
        )
    })?;
    Ok(region.as_ref().parse()?)
}

fn loader(profile: Option<&str>, region: &Region) -> ConfigLoader {
    let region = aws_config::Region::new(region.as_str().to_owned());
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .operation_attempt_timeout(LONGEST_CALL)
        .operation_timeout(LONGEST_CALL);
    let loader = clients::loader()
        .region(region.clone())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(timeouts.build());
    let Some(profile) = profile else { return loader };
    // Left to itself, the SDK would still take credentials in the environment first.
    let connections = ProviderConfig::default().with_http_client(clients::http_client()).with_region(Some(region));
    let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&connections);
    loader.profile_name(profile).credentials_provider(credentials.build())
}

fn in_region(config: &SdkConfig, region: &Region) -> SdkConfig {
    config.to_builder().region(aws_config::Region::new(region.as_str().to_owned())).build()
}

/// Why AWS did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The service's error code; empty when no service answered.
    pub(crate) code: String,
    /// In the service's words.
    pub(crate) message: String,
}

impl Refusal {
    /// Of a failed call, after all retries.
    pub(crate) fn of<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug + 'static,
    {
        match error.as_service_error() {
            Some(service) => Self {
                code: service.code().unwrap_or_default().to_owned(),
                message: service.message().map_or_else(|| manifold_aws::telemetry::chain(service), str::to_owned),
            },
            None => Self { code: String::new(), message: manifold_aws::telemetry::chain(error) },
        }
    }

    /// Whether a permission is missing, in the words of the services at hand.
    pub(crate) fn is_denied(&self) -> bool {
        ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"].contains(&self.code.as_str())
    }

    /// Whether the credentials, and not the call, are at fault.
    pub(crate) fn is_expired(&self) -> bool {
        ["ExpiredToken", "ExpiredTokenException", "RequestExpired"].contains(&self.code.as_str())
            || self.message.contains("expired")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.as_str() {
            "" => write!(f, "{}", self.message),
            code => write!(f, "{code}: {}", self.message),
        }
    }
}

impl Error for Refusal {}

fn no_credentials(refusal: &Refusal, profile: Option<&str>) -> anyhow::Error {
    let whose = profile.map_or_else(String::new, |profile| format!(" of profile {profile}"));
    let login = match profile {
        Some(profile) => format!("aws sso login --profile {profile}"),
        None => "aws sso login".to_owned(),
    };
    // What follows the first line lists every place where there were none.
    let words = refusal.message.lines().next().unwrap_or_default();
    if refusal.is_expired() || words.contains("SSO") || words.contains("sso") {
        return advise(format!("the credentials{whose} can't be used: {refusal}"), format!("sign in again: {login}"));
    }
    if refusal.code.is_empty() && (words.contains("credential") || words.contains("profile")) {
        return match profile {
            Some(profile) => advise(
                format!("no credentials for AWS{whose}: {words}"),
                format!(
                    "check that ~/.aws/config or ~/.aws/credentials has the profile {profile}, or sign in: {login}"
                ),
            ),
            None => advise(
                format!("no credentials for AWS: {words}"),
                format!("set AWS_PROFILE, give --profile, or sign in: {login}"),
            ),
        };
    }
    advise(
        format!("failed to ask STS whose the credentials{whose} are: {refusal}"),
        "check the credentials, the network and AWS_ENDPOINT_URL",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, message: &str) -> Refusal {
        Refusal { code: code.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn what_is_wrong_with_credentials_comes_with_its_remedy() {
        let told = |code, message, profile| no_credentials(&refusal(code, message), profile).to_string();
        assert_eq!(
            told("", "dispatch failure: no providers in chain provided credentials", None),
            "no credentials for AWS: dispatch failure: no providers in chain provided credentials\n  help: set AWS_PROFILE, \
             give --profile, or sign in: aws sso login"
        );
        assert_eq!(
            told("ExpiredToken", "The security token included in the request is expired", Some("ops")),
            "the credentials of profile ops can't be used: ExpiredToken: The security token included in the request is \
             expired\n  help: sign in again: aws sso login --profile ops"
        );
        assert!(told("InvalidClientTokenId", "The token is not valid", None).contains("help: check the credentials"));
    }
}
