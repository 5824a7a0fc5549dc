//! Time and new marks, the two things that the core is given from outside.

use manifold_core::ids::Nonce;
use manifold_core::time::Timestamp;

/// Tells the time and makes nonces.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// A mark that was never used before.
    fn nonce(&self) -> Nonce;
}

impl<T: Clock> Clock for &T {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
    fn nonce(&self) -> Nonce {
        (**self).nonce()
    }
}
