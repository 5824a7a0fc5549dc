//! The secret that Slack signs its requests with, as `respond` needs it.

use std::fmt;
use std::future::Future;

/// The signing secret of the Slack app. It has no `Display`, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// A secret, as it is.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one check that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// The secret can't be read, so that nothing can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret can't be read: {0}")]
pub struct SigningError(pub String);

/// Knows the signing secret.
pub trait Signing: Send + Sync {
    /// The secret, which may have been read some minutes ago.
    fn secret(&self) -> impl Future<Output = Result<SigningSecret, SigningError>> + Send;
}

impl<T: Signing> Signing for &T {
    fn secret(&self) -> impl Future<Output = Result<SigningSecret, SigningError>> + Send {
        (**self).secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", SigningSecret::new("8f74")), "SigningSecret(…)");
    }
}
