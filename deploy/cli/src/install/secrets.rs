//! The ARNs of the secrets that a fleet file names, for the policy of the one function that reads them.

use anyhow::Result;
use manifold_aws::clients::Clients;
use manifold_core::ids::{AccountId, Region};
use manifold_core::plan::SecretRef;
use manifold_fleet::Fleet;

use super::desired::{self, SecretArns};
use crate::aws::{Refusal, Session};
use crate::input::advise;

/// The parameter that takes the keys, should the operator know better.
pub(crate) const KEYS: &str = "SlackKeyArns";
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

/// Looks every secret of the fleet up in the hub. `keys_are_given`: the operator says which keys encrypt them.
///
/// # Errors
/// A secret is not there, may not be looked at, or its key is known by an alias only.
pub(crate) async fn resolve(fleet: &Fleet, session: &Session, keys_are_given: bool) -> Result<SecretArns> {
    let client = Clients::new(session.config.clone()).secrets_manager();
    let (region, account) = (fleet.hub().region(), fleet.hub().account());
    let mut arns = SecretArns::default();
    for secret in desired::secrets(fleet) {
        let name = match secret {
            SecretRef::Ssm(name) => {
                arns.parameters.insert(parameter_arn(&name, region, account));
                continue;
            }
            SecretRef::SecretsManager(name) => name,
        };
        let found = client.describe_secret().secret_id(&name).send().await.map_err(|error| {
            let refusal = Refusal::of(&error);
            let problem = format!("the fleet file's secret {name} can't be looked up in {region}: {refusal}");
            match refusal.is_denied() {
                true => advise(problem, "your own permissions must allow secretsmanager:DescribeSecret on it"),
                false => advise(
                    problem,
                    format!(
                        "create it first, with Slack's token or the webhook's URL in the file: aws secretsmanager \
                         create-secret --region {region} --name {name} --secret-string file://FILE"
                    ),
                ),
            }
        })?;
        match found.kms_key_id.map_or(Key::Managed, |key| key_of(key, region, account)) {
            Key::Managed => {}
            Key::Customer(arn) => drop(arns.keys.insert(arn)),
            Key::Alias(_) if keys_are_given => {}
            Key::Alias(alias) => {
                return Err(advise(
                    format!(
                        "the fleet file's secret {name} is encrypted with the key {alias}, and a policy takes no alias"
                    ),
                    format!("give the key's own ARN: --set hub:{KEYS}=arn:…:key/…"),
                ));
            }
        }
        arns.secrets.insert(found.arn.unwrap_or(name));
    }
    Ok(arns)
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
