//! The ARNs of the secrets that a fleet file names, and of the signing secret, for the policies of the functions that read
//! them.

use anyhow::Result;
use manifold_aws::clients::Clients;
use manifold_core::ids::{AccountId, Region};
use manifold_core::plan::SecretRef;
use manifold_fleet::Fleet;

use super::desired::{self, SecretArns, SigningArns};
use super::options::{Install, Kind};
use crate::aws::{Refusal, Session};
use crate::input::advise;

/// The parameter that takes the keys, should the operator know better.
pub(crate) const KEYS: &str = "SlackKeyArns";
/// The same for the key of the signing secret.
const SIGNING_KEY: &str = "SlackSigningKeyArn";
/// What Secrets Manager calls the key that AWS manages: it needs no permission.
const MANAGED_KEY: &str = "alias/aws/secretsmanager";

/// What encrypts a secret.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Managed,
    Customer(String),
    /// IAM grants a key by its own ARN only.
    Alias(String),
}

/// Looks every secret of the fleet, and the signing secret that the operator names, up in the hub. `keys_are_given`: the
/// operator says which keys encrypt the fleet's.
///
/// # Errors
/// A secret is not there, may not be looked at, or its key is known by an alias only.
pub(crate) async fn resolve(
    fleet: &Fleet,
    options: &Install,
    session: &Session,
    keys_are_given: bool,
) -> Result<SecretArns> {
    let client = Clients::new(session.config.clone());
    let (region, account) = (fleet.hub().region(), fleet.hub().account());
    let mut arns = SecretArns { signing: signing(fleet, options, &client).await?, ..SecretArns::default() };
    for secret in desired::secrets(fleet) {
        let name = match secret {
            SecretRef::Ssm(name) => {
                arns.parameters.insert(parameter_arn(&name, region, account));
                continue;
            }
            SecretRef::SecretsManager(name) => name,
        };
        let holds = "Slack's token or the webhook's URL";
        let (arn, key) = look_up(fleet, &client, &name, &format!("the fleet file's secret {name}"), holds).await?;
        match key {
            Key::Managed => {}
            Key::Customer(arn) => drop(arns.keys.insert(arn)),
            Key::Alias(_) if keys_are_given => {}
            Key::Alias(alias) => return Err(known_by_alias(&format!("the fleet file's secret {name}"), &alias, KEYS)),
        }
        arns.secrets.insert(arn);
    }
    Ok(arns)
}

/// The signing secret, if the operator said a word about it.
async fn signing(fleet: &Fleet, options: &Install, client: &Clients) -> Result<Option<SigningArns>> {
    let (region, account) = (fleet.hub().region(), fleet.hub().account());
    let name = match (&options.slack_signing_secret, &options.slack_signing_parameter) {
        (None, None) => return Ok(None),
        (Some(name), _) if !name.is_empty() => name,
        (_, Some(name)) if !name.is_empty() => {
            let parameter = parameter_arn(name, region, account);
            return Ok(Some(SigningArns { parameter, ..SigningArns::default() }));
        }
        (Some(_), _) | (_, Some(_)) => {
            return Ok(Some(SigningArns { key: Some(String::new()), ..SigningArns::default() }));
        }
    };
    let called = format!("the signing secret {name}");
    let (secret, key) = look_up(fleet, client, name, &called, "the signing secret of the Slack app").await?;
    let key = match key {
        Key::Managed => Some(String::new()),
        Key::Customer(arn) => Some(arn),
        Key::Alias(_) if options.settings(Kind::Hub).contains_key(SIGNING_KEY) => None,
        Key::Alias(alias) => return Err(known_by_alias(&called, &alias, SIGNING_KEY)),
    };
    Ok(Some(SigningArns { secret, key, ..SigningArns::default() }))
}

/// A secret's ARN and its key.
async fn look_up(fleet: &Fleet, client: &Clients, name: &str, called: &str, holds: &str) -> Result<(String, Key)> {
    let (region, account) = (fleet.hub().region(), fleet.hub().account());
    let found = client.secrets_manager().describe_secret().secret_id(name).send().await.map_err(|error| {
        let refusal = Refusal::of(&error);
        let problem = format!("{called} can't be looked up in {region}: {refusal}");
        match refusal.is_denied() {
            true => advise(problem, "your own permissions must allow secretsmanager:DescribeSecret on it"),
            false => advise(
                problem,
                format!(
                    "create it first, with {holds} in the file: aws secretsmanager create-secret --region {region} \
                     --name {name} --secret-string file://FILE"
                ),
            ),
        }
    })?;
    let key = found.kms_key_id.map_or(Key::Managed, |key| key_of(key, region, account));
    Ok((found.arn.unwrap_or_else(|| name.to_owned()), key))
}

fn known_by_alias(called: &str, alias: &str, parameter: &str) -> anyhow::Error {
    advise(
        format!("{called} is encrypted with the key {alias}, and a policy takes no alias"),
        format!("give the key's own ARN: --set hub:{parameter}=arn:…:key/…"),
    )
}

/// A parameter's ARN has its name with exactly one slash before it (Systems Manager User Guide, "Restricting access to
/// Parameter Store parameters using IAM policies").
fn parameter_arn(name: &str, region: &Region, account: &AccountId) -> String {
    if name.starts_with("arn:") {
        return name.to_owned();
    }
    let partition = region.partition().as_str();
    format!("arn:{partition}:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/'))
}

/// What `KmsKeyId` of a secret means: an id, an ARN, or an alias with or without one (API reference, `DescribeSecret`).
fn key_of(key: String, region: &Region, account: &AccountId) -> Key {
    match key {
        key if key.ends_with(MANAGED_KEY) => Key::Managed,
        key if key.contains("alias/") => Key::Alias(key),
        key if key.starts_with("arn:") => Key::Customer(key),
        id => Key::Customer(format!("arn:{}:kms:{region}:{account}:key/{id}", region.partition().as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_one_slash_in_its_arn() {
        let (region, account) = ("eu-west-1".parse().unwrap(), "111122223333".parse().unwrap());
        let expected = "arn:aws:ssm:eu-west-1:111122223333:parameter/manifold/slack";
        for name in ["/manifold/slack", "manifold/slack", expected] {
            assert_eq!(parameter_arn(name, &region, &account), expected);
        }
    }

    #[test]
    fn a_key_is_granted_by_its_own_arn() {
        let (region, account) = ("cn-north-1".parse().unwrap(), "111122223333".parse().unwrap());
        let of = |key: &str| key_of(key.to_owned(), &region, &account);
        assert_eq!(of("alias/aws/secretsmanager"), Key::Managed);
        assert_eq!(of("arn:aws-cn:kms:cn-north-1:1:alias/aws/secretsmanager"), Key::Managed);
        assert_eq!(of("1234abcd"), Key::Customer("arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd".to_owned()));
        assert_eq!(of("arn:aws-cn:kms:x:1:key/2"), Key::Customer("arn:aws-cn:kms:x:1:key/2".to_owned()));
        assert_eq!(of("alias/ours"), Key::Alias("alias/ours".to_owned()));
    }
}
