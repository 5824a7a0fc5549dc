//! Secrets: read when they are used, kept in memory for minutes, and never printed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manifold_core::plan::SecretRef;
use manifold_core::time::{Span, Timestamp};
use manifold_ports::clock::Clock;
use manifold_ports::signing::{Signing, SigningError, SigningSecret};

use crate::clients::Clients;
use crate::clock::SystemClock;
use crate::failure::Failure;

/// How long a value is used before it is read again: a rotated secret takes effect within that time.
const KEPT_FOR: Span = Span::from_minutes(5);
/// How many values are kept; a fleet has one or two.
const MAX_KEPT: usize = 64;

/// A secret's value. It has no `Display`, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret. White space around it, as an editor leaves it, is cut.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(value.trim().to_owned())
    }

    /// The value, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Its store did not answer, or asks to slow down.
    #[error("the secret can't be read for now: {0}")]
    Unavailable(String),
    /// It does not exist, may not be read, or is not text.
    #[error("the secret can't be read: {0}")]
    Refused(String),
}

/// Reads secrets. Clones share what they keep.
#[derive(Clone)]
pub struct Secrets<C = SystemClock> {
    secrets_manager: aws_sdk_secretsmanager::Client,
    ssm: aws_sdk_ssm::Client,
    clock: C,
    kept: Arc<Mutex<HashMap<SecretRef, Kept>>>,
}

struct Kept {
    secret: Secret,
    read_at: Timestamp,
}

impl<C> fmt::Debug for Secrets<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets<SystemClock> {
    /// From the hub's Region, by the host's clock.
    #[must_use]
    pub fn new(clients: &Clients) -> Self {
        Self::with_clock(clients, SystemClock)
    }
}

impl<C: Clock> Secrets<C> {
    /// By another clock.
    #[must_use]
    pub fn with_clock(clients: &Clients, clock: C) -> Self {
        Self { secrets_manager: clients.secrets_manager(), ssm: clients.ssm(), clock, kept: Arc::default() }
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// It can't be read, for now or for good.
    pub async fn get(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let now = self.clock.now();
        if let Some(kept) = self.lock().get(reference).filter(|kept| now.since(kept.read_at) < KEPT_FOR) {
            return Ok(kept.secret.clone());
        }
        let secret = Secret::new(&Box::pin(self.read(reference)).await?);
        if secret.expose().is_empty() {
            return Err(SecretError::Refused("it is empty".to_owned()));
        }
        let mut kept = self.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(reference.clone(), Kept { secret: secret.clone(), read_at: now });
        Ok(secret)
    }

    /// Forgets a value that its user refused, so that the next call reads it again.
    pub fn forget(&self, reference: &SecretRef) {
        self.lock().remove(reference);
    }

    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SecretRef, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, reference: &SecretRef) -> Result<String, SecretError> {
        match reference {
            SecretRef::SecretsManager(name) => {
                let output = self.secrets_manager.get_secret_value().secret_id(name).send().await;
                let output = output.map_err(|error| failed(&Failure::of(&error)))?;
                output.secret_string.ok_or_else(|| SecretError::Refused("it is not text".to_owned()))
            }
            SecretRef::Ssm(name) => {
                let output = self.ssm.get_parameter().name(name).with_decryption(true).send().await;
                let output = output.map_err(|error| failed(&Failure::of(&error)))?;
                output
                    .parameter
                    .and_then(|parameter| parameter.value)
                    .ok_or_else(|| SecretError::Refused("it has no value".to_owned()))
            }
        }
    }
}

/// The signing secret of the Slack app, kept as other secrets are: a new one takes effect within five minutes. A request
/// that it does not fit is no reason to read it again, as anybody can send one.
#[derive(Debug, Clone)]
pub struct SlackSigning<C = SystemClock> {
    secrets: Secrets<C>,
    reference: SecretRef,
}

impl<C> SlackSigning<C> {
    /// The one that an ARN names, in Secrets Manager or in Parameter Store, whose `GetParameter` takes ARNs, too.
    #[must_use]
    pub fn new(secrets: Secrets<C>, arn: &str) -> Self {
        let reference = match arn.split(':').nth(2) {
            Some("ssm") => SecretRef::Ssm(arn.to_owned()),
            Some(_) | None => SecretRef::SecretsManager(arn.to_owned()),
        };
        Self { secrets, reference }
    }
}

impl<C: Clock> Signing for SlackSigning<C> {
    async fn secret(&self) -> Result<SigningSecret, SigningError> {
        let secret = self.secrets.get(&self.reference).await.map_err(|error| SigningError(error.to_string()))?;
        Ok(SigningSecret::new(secret.expose()))
    }
}

fn failed(failure: &Failure) -> SecretError {
    if failure.is_passing() { SecretError::Unavailable(failure.words()) } else { SecretError::Refused(failure.words()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_trimmed_and_never_printed() {
        let secret = Secret::new(" xoxb-1234 \n");
        assert_eq!(secret.expose(), "xoxb-1234");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
